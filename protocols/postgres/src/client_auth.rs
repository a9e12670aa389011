//! Authentication of a client: the gateway as the server (PostgreSQL 18 documentation, 54.2.1 and 54.3).
//!
//! The method is chosen before the first message and is the only one, as the protocol wants it. Nothing here knows
//! identities: a password goes to the caller for its verdict, a SCRAM proof is tested against the verifiers that the
//! caller fetches for the user of the startup packet. An unknown user has none, and the exchange looks the same.
//! AuthenticationOk is the caller's to send, once the identity may connect.

use crate::bearer::{self, BearerError, OAUTHBEARER};
use crate::frame::FrontendTag;
use crate::message::{self, DecodeError, SaslInitialResponse};
use crate::own::{self, EncodeError};
use crate::scram::{self, BindingFlag, Key, NONCE_BYTES, SCRAM_SHA_256, SCRAM_SHA_256_PLUS, ScramError, ScramVerifier};
use bytes::{Bytes, BytesMut};
use lockgate_core::{Fault, Secret, SqlState, limits};
use lockgate_session::wire::TokenIssuer;

/// What a client is offered for SCRAM.
#[derive(Clone)]
pub struct ScramOffer {
    /// The salt of the user's verifiers; of an unknown user, [`scram::salt_for`] the name.
    pub salt: Vec<u8>,
    /// The iteration count of the user's verifiers.
    pub iterations: u32,
    /// Random bytes from a cryptographic source, never used twice.
    pub nonce: [u8; NONCE_BYTES],
    /// The hash of the gateway's certificate (RFC 5929, tls-server-end-point), where the connection is in TLS: offers channel binding.
    pub server_end_point: Option<Vec<u8>>,
}

/// How a client proves who it is.
#[derive(Clone)]
pub enum Method {
    /// It sends its token. Only where nobody can listen: in TLS, or from loopback.
    Cleartext,
    /// It proves that it knows a token that the gateway made.
    Scram(ScramOffer),
    /// It shows the token of an identity provider, which it may get by itself. Only where nobody can listen.
    Bearer(TokenIssuer),
}

/// Why a login cannot go on. The text is for the log; a client is told [`AuthError::client_message`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AuthError {
    /// The client sent another message than the answer.
    #[error("expected an answer to the authentication request, got a message with tag `{}`", char::from(*.0).escape_default())]
    UnexpectedMessage(u8),
    /// The answer is larger than any honest one.
    #[error("the answer to the authentication request is too long")]
    TooLong,
    /// The answer is not one.
    #[error("the answer to the authentication request cannot be read: {0}")]
    Undecodable(DecodeError),
    /// The client chose a mechanism that was not offered.
    #[error("the client chose a SASL mechanism that was not offered")]
    UnknownMechanism,
    /// The SCRAM exchange broke.
    #[error("{0}")]
    Scram(ScramError),
    /// The OAUTHBEARER exchange broke.
    #[error("{0}")]
    Bearer(BearerError),
    /// The client has no token yet. It was told where to get one, and comes again.
    #[error("the client asked where to get a token")]
    NoToken,
    /// The password is empty, or not text.
    #[error("the password is empty or not UTF-8")]
    UnusablePassword,
    /// The proof fits none of the user's verifiers.
    #[error("the SCRAM proof fits no token of the user")]
    WrongProof,
    /// The caller called in the wrong order, or an answer of ours could not be written.
    #[error("the login was driven in the wrong order")]
    OutOfOrder,
}

impl AuthError {
    /// Whose fault it is.
    pub const fn fault(&self) -> Fault {
        match self {
            AuthError::UnexpectedMessage(_)
            | AuthError::TooLong
            | AuthError::Undecodable(_)
            | AuthError::UnknownMechanism
            | AuthError::Scram(_)
            | AuthError::Bearer(_)
            | AuthError::NoToken
            | AuthError::UnusablePassword
            | AuthError::WrongProof => Fault::Client,
            AuthError::OutOfOrder => Fault::Us,
        }
    }

    /// The code that the client is told.
    pub const fn sqlstate(&self) -> SqlState {
        match self {
            AuthError::UnexpectedMessage(_)
            | AuthError::TooLong
            | AuthError::Undecodable(_)
            | AuthError::UnknownMechanism => SqlState::PROTOCOL_VIOLATION,
            AuthError::Scram(ScramError::WrongBinding | ScramError::Downgraded) => SqlState::INVALID_AUTHORIZATION,
            AuthError::Scram(_) | AuthError::Bearer(_) => SqlState::PROTOCOL_VIOLATION,
            AuthError::NoToken => SqlState::INVALID_AUTHORIZATION,
            AuthError::UnusablePassword | AuthError::WrongProof => SqlState::INVALID_PASSWORD,
            AuthError::OutOfOrder => SqlState::INTERNAL,
        }
    }

