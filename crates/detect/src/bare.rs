//! Values that are nothing but one whole number in one piece, as columns of keys, amounts and telephone numbers are full of.
//!
//! What such a number may be its length alone says. A test holds what is found so against what the scan of any text finds.

use crate::card;
use crate::decimal::{EIGHT, eight_digits};
use crate::kind::Kind;

/// The fewest and the most digits of such a number: less is nothing, more may be a text in other writing.
const LENGTH_MIN: usize = 7;
const LENGTH_MAX: usize = 19;

/// The smallest number with so many digits.
const NUMBER_MIN: u64 = 1_000_000;

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

/// A one in each byte.
const ONES: u64 = 0x0101_0101_0101_0101;

/// A value that is one number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Bare {
    /// Whether a minus stands before its digits.
    minus: bool,
    length: usize,
    /// The values of its digits, eight in a word, the first one lowest; zeros behind them.
    words: [u64; 3],
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

impl Bare {
    /// Whether a value is as long as such a number, and begins as one does.
    #[inline]
    pub(crate) fn may_be(text: &[u8]) -> bool {
        (LENGTH_MIN..=LENGTH_MAX + 1).contains(&text.len()) && matches!(text.first(), Some(b'0'..=b'9' | b'-'))
    }

    /// The number that the value is. Eight digits at once, the last ones without those before, so that no byte is written twice.
    #[inline]
    pub(crate) fn of(text: &[u8]) -> Option<Self> {
        let minus = text.first() == Some(&b'-');
        let number = text.get(usize::from(minus)..)?;
        let length = number.len();
        if !(LENGTH_MIN..=LENGTH_MAX).contains(&length) {
            return None;
        }
        let [a, b, c, d] = *number.first_chunk::<4>()?;
        let Some(first) = number.first_chunk::<8>() else {
            let [_, e, f, g] = *number.last_chunk::<4>()?;
            return Some(Bare::made(minus, length, [values([a, b, c, d, e, f, g, b'0'])?, 0, 0]));
        };
        let first = values(*first)?;
        // The last eight, of which those before the last full eight go.
        let shift = (length.next_multiple_of(8) - length) * 8;
        let last = values(*number.last_chunk::<8>()?)? >> shift;
        Some(match length {
            8 => Bare::made(minus, length, [first, 0, 0]),
            9..=16 => Bare::made(minus, length, [first, last, 0]),
            _ => Bare::made(minus, length, [first, values(*number.get(8..)?.first_chunk::<8>()?)?, last]),
        })
    }

    /// An integer as its text would be read; `None` where it is too short.
    #[inline]
    pub(crate) fn of_integer(number: i64) -> Option<Self> {
        let whole = number.unsigned_abs();
        if whole < NUMBER_MIN {
            return None;
        }
        let (high, third) = (whole / EIGHT, eight_digits(whole % EIGHT));
        // The words without the zeros before the first digit.
        let moved = |words: [u64; 3], length: usize, zeros: u32| {
            let [first, second, third] = words;
            let bits = zeros * 8;
            let next = |word: u64| (word << (56 - bits)) << 8;
            let words = [first >> bits | next(second), second >> bits | next(third), third >> bits];
            Bare::made(number < 0, length - usize::try_from(zeros).unwrap_or(0), words)
        };
        let zeros = |word: u64| word.trailing_zeros() / 8 % 8;
        Some(match high {
            0 => moved([third, 0, 0], 8, zeros(third)),
            1..EIGHT => {
                let second = eight_digits(high);
                moved([second, third, 0], 16, zeros(second))
            }
            _ => {
                let (first, second) = (eight_digits(high / EIGHT), eight_digits(high % EIGHT));
                moved([first, second, third], 24, zeros(first))
            }
        })
    }

    #[inline]
    fn made(minus: bool, length: usize, words: [u64; 3]) -> Self {
        let mut digits = [0; 24];
        for (to, from) in digits.as_chunks_mut::<8>().0.iter_mut().zip(words) {
            *to = from.to_le_bytes();
        }
        Bare { minus, length, words, digits }
    }

