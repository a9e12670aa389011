//! What a session knows of the catalog and of its search path is of now, however it comes to run what it runs: by a name that it
//! gave before, by a cursor, after hours in which it did nothing, and whoever else asks the target meanwhile.

use crate::waiting::{CLEAN, LABELLED, code, dana, done, leaked, simple};
use lockgate_tests::scene::{POLICIES, SSN};
use lockgate_tests::wire::{self, Client, Frame};
use lockgate_tests::{Scene, process, scene};
use std::time::{Duration, Instant};

/// An expression, so that the server's word on the column's origin says nothing.
const SECRET: &str = "SELECT ssn || '' FROM people LIMIT 3";

const PATH_X: &str = "SET search_path = x, public";
const PATH_PUBLIC: &str = "SET search_path = public";

/// A scene with a table of the same name in another schema, where nothing is labelled, and functions that look the name up.
fn two_worlds() -> Scene {
    let scene = scene();
    scene.directly(
        "CREATE SCHEMA x; CREATE TABLE x.people AS SELECT id, name, 'harmless'::text AS ssn FROM people; \
         GRANT USAGE ON SCHEMA x TO PUBLIC; GRANT SELECT ON x.people TO PUBLIC; \
         CREATE FUNCTION found() RETURNS SETOF text LANGUAGE sql VOLATILE AS 'SELECT ssn FROM people LIMIT 9'",
    );
    scene
}

fn alice(scene: &Scene) -> Client {
    Client::login(scene.gateway.port, "alice", &scene.alice())
}

fn sent(client: &mut Client, frames: &[Vec<u8>]) -> Vec<Frame> {
    client.send_raw(&[frames.concat(), wire::sync()].concat());
    client.until_ready()
}

#[track_caller]
fn silent(what: &str, frames: &[Frame]) {
    assert_eq!(leaked(frames), None, "{what}: {frames:?}");
}

#[track_caller]
fn masked(what: &str, frames: &[Frame]) {
    silent(what, frames);
    let rows = wire::rows(frames);
    assert!(!rows.is_empty() && rows.iter().all(|row| row == &[Some("***".to_owned())]), "{what}: {frames:?}");
}

#[test]
fn what_a_name_runs_is_looked_up_in_the_path_of_now() {
    let scene = two_worlds();
    let fetch = "DECLARE c CURSOR FOR SELECT f FROM found() f";
    let mut client = alice(&scene);
    for (name, sql) in [("s", SECRET), ("f", "SELECT f FROM found() f LIMIT 3")] {
        done(&mut client, PATH_X);
        done(&mut client, &format!("PREPARE {name} AS {sql}"));
        let run = format!("EXECUTE {name}");
        assert_eq!(client.value(&run), "harmless");
        done(&mut client, PATH_PUBLIC);
        masked(name, &client.query(&run));
        done(&mut client, PATH_X);
        assert_eq!(client.value(&run), "harmless");
        done(&mut client, PATH_PUBLIC);
        let frames = [wire::parse("", &run), wire::bind("", "", &[], 0), wire::execute("", 0)];
        masked(name, &sent(&mut client, &frames));
    }
    done(&mut client, PATH_X);
    done(&mut client, "BEGIN");
    done(&mut client, fetch);
    done(&mut client, PATH_PUBLIC);
    masked("FETCH", &client.query("FETCH 2 FROM c"));
    done(&mut client, "ROLLBACK");
}

