//! What a protocol may ask of the shell around it, and what it must answer.
//!
//! A [`Wire`] is one connection of one client, both sides of it, as a pure state machine: events in, bytes and [`Ask`]s
//! out. It opens no socket, reads no clock and spawns nothing, so that a test is a list of events. The relay drives it.

use crate::carried::{BroughtLabel, LabelBook};
use crate::permit::TargetOutbox;
use crate::session::{Session, Ticket};
use bytes::BytesMut;
use lockgate_core::{Fault, Identity, Secret, SessionId, Timestamp};
use lockgate_mask::Outbox;
use lockgate_sql::CarriedLabel;
use std::net::SocketAddr;
use std::sync::Arc;

/// One protocol's handling of one connection.
pub trait Wire: Send {
    /// Takes in one event. Bytes for either side go into `io`, and so do questions to the shell.
    fn on(&mut self, event: Event<'_>, io: &mut Io);
}

/// What happened.
pub enum Event<'a> {
    /// Bytes came from the client; consume what is complete and leave the rest.
    Client(&'a mut BytesMut),
    /// Bytes came from the target.
    Target(&'a mut BytesMut),
    /// The client is gone.
    ClientClosed,
    /// The target is gone.
    TargetClosed,
    /// [`Ask::ClientTls`] is done.
    ClientTls(TlsFacts),
    /// [`Ask::TargetTls`] is done.
    TargetTls(TlsFacts),
    /// The answer to [`Ask::Verifiers`].
    Verifiers(Verifiers),
    /// The answer to [`Ask::Prove`].
    Proven(Result<Arc<Identity>, Refusal>),
    /// The first answer to [`Ask::Link`]: where a person goes. [`Event::Proven`] follows when they have been there.
    Linked(Result<LoginLink, Refusal>),
    /// The answer to [`Ask::Open`]: the session, not yet judged for `connect`.
    Opened(Result<Box<Session>, Refusal>),
    /// The answer to [`Ask::Dial`].
    Dialed(Result<Dialed, Refusal>),
    /// The answer to [`Ask::KeepLabels`]: whether they are kept for good, or why not.
    LabelsKept(Result<(), String>),
    /// A held request is where people find it: its client can be told.
    Waits,
    /// A held request was decided.
    Decided(Decided),
    /// Somebody who holds the cancel key asks to stop what runs or waits.
    Cancel,
    /// The session lost its right, or the gateway stops.
    Cut(Cut),
    /// The time set with [`Io::wake_in_ms`] is over.
    Tick,
}

/// A question or an order to the shell.
pub enum Ask {
    /// Take the client's stream through a TLS handshake, as the server. The bytes are the handshake's beginning, where one that
    /// nobody asked for was recognised by it.
    ClientTls(BytesMut),
    /// Take the target's stream through a TLS handshake, as the client.
    TargetTls,
    /// The SCRAM verifiers of every live token of a user.
    Verifiers {
        /// The user name given.
        user: String,
    },
    /// Is this token good, and for this user?
    Prove {
        /// The user name given.
        user: String,
        /// The token.
        token: Secret,
    },
    /// Let a person log this connection in with a browser.
    Link {
        /// The user name given.
        user: String,
        /// `TARGET` or `TARGET/DATABASE` as the client wrote it.
        database: String,
    },
    /// A login failed before a token was shown; for the log.
    LoginFailed {
        /// The user name given.
        user: String,
        /// The target asked for.
        target: String,
        /// The true reason.
        reason: String,
    },
    /// Open a session of a proven identity on a target.
    Open {
        /// Who asks.
        identity: Arc<Identity>,
        /// `TARGET` or `TARGET/DATABASE` as the client wrote it.
        database: String,
        /// What the client says it is.
        application: Option<String>,
    },
    /// Open the connection to the session's target.
    Dial,
    /// Wait for the decision on a held request.
    Hold(Box<Ticket>),
    /// Keep these labels for good, and let them count for everybody.
    KeepLabels {
        /// Whose transaction brings them.
        session: SessionId,
        /// Of which database.
        book: Arc<LabelBook>,
        /// The labels.
        labels: Vec<CarriedLabel>,
    },
    /// These labels are out of their book; they need not be kept any longer.
    DropLabels {
        /// Of which database.
        book: Arc<LabelBook>,
        /// The labels.
        labels: Vec<BroughtLabel>,
    },
    /// The held request is withdrawn.
    Withdraw,
    /// From now on this key cancels this session.
    CancelKey {
        /// Process id, as the client knows it.
        pid: i32,
        /// The key, as the client knows it.
        key: Vec<u8>,
    },
    /// The client shows a cancel key; whoever it belongs to is told.
    CancelOther {
        /// Process id from the request.
        pid: i32,
        /// Key from the request.
        key: Vec<u8>,
    },
    /// Send `bytes` to the target on a connection of their own, and close it (PostgreSQL's CancelRequest). Where the
    /// target is reached inside TLS, `prelude` goes first, is answered with `S`, and the handshake follows.
    TargetAside {
        /// Asks for TLS.
        prelude: Vec<u8>,
        /// What is to be said.
        bytes: Vec<u8>,
    },
    /// Everything is said: flush to the client, then close both sides.
    Close {
        /// Why, for the recording.
        reason: String,
        /// Whose fault it is; `None` for an ordinary end.
        fault: Option<Fault>,
    },
}

/// The two outboxes and the questions of one [`Wire`].
pub struct Io {
    /// Bytes for the client; only what passed the mask stage gets in.
    pub client: Outbox,
    /// Bytes for the target; a request gets in only with its permit.
    pub target: TargetOutbox,
    /// Questions to the shell, in order.
    pub asks: Vec<Ask>,
    /// The time of the event.
    pub now: Timestamp,
    /// Fill a buffer with random bytes from a cryptographic source.
    pub random: fn(&mut [u8]),
    /// When to send [`Event::Tick`], from `now`; `None` for never.
    pub wake_in_ms: Option<u64>,
    /// Whether the wire can take more from the client. False while a request is held or waits for the target.
    pub read_client: bool,
    /// Whether the wire can take more from the target. False while answers are held back.
    pub read_target: bool,
    /// What was judged since the last event, for the metrics.
    pub verdicts: Verdicts,
    /// The alerts that policies raised since the last event.
    pub alerts: Vec<RaisedAlert>,
    /// Set when the event after this one is due at once: input is still buffered that the wire can now use.
    pub again: bool,
}

impl Io {
    /// Empty outboxes at a point in time.
    pub fn new(now: Timestamp, random: fn(&mut [u8])) -> Self {
        Io {
            client: Outbox::new(),
            target: TargetOutbox::new(),
            asks: Vec::new(),
            now,
            random,
            wake_in_ms: None,
            read_client: true,
            read_target: true,
            verdicts: Verdicts::default(),
            alerts: Vec::new(),
            again: false,
        }
    }

    /// Says that the connection ends once everything is flushed.
    pub fn close(&mut self, reason: impl Into<String>, fault: Option<Fault>) {
        self.asks.push(Ask::Close { reason: reason.into(), fault });
    }
}

/// Verdicts by kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Verdicts {
    /// Requests that went on.
    pub allowed: u64,
    /// Requests that were refused.
    pub denied: u64,
    /// Requests that wait or waited for people.
    pub held: u64,
}

/// A policy with `@alert` took part in a decision.
#[derive(Clone, Debug)]
pub struct RaisedAlert {
    /// In which session.
    pub session: SessionId,
    /// Whose request.
    pub user: String,
    /// Which policy, and where it is written.
    pub policy: String,
    /// How loud.
    pub severity: &'static str,
    /// What was asked for.
    pub text: String,
}

/// What a TLS handshake settled.
#[derive(Clone, Debug)]
pub struct TlsFacts {
    /// The application protocol, where one was agreed.
    pub alpn: Option<Vec<u8>>,
    /// `tls-server-end-point` channel binding data (RFC 5929 section 4): the hash of the server's certificate.
    pub server_end_point: Option<Vec<u8>>,
}

/// What the SCRAM exchange with a client needs.
pub struct Verifiers {
    /// The user's salt; a stranger's looks the same.
    pub salt: [u8; 16],
    /// PBKDF2 iterations.
    pub iterations: u32,
    /// Every live token of the user.
    pub tokens: Vec<Verifier>,
    /// An identity provider whose tokens count. SCRAM cannot prove them: they have to be shown.
    pub issuer: Option<TokenIssuer>,
}

/// Where a client can get a token by itself (RFC 7628).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenIssuer {
    /// The address of the provider's description of itself.
    pub discovery: String,
    /// What to ask it for, separated by spaces.
    pub scope: String,
}

