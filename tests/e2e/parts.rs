//! Messages of several statements of which one moves names: migrations.

use lockgate_tests::process;
use lockgate_tests::scene::{SSN, Scene, scene};
use lockgate_tests::wire::{self, Client};
use std::time::Duration;

const UNDO: &str = "DROP TABLE IF EXISTS steps, more CASCADE; DROP TYPE IF EXISTS kind; DROP SCHEMA IF EXISTS s CASCADE; DROP INDEX IF EXISTS people_name; \
    ALTER TABLE people DROP COLUMN IF EXISTS rank; ALTER TABLE notes DROP COLUMN IF EXISTS size; DELETE FROM log";

/// What a client sees of an answer: everything but the words of errors.
fn seen(client: &mut Client, sql: &str) -> Vec<(char, String)> {
    let frames = client.query(sql);
    let of = |frame: &wire::Frame| match frame.tag {
        b'E' | b'N' => format!("{:?} {:?}", frame.field(b'C'), frame.field(b'P')),
        b'T' => String::new(),
        _ => String::from_utf8_lossy(&frame.body).into_owned(),
    };
    frames.iter().map(|frame| (char::from(frame.tag), of(frame))).collect()
}

#[test]
fn a_migration_in_one_message_is_what_it_is_at_the_server() {
    let scene = scene();
    let mut through = Client::login(scene.gateway.port, "dana", &scene.dana());
    let parameters = [("user", "app"), ("database", scene.database.as_str())];
    let mut direct =
        Client::login_with(scene.postgres.port, &parameters, lockgate_tests::postgres::PASSWORD).expect("it logs in");
    for conversation in [
        &[
            "CREATE TABLE steps (id int PRIMARY KEY); CREATE INDEX ON steps (id); INSERT INTO steps VALUES (1), (2); SELECT * FROM steps",
        ][..],
        &[
            "ALTER TABLE people ADD COLUMN rank int; UPDATE people SET rank = points; ALTER TABLE people ALTER COLUMN rank SET NOT NULL; ALTER TABLE people ALTER COLUMN rank TYPE bigint",
            "SELECT id, rank FROM people ORDER BY id LIMIT 3",
        ],
        &[
            "BEGIN; CREATE TABLE steps (id int REFERENCES people); INSERT INTO steps VALUES (1); COMMIT",
            "SELECT * FROM steps",
        ],
        &["BEGIN; CREATE TABLE steps (id int); INSERT INTO steps VALUES (1)", "SELECT * FROM steps", "ROLLBACK"],
        &[
            "BEGIN",
            "CREATE TABLE steps (id int); INSERT INTO steps VALUES (1); SELECT 1",
            "CREATE TABLE more (id int); INSERT INTO more SELECT id FROM steps; COMMIT",
            "SELECT * FROM more",
        ],
        &[
            "DROP TYPE IF EXISTS kind; DO 'BEGIN CREATE TYPE kind AS ENUM (''a''); END'; CREATE TABLE steps (k kind); INSERT INTO steps VALUES ('a')",
            "SELECT * FROM steps",
        ],
        &["CREATE SCHEMA s; CREATE TABLE s.t (id int); INSERT INTO s.t VALUES (1); UPDATE s.t SET id = 2"],
        &[
            "CREATE INDEX people_name ON people (name); DROP INDEX people_name; CREATE INDEX people_name ON people (id, name)",
        ],
        // What fails undoes what came before it, and nothing runs behind it.
        &[
            "INSERT INTO log VALUES (1, 'x'); CREATE TABLE steps (id int); INSERT INTO steps VALUES (1 / 0); INSERT INTO log VALUES (2, 'y')",
            "SELECT * FROM log",
            "SELECT to_regclass('steps')",
        ],
        &[
            "CREATE TABLE steps (id int); CREATE TABLE steps (id int); INSERT INTO steps VALUES (1)",
            "SELECT to_regclass('steps')",
        ],
        &[
            "ALTER TABLE notes ADD COLUMN size int; UPDATE notes SET sise = 1 WHERE id = 1",
            "SELECT * FROM notes LIMIT 1",
        ],
        &["BEGIN; CREATE TABLE steps (id int); INSERT INTO steps VALUES ('x'); COMMIT", "SELECT 1", "ROLLBACK"],
        &["BEGIN", "CREATE TABLE steps (id int); INSERT INTO steps VALUES ('x')", "SELECT 1", "ROLLBACK"],
        &[
            "CREATE TABLE steps (id int); INSERT INTO steps VALUES (1); CREATE INDEX CONCURRENTLY ON steps (id)",
            "SELECT to_regclass('steps')",
        ],
    ] {
        scene.directly(UNDO);
        let expected: Vec<_> = conversation.iter().map(|sql| seen(&mut direct, sql)).collect();
        scene.directly(UNDO);
        let got: Vec<_> = conversation.iter().map(|sql| seen(&mut through, sql)).collect();
        assert_eq!(expected, got, "{conversation:?}");
    }
    // What fails at the end has not happened, and the last statement has not been said to be complete.
    scene.directly(UNDO);
    let frames = through
        .query("CREATE TABLE steps (id int UNIQUE DEFERRABLE INITIALLY DEFERRED); INSERT INTO steps VALUES (1), (1)");
    assert_eq!(wire::tags(&frames), "CEZ");
    assert_eq!(scene.directly("SELECT to_regclass('steps') IS NULL"), "t");
    // Two at once: the second waits for the whole of the first.
    scene.directly(UNDO);
    let message = |sql: &str| wire::message(b'Q', &wire::text(sql));
    through.send_raw(
        &[message("CREATE TABLE steps (id int); INSERT INTO steps VALUES (1)"), message("SELECT * FROM steps")]
            .concat(),
    );
    assert_eq!(wire::tags(&through.until_ready()), "CCZ");
    assert_eq!(wire::tags(&through.until_ready()), "TDCZ");
}

