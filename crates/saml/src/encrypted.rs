//! Encrypted assertions (XML Encryption 1.1): AES keys that come under RSA-OAEP, and AES-GCM.
//!
//! Whoever can send us ciphertexts must not learn from our answers what is in them. GCM and OAEP refuse every ciphertext that was
//! changed; all their failures, and all of the XML inside, are one error. CBC does not notice changes, so it is accepted only where
//! the settings say so and a verified signature covers the ciphertext: then nobody but the provider can ask.

use crate::encoding::base64_decode;
use crate::keys::DecryptionKey;
use crate::names;
use crate::refusal::Refusal;
use crate::xml::{Element, parse_within};
use aws_lc_rs::aead::{self, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::cipher::{self, DecryptionContext, PaddedBlockDecryptingKey, UnboundCipherKey};
use aws_lc_rs::iv::FixedLength;
use aws_lc_rs::rsa::{
    OAEP_SHA1_MGF1SHA1, OAEP_SHA256_MGF1SHA256, OAEP_SHA384_MGF1SHA384, OAEP_SHA512_MGF1SHA512, OaepAlgorithm,
};
use lockgate_core::limits;
use zeroize::Zeroizing;

/// Where CBC is accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cbc {
    Refused,
    /// Allowed by the settings, but what holds the ciphertext is not signed.
    Unprotected,
    Accepted,
}

/// What an encrypted assertion was before.
pub(crate) struct Opened(Element);

impl Opened {
    /// The assertion.
    pub fn element(&self) -> &Element {
        &self.0
    }
}

