//! A JSON Web Token from a configured issuer: strict reading, the signature over the very bytes, then the claims.
//!
//! Pure: no socket, no clock. [`Jwt::read`] yields what is written and proves nothing; only [`Jwt::prove`] makes a [`Proven`].
//! Nothing in a token chooses how it is checked: the algorithm has to be one that the configuration lists, `kid` is a name to
//! look up in the issuer's own keys, and a token that brings a key along, or an address to fetch one from, is refused.

mod claims;
mod keys;
mod mapping;

pub use claims::{Expected, Required};
pub use keys::{Algorithm, KeySet};
pub use mapping::ClaimPath;

use crate::json::{Json, Object};
use crate::proven::Proven;
use aws_lc_rs::digest;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use lockgate_core::{IdentityKind, Timestamp, limits};
use std::collections::BTreeSet;

/// What of an issuer's tokens is believed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rules {
    /// The provider's name in the configuration.
    pub provider: String,
    /// The issuer, character for character.
    pub issuer: String,
    /// The gateway's own client id.
    pub client_id: String,
    /// Whom a token may be meant for: one of these has to be in `aud`.
    pub audiences: Vec<String>,
    /// Further clients that may have asked for a token which is meant for several audiences (`azp`).
    pub authorized_parties: Vec<String>,
    /// The algorithms that the issuer may sign with.
    pub algorithms: Vec<Algorithm>,
    /// What has to be in every token.
    pub required: Vec<Required>,
    /// Where the user name is.
    pub user_claim: ClaimPath,
    /// What is put before every user name of this issuer.
    pub user_prefix: String,
    /// Where the groups are.
    pub groups_claim: ClaimPath,
    /// Groups that everybody of this issuer is in.
    pub groups: BTreeSet<String>,
    /// What an identity is, where its token does not say.
    pub kind: IdentityKind,
    /// Where a token says what its identity is.
    pub kind_claim: Option<ClaimPath>,
}

/// Why a token proves nothing. The text is for the log and for recordings: it names claims, never the token.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum JwtError {
    /// It is longer than any honest one.
    #[error("the token is longer than {} bytes", limits::JWT_BYTES_MAX)]
    TooLong,
    /// It is not written as one.
    #[error("this is not a signed JWT: {0}")]
    Malformed(String),
    /// Its header asks for something that is not done.
    #[error("the token's header is refused: {0}")]
    Header(String),
    /// It is signed in a way that is not accepted from the issuer.
    #[error("`alg` is `{0}`, which is not accepted from this issuer")]
    Algorithm(String),
    /// The issuer has no such key, as far as is known.
    #[error("no key of the issuer verifies the signature (`kid` is `{0}`)")]
    UnknownKey(String),
    /// The key that the token names cannot make such a signature.
    #[error("the key that the token names is not for `{0}`")]
    KeyMisfit(Algorithm),
    /// The signature is not the key's.
    #[error("the signature is wrong")]
    Signature,
    /// The issuer's keys cannot be read.
    #[error("the issuer's keys cannot be read: {0}")]
    KeySet(String),
    /// A claim is missing, or says something that is not accepted.
    #[error("claim `{claim}` {problem}")]
    Claim {
        /// The claim.
        claim: String,
        /// What is wrong with it.
        problem: String,
    },
}

/// A token as it is written. Nothing in it is proven.
pub struct Jwt<'t> {
    signed: &'t [u8],
    signature: Vec<u8>,
    algorithm: Algorithm,
    kid: Option<String>,
    claims: Object,
}

impl<'t> Jwt<'t> {
    /// Whether a text looks like a token of this kind, so that it is worth reading. Lockgate's own tokens have no dots.
    pub fn resembles(text: &str) -> bool {
        text.bytes().filter(|byte| *byte == b'.').count() == 2
    }

