//! Keeps the list of sessions true: when a session is gone, how it ended and what it did.
//!
//! A session whose end is on record has counted that itself. The recording is read only where it has not: after a crash,
//! or where the end could not be written. A crash may also come before a session is listed: then its recording lists it.

use lockgate_core::{Identity, IdentityKind, Principal, SessionId, Timestamp};
use lockgate_record::{CloseReason, Event, RecordingKeys, SessionOpened as Opening, VerdictKind};
use lockgate_store::journal::Archive;
use lockgate_store::{SessionCounts, SessionLog, SessionOpened};
use std::sync::Arc;
use tokio::sync::mpsc;

/// What a recording says of a session as a whole.
#[derive(Clone, Debug, Default)]
pub struct Summary {
    /// Who opened it, where and when; `None` where its beginning cannot be read.
    pub opened: Option<SessionOpened>,
    /// Requests, refusals and rows.
    pub counts: SessionCounts,
    /// Why it ended and when; `None` while it has no end.
    pub closed: Option<(String, Timestamp)>,
}

/// Reads a recording for its summary. What cannot be read ends it early.
pub fn summarize(archive: &Archive, keys: &RecordingKeys, id: SessionId) -> Summary {
    let mut summary = Summary::default();
    let Ok(events) = archive.read(keys, id) else { return summary };
    for recorded in events.map_while(Result::ok) {
        match recorded.event {
            Event::SessionOpened(opening) => summary.opened = opened(id, &opening, recorded.time),
            Event::Asked(_) => summary.counts.requests += 1,
            Event::Judged(judged) if judged.verdict == VerdictKind::Deny => summary.counts.denied += 1,
            Event::Done(done) => summary.counts.rows = summary.counts.rows.saturating_add(done.rows),
            Event::SessionClosed(closed) => {
                summary.closed = Some((reason(closed.reason, &closed.detail), recorded.time))
            }
            _ => {}
        }
    }
    summary
}

/// What a recording's beginning says, for a listing.
fn opened(id: SessionId, opening: &Opening<'_>, at: Timestamp) -> Option<SessionOpened> {
    Some(SessionOpened {
        id,
        identity: Identity {
            user: opening.user.to_string(),
            groups: opening.groups.iter().map(ToString::to_string).collect(),
            kind: opening.kind,
            directories: Vec::new(),
            on_behalf_of: opening
                .on_behalf_of
                .iter()
                .map(|party| Principal {
                    user: party.user.to_string(),
                    kind: IdentityKind::default(),
                    groups: Some(party.groups.iter().map(ToString::to_string).collect()),
                    directories: Vec::new(),
                })
                .collect(),
            token_id: opening.token_id.as_deref().map(str::to_owned),
            actions: None,
        },
        protocol: opening.protocol.to_string().into(),
        target: opening.target.parse().ok()?,
        database: Some(opening.database.to_string()).filter(|name| !name.is_empty()),
        client: opening.client.to_string(),
        opened: at,
    })
}

/// Why a session ended, for a listing.
pub fn reason(reason: CloseReason, detail: &str) -> String {
    let word = match reason {
        CloseReason::ClientClosed => "closed",
        CloseReason::ClientLost => "client lost",
        CloseReason::TargetLost => "target lost",
        CloseReason::AccessLost => "access lost",
        CloseReason::Cut => "ended by an administrator",
        CloseReason::Shutdown => "gateway stopped",
        CloseReason::Protocol => "protocol violation",
        CloseReason::TimedOut => "timed out",
        CloseReason::Unrecordable => "could not be recorded",
        CloseReason::Aborted => "aborted",
        CloseReason::Refused => "refused",
    };
    if detail.is_empty() { word.to_owned() } else { format!("{word}: {detail}") }
}

/// Writes the ends of sessions into the index, one after the other, until every sender is gone.
pub async fn run(mut gone: mpsc::Receiver<SessionId>, archive: Archive, keys: Arc<RecordingKeys>, log: SessionLog) {
    while let Some(id) = gone.recv().await {
        let (archive, keys) = (archive.clone(), Arc::clone(&keys));
        let Ok(summary) = tokio::task::spawn_blocking(move || summarize(&archive, &keys, id)).await else { continue };
        let (why, at) = summary.closed.unwrap_or_else(|| ("without an end on record".to_owned(), crate::when::now()));
        log.recovered(summary.opened, id, at, &why, summary.counts);
    }
}
