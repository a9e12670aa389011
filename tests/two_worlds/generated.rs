//! Statements from the grammar: what the analysis says of each against the grammar's own account, and what a sample of them
//! returns in two worlds.

use crate::case::Case;
use crate::compare::{differences, leaks};
use crate::grammar::{Grammar, Statement};
use crate::play::Told;
use crate::stage::{self, Stage, World};
use lockgate_sql::{Catalog, Context, Outputs, analyze, catalog_query};
use lockgate_tests::wire::Frame;
use serde_json::json;

/// Statements that are analysed in every run.
const ANALYSED: u64 = 100_000;
/// Statements that are executed in every run, and in a long one.
const EXECUTED: u64 = 400;
const EXECUTED_LONG: u64 = 20_000;

#[test]
fn analysis_of_generated_statements_misses_nothing() {
    let stage = stage::stage(15);
    let catalog = stage.catalog();
    let path = ["pg_catalog".to_owned(), "public".to_owned()];
    let context = Context { catalog: &catalog, search_path: &path, path_known: true };
    let (mut masked, mut refused) = (0, 0);
    for seed in 0..ANALYSED {
        let statement = Grammar::new(seed).statement();
        let verdict = judge(&context, &statement);
        match verdict {
            Ok(true) => refused += 1,
            Ok(false) => masked += usize::from(statement.outputs.contains(&true)),
            Err(what) => panic!("seed {seed}: {what}\n{}", statement.sql),
        }
    }
    println!("{ANALYSED} statements: {refused} refused, {masked} masked, the others clean");
    assert!(masked > 10_000 && refused > 10_000 && ANALYSED as usize - masked - refused > 10_000);
}

/// Whether the statement uses labelled values so that it is refused. An error if the analysis missed something.
fn judge(context: &Context<'_>, made: &Statement) -> Result<bool, String> {
    let batch = analyze(&made.sql, context).map_err(|e| format!("it is not analysed: {e}"))?;
    let [statement] = batch.statements.as_slice() else { return Err("it is not one statement".into()) };
    if !statement.uses.is_empty() {
        return Ok(true);
    }
    if made.rows {
        return Err("which rows there are depends on labelled values".into());
    }
    for (at, labelled) in made.outputs.iter().enumerate() {
        if *labelled && statement.outputs.taint(at).is_clean() {
            return Err(format!("output {at} is made of labelled values"));
        }
    }
    if let Outputs::Known(outputs) = &statement.outputs
        && outputs.len() != made.outputs.len()
    {
        return Err(format!("{} outputs and not {}", outputs.len(), made.outputs.len()));
    }
    Ok(false)
}

#[test]
fn generated_statements_return_the_same_in_two_worlds() {
    executed(15, 1_000_000, EXECUTED, Stage::play);
    executed(18, 1_100_000, EXECUTED, Stage::play);
}

#[test]
fn generated_statements_return_the_same_where_columns_are_masked_as_they_are_read() {
    executed(15, 1_200_000, EXECUTED, Stage::play_masked_at_read);
}

#[test]
#[ignore = "takes long: make soak"]
fn many_generated_statements_return_the_same_in_two_worlds() {
    executed(15, 2_000_000, EXECUTED_LONG, Stage::play);
    executed(18, 3_000_000, EXECUTED_LONG, Stage::play_masked_at_read);
}

fn executed(version: u32, first_seed: u64, count: u64, play: fn(&Stage, &Case, World) -> Told) {
    let steps = |seeds: std::ops::Range<u64>| -> Vec<serde_json::Value> {
        // One that runs long is cut off, wherever it is then: it says nothing.
        let made = seeds.map(|seed| json!(Grammar::new(seed).statement().sql));
        std::iter::once(json!("SET statement_timeout = '20s'")).chain(made).collect()
    };
    let size = 100;
    let cases: Vec<Case> = (first_seed..first_seed + count)
        .step_by(size as usize)
        .map(|seed| Case::made(format!("seeds from {seed}"), steps(seed..seed + size)))
        .collect();
    let stage: &Stage = stage::stage(version);
    let answered = std::sync::atomic::AtomicU64::new(0);
    let tally = crate::each(&cases, |case| {
        let (a, b) = (play(stage, case, World::A), play(stage, case, World::B));
        let mut bad = Vec::new();
        for (step, (a, b)) in case.steps.iter().zip(by_statement(&a).into_iter().zip(by_statement(&b))) {
            let cut_off = |told: &Told| told.frames().any(|f| f.field(b'C').as_deref() == Some("57014"));
            if cut_off(&a) || cut_off(&b) {
                continue;
            }
            answered.fetch_add(u64::from(!a.is_refused()), std::sync::atomic::Ordering::Relaxed);
            let mut what: Vec<String> = differences(&a, &b, stage).into_iter().collect();
            what.extend(leaks(case, &a, stage.canaries(World::A)));
            what.extend(leaks(case, &b, stage.canaries(World::B)));
            if !what.is_empty() {
                bad.push(format!("{}\n    {step}", what.join("; ")));
            }
        }
        (false, bad)
    });
    let answered = answered.into_inner();
    println!(
        "{count} generated statements on {version}, {answered} answered, {} of {} runs differ",
        tally.bad.len(),
        tally.run
    );
    assert!(tally.bad.is_empty(), "{}", tally.bad.join("\n"));
    assert!(answered * 4 > count, "{answered} of {count} were answered");
}

