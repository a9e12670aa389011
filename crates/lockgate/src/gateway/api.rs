//! What the HTTP API asks of the gateway: who administers, which targets there are, which sessions live, what a recording
//! holds. And the starting of the API and of the metrics.

use super::Gateway;
use crate::when;
use anyhow::Context;
use aws_lc_rs::constant_time;
use lockgate_api::{
    Access, ApiState, BoxFuture, DecisionMade, Detokenizer, EventStream, EventView, IdentityProviders, JournalReader,
    LiveSessions, Passwords, Readiness, SignIn, StillMay, TargetInfo,
};
use lockgate_config::Admin;
use lockgate_core::{Identity, SessionId, Standing, TargetName, Timestamp};
use lockgate_record::{
    ApprovalDecided, DamageKind, Digest, Done, Event, Failure, HoldOutcome, JsonLines, Notice, ReadError, Recorded,
    SessionCut, TokenUsed,
};
use lockgate_session::wire::Cut;
use lockgate_session::{Judge, Ruling};
use lockgate_store::journal::{Events, JournalError};
use metrics_exporter_prometheus::PrometheusBuilder;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

/// How long an answer about readiness is good for.
const READY_LOOK: Duration = Duration::from_millis(500);
/// Lines of a recording that wait for a slow reader.
const LINES_QUEUE: usize = 64;
/// How often a session that is followed is looked at.
const FOLLOW_LOOK: Duration = Duration::from_millis(250);
/// What stands in the place of a text of the target for those who see what was done and not what came of it.
const LEFT_OUT: &str = "(the target's text is shown to whose session it was)";
/// How long nothing may be sent to who follows a session.
const SIGN_OF_LIFE: Duration = Duration::from_secs(15);

impl Gateway {
    /// Serves the API until told to stop.
    pub fn serve_api(
        self: &Arc<Self>,
        tcp: TcpListener,
        stopped: watch::Receiver<bool>,
    ) -> tokio::task::JoinHandle<()> {
        let access: Arc<dyn Access> = Arc::<Gateway>::clone(self);
        let sessions: Arc<dyn LiveSessions> = Arc::<Gateway>::clone(self);
        let journal: Arc<dyn JournalReader> = Arc::<Gateway>::clone(self);
        let detokenizer: Arc<dyn Detokenizer> = Arc::<Gateway>::clone(self);
        let (store, approvals) = (self.store.clone(), self.approvals.clone());
        let readiness: Arc<dyn Readiness> = Arc::<Gateway>::clone(self);
        let providers: Arc<dyn IdentityProviders> = Arc::<Gateway>::clone(self);
        let sign_in: Arc<dyn SignIn> = Arc::<Gateway>::clone(self);
        let passwords: Arc<dyn Passwords> = Arc::<Gateway>::clone(self);
        let state = ApiState::new(store, approvals, access, sessions, journal, detokenizer, readiness)
            .with_providers(providers)
            .with_sign_in(sign_in)
            .with_passwords(passwords)
            .with_late(Arc::clone(&self.late));
        let tls = Arc::clone(&self.tls.config);
        let late = Arc::clone(&self.late);
        tokio::spawn(lockgate_api::serve(tcp, tls, late, lockgate_api::router(state), told(stopped)))
    }

    /// Serves the metrics until told to stop.
    ///
    /// # Errors
    /// When this process counts already.
    pub fn serve_metrics(self: &Arc<Self>, tcp: TcpListener, stopped: watch::Receiver<bool>) -> anyhow::Result<()> {
        let handle = PrometheusBuilder::new().install_recorder().context("the metrics cannot be counted")?;
        let readiness: Arc<dyn Readiness> = Arc::<Gateway>::clone(self);
        tokio::spawn(lockgate_api::serve_plain(tcp, lockgate_api::metrics_router(handle, readiness), told(stopped)));
        Ok(())
    }
}

async fn told(mut stopped: watch::Receiver<bool>) {
    // A sender that is gone also means that the gateway stops.
    let _ = stopped.wait_for(|stopped| *stopped).await;
}

impl Access for Gateway {
    fn is_admin(&self, identity: &Identity) -> bool {
        has_role(&self.config().admins, identity)
    }

    fn is_auditor(&self, identity: &Identity) -> bool {
        has_role(&self.config().auditors, identity)
    }

    fn may_connect(&self, identity: &Identity, target: &TargetName, now: Timestamp) -> bool {
        let rules = self.rules.load_full();
        let Some(known) = rules.targets.get(target) else { return false };
        // The listing is not a session: where the client will connect from is not known yet.
        let nowhere = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
        match Judge::new(&rules, known, identity, nowhere, now).connect().ruling {
            Ruling::Allow | Ruling::Hold(_) => true,
            Ruling::Deny(_) => false,
        }
    }

