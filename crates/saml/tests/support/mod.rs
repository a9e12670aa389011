//! An identity provider for the tests: it makes responses of every shape, good and bad, and signs them.
//!
//! It does not use the crate's canonical form. It writes what it signs in canonical form to begin with: every element declares the
//! namespaces it uses first, attributes are in order, nothing is empty. So a mistake in the crate cannot be made here too.
#![allow(dead_code, reason = "each test program uses a part of it")]
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a test that fails may panic")]

use aws_lc_rs::aead::{self, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::cipher::{self, EncryptingKey, EncryptionContext, UnboundCipherKey};
use aws_lc_rs::iv::FixedLength;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{self, OaepAlgorithm, OaepPublicEncryptingKey, PrivateDecryptingKey};
use aws_lc_rs::signature::{self, EcdsaKeyPair, RsaKeyPair};
use aws_lc_rs::{digest, hmac};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use lockgate_core::{Secret, Timestamp};
use lockgate_saml::{
    DecryptionKey, Expected, IdentityProvider, Login, Refusal, RequestId, ServiceProvider, Settings, Use, UserSource,
    WantSigned,
};
use std::sync::OnceLock;

/// 2026-11-21T05:09:00Z, when all tests happen.
pub const NOW: Timestamp = Timestamp::from_millis(1_795_237_740_000);
pub const IDP: &str = "https://idp.example.com/metadata";
pub const SP: &str = "https://gateway.example.com/saml/corp";
pub const ACS: &str = "https://gateway.example.com/saml/corp/acs";
pub const REQUEST: &str = "_request-1";

pub fn base64(bytes: impl AsRef<[u8]>) -> String {
    STANDARD.encode(bytes)
}

/// A key of a provider.
pub struct Key {
    pub pair: rcgen::KeyPair,
    pub certificate_pem: String,
    pub certificate: Vec<u8>,
}

impl Key {
    pub fn new(algorithm: &'static rcgen::SignatureAlgorithm) -> Self {
        let pair = rcgen::KeyPair::generate_for(algorithm).unwrap();
        let certificate =
            rcgen::CertificateParams::new(vec!["idp.example.com".to_owned()]).unwrap().self_signed(&pair).unwrap();
        Key { certificate_pem: certificate.pem(), certificate: certificate.der().to_vec(), pair }
    }

    pub fn secret(&self) -> Secret {
        Secret::new(self.pair.serialize_pem())
    }
}

/// Every key of the tests, made once for a test program.
pub struct Keys {
    pub rsa: Key,
    pub p256: Key,
    pub p384: Key,
    /// Of nobody.
    pub stranger: Key,
    /// Ours.
    pub decryption: Key,
}

pub fn keys() -> &'static Keys {
    static KEYS: OnceLock<Keys> = OnceLock::new();
    KEYS.get_or_init(|| Keys {
        rsa: Key::new(&rcgen::PKCS_RSA_SHA256),
        p256: Key::new(&rcgen::PKCS_ECDSA_P256_SHA256),
        p384: Key::new(&rcgen::PKCS_ECDSA_P384_SHA384),
        stranger: Key::new(&rcgen::PKCS_RSA_SHA256),
        decryption: Key::new(&rcgen::PKCS_RSA_SHA256),
    })
}

/// The provider's metadata.
pub fn metadata() -> String {
    let descriptors: String = [("use=\"signing\"", &keys().rsa), ("use=\"signing\"", &keys().p256), ("", &keys().p384)]
        .iter()
        .map(|(usage, key)| {
            let certificate = base64(&key.certificate);
            let wrapped: Vec<&str> = certificate.as_bytes().chunks(64).map(|line| std::str::from_utf8(line).unwrap()).collect();
            format!(
                "<KeyDescriptor {usage}><ds:KeyInfo><ds:X509Data><ds:X509Certificate>\n{}\n</ds:X509Certificate></ds:X509Data></ds:KeyInfo></KeyDescriptor>\n",
                wrapped.join("\n")
            )
        })
        .collect();
    format!(
        "\u{feff}<?xml version='1.0' encoding='utf-8'?>\r\n<!-- made by hand -->\r\n<EntityDescriptor xmlns=\"urn:oasis:names:tc:SAML:2.0:metadata\" xmlns:ds=\"http://www.w3.org/2000/09/xmldsig#\" entityID=\"{IDP}\">\n<IDPSSODescriptor protocolSupportEnumeration=\"urn:oasis:names:tc:SAML:2.0:protocol\">\n{descriptors}<SingleLogoutService Binding=\"urn:oasis:names:tc:SAML:2.0:bindings:HTTP-Redirect\" Location=\"https://idp.example.com/slo\"/>\n<SingleSignOnService Binding=\"urn:oasis:names:tc:SAML:2.0:bindings:HTTP-Redirect\" Location=\"https://idp.example.com/sso?a=1&amp;b=2\"/>\n<SingleSignOnService Binding=\"urn:oasis:names:tc:SAML:2.0:bindings:HTTP-POST\" Location=\"https://idp.example.com/sso/post\"/>\n</IDPSSODescriptor></EntityDescriptor>\n"
    )
}

