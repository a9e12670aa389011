//! Masks that look at the value: `partial`, `hash` and `token`.
//!
//! Each falls back to the redacted constant when the value is not of the form that it understands. `partial` and the keyed
//! methods release what the policy that names them declares: a part, or which values are equal. Equality is of the value's
//! canonical text, so that text and binary results agree, and for whole numbers within one width.

use crate::keys::ValueKey;
use crate::method::Method;
use crate::redacted;
use crate::row::Format;
use crate::types::ScalarKind;
use std::borrow::Cow;
use std::fmt::Write as _;

/// A text shows its last four characters only when at least as many stay hidden.
const PARTIAL_CHARACTERS_MIN: usize = 8;
const PARTIAL_CHARACTERS_SHOWN: usize = 4;
/// The longest domain name (RFC 1035 section 2.3.4).
const DOMAIN_BYTES_MAX: usize = 253;
/// Days from 0001-01-01 to 2000-01-01, the epoch of PostgreSQL's binary dates.
const EPOCH_DAYS: i64 = 730_119;
const DAY_MICROSECONDS: i64 = 86_400_000_000;

/// A mask that depends on the value.
pub(crate) struct Derived {
    how: How,
    format: Format,
    typmod: i32,
    redacted: Vec<u8>,
}

enum How {
    PartialText(ScalarKind),
    PartialDate,
    PartialTimestamp { zone: bool },
    KeyedText { kind: ScalarKind, key: ValueKey, method: Method },
    KeyedNumber { width: usize, key: ValueKey },
    KeyedUuid { key: ValueKey },
}

impl Derived {
    /// `partial`, where the type has a part worth showing.
    pub(crate) fn partial(kind: ScalarKind, typmod: i32, format: Format, redacted: Vec<u8>) -> Option<Self> {
        let how = match kind {
            ScalarKind::Text | ScalarKind::VarChar | ScalarKind::BpChar | ScalarKind::Name => How::PartialText(kind),
            ScalarKind::Date => How::PartialDate,
            ScalarKind::Timestamp => How::PartialTimestamp { zone: false },
            ScalarKind::TimestampTz => How::PartialTimestamp { zone: true },
            _ => return None,
        };
        Some(Derived { how, format, typmod, redacted })
    }

    /// `hash` or `token`, where the type has room for a keyed value.
    pub(crate) fn keyed(
        kind: ScalarKind,
        typmod: i32,
        format: Format,
        redacted: Vec<u8>,
        method: Method,
        key: ValueKey,
    ) -> Option<Self> {
        let how = match kind {
            ScalarKind::Text | ScalarKind::VarChar | ScalarKind::BpChar | ScalarKind::Name => {
                How::KeyedText { kind, key, method }
            }
            ScalarKind::Int2 => How::KeyedNumber { width: 2, key },
            ScalarKind::Int4 => How::KeyedNumber { width: 4, key },
            ScalarKind::Int8 => How::KeyedNumber { width: 8, key },
            ScalarKind::Uuid => How::KeyedUuid { key },
            _ => return None,
        };
        Some(Derived { how, format, typmod, redacted })
    }

    /// About how many bytes this can add to a row.
    pub(crate) fn growth(&self) -> usize {
        self.redacted.len() + 64
    }

