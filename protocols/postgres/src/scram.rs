//! SCRAM-SHA-256: the grammar of its messages and its arithmetic (RFC 5802, RFC 7677), for both ends.
//!
//! The exchanges themselves are in [`crate::client_auth`], where the gateway is the server, and in
//! [`crate::target_login`], where it is the client. Randomness comes in as an argument.

use aws_lc_rs::{constant_time, digest, hmac, pbkdf2};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use lockgate_core::limits;
use std::borrow::Cow;
use std::num::NonZeroU32;
use zeroize::Zeroizing;

/// The mechanism without channel binding.
pub const SCRAM_SHA_256: &str = "SCRAM-SHA-256";
/// The mechanism with channel binding.
pub const SCRAM_SHA_256_PLUS: &str = "SCRAM-SHA-256-PLUS";
/// Bytes of every key, proof and signature.
pub const KEY_BYTES: usize = 32;
/// Random bytes of a nonce.
pub const NONCE_BYTES: usize = 18;
/// Bytes of the salts that the gateway makes.
pub const SALT_BYTES: usize = 16;
/// The one kind of channel binding that PostgreSQL has (RFC 5929).
const SERVER_END_POINT: &str = "tls-server-end-point";

pub(crate) type Key = [u8; KEY_BYTES];

/// A SCRAM message that must end the exchange.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ScramError {
    /// The grammar of RFC 5802 does not allow it.
    #[error("malformed SCRAM message")]
    Malformed,
    /// It asks for something that PostgreSQL's SCRAM does not have: an authorization identity, a mandatory extension,
    /// another kind of channel binding.
    #[error("the SCRAM message asks for something that is not supported")]
    Unsupported,
    /// The mechanism and the channel binding flag do not fit together.
    #[error("the SCRAM channel binding does not fit the mechanism")]
    BindingMismatch,
    /// The client says that no channel binding was offered, but it was: somebody in between removed it.
    #[error("the SCRAM channel binding was removed on the way: the client did not see it offered")]
    Downgraded,
    /// The channel binding is that of another connection: somebody sits in between.
    #[error("the SCRAM channel binding is that of another connection")]
    WrongBinding,
    /// The nonce is not the one of this exchange.
    #[error("the SCRAM nonce is not the one of this exchange")]
    WrongNonce,
    /// The iteration count is zero or above the limit.
    #[error("SCRAM iteration count out of range; at most {} are accepted", limits::SCRAM_ITERATIONS_MAX)]
    Iterations,
    /// The server did not prove that it knows the password.
    #[error("the server did not prove that it knows the password")]
    WrongServerSignature,
    /// The server ended the exchange.
    #[error("the server ended the SCRAM exchange")]
    Refused,
}

/// What is stored in place of a password. Whoever has it can pose as the server but not as the client. No `Debug`.
#[derive(Clone, PartialEq, Eq)]
pub struct ScramVerifier {
    /// H(ClientKey).
    pub stored_key: [u8; KEY_BYTES],
    /// The key of the server's signature.
    pub server_key: [u8; KEY_BYTES],
}

impl ScramVerifier {
    /// The verifier of a password with this salt and iteration count.
    pub fn derive(password: &str, salt: &[u8], iterations: NonZeroU32) -> Self {
        let keys = Keys::derive(password, salt, iterations);
        ScramVerifier { stored_key: keys.stored_key, server_key: keys.server_key }
    }
}

/// A salt for `user` that is always the same: what a user without a token is shown, so that nobody can tell that there
/// is none. `key` is a secret of the installation.
pub fn salt_for(key: &[u8; KEY_BYTES], user: &str) -> [u8; SALT_BYTES] {
    let tag = sign(key, user.as_bytes());
    let mut salt = [0; SALT_BYTES];
    salt.iter_mut().zip(tag).for_each(|(to, from)| *to = from);
    salt
}

/// What a password turns into.
pub(crate) struct Keys {
    pub(crate) client_key: Zeroizing<Key>,
    pub(crate) stored_key: Key,
    pub(crate) server_key: Key,
}

