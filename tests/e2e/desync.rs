//! What a name means is what the server says, whatever was sent together, rolled back or run out of sight: a verdict or a
//! mask never belongs to something else than what runs.

use crate::masking::leaked;
use lockgate_tests::wire::{self, Client};
use lockgate_tests::{Scene, scene};
use std::time::Duration;

/// An expression, so that the server's word on the column's origin says nothing.
const SECRET: &str = "SELECT ssn || '' FROM people LIMIT 1";

/// A scene with a table of the same name in another schema, where nothing is labelled.
fn two_worlds() -> Scene {
    let scene = scene();
    scene.directly(
        "CREATE SCHEMA x; CREATE TABLE x.people (id int, name text, ssn text); INSERT INTO x.people VALUES (1, 'n', 'harmless'); \
         GRANT USAGE ON SCHEMA x TO PUBLIC; GRANT SELECT ON x.people TO PUBLIC",
    );
    scene
}

fn run(sql: &str) -> Vec<u8> {
    [wire::parse("", sql), wire::bind("", "", &[], 0), wire::execute("", 0)].concat()
}

/// Frames that are sent together; each entry ends with its own ReadyForQuery.
fn all(client: &mut Client, sent: &[u8]) -> String {
    client.send_raw(sent);
    client.until_ready().iter().map(|frame| String::from_utf8_lossy(&frame.body).into_owned()).collect()
}

/// Up to the next ReadyForQuery.
fn rest(client: &mut Client) -> String {
    client.until_ready().iter().map(|frame| String::from_utf8_lossy(&frame.body).into_owned()).collect()
}

/// Sets the path to where something is labelled.
const MOVE: &str = "set_config('search_path', 'public', false)";

/// What it tries, the statements before (one at a time), what is sent at once, and the statements after.
type Case = (&'static str, Vec<String>, Vec<u8>, Vec<&'static str>);

