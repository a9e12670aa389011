//! Labels that data brought along: columns that no configuration names and that labelled values were written to
//! (`laundering: propagate`). One book per database of a target, shared by its sessions.
//!
//! What is in the book counts for everybody at once, whatever became of the transaction that wrote it: a label too many
//! masks too much, one too few leaks. The shell makes an entry durable before it comes into the book.

use lockgate_core::limits::LABELS_CARRIED_MAX;
use lockgate_core::{SessionId, Timestamp};
use lockgate_sql::CarriedLabel;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// The carried labels of one database.
pub struct LabelBook {
    target: String,
    place: String,
    database: String,
    entries: Mutex<Vec<Entry>>,
    version: AtomicU64,
}

/// A label, and who brought it: two sessions may bring the same one, and what becomes of the one says nothing of the other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BroughtLabel {
    /// The label.
    pub label: CarriedLabel,
    /// The session; `None` where that was not written down.
    pub by: Option<SessionId>,
}

struct Entry {
    label: CarriedLabel,
    /// The session that brought it.
    by: Option<SessionId>,
    /// The session whose transaction is not over.
    open: Option<SessionId>,
    /// Another session has judged by it, and may have written because of it.
    relied: bool,
    /// When its transaction was over.
    settled: Timestamp,
    /// The book's version that it came with.
    version: u64,
}

impl Entry {
    fn brought(&self) -> BroughtLabel {
        BroughtLabel { label: self.label.clone(), by: self.by }
    }
}

impl LabelBook {
    /// A book without labels.
    pub fn new(target: &str, place: &str, database: &str) -> Self {
        LabelBook {
            target: target.to_owned(),
            place: place.to_owned(),
            database: database.to_owned(),
            entries: Mutex::new(Vec::new()),
            version: AtomicU64::new(1),
        }
    }

    /// Takes in what was stored before.
    pub fn adopt(&self, labels: Vec<BroughtLabel>, now: Timestamp) {
        if labels.is_empty() {
            return;
        }
        let mut entries = self.entries();
        let version = self.version().saturating_add(1);
        let entry = |BroughtLabel { label, by }| Entry { label, by, open: None, relied: true, settled: now, version };
        entries.extend(labels.into_iter().map(entry));
        self.version.store(version, Ordering::Release);
    }

    /// Everything that is in it, whatever becomes of it.
    pub fn all(&self) -> Vec<BroughtLabel> {
        let mut entries = self.entries();
        entries.iter_mut().for_each(|entry| entry.relied = true);
        entries.iter().map(Entry::brought).collect()
    }

    /// An empty one.
    pub fn empty() -> Self {
        LabelBook::new("", "", "")
    }

    /// The target that it was opened for.
    pub fn target(&self) -> &str {
        &self.target
    }

    /// Where that leads.
    pub fn place(&self) -> &str {
        &self.place
    }

    /// The database, as the target knows it.
    pub fn database(&self) -> &str {
        &self.database
    }

    fn entries(&self) -> MutexGuard<'_, Vec<Entry>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Grows with every change.
    pub fn version(&self) -> u64 {
        self.version.load(Ordering::Acquire)
    }

    /// Whether others have brought labels since a version. What a session brought itself is no news to it; what was taken out
    /// masked more than is needed.
    pub fn has_others_since(&self, session: SessionId, version: u64) -> bool {
        self.entries().iter().any(|entry| entry.version > version && entry.by != Some(session))
    }

    /// What counts now, and the version that it is of. Whoever asks judges by it.
    pub fn labels(&self, session: SessionId) -> (u64, Vec<CarriedLabel>) {
        let mut entries = self.entries();
        for entry in entries.iter_mut() {
            entry.relied |= entry.open.is_some_and(|open| open != session);
        }
        (self.version(), entries.iter().map(|e| e.label.clone()).collect())
    }

    /// Those that the book does not have yet. On the others the session relies from now on.
    pub fn missing(&self, session: SessionId, labels: Vec<CarriedLabel>) -> Vec<CarriedLabel> {
        let mut entries = self.entries();
        let mut missing: Vec<CarriedLabel> = Vec::new();
        for label in labels {
            let mut known = false;
            for entry in entries.iter_mut().filter(|e| e.label.includes(&label)) {
                known = true;
                entry.relied |= entry.open.is_some_and(|open| open != session);
            }
            if !known && !missing.contains(&label) {
                missing.push(label);
            }
        }
        missing
    }

    /// Whether so many more have room.
    pub fn has_room(&self, more: usize) -> bool {
        self.entries().len().saturating_add(more) <= LABELS_CARRIED_MAX
    }

    /// From now on these count. They are stored already.
    pub fn add(&self, session: SessionId, labels: &[CarriedLabel]) {
        let mut entries = self.entries();
        let version = self.version().saturating_add(1);
        for label in labels {
            entries.push(Entry {
                label: label.clone(),
                by: Some(session),
                open: Some(session),
                relied: false,
                settled: Timestamp::default(),
                version,
            });
        }
        self.version.store(version, Ordering::Release);
    }