/// Settings as most have them: user and groups from attributes.
pub fn settings() -> Settings {
    let key = &keys().decryption;
    Settings {
        user: UserSource::Attribute("email".to_owned()),
        groups_attribute: Some("groups".to_owned()),
        decryption_keys: vec![DecryptionKey::from_pem(&key.secret(), &key.certificate_pem).unwrap()],
        ..Settings::new("corp", SP, ACS)
    }
}

pub fn provider_with(settings: Settings) -> ServiceProvider {
    ServiceProvider::new(settings, IdentityProvider::from_metadata(metadata().as_bytes()).unwrap()).unwrap()
}

pub fn provider() -> ServiceProvider {
    provider_with(settings())
}

/// Providers that differ in what they want, all as generous as can be otherwise.
pub fn generous(want_signed: WantSigned) -> ServiceProvider {
    provider_with(Settings { want_signed, allow_idp_initiated: true, allow_cbc: true, ..settings() })
}

pub fn request_id() -> RequestId {
    RequestId::from_kept(REQUEST)
}

/// Receives the XML as the answer to the request, and redeems it.
pub fn receive(provider: &ServiceProvider, xml: impl AsRef<[u8]>) -> Result<Login, Refusal> {
    receive_at(provider, xml, NOW)
}

pub fn receive_at(provider: &ServiceProvider, xml: impl AsRef<[u8]>, now: Timestamp) -> Result<Login, Refusal> {
    let id = request_id();
    provider.receive(&base64(xml), Expected::AnswerTo(&id), now)?.redeem(Use::First)
}

/// What a response says; every field goes into the XML as it is.
#[derive(Clone)]
pub struct Facts {
    pub response_attributes: String,
    pub response_id: String,
    pub response_issuer: String,
    pub status: String,
    pub assertion_id: String,
    pub assertion_version: String,
    pub issued: String,
    pub issuer: String,
    pub name_id: String,
    pub recipient: String,
    pub confirmation: String,
    pub confirmation_end: String,
    pub conditions_window: String,
    pub conditions: String,
    pub authn_attributes: String,
    pub context: String,
    pub attributes: String,
}

pub fn attribute(name: &str, values: &[&str]) -> String {
    let values: String = values.iter().map(|v| format!("<saml:AttributeValue>{v}</saml:AttributeValue>")).collect();
    format!("<saml:Attribute Name=\"{name}\">{values}</saml:Attribute>")
}

