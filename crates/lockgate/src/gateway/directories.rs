//! What directories say of whoever asks: the gateway's own list of users, and what companies' directories push (SCIM).
//!
//! A proof says who somebody was when it was made, a directory who they are now. Both count: who is disabled in any directory
//! may do nothing, nor may who acts for them; and where a directory knows somebody, its groups are judged beside those of the
//! proof ([`Identity::standings`]). A proof without groups leaves it to the directories alone.

use super::Gateway;
use lockgate_core::{Identity, SessionId};
use lockgate_store::{PersonLease, Standing};
use std::sync::Arc;

/// The people that a session rests on: who asks, and everybody it acts for.
pub struct People {
    proven: Identity,
    judged: Identity,
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
        let is_watched = self.leases.first().is_none_or(|lease| lease.standing().is_some());
        if is_watched && changes == self.seen {
            return None;
        }
        match judged(&self.proven, &self.leases) {
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

fn judged(proven: &Identity, leases: &[PersonLease]) -> Result<Identity, String> {
    let standings: Option<Vec<Arc<Standing>>> = leases.iter().map(PersonLease::standing).collect();
    match standings {
        Some(standings) => with_directories(proven, &standings),
        None => Err("the gateway cannot tell whether the users may still do anything".to_owned()),
    }
}

/// What directories make of an identity; `standings` are of its users, in order.
fn with_directories(proven: &Identity, standings: &[Arc<Standing>]) -> Result<Identity, String> {
    if let Some(why) = standings.iter().find_map(|standing| standing.refusal()) {
        return Err(why);
    }
    let mut identity = proven.clone();
    let mut lists = standings.iter().map(|standing| {
        let known = standing.records.iter().filter(|record| !record.removed);
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
    pub(super) async fn lease_people(&self, proven: &Identity) -> Result<People, String> {
        let mut leases = Vec::new();
        for user in proven.users() {
            leases.push(self.store.lease_person(user).await.map_err(|error| error.to_string())?);
        }
        let seen = changes(&leases);
        let judged = judged(proven, &leases)?;
        Ok(People { proven: proven.clone(), judged, leases, seen })
    }

    /// What directories make of an identity for one request.
    pub(super) async fn ask_directories(&self, proven: &Identity) -> Result<Identity, String> {
        let mut standings = Vec::new();
        for user in proven.users() {
            standings.push(Arc::new(self.store.standing(user).await.map_err(|error| error.to_string())?));
        }
        with_directories(proven, &standings)
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
    fn standing(records: &[(&str, &str, &str)]) -> Arc<Standing> {
        let record = |(source, state, names): &(&str, &str, &str)| Record {
            source: (*source).to_owned(),
            person: "p".to_owned(),
            user: "alice".to_owned(),
            active: *state == "active",
            removed: *state == "removed",
            groups: groups(names),
            password_set: None,
        };
        Arc::new(Standing { records: records.iter().map(record).collect() })
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
        }
    }

    #[test]
    fn what_a_proof_and_directories_make_together() {
        let nobody = || standing(&[]);
        for (proven, own, alices, expected) in [
            (bot("a b", Some("c")), nobody(), nobody(), Ok("a b, c")),
            (bot("a b", None), nobody(), nobody(), Err("the groups of `alice` are not known")),
            (bot("a b", None), nobody(), standing(&[("scim:corp", "active", "c d")]), Ok("a b, c d")),
            (bot("a b", Some("c")), nobody(), standing(&[("scim:corp", "active", "c d")]), Ok("a b, c, c d")),
            // A directory that knows somebody in no group says something too.
            (bot("a b", Some("c")), nobody(), standing(&[("scim:corp", "active", "")]), Ok("a b, c, ")),
            (bot("a b", Some("")), nobody(), standing(&[("scim:corp", "active", "c")]), Ok("a b, c")),
            (bot("", Some("c")), standing(&[("local", "active", "a")]), nobody(), Ok("a, c")),
            (
                bot("a", Some("c")),
                nobody(),
                standing(&[("local", "active", "l"), ("scim:corp", "active", "s")]),
                Ok("a, c, l, s"),
            ),
            (
                bot("a", Some("c")),
                nobody(),
                standing(&[("scim:corp", "disabled", "c")]),
                Err("`alice` is disabled in `scim:corp`"),
            ),
            (
                bot("a", Some("c")),
                standing(&[("scim:corp", "disabled", "")]),
                nobody(),
                Err("`alice` is disabled in `scim:corp`"),
            ),
            (
                bot("a", Some("c")),
                nobody(),
                standing(&[("local", "active", "c"), ("scim:corp", "disabled", "c")]),
                Err("`alice` is disabled in `scim:corp`"),
            ),
            (
                bot("a", Some("c")),
                nobody(),
                standing(&[("scim:corp", "removed", "")]),
                Err("`alice` was removed from `scim:corp`"),
            ),
            (
                bot("a", Some("c")),
                nobody(),
                standing(&[("local", "active", "l"), ("scim:corp", "removed", "")]),
                Ok("a, c, l"),
            ),
        ] {
            let made = with_directories(&proven, &[own, alices]).map(|identity| {
                let words = |groups: &BTreeSet<String>| groups.iter().cloned().collect::<Vec<_>>().join(" ");
                identity.standings().unwrap().iter().map(|s| words(s.groups)).collect::<Vec<_>>().join(", ")
            });
            assert_eq!(made, expected.map(str::to_owned).map_err(str::to_owned), "{proven:?}");
        }
    }
}
