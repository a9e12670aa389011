//! Providers that are asked again about people who logged in: whose groups changed, who was disabled, and a provider that is away.

use lockgate_core::{IdentityKind, Secret};
use lockgate_store::{Asker, LOCAL, LoginClaim, NewLogin, NewPerson, Store, clock};
use lockgate_tests::process::eventually;
use lockgate_tests::wire::{self, Client};
use lockgate_tests::{Idp, Scene, api};
use std::time::{Duration, Instant};

/// A gateway that asks every two seconds, and holds on for five.
fn scene(idp: &Idp) -> Scene {
    Scene::with(15, |options| options.identity = format!("  recheck: 2s\n  grace: 5s\n{}", idp.yaml("")))
}

/// What the provider gives alice for coming back with.
fn refresh_token(idp: &Idp, user: &str) -> Secret {
    let query = "client_id=lockgate&response_type=code&redirect_uri=http://127.0.0.1:1/callback&prompt=consent\
        &scope=openid%20email%20groups%20offline_access&code_challenge_method=S256\
        &code_challenge=E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";
    let back = idp.browse(&format!("{}/auth?{query}", idp.issuer()), user);
    let code = back.split("code=").nth(1).unwrap_or_else(|| panic!("{back}")).split('&').next().unwrap();
    let form = format!(
        "grant_type=authorization_code&code={code}&redirect_uri=http://127.0.0.1:1/callback&code_verifier=dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"
    );
    let tokens = idp.form("/token", "lockgate", &form);
    Secret::new(tokens["refresh_token"].as_str().unwrap_or_else(|| panic!("{tokens}")).to_owned())
}

/// A login as the gateway's pages make them, and the token that came of it.
fn log_in(scene: &Scene, provider: &str, user: &str, groups: &[&str], refresh_token: Option<Secret>) -> String {
    let groups = groups.iter().map(|group| (*group).to_owned()).collect();
    api::wait(async {
        let now = clock::now();
        let store = Store::open(&scene.gateway.data_dir()).await.expect("the gateway's store");
        let login = NewLogin {
            provider: provider.to_owned(),
            issuer: provider_issuer(scene, provider),
            subject: user.to_owned(),
            user: user.to_owned(),
            groups,
            kind: IdentityKind::Human,
            on_behalf_of: Vec::new(),
            source: "192.0.2.1".to_owned(),
            expires: now.plus_millis(600_000),
            refresh_token,
        };
        let (_, login) = store.sign_in(login, None, now).await.expect("a login");
        let (request, secret) =
            store.ask_login(Asker::Device, "192.0.2.1", now.plus_millis(60_000), now).await.expect("a request");
        store.approve_login_request(&request.id, &login.id, now).await.expect("it waits");
        let secret = secret.expect("a device has one");
        let claim = LoginClaim::Device { secret: secret.expose() };
        let (token, ..) = store.redeem_login_request(&request.id, claim, now).await.expect("it was approved");
        store.close().await;
        token.expose().to_owned()
    })
}

fn provider_issuer(scene: &Scene, provider: &str) -> String {
    let config = std::fs::read_to_string(scene.gateway.config()).unwrap();
    match provider {
        LOCAL => LOCAL.to_owned(),
        _ => config.split("issuer: '").nth(1).unwrap().split('\'').next().unwrap().to_owned(),
    }
}

fn ended(client: &mut Client, limit: u64, why: &str) {
    assert!(client.is_closed_within(Duration::from_secs(limit)), "it lives on");
    let seen = String::from_utf8_lossy(&client.seen).into_owned();
    assert!(seen.contains(why), "{seen}");
}

