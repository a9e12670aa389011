//! Keys: the provider's, which come from its configured metadata and from nowhere else, and our own.

use crate::encoding::base64_encode;
use crate::names;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{KeyPair as RsaKeyPair, OaepPrivateDecryptingKey, PrivateDecryptingKey};
use aws_lc_rs::signature::{self, EcdsaKeyPair, UnparsedPublicKey, VerificationAlgorithm};
use lockgate_core::Secret;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivatePkcs8KeyDer};
use x509_parser::prelude::{FromDer, X509Certificate};
use x509_parser::public_key::PublicKey;

/// What is wrong with settings or metadata.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Mistake(pub(crate) String);

impl Mistake {
    pub(crate) fn new(text: impl Into<String>) -> Self {
        Mistake(text.into())
    }
}

/// What a key can be used with. An algorithm belongs to one kind, so that no key is ever used with an algorithm of another: a
/// public key is never the secret of an HMAC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum KeyKind {
    Rsa,
    P256,
    P384,
    P521,
}

/// A public key that signs responses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct VerificationKey {
    kind: KeyKind,
    public: Vec<u8>,
}

/// A signature algorithm that is accepted. SHA-1 and HMAC are not here.
#[derive(Clone, Copy)]
pub(crate) struct SignatureAlgorithm {
    kind: KeyKind,
    verify: &'static dyn VerificationAlgorithm,
}

impl SignatureAlgorithm {
    /// The algorithm of this name.
    pub fn named(name: &str) -> Option<Self> {
        let (kind, verify): (_, &'static dyn VerificationAlgorithm) = match name {
            names::RSA_SHA256 => (KeyKind::Rsa, &signature::RSA_PKCS1_2048_8192_SHA256),
            names::RSA_SHA384 => (KeyKind::Rsa, &signature::RSA_PKCS1_2048_8192_SHA384),
            names::RSA_SHA512 => (KeyKind::Rsa, &signature::RSA_PKCS1_2048_8192_SHA512),
            names::PSS_SHA256 => (KeyKind::Rsa, &signature::RSA_PSS_2048_8192_SHA256),
            names::PSS_SHA384 => (KeyKind::Rsa, &signature::RSA_PSS_2048_8192_SHA384),
            names::PSS_SHA512 => (KeyKind::Rsa, &signature::RSA_PSS_2048_8192_SHA512),
            // XML-DSig writes r and s one after the other (RFC 9231 section 2.3.6).
            names::ECDSA_SHA256 => (KeyKind::P256, &signature::ECDSA_P256_SHA256_FIXED),
            names::ECDSA_SHA384 => (KeyKind::P384, &signature::ECDSA_P384_SHA384_FIXED),
            names::ECDSA_SHA512 => (KeyKind::P521, &signature::ECDSA_P521_SHA512_FIXED),
            _ => return None,
        };
        Some(SignatureAlgorithm { kind, verify })
    }
}

impl VerificationKey {
    /// The key of a certificate. Nothing else in the certificate counts: it is trusted because it is configured.
    pub fn of_certificate(der: &[u8]) -> Result<Self, Mistake> {
        let malformed = || Mistake::new("a certificate is malformed");
        let (rest, certificate) = X509Certificate::from_der(der).map_err(|_| malformed())?;
        if !rest.is_empty() {
            return Err(malformed());
        }
        let info = &certificate.tbs_certificate.subject_pki;
        let public = info.subject_public_key.data.to_vec();
        let curve = info.algorithm.parameters.as_ref().and_then(|p| p.as_oid().ok()).map(|oid| oid.to_id_string());
        let kind = match (info.algorithm.algorithm.to_id_string().as_str(), curve.as_deref()) {
            ("1.2.840.113549.1.1.1", _) => match info.parsed() {
                Ok(PublicKey::RSA(key)) if (2_048..=8_192).contains(&key.key_size()) => KeyKind::Rsa,
                _ => return Err(Mistake::new("a certificate's RSA key has fewer than 2048 bits, or more than 8192")),
            },
            ("1.2.840.10045.2.1", Some("1.2.840.10045.3.1.7")) => KeyKind::P256,
            ("1.2.840.10045.2.1", Some("1.3.132.0.34")) => KeyKind::P384,
            ("1.2.840.10045.2.1", Some("1.3.132.0.35")) => KeyKind::P521,
            _ => {
                return Err(Mistake::new(
                    "a certificate's key is neither RSA nor on the curves P-256, P-384 and P-521",
                ));
            }
        };
        Ok(VerificationKey { kind, public })
    }

    /// Whether `value` is this key's signature over `message`.
    pub fn verifies(&self, algorithm: SignatureAlgorithm, message: &[u8], value: &[u8]) -> bool {
        self.kind == algorithm.kind
            && UnparsedPublicKey::new(algorithm.verify, &self.public).verify(message, value).is_ok()
    }
}

/// A certificate of ours, which our metadata shows.
pub(crate) struct Shown {
    /// The base64 of its DER form.
    pub base64: String,
}

