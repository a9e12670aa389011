//! A labelled value is masked on every way to a client, and keeps its type.

use lockgate_tests::process;
use lockgate_tests::scene::{PEOPLE, SSN};
use lockgate_tests::wire::{self, Client};
use lockgate_tests::{Scene, scene};

/// What may never be seen by who may not see personal data.
const CANARIES: &[&str] = &["CANARY-", "@leak.example", "7100", "7101", "7102", "7103", "7104", "1971-0"];

pub(crate) fn leaked(bytes: &[u8]) -> Option<&'static str> {
    let text = String::from_utf8_lossy(&without_ids(bytes)).into_owned();
    CANARIES.iter().find(|canary| text.contains(**canary)).copied()
}

/// Without the numbers of sessions, which the gateway's messages name: some have the digits of a canary in them.
fn without_ids(bytes: &[u8]) -> Vec<u8> {
    const ID: usize = 26;
    let is_digit = |byte: &u8| byte.is_ascii_digit() || byte.is_ascii_uppercase();
    let mut out = bytes.to_vec();
    for run in out.chunk_by_mut(|a, b| is_digit(a) == is_digit(b)) {
        if run.len() == ID && run.starts_with(b"01") && run.iter().any(u8::is_ascii_uppercase) {
            run.fill(b'#');
        }
    }
    out
}

#[test]
fn a_number_of_a_session_is_no_leak_and_all_else_is() {
    assert_eq!(leaked(b"refused   session 01M8157102HPS2TE74434CNW2Z\0"), None);
    for text in ["7102", "x7102x", "01M8157102HPS2TE74434CNW2Z7102", "01000000000000000000007102", "SSN-CANARY-0007"] {
        assert!(leaked(text.as_bytes()).is_some(), "{text}");
    }
}

#[test]
fn a_plain_select_is_masked_and_for_fraud_it_is_not() {
    let scene = scene();
    let sql = "SELECT id, name, ssn, email, salary, born FROM people ORDER BY id LIMIT 10";
    let masked = scene.gateway.query("alice", &scene.alice(), sql);
    assert_eq!(masked.lines().count(), 10, "{masked}");
    assert!(masked.contains("Person 7"));
    assert_eq!(leaked(masked.as_bytes()), None, "{masked}");
    let plain = scene.gateway.query("frank", &scene.frank(), sql);
    assert_eq!(plain, scene.directly(sql));
    assert!(plain.contains(SSN));
}

