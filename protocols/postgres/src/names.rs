//! Names that the target keeps: prepared statements and portals. What a name means is what the target acknowledged.
//!
//! A client may pipeline `Parse`, `Bind` and `Execute` before the first is answered. What it proposes is visible to its
//! own later messages, becomes true with the target's acknowledgement, and is forgotten when it, or an earlier message,
//! fails: the target then drops everything up to the next Sync. What comes after that Sync runs all the same, so a name
//! proposed before it has one of two meanings there, and nobody knows which before the target has answered.

use std::collections::{HashMap, VecDeque};

/// One name space of a session.
pub(crate) struct Names<T> {
    known: HashMap<Box<[u8]>, T>,
    proposed: VecDeque<Proposal<T>>,
    max: usize,
}

/// What a message that was sent makes of a name, if it succeeds.
struct Proposal<T> {
    name: Box<[u8]>,
    meaning: Option<T>,
    /// The number of Syncs sent before it.
    batch: u64,
}

impl<T> Names<T> {
    pub(crate) fn new(max: usize) -> Self {
        Names { known: HashMap::new(), proposed: VecDeque::new(), max }
    }

    /// Whether another name still fits.
    pub(crate) fn has_room(&self) -> bool {
        self.known.len().saturating_add(self.proposed.len()) < self.max
    }

    /// What the name will mean once everything that was sent has happened.
    pub(crate) fn get(&self, name: &[u8]) -> Option<&T> {
        match self.proposed.iter().rev().find(|p| *p.name == *name) {
            Some(proposal) => proposal.meaning.as_ref(),
            None => self.known.get(name),
        }
    }

    /// As [`Self::get`], to change it.
    pub(crate) fn get_mut(&mut self, name: &[u8]) -> Option<&mut T> {
        match self.proposed.iter_mut().rev().find(|p| *p.name == *name) {
            Some(proposal) => proposal.meaning.as_mut(),
            None => self.known.get_mut(name),
        }
    }

    /// Whether a message of this batch that reaches the name can only find what [`Self::get`] says.
    pub(crate) fn is_certain(&self, name: &[u8], batch: u64) -> bool {
        self.proposed.iter().rev().find(|p| *p.name == *name).is_none_or(|p| p.batch == batch)
    }

    /// A message that would give (or, with `None`, take) the name was sent in this batch.
    pub(crate) fn propose(&mut self, name: &[u8], meaning: Option<T>, batch: u64) {
        self.proposed.push_back(Proposal { name: name.into(), meaning, batch });
    }

    /// The target acknowledged the oldest proposal.
    pub(crate) fn acknowledge(&mut self) {
        match self.proposed.pop_front() {
            Some(Proposal { name, meaning: Some(meaning), .. }) => drop(self.known.insert(name, meaning)),
            Some(Proposal { name, meaning: None, .. }) => drop(self.known.remove(&name)),
            None => {}
        }
    }

    /// The target refused or dropped the oldest proposal.
    pub(crate) fn reject(&mut self) {
        self.proposed.pop_front();
    }

    /// The meaning that waits for the target's next acknowledgement.
    pub(crate) fn front(&self) -> Option<&T> {
        self.proposed.front().and_then(|p| p.meaning.as_ref())
    }

    /// The name has this meaning from now on: a statement of SQL made it.
    pub(crate) fn set(&mut self, name: &[u8], meaning: T) {
        self.known.insert(name.into(), meaning);
    }

    /// The name is gone.
    pub(crate) fn remove(&mut self, name: &[u8]) {
        self.known.remove(name);
    }

    /// Only what `keep` says stays.
    pub(crate) fn retain(&mut self, keep: impl Fn(&T) -> bool) {
        if !self.known.is_empty() {
            self.known.retain(|_, meaning| keep(meaning));
            if self.known.is_empty() {
                self.known = HashMap::new();
            }
        }
    }

    /// Everything that has a name may mean something else: what it meant is forgotten.
    pub(crate) fn forget_named(&mut self) {
        self.known.retain(|name, _| name.is_empty());
    }

    /// All names are gone.
    pub(crate) fn clear(&mut self) {
        self.known = HashMap::new();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_target_did_not_acknowledge_is_forgotten() {
        let mut names = Names::new(10);
        names.set(b"a", 1);
        names.propose(b"a", Some(2), 0);
        assert_eq!(names.get(b"a"), Some(&2));
        // The target answers 42P05: the name exists already, and keeps its old meaning.
        names.reject();
        assert_eq!(names.get(b"a"), Some(&1));
        names.propose(b"a", None, 0);
        assert_eq!(names.get(b"a"), None);
        names.acknowledge();
        assert_eq!(names.get(b"a"), None);
    }

    #[test]
    fn behind_a_sync_a_proposal_is_uncertain_and_outlives_the_failure_of_another() {
        let mut names = Names::new(10);
        names.set(b"a", 1);
        assert!(names.is_certain(b"a", 0));
        names.propose(b"a", Some(2), 0);
        names.propose(b"b", Some(3), 1);
        assert!(names.is_certain(b"a", 0) && names.is_certain(b"b", 1) && names.is_certain(b"c", 1));
        assert!(!names.is_certain(b"a", 1));
        // The first fails; what stands behind its Sync still comes.
        names.reject();
        assert!(names.is_certain(b"a", 1));
        assert_eq!(names.get(b"b"), Some(&3));
        names.acknowledge();
        assert_eq!((names.get(b"a"), names.get(b"b")), (Some(&1), Some(&3)));
    }
}
