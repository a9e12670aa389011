//! What the gateway reads of a target's catalog: it finds labels under every shape of a view, waits for nobody who changes a
//! table, and leaves nothing behind that anybody else would wait for.

use crate::masking::leaked;
use lockgate_sql::catalog_query::{SNAPSHOT_SQL, VERSION_SQL};
use lockgate_tests::postgres::{PASSWORD, Postgres, SUPERUSER};
use lockgate_tests::wire::{self, Client};
use lockgate_tests::{Scene, scene};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Views, what `SELECT *` of each shows of its columns: `c` as they are, `m` masked. Of one row.
const VIEWS: &[(&str, &str)] = &[
    ("SELECT id, name, ssn FROM people ORDER BY id LIMIT 1", "ccm"),
    ("SELECT ssn || 'x' AS \"a:b\", name AS \"q\"\"r\", 1 AS one FROM people WHERE id = 1", "mcc"),
    ("SELECT p.name, n.body, p.ssn FROM people p JOIN notes n ON n.id = p.id WHERE n.id = 1", "ccm"),
    ("SELECT id, body, name, ssn FROM notes JOIN people USING (id) ORDER BY id LIMIT 1", "cccm"),
    ("SELECT j.a, j.c, j.b FROM (notes JOIN people USING (id)) AS j(a, b, c, d, s) WHERE a = 1", "ccc"),
    ("SELECT j.* FROM (SELECT id, ssn FROM people) AS j(a, b) WHERE a = 1", "cm"),
    ("SELECT name FROM people WHERE id = 1 UNION ALL SELECT ssn FROM people WHERE id = 60", "m"),
    (
        "WITH k AS (SELECT ssn s, id i FROM people), l AS (SELECT * FROM k) SELECT l.s, k.i FROM l JOIN k USING (i) WHERE i = 1",
        "mc",
    ),
    (
        "WITH RECURSIVE r(n, t) AS (SELECT 1, ssn FROM people WHERE id = 1 UNION ALL SELECT n + 1, t FROM r WHERE n < 2) SELECT t, n FROM r LIMIT 1",
        "mc",
    ),
    ("SELECT (SELECT p.ssn FROM people p WHERE p.id = n.id) AS x, n.body FROM notes n WHERE id = 1", "mc"),
    (
        "SELECT ARRAY(SELECT ssn FROM people WHERE id = n.id) AS x, EXISTS (SELECT 1 FROM people WHERE id = n.id) AS e FROM notes n WHERE id = 1",
        "mc",
    ),
    ("SELECT count(*) AS n, string_agg(name, ',' ORDER BY id) AS s FROM people", "cc"),
    ("SELECT max(ssn) AS m, count(*) FILTER (WHERE id > 3) AS n FROM people", "mc"),
    (
        "SELECT name, row_number() OVER (ORDER BY id) AS r, lag(ssn, 0) OVER (ORDER BY id) AS l FROM people ORDER BY id LIMIT 1",
        "ccm",
    ),
    (
        "SELECT coalesce(ssn, name) AS a, greatest(name, 'a') AS b, CASE WHEN id = 1 THEN ssn END AS c FROM people WHERE id = 1",
        "mcm",
    ),
    ("SELECT t.t, p.ssn FROM people p, unnest(ARRAY[p.name]) AS t(t) WHERE p.id = 1", "cm"),
    ("SELECT v.a, p.name FROM (VALUES (1, 'x'), (2, 'y')) v(a, b) JOIN people p ON p.id = v.a WHERE a = 1", "cc"),
    ("SELECT l.x, l.y FROM people c CROSS JOIN LATERAL (SELECT c.ssn AS x, c.name AS y) l WHERE c.id = 1", "mc"),
    ("SELECT people AS whole, row(name, id)::text AS r, to_json(people) AS j FROM people WHERE id = 1", "mcm"),
    ("SELECT (q.c).ssn, q.n FROM (SELECT people AS c, name AS n FROM people WHERE id = 1) q", "mc"),
    (
        "SELECT tags[1] AS t, doc->>'ssn' AS d, ARRAY[name] AS n, id::text AS i, ssn::varchar(30) AS s FROM people WHERE id = 1",
        "mmccm",
    ),
    ("SELECT points, \"it's\", gone FROM odd", "ccm"),
    ("SELECT upper_ssn, name FROM made", "mc"),
    ("SELECT f.a, f.b FROM pick(1) f", "cm"),
    ("SELECT * FROM whole(1)", "cmm"),
    // Which column of the function's result is which is not certain after a column of its type was dropped.
    ("SELECT * FROM altered(1)", "mmmm"),
    ("SELECT ssn, id FROM held", "mc"),
    ("SELECT relname, 'SELECT ssn FROM people' AS t FROM pg_catalog.pg_class WHERE relname = 'people'", "cc"),
];

