//! Every endpoint and who may call it: the one table that the router enforces and the tests walk through.

use crate::auth::{self, Caller};
use crate::elsewhere;
use crate::error::ApiError;
use crate::handlers::{approvals, detokenize, logins, sessions, system, tokens, users};
use crate::html;
use crate::page;
use crate::scim;
use crate::serve;
use crate::signin;
use crate::state::{ApiState, PeerAddr};
use axum::extract::{DefaultBodyLimit, MatchedPath, Request, State};
use axum::http::{HeaderName, HeaderValue, Method, StatusCode};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::{delete, get, post, put};
use axum::{Extension, Router};
use lockgate_core::{limits, metrics as names};
use lockgate_store::clock;
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

/// Who may call an endpoint at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// Anybody: nothing is told that needs a token.
    Anybody,
    /// Anybody, and the handler proves the token that the form brings, or who is signed in with the browser.
    TokenInForm,
    /// Anybody: the body brings what proves enough for what is asked.
    ProofInBody,
    /// A page for people: anybody may open it, and the handler looks who is signed in with the browser.
    Page,
    /// Whoever has a token. The handler shows only what is the caller's, and answers `404` for the rest.
    Proven,
    /// Administrators.
    Admin,
}

/// One endpoint.
#[derive(Clone, Debug)]
pub struct Endpoint {
    /// `GET`, and so on.
    pub method: Method,
    /// The path, with `{id}` for the parts that vary.
    pub path: &'static str,
    /// Who may call it.
    pub role: Role,
}

const fn endpoint(method: Method, path: &'static str, role: Role) -> Endpoint {
    Endpoint { method, path, role }
}

/// All of them.
pub const ENDPOINTS: &[Endpoint] = &[
    endpoint(Method::GET, "/api/v1/health", Role::Anybody),
    endpoint(Method::GET, "/api/v1/ready", Role::Anybody),
    endpoint(Method::GET, "/api/v1/openapi.json", Role::Anybody),
    endpoint(Method::GET, "/api/v1/whoami", Role::Proven),
    endpoint(Method::GET, "/api/v1/targets", Role::Proven),
    endpoint(Method::GET, "/api/v1/sessions", Role::Proven),
    endpoint(Method::GET, "/api/v1/sessions/{id}", Role::Proven),
    endpoint(Method::GET, "/api/v1/sessions/{id}/events", Role::Proven),
    endpoint(Method::POST, "/api/v1/sessions/{id}/kill", Role::Proven),
    endpoint(Method::GET, "/api/v1/approvals", Role::Proven),
    endpoint(Method::GET, "/api/v1/approvals/{id}", Role::Proven),
    endpoint(Method::POST, "/api/v1/approvals/{id}/approve", Role::Proven),
    endpoint(Method::POST, "/api/v1/approvals/{id}/deny", Role::Proven),
    endpoint(Method::GET, "/api/v1/tokens", Role::Proven),
    endpoint(Method::POST, "/api/v1/tokens", Role::Admin),
    endpoint(Method::DELETE, "/api/v1/tokens", Role::Admin),
    endpoint(Method::DELETE, "/api/v1/tokens/{id}", Role::Admin),
    endpoint(Method::GET, "/api/v1/logins", Role::Proven),
    endpoint(Method::DELETE, "/api/v1/logins/{id}", Role::Proven),
    endpoint(Method::GET, "/api/v1/users", Role::Proven),
    endpoint(Method::POST, "/api/v1/users", Role::Admin),
    endpoint(Method::GET, "/api/v1/users/{user}", Role::Proven),
    endpoint(Method::POST, "/api/v1/users/{user}/disable", Role::Admin),
    endpoint(Method::POST, "/api/v1/users/{user}/enable", Role::Admin),
    endpoint(Method::PUT, "/api/v1/users/{user}/groups", Role::Admin),
    endpoint(Method::PUT, "/api/v1/users/{user}/password", Role::Proven),
    endpoint(Method::POST, "/api/v1/detokenize", Role::Proven),
    endpoint(Method::GET, "/approvals/{id}", Role::Page),
    endpoint(Method::POST, "/approvals/{id}", Role::TokenInForm),
    endpoint(Method::GET, html::STYLE_PATH, Role::Anybody),
    endpoint(Method::POST, "/api/v1/login-requests", Role::ProofInBody),
    endpoint(Method::POST, "/api/v1/login-requests/{id}/token", Role::ProofInBody),
    endpoint(Method::DELETE, "/api/v1/login", Role::Proven),
    endpoint(Method::GET, "/", Role::Page),
    endpoint(Method::GET, "/login", Role::Page),
    endpoint(Method::POST, "/login", Role::Page),
    endpoint(Method::POST, "/logout", Role::Page),
    endpoint(Method::GET, "/confirm/{id}", Role::Page),
    endpoint(Method::POST, "/confirm/{id}", Role::Page),
    endpoint(Method::GET, "/link/{id}", Role::Page),
    endpoint(Method::GET, "/device", Role::Page),
    endpoint(Method::GET, "/oidc/{name}/login", Role::Page),
    endpoint(Method::GET, "/saml/{name}/login", Role::Page),
    endpoint(Method::GET, "/oidc/{name}/callback", Role::Page),
    endpoint(Method::GET, "/saml/{name}/metadata", Role::Page),
    endpoint(Method::POST, "/saml/{name}/acs", Role::Page),
];