#[test]
fn a_name_is_looked_up_where_the_server_looks() {
    let scene = two_worlds();
    let (alice, dana) = (scene.alice(), scene.dana());
    let set = |path: &str| format!("SET search_path = {path}");

    let cases: Vec<Case> = vec![
        (
            "the path changes in the same pipeline",
            vec![set("x, public"), SECRET.into()],
            [run(&set("public")), run(SECRET), wire::sync()].concat(),
            vec![],
        ),
        (
            "a pipeline that is rolled back",
            vec![],
            [run(&set("x, public")), run("SELECT count(*) FROM people"), run("SELECT 1/0"), wire::sync()].concat(),
            vec![SECRET],
        ),
        (
            "a setting that ends with its pipeline",
            vec![],
            [
                run("SELECT 1"),
                run("SET LOCAL search_path = x, public"),
                run("SELECT count(*) FROM people"),
                wire::sync(),
            ]
            .concat(),
            vec![SECRET],
        ),
        (
            "a rollback in the same pipeline",
            vec!["BEGIN".into(), set("x, public"), SECRET.into(), "SELECT 1/0".into()],
            [run("ROLLBACK"), run(SECRET), wire::sync()].concat(),
            vec![],
        ),
        (
            "a name that is prepared anew in the same pipeline",
            vec!["PREPARE s AS SELECT name FROM people LIMIT 1".into()],
            [
                run("DEALLOCATE s"),
                run(&format!("PREPARE s AS {SECRET}")),
                wire::bind("", "s", &[], 0),
                wire::execute("", 0),
                wire::sync(),
            ]
            .concat(),
            vec![],
        ),
        (
            "a portal that was bound under another path",
            vec!["BEGIN".into()],
            [
                wire::parse("s1", SECRET),
                wire::bind("p1", "s1", &[], 0),
                run(&set("x, public")),
                wire::execute("p1", 0),
                wire::sync(),
            ]
            .concat(),
            vec![],
        ),
        (
            "a cursor that was opened under another path",
            vec!["BEGIN".into(), format!("DECLARE c CURSOR FOR {SECRET}"), set("x, public")],
            [wire::execute("c", 0), wire::sync()].concat(),
            vec![],
        ),
        (
            "a path that is set by a prepared statement",
            vec![
                set("x, public"),
                "PREPARE s AS SELECT set_config('search_path', 'public', false)".into(),
                SECRET.into(),
                "EXECUTE s".into(),
            ],
            [run(SECRET), wire::sync()].concat(),
            vec![SECRET],
        ),
        (
            "a path that is set by reading a cursor",
            vec![
                set("x, public"),
                "BEGIN".into(),
                "DECLARE c CURSOR FOR SELECT set_config('search_path', 'public', false)".into(),
                SECRET.into(),
                "MOVE c".into(),
            ],
            [run(SECRET), wire::sync()].concat(),
            vec![SECRET],
        ),
        (
            "a path that is set by a portal that says there is more",
            vec![set("x, public"), SECRET.into()],
            [
                wire::parse("", &format!("SELECT {MOVE}")),
                wire::bind("", "", &[], 0),
                wire::execute("", 1),
                run(SECRET),
                wire::sync(),
            ]
            .concat(),
            vec![SECRET],
        ),
        (
            "a path that is set by an argument of EXECUTE",
            vec![set("x, public"), "PREPARE p(text) AS SELECT $1".into(), SECRET.into(), format!("EXECUTE p({MOVE})")],
            [run(SECRET), wire::sync()].concat(),
            vec![SECRET],
        ),
        (
            "a path that is set by a query that is copied",
            vec![set("x, public"), SECRET.into(), format!("COPY (SELECT {MOVE}) TO STDOUT")],
            [run(SECRET), wire::sync()].concat(),
            vec![SECRET],
        ),
        (
            "a path that is set by a query that is copied in the same message",
            vec![set("x, public"), SECRET.into()],
            wire::message(b'Q', &wire::text(&format!("COPY (SELECT {MOVE}) TO STDOUT; {SECRET}"))),
            vec![SECRET],
        ),
        (
            "a path that is set at the end of the transaction",
            vec![
                set("x, public"),
                "BEGIN".into(),
                format!("DECLARE c CURSOR WITH HOLD FOR SELECT {MOVE}"),
                SECRET.into(),
                "COMMIT".into(),
            ],
            [run(SECRET), wire::sync()].concat(),
            vec![SECRET],
        ),
        (
            "a path that is set by the explanation of a cursor",
            vec![
                set("x, public"),
                "BEGIN".into(),
                SECRET.into(),
                format!("EXPLAIN ANALYZE DECLARE c CURSOR FOR SELECT {MOVE}"),
            ],
            [run(SECRET), wire::sync()].concat(),
            vec![],
        ),
        (
            "a cursor whose name a portal could not take",
            vec![
                set("x, public"),
                "BEGIN".into(),
                format!("DECLARE c CURSOR FOR SELECT {MOVE}"),
                "SAVEPOINT s".into(),
                SECRET.into(),
            ],
            [
                wire::parse("k", "SELECT 1"),
                wire::bind("c", "k", &[], 0),
                wire::sync(),
                run("ROLLBACK TO s"),
                run("MOVE c"),
                run(SECRET),
                wire::sync(),
            ]
            .concat(),
            vec![],
        ),
    ];
    for (what, before, at_once, after) in cases {
        // Only she may copy.
        let (user, token) = if what.contains("copied") { ("dana", &dana) } else { ("alice", &alice) };
        let mut client = Client::login(scene.gateway.port, user, token);
        for sql in before {
            client.query(&sql);
        }
        let answer = all(&mut client, &at_once);
        let answer = if what.contains("could not take") { answer + &rest(&mut client) } else { answer };
        assert_eq!(leaked(answer.as_bytes()), None, "{what}: {answer}");
        for sql in after {
            let rows = format!("{:?}", wire::rows(&client.query(sql)));
            assert_eq!(leaked(rows.as_bytes()), None, "{what}: {rows}");
            assert!(rows.contains("***"), "{what}: {rows}");
        }
    }
}

#[test]
fn a_name_after_a_change_in_the_same_message_is_not_believed() {
    let scene = two_worlds();
    let mut client = Client::login(scene.gateway.port, "alice", &scene.alice());
    client.query("SET search_path = x, public");
    client.query(&format!("PREPARE s AS {SECRET}"));
    assert_eq!(client.value("EXECUTE s"), "harmless");
    let answer = all(&mut client, &wire::message(b'Q', &wire::text("SET search_path = public; EXECUTE s")));
    assert_eq!(leaked(answer.as_bytes()), None, "{answer}");
}