#[test]
fn a_part_is_judged_by_the_names_of_its_time() {
    let scene = scene();
    let mut client = Client::login(scene.gateway.port, "dana", &scene.dana());
    for sql in [
        "CREATE TABLE steps (id int, t text); INSERT INTO steps SELECT id, ssn FROM people; SELECT * FROM steps",
        "ALTER TABLE people RENAME COLUMN ssn TO plain; UPDATE people SET name = plain; SELECT name FROM people",
        "ALTER TABLE people RENAME TO persons; CREATE TABLE steps (id int, t text); UPDATE persons SET name = ssn; SELECT * FROM persons",
        "CREATE SCHEMA s; SET search_path TO s; CREATE TABLE people (ssn text); SET search_path TO public; SELECT id FROM people WHERE ssn = 'SSN-CANARY-0007'",
        "CREATE VIEW public.seen AS SELECT ssn AS name FROM people; CREATE TABLE steps AS SELECT name FROM public.seen; SELECT * FROM steps",
        "CREATE FUNCTION s() RETURNS text LANGUAGE sql AS 'SELECT ssn FROM people WHERE id = 7'; INSERT INTO log VALUES (1, s()); SELECT who FROM log",
        "BEGIN; CREATE TABLE steps (t text); INSERT INTO steps SELECT ssn FROM people; COMMIT",
    ] {
        let frames = client.query(sql);
        let all: Vec<u8> = frames.iter().flat_map(|frame| frame.body.clone()).collect();
        assert!(!String::from_utf8_lossy(&all).contains("SSN-CANARY"), "{sql}");
        assert!(wire::tags(&frames).contains('E'), "{sql}: {}", wire::tags(&frames));
        client.query("ROLLBACK");
        // Nothing of it is there.
        assert_eq!(scene.directly("SELECT count(*) FROM people WHERE name = ssn"), "0", "{sql}");
        assert_eq!(scene.directly("SELECT ssn FROM people WHERE id = 7"), SSN);
        assert_eq!(
            scene
                .directly("SELECT coalesce(to_regclass('steps'), to_regclass('persons'), to_regclass('seen')) IS NULL"),
            "t",
            "{sql}"
        );
    }
    // Who may not define does not, and what stood before it is undone.
    let mut alice = Client::login(scene.gateway.port, "alice", &scene.alice());
    let frames =
        alice.query("INSERT INTO log VALUES (5, 'x'); SET search_path TO public; UPDATE people SET name = ssn");
    assert_eq!(wire::tags(&frames).chars().filter(|tag| "EZ".contains(*tag)).collect::<String>(), "EZ");
    assert_eq!(scene.directly("SELECT count(*) FROM log"), "0");
    assert_eq!(alice.query("SELECT 1").len(), 4);
    // What is denied for what it does is denied before anything runs.
    for sql in [
        "INSERT INTO log VALUES (5, 'x'); SET search_path TO public; DROP TABLE notes; SELECT ssn = '1' FROM people",
        "DROP TABLE notes; SELECT 1; SELECT count(*) FROM people WHERE ssn = '1'",
    ] {
        assert_eq!(wire::tags(&alice.query(sql)), "EZ", "{sql}");
    }
    // A message knows no savepoints.
    let marks = "CREATE TABLE steps (id int); SAVEPOINT a; INSERT INTO steps VALUES (1); RELEASE a";
    assert_eq!(wire::tags(&client.query(marks)), "EZ");
}

