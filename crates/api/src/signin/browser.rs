//! The browser at the other end: its cookies, whether it is signed in, and whether a form was sent by a page of ours.
//!
//! Cookies are `__Host-` ones: only this host can have set them, over TLS. The one that goes out with a sign-in at a SAML provider
//! has to come back with a form that another site posts, so it is `SameSite=None`; it holds nothing but the sealed memory of that
//! sign-in. A form's token is a keyed hash of the browser's own cookie: another site knows neither.

use crate::error::ApiError;
use crate::state::{ApiState, PeerAddr};
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::Response;
use lockgate_core::{Identity, Secret, Timestamp, limits};
use lockgate_store::LoginInfo;
use serde::{Deserialize, Serialize};
use std::net::{IpAddr, Ipv4Addr};

/// Says who is signed in.
const SESSION: &str = "__Host-lockgate";
/// Remembers a sign-in that went out to a provider.
const FLOW: &str = "__Host-lockgate-flow";
/// Belongs to a browser that is not signed in, so that the form it signs in with is its own.
const VISITOR: &str = "__Host-lockgate-visitor";
/// What the keys for sealing and for forms are for.
const FLOW_KEY: &str = "sign-ins under way";
const FORM_KEY: &str = "tokens of forms";
const FORM_TOKEN_BYTES: usize = 20;
/// The length of a login request's id.
const ID_CHARS: usize = 12;

/// A browser that is signed in.
pub(crate) struct Browser {
    pub(crate) login: LoginInfo,
    /// Whom the login proves, as they stand now.
    pub(crate) identity: Identity,
    secret: Secret,
}

/// What is remembered of a sign-in while the browser is at the provider.
#[derive(Serialize, Deserialize)]
pub(super) struct Flow {
    /// The provider's path, such as `oidc/corp`.
    pub(super) provider: String,
    /// What the provider's code remembers.
    pub(super) memory: String,
    /// Where to go on.
    pub(super) next: Next,
    expires_ms: i64,
}

/// Where a browser goes once it is signed in. Never an address.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Next {
    /// To the page that says who is signed in.
    #[default]
    Home,
    /// To a login request with this id.
    Request(String),
    /// To a device with this code.
    Device(String),
    /// To a request for approval with this id.
    Approval(String),
}

/// What an address or a form says of where to go on.
#[derive(Default, Deserialize)]
pub(super) struct Onward {
    request: Option<String>,
    code: Option<String>,
    approval: Option<String>,
}

impl From<Onward> for Next {
    /// As far as it can be meant.
    fn from(onward: Onward) -> Self {
        let next = |text: Option<String>, known: fn(String) -> Next| text.map(known).filter(|next| *next != Next::Home);
        next(onward.request, Next::request)
            .or_else(|| next(onward.code, Next::device))
            .or_else(|| next(onward.approval, Next::approval))
            .unwrap_or_default()
    }
}

impl Next {
    pub(super) fn request(id: String) -> Self {
        let is_id = id.len() == ID_CHARS && id.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
        if is_id { Next::Request(id) } else { Next::Home }
    }

    pub(super) fn device(code: String) -> Self {
        let is_code = (1..=24).contains(&code.len())
            && code.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b' '));
        if is_code { Next::Device(code.replace(' ', "-")) } else { Next::Home }
    }

    /// A session's id, a dash and the number of the request in it; or 26 characters of an id of its own.
    pub(crate) fn approval(id: String) -> Self {
        let is_id = (26..=48).contains(&id.len()) && id.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
        if is_id { Next::Approval(id) } else { Next::Home }
    }

    /// The page itself.
    pub(super) fn page(&self) -> String {
        match self {
            Next::Home => "/login".to_owned(),
            Next::Request(id) => format!("/confirm/{id}"),
            Next::Device(code) => format!("/device?code={code}"),
            Next::Approval(id) => format!("/approvals/{id}"),
        }
    }

    /// How addresses and forms say it: a name, and what it is.
    pub(super) fn parameter(&self) -> Option<(&'static str, &str)> {
        match self {
            Next::Home => None,
            Next::Request(id) => Some(("request", id)),
            Next::Device(code) => Some(("code", code)),
            Next::Approval(id) => Some(("approval", id)),
        }
    }

    /// The page to sign in on, from where it goes on there.
    pub(crate) fn login(&self) -> String {
        format!("/login{}", self.query())
    }

    /// The query that carries it on.
    pub(super) fn query(&self) -> String {
        self.parameter().map(|(name, value)| format!("?{name}={value}")).unwrap_or_default()
    }
}

