//! The command line's way to a running gateway: its HTTP API, with a token, over TLS that is verified.
//!
//! Trust comes from LOCKGATE_CA; on the gateway's own machine, from the private authority in its data directory; else from
//! the system's authorities. There is no switch that turns verification off.

use crate::cli::Global;
use crate::credentials;
use crate::exit::{Code, Ended};
use crate::place;
use anyhow::Context;
use lockgate_core::Secret;
use reqwest::{Certificate, Method, StatusCode};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::time::Duration;

const CONNECT_SECONDS: u64 = 10;
const ANSWER_SECONDS: u64 = 60;
/// What a failing gateway says is cut to this.
const EXCERPT_CHARS: usize = 300;

/// A gateway that can be asked.
pub struct Client {
    http: reqwest::Client,
    base: String,
    token: Option<Secret>,
}

impl Client {
    /// The gateway at LOCKGATE_URL, or else that of the newest login.
    pub fn new(global: &Global) -> anyhow::Result<Self> {
        let Some(url) = place::gateway_url(global) else {
            return Err(Ended::new(Code::Usage, "no gateway to ask: LOCKGATE_URL is not set")
                .with_hint("export LOCKGATE_URL=https://gateway:6443")
                .into());
        };
        let base = checked_url(&url)?;
        let mut builder = reqwest::Client::builder()
            .user_agent(concat!("lockgate/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(Duration::from_secs(CONNECT_SECONDS))
            .read_timeout(Duration::from_secs(ANSWER_SECONDS))
            // The token must not follow a redirect to somebody else.
            .redirect(reqwest::redirect::Policy::none());
        if let Some(pem) = place::authority(global)? {
            let certificates =
                Certificate::from_pem_bundle(pem.as_bytes()).context("the certificate authority's file is not PEM")?;
            builder = builder.tls_certs_only(certificates);
        }
        let http = builder.build().context("cannot set up TLS")?;
        let token = place::token().or_else(|| credentials::find(&base).map(|kept| kept.token));
        Ok(Client { http, base, token })
    }

    /// The gateway's address.
    pub fn base(&self) -> &str {
        &self.base
    }

    /// The gateway's host, without the port.
    pub fn host(&self) -> &str {
        let after_scheme = self.base.split_once("://").map_or(self.base.as_str(), |(_, rest)| rest);
        let authority = after_scheme.split('/').next().unwrap_or(after_scheme);
        match authority.strip_prefix('[').and_then(|v6| v6.split_once(']')) {
            Some((v6, _)) => v6,
            None => authority.rsplit_once(':').map_or(authority, |(host, _)| host),
        }
    }

    /// The token that requests carry.
    pub fn token(&self) -> anyhow::Result<&Secret> {
        self.token.as_ref().ok_or_else(|| {
            Ended::new(Code::Credential, "no credential: you are not logged in, and LOCKGATE_TOKEN is not set")
                .with_hint("lockgate login; or ask an administrator for a token: lockgate token create --user YOU")
                .into()
        })
    }

    /// Reads something.
    pub async fn get<T: DeserializeOwned>(&self, path: &str, query: &[(&str, String)]) -> anyhow::Result<T> {
        let response = self.send(Method::GET, path, query, None::<&()>).await?;
        let body = response.bytes().await.context("the gateway's answer broke off")?;
        serde_json::from_slice(&body).with_context(|| format!("the gateway's answer to {path} is not understood"))
    }

    /// Reads a list, what the answer holds under `name`, page by page. `cursor` is the parameter that asks for the page
    /// after the one whose `next` it is given.
    pub async fn list<T: DeserializeOwned>(
        &self,
        path: &str,
        name: &str,
        query: &[(&str, String)],
        cursor: &str,
        at_most: usize,
    ) -> anyhow::Result<Vec<T>> {
        let mut items: Vec<T> = Vec::new();
        let mut query = query.to_vec();
        loop {
            let mut answer: Value = self.get(path, &query).await?;
            let page = answer.get_mut(name).map(Value::take).unwrap_or_default();
            let page: Vec<T> = serde_json::from_value(page)
                .with_context(|| format!("the gateway's answer to {path} is not understood"))?;
            items.extend(page);
            let next = answer.get("next").and_then(Value::as_str).map(str::to_owned);
            match next {
                Some(next) if items.len() < at_most => {
                    query.retain(|(name, _)| *name != cursor);
                    query.push((cursor, next));
                }
                _ => break,
            }
        }
        items.truncate(at_most);
        Ok(items)
    }

    /// Prints something as it comes.
    pub async fn stream(&self, path: &str) -> anyhow::Result<()> {
        self.lines(path, |line| crate::output::print(&format!("{line}\n"))).await
    }

    /// Hands on every line of an answer as it comes.
    pub async fn lines(&self, path: &str, mut each: impl FnMut(&str) -> anyhow::Result<()>) -> anyhow::Result<()> {
        let mut response = self.send(Method::GET, path, &[], None::<&()>).await?;
        let mut rest = Vec::new();
        while let Some(chunk) = response.chunk().await.context("the gateway's answer broke off")? {
            rest.extend_from_slice(&chunk);
            while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = rest.drain(..=end).collect();
                each(String::from_utf8_lossy(&line).trim_end_matches('\n'))?;
            }
        }
        if rest.is_empty() { Ok(()) } else { each(&String::from_utf8_lossy(&rest)) }
    }

    /// Changes something.
    pub async fn send_json<B: Serialize, T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: Option<&B>,
    ) -> anyhow::Result<T> {
        let response = self.send(method, path, &[], body).await?;
        let body = response.bytes().await.context("the gateway's answer broke off")?;
        let body: &[u8] = if body.is_empty() { b"null" } else { &body };
        serde_json::from_slice(body).with_context(|| format!("the gateway's answer to {path} is not understood"))
    }

