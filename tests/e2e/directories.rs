//! Directories that push people and groups (SCIM 2.0), in the words of Okta and Entra ID, and what becomes of sessions that live.

use lockgate_tests::process::{self, eventually};
use lockgate_tests::wire::{self, Client};
use lockgate_tests::{Scene, api};
use serde_json::{Value, json};
use std::time::{Duration, Instant};

const SECRET: &str = "corp-CANARY-0123456789abcdef0123456789abcdef";
const OTHER: &str = "other-CANARY-0123456789abcdef0123456789abcde";

fn scene() -> Scene {
    Scene::with(15, |options| {
        options.identity =
            format!("  scim:\n    - {{name: corp, token: {SECRET}}}\n    - {{name: other, token: {OTHER}}}\n");
    })
}

fn scim(scene: &Scene, method: &str, path: &str, body: Option<Value>) -> (u16, Value) {
    api::call(&scene.gateway, method, &format!("/scim/v2/{path}"), Some(SECRET), body.as_ref())
}

/// What has to be done.
fn done(scene: &Scene, method: &str, path: &str, body: Value) -> Value {
    let (status, answer) = scim(scene, method, path, Some(body));
    assert!((200..300).contains(&status), "{method} {path}: {status} {answer}");
    answer
}

fn id(resource: &Value) -> String {
    resource["id"].as_str().unwrap_or_else(|| panic!("{resource}")).to_owned()
}

/// Somebody as Okta creates them.
fn person(scene: &Scene, name: &str) -> String {
    id(&done(
        scene,
        "POST",
        "Users",
        json!({"schemas": ["urn:ietf:params:scim:schemas:core:2.0:User"], "userName": name, "externalId": format!("00u-{name}"),
               "name": {"givenName": name, "familyName": "X"}, "emails": [{"primary": true, "value": name, "type": "work"}],
               "displayName": format!("{name} X"), "locale": "en-US", "groups": [], "password": "PW-CANARY", "active": true}),
    ))
}

fn group(scene: &Scene, name: &str, members: &[&str]) -> String {
    let members: Vec<Value> = members.iter().map(|id| json!({"value": id, "display": "x"})).collect();
    id(&done(
        scene,
        "POST",
        "Groups",
        json!({"schemas": ["urn:ietf:params:scim:schemas:core:2.0:Group"], "displayName": name, "members": members}),
    ))
}

fn patch(scene: &Scene, path: &str, operations: Value) {
    done(
        scene,
        "PATCH",
        path,
        json!({"schemas": ["urn:ietf:params:scim:api:messages:2.0:PatchOp"], "Operations": operations}),
    );
}

fn is_in(scene: &Scene, user: &str, token: &str) -> bool {
    Client::login_with(scene.gateway.port, &[("user", user), ("database", "shop")], token).is_ok()
}

fn ended(client: &mut Client, why: &str) {
    assert!(client.is_closed_within(Duration::from_millis(1_000)), "it lives on");
    let seen = String::from_utf8_lossy(&client.seen).into_owned();
    assert!(seen.contains(why), "{seen}");
}

