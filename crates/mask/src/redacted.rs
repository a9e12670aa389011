//! The constant that stands for a redacted value of each type, as text and as the type's binary form.
//!
//! A constant depends on the type and its modifier and on nothing of the value, so that two databases that differ only in
//! labelled values answer alike: a redacted number has the column's scale, not the value's, and an address is always IPv4.
//! The binary forms are those of the types' receive functions in PostgreSQL's `utils/adt`.

use crate::row::Format;
use crate::types::{ScalarKind, Shape, TypeTable};
use lockgate_core::limits::{
    MASK_COMPOSITE_BYTES_MAX, MASK_PADDING_BYTES_MAX, MASK_TYPE_DEPTH_MAX, MASK_TYPE_PARTS_MAX,
};

/// What stands for a redacted text.
pub(crate) const STARS: &str = "***";

/// The redacted value of a type in one format; `None` where only NULL is safe.
pub(crate) fn value(types: &TypeTable, oid: u32, typmod: i32, format: Format) -> Option<Vec<u8>> {
    Imitation { types, format, parts_left: MASK_TYPE_PARTS_MAX }.value(oid, typmod, 0)
}

/// One redacted value in the making. Types nest, and a composite of composites may double at each level: depth, parts
/// and length are all bounded, and what exceeds them is NULL.
struct Imitation<'a> {
    types: &'a TypeTable,
    format: Format,
    parts_left: usize,
}

impl Imitation<'_> {
    fn value(&mut self, oid: u32, typmod: i32, depth: usize) -> Option<Vec<u8>> {
        self.parts_left = self.parts_left.checked_sub(1)?;
        if depth > MASK_TYPE_DEPTH_MAX {
            return None;
        }
        match (self.types.shape(oid)?, self.format) {
            (Shape::Scalar(kind), Format::Text) => Some(text(kind, typmod)),
            (Shape::Scalar(kind), Format::Binary) => Some(binary(kind, typmod)),
            (Shape::Array(_) | Shape::Multirange, Format::Text) => Some(b"{}".to_vec()),
            // No dimensions, no NULL bitmap, the element's type.
            (Shape::Array(element), Format::Binary) => Some([[0; 4], [0; 4], element.to_be_bytes()].concat()),
            (Shape::Multirange, Format::Binary) => Some(vec![0; 4]),
            (Shape::Range, Format::Text) => Some(b"empty".to_vec()),
            // RANGE_EMPTY.
            (Shape::Range, Format::Binary) => Some(vec![1]),
            (Shape::Composite(fields), Format::Text) => self.composite_text(&fields, depth),
            (Shape::Composite(fields), Format::Binary) => self.composite_binary(&fields, depth),
            (Shape::Domain(base), _) => self.value(base, typmod, depth + 1),
            (Shape::Opaque, _) => None,
        }
    }

    fn composite_text(&mut self, fields: &[u32], depth: usize) -> Option<Vec<u8>> {
        let mut out = b"(".to_vec();
        for (i, field) in fields.iter().enumerate() {
            if i > 0 {
                out.push(b',');
            }
            if let Some(value) = self.value(*field, -1, depth + 1) {
                quote_field(&value, &mut out);
            }
            if out.len() > MASK_COMPOSITE_BYTES_MAX {
                return None;
            }
        }
        out.push(b')');
        Some(out)
    }

    fn composite_binary(&mut self, fields: &[u32], depth: usize) -> Option<Vec<u8>> {
        let mut out = i32::try_from(fields.len()).ok()?.to_be_bytes().to_vec();
        for field in fields {
            out.extend_from_slice(&field.to_be_bytes());
            match self.value(*field, -1, depth + 1) {
                None => out.extend_from_slice(&(-1_i32).to_be_bytes()),
                Some(value) => {
                    out.extend_from_slice(&i32::try_from(value.len()).ok()?.to_be_bytes());
                    out.extend_from_slice(&value);
                }
            }
            if out.len() > MASK_COMPOSITE_BYTES_MAX {
                return None;
            }
        }
        Some(out)
    }
}