const MORE: &str = r#"
CREATE TABLE odd (x int, points int, dropped int, "it's" text, gone text);
ALTER TABLE odd DROP COLUMN dropped;
INSERT INTO odd VALUES (1, 2, 'fine', 'SSN-CANARY-odd');
CREATE TABLE made (name text, ssn text, upper_ssn text GENERATED ALWAYS AS (upper(ssn)) STORED);
INSERT INTO made VALUES ('n', 'SSN-CANARY-made');
CREATE FUNCTION pick(i int) RETURNS TABLE (a int, b text) LANGUAGE sql STABLE BEGIN ATOMIC; SELECT id, ssn FROM people WHERE id = i; END;
CREATE FUNCTION whole(i int) RETURNS SETOF made LANGUAGE sql STABLE AS 'SELECT * FROM made';
CREATE FUNCTION altered(i int) RETURNS SETOF odd LANGUAGE sql STABLE AS 'SELECT * FROM odd';
CREATE MATERIALIZED VIEW held AS SELECT id, ssn FROM people WHERE id = 7;
GRANT SELECT ON ALL TABLES IN SCHEMA public TO PUBLIC;
"#;

const LABELS: &str = "  - label: pii/odd\n    columns: [shop/public.odd.gone, shop/public.made.ssn]\n";

fn with_views(version: u32) -> Scene {
    let scene = Scene::with(version, |options| options.extra.push_str(LABELS));
    scene.directly(MORE);
    for (at, (view, _)) in VIEWS.iter().enumerate() {
        scene.directly(&format!("CREATE VIEW shape{at} AS {view}; GRANT SELECT ON shape{at} TO PUBLIC"));
    }
    scene
}

fn every_shape(version: u32) {
    let scene = with_views(version);
    let mut client = Client::login(scene.gateway.port, "alice", &scene.alice());
    for (at, (view, shown)) in VIEWS.iter().enumerate() {
        let sql = format!("SELECT * FROM shape{at} LIMIT 1");
        let frames = client.query(&sql);
        let row = frames.iter().find(|f| f.tag == b'D').unwrap_or_else(|| panic!("{version} {view}: {frames:?}"));
        let direct = scene.directly(&sql);
        let cells: Vec<String> = row.cells().into_iter().map(|c| c.unwrap_or_default()).collect();
        let direct: Vec<&str> = direct.trim_end_matches('\n').split('|').collect();
        assert_eq!((cells.len(), direct.len()), (shown.len(), shown.len()), "{version} {view}: {direct:?}");
        for ((cell, direct), shown) in cells.iter().zip(direct).zip(shown.chars()) {
            assert_eq!(cell == direct, shown == 'c', "{version} {view}: {cells:?} {direct}");
        }
        assert_eq!(leaked(&client.seen), None, "{version} {view}");
    }
}

#[test]
fn labels_are_found_under_every_shape_of_a_view() {
    every_shape(15);
}

#[test]
fn also_in_the_trees_of_16() {
    every_shape(16);
}

#[test]
fn also_in_the_trees_of_17() {
    every_shape(17);
}

#[test]
fn also_in_the_trees_of_18() {
    every_shape(18);
}

/// A view means columns, not names: it is read again under the names of now.
#[test]
fn a_renamed_column_keeps_its_meaning_in_views() {
    let scene = scene();
    let alice = scene.alice();
    let sql = "SELECT number, who FROM contacts LIMIT 1";
    assert_eq!(leaked(scene.gateway.query("alice", &alice, sql).as_bytes()), None);
    scene.directly("ALTER TABLE people RENAME COLUMN name TO ssn_; ALTER TABLE people RENAME COLUMN ssn TO name; ALTER TABLE people RENAME COLUMN ssn_ TO ssn");
    // The label is on a name: the column of that name now is another.
    lockgate_tests::process::eventually("the new names are known", Duration::from_secs(3), || {
        let row = scene.gateway.query("alice", &alice, sql);
        let (number, who) = row.trim_end().split_once('|').expect("two columns");
        number.starts_with("SSN-CANARY") && !who.starts_with("Person")
    });
}

