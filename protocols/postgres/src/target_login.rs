//! Login to a target: the gateway as the client (PostgreSQL 18 documentation, 54.2.1 and 54.3).
//!
//! The machine takes bytes and says what to send, until the target waits for the first query. It presents the target's
//! credential, so that it trusts no more than it must: a password goes out in clear only where nobody can listen, a
//! server that began SCRAM has to end it with its own proof, and an iteration count above the limit is an error before
//! anything is hashed. It neither dials nor does TLS. A SCRAM step hashes for milliseconds: that is the caller's to place.

use crate::cancel::{CancelKey, CancelRequest};
use crate::frame::{self, BackendTag, FrameError, Holding, Peer};
use crate::message::{
    Authentication, BackendKeyData, DecodeError, Mechanisms, NegotiateProtocolVersion, ParameterStatus, ReadyForQuery,
    Report, TransactionStatus,
};
use crate::own::{self, EncodeError};
use crate::scram::{self, BindingFlag, Key, Keys, NONCE_BYTES, SCRAM_SHA_256, SCRAM_SHA_256_PLUS, ScramError};
use bytes::{Bytes, BytesMut};
use lockgate_core::{Fault, Secret, SqlState, limits};

/// What a login needs to know.
pub struct LoginConfig {
    /// The role.
    pub user: String,
    /// Its password, where there is one.
    pub password: Option<Secret>,
    /// The database.
    pub database: String,
    /// More startup parameters: names and values. `user` and `database` must not be among them.
    pub parameters: Vec<(String, String)>,
    /// The minor version of protocol 3 to ask for. 2 gives cancel keys of 256 bits where the target knows it.
    pub minor: u16,
    /// Nobody can listen: the connection is in TLS, or goes to loopback, or an administrator said so. Without it a
    /// target that asks for the password in clear does not get it.
    pub protected: bool,
    /// The hash of the target's certificate (RFC 5929, tls-server-end-point), where the connection is in TLS.
    pub server_end_point: Option<Vec<u8>>,
    /// Random bytes from a cryptographic source, never used twice.
    pub nonce: [u8; NONCE_BYTES],
}

/// What the target said in an ErrorResponse. For the log: it may name what a client is not to know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TargetRefusal {
    /// Its SQLSTATE.
    pub sqlstate: String,
    /// Its message.
    pub message: String,
}

/// Why a login to a target failed. The text is for the log; a client is told [`LoginError::client_message`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LoginError {
    /// The target refused.
    #[error("the target refused the login: {} (SQLSTATE {})", .0.message.escape_debug(), .0.sqlstate.escape_debug())]
    Refused(TargetRefusal),
    /// The stream is not one of the protocol.
    #[error("{0}")]
    Frame(FrameError),
    /// A message that cannot be read.
    #[error("the target's {message} cannot be read: {why}")]
    Undecodable {
        /// Which.
        message: &'static str,
        /// Why.
        why: DecodeError,
    },
    /// A message that has no place here.
    #[error("unexpected {0} of the target during login")]
    Unexpected(&'static str),
    /// An authentication method that is not carried.
    #[error("the target asks for an authentication method that is not supported (code {0})")]
    UnsupportedMethod(u32),
    /// SASL, but no mechanism that is carried.
    #[error("the target offers no SASL mechanism that is supported")]
    UnsupportedMechanism,
    /// The password is asked for in clear on a connection that is not protected.
    #[error("the target asks for the password in clear, but the connection is not protected by TLS")]
    CleartextRefused,
    /// A password is asked for, and none is configured.
    #[error("the target asks for a password, but none is configured")]
    NoPassword,
    /// The SCRAM exchange broke.
    #[error("{0}")]
    Scram(ScramError),
    /// The version negotiation makes no sense.
    #[error("the target's answer to the protocol version is not acceptable")]
    BadVersion,
    /// The target sent more than any login needs.
    #[error("the target sent more than {} bytes during login", limits::PG_TARGET_LOGIN_BYTES_MAX)]
    TooMuch,
    /// The answer to SSLRequest is neither yes nor no, or came with more.
    #[error("the target's answer to the request for TLS is not acceptable")]
    BadTlsAnswer,
    /// A configured value cannot be sent.
    #[error("the login to the target cannot be written: {0}")]
    Encode(EncodeError),
    /// The machine was used after it had ended.
    #[error("the login was driven in the wrong order")]
    OutOfOrder,
}

