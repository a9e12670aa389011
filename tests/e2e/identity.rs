//! Logging in with a token of the company's identity provider: a real one, which is sometimes away and sometimes changes its keys.

use lockgate_tests::issuer::Issuer;
use lockgate_tests::process::{self, eventually};
use lockgate_tests::wire::{self, Client};
use lockgate_tests::{Idp, Scene, api, places};
use std::io::{BufRead, BufReader, Read};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

fn scene_with(idp: &Idp, more: &str) -> Scene {
    Scene::with(15, |options| options.identity = idp.yaml(more))
}

fn login(scene: &Scene, user: &str, token: &str) -> Result<Client, wire::Frame> {
    Client::login_with(scene.gateway.port, &[("user", user), ("database", "shop")], token)
}

fn refusals(scene: &Scene) -> Vec<String> {
    let events = scene.gateway.events();
    events
        .iter()
        .filter_map(|event| event["login_failed"]["reason"].as_str().or(event["reason"].as_str()))
        .map(str::to_owned)
        .collect()
}

#[test]
fn psql_and_the_api_take_a_providers_token() {
    let idp = Idp::start("k1");
    let scene = scene_with(&idp, "");
    let token = idp.client_token("ci", None);
    for mode in ["disable", "require", "verify-full"] {
        let mut psql = scene.gateway.psql("ci", &token);
        psql.env("PGSSLMODE", mode).env("PGSSLROOTCERT", scene.gateway.authority());
        assert_eq!(
            process::run(psql.args(["-Atc", "SELECT ssn LIKE '%CANARY%' FROM people WHERE id = 7"])).trim(),
            "f",
            "{mode}"
        );
    }
    // Lockgate's own tokens go on as before, by their text and by SCRAM.
    let alice = scene.alice();
    for options in ["", "-c lockgate.auth=scram-sha-256", "-c lockgate.auth=token"] {
        let mut psql = scene.gateway.psql("alice", &alice);
        psql.env("PGSSLMODE", "require").env("PGOPTIONS", options).args(["-Atc", "SELECT 1"]);
        assert_eq!(process::run(&mut psql).trim(), "1", "{options}");
    }

    let (status, me) = api::call(&scene.gateway, "GET", "/api/v1/whoami", Some(&token), None);
    assert_eq!((status, me["user"].as_str(), me["kind"].as_str()), (200, Some("ci"), Some("service")), "{me}");
    assert_eq!((me["groups"][0].as_str(), me["admin"].as_bool()), (Some("engineers"), Some(false)));
    let (status, _) = api::call(&scene.gateway, "GET", "/api/v1/whoami", Some(&format!("{token}x")), None);
    assert_eq!(status, 401);
    let (_, ops) = api::call(&scene.gateway, "GET", "/api/v1/whoami", Some(&idp.client_token("ops", None)), None);
    assert_eq!(ops["admin"].as_bool(), Some(true), "administrators by the provider's groups: {ops}");

    scene.gateway.verify();
    let events = format!("{:?}", scene.gateway.events());
    assert!(events.contains("\"corp:"), "the recording names the proof");
    assert!(!events.contains(&token) && !scene.gateway.log().contains(&token), "and never holds it");
}

#[test]
fn tokens_that_prove_something_else_are_refused() {
    let idp = Idp::start("k1");
    let scene = scene_with(&idp, ", required_claims: {client_id: ['ci', 'brief', 'alice']}");
    let ci = idp.client_token("ci", None);
    assert!(login(&scene, "ci", &ci).is_ok());
    let elsewhere = idp.client_token("ci", Some("https://other.example.com"));
    let unlisted = idp.client_token("ops", None);
    let brief = idp.client_token("brief", None);
    std::thread::sleep(Duration::from_secs(5));
    let (signed, _) = ci.rsplit_once('.').unwrap();
    let stranger = Idp::start("k1");
    let foreign = stranger.client_token("ci", None);
    for (what, user, token, why) in [
        ("another's name", "alice", ci.as_str(), "belongs to `ci`"),
        ("another audience", "ci", &elsewhere, "claim `aud` names `https://other.example.com`"),
        ("expired", "brief", &brief, "the token expired at"),
        ("a claim that is required", "ops", &unlisted, "claim `client_id` does not have"),
        ("no signature", "ci", &format!("{signed}."), "no signature"),
        ("another issuer", "ci", &foreign, "is not configured"),
    ] {
        let refused = login(&scene, user, token).expect_err(what);
        assert_eq!(refused.field(b'C').as_deref(), Some("28P01"), "{what}: {refused:?}");
        assert!(!format!("{refused:?}").contains(why), "{what}: a stranger is told no reason");
        let hint = refused.field(b'H').unwrap_or_default();
        assert!(hint.contains("your identity provider") && hint.contains("lockgate.auth=link"), "{refused:?}");
        eventually(what, Duration::from_secs(5), || refusals(&scene).iter().any(|reason| reason.contains(why)));
    }
}

