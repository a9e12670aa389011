//! An OpenID Connect issuer that does as little as it can: whoever comes back with a code is who the code says. It vouches for its
//! tokens until it is told otherwise. What a real one does is tried with `idp`.

use crate::authority::{Authority, Names};
use crate::fake::FakeTarget;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader, Read, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{SystemTime, UNIX_EPOCH};

/// How long tokens count, in seconds, where nobody asks for less.
const HOUR: u64 = 3_600;

/// A running issuer.
#[derive(Debug)]
pub struct Issuer {
    name: String,
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    /// Its key, and what it is called.
    key: Mutex<(String, EcdsaKeyPair)>,
    /// What it says of whose tokens, in place of the usual.
    told: Mutex<BTreeMap<String, Value>>,
    /// Whose tokens it does not vouch for any more.
    revoked: Mutex<BTreeSet<String>>,
    /// Whether it hangs up on who asks about a token.
    is_away: AtomicBool,
}

impl Issuer {
    /// Starts it on a free port.
    pub fn start() -> Issuer {
        let inner = Inner::new();
        let serves = Arc::clone(&inner);
        let server = FakeTarget::start(move |stream| {
            let _ = stream.set_nodelay(true);
            let port = stream.local_addr().map_or(0, |address| address.port());
            let _ = serve(stream, &format!("http://127.0.0.1:{port}"), &serves);
        });
        Issuer { name: format!("http://127.0.0.1:{}", server.port), inner }
    }

    /// Starts it inside TLS, as `https://localhost:PORT` with a certificate for these names.
    pub fn inside_tls(authority: &Authority, names: Names<'_>) -> Issuer {
        let inner = Inner::new();
        let serves = Arc::clone(&inner);
        let server = authority.serve(names, move |stream| {
            let port = stream.sock.local_addr().map_or(0, |address| address.port());
            let _ = serve(stream, &format!("https://localhost:{port}"), &serves);
        });
        Issuer { name: format!("https://localhost:{}", server.port), inner }
    }

    /// Its entry in the configuration.
    pub fn yaml(&self, more: &str) -> String {
        let issuer = &self.name;
        format!(
            "  oidc:\n    - {{name: corp, issuer: '{issuer}', client_id: lockgate, client_secret: none, user_claim: sub, algorithms: [ES256]{more}}}\n"
        )
    }

    /// A token for the gateway, for an hour.
    pub fn token(&self, user: &str) -> String {
        self.token_for(user, HOUR)
    }

    /// A token for the gateway, for some seconds.
    pub fn token_for(&self, user: &str, seconds: u64) -> String {
        signed(&self.inner, &self.name, user, seconds, "")
    }

    /// A token of what somebody does for somebody else (RFC 8693), for an hour.
    pub fn token_of_actor(&self, actor: &str, user: &str) -> String {
        signed(&self.inner, &self.name, user, HOUR, &format!(r#","act":{{"sub":"{actor}","groups":["engineers"]}}"#))
    }

    /// Signs with a new key from now on, and publishes the old one no more.
    pub fn change_key(&self, name: &str) {
        *self.inner.key.lock().expect("nobody panicked") = (name.to_owned(), new_key());
    }

    /// Says these claims, too, of whoever's tokens it is asked about.
    pub fn tell(&self, user: &str, claims: Value) {
        self.inner.told.lock().expect("nobody panicked").insert(user.to_owned(), claims);
    }

    /// Does not vouch for somebody's tokens any more.
    pub fn revoke(&self, user: &str) {
        self.inner.revoked.lock().expect("nobody panicked").insert(user.to_owned());
    }

    /// Whether it hangs up on who asks about a token.
    pub fn be_away(&self, is_away: bool) {
        self.inner.is_away.store(is_away, Ordering::Release);
    }
}

fn new_key() -> EcdsaKeyPair {
    EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).expect("a key")
}

impl Inner {
    fn new() -> Arc<Inner> {
        let key = Mutex::new(("k".to_owned(), new_key()));
        Arc::new(Inner { key, told: Mutex::default(), revoked: Mutex::default(), is_away: AtomicBool::new(false) })
    }
}

/// What a client asked over HTTP.
#[derive(Debug)]
pub struct Request {
    /// Method, path and version.
    pub first: String,
    /// What it authenticates with.
    pub authorization: String,
    /// The body.
    pub body: String,
}

impl Request {
    /// Reads the next one of a connection; none when the client has left.
    pub fn read(from: &mut impl BufRead) -> std::io::Result<Option<Request>> {
        let mut request = Request { first: String::new(), authorization: String::new(), body: String::new() };
        if from.read_line(&mut request.first)? == 0 {
            return Ok(None);
        }
        let mut length = 0;
        loop {
            let mut line = String::new();
            from.read_line(&mut line)?;
            let line = line.trim();
            let (name, value) = line.split_once(':').unwrap_or_default();
            match name.to_ascii_lowercase().as_str() {
                "content-length" => length = value.trim().parse().unwrap_or(0),
                "authorization" => value.trim().clone_into(&mut request.authorization),
                _ => {}
            }
            if line.is_empty() {
                break;
            }
        }
        let mut body = vec![0; length];
        from.read_exact(&mut body)?;
        request.body = String::from_utf8_lossy(&body).into_owned();
        Ok(Some(request))
    }