impl Default for Facts {
    fn default() -> Self {
        Facts {
            response_attributes: format!("Destination=\"{ACS}\" ID=\"_response-1\" InResponseTo=\"{REQUEST}\" IssueInstant=\"2026-11-21T05:08:59Z\" Version=\"2.0\""),
            response_id: "_response-1".to_owned(),
            response_issuer: issuer(IDP),
            status: "<samlp:StatusCode Value=\"urn:oasis:names:tc:SAML:2.0:status:Success\"></samlp:StatusCode>".to_owned(),
            assertion_id: "_assertion-1".to_owned(),
            assertion_version: "2.0".to_owned(),
            issued: "2026-11-21T05:08:59Z".to_owned(),
            issuer: IDP.to_owned(),
            name_id: "<saml:NameID Format=\"urn:oasis:names:tc:SAML:2.0:nameid-format:persistent\">a81c</saml:NameID>".to_owned(),
            recipient: ACS.to_owned(),
            confirmation: format!("InResponseTo=\"{REQUEST}\" "),
            confirmation_end: "2026-11-21T05:13:59Z".to_owned(),
            conditions_window: "NotBefore=\"2026-11-21T05:08:29Z\" NotOnOrAfter=\"2026-11-21T05:13:59Z\"".to_owned(),
            conditions: audience(SP),
            authn_attributes: "AuthnInstant=\"2026-11-21T05:08:58Z\" SessionIndex=\"_session-1\" SessionNotOnOrAfter=\"2026-11-21T13:08:59Z\"".to_owned(),
            context: "<saml:AuthnContext><saml:AuthnContextClassRef>urn:oasis:names:tc:SAML:2.0:ac:classes:PasswordProtectedTransport</saml:AuthnContextClassRef></saml:AuthnContext>".to_owned(),
            attributes: attribute("email", &["alice@example.com"]) + &attribute("groups", &["engineers", "dba"]),
        }
    }
}

pub fn issuer(name: &str) -> String {
    format!("<saml:Issuer xmlns:saml=\"urn:oasis:names:tc:SAML:2.0:assertion\">{name}</saml:Issuer>")
}

pub fn audience(name: &str) -> String {
    format!("<saml:AudienceRestriction><saml:Audience>{name}</saml:Audience></saml:AudienceRestriction>")
}

impl Facts {
    /// Facts of a login that the provider began.
    pub fn unsolicited() -> Self {
        Facts {
            response_attributes: format!(
                "Destination=\"{ACS}\" ID=\"_response-1\" IssueInstant=\"2026-11-21T05:08:59Z\" Version=\"2.0\""
            ),
            confirmation: String::new(),
            ..Facts::default()
        }
    }

    pub fn assertion(&self) -> String {
        format!(
            "<saml:Assertion xmlns:saml=\"urn:oasis:names:tc:SAML:2.0:assertion\" ID=\"{}\" IssueInstant=\"{}\" Version=\"{}\"><saml:Issuer>{}</saml:Issuer><saml:Subject>{}<saml:SubjectConfirmation Method=\"urn:oasis:names:tc:SAML:2.0:cm:bearer\"><saml:SubjectConfirmationData {}NotOnOrAfter=\"{}\" Recipient=\"{}\"></saml:SubjectConfirmationData></saml:SubjectConfirmation></saml:Subject><saml:Conditions {}>{}</saml:Conditions><saml:AuthnStatement {}>{}</saml:AuthnStatement><saml:AttributeStatement>{}</saml:AttributeStatement></saml:Assertion>",
            self.assertion_id,
            self.issued,
            self.assertion_version,
            self.issuer,
            self.name_id,
            self.confirmation,
            self.confirmation_end,
            self.recipient,
            self.conditions_window,
            self.conditions,
            self.authn_attributes,
            self.context,
            self.attributes,
        )
    }

    pub fn response(&self, content: &str) -> String {
        format!(
            "<samlp:Response xmlns:samlp=\"urn:oasis:names:tc:SAML:2.0:protocol\" {}>{}<samlp:Status>{}</samlp:Status>{content}</samlp:Response>",
            self.response_attributes, self.response_issuer, self.status
        )
    }

    /// A response with a signed assertion.
    pub fn assertion_signed(&self) -> String {
        self.response(&Signer::default().sign(&self.assertion(), &self.assertion_id))
    }

    /// A signed response with an assertion that is not.
    pub fn response_signed(&self) -> String {
        Signer::default().sign(&self.response(&self.assertion()), &self.response_id)
    }

    /// Both signed. The inner signature is part of what the outer one signs.
    pub fn both_signed(&self) -> String {
        let inner = Signer::default();
        let assertion = self.assertion();
        let signed = inner.sign(&assertion, &self.assertion_id);
        let canonical = signed.replacen(
            &inner.info(&assertion, &self.assertion_id, true),
            &inner.info(&assertion, &self.assertion_id, false),
            1,
        );
        Signer::default().sign_as(&self.response(&signed), &self.response(&canonical), &self.response_id)
    }