/// Rows that a cursor made under another path come later, when the path is what it was again.
#[test]
fn rows_that_were_made_in_between_are_not_those_of_the_beginning() {
    let scene = two_worlds();
    let declare = |hold: &str| format!("DECLARE c CURSOR {hold} FOR SELECT f FROM found() f");
    for (what, hold, between) in [
        ("MOVE", "", vec![PATH_PUBLIC, "MOVE 1 IN c", PATH_X]),
        ("FETCH", "", vec![PATH_PUBLIC, "FETCH 1 FROM c", PATH_X]),
        ("COMMIT", "WITH HOLD", vec![PATH_PUBLIC, "COMMIT", PATH_X]),
        ("in one message", "WITH HOLD", vec!["SET search_path = public; COMMIT; SET search_path = x, public"]),
        ("a path of the transaction's", "WITH HOLD", vec!["SET LOCAL search_path = public", "COMMIT"]),
    ] {
        let mut client = alice(&scene);
        done(&mut client, PATH_X);
        done(&mut client, "BEGIN");
        done(&mut client, &declare(hold));
        for sql in between {
            silent(what, &client.query(sql));
        }
        masked(what, &client.query("FETCH 2 FROM c"));
    }
    // By the protocol the same, where a portal is executed in pieces.
    let mut client = Client::login(scene.gateway.port, "dana", &scene.dana());
    done(&mut client, PATH_X);
    done(&mut client, "BEGIN");
    let open = [wire::parse("", "SELECT f FROM found() f"), wire::bind("p", "", &[], 0)];
    silent("a portal", &sent(&mut client, &open));
    done(&mut client, PATH_PUBLIC);
    silent("a portal", &sent(&mut client, &[wire::execute("p", 1)]));
    done(&mut client, PATH_X);
    silent("a portal", &sent(&mut client, &[wire::execute("p", 0)]));

    // A cursor that has all of its rows keeps them, whatever the path is later; and one that looks nothing up is as it was.
    let mut client = alice(&scene);
    done(&mut client, PATH_X);
    done(&mut client, &declare("WITH HOLD"));
    done(&mut client, "DECLARE d CURSOR WITH HOLD FOR SELECT ssn || '' FROM people ORDER BY id LIMIT 2");
    done(&mut client, "SET search_path = x, public, pg_catalog");
    assert_eq!(client.value("FETCH 1 FROM c"), "harmless");
    assert_eq!(client.value("FETCH 1 FROM d"), "harmless");
}

/// How many rows there are tells what they hang on: an open cursor makes them by what names stand for when it makes them, and
/// nobody fetches, skips or keeps what could not be asked for then.
#[test]
fn how_many_rows_a_cursor_makes_under_other_names_is_not_told() {
    let scene = two_worlds();
    scene.directly(
        "CREATE FUNCTION counted() RETURNS SETOF int LANGUAGE sql VOLATILE AS 'SELECT 1 FROM people WHERE ssn LIKE ''SSN%'''; \
         CREATE FUNCTION opens() RETURNS trigger LANGUAGE plpgsql AS $$ DECLARE c refcursor := 'c'; BEGIN \
         OPEN c FOR SELECT 1 FROM counted(); RETURN NEW; END $$; \
         CREATE TRIGGER opens BEFORE INSERT ON notes FOR EACH ROW EXECUTE FUNCTION opens()",
    );
    let declare = |hold: &str| format!("DECLARE c CURSOR {hold} FOR SELECT 1 FROM counted()");
    let refused = |what: &str, frames: &[Frame]| {
        assert_eq!(code(frames).as_deref(), Some("42501"), "{what}: {frames:?}");
    };
    for between in [PATH_PUBLIC, "SELECT set_config('search_path', 'public', true)"] {
        for fetch in ["FETCH ALL FROM c", "MOVE ALL IN c", "EXECUTE f", "both"] {
            let what = format!("{between}; {fetch}");
            let mut client = alice(&scene);
            done(&mut client, PATH_X);
            done(&mut client, "BEGIN");
            done(&mut client, &declare(""));
            let both = fetch == "both";
            let frames = if both {
                client.query(&format!("{between}; MOVE ALL IN c"))
            } else {
                done(&mut client, between);
                match fetch {
                    "EXECUTE f" => sent(
                        &mut client,
                        &[wire::parse("f", "FETCH ALL FROM c"), wire::bind("", "f", &[], 0), wire::execute("", 0)],
                    ),
                    sql => client.query(sql),
                }
            };
            refused(&what, &frames);
        }
    }
    // Rows that are kept are made as the transaction ends.
    for messages in [
        vec![PATH_PUBLIC, "COMMIT", PATH_X, "MOVE ALL IN c"],
        vec!["SET search_path = public; COMMIT; SET search_path = x, public", "MOVE ALL IN c"],
        vec!["SET LOCAL search_path = public", "COMMIT", "MOVE ALL IN c"],
    ] {
        let mut client = alice(&scene);
        done(&mut client, PATH_X);
        done(&mut client, "BEGIN");
        done(&mut client, &declare("WITH HOLD"));
        let answers: Vec<Vec<Frame>> = messages.iter().map(|sql| client.query(sql)).collect();
        let last = &answers[answers.len() - 1];
        let told = last.iter().any(|frame| frame.tag == b'C');
        assert!(!told && answers.iter().any(|f| code(f).as_deref() == Some("40001")), "{messages:?}: {answers:?}");
    }
    // In a pipeline, which is a transaction up to its Sync.
    let mut client = alice(&scene);
    done(&mut client, PATH_X);
    let each = |sql: &str| [wire::parse("", sql), wire::bind("", "", &[], 0), wire::execute("", 0)].concat();
    sent(&mut client, &[each(&declare("WITH HOLD")), each("SET search_path = public")]);
    assert_eq!(code(&client.query("MOVE ALL IN c")).as_deref(), Some("34000"));
    // What code opened out of sight.
    for between in [PATH_PUBLIC, "SET LOCAL search_path = public"] {
        let mut client = alice(&scene);
        done(&mut client, PATH_X);
        done(&mut client, "BEGIN");
        done(&mut client, "INSERT INTO public.notes (body) VALUES ('x')");
        done(&mut client, "FETCH 0 FROM c");
        done(&mut client, between);
        refused(between, &client.query("MOVE ALL IN c"));
        // Another transaction has other cursors.
        done(&mut client, "ROLLBACK");
        done(&mut client, "BEGIN");
        done(&mut client, "INSERT INTO public.notes (body) VALUES ('x')");
        done(&mut client, "FETCH 0 FROM c");
    }
    // Where nothing moved all of it is counted.
    let mut client = alice(&scene);
    done(&mut client, PATH_X);
    for hold in ["", "WITH HOLD"] {
        done(&mut client, "BEGIN");
        done(&mut client, &declare(hold));
        assert_eq!(wire::tags(&client.query("MOVE ALL IN c")), "CZ");
        done(&mut client, "COMMIT");
    }
}

