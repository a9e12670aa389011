//! Replays every file of the fuzz corpora, and a fixed number of mutations of each, through the functions that the fuzz
//! targets call. It needs neither a nightly compiler nor a fuzzer, and does the same on every run.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test may panic, also in a function that it calls"
)]

mod fuzz_entries;

use std::path::{Path, PathBuf};

/// Mutations of each file.
const MUTATIONS: u64 = 2_000;

fn corpus(name: &str) -> Vec<(PathBuf, Vec<u8>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus").join(name);
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

#[test]
fn corpora_and_mutations_of_them() {
    for (name, entry) in fuzz_entries::ENTRIES {
        let files = corpus(name);
        for (index, (path, data)) in files.iter().enumerate() {
            // Printed only when the test fails: it names the input.
            println!("{}", path.display());
            entry(data);
            let mut random = Random(u64::try_from(index).unwrap());
            for round in 0..MUTATIONS {
                let (_, other) = &files[random.below(files.len())];
                let input = mutate(data, other, &mut random);
                println!("mutation {round}: {}", input.escape_ascii());
                entry(&input);
            }
        }
    }
}
