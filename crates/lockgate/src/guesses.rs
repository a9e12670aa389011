//! Makes guessing passwords hopeless without locking anybody out for long.
//!
//! Four counts of wrong passwords: of a user from one source, of a source for all users, of the /48 of IPv6 around it, and of a user
//! from everywhere. Each is free for a few, and then makes the next guess wait, twice as long every time; a guess that comes too early is refused
//! without being looked at, and does not prolong the wait. Nor does it help to guess side by side: past the few one is looked at
//! at a time. The counts over many do not bind a user at a source where that
//! user has logged in before: a stranger who guesses at `alice` from the whole world, or anybody beside her in her office,
//! cannot keep her out. Pure and bounded: time is an argument.

use lockgate_core::limits::{
    GUESS_USER_WAIT_MS_MAX, GUESS_WAIT_MS, GUESS_WAIT_MS_MAX, GUESS_WINDOW_MS, GUESSES_FREE, GUESSES_FREE_WIDE,
    GUESSES_KEPT_MAX, GUESSES_OPEN_MAX, SITE_FAILURES,
};
use lockgate_core::{Timestamp, is_name, name_key, network_of, site_of};
use std::collections::HashMap;
use std::hash::Hash;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The wrong passwords of the last minutes.
#[derive(Default)]
pub struct Guesses {
    counts: Arc<Mutex<Counts>>,
}

#[derive(Default)]
struct Counts {
    pairs: HashMap<(IpAddr, String), Count>,
    sources: HashMap<IpAddr, Count>,
    sites: HashMap<IpAddr, Count>,
    users: HashMap<String, Count>,
    /// Where who has logged in, and when last.
    homes: HashMap<(IpAddr, String), Timestamp>,
}

#[derive(Clone, Copy)]
struct Count {
    wrong: u32,
    last: Timestamp,
    /// Those that are looked at now.
    open: u32,
}

/// A guess that may be looked at. It counts as wrong until it is said to be right; also where nobody says anything.
#[must_use = "say how it went"]
pub struct Guess {
    counts: Arc<Mutex<Counts>>,
    source: IpAddr,
    site: Option<IpAddr>,
    user: String,
    at: Timestamp,
    over: bool,
}

impl Guesses {
    /// Somebody guesses. Counts at once, so that guesses side by side do not all pass.
    ///
    /// # Errors
    /// How long to wait, in milliseconds, before it is looked at.
    pub fn begin(&self, source: IpAddr, user: &str, now: Timestamp) -> Result<Guess, i64> {
        // What cannot be a name is counted as one, however long it is: it is nobody's.
        let user = if is_name(user) { name_key(user) } else { String::new() };
        let (source, site) = (network_of(source), site_of(source));
        let mut counts = lock(&self.counts);
        let pair = (source, user);
        let mut wait_ms =
            counts.pairs.get(&pair).map_or(0, |count| count.wait_ms(GUESSES_FREE, GUESS_WAIT_MS_MAX, now));
        let wait = |count: Option<&Count>, free, most| count.map_or(0, |count| count.wide_wait_ms(free, most, now));
        if !counts.homes.contains_key(&pair) {
            wait_ms = wait_ms.max(wait(counts.sources.get(&pair.0), GUESSES_FREE_WIDE, GUESS_WAIT_MS_MAX)).max(wait(
                counts.users.get(&pair.1),
                GUESSES_FREE_WIDE,
                GUESS_USER_WAIT_MS_MAX,
            ));
            let of_site = site.and_then(|site| counts.sites.get(&site));
            wait_ms = wait_ms.max(wait(of_site, GUESSES_FREE_WIDE.saturating_mul(SITE_FAILURES), GUESS_WAIT_MS_MAX));
        }
        if wait_ms > 0 {
            return Err(wait_ms);
        }
        count(&mut counts.pairs, pair.clone(), now);
        open(&mut counts.sources, pair.0, now);
        open(&mut counts.users, pair.1.clone(), now);
        if let Some(site) = site {
            open(&mut counts.sites, site, now);
        }
        drop(counts);
        Ok(Guess { counts: Arc::clone(&self.counts), source: pair.0, site, user: pair.1, at: now, over: false })
    }

