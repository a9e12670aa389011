//! A plain HTTP client for the gateway's API, and a plain one for its metrics.

use crate::Gateway;
use serde_json::Value;
use std::io::{Read, Write};
use std::sync::OnceLock;
use std::time::Duration;

fn runtime() -> &'static tokio::runtime::Runtime {
    static RUNTIME: OnceLock<tokio::runtime::Runtime> = OnceLock::new();
    RUNTIME.get_or_init(|| tokio::runtime::Runtime::new().expect("a runtime"))
}

/// Waits for a future of an asynchronous client.
pub fn wait<T>(future: impl Future<Output = T>) -> T {
    runtime().block_on(future)
}

/// Calls `METHOD /path` with a bearer token or none; status and body (JSON, or the text as a string).
pub fn call(gateway: &Gateway, method: &str, path: &str, token: Option<&str>, body: Option<&Value>) -> (u16, Value) {
    attempt(gateway, method, path, token, body).expect("an answer")
}

/// The same where the gateway may hang up before it has read all of what is sent.
pub fn attempt(
    gateway: &Gateway,
    method: &str,
    path: &str,
    token: Option<&str>,
    body: Option<&Value>,
) -> Result<(u16, Value), reqwest::Error> {
    let pem = std::fs::read(gateway.authority()).expect("the authority's certificate");
    wait(async {
        let authority = reqwest::Certificate::from_pem_bundle(&pem).expect("PEM");
        let client = reqwest::Client::builder()
            .tls_certs_only(authority)
            .timeout(Duration::from_secs(30))
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .expect("a client");
        let method = reqwest::Method::from_bytes(method.as_bytes()).expect("a method");
        let mut request = client.request(method, format!("{}{path}", gateway.url()));
        if let Some(token) = token {
            request = request.bearer_auth(token);
        }
        if let Some(body) = body {
            request = request.json(body);
        }
        let response = request.send().await?;
        let status = response.status().as_u16();
        let text = response.text().await?;
        Ok((status, serde_json::from_str(&text).unwrap_or(Value::String(text))))
    })
}

/// The metrics page.
pub fn metrics(gateway: &Gateway) -> String {
    plain(gateway, "/metrics").1
}

/// Status and page of a path on the metrics listener.
pub fn plain(gateway: &Gateway, path: &str) -> (u16, String) {
    let mut stream = std::net::TcpStream::connect(("127.0.0.1", gateway.metrics_port)).expect("the metrics listener");
    stream.set_read_timeout(Some(Duration::from_secs(20))).expect("a socket");
    let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).expect("a request");
    let mut page = String::new();
    stream.read_to_string(&mut page).expect("an answer");
    let status = page.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status line");
    (status, page)
}

/// Finds, anywhere in a JSON value, the objects that have `key` equal to `value`.
pub fn find<'a>(json: &'a Value, key: &str, value: &str) -> Vec<&'a Value> {
    let mut found = Vec::new();
    let mut rest = vec![json];
    while let Some(json) = rest.pop() {
        match json {
            Value::Object(fields) => {
                if fields.get(key).and_then(Value::as_str) == Some(value) {
                    found.push(json);
                }
                rest.extend(fields.values());
            }
            Value::Array(items) => rest.extend(items),
            _ => {}
        }
    }
    found
}
