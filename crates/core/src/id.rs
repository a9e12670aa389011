//! Session ids: ULIDs, so that they sort by time and are short enough for an error message.

use crate::Timestamp;
use std::fmt;
use std::str::FromStr;

/// The id of a session, in every message, recording and API answer. 26 characters, Crockford base 32.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SessionId(ulid::Ulid);

impl SessionId {
    /// An id for a session that starts at `now`; `random` must come from a cryptographic source.
    pub fn new(now: Timestamp, random: u128) -> Self {
        SessionId(ulid::Ulid::from_parts(now.millis().unsigned_abs(), random))
    }

    /// When the session began, to the millisecond.
    pub fn timestamp(self) -> Timestamp {
        Timestamp::from_millis(i64::try_from(self.0.timestamp_ms()).unwrap_or(i64::MAX))
    }
}

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl fmt::Debug for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

/// The text is not a session id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a session id")]
pub struct SessionIdError(pub String);

impl FromStr for SessionId {
    type Err = SessionIdError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        ulid::Ulid::from_string(text).map(SessionId).map_err(|_| SessionIdError(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_back_and_sorts_by_time() {
        let early = SessionId::new(Timestamp::from_millis(1_000), 7);
        let late = SessionId::new(Timestamp::from_millis(2_000), 1);
        assert!(early < late);
        assert_eq!(early.to_string().parse::<SessionId>(), Ok(early));
        assert_eq!(late.timestamp(), Timestamp::from_millis(2_000));
        assert!("nonsense".parse::<SessionId>().is_err());
    }
}