#[test]
fn a_session_ends_with_its_token() {
    let idp = Idp::start("k1");
    let scene = scene_with(&idp, ", groups: [engineers]");
    let token = idp.client_token("brief", None);
    let mut client = login(&scene, "brief", &token).expect("it counts for four seconds");
    let begun = Instant::now();
    assert!(client.is_closed_within(Duration::from_secs(8)), "it lives on");
    assert!(begun.elapsed() > Duration::from_millis(500));
    assert!(String::from_utf8_lossy(&client.seen).contains("the token has expired"));
}

#[test]
fn a_provider_that_is_away_at_the_start_is_found_when_it_comes() {
    let mut idp = Idp::start("k1");
    let token = idp.client_token("ci", None);
    idp.stop();
    let scene = scene_with(&idp, "");
    let refused = login(&scene, "ci", &token).expect_err("nobody can check it");
    assert_eq!(refused.field(b'C').as_deref(), Some("28P01"));
    assert!(scene.gateway.log().contains("the identity provider does not answer"), "{}", scene.gateway.log());
    assert!(scene.alice().len() > 20 && login(&scene, "alice", &scene.alice()).is_ok(), "other tokens count");
    idp.resume("k1", &[]);
    let token = idp.client_token("ci", None);
    eventually("logins work again", Duration::from_secs(30), || login(&scene, "ci", &token).is_ok());
}

#[test]
fn a_provider_that_goes_away_takes_nothing_along() {
    let mut idp = Idp::start("k1");
    let scene = scene_with(&idp, "");
    let token = idp.client_token("ci", None);
    let mut client = login(&scene, "ci", &token).expect("it is proven");
    idp.stop();
    assert_eq!(client.value("SELECT 1"), "1");
    assert!(login(&scene, "ci", &token).is_ok(), "the keys are still known");
    assert_eq!(client.value("SELECT 2"), "2");
}

#[test]
fn keys_are_changed_while_sessions_live() {
    let mut idp = Idp::start("k1");
    let scene = scene_with(&idp, "");
    let old = idp.client_token("ci", None);
    let mut client = login(&scene, "ci", &old).expect("it is proven");
    idp.stop();
    idp.resume("k2", &[]);
    let new = idp.client_token("ci", None);
    assert!(login(&scene, "ci", &new).is_ok(), "a key that was not known is looked for at once");
    assert!(login(&scene, "ci", &old).is_err(), "and one that is gone counts no more");
    assert_eq!(client.value("SELECT 1"), "1", "what was proven stays so until the token ends");
}

#[test]
fn strangers_cannot_have_the_provider_asked_without_end() {
    let idp = Idp::start("k1");
    let scene = scene_with(&idp, "");
    let token = idp.client_token("ci", None);
    assert!(login(&scene, "ci", &token).is_ok());
    let before = idp.asked();
    // Claims that would be believed, with a key that nobody has: the most a stranger can do.
    let stranger = Idp::start("unknown");
    let parts: Vec<&str> = token.split('.').collect();
    let header = stranger.client_token("ci", None).split('.').next().unwrap().to_owned();
    let forged = format!("{header}.{}.{}", parts[1], parts[2]);
    std::thread::scope(|scope| {
        for _ in 0..40 {
            scope.spawn(|| {
                assert_eq!(api::call(&scene.gateway, "GET", "/api/v1/whoami", Some(&forged), None).0 / 100, 4)
            });
        }
    });
    let asked = idp.asked() - before;
    assert!((1..=5).contains(&asked), "asked {asked} times");
    assert!(login(&scene, "ci", &token).is_ok());
}

