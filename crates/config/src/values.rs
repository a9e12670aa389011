//! Values that are written as text: durations, sizes, counts, addresses, points in time.

use crate::model::Address;
use lockgate_core::Timestamp;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

/// A number with a unit after it.
fn with_unit(text: &str, units: &[(&str, u64)]) -> Option<u64> {
    let at = text.find(|c: char| !c.is_ascii_digit())?;
    let (number, unit) = text.split_at(at);
    let factor = units.iter().find(|(name, _)| *name == unit.trim_start())?.1;
    number.parse::<u64>().ok()?.checked_mul(factor)
}

/// `250ms`, `30s`, `15m`, `8h`, `7d`, in milliseconds.
pub(crate) fn duration_ms(text: &str) -> Option<u64> {
    with_unit(text, &[("ms", 1), ("s", 1_000), ("m", 60_000), ("h", 3_600_000), ("d", 86_400_000)])
}

/// `64MiB`, `512KiB`, `1GiB`, `100B`, or a plain number of bytes.
pub(crate) fn bytes(text: &str) -> Option<u64> {
    let units = [
        ("B", 1),
        ("KiB", 1 << 10),
        ("MiB", 1 << 20),
        ("GiB", 1 << 30),
        ("KB", 1_000),
        ("MB", 1_000_000),
        ("GB", 1_000_000_000),
    ];
    count(text).or_else(|| with_unit(text, &units))
}

/// A plain number, which may be grouped with `_`.
pub(crate) fn count(text: &str) -> Option<u64> {
    let digits = text.replace('_', "");
    if digits.bytes().all(|b| b.is_ascii_digit()) { digits.parse().ok() } else { None }
}

/// Milliseconds as people write them.
pub(crate) fn show_ms(ms: u64) -> String {
    let units = [(86_400_000, "d"), (3_600_000, "h"), (60_000, "m"), (1_000, "s")];
    match units.iter().find(|(factor, _)| ms >= *factor && ms.is_multiple_of(*factor)) {
        Some((factor, unit)) => format!("{}{unit}", ms / factor),
        None => format!("{ms}ms"),
    }
}

/// Bytes as people write them.
pub(crate) fn show_bytes(bytes: u64) -> String {
    let units = [(1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")];
    match units.iter().find(|(factor, _)| bytes >= *factor && bytes.is_multiple_of(*factor)) {
        Some((factor, unit)) => format!("{}{unit}", bytes / factor),
        None => format!("{bytes}B"),
    }
}

/// An address to listen on: `127.0.0.1:6432`, `[::]:6432`, `localhost:6432`.
pub(crate) fn listen_address(text: &str) -> Option<SocketAddr> {
    match text.strip_prefix("localhost:") {
        Some(port) => Some(SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port.parse().ok()?)),
        None => text.parse().ok(),
    }
}

/// A host to dial: `db.example.com:5432`, `[::1]:5432`, or without a port when there is a usual one.
pub(crate) fn host_address(text: &str, usual_port: u16) -> Option<Address> {
    if let Ok(ip) = text.parse::<IpAddr>() {
        return Some(Address { host: ip.to_string(), port: usual_port });
    }
    let (host, port) = match text.strip_prefix('[') {
        Some(rest) => {
            let (host, after) = rest.split_once(']')?;
            host.parse::<std::net::Ipv6Addr>().ok()?;
            (host, if after.is_empty() { None } else { Some(after.strip_prefix(':')?) })
        }
        None => match text.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (text, None),
        },
    };
    let named = text.starts_with('[')
        || (!host.is_empty()
            && host.len() <= 253
            && host.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_')));
    let port = match port {
        Some(port) => port.parse::<u16>().ok().filter(|p| *p != 0)?,
        None => usual_port,
    };
    named.then(|| Address { host: host.to_owned(), port })
}

/// `2026-11-21T09:00:00Z`, with or without milliseconds.
pub(crate) fn timestamp(text: &str) -> Option<Timestamp> {
    let (date, time) = text.strip_suffix('Z')?.split_once('T')?;
    let [year, month, day] = numbers(date, '-')?;
    let (clock, ms) = match time.split_once('.') {
        Some((clock, fraction)) if fraction.len() == 3 => (clock, number(fraction)?),
        Some(_) => return None,
        None => (time, 0),
    };
    let [hour, minute, second] = numbers(clock, ':')?;
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let month_days = [31, if leap { 29 } else { 28 }, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    let index = usize::try_from(month).ok()?.checked_sub(1)?;
    let in_range = (1970..=9999).contains(&year) && hour < 24 && minute < 60 && second < 60;
    if !in_range || day < 1 || day > *month_days.get(index)? {
        return None;
    }
    let before_year =
        (1970..year).map(|y| if y % 4 == 0 && (y % 100 != 0 || y % 400 == 0) { 366 } else { 365 }).sum::<i64>();
    let days = before_year + month_days.iter().take(index).sum::<i64>() + day - 1;
    Some(Timestamp::from_millis((((days * 24 + hour) * 60 + minute) * 60 + second) * 1_000 + ms))
}

fn numbers(text: &str, separator: char) -> Option<[i64; 3]> {
    text.split(separator).map(number).collect::<Option<Vec<i64>>>()?.try_into().ok()
}

fn number(text: &str) -> Option<i64> {
    if text.bytes().all(|b| b.is_ascii_digit()) { text.parse().ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_and_sizes() {
        for (text, ms) in [
            ("15m", Some(900_000)),
            ("250ms", Some(250)),
            ("7 d", Some(604_800_000)),
            ("15", None),
            ("m", None),
            ("-1s", None),
        ] {
            assert_eq!(duration_ms(text), ms, "{text}");
        }
        for (text, size) in [
            ("64MiB", Some(64 << 20)),
            ("100", Some(100)),
            ("1 GB", Some(1_000_000_000)),
            ("64mib", None),
            ("99999999999GiB", None),
            ("", None),
        ] {
            assert_eq!(bytes(text), size, "{text}");
        }
        assert_eq!((show_ms(900_000), show_bytes(64 << 20)), ("15m".to_owned(), "64MiB".to_owned()));
    }

    #[test]
    fn addresses() {
        assert_eq!(listen_address("localhost:6432"), "127.0.0.1:6432".parse().ok());
        assert_eq!(listen_address("[::]:6432"), "[::]:6432".parse().ok());
        assert_eq!(listen_address("6432"), None);
        for (text, host, port) in [
            ("db.example.com:5433", "db.example.com", 5433),
            ("db", "db", 5432),
            ("[::1]:1", "::1", 1),
            ("::1", "::1", 5432),
        ] {
            assert_eq!(host_address(text, 5432), Some(Address { host: host.to_owned(), port }), "{text}");
        }
        for bad in ["", "db:", "db:0", "db:70000", "postgres://db:5432", "[x]:1", "a b:1"] {
            assert_eq!(host_address(bad, 5432), None, "{bad}");
        }
    }

    #[test]
    fn timestamps_read_back() {
        for text in ["1970-01-01T00:00:00.000Z", "2000-02-29T12:34:56.789Z", "2026-11-21T05:09:00.123Z"] {
            assert_eq!(timestamp(text).unwrap().to_string(), text);
        }
        for bad in [
            "2026-11-21",
            "2026-13-01T00:00:00Z",
            "2025-02-29T00:00:00Z",
            "2026-11-21T24:00:00Z",
            "2026-11-21T05:09:00",
        ] {
            assert_eq!(timestamp(bad), None, "{bad}");
        }
    }
}
