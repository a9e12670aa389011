//! What a client sends before it is asked who it is (PostgreSQL 18 documentation, 54.2.1, 54.2.9, 54.7): requests for
//! encryption, cancel requests and the startup packet, none of which has a tag.
//!
//! The machine takes bytes and says what to do. It never reads past the packet at hand: what a client sent in clear
//! before TLS was up is refused, not kept for later (CVE-2021-23222). It does not ask for a proof of identity, and it
//! does not decide which parameters an identity may set: it sorts them ([`parameters`]).

pub mod parameters;

use crate::cancel::CancelRequest;
use crate::message::{DecodeError, Reader};
use crate::own::{self, EncodeError};
use bytes::{Bytes, BytesMut};
use lockgate_core::{Fault, SqlState, limits};
use parameters::Sorted;

/// The code in place of a protocol version that asks for TLS.
pub const SSL_REQUEST_CODE: u32 = 80_877_103;
/// The code in place of a protocol version that asks for GSS encryption.
pub const GSSENC_REQUEST_CODE: u32 = 80_877_104;
/// The newest minor version of protocol 3 that the gateway speaks.
pub const MINOR_MAX: u16 = 2;
/// The protocol name that a client must negotiate in TLS when it starts with TLS at once.
pub const ALPN: &[u8] = b"postgresql";
/// The first byte of a TLS handshake record.
const TLS_HANDSHAKE: u8 = 0x16;
/// Bytes of the shortest packet: a length and a code.
const PACKET_BYTES_MIN: usize = 8;

/// A startup that cannot go on. The client is told the text as a FATAL error, where TLS is not being negotiated.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StartupError {
    /// The packet's length is impossible.
    #[error("invalid length of startup packet")]
    BadLength,
    /// Bytes in clear followed a request for encryption.
    #[error("received unencrypted data after an encryption request")]
    DataBeforeEncryption,
    /// The same request twice, or one inside TLS.
    #[error("unexpected encryption request")]
    UnexpectedEncryptionRequest,
    /// TLS without a request, although the gateway has no certificate.
    #[error("the gateway does not offer TLS")]
    TlsUnavailable,
    /// TLS without a request needs ALPN; so that no client of another protocol can be led here.
    #[error("TLS without a request needs the ALPN protocol `postgresql`")]
    MissingAlpn,
    /// Another protocol was negotiated in TLS.
    #[error("the ALPN protocol of the TLS connection is not `postgresql`")]
    WrongAlpn,
    /// Another major version.
    #[error("unsupported frontend protocol {major}.{minor}: the gateway speaks 3.0 to 3.{MINOR_MAX}")]
    UnsupportedProtocol {
        /// The major version asked for.
        major: u16,
        /// The minor version asked for.
        minor: u16,
    },
    /// The cancel request is not one.
    #[error("invalid cancel request: {0}")]
    BadCancelRequest(DecodeError),
    /// The parameter list breaks off or goes on after its end.
    #[error("invalid startup packet layout: {0}")]
    BadLayout(DecodeError),
    /// A parameter that is not UTF-8.
    #[error("a startup parameter is not UTF-8")]
    NotUtf8,
    /// A parameter twice.
    #[error("the startup parameter `{0}` is given twice")]
    Duplicate(String),
    /// No user name.
    #[error("no user name in the startup packet")]
    MissingUser,
    /// A value that cannot be read: `options` or `replication`.
    #[error("invalid value of the startup parameter `{name}`: {why}")]
    BadValue {
        /// The parameter.
        name: &'static str,
        /// What is wrong.
        why: &'static str,
    },
    /// The machine was used after it had ended.
    #[error("the startup was driven in the wrong order")]
    OutOfOrder,
}

impl StartupError {
    /// Whose fault it is.
    pub const fn fault(&self) -> Fault {
        match self {
            StartupError::OutOfOrder => Fault::Us,
            _ => Fault::Client,
        }
    }

    /// The code that the client is told.
    pub const fn sqlstate(&self) -> SqlState {
        match self {
            StartupError::UnsupportedProtocol { .. } | StartupError::TlsUnavailable => SqlState::NOT_SUPPORTED,
            StartupError::MissingUser => SqlState::INVALID_AUTHORIZATION,
            StartupError::OutOfOrder => SqlState::INTERNAL,
            _ => SqlState::PROTOCOL_VIOLATION,
        }
    }
}

