//! Precision, recall and F1 of the detectors on labelled texts, by strict spans.
//!
//! `score FILE… [--show N]`: each line of a file is a JSON object with `text`, `spans` (`s` and `e` in code points, `t` the
//! type) and, for cells, `column` and `kind`. Cells of one column are weighed together, in the order of the file.

#![allow(clippy::disallowed_methods, reason = "a test or an example may read files")]

use lockgate_detect::{Column, ColumnEvidence, Detector, Detectors, Hit, Kind, Strength, Weight};
use std::collections::{BTreeMap, HashMap};
use std::process::ExitCode;

const TYPES: [(&str, Kind); 7] = [
    ("EMAIL_ADDRESS", Kind::Email),
    ("PHONE_NUMBER", Kind::Phone),
    ("CREDIT_CARD", Kind::Card),
    ("US_SSN", Kind::UsSsn),
    ("IBAN_CODE", Kind::Iban),
    ("IP_ADDRESS", Kind::Ip),
    ("URL", Kind::Url),
];

#[derive(Default)]
struct Count {
    right: usize,
    wrong: usize,
    missed: usize,
}

impl Count {
    fn line(&self, name: &str) {
        let share = |a: usize, b: usize| if a + b == 0 { 1.0 } else { fraction(a, a + b) };
        let (precision, recall) = (share(self.right, self.wrong), share(self.right, self.missed));
        let f1 = share(2 * self.right, self.wrong + self.missed);
        println!(
            "{name:<16} precision {precision:.4}  recall {recall:.4}  F1 {f1:.4}  of {}",
            self.right + self.missed
        );
    }
}

fn fraction(part: usize, whole: usize) -> f64 {
    let number = |n: usize| u32::try_from(n).map_or(f64::MAX, f64::from);
    number(part) / number(whole)
}

fn main() -> ExitCode {
    let mut show = 0;
    let mut files = Vec::new();
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        if argument == "--show" {
            show = arguments.next().and_then(|n| n.parse().ok()).unwrap_or(20);
        } else {
            files.push(argument);
        }
    }
    if files.is_empty() {
        eprintln!("usage: score FILE… [--show N]");
        return ExitCode::from(2);
    }
    for file in files {
        println!("{file}");
        match std::fs::read_to_string(&file) {
            Ok(lines) => score(&lines, show),
            Err(error) => {
                eprintln!("{file}: {error}");
                return ExitCode::FAILURE;
            }
        }
    }
    ExitCode::SUCCESS
}

fn score(lines: &str, mut show: usize) {
    let detectors = Detectors::new(TYPES.iter().map(|(_, kind)| *kind), Vec::new());
    let mut columns: HashMap<String, (Column, ColumnEvidence)> = HashMap::new();
    let mut counts: BTreeMap<&str, Count> = BTreeMap::new();
    let mut micro = Count::default();
    let (mut negatives, mut negatives_hit) = (0, 0);
    for line in lines.lines() {
        let Ok(case) = serde_json::from_str::<serde_json::Value>(line) else { continue };
        let Some(text) = case.get("text").and_then(|t| t.as_str()) else { continue };
        let mut hits: Vec<Hit> = Vec::new();
        match case.get("column").and_then(|c| c.as_str()) {
            Some(name) => {
                let (column, evidence) = columns
                    .entry(name.to_owned())
                    .or_insert_with(|| (Column::named(name.as_bytes()), ColumnEvidence::default()));
                if let Weight::Whole(detector) = evidence.weigh(&detectors, text.as_bytes(), column, &mut hits) {
                    hits = vec![Hit { start: 0, end: text.len(), detector, strength: Strength::Likely }];
                }
            }
            None => {
                detectors.scan(text.as_bytes(), &Column::default(), &mut hits);
                hits.retain(|hit| hit.strength >= Strength::Fair);
            }
        }
        let place = |points: u64| {
            let points = usize::try_from(points).unwrap_or(usize::MAX);
            text.char_indices().nth(points).map_or(text.len(), |(at, _)| at)
        };
        let wanted: Vec<(usize, usize, &str)> = case
            .get("spans")
            .and_then(|s| s.as_array())
            .into_iter()
            .flatten()
            .filter_map(|span| {
                let number = |key: &str| span.get(key).and_then(serde_json::Value::as_u64);
                let name = span.get("t").and_then(|t| t.as_str())?;
                let (name, _) = TYPES.iter().find(|(t, _)| *t == name)?;
                Some((place(number("s")?), place(number("e")?), *name))
            })
            .collect();
        let found: Vec<(usize, usize, &str)> = hits
            .iter()
            .filter_map(|hit| {
                let Detector::Kind(kind) = hit.detector else { return None };
                let (name, _) = TYPES.iter().find(|(_, k)| *k == kind)?;
                Some((hit.start, hit.end, *name))
            })
            .collect();
        if wanted.is_empty() {
            negatives += 1;
            negatives_hit += usize::from(!found.is_empty());
        }
        let mut differs = false;
        for span in &found {
            let right = wanted.contains(span);
            differs |= !right;
            let count = counts.entry(span.2).or_default();
            if right {
                count.right += 1
            } else {
                count.wrong += 1
            }
            if right { micro.right += 1 } else { micro.wrong += 1 }
        }
        for span in wanted.iter().filter(|span| !found.contains(span)) {
            differs = true;
            counts.entry(span.2).or_default().missed += 1;
            micro.missed += 1;
        }
        if differs && show > 0 {
            show -= 1;
            let named = |spans: &[(usize, usize, &str)]| -> Vec<String> {
                spans.iter().map(|(s, e, t)| format!("{t}:{}", text.get(*s..*e).unwrap_or_default())).collect()
            };
            println!("  {:?} {text:?} wanted {:?} found {:?}", case.get("column"), named(&wanted), named(&found));
        }
    }
    for (name, count) in &counts {
        count.line(name);
    }
    micro.line("micro");
    println!(
        "{:<16} {negatives_hit} of {negatives} hit ({:.2} %)",
        "negatives",
        fraction(negatives_hit, negatives.max(1)) * 100.0
    );
}
