//! Names that the target keeps: prepared statements and portals. What a name means is what the target acknowledged.
//!
//! A client may pipeline `Parse`, `Bind` and `Execute` before the first is answered. What it proposes is visible to its
//! own later messages, becomes true with the target's acknowledgement, and is forgotten when it, or an earlier message,
//! fails: the target then drops everything up to the next Sync. What comes after that Sync runs all the same, so a name
//! proposed before it has one of two meanings there, and nobody knows which before the target has answered.

use std::collections::{HashMap, VecDeque};

/// One name space of a session.
///
/// The server keeps them in tables whose keys end after [`NAME_BYTES_MAX`] bytes: longer names that begin alike are one and
/// the same there, so nobody may use any.
pub(crate) struct Names<T> {
    /// What has no name, which is what most drivers use for all they send.
    unnamed: Option<Kept<T>>,
    known: HashMap<Box<[u8]>, Kept<T>>,
    proposed: VecDeque<Proposal<T>>,
    max: usize,
    /// Of everything known and proposed.
    bytes: usize,
    bytes_max: usize,
}

/// Bytes of a name that the server looks at.
pub(crate) const NAME_BYTES_MAX: usize = 63;
/// What the gateway calls its own statements and portals begins so, at the server where the session's lie too.
const OWN_PREFIX: &[u8] = b"lockgate ";

/// Whether a name is the gateway's own. Its questions may fail in their middle and leave what they were called, so that nobody
/// knows what such a name stands for.
pub(crate) fn is_own(name: &[u8]) -> bool {
    name.starts_with(OWN_PREFIX)
}

/// A meaning, and the bytes that keeping it takes.
struct Kept<T> {
    meaning: T,
    bytes: usize,
}

/// What a message that was sent makes of a name, if it succeeds.
struct Proposal<T> {
    name: Box<[u8]>,
    meaning: Option<Kept<T>>,
    /// The number of Syncs sent before it.
    batch: u64,
}

impl<T> Names<T> {
    pub(crate) fn new(max: usize, bytes_max: usize) -> Self {
        Names { unnamed: None, known: HashMap::new(), proposed: VecDeque::new(), max, bytes: 0, bytes_max }
    }

    /// Whether another name still fits, with a meaning of so many bytes.
    pub(crate) fn has_room(&self, bytes: usize) -> bool {
        let known = self.known.len().saturating_add(usize::from(self.unnamed.is_some()));
        known.saturating_add(self.proposed.len()) < self.max && self.bytes.saturating_add(bytes) <= self.bytes_max
    }

    /// What the name will mean once everything that was sent has happened.
    pub(crate) fn get(&self, name: &[u8]) -> Option<&T> {
        match self.proposed.iter().rev().find(|p| *p.name == *name) {
            Some(proposal) => proposal.meaning.as_ref(),
            None if name.is_empty() => self.unnamed.as_ref(),
            None => self.known.get(name),
        }
        .map(|kept| &kept.meaning)
    }

    /// As [`Self::get`], to change it.
    pub(crate) fn get_mut(&mut self, name: &[u8]) -> Option<&mut T> {
        match self.proposed.iter_mut().rev().find(|p| *p.name == *name) {
            Some(proposal) => proposal.meaning.as_mut(),
            None if name.is_empty() => self.unnamed.as_mut(),
            None => self.known.get_mut(name),
        }
        .map(|kept| &mut kept.meaning)
    }

    /// Whether a message of this batch that reaches the name can only find what [`Self::get`] says.
    pub(crate) fn is_certain(&self, name: &[u8], batch: u64) -> bool {
        self.proposed.iter().rev().find(|p| *p.name == *name).is_none_or(|p| p.batch == batch)
    }

    /// A message that would give (or, with `None`, take) the name was sent in this batch.
    pub(crate) fn propose(&mut self, name: &[u8], meaning: Option<T>, bytes: usize, batch: u64) {
        let meaning = meaning.map(|meaning| Kept { meaning, bytes });
        self.bytes = self.bytes.saturating_add(meaning.as_ref().map_or(0, |kept| kept.bytes));
        self.proposed.push_back(Proposal { name: name.into(), meaning, batch });
    }

