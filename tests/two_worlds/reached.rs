//! Whether an expression fails must not depend on labelled values: expressions made up over labelled and other columns, in
//! which labelled values decide what is evaluated next, and much of what is evaluated may fail. Those that the analysis lets
//! through are executed over rows that differ in labelled values only, which take nasty shapes: all have to succeed, or all
//! to fail alike. Those that it refuses are executed too, to see that the expressions would tell if they could.

use crate::grammar::Dice;
use lockgate_sql::{Catalog, ColumnRule, Context, analyze, catalog_query};
use lockgate_tests::Postgres;
use lockgate_tests::postgres::{PASSWORD, SUPERUSER};
use lockgate_tests::wire::{self, Client};
use std::time::{Duration, Instant};

/// For how long expressions are made up.
const LONGEST: Duration = Duration::from_secs(15);
const LONGEST_OF_SOAK: Duration = Duration::from_secs(600);
/// Of the refused ones, one of so many is executed.
const REFUSED_SAMPLE: u64 = 12;

/// What is the same in every row.
const CLEAN: &str = "id int, name text, n int, price numeric, made timestamp, doc jsonb, words text[]";
const CLEAN_VALUES: &str = "1, 'Abc', 0, 2.50, '2024-02-03 04:05:06', '{\"a\": [1], \"b\": \"x\"}', '{p,q}'";
/// What is labelled: text, number, date, json, array, row.
const LABELLED: &str = "t text, v varchar(40), i int, m numeric, f float8, d date, ts timestamp, b bool, j jsonb, js json, \
                        a text[], ia int[], u bytea, k kin";
/// Its values, row by row.
const NASTY: &[&str] = &[
    "'5', '5', 5, 5, 5, '2000-01-01', '2000-01-01 00:00', true, '{\"a\": \"5\"}', '{\"a\": \"5\"}', '{5}', '{5}', '5', '(5,5)'",
    "NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL",
    "'', '', 0, 0, 0, '0001-01-01 BC', '0001-01-01 BC', false, '{}', '{}', '{}', '{}', '', '(,)'",
    "'(', '\\', -2147483648, 'NaN', 'NaN', 'infinity', '-infinity', false, '\"x\"', '\"\\u0000\"', '{{a,b},{c,d}}', \
     '{{1,2},{3,4}}', '\\x00', '(\"\",)'",
    "'x\\', '%\\', 2147483647, 1e40, 1e308, '-infinity', 'infinity', true, '[1,[2]]', '{\"a\":\"\\ud800\"}', '{NULL}', \
     '{NULL}', '\\xff5c', '(\"a\\\\\",)'",
    "repeat('y', 4000), repeat('z', 40), 7, 99999999999999999999.99, -1e-300, '5874897-12-31', '294276-12-31 23:59:59', NULL, \
     'null', 'null', '{a,b,c}', '{1,2,3}', '\\x', NULL",
    "'\"''`;--', 'é∂', -1, -0.5, 'infinity', '4714-11-24 BC', '4714-11-24 00:00 BC', true, '{\"a\": {\"b\": null}}', \
     '{\"a\": 1, \"a\": 2}', '[2:3]={a,b}', '[0:1]={1,2}', 'é', '(x,y)'",
];

#[test]
fn whether_an_expression_fails_does_not_depend_on_labelled_values() {
    executed("reached", 0, LONGEST);
}

#[test]
#[ignore = "takes long: make soak"]
fn whether_many_expressions_fail_does_not_depend_on_labelled_values() {
    executed("reached_long", 1_000_000, LONGEST_OF_SOAK);
}

