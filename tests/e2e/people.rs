//! Local users, the gateway's own roles, what administrators did on record, and guessing: with a running gateway.

use lockgate_tests::api;
use lockgate_tests::process::eventually;
use lockgate_tests::wire::{self, Client};
use lockgate_tests::{Gateway, Scene, scene};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

const CANARIES: [&str; 3] = ["canary open sesame", "canary second word", "canary never right"];

/// Makes a local user with a password, as an administrator does.
fn make(gateway: &Gateway, admin: &str, user: &str, groups: &[&str], password: &str) {
    let body = json!({"user": user, "groups": groups, "password": password});
    let (status, answer) = api::call(gateway, "POST", "/api/v1/users", Some(admin), Some(&body));
    assert_eq!(status, 201, "{answer}");
}

/// Changes one's own password; the status.
fn own_password(gateway: &Gateway, token: &str, user: &str, current: &str, new: &str) -> u16 {
    let body = json!({"current": current, "password": new});
    api::call(gateway, "PUT", &format!("/api/v1/users/{user}/password"), Some(token), Some(&body)).0
}

fn files(dir: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}

/// What the gateway's own recording says of acts: event, what was done, to whom, by whom.
fn acts(gateway: &Gateway) -> Vec<(String, String, String, String)> {
    let word = |event: &Value, key: &str| event[key].as_str().unwrap_or_default().to_owned();
    let all = gateway.events();
    let told = all.iter().map(|e| {
        let subject = ["subject", "token_id", "approval", "session"].iter().map(|key| word(e, key));
        (
            word(e, "event"),
            word(e, "what"),
            subject.into_iter().find(|s| !s.is_empty()).unwrap_or_default(),
            word(e, "by"),
        )
    });
    told.collect()
}

#[test]
fn every_administrative_act_is_recorded_with_who_did_it_and_no_secret_is_kept() {
    let mut scene = Scene::with(15, |options| options.identity.push_str("  auditors: [group:audit]\n"));
    // While no gateway runs.
    scene.gateway.stop();
    let early = scene.gateway.token_with("early", &["engineers"], &[]);
    scene.gateway.here_ok(&["user", "add", "zoe", "--no-password", "--group", "staff"]);
    scene.gateway.here_ok(&["token", "revoke", early["id"].as_str().unwrap()]);
    scene.gateway.resume();

    let gateway = &scene.gateway;
    let (olga, alice) = (gateway.token("olga", &["platform"]), gateway.token("alice", &["engineers"]));
    make(gateway, &olga, "alice", &["engineers"], CANARIES[0]);
    let put = |path: &str, body: Value| api::call(gateway, "PUT", path, Some(&olga), Some(&body)).0;
    assert_eq!(put("/api/v1/users/alice/groups", json!({"groups": ["engineers", "platform"]})), 200);
    assert_eq!(own_password(gateway, &alice, "alice", CANARIES[2], CANARIES[1]), 403);
    assert_eq!(own_password(gateway, &alice, "alice", CANARIES[0], CANARIES[1]), 200);
    for word in ["disable", "enable"] {
        let path = format!("/api/v1/users/zoe/{word}");
        assert_eq!(api::call(gateway, "POST", &path, Some(&olga), None).0, 200);
    }
    let body = json!({"user": "carol", "ttl_seconds": 60});
    let (_, carol) = api::call(gateway, "POST", "/api/v1/tokens", Some(&olga), Some(&body));
    let carols = format!("/api/v1/tokens/{}", carol["id"].as_str().unwrap());
    assert_eq!(api::call(gateway, "DELETE", &carols, Some(&olga), None).0, 200);
    gateway.refuses_login("alice", "canary never right");
    let config = std::fs::read_to_string(gateway.config()).unwrap();
    std::fs::write(gateway.config(), config.replace("[group:audit]", "[user:vera]")).unwrap();
    gateway.reload();

    let expected = |what: &str, subject: &str, by: &str| {
        ("administered".to_owned(), what.to_owned(), subject.to_owned(), by.to_owned())
    };
    let uid = format!("uid {} on the gateway's machine", uid());
    let wanted = [
        expected("user.created", "zoe", &uid),
        expected("user.created", "alice", "olga"),
        expected("user.groups", "alice", "olga"),
        expected("user.password", "alice", "alice"),
        expected("user.disabled", "zoe", "olga"),
        expected("user.enabled", "zoe", "olga"),
        ("token_created".into(), String::new(), early["id"].as_str().unwrap().into(), uid.clone()),
        ("token_revoked".into(), String::new(), early["id"].as_str().unwrap().into(), uid.clone()),
        ("token_created".into(), String::new(), carol["id"].as_str().unwrap().into(), "olga".into()),
        ("token_revoked".into(), String::new(), carol["id"].as_str().unwrap().into(), "olga".into()),
    ];
    eventually("every act is on record", Duration::from_secs(10), || {
        let seen = acts(gateway);
        wanted.iter().all(|act| seen.iter().filter(|known| *known == act).count() == 1)
    });
    eventually("start, start and reload are on record", Duration::from_secs(10), || {
        let events = gateway.events();
        let count = |name: &str| events.iter().filter(|event| event["event"] == name).count();
        count("policy_loaded") >= 3 && count("config_reloaded") >= 1
    });
    let is_of_roles = |event: &Value| event["detail"] == "auditors with user:vera; auditors without group:audit";
    assert!(gateway.events().iter().any(|event| event["event"] == "config_reloaded" && is_of_roles(event)));
    let events = gateway.events();
    let failed: Vec<_> = events.iter().filter(|e| e["event"] == "login_failed").collect();
    let by = |protocol: &str| failed.iter().filter(|e| e["protocol"] == protocol).count();
    assert_eq!((by("sign-in"), by("postgres")), (1, 1), "{failed:?}");
    let found = gateway.here_ok(&["audit", "search", "user.password", "-o", "json"]);
    assert!(found.contains("alice"), "{found}");
    gateway.verify();

    // Not in recordings as they are read, not in files as they lie there, not in the log.
    let secrets =
        [&olga, &alice, &carol["token"].as_str().unwrap().to_owned(), &early["token"].as_str().unwrap().to_owned()];
    let secrets: Vec<String> = secrets.iter().map(|s| s.splitn(3, '_').nth(2).unwrap().to_owned()).collect();
    let all = gateway.here_ok(&["audit", "export"]) + &gateway.log();
    for secret in CANARIES.iter().copied().chain(secrets.iter().map(String::as_str)) {
        assert!(!all.contains(secret), "`{secret}` is told");
        for file in files(&gateway.data_dir()) {
            let bytes = std::fs::read(&file).unwrap();
            let holds = bytes.windows(secret.len()).any(|part| part == secret.as_bytes());
            assert!(!holds, "{} holds `{secret}`", file.display());
        }
    }
    assert!(!all.contains("argon2id"), "a verifier is told");
}

