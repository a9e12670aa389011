//! The protocol's own features, byte for byte.

use lockgate_tests::process;
use lockgate_tests::scene::Scene;
use lockgate_tests::wire::{self, Client};

fn everything() -> (Scene, Client) {
    let scene = Scene::permit_all(15);
    let token = scene.gateway.token("root", &["root"]);
    let client = Client::login(scene.gateway.port, "root", &token);
    (scene, client)
}

/// The same messages, directly and through the gateway, yield the same messages.
fn same_as_direct(bytes: &[u8]) {
    let (scene, mut through) = everything();
    let password = lockgate_tests::postgres::PASSWORD;
    let parameters = [("user", "app"), ("database", scene.database.as_str())];
    let mut direct = Client::login_with(scene.postgres.port, &parameters, password).unwrap();
    let syncs = 1;
    for client in [&mut direct, &mut through] {
        client.send_raw(bytes);
    }
    for _ in 0..syncs {
        let (expected, seen) = (direct.until_ready(), through.until_ready());
        assert_eq!(wire::tags(&expected), wire::tags(&seen), "{expected:?}\n{seen:?}");
        for (expected, seen) in expected.iter().zip(&seen) {
            // Errors carry the line of the server's source and may carry a session: their code has to be the same.
            match expected.tag {
                b'E' | b'N' => assert_eq!(expected.field(b'C'), seen.field(b'C')),
                // The table's OID: same database, same OID.
                _ => assert_eq!(expected, seen),
            }
        }
    }
}

#[test]
fn simple_extended_and_mixed_conversations_are_unchanged() {
    let q = |sql: &str| wire::message(b'Q', &wire::text(sql));
    for bytes in [
        q("SELECT * FROM people ORDER BY id"),
        q(""),
        q(";"),
        q("-- nothing"),
        q("SELECT 1; SELECT 2; SELECT nonsense; SELECT 3"),
        q("SELECT 1/0"),
        [
            wire::parse("s", "SELECT $1::int + 1"),
            wire::describe(b'S', "s"),
            wire::bind("p", "s", &["4"], 1),
            wire::describe(b'P', "p"),
            wire::execute("p", 0),
            wire::sync(),
        ]
        .concat(),
        [
            wire::parse("", "SELECT * FROM people ORDER BY id"),
            wire::bind("", "", &[], 1),
            wire::execute("", 7),
            wire::execute("", 7),
            wire::execute("", 0),
            wire::sync(),
        ]
        .concat(),
        [wire::parse("", "SELEC 1"), wire::bind("", "", &[], 0), wire::execute("", 0), wire::sync()].concat(),
        [wire::bind("", "no-such-statement", &[], 0), wire::sync()].concat(),
        [wire::parse("", ""), wire::bind("", "", &[], 0), wire::describe(b'P', ""), wire::execute("", 0), wire::sync()]
            .concat(),
        [
            wire::parse("a", "SELECT 1"),
            wire::message(b'C', b"Sa\0"),
            wire::message(b'C', b"Sa\0"),
            wire::message(b'H', b""),
            wire::sync(),
        ]
        .concat(),
    ] {
        same_as_direct(&bytes);
    }
}

#[test]
fn a_long_pipeline_keeps_its_order_and_an_error_skips_to_sync() {
    let (_scene, mut client) = everything();
    let mut bytes = Vec::new();
    for i in 0..500 {
        bytes.extend(
            [wire::parse("", "SELECT $1::int"), wire::bind("", "", &[&i.to_string()], 0), wire::execute("", 0)]
                .concat(),
        );
    }
    bytes.extend(wire::sync());
    client.send_raw(&bytes);
    let rows = wire::rows(&client.until_ready());
    assert_eq!(rows.len(), 500);
    assert!(rows.iter().enumerate().all(|(i, row)| row[0].as_deref() == Some(i.to_string().as_str())));

    let step = |sql: &str| [wire::parse("", sql), wire::bind("", "", &[], 0), wire::execute("", 0)].concat();
    client.send_raw(
        &[step("SELECT 1"), step("SELECT 1/0"), step("SELECT 2"), wire::sync(), step("SELECT 3"), wire::sync()]
            .concat(),
    );
    let first = client.until_ready();
    assert_eq!(wire::rows(&first).len(), 1, "{first:?}");
    wire::error(&first);
    assert_eq!(wire::rows(&client.until_ready()).len(), 1);
}

