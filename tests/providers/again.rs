//! Providers that are asked again about people who logged in: whose groups changed, who was disabled, and a provider that is away.

use lockgate_core::{IdentityKind, Secret};
use lockgate_store::{Asker, LOCAL, LoginClaim, NewLogin, NewPerson, Store, clock};
use lockgate_tests::fake::FakeTarget;
use lockgate_tests::issuer::Issuer;
use lockgate_tests::process::eventually;
use lockgate_tests::surfer::Surfer;
use lockgate_tests::wire::{self, Client};
use lockgate_tests::{Idp, Scene, api};
use std::time::{Duration, Instant};

/// A gateway that asks every two seconds, and holds on for five.
fn scene(idp: &Idp) -> Scene {
    Scene::with(15, |options| options.identity = format!("  recheck: 2s\n  grace: 5s\n{}", idp.yaml("")))
}

/// What the provider gives somebody for coming back with.
fn refresh_token(idp: &Idp, user: &str) -> Secret {
    let tokens = tokens(idp, user);
    Secret::new(tokens["refresh_token"].as_str().unwrap_or_else(|| panic!("{tokens}")).to_owned())
}

/// What the provider gives for a login.
fn tokens(idp: &Idp, user: &str) -> serde_json::Value {
    let query = "client_id=lockgate&response_type=code&redirect_uri=http://127.0.0.1:1/callback&prompt=consent\
        &scope=openid%20email%20groups%20offline_access&code_challenge_method=S256\
        &code_challenge=E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";
    let back = idp.browse(&format!("{}/auth?{query}", idp.issuer()), user);
    let code = back.split("code=").nth(1).unwrap_or_else(|| panic!("{back}")).split('&').next().unwrap();
    let form = format!(
        "grant_type=authorization_code&code={code}&redirect_uri=http://127.0.0.1:1/callback&code_verifier=dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"
    );
    idp.form("/token", "lockgate", &form)
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
        name => {
            let entry = config.split(&format!("name: {name}, ")).nth(1).unwrap();
            entry.split("issuer: '").nth(1).unwrap().split('\'').next().unwrap().to_owned()
        }
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
    assert!(alices.is_closed_within(Duration::from_secs(6)), "it lives on");
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

#[test]
fn a_provider_that_hangs_keeps_no_other_waiting() {
    let idp = Idp::start("k1");
    // It takes connections and says nothing.
    let hangs = FakeTarget::start(|stream| {
        std::thread::sleep(Duration::from_secs(60));
        drop(stream);
    });
    let scene = Scene::with(15, |options| {
        let slow = format!("    - {{name: slow, issuer: 'http://127.0.0.1:{}', client_id: lockgate}}\n", hangs.port);
        options.identity = format!("  recheck: 2s\n  grace: 1h\n{}{slow}", idp.yaml(""));
    });
    for n in 0..40 {
        log_in(&scene, "slow", &format!("user{n}"), &["engineers"], Some(Secret::new("r".to_owned())));
    }
    std::thread::sleep(Duration::from_secs(3));
    let alice = log_in(&scene, "corp", "alice", &["engineers"], Some(refresh_token(&idp, "alice")));
    let mut alices = Client::login(scene.gateway.port, "alice", &alice);
    idp.set("user=alice&disabled=1");
    assert!(alices.is_closed_within(Duration::from_secs(6)), "it lives on");
}

#[test]
fn who_is_refused_takes_everything_along_and_gets_it_back_by_signing_in() {
    let mut idp = Idp::reserve();
    let scene = Scene::with(15, |options| options.identity = format!("  recheck: 2s\n  grace: 1m\n{}", idp.yaml("")));
    idp.resume("k1", &[("REDIRECT", &format!("{}/oidc/corp/callback", scene.gateway.url()))]);
    // What she has beside her login: tokens that an administrator made, in whatever spelling, her provider's own, and agents.
    let own = scene.gateway.token("alice", &["engineers"]);
    let loud = scene.gateway.token("ALICE", &["engineers"]);
    let made = ["--kind", "agent", "--on-behalf-of", "Alice", "--on-behalf-of-group", "engineers"];
    let agent = scene.gateway.token_with("bot", &["engineers"], &made);
    let agent = agent["token"].as_str().unwrap().to_owned();
    let shown = tokens(&idp, "alice")["id_token"].as_str().unwrap().to_owned();
    let bob = scene.gateway.token("bob", &["engineers"]);
    let alice = log_in(&scene, "corp", "alice", &["engineers", "staff"], Some(refresh_token(&idp, "alice")));
    let other = log_in(&scene, "corp", "alice", &["engineers", "staff"], Some(refresh_token(&idp, "alice")));
    let all =
        [("alice", &alice), ("alice", &other), ("alice", &own), ("ALICE", &loud), ("bot", &agent), ("alice", &shown)];
    let mut clients = all.map(|(user, token)| Client::login(scene.gateway.port, user, token));
    let mut bobs = Client::login(scene.gateway.port, "bob", &bob);

    // One of her sessions at the provider is over, and the other says that she is who she was.
    let over = scene.gateway.here_ok(&["logins", "list", "--user", "alice", "-o", "json"]);
    let over: serde_json::Value = serde_json::from_str(&over).unwrap();
    assert_eq!(over.as_array().unwrap().len(), 2, "{over}");
    let stale =
        log_in(&scene, "corp", "alice", &["engineers"], Some(Secret::new("of-a-session-that-is-over".to_owned())));
    let mut gone = Client::login(scene.gateway.port, "alice", &stale);
    ended(&mut gone, 6, "the token was revoked");
    std::thread::sleep(Duration::from_secs(3));
    for client in &mut clients {
        assert_eq!(client.value("SELECT 1"), "1", "the others count on");
    }

    idp.set("user=alice&disabled=1");
    eventually("the gateway knows", Duration::from_secs(8), || {
        scene.gateway.log().contains("counts no more until signing in there again")
    });
    let known = Instant::now();
    for (n, client) in clients.iter_mut().enumerate() {
        // Those of her logins are told so, or that these ended.
        ended(client, 2, if n < 2 { "" } else { "refused `alice` when it was asked again" });
    }
    assert!(known.elapsed() < Duration::from_secs(1), "{:?}", known.elapsed());
    for (user, token) in all {
        scene.gateway.refuses_login(user, token);
    }
    let (status, answer) = api::call(&scene.gateway, "GET", "/api/v1/whoami", Some(&own), None);
    assert_eq!(status, 401, "{answer}");
    assert_eq!(bobs.value("SELECT 1"), "1");
    let page = |user: &str| {
        let mut browser = Surfer::new(&scene.gateway);
        let page = browser.open(&format!("{}/login", scene.gateway.url()));
        browser.sign_in(&page, &idp.issuer(), user)
    };
    // Another's sign-in changes nothing for her, and hers does.
    assert!(page("bob").html.contains("Signed in as"));
    scene.gateway.refuses_login("bot", &agent);
    idp.set("user=alice&disabled=0");
    scene.gateway.refuses_login("bot", &agent);
    let home = page("alice");
    assert!(home.html.contains("Signed in as"), "{}", home.html);
    for (user, token) in [("alice", &own), ("ALICE", &loud), ("bot", &agent), ("alice", &shown)] {
        assert_eq!(Client::login(scene.gateway.port, user, token).value("SELECT 1"), "1");
    }
    for token in [&alice, &other] {
        scene.gateway.refuses_login("alice", token);
    }
    for what in ["user.suspended", "user.resumed"] {
        let is_it = |event: &&serde_json::Value| event["what"] == what && event["subject"] == "alice";
        eventually("it is on record", Duration::from_secs(5), || {
            scene.gateway.events().iter().filter(is_it).count() == 1
        });
    }
}

#[test]
fn who_was_refused_by_a_provider_that_is_configured_no_more_starts_anew() {
    let idp = Idp::start("k1");
    let scene = scene(&idp);
    let own = scene.gateway.token("alice", &["engineers"]);
    let alice = log_in(&scene, "corp", "alice", &["engineers"], Some(refresh_token(&idp, "alice")));
    let mut alices = Client::login(scene.gateway.port, "alice", &alice);
    idp.set("user=alice&disabled=1");
    assert!(alices.is_closed_within(Duration::from_secs(8)), "it lives on");
    let config = std::fs::read_to_string(scene.gateway.config()).unwrap();
    let (before, rest) = config.split_once("  oidc:").unwrap();
    let after = &rest[rest.find("targets:").unwrap()..];
    std::fs::write(scene.gateway.config(), format!("{before}{after}")).unwrap();
    scene.gateway.reload();
    // What she had is gone for good; the name is free.
    let login = [("user", "alice"), ("database", "shop")];
    let fresh = || scene.gateway.token("alice", &["engineers"]);
    eventually("the name counts again", Duration::from_secs(8), || {
        Client::login_with(scene.gateway.port, &login, &fresh()).is_ok()
    });
    scene.gateway.refuses_login("alice", &own);
}

#[test]
fn another_provider_under_the_same_name_inherits_nothing() {
    let (idp, other) = (Idp::start("k1"), Idp::start("k2"));
    // Nobody is asked again before the configuration changes, however slow the machine is.
    let scene = Scene::with(15, |options| options.identity = format!("  recheck: 10m\n  grace: 10m\n{}", idp.yaml("")));
    let token = refresh_token(&idp, "alice");
    let mine = token.expose().to_owned();
    let alice = log_in(&scene, "corp", "alice", &["engineers"], Some(token));
    let sue = log_in(&scene, "corp", "sue", &["engineers"], None);
    let mut clients =
        [("alice", &alice), ("sue", &sue)].map(|(user, token)| Client::login(scene.gateway.port, user, token));
    let config = std::fs::read_to_string(scene.gateway.config()).unwrap();
    std::fs::write(scene.gateway.config(), config.replace(&idp.issuer(), &other.issuer())).unwrap();
    scene.gateway.reload();
    for client in &mut clients {
        ended(client, 4, "the token was revoked");
    }
    let tokens = idp.form("/token", "lockgate", &format!("grant_type=refresh_token&refresh_token={mine}"));
    assert!(tokens["access_token"].is_string(), "nobody has used it meanwhile: {tokens}");
}

#[test]
fn a_login_that_is_over_gives_back_what_it_was_refreshed_with() {
    let idp = Idp::start("k1");
    let scene = Scene::with(15, |options| options.identity = idp.yaml(""));
    let refresh = refresh_token(&idp, "alice");
    let token = log_in(&scene, "corp", "alice", &["engineers"], Some(refresh.clone()));
    let mut client = Client::login(scene.gateway.port, "alice", &token);
    let listed = |flags: &[&str]| -> serde_json::Value {
        let printed = scene.gateway.here_ok(&[&["logins", "list", "--user", "alice", "-o", "json"], flags].concat());
        serde_json::from_str::<serde_json::Value>(&printed).unwrap()[0].clone()
    };
    let login = listed(&[]);
    assert_eq!((login["provider"].as_str(), login["refreshable"].as_bool()), (Some("corp"), Some(true)), "{login}");
    // By another process, which asks nobody.
    scene.gateway.here_ok(&["logins", "end", login["id"].as_str().unwrap()]);
    ended(&mut client, 2, "the token was revoked");
    scene.gateway.refuses_login("alice", &token);
    eventually("the provider hears of it", Duration::from_secs(10), || {
        scene.gateway.log().contains("the provider has taken back the refresh token")
    });
    let again = idp.form("/token", "lockgate", &format!("grant_type=refresh_token&refresh_token={}", refresh.expose()));
    assert_eq!(again["error"], "invalid_grant", "{again}");
    let over = listed(&["--all"]);
    assert_eq!((over["state"].as_str(), over["refreshable"].as_bool()), (Some("ended"), Some(false)), "{over}");
    assert!(scene.gateway.here_ok(&["logins", "list"]).is_empty());
    // Where nobody answers the login ends all the same.
    let sue = log_in(&scene, "corp", "sue", &["engineers"], Some(Secret::new("of-no-provider".to_owned())));
    let mut client = Client::login(scene.gateway.port, "sue", &sue);
    drop(idp);
    let left = scene.gateway.as_user(&sue, &["logout", "--everywhere"]);
    assert!(left.status.success(), "{}", lockgate_tests::process::text(&left));
    ended(&mut client, 2, "the token was revoked");
    eventually("the log says so", Duration::from_secs(10), || {
        scene.gateway.log().contains("a refresh token was not taken back")
    });
}

#[test]
fn a_token_that_was_shown_is_asked_about_again() {
    for check in ["introspection", "userinfo"] {
        let issuer = Issuer::start();
        let scene = Scene::with(15, |options| {
            let entry = issuer.yaml(&format!(", token_check: {check}"));
            options.identity = format!("  recheck: 1s\n  grace: 5s\n{entry}");
        });
        let tokens = ["alice", "bob", "carol"].map(|user| issuer.token(user));
        let mut clients =
            [("alice", 0), ("bob", 1)].map(|(user, n)| Client::login(scene.gateway.port, user, &tokens[n]));
        std::thread::sleep(Duration::from_secs(3));
        for client in &mut clients {
            assert_eq!(client.value("SELECT 1"), "1", "{check}: it counts");
        }
        issuer.revoke("alice");
        ended(&mut clients[0], 5, "the token was revoked");
        scene.gateway.refuses_login("alice", &tokens[0]);
        assert_eq!(clients[1].value("SELECT 1"), "1", "{check}: bob's counts on");
        // Away: what it said counts for a while, and what it has not said never did.
        issuer.be_away(true);
        std::thread::sleep(Duration::from_secs(3));
        assert_eq!(clients[1].value("SELECT 1"), "1", "{check}");
        scene.gateway.refuses_login("carol", &tokens[2]);
        ended(&mut clients[1], 20, "the token was revoked");
        issuer.be_away(false);
        Client::login(scene.gateway.port, "carol", &tokens[2]);
    }
}

/// Whoever says yes to a token may say other things of its holder than the token.
#[test]
fn what_a_provider_says_of_a_token_is_compared_with_it() {
    for check in ["introspection", "userinfo"] {
        let issuer = Issuer::start();
        let scene = Scene::with(15, |options| {
            let entry = issuer.yaml(&format!(", token_check: {check}"));
            options.identity = format!("  recheck: 1s\n  grace: 1m\n{entry}");
        });
        let users = ["alice", "bob", "carol", "dave"];
        let mut clients = users.map(|user| Client::login(scene.gateway.port, user, &issuer.token(user)));
        issuer.tell("alice", serde_json::json!({"groups": ["engineers"]}));
        issuer.tell("bob", serde_json::json!({"groups": ["engineers", "fraud"]}));
        issuer.tell("carol", serde_json::json!({"groups": []}));
        issuer.tell("dave", serde_json::json!({"sub": "alice"}));
        for client in &mut clients[1..] {
            ended(client, 5, "the token was revoked");
        }
        std::thread::sleep(Duration::from_secs(2));
        assert_eq!(clients[0].value("SELECT 1"), "1", "{check}: it says the same of alice");
    }
}

#[test]
fn a_token_exchange_makes_an_agent_that_acts_for_its_subject() {
    let idp = Idp::start("k1");
    let scene = Scene::with(15, |options| options.identity = idp.yaml(""));
    let alices = tokens(&idp, "alice");
    let exchange = || {
        let form = format!(
            "grant_type=urn:ietf:params:oauth:grant-type:token-exchange&subject_token={}\
             &subject_token_type=urn:ietf:params:oauth:token-type:id_token",
            alices["id_token"].as_str().unwrap_or_else(|| panic!("{alices}"))
        );
        let answer = idp.form("/token", "bot", &form);
        answer["access_token"].as_str().unwrap_or_else(|| panic!("{answer}")).to_owned()
    };
    let token = exchange();
    let mut client = Client::login(scene.gateway.port, "bot", &token);
    assert_eq!(client.value("SELECT 1"), "1");
    drop(client);
    // It is the agent's token, not the person's.
    scene.gateway.refuses_login("alice", &token);
    let opened = scene.gateway.events().into_iter().find(|event| event["event"] == "session_opened").unwrap();
    assert_eq!((&opened["user"], &opened["kind"]), (&"bot".into(), &"agent".into()), "{opened}");
    let chain = serde_json::json!([{"user": "alice", "groups": ["engineers", "staff"]}]);
    assert_eq!(opened["on_behalf_of"], chain, "{opened}");
    // What alice may not, the agent may not.
    idp.set("user=alice&groups=staff");
    let refused = scene.gateway.refuses_login("bot", &exchange());
    assert!(refused.field(b'M').is_some_and(|m| m.contains("no policy lets you connect")), "{refused:?}");
}