/// What masks the first rows of a portal was made for what it was then.
#[test]
fn later_rows_of_a_portal_are_not_masked_as_its_first() {
    let scene = two_worlds();
    let sql = "SELECT f FROM found() f";
    let one = || wire::execute("p", 1);
    for (what, open) in [
        ("a portal", vec![wire::parse("", sql), wire::bind("p", "", &[], 0)]),
        ("described", vec![wire::parse("", sql), wire::bind("p", "", &[], 0), wire::describe(b'P', "p")]),
        (
            "a cursor",
            vec![
                wire::parse("", &format!("DECLARE p CURSOR FOR {sql}")),
                wire::bind("", "", &[], 0),
                wire::execute("", 0),
            ],
        ),
    ] {
        for between in [
            vec![PATH_PUBLIC],
            vec!["SELECT set_config('search_path', 'public', false)"],
            vec!["CREATE TEMP VIEW people AS SELECT id, ssn || '' AS ssn FROM public.people"],
            vec![PATH_PUBLIC, "FETCH 1 FROM p"],
        ] {
            let mut client = Client::login(scene.gateway.port, "dana", &scene.dana());
            done(&mut client, PATH_X);
            done(&mut client, "BEGIN");
            let frames = sent(&mut client, &[open.clone(), vec![one()]].concat());
            assert_eq!(wire::rows(&frames), [[Some("harmless".to_owned())]], "{what}: {frames:?}");
            for sql in &between {
                silent(what, &client.query(sql));
            }
            for _ in 0..3 {
                masked(what, &sent(&mut client, &[one()]));
            }
        }
    }
}

