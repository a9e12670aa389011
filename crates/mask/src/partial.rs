//! The part of a value that `partial` shows: the last four characters, an e-mail address's domain, a date's year.

use crate::redacted;
use crate::row::Format;
use crate::types::ScalarKind;

/// A text shows its last four characters only when it has this many letters and digits.
const SIGNIFICANT_MIN: usize = 8;
const CHARACTERS_SHOWN: usize = 4;
/// The longest domain name (RFC 1035 section 2.3.4).
const DOMAIN_BYTES_MAX: usize = 253;
/// Days from 0001-01-01 to 2000-01-01, the epoch of PostgreSQL's binary dates.
const EPOCH_DAYS: i64 = 730_119;
const DAY_MICROSECONDS: i64 = 86_400_000_000;

/// The shown part of a text, without the padding of its type.
pub(crate) fn text(kind: ScalarKind, typmod: i32, value: &[u8]) -> Option<Vec<u8>> {
    let value = std::str::from_utf8(value).ok()?;
    let shown = match mail_domain(value) {
        Some(domain) => format!("{}@{domain}", redacted::STARS),
        None => format!("{}{}", redacted::STARS, last_characters(value)?),
    };
    // Cut, it would no longer be the part that is meant.
    let fits = redacted::declared_length(kind, typmod).is_none_or(|length| shown.chars().count() <= length)
        && (kind != ScalarKind::Name || shown.len() < 64);
    fits.then(|| redacted::fit(kind, typmod, &shown))
}

/// The first day of a date's year.
pub(crate) fn date(format: Format, value: &[u8]) -> Option<Vec<u8>> {
    match format {
        Format::Text => Some(format!("{}-01-01", year_of_text(value)?).into_bytes()),
        Format::Binary => {
            let days = i32::from_be_bytes(value.try_into().ok()?);
            let year = year_of_days(i64::from(finite(days, i32::MIN, i32::MAX)?))?;
            Some(i32::try_from(days_of_year(year)).ok()?.to_be_bytes().to_vec())
        }
    }
}

/// The first moment of a timestamp's year.
pub(crate) fn timestamp(format: Format, zone: bool, value: &[u8]) -> Option<Vec<u8>> {
    match format {
        Format::Text => {
            if zone {
                return Some(format!("{:04}-01-01 00:00:00+00", year_of_moment(value)?).into_bytes());
            }
            Some(format!("{}-01-01 00:00:00", year_of_text(value)?).into_bytes())
        }
        Format::Binary => {
            let micros = finite(i64::from_be_bytes(value.try_into().ok()?), i64::MIN, i64::MAX)?;
            let year = year_of_days(micros.div_euclid(DAY_MICROSECONDS))?;
            Some(days_of_year(year).checked_mul(DAY_MICROSECONDS)?.to_be_bytes().to_vec())
        }
    }
}