impl Browser {
    /// The token that forms for this browser carry.
    pub(crate) fn form_token(&self, state: &ApiState) -> String {
        form_token(state, self.secret.expose())
    }

    /// The cookie's text, to be replaced or to be forgotten.
    pub(super) fn secret(&self) -> &str {
        self.secret.expose()
    }

    /// Whether a form was sent by a page of ours in this browser.
    pub(crate) fn check_form(&self, state: &ApiState, headers: &HeaderMap, token: &str) -> Result<(), ApiError> {
        check_form(state, headers, self.secret.expose(), token)
    }
}

fn check_form(state: &ApiState, headers: &HeaderMap, secret: &str, token: &str) -> Result<(), ApiError> {
    let made = form_token(state, secret);
    let same = aws_lc_rs::constant_time::verify_slices_are_equal(made.as_bytes(), token.as_bytes()).is_ok();
    // A second look, which does not depend on a secret: browsers say which site a form is from.
    let site = headers.get("sec-fetch-site").is_none_or(|site| site == "same-origin");
    if same && site {
        return Ok(());
    }
    Err(ApiError::forbidden("this form is not from this page", "open the page again and send it from there"))
}

/// The token of the form that a browser signs in with, and the cookie that it belongs to, where the browser has none yet.
pub(super) fn visitor_form(state: &ApiState, headers: &HeaderMap) -> Result<(String, Option<Secret>), ApiError> {
    if let Some(known) = cookie(headers, VISITOR) {
        return Ok((form_token(state, &known), None));
    }
    let mut bytes = [0; 20];
    aws_lc_rs::rand::fill(&mut bytes).map_err(|_| ApiError::unavailable("there are no random bytes"))?;
    let new: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    Ok((form_token(state, &new), Some(Secret::new(new))))
}

/// Has the browser keep the cookie that its form belongs to.
pub(super) fn keep_visitor(response: &mut Response, secret: &Secret) {
    set_cookie(response, VISITOR, secret.expose(), "Lax", limits::SIGN_IN_MS_MAX / 1_000);
}

/// Whether the form that a browser signs in with was sent by a page of ours in this browser: else it could be signed in as
/// somebody else without noticing.
pub(super) fn check_visitor(state: &ApiState, headers: &HeaderMap, token: &str) -> Result<(), ApiError> {
    check_form(state, headers, &cookie(headers, VISITOR).unwrap_or_default(), token)
}

/// The browser's sign-in, if it has one that counts, of somebody who may still do anything.
pub(crate) async fn signed_in(
    state: &ApiState,
    headers: &HeaderMap,
    now: Timestamp,
) -> Result<Option<Browser>, ApiError> {
    let Some(secret) = cookie(headers, SESSION) else { return Ok(None) };
    let Some(login) = state.store.browser_login(&secret, now).await? else { return Ok(None) };
    match state.access.stand(login.identity()).await {
        Ok(identity) => Ok(Some(Browser { login, identity, secret: Secret::new(secret) })),
        Err(why) => {
            tracing::info!(user = ?login.user, login = %login.id, "a browser that is signed in is sent away: {why}");
            Ok(None)
        }
    }
}

/// What a browser that is not known to be signed in holds under the session's name.
pub(super) fn session_text(headers: &HeaderMap) -> Option<String> {
    cookie(headers, SESSION)
}

