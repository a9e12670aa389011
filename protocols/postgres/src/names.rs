//! Names that the target keeps: prepared statements and portals. What a name means is what the target acknowledged.
//!
//! A client may pipeline `Parse`, `Bind` and `Execute` before the first is answered. What it proposes is visible to its
//! own later messages, becomes true with the target's acknowledgement, and is forgotten when an earlier message fails:
//! the target then drops everything up to the next Sync, and so do these names.

use std::collections::{HashMap, VecDeque};

/// One name space of a session.
pub(crate) struct Names<T> {
    known: HashMap<Box<[u8]>, T>,
    proposed: VecDeque<(Box<[u8]>, Option<T>)>,
    max: usize,
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
        match self.proposed.iter().rev().find(|(n, _)| **n == *name) {
            Some((_, meaning)) => meaning.as_ref(),
            None => self.known.get(name),
        }
    }

    /// As [`Self::get`], to change it.
    pub(crate) fn get_mut(&mut self, name: &[u8]) -> Option<&mut T> {
        match self.proposed.iter_mut().rev().find(|(n, _)| **n == *name) {
            Some((_, meaning)) => meaning.as_mut(),
            None => self.known.get_mut(name),
        }
    }

    /// A message that would give (or, with `None`, take) the name was sent.
    pub(crate) fn propose(&mut self, name: &[u8], meaning: Option<T>) {
        self.proposed.push_back((name.into(), meaning));
    }

    /// The target acknowledged the oldest proposal.
    pub(crate) fn acknowledge(&mut self) {
        match self.proposed.pop_front() {
            Some((name, Some(meaning))) => drop(self.known.insert(name, meaning)),
            Some((name, None)) => drop(self.known.remove(&name)),
            None => {}
        }
    }

    /// The meaning that waits for the target's next acknowledgement.
    pub(crate) fn front(&self) -> Option<&T> {
        self.proposed.front().and_then(|(_, meaning)| meaning.as_ref())
    }

    /// The target dropped what was proposed.
    pub(crate) fn abandon(&mut self) {
        self.proposed.clear();
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
        names.propose(b"a", Some(2));
        assert_eq!(names.get(b"a"), Some(&2));
        // The target answers 42P05: the name exists already, and keeps its old meaning.
        names.abandon();
        assert_eq!(names.get(b"a"), Some(&1));
        names.propose(b"a", None);
        assert_eq!(names.get(b"a"), None);
        names.acknowledge();
        names.abandon();
        assert_eq!(names.get(b"a"), None);
    }
}