/// One field of a composite's text form, quoted as `record_out` does.
pub(crate) fn quote_field(value: &[u8], out: &mut Vec<u8>) {
    let plain = !value.is_empty()
        && !value
            .iter()
            .any(|b| matches!(b, b'"' | b'\\' | b'(' | b')' | b',') || b.is_ascii_whitespace() || *b == 0x0b);
    if plain {
        out.extend_from_slice(value);
        return;
    }
    out.push(b'"');
    for byte in value {
        if matches!(byte, b'"' | b'\\') {
            out.push(*byte);
        }
        out.push(*byte);
    }
    out.push(b'"');
}

/// The length that `varchar(n)`, `char(n)` and `bit(n)` state; a modifier of text counts its own four bytes.
pub(crate) fn declared_length(kind: ScalarKind, typmod: i32) -> Option<usize> {
    match kind {
        ScalarKind::VarChar | ScalarKind::BpChar => usize::try_from(typmod.checked_sub(4)?).ok(),
        ScalarKind::Bit | ScalarKind::VarBit => usize::try_from(typmod).ok(),
        _ => None,
    }
}

/// The scale of `numeric(precision, scale)`; 0 where none is stated or it is negative.
fn scale(typmod: i32) -> u16 {
    let Some(stated) = typmod.checked_sub(4).filter(|t| *t >= 0) else { return 0 };
    // Eleven bits in two's complement.
    let bits = u16::try_from(stated & 0x7ff).unwrap_or(0);
    if bits >= 0x400 { 0 } else { bits }
}

/// `shown` for a column of text type: cut to the declared length, and padded where the type pads.
pub(crate) fn fit(kind: ScalarKind, typmod: i32, shown: &str) -> Vec<u8> {
    let mut out: String = match declared_length(kind, typmod) {
        None => shown.to_owned(),
        Some(length) => shown.chars().take(length).collect(),
    };
    if kind == ScalarKind::BpChar {
        let width = declared_length(kind, typmod).unwrap_or(0).min(MASK_PADDING_BYTES_MAX);
        let missing = width.saturating_sub(out.chars().count());
        out.extend(std::iter::repeat_n(' ', missing));
    }
    out.into_bytes()
}

fn bit_count(kind: ScalarKind, typmod: i32) -> usize {
    // The length of a varbit value, or of a bit value without a declared length, is data.
    match kind {
        ScalarKind::Bit => declared_length(kind, typmod).unwrap_or(0).min(MASK_PADDING_BYTES_MAX),
        _ => 0,
    }
}

fn text(kind: ScalarKind, typmod: i32) -> Vec<u8> {
    use ScalarKind as K;
    let constant: &str = match kind {
        K::Text | K::VarChar | K::BpChar | K::Name => return fit(kind, typmod, STARS),
        K::Numeric => {
            let scale = usize::from(scale(typmod));
            return if scale == 0 { b"0".to_vec() } else { format!("0.{:0<scale$}", "").into_bytes() };
        }
        K::Bit | K::VarBit => return vec![b'0'; bit_count(kind, typmod)],
        K::Char => "*",
        K::Bool => "f",
        K::Bytea => "\\x",
        K::Int2 | K::Int4 | K::Int8 | K::Oid | K::Xid | K::Xid8 | K::Float4 | K::Float8 => "0",
        K::Reg => "-",
        K::Tid => "(0,0)",
        K::Int2Vector | K::OidVector | K::TsVector | K::Hstore | K::Ltree | K::Void => "",
        // The server does not read an empty one in binary.
        K::TsQuery => "'masked'",
        K::Money => "$0.00",
        K::Date => "2000-01-01",
        K::Time | K::Interval => "00:00:00",
        K::TimeTz => "00:00:00+00",
        K::Timestamp => "2000-01-01 00:00:00",
        K::TimestampTz => "2000-01-01 00:00:00+00",
        K::Uuid => "00000000-0000-0000-0000-000000000000",
        K::Inet => "0.0.0.0",
        K::Cidr => "0.0.0.0/0",
        K::MacAddr => "00:00:00:00:00:00",
        K::MacAddr8 => "00:00:00:00:00:00:00:00",
        K::Json | K::Jsonb => "null",
        K::JsonPath => "$",
        K::Xml => "<masked/>",
        K::Point => "(0,0)",
        K::Lseg => "[(0,0),(0,0)]",
        K::Path | K::Polygon => "((0,0))",
        K::Box => "(0,0),(0,0)",
        K::Line => "{0,1,0}",
        K::Circle => "<(0,0),0>",
        K::PgLsn => "0/0",
        K::Snapshot => "1:1:",
        K::Record => "()",
    };
    constant.as_bytes().to_vec()
}