/// What a batch that is still on its way proposes must outlive the ReadyForQuery, or the error, of the batch before it: as
/// tokio-postgres and pgjdbc send a Close right before the next Parse.
#[test]
fn names_made_behind_a_sync_on_its_way_keep_their_meaning() {
    let scene = lockgate_tests::scene();
    let mut client = Client::login(scene.gateway.port, "alice", &scene.alice());
    let parse = |name: &str, sql: &str| [wire::parse(name, sql), wire::describe(b'S', name), wire::sync()].concat();
    let run = |name: &str| [wire::bind("", name, &[], 0), wire::execute("", 0), wire::sync()].concat();
    let close = |name: &str| [wire::message(b'C', format!("S{name}\0").as_bytes()), wire::sync()].concat();
    client.send_raw(&parse("a", "SELECT 1"));
    client.until_ready();
    client.send_raw(&[close("a"), parse("b", "SELECT 2")].concat());
    assert_eq!(wire::tags(&client.until_ready()), "3Z");
    assert_eq!(wire::tags(&client.until_ready()), "1tTZ");
    client.send_raw(&run("b"));
    assert_eq!(wire::rows(&client.until_ready()), vec![vec![Some("2".to_owned())]]);
    // The batch before it fails.
    client.send_raw(&[wire::parse("", "SELECT nonsense"), wire::sync(), parse("c", "SELECT 3")].concat());
    wire::error(&client.until_ready());
    assert_eq!(wire::tags(&client.until_ready()), "1tTZ");
    client.send_raw(&run("c"));
    assert_eq!(wire::rows(&client.until_ready()), vec![vec![Some("3".to_owned())]]);
}

/// The same as an attack: a name keeps its harmless meaning here while the server has given it another.
#[test]
fn a_name_never_means_less_here_than_at_the_server() {
    let scene = lockgate_tests::scene();
    let alice = scene.alice();
    let harmless = [wire::parse("", "SELECT name FROM people LIMIT 5"), wire::sync()].concat();
    let secret = [wire::parse("", "SELECT ssn FROM people LIMIT 5"), wire::sync()].concat();
    let deletes = [wire::parse("", "DELETE FROM notes"), wire::sync()].concat();
    let run = [wire::bind("", "", &[], 0), wire::execute("", 0), wire::sync()].concat();
    let failing = [wire::parse("x", "SELECT nonsense"), wire::sync()].concat();
    for before in [
        wire::sync(),
        failing,
        wire::message(b'Q', b"SELECT 1\0"),
        [wire::message(b'C', b"Sx\0"), wire::sync()].concat(),
    ] {
        for evil in [&secret, &deletes] {
            let mut client = Client::login(scene.gateway.port, "alice", &alice);
            client.send_raw(&harmless);
            client.until_ready();
            client.send_raw(&[&before[..], evil].concat());
            client.until_ready();
            client.until_ready();
            client.send_raw(&run);
            client.until_ready();
            assert!(!String::from_utf8_lossy(&client.seen).contains("CANARY"), "unmasked: {client:?}");
            assert_eq!(scene.directly("SELECT count(*) FROM notes"), "20");
        }
    }
}

#[test]
fn a_refusal_in_a_pipeline_skips_to_sync_like_an_error() {
    let scene = lockgate_tests::scene();
    let mut client = Client::login(scene.gateway.port, "alice", &scene.alice());
    let step = |sql: &str| [wire::parse("", sql), wire::bind("", "", &[], 0), wire::execute("", 0)].concat();
    client.send_raw(
        &[
            step("INSERT INTO log VALUES (1, 'before')"),
            step("DELETE FROM notes"),
            step("INSERT INTO log VALUES (2, 'after')"),
            wire::sync(),
            step("SELECT 'next'"),
            wire::sync(),
        ]
        .concat(),
    );
    let first = client.until_ready();
    assert_eq!(wire::error(&first).field(b'C').as_deref(), Some("42501"), "{first:?}");
    assert_eq!(first.iter().filter(|frame| frame.tag == b'E').count(), 1);
    assert_eq!(wire::rows(&client.until_ready()), vec![vec![Some("next".to_owned())]]);
    assert_eq!(scene.directly("SELECT count(*) FROM log WHERE id = 2"), "0");
    assert_eq!(scene.directly("SELECT count(*) FROM notes"), "20");
}

#[test]
fn portals_suspend_and_named_statements_live() {
    let (_scene, mut client) = everything();
    client.query("BEGIN");
    client.send_raw(
        &[
            wire::parse("s", "SELECT generate_series(1, 10)"),
            wire::bind("p", "s", &[], 0),
            wire::execute("p", 4),
            wire::sync(),
        ]
        .concat(),
    );
    let frames = client.until_ready();
    assert_eq!(wire::tags(&frames), "12DDDDsZ");
    client.send_raw(&[wire::execute("p", 0), wire::sync()].concat());
    assert_eq!(wire::rows(&client.until_ready()).len(), 6);
    client.query("COMMIT");
    client.send_raw(&[wire::bind("", "s", &[], 0), wire::execute("", 0), wire::sync()].concat());
    assert_eq!(wire::rows(&client.until_ready()).len(), 10);
}

