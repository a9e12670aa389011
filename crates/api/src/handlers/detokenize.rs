//! Tokens of masked data and the values behind them, for those whom policy lets reveal the label. Every asking is recorded,
//! the allowed and the refused; tokens and values are not.

use crate::auth::Caller;
use crate::body;
use crate::error::{ApiError, ErrorBody};
use crate::state::{ApiState, Detokenize, NotDetokenized, PeerAddr};
use axum::body::Bytes;
use axum::extract::State;
use axum::extract::rejection::BytesRejection;
use axum::{Extension, Json};
use lockgate_core::limits;
use lockgate_store::clock;
use serde::{Deserialize, Serialize};
use std::net::{IpAddr, Ipv4Addr};
use utoipa::ToSchema;

/// Which tokens to read back.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct DetokenizeRequest {
    /// The label that they were made under.
    label: String,
    /// The tokens, as they stood in a result.
    tokens: Vec<String>,
}

/// What the tokens stand for, in the order of the request.
#[derive(Serialize, ToSchema)]
pub(crate) struct Detokenized {
    label: String,
    tokens: Vec<TokenReadings>,
}

/// One token.
#[derive(Serialize, ToSchema)]
pub(crate) struct TokenReadings {
    token: String,
    /// What it may stand for: one value, or one per kind of value that it could be the token of.
    values: Vec<Reading>,
    /// Why it cannot be read.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

/// A value behind a token.
#[derive(Serialize, ToSchema)]
pub(crate) struct Reading {
    /// `text`, `number`, `uuid`, `json`, `bytes`, `address` or `hardware`
    kind: &'static str,
    value: String,
}

/// Reads tokens of masked data back. The caller must be permitted to `reveal` the label on every target that carries it.
#[utoipa::path(post, path = "/api/v1/detokenize", operation_id = "detokenize", tag = "masking",
    request_body = DetokenizeRequest,
    responses((status = 200, body = Detokenized), (status = 400, body = ErrorBody), (status = 401, body = ErrorBody),
              (status = 403, body = ErrorBody), (status = 404, body = ErrorBody), (status = 429, body = ErrorBody)))]
pub(crate) async fn detokenize(
    State(state): State<ApiState>,
    Extension(caller): Extension<Caller>,
    peer: Option<Extension<PeerAddr>>,
    request: Result<Bytes, BytesRejection>,
) -> Result<Json<Detokenized>, ApiError> {
    let DetokenizeRequest { label, tokens } = body::json(request)?;
    if tokens.is_empty() || tokens.len() > limits::DETOKENIZE_TOKENS_MAX {
        let most = limits::DETOKENIZE_TOKENS_MAX;
        return Err(ApiError::bad_request(format!("send between 1 and {most} tokens at a time")));
    }
    let now = clock::now();
    if let Err(wait_s) = state.allowance.take(&caller.identity, tokens.len(), now) {
        return Err(ApiError::too_fast("too many tokens in a short time", wait_s));
    }
    let asked = Detokenize {
        identity: &caller.identity,
        targets: caller.token.targets.as_ref(),
        client: peer.map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |Extension(PeerAddr(addr))| addr.ip()),
        label: &label,
        tokens: &tokens,
        now,
    };
    let values = state.detokenizer.detokenize(&asked).map_err(|refused| match refused {
        NotDetokenized::NoLabel => ApiError::not_found("label"),
        NotDetokenized::Denied(message, hint) => ApiError::forbidden(message, hint),
        NotDetokenized::Unrecordable => ApiError::unavailable("this cannot be recorded, so it is not done"),
    })?;
    let tokens = tokens
        .into_iter()
        .zip(values)
        .map(|(token, read)| {
            let (values, error) = match read {
                Ok(values) => (values, None),
                Err(error) => (Vec::new(), Some(error)),
            };
            let values = values.into_iter().map(|(kind, value)| Reading { kind, value }).collect();
            TokenReadings { token, values, error }
        })
        .collect();
    Ok(Json(Detokenized { label, tokens }))
}
