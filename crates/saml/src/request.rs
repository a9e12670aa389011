//! The request that begins a login here (core, section 3.4.1), by HTTP-Redirect or HTTP-POST.

use crate::canonical::{Method, canonical};
use crate::encoding::{base64_encode, deflate_stored, query_value, xml_escape};
use crate::keys::{Mistake, SigningKey};
use crate::names;
use crate::settings::ServiceProvider;
use crate::xml::parse;
use aws_lc_rs::digest;
use lockgate_core::{Timestamp, limits};

/// The identifier of a request. The caller keeps it, bound to the browser that it sends away, until the answer comes, and gives
/// it up with the first answer.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct RequestId(String);

impl RequestId {
    /// From 160 random bits (core, section 1.3.4).
    pub fn from_random(random: [u8; 20]) -> Self {
        let digits = random.iter().flat_map(|b| [b >> 4, b & 15]).filter_map(|d| char::from_digit(u32::from(d), 16));
        // An `xs:ID` does not begin with a digit.
        RequestId(std::iter::once('_').chain(digits).collect())
    }

    /// An identifier that was kept.
    pub fn from_kept(text: impl Into<String>) -> Self {
        RequestId(text.into())
    }

    /// Its text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// How a request travels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Binding {
    /// In the address that the browser is sent to.
    Redirect,
    /// In a form that the browser posts.
    Post,
}

/// A request on its way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outgoing {
    /// Send the browser to this address.
    Redirect(String),
    /// Let the browser post these fields, names and values, to this address. Neither is escaped.
    Post {
        /// The address.
        action: String,
        /// The fields.
        fields: Vec<(&'static str, String)>,
    },
}

impl ServiceProvider {
    /// A request to log somebody in, by HTTP-Redirect where the provider takes that.
    ///
    /// # Errors
    /// When `relay_state` is longer than SAML allows, or signing failed.
    pub fn request(&self, id: &RequestId, relay_state: Option<&str>, now: Timestamp) -> Result<Outgoing, Mistake> {
        let binding = if self.provider.redirect.is_some() { Binding::Redirect } else { Binding::Post };
        self.request_by(binding, id, relay_state, now)
    }

    /// The same, by a binding of the caller's choice.
    ///
    /// # Errors
    /// As [`ServiceProvider::request`], and when the provider does not take requests that way.
    pub fn request_by(
        &self,
        binding: Binding,
        id: &RequestId,
        relay_state: Option<&str>,
        now: Timestamp,
    ) -> Result<Outgoing, Mistake> {
        if relay_state.is_some_and(|state| state.len() > limits::SAML_RELAY_STATE_BYTES_MAX) {
            return Err(Mistake::new(format!(
                "a relay state has at most {} bytes",
                limits::SAML_RELAY_STATE_BYTES_MAX
            )));
        }
        let location = match binding {
            Binding::Redirect => self.provider.redirect.as_deref(),
            Binding::Post => self.provider.post.as_deref(),
        };
        let location = location.ok_or_else(|| Mistake::new("the provider does not take requests that way"))?;
        match binding {
            Binding::Redirect => self.redirect(location, &self.xml(id, location, now, ""), relay_state),
            Binding::Post => {
                let plain = self.xml(id, location, now, "");
                let xml = match &self.settings.signing_key {
                    Some(key) => self.xml(id, location, now, &enveloped(key, id, &plain)?),
                    None => plain,
                };
                let mut fields = vec![("SAMLRequest", base64_encode(xml.as_bytes()))];
                fields.extend(relay_state.map(|state| ("RelayState", state.to_owned())));
                Ok(Outgoing::Post { action: location.to_owned(), fields })
            }
        }
    }