#[test]
fn copy_in_and_out() {
    let (scene, mut client) = everything();
    client.send(b'Q', &wire::text("COPY log FROM STDIN"));
    assert_eq!(client.frame().tag, b'G');
    for i in 0..1_000 {
        client.send(b'd', format!("{i}\twho {i}\n").as_bytes());
    }
    client.send(b'c', b"");
    assert_eq!(wire::tags(&client.until_ready()), "CZ");
    assert_eq!(scene.directly("SELECT count(*) FROM log"), "1000");
    let frames = client.query("COPY log TO STDOUT");
    assert_eq!(frames.iter().filter(|frame| frame.tag == b'd').count(), 1_000);
    client.send(b'Q', &wire::text("COPY log FROM STDIN"));
    client.frame();
    client.send(b'd', b"5\tduplicate\n");
    client.send(b'f', b"no more\0");
    wire::error(&client.until_ready());
    assert_eq!(client.value("SELECT count(*) FROM log"), "1000");
}

#[test]
fn listen_and_notify() {
    let (scene, mut client) = everything();
    client.query("LISTEN news");
    scene.directly("NOTIFY news, 'hello'");
    let frame = client.frame();
    assert_eq!(frame.tag, b'A', "{frame:?}");
    assert!(frame.body.ends_with(b"news\0hello\0"));
}

#[test]
fn parameter_status_follows_a_set() {
    let (_scene, mut client) = everything();
    let frames = client.query("SET application_name = 'other'");
    let status = frames.iter().find(|frame| frame.tag == b'S').expect("ParameterStatus");
    assert!(String::from_utf8_lossy(&status.body).contains("other"), "{status:?}");
    let frames = client.query("SET client_encoding = 'LATIN1'");
    assert!(frames.iter().any(|frame| frame.tag == b'S'));
    let frames = client.query("SELECT E'\\u00e4'");
    assert!(frames.iter().any(|frame| frame.tag == b'D' && frame.body.ends_with(&[0xe4])), "{frames:?}");
}

#[test]
fn large_objects() {
    let (scene, _client) = everything();
    let token = scene.gateway.token("root", &["root"]);
    let file = scene.gateway.home().join("object");
    std::fs::write(&file, vec![7u8; 300_000]).unwrap();
    let back = scene.gateway.home().join("back");
    let mut psql = scene.gateway.psql("root", &token);
    psql.args(["-v", "ON_ERROR_STOP=1", "-c", &format!("\\lo_import {}", file.display())]);
    psql.args(["-c", &format!("\\lo_export :LASTOID {}", back.display())]);
    process::run(&mut psql);
    assert_eq!(std::fs::read(&back).unwrap(), std::fs::read(&file).unwrap());
}

#[test]
fn protocol_versions_are_negotiated() {
    let scene = lockgate_tests::scene();
    let alice = scene.alice();
    let parameters = [("user", "alice"), ("database", "shop")];
    for (version, unknown) in [((3 << 16) | 2, false), ((3 << 16) | 9, false), (3 << 16, true)] {
        let mut client = Client::connect(scene.gateway.port);
        let mut with_option = parameters.to_vec();
        if unknown {
            with_option.push(("_pq_.unheard_of", "1"));
        }
        client.send_raw(&wire::startup(version, &with_option));
        client.authenticate(&alice).unwrap();
        assert_eq!(client.value("SELECT 1"), "1", "{version:x}");
    }
    for version in [2 << 16, 4 << 16, 1] {
        let mut client = Client::connect(scene.gateway.port);
        client.send_raw(&wire::startup(version, &parameters));
        assert!(client.is_closed_within(std::time::Duration::from_secs(5)), "{version:x}");
    }
}

#[test]
fn gss_is_declined_and_nothing_buffered_survives_tls() {
    let scene = lockgate_tests::scene();
    let mut client = Client::connect(scene.gateway.port);
    client.send_raw(&[0, 0, 0, 8, 4, 210, 22, 48]);
    assert_eq!(client.byte(), Some(b'N'));
    client.send_raw(&wire::startup(3 << 16, &[("user", "alice"), ("database", "shop")]));
    client.authenticate(&scene.alice()).unwrap();
    // CVE-2021-23214: bytes after SSLRequest, before the handshake, must not be read as if they came in TLS.
    let mut smuggler = Client::connect(scene.gateway.port);
    let request = [0, 0, 0, 8, 4, 210, 22, 47];
    smuggler.send_raw(&[&request[..], &wire::startup(3 << 16, &[("user", "alice"), ("database", "shop")])].concat());
    assert!(smuggler.is_closed_within(std::time::Duration::from_secs(10)));
    assert!(!smuggler.seen.contains(&b'R'), "it was answered: {:?}", smuggler.seen);
}