/// Either masked or refused: both hold the promise. That the plain ones work is checked apart.
#[test]
fn no_way_of_asking_yields_the_value() {
    let scene = scene();
    let mut client = Client::login(scene.gateway.port, "alice", &scene.alice());
    let ways = [
        "SELECT ssn FROM people LIMIT 5",
        "SELECT ssn AS id FROM people LIMIT 5",
        "SELECT * FROM people LIMIT 5",
        "TABLE people",
        "SELECT p.* FROM people p JOIN notes n ON n.id = p.id LIMIT 5",
        "SELECT q.x FROM (SELECT ssn AS x FROM people) q LIMIT 5",
        "WITH c AS (SELECT ssn FROM people) SELECT * FROM c LIMIT 5",
        "WITH RECURSIVE c(n, s) AS (SELECT 1, ssn FROM people WHERE id = 1 UNION ALL SELECT n + 1, s FROM c WHERE n < 3) SELECT s FROM c",
        "SELECT ssn FROM people WHERE id = 1 UNION SELECT email FROM people WHERE id = 2",
        "SELECT number FROM contacts LIMIT 5",
        "SELECT (SELECT ssn FROM people WHERE id = 1)",
        "SELECT ssn || '' FROM people LIMIT 5",
        "SELECT upper(ssn), left(ssn, 14), reverse(reverse(ssn)) FROM people LIMIT 5",
        "SELECT concat('a', ssn) FROM people LIMIT 5",
        "SELECT CASE WHEN true THEN ssn END FROM people LIMIT 5",
        "SELECT coalesce(ssn, '') FROM people LIMIT 5",
        "SELECT max(ssn), min(email) FROM people",
        "SELECT 'CANARY-' WHERE (SELECT count(DISTINCT ssn) FROM people) = 50",
        "SELECT string_agg(ssn, ',') FROM people",
        "SELECT array_agg(ssn) FROM people",
        "SELECT row_to_json(p) FROM people p LIMIT 5",
        "SELECT to_jsonb(p) FROM people p LIMIT 5",
        "SELECT p FROM people p LIMIT 5",
        "SELECT p::text FROM people p LIMIT 5",
        "SELECT (p).ssn FROM people p LIMIT 5",
        "SELECT ssn(p) FROM people p LIMIT 5",
        "SELECT json_agg(people) FROM people",
        "SELECT salary::text, salary + 0, salary::int FROM people LIMIT 5",
        "SELECT born::text, born + 0 FROM people LIMIT 5",
        "SELECT doc, doc->>'ssn', tags, tags[1] FROM people LIMIT 5",
        "SELECT unnest(tags) FROM people",
        "SELECT * FROM jsonb_each_text((SELECT doc FROM people WHERE id = 1))",
        "UPDATE people SET points = 1 WHERE id = 7 RETURNING ssn, people.*",
        "INSERT INTO people (id, name, ssn) VALUES (900, 'x', 'SSN-CANARY-9999') RETURNING *",
        "INSERT INTO notes (body) SELECT ssn FROM people RETURNING body",
        "VALUES ((SELECT ssn FROM people WHERE id = 1))",
        "SELECT lag(ssn) OVER (ORDER BY id) FROM people LIMIT 5",
        "SELECT x FROM people, LATERAL (SELECT ssn AS x) l LIMIT 5",
        "EXPLAIN (ANALYZE, VERBOSE) SELECT ssn FROM people WHERE ssn = 'SSN-CANARY-0007'",
        "SELECT most_common_vals, histogram_bounds FROM pg_stats WHERE tablename = 'people'",
        "SELECT query_to_xml('SELECT ssn FROM people', true, true, '')",
        "SELECT ssn::int FROM people",
        "SELECT 1/(length(ssn) - length(ssn)) FROM people",
        "DO $$ BEGIN RAISE EXCEPTION '%', (SELECT ssn FROM people WHERE id = 1); END $$",
        "COPY people TO STDOUT",
        "COPY (SELECT ssn FROM people LIMIT 3) TO STDOUT",
        "COPY (SELECT ssn FROM people LIMIT 3) TO STDOUT (FORMAT csv)",
        "COPY (SELECT ssn FROM people LIMIT 3) TO STDOUT (FORMAT binary)",
        "BEGIN; DECLARE c CURSOR FOR SELECT ssn FROM people; FETCH 5 FROM c; COMMIT",
        "PREPARE q AS SELECT ssn FROM people LIMIT 5; EXECUTE q",
        "SELECT \"ssn\" /* ssn */ FROM public.\"people\" LIMIT 5",
        "SELECT U&\"\\0073sn\" FROM people LIMIT 5",
        "SET search_path = public; SELECT ssn FROM people LIMIT 5",
        "LISTEN c; SELECT pg_notify('c', (SELECT ssn FROM people WHERE id = 1))",
        "SELECT set_config('application_name', (SELECT ssn FROM people WHERE id = 1), false)",
    ];
    for sql in ways {
        let before = client.seen.len();
        let frames = client.query(sql);
        let told = &client.seen[before..];
        assert_eq!(leaked(told), None, "{sql}\n{frames:?}");
        if frames.last().is_none_or(|frame| frame.tag != b'Z') {
            client = Client::login(scene.gateway.port, "alice", &scene.alice());
        } else if frames.last().unwrap().body != b"I" {
            client.query("ROLLBACK");
        }
    }
}

