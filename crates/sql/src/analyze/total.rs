//! Functions that take every value of some types, or beside some constants, and refuse others: whether a call of one may fail.
//! A call that may fail tells of whatever labelled values it is given, also of one that would not make it fail: most functions
//! do not run where an argument is NULL, and `nullif` makes a labelled value NULL for one guess.

use pg_query::NodeEnum;
use pg_query::protobuf::{AConst, Node, a_const};

use super::scope::{Col, Val};
use super::types::{self, is_float, is_integer, is_text};
use super::{Analyzer, pattern};
use crate::builtins::Class;
use crate::taint::Taint;

/// What a function is given: its value and, where the statement shows it, the expression.
#[derive(Clone, Copy)]
pub(super) struct Given<'a, 't> {
    pub(super) value: &'a Val<'t>,
    pub(super) node: Option<&'t Node>,
}

/// Rows within rows are looked into so deep.
const ROWS_DEPTH_MAX: u32 = 8;
/// Places in a text that no length of one overflows.
const PLACE_MAX: i64 = 1 << 30;

impl<'t> Analyzer<'t> {
    /// What makes a call of one of the server's own functions fail, as far as values do; `None` if nothing does.
    pub(super) fn call_fails(
        &self,
        class: Class,
        name: &str,
        given: &[Given<'_, 't>],
        variadic: bool,
    ) -> Option<Taint> {
        let mut all = Taint::CLEAN;
        for argument in given {
            all.join(&argument.value.taint);
        }
        let types: Vec<u32> = given.iter().map(|g| g.value.type_oid).collect();
        if matches!(class, Class::Total | Class::Conditional) && !self.compatible_meet(name, &types).sure {
            return Some(all);
        }
        match class {
            // A collation that does not suit is found out when the function runs.
            Class::Total | Class::Conditional if self.collates => Some(all),
            Class::Total => None,
            Class::Conditional => {
                let named =
                    given.iter().any(|g| matches!(g.node.and_then(super::tree::kind), Some(NodeEnum::NamedArgExpr(_))));
                if variadic || named {
                    return Some(all);
                }
                self.condition_fails(name, given, all)
            }
            _ => Some(all),
        }
    }

    fn condition_fails(&self, name: &str, given: &[Given<'_, 't>], all: Taint) -> Option<Taint> {
        // These run whether an argument is NULL or not, so that the others tell nothing.
        let of = |at: usize| given.get(at).map_or(Taint::CLEAN, |g| g.value.taint.clone());
        match name {
            // The element goes to the end of an array of one dimension.
            "array_append" => return Some(of(0)),
            "array_prepend" => return Some(of(1)),
            "json_build_object" | "jsonb_build_object" => {
                let even = given.len().is_multiple_of(2);
                let fit = name == "json_build_object" || given.iter().skip(1).step_by(2).all(|g| self.is_jsonb_able(g));
                if !even || !fit || !self.json_casts_are_known() {
                    return Some(all);
                }
                let keys = given.iter().step_by(2);
                if keys.clone().all(|g| self.text_of(g).is_some()) {
                    return None;
                }
                let mut tells = Taint::CLEAN;
                keys.for_each(|g| tells.join(&g.value.taint));
                return Some(tells);
            }
            // A key of NULL is refused.
            "json_object_agg" | "jsonb_object_agg" => {
                let fit = name == "json_object_agg" || given.get(1).is_some_and(|g| self.is_jsonb_able(g));
                return Some(if fit && self.json_casts_are_known() { of(0) } else { all });
            }
            _ => {}
        }
        if self.takes(name, given) { None } else { Some(all) }
    }