impl Stage {
    /// The catalog of world A, as the gateway would read it.
    pub fn catalog(&self) -> Catalog {
        catalog_of(|sql| self.ask(World::A, sql))
    }

    /// The catalog of a copy of world A in which these statements are the views `kept.v0` and so on, and of which there is
    /// one: some statements are none that a view can be made of. `first` is run before.
    pub fn with_views(&self, first: &str, statements: &[String]) -> (Catalog, Vec<bool>) {
        self.in_a_copy(|client, describer| {
            client.query(first);
            client.query("CREATE SCHEMA kept");
            let mut made = Vec::new();
            for (at, sql) in statements.iter().enumerate() {
                let names = describer.columns(sql).filter(|names| !names.is_empty()).map(|names| {
                    let names: Vec<String> = (1..=names.len()).map(|number| format!("c{number}")).collect();
                    names.join(", ")
                });
                let created = names.is_some_and(|names| {
                    let frames = client.query(&format!("CREATE VIEW kept.v{at}({names}) AS {sql}"));
                    !frames.iter().any(|frame| frame.tag == b'E')
                });
                made.push(created);
            }
            (catalog_of(|sql| lockgate_tests::wire::rows(&client.query(sql))), made)
        })
    }

    /// The catalog of a copy of world A after `first`, and how long each of these texts is there; `None` for one that this
    /// version does not take.
    pub fn with_lengths(&self, first: &str, texts: &[String]) -> (Catalog, Vec<Option<u64>>) {
        self.in_a_copy(|client, _| {
            let made = client.query(first);
            assert!(!made.iter().any(|frame| frame.tag == b'E'), "{made:?}");
            // One that runs for long is left out.
            client.query("SET statement_timeout = '2s'");
            let lengths = texts.iter().map(|text| {
                let rows = lockgate_tests::wire::rows(&client.query(&format!("SELECT octet_length({text})")));
                rows.first().and_then(|row| row[0].as_deref()).and_then(|length| length.parse().ok())
            });
            let lengths = lengths.collect();
            client.query("RESET statement_timeout");
            (catalog_of(|sql| lockgate_tests::wire::rows(&client.query(sql))), lengths)
        })
    }
}

fn catalog_of(mut ask: impl FnMut(&str) -> Vec<Vec<Option<String>>>) -> Catalog {
    let mut builder = catalog_query::FactsBuilder::new("1");
    for (question, sql) in catalog_query::SNAPSHOT_SQL.iter().enumerate() {
        for row in ask(sql) {
            let cells: Vec<Option<&[u8]>> = row.iter().map(|cell| cell.as_deref().map(str::as_bytes)).collect();
            builder.row(question, &cells).expect("a fact");
        }
    }
    let rules: Vec<lockgate_sql::ColumnRule> = stage::labelled_columns()
        .into_iter()
        .map(|(label, pattern)| lockgate_sql::ColumnRule { label: label.parse().expect("a label"), pattern })
        .collect();
    Catalog::build(builder.finish().expect("a catalog"), &rules, &[])
}

/// What a client that sent one statement after the other was told of each, with its rows sorted: rows that are equal in all
/// that a statement may order by come as the plan finds them, and a plan follows from how wide the tables are.
fn by_statement(told: &Told) -> Vec<Told> {
    let frames: Vec<Frame> = told.frames().cloned().collect();
    let answers = frames.split_inclusive(|frame| frame.tag == b'Z');
    let sorted = answers.map(|frames| {
        let (mut rows, mut others): (Vec<Frame>, Vec<Frame>) =
            frames.iter().cloned().partition(|frame| matches!(frame.tag, b'D' | b'd'));
        rows.sort_by(|one, other| one.body.cmp(&other.body));
        others.extend(rows);
        Told::of(others, told.database.clone())
    });
    sorted.collect()
}
