//! What is permitted works as if nothing were in between.

use lockgate_tests::wire::{self, Client};
use lockgate_tests::{process, scene};

#[test]
fn psql_works_as_usual() {
    let scene = scene();
    let alice = scene.alice();
    assert_eq!(scene.gateway.query("alice", &alice, "SELECT count(*) FROM notes"), "20");
    assert_eq!(
        scene.gateway.query("alice", &alice, "INSERT INTO notes (body) VALUES ('new') RETURNING body").lines().next(),
        Some("new")
    );
    assert_eq!(scene.gateway.query("alice", &alice, "UPDATE notes SET body = 'x' WHERE id = 1"), "UPDATE 1");
    assert_eq!(scene.directly("SELECT count(*) FROM notes"), "21");
    for meta in ["\\d notes", "\\dt", "\\l", "\\df", "\\du", "\\dn", "\\conninfo"] {
        let output = process::output(scene.gateway.psql("alice", &alice).args(["-v", "ON_ERROR_STOP=1", "-c", meta]));
        assert!(output.status.success(), "{meta}: {}", process::text(&output));
    }
}

#[test]
fn transactions_and_errors_in_them() {
    let scene = scene();
    let mut client = Client::login(scene.gateway.port, "alice", &scene.alice());
    client.query("BEGIN");
    client.query("INSERT INTO log VALUES (1, 'a')");
    let failed = client.query("SELECT 1/0");
    assert_eq!(wire::error(&failed).field(b'C').as_deref(), Some("22012"));
    assert_eq!(failed.last().unwrap().body, b"E", "the transaction is failed");
    client.query("ROLLBACK");
    assert_eq!(client.value("SELECT count(*) FROM log"), "0");
    client.query(
        "BEGIN; INSERT INTO log VALUES (2, 'b'); SAVEPOINT s; INSERT INTO log VALUES (3, 'c'); ROLLBACK TO s; COMMIT",
    );
    assert_eq!(client.value("SELECT string_agg(id::text, ',') FROM log"), "2");
}

#[test]
fn a_refusal_leaves_the_session_and_its_transaction_in_order() {
    let scene = scene();
    let mut client = Client::login(scene.gateway.port, "alice", &scene.alice());
    let refused = client.query("DELETE FROM log");
    assert_eq!(wire::error(&refused).field(b'C').as_deref(), Some("42501"));
    assert_eq!(refused.last().unwrap().body, b"I");
    assert_eq!(client.value("SELECT 1"), "1");
    client.query("BEGIN");
    client.query("INSERT INTO log VALUES (9, 'z')");
    let refused = client.query("DELETE FROM log");
    wire::error(&refused);
    let status = refused.last().unwrap().body.clone();
    let answer = client.query("COMMIT");
    let committed = scene.directly("SELECT count(*) FROM log");
    // As a server would: a refused statement fails its transaction, or leaves it open; what the client is told is what is true.
    match status.as_slice() {
        b"E" => assert_eq!(committed, "0", "{answer:?}"),
        b"T" => assert_eq!(committed, "1", "{answer:?}"),
        other => panic!("status {other:?} after a refusal in a transaction"),
    }
    assert_eq!(client.value("SELECT 2"), "2");
}

#[test]
fn a_large_statement_and_large_values_pass() {
    let scene = scene();
    let mut client = Client::login(scene.gateway.port, "alice", &scene.alice());
    let long = "x".repeat(3_000_000);
    assert_eq!(client.value(&format!("SELECT length('{long}')")), "3000000");
    assert_eq!(client.value("SELECT repeat('y', 20000000)").len(), 20_000_000);
}

#[test]
fn notices_come_through() {
    let scene = scene();
    let mut client = Client::login(scene.gateway.port, "alice", &scene.alice());
    let frames = client.query("SET client_min_messages = notice");
    assert!(wire::tags(&frames).contains('C'), "{frames:?}");
    let frames = client.query("ROLLBACK");
    let notice = frames.iter().find(|frame| frame.tag == b'N').expect("a warning");
    assert_eq!(notice.field(b'C').as_deref(), Some("25P01"));
}
