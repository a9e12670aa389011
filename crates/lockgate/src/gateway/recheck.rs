//! Asks identity providers again about those who logged in: whether the account still counts, and which groups it is in now.
//!
//! ```text
//!   login ──► identity.recheck over ──► refresh ──► holds: groups of now, judged now
//!                    ▲                     ├──────► no, or somebody else: the login ends, and all that was made of it
//!                    └── asked again ◄─────┘ cannot be asked: holds for identity.grace at most, then ends
//! ```
//!
//! What a login without a refresh token proved cannot be asked about; it ends when its time is over. Tokens that were shown
//! without a login are not asked about either: they end with their own time.

use super::Gateway;
use super::providers::Providers;
use crate::when;
use lockgate_core::limits;
use lockgate_identity::Proven;
use lockgate_identity::provider::ProviderError;
use lockgate_store::{LOCAL, LoginFilter, LoginInfo};
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior};

/// How often it is looked whose time has come.
const LOOK: Duration = Duration::from_secs(1);
/// How long after a question that was not answered the next one comes.
const AGAIN: Duration = Duration::from_secs(10);

/// What comes of asking about a login.
enum Word {
    Holds(Box<Proven>),
    Ends(String),
    /// The provider cannot be asked, or does not know what it says.
    Unsure(String),
}

