//! Tests of policies: a case is a question and the verdict that its author expects. Reading them from a file is
//! `lockgate-config`'s business.

use crate::annotations::MaskMethod;
use crate::decide::{Decision, Outcome};
use crate::question::{Question, RequestContext, Resource, TargetFacts};
use crate::{Policies, nearest};
use lockgate_core::{Action, Identity, Label};
use std::fmt;
use std::str::FromStr;

/// One question with its expected answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Case {
    /// What it is called in the report.
    pub name: String,
    /// Who asks.
    pub identity: Identity,
    /// What for.
    pub action: Action,
    /// Where.
    pub target: TargetFacts,
    /// On what.
    pub resource: CaseResource,
    /// Under which circumstances.
    pub context: RequestContext,
    /// The answer.
    pub expected: Expected,
}

/// The object of a case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CaseResource {
    /// The target itself.
    Target,
    /// `schema.table`.
    Table(String),
    /// A label, and the `schema.table` that it was found on.
    Label(Label, Option<String>),
}

/// What the author of a case expects: a verdict, and perhaps which policy gives it. Written
/// `allow`, `deny by no-bulk-export`, `approve`, `mask redact by mask-pii`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expected {
    /// The verdict.
    pub verdict: ExpectedVerdict,
    /// The `@id` of a policy that must have taken part.
    pub by: Option<String>,
}

/// The verdict of a case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExpectedVerdict {
    /// Yes.
    Allow,
    /// No.
    Deny,
    /// After approval, masked or not.
    Approve,
    /// Masked, with this method where one is named.
    Mask(Option<MaskMethod>),
}

/// The text is not an expectation.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not a verdict: {hint}")]
pub struct UnreadableExpectation {
    /// What was written.
    pub text: String,
    /// What to write.
    pub hint: String,
}

impl FromStr for Expected {
    type Err = UnreadableExpectation;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let unreadable = |hint: String| UnreadableExpectation { text: text.to_owned(), hint };
        let (words, by) = match text.split_once(" by ") {
            Some((words, by)) => (words.trim(), Some(by.trim().to_owned())),
            None => (text.trim(), None),
        };
        let verdict = match words.split_whitespace().collect::<Vec<_>>().as_slice() {
            ["allow"] => ExpectedVerdict::Allow,
            ["deny"] => ExpectedVerdict::Deny,
            ["approve"] => ExpectedVerdict::Approve,
            ["mask"] => ExpectedVerdict::Mask(None),
            ["mask", method] => match MaskMethod::from_name(method) {
                Some(method) => ExpectedVerdict::Mask(Some(method)),
                None => {
                    let known = MaskMethod::ALL.iter().map(|m| m.name());
                    return Err(unreadable(match nearest(method, known) {
                        Some(meant) => format!("did you mean `mask {meant}`?"),
                        None => format!("`{method}` is not a masking method"),
                    }));
                }
            },
            [word, ..] => {
                return Err(unreadable(match nearest(word, ["allow", "deny", "approve", "mask"]) {
                    Some(meant) if meant != *word => format!("did you mean `{meant}`?"),
                    _ => "write `allow`, `deny`, `approve` or `mask METHOD`, and perhaps `by POLICY`".to_owned(),
                }));
            }
            [] => return Err(unreadable("it is empty".to_owned())),
        };
        Ok(Expected { verdict, by })
    }
}

impl fmt::Display for Expected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.verdict {
            ExpectedVerdict::Allow => f.write_str("allow")?,
            ExpectedVerdict::Deny => f.write_str("deny")?,
            ExpectedVerdict::Approve => f.write_str("approve")?,
            ExpectedVerdict::Mask(None) => f.write_str("mask")?,
            ExpectedVerdict::Mask(Some(method)) => write!(f, "mask {method}")?,
        }
        match &self.by {
            Some(policy) => write!(f, " by {policy}"),
            None => Ok(()),
        }
    }
}

impl Expected {
    /// Whether a decision is what was expected.
    pub fn met_by(&self, decision: &Decision) -> bool {
        let verdict = match (self.verdict, &decision.outcome) {
            (ExpectedVerdict::Allow, Outcome::Allow)
            | (ExpectedVerdict::Deny, Outcome::Deny(_))
            | (ExpectedVerdict::Approve, Outcome::Approve(_) | Outcome::ApproveThenMask(..))
            | (ExpectedVerdict::Mask(None), Outcome::Mask(..)) => true,
            (ExpectedVerdict::Mask(Some(wanted)), Outcome::Mask(method, _)) => wanted == *method,
            (
                ExpectedVerdict::Allow | ExpectedVerdict::Deny | ExpectedVerdict::Approve | ExpectedVerdict::Mask(_),
                Outcome::Allow
                | Outcome::Deny(_)
                | Outcome::Approve(_)
                | Outcome::Mask(..)
                | Outcome::ApproveThenMask(..),
            ) => false,
        };
        verdict && self.by.as_ref().is_none_or(|id| decision.policies.iter().any(|p| *p.id == **id))
    }
}

impl Case {
    /// The question that the case asks.
    pub fn question(&self) -> Question<'_> {
        let target = &self.target;
        let resource = match &self.resource {
            CaseResource::Target => Resource::Target(target),
            CaseResource::Table(name) => Resource::Table { target, name },
            CaseResource::Label(label, table) => Resource::Label { target, label, table: table.as_deref() },
        };
        Question { identity: &self.identity, action: self.action, resource, context: &self.context }
    }

    /// Asks. `Err` is the decision that was not expected.
    ///
    /// # Errors
    /// The decision, when it is not the expected one.
    pub fn check(&self, policies: &Policies) -> Result<(), Box<Decision>> {
        let decision = policies.decide(&self.question());
        if self.expected.met_by(&decision) { Ok(()) } else { Err(Box::new(decision)) }
    }
}
