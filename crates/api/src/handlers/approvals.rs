//! Approvals: those the caller made, those the caller is asked to decide, and all of them for administrators and auditors to look
//! at. Neither role lets anybody decide.

use super::{Party, parties, time};
use crate::auth::Caller;
use crate::body;
use crate::error::{ApiError, ErrorBody};
use crate::state::{ApiState, DecisionMade};
use axum::body::Bytes;
use axum::extract::rejection::{BytesRejection, QueryRejection};
use axum::extract::{Path, Query, State};
use axum::{Extension, Json};
use lockgate_store::approvals::{ApprovalFilter, ApprovalInfo, ApprovalState, Choice};
use lockgate_store::clock;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::fmt::Write as _;
use utoipa::{IntoParams, ToSchema};

/// Which approvals to list.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct ApprovalQuery {
    /// `pending`, `approved`, `used`, `denied`, `expired`, `withdrawn` or `aborted`.
    state: Option<String>,
    /// Only this session's.
    session: Option<String>,
    /// Only those older than this one: `next` of the page before.
    before: Option<String>,
    /// Look at this many at most; those that are not the caller's are left out.
    limit: Option<usize>,
}

/// A page of approvals, newest first.
#[derive(Serialize, ToSchema)]
pub(crate) struct ApprovalsPage {
    approvals: Vec<ApprovalView>,
    /// What `before` of the next page is; absent on the last.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
}

/// One request that waits, or waited, for approval.
#[derive(Serialize, ToSchema)]
pub(crate) struct ApprovalView {
    id: String,
    session: String,
    user: String,
    on_behalf_of: Vec<Party>,
    target: String,
    database: Option<String>,
    statement: String,
    parameters: Option<String>,
    /// SHA-256 of exactly what would run, in hexadecimal.
    digest: String,
    policies: Vec<String>,
    needs: Vec<NeedView>,
    /// `pending`, `approved`, `used`, `denied`, `expired`, `withdrawn` or `aborted`
    state: &'static str,
    opened: String,
    expires: String,
    ended: Option<String>,
    reason: Option<String>,
    votes: Vec<VoteView>,
    /// Whether the caller's decision would count now.
    may_decide: bool,
}

/// Who must approve.
#[derive(Serialize, ToSchema)]
pub(crate) struct NeedView {
    groups: BTreeSet<String>,
    quorum: u32,
}

/// What somebody said.
#[derive(Serialize, ToSchema)]
pub(crate) struct VoteView {
    user: String,
    /// `approve` or `deny`
    vote: &'static str,
    reason: Option<String>,
    at: String,
}

/// Why, in the decider's words.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct DecisionBody {
    /// Told to the requester and recorded.
    #[serde(default)]
    reason: Option<String>,
}

/// What became of the request.
#[derive(Serialize, ToSchema)]
pub(crate) struct Decided {
    id: String,
    /// `approved`, `denied`, or `pending` when more people must approve
    state: &'static str,
}

const PAGE: usize = 100;

/// Approvals that the caller made or is asked to decide, newest first; all of them for administrators and auditors.
#[utoipa::path(get, path = "/api/v1/approvals", operation_id = "list_approvals", tag = "approvals", params(ApprovalQuery),
    responses((status = 200, body = ApprovalsPage), (status = 400, body = ErrorBody), (status = 401, body = ErrorBody)))]
pub(crate) async fn list(
    State(state): State<ApiState>,
    Extension(caller): Extension<Caller>,
    query: Result<Query<ApprovalQuery>, QueryRejection>,
) -> Result<Json<ApprovalsPage>, ApiError> {
    let query = body::query(query)?;
    let wanted = query.state.as_deref().map(|text| {
        ApprovalState::from_name(text)
            .ok_or_else(|| ApiError::bad_request(format!("`{}` is not a state", text.escape_debug())))
    });
    let limit = query.limit.unwrap_or(PAGE).clamp(1, lockgate_core::limits::LIST_PAGE_MAX);
    let filter =
        ApprovalFilter { state: wanted.transpose()?, user: None, session: query.session, before: query.before, limit };
    let rows = state.approvals.list(&filter).await?;
    let next = rows.last().filter(|_| rows.len() == limit).map(|row| row.id.clone());
    let approvals = rows.into_iter().filter(|row| is_visible(&caller, row)).map(|row| view(&caller, row)).collect();
    Ok(Json(ApprovalsPage { approvals, next }))
}

/// One approval.
#[utoipa::path(get, path = "/api/v1/approvals/{id}", operation_id = "show_approval", tag = "approvals", params(("id" = String, Path)),
    responses((status = 200, body = ApprovalView), (status = 401, body = ErrorBody), (status = 404, body = ErrorBody)))]
pub(crate) async fn show(
    State(state): State<ApiState>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
) -> Result<Json<ApprovalView>, ApiError> {
    find(&state, &caller, &id).await.map(|row| Json(view(&caller, row)))
}

