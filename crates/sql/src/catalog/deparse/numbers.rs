//! Numbers within constants of other types: documents, arrays, ranges, rows. A `numeric` takes a few bytes and may be written
//! out with a hundred thousand digits, so what stands for such a constant has a number of about as many digits for each.

use crate::builtins;

const JSONB: u32 = 3802;
/// `numeric[]`
const NUMBERS: u32 = 1231;
/// Documents within documents are looked into so deep.
const DEPTH_MAX: u32 = 64;
/// Digits by which numbers are kept.
const BASE: u16 = 10_000;

/// Marks for the numbers in a constant, which count as about as many characters as those are written with.
pub(super) fn marks(oid: u32, bytes: &[u8]) -> String {
    let mut marks = String::new();
    let lengths = match oid {
        JSONB => document(bytes),
        _ if !builtins::holds_numbers(oid) => return marks,
        _ => None,
    };
    for length in lengths.unwrap_or_else(|| possible(oid, bytes)) {
        marks.push_str(match length {
            0..=8 => "",
            9..=100 => " 1e99",
            101..=1_000 => " 1e999",
            _ => " 1e9999",
        });
    }
    marks
}

/// How long the numbers of a `jsonb` value are as text; `None` where it is not understood.
fn document(bytes: &[u8]) -> Option<Vec<usize>> {
    let mut lengths = Vec::new();
    container(bytes.get(4..)?, DEPTH_MAX, &mut lengths)?;
    Some(lengths)
}

/// An array or an object (`JsonbContainer`): how many, a word for each, and then the values.
fn container(bytes: &[u8], depth: u32, lengths: &mut Vec<usize>) -> Option<()> {
    let depth = depth.checked_sub(1)?;
    let head = word(bytes, 0)?;
    let count = usize::try_from(head & 0x0fff_ffff).ok()?;
    let entries = if head & 0x2000_0000 == 0 { count } else { count.checked_mul(2)? };
    let values = bytes.get(entries.checked_mul(4)?.checked_add(4)?..)?;
    let mut from: usize = 0;
    for at in 0..entries {
        let entry = word(bytes, at.checked_mul(4)?.checked_add(4)?)?;
        let given = usize::try_from(entry & 0x0fff_ffff).ok()?;
        let to = if entry & 0x8000_0000 == 0 { from.checked_add(given)? } else { given };
        // Both kinds begin at a multiple of four.
        let value = || values.get(from.checked_next_multiple_of(4)?..to);
        match entry & 0x7000_0000 {
            0x1000_0000 => lengths.push(digits(value()?.get(4..)?)?),
            0x5000_0000 => container(value()?, depth, lengths)?,
            _ => {}
        }
        from = to;
    }
    Some(())
}

/// How long those are that may be numbers, wherever they may begin: in arrays at multiples of four.
fn possible(oid: u32, bytes: &[u8]) -> Vec<usize> {
    // Behind its length, an array says how it is laid out and of what type it is.
    let (first, step) = if oid == NUMBERS { (16, 4) } else { (0, 1) };
    let begins = |at: &usize| {
        let digit = |from: usize| half(bytes, at.checked_add(from)?);
        // One of the long kind, whose first digit is a digit and not none: the short kind has few digits.
        let long = half(bytes, *at).is_some_and(|head| head & 0x8000 == 0);
        long && (digit(4).is_some_and(|first| (1..BASE).contains(&first)) || is_zero(bytes, *at))
    };
    let found = (first..bytes.len()).step_by(step).filter(begins).filter_map(|at| digits(bytes.get(at..)?));
    found.filter(|length| *length > 300).collect()
}

/// Whether a number of no digits may begin here, which has some behind the point all the same: its length stands before it, in
/// four bytes or in one.
fn is_zero(bytes: &[u8], at: usize) -> bool {
    let before = |bytes_before: usize| at.checked_sub(bytes_before);
    let long = before(4).and_then(|from| word(bytes, from)) == Some(8 << 2);
    let short = before(1).and_then(|from| bytes.get(from)) == Some(&(5 << 1 | 1));
    (long || short) && at.checked_add(2).and_then(|from| half(bytes, from)) == Some(0)
}