    /// An encrypted assertion, itself signed, in a response that is signed or not.
    pub fn encrypted(&self, encryption: &Encryption, response_is_signed: bool) -> String {
        let sealed = encryption.seal(&Signer::default().sign(&self.assertion(), &self.assertion_id));
        let response = self.response(&sealed);
        if response_is_signed { Signer::default().sign(&response, &self.response_id) } else { response }
    }
}

#[derive(Clone, Copy, PartialEq)]
pub enum Making {
    Rsa,
    Pss,
    Ecdsa,
    /// With the public key, as it is in the metadata, for a secret.
    Hmac,
}

/// How something is signed.
#[derive(Clone)]
pub struct Signer {
    pub key: &'static Key,
    pub making: Making,
    pub algorithm: &'static str,
    pub digest: &'static str,
    pub canonicalization: String,
    pub transforms: String,
    pub reference: Option<String>,
    pub extra_reference: String,
    pub key_info: String,
    pub object: String,
    /// Whether the namespace of signatures is the default one, as Microsoft's programs write it.
    pub default_namespace: bool,
}

pub const EXCLUSIVE: &str = "http://www.w3.org/2001/10/xml-exc-c14n#";
pub const ENVELOPED: &str = "http://www.w3.org/2000/09/xmldsig#enveloped-signature";

pub fn transform(name: &str) -> String {
    format!("<ds:Transform Algorithm=\"{name}\"></ds:Transform>")
}

impl Default for Signer {
    fn default() -> Self {
        Signer {
            key: &keys().rsa,
            making: Making::Rsa,
            algorithm: "http://www.w3.org/2001/04/xmldsig-more#rsa-sha256",
            digest: "http://www.w3.org/2001/04/xmlenc#sha256",
            canonicalization: format!(
                "<ds:CanonicalizationMethod Algorithm=\"{EXCLUSIVE}\"></ds:CanonicalizationMethod>"
            ),
            transforms: transform(ENVELOPED) + &transform(EXCLUSIVE),
            reference: None,
            extra_reference: String::new(),
            key_info: String::new(),
            object: String::new(),
            default_namespace: false,
        }
    }
}

/// The same text with a namespace as the default one.
pub fn without_prefix(text: &str, prefix: &str) -> String {
    let text = text.replace(&format!("<{prefix}:"), "<").replace(&format!("</{prefix}:"), "</");
    text.replace(&format!("xmlns:{prefix}="), "xmlns=")
}

impl Signer {
    fn written(&self, text: String) -> String {
        if self.default_namespace { without_prefix(&text, "ds") } else { text }
    }

    pub fn with(key: &'static Key, making: Making, algorithm: &'static str, digest: &'static str) -> Self {
        Signer { key, making, algorithm, digest, ..Signer::default() }
    }

    /// Signs an element that is in canonical form, and puts the signature behind its issuer.
    pub fn sign(&self, element: &str, id: &str) -> String {
        self.sign_as(element, element, id)
    }

    /// Signs an element whose canonical form is this.
    pub fn sign_as(&self, element: &str, canonical: &str, id: &str) -> String {
        let after = |end: &str| element.find(end).map(|at| at + end.len());
        // Behind the element's own issuer, if there is one.
        let own = [after("</saml:Issuer>"), after("</Issuer>")].into_iter().flatten().min();
        let status = element.find("<samlp:Status>").unwrap_or(usize::MAX);
        let at = own.filter(|at| *at <= status).or(element.find('>').map(|at| at + 1)).unwrap();
        format!("{}{}{}", &element[..at], self.signature(canonical, id), &element[at..])
    }

    pub fn signature(&self, canonical: &str, id: &str) -> String {
        let value = base64(self.value(self.info(canonical, id, true).as_bytes()));
        self.written(format!(
            "<ds:Signature xmlns:ds=\"http://www.w3.org/2000/09/xmldsig#\">{}<ds:SignatureValue>{value}</ds:SignatureValue>{}{}</ds:Signature>",
            self.info(canonical, id, true),
            self.key_info,
            self.object,
        ))
    }

