//! The HTTP API and the command line over it.

use lockgate_core::limits::API_LOGIN_FAILURES_MAX;
use lockgate_tests::wire::{self, Client};
use lockgate_tests::{api, process, scene};
use serde_json::Value;

#[test]
fn health_and_readiness_need_no_credential_and_everything_else_does() {
    let scene = scene();
    let (_, document) = api::call(&scene.gateway, "GET", "/api/v1/openapi.json", None, None);
    let paths = document["paths"].as_object().unwrap_or_else(|| panic!("no OpenAPI document: {document}"));
    assert!(document["openapi"].as_str().unwrap().starts_with("3.1"));
    assert!(paths.len() >= 8, "{:?}", paths.keys());
    let mut open = Vec::new();
    let mut guesses = 0;
    for (path, operations) in paths {
        let filled = path.replace("{id}", "01ARZ3NDEKTSV4RRFFQ69G5FAV");
        for method in operations
            .as_object()
            .unwrap()
            .keys()
            .filter(|m| ["get", "post", "put", "patch", "delete"].contains(&m.as_str()))
        {
            for token in [None, Some("lg_wrong"), Some("")] {
                let (status, body) = api::call(&scene.gateway, &method.to_uppercase(), &filled, token, None);
                assert!(status < 500, "{method} {path}: {status} {body}");
                if status < 300 {
                    open.push(path.clone());
                } else if path.starts_with("/api/v1/login-requests") {
                    // Whoever asks for a login has no credential yet: what is brought is in the body.
                    assert_eq!(status, 400, "{method} {path} without a body: {body}");
                } else if status == 429 {
                    // Who guesses on is told to wait.
                    assert!(token == Some("lg_wrong") && guesses >= API_LOGIN_FAILURES_MAX, "{method} {path}: {body}");
                } else {
                    assert_eq!(status, 401, "{method} {path} without a credential: {body}");
                    guesses += u32::from(token == Some("lg_wrong"));
                }
            }
        }
    }
    open.dedup();
    assert!(
        // Anybody may ask for a login: somebody who is logged in has to confirm it.
        open.iter().all(|path| {
            path.contains("health")
                || path.contains("ready")
                || path.contains("openapi")
                || path.ends_with("/login-requests")
        }),
        "{open:?}"
    );
    assert!(!open.is_empty(), "health and readiness are for everybody");
}

#[test]
fn nobody_sees_or_changes_what_belongs_to_others() {
    let scene = scene();
    let (alice, frank, olga) = (scene.alice(), scene.frank(), scene.olga());
    let mut client = Client::login(scene.gateway.port, "alice", &alice);
    client.query("SELECT 'private to alice'");
    let refused = client.query("DELETE FROM notes");
    let id = wire::error(&refused).field(b'H').unwrap().split_whitespace().last().unwrap().to_owned();
    let (status, sessions) = api::call(&scene.gateway, "GET", "/api/v1/sessions", Some(&frank), None);
    assert!(status == 403 || (status == 200 && !sessions.to_string().contains(&id)), "{status} {sessions}");
    for path in [format!("/api/v1/sessions/{id}"), format!("/api/v1/sessions/{id}/events")] {
        let (status, body) = api::call(&scene.gateway, "GET", &path, Some(&frank), None);
        assert!(status == 403 || status == 404, "{path}: {status} {body}");
    }
    // Everybody may end a session of their own.
    let mut cuts = Vec::new();
    for (token, may, may_kill) in [(&frank, false, false), (&alice, false, true), (&olga, true, true)] {
        let created =
            scene.gateway.as_user(token, &["token", "create", "--user", "mallory", "--group", "dba", "-o", "json"]);
        assert_eq!(created.status.success(), may, "{}", process::text(&created));
        let mut session = Client::login(scene.gateway.port, "alice", &alice);
        let refused = session.query("DELETE FROM notes");
        let id = wire::error(&refused).field(b'H').unwrap().split_whitespace().last().unwrap().to_owned();
        let killed = scene.gateway.as_user(token, &["sessions", "kill", &id]);
        assert_eq!(killed.status.success(), may_kill, "{}", process::text(&killed));
        if may_kill {
            assert!(session.is_closed_within(std::time::Duration::from_secs(5)), "a killed session lives on");
            cuts.push((id, if may { "olga" } else { "alice" }));
        } else {
            assert_eq!(session.value("SELECT 1"), "1");
        }
    }
    // Who did it is on record, for each once, and for nobody else's.
    process::eventually("they are on record", std::time::Duration::from_secs(5), || {
        let events = scene.gateway.events();
        let seen = events.iter().filter(|event| event["event"] == "session_cut");
        let seen: Vec<_> =
            seen.map(|event| (event["session"].as_str().unwrap(), event["by"].as_str().unwrap())).collect();
        assert!(seen.len() <= cuts.len(), "{seen:?}");
        seen == cuts.iter().map(|(id, by)| (id.as_str(), *by)).collect::<Vec<_>>()
    });
    scene.gateway.verify();
}

