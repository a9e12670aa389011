//! How long values become, asked of servers: what the analysis takes an expression for is never much less than what comes of it.
//! It may be too small by some factor, but not by one that a statement could multiply.

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
    "oidvectortypes(repeat('1184 ', 100000)::oidvector)",
    "array_to_string(('{' || repeat('1304,', 10000) || '1304}')::regprocedure[], '')",
    "phraseto_tsquery('simple', repeat('a b ', 5000)) && phraseto_tsquery('simple', repeat('c ', 5000))",
    "!! (phraseto_tsquery('simple', repeat('a b ', 5000)) && 'b')",
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
    "(SELECT string_agg('xxxxxxxxxx', '') FROM jsonb_path_query('[[[[1]]]]', '$[0,0,0,0,0,0,0,0,0][0,0,0,0,0,0,0,0,0]\
     [0,0,0,0,0,0,0,0,0][0,0,0,0,0,0,0,0,0]'))",
    "(SELECT string_agg('xxxxxxxxxx', '') FROM json_table('[[[[1]]]]'::jsonb, '$[0,0,0,0,0,0,0,0,0][0,0,0,0,0,0,0,0,0]\
     [0,0,0,0,0,0,0,0,0][0,0,0,0,0,0,0,0,0]' COLUMNS (a int PATH '$')) j)",
    "json_query('[[[[1]]]]'::jsonb, '$[0,0,0,0,0,0,0,0,0][0,0,0,0,0,0,0,0,0][0,0,0,0,0,0,0,0,0][0,0,0,0,0,0,0,0,0]' WITH WRAPPER)",
];
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
