//! How many tokens of masked data one user may have read back in a while, so that a stolen credential drains slowly. What an
//! agent reads is taken from everybody whom it acts for too: ten agents read no more than their principal. The table is bounded.

use lockgate_core::{Identity, Timestamp, limits, name_key};
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

#[derive(Default)]
pub(crate) struct Allowance(Mutex<HashMap<String, Spent>>);

struct Spent {
    since: Timestamp,
    tokens: usize,
}

impl Allowance {
    /// Takes `tokens` off what everybody in the identity has left; the seconds to wait when that is not enough for one.
    pub(crate) fn take(&self, identity: &Identity, tokens: usize, now: Timestamp) -> Result<(), i64> {
        let mut table = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let current = |spent: &Spent| (0..limits::DETOKENIZE_WINDOW_MS).contains(&now.millis_since(spent.since));
        table.retain(|_, spent| current(spent));
        let users: Vec<String> = identity.users().map(name_key).collect();
        for user in &users {
            match table.get(user) {
                None if table.len().saturating_add(users.len()) > limits::DETOKENIZE_USERS_MAX => {
                    return Err(limits::DETOKENIZE_WINDOW_MS / 1_000);
                }
                None => {}
                Some(spent) if spent.tokens.saturating_add(tokens) > limits::DETOKENIZE_WINDOW_TOKENS_MAX => {
                    return Err((limits::DETOKENIZE_WINDOW_MS - now.millis_since(spent.since)) / 1_000 + 1);
                }
                Some(_) => {}
            }
        }
        for user in users {
            let spent = table.entry(user).or_insert(Spent { since: now, tokens: 0 });
            spent.tokens = spent.tokens.saturating_add(tokens);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lockgate_core::{IdentityKind, Principal};

    fn who(user: &str, acts_for: Option<&str>) -> Identity {
        let principal = |user: &str| Principal {
            user: user.to_owned(),
            kind: IdentityKind::Human,
            groups: None,
            directories: Vec::new(),
        };
        Identity {
            user: user.to_owned(),
            groups: [].into(),
            directories: Vec::new(),
            kind: IdentityKind::Human,
            on_behalf_of: acts_for.map(principal).into_iter().collect(),
            actions: None,
            token_id: None,
        }
    }

    #[test]
    fn ten_agents_read_no_more_than_their_principal() {
        let allowance = Allowance::default();
        let at = Timestamp::from_millis;
        let some = limits::DETOKENIZE_WINDOW_TOKENS_MAX / 2;
        assert_eq!(allowance.take(&who("bot1", Some("alice")), some, at(0)), Ok(()));
        assert_eq!(allowance.take(&who("bot2", Some("Alice")), some, at(0)), Ok(()));
        assert!(allowance.take(&who("bot3", Some("alice")), some, at(0)).is_err());
        assert_eq!(allowance.take(&who("bot3", Some("bob")), some, at(0)), Ok(()), "what is refused takes nothing");
    }

    #[test]
    fn is_spent_and_comes_back() {
        let allowance = Allowance::default();
        let at = Timestamp::from_millis;
        for _ in 0..limits::DETOKENIZE_WINDOW_TOKENS_MAX / 100 {
            assert_eq!(allowance.take(&who("alice", None), 100, at(5)), Ok(()));
        }
        assert_eq!(allowance.take(&who("alice", None), 1, at(1_005)), Err(60));
        assert_eq!(allowance.take(&who("ALICE", None), 1, at(1_005)), Err(60), "however she is spelt");
        assert_eq!(allowance.take(&who("bot", Some("alice")), 1, at(1_005)), Err(60), "nor by an agent");
        assert_eq!(allowance.take(&who("bob", None), 1, at(1_005)), Ok(()));
        assert_eq!(allowance.take(&who("alice", None), 1, at(5 + limits::DETOKENIZE_WINDOW_MS)), Ok(()));
        for user in 0..limits::DETOKENIZE_USERS_MAX + 10 {
            let _ = allowance.take(&who(&user.to_string(), None), 1, at(limits::DETOKENIZE_WINDOW_MS));
        }
        assert!(allowance.0.lock().unwrap().len() <= limits::DETOKENIZE_USERS_MAX);
    }
}
