//! A labelled column compared with one value: what a statement may ask about a value without being given it. Says which
//! value, in a form in which equal values mostly look equal, so that asking the same again can be told from asking more.

use pg_query::NodeEnum;
use pg_query::protobuf::{AConst, Node, TypeName, a_const};

use crate::analyze::tree;

/// A labelled column, as it is, compared with one value by `=`, where the outermost WHERE of the statement needs it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Probe {
    /// What it is compared with.
    pub operand: Operand,
    /// How many rows there are tells whether a value was equal. Of `count(*)` and its kin there is always one.
    pub rows_tell: bool,
    /// The type that the operand is cast to.
    cast: Option<String>,
    reading: Reading,
}

/// What a column is compared with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Operand {
    /// A constant of the text.
    Constant(String),
    /// A parameter, counted from 1.
    Parameter(usize),
}

/// How values of the column's type are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reading {
    /// As they are, in both formats.
    Text,
    /// The same, but blanks at the end do not count.
    Padded,
    /// Whole numbers.
    Integer,
    Uuid,
    /// In more than one way, which all settings of a session leave as they are.
    Fixed,
    /// In ways that depend on settings of the session: time zone, order of date parts.
    BySettings,
}

impl Reading {
    /// Of a built-in type, by `pg_type.oid`.
    const fn of(type_oid: u32) -> Reading {
        match type_oid {
            // "char", name, text, varchar.
            18 | 19 | 25 | 1043 => Reading::Text,
            1042 => Reading::Padded,
            20 | 21 | 23 => Reading::Integer,
            2950 => Reading::Uuid,
            // bool, bytea, oid, json, jsonb, float4, float8, numeric, bit, varbit, cidr, inet, macaddr, macaddr8.
            16 | 17 | 26 | 114 | 3802 | 700 | 701 | 1700 | 1560 | 1562 | 650 | 869 | 829 | 774 => Reading::Fixed,
            _ => Reading::BySettings,
        }
    }
}

/// Types that a constant may be cast to and still be one value that its text tells.
const CASTS: &[&str] = &[
    "text",
    "varchar",
    "bpchar",
    "name",
    "bool",
    "int2",
    "int4",
    "int8",
    "numeric",
    "float4",
    "float8",
    "uuid",
    "bytea",
    "json",
    "jsonb",
    "inet",
    "cidr",
    "date",
    "time",
    "timetz",
    "timestamp",
    "timestamptz",
    "interval",
];

impl Probe {
    /// The comparison with `node`, if that is one value; `type_oid` is the column's type, or the one beneath its domain.
    pub(crate) fn with(node: &Node, type_oid: u32, rows_tell: bool) -> Option<Probe> {
        let (node, cast) = match tree::kind(node)? {
            NodeEnum::TypeCast(e) => (e.arg.as_deref()?, Some(plain_type(e.type_name.as_ref()?)?)),
            _ => (node, None),
        };
        let reading = Reading::of(type_oid);
        let cast = cast.filter(|name| !(reading == Reading::Text && matches!(name.as_str(), "text" | "varchar")));
        let operand = match tree::kind(node)? {
            NodeEnum::AConst(constant) => Operand::Constant(constant_text(constant)?),
            NodeEnum::ParamRef(parameter) => Operand::Parameter(usize::try_from(parameter.number).ok()?),
            _ => return None,
        };
        Some(Probe { operand, rows_tell, cast, reading })
    }

    /// The byte of the text where a constant begins that a column is compared with.
    pub(crate) fn place(node: &Node) -> i32 {
        match tree::kind(node) {
            Some(NodeEnum::TypeCast(e)) => e.arg.as_deref().map_or(-1, Probe::place),
            Some(NodeEnum::AConst(constant)) => constant.location,
            _ => -1,
        }
    }