/// A psql that runs this and then waits for more.
fn idle(scene: &Scene, sql: &str) -> Child {
    let mut psql: Command = scene.postgres.psql(&scene.database);
    let mut child = psql.stdin(Stdio::piped()).stdout(Stdio::null()).spawn().expect("psql starts");
    let mut input = child.stdin.take().expect("a pipe");
    std::io::Write::write_all(&mut input, sql.as_bytes()).expect("psql reads");
    child.stdin = Some(input);
    child
}

fn locked(scene: &Scene, mode: &str) -> bool {
    let sql =
        format!("SELECT count(*) FROM pg_locks WHERE granted AND mode = '{mode}' AND relation = 'people'::regclass");
    scene.directly(&sql).trim() != "0"
}

#[test]
fn who_locks_a_table_delays_nobody_who_does_not_read_it() {
    let scene = scene();
    let mut locker = idle(&scene, "BEGIN; LOCK TABLE people IN ACCESS EXCLUSIVE MODE;\n");
    lockgate_tests::process::eventually("the lock", Duration::from_secs(5), || locked(&scene, "AccessExclusiveLock"));
    let alice = scene.alice();
    let begun = Instant::now();
    let mut client = Client::login(scene.gateway.port, "alice", &alice);
    for _ in 0..3 {
        let frames = client.query("SELECT body FROM notes ORDER BY id LIMIT 1");
        assert!(frames.iter().any(|f| f.tag == b'D'), "{frames:?}");
        // The next statement needs another look at the catalog.
        std::thread::sleep(Duration::from_millis(520));
    }
    // The server would tell columns apart only with a lock on `people`; the gateway has its catalog already.
    scene.directly(
        "CREATE TABLE meanwhile (id int); INSERT INTO meanwhile VALUES (1); GRANT SELECT ON meanwhile TO PUBLIC",
    );
    let frames = client.query("SELECT id FROM meanwhile LIMIT 1");
    assert!(frames.iter().any(|f| f.tag == b'D'), "{frames:?}");
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    drop(locker.stdin.take());
    locker.wait().expect("psql ends");
    // What was read while it was locked is labelled all the same.
    let row = scene.gateway.query("alice", &alice, "SELECT number, who FROM contacts WHERE id = 7");
    assert!(row.contains("Person 7"), "{row}");
    assert_eq!(leaked(row.as_bytes()), None, "{row}");
}

#[test]
fn an_open_transaction_holds_no_lock_that_its_own_statements_did_not_take() {
    let scene = scene();
    let mut client = Client::login(scene.gateway.port, "dana", &scene.dana());
    client.query("BEGIN");
    client.query("SELECT body FROM notes LIMIT 1");
    // A change of its own makes the gateway read the whole catalog again within the transaction.
    client.query("CREATE TABLE mine (id int)");
    let frames = client.query("SELECT id FROM mine LIMIT 1");
    assert!(frames.iter().any(|f| f.tag == b'T'), "{frames:?}");
    let held = scene.directly(
        "SELECT string_agg(DISTINCT relation::regclass::text, ' ') FROM pg_locks WHERE locktype = 'relation' AND relation >= 16384 \
         AND pid <> pg_backend_pid() AND relation::regclass::text IN ('people', 'contacts', 'log')",
    );
    assert_eq!(held.trim(), "", "locks on what no statement named");
    // So nobody waits who wants to change what the transaction did not touch.
    scene.directly(
        "SET lock_timeout = '2s'; ALTER TABLE people ADD COLUMN fresh int; ALTER VIEW contacts RENAME TO contacts2",
    );
    client.query("ROLLBACK");
}

