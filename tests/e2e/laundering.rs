//! Copies of labelled values: refused, or with `laundering: propagate` labelled before anybody else can see them.

use crate::masking::leaked;
use lockgate_tests::scene::{SSN, Scene};
use lockgate_tests::wire::{self, Client, Frame};
use lockgate_tests::{Gateway, scene};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

fn propagating() -> Scene {
    Scene::with(15, |options| options.target_extra.push_str("\n    laundering: propagate"))
}

fn dana(gateway: &Gateway) -> Client {
    let token = gateway.token("dana", &["dba"]);
    Client::login(gateway.port, "dana", &token)
}

fn done(client: &mut Client, sql: &str) -> Vec<Frame> {
    let frames = client.query(sql);
    assert!(!frames.iter().any(|f| f.tag == b'E'), "{sql}: {frames:?}");
    frames
}

/// The one value, which must be masked.
#[track_caller]
fn masked(client: &mut Client, sql: &str) {
    let frames = done(client, sql);
    let rows = wire::rows(&frames);
    assert_eq!(rows.first().and_then(|r| r.first()).cloned().flatten().as_deref(), Some("***"), "{sql}: {frames:?}");
}

#[track_caller]
fn shown(client: &mut Client, sql: &str, value: &str) {
    assert_eq!(client.value(sql), value, "{sql}");
}

#[test]
fn without_it_a_copy_is_refused() {
    let scene = scene();
    let mut dana = dana(&scene.gateway);
    for sql in [
        "CREATE TABLE copy AS SELECT id, ssn FROM people",
        "SELECT ssn INTO copy FROM people",
        "INSERT INTO notes (body) SELECT ssn FROM people WHERE id = 7",
        "UPDATE notes SET body = p.ssn FROM people p WHERE p.id = notes.id",
        "MERGE INTO notes n USING people p ON n.id = p.id WHEN MATCHED THEN UPDATE SET body = p.ssn",
        "WITH s AS (SELECT ssn FROM people) INSERT INTO notes (body) SELECT ssn FROM s",
        "INSERT INTO notes (id, body) VALUES (1, 'x') ON CONFLICT (id) DO UPDATE SET body = (SELECT ssn FROM people WHERE id = 7)",
        "DO $$BEGIN INSERT INTO notes (body) SELECT ssn FROM people; END$$",
    ] {
        let frames = dana.query(sql);
        assert_eq!(wire::error(&frames).field(b'C').as_deref(), Some("42501"), "{sql}: {frames:?}");
    }
    assert_eq!(scene.directly("SELECT count(*) FROM notes WHERE body LIKE '%CANARY%'"), "0");
}

#[test]
fn a_new_relation_has_the_labels_of_what_it_was_made_from() {
    let scene = propagating();
    let mut dana = dana(&scene.gateway);
    let mut other = self::dana(&scene.gateway);
    shown(&mut other, "SELECT 1", "1");
    done(&mut dana, "CREATE TABLE made AS SELECT id, ssn AS x, upper(email) AS y, name FROM people");
    for client in [&mut dana, &mut other] {
        masked(client, "SELECT x FROM made WHERE id = 7");
        masked(client, "SELECT y FROM made WHERE id = 7");
        shown(client, "SELECT name FROM made WHERE id = 7", "Person 7");
        let frames = client.query("SELECT id FROM made WHERE x = 'a'");
        assert_eq!(wire::error(&frames).field(b'C').as_deref(), Some("42501"));
    }
    done(&mut dana, "SELECT ssn AS s INTO scratch FROM people WHERE id = 7");
    masked(&mut other, "SELECT s FROM scratch");
    done(&mut dana, "CREATE MATERIALIZED VIEW mv AS SELECT x FROM made WHERE id = 7");
    masked(&mut other, "SELECT x FROM mv");
    // From copy to copy, and back under another name.
    done(&mut dana, "CREATE TABLE again AS SELECT x AS z FROM made WHERE id = 7");
    masked(&mut other, "SELECT z FROM again");
    // Who may see the values sees them, and has them in a copy of a copy.
    assert_eq!(scene.gateway.query("frank", &scene.frank(), "SELECT z FROM again LIMIT 1"), SSN);
    assert_eq!(scene.directly("SELECT z FROM again"), SSN);
    scene.gateway.verify();
}

