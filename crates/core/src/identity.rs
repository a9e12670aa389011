//! Who is asking. An [`Identity`] is only ever built from something that was proven (promise 7).

use crate::limits;
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

/// One party by name, with the groups it was proven to be in.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Principal {
    /// The user name.
    pub user: String,
    /// The groups, without the `group:` prefix.
    pub groups: BTreeSet<String>,
}

/// Who is asking, as proven at login.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Identity {
    /// The user name.
    pub user: String,
    /// The groups.
    pub groups: BTreeSet<String>,
    /// Person, service or agent.
    pub kind: IdentityKind,
    /// The chain of parties it acts for, nearest first; empty for one that acts for itself.
    pub on_behalf_of: Vec<Principal>,
    /// The id of the token that proved it, where one did.
    pub token_id: Option<String>,
}

impl Identity {
    /// Whether `user` is this identity or anyone it acts for. Such a party may not approve its requests.
    pub fn involves(&self, user: &str) -> bool {
        self.user == user || self.on_behalf_of.iter().any(|p| p.user == user)
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
