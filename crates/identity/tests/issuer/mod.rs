//! An issuer for tests: real keys, and tokens that say what a test wants.

use aws_lc_rs::rsa::{KeyPair as RsaKey, KeySize};
use aws_lc_rs::signature::{
    self, ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, EcdsaSigningAlgorithm, Ed25519KeyPair, KeyPair as _,
    RsaEncoding,
};
use aws_lc_rs::{hmac, rand::SystemRandom};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use lockgate_core::{IdentityKind, Timestamp};
use lockgate_identity::jwt::{Algorithm, ClaimPath, KeySet, Rules};
use std::collections::BTreeSet;

pub const ISSUER: &str = "https://idp.example.com";
/// The seconds that tests call now.
pub const NOW: i64 = 1_800_000_000;

pub fn now() -> Timestamp {
    Timestamp::from_millis(NOW * 1_000)
}

pub fn encode(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

pub struct Issuer {
    rsa: RsaKey,
    pub ec: [EcdsaKeyPair; 3],
    pub ed: Ed25519KeyPair,
}

fn ec(algorithm: &'static EcdsaSigningAlgorithm) -> EcdsaKeyPair {
    EcdsaKeyPair::generate(algorithm).unwrap()
}

impl Issuer {
    pub fn new() -> Self {
        Issuer {
            rsa: RsaKey::generate(KeySize::Rsa2048).unwrap(),
            ec: [
                ec(&ECDSA_P256_SHA256_FIXED_SIGNING),
                ec(&signature::ECDSA_P384_SHA384_FIXED_SIGNING),
                ec(&signature::ECDSA_P521_SHA512_FIXED_SIGNING),
            ],
            ed: Ed25519KeyPair::generate().unwrap(),
        }
    }

    fn modulus(&self) -> (Vec<u8>, Vec<u8>) {
        // RFC 8017, A.1.1: a sequence of two integers, of which the first is 256 bytes after a zero.
        let der = self.rsa_der();
        assert_eq!((der.len(), der[8]), (270, 0));
        (der[9..265].to_vec(), der[267..].to_vec())
    }

    /// The RSA key, named `rsa`.
    pub fn rsa_jwk(&self, more: &str) -> String {
        let (n, e) = self.modulus();
        format!(r#"{{"kty":"RSA","kid":"rsa","n":"{}","e":"{}"{more}}}"#, encode(n), encode(e))
    }

    /// The text of the RSA key, as somebody would take it for a shared secret.
    pub fn rsa_der(&self) -> Vec<u8> {
        self.rsa.public_key().as_ref().to_vec()
    }

    pub fn ec_jwk(&self, index: usize, curve: &str, kid: &str) -> String {
        let point = self.ec[index].public_key().as_ref()[1..].to_vec();
        let (x, y) = point.split_at(point.len() / 2);
        format!(r#"{{"kty":"EC","crv":"{curve}","kid":"{kid}","x":"{}","y":"{}"}}"#, encode(x), encode(y))
    }

    pub fn ed_jwk(&self) -> String {
        format!(r#"{{"kty":"OKP","crv":"Ed25519","kid":"ed","x":"{}"}}"#, encode(self.ed.public_key()))
    }

    /// All keys.
    pub fn jwks(&self) -> String {
        let keys = [
            self.rsa_jwk(""),
            self.ec_jwk(0, "P-256", "p256"),
            self.ec_jwk(1, "P-384", "p384"),
            self.ec_jwk(2, "P-521", "p521"),
            self.ed_jwk(),
        ];
        format!(r#"{{"keys":[{}]}}"#, keys.join(","))
    }

    pub fn keys(&self) -> KeySet {
        KeySet::read(self.jwks().as_bytes()).unwrap()
    }

    /// Signs the two parts as the algorithm wants it.
    pub fn sign(&self, algorithm: Algorithm, signed: &[u8]) -> Vec<u8> {
        let random = SystemRandom::new();
        let rsa = |encoding: &'static dyn RsaEncoding| {
            let mut out = vec![0; self.rsa.public_modulus_len()];
            self.rsa.sign(encoding, &random, signed, &mut out).unwrap();
            out
        };
        match algorithm {
            Algorithm::Rs256 => rsa(&signature::RSA_PKCS1_SHA256),
            Algorithm::Rs384 => rsa(&signature::RSA_PKCS1_SHA384),
            Algorithm::Rs512 => rsa(&signature::RSA_PKCS1_SHA512),
            Algorithm::Ps256 => rsa(&signature::RSA_PSS_SHA256),
            Algorithm::Ps384 => rsa(&signature::RSA_PSS_SHA384),
            Algorithm::Ps512 => rsa(&signature::RSA_PSS_SHA512),
            Algorithm::Es256 => self.ec[0].sign(&random, signed).unwrap().as_ref().to_vec(),
            Algorithm::Es384 => self.ec[1].sign(&random, signed).unwrap().as_ref().to_vec(),
            Algorithm::Es512 => self.ec[2].sign(&random, signed).unwrap().as_ref().to_vec(),
            Algorithm::EdDsa => self.ed.sign(signed).as_ref().to_vec(),
        }
    }

    /// A token of these two JSON texts.
    pub fn token(&self, algorithm: Algorithm, header: &str, payload: &str) -> String {
        let signed = format!("{}.{}", encode(header), encode(payload));
        let signature = self.sign(algorithm, signed.as_bytes());
        format!("{signed}.{}", encode(signature))
    }

    /// A token that is signed as usual, with these claims.
    pub fn usual(&self, payload: &str) -> String {
        self.token(Algorithm::Rs256, r#"{"alg":"RS256","kid":"rsa","typ":"JWT"}"#, payload)
    }
}

/// Signs with a shared secret.
pub fn hmac_token(header: &str, payload: &str, secret: &[u8]) -> String {
    let signed = format!("{}.{}", encode(header), encode(payload));
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret);
    format!("{signed}.{}", encode(hmac::sign(&key, signed.as_bytes())))
}

/// Claims that are accepted, with `more` added or put in their place: `{"aud":"x"}` puts another audience in; `null` takes out.
pub fn claims(more: &str) -> String {
    let mut all: serde_json::Map<String, serde_json::Value> = serde_json::from_str(&format!(
        r#"{{"iss":"{ISSUER}","sub":"248289761001","aud":"lockgate","exp":{},"iat":{NOW},"email":"alice@example.com","groups":["engineers"]}}"#,
        NOW + 300
    ))
    .unwrap();
    let more: serde_json::Map<String, serde_json::Value> = serde_json::from_str(more).unwrap();
    for (name, value) in more {
        if value.is_null() {
            all.remove(&name);
        } else {
            all.insert(name, value);
        }
    }
    serde_json::to_string(&all).unwrap()
}

pub fn path(written: &str) -> ClaimPath {
    ClaimPath::new(written).unwrap()
}

pub fn rules() -> Rules {
    Rules {
        provider: "corp".to_owned(),
        issuer: ISSUER.to_owned(),
        client_id: "lockgate".to_owned(),
        audiences: vec!["lockgate".to_owned()],
        authorized_parties: Vec::new(),
        algorithms: Algorithm::ALL.to_vec(),
        required: Vec::new(),
        user_claim: path("email"),
        user_prefix: String::new(),
        groups_claim: path("groups"),
        groups: BTreeSet::new(),
        kind: IdentityKind::Human,
        kind_claim: None,
    }
}
