//! One configured OpenID Connect provider: its keys, kept fresh, and the calls that logging in needs. This is the part with
//! sockets and tasks; what it decides by is in `jwt`, `metadata`, `keyring` and `grants`, which are pure.
//!
//! Asked are only the configured issuer and the addresses that its own description names, never one that a token brings.

mod grants;
mod http;
mod keyring;
mod metadata;

pub use grants::{Device, DevicePoll, Login, Tokens};
pub use metadata::Metadata;

use crate::json::Json;
use crate::jwt::{Expected, Jwt, JwtError, KeySet, Rules};
use crate::proven::Proven;
use http::Http;
use keyring::Keyring;
use lockgate_core::{Secret, Timestamp, is_same_name, limits};
use reqwest::Url;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// Why there are no keys before the first try.
const NOT_ASKED: &str = "it has not been asked yet";

/// How a provider is asked again about a token that somebody showed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenCheck {
    /// It is asked for the token's state (RFC 7662).
    Introspection,
    /// The token is shown to it, to be told about its user (OpenID Connect Core, 5.3).
    Userinfo,
}

/// All that is configured of a provider.
#[derive(Clone)]
pub struct Settings {
    /// What of its tokens is believed.
    pub rules: Rules,
    /// The gateway's own secret with it; `None` for a public client.
    pub client_secret: Option<Secret>,
    /// What a login asks for, besides `openid`.
    pub scopes: Vec<String>,
    /// How it is asked again about tokens that somebody showed; `None` for not at all.
    pub token_check: Option<TokenCheck>,
    /// The certificates (PEM) that its own is checked against; `None` for the system's.
    pub ca: Option<Vec<u8>>,
}

impl PartialEq for Settings {
    fn eq(&self, other: &Self) -> bool {
        let secret = |settings: &Settings| settings.client_secret.as_ref().map(|secret| secret.expose().to_owned());
        self.rules == other.rules
            && secret(self) == secret(other)
            && self.scopes == other.scopes
            && self.token_check == other.token_check
            && self.ca == other.ca
    }
}

