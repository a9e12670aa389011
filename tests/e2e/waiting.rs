//! A statement is judged, waits at the server for a lock, and finds other definitions or labels when it runs: its answer does
//! not go out. Where they are others but mean the same to it, it does.

use crate::masking;
use lockgate_tests::scene::{SSN, Scene};
use lockgate_tests::wire::{self, Client, Frame, bind, describe, execute, parse, sync, text};
use lockgate_tests::{Gateway, scene};
use std::time::{Duration, Instant};

pub(crate) const CLEAN: &str = "CREATE OR REPLACE VIEW v AS SELECT id, name AS x FROM people";
pub(crate) const LABELLED: &str = "CREATE OR REPLACE VIEW v AS SELECT id, ssn AS x FROM people";

pub(crate) fn dana(gateway: &Gateway) -> Client {
    let token = gateway.token("dana", &["dba"]);
    Client::login(gateway.port, "dana", &token)
}

#[track_caller]
pub(crate) fn done(client: &mut Client, sql: &str) -> Vec<Frame> {
    let frames = client.query(sql);
    assert!(!frames.iter().any(|f| f.tag == b'E'), "{sql}: {frames:?}");
    frames
}

/// Until so many sessions on the scene's database wait for a lock.
pub(crate) fn until_waiting(scene: &Scene, count: usize) {
    let sql = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'";
    lockgate_tests::process::eventually("a session waits for a lock", Duration::from_secs(20), || {
        scene.directly(sql) == count.to_string()
    });
}

#[track_caller]
pub(crate) fn code(frames: &[Frame]) -> Option<String> {
    frames.iter().find(|f| f.tag == b'E').and_then(|f| f.field(b'C'))
}

/// The answer was withheld, all of it.
#[track_caller]
pub(crate) fn withheld(what: &str, frames: &[Frame]) {
    assert_eq!(code(frames).as_deref(), Some("40001"), "{what}: {frames:?}");
    assert!(!frames.iter().any(|f| matches!(f.tag, b'T' | b'D' | b'd' | b'C' | b'H')), "{what}: {frames:?}");
    assert!(leaked(frames).is_none(), "{what}: {frames:?}");
}

/// The answer to a pipeline whose Parse waited: what is bound then is judged by what there is now, and masked or refused so,
/// unless that was looked up before, and then it is withheld.
#[track_caller]
pub(crate) fn withheld_or_judged_anew(what: &str, frames: &[Frame]) {
    assert!(leaked(frames).is_none(), "{what}: {frames:?}");
    match code(frames).as_deref() {
        Some("40001" | "42501") => {}
        Some(_) => panic!("{what}: {frames:?}"),
        None => assert!(
            wire::rows(frames).iter().flatten().all(|value| value.as_deref() == Some("***")),
            "{what}: {frames:?}"
        ),
    }
}

/// A value that nobody here may see.
pub(crate) fn leaked(frames: &[Frame]) -> Option<&'static str> {
    frames.iter().find_map(|frame| masking::leaked(&frame.body))
}

pub(crate) fn simple(sql: &str) -> Vec<u8> {
    wire::message(b'Q', &text(sql))
}

pub(crate) fn extended(sql: &str) -> Vec<u8> {
    [parse("", sql), bind("", "", &[], 0), describe(b'P', ""), execute("", 0), sync()].concat()
}