    fn decided(&self, decision: &DecisionMade<'_>) {
        let event = ApprovalDecided {
            approval: decision.approval.into(),
            session: decision.session.into(),
            outcome: if decision.approved { HoldOutcome::Approved } else { HoldOutcome::Denied },
            by: decision.by.into(),
            reason: decision.reason.into(),
        };
        self.log.note(event, when::now());
    }

    fn stand(&self, proven: Identity) -> BoxFuture<'_, Result<Identity, String>> {
        Box::pin(async move { self.ask_directories(&proven).await })
    }

    fn directory(&self, secret: &str) -> Option<String> {
        // Each of them is compared, in the same time.
        let digest = |text: &str| Digest::of_parts(&[text.as_bytes()]).0;
        let (config, offered) = (self.config(), digest(secret));
        let mut found = None;
        for known in &config.scim {
            if constant_time::verify_slices_are_equal(&digest(known.token.expose()), &offered).is_ok() {
                found = Some(known.name.clone());
            }
        }
        found
    }

    fn people_changed(&self) {
        self.sweep_people();
    }

    fn used(&self, identity: &Identity, source: IpAddr, purpose: &str) {
        let (token, now) = (identity.token_id.as_deref().unwrap_or_default(), when::now());
        if self.uses.is_news(token, source, purpose, now) {
            let event = TokenUsed {
                token_id: token.into(),
                user: identity.display_chain().into(),
                client: source.to_string().into(),
                purpose: purpose.into(),
            };
            self.log.note(event, now);
        }
    }

    fn login_refused(&self, source: IpAddr, reason: &str) {
        self.note_refusal("https", source, &source, ("", ""), reason);
    }

    fn targets(&self) -> Vec<TargetInfo> {
        self.config()
            .targets
            .iter()
            .map(|target| TargetInfo {
                name: target.name.clone(),
                protocol: "postgres".to_owned(),
                labels: target.labels.iter().map(|(key, value)| (key.clone(), value.clone())).collect(),
            })
            .collect()
    }
}

/// Whether an identity is among these, and everybody it acts for is, by each list of their groups.
fn has_role(holders: &[Admin], identity: &Identity) -> bool {
    let has = |standing: &Standing<'_>| {
        holders.iter().any(|holder| match holder {
            Admin::User(user) => user == standing.user,
            Admin::Group(group) => standing.groups.contains(group),
        })
    };
    identity.standings().is_ok_and(|standings| standings.iter().all(has))
}

impl LiveSessions for Gateway {
    fn kill(&self, id: SessionId, by: &str) -> bool {
        let cut = Cut { reason: format!("ended by {by}"), after_request: false };
        let was_there = self.live.cut(id, cut);
        if was_there {
            tracing::info!(session = %id, "session ended by {by}");
            let event = SessionCut { session: id.to_string().into(), by: by.into(), reason: "".into() };
            self.log.note(event, when::now());
        }
        was_there
    }

    fn live(&self) -> std::collections::HashSet<SessionId> {
        self.live.list().iter().map(|session| session.id).collect()
    }
}

impl Readiness for Gateway {
    fn ready(&self) -> BoxFuture<'_, Result<(), String>> {
        Box::pin(async move {
            if !self.ready.load(Ordering::Acquire) {
                return Err("the gateway is starting or stopping".to_owned());
            }
            if let Err(error) = self.store.tokens_changed_since(i64::MAX).await {
                tracing::error!(%error, "not ready: the store cannot answer");
                return Err("the store cannot answer".to_owned());
            }
            // Anybody may ask, and the answer costs a write: once for all who ask within a moment.
            let mut known = self.recordable.lock().await;
            if let Some((at, answer)) = known.as_ref()
                && at.elapsed() < READY_LOOK
            {
                return answer.clone();
            }
            let journal = self.journal.clone();
            let accepts = tokio::task::spawn_blocking(move || journal.accepts().map_err(|error| error.to_string()));
            let answer = accepts.await.unwrap_or_else(|error| Err(error.to_string()));
            let answer = answer.map_err(|why| format!("sessions cannot be recorded: {why}"));
            if let Err(why) = &answer {
                tracing::error!("not ready: {why}");
            }
            *known = Some((std::time::Instant::now(), answer.clone()));
            answer
        })
    }
}

impl JournalReader for Gateway {
    fn events(
        &self,
        session: SessionId,
        view: EventView,
        follow: Option<StillMay>,
    ) -> BoxFuture<'_, Result<Option<EventStream>, String>> {
        Box::pin(async move {
            let archive = self.journal.archive();
            let keys = Arc::clone(self.journal.keys());
            let opened = tokio::task::spawn_blocking(move || archive.read(&keys, session)).await;
            let events = match opened.map_err(|error| error.to_string())? {
                Ok(events) => events,
                Err(JournalError::NoRecording(_)) => return Ok(None),
                Err(error) => return Err(error.to_string()),
            };
            let (lines, stream) = mpsc::channel(LINES_QUEUE);
            let reading = Reading { events, format: JsonLines::new(session), view, lines };
            tokio::spawn(send(reading, follow));
            Ok(Some(stream))
        })
    }
}

