//! The page behind the address that a held client is shown. Plain HTML without script: it says how to decide on the command
//! line, and takes a token in a form. Nothing about a request is told before the token is proven, and no cookie is set, so
//! that another site's form can do nothing: it has no token.

use crate::auth::{self, Caller};
use crate::body;
use crate::error::ApiError;
use crate::handlers::approvals;
use crate::state::{ApiState, PeerAddr};
use axum::Extension;
use axum::extract::rejection::FormRejection;
use axum::extract::{Form, Path, State};
use axum::http::{StatusCode, header};
use axum::response::{Html, IntoResponse, Response};
use lockgate_core::Secret;
use lockgate_store::approvals::{ApprovalInfo, Choice};
use lockgate_store::clock;
use serde::Deserialize;

#[derive(Deserialize)]
pub(crate) struct Fields {
    token: String,
    action: String,
    #[serde(default)]
    reason: String,
}

/// The form, the same for every id that could be one.
pub(crate) async fn show(Path(id): Path<String>) -> Response {
    if !is_id(&id) {
        return failure(&ApiError::not_found("approval"), None);
    }
    page(StatusCode::OK, &format!("{}{}", how_to(&id), form(&id, false)))
}

/// Shows the request to whoever the token stands for, or counts their decision.
pub(crate) async fn decide(
    State(state): State<ApiState>,
    peer: Option<Extension<PeerAddr>>,
    Path(id): Path<String>,
    fields: Result<Form<Fields>, FormRejection>,
) -> Response {
    if !is_id(&id) {
        return failure(&ApiError::not_found("approval"), None);
    }
    match answer(&state, peer.map(|Extension(p)| p), &id, fields).await {
        Ok(response) => response,
        Err(e) => failure(&e, Some(&id)),
    }
}

async fn answer(
    state: &ApiState,
    peer: Option<PeerAddr>,
    id: &str,
    fields: Result<Form<Fields>, FormRejection>,
) -> Result<Response, ApiError> {
    let fields = body::form(fields)?;
    let token = Secret::new(fields.token);
    let caller = auth::prove(state, token.expose().trim(), peer, clock::now()).await?;
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
    Ok(page(StatusCode::OK, &format!("{said}{}", details(&row, &caller))))
}

/// The style of the page.
pub(crate) async fn style() -> Response {
    ([(header::CONTENT_TYPE, "text/css; charset=utf-8")], STYLE).into_response()
}

/// A session's id, a dash and the number of the request in it; or 26 characters of an id of its own.
fn is_id(text: &str) -> bool {
    (26..=48).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
}

fn how_to(id: &str) -> String {
    format!(
        "<p>A request waits for approval. Decide on the command line:</p>\
         <pre>lockgate approvals show {id}\nlockgate approvals approve {id}\nlockgate approvals deny {id} --reason \"…\"</pre>\
         <p>or look at it here with your token.</p>"
    )
}

fn form(id: &str, decides: bool) -> String {
    let reason = "<label for=\"reason\">Reason (told to the requester)</label>\
                  <input id=\"reason\" name=\"reason\" maxlength=\"2000\">";
    let buttons = if decides {
        "<button name=\"action\" value=\"approve\">Approve</button> \
         <button name=\"action\" value=\"deny\" class=\"deny\">Deny</button>"
    } else {
        "<button name=\"action\" value=\"show\">Show the request</button>"
    };
    format!(
        "<form method=\"post\" action=\"/approvals/{id}\">\
         <label for=\"token\">Your Lockgate token</label>\
         <input id=\"token\" name=\"token\" type=\"password\" required autocomplete=\"current-password\" spellcheck=\"false\">\
         {}<p>{buttons}</p></form>",
        if decides { reason } else { "" }
    )
}

fn details(row: &ApprovalInfo, caller: &Caller) -> String {
    let mut rows = String::new();
    let mut add = |name: &str, value: &str| {
        rows.push_str(&format!("<dt>{name}</dt><dd>{}</dd>", escape(value)));
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
    let parameters = row.parameters.as_ref().map(|p| format!("<h2>Parameters</h2><pre>{}</pre>", escape(p)));
    let next = match row.may_decide(&caller.identity) {
        Ok(()) => format!("<h2>Decide</h2>{}", form(&row.id, true)),
        Err(e) => format!("<p>You cannot decide: {}.</p>", escape(&e.to_string())),
    };
    format!(
        "<h2>Statement</h2><pre>{}</pre>{}<dl>{rows}</dl>{next}",
        escape(&row.statement),
        parameters.unwrap_or_default()
    )
}

fn failure(e: &ApiError, id: Option<&str>) -> Response {
    let again = id.map(|id| form(id, false)).unwrap_or_default();
    let text = format!("<p role=\"alert\" class=\"alert\">{}. {}.</p>{again}", escape(&e.message), escape(&e.hint));
    page(e.status, &text)
}

fn page(status: StatusCode, content: &str) -> Response {
    let html = format!(
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"><title>Approval · Lockgate</title>\
         <link rel=\"stylesheet\" href=\"/assets/approval.css\"></head>\
         <body><main><h1>Approval</h1>{content}</main></body></html>"
    );
    (status, Html(html)).into_response()
}

/// Text inside an element or a quoted attribute. Characters that hide or reorder text are shown as what they are, so that a
/// statement reads as it will run.
fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            '\n' | '\t' => out.push(c),
            c if c.is_control()
                || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}') =>
            {
                out.push_str(&format!("[U+{:04X}]", u32::from(c)));
            }
            c => out.push(c),
        }
    }
    out
}

const STYLE: &str = "\
:root { color-scheme: light dark; font: 1rem/1.5 system-ui, sans-serif; }
body { margin: 0; background: Canvas; color: CanvasText; }
main { max-width: 46rem; margin: 3rem auto; padding: 0 1.25rem; }
h1 { font-size: 1.6rem; } h2 { font-size: 1.1rem; margin-top: 2rem; }
pre { padding: .9rem 1rem; border: 1px solid GrayText; border-radius: .5rem; overflow: auto; max-height: 24rem;
  white-space: pre-wrap; overflow-wrap: anywhere; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .3rem 1.25rem; } dt { font-weight: 600; } dd { margin: 0;
  overflow-wrap: anywhere; }
label { display: block; font-weight: 600; margin-top: 1rem; }
input { box-sizing: border-box; width: 100%; padding: .6rem; font: inherit; border: 1px solid GrayText; border-radius: .4rem; }
button { padding: .6rem 1.2rem; font: inherit; font-weight: 600; border: 0; border-radius: .4rem; background: #175cd3;
  color: #fff; cursor: pointer; }
button.deny { background: #b42318; }
:focus-visible { outline: 3px solid #f79009; outline-offset: 2px; }
.alert { border-left: 4px solid #b42318; padding-left: 1rem; } .said { border-left: 4px solid #067647; padding-left: 1rem; }
";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_what_could_mislead() {
        for (text, shown) in [
            ("<script>", "&lt;script&gt;"),
            ("a\"b'&", "a&quot;b&#39;&amp;"),
            ("x\u{202e}y", "x[U+202E]y"),
            ("\0\u{200b}", "[U+0000][U+200B]"),
            ("two\nlines", "two\nlines"),
        ] {
            assert_eq!(escape(text), shown);
        }
    }
}
