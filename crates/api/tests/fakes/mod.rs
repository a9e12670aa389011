//! What the pages need of a gateway and have no use for here, and an identity provider that believes what it is told.

use lockgate_api::{
    Access, Answer, Begun, BoxFuture, Choice, Detokenize, Detokenizer, EventStream, EventView, JournalReader,
    LiveSessions, NoVerifier, NotDetokenized, NotProven, NotSignedIn, Passwords, Protocol, Readiness, SignIn, StillMay,
    TargetInfo, TokenValues, Way,
};
use lockgate_core::{Identity, IdentityKind, Secret, SessionId, TargetName, Timestamp};
use lockgate_identity::Proven;
use lockgate_store::{LoginInfo, NewLogin, OneUse, Store};
use std::collections::{BTreeSet, HashSet};
use std::net::IpAddr;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

/// No target, no session, no recording.
pub struct Nothing;

impl Access for Nothing {
    fn is_admin(&self, _: &Identity) -> bool {
        false
    }
    fn may_connect(&self, _: &Identity, _: &TargetName, _: Timestamp) -> bool {
        false
    }
    fn targets(&self) -> Vec<TargetInfo> {
        Vec::new()
    }
    /// A directory has switched `otto` off.
    fn stand(&self, proven: Identity) -> BoxFuture<'_, Result<Identity, String>> {
        Box::pin(async move {
            match proven.involves("otto") {
                true => Err("`otto` is disabled in `scim:corp`".to_owned()),
                false => Ok(proven),
            }
        })
    }
}

impl LiveSessions for Nothing {
    fn kill(&self, _: SessionId, _: &str) -> bool {
        false
    }
    fn live(&self) -> HashSet<SessionId> {
        HashSet::new()
    }
}

impl JournalReader for Nothing {
    fn events(
        &self,
        _: SessionId,
        _: EventView,
        _: Option<StillMay>,
    ) -> BoxFuture<'_, Result<Option<EventStream>, String>> {
        Box::pin(async { Ok(None) })
    }
}

impl Detokenizer for Nothing {
    fn detokenize(&self, _: &Detokenize<'_>) -> Result<Vec<TokenValues>, NotDetokenized> {
        Err(NotDetokenized::NoLabel)
    }
}

impl Readiness for Nothing {
    fn ready(&self) -> BoxFuture<'_, Result<(), String>> {
        Box::pin(async { Ok(()) })
    }
}

impl Passwords for Nothing {
    fn prove<'a>(&'a self, user: &'a str, password: &'a Secret, _: IpAddr) -> BoxFuture<'a, Result<Proven, NotProven>> {
        Box::pin(async move {
            match (user, password.expose()) {
                ("lena", "right") => Ok(Proven {
                    provider: "local".to_owned(),
                    issuer: "local".to_owned(),
                    subject: "1".to_owned(),
                    user: user.to_owned(),
                    groups: BTreeSet::new(),
                    kind: IdentityKind::Human,
                    on_behalf_of: Vec::new(),
                    issued: None,
                    expires: Timestamp::from_millis(i64::MAX),
                    id: "local:1".to_owned(),
                    refresh_token: None,
                }),
                ("lena", "soon") => Err(NotProven::TooSoon(7)),
                _ => Err(NotProven::Wrong),
            }
        })
    }

    fn verifier<'a>(&'a self, _: &'a str, _: &'a Secret) -> BoxFuture<'a, Result<Secret, NoVerifier>> {
        Box::pin(async { Err(NoVerifier::Busy) })
    }
}

/// Its code is the user's name, and its state a number.
pub struct Idp {
    store: Store,
    begun: AtomicU32,
    away: AtomicBool,
    refusals: Mutex<Vec<String>>,
}

impl Idp {
    pub fn new(store: Store) -> Self {
        Idp { store, begun: AtomicU32::new(0), away: AtomicBool::new(false), refusals: Mutex::default() }
    }

    pub fn go_away(&self) {
        self.away.store(true, Ordering::Relaxed);
    }

    pub fn refusals(&self) -> Vec<String> {
        self.refusals.lock().unwrap().clone()
    }
}

impl SignIn for Idp {
    fn choices(&self) -> Vec<Choice> {
        vec![
            Choice { name: "corp".to_owned(), protocol: Protocol::Oidc },
            Choice { name: "corp-saml".to_owned(), protocol: Protocol::Saml },
        ]
    }

    fn begin<'a>(
        &'a self,
        protocol: Protocol,
        name: &'a str,
        _: Timestamp,
    ) -> BoxFuture<'a, Result<Begun, NotSignedIn>> {
        Box::pin(async move {
            if self.away.load(Ordering::Relaxed) {
                return Err(NotSignedIn::Away("nobody is at home".to_owned()));
            }
            let state = format!("state{}", self.begun.fetch_add(1, Ordering::Relaxed));
            let way = match (protocol, name) {
                (Protocol::Oidc, "corp") => Way::Redirect(format!("https://idp.example.com/auth?state={state}")),
                (Protocol::Saml, "corp-saml") => Way::Post {
                    action: "https://idp.example.com/sso".to_owned(),
                    fields: vec![("SAMLRequest", state.clone())],
                },
                _ => return Err(NotSignedIn::NoProvider),
            };
            Ok(Begun { way, memory: Secret::new(state) })
        })
    }

    fn finish<'a>(
        &'a self,
        name: &'a str,
        memory: Option<&'a Secret>,
        answer: Answer<'a>,
        now: Timestamp,
    ) -> BoxFuture<'a, Result<NewLogin, NotSignedIn>> {
        Box::pin(async move {
            let refused = |why: &str| NotSignedIn::Refused(why.to_owned());
            let memory = memory.ok_or_else(|| refused("unsolicited"))?.expose();
            let (user, state) = match answer {
                Answer::Oidc { code, state, .. } => (code, state),
                Answer::Saml { response } => response.split_once('.').ok_or_else(|| refused("malformed"))?,
            };
            if state != memory {
                return Err(refused("another sign-in's"));
            }
            match self.store.use_once("state", state, now.plus_millis(60_000), now).await {
                Ok(OneUse::First) => {}
                _ => return Err(refused("answered before")),
            }
            Ok(NewLogin {
                provider: name.to_owned(),
                issuer: "https://idp.example.com".to_owned(),
                subject: user.to_owned(),
                user: user.to_owned(),
                groups: BTreeSet::new(),
                kind: IdentityKind::Human,
                on_behalf_of: Vec::new(),
                source: String::new(),
                expires: now.plus_millis(600_000),
                refresh_token: None,
            })
        })
    }

    fn login_expires(&self, now: Timestamp) -> Timestamp {
        now.plus_millis(600_000)
    }

    fn metadata(&self, name: &str) -> Option<String> {
        (name == "corp-saml").then(|| "<EntityDescriptor/>".to_owned())
    }

    fn signed_in(&self, _: &LoginInfo) {}

    fn refused(&self, _: IpAddr, _: &str, reason: &str) {
        self.refusals.lock().unwrap().push(reason.to_owned());
    }
}
