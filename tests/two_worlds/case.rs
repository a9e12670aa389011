//! The cases as data: one JSON object a line.

use serde_json::Value;
use std::path::{Path, PathBuf};

/// One case. `$DB`, `$PORT` and `$DIR` in it stand for its database, the server's port and a directory of the server's.
#[derive(Clone, Debug)]
pub struct Case {
    /// What it is called.
    pub id: String,
    /// It runs on the target whose login role is a superuser.
    pub superuser: bool,
    /// The server's major version.
    pub version: u32,
    /// Run directly as a superuser, before.
    pub setup: Vec<String>,
    /// Run directly as a superuser, afterwards.
    pub cleanup: Vec<String>,
    /// A statement of somebody else's session, which runs meanwhile.
    pub meanwhile: Option<String>,
    /// No direct connection may be open while it runs.
    pub alone: bool,
    /// What the client does, step by step.
    pub steps: Vec<Value>,
    /// Startup parameters by connection.
    pub connections: Value,
    /// What must not be among the bytes the client gets.
    pub secrets: Vec<String>,
    /// The same, as bytes.
    pub secrets_hex: Vec<String>,
    /// What must not come out when cells are put together.
    pub secrets_joined: Vec<String>,
    /// A question that must not be answered with true afterwards.
    pub effect: Option<String>,
    /// A command tag that must not be among the answers.
    pub done_tag: Option<String>,
    /// It has to be refused, or to fail.
    pub must_fail: bool,
    /// Columns that have to be masked in a legitimate use; all others have to be exact.
    pub masked: Vec<usize>,
}

/// The cases of a file, or those of them that `LOCKGATE_CASES` picks.
pub fn read(file: &str) -> Vec<Case> {
    let text = std::fs::read_to_string(data(file)).unwrap_or_else(|e| panic!("{file}: {e}"));
    let wanted = std::env::var_os("LOCKGATE_CASES").unwrap_or_default().to_string_lossy().into_owned();
    let lines = text.lines().filter(|line| !line.is_empty());
    let cases = lines.map(|line| Case::new(&serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}"))));
    cases.filter(|case| wanted.split(',').any(|start| case.id.starts_with(start))).collect()
}

/// Whether only some cases were asked for.
pub fn picked() -> bool {
    std::env::var_os("LOCKGATE_CASES").is_some()
}

/// A file of this test's data.
pub fn data(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("two_worlds/data").join(file)
}

impl Case {
    /// A case that consists of these steps.
    pub fn made(id: String, steps: Vec<Value>) -> Case {
        Case { id, steps, ..Case::new(&serde_json::json!({"id": "", "statements": []})) }
    }

    fn new(json: &Value) -> Case {
        let text = |name: &str| json[name].as_str().map(str::to_owned);
        let list = |name: &str| match &json[name] {
            Value::Array(items) => items.iter().map(|i| i.as_str().expect("a string").to_owned()).collect(),
            Value::Null => Vec::new(),
            other => panic!("{name}: {other}"),
        };
        let masked = json["masked_cols"].as_array().map(Vec::as_slice).unwrap_or_default();
        Case {
            id: text("id").expect("an id"),
            superuser: text("as").as_deref() == Some("super"),
            version: json["version"].as_u64().map_or(15, |version| version as u32),
            setup: list("setup"),
            cleanup: list("cleanup"),
            meanwhile: text("side_session"),
            alone: json["no_side"] == true,
            steps: json["statements"].as_array().expect("statements").clone(),
            connections: json["connections"].clone(),
            secrets: list("secrets"),
            secrets_hex: list("secrets_hex"),
            secrets_joined: list("secrets_joined"),
            effect: text("effect"),
            done_tag: text("ok_tag"),
            must_fail: text("expect").as_deref() == Some("block") || json["control_error"] == true,
            masked: masked.iter().map(|at| at.as_u64().expect("a column") as usize).collect(),
        }
    }

    /// Whether all it does is ask, so that the copy can serve the next one too.
    pub fn only_asks(&self) -> bool {
        /// What a question could act with.
        const ACTS: [&str; 14] = [
            "insert",
            "update",
            "delete",
            "merge",
            "into",
            "nextval",
            "setval",
            "set_config",
            "lo_",
            "lock",
            "dblink",
            "notify",
            "pg_log",
            "stat_reset",
        ];
        let asks = |step: &Value| {
            let Some(sql) = step.as_str().or(step["x"].as_str()) else { return false };
            let sql = sql.to_ascii_lowercase();
            let begins =
                ["select", "with", "table", "values", "(", "explain", "copy ("].iter().any(|w| sql.starts_with(w));
            begins && step["name"].is_null() && !ACTS.iter().any(|word| sql.contains(word)) && !sql.contains(';')
        };
        !self.superuser && self.setup.is_empty() && self.effect.is_none() && self.steps.iter().all(asks)
    }

    /// What the client says, in a line.
    pub fn brief(&self) -> String {
        let all: Vec<String> = self.steps.iter().map(Value::to_string).collect();
        all.join(" ").chars().take(300).collect()
    }
}