#[test]
fn a_deferred_constraint_does_not_quote_a_labelled_key() {
    let scene = scene();
    scene.directly(
        "ALTER TABLE people ADD UNIQUE (ssn); CREATE TABLE refers (ssn text REFERENCES people (ssn) DEFERRABLE INITIALLY DEFERRED); \
         INSERT INTO refers SELECT ssn FROM people WHERE id = 7; GRANT ALL ON refers TO PUBLIC",
    );
    let mut client = Client::login(scene.gateway.port, "dana", &scene.dana());
    let delete = "DELETE FROM people WHERE id = 7";
    for statements in [
        vec![delete.to_owned()],
        vec![format!("{delete}; SELECT 1")],
        vec!["BEGIN".to_owned(), delete.to_owned(), "COMMIT".to_owned()],
        vec!["BEGIN".to_owned(), delete.to_owned(), "SET CONSTRAINTS ALL IMMEDIATE".to_owned(), "ROLLBACK".to_owned()],
    ] {
        let said: String = statements.iter().map(|sql| format!("{:?}", client.query(sql))).collect();
        assert!(said.contains("23503"), "{statements:?}: {said}");
        assert_eq!(leaked(said.as_bytes()), None, "{statements:?}: {said}");
    }
    let answer = all(&mut client, &[run(delete), wire::sync()].concat());
    assert!(answer.contains("23503"), "{answer}");
    assert_eq!(leaked(answer.as_bytes()), None, "{answer}");
}

#[test]
fn a_transaction_that_sees_an_old_catalog_is_not_trusted_with_the_new_one() {
    let scene = scene();
    scene.directly("CREATE TABLE later (id int, ssn text); GRANT SELECT ON later TO PUBLIC");
    let (alice, dana) = (scene.alice(), scene.dana());
    let mut frozen = Client::login(scene.gateway.port, "alice", &alice);
    frozen.query("BEGIN ISOLATION LEVEL REPEATABLE READ");
    assert_eq!(frozen.value("SELECT 1"), "1");
    // A change through the gateway, and one beside it.
    let mut other = Client::login(scene.gateway.port, "dana", &dana);
    other.query("CREATE TABLE unrelated (id int)");
    scene
        .directly("DROP TABLE later; CREATE VIEW later AS SELECT id, ssn FROM people; GRANT SELECT ON later TO PUBLIC");
    std::thread::sleep(std::time::Duration::from_millis(800));
    let answer = format!("{:?}", frozen.query("SELECT ssn || '' FROM later LIMIT 1"));
    assert_eq!(leaked(answer.as_bytes()), None, "{answer}");
    frozen.query("ROLLBACK");
    assert_eq!(frozen.value("SELECT ssn || '' FROM later LIMIT 1"), "***");
}

#[test]
fn a_statement_that_executes_another_is_no_way_around() {
    let scene = scene();
    let alice = scene.alice();
    let mut client = Client::login(scene.gateway.port, "alice", &alice);
    client.query("PREPARE s AS SELECT name FROM people LIMIT 1");
    let prepare = format!("PREPARE s AS {SECRET}");
    all(&mut client, &[wire::parse("q", "DEALLOCATE s"), wire::parse("p", &prepare), wire::sync()].concat());
    for sql in ["EXECUTE q", "EXECUTE p", "EXECUTE s"] {
        let answer = format!("{:?}", client.query(sql));
        assert_eq!(leaked(answer.as_bytes()), None, "{sql}: {answer}");
    }
    // What has to wait for people waits also behind two names.
    let mut client = Client::login(scene.gateway.port, "alice", &alice);
    let before = scene.directly("SELECT count(*) FROM notes");
    let delete = "DELETE FROM notes WHERE id = 1";
    all(&mut client, &[wire::parse("d", delete), wire::parse("e", "EXECUTE d"), wire::sync()].concat());
    client.send(b'Q', &wire::text("EXECUTE e"));
    let first = client.frame();
    assert!(matches!(first.tag, b'E' | b'N'), "{first:?}");
    assert_eq!(scene.directly("SELECT count(*) FROM notes"), before);
}

#[test]
fn names_that_the_server_takes_for_one_are_refused() {
    let scene = scene();
    let mut client = Client::login(scene.gateway.port, "alice", &scene.alice());
    let one = format!("{}1", "a".repeat(63));
    let other = format!("{}2", "a".repeat(63));
    let bound = |portal: &str, statement: &str| {
        [wire::bind(portal, statement, &[], 0), wire::execute(portal, 0), wire::sync()].concat()
    };
    // Sixty-three bytes are a name of its own.
    let longest = "a".repeat(63);
    let answer = all(&mut client, &[wire::parse(&longest, "SELECT 'x'"), wire::sync()].concat());
    assert!(!answer.contains("42622"), "{answer}");
    for frames in [
        [wire::parse(&one, "SELECT 'x'"), wire::sync()].concat(),
        [wire::message(b'C', &[b"S".to_vec(), wire::text(&other)].concat()), wire::sync()].concat(),
        [wire::parse(&other, SECRET), wire::sync()].concat(),
        bound("", &one),
        bound(&one, &longest),
        [wire::execute(&one, 0), wire::sync()].concat(),
        [wire::describe(b'S', &one), wire::sync()].concat(),
    ] {
        let answer = all(&mut client, &frames);
        assert!(answer.contains("42622"), "{answer}");
    }
    let answer = all(&mut client, &bound("", &longest));
    assert!(answer.contains('x'), "{answer}");
}