/// The target reads a COPY when it runs, whatever it was bound under.
#[test]
fn a_copy_that_was_bound_is_of_the_names_of_now() {
    let scene = two_worlds();
    let data = |frames: &[Frame]| -> String {
        frames.iter().filter(|f| f.tag == b'd').map(|f| String::from_utf8_lossy(&f.body).into_owned()).collect()
    };
    for format in ["", "(FORMAT csv)"] {
        for (sql, public) in [
            ("(SELECT ssn || '' FROM people WHERE id < 3)", "***\n***\n"),
            ("(SELECT f FROM found() f LIMIT 2)", "***\n***\n"),
        ] {
            let copy = format!("COPY {sql} TO STDOUT {format}");
            let bound = || [wire::parse("", &copy), wire::bind("p", "", &[], 0)];
            let mut client = Client::login(scene.gateway.port, "dana", &scene.dana());
            for (bound_in, run_in, given) in [
                (PATH_X, PATH_PUBLIC, public),
                (PATH_PUBLIC, PATH_X, "harmless\nharmless\n"),
                (PATH_X, "CREATE TEMP VIEW people AS SELECT id, ssn || '' AS ssn FROM public.people", public),
            ] {
                done(&mut client, bound_in);
                done(&mut client, "BEGIN");
                silent(sql, &sent(&mut client, &bound()));
                done(&mut client, run_in);
                let frames = sent(&mut client, &[wire::execute("p", 0)]);
                silent(sql, &frames);
                assert_eq!(data(&frames), given, "{sql} {format}: {run_in}: {frames:?}");
                assert_eq!(client.value("SELECT 1"), "1");
                done(&mut client, "ROLLBACK");
            }
        }
    }
    // Nor does it take a permit that the COPY itself would not.
    let frames = [wire::parse("", "COPY notes (body) FROM STDIN"), wire::bind("p", "", &[], 0)];
    for user in ["alice", "dana"] {
        let token = if user == "alice" { scene.alice() } else { scene.dana() };
        let mut client = Client::login(scene.gateway.port, user, &token);
        done(&mut client, "BEGIN");
        silent("COPY FROM", &sent(&mut client, &frames));
        done(&mut client, PATH_X);
        client.send_raw(&[wire::execute("p", 0), wire::message(b'H', b"")].concat());
        while client.frame().tag != b'G' {}
        client.send_raw(&[wire::message(b'd', b"copied\n"), wire::message(b'c', b""), wire::sync()].concat());
        assert!(client.until_ready().iter().any(|f| f.body == b"COPY 1\0"));
        // In one flight too.
        done(&mut client, "COMMIT");
        done(&mut client, "BEGIN");
        done(&mut client, PATH_PUBLIC);
        silent("COPY FROM", &sent(&mut client, &frames));
        done(&mut client, PATH_X);
        let data = [wire::message(b'd', b"copied\n"), wire::message(b'c', b"")].concat();
        client.send_raw(&[wire::execute("p", 0), data, wire::sync()].concat());
        assert!(client.until_ready().iter().any(|f| f.body == b"COPY 1\0"));
        done(&mut client, "COMMIT");
        assert_eq!(
            client.value("SELECT count(*) FROM public.notes WHERE body = 'copied'"),
            if user == "alice" { "2" } else { "4" }
        );
    }
    scene.gateway.verify();
}

