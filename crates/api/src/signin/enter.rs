//! The way in: the choice of providers, the way to one and back, and out again.

use super::browser::{self, Next, Onward};
use super::{Answer, Choice, NotSignedIn, Protocol, Way, login_of};
use crate::body;
use crate::error::ApiError;
use crate::html::{escape, page};
use crate::state::{ApiState, NotProven, PeerAddr};
use axum::Extension;
use axum::extract::rejection::{FormRejection, QueryRejection};
use axum::extract::{Form, Path, Query, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Redirect, Response};
use lockgate_core::{Secret, Timestamp};
use lockgate_store::{LOCAL, LoginInfo, NewLogin, PeopleFilter, clock};
use serde::Deserialize;
use std::net::IpAddr;

/// Where to go on, as the address says.
#[derive(Default, Deserialize)]
pub(crate) struct Arriving {
    #[serde(flatten)]
    onward: Onward,
    /// Whoever is signed in wants to be somebody else.
    again: Option<String>,
}

/// The form of local users.
#[derive(Deserialize)]
pub(crate) struct Credentials {
    user: String,
    password: String,
    form: String,
    #[serde(flatten)]
    onward: Onward,
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
    query: Result<Query<Arriving>, QueryRejection>,
) -> Response {
    let now = clock::now();
    let Arriving { onward, again } = query.map(|q| q.0).unwrap_or_default();
    let next = Next::from(onward);
    match browser::signed_in(&state, &headers, now).await {
        Err(e) => failure(&e),
        Ok(Some(_)) if again.is_none() && next != Next::Home => Redirect::to(&next.page()).into_response(),
        Ok(Some(browser)) if again.is_none() => {
            let token = browser.form_token(&state);
            page(StatusCode::OK, "Signed in", &home(&browser.login, &token))
        }
        Ok(_) => ask(&state, &headers, &next, StatusCode::OK, None).await,
    }
}

/// The page with the ways to sign in.
async fn ask(state: &ApiState, headers: &HeaderMap, next: &Next, status: StatusCode, wrong: Option<&str>) -> Response {
    let local = PeopleFilter { source: Some(LOCAL.to_owned()), limit: 1, ..PeopleFilter::default() };
    let local = match state.store.list_people(&local).await {
        Ok(people) => !people.is_empty(),
        Err(e) => return failure(&e.into()),
    };
    let mut content = wrong.map(|text| format!("<p role=\"alert\" class=\"alert\">{text}</p>")).unwrap_or_default();
    content.push_str(&choices(&state.sign_in.choices(), next, local));
    if !local {
        return page(status, "Sign in", &content);
    }
    let (token, new) = match browser::visitor_form(state, headers) {
        Ok(form) => form,
        Err(e) => return failure(&e),
    };
    content.push_str(&password_form(&token, next));
    let mut response = page(status, "Sign in", &content);
    if let Some(secret) = new {
        browser::keep_visitor(&mut response, &secret);
    }
    response
}

/// Signs a local user in by password.
pub(crate) async fn local(
    State(state): State<ApiState>,
    peer: Option<Extension<PeerAddr>>,
    headers: HeaderMap,
    form: Result<Form<Credentials>, FormRejection>,
) -> Response {
    let now = clock::now();
    let source = browser::source(peer.map(|Extension(p)| p));
    let Credentials { user, password, form, onward } = match body::form(form) {
        Ok(fields) => fields,
        Err(e) => return failure(&e),
    };
    let password = Secret::new(password);
    let next = Next::from(onward);
    if let Err(e) = browser::check_visitor(&state, &headers, &form) {
        return failure(&e);
    }
    let proven = match state.passwords.prove(user.trim(), &password, source).await {
        Ok(proven) => proven,
        Err(NotProven::Wrong) => {
            let wrong = "User name or password are not right.";
            return ask(&state, &headers, &next, StatusCode::FORBIDDEN, Some(wrong)).await;
        }
        Err(NotProven::TooSoon(seconds)) => {
            return failure(&ApiError::too_many(i64::try_from(seconds).unwrap_or(i64::MAX)));
        }
        Err(NotProven::Busy) => return failure(&ApiError::unavailable("too many passwords are looked at now")),
        Err(NotProven::Failed) => return failure(&ApiError::unavailable("the password cannot be looked at now")),
    };
    let new = login_of(proven, source.to_string(), state.sign_in.login_expires(now));
    keep(&state, source, &headers, new, &next, now).await
}

/// Sends the browser to a provider of OpenID Connect.
pub(crate) async fn start_oidc(
    State(state): State<ApiState>,
    Path(name): Path<String>,
    peer: Option<Extension<PeerAddr>>,
    query: Result<Query<Arriving>, QueryRejection>,
) -> Response {
    let onward = query.map(|q| q.0.onward).unwrap_or_default();
    start(&state, Protocol::Oidc, &name, browser::source(peer.map(|Extension(p)| p)), onward).await
}

/// Sends the browser to a SAML provider.
pub(crate) async fn start_saml(
    State(state): State<ApiState>,
    Path(name): Path<String>,
    peer: Option<Extension<PeerAddr>>,
    query: Result<Query<Arriving>, QueryRejection>,
) -> Response {
    let onward = query.map(|q| q.0.onward).unwrap_or_default();
    start(&state, Protocol::Saml, &name, browser::source(peer.map(|Extension(p)| p)), onward).await
}