/// What a transaction of a higher isolation level sees is fixed by the client's first statement, not by the gateway's questions.
#[test]
fn a_transaction_sees_what_was_there_at_its_first_statement() {
    let scene = scene();
    scene.directly("GRANT ALL ON ALL TABLES IN SCHEMA public TO PUBLIC");
    let dana = scene.dana();
    for (begin, setting) in [
        ("BEGIN ISOLATION LEVEL REPEATABLE READ", ""),
        ("START TRANSACTION ISOLATION LEVEL SERIALIZABLE", ""),
        ("BEGIN", "SET default_transaction_isolation = 'repeatable read'"),
        ("BEGIN; SET TRANSACTION ISOLATION LEVEL REPEATABLE READ", ""),
    ] {
        for extended in [false, true] {
            for waited in [false, true] {
                let mut client = Client::login(scene.gateway.port, "dana", &dana);
                client.query(setting);
                if waited {
                    client.query("SELECT body FROM notes LIMIT 1");
                    // What is known of the catalog grows old.
                    std::thread::sleep(Duration::from_millis(520));
                }
                if extended && !begin.contains(';') {
                    let begin =
                        [wire::parse("", begin), wire::bind("", "", &[], 0), wire::execute("", 0), wire::sync()];
                    client.send_raw(&begin.concat());
                    client.until_ready();
                } else {
                    client.query(begin);
                }
                scene.directly("INSERT INTO notes (body) VALUES ('meanwhile')");
                let now = scene.directly("SELECT count(*) FROM notes");
                assert_eq!(client.value("SELECT count(*) FROM notes"), now, "{begin}, {extended}, {waited}");
                scene.directly("INSERT INTO notes (body) VALUES ('later')");
                assert_eq!(client.value("SELECT count(*) FROM notes"), now, "{begin}, {extended}, {waited}");
                client.query("COMMIT");
            }
        }
    }
}

#[test]
fn a_view_that_comes_and_goes_disturbs_nobody_and_shows_nothing() {
    let scene = scene();
    let alice = scene.alice();
    let scene = &scene;
    let end = Instant::now() + Duration::from_secs(6);
    std::thread::scope(|threads| {
        threads.spawn(move || {
            let mut count = 0;
            while Instant::now() < end {
                count += 1;
                scene.directly(&format!(
                    "DROP VIEW IF EXISTS passing; CREATE VIEW passing AS SELECT {} AS v, id FROM people; GRANT SELECT ON passing TO PUBLIC",
                    if count % 2 == 0 { "ssn" } else { "name" }
                ));
            }
        });
        let mut client = Client::login(scene.gateway.port, "alice", &alice);
        let mut answers = 0;
        while Instant::now() < end {
            for sql in ["SELECT v FROM passing LIMIT 2", "SELECT who FROM contacts ORDER BY id LIMIT 1"] {
                let frames = client.query(sql);
                assert_eq!(frames.last().map(|f| f.tag), Some(b'Z'), "{frames:?}");
                if let Some(error) = frames.iter().find(|f| f.tag == b'E') {
                    let code = error.field(b'C').unwrap_or_default();
                    // The view is not there just now: a direct connection is told the same.
                    assert!(code == "42P01" && sql.contains("passing"), "{sql}: {error:?}");
                } else {
                    answers += 1;
                }
            }
        }
        assert_eq!(leaked(&client.seen), None);
        assert!(answers > 20, "{answers}");
    });
}

/// A server that compiles every plan takes seconds for the gateway's questions about the catalog, unless they say that it need not. What
/// the client runs is compiled all the same.
#[test]
fn questions_are_not_compiled_and_the_clients_statements_are() {
    let scene = scene();
    for set in [
        "session_preload_libraries = 'auto_explain'",
        "auto_explain.log_min_duration = 0",
        "auto_explain.log_analyze = on",
        "jit_above_cost = 0",
    ] {
        scene.directly(&format!("ALTER DATABASE {} SET {set}", scene.database));
    }
    let mut dana = wire::Client::login(scene.gateway.port, "dana", &scene.dana());
    dana.query("CREATE VIEW v AS SELECT id, ssn FROM people");
    assert_eq!(dana.value("SELECT ssn FROM v WHERE id = 7"), "***");
    assert_eq!(dana.value("SHOW jit"), "on");
    let log = scene.postgres.log();
    let plans = |of: &str| -> Vec<bool> {
        let mine = log.split("LOG:").filter(|entry| entry.contains("Query Text:") && entry.contains(of));
        mine.map(|entry| entry.contains("JIT:")).collect()
    };
    assert_eq!(plans("SELECT ssn FROM v WHERE id = 7"), [true], "{log}");
    let asked = plans("/* lockgate session=");
    assert!(!asked.is_empty() && !asked.contains(&true), "{asked:?}: {log}");
    let snapshot = plans("pg_catalog.pg_attribute a JOIN pg_catalog.pg_class c");
    assert!(!snapshot.is_empty() && !snapshot.contains(&true), "{snapshot:?}: {log}");
}

