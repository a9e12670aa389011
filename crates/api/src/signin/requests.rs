//! The command line's side of a login: it asks for one, waits or is come back to, and gets a token; later it gives that up.

use super::browser;
use crate::auth::Caller;
use crate::body;
use crate::error::{ApiError, ErrorBody};
use crate::state::{ApiState, PeerAddr};
use axum::body::Bytes;
use axum::extract::rejection::{BytesRejection, QueryRejection};
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use lockgate_core::limits;
use lockgate_store::{Asker, LoginClaim, RequestError, clock};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

/// A login that is asked for. With `challenge`, `redirect` and `state` the browser comes back to the command line; without
/// them a person types the code in.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Ask {
    /// SHA-256 of the verifier, in base64url (RFC 7636, S256).
    #[serde(default)]
    challenge: Option<String>,
    /// `http://127.0.0.1:PORT/PATH`
    #[serde(default)]
    redirect: Option<String>,
    /// Comes back unchanged.
    #[serde(default)]
    state: Option<String>,
}

/// What waits to be confirmed.
#[derive(Serialize, ToSchema)]
pub(crate) struct Asked {
    id: String,
    /// Where a person confirms it, below the gateway's own address.
    path: String,
    /// What to type there; absent where the browser comes back.
    #[serde(skip_serializing_if = "Option::is_none")]
    user_code: Option<String>,
    /// What a device comes for its token with. Shown this once.
    #[serde(skip_serializing_if = "Option::is_none")]
    secret: Option<String>,
    expires: String,
    /// Milliseconds to wait between two times.
    interval_ms: u64,
}

/// The proof of who asked: `code` and `verifier`, or `secret`.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ClaimBody {
    #[serde(default)]
    code: Option<String>,
    #[serde(default)]
    verifier: Option<String>,
    #[serde(default)]
    secret: Option<String>,
}

/// The token of a login. Its text is shown this once.
#[derive(Serialize, ToSchema)]
pub(crate) struct LoggedIn {
    token: String,
    id: String,
    user: String,
    expires: String,
}

/// Nobody has confirmed it yet.
#[derive(Serialize, ToSchema)]
pub(crate) struct Waiting {
    /// `pending`
    state: &'static str,
}

/// How far to log out.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct LogoutQuery {
    /// Also end everything else that the same login made: browsers, tokens, sessions.
    everywhere: Option<bool>,
}

/// What has ended.
#[derive(Serialize, ToSchema)]
pub(crate) struct LoggedOut {
    /// The token that counts no more.
    id: String,
}

/// Asks for a login, to be confirmed in a browser.
#[utoipa::path(post, path = "/api/v1/login-requests", operation_id = "ask_login", tag = "login", security(()), request_body = Ask,
    responses((status = 201, body = Asked), (status = 400, body = ErrorBody), (status = 429, body = ErrorBody)))]
pub(crate) async fn ask(
    State(state): State<ApiState>,
    peer: Option<Extension<PeerAddr>>,
    body: Result<Bytes, BytesRejection>,
) -> Result<(StatusCode, Json<Asked>), ApiError> {
    let ask: Ask = body::json(body)?;
    let now = clock::now();
    let source = browser::source(peer.map(|Extension(p)| p));
    let asker = match (ask.challenge, ask.redirect, ask.state) {
        (Some(challenge), Some(redirect), Some(word)) => {
            if challenge.len() != 43 || !is_word(&challenge) {
                return Err(ApiError::bad_request("`challenge` is not a SHA-256 in base64url"));
            }
            if !(1..=128).contains(&word.len()) || !is_word(&word) {
                return Err(ApiError::bad_request("`state` takes 1 to 128 characters of base64url"));
            }
            if !is_loopback(&redirect) {
                return Err(ApiError::bad_request("`redirect` has to be `http://127.0.0.1:PORT/PATH`"));
            }
            Asker::Browser { challenge, redirect, state: word }
        }
        (None, None, None) => Asker::Device,
        _ => return Err(ApiError::bad_request("`challenge`, `redirect` and `state` belong together")),
    };
    let expires = now.plus_millis(limits::LOGIN_REQUEST_MS_MAX);
    let (request, secret) =
        state.store.ask_login(asker, &source.to_string(), expires, now).await.map_err(|e| match e {
            RequestError::Store(e) => e.into(),
            other => ApiError::too_fast(other.to_string(), 60),
        })?;
    let (path, user_code) = match &request.asker {
        Asker::Device => ("/device".to_owned(), Some(request.code)),
        Asker::Browser { .. } | Asker::Link { .. } => (format!("/confirm/{}", request.id), None),
    };
    let asked = Asked {
        path,
        user_code,
        secret: secret.map(|secret| secret.expose().to_owned()),
        expires: request.expires.to_string(),
        interval_ms: limits::DEVICE_POLL_MS,
        id: request.id,
    };
    Ok((StatusCode::CREATED, Json(asked)))
}

