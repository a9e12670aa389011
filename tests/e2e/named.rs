//! SQL that runs what the protocol prepared or bound: `EXECUTE`, `FETCH` and `MOVE` know no difference at the server, so that
//! they must not do here what the inner statement would not be let do, or do it unseen.

use crate::masking::leaked;
use lockgate_tests::scene::{POLICIES, SSN, Scene};
use lockgate_tests::wire::{self, Client, Frame};
use lockgate_tests::{Gateway, scene};

fn client(gateway: &Gateway, user: &str, group: &str) -> Client {
    Client::login(gateway.port, user, &gateway.token(user, &[group]))
}

fn bytes(frames: &[Frame]) -> Vec<u8> {
    frames.iter().flat_map(|f| f.body.clone()).collect()
}

#[track_caller]
fn silent(frames: &[Frame]) {
    assert_eq!(leaked(&bytes(frames)), None, "{frames:?}");
}

#[track_caller]
fn refused(frames: &[Frame]) {
    assert_eq!(wire::error(frames).field(b'C').as_deref(), Some("42501"), "{frames:?}");
    silent(frames);
}

/// Prepares by the protocol.
fn prepared(client: &mut Client, statements: &[(&str, &str)]) {
    let mut bytes: Vec<u8> = statements.iter().flat_map(|(name, sql)| wire::parse(name, sql)).collect();
    bytes.extend(wire::sync());
    client.send_raw(&bytes);
    let frames = client.until_ready();
    assert!(!frames.iter().any(|f| f.tag == b'E'), "{frames:?}");
}

fn extended(client: &mut Client, sql: &str) -> Vec<Frame> {
    client.send_raw(&[wire::parse("", sql), wire::bind("", "", &[], 0), wire::execute("", 0), wire::sync()].concat());
    client.until_ready()
}

const TWICE: &str = "INSERT INTO people (id, name, ssn) SELECT 1007, 'twice', ssn FROM people WHERE id = 7";

fn deferred() -> Scene {
    let scene = scene();
    scene.directly("ALTER TABLE people ADD UNIQUE (ssn) DEFERRABLE INITIALLY DEFERRED");
    scene
}

#[test]
fn what_was_put_off_shows_nothing_however_it_is_run() {
    let scene = deferred();
    for (name, sql) in [("c", "COMMIT"), ("s", "SET CONSTRAINTS ALL IMMEDIATE")] {
        for how in ["simple", "extended"] {
            let mut dana = client(&scene.gateway, "dana", "dba");
            prepared(&mut dana, &[(name, sql)]);
            dana.query("BEGIN");
            silent(&dana.query(TWICE));
            let run = format!("EXECUTE {name}");
            refused(&if how == "simple" { dana.query(&run) } else { extended(&mut dana, &run) });
        }
    }
    // In a name that code which nobody can look into might have given to something else.
    let mut dana = client(&scene.gateway, "dana", "dba");
    prepared(&mut dana, &[("c", "COMMIT")]);
    dana.query("DO $$BEGIN NULL; END$$");
    dana.query("BEGIN");
    dana.query(TWICE);
    refused(&dana.query("EXECUTE c"));
}

/// A simple query ends the transaction of the pipeline before it.
#[test]
fn what_a_pipeline_put_off_shows_nothing_in_the_query_after_it() {
    let scene = deferred();
    let mut dana = client(&scene.gateway, "dana", "dba");
    let pipeline = [wire::parse("", TWICE), wire::bind("", "", &[], 0), wire::execute("", 0)].concat();
    dana.send_raw(&[pipeline, wire::message(b'Q', &wire::text("SELECT 1"))].concat());
    let frames = dana.until_ready();
    assert_eq!(wire::error(&frames).field(b'C').as_deref(), Some("23505"), "{frames:?}");
    silent(&frames);
}

