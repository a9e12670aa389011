//! A refusal in words that every protocol can send: what happened, which policy and where it is written, what to do next.

use crate::ledger::InferRules;
use lockgate_core::limits::INFER_SETS_MAX;
use lockgate_core::{Action, Fault, Identity, SessionId, SqlState, Timestamp};
use lockgate_policy::{InferMode, InferModes, PolicyRef};
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

    /// With what in the statement takes the action, if that has to be told.
    pub fn because(mut self, why: Option<&str>) -> Self {
        if let (Some(why), Some(detail)) = (why, &mut self.detail) {
            let _ = write!(detail, "; asked for by {why}");
        }
        self
    }

    /// Refused because the token that proved the identity is for other actions; policy would have permitted it.
    pub fn out_of_scope(identity: &Identity, action: Action, object: &str) -> Self {
        let actions: Vec<&str> = identity.actions.iter().flatten().map(|action| action.name()).collect();
        let token = identity.token_id.as_deref().unwrap_or("that was shown");
        Denial {
            message: "refused by the scope of the token".into(),
            ..Denial::refused(
                format!("token {token} is for {} only, and this takes {action} on {object}", actions.join(", ")),
                format!("use a token that is for {action} too, or log in: lockgate login"),
            )
        }
    }

    /// Refused because a labelled value would be used without being shown. Names of columns are not secret.
    pub fn infer(inference: &Inference<'_>) -> Self {
        let Inference { column, label, place, who, policy, needs, has, not_found } = *inference;
        let mut detail =
            format!("column {column} is labelled {label}, which {who} may not reveal, and {place} uses it");
        if let Some(policy) = policy {
            let _ = write!(detail, "; policy \"{}\" ({}:{}) forbids infer", policy.id, policy.path, policy.line);
        } else {
            let _ = write!(detail, "; it takes a permit of infer with mode \"{needs}\"");
            for mode in InferMode::ALL.iter().filter(|mode| has.allows(**mode)) {
                let _ = write!(detail, ", and mode \"{mode}\" permits {}", permits(*mode));
            }
        }
        if let Some(name) = not_found {
            let _ = write!(detail, "; nothing here is known by the name `{name}`, which counts as everything labelled");
        }
        Denial {
            fault: Fault::Policy,
            sqlstate: SqlState::INSUFFICIENT_PRIVILEGE,
            message: "refused by policy".into(),
            detail: Some(detail),
            hint: Some(match not_found {
                Some(name) => format!("see whether `{name}` is what it is called"),
                None => format!(
                    "leave {} out of conditions, joins, order and copies; as an output column it comes masked",
                    if column == UNKNOWN_ORIGIN { "what is of unknown origin" } else { column }
                ),
            }),
            policies: policy.into_iter().cloned().collect(),
        }
    }

    /// Refused because a statement compares labelled columns with more than one value.
    pub fn second_probe(column: &str, who: &str) -> Self {
        Denial::refused(
            format!(
                "mode \"equality\" permits {who} one comparison with one value in a statement, and the one of column \
                 {column} is not the only one"
            ),
            "ask about one value at a time".into(),
        )
    }

    /// Refused because the budget of comparisons is used up.
    pub fn probes_spent(column: &str, who: &str, rules: &InferRules, more: Timestamp, now: Timestamp) -> Self {
        let left = more.millis_since(now).max(0) / 1_000 + 1;
        Denial::refused(
            format!(
                "{who} has compared column {column} with {} different values within {}, which is all that mode \
                 \"equality\" permits; more is possible at {more}, in {}",
                rules.probes_max,
                duration(rules.window_ms / 1_000),
                duration(left)
            ),
            "values that were asked about before may be asked about again".into(),
        )
    }

    /// Refused because the gateway cannot keep track of more comparisons.
    pub fn probes_full(column: &str) -> Self {
        Denial::refused(
            format!("too many columns are being compared with values for the gateway to keep count of column {column}"),
            "try again later".into(),
        )
    }

    /// Refused because too few values go into an aggregate, or into its difference with another.
    pub fn small_group(column: &str, smallest: u64, why: &str) -> Self {
        Denial::refused(
            format!("mode \"aggregate\" permits answers of at least {smallest} values of column {column}: {why}"),
            "ask about more rows at once, or about the same rows as before".into(),
        )
    }

    /// Refused because the sizes of an aggregate's groups could not be told.
    pub fn not_sized(column: &str, why: &str) -> Self {
        Denial::refused(
            format!("how many values of column {column} go into each answer cannot be told: {why}"),
            "send it alone, outside of a failed transaction".into(),
        )
    }

    /// Refused because a column was aggregated over too many sets of rows.
    pub fn sets_spent(column: &str, who: &str, more: Timestamp) -> Self {
        Denial::refused(
            format!(
                "{who} has aggregated column {column} over {INFER_SETS_MAX} different sets of rows; another is possible at {more}"
            ),
            "sets that were asked about before may be asked about again".into(),
        )
    }

    fn refused(detail: String, hint: String) -> Self {
        Denial {
            fault: Fault::Policy,
            sqlstate: SqlState::INSUFFICIENT_PRIVILEGE,
            message: "refused by policy".into(),
            detail: Some(detail),
            hint: Some(hint),
            policies: Vec::new(),
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

/// How a column is called whose origin is not known.
pub const UNKNOWN_ORIGIN: &str = "of unknown origin";

/// A use of a labelled value that is not permitted.
#[derive(Clone, Copy)]
pub struct Inference<'a> {
    /// The column.
    pub column: &'a str,
    /// Its label.
    pub label: &'a str,
    /// What uses it.
    pub place: &'a str,
    /// Who asks.
    pub who: &'a str,
    /// The policy that forbids it.
    pub policy: Option<&'a PolicyRef>,
    /// The mode that would permit it.
    pub needs: InferMode,
    /// The modes that are permitted.
    pub has: InferModes,
    /// A name that nothing which the statement reads has, so that the use may be of anything.
    pub not_found: Option<&'a str>,
}

/// What a mode permits, for who asks for something else.
const fn permits(mode: InferMode) -> &'static str {
    match mode {
        InferMode::Equality => "one comparison with one value by = in the outermost WHERE",
        InferMode::Join => "comparing it with a column of the same labels by =",
        InferMode::Aggregate => "sums, averages and counts of large groups",
        InferMode::Any => "anything",
    }
}

/// `1h`, `14m50s`.
fn duration(seconds: i64) -> String {
    match (seconds / 3_600, seconds / 60 % 60, seconds % 60) {
        (0, 0, s) => format!("{s}s"),
        (0, m, 0) => format!("{m}m"),
        (0, m, s) => format!("{m}m{s:02}s"),
        (h, 0, 0) => format!("{h}h"),
        (h, m, _) => format!("{h}h{m:02}m"),
    }
}

fn ask_for_access(target: &str) -> String {
    format!("ask for access: lockgate request {target} --reason \"…\"")
}
