//! What is said of a statement, as a table: the statement, what it needs, where its output comes from, what it uses.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test may fail")]

mod shop;

use lockgate_sql::{Catalog, Context, Operand, Outputs, Statement, Taint, Use, analyze};

fn taint(catalog: &Catalog, taint: &Taint) -> String {
    let mut names: Vec<String> = taint
        .columns()
        .iter()
        .map(|id| catalog.labelled(*id).map(|c| format!("{}.{}", c.table, c.column)).unwrap())
        .collect();
    if taint.is_unknown() {
        names.push("?".into());
    }
    names.join("+")
}

/// `verb | needs | outputs | uses`. An output is a name, `!` if plain, `:` and its columns if it has any.
fn render(catalog: &Catalog, s: &Statement) -> String {
    let needs: Vec<String> = s
        .needs
        .iter()
        .map(|n| match n.object.to_string().as_str() {
            "the target" => n.action.to_string(),
            object => format!("{} {}", n.action, object.trim_start_matches("public.")),
        })
        .collect();
    let outputs = match &s.outputs {
        Outputs::NoRows => "-".to_owned(),
        Outputs::Each(t) => format!("each:{}", taint(catalog, t)),
        Outputs::Known(outputs) => outputs
            .iter()
            .map(|o| match (taint(catalog, &o.value), o.plain) {
                (t, _) if t.is_empty() => o.name.clone(),
                (t, true) => format!("{}!:{t}", o.name),
                (t, false) => format!("{}:{t}", o.name),
            })
            .collect::<Vec<_>>()
            .join(", "),
    };
    let used = |u: &Use| {
        let value = u.probe.as_ref().map(|probe| match &probe.operand {
            Operand::Constant(text) => format!(" = '{text}'{}", if probe.rows_tell { "" } else { " in one row" }),
            Operand::Parameter(number) => format!(" = ${number}{}", if probe.rows_tell { "" } else { " in one row" }),
        });
        format!("{} {}{}", u.how.name(), taint(catalog, &u.taint), value.unwrap_or_default())
    };
    let uses: Vec<String> = s.uses.iter().map(used).collect();
    let mut facts = String::new();
    for change in &s.facts.changes {
        let filtered = if change.has_where { " where" } else { "" };
        facts.push_str(&format!(" [{} {}{filtered}]", change.verb, change.table.trim_start_matches("public.")));
    }
    for (fact, word) in [(s.facts.has_where, " where"), (s.facts.has_limit, " limit"), (s.facts.opaque, " opaque")] {
        facts.push_str(if fact { word } else { "" });
    }
    let parts = [s.verb.to_owned(), needs.join(", "), outputs, uses.join(", "), facts.trim_start().to_owned()];
    parts.join(" | ").trim_end_matches([' ', '|']).to_owned()
}

#[test]
fn table() {
    let catalog = shop::catalog();
    let path = shop::PATH.map(str::to_owned);
    let context = Context { catalog: &catalog, search_path: &path, path_known: true };
    let tables = [
        include_str!("analysis.txt"),
        include_str!("analysis_reach.txt"),
        include_str!("analysis_names.txt"),
        include_str!("analysis_fails.txt"),
    ];
    let mut failures = String::new();
    let mut cases = 0;
    for block in tables.iter().flat_map(|table| table.split("\n\n")).map(str::trim).filter(|b| !b.is_empty()) {
        if block.starts_with('#') {
            assert!(!block.contains("\n  => "), "no blank line between a comment and a case: {block}");
            continue;
        }
        let Some((sql, expected)) = block.split_once("\n  => ") else { panic!("no answer in: {block}") };
        let got = match analyze(sql, &context) {
            Ok(batch) => batch.statements.iter().map(|s| render(&catalog, s)).collect::<Vec<_>>().join("\n  => "),
            Err(refused) => format!("refused: {refused}"),
        };
        cases += 1;
        if got != expected {
            failures.push_str(&format!("{sql}\n  => {got}\n   instead of\n  => {expected}\n\n"));
        }
    }
    assert!(cases > 100, "{cases} cases");
    assert!(failures.is_empty(), "{failures}");
}

fn one(catalog: &Catalog, path: &[&str], path_known: bool, sql: &str) -> Statement {
    let path: Vec<String> = path.iter().map(|p| (*p).to_owned()).collect();
    let context = Context { catalog, search_path: &path, path_known };
    analyze(sql, &context).unwrap().statements.remove(0)
}

