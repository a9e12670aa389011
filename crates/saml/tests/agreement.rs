//! What provider and gateway tell each other before anybody logs in: metadata both ways, and requests.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a test that fails may panic")]

mod support;

use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey, VerificationAlgorithm,
};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use lockgate_core::{Secret, Timestamp};
use lockgate_saml::{
    Binding, DecryptionKey, Expected, IdentityProvider, Outgoing, RequestId, ServiceProvider, Settings, SigningKey,
    Use, UserSource,
};
use rcgen::PublicKeyData as _;
use support::*;

#[test]
fn metadata_that_is_no_use_says_why() {
    let good = metadata();
    let certificate = base64(&keys().rsa.certificate);
    let wrapped: Vec<&str> = certificate.as_bytes().chunks(64).map(|line| std::str::from_utf8(line).unwrap()).collect();
    let weak = "MIIBnzCCAQgCFHL1J4BkdVGEfJO3z7F0kM1mT5IyMA0GCSqGSIb3DQEBCwUAMA8xDTALBgNVBAMMBHdlYWs=";
    let many = "<KeyDescriptor/>".repeat(3);
    let rows: Vec<(&str, String, &str)> = vec![
        ("not XML", "hello".to_owned(), "cannot be read"),
        ("a document type", format!("<!DOCTYPE x>{}", good.trim_start_matches('\u{feff}')), "cannot be read"),
        ("too large", "x".repeat(2 * 1024 * 1024), "too large"),
        ("several parties", good.replace("EntityDescriptor", "EntitiesDescriptor"), "several parties"),
        ("another document", "<x/>".to_owned(), "not an `EntityDescriptor`"),
        ("no name", good.replace(" entityID=", " id="), "no `entityID`"),
        ("of a service provider", good.replace("IDPSSODescriptor", "SPSSODescriptor"), "one `IDPSSODescriptor`"),
        ("of SAML 1.1", good.replace("SAML:2.0:protocol", "SAML:1.1:protocol"), "one `IDPSSODescriptor`"),
        ("no key", good.replace("X509Certificate", "X509CRL"), "no certificate"),
        (
            "keys to encrypt to only",
            good.replace("use=\"signing\"", "use=\"encryption\"").replacen(
                "<KeyDescriptor >",
                "<KeyDescriptor use=\"encryption\">",
                1,
            ),
            "no certificate",
        ),
        ("a key that is not base64", good.replace(wrapped[0], "?"), "not base64"),
        ("a key that is none", good.replace(&wrapped.join("\n"), weak), "malformed"),
        ("nowhere to go", good.replace("SingleSignOnService", "ArtifactResolutionService"), "no `SingleSignOnService`"),
        (
            "an address in clear",
            good.replace("https://idp.example.com/sso", "http://idp.example.com/sso"),
            "not at an https address",
        ),
        (
            "an address that is a program",
            good.replace("https://idp.example.com/sso", "javascript:alert(1)//"),
            "not at an https address",
        ),
        ("a time that is none", good.replace(" entityID=", " validUntil=\"tomorrow\" entityID="), "`validUntil`"),
        ("empty keys beside good ones", good.replacen("<KeyDescriptor ", &format!("{many}<KeyDescriptor "), 1), ""),
    ];
    for (name, text, wanted) in rows {
        match IdentityProvider::from_metadata(text.as_bytes()) {
            Ok(provider) => assert_eq!((wanted, provider.entity_id()), ("", IDP), "{name}"),
            Err(mistake) => assert!(!wanted.is_empty() && mistake.to_string().contains(wanted), "{name}: {mistake}"),
        }
    }
}