#[test]
fn a_column_that_is_there_is_labelled_by_what_is_written_to_it() {
    let scene = propagating();
    let mut dana = dana(&scene.gateway);
    let mut other = self::dana(&scene.gateway);
    shown(&mut other, "SELECT body FROM notes WHERE id = 1", "note 1");
    shown(&mut other, "SELECT who FROM log UNION ALL SELECT 'none'", "none");
    done(&mut dana, "INSERT INTO notes (id, body) SELECT 1007, ssn FROM people WHERE id = 7");
    masked(&mut other, "SELECT body FROM notes WHERE id = 1007");
    masked(&mut dana, "SELECT body FROM notes WHERE id = 1");
    done(&mut dana, "CREATE TABLE later (k int, a text, b text)");
    done(&mut dana, "INSERT INTO later VALUES (1, 'a', 'b')");
    shown(&mut other, "SELECT a FROM later", "a");
    done(&mut dana, "UPDATE later SET a = p.ssn FROM people p WHERE p.id = 7");
    masked(&mut other, "SELECT a FROM later");
    shown(&mut other, "SELECT b FROM later", "b");
    done(&mut dana, "MERGE INTO later l USING people p ON l.k = p.id WHEN MATCHED THEN UPDATE SET b = p.email");
    masked(&mut other, "SELECT b FROM later");
    // What is written is masked where it is given back at once, and where it is moved on to another column.
    masked(&mut dana, "INSERT INTO log (id, who) SELECT id, email FROM people WHERE id = 7 RETURNING who");
    done(&mut dana, "CREATE TABLE moved (k int PRIMARY KEY, a text, b text)");
    done(&mut dana, "INSERT INTO moved VALUES (1, 'a', 'b')");
    done(
        &mut dana,
        "INSERT INTO moved (k, a) SELECT 1, ssn FROM people WHERE id = 7 ON CONFLICT (k) DO UPDATE SET b = excluded.a",
    );
    masked(&mut other, "SELECT b FROM moved");
}

#[test]
fn a_label_goes_with_the_column_and_not_with_the_name() {
    let scene = propagating();
    let mut dana = dana(&scene.gateway);
    done(&mut dana, "CREATE TABLE made AS SELECT ssn AS x FROM people WHERE id = 7");
    // The gateway refuses to rename what is labelled; the database's owner may.
    scene.directly("ALTER TABLE made RENAME TO called");
    scene.directly("ALTER TABLE called RENAME COLUMN x TO y");
    scene.directly("CREATE SCHEMA aside");
    scene.directly("GRANT USAGE ON SCHEMA aside TO PUBLIC");
    scene.directly("ALTER TABLE called SET SCHEMA aside");
    let mut other = self::dana(&scene.gateway);
    std::thread::sleep(std::time::Duration::from_millis(600));
    masked(&mut other, "SELECT y FROM aside.called");
    done(&mut other, "CREATE TABLE made (x text)");
    done(&mut other, "INSERT INTO made VALUES ('fine')");
    shown(&mut other, "SELECT x FROM made", "fine");
    scene.directly("DROP TABLE aside.called");
    scene.directly("CREATE TABLE aside.called (y text)");
    scene.directly("INSERT INTO aside.called VALUES ('new')");
    scene.directly("GRANT SELECT ON aside.called TO PUBLIC");
    std::thread::sleep(std::time::Duration::from_millis(600));
    shown(&mut other, "SELECT y FROM aside.called", "new");
}

#[test]
fn labels_follow_transactions() {
    let scene = propagating();
    let mut dana = dana(&scene.gateway);
    let mut other = self::dana(&scene.gateway);
    done(&mut dana, "BEGIN");
    done(&mut dana, "CREATE TABLE made AS SELECT ssn AS x FROM people WHERE id = 7");
    masked(&mut dana, "SELECT x FROM made");
    done(&mut dana, "CREATE TABLE again AS SELECT x FROM made");
    done(&mut dana, "COMMIT");
    masked(&mut other, "SELECT x FROM again");
    // Undone, and nobody else saw the label: it is gone.
    done(&mut dana, "BEGIN");
    done(&mut dana, "INSERT INTO notes (id, body) SELECT 1007, ssn FROM people WHERE id = 7");
    masked(&mut dana, "SELECT body FROM notes WHERE id = 1");
    done(&mut dana, "ROLLBACK");
    shown(&mut dana, "SELECT body FROM notes WHERE id = 1", "note 1");
    shown(&mut other, "SELECT body FROM notes WHERE id = 1", "note 1");
    done(&mut dana, "BEGIN");
    done(&mut dana, "SAVEPOINT a");
    done(&mut dana, "INSERT INTO notes (id, body) SELECT 1007, ssn FROM people WHERE id = 7");
    done(&mut dana, "ROLLBACK TO a");
    shown(&mut dana, "SELECT body FROM notes WHERE id = 1", "note 1");
    done(&mut dana, "INSERT INTO log (id, who) SELECT 1, email FROM people WHERE id = 7");
    done(&mut dana, "RELEASE a");
    done(&mut dana, "COMMIT");
    shown(&mut other, "SELECT body FROM notes WHERE id = 1", "note 1");
    masked(&mut other, "SELECT who FROM log");
    // A failed transaction is undone by COMMIT.
    done(&mut dana, "BEGIN");
    done(&mut dana, "INSERT INTO notes (id, body) SELECT 1008, ssn FROM people WHERE id = 7");
    wire::error(&dana.query("SELECT 1/0"));
    done(&mut dana, "COMMIT");
    shown(&mut other, "SELECT body FROM notes WHERE id = 1", "note 1");
    // A statement that fails leaves nothing behind, and the client's place in its own text is right.
    let frames = dana.query("INSERT INTO notes (id, body) SELECT 1, ssn FROM people WHERE id = 7");
    assert_eq!(wire::error(&frames).field(b'C').as_deref(), Some("23505"), "{frames:?}");
    assert_eq!(frames.last().map(|f| f.body.clone()), Some(b"I".to_vec()));
    shown(&mut other, "SELECT body FROM notes WHERE id = 1", "note 1");
    assert_eq!(
        scene.directly(
            "SELECT count(*) FROM pg_stat_activity WHERE state LIKE 'idle in%' AND datname = current_database()"
        ),
        "0"
    );
}

