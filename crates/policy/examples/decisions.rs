//! How long a decision takes that nobody has cached: a hundred policies, a question that a dozen of them are about.

#![allow(clippy::disallowed_types, reason = "a test or an example may look at the clock")]

use lockgate_core::{Action, Identity, IdentityKind};
use lockgate_policy::{Policies, Question, RequestContext, Resource, Source, SqlContext, TargetFacts};
use std::collections::BTreeMap;
use std::hint::black_box;
use std::time::Instant;

fn main() {
    let mut text = String::new();
    for team in 0..45 {
        text.push_str(&format!(
            "permit (principal in Group::\"team{team}\", action in [Action::\"connect\", Action::\"read\", Action::\"write\"], resource in Target::\"t{team}\");\n@approve(\"dba\") forbid (principal, action == Action::\"define\", resource in Target::\"t{team}\");\n"
        ));
    }
    for verb in ["delete", "update", "merge", "truncate", "insert", "copy", "call", "do", "set", "lock"] {
        text.push_str(&format!(
            "forbid (principal, action == Action::\"write\", resource) when {{ context.sql.verb == \"{verb}\" && !context.sql.has_where && context.identity.kind == \"agent\" }};\n"
        ));
    }
    let policies = match Policies::load(vec![Source { path: "bench.cedar".into(), text }]) {
        Ok(policies) => policies,
        Err(problems) => {
            problems.iter().for_each(|p| eprintln!("{p}"));
            return;
        }
    };
    let Ok(name) = "t7".parse() else { return };
    let target = TargetFacts { name, labels: BTreeMap::from([("env".into(), "prod".into())]) };
    let identity = Identity {
        user: "alice".into(),
        groups: ["team7", "everyone", "office"].map(str::to_owned).into(),
        kind: IdentityKind::Human,
        directories: Vec::new(),
        on_behalf_of: Vec::new(),
        token_id: None,
        actions: None,
    };
    let sql = SqlContext { verb: "update".into(), has_where: true, ..SqlContext::default() };
    let context = RequestContext { sql: Some(sql), ..RequestContext::default() };
    for action in [Action::Read, Action::Write] {
        let resource = Resource::Table { target: &target, name: "public.customers" };
        let question = Question { identity: &identity, action, resource, context: &context };
        let rounds = 20_000_u32;
        let start = Instant::now();
        for _ in 0..rounds {
            black_box(policies.decide(black_box(&question)));
        }
        let each = start.elapsed() / rounds;
        println!("{action}: {each:?} a decision, {} policies", policies.list().count());
    }
}