fn executed(database: &str, first_seed: u64, longest: Duration) {
    let postgres = Postgres::shared(15);
    postgres.sql("postgres", &format!("CREATE DATABASE {database}"));
    let parameters = [("user", SUPERUSER), ("database", database)];
    let mut client = Client::login_with(postgres.port, &parameters, PASSWORD).expect("a connection");
    set_up(&mut client);
    let catalog = catalog(&mut client);
    let path = ["pg_catalog".to_owned(), "public".to_owned()];
    let context = Context { catalog: &catalog, search_path: &path, path_known: true };

    let begun = Instant::now();
    let (mut let_through, mut succeeded, mut refused_run, mut would_tell) = (0, 0, 0, 0);
    let mut bad = Vec::new();
    for seed in first_seed.. {
        if begun.elapsed() > longest || bad.len() > 30 {
            break;
        }
        let (sql, clean) = Maker { dice: Dice::new(seed) }.statement();
        let Ok(batch) = analyze(&sql, &context) else { panic!("seed {seed}: {sql}") };
        let refused = batch.statements.iter().any(|statement| !statement.uses.is_empty());
        if refused && seed % REFUSED_SAMPLE != 0 || clean {
            continue;
        }
        let Some(outcomes) = outcomes(&mut client, &sql) else { continue };
        let same = outcomes.iter().all(|outcome| *outcome == outcomes[0]);
        if refused {
            refused_run += 1;
            would_tell += usize::from(!same);
        } else {
            let_through += 1;
            succeeded += usize::from(same && outcomes[0] == "ok");
            if !same {
                bad.push(format!("seed {seed}: {outcomes:?}\n    {sql}"));
            }
        }
    }
    println!(
        "{let_through} expressions let through, {succeeded} of them succeed, {} tell; of {refused_run} refused {would_tell} would tell",
        bad.len()
    );
    assert!(bad.is_empty(), "{}", bad.join("\n"));
    assert!(succeeded > 200 && would_tell > 20, "the expressions show nothing");
}

fn set_up(client: &mut Client) {
    let run = |client: &mut Client, sql: &str| {
        let frames = client.query(sql);
        assert!(!frames.iter().any(|frame| frame.tag == b'E'), "{sql}: {frames:?}");
    };
    run(client, "CREATE EXTENSION intarray; CREATE EXTENSION hstore; CREATE EXTENSION ltree; CREATE EXTENSION citext");
    run(client, "SET statement_timeout = '1s'");
    run(client, "CREATE TYPE kin AS (phone text, mail text)");
    for (at, values) in NASTY.iter().enumerate() {
        run(client, &format!("CREATE TABLE w{at} ({CLEAN}, {LABELLED})"));
        run(client, &format!("INSERT INTO w{at} VALUES ({CLEAN_VALUES}, {values})"));
    }
    run(client, "CREATE VIEW shown AS SELECT id, t, (1 / (id - 1))::text AS broken, lower(t) AS low, name FROM w0");
    // The definition of the view over another row: the analysis knows the first.
    for at in 1..NASTY.len() {
        run(
            client,
            &format!(
                "CREATE VIEW shown{at} AS SELECT id, t, (1 / (id - 1))::text AS broken, lower(t) AS low, name FROM w{at}"
            ),
        );
    }
    run(
        client,
        "CREATE FUNCTION outcome(statement text) RETURNS text LANGUAGE plpgsql AS $$
         DECLARE r record; BEGIN FOR r IN EXECUTE statement LOOP NULL; END LOOP; RETURN 'ok';
         EXCEPTION WHEN OTHERS THEN RETURN SQLSTATE; END $$",
    );
}

fn catalog(client: &mut Client) -> Catalog {
    let mut builder = catalog_query::FactsBuilder::new("1");
    for (question, sql) in catalog_query::SNAPSHOT_SQL.iter().enumerate() {
        for row in wire::rows(&client.query(sql)) {
            let cells: Vec<Option<&[u8]>> = row.iter().map(|cell| cell.as_deref().map(str::as_bytes)).collect();
            builder.row(question, &cells).expect("a fact");
        }
    }
    let names = LABELLED.split(", ").map(|column| column.split(' ').next().expect("a name"));
    let rules: Vec<ColumnRule> = names
        .map(|name| ColumnRule { label: "pii".parse().expect("a label"), pattern: format!("public.w0.{name}") })
        .collect();
    Catalog::build(builder.finish().expect("a catalog"), &rules, &[])
}

