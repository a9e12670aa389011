//! What identities have found out about labelled columns without being given a value: which values each column was compared
//! with, and how many of them were in it. One ledger serves all sessions, so that a budget is the identity's and not the
//! connection's. It keeps keyed digests, never values, and forgets what is older than the window it is asked about.

use lockgate_core::Timestamp;
use lockgate_core::limits::{
    INFER_ALARM_PROBES_MIN, INFER_COLUMNS_MAX, INFER_GROUP_MIN, INFER_GROUPS_KEPT_MAX, INFER_PROBES, INFER_SETS_MAX,
    INFER_WINDOW_MS,
};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// How far a permitted `infer` goes, by the configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InferRules {
    /// Different values that an identity may compare one column with in a window.
    pub probes_max: usize,
    /// The window.
    pub window_ms: i64,
    /// The fewest values that go into an aggregate, and into its difference with an earlier one.
    pub group_min: u64,
}

/// A set of rows that a column was aggregated over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RowSet {
    /// Of which relation: a child, a partition and a parent hold the same column.
    pub relation: String,
    /// Which rows: a condition as SQL, over columns without labels.
    pub rows: String,
    /// The columns they were grouped by.
    pub groups: Vec<String>,
    /// How many values went into each group: what tells the group apart, in ascending order, and the number.
    pub contributors: Arc<[(u64, u64)]>,
}

impl Default for InferRules {
    fn default() -> Self {
        InferRules {
            probes_max: INFER_PROBES,
            window_ms: i64::try_from(INFER_WINDOW_MS).unwrap_or(i64::MAX),
            group_min: u64::try_from(INFER_GROUP_MIN).unwrap_or(u64::MAX),
        }
    }
}

/// A digest of a value that a column was compared with. Where two values cannot be told apart, there is none.
pub type ProbeDigest = [u8; 16];

/// A column as one identity asks about it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Asked {
    /// The identity, however it is spelt.
    pub(crate) user: String,
    /// Where the target leads: what is found out through one target is known about all that lead there.
    pub(crate) place: String,
    /// The database there, for what was counted in it.
    pub(crate) database: String,
    /// As `schema.table.column`.
    pub(crate) column: String,
}

/// What has been found out, by whom.
#[derive(Default)]
pub struct Ledger {
    probes: Mutex<HashMap<Asked, Probes>>,
    sets: Mutex<Sets>,
}

/// Sets of rows, and how many groups all of them have, as far as nothing was forgotten since that was counted.
#[derive(Default)]
struct Sets {
    of: HashMap<Asked, Vec<(Timestamp, RowSet)>>,
    groups: usize,
}

/// Why no further value may be asked about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Spent {
    /// The budget is used up. More is possible from then on.
    Until(Timestamp),
    /// Too many identities ask about too many columns.
    Full,
    /// The identity was told something else in the meantime.
    Meanwhile,
}

/// Most of what was asked about a column was not in it: somebody guesses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Guessing {
    pub(crate) misses: usize,
    pub(crate) probes: usize,
}

#[derive(Default)]
struct Probes {
    tried: Vec<Tried>,
    alarmed: Option<Timestamp>,
    /// Gives each probe a name that cannot be told apart from the others.
    next: u64,
}

struct Tried {
    number: u64,
    digest: Option<ProbeDigest>,
    at: Timestamp,
    found: Found,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Found {
    /// Not known yet, or never.
    Open,
    Something,
    Nothing,
}

impl Ledger {
    fn probes(&self) -> MutexGuard<'_, HashMap<Asked, Probes>> {
        self.probes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a probe of a value out of the budget; the same value again is free within the window. The answer names the
    /// probe for [`Ledger::settle`].
    pub(crate) fn charge(
        &self,
        asked: &Asked,
        digest: Option<ProbeDigest>,
        rules: &InferRules,
        now: Timestamp,
    ) -> Result<u64, Spent> {
        let mut all = self.probes();
        if !all.contains_key(asked) && all.len() >= INFER_COLUMNS_MAX {
            all.retain(|_, probes| {
                probes.forget(rules, now);
                !probes.tried.is_empty()
            });
            if all.len() >= INFER_COLUMNS_MAX {
                return Err(Spent::Full);
            }
        }
        let probes = all.entry(asked.clone()).or_default();
        probes.forget(rules, now);
        if let Some(known) = probes.tried.iter().find(|tried| digest.is_some() && tried.digest == digest) {
            return Ok(known.number);
        }
        if probes.tried.len() >= rules.probes_max {
            // The oldest of those that fill the budget has to be forgotten first.
            let first = probes.tried.len().saturating_sub(rules.probes_max);
            let oldest = probes.tried.get(first).map_or(now, |tried| tried.at);
            return Err(Spent::Until(oldest.plus_millis(rules.window_ms)));
        }
        let number = probes.next;
        probes.next = number.wrapping_add(1);
        probes.tried.push(Tried { number, digest, at: now, found: Found::Open });
        Ok(number)
    }

