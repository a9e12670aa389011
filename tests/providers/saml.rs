//! SimpleSAMLphp: people log in at it over HTTP, and what it then posts is verified.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use lockgate_core::{Secret, Timestamp};
use lockgate_saml::{
    Binding, DecryptionKey, Expected, IdentityProvider, Login, Outgoing, Refusal, RequestId, ServiceProvider, Settings,
    SigningKey, Use, UsedInMemory, UserSource, WantSigned,
};
use lockgate_tests::process::{Scratch, run};
use lockgate_tests::simplesaml::{Party, Posted, SimpleSaml};
use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};

fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    Timestamp::from_millis(i64::try_from(since.as_millis()).unwrap())
}

/// A key and its certificate, PEM.
fn key() -> (Secret, String) {
    let home = Scratch::make();
    let file = |name| home.path().join(name);
    let mut openssl = Command::new("openssl");
    openssl.args(["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=gateway"]);
    run(openssl.arg("-keyout").arg(file("key")).arg("-out").arg(file("crt")));
    let read = |name| std::fs::read_to_string(file(name)).unwrap();
    (Secret::new(read("key")), read("crt"))
}

/// A way in which the provider answers, and what we want of it.
struct Variant {
    name: &'static str,
    options: &'static str,
    want_signed: WantSigned,
    allow_cbc: bool,
    signs_requests: bool,
}

const PLAIN: Variant =
    Variant { name: "plain", options: "{}", want_signed: WantSigned::Both, allow_cbc: false, signs_requests: false };