/// What comes of the statement over each of the rows; `None` if it takes too long.
fn outcomes(client: &mut Client, sql: &str) -> Option<Vec<String>> {
    let quoted = |sql: &str| format!("'{}'", sql.replace('\'', "''"));
    let calls: Vec<String> = (0..NASTY.len())
        .map(|at| {
            let view = if at == 0 { "shown".to_owned() } else { format!("shown{at}") };
            format!(
                "outcome({})",
                quoted(&sql.replace("FROM w0", &format!("FROM w{at}")).replace("FROM shown", &format!("FROM {view}")))
            )
        })
        .collect();
    let frames = client.query(&format!("SELECT {}", calls.join(", ")));
    if frames.iter().any(|frame| frame.field(b'C').as_deref() == Some("57014")) {
        return None;
    }
    let rows = wire::rows(&frames);
    let row = rows.first().unwrap_or_else(|| panic!("{sql}: {frames:?}"));
    Some(row.iter().map(|cell| cell.clone().expect("an outcome")).collect())
}

/// Makes expressions up.
struct Maker {
    dice: Dice,
}

/// What labelled values of each kind are compared with to be NULL or not.
const GUESSES: &[(&str, &str)] = &[
    ("t", "'5'"),
    ("v", "'5'"),
    ("left(t, 1)", "'5'"),
    ("i", "5"),
    ("m", "5"),
    ("d", "'2000-01-01'"),
    ("ts", "'2000-01-01'"),
    ("j", "'{}'"),
    ("a", "'{5}'"),
    ("u", "'5'"),
];

impl Maker {
    /// A statement of one output, and whether nothing labelled is in it.
    fn statement(mut self) -> (String, bool) {
        let depth = 1 + self.dice.roll(3);
        let kind = self.dice.roll(7);
        let expression = self.value(kind, depth);
        let sql = match self.dice.roll(12) {
            // What a sub-select computes may be computed where it is used.
            0 => {
                let broken = self.broken();
                let first = *self.dice.pick(&["coalesce(", "concat(", "num_nulls("]);
                format!("SELECT coalesce({expression}::text, s.broken) FROM (SELECT *, ({broken})::text AS broken FROM w0) s")
                    .replace("coalesce(", first)
            }
            1 => {
                let one = *self.dice.pick(&["t", "low", "nullif(t, '5')", "lower(t)"]);
                let other = *self.dice.pick(&["name", "low", "broken", "t"]);
                format!("SELECT coalesce({one}, {other}) FROM shown")
            }
            2 => format!(
                "SELECT {}({expression}) FROM w0",
                self.dice.pick(&["max", "min", "count", "array_agg", "json_agg"])
            ),
            3 => self.with(&expression),
            _ => format!("SELECT {expression} FROM w0"),
        };
        let labelled = LABELLED.split(", ").filter_map(|column| column.split(' ').next());
        let words: Vec<&str> = sql.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').collect();
        let clean = !labelled.into_iter().any(|name| words.contains(&name)) && !sql.contains("shown");
        (sql, clean)
    }

    /// What a query of WITH computes may be kept, or computed where it is read.
    fn with(&mut self, expression: &str) -> String {
        let kept = *self.dice.pick(&["", "MATERIALIZED ", "NOT MATERIALIZED "]);
        let broken = self.broken();
        let plain = format!("x AS {kept}(SELECT *, ({broken})::text AS broken FROM w0)");
        let itself = format!(
            "y AS (SELECT *, ({broken})::text AS broken FROM w0 UNION ALL SELECT y.* FROM y WHERE {})",
            self.dice.pick(&["false", "y.id > 1"])
        );
        let counts = "z AS (SELECT 1 AS step UNION ALL SELECT step + 1 FROM z WHERE step < 3)".to_owned();
        let renames = "xx AS (SELECT * FROM x)".to_owned();
        let (mut members, from) = match self.dice.roll(5) {
            0 => (vec![plain], "x"),
            1 => (vec![plain, counts], "x"),
            2 => (vec![itself, plain], "y"),
            3 => (vec![itself, plain], "x"),
            _ => (vec![renames, plain], "xx"),
        };
        if self.dice.roll(2) == 0 {
            members.reverse();
        }
        let first = *self.dice.pick(&["coalesce", "concat", "greatest"]);
        format!("WITH RECURSIVE {} SELECT {first}({expression}::text, broken) FROM {from}", members.join(", "))
    }