impl LoginError {
    /// Whose fault it is. The target's, except for what is configured here, and for a parameter of the client that the
    /// target did not take (class 22, data exception).
    pub fn fault(&self) -> Fault {
        match self {
            LoginError::Refused(refusal) if refusal.sqlstate.starts_with("22") => Fault::Client,
            LoginError::NoPassword | LoginError::CleartextRefused | LoginError::Encode(_) | LoginError::OutOfOrder => {
                Fault::Us
            }
            LoginError::Refused(_)
            | LoginError::Frame(_)
            | LoginError::Undecodable { .. }
            | LoginError::Unexpected(_)
            | LoginError::UnsupportedMethod(_)
            | LoginError::UnsupportedMechanism
            | LoginError::Scram(_)
            | LoginError::BadVersion
            | LoginError::TooMuch
            | LoginError::BadTlsAnswer => Fault::Target,
        }
    }

    /// The code that a client is told.
    pub fn sqlstate(&self) -> SqlState {
        match self {
            LoginError::Refused(refusal) => match refusal.sqlstate.as_str() {
                "53300" => SqlState::TOO_MANY_CONNECTIONS,
                "3D000" => SqlState("3D000"),
                "57P03" => SqlState("57P03"),
                "22023" => SqlState("22023"),
                _ => SqlState::CANNOT_CONNECT,
            },
            LoginError::Encode(_) | LoginError::OutOfOrder => SqlState::INTERNAL,
            _ => SqlState::CANNOT_CONNECT,
        }
    }

    /// What a client is told: nothing of the target's own words.
    pub fn client_message(&self) -> &'static str {
        match self {
            LoginError::Refused(refusal) => match refusal.sqlstate.as_str() {
                "53300" => "the target has too many connections",
                "3D000" => "the target has no such database",
                "57P03" => "the target cannot take connections now",
                "22023" => "the target did not take a startup parameter of this connection",
                _ => "the target refused the gateway's login",
            },
            _ => "the login to the target failed",
        }
    }
}

impl From<FrameError> for LoginError {
    fn from(error: FrameError) -> Self {
        LoginError::Frame(error)
    }
}

impl From<ScramError> for LoginError {
    fn from(error: ScramError) -> Self {
        LoginError::Scram(error)
    }
}

impl From<EncodeError> for LoginError {
    fn from(error: EncodeError) -> Self {
        LoginError::Encode(error)
    }
}

/// A session of the target that waits for its first query.
pub struct LoggedIn {
    /// Every setting that the target reported, in order; the last of a name counts.
    pub parameters: Vec<(Vec<u8>, Vec<u8>)>,
    /// The process id of the backend and the key that cancels what it runs, where the target gave them.
    pub cancel: Option<CancelRequest>,
    /// The bodies of the notices that came with the login. They are data of the target.
    pub notices: Vec<Bytes>,
    /// The minor version that is spoken with the target.
    pub minor: u16,
    /// Where the session stands.
    pub status: TransactionStatus,
}

impl LoggedIn {
    /// The value of a setting. Names are compared without regard to case.
    pub fn parameter(&self, name: &str) -> Option<&[u8]> {
        let same = |n: &[u8]| n.eq_ignore_ascii_case(name.as_bytes());
        self.parameters.iter().rev().find(|(n, _)| same(n)).map(|(_, value)| value.as_slice())
    }
}

/// What to do next.
pub enum LoginStep {
    /// Send this and go on reading.
    Send(Bytes),
    /// Read more.
    NeedMore,
    /// The session is open. What is left in the buffer belongs to it.
    Ready(LoggedIn),
    /// Close.
    Failed(LoginError),
}

