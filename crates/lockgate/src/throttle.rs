//! Slows down guessing: refused logins are counted per source and user, per source for whomever, and per /48 of IPv6; past some of
//! these each further one is answered late.
//!
//! It only delays, and only what fails: a stranger who guesses at `alice` from one address does not keep alice
//! out from hers, nor anybody beside him, and a right token is never refused here. What is remembered is bounded. How many
//! answers are late at once is [`lockgate_core::Late`]'s to say.

use lockgate_core::limits::{
    API_LOGIN_SOURCES_MAX, API_LOGIN_WINDOW_MS, LOGIN_DELAY_MS, LOGIN_DELAY_MS_MAX, LOGIN_FAILURES_FREE,
    LOGIN_FAILURES_FREE_WIDE, SITE_FAILURES,
};
use lockgate_core::{Timestamp, network_of, site_of};
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Names are cut to this for counting; longer ones are no users.
const NAME_CHARS: usize = 64;

/// The refused logins of the last minute.
#[derive(Default)]
pub struct Throttle {
    failures: Mutex<HashMap<Key, Failures>>,
}

/// What is counted together.
#[derive(Clone, PartialEq, Eq, Hash)]
enum Key {
    /// One source and one user.
    Pair(IpAddr, String),
    /// One source, whomever it names.
    Source(IpAddr),
    /// The network around sources.
    Site(IpAddr),
}

struct Failures {
    count: u32,
    last: Timestamp,
}

impl Throttle {
    /// A login was refused: how long the answer has to wait.
    pub fn failed(&self, source: IpAddr, user: &str, now: Timestamp) -> Duration {
        let mut failures = self.lock();
        let of_site = site_of(source).map_or(Duration::ZERO, |site| {
            let free = LOGIN_FAILURES_FREE_WIDE.saturating_mul(SITE_FAILURES);
            delay(count(&mut failures, Key::Site(site), now), free)
        });
        let of_all = delay(count(&mut failures, Key::Source(network_of(source)), now), LOGIN_FAILURES_FREE_WIDE);
        let of_pair = delay(count(&mut failures, pair(source, user), now), LOGIN_FAILURES_FREE);
        of_site.max(of_all).max(of_pair)
    }

    /// Something was asked for that costs: how long it has to wait. Whoever asks does not fail, so that this counts with nothing else.
    pub fn asked(&self, source: IpAddr, what: &str, now: Timestamp) -> Duration {
        delay(count(&mut self.lock(), pair(source, what), now), LOGIN_FAILURES_FREE)
    }

