//! Statement texts without the passwords in them, for recordings and messages. The decision what is a password is by
//! tokens, not by the tree, so that it also works on text that does not parse; it takes too much rather than too little.

use std::borrow::Cow;

use lockgate_core::limits;
use pg_query::protobuf::{ScanToken, Token};

/// What stands in the place of a secret.
const STARS: &str = "'***'";

/// Words after which a string is a secret: `PASSWORD 'x'`, and option names of servers and mappings.
const SECRET_WORDS: &[&str] = &[
    "password",
    "passwd",
    "secret",
    "passphrase",
    "sslpassword",
    "sslkey",
    "token",
    "scram_client_key",
    "scram_server_key",
    "secret_access_key",
    "access_key",
    "api_key",
];
/// How many tokens may stand between a secret word and its string.
const REACH: u8 = 3;
/// Words after which a string is a connection string, or is handed to something that connects.
const CONNECTION_WORDS: &[&str] = &[
    "connection",
    "dblink",
    "dblink_connect",
    "dblink_connect_u",
    "dblink_exec",
    "dblink_open",
    "dblink_send_query",
    "conninfo",
    "primary_conninfo",
    "subconninfo",
];

/// The text with every password literal replaced by `'***'`. A text without any comes back as it is.
pub fn redact_secrets(text: &str) -> Cow<'_, str> {
    if !may_hold_secrets(text) {
        return Cow::Borrowed(text);
    }
    match crate::parse::tokens(text) {
        Ok(tokens) => by_tokens(text, &tokens),
        // Not even words: nothing in quotes is kept.
        Err(_) => Cow::Owned(without_strings(text)),
    }
}

/// A text that does not parse, without anything that could be a secret: what stands where is anybody's guess, so that every
/// string goes, and every word that follows a secret word. Of a very long one only the beginning is kept.
pub fn redact_unreadable(text: &str) -> Cow<'_, str> {
    let mut end = text.len().min(limits::UNREADABLE_TEXT_BYTES_MAX);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    let head = text.get(..end).unwrap_or_default();
    if let Ok(tokens) = crate::parse::tokens(head) {
        let kept = without_literals(head, &tokens);
        return if end == text.len() { kept } else { Cow::Owned(format!("{kept}{STARS}")) };
    }
    // Not even words up to its end: nothing behind the first quote is kept.
    let head = head.get(..quote(head)).unwrap_or_default();
    let kept = crate::parse::tokens(head).map(|tokens| without_literals(head, &tokens)).unwrap_or_default();
    Cow::Owned(format!("{kept}{STARS}"))
}

/// The text of a server's error for a recording. A syntax error quotes the place where the statement stopped to make sense,
/// which may be a password; what it quotes is left out, in whatever language.
pub fn redact_error<'m>(sqlstate: &str, message: &'m str) -> Cow<'m, str> {
    const QUOTES: [char; 12] = ['"', '\'', '`', '$', '«', '»', '„', '“', '”', '‘', '’', '「'];
    match message.find(QUOTES) {
        Some(at) if sqlstate == "42601" => Cow::Owned(format!("{}\"***\"", message.get(..at).unwrap_or_default())),
        _ => Cow::Borrowed(message),
    }
}

