//! From a token back to its value, for those who may reveal it. Whether they may is not known here.
//!
//! A sealed token (`tok_…`) proves what it is. A permuted number, address or text of digits does not: such a token can be read
//! as anything that it could be the token of, and every reading is given, with its kind.

use crate::derived;
use crate::keys::{LabelKeys, MaskKeys};
use crate::token::{self, Family, TOKEN_PREFIX, Way};
use lockgate_core::Label;
use lockgate_core::limits::MASK_TOKEN_BYTES_MAX;
use std::fmt;
use std::net::IpAddr;

/// The family of types that a value belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ValueKind {
    /// A text.
    Text,
    /// A whole number.
    Number,
    /// A UUID.
    Uuid,
    /// A JSON text.
    Json,
    /// Bytes, in hexadecimal.
    Bytes,
    /// The address of a host.
    Address,
    /// A hardware address.
    Hardware,
}

impl ValueKind {
    /// The word for it.
    pub const fn name(self) -> &'static str {
        match self {
            ValueKind::Text => "text",
            ValueKind::Number => "number",
            ValueKind::Uuid => "uuid",
            ValueKind::Json => "json",
            ValueKind::Bytes => "bytes",
            ValueKind::Address => "address",
            ValueKind::Hardware => "hardware",
        }
    }
}

impl fmt::Display for ValueKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What a token may stand for.
#[derive(Clone, PartialEq, Eq)]
pub struct Original {
    /// Which family of types it is read as.
    pub kind: ValueKind,
    /// The value, as PostgreSQL writes it.
    pub value: String,
}

/// A token cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// It has the form of no token.
    #[error("this is not a token")]
    Form,
    /// No value was sealed so under this label.
    #[error("this is not a whole token of this label")]
    Foreign,
    /// It stands for a value that is too long to be carried in it.
    #[error("the value of this token is too long to be kept in it")]
    Digest,
}

impl MaskKeys {
    /// The values that `token` may stand for under `label`, at least one.
    ///
    /// # Errors
    /// When it is no token, was made under another label or by another gateway, or was cut to a short column's length.
    pub fn detokenize(&self, label: &Label, token: &str) -> Result<Vec<Original>, TokenError> {
        if token.len() > MASK_TOKEN_BYTES_MAX {
            return Err(TokenError::Form);
        }
        let keys = self.label(label).ok_or(TokenError::Foreign)?;
        // A token in a JSON document is a string there, and `char(n)` pads its own.
        let token = token.trim_end();
        let token = token.strip_prefix('"').and_then(|t| t.strip_suffix('"')).unwrap_or(token);
        if let Some(letters) = token.strip_prefix(TOKEN_PREFIX) {
            return sealed(&keys, letters);
        }
        if let Some(digits) = token.strip_prefix("\\x") {
            let bytes = token::unhex(digits.as_bytes()).ok_or(TokenError::Form)?;
            let value = keys.open(Family::Bytes, &bytes).ok_or(TokenError::Foreign)?;
            return Ok(vec![Original { kind: ValueKind::Bytes, value: format!("\\x{}", token::hex(&value)) }]);
        }
        let readings: [(ValueKind, Option<String>); 5] = [
            (ValueKind::Uuid, uuid(&keys, token)),
            (ValueKind::Hardware, hardware(&keys, token)),
            (ValueKind::Address, address(&keys, token)),
            (ValueKind::Text, digits(&keys, token)),
            (ValueKind::Number, number(&keys, token)),
        ];
        let originals: Vec<Original> =
            readings.into_iter().filter_map(|(kind, value)| Some(Original { kind, value: value? })).collect();
        if originals.is_empty() { Err(TokenError::Form) } else { Ok(originals) }
    }
}

fn sealed(keys: &LabelKeys, letters: &str) -> Result<Vec<Original>, TokenError> {
    /// A digest is shorter than the shortest sealed value.
    const DIGEST_BYTES: usize = 32;
    let bytes = token::unbase32(letters).ok_or(TokenError::Foreign)?;
    if bytes.len() == DIGEST_BYTES {
        return Err(TokenError::Digest);
    }
    for (family, kind) in [(Family::Text, ValueKind::Text), (Family::Json, ValueKind::Json)] {
        if let Some(value) = keys.open(family, &bytes) {
            let value = String::from_utf8(value).map_err(|_| TokenError::Foreign)?;
            return Ok(vec![Original { kind, value }]);
        }
    }
    Err(TokenError::Foreign)
}

fn uuid(keys: &LabelKeys, token: &str) -> Option<String> {
    let uuid = token::uuid_of_text(token.as_bytes())?;
    Some(token::uuid_text(keys.uuid(Way::Value, uuid)?))
}

fn hardware(keys: &LabelKeys, token: &str) -> Option<String> {
    let bytes = derived::mac_of_text(token.as_bytes())?;
    Some(derived::mac_text(&derived::keyed_mac(Way::Value, keys, &bytes)?))
}

fn address(keys: &LabelKeys, token: &str) -> Option<String> {
    let address = token.parse::<IpAddr>().ok()?;
    Some(derived::keyed_address(Way::Value, keys, address)?.to_string())
}

fn digits(keys: &LabelKeys, token: &str) -> Option<String> {
    String::from_utf8(keys.digits(Way::Value, token.as_bytes())?).ok()
}

fn number(keys: &LabelKeys, token: &str) -> Option<String> {
    let number = token.parse::<i64>().ok()?;
    // What PostgreSQL would not write so is no number's token.
    let written = number.to_string() == token;
    keys.number(Way::Value, number).filter(|_| written).map(|value| value.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn no_text_makes_it_panic(token in "\\PC{0,80}", form in "(tok_)?[a-z2-7\"]{0,120}|\\\\x[0-9a-f]{0,80}|[-0-9.:+ ]{0,40}") {
            let keys = MaskKeys::new(&[7; 32]);
            let label: Label = "pii/test".parse().unwrap();
            for text in [token, form] {
                if let Ok(originals) = keys.detokenize(&label, &text) {
                    prop_assert!(!originals.is_empty());
                }
            }
        }
    }
}
