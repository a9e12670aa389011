//! What counts as altered, and for whom: through whichever target of a database, in one message or in many. And what an answer
//! that is withheld may leave behind, which is nothing.

use crate::waiting::{
    CLEAN, LABELLED, code, dana, done, extended, leaked, simple, until_waiting, withheld, withheld_or_judged_anew,
};
use lockgate_tests::scene;
use lockgate_tests::scene::Scene;
use lockgate_tests::wire::{self, Client, bind, describe, execute, parse, sync};
use std::time::{Duration, Instant};

/// The usual scene with a second target for its database, and somebody on that.
fn two_targets() -> Scene {
    Scene::with(15, |options| {
        let other = options.target_extra.clone();
        let (port, database, role) = (options.target_port, &options.database, lockgate_tests::postgres::ROLE);
        options.target_extra.push_str(&format!(
            "\n  - name: other\n    protocol: postgres\n    address: 127.0.0.1:{port}\n    database: {database}\n    \
             username: {role}\n    password: ${{env:TEST_TARGET_PASSWORD}}\n{other}"
        ));
        options.extra = options.extra.replace("shop/public.people.ssn", "'*/public.people.ssn'");
        options.policies.push_str("permit (principal in Group::\"dba\", action, resource in Target::\"other\");\n");
    })
}

fn on_other(scene: &Scene) -> Client {
    let token = scene.gateway.token("dana", &["dba"]);
    Client::login_with(scene.gateway.port, &[("user", "dana"), ("database", "other")], &token).expect("a login")
}

#[test]
fn what_is_altered_through_another_target_of_the_database_counts() {
    let scene = two_targets();
    let (mut definer, mut reader) = (dana(&scene.gateway), on_other(&scene));
    done(&mut definer, CLEAN);
    assert_eq!(reader.value("SELECT x FROM v WHERE id = 7"), "Person 7");
    for (pipeline, sent) in
        [(false, simple("SELECT x FROM v WHERE id = 7")), (true, extended("SELECT x FROM v WHERE id = 7"))]
    {
        done(&mut definer, CLEAN);
        done(&mut reader, "SELECT x FROM v WHERE id = 7");
        done(&mut definer, "BEGIN");
        done(&mut definer, LABELLED);
        reader.send_raw(&sent);
        until_waiting(&scene, 1);
        done(&mut definer, "COMMIT");
        let frames = reader.until_ready();
        if pipeline {
            withheld_or_judged_anew("through another target", &frames);
        } else {
            assert_eq!(code(&frames).as_deref(), Some("40001"), "{frames:?}");
            assert!(leaked(&frames).is_none(), "{frames:?}");
        }
        assert_eq!(reader.value("SELECT x FROM v WHERE id = 7"), "***");
    }
    // Also for a transaction that sees the catalog of its beginning, where the server looks names up as they are.
    done(&mut definer, CLEAN);
    assert_eq!(reader.value("SELECT x FROM v WHERE id = 7"), "Person 7");
    done(&mut reader, "BEGIN ISOLATION LEVEL REPEATABLE READ");
    done(&mut reader, "SELECT name FROM people WHERE id = 7");
    done(&mut definer, LABELLED);
    let frames = reader.query("SELECT x FROM v WHERE id = 7");
    assert!(leaked(&frames).is_none(), "{frames:?}");
    assert_eq!(code(&frames).as_deref(), Some("40001"), "which clients know to try again: {frames:?}");
    done(&mut reader, "ROLLBACK");
    assert_eq!(reader.value("SELECT x FROM v WHERE id = 7"), "***");
    // One that began after a change has nothing to fear from it, whoever finds it out later.
    done(&mut definer, CLEAN);
    assert_eq!(reader.value("SELECT x FROM v WHERE id = 7"), "Person 7");
    done(&mut reader, "BEGIN ISOLATION LEVEL REPEATABLE READ");
    assert_eq!(reader.value("SELECT x FROM v WHERE id = 7"), "Person 7");
    done(&mut dana(&scene.gateway), "SELECT x FROM v WHERE id = 7");
    assert_eq!(reader.value("SELECT x FROM v WHERE id = 8"), "Person 8");
}

