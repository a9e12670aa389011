//! Values that are nothing but one whole number in one piece, as columns of keys, amounts and telephone numbers are full of.
//!
//! What such a number may be its length alone says. A test holds what is found so against what the scan of any text finds.

use crate::card;
use crate::kind::Kind;
use crate::number::{Gap, Group};

/// The fewest and the most digits of such a number: less is nothing, more may be a text in other writing.
const LENGTH_MIN: usize = 7;
const LENGTH_MAX: usize = 19;

/// The kinds that a number of each length can be.
static KINDS: [u64; LENGTH_MAX + 1] = {
    let mut kinds = [0; LENGTH_MAX + 1];
    let mut length = LENGTH_MIN;
    #[expect(clippy::indexing_slicing, reason = "computed when it is compiled")]
    while length <= LENGTH_MAX {
        kinds[length] = of_length(length);
        length += 1;
    }
    kinds
};

const fn of_length(length: usize) -> u64 {
    let phone = if length <= 17 { Kind::Phone.bit() } else { 0 };
    let card = if length >= card::DIGITS_MIN { Kind::Card.bit() } else { 0 };
    let passport = if length <= 9 { Kind::Passport.bit() } else { 0 };
    let national = match length {
        8..=15 | 18 => Kind::IDS,
        _ => 0,
    };
    let ssn = if length == 9 { Kind::UsSsn.bit() } else { 0 };
    phone | card | passport | national | ssn
}

/// A value that is one number.
pub(crate) struct Bare<'a> {
    text: &'a [u8],
    /// Where its digits begin: behind a minus.
    start: usize,
    digits: [u8; 24],
}

/// The values of eight digits in ASCII, the first one lowest; `None` where one is none.
#[inline]
fn values(ascii: [u8; 8]) -> Option<u64> {
    const HIGH: u64 = 0xf0f0_f0f0_f0f0_f0f0;
    const ZEROS: u64 = 0x3030_3030_3030_3030;
    let word = u64::from_le_bytes(ascii);
    // The high halves are 3, and stay so when 6 is added: `0` to `9`.
    let digits = word & HIGH == ZEROS && word.wrapping_add(0x0606_0606_0606_0606) & HIGH == ZEROS;
    digits.then_some(word ^ ZEROS)
}

/// Whether a text is of digits alone.
#[inline]
pub fn is_digits(text: &[u8]) -> bool {
    match (text.first_chunk::<8>(), text.last_chunk::<8>()) {
        (Some(first), Some(last)) if text.len() <= 16 => values(*first).is_some() && values(*last).is_some(),
        _ => text.iter().all(u8::is_ascii_digit),
    }
}

impl<'a> Bare<'a> {
    /// The number that the value is. Eight digits at once, the last ones without those before, so that no byte is written twice.
    #[inline]
    pub(crate) fn of(text: &'a [u8]) -> Option<Self> {
        let start = usize::from(text.first() == Some(&b'-'));
        let number = text.get(start..)?;
        let length = number.len();
        if !(LENGTH_MIN..=LENGTH_MAX).contains(&length) {
            return None;
        }
        let [a, b, c, d] = *number.first_chunk::<4>()?;
        let Some(first) = number.first_chunk::<8>() else {
            let [_, e, f, g] = *number.last_chunk::<4>()?;
            return Bare::made(text, start, values([a, b, c, d, e, f, g, b'0'])?, 0, 0);
        };
        let first = values(*first)?;
        // The last eight, of which those before the last full eight go.
        let shift = (length.next_multiple_of(8) - length) * 8;
        let last = values(*number.last_chunk::<8>()?)? >> shift;
        match length {
            8 => Bare::made(text, start, first, 0, 0),
            9..=16 => Bare::made(text, start, first, last, 0),
            _ => Bare::made(text, start, first, values(*number.get(8..)?.first_chunk::<8>()?)?, last),
        }
    }

    #[inline]
    fn made(text: &'a [u8], start: usize, first: u64, second: u64, third: u64) -> Option<Self> {
        let mut digits = [0; 24];
        for (to, from) in digits.as_chunks_mut::<8>().0.iter_mut().zip([first, second, third]) {
            *to = from.to_le_bytes();
        }
        Some(Bare { text, start, digits })
    }

    #[inline]
    pub(crate) fn text(&self) -> &'a [u8] {
        self.text
    }

    /// Where its digits begin.
    #[inline]
    pub(crate) fn start(&self) -> usize {
        self.start
    }

    /// How many digits it has.
    #[inline]
    fn length(&self) -> usize {
        self.text.len().saturating_sub(self.start)
    }

    /// The kinds that it can be.
    #[inline]
    pub(crate) fn kinds(&self) -> u64 {
        KINDS.get(self.length()).copied().unwrap_or(0)
    }

    /// The values of its digits.
    #[inline]
    pub(crate) fn digits(&self) -> &[u8] {
        self.digits.get(..self.length()).unwrap_or_default()
    }

    /// All of it as the one group of a number.
    #[inline]
    pub(crate) fn groups(&self) -> [Group; 1] {
        [Group { start: self.start, end: self.text.len(), gap: Gap::None, digits: self.length() }]
    }
}