#[test]
fn settings_that_cannot_be_say_why() {
    let provider = IdentityProvider::from_metadata(metadata().as_bytes()).unwrap();
    let wants_signed = metadata().replace("<IDPSSODescriptor ", "<IDPSSODescriptor WantAuthnRequestsSigned=\"true\" ");
    let wants_signed = IdentityProvider::from_metadata(wants_signed.as_bytes()).unwrap();
    let base = || Settings::new("corp", SP, ACS);
    let rows: Vec<(Settings, &IdentityProvider, &str)> = vec![
        (base(), &provider, ""),
        (Settings::new("corp", "", ACS), &provider, "`entity_id`"),
        (Settings::new("corp", "a b", ACS), &provider, "`entity_id`"),
        (Settings::new("corp", SP, "http://gateway.example.com/acs"), &provider, "`acs`"),
        (Settings::new("corp", SP, "http://127.0.0.1:6443/acs"), &provider, ""),
        (Settings { skew_ms: 3_600_000, ..base() }, &provider, "clocks"),
        (Settings { skew_ms: -1, ..base() }, &provider, "clocks"),
        (Settings { user: UserSource::Attribute(String::new()), ..base() }, &provider, "empty"),
        (Settings { groups_attribute: Some(String::new()), ..base() }, &provider, "empty"),
        (base(), &wants_signed, "signed requests"),
    ];
    for (settings, provider, wanted) in rows {
        match ServiceProvider::new(settings, provider.clone()) {
            Ok(_) => assert_eq!(wanted, ""),
            Err(mistake) => assert!(!wanted.is_empty() && mistake.to_string().contains(wanted), "{mistake}"),
        }
    }
}

#[test]
fn keys_that_cannot_be_say_why() {
    let keys = keys();
    let error = |result: Result<(), lockgate_saml::Mistake>| result.map_err(|mistake| mistake.to_string());
    let signing = |key: &Secret, certificate: &str| error(SigningKey::from_pem(key, certificate).map(drop));
    let decryption = |key: &Secret, certificate: &str| error(DecryptionKey::from_pem(key, certificate).map(drop));
    assert_eq!(signing(&keys.rsa.secret(), &keys.rsa.certificate_pem), Ok(()));
    assert_eq!(signing(&keys.p256.secret(), &keys.p256.certificate_pem), Ok(()));
    assert_eq!(decryption(&keys.decryption.secret(), &keys.decryption.certificate_pem), Ok(()));
    let nothing = Secret::new(String::new());
    for (found, wanted) in [
        (signing(&nothing, &keys.rsa.certificate_pem), "not a PEM file with a `PRIVATE KEY`"),
        (signing(&keys.rsa.secret(), ""), "not a PEM file with a `CERTIFICATE`"),
        (signing(&keys.rsa.secret(), &keys.stranger.certificate_pem), "do not belong together"),
        (signing(&keys.rsa.secret(), &keys.p256.certificate_pem), "not a P-256 key"),
        (signing(&keys.p256.secret(), &keys.rsa.certificate_pem), "not an RSA key"),
        (signing(&keys.p384.secret(), &keys.p384.certificate_pem), "RSA key or a P-256 key"),
        (decryption(&keys.rsa.secret(), &keys.decryption.certificate_pem), "do not belong together"),
        (decryption(&keys.p256.secret(), &keys.p256.certificate_pem), "not an RSA key"),
        (decryption(&nothing, &keys.decryption.certificate_pem), "not a PEM file"),
    ] {
        assert!(found.as_ref().is_err_and(|text| text.contains(wanted)), "{found:?}, not {wanted}");
    }
}

#[test]
fn our_metadata_is_what_the_settings_say() {
    let rsa = &keys().rsa;
    let signing_key = Some(SigningKey::from_pem(&rsa.secret(), &rsa.certificate_pem).unwrap());
    let text = provider_with(Settings { signing_key, ..settings() }).metadata();
    let document = roxmltree::Document::parse(&text).unwrap();
    let root = document.root_element();
    assert_eq!((root.tag_name().name(), root.attribute("entityID")), ("EntityDescriptor", Some(SP)));
    let named = |name: &'static str| {
        document.descendants().filter(move |n| n.has_tag_name(("urn:oasis:names:tc:SAML:2.0:metadata", name)))
    };
    let role = named("SPSSODescriptor").next().unwrap();
    assert_eq!(
        (role.attribute("AuthnRequestsSigned"), role.attribute("WantAssertionsSigned")),
        (Some("true"), Some("false"))
    );
    let acs = named("AssertionConsumerService").next().unwrap();
    assert_eq!((acs.attribute("Location"), acs.attribute("index")), (Some(ACS), Some("0")));
    let shown: Vec<(Option<&str>, &str)> = named("KeyDescriptor")
        .map(|n| {
            (
                n.attribute("use"),
                n.descendants().find(|d| d.tag_name().name() == "X509Certificate").unwrap().text().unwrap(),
            )
        })
        .collect();
    let (ours, theirs) = (base64(&rsa.certificate), base64(&keys().decryption.certificate));
    assert_eq!(shown, [(Some("signing"), ours.as_str()), (Some("encryption"), theirs.as_str())]);
}