#[test]
fn what_goes_on_after_a_commit_is_another_alteration() {
    let scene = scene();
    let (mut definer, mut reader) = (dana(&scene.gateway), dana(&scene.gateway));
    let run = |sql: &str| [parse("", sql), bind("", "", &[], 0), execute("", 0)].concat();
    for between in [run("COMMIT"), [run("COMMIT"), sync()].concat()] {
        done(&mut definer, CLEAN);
        done(&mut reader, "SELECT x FROM v WHERE id = 7");
        done(&mut definer, "BEGIN");
        done(&mut definer, "LOCK TABLE v IN ACCESS EXCLUSIVE MODE");
        // It lets go of the view before the second definition, and does not answer until the second is there.
        reader.send_raw(&simple("BEGIN; SELECT x FROM v WHERE id = 7; COMMIT; SELECT pg_sleep(1.5)"));
        until_waiting(&scene, 1);
        let syncs = between.iter().filter(|byte| **byte == b'S').count();
        definer.send_raw(&[run(LABELLED), between, run("SELECT pg_sleep(0.3)"), run(CLEAN), sync()].concat());
        definer.until_ready();
        if syncs > 1 {
            definer.until_ready();
        }
        let frames = reader.until_ready();
        assert!(leaked(&frames).is_none(), "{frames:?}");
        assert_eq!(code(&frames).as_deref(), Some("40001"), "{frames:?}");
        done(&mut reader, "ROLLBACK");
    }
}

#[test]
fn what_a_withheld_statement_leaves_in_its_session_is_undone() {
    let scene = scene();
    let (mut definer, mut reader) = (dana(&scene.gateway), dana(&scene.gateway));
    let set = "SELECT set_config('a.b', (SELECT x FROM v WHERE id = 7), false)";
    let hold = "DECLARE c CURSOR WITH HOLD FOR SELECT x FROM v WHERE id = 7";
    done(&mut reader, "LISTEN told");
    for (pipeline, sent) in [
        (false, simple(set)),
        (true, extended(set)),
        (false, simple(hold)),
        (true, extended(hold)),
        (false, simple(&format!("BEGIN; {hold}; COMMIT"))),
        (false, simple("SELECT pg_notify('told', (SELECT x FROM v WHERE id = 7))")),
    ] {
        done(&mut definer, CLEAN);
        done(&mut reader, "SELECT x FROM v WHERE id = 7");
        done(&mut definer, "BEGIN");
        done(&mut definer, LABELLED);
        reader.send_raw(&sent);
        until_waiting(&scene, 1);
        done(&mut definer, "COMMIT");
        let frames = reader.until_ready();
        if pipeline {
            withheld_or_judged_anew("in a pipeline", &frames);
        } else {
            assert_eq!(code(&frames).as_deref(), Some("40001"), "{frames:?}");
            assert!(leaked(&frames).is_none(), "{frames:?}");
        }
        // What is there now is judged by what the view is again.
        done(&mut definer, CLEAN);
        for sql in ["SHOW a.b", "SELECT current_setting('a.b', true)", "FETCH ALL FROM c", "CLOSE ALL"] {
            let frames = reader.query(sql);
            assert!(leaked(&frames).is_none(), "{sql}: {frames:?}");
        }
    }
    // Where nothing is altered all of it stays.
    done(&mut reader, set);
    assert_eq!(reader.value("SHOW a.b"), "Person 7");
    done(&mut reader, hold);
    assert_eq!(reader.value("FETCH ALL FROM c"), "Person 7");
    let frames = done(&mut reader, "SELECT pg_notify('told', (SELECT x FROM v WHERE id = 7))");
    assert_eq!(wire::tags(&frames), "TDCAZ", "{frames:?}");
    scene.gateway.verify();
}

