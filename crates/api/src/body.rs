//! Bodies in and out: JSON with limits and clear refusals on the way in, a stream of lines on the way out.

use crate::error::ApiError;
use crate::state::EventStream;
use axum::body::Bytes;
use axum::extract::rejection::{BytesRejection, FormRejection, QueryRejection};
use axum::http::StatusCode;
use hyper::body::{Body, Frame};
use serde::de::DeserializeOwned;
use std::pin::Pin;
use std::task::{Context, Poll};

/// The JSON of a request. An empty body counts as `{}`.
pub(crate) fn json<T: DeserializeOwned>(body: Result<Bytes, BytesRejection>) -> Result<T, ApiError> {
    let body = body.map_err(|e| refuse(e.status(), "the body cannot be read"))?;
    let text: &[u8] = if body.is_empty() { b"{}" } else { &body };
    // The parser's own words name the key and the place, and quote nothing that was not sent.
    serde_json::from_slice(text).map_err(|e| ApiError::bad_request(e.to_string()))
}

pub(crate) fn query<T>(query: Result<axum::extract::Query<T>, QueryRejection>) -> Result<T, ApiError> {
    query.map(|q| q.0).map_err(|e| ApiError::bad_request(e.body_text()))
}

pub(crate) fn form<T>(form: Result<axum::extract::Form<T>, FormRejection>) -> Result<T, ApiError> {
    // Its text could quote the body, which holds a token.
    form.map(|f| f.0).map_err(|e| refuse(e.status(), "the form is not complete"))
}

fn refuse(status: StatusCode, message: &str) -> ApiError {
    if status == StatusCode::PAYLOAD_TOO_LARGE { ApiError::too_large() } else { ApiError::bad_request(message) }
}

/// An answer that is sent as it is read.
pub(crate) struct EventBody(pub(crate) EventStream);

impl Body for EventBody {
    type Data = Bytes;
    type Error = std::io::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        self.0.poll_recv(cx).map(|next| {
            next.map(|line| line.map(|bytes| Frame::data(Bytes::from(bytes))).map_err(std::io::Error::other))
        })
    }
}
