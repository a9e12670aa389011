//! Payment cards: issuer ranges and lengths of the networks, groups as cards print them, and the Luhn digit.

use crate::bare::Bare;
use crate::checks::luhn;
use crate::number::{Gap, Number};

/// The fewest digits of any card.
pub(crate) const DIGITS_MIN: usize = 12;
const DIGITS_MAX: usize = 19;
/// The fewest and the most digits of the cards that are usual.
pub(crate) const USUAL_MIN: usize = 14;
pub(crate) const USUAL_MAX: usize = 16;

/// How sure the issuer's range and the length make it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Issued {
    /// The length that cards of this range have.
    Usual,
    /// A length that the range allows and that is rare.
    Rare,
}

/// Whether a network issues numbers that begin so, of this length.
fn issued(digits: &[u8]) -> Option<Issued> {
    let six = crate::checks::number(digits, 0, 6);
    let length = digits.len();
    let usual = |usual: &[usize], rare: std::ops::RangeInclusive<usize>| {
        if usual.contains(&length) {
            Some(Issued::Usual)
        } else if rare.contains(&length) {
            Some(Issued::Rare)
        } else {
            None
        }
    };
    match six {
        // Visa; 13 digits are old, 19 new.
        400_000..=499_999 if length == 13 || length == 16 || length == 19 => usual(&[16], 13..=19),
        // Mastercard.
        510_000..=559_999 | 222_100..=272_099 => usual(&[16], 16..=16),
        // American Express.
        340_000..=349_999 | 370_000..=379_999 => usual(&[15], 15..=15),
        // Diners Club.
        300_000..=305_999 | 309_500..=309_599 | 360_000..=369_999 | 380_000..=399_999 => usual(&[14], 14..=19),
        // Discover, RuPay.
        601_100..=601_199 | 644_000..=659_999 | 600_000..=600_999 => usual(&[16], 16..=19),
        // JCB.
        352_800..=358_999 => usual(&[16], 16..=19),
        // UnionPay.
        620_000..=629_999 | 810_000..=817_199 => usual(&[16], 16..=19),
        // Mir.
        220_000..=220_499 => usual(&[16], 16..=19),
        // Troy, RuPay, Verve, Dankort.
        979_200..=979_299 | 508_000..=508_999 | 506_099..=506_198 | 501_900..=501_999 => usual(&[16], 16..=19),
        // Maestro.
        500_000..=509_999 | 560_000..=589_999 | 630_000..=639_999 | 670_000..=679_999 => usual(&[16], 12..=19),
        _ => None,
    }
}

/// The lengths that cards have which begin with these two digits, from the shortest on: a bit each.
const fn lengths(two: u8) -> u8 {
    match two {
        40..=49 => 1 << 1 | 1 << 4 | 1 << 7,
        51..=55 | 23..=27 => 1 << 4,
        34 | 37 => 1 << 3,
        30 | 36 | 38 | 39 => 0xfc,
        22 | 35 | 60 | 62 | 64 | 65 | 81 | 97 => 0xf0,
        50 | 56..=58 | 63 | 67 => 0xff,
        _ => 0,
    }
}

/// The same for all of them.
static LENGTHS: [u8; 128] = {
    let mut all = [0; 128];
    let mut two: u8 = 0;
    #[expect(clippy::indexing_slicing, clippy::as_conversions, reason = "computed when it is compiled")]
    while two < 100 {
        all[two as usize] = lengths(two);
        two += 1;
    }
    all
};

/// Whether a card can begin with these two digits and be so long.
#[inline]
fn may_be_issued(tens: u8, units: u8, length: usize) -> bool {
    let lengths = LENGTHS.get(usize::from((tens * 10 + units) & 127)).copied().unwrap_or(0);
    length.checked_sub(DIGITS_MIN).is_some_and(|over| over < 8 && lengths >> over & 1 == 1)
}

