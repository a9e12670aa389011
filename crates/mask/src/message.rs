//! Messages of a target that carry no values, by a closed list of kinds, and the gateway's own messages.
//!
//! Each kind's body is checked against its form, as far as the form is what keeps values out of it: a message without a
//! body has none, a command tag is short plain text. Rows, copies, errors, notices, notifications, parameter reports and
//! function results are not in the list; they have their own ways into an outbox.

use bytes::Bytes;
use std::borrow::Cow;

/// A kind of message that passes once its form is checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum MessageKind {
    /// `1`
    ParseComplete,
    /// `2`
    BindComplete,
    /// `3`
    CloseComplete,
    /// `n`
    NoData,
    /// `s`
    PortalSuspended,
    /// `I`
    EmptyQueryResponse,
    /// `c`
    CopyDone,
    /// `C`
    CommandComplete,
    /// `Z`
    ReadyForQuery,
    /// `T`
    RowDescription,
    /// `t`
    ParameterDescription,
    /// `G`
    CopyInResponse,
    /// `H`
    CopyOutResponse,
}

/// A message is not of the form of its kind. The session must end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MessageError {
    /// The body is not of the kind's form.
    #[error("the target sent a malformed {0}")]
    Malformed(&'static str),
    /// A stream that cannot be taken apart, where something in it would have to be masked.
    #[error("the target sent a stream that cannot be masked")]
    Unmaskable,
    /// The message is longer than a message may be.
    #[error("the target sent a {kind} of {bytes} bytes, and at most {limit} are accepted")]
    TooLong {
        /// The message's name.
        kind: &'static str,
        /// The body's length.
        bytes: usize,
        /// The limit that it breaks.
        limit: usize,
    },
}

/// The longest command tag (PostgreSQL's COMPLETION_TAG_BUFSIZE), with its end.
const TAG_BYTES_MAX: usize = 64;

impl MessageKind {
    /// Every kind.
    pub const ALL: [MessageKind; 13] = [
        MessageKind::ParseComplete,
        MessageKind::BindComplete,
        MessageKind::CloseComplete,
        MessageKind::NoData,
        MessageKind::PortalSuspended,
        MessageKind::EmptyQueryResponse,
        MessageKind::CopyDone,
        MessageKind::CommandComplete,
        MessageKind::ReadyForQuery,
        MessageKind::RowDescription,
        MessageKind::ParameterDescription,
        MessageKind::CopyInResponse,
        MessageKind::CopyOutResponse,
    ];

    /// The byte that a message of this kind begins with.
    pub const fn tag(self) -> u8 {
        match self {
            MessageKind::ParseComplete => b'1',
            MessageKind::BindComplete => b'2',
            MessageKind::CloseComplete => b'3',
            MessageKind::NoData => b'n',
            MessageKind::PortalSuspended => b's',
            MessageKind::EmptyQueryResponse => b'I',
            MessageKind::CopyDone => b'c',
            MessageKind::CommandComplete => b'C',
            MessageKind::ReadyForQuery => b'Z',
            MessageKind::RowDescription => b'T',
            MessageKind::ParameterDescription => b't',
            MessageKind::CopyInResponse => b'G',
            MessageKind::CopyOutResponse => b'H',
        }
    }

    /// The kind that begins with `tag`; `None` for everything that must not pass as a plain message.
    pub fn from_tag(tag: u8) -> Option<Self> {
        MessageKind::ALL.into_iter().find(|kind| kind.tag() == tag)
    }

    /// PostgreSQL's name of the message.
    pub const fn name(self) -> &'static str {
        match self {
            MessageKind::ParseComplete => "ParseComplete",
            MessageKind::BindComplete => "BindComplete",
            MessageKind::CloseComplete => "CloseComplete",
            MessageKind::NoData => "NoData",
            MessageKind::PortalSuspended => "PortalSuspended",
            MessageKind::EmptyQueryResponse => "EmptyQueryResponse",
            MessageKind::CopyDone => "CopyDone",
            MessageKind::CommandComplete => "CommandComplete",
            MessageKind::ReadyForQuery => "ReadyForQuery",
            MessageKind::RowDescription => "RowDescription",
            MessageKind::ParameterDescription => "ParameterDescription",
            MessageKind::CopyInResponse => "CopyInResponse",
            MessageKind::CopyOutResponse => "CopyOutResponse",
        }
    }

    /// Checks a body against the form of its kind.
    pub(crate) fn check(self, body: &[u8]) -> Result<(), MessageError> {
        let fine = match self {
            MessageKind::ParseComplete
            | MessageKind::BindComplete
            | MessageKind::CloseComplete
            | MessageKind::NoData
            | MessageKind::PortalSuspended
            | MessageKind::EmptyQueryResponse
            | MessageKind::CopyDone => body.is_empty(),
            MessageKind::CommandComplete => {
                body.len() <= TAG_BYTES_MAX
                    && body.split_last().is_some_and(|(end, tag)| {
                        *end == 0 && tag.iter().all(|b| b.is_ascii_alphanumeric() || *b == b' ')
                    })
            }
            MessageKind::ReadyForQuery => matches!(body, [b'I' | b'T' | b'E']),
            MessageKind::RowDescription => is_row_description(body),
            MessageKind::ParameterDescription => is_list(body, 4),
            MessageKind::CopyInResponse | MessageKind::CopyOutResponse => {
                body.split_first().is_some_and(|(format, columns)| *format <= 1 && is_list(columns, 2))
            }
        };
        if fine { Ok(()) } else { Err(MessageError::Malformed(self.name())) }
    }
}

