//! Places that are taken for a while, counted by who takes them: so many in all, fewer for one source, and a few sources' worth for
//! the network around it. Bounded by what it counts; it knows no clock and waits for nothing.

use crate::limits::SITE_PLACES;
use crate::network::{network_of, site_of};
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// What there is room for, and who is in it.
pub struct Places {
    max: usize,
    per_source_max: usize,
    /// Whether this machine's own clients are bounded by the total alone.
    loopback_is_many: bool,
    taken: Mutex<Taken>,
}

#[derive(Default)]
struct Taken {
    all: usize,
    by_source: HashMap<IpAddr, usize>,
    by_site: HashMap<IpAddr, usize>,
}

/// A place, given back when dropped.
pub struct Place {
    places: Arc<Places>,
    source: IpAddr,
    site: Option<IpAddr>,
}

impl Places {
    /// Room for `max`, for `per_source_max` from one source (an address, or a /64 of IPv6), and for [`SITE_PLACES`] times as many, but not
    /// more than half of all, from a /48.
    pub fn new(max: usize, per_source_max: usize) -> Self {
        Places { max, per_source_max, loopback_is_many: false, taken: Mutex::default() }
    }

    /// The same where loopback is every local client at once, so that only the total bounds it.
    #[must_use]
    pub fn with_many_on_loopback(self) -> Self {
        Places { loopback_is_many: true, ..self }
    }

    /// A place for `address`, unless all are taken.
    pub fn take(self: &Arc<Self>, address: IpAddr) -> Option<Place> {
        let (source, site) = (network_of(address), site_of(address));
        let mut taken = self.lock();
        if taken.all >= self.max || self.has_its_share(&taken, source, site) {
            return None;
        }
        taken.all += 1;
        *taken.by_source.entry(source).or_default() += 1;
        if let Some(site) = site {
            *taken.by_site.entry(site).or_default() += 1;
        }
        drop(taken);
        Some(Place { places: Arc::clone(self), source, site })
    }

    /// Whether this source, or the network around it, has as many as it may, whatever is left for others.
    pub fn is_full_for(&self, address: IpAddr) -> bool {
        self.has_its_share(&self.lock(), network_of(address), site_of(address))
    }

    fn has_its_share(&self, taken: &Taken, source: IpAddr, site: Option<IpAddr>) -> bool {
        let of = |table: &HashMap<IpAddr, usize>, key: &IpAddr| table.get(key).copied().unwrap_or(0);
        let per_source = if self.loopback_is_many && source.is_loopback() { self.max } else { self.per_source_max };
        let per_site = self.per_source_max.saturating_mul(SITE_PLACES).min(self.max.div_ceil(2));
        of(&taken.by_source, &source) >= per_source || site.is_some_and(|site| of(&taken.by_site, &site) >= per_site)
    }

    fn lock(&self) -> MutexGuard<'_, Taken> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.places.lock();
        taken.all = taken.all.saturating_sub(1);
        give_back(&mut taken.by_source, &self.source);
        if let Some(site) = self.site {
            give_back(&mut taken.by_site, &site);
        }
    }
}

fn give_back(table: &mut HashMap<IpAddr, usize>, key: &IpAddr) {
    if let Some(count) = table.get_mut(key) {
        *count = count.saturating_sub(1);
        if *count == 0 {
            table.remove(key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_has_its_share_and_gives_it_back() {
        let places = Arc::new(Places::new(100, 3));
        let source: IpAddr = "192.0.2.7".parse().unwrap();
        let mut taken: Vec<_> = (0..3).map(|_| places.take(source).unwrap()).collect();
        assert!(places.take(source).is_none());
        assert!(places.is_full_for(source));
        assert!(places.take("192.0.2.8".parse().unwrap()).is_some());
        taken.pop();
        assert!(places.take(source).is_some());
        taken.clear();
        let left = places.lock();
        assert_eq!((left.all, left.by_source.len(), left.by_site.len()), (0, 0, 0));
    }

    #[test]
    fn who_has_a_site_has_not_all_of_it() {
        let places = Arc::new(Places::new(100, 10));
        let from = |site: u16, n: u16| IpAddr::from([0x2001, 0xdb8, site, n, 0, 0, 0, 1]);
        let taken: Vec<_> = (0..1_000).filter_map(|n| places.take(from(1, n))).collect();
        assert_eq!(taken.len(), 10 * SITE_PLACES);
        assert!(places.is_full_for(from(1, 2_000)));
        assert!(places.take(from(2, 0)).is_some(), "others have theirs");
        assert!(places.take("192.0.2.7".parse().unwrap()).is_some());
        let few = Arc::new(Places::new(10, 10));
        let all: Vec<_> = (0..20).filter_map(|n| few.take(from(1, n))).collect();
        assert_eq!(all.len(), 5, "nor more than half of what there is");
    }

    #[test]
    fn this_machine_may_be_many() {
        let places = Arc::new(Places::new(5, 2).with_many_on_loopback());
        let taken: Vec<_> = (0..9).filter_map(|_| places.take(IpAddr::from([127, 0, 0, 1]))).collect();
        assert_eq!(taken.len(), 5);
    }
}
