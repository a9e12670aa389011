//! Refusals as RFC 7644, 3.12 has them.

use super::Answer;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use lockgate_store::StoreError;
use serde_json::json;

/// A refusal.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct ScimError {
    pub(super) status: StatusCode,
    kind: Option<&'static str>,
    pub(super) detail: String,
}

impl ScimError {
    pub(super) fn new(status: StatusCode, kind: Option<&'static str>, detail: impl Into<String>) -> Self {
        ScimError { status, kind, detail: detail.into() }
    }

    /// What the directory sent is wrong; `kind` is SCIM's word for how.
    pub(super) fn bad(kind: &'static str, detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, Some(kind), detail)
    }

    pub(super) fn unauthenticated(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::UNAUTHORIZED, None, detail)
    }

    pub(super) fn not_found(id: &str) -> Self {
        Self::new(StatusCode::NOT_FOUND, None, format!("there is no resource `{}`", id.escape_debug()))
    }
}

impl From<StoreError> for ScimError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Taken(text) => Self::new(StatusCode::CONFLICT, Some("uniqueness"), text),
            StoreError::Refused(text) => Self::bad("invalidValue", text),
            error => {
                tracing::error!(%error, "the store cannot answer a directory");
                Self::new(StatusCode::SERVICE_UNAVAILABLE, None, "the store cannot answer")
            }
        }
    }
}

impl IntoResponse for ScimError {
    fn into_response(self) -> Response {
        let mut body = json!({
            "schemas": ["urn:ietf:params:scim:api:messages:2.0:Error"],
            "status": self.status.as_u16().to_string(),
            "detail": self.detail,
        });
        if let (Some(kind), Some(body)) = (self.kind, body.as_object_mut()) {
            body.insert("scimType".to_owned(), kind.into());
        }
        let mut response = Answer(self.status, body).into_response();
        if self.status == StatusCode::UNAUTHORIZED {
            let challenge = HeaderValue::from_static("Bearer realm=\"lockgate\"");
            response.headers_mut().insert(header::WWW_AUTHENTICATE, challenge);
        }
        response
    }
}