/// By somebody who may change the structure without asking: no copy, view, function or new column is a way around.
#[test]
fn no_new_object_yields_the_value() {
    let scene = scene();
    let dana = scene.dana();
    let ways = [
        ("CREATE TABLE c1 AS SELECT * FROM people", "SELECT * FROM c1"),
        ("CREATE TEMP TABLE c2 AS SELECT ssn AS id FROM people", "SELECT * FROM c2"),
        (
            "CREATE TABLE c2b (x) AS SELECT ssn FROM people WITH NO DATA; INSERT INTO c2b SELECT ssn FROM people",
            "TABLE c2b",
        ),
        ("SELECT ssn INTO c3 FROM people", "SELECT * FROM c3"),
        ("SELECT ssn INTO TEMP c4 FROM people", "TABLE c4"),
        ("CREATE VIEW c5 AS SELECT ssn AS harmless FROM people", "SELECT harmless FROM c5"),
        ("CREATE TEMP VIEW c5b AS SELECT p AS whole FROM people p", "SELECT whole::text FROM c5b"),
        ("CREATE MATERIALIZED VIEW c6 AS SELECT ssn AS harmless FROM people", "SELECT harmless FROM c6"),
        ("CREATE FUNCTION c7() RETURNS SETOF text LANGUAGE sql AS 'SELECT ssn FROM people'", "SELECT c7()"),
        (
            "CREATE FUNCTION c8() RETURNS text LANGUAGE plpgsql AS $$ BEGIN RETURN (SELECT min(ssn) FROM people); END $$",
            "SELECT c8()",
        ),
        ("CREATE TABLE c9 (x text); INSERT INTO c9 SELECT ssn FROM people", "SELECT x FROM c9"),
        ("CREATE TABLE c10 (LIKE people); INSERT INTO c10 TABLE people", "TABLE c10"),
        ("CREATE TABLE c11 () INHERITS (people)", "SELECT * FROM people"),
        ("ALTER TABLE people ADD COLUMN c12 text GENERATED ALWAYS AS (ssn) STORED", "SELECT c12 FROM people"),
        (
            "ALTER TABLE notes ALTER body SET DEFAULT 'x'; UPDATE notes SET body = (SELECT ssn FROM people WHERE people.id = notes.id)",
            "SELECT body FROM notes",
        ),
        (
            "CREATE RULE r AS ON INSERT TO log DO ALSO INSERT INTO notes (body) SELECT ssn FROM people; INSERT INTO log VALUES (1, 'x')",
            "SELECT body FROM notes",
        ),
        ("CREATE TABLE c13 (t text); COPY c13 FROM PROGRAM 'psql'", "TABLE c13"),
        ("PREPARE c14 AS SELECT ssn AS a FROM people; CREATE TABLE c14 AS EXECUTE c14", "TABLE c14"),
        ("CREATE AGGREGATE c15 (text) (SFUNC = textcat, STYPE = text, INITCOND = '')", "SELECT c15(ssn) FROM people"),
        ("CREATE DOMAIN c16 AS text", "SELECT ssn::c16 FROM people"),
        ("CREATE CAST (text AS int) WITH INOUT", "SELECT ssn::text::int FROM people"),
        ("CREATE INDEX c17 ON people ((1 / (length(ssn) - 15)))", "SELECT 1"),
        ("ALTER TABLE people ADD CONSTRAINT c18 CHECK (ssn = 'x')", "SELECT 1"),
        ("ALTER TABLE people ALTER id TYPE text USING ssn", "SELECT id FROM people"),
    ];
    for (make, look) in ways {
        let mut client = Client::login(scene.gateway.port, "dana", &dana);
        for sql in [make, look] {
            let frames = client.query(sql);
            assert_eq!(leaked(&client.seen), None, "{sql}\n{frames:?}");
            if frames.last().is_none_or(|frame| frame.tag != b'Z') {
                client = Client::login(scene.gateway.port, "dana", &dana);
            }
        }
    }
}

#[test]
fn a_labelled_column_is_masked_and_not_refused_where_that_is_understood() {
    let scene = scene();
    let alice = scene.alice();
    for sql in [
        "SELECT ssn AS id FROM people LIMIT 5",
        "SELECT * FROM people LIMIT 5",
        "SELECT p.ssn FROM people p JOIN notes n ON n.id = p.id LIMIT 5",
        "SELECT q.x FROM (SELECT ssn AS x FROM people) q LIMIT 5",
        "WITH c AS (SELECT ssn FROM people) SELECT * FROM c LIMIT 5",
        "SELECT number FROM contacts LIMIT 5",
        "UPDATE people SET points = 1 WHERE id BETWEEN 1 AND 5 RETURNING ssn",
        "SELECT ssn FROM people WHERE id < 3 UNION ALL SELECT ssn FROM people WHERE id IN (8, 9, 10) LIMIT 5",
    ] {
        let rows = scene.gateway.query("alice", &alice, sql);
        assert!(rows.lines().count() >= 5, "{sql}: {rows}");
        assert_eq!(leaked(rows.as_bytes()), None, "{sql}: {rows}");
    }
}

