//! Gives back what logins were refreshed with once they are over (RFC 7009), whoever ended them and in whatever process: until the
//! provider has taken it, or for [`limits::GIVE_BACK_MS_MAX`]. Nothing waits for this: the logins count no more already.

use super::Gateway;
use super::providers::Providers;
use crate::when;
use lockgate_core::{Secret, limits};
use lockgate_identity::provider::ProviderError;
use lockgate_store::LoginInfo;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior};

/// How often it is looked what there is to give back.
const LOOK: Duration = Duration::from_secs(1);
/// How long after a refresh token was not taken back the next try comes.
const AGAIN: Duration = Duration::from_secs(30);

/// Looks until the process ends.
pub async fn run(gateway: Arc<Gateway>) {
    let mut ticks = tokio::time::interval(LOOK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut tried: HashMap<String, Instant> = HashMap::new();
    loop {
        ticks.tick().await;
        gateway.give_back(&gateway.providers.load_full(), &mut tried).await;
    }
}

impl Gateway {
    /// Has providers take back what logins that are over were refreshed with, a few at once.
    async fn give_back(self: &Arc<Self>, providers: &Arc<Providers>, tried: &mut HashMap<String, Instant>) {
        let over = match self.store.refresh_tokens_to_give_back(when::now(), limits::LIST_PAGE_MAX).await {
            Ok(over) => over,
            Err(error) => return tracing::error!(%error, "logins that are over cannot be read"),
        };
        let ids: HashSet<&str> = over.iter().map(|(login, _)| login.id.as_str()).collect();
        tried.retain(|id, _| ids.contains(id.as_str()));
        let turn: Vec<(LoginInfo, Option<Secret>)> = over
            .into_iter()
            .filter(|(login, _)| tried.get(&login.id).is_none_or(|at| at.elapsed() >= AGAIN))
            .take(limits::RECHECKS_AT_ONCE)
            .collect();
        let mut giving = JoinSet::new();
        for (login, token) in turn {
            let first = tried.insert(login.id.clone(), Instant::now()).is_none();
            let (gateway, providers) = (Arc::clone(self), Arc::clone(providers));
            giving.spawn(async move { gateway.give_one_back(&login, token, first, &providers).await });
        }
        while let Some(done) = giving.join_next().await {
            if let Err(error) = done {
                tracing::error!(%error, "a refresh token was not given back");
            }
        }
    }

    async fn give_one_back(&self, login: &LoginInfo, token: Option<Secret>, first: bool, providers: &Providers) {
        // Nobody else hears it: not another issuer that has the name by now.
        let provider = providers.oidc(&login.provider).filter(|provider| provider.rules().issuer == login.issuer);
        let taken = match (provider, &token) {
            (Some(provider), Some(token)) => provider.revoke(token).await,
            _ => Err(ProviderError::NotOffered("revocation")),
        };
        let (user, id, provider) = (&login.user, &login.id, &login.provider);
        match taken {
            Ok(()) => tracing::info!(?user, login = %id, %provider, "the provider has taken back the refresh token"),
            Err(ProviderError::NotOffered(_)) => {}
            Err(error) => {
                let passing = matches!(
                    error,
                    ProviderError::Unreachable(_) | ProviderError::Untrusted(_) | ProviderError::NoKeys(_)
                );
                let over_ms = when::now().millis_since(login.ended.unwrap_or(login.expires));
                if first {
                    tracing::warn!(?user, login = %id, %provider, "a refresh token was not taken back: {error}");
                }
                if passing && over_ms < limits::GIVE_BACK_MS_MAX {
                    return;
                }
            }
        }
        if let Err(error) = self.store.forget_refresh_token(id).await {
            tracing::error!(%error, login = %id, "a refresh token cannot be forgotten");
        }
    }
}
