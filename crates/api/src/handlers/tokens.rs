//! Tokens: everybody sees their own; administrators and auditors see all, administrators make and revoke them.

use super::{Party, kind, parties, time};
use crate::auth::Caller;
use crate::body;
use crate::error::{ApiError, ErrorBody};
use crate::state::ApiState;
use axum::body::Bytes;
use axum::extract::rejection::{BytesRejection, QueryRejection};
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::{Extension, Json};
use lockgate_core::{Action, Principal, TargetName};
use lockgate_store::{NewToken, TokenFilter, TokenInfo, clock};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use utoipa::{IntoParams, ToSchema};

/// Which tokens to list.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct TokenQuery {
    /// Only this user's. Others than the caller's own are for administrators and auditors.
    user: Option<String>,
    /// Only those that still count (`true`).
    live: Option<bool>,
    /// Only those after this id: `next` of the page before.
    after: Option<String>,
    /// At most so many.
    limit: Option<usize>,
}

/// A page of tokens in the order of their ids.
#[derive(Serialize, ToSchema)]
pub(crate) struct Tokens {
    tokens: Vec<TokenView>,
    /// What `after` of the next page is; absent on the last.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
}

/// One token, without its secret.
#[derive(Serialize, ToSchema)]
pub(crate) struct TokenView {
    id: String,
    user: String,
    groups: BTreeSet<String>,
    kind: &'static str,
    on_behalf_of: Vec<Party>,
    targets: Option<Vec<String>>,
    /// The only actions it may be used for, beside `connect`; `null` for all.
    actions: Option<Vec<&'static str>>,
    /// `live`, `expired` or `revoked`
    state: &'static str,
    created: String,
    expires: String,
    revoked: Option<String>,
    last_used: Option<String>,
}

/// What a new token is to stand for.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct TokenRequest {
    user: String,
    #[serde(default)]
    groups: BTreeSet<String>,
    /// `human` (the default), `service` or `agent`
    #[serde(default)]
    kind: Option<String>,
    /// Whom it acts for, nearest first.
    #[serde(default)]
    on_behalf_of: Vec<Party>,
    /// The only targets it may be used for; absent for no such limit.
    #[serde(default)]
    targets: Option<BTreeSet<String>>,
    /// The only actions it may be used for; `connect` is always among them. Absent for no such limit.
    #[serde(default)]
    actions: Option<BTreeSet<String>>,
    /// How long it counts.
    ttl_seconds: u32,
}

/// A new token. Its text is shown this once.
#[derive(Serialize, ToSchema)]
pub(crate) struct TokenMade {
    /// The text to log in with.
    token: String,
    id: String,
    expires: String,
}

/// The longest time a token may be asked for: ten years.
const TTL_SECONDS_MAX: u32 = 315_360_000;
const PAGE: usize = 100;

/// The caller's tokens; all of them for administrators and auditors.
#[utoipa::path(get, path = "/api/v1/tokens", operation_id = "list_tokens", tag = "tokens", params(TokenQuery),
    responses((status = 200, body = Tokens), (status = 400, body = ErrorBody), (status = 401, body = ErrorBody)))]
pub(crate) async fn list(
    State(state): State<ApiState>,
    Extension(caller): Extension<Caller>,
    query: Result<Query<TokenQuery>, QueryRejection>,
) -> Result<Json<Tokens>, ApiError> {
    let query = body::query(query)?;
    if !caller.sees_all() && query.user.as_ref().is_some_and(|user| *user != caller.identity.user) {
        return Ok(Json(Tokens { tokens: Vec::new(), next: None }));
    }
    let limit = query.limit.unwrap_or(PAGE).clamp(1, lockgate_core::limits::LIST_PAGE_MAX);
    let filter = TokenFilter {
        user: if caller.sees_all() { query.user } else { Some(caller.identity.user.clone()) },
        live_at: query.live.filter(|live| *live).map(|_| clock::now()),
        after: query.after,
        limit,
    };
    let rows = state.store.list_tokens(&filter).await?;
    let next = rows.last().filter(|_| rows.len() == limit).map(|row| row.id.clone());
    // An agent is not told whom else it acts for.
    let is_visible = |info: &TokenInfo| caller.sees_all() || caller.is_concerned(&info.identity(), info.created);
    Ok(Json(Tokens { tokens: rows.into_iter().filter(is_visible).map(view).collect(), next }))
}

/// Makes a token.
#[utoipa::path(post, path = "/api/v1/tokens", operation_id = "create_token", tag = "tokens", request_body = TokenRequest,
    responses((status = 201, body = TokenMade), (status = 400, body = ErrorBody), (status = 401, body = ErrorBody),
              (status = 403, body = ErrorBody)))]
