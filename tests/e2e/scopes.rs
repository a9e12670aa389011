//! Tokens that are for some actions only: what policy permits beside these is refused, and said to be the token's doing.

use lockgate_tests::wire::Client;
use lockgate_tests::{process, scene};
use serde_json::{Value, json};
use std::time::Duration;

fn scoped(scene: &lockgate_tests::Scene, user: &str, groups: &[&str], actions: &str, more: &[&str]) -> String {
    let flags: Vec<&str> = ["--action", actions].iter().chain(more).copied().collect();
    scene.gateway.token_with(user, groups, &flags)["token"].as_str().unwrap().to_owned()
}

#[test]
fn a_token_for_reading_reads() {
    let scene = scene();
    let token = scoped(&scene, "alice", &["engineers"], "read", &[]);
    assert_eq!(scene.gateway.query("alice", &token, "SELECT count(*) FROM notes"), "20");
    for (sql, action) in [
        ("INSERT INTO notes (body) VALUES ('x')", "write"),
        ("UPDATE notes SET body = 'x'", "write"),
        ("SELECT setval('notes_id_seq', 7)", "write"),
        // Nobody is asked to approve it.
        ("CREATE TABLE t (i int)", "define"),
        ("DELETE FROM notes WHERE id = 1", "write"),
    ] {
        let refused = scene.gateway.refused("alice", &token, sql);
        assert!(refused.contains("refused by the scope of the token"), "{sql}: {refused}");
        assert!(refused.contains(&format!("is for read only, and this takes {action}")), "{sql}: {refused}");
    }
    // Within one connection, prepared and in a transaction as well.
    let mut client = Client::login(scene.gateway.port, "alice", &token);
    assert_eq!(client.value("SELECT count(*) FROM notes"), "20");
    for sql in ["PREPARE w AS DELETE FROM notes WHERE id = $1", "DO $$ BEGIN DELETE FROM notes; END $$"] {
        let refused = scene.gateway.refused("alice", &token, sql);
        assert!(refused.contains("scope of the token") || refused.contains("refused by policy"), "{sql}: {refused}");
    }
    assert_eq!(scene.directly("SELECT count(*) FROM notes"), "20");
    // The same person with a token for everything.
    scene.gateway.query("alice", &scene.alice(), "INSERT INTO notes (body) VALUES ('x')");
    let events = scene.gateway.events();
    let judged = events.iter().find(|e| {
        e["event"] == "judged"
            && e["verdict"] == "deny"
            && e["reason"].as_str().is_some_and(|r| r.contains("is for read only"))
    });
    assert!(judged.is_some(), "the refusal is on record");
    let opened = |actions: Value| events.iter().any(|e| e["event"] == "session_opened" && e["actions"] == actions);
    assert!(opened(json!(["read"])) && opened(json!([])), "what the token is for is on record");
    let made = |e: &Value| e["event"] == "token_created" && e["actions"] == json!(["read"]);
    process::eventually("so is its making", Duration::from_secs(10), || scene.gateway.events().iter().any(made));
}

#[test]
fn a_scope_is_never_wider_than_policy() {
    let scene = scene();
    let token = scoped(&scene, "alice", &["engineers"], "read,reveal,infer,export,administer", &[]);
    let ssn = scene.gateway.query("alice", &token, "SELECT ssn FROM people WHERE id = 7");
    assert!(!ssn.contains("CANARY"), "{ssn}");
    for sql in ["SELECT id FROM people WHERE ssn = 'SSN-CANARY-0007'", "COPY notes TO STDOUT"] {
        let refused = scene.gateway.refused("alice", &token, sql);
        assert!(refused.contains("refused by policy"), "{sql}: {refused}");
    }
    // Only what is for connecting connects.
    let token = scoped(&scene, "alice", &["engineers"], "connect", &[]);
    assert!(scene.gateway.refused("alice", &token, "SELECT * FROM notes").contains("is for connect only"));
}

#[test]
fn without_reveal_values_are_masked_and_not_searched() {
    let scene = scene();
    let ssn = "SELECT ssn FROM people WHERE id = 7";
    let search = "SELECT count(*) FROM people WHERE ssn = 'SSN-CANARY-0007'";
    let read = scoped(&scene, "frank", &["fraud"], "read", &[]);
    assert!(!scene.gateway.query("frank", &read, ssn).contains("CANARY"));
    let refused = scene.gateway.refused("frank", &read, search);
    assert!(refused.contains("is for read only, and this takes infer"), "{refused}");
    let infer = scoped(&scene, "frank", &["fraud"], "read,infer", &[]);
    assert!(!scene.gateway.query("frank", &infer, ssn).contains("CANARY"));
    assert_eq!(scene.gateway.query("frank", &infer, search), "1");
    let reveal = scoped(&scene, "frank", &["fraud"], "read,reveal", &[]);
    assert!(scene.gateway.query("frank", &reveal, ssn).contains("SSN-CANARY-0007"));
    assert_eq!(scene.gateway.query("frank", &reveal, search), "1", "who sees a value may look for it");
}

#[test]
fn a_scope_holds_for_agents_and_is_shown() {
    let scene = scene();
    let flags = ["--kind", "agent", "--on-behalf-of", "bob", "--on-behalf-of-group", "engineers", "--target", "shop"];
    let token = scoped(&scene, "bot", &["engineers"], "read,write", &flags);
    scene.gateway.query("bot", &token, "INSERT INTO notes (body) VALUES ('x')");
    let refused = scene.gateway.refused("bot", &token, "CREATE TABLE t (i int)");
    assert!(refused.contains("is for read, write only, and this takes define"), "{refused}");
    // Bob's own tokens are for reading, and so are those of who acts for bob from now on.
    scoped(&scene, "bob", &["engineers"], "read", &[]);
    let token = scene.gateway.token_with("bot", &["engineers"], &["--kind", "agent", "--on-behalf-of", "bob"]);
    let token = token["token"].as_str().unwrap();
    assert_eq!(scene.gateway.query("bot", token, "SELECT 1"), "1");
    assert!(scene.gateway.refused("bot", token, "UPDATE notes SET body = body").contains("scope of the token"));

    let listed = scene.gateway.here_ok(&["token", "list"]);
    assert!(listed.contains("ACTIONS") && listed.contains("read, write"), "{listed}");
    let shown = process::text(&scene.gateway.as_user(token, &["whoami"]));
    assert!(shown.lines().any(|line| line.starts_with("actions") && line.contains("read")), "{shown}");
    let there =
        scene.gateway.as_user(&scene.olga(), &["token", "create", "--user", "zoe", "--action", "read", "-o", "json"]);
    assert!(there.status.success(), "{}", process::text(&there));
    let listed =
        process::text(&scene.gateway.as_user(&scene.olga(), &["token", "list", "--user", "zoe", "-o", "json"]));
    assert!(listed.replace([' ', '\n'], "").contains(r#""actions":["read"]"#), "{listed}");
    let wrong = scene.gateway.here(&["token", "create", "--user", "zoe", "--action", "drop"]);
    assert_eq!(wrong.status.code(), Some(2), "{}", process::text(&wrong));
}
