//! The public keys of an issuer (RFC 7517) and which signature each can check (RFC 7518). A key of a kind, use or curve that
//! is not known here is left out: it can prove nothing.

use super::{JwtError, decode_base64url, shown};
use crate::json::{Json, Object};
use aws_lc_rs::signature::{self, ParsedPublicKey, RsaParameters};
use lockgate_core::limits;
use std::fmt;

/// A way to sign. Neither `none` nor a way with a shared secret is among them: whoever can check such a signature can make it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[expect(missing_docs, reason = "the names are those of RFC 7518 and RFC 8037")]
pub enum Algorithm {
    Rs256,
    Rs384,
    Rs512,
    Ps256,
    Ps384,
    Ps512,
    Es256,
    Es384,
    Es512,
    EdDsa,
}

impl Algorithm {
    /// All of them.
    pub const ALL: [Algorithm; 10] = [
        Algorithm::Rs256,
        Algorithm::Rs384,
        Algorithm::Rs512,
        Algorithm::Ps256,
        Algorithm::Ps384,
        Algorithm::Ps512,
        Algorithm::Es256,
        Algorithm::Es384,
        Algorithm::Es512,
        Algorithm::EdDsa,
    ];

    /// Its name in `alg`.
    pub const fn name(self) -> &'static str {
        match self {
            Algorithm::Rs256 => "RS256",
            Algorithm::Rs384 => "RS384",
            Algorithm::Rs512 => "RS512",
            Algorithm::Ps256 => "PS256",
            Algorithm::Ps384 => "PS384",
            Algorithm::Ps512 => "PS512",
            Algorithm::Es256 => "ES256",
            Algorithm::Es384 => "ES384",
            Algorithm::Es512 => "ES512",
            Algorithm::EdDsa => "EdDSA",
        }
    }

    /// The algorithm of this name, which has one spelling.
    pub fn from_name(name: &str) -> Option<Self> {
        Algorithm::ALL.into_iter().find(|algorithm| algorithm.name() == name)
    }

    const fn rsa(self) -> Option<&'static RsaParameters> {
        Some(match self {
            Algorithm::Rs256 => &signature::RSA_PKCS1_2048_8192_SHA256,
            Algorithm::Rs384 => &signature::RSA_PKCS1_2048_8192_SHA384,
            Algorithm::Rs512 => &signature::RSA_PKCS1_2048_8192_SHA512,
            Algorithm::Ps256 => &signature::RSA_PSS_2048_8192_SHA256,
            Algorithm::Ps384 => &signature::RSA_PSS_2048_8192_SHA384,
            Algorithm::Ps512 => &signature::RSA_PSS_2048_8192_SHA512,
            Algorithm::Es256 | Algorithm::Es384 | Algorithm::Es512 | Algorithm::EdDsa => return None,
        })
    }
}

impl fmt::Display for Algorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The keys that an issuer publishes.
#[derive(Debug, Default)]
pub struct KeySet {
    keys: Vec<Key>,
    left_out: usize,
}

/// One public key, made ready for every algorithm that it may check.
struct Key {
    kid: Option<String>,
    ready: Vec<(Algorithm, ParsedPublicKey)>,
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let algorithms: Vec<Algorithm> = self.ready.iter().map(|(algorithm, _)| *algorithm).collect();
        f.debug_struct("Key").field("kid", &self.kid).field("algorithms", &algorithms).finish()
    }
}

impl KeySet {
    /// Reads a JWK set.
    ///
    /// # Errors
    /// When it is none, or has too many keys. A key that cannot be used is no error.
    pub fn read(document: &[u8]) -> Result<Self, JwtError> {
        let unusable = |why: String| JwtError::KeySet(why);
        let set = Json::read_object(document).map_err(unusable)?;
        let list = set.get("keys").and_then(Json::list).ok_or_else(|| unusable("it has no list `keys`".to_owned()))?;
        if list.len() > limits::JWKS_KEYS_MAX {
            return Err(unusable(format!("it has {} keys; {} is the most", list.len(), limits::JWKS_KEYS_MAX)));
        }
        let keys: Vec<Key> = list.iter().filter_map(Json::object).filter_map(Key::read).collect();
        let left_out = list.len() - keys.len();
        Ok(KeySet { keys, left_out })
    }

