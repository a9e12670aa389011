//! Which refused logins are put on record one by one. All of them while they are few; of a flood the first of each minute, and then
//! how many more there were: strangers must not fill the disk that sessions need. Pure and bounded: time is an argument.

use lockgate_core::limits::{
    API_LOGIN_SOURCES_MAX, REFUSALS_NOTED_MAX, REFUSALS_NOTED_PER_SOURCE_MAX, REFUSALS_WINDOW_MS,
};
use lockgate_core::{Timestamp, network_of};
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};

/// How many sources are named when it is told how many refusals were left out.
const NAMED: usize = 10;

/// The refusals of this minute.
#[derive(Default)]
pub struct Refusals(Mutex<Window>);

#[derive(Default)]
struct Window {
    since: Timestamp,
    noted: u32,
    sources: HashMap<IpAddr, Source>,
    /// Those of sources that there was no room for.
    others: u64,
    /// What earlier windows left out and nobody was told.
    untold: Vec<(Option<IpAddr>, u64)>,
}

#[derive(Default)]
struct Source {
    noted: u32,
    left_out: u64,
}

impl Refusals {
    /// Whether a refusal of this source is put on record by itself.
    pub fn is_noted(&self, source: IpAddr, now: Timestamp) -> bool {
        let mut window = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        window.turn(now);
        let source = network_of(source);
        let room = window.noted < REFUSALS_NOTED_MAX;
        let full = window.sources.len() >= API_LOGIN_SOURCES_MAX;
        if full && !window.sources.contains_key(&source) {
            window.others = window.others.saturating_add(1);
            return false;
        }
        let known = window.sources.entry(source).or_default();
        if room && known.noted < REFUSALS_NOTED_PER_SOURCE_MAX {
            known.noted += 1;
            window.noted += 1;
            return true;
        }
        known.left_out = known.left_out.saturating_add(1);
        false
    }

    /// How many were left out in minutes that are over, of whom as far as it is known. Told once.
    pub fn left_out(&self, now: Timestamp) -> Vec<(Option<IpAddr>, u64)> {
        let mut window = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        window.turn(now);
        std::mem::take(&mut window.untold)
    }
}

impl Window {
    /// Begins a new minute where this one is over, or the clock went back.
    fn turn(&mut self, now: Timestamp) {
        if (0..REFUSALS_WINDOW_MS).contains(&now.millis_since(self.since)) {
            return;
        }
        let mut left_out: Vec<(IpAddr, u64)> = std::mem::take(&mut self.sources)
            .into_iter()
            .map(|(source, known)| (source, known.left_out))
            .filter(|(_, left_out)| *left_out > 0)
            .collect();
        left_out.sort_by_key(|(_, left_out)| std::cmp::Reverse(*left_out));
        let rest =
            left_out.iter().skip(NAMED).fold(std::mem::take(&mut self.others), |n, (_, more)| n.saturating_add(*more));
        // Whoever asks comes every second; a clock that jumps about does not heap them up.
        self.untold.truncate(NAMED);
        self.untold.extend(left_out.into_iter().take(NAMED).map(|(source, n)| (Some(source), n)));
        self.untold.extend((rest > 0).then_some((None, rest)));
        self.since = now;
        self.noted = 0;
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;

    fn at(millis: i64) -> Timestamp {
        Timestamp::from_millis(millis)
    }

    #[test]
    fn the_first_are_noted_and_the_others_counted() {
        let refusals = Refusals::default();
        let (one, other): (IpAddr, IpAddr) = ("2001:db8::1".parse().unwrap(), "192.0.2.1".parse().unwrap());
        for n in 0..REFUSALS_NOTED_PER_SOURCE_MAX {
            assert!(refusals.is_noted(one, at(i64::from(n))));
        }
        for n in 2..7_u16 {
            assert!(!refusals.is_noted(IpAddr::from([0x2001, 0xdb8, 0, 0, 0, 0, 0, n]), at(1_000)), "the same network");
        }
        assert!(refusals.is_noted(other, at(1_000)), "others are noted");
        assert_eq!(refusals.left_out(at(2_000)), [], "the minute is not over");
        assert_eq!(refusals.left_out(at(REFUSALS_WINDOW_MS)), [(Some("2001:db8::".parse().unwrap()), 5)]);
        assert_eq!(refusals.left_out(at(REFUSALS_WINDOW_MS)), [], "told once");
        assert!(refusals.is_noted(one, at(REFUSALS_WINDOW_MS + 1)));
        assert!(refusals.is_noted(one, at(5)), "a clock that goes back hides nothing");
    }

    #[test]
    fn a_flood_from_everywhere_is_bounded() {
        let refusals = Refusals::default();
        let sources = u32::try_from(API_LOGIN_SOURCES_MAX).unwrap() * 2;
        let noted = (0..sources).filter(|n| refusals.is_noted(IpAddr::from(n.to_be_bytes()), at(0))).count();
        assert_eq!(noted, usize::try_from(REFUSALS_NOTED_MAX).unwrap());
        assert!(refusals.0.lock().unwrap().sources.len() <= API_LOGIN_SOURCES_MAX);
        let told = refusals.left_out(at(REFUSALS_WINDOW_MS));
        assert_eq!(told.len(), NAMED + 1);
        assert_eq!(told.iter().map(|(_, n)| n).sum::<u64>() + u64::try_from(noted).unwrap(), u64::from(sources));
    }
}