    /// The sets of rows that a column was aggregated over in the window.
    pub(crate) fn row_sets(&self, asked: &Asked, rules: &InferRules, now: Timestamp) -> Vec<RowSet> {
        let sets = self.sets.lock().unwrap_or_else(PoisonError::into_inner);
        let known = sets.of.get(asked).map(Vec::as_slice).unwrap_or_default();
        known.iter().filter(|(at, _)| now.millis_since(*at) < rules.window_ms).map(|(_, set)| set.clone()).collect()
    }

    /// Keeps a set of rows that a column is aggregated over, which was compared with those that were `seen`. The same again lasts
    /// longer and takes no place.
    pub(crate) fn remember_rows(
        &self,
        asked: &Asked,
        set: RowSet,
        seen: &[RowSet],
        rules: &InferRules,
        now: Timestamp,
    ) -> Result<(), Spent> {
        let mut sets = self.sets.lock().unwrap_or_else(PoisonError::into_inner);
        let current = |at: &Timestamp| now.millis_since(*at) < rules.window_ms;
        let full = |sets: &Sets| {
            let crowded = !sets.of.contains_key(asked) && sets.of.len() >= INFER_COLUMNS_MAX;
            crowded || sets.groups.saturating_add(set.contributors.len()) > INFER_GROUPS_KEPT_MAX
        };
        if full(&sets) {
            sets.of.retain(|_, known| {
                known.retain(|(at, _)| current(at));
                !known.is_empty()
            });
            sets.groups = sets.of.values().flatten().map(|(_, set)| set.contributors.len()).sum();
            if full(&sets) {
                return Err(Spent::Full);
            }
        }
        let Sets { of, groups } = &mut *sets;
        let known = of.entry(asked.clone()).or_default();
        if known.iter().any(|(at, other)| current(at) && !seen.contains(other)) {
            return Err(Spent::Meanwhile);
        }
        known.retain(|(at, other)| current(at) && *other != set);
        match known.first() {
            Some((oldest, _)) if known.len() >= INFER_SETS_MAX => {
                Err(Spent::Until(oldest.plus_millis(rules.window_ms)))
            }
            _ => {
                *groups = groups.saturating_add(set.contributors.len());
                known.push((now, set));
                Ok(())
            }
        }
    }

