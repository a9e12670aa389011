//! Operators and casts: which of them take every value of their operands, and what users' own of the same name add.

use pg_query::NodeEnum;
use pg_query::protobuf::{AConst, AExpr, AExprKind, Node, SubLinkType, TypeName, a_const};

use super::result::OF_ARGUMENTS_TYPE;
use super::scope::{Scope, Val};
use super::types::{self, is_range};
use super::{Analyzer, pattern, size, tree};
use crate::builtins;
use crate::statement::{How, Later};
use crate::taint::Taint;

const COMPARISONS: &[&str] = &["=", "<>", "!=", "<", ">", "<=", ">="];
/// Whether the left operand is like the pattern that the right one is.
const LIKES: &[&str] = &["~~", "!~~", "~~*", "!~~*"];
const ARITHMETIC: &[&str] = &["+", "-", "*", "/"];
const REGEXES: &[&str] = &["~", "!~", "~*", "!~*"];
/// A century, in days.
const DAYS_MAX: u32 = 36_525;
/// Types that take any value.
const TOTAL_CASTS: &[&str] = &["text", "varchar", "bpchar", "name"];
/// What messages call an expression that a labelled value may keep from being evaluated.
pub(super) const CONDITION: &str = "a condition before an expression that may fail";

/// The values on both sides of an operator.
struct Operands<'t> {
    left: Val<'t>,
    rights: Vec<Val<'t>>,
    /// It stands for several operators joined by AND or OR.
    lazy: bool,
    /// All are rows that are written out.
    rows: bool,
}

