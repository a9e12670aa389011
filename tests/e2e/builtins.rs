//! Everything that a server brings has a verdict: every function, operator, cast, type, relation, column and setting of
//! each supported version, and every function of the extensions that come with it. The servers say what there is; what
//! the analysis does not know stands in the failure by name, until someone has thought about it.

use lockgate_core::Action;
use lockgate_sql::facts::{CatalogFacts, ColumnFacts, FunctionFacts, RelationFacts};
use lockgate_sql::{Catalog, ColumnRule, Context, Outputs, Statement, analyze};
use lockgate_tests::postgres::Postgres;
use serde_json::Value;
use std::collections::BTreeSet;

/// Settings that any role may change and a client of the gateway may not: they change how text is read, what is
/// logged, which rights apply, or what runs.
const REFUSED_SETTINGS: &[&str] = &[
    "allow_in_place_tablespaces",
    "backslash_quote",
    "backtrace_functions",
    "client_encoding",
    "cpu_index_tuple_cost",
    "cpu_operator_cost",
    "cpu_tuple_cost",
    "createrole_self_grant",
    "cursor_tuple_fraction",
    "debug_logical_replication_streaming",
    "debug_parallel_query",
    "debug_pretty_print",
    "debug_print_parse",
    "debug_print_plan",
    "debug_print_rewritten",
    "default_with_oids",
    "dynamic_library_path",
    "effective_cache_size",
    "event_triggers",
    "exit_on_error",
    "extension_control_path",
    "file_copy_method",
    "force_parallel_mode",
    "ignore_checksum_failure",
    "ignore_system_indexes",
    "local_preload_libraries",
    "log_parameter_max_length_on_error",
    "random_page_cost",
    "restrict_nonsystem_relation_kind",
    "role",
    "row_security",
    "scram_iterations",
    "seq_page_cost",
    "session_authorization",
    "session_replication_role",
    "ssl_renegotiation_limit",
    "standard_conforming_strings",
    "trace_notify",
    "trace_sort",
    "transform_null_equals",
    "wal_sender_timeout",
];
/// Settings that need a superuser, and are open all the same: they concern waiting and the language of messages.
const OPEN_SETTINGS: &[&str] = &["commit_delay", "deadlock_timeout", "lc_messages"];

/// What calling a function takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    /// Its arguments and nothing else.
    Pure,
    /// Code or state that is seen into.
    Acts,
    /// It may tell anything labelled.
    Tells,
    /// Code that cannot be seen into.
    Execute,
    /// The right to administer the target.
    Administer,
    /// Nothing is said of it: refused, for want of a line in the table.
    Unknown,
}

struct Judge {
    catalog: Catalog,
    path: Vec<String>,
}

impl Judge {
    fn of(version: u32, functions: Vec<FunctionFacts>) -> Judge {
        let secret = RelationFacts {
            oid: 20_000,
            schema: "public".into(),
            name: "people".into(),
            kind: 'r',
            columns: vec![ColumnFacts {
                number: 1,
                name: "ssn".into(),
                type_oid: 25,
                typmod: -1,
                ..ColumnFacts::default()
            }],
            ..RelationFacts::default()
        };
        let facts = CatalogFacts {
            server_version: version * 10_000,
            relations: vec![secret],
            functions,
            ..CatalogFacts::default()
        };
        let rule = ColumnRule { label: "pii/ssn".parse().unwrap(), pattern: "public.people.ssn".into() };
        let path = ["pg_catalog", "public"].map(str::to_owned).to_vec();
        Judge { catalog: Catalog::build(facts, &[rule], &[]), path }
    }

    fn statement(&self, sql: &str) -> Statement {
        let context = Context { catalog: &self.catalog, search_path: &self.path, path_known: true };
        let mut batch = analyze(sql, &context).unwrap_or_else(|refused| panic!("{sql}: {refused}"));
        assert_eq!(batch.statements.len(), 1, "{sql}");
        batch.statements.remove(0)
    }

