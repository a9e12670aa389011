//! Deferrable triggers run at the end of the transaction, and find then what their names stand for: what they store is judged
//! by that, and not only by what there was when the row was written.

use crate::waiting::{code, dana, done};
use lockgate_tests::scene;
use lockgate_tests::scene::Scene;
use lockgate_tests::wire::{self, Client, Frame, bind, execute, parse, sync};

/// Writes to `queue` put off a copy of what `source` stands for then.
const DEFERRED: &str = "CREATE TABLE queue (i int); CREATE TABLE copies (x text); \
  CREATE TABLE source AS SELECT id, 'harmless'::text AS ssn FROM people; \
  CREATE FUNCTION copy_later() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN \
    INSERT INTO public.copies SELECT ssn FROM source WHERE id = 7; RETURN NULL; END $$; \
  CREATE CONSTRAINT TRIGGER later AFTER INSERT ON queue DEFERRABLE INITIALLY DEFERRED \
    FOR EACH ROW EXECUTE FUNCTION copy_later(); \
  GRANT ALL ON queue, copies, source TO PUBLIC";

/// In a schema of its own or of the session's, the same name stands for what is labelled.
const HIDDEN: &str = "CREATE TEMP VIEW source AS SELECT id, ssn FROM public.people";

const WRITE: &str = "INSERT INTO queue VALUES (1)";

fn put_off() -> Scene {
    let scene = scene();
    scene.directly(DEFERRED);
    scene
}

#[track_caller]
fn nothing_was_copied(scene: &Scene, what: &str, frames: &[Frame]) {
    assert_eq!(scene.directly("SELECT count(*) FROM copies WHERE x LIKE '%CANARY%'"), "0", "{what}: {frames:?}");
}

fn run(sql: &str) -> Vec<u8> {
    [parse("", sql), bind("", "", &[], 0), execute("", 0)].concat()
}

fn sent(client: &mut Client, frames: &[Vec<u8>]) -> Vec<Frame> {
    client.send_raw(&[frames.concat(), sync()].concat());
    client.until_ready()
}

#[test]
fn what_is_made_before_the_end_is_not_copied_at_the_end() {
    let scene = put_off();
    for end in ["COMMIT", "END", "SET CONSTRAINTS ALL IMMEDIATE", "PREPARE TRANSACTION 'p'", "EXECUTE c"] {
        for how in ["simple", "extended", "pipelined"] {
            let mut client = dana(&scene.gateway);
            sent(&mut client, &[parse("c", "COMMIT")]);
            let frames = match how {
                "pipelined" => sent(&mut client, &[run("BEGIN"), run(WRITE), run(HIDDEN), run(end)]),
                _ => {
                    done(&mut client, "BEGIN");
                    done(&mut client, WRITE);
                    done(&mut client, HIDDEN);
                    if how == "simple" { client.query(end) } else { sent(&mut client, &[run(end)]) }
                }
            };
            assert!(frames.iter().any(|f| f.tag == b'E'), "{end} {how}: {frames:?}");
            client.query("COMMIT");
            nothing_was_copied(&scene, end, &frames);
            drop(client);
        }
    }
    scene.gateway.verify();
}

/// Without BEGIN a message is a transaction, and so is a pipeline up to its Sync.
#[test]
fn a_message_or_a_pipeline_ends_as_a_transaction_does() {
    let scene = put_off();
    let mut client = dana(&scene.gateway);
    for sql in [
        format!("{WRITE}; {HIDDEN}"),
        format!("BEGIN; {WRITE}; {HIDDEN}; COMMIT"),
        format!("BEGIN; {WRITE}; {HIDDEN}; SET CONSTRAINTS ALL IMMEDIATE; ROLLBACK"),
    ] {
        let frames = client.query(&sql);
        assert_eq!(code(&frames).as_deref(), Some("42501"), "{sql}: {frames:?}");
        nothing_was_copied(&scene, &sql, &frames);
        client.query("ROLLBACK");
    }
    let frames = sent(&mut client, &[run(WRITE), run(HIDDEN)]);
    assert_eq!(code(&frames).as_deref(), Some("40001"), "{frames:?}");
    nothing_was_copied(&scene, "a pipeline", &frames);
    let query = wire::message(b'Q', &wire::text("SELECT 1"));
    client.send_raw(&[run(WRITE), run(HIDDEN), query].concat());
    let frames = client.until_ready();
    assert_eq!(code(&frames).as_deref(), Some("40001"), "{frames:?}");
    nothing_was_copied(&scene, "a query behind a pipeline", &frames);
    assert_eq!(client.value("SELECT 1"), "1", "the session goes on");
}