#[test]
fn groups_and_accounts_are_asked_for_again() {
    let idp = Idp::start("k1");
    let scene = scene(&idp);
    let alice = log_in(&scene, "corp", "alice", &["engineers", "staff"], Some(refresh_token(&idp, "alice")));
    let frank = log_in(&scene, "corp", "frank", &["fraud"], Some(refresh_token(&idp, "frank")));
    let mut alices = Client::login(scene.gateway.port, "alice", &alice);
    let mut franks = Client::login(scene.gateway.port, "frank", &frank);
    // Asked twice or more, with a refresh token that is another each time; nothing has changed.
    std::thread::sleep(Duration::from_secs(7));
    assert_eq!((alices.value("SELECT 1"), franks.value("SELECT 2")), ("1".to_owned(), "2".to_owned()));

    // Out of a group in the middle of a result.
    franks
        .send(b'Q', &wire::text("SELECT a.ssn FROM people a, people b, people c, people d, people e LIMIT 100000000"));
    assert_eq!(franks.frame().tag, b'T');
    idp.set("user=frank&groups=staff");
    assert!(franks.is_closed_within(Duration::from_secs(6)), "it lives on");
    scene.gateway.refuses_login("frank", &frank);
    assert_eq!(alices.value("SELECT 1"), "1");
    // Into one: the same token has what it gives.
    idp.set("user=frank&groups=staff,engineers");
    eventually("frank works again", Duration::from_secs(8), || {
        Client::login_with(scene.gateway.port, &[("user", "frank"), ("database", "shop")], &frank).is_ok()
    });

    idp.set("user=alice&disabled=1");
    ended(&mut alices, 6, "the token was revoked");
    scene.gateway.refuses_login("alice", &alice);
    assert!(scene.gateway.log().contains("a login ended"), "{}", scene.gateway.log());
}

#[test]
fn a_provider_that_is_away_is_waited_for_and_not_forever() {
    let mut idp = Idp::start("k1");
    let scene = scene(&idp);
    let alice = log_in(&scene, "corp", "alice", &["engineers"], Some(refresh_token(&idp, "alice")));
    // Nobody can be asked about these: they end with their time, or with their person.
    let silent = log_in(&scene, "corp", "sue", &["engineers"], None);
    let mut clients =
        [("alice", &alice), ("sue", &silent)].map(|(user, token)| Client::login(scene.gateway.port, user, token));
    idp.stop();
    let begun = Instant::now();
    std::thread::sleep(Duration::from_secs(4));
    for client in &mut clients {
        assert_eq!(client.value("SELECT 1"), "1", "what was judged last counts for a while");
    }
    ended(&mut clients[0], 12, "the token was revoked");
    assert!(begun.elapsed() >= Duration::from_secs(4), "{:?}", begun.elapsed());
    assert!(scene.gateway.log().contains("could not be asked for too long"));
    assert_eq!(clients[1].value("SELECT 1"), "1");
}

#[test]
fn logins_end_with_their_user_and_their_provider() {
    let idp = Idp::start("k1");
    let scene = scene(&idp);
    api::wait(async {
        let store = Store::open(&scene.gateway.data_dir()).await.expect("the gateway's store");
        let lola = NewPerson {
            source: LOCAL.to_owned(),
            user: "lola".to_owned(),
            active: true,
            groups: vec!["engineers".to_owned()],
            ..NewPerson::default()
        };
        store.create_person(lola, "test", clock::now()).await.expect("a user");
        store.close().await;
    });
    let lola = log_in(&scene, LOCAL, "lola", &["engineers"], None);
    let sue = log_in(&scene, "corp", "sue", &["engineers"], None);
    let mut lolas = Client::login(scene.gateway.port, "lola", &lola);
    let mut sues = Client::login(scene.gateway.port, "sue", &sue);
    scene.gateway.here_ok(&["user", "disable", "lola"]);
    ended(&mut lolas, 2, "`lola` is disabled in `local`");
    assert_eq!(sues.value("SELECT 1"), "1");
    let config = std::fs::read_to_string(scene.gateway.config()).unwrap();
    let (before, rest) = config.split_once("  oidc:").unwrap();
    let after = &rest[rest.find("targets:").unwrap()..];
    std::fs::write(scene.gateway.config(), format!("{before}{after}")).unwrap();
    scene.gateway.reload();
    ended(&mut sues, 4, "the token was revoked");
    // Everything of a person, logins too.
    let lola = log_in(&scene, LOCAL, "mona", &["engineers"], None);
    let mut monas = Client::login(scene.gateway.port, "mona", &lola);
    scene.gateway.here_ok(&["token", "revoke", "--user", "mona"]);
    ended(&mut monas, 2, "the token was revoked");
}
