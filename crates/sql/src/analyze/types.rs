//! What is known of a value's type without asking the server: enough to tell which comparisons and functions take every
//! value of it. A type that is not known may be an array, a row or a user's own, and those may refuse some of theirs.

use std::collections::HashMap;
use std::sync::OnceLock;

use super::Analyzer;
use super::scope::{Col, Val};
use crate::builtins;
use lockgate_core::limits;
use pg_query::protobuf::SqlValueFunctionOp;

const RESULTS: &str = include_str!("../../data/results.txt");

/// Nothing is known.
pub(super) const UNKNOWN: u32 = 0;
pub(super) const BOOL: u32 = 16;
pub(super) const BYTEA: u32 = 17;
pub(super) const INT8: u32 = 20;
pub(super) const INT2: u32 = 21;
pub(super) const INT4: u32 = 23;
pub(super) const TEXT: u32 = 25;
pub(super) const JSON: u32 = 114;
pub(super) const FLOAT4: u32 = 700;
pub(super) const FLOAT8: u32 = 701;
pub(super) const INET: u32 = 869;
pub(super) const CIDR: u32 = 650;
pub(super) const DATE: u32 = 1082;
pub(super) const TIME: u32 = 1083;
pub(super) const TIMESTAMP: u32 = 1114;
pub(super) const TIMESTAMPTZ: u32 = 1184;
pub(super) const INTERVAL: u32 = 1186;
pub(super) const NUMERIC: u32 = 1700;
pub(super) const JSONB: u32 = 3802;

// Not the server's: what is known where the type itself is not. The server's own ids are far below.
/// Some type that is no array.
pub(super) const SCALAR: u32 = u32::MAX;
/// Some type of [`ORDERED_TYPES`].
pub(super) const ORDERED: u32 = u32::MAX - 1;
/// A string constant: it takes the type of what it is beside, and is no array.
pub(super) const LITERAL: u32 = u32::MAX - 2;
/// NULL, a parameter, or a constant that could be read as an array: it takes the type of what it is beside.
pub(super) const ADAPTS: u32 = u32::MAX - 3;

/// Arrays of some type that is no row.
pub(super) const VALUES: u32 = u32::MAX - 4;
/// `numeric` that each type of numbers with a fraction holds: constants of no extreme size, and integers beside them.
pub(super) const DECIMAL: u32 = u32::MAX - 5;

/// The server's own types of which any two values compare: numbers, texts, dates, networks, bytes, bits, ids, jsonb, ranges.
/// The shapes are not among them: they compare by areas and lengths, which overflow.
const ORDERED_TYPES: &[u32] = &[
    BOOL,
    BYTEA,
    18,
    19,
    INT8,
    INT2,
    INT4,
    TEXT,
    26,
    CIDR,
    FLOAT4,
    FLOAT8,
    774,
    790,
    829,
    INET,
    1042,
    1043,
    DATE,
    TIME,
    TIMESTAMP,
    TIMESTAMPTZ,
    INTERVAL,
    1266,
    1560,
    1562,
    NUMERIC,
    2950,
    3220,
    JSONB,
    3904,
    3906,
    3908,
    3910,
    3912,
    3926,
];
/// The others that are no arrays: json, xml, the shapes, and those of full text search.
const OTHER_TYPES: &[u32] = &[JSON, 142, 600, 601, 602, 603, 604, 628, 718, 3614, 3615];
/// Arrays of the server's own types that compare.
const ARRAY_TYPES: &[u32] = &[
    1000, 1001, 1002, 1003, 1005, 1007, 1009, 1014, 1015, 1016, 1021, 1022, 1041, 1115, 1182, 1183, 1185, 1187, 1231,
    2951, 3807, 651, 1040, 1028, 1561, 1563, 1270, 791, 775,
];
const RANGE_TYPES: &[u32] = &[3904, 3906, 3908, 3910, 3912, 3926];

/// The names of types as SQL has them, for casts.
const NAMES: &[(&str, u32)] = &[
    ("bool", BOOL),
    ("bytea", BYTEA),
    ("char", 18),
    ("name", 19),
    ("int8", INT8),
    ("int2", INT2),
    ("int4", INT4),
    ("text", TEXT),
    ("oid", 26),
    ("json", JSON),
    ("xml", 142),
    ("point", 600),
    ("lseg", 601),
    ("path", 602),
    ("box", 603),
    ("polygon", 604),
    ("line", 628),
    ("cidr", CIDR),
    ("float4", FLOAT4),
    ("float8", FLOAT8),
    ("circle", 718),
    ("macaddr8", 774),
    ("money", 790),
    ("macaddr", 829),
    ("inet", INET),
    ("bpchar", 1042),
    ("varchar", 1043),
    ("date", DATE),
    ("time", TIME),
    ("timestamp", TIMESTAMP),
    ("timestamptz", TIMESTAMPTZ),
    ("interval", INTERVAL),
    ("timetz", 1266),
    ("bit", 1560),
    ("varbit", 1562),
    ("numeric", NUMERIC),
    ("uuid", 2950),
    ("pg_lsn", 3220),
    ("tsvector", 3614),
    ("tsquery", 3615),
    ("jsonb", JSONB),
    ("int4range", 3904),
    ("numrange", 3906),
    ("tsrange", 3908),
    ("tstzrange", 3910),
    ("daterange", 3912),
    ("int8range", 3926),
];