/// What PostgreSQL 18's library does with `oauth_issuer`; Debian's is older and has no such thing.
fn oauth_command(scene: &Scene, idp: &Idp, user: &str, client: &[&str]) -> Command {
    let library = places::cache().join("postgres/18/lib/libpq.so.5");
    let conninfo = format!(
        "{} sslmode=require oauth_issuer={} oauth_client_id={} options='-c lockgate.auth=oauth'",
        scene.gateway.conninfo(user),
        idp.issuer(),
        client[0]
    );
    let mut python = Command::new("python3");
    python.arg(places::tool("oauth_login.py")).arg(library).arg(&conninfo).args(client);
    // The library wants https of a provider, also on this machine.
    python.env("PGOAUTHDEBUG", "UNSAFE");
    python
}

fn oauth(scene: &Scene, idp: &Idp, user: &str) -> std::process::Output {
    process::output(&mut oauth_command(scene, idp, user, &["ci", "only-for-tests"]))
}

#[test]
fn postgresql_18_gets_a_token_by_itself() {
    let idp = Idp::start("k1");
    let scene = scene_with(&idp, "");
    let output = oauth(&scene, &idp, "ci");
    let said = process::text(&output);
    assert!(output.status.success(), "{said}");
    let discovery =
        format!("told {}/.well-known/openid-configuration openid email groups offline_access", idp.issuer());
    assert_eq!(said.lines().collect::<Vec<_>>(), [discovery.as_str(), "in"]);
    let output = oauth(&scene, &idp, "alice");
    assert!(!output.status.success() && process::text(&output).contains("login refused"), "{}", process::text(&output));

    // Where there is no provider there is nothing to be told.
    let scene = lockgate_tests::scene();
    let said = process::text(&oauth(&scene, &idp, "ci"));
    assert!(said.contains("no identity provider is configured"), "{said}");
}

/// A person at psql of PostgreSQL 18, which shows a code and waits until it is approved at the provider.
#[test]
fn postgresql_18_logs_a_person_in_by_a_code() {
    let idp = Idp::start("k1");
    let scene = scene_with(&idp, "");
    for (who, gets_in) in [("alice", true), ("bob", false)] {
        let mut psql = oauth_command(&scene, &idp, "alice", &["psql"]);
        psql.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut psql = process::spawn(psql);
        let mut lines = BufReader::new(psql.stdout.take().expect("a pipe")).lines().map(|line| line.expect("text"));
        let told = lines.next().expect("it is told where tokens are to be had");
        assert!(told.ends_with("/.well-known/openid-configuration openid email groups offline_access"), "{told}");
        let visit = lines.next().expect("a code");
        let (address, code) = visit
            .strip_prefix("visit ")
            .and_then(|rest| rest.split_once(" and enter "))
            .expect("an address and a code");
        assert_eq!(lines.next().as_deref(), Some("authorization_pending"), "nobody has approved it yet");
        let page = idp.browse_with(address, who, &[("user_code", code)]);
        assert!(page.contains("Sign-in Success"), "{page}");
        let rest: Vec<String> = lines.collect();
        assert_eq!(rest.last().is_some_and(|line| line == "in"), gets_in, "{rest:?}");
        let mut said = String::new();
        psql.stderr.take().expect("a pipe").read_to_string(&mut said).expect("text");
        assert_eq!(
            (psql.wait().expect("it ended").success(), said.contains("login refused")),
            (gets_in, !gets_in),
            "{said}"
        );
    }
    let events = scene.gateway.events();
    let opened: Vec<_> = events.iter().filter(|event| event["event"] == "session_opened").collect();
    assert_eq!(opened.len(), 1, "{opened:?}");
    assert_eq!((&opened[0]["user"], &opened[0]["kind"]), (&"alice".into(), &"human".into()), "{}", opened[0]);
    assert_eq!(opened[0]["groups"], serde_json::json!(["engineers", "staff"]), "{}", opened[0]);
    assert!(refusals(&scene).iter().any(|why| why.contains("belongs to `bob`")), "{:?}", refusals(&scene));
    scene.gateway.verify();
}