/// ```text
/// New ─▶ Asked ── password sent ─▶ Answered ── AuthenticationOk ─▶ Authenticated ── ReadyForQuery ─▶ Done
///          └── client-first sent ─▶ ScramFirst ─▶ ScramFinal ── signature fits ─▶ Answered
/// ```
enum State {
    /// Nothing was sent.
    New,
    /// The startup packet was sent.
    Asked,
    /// client-first was sent.
    ScramFirst(ScramClient),
    /// client-final was sent.
    ScramFinal(ExpectedSignature),
    /// Everything that was asked for was sent.
    Answered,
    /// The target believes us.
    Authenticated,
    /// There is nothing more to do.
    Done,
}

/// Logs in to one target.
pub struct TargetLogin {
    config: LoginConfig,
    state: State,
    parameters: Vec<(Vec<u8>, Vec<u8>)>,
    cancel: Option<CancelRequest>,
    notices: Vec<Bytes>,
    minor: u16,
    negotiated: bool,
    bytes_read: usize,
}

impl TargetLogin {
    /// A login that has not begun.
    pub const fn new(config: LoginConfig) -> Self {
        let minor = config.minor;
        TargetLogin {
            config,
            state: State::New,
            parameters: Vec::new(),
            cancel: None,
            notices: Vec::new(),
            minor,
            negotiated: false,
            bytes_read: 0,
        }
    }

    /// The startup packet.
    ///
    /// # Errors
    /// When a value cannot be written, or on the second call.
    pub fn start(&mut self) -> Result<Bytes, LoginError> {
        let State::New = self.state else {
            return Err(LoginError::OutOfOrder);
        };
        let config = &self.config;
        let own = [("user", config.user.as_str()), ("database", config.database.as_str())];
        let more = config.parameters.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        // A role or database that came in a second time would win over the configured one.
        if more.clone().any(|(name, _)| own.iter().any(|(reserved, _)| name.eq_ignore_ascii_case(reserved))) {
            return Err(LoginError::Encode(EncodeError));
        }
        let mut out = BytesMut::new();
        own::startup(&mut out, config.minor, own.into_iter().chain(more))?;
        self.state = State::Asked;
        Ok(out.freeze())
    }

    /// Takes messages off the front of `buf` until there is something to do.
    pub fn step(&mut self, buf: &mut BytesMut) -> LoginStep {
        match self.read(buf) {
            Ok(step) => step,
            Err(error) => {
                self.state = State::Done;
                LoginStep::Failed(error)
            }
        }
    }

    fn read(&mut self, buf: &mut BytesMut) -> Result<LoginStep, LoginError> {
        if let State::New | State::Done = self.state {
            return Err(LoginError::OutOfOrder);
        }
        while let Some(header) = frame::next_header(buf, Peer::Target)? {
            // Checked at the header, so that nobody waits for a body that will be refused.
            let total = self.bytes_read.saturating_add(header.frame_len());
            if total > limits::PG_TARGET_LOGIN_BYTES_MAX {
                return Err(LoginError::TooMuch);
            }
            let tag = BackendTag::from_byte(header.tag);
            let bytes_max = match tag.holding() {
                Holding::Whole { bytes_max } => bytes_max,
                Holding::Stream => return Err(LoginError::Unexpected(tag.name())),
            };
            let Some(frame) = frame::take(buf, Peer::Target, bytes_max)? else {
                return Ok(LoginStep::NeedMore);
            };
            self.bytes_read = total;
            if let Some(step) = self.message(tag, frame.body())? {
                return Ok(step);
            }
        }
        Ok(LoginStep::NeedMore)
    }

