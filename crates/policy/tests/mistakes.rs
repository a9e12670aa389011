//! Mistakes in policy files: each is found, in its place, with the name that was meant.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test fails by panicking")]

use lockgate_policy::{Policies, Source};

fn problems(text: &str) -> Vec<String> {
    match Policies::load(vec![Source { path: "p.cedar".into(), text: text.into() }]) {
        Ok(_) => panic!("accepted: {text}"),
        Err(problems) => problems
            .iter()
            .map(|p| {
                let hint = p.hint.as_ref().map(|h| format!(" [{h}]")).unwrap_or_default();
                format!("{}:{}: {}{hint}", p.line, p.column, p.message)
            })
            .collect(),
    }
}

#[test]
fn every_mistake_has_its_place() {
    let cases = [
        (
            "permit (principal, action, resource)\nwhen { context.sql.vreb == \"a\" };",
            "2:8: unknown attribute `context.sql.vreb`",
            "[did you mean `verb`?]",
        ),
        (
            "permit (principal in Gruop::\"x\", action, resource);",
            "1:22: unrecognized entity type `Gruop`",
            "[did you mean `Group`?]",
        ),
        (
            "permit (principal, action == Action::\"raed\", resource);",
            "1:30: unrecognized action `Action::\"raed\"`",
            "[did you mean `Action::\"read\"`?]",
        ),
        (
            "@aprove(\"dba\")\nforbid (principal, action, resource);",
            "1:",
            "unknown annotation `@aprove` [did you mean `@approve`?]",
        ),
        (
            "forbid (principal, action, resource);\n\n  @mask(\"redcat\")\nforbid (principal, action == Action::\"reveal\", resource);",
            "3:",
            "`redcat` is not a masking method [did you mean `redact`?]",
        ),
        (
            "@observ\npermit (principal, action, resource);",
            "1:1: unknown annotation `@observ`",
            "[did you mean `@observe`?]",
        ),
        ("permit (principal, action, resource) when { context.client.ip == \"10.0.0.1\" };", "1:45:", "types"),
        ("permit (principal, action, resource) when { context.now > 5 };", "1:", "type"),
        ("permit (principal, action, resource) when { principal.name == \"x\" };", "1:45: attribute `name`", ""),
        ("permit (principal, action resource);", "1:27: ", ""),
        (
            "permit (principal, action == Action::\"reveal\", resource in Target::\"orders\");",
            "1:1: unable to find an applicable action",
            "",
        ),
        (
            "forbid (principal, action in [Action::\"export\", Action::\"reveal\"], resource in Target::\"orders\");",
            "1:49: `resource in Target::\"orders\"` never holds for `reveal`",
            "context.target",
        ),
        (
            "permit (principal, action in [Action::\"read\", Action::\"reveal\"], resource in Label::\"pii\");",
            "1:31: `resource in Label::\"pii\"` never holds for `read`",
            "labels are for `reveal` and `infer`",
        ),
        ("permit (principal == ?principal, action, resource);", "0:0: a policy has a placeholder", ""),
        (
            "@id(\"a\")\npermit (principal, action, resource);\n@id(\"a\")\nforbid (principal, action, resource);",
            "3:1: the id `a` is taken by the policy at p.cedar:1",
            "",
        ),
        (
            "permit (principal, action, resource) when { context.sql.verb == \"select\" && false };",
            "1:1: policy is impossible",
            "",
        ),
        (
            "permit (principal, action, resource) unless { context has sqll };",
            "1:59: unknown attribute `context.sqll`",
            "[did you mean `sql`?]",
        ),
        (
            "permit (principal, action, resource) unless { context has sql.vreb };",
            "1:",
            "unknown attribute `context.sql.vreb`",
        ),
    ];
    for (text, start, part) in cases {
        let found = problems(text);
        assert!(
            found.iter().any(|p| p.starts_with(start) && p.contains(part)),
            "{text}\nexpected {start} … {part}\nfound {found:#?}"
        );
    }
}