#[test]
fn a_person_logs_in_with_a_token_that_was_refreshed() {
    let idp = Idp::start("k1");
    let scene = scene_with(&idp, "");
    let query = "client_id=lockgate&response_type=code&redirect_uri=http://127.0.0.1:1/callback&prompt=consent\
        &scope=openid%20email%20groups%20offline_access&code_challenge_method=S256\
        &code_challenge=E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";
    let back = idp.browse(&format!("{}/auth?{query}", idp.issuer()), "alice");
    let code = back.split("code=").nth(1).unwrap().split('&').next().unwrap();
    let form = format!(
        "grant_type=authorization_code&code={code}&redirect_uri=http://127.0.0.1:1/callback&code_verifier=dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"
    );
    let tokens = idp.form("/token", "lockgate", &form);
    let refresh = tokens["refresh_token"].as_str().unwrap_or_else(|| panic!("{tokens}"));
    let tokens = idp.form("/token", "lockgate", &format!("grant_type=refresh_token&refresh_token={refresh}"));
    let token = tokens["id_token"].as_str().unwrap_or_else(|| panic!("{tokens}"));
    assert_eq!(scene.gateway.query("alice", token, "SELECT count(*) FROM notes"), "20");
    let (_, me) = api::call(&scene.gateway, "GET", "/api/v1/whoami", Some(token), None);
    assert_eq!((me["kind"].as_str(), me["groups"].as_array().map(Vec::len)), (Some("human"), Some(2)), "{me}");
    // An access token that is no JWT proves nothing here.
    assert!(login(&scene, "alice", tokens["access_token"].as_str().unwrap()).is_err());
}

#[test]
fn providers_come_and_go_with_the_configuration() {
    let idp = Idp::start("k1");
    let scene = lockgate_tests::scene();
    let token = idp.client_token("ci", None);
    assert!(login(&scene, "ci", &token).is_err(), "nobody is believed who is not configured");
    let write = |identity: &str| {
        let without = std::fs::read_to_string(scene.gateway.config()).unwrap();
        let start = without.find("  oidc:").unwrap_or_else(|| without.find("targets:").unwrap());
        let (before, after) = (&without[..start], &without[without.find("targets:").unwrap()..]);
        std::fs::write(scene.gateway.config(), format!("{before}{identity}{after}")).unwrap();
        scene.gateway.reload();
    };
    write(&idp.yaml(""));
    eventually("it is believed", Duration::from_secs(10), || login(&scene, "ci", &token).is_ok());
    let mut client = login(&scene, "ci", &token).unwrap();
    write(&idp.yaml("").replace("offline_access", "profile"));
    std::thread::sleep(Duration::from_secs(2));
    assert_eq!(client.value("SELECT 1"), "1", "what does not change who is believed ends nothing");
    write("");
    assert!(client.is_closed_within(Duration::from_secs(5)), "it lives on without its provider");
    assert!(login(&scene, "ci", &token).is_err());
    write(&idp.yaml(""));
    eventually("the same token counts again", Duration::from_secs(10), || login(&scene, "ci", &token).is_ok());
}

#[test]
fn of_several_entries_of_an_issuer_the_first_that_a_token_is_for_judges_alone() {
    let issuer = Issuer::start();
    let entry = issuer.yaml("");
    let (head, usual) = entry.split_once("    - ").expect("an entry");
    let strict = usual
        .replace("name: corp", "name: strict")
        .replace("user_claim: sub", "user_claim: email, required_claims: {sub: alice}, groups: [contractors]");
    let scene = Scene::with(15, |options| options.identity = format!("{head}    - {strict}    - {usual}"));
    assert!(login(&scene, "bob", &issuer.token("bob")).is_ok());
    // What the first one refuses the second, with other groups, is not asked about.
    assert!(login(&scene, "alice", &issuer.token("alice")).is_err());
    eventually("why", Duration::from_secs(5), || {
        refusals(&scene).iter().any(|reason| reason.contains("strict: claim `email` is missing"))
    });
}

#[test]
fn refused_tokens_at_the_api_are_on_record() {
    let idp = Idp::start("k1");
    let scene = scene_with(&idp, "");
    let forged = format!("{}x", idp.client_token("ci", None));
    assert_eq!(api::call(&scene.gateway, "GET", "/api/v1/whoami", Some(&forged), None).0, 401);
    assert_eq!(api::call(&scene.gateway, "GET", "/api/v1/whoami", Some("lg_wrong"), None).0, 401);
    let long = format!("{}.{}.x", "e".repeat(10_000), "e".repeat(10_000));
    assert_eq!(api::call(&scene.gateway, "GET", "/api/v1/whoami", Some(&long), None).0, 401);
    // A stranger's words stay on their line of the log.
    let forged = api::call(&scene.gateway, "GET", "/oidc/x%0aFORGED%20LINE%1b/callback?code=a&state=b", None, None);
    assert_eq!(forged.0, 403);
    let log = scene.gateway.log();
    assert!(log.contains("FORGED LINE") && !log.lines().any(|line| line.starts_with("FORGED")), "{log}");
    let longer = "e.".repeat(500_000);
    // Who sends a megabyte of headers is told so, or finds the connection closed while still sending.
    let answer = api::attempt(&scene.gateway, "GET", "/api/v1/whoami", Some(&longer), None);
    assert!(answer.as_ref().map_or_else(|error| !error.is_timeout(), |(status, _)| *status >= 400), "{answer:?}");
    assert_eq!(api::call(&scene.gateway, "GET", "/api/v1/whoami", Some("lg_wrong"), None).0, 401);
    eventually("all are recorded", Duration::from_secs(5), || {
        let reasons = refusals(&scene);
        ["not base64url", "not a lockgate token", "longer than 16384 bytes"]
            .iter()
            .all(|why| reasons.iter().any(|reason| reason.contains(why)))
    });
}

