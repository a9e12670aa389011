//! What code stores where labels are lost: triggers on what a statement writes, DO, procedures, rules.

#![allow(clippy::disallowed_methods, reason = "a test or an example may read files")]
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test may fail")]

use lockgate_sql::facts::{
    CatalogFacts, ColumnFacts, FunctionFacts, ReferenceFacts, RelationFacts, TriggerEvents, TriggerFacts,
};
use lockgate_sql::{Catalog, ColumnRule, Context, How, analyze};

const INSERT: i16 = 4;
const DELETE: i16 = 8;
const UPDATE: i16 = 16;
const ROW: i16 = 1;
const BEFORE: i16 = 2;
/// No bit of the server's.
const DEFERRABLE: i16 = 0x4000;

fn relation(oid: u32, name: &str, columns: &[&str]) -> RelationFacts {
    RelationFacts {
        oid,
        schema: "public".into(),
        name: name.into(),
        kind: 'r',
        row_type: oid + 1_000,
        columns: columns
            .iter()
            .enumerate()
            .map(|(at, column)| ColumnFacts {
                number: i16::try_from(at + 1).unwrap(),
                name: (*column).into(),
                type_oid: 25,
                typmod: -1,
                generated: None,
                computed: false,
                constrained: false,
            })
            .collect(),
        ..RelationFacts::default()
    }
}

fn function(oid: u32, name: &str, kind: char, language: &str, source: &str) -> FunctionFacts {
    FunctionFacts {
        oid,
        schema: "public".into(),
        name: name.into(),
        language: language.into(),
        source: source.into(),
        kind,
        volatility: 'v',
        return_type: 2279,
        ..FunctionFacts::default()
    }
}

/// `people.ssn` and `audit.row_data` are labelled; `people` has a trigger with this body.
fn catalog(body: &str, fires: i16) -> Catalog {
    labelled(facts(body, fires))
}

fn facts(body: &str, fires: i16) -> CatalogFacts {
    let path = || ["pg_catalog", "public"].map(str::to_owned).to_vec();
    let helper = "BEGIN INSERT INTO log VALUES ($1); END";
    CatalogFacts {
        version: "1".into(),
        server_version: 150_004,
        search_path: path(),
        relations: vec![
            relation(20_000, "people", &["id", "name", "ssn", "at"]),
            relation(20_001, "audit", &["op", "row_data"]),
            relation(20_002, "log", &["what"]),
            relation(20_003, "other", &["id"]),
            RelationFacts { has_rules: true, ..relation(20_004, "ruled", &["id"]) },
            relation(20_005, "rates", &["what"]),
            RelationFacts { schema: "aside".into(), ..relation(20_006, "rates", &["what"]) },
        ],
        functions: vec![
            function(21_000, "fires", 'f', "plpgsql", body),
            FunctionFacts { arguments_min: 1, arguments_max: 1, ..function(21_001, "keep", 'f', "plpgsql", helper) },
            function(21_002, "copy_all", 'p', "plpgsql", "BEGIN INSERT INTO log SELECT ssn FROM people; END"),
            function(21_003, "shows", 'f', "sql", "SELECT 'x'::text"),
        ],
        triggers: vec![TriggerFacts {
            relation: 20_000,
            function: 21_000,
            changes_row: fires & (ROW | BEFORE) == ROW | BEFORE,
            events: TriggerEvents::of_type(fires),
            old_table: Some("before".into()),
            new_table: Some("after".into()),
            deferrable: fires & DEFERRABLE != 0,
        }],
        ..CatalogFacts::default()
    }
}

fn labelled(facts: CatalogFacts) -> Catalog {
    let rules =
        [("pii/ssn", "public.people.ssn"), ("pii/trail", "public.audit.row_data"), ("pii/rate", "aside.rates.what")]
            .map(|(label, pattern)| ColumnRule { label: label.parse().unwrap(), pattern: pattern.into() });
    Catalog::build(facts, &rules, &[])
}

