//! What directories say of whoever asks: the gateway's own list of users, and what companies' directories push (SCIM).
//!
//! A proof says who somebody was when it was made, a directory who they are now. Both count: who is disabled in any directory
//! may do nothing, nor may who acts for them; and where a directory knows somebody, its groups are judged beside those of the
//! proof ([`Identity::standings`]). A proof without groups leaves it to the directories alone.

use super::Gateway;
use lockgate_core::{Identity, SessionId, Timestamp};
use lockgate_store::{Account, PersonLease};
use std::sync::Arc;

/// The people that a session rests on: who asks, and everybody it acts for.
pub struct People {
    proven: Identity,
    judged: Identity,
    /// When the proof was made, where it is not one of the gateway's own tokens, which are revoked one by one.
    proof_at: Option<Timestamp>,
    /// Of each of them, in the order of [`Identity::users`].
    leases: Vec<PersonLease>,
    /// What the leases' changes added up to when `judged` was made.
    seen: u64,
}

impl People {
    /// The identity, with the groups that directories know.
    pub fn identity(&self) -> &Identity {
        &self.judged
    }

    /// The identity as it was proven.
    pub fn proven(&self) -> &Identity {
        &self.proven
    }

    /// Why the session may not go on as whom it began, where that is so. Never waits.
    fn lost(&mut self) -> Option<String> {
        let changes = changes(&self.leases);
        let is_watched = self.leases.first().is_none_or(|lease| lease.account().is_some());
        if is_watched && changes == self.seen {
            return None;
        }
        match judged(&self.proven, self.proof_at, &self.leases) {
            Err(why) => Some(why),
            Ok(identity) if identity != self.judged => {
                Some("your groups, or those of whom you act for, have changed: connect again".to_owned())
            }
            Ok(_) => {
                self.seen = changes;
                None
            }
        }
    }
}

fn changes(leases: &[PersonLease]) -> u64 {
    leases.iter().fold(0, |sum, lease| sum.wrapping_add(lease.changes()))
}

fn judged(proven: &Identity, proof_at: Option<Timestamp>, leases: &[PersonLease]) -> Result<Identity, String> {
    let accounts: Option<Vec<Arc<Account>>> = leases.iter().map(PersonLease::account).collect();
    match accounts {
        Some(accounts) => with_directories(proven, proof_at, &accounts),
        None => Err("the gateway cannot tell whether the users may still do anything".to_owned()),
    }
}

/// What directories make of an identity; `accounts` are of its users, in order.
fn with_directories(
    proven: &Identity,
    proof_at: Option<Timestamp>,
    accounts: &[Arc<Account>],
) -> Result<Identity, String> {
    if let Some(why) = accounts.iter().find_map(|account| account.refusal()) {
        return Err(why);
    }
    for (user, account) in proven.users().zip(accounts) {
        if let (Some(at), Some(until)) = (proof_at, account.revoked_until)
            && at <= until
        {
            return Err(format!(
                "the tokens of `{user}` were revoked at {until}, and this one was made before: get a new one"
            ));
        }
    }
    let mut identity = proven.clone();
    let mut lists = accounts.iter().map(|account| {
        let known = account.records.iter().filter(|record| !record.removed);
        known.map(|record| record.groups.clone()).collect::<Vec<_>>()
    });
    identity.directories = lists.next().unwrap_or_default();
    if identity.groups.is_empty()
        && let Some(groups) = identity.directories.first()
    {
        identity.groups = groups.clone();
    }
    for (party, directories) in identity.on_behalf_of.iter_mut().zip(lists) {
        party.directories = directories;
        if party.groups.as_ref().is_some_and(|groups| groups.is_empty()) && !party.directories.is_empty() {
            party.groups = None;
        }
    }
    match identity.standings() {
        Ok(_) => Ok(identity),
        Err(unknown) => Err(unknown.to_string()),
    }
}

impl Gateway {
    /// Begins to watch the people of a session.
    ///
    /// # Errors
    /// Why nobody of these names may do anything.
    pub(super) async fn lease_people(&self, proven: &Identity, now: Timestamp) -> Result<People, String> {
        let mut leases = Vec::new();
        for user in proven.users() {
            leases.push(self.store.lease_person(user).await.map_err(|error| error.to_string())?);
        }
        let seen = changes(&leases);
        let proof_at = self.proof_at(proven).map(|at| at.min(now));
        let judged = judged(proven, proof_at, &leases)?;
        Ok(People { proven: proven.clone(), judged, proof_at, leases, seen })
    }

    /// When what proved somebody was signed, where an identity provider's own token did. One that does not say so, or is forgotten, is
    /// older than anything.
    fn proof_at(&self, proven: &Identity) -> Option<Timestamp> {
        self.proof_made(proven.token_id.as_deref()?).map(Option::unwrap_or_default)
    }

    /// What directories make of an identity for one request.
    pub(super) async fn ask_directories(&self, proven: &Identity) -> Result<Identity, String> {
        let mut accounts = Vec::new();
        for user in proven.users() {
            accounts.push(Arc::new(self.store.account(user).await.map_err(|error| error.to_string())?));
        }
        with_directories(proven, self.proof_at(proven), &accounts)
    }

