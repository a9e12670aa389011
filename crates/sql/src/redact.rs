//! Statement texts without the passwords in them, for recordings and messages. The decision what is a password is by
//! tokens, not by the tree, so that it also works on text that does not parse; it takes too much rather than too little.

use std::borrow::Cow;

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
    match pg_query::scan_tokens(text) {
        Ok(tokens) => by_tokens(text, &tokens),
        // Not even words: nothing in quotes is kept.
        Err(_) => Cow::Owned(without_strings(text)),
    }
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
    let cut = text.find(['\'', '$', '"']).unwrap_or(text.len());
    format!("{}{STARS}", text.get(..cut).unwrap_or_default())
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
}