    /// The path that is asked for.
    pub fn path(&self) -> &str {
        self.first.split(' ').nth(1).unwrap_or_default()
    }
}

/// Answers a request.
pub fn say(to: &mut impl Write, status: &str, kind: &str, body: &str) -> std::io::Result<()> {
    let length = body.len();
    let answer = format!("HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\n\r\n{body}");
    to.write_all(answer.as_bytes())?;
    to.flush()
}

fn serve(stream: impl Read + Write, issuer: &str, inner: &Inner) -> std::io::Result<()> {
    let mut from = BufReader::new(stream);
    while let Some(request) = Request::read(&mut from)? {
        let asked = match request.path() {
            "/introspect" => request.body.split('&').find_map(|pair| pair.strip_prefix("token=")).map(str::to_owned),
            "/userinfo" => Some(request.authorization.trim_start_matches("Bearer ").to_owned()),
            _ => None,
        };
        let (status, answer) = match asked {
            Some(_) if inner.is_away.load(Ordering::Acquire) => return Ok(()),
            Some(token) => about(&token, request.path() == "/userinfo", inner),
            None => ("200 OK", answer(&request.first, &request.body, issuer, inner)),
        };
        say(from.get_mut(), status, "application/json", &answer)?;
    }
    Ok(())
}

/// What it says of a token.
fn about(token: &str, is_userinfo: bool, inner: &Inner) -> (&'static str, String) {
    let claims = token.split('.').nth(1).and_then(|part| URL_SAFE_NO_PAD.decode(part).ok()).unwrap_or_default();
    let claims: Value = serde_json::from_slice(&claims).unwrap_or_default();
    let user = claims["sub"].as_str().unwrap_or_default();
    let counts = !user.is_empty() && !inner.revoked.lock().expect("nobody panicked").contains(user);
    let mut told = json!({"active": true, "sub": user});
    let more = inner.told.lock().expect("nobody panicked").get(user).cloned().unwrap_or_default();
    for (name, value) in more.as_object().into_iter().flatten() {
        told[name] = value.clone();
    }
    match (counts, is_userinfo) {
        (true, _) => ("200 OK", told.to_string()),
        (false, true) => ("401 Unauthorized", "{}".to_owned()),
        (false, false) => ("200 OK", json!({"active": false}).to_string()),
    }
}

fn answer(request: &str, body: &str, issuer: &str, inner: &Inner) -> String {
    if request.contains("/.well-known/") {
        return format!(
            r#"{{"issuer":"{issuer}","jwks_uri":"{issuer}/jwks","authorization_endpoint":"{issuer}/auth","token_endpoint":"{issuer}/token","introspection_endpoint":"{issuer}/introspect","userinfo_endpoint":"{issuer}/userinfo"}}"#
        );
    }
    if request.contains("/jwks") {
        let key = inner.key.lock().expect("nobody panicked");
        let (name, point) = (&key.0, key.1.public_key().as_ref());
        let (x, y) = (URL_SAFE_NO_PAD.encode(&point[1..33]), URL_SAFE_NO_PAD.encode(&point[33..65]));
        return format!(r#"{{"keys":[{{"kty":"EC","crv":"P-256","kid":"{name}","x":"{x}","y":"{y}"}}]}}"#);
    }
    // The code is the user and the nonce of the login.
    let code = body.split('&').find_map(|pair| pair.strip_prefix("code=")).unwrap_or_default();
    let (user, nonce) = code.split_once('.').unwrap_or_default();
    let id_token = signed(inner, issuer, user, HOUR, &format!(r#","nonce":"{nonce}""#));
    format!(
        r#"{{"access_token":"a","token_type":"Bearer","expires_in":60,"refresh_token":"r-{user}","id_token":"{id_token}"}}"#
    )
}

fn signed(inner: &Inner, issuer: &str, user: &str, seconds: u64, more: &str) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs();
    let claims = format!(
        r#"{{"iss":"{issuer}","sub":"{user}","aud":"lockgate","iat":{now},"exp":{},"groups":["engineers"]{more}}}"#,
        now + seconds
    );
    let (name, key) = &*inner.key.lock().expect("nobody panicked");
    let header = format!(r#"{{"alg":"ES256","kid":"{name}"}}"#);
    let text = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(claims));
    let signature = key.sign(&SystemRandom::new(), text.as_bytes()).expect("it signs");
    format!("{text}.{}", URL_SAFE_NO_PAD.encode(signature))
}
