//! E-mail addresses, from each `@` outwards.

use crate::class::{at, before, sign, sign_before, slice};

/// What follows an `@` and a file's name in "retina" image names such as `icon@2x.png`.
const FILES: [&[u8]; 9] = [b"png", b"jpg", b"jpeg", b"gif", b"svg", b"webp", b"css", b"js", b"ico"];

/// The address around the `@` at `middle`, not reaching before `floor`.
pub(crate) fn email(text: &[u8], middle: usize, floor: usize) -> Option<(usize, usize)> {
    let end = domain_end(text, middle + 1)?;
    let start = local_start(text, middle, floor)?;
    // `git@host:path` is an address of a repository.
    if slice(text, start, middle) == b"git" && at(text, end) == b':' {
        return None;
    }
    Some((start, end))
}

const fn is_local(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte >= 0x80 || matches!(byte, b'.' | b'_' | b'%' | b'+' | b'-' | b'\'')
}

fn local_start(text: &[u8], middle: usize, floor: usize) -> Option<usize> {
    let mut start = middle;
    if before(text, start) == b'"' {
        // A quoted local part, on one line and short.
        let from = start.saturating_sub(66).max(floor);
        let quoted = slice(text, from, start - 1);
        let open = memchr::memrchr(b'"', quoted)? + from;
        let inside = slice(text, open + 1, start - 1);
        return (!inside.is_empty() && inside.iter().all(|b| *b >= b' ' && *b != b'<')).then_some(open);
    }
    while start > floor && is_local(before(text, start)) && sign_before(text, start) == 0 {
        start -= 1;
    }
    while start < middle && matches!(at(text, start), b'.' | b'-' | b'\'' | b'%' | b'+') {
        start += 1;
    }
    (start < middle && before(text, middle) != b'.').then_some(start)
}

fn domain_end(text: &[u8], start: usize) -> Option<usize> {
    if at(text, start) == b'[' {
        let inside = slice(text, start + 1, (start + 48).min(text.len()));
        let close = memchr::memchr(b']', inside)?;
        let address = inside.get(..close)?;
        let fine = address.len() >= 7 && address.iter().all(|b| b.is_ascii_hexdigit() || matches!(b, b'.' | b':'));
        return fine.then_some(start + close + 2);
    }
    let mut end = start;
    let mut label = start;
    // The end of the last whole domain, and the labels up to it.
    let mut good = None;
    let mut labels = 0;
    loop {
        let byte = at(text, end);
        if byte.is_ascii_alphanumeric() || byte == b'-' || byte >= 0x80 && sign(text, end) == 0 {
            end += 1;
            continue;
        }
        let part = slice(text, label, end);
        let trimmed = part.len() - part.iter().rev().take_while(|b| **b == b'-').count();
        if trimmed == 0 || part.first() == Some(&b'-') {
            break;
        }
        labels += 1;
        let name = part.get(..trimmed).unwrap_or_default();
        let top = name.len() >= 2
            && (name.iter().all(|b| b.is_ascii_alphabetic() || *b >= 0x80) || name.starts_with(b"xn--"));
        // The next sentence, without a blank before it: `jo@example.com.Thanks`.
        let sentence = good.is_some()
            && name.first().is_some_and(u8::is_ascii_uppercase)
            && name.iter().skip(1).all(u8::is_ascii_lowercase)
            && !slice(text, start, label).iter().any(u8::is_ascii_uppercase);
        if sentence {
            break;
        }
        if labels >= 2 && top {
            good = Some((label + trimmed, labels, name));
        }
        if byte != b'.' || trimmed != part.len() {
            break;
        }
        end += 1;
        label = end;
    }
    let (end, labels, top) = good?;
    let density = labels == 2 && slice(text, start, label).ends_with(b"x.") && at(text, start).is_ascii_digit();
    if density && FILES.iter().any(|f| f.eq_ignore_ascii_case(top)) {
        return None;
    }
    Some(end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses() {
        for (text, expected) in [
            ("mail john.o'neil+x@mail.example.co.uk.", Some("john.o'neil+x@mail.example.co.uk")),
            ("<a@b.io>", Some("a@b.io")),
            ("'jo@example.com'", Some("jo@example.com")),
            ("\"jo hn\"@example.com", Some("\"jo hn\"@example.com")),
            ("jo@[192.0.2.1] x", Some("jo@[192.0.2.1]")),
            ("köln@bücher.example", Some("köln@bücher.example")),
            ("icon@2x.png", None),
            ("pkg@1.2.3", None),
            ("git@github.com:a/b", None),
            ("a@b", None),
            ("@example.com", None),
            ("jo@example.com-", Some("jo@example.com")),
            ("jo@example.com.Thanks", Some("jo@example.com")),
            ("Jo@Mail.Example.Com", Some("Jo@Mail.Example.Com")),
        ] {
            let middle = text.rfind('@').unwrap();
            let found = email(text.as_bytes(), middle, 0).map(|(s, e)| &text[s..e]);
            assert_eq!(found, expected, "{text}");
        }
    }
}
