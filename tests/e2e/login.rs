//! Who gets in, who does not, and what a stranger learns.

use lockgate_tests::process::{self, eventually};
use lockgate_tests::wire::{self, Client};
use lockgate_tests::{Scene, scene};
use std::time::{Duration, Instant};

fn try_login(scene: &Scene, user: &str, database: &str, token: &str) -> Result<Client, wire::Frame> {
    Client::login_with(scene.gateway.port, &[("user", user), ("database", database)], token)
}

fn code(refused: Result<Client, wire::Frame>) -> String {
    refused.expect_err("was let in").field(b'C').unwrap()
}

#[test]
fn psql_logs_in_over_tls_and_in_clear_from_loopback() {
    let scene = scene();
    let alice = scene.alice();
    for mode in ["disable", "require"] {
        let mut psql = scene.gateway.psql("alice", &alice);
        assert_eq!(process::run(psql.env("PGSSLMODE", mode).args(["-Atc", "SELECT 1"])).trim(), "1", "{mode}");
    }
    let mut psql = scene.gateway.psql("alice", &alice);
    psql.env("PGSSLMODE", "verify-full").env("PGSSLROOTCERT", scene.gateway.authority()).args(["-Atc", "SELECT 2"]);
    assert_eq!(process::run(&mut psql).trim(), "2");
}

#[test]
fn scram_is_spoken_and_bound_to_the_channel() {
    let scene = scene();
    let alice = scene.alice();
    for binding in ["disable", "prefer", "require"] {
        let mut psql = scene.gateway.psql("alice", &alice);
        psql.env("PGSSLMODE", "require").env("PGCHANNELBINDING", binding).args(["-Atc", "SELECT 3"]);
        assert_eq!(process::run(&mut psql).trim(), "3", "channel_binding={binding}");
    }
}

#[test]
fn wrong_expired_revoked_and_foreign_tokens_are_refused() {
    let scene = Scene::with(15, |options| {
        let (port, database) = (options.target_port, &options.database);
        options.target_extra.push_str(&format!(
            "\n  - name: elsewhere\n    protocol: postgres\n    address: 127.0.0.1:{port}\n    database: {database}\n    username: app\n    password: x\n    tls: disable"
        ));
    });
    let alice = scene.alice();
    let mut wrong = alice.clone();
    let last = wrong.pop().unwrap();
    wrong.push(if last == 'a' { 'b' } else { 'a' });
    let revoked = scene.gateway.token_with("alice", &["engineers"], &[]);
    scene.gateway.here_ok(&["token", "revoke", revoked["id"].as_str().unwrap()]);
    let expired = scene.gateway.token_with("alice", &["engineers"], &["--ttl", "1s"]);
    let other_target = scene.gateway.token_with("alice", &["engineers"], &["--target", "elsewhere"]);
    std::thread::sleep(Duration::from_millis(1_500));
    let secret = |token: &serde_json::Value| token["token"].as_str().unwrap().to_owned();
    for (what, token) in [
        ("wrong", wrong),
        ("empty", String::new()),
        ("not a token", "hunter2".to_owned()),
        ("revoked", secret(&revoked)),
        ("expired", secret(&expired)),
        ("another user's", scene.frank()),
        ("for another target", secret(&other_target)),
    ] {
        let refused = try_login(&scene, "alice", "shop", &token).expect_err(what);
        let code = refused.field(b'C').unwrap();
        // A good token for something else is an identity without the permission, not a wrong password.
        let expected: &[&str] = if what == "for another target" { &["42501", "28000"] } else { &["28000", "28P01"] };
        assert!(expected.contains(&code.as_str()), "{what}: {refused:?}");
        assert!(
            refused.field(b'H').or(refused.field(b'D')).is_some(),
            "{what} says nothing about what to do: {refused:?}"
        );
        assert!(!token.contains("lg_") || !format!("{refused:?}").contains(&token), "{what}: the token is repeated");
    }
    assert!(try_login(&scene, "alice", "shop", &alice).is_ok(), "and the right one still works");
}

#[test]
fn another_users_token_proves_nothing_by_any_method() {
    let scene = scene();
    let (alice, frank) = (scene.alice(), scene.frank());
    for (how, tls) in [
        ("", "disable"),
        ("", "require"),
        ("-c lockgate.auth=token", "disable"),
        ("-c lockgate.auth=token", "require"),
        ("-c lockgate.auth=scram-sha-256", "disable"),
        ("-c lockgate.auth=scram-sha-256", "require"),
    ] {
        let attempt = |user: &str, token: &str| {
            let mut psql = scene.gateway.psql(user, token);
            psql.env("PGSSLMODE", tls).env("PGOPTIONS", how).args(["-Atc", "SELECT 'in'"]);
            process::output(&mut psql)
        };
        for (user, token) in [("alice", &frank), ("frank", &alice), ("Alice", &alice), ("nobody", &alice)] {
            let refused = attempt(user, token);
            let said = process::text(&refused);
            assert!(!refused.status.success() && said.contains("login refused"), "{how} {tls} {user}: {said}");
        }
        for (user, token) in [("alice", &alice), ("frank", &frank)] {
            assert_eq!(process::text(&attempt(user, token)).trim(), "in", "{how} {tls} {user}");
        }
    }
    let opened: Vec<String> = scene
        .gateway
        .events()
        .iter()
        .filter(|event| event["event"] == "session_opened")
        .map(|event| event["user"].to_string())
        .collect();
    assert_eq!(opened.len(), 12, "{opened:?}");
}

