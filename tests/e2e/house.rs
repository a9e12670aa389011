//! Rules of the code itself that neither the compiler nor clippy can hold.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// The Rust files below a directory, with their paths from the repository's root.
fn sources(below: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut directories = vec![root().join(below)];
    while let Some(directory) = directories.pop() {
        for entry in std::fs::read_dir(&directory).unwrap().map(Result::unwrap) {
            let path = entry.path();
            if entry.file_type().unwrap().is_dir() {
                directories.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let name = path.strip_prefix(root()).unwrap().display().to_string();
                found.push((name, std::fs::read_to_string(&path).unwrap()));
            }
        }
    }
    found
}

/// Promise 7. Who a client is comes from a proof; the other places say who somebody was or would be, and open no session.
#[test]
fn identities_are_made_in_few_places_and_of_proofs() {
    let places = [
        // Of what was proven.
        "crates/identity/src/proven.rs",
        "crates/store/src/logins.rs",
        "crates/store/src/tokens.rs",
        // A proven one with fewer limits, for one question.
        "crates/session/src/judge/infer.rs",
        // Of what was written down: for lists, and who may approve.
        "crates/store/src/approvals/rows.rs",
        "crates/store/src/sessions.rs",
        "crates/lockgate/src/gateway/index.rs",
        // Of what somebody who runs the gateway asks about.
        "crates/config/src/cases.rs",
        "crates/lockgate/src/verbs/against.rs",
        "crates/lockgate/src/verbs/explain.rs",
    ];
    let mut made = BTreeSet::new();
    for (name, text) in ["crates", "protocols"].iter().flat_map(|below| sources(below)) {
        let product = text.split("#[cfg(test)]").next().unwrap();
        let makes = |line: &str| {
            let line = line.trim();
            let code = line.split("//").next().unwrap();
            code.match_indices("Identity {").any(|(at, _)| {
                !code[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_')
                    && !["struct ", "impl ", "for ", "-> ", "-> &"].iter().any(|word| code[..at].ends_with(word))
            })
        };
        if name.contains("/src/") && name != "crates/core/src/identity.rs" && product.lines().any(makes) {
            made.insert(name);
        }
    }
    assert_eq!(made, places.map(str::to_owned).into());
}

/// Promise 10. A panic that gets past everything else unwinds one task; it must not be the end of the process.
#[test]
fn a_panic_is_not_the_end_of_all() {
    let manifest = std::fs::read_to_string(root().join("Cargo.toml")).unwrap();
    assert!(manifest.contains("[profile.release]"));
    assert!(!manifest.contains("panic = \"abort\""), "{manifest}");
}

/// The tests that the documents name are there, under these names.
#[test]
fn the_tests_that_are_named_exist() {
    let modules: Vec<(String, String)> = sources("tests");
    let mut named = 0;
    for document in ["ARCHITECTURE.md", "CONTRIBUTING.md", "SECURITY.md"] {
        let text = std::fs::read_to_string(root().join(document)).unwrap();
        for code in text.split('`').skip(1).step_by(2) {
            let Some((module, test)) = code.split_once("::") else { continue };
            if !module.chars().all(|c| c.is_ascii_lowercase() || c == '_') {
                continue;
            }
            named += 1;
            let there = modules
                .iter()
                .any(|(name, text)| name.ends_with(&format!("/{module}.rs")) && text.contains(&format!("fn {test}(")));
            assert!(there, "{document} names `{code}`");
        }
    }
    assert!(named > 30, "{named}");
}
