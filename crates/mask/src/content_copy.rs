//! Content rules on COPY TO STDOUT, after the copy's own masks: rows are put together, looked into, and passed on.
//!
//! At most one row is held. The text of a field is read without its escapes or quotes, and written with them again.

use crate::content::{ContentPlan, Evidence, Looks, Shown};
use crate::copy::{CopyError, CopyFormat};
use bytes::{Buf, BufMut, BytesMut};
use lockgate_core::limits::PG_MASKED_ROW_BYTES_MAX;
use std::borrow::Cow;
use std::sync::Arc;

/// How rows and fields are told apart.
enum Shape {
    Text { delimiter: u8, null: Vec<u8> },
    Csv { delimiter: u8, quote: u8, escape: u8, null: Vec<u8>, quoted: bool, escaped: bool },
    Binary { begun: bool },
}

/// One copy under content rules.
pub(crate) struct CopyContent {
    plan: Arc<ContentPlan>,
    looks: Looks,
    shape: Shape,
    evidence: Evidence,
    held: BytesMut,
    /// How much of what is held has been searched for a row's end.
    searched: usize,
}

/// Signature, flags, length of the extension.
const HEADER_BYTES: usize = 19;

impl CopyContent {
    pub(crate) fn new(plan: Arc<ContentPlan>, looks: Looks, format: &CopyFormat) -> Self {
        let shape = match format {
            CopyFormat::Text { delimiter, null, .. } => Shape::Text { delimiter: *delimiter, null: null.clone() },
            CopyFormat::Csv { delimiter, quote, escape, null, .. } => Shape::Csv {
                delimiter: *delimiter,
                quote: *quote,
                escape: *escape,
                null: null.clone(),
                quoted: false,
                escaped: false,
            },
            CopyFormat::Binary => Shape::Binary { begun: false },
        };
        CopyContent { plan, looks, shape, evidence: Evidence::default(), held: BytesMut::new(), searched: 0 }
    }

    /// Takes the next piece of the copy and appends the rows that are whole.
    pub(crate) fn feed(&mut self, piece: &[u8], out: &mut BytesMut) -> Result<(), CopyError> {
        self.held.put_slice(piece);
        while let Some(length) = self.row_length()? {
            let row = self.held.split_to(length);
            self.searched = 0;
            match &self.shape {
                Shape::Text { .. } => self.text_row(&row, out),
                Shape::Csv { .. } => self.csv_row(&row, out),
                Shape::Binary { .. } => self.binary_row(&row, out)?,
            }
        }
        if self.held.len() > PG_MASKED_ROW_BYTES_MAX {
            return Err(CopyError::TooLong { bytes: self.held.len(), limit: PG_MASKED_ROW_BYTES_MAX });
        }
        Ok(())
    }

    /// Whether nothing is held back.
    pub(crate) fn is_empty(&self) -> bool {
        self.held.is_empty()
    }

    /// The length of the first row that is held, with its end; `None` where it is not whole.
    fn row_length(&mut self) -> Result<Option<usize>, CopyError> {
        let held = self.held.get(self.searched..).unwrap_or_default();
        match &mut self.shape {
            Shape::Text { .. } => {
                let end = memchr::memchr(b'\n', held);
                let length = end.map(|end| self.searched + end + 1);
                self.searched = self.held.len();
                Ok(length)
            }
            Shape::Csv { quote, escape, quoted, escaped, .. } => {
                for (offset, byte) in held.iter().enumerate() {
                    if *escaped {
                        *escaped = false;
                    } else if *quoted && *byte == *escape && *escape != *quote {
                        *escaped = true;
                    } else if *byte == *quote {
                        *quoted = !*quoted;
                    } else if *byte == b'\n' && !*quoted {
                        return Ok(Some(self.searched + offset + 1));
                    }
                }
                self.searched = self.held.len();
                Ok(None)
            }
            Shape::Binary { begun } => binary_length(&self.held, begun),
        }
    }

