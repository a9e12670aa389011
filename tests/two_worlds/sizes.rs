//! How long values become, asked of servers: what the analysis takes an expression for is never much less than what comes of it.
//! It may be too small by some factor, but not by one that a statement could multiply.

use crate::grammar::Dice;
use crate::stage;
use lockgate_sql::{Context, Outputs, analyze};

/// Texts, as short as may be for what they are or so long that nothing fixed is meant by it.
const TEXTS: &[&str] = &[
    "'1e' || '131000'::text",
    "('1e' || '131000')::jsonb",
    "('1e' || '131000')::numeric",
    "('[1e' || '131000,]')::numrange",
    "('{[1e' || '131000,]}')::nummultirange",
    "array['[1e' || '131000,]']::numrange[]",
    "('$ == 1e' || '131000')::jsonpath",
    "('1e' || '131000')::measure",
    "('(1e' || '131000)')::measured",
    "(row('1e' || '131000')::measured).x",
    "array['(1e' || '131000)']::measured[]",
    "jsonb_path_query_first(to_jsonb('1e' || '131000'), '$.number()')",
    "jsonb_path_query_first(to_jsonb('1e' || '131000'), '$.decimal()')",
    "json_value(to_jsonb('1e' || '131000'), '$.number()')",
    "json_value(jsonb_build_object('a', '1e' || '131000'), '$.a' RETURNING numeric)",
    "json_query(jsonb_build_object('a', '1e' || '131000'), '$.a' RETURNING numeric OMIT QUOTES)",
    "(SELECT a FROM json_table(jsonb_build_object('a', '1e' || '131000'), '$' COLUMNS (a numeric PATH '$.a')) j)",
    "(SELECT a FROM xmltable('/a' PASSING xmlelement(NAME a, '1e' || '131000') COLUMNS a numeric PATH '.') x)",
    "(SELECT a FROM json_to_record(('{\"a\":\"1e' || '131000\"}')::json) AS r(a numeric))",
    "jsonb_populate_record(NULL::measured, jsonb_build_object('x', '1e' || '131000'))",
    "pg_size_pretty(1e131000)",
    "round(1::numeric, 16000)",
    "10::numeric ^ 131000",
    "sqrt(0e-16000)",
    "1.0 % 3e-16000",
    "parse_ident(repeat('a', 1000000))",
    "parse_ident(repeat('a.', 100000) || 'a')",
    "ts_lexize('simple', repeat('a', 1000000))",
    "(SELECT option_value FROM pg_options_to_table(array['a=' || repeat('x', 1000000)]))",
    "oidvectortypes(repeat('1184 ', 20000)::oidvector)",
    "array_to_string(('{' || repeat('1304,', 2000) || '1304}')::regprocedure[], '')",
    "phraseto_tsquery('simple', repeat('a b ', 2000)) && phraseto_tsquery('simple', repeat('c ', 2000))",
    "!! (phraseto_tsquery('simple', repeat('a b ', 2000)) && 'b')",
    "~ B'1'::bit(1000000)",
    "string_to_array(repeat('1,', 100000), ',') || string_to_array(repeat('1', 100000), NULL)",
    "to_json(repeat(chr(1), 100000))",
    "to_jsonb(string_to_array(repeat('\"', 100000), NULL))",
    "xmlelement(NAME \"<a b>\", repeat('&', 100000))",
    "encode(repeat(chr(1), 100000)::bytea, 'escape')",
    "quote_literal(repeat('\\', 100000))",
    "normalize(repeat(U&'\\FDFA', 10000), NFKD)",
    "regexp_replace(repeat('a', 1000), '', repeat('b', 1000), 'g')",
    "to_tsvector('simple', repeat('abc ', 10000))",
    "jsonb_pretty(('[' || repeat('[', 300) || repeat(']', 300) || ']')::jsonb)",
    "pgp_sym_decrypt('\\xc30404070002d2c00901206a3f373af42f0ade372488e21d5cca68da860aadc64e5020a464d7fd37ecab740de7c5d769a4d7\
     2d76777e26fffa6ab4e6a8445997baec0608d7ccc7a57e9fec9ae0ea4036ad877a502997ec0aca8dd1430bc892232c441f49\
     1e8fb5d71b09cb8594b5cdf1fde636405572b83b552bbc27a9af5cfe47a05b4218ea8504e94e05579af7954c5a9d8a65cbad\
     044bb5a669903d90b2eb00986b08802c351e097c7a23440056af7b31344fe1cad155828000bd10732f6fe69d31b9d3a56357\
     d8034b157eb3d533ad64', 'k')",
    "xslt_process('<a/>', '<xsl:stylesheet xmlns:xsl=\"http://www.w3.org/1999/XSL/Transform\" version=\"1.0\"><xsl:template match=\"/\">\
     <xsl:call-template name=\"t\"><xsl:with-param name=\"x\" select=\"string(1)\"/></xsl:call-template></xsl:template>\
     <xsl:template name=\"t\"><xsl:param name=\"x\"/><xsl:choose><xsl:when test=\"string-length($x) &lt; 400000\">\
     <xsl:call-template name=\"t\"><xsl:with-param name=\"x\" select=\"concat($x,$x)\"/></xsl:call-template></xsl:when>\
     <xsl:otherwise><xsl:value-of select=\"$x\"/></xsl:otherwise></xsl:choose></xsl:template></xsl:stylesheet>')",
    "array_to_string(hstore_to_array(hstore(string_to_array(repeat('a,b,', 1000), ','))), '')",
    "(SELECT mode() WITHIN GROUP (ORDER BY x) FROM repeat('a', 1000000) x)",
    "(SELECT percentile_disc(0.5) WITHIN GROUP (ORDER BY x) FROM repeat('a', 1000000) x)",
    "(SELECT percentile_disc(array_fill(0.5::float8, array[1000])) WITHIN GROUP (ORDER BY x) FROM repeat('a', 1000) x)",
    "(SELECT string_agg('xxxxxxxxxx', '') FROM jsonb_path_query('[[[[1]]]]', '$[0,0,0,0,0,0,0,0,0][0,0,0,0,0,0,0,0,0]\
     [0,0,0,0,0,0,0,0,0][0,0,0,0,0,0,0,0,0]'))",
    "(SELECT string_agg('xxxxxxxxxx', '') FROM json_table('[[[[1]]]]'::jsonb, '$[0,0,0,0,0,0,0,0,0][0,0,0,0,0,0,0,0,0]\
     [0,0,0,0,0,0,0,0,0][0,0,0,0,0,0,0,0,0]' COLUMNS (a int PATH '$')) j)",
    "json_query('[[[[1]]]]'::jsonb, '$[0,0,0,0,0,0,0,0,0][0,0,0,0,0,0,0,0,0][0,0,0,0,0,0,0,0,0][0,0,0,0,0,0,0,0,0]' WITH WRAPPER)",
];
/// What may be done again and again to what came of it.
const AGAIN: &[&str] = &[
    "SELECT array_agg(s) AS x FROM ({}) s",
    "SELECT array_agg(row(x)) AS x FROM ({}) s",
    "SELECT array[s] AS x FROM ({}) s",
    "SELECT array(SELECT row(x)) AS x FROM ({}) s",
    "SELECT row(s) AS x FROM ({}) s",
    "SELECT row(x)::text AS x FROM ({}) s",
    "SELECT quote_literal(x) AS x FROM ({}) s",
    "SELECT json_build_array(x::text) AS x FROM ({}) s",
    "SELECT xmlelement(NAME a, x::text) AS x FROM ({}) s",
    "SELECT replace(x::text, 'a', 'aaaa') AS x FROM ({}) s",
    "SELECT array_to_string(array[x, x], '') AS x FROM ({}) s",
    "SELECT mode() WITHIN GROUP (ORDER BY x || x) AS x FROM ({}) s",
];
const TIMES: usize = 9;
/// How a text is made of them.
const AS_TEXT: &[&str] =
    &["({})::text", "concat({})", "to_json({})::text", "json_build_array({})::text", "array[{}]::text"];
