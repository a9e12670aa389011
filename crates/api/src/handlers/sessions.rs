//! Sessions: everybody's own, and all of them for administrators and auditors.

use super::{Party, parties, time};
use crate::auth::Caller;
use crate::body::{self, EventBody};
use crate::error::{ApiError, ErrorBody};
use crate::state::{ApiState, EventView, StillMay};
use axum::body::Body;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State};
use axum::http::header;
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use lockgate_core::{SessionId, Timestamp};
use lockgate_store::{PersonLease, SessionFilter, SessionRow, TokenState, clock};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;
use utoipa::{IntoParams, ToSchema};

/// Which sessions to list.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct SessionQuery {
    /// Only this user's. Others than the caller's own are for administrators and auditors.
    user: Option<String>,
    /// Only on this target.
    target: Option<String>,
    /// Only open ones (`true`) or ended ones (`false`).
    live: Option<bool>,
    /// Only those opened at this time or later, in milliseconds since the epoch.
    since: Option<i64>,
    /// Only those opened before this time, in milliseconds since the epoch.
    until: Option<i64>,
    /// Only those older than this session: `next` of the page before.
    before: Option<String>,
    /// At most so many.
    limit: Option<usize>,
}

/// How to read a recording.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct EventQuery {
    /// Go on with what happens until the session ends (`true`). Empty lines only say that the gateway is there.
    follow: Option<bool>,
}

/// A page of sessions, newest first.
#[derive(Serialize, ToSchema)]
pub(crate) struct Sessions {
    sessions: Vec<SessionView>,
    /// What `before` of the next page is; absent on the last.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
}

/// One session.
#[derive(Serialize, ToSchema)]
pub(crate) struct SessionView {
    id: String,
    user: String,
    groups: BTreeSet<String>,
    kind: &'static str,
    on_behalf_of: Vec<Party>,
    protocol: String,
    target: String,
    database: Option<String>,
    client: String,
    opened: String,
    closed: Option<String>,
    reason: Option<String>,
    live: bool,
    requests: u64,
    denied: u64,
    rows: u64,
}

/// An end that was asked for.
#[derive(Serialize, ToSchema)]
pub(crate) struct Killed {
    id: String,
    killed: bool,
}

const PAGE: usize = 100;

/// The caller's sessions, newest first; all of them for administrators and auditors.
#[utoipa::path(get, path = "/api/v1/sessions", operation_id = "list_sessions", tag = "sessions", params(SessionQuery),
    responses((status = 200, body = Sessions), (status = 400, body = ErrorBody), (status = 401, body = ErrorBody)))]
pub(crate) async fn list(
    State(state): State<ApiState>,
    Extension(caller): Extension<Caller>,
    query: Result<Query<SessionQuery>, QueryRejection>,
) -> Result<Json<Sessions>, ApiError> {
    let query = body::query(query)?;
    let before = query.before.map(|id| id.parse::<SessionId>()).transpose();
    let before = before.map_err(|e| ApiError::bad_request(e.to_string()))?;
    let limit = query.limit.unwrap_or(PAGE).clamp(1, lockgate_core::limits::LIST_PAGE_MAX);
    if !caller.sees_all() && query.user.as_ref().is_some_and(|user| *user != caller.identity.user) {
        return Ok(Json(Sessions { sessions: Vec::new(), next: None }));
    }
    let filter = SessionFilter {
        user: if caller.sees_all() { query.user } else { Some(caller.identity.user.clone()) },
        target: query.target,
        live: query.live,
        since: query.since.map(Timestamp::from_millis),
        until: query.until.map(Timestamp::from_millis),
        before,
        limit,
    };
    let rows = state.store.list_sessions(&filter).await?;
    let live = state.sessions.live();
    let next = rows.last().filter(|_| rows.len() == limit).map(|row| row.id.to_string());
    let sessions = rows.into_iter().filter(|row| is_visible(&caller, row)).map(|row| view(row, &live)).collect();
    Ok(Json(Sessions { sessions, next }))
}

/// One session.
#[utoipa::path(get, path = "/api/v1/sessions/{id}", operation_id = "show_session", tag = "sessions", params(("id" = String, Path)),
    responses((status = 200, body = SessionView), (status = 401, body = ErrorBody), (status = 404, body = ErrorBody)))]
pub(crate) async fn show(
    State(state): State<ApiState>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
) -> Result<Json<SessionView>, ApiError> {
    find(&state, &caller, &id).await.map(|row| Json(view(row, &state.sessions.live())))
}

/// The recording of a session as JSON lines. Administrators and auditors see other people's without result rows.
#[utoipa::path(get, path = "/api/v1/sessions/{id}/events", operation_id = "session_events", tag = "sessions",
    params(("id" = String, Path), EventQuery),
    responses((status = 200, description = "one event a line", content_type = "application/x-ndjson"),
              (status = 400, body = ErrorBody), (status = 401, body = ErrorBody), (status = 404, body = ErrorBody)))]
