//! The identity providers of the configuration, and what they proved for sessions that live.
//!
//! A reload keeps a provider whose settings stayed the same, with the keys that it has; another one's keys are read anew, in a
//! task that ends with it. What was proven is remembered for as long as a session rests on it.

use super::{public_url, questions, saml};
use crate::when;
use anyhow::Context;
use lockgate_api::{BoxFuture, IdentityProviders, StillMay};
use lockgate_config::{Config, Oidc};
use lockgate_core::{Secret, Timestamp, limits};
use lockgate_identity::jwt::{Algorithm, ClaimPath, Expected, Jwt, Required, Rules};
use lockgate_identity::provider::{Settings, TokenCheck};
use lockgate_identity::{Proven, Provider};
use lockgate_session::wire::TokenIssuer;
use lockgate_store::{LOCAL, LoginInfo, TokenInfo, TokenLease, TokenState, Verified};
use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// Fewer proofs than these are not looked through for what may be forgotten.
const PROOFS_KEPT_MIN: usize = 1_024;

/// The providers of one version of the configuration.
#[derive(Default)]
pub struct Providers {
    all: Vec<Arc<Provider>>,
    saml: Vec<Arc<saml::Provider>>,
}

impl Providers {
    /// Makes the providers of a configuration; those that `before` has with the same settings are taken over. Nobody is asked yet.
    ///
    /// # Errors
    /// When a provider's certificates or metadata cannot be used.
    pub fn build(config: &Config, before: Option<&Providers>) -> anyhow::Result<Self> {
        let mut all = Vec::new();
        for oidc in &config.oidc {
            let about = || format!("identity provider `{}`", oidc.name);
            let settings = settings(oidc).with_context(about)?;
            let known = before.and_then(|before| before.all.iter().find(|known| *known.settings() == settings));
            all.push(match known {
                Some(known) => Arc::clone(known),
                None => Arc::new(Provider::new(settings).with_context(about)?),
            });
        }
        let url = public_url(config);
        let saml = config.saml.iter().map(|saml| {
            let about = || format!("identity provider `{}`", saml.name);
            saml::Provider::build(saml, &url).map(Arc::new).with_context(about)
        });
        Ok(Providers { all, saml: saml.collect::<anyhow::Result<_>>()? })
    }

    /// The provider of OpenID Connect with this name.
    pub fn oidc(&self, name: &str) -> Option<&Arc<Provider>> {
        self.all.iter().find(|provider| provider.rules().provider == name)
    }

    /// Whether the provider of a login is still configured: under its name, and the same party. Another one in its place has not
    /// proven anything of it, and is not shown what the first one gave.
    pub(super) fn knows(&self, login: &LoginInfo) -> bool {
        self.has(&login.provider, &login.issuer)
    }

    /// Whether a provider of this name is configured, and is this party.
    pub(super) fn has(&self, name: &str, issuer: &str) -> bool {
        name == LOCAL
            || self.oidc(name).is_some_and(|provider| provider.rules().issuer == issuer)
            || self.saml(name).is_some_and(|provider| provider.service().provider().entity_id() == issuer)
    }

    /// Whether tokens are still believed by these rules.
    fn believes(&self, rules: &Rules) -> bool {
        self.with_rules(rules).is_some()
    }

    /// The provider that believes tokens by these rules.
    pub(super) fn with_rules(&self, rules: &Rules) -> Option<&Arc<Provider>> {
        self.all.iter().find(|provider| provider.rules() == rules)
    }

    /// The SAML provider with this name.
    pub fn saml(&self, name: &str) -> Option<&Arc<saml::Provider>> {
        self.saml.iter().find(|provider| provider.name() == name)
    }

    /// The names of those that people sign in with, each with whether it is a SAML provider.
    pub fn names(&self) -> impl Iterator<Item = (&str, bool)> {
        let oidc = self.all.iter().map(|provider| (provider.rules().provider.as_str(), false));
        oidc.chain(self.saml.iter().map(|provider| (provider.name(), true)))
    }

    /// Keeps the keys of those fresh that `before` does not have.
    pub fn start(&self, before: Option<&Providers>) {
        for provider in &self.all {
            let kept = before.is_some_and(|before| before.all.iter().any(|known| Arc::ptr_eq(known, provider)));
            if !kept {
                tokio::spawn(Arc::clone(provider).keep());
            }
        }
    }

