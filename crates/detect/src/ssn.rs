//! US social security numbers: which areas, groups and serials were never given out.

use crate::number::{Gap, Number};

/// How a number is written as a social security number.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Written {
    /// `123-45-6789` or `123 45 6789`.
    Grouped,
    /// In a way that other numbers have too.
    Loose,
}

/// What a number is as a social security number; `None` where it is none.
#[inline]
pub(crate) fn ssn(number: &Number<'_>) -> Option<Written> {
    let digits = number.digits.as_array::<9>()?;
    if !is_given_out(digits) {
        return None;
    }
    let repeated = number.digits.iter().all(|d| *d == number.digit(0));
    if repeated {
        return None;
    }
    if number.is_bare() {
        return Some(Written::Loose);
    }
    match number.gap()? {
        Gap::Dash | Gap::Space if number.is_shape(&[3, 2, 4]) => Some(Written::Grouped),
        Gap::Dot | Gap::Slash | Gap::Low if number.is_shape(&[3, 2, 4]) => Some(Written::Loose),
        _ => None,
    }
}

/// Whether area, group and serial are ones that were given out.
#[inline]
pub(crate) fn is_given_out(digits: &[u8; 9]) -> bool {
    let part = |at, count| crate::checks::number(digits, at, count);
    let (area, group, serial) = (part(0, 3), part(3, 2), part(5, 4));
    (area != 0) & (area != 666) & (area < 900) & (group != 0) & (serial != 0)
}
