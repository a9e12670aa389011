//! The way in: the choice of providers, the way to one and back, and out again.

use super::browser::{self, Next};
use super::{Answer, Choice, NotSignedIn, Protocol, Way};
use crate::body;
use crate::error::ApiError;
use crate::html::{escape, page};
use crate::state::{ApiState, PeerAddr};
use axum::Extension;
use axum::extract::rejection::{FormRejection, QueryRejection};
use axum::extract::{Form, Path, Query, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Redirect, Response};
use lockgate_core::Timestamp;
use lockgate_store::{LoginInfo, clock};
use serde::Deserialize;
use std::net::IpAddr;

/// Where to go on, as the address says.
#[derive(Default, Deserialize)]
pub(crate) struct Onward {
    #[serde(default)]
    request: Option<String>,
    #[serde(default)]
    code: Option<String>,
    /// Whoever is signed in wants to be somebody else.
    #[serde(default)]
    again: Option<String>,
}

/// What a provider of OpenID Connect adds to our address.
#[derive(Deserialize)]
pub(crate) struct Returned {
    #[serde(default)]
    code: Option<String>,
    #[serde(default)]
    state: Option<String>,
    #[serde(default)]
    iss: Option<String>,
    #[serde(default)]
    error: Option<String>,
}

/// What a SAML provider has the browser post.
#[derive(Deserialize)]
pub(crate) struct Posted {
    #[serde(rename = "SAMLResponse")]
    response: String,
}

/// The form that signs a browser out.
#[derive(Deserialize)]
pub(crate) struct Leaving {
    form: String,
    #[serde(default)]
    everywhere: Option<String>,
}

/// The sign-in page; for who is signed in, who that is.
pub(crate) async fn login(
    State(state): State<ApiState>,
    headers: HeaderMap,
    query: Result<Query<Onward>, QueryRejection>,
) -> Response {
    let now = clock::now();
    let Onward { request, code, again } = query.map(|q| q.0).unwrap_or_default();
    let next = Next::new(request, code);
    match browser::signed_in(&state, &headers, now).await {
        Err(e) => failure(&e),
        Ok(Some(_)) if again.is_none() && next != Next::default() => Redirect::to(&next.page()).into_response(),
        Ok(Some(browser)) if again.is_none() => {
            let token = browser.form_token(&state);
            page(StatusCode::OK, "Signed in", &home(&browser.login, &token))
        }
        Ok(_) => page(StatusCode::OK, "Sign in", &choices(&state.sign_in.choices(), &next)),
    }
}

/// Sends the browser to a provider of OpenID Connect.
pub(crate) async fn start_oidc(
    State(state): State<ApiState>,
    Path(name): Path<String>,
    peer: Option<Extension<PeerAddr>>,
    query: Result<Query<Onward>, QueryRejection>,
) -> Response {
    let onward = query.map(|q| q.0).unwrap_or_default();
    start(&state, Protocol::Oidc, &name, browser::source(peer.map(|Extension(p)| p)), onward).await
}

/// Sends the browser to a SAML provider.
pub(crate) async fn start_saml(
    State(state): State<ApiState>,
    Path(name): Path<String>,
    peer: Option<Extension<PeerAddr>>,
    query: Result<Query<Onward>, QueryRejection>,
) -> Response {
    let onward = query.map(|q| q.0).unwrap_or_default();
    start(&state, Protocol::Saml, &name, browser::source(peer.map(|Extension(p)| p)), onward).await
}

async fn start(state: &ApiState, protocol: Protocol, name: &str, source: IpAddr, onward: Onward) -> Response {
    let now = clock::now();
    let next = Next::new(onward.request, onward.code);
    if let Some(wait_s) = state.throttle.wait_s(source, now) {
        return failure(&ApiError::too_many(wait_s));
    }
    let begun = match state.sign_in.begin(protocol, name, now).await {
        Ok(begun) => begun,
        Err(why) => return not_signed_in(state, source, why, now),
    };
    let mut response = match &begun.way {
        Way::Redirect(address) => Redirect::to(address).into_response(),
        Way::Post { action, fields } => {
            let hidden: String = fields
                .iter()
                .map(|(name, value)| format!("<input type=\"hidden\" name=\"{name}\" value=\"{}\">", escape(value)))
                .collect();
            let text = format!(
                "<p>Your identity provider <b>{}</b> takes it from here.</p><form method=\"post\" action=\"{}\">{hidden}\
                 <p class=\"buttons\"><button autofocus>Continue</button></p></form>",
                escape(name),
                escape(action)
            );
            let mut response = page(StatusCode::OK, "Sign in", &text);
            browser::allow_form_to(&mut response, action);
            response
        }
    };
    let provider = format!("{}/{name}", protocol.path());
    match browser::keep_flow(state, &mut response, provider, &begun.memory, next, now) {
        Ok(()) => response,
        Err(e) => failure(&e),
    }
}