/// The server's own type of this name.
pub(super) fn named(name: &str) -> u32 {
    NAMES.iter().find(|(known, _)| *known == name).map_or(UNKNOWN, |(_, oid)| *oid)
}

/// What the server's own function of this name returns.
pub(super) fn result_of(function: &str) -> u32 {
    static TABLE: OnceLock<HashMap<&'static str, u32>> = OnceLock::new();
    let table = TABLE.get_or_init(|| {
        let mut table = HashMap::new();
        for line in RESULTS.lines().filter(|line| !line.starts_with('#')) {
            let mut words = line.split(' ');
            let oid = words.next().map_or(UNKNOWN, |word| word.parse().unwrap_or(ORDERED));
            table.extend(words.map(|name| (name, oid)));
        }
        table
    });
    table.get(function).copied().unwrap_or(UNKNOWN)
}

/// What is known of one of two values, of which one is of a known type and the other of one that is not; `alone` says that the
/// server casts the known one to and from no other. Which row it is decides what columns it has: of users' types nothing is said.
pub(super) fn either(known: u32, guess: u32, alone: bool) -> u32 {
    let either = |what: fn(u32) -> bool| what(known) || what(guess);
    match guess {
        ORDERED | SCALAR if alone => known,
        _ if either(is_text) => TEXT,
        _ if either(is_ordered) => ORDERED,
        _ if either(is_scalar) => SCALAR,
        _ => UNKNOWN,
    }
}

/// Which type it is, is not known.
pub(super) fn is_guess(oid: u32) -> bool {
    matches!(oid, UNKNOWN | SCALAR | ORDERED | VALUES)
}

/// Any two values of this type of the server's own compare.
pub(super) fn compares(oid: u32) -> bool {
    is_ordered(oid) || is_known_array(oid)
}

/// A day, or a moment of one.
pub(super) fn is_moment(oid: u32) -> bool {
    matches!(oid, DATE | TIMESTAMP | TIMESTAMPTZ)
}

/// `text` and what is taken for it.
pub(super) fn is_text(oid: u32) -> bool {
    matches!(oid, TEXT | 18 | 19 | 1042 | 1043)
}

pub(super) fn is_integer(oid: u32) -> bool {
    matches!(oid, INT2 | INT4 | INT8)
}

pub(super) fn is_float(oid: u32) -> bool {
    matches!(oid, FLOAT4 | FLOAT8)
}

pub(super) fn is_range(oid: u32) -> bool {
    RANGE_TYPES.contains(&oid)
}

pub(super) fn is_integer_array(oid: u32) -> bool {
    oid == 1007
}

/// An array of the server's own whose elements compare.
pub(super) fn is_known_array(oid: u32) -> bool {
    ARRAY_TYPES.contains(&oid)
}

/// What an array of this type is made of, as far as it is certain.
pub(super) fn element_of(oid: u32) -> u32 {
    builtins::element_of(oid).unwrap_or(UNKNOWN)
}

/// The type of arrays of what is of this type and no row.
pub(super) fn array_of(element: u32) -> u32 {
    match element {
        LITERAL => 1009,
        DECIMAL => 1231,
        // An array of arrays is of their type.
        _ if builtins::is_plain_array(element) => element,
        _ => builtins::array_of(element).unwrap_or(VALUES),
    }
}

/// The type of a number that is written with digits and more than four bytes hold, or a point or an exponent.
pub(super) fn of_number(text: &str) -> u32 {
    let digits = text.strip_prefix('-').unwrap_or(text);
    if digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return match text.parse::<i64>() {
            Ok(_) => INT8,
            Err(_) if digits.len() <= 30 => DECIMAL,
            Err(_) => NUMERIC,
        };
    }
    if !digits.bytes().all(|byte| byte.is_ascii_digit() || matches!(byte, b'.' | b'e' | b'E' | b'+' | b'-')) {
        // Other bases, and digits in groups: as long as an integer holds it, it is one.
        return ORDERED;
    }
    let ordinary = |number: f64| number == 0.0 || (1e-30..1e30).contains(&number.abs());
    let is_zero =
        !digits.bytes().take_while(|byte| !byte.eq_ignore_ascii_case(&b'e')).any(|b| (b'1'..=b'9').contains(&b));
    match text.parse::<f64>() {
        Ok(number) if ordinary(number) && (number != 0.0 || is_zero) => DECIMAL,
        _ => NUMERIC,
    }
}

