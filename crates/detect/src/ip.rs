//! IP addresses in text.

use crate::class::{at, before, is_word_at, is_word_before, slice};

/// The IPv4 address that begins with the digit at `start`; its end.
pub(crate) fn v4(text: &[u8], start: usize) -> Option<usize> {
    let previous = before(text, start);
    if previous.is_ascii_alphanumeric() || matches!(previous, b'.' | b'_' | b'+') {
        return None;
    }
    // A dash joins it to what stands before, unless that is an address too: a range.
    if previous == b'-' {
        let dash = start - 1;
        let first = slice(text, dash.saturating_sub(15), dash);
        let length = first.iter().rev().take_while(|b| b.is_ascii_digit() || **b == b'.').count();
        if octets(text, dash - length) != Some(dash) {
            return None;
        }
    }
    let end = octets(text, start)?;
    let next = at(text, end);
    if next.is_ascii_alphanumeric()
        || next == b'_'
        || next == b'.' && at(text, end + 1).is_ascii_alphanumeric()
        || next == b'-' && at(text, end + 1).is_ascii_alphabetic()
    {
        return None;
    }
    Some(end)
}

/// Four numbers up to 255 with dots between them, without leading zeros.
fn octets(text: &[u8], start: usize) -> Option<usize> {
    let mut place = start;
    for octet in 0..4 {
        if octet > 0 {
            if at(text, place) != b'.' {
                return None;
            }
            place += 1;
        }
        let from = place;
        let mut value: u32 = 0;
        while at(text, place).is_ascii_digit() && place - from < 3 {
            value = value * 10 + u32::from(at(text, place) - b'0');
            place += 1;
        }
        if place == from || value > 255 || place - from > 1 && at(text, from) == b'0' {
            return None;
        }
    }
    Some(place)
}

/// The longest IPv6 address in text: eight groups of four, or with an IPv4 address at the end.
const V6_BYTES_MAX: usize = 45;

/// The IPv6 address that begins at `start`, which is at a hexadecimal digit or a colon; its end.
pub(crate) fn v6(text: &[u8], start: usize) -> Option<usize> {
    if is_word_before(text, start) || matches!(before(text, start), b':' | b'.') {
        return None;
    }
    let mut place = start;
    let mut groups = 0;
    let mut gap = false;
    let mut digits = false;
    if at(text, place) == b':' {
        if at(text, place + 1) != b':' {
            return None;
        }
        gap = true;
        place += 2;
    }
    let mut v4_end = None;
    let mut after_colon = false;
    while place - start <= V6_BYTES_MAX && groups < 8 {
        let from = place;
        while at(text, place).is_ascii_hexdigit() && place - from < 4 {
            digits |= at(text, place).is_ascii_digit();
            place += 1;
        }
        if place == from {
            break;
        }
        if at(text, place) == b'.' && (groups == 6 || gap && groups <= 6) {
            v4_end = octets(text, from);
            if v4_end.is_some() {
                break;
            }
        }
        groups += 1;
        after_colon = false;
        if groups == 8 || at(text, place) != b':' {
            break;
        }
        if at(text, place + 1) == b':' {
            if gap {
                return None;
            }
            gap = true;
            place += 2;
        } else if at(text, place + 1).is_ascii_hexdigit() {
            place += 1;
            after_colon = true;
        } else {
            break;
        }
    }
    if let Some(end) = v4_end {
        return boundary(text, end).then_some(end);
    }
    if after_colon || !boundary(text, place) {
        return None;
    }
    // A short form could be `a::b` of a programming language.
    let loopback = gap && groups == 1 && place - start == 3 && at(text, start) == b':';
    let whole = if gap {
        groups < 8 && (groups >= 3 && digits || loopback || groups == 2 && is_prefix(text, start))
    } else {
        groups == 8
    };
    whole.then_some(place)
}

/// Link-local, unique local, multicast and global addresses, whose first group has four digits.
fn is_prefix(text: &[u8], start: usize) -> bool {
    let four = (0..4).all(|i| at(text, start + i).is_ascii_hexdigit());
    let first = at(text, start).to_ascii_lowercase();
    let global = matches!(first, b'2' | b'3');
    let local = first == b'f' && matches!(at(text, start + 1).to_ascii_lowercase(), b'c' | b'd' | b'e' | b'f');
    four && (global || local) && at(text, start + 4) == b':'
}

fn boundary(text: &[u8], end: usize) -> bool {
    let next = at(text, end);
    !(next.is_ascii_alphanumeric()
        || next == b'_'
        || next >= 0x80 && is_word_at(text, end)
        || matches!(next, b':' | b'.') && at(text, end + 1).is_ascii_alphanumeric())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses() {
        for (text, fine) in [
            ("192.0.2.1", true),
            ("192.0.2.1.", true),
            ("192.0.2.1:80", true),
            ("1.2.3.4.5", false),
            ("1.2.3.256", false),
            ("1.2.3.04", false),
            ("1.2.3.4-rc1", false),
            ("1.2.3.4-1.2.3.9", true),
        ] {
            assert_eq!(v4(text.as_bytes(), 0).is_some(), fine, "{text}");
        }
        assert_eq!(v4(b"v1.2.3.4", 1), None);
        assert_eq!(v4(b"x 10.0.0.1-10.0.0.9", 11), Some(19));
        assert_eq!(v4(b"lib-1.2.3.4", 4), None);
        for (text, fine) in [
            ("2001:db8:0:0:1:0:0:1", true),
            ("2001:db8::1", true),
            ("fe80::1", true),
            ("::1", true),
            ("::ffff:192.0.2.1", true),
            ("1:2:3:4:5:6:7:8:9", false),
            ("00:1b:44:11:3a:b7", false),
            ("12:34:56", false),
            ("a::b", false),
            ("::", false),
            ("1::2::3", false),
        ] {
            let found = v6(text.as_bytes(), 0);
            assert_eq!(found == Some(text.len()), fine, "{text} {found:?}");
        }
    }
}