    fn message(&mut self, tag: BackendTag, body: &[u8]) -> Result<Option<LoginStep>, LoginError> {
        let unreadable = |why| LoginError::Undecodable { message: tag.name(), why };
        match tag {
            BackendTag::ErrorResponse => {
                let report = Report::decode(body).map_err(unreadable)?;
                let text = |field: Option<&[u8]>| String::from_utf8_lossy(field.unwrap_or_default()).into_owned();
                Err(LoginError::Refused(TargetRefusal {
                    sqlstate: text(report.sqlstate()),
                    message: text(report.message()),
                }))
            }
            BackendTag::NoticeResponse => {
                Report::decode(body).map_err(unreadable)?;
                self.notices.push(Bytes::copy_from_slice(body));
                Ok(None)
            }
            BackendTag::Authentication => self.authentication(Authentication::decode(body).map_err(unreadable)?),
            BackendTag::NegotiateProtocolVersion => {
                let answer = NegotiateProtocolVersion::decode(body).map_err(unreadable)?;
                self.negotiate(&answer)?;
                Ok(None)
            }
            BackendTag::ParameterStatus if self.is_authenticated() => {
                let status = ParameterStatus::decode(body).map_err(unreadable)?;
                self.parameters.push((status.name.to_vec(), status.value.to_vec()));
                Ok(None)
            }
            BackendTag::BackendKeyData if self.is_authenticated() && self.cancel.is_none() => {
                let data = BackendKeyData::decode(body).map_err(unreadable)?;
                let key = CancelKey::from_wire(data.key).map_err(unreadable)?;
                self.cancel = Some(CancelRequest { pid: data.pid, key });
                Ok(None)
            }
            BackendTag::ReadyForQuery if self.is_authenticated() => {
                let ready = ReadyForQuery::decode(body).map_err(unreadable)?;
                self.state = State::Done;
                Ok(Some(LoginStep::Ready(LoggedIn {
                    parameters: std::mem::take(&mut self.parameters),
                    cancel: self.cancel.take(),
                    notices: std::mem::take(&mut self.notices),
                    minor: self.minor,
                    status: ready.status,
                })))
            }
            other => Err(LoginError::Unexpected(other.name())),
        }
    }

    const fn is_authenticated(&self) -> bool {
        matches!(self.state, State::Authenticated)
    }

    fn negotiate(&mut self, answer: &NegotiateProtocolVersion<'_>) -> Result<(), LoginError> {
        // Only directly after the startup packet, once, and only downwards. No option was asked for, so that none can be unknown.
        let fits = matches!(self.state, State::Asked)
            && !self.negotiated
            && answer.major == 3
            && answer.minor < self.minor
            && answer.unrecognised_len() == 0;
        if !fits {
            return Err(LoginError::BadVersion);
        }
        self.negotiated = true;
        self.minor = answer.minor;
        Ok(())
    }

    fn authentication(&mut self, request: Authentication<'_>) -> Result<Option<LoginStep>, LoginError> {
        let mut out = BytesMut::new();
        self.state = match (std::mem::replace(&mut self.state, State::Done), request) {
            // Straight after the startup packet this is a target that trusts us; in the middle of SCRAM it would be one
            // that cannot prove itself, and that is not let through.
            (State::Asked | State::Answered, Authentication::Ok) => State::Authenticated,
            (State::Asked, Authentication::CleartextPassword) => {
                if !self.config.protected {
                    return Err(LoginError::CleartextRefused);
                }
                own::password(&mut out, self.password()?.expose().as_bytes())?;
                State::Answered
            }
            (State::Asked, Authentication::Md5Password { salt }) => {
                let password = self.password()?.expose().as_bytes();
                let hash = postgres_protocol::authentication::md5_hash(self.config.user.as_bytes(), password, salt);
                own::password(&mut out, hash.as_bytes())?;
                State::Answered
            }
            (State::Asked, Authentication::Sasl { mechanisms }) => {
                let client = ScramClient::new(&self.config, mechanisms)?;
                own::sasl_initial_response(&mut out, client.mechanism(), client.first().as_bytes())?;
                State::ScramFirst(client)
            }
            (State::ScramFirst(client), Authentication::SaslContinue { data }) => {
                let (last, expected) = client.answer(self.password()?, data)?;
                own::sasl_response(&mut out, last.as_bytes())?;
                State::ScramFinal(expected)
            }
            (State::ScramFinal(expected), Authentication::SaslFinal { data }) => {
                expected.check(data)?;
                State::Answered
            }
            (_, Authentication::Unsupported { code }) => return Err(LoginError::UnsupportedMethod(code)),
            _ => return Err(LoginError::Unexpected("authentication request")),
        };
        Ok((!out.is_empty()).then(|| LoginStep::Send(out.freeze())))
    }

