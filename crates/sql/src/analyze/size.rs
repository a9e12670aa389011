//! How large a value may become. A value of a gigabyte makes its statement fail, and so does a row that holds one: where a
//! labelled value is part of it, whether it fails tells how long that value is, and with `replace` what it is made of. So a
//! labelled value must not come together with what the statement blows up.
//!
//! The sizes are estimates of what the *statement* adds: a stored value counts as [`STORED`], however long it is. What is
//! not here: sizes that are stored already, and rows that a join on equal columns multiplies.

use pg_query::NodeEnum;
use pg_query::protobuf::{AConst, AExprKind, FuncCall, Node, TypeName, a_const};

use super::scope::Val;
use super::tree;

/// A value of a type without a length of its own, as it is stored.
pub(super) const STORED: u64 = 256;
/// A number, a truth value, a date.
pub(super) const FIXED: u64 = 16;
/// A parameter: all of a statement's come in one message of at most 64 MiB.
const PARAMETER: u64 = 4 * 1024 * 1024;
/// A text in which brackets can be nested deeper than a server's stack.
pub(super) const NESTED: u64 = 4 * 1024;
/// What a constant counts for besides its own length, so that it is never taken for a number.
const CONSTANT: u64 = 32;
/// The client decides.
pub(super) const ANY: u64 = u64::MAX;
/// What a recursive query reads from itself: once more of it, and it doubles with every round.
const RECURRING: u64 = 64 * 1024;
/// What a recursive query may add to a value in each round.
const RECURRING_GROWTH: u64 = 4 * 1024;
/// Rows of a table, where another one is set beside it with nothing to join them.
const TABLE_ROWS: u64 = 1024 * 1024;

/// What messages call it.
pub(super) const PLACE: &str = "a value that the statement makes very large";

/// How many rows a query makes of what is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Rows {
    /// Rows that the statement itself makes, of series and lists.
    pub(super) times: u64,
    /// Tables that nothing joins.
    pub(super) tables: u32,
}

impl Default for Rows {
    fn default() -> Self {
        Rows::TABLE
    }
}

impl Rows {
    /// Of one table.
    pub(super) const TABLE: Rows = Rows { times: 1, tables: 1 };
    /// One row.
    pub(super) const ONE: Rows = Rows::made(1);
    /// Nobody knows.
    pub(super) const MANY: Rows = Rows::made(ANY);

    /// So many rows from no table.
    pub(super) const fn made(times: u64) -> Rows {
        Rows { times, tables: 0 }
    }

    /// Each with each.
    pub(super) fn beside(self, other: Rows) -> Rows {
        Rows { times: self.times.saturating_mul(other.times), tables: self.tables.saturating_add(other.tables) }
    }

    /// With so many conditions that join two of the tables.
    pub(super) fn joined(self, links: u32) -> Rows {
        Rows { tables: self.tables.saturating_sub(links).max(self.tables.min(1)), ..self }
    }

    /// What all rows of something come to, together: more than is stored by this factor.
    pub(super) fn gathered(self, size: u64) -> u64 {
        let unjoined = TABLE_ROWS.saturating_pow(self.tables.saturating_sub(1));
        size.saturating_mul(self.times.max(1)).saturating_mul(unjoined)
    }
}

/// The size of a column of this type.
pub(super) fn of_type(type_oid: u32) -> u64 {
    // bool, "char", int8, int2, int4, oid, float4, float8, money, date, time, timestamp, timestamptz, interval, uuid
    let fixed = [16, 18, 20, 21, 23, 26, 700, 701, 790, 1082, 1083, 1114, 1184, 1186, 2950].contains(&type_oid);
    if fixed { FIXED } else { STORED }
}

/// The size of a column that a recursive query gives back, computed from what it read from itself.
pub(super) fn recurring(size: u64) -> u64 {
    match size {
        0..=FIXED => size,
        _ if size <= RECURRING.saturating_add(RECURRING_GROWTH) => RECURRING,
        _ => ANY,
    }
}

/// The size of an expression: `own` where its kind has a rule, else that of its parts together.
pub(super) fn of(kind: &NodeEnum, own: u64, parts: u64) -> u64 {
    match kind {
        NodeEnum::ColumnRef(_)
        | NodeEnum::SubLink(_)
        | NodeEnum::FuncCall(_)
        | NodeEnum::AExpr(_)
        | NodeEnum::JsonArrayQueryConstructor(_)
        | NodeEnum::JsonObjectAgg(_)
        | NodeEnum::JsonArrayAgg(_) => own,
        NodeEnum::AConst(AConst { val: Some(a_const::Val::Sval(s)), .. }) => CONSTANT.saturating_add(length(&s.sval)),
        NodeEnum::AConst(AConst { val: Some(a_const::Val::Bsval(s)), .. }) => CONSTANT.saturating_add(length(&s.bsval)),
        NodeEnum::ParamRef(_) => PARAMETER,
        NodeEnum::AConst(_)
        | NodeEnum::BoolExpr(_)
        | NodeEnum::NullTest(_)
        | NodeEnum::BooleanTest(_)
        | NodeEnum::GroupingFunc(_)
        | NodeEnum::JsonIsPredicate(_) => FIXED,
        // Written out, quotes are doubled on every level. The columns that a star stands for are no parts.
        NodeEnum::RowExpr(_) => parts.max(own).saturating_mul(2),
        NodeEnum::AArrayExpr(_) => parts.saturating_mul(2),
        NodeEnum::TypeCast(cast) => parts.max(padded(cast.type_name.as_ref())),
        _ => parts,
    }
}