#[test]
fn a_view_that_is_replaced_while_its_reader_waits() {
    let scene = scene();
    let (mut definer, mut reader) = (dana(&scene.gateway), dana(&scene.gateway));
    done(&mut definer, CLEAN);
    done(&mut definer, "CREATE FUNCTION f() RETURNS text LANGUAGE sql AS 'SELECT x FROM v WHERE id = 7'");
    let cases: [(&str, Vec<u8>); 8] = [
        ("plain", simple("SELECT x FROM v WHERE id = 7")),
        ("made of it", simple("SELECT upper(x) FROM v WHERE id = 7")),
        ("counted", simple("SELECT count(*) FROM v WHERE x LIKE 'SSN-CANARY-00%'")),
        ("failing", simple("SELECT x::int FROM v WHERE id = 7")),
        ("by a function", simple("SELECT f()")),
        ("copied", simple("COPY (SELECT x FROM v WHERE id = 7) TO STDOUT")),
        ("in the extended protocol", extended("SELECT x FROM v WHERE id = 7")),
        ("behind another", simple("SELECT 1; SELECT x FROM v WHERE id = 7")),
    ];
    for (what, sent) in cases {
        done(&mut definer, CLEAN);
        let frames = reader.query("SELECT x FROM v WHERE id = 7");
        assert_eq!(wire::rows(&frames), [[Some("Person 7".to_owned())]], "{what}: {frames:?}");
        done(&mut definer, "BEGIN");
        done(&mut definer, LABELLED);
        reader.send_raw(&sent);
        until_waiting(&scene, 1);
        done(&mut definer, "COMMIT");
        let frames = reader.until_ready();
        match what {
            "in the extended protocol" => withheld_or_judged_anew(what, &frames),
            "behind another" => {
                assert!(leaked(&frames).is_none(), "{what}: {frames:?}");
                assert_eq!(code(&frames).as_deref(), Some("40001"), "{what}: {frames:?}");
            }
            _ => withheld(what, &frames),
        }
        // The session goes on, and the same again is judged by what there is now.
        assert_eq!(reader.value("SELECT x FROM v WHERE id = 7"), "***", "{what}");
    }
    scene.gateway.verify();
}

#[test]
fn prepared_statements_and_cursors_wait_alike() {
    let scene = scene();
    let (mut definer, mut reader) = (dana(&scene.gateway), dana(&scene.gateway));
    done(&mut definer, CLEAN);
    for (what, sent) in [
        ("EXECUTE", simple("EXECUTE p")),
        ("Bind", [bind("", "q", &[], 0), execute("", 0), sync()].concat()),
        ("DECLARE", simple("BEGIN; DECLARE c CURSOR FOR SELECT x FROM v WHERE id = 7")),
    ] {
        done(&mut definer, CLEAN);
        done(&mut reader, "DEALLOCATE ALL");
        done(&mut reader, "PREPARE p AS SELECT x FROM v WHERE id = 7");
        reader.send_raw(&[parse("q", "SELECT x FROM v WHERE id = 7"), sync()].concat());
        reader.until_ready();
        done(&mut definer, "BEGIN");
        done(&mut definer, LABELLED);
        reader.send_raw(&sent);
        until_waiting(&scene, 1);
        done(&mut definer, "COMMIT");
        let frames = reader.until_ready();
        assert_eq!(code(&frames).as_deref(), Some("40001"), "{what}: {frames:?}");
        assert!(leaked(&frames).is_none(), "{what}: {frames:?}");
        // The transaction, where there was one, has failed.
        let frames = reader.query("FETCH ALL FROM c");
        assert!(leaked(&frames).is_none() && code(&frames).is_some(), "{what}: {frames:?}");
        done(&mut reader, "ROLLBACK");
    }
}

#[test]
fn a_view_that_is_replaced_while_its_reader_waits_for_somebody_else() {
    let scene = scene();
    let (mut definer, mut reader, mut third) = (dana(&scene.gateway), dana(&scene.gateway), dana(&scene.gateway));
    for sent in [
        simple("SELECT v.x FROM notes n JOIN v ON n.id = v.id WHERE n.id = 7"),
        extended("SELECT v.x FROM notes n JOIN v ON n.id = v.id WHERE n.id = 7"),
    ] {
        done(&mut definer, CLEAN);
        done(&mut reader, "SELECT x FROM v WHERE id = 7");
        done(&mut third, "BEGIN");
        done(&mut third, "LOCK TABLE notes IN ACCESS EXCLUSIVE MODE");
        reader.send_raw(&sent);
        until_waiting(&scene, 1);
        done(&mut definer, LABELLED);
        done(&mut third, "COMMIT");
        let frames = reader.until_ready();
        assert_eq!(code(&frames).as_deref(), Some("40001"), "{frames:?}");
        assert!(leaked(&frames).is_none(), "{frames:?}");
    }
}