    fn call(&self, schema: &str, name: &str) -> Verdict {
        let statement = self.statement(&format!("SELECT \"{schema}\".\"{name}\"()"));
        let needs = |action| statement.needs.iter().any(|n| n.action == action);
        if statement.needs.iter().any(|n| n.why.contains("not known")) {
            Verdict::Unknown
        } else if needs(Action::Administer) {
            Verdict::Administer
        } else if needs(Action::Execute) {
            Verdict::Execute
        } else if !statement.outputs.is_clean() {
            Verdict::Tells
        } else if needs(Action::Write) || !self.keeps_labels(schema, name) {
            Verdict::Acts
        } else {
            Verdict::Pure
        }
    }

    /// Whether a value that the function is given goes nowhere but into its result.
    fn keeps_labels(&self, schema: &str, name: &str) -> bool {
        let statement = self.statement(&format!("SELECT \"{schema}\".\"{name}\"(ssn) FROM people"));
        !statement.uses.iter().any(|u| u.how == lockgate_sql::How::Source)
    }

    fn columns(&self, from: &str) -> Option<Vec<(String, bool)>> {
        match self.statement(&format!("SELECT * FROM {from}")).outputs {
            Outputs::Known(outputs) => Some(outputs.into_iter().map(|o| (o.name, !o.value.is_clean())).collect()),
            _ => None,
        }
    }
}

fn rows(server: &Postgres, database: &str, query: &str) -> Vec<Vec<String>> {
    let json = server.sql(database, &format!("SELECT coalesce(json_agg(row_to_json(q)), '[]') FROM ({query}) q"));
    let rows: Vec<serde_json::Map<String, Value>> = serde_json::from_str(&json).expect("JSON");
    rows.into_iter()
        .map(|row| row.into_iter().map(|(_, v)| v.as_str().map_or_else(|| v.to_string(), str::to_owned)).collect())
        .collect()
}