/// Has the browser keep its new sign-in.
pub(super) fn keep_session(response: &mut Response, secret: &Secret, login: &LoginInfo, now: Timestamp) {
    let seconds = login.expires.millis_since(now) / 1_000;
    set_cookie(response, SESSION, secret.expose(), "Lax", seconds);
}

/// Has the browser forget its sign-in.
pub(super) fn drop_session(response: &mut Response) {
    set_cookie(response, SESSION, "", "Lax", 0);
}

/// Has the browser remember a sign-in that goes out.
pub(super) fn keep_flow(
    state: &ApiState,
    response: &mut Response,
    provider: String,
    memory: &Secret,
    next: Next,
    now: Timestamp,
) -> Result<(), ApiError> {
    // A form that comes back from a SAML provider is another site's.
    let same_site = if provider.starts_with("saml/") { "None" } else { "Lax" };
    let expires_ms = now.plus_millis(limits::SIGN_IN_MS_MAX).millis();
    let flow = Flow { provider, memory: memory.expose().to_owned(), next, expires_ms };
    let text = serde_json::to_vec(&flow).map_err(|_| ApiError::unavailable("the sign-in cannot be remembered"))?;
    let sealed = state.store.keys().seal(FLOW_KEY, FLOW, &text)?;
    set_cookie(response, FLOW, &sealed, same_site, limits::SIGN_IN_MS_MAX / 1_000);
    Ok(())
}

/// The sign-in that this browser went out with, to this provider.
pub(super) fn flow(state: &ApiState, headers: &HeaderMap, provider: &str, now: Timestamp) -> Option<Flow> {
    let opened = state.store.keys().open(FLOW_KEY, FLOW, &cookie(headers, FLOW)?)?;
    let flow: Flow = serde_json::from_slice(&opened).ok()?;
    (flow.provider == provider && flow.expires_ms > now.millis()).then_some(flow)
}

/// Has the browser forget the sign-in that it went out with.
pub(super) fn drop_flow(response: &mut Response) {
    set_cookie(response, FLOW, "", "Lax", 0);
}

/// Lets a browser that is sent elsewhere by a form go there, and nowhere else.
pub(super) fn allow_form_to(response: &mut Response, address: &str) {
    // Scheme, host and port: a path in this place would be looked at for the first step only.
    let Some((scheme, rest)) = address.split_once("://") else { return };
    let host = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b':' | b'.' | b'-' | b'[' | b']');
    if host.is_empty() || !matches!(scheme, "http" | "https") || !host.bytes().all(plain) {
        return;
    }
    let origin = format!("{scheme}://{host}");
    let policy = format!(
        "default-src 'none'; style-src 'self'; form-action 'self' {origin}; frame-ancestors 'none'; base-uri 'none'"
    );
    if let Ok(value) = HeaderValue::from_str(&policy) {
        response.headers_mut().insert(header::CONTENT_SECURITY_POLICY, value);
    }
}

/// Where a request comes from.
pub(super) fn source(peer: Option<PeerAddr>) -> IpAddr {
    peer.map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |PeerAddr(addr)| addr.ip().to_canonical())
}

/// The value of a cookie. One that is there twice is not ours.
fn cookie(headers: &HeaderMap, name: &str) -> Option<String> {
    let mut found = None;
    let pairs =
        headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok()).flat_map(|v| v.split(';'));
    for (key, value) in pairs.filter_map(|pair| pair.trim().split_once('=')) {
        if key == name && found.replace(value.to_owned()).is_some() {
            return None;
        }
    }
    found.filter(|value| !value.is_empty())
}

fn set_cookie(response: &mut Response, name: &str, value: &str, same_site: &str, seconds: i64) {
    let text = format!("{name}={value}; Path=/; Secure; HttpOnly; SameSite={same_site}; Max-Age={seconds}");
    if let Ok(value) = HeaderValue::from_str(&text) {
        response.headers_mut().append(header::SET_COOKIE, value);
    }
}