#[test]
fn another_session_and_another_path_make_no_difference() {
    let scene = put_off();
    scene.directly("CREATE SCHEMA aside; GRANT ALL ON SCHEMA aside TO PUBLIC");
    let (mut client, mut other) = (dana(&scene.gateway), dana(&scene.gateway));
    done(&mut client, "SET search_path = aside, public");
    done(&mut client, "BEGIN");
    done(&mut client, WRITE);
    done(&mut other, "CREATE VIEW aside.source AS SELECT id, ssn FROM public.people");
    let frames = client.query("COMMIT");
    assert_eq!(code(&frames).as_deref(), Some("40001"), "{frames:?}");
    nothing_was_copied(&scene, "a view of somebody else", &frames);
    done(&mut client, "ROLLBACK");
    // What exists twice may be either, whatever the path is now.
    done(&mut client, "SET search_path = public");
    let frames = client.query(WRITE);
    assert_eq!(code(&frames).as_deref(), Some("42501"), "{frames:?}");
    scene.directly("ALTER FUNCTION copy_later() SET search_path = public");
    std::thread::sleep(std::time::Duration::from_millis(600));
    done(&mut client, WRITE);
    assert_eq!(scene.directly("SELECT DISTINCT x FROM copies"), "harmless");
}

#[test]
fn who_defines_something_else_is_not_disturbed() {
    let scene = put_off();
    let mut client = dana(&scene.gateway);
    for n in 0..3 {
        done(&mut client, "RESET search_path");
        done(&mut client, "BEGIN");
        done(&mut client, WRITE);
        done(&mut client, &format!("CREATE TABLE made{n} AS SELECT name FROM people"));
        done(&mut client, "SET search_path = pg_catalog, public");
        done(&mut client, &format!("DROP TABLE public.made{n}"));
        done(&mut client, "COMMIT");
        let frames =
            sent(&mut client, &[run(WRITE), run("CREATE TEMP TABLE mine AS SELECT 1 AS i"), run("DROP TABLE mine")]);
        assert_eq!(code(&frames), None, "{frames:?}");
        done(&mut client, WRITE);
    }
    assert_eq!(scene.directly("SELECT count(*) FROM copies WHERE x = 'harmless'"), "9");
}

/// The Sync that waits for the catalog is answered even where what stands before it fails.
#[test]
fn a_pipeline_that_fails_is_answered() {
    let scene = put_off();
    scene.directly("ALTER TABLE queue ADD UNIQUE (i)");
    let mut client = dana(&scene.gateway);
    for _ in 0..3 {
        let frames = sent(&mut client, &[run("INSERT INTO queue VALUES (5)"), run("INSERT INTO queue VALUES (5)")]);
        assert!(frames.iter().any(|f| f.tag == b'E'), "{frames:?}");
        let frames = sent(&mut client, &[run(WRITE), run(HIDDEN), run("SELECT 1/0")]);
        assert_eq!(code(&frames).as_deref(), Some("22012"), "{frames:?}");
        std::thread::sleep(std::time::Duration::from_millis(600));
    }
    assert_eq!(client.value("SELECT 1"), "1");
}

/// A key that is checked at the end says so, also where the transaction has changed definitions: its client tries no transaction
/// again that cannot succeed. What a trigger says then is the trigger's choice.
#[test]
fn a_key_that_is_checked_at_the_end_has_its_own_code() {
    let scene = scene();
    scene.directly(
        "CREATE TABLE kinds (id int PRIMARY KEY); \
         CREATE TABLE things (id int UNIQUE DEFERRABLE INITIALLY DEFERRED, kind int REFERENCES kinds DEFERRABLE INITIALLY DEFERRED); \
         CREATE FUNCTION says() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN \
           RAISE EXCEPTION 'no' USING ERRCODE = 'unique_violation', CONSTRAINT = 'things_id_key'; END $$; \
         CREATE TABLE refused (id int); \
         CREATE CONSTRAINT TRIGGER later AFTER INSERT ON refused DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION says(); \
         GRANT ALL ON kinds, things, refused TO PUBLIC",
    );
    let mut client = dana(&scene.gateway);
    for (sql, expected) in [
        ("INSERT INTO things VALUES (1, 99)", "23503"),
        ("INSERT INTO things VALUES (1), (1)", "23505"),
        ("INSERT INTO refused VALUES (1)", "40001"),
    ] {
        done(&mut client, "BEGIN");
        done(&mut client, "CREATE TABLE made (id int)");
        done(&mut client, sql);
        let frames = client.query("COMMIT");
        assert_eq!(code(&frames).as_deref(), Some(expected), "{sql}: {frames:?}");
        assert_eq!(scene.directly("SELECT to_regclass('made') IS NULL"), "t");
    }
}
