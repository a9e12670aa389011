//! `lockgate_identity::Provider` with a real, certified provider: logins by browser and by device, refresh, what is given back.

use lockgate_core::{IdentityKind, Secret, Timestamp};
use lockgate_identity::jwt::{Algorithm, ClaimPath, Expected, Jwt, Rules};
use lockgate_identity::provider::{DevicePoll, Login, Settings};
use lockgate_identity::{Proven, Provider, ProviderError};
use lockgate_tests::Idp;
use lockgate_tests::api::wait;
use std::collections::BTreeSet;
use std::time::SystemTime;

const BACK: &str = "http://127.0.0.1:1/callback";

fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
    Timestamp::from_millis(i64::try_from(since.as_millis()).unwrap())
}

fn settings(idp: &Idp) -> Settings {
    Settings {
        rules: Rules {
            provider: "corp".to_owned(),
            issuer: idp.issuer(),
            client_id: "lockgate".to_owned(),
            audiences: vec!["lockgate".to_owned()],
            authorized_parties: Vec::new(),
            algorithms: vec![Algorithm::Rs256],
            required: Vec::new(),
            user_claim: ClaimPath::new("email").unwrap(),
            user_prefix: String::new(),
            groups_claim: ClaimPath::new("groups").unwrap(),
            groups: BTreeSet::new(),
            kind: IdentityKind::Human,
            kind_claim: None,
        },
        client_secret: Some(Secret::new("only-for-tests".to_owned())),
        scopes: ["email", "groups", "offline_access"].map(str::to_owned).to_vec(),
        token_check: None,
        ca: None,
    }
}

fn provider(idp: &Idp) -> Provider {
    Provider::new(settings(idp)).unwrap()
}

/// The answer that the browser brings back.
fn answer(address: &str) -> (String, String, Option<String>) {
    let url = reqwest::Url::parse(address).unwrap();
    let find = |name: &str| url.query_pairs().find(|(known, _)| known == name).map(|(_, value)| value.into_owned());
    (find("code").unwrap_or_else(|| panic!("{address}")), find("state").unwrap(), find("iss"))
}

fn browser_login(idp: &Idp, provider: &Provider, user: &str) -> Proven {
    let login = Login::begin().unwrap();
    // A provider asks anew where offline access is wanted.
    let address = wait(provider.authorization_url(&login, BACK)).unwrap() + "&prompt=consent";
    let (code, state, issuer) = answer(&idp.browse(&address, user));
    wait(provider.exchange_code(&login, BACK, (&code, &state, issuer.as_deref()), now())).unwrap()
}

fn is_alice(proven: &Proven) {
    assert_eq!((proven.user.as_str(), proven.subject.as_str()), ("alice@example.com", "alice"));
    assert_eq!(proven.groups.iter().map(String::as_str).collect::<Vec<_>>(), ["engineers", "staff"]);
    assert_eq!((proven.kind, proven.on_behalf_of.len()), (IdentityKind::Human, 0));
    assert!(proven.expires > now());
}

#[test]
fn by_browser_and_refreshed() {
    let idp = Idp::start("k1");
    let provider = provider(&idp);
    let proven = browser_login(&idp, &provider, "alice");
    is_alice(&proven);
    let fresh = wait(provider.refresh(&proven, now())).unwrap();
    is_alice(&fresh);
    let token = |proven: &Proven| proven.refresh_token.as_ref().unwrap().expose().to_owned();
    assert_ne!(token(&fresh), token(&proven));
    // The provider gives a new refresh token each time; using the old one again ends the grant.
    assert!(
        matches!(wait(provider.refresh(&proven, now())), Err(ProviderError::Refused { error, .. }) if error == "invalid_grant")
    );
    assert!(wait(provider.refresh(&fresh, now())).is_err());
}

#[test]
fn what_the_id_token_leaves_out_is_asked_of_userinfo() {
    let mut idp = Idp::reserve();
    idp.resume("k1", &[("INTROVERT", "1")]);
    is_alice(&browser_login(&idp, &provider(&idp), "alice"));
}

/// A provider that takes the client's secret in the form only.
#[test]
fn the_secret_goes_where_the_provider_takes_it() {
    let mut idp = Idp::reserve();
    idp.resume("k1", &[("SECRET_POST", "1")]);
    let provider = provider(&idp);
    let proven = browser_login(&idp, &provider, "alice");
    is_alice(&proven);
    let fresh = wait(provider.refresh(&proven, now())).unwrap();
    is_alice(&fresh);
    let refresh = fresh.refresh_token.unwrap();
    assert!(wait(provider.introspect(&refresh)).unwrap());
    wait(provider.revoke(&refresh)).unwrap();
    assert!(!wait(provider.introspect(&refresh)).unwrap());
    let device = wait(provider.start_device()).unwrap();
    assert!(matches!(wait(provider.poll_device(&device, now())), Ok(DevicePoll::Pending)));
    // It is no public client: another secret is refused.
    let mut wrong = settings(&idp);
    wrong.client_secret = Some(Secret::new("a guess & more".to_owned()));
    let refused = wait(Provider::new(wrong).unwrap().start_device()).err().unwrap();
    assert!(matches!(&refused, ProviderError::Refused { error, .. } if error == "invalid_client"), "{refused}");
}