    /// Ends the sessions of people who are not any more who they were.
    pub(super) fn sweep_people(&self) {
        let lost: Vec<(SessionId, String)> =
            self.open_sessions().iter_mut().filter_map(|(id, open)| Some((*id, open.people.lost()?))).collect();
        for (id, reason) in lost {
            self.take_away(id, &reason);
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;
    use lockgate_core::{IdentityKind, Principal};
    use lockgate_store::Record;
    use std::collections::BTreeSet;

    fn groups(names: &str) -> BTreeSet<String> {
        names.split_whitespace().map(str::to_owned).collect()
    }

    /// `source:active:groups` of each source that knows somebody.
    fn account(records: &[(&str, &str, &str)]) -> Arc<Account> {
        let record = |(source, state, names): &(&str, &str, &str)| Record {
            source: (*source).to_owned(),
            person: "p".to_owned(),
            user: "alice".to_owned(),
            active: *state == "active",
            removed: *state == "removed",
            groups: groups(names),
            password_set: None,
        };
        Arc::new(Account { records: records.iter().map(record).collect(), suspended: Vec::new(), revoked_until: None })
    }

    fn bot(own: &str, alices: Option<&str>) -> Identity {
        Identity {
            user: "bot".to_owned(),
            groups: groups(own),
            directories: Vec::new(),
            kind: IdentityKind::Agent,
            on_behalf_of: vec![Principal {
                user: "alice".to_owned(),
                kind: IdentityKind::Human,
                groups: alices.map(groups),
                directories: Vec::new(),
            }],
            token_id: None,
            actions: None,
        }
    }

    #[test]
    fn what_a_proof_and_directories_make_together() {
        let nobody = || account(&[]);
        for (proven, own, alices, expected) in [
            (bot("a b", Some("c")), nobody(), nobody(), Ok("a b, c")),
            (bot("a b", None), nobody(), nobody(), Err("the groups of `alice` are not known")),
            (bot("a b", None), nobody(), account(&[("scim:corp", "active", "c d")]), Ok("a b, c d")),
            (bot("a b", Some("c")), nobody(), account(&[("scim:corp", "active", "c d")]), Ok("a b, c, c d")),
            // A directory that knows somebody in no group says something too.
            (bot("a b", Some("c")), nobody(), account(&[("scim:corp", "active", "")]), Ok("a b, c, ")),
            (bot("a b", Some("")), nobody(), account(&[("scim:corp", "active", "c")]), Ok("a b, c")),
            (bot("", Some("c")), account(&[("local", "active", "a")]), nobody(), Ok("a, c")),
            (
                bot("a", Some("c")),
                nobody(),
                account(&[("local", "active", "l"), ("scim:corp", "active", "s")]),
                Ok("a, c, l, s"),
            ),
            (
                bot("a", Some("c")),
                nobody(),
                account(&[("scim:corp", "disabled", "c")]),
                Err("`alice` is disabled in `scim:corp`"),
            ),
            (
                bot("a", Some("c")),
                account(&[("scim:corp", "disabled", "")]),
                nobody(),
                Err("`alice` is disabled in `scim:corp`"),
            ),
            (
                bot("a", Some("c")),
                nobody(),
                account(&[("local", "active", "c"), ("scim:corp", "disabled", "c")]),
                Err("`alice` is disabled in `scim:corp`"),
            ),
            (
                bot("a", Some("c")),
                nobody(),
                account(&[("scim:corp", "removed", "")]),
                Err("`alice` was removed from `scim:corp`"),
            ),
            (
                bot("a", Some("c")),
                nobody(),
                account(&[("local", "active", "l"), ("scim:corp", "removed", "")]),
                Ok("a, c, l"),
            ),
        ] {
            let made = with_directories(&proven, None, &[own, alices]).map(|identity| {
                let words = |groups: &BTreeSet<String>| groups.iter().cloned().collect::<Vec<_>>().join(" ");
                identity.standings().unwrap().iter().map(|s| words(s.groups)).collect::<Vec<_>>().join(", ")
            });
            assert_eq!(made, expected.map(str::to_owned).map_err(str::to_owned), "{proven:?}");
        }
    }

    #[test]
    fn a_proof_counts_no_more_where_anybody_in_it_was_revoked_since() {
        let at = |ms| Some(Timestamp::from_millis(ms));
        let revoked = |until| Arc::new(Account { revoked_until: until, ..Account::default() });
        for (proof_at, bots, alices, counts) in [
            (at(5_000), None, None, true),
            (at(5_000), None, at(4_999), true),
            (at(5_000), None, at(5_000), false),
            (at(5_000), at(6_000), None, false),
            // One of the gateway's own tokens is revoked by itself.
            (None, at(6_000), at(6_000), true),
            (Some(Timestamp::default()), None, at(1), false),
        ] {
            let accounts = [revoked(bots), revoked(alices)];
            let made = with_directories(&bot("a", Some("c")), proof_at, &accounts);
            assert_eq!(made.is_ok(), counts, "{proof_at:?} {bots:?} {alices:?}: {made:?}");
        }
    }
}