#[test]
fn the_command_line_says_who_and_what() {
    let scene = scene();
    let alice = scene.alice();
    let whoami = scene.gateway.as_user(&alice, &["whoami"]);
    assert!(process::text(&whoami).contains("alice") && whoami.status.success(), "{}", process::text(&whoami));
    let targets = scene.gateway.as_user(&alice, &["targets", "-o", "json"]);
    assert!(process::text(&targets).contains("shop"));
    let guest = scene.gateway.token("guest", &["guests"]);
    let targets = scene.gateway.as_user(&guest, &["targets", "-o", "json"]);
    assert!(!process::text(&targets).contains("\"shop\""), "{}", process::text(&targets));
}

#[test]
fn exit_codes() {
    let scene = scene();
    let (alice, dana) = (scene.alice(), scene.dana());
    let code = |output: std::process::Output| output.status.code();
    assert_eq!(code(scene.gateway.as_user(&alice, &["whoami"])), Some(0));
    assert_eq!(code(scene.gateway.as_user(&alice, &["explode"])), Some(2));
    assert_eq!(code(scene.gateway.as_user("lg_wrong", &["whoami"])), Some(5));
    let expired = scene.gateway.token_with("alice", &["engineers"], &["--ttl", "1s"]);
    std::thread::sleep(std::time::Duration::from_millis(1_500));
    assert_eq!(code(scene.gateway.as_user(expired["token"].as_str().unwrap(), &["whoami"])), Some(5));
    let mut client = Client::login(scene.gateway.port, "alice", &alice);
    client.send(b'Q', &wire::text("DELETE FROM notes WHERE id = 1"));
    let id = scene.pending(&dana);
    assert_eq!(code(scene.approve(&alice, &id)), Some(3));
    assert_eq!(code(scene.approve(&dana, "01ARZ3NDEKTSV4RRFFQ69G5FAV")), Some(1));
    assert_eq!(code(scene.approve(&dana, &id)), Some(0));
}

#[test]
fn approvals_over_http() {
    let scene = scene();
    let (alice, dana) = (scene.alice(), scene.dana());
    let mut client = Client::login(scene.gateway.port, "alice", &alice);
    client.send(b'Q', &wire::text("DELETE FROM notes WHERE id = 1"));
    let id = scene.pending(&dana);
    let (status, shown) = api::call(&scene.gateway, "GET", &format!("/api/v1/approvals/{id}"), Some(&dana), None);
    assert_eq!(status, 200, "{shown}");
    assert!(shown.to_string().contains("DELETE FROM notes WHERE id = 1"));
    let body = Value::Object(serde_json::Map::new());
    let (status, answer) =
        api::call(&scene.gateway, "POST", &format!("/api/v1/approvals/{id}/approve"), Some(&dana), Some(&body));
    assert!((200..300).contains(&status), "{status} {answer}");
    assert!(client.until_ready().iter().any(|frame| frame.body == b"DELETE 1\0"));
}

#[test]
fn metrics_count_and_hold_no_names_of_people_or_values() {
    let scene = scene();
    let alice = scene.alice();
    scene.gateway.query("alice", &alice, "SELECT 'metric-canary'");
    let page = api::metrics(&scene.gateway);
    assert!(page.contains("lockgate_"), "{page}");
    for secret in ["metric-canary", &alice, lockgate_tests::postgres::PASSWORD] {
        assert!(!page.contains(secret));
    }
}
