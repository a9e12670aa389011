//! What servers cast without being asked, asked of servers: every such cast of theirs has a verdict, which values at the limits of
//! their types confirm; where types meet, the analysis is certain of the type that the server settles on; and wherever two
//! labelled values of two types meet in a statement that the analysis lets through, no two values make the server fail.

use lockgate_sql::facts::{CatalogFacts, ColumnFacts, RelationFacts};
use lockgate_sql::{
    Catalog, ColumnRule, Context, analyze, arguments_meet, type_casts, type_of_call, types_compare, types_meet,
};
use lockgate_tests::Postgres;
use lockgate_tests::postgres::{PASSWORD, SUPERUSER};
use lockgate_tests::wire::{self, Client};
use std::collections::{BTreeMap, BTreeSet};

/// Types and values at their limits, as texts between bars.
const NASTY: &[(u32, &str)] = &[
    (16, "true|false"),
    (17, r"|\x00|\xff5c"),
    (18, "|a"),
    (19, "|abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyzabcdefghijk"),
    (20, "0|-1|-9223372036854775808|9223372036854775807|4294967296"),
    (21, "0|-32768|32767"),
    (23, "0|-2147483648|2147483647"),
    (25, r"|\|(|customers|abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyz"),
    (26, "0|4294967295"),
    (114, r#"null|{"a": "\u0000"}|[1]"#),
    (600, "(0,0)|(1e308,1e308)|(NaN,Infinity)"),
    (603, "(1e308,1e308),(-1e308,-1e308)"),
    (650, "0.0.0.0/0|::/0|10.1.2.3/32"),
    (700, "0|3.4e38|-3.4e38|1e-45|NaN|-Infinity"),
    (701, "0|1.7e308|-1.7e308|5e-324|NaN|Infinity"),
    (718, "<(1e308,0),1e308>"),
    (774, "08:00:2b:01:02:03:04:05|08:00:2b:ff:fe:03:04:05"),
    (790, "-92233720368547758.08|92233720368547758.07|0"),
    (829, "00:00:00:00:00:00|ff:ff:ff:ff:ff:ff"),
    (869, "0.0.0.0/0|::/0|255.255.255.255"),
    (1042, "|a  |abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyz"),
    (1043, "|nowhere|abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyz"),
    (1082, "4714-11-24 BC|5874897-12-31|294276-12-31|infinity|-infinity|0001-01-01 BC"),
    (1083, "00:00|24:00|23:59:59.999999"),
    (1114, "4714-11-24 00:00:00 BC|294276-12-31 23:59:59.999999|infinity|-infinity"),
    (1184, "4714-11-24 00:00:00+00 BC|294276-12-31 23:59:59.999999+00|infinity|-infinity"),
    (1186, "178000000 years|-178000000 years|2147483647 days|-2147483648 days|0"),
    (1266, "00:00+15:59|24:00-15:59"),
    (1560, "0|1"),
    (1562, "|101"),
    (1700, "0|NaN|Infinity|-Infinity|1e400|-1e400|1e-400|0.5|99999999999999999999"),
    (2950, "00000000-0000-0000-0000-000000000000|ffffffff-ffff-ffff-ffff-ffffffffffff"),
    (3220, "0/0|FFFFFFFF/FFFFFFFF"),
    (3614, "|a:1 b:2"),
    (3615, "|a & b"),
    (3802, "null|{}|\"x\"|[1, [2]]|1e400"),
    (3904, "empty|(,)|[-2147483648,2147483647)"),
    (3906, "empty|[-1e400,1e400]"),
    (3912, "empty|[4714-11-24 BC,infinity)"),
    (1007, "{}|{NULL}|{-2147483648}|{{1},{2}}"),
    (1009, "{}|{a,b}|{NULL}|[0:1]={a,b}"),
    (1016, "{}|{-1}|{9223372036854775807,NULL}"),
    (1022, "{}|{1e308}|{NaN}"),
    (1115, "{}|{infinity}|{294276-12-31 23:59:59}"),
    (1182, "{}|{5874897-12-31}|{infinity}"),
    (1231, "{}|{1e400}|{NULL,0.5}"),
];

/// Where two values meet: of `x` and `y`, from rows `v`.
const MEETINGS: &[&str] = &[
    "coalesce(x, y)",
    "coalesce(nullif(x, x), y)",
    "coalesce(x, NULL, y)",
    "greatest(x, y)",
    "least(x, y, x)",
    "CASE WHEN one = 1 THEN x ELSE y END",
    "CASE one WHEN 1 THEN y WHEN 2 THEN x END",
    "ARRAY[x, y]",
    "nullif(x, y)",
    "coalesce(nullif(x, y), x)",
    "x = y",
    "x < y",
    "x <> y",
    "x IN (y)",
    "x IN (y, x)",
    "x IN (y, y, '1')",
    "x NOT IN (y, 1.5, 2)",
    "x = ANY (ARRAY[y])",
    "x > ALL (ARRAY[y, y])",
    "x BETWEEN y AND y",
    "x BETWEEN SYMMETRIC y AND x",
    "x IS DISTINCT FROM y",
    "(x, 1) = (y, 1)",
    "(x, y) < (y, x)",
    "ROW(x, 1) IS NOT DISTINCT FROM ROW(y, 1)",
    "x || y",
    "x @> y",
    "x && y",
    "x ^@ y",
    "x -> 'a' = y",
    "lag(x, 1, y) OVER ()",
    "lead(y, 1, x) OVER ()",
    "coalesce(lag(x, 1, y) OVER (), y)",
    "first_value(coalesce(x, y)) OVER ()",
    "array_append(ARRAY[x], y)",
    "array_prepend(y, ARRAY[x])",
    "array_cat(ARRAY[x], ARRAY[y])",
    "array_replace(ARRAY[x], x, y)",
    "array_remove(ARRAY[x], y)",
    "array_position(ARRAY[x], y)",
    "array_append(x, y)",
    "ARRAY[x] || y",
    "coalesce(ARRAY[x], ARRAY[y])",
    "(ARRAY[x, x])[1] = y",
    "ARRAY(SELECT x) = ARRAY(SELECT y)",
    "coalesce(max(x) OVER (), y)",
    "greatest(min(x) OVER (), y)",
    "coalesce(sum(x) OVER (), y)",
    "round(x) = y",
    "abs(x) = y",
    "coalesce(x, 1) = y",
    "coalesce(x, 0.5) = y",
    "coalesce(x, 99999999999) = y",
    "coalesce(x, 1e400) = y",
    "greatest(x, 1e-400, y)",
    "coalesce(x, current_date, y)",
    "coalesce(x, localtimestamp) = y",
    "(x || '') = y",
    "concat(x, y)",
    "width_bucket(x, ARRAY[y])",
];

struct Server {
    client: Client,
    /// The names of types.
    types: BTreeMap<u32, String>,
}

impl Server {
    fn of(version: u32, database: &str) -> Server {
        let postgres = Postgres::shared(version);
        postgres.sql("postgres", &format!("CREATE DATABASE {database}"));
        let parameters = [("user", SUPERUSER), ("database", database)];
        let mut client = Client::login_with(postgres.port, &parameters, PASSWORD).expect("a connection");
        let function = "SET timezone = 'Etc/GMT+12'; SET statement_timeout = '10s';
             CREATE FUNCTION outcome(statement text) RETURNS text LANGUAGE plpgsql AS $$
             DECLARE r text; BEGIN EXECUTE statement INTO r; RETURN coalesce(r, 'null');
             EXCEPTION WHEN OTHERS THEN RETURN 'error ' || SQLSTATE; END $$";
        let frames = client.query(function);
        assert!(!frames.iter().any(|frame| frame.tag == b'E'), "{frames:?}");
        let names = client.query(
            "SELECT oid::int8, format_type(oid, NULL) FROM pg_type WHERE typtype IN ('b', 'r', 'm') AND oid < 16384",
        );
        let cell = |cell: &Option<String>| cell.clone().expect("a value");
        let types = wire::rows(&names);
        let types = types.iter().map(|row| {
            let name = if cell(&row[0]) == "18" { "\"char\"".to_owned() } else { cell(&row[1]) };
            (cell(&row[0]).parse().expect("an id"), name)
        });
        let types = types.collect();
        Server { client, types }
    }

    /// What comes of each of these statements: its first value or its error.
    fn outcomes(&mut self, statements: &[String]) -> Vec<String> {
        let mut all = Vec::with_capacity(statements.len());
        for some in statements.chunks(100) {
            let calls: Vec<String> = some.iter().map(|sql| format!("outcome('{}')", sql.replace('\'', "''"))).collect();
            let frames = self.client.query(&format!("SELECT {}", calls.join(", ")));
            let rows = wire::rows(&frames);
            let row = rows.first().unwrap_or_else(|| panic!("{some:?}: {frames:?}"));
            all.extend(row.iter().map(|cell| cell.clone().expect("an outcome")));
        }
        all
    }

    fn rows(&mut self, sql: &str) -> Vec<Vec<String>> {
        let rows = wire::rows(&self.client.query(sql));
        rows.into_iter().map(|row| row.into_iter().map(Option::unwrap_or_default).collect()).collect()
    }

    /// Values at the limits of a type, and NULL, as rows.
    fn values(&self, oid: u32) -> String {
        let (_, values) = NASTY.iter().find(|(known, _)| *known == oid).expect("a type with values");
        let name = &self.types[&oid];
        let values: Vec<String> = values.split('|').map(|v| format!("('{}'::{name})", v.replace('\'', "''"))).collect();
        format!("VALUES (NULL::{name}), {}", values.join(", "))
    }
}

/// The server refuses the statement for its types, whatever the values.
fn is_refused(outcome: &str) -> bool {
    outcome.starts_with("error 42") || outcome == "error 0A000"
}

/// A table of labelled columns `x` and `y` of all pairs of types.
fn catalog(version: u32) -> Catalog {
    let column = |number: usize, name: &str, type_oid: u32| ColumnFacts {
        number: i16::try_from(number).expect("few"),
        name: name.into(),
        type_oid,
        typmod: -1,
        ..ColumnFacts::default()
    };
    let table = |oid: u32, name: String, columns: Vec<ColumnFacts>| RelationFacts {
        oid,
        schema: "public".into(),
        name,
        kind: 'r',
        columns,
        ..RelationFacts::default()
    };
    let mut relations = Vec::new();
    for (at, (x, _)) in NASTY.iter().enumerate() {
        for (beside, (y, _)) in NASTY.iter().enumerate() {
            let columns = vec![column(1, "one", 23), column(2, "x", *x), column(3, "y", *y)];
            let oid = 20_000 + u32::try_from(at * 100 + beside).expect("few");
            relations.push(table(oid, format!("v_{x}_{y}"), columns));
        }
    }
    let facts = CatalogFacts { server_version: version * 10_000, relations, ..CatalogFacts::default() };
    let rule = |pattern: &str| ColumnRule { label: "pii".parse().expect("a label"), pattern: pattern.into() };
    Catalog::build(facts, &[rule("public.*.x"), rule("public.*.y")], &[])
}

/// Whether the analysis lets a statement through.
fn lets_through(catalog: &Catalog, sql: &str) -> bool {
    let path = ["pg_catalog".to_owned(), "public".to_owned()];
    let batch = analyze(sql, &Context { catalog, search_path: &path, path_known: true }).expect(sql);
    let [statement] = batch.statements.as_slice() else { panic!("{sql}") };
    statement.uses.is_empty() && !statement.facts.opaque
}

fn every_cast_has_a_verdict(version: u32) {
    let mut server = Server::of(version, "unasked_casts");
    let mut bad = Vec::new();
    let casts = server.rows(
        "SELECT castsource::int8, casttarget::int8 FROM pg_cast WHERE castcontext = 'i' AND oid < 16384 ORDER BY 1, 2",
    );
    let mut judged = 0;
    for cast in &casts {
        let [source, target] = [&cast[0], &cast[1]].map(|oid| oid.parse::<u32>().expect("an id"));
        let Some(total) = type_casts(source, target) else {
            bad.push(format!("no verdict on {source} to {target}"));
            continue;
        };
        if source == target || !NASTY.iter().any(|(known, _)| *known == source) {
            continue;
        }
        let statement = format!("SELECT count(x::{}) FROM ({}) v (x)", server.types[&target], server.values(source));
        let outcome = server.outcomes(&[statement]).remove(0);
        judged += 1;
        if total == outcome.starts_with("error") {
            bad.push(format!("{source} to {target}: total {total}, but {outcome}"));
        }
    }
    assert!(casts.len() > 110 && judged > 80, "{} {judged}", casts.len());

    // Which type it is that two become.
    let oids: Vec<u32> =
        NASTY.iter().map(|(oid, _)| *oid).chain([24, 2205, 2206, 4089, 1002, 1021, 1028, 1040, 1183]).collect();
    let pairs: Vec<(u32, u32)> = oids.iter().flat_map(|x| oids.iter().map(|y| (*x, *y))).collect();
    let meet = |(x, y): &(u32, u32)| {
        let [x, y] = [&server.types[x], &server.types[y]];
        format!("SELECT pg_typeof(coalesce(NULL::{x}, NULL::{y}))::oid")
    };
    let statements: Vec<String> = pairs.iter().map(meet).collect();
    for ((x, y), outcome) in pairs.iter().zip(server.outcomes(&statements)) {
        let known = types_meet(*x, *y).map(|(oid, _)| oid.to_string());
        if known.as_deref() != Some(outcome.as_str()).filter(|outcome| !is_refused(outcome)) {
            bad.push(format!("{x} and {y} become {outcome}, and not {known:?}"));
        }
        if types_meet(*x, *y).is_some_and(|(_, sure)| sure) && types_compare(*x, *y).is_none() {
            bad.push(format!("{x} and {y} meet and are not compared"));
        }
    }

    // What calls are, of which it is said. Most depend on the types that they are given.
    let catalog = catalog(version);
    let functions = server.rows(
        "SELECT DISTINCT proname, bool_or(prokind = 'w') FROM pg_proc WHERE oid < 16384 AND NOT proretset AND prokind IN ('f', 'a', 'w')
         AND pronamespace = 'pg_catalog'::regnamespace AND provolatile <> 'v' GROUP BY 1",
    );
    let mut calls = Vec::new();
    for function in &functions {
        let over = if function[1] == "t" { " OVER ()" } else { "" };
        for x in &oids {
            let one = &server.types[x];
            if let Some(known) = type_of_call(&catalog, &function[0], &[*x]) {
                calls.push((known, format!("SELECT pg_typeof(\"{}\"(NULL::{one}){over})::oid", function[0])));
            }
            let many = [
                "lag",
                "lead",
                "array_append",
                "array_prepend",
                "array_cat",
                "array_replace",
                "nth_value",
                "date_trunc",
            ];
            if !many.contains(&function[0].as_str()) {
                continue;
            }
            for y in &oids {
                let other = &server.types[y];
                let (given, arguments) = match function[0].as_str() {
                    "lag" | "lead" => (vec![*x, 23, *y], format!("NULL::{one}, 1, NULL::{other}")),
                    "nth_value" => (vec![*x, 23], format!("NULL::{one}, 1")),
                    "date_trunc" => (vec![25, *x], format!("'day', NULL::{one}")),
                    "array_replace" => (vec![*x, *y, *y], format!("NULL::{one}, NULL::{other}, NULL::{other}")),
                    _ => (vec![*x, *y], format!("NULL::{one}, NULL::{other}")),
                };
                if let Some(known) = type_of_call(&catalog, &function[0], &given) {
                    calls.push((known, format!("SELECT pg_typeof(\"{}\"({arguments}){over})::oid", function[0])));
                }
            }
        }
    }
    let statements: Vec<String> = calls.iter().map(|(_, sql)| sql.clone()).collect();
    let mut typed = 0;
    for ((known, sql), outcome) in calls.iter().zip(server.outcomes(&statements)) {
        typed += usize::from(!outcome.starts_with("error"));
        if !outcome.starts_with("error") && outcome != known.to_string() {
            bad.push(format!("{sql} is {outcome}, and not {known}"));
        }
    }

    // Functions that make one type of their arguments.
    let compatible = server.rows(
        "SELECT proname, string_agg(CASE a WHEN 5077 THEN 'x' WHEN 5079 THEN 'x' WHEN 5078 THEN 'a' ELSE '-' END, '' ORDER BY at)
         FROM pg_proc p, unnest(proargtypes::oid[]) WITH ORDINALITY u (a, at) WHERE p.oid < 16384 GROUP BY p.oid, proname
         HAVING count(*) FILTER (WHERE a IN (5077, 5078, 5079)) > 1",
    );
    assert!(compatible.len() > 9, "{compatible:?}");
    for function in &compatible {
        let places: Vec<char> = function[1].chars().collect();
        let ours: Vec<usize> = (0..places.len()).filter(|at| places[*at] != '-').collect();
        for odd in &ours {
            let given: Vec<u32> = (0..places.len())
                .map(|at| match (places[at], at == *odd) {
                    ('x', true) => 1700,
                    ('x', false) => 701,
                    ('a', true) => 1231,
                    ('a', false) => 1022,
                    _ => 23,
                })
                .collect();
            if arguments_meet(&catalog, &function[0], &given) {
                bad.push(format!("{}({}) casts unseen", function[0], function[1]));
            }
        }
    }
    println!("PostgreSQL {version}: {} casts, {} pairs, {typed} calls of known type", casts.len(), pairs.len());
    assert!(typed > 1_000, "{typed}");
    assert!(bad.is_empty(), "{}: {}", bad.len(), bad.join("\n"));
}

/// What docs/masking.md says of numbers near their limits.
fn is_known(sql: &str, outcome: &str) -> bool {
    let sums = ["sum(x)", "avg(x)", "stddev(x)"].iter().any(|sum| sql.contains(sum));
    let floats = ["::real)) a (x)", "::double precision)) a (x)", "::real)) s (x)", "::double precision)) s (x)"];
    let floats = floats.iter().any(|float| sql.contains(float));
    outcome == "error 22003" && sums && floats
}

/// The same statement over rows of NULL.
fn without_values(sql: &str) -> String {
    let mut out = String::new();
    let mut rest = sql;
    while let Some(at) = rest.find("(VALUES (NULL::") {
        let (before, list) = rest.split_at(at + "(VALUES (".len());
        // As long as a list is, it ends where its alias comes.
        let end = list.find(")) ").expect("an end");
        out.push_str(before);
        out.push_str(list.split(')').next().expect("the first"));
        rest = &list[end..];
    }
    out + rest
}

fn no_meeting_tells(version: u32) {
    let mut server = Server::of(version, "unasked_meetings");
    let catalog = catalog(version);
    let (mut statements, mut refused) = (Vec::new(), Vec::new());
    let mut add = |judged: String, run: String| {
        if lets_through(&catalog, &judged) { statements.push(run) } else { refused.push(run) }
    };
    for (x, _) in NASTY {
        let xs = server.values(*x);
        let functions = [
            "isfinite", "abs", "max", "min", "sum", "avg", "stddev", "sign", "trunc", "ceil", "round", "length",
            "lower",
        ];
        for function in functions {
            let judged = format!("SELECT {function}(x) FROM v_{x}_{x}");
            let run = format!("SELECT count(r) FROM (SELECT {function}(x) AS r FROM ({xs}) s (x) OFFSET 0) t");
            add(judged, run);
        }
        for (y, _) in NASTY {
            let v = format!(
                "(SELECT 1 AS one, x, y FROM ({xs}) a (x), ({}) b (y) UNION ALL SELECT 2, NULL, NULL) v",
                server.values(*y)
            );
            for meeting in MEETINGS {
                let judged = format!("SELECT {meeting} FROM v_{x}_{y}");
                let run = format!("SELECT count(r) FROM (SELECT {meeting} AS r FROM {v} OFFSET 0) t");
                add(judged, run);
            }
            for union in [
                "SELECT x FROM {} UNION ALL SELECT y FROM {}",
                "VALUES ((SELECT x FROM {} LIMIT 1)), ((SELECT y FROM {} LIMIT 1))",
            ] {
                let judged = union.replace("{}", &format!("v_{x}_{y}"));
                let run =
                    format!("SELECT count(r) FROM (SELECT r FROM ({}) s (r) OFFSET 0) t", union.replace("{}", &v));
                add(judged, run);
            }
            let judged =
                format!("SELECT (SELECT x FROM v_{x}_{x} a JOIN (SELECT y AS x FROM v_{y}_{y}) b USING (x) LIMIT 1)");
            // Joining by a labelled column is refused in any case; that it would not fail shows in the comparison.
            assert!(!lets_through(&catalog, &judged), "{judged}");
        }
    }
    let outcomes = server.outcomes(&statements);
    let ran = outcomes.iter().filter(|outcome| !outcome.starts_with("error")).count();
    let fails = |outcome: &str| outcome.starts_with("error") && !is_refused(outcome);
    let failed = statements.iter().zip(&outcomes).filter(|(_, outcome)| fails(outcome));
    let failed: Vec<(&String, &String)> = failed.filter(|(sql, outcome)| !is_known(sql, outcome)).collect();
    // A constant that is no value of the type beside it fails where there is nothing to tell of as well.
    let of_nothing: Vec<String> = failed.iter().map(|(sql, _)| without_values(sql)).collect();
    let of_nothing = server.outcomes(&of_nothing);
    let bad = failed.iter().zip(&of_nothing).filter(|((_, outcome), other)| outcome != other);
    let bad: Vec<String> = bad.map(|((sql, outcome), _)| format!("{outcome}: {sql}")).collect();
    let sample: Vec<String> = refused.iter().step_by(7).cloned().collect();
    let outcomes = server.outcomes(&sample);
    let would = outcomes.iter().filter(|outcome| outcome.starts_with("error") && !is_refused(outcome)).count();
    let needless = outcomes.iter().filter(|outcome| !outcome.starts_with("error")).count();
    let kinds: BTreeSet<&str> = bad.iter().filter_map(|line| line.split(':').next()).collect();
    println!(
        "PostgreSQL {version}: {} let through, {ran} of them run, {} fail {kinds:?}; of {} refused {would} would fail, {needless} not",
        statements.len(),
        bad.len(),
        sample.len()
    );
    assert!(ran > 3_000 && would > 100, "{ran} {would}");
    assert!(bad.is_empty(), "{}", bad.into_iter().take(40).collect::<Vec<_>>().join("\n"));
}

#[test]
fn casts_of_postgresql_15_have_verdicts() {
    every_cast_has_a_verdict(15);
}

#[test]
fn casts_of_postgresql_16_have_verdicts() {
    every_cast_has_a_verdict(16);
}

#[test]
fn casts_of_postgresql_17_have_verdicts() {
    every_cast_has_a_verdict(17);
}

#[test]
fn casts_of_postgresql_18_have_verdicts() {
    every_cast_has_a_verdict(18);
}

#[test]
fn no_meeting_of_types_tells_postgresql_15() {
    no_meeting_tells(15);
}

#[test]
fn no_meeting_of_types_tells_postgresql_18() {
    no_meeting_tells(18);
}