    async fn send<B: Serialize>(
        &self,
        method: Method,
        path: &str,
        query: &[(&str, String)],
        body: Option<&B>,
    ) -> anyhow::Result<reqwest::Response> {
        let token = self.token()?;
        let mut url = format!("{}{path}", self.base);
        for (at, (name, value)) in query.iter().enumerate() {
            url.push(if at == 0 { '?' } else { '&' });
            url.push_str(&format!("{name}={}", escaped(value)));
        }
        let mut request = self.http.request(method, url).bearer_auth(token.expose());
        if let Some(body) = body {
            request = request.json(body);
        }
        let response = request.send().await.map_err(|error| unreachable(&self.base, error))?;
        let status = response.status();
        if status.is_success() {
            return Ok(response);
        }
        let text = response.text().await.unwrap_or_default();
        Err(refusal(status, &text).into())
    }

    /// Sends something with the token if there is one, and yields whatever the gateway answers.
    pub async fn exchange<B: Serialize>(
        &self,
        method: Method,
        path: &str,
        body: Option<&B>,
    ) -> anyhow::Result<(StatusCode, String)> {
        let mut request = self.http.request(method, format!("{}{path}", self.base));
        if let Some(token) = &self.token {
            request = request.bearer_auth(token.expose());
        }
        if let Some(body) = body {
            request = request.json(body);
        }
        let response = request.send().await.map_err(|error| unreachable(&self.base, error))?;
        let status = response.status();
        Ok((status, response.text().await.context("the gateway's answer broke off")?))
    }

    /// What an answer that is an error means.
    pub fn refusal(&self, status: StatusCode, body: &str) -> Ended {
        refusal(status, body)
    }
}

/// A path segment or query value with everything percent-encoded that means something in an address.
pub fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'~') {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

fn checked_url(url: &str) -> anyhow::Result<String> {
    let trimmed = url.trim_end_matches('/');
    match trimmed.split_once("://") {
        Some(("https", rest)) if !rest.is_empty() => Ok(trimmed.to_owned()),
        _ => Err(Ended::new(Code::Usage, format!("`{url}` is not the address of a gateway"))
            .with_hint("the API is served over TLS only: https://HOST:PORT")
            .into()),
    }
}

fn unreachable(base: &str, error: reqwest::Error) -> anyhow::Error {
    let error = error.without_url();
    let mut words = error.to_string();
    let mut source = std::error::Error::source(&error);
    while let Some(inner) = source {
        words = inner.to_string();
        source = inner.source();
    }
    let ended = Ended::new(Code::Failed, format!("the gateway at {base} cannot be asked: {words}"));
    let certificate = words.to_ascii_lowercase().contains("certificate");
    match certificate {
        true => ended.with_hint("point LOCKGATE_CA to the gateway's authority: `lockgate ca` on its machine prints it"),
        false => ended,
    }
    .into()
}

/// What an error answer means for the exit code and what it says.
fn refusal(status: StatusCode, body: &str) -> Ended {
    let json: Value = serde_json::from_str(body).unwrap_or(Value::Null);
    let field = |name: &str| {
        let nested = json.get("error").filter(|e| e.is_object()).unwrap_or(&json);
        nested.get(name).and_then(Value::as_str).map(str::to_owned)
    };
    let said = field("message")
        .or_else(|| field("detail"))
        .or_else(|| json.get("error").and_then(Value::as_str).map(str::to_owned))
        .unwrap_or_else(|| body.chars().take(EXCERPT_CHARS).collect());
    let said = lockgate_record::visible_line(&said).into_owned();
    let code = match status {
        StatusCode::UNAUTHORIZED => Code::Credential,
        StatusCode::FORBIDDEN => Code::Denied,
        _ => Code::Failed,
    };
    let text = if said.is_empty() { format!("the gateway answered {status}") } else { said };
    let ended = Ended::new(code, text);
    match (field("hint"), code) {
        (Some(hint), _) => ended.with_hint(lockgate_record::visible_line(&hint).into_owned()),
        (None, Code::Credential) => ended.with_hint("lockgate login"),
        (None, _) => ended,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_become_exit_codes() {
        for (status, body, code, text) in [
            (401, r#"{"error":{"code":"x","message":"token expired"}}"#, Code::Credential, "token expired"),
            (403, r#"{"error":"not yours"}"#, Code::Denied, "not yours"),
            (404, r#"{"message":"no such session"}"#, Code::Failed, "no such session"),
            (500, "", Code::Failed, "the gateway answered 500 Internal Server Error"),
            (502, "<html>\u{1b}[2J", Code::Failed, "<html>\\e[2J"),
        ] {
            let ended = refusal(StatusCode::from_u16(status).unwrap(), body);
            assert_eq!(ended.code(), code, "{body}");
            assert!(ended.to_string().starts_with(text), "{ended}");
        }
    }

    #[test]
    fn only_tls_is_spoken() {
        assert_eq!(checked_url("https://gw:6443/").unwrap(), "https://gw:6443");
        for bad in ["http://gw:6443", "gw:6443", "https://", ""] {
            assert!(checked_url(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn hosts() {
        for (url, host) in
            [("https://gw:6443", "gw"), ("https://[::1]:6443", "::1"), ("https://gw.example", "gw.example")]
        {
            let client = Client { http: reqwest::Client::new(), base: url.to_owned(), token: None };
            assert_eq!(client.host(), host);
        }
        assert_eq!(escaped("a b/ü"), "a%20b%2F%C3%BC");
    }
}
