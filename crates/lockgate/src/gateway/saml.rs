//! The SAML providers of the configuration: their files read, their settings put together. What a response proves is decided in
//! `lockgate-saml`.

use anyhow::Context;
use lockgate_config::{Saml, SamlSigned, TlsFiles};
use lockgate_core::{Secret, is_name};
use lockgate_saml::{
    DecryptionKey, IdentityProvider, Login, ServiceProvider, Settings, SigningKey, UserSource, WantSigned,
};
use std::collections::BTreeSet;

/// One provider, and what the configuration adds to what it says of people.
pub struct Provider {
    service: ServiceProvider,
    user_prefix: String,
    groups: BTreeSet<String>,
}

impl Provider {
    /// Reads what the configuration names. `url` is where browsers reach the gateway.
    ///
    /// # Errors
    /// Which file or setting cannot be used, and why.
    pub fn build(saml: &Saml, url: &str) -> anyhow::Result<Self> {
        let metadata =
            std::fs::read(&saml.metadata).with_context(|| format!("cannot read `{}`", saml.metadata.display()))?;
        let provider =
            IdentityProvider::from_metadata(&metadata).with_context(|| format!("`{}`", saml.metadata.display()))?;
        let signing = saml.signing.as_ref().map(|files| {
            let (key, certificate) = pem(files)?;
            SigningKey::from_pem(&key, &certificate).with_context(|| format!("`{}`", files.key.display()))
        });
        let decryption = saml.decryption.iter().map(|files| {
            let (key, certificate) = pem(files)?;
            DecryptionKey::from_pem(&key, &certificate).with_context(|| format!("`{}`", files.key.display()))
        });
        let ours = format!("{url}/saml/{}", saml.name);
        let entity_id = saml.entity_id.clone().unwrap_or_else(|| format!("{ours}/metadata"));
        let settings = Settings {
            user: saml.user_attribute.clone().map_or(UserSource::NameId, UserSource::Attribute),
            groups_attribute: saml.groups_attribute.clone(),
            allow_idp_initiated: saml.allow_idp_initiated,
            want_signed: match saml.want_signed {
                SamlSigned::Either => WantSigned::Either,
                SamlSigned::Response => WantSigned::Response,
                SamlSigned::Assertion => WantSigned::Assertion,
                SamlSigned::Both => WantSigned::Both,
            },
            allow_cbc: saml.allow_cbc,
            authn_contexts: saml.authn_contexts.clone(),
            signing_key: signing.transpose()?,
            decryption_keys: decryption.collect::<anyhow::Result<_>>()?,
            ..Settings::new(saml.name.clone(), entity_id, format!("{ours}/acs"))
        };
        let (user_prefix, groups) = (saml.user_prefix.clone(), saml.groups.clone());
        Ok(Provider { service: ServiceProvider::new(settings, provider)?, user_prefix, groups })
    }

    /// Its name in the configuration.
    pub fn name(&self) -> &str {
        self.service.name()
    }

    /// Our side of the agreement with it.
    pub const fn service(&self) -> &ServiceProvider {
        &self.service
    }

    /// The user name and the groups of a login, with what the configuration adds.
    ///
    /// # Errors
    /// When they cannot be those of an identity.
    pub fn person(&self, login: &Login) -> Result<(String, BTreeSet<String>), String> {
        let user = format!("{}{}", self.user_prefix, login.user);
        let groups: BTreeSet<String> = login.groups.union(&self.groups).cloned().collect();
        match is_name(&user) && groups.len() <= lockgate_core::limits::GROUPS_MAX {
            true => Ok((user, groups)),
            false => Err("the user name is too long, or there are too many groups".to_owned()),
        }
    }
}

fn pem(files: &TlsFiles) -> anyhow::Result<(Secret, String)> {
    let read = |path: &std::path::Path| {
        std::fs::read_to_string(path).with_context(|| format!("cannot read `{}`", path.display()))
    };
    Ok((Secret::new(read(&files.key)?), read(&files.certificate)?))
}