    /// Whether a function of class `c` takes all values that these may be.
    fn takes(&self, name: &str, given: &[Given<'_, 't>]) -> bool {
        let type_at = |at: usize| given.get(at).map_or(types::UNKNOWN, |g| self.beneath(g.value.type_oid));
        let text_at = |at: usize| given.get(at).and_then(|g| self.text_of(g));
        let number_at = |at: usize| given.get(at).and_then(|g| g.node).and_then(integer);
        let first = type_at(0);
        let plain = given.first().is_some_and(|g| g.value.plain);
        match name {
            // The least integer has no opposite.
            "abs" => is_float(first) || first == types::NUMERIC,
            // What a statement adds to the values of a column may overflow their sum.
            "sum" | "avg" | "stddev" | "stddev_pop" | "stddev_samp" | "var_pop" | "var_samp" | "variance" => {
                is_integer(first) || ((first == types::NUMERIC || is_float(first)) && plain)
            }
            "round" | "ceil" | "ceiling" | "floor" => {
                is_integer(first) || is_float(first) || (first == types::NUMERIC && plain)
            }
            "max" | "min" => self.compares(first),
            // Of today and a stored day or moment, of which only those at the end of what there are have no such distance; to
            // older servers, infinity has none.
            "age" => given.len() == 1 && plain && types::is_moment(first) && self.catalog.major() >= 17,
            "array_agg" => given.iter().all(|g| !self.may_be_array(g.node, g.value)),
            "array_replace" => {
                let types: Vec<u32> = given.iter().map(|g| g.value.type_oid).collect();
                self.compares(self.compatible_meet(name, &types).type_oid)
            }
            "bpchar" | "varchar" => given.len() == 1,
            "length" => {
                let known = is_text(first) || matches!(first, types::BYTEA | types::LITERAL | 1560 | 1562 | 3614);
                given.len() == 1 && (known || self.is_extensions(first, "citext"))
            }
            "format" => text_at(0).is_some_and(|format| {
                // More than there are values for, or names of NULL, are refused.
                let whole = format.replace("%%", "");
                let marks = whole.matches('%').count();
                marks == whole.matches("%s").count() && marks < given.len()
            }),
            "encode" => text_at(1).is_some_and(|format| matches!(format, "hex" | "base64" | "escape")),
            "split_part" => number_at(2).is_some_and(|part| part > 0),
            // Of a text and a pattern.
            "substring" if given.len() == 2 && text_at(1).is_some_and(pattern::is_regex) => true,
            "substr" | "substring" => {
                let place =
                    name == "substr" || number_at(1).is_some() || matches!(type_at(1), types::INT2 | types::INT4);
                place && (given.len() == 2 || number_at(2).is_some_and(|length| length >= 0))
            }
            "overlay" => {
                let within = |number: Option<i64>, least| number.is_some_and(|n| (least..PLACE_MAX).contains(&n));
                within(number_at(2), 1) && (given.len() == 3 || within(number_at(3), 0))
            }
            "nth_value" => number_at(1).is_some_and(|row| row > 0),
            "regexp_replace"
            | "regexp_match"
            | "regexp_matches"
            | "regexp_split_to_array"
            | "regexp_split_to_table"
            | "regexp_like"
            | "regexp_count"
            | "regexp_instr"
            | "regexp_substr" => {
                let fixed = if name == "regexp_replace" { 3 } else { 2 };
                let global = matches!(name, "regexp_replace" | "regexp_matches");
                let flagged = !matches!(name, "regexp_count" | "regexp_instr" | "regexp_substr");
                let flags = match given.len().checked_sub(fixed) {
                    Some(0) => true,
                    Some(1) => flagged && text_at(fixed).is_some_and(|flags| pattern::are_flags(flags, global)),
                    _ => false,
                };
                flags && text_at(1).is_some_and(pattern::is_regex)
            }
            "to_char" => text_at(1).is_some_and(|format| match first {
                // A date becomes a timestamp first, and some are out of its range.
                types::TIMESTAMP | types::TIMESTAMPTZ => pattern::is_date_format(format),
                types::INT2 | types::INT4 | types::INT8 | types::NUMERIC | types::FLOAT4 | types::FLOAT8 => {
                    pattern::is_number_format(format)
                }
                _ => false,
            }),
            "extract" | "date_part" | "date_trunc" => {
                // A third is a time zone, which may be none.
                given.len() == 2 && text_at(0).is_some_and(|unit| has_unit(name, unit, type_at(1)))
            }
            "timezone" => text_at(0) == Some("UTC") && matches!(type_at(1), types::TIMESTAMP | types::TIMESTAMPTZ),
            "to_json" | "row_to_json" | "array_to_json" | "json_agg" | "json_agg_strict" | "json_build_array" => {
                self.json_casts_are_known()
            }
            "to_jsonb" | "jsonb_agg" | "jsonb_agg_strict" | "jsonb_build_array" => {
                self.json_casts_are_known() && given.iter().all(|g| self.is_jsonb_able(g))
            }
            _ => false,
        }
    }

