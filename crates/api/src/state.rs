//! What the API is given to work with. The traits are the little that it needs of the relay and of policy.

use crate::allowance::Allowance;
use crate::signin::{NoSignIn, SignIn};
use crate::throttle::Throttle;
use lockgate_core::{Identity, Late, Secret, SessionId, TargetName, Timestamp};
use lockgate_identity::Proven;
use lockgate_store::approvals::Approvals;
use lockgate_store::{Store, Verified};
use std::collections::{BTreeSet, HashSet};
use std::future::Future;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use tokio::sync::mpsc;

/// A future behind a trait object.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Who may what, as configuration and policy say now.
pub trait Access: Send + Sync {
    /// Whether the identity is an administrator (`identity.admins`).
    fn is_admin(&self, identity: &Identity) -> bool;
    /// Whether the identity is an auditor (`identity.auditors`).
    fn is_auditor(&self, _identity: &Identity) -> bool {
        false
    }
    /// Whether policy lets the identity connect to the target.
    fn may_connect(&self, identity: &Identity, target: &TargetName, now: Timestamp) -> bool;
    /// Every configured target.
    fn targets(&self) -> Vec<TargetInfo>;
    /// Puts it on record what a token was used for: method and address.
    fn used(&self, _identity: &Identity, _source: IpAddr, _purpose: &str) {}
    /// Puts somebody's decision on an approval on record.
    fn decided(&self, _decision: &DecisionMade<'_>) {}
    /// What the directories make of a proven identity: the groups that they know of everybody in it. An error, for the log, says
    /// why nobody of that name may do anything.
    fn stand(&self, proven: Identity) -> BoxFuture<'_, Result<Identity, String>> {
        Box::pin(async { Ok(proven) })
    }
    /// The name of the directory (`identity.scim`) whose secret this is.
    fn directory(&self, _secret: &str) -> Option<String> {
        None
    }
    /// Somebody's groups, or whether they may do anything, have changed: sessions that live are looked at now.
    fn people_changed(&self) {}
    /// Puts it on record that somebody showed a token that is not accepted.
    fn login_refused(&self, _source: IpAddr, _reason: &str) {}
}

/// What somebody decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DecisionMade<'a> {
    /// The approval.
    pub approval: &'a str,
    /// The session that waits.
    pub session: &'a str,
    /// Whether it was a yes.
    pub approved: bool,
    /// Who decided.
    pub by: &'a str,
    /// The reason given.
    pub reason: &'a str,
}

/// A target as told to those who may connect to it. No address and no credential.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TargetInfo {
    /// Its name.
    pub name: TargetName,
    /// `postgres`, and so on.
    pub protocol: String,
    /// The labels of its configuration.
    pub labels: Vec<(String, String)>,
}

/// The sessions that are open in this process.
pub trait LiveSessions: Send + Sync {
    /// Ends a session and notes who did it. Whether there was one.
    fn kill(&self, id: SessionId, by: &str) -> bool;
    /// The sessions that are open.
    fn live(&self) -> HashSet<SessionId>;
}

/// How much of a recording the reader may see.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum EventView {
    /// All of it: the reader's own session, which saw all of it then.
    Whole,
    /// Everything but result rows: an administrator or an auditor sees what was done, and gets no data by it.
    WithoutResults,
}

/// JSON lines, each with its line end; an error breaks the answer off.
pub type EventStream = mpsc::Receiver<Result<Vec<u8>, String>>;

/// Whether whoever follows a session may still do so. Asked every time before more is handed out.
pub type StillMay = Box<dyn Fn() -> bool + Send + Sync>;

/// Reads recordings.
pub trait JournalReader: Send + Sync {
    /// The events of a session in order; `None` when there is no recording. With `follow`, also those to come, until the
    /// session ends or the reader may not any more; an empty line now and then says that nothing has happened.
    fn events(
        &self,
        session: SessionId,
        view: EventView,
        follow: Option<StillMay>,
    ) -> BoxFuture<'_, Result<Option<EventStream>, String>>;
}

/// Somebody's wish to read tokens of masked data back.
pub struct Detokenize<'a> {
    /// Who asks.
    pub identity: &'a Identity,
    /// The only targets that the caller's own token is for.
    pub targets: Option<&'a BTreeSet<TargetName>>,
    /// Where from.
    pub client: IpAddr,
    /// The label, as it was written.
    pub label: &'a str,
    /// The tokens.
    pub tokens: &'a [String],
    /// When.
    pub now: Timestamp,
}

/// What one token may stand for: a kind and a value each, or why it cannot be read.
pub type TokenValues = Result<Vec<(&'static str, String)>, String>;

/// Tokens are not read back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NotDetokenized {
    /// No target carries the label.
    NoLabel,
    /// Policy says no: the reason, and what to do.
    Denied(String, String),
    /// It cannot be recorded, so it is not done.
    Unrecordable,
}

/// Reads tokens of masked data back, for those who may see the values, and records that.
pub trait Detokenizer: Send + Sync {
    /// One answer per token, in order.
    fn detokenize(&self, asked: &Detokenize<'_>) -> Result<Vec<TokenValues>, NotDetokenized>;
}

/// Proves tokens that are not Lockgate's own.
pub trait IdentityProviders: Send + Sync {
    /// Proves a token of an identity provider; `None` for a text that is none. An error is for the log.
    fn prove<'a>(&'a self, token: &'a str, now: Timestamp) -> BoxFuture<'a, Option<Result<Verified, String>>>;
    /// Asks whether a proof still counts; `None` where no provider's proof has this id.
    fn still_counts(&self, id: &str) -> Option<StillMay>;
}

/// There are none.
struct NoProviders;

impl IdentityProviders for NoProviders {
    fn prove<'a>(&'a self, _: &'a str, _: Timestamp) -> BoxFuture<'a, Option<Result<Verified, String>>> {
        Box::pin(async { None })
    }

