//! URLs, from each `://` outwards, and names that begin with `www.`.

use crate::class::{at, before, is_word, is_word_before, sign, slice};

/// A URL.
pub(crate) struct Url {
    pub(crate) start: usize,
    pub(crate) end: usize,
    /// It carries a password.
    pub(crate) password: bool,
}

/// The URL around the `://` whose colon is at `colon`, not reaching before `floor`.
pub(crate) fn url(text: &[u8], colon: usize, floor: usize) -> Option<Url> {
    let mut start = colon;
    while start > floor && is_scheme(before(text, start)) {
        start -= 1;
    }
    while start < colon && !at(text, start).is_ascii_alphabetic() {
        start += 1;
    }
    if colon - start < 2 {
        return None;
    }
    let authority = colon + 3;
    // The host before the rest, so that what is no URL is not read to its end.
    let stop = |b: &u8| matches!(b, b'/' | b'?' | b'#') || is_stop(*b);
    let after = slice(text, authority, text.len());
    let host_end = authority + after.iter().position(stop).unwrap_or(after.len());
    let host_end = (authority..host_end).find(|place| sign(text, *place) > 0).unwrap_or(host_end);
    let host_end = if at(text, host_end) == b'/' || at(text, host_end) == b'?' || at(text, host_end) == b'#' {
        host_end
    } else {
        trimmed(text, authority, host_end)
    };
    let named = slice(text, authority, host_end);
    let (password, host) = match memchr::memrchr(b'@', named) {
        None => (false, named),
        Some(sign) => {
            let user = named.get(..sign)?;
            let password = memchr::memchr(b':', user).is_some_and(|colon| colon + 1 < user.len());
            (password, named.get(sign + 1..)?)
        }
    };
    let file = slice(text, start, colon).eq_ignore_ascii_case(b"file");
    if host.is_empty() && !file || !host.iter().all(|b| is_host(*b)) {
        return None;
    }
    let end = trimmed(text, authority, end_of(text, authority));
    Some(Url { start, end, password })
}

/// The address that begins with the `www.` at `start`.
pub(crate) fn www(text: &[u8], start: usize) -> Option<(usize, usize)> {
    if is_word_before(text, start) || matches!(before(text, start), b'.' | b'/' | b'@' | b'-') {
        return None;
    }
    let end = trimmed(text, start, end_of(text, start));
    let rest = slice(text, start, end);
    let host_end = rest.iter().position(|b| matches!(b, b'/' | b'?' | b'#' | b':')).unwrap_or(rest.len());
    let host = rest.get(..host_end)?;
    let top = host.rsplit(|b| *b == b'.').next()?;
    let dots = host.iter().filter(|b| **b == b'.').count();
    let fine = dots >= 2
        && top.len() >= 2
        && top.iter().all(u8::is_ascii_alphabetic)
        && host.iter().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-'));
    fine.then_some((start, end))
}

const fn is_scheme(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.')
}

/// Bytes of a host, with its port.
const fn is_host(byte: u8) -> bool {
    is_word(byte) || matches!(byte, b'.' | b'-' | b':' | b'[' | b']' | b'%' | b',' | b'*')
}

/// What no URL has inside: blanks, quotes, brackets and controls.
const fn is_stop(b: u8) -> bool {
    b <= b' ' || b == 0x7f || matches!(b, b'"' | b'<' | b'>' | b'`' | b'{' | b'}' | b'|' | b'\\' | b'^')
}

/// Where a URL that has begun must end.
fn end_of(text: &[u8], from: usize) -> usize {
    let rest = slice(text, from, text.len());
    let end = rest.iter().position(|b| is_stop(*b)).map_or(text.len(), |n| from + n);
    // Quotes and stops that are not ASCII end it too. Dashes do not: titles in addresses have them.
    let high = slice(text, from, end).iter().enumerate().filter(|(_, b)| **b >= 0xc2).map(|(at, _)| from + at);
    let is_dash = |place: usize| at(text, place) == 0xe2 && matches!(at(text, place + 2), 0x90..=0x95);
    high.into_iter().find(|place| sign(text, *place) > 0 && !is_dash(*place)).unwrap_or(end)
}

/// Without the punctuation of the sentence around it; a closing parenthesis stays where it was opened inside.
fn trimmed(text: &[u8], from: usize, end: usize) -> usize {
    let mut end = end;
    let inside = slice(text, from, end);
    let count = |byte: u8| inside.iter().filter(|b| **b == byte).count();
    let mut unmatched = count(b')').saturating_sub(count(b'('));
    let mut unmatched_square = count(b']').saturating_sub(count(b'['));
    while end > from {
        match before(text, end) {
            b'.' | b',' | b';' | b':' | b'!' | b'?' | b'\'' | b'*' => {}
            b')' if unmatched > 0 => unmatched -= 1,
            b']' if unmatched_square > 0 => unmatched_square -= 1,
            _ => break,
        }
        end -= 1;
    }
    // In a line of fields, a comma ends the address.
    match slice(text, from, end).iter().position(|b| *b == b',' || *b == b';') {
        Some(comma) if is_next_field(slice(text, from + comma + 1, end)) => from + comma,
        _ => end,
    }
}

/// Whether what follows a comma reads as the next field of a record: a date, an amount, or something with an `@`.
fn is_next_field(rest: &[u8]) -> bool {
    let field = rest.split(|b| *b == b',').next().unwrap_or_default();
    let numeric =
        !field.is_empty() && field.iter().all(|b| b.is_ascii_digit() || matches!(b, b'.' | b'-' | b':' | b'T' | b'Z'));
    numeric && field.len() >= 4 || memchr::memchr(b'@', field).is_some_and(|at| at > 0) || field.is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls() {
        for (text, expected, password) in [
            ("see https://example.com/a?b=c#d.", Some("https://example.com/a?b=c#d"), false),
            ("<a href=\"http://example.com/x\">", Some("http://example.com/x"), false),
            ("(https://en.example.org/wiki/A_(b))", Some("https://en.example.org/wiki/A_(b)"), false),
            ("url=postgres://app:s3cret@db:5432/shop", Some("postgres://app:s3cret@db:5432/shop"), true),
            ("redis://:pw@cache/0", Some("redis://:pw@cache/0"), true),
            ("https://bob@example.com/", Some("https://bob@example.com/"), false),
            ("http://[2001:db8::1]:80/", Some("http://[2001:db8::1]:80/"), false),
            ("a://b", None, false),
            ("http:///x", None, false),
            ("file:///etc/hosts", Some("file:///etc/hosts"), false),
        ] {
            let colon = text.find("://").unwrap();
            let found = url(text.as_bytes(), colon, 0);
            assert_eq!(found.as_ref().map(|u| &text[u.start..u.end]), expected, "{text}");
            assert_eq!(found.is_some_and(|u| u.password), password, "{text}");
        }
    }
}