/// Whether the statement copies a labelled value to where its label is lost.
fn copies(catalog: &Catalog, sql: &str) -> bool {
    let path = ["pg_catalog", "public"].map(str::to_owned);
    let context = Context { catalog, search_path: &path, path_known: true };
    let batch = analyze(sql, &context).unwrap();
    batch.statements.iter().flat_map(|s| &s.uses).any(|u| u.how == How::Source)
}

const SET_SSN: &str = "UPDATE people SET ssn = 'x' WHERE id = 1";
const SET_NAME: &str = "UPDATE people SET name = 'x' WHERE id = 1";
const ADD: &str = "INSERT INTO people VALUES (1, 'x', 'y')";
const TAKE: &str = "DELETE FROM people WHERE id = 1";

#[test]
fn a_write_is_also_what_its_triggers_do() {
    let any = INSERT | UPDATE | DELETE;
    for (body, fires, sql, lost) in [
        // The usual ones of an owner.
        ("BEGIN NEW.at := now(); RETURN NEW; END", ROW | BEFORE | any, SET_NAME, false),
        ("BEGIN NEW.at = clock_timestamp(); RETURN NEW; END", ROW | BEFORE | any, ADD, false),
        ("BEGIN INSERT INTO audit VALUES (TG_OP, to_jsonb(OLD)); RETURN NEW; END", ROW | any, SET_NAME, false),
        ("BEGIN INSERT INTO audit(op, row_data) SELECT TG_OP, OLD.ssn; RETURN NULL; END", ROW | any, TAKE, false),
        ("BEGIN INSERT INTO log VALUES (TG_OP || NEW.id); RETURN NEW; END", ROW | any, SET_SSN, false),
        (
            "BEGIN IF NEW.ssn <> OLD.ssn THEN NEW.at := now(); END IF; RETURN NEW; END",
            ROW | BEFORE | any,
            SET_SSN,
            false,
        ),
        (
            "DECLARE n int; BEGIN SELECT count(*) INTO n FROM other; INSERT INTO log VALUES (n); RETURN NEW; END",
            any,
            SET_NAME,
            false,
        ),
        ("BEGIN INSERT INTO audit SELECT 'x', ssn FROM after; RETURN NULL; END", any, SET_NAME, false),
        // What lies in the table is copied to where nobody masks it.
        ("BEGIN INSERT INTO log VALUES (OLD.ssn); RETURN NEW; END", ROW | any, SET_NAME, true),
        ("BEGIN INSERT INTO log VALUES (NEW.ssn); RETURN NEW; END", ROW | any, SET_NAME, true),
        ("BEGIN INSERT INTO audit(op) VALUES (to_jsonb(OLD)); RETURN NEW; END", ROW | any, SET_NAME, true),
        ("BEGIN insert into public.log values (upper(\"old\".ssn)); RETURN NEW; END", ROW | any, TAKE, true),
        ("DECLARE v text; BEGIN v := OLD.ssn; INSERT INTO log VALUES (v); RETURN NEW; END", ROW | any, SET_NAME, true),
        (
            "DECLARE r record; BEGIN r := OLD; INSERT INTO log VALUES (r.ssn); RETURN NEW; END",
            ROW | any,
            SET_NAME,
            true,
        ),
        ("BEGIN NEW.name := OLD.ssn; RETURN NEW; END", ROW | BEFORE | any, SET_NAME, true),
        ("BEGIN NEW.name = left(NEW.ssn, 3); RETURN NEW; END", ROW | BEFORE | any, SET_NAME, true),
        ("BEGIN SELECT OLD.ssn INTO NEW.name; RETURN NEW; END", ROW | BEFORE | any, SET_NAME, true),
        ("BEGIN UPDATE log SET what = OLD.ssn; RETURN NEW; END", ROW | any, SET_NAME, true),
        ("BEGIN PERFORM keep(OLD.ssn); RETURN NEW; END", ROW | any, SET_NAME, true),
        ("BEGIN PERFORM set_config('a.b', OLD.ssn, false); RETURN NEW; END", ROW | any, SET_NAME, true),
        ("BEGIN PERFORM pg_notify('c', OLD.ssn); RETURN NEW; END", ROW | any, SET_NAME, true),
        ("BEGIN INSERT INTO log SELECT ssn FROM after; RETURN NULL; END", any, SET_NAME, true),
        ("BEGIN INSERT INTO log SELECT ssn FROM people; RETURN NULL; END", any, ADD, true),
        (
            "BEGIN WITH x AS (SELECT OLD.ssn s) INSERT INTO log SELECT s FROM x; RETURN NEW; END",
            ROW | any,
            SET_NAME,
            true,
        ),
        (
            "BEGIN FOR i IN 1..2 LOOP INSERT INTO log VALUES (OLD.ssn); END LOOP; RETURN NEW; END",
            ROW | any,
            SET_NAME,
            true,
        ),
        ("BEGIN CREATE TEMP TABLE t AS SELECT OLD.ssn; RETURN NEW; END", ROW | any, SET_NAME, true),
        ("BEGIN EXECUTE 'x' USING OLD; RETURN NEW; END", ROW | any, SET_NAME, true),
        // It does not fire, or sees nothing but what the client gives.
        ("BEGIN INSERT INTO log VALUES (OLD.ssn); RETURN NEW; END", ROW | UPDATE, TAKE, false),
        ("BEGIN INSERT INTO log VALUES (NEW.ssn); RETURN NEW; END", ROW | any, ADD, false),
        ("BEGIN INSERT INTO log VALUES (NEW.ssn); RETURN NEW; END", ROW | any, SET_SSN, false),
        (
            "BEGIN INSERT INTO log VALUES (NEW.ssn); RETURN NEW; END",
            ROW | any,
            "INSERT INTO people (id, ssn) SELECT 9, ssn FROM people",
            true,
        ),
        (
            "BEGIN INSERT INTO log VALUES (NEW.ssn); RETURN NEW; END",
            ROW | any,
            "UPDATE people SET ssn = upper(ssn)",
            true,
        ),
        (
            "BEGIN INSERT INTO log VALUES (OLD.ssn); RETURN NEW; END",
            ROW | any,
            "INSERT INTO people VALUES (1, 'x', 'y') ON CONFLICT (id) DO UPDATE SET name = 'z'",
            true,
        ),
        (
            "BEGIN INSERT INTO log VALUES (OLD.ssn); RETURN NEW; END",
            ROW | any,
            "MERGE INTO people p USING other o ON p.id = o.id WHEN MATCHED THEN DELETE",
            true,
        ),
        (
            "BEGIN INSERT INTO log VALUES (OLD.ssn); RETURN NEW; END",
            ROW | any,
            "WITH w AS (UPDATE people SET name = 'x' RETURNING id) SELECT id FROM w",
            true,
        ),
    ] {
        assert_eq!(copies(&catalog(body, fires), sql), lost, "{body}: {sql}");
    }
}