#[test]
fn a_directory_as_okta_and_entra_speak_to_it() {
    let scene = scene();
    // What they ask first.
    let (status, config) = scim(&scene, "GET", "ServiceProviderConfig", None);
    assert_eq!(
        (status, &config["patch"]["supported"], &config["bulk"]["supported"]),
        (200, &json!(true), &json!(false))
    );
    for path in ["Schemas", "ResourceTypes"] {
        assert_eq!(scim(&scene, "GET", path, None).1["totalResults"], 2, "{path}");
    }
    let (_, none) = scim(&scene, "GET", "Users?filter=userName%20eq%20%22alice%22&startIndex=1&count=100", None);
    assert_eq!((&none["totalResults"], &none["Resources"]), (&json!(0), &json!([])));

    let alice = person(&scene, "alice");
    let (status, again) = scim(&scene, "POST", "Users", Some(json!({"userName": "Alice"})));
    assert_eq!((status, &again["scimType"], &again["status"]), (409, &json!("uniqueness"), &json!("409")), "{again}");
    for filter in
        ["userName%20eq%20%22ALICE%22", "externalId%20eq%20%2200u-alice%22", &format!("id%20eq%20%22{alice}%22")]
    {
        let (status, found) = scim(&scene, "GET", &format!("Users?filter={filter}"), None);
        assert_eq!(
            (status, &found["totalResults"], &found["Resources"][0]["id"]),
            (200, &json!(1), &json!(alice)),
            "{filter}: {found}"
        );
    }
    let (status, refused) = scim(&scene, "GET", "Users?filter=active%20eq%20true", None);
    assert_eq!((status, &refused["scimType"]), (400, &json!("invalidFilter")));

    // Entra ID creates somebody who is not active, and changes one thing after the other.
    let bob = done(
        &scene,
        "POST",
        "Users",
        json!({"schemas": ["urn:ietf:params:scim:schemas:core:2.0:User", "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User"],
               "externalId": "bob-1", "userName": "bob", "active": false, "meta": {"resourceType": "User"}}),
    );
    assert_eq!(bob["active"], json!(false), "{bob}");
    let bob = id(&bob);
    patch(
        &scene,
        &format!("Users/{bob}"),
        json!([{"op": "Replace", "path": "displayName", "value": "Bob"}, {"op": "Add", "path": "active", "value": "True"}]),
    );
    let (_, shown) = scim(&scene, "GET", &format!("Users/{bob}"), None);
    assert_eq!(
        (&shown["active"], &shown["displayName"], &shown["externalId"]),
        (&json!(true), &json!("Bob"), &json!("bob-1")),
        "{shown}"
    );
    done(&scene, "PUT", &format!("Users/{bob}"), json!({"userName": "robert", "active": true}));
    let (_, shown) = scim(&scene, "GET", &format!("Users/{bob}"), None);
    assert_eq!((&shown["userName"], &shown["displayName"]), (&json!("robert"), &Value::Null), "{shown}");

    // Groups, with members in every form.
    let dba = group(&scene, "dba", &[&alice]);
    patch(
        &scene,
        &format!("Groups/{dba}"),
        json!([{"op": "Add", "path": "members", "value": [{"$ref": null, "value": bob}]}]),
    );
    let members = |id: &str| {
        let (_, shown) = scim(&scene, "GET", &format!("Groups/{id}"), None);
        shown["members"].as_array().unwrap_or_else(|| panic!("{shown}")).len()
    };
    assert_eq!(members(&dba), 2);
    let (_, shown) = scim(&scene, "GET", &format!("Users/{alice}"), None);
    assert_eq!(shown["groups"], json!([{"value": dba, "display": "dba"}]), "{shown}");
    let (_, brief) = scim(&scene, "GET", "Groups?excludedAttributes=members&filter=displayName%20eq%20%22DBA%22", None);
    assert_eq!((&brief["totalResults"], &brief["Resources"][0]["members"]), (&json!(1), &Value::Null), "{brief}");
    patch(
        &scene,
        &format!("Groups/{dba}"),
        json!([{"op": "remove", "path": format!("members[value eq \"{alice}\"]")}]),
    );
    patch(&scene, &format!("Groups/{dba}"), json!([{"op": "replace", "value": {"id": dba, "displayName": "dbas"}}]));
    assert_eq!(members(&dba), 1);
    let (status, refused) = scim(
        &scene,
        "PATCH",
        &format!("Groups/{dba}"),
        Some(json!({"Operations": [{"op": "add", "path": "members", "value": [{"value": "nobody"}]}]})),
    );
    assert_eq!((status, &refused["scimType"]), (400, &json!("invalidValue")), "{refused}");
    assert_eq!(scim(&scene, "DELETE", &format!("Groups/{dba}"), None).0, 204);
    assert_eq!(scim(&scene, "GET", &format!("Groups/{dba}"), None).0, 404);

    // Pages.
    for number in 0..5 {
        person(&scene, &format!("p{number}"));
    }
    let mut seen = Vec::new();
    for start in [1, 4, 7] {
        let (_, page) = scim(&scene, "GET", &format!("Users?startIndex={start}&count=3"), None);
        assert_eq!((&page["totalResults"], &page["startIndex"]), (&json!(7), &json!(start)));
        seen.extend(page["Resources"].as_array().unwrap().iter().map(id));
    }
    seen.sort();
    seen.dedup();
    assert_eq!(seen.len(), 7);
    assert_eq!(scim(&scene, "GET", "Users?count=0", None).1["Resources"], json!([]));

    assert_eq!(scim(&scene, "DELETE", &format!("Users/{alice}"), None).0, 204);
    for method in ["GET", "DELETE"] {
        let (status, gone) = scim(&scene, method, &format!("Users/{alice}"), None);
        assert_eq!(
            (status, &gone["schemas"][0]),
            (404, &json!("urn:ietf:params:scim:api:messages:2.0:Error")),
            "{gone}"
        );
    }
    for (method, path, body) in [
        ("POST", "Users", json!({"userName": ""})),
        ("POST", "Users", json!({"displayName": "x"})),
        ("POST", "Users", json!(["x"])),
        ("POST", "Users", json!({"userName": "x", "username": "y"})),
        ("POST", "Users", json!({"userName": " x"})),
        (
            "PATCH",
            &*format!("Users/{bob}"),
            json!({"Operations": [{"op": "replace", "path": "activ", "value": false}]}),
        ),
        ("PUT", &*format!("Users/{bob}"), json!({"userName": "robert", "active": "maybe"})),
    ] {
        let (status, answer) = scim(&scene, method, path, Some(body.clone()));
        assert_eq!((status, &answer["status"]), (400, &json!("400")), "{method} {path} {body}: {answer}");
    }
    // What it did is on record, as what it did.
    let acts = |scene: &Scene| -> Vec<String> {
        let events = scene.gateway.events();
        let of_it = events.iter().filter(|event| event["event"] == "administered" && event["by"] == "scim:corp");
        of_it.map(|act| format!("{} {}", act["what"].as_str().unwrap(), act["subject"].as_str().unwrap())).collect()
    };
    let wanted = [
        "user.created alice",
        "user.created bob",
        "user.enabled bob",
        "user.changed bob",
        "user.revoked bob",
        "user.renamed robert",
        "user.changed robert",
        "group.created dba",
        "group.members dba",
        "group.members dba",
        "group.renamed dbas",
        "group.removed dbas",
        "user.created p0",
        "user.created p1",
        "user.created p2",
        "user.created p3",
        "user.created p4",
        "user.revoked alice",
        "user.removed alice",
    ];
    let is_last = |act: &String| act == "user.removed alice";
    eventually("the last act is on record", Duration::from_secs(5), || acts(&scene).iter().any(is_last));
    assert_eq!(acts(&scene), wanted);
    scene.gateway.verify();
    let events = scene.gateway.here_ok(&["audit", "export"]);
    let store =
        String::from_utf8_lossy(&std::fs::read(scene.gateway.data_dir().join("lockgate.db")).unwrap_or_default())
            .into_owned();
    for canary in [SECRET, OTHER, "PW-CANARY"] {
        assert!(
            !events.contains(canary) && !scene.gateway.log().contains(canary) && !store.contains(canary),
            "{canary}"
        );
    }
}