    fn still_counts(&self, _: &str) -> Option<StillMay> {
        None
    }
}

/// A password that proves nobody. A stranger is told the same whether the user exists or not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum NotProven {
    /// It is not this user's, or the user is disabled or not there.
    Wrong,
    /// Too many were wrong: it was not looked at. Seconds until the next one is.
    TooSoon(u64),
    /// Too many wait: it was not looked at.
    Busy,
    /// The store cannot be read.
    Failed,
}

/// A password that cannot be set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NoVerifier {
    /// Which rule it breaks.
    Unfit(String),
    /// Too many wait, or there are no random bytes.
    Busy,
}

/// The passwords of local users. Comparing takes a while and much memory: whoever implements it bounds how many at once, makes
/// guessing wait, and puts on record what was refused.
pub trait Passwords: Send + Sync {
    /// Proves a local user by a password that came from `source`.
    fn prove<'a>(
        &'a self,
        user: &'a str,
        password: &'a Secret,
        source: IpAddr,
    ) -> BoxFuture<'a, Result<Proven, NotProven>>;
    /// Makes what proves a new password of a user.
    fn verifier<'a>(&'a self, user: &'a str, password: &'a Secret) -> BoxFuture<'a, Result<Secret, NoVerifier>>;
}

/// Nobody has one.
struct NoPasswords;

impl Passwords for NoPasswords {
    fn prove<'a>(&'a self, _: &'a str, _: &'a Secret, _: IpAddr) -> BoxFuture<'a, Result<Proven, NotProven>> {
        Box::pin(async { Err(NotProven::Wrong) })
    }

    fn verifier<'a>(&'a self, _: &'a str, _: &'a Secret) -> BoxFuture<'a, Result<Secret, NoVerifier>> {
        Box::pin(async { Err(NoVerifier::Busy) })
    }
}

/// Whether the gateway takes sessions.
pub trait Readiness: Send + Sync {
    /// An error says why not, in words that anybody may read.
    fn ready(&self) -> BoxFuture<'_, Result<(), String>>;
}

/// The client's address, as the listener saw it.
#[derive(Clone, Copy, Debug)]
pub struct PeerAddr(pub SocketAddr);

/// All that the handlers share.
#[derive(Clone)]
pub struct ApiState {
    /// Tokens and sessions.
    pub store: Store,
    /// What waits for approval.
    pub approvals: Approvals,
    /// Administrators, targets and who may connect to them.
    pub access: Arc<dyn Access>,
    /// Open sessions.
    pub sessions: Arc<dyn LiveSessions>,
    /// Recordings.
    pub journal: Arc<dyn JournalReader>,
    /// The values behind tokens of masked data.
    pub detokenizer: Arc<dyn Detokenizer>,
    /// Whether new sessions are welcome.
    pub readiness: Arc<dyn Readiness>,
    /// Who proves tokens that are not Lockgate's own.
    pub providers: Arc<dyn IdentityProviders>,
    /// Who signs people in with a browser.
    pub sign_in: Arc<dyn SignIn>,
    /// Who proves passwords of local users.
    pub passwords: Arc<dyn Passwords>,
    pub(crate) throttle: Arc<Throttle>,
    /// Answers that an identity provider was asked about in vain.
    pub(crate) exchanges: Arc<Throttle>,
    pub(crate) late: Arc<Late>,
    pub(crate) allowance: Arc<Allowance>,
}

impl ApiState {
    /// Puts the parts together.
    pub fn new(
        store: Store,
        approvals: Approvals,
        access: Arc<dyn Access>,
        sessions: Arc<dyn LiveSessions>,
        journal: Arc<dyn JournalReader>,
        detokenizer: Arc<dyn Detokenizer>,
        readiness: Arc<dyn Readiness>,
    ) -> Self {
        ApiState {
            store,
            approvals,
            access,
            sessions,
            journal,
            detokenizer,
            readiness,
            providers: Arc::new(NoProviders),
            sign_in: Arc::new(NoSignIn),
            passwords: Arc::new(NoPasswords),
            throttle: Arc::default(),
            exchanges: Arc::default(),
            late: Arc::default(),
            allowance: Arc::default(),
        }
    }

    /// The same with identity providers.
    #[must_use]
    pub fn with_providers(self, providers: Arc<dyn IdentityProviders>) -> Self {
        ApiState { providers, ..self }
    }

    /// The same with browsers that sign in.
    #[must_use]
    pub fn with_sign_in(self, sign_in: Arc<dyn SignIn>) -> Self {
        ApiState { sign_in, ..self }
    }

    /// The same with the answers that are held back elsewhere too: on every way in, a source has as many as it has.
    #[must_use]
    pub fn with_late(self, late: Arc<Late>) -> Self {
        ApiState { late, ..self }
    }

    /// The same with passwords of local users.
    #[must_use]
    pub fn with_passwords(self, passwords: Arc<dyn Passwords>) -> Self {
        ApiState { passwords, ..self }
    }
}
