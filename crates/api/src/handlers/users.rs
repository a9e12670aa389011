//! Users: everybody sees what is known of themselves; administrators and auditors see all, administrators make local users and change them.
//!
//! Users that a company's directory pushes are changed there. A password is set by its owner, who knows the old one, or by an
//! administrator, for somebody else.

use super::time;
use crate::auth::Caller;
use crate::body;
use crate::error::{ApiError, ErrorBody};
use crate::state::{ApiState, NoVerifier, NotProven, PeerAddr};
use axum::body::Bytes;
use axum::extract::rejection::{BytesRejection, QueryRejection};
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::{Extension, Json};
use lockgate_core::{IdentityKind, Secret, is_same_name, limits};
use lockgate_store::{LOCAL, NewPerson, PeopleFilter, Person, PersonChange, clock};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr};
use utoipa::{IntoParams, ToSchema};

/// Which users to list.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct UserQuery {
    /// Only those of this source: `local`, or `scim:NAME`.
    source: Option<String>,
    /// Only those after this id: `next` of the page before.
    after: Option<String>,
    /// At most so many.
    limit: Option<usize>,
}

/// A page of users in the order of their ids.
#[derive(Serialize, ToSchema)]
pub(crate) struct Users {
    users: Vec<UserView>,
    /// What `after` of the next page is; absent on the last.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
}

/// One user.
#[derive(Serialize, ToSchema)]
pub(crate) struct UserView {
    id: String,
    user: String,
    /// `local`, or `scim:NAME` for a user whom a directory pushes.
    source: String,
    display_name: Option<String>,
    groups: BTreeSet<String>,
    active: bool,
    created: String,
    /// When the password was set, where there is one.
    password_set: Option<String>,
}

/// A new local user.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct UserRequest {
    user: String,
    #[serde(default)]
    display_name: Option<String>,
    #[serde(default)]
    groups: BTreeSet<String>,
    /// To sign in with; a user without one can only be given tokens.
    #[serde(default)]
    password: Option<String>,
}

/// The groups of a user.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct GroupsRequest {
    /// All of them.
    groups: BTreeSet<String>,
}

/// A new password.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct PasswordRequest {
    password: String,
    /// The password until now; for one's own.
    #[serde(default)]
    current: Option<String>,
}

/// Done.
#[derive(Serialize, ToSchema)]
pub(crate) struct PasswordSet {
    user: String,
}

const PAGE: usize = 100;

/// Everybody for administrators and auditors; for others what is known of themselves.
#[utoipa::path(get, path = "/api/v1/users", operation_id = "list_users", tag = "users", params(UserQuery),
    responses((status = 200, body = Users), (status = 400, body = ErrorBody), (status = 401, body = ErrorBody)))]
pub(crate) async fn list(
    State(state): State<ApiState>,
    Extension(caller): Extension<Caller>,
    query: Result<Query<UserQuery>, QueryRejection>,
) -> Result<Json<Users>, ApiError> {
    let query = body::query(query)?;
    let limit = query.limit.unwrap_or(PAGE).clamp(1, limits::LIST_PAGE_MAX);
    let filter = PeopleFilter {
        source: query.source,
        user: (!caller.sees_all()).then(|| caller.identity.user.clone()),
        after: query.after,
        limit,
        ..PeopleFilter::default()
    };
    let people = state.store.list_people(&filter).await?;
    let next = people.last().filter(|_| people.len() == limit).map(|person| person.id.clone());
    Ok(Json(Users { users: views(&state, people).await?, next }))
}

/// One local user.
#[utoipa::path(get, path = "/api/v1/users/{user}", operation_id = "show_user", tag = "users", params(("user" = String, Path)),
    responses((status = 200, body = UserView), (status = 401, body = ErrorBody), (status = 404, body = ErrorBody)))]
