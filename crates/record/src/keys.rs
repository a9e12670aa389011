//! The two keys of a gateway's recordings: one that encrypts them, one that signs their Merkle log.
//!
//! Each recording is encrypted with a key of its own, derived from the master key and its id (HKDF, RFC 5869), so that a
//! counter is enough of a nonce and one recording's key opens no other. Verifying needs only the public key. Where the
//! keys are kept is the journal's business.

use crate::wire::Digest;
use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::hkdf::{HKDF_SHA256, Prk, Salt};
use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use lockgate_core::SessionId;
use std::fmt;
use std::str::FromStr;

/// A key cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// The cryptographic library refused it.
    #[error("the recording keys cannot be used")]
    Unusable,
    /// The text is not a public key.
    #[error("`{0}` is not a recording public key: expected `name+hash+key`")]
    PublicKey(String),
}

/// The gateway's recording keys. Has no `Debug`: it holds secrets.
pub struct RecordingKeys {
    master: Prk,
    signing: Ed25519KeyPair,
    public: RecordingPublicKey,
}

impl RecordingKeys {
    /// From 32 random bytes each, and the name that checkpoints carry (no spaces, no `+`).
    pub fn new(name: &str, master: &[u8; 32], signing_seed: &[u8; 32]) -> Result<Self, KeyError> {
        let signing = Ed25519KeyPair::from_seed_unchecked(signing_seed).map_err(|_| KeyError::Unusable)?;
        let key = signing.public_key().as_ref().try_into().map_err(|_| KeyError::Unusable)?;
        let public = RecordingPublicKey::new(name, key)?;
        let master = Salt::new(HKDF_SHA256, b"lockgate recordings v1").extract(master);
        Ok(RecordingKeys { master, signing, public })
    }

    /// The public half: all that verification needs.
    pub const fn public(&self) -> &RecordingPublicKey {
        &self.public
    }

    pub(crate) fn sign(&self, text: &[u8]) -> Vec<u8> {
        self.signing.sign(text).as_ref().to_vec()
    }

    pub(crate) fn cipher(&self, session: SessionId) -> Result<Cipher, KeyError> {
        let id = session.to_string();
        let info = [id.as_bytes()];
        let key = self.master.expand(&info, &AES_256_GCM).map_err(|_| KeyError::Unusable)?;
        Ok(Cipher(LessSafeKey::new(UnboundKey::from(key))))
    }
}

/// The key of one recording.
pub(crate) struct Cipher(LessSafeKey);

impl Cipher {
    /// Encrypts in place and returns the tag. The caller never uses a nonce twice.
    pub(crate) fn seal(&self, nonce: [u8; 12], header: &[u8], payload: &mut [u8]) -> Result<[u8; 16], KeyError> {
        let nonce = Nonce::assume_unique_for_key(nonce);
        let tag =
            self.0.seal_in_place_separate_tag(nonce, Aad::from(header), payload).map_err(|_| KeyError::Unusable)?;
        tag.as_ref().try_into().map_err(|_| KeyError::Unusable)
    }

    /// Decrypts in place, the tag last; `None` where anything was altered.
    pub(crate) fn open<'p>(&self, nonce: [u8; 12], header: &[u8], payload: &'p mut [u8]) -> Option<&'p [u8]> {
        let nonce = Nonce::assume_unique_for_key(nonce);
        self.0.open_in_place(nonce, Aad::from(header), payload).ok().map(|plain| &*plain)
    }
}

/// The public half of the signing key, written as a C2SP signed-note verifier key: `name+hash+key`.
#[derive(Clone, PartialEq, Eq)]
pub struct RecordingPublicKey {
    name: String,
    key: [u8; 32],
}

/// The signature type of Ed25519 in a signed note.
const ED25519_NOTE_TYPE: u8 = 1;

impl RecordingPublicKey {
    fn new(name: &str, key: [u8; 32]) -> Result<Self, KeyError> {
        if name.is_empty() || name.chars().any(|c| c.is_whitespace() || c.is_control() || c == '+') {
            return Err(KeyError::PublicKey(name.to_owned()));
        }
        Ok(RecordingPublicKey { name: name.to_owned(), key })
    }

    /// The name, which is also the origin of the checkpoints.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The first four bytes of SHA-256 over name, newline, type and key.
    pub(crate) fn id(&self) -> [u8; 4] {
        let Digest([a, b, c, d, ..]) =
            Digest::of_parts(&[self.name.as_bytes(), b"\n", &[ED25519_NOTE_TYPE], &self.key]);
        [a, b, c, d]
    }

    pub(crate) fn verify(&self, text: &[u8], signature: &[u8]) -> bool {
        UnparsedPublicKey::new(&ED25519, &self.key).verify(text, signature).is_ok()
    }
}

impl fmt::Display for RecordingPublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut typed = vec![ED25519_NOTE_TYPE];
        typed.extend_from_slice(&self.key);
        write!(f, "{}+{:08x}+{}", self.name, u32::from_be_bytes(self.id()), STANDARD.encode(typed))
    }
}

impl fmt::Debug for RecordingPublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for RecordingPublicKey {
    type Err = KeyError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = || KeyError::PublicKey(text.to_owned());
        let (name, rest) = text.trim().split_once('+').ok_or_else(wrong)?;
        let (hash, coded) = rest.split_once('+').ok_or_else(wrong)?;
        let bytes = STANDARD.decode(coded).map_err(|_| wrong())?;
        let (kind, key) = bytes.split_first().ok_or_else(wrong)?;
        let key = RecordingPublicKey::new(name, key.try_into().map_err(|_| wrong())?)?;
        if *kind != ED25519_NOTE_TYPE || format!("{:08x}", u32::from_be_bytes(key.id())) != hash {
            return Err(wrong());
        }
        Ok(key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_public_key_reads_back() {
        let keys = RecordingKeys::new("lockgate", &[1; 32], &[2; 32]).unwrap();
        let text = keys.public().to_string();
        assert_eq!(&text.parse::<RecordingPublicKey>().unwrap(), keys.public());
        for bad in ["", "a", "a+b", "lockgate+00000000+AQ==", &text.replace("lockgate", "other")] {
            assert!(bad.parse::<RecordingPublicKey>().is_err(), "{bad}");
        }
        assert!(RecordingKeys::new("with space", &[1; 32], &[2; 32]).is_err());
    }

    #[test]
    fn each_recording_has_its_own_key() {
        let keys = RecordingKeys::new("lockgate", &[1; 32], &[2; 32]).unwrap();
        let one = SessionId::new(lockgate_core::Timestamp::from_millis(1), 1);
        let other = SessionId::new(lockgate_core::Timestamp::from_millis(1), 2);
        let mut payload = *b"hello";
        let tag = keys.cipher(one).unwrap().seal([0; 12], b"h", &mut payload).unwrap();
        let mut sealed = [payload.as_slice(), &tag].concat();
        assert!(keys.cipher(other).unwrap().open([0; 12], b"h", &mut sealed.clone()).is_none());
        assert!(keys.cipher(one).unwrap().open([0; 12], b"i", &mut sealed.clone()).is_none());
        assert_eq!(keys.cipher(one).unwrap().open([0; 12], b"h", &mut sealed), Some(b"hello".as_slice()));
    }
}