/// How often as long as it is said to be a value may become, and by how much more.
const FACTOR: u64 = 8;
const SLACK: u64 = 4_096;

#[test]
fn no_value_is_much_longer_than_it_is_taken_for() {
    let mut wrong = Vec::new();
    for version in [15, 16, 17, 18] {
        let types = "CREATE DOMAIN measure AS numeric; CREATE TYPE measured AS (x numeric)";
        let made: Vec<String> = TEXTS
            .iter()
            .flat_map(|text| AS_TEXT.iter().map(move |form| form.replace("{}", &format!("({text})"))))
            .collect();
        let again = AGAIN.iter().map(|form| {
            let nested = (0..TIMES).fold("SELECT 'a\"\"'::text AS x".to_owned(), |inner, _| form.replace("{}", &inner));
            format!("(SELECT x::text FROM ({nested}) s)")
        });
        let made: Vec<String> = made.into_iter().chain(again).collect();
        let (catalog, lengths) = stage::stage(version).with_lengths(types, &made);
        let path = ["pg_catalog".to_owned(), "public".to_owned()];
        let context = Context { catalog: &catalog, search_path: &path, path_known: true };
        let mut judged = 0;
        for (text, length) in made.iter().zip(lengths) {
            let Some(length) = length else { continue };
            let batch = analyze(&format!("SELECT {text}"), &context).unwrap_or_else(|e| panic!("{e}: {text}"));
            let Outputs::Known(outputs) = &batch.statements[0].outputs else { panic!("{text}") };
            judged += 1;
            let size = outputs[0].size;
            if length > size.saturating_mul(FACTOR).saturating_add(SLACK) {
                wrong.push(format!("{version}: {length} and not {size}: {text}"));
            }
        }
        println!("PostgreSQL {version}: {judged} of {} lengths", made.len());
        assert!(judged > 150, "{judged}");
    }
    assert!(wrong.is_empty(), "{}:\n{}", wrong.len(), wrong.join("\n"));
}

