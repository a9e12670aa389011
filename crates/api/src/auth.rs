//! Who calls. The token is proven anew on every request, so that a revocation counts from the next one on.

use crate::error::ApiError;
use crate::signin::browser::Browser;
use crate::state::{ApiState, PeerAddr};
use axum::http::{HeaderMap, header};
use lockgate_core::{Identity, Timestamp};
use lockgate_store::{TokenError, TokenInfo, Verified};
use std::net::{IpAddr, Ipv4Addr};

/// What a stranger is told.
const INVALID: &str = "the token is not valid";

/// A proven caller.
#[derive(Clone)]
pub(crate) struct Caller {
    pub(crate) identity: Identity,
    /// The identity as it was proven, without what directories add.
    pub(crate) proven: Identity,
    pub(crate) token: TokenInfo,
    /// An administrator. A token that is limited to targets or actions never is: it was made to be able to do less.
    pub(crate) admin: bool,
    /// An auditor, under the same rule.
    pub(crate) auditor: bool,
    /// When somebody else gave up the name, or that of one whom the caller acts for. What is from before is not the caller's.
    since: Option<Timestamp>,
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

    fn new(
        state: &ApiState,
        proven: Identity,
        Verified { identity, info }: Verified,
        since: Option<Timestamp>,
    ) -> Self {
        let unlimited = !info.is_limited();
        let admin = unlimited && state.access.is_admin(&identity);
        let auditor = unlimited && state.access.is_auditor(&identity);
        Caller { identity, proven, token: info, admin, auditor, since }
    }

    /// Who is signed in with a browser: what the login proved, without a limit.
    pub(crate) async fn of_browser(state: &ApiState, browser: &Browser) -> Result<Self, ApiError> {
        let Browser { login, identity, .. } = browser;
        let since = state.store.name_left(identity.users()).await?;
        let info = TokenInfo {
            id: login.id.clone(),
            user: login.user.clone(),
            groups: login.groups.clone(),
            kind: login.kind,
            on_behalf_of: login.on_behalf_of.clone(),
            targets: None,
            actions: None,
            created: login.created,
            expires: login.expires,
            revoked_at: None,
            last_used: None,
            login: Some(login.id.clone()),
        };
        let verified = Verified { identity: identity.clone(), info };
        Ok(Caller::new(state, login.identity(), verified, since))
    }

    /// Whether what an identity did at a time concerns the caller: their own doing, or that of those who acted for them. Not what was done by
    /// somebody else who had the name then.
    pub(crate) fn is_concerned(&self, identity: &Identity, at: Timestamp) -> bool {
        identity.involves_all_of(&self.identity) && self.since.is_none_or(|since| at > since)
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

/// Proves a token. A stranger is told the same whatever is wrong; the holder of the true secret may learn that it is over. What is
/// proven is never kept waiting: nobody guesses 256 bits, and strangers behind the same address, be it an office's or a load
/// balancer's, must not keep anybody out. Refusals beyond the limit are told to wait, and leave no trace.
pub(crate) async fn prove(
    state: &ApiState,
    token: &str,
    peer: Option<PeerAddr>,
    now: Timestamp,
) -> Result<Caller, ApiError> {
    let source = peer.map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |PeerAddr(addr)| addr.ip());
    let refused =
        |why: &str, public: &str| note_refused(state, source, why, now).unwrap_or(ApiError::unauthenticated(public));
    let (verified, own) = match state.providers.prove(token, now).await {
        Some(Ok(verified)) => (verified, false),
        Some(Err(why)) => return Err(refused(&why, INVALID)),
        None => match state.store.verify_token(token, now).await {
            Ok(verified) => (verified, true),
            Err(TokenError::Store(e)) => return Err(e.into()),
            Err(e) => {
                let public = match e {
                    TokenError::Expired { .. } => "the token has expired",
                    TokenError::Early { .. } => {
                        "the token counts from a time that has not come: the gateway's clock is wrong"
                    }
                    TokenError::Revoked { .. } => "the token was revoked",
                    TokenError::Malformed | TokenError::Unknown | TokenError::WrongSecret | TokenError::Store(_) => {
                        INVALID
                    }
                };
                return Err(refused(&e.to_string(), public));
            }
        },
    };
    let proven = verified.identity.clone();
    let identity = state.access.stand(verified.identity).await.map_err(|why| refused(&why, INVALID))?;
    if own {
        state.store.touch_token(&verified.info.id, now);
    }
    let since = state.store.name_left(identity.users()).await?;
    Ok(Caller::new(state, proven, Verified { identity, info: verified.info }, since))
}

/// Counts a refusal and puts it on record; past the limit, what to answer in its place.
pub(crate) fn note_refused(state: &ApiState, source: IpAddr, why: &str, now: Timestamp) -> Option<ApiError> {
    if let Some(wait_s) = state.throttle.wait_s(source, now) {
        return Some(ApiError::too_many(wait_s));
    }
    state.throttle.refused(source, now);
    state.access.login_refused(source, why);
    None
}