    /// Reads a token in its compact form (RFC 7515, 7.1).
    ///
    /// # Errors
    /// When it is not written as the RFC wants it, has a member twice, or its header asks for anything that is not done here.
    pub fn read(token: &'t str) -> Result<Self, JwtError> {
        if token.len() > limits::JWT_BYTES_MAX {
            return Err(JwtError::TooLong);
        }
        let malformed = |why: &str| JwtError::Malformed(why.to_owned());
        let mut parts = token.split('.');
        let (Some(header), Some(payload), Some(signature), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(malformed("it does not have three parts"));
        };
        let signed = token.as_bytes().get(..header.len() + 1 + payload.len());
        let signed = signed.ok_or_else(|| malformed("it does not have three parts"))?;
        let signature = decode_base64url(signature).map_err(|()| malformed("the signature is not base64url"))?;
        if signature.is_empty() {
            return Err(malformed("it has no signature"));
        }
        let header = decode_base64url(header).map_err(|()| malformed("the header is not base64url"))?;
        let header = Json::read_object(&header).map_err(|why| JwtError::Malformed(format!("its header: {why}")))?;
        let (algorithm, kid) = read_header(&header)?;
        let claims = decode_base64url(payload).map_err(|()| malformed("the payload is not base64url"))?;
        let claims = Json::read_object(&claims).map_err(|why| JwtError::Malformed(format!("its payload: {why}")))?;
        Ok(Jwt { signed, signature, algorithm, kid, claims })
    }

    /// The issuer that it claims to be from, to look up whose keys could prove it.
    pub fn claimed_issuer(&self) -> Option<&str> {
        self.claims.get("iss").and_then(Json::text)
    }

    /// Whether these rules are the ones to judge it by: of several for one issuer, the first that it is for. What it lacks beyond that is
    /// no reason to judge it by others.
    pub fn is_for(&self, rules: &Rules, expected: Expected<'_>) -> bool {
        claims::is_for(&self.claims, rules, expected)
    }

    /// Whether it would prove something if its signature were right. Asked before anything is fetched on account of a token, so
    /// that a stranger cannot make the gateway work for nothing.
    ///
    /// # Errors
    /// Why it would not.
    pub fn plausible(&self, rules: &Rules, expected: Expected<'_>, now: Timestamp) -> Result<(), JwtError> {
        self.believe(rules, expected, None, now).map(|_| ())
    }

    /// Checks the signature and the claims.
    ///
    /// # Errors
    /// Why it proves nothing; [`JwtError::UnknownKey`] where newer keys might help.
    pub fn prove(
        &self,
        rules: &Rules,
        keys: &KeySet,
        expected: Expected<'_>,
        now: Timestamp,
    ) -> Result<Proven, JwtError> {
        self.signed_by(rules, keys)?;
        self.believe(rules, expected, None, now)
    }

    /// The same with claims that the provider told the gateway apart from the token (userinfo), which count where the token has
    /// none of the name.
    pub(crate) fn prove_with(
        &self,
        rules: &Rules,
        keys: &KeySet,
        expected: Expected<'_>,
        told: &Object,
        now: Timestamp,
    ) -> Result<Proven, JwtError> {
        self.signed_by(rules, keys)?;
        self.believe(rules, expected, Some(told), now)
    }

    /// Whether the user or the groups are not in the token; the provider may tell them elsewhere.
    pub(crate) fn lacks_names(&self, rules: &Rules) -> bool {
        rules.user_claim.find(&self.claims).is_none() || rules.groups_claim.find(&self.claims).is_none()
    }

    /// The `sub` that it claims.
    pub(crate) fn claimed_subject(&self) -> Option<&str> {
        self.claims.get("sub").and_then(Json::text)
    }

    /// Whether the signature is by one of the keys.
    pub(crate) fn signed_by(&self, rules: &Rules, keys: &KeySet) -> Result<(), JwtError> {
        if !rules.algorithms.contains(&self.algorithm) {
            return Err(JwtError::Algorithm(self.algorithm.name().to_owned()));
        }
        keys.check(self.algorithm, self.kid.as_deref(), self.signed, &self.signature)
    }