#[test]
fn a_directory_has_nothing_to_say_about_another() {
    let scene = scene();
    let alice = person(&scene, "alice");
    let other = |method: &str, path: &str, secret: Option<&str>, body: Option<Value>| {
        api::call(&scene.gateway, method, &format!("/scim/v2/{path}"), secret, body.as_ref()).0
    };
    let theirs = format!("Users/{alice}");
    for method in ["GET", "DELETE"] {
        assert_eq!(other(method, &theirs, Some(OTHER), None), 404);
    }
    assert_eq!(other("PUT", &theirs, Some(OTHER), Some(json!({"userName": "alice", "active": false}))), 404);
    assert_eq!(other("GET", "Users", Some(OTHER), None), 200);
    assert_eq!(scim(&scene, "GET", "Users", None).1["totalResults"], 1);
    let olga = scene.olga();
    for secret in [None, Some(""), Some(&SECRET[1..]), Some(olga.as_str())] {
        for (method, path) in [("GET", "Users"), ("GET", "ServiceProviderConfig"), ("DELETE", theirs.as_str())] {
            assert_eq!(other(method, path, secret, None), 401, "{method} {path} {secret:?}");
        }
    }
    // And its secret opens nothing else.
    assert_eq!(api::call(&scene.gateway, "GET", "/api/v1/whoami", Some(SECRET), None).0, 401);
    assert!(!is_in(&scene, "alice", SECRET));
    eventually("it is on record", Duration::from_secs(5), || {
        format!("{:?}", scene.gateway.events()).contains("no directory has this secret")
    });
}

