//! What another site has a browser ask for here (Fetch Metadata). It may send people here, and a SAML provider may have them post
//! a form; all else, such as a picture whose address is one of ours, is nobody's wish. It is refused before anything is looked at,
//! and counts against nobody: else any page that somebody has open could keep a whole office from signing in. Programs say
//! nothing of sites, and are not meant.

use axum::http::{HeaderMap, Method};

/// Where SAML providers have browsers post their answers.
const ACS: &str = "/saml/{name}/acs";

/// Whether a request is another site's, and not a person who goes from there to here. `route` is the endpoint's own path.
pub(crate) fn is_another_sites(method: &Method, route: &str, headers: &HeaderMap) -> bool {
    let says =
        |name: &str, words: &[&str]| headers.get(name).is_none_or(|value| words.iter().any(|word| value == word));
    if says("sec-fetch-site", &["same-origin", "none"]) {
        return false;
    }
    let goes_here = says("sec-fetch-mode", &["navigate"]) && says("sec-fetch-dest", &["document"]);
    let asks = matches!(*method, Method::GET | Method::HEAD) || (*method == Method::POST && route == ACS);
    !(goes_here && asks)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;

    #[test]
    fn people_come_here_and_nothing_else_does() {
        let get = Method::GET;
        for (method, route, said, refused) in [
            (&get, "/api/v1/whoami", "", false),
            (&Method::POST, "/api/v1/tokens", "", false),
            (&get, "/login", "none navigate document", false),
            (&Method::POST, "/login", "same-origin navigate document", false),
            (&get, "/oidc/{name}/callback", "cross-site navigate document", false),
            (&get, "/oidc/{name}/callback", "same-site navigate document", false),
            (&get, "/oidc/{name}/callback", "cross-site no-cors image", true),
            (&get, "/oidc/{name}/callback", "same-site no-cors script", true),
            (&get, "/oidc/{name}/login", "cross-site navigate iframe", true),
            (&get, "/oidc/{name}/login", "cross-site navigate object", true),
            (&get, "/api/v1/health", "cross-site cors empty", true),
            (&Method::POST, "/saml/{name}/acs", "cross-site navigate document", false),
            (&Method::POST, "/saml/{name}/acs", "cross-site no-cors empty", true),
            (&Method::POST, "/saml/{name}/acs", "cross-site navigate iframe", true),
            (&Method::POST, "/approvals/{id}", "cross-site navigate document", true),
            (&Method::POST, "/api/v1/login-requests/{id}/token", "cross-site no-cors empty", true),
            (&Method::DELETE, "/api/v1/login", "cross-site navigate document", true),
            (&get, "/login", "nonsense no-cors image", true),
        ] {
            let mut headers = HeaderMap::new();
            for (name, word) in
                ["sec-fetch-site", "sec-fetch-mode", "sec-fetch-dest"].into_iter().zip(said.split_whitespace())
            {
                headers.insert(name, word.parse().unwrap());
            }
            assert_eq!(is_another_sites(method, route, &headers), refused, "{method} {route} {said}");
        }
    }
}
