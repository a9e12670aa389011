//! Who is asking. An [`Identity`] is only ever built from something that was proven (promise 7).

use crate::names::name_key;
use crate::{Action, limits};
use std::collections::BTreeSet;
use std::fmt;

/// What sort of party an identity is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub enum IdentityKind {
    /// A person.
    #[default]
    Human,
    /// A script, a CI job, a service.
    Service,
    /// An AI agent.
    Agent,
}

impl IdentityKind {
    /// The name in policies, tokens and recordings.
    pub const fn name(self) -> &'static str {
        match self {
            IdentityKind::Human => "human",
            IdentityKind::Service => "service",
            IdentityKind::Agent => "agent",
        }
    }

    /// The kind that `text` names.
    pub fn from_name(text: &str) -> Option<Self> {
        [IdentityKind::Human, IdentityKind::Service, IdentityKind::Agent].into_iter().find(|k| k.name() == text)
    }
}

impl fmt::Display for IdentityKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Whether a text can be the name of a user or a group: something, not too long, without control characters or outer spaces.
pub fn is_name(text: &str) -> bool {
    !text.is_empty()
        && text.len() <= limits::NAME_BYTES_MAX
        && text.trim() == text
        && !text.chars().any(char::is_control)
}

/// A party that somebody acts for.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Principal {
    /// The user name.
    pub user: String,
    /// Person, service or agent.
    pub kind: IdentityKind,
    /// The groups that came with the proof, without the `group:` prefix; `None` where it says nothing of them.
    pub groups: Option<BTreeSet<String>>,
    /// The groups by each directory that knows the user.
    pub directories: Vec<BTreeSet<String>>,
}

/// Who is asking, as proven at login.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Identity {
    /// The user name.
    pub user: String,
    /// The groups that came with the proof.
    pub groups: BTreeSet<String>,
    /// The groups by each directory that knows the user.
    pub directories: Vec<BTreeSet<String>>,
    /// Person, service or agent.
    pub kind: IdentityKind,
    /// The chain of parties it acts for, nearest first; empty for one that acts for itself.
    pub on_behalf_of: Vec<Principal>,
    /// The id of the token that proved it, where one did.
    pub token_id: Option<String>,
    /// The only actions that the proof is for, beside `connect`; `None` means no such limit. It narrows what policy permits to
    /// everybody in the chain, and permits nothing.
    pub actions: Option<BTreeSet<Action>>,
}

/// One party under one list of its groups. What an identity may do is what each of its standings may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing<'a> {
    /// The user name.
    pub user: &'a str,
    /// Person, service or agent.
    pub kind: IdentityKind,
    /// The groups.
    pub groups: &'a BTreeSet<String>,
    /// Whom this party acts for.
    pub acts_for: &'a [Principal],
}

/// Nobody knows which groups this party is in, so that nobody can tell what it may do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupsUnknown(pub String);

impl<'a> Standing<'a> {
    /// The same party under each of these lists, once each.
    fn under(self, proven: Option<&'a BTreeSet<String>>, directories: &'a [BTreeSet<String>], all: &mut Vec<Self>) {
        let first = all.len();
        for groups in proven.into_iter().chain(directories) {
            let standing = Standing { groups, ..self };
            if !all.iter().skip(first).any(|known| *known == standing) {
                all.push(standing);
            }
        }
    }
}

impl fmt::Display for GroupsUnknown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the groups of `{}` are not known", self.0)
    }
}

impl Identity {
    /// Whether the proof is for this action. Policy still has to agree.
    pub fn is_for(&self, action: Action) -> bool {
        action == Action::Connect || self.actions.as_ref().is_none_or(|actions| actions.contains(&action))
    }

    /// Whether `user`, however it is spelt, is this identity or anyone it acts for. Such a party may not approve its requests.
    pub fn involves(&self, user: &str) -> bool {
        let key = name_key(user);
        self.users().any(|party| party == user || name_key(party) == key)
    }

    /// Whether `other` and everybody it acts for is this identity or anyone it acts for: what this identity did concerns them. An
    /// agent that acts for one person is not concerned by what it did for another.
    pub fn involves_all_of(&self, other: &Identity) -> bool {
        other.users().all(|user| self.involves(user))
    }

