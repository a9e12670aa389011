//! Confirming what was asked for elsewhere: the page shows who asks, from where and for what, and the person who is signed in
//! says yes or no. Nothing is confirmed by opening an address.

use super::browser::{self, Browser, Next};
use super::enter::{failure, sentence, who};
use crate::body;
use crate::error::ApiError;
use crate::html::{escape, page};
use crate::state::{ApiState, PeerAddr};
use axum::Extension;
use axum::extract::rejection::{FormRejection, QueryRejection};
use axum::extract::{Form, Path, Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Redirect, Response};
use lockgate_core::Timestamp;
use lockgate_store::{Asker, LoginRequest, RequestError, RequestState, clock};
use serde::Deserialize;

/// The code that a device shows, as typed.
#[derive(Default, Deserialize)]
pub(crate) struct Typed {
    #[serde(default)]
    code: Option<String>,
}

/// What the person says.
#[derive(Deserialize)]
pub(crate) struct Decision {
    form: String,
    action: String,
    /// A device's code, once more.
    #[serde(default)]
    code: String,
}

/// Shows a request: that of a command line, or that of a connection behind its link.
pub(crate) async fn confirm(State(state): State<ApiState>, Path(id): Path<String>, headers: HeaderMap) -> Response {
    let now = clock::now();
    let next = Next::request(id.clone());
    if next == Next::Home {
        return gone();
    }
    let browser = match browser::signed_in(&state, &headers, now).await {
        Ok(Some(browser)) => browser,
        Ok(None) => return Redirect::to(&next.login()).into_response(),
        Err(e) => return failure(&e),
    };
    match state.store.login_request(&id, now).await {
        // A device's is found by its code only: whoever follows a link has not seen the device.
        Ok(Some(request)) if request.asker != Asker::Device => show(&state, &browser, &request, now),
        Ok(_) => gone(),
        Err(e) => failure(&e.into()),
    }
}

/// The page on which a device's code is typed in; with a code, what it stands for.
pub(crate) async fn device(
    State(state): State<ApiState>,
    headers: HeaderMap,
    query: Result<Query<Typed>, QueryRejection>,
) -> Response {
    let now = clock::now();
    let code = query.ok().and_then(|query| query.0.code).filter(|code| !code.trim().is_empty());
    let browser = match browser::signed_in(&state, &headers, now).await {
        Ok(Some(browser)) => browser,
        Ok(None) => {
            let next = match code.map(Next::device) {
                Some(next @ Next::Device(_)) => next,
                _ => Next::device("-".to_owned()),
            };
            return Redirect::to(&next.login()).into_response();
        }
        Err(e) => return failure(&e),
    };
    let Some(code) = code.filter(|code| code != "-") else { return ask_code(&browser, None) };
    if let Some(wait_s) = state.throttle.person_wait_s(&browser.login.user, now) {
        return failure(&ApiError::too_many(wait_s));
    }
    match state.store.device_request(&code, now).await {
        Ok(Some(request)) => show(&state, &browser, &request, now),
        Ok(None) => {
            // Who tries codes out is somebody who has signed in, and is kept waiting alone.
            state.throttle.person_refused(&browser.login.user, now);
            ask_code(&browser, Some("Nothing waits under this code. It may be mistyped or too old."))
        }
        Err(e) => failure(&e.into()),
    }
}

/// Counts what the person says.
pub(crate) async fn decide(
    State(state): State<ApiState>,
    Path(id): Path<String>,
    headers: HeaderMap,
    peer: Option<Extension<PeerAddr>>,
    form: Result<Form<Decision>, FormRejection>,
) -> Response {
    let now = clock::now();
    let source = browser::source(peer.map(|Extension(p)| p));
    match decided(&state, &id, &headers, form, now).await {
        Ok(response) => response,
        Err(NotDecided::Page(e)) => failure(&e),
        Err(NotDecided::Request(RequestError::WrongUser { asked, found })) => {
            state.throttle.person_refused(&found, now);
            let reason = format!("`{found}` wanted to confirm a connection as `{asked}`");
            state.sign_in.refused(source, &asked, &reason);
            let text = format!(
                "<p role=\"alert\" class=\"alert\">This connection asks for <b>{}</b>, and you are signed in as <b>{}</b>.</p>\
                 <p><a href=\"/login?again=1&amp;request={}\">Sign in as somebody else</a></p>",
                escape(&asked),
                escape(&found),
                escape(&id)
            );
            page(StatusCode::FORBIDDEN, "Not yours", &text)
        }
        Err(NotDecided::Request(RequestError::Store(e))) => failure(&e.into()),
        Err(NotDecided::Request(e)) => {
            failure(&ApiError::conflict(sentence(&e.to_string()), "begin again where you asked for it"))
        }
    }
}

enum NotDecided {
    Page(ApiError),
    Request(RequestError),
}

impl From<ApiError> for NotDecided {
    fn from(e: ApiError) -> Self {
        NotDecided::Page(e)
    }
}

impl From<RequestError> for NotDecided {
    fn from(e: RequestError) -> Self {
        NotDecided::Request(e)
    }
}

