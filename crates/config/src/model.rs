//! The configuration as the rest of the gateway sees it: every value checked, every default filled in, every path whole.

use crate::patterns::ColumnPattern;
use lockgate_core::{IdentityKind, Label, Secret, TargetName, matches_glob};
use lockgate_detect::{Custom, Kind};
use lockgate_policy::TargetFacts;
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

/// Everything that is set.
#[derive(Clone)]
pub struct Config {
    /// Where the store, keys and recordings are.
    pub data_dir: PathBuf,
    /// Where recordings are written.
    pub recordings: PathBuf,
    /// What is recorded, and how surely.
    pub recording: Recording,
    /// Where clients are accepted.
    pub listen: Listen,
    /// Where people's browsers reach the gateway, without a path; `None` where the listener's own address has to do.
    pub url: Option<String>,
    /// The gateway's own certificate; `None` has one made in `data_dir`.
    pub tls: Option<TlsFiles>,
    /// Who may administer the gateway.
    pub admins: Vec<Admin>,
    /// Who may see everything that administrators see, and change nothing.
    pub auditors: Vec<Admin>,
    /// The OpenID Connect issuers whose tokens are believed, in the order of the file.
    pub oidc: Vec<Oidc>,
    /// The SAML identity providers, in the order of the file.
    pub saml: Vec<Saml>,
    /// How long a login by browser counts, in milliseconds.
    pub login_ttl_ms: u64,
    /// The directories that push their people and groups.
    pub scim: Vec<Scim>,
    /// How often identity providers are asked whether a login still holds, in milliseconds.
    pub recheck_ms: u64,
    /// How much longer what a provider last said counts while it cannot be asked, in milliseconds.
    pub grace_ms: u64,
    /// The systems behind the gateway.
    pub targets: Vec<Target>,
    /// What is sensitive, and where.
    pub classify: Vec<Classification>,
    /// How long a request waits for approval, in milliseconds.
    pub approval_timeout_ms: u64,
    /// How far a permitted `infer` goes.
    pub infer: Infer,
    /// The limits that may be set.
    pub limits: Limits,
    /// The folder of policies.
    pub policies: PathBuf,
}

impl Config {
    /// The target of this name.
    pub fn target(&self, name: &str) -> Option<&Target> {
        self.targets.iter().find(|t| t.name.as_str() == name)
    }
}

/// The addresses to accept clients on. A protocol without one is off.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Listen {
    /// PostgreSQL.
    pub postgres: Option<SocketAddr>,
    /// The HTTP API.
    pub https: Option<SocketAddr>,
    /// Prometheus metrics.
    pub metrics: Option<SocketAddr>,
}

/// A certificate chain and its key, in PEM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFiles {
    /// The chain.
    pub certificate: PathBuf,
    /// The key.
    pub key: PathBuf,
}

/// Somebody with a role in the gateway itself, which gives no access to data: an administrator or an auditor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Admin {
    /// This user.
    User(String),
    /// Every member of this group.
    Group(String),
}

/// A directory that pushes its people and groups.
#[derive(Clone)]
pub struct Scim {
    /// Its name.
    pub name: String,
    /// The secret that it shows.
    pub token: Secret,
}

/// How an issuer is asked again about tokens that were shown without a login.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenCheck {
    /// It is asked for their state (RFC 7662).
    Introspection,
    /// They are shown to it, to be told about their user.
    Userinfo,
}

/// An OpenID Connect issuer.
#[derive(Clone)]
pub struct Oidc {
    /// Its name in messages and recordings.
    pub name: String,
    /// The issuer, character for character.
    pub issuer: String,
    /// The gateway's client id.
    pub client_id: String,
    /// The gateway's client secret; `None` for a public client.
    pub client_secret: Option<Secret>,
    /// Whom tokens may be meant for.
    pub audiences: Vec<String>,
    /// Other clients that may have asked for a token.
    pub authorized_parties: Vec<String>,
    /// The algorithms that the issuer may sign with, each of [`ALGORITHMS`].
    pub algorithms: Vec<&'static str>,
    /// Claims that every token must have, with the values that are accepted.
    pub required_claims: BTreeMap<String, Vec<String>>,
    /// What a login asks for, besides `openid`.
    pub scopes: Vec<String>,
    /// Where the user name is.
    pub user_claim: String,
    /// What is put before it.
    pub user_prefix: String,
    /// Where the groups are.
    pub groups_claim: String,
    /// Groups that everybody of this issuer is in.
    pub groups: BTreeSet<String>,
    /// What everybody of this issuer is, unless a token says otherwise.
    pub kind: IdentityKind,
    /// Where a token says so.
    pub kind_claim: Option<String>,
    /// How it is asked again about tokens that were shown without a login; `None` for not at all.
    pub token_check: Option<TokenCheck>,
    /// The certificates (PEM) that its own is checked against; `None` for the system's.
    pub ca: Option<PathBuf>,
}

/// A SAML identity provider.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Saml {
    /// Its name in messages, recordings and our addresses.
    pub name: String,
    /// The file of its metadata.
    pub metadata: PathBuf,
    /// Our own name with it; `None` for the address of our metadata.
    pub entity_id: Option<String>,
    /// The attribute that holds the user name; `None` for the `NameID`.
    pub user_attribute: Option<String>,
    /// What is put before it.
    pub user_prefix: String,
    /// The attribute that holds the groups.
    pub groups_attribute: Option<String>,
    /// Groups that everybody of this provider is in.
    pub groups: BTreeSet<String>,
    /// What has to be signed.
    pub want_signed: SamlSigned,
    /// Whether logins may begin at the provider.
    pub allow_idp_initiated: bool,
    /// Whether AES-CBC is accepted, in signed responses.
    pub allow_cbc: bool,
    /// The ways to log in there that are accepted; empty for any.
    pub authn_contexts: Vec<String>,
    /// Signs our requests.
    pub signing: Option<TlsFiles>,
    /// Open encrypted assertions.
    pub decryption: Vec<TlsFiles>,
}

