//! The wall clock as the store reads it. Everything that decides takes the time as an argument; only waits look here.

use lockgate_core::Timestamp;
use std::time::{SystemTime, UNIX_EPOCH};

/// The time now, by the wall clock.
pub fn now() -> Timestamp {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp::from_millis(i64::try_from(since_epoch.as_millis()).unwrap_or(i64::MAX))
}