    /// Whether `other` is who this identity is, of the same kind and in the same groups, and acts for the same parties in the same
    /// groups. The directories' words apart, the two may do the same.
    pub fn is_alike(&self, other: &Identity) -> bool {
        let party = |a: &Principal, b: &Principal| a.user == b.user && a.kind == b.kind && a.groups == b.groups;
        self.user == other.user
            && self.kind == other.kind
            && self.groups == other.groups
            && self.actions == other.actions
            && self.on_behalf_of.len() == other.on_behalf_of.len()
            && self.on_behalf_of.iter().zip(&other.on_behalf_of).all(|(a, b)| party(a, b))
    }

    /// It, and everybody it acts for, nearest first.
    pub fn users(&self) -> impl Iterator<Item = &str> {
        std::iter::once(self.user.as_str()).chain(self.on_behalf_of.iter().map(|party| party.user.as_str()))
    }

    /// Everything that has to be permitted for this identity to be permitted something: itself and everybody it acts for, each
    /// under the groups of the proof and under those of every directory. An agent so has what it and its principal have
    /// in common, and a group that one side names and the other does not gives nothing and spares nothing.
    ///
    /// # Errors
    /// When nobody knows the groups of a party.
    pub fn standings(&self) -> Result<Vec<Standing<'_>>, GroupsUnknown> {
        let mut rest = self.on_behalf_of.as_slice();
        let own = Standing { user: &self.user, kind: self.kind, groups: &self.groups, acts_for: rest };
        let mut all = Vec::with_capacity(1 + rest.len());
        own.under(Some(&self.groups), &self.directories, &mut all);
        while let Some((party, beyond)) = rest.split_first() {
            rest = beyond;
            let groups = party.groups.as_ref().or(party.directories.first());
            let groups = groups.ok_or_else(|| GroupsUnknown(party.user.clone()))?;
            let theirs = Standing { user: &party.user, kind: party.kind, groups, acts_for: rest };
            theirs.under(party.groups.as_ref(), &party.directories, &mut all);
        }
        Ok(all)
    }

    /// The groups that every standing is in: what counts where being in a group gives something.
    pub fn certain_groups(&self) -> BTreeSet<String> {
        let mut certain = self.groups.clone();
        match self.standings() {
            Ok(all) => certain.retain(|group| all.iter().all(|standing| standing.groups.contains(group))),
            Err(_) => certain.clear(),
        }
        certain
    }

    /// `alice`, or `bot for alice` where it acts for somebody.
    pub fn display_chain(&self) -> String {
        let mut text = self.user.clone();
        for p in &self.on_behalf_of {
            text.push_str(" for ");
            text.push_str(&p.user);
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn groups(names: &[&str]) -> BTreeSet<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    fn bot() -> Identity {
        Identity {
            user: "bot".to_owned(),
            groups: groups(&["engineers", "bots"]),
            directories: Vec::new(),
            kind: IdentityKind::Agent,
            on_behalf_of: vec![Principal {
                user: "bob".to_owned(),
                kind: IdentityKind::Human,
                groups: Some(groups(&["engineers", "dba"])),
                directories: vec![groups(&["engineers"]), groups(&["dba", "engineers"])],
            }],
            token_id: None,
            actions: None,
        }
    }

    #[test]
    fn everybody_stands_under_each_list_of_groups_once() {
        let bot = bot();
        let shown: Vec<String> = bot
            .standings()
            .unwrap()
            .iter()
            .map(|s| format!("{} {} {} {}", s.user, s.kind, s.groups.len(), s.acts_for.len()))
            .collect();
        assert_eq!(shown, ["bot agent 2 1", "bob human 2 0", "bob human 1 0"]);
        assert_eq!(bot.certain_groups(), groups(&["engineers"]));
    }

    #[test]
    fn a_proof_for_some_actions_is_for_connect_and_these() {
        let all = bot();
        let some = Identity { actions: Some(BTreeSet::from([Action::Read])), ..bot() };
        for action in Action::ALL {
            assert!(all.is_for(action), "{action}");
            assert_eq!(some.is_for(action), matches!(action, Action::Connect | Action::Read), "{action}");
        }
    }

    #[test]
    fn groups_that_nobody_knows_are_no_groups_to_judge_by() {
        let mut bot = bot();
        bot.on_behalf_of[0].groups = None;
        assert_eq!(bot.standings().unwrap().len(), 3, "a directory knows them");
        bot.on_behalf_of[0].directories.clear();
        assert_eq!(bot.standings(), Err(GroupsUnknown("bob".to_owned())));
        assert_eq!(bot.certain_groups(), groups(&[]));
    }
}