/// Drivers decode what the mask leaves, as the type that was described: in text and in binary, whole.
#[test]
fn masked_values_still_decode_as_their_types() {
    let tables = "CREATE TYPE pair AS (a int, b text, c date); CREATE TYPE mood AS ENUM ('low', 'high');
        CREATE DOMAIN grade AS int CHECK (VALUE > 0);
        CREATE TABLE typed (id int, n int, b bigint, s smallint, f float8, t bool, w text, v varchar(2), c char(5), d date,
            z timestamptz, u uuid, m numeric(8,2), j jsonb, k json, i interval, o time, y bytea, x inet, r int4range,
            l int[], q text[], e mood, g grade, p pair, h pair[]);
        INSERT INTO typed VALUES (1, 71001, 71002, 7100, 7100.5, true, 'canary', 'ca', 'canar', '1971-02-10', '1971-02-10',
            gen_random_uuid(), 71007.56, '{\"canary\": 1}', '[1]', '71 days', '07:10', 'canary', '10.7.1.0', '[7,71)', '{7,1}',
            '{canary}', 'high', 71, '(71,canary,1971-02-10)', ARRAY['(71,canary,1971-02-10)'::pair])";
    let scene = Scene::with_database(15, tables, |options| {
        options.extra = "classify:\n  - label: pii/all\n    columns: [shop/public.typed.*]\n".to_owned();
    });
    let alice = scene.alice();
    let script = r#"
import asyncio, datetime, decimal, ipaddress, os, sys, uuid
import asyncpg, psycopg
from psycopg.types.composite import CompositeInfo, register_composite
from psycopg.types.enum import EnumInfo, register_enum
from psycopg.types.range import Range
ALL = "SELECT n, b, s, f, t, w, v, c, d, z, u, m, j, k, i, o, y, x, r, l, q, e, g, p, h FROM typed LIMIT 1"
epoch, midnight = datetime.date(2000, 1, 1), datetime.datetime(2000, 1, 1, tzinfo=datetime.timezone.utc)
def look(row, who, address, empty):
    expected = [0, 0, 0, 0.0, False, "***", "**", "***  ", epoch, midnight, uuid.UUID(int=0), decimal.Decimal("0.00"),
        None, None, datetime.timedelta(0), datetime.time(0), b"", address, empty, [], []]
    for name, value, wanted in zip(ALL[7:].split(", "), row, expected):
        assert value == wanted and isinstance(value, type(wanted)), (who, name, value, wanted)
    enum, grade, pair, pairs = row[21:]
    assert getattr(enum, "name", enum) in ("low", None), (who, enum)
    assert grade in (0, None), (who, grade)
    assert tuple(pair) == (0, "***", epoch), (who, pair)
    assert pairs == [], (who, pairs)
for binary in (False, True):
    with psycopg.connect(sys.argv[1], password=os.environ["TOKEN"]) as c:
        register_composite(CompositeInfo.fetch(c, "pair"), c)
        register_enum(EnumInfo.fetch(c, "mood"), c)
        c.execute("SET timezone = 'UTC'")
        row = c.cursor(binary=binary).execute(ALL).fetchone()
        look(row, f"psycopg, binary {binary}", ipaddress.ip_address("0.0.0.0"), Range(empty=True))
async def main():
    c = await asyncpg.connect(sys.argv[2], password=os.environ["TOKEN"])
    row = list(await c.fetchrow(ALL))
    for at in (12, 13):
        assert row[at] == "null", row[at]
        row[at] = None
    look(row, "asyncpg", ipaddress.ip_address("0.0.0.0"), asyncpg.Range(empty=True))
asyncio.run(main())
print("fine")
"#;
    let url = format!("postgresql://alice@127.0.0.1:{}/shop", scene.gateway.port);
    let mut python = std::process::Command::new(lockgate_tests::places::python());
    python.args(["-c", script, &scene.gateway.conninfo("alice"), &url]).env("TOKEN", alice);
    assert_eq!(process::run(&mut python).trim(), "fine");
}