/// What digits in one piece are as a card; `None` where they are none.
#[inline]
pub(crate) fn bare(bare: &Bare) -> Option<Issued> {
    let [tens, units, ..] = *bare.all();
    // Both at once: either of them is a wrong guess of the processor for every so many numbers.
    if may_be_issued(tens, units, bare.length()) & bare.luhn() { checked(bare.digits()) } else { None }
}

/// What a number is as a card; `None` where it is none.
#[inline]
pub(crate) fn card(number: &Number<'_>) -> Option<Issued> {
    let count = number.digits.len();
    if !(DIGITS_MIN..=DIGITS_MAX).contains(&count) {
        return None;
    }
    let shape = |lengths: &[usize]| number.is_shape(lengths);
    let parted = |gap| matches!(gap, Gap::None | Gap::Space | Gap::Dash | Gap::Dot | Gap::Low | Gap::Slash);
    let grouped = match number.gap() {
        None if number.is_bare() => true,
        Some(Gap::Space | Gap::Dash | Gap::Dot | Gap::Low)
            if shape(&[4, 6, 4]) || shape(&[4, 4, 4, 4, 3]) || shape(&[4, 4, 4, 1]) || shape(&[4, 4, 4, 2]) =>
        {
            true
        }
        // The issuer, and the rest; the last four, and the rest; halves.
        Some(Gap::Dash | Gap::Low)
            if shape(&[6, 10]) || shape(&[6, 9]) || shape(&[12, 4]) || shape(&[11, 4]) || shape(&[8, 8]) =>
        {
            true
        }
        _ => (shape(&[4, 4, 4, 4]) || shape(&[4, 6, 5])) && number.groups.iter().all(|group| parted(group.gap)),
    };
    if grouped { checked(number.digits) } else { None }
}

/// What these digits are as a card.
fn checked(digits: &[u8]) -> Option<Issued> {
    // The issuer first: of most numbers that stand side by side there is none.
    issued(digits).filter(|_| luhn(digits) && !digits.iter().skip(6).all(|d| *d == 0))
}

/// Whether a card of a usual length can begin so, by two of its digits: of most numbers that stand side by side none can.
fn may_be_usual(digits: &[u8]) -> bool {
    match digits {
        [b'3', second, ..] => match digits.len() {
            14 => matches!(second, b'0' | b'6' | b'8' | b'9'),
            15 => matches!(second, b'4' | b'7'),
            length => length == 16 && *second == b'5',
        },
        [first, second, ..] => {
            digits.len() == 16
                && matches!(
                    (first, second),
                    (b'2', b'2'..=b'7') | (b'4', _) | (b'5', _) | (b'6', _) | (b'8', b'1') | (b'9', b'7')
                )
        }
        _ => false,
    }
}

/// Whether digits, as ASCII and however they are written, are a card of a usual length.
pub fn is_usual(digits: &[u8]) -> bool {
    may_be_usual(digits) && is_checked(digits)
}

/// The same by all of the digits.
fn is_checked(digits: &[u8]) -> bool {
    let mut values = [0; USUAL_MAX];
    let Some(values) = values.get_mut(..digits.len()) else { return false };
    for (to, from) in values.iter_mut().zip(digits) {
        *to = from.wrapping_sub(b'0');
    }
    digits.len() >= USUAL_MIN && checked(values) == Some(Issued::Usual)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Over all that issuers have: what two digits rule out is no card, or none of a usual length.
    #[test]
    fn the_first_two_digits_rule_out_no_card() {
        for first in 0..1_000_000_u32 {
            let mut values = [0; DIGITS_MAX];
            let mut rest = first;
            for digit in values[..6].iter_mut().rev() {
                (*digit, rest) = (u8::try_from(rest % 10).unwrap(), rest / 10);
            }
            let text = values.map(|digit| digit + b'0');
            for length in DIGITS_MIN..=DIGITS_MAX {
                let issued = issued(&values[..length]);
                let usual = issued == Some(Issued::Usual) && (USUAL_MIN..=USUAL_MAX).contains(&length);
                assert!(!usual || may_be_usual(&text[..length]), "{first} {length}");
                assert!(issued.is_none() || may_be_issued(values[0], values[1], length), "{first} {length}");
            }
        }
    }
}
