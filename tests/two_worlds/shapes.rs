//! What the analysis takes columns for against what the server makes of them: statements put together from whatever gives
//! columns a name or a place, described by the server and not executed. A name or a number of columns that the analysis is
//! certain of has to be the server's.

use crate::grammar::Dice;
use crate::stage;
use lockgate_sql::{Context, Outputs, analyze};

/// Statements that are described, of each version.
const DESCRIBED: u64 = 2_000;

const ITEMS: &[&str] = &[
    "kv",
    "kv k",
    "kv k(a)",
    "kv k(a, b)",
    "orders",
    "(SELECT k AS r FROM kv k) w",
    "(SELECT k AS r FROM kv k(x)) w",
    "(SELECT 1) s",
    "(SELECT '5'::int::text, 1 AS n) t",
    "(VALUES (1, 2)) v",
    "(VALUES (1, 2)) v(a)",
    "unnest(ARRAY['x'])",
    "unnest(ARRAY['x']) u",
    "unnest(ARRAY['x', NULL]) WITH ORDINALITY u",
    "unnest(ARRAY[ARRAY[1], ARRAY[2]]) u",
    "unnest(ARRAY[NULL::kv]) u",
    "unnest('{1}'::int[], '{\"(a,b)\"}'::kv[])",
    "unnest('{1}'::int[], '{a}'::text[]) u(x)",
    "unnest('{\"(a,b)\"}'::kv[])",
    "unnest('a'::tsvector)",
    "unnest('{}'::int4multirange) m",
    "unnest(string_to_array('a,b', ',')) s",
    "unnest(ARRAY(SELECT k FROM kv)) s",
    "unnest(ARRAY(SELECT z FROM kv z)) s",
    "json_each('{}')",
    "json_each_text('{}') e(k)",
    "json_array_elements_text('[1]') v",
    "json_array_elements('[1]')",
    "json_populate_record(NULL::kv, '{}')",
    "jsonb_populate_recordset(NULL::kv, '[]') w(z)",
    "json_to_record('{}') AS r(a int, b text)",
    "generate_series(1, 2)",
    "generate_series(1, 2) g",
    "generate_series(1, 2) WITH ORDINALITY g(x)",
    "ROWS FROM (generate_series(1, 2), json_each('{}'))",
    "ROWS FROM (generate_series(1, 2), json_array_elements('[1]')) r(x)",
    "regexp_split_to_table('a,b', ',')",
    "regexp_matches('a', 'b') m",
    "string_to_table('a', ',')",
    "current_date",
    "current_date d",
    "session_user",
    "cast('5' AS int)",
    "cast('5'::int AS text) c",
    "cast(NULL AS kv) c",
    "coalesce('a', 'b')",
    "coalesce('a', 'b') c",
    "coalesce(NULL::kv, '(a,b)') c",
    "greatest(1, 2) g",
    "nullif('a', 'b')",
    "nullif(NULL::kv, NULL)",
    "xmlconcat('<a/>')",
    "xmltable('/a' PASSING '<a/>' COLUMNS b text PATH 'b')",
    "extract(year FROM now())",
    "trim('a')",
    "substring('abc' FROM 1) s",
    "lower('A') l",
    "timezone('UTC', now()) t",
    "pg_control_init()",
    "pg_prepared_statement() p",
    "pg_stat_get_wal()",
    "pg_get_replication_slots()",
    "pg_get_keywords() k(w)",
    "pg_lock_status()",
    "get_customer(1)",
    "get_customer(1) g(a)",
    "region_of(1)",
    "region_of(1) r",
    "each(''::hstore)",
    "skeys(''::hstore)",
    "populate_record(NULL::kv, ''::hstore)",
    "(kv k NATURAL JOIN (SELECT 'a'::text AS k) j)",
    "(kv k NATURAL JOIN (SELECT '5'::int::text, 'a' AS v) j)",
    "(kv k JOIN (SELECT k AS \"K\", k FROM kv) j USING (k)) AS jj(p)",
    "(kv k LEFT JOIN coalesce('a', 'b') v USING (v))",
];

