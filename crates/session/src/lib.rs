//! The narrow waist: every protocol asks here, and only here, whether a request may go on.
//!
//! A protocol says what a request needs; [`Judge`] asks policy; [`Session::submit`] writes the request and its verdict
//! into the recording and only then yields a [`Permit`], which the way to the target consumes. Nothing here does I/O of
//! its own: the recording's sink comes from outside, and so does the time.

#![deny(clippy::wildcard_enum_match_arm)]

mod carried;
mod certificate;
mod counts;
mod denial;
mod judge;
mod ledger;
mod permit;
mod probing;
mod rules;
mod session;
pub mod wire;

pub use carried::{BroughtLabel, LabelBook};
pub use certificate::{certified_rules, certify};
pub use counts::{Closed, Counts};
pub use denial::Denial;
pub use judge::{Carried, Charge, ColumnMask, Judge, Judgement, Masks, Plan, Release, Ruling};
pub use ledger::{InferRules, Ledger, RowSet};
pub use lockgate_policy::ApprovalNeed;
pub use lockgate_sql::CarriedLabel;
pub use permit::{Permit, Plumbing, TargetOutbox};
pub use probing::Probing;
pub use rules::{Content, Rewrites, Rules, RulesHandle, TargetRules};
pub use session::{Ended, Parameters, Parked, Request, Session, SessionParts, Ticket, Verdict};
