//! The types of what the server's own functions return, as far as they follow from the types that they are given. A type that is
//! named here is exact: what it meets is judged by it. Where nothing is certain, nothing is said.

use super::Analyzer;
use super::types::{self, DATE, DECIMAL, FLOAT8, INT2, INT4, INT8, INTERVAL, LITERAL, NUMERIC, ORDERED, TEXT, UNKNOWN};
use super::types::{TIMESTAMP, TIMESTAMPTZ, is_float, is_integer, is_text};
use crate::builtins;

/// Functions whose value has the type of their first argument, if of any.
pub(super) const OF_ARGUMENTS_TYPE: &[&str] =
    &["max", "min", "lag", "lead", "first_value", "last_value", "nth_value", "any_value"];

/// Functions of texts and other strings that give text for text.
const OF_TEXT: &[&str] =
    &["btrim", "like_escape", "ltrim", "overlay", "reverse", "rtrim", "string_agg", "substr", "substring"];

/// The arguments of which a function makes one type (`anycompatible` and arrays of it), by its name and how many it is given.
pub(crate) fn compatible(name: &str, arguments: usize) -> &'static [usize] {
    match (name, arguments) {
        ("lag" | "lead", 3) => &[0, 2],
        ("array_append" | "array_prepend" | "array_cat" | "array_remove" | "array_position" | "array_positions", _) => {
            &[0, 1]
        }
        ("width_bucket", 2) => &[0, 1],
        ("array_replace", _) => &[0, 1, 2],
        _ => &[],
    }
}

/// Which of the arguments of these functions are arrays of what the others are.
fn is_array_of_them(name: &str, at: usize) -> bool {
    match name {
        "lag" | "lead" => false,
        "array_cat" => true,
        "array_prepend" | "width_bucket" => at == 1,
        _ => at == 0,
    }
}

impl Analyzer<'_> {
    /// The type of arguments that have to be of one type, and whether none of them is cast to it so that it fails.
    pub(super) fn compatible_meet(&self, name: &str, given: &[u32]) -> super::unify::Meeting {
        let element = |oid: u32| match self.beneath(oid) {
            // An array that is written as a text is one of what the others are.
            adapts @ (types::ADAPTS | LITERAL) => adapts,
            array => types::element_of(array),
        };
        let of = |at: &usize| {
            let oid = given.get(*at).copied().unwrap_or(UNKNOWN);
            if is_array_of_them(name, *at) { element(oid) } else { oid }
        };
        self.meeting(compatible(name, given.len()).iter().map(of))
    }

    /// The type of what one of the server's own functions returns, given arguments of these types.
    pub(super) fn type_of_result(&self, name: &str, given: &[u32]) -> u32 {
        let given: Vec<u32> = given.iter().map(|oid| self.beneath(*oid)).collect();
        let exact = |oid: u32| if oid == DECIMAL { NUMERIC } else { oid };
        if !compatible(name, given.len()).is_empty() {
            let of = exact(self.compatible_meet(name, &given).type_oid);
            return match name {
                "lag" | "lead" => of,
                "array_append" | "array_prepend" | "array_cat" | "array_remove" | "array_replace" => {
                    builtins::array_of(of).unwrap_or(UNKNOWN)
                }
                _ => types::result_of(name),
            };
        }
        type_given(name, &given)
    }
}

fn type_given(name: &str, given: &[u32]) -> u32 {
    let first = given.first().copied().unwrap_or(UNKNOWN);
    let text = is_text(first) || first == LITERAL;
    let with_fraction = |oid: u32| oid == NUMERIC || oid == DECIMAL;
    match (name, given) {
        ("lag" | "lead" | "first_value" | "last_value" | "any_value" | "nth_value", [..]) => match first {
            LITERAL => TEXT,
            DECIMAL => NUMERIC,
            known => known,
        },
        ("max" | "min", [_]) => match first {
            1042 => first,
            types::CIDR => types::INET,
            DECIMAL => NUMERIC,
            _ if text => TEXT,
            // Of the server's own types, these have none but through another type.
            18 | 24 | 2202..=2206 | 3734 | 3769 | 4089 | 4096 | 4191 => ORDERED,
            known => known,
        },
        ("sum", [_]) => match first {
            INT2 | INT4 => INT8,
            INT8 | NUMERIC | DECIMAL => NUMERIC,
            INTERVAL | 790 => first,
            _ if is_float(first) => first,
            _ => ORDERED,
        },
        ("avg" | "stddev" | "stddev_pop" | "stddev_samp" | "var_pop" | "var_samp" | "variance", [_]) => match first {
            _ if is_integer(first) || with_fraction(first) => NUMERIC,
            _ if is_float(first) => FLOAT8,
            INTERVAL if name == "avg" => INTERVAL,
            _ => ORDERED,
        },
        ("abs", [_]) if is_integer(first) || is_float(first) => first,
        ("abs", [_]) if with_fraction(first) => NUMERIC,
        ("round" | "trunc", [_, _]) => NUMERIC,
        ("round" | "ceil" | "ceiling" | "floor" | "trunc" | "sign" | "sqrt" | "exp" | "ln" | "log" | "log10", [_]) => {
            match first {
                _ if with_fraction(first) => NUMERIC,
                _ if is_integer(first) || is_float(first) => FLOAT8,
                _ => ORDERED,
            }
        }
        ("date_trunc", [_, of, ..]) => match *of {
            TIMESTAMP | INTERVAL if given.len() == 2 => *of,
            TIMESTAMPTZ | DATE => TIMESTAMPTZ,
            _ => ORDERED,
        },
        ("timezone", [_, TIMESTAMP]) => TIMESTAMPTZ,
        ("timezone", [_, TIMESTAMPTZ]) => TIMESTAMP,
        ("age", [_] | [_, _]) if given.iter().any(|oid| types::is_moment(*oid)) => INTERVAL,
        ("length", [_]) if text || matches!(first, types::BYTEA | 1560 | 1562 | 3614) => INT4,
        ("lower" | "upper", [_]) if text => TEXT,
        ("array_agg", [_]) if builtins::is_plain_array(first) => first,
        ("array_agg", [_]) => match first {
            LITERAL => UNKNOWN,
            DECIMAL => 1231,
            _ => builtins::array_of(first).unwrap_or(UNKNOWN),
        },
        _ => match types::result_of(name) {
            ORDERED if text && OF_TEXT.contains(&name) => TEXT,
            result => result,
        },
    }
}

/// The type of what one of the server's own functions returns, given arguments of the server's own types; `None` where it is not
/// said. For tests that ask servers.
#[doc(hidden)]
#[must_use]
pub fn type_of_call(catalog: &crate::Catalog, name: &str, given: &[u32]) -> Option<u32> {
    let context = super::Context { catalog, search_path: &[], path_known: true };
    let found = Analyzer::new(&context, &[]).type_of_result(name, given);
    (types::is_servers(found)).then_some(found)
}

/// Whether a call of one of the server's own functions may cast arguments of these types so that it fails, because it makes
/// one type of them. For tests that ask servers.
#[doc(hidden)]
#[must_use]
pub fn arguments_meet(catalog: &crate::Catalog, name: &str, given: &[u32]) -> bool {
    let context = super::Context { catalog, search_path: &[], path_known: true };
    Analyzer::new(&context, &[]).compatible_meet(name, given).sure
}