const TARGETS: &[&str] = &[
    "*",
    "*",
    "'5'::int",
    "'5'::int::text",
    "true",
    "1 IS NULL",
    "NOT true",
    "CASE WHEN true THEN 1 END",
    "CASE WHEN true THEN '1' ELSE '2'::text END",
    "CASE WHEN true THEN 'a' ELSE lower('A') END",
    "(CASE WHEN true THEN 1 ELSE 2 END)::text",
    "(SELECT 1 AS z)",
    "(SELECT 1 AS z)::text",
    "(SELECT 1 + 1)::text",
    "(VALUES (1))",
    "(SELECT 1 AS z UNION ALL SELECT 2 LIMIT 1)",
    "(SELECT * FROM (SELECT 1 AS zz) y)",
    "(WITH z AS (SELECT 1) SELECT v AS w FROM kv LIMIT 1)",
    "(SELECT k FROM kv LIMIT 1)",
    "(SELECT k FROM kv k LIMIT 1).v",
    "EXISTS (SELECT 1)",
    "ARRAY[1]",
    "ARRAY(SELECT 1)",
    "(ARRAY[1])[1]",
    "(ARRAY[NULL::kv])[1].k",
    "ROW(1, 2)",
    "(NULL::kv).k",
    "(NULL::kv).*",
    "(ROW(1, 2)).f2",
    "xmlconcat('<a/>')",
    "xmlserialize(CONTENT '<a/>' AS text)",
    "xmlelement(NAME a)",
    "nullif(1, 2)",
    "coalesce(1, 2)",
    "least(1, 2)",
    "current_timestamp(1)",
    "current_date",
    "session_user",
    "interval '1' day",
    "decimal '5'",
    "date '2000-01-01'",
    "now() AT TIME ZONE 'utc'",
    "'a' COLLATE \"C\"",
    "lower('A')::varchar",
    "lower('A') COLLATE \"C\"",
    "extract(year FROM now())",
    "overlay('abc' PLACING 'x' FROM 1)",
    "collation FOR ('a')",
    "'a' LIKE 'b' ESCAPE 'c'",
    "'a' IS NORMALIZED",
    "count(*) OVER ()",
    "pg_catalog.count(*) OVER ()",
    "1 AS named",
];

struct Maker {
    dice: Dice,
}

impl Maker {
    fn query(&mut self, depth: usize) -> String {
        let mut items: Vec<String> = Vec::new();
        for _ in 0..1 + self.dice.roll(2) {
            items.push((*self.dice.pick(ITEMS)).to_owned());
        }
        if depth > 0 {
            let inner = self.query(depth - 1);
            let aliases = *self.dice.pick(&["q", "q(x1)", "q(x1, x2)", "q(x1, x2, x3)"]);
            items.push(format!("({inner}) {aliases}"));
        }
        let mut targets: Vec<&str> = Vec::new();
        for _ in 0..1 + self.dice.roll(3) {
            targets.push(*self.dice.pick(TARGETS));
        }
        let plain = format!("SELECT {} FROM {}", targets.join(", "), items.join(", "));
        match self.dice.roll(8) {
            0 => format!("WITH w AS ({plain}) SELECT * FROM w"),
            1 => format!("WITH w(y1) AS ({plain}) SELECT w.*, 1 AS last FROM w"),
            2 => format!("SELECT (w.r).* FROM (SELECT s AS r FROM ({plain}) s) w"),
            3 => format!("({plain}) UNION ALL ({plain})"),
            4 => format!(
                "WITH RECURSIVE x(a) AS (SELECT 1 UNION ALL SELECT a + 1 FROM x WHERE a < 2) {} {}",
                self.dice.pick(&["SEARCH DEPTH FIRST BY a SET o", "CYCLE a SET m USING p", ""]),
                self.dice.pick(&[
                    "SELECT * FROM x",
                    "SELECT s.*, 1 AS last FROM (SELECT x.*, 2 AS z FROM x) s",
                    "SELECT z.* FROM (SELECT x FROM x) z"
                ])
            ),
            _ => plain,
        }
    }
}

/// A statement from whatever gives columns a name or a place.
pub fn made(seed: u64) -> String {
    Maker { dice: Dice::new(seed) }.query(usize::from(seed.is_multiple_of(3)))
}

#[test]
fn columns_are_what_the_server_takes_them_for() {
    let mut wrong = Vec::new();
    for version in [15, 18] {
        let stage = stage::stage(version);
        let catalog = stage.catalog();
        let path = ["pg_catalog".to_owned(), "public".to_owned()];
        let context = Context { catalog: &catalog, search_path: &path, path_known: true };
        let mut describer = stage.describer();
        let (mut described, mut certain) = (0, 0);
        for seed in 0..DESCRIBED {
            let sql = made(3_000_000 + seed);
            let Some(names) = describer.columns(&sql) else { continue };
            described += 1;
            let batch = analyze(&sql, &context).unwrap_or_else(|e| panic!("{e}: {sql}"));
            let Outputs::Known(outputs) = &batch.statements[0].outputs else { continue };
            certain += 1;
            let fits = outputs.len() == names.len()
                && outputs.iter().zip(&names).all(|(output, name)| !output.named || output.name == *name);
            if !fits {
                let said: Vec<&str> = outputs.iter().map(|o| if o.named { o.name.as_str() } else { "?" }).collect();
                wrong.push(format!("{version}: {sql}\n  said {said:?}, are {names:?}"));
            }
        }
        println!("PostgreSQL {version}: {described} statements described, the columns of {certain} certain");
        assert!(described > DESCRIBED / 4 && certain > described / 3, "{described} described, {certain} certain");
    }
    assert!(wrong.is_empty(), "{}: {}", wrong.len(), wrong.join("\n"));
}