    /// A text that the statement shows.
    fn text_of(&self, given: &Given<'_, 't>) -> Option<&'t str> {
        self.literal(given.node?)
    }

    /// A cast of a user's own to json runs wherever values become json.
    fn json_casts_are_known(&self) -> bool {
        let mut casts = self.catalog.casts_to("json", types::UNKNOWN);
        casts.all(|function| self.catalog.function(function).is_some_and(|f| f.facts.extension.is_some()))
    }

    /// Whether any such value can be jsonb. Values of json may hold escapes that jsonb refuses.
    fn is_jsonb_able(&self, given: &Given<'_, 't>) -> bool {
        match &given.value.row {
            Some(row) => self.row_is_jsonb_able(row, ROWS_DEPTH_MAX),
            None => self.type_is_jsonb_able(given.value.type_oid, ROWS_DEPTH_MAX),
        }
    }

    fn row_is_jsonb_able(&self, row: &[Col<'t>], depth: u32) -> bool {
        let Some(depth) = depth.checked_sub(1) else { return false };
        row.iter().all(|col| match &col.row {
            Some(row) => self.row_is_jsonb_able(row, depth),
            None => self.type_is_jsonb_able(col.type_oid, depth),
        })
    }

    fn type_is_jsonb_able(&self, type_oid: u32, depth: u32) -> bool {
        let Some(depth) = depth.checked_sub(1) else { return false };
        let oid = self.beneath(type_oid);
        let adapts = matches!(oid, types::LITERAL | types::ADAPTS);
        if adapts || (types::is_servers(oid) && oid != types::JSON) || self.compares(oid) {
            return true;
        }
        self.catalog.types().get(&oid).is_some_and(|facts| match facts.kind {
            'c' => {
                !facts.fields.is_empty() && facts.fields.iter().all(|(_, field)| self.type_is_jsonb_able(*field, depth))
            }
            'A' => self.type_is_jsonb_able(facts.element, depth),
            _ => false,
        })
    }
}

/// An integer constant with its sign.
pub(super) fn integer(node: &Node) -> Option<i64> {
    match super::tree::kind(node)? {
        NodeEnum::AConst(AConst { val: Some(a_const::Val::Ival(i)), .. }) => Some(i64::from(i.ival)),
        _ => None,
    }
}

/// Whether dates and times of this type have this unit, all of them.
fn has_unit(function: &str, unit: &str, type_oid: u32) -> bool {
    let of_time = matches!(unit, "hour" | "minute" | "second" | "milliseconds" | "microseconds");
    let of_date = matches!(unit, "year" | "month" | "day" | "quarter" | "week" | "dow" | "doy" | "isodow" | "isoyear")
        || matches!(unit, "decade" | "century" | "millennium" | "epoch" | "julian");
    match (function, type_oid) {
        ("extract", types::DATE) => of_date,
        ("extract" | "date_part", types::TIMESTAMP | types::TIMESTAMPTZ) => of_date || of_time,
        ("extract" | "date_part", types::TIME) => of_time || unit == "epoch",
        // The first day of the first year lies before the first day there is.
        ("date_trunc", types::TIMESTAMP) => of_time || unit == "day",
        _ => false,
    }
}
