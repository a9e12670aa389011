//! Every refusal of the API in one shape: `{"error": {"code", "message", "hint"}}`.

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use lockgate_store::StoreError;
use lockgate_store::approvals::DecideError;
use serde::Serialize;
use utoipa::ToSchema;

/// The body of every refusal.
#[derive(Serialize, ToSchema)]
pub(crate) struct ErrorBody {
    error: ErrorText,
}

/// What went wrong, for programs and for people.
#[derive(Serialize, ToSchema)]
pub(crate) struct ErrorText {
    /// A word that does not change: `not_found`, `bad_request`, …
    code: &'static str,
    /// What happened.
    message: String,
    /// What to do next.
    hint: String,
}

/// A refusal.
#[derive(Debug)]
pub(crate) struct ApiError {
    pub(crate) status: StatusCode,
    code: &'static str,
    pub(crate) message: String,
    pub(crate) hint: String,
    pub(crate) retry_after_s: Option<i64>,
}

impl ApiError {
    fn new(status: StatusCode, code: &'static str, message: impl Into<String>, hint: impl Into<String>) -> Self {
        ApiError { status, code, message: message.into(), hint: hint.into(), retry_after_s: None }
    }

    pub(crate) fn unauthenticated(message: impl Into<String>) -> Self {
        let hint = "log in: `lockgate login`; programs send `Authorization: Bearer lg_…`";
        Self::new(StatusCode::UNAUTHORIZED, "unauthenticated", message, hint)
    }

    pub(crate) fn too_many(wait_s: i64) -> Self {
        let hint = format!("wait {wait_s} seconds");
        let mut e = Self::new(
            StatusCode::TOO_MANY_REQUESTS,
            "too_many_refused_logins",
            "too many refused logins from here",
            hint,
        );
        e.retry_after_s = Some(wait_s);
        e
    }

    pub(crate) fn too_fast(message: impl Into<String>, wait_s: i64) -> Self {
        let hint = format!("wait {wait_s} seconds");
        let mut e = Self::new(StatusCode::TOO_MANY_REQUESTS, "too_many_requests", message, hint);
        e.retry_after_s = Some(wait_s);
        e
    }

    pub(crate) fn forbidden(message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::new(StatusCode::FORBIDDEN, "forbidden", message, hint)
    }

    pub(crate) fn not_found(what: &str) -> Self {
        Self::new(StatusCode::NOT_FOUND, "not_found", format!("there is no such {what}"), "list what there is for you")
    }

    pub(crate) fn no_address() -> Self {
        let hint = "people sign in at /login; programs find what there is in /api/v1/openapi.json";
        Self::new(StatusCode::NOT_FOUND, "not_found", "there is no such address", hint)
    }

    pub(crate) fn bad_request(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "bad_request", message, "see /api/v1/openapi.json")
    }

    pub(crate) fn too_large() -> Self {
        let hint = format!("send at most {} bytes", lockgate_core::limits::API_BODY_BYTES_MAX);
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, "too_large", "the body is too large", hint)
    }

    pub(crate) fn method_not_allowed() -> Self {
        let message = "this address does not take this method";
        Self::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", message, "see /api/v1/openapi.json")
    }

    pub(crate) fn conflict(message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::new(StatusCode::CONFLICT, "conflict", message, hint)
    }

    pub(crate) fn timeout() -> Self {
        Self::new(StatusCode::REQUEST_TIMEOUT, "timeout", "the request took too long", "try again")
    }

    pub(crate) fn unavailable(what: impl Into<String>) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "unavailable", what, "try again, or look into the gateway's log")
    }
}

impl From<StoreError> for ApiError {
    fn from(e: StoreError) -> Self {
        match e {
            StoreError::Refused(rule) => ApiError::bad_request(rule),
            StoreError::Taken(what) => ApiError::conflict(what, "choose another name"),
            e => {
                tracing::error!(error = %e, source = ?std::error::Error::source(&e), "the store cannot answer the API");
                ApiError::unavailable("the store cannot answer")
            }
        }
    }
}

impl From<DecideError> for ApiError {
    fn from(e: DecideError) -> Self {
        let text = e.to_string();
        match e {
            DecideError::Unknown(_) => ApiError::not_found("approval"),
            DecideError::NotPending(_) => ApiError::conflict(text, "nothing is left to decide"),
            DecideError::AlreadyVoted(_) => ApiError::conflict(text, "wait for the others"),
            DecideError::OwnRequest(_) | DecideError::NotAPerson | DecideError::NotInGroup(_) => {
                ApiError::forbidden(text, "ask somebody who may")
            }
            DecideError::ReasonTooLong => ApiError::bad_request(text),
            DecideError::Store(e) => e.into(),
        }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let error = ErrorText { code: self.code, message: self.message, hint: self.hint };
        let mut response = (self.status, Json(ErrorBody { error })).into_response();
        if self.status == StatusCode::UNAUTHORIZED {
            response
                .headers_mut()
                .insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"lockgate\""));
        }
        if let Some(seconds) = self.retry_after_s {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}
