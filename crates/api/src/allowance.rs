//! How many tokens of masked data one user may have read back in a while, so that a stolen credential drains slowly. The
//! table is bounded.

use lockgate_core::{Timestamp, limits};
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

#[derive(Default)]
pub(crate) struct Allowance(Mutex<HashMap<String, Spent>>);

struct Spent {
    since: Timestamp,
    tokens: usize,
}

impl Allowance {
    /// Takes `tokens` off what the user has left; the seconds to wait when that is not enough.
    pub(crate) fn take(&self, user: &str, tokens: usize, now: Timestamp) -> Result<(), i64> {
        let mut table = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let current = |spent: &Spent| (0..limits::DETOKENIZE_WINDOW_MS).contains(&now.millis_since(spent.since));
        table.retain(|_, spent| current(spent));
        if table.len() >= limits::DETOKENIZE_USERS_MAX && !table.contains_key(user) {
            return Err(limits::DETOKENIZE_WINDOW_MS / 1_000);
        }
        let spent = table.entry(user.to_owned()).or_insert(Spent { since: now, tokens: 0 });
        if spent.tokens.saturating_add(tokens) > limits::DETOKENIZE_WINDOW_TOKENS_MAX {
            return Err((limits::DETOKENIZE_WINDOW_MS - now.millis_since(spent.since)) / 1_000 + 1);
        }
        spent.tokens += tokens;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_spent_and_comes_back() {
        let allowance = Allowance::default();
        let at = Timestamp::from_millis;
        for _ in 0..limits::DETOKENIZE_WINDOW_TOKENS_MAX / 100 {
            assert_eq!(allowance.take("alice", 100, at(5)), Ok(()));
        }
        assert_eq!(allowance.take("alice", 1, at(1_005)), Err(60));
        assert_eq!(allowance.take("bob", 1, at(1_005)), Ok(()));
        assert_eq!(allowance.take("alice", 1, at(5 + limits::DETOKENIZE_WINDOW_MS)), Ok(()));
        for user in 0..limits::DETOKENIZE_USERS_MAX + 10 {
            let _ = allowance.take(&user.to_string(), 1, at(limits::DETOKENIZE_WINDOW_MS));
        }
        assert!(allowance.0.lock().unwrap().len() <= limits::DETOKENIZE_USERS_MAX);
    }
}