    /// The target acknowledged the oldest proposal.
    pub(crate) fn acknowledge(&mut self) {
        match self.proposed.pop_front() {
            Some(Proposal { name, meaning: Some(meaning), .. }) => {
                let before = self.keep(name, meaning);
                self.let_go(before);
            }
            Some(Proposal { name, meaning: None, .. }) => self.remove(&name),
            None => {}
        }
    }

    /// The target refused or dropped the oldest proposal.
    pub(crate) fn reject(&mut self) {
        let proposal = self.proposed.pop_front();
        self.let_go(proposal.and_then(|p| p.meaning));
    }

    /// Gives the name a meaning, and gives back what it meant before.
    fn keep(&mut self, name: Box<[u8]>, meaning: Kept<T>) -> Option<Kept<T>> {
        if name.is_empty() { self.unnamed.replace(meaning) } else { self.known.insert(name, meaning) }
    }

    fn let_go(&mut self, kept: Option<Kept<T>>) {
        self.bytes = self.bytes.saturating_sub(kept.map_or(0, |kept| kept.bytes));
    }

    /// The meaning that waits for the target's next acknowledgement.
    pub(crate) fn front(&self) -> Option<&T> {
        self.proposed.front().and_then(|p| p.meaning.as_ref()).map(|kept| &kept.meaning)
    }

    /// As [`Self::front`], to change it.
    pub(crate) fn front_mut(&mut self) -> Option<&mut T> {
        self.proposed.front_mut().and_then(|p| p.meaning.as_mut()).map(|kept| &mut kept.meaning)
    }

    /// All that wait for an acknowledgement, to change them.
    pub(crate) fn proposed_mut(&mut self) -> impl Iterator<Item = &mut T> {
        self.proposed.iter_mut().filter_map(|p| p.meaning.as_mut()).map(|kept| &mut kept.meaning)
    }

    /// The name has this meaning from now on: a statement of SQL made it. Where it does not fit it is a name that was given
    /// out of our sight, and so is the gateway's own.
    pub(crate) fn set(&mut self, name: &[u8], meaning: T, bytes: usize) {
        self.remove(name);
        if self.has_room(bytes) && !is_own(name) {
            self.bytes = self.bytes.saturating_add(bytes);
            self.keep(name.into(), Kept { meaning, bytes });
        }
    }

    /// The name is gone.
    pub(crate) fn remove(&mut self, name: &[u8]) {
        let before = if name.is_empty() { self.unnamed.take() } else { self.known.remove(name) };
        self.let_go(before);
    }

    /// Only what `keep` says stays.
    pub(crate) fn retain(&mut self, keep: impl Fn(&T) -> bool) {
        self.keep_if(|_, meaning| keep(meaning));
    }

    /// Changes all that is known.
    pub(crate) fn each(&mut self, change: impl Fn(&mut T)) {
        self.known.values_mut().chain(&mut self.unnamed).for_each(|kept| change(&mut kept.meaning));
    }

    /// As [`Self::each`], of what has a name.
    pub(crate) fn each_named(&mut self, change: impl Fn(&mut T)) {
        self.known.values_mut().for_each(|kept| change(&mut kept.meaning));
    }

    /// Whether anything that has a name is so, or will be.
    pub(crate) fn any_named(&self, is_so: impl Fn(&T) -> bool) -> bool {
        let proposed = self.proposed.iter().filter(|p| !p.name.is_empty()).filter_map(|p| p.meaning.as_ref());
        self.known.values().chain(proposed).any(|kept| is_so(&kept.meaning))
    }

    /// Of what has a name only what `keep` says stays.
    pub(crate) fn retain_named(&mut self, mut keep: impl FnMut(&[u8], &mut T) -> bool) {
        self.keep_if(|name, meaning| name.is_empty() || keep(name, meaning));
    }

    fn keep_if(&mut self, mut keep: impl FnMut(&[u8], &mut T) -> bool) {
        let gone = self.unnamed.take_if(|kept| !keep(&[], &mut kept.meaning));
        self.let_go(gone);
        if self.known.is_empty() {
            return;
        }
        let bytes = &mut self.bytes;
        self.known.retain(|name, kept| {
            let stays = keep(name, &mut kept.meaning);
            if !stays {
                *bytes = bytes.saturating_sub(kept.bytes);
            }
            stays
        });
        if self.known.is_empty() {
            self.known = HashMap::new();
        }
    }

