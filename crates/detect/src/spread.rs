//! Card numbers that are not written as cards print them: in equal groups with anything between them, be it the quotes, keys and
//! tags of a document; with thousands marked; with an exponent; glued to a word.
//!
//! Lists of other numbers look so by chance. So a list counts as a whole only, and only what networks usually issue.

use crate::card::{USUAL_MAX, USUAL_MIN, is_usual};
use crate::class::{self, at, before, slice};
use std::ops::Range;

/// The longest group that is put together with others.
const GROUP_MAX: usize = 6;
/// The longest gap: of signs alone, a key or a tag in it, and all of it.
const SIGNS_MAX: usize = 6;
const KEY_MAX: usize = 32;
const GAP_MAX: usize = 48;

/// A list of numbers of one length with the same between them; the last may be shorter.
pub(crate) struct List {
    /// The end of its last number.
    pub(crate) end: usize,
    /// How many of its numbers are a card.
    card: usize,
    /// The numbers are one value with signs in it, not values of their own.
    pub(crate) one: bool,
}

/// Whether a list can go on behind its first number, which ends at `end`: most are followed by words, or by a key.
#[inline]
pub(crate) fn goes_on(text: &[u8], end: usize) -> bool {
    let ahead = |count| at(text, end + count);
    match at(text, end) {
        b'"' | b'<' | b'\\' => true,
        // Most points are of fractions.
        b'.' => ahead(4) == b'.' || ahead(5) == b'.' || ahead(2) == b'.' || ahead(3) == b'.',
        b']' | b'}' | b')' => false,
        _ => {
            ahead(1).is_ascii_digit()
                || !ahead(1).is_ascii_alphabetic() && !ahead(2).is_ascii_alphabetic() && ahead(2) != b'"'
        }
    }
}

/// The list of three numbers or more that begins with the digits from `start` to `end`.
pub(crate) fn list(text: &[u8], start: usize, end: usize) -> Option<List> {
    if end - start > GROUP_MAX {
        return None;
    }
    let second = gap(text, end)?;
    let length = class::run(text, second, class::DIGIT);
    // `4,111,111,…`
    let thousands = end - start < 3 && length == 3;
    let size = if thousands { 3 } else { end - start };
    // The second number must be as long, and followed by what follows the first.
    if length > size || at(text, second + length) != at(text, end) {
        return None;
    }
    let between = slice(text, end, second);
    let (mut count, mut total, mut to, mut card) = (1, end - start, end, 0);
    let mut next = Some(second);
    while let Some(from) = next {
        let length = class::run(text, from, class::DIGIT);
        if length > size || thousands && length < size || at(text, from + length).is_ascii_alphabetic() {
            break;
        }
        // One that is shorter ends the list, or does not belong to it.
        if length < size && is_card(text, start, count, total) {
            card = count;
        }
        (count, total, to) = (count + 1, total + length, from + length);
        next =
            if length < size { None } else { gap(text, to).filter(|next| is_alike(between, slice(text, to, *next))) };
    }
    if is_card(text, start, count, total) {
        card = count;
    }
    let apart = |b: &u8| matches!(b, b',' | b'"' | b'<' | b'>' | b';' | b'|' | b'\n' | b'\t');
    (count > 2).then_some(List { end: to, card, one: thousands || !between.iter().any(apart) })
}

/// Whether the first numbers of a list, with so many digits, are a card.
fn is_card(text: &[u8], start: usize, count: usize, total: usize) -> bool {
    if count < 3 || !(USUAL_MIN..=USUAL_MAX).contains(&total) {
        return false;
    }
    let mut digits = [0; USUAL_MAX];
    let mut places = digits.iter_mut();
    for (from, to) in numbers(text, start, count) {
        slice(text, from, to).iter().zip(&mut places).for_each(|(byte, place)| *place = *byte);
    }
    is_usual(slice(&digits, 0, total))
}

/// Where the first numbers of a list are.
fn numbers(text: &[u8], start: usize, count: usize) -> impl Iterator<Item = (usize, usize)> {
    let mut next = Some(start);
    std::iter::from_fn(move || {
        let from = next?;
        let to = from + class::run(text, from, class::DIGIT);
        next = gap(text, to);
        Some((from, to))
    })
    .take(count)
}

impl List {
    /// The numbers of the card that the list from `start` on is; none where it is no card.
    pub(crate) fn card(&self, text: &[u8], start: usize) -> impl Iterator<Item = (usize, usize)> {
        numbers(text, start, self.card)
    }
}

