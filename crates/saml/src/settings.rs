//! What an administrator says about one identity provider, checked once and kept as a [`ServiceProvider`]: our side of the
//! agreement with it.

use crate::encoding::xml_escape;
use crate::keys::{DecryptionKey, Mistake, SigningKey};
use crate::metadata::IdentityProvider;
use crate::names;
use lockgate_core::limits;

/// Where the user name comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UserSource {
    /// The subject's `NameID`, unless it is a transient one.
    NameId,
    /// The only value of the attribute with this `Name`, or else with this `FriendlyName`.
    Attribute(String),
}

/// Which signatures there have to be. Those that are there beyond that have to hold too.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum WantSigned {
    /// The response or the assertion.
    #[default]
    Either,
    /// The response.
    Response,
    /// The assertion.
    Assertion,
    /// Both.
    Both,
}

/// The settings of one provider (`identity.saml[]`).
pub struct Settings {
    /// The name of these settings.
    pub name: String,
    /// Our own name, which every assertion has to have as audience.
    pub entity_id: String,
    /// Where responses are posted to: the address of our assertion consumer service as browsers know it.
    pub acs: String,
    /// Where the user name comes from.
    pub user: UserSource,
    /// The attribute whose values are the groups, by `Name` or else by `FriendlyName`.
    pub groups_attribute: Option<String>,
    /// Whether logins may begin at the provider.
    pub allow_idp_initiated: bool,
    /// Which signatures there have to be.
    pub want_signed: WantSigned,
    /// Whether AES-CBC is accepted, in signed responses.
    pub allow_cbc: bool,
    /// The ways to prove oneself to the provider that are accepted (`AuthnContextClassRef`); empty for any.
    pub authn_contexts: Vec<String>,
    /// How far the provider's clock may be off.
    pub skew_ms: i64,
    /// Signs requests, where there is one.
    pub signing_key: Option<SigningKey>,
    /// Open encrypted assertions; the first is the one in our metadata.
    pub decryption_keys: Vec<DecryptionKey>,
}

impl Settings {
    /// Settings with nothing optional: the user is the `NameID`, there are no groups.
    pub fn new(name: impl Into<String>, entity_id: impl Into<String>, acs: impl Into<String>) -> Self {
        Settings {
            name: name.into(),
            entity_id: entity_id.into(),
            acs: acs.into(),
            user: UserSource::NameId,
            groups_attribute: None,
            allow_idp_initiated: false,
            want_signed: WantSigned::default(),
            allow_cbc: false,
            authn_contexts: Vec::new(),
            skew_ms: limits::SAML_SKEW_MS_MAX,
            signing_key: None,
            decryption_keys: Vec::new(),
        }
    }
}

/// Our side of the agreement with one identity provider.
pub struct ServiceProvider {
    pub(crate) settings: Settings,
    pub(crate) provider: IdentityProvider,
}

impl ServiceProvider {
    /// Checks the settings.
    ///
    /// # Errors
    /// What cannot be as it is set.
    pub fn new(settings: Settings, provider: IdentityProvider) -> Result<Self, Mistake> {
        let named = |text: &str| {
            !text.is_empty()
                && text.len() <= limits::SAML_IDENTIFIER_BYTES_MAX
                && !text.chars().any(|c| c.is_control() || c.is_whitespace())
        };
        if !named(&settings.entity_id) {
            return Err(Mistake::new("`entity_id` has to be a name without spaces, best an address of this gateway"));
        }
        if !web_address(&settings.acs) {
            return Err(Mistake::new("`acs` has to be an https address, or http on this machine"));
        }
        if !(0..=limits::SAML_SKEW_MS_MAX).contains(&settings.skew_ms) {
            return Err(Mistake::new(format!("clocks may differ by at most {} ms", limits::SAML_SKEW_MS_MAX)));
        }
        let attributes = settings.groups_attribute.iter().chain(match &settings.user {
            UserSource::Attribute(name) => Some(name),
            UserSource::NameId => None,
        });
        if attributes.into_iter().any(|name| name.is_empty()) {
            return Err(Mistake::new("the name of an attribute is empty"));
        }
        if provider.wants_signed_requests && settings.signing_key.is_none() {
            return Err(Mistake::new("the provider wants signed requests, and no signing key is configured"));
        }
        Ok(ServiceProvider { settings, provider })
    }