    /// Whether a minus stands before its digits.
    #[inline]
    pub(crate) fn minus(&self) -> bool {
        self.minus
    }

    /// How many digits it has.
    #[inline]
    pub(crate) fn length(&self) -> usize {
        self.length
    }

    /// Where its digits begin, and where they end.
    #[inline]
    pub(crate) fn place(&self) -> (usize, usize) {
        let start = usize::from(self.minus);
        (start, start + self.length)
    }

    /// The kinds that it can be.
    #[inline]
    pub(crate) fn kinds(&self) -> u64 {
        KINDS.get(self.length).copied().unwrap_or(0)
    }

    /// The values of its digits, and zeros behind them.
    #[inline]
    pub(crate) fn all(&self) -> &[u8; 24] {
        &self.digits
    }

    /// The values of its digits.
    #[inline]
    pub(crate) fn digits(&self) -> &[u8] {
        self.digits.get(..self.length).unwrap_or_default()
    }

    /// Whether all digits are the same.
    #[inline]
    pub(crate) fn is_repeated(&self) -> bool {
        let [first, _, _] = self.words;
        // Mostly not even the first four.
        let [a, b, c, d, ..] = self.digits;
        a == b && c == d && first & 0xffff == (first >> 16) & 0xffff && self.digits().iter().all(|digit| *digit == a)
    }

    /// Luhn (ISO/IEC 7812): every second digit from the right is doubled, and nine less where that is more than nine.
    #[inline]
    pub(crate) fn luhn(&self) -> bool {
        let lanes = if self.length.is_multiple_of(2) { 0x00ff_00ff_00ff_00ff } else { 0xff00_ff00_ff00_ff00 };
        let sums = self.words.iter().fold(0, |sums, word| {
            let again = word & lanes;
            let over = ((again + 123 * ONES) >> 7) & ONES;
            sums + word + again - 9 * over
        });
        (sums.wrapping_mul(ONES) >> 56).is_multiple_of(10)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checks;
    use proptest::prelude::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(1000))]

        /// An integer is read as its text is, whatever its length.
        #[test]
        fn an_integer_is_its_text(number in any::<i64>(), digits in 0..20_u32) {
            let number = 10_i64.checked_pow(digits).map_or(number, |size| number % size);
            for number in [number, number.saturating_neg(), number - number % 1000] {
                prop_assert_eq!(Bare::of_integer(number), Bare::of(number.to_string().as_bytes()));
            }
        }

        /// What is computed of eight digits at once is what their sums are.
        #[test]
        fn digits_at_once_are_digits_one_by_one(text in "-?([0-9]{7,19}|(0{7,19}|1{7,19}|7{7,19}|9{7,19})|(0{6,18}|9{6,18})[0-9])") {
            let bare = Bare::of(text.as_bytes());
            let digits: Vec<u8> = text.bytes().filter(u8::is_ascii_digit).map(|byte| byte - b'0').collect();
            prop_assert!(bare.is_none() || Bare::may_be(text.as_bytes()));
            let Some(bare) = bare else {
                prop_assert!(!(LENGTH_MIN..=LENGTH_MAX).contains(&digits.len()));
                return Ok(());
            };
            prop_assert_eq!(bare.digits(), &digits);
            prop_assert_eq!(bare.luhn(), checks::luhn(&digits));
            prop_assert_eq!(bare.is_repeated(), digits.iter().all(|digit| digit == &digits[0]));
        }
    }

    #[test]
    fn the_ends_of_the_lengths_are_their_texts() {
        let tens = (0..19).flat_map(|power| [10_i64.pow(power) - 1, 10_i64.pow(power), 10_i64.pow(power) + 1]);
        for number in tens.flat_map(|number| [number, -number]).chain([i64::MIN, i64::MIN + 1, i64::MAX]) {
            assert_eq!(Bare::of_integer(number), Bare::of(number.to_string().as_bytes()), "{number}");
        }
    }
}