/// What directories call, each with its own secret (`identity.scim`): nobody's token opens any of it.
pub const DIRECTORY_ENDPOINTS: &[(Method, &str)] = &[
    (Method::GET, "/scim/v2/Users"),
    (Method::POST, "/scim/v2/Users"),
    (Method::GET, "/scim/v2/Users/{id}"),
    (Method::PUT, "/scim/v2/Users/{id}"),
    (Method::PATCH, "/scim/v2/Users/{id}"),
    (Method::DELETE, "/scim/v2/Users/{id}"),
    (Method::GET, "/scim/v2/Groups"),
    (Method::POST, "/scim/v2/Groups"),
    (Method::GET, "/scim/v2/Groups/{id}"),
    (Method::PUT, "/scim/v2/Groups/{id}"),
    (Method::PATCH, "/scim/v2/Groups/{id}"),
    (Method::DELETE, "/scim/v2/Groups/{id}"),
    (Method::GET, "/scim/v2/ServiceProviderConfig"),
    (Method::GET, "/scim/v2/Schemas"),
    (Method::GET, "/scim/v2/Schemas/{id}"),
    (Method::GET, "/scim/v2/ResourceTypes"),
    (Method::GET, "/scim/v2/ResourceTypes/{id}"),
];

/// The whole API over `state`.
pub fn router(state: ApiState) -> Router {
    Router::new()
        .route("/api/v1/health", get(system::health))
        .route("/api/v1/ready", get(system::ready))
        .route("/api/v1/openapi.json", get(system::openapi))
        .route("/api/v1/whoami", get(system::whoami))
        .route("/api/v1/targets", get(system::targets))
        .route("/api/v1/sessions", get(sessions::list))
        .route("/api/v1/sessions/{id}", get(sessions::show))
        .route("/api/v1/sessions/{id}/events", get(sessions::events))
        .route("/api/v1/sessions/{id}/kill", post(sessions::kill))
        .route("/api/v1/approvals", get(approvals::list))
        .route("/api/v1/approvals/{id}", get(approvals::show))
        .route("/api/v1/approvals/{id}/approve", post(approvals::approve))
        .route("/api/v1/approvals/{id}/deny", post(approvals::deny))
        .route("/api/v1/tokens", get(tokens::list).post(tokens::create).delete(tokens::revoke_all))
        .route("/api/v1/tokens/{id}", delete(tokens::revoke))
        .route("/api/v1/logins", get(logins::list))
        .route("/api/v1/logins/{id}", delete(logins::end))
        .route("/api/v1/users", get(users::list).post(users::create))
        .route("/api/v1/users/{user}", get(users::show))
        .route("/api/v1/users/{user}/disable", post(users::disable))
        .route("/api/v1/users/{user}/enable", post(users::enable))
        .route("/api/v1/users/{user}/groups", put(users::set_groups))
        .route("/api/v1/users/{user}/password", put(users::set_password))
        .route("/api/v1/detokenize", post(detokenize::detokenize))
        .route("/approvals/{id}", get(page::show).post(page::decide))
        .route(html::STYLE_PATH, get(html::style))
        .route("/api/v1/login-requests", post(signin::ask))
        .route("/api/v1/login-requests/{id}/token", post(signin::redeem))
        .route("/api/v1/login", delete(signin::logout))
        .route("/", get(async || Redirect::to("/login")))
        .route("/login", get(signin::login).post(signin::local))
        .route("/logout", post(signin::leave))
        .route("/confirm/{id}", get(signin::confirm).post(signin::decide))
        .route("/link/{id}", get(signin::confirm))
        .route("/device", get(signin::device))
        .route("/oidc/{name}/login", get(signin::start_oidc))
        .route("/saml/{name}/login", get(signin::start_saml))
        .route("/oidc/{name}/callback", get(signin::callback))
        .route("/saml/{name}/metadata", get(signin::metadata))
        .route("/saml/{name}/acs", post(signin::acs).layer(DefaultBodyLimit::max(limits::SAML_FORM_BYTES_MAX)))
        .method_not_allowed_fallback(async || ApiError::method_not_allowed())
        .route_layer(middleware::from_fn_with_state(state.clone(), guard))
        .layer(DefaultBodyLimit::max(limits::API_BODY_BYTES_MAX))
        .merge(scim::router(state.clone()))
        .fallback(async || ApiError::no_address())
        .layer(middleware::from_fn_with_state(state.clone(), frame))
        .with_state(state)
}