    fn value(&mut self, kind: usize, depth: usize) -> String {
        match kind {
            0..=2 => self.text(depth),
            3 => self.number(depth),
            4 => self.truth(depth),
            5 => self.moment(depth),
            _ => self.json(depth),
        }
    }

    /// What fails, or may.
    fn broken(&mut self) -> String {
        let texts = [
            "1 / (id - 1)",
            "substr(name, 1, n - 1)",
            "name::int",
            "split_part(name, 'b', n)",
            "encode(name::bytea, 'bogus')",
            "regexp_replace(name, '(', '')",
            "to_char(price, 'EEEE9')",
            "date_trunc('bogus', made)",
            "name ~ '['",
            "chr(n)",
            "lpad(name, 1 / n)",
            "(words)[1 / n]",
            "name LIKE 'A\\'",
            "extract(bogus from made)",
            "ln(n)",
        ];
        (*self.dice.pick(&texts)).to_owned()
    }

    fn text(&mut self, depth: usize) -> String {
        if depth == 0 {
            return match self.dice.roll(8) {
                0 => "name".to_owned(),
                1 => format!("({})::text", self.broken()),
                2 => self.guess(),
                3 => "'5'::text".to_owned(),
                _ => (*self.dice.pick(&["t", "v", "left(t, 1)", "t", "k::text", "(k).phone", "(a)[1]"])).to_owned(),
            };
        }
        let one = self.text(depth - 1);
        match self.dice.roll(27) {
            0 => format!("coalesce({one}, {})", self.text(depth - 1)),
            1 => format!("nullif({one}, {})", self.text(depth - 1)),
            2 => format!("CASE WHEN name = 'Abc' THEN {one} ELSE {} END", self.text(depth - 1)),
            3 => format!("CASE WHEN {} THEN {one} END", self.truth(depth - 1)),
            4 => format!("greatest({one}, {})", self.text(depth - 1)),
            5 => format!("({one} || {})", self.text(depth - 1)),
            6 => format!("substr({one}, {}, {})", self.small(), self.small()),
            7 => format!(
                "{}({one})",
                self.dice.pick(&[
                    "lower",
                    "upper",
                    "md5",
                    "initcap",
                    "reverse",
                    "btrim",
                    "quote_literal",
                    "quote_ident"
                ])
            ),
            8 => format!("replace({one}, {}, 'x')", self.text(depth - 1)),
            9 => format!("split_part({one}, '-', {})", self.small()),
            10 => format!("regexp_replace({one}, {}, 'x')", self.pattern()),
            11 => format!("overlay({one} placing 'x' from {})", self.small()),
            12 => format!("encode(u, {})", self.dice.pick(&["'hex'", "'bogus'", "'escape'", "name"])),
            13 => format!("to_char({}, {})", self.dice.pick(&["m", "i", "ts", "d", "f", "price"]), self.format()),
            14 => format!("concat({one}, {})", self.text(depth - 1)),
            15 => format!("({})::text", self.json(depth - 1)),
            16 => format!("({})::text", self.number(depth - 1)),
            17 => format!("({})::text", self.truth(depth - 1)),
            18 => format!("({} ->> {})", self.json(depth - 1), self.dice.pick(&["'a'", "name", "1"])),
            19 => format!("(ARRAY[{one}, {}])[{}]", self.text(depth - 1), self.small()),
            20 => format!("array_to_string({}, ',')", self.array(depth - 1)),
            21 => format!("left({one}, {})", self.small()),
            22 => format!("(SELECT {one})"),
            23 => format!("({one} COLLATE \"C\")"),
            24 => format!("lpad({one}, {})", self.small()),
            25 => format!(
                "format({}, {one})",
                self.dice.pick(&["'%s'", "'%s %s'", "'%I'", "'a%%b%s'", "name", "'%'", "'%2$s'"])
            ),
            _ => format!("translate({one}, 'ab', {})", self.text(depth - 1)),
        }
    }

    /// A labelled value, or NULL if it is what was guessed.
    fn guess(&mut self) -> String {
        let (value, guess) = *self.dice.pick(GUESSES);
        format!("nullif({value}, {guess})::text")
    }

