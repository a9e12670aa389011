//! What a statement costs before it is put on record: one seen before (same text, same catalog), and a new one, over the
//! statements of the two-worlds cases on their own database. Without catalog look-ups: the catalog is read once, before.

use arc_swap::ArcSwap;
use lockgate_core::{Identity, IdentityKind, SessionId, Timestamp};
use lockgate_mask::MaskKeys;
use lockgate_policy::{Policies, Source, TargetFacts};
use lockgate_postgres::Analyses;
use lockgate_record::{
    FileHeader, MemorySink, RecorderOptions, RecordingBuffers, RecordingKeys, RecordingKind, SessionRecorder,
};
use lockgate_session::{InferRules, LabelBook, Rules, Session, SessionParts, TargetRules};
use lockgate_sql::{Catalog, ColumnRule, Context, catalog_query};
use lockgate_tests::postgres::{PASSWORD, SUPERUSER};
use lockgate_tests::{Client, Postgres, process, wire};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::hint::black_box;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

/// How often each new statement is analysed; the fastest counts, so that a busy machine measures the code and not itself.
const ROUNDS: usize = 7;
/// How often each known statement is looked up.
const LOOKS: u32 = 2_000;

fn data(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("two_worlds/data").join(file)
}

fn read(file: &str) -> String {
    std::fs::read_to_string(data(file)).unwrap_or_else(|e| panic!("{file}: {e}"))
}

/// Every different statement that the cases send as a text of its own.
fn statements() -> BTreeSet<String> {
    let mut all = BTreeSet::new();
    for file in ["attacks.jsonl", "more_attacks.jsonl", "legitimate.jsonl"] {
        for line in read(file).lines().filter(|line| !line.is_empty()) {
            let case: Value = serde_json::from_str(line).expect("a case");
            let steps = case["statements"].as_array().expect("statements");
            all.extend(
                steps.iter().filter_map(|s| s.as_str().or(s["x"].as_str())).map(|sql| sql.replace("$DB", "shop")),
            );
        }
    }
    all
}

/// The columns of the shop that are labelled.
fn columns() -> Vec<ColumnRule> {
    let text = read("classify.yaml");
    let mut label = "";
    let mut found = Vec::new();
    for line in text.lines() {
        if let Some((_, name)) = line.split_once("label: ") {
            label = name;
        }
        for pattern in line.split('"').skip(1).step_by(2) {
            let pattern = pattern.trim_start_matches("*/").to_owned();
            found.push(ColumnRule { label: label.parse().expect("a label"), pattern });
        }
    }
    found
}

/// The shop's catalog, as the gateway would read it.
fn catalog(client: &mut Client, rules: &[ColumnRule]) -> Catalog {
    let mut builder = catalog_query::FactsBuilder::new("1");
    for (question, sql) in catalog_query::SNAPSHOT_SQL.iter().enumerate() {
        for row in wire::rows(&client.query(sql)) {
            let cells: Vec<Option<&[u8]>> = row.iter().map(|cell| cell.as_deref().map(str::as_bytes)).collect();
            builder.row(question, &cells).expect("a fact");
        }
    }
    Catalog::build(builder.finish().expect("a catalog"), rules, &[])
}

fn session(columns: Vec<ColumnRule>, now: Timestamp) -> Session {
    let name: lockgate_core::TargetName = "shop".parse().expect("a name");
    let facts = TargetFacts { name: name.clone(), labels: BTreeMap::new() };
    let target = Arc::new(TargetRules::new(facts, columns, Vec::new(), 1));
    let sources = vec![Source { path: "policy.cedar".into(), text: read("policy.cedar") }];
    let rules = Rules {
        policies: Policies::load(sources).expect("policies"),
        targets: HashMap::from([(name, Arc::clone(&target))]),
        version: 1,
        mask_keys: Arc::new(MaskKeys::new(&[1; 32])),
        infer: InferRules::default(),
        ledger: Arc::default(),
    };
    let id = SessionId::new(now, 1);
    let recorder = SessionRecorder::new(
        &RecordingKeys::new("gateway", &[2; 32], &[3; 32]).expect("keys"),
        &FileHeader { kind: RecordingKind::Session, session: id, began: now },
        Box::new(MemorySink::new()),
        Arc::new(RecordingBuffers::new()),
        RecorderOptions::default(),
    );
    let identity = Identity {
        user: "zed".into(),
        groups: BTreeSet::from(["engineers".to_owned()]),
        kind: IdentityKind::Human,
        directories: Vec::new(),
        on_behalf_of: Vec::new(),
        token_id: None,
        actions: None,
    };
    let parts = SessionParts {
        id,
        identity: Arc::new(identity),
        peer: "127.0.0.1:5000".parse().expect("an address"),
        database: String::new(),
        protocol: "postgres",
        application: None,
        rules: Arc::new(ArcSwap::from_pointee(rules)),
        target,
        labels: Arc::new(LabelBook::empty()),
        recorder: recorder.expect("a recorder"),
        hold_ms_max: 60_000,
    };
    Session::open(parts, now).expect("a session")
}

/// The fastest of several runs, in microseconds.
fn fastest(mut run: impl FnMut()) -> f64 {
    let times = (0..ROUNDS).map(|_| {
        let begun = Instant::now();
        run();
        begun.elapsed().as_secs_f64() * 1e6
    });
    times.fold(f64::MAX, f64::min)
}

fn print(what: &str, mut times: Vec<f64>) {
    times.sort_by(f64::total_cmp);
    let at = |share: usize| times[(times.len() * share / 100).min(times.len() - 1)];
    println!("{what:<44} median {:>7.2} µs   p90 {:>7.2} µs   p99 {:>7.2} µs", at(50), at(90), at(99));
}

fn main() {
    let postgres = Postgres::start(15);
    postgres.sql("postgres", "CREATE DATABASE shop");
    process::run(postgres.psql("shop").args(["-q", "-f"]).arg(data("shop.sql")));
    let parameters = [("user", SUPERUSER), ("database", "shop")];
    let mut client = Client::login_with(postgres.port, &parameters, PASSWORD).expect("a login");
    let statements = statements();
    let columns = columns();
    let now = Timestamp::from_millis(1_700_000_000_000);
    println!("{} different statements", statements.len());

    let catalog = || catalog(&mut client, &columns);
    let mut catalog = catalog;
    let alone = catalog();
    let path = alone.search_path().to_vec();
    let context = Context { catalog: &alone, search_path: &path, path_known: true };
    let analysed = statements.iter().map(|sql| {
        fastest(|| {
            let _ = black_box(lockgate_sql::analyze(black_box(sql), &context));
        })
    });
    print("new: analysis", analysed.collect());

    let mut analyses = Analyses::new(session(columns.clone(), now), catalog());
    let judged = statements.iter().map(|sql| {
        let mut best = f64::MAX;
        for _ in 0..ROUNDS {
            analyses.forget();
            let begun = Instant::now();
            black_box(analyses.is_allowed(black_box(sql.as_bytes()), now));
            best = best.min(begun.elapsed().as_secs_f64() * 1e6);
        }
        best
    });
    print("new: analysis, policy, certificate", judged.collect());

    for sql in &statements {
        analyses.is_allowed(sql.as_bytes(), now);
    }
    let known = statements.iter().map(|sql| {
        fastest(|| {
            for _ in 0..LOOKS {
                black_box(analyses.is_allowed(black_box(sql.as_bytes()), now));
            }
        }) / f64::from(LOOKS)
    });
    print("seen before: all of it", known.collect());
}