impl Keys {
    pub(crate) fn derive(password: &str, salt: &[u8], iterations: NonZeroU32) -> Self {
        // PostgreSQL takes a password that SASLprep refuses as it is.
        let password = stringprep::saslprep(password).unwrap_or(Cow::Borrowed(password));
        let mut salted = Zeroizing::new([0; KEY_BYTES]);
        pbkdf2::derive(pbkdf2::PBKDF2_HMAC_SHA256, iterations, salt, password.as_bytes(), salted.as_mut());
        let client_key = Zeroizing::new(sign(&salted, b"Client Key"));
        Keys { stored_key: hash(client_key.as_ref()), server_key: sign(&salted, b"Server Key"), client_key }
    }
}

fn key_of(bytes: &[u8]) -> Key {
    let mut key = [0; KEY_BYTES];
    key.iter_mut().zip(bytes).for_each(|(to, from)| *to = *from);
    key
}

pub(crate) fn sign(key: &Key, data: &[u8]) -> Key {
    key_of(hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), data).as_ref())
}

fn hash(data: &[u8]) -> Key {
    key_of(digest::digest(&digest::SHA256, data).as_ref())
}

pub(crate) fn xor(a: &Key, b: &Key) -> Key {
    let mut out = *a;
    out.iter_mut().zip(b).for_each(|(to, from)| *to ^= *from);
    out
}

pub(crate) fn same(a: &Key, b: &Key) -> bool {
    constant_time::verify_slices_are_equal(a, b).is_ok()
}

/// Verifiers that are tested at least, so that a user without one, with one and with a few take the same time.
const VERIFIERS_TESTED_MIN: usize = 8;

/// Tests a client's proof against every verifier and returns which one it fits, with the server's signature. All are
/// tested, whichever fits.
pub(crate) fn prove(proof: &Key, auth_message: &[u8], verifiers: &[ScramVerifier]) -> Option<(usize, Key)> {
    // No client key hashes to zero that anybody could find, and the index of the decoy is never returned.
    let decoy = ScramVerifier { stored_key: [0; KEY_BYTES], server_key: [0; KEY_BYTES] };
    let padding = VERIFIERS_TESTED_MIN.saturating_sub(verifiers.len());
    let mut found = None;
    let tested = verifiers.iter().chain(std::iter::repeat_n(&decoy, padding));
    for (index, verifier) in tested.enumerate() {
        let client_key = Zeroizing::new(xor(proof, &sign(&verifier.stored_key, auth_message)));
        let fits = same(&hash(client_key.as_ref()), &verifier.stored_key);
        let signature = sign(&verifier.server_key, auth_message);
        if fits && index < verifiers.len() {
            found = Some((index, signature));
        }
    }
    found
}

pub(crate) fn encode_base64(data: &[u8]) -> String {
    STANDARD.encode(data)
}

/// Strict: the standard alphabet, padded, no stray bits.
fn decode_base64(text: &str) -> Result<Vec<u8>, ScramError> {
    STANDARD.decode(text).map_err(|_| ScramError::Malformed)
}

fn decode_key(text: &str) -> Result<Key, ScramError> {
    <Key>::try_from(decode_base64(text)?).map_err(|_| ScramError::Malformed)
}

// ---- grammar -----------------------------------------------------------------------------------------------------

fn text(data: &[u8]) -> Result<&str, ScramError> {
    let text = std::str::from_utf8(data).map_err(|_| ScramError::Malformed)?;
    if text.contains('\0') { Err(ScramError::Malformed) } else { Ok(text) }
}

/// The value of the attribute `name` in `part`, which must be it.
fn attribute(part: Option<&str>, name: char) -> Result<&str, ScramError> {
    let part = part.ok_or(ScramError::Malformed)?;
    // A mandatory extension stands where a known attribute should (RFC 5802, section 5.1, `m`).
    if part.starts_with("m=") {
        return Err(ScramError::Unsupported);
    }
    part.strip_prefix(name).and_then(|rest| rest.strip_prefix('=')).ok_or(ScramError::Malformed)
}