/// The domain of an e-mail address; `None` when `value` is anything else.
fn mail_domain(value: &str) -> Option<&str> {
    let (local, domain) = value.split_once('@')?;
    let labels_fine = domain
        .split('.')
        .all(|label| !label.is_empty() && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-'));
    let (_, top) = domain.rsplit_once('.')?;
    let fine = !local.is_empty()
        && !local.chars().any(char::is_whitespace)
        && labels_fine
        && domain.len() <= DOMAIN_BYTES_MAX
        && top.bytes().all(|b| b.is_ascii_alphabetic());
    fine.then_some(domain)
}

/// The last four characters of a text that has at least as many letters or digits before them.
fn last_characters(value: &str) -> Option<&str> {
    value.chars().filter(|c| c.is_alphanumeric()).nth(SIGNIFICANT_MIN - 1)?;
    let (at, _) = value.char_indices().rev().nth(CHARACTERS_SHOWN - 1)?;
    value.get(at..)
}

/// The year of an ISO date or timestamp of our era.
fn year_of_text(value: &[u8]) -> Option<&str> {
    let value = std::str::from_utf8(value).ok()?;
    let (year, rest) = value.split_once('-')?;
    let digits = |text: Option<&str>| text.is_some_and(|t| t.bytes().all(|b| b.is_ascii_digit()));
    let fine = (4..=6).contains(&year.len())
        && digits(Some(year))
        && digits(rest.get(..2))
        && rest.get(2..3) == Some("-")
        && digits(rest.get(3..5))
        && !value.ends_with("BC");
    fine.then_some(year)
}

/// The year, in universal time, of a moment that is written in the session's zone. The zone is the client's to choose: the year
/// there would tell by and by how far from the turn of a year the moment is.
fn year_of_moment(value: &[u8]) -> Option<i64> {
    let year: i64 = year_of_text(value)?.parse().ok()?;
    let text = std::str::from_utf8(value).ok()?;
    let (_, rest) = text.split_once('-')?;
    let (date, rest) = rest.split_once(' ')?;
    let (month, day) = date.split_once('-')?;
    let sign = rest.find(['+', '-'])?;
    let (time, zone) = (rest.get(..sign)?, rest.get(sign + 1..)?);
    let offset = seconds(zone)? * if rest.as_bytes().get(sign) == Some(&b'-') { -1 } else { 1 };
    let leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
    let month: usize = month.parse().ok()?;
    let lengths = [31, if leap { 29 } else { 28 }, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    let before: i64 = lengths.get(..month.checked_sub(1).filter(|before| *before < lengths.len())?)?.iter().sum();
    let days = days_of_year(year).checked_add(before)?.checked_add(day.parse::<i64>().ok()?.checked_sub(1)?)?;
    let moment = days.checked_mul(86_400)?.checked_add(seconds(time)?)?.checked_sub(offset)?;
    year_of_days(moment.div_euclid(86_400))
}

/// `HH`, `HH:MM` or `HH:MM:SS`, with a fraction or without.
fn seconds(text: &str) -> Option<i64> {
    let mut total: i64 = 0;
    let mut unit = 3_600;
    for part in text.split('.').next()?.split(':') {
        let part: i64 = part.parse().ok().filter(|part| (0..1_000).contains(part))?;
        total = total.checked_add(part.checked_mul(unit)?)?;
        unit /= 60;
    }
    Some(total)
}

/// `value`, unless it is one of the two that stand for infinity.
fn finite<T: PartialEq>(value: T, low: T, high: T) -> Option<T> {
    (value != low && value != high).then_some(value)
}

/// The year, of our era, that a day counted from 2000-01-01 lies in.
fn year_of_days(days: i64) -> Option<i64> {
    let mut rest = days.checked_add(EPOCH_DAYS).filter(|d| *d >= 0)?;
    let mut year = 1;
    // Cycles of the Gregorian calendar; the last century of four and the last year of four are a day longer.
    for (length, years, most) in [(146_097, 400, i64::MAX), (36_524, 100, 3), (1_461, 4, i64::MAX), (365, 1, 3)] {
        let cycles = (rest / length).min(most);
        rest -= cycles * length;
        year += cycles * years;
    }
    Some(year)
}

/// The first day of a year, counted from 2000-01-01.
fn days_of_year(year: i64) -> i64 {
    let before = year - 1;
    365 * before + before / 4 - before / 100 + before / 400 - EPOCH_DAYS
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn years() {
        for (days, year) in
            [(0, 2000), (-1, 1999), (365, 2000), (366, 2001), (-730_119, 1), (36_524, 2099), (36_525, 2100)]
        {
            assert_eq!(year_of_days(days), Some(year), "{days}");
        }
        assert_eq!(year_of_days(-730_120), None);
        for year in 1..=3_000 {
            assert_eq!(year_of_days(days_of_year(year)), Some(year));
            assert_eq!(year_of_days(days_of_year(year) - 1), (year > 1).then_some(year - 1));
        }
    }

    #[test]
    fn the_year_of_a_moment_does_not_depend_on_the_zone() {
        for (text, year) in [
            ("2001-01-01 00:30:00+01", 2000),
            ("2000-12-31 23:30:00.5-01", 2001),
            ("2000-12-31 23:30:00+00", 2000),
            ("1999-12-27 00:00:00-167:59:59", 2000),
            ("2004-03-01 05:30:00+05:30", 2004),
            ("10000-01-01 00:00:00-02", 10_000),
        ] {
            assert_eq!(year_of_moment(text.as_bytes()), Some(year), "{text}");
        }
        for text in
            ["infinity", "2001-01-01", "2001-13-01 00:00:00+00", "0044-03-15 12:00:00+00 BC", "2001-01-01 00:00:00"]
        {
            assert_eq!(year_of_moment(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn mail_domains() {
        for (text, domain) in [
            ("ann@example.com", Some("example.com")),
            ("a.b+c@mail.example.co.uk", Some("mail.example.co.uk")),
            ("@example.com", None),
            ("ann@example", None),
            ("ann@123.456", None),
            ("call ann@example.com", None),
            ("ann@exa mple.com", None),
            ("ann@x@example.com", None),
            ("4111111111111111", None),
        ] {
            assert_eq!(mail_domain(text), domain, "{text}");
        }
    }

    #[test]
    fn last_four() {
        for (text, shown) in [
            ("1234567", None),
            ("12345678", Some("5678")),
            ("ääääßßßß", Some("ßßßß")),
            ("", None),
            ("12-34-56", None),
            ("123-45-6789", Some("6789")),
        ] {
            assert_eq!(last_characters(text), shown, "{text}");
        }
    }
}