#[test]
fn names_follow_the_search_path() {
    let catalog = shop::catalog();
    let output = |path: &[&str], known, sql: &str| match one(&catalog, path, known, sql).outputs {
        Outputs::Known(outputs) => taint(&catalog, &outputs[0].value),
        other => format!("{other:?}"),
    };
    let sql = "SELECT ssn FROM customers WHERE id = 1";
    assert_eq!(output(&["pg_catalog", "public"], true, sql), "customers.ssn");
    assert_eq!(output(&["pg_catalog", "scratch", "public"], true, sql), "");
    // Which of the two it is nobody knows.
    assert_eq!(output(&["pg_catalog", "scratch", "public"], false, sql), "?");
    // A view keeps meaning what it meant when it was made.
    assert_eq!(output(&["pg_catalog", "scratch", "public"], true, "SELECT b FROM public.v_renamed"), "customers.ssn");
    // A body with bare names means what its caller's path makes of them.
    assert_eq!(output(&["pg_catalog", "public"], true, "SELECT public.get_ssn(1)"), "customers.ssn");
    // A function of the same name before or after the built-in one may be meant.
    let calls = |path: &[&str]| one(&catalog, path, true, "SELECT lower('X')").facts.opaque;
    assert!(!calls(&["pg_catalog", "public"]));
    assert!(calls(&["pg_catalog", "evil"]));
}

#[test]
fn what_is_looked_up_while_a_statement_runs() {
    use lockgate_sql::Later;
    let catalog = shop::catalog();
    let facts = |sql: &str| one(&catalog, &["pg_catalog", "public"], true, sql).facts;
    for (sql, later, keeps) in [
        ("SELECT upper(region), count(*) FROM customers GROUP BY 1", Later::Nothing, false),
        ("SELECT public.get_ssn(1)", Later::Known, false),
        ("DECLARE c CURSOR FOR SELECT public.get_ssn(1)", Later::Known, false),
        ("EXPLAIN ANALYZE SELECT public.get_ssn(1)", Later::Known, false),
        ("SELECT query_to_xml('SELECT 1', true, true, '')", Later::Known, false),
        ("SELECT nobody_knows_it(1)", Later::Anything, false),
        ("SELECT pg_get_viewdef('public.v_renamed'::regclass)", Later::Anything, false),
        ("SELECT set_config('a.b', region, false) FROM customers", Later::Nothing, true),
        ("SELECT pg_notify('c', region) FROM customers", Later::Nothing, true),
    ] {
        let facts = facts(sql);
        assert_eq!((facts.later, facts.keeps), (later, keeps), "{sql}");
    }
}

#[test]
fn a_temporary_table_comes_first() {
    let mut facts = shop::facts();
    facts.temp_schema = Some("pg_temp_3".into());
    let mut shadow = facts.relations.iter().find(|r| r.schema == "scratch").unwrap().clone();
    shadow.oid = 20_000;
    shadow.schema = "pg_temp_3".into();
    facts.relations.push(shadow);
    let rule = lockgate_sql::ColumnRule { label: "pii".parse().unwrap(), pattern: "*.customers.ssn".into() };
    let catalog = Catalog::build(facts, &[rule], &[]);
    for (sql, schema) in [
        ("SELECT ssn FROM customers", "pg_temp_3"),
        ("SELECT ssn FROM pg_temp.customers", "pg_temp_3"),
        ("SELECT ssn FROM public.customers", "public"),
    ] {
        let statement = one(&catalog, &shop::PATH, true, sql);
        let Outputs::Known(outputs) = &statement.outputs else { panic!("{sql}") };
        let column = catalog.labelled(outputs[0].value.columns()[0]).unwrap();
        assert_eq!(column.schema, schema, "{sql}");
    }
    // What is made and dropped of them is nothing to others, and what else is.
    for (sql, alone) in [
        ("CREATE TEMP TABLE t (id int PRIMARY KEY)", true),
        ("CREATE TEMP TABLE t AS SELECT 1", true),
        ("SELECT 1 INTO TEMP t", true),
        ("DROP TABLE customers", true),
        ("DROP TABLE IF EXISTS pg_temp.customers", true),
        ("DROP TABLE customers CASCADE", false),
        ("DROP TABLE customers, public.customers", false),
        ("DROP TABLE public.customers", false),
        ("DROP TABLE IF EXISTS nobody", false),
        ("DROP VIEW customers", false),
        ("CREATE TEMP TABLE t () INHERITS (public.customers)", false),
        ("CREATE TABLE t (id int)", false),
        ("CREATE TABLE t AS SELECT 1", false),
        ("SELECT 1 INTO t", false),
        ("SELECT 1", false),
    ] {
        assert_eq!(one(&catalog, &shop::PATH, true, sql).facts.temporary, alone, "{sql}");
    }
}