/// Approves: the caller must be in a group that is asked, and not on the requester's side.
#[utoipa::path(post, path = "/api/v1/approvals/{id}/approve", operation_id = "approve", tag = "approvals", params(("id" = String, Path)),
    request_body = DecisionBody,
    responses((status = 200, body = Decided), (status = 400, body = ErrorBody), (status = 401, body = ErrorBody),
              (status = 403, body = ErrorBody), (status = 404, body = ErrorBody), (status = 409, body = ErrorBody)))]
pub(crate) async fn approve(
    State(state): State<ApiState>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
    body: Result<Bytes, BytesRejection>,
) -> Result<Json<Decided>, ApiError> {
    decide(&state, &caller, &id, Choice::Approve, body::json::<DecisionBody>(body)?.reason).await.map(Json)
}

/// Denies: under the same rules as approving. The first denial ends the request.
#[utoipa::path(post, path = "/api/v1/approvals/{id}/deny", operation_id = "deny", tag = "approvals", params(("id" = String, Path)),
    request_body = DecisionBody,
    responses((status = 200, body = Decided), (status = 400, body = ErrorBody), (status = 401, body = ErrorBody),
              (status = 403, body = ErrorBody), (status = 404, body = ErrorBody), (status = 409, body = ErrorBody)))]
pub(crate) async fn deny(
    State(state): State<ApiState>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
    body: Result<Bytes, BytesRejection>,
) -> Result<Json<Decided>, ApiError> {
    decide(&state, &caller, &id, Choice::Deny, body::json::<DecisionBody>(body)?.reason).await.map(Json)
}

/// Counts the caller's word, if the approval is theirs to see.
pub(crate) async fn decide(
    state: &ApiState,
    caller: &Caller,
    id: &str,
    choice: Choice,
    reason: Option<String>,
) -> Result<Decided, ApiError> {
    let row = find(state, caller, id).await?;
    // What others do is none of the actions that a token can be for.
    if caller.token.actions.is_some() {
        return Err(ApiError::forbidden(
            "this token is limited to actions and cannot decide",
            "use a token without such a limit",
        ));
    }
    if choice == Choice::Approve {
        // Whose word was counted and who may do nothing any more has approved nothing.
        for vote in &row.votes {
            if state.store.account(&vote.user).await?.refusal().is_some() {
                return Err(ApiError::conflict(
                    format!("`{}`, who has approved this, may not do anything any more", vote.user),
                    "deny it, so that it is asked again",
                ));
            }
        }
    }
    let reason = reason.as_deref().map(str::trim).filter(|r| !r.is_empty());
    let after = state.approvals.decide(&row.id, &caller.identity, choice, reason, clock::now()).await?;
    state.access.decided(&DecisionMade {
        approval: &row.id,
        session: &row.session,
        approved: choice == Choice::Approve,
        by: &caller.identity.display_chain(),
        reason: reason.unwrap_or_default(),
    });
    tracing::info!(approval = %row.id, by = %caller.identity.user, vote = choice.name(), state = after.name(), "decision");
    Ok(Decided { id: row.id, state: after.name() })
}

impl Decided {
    pub(crate) fn state(&self) -> &'static str {
        self.state
    }
}

/// The approval, if it is the caller's to see.
pub(crate) async fn find(state: &ApiState, caller: &Caller, id: &str) -> Result<ApprovalInfo, ApiError> {
    let row = state.approvals.find(id).await?.filter(|row| is_visible(caller, row));
    row.ok_or_else(|| ApiError::not_found("approval"))
}

fn is_visible(caller: &Caller, row: &ApprovalInfo) -> bool {
    let concerned =
        caller.sees_all() || caller.is_concerned(&row.requester, row.opened) || row.is_asked(&caller.identity);
    concerned && caller.covers(&row.target)
}

fn view(caller: &Caller, row: ApprovalInfo) -> ApprovalView {
    ApprovalView {
        may_decide: caller.token.actions.is_none() && row.may_decide(&caller.identity).is_ok(),
        digest: row.digest.iter().fold(String::new(), |mut text, byte| {
            // Writing to a String cannot fail.
            let _ = write!(text, "{byte:02x}");
            text
        }),
        id: row.id,
        session: row.session,
        on_behalf_of: parties(&row.requester.on_behalf_of),
        user: row.requester.user,
        target: row.target,
        database: row.database,
        statement: row.statement,
        parameters: row.parameters,
        policies: row.policies,
        needs: row.needs.into_iter().map(|n| NeedView { groups: n.groups, quorum: n.quorum }).collect(),
        state: row.state.name(),
        opened: row.opened.to_string(),
        expires: row.expires.to_string(),
        ended: time(row.ended),
        reason: row.reason,
        votes: row
            .votes
            .into_iter()
            .map(|v| VoteView { user: v.user, vote: v.choice.name(), reason: v.reason, at: v.at.to_string() })
            .collect(),
    }
}
