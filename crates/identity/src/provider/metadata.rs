//! What an OpenID Connect provider says of itself (OpenID Connect Discovery 1.0; RFC 8414). Pure. An address is only taken where
//! asking it cannot be turned against somebody else: over TLS, or on this very machine when the issuer is too.

use super::ProviderError;
use crate::json::{Json, Object};
use reqwest::Url;

/// Where a provider is asked for what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Metadata {
    /// Its keys.
    pub(super) jwks: Url,
    /// Where a browser is sent to log in.
    pub(super) authorization: Option<Url>,
    /// Where codes and other grants become tokens.
    pub(super) token: Option<Url>,
    /// Where a device asks for a code.
    pub(super) device: Option<Url>,
    /// Where an access token's user is described.
    pub(super) userinfo: Option<Url>,
    /// Where a token's state is told.
    pub(super) introspection: Option<Url>,
    /// Where a token is given back.
    pub(super) revocation: Option<Url>,
    /// How the gateway shows its own secret.
    pub(super) secret_in_body: bool,
    /// Whether answers carry `iss` (RFC 9207), so that one without it is another's.
    pub(super) answers_name_issuer: bool,
}

/// The address of a configured issuer.
///
/// # Errors
/// When it is none that the gateway would ask.
pub(super) fn issuer_url(issuer: &str) -> Result<Url, ProviderError> {
    let url = Url::parse(issuer).map_err(|error| ProviderError::Document(format!("issuer `{issuer}`: {error}")))?;
    let safe = url.scheme() == "https" || (url.scheme() == "http" && is_loopback(&url));
    let bare = url.username().is_empty()
        && url.password().is_none()
        && url.query().is_none()
        && url.fragment().is_none()
        && url.host_str().is_some();
    match safe && bare {
        true => Ok(url),
        false => Err(ProviderError::Document(format!(
            "issuer `{issuer}` is not an https address without user, query and fragment (http only on this machine)"
        ))),
    }
}

/// Where the provider's document about itself is.
pub(super) fn document_url(issuer: &str) -> Result<Url, ProviderError> {
    issuer_url(issuer)?;
    let address = format!("{}/.well-known/openid-configuration", issuer.trim_end_matches('/'));
    Url::parse(&address).map_err(|error| ProviderError::Document(format!("issuer `{issuer}`: {error}")))
}