    /// All names are gone.
    pub(crate) fn clear(&mut self) {
        self.keep_if(|_, _| false);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_target_did_not_acknowledge_is_forgotten() {
        let mut names = Names::new(10, 1_000);
        names.set(b"a", 1, 10);
        names.propose(b"a", Some(2), 10, 0);
        assert_eq!(names.get(b"a"), Some(&2));
        // The target answers 42P05: the name exists already, and keeps its old meaning.
        names.reject();
        assert_eq!(names.get(b"a"), Some(&1));
        names.propose(b"a", None, 0, 0);
        assert_eq!(names.get(b"a"), None);
        names.acknowledge();
        assert_eq!(names.get(b"a"), None);
    }

    #[test]
    fn behind_a_sync_a_proposal_is_uncertain_and_outlives_the_failure_of_another() {
        let mut names = Names::new(10, 1_000);
        names.set(b"a", 1, 10);
        assert!(names.is_certain(b"a", 0));
        names.propose(b"a", Some(2), 10, 0);
        names.propose(b"b", Some(3), 10, 1);
        assert!(names.is_certain(b"a", 0) && names.is_certain(b"b", 1) && names.is_certain(b"c", 1));
        assert!(!names.is_certain(b"a", 1));
        // The first fails; what stands behind its Sync still comes.
        names.reject();
        assert!(names.is_certain(b"a", 1));
        assert_eq!(names.get(b"b"), Some(&3));
        names.acknowledge();
        assert_eq!((names.get(b"a"), names.get(b"b")), (Some(&1), Some(&3)));
    }

    #[test]
    fn what_is_kept_is_counted_until_it_is_let_go() {
        let mut names = Names::new(3, 100);
        names.propose(b"a", Some(1), 60, 0);
        assert!(names.has_room(40) && !names.has_room(41));
        names.acknowledge();
        names.propose(b"a", Some(2), 40, 0);
        assert!(!names.has_room(1));
        // The new meaning takes the place of the old.
        names.acknowledge();
        assert!(names.has_room(60));
        names.set(b"b", 3, 61);
        assert_eq!(names.get(b"b"), None, "it does not fit");
        names.set(b"b", 3, 60);
        assert!(!names.has_room(1));
        names.retain(|meaning| *meaning == 2);
        assert!(names.has_room(60));
        names.propose(b"c", Some(4), 60, 0);
        names.reject();
        names.retain_named(|_, _| false);
        assert!(names.has_room(100));
        for name in [b"d", b"e", b"f"] {
            names.set(name, 5, 0);
        }
        assert!(!names.has_room(0), "as many as there may be");
        names.clear();
        assert!(names.has_room(100));
    }

    #[test]
    fn what_the_gateway_calls_its_own_stands_for_nothing() {
        let mut names = Names::new(10, 1_000);
        names.set(b"lockgate inquiry", 1, 10);
        names.set(b"lockgate", 2, 10);
        assert_eq!((names.get(b"lockgate inquiry"), names.get(b"lockgate")), (None, Some(&2)));
    }

    #[test]
    fn what_has_no_name_is_one_among_the_others() {
        let mut names = Names::new(2, 100);
        names.propose(b"", Some(1), 60, 0);
        names.acknowledge();
        names.propose(b"", Some(2), 40, 0);
        assert_eq!(names.get(b""), Some(&2));
        names.reject();
        assert_eq!(names.get(b""), Some(&1));
        names.set(b"a", 3, 40);
        assert!(!names.has_room(0), "it counts");
        names.each(|meaning| *meaning += 10);
        assert_eq!((names.get(b""), names.get(b"a")), (Some(&11), Some(&13)));
        names.retain_named(|_, _| false);
        assert_eq!((names.get(b""), names.get(b"a")), (Some(&11), None));
        names.retain(|meaning| *meaning != 11);
        assert_eq!(names.get(b""), None);
        assert!(names.has_room(100));
        names.propose(b"", Some(4), 10, 0);
        names.propose(b"", None, 0, 0);
        names.acknowledge();
        names.acknowledge();
        assert_eq!(names.get(b""), None);
        assert!(names.has_room(100));
    }
}
