//! Counts refused logins by source, so that guessing costs more than it can bring. The table is bounded.

use lockgate_core::{Timestamp, limits};
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};

#[derive(Default)]
pub(crate) struct Throttle(Mutex<HashMap<IpAddr, Failures>>);

struct Failures {
    since: Timestamp,
    count: u32,
}

impl Throttle {
    /// Seconds that this source has to wait before it may try again, if it has to.
    pub(crate) fn wait_s(&self, source: IpAddr, now: Timestamp) -> Option<i64> {
        let table = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let failures = table.get(&key(source))?;
        let age = now.millis_since(failures.since);
        let waits = failures.count >= limits::API_LOGIN_FAILURES_MAX && (0..limits::API_LOGIN_WINDOW_MS).contains(&age);
        waits.then(|| (limits::API_LOGIN_WINDOW_MS - age) / 1_000 + 1)
    }

    pub(crate) fn refused(&self, source: IpAddr, now: Timestamp) {
        let mut table = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let current = |f: &Failures| (0..limits::API_LOGIN_WINDOW_MS).contains(&now.millis_since(f.since));
        if table.len() >= limits::API_LOGIN_SOURCES_MAX && !table.contains_key(&key(source)) {
            table.retain(|_, f| current(f));
            if table.len() >= limits::API_LOGIN_SOURCES_MAX
                && let Some(any) = table.keys().next().copied()
            {
                table.remove(&any);
            }
        }
        let failures = table.entry(key(source)).or_insert(Failures { since: now, count: 0 });
        if !current(failures) {
            *failures = Failures { since: now, count: 0 };
        }
        failures.count = failures.count.saturating_add(1);
    }
}

/// One household has one /64, and may use any address in it.
fn key(source: IpAddr) -> IpAddr {
    match source.to_canonical() {
        IpAddr::V6(v6) => {
            let [a, b, c, d, ..] = v6.segments();
            IpAddr::from([a, b, c, d, 0, 0, 0, 0])
        }
        v4 => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_after_many_and_forgets() {
        let throttle = Throttle::default();
        let at = Timestamp::from_millis;
        let source: IpAddr = "2001:db8::1".parse().unwrap();
        for _ in 0..limits::API_LOGIN_FAILURES_MAX {
            assert_eq!(throttle.wait_s(source, at(0)), None);
            throttle.refused(source, at(0));
        }
        assert_eq!(throttle.wait_s("2001:db8::2".parse().unwrap(), at(1_000)), Some(60));
        assert_eq!(throttle.wait_s("2001:db8:1::2".parse().unwrap(), at(1_000)), None);
        assert_eq!(throttle.wait_s(source, at(limits::API_LOGIN_WINDOW_MS)), None);
        // A clock that goes back does not lock anybody out.
        assert_eq!(throttle.wait_s(source, at(-5)), None);
    }

    #[test]
    fn the_table_is_bounded() {
        let throttle = Throttle::default();
        for n in 0..u32::try_from(limits::API_LOGIN_SOURCES_MAX).unwrap() + 50 {
            throttle.refused(IpAddr::from(n.to_be_bytes()), Timestamp::from_millis(0));
        }
        assert!(throttle.0.lock().unwrap().len() <= limits::API_LOGIN_SOURCES_MAX);
    }
}