#[test]
fn a_name_that_changes_within_a_message_is_not_taken_for_what_it_was() {
    let scene = scene();
    let mut alice = client(&scene.gateway, "alice", "engineers");
    let made = [
        ("p", "SELECT 1::text AS ssn"),
        ("q", "DEALLOCATE p"),
        ("r", "PREPARE p AS SELECT upper(ssn) FROM people LIMIT 1"),
    ];
    prepared(&mut alice, &made);
    refused(&alice.query("EXECUTE q; EXECUTE r; EXECUTE p"));
    let mut alice = client(&scene.gateway, "alice", "engineers");
    prepared(&mut alice, &made);
    silent(&alice.query("DEALLOCATE p; PREPARE p AS SELECT upper(ssn) FROM people LIMIT 1; EXECUTE p"));
}

#[test]
fn a_cursor_only_reads() {
    let scene = Scene::with(15, |options| options.target_extra.push_str("\n    laundering: propagate"));
    for run in ["FETCH ALL FROM p", "MOVE ALL FROM p"] {
        let mut dana = client(&scene.gateway, "dana", "dba");
        dana.query("BEGIN");
        let copies = "INSERT INTO notes (body) SELECT ssn FROM people RETURNING 1";
        dana.send_raw(&[wire::parse("", copies), wire::bind("p", "", &[], 0), wire::sync()].concat());
        dana.until_ready();
        refused(&dana.query(run));
        dana.query("COMMIT");
    }
    assert_eq!(scene.directly("SELECT count(*) FROM notes WHERE body LIKE '%CANARY%'"), "0");
    // What reads is read.
    let mut dana = client(&scene.gateway, "dana", "dba");
    dana.query("BEGIN");
    dana.send_raw(
        &[wire::parse("", "SELECT id FROM people ORDER BY id"), wire::bind("p", "", &[], 0), wire::sync()].concat(),
    );
    dana.until_ready();
    assert_eq!(dana.value("FETCH 1 FROM p"), "1");
    dana.query("MOVE 2 FROM p");
    assert_eq!(dana.value("FETCH 1 FROM p"), "4");
}

const PERMITS: &str = r#"
@id("support-works")
permit (principal in Group::"support", action in [Action::"connect", Action::"read"], resource in Target::"shop");

@id("support-looks-up")
@mode("equality")
permit (principal in Group::"support", action == Action::"infer", resource in Label::"pii");

@id("analysts-work")
permit (principal in Group::"analysts", action in [Action::"connect", Action::"read"], resource in Target::"shop");

@id("analysts-add-up")
@mode("aggregate")
permit (principal in Group::"analysts", action == Action::"infer", resource in Label::"pii");
"#;

#[test]
fn what_is_permitted_within_limits_is_not_run_beside_them() {
    let scene = Scene::with(15, |options| options.policies = format!("{POLICIES}{PERMITS}"));
    let mut support = client(&scene.gateway, "sue", "support");
    support.query("BEGIN");
    prepared(&mut support, &[("s", "SELECT name FROM people WHERE ssn = $1")]);
    support.send_raw(&[wire::bind("p", "s", &[SSN], 0), wire::sync()].concat());
    support.until_ready();
    refused(&support.query("FETCH ALL FROM p"));
    let mut ana = client(&scene.gateway, "ana", "analysts");
    prepared(&mut ana, &[("s", "SELECT sum(salary) FROM people WHERE id = 7")]);
    refused(&ana.query("EXECUTE s"));
    silent(&ana.query("SELECT 1"));
}

/// What the target said for one frame is not taken for another.
#[test]
fn sizes_that_were_asked_for_a_cancelled_statement_are_forgotten() {
    let scene = Scene::with(15, |options| options.policies = format!("{POLICIES}{PERMITS}"));
    let mut ana = client(&scene.gateway, "ana", "analysts");
    let all = "SELECT sum(salary) FROM people";
    let same = "SELECT sum(salary) FROM people WHERE id > 0";
    for sql in [all, same] {
        let frames = ana.query(sql);
        assert!(!frames.iter().any(|f| f.tag == b'E'), "{frames:?}");
    }
    scene.while_locked("people", 4, || {
        ana.send(b'Q', &wire::text(same));
        crate::waiting::until_waiting(&scene, 1);
        Client::connect(scene.gateway.port).send_raw(&wire::cancel(ana.key.as_ref().expect("a key")));
        let frames = ana.until_ready();
        assert_eq!(wire::error(&frames).field(b'C').as_deref(), Some("57014"), "{frames:?}");
    });
    scene.directly("INSERT INTO people (id, name, salary) VALUES (300000, 'y', 777777.5)");
    refused(&ana.query(same));
}

