//! The requests of a session, put together from its events as the JSON export has them, so that it is the same whether they
//! come from a recording's file or from the API.

use serde::Serialize;
use serde_json::Value;

/// What somebody asked for, and what came of it.
#[derive(Default, Serialize)]
pub struct RequestView {
    request: u64,
    kind: String,
    text: String,
    verdict: String,
    policies: Vec<String>,
    /// Where its output comes from and what becomes of it, in lines.
    lineage: Vec<String>,
    /// The same as data.
    certificates: Vec<Value>,
    outcome: String,
    tag: String,
    rows: u64,
    error: Option<String>,
}

impl RequestView {
    /// The lines for people.
    pub fn told(&self) -> String {
        let mut end = match self.outcome.as_str() {
            "" => "has no end yet".to_owned(),
            outcome => outcome.to_owned(),
        };
        if !self.tag.is_empty() {
            end.push_str(&format!(" {}", self.tag));
        }
        if let Some(error) = &self.error {
            end.push_str(&format!(": {error}"));
        }
        let by = if self.policies.is_empty() { String::new() } else { format!(" by {}", self.policies.join(", ")) };
        let mut told = format!("#{} {}\n{}\n{}{by}; {end}", self.request, self.kind, self.text, self.verdict);
        for line in &self.lineage {
            told.push_str(&format!("\n-- {line}"));
        }
        told
    }
}

/// Takes in one event.
pub fn take(requests: &mut Vec<RequestView>, event: &Value) {
    let Some(number) = event.get("request").and_then(Value::as_u64) else { return };
    let text = |name: &str| event.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
    let name = text("event");
    if name == "asked" {
        requests.push(RequestView {
            request: number,
            kind: text("kind"),
            text: text("text"),
            ..RequestView::default()
        });
        return;
    }
    // Events of a request come soon after its beginning.
    let Some(request) = requests.iter_mut().rev().find(|request| request.request == number) else { return };
    match name.as_str() {
        "judged" => {
            request.verdict = text("verdict");
            request.policies = event
                .get("policies")
                .and_then(Value::as_array)
                .map(|all| all.iter().filter_map(|p| p.get("id")?.as_str().map(str::to_owned)).collect())
                .unwrap_or_default();
            request.lineage = text("lineage").lines().map(str::to_owned).collect();
            request.certificates = event.get("certificates").and_then(Value::as_array).cloned().unwrap_or_default();
        }
        "decided" => request.verdict = format!("{}, {}", request.verdict, text("outcome")),
        "done" => {
            request.outcome = text("outcome");
            request.tag = text("tag");
            request.rows = event.get("rows").and_then(Value::as_u64).unwrap_or(0);
            request.error = event.get("error").filter(|e| e.is_object()).map(|error| {
                let part = |name: &str| error.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
                format!("{} {}", part("code"), part("message"))
            });
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn events_become_requests() {
        let mut requests = Vec::new();
        for event in [
            json!({"event": "session_opened", "user": "alice"}),
            json!({"event": "asked", "request": 1, "kind": "simple", "text": "DELETE FROM t"}),
            json!({"event": "judged", "request": 1, "verdict": "hold", "policies": [{"id": "p", "place": "a:1"}],
                "lineage": "column 0 \"ssn\" masked: pii/ssn, redact (why)\n1 column: clear, nothing labelled"}),
            json!({"event": "decided", "request": 1, "outcome": "approved"}),
            json!({"event": "done", "request": 1, "outcome": "completed", "tag": "DELETE 3", "rows": 0, "error": null}),
            json!({"event": "asked", "request": 2, "kind": "simple", "text": "x"}),
            json!({"event": "done", "request": 7, "outcome": "completed"}),
        ] {
            take(&mut requests, &event);
        }
        let told: Vec<String> = requests.iter().map(RequestView::told).collect();
        assert_eq!(
            told,
            [
                "#1 simple\nDELETE FROM t\nhold, approved by p; completed DELETE 3\n\
                 -- column 0 \"ssn\" masked: pii/ssn, redact (why)\n-- 1 column: clear, nothing labelled",
                "#2 simple\nx\n; has no end yet"
            ]
        );
    }
}
