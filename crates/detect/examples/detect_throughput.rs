//! Megabytes a second that the detectors read, on one core, of values in which there is nothing to find.
//!
//! The values are what rows hold: sentences, identifiers, times, prices, hashes, paths, versions, JSON. Prints one line
//! per sort and one for all of them together, with every detector at work. Names of sorts as arguments pick some.

#![allow(clippy::disallowed_types, reason = "a test or an example may look at the clock")]

mod dice;

use dice::Dice;
use lockgate_detect::{Column, Detectors, Kind, Strength};
use std::hint::black_box;
use std::time::{Duration, Instant};

const WORDS: [&str; 20] = [
    "measure", "season", "about", "the", "level", "of", "every", "report", "and", "pass", "them", "along", "to",
    "those", "who", "wait", "for", "answers", "before", "noon",
];

type Sort = (&'static str, &'static str, fn(&mut Dice) -> String);

const SORTS: [Sort; 10] = [
    ("sentence", "note", |d| {
        let count = 6 + d.roll(12);
        d.words(&WORDS, count)
    }),
    ("long text", "body", |d| d.words(&WORDS, 400)),
    ("uuid", "trace", |d| {
        let h = "0123456789abcdef";
        format!("{}-{}-4{}-a{}-{}", d.text(h, 8), d.text(h, 4), d.text(h, 3), d.text(h, 3), d.text(h, 12))
    }),
    ("time", "created_at", |d| {
        format!(
            "2024-{:02}-{:02} {:02}:{:02}:{:02}.{:06}+00",
            1 + d.roll(12),
            1 + d.roll(28),
            d.roll(24),
            d.roll(60),
            d.roll(60),
            d.roll(1_000_000)
        )
    }),
    ("number", "order_id", |d| d.roll(1_000_000_000).to_string()),
    ("price", "price", |d| format!("{}.{:02}", d.roll(10_000), d.roll(100))),
    ("hash", "sha", |d| d.text("0123456789abcdef", 64)),
    ("base64", "blob", |d| d.text("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/", 64)),
    ("path", "path", |d| {
        format!("/{}/{}/v2/{}.json", d.text("abcdefgh", 6), d.text("abcdefgh", 8), d.text("abcdefgh", 5))
    }),
    ("json", "data", |d| {
        format!(
            r#"{{"id": {}, "state": "{}", "items": [{}, {}], "total": {}.{:02}, "ref": "{}"}}"#,
            d.roll(100_000),
            d.text("abcdefgh", 7),
            d.roll(1000),
            d.roll(1000),
            d.roll(5000),
            d.roll(100),
            d.text("ABCDEF0123456789", 12)
        )
    }),
];

fn main() {
    let detectors = Detectors::new(Kind::ALL.iter().copied(), Vec::new());
    let mut dice = Dice::new();
    let mut hits = Vec::new();
    let (mut all_bytes, mut all_time) = (0.0, 0.0);
    let picked: Vec<String> = std::env::args().skip(1).collect();
    for (name, column, make) in SORTS {
        if !picked.is_empty() && !picked.iter().any(|p| p == name) {
            continue;
        }
        let column = Column::named(column.as_bytes());
        let cells: Vec<String> = (0..4000).map(|_| make(&mut dice)).collect();
        let bytes: usize = cells.iter().map(String::len).sum();
        let mut found = 0_usize;
        let mut best = f64::MAX;
        let begun = Instant::now();
        while begun.elapsed() < Duration::from_millis(300) {
            let round = Instant::now();
            for cell in &cells {
                hits.clear();
                detectors.scan(black_box(cell.as_bytes()), &column, &mut hits);
                found += hits.iter().filter(|hit| hit.strength >= Strength::Fair).count();
            }
            best = best.min(round.elapsed().as_secs_f64());
        }
        let bytes = u32::try_from(bytes).map_or(0.0, f64::from);
        all_bytes += bytes;
        all_time += best;
        println!(
            "{name:<12} {:>8.0} MB/s   {:>6.0} ns a value   {found} hits",
            bytes / best / 1e6,
            best / 4000.0 * 1e9
        );
    }
    println!("{:<12} {:>8.0} MB/s", "together", all_bytes / all_time / 1e6);
}