/// A recording on its way to a reader.
struct Reading {
    events: Events,
    format: JsonLines,
    view: EventView,
    lines: mpsc::Sender<Result<Vec<u8>, String>>,
}

/// Sends what there is; with `follow`, also what comes.
async fn send(mut reading: Reading, follow: Option<StillMay>) {
    let mut quiet = Instant::now();
    loop {
        let sent = tokio::task::spawn_blocking(move || {
            let sent = reading.send();
            (reading, sent)
        });
        let Ok((back, sent)) = sent.await else { return };
        reading = back;
        let Some(still_may) = &follow else { return };
        match sent {
            Sent::Lines => quiet = Instant::now(),
            Sent::Nothing if quiet.elapsed() >= SIGN_OF_LIFE => {
                quiet = Instant::now();
                if reading.lines.send(Ok(b"\n".to_vec())).await.is_err() {
                    return;
                }
            }
            Sent::Nothing => {}
            Sent::Over => return,
        }
        tokio::time::sleep(FOLLOW_LOOK).await;
        let more = reading.events.look_again();
        if reading.lines.is_closed() || !still_may() || !more.unwrap_or(false) {
            return;
        }
    }
}

/// How a reading went.
enum Sent {
    /// There was something new.
    Lines,
    Nothing,
    /// Nobody reads any more, or nothing more can be read.
    Over,
}

impl Reading {
    /// Reads on a thread for blocking work, as fast as the reader takes it.
    fn send(&mut self) -> Sent {
        let mut sent = Sent::Nothing;
        for event in self.events.by_ref() {
            let line = match event {
                Ok(event) => {
                    let event = match self.view {
                        EventView::Whole => Some(event),
                        EventView::WithoutResults => without_answers(event),
                    };
                    let Some(event) = event else { continue };
                    self.format.line(&event).map_err(|error| error.to_string())
                }
                // The end of a session that lives.
                Err(ReadError::Damaged(damage)) if damage.kind == DamageKind::Torn => return sent,
                Err(error) => Err(error.to_string()),
            };
            let line = line.map(|mut line| {
                line.push('\n');
                line.into_bytes()
            });
            let broken = line.is_err();
            if self.lines.blocking_send(line).is_err() || broken {
                return Sent::Over;
            }
            sent = Sent::Lines;
        }
        sent
    }
}

/// An event without what the target answered and what was sent to it in bulk. Its errors and notices quote values as freely as rows
/// hold them, so that only their codes are left; what the gateway itself said stays.
fn without_answers(recorded: Recorded<'_>) -> Option<Recorded<'_>> {
    let event = match recorded.event {
        Event::Rows(_) | Event::Input(_) => return None,
        Event::Notice(notice) => Event::Notice(Notice { message: LEFT_OUT.into(), ..notice }),
        Event::Done(done) => {
            let ours = |error: &Failure<'_>| matches!(&*error.fault, "policy" | "us");
            let error = done.error.map(|error| match ours(&error) {
                true => error,
                false => Failure { message: LEFT_OUT.into(), ..error },
            });
            Event::Done(Done { error, ..done })
        }
        event => event,
    };
    Some(Recorded { event, ..recorded })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;
    use lockgate_record::{DoneKind, Rows};

    #[test]
    fn who_may_not_see_data_is_not_told_it_by_errors_and_notices() {
        let left = |event: Event<'static>| {
            let recorded = Recorded { seq: 1, time: Timestamp::from_millis(0), event };
            without_answers(recorded).map(|recorded| format!("{:?}", recorded.event))
        };
        let done = |fault: &'static str| {
            Event::Done(Done {
                request: 1,
                outcome: DoneKind::Failed,
                tag: "".into(),
                rows: 0,
                bytes: 0,
                error: Some(Failure { code: "22P02".into(), message: "of \"CANARY\"".into(), fault: fault.into() }),
                duration_us: 1,
            })
        };
        assert_eq!(left(Event::Rows(Rows { request: 1, count: 1, data: b"CANARY".as_slice().into() })), None);
        let notice =
            Notice { request: Some(1), severity: "NOTICE".into(), code: "00000".into(), message: "CANARY".into() };
        for (event, told) in [
            (Event::Notice(notice), false),
            (done("client"), false),
            (done("target"), false),
            (done("somebody"), false),
            (done("policy"), true),
            (done("us"), true),
        ] {
            let shown = left(event).unwrap();
            assert_eq!(shown.contains("CANARY"), told, "{shown}");
            assert!(shown.contains("00000") || shown.contains("22P02"), "{shown}");
        }
    }
}