#[test]
fn two_definitions_in_a_row_are_both_seen() {
    let scene = scene();
    let (mut definer, mut reader, mut third) = (dana(&scene.gateway), dana(&scene.gateway), dana(&scene.gateway));
    done(&mut definer, CLEAN);
    done(&mut reader, "SELECT x FROM v WHERE id = 7");
    done(&mut third, "BEGIN");
    done(&mut third, "LOCK TABLE notes IN ACCESS EXCLUSIVE MODE");
    reader.send_raw(&simple("SELECT v.x FROM notes n JOIN v ON n.id = v.id WHERE n.id = 7"));
    until_waiting(&scene, 1);
    // In the end nothing has changed, and nobody knows when the reader looked.
    done(&mut definer, LABELLED);
    done(&mut definer, CLEAN);
    done(&mut third, "COMMIT");
    let frames = reader.until_ready();
    assert_eq!(code(&frames).as_deref(), Some("40001"), "{frames:?}");
    assert_eq!(reader.value("SELECT x FROM v WHERE id = 7"), "Person 7");
}

#[test]
fn a_label_that_comes_while_the_reader_waits() {
    let scene = Scene::with(15, |options| options.target_extra.push_str("\n    laundering: propagate"));
    let (mut definer, mut reader) = (dana(&scene.gateway), dana(&scene.gateway));
    for (at, (lock, pipeline, sent)) in [
        ("ALTER TABLE made ADD COLUMN z int", false, simple("SELECT x FROM made")),
        ("LOCK TABLE made IN ACCESS EXCLUSIVE MODE", false, simple("SELECT x FROM made")),
        ("LOCK TABLE made IN ACCESS EXCLUSIVE MODE", false, simple("SELECT upper(x) FROM made")),
        ("LOCK TABLE made IN ACCESS EXCLUSIVE MODE", true, extended("SELECT x FROM made")),
        ("LOCK TABLE made IN ACCESS EXCLUSIVE MODE", false, simple("COPY made TO STDOUT")),
    ]
    .into_iter()
    .enumerate()
    {
        done(&mut definer, "DROP TABLE IF EXISTS made");
        done(&mut definer, "CREATE TABLE made (x text)");
        done(&mut reader, "SELECT x FROM made");
        done(&mut definer, "BEGIN");
        done(&mut definer, lock);
        reader.send_raw(&sent);
        until_waiting(&scene, 1);
        done(&mut definer, "INSERT INTO made (x) SELECT ssn FROM people WHERE id = 7");
        done(&mut definer, "COMMIT");
        let frames = reader.until_ready();
        if pipeline {
            withheld_or_judged_anew("under a label", &frames);
        } else {
            assert_eq!(code(&frames).as_deref(), Some("40001"), "{at}: {frames:?}");
            assert!(leaked(&frames).is_none(), "{at}: {frames:?}");
        }
        assert_eq!(reader.value("SELECT x FROM made"), "***", "{at}");
        assert_eq!(scene.directly("SELECT x FROM made"), SSN);
    }
    scene.gateway.verify();
}

#[test]
fn in_a_transaction_of_the_client_it_fails_with_the_answer() {
    let scene = scene();
    let (mut definer, mut reader) = (dana(&scene.gateway), dana(&scene.gateway));
    done(&mut definer, CLEAN);
    done(&mut reader, "BEGIN");
    done(&mut reader, "INSERT INTO log VALUES (1, 'kept?')");
    done(&mut definer, "BEGIN");
    done(&mut definer, LABELLED);
    reader.send_raw(&simple("SELECT x FROM v WHERE id = 7"));
    until_waiting(&scene, 1);
    done(&mut definer, "COMMIT");
    let frames = reader.until_ready();
    withheld("in a transaction", &frames);
    assert_eq!(frames.last().map(|f| f.body.clone()), Some(b"E".to_vec()), "{frames:?}");
    done(&mut reader, "COMMIT");
    assert_eq!(scene.directly("SELECT count(*) FROM log"), "0");
}