fn is_loopback(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default();
    let host = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

impl Metadata {
    /// Reads the document of `issuer`.
    ///
    /// # Errors
    /// When it is another issuer's, or names an address that is not asked.
    pub(super) fn read(document: &[u8], issuer: &str) -> Result<Self, ProviderError> {
        let wrong = ProviderError::Document;
        let base = issuer_url(issuer)?;
        let members =
            Json::read_object(document).map_err(|why| wrong(format!("its description is unusable: {why}")))?;
        // OpenID Connect Discovery, 4.3: character for character.
        match members.get("issuer").and_then(Json::text) {
            Some(named) if named == issuer => {}
            Some(named) => {
                return Err(wrong(format!("it calls itself `{}`, not `{issuer}`", crate::jwt::shown(named))));
            }
            None => return Err(wrong("its description names no issuer".to_owned())),
        }
        let at = |name: &str| address(&members, name, &base);
        let jwks = at("jwks_uri")?.ok_or_else(|| wrong("its description names no `jwks_uri`".to_owned()))?;
        let methods = members.get("token_endpoint_auth_methods_supported").and_then(Json::list);
        let knows = |method: &str| methods.is_some_and(|all| all.iter().any(|known| known.text() == Some(method)));
        Ok(Metadata {
            jwks,
            authorization: at("authorization_endpoint")?,
            token: at("token_endpoint")?,
            device: at("device_authorization_endpoint")?,
            userinfo: at("userinfo_endpoint")?,
            introspection: at("introspection_endpoint")?,
            revocation: at("revocation_endpoint")?,
            // Basic is the default, and the better one: a body is logged more often.
            secret_in_body: !knows("client_secret_basic") && knows("client_secret_post"),
            answers_name_issuer: members.get("authorization_response_iss_parameter_supported")
                == Some(&Json::Bool(true)),
        })
    }

    /// Whether the gateway can send somebody there to log in by a browser, or by a code on a device.
    pub const fn logs_in(&self) -> (bool, bool) {
        let token = self.token.is_some();
        (token && self.authorization.is_some(), token && self.device.is_some())
    }
}

fn address(members: &Object, name: &str, issuer: &Url) -> Result<Option<Url>, ProviderError> {
    let Some(value) = members.get(name) else { return Ok(None) };
    let refused = |why: &str| ProviderError::Document(format!("its description's `{name}` {why}"));
    let text = value.text().ok_or_else(|| refused("is not a string"))?;
    let url = Url::parse(text).map_err(|_| refused("is not an address"))?;
    // An issuer in clear is on this machine, where other services listen too: only it itself is asked.
    let safe = url.scheme() == "https" || (issuer.scheme() == "http" && url.origin() == issuer.origin());
    if !safe {
        return Err(refused("is not an https address"));
    }
    if !url.username().is_empty() || url.password().is_some() || url.fragment().is_some() {
        return Err(refused("has a user or a fragment in it"));
    }
    Ok(Some(url))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn issuers() {
        for (issuer, good) in [
            ("https://idp.example.com", true),
            ("https://idp.example.com/realms/corp", true),
            ("http://127.0.0.1:9400", true),
            ("http://[::1]:9400/x", true),
            ("http://localhost:9400", true),
            ("http://idp.example.com", false),
            ("http://127.0.0.1.example.com", false),
            ("http://localhost@example.com", false),
            ("https://u:p@idp.example.com", false),
            ("https://idp.example.com?x=1", false),
            ("https://idp.example.com#x", false),
            ("file:///etc/passwd", false),
            ("idp.example.com", false),
            ("", false),
        ] {
            assert_eq!(issuer_url(issuer).is_ok(), good, "{issuer}");
        }
        let at = document_url("https://idp.example.com/realms/corp/").unwrap();
        assert_eq!(at.as_str(), "https://idp.example.com/realms/corp/.well-known/openid-configuration");
    }

    #[test]
    fn documents() {
        let read = |text: &str| Metadata::read(text.as_bytes(), "https://idp.example.com").map_err(|e| e.to_string());
        let good = r#"{"issuer":"https://idp.example.com","jwks_uri":"https://keys.example.org/jwks","token_endpoint":"https://idp.example.com/token","authorization_endpoint":"https://idp.example.com/auth?x=1","token_endpoint_auth_methods_supported":["client_secret_post"]}"#;
        let metadata = read(good).unwrap();
        assert!(metadata.secret_in_body && metadata.device.is_none());
        assert_eq!(metadata.logs_in(), (true, false));
        for (from, to, why) in [
            (r#""issuer":"https://idp.example.com""#, r#""issuer":"https://idp.example.com/""#, "calls itself"),
            (r#""issuer":"https://idp.example.com","#, "", "names no issuer"),
            ("https://keys.example.org/jwks", "http://keys.example.org/jwks", "`jwks_uri` is not an https"),
            ("https://keys.example.org/jwks", "http://127.0.0.1/jwks", "`jwks_uri` is not an https"),
            ("https://keys.example.org/jwks", "file:///etc/passwd", "`jwks_uri` is not an https"),
            ("https://keys.example.org/jwks", "https://u@keys.example.org/jwks", "a user"),
            ("https://keys.example.org/jwks", "/jwks", "is not an address"),
            (r#""jwks_uri""#, r#""jwks""#, "names no `jwks_uri`"),
            (r#""jwks_uri""#, r#""issuer""#, "twice"),
        ] {
            let found = read(&good.replacen(from, to, 1)).unwrap_err();
            assert!(found.contains(why), "{to}: {found}");
        }
        let here = |at: &str| {
            let text = format!(r#"{{"issuer":"http://127.0.0.1:9400","jwks_uri":"{at}"}}"#);
            Metadata::read(text.as_bytes(), "http://127.0.0.1:9400").is_ok()
        };
        assert!(here("http://127.0.0.1:9400/jwks") && here("https://keys.example.org/jwks"));
        assert!(!here("http://127.0.0.1:5432/") && !here("http://localhost:9400/") && !here("http://169.254.169.254/"));
    }
}