    /// The transaction that brought them is over, and may have been committed.
    pub fn settle(&self, session: SessionId, now: Timestamp) {
        for entry in self.entries().iter_mut().filter(|e| e.open == Some(session)) {
            entry.open = None;
            entry.settled = now;
        }
    }

    /// The session is over: what became of its transaction is not known, and its temporary relations are gone.
    pub fn leave(&self, session: SessionId, now: Timestamp) {
        self.settle(session, now);
        self.entries().retain(|e| !(e.label.temporary && e.by == Some(session)));
    }

    /// The transaction that brought these was undone. Those that nobody else relied on are taken out, and given back to be
    /// taken out of the store as well.
    pub fn undo(&self, session: SessionId, labels: &[CarriedLabel]) -> Vec<BroughtLabel> {
        let mut gone = Vec::new();
        let mut entries = self.entries();
        entries.retain(|entry| {
            let undone = entry.open == Some(session) && !entry.relied && labels.contains(&entry.label);
            if undone {
                gone.push(entry.brought());
            }
            !undone
        });
        if !gone.is_empty() {
            self.version.fetch_add(1, Ordering::Release);
        }
        gone
    }

    /// Takes out what is on relations that are no more: `exists` tells by the catalog as it is outside of any transaction.
    /// An entry that is younger than `settled_before` may be of a transaction whose end is not seen yet.
    pub fn forget_absent(&self, settled_before: Timestamp, exists: impl Fn(u32) -> bool) -> Vec<BroughtLabel> {
        let mut gone = Vec::new();
        self.entries().retain(|entry| {
            let absent = entry.open.is_none()
                && !entry.label.temporary
                && entry.settled.millis_since(settled_before) < 0
                && !exists(entry.label.relation);
            if absent {
                gone.push(entry.brought());
            }
            !absent
        });
        gone
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may fail")]
mod tests {
    use super::*;

    fn label(relation: u32) -> CarriedLabel {
        CarriedLabel { relation, column: 1, label: "pii/ssn".parse().unwrap(), derived: false, temporary: false }
    }

    fn brought(relation: u32, by: u128) -> BroughtLabel {
        BroughtLabel { label: label(relation), by: Some(session(by)) }
    }

    fn session(number: u128) -> SessionId {
        SessionId::new(Timestamp::default(), number)
    }

    #[test]
    fn an_undone_label_stays_where_another_session_relied_on_it() {
        let book = LabelBook::empty();
        book.add(session(1), &[label(1), label(2)]);
        assert!(book.missing(session(1), vec![label(1)]).is_empty());
        assert_eq!(book.undo(session(2), &[label(1)]), []);
        assert_eq!(book.undo(session(1), &[label(1)]), [brought(1, 1)]);
        assert_eq!(book.labels(session(1)).1, [label(2)]);
        book.labels(session(2));
        assert_eq!(book.undo(session(1), &[label(2)]), []);
        assert_eq!(book.labels(session(1)).1, [label(2)]);
    }

    #[test]
    fn who_copies_under_a_label_relies_on_it() {
        let book = LabelBook::empty();
        book.add(session(1), &[label(1)]);
        assert!(book.missing(session(2), vec![label(1)]).is_empty());
        assert_eq!(book.undo(session(1), &[label(1)]), []);
        assert_eq!(book.labels(session(1)).1, [label(1)]);
    }

    /// Both were asked for before either was there.
    #[test]
    fn the_same_label_of_two_sessions_is_two() {
        let book = LabelBook::empty();
        book.add(session(1), &[label(1)]);
        book.add(session(2), &[label(1)]);
        assert_eq!(book.undo(session(2), &[label(1)]), [brought(1, 2)]);
        assert_eq!(book.labels(session(1)).1, [label(1)]);
    }

    #[test]
    fn only_settled_labels_of_absent_relations_are_forgotten() {
        let book = LabelBook::empty();
        let late = Timestamp::from_millis(1_000);
        book.add(session(1), &[label(1), label(2)]);
        assert_eq!(book.forget_absent(late, |_| false), []);
        book.settle(session(1), Timestamp::from_millis(500));
        assert_eq!(book.forget_absent(Timestamp::from_millis(500), |_| false), []);
        assert_eq!(book.forget_absent(late, |oid| oid == 2), [brought(1, 1)]);
        assert_eq!(book.labels(session(1)).1, [label(2)]);
    }

    #[test]
    fn every_change_is_a_version() {
        let book = LabelBook::empty();
        let first = book.version();
        book.add(session(1), &[label(1)]);
        let second = book.version();
        book.undo(session(1), &[label(1)]);
        assert!(first < second && second < book.version());
    }

    #[test]
    fn what_a_session_brought_is_no_news_to_it() {
        let book = LabelBook::empty();
        let before = book.version();
        book.add(session(1), &[label(1)]);
        assert!(!book.has_others_since(session(1), before) && book.has_others_since(session(2), before));
        let then = book.version();
        assert!(!book.has_others_since(session(2), then));
        book.adopt(vec![brought(2, 2)], Timestamp::default());
        assert!(book.has_others_since(session(1), then) && !book.has_others_since(session(2), then));
    }
}
