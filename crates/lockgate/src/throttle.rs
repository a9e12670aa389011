//! Slows down guessing: refused logins are counted per source and user, and past a few each further one is answered late.
//!
//! It only delays, and only the pair that fails: a stranger who guesses at `alice` from one address does not keep alice
//! out from hers, and a right token is never refused here. What is remembered is bounded.

use lockgate_core::Timestamp;
use lockgate_core::limits::{
    API_LOGIN_SOURCES_MAX, API_LOGIN_WINDOW_MS, LOGIN_DELAY_MS, LOGIN_DELAY_MS_MAX, LOGIN_FAILURES_FREE,
};
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// Names are cut to this for counting; longer ones are no users.
const NAME_CHARS: usize = 64;

/// The refused logins of the last minute.
#[derive(Default)]
pub struct Throttle {
    failures: Mutex<HashMap<(IpAddr, String), Failures>>,
}

struct Failures {
    count: u32,
    last: Timestamp,
}

impl Throttle {
    /// A login was refused: how long the answer has to wait.
    pub fn failed(&self, source: IpAddr, user: &str, now: Timestamp) -> Duration {
        let mut failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        if failures.len() >= API_LOGIN_SOURCES_MAX {
            failures.retain(|_, f| f.is_recent(now));
        }
        if failures.len() >= API_LOGIN_SOURCES_MAX {
            // A flood of names: forgetting the oldest keeps the memory bounded and costs the flood nothing it did not have.
            if let Some(oldest) = failures.iter().min_by_key(|(_, f)| f.last).map(|(k, _)| k.clone()) {
                failures.remove(&oldest);
            }
        }
        let entry = failures.entry(key(source, user)).or_insert(Failures { count: 0, last: now });
        let before = if entry.is_recent(now) { entry.count } else { 0 };
        entry.count = before.saturating_add(1);
        entry.last = now;
        delay(before)
    }

    /// A login succeeded: whoever has a token does not pay for earlier mistakes.
    pub fn succeeded(&self, source: IpAddr, user: &str) {
        self.failures.lock().unwrap_or_else(PoisonError::into_inner).remove(&key(source, user));
    }
}

impl Failures {
    fn is_recent(&self, now: Timestamp) -> bool {
        now.millis_since(self.last).abs() <= API_LOGIN_WINDOW_MS
    }
}

/// How late the answer to a login comes after so many that were refused.
fn delay(refused: u32) -> Duration {
    match refused.checked_sub(LOGIN_FAILURES_FREE) {
        None => Duration::ZERO,
        Some(over) => {
            let doubled = LOGIN_DELAY_MS.saturating_mul(1_u64.checked_shl(over.min(16)).unwrap_or(u64::MAX));
            Duration::from_millis(doubled.min(LOGIN_DELAY_MS_MAX))
        }
    }
}

fn key(source: IpAddr, user: &str) -> (IpAddr, String) {
    (source, user.chars().take(NAME_CHARS).collect())
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
        assert_eq!(fails(HERE, "bob", 0), Duration::ZERO);
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
    fn what_is_remembered_is_bounded() {
        let throttle = Throttle::default();
        for n in 0..API_LOGIN_SOURCES_MAX + 10 {
            throttle.failed(HERE, &format!("user{n}"), at(i64::try_from(n).unwrap() % 1_000));
        }
        assert!(throttle.failures.lock().unwrap().len() <= API_LOGIN_SOURCES_MAX);
    }
}