    /// What the claims say, whoever signed them: only called where the signature was checked, or where nothing comes of it.
    fn believe(
        &self,
        rules: &Rules,
        expected: Expected<'_>,
        told: Option<&Object>,
        now: Timestamp,
    ) -> Result<Proven, JwtError> {
        if !rules.algorithms.contains(&self.algorithm) {
            return Err(JwtError::Algorithm(self.algorithm.name().to_owned()));
        }
        let life = claims::check(&self.claims, rules, expected, now)?;
        let party = match told {
            None => mapping::party(&self.claims, rules)?,
            Some(told) => {
                let mut all = told.clone();
                all.extend(self.claims.clone());
                mapping::party(&all, rules)?
            }
        };
        Ok(Proven {
            provider: rules.provider.clone(),
            issuer: rules.issuer.clone(),
            subject: life.subject,
            user: party.user,
            groups: party.groups,
            kind: party.kind,
            on_behalf_of: party.on_behalf_of,
            issued: life.issued,
            expires: life.expires,
            id: format!("{}:{}", rules.provider, fingerprint(self.signed)),
            refresh_token: None,
        })
    }
}

/// The algorithm and the key's name. What is not understood and would change what the token means is refused.
fn read_header(header: &Object) -> Result<(Algorithm, Option<String>), JwtError> {
    let refused = |why: &str| Err(JwtError::Header(why.to_owned()));
    // RFC 7515, 4.1.11: what is listed there must be understood, and no extension is.
    if header.contains_key("crit") {
        return refused("it has critical extensions (`crit`)");
    }
    for name in ["jwk", "jku", "x5u", "x5c"] {
        if header.contains_key(name) {
            return refused(&format!("it brings its own key (`{name}`)"));
        }
    }
    for name in ["b64", "enc", "zip"] {
        if header.contains_key(name) {
            return refused(&format!("`{name}` is not for a signed JWT"));
        }
    }
    match header.get("typ") {
        None => {}
        Some(Json::Text(typ)) if is_accepted_type(typ) => {}
        Some(Json::Text(typ)) => return refused(&format!("`typ` is `{}`", shown(typ))),
        Some(_) => return refused("`typ` is not a string"),
    }
    let kid = match header.get("kid") {
        None => None,
        Some(Json::Text(kid)) if kid.len() <= limits::JWT_KID_BYTES_MAX => Some(kid.clone()),
        Some(_) => return refused("`kid` is not a short string"),
    };
    match header.get("alg") {
        Some(Json::Text(name)) => match Algorithm::from_name(name) {
            Some(algorithm) => Ok((algorithm, kid)),
            None => Err(JwtError::Algorithm(shown(name))),
        },
        Some(_) => refused("`alg` is not a string"),
        None => refused("it has no `alg`"),
    }
}

/// RFC 7519, 5.1 and RFC 9068, 2.1. Another type is another kind of token: one for logging out, say, or a proof of possession.
fn is_accepted_type(typ: &str) -> bool {
    let typ = typ.to_ascii_lowercase();
    let typ = typ.strip_prefix("application/").unwrap_or(&typ);
    matches!(typ, "jwt" | "at+jwt")
}

/// The user that a provider tells apart from a token, where it names one.
pub(crate) fn user_told(told: &Object, rules: &Rules) -> Result<Option<String>, JwtError> {
    rules.user_claim.find(told).is_some().then(|| mapping::user(told, rules)).transpose()
}

/// The groups that a provider tells apart from a token, where it tells any.
pub(crate) fn groups_told(told: &Object, rules: &Rules) -> Result<Option<BTreeSet<String>>, JwtError> {
    rules.groups_claim.find(told).is_some().then(|| mapping::groups(told, rules)).transpose()
}

/// Base64url without padding, in the one way that its bytes can be written.
fn decode_base64url(text: &str) -> Result<Vec<u8>, ()> {
    URL_SAFE_NO_PAD.decode(text).map_err(|_| ())
}

fn fingerprint(signed: &[u8]) -> String {
    let digest = digest::digest(&digest::SHA256, signed);
    digest.as_ref().iter().take(16).map(|byte| format!("{byte:02x}")).collect()
}

/// Text of a stranger, for a message: its beginning, on one line.
pub fn shown(text: &str) -> String {
    let mut shown: String = text.chars().take(100).flat_map(char::escape_debug).collect();
    if text.chars().nth(100).is_some() {
        shown.push('…');
    }
    shown
}

fn wrong_claim(claim: &str, problem: impl Into<String>) -> JwtError {
    JwtError::Claim { claim: claim.to_owned(), problem: problem.into() }
}
