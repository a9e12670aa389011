//! Where one message ends and the next begins: the five-byte header of the protocol (PostgreSQL 18 documentation, 54.7),
//! the two closed lists of message tags, and for every tag whether the message must be held whole.
//!
//! Nothing is copied: a header is read from the front of a buffer, a whole frame is split off it. What a body says is the
//! matter of [`crate::message`]; the untagged packets before login are the matter of [`crate::startup`].

use bytes::{Bytes, BytesMut};
use lockgate_core::{Fault, SqlState, limits};

/// Bytes of a header: the tag, and a length that counts itself but not the tag.
pub const HEADER_BYTES: usize = 5;
/// Bytes of the length word.
const LENGTH_BYTES: usize = 4;

/// Who sent the bytes that are being read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Peer {
    /// The client of the gateway.
    Client,
    /// The target behind it.
    Target,
}

impl Peer {
    /// Whose fault an error in these bytes is.
    pub const fn fault(self) -> Fault {
        match self {
            Peer::Client => Fault::Client,
            Peer::Target => Fault::Target,
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Peer::Client => "client",
            Peer::Target => "target",
        }
    }
}

/// A header that no frame can follow. The stream cannot be read any further.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// The length does not even cover itself.
    #[error("the {} sent a message with the impossible length {length}", .peer.name())]
    TooShort {
        /// Who sent it.
        peer: Peer,
        /// The length word as sent.
        length: u32,
    },
    /// The length is above the limit for such a message.
    #[error("the {} sent a message of {length} bytes with tag `{}`; the limit is {limit}", .peer.name(), char::from(*.tag).escape_default())]
    TooLong {
        /// Who sent it.
        peer: Peer,
        /// The tag of the message.
        tag: u8,
        /// The length word as sent.
        length: u32,
        /// The limit that it is above.
        limit: usize,
    },
}

impl FrameError {
    /// Whose fault it is.
    pub const fn fault(&self) -> Fault {
        match self {
            FrameError::TooShort { peer, .. } | FrameError::TooLong { peer, .. } => peer.fault(),
        }
    }

    /// The code that a client is told.
    pub const fn sqlstate(&self) -> SqlState {
        match self {
            FrameError::TooShort { peer: Peer::Client, .. } => SqlState::PROTOCOL_VIOLATION,
            FrameError::TooLong { peer: Peer::Client, .. } => SqlState::LIMIT_EXCEEDED,
            FrameError::TooShort { peer: Peer::Target, .. } | FrameError::TooLong { peer: Peer::Target, .. } => {
                SqlState::CONNECTION_FAILURE
            }
        }
    }
}

/// The header of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// The tag.
    pub tag: u8,
    /// Bytes that follow the header.
    pub body_len: usize,
}

impl Header {
    /// Bytes of the whole frame, header included.
    pub const fn frame_len(self) -> usize {
        HEADER_BYTES.saturating_add(self.body_len)
    }

    /// Refuses a body above `bytes_max`, for a message that is to be held whole.
    ///
    /// # Errors
    /// [`FrameError::TooLong`].
    pub fn bounded(self, peer: Peer, bytes_max: usize) -> Result<Self, FrameError> {
        if self.body_len <= bytes_max {
            return Ok(self);
        }
        let length = u32::try_from(self.body_len.saturating_add(LENGTH_BYTES)).unwrap_or(u32::MAX);
        Err(FrameError::TooLong { peer, tag: self.tag, length, limit: bytes_max })
    }
}

