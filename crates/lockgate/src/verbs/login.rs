//! `lockgate login` and `lockgate logout`: a short-lived token for the person at the command line, confirmed in a browser.
//!
//! With a browser on this machine it comes back to an address of ours on 127.0.0.1 with a code, which counts only together with a
//! verifier that never left this process (RFC 8252, RFC 7636). Without one, a person types a code in anywhere (as RFC 8628).

use crate::cli::{Global, LoginArgs, LogoutArgs};
use crate::client::Client;
use crate::credentials::{self, Kept};
use crate::exit::{Code, Ended};
use crate::output::{self, Output};
use crate::view::short;
use anyhow::Context;
use aws_lc_rs::digest;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use lockgate_core::{Secret, limits};
use reqwest::{Method, StatusCode};
use serde::Deserialize;
use serde_json::{Value, json};
use std::process::{Command, Stdio};
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::Instant;

/// What a browser's request takes at most.
const REQUEST_BYTES_MAX: usize = 16 * 1024;
/// How long one may take.
const REQUEST_TIME: Duration = Duration::from_secs(5);
/// What the browser is shown at the end.
const DONE: &str = "Your command line is logged in. You can close this page.";
const DENIED: &str = "Nobody was logged in. You can close this page.";

#[derive(Deserialize)]
struct Asked {
    id: String,
    path: String,
    #[serde(default)]
    user_code: Option<String>,
    #[serde(default)]
    secret: Option<String>,
    interval_ms: u64,
}

#[derive(Deserialize)]
struct LoggedIn {
    token: String,
    user: String,
    expires: String,
}

/// `lockgate login`
pub async fn login(global: &Global, output: Output, args: LoginArgs) -> anyhow::Result<()> {
    let client = Client::new(global)?;
    let waits = Duration::from_millis(limits::LOGIN_REQUEST_MS_MAX.unsigned_abs());
    let done =
        async { if args.device { by_device(&client).await } else { by_browser(&client, args.no_browser).await } };
    let Ok(done) = tokio::time::timeout(waits, done).await else {
        return Err(Ended::new(Code::Waiting, "nobody confirmed the login in time").with_hint("lockgate login").into());
    };
    let LoggedIn { token, user, expires } = done?;
    let kept = Kept { token: Secret::new(token), user, expires };
    let path = credentials::keep(client.base(), &kept)?;
    if output.is_table() {
        return output::words(&format!(
            "logged in at {} as {} until {}; kept in {}",
            client.base(),
            kept.user,
            short(&kept.expires),
            path.display()
        ));
    }
    output.data(&json!({ "url": client.base(), "user": kept.user, "expires": kept.expires }))
}

/// `lockgate logout`
pub async fn logout(global: &Global, output: Output, args: LogoutArgs) -> anyhow::Result<()> {
    let client = Client::new(global)?;
    client.token()?;
    let query = if args.everywhere { "?everywhere=true" } else { "" };
    let (status, answer) = client.exchange(Method::DELETE, &format!("/api/v1/login{query}"), None::<&()>).await?;
    match status {
        // It counts no more, whoever ended it.
        StatusCode::OK | StatusCode::UNAUTHORIZED => credentials::forget(client.base())?,
        _ => return Err(client.refusal(status, &answer).into()),
    }
    if output.is_table() {
        return output::words(&format!("logged out at {}", client.base()));
    }
    output.data(&json!({ "url": client.base() }))
}

async fn by_browser(client: &Client, quiet: bool) -> anyhow::Result<LoggedIn> {
    let (verifier, word) = (random()?, random()?);
    let challenge = URL_SAFE_NO_PAD.encode(digest::digest(&digest::SHA256, verifier.expose().as_bytes()));
    let listener =
        TcpListener::bind("127.0.0.1:0").await.context("there is no address for the browser to come back to")?;
    let redirect = format!("http://127.0.0.1:{}/callback", listener.local_addr()?.port());
    let body = json!({ "challenge": challenge, "redirect": redirect, "state": word.expose() });
    let asked: Asked = ask(client, &body).await?;
    let address = format!("{}{}", client.base(), asked.path);
    let opened = !quiet && open(&address);
    let how =
        if opened { "confirm the login in your browser" } else { "open this address in a browser on this machine" };
    output::words(&format!("{how}: {address}"))?;
    let code = come_back(&listener, word.expose()).await?;
    let body = json!({ "code": code.expose(), "verifier": verifier.expose() });
    match redeem(client, &asked.id, &body).await? {
        Some(logged_in) => Ok(logged_in),
        None => anyhow::bail!("the gateway sent the browser back before the login was confirmed"),
    }
}

async fn by_device(client: &Client) -> anyhow::Result<LoggedIn> {
    let asked: Asked = ask(client, &json!({})).await?;
    let code = asked.user_code.context("the gateway gave no code")?;
    let body = json!({ "secret": asked.secret.context("the gateway gave no secret")? });
    output::words(&format!("open {}{} in any browser, and enter this code: {code}", client.base(), asked.path))?;
    loop {
        tokio::time::sleep(Duration::from_millis(asked.interval_ms.clamp(500, 60_000))).await;
        if let Some(logged_in) = redeem(client, &asked.id, &body).await? {
            return Ok(logged_in);
        }
    }
}

