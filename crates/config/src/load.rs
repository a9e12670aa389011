//! Reading the file and the folder of policies: both or neither.

use crate::check::{Checker, base_of};
use crate::excerpt::Page;
use crate::model::Config;
use crate::placeholders::{Filler, protect};
use crate::raw;
use lockgate_core::{Label, TargetName};
use lockgate_policy::{Policies, Problem, Source, nearest};
use std::collections::BTreeSet;
use std::fmt;
use std::path::{Path, PathBuf};

/// Where the file is looked for when none is named.
const USUAL: [&str; 2] = ["./lockgate.yaml", "/etc/lockgate/lockgate.yaml"];
/// A longer configuration or policy file is a mistake.
const FILE_BYTES_MAX: u64 = 4 * 1024 * 1024;
/// More policy files than that are a mistake.
const POLICY_FILES_MAX: usize = 10_000;

/// A configuration with its policies.
pub struct Loaded {
    /// The settings.
    pub config: Config,
    /// The policies.
    pub policies: Policies,
    /// Every file and folder that was read: when one changes, load again.
    pub sources: Vec<PathBuf>,
    /// What is allowed and looks like a mistake, a line each: policies about things that are configured nowhere.
    pub warnings: Vec<String>,
}

/// Everything that is wrong with a configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// The mistakes, the configuration's first.
    pub problems: Vec<Problem>,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, problem) in self.problems.iter().enumerate() {
            if number > 0 {
                f.write_str("\n")?;
            }
            write!(f, "{problem}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Report {}

impl Config {
    /// Reads the configuration at `path`, or where it usually is, and the policies that it names. `env` answers
    /// `${env:NAME}`.
    ///
    /// # Errors
    /// Every mistake in the file's values and in all policies. A file whose structure is wrong is reported up to its first
    /// such mistake, because what follows it cannot be told apart.
    pub fn load(path: Option<&Path>, env: &dyn Fn(&str) -> Option<String>) -> Result<Loaded, Report> {
        let path = match path {
            Some(path) => path.to_owned(),
            None => USUAL.iter().map(PathBuf::from).find(|p| p.exists()).ok_or_else(|| {
                let missing = Problem::in_file("lockgate.yaml", format!("no configuration at {}", USUAL.join(" or ")));
                Report { problems: vec![missing.with_hint("name it with `-c FILE`")] }
            })?,
        };
        let shown = path.display().to_string();
        let shown = shown.strip_prefix("./").unwrap_or(&shown);
        let text = read(&path, shown).map_err(|p| Report { problems: vec![p] })?;
        let mut page = Page { path: shown, text: &text, problems: Vec::new() };
        let raw = parse::<raw::Root>(&page).map_err(|p| Report { problems: vec![p] })?;
        let base = base_of(&path);
        let filler = Filler { env, base: &base, files: Vec::new() };
        let mut checker = Checker { page: &mut page, filler };
        let config = checker.root(&raw);
        let mut sources = checker.filler.files;
        sources.insert(0, path.clone());
        let folder = raw.policies.as_ref().map_or("policies", |p| p.value.as_str());
        let (files, mut problems) = policy_files(&config.policies, folder.trim_end_matches('/'));
        sources.push(config.policies.clone());
        sources.extend(files.iter().map(|(path, _)| path.clone()));
        let mut all = page.problems;
        all.append(&mut problems);
        match Policies::load(files.into_iter().map(|(_, source)| source).collect()) {
            Ok(policies) if all.is_empty() => {
                let warnings = warnings(&config, &policies);
                Ok(Loaded { config, policies, sources, warnings })
            }
            Ok(_) => Err(Report { problems: all }),
            Err(wrong) => {
                all.extend(wrong);
                Err(Report { problems: all })
            }
        }
    }
}

impl Loaded {
    /// The labels of a database's columns, each with a pattern over `schema.table.column`, in the order of the file.
    pub fn column_rules(&self, target: &TargetName, database: &str) -> Vec<(Label, String)> {
        let mut rules = Vec::new();
        for entry in &self.config.classify {
            for pattern in entry.columns.iter().filter(|p| p.applies_to(target.as_str(), database)) {
                rules.push((entry.label.clone(), pattern.within_database()));
            }
        }
        rules
    }
}

/// The JSON schema of the configuration.
pub fn schema() -> serde_json::Value {
    schemars::schema_for!(raw::Root).to_value()
}

/// Reads YAML into a type with strict keys.
pub(crate) fn parse<T: serde::de::DeserializeOwned>(page: &Page<'_>) -> Result<T, Problem> {
    let Some(protected) = protect(page.text) else {
        return Err(Problem::in_file(page.path, "the file has characters U+E000 or U+E001, which are reserved"));
    };
    let options = serde_saphyr::options! { with_snippet: false };
    serde_saphyr::from_str_with_options(&protected, options).map_err(|e| page.unreadable(&e))
}

pub(crate) fn read(path: &Path, shown: &str) -> Result<String, Problem> {
    let unreadable = |e: std::io::Error| Problem::in_file(shown, format!("cannot be read: {e}"));
    if std::fs::metadata(path).map_err(unreadable)?.len() > FILE_BYTES_MAX {
        return Err(Problem::in_file(shown, format!("is larger than {FILE_BYTES_MAX} bytes")));
    }
    std::fs::read_to_string(path).map_err(unreadable)
}

/// Every `*.cedar` in a folder. Messages name them under the folder's name as it is written in the configuration.
fn policy_files(folder: &Path, shown: &str) -> (Vec<(PathBuf, Source)>, Vec<Problem>) {
    let entries = match std::fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(e) => {
            let problem =
                Problem::in_file(&folder.display().to_string(), format!("the folder of policies cannot be read: {e}"));
            return (Vec::new(), vec![problem.with_hint("name it with `policies:`")]);
        }
    };
    let mut paths = Vec::new();
    let mut problems = Vec::new();
    for entry in entries.take(POLICY_FILES_MAX) {
        match entry.map(|e| e.path()) {
            // A file that cannot even be listed may hold a forbid: to go on without it would be to permit.
            Err(e) => problems.push(Problem::in_file(shown, format!("cannot be listed: {e}"))),
            Ok(path) => {
                let name = path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
                if name.ends_with(".cedar") && !name.starts_with('.') {
                    paths.push((path, format!("{shown}/{name}")));
                }
            }
        }
    }
    if paths.len() >= POLICY_FILES_MAX {
        problems.push(Problem::in_file(shown, format!("more than {POLICY_FILES_MAX} files")));
    }
    paths.sort();
    let mut files = Vec::new();
    for (path, shown) in paths {
        match read(&path, &shown) {
            Ok(text) => files.push((path, Source { path: shown, text })),
            Err(problem) => problems.push(problem),
        }
    }
    (files, problems)
}

/// A misspelt name in a policy is not wrong, since policies may be shared between gateways; but it is worth a line.
fn warnings(config: &Config, policies: &Policies) -> Vec<String> {
    let mut warnings = Vec::new();
    if policies.list().next().is_none() {
        warnings.push(format!("there is no policy in {}: everything is denied", config.policies.display()));
    }
    warnings.extend(policies.doubts().iter().map(|doubt| {
        let hint = doubt.hint.as_ref().map(|hint| format!("; {hint}")).unwrap_or_default();
        format!("{}:{}:{}: {}{hint}", doubt.path, doubt.line, doubt.column, doubt.message)
    }));
    let targets: BTreeSet<&str> = config.targets.iter().map(|t| t.name.as_str()).collect();
    let target_labels: BTreeSet<String> =
        config.targets.iter().flat_map(|t| &t.labels).map(|(key, value)| format!("{key}={value}")).collect();
    let labels: BTreeSet<&str> =
        config.classify.iter().flat_map(|c| std::iter::once(c.label.as_str()).chain(c.label.ancestors())).collect();
    for reference in policies.references() {
        let (name, known): (&str, Vec<&str>) = match reference.kind.as_str() {
            "Target" => (&reference.id, targets.iter().copied().collect()),
            "Table" => (reference.id.split('/').next().unwrap_or_default(), targets.iter().copied().collect()),
            "TargetLabel" => (&reference.id, target_labels.iter().map(String::as_str).collect()),
            "Label" => (&reference.id, labels.iter().copied().collect()),
            _ => continue,
        };
        if known.contains(&name) {
            continue;
        }
        let hint = nearest(name, known).map(|meant| format!("; did you mean `{meant}`?")).unwrap_or_default();
        let at = &reference.policy;
        let line = format!("{at} is about {}::\"{}\", which is configured nowhere{hint}", reference.kind, reference.id);
        if !warnings.contains(&line) {
            warnings.push(line);
        }
    }
    warnings
}
