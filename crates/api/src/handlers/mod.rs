//! What each endpoint does once the table has let the caller in.

pub(crate) mod approvals;
pub(crate) mod detokenize;
pub(crate) mod sessions;
pub(crate) mod system;
pub(crate) mod tokens;

use lockgate_core::{Principal, Timestamp};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use utoipa::ToSchema;

/// A party that somebody acts for.
#[derive(Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Party {
    /// The user name.
    pub(crate) user: String,
    /// The groups.
    #[serde(default)]
    pub(crate) groups: BTreeSet<String>,
}

impl Party {
    fn of(principal: &Principal) -> Self {
        Party { user: principal.user.clone(), groups: principal.groups.clone() }
    }
}

fn parties(chain: &[Principal]) -> Vec<Party> {
    chain.iter().map(Party::of).collect()
}

fn time(at: Option<Timestamp>) -> Option<String> {
    at.map(|t| t.to_string())
}