/// Where the next digits begin behind what may stand between two values: signs, with the key of an object or tags among them.
fn gap(text: &[u8], start: usize) -> Option<usize> {
    let mut place = start;
    let mut mark = 0;
    let mut ends = start + SIGNS_MAX;
    loop {
        let byte = at(text, place);
        if byte.is_ascii_digit() {
            return (place > start).then_some(place);
        }
        if byte.is_ascii_alphabetic() {
            match mark {
                // A line's end within a text of JSON.
                _ if before(text, place) == b'\\' && matches!(byte, b'n' | b'r' | b't') => {}
                // A key, and what stands between it and a number.
                b'"' => {
                    place += slice(text, place, (place + KEY_MAX).min(text.len())).iter().position(|b| *b == b'"')?;
                    (mark, ends) = (b':', place + SIGNS_MAX);
                }
                b'<' => {
                    place += memchr::memchr(b'>', slice(text, place, (place + KEY_MAX).min(text.len())))?;
                    (mark, ends) = (0, place + SIGNS_MAX);
                }
                _ => return None,
            }
        } else if place >= ends || place - start >= GAP_MAX || place >= text.len() {
            return None;
        } else if mark == 0 && (byte == b'<' || byte == b'"' && place > start) {
            // Keys stand between texts: an object of numbers is a list of amounts.
            mark = if byte == b'<' || at(text, start) == b'"' { byte } else { b':' };
        }
        place += 1;
    }
}

/// Whether two gaps have the same signs; keys and tags may differ.
fn is_alike(one: &[u8], other: &[u8]) -> bool {
    let signs = |b: &&u8| !b.is_ascii_alphanumeric() && **b != b'_';
    one == other || one.len() > SIGNS_MAX && one.iter().filter(signs).eq(other.iter().filter(signs))
}

/// The next digits from `start` on that are enough for a card. Eight bytes at a time are looked at: wherever so many digits
/// follow each other, every seventh byte begins eight of them somewhere.
pub(crate) fn long_digits(text: &[u8], start: usize, end: usize) -> Option<Range<usize>> {
    let bytes = slice(text, 0, end);
    let mut place = start;
    loop {
        let eight = bytes.get(place..)?.first_chunk::<8>()?;
        let word = u64::from_le_bytes(*eight);
        // The high halves are 3, and stay so when 6 is added: `0` to `9`.
        let high = |word: u64| word & 0xf0f0_f0f0_f0f0_f0f0;
        if high(word) == 0x3030_3030_3030_3030
            && high(word.wrapping_add(0x0606_0606_0606_0606)) == 0x3030_3030_3030_3030
        {
            let head = slice(bytes, start, place).iter().rev().take_while(|b| b.is_ascii_digit()).count();
            let tail = class::run(bytes, place, class::DIGIT);
            if head + tail >= USUAL_MIN {
                return Some(place - head..place + tail);
            }
            place += tail;
        }
        place += 7;
    }
}

/// The card within the digits from `start` to `end`, whatever stands beside them: behind zeros, and not behind a decimal point.
pub(crate) fn glued(text: &[u8], start: usize, end: usize) -> Option<(usize, usize)> {
    let zeros = slice(text, start, end).iter().take_while(|b| **b == b'0').count();
    let digits = slice(text, start + zeros, end);
    let fraction = matches!(before(text, start), b'.' | b',')
        && start.checked_sub(1).is_some_and(|at| before(text, at).is_ascii_digit());
    (!fraction && digits.len() <= USUAL_MAX && is_usual(digits)).then_some((start, end))
}

/// The end of the card that is written as one digit, a point, others and an exponent: `4.111111111111111e+15`.
pub(crate) fn exponent(text: &[u8], start: usize) -> Option<usize> {
    let length = class::run(text, start + 2, class::DIGIT);
    let mark = start + 2 + length;
    if !matches!(at(text, mark), b'e' | b'E') {
        return None;
    }
    let from = mark + 1 + usize::from(at(text, mark + 1) == b'+');
    let ten = match (at(text, from), at(text, from + 1)) {
        (b'1', digit @ b'3'..=b'5') if !at(text, from + 2).is_ascii_alphanumeric() => usize::from(digit - b'0') + 10,
        _ => return None,
    };
    let mut digits = [b'0'; USUAL_MAX];
    for (to, byte) in digits.iter_mut().zip(slice(text, start, start + 1).iter().chain(slice(text, start + 2, mark))) {
        *to = *byte;
    }
    (length <= ten && is_usual(slice(&digits, 0, ten + 1))).then_some(from + 2)
}