#[test]
fn row_descriptions_can_be_checked() {
    let catalog = shop::catalog();
    let at = |oid, number| taint(&catalog, &catalog.by_oid(oid, number));
    assert_eq!(at(16_400, 3), "customers.ssn");
    assert_eq!(at(16_400, 2), "");
    assert_eq!(at(16_400, -1), "");
    assert_eq!(at(16_400, 99), "?");
    assert_eq!(at(16_400, 0), "customers.ssn+customers.email+customers.phone+customers.salary");
    assert_eq!(at(16_411, 2), "customers.ssn");
    assert_eq!(at(16_406, 2), "payments.card_pan");
    assert_eq!(at(1_259, 1), "");
    assert_eq!(at(99_999, 1), "?");
}

#[test]
fn effects_on_the_session() {
    use lockgate_sql::{Effect, NewPath};
    let catalog = shop::catalog();
    let effect = |sql: &str| one(&catalog, &shop::PATH, true, sql).effect;
    assert_eq!(effect("SELECT 1"), Effect::None);
    assert_eq!(effect("START TRANSACTION"), Effect::Begin);
    assert_eq!(effect("END AND CHAIN"), Effect::Commit { chain: true });
    assert_eq!(effect("ABORT"), Effect::Rollback { chain: false });
    assert_eq!(effect("ROLLBACK TO SAVEPOINT a"), Effect::RollbackTo("a".into()));
    assert_eq!(effect("SET search_path = \"A\", b"), Effect::SetPath(NewPath::Known(vec!["A".into(), "b".into()])));
    assert_eq!(effect("RESET search_path"), Effect::SetPath(NewPath::Unknown));
    assert_eq!(effect("SELECT set_config('search_path', 'x', false)"), Effect::SetPath(NewPath::Unknown));
    assert_eq!(effect("SET TIME ZONE 'UTC'"), Effect::Set { name: "timezone".into() });
    // What makes the server read texts otherwise is not what leaves it as it is.
    for (text, changes) in [
        ("SET client_encoding = 'UTF8'", false),
        ("SET NAMES 'SJIS'", true),
        ("RESET client_encoding", true),
        ("SET standard_conforming_strings = on", false),
        ("SET standard_conforming_strings = 0", true),
        ("SELECT set_config('client_encoding', 'SJIS', false)", true),
        ("SELECT set_config('client_encoding', 'UTF8', false)", false),
    ] {
        assert_eq!(effect(text) == Effect::SetPath(NewPath::Unknown), changes, "{text}");
    }
    assert_eq!(effect("CREATE TABLE t (a int)"), Effect::Define);
    assert_eq!(effect("DEALLOCATE PREPARE p"), Effect::Deallocate(Some("p".into())));
    assert_eq!(effect("MOVE 2 FROM c"), Effect::Move { name: "c".into() });
    assert_eq!(effect("UNLISTEN *"), Effect::Unlisten(None));
    let Effect::Prepare { name, inner, parameters } =
        effect("PREPARE p(int) AS SELECT ssn FROM customers WHERE id = $1")
    else {
        panic!()
    };
    assert_eq!((name.as_str(), parameters, inner.outputs.is_clean()), ("p", 1, false));
    let Effect::DeclareCursor { hold, inner, .. } = effect("DECLARE c CURSOR WITH HOLD FOR SELECT ssn FROM customers")
    else {
        panic!()
    };
    assert!(hold && !inner.outputs.is_clean());
}