async fn ask(client: &Client, body: &Value) -> anyhow::Result<Asked> {
    let (status, answer) = client.exchange(Method::POST, "/api/v1/login-requests", Some(body)).await?;
    match status {
        StatusCode::CREATED => serde_json::from_str(&answer).context("the gateway's answer is not understood"),
        _ => Err(client.refusal(status, &answer).into()),
    }
}

/// The token, or nothing while nobody has confirmed.
async fn redeem(client: &Client, id: &str, body: &Value) -> anyhow::Result<Option<LoggedIn>> {
    let path = format!("/api/v1/login-requests/{}/token", crate::client::escaped(id));
    let (status, answer) = client.exchange(Method::POST, &path, Some(body)).await?;
    match status {
        StatusCode::OK => Ok(Some(serde_json::from_str(&answer).context("the gateway's answer is not understood")?)),
        StatusCode::ACCEPTED => Ok(None),
        _ => Err(client.refusal(status, &answer).into()),
    }
}

/// Waits for the browser that brings the code of this login. Others, which anybody on this machine can send, get nothing.
async fn come_back(listener: &TcpListener, word: &str) -> anyhow::Result<Secret> {
    loop {
        let (mut stream, _) = listener.accept().await.context("the browser cannot come back")?;
        let Ok(Some(target)) = tokio::time::timeout(REQUEST_TIME, request_target(&mut stream)).await else { continue };
        let query = target.strip_prefix("/callback?").unwrap_or_default();
        let field = |name: &str| {
            let mut values = query.split('&').filter_map(|pair| pair.split_once('=')).filter(|(key, _)| *key == name);
            let value = values.next().map(|(_, value)| value);
            value.filter(|_| values.next().is_none())
        };
        let ours = field("state").is_some_and(|state| {
            aws_lc_rs::constant_time::verify_slices_are_equal(state.as_bytes(), word.as_bytes()).is_ok()
        });
        match (ours, field("code"), field("error")) {
            (true, Some(code), None) => {
                say(&mut stream, "200 OK", DONE).await;
                return Ok(Secret::new(code.to_owned()));
            }
            (true, None, Some(_)) => {
                say(&mut stream, "200 OK", DENIED).await;
                return Err(Ended::new(Code::Denied, "the login was denied in the browser").into());
            }
            _ => say(&mut stream, "404 Not Found", "This is not an answer to the login that waits here.").await,
        }
    }
}

/// The address of a GET request; what follows it is not looked at.
async fn request_target(stream: &mut TcpStream) -> Option<String> {
    let mut read = Vec::new();
    let mut part = [0; 1024];
    while !read.windows(4).any(|window| window == b"\r\n\r\n") {
        let n = stream.read(&mut part).await.ok().filter(|n| *n > 0)?;
        read.extend_from_slice(part.get(..n)?);
        if read.len() > REQUEST_BYTES_MAX {
            return None;
        }
    }
    let text = std::str::from_utf8(&read).ok()?;
    let line = text.split("\r\n").next()?;
    let (target, version) = line.strip_prefix("GET ")?.split_once(' ')?;
    version.starts_with("HTTP/1.").then(|| target.to_owned())
}

/// A browser that is not told is not told: the login does not depend on it.
async fn say(stream: &mut TcpStream, status: &str, text: &str) {
    let body = format!(
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><title>Lockgate</title></head>\
         <body><p role=\"status\">{text}</p></body></html>"
    );
    let answer = format!(
        "HTTP/1.1 {status}\r\ncontent-type: text/html; charset=utf-8\r\ncontent-length: {}\r\nconnection: close\r\n\
         cache-control: no-store\r\nreferrer-policy: no-referrer\r\ncontent-security-policy: default-src 'none'\r\n\r\n{body}",
        body.len()
    );
    let until = Instant::now() + REQUEST_TIME;
    let _ = tokio::time::timeout_at(until, async {
        stream.write_all(answer.as_bytes()).await?;
        stream.shutdown().await
    })
    .await;
}

/// Has the desktop open an address. Whether it could be tried.
fn open(address: &str) -> bool {
    let desktop = ["DISPLAY", "WAYLAND_DISPLAY"].iter().any(|name| crate::place::variable(name).is_some());
    let command = match std::env::consts::OS {
        "macos" => "open",
        _ if desktop => "xdg-open",
        _ => return false,
    };
    Command::new(command).arg(address).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().is_ok()
}

fn random() -> anyhow::Result<Secret> {
    let mut bytes = [0; 32];
    aws_lc_rs::rand::fill(&mut bytes).map_err(|_| anyhow::anyhow!("the operating system gives no random bytes"))?;
    Ok(Secret::new(URL_SAFE_NO_PAD.encode(bytes)))
}