#[test]
fn who_is_switched_off_is_out_at_once_with_every_agent() {
    let scene = scene();
    let bob = person(&scene, "bob");
    group(&scene, "engineers", &[&bob]);
    let token = scene.gateway.token("bob", &["engineers"]);
    // The directory knows bob's groups, so nobody has to name them.
    let agent = scene.gateway.token_with("bot", &["engineers"], &["--kind", "agent", "--on-behalf-of", "bob"]);
    let agent = agent["token"].as_str().unwrap().to_owned();
    let mut alice = Client::login(scene.gateway.port, "alice", &scene.alice());
    for (switch_off, why) in [
        (json!([{"op": "replace", "value": {"active": false}}]), "`bob` is disabled in `scim:corp`"),
        (json!([{"op": "Replace", "path": "active", "value": "False"}]), "`bob` is disabled in `scim:corp`"),
    ] {
        let mut clients = [("bob", &token), ("bot", &agent), ("bob", &token)]
            .map(|(user, token)| Client::login(scene.gateway.port, user, token));
        for client in &mut clients {
            assert_eq!(client.value("SELECT 1"), "1");
        }
        // One is in the middle of a result, one of them runs something, one is idle.
        clients[0].send(b'Q', &wire::text("SELECT repeat('x', 1000), generate_series(1, 100000000)"));
        assert_eq!(clients[0].frame().tag, b'T');
        clients[1].send(b'Q', &wire::text("SELECT pg_sleep(60)"));
        patch(&scene, &format!("Users/{bob}"), switch_off);
        // On the next statement at the latest.
        clients[2].send(b'Q', &wire::text("SELECT 'late'"));
        let begun = Instant::now();
        for client in &mut clients {
            assert!(client.is_closed_within(Duration::from_secs(2)), "it lives on");
        }
        assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
        for client in &clients[1..] {
            let seen = String::from_utf8_lossy(&client.seen);
            assert!(seen.contains(why) && !seen.contains("late\0") && !seen.contains("\u{4}late"), "{seen}");
        }
        assert!(!is_in(&scene, "bob", &token) && !is_in(&scene, "bot", &agent));
        for token in [&token, &agent] {
            assert_eq!(api::call(&scene.gateway, "GET", "/api/v1/whoami", Some(token), None).0, 401);
        }
        patch(&scene, &format!("Users/{bob}"), json!([{"op": "replace", "value": {"active": true}}]));
        assert!(is_in(&scene, "bob", &token) && is_in(&scene, "bot", &agent));
    }
    let mut client = Client::login(scene.gateway.port, "bot", &agent);
    assert_eq!(scim(&scene, "DELETE", &format!("Users/{bob}"), None).0, 204);
    ended(&mut client, "`bob` was removed from `scim:corp`");
    assert!(!is_in(&scene, "bob", &token) && !is_in(&scene, "bot", &agent), "who is gone stays out");
    let another = person(&scene, "Bob");
    group(&scene, "staff", &[&another]);
    assert!(!is_in(&scene, "bob", &token) && !is_in(&scene, "bot", &agent), "another bob is somebody else");
    assert_eq!(alice.value("SELECT 1"), "1", "others go on");
    scene.gateway.verify();
}

