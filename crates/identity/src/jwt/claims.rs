//! The claims that say for whom, from whom and how long a token counts (RFC 7519, 4.1; OpenID Connect Core, 3.1.3.7).

use super::{ClaimPath, JwtError, Rules, shown, wrong_claim};
use crate::json::{Json, Object};
use lockgate_core::{Timestamp, limits, matches_glob};

/// The last second of the year 9999; a later time is no time.
const SECONDS_MAX: i64 = 253_402_300_799;

/// What a token is to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expected<'a> {
    /// Something that its holder showed to prove who it is.
    Bearer,
    /// The ID token of a login that the gateway itself asked for.
    IdToken {
        /// What the gateway sent along, so that no other login's token is taken.
        nonce: Option<&'a str>,
    },
}

/// A claim that every token has to have, with one of these values; in a list, one of its items has to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Required {
    /// The claim.
    pub claim: ClaimPath,
    /// The values that are accepted, as patterns with `*`. Booleans and integers are compared as they are written.
    pub values: Vec<String>,
}

/// Whose and how long.
pub(super) struct Life {
    pub(super) subject: String,
    pub(super) issued: Option<Timestamp>,
    pub(super) expires: Timestamp,
}

pub(super) fn check(claims: &Object, rules: &Rules, expected: Expected<'_>, now: Timestamp) -> Result<Life, JwtError> {
    match claims.get("iss") {
        Some(Json::Text(issuer)) if *issuer == rules.issuer => {}
        Some(Json::Text(issuer)) => {
            return Err(wrong_claim("iss", format!("is `{}`, not `{}`", shown(issuer), rules.issuer)));
        }
        Some(_) => return Err(wrong_claim("iss", "is not a string")),
        None => return Err(wrong_claim("iss", "is missing")),
    }
    audience(claims, rules, expected)?;
    let expires = time(claims, "exp")?.ok_or_else(|| wrong_claim("exp", "is missing"))?;
    if expires <= now {
        return Err(wrong_claim("exp", format!("says that the token expired at {expires}")));
    }
    for name in ["nbf", "iat"] {
        if let Some(at) = time(claims, name)?
            && at.millis_since(now) > limits::JWT_SKEW_MS_MAX
        {
            return Err(wrong_claim(name, format!("says that the token counts from {at} on, which has not come")));
        }
    }
    let issued = time(claims, "iat")?;
    let subject = match claims.get("sub") {
        Some(Json::Text(subject)) if !subject.is_empty() && subject.len() <= limits::JWT_SUBJECT_BYTES_MAX => {
            subject.clone()
        }
        Some(_) => return Err(wrong_claim("sub", "is not a string of a usual length")),
        None => return Err(wrong_claim("sub", "is missing")),
    };
    if let Expected::IdToken { nonce: Some(nonce) } = expected
        && claims.get("nonce").and_then(Json::text) != Some(nonce)
    {
        return Err(wrong_claim("nonce", "is not the one of this login"));
    }
    // A token for logging out (OpenID Connect Back-Channel Logout, 2.4) looks like one for logging in but for this.
    if claims.contains_key("events") {
        return Err(wrong_claim("events", "says that this token tells of an event and is no proof of identity"));
    }
    // RFC 7800: whoever shows such a token would also have to prove that it holds a key.
    if claims.contains_key("cnf") {
        return Err(wrong_claim("cnf", "binds the token to a key, which no listener here asks a proof of"));
    }
    for required in &rules.required {
        let value = required.claim.find(claims);
        if !value.is_some_and(|value| required.accepts(value)) {
            return Err(wrong_claim(required.claim.as_str(), "does not have a value that `required_claims` accepts"));
        }
    }
    Ok(Life { subject, issued, expires })
}

/// Whether a token is for these rules: from the issuer, for an audience of theirs, and with the claims that they require.
pub(super) fn is_for(claims: &Object, rules: &Rules, expected: Expected<'_>) -> bool {
    claims.get("iss").and_then(Json::text) == Some(&rules.issuer)
        && audience(claims, rules, expected).is_ok()
        && rules
            .required
            .iter()
            .all(|required| required.claim.find(claims).is_some_and(|value| required.accepts(value)))
}

fn audience(claims: &Object, rules: &Rules, expected: Expected<'_>) -> Result<(), JwtError> {
    let audiences: Vec<&str> = match claims.get("aud") {
        Some(Json::Text(one)) => vec![one],
        Some(Json::List(all)) => all
            .iter()
            .map(|item| item.text().ok_or_else(|| wrong_claim("aud", "has an item that is not a string")))
            .collect::<Result<_, _>>()?,
        Some(_) => return Err(wrong_claim("aud", "is neither a string nor a list of strings")),
        None => return Err(wrong_claim("aud", "is missing")),
    };
    let ours = |audience: &&str| match expected {
        Expected::Bearer => rules.audiences.iter().any(|known| known == audience),
        Expected::IdToken { .. } => rules.client_id == **audience,
    };
    if !audiences.iter().any(ours) {
        let named = audiences.iter().take(4).map(|audience| format!("`{}`", shown(audience))).collect::<Vec<_>>();
        return Err(wrong_claim("aud", format!("names {}, not this gateway", named.join(", "))));
    }
    let party = match claims.get("azp") {
        None => None,
        Some(Json::Text(party)) => Some(party),
        Some(_) => return Err(wrong_claim("azp", "is not a string")),
    };
    let several = audiences.len() > 1;
    let known = match (party, expected) {
        (None, Expected::Bearer) => true,
        (None, Expected::IdToken { .. }) => !several,
        (Some(party), Expected::IdToken { .. }) => *party == rules.client_id,
        // A token for this gateway alone may have been asked for by any client: that is what an audience is for.
        (Some(_), Expected::Bearer) if !several && rules.authorized_parties.is_empty() => true,
        (Some(party), Expected::Bearer) => {
            let mut parties = rules.audiences.iter().chain(&rules.authorized_parties);
            *party == rules.client_id || parties.any(|known| known == party)
        }
    };
    match (known, party) {
        (true, _) => Ok(()),
        (false, None) => Err(wrong_claim("azp", "is missing, and the token is for several audiences")),
        (false, Some(party)) => {
            Err(wrong_claim("azp", format!("is `{}`, which is not among `authorized_parties`", shown(party))))
        }
    }
}

/// A NumericDate (RFC 7519, 2), of which only whole seconds are used in the wild.
fn time(claims: &Object, name: &str) -> Result<Option<Timestamp>, JwtError> {
    match claims.get(name) {
        None => Ok(None),
        Some(Json::Integer(seconds)) if (0..=SECONDS_MAX).contains(seconds) => {
            Ok(Some(Timestamp::from_millis(seconds.saturating_mul(1_000))))
        }
        Some(Json::Integer(_) | Json::OtherNumber) => Err(wrong_claim(name, "is not a time in whole seconds")),
        Some(other) => Err(wrong_claim(name, format!("is {}, not a time in whole seconds", other.what()))),
    }
}

impl Required {
    fn accepts(&self, value: &Json) -> bool {
        let fits = |text: &str| self.values.iter().any(|pattern| matches_glob(pattern, text));
        let same = |text: String| self.values.contains(&text);
        match value {
            Json::Text(text) => fits(text),
            Json::Bool(value) => same(value.to_string()),
            Json::Integer(value) => same(value.to_string()),
            Json::List(items) => items.iter().any(|item| item.text().is_some_and(fits)),
            Json::Null | Json::OtherNumber | Json::Object(_) => false,
        }
    }
}
