//! Connections that a person logs in with a browser: each has a link, waits for a while, and is withdrawn when the client goes.
//!
//! The link is no secret and opens nothing by itself: behind it somebody signs in, sees from where the connection comes and what
//! for, and confirms. Only the user that the connection named may. A connection that waits has no session and reads nothing.

use super::{Gateway, public_url};
use crate::when;
use lockgate_core::{Database, Fault, Place, limits};
use lockgate_relay::Linked;
use lockgate_session::wire::{LoginLink, Refusal};
use lockgate_store::{Asker, LOCAL, LoginClaim, PeopleFilter, RequestError, Store};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

/// The name under which the throttle counts links of one source; no user can have it.
const COUNTED_AS: &str = "\0link";

/// A request that is forgotten when nobody waits for it any more.
struct Waiting {
    store: Store,
    id: String,
    _place: Place,
}

impl Drop for Waiting {
    fn drop(&mut self) {
        let (store, id) = (self.store.clone(), std::mem::take(&mut self.id));
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        runtime.spawn(async move {
            if let Err(error) = store.withdraw_login_request(&id).await {
                tracing::warn!(%error, "a link that nobody waits for stays until it expires");
            }
        });
    }
}

impl Gateway {
    /// Opens a link for a connection.
    pub(super) async fn open_link(
        &self,
        protocol: &'static str,
        peer: SocketAddr,
        user: &str,
        database: &str,
    ) -> Result<Linked, Refusal> {
        let no_link = |public: &str, hint: Option<&str>, reason: &str| {
            self.note_refusal(protocol, peer.ip(), &peer, (user, database), reason);
            Refusal {
                fault: Fault::Client,
                public: public.to_owned(),
                hint: hint.map(str::to_owned),
                internal: reason.to_owned(),
            }
        };
        if self.config().listen.https.is_none() || !self.can_sign_in().await {
            let hint = Some("ask for a token: lockgate token create");
            return Err(no_link("nobody can log in with a browser here", hint, "no way to sign in is configured"));
        }
        let Ok(asked) = database.parse::<Database>() else {
            return Err(no_link("this is not the name of a target", None, "not the name of a target"));
        };
        let Some(place) = self.links.take(peer.ip()) else {
            return Err(no_link(
                "too many connections wait for a browser",
                Some("try again later"),
                "no place for one more connection that waits for a browser",
            ));
        };
        // Each costs a write, so those who ask again and again wait longer and longer.
        tokio::time::sleep(self.throttle.asked(peer.ip(), COUNTED_AS, when::now())).await;
        let now = when::now();
        let expires = now.plus_millis(i64::try_from(limits::LINK_MS_MAX).unwrap_or(i64::MAX));
        let asker = Asker::Link { user: user.to_owned(), target: asked.target };
        let source = peer.ip().to_canonical().to_string();
        let request = match self.store.ask_login(asker, &source, expires, now).await {
            Ok((request, _)) => request,
            Err(error) => {
                return Err(no_link("no link can be made now", Some("try again later"), &error.to_string()));
            }
        };
        tracing::info!(%peer, user = ?user, request = %request.id, "a connection waits for its login by link");
        let link = LoginLink {
            url: format!("{}/link/{}", public_url(&self.config()), request.id),
            code: request.code,
            waits_ms: limits::LINK_MS_MAX,
        };
        let waiting = Waiting { store: self.store.clone(), id: request.id, _place: place };
        let gateway = self.here.clone();
        let (user, database) = (user.to_owned(), database.to_owned());
        let proven = async move {
            let outcome = waiting.outcome().await;
            let gateway = gateway.upgrade();
            match outcome {
                Ok(identity) => {
                    if let Some(gateway) = gateway {
                        gateway.throttle.succeeded(peer.ip(), COUNTED_AS);
                    }
                    Ok(identity)
                }
                Err(error) => {
                    let reason = error.to_string();
                    if let Some(gateway) = gateway {
                        gateway.note_refusal(protocol, peer.ip(), &peer, (&user, &database), &reason);
                    }
                    let public = match error {
                        RequestError::Denied => "the login was denied in the browser",
                        RequestError::Unknown | RequestError::Expired => "nobody confirmed the login in time",
                        _ => "the login failed",
                    };
                    let hint = Some("connect again for a new link".to_owned());
                    Err(Refusal { fault: Fault::Client, public: public.to_owned(), hint, internal: reason })
                }
            }
        };
        Ok(Linked { link, proven: Box::pin(proven) })
    }
}

impl Gateway {
    /// Whether there is anything to sign in with.
    async fn can_sign_in(&self) -> bool {
        if self.providers.load().names().next().is_some() {
            return true;
        }
        let local = PeopleFilter { source: Some(LOCAL.to_owned()), limit: 1, ..PeopleFilter::default() };
        self.store.list_people(&local).await.is_ok_and(|people| !people.is_empty())
    }
}

impl Waiting {
    /// Waits until a person has decided, here or at another gateway of the same store.
    async fn outcome(&self) -> Result<Arc<lockgate_core::Identity>, RequestError> {
        let mut decided = self.store.login_requests_decided();
        loop {
            match self.store.redeem_login_request(&self.id, LoginClaim::Link, when::now()).await {
                // The token itself is nobody's: its id is what the session rests on, and ends by.
                Ok((_, info, _)) => return Ok(Arc::new(info.identity())),
                Err(RequestError::Pending) => {}
                Err(error) => return Err(error),
            }
            let look = Duration::from_millis(limits::LINK_LOOK_MS);
            // Whoever decided, here or elsewhere: the store is asked.
            let _ = tokio::time::timeout(look, decided.changed()).await;
        }
    }
}
