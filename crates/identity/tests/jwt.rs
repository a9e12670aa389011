//! Tokens that are accepted, and every way that one is known to be forged or wrong: none of those is.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs,
    reason = "a test stops at what it did not expect"
)]

mod issuer;

use base64::Engine as _;
use issuer::{ISSUER, Issuer, NOW, claims, encode, hmac_token, now, path, rules};
use lockgate_core::IdentityKind;
use lockgate_identity::Proven;
use lockgate_identity::jwt::{Algorithm, ClaimPath, Expected, Jwt, JwtError, KeySet, Required, Rules};
use proptest::prelude::*;
use std::sync::LazyLock;

static IDP: LazyLock<(Issuer, KeySet)> = LazyLock::new(|| {
    let issuer = Issuer::new();
    let keys = issuer.keys();
    (issuer, keys)
});

fn prove_with(token: &str, rules: &Rules, expected: Expected<'_>) -> Result<Proven, JwtError> {
    Jwt::read(token)?.prove(rules, &IDP.1, expected, now())
}

fn prove(token: &str) -> Result<Proven, JwtError> {
    prove_with(token, &rules(), Expected::Bearer)
}

fn refusal(token: &str, rules: &Rules, expected: Expected<'_>) -> String {
    match prove_with(token, rules, expected) {
        Ok(proven) => panic!("accepted as {}: {token}", proven.user),
        Err(error) => error.to_string(),
    }
}

