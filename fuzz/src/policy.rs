//! Policy files: whatever loads can be asked, and what does not load says where.

use lockgate_core::{Action, Identity, IdentityKind};
use lockgate_policy::{Policies, Question, RequestContext, Resource, Source, SqlContext, TargetFacts};
use std::collections::BTreeMap;

/// One file.
pub fn file(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    match Policies::load(vec![Source { path: "fuzz.cedar".to_owned(), text: text.to_owned() }]) {
        Ok(policies) => ask(&policies),
        Err(problems) => {
            assert!(!problems.is_empty());
            assert!(problems.iter().all(|problem| problem.to_string().contains("fuzz.cedar")), "{problems:?}");
        }
    }
}

fn ask(policies: &Policies) {
    let identity = Identity {
        user: "alice".to_owned(),
        groups: ["engineers".to_owned()].into(),
        directories: Vec::new(),
        kind: IdentityKind::Human,
        on_behalf_of: Vec::new(),
        token_id: None,
        actions: None,
    };
    let target = TargetFacts {
        name: "orders".parse().expect("a name"),
        labels: BTreeMap::from([("env".to_owned(), "prod".to_owned())]),
    };
    let label = "pii/ssn".parse().expect("a label");
    let sql = Some(SqlContext { verb: "delete".to_owned(), ..SqlContext::default() });
    let table = "public.customers";
    for context in [RequestContext::default(), RequestContext { sql, ..RequestContext::default() }] {
        for action in Action::ALL {
            for resource in [
                Resource::Target(&target),
                Resource::Table { target: &target, name: table },
                Resource::Label { target: &target, label: &label, table: Some(table) },
            ] {
                let question = Question { identity: &identity, action, resource, context: &context };
                let decision = policies.decide(&question);
                assert_eq!(policies.explain(&question).decision.outcome, decision.outcome);
            }
        }
    }
}
