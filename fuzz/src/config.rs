//! The configuration file and the table of cases: any text is a configuration or a list of mistakes with their places.

use lockgate_config::{Config, load_cases};
use std::path::Path;
use tempfile::TempDir;

thread_local! {
    static HOME: TempDir = {
        let home = tempfile::tempdir().expect("a directory");
        let policies = home.path().join("policies");
        std::fs::create_dir(&policies).expect("a new directory");
        std::fs::write(policies.join("all.cedar"), "@id(\"all\")\npermit (principal, action, resource);\n").expect("a file");
        home
    };
}

fn written(data: &[u8], name: &str, then: impl FnOnce(&Path)) {
    HOME.with(|home| {
        let path = home.path().join(name);
        std::fs::write(&path, data).expect("a file");
        then(&path);
    });
}

/// `lockgate.yaml`.
pub fn file(data: &[u8]) {
    // A placeholder may name any file, and one that never ends is not what is tried here.
    if data.windows(4).any(|word| word == b"/dev") {
        return;
    }
    let env = |name: &str| (name == "SECRET").then(|| "canary-7741".to_owned());
    written(data, "lockgate.yaml", |path| match Config::load(Some(path), &env) {
        Ok(loaded) => assert!(loaded.sources.iter().any(|source| source == path)),
        Err(report) => {
            assert!(!report.problems.is_empty());
            assert!(!report.to_string().contains("canary-7741"), "{report}");
        }
    });
}

/// The file of `policy test`.
pub fn cases(data: &[u8]) {
    written(data, "cases.yaml", |path| {
        if let Err(report) = load_cases(path, &[]) {
            assert!(!report.problems.is_empty());
        }
    });
}