fn uid() -> u32 {
    use std::os::unix::fs::MetadataExt;
    std::fs::metadata("/proc/self").unwrap().uid()
}

#[test]
fn every_use_of_a_token_is_on_record() {
    let scene = scene();
    let gateway = &scene.gateway;
    let made = gateway.token_with("alice", &["engineers"], &[]);
    let (id, alice) = (made["id"].as_str().unwrap(), made["token"].as_str().unwrap());
    for _ in 0..3 {
        assert_eq!(api::call(gateway, "GET", "/api/v1/sessions", Some(alice), None).0, 200);
    }
    assert_eq!(api::call(gateway, "POST", "/api/v1/users", Some(alice), Some(&json!({"user": "eve"}))).0, 403);
    gateway.query("alice", alice, "SELECT 1");
    eventually("the session is on record", Duration::from_secs(5), || {
        let events = gateway.events();
        let of = |name: &str| events.iter().filter(|e| e["event"] == name && e["token_id"] == id).collect::<Vec<_>>();
        let used = of("token_used");
        let purposes: Vec<&str> = used.iter().map(|e| e["purpose"].as_str().unwrap()).collect();
        assert_eq!(purposes, ["GET /api/v1/sessions", "POST /api/v1/users"], "each once, also what was refused");
        assert!(used.iter().all(|e| e["user"] == "alice" && e["client"] == "127.0.0.1"));
        of("session_opened").len() == 1
    });
    eventually("its last use is told", Duration::from_secs(15), || {
        let listed: Value = serde_json::from_str(&gateway.here_ok(&["token", "list", "-o", "json"])).unwrap();
        api::find(&listed, "id", id).iter().any(|token| token["last_used"].is_string())
    });
}

#[test]
fn a_disabled_local_user_is_out_at_once() {
    let scene = scene();
    let gateway = &scene.gateway;
    let (olga, alice) = (gateway.token("olga", &["platform"]), scene.alice());
    make(gateway, &olga, "alice", &["engineers"], CANARIES[0]);
    let mut session = Client::login(gateway.port, "alice", &alice);
    assert_eq!(session.value("SELECT 1"), "1");
    // On the gateway's machine, so by another process.
    gateway.here_ok(&["user", "disable", "alice"]);
    assert!(session.is_closed_within(Duration::from_secs(1)), "her session goes on");
    gateway.refuses_login("alice", &alice);
    assert_eq!(api::call(gateway, "GET", "/api/v1/whoami", Some(&alice), None).0, 401);
    gateway.here_ok(&["user", "enable", "alice"]);
    assert_eq!(Client::login(gateway.port, "alice", &alice).value("SELECT 1"), "1");
}