const VARIANTS: &[Variant] = &[
    PLAIN,
    Variant {
        name: "assertion",
        options: r#"{"saml20.sign.response": false}"#,
        want_signed: WantSigned::Assertion,
        ..PLAIN
    },
    Variant {
        name: "response",
        options: r#"{"saml20.sign.assertion": false}"#,
        want_signed: WantSigned::Response,
        ..PLAIN
    },
    Variant {
        name: "sha512",
        options: r#"{"signature.algorithm": "http://www.w3.org/2001/04/xmldsig-more#rsa-sha512"}"#,
        ..PLAIN
    },
    Variant { name: "requests", options: r#"{"validate.authnrequest": true}"#, signs_requests: true, ..PLAIN },
    Variant {
        name: "gcm128",
        options: r#"{"assertion.encryption": true, "sharedkey_algorithm": "http://www.w3.org/2009/xmlenc11#aes128-gcm"}"#,
        want_signed: WantSigned::Response,
        ..PLAIN
    },
    Variant {
        name: "gcm256",
        options: r#"{"assertion.encryption": true, "saml20.sign.response": false, "sharedkey_algorithm": "http://www.w3.org/2009/xmlenc11#aes256-gcm"}"#,
        want_signed: WantSigned::Assertion,
        ..PLAIN
    },
    Variant {
        name: "cbc",
        options: r#"{"assertion.encryption": true, "sharedkey_algorithm": "http://www.w3.org/2001/04/xmlenc#aes256-cbc"}"#,
        allow_cbc: true,
        ..PLAIN
    },
];

struct Stage {
    idp: SimpleSaml,
    providers: Vec<ServiceProvider>,
}

fn settings(variant: &Variant, signing: &(Secret, String), decryption: &(Secret, String)) -> Settings {
    let entity_id = format!("https://gateway.example.com/saml/{}", variant.name);
    let acs = format!("{entity_id}/acs");
    Settings {
        user: UserSource::Attribute("email".to_owned()),
        groups_attribute: Some("groups".to_owned()),
        want_signed: variant.want_signed,
        allow_cbc: variant.allow_cbc,
        allow_idp_initiated: true,
        signing_key: variant.signs_requests.then(|| SigningKey::from_pem(&signing.0, &signing.1).unwrap()),
        decryption_keys: vec![DecryptionKey::from_pem(&decryption.0, &decryption.1).unwrap()],
        ..Settings::new(variant.name, entity_id, acs)
    }
}

fn stage() -> Stage {
    let (signing, decryption) = (key(), key());
    let made = |variant, provider: &IdentityProvider| {
        ServiceProvider::new(settings(variant, &signing, &decryption), provider.clone()).unwrap()
    };
    // Both want the other's metadata first; ours does not depend on which provider it is for.
    let other = SimpleSaml::start(&[]);
    let other = IdentityProvider::from_metadata(other.metadata().as_bytes()).unwrap();
    let parties: Vec<Party> = VARIANTS
        .iter()
        .map(|variant| Party {
            name: variant.name.to_owned(),
            metadata: made(variant, &other).metadata(),
            options: variant.options.to_owned(),
        })
        .collect();
    let idp = SimpleSaml::start(&parties);
    let provider = IdentityProvider::from_metadata(idp.metadata().as_bytes()).unwrap();
    let providers = VARIANTS.iter().map(|variant| made(variant, &provider)).collect();
    Stage { idp, providers }
}

fn assert_is_alice(name: &str, login: &Login, idp: &SimpleSaml) {
    assert_eq!(login.user, "alice@example.com", "{name}");
    assert_eq!(login.groups.iter().map(String::as_str).collect::<Vec<_>>(), ["Bürö & Ämter", "engineers"], "{name}");
    assert_eq!(login.issuer, format!("http://127.0.0.1:{}/saml2/idp/metadata.php", idp.port), "{name}");
    assert!(login.attributes.iter().any(|a| a.name == "uid" && a.values == ["alice"]), "{name}");
    assert!(login.session_until.is_some_and(|until| until > now()), "{name}");
}

#[test]
fn every_way_to_sign_and_encrypt() {
    let Stage { idp, providers } = stage();
    let mut used = UsedInMemory::default();
    for provider in &providers {
        let name = provider.name();
        let id = RequestId::from_random(std::array::from_fn(|n| u8::try_from(n + name.len()).unwrap()));
        let request = provider.request(&id, Some("state 1/2"), now()).unwrap();
        let Outgoing::Redirect(address) = request else { panic!("{name}: {request:?}") };
        let posted = idp.browser().log_in(&address, &[], "alice", "wonderland");
        assert_eq!(
            (posted.action.as_str(), posted.relay_state.as_deref()),
            (provider.acs(), Some("state 1/2")),
            "{name}"
        );

        let xml = String::from_utf8(STANDARD.decode(&posted.saml_response).unwrap()).unwrap();
        let encrypted = ["gcm128", "gcm256", "cbc"].contains(&name);
        assert_eq!((xml.contains("alice"), xml.contains("EncryptedAssertion")), (!encrypted, encrypted), "{name}");

        let unspent = provider.receive(&posted.saml_response, Expected::AnswerTo(&id), now());
        let unspent = unspent.unwrap_or_else(|error| panic!("{name}: {error}\n{xml}"));
        let answer = used.first_use(unspent.ticket(), now());
        assert_is_alice(name, &unspent.redeem(answer).unwrap(), &idp);

        // The same again, for another request, for nobody's, changed, later, and at another provider's door.
        let again = provider.receive(&posted.saml_response, Expected::AnswerTo(&id), now()).unwrap();
        let answer = used.first_use(again.ticket(), now());
        assert_eq!((answer, again.redeem(answer).unwrap_err()), (Use::Again, Refusal::Used), "{name}");
        let refused =
            |text: &str, expected: Expected<'_>, now: Timestamp| provider.receive(text, expected, now).unwrap_err();
        let other = RequestId::from_random([9; 20]);
        assert_eq!(
            refused(&posted.saml_response, Expected::AnswerTo(&other), now()),
            Refusal::InResponseTo("response"),
            "{name}"
        );
        assert_eq!(
            refused(&posted.saml_response, Expected::Unsolicited, now()),
            Refusal::InResponseTo("response"),
            "{name}"
        );
        let later = refused(&posted.saml_response, Expected::AnswerTo(&id), now().plus_millis(24 * 3_600_000));
        assert!(matches!(later, Refusal::Expired(_)), "{name}: {later}");
        if !encrypted {
            let changed = STANDARD.encode(xml.replace("alice@", "admin@"));
            let changed = refused(&changed, Expected::AnswerTo(&id), now());
            assert_eq!(changed, Refusal::SignatureWrong("what it signs was changed"), "{name}");
        }
        for door in providers.iter().filter(|door| door.name() != name) {
            let refused = door.receive(&posted.saml_response, Expected::AnswerTo(&id), now()).unwrap_err();
            assert!(matches!(refused, Refusal::Destination { .. }), "{name} at {}: {refused}", door.name());
        }
    }
}

#[test]
fn requests_that_are_posted_and_logins_that_begin_there() {
    let Stage { idp, providers } = stage();
    let id = RequestId::from_random([7; 20]);
    let receive = |provider: &ServiceProvider, posted: &Posted, expected: Expected<'_>| {
        provider
            .receive(&posted.saml_response, expected, now())
            .unwrap_or_else(|error| panic!("{error}"))
            .redeem(Use::First)
            .unwrap()
    };

    // A request that is not signed where it has to be is not answered, so the signature of the one below was verified.
    let [plain, signing] = ["plain", "requests"].map(|name| providers.iter().find(|p| p.name() == name).unwrap());
    for provider in [plain, signing] {
        let request = provider.request_by(Binding::Post, &id, Some("s"), now()).unwrap();
        let Outgoing::Post { action, fields } = request else { panic!("{request:?}") };
        let posted = idp.browser().log_in(&action, &fields, "alice", "wonderland");
        assert_is_alice("posted", &receive(provider, &posted, Expected::AnswerTo(&id)), &idp);
    }

    let browser = idp.browser();
    let posted = browser.log_in(&idp.unsolicited("https://gateway.example.com/saml/plain"), &[], "alice", "wonderland");
    assert_is_alice("unsolicited", &receive(plain, &posted, Expected::Unsolicited), &idp);
    let refused = plain.receive(&posted.saml_response, Expected::AnswerTo(&id), now()).unwrap_err();
    assert_eq!(refused, Refusal::InResponseTo("response"));

    // Somebody who is logged in there is not asked again, and gets another assertion.
    let Outgoing::Redirect(address) = plain.request(&id, None, now()).unwrap() else { panic!("a redirect") };
    let second = browser.log_in(&address, &[], "nobody", "asks");
    assert_is_alice("again", &receive(plain, &second, Expected::AnswerTo(&id)), &idp);
}