/// The parts of a query, decoded.
fn query(address: &str) -> Vec<(String, String)> {
    let decode = |text: &str| {
        let mut pieces = text.split('%');
        let mut out = pieces.next().unwrap().as_bytes().to_vec();
        for piece in pieces {
            out.push(u8::from_str_radix(&piece[..2], 16).unwrap());
            out.extend_from_slice(&piece.as_bytes()[2..]);
        }
        String::from_utf8(out).unwrap()
    };
    let (_, query) = address.split_once('?').unwrap();
    query.split('&').map(|part| part.split_once('=').unwrap()).map(|(n, v)| (n.to_owned(), decode(v))).collect()
}

/// Stored blocks only, which is all that is ever written.
fn inflate_stored(bytes: &[u8]) -> String {
    let length = usize::from(u16::from_le_bytes([bytes[1], bytes[2]]));
    assert_eq!((bytes[0], bytes.len()), (1, length + 5));
    String::from_utf8(bytes[5..].to_vec()).unwrap()
}

#[test]
fn requests_by_redirect() {
    let id = RequestId::from_random(std::array::from_fn(|n| u8::try_from(n).unwrap()));
    assert_eq!(id.as_str(), "_000102030405060708090a0b0c0d0e0f10111213");
    let unsigned = provider_with(Settings { authn_contexts: vec!["urn:mfa".to_owned()], ..settings() });
    let Outgoing::Redirect(address) = unsigned.request(&id, Some("a b&c=d"), NOW).unwrap() else {
        panic!("a redirect")
    };
    assert!(address.starts_with("https://idp.example.com/sso?a=1&b=2&SAMLRequest="), "{address}");
    let parts = query(&address);
    assert_eq!(parts.iter().map(|(n, _)| n.as_str()).collect::<Vec<_>>(), ["a", "b", "SAMLRequest", "RelayState"]);
    assert_eq!(parts[3].1, "a b&c=d");
    let xml = inflate_stored(&STANDARD.decode(&parts[2].1).unwrap());
    let document = roxmltree::Document::parse(&xml).unwrap();
    let root = document.root_element();
    assert_eq!(root.tag_name().name(), "AuthnRequest");
    for (name, value) in [
        ("ID", id.as_str()),
        ("Version", "2.0"),
        ("IssueInstant", "2026-11-21T05:09:00.000Z"),
        ("Destination", "https://idp.example.com/sso?a=1&b=2"),
        ("AssertionConsumerServiceURL", ACS),
        ("ProtocolBinding", "urn:oasis:names:tc:SAML:2.0:bindings:HTTP-POST"),
    ] {
        assert_eq!(root.attribute(name), Some(value));
    }
    let text = |name: &str| document.descendants().find(|n| n.tag_name().name() == name).and_then(|n| n.text());
    assert_eq!((text("Issuer"), text("AuthnContextClassRef")), (Some(SP), Some("urn:mfa")));

    assert!(unsigned.request(&id, Some(&"x".repeat(81)), NOW).unwrap_err().to_string().contains("80 bytes"));
}