/// The type of `CURRENT_DATE` and its like.
pub(super) fn of_keyword(keyword: SqlValueFunctionOp) -> u32 {
    use SqlValueFunctionOp as Op;
    match keyword {
        Op::SvfopCurrentDate => DATE,
        Op::SvfopCurrentTime | Op::SvfopCurrentTimeN => 1266,
        Op::SvfopCurrentTimestamp | Op::SvfopCurrentTimestampN => TIMESTAMPTZ,
        Op::SvfopLocaltime | Op::SvfopLocaltimeN => TIME,
        Op::SvfopLocaltimestamp | Op::SvfopLocaltimestampN => TIMESTAMP,
        Op::SvfopCurrentRole
        | Op::SvfopCurrentUser
        | Op::SvfopUser
        | Op::SvfopSessionUser
        | Op::SvfopCurrentCatalog
        | Op::SvfopCurrentSchema => 19,
        Op::SqlvalueFunctionOpUndefined => SCALAR,
    }
}

/// Any two values of this type compare.
pub(super) fn is_ordered(oid: u32) -> bool {
    matches!(oid, ORDERED | DECIMAL) || ORDERED_TYPES.contains(&oid)
}

/// Known to be none of a user's types and no array.
pub(super) fn is_scalar(oid: u32) -> bool {
    matches!(oid, SCALAR | LITERAL) || is_ordered(oid) || OTHER_TYPES.contains(&oid)
}

/// One of the server's own types, and known which.
pub(super) fn is_servers(oid: u32) -> bool {
    ORDERED_TYPES.contains(&oid) || OTHER_TYPES.contains(&oid) || ARRAY_TYPES.contains(&oid)
}

impl<'t> Analyzer<'t> {
    /// The type that a domain is over, or the type itself.
    pub(super) fn beneath(&self, mut type_oid: u32) -> u32 {
        for _ in 0..limits::SQL_VIEW_DEPTH_MAX {
            match self.catalog.types().get(&type_oid) {
                Some(facts) if facts.kind == 'd' => type_oid = facts.base,
                _ => break,
            }
        }
        type_oid
    }

    /// Any two values of this type compare: none makes that fail.
    pub(super) fn compares(&self, type_oid: u32) -> bool {
        let oid = self.beneath(type_oid);
        if compares(oid) {
            return true;
        }
        self.catalog.types().get(&oid).is_some_and(|facts| match facts.kind {
            'e' => true,
            // Who makes a base type is a superuser: these are what they are called.
            'b' => matches!(facts.name.as_str(), "citext" | "hstore" | "ltree"),
            'A' => {
                let element = self.beneath(facts.element);
                is_ordered(element) || self.catalog.types().get(&element).is_some_and(|e| e.kind == 'e')
            }
            _ => false,
        })
    }

    /// Whether a type is this one of an extension.
    pub(super) fn is_extensions(&self, type_oid: u32, name: &str) -> bool {
        let oid = self.beneath(type_oid);
        self.catalog.types().get(&oid).is_some_and(|facts| facts.kind == 'b' && facts.name == name)
    }

    /// Whether comparing the two cannot fail. What has no type yet takes the other's.
    pub(super) fn compare(&self, one: &Val<'_>, other: &Val<'_>) -> bool {
        match (&one.row, &other.row) {
            // Rows of other types than each other's fail where the comparison comes to them.
            (Some(one), Some(other)) => {
                let same = |a: u32, b: u32| a == b && is_servers(a) && self.compares(a);
                self.fields_compare(one, other, &same)
            }
            (None, None) => self.types_compare(one.type_oid, other.type_oid),
            _ => false,
        }
    }

    /// The same of two rows that are written out, which are compared field by field.
    pub(super) fn compare_written(&self, one: &Val<'_>, other: &Val<'_>) -> bool {
        match (&one.row, &other.row) {
            (Some(one), Some(other)) => self.fields_compare(one, other, &|a, b| self.types_compare(a, b)),
            _ => self.compare(one, other),
        }
    }

    fn fields_compare(&self, one: &[Col<'_>], other: &[Col<'_>], compare: &dyn Fn(u32, u32) -> bool) -> bool {
        one.len() == other.len()
            && one.iter().zip(other).all(|(a, b)| a.row.is_none() && b.row.is_none() && compare(a.type_oid, b.type_oid))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_are_known() {
        assert_eq!(result_of("md5"), TEXT);
        assert_eq!(result_of("to_jsonb"), JSONB);
        assert_eq!(result_of("sum"), ORDERED);
        // Of a range, the bound.
        assert_eq!(result_of("lower"), UNKNOWN);
        assert_eq!(result_of("array_append"), UNKNOWN);
        assert_eq!(result_of("jsonb_populate_record"), UNKNOWN);
    }
}