/// How long a client gives its statements says nothing about the gateway's questions.
#[test]
fn a_clients_timeout_does_not_cut_the_gateways_questions() {
    let scene = scene();
    scene.directly("DO $$ BEGIN FOR i IN 1..2000 LOOP EXECUTE format('CREATE TABLE many_%s (a int, b text, c text, d text)', i); END LOOP; END $$");
    let mut alice = Client::login(scene.gateway.port, "alice", &scene.alice());
    alice.query("SET statement_timeout = '15ms'");
    let mut answered = 0;
    for round in 0..5 {
        scene.directly(&format!("CREATE TABLE another_{round} (a int)"));
        std::thread::sleep(Duration::from_millis(600));
        let frames = alice.query("SELECT name FROM people WHERE id = 7");
        // Its own statement may be cut where the machine is busy, and then it is told just that.
        let refused = frames.iter().find(|frame| frame.tag == b'E').and_then(|error| error.field(b'C'));
        assert!(refused.as_deref().is_none_or(|code| code == "57014"), "{round}: {frames:?}");
        answered += usize::from(refused.is_none());
    }
    assert!(answered > 0);
    assert_eq!(alice.value("SHOW statement_timeout"), "15ms");
    let error = wire::error(&alice.query("SELECT pg_sleep(1)")).field(b'C');
    assert_eq!(error.as_deref(), Some("57014"));
    assert_eq!(alice.value("SELECT 1"), "1");
}

