//! The page behind the address that a held client is shown. Plain HTML without script: it shows the request to who is signed in
//! with this browser; to others it says how to decide on the command line, and takes a token in a form. Nothing about a request is
//! told before somebody is proven. Another site's form can do nothing: it has neither a token nor the word of a signed-in browser's forms.

use crate::auth::{self, Caller};
use crate::body;
use crate::error::ApiError;
use crate::handlers::approvals;
use crate::html;
use crate::signin::browser::{self, Next};
use crate::state::{ApiState, PeerAddr};
use axum::Extension;
use axum::extract::rejection::FormRejection;
use axum::extract::{Form, Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use lockgate_core::Secret;
use lockgate_store::approvals::{ApprovalInfo, Choice};
use lockgate_store::clock;
use serde::Deserialize;

#[derive(Deserialize)]
pub(crate) struct Fields {
    /// Of who is not signed in with this browser.
    token: Option<String>,
    /// Of who is: the word that belongs to the browser.
    form: Option<String>,
    action: String,
    #[serde(default)]
    reason: String,
}

/// How a form proves whose it is.
#[derive(Clone, Copy)]
enum Proof<'a> {
    /// By a token that is typed in.
    Token,
    /// By the browser's sign-in, and the word that its forms carry.
    SignedIn(&'a str),
}

/// The request, to who is signed in and may see it; else the form, the same for every id that could be one.
pub(crate) async fn show(State(state): State<ApiState>, Path(id): Path<String>, headers: HeaderMap) -> Response {
    if Next::approval(id.clone()) == Next::Home {
        return failure(&ApiError::not_found("approval"), None);
    }
    match shown(&state, &id, &headers).await {
        Ok(Some(response)) => response,
        Ok(None) => {
            let content = format!("{}{}", how_to(&id), form(&id, false, Proof::Token));
            html::page(StatusCode::OK, "Approval", &content)
        }
        Err(e) => failure(&e, Some(&id)),
    }
}

async fn shown(state: &ApiState, id: &str, headers: &HeaderMap) -> Result<Option<Response>, ApiError> {
    let Some(browser) = browser::signed_in(state, headers, clock::now()).await? else { return Ok(None) };
    let caller = Caller::of_browser(state, &browser).await?;
    let row = approvals::find(state, &caller, id).await?;
    let word = browser.form_token(state);
    Ok(Some(html::page(StatusCode::OK, "Approval", &details(&row, &caller, Proof::SignedIn(&word)))))
}

/// Shows the request to whoever is proven, or counts their decision.
pub(crate) async fn decide(
    State(state): State<ApiState>,
    peer: Option<Extension<PeerAddr>>,
    Path(id): Path<String>,
    headers: HeaderMap,
    fields: Result<Form<Fields>, FormRejection>,
) -> Response {
    if Next::approval(id.clone()) == Next::Home {
        return failure(&ApiError::not_found("approval"), None);
    }
    match answer(&state, peer.map(|Extension(p)| p), &id, &headers, fields).await {
        Ok(response) => response,
        Err(e) => failure(&e, Some(&id)),
    }
}

async fn answer(
    state: &ApiState,
    peer: Option<PeerAddr>,
    id: &str,
    headers: &HeaderMap,
    fields: Result<Form<Fields>, FormRejection>,
) -> Result<Response, ApiError> {
    let fields = body::form(fields)?;
    let now = clock::now();
    let (caller, word) = match (fields.token.map(Secret::new), fields.form) {
        (Some(token), _) => (auth::prove(state, token.expose().trim(), peer, now).await?, None),
        (None, Some(word)) => {
            let browser = browser::signed_in(state, headers, now).await?;
            let browser = browser.ok_or_else(|| ApiError::unauthenticated("you are not signed in"))?;
            browser.check_form(state, headers, &word)?;
            (Caller::of_browser(state, &browser).await?, Some(word))
        }
        (None, None) => return Err(ApiError::bad_request("the form holds no token")),
    };
    let proof = word.as_deref().map_or(Proof::Token, Proof::SignedIn);
    let choice = match fields.action.as_str() {
        "show" => None,
        "approve" => Some(Choice::Approve),
        "deny" => Some(Choice::Deny),
        _ => return Err(ApiError::bad_request("the form names no action")),
    };
    let said = match choice {
        None => String::new(),
        Some(choice) => {
            let decided = approvals::decide(state, &caller, id, choice, Some(fields.reason)).await?;
            format!(
                "<p role=\"status\" class=\"said\">Your decision counts. The request is now <b>{}</b>.</p>",
                decided.state()
            )
        }
    };
    let row = approvals::find(state, &caller, id).await?;
    Ok(html::page(StatusCode::OK, "Approval", &format!("{said}{}", details(&row, &caller, proof))))
}

fn how_to(id: &str) -> String {
    format!(
        "<p>A request waits for approval. Decide on the command line:</p>\
         <pre>lockgate approvals show {id}\nlockgate approvals approve {id}\nlockgate approvals deny {id} --reason \"…\"</pre>\
         <p>or here: <a href=\"{}\">sign in</a>, or look at it with your token.</p>",
        Next::approval(id.to_owned()).login()
    )
}

fn form(id: &str, decides: bool, proof: Proof<'_>) -> String {
    let reason = "<label for=\"reason\">Reason (told to the requester)</label>\
                  <input id=\"reason\" name=\"reason\" maxlength=\"2000\">";
    let buttons = if decides {
        "<button name=\"action\" value=\"approve\">Approve</button> \
         <button name=\"action\" value=\"deny\" class=\"deny\">Deny</button>"
    } else {
        "<button name=\"action\" value=\"show\">Show the request</button>"
    };
    let proof = match proof {
        Proof::Token => "<label for=\"token\">Your Lockgate token</label>\
             <input id=\"token\" name=\"token\" type=\"password\" required autocomplete=\"current-password\" spellcheck=\"false\">"
            .to_owned(),
        Proof::SignedIn(word) => format!("<input type=\"hidden\" name=\"form\" value=\"{}\">", html::escape(word)),
    };
    format!(
        "<form method=\"post\" action=\"/approvals/{id}\">{proof}{}<p>{buttons}</p></form>",
        if decides { reason } else { "" }
    )
}

fn details(row: &ApprovalInfo, caller: &Caller, proof: Proof<'_>) -> String {
    let mut rows = String::new();
    let mut add = |name: &str, value: &str| {
        rows.push_str(&format!("<dt>{name}</dt><dd>{}</dd>", html::escape(value)));
    };
    add("Asked by", &row.requester.display_chain());
    let target = row.database.as_ref().map_or_else(|| row.target.clone(), |db| format!("{}/{db}", row.target));
    add("Target", &target);
    add("Policies", &row.policies.join(", "));
    for need in &row.needs {
        let groups: Vec<&str> = need.groups.iter().map(String::as_str).collect();
        add("Needs", &format!("{} of {}", need.quorum, groups.join(" or ")));
    }
    for vote in &row.votes {
        let reason = vote.reason.as_ref().map(|r| format!(": {r}")).unwrap_or_default();
        add(vote.choice.name(), &format!("{} at {}{reason}", vote.user, vote.at));
    }
    add("State", row.state.name());
    add("Expires", &row.expires.to_string());
    add("Session", &row.session);
    let parameters = row.parameters.as_ref().map(|p| format!("<h2>Parameters</h2><pre>{}</pre>", html::escape(p)));
    let next = match row.may_decide(&caller.identity) {
        Ok(()) => format!("<h2>Decide</h2>{}", form(&row.id, true, proof)),
        Err(e) => format!("<p>You cannot decide: {}.</p>", html::escape(&e.to_string())),
    };
    let who = match proof {
        Proof::Token => String::new(),
        Proof::SignedIn(_) => {
            format!("<p class=\"who\">Signed in as <b>{}</b>.</p>", html::escape(&caller.identity.display_chain()))
        }
    };
    format!(
        "{who}<h2>Statement</h2><pre>{}</pre>{}<dl>{rows}</dl>{next}",
        html::escape(&row.statement),
        parameters.unwrap_or_default()
    )
}

fn failure(e: &ApiError, id: Option<&str>) -> Response {
    let again = id.map(|id| form(id, false, Proof::Token)).unwrap_or_default();
    let text = format!(
        "<p role=\"alert\" class=\"alert\">{}. {}.</p>{again}",
        html::escape(&e.message),
        html::escape(&e.hint)
    );
    html::page(e.status, "Approval", &text)
}
