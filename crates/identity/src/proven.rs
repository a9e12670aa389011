//! What an identity provider proved about somebody, whichever protocol it spoke. Only code that has verified a signature makes
//! one; it is not a promise that policy lets this identity do anything.

use lockgate_core::{Identity, IdentityKind, Principal, Secret, Timestamp};
use std::collections::BTreeSet;

/// A proof of identity by a provider, until it expires.
#[derive(Clone)]
pub struct Proven {
    /// The provider's name in the configuration.
    pub provider: String,
    /// The provider's own name for itself: the issuer of OpenID Connect, the entity id of SAML.
    pub issuer: String,
    /// The provider's unchanging name for the party: `sub`, or the NameID.
    pub subject: String,
    /// The user name in policies, recordings and logins.
    pub user: String,
    /// The groups.
    pub groups: BTreeSet<String>,
    /// Person, service or agent.
    pub kind: IdentityKind,
    /// Whom it acts for, nearest first.
    pub on_behalf_of: Vec<Principal>,
    /// When the proof was made, as the provider says.
    pub issued: Option<Timestamp>,
    /// When it stops to count. Sessions that rest on it end then.
    pub expires: Timestamp,
    /// A name for this proof, `provider:digest`, which recordings have in the place of a token's id. It does not give the proof away.
    pub id: String,
    /// What a fresh proof can be had with, where the provider gave it.
    pub refresh_token: Option<Secret>,
}

impl Proven {
    /// The identity that it proves.
    pub fn identity(&self) -> Identity {
        Identity {
            user: self.user.clone(),
            groups: self.groups.clone(),
            directories: Vec::new(),
            kind: self.kind,
            on_behalf_of: self.on_behalf_of.clone(),
            token_id: Some(self.id.clone()),
            actions: None,
        }
    }
}
