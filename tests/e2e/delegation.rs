//! Agents that act for people: they have what both have, nobody in the chain approves, and they end with the person.

use lockgate_tests::wire::{self, Client};
use lockgate_tests::{Scene, api, scene};
use serde_json::json;
use std::time::{Duration, Instant};

/// A token of agent `bot` in some groups, who acts for bob in others.
fn bot(scene: &Scene, own: &[&str], bobs: &[&str]) -> String {
    let mut flags = vec!["--kind", "agent", "--on-behalf-of", "bob"];
    for group in bobs {
        flags.extend(["--on-behalf-of-group", group]);
    }
    scene.gateway.token_with("bot", own, &flags)["token"].as_str().unwrap().to_owned()
}

#[test]
fn an_agent_has_what_it_and_its_principal_have_in_common() {
    let scene = scene();
    let ssn = "SELECT ssn FROM people WHERE id = 7";
    for (own, bobs, sees) in [
        (&["engineers", "fraud"][..], &["engineers", "fraud"][..], true),
        (&["engineers", "fraud"], &["engineers"], false),
        (&["engineers"], &["engineers", "fraud"], false),
        (&["fraud"], &["engineers"], false),
    ] {
        let token = bot(&scene, own, bobs);
        let seen = scene.gateway.query("bot", &token, ssn);
        assert_eq!(seen.contains("SSN-CANARY"), sees, "{own:?} for {bobs:?}: {seen}");
        let searched = "SELECT count(*) FROM people WHERE ssn = 'SSN-CANARY-0007'";
        if sees {
            assert_eq!(scene.gateway.query("bot", &token, searched), "1");
        } else {
            scene.gateway.refused("bot", &token, searched);
        }
    }
    // Writing is for engineers, of whom only one of the two is one.
    let insert = "INSERT INTO notes (body) VALUES ('x')";
    let refused = scene.gateway.refused("bot", &bot(&scene, &["engineers"], &["fraud"]), insert);
    assert!(refused.contains("no policy permits write") && refused.contains("to bob, for whom bot acts"), "{refused}");
    let refused = scene.gateway.refused("bot", &bot(&scene, &["fraud"], &["engineers"]), insert);
    assert!(refused.contains("to bot for bob"), "{refused}");
    scene.gateway.query("bot", &bot(&scene, &["engineers"], &["engineers"]), insert);
    // connect is an action like others.
    for (own, bobs) in [(&["engineers"][..], &["sales"][..]), (&["sales"], &["engineers"])] {
        let refused = scene.gateway.refuses_login("bot", &bot(&scene, own, bobs));
        assert!(refused.field(b'M').is_some_and(|m| m.contains("no policy lets you connect")), "{refused:?}");
    }
}

#[test]
fn what_needs_an_approval_for_either_needs_it_for_both() {
    let scene = scene();
    let delete = "DELETE FROM notes WHERE id <= 5";
    for (own, bobs) in [(&["dba"][..], &["engineers"][..]), (&["engineers"], &["dba"])] {
        let token = bot(&scene, own, bobs);
        let mut client = Client::login(scene.gateway.port, "bot", &token);
        client.send(b'Q', &wire::text(delete));
        assert_eq!(client.frame().tag, b'N', "{own:?} for {bobs:?} waits");
        assert_eq!(scene.directly("SELECT count(*) FROM notes"), "20");
    }
    assert_eq!(scene.gateway.query("bot", &bot(&scene, &["dba"], &["dba"]), delete), "DELETE 5");
}