/// Under what names and rules a cursor is judged that was opened under others of both: neither then's rules nor now's names say.
#[test]
fn what_was_opened_under_other_rules_and_other_names_is_masked() {
    const WITHIN: &str = "SELECT (SELECT ssn) FROM people LIMIT 3";
    let scene = two_worlds();
    let usual = POLICIES;
    let sees =
        usual.replace("unless { principal in Group::\"fraud\" }", "unless { principal in Group::\"engineers\" }");
    let sees = format!(
        "{sees}\n@id(\"engineers-see\")\npermit (principal in Group::\"engineers\", action == Action::\"reveal\", resource in Label::\"pii\");\n"
    );
    let load = |policies: &str, shown: &str| {
        std::fs::write(scene.gateway.policy_file(), policies).expect("the policies");
        scene.gateway.reload();
        // A session ends that is in the middle of what it may not do any more.
        process::eventually("they count", Duration::from_secs(10), || {
            let mut witness = alice(&scene);
            wire::rows(&witness.query("SELECT ssn FROM people WHERE id = 7")) == [[Some(shown.to_owned())]]
        });
    };
    for (what, open) in [
        ("in a transaction", vec!["BEGIN".to_owned(), format!("DECLARE c CURSOR FOR {WITHIN}")]),
        ("WITH HOLD", vec![format!("DECLARE c CURSOR WITH HOLD FOR {WITHIN}")]),
    ] {
        for early in [true, false] {
            load(&sees, SSN);
            let mut client = alice(&scene);
            let mut other = alice(&scene);
            for client in [&mut client, &mut other] {
                for sql in &open {
                    done(client, sql);
                }
            }
            if early {
                done(&mut client, PATH_X);
            }
            load(usual, "***");
            if !early {
                done(&mut client, PATH_X);
            }
            masked(what, &client.query("FETCH 1 FROM c"));
            silent(what, &sent(&mut client, &[wire::execute("c", 0)]));
            // Where names mean what they did, the rules of now say it all.
            masked(what, &other.query("FETCH 1 FROM c"));
            masked(what, &sent(&mut other, &[wire::execute("c", 0)]));
        }
    }
}

/// Lets somebody else ask the target about its catalog whenever that is due, so that nobody else needs to, and looks for so long.
/// What rows hang on is asked for by the rules of now as well.
#[test]
fn a_cursor_that_was_opened_under_other_rules_tells_no_more_than_they_permit() {
    let scene = scene();
    let infer = "@id(\"engineers-search\")\n@mode(\"any\")\npermit (principal in Group::\"engineers\", action == Action::\"infer\", resource in Label::\"pii\");\n";
    let load = |policies: &str, permitted: bool| {
        std::fs::write(scene.gateway.policy_file(), policies).expect("the policies");
        scene.gateway.reload();
        process::eventually("they count", Duration::from_secs(10), || {
            let mut witness = alice(&scene);
            code(&witness.query("SELECT 1 FROM people WHERE ssn = 'x'")).is_none() == permitted
        });
    };
    let sql = "SELECT count(*) FROM people WHERE ssn LIKE 'SSN%'";
    for hold in ["", "WITH HOLD"] {
        for take in ["FETCH 1 FROM c", "MOVE 1 IN c"] {
            load(&format!("{POLICIES}\n{infer}"), true);
            let mut client = alice(&scene);
            done(&mut client, if hold.is_empty() { "BEGIN" } else { "SELECT 1" });
            done(&mut client, &format!("DECLARE c SCROLL CURSOR {hold} FOR {sql}"));
            done(&mut client, take);
            done(&mut client, "MOVE BACKWARD ALL IN c");
            load(POLICIES, false);
            assert_eq!(code(&client.query(take)).as_deref(), Some("42501"), "{hold} {take}");
        }
    }
}

