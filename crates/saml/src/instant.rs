//! Points in time as SAML writes them (core, section 1.3.3): `xs:dateTime` in UTC.

use lockgate_core::Timestamp;

/// Reads `2026-11-21T04:29:00.123Z`; fractions beyond milliseconds are dropped.
pub(crate) fn instant(text: &str) -> Option<Timestamp> {
    let (date, time) = text.trim_matches([' ', '\t', '\n', '\r']).strip_suffix('Z')?.split_once('T')?;
    let [year, month, day] = numbers(date, '-', [4, 2, 2])?;
    let (time, fraction) = match time.split_once('.') {
        Some((time, fraction)) => (time, Some(fraction)),
        None => (time, None),
    };
    let [hour, minute, second] = numbers(time, ':', [2, 2, 2])?;
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let days = match month {
        2 if leap => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        1..=12 => 31,
        _ => return None,
    };
    if year < 1 || day < 1 || day > days || hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let millis = match fraction {
        Some(digits) if digits.is_empty() || digits.len() > 9 || !digits.bytes().all(|b| b.is_ascii_digit()) => {
            return None;
        }
        Some(digits) => digits
            .chars()
            .chain("000".chars())
            .take(3)
            .filter_map(|c| c.to_digit(10))
            .fold(0, |n, d| n * 10 + i64::from(d)),
        None => 0,
    };
    // Days from civil: eras of 400 years that begin on 1 March.
    let shifted = if month <= 2 { year - 1 } else { year };
    let (era, year_of_era) = (shifted.div_euclid(400), shifted.rem_euclid(400));
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    let days = era * 146_097 + day_of_era - 719_468;
    Some(Timestamp::from_millis((((days * 24 + hour) * 60 + minute) * 60 + second) * 1_000 + millis))
}

fn numbers(text: &str, separator: char, lengths: [usize; 3]) -> Option<[i64; 3]> {
    let mut parts = text.split(separator);
    let mut out = [0; 3];
    for (slot, length) in out.iter_mut().zip(lengths) {
        let part = parts.next()?;
        if part.len() != length || !part.bytes().all(|b| b.is_ascii_digit()) {
            return None;
        }
        *slot = part.parse().ok()?;
    }
    parts.next().is_none().then_some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_it_writes_and_nothing_else() {
        for millis in [0, 951_827_696_789, 1_795_237_740_123, 4_102_444_800_000, 68_169_600_000, 253_402_300_799_999] {
            let at = Timestamp::from_millis(millis);
            assert_eq!(instant(&at.to_string()), Some(at));
        }
        for (text, millis) in
            [("1970-01-01T00:00:01Z", 1_000), ("1970-01-01T00:00:00.1234567Z", 123), (" 1970-01-01T00:00:00.5Z ", 500)]
        {
            assert_eq!(instant(text), Some(Timestamp::from_millis(millis)));
        }
        for text in [
            "",
            "Z",
            "1970-01-01",
            "1970-01-01T00:00:00",
            "1970-01-01T00:00:00+00:00",
            "1970-13-01T00:00:00Z",
            "1970-02-29T00:00:00Z",
            "1970-01-01T24:00:00Z",
            "1970-01-01T00:00:60Z",
            "1970-01-01T00:00:00.Z",
            "+970-01-01T00:00:00Z",
            "1970-1-01T00:00:00Z",
            "99999-01-01T00:00:00Z",
            "-001-01-01T00:00:00Z",
            "1970-01-01T00:00:00.1234567890Z",
            "1970-01-00T00:00:00Z",
            "0000-01-01T00:00:00Z",
        ] {
            assert_eq!(instant(text), None, "{text}");
        }
    }
}