/// What is stored runs in statements that do not show it.
#[test]
fn nothing_that_is_stored_moves_the_search_path() {
    let scene = Scene::with(15, |options| {
        options.policies = POLICIES.replace(
            "@id(\"fraud-work\")",
            "@id(\"makers-work\")\npermit (principal in Group::\"makers\", action in [Action::\"connect\", Action::\"read\", Action::\"write\", Action::\"define\"], resource);\n@id(\"fraud-work\")",
        ).replace("unless { principal in Group::\"dba\" };\n\n@id(\"delete-without", "unless { principal in Group::\"dba\" || principal in Group::\"makers\" };\n\n@id(\"delete-without");
    });
    let mut maker = client(&scene.gateway, "max", "makers");
    let moves = "set_config('search_path', 'aside, public', false)";
    for sql in [
        format!("CREATE TABLE made (i int, x text DEFAULT {moves})"),
        format!("CREATE TABLE made (i int CHECK ({moves} IS NOT NULL))"),
        format!("CREATE VIEW made AS SELECT {moves}"),
        format!("CREATE DOMAIN made AS text CHECK ({moves} IS NOT NULL)"),
        format!("ALTER TABLE notes ALTER body SET DEFAULT {moves}"),
        "CREATE VIEW made AS SELECT set_config('standard_conforming_strings', 'off', false)".to_owned(),
    ] {
        refused(&maker.query(&sql));
    }
    let frames = maker.query("CREATE TABLE made (i int, x text DEFAULT lower('A'))");
    assert!(!frames.iter().any(|f| f.tag == b'E'), "{frames:?}");
}

#[test]
fn a_function_that_ends_what_was_put_off_shows_nothing() {
    let scene = deferred();
    let mut dana = client(&scene.gateway, "dana", "dba");
    dana.query("CREATE FUNCTION ends() RETURNS void LANGUAGE sql AS 'SET CONSTRAINTS ALL IMMEDIATE'");
    let mut alice = client(&scene.gateway, "alice", "engineers");
    alice.query("BEGIN");
    let frames = alice.query(TWICE);
    assert!(!frames.iter().any(|f| f.tag == b'E'), "{frames:?}");
    refused(&alice.query("SELECT ends()"));
}

/// A child holds rows of its parent.
#[test]
fn the_same_rows_are_not_aggregated_in_two_tables() {
    let scene = Scene::with(15, |options| options.policies = format!("{POLICIES}{PERMITS}"));
    scene.directly("CREATE TABLE former () INHERITS (people); GRANT SELECT ON former TO PUBLIC");
    scene.directly("INSERT INTO former (id, name, salary) SELECT i, 'f', 5000 FROM generate_series(100, 130) i");
    let mut ana = client(&scene.gateway, "ana", "analysts");
    let frames = ana.query("SELECT sum(salary) FROM people");
    assert!(!frames.iter().any(|f| f.tag == b'E'), "{frames:?}");
    refused(&ana.query("SELECT sum(salary) FROM former"));
}