/// Rows of each table of the test of joins.
const ROWS: u64 = 30;
/// Tables whose columns `id`, `a` and `b` are keys, parts of one, or alike in many rows; `big` is a number that as one of eight
/// bytes with a point is another's as well.
const TABLES: &str = "
CREATE TABLE whole (id int PRIMARY KEY, a int, b int, big int8 UNIQUE);
INSERT INTO whole SELECT i, 1, i, 9007199254740992 + i FROM generate_series(1, 30) i;
CREATE TABLE pair (id int, a int, b int, big float8, PRIMARY KEY (a, b));
INSERT INTO pair SELECT 1, 1, i, 9007199254740992 FROM generate_series(1, 30) i;
CREATE TABLE plain (id int, a int, b int, big float8);
INSERT INTO plain SELECT 1, i, 1, 9007199254740992 FROM generate_series(1, 30) i;
CREATE TABLE partly (id int, a int, b int, big numeric);
CREATE UNIQUE INDEX ON partly (id) WHERE b < 0;
CREATE UNIQUE INDEX ON partly ((a + b));
CREATE UNIQUE INDEX ON partly (b) INCLUDE (a);
INSERT INTO partly SELECT 1, 1, i, 1 FROM generate_series(1, 30) i;
CREATE TABLE parent (id int PRIMARY KEY, a int, b int, big int8);
CREATE TABLE child (PRIMARY KEY (id)) INHERITS (parent);
INSERT INTO parent SELECT i, 1, i, 1 FROM generate_series(1, 30) i;
INSERT INTO child SELECT i, 1, i, 1 FROM generate_series(1, 30) i;
CREATE TABLE loose (id int PRIMARY KEY, a int, b int, big int8);
CREATE TABLE stray () INHERITS (loose);
INSERT INTO loose SELECT i, i, 1, 1 FROM generate_series(1, 30) i;
INSERT INTO stray SELECT 1, 1, 1, 1 FROM generate_series(1, 30) i;
CREATE TABLE parted (id int PRIMARY KEY, a int, b int, big int8) PARTITION BY RANGE (id);
CREATE TABLE part1 PARTITION OF parted FOR VALUES FROM (0) TO (9);
CREATE TABLE part2 PARTITION OF parted FOR VALUES FROM (9) TO (99);
INSERT INTO parted SELECT i, 1, i, 1 FROM generate_series(1, 30) i;
CREATE TABLE nulls (id int UNIQUE, a int, b int, big int8);
INSERT INTO nulls SELECT NULL, 1, i, 1 FROM generate_series(1, 30) i;
CREATE VIEW seen AS SELECT id, a, b, big FROM whole;
CREATE VIEW crossed AS SELECT x.id, y.a, y.b, x.big FROM whole x, whole y;
CREATE VIEW kept AS SELECT x.id, y.a, x.b, y.big FROM whole x LEFT JOIN pair y ON y.b = x.id;
CREATE VIEW counted AS SELECT a AS id, b AS a, count(*)::int AS b, 1::int8 AS big FROM pair GROUP BY 1, 2;
CREATE MATERIALIZED VIEW made AS SELECT id, a, b, big FROM whole;
CREATE UNIQUE INDEX ON made (id);
ANALYZE";
/// What gives rows: tables, and queries over what stands before them.
const ITEMS: &[&str] = &[
    "whole",
    "whole",
    "pair",
    "plain",
    "partly",
    "parent",
    "ONLY parent",
    "loose",
    "parted",
    "part2",
    "nulls",
    "seen",
    "crossed",
    "kept",
    "counted",
    "made",
    "(SELECT DISTINCT a AS id, b AS a, 1 AS b, 1::int8 AS big FROM plain)",
    "(SELECT DISTINCT ON (b) id, a, b, big FROM plain)",
    "(SELECT id, a, b, big FROM whole UNION SELECT id, a, b, 1::int8 FROM pair)",
    "(SELECT id, a, b, big FROM whole UNION ALL SELECT id, a, b, 1::int8 FROM pair)",
    "(SELECT max(id) AS id, a, b, max(big) AS big FROM whole GROUP BY CUBE (a, b))",
    "(SELECT max(id) AS id, 1 AS a, b, max(big) AS big FROM whole GROUP BY GROUPING SETS ((b), (b), (b)))",
    "(SELECT id, generate_series(1, 30) AS a, b, big FROM whole)",
    "(SELECT id, a, b, big FROM whole WHERE id = 3)",
    "(SELECT id, a, b, big FROM plain LIMIT 1)",
    "(SELECT 1 AS id, count(*)::int AS a, 1 AS b, 1::int8 AS big FROM plain)",
    "(SELECT x.id, y.a, y.b, x.big FROM whole x JOIN pair y ON y.b = x.id)",
    "LATERAL (SELECT w.id, w.a, $.b, w.big FROM whole w WHERE w.id = $.a)",
    "LATERAL (SELECT w.id, w.a, $.b, w.big FROM whole w WHERE w.a = $.a)",
    "LATERAL (SELECT $.id, $.a, w.b, w.big FROM whole w LIMIT 1)",
    "LATERAL (SELECT $.id, $.a, $.b, 1::int8 AS big)",
];
const COLUMNS: &[&str] = &["id", "id", "id", "a", "b", "b", "big"];
/// FROM clauses that are tried on each version, and how many of their rows are counted.
const CLAUSES: u64 = 600;
const COUNTED_MAX: u64 = 50_000;