#[test]
fn copy_formats() {
    use lockgate_sql::{CopyKind, Effect, ForceQuote};
    let catalog = shop::catalog();
    let format = |sql: &str| match one(&catalog, &shop::PATH, true, sql).effect {
        Effect::CopyOut(format) | Effect::CopyIn(format) => format,
        other => panic!("{other:?}"),
    };
    let text = format("COPY kv TO STDOUT");
    assert_eq!((text.kind, text.delimiter, text.null.as_str(), text.header), (CopyKind::Text, b'\t', "\\N", false));
    let csv = format("COPY kv TO STDOUT (FORMAT csv, DELIMITER ';', QUOTE '''', HEADER, NULL 'nil', FORCE_QUOTE (v))");
    assert_eq!((csv.kind, csv.delimiter, csv.quote, csv.escape), (CopyKind::Csv, b';', b'\'', b'\''));
    assert_eq!((csv.null.as_str(), csv.header), ("nil", true));
    assert_eq!(csv.force_quote, ForceQuote::Columns(vec!["v".into()]));
    assert_eq!(format("COPY kv TO STDOUT WITH CSV HEADER FORCE QUOTE *").force_quote, ForceQuote::All);
    assert_eq!(format("COPY BINARY kv TO STDOUT").kind, CopyKind::Binary);
    assert!(!format("COPY kv TO STDOUT (FORMAT csv, HEADER false)").header);
    let odd = one(&catalog, &shop::PATH, true, "COPY kv TO STDOUT (FORMAT parquet)");
    assert_eq!(odd.effect, Effect::None);
    assert!(odd.needs.iter().any(|n| n.action == lockgate_core::Action::Administer));
}

#[test]
fn a_database_without_labels_masks_nothing() {
    let catalog = Catalog::build(shop::facts(), &[], &[]);
    for sql in
        ["SELECT * FROM customers", "SELECT * FROM nowhere", "SELECT dyn('x')", "SELECT query FROM pg_stat_activity"]
    {
        let statement = one(&catalog, &shop::PATH, true, sql);
        assert!(statement.uses.is_empty(), "{sql}");
    }
    assert!(one(&catalog, &shop::PATH, true, "SELECT * FROM customers").outputs.is_clean());
}

#[test]
fn ranges_are_those_of_the_statements() {
    let catalog = shop::catalog();
    let path = shop::PATH.map(str::to_owned);
    let context = Context { catalog: &catalog, search_path: &path, path_known: true };
    let text = " SELECT 1 ;; SELECT 'ä;' ; -- x\n SELECT 3";
    let batch = analyze(text, &context).unwrap();
    let parts: Vec<&str> = batch.statements.iter().map(|s| &text[s.range.clone()]).collect();
    assert_eq!(parts, ["SELECT 1", "SELECT 'ä;'", "SELECT 3"]);
    assert!(analyze(" ; ", &context).unwrap().statements.is_empty());
    assert!(analyze("", &context).unwrap().statements.is_empty());
}

#[test]
fn what_only_a_later_grammar_has_is_a_name_to_an_older_server() {
    let body = "SELECT ssn FROM public.customers WHERE id = 1";
    let value = |version: i32, named: &str, sql: &str| {
        let mut facts = shop::facts();
        facts.server_version = u32::try_from(version).unwrap();
        let mut function = facts.functions.iter().find(|f| f.name == "get_ssn").unwrap().clone();
        function.oid = 30_000;
        function.name = named.into();
        function.source = body.into();
        (function.arguments_min, function.arguments_max) = (0, 9);
        facts.functions.push(function);
        let rule = lockgate_sql::ColumnRule { label: "pii".parse().unwrap(), pattern: "*.customers.ssn".into() };
        let catalog = Catalog::build(facts, &[rule], &[]);
        let statement = one(&catalog, &shop::PATH, true, sql);
        let told: Taint = match statement.outputs {
            Outputs::Known(outputs) => outputs.into_iter().fold(Taint::CLEAN, |all, o| all.with(&o.value)),
            Outputs::Each(all) => all,
            Outputs::NoRows => Taint::CLEAN,
        };
        !told.is_clean() || !statement.uses.is_empty()
    };
    for (since, named, sql) in [
        (160_000, "x", "SELECT system_user || '' FROM (SELECT ssn AS \"system_user\" FROM customers) s"),
        (
            160_000,
            "x",
            "SELECT id FROM (SELECT id, ssn AS \"system_user\" FROM customers) s WHERE system_user LIKE '5%'",
        ),
        (160_000, "x", "SELECT (SELECT ssn FROM customers LIMIT 1) AS \"system_user\", k FROM kv ORDER BY system_user"),
        (160_000, "json_array", "SELECT json_array(1)"),
        (160_000, "json_array", "SELECT * FROM json_array(1) AS j(a, b)"),
        (160_000, "json_arrayagg", "SELECT json_arrayagg(k) FROM kv"),
        (170_000, "json_scalar", "SELECT json_scalar(1)"),
        (170_000, "json_value", "SELECT json_value('{}', '$')"),
        (170_000, "json_query", "SELECT json_query('{}', '$')"),
        (170_000, "json_exists", "SELECT json_exists('{}', '$')"),
        (170_000, "json_serialize", "SELECT json_serialize('{}')"),
        (170_000, "json", "SELECT json('{}')"),
    ] {
        assert!(value(since - 10_000, named, sql), "{sql} before {since}");
    }
    assert!(!value(170_000, "json_scalar", "SELECT json_scalar(1)"));
    assert!(!value(150_000, "x", "SELECT json_scalar(1), json_array(1)"));
}