/// Reads the header at the front of `buf`, or `None` while it has not arrived whole.
///
/// # Errors
/// A length below 4 or above [`limits::PG_MESSAGE_BYTES_MAX`]; a negative one is a very large one.
pub fn next_header(buf: &[u8], peer: Peer) -> Result<Option<Header>, FrameError> {
    let Some(([tag, a, b, c, d], _)) = buf.split_first_chunk::<HEADER_BYTES>() else {
        return Ok(None);
    };
    let length = u32::from_be_bytes([*a, *b, *c, *d]);
    let limit = limits::PG_MESSAGE_BYTES_MAX;
    let too_long = FrameError::TooLong { peer, tag: *tag, length, limit };
    let whole = usize::try_from(length).map_err(|_| too_long)?;
    if whole > limit {
        return Err(too_long);
    }
    let body_len = whole.checked_sub(LENGTH_BYTES).ok_or(FrameError::TooShort { peer, length })?;
    Ok(Some(Header { tag: *tag, body_len }))
}

/// What the front of a buffer holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next<'a> {
    /// A whole message.
    Frame {
        /// Its header.
        header: Header,
        /// Its body.
        body: &'a [u8],
    },
    /// Not yet a whole message.
    Incomplete {
        /// Bytes that are missing at least.
        missing: usize,
    },
}

/// Looks at the message at the front of `buf` without taking it. A body above `bytes_max` is an error as soon as its header is here.
///
/// # Errors
/// As [`next_header`], and for a body above `bytes_max`.
pub fn next(buf: &[u8], peer: Peer, bytes_max: usize) -> Result<Next<'_>, FrameError> {
    let Some(header) = next_header(buf, peer)? else {
        return Ok(Next::Incomplete { missing: HEADER_BYTES.saturating_sub(buf.len()) });
    };
    let header = header.bounded(peer, bytes_max)?;
    match buf.get(HEADER_BYTES..header.frame_len()) {
        Some(body) => Ok(Next::Frame { header, body }),
        None => Ok(Next::Incomplete { missing: header.frame_len().saturating_sub(buf.len()) }),
    }
}

/// A whole message, split off a buffer without copying.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    tag: u8,
    bytes: Bytes,
}

impl Frame {
    /// The tag.
    pub const fn tag(&self) -> u8 {
        self.tag
    }

    /// The bytes after the header.
    pub fn body(&self) -> &[u8] {
        self.bytes.get(HEADER_BYTES..).unwrap_or_default()
    }

    /// The message exactly as it was received, header included.
    pub const fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// The message exactly as it was received, header included.
    pub fn into_bytes(self) -> Bytes {
        self.bytes
    }
}

/// Splits a whole message off the front of `buf`, or returns `None` while it has not arrived.
///
/// # Errors
/// As [`next`].
pub fn take(buf: &mut BytesMut, peer: Peer, bytes_max: usize) -> Result<Option<Frame>, FrameError> {
    match next(buf, peer, bytes_max)? {
        Next::Incomplete { .. } => Ok(None),
        Next::Frame { header, .. } => {
            Ok(Some(Frame { tag: header.tag, bytes: buf.split_to(header.frame_len()).freeze() }))
        }
    }
}

/// Whether a message has to be in memory whole before anything is done with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Holding {
    /// Held whole; a body above the limit is an error.
    Whole {
        /// The largest body.
        bytes_max: usize,
    },
    /// May be passed on piece by piece.
    Stream,
}

macro_rules! tags {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident = $byte:literal,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum $name {
            $($(#[$variant_doc])* $variant,)*
            /// A tag that this side of the protocol does not have.
            Unknown(u8),
        }

        impl $name {
            /// Every tag of the protocol.
            pub const ALL: &'static [$name] = &[$($name::$variant),*];

            /// The tag that this byte stands for.
            pub const fn from_byte(byte: u8) -> Self {
                match byte {
                    $($byte => $name::$variant,)*
                    other => $name::Unknown(other),
                }
            }

            /// The byte on the wire.
            pub const fn byte(self) -> u8 {
                match self {
                    $($name::$variant => $byte,)*
                    $name::Unknown(other) => other,
                }
            }

            /// The name that PostgreSQL's documentation gives the message.
            pub const fn name(self) -> &'static str {
                match self {
                    $($name::$variant => stringify!($variant),)*
                    $name::Unknown(_) => "unknown message",
                }
            }
        }
    };
}

