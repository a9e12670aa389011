//! Asks identity providers again about those who logged in: whether the account still counts, and which groups it is in now.
//!
//! ```text
//!   login ──► identity.recheck over ──► refresh ──► holds: groups of now, judged now
//!                    ▲                     ├──────► no, or somebody else: the login ends, and all that was made of it; with the
//!                    │                     │        last one to ask about, the person, and who acts for them, until a new login
//!                    └── asked again ◄─────┘ cannot be asked: holds for identity.grace at most, then ends
//! ```
//!
//! What a login without a refresh token proved cannot be asked about; it ends when its time is over. Tokens that were shown
//! without a login are not asked about either: they end with their own time.

use super::Gateway;
use super::providers::Providers;
use super::questions::{self, Questions};
use crate::when;
use lockgate_core::Timestamp;
use lockgate_identity::Proven;
use lockgate_identity::jwt::JwtError;
use lockgate_identity::provider::ProviderError;
use lockgate_store::{DirectoryPeople, GATEWAY, LOCAL, LoginFilter, LoginInfo};
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, MissedTickBehavior};

/// How often it is looked whose time has come.
const LOOK: Duration = Duration::from_secs(1);
/// How long it is remembered that a login was asked about, so that others have their turn first.
const REMEMBERED: Duration = Duration::from_secs(600);

/// What comes of asking about a login.
enum Word {
    Holds(Box<Proven>),
    /// This login counts no more, whatever the provider says of the person.
    Ends(String),
    /// The provider has refused the person.
    Refused(String),
    /// The provider cannot be asked, or does not know what it says.
    Unsure(String),
}

/// That a login was asked about.
#[derive(Clone, Copy)]
struct Asked {
    at: Instant,
    /// When it was last judged then: a judgement since is the answer.
    judged: Timestamp,
    /// How often it was asked about since then.
    times: u32,
}

/// Questions that are under way, and those that were not answered.
#[derive(Default)]
struct Asking {
    questions: Questions,
    asked: HashMap<String, Asked>,
}

impl Asking {
    /// Takes note of the answers that came.
    fn settle(&mut self) {
        self.questions.settle();
        self.asked.retain(|_, asked| asked.at.elapsed() < REMEMBERED);
    }

    /// That a login was asked about in vain.
    fn in_vain(&self, login: &LoginInfo) -> Option<Asked> {
        self.asked.get(&login.id).filter(|asked| asked.judged == login.judged).copied()
    }

    /// Takes note that a login is asked about.
    fn ask(&mut self, login: &LoginInfo) {
        let times = self.in_vain(login).map_or(0, |asked| asked.times).saturating_add(1);
        self.asked.insert(login.id.clone(), Asked { at: Instant::now(), judged: login.judged, times });
    }

    /// Of the logins that are due, oldest first, those to ask about now: first whoever was never asked about in vain.
    fn turn(&self, due: Vec<LoginInfo>, room: usize) -> Vec<LoginInfo> {
        let under_way: HashSet<&str> = self.questions.about().collect();
        let waits = |login: &LoginInfo| {
            let waits = |asked: Asked| asked.at.elapsed() < questions::wait(asked.times);
            under_way.contains(login.id.as_str()) || self.in_vain(login).is_some_and(waits)
        };
        let mut turn: Vec<LoginInfo> = due.into_iter().filter(|login| !waits(login)).collect();
        turn.sort_by_key(|login| self.in_vain(login).map(|asked| asked.at));
        turn.truncate(room);
        turn
    }
}

