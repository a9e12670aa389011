//! The words every other crate shares: who asks, for what, and what may go wrong.
//!
//! Nothing here does I/O, reads a clock or knows a protocol. It exists so that policy, masking, recording and the
//! protocols can name the same things without knowing each other. It is not a place for helpers.

#![deny(clippy::wildcard_enum_match_arm)]

mod action;
mod fault;
mod glob;
mod id;
mod identity;
mod label;
mod late;
pub mod limits;
pub mod metrics;
mod names;
mod network;
mod places;
mod secret;
mod target;
mod time;
mod verbs;

pub use action::Action;
pub use fault::{Fault, SqlState};
pub use glob::matches_glob;
pub use id::SessionId;
pub use identity::{GroupsUnknown, Identity, IdentityKind, Principal, Standing, is_name};
pub use label::{Label, LabelError};
pub use late::Late;
pub use names::{is_same_name, name_key};
pub use network::{network_of, site_of};
pub use places::{Place, Places};
pub use secret::Secret;
pub use target::{Database, TargetName, TargetNameError};
pub use time::Timestamp;
pub use verbs::SQL_VERBS;
