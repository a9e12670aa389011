//! SCIM 2.0 (RFC 7643, RFC 7644): a company's directory pushes its people and groups, and takes them away again.
//!
//! Each directory (`identity.scim`) has a secret of its own, which says whose people these are: a directory sees and changes
//! nothing of another's, nor local users. What it says counts for live sessions as soon as it is written. What is kept of a
//! person is the name, the name to show, the directory's own name and whether they are active; everything else that
//! directories send is not stored. Bulk requests, sorting and versions are not carried, which `ServiceProviderConfig` says.

mod about;
mod error;
mod filter;
mod groups;
mod patch;
mod users;

use crate::auth;
use crate::state::{ApiState, PeerAddr};
use axum::body::Bytes;
use axum::extract::rejection::{BytesRejection, QueryRejection};
use axum::extract::{DefaultBodyLimit, FromRequestParts, Path, Request, State};
use axum::http::request::Parts;
use axum::http::{Method, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Extension, Router};
use error::ScimError;
use filter::Query;
use lockgate_core::{Timestamp, limits};
use lockgate_store::clock;
use serde_json::{Map, Value, json};
use std::net::{IpAddr, Ipv4Addr};

/// The directory that calls.
#[derive(Clone)]
struct Directory {
    /// As the store names it: `scim:NAME`.
    source: String,
}

/// A resource that a directory asks for, or changes.
struct One {
    state: ApiState,
    /// The directory, as the store names it.
    source: String,
    id: String,
}

impl FromRequestParts<ApiState> for One {
    type Rejection = ScimError;

    async fn from_request_parts(parts: &mut Parts, state: &ApiState) -> Result<Self, ScimError> {
        let directory = parts.extensions.get::<Directory>().cloned();
        let Directory { source } =
            directory.ok_or_else(|| ScimError::unauthenticated("no directory has shown itself"))?;
        let id = Path::<String>::from_request_parts(parts, state).await.map_err(|_| ScimError::not_found(""))?.0;
        Ok(One { state: state.clone(), source, id })
    }
}

impl One {
    /// What the store has, or had and changed.
    fn found<T>(&self, found: Option<T>) -> Result<T, ScimError> {
        found.ok_or_else(|| ScimError::not_found(&self.id))
    }

    /// The answer to who has it removed.
    fn removed(&self, removed: bool) -> Result<StatusCode, ScimError> {
        self.found(removed.then_some(StatusCode::NO_CONTENT))
    }
}

type Body = Result<Bytes, BytesRejection>;
type Asked = Result<axum::extract::Query<Query>, QueryRejection>;

/// Which resources of a list are asked for.
fn asked(query: Asked) -> Result<Query, ScimError> {
    query.map(|query| query.0).map_err(|error| ScimError::bad("invalidValue", error.body_text()))
}

/// An answer in SCIM's own type.
struct Answer(StatusCode, Value);

impl IntoResponse for Answer {
    fn into_response(self) -> Response {
        let Answer(status, body) = self;
        let location = body.pointer("/meta/location").and_then(Value::as_str).and_then(|text| text.parse().ok());
        let mut response = (status, body.to_string()).into_response();
        response.headers_mut().insert(header::CONTENT_TYPE, header::HeaderValue::from_static("application/scim+json"));
        if let Some(location) = location.filter(|_| status == StatusCode::CREATED) {
            response.headers_mut().insert(header::LOCATION, location);
        }
        response
    }
}

/// Everything under `/scim/v2`.
pub(crate) fn router(state: ApiState) -> Router<ApiState> {
    Router::new()
        .route("/scim/v2/Users", get(users::list).post(users::create))
        .route("/scim/v2/Users/{id}", get(users::show).put(users::replace).patch(users::patch).delete(users::remove))
        .route("/scim/v2/Groups", get(groups::list).post(groups::create))
        .route(
            "/scim/v2/Groups/{id}",
            get(groups::show).put(groups::replace).patch(groups::patch).delete(groups::remove),
        )
        .route("/scim/v2/ServiceProviderConfig", get(about::config))
        .route("/scim/v2/Schemas", get(about::schemas))
        .route("/scim/v2/Schemas/{id}", get(about::schema))
        .route("/scim/v2/ResourceTypes", get(about::resource_types))
        .route("/scim/v2/ResourceTypes/{id}", get(about::resource_type))
        .method_not_allowed_fallback(async || ScimError::new(StatusCode::METHOD_NOT_ALLOWED, None, "not carried here"))
        .layer(DefaultBodyLimit::max(limits::SCIM_BODY_BYTES_MAX))
        .route_layer(middleware::from_fn_with_state(state, guard))
}

