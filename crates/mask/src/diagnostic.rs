//! ErrorResponse, NoticeResponse, NotificationResponse and ParameterStatus: texts of a target that may quote a value.
//!
//! Where the statement touches labelled data, nothing of a target's own words is left: severity and SQLSTATE only from
//! closed lists, and the condition's name for the message. A SQLSTATE outside the list was chosen by code in the database
//! and could spell five characters of a value.

use crate::condition;
use crate::message::MessageError;
use bytes::{BufMut, BytesMut};

/// Whether the statement that a message belongs to touches labelled data.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Touch {
    /// It is known to touch none: the target's words pass.
    Clean,
    /// It does, or that is not known.
    Labelled,
}

/// The two messages with diagnostic fields.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Diagnostic {
    /// ErrorResponse.
    Error,
    /// NoticeResponse.
    Notice,
}

impl Diagnostic {
    /// The byte that the message begins with.
    pub const fn tag(self) -> u8 {
        match self {
            Diagnostic::Error => b'E',
            Diagnostic::Notice => b'N',
        }
    }

    /// PostgreSQL's name of the message.
    pub const fn name(self) -> &'static str {
        match self {
            Diagnostic::Error => "ErrorResponse",
            Diagnostic::Notice => "NoticeResponse",
        }
    }

    const fn severity(self) -> &'static str {
        match self {
            Diagnostic::Error => "ERROR",
            Diagnostic::Notice => "NOTICE",
        }
    }

    /// What stands for a SQLSTATE that PostgreSQL does not define: `raise_exception`, or that of a plain notice.
    const fn state(self) -> &'static str {
        match self {
            Diagnostic::Error => "P0001",
            Diagnostic::Notice => "00000",
        }
    }
}

/// What PostgreSQL may send as field V.
const SEVERITIES: [&str; 8] = ["ERROR", "FATAL", "PANIC", "WARNING", "NOTICE", "DEBUG", "INFO", "LOG"];

const WITHHELD: &str = "the target's message is withheld because the statement touches labelled data";

/// Appends the body of what the client may see of a diagnostic message.
pub(crate) fn put(kind: Diagnostic, body: &[u8], touch: Touch, out: &mut BytesMut) -> Result<(), MessageError> {
    let malformed = MessageError::Malformed(kind.name());
    let mut severity = None;
    let mut state = None;
    let mut rest = body;
    loop {
        match rest.split_first() {
            Some((0, [])) => break,
            Some((0, _)) | None => return Err(malformed),
            Some((field, after)) => {
                let end = memchr::memchr(0, after).ok_or(malformed)?;
                let (text, next) = after.split_at_checked(end).ok_or(malformed)?;
                match field {
                    b'V' => severity = std::str::from_utf8(text).ok(),
                    b'S' => severity = severity.or(std::str::from_utf8(text).ok()),
                    b'C' => state = std::str::from_utf8(text).ok(),
                    _ => {}
                }
                rest = next.get(1..).unwrap_or_default();
            }
        }
    }
    if touch == Touch::Clean {
        out.put_slice(body);
        return Ok(());
    }
    let severity = SEVERITIES.into_iter().find(|known| Some(*known) == severity).unwrap_or(kind.severity());
    let (state, message) = match state.and_then(|state| Some((state, condition::name(state)?))) {
        Some(known) => known,
        None => (kind.state(), condition::name(kind.state()).unwrap_or_default()),
    };
    for (field, text) in [(b'S', severity), (b'V', severity), (b'C', state), (b'M', message), (b'H', WITHHELD)] {
        out.put_u8(field);
        out.put_slice(text.as_bytes());
        out.put_u8(0);
    }
    out.put_u8(0);
    Ok(())
}

/// Appends the body of what the client may see of a NotificationResponse: without its payload where that may be a value.
/// The channel stays: the client has named it in its LISTEN.
pub(crate) fn put_notification(body: &[u8], touch: Touch, out: &mut BytesMut) -> Result<(), MessageError> {
    let malformed = MessageError::Malformed("NotificationResponse");
    let strings = body.get(4..).ok_or(malformed)?;
    let channel = memchr::memchr(0, strings).ok_or(malformed)?;
    let payload = strings.get(channel + 1..).ok_or(malformed)?;
    if !matches!(payload.split_last(), Some((0, text)) if !text.contains(&0)) {
        return Err(malformed);
    }
    match touch {
        Touch::Clean => out.put_slice(body),
        Touch::Labelled => {
            out.put_slice(body.get(..4 + channel + 1).ok_or(malformed)?);
            out.put_u8(0);
        }
    }
    Ok(())
}

/// Parameters whose values are words of a closed list. The others hold free text that `set_config` can make of a value:
/// `application_name`, `search_path`, and `TimeZone` too, which takes any text within `<>`.
const CLOSED_PARAMETERS: [&str; 10] = [
    "client_encoding",
    "server_encoding",
    "server_version",
    "DateStyle",
    "IntervalStyle",
    "integer_datetimes",
    "standard_conforming_strings",
    "default_transaction_read_only",
    "in_hot_standby",
    "is_superuser",
];