impl From<EncodeError> for StartupError {
    fn from(_: EncodeError) -> Self {
        StartupError::OutOfOrder
    }
}

/// What a client asked for in its startup packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Startup {
    /// The user it says it is. Nothing is proven yet.
    pub user: String,
    /// The database, where one is named: the target, or the target and one of its databases.
    pub database: Option<String>,
    /// What the client calls itself.
    pub application_name: Option<String>,
    /// Parameters of the allow-list, `options` taken apart, as the target is to get them. `application_name` is among them.
    pub parameters: Vec<(String, String)>,
    /// Parameters outside the allow-list. Refuse the login when there is any, unless the identity may administer the target.
    pub refused: Vec<(String, String)>,
    /// The value of `replication`, where it asks for the replication protocol. Refuse it unless the identity may administer the target.
    pub replication: Option<String>,
    /// The minor version that is spoken with this client from now on.
    pub minor: u16,
    /// Whether the packet came through TLS.
    pub in_tls: bool,
    /// NegotiateProtocolVersion, where the client asked for more than there is: send it before anything else. Else empty.
    pub send_first: Bytes,
}

impl Startup {
    /// The value of a forwarded parameter. Names are compared without regard to case.
    pub fn parameter(&self, name: &str) -> Option<&str> {
        self.parameters.iter().find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    /// Whether the session's text is UTF-8: the client names no encoding (and so gets the database's, which the caller has
    /// to look at), or it names this one in any spelling that PostgreSQL takes.
    pub fn client_encoding_is_utf8(&self) -> bool {
        self.parameter("client_encoding").is_none_or(parameters::is_utf8)
    }
}

/// What to do next.
pub enum StartupStep {
    /// The packet is not whole: read more.
    NeedMore,
    /// Send this and go on reading.
    Send(&'static [u8]),
    /// Send this (nothing, when the client began with TLS at once: then the buffer holds the beginning of its handshake and
    /// belongs to TLS), do the TLS handshake, then call [`StartupMachine::tls_established`].
    StartTls(&'static [u8]),
    /// Cancel what a session runs, answer nothing, close.
    Cancel(CancelRequest),
    /// The client said what it wants. The next message is an answer to an authentication request.
    Startup(Box<Startup>),
    /// Close, after telling the client.
    Fail(StartupError),
}

/// The states, with the encryption requests that were answered.
///
/// ```text
/// Plain ── SSLRequest, 'S' ─▶ Handshake ── tls_established ─▶ Encrypted ── packet ─▶ Done
///   │ └─── packet ─▶ Done         ▲
///   └── first byte 0x16 ──────────┘
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Plain { first: bool, tls_asked: bool, gss_asked: bool },
    Handshake { direct: bool },
    Encrypted,
    Done,
}

/// Reads what one client sends before authentication.
#[derive(Debug)]
pub struct StartupMachine {
    tls_offered: bool,
    state: State,
}

impl StartupMachine {
    /// For a connection that was just accepted. `tls_offered`: the gateway has a certificate.
    pub const fn new(tls_offered: bool) -> Self {
        StartupMachine { tls_offered, state: State::Plain { first: true, tls_asked: false, gss_asked: false } }
    }

    /// The TLS handshake was done, with this ALPN protocol.
    ///
    /// # Errors
    /// When TLS was not awaited, or the ALPN protocol is another, or missing where it is needed.
    pub fn tls_established(&mut self, alpn: Option<&[u8]>) -> Result<(), StartupError> {
        let state = std::mem::replace(&mut self.state, State::Done);
        let State::Handshake { direct } = state else {
            return Err(StartupError::OutOfOrder);
        };
        match alpn {
            Some(ALPN) => {}
            Some(_) => return Err(StartupError::WrongAlpn),
            None if direct => return Err(StartupError::MissingAlpn),
            None => {}
        }
        self.state = State::Encrypted;
        Ok(())
    }

    /// Reads the next packet off the front of `buf`. Inside TLS, `buf` is what came out of it.
    pub fn step(&mut self, buf: &mut BytesMut) -> StartupStep {
        let step = self.read(buf).unwrap_or_else(StartupStep::Fail);
        if let StartupStep::Cancel(_) | StartupStep::Startup(_) | StartupStep::Fail(_) = step {
            self.state = State::Done;
        }
        step
    }