    /// `SignedInfo`, where it declares its own namespace and where what is around it does.
    pub fn info(&self, canonical: &str, id: &str, declared: bool) -> String {
        let declaration = if declared { " xmlns:ds=\"http://www.w3.org/2000/09/xmldsig#\"" } else { "" };
        let reference = self.reference.clone().unwrap_or_else(|| format!("#{id}"));
        let hash = match self.digest {
            d if d.ends_with("sha1") => digest::digest(&digest::SHA1_FOR_LEGACY_USE_ONLY, canonical.as_bytes()),
            d if d.ends_with("sha384") => digest::digest(&digest::SHA384, canonical.as_bytes()),
            d if d.ends_with("sha512") => digest::digest(&digest::SHA512, canonical.as_bytes()),
            _ => digest::digest(&digest::SHA256, canonical.as_bytes()),
        };
        self.written(format!(
            "<ds:SignedInfo{declaration}>{}<ds:SignatureMethod Algorithm=\"{}\"></ds:SignatureMethod><ds:Reference URI=\"{reference}\"><ds:Transforms>{}</ds:Transforms><ds:DigestMethod Algorithm=\"{}\"></ds:DigestMethod><ds:DigestValue>{}</ds:DigestValue></ds:Reference>{}</ds:SignedInfo>",
            self.canonicalization,
            self.algorithm,
            self.transforms,
            self.digest,
            base64(hash),
            self.extra_reference,
        ))
    }

    fn value(&self, message: &[u8]) -> Vec<u8> {
        let random = SystemRandom::new();
        let pkcs8 = self.key.pair.serialize_der();
        let rsa = |encoding: &'static dyn signature::RsaEncoding| {
            let pair = RsaKeyPair::from_pkcs8(&pkcs8).unwrap();
            let mut out = vec![0; pair.public_modulus_len()];
            pair.sign(encoding, &random, message, &mut out).unwrap();
            out
        };
        let bits = if self.algorithm.contains("384") {
            384
        } else if self.algorithm.contains("512") {
            512
        } else {
            256
        };
        match (self.making, bits) {
            (Making::Rsa, 384) => rsa(&signature::RSA_PKCS1_SHA384),
            (Making::Rsa, 512) => rsa(&signature::RSA_PKCS1_SHA512),
            (Making::Rsa, _) => rsa(&signature::RSA_PKCS1_SHA256),
            (Making::Pss, 384) => rsa(&signature::RSA_PSS_SHA384),
            (Making::Pss, 512) => rsa(&signature::RSA_PSS_SHA512),
            (Making::Pss, _) => rsa(&signature::RSA_PSS_SHA256),
            (Making::Ecdsa, bits) => {
                let algorithm = if bits == 384 {
                    &signature::ECDSA_P384_SHA384_FIXED_SIGNING
                } else {
                    &signature::ECDSA_P256_SHA256_FIXED_SIGNING
                };
                EcdsaKeyPair::from_pkcs8(algorithm, &pkcs8).unwrap().sign(&random, message).unwrap().as_ref().to_vec()
            }
            (Making::Hmac, _) => {
                let key = hmac::Key::new(hmac::HMAC_SHA256, &self.key.certificate);
                hmac::sign(&key, message).as_ref().to_vec()
            }
        }
    }
}

/// How something is encrypted.
#[derive(Clone)]
pub struct Encryption {
    pub key: &'static Key,
    pub content: &'static str,
    pub transport: &'static str,
    pub digest: Option<&'static str>,
    pub mask: Option<&'static str>,
    pub oaep: &'static OaepAlgorithm,
    /// The encrypted key beside the data and not in it.
    pub beside: bool,
    pub kind: &'static str,
}

impl Default for Encryption {
    fn default() -> Self {
        Encryption {
            key: &keys().decryption,
            content: "http://www.w3.org/2009/xmlenc11#aes256-gcm",
            transport: "http://www.w3.org/2001/04/xmlenc#rsa-oaep-mgf1p",
            digest: Some("http://www.w3.org/2000/09/xmldsig#sha1"),
            mask: None,
            oaep: &rsa::OAEP_SHA1_MGF1SHA1,
            beside: false,
            kind: "http://www.w3.org/2001/04/xmlenc#Element",
        }
    }
}

