//! Answers to refused logins that come late, so that who guesses has to wait: how many are held back at once, and how fast a source
//! that has as many as it may goes on. Pure: it says how long, and others wait.
//!
//! It refuses nobody for what others do: a proof from such a source is looked at, in its turn, and a right one is let in then. Turned
//! away is only what would wait too long for its turn.

use crate::Timestamp;
use crate::limits::{LATE_ANSWERS_MAX, LATE_ANSWERS_PER_SOURCE_MAX, LOGIN_TURN_MS, LOGIN_TURN_WAIT_MS_MAX};
use crate::network::{network_of, site_of};
use crate::places::{Place, Places};
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

/// Sources that have to wait for their turn, above which those are forgotten that do not any more.
const TURNS_KEPT: usize = 64;

/// The answers that are held back now.
pub struct Late {
    places: Arc<Places>,
    /// When the last turn is that was given to a source.
    turns: Mutex<HashMap<IpAddr, Timestamp>>,
}

impl Default for Late {
    fn default() -> Self {
        let places = Places::new(LATE_ANSWERS_MAX, LATE_ANSWERS_PER_SOURCE_MAX);
        Late { places: Arc::new(places), turns: Mutex::default() }
    }
}

impl Late {
    /// A place for an answer that is held back. Where there is none, it goes out at once.
    pub fn hold(&self, source: IpAddr) -> Option<Place> {
        self.places.take(source)
    }

    /// How many milliseconds pass before something new from this source is looked at, its connection or its proof. `None` where that
    /// would be too long: it is turned away unseen.
    pub fn turn_ms(&self, source: IpAddr, now: Timestamp) -> Option<u64> {
        if !self.places.is_full_for(source) {
            return Some(0);
        }
        // Whoever has a whole site queues with all of it.
        let queue = site_of(source).unwrap_or_else(|| network_of(source));
        let mut turns = self.turns.lock().unwrap_or_else(PoisonError::into_inner);
        let waits = |last: &Timestamp| (0..=LOGIN_TURN_WAIT_MS_MAX).contains(&last.millis_since(now));
        if turns.len() >= TURNS_KEPT {
            turns.retain(|_, last| waits(last));
        }
        // One that is over, or that a clock which was set back has left behind, counts no more.
        let last = turns.get(&queue).copied().filter(waits).unwrap_or(now);
        let turn = last.plus_millis(LOGIN_TURN_MS);
        let wait_ms = turn.millis_since(now);
        if wait_ms > LOGIN_TURN_WAIT_MS_MAX {
            return None;
        }
        turns.insert(queue, turn);
        u64::try_from(wait_ms).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: i64) -> Timestamp {
        Timestamp::from_millis(1_000_000 + ms)
    }

    #[test]
    fn who_has_as_many_as_he_may_goes_on_in_turns() {
        let late = Late::default();
        let (here, there): (IpAddr, IpAddr) = ("192.0.2.1".parse().unwrap(), "192.0.2.2".parse().unwrap());
        let mut held: Vec<_> = (0..LATE_ANSWERS_PER_SOURCE_MAX).map(|_| late.hold(here).unwrap()).collect();
        assert!(late.hold(here).is_none());
        let turns: Vec<Option<u64>> = (0..3).map(|_| late.turn_ms(here, at(0))).collect();
        let step = u64::try_from(LOGIN_TURN_MS).unwrap();
        assert_eq!(turns, [Some(step), Some(2 * step), Some(3 * step)]);
        assert_eq!(late.turn_ms(there, at(0)), Some(0), "others do not wait");
        let waiting = (0..10_000).filter_map(|_| late.turn_ms(here, at(0))).max().unwrap();
        assert_eq!(i64::try_from(waiting).unwrap(), LOGIN_TURN_WAIT_MS_MAX);
        assert_eq!(late.turn_ms(here, at(0)), None, "nor does anybody wait for ever");
        assert_eq!(late.turn_ms(here, at(LOGIN_TURN_MS)), Some(waiting));
        assert_eq!(late.turn_ms(here, at(-60_000)), Some(step), "a clock that is set back keeps nobody");
        held.pop();
        assert_eq!(late.turn_ms(here, at(0)), Some(0));
    }

    #[test]
    fn a_site_is_one_queue_and_all_is_bounded() {
        let late = Late::default();
        let from = |site: u16, n: u16| IpAddr::from([0x2001, 0xdb8, site, n, 0, 0, 0, 1]);
        let mut held: Vec<_> = (0..5_000).filter_map(|n| late.hold(from(1, n))).collect();
        assert!((LATE_ANSWERS_PER_SOURCE_MAX..LATE_ANSWERS_MAX).contains(&held.len()), "{}", held.len());
        assert_ne!(late.turn_ms(from(1, 6_000), at(0)), Some(0));
        assert_ne!(late.turn_ms(from(1, 6_001), at(0)), late.turn_ms(from(1, 6_002), at(0)));
        assert_eq!(late.turn_ms(from(2, 0), at(0)), Some(0));
        held.extend(
            (2..1_000).flat_map(|site| (0..70).map(move |_| (site, 0))).filter_map(|(s, n)| late.hold(from(s, n))),
        );
        assert_eq!(held.len(), LATE_ANSWERS_MAX);
        for site in 0..500 {
            let _ = late.turn_ms(from(site, 0), at(i64::from(site) * 10_000));
        }
        assert!(late.turns.lock().unwrap().len() <= TURNS_KEPT);
    }
}
