//! A statement looks names up while it runs: code of users does. What others alter meanwhile counts for each of its messages,
//! and not for the first alone.

use crate::waiting::{CLEAN, LABELLED, code, dana, done, extended, leaked, simple, until_waiting};
use lockgate_tests::scene;
use lockgate_tests::scene::{SSN, Scene};
use lockgate_tests::wire::{self, Client, Frame, bind, describe, execute, parse, sync};

/// Reads up to the first row, and then what there is until the target is ready again, with something done in between.
fn meanwhile(client: &mut Client, between: impl FnOnce()) -> Vec<Frame> {
    let mut frames = Vec::new();
    loop {
        let frame = client.frame();
        assert_ne!(frame.tag, b'E', "{:?}", frame.field(b'M'));
        let begun = matches!(frame.tag, b'D' | b'd');
        frames.push(frame);
        if begun {
            break;
        }
    }
    between();
    frames.extend(client.until_ready());
    frames
}

/// Rows that come one by one for about two seconds, in pieces that the server does not keep back.
fn slowly(call: &str) -> String {
    format!("SELECT {call}, pg_sleep(0.02) IS NULL, repeat('-', 4000) FROM generate_series(1, 100) i")
}

/// `f` reaches the view `v` once the gate is open.
fn behind_a_gate(definer: &mut Client, how: &str) {
    done(definer, "DROP FUNCTION IF EXISTS f, h");
    done(definer, "UPDATE gate SET go = 0");
    done(definer, CLEAN);
    done(
        definer,
        &format!("CREATE FUNCTION h() RETURNS SETOF text LANGUAGE sql {how} AS 'SELECT x FROM v WHERE id = 7'"),
    );
    done(
        definer,
        &format!(
            "CREATE FUNCTION f(i int) RETURNS text LANGUAGE sql {how} AS $$ SELECT CASE WHEN (SELECT go FROM gate) = 1 \
             THEN (SELECT y FROM h() AS q(y) LIMIT 1) ELSE 'no' END $$"
        ),
    );
}

#[test]
fn a_view_that_a_function_reaches_later_is_replaced_meanwhile() {
    let scene = scene();
    let (mut definer, mut reader) = (dana(&scene.gateway), dana(&scene.gateway));
    done(&mut definer, "CREATE TABLE gate (go int)");
    done(&mut definer, "INSERT INTO gate VALUES (0)");
    let sql = slowly("f(i)");
    for (what, sent) in [
        ("plain", simple(&sql)),
        ("extended", extended(&sql)),
        ("copied", simple(&format!("COPY ({sql}) TO STDOUT"))),
        (
            "in pieces",
            [parse("", &sql), bind("", "", &[], 0), describe(b'P', ""), execute("", 20), execute("", 0), sync()]
                .concat(),
        ),
        ("in a transaction", simple(&format!("BEGIN; {sql}"))),
    ] {
        behind_a_gate(&mut definer, "VOLATILE");
        done(&mut reader, "SELECT f(1)");
        reader.send_raw(&sent);
        let frames = meanwhile(&mut reader, || {
            done(&mut definer, LABELLED);
            done(&mut definer, "UPDATE gate SET go = 1");
        });
        assert!(leaked(&frames).is_none(), "{what}: {:?}", leaked(&frames));
        assert_eq!(code(&frames).as_deref(), Some("40001"), "{what}: {}", wire::tags(&frames));
        reader.query("ROLLBACK");
        assert_eq!(reader.value("SELECT h()"), "***", "{what}");
    }
    // Where nothing that is altered means anything to it, it goes on.
    behind_a_gate(&mut definer, "VOLATILE");
    reader.send_raw(&simple(&sql));
    let frames = meanwhile(&mut reader, || {
        done(&mut definer, "CREATE VIEW w AS SELECT ssn FROM people");
        done(&mut definer, "CREATE OR REPLACE VIEW v AS SELECT id, upper(name)::text AS x FROM people");
        done(&mut definer, "UPDATE gate SET go = 1");
    });
    assert_eq!(code(&frames), None, "{frames:?}");
    assert_eq!(wire::rows(&frames).len(), 100);
    scene.gateway.verify();
}

