//! What a view is judged by is what the server keeps of it: a tree, which the analysis reads as SQL of its own. Every
//! statement here is made a view of, on every version of the server, and `SELECT * FROM` that view has to be judged at least
//! as strictly as the statement itself: refused where that is, and each column made of what it is made of there, no smaller
//! and no surer to be computed. Where the statement goes through, the view has to as well.

use crate::grammar::Grammar;
use crate::shapes;
use crate::stage;
use lockgate_sql::{Catalog, Context, Output, Outputs, Statement, analyze};

/// Statements from the grammar, of each version.
const MADE: u64 = 600;
/// Names and places of columns, of each version.
const SHAPES: u64 = 300;
/// What is written out counts otherwise than what was written by so much.
const SLACK: u64 = 4_096;

/// Operators and casts of extensions go by names that the server's own have too: in a statement either may be meant, in a
/// tree only one.
const NO_EXTENSIONS: &str = "DO $$ DECLARE e name; BEGIN FOR e IN SELECT extname FROM pg_extension WHERE extname <> 'plpgsql' \
    LOOP EXECUTE format('DROP EXTENSION IF EXISTS %I CASCADE', e); END LOOP; END $$";

/// The statements by which the analysis itself is tested.
const TABLES: [&str; 4] = [
    include_str!("../../crates/sql/tests/analysis.txt"),
    include_str!("../../crates/sql/tests/analysis_reach.txt"),
    include_str!("../../crates/sql/tests/analysis_names.txt"),
    include_str!("../../crates/sql/tests/analysis_fails.txt"),
];
/// Forms of expressions and of queries that the server keeps in ways of their own.
const FORMS: &str = include_str!("data/views.sql");

#[test]
fn a_view_is_judged_as_its_statement_is() {
    let mut wrong = Vec::new();
    for version in [15, 16, 17, 18] {
        let (mut loose, mut strict, mut judged, mut went_through) = (Vec::new(), Vec::new(), 0, 0);
        let statements = statements();
        let (catalog, made) = stage::stage(version).with_views(NO_EXTENSIONS, &statements);
        for (at, sql) in statements.iter().enumerate().filter(|(at, _)| made[*at]) {
            let (Some(own), Some(view)) = (judge(&catalog, sql), judge(&catalog, &format!("SELECT * FROM kept.v{at}")))
            else {
                continue;
            };
            judged += 1;
            went_through += usize::from(!is_refused(&own));
            let more_is_said = SAID_BY_THE_TREE.iter().any(|part| sql.contains(part));
            if let Some(what) = looser(&own, &view) {
                if more_is_said {
                    continue;
                }
                loose.push(format!("{version}: {what}: {sql}"));
            } else if is_refused(&view) && !is_refused(&own) {
                let why: Vec<&str> = view.uses.iter().map(|used| used.place.as_str()).collect();
                strict
                    .push(format!("{version}: refused as a view, not as it is: {sql} {why:?} {:?}", view.needs.last()));
            }
        }
        println!(
            "PostgreSQL {version}: {judged} views, {went_through} of statements that go through, {} judged less strictly, {} refused",
            loose.len(),
            strict.len()
        );
        assert!(judged > 1_000 && went_through > 300, "{judged} views, {went_through} go through");
        wrong.extend(loose);
        wrong.extend(strict);
    }
    assert!(wrong.is_empty(), "{}:\n{}", wrong.len(), wrong.join("\n"));
}

fn statements() -> Vec<String> {
    let mut found: Vec<String> = TABLES
        .iter()
        .flat_map(|table| table.split("\n\n"))
        .filter_map(|block| block.trim().split_once("\n  => ").map(|(sql, _)| sql.to_owned()))
        .collect();
    found.extend(FORMS.split(";\n").map(|sql| sql.trim().to_owned()).filter(|sql| !sql.is_empty()));
    found.extend((0..MADE).map(|seed| Grammar::new(5_000_000 + seed).statement().sql));
    found.extend((0..SHAPES).map(|seed| shapes::made(6_000_000 + seed)));
    found
}

fn judge(catalog: &Catalog, sql: &str) -> Option<Statement> {
    let path = ["pg_catalog".to_owned(), "public".to_owned()];
    let context = Context { catalog, search_path: &path, path_known: true };
    let mut statements = analyze(sql, &context).ok()?.statements;
    if statements.len() == 1 { statements.pop() } else { None }
}

/// Parts of statements of which the tree says more than the text does, and rightly: what a name stands for, what type a row
/// is of, that a cast is none.
const SAID_BY_THE_TREE: &[&str] = &[
    "(c).",
    "(e.kin).",
    "(NULL::kv).",
    "[NULL::kv]",
    "(coalesce(e.kin, NULL)).*",
    "(coalesce(c, NULL)).*",
    "ssn(c)",
    "SELECT ssn::text",
    "(ROW(ssn, 1)::contact_t)",
    "'5'::int::text",
    "ELSE '6'::text",
    "AS \"?column?\"",
    "cast('5'::int AS text)",
    "(SELECT x.*, c.ssn, c.name FROM x, customers c",
    "coalesce(NULL, (SELECT kin",
    "JSON_ARRAYAGG",
];

fn is_refused(statement: &Statement) -> bool {
    statement.facts.opaque || !statement.uses.is_empty()
}

/// What of a view is taken for less than the same of the statement that it is made of.
fn looser(own: &Statement, view: &Statement) -> Option<String> {
    // What cannot be looked into gives out anything.
    let anything = matches!(&view.outputs, Outputs::Known(outputs) if outputs.iter().all(|o| o.value.is_unknown()));
    if is_refused(own) {
        let as_strict = is_refused(view) || (own.uses.is_empty() && anything);
        return (!as_strict).then(|| "not refused as a view".to_owned());
    }
    let (Outputs::Known(own), Outputs::Known(view)) = (&own.outputs, &view.outputs) else { return None };
    let less = |own: &Output, view: &Output| {
        let hidden = own.value.columns().iter().any(|column| !view.value.columns().contains(column))
            || (own.value.is_unknown() && !view.value.is_unknown());
        match () {
            () if hidden && !view.value.is_unknown() => Some("made of less"),
            () if view.plain && !own.plain && !own.value.is_clean() => Some("a plain column"),
            () if view.sure && !own.sure => Some("sure"),
            () if view.size.saturating_add(SLACK) < own.size => Some("smaller"),
            () => None,
        }
    };
    (1..).zip(own.iter().zip(view)).find_map(|(at, (own, view))| Some(format!("output {at} is {}", less(own, view)?)))
}
