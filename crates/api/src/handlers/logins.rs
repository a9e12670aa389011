//! Logins: that somebody proved who they are, with a provider, at a time. Everybody sees and ends their own; administrators and
//! auditors see all, administrators end them.

use super::{Party, parties, time};
use crate::auth::Caller;
use crate::body;
use crate::error::{ApiError, ErrorBody};
use crate::state::ApiState;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State};
use axum::{Extension, Json};
use lockgate_core::{is_same_name, limits};
use lockgate_store::{LoginFilter, LoginInfo, clock};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use utoipa::{IntoParams, ToSchema};

/// Which logins to list.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct LoginQuery {
    /// Only this user's. Others than the caller's own are for administrators and auditors.
    user: Option<String>,
    /// Only those by this provider; `local` for local users.
    provider: Option<String>,
    /// Only those that still count (`true`).
    live: Option<bool>,
    /// Only those after this id: `next` of the page before.
    after: Option<String>,
    /// At most so many.
    limit: Option<usize>,
}

/// A page of logins in the order of their ids.
#[derive(Serialize, ToSchema)]
pub(crate) struct Logins {
    logins: Vec<LoginView>,
    /// What `after` of the next page is; absent on the last.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
}

/// One login.
#[derive(Serialize, ToSchema)]
pub(crate) struct LoginView {
    id: String,
    user: String,
    /// As the provider last said.
    groups: BTreeSet<String>,
    kind: &'static str,
    on_behalf_of: Vec<Party>,
    /// The provider's name in the configuration; `local` for local users.
    provider: String,
    /// The provider's unchanging name for the person.
    subject: String,
    /// The address it came from.
    source: String,
    /// `live`, `ended`, `expired` or `early`
    state: &'static str,
    created: String,
    expires: String,
    /// When the provider last said that it holds.
    judged: String,
    /// Whether the provider can be asked again.
    refreshable: bool,
    ended: Option<String>,
    /// Why it was ended.
    reason: Option<String>,
}

const PAGE: usize = 100;

/// The caller's logins; all of them for administrators and auditors.
#[utoipa::path(get, path = "/api/v1/logins", operation_id = "list_logins", tag = "logins", params(LoginQuery),
    responses((status = 200, body = Logins), (status = 400, body = ErrorBody), (status = 401, body = ErrorBody)))]
pub(crate) async fn list(
    State(state): State<ApiState>,
    Extension(caller): Extension<Caller>,
    query: Result<Query<LoginQuery>, QueryRejection>,
) -> Result<Json<Logins>, ApiError> {
    let query = body::query(query)?;
    if !caller.sees_all() && query.user.as_ref().is_some_and(|user| !is_same_name(user, &caller.identity.user)) {
        return Ok(Json(Logins { logins: Vec::new(), next: None }));
    }
    let limit = query.limit.unwrap_or(PAGE).clamp(1, limits::LIST_PAGE_MAX);
    let filter = LoginFilter {
        user: if caller.sees_all() { query.user } else { Some(caller.identity.user.clone()) },
        provider: query.provider,
        live_at: query.live.filter(|live| *live).map(|_| clock::now()),
        after: query.after,
        limit,
        ..LoginFilter::default()
    };
    let rows = state.store.logins(&filter).await?;
    let next = rows.last().filter(|_| rows.len() == limit).map(|row| row.id.clone());
    let is_visible = |login: &LoginInfo| caller.sees_all() || is_own(login, &caller);
    Ok(Json(Logins { logins: rows.into_iter().filter(is_visible).map(view).collect(), next }))
}

/// Ends a login: one's own, or any for administrators. What it made ends with it within a second: browsers, tokens, sessions.
#[utoipa::path(delete, path = "/api/v1/logins/{id}", operation_id = "end_login", tag = "logins", params(("id" = String, Path)),
    responses((status = 200, body = LoginView), (status = 401, body = ErrorBody), (status = 403, body = ErrorBody),
              (status = 404, body = ErrorBody)))]
pub(crate) async fn end(
    State(state): State<ApiState>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
) -> Result<Json<LoginView>, ApiError> {
    let nothing = || ApiError::not_found("login");
    let login = state.store.login(&id).await?.ok_or_else(nothing)?;
    let own = is_own(&login, &caller);
    if !own && !caller.sees_all() {
        return Err(nothing());
    }
    if !own && !caller.admin {
        return Err(ApiError::forbidden("an auditor ends nobody's login", "ask a member of `identity.admins`"));
    }
    // What else somebody does is nothing that a limited token is for.
    if caller.token.is_limited() && caller.token.login.as_ref() != Some(&id) {
        return Err(ApiError::forbidden(
            "this token is limited and ends no login but its own",
            "use one without limits",
        ));
    }
    let by = caller.identity.display_chain();
    let ended = state.store.end_login(&id, &by, &format!("ended by {by}"), clock::now()).await?.ok_or_else(nothing)?;
    tracing::info!(login = %id, user = %ended.user, %by, "login ended");
    Ok(Json(view(ended)))
}

/// Whether a login is the caller's, however the name is spelt. An agent is not told for whom else it acts.
fn is_own(login: &LoginInfo, caller: &Caller) -> bool {
    is_same_name(&login.user, &caller.identity.user) && caller.is_concerned(&login.identity(), login.created)
}

fn view(login: LoginInfo) -> LoginView {
    LoginView {
        state: login.state(clock::now()).name(),
        kind: login.kind.name(),
        on_behalf_of: parties(&login.on_behalf_of),
        created: login.created.to_string(),
        expires: login.expires.to_string(),
        judged: login.judged.to_string(),
        ended: time(login.ended),
        id: login.id,
        user: login.user,
        groups: login.groups,
        provider: login.provider,
        subject: login.subject,
        source: login.source,
        refreshable: login.refreshable,
        reason: login.end_reason,
    }
}