/// Takes what a provider of OpenID Connect sent the browser back with.
pub(crate) async fn callback(
    State(state): State<ApiState>,
    Path(name): Path<String>,
    peer: Option<Extension<PeerAddr>>,
    headers: HeaderMap,
    query: Result<Query<Returned>, QueryRejection>,
) -> Response {
    let now = clock::now();
    let source = browser::source(peer.map(|Extension(p)| p));
    if let Some(wait_s) = state.throttle.wait_s(source, now) {
        return failure(&ApiError::too_many(wait_s));
    }
    let mut response = match query {
        Err(_) => failure(&ApiError::bad_request("this is not the answer of an identity provider")),
        Ok(Query(returned)) => match (browser::flow(&state, &headers, &format!("oidc/{name}"), now), returned) {
            (None, _) => {
                let why = NotSignedIn::Refused(format!("{name}: no sign-in was begun in this browser"));
                not_signed_in(&state, source, why, now)
            }
            (Some(_), Returned { error: Some(error), .. }) => {
                let error: String = error.chars().filter(|c| c.is_ascii_alphanumeric() || *c == '_').take(64).collect();
                let why = NotSignedIn::Refused(format!("{name}: the provider said `{error}`"));
                not_signed_in(&state, source, why, now)
            }
            (Some(flow), Returned { code: Some(code), state: Some(back), iss, .. }) => {
                let answer = Answer::Oidc { code: &code, state: &back, issuer: iss.as_deref() };
                enter(&state, source, &headers, &name, Some(flow), answer, now).await
            }
            (Some(_), _) => failure(&ApiError::bad_request("this is not the answer of an identity provider")),
        },
    };
    browser::drop_flow(&mut response);
    response
}

/// Takes what a SAML provider had the browser post.
pub(crate) async fn acs(
    State(state): State<ApiState>,
    Path(name): Path<String>,
    peer: Option<Extension<PeerAddr>>,
    headers: HeaderMap,
    form: Result<Form<Posted>, FormRejection>,
) -> Response {
    let now = clock::now();
    let source = browser::source(peer.map(|Extension(p)| p));
    if let Some(wait_s) = state.throttle.wait_s(source, now) {
        return failure(&ApiError::too_many(wait_s));
    }
    let mut response = match body::form(form) {
        Err(e) => failure(&e),
        Ok(posted) => {
            // Without a sign-in that was begun here it is one that began at the provider, which the settings allow or not.
            let flow = browser::flow(&state, &headers, &format!("saml/{name}"), now);
            let answer = Answer::Saml { response: &posted.response };
            enter(&state, source, &headers, &name, flow, answer, now).await
        }
    };
    browser::drop_flow(&mut response);
    response
}

/// Our side of the agreement with a SAML provider.
pub(crate) async fn metadata(State(state): State<ApiState>, Path(name): Path<String>) -> Response {
    match state.sign_in.metadata(&name) {
        Some(xml) => ([(header::CONTENT_TYPE, "application/samlmetadata+xml")], xml).into_response(),
        None => failure(&ApiError::not_found("identity provider")),
    }
}

/// Signs the browser out; on demand with everything that its login made.
pub(crate) async fn leave(
    State(state): State<ApiState>,
    headers: HeaderMap,
    form: Result<Form<Leaving>, FormRejection>,
) -> Response {
    let now = clock::now();
    let left = async {
        let leaving = body::form(form)?;
        let Some(browser) = browser::signed_in(&state, &headers, now).await? else { return Ok::<(), ApiError>(()) };
        browser.check_form(&state, &headers, &leaving.form)?;
        match leaving.everywhere {
            Some(_) => {
                state.store.end_login(&browser.login.id, "signed out", now).await?;
            }
            None => state.store.sign_out(browser.secret()).await?,
        }
        Ok(())
    };
    match left.await {
        Ok(()) => {
            let mut response = Redirect::to("/login").into_response();
            browser::drop_session(&mut response);
            response
        }
        Err(e) => failure(&e),
    }
}

