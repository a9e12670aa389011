//! Why a login is refused. Every text is for the log of whoever runs the gateway and for the person at the browser alike: it names
//! what is wrong and repeats nothing that has not been verified, except identifiers, shortened and escaped.

use crate::xml::XmlError;

/// Why a response is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// It is larger than `SAML_POST_BYTES_MAX` or its XML larger than `SAML_MESSAGE_BYTES_MAX`.
    #[error("the SAML response is larger than {0} bytes")]
    TooLarge(usize),
    /// It is not base64.
    #[error("the SAML response is not base64")]
    NotBase64,
    /// It is not XML as this crate accepts it.
    #[error("the SAML response cannot be read: {0}")]
    Xml(String),
    /// It is XML, and not of the form of a response.
    #[error("the SAML response has not the form it should have: {0}")]
    Form(&'static str),
    /// The provider could or would not say who it is.
    #[error("the identity provider answered that the login failed: `{0}`")]
    Status(String),
    /// A signature is missing that has to be there.
    #[error("the {0} has to be signed and is not")]
    Unsigned(&'static str),
    /// A signature is there and not in the form that is accepted.
    #[error("the signature is not accepted: {0}")]
    SignatureForm(&'static str),
    /// A signature does not hold.
    #[error("the signature does not hold: {0}")]
    SignatureWrong(&'static str),
    /// An encrypted assertion that cannot be read; whatever the cause, this is all that is said.
    #[error("the encrypted assertion cannot be read")]
    Encrypted,
    /// Encryption of a kind that the settings do not allow.
    #[error("the assertion's encryption is not accepted: {0}")]
    Encryption(&'static str),
    /// It comes from another provider.
    #[error("the {place} comes from `{found}`, not from the configured provider")]
    Issuer {
        /// Which part.
        place: &'static str,
        /// The issuer named there.
        found: String,
    },
    /// It was sent to another place.
    #[error("the {place} is meant for `{found}`, not for this gateway")]
    Destination {
        /// Which part: destination, recipient, audience.
        place: &'static str,
        /// What is named there.
        found: String,
    },
    /// It answers another request than the one that waits for an answer.
    #[error("the {0} does not answer the login that was begun here")]
    InResponseTo(&'static str),
    /// It answers no request, and the settings do not allow that.
    #[error("the login was not begun here, and `allow_idp_initiated` is not set")]
    Unsolicited,
    /// It counts later.
    #[error("the {0} is not valid yet; compare the clocks of provider and gateway")]
    NotYet(&'static str),
    /// It counts no more.
    #[error("the {0} has expired")]
    Expired(&'static str),
    /// It was used before.
    #[error("the assertion was used before")]
    Used,
    /// So many logins at once that it cannot be known whether it was used.
    #[error("too many logins at once")]
    TooManyUsed,
    /// How the person proved who they are does not satisfy the settings.
    #[error("the way the person logged in at the provider, `{0}`, is not among those asked for")]
    Context(String),
    /// There is no user name, or it cannot be one.
    #[error("no user: {0}")]
    User(String),
    /// The groups cannot be what they say.
    #[error("no groups: {0}")]
    Groups(String),
    /// A fault of this gateway's own settings.
    #[error("the provider's metadata has expired; configure a new copy")]
    MetadataExpired,
}

impl From<XmlError> for Refusal {
    fn from(error: XmlError) -> Self {
        Refusal::Xml(error.to_string())
    }
}

/// An identifier as it may be shown: at most 120 characters, nothing that moves the cursor or ends a line.
pub(crate) fn shown(text: &str) -> String {
    text.chars().take(120).flat_map(char::escape_debug).collect()
}
