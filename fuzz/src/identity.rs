//! Texts in the place of tokens of an identity provider, claims that a provider might sign, and sets of keys.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use lockgate_core::{IdentityKind, Timestamp, is_name, limits};
use lockgate_identity::jwt::{Algorithm, ClaimPath, Expected, Jwt, KeySet, Rules};
use std::collections::BTreeSet;
use std::sync::LazyLock;

/// The key of an issuer, whose other half signed [`TOKEN`] and is forgotten.
const KEYS: &str =
    r#"{"keys":[{"kty":"OKP","crv":"Ed25519","kid":"k","x":"YuwND0qWbXJC18pDWnEXau4-GBSVrFtjrDbgBGeRIbQ"}]}"#;
/// The one token that proves something.
const TOKEN: &str = "eyJhbGciOiJFZERTQSIsImtpZCI6ImsifQ.eyJpc3MiOiJodHRwczovL2lkcC5leGFtcGxlLmNvbSIsInN1YiI6IjEiLCJhdWQiOiJsb2NrZ2F0ZSIsImV4cCI6MTgwMDAwMDMwMCwiZW1haWwiOiJhbGljZUBleGFtcGxlLmNvbSIsImdyb3VwcyI6WyJlbmdpbmVlcnMiXX0.ZRMdbfCNgO2ew2mRu-Pvqu4GC88NFSY8f_POGUST0KCzAX8tGKiRO-jo-ND9RsAqiUXJpGip4VBsYfL2EAS5CQ";
const NOW: Timestamp = Timestamp::from_millis(1_800_000_000_000);

static KNOWN: LazyLock<(Rules, KeySet)> = LazyLock::new(|| {
    let path = |written: &str| ClaimPath::new(written).expect("a path");
    let rules = Rules {
        provider: "corp".to_owned(),
        issuer: "https://idp.example.com".to_owned(),
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
        kind_claim: Some(path("party.kind")),
    };
    (rules, KeySet::read(KEYS.as_bytes()).expect("keys"))
});

/// A text in the place of a token: only the true one proves anything. `HEADER`, `PAYLOAD` and `SIGNATURE` are its parts.
pub fn token(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let mut parts = TOKEN.split('.');
    let mut offered = text.to_owned();
    for name in ["HEADER", "PAYLOAD", "SIGNATURE"] {
        offered = offered.replace(name, parts.next().expect("three parts"));
    }
    let (rules, keys) = &*KNOWN;
    let proven = Jwt::read(&offered).and_then(|jwt| jwt.prove(rules, keys, Expected::Bearer, NOW));
    assert_eq!(proven.is_ok(), offered == TOKEN, "{offered:?}");
}

/// A line with a header, then the claims: what is believed of them has the shape of an identity. The signature is nobody's.
pub fn claims(data: &[u8]) {
    let at = data.iter().position(|byte| *byte == b'\n').unwrap_or(0);
    let (header, payload) = data.split_at(at);
    let payload = payload.get(1..).unwrap_or_default();
    let token = format!("{}.{}.AAAA", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(payload));
    let Ok(jwt) = Jwt::read(&token) else { return };
    let (rules, keys) = &*KNOWN;
    assert!(jwt.prove(rules, keys, Expected::Bearer, NOW).is_err(), "nobody signed it");
    if jwt.plausible(rules, Expected::Bearer, NOW).is_ok() {
        assert_eq!(jwt.claimed_issuer(), Some(rules.issuer.as_str()));
    }
}

/// A set of keys.
pub fn keys(data: &[u8]) {
    let Ok(keys) = KeySet::read(data) else { return };
    assert!(keys.len() + keys.left_out() <= limits::JWKS_KEYS_MAX);
    let (rules, _) = &*KNOWN;
    // Whatever the keys are, the token of another issuer's key is not theirs; unless it is that key.
    if let Ok(proven) = Jwt::read(TOKEN).expect("a token").prove(rules, &keys, Expected::Bearer, NOW) {
        assert!(is_name(&proven.user));
    }
}
