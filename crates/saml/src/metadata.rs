//! The identity provider's metadata (SAML metadata, section 2): who it is, where it takes requests, which keys it signs with.
//!
//! The file is configuration and is trusted as that: a signature on it is not looked at. It is read by the same parser as messages.

use crate::encoding::base64_decode;
use crate::instant::instant;
use crate::keys::{Mistake, VerificationKey};
use crate::names;
use crate::settings::web_address;
use crate::xml::{Element, parse};
use lockgate_core::{Timestamp, limits};

/// What is known of an identity provider.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdentityProvider {
    pub(crate) entity_id: String,
    pub(crate) redirect: Option<String>,
    pub(crate) post: Option<String>,
    pub(crate) keys: Vec<VerificationKey>,
    pub(crate) wants_signed_requests: bool,
    pub(crate) valid_until: Option<Timestamp>,
}

impl IdentityProvider {
    /// Reads an `EntityDescriptor`, whole.
    ///
    /// # Errors
    /// What is missing or malformed. The text repeats nothing of the file but names.
    pub fn from_metadata(xml: &[u8]) -> Result<Self, Mistake> {
        let root = parse(xml, limits::SAML_METADATA_BYTES_MAX)
            .map_err(|error| Mistake::new(format!("the metadata cannot be read: {error}")))?;
        if root.is(names::METADATA, "EntitiesDescriptor") {
            return Err(Mistake::new("the metadata is of several parties; configure the `EntityDescriptor` of one"));
        }
        if !root.is(names::METADATA, "EntityDescriptor") {
            return Err(Mistake::new("the metadata is not an `EntityDescriptor`"));
        }
        let entity_id = root.attribute("entityID").unwrap_or("").trim().to_owned();
        if entity_id.is_empty() || entity_id.len() > limits::SAML_IDENTIFIER_BYTES_MAX {
            return Err(Mistake::new("the metadata has no `entityID`, or one that is too long"));
        }
        let speaks_saml_2 = |role: &&Element| {
            let protocols = role.attribute("protocolSupportEnumeration").unwrap_or("");
            protocols.split_whitespace().any(|protocol| protocol == names::PROTOCOL)
        };
        let mut roles = root.named(names::METADATA, "IDPSSODescriptor").filter(speaks_saml_2);
        let (Some(role), None) = (roles.next(), roles.next()) else {
            return Err(Mistake::new("the metadata has to have one `IDPSSODescriptor` for SAML 2.0"));
        };
        let mut valid_until = None;
        for text in [&root, role].into_iter().filter_map(|element| element.attribute("validUntil")) {
            let until =
                instant(text).ok_or_else(|| Mistake::new("the metadata's `validUntil` is not a time in UTC"))?;
            valid_until = Some(valid_until.map_or(until, |earlier: Timestamp| earlier.min(until)));
        }
        let provider = IdentityProvider {
            entity_id,
            redirect: endpoint(role, names::REDIRECT)?,
            post: endpoint(role, names::POST)?,
            keys: signing_keys(role)?,
            wants_signed_requests: matches!(
                role.attribute("WantAuthnRequestsSigned").map(str::trim),
                Some("true" | "1")
            ),
            valid_until,
        };
        if provider.redirect.is_none() && provider.post.is_none() {
            return Err(Mistake::new("the metadata has no `SingleSignOnService` by HTTP-Redirect or HTTP-POST"));
        }
        Ok(provider)
    }

    /// Its name, which every assertion has to have as issuer.
    pub fn entity_id(&self) -> &str {
        &self.entity_id
    }
}

fn endpoint(role: &Element, binding: &str) -> Result<Option<String>, Mistake> {
    let mut services = role.named(names::METADATA, "SingleSignOnService");
    let Some(service) = services.find(|s| s.attribute("Binding") == Some(binding)) else {
        return Ok(None);
    };
    let location = service.attribute("Location").unwrap_or("").trim();
    match web_address(location) {
        true => Ok(Some(location.to_owned())),
        false => Err(Mistake::new("the metadata's `SingleSignOnService` is not at an https address")),
    }
}

fn signing_keys(role: &Element) -> Result<Vec<VerificationKey>, Mistake> {
    let mut keys: Vec<VerificationKey> = Vec::new();
    let descriptors = role.named(names::METADATA, "KeyDescriptor");
    for descriptor in descriptors.filter(|d| d.attribute("use").is_none_or(|usage| usage == "signing")) {
        let infos = descriptor.named(names::DSIG, "KeyInfo");
        let data = infos.flat_map(|info| info.named(names::DSIG, "X509Data"));
        for certificate in data.flat_map(|data| data.named(names::DSIG, "X509Certificate")) {
            let der = certificate.text().and_then(base64_decode);
            let der = der.ok_or_else(|| Mistake::new("a certificate in the metadata is not base64"))?;
            let key = VerificationKey::of_certificate(&der)?;
            if !keys.contains(&key) {
                keys.push(key);
            }
            if keys.len() > limits::SAML_CERTIFICATES_MAX {
                return Err(Mistake::new("the metadata has too many certificates"));
            }
        }
    }
    match keys.is_empty() {
        true => Err(Mistake::new("the metadata has no certificate for signing")),
        false => Ok(keys),
    }
}
