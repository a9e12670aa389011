//! Mask at read: what a text becomes, and that nothing labelled is left in it where it was replaced.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may fail")]

mod shop;

use lockgate_sql::{Batch, Context, Hiding, Outputs, analyze, rewrite};

fn constant(oid: u32) -> Option<String> {
    (oid == 25).then(|| "***".to_owned())
}

fn rewritten(text: &str) -> (Option<String>, Batch) {
    let catalog = shop::catalog();
    let path = shop::PATH.map(str::to_owned);
    let context = Context { catalog: &catalog, search_path: &path, path_known: true };
    let hiding = Hiding { hidden: &|_| true, constant: &constant };
    let out = rewrite(text, &context, &hiding).unwrap_or_else(|e| panic!("{text}: {e}"));
    let read = out.clone().unwrap_or_else(|| text.to_owned());
    let batch = analyze(&read, &context).unwrap_or_else(|e| panic!("{text} became {read}: {e}"));
    (out, batch)
}

#[test]
fn what_is_read_is_replaced_and_then_clean() {
    for text in [
        "SELECT ssn FROM customers",
        "SELECT * FROM customers c WHERE c.ssn = '1' ORDER BY ssn",
        "SELECT * FROM public.customers AS c(a, b, d) WHERE d LIKE '5%'",
        "TABLE customers",
        "TABLE ONLY customers",
        "SELECT * FROM ONLY (customers)",
        "SELECT * FROM ONLY public.customers x",
        "SELECT * FROM customers *",
        "WITH customers AS (SELECT * FROM customers) SELECT count(DISTINCT ssn) FROM customers",
        "SELECT c FROM customers c",
        "SELECT a.ssn FROM customers a JOIN customers b USING (ssn)",
        "SELECT (SELECT max(ssn) FROM customers), EXISTS (SELECT FROM customers WHERE ssn > 'x')",
        "SELECT ssn FROM customers UNION SELECT ssn FROM customers",
        "EXPLAIN SELECT * FROM customers WHERE ssn = '1'",
        "PREPARE p AS SELECT * FROM customers WHERE ssn = $1",
        "DECLARE c CURSOR FOR SELECT ssn FROM customers",
        "COPY customers TO STDOUT",
        "COPY customers (ssn, name) TO STDOUT WITH (FORMAT csv)",
        "COPY (SELECT ssn FROM customers) TO STDOUT",
        "CREATE TABLE t AS SELECT * FROM customers",
        "SELECT * INTO t FROM customers",
        "CREATE TABLE t AS TABLE customers",
        "/* customers */ SELECT ssn -- customers\n FROM /* customers */ customers",
        "SELECT 'customers', ssn FROM \"customers\"",
        "WITH RECURSIVE r AS (SELECT ssn FROM customers UNION ALL SELECT r.ssn FROM r JOIN customers c ON c.ssn = r.ssn) SELECT * FROM r",
    ] {
        let (out, batch) = rewritten(text);
        let out = out.unwrap_or_else(|| panic!("{text} was left as it is"));
        for statement in &batch.statements {
            let clean = match &statement.outputs {
                Outputs::Known(columns) => columns.iter().all(|c| c.value.is_clean()),
                Outputs::NoRows => true,
                Outputs::Each(taint) => taint.is_clean(),
            };
            assert!(clean, "{text}\n{out}\n{:?}", statement.outputs);
            assert!(statement.uses.is_empty(), "{text}\n{out}\n{:?}", statement.uses);
            assert!(statement.touches.is_clean(), "{text}\n{out}\n{:?}", statement.touches);
        }
    }
}

#[test]
fn what_is_left_as_it_is_stays_labelled() {
    for text in [
        "UPDATE customers SET name = 'x' WHERE ssn = '1'",
        "DELETE FROM customers WHERE ssn = '1'",
        "SELECT ssn FROM customers TABLESAMPLE BERNOULLI (10)",
        "CREATE VIEW v AS SELECT ssn FROM customers",
        "CREATE MATERIALIZED VIEW v AS SELECT ssn FROM customers",
    ] {
        let (out, batch) = rewritten(text);
        assert_eq!(out, None, "{text}");
        assert!(batch.statements.iter().any(|s| !s.touches.is_clean() || !s.uses.is_empty()), "{text}");
    }
}

#[test]
fn what_has_nothing_to_hide_is_left_as_it_is() {
    for text in ["SELECT 1", "SELECT * FROM orders", "BEGIN", "SELECT 'customers'"] {
        assert_eq!(rewritten(text).0, None, "{text}");
    }
}

#[test]
fn the_text_around_it_stays() {
    let (out, _) = rewritten("SELECT /* a */ name, $1 FROM customers WHERE name = E'\\'' -- b");
    let out = out.unwrap();
    assert!(out.starts_with("SELECT /* a */ name, $1 FROM (SELECT "), "{out}");
    assert!(out.ends_with(") AS \"customers\" WHERE name = E'\\'' -- b"), "{out}");
}