pub(crate) async fn show(
    State(state): State<ApiState>,
    Extension(caller): Extension<Caller>,
    Path(user): Path<String>,
) -> Result<Json<UserView>, ApiError> {
    if !caller.sees_all() && !is_same_name(&user, &caller.identity.user) {
        return Err(ApiError::not_found("user"));
    }
    let person = local(&state, &user).await?;
    one(&state, person).await
}

/// Makes a local user.
#[utoipa::path(post, path = "/api/v1/users", operation_id = "create_user", tag = "users", request_body = UserRequest,
    responses((status = 201, body = UserView), (status = 400, body = ErrorBody), (status = 401, body = ErrorBody),
              (status = 403, body = ErrorBody), (status = 409, body = ErrorBody), (status = 503, body = ErrorBody)))]
pub(crate) async fn create(
    State(state): State<ApiState>,
    Extension(caller): Extension<Caller>,
    body: Result<Bytes, BytesRejection>,
) -> Result<(StatusCode, Json<UserView>), ApiError> {
    let request: UserRequest = body::json(body)?;
    let verifier = match request.password.map(Secret::new) {
        Some(password) => Some(verifier(&state, &request.user, &password).await?),
        None => None,
    };
    let new = NewPerson {
        source: LOCAL.to_owned(),
        user: request.user,
        display: request.display_name,
        external_id: None,
        active: true,
        groups: request.groups.into_iter().collect(),
        verifier,
    };
    let person = state.store.create_person(new, &caller.identity.display_chain(), clock::now()).await?;
    // A directory that did not know somebody until now may take from them what they have.
    state.access.people_changed();
    Ok((StatusCode::CREATED, one(&state, person).await?))
}

/// Takes everything from a local user: sign-in, tokens and live sessions, at once.
#[utoipa::path(post, path = "/api/v1/users/{user}/disable", operation_id = "disable_user", tag = "users", params(("user" = String, Path)),
    responses((status = 200, body = UserView), (status = 401, body = ErrorBody), (status = 403, body = ErrorBody),
              (status = 404, body = ErrorBody)))]
pub(crate) async fn disable(
    State(state): State<ApiState>,
    Extension(caller): Extension<Caller>,
    Path(user): Path<String>,
) -> Result<Json<UserView>, ApiError> {
    set_active(&state, &caller, &user, false).await
}

/// Gives it back.
#[utoipa::path(post, path = "/api/v1/users/{user}/enable", operation_id = "enable_user", tag = "users", params(("user" = String, Path)),
    responses((status = 200, body = UserView), (status = 401, body = ErrorBody), (status = 403, body = ErrorBody),
              (status = 404, body = ErrorBody)))]
pub(crate) async fn enable(
    State(state): State<ApiState>,
    Extension(caller): Extension<Caller>,
    Path(user): Path<String>,
) -> Result<Json<UserView>, ApiError> {
    set_active(&state, &caller, &user, true).await
}

/// Puts a local user into exactly these groups.
#[utoipa::path(put, path = "/api/v1/users/{user}/groups", operation_id = "set_user_groups", tag = "users", params(("user" = String, Path)),
    request_body = GroupsRequest,
    responses((status = 200, body = UserView), (status = 400, body = ErrorBody), (status = 401, body = ErrorBody),
              (status = 403, body = ErrorBody), (status = 404, body = ErrorBody)))]
pub(crate) async fn set_groups(
    State(state): State<ApiState>,
    Extension(caller): Extension<Caller>,
    Path(user): Path<String>,
    body: Result<Bytes, BytesRejection>,
) -> Result<Json<UserView>, ApiError> {
    let request: GroupsRequest = body::json(body)?;
    let person = local(&state, &user).await?;
    let by = caller.identity.display_chain();
    state.store.set_groups(LOCAL, &person.id, &request.groups, &by, clock::now()).await?;
    state.access.people_changed();
    one(&state, person).await
}

/// Sets a password: one's own, with the old one, or as an administrator somebody else's.
#[utoipa::path(put, path = "/api/v1/users/{user}/password", operation_id = "set_user_password", tag = "users", params(("user" = String, Path)),
    request_body = PasswordRequest,
    responses((status = 200, body = PasswordSet), (status = 400, body = ErrorBody), (status = 401, body = ErrorBody),
              (status = 403, body = ErrorBody), (status = 404, body = ErrorBody), (status = 429, body = ErrorBody),
              (status = 503, body = ErrorBody)))]
