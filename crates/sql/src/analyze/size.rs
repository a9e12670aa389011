//! How large a value may become. A value of a gigabyte makes its statement fail, and so does a row that holds one: where a
//! labelled value is part of it, whether it fails tells how long that value is, and with `replace` what it is made of. So a
//! labelled value must not come together with what the statement blows up.
//!
//! The sizes are estimates of what the *statement* adds: a stored value counts as [`STORED`], however long it is. They may be
//! too small by some factor, as what is refused is far below a gigabyte, but nothing in a statement may multiply that factor: a
//! rule for each function, cast and operator that gives much more than it is given. What is not here: sizes that are stored
//! already. How many rows a join has is in `sources`.

use pg_query::NodeEnum;
use pg_query::protobuf::{AConst, AExprKind, JsonExprOp, JsonTablePathSpec, Node, TypeName, a_const};

use super::{tree, types};

/// A value of a type without a length of its own, as it is stored.
pub(super) const STORED: u64 = 256;
/// A number, a truth value, a date.
pub(super) const FIXED: u64 = 16;
/// A parameter: all of a statement's come in one message of at most 64 MiB.
pub(super) const PARAMETER: u64 = 4 * 1024 * 1024;
/// The arguments of a function in whose body each counts as a parameter.
pub(super) const ARGUMENTS: u64 = 4 * PARAMETER;
/// A text in which brackets can be nested deeper than a server's stack.
pub(super) const NESTED: u64 = 4 * 1024;
/// What a constant counts for besides its own length, so that it is never taken for a number.
const CONSTANT: u64 = 32;
/// The client decides.
pub(super) const ANY: u64 = u64::MAX;
/// What grows with every round of a recursive query: it takes the server minutes to make more, as each round copies all of it.
/// Once more of it in a round, and it doubles.
const RECURRING: u64 = 16 * 1024 * 1024;
/// What a recursive query may add to a value in each round.
const RECURRING_GROWTH: u64 = 4 * 1024;
/// Rounds of the analysis after which what still grows is taken to grow for ever.
const ROUNDS_TO_SETTLE: usize = 6;
/// Rows of a list of the server's own: of its settings, time zones, locks.
const LISTED: u64 = 4 * 1024;
/// Rows of a table, where another one is set beside it with nothing to join them.
pub(super) const TABLE_ROWS: u64 = 1024 * 1024;

/// The longest text of a number: so many digits before the point and after it.
pub(super) const NUMERIC_TEXT: u64 = 150_000;
/// The longest text of a number that came from one of eight bytes, or was rounded to so many digits.
pub(super) const ROUNDED: u64 = 4 * 1024;
/// How many rows a table has, nobody knows: what is gathered of one is small for each row.
const GATHERED_ROW: u64 = 32 * 1024;
/// A character of a text, in the numbers that are read from it.
pub(super) const NUMBER_GROWTH: u64 = 16 * 1024;
/// A text of letters as an array of letters.
pub(super) const ELEMENT: u64 = 8;
/// A letter as json writes it where it is a control character, and a number of [`FIXED`] with a comma and quotes.
pub(super) const JSON: u64 = 6;
/// A letter as XML writes it, with the name of what it stands in before and after it.
const XML: u64 = 16;
/// A level of a document with the blanks before it: it may have 256.
const INDENTED: u64 = 1024;

/// What messages call it.
pub(super) const PLACE: &str = "a value that the statement makes very large";

/// How many rows a query makes of what is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Rows {
    /// Rows that the statement itself makes, of series and lists.
    pub(super) times: u64,
    /// Tables that no key joins.
    pub(super) tables: u32,
}

impl Default for Rows {
    fn default() -> Self {
        Rows::TABLE
    }
}

impl Rows {
    /// Of one table.
    pub(crate) const TABLE: Rows = Rows { times: 1, tables: 1 };
    /// So many rows from calls, of which one may have as many as a table.
    pub(super) fn of_calls(times: u64, table: bool) -> Rows {
        if table { Rows { times: (times / TABLE_ROWS).max(1), tables: 1 } } else { Rows::made(times) }
    }

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

