//! A refusal in words that every protocol can send: what happened, which policy and where it is written, what to do next.

use lockgate_core::{Fault, SessionId, SqlState};
use lockgate_policy::PolicyRef;
use std::fmt::Write;

/// Why a request is not forwarded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Denial {
    /// Whose fault it is.
    pub fault: Fault,
    /// The code for protocols that use SQLSTATE.
    pub sqlstate: SqlState,
    /// One line.
    pub message: String,
    /// Which policy or limit, and on what.
    pub detail: Option<String>,
    /// What to do next.
    pub hint: Option<String>,
    /// The policies that decided.
    pub policies: Vec<PolicyRef>,
}

impl Denial {
    /// Refused by a policy: `policy "ID" (FILE:LINE) forbids ACTION on OBJECT to WHO`.
    pub fn forbidden(policy: &PolicyRef, action: &str, object: &str, who: &str, target: &str) -> Self {
        Denial {
            fault: Fault::Policy,
            sqlstate: SqlState::INSUFFICIENT_PRIVILEGE,
            message: "refused by policy".into(),
            detail: Some(format!(
                "policy \"{}\" ({}:{}) forbids {action} on {object} to {who}",
                policy.id, policy.path, policy.line
            )),
            hint: Some(ask_for_access(target)),
            policies: vec![policy.clone()],
        }
    }

    /// Refused because nothing permits it.
    pub fn no_permit(action: &str, object: &str, who: &str, target: &str) -> Self {
        Denial {
            fault: Fault::Policy,
            sqlstate: SqlState::INSUFFICIENT_PRIVILEGE,
            message: "refused by policy".into(),
            detail: Some(format!("no policy permits {action} on {object} to {who}")),
            hint: Some(ask_for_access(target)),
            policies: Vec::new(),
        }
    }

    /// Refused because a labelled value would be used without being shown. Names of columns are not secret.
    pub fn infer(column: &str, label: &str, place: &str, who: &str, policy: Option<&PolicyRef>) -> Self {
        let mut detail =
            format!("column {column} is labelled {label}, which {who} may not reveal, and {place} uses it");
        if let Some(policy) = policy {
            let _ = write!(detail, "; policy \"{}\" ({}:{}) forbids infer", policy.id, policy.path, policy.line);
        }
        Denial {
            fault: Fault::Policy,
            sqlstate: SqlState::INSUFFICIENT_PRIVILEGE,
            message: "refused by policy".into(),
            detail: Some(detail),
            hint: Some(format!(
                "leave {column} out of conditions, joins, order and copies; as an output column it comes masked"
            )),
            policies: policy.into_iter().cloned().collect(),
        }
    }

    /// Refused because of a limit or a state that is not policy's.
    pub fn other(
        fault: Fault,
        sqlstate: SqlState,
        message: impl Into<String>,
        detail: Option<String>,
        hint: Option<String>,
    ) -> Self {
        Denial { fault, sqlstate, message: message.into(), detail, hint, policies: Vec::new() }
    }

    /// Refused because the request cannot be put on record.
    pub fn unrecordable(error: &dyn std::fmt::Display) -> Self {
        Denial::other(
            Fault::Us,
            SqlState::DISK_FULL,
            "refused: the session cannot be recorded",
            Some(error.to_string()),
            Some("nothing was forwarded; tell the gateway's administrator, and try again when there is space".into()),
        )
    }

    /// The hint with the session's id, which every message carries.
    pub fn hint_with(&self, session: SessionId) -> String {
        match &self.hint {
            Some(hint) => format!("{hint}   session {session}"),
            None => format!("session {session}"),
        }
    }
}

fn ask_for_access(target: &str) -> String {
    format!("ask for access: lockgate request {target} --reason \"…\"")
}
