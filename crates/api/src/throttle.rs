//! Counts refused logins by source, so that guessing costs more than it can bring. The table is bounded.

use lockgate_core::{Timestamp, limits, name_key, network_of, site_of};
use std::collections::HashMap;
use std::hash::Hash;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};

#[derive(Default)]
pub(crate) struct Throttle(Mutex<Tables>);

/// An address or a /64 may be the same bits as a /48, so that they are not in one table.
#[derive(Default)]
struct Tables {
    sources: HashMap<IpAddr, Failures>,
    sites: HashMap<IpAddr, Failures>,
    people: HashMap<String, Failures>,
}

struct Failures {
    since: Timestamp,
    count: u32,
}

/// What a /48 of IPv6 has: many sources, and maybe one owner.
const SITE_FAILURES_MAX: u32 = limits::API_LOGIN_FAILURES_MAX.saturating_mul(limits::SITE_FAILURES);

impl Throttle {
    /// Seconds that this source has to wait before it may try again, if it has to.
    pub(crate) fn wait_s(&self, source: IpAddr, now: Timestamp) -> Option<i64> {
        let tables = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let of_source = wait_s(tables.sources.get(&network_of(source)), limits::API_LOGIN_FAILURES_MAX, now);
        let of_site = site_of(source).and_then(|site| wait_s(tables.sites.get(&site), SITE_FAILURES_MAX, now));
        of_source.max(of_site)
    }

    /// The same for somebody who is signed in, wherever they are.
    pub(crate) fn person_wait_s(&self, user: &str, now: Timestamp) -> Option<i64> {
        let tables = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        wait_s(tables.people.get(&name_key(user)), limits::API_LOGIN_FAILURES_MAX, now)
    }

    /// Something that a person who is signed in tried was refused.
    pub(crate) fn person_refused(&self, user: &str, now: Timestamp) {
        let mut tables = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        count(&mut tables.people, name_key(user), now);
    }

    pub(crate) fn refused(&self, source: IpAddr, now: Timestamp) {
        let mut tables = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        count(&mut tables.sources, network_of(source), now);
        if let Some(site) = site_of(source) {
            count(&mut tables.sites, site, now);
        }
    }
}

impl Failures {
    fn are_current(&self, now: Timestamp) -> bool {
        (0..limits::API_LOGIN_WINDOW_MS).contains(&now.millis_since(self.since))
    }
}

fn wait_s(failures: Option<&Failures>, max: u32, now: Timestamp) -> Option<i64> {
    let failures = failures.filter(|failures| failures.count >= max && failures.are_current(now))?;
    Some((limits::API_LOGIN_WINDOW_MS - now.millis_since(failures.since)) / 1_000 + 1)
}

fn count<K: Hash + Eq + Clone>(table: &mut HashMap<K, Failures>, key: K, now: Timestamp) {
    if table.len() >= limits::API_LOGIN_SOURCES_MAX && !table.contains_key(&key) {
        table.retain(|_, f| f.are_current(now));
        if table.len() >= limits::API_LOGIN_SOURCES_MAX
            && let Some(any) = table.keys().next().cloned()
        {
            table.remove(&any);
        }
    }
    let failures = table.entry(key).or_insert(Failures { since: now, count: 0 });
    if !failures.are_current(now) {
        *failures = Failures { since: now, count: 0 };
    }
    failures.count = failures.count.saturating_add(1);
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
    fn who_has_a_site_waits_with_all_of_it() {
        let throttle = Throttle::default();
        let at = Timestamp::from_millis;
        let from = |site: u16, n: u32| IpAddr::from([0x2001, 0xdb8, site, u16::try_from(n).unwrap(), 0, 0, 0, 1]);
        for n in 0..SITE_FAILURES_MAX {
            assert_eq!(throttle.wait_s(from(1, n), at(0)), None);
            throttle.refused(from(1, n), at(0));
        }
        assert_eq!(throttle.wait_s(from(1, 60_000), at(0)), Some(61));
        assert_eq!(throttle.wait_s(from(2, 1), at(0)), None);
    }

    #[test]
    fn the_tables_are_bounded() {
        let throttle = Throttle::default();
        for n in 0..u16::try_from(limits::API_LOGIN_SOURCES_MAX).unwrap() + 50 {
            throttle.refused(IpAddr::from([0x2001, 0xdb8, n, n, 0, 0, 0, 1]), Timestamp::from_millis(0));
        }
        let tables = throttle.0.lock().unwrap();
        assert!(tables.sources.len().max(tables.sites.len()) <= limits::API_LOGIN_SOURCES_MAX);
    }
}