/// Lets a directory in by its secret.
async fn guard(
    State(state): State<ApiState>,
    peer: Option<Extension<PeerAddr>>,
    mut request: Request,
    next: Next,
) -> Result<Response, ScimError> {
    let now = clock::now();
    let source = peer.map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |Extension(PeerAddr(addr))| addr.ip());
    let secret = auth::bearer(request.headers()).map_err(|error| ScimError::unauthenticated(error.message))?;
    let Some(name) = state.access.directory(secret) else {
        // A right secret is never kept waiting: it may be what disables somebody.
        return Err(match auth::note_refused(&state, source, "no directory has this secret", now) {
            Some(_) => ScimError::new(StatusCode::TOO_MANY_REQUESTS, None, "too many refused logins from here"),
            None => ScimError::unauthenticated("the secret is not a directory's"),
        });
    };
    request.extensions_mut().insert(Directory { source: format!("scim:{name}") });
    let changes = *request.method() != Method::GET;
    let response = next.run(request).await;
    if changes {
        // Whoever is told that it is done may rely on it.
        state.access.people_changed();
    }
    Ok(response)
}

/// The JSON object of a request.
fn object(body: Body) -> Result<Map<String, Value>, ScimError> {
    let body = body.map_err(|rejection| ScimError::new(rejection.status(), None, "the body cannot be read"))?;
    let invalid = |why: String| ScimError::bad("invalidSyntax", why);
    match serde_json::from_slice(&body).map_err(|error| invalid(error.to_string()))? {
        Value::Object(object) => Ok(object),
        _ => Err(invalid("the body is not an object".to_owned())),
    }
}

/// The value of an attribute, whose name is compared without regard to case (RFC 7643, 2.1), and may be written in full.
fn attribute<'v>(object: &'v Map<String, Value>, name: &str) -> Result<Option<&'v Value>, ScimError> {
    let is_it = |key: &str| patch::bare(key).eq_ignore_ascii_case(name);
    let mut found = object.iter().filter(|(key, _)| is_it(key)).map(|(_, value)| value);
    match (found.next(), found.next()) {
        (value, None) => Ok(value),
        _ => Err(ScimError::bad("invalidSyntax", format!("`{name}` is there twice"))),
    }
}

/// A resource: what each says of itself, and what this kind has besides.
fn resource(
    kind: &str,
    id: &str,
    (created, updated): (Timestamp, Timestamp),
    external_id: Option<&str>,
    own: impl IntoIterator<Item = (&'static str, Value)>,
) -> Value {
    let meta = json!({
        "resourceType": kind,
        "created": created.to_string(),
        "lastModified": updated.to_string(),
        "location": format!("/scim/v2/{kind}s/{id}"),
    });
    let all = [
        ("schemas", json!([format!("urn:ietf:params:scim:schemas:core:2.0:{kind}")])),
        ("id", json!(id)),
        ("meta", meta),
    ];
    let external_id = external_id.map(|text| ("externalId", json!(text)));
    all.into_iter().chain(external_id).chain(own).map(|(name, value)| (name.to_owned(), value)).collect()
}

/// A page of resources.
fn listed(total: u64, start: usize, resources: Vec<Value>) -> Answer {
    let body = json!({
        "schemas": ["urn:ietf:params:scim:api:messages:2.0:ListResponse"],
        "totalResults": total,
        "startIndex": start,
        "itemsPerPage": resources.len(),
        "Resources": resources,
    });
    Answer(StatusCode::OK, body)
}
