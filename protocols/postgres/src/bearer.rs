//! The SASL mechanism OAUTHBEARER (RFC 7628), by which PostgreSQL 18's clients show a token that they got from an identity
//! provider by themselves. What the token proves is not decided here.

use lockgate_core::Secret;
use lockgate_session::wire::TokenIssuer;

/// The mechanism's name.
pub(crate) const OAUTHBEARER: &str = "OAUTHBEARER";
/// What a client sends to show that it has read a refusal (RFC 7628, 3.2.3).
pub(crate) const DUMMY: &[u8] = b"\x01";

/// The client's message is not one of this mechanism.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the message of the OAUTHBEARER exchange is malformed: {0}")]
pub struct BearerError(&'static str);

/// Reads the client's first message: its token, or `None` where it has none and asks where to get one (RFC 7628, 3.1 and 4.3).
pub(crate) fn client_first(data: &[u8]) -> Result<Option<Secret>, BearerError> {
    let text = std::str::from_utf8(data).map_err(|_| BearerError("it is not UTF-8"))?;
    let (header, rest) = text.split_once('\x01').ok_or(BearerError("it has no key"))?;
    // The user is the one of the startup packet. Channel binding is not part of this mechanism.
    match header {
        "n,," | "y,," => {}
        _ => return Err(BearerError("its header is not `n,,`")),
    }
    let pairs = rest.strip_suffix('\x01').ok_or(BearerError("it has no end"))?;
    let mut auth = None;
    for pair in pairs.split_terminator('\x01') {
        let (key, value) = pair.split_once('=').ok_or(BearerError("a key has no value"))?;
        if key == "auth" && auth.replace(value).is_some() {
            return Err(BearerError("`auth` is there twice"));
        }
    }
    let auth = auth.ok_or(BearerError("it has no `auth`"))?;
    if auth.is_empty() {
        return Ok(None);
    }
    let token = auth.split_once(' ').filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"));
    let token = token.map(|(_, token)| token.trim_start_matches(' ')).ok_or(BearerError("it shows no bearer token"))?;
    // RFC 6750, 2.1.
    let usual = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_' | b'~' | b'+' | b'/' | b'=');
    match !token.is_empty() && token.bytes().all(usual) {
        true => Ok(Some(Secret::new(token.to_owned()))),
        false => Err(BearerError("its token has characters that no token has")),
    }
}

/// Tells the client where to get a token.
pub(crate) fn refusal(issuer: &TokenIssuer) -> String {
    format!(
        r#"{{"status":"invalid_token","openid-configuration":"{}","scope":"{}"}}"#,
        json_text(&issuer.discovery),
        json_text(&issuer.scope)
    )
}

fn json_text(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            c if c.is_control() => {}
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn first_messages() {
        for (data, expected) in [
            ("n,,\x01auth=Bearer abc.def-_~+/=\x01\x01", Ok(Some("abc.def-_~+/="))),
            ("y,,\x01host=x\x01port=1\x01auth=bEARER  abc\x01\x01", Ok(Some("abc"))),
            ("n,,\x01auth=\x01\x01", Ok(None)),
            ("n,a=bob,\x01auth=Bearer abc\x01\x01", Err("header")),
            ("p=tls-unique,,\x01auth=Bearer abc\x01\x01", Err("header")),
            ("n,,\x01auth=Bearer abc\x01auth=Bearer def\x01\x01", Err("twice")),
            ("n,,\x01auth=Bearer \x01\x01", Err("characters")),
            ("n,,\x01auth=Bearer a b\x01\x01", Err("characters")),
            ("n,,\x01auth=Bearer a\0b\x01\x01", Err("characters")),
            ("n,,\x01auth=Basic abc\x01\x01", Err("no bearer token")),
            ("n,,\x01auth=abc\x01\x01", Err("no bearer token")),
            ("n,,\x01auth=Bearer abc", Err("no end")),
            ("n,,\x01auth\x01\x01", Err("no value")),
            ("n,,\x01\x01", Err("no `auth`")),
            ("n,,", Err("no key")),
            ("", Err("no key")),
        ] {
            match (client_first(data.as_bytes()), expected) {
                (Ok(found), Ok(expected)) => assert_eq!(found.as_ref().map(Secret::expose), expected, "{data:?}"),
                (Err(error), Err(part)) => assert!(error.to_string().contains(part), "{data:?}: {error}"),
                (found, _) => panic!("{data:?}: accepted {}", found.is_ok()),
            }
        }
        assert!(client_first(b"n,,\x01auth=Bearer \xff\x01\x01").is_err());
    }

    #[test]
    fn refusals_are_json() {
        let issuer = TokenIssuer { discovery: "https://a/\"x\n".to_owned(), scope: "openid a\\b".to_owned() };
        let text = refusal(&issuer);
        assert_eq!(text, r#"{"status":"invalid_token","openid-configuration":"https://a/\"x","scope":"openid a\\b"}"#);
    }
}