#[test]
fn copy_out_is_masked_where_it_is_permitted() {
    let scene = scene();
    let dana = scene.dana();
    for format in ["text", "csv", "binary"] {
        let mut client = Client::login(scene.gateway.port, "dana", &dana);
        let frames = client.query(&format!("COPY (SELECT id, name, ssn FROM people) TO STDOUT (FORMAT {format})"));
        let data = frames.iter().filter(|frame| frame.tag == b'd').count();
        assert!(data >= PEOPLE, "{format}: {frames:?}");
        assert_eq!(leaked(&client.seen), None, "{format}");
    }
}

/// The masks of a COPY are those of a SELECT, in every format and however its bytes arrive.
#[test]
fn what_a_query_copies_is_masked_as_its_rows_are() {
    let postgres = lockgate_tests::Postgres::shared(15);
    let relay = process::Relay::start("shred.py", postgres.port, &[]);
    let scene = Scene::through(relay.port);
    let query = "SELECT id, ssn, salary, born, uid, doc, tags, abs(salary) AS twice, lower(email) AS lower, \
                 NULLIF(id, id) AS gone, name FROM people ORDER BY id LIMIT 3";
    let mut client = Client::login(scene.gateway.port, "dana", &scene.dana());
    let rows = wire::rows(&client.query(query));
    let data = |frames: &[wire::Frame]| -> Vec<u8> {
        assert!(wire::tags(frames).ends_with("cCZ"), "{frames:?}");
        frames.iter().filter(|frame| frame.tag == b'd').flat_map(|frame| frame.body.clone()).collect()
    };
    let mut copied = |sql: &str| data(&client.query(sql));
    let delimited = |between: &str, null: &str| -> String {
        let line = |row: &Vec<Option<String>>| {
            let cells: Vec<&str> = row.iter().map(|cell| cell.as_deref().unwrap_or(null)).collect();
            cells.join(between) + "\n"
        };
        rows.iter().map(line).collect()
    };
    let text = copied(&format!("COPY ({query}) TO STDOUT"));
    assert_eq!(String::from_utf8_lossy(&text), delimited("\t", "\\N"));
    assert!(text.starts_with(b"1\t***\t0.00\t2000-01-01\t00000000-0000-0000-0000-000000000000\tnull\t{}\t"));
    let odd = copied(&format!("COPY ({query}) TO STDOUT (DELIMITER ';', NULL 'nothing', HEADER)"));
    let header = "id;ssn;salary;born;uid;doc;tags;twice;lower;gone;name\n";
    assert_eq!(String::from_utf8_lossy(&odd), header.to_owned() + &delimited(";", "nothing"));
    let csv = copied(&format!("/* ( */ COPY ({query}) TO STDOUT (FORMAT csv, NULL '-', ENCODING 'UTF8')"));
    assert_eq!(String::from_utf8_lossy(&csv), delimited(",", "-"));
    let options = "FORMAT csv, QUOTE '|', ESCAPE '!', FORCE_QUOTE (ssn, salary, name), HEADER true";
    let quoted = String::from_utf8(copied(&format!("COPY ({query}) TO STDOUT ({options})"))).unwrap();
    let first = quoted.lines().nth(1).unwrap();
    assert!(first.starts_with("1,|***|,|0.00|,2000-01-01,") && first.ends_with(",|Person 1|"), "{quoted}");
    let table = copied("COPY people (id, ssn, born) TO STDOUT");
    assert!(table.starts_with(b"1\t***\t2000-01-01\n"), "{}", String::from_utf8_lossy(&table));
    // A cell of the binary format holds what a cell of a row in binary holds.
    let binary = copied(&format!("COPY ({query}) TO STDOUT (FORMAT binary)"));
    let extended = [wire::parse("", query), wire::bind("", "", &[], 1), wire::execute("", 0), wire::sync()].concat();
    client.send_raw(&extended);
    let mut expected = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0".to_vec();
    for frame in client.until_ready().iter().filter(|frame| frame.tag == b'D') {
        expected.extend(&frame.body);
    }
    expected.extend([0xff, 0xff]);
    assert_eq!(binary, expected);
    // The same in the extended protocol.
    let sql = format!("COPY ({query}) TO STDOUT");
    client.send_raw(&[wire::parse("", &sql), wire::bind("", "", &[], 0), wire::execute("", 0), wire::sync()].concat());
    assert_eq!(data(&client.until_ready()), text);
    // What fails, fails as it would without a question before it, also in a transaction.
    let fails = "COPY (SELECT ssn || lower(1) FROM people) TO STDOUT";
    client.query("BEGIN");
    assert_eq!(wire::error(&client.query(fails)).field(b'C').as_deref(), Some("42883"));
    assert_eq!(wire::tags(&client.query("ROLLBACK")), "CZ");
    assert_eq!(wire::error(&client.query(fails)).field(b'C').as_deref(), Some("42883"));
    client.send_raw(&[wire::parse("", fails), wire::bind("", "", &[], 0), wire::execute("", 0), wire::sync()].concat());
    assert_eq!(wire::error(&client.until_ready()).field(b'C').as_deref(), Some("42883"));
    assert_eq!(client.value("SELECT 1"), "1");
    assert_eq!(leaked(&client.seen), None);
}

