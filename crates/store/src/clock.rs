//! The clock as the gateway reads it. Everything that decides takes the time as an argument; only waits look here.
//!
//! The wall clock can be set, by accident or by whoever wants a token to live longer. So the time is never earlier than the
//! wall clock was when this process first looked plus what has passed since by the clock that nobody can set: setting the
//! wall clock back prolongs nothing, setting it forward ends things early. A process that began with a clock far ahead stays
//! ahead until it is restarted; that refuses, and lets nobody in.

use lockgate_core::Timestamp;
use std::sync::OnceLock;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// The time now.
pub fn now() -> Timestamp {
    static BEGAN: OnceLock<(Duration, Instant)> = OnceLock::new();
    let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let (began, at) = BEGAN.get_or_init(|| (wall, Instant::now()));
    reading(wall, *began, at.elapsed())
}

/// What the clock says when the wall clock says `wall`, having said `began` that long ago.
fn reading(wall: Duration, began: Duration, passed: Duration) -> Timestamp {
    let latest = wall.max(began.saturating_add(passed));
    Timestamp::from_millis(i64::try_from(latest.as_millis()).unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    const YEARS: u64 = 10 * 365 * 86_400;

    fn at(wall: u64, began: u64, passed: u64) -> i64 {
        reading(Duration::from_secs(wall), Duration::from_secs(began), Duration::from_secs(passed)).millis() / 1_000
    }

    #[test]
    fn a_clock_set_back_goes_on_and_one_set_forward_counts_at_once() {
        let began = 1_800_000_000;
        assert_eq!(at(began, began, 0), 1_800_000_000);
        for back in [1, 3_600, YEARS] {
            assert_eq!(at(began + 60 - back, began, 60), 1_800_000_060, "back by {back} s");
        }
        for ahead in [3_600, YEARS] {
            assert_eq!(at(began + 60 + ahead, began, 60), i64::try_from(began + 60 + ahead).unwrap());
            // And back to right again.
            assert_eq!(at(began + 70, began, 70), 1_800_000_070);
        }
        assert_eq!(reading(Duration::MAX, Duration::MAX, Duration::MAX).millis(), i64::MAX);
    }

    #[test]
    fn it_does_not_go_back() {
        let mut last = now();
        for _ in 0..1_000 {
            let next = now();
            assert!(next >= last);
            last = next;
        }
    }
}