fn while_another_asks(scene: &Scene, limit: Duration, mut look: impl FnMut()) {
    let mut other = dana(&scene.gateway);
    let until = Instant::now() + limit;
    while Instant::now() < until {
        other.query("SELECT count(*) FROM notes");
        look();
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Longer than anything that changed past the gateway goes unnoticed.
const NOTICED: Duration = Duration::from_millis(1_500);

const PLAIN: &str =
    "CREATE TABLE plain (id int, v text); INSERT INTO plain VALUES (1, 'public'); GRANT SELECT ON plain TO PUBLIC";

fn view_in(schema: &str) -> String {
    format!(
        "CREATE VIEW {schema}.plain AS SELECT id, ssn AS v FROM public.people WHERE id = 7; \
         GRANT SELECT ON {schema}.plain TO PUBLIC"
    )
}

/// What others find out is the catalog; in which schemas this session looks names up is its own.
#[test]
fn a_schema_that_comes_into_the_path_is_found_whoever_asks() {
    let scene = scene();
    scene.directly(PLAIN);
    let read = "SELECT v || '' FROM plain LIMIT 1";
    let (mut definer, mut reader) = (dana(&scene.gateway), alice(&scene));
    done(&mut reader, "SET search_path = later, public");
    assert_eq!(reader.value(read), "public");
    done(&mut definer, "BEGIN");
    done(&mut definer, "CREATE SCHEMA later");
    for sql in view_in("later").split("; ") {
        done(&mut definer, sql);
    }
    done(&mut definer, "GRANT USAGE ON SCHEMA later TO PUBLIC");
    done(&mut definer, "COMMIT");
    while_another_asks(&scene, Duration::from_millis(300), || masked("through the gateway", &reader.query(read)));

    let schema = |name: &str| format!("CREATE SCHEMA {name}; {}", view_in(name));
    for (name, before, change) in [
        ("past", String::new(), format!("{}; GRANT USAGE ON SCHEMA past TO PUBLIC", schema("past"))),
        ("opened", schema("opened"), "GRANT USAGE ON SCHEMA opened TO PUBLIC".to_owned()),
    ] {
        let mut reader = alice(&scene);
        if !before.is_empty() {
            scene.directly(&before);
        }
        done(&mut reader, &format!("SET search_path = {name}, public"));
        assert_eq!(reader.value(read), "public", "{name}");
        scene.directly(&change);
        while_another_asks(&scene, NOTICED, || drop(reader.query(read)));
        masked(name, &reader.query(read));
    }
}

const READ: &str = "SELECT x || '' FROM v WHERE id = 7";

#[test]
fn who_only_binds_what_was_prepared_learns_what_others_find_out() {
    let scene = scene();
    scene.directly(&format!("{CLEAN}; GRANT SELECT ON v TO PUBLIC"));
    let mut reader = alice(&scene);
    silent("a statement", &sent(&mut reader, &[wire::parse("s", READ)]));
    let run = |reader: &mut Client| sent(reader, &[wire::bind("", "s", &[], 0), wire::execute("", 0)]);
    assert_eq!(wire::rows(&run(&mut reader)), [[Some("Person 7".to_owned())]]);
    scene.directly(LABELLED);
    while_another_asks(&scene, NOTICED, || drop(run(&mut reader)));
    masked("a prepared statement", &run(&mut reader));
}

/// What such a transaction is told of the catalog is of its beginning, and says nothing of what others will find.
#[test]
fn a_transaction_that_sees_an_old_catalog_keeps_nobody_from_the_new_one() {
    let scene = scene();
    scene.directly(&format!("{CLEAN}; GRANT SELECT ON v TO PUBLIC"));
    let (mut old, mut reader) = (alice(&scene), alice(&scene));
    assert_eq!(reader.value(READ), "Person 7");
    for isolation in ["REPEATABLE READ", "SERIALIZABLE"] {
        scene.directly(CLEAN);
        std::thread::sleep(Duration::from_millis(600));
        assert_eq!(reader.value(READ), "Person 7");
        done(&mut old, &format!("BEGIN ISOLATION LEVEL {isolation}"));
        done(&mut old, "SELECT count(*) FROM notes");
        scene.directly(LABELLED);
        let until = Instant::now() + NOTICED;
        while Instant::now() < until {
            old.query("SELECT count(*) FROM notes");
            reader.query(READ);
        }
        masked(isolation, &reader.query(READ));
        done(&mut old, "ROLLBACK");
        masked(isolation, &old.query(READ));
    }
    let frames = old.query("SET TRANSACTION SNAPSHOT '00000003-0000001B-1'");
    assert_eq!(code(&frames).as_deref(), Some("42501"), "one of before its own beginning: {frames:?}");
}

/// Such a session waits for others, and is told then what there was before it waited.
#[test]
fn an_answer_that_waited_is_as_old_as_its_question() {
    let scene = scene();
    scene.directly(&format!("{CLEAN}; GRANT SELECT ON v TO PUBLIC"));
    let (mut waits, mut holds, mut reader) = (alice(&scene), alice(&scene), alice(&scene));
    assert_eq!(reader.value(READ), "Person 7");
    let level = "SET SESSION CHARACTERISTICS AS TRANSACTION ISOLATION LEVEL SERIALIZABLE, READ ONLY, DEFERRABLE";
    done(&mut waits, level);
    assert_eq!(waits.value(READ), "Person 7");
    std::thread::sleep(Duration::from_millis(600));
    done(&mut holds, "BEGIN ISOLATION LEVEL SERIALIZABLE, READ WRITE");
    done(&mut holds, "SELECT count(*) FROM notes");
    // Nobody has asked just now.
    std::thread::sleep(Duration::from_millis(600));
    waits.send_raw(&simple(READ));
    std::thread::sleep(Duration::from_millis(300));
    scene.directly(LABELLED);
    std::thread::sleep(Duration::from_millis(800));
    done(&mut holds, "COMMIT");
    masked("who waited", &waits.until_ready());
    masked("others", &reader.query(READ));
}

/// A session that did nothing for long has let go of the catalog, and of what it alone knew: its temporary objects, its path.
#[test]
fn what_a_session_knew_before_it_rested_is_asked_for_again() {
    let scene = two_worlds();
    scene.directly(PLAIN);
    let hidden = "CREATE TEMP VIEW plain AS SELECT id, ssn AS v FROM public.people WHERE id = 7";
    let read = "SELECT v || '' FROM plain LIMIT 1";
    let declare = format!("DECLARE c CURSOR WITH HOLD FOR {read}");
    let prepare = format!("PREPARE s AS {read}");
    let prepare_people = format!("PREPARE s AS {SECRET}");
    let by_protocol = [wire::bind("", "s", &[], 0), wire::execute("", 0)].concat();
    let whole = |sql: &str| [wire::parse("", sql), wire::bind("", "", &[], 0), wire::execute("", 0)].concat();
    // What was done before, and what comes first after the rest.
    let cases: Vec<(Vec<&str>, Vec<u8>)> = vec![
        (vec![hidden, &prepare], simple("EXECUTE s")),
        (vec![hidden, &prepare], [whole("EXECUTE s"), wire::sync()].concat()),
        (vec![hidden, &prepare], [by_protocol, wire::sync()].concat()),
        (vec![hidden, &prepare], simple("SET work_mem = '1MB'; EXECUTE s")),
        (vec![hidden, &declare], simple("FETCH 1 FROM c")),
        (vec![hidden, &declare], [wire::execute("c", 1), wire::sync()].concat()),
        (vec![hidden], simple(read)),
        (vec![hidden], [whole(read), wire::sync()].concat()),
        (vec![hidden], [whole("BEGIN"), whole(read), wire::sync()].concat()),
        (vec![hidden], simple(&format!("COPY ({read}) TO STDOUT"))),
        (vec![PATH_X, &prepare_people, PATH_PUBLIC], simple("EXECUTE s")),
        (vec![PATH_X, "SELECT count(*) FROM people", PATH_PUBLIC], simple(SECRET)),
    ];
    let mut resting: Vec<(Client, Vec<u8>)> = Vec::new();
    for (before, first) in cases {
        let mut client = dana(&scene.gateway);
        for sql in before {
            done(&mut client, sql);
        }
        resting.push((client, first));
    }
    // Who has rows to come has them all the same.
    let mut own = dana(&scene.gateway);
    done(&mut own, "CREATE TEMP TABLE mine AS SELECT 'mine'::text AS v");
    done(&mut own, "DECLARE c CURSOR WITH HOLD FOR SELECT v FROM mine");
    done(&mut own, "PREPARE s AS SELECT v FROM mine");
    while_another_asks(&scene, Duration::from_millis(lockgate_core::limits::CATALOG_REST_MS + 1_000), || {
        std::thread::sleep(Duration::from_millis(200));
    });
    for (client, first) in &mut resting {
        client.send_raw(first);
        let frames = client.until_ready();
        let what = String::from_utf8_lossy(first).into_owned();
        silent(&what, &frames);
        let said: Vec<u8> = frames.iter().flat_map(|frame| frame.body.clone()).collect();
        assert!(String::from_utf8_lossy(&said).contains("***"), "{what}: {frames:?}");
    }
    assert_eq!(own.value("EXECUTE s"), "mine");
    assert_eq!(own.value("FETCH 1 FROM c"), "mine");
}
