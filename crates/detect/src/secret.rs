//! Keys and tokens by the prefixes that their issuers give them, JSON web tokens, and private keys in PEM.

use crate::class::{at, slice};
use crate::kind::Kind;

const fn is_alnum(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
}

const fn is_url_safe(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_')
}

/// The end of the bytes of a class from `start` on.
fn run(text: &[u8], start: usize, class: fn(u8) -> bool) -> usize {
    start + slice(text, start, text.len()).iter().take_while(|b| class(**b)).count()
}

/// The secret that begins with the word at `start`: its kind and end.
pub(crate) fn token(text: &[u8], start: usize) -> Option<(Kind, usize)> {
    let head = slice(text, start, (start + 11).min(text.len()));
    // What follows a prefix: at least so many bytes of a class.
    let after = |kind: Kind, prefix: usize, class: fn(u8) -> bool, least: usize| {
        let end = run(text, start + prefix, class);
        (end >= start + prefix + least).then_some((kind, end))
    };
    match head {
        [b'A', b'K' | b'S', b'I', b'A', ..] | [b'A', b'B' | b'C', b'I' | b'C', b'A', ..] => {
            let end = run(text, start, is_alnum);
            let body = slice(text, start + 4, end);
            let fine = body.len() == 16 && body.iter().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit());
            fine.then_some((Kind::AwsKey, end))
        }
        [b'A', b'I', b'z', b'a', ..] => after(Kind::GcpKey, 4, is_url_safe, 35),
        [b'y', b'a', b'2', b'9', b'.', ..] => after(Kind::GcpKey, 5, is_url_safe, 20),
        [b'G', b'O', b'C', b'S', b'P', b'X', b'-', ..] => after(Kind::GcpKey, 7, is_url_safe, 20),
        [b'g', b'h', b'p' | b'o' | b'u' | b's' | b'r', b'_', ..] => after(Kind::GithubToken, 4, is_alnum, 30),
        [b'g', b'i', b't', b'h', b'u', b'b', b'_', b'p', b'a', b't', b'_'] => {
            after(Kind::GithubToken, 11, is_url_safe, 22)
        }
        [b'x', b'o', b'x', b'a'..=b'z', b'-', ..] => after(Kind::SlackToken, 5, is_url_safe, 10),
        [b'x', b'a', b'p', b'p', b'-', ..] => after(Kind::SlackToken, 5, is_url_safe, 20),
        [b's' | b'r', b'k', b'_', b'l' | b't', ..] => {
            let mode = slice(text, start + 3, start + 8);
            if mode == b"live_" || mode == b"test_" { after(Kind::StripeKey, 8, is_alnum, 10) } else { None }
        }
        [b'w', b'h', b's', b'e', b'c', b'_', ..] => after(Kind::StripeKey, 6, is_alnum, 20),
        [b'e', b'y', b'J', ..] => jwt(text, start).map(|end| (Kind::Jwt, end)),
        _ => None,
    }
}

/// Header, payload and signature, of which the first two are JSON objects in base64url.
fn jwt(text: &[u8], start: usize) -> Option<usize> {
    let header = run(text, start, is_url_safe);
    if header - start < 12 || at(text, header) != b'.' || slice(text, header + 1, header + 3) != b"ey" {
        return None;
    }
    let payload = run(text, header + 1, is_url_safe);
    if at(text, payload) != b'.' {
        return None;
    }
    Some(run(text, payload + 1, is_url_safe))
}

/// The secret access key of AWS: 40 characters, where something calls them so.
pub(crate) fn is_aws_secret(run: &[u8]) -> bool {
    run.len() == 40
        && run.iter().any(u8::is_ascii_uppercase)
        && run.iter().any(u8::is_ascii_lowercase)
        && run.iter().any(u8::is_ascii_digit)
}

/// The webhook address of Slack that begins at `start`.
pub(crate) fn slack_webhook(text: &[u8], start: usize, end: usize) -> bool {
    const HOST: &[u8] = b"https://hooks.slack.com/";
    slice(text, start, end).get(..HOST.len()).is_some_and(|head| head.eq_ignore_ascii_case(HOST))
        && end - start > HOST.len() + 20
}

/// Where the next line that begins a block in PEM is: five dashes, and what they begin.
fn begin(text: &[u8], from: usize) -> Option<usize> {
    let rest = slice(text, from, text.len());
    if rest.len() < 32 {
        return None;
    }
    let dashes = memchr::memchr_iter(b'-', rest).map(|dash| dash + from);
    dashes.into_iter().find(|dash| slice(text, *dash, dash + BEGIN.len()) == BEGIN)
}

const BEGIN: &[u8] = b"-----BEGIN ";

/// Calls `found` for each private key in PEM. One that is not ended goes to the end of the text.
pub(crate) fn private_keys(text: &[u8], mut found: impl FnMut(usize, usize)) {
    const END: &[u8] = b"-----END ";
    let mut place = 0;
    while let Some(start) = begin(text, place) {
        let label = slice(text, start + BEGIN.len(), (start + BEGIN.len() + 48).min(text.len()));
        place = start + BEGIN.len();
        let Some(close) = memchr::memmem::find(label, b"-----") else { continue };
        let named = label.get(..close).unwrap_or_default();
        if !named.ends_with(b"PRIVATE KEY") && !named.ends_with(b"PRIVATE KEY BLOCK") {
            continue;
        }
        let end = memchr::memmem::find(slice(text, place, text.len()), END).map_or(text.len(), |n| {
            let from = place + n + END.len();
            let tail = slice(text, from, (from + 48).min(text.len()));
            memchr::memmem::find(tail, b"-----").map_or(text.len(), |m| from + m + 5)
        });
        found(start, end);
        place = end;
    }
}
