//! The main job on every supported server version.

use lockgate_tests::scene::Scene;
use lockgate_tests::wire::{self, Client};

fn works_on(version: u32) {
    let scene = Scene::with(version, |_| ());
    let alice = scene.alice();
    assert!(scene.gateway.query("alice", &alice, "SHOW server_version").starts_with(&version.to_string()));
    let masked = scene.gateway.query(
        "alice",
        &alice,
        "SELECT id, name, ssn, salary, born, doc, tags FROM people ORDER BY id LIMIT 50",
    );
    assert!(masked.contains("Person 50") && !masked.contains("CANARY") && !masked.contains("71007"), "{masked}");
    let refused = scene.gateway.refused("alice", &alice, "COPY people TO STDOUT");
    assert!(refused.contains("no-bulk-export"), "{refused}");
    let mut client = Client::login(scene.gateway.port, "alice", &alice);
    client.send_raw(
        &[
            wire::parse("", "SELECT ssn, id FROM people WHERE id = $1"),
            wire::bind("", "", &["7"], 0),
            wire::execute("", 0),
            wire::sync(),
        ]
        .concat(),
    );
    let rows = wire::rows(&client.until_ready());
    assert_eq!(rows.len(), 1);
    assert_eq!(rows[0][1].as_deref(), Some("7"));
    assert_ne!(rows[0][0].as_deref(), Some(lockgate_tests::scene::SSN));
    client.send(b'Q', &wire::text("SELECT pg_sleep(30)"));
    std::thread::sleep(std::time::Duration::from_millis(300));
    Client::connect(scene.gateway.port).send_raw(&wire::cancel(client.key.as_ref().unwrap()));
    assert_eq!(wire::error(&client.until_ready()).field(b'C').as_deref(), Some("57014"));
    scene.gateway.verify();
}

#[test]
fn postgresql_15() {
    works_on(15);
}

#[test]
fn postgresql_16() {
    works_on(16);
}

#[test]
fn postgresql_17() {
    works_on(17);
}

#[test]
fn postgresql_18() {
    works_on(18);
}