/// Comes for the token of a login that was asked for. It is given out once.
#[utoipa::path(post, path = "/api/v1/login-requests/{id}/token", operation_id = "redeem_login", tag = "login", security(()),
    params(("id" = String, Path)), request_body = ClaimBody,
    responses((status = 200, body = LoggedIn), (status = 202, body = Waiting), (status = 400, body = ErrorBody),
              (status = 403, body = ErrorBody), (status = 404, body = ErrorBody)))]
pub(crate) async fn redeem(
    State(state): State<ApiState>,
    Path(id): Path<String>,
    peer: Option<Extension<PeerAddr>>,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, ApiError> {
    let brought: ClaimBody = body::json(body)?;
    let now = clock::now();
    let source = browser::source(peer.map(|Extension(p)| p));
    let claim = match (&brought.code, &brought.verifier, &brought.secret) {
        (Some(code), Some(verifier), None) => LoginClaim::Browser { code, verifier },
        (None, None, Some(secret)) => LoginClaim::Device { secret },
        _ => return Err(ApiError::bad_request("bring `code` and `verifier`, or `secret`")),
    };
    match state.store.redeem_login_request(&id, claim, now).await {
        Ok((token, info, login)) => {
            tracing::info!(token = %info.id, user = %info.user, login = %login.id, %source, "logged in");
            let body = LoggedIn {
                token: token.expose().to_owned(),
                id: info.id,
                user: info.user,
                expires: info.expires.to_string(),
            };
            Ok(Json(body).into_response())
        }
        Err(RequestError::Pending) => Ok((StatusCode::ACCEPTED, Json(Waiting { state: "pending" })).into_response()),
        Err(RequestError::Denied) => {
            Err(ApiError::forbidden("the login was denied", "ask again if this was a mistake"))
        }
        Err(RequestError::Store(e)) => Err(e.into()),
        Err(why) => {
            // One answer, so that nobody learns which ids there are; and trying them out costs. Who asked is never kept waiting.
            if let Some(wait_s) = state.throttle.wait_s(source, now) {
                return Err(ApiError::too_many(wait_s));
            }
            state.throttle.refused(source, now);
            state.sign_in.refused(source, "", &why.to_string());
            Err(ApiError::not_found("login request"))
        }
    }
}

/// Logs out: the token counts no more.
#[utoipa::path(delete, path = "/api/v1/login", operation_id = "logout", tag = "login", params(LogoutQuery),
    responses((status = 200, body = LoggedOut), (status = 400, body = ErrorBody), (status = 401, body = ErrorBody)))]
pub(crate) async fn logout(
    State(state): State<ApiState>,
    Extension(caller): Extension<Caller>,
    query: Result<Query<LogoutQuery>, QueryRejection>,
) -> Result<Json<LoggedOut>, ApiError> {
    let query = body::query(query)?;
    let now = clock::now();
    let id = caller.token.id;
    if id.contains(':') {
        return Err(ApiError::bad_request("the token is your identity provider's, which alone can take it back"));
    }
    let by = &caller.identity.user;
    match &caller.token.login {
        Some(login) if query.everywhere == Some(true) => {
            state.store.end_login(login, by, "logged out", now).await?;
        }
        login => {
            state.store.revoke_token(&id, by, now).await?;
            if let Some(login) = login {
                state.store.end_login_if_idle(login, by, now).await?;
            }
        }
    }
    tracing::info!(token = %id, user = %caller.identity.user, "logged out");
    Ok(Json(LoggedOut { id }))
}

fn is_word(text: &str) -> bool {
    text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
}

/// An address on the person's own machine, without anything that could be taken for another host (RFC 8252, 7.3).
fn is_loopback(text: &str) -> bool {
    let Some((port, path)) = text.strip_prefix("http://127.0.0.1:").and_then(|rest| rest.split_once('/')) else {
        return false;
    };
    text.len() <= limits::LOGIN_REDIRECT_BYTES_MAX
        && port.parse::<u16>().is_ok_and(|number| number > 0 && number.to_string() == port)
        && path.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_login_comes_back_to_the_own_machine_only() {
        for good in ["http://127.0.0.1:4000/callback", "http://127.0.0.1:1/", "http://127.0.0.1:65535/a/b-c_d"] {
            assert!(is_loopback(good), "{good}");
        }
        for bad in [
            "",
            "http://127.0.0.1",
            "http://127.0.0.1/",
            "http://127.0.0.1:4000",
            "http://127.0.0.1:0/",
            "http://127.0.0.1:65536/",
            "http://127.0.0.1:+1/",
            "http://127.0.0.1:01/",
            "https://127.0.0.1:4000/",
            "http://localhost:4000/",
            "http://127.0.0.1:4000@evil.example/",
            "http://127.0.0.1:4000.evil.example/",
            "http://127.0.0.1:4000/?a=b",
            "http://127.0.0.1:4000/#",
            "http://127.0.0.1:4000/\\evil",
            "http://127.0.0.2:4000/",
            "http://[::1]:4000/",
            "//127.0.0.1:4000/",
            "javascript://127.0.0.1:4000/",
            &format!("http://127.0.0.1:4000/{}", "a".repeat(300)),
        ] {
            assert!(!is_loopback(bad), "{bad}");
        }
    }
}