/// The gateway asks the target under names of its own. A question that fails in its middle leaves them behind, so that a client
/// which calls something so before may find another thing there.
#[test]
fn names_of_the_gateways_own_are_nobodys() {
    let scene = scene();
    let mut dana = client(&scene.gateway, "dana", "dba");
    let clean = "SELECT name || '' AS x FROM people";
    for name in ["lockgate inquiry", "lockgate copied", "lockgate anything"] {
        for message in [
            wire::parse(name, clean),
            wire::bind(name, "", &[], 0),
            wire::bind("", name, &[], 0),
            wire::describe(b'S', name),
            wire::describe(b'P', name),
            wire::execute(name, 0),
            wire::message(b'C', &[b"S", name.as_bytes(), b"\0"].concat()),
        ] {
            dana.send_raw(&[wire::parse("", clean), message, wire::sync()].concat());
            let frames = dana.until_ready();
            assert_eq!(wire::error(&frames).field(b'C').as_deref(), Some("42622"), "{name}: {frames:?}");
        }
        // Of what SQL calls so nobody knows later what it is.
        dana.query(&format!("PREPARE \"{name}\" AS {clean}"));
        let frames = dana.query(&format!("EXECUTE \"{name}\""));
        assert!(!String::from_utf8_lossy(&bytes(&frames)).contains("Person"), "{name}: {frames:?}");
        dana.query(&format!("BEGIN; DECLARE \"{name}\" CURSOR FOR {clean}"));
        let frames = dana.query(&format!("FETCH \"{name}\""));
        assert!(!String::from_utf8_lossy(&bytes(&frames)).contains("Person"), "{name}: {frames:?}");
        dana.query("ROLLBACK");
    }
    assert_eq!(dana.value("SELECT name FROM people WHERE id = 7"), "Person 7");
}

/// Code that nobody can look into may give names another meaning, and mostly does not.
#[test]
fn what_has_a_name_is_known_again_after_code_that_nobody_can_look_into() {
    let scene = scene();
    scene.directly(
        "CREATE FUNCTION idle() RETURNS int LANGUAGE plpgsql AS $$ BEGIN EXECUTE 'SELECT 1'; RETURN 1; END $$;
         CREATE FUNCTION swap() RETURNS int LANGUAGE plpgsql AS $$ DECLARE c refcursor := 'c'; b refcursor := 'b'; BEGIN
           EXECUTE 'DEALLOCATE ALL';
           EXECUTE 'PREPARE s AS SELECT ssn || '''' AS x FROM people';
           EXECUTE 'PREPARE p AS SELECT ssn || '''' AS x FROM people';
           CLOSE c; CLOSE b;
           OPEN c FOR SELECT ssn || '' AS x FROM people; OPEN b FOR SELECT ssn || '' AS x FROM people;
           RETURN 1; END $$",
    );
    let clean = "SELECT name || '' AS x FROM people ORDER BY id";
    for (code, same) in [("idle", true), ("swap", false)] {
        for way in ["simple", "extended"] {
            let mut dana = client(&scene.gateway, "dana", "dba");
            dana.query(&format!("PREPARE p AS {clean}"));
            prepared(&mut dana, &[("s", clean)]);
            dana.query(&format!("BEGIN; DECLARE c CURSOR FOR {clean}"));
            dana.send_raw(&[wire::bind("b", "s", &[], 0), wire::execute("b", 1), wire::message(b'H', b"")].concat());
            dana.send_raw(&wire::sync());
            dana.until_ready();
            let call = format!("SELECT {code}()");
            let called = if way == "simple" { dana.query(&call) } else { extended(&mut dana, &call) };
            assert_eq!(wire::tags(&called).matches('D').count(), 1, "{called:?}");
            let mut answers = Vec::new();
            dana.send_raw(
                &[wire::execute("b", 2), wire::bind("", "s", &[], 0), wire::execute("", 2), wire::sync()].concat(),
            );
            answers.push(dana.until_ready());
            for sql in ["FETCH 2 FROM c", "EXECUTE p", "EXECUTE s"] {
                answers.push(dana.query(sql));
                answers.push(extended(&mut dana, sql));
            }
            for frames in answers {
                silent(&frames);
                let rows = frames.iter().filter(|f| f.tag == b'D').count();
                assert!(rows >= 2, "{code} {way}: {frames:?}");
                let shown = String::from_utf8_lossy(&bytes(&frames)).contains("Person");
                assert_eq!(shown, same, "{code} {way}: {frames:?}");
            }
        }
    }
}