/// Why a provider did not help. The text is for the log.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProviderError {
    /// It does not answer, or not as a provider does.
    #[error("the identity provider does not answer: {0}")]
    Unreachable(String),
    /// What answers has no certificate that counts for it.
    #[error("the identity provider's certificate is refused: {0}")]
    Untrusted(String),
    /// Its keys are not known, so that nothing can be proven by it now.
    #[error("the identity provider's keys are not known: {0}")]
    NoKeys(String),
    /// It answers what cannot be used.
    #[error("the identity provider's answer is refused: {0}")]
    Document(String),
    /// It says no.
    #[error("the identity provider refused: {error}{}", description.as_ref().map(|d| format!(" ({d})")).unwrap_or_default())]
    Refused {
        /// Its word for why (RFC 6749, 5.2).
        error: String,
        /// Its text about it.
        description: Option<String>,
    },
    /// It does not offer what was asked for.
    #[error("the identity provider offers no {0}")]
    NotOffered(&'static str),
    /// A token proves nothing.
    #[error(transparent)]
    Token(#[from] JwtError),
    /// The answer to a login is not this login's.
    #[error("this is not the answer to a login that was begun here: {0}")]
    NotThisLogin(&'static str),
}

/// A provider and what is known of it.
pub struct Provider {
    settings: Settings,
    http: Http,
    started: Instant,
    ring: Mutex<Keyring>,
    metadata: Mutex<Option<Arc<Metadata>>>,
    /// One at a time asks the provider for its keys; the others wait for what it hears.
    asking: tokio::sync::Mutex<()>,
}

impl Provider {
    /// A provider that has not been asked anything yet.
    ///
    /// # Errors
    /// When the issuer is no address to ask, or the certificates are unreadable.
    pub fn new(settings: Settings) -> Result<Self, ProviderError> {
        metadata::issuer_url(&settings.rules.issuer)?;
        let http = Http::new(&settings)?;
        Ok(Provider {
            settings,
            http,
            started: Instant::now(),
            ring: Mutex::default(),
            metadata: Mutex::default(),
            asking: tokio::sync::Mutex::default(),
        })
    }

    /// What is configured of it.
    pub const fn settings(&self) -> &Settings {
        &self.settings
    }

    /// What of its tokens is believed.
    pub const fn rules(&self) -> &Rules {
        &self.settings.rules
    }

    /// Keeps the keys fresh until nobody else holds the provider. Says in the log when it does not answer, and when it does again.
    pub async fn keep(self: Arc<Self>) {
        let weak = Arc::downgrade(&self);
        drop(self);
        loop {
            let Some(provider) = weak.upgrade() else { return };
            let wait = {
                let _one = provider.asking.lock().await;
                if provider.read_keys().await { limits::JWKS_REFRESH_MS } else { limits::JWKS_RETRY_MS }
            };
            drop(provider);
            tokio::time::sleep(Duration::from_millis(wait)).await;
        }
    }

    /// Proves a token that somebody showed.
    ///
    /// # Errors
    /// Why it proves nothing, or why that cannot be told now.
    pub async fn prove(&self, jwt: &Jwt<'_>, expected: Expected<'_>, now: Timestamp) -> Result<Proven, ProviderError> {
        jwt.plausible(self.rules(), expected, now)?;
        let keys = self.keys_for(jwt).await?;
        Ok(jwt.prove(self.rules(), &keys, expected, now)?)
    }

    /// Whether its keys are known, so that tokens can be proven; else why not.
    ///
    /// # Errors
    /// Why not.
    pub fn ready(&self) -> Result<(), String> {
        let ring = self.ring();
        match ring.keys(self.elapsed_ms()) {
            Some(_) => Ok(()),
            None => Err(ring.failure().unwrap_or(NOT_ASKED).to_owned()),
        }
    }

    /// What it says of itself, asked now unless it is known.
    ///
    /// # Errors
    /// When it cannot be had.
    pub async fn metadata(&self) -> Result<Arc<Metadata>, ProviderError> {
        let known = self.known_metadata().clone();
        match known {
            Some(metadata) => Ok(metadata),
            None => self.read_metadata().await,
        }
    }

    /// The keys that can check a token's signature: those that are known, or newer ones when these cannot.
    async fn keys_for(&self, jwt: &Jwt<'_>) -> Result<Arc<KeySet>, ProviderError> {
        let (known, tries) = {
            let ring = self.ring();
            (ring.keys(self.elapsed_ms()), ring.tries())
        };
        let unknown = match known {
            None => None,
            Some(keys) => match jwt.signed_by(self.rules(), &keys) {
                Ok(()) => return Ok(keys),
                Err(error @ JwtError::UnknownKey(_)) => Some(error),
                Err(error) => return Err(error.into()),
            },
        };
        self.ask_after(tries).await;
        let ring = self.ring();
        match (ring.keys(self.elapsed_ms()), unknown) {
            (Some(keys), _) => Ok(keys),
            (None, Some(unknown)) => Err(unknown.into()),
            (None, None) => Err(ProviderError::NoKeys(ring.failure().unwrap_or(NOT_ASKED).to_owned())),
        }
    }

    /// Asks for newer keys, unless somebody did since `tries` was looked at, or the allowance is used up.
    async fn ask_after(&self, tries: u64) {
        let _one = self.asking.lock().await;
        let may = {
            let mut ring = self.ring();
            ring.tries() == tries && ring.may_ask(self.elapsed_ms())
        };
        if may {
            self.read_keys().await;
        }
    }

    /// Reads description and keys; whether both were to be had.
    async fn read_keys(&self) -> bool {
        let outcome = self.fetch_keys().await;
        let worked = outcome.is_ok();
        let count = outcome.as_ref().map(KeySet::len).unwrap_or_default();
        let why = outcome.as_ref().err().map(ToString::to_string);
        let news = self.ring().heard(outcome.map_err(|error| error.to_string()), self.elapsed_ms());
        let provider = &self.rules().provider;
        match why {
            Some(why) if news => {
                tracing::error!(%provider, "{why}: its logins are refused once its last known keys are too old");
            }
            Some(why) => tracing::debug!(%provider, "{why}"),
            None if news => {
                tracing::info!(%provider, issuer = %self.rules().issuer, "identity provider answers, {count} keys")
            }
            None => {}
        }
        worked
    }

    async fn fetch_keys(&self) -> Result<KeySet, ProviderError> {
        let metadata = match self.read_metadata().await {
            Ok(metadata) => metadata,
            // A description may be missing for a while: its addresses hardly ever change.
            Err(error) => self.known_metadata().clone().ok_or(error)?,
        };
        let keys = KeySet::read(&self.http.document(&metadata.jwks, None).await?)?;
        if keys.is_empty() {
            let why = format!("it publishes {} keys, none of which can verify a token", keys.left_out());
            return Err(ProviderError::Document(why));
        }
        Ok(keys)
    }

    async fn read_metadata(&self) -> Result<Arc<Metadata>, ProviderError> {
        let issuer = &self.rules().issuer;
        let document = self.http.document(&metadata::document_url(issuer)?, None).await?;
        let metadata = Arc::new(Metadata::read(&document, issuer)?);
        *self.known_metadata() = Some(Arc::clone(&metadata));
        Ok(metadata)
    }

    fn ring(&self) -> MutexGuard<'_, Keyring> {
        self.ring.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn known_metadata(&self) -> MutexGuard<'_, Option<Arc<Metadata>>> {
        self.metadata.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn elapsed_ms(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}

/// The calls of a login, and those that look whether its outcome still holds.
impl Provider {
    /// Where to send a browser. The provider sends it back to `redirect` with a code and the login's state.
    ///
    /// # Errors
    /// When the provider cannot be asked, or has no browser login.
    pub async fn authorization_url(&self, login: &Login, redirect: &str) -> Result<String, ProviderError> {
        let metadata = self.metadata().await?;
        let endpoint = metadata.authorization.as_ref().ok_or(ProviderError::NotOffered("login by browser"))?;
        Ok(grants::authorization_url(endpoint, &self.settings, login, redirect))
    }

    /// Makes a proof of the code that a browser brought back, with the `state` and the `iss` beside it.
    ///
    /// # Errors
    /// When it is another login's answer, or the provider or its token are not believed.
    pub async fn exchange_code(
        &self,
        login: &Login,
        redirect: &str,
        (code, state, issuer): (&str, &str, Option<&str>),
        now: Timestamp,
    ) -> Result<Proven, ProviderError> {
        let metadata = self.metadata().await?;
        login.check_answer(state)?;
        // RFC 9207: without it, one provider's answer could be passed off as another's.
        match issuer {
            Some(issuer) if issuer != self.rules().issuer => {
                return Err(ProviderError::NotThisLogin("it is another provider's"));
            }
            None if metadata.answers_name_issuer => {
                return Err(ProviderError::NotThisLogin("it does not say whose it is"));
            }
            Some(_) | None => {}
        }
        let tokens = self.tokens(&grants::code(code, redirect, login)).await?;
        self.prove_login(tokens, Some(login.nonce()), now).await
    }

    /// Begins a login for a device without a browser.
    ///
    /// # Errors
    /// When the provider cannot be asked, or has no such login.
    pub async fn start_device(&self) -> Result<Device, ProviderError> {
        let metadata = self.metadata().await?;
        let endpoint = metadata.device.as_ref().ok_or(ProviderError::NotOffered("login by device code"))?;
        Device::read(&self.post(endpoint, &grants::device(&self.settings)).await?)
    }

    /// Asks once whether the person has finished. Wait [`Device::interval`] between two times.
    ///
    /// # Errors
    /// When the login is over without a proof.
    pub async fn poll_device(&self, device: &Device, now: Timestamp) -> Result<DevicePoll, ProviderError> {
        match self.tokens(&grants::device_code(device)).await {
            Ok(tokens) => Ok(DevicePoll::Proven(Box::new(self.prove_login(tokens, None, now).await?))),
            Err(ProviderError::Refused { error, .. }) if error == "authorization_pending" => Ok(DevicePoll::Pending),
            Err(ProviderError::Refused { error, .. }) if error == "slow_down" => Ok(DevicePoll::SlowDown),
            Err(error) => Err(error),
        }
    }

    /// Makes a fresh proof for the subject of an earlier one.
    ///
    /// # Errors
    /// When the provider says no, which it does for a person who was disabled, or the fresh proof is another subject's.
    pub async fn refresh(&self, earlier: &Proven, now: Timestamp) -> Result<Proven, ProviderError> {
        let refresh_token = earlier.refresh_token.as_ref().ok_or(ProviderError::NotOffered("refresh token"))?;
        let tokens = self.tokens(&grants::refresh(refresh_token)).await?;
        let mut proven = self.prove_login(tokens, None, now).await?;
        if proven.subject != earlier.subject {
            return Err(ProviderError::NotThisLogin("the fresh token is another subject's"));
        }
        // Unless it was replaced, the old one stays good (RFC 6749, 6).
        proven.refresh_token = proven.refresh_token.or_else(|| earlier.refresh_token.clone());
        Ok(proven)
    }

    /// Tokens for a service that speaks for itself, or in exchange for another's (RFC 8693): `form` is the grant's own fields.
    ///
    /// # Errors
    /// When the provider says no.
    pub async fn grant(&self, form: &[(&str, &str)]) -> Result<Tokens, ProviderError> {
        let fields = form.iter().map(|(name, value)| (*name, (*value).to_owned())).collect::<Vec<_>>();
        self.tokens(&fields).await
    }

    /// Whether the provider still counts a token as good (RFC 7662).
    ///
    /// # Errors
    /// When it cannot be asked.
    pub async fn introspect(&self, token: &Secret) -> Result<bool, ProviderError> {
        Ok(self.introspection(token).await?.is_some())
    }

    /// Whether a token that somebody showed still counts, and says of its holder what it said. One that cannot be asked about does
    /// until it expires.
    ///
    /// # Errors
    /// When the provider cannot be asked.
    pub async fn still_counts(&self, token: &Secret, proven: &Proven) -> Result<bool, ProviderError> {
        let told = match self.settings.token_check {
            None => return Ok(true),
            Some(TokenCheck::Introspection) => self.introspection(token).await?,
            Some(TokenCheck::Userinfo) => {
                let metadata = self.metadata().await?;
                let endpoint = metadata.userinfo.as_ref().ok_or(ProviderError::NotOffered("userinfo"))?;
                let body = self.http.shown_to(endpoint, token).await?;
                body.map(|body| Json::read_object(&body).map_err(ProviderError::Document)).transpose()?
            }
        };
        let Some(told) = told else { return Ok(false) };
        let subject = told.get("sub").and_then(Json::text);
        // Userinfo always names it (OpenID Connect Core, 5.3.2), introspection may.
        let same = match self.settings.token_check {
            Some(TokenCheck::Userinfo) => subject == Some(&proven.subject),
            Some(TokenCheck::Introspection) | None => subject.is_none_or(|subject| subject == proven.subject),
        };
        // It is told of the subject, whom a token with an actor is for.
        let (user, groups) = match proven.on_behalf_of.last() {
            None => (&proven.user, Some(&proven.groups)),
            Some(party) => (&party.user, party.groups.as_ref()),
        };
        let same_name = match crate::jwt::user_told(&told, self.rules()) {
            Ok(named) => named.is_none_or(|named| is_same_name(&named, user)),
            Err(_) => false,
        };
        let groups_now = crate::jwt::groups_told(&told, self.rules())?;
        Ok(same && same_name && groups_now.is_none_or(|now| groups == Some(&now)))
    }

    /// What is told of a token that counts.
    async fn introspection(&self, token: &Secret) -> Result<Option<crate::json::Object>, ProviderError> {
        let metadata = self.metadata().await?;
        let endpoint = metadata.introspection.as_ref().ok_or(ProviderError::NotOffered("introspection"))?;
        let body = self.post(endpoint, &[("token", token.expose().to_owned())]).await?;
        let answer = Json::read_object(&body).map_err(ProviderError::Document)?;
        match answer.get("active") {
            Some(Json::Bool(active)) => Ok(active.then_some(answer)),
            _ => Err(ProviderError::Document("its answer does not say whether the token is active".to_owned())),
        }
    }

    /// Gives a token back, so that it counts no longer (RFC 7009).
    ///
    /// # Errors
    /// When the provider cannot be asked, or takes none back.
    pub async fn revoke(&self, token: &Secret) -> Result<(), ProviderError> {
        let metadata = self.metadata().await?;
        let endpoint = metadata.revocation.as_ref().ok_or(ProviderError::NotOffered("revocation"))?;
        self.post(endpoint, &[("token", token.expose().to_owned())]).await.map(|_| ())
    }

    async fn tokens(&self, form: &[(&str, String)]) -> Result<Tokens, ProviderError> {
        let metadata = self.metadata().await?;
        let endpoint = metadata.token.as_ref().ok_or(ProviderError::NotOffered("tokens"))?;
        Tokens::read(&self.post(endpoint, form).await?)
    }

    /// Sends a form as the gateway's own client, and reads an error as one.
    async fn post(&self, endpoint: &Url, form: &[(&str, String)]) -> Result<Vec<u8>, ProviderError> {
        let metadata = self.metadata().await?;
        let (form, authorization) = grants::authenticated(&self.settings, metadata.secret_in_body, form);
        let answer = self.http.form(endpoint, form, authorization.as_ref()).await?;
        match answer.status.is_success() {
            true => Ok(answer.body),
            false => Err(grants::refusal(&answer.body, endpoint, answer.status)),
        }
    }

    /// The proof in the tokens of a login. What the ID token does not say of the person, userinfo may.
    async fn prove_login(&self, tokens: Tokens, nonce: Option<&str>, now: Timestamp) -> Result<Proven, ProviderError> {
        let id_token = tokens.id_token.ok_or(ProviderError::NotOffered("ID token"))?;
        let jwt = Jwt::read(id_token.expose())?;
        let expected = Expected::IdToken { nonce };
        let keys = self.keys_for(&jwt).await?;
        let metadata = self.metadata().await?;
        let mut proven = match (&metadata.userinfo, &tokens.access_token) {
            (Some(userinfo), Some(access)) if jwt.lacks_names(self.rules()) => {
                // Nobody is asked about a person on account of a token that is not the issuer's.
                jwt.signed_by(self.rules(), &keys)?;
                let body = self.http.document(userinfo, Some(access)).await?;
                let told = Json::read_object(&body).map_err(ProviderError::Document)?;
                // OpenID Connect Core, 5.3.2: else it is about somebody else.
                if told.get("sub").and_then(Json::text) != jwt.claimed_subject() {
                    return Err(ProviderError::Document("its userinfo is about another subject".to_owned()));
                }
                jwt.prove_with(self.rules(), &keys, expected, &told, now)?
            }
            _ => jwt.prove(self.rules(), &keys, expected, now)?,
        };
        proven.refresh_token = tokens.refresh_token;
        Ok(proven)
    }
}
