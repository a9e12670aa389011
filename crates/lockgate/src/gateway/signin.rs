//! Signs people in with a browser, for the pages of the API: out to a provider of the configuration, and back with a proof that
//! counts once.

use super::{Gateway, public_url};
use lockgate_api::{Answer, Begun, BoxFuture, Choice, NotSignedIn, Protocol, SignIn, Way, login_of};
use lockgate_core::{IdentityKind, Secret, Timestamp, limits};
use lockgate_identity::ProviderError;
use lockgate_identity::provider::Login;
use lockgate_saml::{Expected, Outgoing, RequestId, Use};
use lockgate_store::{LoginInfo, NewLogin, OneUse};
use std::collections::HashSet;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};

/// What states of OpenID Connect are remembered as.
const OIDC_STATE: &str = "oidc state";
/// What is said to the second answer.
const ANSWERED: &str = "this sign-in was answered before";

/// The answers that a provider is asked about now, by their states: each once at a time.
#[derive(Default)]
pub(super) struct Answers(Mutex<HashSet<String>>);

/// One of them, as long as it is there.
struct Turn<'a> {
    answers: &'a Answers,
    state: String,
}

impl Answers {
    fn begin(&self, state: &str) -> Option<Turn<'_>> {
        let mut under_way = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        under_way.insert(state.to_owned()).then(|| Turn { answers: self, state: state.to_owned() })
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.answers.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.state);
    }
}

impl SignIn for Gateway {
    fn choices(&self) -> Vec<Choice> {
        let protocol = |saml| if saml { Protocol::Saml } else { Protocol::Oidc };
        let providers = self.providers.load();
        providers.names().map(|(name, saml)| Choice { name: name.to_owned(), protocol: protocol(saml) }).collect()
    }

    fn begin<'a>(
        &'a self,
        protocol: Protocol,
        name: &'a str,
        now: Timestamp,
    ) -> BoxFuture<'a, Result<Begun, NotSignedIn>> {
        Box::pin(async move {
            let providers = self.providers.load_full();
            match protocol {
                Protocol::Oidc => {
                    let provider = providers.oidc(name).ok_or(NotSignedIn::NoProvider)?;
                    let login = Login::begin().map_err(|error| not_signed_in(name, &error))?;
                    let address = provider.authorization_url(&login, &self.redirect(name)).await;
                    let address = address.map_err(|error| not_signed_in(name, &error))?;
                    Ok(Begun { way: Way::Redirect(address), memory: login.to_kept() })
                }
                Protocol::Saml => {
                    let provider = providers.saml(name).ok_or(NotSignedIn::NoProvider)?;
                    let mut random = [0; 20];
                    aws_lc_rs::rand::fill(&mut random)
                        .map_err(|_| NotSignedIn::Away("there are no random bytes".to_owned()))?;
                    let id = RequestId::from_random(random);
                    let outgoing = provider.service().request(&id, None, now);
                    let way = match outgoing.map_err(|error| NotSignedIn::Away(format!("{name}: {error}")))? {
                        Outgoing::Redirect(address) => Way::Redirect(address),
                        Outgoing::Post { action, fields } => Way::Post { action, fields },
                    };
                    Ok(Begun { way, memory: Secret::new(id.as_str().to_owned()) })
                }
            }
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
            match answer {
                Answer::Oidc { code, state, issuer } => {
                    self.finish_oidc(name, memory, (code, state, issuer), now).await
                }
                Answer::Saml { response } => self.finish_saml(name, memory, response, now).await,
            }
        })
    }

    fn login_expires(&self, now: Timestamp) -> Timestamp {
        now.plus_millis(i64::try_from(self.config().login_ttl_ms).unwrap_or(i64::MAX))
    }

    fn metadata(&self, name: &str) -> Option<String> {
        self.providers.load().saml(name).map(|provider| provider.service().metadata())
    }

    fn signed_in(&self, login: &LoginInfo) {
        let (provider, source) = (&login.provider, &login.source);
        let subject = lockgate_identity::jwt::shown(&login.subject);
        tracing::info!(user = ?login.user, %provider, %subject, %source, login = %login.id, "signed in with a browser");
    }

    fn refused(&self, source: IpAddr, user: &str, reason: &str) {
        self.note_refusal("https", source, &source, (user, ""), reason);
    }
}

impl Gateway {
    /// Where a provider sends the browser back to. Each has its own, so that one cannot pass another's answer off.
    fn redirect(&self, name: &str) -> String {
        format!("{}/oidc/{name}/callback", public_url(&self.config()))
    }