/// Another session that judged by a label may have written because of it, so that the label stays.
#[test]
fn a_label_that_others_relied_on_outlives_a_rollback() {
    let scene = propagating();
    let mut dana = dana(&scene.gateway);
    let mut other = self::dana(&scene.gateway);
    done(&mut dana, "BEGIN");
    done(&mut dana, "INSERT INTO notes (id, body) SELECT 1007, ssn FROM people WHERE id = 7");
    done(&mut other, "INSERT INTO notes (id, body) SELECT 1008, ssn FROM people WHERE id = 8");
    done(&mut dana, "ROLLBACK");
    masked(&mut dana, "SELECT body FROM notes WHERE id = 1008");
    masked(&mut other, "SELECT body FROM notes WHERE id = 1008");
}

/// What the server computes of a value when it is stored fails for some.
#[test]
fn a_column_that_something_is_computed_of_takes_no_labels() {
    let scene = propagating();
    let mut dana = dana(&scene.gateway);
    for made in [
        "CREATE TABLE made (id int, x text); CREATE INDEX ON made ((1 / strpos(x, '7')))",
        "CREATE TABLE made (id int, x text); CREATE INDEX ON made (id) WHERE 1 / strpos(x, '7') > 0",
        "CREATE TABLE made (id int, x text); CREATE INDEX ON made (x)",
        "CREATE TABLE made (id int, x text, y int GENERATED ALWAYS AS (1 / strpos(x, '7')) STORED)",
        "CREATE TABLE made (id int, x text); CREATE STATISTICS about ON (1 / strpos(x, '7')), id FROM made",
    ] {
        for sql in made.split("; ") {
            done(&mut dana, sql);
        }
        let frames = dana.query("INSERT INTO made (id, x) SELECT id, ssn FROM people WHERE id = 7");
        assert_eq!(wire::error(&frames).field(b'C').as_deref(), Some("42501"), "{made}: {frames:?}");
        done(&mut dana, "DROP TABLE made");
    }
    // What takes any value may be computed.
    done(&mut dana, "CREATE TABLE made (id int, x text, y text GENERATED ALWAYS AS (lower(x)) STORED)");
    done(&mut dana, "INSERT INTO made (id, x) SELECT id, ssn FROM people WHERE id = 7");
    masked(&mut dana, "SELECT y FROM made");
}

#[test]
fn the_extended_protocol_carries_labels_too() {
    let scene = propagating();
    let mut dana = dana(&scene.gateway);
    let mut other = self::dana(&scene.gateway);
    // A pipeline that ends the transaction at once.
    let run = |sql: &str| [wire::parse("", sql), wire::bind("", "", &[], 0), wire::execute("", 0)].concat();
    let mut pipeline = run("BEGIN");
    pipeline.extend(run("CREATE TABLE made AS SELECT ssn AS x FROM people WHERE id = 7"));
    pipeline.extend(run("SELECT x FROM made"));
    pipeline.extend(run("COMMIT"));
    pipeline.extend(wire::sync());
    dana.send_raw(&pipeline);
    let frames = dana.until_ready();
    assert!(!frames.iter().any(|f| f.tag == b'E'), "{frames:?}");
    assert_eq!(wire::rows(&frames), [[Some("***".to_owned())]], "{frames:?}");
    masked(&mut other, "SELECT x FROM made");
    // Prepared once, run later, without a transaction of its own.
    dana.send_raw(
        &[wire::parse("p", "INSERT INTO notes (id, body) SELECT $1::int, ssn FROM people WHERE id = 7"), wire::sync()]
            .concat(),
    );
    dana.until_ready();
    shown(&mut other, "SELECT body FROM notes WHERE id = 1", "note 1");
    dana.send_raw(&[wire::bind("", "p", &["1007"], 0), wire::execute("", 0), wire::sync()].concat());
    let frames = dana.until_ready();
    assert!(!frames.iter().any(|f| f.tag == b'E'), "{frames:?}");
    masked(&mut other, "SELECT body FROM notes WHERE id = 1007");
    done(&mut dana, "PREPARE q AS INSERT INTO log (id, who) SELECT 1, email FROM people WHERE id = 7");
    shown(&mut other, "SELECT count(who) FROM log", "0");
    done(&mut dana, "EXECUTE q");
    masked(&mut other, "SELECT who FROM log");
}

