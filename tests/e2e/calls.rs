//! Function calls by number: the protocol's fast path, and the large objects that client libraries reach by it.

use lockgate_tests::process;
use lockgate_tests::wire::{self, Client, Frame};
use lockgate_tests::{Scene, scene};
use std::path::{Path, PathBuf};

/// FunctionCall with arguments and result as text.
fn call(client: &mut Client, oid: u32, arguments: &[&str]) -> Vec<Frame> {
    let mut body = [&oid.to_be_bytes()[..], &[0, 0]].concat();
    body.extend(u16::try_from(arguments.len()).unwrap().to_be_bytes());
    for value in arguments {
        body.extend(u32::try_from(value.len()).unwrap().to_be_bytes());
        body.extend(value.as_bytes());
    }
    body.extend([0, 0]);
    client.send(b'F', &body);
    client.until_ready()
}

/// The value of the call; `None` for NULL.
fn value(frames: &[Frame]) -> Option<String> {
    let frame = frames.iter().find(|f| f.tag == b'V').unwrap_or_else(|| panic!("no value in {frames:?}"));
    (frame.body[..4] != [0xff; 4]).then(|| String::from_utf8_lossy(&frame.body[4..]).into_owned())
}

fn oid(scene: &Scene, name: &str) -> u32 {
    scene.directly(&format!("SELECT '{name}'::regproc::oid")).parse().unwrap()
}

#[test]
fn a_function_by_number_is_judged_and_masked_as_in_a_select() {
    let scene = scene();
    scene.directly(
        "CREATE FUNCTION add_tax(numeric) RETURNS numeric IMMUTABLE LANGUAGE sql AS 'SELECT $1 * 1.5';
         CREATE FUNCTION number_of(int) RETURNS text STABLE LANGUAGE sql AS 'SELECT ssn FROM people WHERE id = $1';
         CREATE FUNCTION hidden(int) RETURNS text STABLE LANGUAGE plpgsql AS
           $$ DECLARE found text; BEGIN EXECUTE 'SELECT ssn FROM people WHERE id = $1' INTO found USING $1; RETURN found; END $$;
         CREATE FUNCTION drop_notes(int) RETURNS int LANGUAGE sql AS 'DELETE FROM notes WHERE id <= $1; SELECT 1'",
    );
    let mut alice = Client::login(scene.gateway.port, "alice", &scene.alice());
    let mut frank = Client::login(scene.gateway.port, "frank", &scene.frank());
    assert_eq!(value(&call(&mut alice, oid(&scene, "add_tax"), &["10"])).as_deref(), Some("15.0"));
    let number = oid(&scene, "number_of");
    assert_eq!(value(&call(&mut frank, number, &["7"])).as_deref(), Some(lockgate_tests::scene::SSN));
    let masked = value(&call(&mut alice, number, &["7"]));
    assert!(masked.is_some_and(|m| !m.contains("CANARY")), "a number was shown");
    for (name, arguments) in [("hidden", ["7"]), ("drop_notes", ["5"])] {
        let frames = call(&mut frank, oid(&scene, name), &arguments);
        assert_eq!(wire::error(&frames).field(b'C').as_deref(), Some("42501"), "{name}: {frames:?}");
    }
    // `set_config`, `pg_terminate_backend`, `pg_read_file`: of the server's own only large objects are known by number.
    for number in [2077, 2096, 2624] {
        let frames = call(&mut alice, number, &["role", "postgres", "false"]);
        assert_eq!(wire::error(&frames).field(b'C').as_deref(), Some("42501"), "{number}: {frames:?}");
    }
    // An error in a transaction fails it, here and there.
    alice.query("BEGIN");
    wire::error(&call(&mut alice, 2077, &["a", "b", "c"]));
    assert_eq!(wire::error(&alice.query("SELECT 1")).field(b'C').as_deref(), Some("25P02"));
    alice.query("ROLLBACK");
    assert_eq!(scene.directly("SELECT count(*) FROM notes"), "20");
    assert!(!String::from_utf8_lossy(&alice.seen).contains("CANARY"));
    drop((alice, frank));
    let events = format!("{:?}", scene.gateway.events());
    assert!(events.contains("add_tax") && events.contains("15.0"), "the recording lacks the call or its value");
}