fn everything_has_a_verdict(version: u32) {
    let server = Postgres::shared(version);
    let judge = Judge::of(version, Vec::new());
    let rows = |query: &str| rows(server, "template1", query);
    let mut missing = BTreeSet::new();

    let functions = rows(
        "SELECT n.nspname AS a, p.proname AS b, bool_or(p.prokind = 'a')::text AS c, bool_or(p.proretset)::text AS d
         FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace WHERE p.oid < 16384 GROUP BY 1, 2",
    );
    for function in &functions {
        let [schema, name, aggregate, set] = function.as_slice() else { panic!("{function:?}") };
        if judge.call(schema, name) == Verdict::Unknown {
            missing.insert(format!("function {schema}.{name}"));
            continue;
        }
        // How many rows come of a labelled value tells the value.
        let spread = judge.statement(&format!("SELECT \"{schema}\".\"{name}\"(ssn) FROM people LIMIT 1"));
        if set == "true" && !spread.uses.iter().any(|u| u.how == lockgate_sql::How::Predicate) {
            missing.insert(format!("function {schema}.{name} returns rows"));
        }
        let bounded = !judge
            .statement(&format!("SELECT \"{schema}\".\"{name}\"(ssn) FROM people"))
            .needs
            .iter()
            .any(|n| n.action == Action::Export);
        if bounded && aggregate == "false" {
            missing.insert(format!("function {schema}.{name} is no aggregate"));
        }
    }

    // What operators, casts, types and the server's own indexes call does nothing but compute.
    let called = rows(
        "SELECT DISTINCT what AS a, n.nspname AS b, p.proname AS c FROM (
            SELECT 'operator ' || oprname AS what, oprcode::oid AS f FROM pg_operator WHERE oid < 16384 AND oprcode <> 0
            UNION ALL SELECT 'cast to ' || format_type(casttarget, NULL), castfunc::oid FROM pg_cast
               WHERE oid < 16384 AND castfunc <> 0
            UNION ALL SELECT 'type ' || typname, f::oid FROM pg_type,
               LATERAL (VALUES (typinput), (typoutput), (typreceive), (typsend), (typmodin), (typmodout)) v (f)
               WHERE oid < 16384 AND f <> 0
            UNION ALL SELECT 'operator class', amproc::oid FROM pg_amproc WHERE oid < 16384) q
         JOIN pg_proc p ON p.oid = f JOIN pg_namespace n ON n.oid = p.pronamespace",
    );
    for call in &called {
        let [what, schema, name] = call.as_slice() else { panic!("{call:?}") };
        if judge.call(schema, name) != Verdict::Pure {
            missing.insert(format!("{what} calls {schema}.{name}"));
        }
    }
    let operators = rows("SELECT DISTINCT oprname AS a FROM pg_operator WHERE oid < 16384");
    for operator in operators.iter().flatten() {
        let statement = judge.statement(&format!("SELECT ssn OPERATOR(pg_catalog.{operator}) ssn FROM people LIMIT 1"));
        if statement.outputs.is_clean() || statement.facts.opaque {
            missing.insert(format!("operator {operator}"));
        }
    }

    let relations = rows(
        "SELECT n.nspname AS a, c.relname AS b, string_agg(a.attname, ' ' ORDER BY attnum) AS c
         FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace JOIN pg_attribute a ON a.attrelid = c.oid
         WHERE c.oid < 16384 AND c.relkind IN ('r', 'v', 'm', 'p', 'f', 't', 'S') AND attnum > 0 AND NOT attisdropped
         GROUP BY 1, 2",
    );
    let mut columns = 0;
    for relation in &relations {
        let [schema, name, real] = relation.as_slice() else { panic!("{relation:?}") };
        let from = format!("\"{schema}\".\"{name}\"");
        if schema == "pg_toast" {
            // Parts of other relations' values, by number.
            let needs = judge.statement(&format!("SELECT * FROM {from}")).needs;
            assert!(needs.iter().any(|n| n.action == Action::Administer), "{from}");
            continue;
        }
        let known = judge.columns(&from).unwrap_or_default();
        columns += known.len();
        let known: Vec<&str> = known.iter().map(|(name, _)| name.as_str()).collect();
        if known.join(" ") != *real {
            missing.insert(format!("relation {from}: {}, and not {real}", known.join(" ")));
        }
    }

    // What a call gives in FROM has the columns that it is said to have, or it is not said.
    let results = rows(
        "SELECT schema AS a, name AS b, string_agg(DISTINCT shape, '|') AS c, arguments::text AS d FROM (
           SELECT n.nspname AS schema, p.proname AS name, m AS arguments,
             CASE WHEN outs[2] IS NOT NULL THEN array_to_string(outs, ' ')
               WHEN t.typtype IN ('b', 'e', 'r', 'm') OR t.typname IN ('void', 'cstring') THEN coalesce(outs[1], p.proname)
               WHEN t.typname IN ('anyarray', 'anycompatiblearray', 'anyenum') OR t.typname LIKE 'any%range' THEN p.proname
               ELSE '?' END AS shape
           FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace JOIN pg_type t ON t.oid = p.prorettype,
             LATERAL (SELECT ARRAY(SELECT proargnames[i] FROM generate_series(1, cardinality(proargmodes)) i
               WHERE proargmodes[i] IN ('o', 'b', 't') ORDER BY i) AS outs) o,
             generate_series(pronargs - pronargdefaults, pronargs + CASE WHEN provariadic = 0 THEN 0 ELSE 2 END) m
           WHERE p.oid < 16384 AND prokind = 'f' AND t.typname NOT IN ('internal', 'trigger', 'event_trigger', 'unknown')
             AND t.typname NOT LIKE '%handler' AND t.typname <> 'pg_ddl_command') q GROUP BY 1, 2, 4",
    );
    let mut told = 0;
    for result in &results {
        let [schema, name, real, arguments] = result.as_slice() else { panic!("{result:?}") };
        let arguments = vec!["NULL::int"; arguments.parse().expect("a number")].join(", ");
        let call = format!("\"{schema}\".\"{name}\"({arguments})");
        let known = judge.columns(&call).map(|known| known.into_iter().map(|(n, _)| n).collect::<Vec<_>>().join(" "));
        told += usize::from(known.is_some());
        let certain = !real.contains(['|', '?']);
        if known.as_ref().is_some_and(|known| known != real) || (certain && known.is_none()) {
            missing.insert(format!("columns of {call}: {known:?}, and not {real}"));
        }
    }
    assert!(told > 2_000, "{told} shapes");

    let settings = rows("SELECT name AS a, context AS b FROM pg_settings WHERE name NOT LIKE '%.%'");
    let mut open = 0;
    for setting in &settings {
        let [name, context] = setting.as_slice() else { panic!("{setting:?}") };
        let statement = judge.statement(&format!("SET \"{name}\" = 'x'"));
        let harmless = !statement.needs.iter().any(|n| n.action == Action::Administer);
        open += usize::from(harmless);
        // Which plan is taken decides in which order rows are found.
        let refused = REFUSED_SETTINGS.contains(&name.as_str()) || name.starts_with("enable_");
        let expected = (context == "user" && !refused) || OPEN_SETTINGS.contains(&name.as_str());
        if harmless != expected {
            missing.insert(format!("setting {name} ({context})"));
        }
    }

    println!(
        "PostgreSQL {version}: {} functions, {} operators, {} calls by operators, casts, types and operator classes, \
         {} relations with {columns} columns, {} settings of which {open} are open",
        functions.len(),
        operators.len(),
        called.len(),
        relations.len(),
        settings.len()
    );
    assert!(functions.len() > 2_500 && relations.len() > 190 && settings.len() > 300);
    assert!(missing.is_empty(), "PostgreSQL {version}, no verdict on: {missing:#?}");
}

