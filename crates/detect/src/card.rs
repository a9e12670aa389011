//! Payment cards: issuer ranges and lengths of the networks, groups as cards print them, and the Luhn digit.

use crate::checks::luhn;
use crate::number::{Gap, Number};

/// The fewest digits of any card.
pub(crate) const DIGITS_MIN: usize = 12;
const DIGITS_MAX: usize = 19;

/// How sure the issuer's range and the length make it.
#[derive(Clone, Copy, PartialEq, Eq)]
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

/// What a number is as a card; `None` where it is none.
pub(crate) fn card(number: &Number<'_>) -> Option<Issued> {
    let count = number.digits.len();
    if !(DIGITS_MIN..=DIGITS_MAX).contains(&count) {
        return None;
    }
    let grouped = match number.gap() {
        None => number.is_bare(),
        Some(Gap::Space | Gap::Dash | Gap::Dot) => {
            number.is_shape(&[4, 4, 4, 4])
                || number.is_shape(&[4, 6, 5])
                || number.is_shape(&[4, 6, 4])
                || number.is_shape(&[4, 4, 4, 4, 3])
                || number.is_shape(&[4, 4, 4, 1])
                || number.is_shape(&[4, 4, 4, 2])
        }
        Some(_) => false,
    };
    if !grouped || !luhn(number.digits) || number.digits.iter().skip(6).all(|d| *d == 0) {
        return None;
    }
    issued(number.digits)
}