async fn decided(
    state: &ApiState,
    id: &str,
    headers: &HeaderMap,
    form: Result<Form<Decision>, FormRejection>,
    now: Timestamp,
) -> Result<Response, NotDecided> {
    let decision = body::form(form)?;
    let browser = browser::signed_in(state, headers, now).await?;
    let browser = browser.ok_or_else(|| ApiError::unauthenticated("you are not signed in"))?;
    browser.check_form(state, headers, &decision.form)?;
    let request = state.store.login_request(id, now).await.map_err(RequestError::from)?;
    let request = request.ok_or(RequestError::Unknown)?;
    if request.asker == Asker::Device && request.code != decision.code {
        return Err(RequestError::Unknown.into());
    }
    match decision.action.as_str() {
        "approve" => {}
        "deny" => {
            // A link that somebody else asked for as this user, or this user as somebody else: only its own user ends it.
            if let Asker::Link { user, .. } = &request.asker
                && *user != browser.login.user
            {
                return Err(RequestError::WrongUser { asked: user.clone(), found: browser.login.user }.into());
            }
            state.store.deny_login_request(id, now).await?;
            if let Asker::Browser { redirect, state, .. } = &request.asker {
                return Ok(back(redirect, &format!("error=access_denied&state={state}")));
            }
            return Ok(page(
                StatusCode::OK,
                "Denied",
                "<p role=\"status\" class=\"said\">Nobody was logged in. You can close this page.</p>",
            ));
        }
        _ => return Err(ApiError::bad_request("the form names no action").into()),
    }
    let code = state.store.approve_login_request(id, &browser.login.id, now).await?;
    tracing::info!(request = %id, user = %browser.login.user, login = %browser.login.id, "login request confirmed");
    if let (Asker::Browser { redirect, state, .. }, Some(code)) = (&request.asker, code) {
        return Ok(back(redirect, &format!("code={}&state={state}", code.expose())));
    }
    let text = match request.asker {
        Asker::Link { .. } => "Your connection goes on. You can close this page.",
        Asker::Device | Asker::Browser { .. } => "Your command line is logged in. You can close this page.",
    };
    Ok(page(StatusCode::OK, "Logged in", &format!("<p role=\"status\" class=\"said\">{text}</p>")))
}

/// Sends the browser back to the command line on its own machine.
fn back(redirect: &str, query: &str) -> Response {
    Redirect::to(&format!("{redirect}?{query}")).into_response()
}

fn show(state: &ApiState, browser: &Browser, request: &LoginRequest, now: Timestamp) -> Response {
    if request.state != RequestState::Pending {
        return gone();
    }
    let minutes = request.expires.millis_since(now) / 60_000 + 1;
    let mut rows = String::new();
    let mut add = |name: &str, value: &str| rows.push_str(&format!("<dt>{name}</dt><dd>{}</dd>", escape(value)));
    let (title, question, warning) = match &request.asker {
        Asker::Browser { .. } => (
            "Log in on the command line",
            "<p>The command line on this machine asks to be logged in as you.</p>".to_owned(),
            "Confirm only if you have just typed <code>lockgate login</code> yourself.",
        ),
        Asker::Device => (
            "Log in a device",
            format!(
                "<p>A device that shows this code asks to be logged in as you:</p><p class=\"code\">{}</p>",
                request.code
            ),
            "Confirm only if you began this yourself and have the device with this code before you. Whoever sent you this \
             code or a link to this page would be logged in as you.",
        ),
        Asker::Link { user, target } => {
            add("User", user);
            add("Target", target.as_str());
            (
                "Log in a connection",
                format!(
                    "<p>A database connection asks to be logged in as you. Its window shows this code:</p>\
                     <p class=\"code\">{}</p>",
                    request.code
                ),
                "Confirm only if your own client shows the same code. Whoever sent you this link would be connected as you.",
            )
        }
    };
    add("From", &request.source);
    add("Since", &request.created.to_string());
    let content = format!(
        "{}{question}<dl>{rows}</dl><p class=\"alert\">{warning}</p>\
         <form method=\"post\" action=\"/confirm/{}\"><input type=\"hidden\" name=\"form\" value=\"{}\">\
         <input type=\"hidden\" name=\"code\" value=\"{}\">\
         <p class=\"buttons\"><button name=\"action\" value=\"approve\">Log in</button> \
         <button class=\"deny\" name=\"action\" value=\"deny\">Deny</button></p></form>\
         <p class=\"who\">It waits {minutes} more minutes. <a href=\"/login?again=1&amp;request={}\">Sign in as somebody else</a></p>",
        who(&browser.login),
        request.id,
        browser.form_token(state),
        request.code,
        request.id,
    );
    let mut response = page(StatusCode::OK, title, &content);
    if let Asker::Browser { redirect, .. } = &request.asker {
        // The answer to the form leads there, and browsers look at the policy of the page that has the form.
        browser::allow_form_to(&mut response, redirect);
    }
    response
}

fn ask_code(browser: &Browser, wrong: Option<&str>) -> Response {
    let said = wrong.map(|text| format!("<p role=\"alert\" class=\"alert\">{text}</p>")).unwrap_or_default();
    let status = if wrong.is_some() { StatusCode::NOT_FOUND } else { StatusCode::OK };
    let content = format!(
        "{}{said}<form method=\"get\" action=\"/device\"><label for=\"code\">The code that your device shows</label>\
         <input id=\"code\" name=\"code\" required maxlength=\"24\" autocomplete=\"off\" autocapitalize=\"characters\" \
         spellcheck=\"false\" autofocus><p class=\"buttons\"><button>Continue</button></p></form>",
        who(&browser.login)
    );
    page(status, "Log in a device", &content)
}

fn gone() -> Response {
    let e = ApiError::not_found("login request");
    let text = format!(
        "<p role=\"alert\" class=\"alert\">{}. It may be too old, or decided already.</p>\
         <p>Begin again where you asked for it.</p>",
        escape(&sentence(&e.message))
    );
    page(e.status, "Log in", &text)
}