/// Definitions of every kind that the gateway reads, one after the other, in a database with the usual scene.
const DEFINITIONS: &[&str] = &[
    "CREATE EXTENSION citext",
    "CREATE EXTENSION fuzzystrmatch",
    "CREATE SCHEMA s",
    "CREATE TABLE s.t (a text, b int)",
    "ALTER TABLE s.t ADD COLUMN c text",
    "ALTER TABLE s.t RENAME COLUMN c TO d",
    "ALTER TABLE s.t ALTER COLUMN d TYPE varchar(9)",
    "ALTER TABLE s.t ALTER COLUMN d SET NOT NULL",
    "ALTER TABLE s.t DROP COLUMN d",
    "ALTER TABLE s.t RENAME TO u",
    "ALTER TABLE s.u SET SCHEMA public",
    "ALTER SCHEMA s RENAME TO r",
    "ALTER TABLE u ADD CHECK (b > 1)",
    "ALTER TABLE u ADD COLUMN g int GENERATED ALWAYS AS (b + 1) STORED",
    "CREATE INDEX i ON u (b)",
    "CREATE INDEX j ON u (lower(a)) WHERE b > 1",
    "ALTER TABLE u CLUSTER ON i",
    "ALTER TABLE u SET WITHOUT CLUSTER",
    "CREATE STATISTICS st ON (a || 'x'), b FROM u",
    "CREATE TABLE below () INHERITS (u)",
    "ALTER TABLE below NO INHERIT u",
    "CREATE TABLE parted (k int) PARTITION BY LIST (k)",
    "CREATE TABLE part PARTITION OF parted FOR VALUES IN (1)",
    "ALTER TABLE parted DETACH PARTITION part",
    "CREATE VIEW v AS SELECT a FROM u",
    "CREATE OR REPLACE VIEW v AS SELECT lower(a) AS a FROM u",
    "ALTER VIEW v RENAME COLUMN a TO z",
    "CREATE MATERIALIZED VIEW m AS SELECT a FROM u",
    "CREATE SEQUENCE q",
    "CREATE RULE n AS ON DELETE TO u DO INSTEAD NOTHING",
    "DROP RULE n ON u",
    "CREATE FUNCTION f(x text) RETURNS text LANGUAGE sql AS 'SELECT 1::text'",
    "CREATE OR REPLACE FUNCTION f(x text) RETURNS text LANGUAGE sql AS 'SELECT a FROM u'",
    "ALTER FUNCTION f(text) SET search_path = r",
    "ALTER FUNCTION f(text) RENAME TO h",
    "ALTER FUNCTION h(text) SET SCHEMA r",
    "ALTER EXTENSION citext ADD FUNCTION r.h(text)",
    "ALTER EXTENSION citext DROP FUNCTION r.h(text)",
    "CREATE FUNCTION p() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END'",
    "CREATE TRIGGER w BEFORE UPDATE ON u FOR EACH ROW EXECUTE FUNCTION p()",
    "ALTER TABLE u DISABLE TRIGGER w",
    "CREATE TYPE ct AS (a text)",
    "ALTER TYPE ct ADD ATTRIBUTE b int",
    "CREATE TYPE en AS ENUM ('a')",
    "ALTER TYPE en ADD VALUE 'b'",
    "ALTER TYPE en RENAME VALUE 'a' TO 'c'",
    "CREATE TYPE ra AS RANGE (subtype = int)",
    "CREATE DOMAIN do_m AS text",
    "ALTER DOMAIN do_m ADD CHECK (length(value) > length(r.h('x')))",
    "ALTER TYPE en RENAME TO en_um",
    "CREATE FUNCTION eq(ct, ct) RETURNS bool LANGUAGE sql AS 'SELECT true'",
    "CREATE OPERATOR === (LEFTARG = ct, RIGHTARG = ct, FUNCTION = eq)",
    "CREATE FUNCTION ca(ct) RETURNS int LANGUAGE sql AS 'SELECT 1'",
    "CREATE CAST (ct AS int) WITH FUNCTION ca(ct)",
    "CREATE CAST (en_um AS text) WITH INOUT AS IMPLICIT",
    "ALTER TABLE u ALTER COLUMN a SET DEFAULT r.h('x')",
    "ALTER TABLE u ADD COLUMN later text DEFAULT r.h('y')",
    "CREATE COLLATION loose (provider = icu, locale = 'und', deterministic = false)",
    "DROP COLLATION loose",
    "CREATE TABLE own (LIKE people)",
    "ALTER TABLE own ADD FOREIGN KEY (id) REFERENCES people ON DELETE CASCADE",
    "ALTER LANGUAGE plpgsql RENAME TO pl",
    "ALTER EXTENSION fuzzystrmatch DROP FUNCTION soundex(text)",
    "DROP EXTENSION fuzzystrmatch",
    "CREATE TEMP TABLE t (a text)",
    "DROP TABLE t",
    "DROP CAST (ct AS int)",
    "DROP OPERATOR === (ct, ct)",
    "DROP TABLE u CASCADE",
];

/// Whoever looks at the version only has to see every change that the snapshot would show.
#[test]
fn the_version_differs_whenever_the_snapshot_does() {
    for version in [15, 18] {
        let postgres = Postgres::shared(version);
        let database = postgres.database("CREATE TABLE people (id int PRIMARY KEY, ssn text)");
        let parameters = [("user", SUPERUSER), ("database", database.as_str())];
        let mut client = Client::login_with(postgres.port, &parameters, PASSWORD).unwrap();
        let look = |client: &mut Client| {
            let mut snapshot: Vec<_> = SNAPSHOT_SQL.iter().map(|sql| wire::rows(&client.query(sql))).collect();
            snapshot.iter_mut().for_each(|rows| rows.sort());
            (client.value(VERSION_SQL), snapshot)
        };
        let (mut before, mut shown) = (look(&mut client), 0);
        for sql in DEFINITIONS {
            let frames = client.query(sql);
            assert!(!frames.iter().any(|f| f.tag == b'E'), "{version}, {sql}: {frames:?}");
            let after = look(&mut client);
            let differs = before.1 != after.1;
            shown += usize::from(differs);
            assert!(!differs || before.0 != after.0, "{version}: the version says nothing of {sql}");
            before = after;
        }
        assert!(shown * 10 > DEFINITIONS.len() * 9, "{version}: only {shown} definitions are seen");
    }
}