#[test]
fn groups_of_directory_and_token_are_judged_together() {
    let scene = scene();
    let ssn = "SELECT ssn FROM people WHERE id = 7";
    let (alice, carol) = (person(&scene, "alice"), person(&scene, "carol"));
    let engineers = group(&scene, "engineers", &[&alice, &carol]);
    let fraud = group(&scene, "fraud", &[&alice]);
    let sees = |user: &str, token: &str| scene.gateway.query(user, token, ssn).contains("SSN-CANARY");
    // The token says less, and so does the directory.
    let (less, same, none) = (
        scene.gateway.token("alice", &["engineers"]),
        scene.gateway.token("alice", &["engineers", "fraud"]),
        scene.gateway.token("alice", &[]),
    );
    assert_eq!([&less, &same, &none].map(|token| sees("alice", token)), [false, true, true]);
    assert!(!sees("carol", &scene.gateway.token("carol", &["engineers", "fraud"])));
    // Whom no directory knows has what the token says.
    assert!(sees("frank", &scene.frank()));

    // Out of the group, in the middle of a result.
    let mut clients = [&same, &none, &less].map(|token| Client::login(scene.gateway.port, "alice", token));
    clients[0]
        .send(b'Q', &wire::text("SELECT a.ssn FROM people a, people b, people c, people d, people e LIMIT 100000000"));
    assert_eq!(clients[0].frame().tag, b'T');
    let mut carols = Client::login(scene.gateway.port, "carol", &scene.gateway.token("carol", &["engineers"]));
    patch(
        &scene,
        &format!("Groups/{fraud}"),
        json!([{"op": "remove", "path": format!("members[value eq \"{alice}\"]")}]),
    );
    for client in &mut clients {
        assert!(client.is_closed_within(Duration::from_secs(2)), "it lives on");
    }
    assert!(String::from_utf8_lossy(&clients[1].seen).contains("have changed: connect again"));
    assert_eq!([&less, &same, &none].map(|token| sees("alice", token)), [false, false, false]);
    assert_eq!(carols.value("SELECT 1"), "1", "it is nothing to others");

    // Another name of the group is another group; one that comes back counts again.
    patch(&scene, &format!("Groups/{engineers}"), json!([{"op": "Replace", "path": "displayName", "value": "staff"}]));
    ended(&mut carols, "have changed: connect again");
    assert!(!is_in(&scene, "alice", &less));
    patch(
        &scene,
        &format!("Groups/{engineers}"),
        json!([{"op": "Replace", "path": "displayName", "value": "engineers"}]),
    );
    patch(&scene, &format!("Groups/{fraud}"), json!([{"op": "add", "path": "members", "value": [{"value": alice}]}]));
    assert!(sees("alice", &same));

    // Approving takes the group on both sides.
    let dana = scene.dana();
    let waiting = |token: &str| {
        let mut client = Client::login(scene.gateway.port, "frieda", &scene.gateway.token("frieda", &["engineers"]));
        client.send(b'Q', &wire::text("DELETE FROM notes WHERE id <= 1"));
        assert_eq!(client.frame().tag, b'N');
        let id = scene.pending(&dana);
        (scene.approve(token, &id).status.success(), client)
    };
    let token = scene.gateway.token("alice", &["dba"]);
    assert!(!waiting(&token).0, "the directory does not know alice as a DBA");
    let administers =
        |token: &str| api::call(&scene.gateway, "GET", "/api/v1/whoami", Some(token), None).1["admin"] == json!(true);
    let token = scene.gateway.token("alice", &["platform"]);
    assert!(!administers(&token));
    group(&scene, "platform", &[&alice]);
    assert!(administers(&token));
    let said = process::text(&scene.gateway.as_user(&token, &["whoami"]));
    assert!(said.contains("alice"), "{said}");
}

#[test]
fn a_directory_that_is_configured_no_more_counts_until_it_is_forgotten() {
    let scene = scene();
    let gateway = &scene.gateway;
    let (alice, bob) = (scene.alice(), gateway.token("bob", &["engineers"]));
    let (hers, his) = (person(&scene, "alice"), person(&scene, "bob"));
    group(&scene, "engineers", &[&hers, &his]);
    assert!(is_in(&scene, "alice", &alice) && is_in(&scene, "bob", &bob));
    patch(&scene, &format!("Users/{hers}"), json!([{"op": "replace", "value": {"active": false}}]));
    assert!(!is_in(&scene, "alice", &alice));
    let forget = || gateway.here(&["user", "forget", "--directory", "corp"]);
    let early = forget();
    assert_eq!(early.status.code(), Some(2), "it is configured: {early:?}");

    let config = std::fs::read_to_string(gateway.config()).expect("it is there");
    let without = config.replace(&format!("    - {{name: corp, token: {SECRET}}}\n"), "");
    assert_ne!(config, without);
    std::fs::write(gateway.config(), without).expect("it is written");
    gateway.reload();
    let gone = || gateway.log().contains("the directory is not configured any more");
    eventually("the log says so", Duration::from_secs(20), gone);
    assert!(!is_in(&scene, "alice", &alice), "nobody comes in again by a line that is gone");
    let forgotten = forget();
    assert!(forgotten.status.success(), "{forgotten:?}");
    // What she had is gone for good; a new token counts, and is judged by itself.
    assert!(!is_in(&scene, "alice", &alice));
    assert!(is_in(&scene, "alice", &scene.alice()));
    assert!(is_in(&scene, "bob", &bob), "whom it had not disabled goes on");
    assert_eq!(forget().status.code(), Some(1), "nobody is known of it any more");
    gateway.verify();
}