/// Lets a request through to its handler only as the table says.
async fn guard(
    State(state): State<ApiState>,
    path: MatchedPath,
    peer: Option<Extension<PeerAddr>>,
    mut request: Request,
    next: Next,
) -> Result<Response, ApiError> {
    let method = request.method();
    // axum answers HEAD with the handler of GET.
    let method = if method == Method::HEAD { &Method::GET } else { method };
    let Some(endpoint) = ENDPOINTS.iter().find(|e| e.path == path.as_str() && e.method == *method) else {
        return Err(ApiError::method_not_allowed());
    };
    match endpoint.role {
        Role::Anybody | Role::TokenInForm | Role::ProofInBody | Role::Page => {}
        Role::Proven | Role::Admin => {
            let peer = peer.map(|Extension(peer)| peer);
            let caller = auth::authenticate(&state, request.headers(), peer, clock::now()).await?;
            let source = peer.map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |PeerAddr(address)| address.ip());
            state.access.used(&caller.identity, source, &format!("{method} {}", endpoint.path));
            if endpoint.role == Role::Admin && !caller.admin {
                return Err(ApiError::forbidden(
                    "only an administrator may do this",
                    "ask a member of `identity.admins`",
                ));
            }
            request.extensions_mut().insert::<Caller>(caller);
        }
    }
    Ok(next.run(request).await)
}

/// Around everything: the time limit, the count, and the headers that keep a browser from doing more than it should.
/// Who is told to wait is told late, and so goes on slowly.
async fn frame(
    State(state): State<ApiState>,
    path: Option<MatchedPath>,
    peer: Option<Extension<PeerAddr>>,
    request: Request,
    next: Next,
) -> Response {
    let source = peer.map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |Extension(PeerAddr(address))| address.ip());
    let method = request.method().clone();
    let limit = Duration::from_millis(limits::API_ANSWER_MS_MAX);
    let route = path.as_ref().map_or("none", MatchedPath::as_str).to_owned();
    let mut response = if elsewhere::is_another_sites(&method, &route, request.headers()) {
        ApiError::forbidden("another site asked for this", "open the address yourself").into_response()
    } else if !serve::turn(&state.late, source).await {
        ApiError::too_many(limits::LOGIN_TURN_WAIT_MS_MAX / 1_000).into_response()
    } else {
        let answered = tokio::time::timeout(limit, next.run(request)).await;
        answered.unwrap_or_else(|_| ApiError::timeout().into_response())
    };
    if response.status() == StatusCode::TOO_MANY_REQUESTS
        && let Some(place) = state.late.hold(source)
    {
        // Who goes away meanwhile does not give the place back sooner.
        let wait = tokio::spawn(async move {
            tokio::time::sleep(Duration::from_millis(limits::API_LATE_MS)).await;
            drop(place);
        });
        let _ = wait.await;
    }
    // A method is the client's word; only known ones become a label.
    let known = [Method::GET, Method::HEAD, Method::POST, Method::PUT, Method::PATCH, Method::DELETE]
        .into_iter()
        .find(|m| *m == method);
    let method = known.map_or_else(|| "other".to_owned(), |m| m.to_string());
    let status = response.status().as_u16().to_string();
    metrics::counter!(names::API_REQUESTS_TOTAL, "method" => method, "route" => route, "status" => status).increment(1);
    let headers = response.headers_mut();
    for (name, value) in HEADERS {
        // A page that has a form for one other place says so itself.
        headers.entry(HeaderName::from_static(name)).or_insert(HeaderValue::from_static(value));
    }
    response
}

const HEADERS: &[(&str, &str)] = &[
    (
        "content-security-policy",
        "default-src 'none'; style-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'",
    ),
    ("x-content-type-options", "nosniff"),
    ("x-frame-options", "DENY"),
    ("referrer-policy", "no-referrer"),
    ("cache-control", "no-store"),
    ("strict-transport-security", "max-age=31536000"),
    ("cross-origin-opener-policy", "same-origin"),
    ("cross-origin-resource-policy", "same-origin"),
];
