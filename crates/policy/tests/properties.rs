//! Properties over generated policies: a forbid never widens, and what is matched here is what Cedar would match.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test fails by panicking")]

use cedar_policy::{Authorizer, Context, Entities, Entity, EntityUid, PolicySet, Request};
use lockgate_core::{Action, Identity, IdentityKind, Principal};
use lockgate_policy::{Outcome, Policies, Question, RequestContext, Resource, Source, TargetFacts};
use proptest::prelude::*;
use std::collections::{BTreeMap, HashSet};

fn load(text: &str) -> Policies {
    Policies::load(vec![Source { path: "p.cedar".into(), text: text.into() }])
        .unwrap_or_else(|p| panic!("{p:?}\n{text}"))
}

fn head() -> impl Strategy<Value = String> {
    let principal = prop::sample::select(vec![
        "principal",
        "principal == User::\"alice\"",
        "principal == User::\"bob\"",
        "principal in Group::\"a\"",
        "principal in Group::\"b\"",
        "principal is User in Group::\"a\"",
        "principal in User::\"alice\"",
    ]);
    let action = prop::sample::select(vec![
        "action",
        "action == Action::\"read\"",
        "action == Action::\"write\"",
        "action in [Action::\"read\", Action::\"define\"]",
    ]);
    let resource = prop::sample::select(vec![
        "resource",
        "resource == Target::\"t\"",
        "resource in Target::\"t\"",
        "resource in Target::\"u\"",
        "resource in TargetLabel::\"env=prod\"",
        "resource is Table",
        "resource is Table in Target::\"t\"",
        "resource == Table::\"t/s.x\"",
    ]);
    (principal, action, resource).prop_map(|(p, a, r)| format!("({p}, {a}, {r});"))
}

fn policy() -> impl Strategy<Value = String> {
    let kind = prop::sample::select(vec!["permit ", "permit ", "forbid ", "@approve(\"g\") forbid "]);
    (kind, head()).prop_map(|(kind, head)| format!("{kind}{head}"))
}

/// How much an outcome lets through.
fn width(outcome: &Outcome) -> u8 {
    match outcome {
        Outcome::Allow => 2,
        Outcome::Approve(_) => 1,
        Outcome::Deny(_) => 0,
        Outcome::Mask(..) | Outcome::ApproveThenMask(..) => panic!("no mask here"),
    }
}

#[derive(Debug)]
struct Asked {
    identity: Identity,
    target: TargetFacts,
    table: bool,
    action: Action,
}

fn asked() -> impl Strategy<Value = Asked> {
    let user = prop::sample::select(vec!["alice", "bob"]);
    let groups = prop::sample::subsequence(vec!["a", "b"], 0..=2);
    let target = prop::sample::select(vec!["t", "u"]);
    let action = prop::sample::select(vec![Action::Read, Action::Write, Action::Define]);
    (user, groups, target, any::<bool>(), any::<bool>(), action).prop_map(
        |(user, groups, target, prod, table, action)| Asked {
            identity: Identity {
                user: user.into(),
                groups: groups.into_iter().map(str::to_owned).collect(),
                kind: IdentityKind::Human,
                directories: Vec::new(),
                on_behalf_of: Vec::new(),
                token_id: None,
                actions: None,
            },
            target: TargetFacts {
                name: target.parse().unwrap(),
                labels: BTreeMap::from([("env".into(), if prod { "prod" } else { "dev" }.into())]),
            },
            table,
            action,
        },
    )
}

fn decide(policies: &Policies, asked: &Asked) -> Outcome {
    let resource = if asked.table {
        Resource::Table { target: &asked.target, name: "s.x" }
    } else {
        Resource::Target(&asked.target)
    };
    let context = RequestContext::default();
    policies.decide(&Question { identity: &asked.identity, action: asked.action, resource, context: &context }).outcome
}