#[test]
fn a_label_that_comes_while_a_function_reads() {
    let scene = Scene::with(15, |options| options.target_extra.push_str("\n    laundering: propagate"));
    let (mut writer, mut reader) = (dana(&scene.gateway), dana(&scene.gateway));
    let sql = slowly("f(i)");
    for (at, sent) in [simple(&sql), extended(&sql)].into_iter().enumerate() {
        done(&mut writer, "DROP TABLE IF EXISTS made");
        done(&mut writer, "CREATE TABLE made (x text)");
        done(
            &mut writer,
            "CREATE OR REPLACE FUNCTION f(i int) RETURNS text LANGUAGE sql VOLATILE AS 'SELECT x FROM made LIMIT 1'",
        );
        done(&mut reader, "SELECT f(1)");
        reader.send_raw(&sent);
        let frames = meanwhile(&mut reader, || {
            done(&mut writer, "INSERT INTO made (x) SELECT ssn FROM people WHERE id = 7");
        });
        assert!(leaked(&frames).is_none(), "{at}: {:?}", leaked(&frames));
        assert_eq!(code(&frames).as_deref(), Some("40001"), "{at}: {}", wire::tags(&frames));
        assert_eq!(scene.directly("SELECT x FROM made"), SSN);
    }
}

#[test]
fn an_error_whose_code_a_function_chooses_is_withheld() {
    let scene = scene();
    let (mut definer, mut reader) = (dana(&scene.gateway), dana(&scene.gateway));
    done(&mut definer, CLEAN);
    done(
        &mut definer,
        "CREATE FUNCTION f() RETURNS text LANGUAGE plpgsql AS $$ DECLARE r text; BEGIN SELECT x INTO r FROM v WHERE id = 7; \
         RAISE EXCEPTION USING ERRCODE = CASE WHEN r LIKE 'SSN%' THEN '40P01' ELSE '57014' END; END $$",
    );
    for sent in [simple("SELECT f()"), extended("SELECT f()")] {
        done(&mut definer, CLEAN);
        assert_eq!(code(&reader.query("SELECT f()")).as_deref(), Some("57014"));
        done(&mut definer, "BEGIN");
        done(&mut definer, LABELLED);
        reader.send_raw(&sent);
        until_waiting(&scene, 1);
        done(&mut definer, "COMMIT");
        let frames = reader.until_ready();
        assert_eq!(code(&frames).as_deref(), Some("40001"), "{frames:?}");
    }
}

#[test]
fn what_is_said_while_a_statement_is_planned_is_of_what_was_altered() {
    let scene = scene();
    let (mut definer, mut reader) = (dana(&scene.gateway), dana(&scene.gateway));
    done(&mut definer, CLEAN);
    done(
        &mut definer,
        "CREATE FUNCTION f() RETURNS text LANGUAGE plpgsql IMMUTABLE AS $$ DECLARE r text; BEGIN \
         SELECT x INTO r FROM v WHERE id = 7; RAISE NOTICE 'it is %', r; RETURN r; END $$",
    );
    done(&mut reader, "SELECT f()");
    reader.send_raw(&[parse("s", "SELECT f()"), sync()].concat());
    reader.until_ready();
    done(&mut definer, "BEGIN");
    done(&mut definer, LABELLED);
    reader.send_raw(&[bind("", "s", &[], 0), execute("", 0), sync()].concat());
    until_waiting(&scene, 1);
    done(&mut definer, "COMMIT");
    let frames = reader.until_ready();
    assert!(leaked(&frames).is_none(), "{frames:?}");
    assert_eq!(code(&frames).as_deref(), Some("40001"), "{frames:?}");
}