/// A search path is another one until the end of the transaction.
#[test]
fn what_is_put_off_finds_names_under_any_path() {
    let copy = "BEGIN INSERT INTO log SELECT what FROM rates; RETURN NULL; END";
    let named = "BEGIN INSERT INTO log SELECT what FROM public.rates; RETURN NULL; END";
    let trail = "BEGIN INSERT INTO audit VALUES (TG_OP, to_jsonb(OLD)); RETURN NULL; END";
    for (body, fires, lost) in [
        (copy, ROW | UPDATE, false),
        (copy, ROW | UPDATE | DEFERRABLE, true),
        (named, ROW | UPDATE | DEFERRABLE, false),
        // What exists once is what it is.
        (trail, ROW | UPDATE | DEFERRABLE, false),
    ] {
        let catalog = catalog(body, fires);
        assert_eq!(copies(&catalog, SET_NAME), lost, "{body}");
        let path = ["pg_catalog", "public"].map(str::to_owned);
        let context = Context { catalog: &catalog, search_path: &path, path_known: true };
        let puts_off = |sql: &str| analyze(sql, &context).unwrap().statements[0].facts.puts_off;
        assert_eq!(puts_off(SET_NAME), fires & DEFERRABLE != 0);
        assert!(!puts_off("INSERT INTO other VALUES (1)") && !puts_off("SELECT * FROM people"));
    }
}