#[test]
fn labels_do_not_follow_a_part() {
    let scene = Scene::with(15, |options| options.target_extra.push_str("\n    laundering: propagate"));
    let mut client = Client::login(scene.gateway.port, "dana", &scene.dana());
    let copies = "CREATE TABLE steps (id int); CREATE TABLE more AS SELECT ssn FROM people; SELECT 1";
    assert_eq!(wire::tags(&client.query(copies)), "EZ");
    // A copy that is one only by then is refused by then.
    let later = "CREATE TABLE steps (t text); INSERT INTO steps SELECT ssn FROM people; SELECT * FROM steps";
    let frames = client.query(later);
    assert!(wire::tags(&frames).ends_with("EZ") && !wire::tags(&frames).contains('D'), "{}", wire::tags(&frames));
    assert_eq!(scene.directly("SELECT to_regclass('steps') IS NULL AND to_regclass('more') IS NULL"), "t");
}

#[test]
fn who_cancels_or_leaves_in_the_middle_leaves_nothing() {
    let scene = scene();
    let mut client = Client::login(scene.gateway.port, "dana", &scene.dana());
    let message = "CREATE TABLE steps (id int); INSERT INTO steps VALUES (1); SELECT pg_sleep(60); DROP TABLE steps";
    let running = "SELECT count(*) FROM pg_stat_activity WHERE state = 'active' AND query LIKE '%pg_sleep(60)%' AND pid <> pg_backend_pid()";
    let wait = |count: &str| {
        process::eventually("it runs, or does no more", Duration::from_secs(10), || scene.directly(running) == count);
    };
    client.send_raw(&wire::message(b'Q', &wire::text(message)));
    wait("1");
    Client::connect(scene.gateway.port).send_raw(&wire::cancel(client.key.as_ref().unwrap()));
    let frames = client.until_ready();
    assert_eq!(wire::tags(&frames).replace(['T', 'D'], ""), "CCEZ");
    assert_eq!(wire::error(&frames).field(b'C').as_deref(), Some("57014"));
    assert_eq!(client.value("SELECT to_regclass('steps') IS NULL"), "t");
    client.send_raw(&wire::message(b'Q', &wire::text(message)));
    wait("1");
    drop(client);
    wait("0");
    assert_eq!(scene.directly("SELECT to_regclass('steps') IS NULL"), "t");
}
