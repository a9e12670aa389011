//! Decisions, on the design's own policies and on every annotation and combination.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test fails by panicking")]

use lockgate_core::{Action, Identity, IdentityKind, Label, Principal, Timestamp};
use lockgate_policy::{
    DenyReason, InferMode, MaskMethod, Miss, Outcome, Policies, Question, RequestContext, Resource, Severity, Source,
    SqlContext, TargetFacts,
};
use std::collections::BTreeMap;

/// The policies of the design document, as written.
const DESIGN: &str = r#"permit (principal in Group::"engineers", action in [Action::"connect", Action::"read", Action::"write"], resource in Target::"orders");

@id("no-bulk-export")
forbid (principal, action == Action::"export", resource in Target::"orders");

@id("ddl-needs-a-dba")
@approve("dba")
forbid (principal, action == Action::"define", resource in Target::"orders");

@id("delete-without-where")
forbid (principal, action == Action::"write", resource) when { context.sql.verb == "delete" && !context.sql.has_where };

@id("mask-pii")
@mask("redact")
forbid (principal, action == Action::"reveal", resource in Label::"pii") unless { principal in Group::"fraud" };
"#;

fn load(text: &str) -> Policies {
    let source = Source { path: "policies/orders.cedar".into(), text: text.into() };
    match Policies::load(vec![source]) {
        Ok(policies) => policies,
        Err(problems) => panic!("{}", problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")),
    }
}

fn identity(user: &str, groups: &[&str]) -> Identity {
    Identity {
        user: user.into(),
        groups: groups.iter().map(|g| (*g).to_owned()).collect(),
        kind: IdentityKind::Human,
        directories: Vec::new(),
        on_behalf_of: Vec::new(),
        token_id: None,
        actions: None,
    }
}

fn principal(user: &str, groups: &[&str]) -> Principal {
    let groups = Some(groups.iter().map(|g| (*g).to_owned()).collect());
    Principal { user: user.into(), kind: IdentityKind::Human, groups, directories: Vec::new() }
}

fn orders() -> TargetFacts {
    TargetFacts { name: "orders".parse().unwrap(), labels: BTreeMap::from([("env".into(), "prod".into())]) }
}

fn sql(verb: &str, has_where: bool) -> RequestContext {
    RequestContext {
        sql: Some(SqlContext { verb: verb.into(), has_where, statement_count: 1, ..SqlContext::default() }),
        ..RequestContext::default()
    }
}

/// The outcome in a few words, with the policies that took part.
fn ask(policies: &Policies, who: &Identity, action: &str, on: &str, context: &RequestContext) -> String {
    let target = orders();
    let label: Label;
    let resource = match on.split_once(' ') {
        None => Resource::Target(&target),
        Some(("table", name)) => Resource::Table { target: &target, name },
        Some((_, name)) => {
            label = name.parse().unwrap();
            Resource::Label { target: &target, label: &label, table: Some("public.customers") }
        }
    };
    let question = Question { identity: who, action: action.parse().unwrap(), resource, context };
    let decision = policies.decide(&question);
    let explained = policies.explain(&question);
    assert_eq!(explained.decision, decision, "an explanation explains the decision");
    let verdict = match &decision.outcome {
        Outcome::Allow => "allow".to_owned(),
        Outcome::Deny(DenyReason::Forbidden(by)) => format!("deny {}", by.id),
        Outcome::Deny(DenyReason::NoPermit) => "deny".to_owned(),
        Outcome::Deny(DenyReason::OutOfScope) => "out of scope".to_owned(),
        Outcome::Deny(DenyReason::Unanswerable(why)) => format!("unanswerable {why}"),
        Outcome::Approve(needs) => format!(
            "approve {}",
            needs.iter().map(|n| format!("{}x{}", n.quorum, n.groups.join("|"))).collect::<Vec<_>>().join(" & ")
        ),
        Outcome::Mask(method, by) => format!("mask {method} {}", by.id),
        Outcome::ApproveThenMask(needs, method, _) => format!("approve {} then mask {method}", needs.len()),
    };
    let observed: Vec<String> = decision.observed.iter().map(|p| format!(" observed {}", p.id)).collect();
    verdict + &observed.concat()
}

#[test]
fn a_scope_narrows_what_policy_permits() {
    let policies = load(&format!(
        "{DESIGN}{}",
        r#"permit (principal in Group::"dba", action, resource);
permit (principal in Group::"fraud", action == Action::"reveal", resource in Label::"pii");"#
    ));
    let scoped = |groups: &[&str], actions: &[Action]| Identity {
        actions: Some(actions.iter().copied().collect()),
        ..identity("alice", groups)
    };
    let none = RequestContext::default();
    let reads = [Action::Read];
    for (who, action, on, context, expected) in [
        (scoped(&["engineers"], &reads), "connect", "target", &none, "allow"),
        (scoped(&["engineers"], &reads), "read", "table public.customers", &sql("select", true), "allow"),
        (scoped(&["engineers"], &reads), "write", "table public.customers", &sql("insert", false), "out of scope"),
        // Policy's own word comes first, and a scope permits nothing.
        (
            scoped(&["engineers"], &reads),
            "write",
            "table public.customers",
            &sql("delete", false),
            "deny delete-without-where",
        ),
        (scoped(&["engineers"], &[Action::Administer]), "administer", "target", &none, "deny"),
        // Nobody is asked to approve what the token is not for.
        (scoped(&["dba"], &reads), "define", "target", &none, "out of scope"),
        (scoped(&["dba"], &[Action::Define]), "define", "target", &none, "approve 1xdba"),
        // What may not be revealed is masked as for everybody.
        (scoped(&["fraud"], &reads), "reveal", "label pii/ssn", &none, "out of scope"),
        (scoped(&["fraud"], &[Action::Reveal]), "reveal", "label pii/ssn", &none, "allow"),
        (scoped(&["dba"], &reads), "reveal", "label pii/ssn", &none, "mask redact mask-pii"),
        (scoped(&["fraud"], &reads), "infer", "label pii/ssn", &none, "out of scope"),
        (scoped(&["fraud"], &[Action::Infer]), "infer", "label pii/ssn", &none, "allow"),
    ] {
        assert_eq!(ask(&policies, &who, action, on, context), expected, "{action} on {on} by {who:?}");
    }
    // The scope is the agent's and its principal's alike.
    let agent = Identity { on_behalf_of: vec![principal("bob", &["engineers"])], ..scoped(&["engineers"], &reads) };
    assert_eq!(ask(&policies, &agent, "read", "table public.customers", &sql("select", true)), "allow");
    assert_eq!(ask(&policies, &agent, "write", "table public.customers", &sql("insert", false)), "out of scope");
}

#[test]
fn the_designs_policies() {
    let policies = load(DESIGN);
    let alice = identity("alice", &["engineers"]);
    let frank = identity("frank", &["fraud"]);
    let mallory = identity("mallory", &[]);
    let none = RequestContext::default();
    for (who, action, on, context, expected) in [
        (&alice, "connect", "target", &none, "allow"),
        (&alice, "read", "table public.customers", &sql("select", true), "allow"),
        (&alice, "write", "table public.customers", &sql("delete", true), "allow"),
        (&alice, "write", "table public.customers", &sql("delete", false), "deny delete-without-where"),
        (&alice, "write", "table public.customers", &none, "allow"),
        (&alice, "export", "table public.customers", &sql("copy", false), "deny no-bulk-export"),
        (&alice, "define", "table public.customers", &sql("drop_table", false), "deny"),
        (&alice, "administer", "target", &none, "deny"),
        (&alice, "reveal", "label pii/ssn", &none, "mask redact mask-pii"),
        (&alice, "reveal", "label pii", &none, "mask redact mask-pii"),
        (&alice, "reveal", "label secret/card", &none, "deny"),
        (&alice, "infer", "label pii/ssn", &none, "deny"),
        (&frank, "reveal", "label pii/ssn", &none, "deny"),
        (&frank, "connect", "target", &none, "deny"),
        (&mallory, "read", "table public.customers", &none, "deny"),
    ] {
        assert_eq!(ask(&policies, who, action, on, context), expected, "{} {action} {on}", who.user);
    }
}

#[test]
fn nothing_is_permitted_by_default() {
    let alice = identity("alice", &["engineers", "dba", "admins"]);
    for policies in [
        load(""),
        load(&DESIGN.replace("permit (principal in Group::\"engineers\"", "permit (principal == User::\"bob\"")),
    ] {
        for action in Action::ALL {
            let on = if matches!(action, Action::Reveal | Action::Infer) { "label other" } else { "target" };
            assert!(
                ask(&policies, &alice, action.name(), on, &RequestContext::default()).starts_with("deny"),
                "{action}"
            );
        }
    }
}

#[test]
fn annotations_and_their_combinations() {
    let alice = identity("alice", &["engineers"]);
    let permit = "permit (principal, action, resource);";
    let none = RequestContext::default();
    for (text, action, on, expected) in [
        ("@approve(\"dba\") forbid (principal, action, resource);", "write", "target", "approve 1xdba"),
        (
            "@approve(\"dba, sec\") @quorum(\"2\") forbid (principal, action, resource);",
            "write",
            "target",
            "approve 2xdba|sec",
        ),
        (
            "@approve(\"dba\") forbid (principal, action, resource); @approve(\"sec\") forbid (principal, action, resource);",
            "write",
            "target",
            "approve 1xdba & 1xsec",
        ),
        (
            "@approve(\"dba\") forbid (principal, action, resource); @id(\"no\") forbid (principal, action, resource);",
            "write",
            "target",
            "deny no",
        ),
        ("@observe @id(\"trial\") forbid (principal, action, resource);", "write", "target", "allow observed trial"),
        (
            "@mask(\"partial\") forbid (principal, action == Action::\"reveal\", resource); @id(\"m\") @mask(\"hash\") forbid (principal, action == Action::\"reveal\", resource in Label::\"pii\"); @mask(\"token\") forbid (principal, action == Action::\"reveal\", resource);",
            "reveal",
            "label pii/ssn",
            "mask hash m",
        ),
        (
            "@mask(\"partial\") forbid (principal, action == Action::\"reveal\", resource); @approve(\"dpo\") forbid (principal, action == Action::\"reveal\", resource);",
            "reveal",
            "label pii/ssn",
            "approve 1 then mask partial",
        ),
        (
            "@approve(\"dpo\") forbid (principal, action == Action::\"reveal\", resource);",
            "reveal",
            "label pii",
            "approve 1xdpo",
        ),
        ("@id(\"x\") forbid (principal, action == Action::\"reveal\", resource);", "reveal", "label pii", "deny x"),
    ] {
        let policies = load(&format!("{permit}\n{text}"));
        assert_eq!(ask(&policies, &alice, action, on, &none), expected, "{text}");
    }
    let policies = load("@observe permit (principal, action, resource);");
    assert_eq!(ask(&policies, &alice, "read", "target", &none), "deny observed orders.cedar#1");
    let policies = load("@approve(\"dba\") forbid (principal, action, resource);");
    assert_eq!(ask(&policies, &alice, "read", "target", &none), "deny", "an approval permits nothing by itself");
}

#[test]
fn alerts_come_from_the_policies_that_decided() {
    let policies = load(
        "@id(\"p\") @alert(\"low\") permit (principal, action, resource);\n@id(\"f\") @alert(\"high\") forbid (principal, action == Action::\"export\", resource);",
    );
    let (alice, target, context) = (identity("alice", &[]), orders(), RequestContext::default());
    let alerts = |action| {
        let question = Question { identity: &alice, action, resource: Resource::Target(&target), context: &context };
        let alerts = policies.decide(&question).alerts;
        alerts.into_iter().map(|a| (a.policy.id.to_string(), a.severity)).collect::<Vec<_>>()
    };
    assert_eq!(alerts(Action::Read), [("p".to_owned(), Severity::Low)]);
    assert_eq!(alerts(Action::Export), [("f".to_owned(), Severity::High)]);
}

#[test]
fn infer_follows_reveal_and_its_own_permits() {
    let (alice, target, context) = (identity("alice", &[]), orders(), RequestContext::default());
    let ssn: Label = "pii/ssn".parse().unwrap();
    let resource = Resource::Label { target: &target, label: &ssn, table: None };
    let infer = |text: &str| {
        let policies = load(text);
        let decision =
            policies.decide(&Question { identity: &alice, action: Action::Infer, resource, context: &context });
        let modes = InferMode::ALL.iter().filter(|m| decision.infer.allows(**m)).map(|m| m.name()).collect::<Vec<_>>();
        (decision.outcome == Outcome::Allow, modes.join(" "))
    };
    let everything = "equality join aggregate any".to_owned();
    assert_eq!(infer("permit (principal, action == Action::\"reveal\", resource);"), (true, everything.clone()));
    assert_eq!(infer("permit (principal, action == Action::\"infer\", resource);"), (true, everything));
    assert_eq!(
        infer(
            "@mode(\"equality\") permit (principal, action == Action::\"infer\", resource);\n@mode(\"join\") permit (principal, action == Action::\"infer\", resource);"
        ),
        (true, "equality join".to_owned())
    );
    let masked = "@mask(\"null\") forbid (principal, action == Action::\"reveal\", resource);";
    assert_eq!(
        infer(&format!("permit (principal, action == Action::\"reveal\", resource);\n{masked}")),
        (false, String::new())
    );
    assert_eq!(
        infer(
            "permit (principal, action == Action::\"reveal\", resource);\nforbid (principal, action == Action::\"infer\", resource);"
        ),
        (false, String::new())
    );
    let policies = load(
        "permit (principal, action == Action::\"reveal\", resource);\n@approve(\"dpo\") forbid (principal, action == Action::\"reveal\", resource);",
    );
    assert_eq!(ask(&policies, &alice, "infer", "label pii", &context), "approve 1xdpo");
}

#[test]
fn hierarchies() {
    let alice = identity("alice", &["engineers"]);
    let none = RequestContext::default();
    for (head, action, on, allowed) in [
        ("principal == User::\"alice\", action, resource", "read", "target", true),
        ("principal == User::\"bob\", action, resource", "read", "target", false),
        ("principal is User in Group::\"engineers\", action, resource", "read", "target", true),
        ("principal, action, resource in TargetLabel::\"env=prod\"", "read", "target", true),
        ("principal, action, resource in TargetLabel::\"env=prod\"", "read", "table public.a", true),
        ("principal, action, resource in TargetLabel::\"env=dev\"", "read", "target", false),
        ("principal, action, resource == Target::\"orders\"", "read", "target", true),
        ("principal, action, resource == Target::\"orders\"", "read", "table public.a", false),
        ("principal, action, resource == Table::\"orders/public.a\"", "read", "table public.a", true),
        ("principal, action, resource == Table::\"orders/public.a\"", "read", "table public.b", false),
        ("principal, action, resource is Table", "read", "target", false),
        ("principal, action, resource in Label::\"pii\"", "reveal", "label pii/contact/email", true),
        ("principal, action, resource in Label::\"pii/contact\"", "reveal", "label pii/ssn", false),
        ("principal, action, resource in Target::\"orders\"", "reveal", "label pii/ssn", false),
    ] {
        let expected = if allowed { "allow" } else { "deny" };
        assert_eq!(ask(&load(&format!("permit ({head});")), &alice, action, on, &none), expected, "{head} {on}");
    }
}

#[test]
fn conditions_see_the_circumstances() {
    let mut bot = identity("bot", &["engineers"]);
    bot.kind = IdentityKind::Agent;
    bot.on_behalf_of = vec![principal("bob", &[])];
    let mut context = sql("select", true);
    context.client_ip = "::ffff:10.1.2.3".parse().unwrap();
    context.now = Timestamp::from_millis(1_795_237_740_123);
    context.grant = Some("g1".into());
    context.sql.as_mut().unwrap().tables.insert("public.customers".into());
    for (condition, action, on, holds) in [
        ("when { context.client.ip.isInRange(ip(\"10.0.0.0/8\")) }", "read", "target", true),
        ("when { context.now < datetime(\"2026-11-21T05:09:00.124Z\") }", "read", "target", true),
        ("when { context.now < datetime(\"2026-11-21T05:09:00.123Z\") }", "read", "target", false),
        ("when { context.now.toTime() > duration(\"5h\") }", "read", "target", true),
        ("when { context.identity.kind == \"agent\" }", "read", "target", true),
        ("when { context.identity.on_behalf_of.contains(\"bob\") }", "read", "target", true),
        ("when { context.grant == \"g1\" }", "read", "target", true),
        ("when { context has grant && context.grant == \"g2\" }", "read", "target", false),
        ("when { context.sql.tables.contains(\"public.customers\") }", "read", "target", true),
        ("when { context has sql }", "read", "target", true),
        ("unless { context has sql }", "read", "target", false),
        ("when { context has http }", "read", "target", false),
        ("when { context has http.method }", "read", "target", false),
        ("when { context has sql.verb && context.sql.verb == \"select\" }", "read", "target", true),
        ("when { context.http.method == \"\" }", "read", "target", true),
        ("when { !(context has http) || context.http.method == \"GET\" }", "read", "target", true),
        ("when { context.target == Target::\"orders\" }", "reveal", "label pii", true),
        ("when { context.target in TargetLabel::\"env=prod\" }", "reveal", "label pii", true),
        ("when { context.table == Table::\"orders/public.customers\" }", "reveal", "label pii", true),
        ("when { context.table in Target::\"orders\" }", "reveal", "label pii", true),
        ("when { context has table }", "read", "target", false),
        ("when { context.sql.statement_count + 9223372036854775807 > 0 }", "read", "target", false),
    ] {
        let bobs = "permit (principal == User::\"bob\", action, resource);";
        let policies = load(&format!("permit (principal, action, resource) {condition};\n{bobs}"));
        let expected = if holds { "allow" } else { "deny" };
        assert_eq!(ask(&policies, &bot, action, on, &context), expected, "{condition}");
    }
    let policies = load(
        "permit (principal, action, resource);\n@id(\"e\") forbid (principal, action, resource) when { context.sql.statement_count + 9223372036854775807 > 0 };",
    );
    assert_eq!(ask(&policies, &bot, "read", "target", &context), "deny e", "a forbid that cannot be evaluated forbids");
}

#[test]
fn who_acts_for_others_has_what_all_of_them_have() {
    let policies = load(
        "permit (principal in Group::\"a\", action in [Action::\"connect\", Action::\"read\", Action::\"export\"], resource);
permit (principal in Group::\"b\", action in [Action::\"connect\", Action::\"write\", Action::\"export\"], resource);
permit (principal in Group::\"c\", action in [Action::\"reveal\", Action::\"infer\"], resource in Label::\"pii\");
permit (principal in Group::\"d\", action == Action::\"reveal\", resource in Label::\"pii/ssn\");
@id(\"own\") forbid (principal, action == Action::\"write\", resource) when { context.identity.kind == \"agent\" };
@id(\"x\") @approve(\"xs\") forbid (principal in Group::\"a\", action == Action::\"export\", resource);
@id(\"y\") @approve(\"ys\") @quorum(\"2\") forbid (principal in Group::\"b\", action == Action::\"export\", resource);
@id(\"null\") @mask(\"null\") forbid (principal in Group::\"n\", action == Action::\"reveal\", resource in Label::\"pii\");
@id(\"part\") @mask(\"partial\") forbid (principal in Group::\"p\", action == Action::\"reveal\", resource in Label::\"pii\");
@id(\"asks\") @approve(\"zs\") forbid (principal in Group::\"z\", action == Action::\"reveal\", resource in Label::\"pii\");
@id(\"never\") forbid (principal in Group::\"never\", action == Action::\"reveal\", resource in Label::\"pii\");
@mode(\"equality\") permit (principal in Group::\"e\", action == Action::\"infer\", resource in Label::\"pii\");
@mode(\"join\") permit (principal in Group::\"j\", action == Action::\"infer\", resource in Label::\"pii\");",
    );
    let none = RequestContext::default();
    for (own, theirs, action, on, expected) in [
        (&["a"][..], &["a"][..], "read", "target", "allow"),
        (&["a"], &["b"], "connect", "target", "allow"),
        (&["a"], &["b"], "read", "target", "deny"),
        (&["b"], &["a"], "read", "target", "deny"),
        (&["a"], &[], "connect", "target", "deny"),
        (&[], &["a"], "connect", "target", "deny"),
        // What is forbidden to agents is forbidden to the agent, and what to people is permitted stays theirs.
        (&["b"], &["b"], "write", "target", "deny own"),
        (&["a"], &["b"], "export", "target", "approve 1xxs & 2xys"),
        (&["a"], &["a"], "export", "target", "approve 1xxs"),
        (&["c"], &["c"], "reveal", "label pii/ssn", "allow"),
        (&["c"], &["a"], "reveal", "label pii/ssn", "deny"),
        (&["c", "n"], &["c", "p"], "reveal", "label pii/ssn", "mask null null"),
        (&["c", "p"], &["c", "n"], "reveal", "label pii/ssn", "mask null null"),
        (&["c", "p"], &["c"], "reveal", "label pii/ssn", "mask partial part"),
        (&["c"], &["c", "p"], "reveal", "label pii/ssn", "mask partial part"),
        // Without a permit the value is redacted: more than in part, less than not at all.
        (&["p"], &[], "reveal", "label pii/ssn", "deny"),
        (&["n"], &[], "reveal", "label pii/ssn", "mask null null"),
        (&[], &["n"], "reveal", "label pii/ssn", "mask null null"),
        (&["c", "z"], &["c"], "reveal", "label pii/ssn", "approve 1xzs"),
        (&["c"], &["c", "z"], "reveal", "label pii/ssn", "approve 1xzs"),
        (&["c", "z"], &["c", "p"], "reveal", "label pii/ssn", "approve 1 then mask partial"),
        (&["c", "z"], &[], "reveal", "label pii/ssn", "approve 1 then mask redact"),
        (&[], &["c", "z"], "reveal", "label pii/ssn", "approve 1 then mask redact"),
        (&["c", "never"], &["c", "n"], "reveal", "label pii/ssn", "deny never"),
        (&["c", "n"], &["c", "never"], "reveal", "label pii/ssn", "deny never"),
        (&["d"], &["c"], "infer", "label pii/ssn", "allow"),
        (&["d"], &["a"], "infer", "label pii/ssn", "deny"),
        (&["c"], &["e"], "infer", "label pii/ssn", "allow"),
    ] {
        let mut bot = identity("bot", own);
        bot.kind = IdentityKind::Agent;
        bot.on_behalf_of = vec![principal("bob", theirs)];
        assert_eq!(ask(&policies, &bot, action, on, &none), expected, "{own:?} for {theirs:?}: {action} {on}");
        // A directory that knows other groups than the token counts like somebody else whom it acts for.
        if expected != "deny own" {
            let mut alice = identity("alice", own);
            alice.directories = vec![theirs.iter().map(|g| (*g).to_owned()).collect()];
            assert_eq!(ask(&policies, &alice, action, on, &none), expected, "{own:?} and {theirs:?}: {action} {on}");
        }
    }
    let target = orders();
    let label: Label = "pii".parse().unwrap();
    let resource = Resource::Label { target: &target, label: &label, table: None };
    for (own, theirs, equality, join) in
        [(&["e"], &["e"], true, false), (&["e"], &["j"], false, false), (&["c"], &["j"], false, true)]
    {
        let mut bot = identity("bot", own);
        bot.on_behalf_of = vec![principal("bob", theirs)];
        let question = Question { identity: &bot, action: Action::Infer, resource, context: &none };
        let infer = policies.decide(&question).infer;
        let of = |mode| infer.allows(mode);
        assert_eq!(
            (of(InferMode::Equality), of(InferMode::Join), of(InferMode::Any)),
            (equality, join, false),
            "{own:?} {theirs:?}"
        );
    }
}

#[test]
fn a_refusal_tells_who_lacks_the_right() {
    let policies = load("permit (principal in Group::\"a\", action, resource);");
    let (target, context) = (orders(), RequestContext::default());
    let lacking = |identity: &Identity| {
        let question =
            Question { identity, action: Action::Read, resource: Resource::Target(&target), context: &context };
        let explanation = policies.explain(&question);
        let near: Vec<&str> = explanation.near.iter().flat_map(|near| &near.misses).map(Miss::text).collect();
        (explanation.decision.lacking.clone(), near.concat())
    };
    let head = "principal in Group::\"a\"".to_owned();
    let mut bot = identity("bot", &["a"]);
    bot.on_behalf_of = vec![principal("helper", &["a"]), principal("bob", &[])];
    assert_eq!(lacking(&bot), (Some("bob".into()), head.clone()));
    bot.groups.clear();
    assert_eq!(lacking(&bot), (None, head));
    bot.on_behalf_of[1].groups = None;
    assert_eq!(ask(&policies, &bot, "read", "target", &context), "unanswerable the groups of `bob` are not known");
}

#[test]
fn decisions_tell_what_they_depend_on() {
    let policies = load(
        "permit (principal, action == Action::\"read\", resource) when { context.now < datetime(\"2030-01-01\") };\npermit (principal, action == Action::\"write\", resource) when { context.client.ip.isLoopback() };\npermit (principal in Group::\"x\", action == Action::\"connect\", resource) when { context.client.ip.isLoopback() };",
    );
    assert!(policies.depends_on_time() && policies.depends_on_client());
    let (alice, target, context) = (identity("alice", &[]), orders(), RequestContext::default());
    for (action, time, client) in
        [(Action::Read, true, false), (Action::Write, false, true), (Action::Connect, false, false)]
    {
        let question = Question { identity: &alice, action, resource: Resource::Target(&target), context: &context };
        let decision = policies.decide(&question);
        assert_eq!((decision.depends_on_time, decision.depends_on_client), (time, client), "{action}");
    }
    assert!(!load(DESIGN).depends_on_time() && !load(DESIGN).depends_on_client());
}

#[test]
fn a_question_of_the_wrong_kind_is_denied() {
    let policies = load("permit (principal, action, resource);");
    let alice = identity("alice", &[]);
    let none = RequestContext::default();
    assert!(ask(&policies, &alice, "reveal", "target", &none).starts_with("unanswerable"));
    assert!(ask(&policies, &alice, "read", "label pii", &none).starts_with("unanswerable"));
}

#[test]
fn versions_and_references() {
    let (a, b) = (load(DESIGN), load(&DESIGN.replace("redact", "null")));
    assert_eq!(a.version(), load(DESIGN).version());
    assert_ne!(a.version(), b.version());
    // Pinned, because recordings keep it: it may not change from one release to the next.
    assert_eq!(load("").version(), 14_374_382_069_350_704_363);
    let named: Vec<&str> = a.references().iter().map(|r| r.kind.as_str()).collect();
    assert!(named.contains(&"Target") && named.contains(&"Label") && named.contains(&"Group"));
    let listed: Vec<(String, String)> = a.list().map(|l| (l.policy.to_string(), l.annotations)).collect();
    assert_eq!(listed[0].0, "policy \"orders.cedar#1\" (policies/orders.cedar:1)");
    assert_eq!(listed[2], ("policy \"ddl-needs-a-dba\" (policies/orders.cedar:6)".into(), "needs dba".into()));
    assert_eq!(listed[4].1, "masks with redact");
}

#[test]
fn explanations_name_what_came_close() {
    let policies = load(
        "@id(\"p\") permit (principal in Group::\"engineers\", action in [Action::\"read\", Action::\"write\"], resource in Target::\"orders\") when { context.sql.has_where } unless { context.sql.opaque };\n@id(\"far\") permit (principal == User::\"x\", action == Action::\"connect\", resource == Target::\"y\");",
    );
    let (alice, bob, target) = (identity("alice", &["engineers"]), identity("bob", &[]), orders());
    let near = |who: &Identity, action: Action, context: &RequestContext| {
        let explained =
            policies.explain(&Question { identity: who, action, resource: Resource::Target(&target), context });
        assert_eq!(explained.near.iter().filter(|n| &*n.policy.id != "p").count(), 0, "what is far off is not named");
        explained.near.into_iter().flat_map(|n| n.misses).collect::<Vec<_>>()
    };
    let with_where = sql("update", true);
    assert_eq!(near(&alice, Action::Read, &with_where), []);
    assert_eq!(near(&bob, Action::Read, &with_where), [Miss::Principal("principal in Group::\"engineers\"".into())]);
    assert_eq!(
        near(&alice, Action::Define, &with_where),
        [Miss::Action("action in [Action::\"read\", Action::\"write\"]".into())]
    );
    assert_eq!(
        near(&alice, Action::Write, &sql("update", false)),
        [Miss::Condition("when { context.sql.has_where }".into())]
    );
    let question =
        Question { identity: &alice, action: Action::Read, resource: Resource::Target(&target), context: &with_where };
    let explained = policies.explain(&question);
    assert_eq!(explained.matched.len(), 1);
    assert_eq!(explained.matched[0].policy.line, 1);
}

#[test]
fn methods_are_ordered_by_strength() {
    assert!(MaskMethod::Null > MaskMethod::Redact && MaskMethod::Redact > MaskMethod::Hash);
    assert!(MaskMethod::Hash > MaskMethod::Token && MaskMethod::Token > MaskMethod::Partial);
}

#[test]
fn a_forbid_holds_for_every_spelling_of_a_name_and_a_permit_for_one() {
    let policies = load(
        r#"permit (principal in Group::"engineers", action, resource);
permit (principal == User::"zoe", action == Action::"read", resource);
@id("not-mallory")
forbid (principal == User::"mallory", action == Action::"write", resource);
@id("not-for-mallory")
forbid (principal, action == Action::"define", resource) when { context.identity.on_behalf_of.contains("mallory") };
@id("only-alice")
forbid (principal, action == Action::"export", resource) unless { principal == User::"alice" };
@id("asks")
@approve("dba")
forbid (principal == User::"M\u{fc}ller", action == Action::"read", resource);
@id("hides")
@mask("null")
forbid (principal in User::"mallory", action == Action::"reveal", resource);
@id("on-trial")
@observe
forbid (principal == User::"mallory", action == Action::"transfer", resource);
"#,
    );
    let none = RequestContext::default();
    let bot = |user: &str| Identity {
        kind: IdentityKind::Agent,
        on_behalf_of: vec![principal(user, &["engineers"])],
        ..identity("bot", &["engineers"])
    };
    let engineer = |user: &str| identity(user, &["engineers"]);
    for (who, action, on, expected) in [
        (engineer("mallory"), "write", "target", "deny not-mallory"),
        (engineer("MALLORY"), "write", "target", "deny not-mallory"),
        (engineer("mal\u{200b}lory"), "write", "target", "deny not-mallory"),
        (engineer("\u{ff2d}allory"), "write", "target", "deny not-mallory"),
        (engineer("mallory2"), "write", "target", "allow"),
        (engineer("MALLORY"), "read", "target", "allow"),
        (engineer("MALLORY"), "transfer", "target", "allow observed on-trial"),
        (engineer("MALLORY"), "reveal", "label pii/ssn", "mask null hides"),
        (engineer("Mallory"), "infer", "label pii/ssn", "allow"),
        (engineer("mu\u{308}LLER"), "read", "target", "approve 1xdba"),
        (bot("mallory"), "define", "target", "deny not-for-mallory"),
        (bot("Mallory"), "define", "target", "deny not-for-mallory"),
        (bot("Mallory"), "write", "target", "deny not-mallory"),
        (bot("mallory2"), "define", "target", "allow"),
        // What is given to a name is given to that name, and nobody is spared for being like it.
        (identity("zoe", &[]), "read", "target", "allow"),
        (identity("ZOE", &[]), "read", "target", "deny"),
        (engineer("alice"), "export", "target", "allow"),
        (engineer("ALICE"), "export", "target", "deny only-alice"),
    ] {
        assert_eq!(ask(&policies, &who, action, on, &none), expected, "{action} on {on} by {who:?}");
    }
    let explained = policies.explain(&Question {
        identity: &engineer("MALLORY"),
        action: Action::Write,
        resource: Resource::Target(&orders()),
        context: &none,
    });
    let matched: Vec<&str> = explained.matched.iter().map(|m| &*m.policy.id).collect();
    assert_eq!(matched, ["orders.cedar#1", "not-mallory"]);
}