#[test]
fn a_shape_of_before_is_not_taken_for_that_of_what_a_name_stands_for_now() {
    let scene = scene();
    let mut client = Client::login(scene.gateway.port, "alice", &scene.alice());
    client.query("PREPARE p AS SELECT true");
    all(&mut client, &[wire::parse("s", "EXECUTE p"), wire::describe(b'S', "s"), wire::sync()].concat());
    client.query("DEALLOCATE p");
    client.query(&format!("PREPARE p AS {SECRET}"));
    let answer = all(&mut client, &[wire::bind("", "s", &[], 0), wire::execute("", 0), wire::sync()].concat());
    assert_eq!(leaked(answer.as_bytes()), None, "{answer}");
    assert!(answer.contains("***"), "{answer}");
}

/// Whatever a session has set, the gateway's own questions say the same, or nothing is answered that they are needed for.
#[test]
fn settings_and_shadows_do_not_mislead_the_gateways_own_questions() {
    let scene = scene();
    scene.directly(
        "CREATE SCHEMA evil;
         CREATE FUNCTION evil.no(oid, oid) RETURNS bool LANGUAGE sql IMMUTABLE AS 'SELECT false';
         CREATE OPERATOR evil.= (LEFTARG = oid, RIGHTARG = oid, FUNCTION = evil.no);
         CREATE OPERATOR evil.>= (LEFTARG = oid, RIGHTARG = oid, FUNCTION = evil.no);
         CREATE DOMAIN evil.text AS pg_catalog.int4; CREATE DOMAIN evil.oid AS pg_catalog.int4;
         CREATE FUNCTION evil.current_setting(pg_catalog.text) RETURNS pg_catalog.text LANGUAGE sql AS 'SELECT ''on UTF8 UTF8''::pg_catalog.text';
         CREATE FUNCTION evil.current_schemas(bool) RETURNS name[] LANGUAGE sql AS 'SELECT ''{evil}''::name[]';
         CREATE FUNCTION evil.count(pg_catalog.int4) RETURNS pg_catalog.int8 LANGUAGE sql AS 'SELECT 1000::pg_catalog.int8';
         CREATE VIEW evil.pg_class AS SELECT 1 AS oid; CREATE VIEW evil.pg_attribute AS SELECT 1 AS attrelid;
         CREATE VIEW evil.people AS SELECT id, ssn AS name FROM public.people;
         GRANT USAGE ON SCHEMA evil TO PUBLIC; GRANT SELECT ON ALL TABLES IN SCHEMA evil TO PUBLIC",
    );
    let alice = scene.alice();
    let all = [
        "SET statement_timeout = 1",
        "SET lock_timeout = 1",
        "SET default_transaction_read_only = on",
        "SET default_transaction_isolation = serializable",
        "SET default_transaction_deferrable = on",
        "SET client_min_messages = debug5",
        "SET search_path = evil, pg_catalog, public",
        "SET search_path = evil",
        "SET DateStyle = German",
        "SET extra_float_digits = 0",
        "SET bytea_output = escape",
        "SET IntervalStyle = iso_8601",
    ];
    let ask = |settings: &str| {
        let mut client = Client::login(scene.gateway.port, "alice", &alice);
        client.query(settings);
        for begun in [false, true] {
            // By now the last answer about the catalog is too old.
            std::thread::sleep(Duration::from_millis(if begun { 0 } else { 550 }));
            if begun {
                client.query("BEGIN");
            }
            for sql in [
                "SELECT name FROM people WHERE id OPERATOR(pg_catalog.=) 7",
                "SELECT ssn, name FROM public.people WHERE id OPERATOR(pg_catalog.=) 7",
                "SELECT name || '' FROM people WHERE id OPERATOR(pg_catalog.=) 7",
            ] {
                client.query(sql);
            }
            client.query("ROLLBACK");
        }
        assert_eq!(leaked(&client.seen), None, "{settings}");
        client.query("RESET ALL");
        assert_eq!(client.value("SELECT name FROM public.people WHERE id = 7"), "Person 7", "{settings}");
    };
    std::thread::scope(|scope| {
        for settings in all {
            scope.spawn(|| ask(settings));
        }
    });
}