    /// What stands for `value`.
    pub(crate) fn show(&self, value: &[u8]) -> Cow<'_, [u8]> {
        let shown = match &self.how {
            How::PartialText(kind) => self.partial_text(*kind, value),
            How::PartialDate => self.partial_date(value),
            How::PartialTimestamp { zone } => self.partial_timestamp(*zone, value),
            How::KeyedText { kind, key, method } => Some(self.keyed_text(*kind, key, *method, value)),
            How::KeyedNumber { width, key } => self.keyed_number(*width, key, value),
            How::KeyedUuid { key } => self.keyed_uuid(key, value),
        };
        shown.map_or(Cow::Borrowed(self.redacted.as_slice()), Cow::Owned)
    }

    fn partial_text(&self, kind: ScalarKind, value: &[u8]) -> Option<Vec<u8>> {
        let value = std::str::from_utf8(unpadded(kind, value)).ok()?;
        let shown = match mail_domain(value) {
            Some(domain) => format!("{}@{domain}", redacted::STARS),
            None => format!("{}{}", redacted::STARS, last_characters(value)?),
        };
        // Cut, it would no longer be the part that is meant.
        let fits = redacted::declared_length(kind, self.typmod).is_none_or(|length| shown.chars().count() <= length)
            && (kind != ScalarKind::Name || shown.len() < 64);
        fits.then(|| redacted::fit(kind, self.typmod, &shown))
    }

    fn partial_date(&self, value: &[u8]) -> Option<Vec<u8>> {
        match self.format {
            Format::Text => Some(format!("{}-01-01", year_of_text(value)?).into_bytes()),
            Format::Binary => {
                let days = i32::from_be_bytes(value.try_into().ok()?);
                let year = year_of_days(i64::from(finite(days, i32::MIN, i32::MAX)?))?;
                Some(i32::try_from(days_of_year(year)).ok()?.to_be_bytes().to_vec())
            }
        }
    }

    fn partial_timestamp(&self, zone: bool, value: &[u8]) -> Option<Vec<u8>> {
        match self.format {
            Format::Text => {
                let zone = if zone { "+00" } else { "" };
                Some(format!("{}-01-01 00:00:00{zone}", year_of_text(value)?).into_bytes())
            }
            Format::Binary => {
                let micros = finite(i64::from_be_bytes(value.try_into().ok()?), i64::MIN, i64::MAX)?;
                let year = year_of_days(micros.div_euclid(DAY_MICROSECONDS))?;
                Some(days_of_year(year).checked_mul(DAY_MICROSECONDS)?.to_be_bytes().to_vec())
            }
        }
    }

    fn keyed_text(&self, kind: ScalarKind, key: &ValueKey, method: Method, value: &[u8]) -> Vec<u8> {
        let digest = key.digest(unpadded(kind, value));
        let shown = match method {
            Method::Hash => hex(digest.get(..16).unwrap_or_default()),
            _ => {
                let token = base32(digest.get(..15).unwrap_or_default());
                let room = redacted::declared_length(kind, self.typmod).unwrap_or(usize::MAX);
                // In a short column the prefix would take the room of what tells values apart.
                if room < token.len() + 4 { token } else { format!("tok_{token}") }
            }
        };
        redacted::fit(kind, self.typmod, &shown)
    }

    fn keyed_number(&self, width: usize, key: &ValueKey, value: &[u8]) -> Option<Vec<u8>> {
        let digest = match self.format {
            Format::Text => key.digest(value),
            Format::Binary if value.len() == width => key.digest(decimal(value)?.to_string().as_bytes()),
            Format::Binary => return None,
        };
        let random = u64::from_be_bytes(*digest.first_chunk()?);
        // Not negative: 15, 31 or 63 bits.
        let bits = u32::try_from(64 - 8 * width + 1).ok()?;
        let number = random.checked_shr(bits)?;
        match self.format {
            Format::Text => Some(number.to_string().into_bytes()),
            Format::Binary => number.to_be_bytes().get(8 - width..).map(<[u8]>::to_vec),
        }
    }

    fn keyed_uuid(&self, key: &ValueKey, value: &[u8]) -> Option<Vec<u8>> {
        let digest = match self.format {
            Format::Text => key.digest(&value.to_ascii_lowercase()),
            Format::Binary => key.digest(uuid_text(value.try_into().ok()?).as_bytes()),
        };
        let mut uuid: [u8; 16] = *digest.first_chunk()?;
        // Version 8 (RFC 9562 section 5.8): made by a rule of our own.
        let [_, _, _, _, _, _, version, _, variant, ..] = &mut uuid;
        *version = *version & 0x0f | 0x80;
        *variant = *variant & 0x3f | 0x80;
        match self.format {
            Format::Text => Some(uuid_text(uuid).into_bytes()),
            Format::Binary => Some(uuid.to_vec()),
        }
    }
}

/// The value without the padding of `char(n)`, which is no part of it.
fn unpadded(kind: ScalarKind, value: &[u8]) -> &[u8] {
    if kind != ScalarKind::BpChar {
        return value;
    }
    let spaces = value.iter().rev().take_while(|b| **b == b' ').count();
    value.get(..value.len() - spaces).unwrap_or_default()
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

/// The last four characters of a text that has at least as many before them.
fn last_characters(value: &str) -> Option<&str> {
    value.char_indices().rev().nth(PARTIAL_CHARACTERS_MIN - 1)?;
    let (at, _) = value.char_indices().rev().nth(PARTIAL_CHARACTERS_SHOWN - 1)?;
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

/// The big-endian whole number in `value`.
fn decimal(value: &[u8]) -> Option<i64> {
    match value.len() {
        2 => Some(i16::from_be_bytes(value.try_into().ok()?).into()),
        4 => Some(i32::from_be_bytes(value.try_into().ok()?).into()),
        8 => Some(i64::from_be_bytes(value.try_into().ok()?)),
        _ => None,
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut out, byte| {
        // Writing to a String cannot fail.
        let _ = write!(out, "{byte:02x}");
        out
    })
}

/// Base 32 in lower case without padding (RFC 4648 section 6), of a whole number of groups of five bytes.
fn base32(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";
    let mut out = String::new();
    for group in bytes.chunks(5) {
        let bits = group.iter().fold(0_u64, |bits, byte| bits << 8 | u64::from(*byte));
        for place in (0..8).rev() {
            let letter = usize::try_from(bits >> (place * 5) & 31).ok().and_then(|at| ALPHABET.get(at));
            out.extend(letter.map(|letter| char::from(*letter)));
        }
    }
    out
}

fn uuid_text(uuid: [u8; 16]) -> String {
    let digits = hex(&uuid);
    let part = |from: usize, to: usize| digits.get(from..to).unwrap_or_default();
    [part(0, 8), part(8, 12), part(12, 16), part(16, 20), part(20, 32)].join("-")
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
        for (text, shown) in [("1234567", None), ("12345678", Some("5678")), ("ääääßßßß", Some("ßßßß")), ("", None)]
        {
            assert_eq!(last_characters(text), shown, "{text}");
        }
    }

    #[test]
    fn base32_of_known_bytes() {
        // RFC 4648 section 10.
        assert_eq!(base32(b"fooba"), "mzxw6ytb");
    }
}
