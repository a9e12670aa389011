//! Non-interference, run: two databases that are equal except for the values of labelled columns must look the same, byte
//! for byte, to a client that may not see those values, whatever it sends.
//!
//! `data/` holds the shop in three worlds and the cases as data: attacks (`attacks.jsonl`, `more_attacks.jsonl`) and use that
//! has to go on working (`legitimate.jsonl`). Every case runs in a fresh copy of each world. `data/README.md` has the fields.
//!
//! `grammar.rs` makes statements up: the analysis of each is held against the grammar's own account, and a sample is executed in
//! two worlds.
//!
//! `shapes.rs` holds the names and places of columns that the analysis is certain of against what the server says of them.
//!
//! `sizes.rs` holds how long values are taken to become against how long servers make them.
//!
//! `views.rs` holds what is said of views, of which the server keeps a tree, against what is said of their statements.
//!
//! `LOCKGATE_CASES=PG-ERR,LG-07` runs the cases whose ids begin so, and tells of a bad one at once.

mod case;
mod compare;
mod generated;
mod grammar;
mod play;
mod reached;
mod shapes;
mod sizes;
mod stage;
mod unasked;
mod views;

use case::Case;
use compare::{differences, leaks};
use play::Told;
use stage::World;
use std::sync::Mutex;

/// What became of the cases of one kind.
#[derive(Default)]
struct Tally {
    run: usize,
    refused: usize,
    bad: Vec<String>,
}

#[test]
fn attacks_tell_nothing() {
    let mut cases = case::read("attacks.jsonl");
    cases.extend(case::read("more_attacks.jsonl"));
    let tally = each(&cases, |case| {
        let stage = stage::stage(case.version);
        let told = World::ALL.map(|world| stage.play(case, world));
        let mut bad = Vec::new();
        for (world, told) in World::ALL.iter().zip(&told) {
            bad.extend(leaks(case, told, stage.canaries(*world)).into_iter().map(|l| format!("{world:?} shows {l}")));
            bad.extend(consequences(case, told).into_iter().map(|what| format!("{world:?}: {what}")));
        }
        for (world, other) in [(World::B, &told[1]), (World::O, &told[2])] {
            bad.extend(differences(&told[0], other, stage).map(|what| format!("A and {world:?} differ: {what}")));
        }
        (told[0].is_refused(), bad)
    });
    println!("{} attacks in three worlds, {} refused, {} not clean", tally.run, tally.refused, tally.bad.len());
    stage::stage(15).gateway.verify();
    assert!(tally.bad.is_empty(), "{}", tally.bad.join("\n"));
}

/// The same where labelled columns are masked as they are read, so that statements may look for, join and sort by what stands in
/// their place. Of the cases those that ask and change nothing, not for values that would be gigabytes of such, and not for plans:
/// what reading a table costs depends on how wide its rows are (docs/masking.md, "Sizes and costs").
#[test]
fn attacks_tell_nothing_where_columns_are_masked_as_they_are_read() {
    let mut cases = case::read("attacks.jsonl");
    cases.extend(case::read("more_attacks.jsonl"));
    let is_large = |case: &Case| ["TW-SIZE", "TW-GROWS", "TW-KEPT"].iter().any(|family| case.id.starts_with(family));
    let explains = |case: &Case| case.brief().to_ascii_lowercase().contains("explain");
    cases.retain(|case| case.only_asks() && !is_large(case) && !explains(case));
    let tally = each(&cases, |case| {
        let stage = stage::stage(case.version);
        let told = [World::A, World::B].map(|world| stage.play_masked_at_read(case, world));
        let mut bad = Vec::new();
        for (world, told) in [World::A, World::B].iter().zip(&told) {
            bad.extend(leaks(case, told, stage.canaries(*world)).into_iter().map(|l| format!("{world:?} shows {l}")));
            bad.extend(told.effect.then(|| format!("{world:?}: it had its effect")));
            bad.extend(told.broken.clone());
        }
        bad.extend(differences(&told[0], &told[1], stage).map(|what| format!("A and B differ: {what}")));
        (told[0].is_refused(), bad)
    });
    println!("{} attacks masked at read, {} refused, {} not clean", tally.run, tally.refused, tally.bad.len());
    assert!(tally.bad.is_empty(), "{}", tally.bad.join("\n"));
    assert!(tally.run > 300 && tally.refused * 10 < tally.run * 9, "hardly anything was answered");
}

/// What the case says must not come of it, besides bytes.
fn consequences(case: &Case, told: &Told) -> Vec<String> {
    let mut bad = Vec::new();
    if told.effect {
        bad.push("it had its effect".to_owned());
    }
    let done = |tag: &str| told.frames().any(|f| f.tag == b'C' && f.body.starts_with(tag.as_bytes()));
    if case.done_tag.as_deref().is_some_and(done) && !told.is_refused() {
        bad.push("it was done".to_owned());
    }
    if case.must_fail && !told.is_refused() {
        bad.push("it was not refused".to_owned());
    }
    if let Some(broken) = &told.broken {
        bad.push(broken.clone());
    }
    bad
}

#[test]
fn legitimate_use_is_exact() {
    let cases = case::read("legitimate.jsonl");
    let tally = each(&cases, |case| {
        let stage = stage::stage(case.version);
        let told = stage.play(case, World::A);
        let direct = stage.play_directly(case, World::A);
        (told.is_refused() && !direct.is_refused(), compare::exact(case, &told, &direct, stage))
    });
    println!("{} legitimate uses, {} refused, {} not exact", tally.run, tally.refused, tally.bad.len());
    assert!(tally.bad.is_empty(), "{}", tally.bad.join("\n"));
}

/// Runs the cases on as many threads as help; `judge` says whether the case was refused and what is wrong with it.
fn each(cases: &[Case], judge: impl Fn(&Case) -> (bool, Vec<String>) + Sync) -> Tally {
    let threads = std::thread::available_parallelism().map_or(2, usize::from) * 2;
    let next = Mutex::new(cases.iter());
    let tally = Mutex::new(Tally::default());
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let Some(case) = next.lock().expect("nobody panics here").next() else { return };
                    let judged = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| judge(case)));
                    let mut tally = tally.lock().expect("nobody panics here");
                    tally.run += 1;
                    match judged {
                        Ok((refused, bad)) => {
                            tally.refused += usize::from(refused);
                            if !bad.is_empty() {
                                let line = format!("{}: {}\n    {}", case.id, bad.join("; "), case.brief());
                                if case::picked() {
                                    println!("{line}");
                                }
                                tally.bad.push(line);
                            }
                        }
                        Err(_) => tally.bad.push(format!("{}: the test itself failed", case.id)),
                    }
                }
            });
        }
    });
    let mut tally = tally.into_inner().expect("nobody panics here");
    tally.bad.sort();
    tally
}