/// Looks until the process ends.
pub async fn run(gateway: Arc<Gateway>) {
    let mut ticks = tokio::time::interval(LOOK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut providers: Option<Arc<Providers>> = None;
    let mut asking = Asking::default();
    loop {
        ticks.tick().await;
        let current = gateway.providers.load_full();
        if !providers.as_ref().is_some_and(|known| Arc::ptr_eq(known, &current)) && gateway.end_orphans(&current).await
        {
            providers = Some(Arc::clone(&current));
        }
        gateway.recheck(&current, &mut asking).await;
    }
}

impl Gateway {
    /// Ends the logins of providers that are configured no more. Whether all of them were seen.
    pub(super) async fn end_orphans(&self, providers: &Providers) -> bool {
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
            let Some(last) = page.last() else { return self.end_orphaned_suspensions(providers, now).await };
            filter.after = Some(last.id.clone());
            for login in page.iter().filter(|login| !providers.knows(login)) {
                self.end(login, "its identity provider is not configured any more").await;
            }
        }
    }

    /// Who was refused by a provider that is configured no more cannot be vouched for by it any more. What they had is revoked for
    /// good, and the name is free for whom another provider vouches for. Whether all of them were seen.
    async fn end_orphaned_suspensions(&self, providers: &Providers, now: Timestamp) -> bool {
        let suspensions = match self.store.suspensions().await {
            Ok(suspensions) => suspensions,
            Err(error) => {
                tracing::error!(%error, "it cannot be read whom providers refused");
                return false;
            }
        };
        for gone in suspensions.iter().filter(|s| !providers.has(&s.provider, &s.issuer)) {
            let revoked = self.store.revoke_tokens_of(&gone.user, GATEWAY, now).await;
            let lifted = match revoked {
                Ok(_) => self.store.lift_suspension(&gone.provider, &gone.issuer, &gone.user, GATEWAY, now).await,
                Err(error) => Err(error),
            };
            if let Err(error) = lifted {
                tracing::error!(%error, user = ?gone.user, "what a user had who was refused cannot be revoked");
                return false;
            }
        }
        self.tell_orphaned_directories().await;
        true
    }

    /// Says which directories are configured no more and still count.
    async fn tell_orphaned_directories(&self) {
        let known = match self.store.directories().await {
            Ok(known) => known,
            Err(error) => return tracing::error!(%error, "it cannot be read which directories people are known of"),
        };
        let config = self.config();
        for gone in known.iter().filter(|gone| !config.scim.iter().any(|scim| scim.name == gone.directory)) {
            let DirectoryPeople { directory, people, refused } = gone;
            tracing::warn!(
                %directory,
                "the directory is not configured any more, and what it last said of {people} people still counts, {refused} of whom are refused: \
                 lockgate user forget --directory {directory}"
            );
        }
    }

    /// Begins to ask about the logins whose time has come, a few of each provider at once.
    async fn recheck(self: &Arc<Self>, providers: &Arc<Providers>, asking: &mut Asking) {
        asking.settle();
        let now = when::now();
        let recheck_ms = i64::try_from(self.config().recheck_ms).unwrap_or(i64::MAX);
        let names = providers.names().filter(|(_, saml)| !saml).map(|(name, _)| name);
        for provider in names.chain([LOCAL]) {
            let room = asking.questions.room(provider);
            if room == 0 {
                continue;
            }
            let filter = LoginFilter {
                provider: Some(provider.to_owned()),
                live_at: Some(now),
                judged_before: Some(now.plus_millis(-recheck_ms)),
                askable: true,
                ..LoginFilter::default()
            };
            let due = match self.store.logins(&filter).await {
                Ok(due) => due,
                Err(error) => return tracing::error!(%error, "logins cannot be read, so nobody is asked about them"),
            };
            for login in asking.turn(due, room) {
                asking.ask(&login);
                let (about, provider) = (login.id.clone(), login.provider.clone());
                let (gateway, providers) = (Arc::clone(self), Arc::clone(providers));
                asking.questions.ask(&about, &provider, async move {
                    let word = gateway.ask_about(&login, &providers).await;
                    gateway.settle(login, word).await;
                });
            }
        }
    }

    async fn ask_about(&self, login: &LoginInfo, providers: &Providers) -> Word {
        if login.provider == LOCAL {
            return self.ask_ourselves(login).await;
        }
        // What one provider gave is not shown to another that took its name.
        if !providers.knows(login) {
            return Word::Ends("its identity provider is not configured any more".to_owned());
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
                let why = "the identity provider says that it is somebody else's";
                match same {
                    true => Word::Holds(Box::new(fresh)),
                    // Whoever had the name has another one, or it is another's.
                    false if fresh.user != earlier.user => Word::Refused(why.to_owned()),
                    false => Word::Ends(why.to_owned()),
                }
            }
            Err(error) if refuses_person(&error) => Word::Refused(error.to_string()),
            Err(error) if is_no(&error) => Word::Ends(error.to_string()),
            Err(error) => Word::Unsure(error.to_string()),
        }
    }

    /// A local user is known here.
    async fn ask_ourselves(&self, login: &LoginInfo) -> Word {
        let account = match self.store.account(&login.user).await {
            Ok(account) => account,
            Err(error) => return Word::Unsure(error.to_string()),
        };
        match (account.refusal(), account.in_source(LOCAL)) {
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
            Word::Refused(why) => self.refuse(&login, &why, now).await,
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

    /// Ends a login that its provider refused, and, where there is no other to ask about, everything of the person.
    async fn refuse(&self, login: &LoginInfo, why: &str, now: Timestamp) {
        let (user, provider) = (&login.user, &login.provider);
        tracing::info!(?user, login = %login.id, %provider, "a login ended: {why}");
        let due = now.plus_millis(-i64::try_from(self.config().recheck_ms).unwrap_or(i64::MAX)).plus_millis(-1);
        match self.store.refuse_login(login, why, due, now).await {
            Ok(true) => {
                tracing::warn!(?user, %provider, "a user, and who acts for them, counts no more until signing in there again");
                self.sweep_people();
            }
            Ok(false) => tracing::info!(?user, %provider, "the user's other logins there are asked about at once"),
            Err(error) => tracing::error!(%error, "a login that holds no more cannot be ended"),
        }
    }

    async fn end(&self, login: &LoginInfo, why: &str) {
        tracing::info!(user = ?login.user, login = %login.id, provider = %login.provider, "a login ended: {why}");
        if let Err(error) = self.store.end_login(&login.id, GATEWAY, why, when::now()).await {
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
        // What a fresh token says of the person is the provider's word. One that cannot be checked says nothing: the keys may be
        // changing and not be to be had, or a clock be wrong.
        ProviderError::Token(JwtError::Claim { claim, .. }) => !matches!(claim.as_str(), "exp" | "nbf" | "iat"),
        ProviderError::Token(_) => false,
        ProviderError::NotThisLogin(_) => true,
        ProviderError::Unreachable(_)
        | ProviderError::Untrusted(_)
        | ProviderError::NoKeys(_)
        | ProviderError::Document(_)
        | ProviderError::NotOffered(_) => false,
    }
}

/// Whether that may be about the person, and not only about this login. A fresh token that cannot be believed, by a clock that is
/// wrong for example, is not.
fn refuses_person(error: &ProviderError) -> bool {
    matches!(error, ProviderError::Refused { error, .. } if matches!(error.as_str(), "invalid_grant" | "access_denied"))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;

    #[test]
    fn only_a_word_of_the_provider_is_a_no() {
        let claim = |claim: &str| JwtError::Claim { claim: claim.to_owned(), problem: "is another".to_owned() };
        let refused = |error: &str| ProviderError::Refused { error: error.to_owned(), description: None };
        for (error, no, of_the_person) in [
            (refused("invalid_grant"), true, true),
            (refused("access_denied"), true, true),
            (refused("login_required"), true, false),
            (refused("invalid_client"), false, false),
            (refused("temporarily_unavailable"), false, false),
            (ProviderError::Unreachable("it is away".to_owned()), false, false),
            (ProviderError::NoKeys("it is away".to_owned()), false, false),
            (ProviderError::Document("what is that".to_owned()), false, false),
            (ProviderError::NotOffered("ID token"), false, false),
            (ProviderError::NotThisLogin("the fresh token is another subject's"), true, false),
            (ProviderError::Token(claim("repository")), true, false),
            (ProviderError::Token(claim("email")), true, false),
            (ProviderError::Token(claim("exp")), false, false),
            (ProviderError::Token(claim("iat")), false, false),
            (ProviderError::Token(JwtError::UnknownKey("k2".to_owned())), false, false),
            (ProviderError::Token(JwtError::Signature), false, false),
            (ProviderError::Token(JwtError::Malformed("no".to_owned())), false, false),
        ] {
            assert_eq!((is_no(&error), refuses_person(&error)), (no, of_the_person), "{error}");
        }
    }

    fn login(id: &str, provider: &str) -> LoginInfo {
        let at = Timestamp::from_millis;
        LoginInfo {
            id: id.to_owned(),
            provider: provider.to_owned(),
            issuer: String::new(),
            subject: String::new(),
            user: String::new(),
            groups: [].into(),
            kind: lockgate_core::IdentityKind::Human,
            on_behalf_of: Vec::new(),
            source: String::new(),
            created: at(0),
            expires: at(i64::MAX),
            judged: at(0),
            ended: None,
            end_reason: None,
            refreshable: true,
        }
    }

    #[tokio::test]
    async fn one_login_keeps_no_other_of_its_provider_waiting() {
        let mut asking = Asking::default();
        asking.questions.ask("h0", "answers", std::future::pending());
        // Who was asked about in vain comes after the others, and not at once.
        let due = || ["h0", "new", "old", "older"].map(|id| login(id, "answers")).to_vec();
        let ids = |asking: &Asking, room| asking.turn(due(), room).into_iter().map(|l| l.id).collect::<Vec<_>>();
        let ago = |seconds| {
            let at = Instant::now().checked_sub(Duration::from_secs(seconds)).unwrap();
            Asked { at, judged: Timestamp::from_millis(0), times: 3 }
        };
        asking.asked.insert("old".to_owned(), ago(20));
        asking.asked.insert("older".to_owned(), ago(30));
        assert_eq!(ids(&asking, 9), ["new", "older", "old"]);
        assert_eq!(ids(&asking, 1), ["new"]);
        asking.asked.insert("new".to_owned(), ago(1));
        assert_eq!(ids(&asking, 9), ["older", "old"]);
        // The first time it may have been no more than a connection that broke.
        asking.asked.insert("new".to_owned(), Asked { times: 1, ..ago(2) });
        assert_eq!(ids(&asking, 9), ["older", "old", "new"]);
        asking.ask(&login("new", "answers"));
        assert_eq!((asking.asked["new"].times, ids(&asking, 9)), (2, vec!["older".to_owned(), "old".to_owned()]));
        asking.asked.insert("new".to_owned(), Asked { judged: Timestamp::from_millis(-7), ..ago(1) });
        assert_eq!(ids(&asking, 1), ["new"], "it was judged since, and is due again");
        asking.ask(&login("new", "answers"));
        assert_eq!(asking.asked["new"].times, 1);
    }
}