/// A number that stands for nothing the gateway knows is for who may `administer`, and reaches the server as it is.
#[test]
fn a_function_of_an_unknown_number_needs_the_right_to_administer() {
    let scene = scene();
    // `pg_backend_pid()`, `quote_literal(text)`: of the server's own, which no table here has by number.
    let mut alice = Client::login(scene.gateway.port, "alice", &scene.alice());
    for (number, arguments) in [(2026, &[][..]), (1283, &["it's"])] {
        let frames = call(&mut alice, number, arguments);
        let error = wire::error(&frames);
        assert_eq!(error.field(b'C').as_deref(), Some("42501"), "{error:?}");
        assert!(format!("{error:?}").contains("administer"), "{error:?}");
    }
    let all = Scene::permit_all(15);
    let mut alice = Client::login(all.gateway.port, "alice", &all.alice());
    let pid = alice.value("SELECT pg_backend_pid()");
    assert_eq!(value(&call(&mut alice, 2026, &[])), Some(pid));
    assert_eq!(value(&call(&mut alice, 1283, &["it's"])).as_deref(), Some("'it''s'"));
    let frames = call(&mut alice, 4_000_000_000, &[]);
    assert_eq!(wire::error(&frames).field(b'C').as_deref(), Some("42883"), "the server's own word: {frames:?}");
    assert_eq!(alice.value("SELECT 1"), "1");
}

#[test]
fn a_held_call_runs_once_it_is_approved() {
    let scene = Scene::with(15, |options| {
        options.policies.push_str(
            "\n@id(\"objects-need-a-dba\")\n@approve(\"dba\")\nforbid (principal, action == Action::\"write\", \
             resource in Target::\"shop\") when { context.sql.verb == \"select\" };\n",
        );
    });
    let dana = scene.dana();
    let mut client = Client::login(scene.gateway.port, "alice", &scene.alice());
    let (creat, minus_one) = (957u32, [0, 0, 0, 1, 0, 0, 0, 2, b'-', b'1', 0, 0]);
    client.send(b'F', &[&creat.to_be_bytes()[..], &minus_one].concat());
    let id = scene.pending(&dana);
    let shown = process::text(&scene.gateway.as_user(&dana, &["approvals", "show", &id]));
    assert!(shown.contains("lo_creat"), "{shown}");
    assert_eq!(scene.directly("SELECT count(*) FROM pg_largeobject_metadata"), "0");
    assert!(scene.approve(&dana, &id).status.success());
    assert!(value(&client.until_ready()).is_some());
    assert_eq!(scene.directly("SELECT count(*) FROM pg_largeobject_metadata"), "1");
    assert_eq!(client.value("SELECT 1"), "1");
}

/// `\lo_import` by one person and `\lo_export` by another: what was written and what came out.
fn through_a_large_object(scene: &Scene, by: (&str, &str), to: (&str, &str)) -> (Vec<u8>, Vec<u8>) {
    let file = scene.gateway.home().join("object");
    let written = b"LO-CANARY ".repeat(30_000);
    std::fs::write(&file, &written).unwrap();
    let mut psql = scene.gateway.psql(by.0, by.1);
    psql.args(["-v", "ON_ERROR_STOP=1", "-qAt"]);
    psql.args(["-c", &format!("\\lo_import {}", file.display()), "-c", "\\echo :LASTOID"]);
    let printed = process::run(&mut psql);
    let oid = printed.lines().last().unwrap().trim().to_owned();
    let back: PathBuf = scene.gateway.home().join(format!("back-{}", to.0));
    export(scene, to, &oid, &back);
    (written, std::fs::read(&back).unwrap_or_default())
}

fn export(scene: &Scene, (user, token): (&str, &str), oid: &str, to: &Path) {
    let mut psql = scene.gateway.psql(user, token);
    psql.args(["-c", &format!("\\lo_export {oid} {}", to.display())]);
    process::output(&mut psql);
}

#[test]
fn large_objects_by_psql_under_labels() {
    let scene = scene();
    let (alice, frank) = (scene.alice(), scene.frank());
    let (written, read) = through_a_large_object(&scene, ("alice", &alice), ("frank", &frank));
    assert_eq!(written, read, "who may see everything reads it whole");
    let (_, read) = through_a_large_object(&scene, ("alice", &alice), ("alice", &alice));
    // Nobody followed what went into it.
    assert!(!String::from_utf8_lossy(&read).contains("CANARY"), "a large object is data of unknown origin");
}