    /// Where a client can get a token by itself: the first provider.
    pub fn token_issuer(&self) -> Option<TokenIssuer> {
        let settings = self.all.first()?.settings();
        let discovery = format!("{}/.well-known/openid-configuration", settings.rules.issuer.trim_end_matches('/'));
        let scope =
            std::iter::once("openid").chain(settings.scopes.iter().map(String::as_str).filter(|s| *s != "openid"));
        Some(TokenIssuer { discovery, scope: scope.collect::<Vec<_>>().join(" ") })
    }

    /// Proves a token by the provider that it is from. Several may be of the same issuer: then the first whose audience and required
    /// claims the token meets, and that one alone. Were the next one asked where this one says no, or does not know the newest
    /// keys yet, somebody would be in other groups than the configuration wants.
    async fn prove(&self, token: &str, now: Timestamp) -> Result<(Proven, Arc<Provider>), String> {
        let jwt = Jwt::read(token).map_err(|error| error.to_string())?;
        let issuer = jwt.claimed_issuer().unwrap_or_default();
        let mut why = Vec::new();
        for provider in self.all.iter().filter(|provider| provider.rules().issuer == issuer) {
            let refused = |error: &dyn std::fmt::Display| format!("{}: {error}", provider.rules().provider);
            if jwt.is_for(provider.rules(), Expected::Bearer) {
                let proven = provider.prove(&jwt, Expected::Bearer, now).await;
                return proven.map(|proven| (proven, Arc::clone(provider))).map_err(|error| refused(&error));
            }
            why.extend(jwt.plausible(provider.rules(), Expected::Bearer, now).err().map(|error| refused(&error)));
        }
        match why.is_empty() {
            true => Err(format!("the token's issuer `{}` is not configured", lockgate_identity::jwt::shown(issuer))),
            false => Err(why.join("; ")),
        }
    }
}

fn settings(oidc: &Oidc) -> anyhow::Result<Settings> {
    let path = |written: &str| ClaimPath::new(written).with_context(|| format!("`{written}` is not a claim"));
    let algorithm = |name: &&str| Algorithm::from_name(name).with_context(|| format!("`{name}` is not known"));
    let required = |(claim, values): (&String, &Vec<String>)| {
        Ok::<_, anyhow::Error>(Required { claim: path(claim)?, values: values.clone() })
    };
    let ca = oidc.ca.as_ref().map(|file| std::fs::read(file).with_context(|| format!("{}", file.display())));
    Ok(Settings {
        rules: Rules {
            provider: oidc.name.clone(),
            issuer: oidc.issuer.clone(),
            client_id: oidc.client_id.clone(),
            audiences: oidc.audiences.clone(),
            authorized_parties: oidc.authorized_parties.clone(),
            algorithms: oidc.algorithms.iter().map(algorithm).collect::<anyhow::Result<_>>()?,
            required: oidc.required_claims.iter().map(required).collect::<anyhow::Result<_>>()?,
            user_claim: path(&oidc.user_claim)?,
            user_prefix: oidc.user_prefix.clone(),
            groups_claim: path(&oidc.groups_claim)?,
            groups: oidc.groups.clone(),
            kind: oidc.kind,
            kind_claim: oidc.kind_claim.as_deref().map(path).transpose()?,
        },
        client_secret: oidc.client_secret.clone(),
        scopes: oidc.scopes.clone(),
        token_check: oidc.token_check.map(|check| match check {
            lockgate_config::TokenCheck::Introspection => TokenCheck::Introspection,
            lockgate_config::TokenCheck::Userinfo => TokenCheck::Userinfo,
        }),
        ca: ca.transpose()?,
    })
}

/// What providers proved, by the id of the proof, for as long as a session or a login rests on it.
#[derive(Default)]
pub struct Proofs(Mutex<Remembered>);

#[derive(Default)]
struct Remembered {
    proofs: HashMap<String, Arc<Proof>>,
    /// How many there were left when it was last looked what may be forgotten.
    kept: usize,
}