#[test]
fn what_a_waiting_statement_stores_is_taken_back() {
    let scene = scene();
    let (mut definer, mut writer) = (dana(&scene.gateway), dana(&scene.gateway));
    let insert = "INSERT INTO notes (body) SELECT x FROM v WHERE id = 7";
    for (what, sent) in [
        ("INSERT", simple(insert)),
        ("in a pipeline", extended(insert)),
        ("with another", simple(&format!("{insert}; SELECT 1"))),
        ("UPDATE", simple("UPDATE notes n SET body = v.x FROM v WHERE v.id = n.id AND n.id = 7")),
        ("a new table", simple("CREATE TABLE made AS SELECT x FROM v WHERE id = 7")),
        ("a new table in a pipeline", extended("CREATE TABLE made AS SELECT x FROM v WHERE id = 7")),
    ] {
        done(&mut definer, CLEAN);
        done(&mut writer, "SELECT x FROM v WHERE id = 7");
        done(&mut definer, "BEGIN");
        done(&mut definer, LABELLED);
        writer.send_raw(&sent);
        until_waiting(&scene, 1);
        done(&mut definer, "COMMIT");
        let frames = writer.until_ready();
        if what.ends_with("in a pipeline") {
            withheld_or_judged_anew(what, &frames);
        } else {
            assert_eq!(code(&frames).as_deref(), Some("40001"), "{what}: {frames:?}");
            assert!(leaked(&frames).is_none(), "{what}: {frames:?}");
        }
        assert_eq!(frames.last().map(|f| f.body.clone()), Some(b"I".to_vec()), "{what}: {frames:?}");
        assert_eq!(scene.directly("SELECT count(*) FROM notes WHERE body LIKE '%CANARY%'"), "0", "{what}");
        assert_eq!(scene.directly("SELECT to_regclass('made') IS NULL"), "t", "{what}");
    }
    // What is not altered meanwhile is stored.
    done(&mut definer, CLEAN);
    for sent in [simple(insert), extended(insert)] {
        writer.send_raw(&sent);
        let frames = writer.until_ready();
        assert!(code(&frames).is_none() && frames.iter().filter(|f| f.tag == b'C').count() == 1, "{frames:?}");
    }
    assert_eq!(scene.directly("SELECT count(*) FROM notes WHERE body = 'Person 7'"), "2");
}

#[test]
fn what_others_define_is_nothing_to_a_statement_that_means_the_same() {
    let scene = scene();
    let (mut definer, mut reader, mut third) = (dana(&scene.gateway), dana(&scene.gateway), dana(&scene.gateway));
    done(&mut definer, CLEAN);
    let sql = "SELECT name, ssn, pg_sleep(2) IS NULL FROM people WHERE id = 7";
    for sent in [simple(sql), extended(sql)] {
        reader.send_raw(&sent);
        for _ in 0..6 {
            done(&mut definer, "CREATE TABLE IF NOT EXISTS other (a int)");
            done(&mut definer, "CREATE OR REPLACE VIEW w AS SELECT name AS x FROM people");
            done(&mut definer, "DROP TABLE other");
        }
        let frames = reader.until_ready();
        let row = [Some("Person 7".to_owned()), Some("***".to_owned()), Some("f".to_owned())];
        assert_eq!(wire::rows(&frames), [row], "{frames:?}");
    }
    // Also of the relation that it reads, and of what waited for its lock.
    done(&mut definer, "BEGIN");
    done(&mut definer, "ALTER TABLE notes ADD COLUMN more int");
    reader.send_raw(&simple("SELECT body FROM notes WHERE id = 3"));
    third.send_raw(&extended("SELECT count(*) FROM notes"));
    until_waiting(&scene, 2);
    done(&mut definer, "COMMIT");
    let frames = reader.until_ready();
    assert_eq!(wire::rows(&frames), [[Some("note 3".to_owned())]], "{frames:?}");
    let frames = third.until_ready();
    assert_eq!(wire::rows(&frames), [[Some("20".to_owned())]], "{frames:?}");
}

#[test]
fn a_definer_that_waits_for_the_reader_is_not_waited_for() {
    let scene = scene();
    let (mut definer, mut reader) = (dana(&scene.gateway), dana(&scene.gateway));
    done(&mut definer, CLEAN);
    done(&mut reader, "BEGIN");
    done(&mut reader, "SELECT x FROM v WHERE id = 7");
    // It waits for the reader's transaction, and is on its way for as long.
    definer.send_raw(&simple(LABELLED));
    until_waiting(&scene, 1);
    for sent in [simple("SELECT x FROM v WHERE id = 7"), extended("SELECT x FROM v WHERE id = 7")] {
        let began = Instant::now();
        reader.send_raw(&sent);
        let frames = reader.until_ready();
        assert_eq!(wire::rows(&frames), [[Some("Person 7".to_owned())]], "{frames:?}");
        assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
    }
    // What does not read the view has nothing to wait for.
    let frames = reader.query("SELECT repeat(n.body, 1000), m.id FROM notes n, notes m, notes o WHERE o.id < 10");
    assert_eq!((code(&frames), wire::rows(&frames).len()), (None, 3_600));
    // What is more than is held back ends with the limit, and with it what the definer waits for.
    let began = Instant::now();
    let frames = reader.query("SELECT repeat(n.body, 1000), m.id FROM notes n, notes m, v WHERE v.id < 10");
    withheld("too much", &frames);
    assert!((3..9).contains(&began.elapsed().as_secs()), "{:?}", began.elapsed());
    done(&mut reader, "ROLLBACK");
    definer.until_ready();
    assert_eq!(reader.value("SELECT x FROM v WHERE id = 7"), "***");
}