#[test]
fn a_chain_is_on_record_and_in_the_targets_log() {
    let scene = scene();
    let flags = ["--kind", "agent", "--on-behalf-of", "bob", "--on-behalf-of-group", "engineers"];
    let token = scene.gateway.token_with("bot", &["engineers"], &flags)["token"].as_str().unwrap().to_owned();
    let mut client = Client::login(scene.gateway.port, "bot", &token);
    assert_eq!(client.value("SELECT 1"), "1");
    let name = scene.directly("SELECT string_agg(application_name, ' ') FROM pg_stat_activity WHERE usename = 'app' AND datname = current_database()");
    assert!(name.contains("bot for bob"), "pg_stat_activity shows `{name}`");
    drop(client);
    // A client that names itself keeps its name; then a comment of the gateway's says it.
    let named = [("user", "bot"), ("database", "shop"), ("application_name", "nightly")];
    let mut client = Client::login_with(scene.gateway.port, &named, &token).unwrap();
    assert_eq!(client.value("SELECT current_setting('application_name')"), "nightly");
    let session = wire::error(&client.query("DELETE FROM notes")).field(b'H').unwrap();
    let session = session.split_whitespace().last().unwrap().to_owned();
    lockgate_tests::process::eventually("the target's log shows the chain", Duration::from_secs(10), || {
        let log = scene.postgres.log();
        let of_it = |line: &&str| line.contains(&scene.database) && line.contains("app=nightly");
        log.lines().filter(of_it).any(|line| line.contains("bot for bob") && line.contains(&session))
    });
    drop(client);
    let listed = scene.gateway.here_ok(&["sessions", "list"]);
    assert!(listed.contains("bot for bob"), "{listed}");
    let opened =
        scene.gateway.events().into_iter().find(|event| event["user"] == "bot" && event["protocol"] == "postgres");
    let opened = opened.expect("the session is on record");
    assert_eq!(opened["on_behalf_of"], json!([{"user": "bob", "groups": ["engineers"]}]), "{opened}");
    lockgate_tests::process::eventually("so is the making of its token", Duration::from_secs(10), || {
        let made = |event: &serde_json::Value| event["event"] == "token_created" && event["user"] == "bot";
        scene
            .gateway
            .events()
            .iter()
            .find(|event| made(event))
            .is_some_and(|event| event["on_behalf_of"] == json!(["bob"]))
    });
}

#[test]
fn who_is_known_by_tokens_has_the_groups_of_those() {
    let scene = scene();
    let ssn = "SELECT ssn FROM people WHERE id = 7";
    let agent = |groups: &[&str], who: &str| {
        let flags = ["--kind", "agent", "--on-behalf-of", who];
        scene.gateway.token_with("bot", groups, &flags)["token"].as_str().unwrap().to_owned()
    };
    // Nobody knows zoe: whoever makes the token vouches for it.
    let token = agent(&["engineers", "fraud"], "zoe");
    assert!(scene.gateway.query("bot", &token, ssn).contains("SSN-CANARY"));
    let bobs = scene.gateway.token_with("bob", &["engineers"], &[]);
    let mut clients =
        [agent(&["engineers", "fraud"], "bob"), token].map(|token| Client::login(scene.gateway.port, "bot", &token));
    assert!(!clients[0].value(ssn).contains("SSN-CANARY"), "bob has no token with fraud");
    // Bob's last token goes, and with it whoever acts for bob.
    scene.gateway.here_ok(&["token", "revoke", bobs["id"].as_str().unwrap()]);
    assert!(clients[0].is_closed_within(Duration::from_millis(1_500)), "it lives on");
    assert_eq!(clients[1].value("SELECT 1"), "1");
}

#[test]
fn who_administers_through_an_agent_has_to_administer() {
    let scene = scene();
    let admin = |own: &[&str], bobs: &[&str]| {
        let (status, me) = api::call(&scene.gateway, "GET", "/api/v1/whoami", Some(&bot(&scene, own, bobs)), None);
        assert_eq!(status, 200);
        me["admin"].as_bool().unwrap()
    };
    assert!(!admin(&["platform"], &["engineers"]));
    assert!(!admin(&["engineers"], &["platform"]));
    assert!(admin(&["platform"], &["platform"]));
}

#[test]
fn agents_and_their_principal_share_one_budget() {
    let policies = format!(
        "{}\n@id(\"probe\")\n@mode(\"equality\")\npermit (principal in Group::\"engineers\", action == Action::\"infer\", resource in Label::\"pii/ssn\");\n",
        lockgate_tests::scene::POLICIES
    );
    let scene = Scene::with(15, |options| {
        options.policies = policies;
        options.extra.push_str("infer: {probes: 3, window: 1h}\n");
    });
    let ask = |user: &str, token: &str, value: u32| {
        let sql = format!("SELECT id FROM people WHERE ssn = 'SSN-CANARY-000{value}'");
        let output = lockgate_tests::process::output(scene.gateway.psql(user, token).args(["-Atc", &sql]));
        output.status.success()
    };
    let bob = scene.gateway.token("bob", &["engineers"]);
    let one = bot(&scene, &["engineers"], &["engineers"]);
    let flags = ["--kind", "agent", "--on-behalf-of", "bob", "--on-behalf-of-group", "engineers"];
    let other = scene.gateway.token_with("other", &["engineers"], &flags)["token"].as_str().unwrap().to_owned();
    assert!(ask("bot", &one, 1) && ask("other", &other, 2) && ask("bob", &bob, 3));
    assert!(
        !ask("bot", &one, 4) && !ask("other", &other, 5) && !ask("bob", &bob, 6),
        "the three have asked three times"
    );
    assert!(ask("bob", &bob, 1), "what was asked may be asked again");
}