fn binary(kind: ScalarKind, typmod: i32) -> Vec<u8> {
    use ScalarKind as K;
    let zeros = match kind {
        K::Text | K::VarChar | K::BpChar | K::Name | K::Char | K::Json | K::Xml => return text(kind, typmod),
        // ndigits, weight, sign, dscale.
        K::Numeric => return [[0, 0], [0, 0], [0, 0], scale(typmod).to_be_bytes()].concat(),
        K::Bit | K::VarBit => {
            let count = bit_count(kind, typmod);
            let mut out = i32::try_from(count).unwrap_or(0).to_be_bytes().to_vec();
            out.resize(4 + count.div_ceil(8), 0);
            return out;
        }
        // Family, bits, is_cidr, length, address; PGSQL_AF_INET is 2.
        K::Inet => return vec![2, 32, 0, 4, 0, 0, 0, 0],
        K::Cidr => return vec![2, 0, 1, 4, 0, 0, 0, 0],
        // A version, then the text.
        K::Jsonb => return b"\x01null".to_vec(),
        K::JsonPath => return b"\x01$".to_vec(),
        K::Ltree => return vec![1],
        // Closed, one point.
        K::Path => return [&[1, 0, 0, 0, 1][..], &[0; 16]].concat(),
        K::Polygon => return [&[0, 0, 0, 1][..], &[0; 16]].concat(),
        // A = 0, B = 1, C = 0: A and B may not both be 0.
        K::Line => return [0.0_f64.to_be_bytes(), 1.0_f64.to_be_bytes(), 0.0_f64.to_be_bytes()].concat(),
        // One item: an operand, of any weight, no prefix, its text.
        K::TsQuery => return b"\0\0\0\x01\x01\0\0masked\0".to_vec(),
        // No transactions in progress, xmin 1, xmax 1.
        K::Snapshot => return [&[0; 4][..], &1_i64.to_be_bytes(), &1_i64.to_be_bytes()].concat(),
        // One dimension of no elements, as the server writes an empty vector.
        K::Int2Vector => return vector(21),
        K::OidVector => return vector(26),
        K::Bytea | K::Void => 0,
        K::Bool => 1,
        K::Int2 => 2,
        K::Int4 | K::Oid | K::Reg | K::Xid | K::Float4 | K::Date => 4,
        K::TsVector | K::Hstore | K::Record => 4,
        K::Tid | K::MacAddr => 6,
        K::Int8 | K::Xid8 | K::Float8 | K::Money | K::Time | K::Timestamp | K::TimestampTz | K::MacAddr8 | K::PgLsn => {
            8
        }
        K::TimeTz => 12,
        K::Interval | K::Uuid | K::Point => 16,
        K::Circle => 24,
        K::Lseg | K::Box => 32,
    };
    vec![0; zeros]
}

fn vector(element: u32) -> Vec<u8> {
    [1_u32, 0, element, 0, 0].into_iter().flat_map(u32::to_be_bytes).collect()
}