/// An extension that may be ignored: a letter, `=`, anything.
fn extension(part: &str) -> Result<(), ScramError> {
    let mut chars = part.chars();
    let letter = chars.next().is_some_and(|c| c.is_ascii_alphabetic());
    if letter && chars.next() == Some('=') { Ok(()) } else { Err(ScramError::Malformed) }
}

fn nonce(value: &str) -> Result<&str, ScramError> {
    let printable = value.bytes().all(|b| b.is_ascii_graphic() && b != b',');
    if value.is_empty() || value.len() > limits::SCRAM_NONCE_BYTES_MAX || !printable {
        return Err(ScramError::Malformed);
    }
    Ok(value)
}

/// What a client says about channel binding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BindingFlag {
    /// `n`: it cannot.
    CannotBind,
    /// `y`: it could, but thinks that the server cannot.
    ThinksNotOffered,
    /// `p`: it does, by the certificate of the server.
    ServerEndPoint,
}

impl BindingFlag {
    pub(crate) const fn gs2_header(self) -> &'static str {
        match self {
            BindingFlag::CannotBind => "n,,",
            BindingFlag::ThinksNotOffered => "y,,",
            BindingFlag::ServerEndPoint => "p=tls-server-end-point,,",
        }
    }

    /// The value of `c=` in the client's last message.
    pub(crate) fn binding_value(self, server_end_point: &[u8]) -> String {
        let mut input = self.gs2_header().as_bytes().to_vec();
        if self == BindingFlag::ServerEndPoint {
            input.extend_from_slice(server_end_point);
        }
        encode_base64(&input)
    }
}

/// client-first-message.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct ClientFirst<'a> {
    pub(crate) flag: BindingFlag,
    /// The message without its GS2 header.
    pub(crate) bare: &'a str,
    pub(crate) nonce: &'a str,
}

pub(crate) fn client_first(data: &[u8]) -> Result<ClientFirst<'_>, ScramError> {
    let message = text(data)?;
    let (flag, rest) = message.split_once(',').ok_or(ScramError::Malformed)?;
    let flag = match flag {
        "n" => BindingFlag::CannotBind,
        "y" => BindingFlag::ThinksNotOffered,
        other => match other.strip_prefix("p=") {
            Some(SERVER_END_POINT) => BindingFlag::ServerEndPoint,
            Some(_) => return Err(ScramError::Unsupported),
            None => return Err(ScramError::Malformed),
        },
    };
    let (authzid, bare) = rest.split_once(',').ok_or(ScramError::Malformed)?;
    if !authzid.is_empty() {
        return Err(if authzid.starts_with("a=") { ScramError::Unsupported } else { ScramError::Malformed });
    }
    let mut parts = bare.split(',');
    // The name is ignored, as PostgreSQL does: the user is the one of the startup packet.
    attribute(parts.next(), 'n')?;
    let nonce = nonce(attribute(parts.next(), 'r')?)?;
    parts.try_for_each(extension)?;
    Ok(ClientFirst { flag, bare, nonce })
}

/// client-final-message.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct ClientFinal<'a> {
    pub(crate) binding: &'a str,
    pub(crate) nonce: &'a str,
    pub(crate) without_proof: &'a str,
    pub(crate) proof: Key,
}

pub(crate) fn client_final(data: &[u8]) -> Result<ClientFinal<'_>, ScramError> {
    let message = text(data)?;
    let (without_proof, proof) = message.rsplit_once(",p=").ok_or(ScramError::Malformed)?;
    let proof = decode_key(proof)?;
    let mut parts = without_proof.split(',');
    let binding = attribute(parts.next(), 'c')?;
    let nonce = nonce(attribute(parts.next(), 'r')?)?;
    parts.try_for_each(extension)?;
    Ok(ClientFinal { binding, nonce, without_proof, proof })
}