pub(crate) async fn create(
    State(state): State<ApiState>,
    Extension(caller): Extension<Caller>,
    body: Result<Bytes, BytesRejection>,
) -> Result<(StatusCode, Json<TokenMade>), ApiError> {
    let request: TokenRequest = body::json(body)?;
    if !(1..=TTL_SECONDS_MAX).contains(&request.ttl_seconds) {
        return Err(ApiError::bad_request(format!("`ttl_seconds` must be between 1 and {TTL_SECONDS_MAX}")));
    }
    let named = kind(request.kind.as_deref())?;
    let principal = |party: Party| {
        let kind = kind(party.kind.as_deref())?;
        Ok(Principal { user: party.user, kind, groups: party.groups, directories: Vec::new() })
    };
    let targets =
        request.targets.map(|names| names.iter().map(|n| n.parse()).collect::<Result<BTreeSet<TargetName>, _>>());
    let actions = request.actions.map(|names| names.iter().map(|n| n.parse()).collect::<Result<BTreeSet<Action>, _>>());
    let now = clock::now();
    let new = NewToken {
        user: request.user,
        groups: request.groups,
        kind: named,
        on_behalf_of: request.on_behalf_of.into_iter().map(principal).collect::<Result<_, ApiError>>()?,
        targets: targets.transpose().map_err(|e| ApiError::bad_request(e.to_string()))?,
        actions: actions.transpose().map_err(|e| ApiError::bad_request(e.to_string()))?,
        expires: now.plus_millis(i64::from(request.ttl_seconds) * 1_000),
    };
    let (secret, info) = state.store.create_token(new, &caller.identity.display_chain(), now).await?;
    tracing::info!(token = %info.id, user = %info.user, by = %caller.identity.user, "token made");
    let made = TokenMade { token: secret.expose().to_owned(), id: info.id, expires: info.expires.to_string() };
    Ok((StatusCode::CREATED, Json(made)))
}

/// Revokes a token. Its live sessions end within a second.
#[utoipa::path(delete, path = "/api/v1/tokens/{id}", operation_id = "revoke_token", tag = "tokens", params(("id" = String, Path)),
    responses((status = 200, body = TokenView), (status = 401, body = ErrorBody), (status = 403, body = ErrorBody),
              (status = 404, body = ErrorBody)))]
pub(crate) async fn revoke(
    State(state): State<ApiState>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
) -> Result<Json<TokenView>, ApiError> {
    let info = state
        .store
        .revoke_token(&id, &caller.identity.display_chain(), clock::now())
        .await?
        .ok_or_else(|| ApiError::not_found("token"))?;
    tracing::info!(token = %info.id, user = %info.user, by = %caller.identity.user, "token revoked");
    Ok(Json(view(info)))
}

/// Whose tokens to revoke.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct RevokeQuery {
    /// The user.
    user: String,
}

/// What was revoked.
#[derive(Serialize, ToSchema)]
pub(crate) struct TokensRevoked {
    /// The ids of the tokens that counted until now.
    revoked: Vec<String>,
}

/// Revokes every token of a user, and of everybody who acts for that user; what identity providers signed for the user until now counts
/// no more. Their live sessions end within a second.
#[utoipa::path(delete, path = "/api/v1/tokens", operation_id = "revoke_tokens_of_user", tag = "tokens", params(RevokeQuery),
    responses((status = 200, body = TokensRevoked), (status = 400, body = ErrorBody), (status = 401, body = ErrorBody),
              (status = 403, body = ErrorBody)))]
pub(crate) async fn revoke_all(
    State(state): State<ApiState>,
    Extension(caller): Extension<Caller>,
    query: Result<Query<RevokeQuery>, QueryRejection>,
) -> Result<Json<TokensRevoked>, ApiError> {
    let RevokeQuery { user } = body::query(query)?;
    let revoked = state.store.revoke_tokens_of(&user, &caller.identity.display_chain(), clock::now()).await?;
    tracing::info!(user = ?user, by = %caller.identity.user, "{} tokens revoked", revoked.len());
    Ok(Json(TokensRevoked { revoked }))
}

fn view(info: TokenInfo) -> TokenView {
    TokenView {
        state: info.state(clock::now()).name(),
        id: info.id,
        user: info.user,
        groups: info.groups,
        kind: info.kind.name(),
        on_behalf_of: parties(&info.on_behalf_of),
        targets: info.targets.map(|all| all.iter().map(ToString::to_string).collect()),
        actions: info.actions.map(|all| all.into_iter().map(Action::name).collect()),
        created: info.created.to_string(),
        expires: info.expires.to_string(),
        revoked: time(info.revoked_at),
        last_used: time(info.last_used),
    }
}
