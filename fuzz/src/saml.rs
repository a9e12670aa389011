//! SAML: the XML that a browser posts, and a provider's metadata.

use lockgate_core::{Secret, Timestamp};
use lockgate_saml::{
    DecryptionKey, Expected, IdentityProvider, Login, Outgoing, RequestId, ServiceProvider, Settings, Use, UserSource,
    WantSigned,
};
use std::sync::OnceLock;

/// What SimpleSAMLphp said once, and posted once.
const METADATA: &[u8] = include_bytes!("../../crates/saml/tests/data/simplesamlphp-metadata.xml");
const RESPONSE: &[u8] = include_bytes!("../../crates/saml/tests/data/simplesamlphp-response.xml");
/// 2026-11-21T14:49:57Z, a second after that.
const NOW: Timestamp = Timestamp::from_millis(1_795_272_597_000);

struct World {
    providers: Vec<ServiceProvider>,
    request: RequestId,
    login: Login,
}

fn settings() -> Settings {
    let entity_id = "https://gateway.example.com/saml/plain";
    let pair = rcgen::KeyPair::generate_for(&rcgen::PKCS_RSA_SHA256).expect("a key");
    let certificate = rcgen::CertificateParams::default().self_signed(&pair).expect("a certificate").pem();
    let key = DecryptionKey::from_pem(&Secret::new(pair.serialize_pem()), &certificate).expect("they belong together");
    Settings {
        user: UserSource::Attribute("email".to_owned()),
        groups_attribute: Some("groups".to_owned()),
        allow_idp_initiated: true,
        allow_cbc: true,
        decryption_keys: vec![key],
        ..Settings::new("plain", entity_id, format!("{entity_id}/acs"))
    }
}

/// Base64, which is not what is to be tried here.
fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::new();
    for chunk in bytes.chunks(3) {
        let bits = chunk.iter().fold(0_u32, |bits, byte| bits << 8 | u32::from(*byte)) << (8 * (3 - chunk.len()));
        for digit in 0..4 {
            let value = (bits >> (18 - 6 * digit)) & 63;
            let shown = digit <= chunk.len();
            out.push(if shown { char::from(DIGITS[usize::try_from(value).expect("six bits")]) } else { '=' });
        }
    }
    out
}

fn world() -> &'static World {
    static WORLD: OnceLock<World> = OnceLock::new();
    WORLD.get_or_init(|| {
        let provider = IdentityProvider::from_metadata(METADATA).expect("it is real");
        let made = |want_signed| {
            ServiceProvider::new(Settings { want_signed, ..settings() }, provider.clone()).expect("they are good")
        };
        let providers: Vec<_> = [WantSigned::Either, WantSigned::Assertion].map(made).into();
        let request = RequestId::from_kept("_05060708090a0b0c0d0e0f101112131415161718");
        let unspent = providers[0].receive(&base64(RESPONSE), Expected::AnswerTo(&request), NOW).expect("it is real");
        World { providers, login: unspent.redeem(Use::First).expect("it is the first"), request }
    })
}

/// XML as a response: it is refused, or says what the provider said.
pub fn response(data: &[u8]) {
    let World { providers, request, login } = world();
    for provider in providers {
        let posted = base64(data);
        if let Ok(unspent) = provider.receive(&posted, Expected::AnswerTo(request), NOW) {
            assert_eq!(&unspent.redeem(Use::First).expect("the first"), login);
        }
        assert!(provider.receive(&posted, Expected::Unsolicited, NOW).is_err(), "what was signed answers a request");
    }
}

/// Metadata: where it is accepted, a request goes to an address of the web.
pub fn metadata(data: &[u8]) {
    let Ok(provider) = IdentityProvider::from_metadata(data) else { return };
    let Ok(ours) = ServiceProvider::new(Settings::new("x", "urn:x", "https://gateway.example.com/acs"), provider)
    else {
        return;
    };
    let address = match ours.request(&RequestId::from_random([7; 20]), Some("s"), NOW).expect("nothing is signed") {
        Outgoing::Redirect(address) => address,
        Outgoing::Post { action, .. } => action,
    };
    assert!(address.starts_with("https://") || address.starts_with("http://"), "{address}");
    assert!(address.bytes().all(|b| b.is_ascii_graphic()), "{address}");
}