impl Remembered {
    /// Forgets what nothing rests on, whenever there is twice as much as was kept the last time.
    fn tidy(&mut self, now: Timestamp) {
        if self.proofs.len() < limits::PROOFS_MAX
            && self.proofs.len() < self.kept.saturating_mul(2).max(PROOFS_KEPT_MIN)
        {
            return;
        }
        let login_ms = i64::try_from(limits::LOGIN_MS_MAX).unwrap_or(i64::MAX);
        self.proofs.retain(|_, proof| {
            let shown = Timestamp::from_millis(proof.shown_ms.load(Ordering::Acquire));
            // Between its proof and its session a login holds nothing here.
            Arc::strong_count(proof) > 1 || now.millis_since(shown) <= login_ms
        });
        self.kept = self.proofs.len();
    }
}

/// One proof.
pub struct Proof {
    proven: Proven,
    /// By what it was believed.
    rules: Rules,
    /// Set when the configuration does not believe it any more.
    over: AtomicBool,
    /// When it was last shown.
    shown_ms: AtomicI64,
    /// The token, where its provider is asked about it again.
    token: Option<Secret>,
    /// When the provider last said that it counts; 0 for never.
    judged_ms: AtomicI64,
    /// When the provider was last asked.
    asked_ms: AtomicI64,
    /// How often it was asked since it last said so.
    in_vain: AtomicU32,
}

impl Proof {
    /// How long ago that was. A clock that was set back makes nothing younger.
    fn age_ms(&self, at: &AtomicI64, now: Timestamp) -> i64 {
        let age = now.millis_since(Timestamp::from_millis(at.load(Ordering::Acquire)));
        if age < 0 { i64::MAX } else { age }
    }

    /// Whether its turn to be asked about has come again, where it was asked about in vain.
    fn waited(&self, now: Timestamp) -> bool {
        match self.in_vain.load(Ordering::Acquire) {
            0 => true,
            times => u128::try_from(self.age_ms(&self.asked_ms, now))
                .is_ok_and(|age| age > questions::wait(times).as_millis()),
        }
    }

    /// It is asked about now.
    fn ask(&self, now: Timestamp) {
        self.asked_ms.store(now.millis(), Ordering::Release);
        self.in_vain.fetch_add(1, Ordering::AcqRel);
    }

    /// Its provider says that it counts.
    fn judge(&self, now: Timestamp) {
        self.judged_ms.store(now.millis(), Ordering::Release);
        self.in_vain.store(0, Ordering::Release);
    }

    /// Its name.
    pub(super) fn id(&self) -> &str {
        &self.proven.id
    }

    /// By what it was believed.
    pub(super) fn rules(&self) -> &Rules {
        &self.rules
    }

    fn state(&self, now: Timestamp) -> TokenState {
        match self.proven.expires > now {
            true if self.over.load(Ordering::Acquire) => TokenState::Revoked,
            true => TokenState::Live,
            false => TokenState::Expired,
        }
    }
}

impl Proofs {
    /// Remembers a proof. Where there are too many to remember there is nothing to rest a session on.
    fn add(
        &self,
        proven: Proven,
        rules: Rules,
        token: Option<Secret>,
        now: Timestamp,
    ) -> Result<Arc<Proof>, &'static str> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // One that was taken back is not woken up: what rested on it has ended. A fresh one takes its place.
        let is_good = |known: &&Arc<Proof>| {
            known.rules == rules && known.token.is_some() == token.is_some() && !known.over.load(Ordering::Acquire)
        };
        if let Some(known) = all.proofs.get(&proven.id).filter(is_good) {
            known.shown_ms.store(now.millis(), Ordering::Release);
            return Ok(Arc::clone(known));
        }
        all.tidy(now);
        if all.proofs.len() >= limits::PROOFS_MAX {
            return Err("too many tokens of identity providers are in use");
        }
        let proof = Arc::new(Proof {
            shown_ms: AtomicI64::new(now.millis()),
            over: AtomicBool::new(false),
            judged_ms: AtomicI64::new(0),
            asked_ms: AtomicI64::new(0),
            in_vain: AtomicU32::new(0),
            rules,
            proven,
            token,
        });
        all.proofs.insert(proof.proven.id.clone(), Arc::clone(&proof));
        Ok(proof)
    }

    /// Those that sessions rest on and whose provider was last asked long ago, the longest ago first.
    pub(super) fn due(&self, recheck_ms: i64, now: Timestamp) -> Vec<Arc<Proof>> {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let is_due = |proof: &&Arc<Proof>| {
            Arc::strong_count(proof) > 1
                && proof.token.is_some()
                && proof.state(now) == TokenState::Live
                && proof.age_ms(&proof.judged_ms, now) > recheck_ms
                && proof.waited(now)
        };
        let mut due: Vec<Arc<Proof>> = all.proofs.values().filter(is_due).cloned().collect();
        due.sort_by_key(|proof| proof.asked_ms.load(Ordering::Acquire));
        due
    }

    /// Takes back what these providers would not have believed.
    pub(super) fn judge_again(&self, providers: &Providers) {
        for proof in self.0.lock().unwrap_or_else(PoisonError::into_inner).proofs.values() {
            if !providers.believes(&proof.rules) {
                proof.over.store(true, Ordering::Release);
            }
        }
    }

    fn find(&self, id: &str) -> Option<Arc<Proof>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).proofs.get(id).cloned()
    }
}