/// A FROM clause of two to four relations, and a condition.
fn joined(dice: &mut Dice) -> String {
    let count = 2 + dice.roll(3);
    let mut clause = String::new();
    let mut terms = Vec::new();
    for at in 0..count {
        let before = format!("t{}", dice.roll(at.max(1)));
        let item = loop {
            let item = dice.pick(ITEMS);
            if at > 0 || !item.starts_with("LATERAL") {
                break item.replace('$', &before);
            }
        };
        let item = format!("{item} t{at}");
        if at == 0 {
            clause = item;
            continue;
        }
        let term = |dice: &mut Dice| {
            let (one, other) = (*dice.pick(COLUMNS), *dice.pick(COLUMNS));
            match dice.roll(8) {
                0 => format!("t{at}.{one} = 1"),
                1 => format!("t{at}.{one} + 0 = {before}.{other}"),
                2 => format!("(t{at}.a, t{at}.b) = ({before}.{other}, {before}.id)"),
                _ => format!("t{at}.{one} = {before}.{other}"),
            }
        };
        let on: Vec<String> = (0..=dice.roll(2)).map(|_| term(dice)).collect();
        let on = on.join(" AND ");
        clause = match dice.roll(9) {
            0 => format!("{clause} CROSS JOIN {item}"),
            1 => {
                terms.push(on);
                format!("{clause} CROSS JOIN {item}")
            }
            2 => format!("{clause} FULL JOIN {item} ON {on}"),
            3 => format!("{clause} RIGHT JOIN {item} ON {on}"),
            4 | 5 => format!("{clause} LEFT JOIN {item} ON {on}"),
            _ => format!("{clause} JOIN {item} ON {on}"),
        };
    }
    if terms.is_empty() { clause } else { format!("{clause} WHERE {}", terms.join(" AND ")) }
}

