//! What the pump needs from the rest of the gateway: proofs, sessions, decisions, and the clock.

use crate::live::Live;
use lockgate_core::{Identity, Secret, SessionId, TargetName, Timestamp};
use lockgate_session::wire::{Decided, Dialed, LoginLink, Refusal, TargetTls, Verifiers};
use lockgate_session::{BroughtLabel, CarriedLabel, LabelBook, Session, Ticket};
use rustls::{ClientConfig, ServerConfig};
use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;

/// The future of a decision. Dropping it withdraws the request.
pub type Held = Pin<Box<dyn Future<Output = Decided> + Send>>;
/// Until people find the request; or why it cannot wait for them.
pub type Holding = Pin<Box<dyn Future<Output = Result<Held, Decided>> + Send>>;

/// A connection that a person logs in with a browser.
pub struct Linked {
    /// Where they do.
    pub link: LoginLink,
    /// Who they are, once they have. Dropping it withdraws the link.
    pub proven: Pin<Box<dyn Future<Output = Result<Arc<Identity>, Refusal>> + Send>>,
}

/// The way to a session's target.
pub struct Route {
    /// The target.
    pub target: TargetName,
    /// The database the client asked for by name, if any.
    pub asked_database: Option<String>,
    /// Where it listens.
    pub host: String,
    /// And on which port.
    pub port: u16,
    /// How to protect the connection; `None` for in clear.
    pub tls: Option<Arc<ClientConfig>>,
    /// The role to log in as.
    pub username: String,
    /// Its password.
    pub password: Secret,
    /// The database to open.
    pub database: String,
}

impl Route {
    pub(crate) fn dialed(&self) -> Dialed {
        Dialed {
            username: self.username.clone(),
            password: self.password.clone(),
            database: self.database.clone(),
            tls: if self.tls.is_some() { TargetTls::Require } else { TargetTls::Disable },
            loopback: self.host == "localhost"
                || self.host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback()),
        }
    }
}

/// The limits of the relay that an administrator may set.
#[derive(Clone, Copy, Debug)]
pub struct RelayLimits {
    /// Sessions in all.
    pub sessions_max: usize,
    /// Time from accept to a proven identity.
    pub login_ms_max: u64,
    /// Time to dial a target.
    pub dial_ms_max: u64,
    /// A peer that takes no bytes for this long while some wait for it is gone.
    pub write_stall_ms_max: u64,
}

/// The rest of the gateway, as the pump sees it.
pub trait Services: Send + Sync + 'static {
    /// The wall clock.
    fn now(&self) -> Timestamp;
    /// The limits in force; those of a connection are the ones when it was accepted.
    fn limits(&self) -> RelayLimits;
    /// TLS towards clients.
    fn server_tls(&self) -> Arc<ServerConfig>;
    /// Channel binding data of our certificate.
    fn server_end_point(&self) -> Option<Vec<u8>>;
    /// The open sessions.
    fn live(&self) -> &Arc<Live>;
    /// The SCRAM verifiers of a user; a stranger's answer looks and takes the same.
    fn verifiers(&self, user: &str) -> impl Future<Output = Verifiers> + Send;
    /// Whether a token is good and for this user.
    fn prove(
        &self,
        peer: SocketAddr,
        user: &str,
        token: &Secret,
    ) -> impl Future<Output = Result<Arc<Identity>, Refusal>> + Send;
    /// Opens a link behind which the user logs this connection in.
    fn link(
        &self,
        protocol: &'static str,
        peer: SocketAddr,
        user: &str,
        database: &str,
    ) -> impl Future<Output = Result<Linked, Refusal>> + Send;
    /// Puts a failed login on record that never came to showing a token. The client is told once this is done, which may
    /// take a while where logins keep failing.
    fn login_failed(
        &self,
        protocol: &'static str,
        peer: SocketAddr,
        user: &str,
        target: &str,
        reason: &str,
    ) -> impl Future<Output = ()> + Send;
    /// Opens a session with its recording, and finds the way to its target.
    fn open(
        &self,
        protocol: &'static str,
        peer: SocketAddr,
        identity: Arc<Identity>,
        database: &str,
        application: Option<String>,
    ) -> impl Future<Output = Result<(Box<Session>, Route), Refusal>> + Send;
    /// Keeps labels for good and lets them count for everybody. Until this is done nobody else sees what they are on.
    fn keep_labels(
        &self,
        session: SessionId,
        book: &LabelBook,
        labels: &[CarriedLabel],
    ) -> impl Future<Output = Result<(), String>> + Send;
    /// Drops labels that nobody counts on any more.
    fn drop_labels(&self, book: &LabelBook, labels: &[BroughtLabel]) -> impl Future<Output = ()> + Send;
    /// Asks people about a held request.
    fn hold(&self, ticket: Ticket) -> Holding;
}
