//! Policies: Cedar files in, decisions out.
//!
//! This crate checks policy files against the schema that ships with Lockgate, and answers, for one identity, one action
//! and one object, what policy says: allow, deny, ask a person, or mask. A decision is a pure function of the question and
//! the loaded files: there is no clock here, no store and no cache. Verdicts about whole statements are made of several
//! decisions, in `lockgate-session`; what a masked value looks like is `lockgate-mask`'s business.

#![deny(clippy::wildcard_enum_match_arm)]

mod annotations;
mod cases;
mod decide;
mod depth;
mod explain;
mod facts;
mod load;
mod nearest;
mod problem;
mod question;
mod rule;
mod schema;
mod scope;
mod spelling;

pub use annotations::{InferMode, MaskMethod, Severity};
pub use cases::{Case, CaseResource, Expected, ExpectedVerdict, UnreadableExpectation};
pub use decide::{Alert, ApprovalNeed, Decision, DenyReason, InferModes, Outcome};
pub use explain::{Explanation, Match, Miss, NearMiss};
pub use load::{Policies, Reference, Source};
pub use nearest::nearest;
pub use problem::{Problem, position};
pub use question::{
    CommandContext, HttpContext, KubeContext, McpContext, Question, RequestContext, Resource, SqlContext, TargetFacts,
};
pub use rule::{Effect, PolicyListing, PolicyRef};
pub use schema::SCHEMA;
