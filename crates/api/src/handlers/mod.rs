//! What each endpoint does once the table has let the caller in.

pub(crate) mod approvals;
pub(crate) mod detokenize;
pub(crate) mod logins;
pub(crate) mod sessions;
pub(crate) mod system;
pub(crate) mod tokens;
pub(crate) mod users;

use crate::error::ApiError;
use lockgate_core::{IdentityKind, Principal, Timestamp};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use utoipa::ToSchema;

/// A party that somebody acts for.
#[derive(Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Party {
    /// The user name.
    pub(crate) user: String,
    /// `human` (the default), `service` or `agent`
    #[serde(default)]
    pub(crate) kind: Option<String>,
    /// The groups; absent where only a directory knows them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) groups: Option<BTreeSet<String>>,
}

impl Party {
    fn of(principal: &Principal) -> Self {
        Party {
            user: principal.user.clone(),
            kind: Some(principal.kind.name().to_owned()),
            groups: principal.groups.clone(),
        }
    }
}

/// The kind that a request names.
fn kind(named: Option<&str>) -> Result<IdentityKind, ApiError> {
    named
        .map_or(Some(IdentityKind::Human), IdentityKind::from_name)
        .ok_or_else(|| ApiError::bad_request("`kind` must be `human`, `service` or `agent`"))
}

fn parties(chain: &[Principal]) -> Vec<Party> {
    chain.iter().map(Party::of).collect()
}

fn time(at: Option<Timestamp>) -> Option<String> {
    at.map(|t| t.to_string())
}