#[test]
fn temporary_tables_are_labelled_for_their_session() {
    let scene = propagating();
    let mut dana = dana(&scene.gateway);
    done(&mut dana, "CREATE TEMP TABLE mine AS SELECT ssn AS x FROM people WHERE id = 7");
    masked(&mut dana, "SELECT x FROM mine");
    done(&mut dana, "CREATE TABLE kept AS SELECT x FROM mine");
    masked(&mut self::dana(&scene.gateway), "SELECT x FROM kept");
    // A temporary table hides another of its name, which is the one that is made here.
    done(&mut dana, "CREATE TEMP TABLE twice (x text)");
    done(&mut dana, "INSERT INTO twice VALUES ('own')");
    done(&mut dana, "CREATE TABLE twice AS SELECT ssn AS x FROM people WHERE id = 7");
    shown(&mut dana, "SELECT x FROM twice", "own");
    masked(&mut dana, "SELECT x FROM public.twice");
    done(&mut dana, "CREATE TABLE IF NOT EXISTS kept AS SELECT email AS x FROM people WHERE id = 8");
}

#[test]
fn labels_survive_kill_9() {
    let mut scene = propagating();
    let mut dana = dana(&scene.gateway);
    done(&mut dana, "CREATE TABLE made AS SELECT ssn AS x, left(email, 3) AS y FROM people WHERE id = 7");
    done(&mut dana, "INSERT INTO notes (id, body) SELECT 1007, ssn FROM people WHERE id = 7");
    scene.gateway.kill();
    scene.gateway.resume();
    let mut dana = self::dana(&scene.gateway);
    masked(&mut dana, "SELECT x FROM made");
    masked(&mut dana, "SELECT y FROM made");
    masked(&mut dana, "SELECT body FROM notes WHERE id = 1007");
    scene.gateway.stop();
    scene.gateway.resume();
    masked(&mut self::dana(&scene.gateway), "SELECT x FROM made");
}