#[test]
fn answers_of_other_logins_are_refused() {
    let idp = Idp::start("k1");
    let provider = provider(&idp);
    let (login, other) = (Login::begin().unwrap(), Login::begin().unwrap());
    let address = wait(provider.authorization_url(&login, BACK)).unwrap();
    for part in [
        "code_challenge_method=S256",
        "state=",
        "nonce=",
        "response_type=code",
        "redirect_uri=http%3A%2F%2F127.0.0.1%3A1%2Fcallback",
    ] {
        assert!(address.contains(part), "{part} not in {address}");
    }
    let (code, state, issuer) = answer(&idp.browse(&(address + "&prompt=consent"), "alice"));
    let issuer = issuer.as_deref();
    assert_eq!(issuer, Some(idp.issuer().as_str()));
    let exchange = |login: &Login, state: &str, issuer| {
        wait(provider.exchange_code(login, BACK, (&code, state, issuer), now())).map(|proven| proven.user)
    };
    assert!(matches!(exchange(&login, other.state(), issuer), Err(ProviderError::NotThisLogin(_))));
    assert!(matches!(exchange(&login, "", issuer), Err(ProviderError::NotThisLogin(_))));
    assert!(matches!(exchange(&login, &state, Some("https://other.example.com")), Err(ProviderError::NotThisLogin(_))));
    assert!(
        matches!(exchange(&login, &state, None), Err(ProviderError::NotThisLogin(_))),
        "this provider names itself"
    );
    // Another's code with one's own login: the verifier is not the one that it was asked for with.
    assert!(
        matches!(exchange(&other, other.state(), issuer), Err(ProviderError::Refused { error, .. }) if error == "invalid_grant")
    );
}

#[test]
fn a_code_counts_once() {
    let idp = Idp::start("k1");
    let provider = provider(&idp);
    let login = Login::begin().unwrap();
    let address = wait(provider.authorization_url(&login, BACK)).unwrap() + "&prompt=consent";
    let (code, state, issuer) = answer(&idp.browse(&address, "alice"));
    let exchange = || wait(provider.exchange_code(&login, BACK, (&code, &state, issuer.as_deref()), now()));
    assert!(exchange().is_ok());
    assert!(matches!(exchange(), Err(ProviderError::Refused { error, .. }) if error == "invalid_grant"));
}

#[test]
fn by_device() {
    let idp = Idp::start("k1");
    let provider = provider(&idp);
    let device = wait(provider.start_device()).unwrap();
    assert!(device.user_code.len() >= 8 && device.interval.as_secs() >= 1, "{}", device.user_code);
    assert!(matches!(wait(provider.poll_device(&device, now())), Ok(DevicePoll::Pending)));
    let page = idp.browse(device.verification_uri_complete.as_deref().unwrap(), "alice");
    assert!(page.contains("Sign-in Success"), "{page}");
    let Ok(DevicePoll::Proven(proven)) = wait(provider.poll_device(&device, now())) else { panic!("not proven") };
    is_alice(&proven);
    assert!(wait(provider.poll_device(&device, now())).is_err(), "once");
}

#[test]
fn tokens_are_given_back_and_looked_up() {
    let idp = Idp::start("k1");
    let provider = provider(&idp);
    let proven = browser_login(&idp, &provider, "alice");
    let refresh = proven.refresh_token.clone().unwrap();
    assert!(wait(provider.introspect(&refresh)).unwrap());
    wait(provider.revoke(&refresh)).unwrap();
    assert!(!wait(provider.introspect(&refresh)).unwrap());
    assert!(wait(provider.refresh(&proven, now())).is_err());
    assert!(!wait(provider.introspect(&Secret::new("nothing".to_owned()))).unwrap());
}

#[test]
fn a_wrong_client_or_a_provider_that_is_away_says_so() {
    let mut idp = Idp::start("k1");
    let mut wrong = settings(&idp);
    wrong.client_secret = Some(Secret::new("a guess".to_owned()));
    let provider = Provider::new(wrong).unwrap();
    let refused = wait(provider.start_device()).err().unwrap();
    assert!(matches!(&refused, ProviderError::Refused { error, .. } if error == "invalid_client"), "{refused}");
    assert!(!refused.to_string().contains("a guess"));
    let token = idp.client_token("ci", None);
    idp.stop();
    let provider = Provider::new(settings(&idp)).unwrap();
    let error = wait(provider.metadata()).err().unwrap().to_string();
    assert!(error.contains("does not answer") && error.contains("refused"), "{error}");
    let mut rules = settings(&idp);
    rules.rules.user_claim = ClaimPath::new("sub").unwrap();
    let provider = Provider::new(rules).unwrap();
    let error = wait(provider.prove(&Jwt::read(&token).unwrap(), Expected::Bearer, now())).err().unwrap();
    assert!(matches!(&error, ProviderError::NoKeys(_)), "{error}");
    assert!(provider.ready().is_err());
}
