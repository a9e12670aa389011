//! How people write lengths of time and points in time on the command line.

use lockgate_core::Timestamp;
use std::time::Duration;

pub use lockgate_store::clock::now;

/// `90s`, `30m`, `1h`, `7d`, `2w`, or several of them: `1h30m`.
pub fn duration(text: &str) -> Result<Duration, String> {
    let wrong = || format!("`{text}` is not a length of time: write it as `30m`, `12h` or `7d`");
    let mut seconds: u64 = 0;
    let mut number: Option<u64> = None;
    for c in text.chars() {
        if let Some(digit) = c.to_digit(10) {
            let before = number.unwrap_or(0);
            number = Some(before.checked_mul(10).and_then(|n| n.checked_add(u64::from(digit))).ok_or_else(wrong)?);
            continue;
        }
        let unit = match c {
            's' => 1,
            'm' => 60,
            'h' => 3_600,
            'd' => 86_400,
            'w' => 604_800,
            _ => return Err(wrong()),
        };
        let part = number.take().and_then(|n| n.checked_mul(unit)).ok_or_else(wrong)?;
        seconds = seconds.checked_add(part).ok_or_else(wrong)?;
    }
    if number.is_some() || seconds == 0 {
        return Err(wrong());
    }
    Ok(Duration::from_secs(seconds))
}

/// A length of time before now (`2h`), a day (`2026-11-21`) or a time in UTC (`2026-11-21T05:00:00Z`).
pub fn point(text: &str) -> Result<Timestamp, String> {
    if let Ok(ago) = duration(text) {
        let ms = i64::try_from(ago.as_millis()).unwrap_or(i64::MAX);
        return Ok(now().plus_millis(ms.saturating_neg()));
    }
    utc(text).ok_or_else(|| format!("`{text}` is not a time: write `2h`, `2026-11-21` or `2026-11-21T05:00:00Z`"))
}

fn utc(text: &str) -> Option<Timestamp> {
    let (day, time) = match text.split_once(['T', ' ']) {
        Some((day, time)) => (day, time.strip_suffix('Z').unwrap_or(time)),
        None => (text, "00:00:00"),
    };
    let [year, month, day] = numbers::<3>(day, '-')?;
    let time = if time.matches(':').count() == 1 { format!("{time}:00") } else { time.to_owned() };
    let [hour, minute, second] = numbers::<3>(&time, ':')?;
    let fits = (1970..=9999).contains(&year)
        && (1..=12).contains(&month)
        && (1..=31).contains(&day)
        && hour < 24
        && minute < 60
        && second < 60;
    if !fits {
        return None;
    }
    // Days from civil: years that begin on 1 March, in eras of 400 years.
    let shifted_year = if month <= 2 { year - 1 } else { year };
    let era = shifted_year.div_euclid(400);
    let year_of_era = shifted_year.rem_euclid(400);
    let month_from_march = (month + 9) % 12;
    let day_of_year = (153 * month_from_march + 2) / 5 + day - 1;
    let days = era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468;
    let seconds = days * 86_400 + hour * 3_600 + minute * 60 + second;
    let point = Timestamp::from_millis(seconds * 1_000);
    // 31 April would have become 1 May.
    point.to_string().starts_with(&format!("{year:04}-{month:02}-{day:02}")).then_some(point)
}

fn numbers<const N: usize>(text: &str, separator: char) -> Option<[i64; N]> {
    let parts: Vec<i64> = text
        .split(separator)
        .map(|part| part.bytes().all(|b| b.is_ascii_digit()).then(|| part.parse().ok()).flatten())
        .collect::<Option<_>>()?;
    parts.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_of_time() {
        for (text, seconds) in [("90s", 90), ("30m", 1_800), ("1h", 3_600), ("7d", 604_800), ("1h30m", 5_400)] {
            assert_eq!(duration(text), Ok(Duration::from_secs(seconds)), "{text}");
        }
        for bad in ["", "1", "h", "1x", "-1h", "0s", "99999999999999999999h", "18446744073709551615w", "1h5"] {
            assert!(duration(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn points_in_time() {
        for (text, printed) in [
            ("2026-11-21", "2026-11-21T00:00:00.000Z"),
            ("2026-11-21T05:09", "2026-11-21T05:09:00.000Z"),
            ("2024-02-29 12:34:56", "2024-02-29T12:34:56.000Z"),
            ("1970-01-01T00:00:00Z", "1970-01-01T00:00:00.000Z"),
        ] {
            assert_eq!(point(text).map(|t| t.to_string()).as_deref(), Ok(printed), "{text}");
        }
        for bad in ["yesterday", "2026-13-01", "2026-04-31", "2023-02-29", "2026-11-21T25:00:00Z", "2026--1-01"] {
            assert!(point(bad).is_err(), "{bad}");
        }
        // The clock is read for the point first: the other way round a millisecond between the two makes it later than it is.
        let then = point("2h").unwrap();
        let ago = now().millis_since(then);
        assert!((7_200_000..7_260_000).contains(&ago), "{ago}");
    }
}