    /// What the client is told. It says nothing about whether the user exists.
    pub fn client_message(&self) -> String {
        match self {
            AuthError::UnusablePassword | AuthError::WrongProof => "the token was not accepted".to_owned(),
            AuthError::OutOfOrder => "the login failed".to_owned(),
            AuthError::UnexpectedMessage(_)
            | AuthError::TooLong
            | AuthError::Undecodable(_)
            | AuthError::UnknownMechanism
            | AuthError::Scram(_)
            | AuthError::Bearer(_)
            | AuthError::NoToken => self.to_string(),
        }
    }
}

impl From<EncodeError> for AuthError {
    fn from(_: EncodeError) -> Self {
        AuthError::OutOfOrder
    }
}

impl From<ScramError> for AuthError {
    fn from(error: ScramError) -> Self {
        AuthError::Scram(error)
    }
}

impl From<BearerError> for AuthError {
    fn from(error: BearerError) -> Self {
        AuthError::Bearer(error)
    }
}

impl From<DecodeError> for AuthError {
    fn from(error: DecodeError) -> Self {
        AuthError::Undecodable(error)
    }
}

/// What to do next.
pub enum AuthStep {
    /// Send this and wait for the answer.
    Send(Bytes),
    /// This is the token that the client sent. Judge it.
    NeedVerdictCleartext(Secret),
    /// The client sent a proof. Fetch the user's verifiers and call [`ClientAuth::on_verifiers`].
    NeedVerifiers,
    /// The client knows the token of the verifier at this index. Send `answer`, which proves the gateway to the client,
    /// before AuthenticationOk.
    ScramProven {
        /// The index in the list that was given.
        index: usize,
        /// AuthenticationSASLFinal.
        answer: Bytes,
    },
    /// The login is over.
    Fail(AuthError),
}

/// The exchange, from the request to the proof.
///
/// ```text
/// Cleartext ── password ─▶ Done
/// Offered ── client-first ─▶ Challenged ── client-final ─▶ Proving ── verifiers ─▶ Done
/// Bearer ── token ─▶ Done
///       └── no token ─▶ Told ── read ─▶ Done
/// ```
enum State {
    /// Nothing was sent.
    New(Method),
    /// The password was asked for.
    Cleartext,
    /// The mechanisms were offered.
    Offered(ScramOffer),
    /// server-first was sent.
    Challenged(Challenge),
    /// OAUTHBEARER was offered.
    Bearer(TokenIssuer),
    /// The client was told where to get a token.
    Told,
    /// client-final was read.
    Proving { auth_message: String, proof: Key },
    /// There is nothing more to do.
    Done,
}

struct Challenge {
    /// The value of `c=` that the client must send.
    binding: String,
    /// Both nonces.
    nonce: String,
    /// client-first-bare and server-first, joined.
    so_far: String,
}

/// Authenticates one client.
pub struct ClientAuth {
    state: State,
}

impl ClientAuth {
    /// A login by this method.
    pub const fn new(method: Method) -> Self {
        ClientAuth { state: State::New(method) }
    }

    /// The request to send first.
    ///
    /// # Errors
    /// [`AuthError::OutOfOrder`] when called twice.
    pub fn start(&mut self) -> Result<Bytes, AuthError> {
        let mut out = BytesMut::new();
        self.state = match std::mem::replace(&mut self.state, State::Done) {
            State::New(Method::Cleartext) => {
                own::authentication_cleartext(&mut out);
                State::Cleartext
            }
            State::New(Method::Scram(offer)) => {
                let mechanisms: &[&str] = match offer.server_end_point {
                    Some(_) => &[SCRAM_SHA_256_PLUS, SCRAM_SHA_256],
                    None => &[SCRAM_SHA_256],
                };
                own::authentication_sasl(&mut out, mechanisms)?;
                State::Offered(offer)
            }
            State::New(Method::Bearer(issuer)) => {
                own::authentication_sasl(&mut out, &[OAUTHBEARER])?;
                State::Bearer(issuer)
            }
            _ => return Err(AuthError::OutOfOrder),
        };
        Ok(out.freeze())
    }

    /// Takes a message of the client.
    pub fn on_message(&mut self, tag: u8, body: &[u8]) -> AuthStep {
        self.read(tag, body).unwrap_or_else(AuthStep::Fail)
    }