    fn text_row(&mut self, row: &[u8], out: &mut BytesMut) {
        let Shape::Text { delimiter, null } = &self.shape else { return };
        let line = row.strip_suffix(b"\n").unwrap_or(row);
        // A piece of a value has nothing to escape.
        let mut rest = Some(line);
        let cells = std::iter::from_fn(|| {
            let line = rest?;
            let end = field_end(line, *delimiter);
            rest = line.get(end + 1..);
            Some(line.get(..end))
        });
        self.evidence.look_ahead(&self.plan, &self.looks, cells);
        let mut rest = line;
        let mut index = 0;
        loop {
            let end = field_end(rest, *delimiter);
            let field = rest.get(..end).unwrap_or_default();
            if field == null.as_slice() {
                out.put_slice(field);
            } else {
                match self.evidence.cell(&self.plan, &self.looks, index, &unescaped(field)) {
                    Shown::Same => out.put_slice(field),
                    Shown::Null => out.put_slice(null),
                    Shown::Value(value) => escape(&value, *delimiter, out),
                }
            }
            let Some(after) = rest.get(end + 1..) else { break };
            out.put_u8(*delimiter);
            rest = after;
            index += 1;
        }
        out.put_slice(row.get(line.len()..).unwrap_or_default());
    }

    fn csv_row(&mut self, row: &[u8], out: &mut BytesMut) {
        let Shape::Csv { delimiter, quote, escape, null, .. } = &self.shape else { return };
        let line = row.strip_suffix(b"\n").unwrap_or(row);
        // A piece of a value has nothing to escape, but may have quotes around it.
        let mut rest = Some(line);
        let cells = std::iter::from_fn(|| {
            let line = rest?;
            let (end, _, _) = csv_field(line, *delimiter, *quote, *escape);
            rest = line.get(end + 1..);
            let field = line.get(..end)?;
            Some(Some(field.strip_prefix(&[*quote]).and_then(|field| field.strip_suffix(&[*quote])).unwrap_or(field)))
        });
        self.evidence.look_ahead(&self.plan, &self.looks, cells);
        let mut rest = line;
        let mut index = 0;
        loop {
            let (end, value, quoted) = csv_field(rest, *delimiter, *quote, *escape);
            let field = rest.get(..end).unwrap_or_default();
            if !quoted && field == null.as_slice() {
                out.put_slice(field);
            } else {
                match self.evidence.cell(&self.plan, &self.looks, index, &value) {
                    Shown::Same => out.put_slice(field),
                    Shown::Null => out.put_slice(null),
                    Shown::Value(value) => {
                        let special = |b: &u8| *b == *delimiter || *b == *quote || matches!(b, b'\n' | b'\r');
                        if quoted || value.iter().any(special) || value == *null {
                            out.put_u8(*quote);
                            for byte in &value {
                                if *byte == *quote || *byte == *escape {
                                    out.put_u8(*escape);
                                }
                                out.put_u8(*byte);
                            }
                            out.put_u8(*quote);
                        } else {
                            out.put_slice(&value);
                        }
                    }
                }
            }
            let Some(after) = rest.get(end + 1..) else { break };
            out.put_u8(*delimiter);
            rest = after;
            index += 1;
        }
        out.put_slice(row.get(line.len()..).unwrap_or_default());
    }

    fn binary_row(&mut self, row: &[u8], out: &mut BytesMut) -> Result<(), CopyError> {
        let Some((count, fields)) = row.split_first_chunk::<2>() else { return Err(CopyError::Truncated) };
        // The file's header and its trailer have no fields.
        if row.starts_with(b"PG") || *count == [0xff, 0xff] {
            out.put_slice(row);
            return Ok(());
        }
        out.put_slice(count);
        let mut rest = fields;
        let cells = std::iter::from_fn(|| {
            let (length, after) = rest.split_first_chunk::<4>()?;
            let bytes = usize::try_from(i32::from_be_bytes(*length)).ok();
            rest = after.get(bytes.unwrap_or(0)..)?;
            Some(bytes.and_then(|bytes| after.get(..bytes)))
        });
        self.evidence.look_ahead(&self.plan, &self.looks, cells);
        let mut rest = fields;
        let mut index = 0;
        while let Some((length, after)) = rest.split_first_chunk::<4>() {
            let length = i32::from_be_bytes(*length);
            let Ok(bytes) = usize::try_from(length) else {
                out.put_i32(length);
                rest = after;
                index += 1;
                continue;
            };
            let (value, after) = after.split_at_checked(bytes).ok_or(CopyError::Truncated)?;
            match self.evidence.cell(&self.plan, &self.looks, index, value) {
                Shown::Same => {
                    out.put_i32(length);
                    out.put_slice(value);
                }
                Shown::Null => out.put_i32(-1),
                Shown::Value(shown) => {
                    out.put_i32(i32::try_from(shown.len()).map_err(|_| CopyError::Truncated)?);
                    out.put_slice(&shown);
                }
            }
            rest = after;
            index += 1;
        }
        Ok(())
    }
}