    /// The name of the settings.
    pub fn name(&self) -> &str {
        &self.settings.name
    }

    /// The provider that it speaks with.
    pub fn provider(&self) -> &IdentityProvider {
        &self.provider
    }

    /// Where responses are posted to.
    pub fn acs(&self) -> &str {
        &self.settings.acs
    }

    /// Whether logins may begin at the provider.
    pub fn allows_idp_initiated(&self) -> bool {
        self.settings.allow_idp_initiated
    }

    /// Our metadata, for the provider's administrator (SAML metadata, section 2.4.4).
    pub fn metadata(&self) -> String {
        let settings = &self.settings;
        let mut keys = String::new();
        let certificates = settings.signing_key.iter().map(|key| ("signing", &key.certificate));
        for (usage, shown) in
            certificates.chain(settings.decryption_keys.iter().take(1).map(|k| ("encryption", &k.certificate)))
        {
            let methods = match usage {
                "encryption" => [names::AES256_GCM, names::AES128_GCM, names::OAEP, names::OAEP_MGF1P]
                    .map(|name| format!("<md:EncryptionMethod Algorithm=\"{name}\"/>"))
                    .concat(),
                _ => String::new(),
            };
            keys.push_str(&format!(
                "<md:KeyDescriptor use=\"{usage}\"><ds:KeyInfo xmlns:ds=\"{}\"><ds:X509Data><ds:X509Certificate>{}</ds:X509Certificate></ds:X509Data></ds:KeyInfo>{methods}</md:KeyDescriptor>",
                names::DSIG,
                shown.base64,
            ));
        }
        let wants_assertions = matches!(settings.want_signed, WantSigned::Assertion | WantSigned::Both);
        format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<md:EntityDescriptor xmlns:md=\"{}\" entityID=\"{}\"><md:SPSSODescriptor AuthnRequestsSigned=\"{}\" WantAssertionsSigned=\"{wants_assertions}\" protocolSupportEnumeration=\"{}\">{keys}<md:AssertionConsumerService Binding=\"{}\" Location=\"{}\" index=\"0\" isDefault=\"true\"/></md:SPSSODescriptor></md:EntityDescriptor>\n",
            names::METADATA,
            xml_escape(&settings.entity_id),
            settings.signing_key.is_some(),
            names::PROTOCOL,
            names::POST,
            xml_escape(&settings.acs),
        )
    }
}

/// Whether it is the address of a page that only its owner can serve: https, or http on this machine.
pub(crate) fn web_address(text: &str) -> bool {
    let plain = text.len() <= limits::SAML_IDENTIFIER_BYTES_MAX
        && text.bytes().all(|b| b.is_ascii_graphic() && !matches!(b, b'"' | b'<' | b'>' | b'\\' | b'#'));
    let host = |rest: &str| rest.split(['/', '?']).next().unwrap_or("").to_owned();
    if let Some(rest) = text.strip_prefix("https://") {
        let host = host(rest);
        return plain && !host.is_empty() && !host.contains('@');
    }
    let Some(rest) = text.strip_prefix("http://") else {
        return false;
    };
    let host = host(rest);
    let name = match host.rsplit_once(':') {
        Some((name, port)) if !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit()) => name,
        _ => &host,
    };
    plain && matches!(name, "127.0.0.1" | "localhost" | "[::1]")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses() {
        for good in [
            "https://idp.example.com",
            "https://idp.example.com:8443/sso?x=1",
            "http://127.0.0.1:9500/a",
            "http://localhost/",
            "http://[::1]:1/",
        ] {
            assert!(web_address(good), "{good}");
        }
        for bad in [
            "",
            "https://",
            "https:///a",
            "http://idp.example.com/",
            "http://127.0.0.1.example.com/",
            "http://localhost@example.com/",
            "https://a@example.com/",
            "javascript:alert(1)",
            "https://a b/",
            "https://a/\"x",
            "ftp://a/",
            "https://a/#f",
            "HTTPS://a/",
        ] {
            assert!(!web_address(bad), "{bad}");
        }
    }
}
