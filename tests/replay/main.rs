//! Replays every file of the fuzz corpora, and a fixed number of mutations of them, through the functions that the fuzz
//! targets call. It needs neither a nightly compiler nor a fuzzer, and does the same on every run.

#[path = "../../fuzz/src/lib.rs"]
mod fuzz;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// No input of a few kilobytes may take longer, also without optimisation on a busy machine.
const ONE_INPUT_MAX: Duration = Duration::from_secs(5);

fn corpus(name: &str) -> Vec<(PathBuf, Vec<u8>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus").join(name);
    let mut files: Vec<_> = std::fs::read_dir(&folder)
        .unwrap_or_else(|error| panic!("{}: {error}", folder.display()))
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort();
    assert!(!files.is_empty(), "{} is empty", folder.display());
    files.into_iter().map(|path| (path.clone(), std::fs::read(path).unwrap())).collect()
}

/// A small generator of pseudo-random numbers (splitmix64).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, limit: usize) -> usize {
        usize::try_from(self.next() % u64::try_from(limit.max(1)).unwrap()).unwrap()
    }
}

/// One to four changes: a bit flipped, a byte set to a value at some edge, a piece removed, doubled or taken from another file.
fn mutate(data: &[u8], other: &[u8], random: &mut Random) -> Vec<u8> {
    let mut data = data.to_vec();
    for _ in 0..=random.below(4) {
        let at = random.below(data.len());
        let end = (at + 1 + random.below(16)).min(data.len());
        match random.below(6) {
            0 if !data.is_empty() => data[at] ^= 1 << random.below(8),
            1 if !data.is_empty() => data[at] = [0, 1, 4, 5, 0x7f, 0x80, 0xfe, 0xff][random.below(8)],
            2 => drop(data.drain(at..end)),
            3 => {
                let piece = data[at..end].to_vec();
                data.splice(at..at, piece);
            }
            4 => {
                let from = random.below(other.len());
                data.splice(at..at, other[from..].iter().copied());
            }
            _ => data.truncate(at),
        }
    }
    data
}

/// Runs one input and says which it was if it fails.
fn run(entry: &fuzz::Entry, what: &str, input: &[u8]) {
    println!("{what}: {}", input.escape_ascii());
    let begun = Instant::now();
    (entry.run)(input);
    assert!(begun.elapsed() < ONE_INPUT_MAX, "it took {:?}", begun.elapsed());
}

fn replay(name: &str) {
    let entry = fuzz::ENTRIES.iter().find(|entry| entry.name == name).unwrap();
    let files = corpus(name);
    for (path, data) in &files {
        run(entry, &path.display().to_string(), data);
    }
    let mut random = Random(0);
    for round in 0..entry.mutations {
        let (_, base) = &files[round % files.len()];
        let (_, other) = &files[random.below(files.len())];
        run(entry, &format!("mutation {round}"), &mutate(base, other, &mut random));
    }
}

macro_rules! replayed {
    ($($name:ident)*) => {
        const REPLAYED: &[&str] = &[$(stringify!($name)),*];
        $(#[test]
        fn $name() {
            replay(stringify!($name));
        })*
    };
}

// A test for each, so that they run side by side.
replayed! {
    postgres_backend postgres_frontend postgres_startup postgres_client_auth postgres_target_login
    postgres_conversation sql_analysis sql_secrets sql_catalog mask_row mask_copy mask_diagnostic detect record_events record_file record_checkpoint
    policy_file config_file config_cases identity_token identity_claims identity_keys saml_response saml_metadata api_request api_token
}

#[test]
fn every_target_has_a_corpus_and_a_program_and_is_replayed() {
    let entries: BTreeSet<String> = fuzz::ENTRIES.iter().map(|entry| entry.name.to_owned()).collect();
    assert_eq!(entries.len(), fuzz::ENTRIES.len(), "a name is there twice");
    let home = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz");
    let names = |folder: &str| -> BTreeSet<String> {
        let found = std::fs::read_dir(home.join(folder)).unwrap();
        found.map(|e| e.unwrap().path().file_stem().unwrap().to_string_lossy().into_owned()).collect()
    };
    assert_eq!(names("corpus"), entries);
    assert_eq!(names("fuzz_targets"), entries);
    assert_eq!(REPLAYED.iter().map(|name| (*name).to_owned()).collect::<BTreeSet<_>>(), entries);
    let manifest = std::fs::read_to_string(home.join("Cargo.toml")).unwrap();
    assert!(entries.iter().all(|name| manifest.contains(&format!("name = \"{name}\""))));
}
