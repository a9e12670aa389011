//! Statements: parsing and analysis under a catalog, and the removal of secrets from their text.

#[path = "../../crates/sql/tests/shop/mod.rs"]
mod shop;

use lockgate_sql::{Catalog, Context, Outputs, analyze, redact_secrets};
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