/// server-first-message.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct ServerFirst<'a> {
    pub(crate) nonce: &'a str,
    pub(crate) salt: Vec<u8>,
    pub(crate) iterations: NonZeroU32,
}

pub(crate) fn server_first(data: &[u8]) -> Result<ServerFirst<'_>, ScramError> {
    let message = text(data)?;
    let mut parts = message.split(',');
    let nonce = nonce(attribute(parts.next(), 'r')?)?;
    let salt = decode_base64(attribute(parts.next(), 's')?)?;
    if salt.is_empty() || salt.len() > limits::SCRAM_SALT_BYTES_MAX {
        return Err(ScramError::Malformed);
    }
    let count = attribute(parts.next(), 'i')?;
    if count.is_empty() || !count.bytes().all(|b| b.is_ascii_digit()) {
        return Err(ScramError::Malformed);
    }
    // A count too large for a u32 is above the limit as well.
    let iterations = count.parse::<NonZeroU32>().map_err(|_| ScramError::Iterations)?;
    if iterations.get() > limits::SCRAM_ITERATIONS_MAX {
        return Err(ScramError::Iterations);
    }
    parts.try_for_each(extension)?;
    Ok(ServerFirst { nonce, salt, iterations })
}

/// The signature in a server-final-message.
pub(crate) fn server_final(data: &[u8]) -> Result<Key, ScramError> {
    let message = text(data)?;
    let mut parts = message.split(',');
    let first = parts.next();
    if first.is_some_and(|part| part.starts_with("e=")) {
        return Err(ScramError::Refused);
    }
    let signature = decode_key(attribute(first, 'v')?)?;
    parts.try_for_each(extension)?;
    Ok(signature)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn client_first_messages() {
        for (message, expect) in [
            ("n,,n=,r=abc", Ok((BindingFlag::CannotBind, "n=,r=abc", "abc"))),
            ("y,,n=alice,r=abc", Ok((BindingFlag::ThinksNotOffered, "n=alice,r=abc", "abc"))),
            ("p=tls-server-end-point,,n=,r=abc,x=1", Ok((BindingFlag::ServerEndPoint, "n=,r=abc,x=1", "abc"))),
            ("p=tls-unique,,n=,r=abc", Err(ScramError::Unsupported)),
            ("p,,n=,r=abc", Err(ScramError::Malformed)),
            ("x,,n=,r=abc", Err(ScramError::Malformed)),
            ("n,a=bob,n=,r=abc", Err(ScramError::Unsupported)),
            ("n,bob,n=,r=abc", Err(ScramError::Malformed)),
            ("n,,m=must,n=,r=abc", Err(ScramError::Unsupported)),
            ("n,,n=,r=", Err(ScramError::Malformed)),
            ("n,,n=,r=a b", Err(ScramError::Malformed)),
            ("n,,n=,r=abc,", Err(ScramError::Malformed)),
            ("n,,r=abc,n=", Err(ScramError::Malformed)),
            ("n,,n=,r=abc\0", Err(ScramError::Malformed)),
            ("n,", Err(ScramError::Malformed)),
            ("", Err(ScramError::Malformed)),
        ] {
            assert_eq!(client_first(message.as_bytes()).map(|m| (m.flag, m.bare, m.nonce)), expect, "{message}");
        }
        assert!(client_first(format!("n,,n=,r={}", "a".repeat(1_025)).as_bytes()).is_err());
        assert_eq!(client_first(b"n,,n=,r=\xff"), Err(ScramError::Malformed));
    }

    #[test]
    fn client_final_messages() {
        let proof = encode_base64(&[7; 32]);
        let good = format!("c=biws,r=abc,p={proof}");
        let message = client_final(good.as_bytes()).unwrap();
        assert_eq!((message.binding, message.nonce, message.without_proof), ("biws", "abc", "c=biws,r=abc"));
        for bad in [
            "c=biws,r=abc".to_owned(),
            "c=biws,r=abc,p=".to_owned(),
            format!("c=biws,r=abc,p={proof},x=1"),
            format!("c=biws,r=abc,p={}", proof.trim_end_matches('=')),
            format!("c=biws,r=abc,p= {proof}"),
            format!("c=biws,r=abc,p={}", encode_base64(&[7; 31])),
            format!("c=biws,r=abc,p={}", encode_base64(&[7; 33])),
            format!("r=abc,p={proof}"),
        ] {
            assert!(client_final(bad.as_bytes()).is_err(), "{bad}");
        }
        // 43 characters carry 258 bits: the two stray ones must be zero.
        let stray = "BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwd=";
        assert!(client_final(format!("c=biws,r=abc,p={stray}").as_bytes()).is_err());
    }

    #[test]
    fn server_first_messages() {
        for (message, expect) in [
            ("r=abc,s=YWJj,i=4096", Ok(4_096)),
            ("r=abc,s=YWJj,i=600000", Ok(600_000)),
            ("r=abc,s=YWJj,i=600001", Err(ScramError::Iterations)),
            ("r=abc,s=YWJj,i=2147483648", Err(ScramError::Iterations)),
            ("r=abc,s=YWJj,i=99999999999999999999", Err(ScramError::Iterations)),
            ("r=abc,s=YWJj,i=0", Err(ScramError::Iterations)),
            ("r=abc,s=YWJj,i=-1", Err(ScramError::Malformed)),
            ("r=abc,s=YWJj,i=+1", Err(ScramError::Malformed)),
            ("r=abc,s=,i=1", Err(ScramError::Malformed)),
            ("r=abc,s=YW Jj,i=1", Err(ScramError::Malformed)),
            ("m=x,r=abc,s=YWJj,i=1", Err(ScramError::Unsupported)),
            ("r=abc,i=1", Err(ScramError::Malformed)),
        ] {
            assert_eq!(server_first(message.as_bytes()).map(|m| m.iterations.get()), expect, "{message}");
        }
    }

    #[test]
    fn server_final_messages() {
        assert_eq!(server_final(format!("v={}", encode_base64(&[1; 32])).as_bytes()), Ok([1; 32]));
        assert_eq!(server_final(b"e=invalid-proof"), Err(ScramError::Refused));
        assert_eq!(server_final(b"v=AAAA"), Err(ScramError::Malformed));
        assert_eq!(server_final(b""), Err(ScramError::Malformed));
    }

    /// The example of RFC 7677, section 3.
    #[test]
    fn the_example_of_rfc_7677() {
        let salt = STANDARD.decode("W22ZaJ0SNY7soEsUEjb6gQ==").unwrap();
        let verifier = ScramVerifier::derive("pencil", &salt, NonZeroU32::new(4_096).unwrap());
        let nonce = "rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0";
        let auth_message =
            format!("n=user,r=rOprNGfwEbeRWgbNEkqO,r={nonce},s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096,c=biws,r={nonce}");
        let last = format!("c=biws,r={nonce},p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=");
        let proof = client_final(last.as_bytes()).unwrap().proof;
        let other = ScramVerifier::derive("pen", &salt, NonZeroU32::new(4_096).unwrap());
        let (index, signature) =
            prove(&proof, auth_message.as_bytes(), &[other.clone(), verifier, other.clone()]).unwrap();
        assert_eq!(index, 1);
        assert_eq!(encode_base64(&signature), "6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=");
        assert!(prove(&proof, auth_message.as_bytes(), &[other]).is_none());
        assert!(prove(&proof, auth_message.as_bytes(), &[]).is_none());
    }

    #[test]
    fn the_salt_of_nobody_is_stable() {
        assert_eq!(salt_for(&[1; 32], "alice"), salt_for(&[1; 32], "alice"));
        assert_ne!(salt_for(&[1; 32], "alice"), salt_for(&[1; 32], "bob"));
        assert_ne!(salt_for(&[1; 32], "alice"), salt_for(&[2; 32], "alice"));
    }
}