#[test]
fn a_body_means_what_the_path_of_each_caller_makes_of_it() {
    let mut facts = shop::facts();
    let mut function = facts.functions.iter().find(|f| f.name == "get_ssn").unwrap().clone();
    function.source = "SELECT ssn FROM customers WHERE id = 1".into();
    function.search_path = None;
    for (oid, name, body) in [(30_000, "bare", None), (30_001, "around", Some("SELECT public.bare()"))] {
        function.oid = oid;
        function.name = name.into();
        function.body = body.map(|sql| lockgate_sql::facts::Code::Sql(format!("BEGIN ATOMIC {sql}; END")));
        (function.arguments_min, function.arguments_max) = (0, 0);
        facts.functions.push(function.clone());
    }
    let mut view = facts.relations.iter().find(|r| r.name == "v_nested").unwrap().clone();
    (view.oid, view.name) = (30_100, "v_bare".into());
    view.definition = Some(lockgate_sql::facts::Code::Sql("SELECT 1 AS k, public.bare() AS label".into()));
    facts.relations.push(view);
    let rule = lockgate_sql::ColumnRule { label: "pii".parse().unwrap(), pattern: "public.customers.ssn".into() };
    let catalog = Catalog::build(facts, &[rule], &[]);
    let told = |path: &[&str], sql: &str| match one(&catalog, path, true, sql).outputs {
        Outputs::Known(outputs) => !outputs[0].value.is_clean(),
        _ => true,
    };
    let (own, other) = (["pg_catalog", "public"], ["pg_catalog", "scratch", "public"]);
    // Whichever path comes first, the other one is not taken for it.
    for _ in 0..2 {
        assert!(!told(&other, "SELECT public.bare()"));
        assert!(told(&own, "SELECT public.bare()"));
        for path in [&own[..], &other[..]] {
            assert!(told(path, "SELECT public.around()"));
            assert!(told(path, "SELECT label FROM public.v_bare"));
        }
    }
}

#[test]
fn rows_lie_in_the_order_of_what_they_were_clustered_on() {
    let mut facts = shop::facts();
    let relation = facts.relations.iter_mut().find(|r| r.schema == "public" && r.name == "customers").unwrap();
    relation.ordered_by = vec![relation.columns.iter().find(|c| c.name == "ssn").unwrap().number];
    let catalog = shop::catalog_of(facts);
    let told = |text: &str| {
        let statement = one(&catalog, &shop::PATH, true, text);
        statement
            .uses
            .iter()
            .any(|used| used.how == lockgate_sql::How::Order && taint(&catalog, &used.taint) == "customers.ssn")
    };
    for text in [
        "SELECT id FROM customers",
        "SELECT id FROM customers LIMIT 1",
        "SELECT id FROM customers ORDER BY 1 + 0",
        "SELECT id, 1 AS k FROM customers ORDER BY k",
        "SELECT id, 1 AS k FROM customers ORDER BY 2",
        "SELECT c.id FROM customers c, (SELECT 1 AS k) s ORDER BY k",
        "WITH s AS (SELECT 1 AS k) SELECT c.id FROM s, customers c ORDER BY s.k",
        "SELECT string_agg(id::text, ',') FROM customers",
        "COPY customers (id) TO STDOUT",
        "COPY (SELECT id FROM customers) TO STDOUT",
        "UPDATE customers SET vip = true RETURNING id",
        "UPDATE orders o SET status = 'x' FROM customers c WHERE c.id = o.customer_id RETURNING o.id",
        "DELETE FROM customers RETURNING id",
    ] {
        assert!(told(text), "{text}");
    }
    for text in [
        "SELECT id FROM customers ORDER BY id",
        "SELECT id FROM customers ORDER BY 1",
        "SELECT c.id AS k FROM customers c ORDER BY k DESC LIMIT 5",
        "SELECT id FROM orders",
        "UPDATE customers SET vip = true WHERE id = 1",
        "INSERT INTO customers (id) VALUES (1) RETURNING id",
        "COPY orders (id) TO STDOUT",
    ] {
        assert!(!told(text), "{text}");
    }
}