/// Looks until the process ends.
pub async fn run(gateway: Arc<Gateway>) {
    let mut ticks = tokio::time::interval(LOOK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut providers: Option<Arc<Providers>> = None;
    // When a login was last asked about in vain.
    let mut asked: HashMap<String, Instant> = HashMap::new();
    loop {
        ticks.tick().await;
        let current = gateway.providers.load_full();
        if !providers.as_ref().is_some_and(|known| Arc::ptr_eq(known, &current)) && gateway.end_orphans(&current).await
        {
            providers = Some(Arc::clone(&current));
        }
        gateway.recheck(&current, &mut asked).await;
    }
}

impl Gateway {
    /// Ends the logins of providers that are configured no more. Whether all of them were seen.
    async fn end_orphans(&self, providers: &Providers) -> bool {
        let now = when::now();
        let mut filter = LoginFilter { live_at: Some(now), ..LoginFilter::default() };
        loop {
            let page = match self.store.logins(&filter).await {
                Ok(page) => page,
                Err(error) => {
                    tracing::error!(%error, "logins cannot be read, so none is ended");
                    return false;
                }
            };
            let Some(last) = page.last() else { return true };
            filter.after = Some(last.id.clone());
            for login in page.iter().filter(|login| !providers.knows(&login.provider)) {
                self.end(login, "its identity provider is not configured any more").await;
            }
        }
    }

    /// Asks about the logins whose time has come, a few at once.
    async fn recheck(self: &Arc<Self>, providers: &Arc<Providers>, asked: &mut HashMap<String, Instant>) {
        let now = when::now();
        let config = self.config();
        let recheck_ms = i64::try_from(config.recheck_ms).unwrap_or(i64::MAX);
        let filter = LoginFilter {
            live_at: Some(now),
            judged_before: Some(now.plus_millis(-recheck_ms)),
            askable: true,
            ..LoginFilter::default()
        };
        let due = match self.store.logins(&filter).await {
            Ok(due) => due,
            Err(error) => return tracing::error!(%error, "logins cannot be read, so nobody is asked about them"),
        };
        let ids: HashSet<&str> = due.iter().map(|login| login.id.as_str()).collect();
        asked.retain(|id, _| ids.contains(id.as_str()));
        let turn: Vec<LoginInfo> = due
            .into_iter()
            .filter(|login| asked.get(&login.id).is_none_or(|at| at.elapsed() >= AGAIN))
            .take(limits::RECHECKS_AT_ONCE)
            .collect();
        let mut asking = JoinSet::new();
        for login in turn {
            asked.insert(login.id.clone(), Instant::now());
            let (gateway, providers) = (Arc::clone(self), Arc::clone(providers));
            asking.spawn(async move {
                let word = gateway.ask_about(&login, &providers).await;
                gateway.settle(login, word).await;
            });
        }
        while let Some(done) = asking.join_next().await {
            if let Err(error) = done {
                tracing::error!(%error, "a login was not asked about");
            }
        }
    }

    async fn ask_about(&self, login: &LoginInfo, providers: &Providers) -> Word {
        if login.provider == LOCAL {
            return self.ask_ourselves(login).await;
        }
        let Some(provider) = providers.oidc(&login.provider) else {
            return Word::Unsure("the provider has no way to be asked".to_owned());
        };
        let refresh_token = match self.store.login_refresh_token(&login.id).await {
            Ok(token) => token,
            Err(error) => return Word::Unsure(error.to_string()),
        };
        let earlier = Proven {
            provider: login.provider.clone(),
            issuer: login.issuer.clone(),
            subject: login.subject.clone(),
            user: login.user.clone(),
            groups: login.groups.clone(),
            kind: login.kind,
            on_behalf_of: login.on_behalf_of.clone(),
            issued: None,
            expires: login.expires,
            id: login.id.clone(),
            refresh_token,
        };
        match provider.refresh(&earlier, when::now()).await {
            Ok(fresh) => {
                let same = fresh.issuer == earlier.issuer
                    && fresh.user == earlier.user
                    && fresh.kind == earlier.kind
                    && fresh.on_behalf_of == earlier.on_behalf_of;
                match same {
                    true => Word::Holds(Box::new(fresh)),
                    false => Word::Ends("the identity provider says that it is somebody else's".to_owned()),
                }
            }
            Err(error) if is_no(&error) => Word::Ends(error.to_string()),
            Err(error) => Word::Unsure(error.to_string()),
        }
    }

    /// A local user is known here.
    async fn ask_ourselves(&self, login: &LoginInfo) -> Word {
        let standing = match self.store.standing(&login.user).await {
            Ok(standing) => standing,
            Err(error) => return Word::Unsure(error.to_string()),
        };
        match (standing.refusal(), standing.in_source(LOCAL)) {
            (Some(why), _) => Word::Ends(why),
            (None, None) => Word::Ends("the user is not there any more".to_owned()),
            (None, Some(record)) => Word::Holds(Box::new(Proven {
                provider: LOCAL.to_owned(),
                issuer: login.issuer.clone(),
                subject: login.subject.clone(),
                user: login.user.clone(),
                groups: record.groups.clone(),
                kind: login.kind,
                on_behalf_of: login.on_behalf_of.clone(),
                issued: None,
                expires: login.expires,
                id: login.id.clone(),
                refresh_token: None,
            })),
        }
    }

    async fn settle(&self, login: LoginInfo, word: Word) {
        let now = when::now();
        match word {
            Word::Holds(fresh) => {
                let judged = self.store.judged_login(&login.id, &fresh.groups, fresh.refresh_token.as_ref(), now).await;
                match judged {
                    Ok(_) if fresh.groups != login.groups => {
                        tracing::info!(user = ?login.user, login = %login.id, "the identity provider names other groups");
                    }
                    Ok(_) => {}
                    Err(error) => tracing::error!(%error, "what the identity provider said cannot be written"),
                }
            }
            Word::Ends(why) => self.end(&login, &why).await,
            Word::Unsure(why) => {
                let config = self.config();
                let longest = config.recheck_ms.saturating_add(config.grace_ms);
                let (user, provider) = (&login.user, &login.provider);
                if now.millis_since(login.judged) > i64::try_from(longest).unwrap_or(i64::MAX) {
                    self.end(&login, "its identity provider could not be asked for too long").await;
                } else {
                    tracing::warn!(?user, %provider, "a login counts as it was last judged: {why}");
                }
            }
        }
    }

    async fn end(&self, login: &LoginInfo, why: &str) {
        tracing::info!(user = ?login.user, login = %login.id, provider = %login.provider, "a login ended: {why}");
        if let Err(error) = self.store.end_login(&login.id, why, when::now()).await {
            tracing::error!(%error, "a login that holds no more cannot be ended");
        }
    }
}

/// Whether the provider has said that the login holds no more. Everything else may be its trouble, or ours.
fn is_no(error: &ProviderError) -> bool {
    match error {
        ProviderError::Refused { error, .. } => matches!(
            error.as_str(),
            "invalid_grant" | "access_denied" | "login_required" | "interaction_required" | "consent_required"
        ),
        ProviderError::Token(_) | ProviderError::NotThisLogin(_) => true,
        ProviderError::Unreachable(_)
        | ProviderError::NoKeys(_)
        | ProviderError::Document(_)
        | ProviderError::NotOffered(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_word_of_the_provider_is_a_no() {
        let refused = |error: &str| ProviderError::Refused { error: error.to_owned(), description: None };
        for (error, no) in [
            (refused("invalid_grant"), true),
            (refused("access_denied"), true),
            (refused("invalid_client"), false),
            (refused("temporarily_unavailable"), false),
            (ProviderError::Unreachable("it is away".to_owned()), false),
            (ProviderError::NoKeys("it is away".to_owned()), false),
            (ProviderError::Document("what is that".to_owned()), false),
            (ProviderError::NotOffered("ID token"), false),
            (ProviderError::NotThisLogin("the fresh token is another subject's"), true),
        ] {
            assert_eq!(is_no(&error), no, "{error}");
        }
    }
}