/// Every string replaced, and every word within reach of a secret word up to the next blank.
fn without_literals<'t>(text: &'t str, tokens: &[ScanToken]) -> Cow<'t, str> {
    let mut out = String::with_capacity(text.len());
    let mut copied = 0;
    let mut secret = 0u8;
    for token in tokens {
        let (Ok(start), Ok(mut end)) = (usize::try_from(token.start), usize::try_from(token.end)) else { continue };
        let Some(word) = text.get(start..end) else { continue };
        // Part of what was taken away already.
        if start < copied {
            continue;
        }
        let hide = match token.token() {
            Token::Sconst | Token::Usconst | Token::Bconst | Token::Xconst => true,
            Token::Ident | Token::Uident | Token::Iconst | Token::Fconst | Token::Param if secret > 0 => {
                let rest = text.get(end..).unwrap_or_default();
                end += rest.find(|c: char| c.is_whitespace() || c == ';').unwrap_or(rest.len());
                true
            }
            Token::SqlComment | Token::CComment => continue,
            Token::Ascii44 | Token::Ascii59 => {
                secret = 0;
                false
            }
            _ => {
                let word = word.trim_matches('"').to_ascii_lowercase();
                let reaches = SECRET_WORDS.contains(&word.as_str()) || word == "identified";
                secret = if reaches { REACH } else { secret.saturating_sub(1) };
                false
            }
        };
        if hide {
            out.push_str(text.get(copied..start).unwrap_or_default());
            out.push_str(STARS);
            copied = end;
            secret = 0;
        }
    }
    if copied == 0 {
        return Cow::Borrowed(text);
    }
    out.push_str(text.get(copied..).unwrap_or_default());
    Cow::Owned(out)
}

fn quote(text: &str) -> usize {
    text.find(['\'', '$', '"']).unwrap_or(text.len())
}

fn may_hold_secrets(text: &str) -> bool {
    let lower = text.to_ascii_lowercase();
    SECRET_WORDS.iter().chain(CONNECTION_WORDS).any(|word| lower.contains(word))
}

fn by_tokens<'t>(text: &'t str, tokens: &[ScanToken]) -> Cow<'t, str> {
    let span = |token: &ScanToken| {
        let start = usize::try_from(token.start).ok()?;
        let end = usize::try_from(token.end).ok()?;
        Some((start, end, text.get(start..end)?))
    };
    let mut out = String::with_capacity(text.len());
    let mut copied = 0;
    // How many more tokens a secret word reaches: `password 'x'`, `password = 'x'`.
    let mut secret = 0u8;
    let mut connection = false;
    let mut changed = false;
    for token in tokens {
        let Some((start, end, word)) = span(token) else { continue };
        match token.token() {
            Token::Sconst | Token::Usconst | Token::Bconst | Token::Xconst => {
                let holds = word.to_ascii_lowercase();
                let named = SECRET_WORDS.iter().any(|w| holds.contains(w));
                let uri = holds.contains("://") && holds.contains('@');
                if secret > 0 || connection || named || uri {
                    out.push_str(text.get(copied..start).unwrap_or_default());
                    out.push_str(STARS);
                    copied = end;
                    changed = true;
                    secret = 0;
                }
            }
            Token::Ascii44 => secret = 0,
            Token::Ascii59 => {
                secret = 0;
                connection = false;
            }
            Token::SqlComment | Token::CComment => {}
            _ => {
                let word = word.trim_matches('"').to_ascii_lowercase();
                if SECRET_WORDS.contains(&word.as_str()) {
                    secret = REACH;
                } else {
                    secret = secret.saturating_sub(1);
                }
                if CONNECTION_WORDS.contains(&word.as_str()) {
                    connection = true;
                }
            }
        }
    }
    if !changed {
        return Cow::Borrowed(text);
    }
    out.push_str(text.get(copied..).unwrap_or_default());
    Cow::Owned(out)
}