#[test]
fn agents_end_with_the_person() {
    let scene = scene();
    let bob = scene.gateway.token("bob", &["engineers"]);
    let agent = bot(&scene, &["engineers"], &["engineers"]);
    let mut clients =
        [("bob", &bob), ("bot", &agent)].map(|(user, token)| Client::login(scene.gateway.port, user, token));
    let mut alice = Client::login(scene.gateway.port, "alice", &scene.alice());
    for client in &mut clients {
        assert_eq!(client.value("SELECT 1"), "1");
    }
    // The agent is in the middle of something.
    clients[1].send(b'Q', &wire::text("SELECT pg_sleep(60)"));
    let begun = Instant::now();
    let revoked = scene.gateway.here_ok(&["token", "revoke", "--user", "bob", "-o", "json"]);
    assert_eq!(revoked.matches('"').count(), 6, "two ids: {revoked}");
    for client in &mut clients {
        assert!(client.is_closed_within(Duration::from_millis(1_500)), "it lives on");
        assert!(String::from_utf8_lossy(&client.seen).contains("the token was revoked"));
    }
    assert!(begun.elapsed() < Duration::from_secs(3), "{:?}", begun.elapsed());
    assert_eq!(alice.value("SELECT 1"), "1");
    scene.gateway.refuses_login("bot", &agent);
    // The same over the API.
    let agent = bot(&scene, &["engineers"], &["engineers"]);
    let mut client = Client::login(scene.gateway.port, "bot", &agent);
    let refused = scene.gateway.as_user(&scene.alice(), &["token", "revoke", "--user", "bob"]);
    assert_eq!(refused.status.code(), Some(3), "{}", lockgate_tests::process::text(&refused));
    assert_eq!(client.value("SELECT 1"), "1");
    assert!(scene.gateway.as_user(&scene.olga(), &["token", "revoke", "--user", "bob"]).status.success());
    assert!(client.is_closed_within(Duration::from_millis(1_500)));
}

#[test]
fn what_an_agent_saw_for_one_person_is_not_had_by_another() {
    let scene = scene();
    let gateway = &scene.gateway;
    let agent = |principal: &str, groups: &[&str]| {
        let mut flags = vec!["--kind", "agent", "--on-behalf-of", principal];
        for group in groups {
            flags.extend(["--on-behalf-of-group", group]);
        }
        gateway.token_with("bot", &["engineers", "fraud"], &flags)["token"].as_str().unwrap().to_owned()
    };
    let (for_frank, for_bob) = (agent("frank", &["engineers", "fraud"]), agent("bob", &["engineers"]));
    let seen = gateway.query("bot", &for_frank, "SELECT ssn FROM people WHERE id = 7");
    assert!(seen.contains("SSN-CANARY"), "{seen}");
    let sessions = |token: &str| {
        let (status, listed) = api::call(gateway, "GET", "/api/v1/sessions", Some(token), None);
        assert_eq!(status, 200, "{listed}");
        listed["sessions"].as_array().unwrap().iter().map(|s| s["id"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    lockgate_tests::process::eventually("it is listed", Duration::from_secs(5), || sessions(&for_frank).len() == 1);
    let id = sessions(&for_frank).remove(0);
    let rows = |token: &str| {
        let (status, text) = api::call(gateway, "GET", &format!("/api/v1/sessions/{id}/events"), Some(token), None);
        (status, text.to_string().contains("SSN-CANARY-0"))
    };
    assert_eq!(rows(&for_frank), (200, true));
    assert_eq!(sessions(&for_bob), Vec::<String>::new());
    assert_eq!(rows(&for_bob).0, 404);
    // Frank sees what was done for him; the rows are the agent's.
    assert_eq!(rows(&gateway.token("frank", &["fraud"])), (200, false));
    // Nor does a token of the same user have them that stands for less.
    let franks = gateway.token("frank", &["engineers", "fraud"]);
    gateway.query("frank", &franks, "SELECT ssn FROM people WHERE id = 8");
    lockgate_tests::process::eventually("it is listed", Duration::from_secs(5), || sessions(&franks).len() == 1);
    let id = sessions(&franks).remove(0);
    let rows = |token: &str| {
        let (status, text) = api::call(gateway, "GET", &format!("/api/v1/sessions/{id}/events"), Some(token), None);
        (status, text.to_string().contains("SSN-CANARY-0"))
    };
    assert_eq!(rows(&franks), (200, true));
    assert_eq!(rows(&gateway.token("frank", &["engineers"])), (200, false));
}