/// What is killed at any moment has either no copy or a label.
#[test]
fn no_copy_is_without_its_label_whenever_the_gateway_dies() {
    let mut scene = propagating();
    for round in 0..6u64 {
        let port = scene.gateway.port;
        let token = scene.gateway.token("dana", &["dba"]);
        let acknowledged = Arc::new(AtomicU32::new(0));
        let counted = Arc::clone(&acknowledged);
        let writer = std::thread::spawn(move || {
            let mut client = Client::login(port, "dana", &token);
            for n in 0..10_000u32 {
                let sql = format!("CREATE TABLE made_{round}_{n} AS SELECT ssn AS x FROM people WHERE id = 7");
                if !client.try_send_raw(&wire::message(b'Q', &wire::text(&sql))) {
                    return;
                }
                if client.until_ready().last().is_none_or(|frame| frame.tag != b'Z') {
                    return;
                }
                counted.fetch_add(1, Ordering::SeqCst);
            }
        });
        // On a busy machine the first one may take a while.
        for _ in 0..3_000 {
            if acknowledged.load(Ordering::SeqCst) > 0 {
                break;
            }
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
        std::thread::sleep(std::time::Duration::from_millis(50 + round * 37));
        scene.gateway.kill();
        writer.join().expect("the writer ends with the gateway");
        scene.gateway.resume();
        let mut dana = self::dana(&scene.gateway);
        let made = scene.directly("SELECT relname FROM pg_class WHERE relname LIKE 'made%'");
        assert!(!made.is_empty(), "nothing was copied");
        for name in made.lines() {
            masked(&mut dana, &format!("SELECT x FROM {name}"));
        }
    }
}

#[test]
fn sessions_side_by_side_never_see_an_unlabelled_copy() {
    let scene = propagating();
    let port = scene.gateway.port;
    let token = scene.gateway.token("dana", &["dba"]);
    std::thread::scope(|scope| {
        for writer in 0..2 {
            let token = token.clone();
            scope.spawn(move || {
                let mut client = Client::login(port, "dana", &token);
                for n in 0..15 {
                    done(
                        &mut client,
                        &format!("CREATE TABLE w{writer}_{n} AS SELECT 1 AS k, ssn AS x FROM people WHERE id = 7"),
                    );
                }
            });
        }
        for _ in 0..2 {
            let token = token.clone();
            scope.spawn(move || {
                let mut client = Client::login(port, "dana", &token);
                for n in 0..60 {
                    let frames = client.query(&format!("SELECT x FROM w{}_{}", n % 2, n / 4));
                    let bytes: Vec<u8> = frames.iter().flat_map(|f| f.body.clone()).collect();
                    assert_eq!(leaked(&bytes), None, "{frames:?}");
                }
            });
        }
    });
    scene.gateway.verify();
}

/// A copy that waited while another was made is known to be of what was judged although nobody else is there to tell.
#[test]
fn who_copies_last_finds_out_alone() {
    let scene = propagating();
    let simple = |sql: &str| wire::message(b'Q', &wire::text(sql));
    let extended =
        |sql: &str| [wire::parse("", sql), wire::bind("", "", &[], 0), wire::execute("", 0), wire::sync()].concat();
    let copy = |name: &str, body: &str| {
        format!(
            "CREATE TABLE {name} AS SELECT p.ssn AS x, {body} AS y FROM people p, notes n WHERE p.id = 7 AND n.id = 3"
        )
    };
    let (good, fails) = (|name: &str| copy(name, "n.id"), |name: &str| copy(name, "1 / (n.id - 3)"));
    let in_texts = |texts: &[&str]| texts.iter().flat_map(|sql| simple(sql)).collect::<Vec<u8>>();
    for (name, sent, codes) in [
        ("q", simple(&good("q")), vec![None]),
        ("e", extended(&good("e")), vec![None]),
        ("t", in_texts(&["BEGIN", &good("t"), "COMMIT"]), vec![None; 3]),
        ("f", simple(&fails("f")), vec![Some("22012")]),
        ("g", extended(&fails("g")), vec![Some("22012")]),
        ("h", [run(&good("h")), extended(&fails("i"))].concat(), vec![Some("22012")]),
    ] {
        let mut dana = self::dana(&scene.gateway);
        masked(&mut dana, "SELECT ssn FROM people WHERE id = 7");
        scene.while_locked("notes", 3, || {
            dana.send_raw(&sent);
            let mut other = self::dana(&scene.gateway);
            done(&mut other, &format!("CREATE TABLE other_{name} AS SELECT ssn AS x FROM people WHERE id = 8"));
            drop(other);
        });
        let fails = codes.last() != Some(&None);
        for code in codes {
            let frames = dana.until_ready();
            let error = frames.iter().find(|frame| frame.tag == b'E').and_then(|frame| frame.field(b'C'));
            assert_eq!(error.as_deref(), code, "{name}: {frames:?}");
        }
        if fails {
            let made = format!("SELECT count(*) FROM pg_class WHERE relname = '{name}'");
            assert_eq!(scene.directly(&made), "0", "{name}");
        } else {
            masked(&mut dana, &format!("SELECT x FROM {name}"));
        }
        masked(&mut dana, &format!("SELECT x FROM other_{name}"));
    }
    scene.gateway.verify();
}

/// A copy whose source became another while it waited is taken back, and the session goes on.
#[test]
fn a_copy_of_what_became_something_else_is_taken_back() {
    let scene = propagating();
    let view = |column: &str| format!("CREATE OR REPLACE VIEW v AS SELECT id, {column} AS x FROM people");
    let mut definer = dana(&scene.gateway);
    let sql = "CREATE TABLE c AS SELECT v.x FROM notes n, v WHERE v.id = 7 AND n.id = 3";
    let begun =
        [wire::parse("", sql), wire::bind("", "", &[], 0), wire::describe(b'P', ""), wire::execute("", 0)].concat();
    for (what, sent) in [
        ("simple", wire::message(b'Q', &wire::text(sql))),
        ("extended", [begun.clone(), wire::sync()].concat()),
        ("flushed", [begun.clone(), wire::message(b'H', b""), wire::sync()].concat()),
        ("in pieces", [run("BEGIN"), begun, run("SELECT 1"), wire::sync(), run("ROLLBACK"), wire::sync()].concat()),
    ] {
        done(&mut definer, &view("ssn"));
        let mut dana = self::dana(&scene.gateway);
        masked(&mut dana, "SELECT x FROM v WHERE id = 7");
        scene.while_locked("notes", 3, || {
            dana.send_raw(&sent);
            crate::waiting::until_waiting(&scene, 1);
            done(&mut definer, &view("name"));
        });
        let frames = dana.until_ready();
        let code = wire::error(&frames).field(b'C');
        assert_eq!(code.as_deref(), Some("40001"), "{what}: {frames:?}");
        if what == "in pieces" {
            dana.until_ready();
        }
        assert_eq!(scene.directly("SELECT count(*) FROM pg_class WHERE relname = 'c'"), "0", "{what}");
        shown(&mut dana, "SELECT x FROM v WHERE id = 7", "Person 7");
    }
    scene.gateway.verify();
}

#[test]
fn what_cannot_be_followed_is_refused() {
    let scene = propagating();
    scene.directly("CREATE VIEW through AS SELECT id, body FROM notes");
    scene.directly("CREATE TABLE watched (x text)");
    scene.directly("CREATE FUNCTION tr() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN INSERT INTO notes (body) VALUES (NEW.x); RETURN NEW; END$$");
    scene.directly("CREATE TRIGGER t AFTER INSERT ON watched FOR EACH ROW EXECUTE FUNCTION tr()");
    let mut dana = dana(&scene.gateway);
    for sql in [
        "CREATE TABLE made AS SELECT ssn FROM people; SELECT 1",
        "INSERT INTO through SELECT 1007, ssn FROM people WHERE id = 7",
        "INSERT INTO watched SELECT ssn FROM people WHERE id = 7",
        "DO $$BEGIN INSERT INTO notes (body) SELECT ssn FROM people; END$$",
        "EXPLAIN ANALYZE INSERT INTO notes (id, body) SELECT 1007, ssn FROM people WHERE id = 7",
        "SELECT set_config('a.b', ssn, false) FROM people WHERE id = 7",
        "CREATE RULE r AS ON INSERT TO log DO ALSO INSERT INTO notes (body) SELECT ssn FROM people",
    ] {
        let frames = dana.query(sql);
        assert_eq!(wire::error(&frames).field(b'C').as_deref(), Some("42501"), "{sql}: {frames:?}");
    }
    assert_eq!(scene.directly("SELECT count(*) FROM notes WHERE body LIKE '%CANARY%'"), "0");
    done(&mut dana, "PREPARE q AS INSERT INTO notes (id, body) SELECT 1007, ssn FROM people WHERE id = 7");
    let frames = dana.query("EXECUTE q; SELECT 1");
    wire::error(&frames);
    assert_eq!(scene.directly("SELECT count(*) FROM notes WHERE body LIKE '%CANARY%'"), "0");
}

#[test]
fn what_a_place_refuses_is_no_way_to_ask() {
    let scene = propagating();
    let mut dana = dana(&scene.gateway);
    for sql in [
        "CREATE TABLE checked (a text CHECK (a LIKE 'C%'))",
        "CREATE TABLE keyed (a text PRIMARY KEY)",
        "CREATE TABLE guessed (a text UNIQUE)",
        "CREATE TABLE excluding (a text, EXCLUDE USING btree ((a || '') WITH =))",
        "CREATE TABLE listed (a text) PARTITION BY RANGE (a)",
        "CREATE TABLE listed_low PARTITION OF listed FOR VALUES FROM (MINVALUE) TO ('D')",
        "CREATE TABLE listed_high PARTITION OF listed DEFAULT",
        "CREATE DOMAIN lettered AS text CHECK (VALUE LIKE 'C%')",
        "CREATE TABLE typed (a lettered)",
        "CREATE TABLE short (a varchar(3))",
        "CREATE TABLE number (a int)",
        "CREATE TABLE filled (a text NOT NULL)",
    ] {
        done(&mut dana, sql);
    }
    for table in ["checked", "keyed", "guessed", "excluding", "listed", "listed_low", "typed", "short", "filled"] {
        let frames = dana.query(&format!("INSERT INTO {table} (a) SELECT ssn FROM people WHERE id = 7"));
        assert_eq!(wire::error(&frames).field(b'C').as_deref(), Some("42501"), "{table}: {frames:?}");
        assert_eq!(scene.directly(&format!("SELECT count(*) FROM {table}")), "0");
    }
    let frames = dana.query("INSERT INTO number (a) SELECT salary FROM people WHERE id = 7");
    assert_eq!(wire::error(&frames).field(b'C').as_deref(), Some("42501"), "{frames:?}");
    // A key that came after the table was looked at is seen too.
    done(&mut dana, "CREATE TABLE later (a text)");
    done(&mut dana, "INSERT INTO later VALUES ('x')");
    scene.directly("CREATE UNIQUE INDEX ON later (a)");
    std::thread::sleep(Duration::from_millis(700));
    let frames = dana.query("INSERT INTO later SELECT ssn FROM people WHERE id = 7");
    assert_eq!(wire::error(&frames).field(b'C').as_deref(), Some("42501"), "{frames:?}");
}

fn run(sql: &str) -> Vec<u8> {
    [wire::parse("", sql), wire::bind("", "", &[], 0), wire::execute("", 0)].concat()
}

/// A label goes with a rollback only where it is certain that the copy went too.
#[test]
fn a_copy_that_may_be_there_keeps_its_label() {
    let scene = propagating();
    let copy = "INSERT INTO notes (id, body) SELECT 1007, ssn FROM people WHERE id = 7";
    // More savepoints than are remembered.
    let mut dana = dana(&scene.gateway);
    done(&mut dana, "BEGIN; SAVEPOINT a");
    done(&mut dana, copy);
    done(&mut dana, &vec!["SAVEPOINT s"; 999].join(";"));
    done(&mut dana, "SAVEPOINT a");
    done(&mut dana, "ROLLBACK TO a");
    done(&mut dana, "COMMIT");
    masked(&mut dana, "SELECT body FROM notes WHERE id = 1007");
    // A savepoint under a name that nobody can tell any more.
    done(&mut dana, "CREATE TABLE other (body text)");
    dana.send_raw(&[wire::parse("s", "SAVEPOINT a"), wire::sync()].concat());
    dana.until_ready();
    done(&mut dana, "DO $$BEGIN NULL; END$$");
    done(&mut dana, "BEGIN; SAVEPOINT a");
    done(&mut dana, "INSERT INTO other SELECT ssn FROM people WHERE id = 7");
    dana.query("EXECUTE s");
    dana.query("ROLLBACK TO a");
    dana.query("COMMIT");
    if scene.directly("SELECT count(*) FROM other") != "0" {
        masked(&mut dana, "SELECT body FROM other");
    }
    // Code that commits by itself, in the middle of a pipeline that fails.
    scene.directly("CREATE PROCEDURE commits() LANGUAGE plpgsql AS $$BEGIN COMMIT; END$$");
    for fails in ["SELECT 1/0", "CALL commits_and_fails()"] {
        let mut dana = self::dana(&scene.gateway);
        done(&mut dana, "DROP TABLE IF EXISTS kept");
        done(&mut dana, "CREATE TABLE kept (x text)");
        scene.directly(
            "CREATE OR REPLACE PROCEDURE commits_and_fails() LANGUAGE plpgsql AS $$BEGIN COMMIT; PERFORM 1/0; END$$",
        );
        let pipeline = [
            run("INSERT INTO kept SELECT ssn FROM people WHERE id = 7"),
            run("CALL commits()"),
            run(fails),
            wire::sync(),
        ];
        dana.send_raw(&pipeline.concat());
        wire::error(&dana.until_ready());
        assert_eq!(scene.directly("SELECT x FROM kept"), SSN);
        masked(&mut dana, "SELECT x FROM kept");
    }
}

/// Where a copy goes is where the server looked its name up.
#[test]
fn a_statement_that_moves_the_search_path_copies_nothing() {
    let scene = propagating();
    scene
        .directly("CREATE SCHEMA aside; GRANT ALL ON SCHEMA aside TO PUBLIC; CREATE TABLE aside.twin (x text, y text)");
    scene.directly("CREATE TABLE public.twin (x text, y text); GRANT ALL ON aside.twin, public.twin TO PUBLIC");
    let mut dana = dana(&scene.gateway);
    for sql in [
        "INSERT INTO twin SELECT ssn, set_config('search_path', 'aside', false) FROM people WHERE id = 7",
        "WITH p AS (SELECT set_config('search_path', 'aside', false) c) INSERT INTO twin SELECT ssn, c FROM people, p",
    ] {
        dana.query(sql);
        dana.query("RESET search_path");
    }
    done(&mut dana, "PREPARE p (text) AS INSERT INTO twin SELECT ssn, $1 FROM people WHERE id = 7");
    dana.query("EXECUTE p(set_config('search_path', 'aside', false))");
    dana.query("RESET search_path");
    let frames = dana.query("SELECT x, y FROM public.twin UNION ALL SELECT x, y FROM aside.twin");
    let bytes: Vec<u8> = frames.iter().flat_map(|f| f.body.clone()).collect();
    assert_eq!(leaked(&bytes), None, "{frames:?}");
    assert_eq!(
        scene.directly("SELECT count(*) FROM (SELECT FROM public.twin UNION ALL SELECT FROM aside.twin) t"),
        "0"
    );
}

/// Two sessions bring the same label, one plain and one derived: what the one undoes stays of the other, in the store too.
#[test]
fn a_rollback_takes_only_the_label_of_its_own_transaction() {
    let mut scene = propagating();
    scene.directly("CREATE TABLE both_copy (k int, x text); GRANT ALL ON both_copy TO PUBLIC");
    let (mut one, mut other) = (dana(&scene.gateway), dana(&scene.gateway));
    for client in [&mut one, &mut other] {
        done(client, "SELECT x FROM both_copy");
        done(client, "BEGIN");
    }
    // Both wait for the table and then come for their labels at once.
    scene.while_locked("both_copy", 2, || {
        one.send(b'Q', &wire::text("INSERT INTO both_copy SELECT 1, ssn FROM people WHERE id = 7"));
        other.send(b'Q', &wire::text("INSERT INTO both_copy SELECT 2, upper(ssn) FROM people WHERE id = 8"));
        one.until_ready();
        other.until_ready();
    });
    done(&mut other, "ROLLBACK");
    done(&mut one, "COMMIT");
    assert_eq!(scene.directly("SELECT x FROM both_copy"), SSN);
    masked(&mut one, "SELECT x FROM both_copy");
    scene.gateway.stop();
    scene.gateway.resume();
    masked(&mut dana(&scene.gateway), "SELECT x FROM both_copy");
}

/// A copy that never runs leaves the session as it was.
#[test]
fn a_pipeline_whose_copy_never_runs_goes_on() {
    let scene = propagating();
    let mut dana = dana(&scene.gateway);
    let copy = "INSERT INTO notes (id, body) SELECT id, ssn FROM people WHERE id = $1::int";
    let never = [
        [wire::parse("", copy), wire::bind("", "", &["none"], 0), wire::execute("", 0)].concat(),
        run("INSERT INTO notes (id, body) SELECT born, ssn FROM people"),
    ];
    for pipeline in never {
        dana.send_raw(&[pipeline, wire::sync()].concat());
        wire::error(&dana.until_ready());
        shown(&mut dana, "SELECT 1", "1");
    }
    shown(&mut dana, "SELECT body FROM notes WHERE id = 1", "note 1");
}

#[test]
fn a_copy_is_not_prepared_for_a_commit_out_of_sight() {
    let scene = propagating();
    let mut dana = dana(&scene.gateway);
    for known in [true, false] {
        dana.send_raw(&[wire::parse("t", "PREPARE TRANSACTION 'x'"), wire::sync()].concat());
        dana.until_ready();
        if !known {
            done(&mut dana, "DO $$BEGIN NULL; END$$");
        }
        done(&mut dana, "BEGIN");
        done(&mut dana, "CREATE TABLE made AS SELECT ssn AS x FROM people WHERE id = 7");
        let frames = dana.query("EXECUTE t");
        assert_eq!(wire::error(&frames).field(b'C').as_deref(), Some("42501"), "{frames:?}");
        done(&mut dana, "ROLLBACK");
        dana.query("DEALLOCATE t");
    }
}

/// A copy that is undone was never reported as done.
#[test]
fn the_end_of_a_copy_is_told_once_it_stays() {
    let scene = propagating();
    scene.directly("CREATE TABLE late (k int, x text); GRANT ALL ON late TO PUBLIC");
    scene.directly("ALTER TABLE late ADD CONSTRAINT once UNIQUE (k) DEFERRABLE INITIALLY DEFERRED");
    let mut dana = dana(&scene.gateway);
    done(&mut dana, "INSERT INTO late VALUES (1, 'a')");
    let frames = dana.query("INSERT INTO late SELECT 1, ssn FROM people WHERE id = 7");
    assert_eq!(wire::error(&frames).field(b'C').as_deref(), Some("23505"), "{frames:?}");
    assert!(!frames.iter().any(|f| f.tag == b'C'), "{frames:?}");
    let frames = dana.query("INSERT INTO late SELECT 2, ssn FROM people WHERE id = 7");
    assert_eq!(wire::tags(&frames), "CZ", "{frames:?}");
    masked(&mut dana, "SELECT x FROM late");
}

/// One database behind two targets.
#[test]
fn a_label_counts_for_every_target_that_leads_to_the_database() {
    let mut scene = Scene::with(15, |options| {
        let other = options.target_extra.clone();
        let (port, database, role) = (options.target_port, &options.database, lockgate_tests::postgres::ROLE);
        options.target_extra.push_str("\n    laundering: propagate");
        options.target_extra.push_str(&format!(
            "\n  - name: other\n    protocol: postgres\n    address: 127.0.0.1:{port}\n    database: {database}\n    \
             username: {role}\n    password: ${{env:TEST_TARGET_PASSWORD}}\n{other}"
        ));
        options.extra = options.extra.replace("shop/public.people.ssn", "'*/public.people.ssn'");
        options.policies.push_str("permit (principal in Group::\"dba\", action, resource in Target::\"other\");\n");
    });
    let other = |scene: &Scene| {
        let token = scene.gateway.token("dana", &["dba"]);
        Client::login_with(scene.gateway.port, &[("user", "dana"), ("database", "other")], &token).expect("a login")
    };
    let mut before = other(&scene);
    shown(&mut before, "SELECT 1", "1");
    done(&mut dana(&scene.gateway), "CREATE TABLE made AS SELECT ssn AS x FROM people WHERE id = 7");
    masked(&mut before, "SELECT x FROM made");
    masked(&mut other(&scene), "SELECT x FROM made");
    scene.gateway.stop();
    scene.gateway.resume();
    masked(&mut other(&scene), "SELECT x FROM made");
}

#[test]
fn a_label_goes_to_every_relation_that_rows_are_written_to() {
    let scene = propagating();
    let mut dana = dana(&scene.gateway);
    let mut other = self::dana(&scene.gateway);
    for sql in [
        "CREATE TABLE parent (k int, a text)",
        "CREATE TABLE middle (more text) INHERITS (parent)",
        "CREATE TABLE child (first text, a text, k int)",
        "ALTER TABLE child INHERIT middle",
    ] {
        let _ = dana.query(sql);
    }
    let _ = dana.query("ALTER TABLE child ADD COLUMN more text");
    done(&mut dana, "ALTER TABLE child INHERIT middle");
    done(&mut dana, "INSERT INTO child (k, a) VALUES (1, 'a')");
    done(&mut dana, "INSERT INTO middle (k, a) VALUES (2, 'b')");
    shown(&mut other, "SELECT a FROM child", "a");
    // The rows of the parent are those of its children.
    done(&mut dana, "UPDATE parent SET a = p.ssn FROM people p WHERE p.id = 7");
    for client in [&mut dana, &mut other] {
        masked(client, "SELECT a FROM child");
        masked(client, "SELECT a FROM ONLY middle");
        masked(client, "SELECT a FROM parent");
    }
    shown(&mut other, "SELECT k FROM child", "1");
    // What is written to a child is read by way of its parents.
    done(&mut dana, "CREATE TABLE above (k int, a text)");
    done(&mut dana, "CREATE TABLE below () INHERITS (above)");
    done(&mut dana, "INSERT INTO below SELECT 1, ssn FROM people WHERE id = 7");
    masked(&mut other, "SELECT a FROM above");
    masked(&mut other, "SELECT a FROM below");
    // A label of a child is its own: it stays where the child leaves its parent.
    let frames = dana.query("ALTER TABLE child NO INHERIT middle");
    if !frames.iter().any(|f| f.tag == b'E') {
        masked(&mut other, "SELECT a FROM child");
    }
    let frames = dana.query("ALTER TABLE below NO INHERIT above");
    if !frames.iter().any(|f| f.tag == b'E') {
        masked(&mut other, "SELECT a FROM below");
    }
}