/// What of a SAML provider's answer has to be signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SamlSigned {
    /// The response or the assertion.
    Either,
    /// The response.
    Response,
    /// The assertion.
    Assertion,
    /// Both.
    Both,
}

/// The algorithms that an issuer may be configured to sign with (RFC 7518, RFC 8037), the usual ones first.
pub const ALGORITHMS: [&str; 10] =
    ["RS256", "PS256", "ES256", "ES384", "EdDSA", "RS384", "RS512", "PS384", "PS512", "ES512"];

/// How many of them are accepted where the configuration names none.
pub(crate) const ALGORITHMS_USUAL: usize = 5;

/// One system behind the gateway.
#[derive(Clone)]
pub struct Target {
    /// Its name.
    pub name: TargetName,
    /// Where it is.
    pub address: Address,
    /// The database that its name alone stands for.
    pub database: String,
    /// Other databases on the same server that a client may name: patterns with `*`.
    pub databases: Vec<String>,
    /// The role that the gateway logs in as.
    pub username: RoleName,
    /// That role's password.
    pub password: Option<Secret>,
    /// How the connection to it is secured.
    pub tls: TlsMode,
    /// The certificates (PEM) that its own is checked against; `None` for the system's.
    pub ca: Option<PathBuf>,
    /// Its labels for policies.
    pub labels: BTreeMap<String, String>,
    /// User-defined functions that are declared free of labelled data, as `schema.function`.
    pub safe_functions: Vec<String>,
    /// For whom masks are computed at read.
    pub rewrites: Rewrites,
    /// Labels follow what is copied; otherwise copying to where a label is lost is refused.
    pub propagates: bool,
}

/// For whom masks are computed at read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rewrites {
    /// For everybody.
    pub everybody: bool,
    /// For the members of these groups, and whoever acts for one.
    pub groups: Vec<String>,
    /// For these kinds of identities.
    pub kinds: Vec<IdentityKind>,
}

impl Target {
    /// Whether a client may name this database.
    pub fn admits_database(&self, database: &str) -> bool {
        database == self.database || self.databases.iter().any(|pattern| matches_glob(pattern, database))
    }

    /// What policies may know about it.
    pub fn facts(&self) -> TargetFacts {
        TargetFacts { name: self.name.clone(), labels: self.labels.clone() }
    }
}

/// A host, by name or address, and a port.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Address {
    /// The host, without brackets.
    pub host: String,
    /// The port.
    pub port: u16,
}

/// The role on the target: fixed, or with `{user}` for the identity's own name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RoleName(pub(crate) String);

impl RoleName {
    /// The role for an identity.
    pub fn for_user(&self, user: &str) -> String {
        self.0.replace("{user}", user)
    }

    /// Whether identities have different roles.
    pub fn is_personal(&self) -> bool {
        self.0.contains("{user}")
    }
}

/// How the connection to a target is secured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TlsMode {
    /// In clear.
    Disable,
    /// Encrypted, with any certificate.
    Require,
    /// Encrypted, with a valid certificate for the host.
    VerifyFull,
}

/// What is sensitive, and where.
#[derive(Clone, Debug)]
pub struct Classification {
    /// The label.
    pub label: Label,
    /// The columns that carry it.
    pub columns: Vec<ColumnPattern>,
    /// What finds its values elsewhere.
    pub detect: Detect,
}

/// The detectors of a label.
#[derive(Clone, Debug, Default)]
pub struct Detect {
    /// The built-in ones.
    pub kinds: Vec<Kind>,
    /// The user-defined ones.
    pub custom: Vec<Arc<Custom>>,
}

impl Detect {
    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.kinds.is_empty() && self.custom.is_empty()
    }
}

/// What is recorded, and how surely.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Recording {
    /// When an event counts as written.
    pub durability: Durability,
    /// The bytes of a request's result that are recorded.
    pub result_bytes_max: u64,
}

/// When an event of a recording counts as written, before its request is forwarded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Durability {
    /// Once the operating system has it: survives a killed gateway.
    None,
    /// Once the disk has it: survives a power cut.
    Fsync,
}

/// How far a permitted `infer` goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Infer {
    /// Different values that an identity may compare one labelled column with in a window.
    pub probes_max: usize,
    /// The window, in milliseconds.
    pub window_ms: i64,
    /// The fewest values that go into an aggregate of a labelled column, and into its difference with an earlier one.
    pub group_min: u64,
}

/// The limits that may be set. Their defaults are in `lockgate_core::limits`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Sessions in all.
    pub sessions_max: usize,
    /// Connections that have not proven an identity, in all.
    pub preauth_max: usize,
    /// Connections that have not proven an identity, from one address.
    pub preauth_per_source_max: usize,
    /// Time from accept to a proven identity.
    pub login_ms_max: u64,
    /// Time to dial a target and log in.
    pub dial_ms_max: u64,
    /// How long a peer may take no bytes while some wait for it.
    pub write_stall_ms_max: u64,
    /// How long a stopping gateway waits for sessions to end.
    pub drain_ms_max: u64,
}
