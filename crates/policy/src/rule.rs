//! One loaded policy: where it is written, when it can apply, and what it does.

use crate::annotations::{Annotations, Softness};
use crate::decide::ApprovalNeed;
use crate::scope::Scope;
use cedar_policy::PolicySet;
use std::fmt;
use std::ops::BitOr;
use std::sync::Arc;

/// A policy, named so that a person finds it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PolicyRef {
    /// The `@id`, or `file#n` for the n-th policy of a file.
    pub id: Arc<str>,
    /// The file.
    pub path: Arc<str>,
    /// The line on which the policy, with its annotations, begins.
    pub line: u32,
}

/// `policy "no-bulk-export" (policies/orders.cedar:12)`.
impl fmt::Display for PolicyRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "policy \"{}\" ({}:{})", self.id, self.path, self.line)
    }
}

/// What a policy does when it is satisfied.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Effect {
    /// It permits.
    Permit,
    /// It forbids, or asks, or masks.
    Forbid,
}

impl Effect {
    /// The word in the policy.
    pub const fn name(self) -> &'static str {
        match self {
            Effect::Permit => "permit",
            Effect::Forbid => "forbid",
        }
    }
}

/// A line of a list of policies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PolicyListing {
    /// Which policy.
    pub policy: PolicyRef,
    /// Permit or forbid.
    pub effect: Effect,
    /// Its annotations in words: `needs dba`, `masks with redact`, `on trial`; empty for a plain one.
    pub annotations: String,
    /// Its text, as written.
    pub text: String,
}

/// A loaded policy.
#[derive(Debug)]
pub(crate) struct Rule {
    pub(crate) reference: PolicyRef,
    pub(crate) effect: Effect,
    pub(crate) annotations: Annotations,
    pub(crate) scope: Scope,
    pub(crate) reads: Reads,
    /// The policy alone in a set: Cedar tells which policies were satisfied only for those that decided.
    pub(crate) single: PolicySet,
    pub(crate) clauses: Vec<Clause>,
    /// The people that it may name.
    pub(crate) names: Vec<String>,
    pub(crate) text: String,
}

/// One `when` or `unless` of a policy, by itself.
#[derive(Debug)]
pub(crate) struct Clause {
    /// As Cedar prints it.
    pub(crate) text: String,
    /// A permit of everything under this clause.
    pub(crate) single: PolicySet,
}

impl Rule {
    pub(crate) fn need(&self) -> Option<ApprovalNeed> {
        match &self.annotations.softness {
            Softness::Approve { groups, quorum } => {
                Some(ApprovalNeed { groups: groups.clone(), quorum: *quorum, policy: self.reference.clone() })
            }
            Softness::Plain | Softness::Mask(_) => None,
        }
    }

    /// Whether its head or a clause may name a table: by the entity, by its type, or in `context.sql.tables`. A word that
    /// only looks so counts as well.
    pub(crate) fn speaks_of_tables(&self) -> bool {
        let clause = |c: &Clause| c.text.contains("Table") || c.text.contains("tables");
        self.scope.resource.is_of("Table") || self.reads.has(Reads::TABLE) || self.clauses.iter().any(clause)
    }

    /// The annotations in words.
    pub(crate) fn softness(&self) -> String {
        let mut words = Vec::new();
        match &self.annotations.softness {
            Softness::Plain => {}
            Softness::Approve { groups, quorum: 1 } => words.push(format!("needs {}", groups.join(" or "))),
            Softness::Approve { groups, quorum } => words.push(format!("needs {quorum} of {}", groups.join(" or "))),
            Softness::Mask(method) => words.push(format!("masks with {method}")),
        }
        if let Some(mode) = self.annotations.mode {
            words.push(format!("mode {mode}"));
        }
        if let Some(severity) = self.annotations.alert {
            words.push(format!("alert {severity}"));
        }
        if self.annotations.observe {
            words.push("on trial".to_owned());
        }
        words.join(", ")
    }

    pub(crate) fn listing(&self) -> PolicyListing {
        PolicyListing {
            policy: self.reference.clone(),
            effect: self.effect,
            annotations: self.softness(),
            text: self.text.clone(),
        }
    }
}

/// The attributes of `context` that a policy reads, as a set of bits. Only these are built for an evaluation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Reads(u16);

impl Reads {
    pub(crate) const SQL: Reads = Reads(1);
    pub(crate) const COMMAND: Reads = Reads(1 << 1);
    pub(crate) const HTTP: Reads = Reads(1 << 2);
    pub(crate) const KUBE: Reads = Reads(1 << 3);
    pub(crate) const MCP: Reads = Reads(1 << 4);
    pub(crate) const CLIENT: Reads = Reads(1 << 5);
    pub(crate) const NOW: Reads = Reads(1 << 6);
    pub(crate) const IDENTITY: Reads = Reads(1 << 7);
    pub(crate) const GRANT: Reads = Reads(1 << 8);
    pub(crate) const TARGET: Reads = Reads(1 << 9);
    pub(crate) const TABLE: Reads = Reads(1 << 10);
    /// The list of the optional parts that the request has: what `context has sql` asks.
    pub(crate) const PRESENT: Reads = Reads(1 << 11);
    pub(crate) const ALL: Reads = Reads((1 << 12) - 1);

    /// The bit of an attribute.
    pub(crate) fn of(attribute: &str) -> Reads {
        match attribute {
            "sql" => Reads::SQL,
            "command" => Reads::COMMAND,
            "http" => Reads::HTTP,
            "kube" => Reads::KUBE,
            "mcp" => Reads::MCP,
            "client" => Reads::CLIENT,
            "now" => Reads::NOW,
            "identity" => Reads::IDENTITY,
            "grant" => Reads::GRANT,
            "target" => Reads::TARGET,
            "table" => Reads::TABLE,
            "present" => Reads::PRESENT,
            _ => Reads::ALL,
        }
    }

    pub(crate) const fn has(self, other: Reads) -> bool {
        self.0 & other.0 != 0
    }
}

impl BitOr for Reads {
    type Output = Reads;

    fn bitor(self, other: Reads) -> Reads {
        Reads(self.0 | other.0)
    }
}