pub(crate) async fn events(
    State(state): State<ApiState>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
    query: Result<Query<EventQuery>, QueryRejection>,
) -> Result<Response, ApiError> {
    let follow = body::query(query)?.follow.unwrap_or(false);
    let row = find(&state, &caller, &id).await?;
    // Whoever may less than the one who saw the rows, or acts for somebody else, does not get them from here.
    let own = row.identity.is_alike(&caller.identity) && caller.is_concerned(&row.identity, row.opened);
    let view = if own { EventView::Whole } else { EventView::WithoutResults };
    let still_may = if follow { Some(still_may(&state, &caller).await?) } else { None };
    let stream = state.journal.events(row.id, view, still_may).await.map_err(|e| {
        tracing::error!(error = %e, session = %row.id, "cannot read a recording");
        ApiError::unavailable("the recording cannot be read")
    })?;
    let stream = stream.ok_or_else(|| ApiError::not_found("recording"))?;
    Ok(([(header::CONTENT_TYPE, "application/x-ndjson")], Body::new(EventBody(stream))).into_response())
}

/// Whoever follows a session loses it with the token, with the right to see other people's, and with any word of a directory about
/// them or whom they act for.
async fn still_may(state: &ApiState, caller: &Caller) -> Result<StillMay, ApiError> {
    let now = clock::now();
    let (access, identity, by_role) = (Arc::clone(&state.access), caller.identity.clone(), caller.sees_all());
    let mut people = Vec::new();
    for user in caller.identity.users() {
        people.push(state.store.lease_person(user).await?);
    }
    let changes = |people: &[PersonLease]| people.iter().fold(0_u64, |sum, lease| sum.wrapping_add(lease.changes()));
    let seen = changes(&people);
    // What was said before they were watched counts too.
    if state.access.stand(caller.proven.clone()).await.ok().as_ref() != Some(&caller.identity) {
        return Err(ApiError::unauthenticated("the token is not valid"));
    }
    let may_see = move || {
        let stands = changes(&people) == seen && people.iter().all(|lease| lease.account().is_some());
        stands && (!by_role || access.is_admin(&identity) || access.is_auditor(&identity))
    };
    if let Some(counts) = state.providers.still_counts(&caller.token.id) {
        return Ok(Box::new(move || counts() && may_see()));
    }
    let lease = state.store.lease_token(&caller.token.id, now).await;
    let lease = lease.map_err(|_| ApiError::unauthenticated("the token is not valid"))?;
    Ok(Box::new(move || lease.state(clock::now()) == TokenState::Live && may_see()))
}

/// Ends a session: one's own, or any for administrators.
#[utoipa::path(post, path = "/api/v1/sessions/{id}/kill", operation_id = "kill_session", tag = "sessions", params(("id" = String, Path)),
    responses((status = 200, body = Killed), (status = 401, body = ErrorBody), (status = 403, body = ErrorBody), (status = 404, body = ErrorBody),
              (status = 409, body = ErrorBody)))]
pub(crate) async fn kill(
    State(state): State<ApiState>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
) -> Result<Json<Killed>, ApiError> {
    let row = find(&state, &caller, &id).await?;
    if !caller.admin && !caller.is_concerned(&row.identity, row.opened) {
        return Err(ApiError::forbidden("an auditor ends nobody's session", "ask a member of `identity.admins`"));
    }
    // What else somebody does is nothing that a token for some actions is for.
    if caller.token.actions.is_some() && row.identity.token_id.as_ref() != Some(&caller.token.id) {
        return Err(ApiError::forbidden(
            "this token is limited to actions and ends no session but its own",
            "use a token without such a limit",
        ));
    }
    if !state.sessions.kill(row.id, &caller.identity.user) {
        return Err(ApiError::conflict("the session has ended already", "list live sessions"));
    }
    tracing::info!(session = %row.id, by = %caller.identity.user, "session killed");
    Ok(Json(Killed { id: row.id.to_string(), killed: true }))
}

/// The session, if it is the caller's to see: their own, one of those who act for them, or any for an administrator or an auditor.
async fn find(state: &ApiState, caller: &Caller, id: &str) -> Result<SessionRow, ApiError> {
    let nothing = || ApiError::not_found("session");
    let id: SessionId = id.parse().map_err(|_| nothing())?;
    let row = state.store.session(id).await?.ok_or_else(nothing)?;
    if is_visible(caller, &row) { Ok(row) } else { Err(nothing()) }
}

fn is_visible(caller: &Caller, row: &SessionRow) -> bool {
    (caller.sees_all() || caller.is_concerned(&row.identity, row.opened)) && caller.covers(&row.target)
}

fn view(row: SessionRow, live: &HashSet<SessionId>) -> SessionView {
    SessionView {
        id: row.id.to_string(),
        kind: row.identity.kind.name(),
        on_behalf_of: parties(&row.identity.on_behalf_of),
        user: row.identity.user,
        groups: row.identity.groups,
        protocol: row.protocol,
        target: row.target,
        database: row.database,
        client: row.client,
        opened: row.opened.to_string(),
        closed: time(row.closed),
        reason: row.reason,
        // The index may have missed an end; the process has not.
        live: row.closed.is_none() && live.contains(&row.id),
        requests: row.counts.requests,
        denied: row.counts.denied,
        rows: row.counts.rows,
    }
}
