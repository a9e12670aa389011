//! Whatever the text, an analysis ends soon, within bounds, and without a panic.

#![allow(clippy::disallowed_types, reason = "a test or an example may look at the clock")]
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test may fail")]

mod shop;

use std::time::{Duration, Instant};

use lockgate_sql::{Catalog, Context, analyze, redact_secrets};
use proptest::prelude::*;

fn try_one(catalog: &Catalog, text: &str) -> Result<usize, String> {
    let path = shop::PATH.map(str::to_owned);
    let context = Context { catalog, search_path: &path, path_known: true };
    match analyze(text, &context) {
        Ok(batch) => {
            for statement in &batch.statements {
                assert!(text.get(statement.range.clone()).is_some(), "{text}");
            }
            Ok(batch.statements.len())
        }
        Err(refused) => Err(refused.to_string()),
    }
}

#[test]
fn nesting_is_worked_through_or_refused() {
    let catalog = shop::catalog();
    for n in [30, 400, 3_000, 10_000] {
        let texts = [
            format!("select 1{}", "+1".repeat(n)),
            format!("select {}1", "- ".repeat(n)),
            format!("select {} true", "not ".repeat(n)),
            format!("select 1{}", " is null".repeat(n)),
            format!("select 1{}", "::int".repeat(n)),
            format!("select 1,2{}", " union select 1,2".repeat(n)),
            format!("select 1 from orders{}", " cross join orders".repeat(n)),
            format!("select {}1{}", "(".repeat(n), ")".repeat(n)),
            format!("select {}1{}", "(select ".repeat(n), ")".repeat(n)),
            format!("select {}1{}", "case when true then ".repeat(n), " end".repeat(n)),
            format!("select {}1{}", "array[".repeat(n), "]".repeat(n)),
            format!("select {}1{}", "abs(".repeat(n), ")".repeat(n)),
            format!("{}select 1{}", "with a as (".repeat(n), ") select 1".repeat(n)),
            format!("select '{}'", "( [ union ".repeat(n)),
            format!("select 1 /*{}*/", "/* ( */".repeat(n)),
            "select 1;".repeat(n),
        ];
        for text in texts {
            let start = Instant::now();
            let outcome = try_one(&catalog, &text);
            let head = text.get(..40).unwrap();
            assert!(start.elapsed() < Duration::from_secs(5), "{n} {head} took {:?}", start.elapsed());
            if n == 30 {
                assert!(outcome.is_ok(), "{head}: {outcome:?}");
            }
        }
    }
}

/// `n` steps of WITH, each made of the one before.
fn chain(n: usize, first: &str, step: &str, last: &str) -> String {
    let mut text = format!("with c0 as ({first})");
    for at in 1..=n {
        text.push_str(&format!(", c{at} as ({})", step.replace("$", &format!("c{}", at - 1))));
    }
    format!("{text} {}", last.replace("$", &format!("c{n}")))
}

/// The work is bounded by a count of what is copied and compared: what is usual is answered, whatever the machine, and what
/// grows faster than its text is answered in few columns or refused.
#[test]
fn what_grows_faster_than_its_text_is_counted() {
    let catalog = shop::catalog();
    let wide = (0..300).map(|n| format!("ssn as c{n}")).collect::<Vec<_>>().join(", ");
    let answered = [
        ("cross joins", format!("select 1 from orders{}", " cross join orders".repeat(3_000))),
        ("a list of tables", format!("select 1 from orders{}", ", orders".repeat(10_000))),
        ("joins on columns", {
            let joins: String = (1..400).map(|n| format!(" join customers t{n} on t{n}.id = t0.id")).collect();
            format!("select t0.name from customers t0{joins}")
        }),
        ("a chain of queries", chain(2_000, "select id, ssn from customers", "select * from $", "select * from $")),
        ("views in a chain", chain(500, "select * from customers", "select x.* from $ x", "select * from $")),
        (
            "arms of a union",
            format!("select ssn from customers{}", " union all select ssn from customers".repeat(1_000)),
        ),
        ("grouping sets", format!("select 1 from orders group by cube ({}id)", "id, ".repeat(3_000))),
        ("predicates", format!("select 1 from customers where {} true", "name = 'x' and ".repeat(3_000))),
        ("a wide table by name", {
            let names: String = (0..300).map(|n| format!("w.c{n}, ")).collect();
            format!("select {names} 1 from (select {wide} from customers) w")
        }),
    ];
    for (what, text) in &answered {
        assert_eq!(try_one(&catalog, text), Ok(1), "{what}");
    }
    let path = shop::PATH.map(str::to_owned);
    let context = Context { catalog: &catalog, search_path: &path, path_known: true };
    let bounded = [
        (
            "columns doubled",
            chain(60, "select ssn a, id b from customers", "select x.*, y.* from $ x, $ y", "select * from $"),
        ),
        ("columns doubled by *", chain(60, "select ssn from customers", "select * from $ x, $ y", "select * from $")),
        (
            "rows in rows",
            chain(
                200,
                "select ssn v from customers",
                "select x as v, x as w from $ x",
                "(select * from $) union (select * from $)",
            ),
        ),
        (
            "rows in rows, made twice",
            format!(
                "({}) union ({})",
                chain(200, "select ssn v from customers", "select row(v, v) as v from $", "select * from $"),
                chain(200, "select ssn v from customers", "select row(v, v) as v from $", "select * from $")
            ),
        ),
        ("joins that merge all", {
            let joins = " natural join customers".repeat(3_000);
            format!("select * from customers{joins}")
        }),
        ("lateral items", format!("select * from customers{}", ", lateral (select 1) l".repeat(5_000))),
        ("names of a wide list", {
            let tables: String = (0..3_000).map(|n| format!(", customers t{n}")).collect();
            format!("select {} 1 from customers{tables}", "nothing, ".repeat(30_000))
        }),
        ("whole rows", format!("select {} 1 from (select {wide} from customers) w", "w, ".repeat(20_000))),
    ];
    for (what, text) in &bounded {
        if let Ok(batch) = analyze(text, &context)
            && let lockgate_sql::Outputs::Known(columns) = &batch.statements[0].outputs
        {
            assert!(columns.len() <= lockgate_core::limits::SQL_COLUMNS_MAX, "{what}: {}", columns.len());
        }
    }
}