fn length(text: &str) -> u64 {
    u64::try_from(text.len()).unwrap_or(ANY)
}

fn number(node: &Node) -> Option<u64> {
    tree::integer(node).and_then(|n| u64::try_from(n).ok())
}

/// `char(n)` and `bit(n)` are filled up.
fn padded(target: Option<&TypeName>) -> u64 {
    let modifiers = target.map(|t| t.typmods.as_slice()).unwrap_or_default();
    modifiers.iter().filter_map(number).max().unwrap_or(0)
}

/// The size of what an operator makes.
pub(super) fn of_operator(kind: AExprKind, name: &str, left: u64, right: u64) -> u64 {
    match (kind, name) {
        (AExprKind::AexprNullif, _) => left,
        (AExprKind::AexprOp, "+" | "-" | "*" | "/" | "%" | "^" | "&" | "|" | "#" | "<<" | ">>") => left.max(right),
        (AExprKind::AexprOp, "=" | "<>" | "!=" | "<" | ">" | "<=" | ">=" | "~" | "!~" | "~*" | "!~*" | "@>" | "<@") => {
            FIXED
        }
        (AExprKind::AexprOp, _) => left.saturating_add(right),
        _ => FIXED,
    }
}

/// The size of what a call of a built-in function makes.
pub(super) fn of_call(name: &str, call: &FuncCall, arguments: &[Val<'_>], sum: u64, rows: Rows) -> u64 {
    let size = |at: usize| arguments.get(at).map_or(0, |value| value.size);
    // A text that is written there counts as what it is.
    let written = |at: usize| match tree::argument(&call.args, at).and_then(tree::literal) {
        Some(text) => length(text),
        None => size(at),
    };
    let given = |at: usize| tree::argument(&call.args, at).and_then(number);
    match name {
        "repeat" => given(1).map_or(ANY, |times| size(0).saturating_mul(times.max(1))),
        "lpad" | "rpad" => given(1).map_or(ANY, |to| to.saturating_mul(4).max(size(0))),
        // At the most, everything is replaced.
        "replace" | "regexp_replace" => size(0).saturating_mul(written(2).max(1)),
        "array_to_string" => size(0).saturating_mul(written(1).max(1)),
        "concat_ws" => {
            let separators = u64::try_from(arguments.len()).unwrap_or(ANY).saturating_mul(size(0));
            sum.saturating_add(separators)
        }
        "format" => match tree::argument(&call.args, 0).and_then(tree::literal) {
            Some(text) if !text.contains('*') => sum.saturating_add(widest(text)),
            _ => ANY,
        },
        "array_fill" => ANY,
        "length" | "char_length" | "character_length" | "octet_length" | "bit_length" | "count" | "md5" | "ascii"
        | "strpos" | "position" | "hashtext" | "pg_column_size" | "array_length" | "cardinality" | "pg_typeof" => FIXED,
        _ if gathers(name) => rows.gathered(sum),
        _ if name.starts_with("quote_") || name.contains("json") || name == "encode" => sum.saturating_mul(2),
        _ => sum,
    }
}

/// Whether the aggregate keeps all it gets.
fn gathers(name: &str) -> bool {
    name.ends_with("_agg") || name.contains("_agg_") || name == "xmlagg"
}

/// The largest number in a format: a width.
fn widest(text: &str) -> u64 {
    let runs = text.split(|c: char| !c.is_ascii_digit()).filter(|run| !run.is_empty());
    runs.map(|run| run.parse().unwrap_or(ANY)).max().unwrap_or(0)
}

/// How many rows a call makes.
pub(super) fn rows_of_call(name: &str, args: &[Node], sum: u64) -> u64 {
    match (name, args) {
        ("generate_series", [from, to]) => series(from, to),
        ("generate_series", [from, to, step]) if number(step).is_some() => series(from, to),
        ("generate_series", _) => ANY,
        // An element takes some bytes of what it is in.
        _ => sum / STORED,
    }
}

fn series(from: &Node, to: &Node) -> u64 {
    match (number(from), number(to)) {
        (Some(from), Some(to)) => to.saturating_sub(from).saturating_add(1),
        _ => ANY,
    }
}

/// How many terms of a condition, all of which have to hold, set a column of one relation equal to one of another.
pub(super) fn links(condition: Option<&Node>) -> u32 {
    let mut waiting: Vec<&Node> = condition.into_iter().collect();
    let mut links: u32 = 0;
    while let Some(node) = waiting.pop() {
        match tree::kind(node) {
            Some(NodeEnum::BoolExpr(e)) if e.boolop() == pg_query::protobuf::BoolExprType::AndExpr => {
                waiting.extend(&e.args);
            }
            Some(NodeEnum::AExpr(e)) if e.kind() == AExprKind::AexprOp && tree::qualified(&e.name).1 == "=" => {
                if let (Some(NodeEnum::ColumnRef(left)), Some(NodeEnum::ColumnRef(right))) =
                    (tree::kind_of(&e.lexpr), tree::kind_of(&e.rexpr))
                {
                    let (of, name) = tree::qualified(&left.fields);
                    let (other_of, other_name) = tree::qualified(&right.fields);
                    // `c.id = c.id` joins nothing, nor does `id = c.id`.
                    let apart = if of.is_empty() || other_of.is_empty() { name != other_name } else { of != other_of };
                    links = links.saturating_add(u32::from(apart));
                }
            }
            _ => {}
        }
    }
    links
}