/// What a session rests on.
pub enum Lease {
    /// A token of Lockgate's own.
    Token(TokenLease),
    /// A provider's proof.
    Proof(Arc<Proof>),
}

impl Lease {
    /// Whether it still counts. Never waits.
    pub fn state(&self, now: Timestamp) -> TokenState {
        match self {
            Lease::Token(lease) => lease.state(now),
            Lease::Proof(proof) => proof.state(now),
        }
    }
}

impl super::Gateway {
    /// Proves a token of a provider and remembers the proof.
    pub(super) async fn prove_by_provider(&self, token: &str, now: Timestamp) -> Result<Proven, String> {
        let providers = self.providers.load_full();
        let (proven, provider) = providers.prove(token, now).await?;
        let rules = provider.rules().clone();
        let kept = provider.settings().token_check.map(|_| Secret::new(token.to_owned()));
        let proof = self.proofs.add(proven.clone(), rules.clone(), kept, now)?;
        self.ask_about_proof(&proof, &provider, now).await?;
        // The configuration may have changed while the provider was asked, and the proof was not there to be judged again.
        match self.providers.load().believes(&rules) {
            true => Ok(proven),
            false => Err(format!("{}: the provider's settings changed meanwhile", proven.provider)),
        }
    }

    /// Asks the provider whether a token still counts, unless it said so a moment ago. What it said before counts for
    /// `identity.grace` while it cannot be asked; a token that it has said nothing of yet proves nothing then.
    pub(super) async fn ask_about_proof(
        &self,
        proof: &Proof,
        provider: &Provider,
        now: Timestamp,
    ) -> Result<(), String> {
        let Some(token) = &proof.token else { return Ok(()) };
        let config = self.config();
        let (recheck_ms, grace_ms) = (config.recheck_ms, config.grace_ms);
        let within = |ms: u64| {
            proof.judged_ms.load(Ordering::Acquire) != 0
                && u64::try_from(proof.age_ms(&proof.judged_ms, now)).is_ok_and(|age| age <= ms)
        };
        if within(recheck_ms) {
            return Ok(());
        }
        proof.ask(now);
        let (id, name) = (&proof.proven.id, &proof.proven.provider);
        match provider.still_counts(token, &proof.proven).await {
            Ok(true) => {
                proof.judge(when::now());
                Ok(())
            }
            Ok(false) => {
                proof.over.store(true, Ordering::Release);
                Err(format!("{name}: the provider says that the token counts no more, or of somebody else"))
            }
            Err(error) if within(recheck_ms.saturating_add(grace_ms)) => {
                tracing::warn!(proof = %id, provider = %name, "a token counts as it was last judged: {error}");
                Ok(())
            }
            Err(error) => {
                proof.over.store(true, Ordering::Release);
                Err(format!("{name}: the provider cannot be asked about the token: {error}"))
            }
        }
    }

    /// When the proof with this token id was made, where it is a provider's and as far as it is known.
    pub(super) fn proof_made(&self, id: &str) -> Option<Option<Timestamp>> {
        id.contains(':').then(|| self.proofs.find(id).and_then(|proof| proof.proven.issued))
    }

