//! That an assertion counts once. It cannot be seen from the assertion itself, so a login is only had from an [`Unspent`] one, by
//! saying what the memory of used assertions answered.

use crate::assertion::Login;
use crate::refusal::Refusal;
use lockgate_core::{Timestamp, limits};
use std::collections::{BTreeSet, HashSet};

/// What has to be remembered of an assertion so that it counts once.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Ticket {
    /// Who made it.
    pub issuer: String,
    /// Its identifier, unique for its issuer.
    pub id: String,
    /// It may be forgotten then: from then on the assertion is refused as expired.
    pub until: Timestamp,
}

/// What a memory of used assertions says to a ticket. It has to decide and remember in one step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Use {
    /// It was not used, and from now on is.
    First,
    /// It was used before.
    Again,
    /// It cannot be remembered, so it cannot be used.
    Full,
}

/// A login that is proven, of which it is not known yet whether it is the first with this assertion.
#[derive(Debug)]
#[must_use = "a login is only had by `redeem`"]
pub struct Unspent(Login);

impl Unspent {
    pub(crate) fn new(login: Login) -> Self {
        Unspent(login)
    }

    /// What to ask the memory about.
    pub fn ticket(&self) -> &Ticket {
        &self.0.assertion
    }

    /// The login, if the memory said that it is the first.
    ///
    /// # Errors
    /// When the assertion was used before, or that is not known.
    pub fn redeem(self, answer: Use) -> Result<Login, Refusal> {
        match answer {
            Use::First => Ok(self.0),
            Use::Again => Err(Refusal::Used),
            Use::Full => Err(Refusal::TooManyUsed),
        }
    }
}

/// A memory of used assertions for one process, of bounded size. It forgets with a restart: a gateway keeps tickets in its store.
#[derive(Debug)]
pub struct UsedInMemory {
    known: HashSet<(String, String)>,
    by_end: BTreeSet<(Timestamp, String, String)>,
    entries_max: usize,
    /// Time does not go back here: what was forgotten must stay expired.
    latest: Timestamp,
}

impl Default for UsedInMemory {
    fn default() -> Self {
        UsedInMemory::with_capacity(limits::SAML_USED_MAX)
    }
}

impl UsedInMemory {
    /// One that keeps at most this many.
    pub fn with_capacity(entries_max: usize) -> Self {
        UsedInMemory {
            known: HashSet::new(),
            by_end: BTreeSet::new(),
            entries_max,
            latest: Timestamp::from_millis(i64::MIN),
        }
    }

    /// Remembers a ticket and says whether it was known.
    pub fn first_use(&mut self, ticket: &Ticket, now: Timestamp) -> Use {
        self.latest = self.latest.max(now);
        while let Some((until, _, _)) = self.by_end.first() {
            if *until > self.latest {
                break;
            }
            if let Some((_, issuer, id)) = self.by_end.pop_first() {
                self.known.remove(&(issuer, id));
            }
        }
        if ticket.until <= self.latest {
            // It has expired by the latest time that was seen here, so it may have been forgotten.
            return Use::Again;
        }
        let key = (ticket.issuer.clone(), ticket.id.clone());
        if self.known.contains(&key) {
            return Use::Again;
        }
        if self.known.len() >= self.entries_max {
            return Use::Full;
        }
        self.by_end.insert((ticket.until, key.0.clone(), key.1.clone()));
        self.known.insert(key);
        Use::First
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ticket(id: &str, until: i64) -> Ticket {
        Ticket { issuer: "idp".to_owned(), id: id.to_owned(), until: Timestamp::from_millis(until) }
    }

    #[test]
    fn each_counts_once_until_it_has_expired_anyway() {
        let mut used = UsedInMemory::with_capacity(2);
        let at = Timestamp::from_millis;
        assert_eq!(used.first_use(&ticket("a", 100), at(0)), Use::First);
        assert_eq!(used.first_use(&ticket("a", 100), at(0)), Use::Again);
        // Another end does not make it another assertion.
        assert_eq!(used.first_use(&ticket("a", 200), at(1)), Use::Again);
        assert_eq!(used.first_use(&Ticket { issuer: "other".to_owned(), ..ticket("a", 50) }, at(1)), Use::First);
        assert_eq!(used.first_use(&ticket("b", 100), at(1)), Use::Full);
        assert_eq!(used.first_use(&ticket("b", 100), at(50)), Use::First);
        assert_eq!(used.first_use(&ticket("a", 100), at(99)), Use::Again);
        // Forgotten at its end, and refused also when the clock goes back.
        assert_eq!(used.first_use(&ticket("a", 100), at(100)), Use::Again);
        assert_eq!(used.first_use(&ticket("a", 100), at(10)), Use::Again);
        assert_eq!((used.known.len(), used.by_end.len()), (0, 0));
    }
}