#[test]
fn a_decision_on_an_approval_is_told_by_the_gateway_too() {
    let scene = scene();
    let (alice, dana) = (scene.alice(), scene.dana());
    let mut waiting = Client::login(scene.gateway.port, "alice", &alice);
    waiting.send(b'Q', &wire::text("DELETE FROM notes WHERE id <= 2"));
    let id = scene.pending(&dana);
    assert!(scene.approve(&dana, &id).status.success());
    waiting.until_ready();
    let told = acts(&scene.gateway);
    assert!(told.contains(&("approval_decided".into(), String::new(), id.clone(), "dana".into())), "{told:?}");
}

#[test]
fn an_auditor_sees_all_and_changes_nothing_and_no_role_gives_data() {
    let scene = Scene::with(15, |options| options.identity.push_str("  auditors: [group:audit]\n"));
    let gateway = &scene.gateway;
    let (olga, audrey) = (gateway.token("olga", &["platform"]), gateway.token("audrey", &["audit"]));
    let mut session = Client::login(gateway.port, "alice", &scene.alice());
    session.query("SELECT 'canary of a result'");
    // Who may reveal them is told values by errors and notices too.
    let frank = scene.frank();
    let told = gateway.refused("frank", &frank, "SELECT ssn::int FROM people WHERE id = 7");
    assert!(told.contains("SSN-CANARY-0007"), "{told}");
    for (token, role) in [(&olga, "admin"), (&audrey, "auditor")] {
        let (_, me) = api::call(gateway, "GET", "/api/v1/whoami", Some(token), None);
        assert_eq!(me["role"], role);
        let shown = gateway.as_user(token, &["whoami"]);
        assert!(String::from_utf8_lossy(&shown.stdout).contains(role));
        eventually("the session is listed", Duration::from_secs(5), || {
            let (_, list) = api::call(gateway, "GET", "/api/v1/sessions", Some(token), None);
            !api::find(&list, "user", "alice").is_empty()
        });
        let (_, list) = api::call(gateway, "GET", "/api/v1/sessions?user=alice", Some(token), None);
        let id = list["sessions"][0]["id"].as_str().unwrap().to_owned();
        let (status, events) = api::call(gateway, "GET", &format!("/api/v1/sessions/{id}/events"), Some(token), None);
        assert_eq!(status, 200);
        assert!(events.to_string().contains("SELECT"), "what was asked is there");
        assert!(!events.to_string().contains("\"event\":\"rows\""), "and what came back is not: {events}");
        eventually("frank's session is listed", Duration::from_secs(5), || {
            let (_, list) = api::call(gateway, "GET", "/api/v1/sessions?user=frank", Some(token), None);
            !api::find(&list, "user", "frank").is_empty()
        });
        let (_, list) = api::call(gateway, "GET", "/api/v1/sessions?user=frank", Some(token), None);
        let franks = list["sessions"][0]["id"].as_str().unwrap();
        let (_, events) = api::call(gateway, "GET", &format!("/api/v1/sessions/{franks}/events"), Some(token), None);
        let events = events.to_string();
        assert!(events.contains("22P02") && !events.contains("SSN-CANARY"), "{events}");
        // Neither gets in where a policy does not let them.
        let user = if role == "admin" { "olga" } else { "audrey" };
        gateway.refuses_login(user, token);
        let kill = format!("/api/v1/sessions/{id}/kill");
        if role == "auditor" {
            assert_eq!(api::call(gateway, "POST", &kill, Some(token), None).0, 403);
        }
    }
    assert_eq!(session.value("SELECT 1"), "1", "nobody ended it");
}

/// How long the middle one of some logins takes that another user makes meanwhile.
fn median_login(gateway: &Gateway, user: &str, token: &str, times: usize) -> Duration {
    let mut took: Vec<Duration> = (0..times)
        .map(|_| {
            let begun = Instant::now();
            drop(Client::login(gateway.port, user, token));
            begun.elapsed()
        })
        .collect();
    took.sort_unstable();
    took[took.len() / 2]
}