    fn password(&self) -> Result<&Secret, LoginError> {
        self.config.password.as_ref().ok_or(LoginError::NoPassword)
    }
}

/// The client's side of SCRAM before the server's challenge.
struct ScramClient {
    flag: BindingFlag,
    server_end_point: Vec<u8>,
    nonce: String,
}

impl ScramClient {
    fn new(config: &LoginConfig, mechanisms: Mechanisms<'_>) -> Result<Self, LoginError> {
        let offers = |name: &str| mechanisms.into_iter().any(|mechanism| mechanism == name.as_bytes());
        let flag = match (&config.server_end_point, offers(SCRAM_SHA_256_PLUS), offers(SCRAM_SHA_256)) {
            (Some(_), true, _) => BindingFlag::ServerEndPoint,
            // Says that we could have bound the channel, so that a server whose offer was removed on the way notices.
            (Some(_), false, true) => BindingFlag::ThinksNotOffered,
            (None, _, true) => BindingFlag::CannotBind,
            (_, _, false) => return Err(LoginError::UnsupportedMechanism),
        };
        let server_end_point = config.server_end_point.clone().unwrap_or_default();
        Ok(ScramClient { flag, server_end_point, nonce: scram::encode_base64(&config.nonce) })
    }

    const fn mechanism(&self) -> &'static str {
        match self.flag {
            BindingFlag::ServerEndPoint => SCRAM_SHA_256_PLUS,
            BindingFlag::CannotBind | BindingFlag::ThinksNotOffered => SCRAM_SHA_256,
        }
    }

    /// client-first-message-bare. PostgreSQL takes the user from the startup packet.
    fn bare(&self) -> String {
        format!("n=,r={}", self.nonce)
    }

    fn first(&self) -> String {
        format!("{}{}", self.flag.gs2_header(), self.bare())
    }

    /// Answers the challenge.
    fn answer(&self, password: &Secret, data: &[u8]) -> Result<(String, ExpectedSignature), ScramError> {
        let server = scram::server_first(data)?;
        // The server has to add something of its own, or it could replay a recorded challenge.
        if !server.nonce.starts_with(&self.nonce) || server.nonce.len() == self.nonce.len() {
            return Err(ScramError::WrongNonce);
        }
        let server_first = std::str::from_utf8(data).map_err(|_| ScramError::Malformed)?;
        let keys = Keys::derive(password.expose(), &server.salt, server.iterations);
        let without_proof = format!("c={},r={}", self.flag.binding_value(&self.server_end_point), server.nonce);
        let auth_message = format!("{},{server_first},{without_proof}", self.bare());
        let proof = scram::xor(&keys.client_key, &scram::sign(&keys.stored_key, auth_message.as_bytes()));
        let expected = ExpectedSignature(scram::sign(&keys.server_key, auth_message.as_bytes()));
        Ok((format!("{without_proof},p={}", scram::encode_base64(&proof)), expected))
    }
}

/// What a server has to send that knows the password, or its verifier.
struct ExpectedSignature(Key);

impl ExpectedSignature {
    fn check(&self, data: &[u8]) -> Result<(), ScramError> {
        let signature = scram::server_final(data)?;
        if scram::same(&self.0, &signature) { Ok(()) } else { Err(ScramError::WrongServerSignature) }
    }
}

/// A target's answer to SSLRequest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TlsAnswer {
    /// Begin the handshake.
    Accepted,
    /// There is no TLS.
    Refused,
}

/// Reads a target's answer to SSLRequest, or `None` while there is none.
///
/// # Errors
/// When the answer is something else (an error text from before TLS is not to be believed, CVE-2024-10977), or is followed
/// by bytes in clear (CVE-2021-23222).
pub fn read_tls_answer(buf: &mut BytesMut) -> Result<Option<TlsAnswer>, LoginError> {
    let answer = match **buf {
        [] => return Ok(None),
        [b'S'] => TlsAnswer::Accepted,
        [b'N'] => TlsAnswer::Refused,
        _ => return Err(LoginError::BadTlsAnswer),
    };
    buf.clear();
    Ok(Some(answer))
}