    /// The password was right.
    pub fn right(&self, mut guess: Guess, now: Timestamp) {
        let pair = (guess.source, guess.user.clone());
        let mut counts = guess.close();
        counts.pairs.remove(&pair);
        make_room(&mut counts.homes, &pair, |at| *at);
        counts.homes.insert(pair, now);
    }

    /// The password was wrong.
    pub fn wrong(&self, mut guess: Guess, now: Timestamp) {
        guess.at = now;
    }

    /// Nobody has looked at it after all.
    pub fn unseen(&self, mut guess: Guess) {
        let pair = (guess.source, guess.user.clone());
        let mut counts = guess.close();
        if let Some(count) = counts.pairs.get_mut(&pair) {
            count.wrong = count.wrong.saturating_sub(1);
        }
    }
}

impl Guess {
    /// It is not looked at any more, and is not wrong.
    fn close(&mut self) -> MutexGuard<'_, Counts> {
        self.over = true;
        let mut counts = lock(&self.counts);
        shut(&mut counts.sources, &self.source);
        shut(&mut counts.users, &self.user);
        if let Some(site) = self.site {
            shut(&mut counts.sites, &site);
        }
        counts
    }
}

impl Drop for Guess {
    fn drop(&mut self) {
        if self.over {
            return;
        }
        let (source, site, user, at) = (self.source, self.site, self.user.clone(), self.at);
        let mut counts = self.close();
        count(&mut counts.sources, source, at);
        count(&mut counts.users, user, at);
        if let Some(site) = site {
            count(&mut counts.sites, site, at);
        }
    }
}

fn lock(counts: &Mutex<Counts>) -> MutexGuard<'_, Counts> {
    counts.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Count {
    fn is_recent(&self, now: Timestamp) -> bool {
        now.millis_since(self.last).abs() <= GUESS_WINDOW_MS
    }

    /// The same where guesses for many are counted, some of which may be right: also while too many are looked at.
    fn wide_wait_ms(&self, free: u32, most: i64, now: Timestamp) -> i64 {
        let are_wrong = self.wrong >= free && self.is_recent(now);
        let at_once = if are_wrong { 1 } else { GUESSES_OPEN_MAX };
        let crowded = if self.open >= at_once { GUESS_WAIT_MS } else { 0 };
        self.wait_ms(free, most, now).max(crowded)
    }

    /// How long until the next guess is looked at.
    fn wait_ms(&self, free: u32, most: i64, now: Timestamp) -> i64 {
        let Some(over) = self.wrong.checked_sub(free).filter(|_| self.is_recent(now)) else { return 0 };
        let doubled = GUESS_WAIT_MS.saturating_mul(1_i64.checked_shl(over.min(32)).unwrap_or(i64::MAX));
        let until = self.last.plus_millis(doubled.min(most));
        // A clock that went back does not make anybody wait longer than that.
        until.millis_since(now).clamp(0, most)
    }
}

/// One more guess that is looked at.
fn open<K: Hash + Eq + Clone>(table: &mut HashMap<K, Count>, key: K, now: Timestamp) {
    make_room(table, &key, |count| count.last);
    let entry = table.entry(key).or_insert(Count { wrong: 0, last: now, open: 0 });
    entry.open = entry.open.saturating_add(1);
}

/// One less.
fn shut<K: Hash + Eq>(table: &mut HashMap<K, Count>, key: &K) {
    if let Some(count) = table.get_mut(key) {
        count.open = count.open.saturating_sub(1);
    }
}

/// One more wrong guess.
fn count<K: Hash + Eq + Clone>(table: &mut HashMap<K, Count>, key: K, now: Timestamp) {
    make_room(table, &key, |count| count.last);
    let entry = table.entry(key).or_insert(Count { wrong: 0, last: now, open: 0 });
    let before = if entry.is_recent(now) { entry.wrong } else { 0 };
    *entry = Count { wrong: before.saturating_add(1), last: now, open: entry.open };
}

