//! What detectors read of binary values that have parts: arrays, rows, ranges. Numbers and addresses in them are not written as
//! text there, so each part is, one in a line. The forms are those of `array_send`, `record_send`, `range_send` and
//! `multirange_send` in PostgreSQL's `utils/adt`. What is of another form is read as it is.

use crate::content::{Way, readable};
use lockgate_core::limits::{MASK_TYPE_DEPTH_MAX, PG_FIRST_USER_OID};

/// A type with parts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Parts {
    /// Its elements say of which type they are.
    Array,
    /// Its fields do.
    Row,
    /// Its bounds are of this type.
    Range(u32),
    /// Ranges of such.
    Multirange(u32),
}

/// A range without values (`RANGE_EMPTY`), and bounds that are not there (`RANGE_LB_INF`, `RANGE_UB_INF`).
const EMPTY: u8 = 0x01;
const NO_LOWER: u8 = 0x08;
const NO_UPPER: u8 = 0x10;

/// How a part of this type of the server's own is read.
fn way_of(type_oid: u32) -> Way {
    match type_oid {
        20 | 21 | 23 | 26 => Way::Integer,
        701 => Way::Float,
        1700 => Way::Numeric,
        650 | 869 => Way::Address,
        1005 | 1007 | 1016 | 1022 | 1028 | 1231 | 651 | 1041 => Way::Parts(Parts::Array),
        2249 => Way::Parts(Parts::Row),
        3904 => Way::Parts(Parts::Range(23)),
        3926 => Way::Parts(Parts::Range(20)),
        3906 => Way::Parts(Parts::Range(1700)),
        4451 => Way::Parts(Parts::Multirange(23)),
        4536 => Way::Parts(Parts::Multirange(20)),
        4532 => Way::Parts(Parts::Multirange(1700)),
        790 => Way::Money,
        791 => Way::Parts(Parts::Array),
        _ => Way::Whole,
    }
}

impl Parts {
    /// Ranges of the server's own; of others the bounds are read as they are.
    pub(crate) fn of_range(type_oid: u32, multi: bool) -> Parts {
        match way_of(type_oid) {
            Way::Parts(parts @ (Parts::Range(_) | Parts::Multirange(_))) => parts,
            _ if multi => Parts::Multirange(0),
            _ => Parts::Range(0),
        }
    }

    /// The parts of a value as text.
    pub(crate) fn read(self, value: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        match self.write(value, 0, &mut out) {
            Some(()) => out,
            None => value.to_vec(),
        }
    }

    fn write(self, value: &[u8], depth: usize, out: &mut Vec<u8>) -> Option<()> {
        if depth > MASK_TYPE_DEPTH_MAX {
            return None;
        }
        let mut rest = value;
        match self {
            Parts::Array => {
                let dimensions = number(&mut rest)?;
                let (_nulls, type_oid) = (number(&mut rest)?, number(&mut rest)?);
                if dimensions > 6 {
                    return None;
                }
                for _ in 0..dimensions {
                    let (_length, _bound) = (number(&mut rest)?, number(&mut rest)?);
                }
                while !rest.is_empty() {
                    part(type_oid, &mut rest, depth, out)?;
                }
            }
            Parts::Row => {
                for _ in 0..number(&mut rest)? {
                    let type_oid = number(&mut rest)?;
                    part(type_oid, &mut rest, depth, out)?;
                }
            }
            Parts::Range(type_oid) => {
                let (flags, bounds) = rest.split_first()?;
                rest = bounds;
                for missing in [NO_LOWER, NO_UPPER] {
                    if flags & (EMPTY | missing) == 0 {
                        part(type_oid, &mut rest, depth, out)?;
                    }
                }
            }
            Parts::Multirange(type_oid) => {
                for _ in 0..number(&mut rest)? {
                    let length = usize::try_from(number(&mut rest)?).ok()?;
                    let (range, after) = rest.split_at_checked(length)?;
                    rest = after;
                    Parts::Range(type_oid).write(range, depth + 1, out)?;
                }
            }
        }
        rest.is_empty().then_some(())
    }
}

/// The next four bytes.
fn number(rest: &mut &[u8]) -> Option<u32> {
    let (head, after) = rest.split_first_chunk::<4>()?;
    *rest = after;
    Some(u32::from_be_bytes(*head))
}

/// The next part: its length, or -1 for NULL, and its bytes.
fn part(type_oid: u32, rest: &mut &[u8], depth: usize, out: &mut Vec<u8>) -> Option<()> {
    let length = number(rest)?;
    if length == u32::MAX {
        return Some(());
    }
    let (value, after) = rest.split_at_checked(usize::try_from(length).ok()?)?;
    *rest = after;
    // Types of users do not say what they are: a row or an array is told by its form, which hardly anything else has.
    let forms: &[Parts] = match way_of(type_oid) {
        Way::Parts(parts) => &[parts],
        _ if type_oid >= PG_FIRST_USER_OID => &[Parts::Row, Parts::Array],
        _ => &[],
    };
    let before = out.len();
    let formed = forms.iter().any(|form| {
        out.truncate(before);
        form.write(value, depth + 1, out).is_some()
    });
    if !formed {
        out.truncate(before);
    }
    match way_of(type_oid) {
        _ if formed => {}
        Way::Parts(_) => out.extend_from_slice(value),
        way => match readable(way, value, &mut Vec::new()) {
            Some(text) => out.extend_from_slice(text),
            None => out.extend_from_slice(value),
        },
    }
    out.push(b'\n');
    Some(())
}