impl<'t> Analyzer<'t> {
    pub(super) fn operator(&mut self, e: &'t AExpr, scope: &Scope<'t, '_>) -> Val<'t> {
        let (left_node, right_node) = (e.lexpr.as_deref(), e.rexpr.as_deref());
        let Operands { left, rights, lazy, rows } = self.operands(e, scope);
        let right = || rights.first();
        let mut taint = left.taint.clone();
        let mut sure = left.sure;
        for value in &rights {
            taint.join(&value.taint);
            sure &= value.sure;
        }
        let rights_size = rights.iter().fold(0, |sum: u64, value| sum.saturating_add(value.size));
        if lazy && !sure {
            self.uses(&taint, How::Condition, CONDITION, e.location);
        }
        let (schema, named) = tree::qualified(&e.name);
        let mut value = taint.clone();
        for name in operators_of(e.kind(), named) {
            for right in rights.iter().map(Some).chain(rights.is_empty().then_some(None)) {
                let types = [left.type_oid, right.map_or(types::LITERAL, |right| right.type_oid)];
                value.join(&self.user_operator(schema, name, &taint, Some(types), e.location));
            }
        }
        // Arrays are joined only where their shapes fit.
        let arrays = [(left_node, Some(&left)), (right_node, right())]
            .into_iter()
            .any(|(node, value)| value.is_some_and(|value| node.is_some() && self.may_be_array(node, value)));
        let total = match rows {
            true if COMPARISONS.contains(&named) || e.kind() != AExprKind::AexprOp => {
                !self.collates && rights.iter().all(|right| self.compare_written(&left, right))
            }
            _ => self.is_total(e, named, &left, &rights, arrays),
        };
        if !total {
            let pattern = matches!(e.kind(), AExprKind::AexprSimilar | AExprKind::AexprLike | AExprKind::AexprIlike);
            let place = if pattern { "a pattern" } else { "an operator that may fail" };
            self.may_fail(&taint, place, e.location);
        }
        let other = right().map_or(types::UNKNOWN, |right| right.type_oid);
        let type_oid = match e.kind() {
            AExprKind::AexprNullif => self.type_left(left.type_oid, other),
            // What a user's own gives may be a row.
            AExprKind::AexprOp if self.has_own(named) => types::UNKNOWN,
            AExprKind::AexprOp => match named {
                "||" if arrays => types::UNKNOWN,
                "||" if types::is_text(left.type_oid) || types::is_text(other) => types::TEXT,
                "||" => self.type_joined(left.type_oid, other),
                "->>" | "#>>" if left.type_oid == types::JSONB => types::TEXT,
                "->" | "#>" if left.type_oid == types::JSONB => types::JSONB,
                _ if !self.catalog.operators_named(named).is_empty() => types::UNKNOWN,
                name if ARITHMETIC.contains(&name) && total => {
                    match [left.type_oid, other].map(|oid| self.beneath(oid)) {
                        types if types.contains(&types::DATE) => types::DATE,
                        _ => types::NUMERIC,
                    }
                }
                name if ARITHMETIC.contains(&name) => self.type_computed(left.type_oid, other),
                name if COMPARISONS.contains(&name) || LIKES.contains(&name) || REGEXES.contains(&name) => types::BOOL,
                _ => types::UNKNOWN,
            },
            _ => types::BOOL,
        };
        let size = match (e.kind(), rights.as_slice()) {
            (AExprKind::AexprOp, [right])
                if named == "||" && [left.type_oid, right.type_oid].into_iter().any(types::is_text) =>
            {
                self.as_text(&left).saturating_add(self.as_text(right))
            }
            (AExprKind::AexprOp, [right]) if self.computes_short(named, [left.type_oid, right.type_oid]) => size::FIXED,
            _ => size::of_operator(e.kind(), named, left.size, rights_size),
        };
        Val { size, type_oid, ..Val::made_of(value) }
    }

    /// The type of `nullif(left, other)`: what the comparison makes of the left one.
    fn type_left(&self, left: u32, other: u32) -> u32 {
        let both = |what: fn(u32) -> bool| what(left) && what(other);
        if both(types::is_integer) || both(types::is_float) || both(types::is_moment) {
            return left;
        }
        self.meeting([left, other]).type_oid
    }

    /// The type of arithmetic with two numbers, as far as both are whole: the wider one.
    fn type_computed(&self, left: u32, other: u32) -> u32 {
        match [left, other].map(|oid| self.beneath(oid)) {
            [types::LITERAL, oid] | [oid, types::LITERAL] if types::is_integer(oid) => oid,
            both if both.iter().all(|oid| types::is_integer(*oid)) => {
                [types::INT8, types::INT4].into_iter().find(|oid| both.contains(oid)).unwrap_or(types::INT2)
            }
            _ => types::UNKNOWN,
        }
    }

    /// The type of `left || other`, where neither is an array.
    fn type_joined(&self, left: u32, other: u32) -> u32 {
        match self.meet(left, other).type_oid {
            types::LITERAL => types::TEXT,
            same @ (types::JSONB | types::BYTEA) => same,
            _ if types::is_ordered(left) || types::is_ordered(other) => types::ORDERED,
            _ => types::SCALAR,
        }
    }

    fn operands(&mut self, e: &'t AExpr, scope: &Scope<'t, '_>) -> Operands<'t> {
        let left = match e.lexpr.as_deref() {
            Some(node) => self.expr(node, scope),
            // An operator before its operand: the operand is on the right.
            None => Val { type_oid: types::LITERAL, sure: true, ..Val::clean() },
        };
        let listed = matches!(
            e.kind(),
            AExprKind::AexprIn
                | AExprKind::AexprBetween
                | AExprKind::AexprNotBetween
                | AExprKind::AexprBetweenSym
                | AExprKind::AexprNotBetweenSym
        );
        let right = e.rexpr.as_deref();
        let items = match right {
            Some(right) if listed => tree::items(right),
            Some(right) => std::slice::from_ref(right),
            None => &[],
        };
        let mut rights = Vec::with_capacity(items.len());
        for item in items {
            rights.push(self.expr(item, scope));
        }
        // Rows are compared field by field, until it is clear.
        let is_row = |node: &Node| matches!(tree::kind(node), Some(NodeEnum::RowExpr(_)));
        let left_row = e.lexpr.as_deref().is_some_and(is_row);
        let lazy = listed || left_row || items.iter().any(is_row);
        Operands { left, rights, lazy, rows: left_row && items.iter().all(is_row) }
    }

    /// Whether no values of these operands make the server's own operator fail.
    fn is_total(&self, e: &'t AExpr, name: &str, left: &Val<'t>, rights: &[Val<'t>], arrays: bool) -> bool {
        if self.collates {
            return false;
        }
        let element = |value: &Val<'t>| match self.beneath(value.type_oid) {
            // An array that is written as a text is one of what it is compared with.
            adapts @ (types::ADAPTS | types::LITERAL) => Val { type_oid: adapts, ..Val::clean() },
            array => Val { type_oid: types::element_of(array), ..Val::clean() },
        };
        match e.kind() {
            AExprKind::AexprDistinct
            | AExprKind::AexprNotDistinct
            | AExprKind::AexprNullif
            | AExprKind::AexprBetween
            | AExprKind::AexprNotBetween
            | AExprKind::AexprBetweenSym
            | AExprKind::AexprNotBetweenSym => rights.iter().all(|right| self.compare(left, right)),
            AExprKind::AexprIn => {
                // The server makes an array of what is listed, or compares one after the other.
                let all = std::iter::once(left).chain(rights);
                let rows = all.clone().all(|value| value.row.is_some());
                let meeting = self.meeting(all.map(|value| value.type_oid));
                rights.iter().all(|right| self.compare(left, right))
                    && (rows
                        || rights.len() == 1
                        || (meeting.sure && self.types_compare(left.type_oid, meeting.type_oid)))
            }
            AExprKind::AexprLike | AExprKind::AexprIlike => self.is_pattern(e.rexpr.as_deref(), Patterns::Like),
            AExprKind::AexprSimilar => self.is_pattern(e.rexpr.as_deref(), Patterns::Similar),
            AExprKind::AexprOpAny | AExprKind::AexprOpAll if COMPARISONS.contains(&name) => {
                rights.iter().all(|right| self.compare(left, &element(right)))
            }
            AExprKind::AexprOp if LIKES.contains(&name) => self.is_pattern(e.rexpr.as_deref(), Patterns::Like),
            AExprKind::AexprOp if REGEXES.contains(&name) => self.is_pattern(e.rexpr.as_deref(), Patterns::Regex),
            AExprKind::AexprOpAny | AExprKind::AexprOpAll if LIKES.contains(&name) => {
                self.are_patterns(e.rexpr.as_deref(), Patterns::Like)
            }
            AExprKind::AexprOpAny | AExprKind::AexprOpAll if REGEXES.contains(&name) => {
                self.are_patterns(e.rexpr.as_deref(), Patterns::Regex)
            }
            AExprKind::AexprOp if ARITHMETIC.contains(&name) => match rights {
                [right] => self.is_ordinary(e, name, left, right),
                _ => false,
            },
            AExprKind::AexprOp => match rights {
                [right] if e.lexpr.is_some() => self.is_total_of(name, left, right, arrays),
                _ => false,
            },
            _ => false,
        }
    }

    /// A stored `numeric` or `date` and a constant: as with sums, only values near the end of what the type holds fail.
    fn is_ordinary(&self, e: &'t AExpr, name: &str, left: &Val<'t>, right: &Val<'t>) -> bool {
        let stored = |value: &Val<'t>| value.plain && self.beneath(value.type_oid) == types::NUMERIC;
        let is_number = |node: &Option<Box<Node>>| match tree::kind_of(node) {
            Some(NodeEnum::AConst(AConst { val: Some(a_const::Val::Ival(number)), .. })) => {
                name != "/" || number.ival != 0
            }
            Some(NodeEnum::AConst(AConst { val: Some(a_const::Val::Fval(number)), .. })) => {
                let ordinary = matches!(types::of_number(&number.fval), types::DECIMAL | types::INT8);
                let mut digits = number.fval.bytes().take_while(|byte| !byte.eq_ignore_ascii_case(&b'e'));
                ordinary && (name != "/" || digits.any(|digit| (b'1'..=b'9').contains(&digit)))
            }
            _ => false,
        };
        // A day some years from a stored one: only of days at the end of what there are is it none.
        let day = |value: &Val<'t>| value.plain && self.beneath(value.type_oid) == types::DATE;
        let days = |node: &Option<Box<Node>>| match tree::kind_of(node) {
            Some(NodeEnum::AConst(AConst { val: Some(a_const::Val::Ival(days)), .. })) => {
                days.ival.unsigned_abs() <= DAYS_MAX
            }
            _ => false,
        };
        if (day(left) && matches!(name, "+" | "-") && days(&e.rexpr)) || (days(&e.lexpr) && name == "+" && day(right)) {
            return true;
        }
        match name {
            "/" => stored(left) && is_number(&e.rexpr),
            _ => (stored(left) && is_number(&e.rexpr)) || (is_number(&e.lexpr) && stored(right)),
        }
    }

    fn is_total_of(&self, name: &str, left: &Val<'t>, right: &Val<'t>, arrays: bool) -> bool {
        let types = [left.type_oid, right.type_oid].map(|oid| self.beneath(oid));
        let either = |what: &dyn Fn(u32) -> bool| types.iter().any(|oid| what(*oid));
        let both = |what: &dyn Fn(u32) -> bool| types.iter().all(|oid| what(*oid));
        let hstore = |oid: u32| self.is_extensions(oid, "hstore");
        // `intarray` has operators of these names for the server's own arrays, which refuse NULL.
        let known_array = |oid: u32| {
            types::is_known_array(oid)
                && (!types::is_integer_array(oid) || self.catalog.operators_named("&&").is_empty())
        };
        let literal_or = |what: &dyn Fn(u32) -> bool| {
            either(what) && both(&|oid| what(oid) || matches!(oid, types::LITERAL | types::ADAPTS))
        };
        match name {
            _ if COMPARISONS.contains(&name) => self.compare(left, right),
            "||" => {
                let text = |oid: u32| types::is_ordered(oid) || self.is_extensions(oid, "citext");
                !arrays && (either(&text) || both(&|oid| oid == types::LITERAL) || both(&hstore))
            }
            "->" | "->>" | "#>" | "#>>" => types[0] == types::JSONB || (name == "->" && hstore(types[0])),
            "?" | "?|" | "?&" => types[0] == types::JSONB || hstore(types[0]),
            "@>" | "<@" => {
                // Level by level, as deep as the server's stack.
                let shallow = left.size.max(right.size) <= size::NESTED;
                (literal_or(&|oid| oid == types::JSONB) && shallow)
                    || literal_or(&hstore)
                    || literal_or(&known_array)
                    || either(&is_range)
            }
            "&&" => literal_or(&known_array) || either(&is_range),
            "-|-" | "&<" | "&>" => either(&is_range),
            "<<=" | ">>=" => either(&|oid| matches!(oid, types::INET | types::CIDR)),
            "^@" => either(&types::is_text),
            _ => false,
        }
    }

    /// Whether this is an array of such that is written out: in the text of one, each is written otherwise than it is.
    fn are_patterns(&self, node: Option<&'t Node>, of: Patterns) -> bool {
        let Some(NodeEnum::AArrayExpr(array)) = node.and_then(tree::kind) else { return false };
        array.elements.iter().all(|item| self.is_pattern(Some(item), of))
    }

    /// Whether this is a constant pattern that is certainly one.
    fn is_pattern(&self, node: Option<&'t Node>, of: Patterns) -> bool {
        let Some(node) = node else { return false };
        if let Some(text) = self.literal(node) {
            return match of {
                Patterns::Like => pattern::is_like(text, Some('\\')),
                Patterns::Regex => pattern::is_regex(text),
                Patterns::Similar => false,
            };
        }
        match tree::kind(node) {
            // `LIKE x ESCAPE y` and `SIMILAR TO x` are calls that make a pattern of x.
            Some(NodeEnum::FuncCall(call)) => {
                let argument = |at: usize| tree::argument(&call.args, at).and_then(|arg| self.literal(arg));
                match (tree::qualified(&call.funcname), of) {
                    (("pg_catalog", "like_escape"), Patterns::Like) => {
                        let mut escape = argument(1).unwrap_or("  ").chars();
                        let one = (escape.next(), escape.next());
                        let known = matches!(one, (_, None));
                        known && argument(0).is_some_and(|text| pattern::is_like(text, one.0))
                    }
                    (("pg_catalog", "similar_to_escape"), Patterns::Similar) => {
                        call.args.len() == 1 && argument(0).is_some_and(pattern::is_similar)
                    }
                    _ => false,
                }
            }
            _ => false,
        }
    }

    /// Whether there is an operator of this name that neither the server nor an extension brought.
    fn has_own(&self, name: &str) -> bool {
        self.catalog
            .operators_named(name)
            .iter()
            .any(|(_, function)| self.catalog.function(*function).is_none_or(|f| f.facts.extension.is_none()))
    }

    /// Whether a value may be an array, as far as it shows.
    pub(super) fn may_be_array(&self, node: Option<&Node>, value: &Val<'t>) -> bool {
        if !matches!(value.type_oid, types::UNKNOWN | types::ADAPTS) {
            return self.is_array(value.type_oid);
        }
        let Some(node) = node else { return true };
        match tree::kind(node) {
            Some(NodeEnum::SubLink(link)) => {
                matches!(link.sub_link_type(), SubLinkType::ArraySublink | SubLinkType::ExprSublink)
            }
            Some(NodeEnum::TypeCast(cast)) => cast.type_name.as_ref().is_none_or(|target| {
                let (_, name) = tree::qualified(&target.names);
                !target.array_bounds.is_empty() || name.starts_with('_') || !self.is_of_server(target)
            }),
            Some(NodeEnum::FuncCall(call)) => {
                let (schema, name) = tree::qualified(&call.funcname);
                let of_arrays =
                    name.contains("array") || name.starts_with("regexp_match") || name.starts_with("percentile_");
                of_arrays
                    || OF_ARGUMENTS_TYPE.contains(&name)
                    || matches!(name, "parse_ident" | "current_schemas" | "ts_lexize" | "xpath" | "mode" | "acldefault")
                    || name.contains("record")
                    || !self.candidates(schema, name, call.args.len()).is_empty()
                    || builtins::function(name).is_none()
            }
            Some(NodeEnum::AExpr(e)) => match tree::qualified(&e.name).1 {
                _ if e.kind() == AExprKind::AexprNullif => true,
                // Joined of what is no array, it is known to be none.
                "||" => true,
                name => !self.catalog.operators_named(name).is_empty(),
            },
            Some(NodeEnum::AConst(_)) => {
                tree::literal(node).is_some_and(|text| text.trim_start().starts_with(['{', '[']))
            }
            Some(
                NodeEnum::ParamRef(_)
                | NodeEnum::BoolExpr(_)
                | NodeEnum::NullTest(_)
                | NodeEnum::BooleanTest(_)
                | NodeEnum::SqlvalueFunction(_)
                | NodeEnum::XmlExpr(_)
                | NodeEnum::XmlSerialize(_)
                | NodeEnum::GroupingFunc(_),
            ) => false,
            // What is not known may be one.
            _ => true,
        }
    }

    fn is_array(&self, type_oid: u32) -> bool {
        let user = self.catalog.types().get(&type_oid);
        user.map_or(!types::is_scalar(type_oid), |t| t.kind == 'A' || t.kind == 'd')
    }

    /// What a user's operator of this name adds. `types` are the operands' types, where they are known.
    pub(super) fn user_operator(
        &mut self,
        schema: &str,
        name: &str,
        operands: &Taint,
        types: Option<[u32; 2]>,
        location: i32,
    ) -> Taint {
        let mut value = Taint::CLEAN;
        let catalog = self.catalog;
        for (at, function) in catalog.operators_named(name) {
            if !(if schema.is_empty() { self.on_path(at) } else { at == schema }) {
                continue;
            }
            let extension = catalog.function(*function).and_then(|f| f.facts.extension.as_deref());
            // An extension's operators are for its types, and the server's own come first where they fit exactly.
            let servers = types.is_some_and(|types| {
                types.iter().all(|oid| matches!(*oid, types::LITERAL) || types::is_servers(self.beneath(*oid)))
            });
            // Those of `intarray` are for arrays of the server's own.
            let others = types.is_some_and(|types| {
                let of = types.map(|oid| self.beneath(oid));
                !of.iter().any(|oid| types::is_integer_array(*oid)) && of.iter().any(|oid| *oid != types::LITERAL)
            });
            let total = extension.is_some_and(|extension| {
                (servers && (extension != "intarray" || others)) || never_fails(extension, name)
            });
            let sure = self.sure;
            let may_fail = if total { &Taint::CLEAN } else { operands };
            value.join(&self.call_user(*function, name, may_fail, location).value);
            if total {
                self.sure = sure;
            }
        }
        value
    }

    /// A string constant whose text is the value, as far as it is certain: a type of the user's own that is called `text`
    /// may change it.
    pub(super) fn literal(&self, node: &'t Node) -> Option<&'t str> {
        match tree::kind(node)? {
            NodeEnum::TypeCast(cast) => {
                let of_server = self.is_of_server(cast.type_name.as_ref()?);
                if of_server { self.literal(cast.arg.as_deref()?).and_then(|_| tree::literal(node)) } else { None }
            }
            _ => tree::literal(node),
        }
    }

    /// Whether a type's name can only mean one of the server's own types.
    pub(super) fn is_of_server(&self, target: &TypeName) -> bool {
        match tree::qualified(&target.names) {
            ("pg_catalog", _) => true,
            ("", name) => self.catalog.types_named(name).next().is_none(),
            _ => false,
        }
    }

    /// What the server may make of a value by casts that nobody asked for. Which types meet is not looked at.
    pub(super) fn unasked(&mut self) -> Taint {
        let functions = self.catalog.casts_unasked();
        if functions.is_empty() {
            return Taint::CLEAN;
        }
        if let Some(known) = &self.unasked {
            return known.clone();
        }
        let mut taint = Taint::CLEAN;
        for function in functions {
            taint.join(&self.call_user(*function, "a cast", &Taint::CLEAN, -1).value);
        }
        self.unasked = Some(taint.clone());
        taint
    }

    /// A value of which another type may be wanted.
    pub(super) fn cast_unasked(&mut self, value: &mut Val<'t>) {
        let sure = self.sure;
        let taint = self.unasked();
        let extensions =
            |function: &usize| self.catalog.function(*function).is_some_and(|f| f.facts.extension.is_some());
        self.sure = sure && !self.catalog.casts_by_text() && self.catalog.casts_unasked().iter().all(extensions);
        if !taint.is_clean() {
            value.taint.join(&taint);
            value.plain = false;
            value.row = None;
        }
    }

    /// `arg::target`, where `value` is that of `arg`.
    pub(super) fn cast(
        &mut self,
        value: Val<'t>,
        arg: &'t Node,
        target: Option<&'t TypeName>,
        location: i32,
    ) -> Val<'t> {
        let Some(target) = target else { return value };
        let (_, name) = tree::qualified(&target.names);
        let mut taint = value.taint.clone();
        let catalog = self.catalog;
        for function in catalog.casts_to(name, self.cast_as(value.type_oid)) {
            taint.join(&self.call_user(function, name, &value.taint, location).value);
        }
        self.checked_by_type(name, location);
        let servers = self.is_of_server(target);
        if !servers && catalog.types_named(name).any(|known| known.kind != 'e') {
            // What a domain checks may be anything.
            self.looks_up(Later::Anything);
        }
        let simple = target.array_bounds.is_empty() && servers;
        // A cast to a row type keeps the taint and makes the fields known.
        let size = self.size_as(&value, arg, target);
        let out = Val { size, type_oid: self.type_named(target), ..Val::made_of(taint) };
        if simple && casts_all(self.beneath(value.type_oid), name, target) {
            return out;
        }
        // The server reads a constant before it runs anything, but for what a type of the user's own adds to that.
        let read_before = servers && types::named(name) != types::UNKNOWN && is_written(arg);
        if !read_before {
            self.may_fail(&out.taint, "a cast", location);
        }
        out
    }

    /// A value becomes one of the types of this name: whether it may be one is decided by what their checks read.
    pub(super) fn checked_by_type(&mut self, name: &str, location: i32) {
        for function in self.catalog.called_for_types(name) {
            let summary = self.summary(function);
            let mut taint = summary.value.clone().with(&summary.touches);
            for (_, used) in &summary.uses {
                taint.join(used);
            }
            self.uses(&taint, How::Predicate, &format!("what checks of `{name}` call"), location);
        }
    }

    /// The type that a name means, where it can mean one only; else 0.
    pub(super) fn type_named(&self, target: &TypeName) -> u32 {
        let (schema, name) = tree::qualified(&target.names);
        let array = !target.array_bounds.is_empty();
        let servers = matches!(schema, "" | "pg_catalog");
        if target.pct_type || target.setof || (schema.is_empty() && !self.path_known) {
            return 0;
        }
        let mut found = self.catalog.types_named(name).filter(|known| schema.is_empty() || known.schema == schema);
        match (found.next(), found.next()) {
            (None, _) if servers => builtins::plain_type_named(name, array).unwrap_or(0),
            // The server has rows of its own relations too.
            (Some(_), _) if servers && self.catalog.is_servers_type(name) => 0,
            (Some(only), None) if array => self.catalog.array_of(only.oid),
            (Some(only), None) => only.oid,
            _ => 0,
        }
    }
}

#[derive(Clone, Copy)]
enum Patterns {
    Like,
    Regex,
    Similar,
}

/// Which operators an expression of this kind calls.
fn operators_of(kind: AExprKind, name: &str) -> Vec<&str> {
    match kind {
        AExprKind::AexprBetween
        | AExprKind::AexprNotBetween
        | AExprKind::AexprBetweenSym
        | AExprKind::AexprNotBetweenSym => vec![">=", "<=", "<", ">"],
        _ => vec![name],
    }
}

/// Whether an extension's operator of this name takes every value of its types.
fn never_fails(extension: &str, name: &str) -> bool {
    match extension {
        "citext" => COMPARISONS.contains(&name) || LIKES.contains(&name) || REGEXES.contains(&name),
        "hstore" => COMPARISONS.contains(&name) || matches!(name, "->" | "?" | "?|" | "?&" | "@>" | "<@" | "||"),
        "ltree" | "isn" | "seg" | "cube" => COMPARISONS.contains(&name),
        _ => false,
    }
}

/// Whether this type takes every value of that one.
fn casts_all(from: u32, name: &str, target: &TypeName) -> bool {
    use types::{FLOAT4, FLOAT8, INT2, INT4, INT8, NUMERIC};
    if TOTAL_CASTS.contains(&name) {
        return true;
    }
    let to = types::named(name);
    let wider = matches!(
        (from, to),
        (INT2, INT4 | INT8 | FLOAT4 | FLOAT8 | NUMERIC)
            | (INT4, INT8 | FLOAT4 | FLOAT8 | NUMERIC)
            | (INT8, FLOAT4 | FLOAT8 | NUMERIC)
            | (FLOAT4, FLOAT8)
    );
    (wider || (from == to && to != types::UNKNOWN)) && target.typmods.is_empty()
}

/// A constant that stands there as it is, or an array of nothing.
fn is_written(node: &Node) -> bool {
    if let Some(NodeEnum::AArrayExpr(array)) = tree::kind(node) {
        return array.elements.is_empty();
    }
    matches!(tree::kind(node), Some(NodeEnum::AConst(AConst { val, isnull, .. }))
        if *isnull || matches!(val, Some(a_const::Val::Sval(_) | a_const::Val::Ival(_) | a_const::Val::Fval(_) | a_const::Val::Boolval(_))))
}