/// Forgets the oldest half where the table is full: whoever floods it pays with a guess for each entry.
fn make_room<K: Hash + Eq + Clone, V>(table: &mut HashMap<K, V>, key: &K, at: impl Fn(&V) -> Timestamp) {
    if table.len() < GUESSES_KEPT_MAX || table.contains_key(key) {
        return;
    }
    let mut times: Vec<Timestamp> = table.values().map(&at).collect();
    times.sort_unstable();
    let middle = times.get(times.len() / 2).copied().unwrap_or_default();
    table.retain(|_, value| at(value) > middle);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: i64) -> Timestamp {
        Timestamp::from_millis(1_000_000_000 + ms)
    }

    fn from(n: u32) -> IpAddr {
        IpAddr::from((0x0a00_0000 + n).to_be_bytes())
    }

    /// Guesses wrongly; how long it would have had to wait.
    fn guess(guesses: &Guesses, source: IpAddr, user: &str, ms: i64) -> i64 {
        match guesses.begin(source, user, at(ms)) {
            Ok(guess) => {
                guesses.wrong(guess, at(ms));
                0
            }
            Err(wait) => wait,
        }
    }

    #[test]
    fn waits_grow_for_the_pair_and_end() {
        let guesses = Guesses::default();
        for _ in 0..GUESSES_FREE {
            assert_eq!(guess(&guesses, from(1), "alice", 0), 0);
        }
        let mut now = 0;
        for wait in [1_000, 2_000, 4_000, 8_000, 16_000, 32_000, 60_000, 60_000] {
            assert_eq!(guess(&guesses, from(1), "Alice", now), wait);
            assert_eq!(
                guess(&guesses, from(1), "alice", now + 1),
                wait - 1,
                "a guess that is refused prolongs nothing"
            );
            now += wait;
            assert_eq!(guess(&guesses, from(1), "alice", now), 0);
        }
        assert_eq!(guess(&guesses, from(2), "alice", now), 0, "elsewhere she may try");
        assert_eq!(guess(&guesses, from(1), "bob", now), 0, "and others there");
        assert_eq!(guess(&guesses, from(1), "alice", now + GUESS_WINDOW_MS + 1), 0);
        for _ in 1..GUESSES_FREE {
            assert_eq!(guess(&guesses, from(1), "alice", now + GUESS_WINDOW_MS + 1), 0, "all is forgotten");
        }
    }

    #[test]
    fn guesses_side_by_side_count_each() {
        let guesses = Guesses::default();
        let open: Vec<_> = (0..100).map(|_| guesses.begin(from(1), "alice", at(0))).filter_map(Result::ok).collect();
        assert_eq!(open.len(), usize::try_from(GUESSES_FREE).unwrap());
        // Those that nobody looked at have cost nothing.
        open.into_iter().rev().for_each(|guess| guesses.unseen(guess));
        assert_eq!(guess(&guesses, from(1), "alice", 0), 0);
    }

    #[test]
    fn side_by_side_a_source_or_a_world_tries_no_more() {
        for (places, names) in [(1, 1_000), (1_000, 1)] {
            let guesses = Guesses::default();
            let burst = |ms: i64| {
                let begin = |n: u32| guesses.begin(from(n % places), &format!("user{}", n % names), at(ms)).ok();
                let open: Vec<Guess> = (0..1_000).filter_map(begin).collect();
                let tried = open.len();
                // Half of them by somebody who does not wait for the answer.
                for (n, guess) in open.into_iter().enumerate() {
                    if n % 2 == 0 { drop(guess) } else { guesses.wrong(guess, at(ms)) }
                }
                tried
            };
            assert_eq!(burst(0), usize::try_from(GUESSES_OPEN_MAX).unwrap());
            assert_eq!(burst(GUESS_WAIT_MS_MAX), 1, "{places} places, {names} names");
            assert_eq!(burst(2 * GUESS_WAIT_MS_MAX), 1);
        }
        // Many who know their passwords come in side by side, again and again.
        let guesses = Guesses::default();
        for round in 0..10 {
            let right: Vec<Guess> =
                (0..50).filter_map(|n| guesses.begin(from(1), &format!("user{n}"), at(round)).ok()).collect();
            assert_eq!(right.len(), 50);
            right.into_iter().for_each(|guess| guesses.right(guess, at(round)));
        }
    }

    #[test]
    fn a_source_that_tries_everybody_waits() {
        let guesses = Guesses::default();
        let tried = (0..10_000).filter(|n| guess(&guesses, from(1), &format!("user{n}"), 0) == 0).count();
        assert_eq!(tried, usize::try_from(GUESSES_FREE_WIDE).unwrap());
        assert_eq!(guess(&guesses, from(2), "user9999", 0), 0);
    }

    #[test]
    fn a_site_that_tries_everybody_waits() {
        let guesses = Guesses::default();
        let from = |site: u16, n: u16| IpAddr::from([0x2001, 0xdb8, site, n, 0, 0, 0, 1]);
        let home = guesses.begin(from(1, 9), "alice", at(0)).ok().unwrap();
        guesses.right(home, at(0));
        let tried = (10..10_000).filter(|n| guess(&guesses, from(1, *n), &format!("user{n}"), 0) == 0).count();
        assert_eq!(tried, usize::try_from(GUESSES_FREE_WIDE * SITE_FAILURES).unwrap());
        assert_eq!(guess(&guesses, from(2, 1), "user9999", 0), 0);
        assert_eq!(guess(&guesses, from(1, 9), "alice", 0), 0, "nobody keeps her out at home");
    }

    #[test]
    fn a_user_who_is_guessed_at_from_everywhere_waits_little_and_not_at_home() {
        let guesses = Guesses::default();
        let home = guesses.begin(from(1), "alice", at(0)).ok().unwrap();
        guesses.right(home, at(0));
        for n in 2..2_000 {
            guess(&guesses, from(n), "alice", 1);
        }
        let wait = guess(&guesses, from(3_000), "alice", 1);
        assert!((1..=GUESS_USER_WAIT_MS_MAX).contains(&wait), "{wait}");
        assert_eq!(guess(&guesses, from(1), "alice", 1), 0, "nobody keeps her out at home");
        // The longest that all the world can do to her at a new place.
        for n in 0..200 {
            guess(&guesses, from(5_000 + n), "alice", 10_000 * i64::from(n));
        }
        assert!(guess(&guesses, from(9_000), "alice", 10_000 * 199 + 1) <= GUESS_USER_WAIT_MS_MAX);
        assert_eq!(guess(&guesses, from(9_000), "alice", 10_000 * 200), 0);
    }

    #[test]
    fn the_right_password_ends_the_count() {
        let guesses = Guesses::default();
        for _ in 0..GUESSES_FREE {
            guess(&guesses, from(1), "alice", 0);
        }
        let right = guesses.begin(from(1), "alice", at(1_000)).ok().unwrap();
        guesses.right(right, at(1_000));
        for _ in 0..GUESSES_FREE {
            assert_eq!(guess(&guesses, from(1), "alice", 1_001), 0);
        }
        // A clock that is set back prolongs nothing.
        assert!(guess(&guesses, from(1), "alice", -10_000_000) <= GUESS_WAIT_MS_MAX);
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let guesses = Guesses::default();
        for n in 0..u32::try_from(GUESSES_KEPT_MAX).unwrap() * 3 {
            guess(&guesses, from(n), &format!("user{n}"), i64::from(n));
            if let Ok(right) = guesses.begin(from(n), "alice", at(i64::from(n))) {
                guesses.right(right, at(i64::from(n)));
            }
        }
        let counts = guesses.counts.lock().unwrap();
        let sizes =
            [counts.pairs.len(), counts.sources.len(), counts.sites.len(), counts.users.len(), counts.homes.len()];
        assert!(sizes.iter().all(|size| *size <= GUESSES_KEPT_MAX), "{sizes:?}");
        let v6: [IpAddr; 2] = ["2001:db8::1".parse().unwrap(), "2001:db8::2:3".parse().unwrap()];
        assert_eq!(network_of(v6[0]), network_of(v6[1]));
    }
}