/// How long a number (`NumericChoice`) is as text: digits before the point by fours, and so many behind it.
fn digits(bytes: &[u8]) -> Option<usize> {
    let head = half(bytes, 0)?;
    let (weight, behind) = match head & 0xc000 {
        0xc000 => (0, 0),
        0x8000 => {
            let low = i32::from(head & 0x3f);
            (if head & 0x40 == 0 { low } else { low - 64 }, usize::from((head & 0x1f80) >> 7))
        }
        _ => (i32::from(i16::from_le_bytes(half(bytes, 2)?.to_le_bytes())), usize::from(head & 0x3fff)),
    };
    let before = usize::try_from(weight.saturating_add(1)).unwrap_or(0).saturating_mul(4);
    Some(before.saturating_add(behind).saturating_add(2))
}

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..)?.first_chunk::<4>().map(|b| u32::from_le_bytes(*b))
}

fn half(bytes: &[u8], at: usize) -> Option<u16> {
    bytes.get(at..)?.first_chunk::<2>().map(|b| u16::from_le_bytes(*b))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As a server keeps it: its length, then the words.
    fn kept(words: &[u32]) -> Vec<u8> {
        let length = u32::try_from(4 + words.len() * 4).unwrap_or_default() << 2;
        std::iter::once(length).chain(words.iter().copied()).flat_map(u32::to_le_bytes).collect()
    }

    #[test]
    fn numbers_of_documents() {
        // [1e131071]: an array of one, a number of twelve bytes, whose weight is 32767 and whose digit is 1000.
        let long = [0x4000_0001, 0x1000_000c, 12 << 2, 32_767 << 16, 1_000];
        assert_eq!(marks(JSONB, &kept(&long)), " 1e9999");
        // [[1e131071]]
        let nested = [0x4000_0001, 0x5000_0014, 0x4000_0001, 0x1000_000c, 12 << 2, 32_767 << 16, 1_000];
        assert_eq!(marks(JSONB, &kept(&nested)), " 1e9999");
        // {"a": 7}: a key of one byte, and behind it a number at the next word.
        let short = [0x2000_0001, 1, 0x1000_000b, u32::from(b'a'), 8 << 2, 0x0007_8000];
        assert_eq!(marks(JSONB, &kept(&short)), "");
        // What does not fit is looked through.
        let odd = [0x4000_0002, 0x1000_000c, 12 << 2, 32_767 << 16, 1_000];
        assert!(marks(JSONB, &kept(&odd)).contains(" 1e9999"));
    }

    #[test]
    fn numbers_of_arrays() {
        // numeric[] of one: dimensions, no bitmap, type, length, lower bound, and the number.
        let array = [1, 0, 1700, 1, 1, 10 << 2, 32_767 << 16, 1_000];
        assert_eq!(marks(NUMBERS, &kept(&array)), " 1e9999");
        assert_eq!(marks(1007, &kept(&array)), "", "integers are no such numbers");
        // What somebody has made may be made of them.
        assert!(marks(70_000, &kept(&array)).contains(" 1e9999"));
        // {1}
        assert_eq!(marks(NUMBERS, &kept(&[1, 0, 1700, 1, 1, 8 << 2, 0x0001_8000])), "");
        // {0e-16383,0e-16383}: no digits, and 16383 behind the point.
        let zero = [8 << 2, 0x0000_3fff];
        let zeros = [1, 0, 1700, 2, 1, zero[0], zero[1], zero[0], zero[1]];
        assert_eq!(marks(NUMBERS, &kept(&zeros)), " 1e9999 1e9999");
        // In a range, its length takes one byte.
        assert_eq!(marks(3906, &[0, 0, 11, 0xff, 0x3f, 0, 0]), " 1e9999");
    }
}