    /// What a session with this token id rests on, where a provider proved it.
    pub(super) fn lease_of_proof(&self, id: &str, now: Timestamp) -> Option<Result<Lease, String>> {
        if !id.contains(':') {
            return None;
        }
        let Some(proof) = self.proofs.find(id) else { return Some(Err(format!("the proof `{id}` is forgotten"))) };
        match proof.state(now) {
            TokenState::Live => Some(Ok(Lease::Proof(proof))),
            TokenState::Expired => Some(Err(format!("the token `{id}` expired at {}", proof.proven.expires))),
            _ => Some(Err(format!("the token `{id}` is not believed any more"))),
        }
    }
}

impl IdentityProviders for super::Gateway {
    fn prove<'a>(&'a self, token: &'a str, now: Timestamp) -> BoxFuture<'a, Option<Result<Verified, String>>> {
        Box::pin(async move {
            if !Jwt::resembles(token) {
                return None;
            }
            Some(self.prove_by_provider(token, now).await.map(|proven| Verified {
                identity: proven.identity(),
                info: TokenInfo {
                    id: proven.id,
                    user: proven.user,
                    groups: proven.groups,
                    kind: proven.kind,
                    on_behalf_of: proven.on_behalf_of,
                    targets: None,
                    actions: None,
                    created: proven.issued.unwrap_or(now),
                    expires: proven.expires,
                    revoked_at: None,
                    last_used: Some(now),
                    login: None,
                },
            }))
        })
    }

    fn still_counts(&self, id: &str) -> Option<StillMay> {
        let lease = self.lease_of_proof(id, when::now())?.ok()?;
        Some(Box::new(move || lease.state(when::now()) == TokenState::Live))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;
    use lockgate_core::IdentityKind;

    fn at(millis: i64) -> Timestamp {
        Timestamp::from_millis(millis)
    }

    fn rules(provider: &str) -> Rules {
        Rules {
            provider: provider.to_owned(),
            issuer: "https://idp.example.com".to_owned(),
            client_id: "lockgate".to_owned(),
            audiences: Vec::new(),
            authorized_parties: Vec::new(),
            algorithms: Vec::new(),
            required: Vec::new(),
            user_claim: ClaimPath::new("email").unwrap(),
            user_prefix: String::new(),
            groups_claim: ClaimPath::new("groups").unwrap(),
            groups: [].into(),
            kind: IdentityKind::Human,
            kind_claim: None,
        }
    }

    fn proven() -> Proven {
        Proven {
            provider: "corp".to_owned(),
            issuer: "https://idp.example.com".to_owned(),
            subject: "1".to_owned(),
            user: "alice".to_owned(),
            groups: [].into(),
            kind: IdentityKind::Human,
            on_behalf_of: Vec::new(),
            issued: None,
            expires: at(1_000),
            id: "corp:1".to_owned(),
            refresh_token: None,
        }
    }

    #[test]
    fn what_nothing_rests_on_is_forgotten() {
        let proofs = Proofs::default();
        let held: Vec<_> = (0..3_000)
            .map(|n| {
                let proven = Proven { id: format!("corp:{n}"), ..proven() };
                let proof = proofs.add(proven, rules("corp"), None, at(n * 1_000)).unwrap();
                (n < 10).then_some(proof)
            })
            .collect();
        let all = proofs.0.lock().unwrap().proofs.len();
        assert!(all < 2 * PROOFS_KEPT_MIN, "{all}");
        drop(held);
        for n in 0..10 {
            assert!(proofs.find(&format!("corp:{n}")).is_some(), "a session rests on it");
        }
        assert!(proofs.find("corp:2999").is_some(), "one that was just shown may become a session");
        assert!(proofs.find("corp:20").is_none());
    }

    #[test]
    fn a_provider_that_comes_back_is_believed_again_and_what_ended_stays_ended() {
        let proofs = Proofs::default();
        proofs.add(proven(), rules("corp"), None, at(1)).unwrap();
        let before = proofs.find("corp:1").unwrap();
        assert_eq!(before.state(at(2)), TokenState::Live);
        proofs.judge_again(&Providers::default());
        assert_eq!(before.state(at(2)), TokenState::Revoked);
        proofs.add(proven(), rules("corp"), None, at(3)).unwrap();
        assert_eq!(proofs.find("corp:1").unwrap().state(at(4)), TokenState::Live);
        assert_eq!(before.state(at(4)), TokenState::Revoked, "a session that rested on it has ended");
    }
}