impl Encryption {
    /// The `EncryptedAssertion` with this in it, in canonical form, so that a response around it can be signed.
    pub fn seal(&self, plain: &str) -> String {
        let xenc = " xmlns:xenc=\"http://www.w3.org/2001/04/xmlenc#\"";
        let ds = " xmlns:ds=\"http://www.w3.org/2000/09/xmldsig#\"";
        // What stands beside the data does not have its declarations around it.
        let (own_xenc, own_ds) = if self.beside { (xenc, ds) } else { ("", "") };
        let length = if self.content.contains("128") { 16 } else { 32 };
        let mut session_key = vec![0; length];
        aws_lc_rs::rand::fill(&mut session_key).unwrap();
        let gcm_wanted = self.content.ends_with("gcm");
        let sealed = if gcm_wanted { gcm(&session_key, plain.as_bytes()) } else { cbc(&session_key, plain.as_bytes()) };
        let public = PrivateDecryptingKey::from_pkcs8(self.key.pair.serialized_der()).unwrap().public_key();
        let public = OaepPublicEncryptingKey::new(public).unwrap();
        let mut wrapped = vec![0; public.ciphertext_size()];
        let wrapped = public.encrypt(self.oaep, &session_key, &mut wrapped, None).unwrap();
        let digest = self.digest.map(|d| format!("<ds:DigestMethod{own_ds} Algorithm=\"{d}\"></ds:DigestMethod>"));
        let mask = self.mask.map(|m| {
            format!("<xenc11:MGF xmlns:xenc11=\"http://www.w3.org/2009/xmlenc11#\" Algorithm=\"{m}\"></xenc11:MGF>")
        });
        let encrypted_key = format!(
            "<xenc:EncryptedKey{own_xenc} Id=\"_key-1\"><xenc:EncryptionMethod Algorithm=\"{}\">{}{}</xenc:EncryptionMethod><xenc:CipherData><xenc:CipherValue>{}</xenc:CipherValue></xenc:CipherData></xenc:EncryptedKey>",
            self.transport,
            digest.unwrap_or_default(),
            mask.unwrap_or_default(),
            base64(wrapped),
        );
        let pointer = "<ds:RetrievalMethod Type=\"http://www.w3.org/2001/04/xmlenc#EncryptedKey\" URI=\"#_key-1\"></ds:RetrievalMethod>";
        let (inside, outside) =
            if self.beside { (pointer, encrypted_key.as_str()) } else { (encrypted_key.as_str(), "") };
        format!(
            "<saml:EncryptedAssertion xmlns:saml=\"urn:oasis:names:tc:SAML:2.0:assertion\"><xenc:EncryptedData{xenc} Type=\"{}\"><xenc:EncryptionMethod Algorithm=\"{}\"></xenc:EncryptionMethod><ds:KeyInfo{ds}>{inside}</ds:KeyInfo><xenc:CipherData><xenc:CipherValue>{}</xenc:CipherValue></xenc:CipherData></xenc:EncryptedData>{outside}</saml:EncryptedAssertion>",
            self.kind,
            self.content,
            base64(sealed),
        )
    }
}

fn gcm(key: &[u8], plain: &[u8]) -> Vec<u8> {
    let algorithm = if key.len() == 16 { &aead::AES_128_GCM } else { &aead::AES_256_GCM };
    let mut nonce = [0; 12];
    aws_lc_rs::rand::fill(&mut nonce).unwrap();
    let mut sealed = plain.to_vec();
    let key = LessSafeKey::new(UnboundKey::new(algorithm, key).unwrap());
    key.seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), Aad::empty(), &mut sealed).unwrap();
    [nonce.as_slice(), &sealed].concat()
}

fn cbc(key: &[u8], plain: &[u8]) -> Vec<u8> {
    let algorithm = if key.len() == 16 { &cipher::AES_128 } else { &cipher::AES_256 };
    let mut iv = [0; 16];
    aws_lc_rs::rand::fill(&mut iv).unwrap();
    let padding = 16 - plain.len() % 16;
    let mut sealed = plain.to_vec();
    sealed.extend(std::iter::repeat_n(7, padding - 1));
    sealed.push(u8::try_from(padding).unwrap());
    let key = EncryptingKey::cbc(UnboundCipherKey::new(algorithm, key).unwrap()).unwrap();
    key.less_safe_encrypt(&mut sealed, EncryptionContext::Iv128(FixedLength::from(iv))).unwrap();
    [iv.as_slice(), &sealed].concat()
}