/// Everything from the first quote on is left out.
fn without_strings(text: &str) -> String {
    format!("{}{STARS}", text.get(..quote(text)).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_are_replaced() {
        for (text, redacted) in [
            ("select 1", "select 1"),
            ("select password from users where name = 'bob'", "select password from users where name = 'bob'"),
            ("alter role bob password 'hunter2'", "alter role bob password '***'"),
            (
                "CREATE USER x WITH ENCRYPTED PASSWORD E'a\\'b' LOGIN",
                "CREATE USER x WITH ENCRYPTED PASSWORD '***' LOGIN",
            ),
            ("alter role bob password $$hunter2$$", "alter role bob password '***'"),
            (
                "alter user bob password 'a' valid until 'x'; select 'y'",
                "alter user bob password '***' valid until 'x'; select 'y'",
            ),
            ("alter role bob passWORD/* c */U&'hunter2'", "alter role bob passWORD/* c */'***'"),
            (
                "create user mapping for a server s options (user 'u', password 'p')",
                "create user mapping for a server s options (user 'u', password '***')",
            ),
            (
                "create subscription s connection 'host=h password=p' publication p",
                "create subscription s connection '***' publication p",
            ),
            ("select dblink_connect('c', 'host=h password=p')", "select dblink_connect('***', '***')"),
            ("select 'postgres://u:p@h/password'", "select '***'"),
            ("alter role bob password 'unterminated", "alter role bob password '***'"),
        ] {
            assert_eq!(redact_secrets(text), redacted, "{text}");
        }
    }

    #[test]
    fn a_text_that_does_not_parse_keeps_no_literal() {
        for (text, redacted) in [
            ("SELEKT ssn FROM people", "SELEKT ssn FROM people"),
            ("CREATE ROLE x PASSWORD 'canary' garbage", "CREATE ROLE x PASSWORD '***' garbage"),
            ("CREATE ROLE x PASSWRD 'canary'", "CREATE ROLE x PASSWRD '***'"),
            ("CREATE USER x IDENTIFIED BY 'canary'", "CREATE USER x IDENTIFIED BY '***'"),
            ("CREATE USER x IDENTIFIED BY canary!x; SELECT 1", "CREATE USER x IDENTIFIED BY '***'; SELECT 1"),
            ("ALTER ROLE x PASSWORD canary", "ALTER ROLE x PASSWORD '***'"),
            ("ALTER ROLE x PASSWORD \"canary\" now", "ALTER ROLE x PASSWORD '***' now"),
            ("ALTER ROLE x PASSWORD = canary4711 now", "ALTER ROLE x PASSWORD = '***' now"),
            ("ALTER ROLE x PASSWORD 4711", "ALTER ROLE x PASSWORD '***'"),
            ("ALTER ROLE x PASSWORD $a$canary$a$ garbage", "ALTER ROLE x PASSWORD '***' garbage"),
            ("ALTER ROLE x PASSWORD U&'canary' UESCAPE", "ALTER ROLE x PASSWORD '***' UESCAPE"),
            ("ALTER ROLE x PASSWORD 'canary", "ALTER ROLE x PASSWORD '***'"),
            ("ALTER ROLE x PASSWORD canary 'x", "ALTER ROLE x PASSWORD '***' '***'"),
            ("ALTER ROLE x PASSWORD $$canary", "ALTER ROLE x PASSWORD '***'"),
            ("/* canary", "'***'"),
        ] {
            assert_eq!(redact_unreadable(text), redacted, "{text}");
        }
        let long = format!("SELECT {}'canary'", "x, ".repeat(100_000));
        let kept = redact_unreadable(&long);
        assert!(kept.len() < 70_000 && kept.ends_with("'***'") && !kept.contains("canary"));
        assert!(!redact_unreadable(&format!("PASSWORD '{}", "canary".repeat(50_000))).contains("canary"));
    }

    #[test]
    fn a_syntax_error_quotes_nothing() {
        for (code, said, kept) in [
            ("42601", "syntax error at or near \"'canary'\"", "syntax error at or near \"***\""),
            ("42601", "Syntaxfehler bei »canary«", "Syntaxfehler bei \"***\""),
            (
                "42601",
                "unterminated quoted string at or near \"'canary\"",
                "unterminated quoted string at or near \"***\"",
            ),
            ("42601", "syntax error at end of input", "syntax error at end of input"),
            ("42703", "column \"x\" does not exist", "column \"x\" does not exist"),
        ] {
            assert_eq!(redact_error(code, said), kept);
        }
    }
}