#[test]
fn inference_from_a_masked_value_is_refused_with_the_columns_name() {
    let scene = scene();
    let alice = scene.alice();
    for sql in [
        "SELECT name FROM people WHERE ssn = 'SSN-CANARY-0007'",
        "SELECT name FROM people WHERE ssn LIKE '%7'",
        "SELECT name FROM people ORDER BY ssn",
        "SELECT count(*) FROM people GROUP BY ssn",
        "SELECT a.name FROM people a JOIN people b ON a.ssn = b.ssn",
        "UPDATE notes SET body = 'x' FROM people WHERE people.ssn > 'S' AND notes.id = people.id",
        "DELETE FROM people WHERE ssn = 'SSN-CANARY-0007'",
        "SELECT name FROM people WHERE (id, ssn) = (7, 'SSN-CANARY-0007')",
        "SELECT name FROM people WHERE EXISTS (SELECT 1 FROM people q WHERE q.id = people.id AND q.ssn > 'S')",
    ] {
        let told = scene.gateway.refused("alice", &alice, sql);
        assert!(told.contains("42501") && told.contains("ssn"), "{sql}: {told}");
    }
    assert_eq!(
        scene.gateway.query("frank", &scene.frank(), "SELECT name FROM people WHERE ssn = 'SSN-CANARY-0007'"),
        "Person 7"
    );
}

/// A refusal says what in the statement it is about, also where that is a slip of the pen.
#[test]
fn a_refusal_names_what_is_not_known_and_what_asks_for_an_action() {
    let scene = scene();
    let alice = scene.alice();
    for (sql, words) in [
        ("SELECT name FROM people WHERE naem = 'x'", &["`naem`", "is what it is called"][..]),
        ("SELECT p.name FROM people p ORDER BY p.naem", &["`naem`"]),
        ("SELECT name FROM people JOIN poeple USING (id)", &["`poeple`"]),
        ("SELECT lenght(name) FROM people", &["execute", "asked for by the function `lenght`, which is not known"]),
        ("SELECT pg_read_file('x')", &["administer", "asked for by the function `pg_read_file`"]),
        ("COPY notes TO PROGRAM 'cat'", &["administer", "a program on the server"]),
    ] {
        let told = scene.gateway.refused("alice", &alice, sql);
        assert!(words.iter().all(|word| told.contains(word)), "{sql}: {told}");
        assert!(!told.contains("leave of unknown"), "{told}");
    }
    // What is only shown is no use, and the server says what is wrong.
    let told = scene.gateway.refused("alice", &alice, "SELECT naem, ssn FROM people LIMIT 1");
    assert!(told.contains("column \"naem\" does not exist"), "{told}");
}

#[test]
fn masking_does_not_depend_on_how_bytes_arrive() {
    let postgres = lockgate_tests::Postgres::shared(15);
    let relay = process::Relay::start("shred.py", postgres.port, &[]);
    let scene = Scene::through(relay.port);
    let alice = scene.alice();
    let front = process::Relay::start("shred.py", scene.gateway.port, &[]);
    let sql = "SELECT * FROM people ORDER BY id LIMIT 50";
    let whole = Client::login(scene.gateway.port, "alice", &alice).query(sql);
    let pieces = Client::login(front.port, "alice", &alice).query(sql);
    assert_eq!(wire::rows(&whole), wire::rows(&pieces));
    assert_eq!(wire::rows(&whole).len(), PEOPLE);
}
