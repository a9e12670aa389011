//! Constants and the names of types. A constant is written with its type, and with its value where the type keeps that
//! simply; else something stands for it that nothing takes for a value, as long as what it is written out may be.

use super::Deparser;
use crate::builtins;
use crate::catalog::nodes::Id;

/// Stands for a type that is not known: no cast to it passes for one that takes every value, and a value of it for no other.
pub(super) const NO_TYPE: &str = "pg_catalog.cid";
/// How much longer a value may be written out than it is kept.
const WRITTEN_OUT: usize = 8;

const BOOL: u32 = 16;
const CHAR: u32 = 18;
const NAME: u32 = 19;
const INT8: u32 = 20;
const INT2: u32 = 21;
pub(super) const INT4: u32 = 23;
pub(super) const TEXT: u32 = 25;
const OID: u32 = 26;
pub(super) const JSON: u32 = 114;
const XML: u32 = 142;
const FLOAT4: u32 = 700;
const FLOAT8: u32 = 701;
const UNKNOWN: u32 = 705;
const BPCHAR: u32 = 1042;
const VARCHAR: u32 = 1043;
const NUMERIC: u32 = 1700;

impl Deparser<'_> {
    /// The name of a type as SQL has it.
    pub(super) fn type_name(&self, oid: u32) -> Option<String> {
        if let Some((name, array)) = builtins::plain_type(oid) {
            return Some(format!("pg_catalog.\"{name}\"{}", if array { "[]" } else { "" }));
        }
        let of = |schema: &str, name: &str| format!("{}.{}", quoted(schema), quoted(name));
        let types = self.catalog.types();
        if let Some(facts) = types.get(&oid) {
            if facts.kind != 'A' {
                return Some(of(&facts.schema, &facts.name));
            }
            return match types.get(&facts.element).filter(|element| element.kind != 'A') {
                Some(element) => Some(format!("{}[]", of(&element.schema, &element.name))),
                None => self.row_type_name(facts.element).map(|name| format!("{name}[]")),
            };
        }
        self.row_type_name(oid)
    }

    fn row_type_name(&self, oid: u32) -> Option<String> {
        let (_, relation) = self.catalog.relations().find(|(_, r)| oid != 0 && r.facts.row_type == oid)?;
        Some(format!("{}.{}", quoted(&relation.facts.schema), quoted(&relation.facts.name)))
    }

    /// A constant. A text that a cast reads is written with its type (`cast`): alone it would be a constant of another.
    pub(super) fn constant(&mut self, id: Id, cast: bool) -> Option<()> {
        let tree = self.tree;
        let oid: u32 = tree.number(id, "consttype")?;
        if tree.is_true(id, "constisnull") {
            let servers = builtins::plain_type(oid).is_some();
            return if servers { self.typed("NULL", oid) } else { self.put("NULL") };
        }
        let bytes = tree.constant(id, "constvalue")?;
        let text = match oid {
            TEXT | BPCHAR | VARCHAR | JSON | XML => long_text(bytes),
            NAME | UNKNOWN => bytes.split(|b| *b == 0).next(),
            CHAR => bytes.first().filter(|b| b.is_ascii() && **b != 0).map(std::slice::from_ref),
            _ => None,
        };
        if let Some(text) = text.and_then(|t| std::str::from_utf8(t).ok()) {
            let literal = literal(text);
            let alone = oid == UNKNOWN || (oid == TEXT && !cast);
            return if alone { self.put(&literal) } else { self.typed(&literal, oid) };
        }
        let number = match oid {
            BOOL | INT2 | INT4 | INT8 | OID => whole(bytes),
            _ => None,
        };
        match (oid, number) {
            (BOOL, Some(number)) => self.put(if number == 0 { "false" } else { "true" }),
            (INT4, Some(number)) if number >= 0 => self.put(&number.to_string()),
            (INT4, Some(number)) if i32::try_from(number).is_ok_and(|n| n != i32::MIN) => {
                self.put(&format!("({number})"))
            }
            (_, Some(number)) => self.typed(&format!("'{number}'"), oid),
            (FLOAT4, None) => {
                let value = bytes.first_chunk::<4>().map(|b| f32::from_le_bytes(*b).to_string());
                self.typed(&literal(&value?), oid)
            }
            (FLOAT8, None) => {
                let value = bytes.first_chunk::<8>().map(|b| f64::from_le_bytes(*b).to_string());
                self.typed(&literal(&value?), oid)
            }
            (NUMERIC, None) => match numeric(bytes) {
                Some(written) => self.put(&written),
                None => self.typed("'NaN'", oid),
            },
            // A label of an enum is a value of every enum, as far as the analysis goes.
            _ if self.catalog.types().get(&oid).is_some_and(|facts| facts.kind == 'e') && !cast => self.put("'x'"),
            _ => {
                // Braces, so that nobody takes it for what is no array.
                let stand_in = "x".repeat(bytes.len().saturating_mul(WRITTEN_OUT));
                let numbers = super::numbers::marks(oid, bytes);
                self.typed(&format!("'{{{stand_in}{numbers}}}'"), oid)
            }
        }
    }

    /// `CAST(written AS type)`
    fn typed(&mut self, written: &str, oid: u32) -> Option<()> {
        let name = self.type_name(oid);
        self.put("CAST(")?;
        self.put(written)?;
        self.put(" AS ")?;
        self.put(name.as_deref().unwrap_or(NO_TYPE))?;
        self.put(")")
    }
}