#[test]
fn signed_requests_verify() {
    let algorithms: [(&Key, &'static dyn VerificationAlgorithm, &str); 2] = [
        (&keys().rsa, &RSA_PKCS1_2048_8192_SHA256, "rsa-sha256"),
        (&keys().p256, &ECDSA_P256_SHA256_FIXED, "ecdsa-sha256"),
    ];
    for (key, algorithm, name) in algorithms {
        let signing_key = Some(SigningKey::from_pem(&key.secret(), &key.certificate_pem).unwrap());
        let signing = provider_with(Settings { signing_key, ..settings() });
        let public = UnparsedPublicKey::new(algorithm, key.pair.der_bytes());
        let id = request_id();
        for state in [None, Some("s")] {
            let Outgoing::Redirect(address) = signing.request(&id, state, NOW).unwrap() else { panic!("a redirect") };
            let parts = query(&address);
            let find = |name: &str| parts.iter().find(|(n, _)| n == name).map(|(_, v)| v.clone());
            assert_eq!(find("SigAlg").unwrap(), format!("http://www.w3.org/2001/04/xmldsig-more#{name}"));
            let begin = address.find("SAMLRequest=").unwrap();
            let signed = &address[begin..address.find("&Signature=").unwrap()];
            public.verify(signed.as_bytes(), &STANDARD.decode(find("Signature").unwrap()).unwrap()).unwrap();
        }
        let Outgoing::Post { action, fields } = signing.request_by(Binding::Post, &id, Some("s"), NOW).unwrap() else {
            panic!("a form")
        };
        assert_eq!(
            (action.as_str(), fields[1].clone()),
            ("https://idp.example.com/sso/post", ("RelayState", "s".to_owned()))
        );
        let xml = String::from_utf8(STANDARD.decode(&fields[0].1).unwrap()).unwrap();
        // The signed part is written in canonical form.
        let cut = |begin: &str, end: &str| xml[xml.find(begin).unwrap()..xml.find(end).unwrap() + end.len()].to_owned();
        let (info, value) =
            (cut("<ds:SignedInfo", "</ds:SignedInfo>"), cut("<ds:SignatureValue>", "</ds:SignatureValue>"));
        let value = value.trim_start_matches("<ds:SignatureValue>").trim_end_matches("</ds:SignatureValue>");
        public.verify(info.as_bytes(), &STANDARD.decode(value).unwrap()).unwrap();
        assert!(xml.find("</saml:Issuer><ds:Signature").is_some());
    }
}

/// What a real provider (SimpleSAMLphp 1.19, xmlseclibs) posted once.
#[test]
fn a_response_of_simplesamlphp() {
    let metadata = include_bytes!("data/simplesamlphp-metadata.xml");
    let xml = include_str!("data/simplesamlphp-response.xml");
    let entity_id = "https://gateway.example.com/saml/plain";
    let settings = Settings {
        user: UserSource::Attribute("email".to_owned()),
        groups_attribute: Some("groups".to_owned()),
        want_signed: lockgate_saml::WantSigned::Both,
        ..Settings::new("plain", entity_id, format!("{entity_id}/acs"))
    };
    let provider = ServiceProvider::new(settings, IdentityProvider::from_metadata(metadata).unwrap()).unwrap();
    let id = RequestId::from_kept("_05060708090a0b0c0d0e0f101112131415161718");
    // 2026-11-21T14:49:57Z
    let then = Timestamp::from_millis(1_795_272_597_000);
    let login = provider.receive(&base64(xml), Expected::AnswerTo(&id), then).unwrap().redeem(Use::First).unwrap();
    assert_eq!(login.user, "alice@example.com");
    assert_eq!(login.groups.iter().map(String::as_str).collect::<Vec<_>>(), ["Bürö & Ämter", "engineers"]);
    assert!(provider.receive(&base64(xml.replace("alice", "admin")), Expected::AnswerTo(&id), then).is_err());
}

/// What another one (nanoidp 3.4, signxml) posted once: the signature comes last in the assertion.
#[test]
fn a_response_of_nanoidp() {
    let metadata = include_bytes!("data/nanoidp-metadata.xml");
    let xml = include_str!("data/nanoidp-response.xml");
    let entity_id = "https://gateway.example.com/saml/nano";
    let settings = Settings {
        groups_attribute: Some("groups".to_owned()),
        want_signed: lockgate_saml::WantSigned::Assertion,
        ..Settings::new("nano", entity_id, format!("{entity_id}/acs"))
    };
    let provider = ServiceProvider::new(settings, IdentityProvider::from_metadata(metadata).unwrap()).unwrap();
    let id = RequestId::from_kept("_1");
    // 2026-11-21T15:07:47Z
    let then = Timestamp::from_millis(1_795_273_667_000);
    let login = provider.receive(&base64(xml), Expected::AnswerTo(&id), then).unwrap().redeem(Use::First).unwrap();
    assert_eq!((login.user.as_str(), login.groups.len(), login.session_until), ("alice@example.com", 2, None));
    assert!(provider.receive(&base64(xml.replace("alice", "admin")), Expected::AnswerTo(&id), then).is_err());
}