#[test]
fn size_is_refused_before_it_is_read() {
    let catalog = shop::catalog();
    let start = Instant::now();
    let long = try_one(&catalog, &format!("select '{}'", "x".repeat(10_000_000)));
    assert_eq!(long.unwrap_err(), "the statement is longer than 4194304 bytes");
    let many = try_one(&catalog, &format!("select 1 in (1{})", ",1".repeat(200_000)));
    assert_eq!(many.unwrap_err(), "the statement has more than 300000 words and signs");
    let deep = try_one(&catalog, &"(".repeat(10_000));
    assert_eq!(deep.unwrap_err(), "the statement is nested deeper than 512 levels");
    assert_eq!(try_one(&catalog, "select 1\0").unwrap_err(), "the statement holds a NUL byte");
    assert!(start.elapsed() < Duration::from_secs(2), "{:?}", start.elapsed());
}

#[test]
fn recursive_queries_within_each_other_end() {
    let catalog = shop::catalog();
    let mut text = "select ssn from customers".to_owned();
    for level in 0..12 {
        text = format!(
            "with recursive r{level}(a, b) as (({text}) union all select b, a from r{level}) select a, b from r{level}"
        );
    }
    let start = Instant::now();
    let _ = try_one(&catalog, &text);
    assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
}

fn words() -> Vec<String> {
    let table = include_str!("analysis.txt");
    let statements = table.split("\n\n").filter_map(|b| b.split("\n  => ").next());
    statements.flat_map(|s| s.split_inclusive([' ', '(', ')', ',', '.'])).map(str::to_owned).collect()
}

fn statements() -> Vec<String> {
    include_str!("analysis.txt").split("\n\n").filter_map(|b| b.split("\n  => ").next()).map(str::to_owned).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 600, ..ProptestConfig::default() })]

    #[test]
    fn any_text(text in "\\PC{0,80}") {
        let _ = try_one(&shop::catalog(), &text);
        let _ = redact_secrets(&text);
    }

    #[test]
    fn words_in_any_order(words in prop::collection::vec(prop::sample::select(words()), 1..25)) {
        let text = words.concat();
        let _ = try_one(&shop::catalog(), &text);
        let _ = redact_secrets(&text);
    }

    #[test]
    fn statements_with_a_part_replaced(
        base in prop::sample::select(statements()),
        other in prop::sample::select(statements()),
        from in 0usize..200,
        len in 0usize..30,
        other_from in 0usize..200,
        other_len in 0usize..40,
    ) {
        let cut = |s: &str, from: usize, len: usize| -> String { s.chars().skip(from).take(len).collect() };
        let text = format!(
            "{}{}{}",
            cut(&base, 0, from),
            cut(&other, other_from, other_len),
            cut(&base, from + len, usize::MAX),
        );
        let _ = try_one(&shop::catalog(), &text);
    }

    /// What a query reads of a labelled column is in its outputs, its uses, or both, however it is wrapped.
    #[test]
    fn wrapping_loses_nothing(wraps in prop::collection::vec(0usize..8, 0..6)) {
        let catalog = shop::catalog();
        let mut sql = "SELECT ssn AS x FROM customers WHERE id = 1".to_owned();
        for wrap in wraps {
            sql = match wrap {
                0 => format!("SELECT q.x FROM ({sql}) q"),
                1 => format!("WITH w AS ({sql}) SELECT x FROM w"),
                2 => format!("SELECT ({sql}) AS x"),
                3 => format!("SELECT upper(x) AS x FROM ({sql}) AS q"),
                4 => format!("({sql}) UNION ALL SELECT 'a'"),
                5 => format!("SELECT (q).x AS x FROM ({sql}) q"),
                6 => format!("SELECT t.y AS x FROM ({sql}) AS t(y)"),
                _ => format!("SELECT CASE WHEN true THEN x END AS x FROM ({sql}) q"),
            };
        }
        let path = shop::PATH.map(str::to_owned);
        let context = Context { catalog: &catalog, search_path: &path, path_known: true };
        let batch = analyze(&sql, &context).unwrap();
        let value = batch.statements[0].outputs.taint(0);
        let column = catalog.labelled(*value.columns().first().unwrap()).unwrap();
        prop_assert_eq!(column.column.as_str(), "ssn", "{}", sql);
    }
}