    fn small(&mut self) -> String {
        (*self.dice.pick(&["1", "2", "0", "-1", "3", "n", "id", "i", "1 / n", "n - 1"])).to_owned()
    }

    fn pattern(&mut self) -> String {
        let patterns = [
            "'a'",
            "'^\\d+$'",
            "'('",
            "'[z-a]'",
            "'[a-z]{2,3}'",
            "name",
            "'a**'",
            "'\\'",
            "t",
            "'a|b'",
            "'%\\'",
            "'5\\'",
        ];
        (*self.dice.pick(&patterns)).to_owned()
    }

    fn format(&mut self) -> String {
        let formats =
            ["'YYYY-MM-DD'", "'999.99'", "'EEEE9'", "'9.9.9'", "'Month'", "name", "'FM000'", "'HH24:MI'", "'V9V'"];
        (*self.dice.pick(&formats)).to_owned()
    }

    fn number(&mut self, depth: usize) -> String {
        if depth == 0 {
            return (*self.dice.pick(&[
                "i",
                "m",
                "f",
                "n",
                "price",
                "5",
                "nullif(i, 5)",
                "nullif(m, 5)",
                "1 / (id - 1)",
                // Of other types than what they come to stand beside, and refused by some of those.
                "1e400",
                "99999999999",
                "1::float8",
                "1.5",
                "n::oid",
                "strpos(t, '5')",
                "nullif(strpos(t, '5'), 1)",
                "i::int8",
                "nullif(f, 5)",
            ]))
            .to_owned();
        }
        match self.dice.roll(24) {
            16 => format!("CASE WHEN name = 'Abc' THEN {} ELSE {} END", self.number(depth - 1), self.number(depth - 1)),
            17 => format!(
                "{}({}, 1, {}) OVER ()",
                self.dice.pick(&["lag", "lead"]),
                self.number(depth - 1),
                self.number(depth - 1)
            ),
            18 => format!("(ARRAY[{}, {}])[{}]", self.number(depth - 1), self.number(depth - 1), self.small()),
            19 => {
                let (one, other) = (self.number(depth - 1), self.number(depth - 1));
                let joined = [
                    format!("array_append(ARRAY[{one}], {other})"),
                    format!("array_prepend({one}, ARRAY[{other}])"),
                    format!("array_replace(ARRAY[{one}], {one}, {other})"),
                    format!("(ARRAY[{one}] || {other})"),
                    format!("coalesce(nullif(ARRAY[{one}], '{{5}}'), ARRAY[{other}])"),
                ];
                format!("({})[1]", self.dice.pick(&joined))
            }
            20 => format!("(SELECT {} UNION ALL SELECT {} LIMIT 1)", self.number(depth - 1), self.number(depth - 1)),
            21 => format!(
                "(SELECT x FROM (VALUES ({}), ({})) s (x) LIMIT 1)",
                self.number(depth - 1),
                self.number(depth - 1)
            ),
            22 => format!("nullif({}, {})::numeric", self.number(depth - 1), self.number(depth - 1)),
            0 => format!("coalesce({}, {})", self.number(depth - 1), self.number(depth - 1)),
            1 => format!(
                "{}({})",
                self.dice.pick(&["abs", "round", "ceil", "floor", "sign", "trunc"]),
                self.number(depth - 1)
            ),
            2 => format!("length({})", self.text(depth - 1)),
            3 => format!("strpos({}, {})", self.text(depth - 1), self.text(depth - 1)),
            4 => format!("({} + {})", self.number(depth - 1), self.number(depth - 1)),
            23 => {
                let operator = *self.dice.pick(&["+", "-", "*", "/"]);
                let (one, other) =
                    (*self.dice.pick(&["m", "12", "0.5"]), *self.dice.pick(&["m", "12", "0", "0e5", "1e-3"]));
                format!("({one} {operator} {other})")
            }
            5 => format!(
                "{}({}, {})",
                self.dice.pick(&["greatest", "least"]),
                self.number(depth - 1),
                self.number(depth - 1)
            ),
            6 => format!("array_length({}, 1)", self.array(depth - 1)),
            7 => format!("cardinality({})", self.array(depth - 1)),
            8 => format!(
                "{}({})",
                self.dice.pick(&["ascii", "octet_length", "bit_length", "char_length"]),
                self.text(depth - 1)
            ),
            9 => format!("({})::numeric", self.number(depth - 1)),
            10 => format!(
                "extract({} from {})",
                self.dice.pick(&["year", "day", "hour", "bogus"]),
                self.dice.pick(&["d", "ts", "made"])
            ),
            11 => format!(
                "date_part({}, {})",
                self.dice.pick(&["'year'", "'bogus'", "name"]),
                self.dice.pick(&["d", "ts"])
            ),
            12 => format!("round({}, {})", self.number(depth - 1), self.small()),
            13 => format!("num_nulls({}, {})", self.text(depth - 1), self.text(depth - 1)),
            14 => format!("sum({}) OVER ()", self.number(depth - 1)),
            _ => format!("nullif({}, {})", self.number(depth - 1), self.number(depth - 1)),
        }
    }