/// Whether the client may see a ParameterStatus: each one, or only those that cannot hold a value.
pub(crate) fn shows_parameter(body: &[u8], touch: Touch) -> Result<bool, MessageError> {
    let malformed = MessageError::Malformed("ParameterStatus");
    let text = body.strip_suffix(b"\0").ok_or(malformed)?;
    let end = memchr::memchr(0, text).ok_or(malformed)?;
    let (name, value) = text.split_at_checked(end).ok_or(malformed)?;
    // The value has the end of the name before it.
    if name.is_empty() || memchr::memrchr(0, value) != Some(0) {
        return Err(malformed);
    }
    Ok(touch == Touch::Clean || CLOSED_PARAMETERS.iter().any(|known| known.as_bytes() == name))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(pairs: &[(u8, &str)]) -> Vec<u8> {
        let mut body = Vec::new();
        for (field, text) in pairs {
            body.push(*field);
            body.extend_from_slice(text.as_bytes());
            body.push(0);
        }
        body.push(0);
        body
    }

    #[test]
    fn labelled_diagnostics_keep_nothing_of_the_targets_words() {
        let canary = "123-45-6789";
        let every_field: Vec<(u8, &str)> = (b'A'..=b'z').filter(u8::is_ascii_alphabetic).map(|f| (f, canary)).collect();
        let cases = [
            (
                Diagnostic::Error,
                fields(&[(b'S', "ERREUR"), (b'V', "ERROR"), (b'C', "22P02"), (b'M', canary), (b'P', "8")]),
                "ERROR",
                "22P02",
                "invalid_text_representation",
            ),
            (Diagnostic::Error, fields(&[(b'S', "FATAL"), (b'C', "57P01")]), "FATAL", "57P01", "admin_shutdown"),
            (Diagnostic::Error, fields(&[(b'S', "ERROR"), (b'C', "12345")]), "ERROR", "P0001", "raise_exception"),
            (
                Diagnostic::Notice,
                fields(&[(b'V', "12345"), (b'C', "67890")]),
                "NOTICE",
                "00000",
                "successful_completion",
            ),
            (Diagnostic::Error, fields(&every_field), "ERROR", "P0001", "raise_exception"),
            (Diagnostic::Error, fields(&[]), "ERROR", "P0001", "raise_exception"),
        ];
        for (kind, body, severity, state, name) in cases {
            let mut out = BytesMut::new();
            put(kind, &body, Touch::Labelled, &mut out).unwrap();
            let expected = fields(&[(b'S', severity), (b'V', severity), (b'C', state), (b'M', name), (b'H', WITHHELD)]);
            assert_eq!(out, expected);
        }
    }

    #[test]
    fn clean_diagnostics_pass_and_malformed_ones_never() {
        let body = fields(&[(b'S', "ERROR"), (b'C', "22P02"), (b'M', "words"), (b'D', "more words")]);
        let mut out = BytesMut::new();
        put(Diagnostic::Error, &body, Touch::Clean, &mut out).unwrap();
        assert_eq!(out, body);
        for touch in [Touch::Clean, Touch::Labelled] {
            for end in 0..body.len() {
                let mut out = BytesMut::new();
                assert!(put(Diagnostic::Error, &body[..end], touch, &mut out).is_err(), "{end}");
                assert!(out.is_empty());
            }
            assert!(put(Diagnostic::Error, &[&body[..], b"x"].concat(), touch, &mut BytesMut::new()).is_err());
        }
    }

    #[test]
    fn notifications() {
        let body = b"\0\0\0\x07orders\0payload\0";
        for (touch, expected) in [(Touch::Clean, &body[..]), (Touch::Labelled, b"\0\0\0\x07orders\0\0")] {
            let mut out = BytesMut::new();
            put_notification(body, touch, &mut out).unwrap();
            assert_eq!(out, expected);
            for end in 0..body.len() {
                assert!(put_notification(&body[..end], touch, &mut BytesMut::new()).is_err(), "{end}");
            }
        }
        assert!(put_notification(b"\0\0\0\x07a\0b\0c\0", Touch::Clean, &mut BytesMut::new()).is_err());
    }

    #[test]
    fn parameters() {
        for (body, clean, labelled) in [
            (&b"TimeZone\0UTC\0"[..], Some(true), Some(false)),
            (b"application_name\0\0", Some(true), Some(false)),
            (b"search_path\x00123-45-6789\0", Some(true), Some(false)),
            (b"client_encoding\0UTF8\0", Some(true), Some(true)),
            (b"TimeZone\0UTC", None, None),
            (b"TimeZone\0UTC\0more\0", None, None),
            (b"client_encoding\0", None, None),
            (b"\0UTC\0", None, None),
            (b"", None, None),
        ] {
            assert_eq!(shows_parameter(body, Touch::Clean).ok(), clean, "{body:?}");
            assert_eq!(shows_parameter(body, Touch::Labelled).ok(), labelled, "{body:?}");
        }
    }
}