    /// Says whether a probe found anything. Once in a window, the answer is that most did not.
    pub(crate) fn settle(
        &self,
        asked: &Asked,
        number: u64,
        found: bool,
        rules: &InferRules,
        now: Timestamp,
    ) -> Option<Guessing> {
        let mut all = self.probes();
        let probes = all.get_mut(asked)?;
        let tried = probes.tried.iter_mut().find(|tried| tried.number == number)?;
        if tried.found != Found::Something {
            tried.found = if found { Found::Something } else { Found::Nothing };
        }
        probes.forget(rules, now);
        let known = probes.tried.iter().filter(|tried| tried.found != Found::Open).count();
        let misses = probes.tried.iter().filter(|tried| tried.found == Found::Nothing).count();
        let told = probes.alarmed.is_some_and(|at| now.millis_since(at) < rules.window_ms);
        if told || known < INFER_ALARM_PROBES_MIN || misses.saturating_mul(2) <= known {
            return None;
        }
        probes.alarmed = Some(now);
        Some(Guessing { misses, probes: known })
    }
}

impl Probes {
    /// A clock that went back makes nothing older.
    fn forget(&mut self, rules: &InferRules, now: Timestamp) {
        self.tried.retain(|tried| now.millis_since(tried.at) < rules.window_ms);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULES: InferRules = InferRules { probes_max: 3, window_ms: 1_000, group_min: 10 };

    fn asked(user: &str, column: &str) -> Asked {
        Asked { user: user.into(), place: "shop".into(), database: String::new(), column: column.into() }
    }

    fn at(millis: i64) -> Timestamp {
        Timestamp::from_millis(1_000_000 + millis)
    }

    #[test]
    fn a_budget_counts_different_values_and_comes_back() {
        let ledger = Ledger::default();
        let ssn = asked("alice", "p.people.ssn");
        let charge = |value: u8, now| ledger.charge(&ssn, Some([value; 16]), &RULES, at(now));
        for (value, now) in [(1, 0), (2, 100), (1, 150), (3, 200), (3, 250), (2, 300)] {
            assert!(charge(value, now).is_ok(), "{value} at {now}");
        }
        assert_eq!(charge(4, 400), Err(Spent::Until(at(1_000))));
        assert!(charge(1, 999).is_ok(), "what was asked before may be asked again");
        assert!(charge(4, 1_000).is_ok(), "the first is forgotten");
        assert_eq!(charge(1, 1_050), Err(Spent::Until(at(1_100))), "and would be another one now");
        assert!(ledger.charge(&asked("bob", "p.people.ssn"), Some([4; 16]), &RULES, at(400)).is_ok());
        assert!(ledger.charge(&asked("alice", "p.people.email"), Some([4; 16]), &RULES, at(400)).is_ok());
        assert_eq!(charge(9, -5_000), Err(Spent::Until(at(1_100))), "setting the clock back gives nothing");
    }

    #[test]
    fn what_cannot_be_told_apart_counts_each_time() {
        let ledger = Ledger::default();
        let born = asked("alice", "p.people.born");
        for _ in 0..3 {
            assert!(ledger.charge(&born, None, &RULES, at(0)).is_ok());
        }
        assert!(ledger.charge(&born, None, &RULES, at(0)).is_err());
        let smaller = InferRules { probes_max: 1, ..RULES };
        assert_eq!(ledger.charge(&born, None, &smaller, at(5)), Err(Spent::Until(at(1_000))));
    }

    #[test]
    fn more_misses_than_hits_are_told_once() {
        let rules = InferRules { probes_max: 100, ..RULES };
        let ledger = Ledger::default();
        let ssn = asked("alice", "p.people.ssn");
        let mut told = Vec::new();
        for (value, found) in
            (0..INFER_ALARM_PROBES_MIN).zip([true, true, true].into_iter().chain(std::iter::repeat(false)))
        {
            let number = ledger.charge(&ssn, Some([u8::try_from(value).unwrap(); 16]), &rules, at(0)).unwrap();
            told.extend(ledger.settle(&ssn, number, found, &rules, at(0)));
        }
        assert_eq!(told, [], "as many hits as misses, or too few to say");
        let miss = |value: u8, now| {
            let number = ledger.charge(&ssn, Some([value; 16]), &rules, at(now)).unwrap();
            ledger.settle(&ssn, number, false, &rules, at(now))
        };
        let found = miss(100, 1);
        assert_eq!(found, Some(Guessing { misses: 4, probes: 7 }));
        assert_eq!(miss(101, 2), None, "once is enough");
        for value in 110..130 {
            let again = miss(value, 1_100);
            assert_eq!(again.is_some(), value == 115, "{value}: {again:?}");
        }
    }

    #[test]
    fn what_is_told_at_the_same_time_is_compared_first() {
        let ledger = Ledger::default();
        let salary = asked("alice", "p.people.salary");
        let set = |rows: &str| RowSet {
            relation: "p.people".into(),
            rows: rows.into(),
            groups: Vec::new(),
            contributors: Arc::from([(0, 50)]),
        };
        let (all, most) = (set("true"), set("id <> 7"));
        // Both were compared with nothing.
        assert_eq!(ledger.remember_rows(&salary, all.clone(), &[], &RULES, at(0)), Ok(()));
        assert_eq!(ledger.remember_rows(&salary, most.clone(), &[], &RULES, at(1)), Err(Spent::Meanwhile));
        let seen = ledger.row_sets(&salary, &RULES, at(2));
        assert_eq!(seen, std::slice::from_ref(&all));
        assert_eq!(ledger.remember_rows(&salary, most.clone(), &seen, &RULES, at(2)), Ok(()));
        // What is forgotten meanwhile is in nobody's way.
        assert_eq!(ledger.remember_rows(&salary, most, &[], &RULES, at(1_100)), Ok(()));
    }

    #[test]
    fn memory_has_a_bound() {
        let ledger = Ledger::default();
        for number in 0..INFER_COLUMNS_MAX {
            assert!(ledger.charge(&asked(&format!("u{number}"), "c"), None, &RULES, at(0)).is_ok());
        }
        assert_eq!(ledger.charge(&asked("one", "more"), None, &RULES, at(999)), Err(Spent::Full));
        assert!(ledger.charge(&asked("u1", "c"), None, &RULES, at(999)).is_ok());
        assert!(ledger.charge(&asked("one", "more"), None, &RULES, at(1_500)).is_ok(), "what is old makes room");
    }
}
