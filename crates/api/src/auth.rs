//! Who calls. The token is proven anew on every request, so that a revocation counts from the next one on.

use crate::error::ApiError;
use crate::state::{ApiState, PeerAddr};
use axum::http::{HeaderMap, header};
use lockgate_core::{Identity, Timestamp};
use lockgate_store::{TokenError, TokenInfo, Verified};
use std::net::{IpAddr, Ipv4Addr};

/// A proven caller.
#[derive(Clone)]
pub(crate) struct Caller {
    pub(crate) identity: Identity,
    pub(crate) token: TokenInfo,
    /// An administrator. A token that is limited to targets never is: it was made to be able to do less.
    pub(crate) admin: bool,
    /// An auditor, under the same rule.
    pub(crate) auditor: bool,
}

impl Caller {
    /// Whether the caller may look at what is others'.
    pub(crate) fn sees_all(&self) -> bool {
        self.admin || self.auditor
    }

    /// The word for the caller's role. Who may approve is for policy to say.
    pub(crate) fn role(&self) -> &'static str {
        match (self.admin, self.auditor) {
            (true, _) => "admin",
            (false, true) => "auditor",
            (false, false) => "member",
        }
    }

    fn new(state: &ApiState, Verified { identity, info }: Verified) -> Self {
        let unlimited = info.targets.is_none();
        let admin = unlimited && state.access.is_admin(&identity);
        let auditor = unlimited && state.access.is_auditor(&identity);
        Caller { identity, token: info, admin, auditor }
    }

    /// Whether the token may be used for what concerns this target.
    pub(crate) fn covers(&self, target: &str) -> bool {
        self.token.targets.as_ref().is_none_or(|targets| targets.iter().any(|t| t.as_str() == target))
    }
}

/// Proves the bearer token of a request.
pub(crate) async fn authenticate(
    state: &ApiState,
    headers: &HeaderMap,
    peer: Option<PeerAddr>,
    now: Timestamp,
) -> Result<Caller, ApiError> {
    prove(state, bearer(headers)?, peer, now).await
}

/// The bearer token of a request.
pub(crate) fn bearer(headers: &HeaderMap) -> Result<&str, ApiError> {
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    let (Some(value), None) = (values.next(), values.next()) else {
        return Err(ApiError::unauthenticated("no token was sent"));
    };
    let token = value
        .to_str()
        .ok()
        .and_then(|text| text.split_once(' '))
        .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"));
    match token {
        Some((_, token)) => Ok(token.trim()),
        None => Err(ApiError::unauthenticated("the Authorization header holds no bearer token")),
    }
}

/// Proves a token. A stranger is told the same whatever is wrong; the holder of the true secret may learn that it is over.
pub(crate) async fn prove(
    state: &ApiState,
    token: &str,
    peer: Option<PeerAddr>,
    now: Timestamp,
) -> Result<Caller, ApiError> {
    let source = peer.map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |PeerAddr(addr)| addr.ip());
    if let Some(wait_s) = state.throttle.wait_s(source, now) {
        return Err(ApiError::too_many(wait_s));
    }
    if let Some(proven) = state.providers.prove(token, now).await {
        return match proven {
            Ok(verified) => Ok(Caller::new(state, stand(state, verified, source, now).await?)),
            Err(why) => {
                state.throttle.refused(source, now);
                state.access.login_refused(source, &why);
                Err(ApiError::unauthenticated("the token is not valid"))
            }
        };
    }
    match state.store.verify_token(token, now).await {
        Ok(verified) => {
            let verified = stand(state, verified, source, now).await?;
            state.store.touch_token(&verified.info.id, now);
            Ok(Caller::new(state, verified))
        }
        Err(TokenError::Store(e)) => Err(e.into()),
        Err(e) => {
            state.throttle.refused(source, now);
            state.access.login_refused(source, &e.to_string());
            Err(ApiError::unauthenticated(match e {
                TokenError::Expired { .. } => "the token has expired",
                TokenError::Early { .. } => {
                    "the token counts from a time that has not come: the gateway's clock is wrong"
                }
                TokenError::Revoked { .. } => "the token was revoked",
                TokenError::Malformed | TokenError::Unknown | TokenError::WrongSecret | TokenError::Store(_) => {
                    "the token is not valid"
                }
            }))
        }
    }
}

/// What the directories make of a proven identity.
async fn stand(state: &ApiState, verified: Verified, source: IpAddr, now: Timestamp) -> Result<Verified, ApiError> {
    let stands = state.access.stand(verified.identity).await;
    let identity = stands.map_err(|why| {
        state.throttle.refused(source, now);
        state.access.login_refused(source, &why);
        ApiError::unauthenticated("the token is not valid")
    })?;
    Ok(Verified { identity, ..verified })
}