    /// A form of `value`, which the operand stands for, that two values share only if the server takes them for the same;
    /// `None` where the session's settings decide what it is. `binary` is the format of a parameter.
    pub fn canonical(&self, value: Option<&[u8]>, binary: bool) -> Option<Vec<u8>> {
        let mut out = self.cast.as_deref().unwrap_or_default().as_bytes().to_vec();
        out.push(0);
        let Some(value) = value else { return Some(out) };
        let text = std::str::from_utf8(value).ok().filter(|_| !binary);
        match (self.reading, text) {
            (Reading::Text, _) => tagged(out, b't', value),
            (Reading::Padded, _) => tagged(out, b't', value.trim_ascii_end()),
            (Reading::Integer, Some(text)) if text.trim().parse::<i64>().is_ok() => {
                let number = text.trim().parse::<i64>().ok()?;
                tagged(out, b'i', number.to_string().as_bytes())
            }
            (Reading::Uuid, Some(text)) => {
                let digits: String =
                    text.chars().filter(|c| !matches!(c, '-' | '{' | '}')).flat_map(char::to_lowercase).collect();
                tagged(out, b'u', digits.as_bytes())
            }
            (Reading::Uuid, None) => {
                let digits: String = value.iter().map(|byte| format!("{byte:02x}")).collect();
                tagged(out, b'u', digits.as_bytes())
            }
            (Reading::BySettings, _) => None,
            // Which type a binary value is of, its sender decides.
            (Reading::Integer | Reading::Fixed, _) => tagged(out, if binary { b'b' } else { b'o' }, value),
        }
    }
}

#[expect(clippy::unnecessary_wraps, reason = "one arm of many that may have no form")]
fn tagged(mut out: Vec<u8>, tag: u8, value: &[u8]) -> Option<Vec<u8>> {
    out.push(tag);
    out.extend_from_slice(value);
    Some(out)
}

/// The name of a type that leaves a value whole.
fn plain_type(name: &TypeName) -> Option<String> {
    let (schema, type_name) = tree::qualified(&name.names);
    let whole = name.typmods.is_empty() && name.array_bounds.is_empty() && !name.setof;
    (whole && matches!(schema, "" | "pg_catalog") && CASTS.contains(&type_name)).then(|| type_name.to_owned())
}

/// A constant as text; `None` for NULL, which equals nothing.
pub(crate) fn constant_text(constant: &AConst) -> Option<String> {
    match constant.val.as_ref()? {
        a_const::Val::Ival(value) => Some(value.ival.to_string()),
        a_const::Val::Fval(value) => Some(value.fval.clone()),
        a_const::Val::Boolval(value) => Some(value.boolval.to_string()),
        a_const::Val::Sval(value) => Some(value.sval.clone()),
        a_const::Val::Bsval(value) => Some(value.bsval.clone()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn probe(type_oid: u32, cast: Option<&str>) -> Probe {
        Probe {
            operand: Operand::Parameter(1),
            rows_tell: true,
            cast: cast.map(str::to_owned),
            reading: Reading::of(type_oid),
        }
    }

    #[test]
    fn equal_values_look_equal_and_others_do_not() {
        let form = |oid, value: &[u8], binary| probe(oid, None).canonical(Some(value), binary);
        assert_eq!(form(25, b"abc", false), form(25, b"abc", true), "text has one form in both formats");
        assert_ne!(form(25, b"abc", false), form(25, b"abc ", false));
        assert_eq!(form(1042, b"abc", false), form(1042, b"abc  ", false), "char(n) is padded");
        assert_eq!(form(23, b"7", false), form(23, b" +007 ", false));
        assert_ne!(form(23, b"7", false), form(23, b"70", false));
        assert_ne!(form(20, b"7", false), form(20, &[7, 0], true));
        let uuid = [0xa0, 0xee, 0xbc, 0x99, 0x9c, 0x0b, 0x4e, 0xf8, 0xbb, 0x6d, 0x6b, 0xb9, 0xbd, 0x38, 0x0a, 0x11];
        assert_eq!(form(2950, b"{A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11}", false), form(2950, &uuid, true));
        assert_ne!(form(1700, b"1.5", false), form(1700, b"1.50", false), "at worst the same value counts twice");
        // The order of date parts and the time zone are the session's to set.
        assert_eq!(form(1082, b"01/02/2003", false), None);
        assert_eq!(form(1184, b"2003-01-01", false), None);
        assert_ne!(probe(25, None).canonical(None, false), form(25, b"", false), "NULL is no empty text");
        assert_ne!(probe(25, Some("int4")).canonical(Some(b"1"), false), form(25, b"1", false));
    }
}
