//! Takes rights away from sessions that live: a revoked or expired token, a user who was disabled or is in other groups, policies
//! that no longer let them in.
//!
//! It looks every [`REJUDGE_MS`]: leases are two atomic loads each, and `connect` is judged again only when the rules
//! changed or a policy looks at the clock. What is cut here is told why.

use super::Gateway;
use crate::when;
use lockgate_core::limits::{LOGIN_MS_MAX, REJUDGE_MS};
use lockgate_core::{Identity, SessionId, Timestamp, metrics as names};
use lockgate_record::{Administered, TokenCreated, TokenRevoked};
use lockgate_relay::live::LiveSession;
use lockgate_session::wire::Cut;
use lockgate_session::{Judge, Rules, Ruling};
use lockgate_store::acts::{Act, TOKEN_CREATED, TOKEN_REVOKED};
use lockgate_store::{SessionCounts, TokenInfo, TokenState};
use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::time::{Instant, MissedTickBehavior};

/// How often the journal's clock runs and policies that look at the time are asked again.
const SECOND: Duration = Duration::from_secs(1);

/// Pages of acts that are put on record in one second.
const ACT_PAGES_MAX: usize = 10;

/// Tokens that changed, when that was seen, and whom they stand for now.
type Regrouped = HashMap<String, (Instant, Identity)>;

/// Looks until the process ends.
pub async fn run(gateway: Arc<Gateway>) {
    let mut ticks = tokio::time::interval(Duration::from_millis(REJUDGE_MS));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut judged_by = gateway.rules.load().version;
    let mut tokens = gateway.store.tokens_changed_since(0).await.map(|changes| changes.generation).unwrap_or_default();
    let mut regrouped: Regrouped = HashMap::new();
    let mut slow = Instant::now();
    loop {
        ticks.tick().await;
        let now = when::now();
        gateway.sweep_gone();
        // Who was removed is told so, and not that the token went with them.
        gateway.sweep_people();
        gateway.sweep_tokens(now);
        let rules = gateway.rules.load_full();
        let second = slow.elapsed() >= SECOND;
        if rules.version != judged_by || (second && rules.policies.depends_on_time()) {
            gateway.sweep_connect(&rules, now);
            judged_by = rules.version;
        }
        if second {
            slow = Instant::now();
            gateway.tick_journal(now).await;
            gateway.list_counts();
            gateway.tell_left_out(now);
            gateway.look_at_tokens(&mut tokens, &mut regrouped).await;
            gateway.sweep_regrouped(&mut regrouped);
            gateway.note_acts(now).await;
            publish(&gateway);
        }
    }
}

impl Gateway {
    fn sweep_tokens(&self, now: Timestamp) {
        let lost: Vec<(SessionId, TokenState)> = self
            .open_sessions()
            .iter()
            .filter_map(|(id, open)| Some((*id, open.lease.as_ref()?.state(now))))
            .filter(|(_, state)| *state != TokenState::Live)
            .collect();
        for (id, state) in lost {
            let reason = match state {
                TokenState::Expired => "the token has expired: get a new one",
                TokenState::Early => "the gateway's clock is wrong, so that nobody can tell how long the token counts",
                TokenState::Unknown => "the gateway cannot tell whether the token still counts",
                TokenState::Live | TokenState::Revoked | TokenState::Gone => "the token was revoked",
            };
            self.take_away(id, reason);
        }
    }

    fn sweep_connect(&self, rules: &Rules, now: Timestamp) {
        for session in self.live.list() {
            if let Some(reason) = lost_connect(rules, &session, now) {
                self.take_away(session.id, &reason);
            }
        }
    }

    pub(super) fn take_away(&self, id: SessionId, reason: &str) {
        if self.live.cut(id, Cut { reason: reason.to_owned(), after_request: false }) {
            tracing::info!(session = %id, "session ended: {reason}");
        }
    }

    /// Ends the sessions of tokens that stand for other groups by now. A login that is under way may still have the old ones, so
    /// that a change is remembered for as long as one takes.
    fn sweep_regrouped(&self, regrouped: &mut Regrouped) {
        regrouped.retain(|_, (since, _)| since.elapsed() < Duration::from_millis(LOGIN_MS_MAX));
        if regrouped.is_empty() {
            return;
        }
        let is_other = |proven: &Identity| {
            let token = proven.token_id.as_ref().and_then(|id| regrouped.get(id));
            token.is_some_and(|(_, identity)| identity != proven)
        };
        let open = self.open_sessions();
        let lost: Vec<SessionId> =
            open.iter().filter(|(_, open)| is_other(open.people.proven())).map(|(id, _)| *id).collect();
        drop(open);
        for id in lost {
            self.take_away(id, "your groups have changed: connect again");
        }
    }

    /// Sees which tokens stand for others by now.
    async fn look_at_tokens(&self, generation: &mut i64, regrouped: &mut Regrouped) {
        let Ok(changes) = self.store.tokens_changed_since(*generation).await else { return };
        let ids: Vec<&str> = changes.ids.iter().map(String::as_str).collect();
        // All of them once more, at the next look, where they cannot be read.
        let Ok(tokens) = self.store.tokens(&ids).await else { return };
        let since = Instant::now();
        let live = tokens.into_iter().filter(|token| token.revoked_at.is_none());
        regrouped.extend(live.map(|token| (token.id.clone(), (since, token.identity()))));
        *generation = changes.generation;
    }