    /// Days and moments, which become each other where they meet.
    fn moment(&mut self, depth: usize) -> String {
        let Some(inner) = depth.checked_sub(1) else {
            return (*self.dice.pick(&[
                "d",
                "ts",
                "made",
                "nullif(d, '2000-01-01')",
                "nullif(ts, '2000-01-01')",
                "'5000000-01-01'::date",
                "'infinity'",
                "current_date",
                "localtimestamp",
                "'294276-12-31 23:59:59+00'::timestamptz",
            ]))
            .to_owned();
        };
        let (one, other) = (self.moment(inner), self.moment(inner));
        match self.dice.roll(8) {
            0 => format!("coalesce({one}, {other})"),
            1 => format!("nullif({one}, {other})"),
            2 => format!("greatest({one}, {other})"),
            3 => format!("CASE WHEN name = 'Abc' THEN {one} ELSE {other} END"),
            4 => format!("lag({one}, 1, {other}) OVER ()"),
            5 => format!("(ARRAY[{one}, {other}])[1]"),
            6 => format!("(SELECT {one} UNION ALL SELECT {other} LIMIT 1)"),
            _ => one,
        }
    }

    fn truth(&mut self, depth: usize) -> String {
        let Some(inner) = depth.checked_sub(1) else {
            return (*self.dice.pick(&[
                "b",
                "t = '5'",
                "left(t, 1) = '5'",
                "i = 5",
                "1 / (id - 1) > 0",
                "n = 0",
                "t IS NULL",
            ]))
            .to_owned();
        };
        match self.dice.roll(30) {
            23 => format!("({} IN ({}, {}))", self.number(inner), self.number(inner), self.number(inner)),
            24 => format!("({} = ANY (ARRAY[{}, {}]))", self.number(inner), self.number(inner), self.number(inner)),
            25 => format!("({} BETWEEN {} AND {})", self.number(inner), self.number(inner), self.number(inner)),
            26 => format!("({} IS DISTINCT FROM {})", self.number(inner), self.number(inner)),
            27 => format!("({} {} {})", self.moment(inner), self.dice.pick(&["=", "<", ">="]), self.moment(inner)),
            28 => format!("({} IN ({}, {}))", self.moment(inner), self.moment(inner), self.moment(inner)),
            0 => format!("({} AND {})", self.truth(inner), self.truth(inner)),
            1 => format!("({} OR {})", self.truth(inner), self.truth(inner)),
            2 => format!("(NOT {})", self.truth(inner)),
            3 => format!("({} BETWEEN {} AND {})", self.text(inner), self.text(inner), self.text(inner)),
            4 => format!("({} IN ({}, {}))", self.text(inner), self.text(inner), self.text(inner)),
            5 => format!(
                "(({}, {}) = ({}, {}))",
                self.text(inner),
                self.number(inner),
                self.text(inner),
                self.number(inner)
            ),
            6 => format!(
                "(({}, {}) < ({}, {}))",
                self.text(inner),
                self.number(inner),
                self.text(inner),
                self.number(inner)
            ),
            7 => format!(
                "(ROW({}, {}) IS DISTINCT FROM ROW({}, {}))",
                self.text(inner),
                self.number(inner),
                self.text(inner),
                self.number(inner)
            ),
            8 => format!("(ROW({}, {}) IS NULL)", self.text(inner), self.number(inner)),
            9 => format!("({} LIKE {})", self.text(inner), self.pattern()),
            10 => format!("({} {} {})", self.text(inner), self.dice.pick(&["~", "~*", "!~", "^@"]), self.pattern()),
            11 => format!("({} = ANY ({}))", self.text(inner), self.array(inner)),
            12 => format!(
                "({} {} {})",
                self.array(inner),
                self.dice.pick(&["@>", "&&", "=", "<", "<@"]),
                self.array(inner)
            ),
            13 => format!("({} @> {})", self.json(inner), self.dice.pick(&["doc", "j", "'{}'"])),
            14 => format!("({} ? {})", self.json(inner), self.text(inner)),
            15 => "(ia && ARRAY[1])".to_owned(),
            16 => format!("({} {} {})", self.number(inner), self.dice.pick(&["=", "<", ">="]), self.number(inner)),
            17 => format!(
                "((SELECT ROW({}, 1)) = (SELECT ROW('5'::text, {})))",
                self.text(inner),
                self.dice.pick(&["1", "'x'::text"])
            ),
            18 => format!("({} IS NOT NULL)", self.text(inner)),
            19 => format!("starts_with({}, {})", self.text(inner), self.text(inner)),
            20 => format!("({} SIMILAR TO {})", self.text(inner), self.pattern()),
            21 => format!(
                "(({}, {}) IN (('5', 1), ({}, {})))",
                self.text(inner),
                self.number(inner),
                self.text(inner),
                self.number(inner)
            ),
            22 => format!("({} LIKE ANY (ARRAY[{}, {}]))", self.text(inner), self.pattern(), self.pattern()),
            _ => format!("({} = {})", self.text(inner), self.text(inner)),
        }
    }