    fn read(&mut self, tag: u8, body: &[u8]) -> Result<AuthStep, AuthError> {
        let state = std::mem::replace(&mut self.state, State::Done);
        if FrontendTag::from_byte(tag) != FrontendTag::PasswordMessage {
            return Err(AuthError::UnexpectedMessage(tag));
        }
        if body.len() > limits::PG_PREAUTH_MESSAGE_BYTES_MAX {
            return Err(AuthError::TooLong);
        }
        match state {
            State::Cleartext => {
                let password = std::str::from_utf8(message::password(body)?)
                    .ok()
                    .filter(|password| !password.is_empty())
                    .ok_or(AuthError::UnusablePassword)?;
                Ok(AuthStep::NeedVerdictCleartext(Secret::new(password.to_owned())))
            }
            State::Offered(offer) => {
                let (challenge, answer) = Challenge::answer(&offer, body)?;
                self.state = State::Challenged(challenge);
                Ok(AuthStep::Send(answer))
            }
            State::Challenged(challenge) => {
                let last = scram::client_final(body)?;
                if last.nonce != challenge.nonce {
                    return Err(ScramError::WrongNonce.into());
                }
                if last.binding != challenge.binding {
                    return Err(ScramError::WrongBinding.into());
                }
                let auth_message = format!("{},{}", challenge.so_far, last.without_proof);
                self.state = State::Proving { auth_message, proof: last.proof };
                Ok(AuthStep::NeedVerifiers)
            }
            State::Bearer(issuer) => {
                let response = SaslInitialResponse::decode(body)?;
                if response.mechanism != OAUTHBEARER.as_bytes() {
                    return Err(AuthError::UnknownMechanism);
                }
                if let Some(token) = bearer::client_first(response.data.unwrap_or_default())? {
                    return Ok(AuthStep::NeedVerdictCleartext(token));
                }
                let mut out = BytesMut::new();
                own::authentication_sasl_continue(&mut out, bearer::refusal(&issuer).as_bytes())?;
                self.state = State::Told;
                Ok(AuthStep::Send(out.freeze()))
            }
            State::Told if body == bearer::DUMMY => Err(AuthError::NoToken),
            State::Told => Err(AuthError::UnexpectedMessage(tag)),
            State::New(_) | State::Proving { .. } | State::Done => Err(AuthError::OutOfOrder),
        }
    }

    /// Tests the proof against the verifiers of the user; an unknown user has none.
    pub fn on_verifiers(&mut self, verifiers: &[ScramVerifier]) -> AuthStep {
        let State::Proving { auth_message, proof } = std::mem::replace(&mut self.state, State::Done) else {
            return AuthStep::Fail(AuthError::OutOfOrder);
        };
        let Some((index, signature)) = scram::prove(&proof, auth_message.as_bytes(), verifiers) else {
            return AuthStep::Fail(AuthError::WrongProof);
        };
        let mut out = BytesMut::new();
        let last = format!("v={}", scram::encode_base64(&signature));
        match own::authentication_sasl_final(&mut out, last.as_bytes()) {
            Ok(()) => AuthStep::ScramProven { index, answer: out.freeze() },
            Err(error) => AuthStep::Fail(error.into()),
        }
    }
}

impl Challenge {
    /// Reads the client's choice and first message, and writes the answer to it.
    fn answer(offer: &ScramOffer, body: &[u8]) -> Result<(Self, Bytes), AuthError> {
        let response = SaslInitialResponse::decode(body)?;
        let binds = match response.mechanism {
            m if m == SCRAM_SHA_256.as_bytes() => false,
            m if m == SCRAM_SHA_256_PLUS.as_bytes() && offer.server_end_point.is_some() => true,
            _ => return Err(AuthError::UnknownMechanism),
        };
        let first = scram::client_first(response.data.ok_or(ScramError::Malformed)?)?;
        // RFC 5802, section 6: the flag has to fit the mechanism and what was offered.
        match (first.flag, binds) {
            (BindingFlag::ServerEndPoint, true) | (BindingFlag::CannotBind, false) => {}
            (BindingFlag::ThinksNotOffered, false) if offer.server_end_point.is_none() => {}
            (BindingFlag::ThinksNotOffered, false) => return Err(ScramError::Downgraded.into()),
            (BindingFlag::ServerEndPoint, false) | (BindingFlag::CannotBind | BindingFlag::ThinksNotOffered, true) => {
                return Err(ScramError::BindingMismatch.into());
            }
        }
        let nonce = format!("{}{}", first.nonce, scram::encode_base64(&offer.nonce));
        let server_first = format!("r={nonce},s={},i={}", scram::encode_base64(&offer.salt), offer.iterations);
        let mut out = BytesMut::new();
        own::authentication_sasl_continue(&mut out, server_first.as_bytes())?;
        let challenge = Challenge {
            binding: first.flag.binding_value(offer.server_end_point.as_deref().unwrap_or_default()),
            nonce,
            so_far: format!("{},{server_first}", first.bare),
        };
        Ok((challenge, out.freeze()))
    }
}
