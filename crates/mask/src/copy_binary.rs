//! The binary format of COPY (COPY's reference page, "Binary Format"), scanned in pieces.
//!
//! ```text
//! Header -> Extension -> Count -> Length -> Value -> ... -> Count -1 -> Done
//! ```
//! The header's extension area has no known content: it is read over and not passed on.

use crate::cell::CellMask;
use crate::copy::CopyError;
use bytes::{BufMut, BytesMut};
use lockgate_core::limits::PG_MASKED_ROW_BYTES_MAX;

const SIGNATURE: &[u8; 11] = b"PGCOPY\n\xff\r\n\0";
/// Signature, flags, length of the extension.
const HEADER_BYTES: usize = 19;

enum Place {
    Header,
    Extension { missing: usize },
    Count,
    Length,
    Value { missing: usize },
    Done,
}

/// A copy in binary format.
pub(crate) struct BinaryCopy {
    masks: Vec<Option<CellMask>>,
    place: Place,
    field: usize,
    /// The start of a header or number that a piece ended in.
    part: Vec<u8>,
    /// The start of a value whose mask looks at it.
    value: Vec<u8>,
}

impl BinaryCopy {
    pub(crate) fn new(masks: Vec<Option<CellMask>>) -> Self {
        BinaryCopy { masks, place: Place::Header, field: 0, part: Vec::new(), value: Vec::new() }
    }

    pub(crate) fn is_done(&self) -> bool {
        matches!(self.place, Place::Done)
    }

    pub(crate) fn feed(&mut self, chunk: &[u8], out: &mut BytesMut) -> Result<(), CopyError> {
        let mut rest = chunk;
        while !rest.is_empty() {
            match self.place {
                Place::Header => {
                    let Some(header) = self.gather::<HEADER_BYTES>(&mut rest) else { break };
                    self.header(&header, out)?;
                }
                Place::Extension { missing } => {
                    let taken = missing.min(rest.len());
                    rest = rest.get(taken..).unwrap_or_default();
                    self.place = match missing - taken {
                        0 => Place::Count,
                        missing => Place::Extension { missing },
                    };
                }
                Place::Count => {
                    let Some(count) = self.gather::<2>(&mut rest) else { break };
                    self.count(i16::from_be_bytes(count), out)?;
                }
                Place::Length => {
                    let Some(length) = self.gather::<4>(&mut rest) else { break };
                    self.length(i32::from_be_bytes(length), out)?;
                }
                Place::Value { missing } => {
                    let taken = missing.min(rest.len());
                    let (piece, after) = rest.split_at_checked(taken).unwrap_or((rest, &[]));
                    self.piece(piece, missing - taken, out);
                    rest = after;
                }
                Place::Done => return Err(CopyError::Trailing),
            }
        }
        Ok(())
    }

    /// The next `N` bytes once they are there.
    fn gather<const N: usize>(&mut self, rest: &mut &[u8]) -> Option<[u8; N]> {
        if self.part.is_empty()
            && let Some((whole, after)) = rest.split_first_chunk::<N>()
        {
            *rest = after;
            return Some(*whole);
        }
        let taken = rest.len().min(N - self.part.len());
        let (piece, after) = rest.split_at_checked(taken)?;
        self.part.extend_from_slice(piece);
        *rest = after;
        let whole: [u8; N] = self.part.as_slice().try_into().ok()?;
        self.part.clear();
        Some(whole)
    }

    fn header(&mut self, header: &[u8; HEADER_BYTES], out: &mut BytesMut) -> Result<(), CopyError> {
        let numbers = header.strip_prefix(SIGNATURE).ok_or(CopyError::Header)?;
        let (flags, extension) = numbers.split_first_chunk::<4>().ok_or(CopyError::Header)?;
        // The upper half are flags that a reader must know; the one that was ever used (OIDs) adds a field.
        if u32::from_be_bytes(*flags) != 0 {
            return Err(CopyError::Header);
        }
        let extension: [u8; 4] = extension.try_into().map_err(|_| CopyError::Header)?;
        let missing = usize::try_from(i32::from_be_bytes(extension)).map_err(|_| CopyError::Header)?;
        out.put_slice(SIGNATURE);
        out.put_slice(&[0; 8]);
        self.place = if missing == 0 { Place::Count } else { Place::Extension { missing } };
        Ok(())
    }

    fn count(&mut self, count: i16, out: &mut BytesMut) -> Result<(), CopyError> {
        out.put_i16(count);
        if count == -1 {
            self.place = Place::Done;
            return Ok(());
        }
        let expected = self.masks.len();
        // The count is an int16; one below -1 is as wrong as any other.
        let got = usize::from(count.unsigned_abs());
        if count < 0 || got != expected {
            return Err(CopyError::FieldCount { expected, got });
        }
        self.field = 0;
        self.place = if expected == 0 { Place::Count } else { Place::Length };
        Ok(())
    }

    fn length(&mut self, length: i32, out: &mut BytesMut) -> Result<(), CopyError> {
        let missing = match usize::try_from(length) {
            Ok(missing) => missing,
            Err(_) if length == -1 => {
                match self.masks.get(self.field) {
                    Some(Some(mask)) => mask.put(None, out),
                    _ => out.put_i32(-1),
                }
                self.end_field();
                return Ok(());
            }
            Err(_) => return Err(CopyError::Length(length)),
        };
        match self.masks.get(self.field) {
            Some(Some(CellMask::Derived(_))) if missing > PG_MASKED_ROW_BYTES_MAX => {
                return Err(CopyError::TooLong { bytes: missing, limit: PG_MASKED_ROW_BYTES_MAX });
            }
            Some(Some(CellMask::Derived(_))) => {}
            // What does not look at the value is written before it.
            Some(Some(mask)) => mask.put(Some(&[]), out),
            Some(None) => out.put_i32(length),
            None => return Err(CopyError::FieldCount { expected: self.masks.len(), got: self.field + 1 }),
        }
        if missing == 0 {
            self.piece(&[], 0, out);
        } else {
            self.place = Place::Value { missing };
        }
        Ok(())
    }

    /// The next piece of a value of which `missing` bytes are still to come.
    fn piece(&mut self, piece: &[u8], missing: usize, out: &mut BytesMut) {
        match self.masks.get(self.field) {
            Some(None) => out.put_slice(piece),
            Some(Some(mask @ CellMask::Derived(_))) => {
                if missing == 0 && self.value.is_empty() {
                    mask.put(Some(piece), out);
                } else {
                    self.value.extend_from_slice(piece);
                    if missing == 0 {
                        mask.put(Some(&std::mem::take(&mut self.value)), out);
                    }
                }
            }
            Some(Some(_)) | None => {}
        }
        if missing == 0 {
            self.end_field();
        } else {
            self.place = Place::Value { missing };
        }
    }

    fn end_field(&mut self) {
        self.field += 1;
        self.place = if self.field == self.masks.len() { Place::Count } else { Place::Length };
    }
}