    async fn finish_oidc(
        &self,
        name: &str,
        memory: Option<&Secret>,
        brought: (&str, &str, Option<&str>),
        now: Timestamp,
    ) -> Result<NewLogin, NotSignedIn> {
        let providers = self.providers.load_full();
        let provider = providers.oidc(name).ok_or(NotSignedIn::NoProvider)?;
        let refused = |why: &str| NotSignedIn::Refused(format!("{name}: {why}"));
        let login = memory.and_then(Login::from_kept).ok_or_else(|| refused("no sign-in was begun in this browser"))?;
        // Only what the provider vouched for is remembered: strangers, who can begin sign-ins and answer them as they like, would
        // fill that memory, and nobody could be signed in any more. Nor is the provider asked about one answer twice.
        let _turn = self.answers.begin(login.state()).ok_or_else(|| refused(ANSWERED))?;
        match self.store.was_used(OIDC_STATE, login.state()).await {
            Ok(false) => {}
            Ok(true) => return Err(refused(ANSWERED)),
            Err(error) => return Err(NotSignedIn::Away(error.to_string())),
        }
        let proven = provider.exchange_code(&login, &self.redirect(name), brought, now).await;
        let proven = proven.map_err(|error| not_signed_in(name, &error))?;
        self.spend(OIDC_STATE, login.state(), now.plus_millis(limits::SIGN_IN_MS_MAX), now)
            .await
            .map_err(|why| refused(&why))?;
        Ok(login_of(proven, String::new(), self.login_expires(now)))
    }

    async fn finish_saml(
        &self,
        name: &str,
        memory: Option<&Secret>,
        response: &str,
        now: Timestamp,
    ) -> Result<NewLogin, NotSignedIn> {
        let providers = self.providers.load_full();
        let provider = providers.saml(name).ok_or(NotSignedIn::NoProvider)?;
        let refused = |why: &dyn std::fmt::Display| NotSignedIn::Refused(format!("{name}: {why}"));
        let asked = memory.map(|memory| RequestId::from_kept(memory.expose()));
        let expected = asked.as_ref().map_or(Expected::Unsolicited, Expected::AnswerTo);
        let unspent = provider.service().receive(response, expected, now).map_err(|error| refused(&error))?;
        if let Some(asked) = &asked {
            // A request has one answer, whatever else the provider says. What it did not sign is none.
            self.spend("saml request", asked.as_str(), now.plus_millis(limits::SIGN_IN_MS_MAX), now)
                .await
                .map_err(|why| refused(&why))?;
        }
        let ticket = unspent.ticket();
        let sort = format!("saml assertion of {}", ticket.issuer);
        let answer = self.store.use_once(&sort, &ticket.id, ticket.until, now).await;
        let answer = match answer.map_err(|error| NotSignedIn::Away(error.to_string()))? {
            OneUse::First => Use::First,
            OneUse::Again => Use::Again,
            OneUse::Full => Use::Full,
        };
        let login = unspent.redeem(answer).map_err(|error| refused(&error))?;
        let (user, groups) = provider.person(&login).map_err(|why| refused(&why))?;
        let expires = self.login_expires(now);
        Ok(NewLogin {
            subject: login.subject.as_ref().map_or_else(|| user.clone(), |subject| subject.value.clone()),
            provider: login.provider,
            issuer: login.issuer,
            user,
            groups,
            kind: IdentityKind::Human,
            on_behalf_of: Vec::new(),
            source: String::new(),
            expires: login.session_until.map_or(expires, |until| until.min(expires)),
            refresh_token: None,
        })
    }

    async fn spend(&self, sort: &str, id: &str, until: Timestamp, now: Timestamp) -> Result<(), String> {
        match self.store.use_once(sort, id, until, now).await {
            Ok(OneUse::First) => Ok(()),
            Ok(OneUse::Again) => Err(ANSWERED.to_owned()),
            Ok(OneUse::Full) => Err("too many sign-ins are remembered".to_owned()),
            Err(error) => Err(error.to_string()),
        }
    }
}

fn not_signed_in(name: &str, error: &ProviderError) -> NotSignedIn {
    let why = format!("{name}: {error}");
    match error {
        ProviderError::Unreachable(_) | ProviderError::Untrusted(_) | ProviderError::NoKeys(_) => {
            NotSignedIn::Away(why)
        }
        ProviderError::Document(_)
        | ProviderError::Refused { .. }
        | ProviderError::NotOffered(_)
        | ProviderError::Token(_)
        | ProviderError::NotThisLogin(_) => NotSignedIn::Refused(why),
    }
}
