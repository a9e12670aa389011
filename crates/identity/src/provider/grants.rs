//! The forms and answers of logging in: authorization code with PKCE (RFC 6749, 7636), device code (RFC 8628), refresh. Pure.

use super::{ProviderError, Settings};
use crate::json::{Json, Object};
use crate::jwt::shown;
use crate::proven::Proven;
use aws_lc_rs::{constant_time, digest, rand};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use lockgate_core::Secret;
use reqwest::{StatusCode, Url};
use std::time::Duration;

/// What a provider's word `slow_down` adds to the time between two polls (RFC 8628, 3.5), and the time where it names none.
const INTERVAL_S: i64 = 5;
/// A device code that lives longer than this is nobody's.
const DEVICE_S_MAX: i64 = 3_600;

/// A login by browser that was begun: what only the one who began it knows. It is used once.
pub struct Login {
    state: Secret,
    nonce: Secret,
    verifier: Secret,
}

impl Login {
    /// A login of 3 times 256 random bits.
    ///
    /// # Errors
    /// When the operating system gives no random bytes.
    pub fn begin() -> Result<Self, ProviderError> {
        let secret = || -> Result<Secret, ProviderError> {
            let mut bytes = [0; 32];
            rand::fill(&mut bytes).map_err(|_| ProviderError::NotThisLogin("there are no random bytes"))?;
            Ok(Secret::new(URL_SAFE_NO_PAD.encode(bytes)))
        };
        Ok(Login { state: secret()?, nonce: secret()?, verifier: secret()? })
    }

    /// What was begun, as one text, to be kept by the browser that goes to the provider, sealed.
    pub fn to_kept(&self) -> Secret {
        Secret::new(format!("{}.{}.{}", self.state.expose(), self.nonce.expose(), self.verifier.expose()))
    }

    /// What was begun and kept; `None` for another text.
    pub fn from_kept(text: &Secret) -> Option<Self> {
        let mut parts = text.expose().split('.');
        let mut part = || parts.next().filter(|part| part.len() == 43).map(|part| Secret::new(part.to_owned()));
        let login = Login { state: part()?, nonce: part()?, verifier: part()? };
        parts.next().is_none().then_some(login)
    }

    /// The `state` that the answer has to carry.
    pub fn state(&self) -> &str {
        self.state.expose()
    }

    pub(super) fn nonce(&self) -> &str {
        self.nonce.expose()
    }

    pub(super) fn check_answer(&self, state: &str) -> Result<(), ProviderError> {
        constant_time::verify_slices_are_equal(self.state.expose().as_bytes(), state.as_bytes())
            .map_err(|_| ProviderError::NotThisLogin("its state is not this login's"))
    }
}

/// What a token endpoint gave.
pub struct Tokens {
    /// Proves the person to the gateway.
    pub id_token: Option<Secret>,
    /// Opens the provider's own services.
    pub access_token: Option<Secret>,
    /// Yields fresh tokens.
    pub refresh_token: Option<Secret>,
}

impl Tokens {
    pub(super) fn read(body: &[u8]) -> Result<Self, ProviderError> {
        let answer = Json::read_object(body).map_err(ProviderError::Document)?;
        Ok(Tokens {
            id_token: secret(&answer, "id_token")?,
            access_token: secret(&answer, "access_token")?,
            refresh_token: secret(&answer, "refresh_token")?,
        })
    }
}

/// A login by device code that was begun.
pub struct Device {
    code: Secret,
    /// What the person types in.
    pub user_code: String,
    /// Where.
    pub verification_uri: String,
    /// The same with the code in it already.
    pub verification_uri_complete: Option<String>,
    /// How long the code counts.
    pub expires_in: Duration,
    /// How long to wait between two polls.
    pub interval: Duration,
}

/// How a login by device code stands.
pub enum DevicePoll {
    /// The person has not finished.
    Pending,
    /// Nor that, and asking this often is too often: wait five seconds more each time.
    SlowDown,
    /// The person has proven who it is.
    Proven(Box<Proven>),
}

impl Device {
    pub(super) fn read(body: &[u8]) -> Result<Self, ProviderError> {
        let answer = Json::read_object(body).map_err(ProviderError::Document)?;
        let text = |name: &str| {
            let text = answer.get(name).and_then(Json::text).filter(|text| !text.is_empty());
            text.map(str::to_owned).ok_or_else(|| ProviderError::Document(format!("its answer has no `{name}`")))
        };
        let seconds = |name: &str, default: i64| match answer.get(name) {
            Some(Json::Integer(seconds)) => Duration::from_secs((*seconds).clamp(1, DEVICE_S_MAX).unsigned_abs()),
            _ => Duration::from_secs(default.unsigned_abs()),
        };
        let page = |address: String| match Url::parse(&address) {
            // It is shown to a person, or opened for one.
            Ok(url) if matches!(url.scheme(), "https" | "http") => Ok(address),
            _ => Err(ProviderError::Document("its verification page has no web address".to_owned())),
        };
        let complete = answer.contains_key("verification_uri_complete");
        Ok(Device {
            code: Secret::new(text("device_code")?),
            user_code: text("user_code")?,
            verification_uri: page(text("verification_uri")?)?,
            verification_uri_complete: complete
                .then(|| text("verification_uri_complete").and_then(page))
                .transpose()?,
            expires_in: seconds("expires_in", DEVICE_S_MAX),
            interval: seconds("interval", INTERVAL_S),
        })
    }
}

