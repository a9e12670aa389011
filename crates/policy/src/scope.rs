//! The head of a policy, `(principal in …, action …, resource in …)`, matched without Cedar.
//!
//! This only saves work: a policy that this lets through is still judged by Cedar, head and conditions. It must never keep
//! back a policy that Cedar would find satisfied; a property test compares the two.

use crate::facts::Facts;
use cedar_policy::{EntityUid, PrincipalConstraint, ResourceConstraint};
use lockgate_core::Action;

/// An entity by type and name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Entity {
    pub(crate) kind: String,
    pub(crate) id: String,
}

impl From<&EntityUid> for Entity {
    fn from(uid: &EntityUid) -> Self {
        Entity { kind: uid.type_name().to_string(), id: uid.id().unescaped().to_owned() }
    }
}

/// What a head asks of the principal or the resource.
#[derive(Clone, Debug)]
pub(crate) enum Constraint {
    Any,
    Eq(Entity),
    In(Entity),
    Is(String),
    IsIn(String, Entity),
}

impl Constraint {
    /// Whether an entity with this type, name and ancestors fits.
    fn matches(&self, own: (&str, &str), is_ancestor: impl Fn(&str, &str) -> bool) -> bool {
        let within = |e: &Entity| (e.kind.as_str(), e.id.as_str()) == own || is_ancestor(&e.kind, &e.id);
        match self {
            Constraint::Any => true,
            Constraint::Eq(e) => (e.kind.as_str(), e.id.as_str()) == own,
            Constraint::In(e) => within(e),
            Constraint::Is(kind) => kind == own.0,
            Constraint::IsIn(kind, e) => kind == own.0 && within(e),
        }
    }

    /// Whether only entities of this type fit.
    pub(crate) fn is_of(&self, kind: &str) -> bool {
        match self {
            Constraint::Any => false,
            Constraint::Eq(e) | Constraint::In(e) => e.kind == kind,
            Constraint::Is(of) | Constraint::IsIn(of, _) => of == kind,
        }
    }

    /// As it is written, after `principal` or `resource`.
    pub(crate) fn text(&self, variable: &str) -> String {
        let quote = |e: &Entity| format!("{}::{:?}", e.kind, e.id);
        match self {
            Constraint::Any => variable.to_owned(),
            Constraint::Eq(e) => format!("{variable} == {}", quote(e)),
            Constraint::In(e) => format!("{variable} in {}", quote(e)),
            Constraint::Is(kind) => format!("{variable} is {kind}"),
            Constraint::IsIn(kind, e) => format!("{variable} is {kind} in {}", quote(e)),
        }
    }
}

impl From<PrincipalConstraint> for Constraint {
    fn from(constraint: PrincipalConstraint) -> Self {
        match constraint {
            PrincipalConstraint::Any => Constraint::Any,
            PrincipalConstraint::Eq(uid) => Constraint::Eq((&uid).into()),
            PrincipalConstraint::In(uid) => Constraint::In((&uid).into()),
            PrincipalConstraint::Is(kind) => Constraint::Is(kind.to_string()),
            PrincipalConstraint::IsIn(kind, uid) => Constraint::IsIn(kind.to_string(), (&uid).into()),
        }
    }
}

impl From<ResourceConstraint> for Constraint {
    fn from(constraint: ResourceConstraint) -> Self {
        match constraint {
            ResourceConstraint::Any => Constraint::Any,
            ResourceConstraint::Eq(uid) => Constraint::Eq((&uid).into()),
            ResourceConstraint::In(uid) => Constraint::In((&uid).into()),
            ResourceConstraint::Is(kind) => Constraint::Is(kind.to_string()),
            ResourceConstraint::IsIn(kind, uid) => Constraint::IsIn(kind.to_string(), (&uid).into()),
        }
    }
}

/// A policy's head.
#[derive(Clone, Debug)]
pub(crate) struct Scope {
    pub(crate) principal: Constraint,
    /// `None` for a head that names no action: it is about all of them.
    pub(crate) actions: Option<Vec<Action>>,
    pub(crate) resource: Constraint,
}

impl Scope {
    pub(crate) fn matches(&self, facts: &Facts<'_>) -> bool {
        self.matches_principal(facts) && self.matches_resource(facts)
    }

    pub(crate) fn matches_action(&self, action: Action) -> bool {
        self.actions.as_ref().is_none_or(|named| named.contains(&action))
    }

    pub(crate) fn matches_principal(&self, facts: &Facts<'_>) -> bool {
        self.principal
            .matches(("User", facts.principal.user), |kind, id| kind == "Group" && facts.principal.groups.contains(id))
    }

    pub(crate) fn matches_resource(&self, facts: &Facts<'_>) -> bool {
        self.resource.matches((facts.resource_kind, &facts.resource_id), |kind, id| {
            facts.resource_ancestors.iter().any(|(k, name)| *k == kind && name == id)
        })
    }

    /// The actions as they are written.
    pub(crate) fn action_text(&self) -> String {
        match self.actions.as_deref() {
            None => "action".to_owned(),
            Some([one]) => format!("action == Action::\"{one}\""),
            Some(several) => {
                let names: Vec<String> = several.iter().map(|a| format!("Action::\"{a}\"")).collect();
                format!("action in [{}]", names.join(", "))
            }
        }
    }
}