/// What a type's modifier says, as far as it is a number that something may be filled up to.
pub(super) fn modifier(oid: u32, modifier: i64) -> i64 {
    let beyond_header = modifier.saturating_sub(4).max(0);
    match oid {
        BPCHAR | VARCHAR => beyond_header,
        // Digits, and how many of them are behind the point.
        NUMERIC => beyond_header >> 16,
        _ => modifier.max(0),
    }
}

/// A whole number as it is in memory. One that is kept in another order of bytes does not fit the width of its type.
pub(super) fn whole(bytes: &[u8]) -> Option<i64> {
    bytes.first_chunk::<8>().filter(|_| bytes.len() == 8).map(|b| i64::from_le_bytes(*b))
}

/// A number of decimal digits, which are kept by fours, as digits and a power of ten (`NumericChoice`), with as many behind the
/// point as it shows.
fn numeric(bytes: &[u8]) -> Option<String> {
    let (head, rest) = long_text(bytes)?.split_first_chunk::<2>()?;
    let head = u16::from_le_bytes(*head);
    let (negative, weight, behind, digits) = match head & 0xc000 {
        0xc000 => return None,
        0x8000 => {
            let low = i32::from(head & 0x3f);
            let weight = if head & 0x40 == 0 { low } else { low - 64 };
            (head & 0x2000 != 0, weight, i32::from((head & 0x1f80) >> 7), rest)
        }
        sign => {
            let (weight, digits) = rest.split_first_chunk::<2>()?;
            (sign == 0x4000, i32::from(i16::from_le_bytes(*weight)), i32::from(head & 0x3fff), digits)
        }
    };
    let mut written = String::from("0");
    let mut power = weight.checked_add(1)?;
    for pair in digits.chunks(2) {
        let four = u16::from_le_bytes(pair.try_into().ok()?);
        if four > 9_999 {
            return None;
        }
        written.push_str(&format!("{four:04}"));
        power = power.checked_sub(1)?;
    }
    let sign = if negative { "-" } else { "" };
    let power = power.checked_mul(4)?;
    let shown = power.min(behind.checked_neg()?);
    match written.trim_start_matches('0') {
        "" => Some(format!("(0e{shown})")),
        digits => {
            let zeros = "0".repeat(usize::try_from(power.checked_sub(shown)?).ok()?);
            // Without a point, the power stays as it is.
            if behind == 0 {
                Some(format!("({sign}{digits}e{power})"))
            } else {
                Some(format!("({sign}{digits}{zeros}e{shown})"))
            }
        }
    }
}

fn literal(text: &str) -> String {
    // Where a backslash escapes, E'' says so.
    format!("'{}'", text.replace('\'', "''"))
}

fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// The text of a value behind its length of four bytes. Constants are stored as they are in memory, and no server of a
/// kind that keeps them otherwise is in use: another order of bytes gives a length that does not fit.
fn long_text(bytes: &[u8]) -> Option<&[u8]> {
    let (length, text) = bytes.split_first_chunk::<4>()?;
    let length = usize::try_from(u32::from_le_bytes(*length) >> 2).ok()?;
    (length == bytes.len()).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A value behind its length.
    fn value(parts: &[u16]) -> Vec<u8> {
        let length = u32::try_from(4 + parts.len() * 2).unwrap_or_default() << 2;
        let body = parts.iter().flat_map(|part| part.to_le_bytes());
        length.to_le_bytes().into_iter().chain(body).collect()
    }

    #[test]
    fn numbers_are_read() {
        for (parts, expected) in [
            (&[0x8080, 1, 5000][..], Some("(15000e-4)")),
            (&[0x8000, 7], Some("(7e0)")),
            (&[0xa000, 7], Some("(-7e0)")),
            (&[0x80ff, 5], Some("(5e-4)")),
            (&[0x8000], Some("(0e0)")),
            // Digits behind the point that are shown and not kept: 1.5000000 and zeros.
            (&[0x8380, 1, 5000], Some("(15000000e-7)")),
            (&[0x8100], Some("(0e-2)")),
            (&[0x3fff, 0], Some("(0e-16383)")),
            (&[0x0001, 2, 1], Some("(1000000000e-1)")),
            (&[0x0000, 100, 1], Some("(1e400)")),
            (&[0x4000, 100, 1], Some("(-1e400)")),
            (&[0xc000], None),
            (&[0x8000, 10_000], None),
        ] {
            assert_eq!(numeric(&value(parts)).as_deref(), expected, "{parts:x?}");
        }
        assert_eq!(numeric(&[]), None);
        assert_eq!((whole(&[254, 255, 255, 255, 255, 255, 255, 255]), whole(&[1])), (Some(-2), None));
        assert_eq!((modifier(VARCHAR, 14), modifier(NUMERIC, 655_366), modifier(BPCHAR, -1)), (10, 10, 0));
    }
}
