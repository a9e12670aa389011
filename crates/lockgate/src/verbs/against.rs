//! What the configuration and the policies name, held against what the targets have: a table that is misspelt in `classify` is
//! no mistake to anybody who reads the file alone, and nothing of the table is masked.
//!
//! For `lockgate policy check --targets`. What it finds are warnings, because a table may be there tomorrow.

use crate::catalog;
use crate::gateway::{Version, build_version};
use lockgate_config::Loaded;
use lockgate_core::{Identity, IdentityKind, TargetName, matches_glob};
use lockgate_mask::MaskKeys;
use lockgate_policy::{Reference, nearest};
use lockgate_sql::facts::CatalogFacts;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Relations, as `schema.name`, and columns, as `schema.name.column`.
#[derive(Default)]
struct Names {
    relations: BTreeSet<String>,
    columns: BTreeSet<String>,
}

impl Names {
    fn of(facts: &CatalogFacts) -> Self {
        let mut names = Names::default();
        for relation in &facts.relations {
            let relation_name = format!("{}.{}", relation.schema, relation.name);
            let columns = relation.columns.iter().map(|column| format!("{relation_name}.{}", column.name));
            names.columns.extend(columns);
            names.relations.insert(relation_name);
        }
        names
    }
}

/// A line for each name that nothing has, and for each target that could not be asked.
pub async fn warnings(loaded: Loaded) -> anyhow::Result<Vec<String>> {
    let references = loaded.policies.references().to_vec();
    // What `hash` and `token` would give is not shown, so any key serves.
    let Version { rules, targets } = build_version(loaded, 1, Arc::new(MaskKeys::new(&[0; 32])), None)?;
    // Who logs in where the role is the identity's name: nobody is that here.
    let identity = Identity {
        user: "lockgate".to_owned(),
        groups: BTreeSet::new(),
        kind: IdentityKind::Service,
        directories: Vec::new(),
        on_behalf_of: Vec::new(),
        token_id: None,
        actions: None,
    };
    let mut warnings = Vec::new();
    let mut known = BTreeMap::new();
    let all: BTreeMap<&TargetName, _> = rules.targets.iter().collect();
    for name in all.keys() {
        let Some(route) = targets.route(name, None, &identity) else { continue };
        match catalog::ask(&route).await {
            Ok(facts) => drop(known.insert(name.as_str(), Names::of(&facts))),
            Err(error) => warnings.push(format!("target \"{name}\" cannot be asked what it has: {error:#}")),
        }
    }
    // A pattern that is for several targets has to find something in one of them.
    let mut patterns: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for (target, of_target) in &all {
        for rule in &of_target.columns {
            patterns.entry(&rule.pattern).or_default().push(target.as_str());
        }
    }
    for (pattern, of) in patterns {
        let Some(asked) = of.iter().map(|target| known.get(target)).collect::<Option<Vec<_>>>() else { continue };
        if asked.iter().any(|names| names.columns.iter().any(|column| fits(pattern, column))) {
            continue;
        }
        let hint = meant(pattern, asked.iter().flat_map(|names| &names.columns));
        let targets = of.join("\", \"");
        warnings.push(format!(
            "classify: no column of target \"{targets}\" is called {pattern}, so nothing is labelled by it{hint}"
        ));
    }
    warnings.extend(references.iter().filter_map(|reference| unknown_table(reference, &known)));
    warnings.dedup();
    Ok(warnings)
}

/// Part by part: `*` does not reach over a dot.
fn fits(pattern: &str, column: &str) -> bool {
    let (mut parts, mut names) = (pattern.split('.'), column.splitn(3, '.'));
    loop {
        match (parts.next(), names.next()) {
            (Some(part), Some(name)) if matches_glob(part, name) => {}
            (None, None) => return true,
            _ => return false,
        }
    }
}

fn unknown_table(reference: &Reference, known: &BTreeMap<&str, Names>) -> Option<String> {
    let (target, table) = reference.id.split_once('/').filter(|_| reference.kind == "Table")?;
    let names = known.get(target)?;
    if names.relations.contains(table) {
        return None;
    }
    let hint = meant(table, &names.relations);
    Some(format!(
        "{} is about Table::\"{}\", and target \"{target}\" has no such table{hint}",
        reference.policy, reference.id
    ))
}

fn meant<'n>(name: &str, known: impl IntoIterator<Item = &'n String>) -> String {
    let known = known.into_iter().map(String::as_str);
    nearest(name, known).map(|meant| format!("; did you mean `{meant}`?")).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_of_columns() {
        for (pattern, column, fit) in [
            ("public.people.ssn", "public.people.ssn", true),
            ("public.people.ssn", "public.people.ss", false),
            ("public.*.ssn", "public.people.ssn", true),
            ("*.people.ssn", "hr.people.ssn", true),
            ("public.people.*", "public.people.a.b", true),
            ("public.people", "public.people.ssn", false),
            ("*", "public.people.ssn", false),
        ] {
            assert_eq!(fits(pattern, column), fit, "{pattern} {column}");
        }
    }
}