#[test]
fn a_cursor_whose_rows_are_made_at_the_commit() {
    let scene = scene();
    let (mut definer, mut reader) = (dana(&scene.gateway), dana(&scene.gateway));
    done(&mut definer, CLEAN);
    // The view is two calls away: who declares the cursor does not hold it.
    done(
        &mut definer,
        "CREATE FUNCTION h() RETURNS SETOF text LANGUAGE sql VOLATILE AS 'SELECT x FROM v WHERE id = 7'",
    );
    done(&mut definer, "CREATE FUNCTION f() RETURNS text LANGUAGE sql VOLATILE AS 'SELECT y FROM h() AS q(y)'");
    done(&mut reader, "BEGIN");
    done(&mut reader, "DECLARE c CURSOR WITH HOLD FOR SELECT f()");
    done(&mut definer, LABELLED);
    done(&mut reader, "COMMIT");
    done(&mut definer, CLEAN);
    let frames = reader.query("FETCH ALL FROM c");
    assert!(leaked(&frames).is_none(), "{frames:?}");
    assert_eq!(wire::rows(&frames), [[Some("***".to_owned())]], "{frames:?}");
    done(&mut reader, "CLOSE c");
    done(&mut reader, "BEGIN");
    done(&mut reader, "DECLARE c CURSOR WITH HOLD FOR SELECT f()");
    done(&mut reader, "COMMIT");
    assert_eq!(reader.value("FETCH ALL FROM c"), "Person 7");
}

/// A definition that is open in a session that does nothing is nothing to who reads nothing of it.
#[test]
fn a_new_relation_that_is_not_committed_keeps_nobody_waiting() {
    let scene = scene();
    let (mut definer, mut reader) = (dana(&scene.gateway), dana(&scene.gateway));
    done(&mut definer, "CREATE TABLE gate (go int)");
    for sql in [
        "CREATE VIEW one AS SELECT 1 AS one",
        "CREATE OR REPLACE VIEW one AS SELECT id AS one FROM people",
        "CREATE TABLE two (a int PRIMARY KEY, b text DEFAULT 'x')",
        "CREATE SEQUENCE three",
        "CREATE INDEX ON gate (go)",
    ] {
        // Not ended: it is under way for as long as the client likes.
        definer.send_raw(&[parse("", sql), bind("", "", &[], 0), execute("", 0), b"H\0\0\0\x04".to_vec()].concat());
        while definer.frame().tag != b'C' {}
        let began = Instant::now();
        let flushed = "SELECT name FROM people ORDER BY id LIMIT 1";
        reader.send_raw(
            &[parse("", flushed), bind("", "", &[], 0), describe(b'P', ""), execute("", 0), b"H\0\0\0\x04".to_vec()]
                .concat(),
        );
        while {
            let frame = reader.frame();
            assert_ne!(frame.tag, b'E', "{sql}: {:?}", frame.field(b'M'));
            frame.tag != b'C'
        } {}
        reader.send_raw(&sync());
        reader.until_ready();
        for large in [
            "SELECT repeat('x', 1000) FROM generate_series(1, 12000)",
            "SELECT n.body, repeat('x', 1000) FROM notes n, generate_series(1, 600)",
        ] {
            let frames = reader.query(large);
            assert_eq!(code(&frames), None, "{sql}: {large}");
        }
        assert!(began.elapsed() < Duration::from_secs(4), "{sql}: {:?}", began.elapsed());
        definer.send_raw(&sync());
        definer.until_ready();
    }
    // Who reads it waits for it.
    done(&mut definer, CLEAN);
    done(&mut reader, "SELECT x FROM v LIMIT 1");
    definer.send_raw(&[parse("", LABELLED), bind("", "", &[], 0), execute("", 0), b"H\0\0\0\x04".to_vec()].concat());
    while definer.frame().tag != b'C' {}
    reader.send_raw(&simple("SELECT x FROM v LIMIT 1"));
    until_waiting(&scene, 1);
    definer.send_raw(&sync());
    definer.until_ready();
    withheld("of the view", &reader.until_ready());
}