    /// A login succeeded: whoever has a token does not pay for earlier mistakes.
    pub fn succeeded(&self, source: IpAddr, user: &str) {
        self.lock().remove(&pair(source, user));
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Key, Failures>> {
        self.failures.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Failures {
    fn is_recent(&self, now: Timestamp) -> bool {
        now.millis_since(self.last).abs() <= API_LOGIN_WINDOW_MS
    }
}

/// Counts one more; how many there were before.
fn count(failures: &mut HashMap<Key, Failures>, key: Key, now: Timestamp) -> u32 {
    if failures.len() >= API_LOGIN_SOURCES_MAX && !failures.contains_key(&key) {
        failures.retain(|_, f| f.is_recent(now));
        if failures.len() >= API_LOGIN_SOURCES_MAX {
            // A flood of names: forgetting the oldest half keeps the memory bounded and costs the flood nothing it did not have.
            let mut times: Vec<Timestamp> = failures.values().map(|f| f.last).collect();
            times.sort_unstable();
            let middle = times.get(times.len() / 2).copied().unwrap_or_default();
            failures.retain(|_, f| f.last > middle);
        }
    }
    let entry = failures.entry(key).or_insert(Failures { count: 0, last: now });
    let before = if entry.is_recent(now) { entry.count } else { 0 };
    *entry = Failures { count: before.saturating_add(1), last: now };
    before
}

/// How late the answer to a login comes after so many that were refused, of which some are free.
fn delay(refused: u32, free: u32) -> Duration {
    match refused.checked_sub(free) {
        None => Duration::ZERO,
        Some(over) => {
            let doubled = LOGIN_DELAY_MS.saturating_mul(1_u64.checked_shl(over.min(16)).unwrap_or(u64::MAX));
            Duration::from_millis(doubled.min(LOGIN_DELAY_MS_MAX))
        }
    }
}

fn pair(source: IpAddr, user: &str) -> Key {
    Key::Pair(network_of(source), user.chars().take(NAME_CHARS).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

    fn at(ms: i64) -> Timestamp {
        Timestamp::from_millis(1_000_000 + ms)
    }

    #[test]
    fn only_the_pair_that_fails_waits() {
        let throttle = Throttle::default();
        let fails = |source, user, now| throttle.failed(source, user, at(now));
        for _ in 0..LOGIN_FAILURES_FREE {
            assert_eq!(fails(HERE, "alice", 0), Duration::ZERO);
        }
        assert_eq!(fails(HERE, "alice", 0), Duration::from_millis(LOGIN_DELAY_MS));
        assert_eq!(fails(HERE, "alice", 0), Duration::from_millis(2 * LOGIN_DELAY_MS));
        for _ in 0..100 {
            fails(HERE, "alice", 0);
        }
        assert_eq!(fails(HERE, "alice", 0), Duration::from_millis(LOGIN_DELAY_MS_MAX));
        assert_eq!(fails("192.0.2.1".parse().unwrap(), "alice", 0), Duration::ZERO);
        assert_eq!(fails(HERE, "alice", API_LOGIN_WINDOW_MS), Duration::from_millis(LOGIN_DELAY_MS_MAX));
        assert_eq!(fails(HERE, "alice", 2 * API_LOGIN_WINDOW_MS + 1), Duration::ZERO);
        for _ in 0..9 {
            fails(HERE, "alice", 2 * API_LOGIN_WINDOW_MS + 1);
        }
        throttle.succeeded(HERE, "alice");
        assert_eq!(fails(HERE, "alice", 2 * API_LOGIN_WINDOW_MS + 1), Duration::ZERO);
    }

    #[test]
    fn who_tries_one_name_after_the_other_waits_too() {
        let throttle = Throttle::default();
        let fails = |source, n: u32, now| throttle.failed(source, &format!("user{n}"), at(now));
        for n in 0..LOGIN_FAILURES_FREE_WIDE {
            assert_eq!(fails(HERE, n, 0), Duration::ZERO, "{n}");
        }
        assert_eq!(fails(HERE, 1_000, 0), Duration::from_millis(LOGIN_DELAY_MS));
        for n in 0..100 {
            fails(HERE, 2_000 + n, 0);
        }
        assert_eq!(fails(HERE, 3_000, 0), Duration::from_millis(LOGIN_DELAY_MS_MAX));
        throttle.succeeded(HERE, "user3000");
        assert_eq!(
            fails(HERE, 3_000, 0),
            Duration::from_millis(LOGIN_DELAY_MS_MAX),
            "one who is let in frees no guesser"
        );
        assert_eq!(fails("192.0.2.1".parse().unwrap(), 3_000, 0), Duration::ZERO);
        assert_eq!(fails(HERE, 3_000, API_LOGIN_WINDOW_MS + 1), Duration::ZERO);
    }

    #[test]
    fn who_has_a_site_has_some_sources_worth_and_no_more() {
        let throttle = Throttle::default();
        let fails = |site: u16, n: u16| {
            let source = IpAddr::from([0x2001, 0xdb8, site, n, 0, 0, 0, 1]);
            throttle.failed(source, &format!("user{n}"), at(0))
        };
        let free = u16::try_from(LOGIN_FAILURES_FREE_WIDE * SITE_FAILURES).unwrap();
        for n in 0..free {
            assert_eq!(fails(1, n), Duration::ZERO, "{n}");
        }
        assert_eq!(fails(1, free), Duration::from_millis(LOGIN_DELAY_MS), "another /64 each time");
        assert_eq!(fails(2, 0), Duration::ZERO);
        // The source 2001:db8:3:0::/64 is not the network 2001:db8:3::/48.
        for _ in 0..LOGIN_FAILURES_FREE {
            assert_eq!(fails(3, 0), Duration::ZERO);
        }
        assert_eq!(fails(3, 1), Duration::ZERO);
    }

    #[test]
    fn links_are_counted_by_themselves() {
        let throttle = Throttle::default();
        for _ in 0..100 {
            throttle.asked(HERE, "\0link", at(0));
        }
        assert_eq!(throttle.asked(HERE, "\0link", at(0)), Duration::from_millis(LOGIN_DELAY_MS_MAX));
        assert_eq!(throttle.failed(HERE, "alice", at(0)), Duration::ZERO);
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let throttle = Throttle::default();
        for n in 0..API_LOGIN_SOURCES_MAX + 10 {
            throttle.failed(HERE, &format!("user{n}"), at(i64::try_from(n).unwrap() % 1_000));
        }
        assert!(throttle.failures.lock().unwrap().len() <= API_LOGIN_SOURCES_MAX);
    }
}