/// Cedar itself, without any of our shortcuts.
fn cedar(policies: &PolicySet, asked: &Asked) -> bool {
    let uid = |text: String| text.parse::<EntityUid>().unwrap();
    let user = uid(format!("User::\"{}\"", asked.identity.user));
    let groups: HashSet<EntityUid> = asked.identity.groups.iter().map(|g| uid(format!("Group::\"{g}\""))).collect();
    let target = uid(format!("Target::\"{}\"", asked.target.name));
    let labels: HashSet<EntityUid> =
        asked.target.labels.iter().map(|(k, v)| uid(format!("TargetLabel::\"{k}={v}\""))).collect();
    let table = uid(format!("Table::\"{}/s.x\"", asked.target.name));
    let entities = Entities::from_entities(
        [
            Entity::new_no_attrs(user.clone(), groups),
            Entity::new_no_attrs(target.clone(), labels),
            Entity::new_no_attrs(table.clone(), HashSet::from([target.clone()])),
        ],
        None,
    )
    .unwrap();
    let resource = if asked.table { table } else { target };
    let action = uid(format!("Action::\"{}\"", asked.action));
    let request = Request::new(user, action, resource, Context::empty(), None).unwrap();
    Authorizer::new().is_authorized(&request, policies, &entities).decision() == cedar_policy::Decision::Allow
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn a_forbid_never_widens(texts in prop::collection::vec(policy(), 0..6), soft in any::<bool>(), head in head(), asked in asked()) {
        let before = texts.join("\n");
        let forbid = if soft { "@approve(\"h\") forbid " } else { "forbid " };
        let after = format!("{before}\n{forbid}{head}");
        let (before, after) = (decide(&load(&before), &asked), decide(&load(&after), &asked));
        prop_assert!(width(&after) <= width(&before), "{:?} then {:?}", before, after);
    }

    #[test]
    fn who_acts_for_others_has_what_all_of_them_have(
        texts in prop::collection::vec(policy(), 0..8),
        asked in asked(),
        chain in prop::collection::vec((prop::sample::select(vec!["carol", "dave"]), prop::sample::subsequence(vec!["a", "b"], 0..=2)), 1..=2),
        directory in prop::option::of(prop::sample::subsequence(vec!["a", "b"], 0..=2)),
    ) {
        let policies = load(&texts.join("\n"));
        let names = |groups: &[&str]| groups.iter().map(|g| (*g).to_owned()).collect();
        let alone = |user: &str, groups| {
            let identity = Identity { user: user.to_owned(), groups, ..asked.identity.clone() };
            width(&decide(&policies, &Asked { identity, target: asked.target.clone(), table: asked.table, action: asked.action }))
        };
        let mut least = alone(&asked.identity.user, asked.identity.groups.clone());
        for (user, groups) in &chain {
            least = least.min(alone(user, names(groups)));
        }
        if let Some(groups) = &directory {
            least = least.min(alone(&asked.identity.user, names(groups)));
        }
        let principal = |(user, groups): &(&str, Vec<&str>)| Principal {
            user: (*user).to_owned(),
            kind: IdentityKind::Human,
            groups: Some(names(groups)),
            directories: Vec::new(),
        };
        let identity = Identity {
            on_behalf_of: chain.iter().map(principal).collect(),
            directories: directory.iter().map(|groups| names(groups)).collect(),
            ..asked.identity.clone()
        };
        let both = Asked { identity, ..asked };
        prop_assert_eq!(width(&decide(&policies, &both)), least);
    }

    #[test]
    fn a_scope_permits_nothing_that_policy_does_not(
        texts in prop::collection::vec(policy(), 0..8),
        asked in asked(),
        actions in prop::sample::subsequence(vec![Action::Read, Action::Write, Action::Define], 1..=3),
    ) {
        let policies = load(&texts.join("\n"));
        let whole = width(&decide(&policies, &asked));
        let is_for = actions.contains(&asked.action);
        let identity = Identity { actions: Some(actions.into_iter().collect()), ..asked.identity.clone() };
        let scoped = width(&decide(&policies, &Asked { identity, ..asked }));
        prop_assert_eq!(scoped, if is_for { whole } else { 0 });
    }

    #[test]
    fn decides_as_cedar_does(texts in prop::collection::vec(policy(), 0..8), asked in asked()) {
        // Without the annotations Cedar sees plain forbids: what it allows is exactly what needs no approval.
        let text = texts.join("\n");
        let plain: PolicySet = text.parse().unwrap();
        prop_assert_eq!(decide(&load(&text), &asked) == Outcome::Allow, cedar(&plain, &asked));
    }
}