    /// How many keys can check a signature.
    pub const fn len(&self) -> usize {
        self.keys.len()
    }

    /// Whether there is none.
    pub const fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// How many keys were left out as of no use.
    pub const fn left_out(&self) -> usize {
        self.left_out
    }

    /// Checks a signature with the key that `kid` names, or with each that fits where the token names none. The name is looked
    /// up in this set and nowhere else.
    pub(super) fn check(
        &self,
        algorithm: Algorithm,
        kid: Option<&str>,
        signed: &[u8],
        signature: &[u8],
    ) -> Result<(), JwtError> {
        let mut exact = false;
        let mut fitting = false;
        for key in &self.keys {
            match (kid, &key.kid) {
                (Some(asked), Some(kid)) if asked == kid => exact = true,
                (Some(_), Some(_)) => continue,
                (None, _) | (_, None) => {}
            }
            for (_, ready) in key.ready.iter().filter(|(known, _)| *known == algorithm) {
                fitting = true;
                if ready.verify_sig(signed, signature).is_ok() {
                    return Ok(());
                }
            }
        }
        Err(match (exact, fitting) {
            (true, true) => JwtError::Signature,
            (true, false) => JwtError::KeyMisfit(algorithm),
            // Perhaps the issuer has a key that this set does not know yet.
            (false, _) => JwtError::UnknownKey(shown(kid.unwrap_or_default())),
        })
    }
}

impl Key {
    fn read(jwk: &Object) -> Option<Key> {
        let text = |name: &str| jwk.get(name).and_then(Json::text);
        // A key for encryption, or one that may not verify, checks nothing (RFC 7517, 4.2 and 4.3).
        if jwk.contains_key("use") && text("use") != Some("sig") {
            return None;
        }
        if let Some(operations) = jwk.get("key_ops")
            && !operations.list()?.iter().any(|operation| operation.text() == Some("verify"))
        {
            return None;
        }
        // Whoever published the private half too has no secret any more.
        if ["d", "p", "q", "dp", "dq", "qi", "k"].into_iter().any(|part| jwk.contains_key(part)) {
            return None;
        }
        let only = match jwk.get("alg") {
            None => None,
            Some(name) => Some(Algorithm::from_name(name.text()?)?),
        };
        let kid = match jwk.get("kid") {
            None => None,
            Some(kid) => Some(kid.text()?.to_owned()),
        };
        let bytes = |name: &str| decode_base64url(text(name)?).ok();
        let fits = |algorithm: &Algorithm| only.is_none_or(|only| only == *algorithm);
        let ready = match (text("kty")?, text("crv")) {
            ("RSA", _) => {
                let (n, e) = (bytes("n")?, bytes("e")?);
                // Some providers write a leading zero, as of a signed number.
                let strip = |bytes: &[u8]| bytes.iter().skip_while(|byte| **byte == 0).copied().collect::<Vec<u8>>();
                let key = signature::RsaPublicKeyComponents { n: strip(&n), e: strip(&e) };
                // The library makes a key of anything, and looks at its size only when it verifies.
                let long_enough = (limits::JWK_RSA_BYTES_MIN + 1..=limits::JWK_RSA_BYTES_MAX).contains(&key.n.len())
                    || (key.n.len() == limits::JWK_RSA_BYTES_MIN && key.n.first()? >= &0x80);
                // With an exponent of one everything is its own signature.
                let odd = key.e.last()? & 1 == 1 && key.e != [1] && key.e.len() <= limits::JWK_RSA_EXPONENT_BYTES_MAX;
                if !long_enough || !odd {
                    return None;
                }
                let all = Algorithm::ALL.into_iter().filter(fits);
                all.filter_map(|a| Some((a, key.to_parsed_public_key(a.rsa()?).ok()?))).collect()
            }
            ("EC", Some(curve)) => {
                let (algorithm, parameters, length) = match curve {
                    "P-256" => (Algorithm::Es256, &signature::ECDSA_P256_SHA256_FIXED, 32),
                    "P-384" => (Algorithm::Es384, &signature::ECDSA_P384_SHA384_FIXED, 48),
                    "P-521" => (Algorithm::Es512, &signature::ECDSA_P521_SHA512_FIXED, 66),
                    _ => return None,
                };
                let (x, y) = (bytes("x")?, bytes("y")?);
                // RFC 7518, 6.2.1.2: the full size of a coordinate.
                if x.len() != length || y.len() != length || !fits(&algorithm) {
                    return None;
                }
                let point = [&[4], x.as_slice(), y.as_slice()].concat();
                vec![(algorithm, ParsedPublicKey::new(parameters, point).ok()?)]
            }
            ("OKP", Some("Ed25519")) => {
                let x = bytes("x")?;
                if x.len() != 32 || is_of_small_order(&x) || !fits(&Algorithm::EdDsa) {
                    return None;
                }
                vec![(Algorithm::EdDsa, ParsedPublicKey::new(&signature::ED25519, x).ok()?)]
            }
            _ => return None,
        };
        (!ready.is_empty()).then_some(Key { kid, ready })
    }
}