#[test]
fn revoking_a_person_ends_what_a_provider_signed_for_them() {
    let issuer = Issuer::start();
    let scene = Scene::with(15, |options| options.identity.push_str(&issuer.yaml("")));
    let gateway = &scene.gateway;
    let (alices, bobs) = (issuer.token("alice"), issuer.token("bob"));
    let mut alice = login(&scene, "alice", &alices).expect("she is let in");
    let mut bob = login(&scene, "bob", &bobs).expect("so is he");
    // However the name is spelt, and by a process of its own.
    let revoked = gateway.here(&["token", "revoke", "--user", "ALICE"]);
    assert!(revoked.status.success(), "{revoked:?}");
    assert!(String::from_utf8_lossy(&revoked.stderr).contains("identity providers signed"), "{revoked:?}");
    assert!(alice.is_closed_within(Duration::from_secs(5)), "it lives on");
    assert_eq!(bob.value("SELECT 1"), "1", "nobody else's");
    gateway.refuses_login("alice", &alices);
    assert_eq!(api::call(gateway, "GET", "/api/v1/whoami", Some(&alices), None).0, 401);
    assert_eq!(api::call(gateway, "GET", "/api/v1/whoami", Some(&bobs), None).0, 200);
    assert!(refusals(&scene).iter().any(|why| why.contains("this one was made before")), "{:?}", refusals(&scene));
    // Times in tokens are whole seconds: what is signed in the second of the revocation counts as signed before.
    std::thread::sleep(Duration::from_millis(1_100));
    let mut again = login(&scene, "alice", &issuer.token("alice")).expect("a new token counts");
    assert_eq!(again.value("SELECT 1"), "1");
    gateway.verify();
}

#[test]
fn an_agent_that_a_provider_signed_ends_with_whom_it_acts_for() {
    let issuer = Issuer::start();
    let scene = Scene::with(15, |options| options.identity.push_str(&issuer.yaml("")));
    let gateway = &scene.gateway;
    // A second is what is promised; the rest is for a loaded machine.
    let second = Duration::from_millis(1_500);
    let acting = |user: &str| {
        let token = issuer.token_of_actor("bot", user);
        let mut client = login(&scene, "bot", &token).expect("the agent is let in");
        assert_eq!(client.value("SELECT 1"), "1");
        (client, token)
    };
    let (mut for_bob, _) = acting("bob");
    let (mut for_alice, token) = acting("alice");
    // In the middle of something.
    for_alice.send(b'Q', &wire::text("SELECT pg_sleep(60)"));
    gateway.here_ok(&["token", "revoke", "--user", "alice"]);
    assert!(for_alice.is_closed_within(second), "revoked: it lives on");
    gateway.refuses_login("bot", &token);
    assert_eq!(for_bob.value("SELECT 1"), "1", "who acts for somebody else is not concerned");

    // What is signed later counts, until she is disabled.
    std::thread::sleep(Duration::from_millis(1_100));
    gateway.here_ok(&["user", "add", "alice", "--no-password", "--group", "engineers"]);
    let (mut for_alice, token) = acting("alice");
    gateway.here_ok(&["user", "disable", "alice"]);
    assert!(for_alice.is_closed_within(second), "disabled: it lives on");
    gateway.refuses_login("bot", &token);
    gateway.refuses_login("bot", &issuer.token_of_actor("bot", "alice"));
    gateway.here_ok(&["user", "enable", "alice"]);
    let (mut for_alice, _) = acting("alice");

    // Out of her group: what she may no more, the agent may no more.
    gateway.here_ok(&["user", "group", "alice", "--remove", "engineers"]);
    assert!(for_alice.is_closed_within(second), "out of the group: it lives on");
    assert_eq!(for_bob.value("SELECT 1"), "1");
    gateway.verify();
}