    /// What all rows of something come to, together: more than is stored by this factor.
    pub(super) fn gathered(self, size: u64) -> u64 {
        if self.tables > 0 && size > GATHERED_ROW {
            return ANY;
        }
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

/// What a row or an array is in which this is: written out, quotes are doubled on every level.
pub(super) fn quoted(size: u64) -> u64 {
    size.saturating_mul(2)
}

/// What an element of this type takes in an array that is gathered of many: rows and arrays may be within it.
pub(super) fn of_element(type_oid: u32, size: u64) -> u64 {
    if types::is_scalar(type_oid) { size } else { quoted(size) }
}

/// The size of a column that a recursive query gives back in a round, which had `before` in the one before. What stays as it
/// is counts as that. What grows, grows by so much in each of as many rounds as the statement likes.
pub(super) fn recurring(before: Option<u64>, size: u64, round: usize) -> u64 {
    match before {
        _ if size <= FIXED => size,
        None => size,
        Some(before) if size <= before => before,
        Some(before) if before < RECURRING && size <= RECURRING && round < ROUNDS_TO_SETTLE => RECURRING,
        Some(before) if before == RECURRING && size <= RECURRING.saturating_add(RECURRING_GROWTH) => RECURRING,
        Some(_) => ANY,
    }
}

/// The size of an expression: `own` where its kind has a rule, else that of its parts together.
pub(super) fn of(kind: &NodeEnum, own: u64, parts: u64) -> u64 {
    match kind {
        NodeEnum::ColumnRef(_)
        | NodeEnum::SubLink(_)
        | NodeEnum::FuncCall(_)
        | NodeEnum::AExpr(_)
        | NodeEnum::TypeCast(_)
        | NodeEnum::JsonArrayQueryConstructor(_)
        | NodeEnum::JsonObjectAgg(_)
        | NodeEnum::JsonArrayAgg(_) => own,
        NodeEnum::AIndirection(_) => own.max(parts),
        NodeEnum::AConst(AConst { val: Some(a_const::Val::Sval(s)), .. }) => {
            CONSTANT.saturating_add(length(&s.sval)).saturating_add(exponents(&s.sval))
        }
        NodeEnum::AConst(AConst { val: Some(a_const::Val::Bsval(s)), .. }) => CONSTANT.saturating_add(length(&s.bsval)),
        NodeEnum::AConst(AConst { val: Some(a_const::Val::Fval(number)), .. }) => digits(&number.fval),
        NodeEnum::ParamRef(_) => PARAMETER,
        NodeEnum::AConst(_)
        | NodeEnum::BoolExpr(_)
        | NodeEnum::NullTest(_)
        | NodeEnum::BooleanTest(_)
        | NodeEnum::GroupingFunc(_)
        | NodeEnum::MergeSupportFunc(_)
        | NodeEnum::CurrentOfExpr(_)
        | NodeEnum::JsonIsPredicate(_) => FIXED,
        // Names of users, schemas and databases.
        NodeEnum::SqlvalueFunction(_) | NodeEnum::SetToDefault(_) => STORED,
        // The columns that a star stands for are no parts.
        NodeEnum::RowExpr(_) => quoted(parts.max(own)),
        NodeEnum::AArrayExpr(_) => quoted(parts),
        NodeEnum::JsonObjectConstructor(_)
        | NodeEnum::JsonArrayConstructor(_)
        | NodeEnum::JsonScalarExpr(_)
        | NodeEnum::JsonSerializeExpr(_) => parts.saturating_mul(JSON),
        // One value of the document as it is, or parts of it: of each level again, if it is asked for all.
        NodeEnum::JsonFuncExpr(e) => match e.op() {
            JsonExprOp::JsonExistsOp => FIXED,
            _ if !e.pathspec.as_deref().and_then(tree::literal).is_some_and(is_plain_path) => ANY,
            JsonExprOp::JsonValueOp => parts,
            _ => parts.saturating_mul(JSON),
        },
        NodeEnum::XmlExpr(e) => {
            let names = u64::try_from(e.named_args.len()).unwrap_or(ANY).saturating_add(1).saturating_mul(STORED);
            parts.saturating_mul(XML).saturating_add(names)
        }
        // Deeper levels are further to the right.
        NodeEnum::XmlSerialize(e) if e.indent => parts.saturating_mul(INDENTED),
        _ => parts,
    }
}

pub(super) fn length(text: &str) -> u64 {
    u64::try_from(text.len()).unwrap_or(ANY)
}

pub(super) fn number(node: &Node) -> Option<u64> {
    tree::integer(node).and_then(|n| u64::try_from(n).ok())
}

/// What the numbers with large exponents in a text are more than their characters, where it is read as numbers.
fn exponents(text: &str) -> u64 {
    let bytes = text.as_bytes();
    let more = |at: usize| {
        let before = at.checked_sub(1).and_then(|at| bytes.get(at));
        let rest = bytes.get(at.saturating_add(1)..).unwrap_or_default();
        let digits = rest.strip_prefix(b"+").or(rest.strip_prefix(b"-")).unwrap_or(rest);
        match digits.iter().take_while(|byte| byte.is_ascii_digit()).count() {
            _ if !before.is_some_and(|byte| byte.is_ascii_digit() || *byte == b'.') => 0,
            0 => 0,
            1 => 10,
            2 => 100,
            3 => 1_000,
            _ => NUMERIC_TEXT,
        }
    };
    let marks = bytes.iter().enumerate().filter(|(_, byte)| matches!(byte, b'e' | b'E'));
    marks.map(|(at, _)| more(at)).fold(0, u64::saturating_add)
}

/// A number that is written in few characters may have many digits: `1e100000`.
fn digits(text: &str) -> u64 {
    FIXED.saturating_add(length(text)).saturating_add(exponents(text))
}

/// `char(n)` and `bit(n)` are filled up.
pub(super) fn padded(target: Option<&TypeName>) -> u64 {
    let modifiers = target.map(|t| t.typmods.as_slice()).unwrap_or_default();
    modifiers.iter().filter_map(number).max().unwrap_or(0)
}

/// The size of what an operator makes.
pub(super) fn of_operator(kind: AExprKind, name: &str, left: u64, right: u64) -> u64 {
    match (kind, name) {
        (AExprKind::AexprNullif, _) => left,
        (AExprKind::AexprOp, "^") => left.max(right).saturating_add(NUMERIC_TEXT),
        (AExprKind::AexprOp, "%" | "&" | "#" | "<<" | ">>" | "~") => left.max(right),
        (AExprKind::AexprOp, "=" | "<>" | "!=" | "<" | ">" | "<=" | ">=" | "!~" | "~*" | "!~*" | "@>" | "<@")
        | (AExprKind::AexprOp, "?" | "?|" | "?&" | "@@" | "@?" | "~~" | "!~~" | "~~*" | "!~~*" | "^@") => FIXED,
        // Parts of a document as text, in which letters may be escaped.
        (AExprKind::AexprOp, "->>" | "#>>") => left.saturating_mul(JSON),
        (AExprKind::AexprOp, _) => left.saturating_add(right),
        _ => FIXED,
    }
}

/// How many rows a call makes.
pub(super) fn rows_of_call(name: &str, args: &[Node], sum: u64) -> u64 {
    match (name, args) {
        ("generate_series", [from, to]) => series(from, to),
        ("generate_series", [from, to, step]) if number(step).is_some() => series(from, to),
        ("generate_series", _) => ANY,
        ("jsonb_path_query" | "jsonb_path_query_tz", [_, path, ..])
            if tree::literal(path).is_some_and(is_plain_path) =>
        {
            sum
        }
        ("jsonb_path_query" | "jsonb_path_query_tz", _) => ANY,
        // Of the server's own lists, which are not long.
        (_, []) => LISTED,
        // An element takes a byte of what it is in, or more.
        _ => sum,
    }
}

fn series(from: &Node, to: &Node) -> u64 {
    match (number(from), number(to)) {
        (Some(from), Some(to)) => to.saturating_sub(from).saturating_add(1),
        _ => ANY,
    }
}

/// Whether a path in a document comes to each part of it once at the most (`[0, 0]` twice), and reads no text as a number.
pub(super) fn is_plain_path(path: &str) -> bool {
    const OTHERS: &[&str] = &["**", "keyvalue", ",", "number", "decimal", "double"];
    !OTHERS.iter().any(|other| path.contains(other))
}

/// Whether all paths of a JSON_TABLE, and those of the tables within it, are such.
pub(super) fn is_plain_table(path: Option<&JsonTablePathSpec>, columns: &[Node]) -> bool {
    let is_plain = |path: Option<&JsonTablePathSpec>| {
        let path = path.and_then(|path| path.string.as_deref());
        path.is_none_or(|path| tree::literal(path).is_some_and(is_plain_path))
    };
    let mut waiting: Vec<&Node> = columns.iter().collect();
    let mut plain = is_plain(path);
    while let Some(node) = waiting.pop() {
        if let Some(NodeEnum::JsonTableColumn(column)) = tree::kind(node) {
            plain &= is_plain(column.pathspec.as_deref());
            waiting.extend(&column.columns);
        }
    }
    plain
}

/// Whether the value of a setting of this name is short whoever sets it: of no extension, and no list of names.
pub(super) fn is_short(setting: &str) -> bool {
    !setting.contains('.') && !matches!(setting.to_ascii_lowercase().as_str(), "search_path" | "temp_tablespaces")
}

/// Whether a column of the server's own holds what the session itself has put there, of any size.
pub(super) fn is_of_session(relation: &str, column: &str) -> bool {
    matches!(
        (relation, column),
        ("pg_prepared_statements" | "pg_prepared_statement" | "pg_cursors" | "pg_cursor", "statement")
            | ("pg_settings" | "pg_show_all_settings", "setting" | "reset_val")
    )
}
