//! Health, the description of the API, and what concerns the caller alone.

use super::{Party, parties};
use crate::auth::Caller;
use crate::error::{ApiError, ErrorBody};
use crate::state::ApiState;
use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use lockgate_core::Action;
use lockgate_store::clock;
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};
use utoipa::ToSchema;

/// How the gateway is.
#[derive(Serialize, ToSchema)]
pub(crate) struct Health {
    /// `ok`
    status: &'static str,
}

/// Whether the process lives.
#[utoipa::path(get, path = "/api/v1/health", tag = "system", security(()), responses((status = 200, body = Health)))]
pub(crate) async fn health() -> Json<Health> {
    Json(Health { status: "ok" })
}

/// Whether the gateway takes sessions: every listener is bound, it does not drain, its store answers and sessions can be recorded.
#[utoipa::path(get, path = "/api/v1/ready", tag = "system", security(()),
    responses((status = 200, body = Health), (status = 503, body = ErrorBody)))]
pub(crate) async fn ready(State(state): State<ApiState>) -> Result<Json<Health>, ApiError> {
    state.readiness.ready().await.map_err(ApiError::unavailable)?;
    Ok(Json(Health { status: "ok" }))
}

/// This description.
#[utoipa::path(get, path = "/api/v1/openapi.json", tag = "system", security(()),
    responses((status = 200, description = "OpenAPI 3.1", content_type = "application/json")))]
pub(crate) async fn openapi() -> Response {
    ([(header::CONTENT_TYPE, "application/json")], crate::openapi::document()).into_response()
}

/// Who the token stands for.
#[derive(Serialize, ToSchema)]
pub(crate) struct Whoami {
    user: String,
    groups: BTreeSet<String>,
    /// `human`, `service` or `agent`
    kind: &'static str,
    on_behalf_of: Vec<Party>,
    /// Whether the caller may manage tokens and see all sessions.
    admin: bool,
    /// The caller's role in the gateway: `admin`, `auditor`, who sees the same and changes nothing, or `member`. None of them
    /// gives access to data, and who approves is for policy to say.
    role: &'static str,
    token: TokenBrief,
}

/// The token that was sent.
#[derive(Serialize, ToSchema)]
pub(crate) struct TokenBrief {
    id: String,
    expires: String,
    /// The only targets it may be used for; absent when it is not limited.
    #[serde(skip_serializing_if = "Option::is_none")]
    targets: Option<Vec<String>>,
    /// The only actions it may be used for, beside `connect`; absent when it is not limited.
    #[serde(skip_serializing_if = "Option::is_none")]
    actions: Option<Vec<&'static str>>,
}

/// Who the token stands for.
#[utoipa::path(get, path = "/api/v1/whoami", tag = "system",
    responses((status = 200, body = Whoami), (status = 401, body = ErrorBody)))]
pub(crate) async fn whoami(Extension(caller): Extension<Caller>) -> Json<Whoami> {
    Json(Whoami {
        role: caller.role(),
        user: caller.identity.user,
        groups: caller.identity.groups,
        kind: caller.identity.kind.name(),
        on_behalf_of: parties(&caller.identity.on_behalf_of),
        admin: caller.admin,
        token: TokenBrief {
            id: caller.token.id,
            expires: caller.token.expires.to_string(),
            targets: caller.token.targets.map(|all| all.iter().map(ToString::to_string).collect()),
            actions: caller.token.actions.map(|all| all.into_iter().map(Action::name).collect()),
        },
    })
}

/// The targets the caller may connect to.
#[derive(Serialize, ToSchema)]
pub(crate) struct Targets {
    targets: Vec<TargetView>,
}

/// One target.
#[derive(Serialize, ToSchema)]
pub(crate) struct TargetView {
    name: String,
    protocol: String,
    labels: BTreeMap<String, String>,
}

/// The targets the caller may connect to, as policy says now.
#[utoipa::path(get, path = "/api/v1/targets", tag = "targets",
    responses((status = 200, body = Targets), (status = 401, body = ErrorBody)))]
pub(crate) async fn targets(State(state): State<ApiState>, Extension(caller): Extension<Caller>) -> Json<Targets> {
    let now = clock::now();
    let mine = state.access.targets().into_iter().filter(|target| {
        caller.token.covers(&target.name) && state.access.may_connect(&caller.identity, &target.name, now)
    });
    let view = |t: crate::state::TargetInfo| TargetView {
        name: t.name.to_string(),
        protocol: t.protocol,
        labels: t.labels.into_iter().collect(),
    };
    Json(Targets { targets: mine.map(view).collect() })
}