/// What a statement uses, how, and of which columns.
fn told(catalog: &Catalog, text: &str) -> Vec<String> {
    let statement = one(catalog, &shop::PATH, true, text);
    let mut told: Vec<String> =
        statement.uses.iter().map(|u| format!("{} {}", u.how.name(), taint(catalog, &u.taint))).collect();
    if let Outputs::Known(outputs) = &statement.outputs {
        told.extend(outputs.iter().map(|o| taint(catalog, &o.value)).filter(|t| !t.is_empty()));
    }
    told
}

#[test]
fn where_a_row_lies_follows_from_what_partitions_it() {
    let mut facts = shop::facts();
    let whole = facts.relations.iter_mut().find(|r| r.schema == "public" && r.name == "customers").unwrap();
    whole.kind = 'p';
    whole.partitioned_by = vec![whole.columns.iter().find(|c| c.name == "ssn").unwrap().number];
    let mut part = whole.clone();
    (part.oid, part.row_type, part.kind, part.name) = (90_000, 90_001, 'r', "customers_low".to_owned());
    part.partitioned_by.clear();
    let parent = whole.oid;
    facts.relations.push(part);
    facts.inherits.push((90_000, parent));
    let catalog = shop::catalog_of(facts);
    assert_eq!(told(&catalog, "SELECT id FROM customers"), ["order customers.ssn"]);
    assert_eq!(told(&catalog, "SELECT id FROM customers ORDER BY id"), [""; 0]);
    assert_eq!(told(&catalog, "SELECT tableoid FROM customers ORDER BY id"), ["customers.ssn"]);
    assert_eq!(told(&catalog, "SELECT c.tableoid FROM customers c ORDER BY id"), ["customers.ssn"]);
    let of_part = told(&catalog, "SELECT id FROM customers_low");
    assert!(of_part.iter().any(|u| u == "predicate customers.ssn"), "{of_part:?}");
    let counted = told(&catalog, "SELECT count(*) FROM customers_low");
    assert!(counted.iter().any(|u| u == "predicate customers.ssn"), "{counted:?}");
    assert_eq!(told(&shop::catalog(), "SELECT tableoid, id FROM customers"), [""; 0]);
}

#[test]
fn a_cast_of_somebodys_own_may_call_what_reads_labelled_columns() {
    let mut facts = shop::facts();
    let function = lockgate_sql::facts::FunctionFacts {
        oid: 90_010,
        schema: "public".into(),
        name: "as_text".into(),
        language: "sql".into(),
        source: "SELECT ssn FROM public.customers LIMIT 1".into(),
        kind: 'f',
        return_type: 25,
        arguments_min: 1,
        arguments_max: 1,
        ..lockgate_sql::facts::FunctionFacts::default()
    };
    facts.functions.push(function);
    let cast = |context| lockgate_sql::facts::CastFacts { source: 90_020, target: 25, function: 90_010, context };
    let orders = facts.relations.iter_mut().find(|r| r.name == "orders").unwrap();
    orders.columns.iter_mut().find(|c| c.name == "status").unwrap().type_oid = 90_020;
    let mut explicit = facts.clone();
    explicit.casts.push(cast('e'));
    let catalog = shop::catalog_of(explicit);
    assert_eq!(told(&catalog, "SELECT status::text FROM orders"), ["customers.ssn"]);
    // From another type, and to another.
    assert_eq!(told(&catalog, "SELECT 'x'::text, 5::text, status::jsonb, sku::text FROM orders"), [""; 0]);
    assert_eq!(told(&catalog, "SELECT upper(status) FROM orders"), [""; 0]);
    facts.casts.push(cast('i'));
    let catalog = shop::catalog_of(facts);
    assert_eq!(told(&catalog, "SELECT upper(status) FROM orders"), ["customers.ssn"]);
    assert_eq!(told(&catalog, "SELECT status FROM orders"), [""; 0]);
}