#[derive(Clone, Copy)]
enum Content {
    Gcm(&'static aead::Algorithm),
    Cbc(&'static cipher::Algorithm),
}

/// Opens an `EncryptedAssertion`.
pub(crate) fn open(encrypted: &Element, keys: &[DecryptionKey], cbc: Cbc) -> Result<Opened, Refusal> {
    if keys.is_empty() {
        return Err(Refusal::Encryption("no decryption key is configured"));
    }
    let form = || Refusal::Encryption("it has not the parts that it should have");
    let data = only(encrypted, "EncryptedData").ok_or_else(form)?;
    if data.attribute("Type").is_some_and(|kind| kind != names::ENCRYPTED_ELEMENT) {
        return Err(Refusal::Encryption("what is encrypted is not an element"));
    }
    let info = data.named(names::DSIG, "KeyInfo").next().ok_or_else(form)?;
    let key = match only(info, "EncryptedKey") {
        Some(key) => key,
        // Or beside the data, which then points to it.
        None => {
            let key = only(encrypted, "EncryptedKey").ok_or_else(form)?;
            let pointer = info.named(names::DSIG, "RetrievalMethod").next();
            let pointed = pointer.and_then(|p| p.attribute("URI")).and_then(|uri| uri.strip_prefix('#'));
            let kind = pointer.and_then(|p| p.attribute("Type")).unwrap_or(names::ENCRYPTED_KEY);
            if kind != names::ENCRYPTED_KEY || pointer.is_some() && pointed != key.attribute("Id") {
                return Err(form());
            }
            key
        }
    };
    let (content, key_bytes) = match method(data)?.attribute("Algorithm") {
        Some(names::AES128_GCM) => (Content::Gcm(&aead::AES_128_GCM), 16),
        Some(names::AES256_GCM) => (Content::Gcm(&aead::AES_256_GCM), 32),
        Some(names::AES128_CBC) => (Content::Cbc(&cipher::AES_128), 16),
        Some(names::AES256_CBC) => (Content::Cbc(&cipher::AES_256), 32),
        _ => return Err(Refusal::Encryption("its algorithm is not among those accepted")),
    };
    match (content, cbc) {
        (Content::Gcm(_), _) | (Content::Cbc(_), Cbc::Accepted) => {}
        (Content::Cbc(_), Cbc::Refused) => return Err(Refusal::Encryption("AES-CBC is not configured (`allow_cbc`)")),
        (Content::Cbc(_), Cbc::Unprotected) => {
            return Err(Refusal::Encryption("AES-CBC is accepted in a signed response only"));
        }
    }
    let transport = transport(method(key)?)?;
    let wrapped = cipher_value(key).ok_or_else(form)?;
    let ciphertext = cipher_value(data).ok_or_else(form)?;

    keys.iter()
        .filter_map(|own| unwrap(own, transport, &wrapped))
        .filter(|session_key| session_key.len() == key_bytes)
        .find_map(|session_key| decrypt(content, &session_key, &ciphertext))
        .and_then(|plain| parse_within(&plain, limits::SAML_MESSAGE_BYTES_MAX, &encrypted.scope).ok())
        .filter(|element| element.is(names::ASSERTION, "Assertion"))
        .map(Opened)
        .ok_or(Refusal::Encrypted)
}

/// The element of XML Encryption with this name directly below, if there is exactly one.
fn only<'t>(element: &'t Element, local: &'static str) -> Option<&'t Element> {
    let mut named = element.named(names::XENC, local);
    named.next().filter(|_| named.next().is_none())
}

fn method(element: &Element) -> Result<&Element, Refusal> {
    only(element, "EncryptionMethod").ok_or(Refusal::Encryption("it does not name its algorithm"))
}

fn cipher_value(element: &Element) -> Option<Vec<u8>> {
    base64_decode(only(only(element, "CipherData")?, "CipherValue")?.text()?)
}

/// RSA-OAEP with one hash function throughout; XML Encryption sections 5.5.2 and 5.5.3.
fn transport(method: &Element) -> Result<&'static OaepAlgorithm, Refusal> {
    let other = Refusal::Encryption("its key transport is not RSA-OAEP with one hash function throughout");
    if method.named(names::XENC, "OAEPparams").next().is_some() {
        return Err(other);
    }
    let named =
        |namespace, local| method.named(namespace, local).next().map(|e| e.attribute("Algorithm").unwrap_or(""));
    let digest = named(names::DSIG, "DigestMethod").unwrap_or(names::SHA1);
    let mask = named(names::XENC11, "MGF").unwrap_or(names::MGF1_SHA1);
    match (method.attribute("Algorithm"), digest, mask) {
        (Some(names::OAEP_MGF1P | names::OAEP), names::SHA1, names::MGF1_SHA1) => Ok(&OAEP_SHA1_MGF1SHA1),
        (Some(names::OAEP), names::SHA256, names::MGF1_SHA256) => Ok(&OAEP_SHA256_MGF1SHA256),
        (Some(names::OAEP), names::SHA384, names::MGF1_SHA384) => Ok(&OAEP_SHA384_MGF1SHA384),
        (Some(names::OAEP), names::SHA512, names::MGF1_SHA512) => Ok(&OAEP_SHA512_MGF1SHA512),
        _ => Err(other),
    }
}

fn unwrap(own: &DecryptionKey, transport: &'static OaepAlgorithm, wrapped: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    let mut out = Zeroizing::new(vec![0; own.key.min_output_size()]);
    let length = own.key.decrypt(transport, wrapped, &mut out, None).ok()?.len();
    out.truncate(length);
    Some(out)
}

fn decrypt(content: Content, key: &[u8], ciphertext: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    match content {
        Content::Gcm(algorithm) => {
            let (nonce, sealed) = ciphertext.split_at_checked(aead::NONCE_LEN)?;
            let key = LessSafeKey::new(UnboundKey::new(algorithm, key).ok()?);
            let mut out = Zeroizing::new(sealed.to_vec());
            let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
            let length = key.open_in_place(nonce, Aad::empty(), &mut out).ok()?.len();
            out.truncate(length);
            Some(out)
        }
        Content::Cbc(algorithm) => {
            let (iv, sealed) = ciphertext.split_at_checked(cipher::AES_CBC_IV_LEN)?;
            let iv: [u8; cipher::AES_CBC_IV_LEN] = iv.try_into().ok()?;
            let key = UnboundCipherKey::new(algorithm, key).ok()?;
            // XML Encryption pads with any bytes and the number of them (section 5.2), as ISO 10126 does.
            let key = PaddedBlockDecryptingKey::cbc_iso10126(key).ok()?;
            let mut out = Zeroizing::new(sealed.to_vec());
            let length = key.decrypt(&mut out, DecryptionContext::Iv128(FixedLength::from(iv))).ok()?.len();
            out.truncate(length);
            Some(out)
        }
    }
}