    fn read(&mut self, buf: &mut BytesMut) -> Result<StartupStep, StartupError> {
        let (in_tls, first) = match self.state {
            State::Plain { first, .. } => (false, first),
            State::Encrypted => (true, false),
            State::Handshake { .. } | State::Done => return Err(StartupError::OutOfOrder),
        };
        if first && buf.first() == Some(&TLS_HANDSHAKE) {
            if !self.tls_offered {
                return Err(StartupError::TlsUnavailable);
            }
            self.state = State::Handshake { direct: true };
            return Ok(StartupStep::StartTls(b""));
        }
        let Some(length) = buf.first_chunk::<4>() else {
            return Ok(StartupStep::NeedMore);
        };
        let length = usize::try_from(u32::from_be_bytes(*length)).map_err(|_| StartupError::BadLength)?;
        if !(PACKET_BYTES_MIN..=limits::PG_STARTUP_BYTES_MAX).contains(&length) {
            return Err(StartupError::BadLength);
        }
        if buf.len() < length {
            return Ok(StartupStep::NeedMore);
        }
        let packet = buf.split_to(length).freeze();
        let mut reader = Reader::new(packet.get(4..).unwrap_or_default());
        let code = reader.u32().map_err(StartupError::BadLayout)?;
        match code {
            SSL_REQUEST_CODE | GSSENC_REQUEST_CODE => {
                reader.finish().map_err(|_| StartupError::BadLength)?;
                self.encryption(code == SSL_REQUEST_CODE, !buf.is_empty())
            }
            crate::cancel::CANCEL_REQUEST_CODE => {
                let request = CancelRequest::decode(reader.rest()).map_err(StartupError::BadCancelRequest)?;
                Ok(StartupStep::Cancel(request))
            }
            version => {
                let [major_high, major_low, minor_high, minor_low] = version.to_be_bytes();
                let major = u16::from_be_bytes([major_high, major_low]);
                let minor = u16::from_be_bytes([minor_high, minor_low]);
                if major != 3 {
                    return Err(StartupError::UnsupportedProtocol { major, minor });
                }
                Ok(StartupStep::Startup(Box::new(startup(minor, reader, in_tls)?)))
            }
        }
    }