/// Extensions whose functions depend on their arguments only, and those of them that do not.
const PURE_EXTENSIONS: &[(&str, &[&str])] = &[
    ("bloom", &[]),
    ("btree_gin", &[]),
    ("btree_gist", &[]),
    ("citext", &[]),
    ("cube", &[]),
    ("dict_int", &[]),
    ("dict_xsyn", &[]),
    ("earthdistance", &[]),
    ("fuzzystrmatch", &[]),
    ("hstore", &[]),
    ("intarray", &[]),
    ("isn", &[]),
    ("ltree", &[]),
    ("pg_trgm", &[]),
    ("pgcrypto", &[]),
    ("seg", &[]),
    ("tsm_system_rows", &[]),
    ("tsm_system_time", &[]),
    ("unaccent", &[]),
    ("uuid-ossp", &[]),
    ("xml2", &["xpath_table"]),
];
/// Extensions that reach files, other servers, raw storage or other sessions.
const REACHING_EXTENSIONS: &[&str] = &[
    "adminpack",
    "amcheck",
    "dblink",
    "file_fdw",
    "lo",
    "old_snapshot",
    "pageinspect",
    "pg_buffercache",
    "pg_freespacemap",
    "pg_logicalinspect",
    "pg_prewarm",
    "pg_surgery",
    "pg_visibility",
    "pg_walinspect",
    "pgrowlocks",
    "pgstattuple",
    "postgres_fdw",
    "sslinfo",
];