#[test]
fn who_guesses_waits_on_every_way_in_and_nobody_else_does() {
    let scene = scene();
    let gateway = &scene.gateway;
    let (olga, alice, frank) = (gateway.token("olga", &["platform"]), scene.alice(), scene.frank());
    make(gateway, &olga, "alice", &["engineers"], CANARIES[0]);
    let quiet = median_login(gateway, "frank", &frank, 21);

    // With passwords: past a few nothing is looked at, not even the right one, for a second.
    let statuses: Vec<u16> = (0..5).map(|_| own_password(gateway, &alice, "alice", CANARIES[2], CANARIES[1])).collect();
    assert_eq!(statuses, [403; 5]);
    let begun = Instant::now();
    std::thread::scope(|scope| {
        for tried in [CANARIES[2], CANARIES[2], CANARIES[0]] {
            let (alice, begun) = (&alice, &begun);
            scope.spawn(move || {
                let status = own_password(gateway, alice, "alice", tried, CANARIES[0]);
                // Where the machine is so busy that the second is over, it may have been looked at.
                assert!(status == 429 || begun.elapsed() >= Duration::from_secs(1), "{status}");
            });
        }
    });
    eventually("the right one is looked at again", Duration::from_secs(30), || {
        own_password(gateway, &alice, "alice", CANARIES[0], CANARIES[1]) == 200
    });

    // On the database's own port: many side by side, each later than the one before.
    let guesses = std::sync::atomic::AtomicUsize::new(0);
    let over = std::sync::atomic::AtomicBool::new(false);
    let loud = std::thread::scope(|scope| {
        for _ in 0..16 {
            scope.spawn(|| {
                while !over.load(std::sync::atomic::Ordering::Relaxed) {
                    gateway.refuses_login("alice", "canary never right");
                    guesses.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                }
            });
        }
        std::thread::sleep(Duration::from_secs(3));
        let loud = median_login(gateway, "frank", &frank, 21);
        over.store(true, std::sync::atomic::Ordering::Relaxed);
        loud
    });
    let guesses = guesses.into_inner();
    assert!(guesses < 120, "{guesses} guesses in some seconds by 16 at once: each waits 2 s");
    assert!(loud < quiet * 2 + Duration::from_millis(20), "others log in in {loud:?}, before {quiet:?}");
    drop(Client::login(gateway.port, "alice", &alice));

    // On the API, from this one address; the answer says how long.
    let wrong = |n: usize| format!("lg_{n:012}_{}", "A".repeat(43));
    let refused: Vec<u16> =
        (0..40).map(|n| api::call(gateway, "GET", "/api/v1/whoami", Some(&wrong(n)), None).0).collect();
    assert_eq!(refused.iter().filter(|status| **status == 401).count(), 30);
    assert_eq!(refused.last(), Some(&429));
    // Whoever has a right token at the same address is not kept out.
    assert_eq!(api::call(gateway, "GET", "/api/v1/whoami", Some(&alice), None).0, 200);
}

#[test]
fn a_flood_of_refused_logins_does_not_fill_the_disk() {
    let scene = scene();
    let gateway = &scene.gateway;
    let next = std::sync::atomic::AtomicUsize::new(0);
    let most = lockgate_core::limits::REFUSALS_NOTED_PER_SOURCE_MAX as usize;
    std::thread::scope(|scope| {
        // Most are late, and what comes beside them takes turns; all of them are refusals.
        for _ in 0..2 * lockgate_core::limits::LATE_ANSWERS_PER_SOURCE_MAX {
            scope.spawn(|| {
                while let n = next.fetch_add(1, std::sync::atomic::Ordering::Relaxed)
                    && n < 2 * most
                {
                    let told = gateway.refuses_login(&format!("stranger{n}"), "lg_wrong");
                    assert_eq!(told.field(b'C').as_deref(), Some("28P01"), "{told:?}");
                }
            });
        }
    });
    let refused = gateway.events().into_iter().filter(|event| event["event"] == "login_failed").count();
    assert!((most..=most + 2).contains(&refused), "{refused} are on record");
    let metrics = api::metrics(gateway);
    let counted = metrics
        .lines()
        .find(|line| line.starts_with("lockgate_logins_refused_total"))
        .unwrap_or_else(|| panic!("{metrics}"));
    assert!(counted.ends_with(&format!(" {}", 2 * most)), "{counted}\n{metrics}");
}

#[test]
fn what_happens_first_is_counted() {
    let mut scene = scene();
    scene.gateway.kill();
    scene.gateway.launch();
    let gateway = &scene.gateway;
    // They are there before the gateway takes anybody: its ports are bound first.
    let connect = || std::net::TcpStream::connect(("127.0.0.1", gateway.port)).map(drop);
    let until = std::time::Instant::now() + Duration::from_secs(20);
    while let Err(error) = connect() {
        assert!(std::time::Instant::now() < until, "{error}");
        std::thread::sleep(Duration::from_millis(1));
    }
    std::thread::scope(|scope| {
        for n in 0..20 {
            scope.spawn(move || gateway.refuses_login(&format!("early{n}"), "lg_wrong"));
        }
    });
    let metrics = api::metrics(gateway);
    assert!(metrics.contains("lockgate_logins_refused_total{protocol=\"postgres\"} 20\n"), "{metrics}");
}