impl Shown {
    fn from_pem(pem: &str) -> Result<(Self, CertificateDer<'static>), Mistake> {
        let der = CertificateDer::from_pem_slice(pem.as_bytes())
            .map_err(|_| Mistake::new("the certificate is not a PEM file with a `CERTIFICATE`"))?;
        Ok((Shown { base64: base64_encode(&der) }, der))
    }
}

fn private(pem: &Secret) -> Result<PrivatePkcs8KeyDer<'static>, Mistake> {
    PrivatePkcs8KeyDer::from_pem_slice(pem.expose().as_bytes()).map_err(|_| {
        Mistake::new(
            "the key is not a PEM file with a `PRIVATE KEY` (PKCS#8); `openssl pkcs8 -topk8 -nocrypt` makes one",
        )
    })
}

enum SigningPair {
    Rsa(RsaKeyPair),
    P256(EcdsaKeyPair),
}

/// The key that signs our requests, with its certificate.
pub struct SigningKey {
    pair: SigningPair,
    pub(crate) certificate: Shown,
}

impl SigningKey {
    /// Reads a PKCS#8 key (RSA of at least 2048 bits, or P-256) and its certificate, both PEM.
    ///
    /// # Errors
    /// What is wrong with either, or that they do not belong together.
    pub fn from_pem(key: &Secret, certificate: &str) -> Result<Self, Mistake> {
        use aws_lc_rs::signature::KeyPair as _;
        let der = private(key)?;
        let (certificate, shown) = Shown::from_pem(certificate)?;
        let owner = VerificationKey::of_certificate(&shown)?;
        let (pair, public) = match owner.kind {
            KeyKind::Rsa => {
                let pair = RsaKeyPair::from_pkcs8(der.secret_pkcs8_der())
                    .map_err(|_| Mistake::new("the key is not an RSA key"))?;
                let public = pair.public_key().as_ref().to_vec();
                (SigningPair::Rsa(pair), public)
            }
            KeyKind::P256 => {
                let pair =
                    EcdsaKeyPair::from_pkcs8(&signature::ECDSA_P256_SHA256_FIXED_SIGNING, der.secret_pkcs8_der())
                        .map_err(|_| Mistake::new("the key is not a P-256 key"))?;
                let public = pair.public_key().as_ref().to_vec();
                (SigningPair::P256(pair), public)
            }
            KeyKind::P384 | KeyKind::P521 => return Err(Mistake::new("a signing key is an RSA key or a P-256 key")),
        };
        if public != owner.public {
            return Err(Mistake::new("key and certificate do not belong together"));
        }
        Ok(SigningKey { pair, certificate })
    }

    /// The name of the algorithm it signs with.
    pub(crate) fn algorithm(&self) -> &'static str {
        match self.pair {
            SigningPair::Rsa(_) => names::RSA_SHA256,
            SigningPair::P256(_) => names::ECDSA_SHA256,
        }
    }

    /// Signs.
    pub(crate) fn sign(&self, message: &[u8]) -> Result<Vec<u8>, Mistake> {
        let failed = |_| Mistake::new("signing failed");
        let random = SystemRandom::new();
        match &self.pair {
            SigningPair::Rsa(pair) => {
                let mut out = vec![0; pair.public_modulus_len()];
                pair.sign(&signature::RSA_PKCS1_SHA256, &random, message, &mut out).map_err(failed)?;
                Ok(out)
            }
            SigningPair::P256(pair) => Ok(pair.sign(&random, message).map_err(failed)?.as_ref().to_vec()),
        }
    }
}

/// The key that providers encrypt assertions to, with its certificate.
pub struct DecryptionKey {
    pub(crate) key: OaepPrivateDecryptingKey,
    pub(crate) certificate: Shown,
}

impl DecryptionKey {
    /// Reads a PKCS#8 RSA key of at least 2048 bits and its certificate, both PEM.
    ///
    /// # Errors
    /// What is wrong with either, or that they do not belong together.
    pub fn from_pem(key: &Secret, certificate: &str) -> Result<Self, Mistake> {
        use aws_lc_rs::signature::KeyPair as _;
        let wrong = || Mistake::new("the decryption key is not an RSA key of at least 2048 bits");
        let der = private(key)?;
        let (certificate, shown) = Shown::from_pem(certificate)?;
        let owner = VerificationKey::of_certificate(&shown)?;
        let pair = RsaKeyPair::from_pkcs8(der.secret_pkcs8_der()).map_err(|_| wrong())?;
        if pair.public_key().as_ref() != owner.public {
            return Err(Mistake::new("key and certificate do not belong together"));
        }
        let key = PrivateDecryptingKey::from_pkcs8(der.secret_pkcs8_der()).map_err(|_| wrong())?;
        let key = OaepPrivateDecryptingKey::new(key).map_err(|_| wrong())?;
        Ok(DecryptionKey { key, certificate })
    }
}
