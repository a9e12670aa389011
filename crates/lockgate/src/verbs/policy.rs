//! `lockgate policy`: check the files, and compare what they say with what they should say.

use crate::cli::{Global, PolicyVerb};
use crate::exit::{Code, Ended};
use crate::output::{self, Output};
use crate::place;
use crate::verbs::against;
use lockgate_policy::{Decision, Expected, ExpectedVerdict, MaskMethod, Outcome};
use serde::Serialize;
use std::path::Path;

/// Runs the verb.
pub async fn run(global: &Global, output: Output, verb: PolicyVerb) -> anyhow::Result<()> {
    match verb {
        PolicyVerb::Check { targets } => check(global, output, targets).await,
        PolicyVerb::Test { cases } => test(global, output, &cases),
    }
}

/// A policy as listed.
#[derive(Serialize)]
struct Checked {
    policies: usize,
    targets: usize,
    warnings: Vec<String>,
}

async fn check(global: &Global, output: Output, of_targets: bool) -> anyhow::Result<()> {
    let path = place::config_path(global)?;
    let (loaded, missing) = place::load_here(&path)?;
    let mut warnings = loaded.warnings.clone();
    warnings.extend(missing.iter().map(|name| format!("`{name}` is not set here; the gateway will need it")));
    let (policies, targets) = (loaded.policies.list().count(), loaded.config.targets.len());
    if of_targets {
        warnings.extend(against::warnings(loaded).await?);
    }
    let checked = Checked { policies, targets, warnings };
    if !output.is_table() {
        return output.data(&checked);
    }
    for warning in &checked.warnings {
        output::words(&format!("warning: {warning}"))?;
    }
    let count = |n: usize, one: &str, many: &str| format!("{n} {}", if n == 1 { one } else { many });
    let policies = count(checked.policies, "policy", "policies");
    let targets = count(checked.targets, "target", "targets");
    output::print(&format!("{}: fine, with {policies} and {targets}\n", place::shown(&path)))
}

/// How one case went.
#[derive(Serialize)]
struct Tested {
    case: String,
    passed: bool,
    expected: String,
    got: String,
    policies: Vec<String>,
}

fn test(global: &Global, output: Output, cases: &Path) -> anyhow::Result<()> {
    let (loaded, _) = place::load_here(&place::config_path(global)?)?;
    let cases = lockgate_config::load_cases(cases, &loaded.config.targets)
        .map_err(|report| Ended::new(Code::Failed, format!("the cases have mistakes\n{report}")))?;
    let tested: Vec<Tested> = cases
        .iter()
        .map(|case| {
            let decision = loaded.policies.decide(&case.question());
            Tested {
                case: case.name.clone(),
                passed: case.expected.met_by(&decision),
                expected: case.expected.to_string(),
                got: verdict(&decision),
                policies: decision.policies.iter().map(ToString::to_string).collect(),
            }
        })
        .collect();
    let failed = tested.iter().filter(|t| !t.passed).count();
    if output.is_table() {
        for case in tested.iter().filter(|t| !t.passed) {
            let by =
                if case.policies.is_empty() { String::new() } else { format!(", by {}", case.policies.join(", ")) };
            output::print(&format!("FAILED {}: expected {}, got {}{by}\n", case.case, case.expected, case.got))?;
        }
        output::print(&format!("{} of {} cases as expected\n", tested.len() - failed, tested.len()))?;
    } else {
        output.data(&tested)?;
    }
    match (failed, tested.is_empty()) {
        (_, true) => Err(Ended::new(Code::Failed, "there are no cases in the file").into()),
        (0, false) => Ok(()),
        (_, false) => Err(Ended::quietly(Code::Failed).into()),
    }
}

/// A decision in the words of an expectation.
fn verdict(decision: &Decision) -> String {
    let verdict = match &decision.outcome {
        Outcome::Allow => ExpectedVerdict::Allow,
        Outcome::Deny(_) => ExpectedVerdict::Deny,
        Outcome::Approve(_) | Outcome::ApproveThenMask(..) => ExpectedVerdict::Approve,
        Outcome::Mask(method, _) => ExpectedVerdict::Mask(Some::<MaskMethod>(*method)),
    };
    Expected { verdict, by: None }.to_string()
}