/// An int16 and as many items of `width` bytes.
fn is_list(body: &[u8], width: usize) -> bool {
    body.split_first_chunk::<2>()
        .is_some_and(|(count, items)| items.len() == usize::from(u16::from_be_bytes(*count)).saturating_mul(width))
}

fn is_row_description(body: &[u8]) -> bool {
    let Some((count, mut rest)) = body.split_first_chunk::<2>() else { return false };
    for _ in 0..u16::from_be_bytes(*count) {
        let Some(end) = memchr::memchr(0, rest) else { return false };
        // Table, attribute, type, length, modifier, format.
        let Some(after) = rest.get(end + 1 + 18..) else { return false };
        rest = after;
    }
    rest.is_empty()
}

/// The body of a RowDescription with other names for the columns that are `hidden`: `column1`, `column2`, … by position.
pub fn described<'a>(body: &'a [u8], hidden: &[bool]) -> Result<Cow<'a, [u8]>, MessageError> {
    MessageKind::RowDescription.check(body)?;
    if !hidden.contains(&true) {
        return Ok(Cow::Borrowed(body));
    }
    let malformed = MessageError::Malformed(MessageKind::RowDescription.name());
    let (count, mut rest) = body.split_first_chunk::<2>().ok_or(malformed)?;
    let mut out = Vec::with_capacity(body.len());
    out.extend_from_slice(count);
    for index in 0..usize::from(u16::from_be_bytes(*count)) {
        let end = memchr::memchr(0, rest).ok_or(malformed)?;
        let (name, after) = rest.split_at_checked(end).ok_or(malformed)?;
        let (fixed, next) = after.split_at_checked(1 + 18).ok_or(malformed)?;
        if hidden.get(index).copied().unwrap_or(false) {
            out.extend_from_slice(format!("column{}", index + 1).as_bytes());
        } else {
            out.extend_from_slice(name);
        }
        out.extend_from_slice(fixed);
        rest = next;
    }
    Ok(Cow::Owned(out))
}

/// A message that the gateway makes itself: an authentication request, an error of its own, a notice about a hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnMessage(Bytes);

impl OwnMessage {
    /// One or more whole messages, tag and length included. They must be the gateway's own words: **nothing that came from
    /// a target** may be in them. Every caller is a place to review.
    pub fn not_target_data(messages: impl Into<Bytes>) -> Self {
        OwnMessage(messages.into())
    }

    /// The bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_read_back_and_messages_with_values_have_none() {
        for kind in MessageKind::ALL {
            assert_eq!(MessageKind::from_tag(kind.tag()), Some(kind));
        }
        for tag in *b"DdENAVSKRvW" {
            assert_eq!(MessageKind::from_tag(tag), None, "{}", char::from(tag));
        }
    }

    #[test]
    fn hidden_names() {
        let column = |name: &str, oid: u8| [name.as_bytes(), &[0, 0, 0, 0, oid], &[0; 14]].concat();
        let body = [&[0, 3][..], &column("id", 1), &column("123-45-6789", 2), &column("", 3)].concat();
        let expect = [&[0, 3][..], &column("id", 1), &column("column2", 2), &column("", 3)].concat();
        assert_eq!(described(&body, &[false, true]).unwrap(), expect);
        assert!(matches!(described(&body, &[]).unwrap(), Cow::Borrowed(same) if same == body));
        for end in 0..body.len() {
            assert!(described(&body[..end], &[true, true, true]).is_err(), "{end}");
        }
    }

    #[test]
    fn forms() {
        use MessageKind as K;
        let column = |name: &str| [name.as_bytes(), &[0; 19]].concat();
        let cases: Vec<(MessageKind, Vec<u8>, bool)> = vec![
            (K::ParseComplete, vec![], true),
            (K::NoData, b"secret".to_vec(), false),
            (K::CommandComplete, b"SELECT 100\0".to_vec(), true),
            (K::CommandComplete, b"SELECT 100".to_vec(), false),
            (K::CommandComplete, b"SELECT\x00100\0".to_vec(), false),
            (K::CommandComplete, b"".to_vec(), false),
            (K::CommandComplete, [&[b'A'; 64][..], &[0]].concat(), false),
            (K::ReadyForQuery, b"I".to_vec(), true),
            (K::ReadyForQuery, b"X".to_vec(), false),
            (K::ReadyForQuery, b"II".to_vec(), false),
            (K::RowDescription, vec![0, 0], true),
            (K::RowDescription, [&[0, 2][..], &column("a"), &column("")].concat(), true),
            (K::RowDescription, [&[0, 1][..], &column("a"), &[0]].concat(), false),
            (K::RowDescription, [&[0, 2][..], &column("a")].concat(), false),
            (K::RowDescription, b"\0\x01abc".to_vec(), false),
            (K::ParameterDescription, vec![0, 1, 0, 0, 0, 23], true),
            (K::ParameterDescription, vec![0, 1, 0, 0, 0], false),
            (K::CopyOutResponse, vec![0, 0, 1, 0, 0], true),
            (K::CopyOutResponse, vec![0, 0, 1, 0], false),
            (K::CopyInResponse, vec![2, 0, 0], false),
        ];
        for (kind, body, fine) in cases {
            assert_eq!(kind.check(&body).is_ok(), fine, "{} {body:?}", kind.name());
        }
    }
}
