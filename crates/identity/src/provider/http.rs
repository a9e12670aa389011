//! Asking a provider over HTTP: no redirects, no proxy from the environment, a limit for every wait and every byte.

use super::{ProviderError, Settings};
use lockgate_core::{Secret, limits};
use reqwest::redirect::Policy;
use reqwest::{Certificate, Client, RequestBuilder, Response, StatusCode, Url, header};
use rustls::CertificateError;
use std::error::Error;
use std::time::Duration;

/// A way to a provider.
pub(super) struct Http {
    client: Client,
}

/// What a provider answered.
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) body: Vec<u8>,
}

impl Http {
    pub(super) fn new(settings: &Settings) -> Result<Self, ProviderError> {
        let unusable = |error: reqwest::Error| ProviderError::Unreachable(chain(&error));
        let secure = settings.rules.issuer.starts_with("https://");
        let mut builder = Client::builder()
            .user_agent(concat!("lockgate/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(Duration::from_millis(limits::PROVIDER_CONNECT_MS_MAX))
            .timeout(Duration::from_millis(limits::PROVIDER_ANSWER_MS_MAX))
            // A provider that closes a connection just as it is used again may have taken the refresh token that was sent, and its
            // answer, with the next one, is lost. Many close after five seconds.
            .pool_idle_timeout(Duration::from_millis(limits::PROVIDER_IDLE_MS_MAX))
            // Whoever can redirect could have the gateway ask anybody anything.
            .redirect(Policy::none())
            .referer(false)
            .no_proxy()
            .https_only(secure);
        if let Some(pem) = &settings.ca {
            let unreadable = || ProviderError::Document("its `ca` holds no certificate (PEM)".to_owned());
            let authorities = Certificate::from_pem_bundle(pem).map_err(|_| unreadable())?;
            if authorities.is_empty() {
                return Err(unreadable());
            }
            builder = builder.tls_certs_only(authorities);
        } else if !secure {
            // In clear on this machine nobody's certificate is needed.
            builder = builder.tls_certs_only([]);
        }
        Ok(Http { client: builder.build().map_err(unusable)? })
    }

    /// A document that has to be there.
    pub(super) async fn document(&self, url: &Url, bearer: Option<&Secret>) -> Result<Vec<u8>, ProviderError> {
        let mut request = self.client.get(url.clone()).header(header::ACCEPT, "application/json");
        if let Some(token) = bearer {
            request = request.bearer_auth(token.expose());
        }
        let answer = send(request, url).await?;
        match answer.status {
            StatusCode::OK => Ok(answer.body),
            status => Err(ProviderError::Unreachable(format!("{url} answered {status}"))),
        }
    }

    /// A document that is for the holder of a token; `None` where the token is not taken.
    pub(super) async fn shown_to(&self, url: &Url, token: &Secret) -> Result<Option<Vec<u8>>, ProviderError> {
        let request = self.client.get(url.clone()).header(header::ACCEPT, "application/json");
        let answer = send(request.bearer_auth(token.expose()), url).await?;
        match answer.status {
            StatusCode::OK => Ok(Some(answer.body)),
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => Ok(None),
            status => Err(ProviderError::Unreachable(format!("{url} answered {status}"))),
        }
    }

    /// A form; the answer may be an error that the caller understands.
    pub(super) async fn form(
        &self,
        url: &Url,
        form: String,
        authorization: Option<&Secret>,
    ) -> Result<Answer, ProviderError> {
        let mut request = self
            .client
            .post(url.clone())
            .header(header::ACCEPT, "application/json")
            .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
            .body(form);
        if let Some(value) = authorization {
            request = request.header(header::AUTHORIZATION, value.expose());
        }
        send(request, url).await
    }
}

async fn send(request: RequestBuilder, url: &Url) -> Result<Answer, ProviderError> {
    let exchange = async {
        let response = request.send().await.map_err(|error| match refused_certificate(&error) {
            Some(why) => ProviderError::Untrusted(format!("that of {url} {}", in_words(why))),
            None => ProviderError::Unreachable(chain(&error)),
        })?;
        let status = response.status();
        Ok(Answer { status, body: body(response, url).await? })
    };
    // The client's own limit begins anew with every part of an answer that trickles in; this one does not.
    let limit = Duration::from_millis(limits::PROVIDER_ANSWER_MS_MAX);
    let late = || ProviderError::Unreachable(format!("{url} did not answer within {limit:?}"));
    tokio::time::timeout(limit, exchange).await.map_err(|_| late())?
}

async fn body(mut response: Response, url: &Url) -> Result<Vec<u8>, ProviderError> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|error| ProviderError::Unreachable(chain(&error)))? {
        if body.len().saturating_add(chunk.len()) > limits::PROVIDER_DOCUMENT_BYTES_MAX {
            let limit = limits::PROVIDER_DOCUMENT_BYTES_MAX;
            return Err(ProviderError::Document(format!("{url} answered more than {limit} bytes")));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

/// What was wrong with the other side's certificate, if that is why an exchange failed.
fn refused_certificate<'e>(error: &'e (dyn Error + 'static)) -> Option<&'e CertificateError> {
    let mut here = error;
    for _ in 0..16 {
        if let Some(rustls::Error::InvalidCertificate(why)) = here.downcast_ref() {
            return Some(why);
        }
        // An error of input and output names as its source what its own error comes from, and not that itself.
        here = match here.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref) {
            Some(inner) => inner,
            None => here.source()?,
        };
    }
    None
}

fn in_words(why: &CertificateError) -> String {
    match why {
        // Two authorities of the same name sign differently.
        CertificateError::UnknownIssuer | CertificateError::BadSignature => {
            "is not signed by an authority that is trusted for it: `ca` of the provider names one, else the system's count".to_owned()
        }
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            format!("is for another name: {why}")
        }
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => format!("has expired: {why}"),
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            format!("does not count yet: {why}")
        }
        why => format!("does not count: {why}"),
    }
}

/// The error and what caused it: the outermost text alone says little.
fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    for _ in 0..8 {
        let Some(cause) = source else { break };
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        source = cause.source();
    }
    text
}