/// The first of two triggers reads nothing itself.
#[test]
fn what_a_trigger_writes_sets_off_others() {
    for (first, second, lost) in [
        ("INSERT INTO other VALUES (1)", "INSERT INTO log SELECT ssn FROM people", true),
        ("INSERT INTO other VALUES (1)", "INSERT INTO log SELECT name FROM people", false),
        ("DELETE FROM people WHERE id = 1", "NULL", false),
    ] {
        let body = |code: &str| format!("BEGIN {code}; RETURN NULL; END");
        let mut facts = facts("BEGIN RETURN NULL; END", ROW | INSERT);
        facts.functions.push(function(21_010, "first", 'f', "plpgsql", &body(first)));
        facts.functions.push(function(21_011, "second", 'f', "plpgsql", &body(second)));
        for (relation, function) in [(20_002, 21_010), (20_003, 21_011)] {
            let events = TriggerEvents::of_type(INSERT);
            facts.triggers.push(TriggerFacts { relation, function, events, ..TriggerFacts::default() });
        }
        assert_eq!(copies(&labelled(facts), "INSERT INTO log VALUES ('x')"), lost, "{first}: {second}");
    }
}

#[test]
fn what_is_emptied_sets_off_code() {
    const TRUNCATE: i16 = 32;
    let path = ["pg_catalog", "public"].map(str::to_owned);
    let speaks = |catalog: &Catalog, sql: &str| {
        let context = Context { catalog, search_path: &path, path_known: true };
        !analyze(sql, &context).unwrap().statements[0].touches.is_clean()
    };
    for (code, lost, says) in [
        ("INSERT INTO log SELECT ssn FROM people", true, true),
        ("RAISE NOTICE '%', (SELECT min(ssn) FROM people)", false, true),
        ("INSERT INTO log VALUES ('emptied')", false, false),
    ] {
        let body = format!("BEGIN {code}; RETURN NULL; END");
        let catalog = catalog(&body, TRUNCATE);
        for sql in ["TRUNCATE people", "TRUNCATE other, people CASCADE"] {
            assert_eq!((copies(&catalog, sql), speaks(&catalog, sql)), (lost, says), "{sql}: {code}");
        }
        assert!(!copies(&catalog, "TRUNCATE other") && !speaks(&catalog, "TRUNCATE other"), "{code}");
        // What refers to a table goes with it.
        let mut facts = facts(&body, TRUNCATE);
        facts.references.push(ReferenceFacts { from: 20_000, to: 20_003, ..ReferenceFacts::default() });
        let catalog = labelled(facts);
        assert_eq!(speaks(&catalog, "TRUNCATE other CASCADE"), says, "{code}");
        assert!(!speaks(&catalog, "TRUNCATE other"), "{code}");
    }
}

/// How long this thread has computed, however many others there are beside it (`proc(5)`, ticks of a hundredth of a second).
fn seconds_computed() -> u64 {
    let stat = std::fs::read_to_string("/proc/thread-self/stat").unwrap();
    let fields = stat.rsplit_once(')').unwrap().1.split_whitespace();
    fields.skip(11).take(2).map(|ticks| ticks.parse::<u64>().unwrap()).sum::<u64>() / 100
}

