//! The identity providers of the configuration, and what they proved for sessions that live.
//!
//! A reload keeps a provider whose settings stayed the same, with the keys that it has; another one's keys are read anew, in a
//! task that ends with it. What was proven is remembered for as long as a session rests on it.

use super::{public_url, saml};
use crate::when;
use anyhow::Context;
use lockgate_api::{BoxFuture, IdentityProviders, StillMay};
use lockgate_config::{Config, Oidc};
use lockgate_core::{Timestamp, limits};
use lockgate_identity::jwt::{Algorithm, ClaimPath, Expected, Jwt, Required, Rules};
use lockgate_identity::provider::Settings;
use lockgate_identity::{Proven, Provider};
use lockgate_session::wire::TokenIssuer;
use lockgate_store::{LOCAL, TokenInfo, TokenLease, TokenState, Verified};
use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

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

    /// Whether logins by this provider are still believed.
    pub(super) fn knows(&self, name: &str) -> bool {
        name == LOCAL || self.oidc(name).is_some() || self.saml(name).is_some()
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

    /// Proves a token by the provider that it is from. Several may be of the same issuer: then the first counts whose rules the
    /// token meets.
    async fn prove(&self, token: &str, now: Timestamp) -> Result<(Proven, Rules), String> {
        let jwt = Jwt::read(token).map_err(|error| error.to_string())?;
        let issuer = jwt.claimed_issuer().unwrap_or_default();
        let mut why = Vec::new();
        for provider in self.all.iter().filter(|provider| provider.rules().issuer == issuer) {
            match provider.prove(&jwt, Expected::Bearer, now).await {
                Ok(proven) => return Ok((proven, provider.rules().clone())),
                Err(error) => why.push(format!("{}: {error}", provider.rules().provider)),
            }
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
        ca: ca.transpose()?,
    })
}

/// What providers proved, by the id of the proof, for as long as a session or a login rests on it.
#[derive(Default)]
pub struct Proofs(Mutex<HashMap<String, Arc<Proof>>>);

/// One proof.
pub struct Proof {
    proven: Proven,
    /// By what it was believed.
    rules: Rules,
    /// Set when the configuration does not believe it any more.
    over: AtomicBool,
    /// When it was last shown.
    shown_ms: AtomicI64,
}

impl Proof {
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
    fn add(&self, proven: Proven, rules: Rules, now: Timestamp) -> Result<(), &'static str> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = all.get(&proven.id).filter(|known| known.rules == rules) {
            known.shown_ms.store(now.millis(), Ordering::Release);
            return Ok(());
        }
        if all.len() >= limits::PROOFS_MAX {
            let login_ms = i64::try_from(limits::LOGIN_MS_MAX).unwrap_or(i64::MAX);
            all.retain(|_, proof| {
                let shown = Timestamp::from_millis(proof.shown_ms.load(Ordering::Acquire));
                // Between its proof and its session a login holds nothing here.
                Arc::strong_count(proof) > 1 || now.millis_since(shown) <= login_ms
            });
        }
        if all.len() >= limits::PROOFS_MAX {
            return Err("too many tokens of identity providers are in use");
        }
        let proof = Proof { shown_ms: AtomicI64::new(now.millis()), over: AtomicBool::new(false), rules, proven };
        all.insert(proof.proven.id.clone(), Arc::new(proof));
        Ok(())
    }

    /// Takes back what these providers would not have believed.
    pub(super) fn judge_again(&self, providers: &Providers) {
        for proof in self.0.lock().unwrap_or_else(PoisonError::into_inner).values() {
            if !providers.all.iter().any(|provider| *provider.rules() == proof.rules) {
                proof.over.store(true, Ordering::Release);
            }
        }
    }

    fn find(&self, id: &str) -> Option<Arc<Proof>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(id).cloned()
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
        let (proven, rules) = providers.prove(token, now).await?;
        self.proofs.add(proven.clone(), rules, now)?;
        Ok(proven)
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
