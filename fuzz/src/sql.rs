//! Statements: parsing and analysis under a catalog, and the removal of secrets from their text. And catalogs, as targets tell them.

#[path = "../../crates/sql/tests/shop/mod.rs"]
mod shop;

use lockgate_sql::catalog_query::{FactsBuilder, SNAPSHOT_SQL};
use lockgate_sql::{Catalog, ColumnRule, Context, Output, Outputs, Statement, analyze, redact_secrets};
use std::sync::OnceLock;

fn catalog() -> &'static Catalog {
    static CATALOG: OnceLock<Catalog> = OnceLock::new();
    CATALOG.get_or_init(shop::catalog)
}

/// A text of any kind, with a search path that is known and one that is not.
pub fn analysis(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let catalog = catalog();
    let search_path = shop::PATH.map(str::to_owned);
    for path_known in [true, false] {
        let context = Context { catalog, search_path: &search_path, path_known };
        let Ok(batch) = analyze(text, &context) else { continue };
        for statement in &batch.statements {
            assert!(text.get(statement.range.clone()).is_some(), "{:?} of {text:?}", statement.range);
            assert!(!statement.verb.is_empty());
            // Whatever is said of an output has a label to be judged by.
            if let Outputs::Known(outputs) = &statement.outputs {
                for output in outputs {
                    assert!(output.value.columns().iter().all(|id| catalog.labelled(*id).is_some()));
                }
            }
        }
    }
}

/// A password behind any text that is whole by itself goes away. What was read as a text by itself has nothing more to remove.
pub fn secrets(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let once = redact_secrets(text);
    let search_path = shop::PATH.map(str::to_owned);
    let context = Context { catalog: catalog(), search_path: &search_path, path_known: true };
    if analyze(text, &context).is_ok() {
        assert_eq!(redact_secrets(&once), once, "of {text:?}");
        for secret in ["PASSWORD 'canary-7741'", "PASSWORD\n$x$canary-7741$x$", "ENCRYPTED PASSWORD E'canary-7741'"] {
            let more = format!("{text}\n;ALTER ROLE app {secret}");
            let shown = redact_secrets(&more);
            assert!(!shown.contains("canary-7741"), "{shown}");
        }
    }
}

/// What a target answers to the questions of a snapshot: lines of COPY's text, with the question's number in front of the cells.
/// Rows that cannot be are refused one by one here. What was made of the others is asked about.
pub fn catalog_answers(data: &[u8]) {
    let mut builder = FactsBuilder::new("1");
    for line in data.split(|byte| *byte == b'\n') {
        let mut cells = line.split(|byte| *byte == b'\t').map(cell);
        let question = cells.next().flatten().and_then(|number| String::from_utf8(number).ok()?.parse().ok());
        let cells: Vec<Option<Vec<u8>>> = cells.collect();
        let cells: Vec<Option<&[u8]>> = cells.iter().map(Option::as_deref).collect();
        if let Err(bad) = builder.row(question.unwrap_or(SNAPSHOT_SQL.len()), &cells) {
            assert!(!bad.what.is_empty());
        }
    }
    let Ok(facts) = builder.finish() else { return };
    let quoted = |name: &str| format!("\"{}\"", name.replace('"', "\"\""));
    let names = facts.relations.iter().take(12).map(|r| format!("{}.{}", quoted(&r.schema), quoted(&r.name)));
    let names: Vec<String> = names.collect();
    let rule = |pattern: &str| ColumnRule { label: "pii/x".parse().unwrap(), pattern: pattern.to_owned() };
    let catalog = Catalog::build(facts, &[rule("public.people.secret"), rule("*.vault.*")], &[]);
    let search_path = ["public".to_owned()];
    let context = Context { catalog: &catalog, search_path: &search_path, path_known: true };
    for name in &names {
        for text in [
            format!("SELECT * FROM {name}"),
            format!("SELECT count(*) FROM {name} v WHERE v IS NOT NULL"),
            format!("INSERT INTO {name} DEFAULT VALUES RETURNING *"),
        ] {
            let Ok(batch) = analyze(&text, &context) else { continue };
            for output in batch.statements.iter().filter_map(known).flatten() {
                assert!(output.value.columns().iter().all(|id| catalog.labelled(*id).is_some()), "{text}");
            }
        }
    }
}

fn known(statement: &Statement) -> Option<&[Output]> {
    match &statement.outputs {
        Outputs::Known(outputs) => Some(outputs),
        _ => None,
    }
}

/// A cell of COPY's text format.
fn cell(text: &[u8]) -> Option<Vec<u8>> {
    if text == b"\\N" {
        return None;
    }
    let mut plain = Vec::with_capacity(text.len());
    let mut bytes = text.iter();
    while let Some(byte) = bytes.next() {
        plain.push(match byte {
            b'\\' => match bytes.next() {
                Some(b'n') => b'\n',
                Some(b't') => b'\t',
                Some(b'r') => b'\r',
                Some(other) => *other,
                None => b'\\',
            },
            other => *other,
        });
    }
    Some(plain)
}
