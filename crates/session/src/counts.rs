//! What a session has done so far, for lists of sessions that live. The recording has the true numbers; these are read
//! from outside while the session goes on.

use lockgate_core::Timestamp;
use lockgate_record::CloseReason;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

/// Counters of one session. They only grow.
#[derive(Debug, Default)]
pub struct Counts {
    requests: AtomicU64,
    denied: AtomicU64,
    rows: AtomicU64,
    closed: OnceLock<Closed>,
}

/// How a session ended, once that is on record.
#[derive(Debug)]
pub struct Closed {
    /// Why.
    pub reason: CloseReason,
    /// In words.
    pub detail: String,
    /// When.
    pub at: Timestamp,
}

impl Counts {
    /// Requests judged.
    pub fn requests(&self) -> u64 {
        self.requests.load(Ordering::Relaxed)
    }

    /// Requests denied.
    pub fn denied(&self) -> u64 {
        self.denied.load(Ordering::Relaxed)
    }

    /// Rows of requests that have ended.
    pub fn rows(&self) -> u64 {
        self.rows.load(Ordering::Relaxed)
    }

    /// How the session ended, if its end is on record.
    pub fn closed(&self) -> Option<&Closed> {
        self.closed.get()
    }

    pub(crate) fn close(&self, reason: CloseReason, detail: &str, at: Timestamp) {
        let _ = self.closed.set(Closed { reason, detail: detail.to_owned(), at });
    }

    pub(crate) fn judged(&self, denied: bool) {
        self.requests.fetch_add(1, Ordering::Relaxed);
        self.denied.fetch_add(u64::from(denied), Ordering::Relaxed);
    }

    pub(crate) fn ended(&self, rows: u64) {
        self.rows.fetch_add(rows, Ordering::Relaxed);
    }
}