#[test]
fn a_type_may_be_called_as_a_function_is() {
    let refused = |catalog: &Catalog, sql: &str| !one(catalog, &shop::PATH, true, sql).uses.is_empty();
    let with = |schema: &str, kind: char| {
        let mut facts = shop::facts();
        for (oid, name) in [(90_030, "md5"), (90_031, "text")] {
            facts.types.push(lockgate_sql::facts::TypeFacts {
                oid,
                schema: schema.into(),
                name: name.into(),
                kind,
                base: 25,
                ..lockgate_sql::facts::TypeFacts::default()
            });
        }
        shop::catalog_of(facts)
    };
    for name in ["md5", "text"] {
        let sql = format!("SELECT {name}(ssn) FROM customers");
        assert!(refused(&with("public", 'd'), &sql) && refused(&with("public", 'e'), &sql), "{sql}");
        // Not the row type of a relation, not one of another schema, and there is none at first.
        for catalog in [with("public", 'c'), with("elsewhere", 'd'), shop::catalog()] {
            assert!(!refused(&catalog, &sql), "{sql}");
        }
        assert!(!refused(&with("public", 'd'), &format!("SELECT {name}(status), ssn FROM orders, customers")), "{sql}");
    }
}

#[test]
fn casts_by_text_fail_where_nobody_asked_for_them() {
    let mut facts = shop::facts();
    let sql = "SELECT ssn = 5, coalesce(ssn, '1') FROM customers";
    assert_eq!(told(&shop::catalog(), sql), ["customers.ssn", "customers.ssn"]);
    facts.casts.push(lockgate_sql::facts::CastFacts { source: 25, target: 23, function: 0, context: 'i' });
    let uses = told(&shop::catalog_of(facts), sql);
    assert!(uses.iter().any(|u| u == "expression customers.ssn"), "{uses:?}");
}

#[test]
fn ordinary_arithmetic_of_a_stored_number_is_masked() {
    let mut facts = shop::facts();
    let customers = facts.relations.iter_mut().find(|r| r.schema == "public" && r.name == "customers").unwrap();
    customers.columns.iter_mut().find(|c| c.name == "salary").unwrap().type_oid = 1700;
    let rule = lockgate_sql::ColumnRule { label: "pii".parse().unwrap(), pattern: "*.customers.salary".into() };
    let catalog = Catalog::build(facts, &[rule], &[]);
    let refuses = |expression: &str| {
        let uses = one(&catalog, &shop::PATH, true, &format!("SELECT {expression} FROM customers")).uses;
        uses.iter().any(|u| u.how.name() == "expression")
    };
    for expression in ["salary * 12", "salary / 12.5", "1.1 * salary", "100 - salary", "coalesce(salary + 1, 0.5)"] {
        assert!(!refuses(expression), "{expression}");
    }
    for expression in
        ["salary / 0", "salary / 0e5", "12 / salary", "salary * 1e40", "salary * 12 * 12", "coalesce(salary, 1) * 12"]
    {
        assert!(refuses(expression), "{expression}");
    }
    assert!(!refuses("salary / 12, format('%s of %%', salary)"));
    assert!(refuses("format('%s %s', salary)") && refuses("format('%I', salary)") && refuses("format(name, salary)"));
}

#[test]
fn what_a_client_says_of_a_parameter_counts() {
    let mut facts = shop::facts();
    let customers = facts.relations.iter_mut().find(|r| r.schema == "public" && r.name == "customers").unwrap();
    customers.columns.iter_mut().find(|c| c.name == "ssn").unwrap().type_oid = 20;
    let catalog = shop::catalog_of(facts);
    let path = shop::PATH.map(str::to_owned);
    let context = Context { catalog: &catalog, search_path: &path, path_known: true };
    let tells = |sql: &str, types: &[u32]| {
        let types = lockgate_sql::ParameterTypes::declared(types.iter().copied());
        let batch = lockgate_sql::analyze_with(sql, &context, types).unwrap();
        batch.statements.iter().any(|s| s.uses.iter().any(|u| u.how.name() == "expression"))
    };
    let sql = "SELECT ssn = $1 FROM customers";
    for types in [&[][..], &[0], &[20], &[23], &[1700], &[701]] {
        assert!(!tells(sql, types), "{types:?}");
    }
    assert!(tells(sql, &[26]) && tells(sql, &[90_020]));
    assert!(tells("SELECT $1::oid, ssn = $1 FROM customers", &[]));
    assert!(tells("SELECT ssn = $2, $1 = $2, $2 = 1::oid FROM customers", &[20]));
    assert!(!tells("SELECT ssn = $2, $1 = $2, $2 = 1::oid FROM customers", &[20, 20]));
    assert!(tells("PREPARE p(oid) AS SELECT ssn = $1 FROM customers", &[]));
    assert!(!tells("PREPARE p(bigint) AS SELECT ssn = $1 FROM customers", &[]));
    assert!(!tells("PREPARE p AS SELECT ssn = $1 FROM customers", &[]));
    // A condition that a policy may permit stays one.
    assert!(!tells("SELECT id FROM customers WHERE ssn = $1 AND id = $2", &[20, 25]));
}