pub(crate) async fn set_password(
    State(state): State<ApiState>,
    Extension(caller): Extension<Caller>,
    peer: Option<Extension<PeerAddr>>,
    Path(user): Path<String>,
    body: Result<Bytes, BytesRejection>,
) -> Result<Json<PasswordSet>, ApiError> {
    let request: PasswordRequest = body::json(body)?;
    let password = Secret::new(request.password);
    let own = is_same_name(&user, &caller.identity.user);
    if !own && !caller.admin {
        return Err(ApiError::not_found("user"));
    }
    let person = local(&state, &user).await?;
    if own {
        let in_person = caller.identity.kind == IdentityKind::Human && caller.identity.on_behalf_of.is_empty();
        if !in_person || caller.token.is_limited() {
            return Err(ApiError::forbidden("this token cannot change a password", "sign in yourself"));
        }
        let Some(current) = request.current.map(Secret::new) else {
            return Err(ApiError::bad_request("`current` is missing: one's own password is changed with the old one"));
        };
        let source = peer.map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |Extension(PeerAddr(addr))| addr.ip());
        state.passwords.prove(&person.user, &current, source).await.map_err(not_proven)?;
    }
    let verifier = verifier(&state, &person.user, &password).await?;
    let by = caller.identity.display_chain();
    match state.store.set_password(&person.user, &verifier, &by, clock::now()).await? {
        true => Ok(Json(PasswordSet { user: person.user })),
        false => Err(ApiError::not_found("user")),
    }
}

async fn set_active(state: &ApiState, caller: &Caller, user: &str, active: bool) -> Result<Json<UserView>, ApiError> {
    let person = local(state, user).await?;
    let change = PersonChange { active: Some(active), ..PersonChange::default() };
    let by = caller.identity.display_chain();
    let changed = state.store.change_person(LOCAL, &person.id, change, &by, clock::now()).await?;
    state.access.people_changed();
    one(state, changed.ok_or_else(|| ApiError::not_found("user"))?).await
}

async fn local(state: &ApiState, user: &str) -> Result<Person, ApiError> {
    state.store.person_named(LOCAL, user).await?.ok_or_else(|| ApiError::not_found("user"))
}

async fn verifier(state: &ApiState, user: &str, password: &Secret) -> Result<Secret, ApiError> {
    state.passwords.verifier(user, password).await.map_err(|error| match error {
        NoVerifier::Unfit(rule) => ApiError::bad_request(rule),
        NoVerifier::Busy => ApiError::unavailable("no password can be set now"),
    })
}

fn not_proven(why: NotProven) -> ApiError {
    match why {
        NotProven::Wrong => ApiError::forbidden("`current` is not the password", "type it again"),
        NotProven::TooSoon(wait_s) => ApiError::too_many(i64::try_from(wait_s).unwrap_or(i64::MAX)),
        NotProven::Busy => ApiError::unavailable("too many sign in"),
        NotProven::Failed => ApiError::unavailable("passwords cannot be checked"),
    }
}

async fn one(state: &ApiState, person: Person) -> Result<Json<UserView>, ApiError> {
    let view = views(state, vec![person]).await?.pop();
    view.map(Json).ok_or_else(|| ApiError::not_found("user"))
}

async fn views(state: &ApiState, people: Vec<Person>) -> Result<Vec<UserView>, ApiError> {
    let mut groups = state.store.groups_of_people(&people).await?;
    let view = |person: Person| UserView {
        groups: groups.remove(&person.id).unwrap_or_default(),
        id: person.id,
        user: person.user,
        source: person.source,
        display_name: person.display,
        active: person.active,
        created: person.created.to_string(),
        password_set: time(person.password_set),
    };
    Ok(people.into_iter().map(view).collect())
}