#[test]
fn a_definer_that_goes_away_is_not_forgotten() {
    let scene = scene();
    for reset in [true, false] {
        let (mut definer, mut reader, mut third) = (dana(&scene.gateway), dana(&scene.gateway), dana(&scene.gateway));
        done(&mut definer, CLEAN);
        done(&mut reader, "SELECT x FROM v WHERE id = 7");
        done(&mut definer, "BEGIN");
        done(&mut definer, LABELLED);
        reader.send_raw(&simple("SELECT x FROM v WHERE id = 7"));
        until_waiting(&scene, 1);
        definer.send_raw(&simple("COMMIT"));
        if reset {
            definer.reset();
        } else {
            drop(definer);
        }
        let frames = reader.until_ready();
        assert!(leaked(&frames).is_none(), "{frames:?}");
        // Whatever became of it, others soon go on.
        let mut rows = Vec::new();
        lockgate_tests::process::eventually("others go on", Duration::from_secs(10), || {
            let frames = third.query("SELECT x FROM v WHERE id = 7");
            assert!(leaked(&frames).is_none(), "{frames:?}");
            rows = wire::rows(&frames);
            !rows.is_empty()
        });
        let shown = rows[0][0].clone();
        assert!(matches!(shown.as_deref(), Some("***" | "Person 7")), "{shown:?}");
    }
}

/// Who may see everything may copy everything: what a name means by now changes nothing about what they may. Where labels follow
/// what is copied, it does.
#[test]
fn who_may_see_everything_writes_as_it_comes() {
    for propagates in [false, true] {
        let scene = Scene::with(15, |options| {
            options.policies.push_str(
                "\n@id(\"fraud-writes\")\npermit (principal in Group::\"fraud\", action == Action::\"write\", resource in Target::\"shop\");\n",
            );
            if propagates {
                options.target_extra.push_str("\n    laundering: propagate");
            }
        });
        let mut definer = dana(&scene.gateway);
        let mut writer = Client::login(scene.gateway.port, "frank", &scene.frank());
        let insert = "INSERT INTO notes (body) SELECT x FROM v WHERE id = 7";
        done(&mut definer, LABELLED);
        if !propagates {
            done(&mut writer, insert);
        }
        done(&mut definer, "DROP VIEW v");
        done(&mut definer, CLEAN);
        done(&mut writer, insert);
        done(&mut definer, "BEGIN");
        done(&mut definer, LABELLED);
        writer.send_raw(&simple(insert));
        until_waiting(&scene, 1);
        done(&mut definer, "COMMIT");
        let frames = writer.until_ready();
        assert_eq!(code(&frames).as_deref(), propagates.then_some("40001"), "{frames:?}");
        let stored = if propagates { "0" } else { "2" };
        assert_eq!(scene.directly(&format!("SELECT count(*) FROM notes WHERE body = '{SSN}'")), stored);
    }
}

#[test]
fn where_nothing_is_labelled_nobody_is_held_back() {
    let scene = Scene::permit_all(15);
    let (mut definer, mut reader) = (dana(&scene.gateway), dana(&scene.gateway));
    done(&mut definer, CLEAN);
    done(&mut definer, "BEGIN");
    done(&mut definer, LABELLED);
    reader.send_raw(&simple("SELECT x FROM v WHERE id = 7"));
    until_waiting(&scene, 1);
    done(&mut definer, "COMMIT");
    assert_eq!(wire::rows(&reader.until_ready()), [[Some(SSN.to_owned())]]);
}