tags! {
    /// What a client may send once its startup packet is in (54.7, the messages marked F).
    FrontendTag {
        /// A simple query.
        Query = b'Q',
        /// A statement to prepare.
        Parse = b'P',
        /// A portal made of a statement and parameters.
        Bind = b'B',
        /// Asks what a statement or portal is like.
        Describe = b'D',
        /// Runs a portal.
        Execute = b'E',
        /// Drops a statement or portal.
        Close = b'C',
        /// Asks for everything that waits in the server's buffer.
        Flush = b'H',
        /// Ends a group of extended-query messages.
        Sync = b'S',
        /// Says goodbye.
        Terminate = b'X',
        /// Calls a function by its oid (the old fast path).
        FunctionCall = b'F',
        /// COPY data.
        CopyData = b'd',
        /// The end of COPY data.
        CopyDone = b'c',
        /// The client gives a COPY up.
        CopyFail = b'f',
        /// An answer to an authentication request: password, SASL or GSS.
        PasswordMessage = b'p',
    }
}

tags! {
    /// What a server may send once it has read a startup packet (54.7, the messages marked B).
    BackendTag {
        /// Asks for a proof, or says that none is needed.
        Authentication = b'R',
        /// What a cancel request needs.
        BackendKeyData = b'K',
        /// A Bind was done.
        BindComplete = b'2',
        /// A Close was done.
        CloseComplete = b'3',
        /// A statement was done.
        CommandComplete = b'C',
        /// COPY data.
        CopyData = b'd',
        /// The end of COPY data.
        CopyDone = b'c',
        /// COPY data is awaited.
        CopyInResponse = b'G',
        /// COPY data follows.
        CopyOutResponse = b'H',
        /// COPY data in both directions: replication.
        CopyBothResponse = b'W',
        /// A row.
        DataRow = b'D',
        /// The query string was empty.
        EmptyQueryResponse = b'I',
        /// An error.
        ErrorResponse = b'E',
        /// The result of a FunctionCall.
        FunctionCallResponse = b'V',
        /// The server speaks an older minor version.
        NegotiateProtocolVersion = b'v',
        /// The statement returns no rows.
        NoData = b'n',
        /// A notice.
        NoticeResponse = b'N',
        /// A NOTIFY of some session.
        NotificationResponse = b'A',
        /// The parameters of a statement.
        ParameterDescription = b't',
        /// The value of a setting.
        ParameterStatus = b'S',
        /// A Parse was done.
        ParseComplete = b'1',
        /// Execute stopped at its row limit.
        PortalSuspended = b's',
        /// The server waits for the next query.
        ReadyForQuery = b'Z',
        /// The columns of the rows to come.
        RowDescription = b'T',
    }
}

impl FrontendTag {
    /// Whether the message is held whole, and up to which size.
    pub const fn holding(self) -> Holding {
        match self {
            FrontendTag::Query | FrontendTag::Parse | FrontendTag::Bind | FrontendTag::FunctionCall => {
                Holding::Whole { bytes_max: limits::PG_CLIENT_MESSAGE_BYTES_MAX }
            }
            FrontendTag::Describe
            | FrontendTag::Execute
            | FrontendTag::Close
            | FrontendTag::Flush
            | FrontendTag::Sync
            | FrontendTag::Terminate
            | FrontendTag::CopyDone
            | FrontendTag::CopyFail
            | FrontendTag::Unknown(_) => Holding::Whole { bytes_max: limits::PG_SMALL_MESSAGE_BYTES_MAX },
            FrontendTag::PasswordMessage => Holding::Whole { bytes_max: limits::PG_PREAUTH_MESSAGE_BYTES_MAX },
            FrontendTag::CopyData => Holding::Stream,
        }
    }
}