/// The length of the header, of the first tuple or of the trailer.
fn binary_length(held: &[u8], begun: &mut bool) -> Result<Option<usize>, CopyError> {
    if !*begun {
        let Some(header) = held.get(..HEADER_BYTES) else { return Ok(None) };
        let Some((_, extension)) = header.split_last_chunk::<4>() else { return Ok(None) };
        let extension = usize::try_from(i32::from_be_bytes(*extension)).map_err(|_| CopyError::Header)?;
        let length = HEADER_BYTES.saturating_add(extension);
        *begun = held.len() >= length;
        return Ok(begun.then_some(length));
    }
    let mut rest = held;
    let Some((count, after)) = rest.split_first_chunk::<2>() else { return Ok(None) };
    rest = after;
    let count = i16::from_be_bytes(*count);
    for _ in 0..count {
        let Some((length, mut after)) = rest.split_first_chunk::<4>() else { return Ok(None) };
        if let Ok(length) = usize::try_from(i32::from_be_bytes(*length)) {
            if after.len() < length {
                return Ok(None);
            }
            after.advance(length);
        }
        rest = after;
    }
    Ok(Some(held.len() - rest.len()))
}

/// The end of the text field at the start of a line.
fn field_end(line: &[u8], delimiter: u8) -> usize {
    let mut place = 0;
    while let Some(found) = line.get(place..).and_then(|rest| memchr::memchr2(delimiter, b'\\', rest)) {
        let at = place + found;
        if line.get(at) == Some(&delimiter) {
            return at;
        }
        place = at + 2;
    }
    line.len()
}

fn unescaped(field: &[u8]) -> Cow<'_, [u8]> {
    if memchr::memchr(b'\\', field).is_none() {
        return Cow::Borrowed(field);
    }
    let mut out = Vec::with_capacity(field.len());
    let mut bytes = field.iter();
    while let Some(byte) = bytes.next() {
        out.push(match byte {
            b'\\' => match bytes.next() {
                Some(b'b') => 8,
                Some(b'f') => 12,
                Some(b'n') => b'\n',
                Some(b'r') => b'\r',
                Some(b't') => b'\t',
                Some(b'v') => 11,
                Some(other) => *other,
                None => b'\\',
            },
            plain => *plain,
        });
    }
    Cow::Owned(out)
}

fn escape(value: &[u8], delimiter: u8, out: &mut BytesMut) {
    for byte in value {
        let letter = match byte {
            8 => b'b',
            12 => b'f',
            b'\n' => b'n',
            b'\r' => b'r',
            b'\t' => b't',
            11 => b'v',
            b'\\' => b'\\',
            other if *other == delimiter => delimiter,
            other => {
                out.put_u8(*other);
                continue;
            }
        };
        out.put_slice(&[b'\\', letter]);
    }
}

/// The end of the CSV field at the start of a line, its value, and whether it is quoted.
fn csv_field(line: &[u8], delimiter: u8, quote: u8, escape: u8) -> (usize, Cow<'_, [u8]>, bool) {
    if line.first() != Some(&quote) {
        let end = memchr::memchr(delimiter, line).unwrap_or(line.len());
        return (end, Cow::Borrowed(line.get(..end).unwrap_or_default()), false);
    }
    let mut value = Vec::new();
    let mut place = 1;
    while let Some(byte) = line.get(place) {
        let next = line.get(place + 1);
        if *byte == escape && next.is_some_and(|n| *n == quote || *n == escape) {
            value.extend(next);
            place += 2;
        } else if *byte == quote {
            place += 1;
            break;
        } else {
            value.push(*byte);
            place += 1;
        }
    }
    let rest = line.get(place..).unwrap_or_default();
    let end = place + memchr::memchr(delimiter, rest).unwrap_or(rest.len());
    (end, Cow::Owned(value), true)
}