/// Where a person logs a connection in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoginLink {
    /// The address to open.
    pub url: String,
    /// What the page has to show, so that it is about this connection and no other.
    pub code: String,
    /// How long it waits, in milliseconds.
    pub waits_ms: u64,
}

/// One token's verifier and whom it proves.
pub struct Verifier {
    /// SCRAM's StoredKey.
    pub stored_key: [u8; 32],
    /// SCRAM's ServerKey.
    pub server_key: [u8; 32],
    /// Who it proves.
    pub identity: Arc<Identity>,
}

/// The way to a target and the credential for it. The client never sees any of it.
pub struct Dialed {
    /// The role to log in as.
    pub username: String,
    /// Its password.
    pub password: Secret,
    /// The database to open.
    pub database: String,
    /// How the connection is protected.
    pub tls: TargetTls,
    /// Whether the target is on this machine, where a password in clear is acceptable.
    pub loopback: bool,
}

/// Protection of the connection to the target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TargetTls {
    /// No TLS, by configuration.
    Disable,
    /// TLS; without it the connection is refused.
    Require,
}

/// Why the shell refuses something. `public` may be shown to the peer, `internal` goes to the log.
#[derive(Clone, Debug)]
pub struct Refusal {
    /// Whose fault it is.
    pub fault: Fault,
    /// Text for the person at the client.
    pub public: String,
    /// What to do next.
    pub hint: Option<String>,
    /// Text for the log.
    pub internal: String,
}

/// How a hold ended.
#[derive(Clone, Debug)]
pub struct Decided {
    /// The answer.
    pub outcome: HoldOutcome,
    /// Who gave it, with the reason, where a person did.
    pub by: Vec<String>,
    /// The reason given.
    pub reason: Option<String>,
}

/// The answer to a held request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HoldOutcome {
    /// Enough people approved.
    Approved,
    /// Somebody refused.
    Denied,
    /// Nobody answered in time.
    Expired,
    /// The client withdrew it, or went away.
    Withdrawn,
    /// It could not be asked, or the answer could not be stored.
    Failed,
}

/// Why a session is ended from outside.
#[derive(Clone, Debug)]
pub struct Cut {
    /// What the client is told.
    pub reason: String,
    /// Whether a request in progress may still finish (a stopping gateway), or not (a lost right).
    pub after_request: bool,
}

/// Makes a [`Wire`] for each accepted connection.
pub trait Protocol: Send + Sync {
    /// The protocol's name in the configuration.
    fn name(&self) -> &'static str;
    /// A machine for one connection. `tls` says whether the listener can offer TLS.
    fn accept(&self, peer: SocketAddr, tls: bool) -> Box<dyn Wire>;
}