fn extensions_are_unknown_unless_listed(version: u32) {
    let server = Postgres::shared(version);
    let database = server.database("SELECT 1");
    let available = rows(
        server,
        &database,
        "SELECT name AS a FROM pg_available_extensions WHERE name <> 'plpgsql' AND name !~ '(perl|python|tcl)' ORDER BY 1",
    );
    let mut created = BTreeSet::new();
    for name in available.iter().flatten() {
        server.sql(&database, &format!("CREATE EXTENSION \"{name}\" CASCADE"));
        created.insert(name.as_str());
    }
    for must in ["dblink", "file_fdw", "lo", "pageinspect", "pgstattuple", "postgres_fdw", "tablefunc"] {
        assert!(created.contains(must), "PostgreSQL {version} comes without {must}");
    }
    let functions = rows(
        server,
        &database,
        "SELECT DISTINCT e.extname AS a, n.nspname AS b, p.proname AS c, l.lanname AS d
         FROM pg_depend d JOIN pg_extension e ON e.oid = d.refobjid AND d.refclassid = 'pg_extension'::regclass
         JOIN pg_proc p ON p.oid = d.objid AND d.classid = 'pg_proc'::regclass
         JOIN pg_namespace n ON n.oid = p.pronamespace JOIN pg_language l ON l.oid = p.prolang
         WHERE d.deptype = 'e' AND p.oid >= 16384",
    );
    let mut wrong = BTreeSet::new();
    for function in &functions {
        let [extension, schema, name, language] = function.as_slice() else { panic!("{function:?}") };
        let facts = FunctionFacts {
            oid: 30_000,
            schema: schema.clone(),
            name: name.clone(),
            language: language.clone(),
            kind: 'f',
            volatility: 'i',
            return_type: 25,
            arguments_max: usize::MAX,
            extension: Some(extension.clone()),
            ..FunctionFacts::default()
        };
        let judge = Judge::of(version, vec![facts]);
        let verdict = judge.call(schema, name);
        let pure = PURE_EXTENSIONS.iter().find(|(e, _)| e == extension);
        let expected = match pure {
            Some((_, exceptions)) if !exceptions.contains(&name.as_str()) => Verdict::Pure,
            None if extension == "tablefunc" && name == "normal_rand" => Verdict::Pure,
            None if REACHING_EXTENSIONS.contains(&extension.as_str()) => Verdict::Administer,
            _ => Verdict::Execute,
        };
        if verdict != expected {
            wrong.insert(format!("{extension}: {name} is {verdict:?} and not {expected:?}"));
        }
    }
    println!("PostgreSQL {version}: {} functions of {} extensions", functions.len(), created.len());
    assert!(functions.len() > 700, "{}", functions.len());
    assert!(wrong.is_empty(), "PostgreSQL {version}: {wrong:#?}");
}

/// The numbers by which stored expressions are searched for the server's own functions that change settings or run texts.
fn what_runs_texts_has_these_numbers(version: u32) {
    let all = lockgate_sql::catalog_query::SNAPSHOT_SQL.concat();
    let start = all.find("':funcid (").expect("a pattern");
    let pattern = all[start..].split(')').next().expect("its numbers");
    let classes = include_str!("../../crates/sql/data/functions.txt").lines().filter_map(|line| line.split_once(' '));
    let runs = classes.filter(|(class, _)| class.starts_with(['q', 'd'])).map(|(_, name)| name);
    let names: Vec<String> = runs.chain(["set_config"]).map(|name| format!("'{name}'")).collect();
    let wrong = rows(
        Postgres::shared(version),
        "template1",
        &format!(
            "SELECT p.oid::text AS a, p.proname AS b FROM pg_proc p WHERE p.oid < 16384
             AND (concat(':funcid ', p.oid, ' ') ~ {pattern}) ') <> (p.proname = ANY (ARRAY[{}]))",
            names.join(", ")
        ),
    );
    assert!(wrong.is_empty(), "{version}: {wrong:?}");
    assert!(names.len() > 10, "{names:?}");
}

#[test]
fn postgresql_15() {
    everything_has_a_verdict(15);
    extensions_are_unknown_unless_listed(15);
    what_runs_texts_has_these_numbers(15);
}

#[test]
fn postgresql_16() {
    everything_has_a_verdict(16);
    extensions_are_unknown_unless_listed(16);
    what_runs_texts_has_these_numbers(16);
}

#[test]
fn postgresql_17() {
    everything_has_a_verdict(17);
    extensions_are_unknown_unless_listed(17);
    what_runs_texts_has_these_numbers(17);
}

#[test]
fn postgresql_18() {
    everything_has_a_verdict(18);
    extensions_are_unknown_unless_listed(18);
    what_runs_texts_has_these_numbers(18);
}