/// Each of many tables writes to all others.
#[test]
fn a_thicket_of_triggers_is_not_gone_through_for_ever() {
    let mut facts = facts("BEGIN RETURN NULL; END", ROW | INSERT);
    for at in 0..24_u32 {
        facts.relations.push(relation(30_000 + at, &format!("t{at}"), &["i"]));
        let writes: String = (0..24).map(|to| format!("INSERT INTO t{to} VALUES (1); ")).collect();
        let code = format!("BEGIN {writes} RETURN NULL; END");
        facts.functions.push(function(31_000 + at, &format!("f{at}"), 'f', "plpgsql", &code));
        let events = TriggerEvents::of_type(INSERT);
        facts.triggers.push(TriggerFacts {
            relation: 30_000 + at,
            function: 31_000 + at,
            events,
            ..TriggerFacts::default()
        });
    }
    let catalog = labelled(facts);
    let path = ["pg_catalog", "public"].map(str::to_owned);
    let context = Context { catalog: &catalog, search_path: &path, path_known: true };
    let begun = seconds_computed();
    assert!(analyze("INSERT INTO t0 VALUES (1)", &context).is_err(), "too much work");
    let took = seconds_computed() - begun;
    assert!(took < 60, "{took} s");
}

#[test]
fn a_trigger_that_fires_itself_or_another_is_followed_to_the_end() {
    for (body, lost) in [
        ("BEGIN UPDATE people SET at = now() WHERE id = NEW.id; RETURN NULL; END", false),
        ("BEGIN UPDATE people SET name = NEW.ssn WHERE id = NEW.id; RETURN NULL; END", true),
        ("BEGIN UPDATE people SET at = 'x'; INSERT INTO log VALUES (OLD.ssn); RETURN NULL; END", true),
    ] {
        assert_eq!(copies(&catalog(body, ROW | UPDATE), SET_NAME), lost, "{body}");
    }
}

#[test]
fn code_of_the_client_s_own_may_not_copy() {
    let catalog = catalog("BEGIN RETURN NEW; END", ROW | INSERT);
    for (sql, lost) in [
        ("DO $$BEGIN INSERT INTO log SELECT ssn FROM people; END$$", true),
        ("DO $$DECLARE v text; BEGIN SELECT ssn INTO v FROM people; UPDATE log SET what = v; END$$", true),
        (
            "DO $$DECLARE r record; BEGIN FOR r IN SELECT * FROM people LOOP INSERT INTO log VALUES (r.ssn); END LOOP; END$$",
            true,
        ),
        ("DO $$BEGIN EXECUTE 'INSERT INTO log SELECT s'||'sn FROM people'; END$$", true),
        ("DO $$BEGIN PERFORM set_config('a.b', (SELECT ssn FROM people LIMIT 1), false); END$$", true),
        ("DO LANGUAGE plpython3u 'pass'", true),
        ("DO $$BEGIN INSERT INTO log SELECT id FROM other; END$$", false),
        ("DO $$BEGIN UPDATE people SET name = 'x' WHERE id = 1; END$$", false),
        ("CALL copy_all()", true),
        ("CREATE RULE r AS ON INSERT TO other DO ALSO INSERT INTO log SELECT ssn FROM people", true),
        ("CREATE RULE r AS ON INSERT TO other DO ALSO INSERT INTO log VALUES (NEW.id)", false),
        ("INSERT INTO ruled VALUES (1)", true),
        ("CREATE OR REPLACE FUNCTION shows() RETURNS text LANGUAGE sql AS 'SELECT ssn FROM people'", true),
        ("CREATE OR REPLACE FUNCTION fresh() RETURNS text LANGUAGE sql AS 'SELECT name FROM people'", false),
        ("ALTER TABLE other ADD COLUMN x text DEFAULT keep('x')", false),
        ("ALTER TABLE other ADD COLUMN x text DEFAULT (SELECT ssn FROM people LIMIT 1)", true),
    ] {
        assert_eq!(copies(&catalog, sql), lost, "{sql}");
    }
}