fn form_token(state: &ApiState, secret: &str) -> String {
    let hash = state.store.keys().hmac(FORM_KEY, secret.as_bytes());
    hash.iter().take(FORM_TOKEN_BYTES).map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_to_go_on_is_never_an_address() {
        let next = |request: Option<&str>, code: Option<&str>, approval: Option<&str>| {
            let [request, code, approval] = [request, code, approval].map(|text| text.map(str::to_owned));
            Next::from(Onward { request, code, approval })
        };
        let approval = "01k3v9x2ab12cd34ef56gh78jk-3";
        for (request, code, page) in [
            (None, None, "/login"),
            (Some("k3v9x2ab12cd"), None, "/confirm/k3v9x2ab12cd"),
            (None, Some("BCDF-GHJK"), "/device?code=BCDF-GHJK"),
            (None, Some("bcdf ghjk"), "/device?code=bcdf-ghjk"),
            (Some("k3v9x2ab12c"), None, "/login"),
            (Some("K3V9X2AB12CD"), None, "/login"),
            (Some("//evil.examp"), None, "/login"),
            (Some("//evil.example"), None, "/login"),
            (Some("https://evil.example"), None, "/login"),
            (Some("../x"), Some("a&b=c"), "/login"),
            (Some("a\r\nb"), Some("%2f"), "/login"),
            (Some("é"), Some(""), "/login"),
        ] {
            assert_eq!(next(request, code, None).page(), page);
            // What cannot be meant is no reason to leave out what can.
            let other = if page == "/login" { format!("/approvals/{approval}") } else { page.to_owned() };
            assert_eq!(next(request, code, Some(approval)).page(), other);
        }
        assert_eq!(next(Some(&"a".repeat(25)), None, None), Next::Home);
        for approval in [
            "",
            "01k3v9x2ab12cd34ef56gh78j",
            "01k3v9x2ab12cd34ef56gh78j/",
            "//evil.example/0123456789012345",
            "..%2f01k3v9x2ab12cd34ef56gh78jk",
        ] {
            assert_eq!(next(None, None, Some(approval)), Next::Home, "{approval}");
        }
        assert_eq!(next(None, None, Some(approval)).login(), format!("/login?approval={approval}"));
    }

    #[test]
    fn one_cookie_of_a_name_counts() {
        let read = |lines: &[&'static str]| {
            let mut headers = HeaderMap::new();
            for line in lines {
                headers.append(header::COOKIE, HeaderValue::from_static(line));
            }
            cookie(&headers, SESSION)
        };
        assert_eq!(read(&["a=b; __Host-lockgate=x"]), Some("x".to_owned()));
        assert_eq!(read(&["a=b", "__Host-lockgate=x;c=d"]), Some("x".to_owned()));
        assert_eq!(read(&["__Host-lockgate=x; __Host-lockgate=y"]), None);
        assert_eq!(read(&["__Host-lockgate=x", "__Host-lockgate=x"]), None);
        assert_eq!(read(&["__Host-lockgate="]), None);
        assert_eq!(read(&["lockgate=x; __host-lockgate=x"]), None);
        assert_eq!(read(&[]), None);
    }

    #[test]
    fn a_form_may_go_to_one_origin_more() {
        for (address, origin) in [
            ("http://127.0.0.1:4000/callback?code=1", Some("'self' http://127.0.0.1:4000;")),
            ("https://idp.example.com/sso", Some("'self' https://idp.example.com;")),
            ("https://idp.example.com", Some("'self' https://idp.example.com;")),
            ("https://a b; script-src */x", None),
            ("", None),
        ] {
            let mut response = Response::default();
            allow_form_to(&mut response, address);
            let policy =
                response.headers().get(header::CONTENT_SECURITY_POLICY).map(|v| v.to_str().unwrap().to_owned());
            match origin {
                Some(origin) => assert!(policy.unwrap().contains(origin), "{address}"),
                None => assert_eq!(policy, None, "{address}"),
            }
        }
    }
}
