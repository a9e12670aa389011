//! Rows as the wire has them, built and taken apart by the plainest code there is.
#![allow(dead_code, reason = "each test file uses its part")]

use lockgate_core::Label;
use lockgate_mask::{Column, Format, MaskKeys, Method, Outbox, RowError, RowMasker, Rule, TypeTable};

pub type Row = Vec<Option<Vec<u8>>>;

pub fn label(name: &str) -> Label {
    name.parse().unwrap()
}

pub fn pass(type_oid: u32, format: Format) -> Column {
    Column { type_oid, typmod: -1, format, rule: Rule::Pass }
}

pub fn masked(type_oid: u32, typmod: i32, format: Format, method: Method) -> Column {
    Column { type_oid, typmod, format, rule: Rule::Mask { method, label: label("pii/test") } }
}

pub fn keys() -> MaskKeys {
    MaskKeys::new(&[7; 32])
}

pub fn plan(columns: &[Column]) -> RowMasker {
    RowMasker::new(columns, &TypeTable::new(), &keys())
}

/// The body of a DataRow.
pub fn body(row: &Row) -> Vec<u8> {
    let mut out = u16::try_from(row.len()).unwrap().to_be_bytes().to_vec();
    for value in row {
        match value {
            None => out.extend((-1_i32).to_be_bytes()),
            Some(value) => {
                out.extend(i32::try_from(value.len()).unwrap().to_be_bytes());
                out.extend(value);
            }
        }
    }
    out
}

/// A whole DataRow message.
pub fn frame(row: &Row) -> Vec<u8> {
    message(b'D', &body(row))
}

pub fn message(tag: u8, body: &[u8]) -> Vec<u8> {
    let mut out = vec![tag];
    out.extend(i32::try_from(body.len() + 4).unwrap().to_be_bytes());
    out.extend(body);
    out
}

/// The messages in `bytes`, which must be whole.
pub fn messages(mut bytes: &[u8]) -> Vec<(u8, Vec<u8>)> {
    let mut out = Vec::new();
    while !bytes.is_empty() {
        let length = usize::try_from(i32::from_be_bytes(bytes[1..5].try_into().unwrap())).unwrap();
        out.push((bytes[0], bytes[5..1 + length].to_vec()));
        bytes = &bytes[1 + length..];
    }
    out
}

/// The fields of a DataRow's body.
pub fn fields(body: &[u8]) -> Row {
    let count = u16::from_be_bytes([body[0], body[1]]);
    let mut rest = &body[2..];
    let mut row = Row::new();
    for _ in 0..count {
        let length = i32::from_be_bytes(rest[..4].try_into().unwrap());
        rest = &rest[4..];
        if length == -1 {
            row.push(None);
        } else {
            let (value, after) = rest.split_at(usize::try_from(length).unwrap());
            row.push(Some(value.to_vec()));
            rest = after;
        }
    }
    assert!(rest.is_empty());
    row
}

/// The masked form of one row.
pub fn mask_row(plan: &RowMasker, row: &Row) -> Result<Row, RowError> {
    let mut outbox = Outbox::new();
    outbox.row(plan, &body(row))?;
    let sent = messages(&outbox.take());
    assert_eq!(sent.len(), 1);
    assert_eq!(sent[0].0, b'D');
    Ok(fields(&sent[0].1))
}

/// The masked form of one value.
pub fn mask_value(types: &TypeTable, column: &Column, value: &[u8]) -> Option<Vec<u8>> {
    let plan = RowMasker::new(std::slice::from_ref(column), types, &keys());
    mask_row(&plan, &vec![Some(value.to_vec())]).unwrap().remove(0)
}

pub fn contains(haystack: &[u8], needle: &[u8]) -> bool {
    haystack.windows(needle.len()).any(|window| window == needle)
}