    /// Answers a request for TLS or GSS encryption.
    fn encryption(&mut self, tls: bool, more_follows: bool) -> Result<StartupStep, StartupError> {
        let State::Plain { tls_asked, gss_asked, .. } = self.state else {
            return Err(StartupError::UnexpectedEncryptionRequest);
        };
        if (tls && tls_asked) || (!tls && gss_asked) {
            return Err(StartupError::UnexpectedEncryptionRequest);
        }
        // The client cannot know the answer yet. What it sent already would be read as if it had come through TLS, and
        // anybody on the way could have added it.
        if more_follows {
            return Err(StartupError::DataBeforeEncryption);
        }
        if tls && self.tls_offered {
            self.state = State::Handshake { direct: false };
            return Ok(StartupStep::StartTls(b"S"));
        }
        self.state = State::Plain { first: false, tls_asked: tls_asked || tls, gss_asked: gss_asked || !tls };
        Ok(StartupStep::Send(b"N"))
    }
}

/// The minor version that is spoken when a client asks for `asked`. 3.1 never existed, and no answer may name a newer
/// version than the client asked for, so that one becomes 3.0.
const fn spoken(asked: u16) -> u16 {
    match asked {
        0 | 1 => 0,
        _ => MINOR_MAX,
    }
}

/// Reads the parameters of a startup packet: names and values, each ended by a NUL, and one more NUL at the end.
fn startup(asked: u16, mut reader: Reader<'_>, in_tls: bool) -> Result<Startup, StartupError> {
    let mut sorted = Sorted::default();
    loop {
        let name = reader.string().map_err(StartupError::BadLayout)?;
        if name.is_empty() {
            break;
        }
        let value = reader.string().map_err(StartupError::BadLayout)?;
        let name = std::str::from_utf8(name).map_err(|_| StartupError::NotUtf8)?;
        let value = std::str::from_utf8(value).map_err(|_| StartupError::NotUtf8)?;
        sorted.add(name, value)?;
    }
    reader.finish().map_err(StartupError::BadLayout)?;
    let sorted = sorted.finish()?;
    let minor = spoken(asked);
    let mut send_first = BytesMut::new();
    if minor != asked || !sorted.protocol_options.is_empty() {
        own::negotiate_protocol_version(&mut send_first, minor, &sorted.protocol_options)?;
    }
    Ok(Startup {
        user: sorted.user,
        database: sorted.database,
        application_name: sorted.application_name,
        parameters: sorted.forwarded,
        refused: sorted.refused,
        replication: sorted.replication,
        minor,
        in_tls,
        send_first: send_first.freeze(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packet(code: u32, rest: &[u8]) -> BytesMut {
        let mut out = BytesMut::new();
        out.extend(u32::try_from(8 + rest.len()).unwrap().to_be_bytes());
        out.extend(code.to_be_bytes());
        out.extend(rest);
        out
    }

    fn parse(version: u32, rest: &[u8]) -> Result<Box<Startup>, StartupError> {
        match StartupMachine::new(true).step(&mut packet(version, rest)) {
            StartupStep::Startup(startup) => Ok(startup),
            StartupStep::Fail(error) => Err(error),
            _ => panic!("neither a startup nor an error"),
        }
    }

    #[test]
    fn lengths_that_no_packet_has() {
        for length in [0_u32, 3, 4, 7, 10_001, 0x7fff_ffff, 0x8000_0000, 0xffff_ffff] {
            let mut buf = BytesMut::from(&length.to_be_bytes()[..]);
            let step = StartupMachine::new(true).step(&mut buf);
            assert!(matches!(step, StartupStep::Fail(StartupError::BadLength)), "{length}");
        }
    }

    #[test]
    fn a_packet_may_come_byte_by_byte() {
        let whole = packet(0x0003_0000, b"user\0alice\0database\0orders\0\0");
        let mut machine = StartupMachine::new(true);
        let mut buf = BytesMut::new();
        for byte in &whole[..whole.len() - 1] {
            buf.extend([*byte]);
            assert!(matches!(machine.step(&mut buf), StartupStep::NeedMore));
        }
        buf.extend([0]);
        let StartupStep::Startup(startup) = machine.step(&mut buf) else { panic!("no startup") };
        assert_eq!((startup.user.as_str(), startup.database.as_deref()), ("alice", Some("orders")));
        assert!(buf.is_empty() && startup.send_first.is_empty() && !startup.in_tls);
        assert!(matches!(machine.step(&mut buf), StartupStep::Fail(StartupError::OutOfOrder)));
    }

    #[test]
    fn nothing_that_was_sent_before_tls_survives_it() {
        for code in [SSL_REQUEST_CODE, GSSENC_REQUEST_CODE] {
            for offered in [true, false] {
                let mut buf = packet(code, b"");
                buf.extend(&packet(0x0003_0000, b"user\0mallory\0\0"));
                let step = StartupMachine::new(offered).step(&mut buf);
                assert!(matches!(step, StartupStep::Fail(StartupError::DataBeforeEncryption)));
            }
        }
    }

    #[test]
    fn encryption_requests_are_answered_once_each() {
        let mut machine = StartupMachine::new(false);
        assert!(matches!(machine.step(&mut packet(GSSENC_REQUEST_CODE, b"")), StartupStep::Send(b"N")));
        assert!(matches!(machine.step(&mut packet(SSL_REQUEST_CODE, b"")), StartupStep::Send(b"N")));
        assert!(matches!(
            machine.step(&mut packet(SSL_REQUEST_CODE, b"")),
            StartupStep::Fail(StartupError::UnexpectedEncryptionRequest)
        ));
        let mut machine = StartupMachine::new(true);
        assert!(matches!(machine.step(&mut packet(SSL_REQUEST_CODE, b"")), StartupStep::StartTls(b"S")));
        assert_eq!(machine.tls_established(None), Ok(()));
        for code in [SSL_REQUEST_CODE, GSSENC_REQUEST_CODE] {
            let mut machine = StartupMachine { tls_offered: true, state: machine.state };
            assert!(matches!(
                machine.step(&mut packet(code, b"")),
                StartupStep::Fail(StartupError::UnexpectedEncryptionRequest)
            ));
        }
        assert!(matches!(
            StartupMachine::new(true).step(&mut packet(SSL_REQUEST_CODE, b"x")),
            StartupStep::Fail(StartupError::BadLength)
        ));
    }

    #[test]
    fn tls_at_once_needs_alpn() {
        for (alpn, expect) in [
            (Some(&b"postgresql"[..]), Ok(())),
            (None, Err(StartupError::MissingAlpn)),
            (Some(b"h2"), Err(StartupError::WrongAlpn)),
        ] {
            let mut machine = StartupMachine::new(true);
            let mut buf = BytesMut::from(&b"\x16\x03\x01"[..]);
            assert!(matches!(machine.step(&mut buf), StartupStep::StartTls(b"")));
            assert_eq!(buf.len(), 3, "the handshake stays in the buffer");
            assert_eq!(machine.tls_established(alpn), expect);
        }
        let step = StartupMachine::new(false).step(&mut BytesMut::from(&b"\x16"[..]));
        assert!(matches!(step, StartupStep::Fail(StartupError::TlsUnavailable)));
        assert_eq!(StartupMachine::new(true).tls_established(Some(ALPN)), Err(StartupError::OutOfOrder));
        // After a request that was answered, TLS must not start by itself.
        let mut machine = StartupMachine::new(true);
        assert!(matches!(machine.step(&mut packet(GSSENC_REQUEST_CODE, b"")), StartupStep::Send(b"N")));
        let step = machine.step(&mut BytesMut::from(&b"\x16\x03\x01\x00"[..]));
        assert!(matches!(step, StartupStep::Fail(StartupError::BadLength)));
    }

    #[test]
    fn versions() {
        let list = b"user\0alice\0\0";
        for (version, minor, negotiates) in [
            (0x0003_0000, 0, false),
            (0x0003_0001, 0, true),
            (0x0003_0002, 2, false),
            (0x0003_0003, 2, true),
            (0x0003_270f, 2, true),
        ] {
            let startup = parse(version, list).unwrap();
            assert_eq!((startup.minor, !startup.send_first.is_empty()), (minor, negotiates), "{version:x}");
        }
        for version in [0, 1, 0x0002_0000, 0x0004_0000, 0x1234_5678, 80_877_101] {
            let error = parse(version, list).unwrap_err();
            assert!(matches!(error, StartupError::UnsupportedProtocol { .. }), "{version:x}");
            assert_eq!(error.sqlstate().0, "0A000");
        }
        let startup = parse(0x0003_0000, b"user\0alice\0_pq_.one\x001\0_pq_.two\x002\0\0").unwrap();
        assert_eq!(&startup.send_first[..], b"v\0\0\0\x1e\0\x03\0\0\0\0\0\x02_pq_.one\0_pq_.two\0");
        assert!(startup.parameters.is_empty() && startup.refused.is_empty());
    }

    #[test]
    fn cancel_requests() {
        for (key_bytes, ok) in [(0, false), (3, false), (4, true), (32, true), (256, true), (257, false)] {
            let mut body = 77_i32.to_be_bytes().to_vec();
            body.resize(4 + key_bytes, 9);
            match StartupMachine::new(true).step(&mut packet(crate::cancel::CANCEL_REQUEST_CODE, &body)) {
                StartupStep::Cancel(request) => assert!(ok && request.pid == 77),
                StartupStep::Fail(StartupError::BadCancelRequest(_)) => assert!(!ok),
                _ => panic!("{key_bytes}"),
            }
        }
    }

    #[test]
    fn odd_parameter_lists() {
        for (list, expect) in [
            (&b""[..], "invalid startup packet layout: a string in the message has no terminator"),
            (b"\0", "no user name in the startup packet"),
            (b"user\0\0\0", "no user name in the startup packet"),
            (b"database\0x\0\0", "no user name in the startup packet"),
            (b"user\0alice\0", "invalid startup packet layout: a string in the message has no terminator"),
            (b"user\0alice", "invalid startup packet layout: a string in the message has no terminator"),
            (b"user\0alice\0database\0\0", "invalid startup packet layout: a string in the message has no terminator"),
            (b"user\0alice\0\0x", "invalid startup packet layout: the message has bytes after its end"),
            (b"user\0alice\0user\0bob\0\0", "the startup parameter `user` is given twice"),
            (b"user\0alice\0USER\0bob\0\0", "the startup parameter `user` is given twice"),
            (b"user\0al\xffice\0\0", "a startup parameter is not UTF-8"),
            (b"us\xffer\0alice\0\0", "a startup parameter is not UTF-8"),
        ] {
            let error = parse(0x0003_0000, list).unwrap_err();
            assert_eq!(error.to_string(), expect, "{list:?}");
            assert_eq!(error.fault(), Fault::Client);
        }
    }
}