#[test]
fn no_join_has_more_rows_than_it_is_taken_for() {
    let mut wrong = Vec::new();
    let mut dice = Dice::new(14);
    for version in [15, 16, 17, 18] {
        let clauses: Vec<String> = (0..CLAUSES).map(|_| joined(&mut dice)).collect();
        let made: Vec<String> =
            clauses.iter().map(|clause| format!("(SELECT string_agg('x', '') FROM {clause})")).collect();
        let counted: Vec<String> = clauses
            .iter()
            .map(|clause| {
                format!("(SELECT repeat('x', count(*)::int) FROM (SELECT FROM {clause} LIMIT {COUNTED_MAX}) counted)")
            })
            .collect();
        let (catalog, lengths) = stage::stage(version).with_lengths(TABLES, &counted);
        let path = ["pg_catalog".to_owned(), "public".to_owned()];
        let context = Context { catalog: &catalog, search_path: &path, path_known: true };
        let size = |text: &str| {
            let batch = analyze(&format!("SELECT {text}"), &context).unwrap_or_else(|e| panic!("{e}: {text}"));
            let Outputs::Known(outputs) = &batch.statements[0].outputs else { panic!("{text}") };
            outputs[0].size
        };
        let one = size("(SELECT string_agg('x', '') FROM plain)");
        let (mut judged, mut as_one, mut more) = (0, 0, 0);
        for (text, length) in made.iter().zip(lengths) {
            let Some(rows) = length else { continue };
            let times = size(text) / one;
            judged += 1;
            let few = times < ROWS * ROWS * ROWS;
            as_one += u64::from(few && rows > 0);
            more += u64::from(!few && (1..=2 * ROWS).contains(&rows));
            if rows > times.saturating_mul(8 * ROWS) {
                wrong.push(format!("{version}: {rows} and not {times} times a table: {text}"));
            }
        }
        println!(
            "PostgreSQL {version}: {judged} of {CLAUSES} joins, {as_one} as one table, {more} as more where there are not"
        );
        assert!(judged > 350 && as_one > 80, "{judged} {as_one}");
    }
    assert!(wrong.is_empty(), "{}:\n{}", wrong.len(), wrong.join("\n"));
}
