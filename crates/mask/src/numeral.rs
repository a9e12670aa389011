//! Whole numbers in the forms that PostgreSQL gives them: text, the integer types' bytes, and `numeric`'s groups of four digits.

/// The precision of `numeric(p)`, `None` within for one without; `None` where a keyed number has no place: a scale other
/// than 0, or less room than the smallest class of stand-ins needs.
#[expect(clippy::option_option, reason = "no place, no limit, or a limit")]
pub(crate) fn precision(typmod: i32) -> Option<Option<usize>> {
    const DIGITS_MIN: usize = 9;
    let Some(stated) = typmod.checked_sub(4).filter(|t| *t >= 0) else { return Some(None) };
    let precision = usize::try_from(stated >> 16 & 0xffff).ok()?;
    (stated & 0x7ff == 0 && precision >= DIGITS_MIN).then_some(Some(precision))
}

/// The whole number that PostgreSQL writes so; zeros after a point are no part of it.
pub(crate) fn decimal(value: &[u8]) -> Option<i64> {
    let text = std::str::from_utf8(value).ok()?;
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    if whole.starts_with('+') || fraction.bytes().any(|digit| digit != b'0') {
        return None;
    }
    whole.parse().ok()
}

/// The big-endian number of `width` bytes.
pub(crate) fn integer(width: usize, value: &[u8]) -> Option<i64> {
    if value.len() != width {
        return None;
    }
    match width {
        4 => Some(i32::from_be_bytes(value.try_into().ok()?).into()),
        8 => Some(i64::from_be_bytes(value.try_into().ok()?)),
        _ => None,
    }
}

/// The whole number of a binary `numeric`: count, weight, sign and scale, then groups of four digits (`numeric_send`).
pub(crate) fn numeric(value: &[u8]) -> Option<i64> {
    let (head, groups) = value.split_first_chunk::<8>()?;
    let [c0, c1, w0, w1, s0, s1, _, _] = *head;
    let count = usize::from(u16::from_be_bytes([c0, c1]));
    let weight = i16::from_be_bytes([w0, w1]);
    let (groups, rest) = groups.as_chunks::<2>();
    if groups.len() != count || !rest.is_empty() || count > 64 {
        return None;
    }
    let negative = match u16::from_be_bytes([s0, s1]) {
        0 => false,
        0x4000 => true,
        // NaN and the infinities.
        _ => return None,
    };
    let mut number: i128 = 0;
    let mut place = i32::from(weight);
    for group in groups {
        let group = i128::from(u16::from_be_bytes(*group));
        if place < 0 {
            if group != 0 {
                return None;
            }
        } else {
            number = number.checked_mul(10_000)?.checked_add(group)?;
        }
        place -= 1;
    }
    // Groups of zeros at the end are left out.
    while place >= 0 && number != 0 {
        number = number.checked_mul(10_000)?;
        place -= 1;
    }
    i64::try_from(if negative { -number } else { number }).ok()
}

/// A whole number as a binary `numeric` of scale 0.
pub(crate) fn numeric_binary(number: i64) -> Option<Vec<u8>> {
    let mut groups: Vec<u16> = Vec::new();
    let mut rest = number.unsigned_abs();
    while rest > 0 {
        groups.push(u16::try_from(rest % 10_000).ok()?);
        rest /= 10_000;
    }
    let weight = u16::try_from(groups.len().saturating_sub(1)).ok()?;
    let zeros = groups.iter().take_while(|group| **group == 0).count();
    let digits: Vec<u16> = groups.into_iter().skip(zeros).rev().collect();
    let sign = if number < 0 { 0x4000 } else { 0 };
    let head = [u16::try_from(digits.len()).ok()?, weight, sign, 0];
    Some(head.into_iter().chain(digits).flat_map(u16::to_be_bytes).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn forms() {
        for (text, number) in [
            ("5", Some(5)),
            ("-5.00", Some(-5)),
            ("5.01", None),
            ("+5", None),
            ("NaN", None),
            ("", None),
            ("1e3", None),
        ] {
            assert_eq!(decimal(text.as_bytes()), number, "{text}");
        }
        // 12345.60, 10000 and 0.5, as numeric_send writes them.
        assert_eq!(numeric(&[0, 3, 0, 1, 0, 0, 0, 2, 0, 1, 9, 41, 23, 112]), None);
        assert_eq!(numeric(&[0, 1, 0, 1, 0, 0, 0, 0, 0, 1]), Some(10_000));
        assert_eq!(numeric(&[0, 1, 255, 255, 0, 0, 0, 1, 19, 136]), None);
        assert_eq!(numeric(&[0, 0, 0, 0, 0, 0, 0, 2]), Some(0));
        assert_eq!(numeric(&[0, 0, 0, 0, 192, 0, 0, 0]), None);
        assert_eq!(numeric(&[0, 1, 127, 255, 0, 0, 0, 0, 0, 1]), None);
        for (typmod, expected) in
            [(-1, Some(None)), (4 + (9 << 16), Some(Some(9))), (4 + (8 << 16), None), (4 + (10 << 16) + 2, None)]
        {
            assert_eq!(precision(typmod), expected);
        }
    }

    proptest! {
        #[test]
        fn binary_round_trip(number: i64) {
            prop_assert_eq!(numeric(&numeric_binary(number).unwrap()), Some(number));
            prop_assert_eq!(decimal(number.to_string().as_bytes()), Some(number));
        }

        #[test]
        fn never_panics(bytes in prop::collection::vec(any::<u8>(), 0..40)) {
            let _ = (numeric(&bytes), decimal(&bytes), integer(4, &bytes), integer(8, &bytes));
        }
    }
}