#[test]
fn who_is_refused_is_told_of_the_link() {
    let scene = scene();
    for how in ["token", "scram-sha-256"] {
        let mut psql = scene.gateway.psql("alice", "no token of anybody's");
        psql.env("PGSSLMODE", "require").env("PGOPTIONS", format!("-c lockgate.auth={how}"));
        let refused = process::text(&process::output(psql.args(["-c", "SELECT 1"])));
        assert!(refused.contains("login refused") && refused.contains("lockgate.auth=link"), "{how}: {refused}");
    }
}

#[test]
fn a_stranger_cannot_tell_what_exists() {
    let scene = scene();
    let refused = |user: &str, database: &str| {
        let frame = try_login(&scene, user, database, "lg_00000000000000000000000000000000000000000000").unwrap_err();
        // Session ids differ; nothing else may.
        let words =
            |which: u8| frame.field(which).unwrap_or_default().replace(user, "USER").replace(database, "DATABASE");
        let strip =
            |text: String| text.split_whitespace().filter(|word| word.len() != 26).collect::<Vec<_>>().join(" ");
        (words(b'C'), strip(words(b'M')), strip(words(b'D')), strip(words(b'H')))
    };
    scene.alice();
    let known = refused("alice", "shop");
    assert_eq!(known, refused("nobody-at-all", "shop"), "a user's existence shows");
    assert_eq!(known, refused("alice", "no-such-target"), "a target's existence shows");
    assert_eq!(known, refused("nobody-at-all", "no-such-target"));
}

#[test]
fn an_unknown_target_and_one_without_permission_look_alike() {
    let scene = scene();
    let alice = scene.alice();
    let guest = scene.gateway.token("guest", &["guests"]);
    assert!(["3D000", "28000", "42501"].contains(&code(try_login(&scene, "alice", "no-such-target", &alice)).as_str()));
    let unknown = try_login(&scene, "guest", "no-such-target", &guest).unwrap_err();
    let forbidden = try_login(&scene, "guest", "shop", &guest).unwrap_err();
    assert_eq!(unknown.field(b'C'), forbidden.field(b'C'), "{unknown:?} {forbidden:?}");
    // Another database of the same server is not to be had for a TARGET/DATABASE that nobody configured.
    assert!(try_login(&scene, "alice", "shop/postgres", &alice).is_err());
}

#[test]
fn nothing_reaches_the_target_before_an_identity_is_proven() {
    let target = lockgate_tests::fake::FakeTarget::start(drop);
    let scene = Scene::through(target.port);
    let before = target.connections();
    let mut half = Client::connect(scene.gateway.port);
    half.send_raw(&wire::startup(3 << 16, &[("user", "alice"), ("database", "shop")]));
    assert!(try_login(&scene, "alice", "shop", "wrong").is_err());
    std::thread::sleep(Duration::from_millis(300));
    assert_eq!(target.connections(), before, "the gateway dialled for a stranger");
}

#[test]
fn a_revoked_token_ends_its_session_within_a_second() {
    let scene = scene();
    let token = scene.gateway.token_with("alice", &["engineers"], &[]);
    let secret = token["token"].as_str().unwrap();
    let mut idle = Client::login(scene.gateway.port, "alice", secret);
    let mut busy = Client::login(scene.gateway.port, "alice", secret);
    busy.send(b'Q', &wire::text("SELECT pg_sleep(30)"));
    std::thread::sleep(Duration::from_millis(300));
    scene.gateway.here_ok(&["token", "revoke", token["id"].as_str().unwrap()]);
    let revoked = Instant::now();
    // A second is what is promised; the rest is for a loaded machine.
    assert!(idle.is_closed_within(Duration::from_secs(3)), "an idle session lives on");
    assert!(busy.is_closed_within(Duration::from_secs(3)), "a busy session lives on");
    assert!(revoked.elapsed() < Duration::from_secs(3));
    assert!(String::from_utf8_lossy(&idle.seen).contains("57P01"), "{:?}", String::from_utf8_lossy(&idle.seen));
    eventually("the statement on the target is cancelled", Duration::from_secs(10), || {
        scene.directly("SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%pg_sleep(30)%' AND datname = current_database() AND usename = 'app' AND state = 'active'") == "0"
    });
}

#[test]
fn an_expired_token_ends_its_session() {
    let scene = scene();
    let token = scene.gateway.token_with("alice", &["engineers"], &["--ttl", "3s"]);
    let mut client = Client::login(scene.gateway.port, "alice", token["token"].as_str().unwrap());
    assert_eq!(client.value("SELECT 1"), "1");
    assert!(client.is_closed_within(Duration::from_secs(6)));
}