async fn start(state: &ApiState, protocol: Protocol, name: &str, source: IpAddr, onward: Onward) -> Response {
    let now = clock::now();
    let next = Next::from(onward);
    let begun = match state.sign_in.begin(protocol, name, now).await {
        Ok(begun) => begun,
        Err(why) => return not_signed_in(state, source, "", why, now),
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
    let mut response = match query {
        Err(_) => failure(&ApiError::bad_request("this is not the answer of an identity provider")),
        Ok(Query(returned)) => match (browser::flow(&state, &headers, &format!("oidc/{name}"), now), returned) {
            (None, _) => {
                let why = NotSignedIn::Refused(format!("{name}: no sign-in was begun in this browser"));
                not_signed_in(&state, source, "", why, now)
            }
            (Some(_), Returned { error: Some(error), .. }) => {
                let error: String = error.chars().filter(|c| c.is_ascii_alphanumeric() || *c == '_').take(64).collect();
                let why = NotSignedIn::Refused(format!("{name}: the provider said `{error}`"));
                not_signed_in(&state, source, "", why, now)
            }
            (Some(flow), Returned { code: Some(code), state: Some(back), iss, .. }) => {
                // Each costs the provider a question. Nobody brings wrong ones by mistake, one after the other.
                match state.exchanges.wait_s(source, now) {
                    Some(wait_s) => failure(&ApiError::too_many(wait_s)),
                    None => {
                        let answer = Answer::Oidc { code: &code, state: &back, issuer: iss.as_deref() };
                        enter(&state, source, &headers, &name, Some(flow), answer, now).await
                    }
                }
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
        let LoginInfo { id, user, .. } = &browser.login;
        match leaving.everywhere {
            Some(_) => {
                state.store.end_login(id, user, "signed out", now).await?;
            }
            None => {
                state.store.sign_out(browser.secret()).await?;
                state.store.end_login_if_idle(id, user, now).await?;
            }
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
        Some(flow) => (Some(Secret::new(flow.memory)), flow.next),
        None => (None, Next::default()),
    };
    let mut proven = match state.sign_in.finish(name, memory.as_ref(), answer, now).await {
        Ok(proven) => proven,
        Err(why) => {
            if matches!((&why, answer), (NotSignedIn::Refused(_), Answer::Oidc { .. })) {
                state.exchanges.refused(source, now);
            }
            return not_signed_in(state, source, "", why, now);
        }
    };
    proven.source = source.to_string();
    keep(state, source, headers, proven, &next, now).await
}

/// Makes the login, and signs the browser in with it.
async fn keep(
    state: &ApiState,
    source: IpAddr,
    headers: &HeaderMap,
    proven: NewLogin,
    next: &Next,
    now: Timestamp,
) -> Response {
    // Whom a directory has disabled no provider signs in.
    if let Err(why) = stand(state, &proven, now).await {
        return not_signed_in(state, source, &proven.user, NotSignedIn::Refused(why), now);
    }
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

/// Whether somebody may do anything. Whom this provider refused earlier it vouches for now.
async fn stand(state: &ApiState, proven: &NewLogin, now: Timestamp) -> Result<(), String> {
    let Err(why) = state.access.stand(proven.identity()).await else { return Ok(()) };
    let NewLogin { provider, issuer, user, .. } = proven;
    match state.store.lift_suspension(provider, issuer, user, user, now).await {
        Ok(true) => state.access.stand(proven.identity()).await.map(|_| ()),
        Ok(false) => Err(why),
        Err(error) => Err(error.to_string()),
    }
}

fn not_signed_in(state: &ApiState, source: IpAddr, user: &str, why: NotSignedIn, now: Timestamp) -> Response {
    match why {
        NotSignedIn::NoProvider => failure(&ApiError::not_found("identity provider")),
        NotSignedIn::Away(why) => {
            state.sign_in.refused(source, "", &why);
            failure(&ApiError::unavailable("your identity provider does not answer"))
        }
        NotSignedIn::Refused(why) => {
            // After looking, so that strangers behind the same address keep nobody out.
            if let Some(wait_s) = state.throttle.wait_s(source, now) {
                return failure(&ApiError::too_many(wait_s));
            }
            state.throttle.refused(source, now);
            state.sign_in.refused(source, user, &why);
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
    let mut response = page(e.status, "Sign in", &text);
    if let Some(seconds) = e.retry_after_s {
        response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    }
    response
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

fn password_form(token: &str, next: &Next) -> String {
    let onward = next
        .parameter()
        .map(|(name, value)| format!("<input type=\"hidden\" name=\"{name}\" value=\"{}\">", escape(value)));
    format!(
        "<form method=\"post\" action=\"/login\"><input type=\"hidden\" name=\"form\" value=\"{token}\">{}\
         <label for=\"user\">User name</label><input id=\"user\" name=\"user\" required maxlength=\"256\" autocomplete=\"username\" \
         autocapitalize=\"none\" spellcheck=\"false\"><label for=\"password\">Password</label>\
         <input id=\"password\" name=\"password\" type=\"password\" required maxlength=\"1024\" autocomplete=\"current-password\">\
         <p class=\"buttons\"><button>Sign in</button></p></form>",
        onward.unwrap_or_default(),
    )
}

fn choices(choices: &[Choice], next: &Next, local: bool) -> String {
    if choices.is_empty() && !local {
        return "<p role=\"alert\" class=\"alert\">No identity provider is configured, and there are no local users.</p>\
                <p>The gateway's administrator adds a provider under <code>identity</code> in its configuration, or a user: \
                <code>lockgate user add</code>.</p>"
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
        Next::Request(_) | Next::Device(_) => {
            "<p>Somebody asks to be logged in as you. Sign in to see what it is about.</p>"
        }
        Next::Approval(_) => "<p>A request waits for approval. Sign in to see what it is about.</p>",
        Next::Home => "<p>Sign in to this gateway.</p>",
    };
    if links.is_empty() { why.to_owned() } else { format!("{why}<ul class=\"choices\">{links}</ul>") }
}