/// What is a session's own is nothing to others: its temporary tables, its search path in a transaction.
#[test]
fn temporary_tables_and_paths_of_others_disturb_nobody() {
    let scene = scene();
    let (mut definer, mut waits, mut old) = (dana(&scene.gateway), dana(&scene.gateway), dana(&scene.gateway));
    let mut locks = dana(&scene.gateway);
    done(&mut definer, "CREATE TABLE gate (go int)");
    done(&mut definer, "CREATE TABLE mine (id int)");
    let own = [
        "CREATE TEMP TABLE mine (id int PRIMARY KEY, n serial, at timestamptz DEFAULT now(), CHECK (id > 0))",
        "DROP TABLE mine",
        "SELECT 1 AS id INTO TEMP mine",
        "DROP TABLE mine",
        "CREATE TEMP TABLE mine AS SELECT 2 AS id",
        "BEGIN",
        "SET LOCAL search_path = pg_catalog",
        "COMMIT",
        "DROP TABLE pg_temp.mine",
    ];
    for sql in own {
        done(&mut definer, sql);
    }
    done(&mut old, "BEGIN ISOLATION LEVEL REPEATABLE READ");
    done(&mut old, "SELECT count(*) FROM people");
    done(&mut locks, "BEGIN");
    done(&mut locks, "LOCK TABLE gate");
    waits.send_raw(&simple("SELECT count(*) FROM gate"));
    until_waiting(&scene, 1);
    for sql in own {
        done(&mut definer, sql);
    }
    std::thread::sleep(Duration::from_millis(600));
    done(&mut old, "SELECT count(*) FROM notes");
    done(&mut locks, "COMMIT");
    let frames = waits.until_ready();
    assert_eq!(wire::rows(&frames), [[Some("0".to_owned())]], "{frames:?}");
    done(&mut old, "COMMIT");
}

/// The server runs by EXECUTE whatever was prepared. The gateway does not, also after code that might have taken the name.
#[test]
fn a_definition_under_a_name_is_not_run_by_sql() {
    let scene = scene();
    let (mut definer, mut reader) = (dana(&scene.gateway), dana(&scene.gateway));
    done(&mut definer, CLEAN);
    done(&mut reader, "SELECT x FROM v WHERE id = 7");
    definer.send_raw(&[parse("d", LABELLED), sync()].concat());
    definer.until_ready();
    done(&mut definer, "DO $$BEGIN NULL; END$$");
    done(&mut definer, "BEGIN");
    done(&mut definer, "LOCK TABLE v");
    reader.send_raw(&simple("SELECT x FROM v WHERE id = 7"));
    until_waiting(&scene, 1);
    assert_eq!(code(&definer.query("EXECUTE d")).as_deref(), Some("42501"));
    definer.query("COMMIT");
    let frames = reader.until_ready();
    assert!(leaked(&frames).is_none(), "{frames:?}");
    assert_eq!(reader.value("SELECT x FROM v WHERE id = 7"), "Person 7");
}

/// What code that nobody can look into defines is known to its own session first, which tells the others: a transaction that sees the
/// catalog of its beginning cannot find out.
#[test]
fn who_cannot_see_what_was_altered_is_told() {
    let scene = Scene::with(18, |_| {});
    for isolation in ["REPEATABLE READ", "SERIALIZABLE"] {
        let mut definer = Client::login(scene.gateway.port, "frank", &scene.gateway.token("frank", &["fraud", "dba"]));
        let mut reader = dana(&scene.gateway);
        done(&mut definer, CLEAN);
        scene.directly(&format!(
            "CREATE OR REPLACE FUNCTION redefine() RETURNS int LANGUAGE plpgsql AS $f$ BEGIN EXECUTE $q$ {LABELLED} $q$; RETURN 1; END $f$"
        ));
        definer.send_raw(&[parse("d", "SELECT redefine()"), sync()].concat());
        definer.until_ready();
        done(&mut reader, &format!("BEGIN ISOLATION LEVEL {isolation}"));
        done(&mut reader, "SELECT count(*) FROM people");
        // The definer asks anew in the middle of its pipeline.
        std::thread::sleep(Duration::from_millis(600));
        definer.send_raw(&[bind("", "d", &[], 0), execute("", 0), sync()].concat());
        assert!(!wire::tags(&definer.until_ready()).contains('E'));
        reader.send_raw(&simple("SELECT x FROM v WHERE id = 7"));
        assert_eq!(code(&reader.until_ready()).as_deref(), Some("40001"), "{isolation}");
        reader.send_raw(&simple("COMMIT"));
        assert_eq!(wire::tags(&reader.until_ready()), "CZ", "{isolation}");
        assert_eq!(reader.value("SELECT x FROM v WHERE id = 7"), "***");
    }
}