impl BackendTag {
    /// Whether the message is held whole, and up to which size. Rows and COPY data are streamed where nothing in them is
    /// masked. Whoever masks holds them up to [`limits::PG_MASKED_ROW_BYTES_MAX`], and longer rows a part at a time.
    pub const fn holding(self) -> Holding {
        match self {
            BackendTag::DataRow | BackendTag::CopyData => Holding::Stream,
            BackendTag::BindComplete
            | BackendTag::CloseComplete
            | BackendTag::CopyDone
            | BackendTag::EmptyQueryResponse
            | BackendTag::NoData
            | BackendTag::ParseComplete
            | BackendTag::PortalSuspended
            | BackendTag::ReadyForQuery
            | BackendTag::Unknown(_) => Holding::Whole { bytes_max: limits::PG_SMALL_MESSAGE_BYTES_MAX },
            BackendTag::Authentication
            | BackendTag::BackendKeyData
            | BackendTag::CommandComplete
            | BackendTag::CopyInResponse
            | BackendTag::CopyOutResponse
            | BackendTag::CopyBothResponse
            | BackendTag::ErrorResponse
            | BackendTag::FunctionCallResponse
            | BackendTag::NegotiateProtocolVersion
            | BackendTag::NoticeResponse
            | BackendTag::NotificationResponse
            | BackendTag::ParameterDescription
            | BackendTag::ParameterStatus
            | BackendTag::RowDescription => Holding::Whole { bytes_max: limits::PG_SERVER_CONTROL_BYTES_MAX },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_that_no_message_has() {
        for (length, peer, sqlstate) in [
            (0_u32, Peer::Client, "08P01"),
            (3, Peer::Client, "08P01"),
            (3, Peer::Target, "08006"),
            (0x4000_0000, Peer::Client, "54000"),
            (0x7fff_ffff, Peer::Client, "54000"),
            (0x8000_0000, Peer::Target, "08006"),
            (0xffff_ffff, Peer::Client, "54000"),
        ] {
            let mut bytes = vec![b'Q'];
            bytes.extend(length.to_be_bytes());
            let error = next_header(&bytes, peer).unwrap_err();
            assert_eq!(error.fault(), peer.fault(), "{length}");
            assert_eq!(error.sqlstate().0, sqlstate, "{length}");
        }
    }

    #[test]
    fn a_frame_is_seen_only_when_whole() {
        let wire = b"Q\0\0\0\x0cselect;\0Z";
        for end in 0..13 {
            let mut buf = BytesMut::from(&wire[..end]);
            assert_eq!(take(&mut buf, Peer::Client, 100), Ok(None), "{end}");
            assert_eq!(buf.len(), end);
        }
        let mut buf = BytesMut::from(&wire[..]);
        let frame = take(&mut buf, Peer::Client, 100).unwrap().unwrap();
        assert_eq!((frame.tag(), frame.body()), (b'Q', &b"select;\0"[..]));
        assert_eq!(&buf[..], b"Z");
    }

    #[test]
    fn a_body_above_the_limit_is_refused_at_its_header() {
        let error = next(b"Q\0\0\0\x0c", Peer::Client, 7).unwrap_err();
        assert_eq!(error, FrameError::TooLong { peer: Peer::Client, tag: b'Q', length: 12, limit: 7 });
        assert_eq!(next(b"Q\0\0\0\x0c", Peer::Client, 8), Ok(Next::Incomplete { missing: 8 }));
        assert_eq!(error.to_string(), "the client sent a message of 12 bytes with tag `Q`; the limit is 7");
    }

    #[test]
    fn every_tag_reads_back_and_no_byte_means_two() {
        for byte in 0..=255 {
            assert_eq!(FrontendTag::from_byte(byte).byte(), byte);
            assert_eq!(BackendTag::from_byte(byte).byte(), byte);
        }
        assert_eq!((FrontendTag::ALL.len(), BackendTag::ALL.len()), (14, 24));
        assert_eq!(FrontendTag::from_byte(b'D').name(), "Describe");
        assert_eq!(BackendTag::from_byte(b'D').name(), "DataRow");
        assert_eq!(BackendTag::from_byte(0), BackendTag::Unknown(0));
    }
}