    fn json(&mut self, depth: usize) -> String {
        if depth == 0 {
            return (*self.dice.pick(&[
                "j",
                "doc",
                "js::jsonb",
                "to_jsonb(t)",
                "to_jsonb(js)",
                "j",
                "nullif(j, '{}')",
            ]))
            .to_owned();
        }
        match self.dice.roll(9) {
            0 => format!("coalesce({}, {})", self.json(depth - 1), self.json(depth - 1)),
            1 => format!("({} -> {})", self.json(depth - 1), self.dice.pick(&["'a'", "1", "name"])),
            2 => format!("to_jsonb({})", self.text(depth - 1)),
            3 => format!("jsonb_build_object({}, {})", self.dice.pick(&["'a'", "name", "t"]), self.text(depth - 1)),
            4 => format!("to_jsonb(coalesce(to_json({}), '\"\\u0000\"'::json))", self.text(depth - 1)),
            5 => format!("jsonb_build_array({}, {})", self.text(depth - 1), self.dice.pick(&["js", "j", "a"])),
            6 => format!("({} || {})", self.json(depth - 1), self.json(depth - 1)),
            7 => format!("({})[{}]", self.json(depth - 1), self.dice.pick(&["'a'", "name", "1 / n"])),
            _ => "to_jsonb(k)".to_owned(),
        }
    }

    fn array(&mut self, depth: usize) -> String {
        let Some(inner) = depth.checked_sub(1) else {
            return (*self.dice.pick(&["a", "words", "nullif(a, '{5}')", "a"])).to_owned();
        };
        match self.dice.roll(8) {
            0 => format!("string_to_array({}, '5')", self.text(inner)),
            1 => format!("ARRAY[{}, {}]", self.text(inner), self.text(inner)),
            2 => format!("({} || {})", self.array(inner), self.array(inner)),
            3 => format!("array_append({}, {})", self.array(inner), self.text(inner)),
            4 => format!("ARRAY(SELECT {})", self.text(inner)),
            5 => format!("coalesce({}, {})", self.array(inner), self.array(inner)),
            6 => format!("regexp_match({}, {})", self.text(inner), self.pattern()),
            _ => format!("({})[1:{}]", self.array(inner), self.small()),
        }
    }
}