#[test]
fn every_algorithm_proves() {
    for algorithm in Algorithm::ALL {
        let kid = match algorithm {
            Algorithm::Es256 => "p256",
            Algorithm::Es384 => "p384",
            Algorithm::Es512 => "p521",
            Algorithm::EdDsa => "ed",
            _ => "rsa",
        };
        for header in [
            format!(r#"{{"alg":"{algorithm}","kid":"{kid}"}}"#),
            format!(r#"{{"alg":"{algorithm}","typ":"at+jwt"}}"#),
            format!(r#"{{"alg":"{algorithm}","typ":"application/at+JWT","x5t":"abc"}}"#),
        ] {
            let token = IDP.0.token(algorithm, &header, &claims("{}"));
            let proven = prove(&token).unwrap_or_else(|error| panic!("{header}: {error}"));
            assert_eq!((proven.user.as_str(), proven.subject.as_str()), ("alice@example.com", "248289761001"));
            assert_eq!(proven.expires.millis(), (NOW + 300) * 1_000);
            assert!(proven.id.starts_with("corp:") && proven.id.len() == 37, "{}", proven.id);
        }
        let mut rules = rules();
        rules.algorithms.retain(|known| *known != algorithm);
        let token = IDP.0.token(algorithm, &format!(r#"{{"alg":"{algorithm}"}}"#), &claims("{}"));
        assert!(refusal(&token, &rules, Expected::Bearer).contains("not accepted from this issuer"));
    }
}

#[test]
fn hostile_headers() {
    let payload = claims("{}");
    let own_key = IDP.0.rsa_jwk("");
    for (header, why) in [
        (r#"{"alg":"none"}"#, "`alg` is `none`"),
        (r#"{"alg":"None"}"#, "`alg` is `None`"),
        (r#"{"alg":"nOnE"}"#, "`alg` is"),
        (r#"{"alg":""}"#, "`alg` is"),
        (r#"{"alg":null}"#, "`alg` is not a string"),
        (r#"{"alg":["RS256"]}"#, "`alg` is not a string"),
        (r#"{"kid":"rsa"}"#, "no `alg`"),
        (r#"{"alg":"rs256"}"#, "`alg` is `rs256`"),
        (r#"{"alg":"RS256 "}"#, "`alg` is"),
        (r#"{"alg":"HS256"}"#, "`alg` is `HS256`"),
        (r#"{"alg":"RS1"}"#, "`alg` is `RS1`"),
        (r#"{"alg":"ES256K"}"#, "`alg` is `ES256K`"),
        (r#"{"alg":"RS256","alg":"none"}"#, "twice"),
        (r#"{"alg":"none","alg":"RS256"}"#, "twice"),
        (r#"{"alg":"RS256","kid":"rsa","kid":"rsa"}"#, "twice"),
        (r#"{"alg":"RS256","kid":"rsa","typ":"JWE"}"#, "`typ` is `JWE`"),
        (r#"{"alg":"RS256","kid":"rsa","typ":"logout+jwt"}"#, "`typ` is"),
        (r#"{"alg":"RS256","kid":"rsa","typ":"dpop+jwt"}"#, "`typ` is"),
        (r#"{"alg":"RS256","kid":"rsa","typ":"secevent+jwt"}"#, "`typ` is"),
        (r#"{"alg":"RS256","kid":"rsa","typ":""}"#, "`typ` is"),
        (r#"{"alg":"RS256","kid":"rsa","typ":1}"#, "`typ` is not a string"),
        (r#"{"alg":"RS256","kid":"rsa","crit":["exp"],"exp":1}"#, "critical"),
        (r#"{"alg":"RS256","kid":"rsa","crit":[]}"#, "critical"),
        (r#"{"alg":"RS256","kid":"rsa","crit":["b64"],"b64":false}"#, "critical"),
        (r#"{"alg":"RS256","kid":"rsa","b64":false}"#, "`b64`"),
        (r#"{"alg":"RS256","kid":"rsa","zip":"DEF"}"#, "`zip`"),
        (r#"{"alg":"RS256","enc":"A128GCM"}"#, "`enc`"),
        (r#"{"alg":"RS256","jku":"https://evil.example/jwks"}"#, "`jku`"),
        (r#"{"alg":"RS256","kid":"rsa","x5u":"https://evil.example/x"}"#, "`x5u`"),
        (r#"{"alg":"RS256","kid":"rsa","x5c":["MII"]}"#, "`x5c`"),
        (&format!(r#"{{"alg":"RS256","jwk":{own_key}}}"#), "`jwk`"),
        (r#"{"alg":"RS256","kid":"p256"}"#, "not for `RS256`"),
        (r#"{"alg":"RS256","kid":"ed"}"#, "not for `RS256`"),
        (r#"{"alg":"RS256","kid":"other"}"#, "`kid` is `other`"),
        (r#"{"alg":"RS256","kid":""}"#, "no key"),
        (r#"{"alg":"RS256","kid":"RSA"}"#, "no key"),
        (r#"{"alg":"RS256","kid":"../../../../dev/null"}"#, "no key"),
        (r#"{"alg":"RS256","kid":"rsa' OR '1'='1"}"#, "no key"),
        (r#"{"alg":"RS256","kid":"rsa\u0000"}"#, "no key"),
        (r#"{"alg":"RS256","kid":0}"#, "`kid` is not"),
        (r#"{"alg":"RS256","kid":["rsa"]}"#, "`kid` is not"),
        (&format!(r#"{{"alg":"RS256","kid":"{}"}}"#, "k".repeat(513)), "`kid` is not"),
        (r#"["alg","RS256"]"#, "expected an object"),
        (r#""RS256""#, "expected an object"),
        (r#"{"alg":"RS256"} "x""#, "trailing"),
        ("", "EOF"),
    ] {
        // Signed with the true key, so that nothing but the header is wrong.
        let token = IDP.0.token(Algorithm::Rs256, header, &payload);
        let found = refusal(&token, &rules(), Expected::Bearer);
        assert!(found.contains(why), "{header}: {found}");
    }
}

#[test]
fn forged_signatures() {
    let payload = claims("{}");
    let header = r#"{"alg":"RS256","kid":"rsa"}"#;
    let token = IDP.0.token(Algorithm::Rs256, header, &payload);
    assert!(prove(&token).is_ok());
    let (signed, signature) = token.rsplit_once('.').unwrap();
    let (head, body) = signed.split_once('.').unwrap();
    let other = Issuer::new();
    let evil = claims(r#"{"email":"root@example.com"}"#);
    let none = encode(r#"{"alg":"none"}"#);
    let raw = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(signature).unwrap();
    let flipped = |at: usize| {
        let mut raw = raw.clone();
        raw[at] ^= 1;
        encode(raw)
    };
    let es = IDP.0.token(Algorithm::Es256, r#"{"alg":"ES256","kid":"p256"}"#, &payload);
    let (es_signed, es_signature) = es.rsplit_once('.').unwrap();
    let es_raw = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(es_signature).unwrap();
    let pem = format!("-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n", encode(IDP.0.rsa_der()));
    for (what, token) in [
        ("another key", other.token(Algorithm::Rs256, header, &payload)),
        ("no signature", format!("{signed}.")),
        ("no dot", signed.to_owned()),
        ("none with the signature of another", format!("{none}.{body}.{signature}")),
        ("none without", format!("{none}.{body}.")),
        ("other claims", format!("{head}.{}.{signature}", encode(&evil))),
        ("other header", format!("{}.{body}.{signature}", encode(r#"{"alg":"RS512","kid":"rsa"}"#))),
        ("other header, same meaning", format!("{}.{body}.{signature}", encode(r#"{"kid":"rsa","alg":"RS256"}"#))),
        ("first bit", format!("{signed}.{}", flipped(0))),
        ("last bit", format!("{signed}.{}", flipped(raw.len() - 1))),
        ("short", format!("{signed}.{}", encode(&raw[1..]))),
        ("long", format!("{signed}.{}", encode([raw.as_slice(), &[0]].concat()))),
        ("zeros", format!("{signed}.{}", encode(vec![0; raw.len()]))),
        ("padding", format!("{token}==")),
        ("padded header", format!("{head}=.{body}.{signature}")),
        ("spaces", format!(" {token}")),
        ("line end", format!("{token}\n")),
        ("a fourth part", format!("{token}.{signature}")),
        ("an encrypted one", format!("{head}.{body}.{signature}.{signature}.{signature}")),
        ("percent", token.replace('.', "%2e")),
        ("standard base64", format!("{signed}.{}", base64::engine::general_purpose::STANDARD_NO_PAD.encode(&raw))),
        ("PSS as PKCS#1", IDP.0.token(Algorithm::Ps256, header, &payload)),
        ("PKCS#1 as PSS", IDP.0.token(Algorithm::Rs256, r#"{"alg":"PS256","kid":"rsa"}"#, &payload)),
        ("another hash", IDP.0.token(Algorithm::Rs512, header, &payload)),
        ("ES zeros (psychic)", format!("{es_signed}.{}", encode(vec![0; 64]))),
        ("ES halves exchanged", format!("{es_signed}.{}", encode([&es_raw[32..], &es_raw[..32]].concat()))),
        ("ES short", format!("{es_signed}.{}", encode(&es_raw[..63]))),
        ("ES by another curve", IDP.0.token(Algorithm::Es384, r#"{"alg":"ES256","kid":"p256"}"#, &payload)),
        ("ES by a key that is not named", IDP.0.token(Algorithm::Es256, r#"{"alg":"ES256","kid":"p384"}"#, &payload)),
        ("EdDSA zeros", format!("{}.{}.{}", encode(r#"{"alg":"EdDSA","kid":"ed"}"#), body, encode(vec![0; 64]))),
        ("HMAC with the modulus", hmac_token(r#"{"alg":"HS256","kid":"rsa"}"#, &payload, &IDP.0.rsa_der())),
        ("HMAC with PEM", hmac_token(r#"{"alg":"HS256","kid":"rsa"}"#, &payload, pem.as_bytes())),
        ("HMAC with JWK", hmac_token(r#"{"alg":"HS256"}"#, &payload, IDP.0.rsa_jwk("").as_bytes())),
        ("HMAC with nothing", hmac_token(r#"{"alg":"HS256","kid":"/dev/null"}"#, &payload, b"")),
        ("HMAC as RS256", hmac_token(header, &payload, &IDP.0.rsa_der())),
        ("empty", String::new()),
        ("dots", "..".to_owned()),
        ("base64 within base64", {
            let nested = encode(&token);
            IDP.0.token(Algorithm::Rs256, r#"{"alg":"RS256","kid":"rsa","cty":"JWT"}"#, &nested)
        }),
        ("a token within", IDP.0.token(Algorithm::Rs256, r#"{"alg":"RS256","kid":"rsa","cty":"JWT"}"#, &token)),
        ("JSON serialization", format!(r#"{{"payload":"{body}","protected":"{head}","signature":"{signature}"}}"#)),
        ("a megabyte", IDP.0.usual(&claims(&format!(r#"{{"pad":"{}"}}"#, "x".repeat(1 << 20))))),
        ("many dots", ".".repeat(10_000)),
        ("nesting", IDP.0.usual(&"[".repeat(5_000))),
    ] {
        assert!(prove(&token).is_err(), "accepted: {what}");
    }
}

/// A signature in base64 that says the same bytes with other unused bits is another text, and no token.
#[test]
fn base64_has_one_spelling() {
    let token = IDP.0.usual(&claims("{}"));
    // 256 bytes leave two bits of the last character unused.
    let (rest, last) = token.split_at(token.len() - 1);
    let alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let accepted: Vec<char> = alphabet.chars().filter(|c| prove(&format!("{rest}{c}")).is_ok()).collect();
    assert_eq!(accepted, last.chars().collect::<Vec<_>>());
}

#[test]
fn hostile_claims() {
    let long_list =
        format!(r#"{{"groups":[{}]}}"#, (0..300).map(|n| format!("\"g{n}\"")).collect::<Vec<_>>().join(","));
    for (more, why) in [
        (r#"{"iss":null}"#, "`iss` is missing"),
        (r#"{"iss":"https://idp.example.com/"}"#, "`iss` is `https://idp.example.com/`"),
        (r#"{"iss":"https://IDP.example.com"}"#, "`iss` is"),
        (r#"{"iss":"http://idp.example.com"}"#, "`iss` is"),
        (r#"{"iss":"https://idp.example.com\u0000"}"#, "`iss` is"),
        (r#"{"iss":["https://idp.example.com"]}"#, "`iss` is not a string"),
        (r#"{"aud":null}"#, "`aud` is missing"),
        (r#"{"aud":"other"}"#, "`aud` names `other`"),
        (r#"{"aud":["other","third"]}"#, "`aud` names `other`, `third`"),
        (r#"{"aud":[]}"#, "`aud` names"),
        (r#"{"aud":["lockgate",1]}"#, "`aud` has an item"),
        (r#"{"aud":{"lockgate":true}}"#, "`aud` is neither"),
        (r#"{"aud":"Lockgate"}"#, "`aud` names"),
        (r#"{"aud":"lockgate "}"#, "`aud` names"),
        (r#"{"aud":["lockgate","other"],"azp":"other"}"#, "`azp` is `other`"),
        (r#"{"azp":7}"#, "`azp` is not a string"),
        (r#"{"exp":null}"#, "`exp` is missing"),
        (&format!(r#"{{"exp":"{}"}}"#, NOW + 300), "`exp` is a string"),
        (&format!(r#"{{"exp":{}.5}}"#, NOW + 300), "`exp` is not a time"),
        (&format!(r#"{{"exp":{}.0}}"#, NOW + 300), "`exp` is not a time"),
        (r#"{"exp":2e9}"#, "`exp` is not a time"),
        (r#"{"exp":-1}"#, "`exp` is not a time"),
        (r#"{"exp":9223372036854775807}"#, "`exp` is not a time"),
        (r#"{"exp":99999999999999999999}"#, "`exp` is not a time"),
        (&format!(r#"{{"exp":{}000}}"#, NOW + 300), "`exp` is not a time"),
        (r#"{"exp":true}"#, "`exp` is a boolean"),
        (r#"{"exp":[1]}"#, "`exp` is a list"),
        (r#"{"exp":0}"#, "expired at 1970"),
        (&format!(r#"{{"exp":{NOW}}}"#), "expired at"),
        (&format!(r#"{{"exp":{}}}"#, NOW - 1), "expired at"),
        (&format!(r#"{{"nbf":{}}}"#, NOW + 61), "`nbf` says"),
        (&format!(r#"{{"iat":{}}}"#, NOW + 61), "`iat` says"),
        (r#"{"nbf":"0"}"#, "`nbf` is a string"),
        (r#"{"iat":1.5}"#, "`iat` is not a time"),
        (r#"{"sub":null}"#, "`sub` is missing"),
        (r#"{"sub":""}"#, "`sub` is not"),
        (r#"{"sub":42}"#, "`sub` is not"),
        (&format!(r#"{{"sub":"{}"}}"#, "s".repeat(1_025)), "`sub` is not"),
        (r#"{"cnf":{"jkt":"x"}}"#, "`cnf` binds"),
        (r#"{"events":{"http://schemas.openid.net/event/backchannel-logout":{}}}"#, "`events`"),
        (r#"{"email":null}"#, "`email` is missing"),
        (r#"{"email":["alice@example.com"]}"#, "`email` is a list"),
        (r#"{"email":""}"#, "cannot be a user name"),
        (r#"{"email":" alice@example.com"}"#, "cannot be a user name"),
        (r#"{"email":"alice\u0000@example.com"}"#, "cannot be a user name"),
        (r#"{"email_verified":false}"#, "not verified"),
        (r#"{"email_verified":"false"}"#, "not verified"),
        (r#"{"email_verified":0}"#, "not verified"),
        (r#"{"groups":{"engineers":true}}"#, "`groups` is an object"),
        (r#"{"groups":[1]}"#, "`groups` has an integer"),
        (r#"{"groups":["a","b\n"]}"#, "cannot be the name of a group"),
        (&long_list, "`groups` has 300 groups"),
        (
            r#"{"groups":null,"_claim_names":{"groups":"src1"},"_claim_sources":{"src1":{"endpoint":"https://graph.microsoft.com/"}}}"#,
            "too many groups",
        ),
        (r#"{"groups":null,"hasgroups":true}"#, "too many groups"),
        (r#"{"act":"bot"}"#, "`act` is not an object"),
        (r#"{"act":{}}"#, "without `sub`"),
        (r#"{"act":{"sub":"alice@example.com"}}"#, "act for itself"),
        (r#"{"act":{"sub":"Alice@Example.com"}}"#, "act for itself"),
        (r#"{"act":{"sub":"bot","iss":"https://other.example"}}"#, "another issuer"),
        (r#"{"act":{"sub":"bot","groups":"a\u0000"}}"#, "cannot be the name of a group"),
    ] {
        let found = refusal(&IDP.0.usual(&claims(more)), &rules(), Expected::Bearer);
        assert!(found.contains(why), "{more}: {found}");
    }
    let twice = claims("{}").replace(r#""sub":"#, r#""email":"root@example.com","sub":"#);
    assert!(refusal(&IDP.0.usual(&twice), &rules(), Expected::Bearer).contains("twice"));
    let mut deep = r#"{"sub":"a0"}"#.to_owned();
    for n in 1..12 {
        deep = format!(r#"{{"sub":"a{n}","act":{deep}}}"#);
    }
    let found = refusal(&IDP.0.usual(&claims(&format!(r#"{{"act":{deep}}}"#))), &rules(), Expected::Bearer);
    assert!(found.contains("chain of more than 8"), "{found}");
}

#[test]
fn clocks_may_differ_a_little() {
    for more in
        [format!(r#"{{"nbf":{}}}"#, NOW + 60), format!(r#"{{"iat":{}}}"#, NOW + 60), r#"{"iat":null}"#.to_owned()]
    {
        assert!(prove(&IDP.0.usual(&claims(&more))).is_ok(), "{more}");
    }
}

#[test]
fn audiences_and_parties() {
    let mut rules = rules();
    rules.audiences = vec!["https://lockgate.example.com".to_owned()];
    let id_token = Expected::IdToken { nonce: Some("n1") };
    let ours = r#""aud":["account","https://lockgate.example.com"]"#;
    for (more, expected, accepted) in [
        (format!("{{{ours}}}"), Expected::Bearer, true),
        (format!(r#"{{{ours},"azp":"ci"}}"#), Expected::Bearer, false),
        (format!(r#"{{{ours},"azp":"lockgate"}}"#), Expected::Bearer, true),
        (r#"{"aud":"https://lockgate.example.com","azp":"ci"}"#.to_owned(), Expected::Bearer, true),
        // The gateway's client id is not an audience of what others show, unless it is listed.
        (r#"{"aud":"lockgate"}"#.to_owned(), Expected::Bearer, false),
        (r#"{"nonce":"n1"}"#.to_owned(), id_token, true),
        (r#"{"nonce":"n2"}"#.to_owned(), id_token, false),
        ("{}".to_owned(), id_token, false),
        (r#"{"nonce":["n1"]}"#.to_owned(), id_token, false),
        (r#"{"nonce":"n1","azp":"other"}"#.to_owned(), id_token, false),
        (r#"{"nonce":"n1","aud":["lockgate","other"]}"#.to_owned(), id_token, false),
        (r#"{"nonce":"n1","aud":["lockgate","other"],"azp":"lockgate"}"#.to_owned(), id_token, true),
        (r#"{"nonce":"n1","aud":"https://lockgate.example.com"}"#.to_owned(), id_token, false),
        ("{}".to_owned(), Expected::IdToken { nonce: None }, true),
    ] {
        let found = prove_with(&IDP.0.usual(&claims(&more)), &rules, expected);
        assert_eq!(found.is_ok(), accepted, "{more} as {expected:?}: {:?}", found.err());
    }
    rules.authorized_parties = vec!["ci".to_owned()];
    assert!(prove_with(&IDP.0.usual(&claims(&format!(r#"{{{ours},"azp":"ci"}}"#))), &rules, Expected::Bearer).is_ok());
    let single = r#"{"aud":"https://lockgate.example.com","azp":"other"}"#;
    assert!(prove_with(&IDP.0.usual(&claims(single)), &rules, Expected::Bearer).is_err(), "once listed, only those");
}

fn groups(proven: &Proven) -> Vec<&str> {
    proven.groups.iter().map(String::as_str).collect()
}

#[test]
fn claims_become_identities() {
    let mut rules = rules();
    let with = |rules: &Rules, more: &str| {
        prove_with(&IDP.0.usual(&claims(more)), rules, Expected::Bearer).unwrap_or_else(|e| panic!("{more}: {e}"))
    };
    assert_eq!(groups(&with(&rules, "{}")), ["engineers"]);
    assert_eq!(groups(&with(&rules, r#"{"groups":"dba"}"#)), ["dba"]);
    assert!(groups(&with(&rules, r#"{"groups":null}"#)).is_empty());
    assert!(groups(&with(&rules, r#"{"groups":[],"hasgroups":false}"#)).is_empty());
    for (written, more) in [
        ("realm_access.roles", r#"{"realm_access":{"roles":["dba","dev"]}}"#),
        ("/realm_access/roles", r#"{"realm_access":{"roles":["dba","dev"]}}"#),
        ("resource_access.lockgate.roles", r#"{"resource_access":{"lockgate":{"roles":["dba","dev"]}}}"#),
        ("https://example.com/groups", r#"{"https://example.com/groups":["dba","dev"]}"#),
        ("/https:~1~1example.com~1groups", r#"{"https://example.com/groups":["dba","dev"]}"#),
        ("a..b", r#"{"a..b":["dba","dev"]}"#),
    ] {
        rules.groups_claim = path(written);
        assert_eq!(groups(&with(&rules, more)), ["dba", "dev"], "{written}");
    }
    rules.groups_claim = path("groups");
    rules.groups.insert("staff".to_owned());
    assert_eq!(groups(&with(&rules, "{}")), ["engineers", "staff"]);

    rules.user_claim = path("sub");
    rules.user_prefix = "github:".to_owned();
    let ci = with(&rules, r#"{"sub":"repo:org/app:ref:refs/heads/main","email_verified":false}"#);
    assert_eq!(ci.user, "github:repo:org/app:ref:refs/heads/main");
    rules.user_prefix = String::new();

    assert_eq!(with(&rules, "{}").kind, IdentityKind::Human);
    for own in [r#"{"sub":"ci","client_id":"ci"}"#, r#"{"sub":"ci","azp":"ci"}"#, r#"{"idtyp":"app"}"#] {
        assert_eq!(with(&rules, own).kind, IdentityKind::Service, "{own}");
    }
    assert_eq!(with(&rules, r#"{"sub":"alice","azp":"ci"}"#).kind, IdentityKind::Human);
    rules.kind_claim = Some(path("party.kind"));
    assert_eq!(with(&rules, r#"{"party":{"kind":"agent"}}"#).kind, IdentityKind::Agent);
    assert_eq!(with(&rules, "{}").kind, IdentityKind::Human);
    let robot = IDP.0.usual(&claims(r#"{"party":{"kind":"robot"}}"#));
    assert!(refusal(&robot, &rules, Expected::Bearer).contains("`party.kind` is not"));
}

#[test]
fn an_agent_shows_whom_it_acts_for() {
    let rules = rules();
    let more = r#"{"act":{"sub":"bot-2","groups":["bots"],"act":{"sub":"bot-1","iss":"https://idp.example.com"}}}"#;
    let proven = prove_with(&IDP.0.usual(&claims(more)), &rules, Expected::Bearer).unwrap();
    assert_eq!((proven.user.as_str(), proven.kind), ("bot-2", IdentityKind::Agent));
    assert_eq!(groups(&proven), ["bots"]);
    let groups = |p: &lockgate_core::Principal| p.groups.as_ref().map_or(0, |groups| groups.len());
    let chain: Vec<(&str, usize)> = proven.on_behalf_of.iter().map(|p| (p.user.as_str(), groups(p))).collect();
    assert_eq!(chain, [("bot-1", 0), ("alice@example.com", 1)]);
    assert!(proven.identity().involves("alice@example.com"));
}

#[test]
fn rules_are_chosen_by_audience_and_required_claims_alone() {
    let mut contractors = rules();
    contractors.required = vec![Required { claim: path("who"), values: vec!["contractor".to_owned()] }];
    for (more, is_theirs) in [
        (r#"{"who":"contractor"}"#, true),
        // What else is wrong with it is for these rules to say.
        (r#"{"who":"contractor","email":null}"#, true),
        (r#"{"who":"contractor","groups":null,"hasgroups":true}"#, true),
        (r#"{"who":"contractor","exp":1}"#, true),
        (r#"{"who":"contractor","aud":"another"}"#, false),
        (r#"{"who":"contractor","iss":"https://idp.example.com/"}"#, false),
        (r#"{"who":"employee"}"#, false),
        ("{}", false),
    ] {
        let token = IDP.0.usual(&claims(more));
        assert_eq!(Jwt::read(&token).unwrap().is_for(&contractors, Expected::Bearer), is_theirs, "{more}");
    }
}

#[test]
fn required_claims() {
    let mut rules = rules();
    let require = |claim: &str, values: &[&str]| Required {
        claim: path(claim),
        values: values.iter().map(|v| (*v).to_owned()).collect(),
    };
    rules.required =
        vec![require("repository", &["org/app", "org/lib-*"]), require("environment.protected", &["true"])];
    for (more, accepted) in [
        (r#"{"repository":"org/app","environment":{"protected":true}}"#, true),
        (r#"{"repository":"org/lib-x","environment":{"protected":"true"}}"#, true),
        (r#"{"repository":["x","org/app"],"environment":{"protected":true}}"#, true),
        (r#"{"repository":"org/app2","environment":{"protected":true}}"#, false),
        (r#"{"repository":"org/app","environment":{"protected":false}}"#, false),
        (r#"{"repository":"org/app"}"#, false),
        (r#"{"environment":{"protected":true}}"#, false),
        (r#"{"repository":{"org/app":1},"environment":{"protected":true}}"#, false),
    ] {
        let found = prove_with(&IDP.0.usual(&claims(more)), &rules, Expected::Bearer);
        assert_eq!(found.is_ok(), accepted, "{more}: {:?}", found.err());
    }
}

#[test]
fn keys_that_prove_nothing() {
    let payload = claims("{}");
    let token = IDP.0.token(Algorithm::Rs256, r#"{"alg":"RS256"}"#, &payload);
    let set = |key: &str| format!(r#"{{"keys":[{key}]}}"#);
    for (what, keys, usable) in [
        ("as it is", set(&IDP.0.rsa_jwk("")), true),
        ("for signatures", set(&IDP.0.rsa_jwk(r#","use":"sig","alg":"RS256","key_ops":["verify"]"#)), true),
        ("for encryption", set(&IDP.0.rsa_jwk(r#","use":"enc""#)), false),
        ("not for checking", set(&IDP.0.rsa_jwk(r#","key_ops":["sign"]"#)), false),
        ("for another algorithm", set(&IDP.0.rsa_jwk(r#","alg":"PS256""#)), false),
        ("for an unknown algorithm", set(&IDP.0.rsa_jwk(r#","alg":"RSA-OAEP""#)), false),
        ("with its private half", set(&IDP.0.rsa_jwk(r#","d":"AQAB""#)), false),
        ("odd name", set(&IDP.0.rsa_jwk("").replace(r#""kid":"rsa""#, r#""kid":7"#)), false),
        ("a secret", set(r#"{"kty":"oct","k":"AAAA"}"#), false),
        ("of another kind", set(&IDP.0.ed_jwk()), false),
        ("none", r#"{"keys":[]}"#.to_owned(), false),
        ("no key at all", set("1,null,[]"), false),
    ] {
        let keys = KeySet::read(keys.as_bytes()).unwrap_or_else(|error| panic!("{what}: {error}"));
        let proven = Jwt::read(&token).unwrap().prove(&rules(), &keys, Expected::Bearer, now());
        assert_eq!(proven.is_ok(), usable, "{what}: {:?}", proven.err());
    }
    // 1024 bits, an exponent of one, and a point of which the empty signature is a right one.
    let n = IDP.0.rsa_jwk("");
    let mut one = [0; 32];
    one[0] = 1;
    let one = format!(r#"{{"kty":"OKP","crv":"Ed25519","x":"{}"}}"#, encode(one));
    let short = format!(r#"{{"kty":"RSA","n":"{}","e":"AQAB"}}"#, encode([0xff; 128]));
    for weak in [short, n.replace(r#""e":"AQAB""#, r#""e":"AQ""#), IDP.0.ec_jwk(0, "P-384", "x"), one] {
        assert!(KeySet::read(set(&weak).as_bytes()).unwrap().is_empty(), "{weak}");
    }
    for broken in ["", "[]", "{}", r#"{"keys":{}}"#, r#"{"keys":[],"keys":[]}"#] {
        assert!(KeySet::read(broken.as_bytes()).is_err(), "{broken}");
    }
    let many = set(&vec![IDP.0.rsa_jwk(""); 65].join(","));
    assert!(KeySet::read(many.as_bytes()).is_err());
}

#[test]
fn refusals_say_when_newer_keys_may_help() {
    let token = |header: &str| IDP.0.token(Algorithm::Rs256, header, &claims("{}"));
    let empty = KeySet::default();
    let asked =
        |token: &str, keys: &KeySet| Jwt::read(token).unwrap().prove(&rules(), keys, Expected::Bearer, now()).err();
    for header in [r#"{"alg":"RS256","kid":"new"}"#, r#"{"alg":"RS256"}"#] {
        assert!(matches!(asked(&token(header), &empty), Some(JwtError::UnknownKey(_))));
        let rotated = Issuer::new().keys();
        assert!(matches!(asked(&token(header), &rotated), Some(JwtError::UnknownKey(_))), "{header}");
    }
    let rotated = Issuer::new().keys();
    assert_eq!(asked(&token(r#"{"alg":"RS256","kid":"rsa"}"#), &rotated), Some(JwtError::Signature));
    assert!(
        Jwt::read(&token(r#"{"alg":"RS256","kid":"new"}"#))
            .unwrap()
            .plausible(&rules(), Expected::Bearer, now())
            .is_ok()
    );
    let expired = IDP.0.usual(&claims(r#"{"exp":1}"#));
    assert!(Jwt::read(&expired).unwrap().plausible(&rules(), Expected::Bearer, now()).is_err());
    assert_eq!(Jwt::read(&expired).unwrap().claimed_issuer(), Some(ISSUER));
}

proptest! {
    /// Whatever is changed in a token, it is no longer one; unless the change undid itself.
    #[test]
    fn a_changed_token_proves_nothing(at in 0usize..2_000, byte in 0x20u8..0x7f, cut in 0usize..2_000, how in 0u8..4) {
        let token = IDP.0.usual(&claims("{}"));
        let mut bytes = token.clone().into_bytes();
        let at = at % bytes.len();
        match how {
            0 => bytes[at] = byte,
            1 => bytes.insert(at, byte),
            2 => { bytes.remove(at); }
            _ => bytes.truncate(cut % token.len()),
        }
        let changed = String::from_utf8(bytes).unwrap();
        prop_assume!(changed != token);
        prop_assert!(prove(&changed).is_err(), "{changed}");
    }

    /// No text at all makes the reader fail otherwise than with an error.
    #[test]
    fn any_text_is_read_or_refused(header in "\\PC{0,60}", payload in "\\PC{0,200}", tail in "[A-Za-z0-9_-]{0,40}") {
        let _ = Jwt::read(&format!("{}.{}.{tail}", encode(header), encode(&payload))).is_ok();
        let _ = KeySet::read(payload.as_bytes()).is_ok();
    }
}

#[test]
fn an_address_counts_only_where_it_is_verified_however_its_claim_is_written() {
    for (path, more, verified) in [
        ("/email", r#"{"email_verified":false}"#, false),
        ("/email", r#"{"email_verified":true}"#, true),
        ("user.email", r#"{"user":{"email":"a@example.com","email_verified":false}}"#, false),
        ("/user/email", r#"{"user":{"email":"a@example.com","email_verified":false},"email_verified":true}"#, false),
        ("user.email", r#"{"user":{"email":"a@example.com"},"email_verified":false}"#, true),
        ("preferred_username", r#"{"preferred_username":"a","email_verified":false}"#, true),
    ] {
        let rules = Rules { user_claim: ClaimPath::new(path).unwrap(), ..rules() };
        let found = prove_with(&IDP.0.usual(&claims(more)), &rules, Expected::Bearer);
        assert_eq!(found.is_ok(), verified, "{path} {more}: {:?}", found.err());
    }
}