    /// SAML bindings, section 3.4.4.1: what is signed is the query itself.
    fn redirect(&self, location: &str, xml: &str, relay_state: Option<&str>) -> Result<Outgoing, Mistake> {
        let mut query = format!("SAMLRequest={}", query_value(&base64_encode(&deflate_stored(xml.as_bytes()))));
        if let Some(state) = relay_state {
            query.push_str("&RelayState=");
            query.push_str(&query_value(state));
        }
        if let Some(key) = &self.settings.signing_key {
            query.push_str("&SigAlg=");
            query.push_str(&query_value(key.algorithm()));
            let signature = key.sign(query.as_bytes())?;
            query.push_str("&Signature=");
            query.push_str(&query_value(&base64_encode(&signature)));
        }
        let separator = if location.contains('?') { '&' } else { '?' };
        Ok(Outgoing::Redirect(format!("{location}{separator}{query}")))
    }

    fn xml(&self, id: &RequestId, location: &str, now: Timestamp, signature: &str) -> String {
        let contexts: String = self
            .settings
            .authn_contexts
            .iter()
            .map(|c| format!("<saml:AuthnContextClassRef>{}</saml:AuthnContextClassRef>", xml_escape(c)))
            .collect();
        let contexts = match contexts.is_empty() {
            true => contexts,
            false => {
                format!("<samlp:RequestedAuthnContext Comparison=\"exact\">{contexts}</samlp:RequestedAuthnContext>")
            }
        };
        format!(
            "<samlp:AuthnRequest xmlns:samlp=\"{}\" xmlns:saml=\"{}\" ID=\"{}\" Version=\"2.0\" IssueInstant=\"{now}\" Destination=\"{}\" ProtocolBinding=\"{}\" AssertionConsumerServiceURL=\"{}\"><saml:Issuer>{}</saml:Issuer>{signature}<samlp:NameIDPolicy AllowCreate=\"true\"/>{contexts}</samlp:AuthnRequest>",
            names::PROTOCOL,
            names::ASSERTION,
            xml_escape(id.as_str()),
            xml_escape(location),
            names::POST,
            xml_escape(&self.settings.acs),
            xml_escape(&self.settings.entity_id),
        )
    }
}

/// A signature over a request, to be put into it.
fn enveloped(key: &SigningKey, id: &RequestId, plain: &str) -> Result<String, Mistake> {
    let failed = || Mistake::new("the request cannot be signed");
    let root = parse(plain.as_bytes(), limits::SAML_MESSAGE_BYTES_MAX).map_err(|_| failed())?;
    let content = canonical(&root, &Method::default(), None).map_err(|_| failed())?;
    let hash = base64_encode(digest::digest(&digest::SHA256, &content).as_ref());
    // Written in canonical form, so that these bytes are what is signed.
    let info = format!(
        "<ds:SignedInfo xmlns:ds=\"{}\"><ds:CanonicalizationMethod Algorithm=\"{}\"></ds:CanonicalizationMethod><ds:SignatureMethod Algorithm=\"{}\"></ds:SignatureMethod><ds:Reference URI=\"#{}\"><ds:Transforms><ds:Transform Algorithm=\"{}\"></ds:Transform><ds:Transform Algorithm=\"{}\"></ds:Transform></ds:Transforms><ds:DigestMethod Algorithm=\"{}\"></ds:DigestMethod><ds:DigestValue>{hash}</ds:DigestValue></ds:Reference></ds:SignedInfo>",
        names::DSIG,
        names::EXCLUSIVE,
        key.algorithm(),
        xml_escape(id.as_str()),
        names::ENVELOPED,
        names::EXCLUSIVE,
        names::SHA256,
    );
    let value = base64_encode(&key.sign(info.as_bytes())?);
    Ok(format!(
        "<ds:Signature xmlns:ds=\"{}\">{info}<ds:SignatureValue>{value}</ds:SignatureValue><ds:KeyInfo><ds:X509Data><ds:X509Certificate>{}</ds:X509Certificate></ds:X509Data></ds:KeyInfo></ds:Signature>",
        names::DSIG,
        key.certificate.base64,
    ))
}