pub(super) fn authorization_url(endpoint: &Url, settings: &Settings, login: &Login, redirect: &str) -> String {
    let challenge = digest::digest(&digest::SHA256, login.verifier.expose().as_bytes());
    let query = encoded(&[
        ("response_type", "code".to_owned()),
        ("client_id", settings.rules.client_id.clone()),
        ("redirect_uri", redirect.to_owned()),
        ("scope", scope(settings)),
        ("state", login.state.expose().to_owned()),
        ("nonce", login.nonce.expose().to_owned()),
        ("code_challenge", URL_SAFE_NO_PAD.encode(challenge)),
        ("code_challenge_method", "S256".to_owned()),
    ]);
    // An endpoint may have a query of its own (RFC 6749, 3.1).
    let joint = if endpoint.query().is_some() { '&' } else { '?' };
    format!("{endpoint}{joint}{query}")
}

pub(super) fn code(code: &str, redirect: &str, login: &Login) -> [(&'static str, String); 4] {
    [
        ("grant_type", "authorization_code".to_owned()),
        ("code", code.to_owned()),
        ("redirect_uri", redirect.to_owned()),
        ("code_verifier", login.verifier.expose().to_owned()),
    ]
}

pub(super) fn device(settings: &Settings) -> [(&'static str, String); 1] {
    [("scope", scope(settings))]
}

pub(super) fn device_code(device: &Device) -> [(&'static str, String); 2] {
    [
        ("grant_type", "urn:ietf:params:oauth:grant-type:device_code".to_owned()),
        ("device_code", device.code.expose().to_owned()),
    ]
}

pub(super) fn refresh(token: &Secret) -> [(&'static str, String); 2] {
    [("grant_type", "refresh_token".to_owned()), ("refresh_token", token.expose().to_owned())]
}

fn scope(settings: &Settings) -> String {
    let others = settings.scopes.iter().filter(|scope| *scope != "openid").map(String::as_str);
    std::iter::once("openid").chain(others).collect::<Vec<_>>().join(" ")
}

/// The form with the gateway's own proof (RFC 6749, 2.3.1): in a header, in the form, or by name alone for a public client.
pub(super) fn authenticated(
    settings: &Settings,
    secret_in_body: bool,
    form: &[(&str, String)],
) -> (String, Option<Secret>) {
    let client = settings.rules.client_id.as_str();
    let mut form = form.to_vec();
    match &settings.client_secret {
        Some(secret) if !secret_in_body => {
            let both = format!("{}:{}", escaped(client), escaped(secret.expose()));
            (encoded(&form), Some(Secret::new(format!("Basic {}", STANDARD.encode(both)))))
        }
        secret => {
            form.push(("client_id", client.to_owned()));
            form.extend(secret.iter().map(|secret| ("client_secret", secret.expose().to_owned())));
            (encoded(&form), None)
        }
    }
}

/// The provider's reason for not doing something.
pub(super) fn refusal(body: &[u8], endpoint: &Url, status: StatusCode) -> ProviderError {
    let answer = Json::read_object(body).unwrap_or_default();
    let text = |name: &str| answer.get(name).and_then(Json::text).map(shown);
    match text("error") {
        Some(error) => ProviderError::Refused { error, description: text("error_description") },
        None => ProviderError::Unreachable(format!("{endpoint} answered {status}")),
    }
}

fn secret(answer: &Object, name: &str) -> Result<Option<Secret>, ProviderError> {
    match answer.get(name) {
        None | Some(Json::Null) => Ok(None),
        Some(Json::Text(text)) if !text.is_empty() => Ok(Some(Secret::new(text.clone()))),
        Some(_) => Err(ProviderError::Document(format!("its `{name}` is not a string"))),
    }
}

/// `application/x-www-form-urlencoded`, which a query may be too.
fn encoded(fields: &[(&str, String)]) -> String {
    fields.iter().map(|(name, value)| format!("{name}={}", escaped(value))).collect::<Vec<_>>().join("&")
}

fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => out.push(char::from(byte)),
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}
