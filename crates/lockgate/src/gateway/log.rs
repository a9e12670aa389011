//! The gateway's own recording: starts, stops, reloads, tokens, refused logins, decisions. It is sealed like a session's.

use lockgate_core::{SessionId, Timestamp};
use lockgate_record::{Event, SessionRecorder};
use lockgate_store::journal::{Journal, JournalError};
use std::sync::{Mutex, PoisonError};

/// The gateway's recording, open from start to stop.
pub struct GatewayLog {
    recorder: Mutex<SessionRecorder>,
}

impl GatewayLog {
    /// Begins the recording of this run.
    ///
    /// # Errors
    /// When the journal cannot take it.
    pub fn open(journal: &Journal, id: SessionId, now: Timestamp) -> Result<Self, JournalError> {
        Ok(GatewayLog { recorder: Mutex::new(journal.gateway_log(id, now)?) })
    }

    /// Writes what happened. An event that cannot be written is said aloud: nothing that it tells of can be undone, and
    /// refusing logins for a full disk is the sessions' own business.
    pub fn note<'a>(&self, event: impl Into<Event<'a>>, now: Timestamp) {
        let event = event.into();
        let name = event.name();
        let mut recorder = self.recorder.lock().unwrap_or_else(PoisonError::into_inner);
        if let Err(error) = recorder.append(event, now) {
            tracing::error!(event = name, %error, "the gateway's own recording cannot be written");
        }
    }

    /// Writes what is about to happen. Whether it was written: what cannot be recorded must not happen.
    pub fn record<'a>(&self, event: impl Into<Event<'a>>, now: Timestamp) -> bool {
        let event = event.into();
        let name = event.name();
        let mut recorder = self.recorder.lock().unwrap_or_else(PoisonError::into_inner);
        let written = recorder.append(event, now);
        if let Err(error) = &written {
            tracing::error!(event = name, %error, "the gateway's own recording cannot be written, so this is refused");
        }
        written.is_ok()
    }

    /// Takes over what was done elsewhere. Whether it was written: what was not is taken over later.
    pub fn take_over<'a>(&self, event: impl Into<Event<'a>>, now: Timestamp) -> bool {
        let mut recorder = self.recorder.lock().unwrap_or_else(PoisonError::into_inner);
        let written = recorder.append(event.into(), now);
        if let Err(error) = &written {
            tracing::error!(%error, "what administrators did cannot be recorded yet");
        }
        written.is_ok()
    }

    /// Ends the recording with its last event.
    pub fn close<'a>(&self, last: impl Into<Event<'a>>, now: Timestamp) {
        let mut recorder = self.recorder.lock().unwrap_or_else(PoisonError::into_inner);
        if let Err(error) = recorder.close_with(last.into(), now) {
            tracing::error!(%error, "the gateway's own recording cannot be ended; the next start ends it");
        }
    }
}