#[test]
fn a_word_that_no_statement_is_called_by_is_pointed_out() {
    let doubts = |text: &str| {
        let loaded = Policies::load(vec![Source { path: "p.cedar".into(), text: text.into() }]).unwrap();
        let show = |p: &lockgate_policy::Problem| {
            format!("{}:{}: {}; {}", p.line, p.column, p.message, p.hint.clone().unwrap_or_default())
        };
        loaded.doubts().iter().map(show).collect::<Vec<_>>()
    };
    for (condition, told) in [
        ("context.sql.verb == \"delete\"", vec![]),
        ("[\"drop_table\", \"alter_system\"].contains(context.sql.verb)", vec![]),
        (
            "context has sql.verb && context.sql.verb == \"delte\"",
            vec!["1:89: `context.sql.verb` is never `delte`; did you mean `delete`?"],
        ),
        ("\"SELECT\" != context.sql.verb", vec!["1:45: `context.sql.verb` is never `SELECT`; did you mean `select`?"]),
        (
            "[\"drop_table\", \"truncate\"].contains(context.sql.verb)",
            vec!["1:60: `context.sql.verb` is never `truncate`; did you mean `truncate_table`?"],
        ),
    ] {
        let text = format!("forbid (principal, action, resource) when {{ {condition} }};");
        assert_eq!(doubts(&text), told, "{text}");
    }
}

#[test]
fn all_files_are_reported_together() {
    let file = |path: &str, text: &str| Source { path: path.into(), text: text.into() };
    let bad = "@aprove(\"x\") forbid (principal, action, resource);";
    let problems = Policies::load(vec![file("b.cedar", bad), file("a.cedar", bad)]).unwrap_err();
    assert_eq!(problems.iter().map(|p| p.path.as_str()).collect::<Vec<_>>(), ["a.cedar", "b.cedar"]);
    let twice = "@id(\"x\") permit (principal, action, resource);";
    let problems = Policies::load(vec![file("b.cedar", twice), file("a.cedar", twice)]).unwrap_err();
    assert_eq!(
        problems[0].to_string(),
        "b.cedar:1:1: the id `x` is taken by the policy at a.cedar:1\n 1 | @id(\"x\") permit (principal, action, resource);\n   | ^"
    );
}

#[test]
fn messages_show_the_line() {
    let text = "permit (principal, action, resource)\nwhen { context.sql.vreb == \"a\" };";
    let problem = Policies::load(vec![Source { path: "p.cedar".into(), text: text.into() }]).unwrap_err().remove(0);
    let shown = problem.to_string();
    assert!(shown.contains("\n 2 | when { context.sql.vreb == \"a\" };\n   |        ^^^^^^^^^^^^^^^^"), "{shown}");
}

/// On a stack of two megabytes, as a test and a worker have, with what is just within the limits and what is not.
#[test]
fn nesting_is_loaded_and_asked_or_refused() {
    let head = "permit (principal, action, resource) when { ";
    let nested = |n: usize| {
        vec![
            format!("{head}{}true{} }};", "(".repeat(n), ")".repeat(n)),
            format!("{head}{}true{} }};", "if true then (".repeat(n), ") else false".repeat(n)),
            format!("{head}{}1{} == context }};", "[".repeat(n), "]".repeat(n)),
            format!("{head}{}1{} == context }};", "{\"a\": ".repeat(n), "}".repeat(n)),
            format!("{head}{}true{} }};", "!(".repeat(n), ")".repeat(n)),
        ]
    };
    let chained = |n: usize| {
        vec![
            format!("{head}true{} }};", " && true".repeat(n / 3)),
            format!("{head}true{} }};", " || context.sql.has_where".repeat(n / 8)),
            format!("{head}1{} == 3 }};", " + 1".repeat(n / 2)),
            format!("{head}context{} == 3 }};", ".sql".repeat(n / 2)),
            format!("{head}{}true }};", "if true then true else ".repeat(n / 4)),
        ]
    };
    for text in nested(40).into_iter().chain(chained(400)) {
        // Loaded or a mistake, and dropped again here.
        let _ = Policies::load(vec![Source { path: "p.cedar".into(), text }]);
    }
    for text in nested(5_000).into_iter().chain(chained(100_000)) {
        let told = problems(&text);
        assert!(told.len() == 1 && (told[0].contains("nested deeper") || told[0].contains("more than")), "{told:?}");
    }
    // Neither what stands in strings and comments counts, nor one policy for the next.
    let many =
        format!("// {}\n{head}context.http.path == \"{}\" }};\n", "(".repeat(5_000), "\\\"(".repeat(5_000)).repeat(30);
    assert!(Policies::load(vec![Source { path: "p.cedar".into(), text: many }]).is_ok());
}