    /// Puts on record what was done to people, tokens and logins, by whatever process, also while no gateway ran.
    pub(super) async fn note_acts(&self, now: Timestamp) {
        for _ in 0..ACT_PAGES_MAX {
            let acts = match self.store.acts_waiting().await {
                Ok(acts) if acts.is_empty() => return,
                Ok(acts) => acts,
                Err(error) => return tracing::error!(%error, "what administrators did cannot be read"),
            };
            let made: Vec<&str> =
                acts.iter().filter(|act| act.what == TOKEN_CREATED).map(|act| act.subject.as_str()).collect();
            let made = match self.store.tokens(&made).await {
                Ok(made) => made.into_iter().map(|token| (token.id.clone(), token)).collect(),
                Err(error) => return tracing::error!(%error, "what administrators did cannot be read"),
            };
            for act in &acts {
                // One that was recorded and could not be deleted.
                if act.number <= self.acts_noted.load(Ordering::Acquire) {
                    continue;
                }
                if !self.note_act(act, &made, now) {
                    break;
                }
                self.acts_noted.store(act.number, Ordering::Release);
            }
            let noted = self.acts_noted.load(Ordering::Acquire);
            if let Err(error) = self.store.settle_acts(noted).await {
                return tracing::error!(%error, "what administrators did is recorded, and may be once more at the next start");
            }
            if acts.last().is_some_and(|last| last.number > noted) {
                return;
            }
        }
    }

    /// Whether it is on record. `made` are the tokens that were made, by their ids.
    fn note_act(&self, act: &Act, made: &HashMap<String, TokenInfo>, now: Timestamp) -> bool {
        match act.what.as_str() {
            TOKEN_CREATED => {
                // Nothing is left to say of a token that is not there any more.
                let Some(token) = made.get(&act.subject) else { return true };
                let groups: Vec<Cow<'_, str>> = token.groups.iter().map(|g| Cow::Borrowed(g.as_str())).collect();
                let targets: Vec<Cow<'_, str>> =
                    token.targets.iter().flatten().map(|t| Cow::Borrowed(t.as_str())).collect();
                let actions: Vec<Cow<'_, str>> =
                    token.actions.iter().flatten().map(|action| Cow::Borrowed(action.name())).collect();
                let event = TokenCreated {
                    token_id: token.id.as_str().into(),
                    user: token.user.as_str().into(),
                    groups: groups.into(),
                    kind: token.kind,
                    targets: targets.into(),
                    expires: Some(token.expires),
                    by: act.by.as_str().into(),
                    actions: actions.into(),
                    on_behalf_of: token.on_behalf_of.iter().map(|party| Cow::Borrowed(party.user.as_str())).collect(),
                };
                self.log.take_over(event, now)
            }
            TOKEN_REVOKED => {
                let (token_id, by) = (act.subject.as_str().into(), act.by.as_str().into());
                self.log.take_over(TokenRevoked { token_id, by }, now)
            }
            what => {
                let event = Administered {
                    number: act.number.unsigned_abs(),
                    done: act.at,
                    what: what.into(),
                    subject: act.subject.as_str().into(),
                    detail: act.detail.as_str().into(),
                    by: act.by.as_str().into(),
                };
                self.log.take_over(event, now)
            }
        }
    }

    /// Tells the index what sessions have done since it was last told.
    fn list_counts(&self) {
        for (id, open) in self.open_sessions().iter_mut() {
            let requests = open.counts.requests();
            let counts = SessionCounts { requests, denied: open.counts.denied(), rows: open.counts.rows() };
            if open.listed != requests {
                self.index.counted(*id, counts);
                open.listed = requests;
            }
        }
    }

    async fn tick_journal(self: &Arc<Self>, now: Timestamp) {
        let gateway = Arc::clone(self);
        // Signing and finishing write to the disk, which may be slow; the leases must not wait for it.
        let ticked = tokio::task::spawn_blocking(move || gateway.journal.tick(now)).await;
        match ticked {
            Ok(Ok(_)) => {}
            Ok(Err(error)) => tracing::error!(%error, "the log of recordings cannot be signed"),
            Err(error) => tracing::error!(%error, "the log of recordings was not signed"),
        }
    }
}

/// Why a session may not stay, by the rules of now.
fn lost_connect(rules: &Rules, session: &LiveSession, now: Timestamp) -> Option<String> {
    let target = session.target.parse().ok().and_then(|name| rules.targets.get(&name));
    let Some(target) = target else { return Some(format!("target \"{}\" is no longer configured", session.target)) };
    match Judge::new(rules, target, &session.identity, session.peer.ip(), now).connect().ruling {
        Ruling::Allow | Ruling::Hold(_) => None,
        Ruling::Deny(denial) => Some(match denial.detail {
            Some(detail) => format!("access was taken away: {detail}"),
            None => "access was taken away".to_owned(),
        }),
    }
}

fn publish(gateway: &Gateway) {
    let count = |n: usize| f64::from(u32::try_from(n).unwrap_or(u32::MAX));
    metrics::gauge!(names::SESSIONS_LIVE).set(count(gateway.live.len()));
    metrics::gauge!(names::HOLDS_LIVE).set(count(gateway.approvals.live_count()));
}