/// Whether a point of Ed25519 is one of the few for which signatures can be made without a secret (RFC 8032, 5.1.7, leaves these to whoever
/// verifies). They are known by `y`, in whichever of its forms; the sign of `x`, which is the highest bit, does not matter.
fn is_of_small_order(point: &[u8]) -> bool {
    const PRIME_LOW: u8 = 0xed;
    const ORDER_EIGHT: [[u8; 32]; 2] = [
        [
            0x26, 0xe8, 0x95, 0x8f, 0xc2, 0xb2, 0x27, 0xb0, 0x45, 0xc3, 0xf4, 0x89, 0xf2, 0xef, 0x98, 0xf0, 0xd5, 0xdf,
            0xac, 0x05, 0xd3, 0xc6, 0x33, 0x39, 0xb1, 0x38, 0x02, 0x88, 0x6d, 0x53, 0xfc, 0x05,
        ],
        [
            0xc7, 0x17, 0x6a, 0x70, 0x3d, 0x4d, 0xd8, 0x4f, 0xba, 0x3c, 0x0b, 0x76, 0x0d, 0x10, 0x67, 0x0f, 0x2a, 0x20,
            0x53, 0xfa, 0x2c, 0x39, 0xcc, 0xc6, 0x4e, 0xc7, 0xfd, 0x77, 0x92, 0xac, 0x03, 0x7a,
        ],
    ];
    let Some((high, low)) = point.split_last() else { return true };
    let high = high & 0x7f;
    let Some((first, middle)) = low.split_first() else { return true };
    let is_zero_or_one = *first <= 1 && middle.iter().all(|byte| *byte == 0) && high == 0;
    // The prime less one, the prime, and the prime and one: minus one, and two other ways to write zero and one.
    let is_near_the_prime =
        (PRIME_LOW - 1..=PRIME_LOW + 1).contains(first) && middle.iter().all(|byte| *byte == 0xff) && high == 0x7f;
    let is_of_order_eight = ORDER_EIGHT.iter().any(|y| y.split_last() == Some((&high, low)));
    is_zero_or_one || is_near_the_prime || is_of_order_eight
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_that_anybody_can_sign_with_are_left_out() {
        let whole = |first: u8, middle: u8, high: u8| {
            let mut point = [middle; 32];
            point[0] = first;
            point[31] = high;
            point
        };
        let order_eight = |sign: u8| {
            let mut y = [0; 32];
            let digits = "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05";
            for (at, byte) in y.iter_mut().enumerate() {
                *byte = u8::from_str_radix(&digits[at * 2..at * 2 + 2], 16).unwrap();
            }
            y[31] |= sign;
            y
        };
        for (point, small) in [
            (whole(0, 0, 0), true),
            (whole(0, 0, 0x80), true),
            (whole(1, 0, 0), true),
            (whole(1, 0, 0x80), true),
            (whole(0xec, 0xff, 0x7f), true),
            (whole(0xed, 0xff, 0x7f), true),
            (whole(0xee, 0xff, 0xff), true),
            (order_eight(0), true),
            (order_eight(0x80), true),
            (whole(2, 0, 0), false),
            (whole(0xeb, 0xff, 0x7f), false),
            (whole(9, 7, 5), false),
        ] {
            assert_eq!(is_of_small_order(&point), small, "{point:02x?}");
        }
    }
}