#[test]
fn some_collations_suit_some_functions_only() {
    for loose in [false, true] {
        let catalog = shop::catalog_of(lockgate_sql::facts::CatalogFacts { loose_collations: loose, ..shop::facts() });
        for sql in [
            "SELECT strpos(name, ssn) FROM customers",
            "SELECT ssn || name LIKE 'a%' FROM customers",
            "SELECT regexp_replace(ssn, 'a', 'b') FROM customers",
        ] {
            assert_eq!(told(&catalog, sql).iter().any(|u| u.starts_with("expression ")), loose, "{sql}");
        }
    }
}

#[test]
fn what_a_column_refuses_tells_of_the_value() {
    let mut facts = shop::facts();
    facts.together.clear();
    let relation = facts.relations.iter_mut().find(|r| r.schema == "hr" && r.name == "employees").unwrap();
    for column in &mut relation.columns {
        match column.name.as_str() {
            "national_id" => column.type_oid = 21,
            "full_name" => column.name = "national_no".to_owned(),
            _ => {}
        }
    }
    let catalog = shop::catalog_of(facts);
    // The same label on another type.
    let copied = told(&catalog, "UPDATE hr.employees SET national_id = national_no");
    assert!(copied.iter().any(|u| u.starts_with("expression ")), "{copied:?}");
    assert_eq!(told(&catalog, "UPDATE hr.employees SET national_no = national_no"), [""; 0]);
    // A column without the label, where labels go with copies: none that refuses values may be brought one.
    let carries = |constrained: bool, type_oid: u32, typmod: i32| {
        let mut facts = shop::facts();
        let orders = facts.relations.iter_mut().find(|r| r.schema == "public" && r.name == "orders").unwrap();
        let status = orders.columns.iter_mut().find(|c| c.name == "status").unwrap();
        (status.constrained, status.type_oid, status.typmod) = (constrained, type_oid, typmod);
        let catalog = shop::catalog_of(facts);
        let statement = one(&catalog, &shop::PATH, true, "INSERT INTO orders (status) SELECT ssn FROM customers");
        statement.uses.iter().any(|u| u.how == lockgate_sql::How::Stored)
    };
    assert!(carries(false, 25, -1));
    assert!(!carries(true, 25, -1));
    assert!(!carries(false, 1043, 7));
    assert!(!carries(false, 21, -1));
}

#[test]
fn code_that_has_checks_made_may_speak_of_anything() {
    let mut facts = shop::facts();
    for (oid, name, language, source) in [
        (90_030, "ends", "sql", "SET CONSTRAINTS ALL IMMEDIATE"),
        (90_031, "around", "sql", "SELECT public.ends()"),
        (90_032, "ends_too", "plpgsql", "BEGIN SET CONSTRAINTS ALL IMMEDIATE; RETURN 1; END"),
        (90_033, "raises", "plpgsql", "BEGIN RAISE EXCEPTION 'too little'; END"),
    ] {
        facts.functions.push(lockgate_sql::facts::FunctionFacts {
            oid,
            schema: "public".into(),
            name: name.into(),
            language: language.into(),
            source: source.into(),
            kind: 'f',
            return_type: 23,
            ..lockgate_sql::facts::FunctionFacts::default()
        });
    }
    let catalog = shop::catalog_of(facts);
    for text in ["DO $$BEGIN NULL; END$$", "CALL p()", "SELECT ends()", "SELECT around()", "SELECT ends_too()"] {
        assert!(one(&catalog, &shop::PATH, true, text).touches.is_unknown(), "{text}");
    }
    for text in ["SELECT upper(region) FROM customers", "SELECT raises()"] {
        assert!(one(&catalog, &shop::PATH, true, text).touches.is_clean(), "{text}");
    }
}