#[test]
fn the_target_knows_the_identity_and_the_client_never_the_password() {
    let scene = scene();
    let alice = scene.alice();
    let parameters = [("user", "alice"), ("database", "shop")];
    let mut client = Client::login_with(scene.gateway.port, &parameters, &alice).unwrap();
    assert_eq!(client.value("SELECT current_user"), "app");
    let name = scene.directly("SELECT string_agg(application_name, ' ') FROM pg_stat_activity WHERE usename = 'app' AND datname = current_database()");
    assert!(name.contains("alice"), "pg_stat_activity shows `{name}`");
    // A client that names itself keeps its name; the session comment still says who it is.
    let named = [("user", "alice"), ("database", "shop"), ("application_name", "billing")];
    let mut client = Client::login_with(scene.gateway.port, &named, &alice).unwrap();
    assert_eq!(client.value("SELECT 'from billing'"), "from billing");
    let log = scene.postgres.log();
    let of_database = log.lines().filter(|line| line.contains(&scene.database) && line.contains("app=billing"));
    assert!(of_database.into_iter().any(|line| line.contains("alice")), "the target's log does not name alice");
    for place in [String::from_utf8_lossy(&client.seen).into_owned(), scene.gateway.log()] {
        assert!(!place.contains(lockgate_tests::postgres::PASSWORD));
        assert!(!place.contains(&alice));
    }
}

#[test]
fn startup_parameters_pass_a_list() {
    let scene = scene();
    let alice = scene.alice();
    let login = |extra: (&str, &str)| {
        Client::login_with(scene.gateway.port, &[("user", "alice"), ("database", "shop"), extra], &alice)
    };
    let mut dated = login(("DateStyle", "German")).unwrap();
    assert_eq!(dated.value("SELECT '2026-11-21'::date::text"), "21.11.2026");
    assert_eq!(login(("TimeZone", "Asia/Tokyo")).unwrap().value("SHOW timezone"), "Asia/Tokyo");
    for (name, value) in [
        ("options", "-c role=postgres"),
        ("role", "postgres"),
        ("session_authorization", "postgres"),
        ("replication", "database"),
        ("replication", "true"),
    ] {
        match login((name, value)) {
            Err(frame) => assert!(frame.field(b'C').is_some()),
            Ok(mut client) => {
                assert_eq!(client.value("SELECT current_user || session_user"), "appapp", "{name}={value}");
                let refused = client.query("IDENTIFY_SYSTEM");
                wire::error(&refused);
            }
        }
    }
}

#[test]
fn the_backend_pid_is_the_servers() {
    let scene = scene();
    let mut client = Client::login(scene.gateway.port, "alice", &scene.alice());
    let key = client.key.clone().expect("BackendKeyData");
    let pid = u32::from_be_bytes(key[..4].try_into().unwrap());
    assert_eq!(client.value("SELECT pg_backend_pid()"), pid.to_string());
}

#[test]
fn guessing_slows_down_and_only_for_who_guesses() {
    let scene = scene();
    let (alice, bob) = (scene.alice(), scene.gateway.token("bob", &["engineers"]));
    let took = |user: &str, token: &str, options: &str, good: bool| {
        let begun = Instant::now();
        let parameters = [("user", user), ("database", "shop"), ("options", options)];
        let outcome = Client::login_with(scene.gateway.port, &parameters, token);
        assert_eq!(outcome.is_ok(), good, "{user}");
        begun.elapsed()
    };
    // By the token itself and by SCRAM alike.
    for (guessed, options) in [("carol", ""), ("erin", "-c lockgate.auth=scram-sha-256"), ("alice", "")] {
        for _ in 0..3 {
            took(guessed, "lg_wrong", options, false);
        }
        let late: Vec<Duration> = (0..3).map(|_| took(guessed, "lg_wrong", options, false)).collect();
        assert!(late[0] >= Duration::from_millis(240) && late[2] >= Duration::from_millis(900), "{guessed}: {late:?}");
    }
    // Side by side, so that a loaded machine is as slow for all: nobody else waits as a guesser does, nor does a right token
    // pay for wrong ones.
    std::thread::scope(|scope| {
        let guesses: Vec<_> = (0..8).map(|_| scope.spawn(|| took("alice", "lg_wrong", "", false))).collect();
        let mut others: Vec<Duration> = (0..7).map(|_| took("bob", &bob, "", true)).collect();
        let guesses = guesses.into_iter().map(|guess| guess.join().unwrap()).min().unwrap();
        others.sort();
        assert!(guesses >= Duration::from_millis(1_990), "{guesses:?}");
        assert!(others[3] < guesses, "others wait too: {others:?}, who guesses {guesses:?}");
        let right = took("alice", &alice, "", true);
        assert!(right < guesses, "{right:?}, a wrong one {guesses:?}");
    });
}
