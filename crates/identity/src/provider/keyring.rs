//! The keys that a provider was last heard to have, and when it may be asked again. Pure: time comes as milliseconds of a clock
//! that never jumps.
//!
//! Keys are read again at intervals, and at once when a token names one that is not known: that is how keys are changed. A
//! stranger can name any key, so asking for this reason has an allowance.

use crate::jwt::KeySet;
use lockgate_core::limits::{JWKS_ASK_MS, JWKS_ASKS_MAX, JWKS_STALE_MS_MAX};
use std::sync::Arc;

/// What is known of a provider's keys.
#[derive(Default)]
pub(super) struct Keyring {
    keys: Option<Arc<KeySet>>,
    /// When they were read.
    read_ms: u64,
    /// How often reading them was tried.
    tries: u64,
    /// Why the last try failed, if it did.
    failure: Option<String>,
    spent: u64,
    /// When a unit of the allowance was last given back.
    refilled_ms: u64,
}

impl Keyring {
    /// The keys, unless the provider has been silent for too long.
    pub(super) fn keys(&self, now_ms: u64) -> Option<Arc<KeySet>> {
        self.keys.clone().filter(|_| now_ms.saturating_sub(self.read_ms) <= JWKS_STALE_MS_MAX)
    }

    /// A number that changes with every try, so that who waited for another's try can tell.
    pub(super) const fn tries(&self) -> u64 {
        self.tries
    }

    /// Why the last try failed, if it did.
    pub(super) fn failure(&self) -> Option<&str> {
        self.failure.as_deref()
    }

    /// Whether the provider may be asked on account of a token; taken from the allowance.
    pub(super) const fn may_ask(&mut self, now_ms: u64) -> bool {
        let back = now_ms.saturating_sub(self.refilled_ms) / JWKS_ASK_MS;
        if back > 0 {
            self.spent = self.spent.saturating_sub(back);
            self.refilled_ms = self.refilled_ms.saturating_add(back.saturating_mul(JWKS_ASK_MS));
        }
        if self.spent >= JWKS_ASKS_MAX {
            return false;
        }
        self.spent += 1;
        true
    }

    /// Takes the outcome of a try. A failure leaves the keys as they were; whether it is news.
    pub(super) fn heard(&mut self, outcome: Result<KeySet, String>, now_ms: u64) -> bool {
        self.tries = self.tries.wrapping_add(1);
        match outcome {
            Ok(keys) => {
                self.keys = Some(Arc::new(keys));
                self.read_ms = now_ms;
                self.failure.take().is_some() || self.tries == 1
            }
            Err(why) => {
                let news = self.failure.as_ref() != Some(&why);
                self.failure = Some(why);
                news
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stranger_has_little_to_ask() {
        let mut ring = Keyring::default();
        let asked = (0..60_000).filter(|now| ring.may_ask(*now)).count();
        let most = JWKS_ASKS_MAX + 60_000 / JWKS_ASK_MS;
        assert!(u64::try_from(asked).unwrap() <= most, "{asked} in a minute");
        assert!(ring.may_ask(10_000_000), "and it comes back");
    }

    #[test]
    fn keys_outlive_a_silence_up_to_a_limit() {
        let mut ring = Keyring::default();
        assert!(ring.keys(0).is_none());
        assert!(ring.heard(Err("down".to_owned()), 0));
        assert!(!ring.heard(Err("down".to_owned()), 1), "said once");
        assert!(ring.heard(Ok(KeySet::default()), 2));
        assert!(ring.heard(Err("down".to_owned()), 3));
        assert!(ring.keys(JWKS_STALE_MS_MAX).is_some());
        assert!(ring.keys(JWKS_STALE_MS_MAX + 3).is_none());
        assert_eq!((ring.tries(), ring.failure()), (4, Some("down")));
    }
}