/// What was put off to the end of a transaction is looked up there, and an error has a code of its choice.
#[test]
fn a_trigger_that_runs_at_the_commit() {
    let scene = scene();
    let (mut definer, mut writer) = (dana(&scene.gateway), dana(&scene.gateway));
    scene.directly("CREATE TABLE put (a int); GRANT ALL ON put TO PUBLIC");
    done(&mut definer, CLEAN);
    done(
        &mut definer,
        "CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS $$ DECLARE r text; BEGIN SELECT x INTO r FROM v WHERE id = 7; \
         RAISE WARNING USING MESSAGE = r, ERRCODE = CASE WHEN r LIKE 'SSN%' THEN '01004' ELSE '01007' END; \
         RAISE EXCEPTION USING MESSAGE = r, ERRCODE = CASE WHEN r LIKE 'SSN%' THEN '22012' ELSE '22003' END; END $$",
    );
    done(
        &mut definer,
        "CREATE CONSTRAINT TRIGGER t AFTER INSERT ON put DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION f()",
    );
    let run = |sql: &str| [parse("", sql), bind("", "", &[], 0), execute("", 0), sync()].concat();
    for commit in [simple("COMMIT"), run("COMMIT"), simple("SET CONSTRAINTS ALL IMMEDIATE")] {
        for view in [None, Some(LABELLED)] {
            done(&mut definer, CLEAN);
            done(&mut writer, "BEGIN");
            done(&mut writer, "INSERT INTO put VALUES (1)");
            if let Some(view) = view {
                done(&mut definer, view);
            }
            writer.send_raw(&commit);
            let frames = writer.until_ready();
            let told = code(&frames);
            assert_eq!(told.as_deref() == Some("40001"), view.is_some(), "{frames:?}");
            assert_eq!(frames.iter().any(|f| f.tag == b'N'), view.is_none(), "{frames:?}");
            assert!(told.is_some() && leaked(&frames).is_none(), "{frames:?}");
            done(&mut writer, "ROLLBACK");
        }
    }
}

/// A definition that waits for who streams: others see that it is not there yet.
#[test]
fn what_streams_under_a_definition_that_waits_for_it() {
    let scene = scene();
    let (mut definer, mut reader, mut third) = (dana(&scene.gateway), dana(&scene.gateway), dana(&scene.gateway));
    done(&mut definer, CLEAN);
    done(&mut definer, "CREATE FUNCTION f(i int) RETURNS text LANGUAGE sql VOLATILE AS 'SELECT x FROM v WHERE id = 7'");
    done(&mut reader, "SELECT f(1)");
    // Small enough to be held back whole: its session asks for itself.
    for sent in [
        simple("SELECT f(i), i FROM generate_series(1, 100) i"),
        extended("SELECT f(i), 1 FROM generate_series(1, 100) i"),
    ] {
        done(&mut definer, CLEAN);
        done(&mut reader, "BEGIN");
        done(&mut reader, "SELECT f(1)");
        definer.send_raw(&simple(LABELLED));
        until_waiting(&scene, 1);
        reader.send_raw(&sent);
        let frames = reader.until_ready();
        assert_eq!((code(&frames), wire::rows(&frames).len()), (None, 100));
        done(&mut reader, "COMMIT");
        definer.until_ready();
        assert_eq!(reader.value("SELECT f(1)"), "***");
    }
    // More than that, and somebody else asks.
    done(&mut definer, CLEAN);
    done(&mut reader, "BEGIN");
    done(&mut reader, "SELECT f(1)");
    definer.send_raw(&simple(LABELLED));
    until_waiting(&scene, 1);
    reader.send_raw(&simple("SELECT f(i), repeat('-', 8000) FROM generate_series(1, 3000) i"));
    let reading = std::thread::spawn(move || {
        let frames = reader.until_ready();
        (reader, frames)
    });
    while !reading.is_finished() {
        done(&mut third, "SELECT name FROM people WHERE id = 7");
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    let (mut reader, frames) = reading.join().expect("the reader");
    assert_eq!((code(&frames), wire::rows(&frames).len()), (None, 3_000));
    assert!(leaked(&frames).is_none());
    done(&mut reader, "COMMIT");
    definer.until_ready();
    assert_eq!(reader.value("SELECT f(1)"), "***");
}