/// Signs the browser in, if the answer proves somebody.
async fn enter(
    state: &ApiState,
    source: IpAddr,
    headers: &HeaderMap,
    name: &str,
    flow: Option<browser::Flow>,
    answer: Answer<'_>,
    now: Timestamp,
) -> Response {
    let (memory, next) = match flow {
        Some(flow) => (Some(lockgate_core::Secret::new(flow.memory)), flow.next),
        None => (None, Next::default()),
    };
    let mut proven = match state.sign_in.finish(name, memory.as_ref(), answer, now).await {
        Ok(proven) => proven,
        Err(why) => return not_signed_in(state, source, why, now),
    };
    proven.source = source.to_string();
    // Always a new secret: one that somebody else put into this browser is good for nothing.
    let before = browser::session_text(headers);
    match state.store.sign_in(proven, before.as_deref(), now).await {
        Ok((secret, login)) => {
            state.sign_in.signed_in(&login);
            let mut response = Redirect::to(&next.page()).into_response();
            browser::keep_session(&mut response, &secret, &login, now);
            response
        }
        Err(e) => failure(&e.into()),
    }
}

fn not_signed_in(state: &ApiState, source: IpAddr, why: NotSignedIn, now: Timestamp) -> Response {
    match why {
        NotSignedIn::NoProvider => failure(&ApiError::not_found("identity provider")),
        NotSignedIn::Away(why) => {
            state.sign_in.refused(source, "", &why);
            failure(&ApiError::unavailable("your identity provider does not answer"))
        }
        NotSignedIn::Refused(why) => {
            state.throttle.refused(source, now);
            state.sign_in.refused(source, "", &why);
            failure(&ApiError::forbidden(
                "you could not be signed in",
                "begin again; if it keeps failing, ask the gateway's administrator to look into its log",
            ))
        }
    }
}

/// A page that says what went wrong and how to go on.
pub(super) fn failure(e: &ApiError) -> Response {
    let text = format!(
        "<p role=\"alert\" class=\"alert\">{}. {}.</p><p><a href=\"/login\">Sign in</a></p>",
        escape(&sentence(&e.message)),
        escape(&sentence(&e.hint))
    );
    page(e.status, "Sign in", &text)
}

/// The text with a capital letter, as sentences have on pages.
pub(super) fn sentence(text: &str) -> String {
    let mut rest = text.chars();
    rest.next().map_or_else(String::new, |first| first.to_uppercase().chain(rest).collect())
}

/// Who is signed in, as every page with a form says it.
pub(super) fn who(login: &LoginInfo) -> String {
    format!("<p class=\"who\">Signed in as <b>{}</b> with {}.</p>", escape(&login.user), escape(&login.provider))
}

fn home(login: &LoginInfo, token: &str) -> String {
    let groups: Vec<&str> = login.groups.iter().map(String::as_str).collect();
    let groups = if groups.is_empty() { "none".to_owned() } else { escape(&groups.join(", ")) };
    format!(
        "{}<dl><dt>Groups</dt><dd>{groups}</dd><dt>Until</dt><dd>{}</dd></dl>\
         <h2>Log in somewhere else</h2>\
         <p>A command line shows you a code? <a href=\"/device\">Enter the code</a>.</p>\
         <form method=\"post\" action=\"/logout\"><input type=\"hidden\" name=\"form\" value=\"{token}\">\
         <p class=\"buttons\"><button class=\"plain\">Sign out</button> \
         <button class=\"deny\" name=\"everywhere\" value=\"yes\">Sign out everywhere</button></p></form>\
         <p class=\"who\">“Everywhere” also ends every session and token that this login made.</p>",
        who(login),
        login.expires
    )
}

fn choices(choices: &[Choice], next: &Next) -> String {
    if choices.is_empty() {
        return "<p role=\"alert\" class=\"alert\">No identity provider is configured.</p>\
                <p>The gateway's administrator adds one under <code>identity</code> in its configuration, or makes you a \
                token: <code>lockgate token create</code>.</p>"
            .to_owned();
    }
    let links: String = choices
        .iter()
        .map(|choice| {
            format!(
                "<li><a class=\"button\" href=\"/{}/{}/login{}\">Sign in with {}</a></li>",
                choice.protocol.path(),
                escape(&choice.name),
                escape(&next.query()),
                escape(&choice.name)
            )
        })
        .collect();
    let why = match next {
        Next { request: Some(_), .. } | Next { code: Some(_), .. } => {
            "<p>Somebody asks to be logged in as you. Sign in to see what it is about.</p>"
        }
        Next { .. } => "<p>Sign in to this gateway.</p>",
    };
    format!("{why}<ul class=\"choices\">{links}</ul>")
}
