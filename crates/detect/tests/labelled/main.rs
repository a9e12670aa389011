//! How much the detectors find, and how much they find that is none: labelled prose and labelled cells, made here with a fixed
//! seed. A span counts only where kind, first and last byte are right.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::as_conversions,
    missing_docs,
    reason = "a test fails by panicking"
)]

mod dice;
mod values;

use dice::Dice;
use lockgate_detect::{Column, ColumnEvidence, Detector, Detectors, Hit, Kind, Strength, Weight};
use std::collections::BTreeMap;

const KINDS: [Kind; 7] = [Kind::Email, Kind::Phone, Kind::Card, Kind::UsSsn, Kind::Iban, Kind::Ip, Kind::Url];

type Span = (usize, usize, Kind);

#[derive(Default)]
struct Count {
    right: usize,
    wrong: usize,
    missed: usize,
}

impl Count {
    fn f1(&self) -> f64 {
        let all = 2 * self.right + self.wrong + self.missed;
        if all == 0 { 1.0 } else { 2.0 * self.right as f64 / all as f64 }
    }
}

/// What was found against what is there.
#[derive(Default)]
struct Score {
    all: Count,
    kinds: BTreeMap<Kind, Count>,
    negatives: usize,
    negatives_hit: usize,
    shown: Vec<String>,
}

impl Score {
    fn take(&mut self, text: &str, wanted: &[Span], hits: &[Hit]) {
        let found: Vec<Span> = hits
            .iter()
            .map(|hit| match hit.detector {
                Detector::Kind(Kind::UrlCredentials) => (hit.start, hit.end, Kind::Url),
                Detector::Kind(kind) => (hit.start, hit.end, kind),
                Detector::Custom(_) => panic!("there is none"),
            })
            .collect();
        if wanted.is_empty() {
            self.negatives += 1;
            self.negatives_hit += usize::from(!found.is_empty());
        }
        let mut differs = false;
        for span in &found {
            let right = wanted.contains(span);
            differs |= !right;
            for count in [&mut self.all, self.kinds.entry(span.2).or_default()] {
                if right { count.right += 1 } else { count.wrong += 1 }
            }
        }
        for span in wanted.iter().filter(|span| !found.contains(span)) {
            differs = true;
            self.all.missed += 1;
            self.kinds.entry(span.2).or_default().missed += 1;
        }
        if differs {
            let named = |spans: &[Span]| -> Vec<String> {
                spans.iter().map(|(s, e, kind)| format!("{}:{}", kind.name(), &text[*s..*e])).collect()
            };
            self.shown.push(format!("{text:?}\n    wanted {:?}\n    found  {:?}", named(wanted), named(&found)));
        }
    }

    /// Fails where less was right than promised.
    fn expect(&self, f1: f64, negatives: f64) {
        for (kind, count) in &self.kinds {
            println!(
                "{:<16} {:.4}  {} right, {} wrong, {} missed",
                kind.name(),
                count.f1(),
                count.right,
                count.wrong,
                count.missed
            );
        }
        let hit = self.negatives_hit as f64 / self.negatives.max(1) as f64;
        println!(
            "micro F1 {:.4}, {} of {} negatives hit ({:.2} %)",
            self.all.f1(),
            self.negatives_hit,
            self.negatives,
            hit * 100.0
        );
        let shown = self.shown.iter().take(60).cloned().collect::<Vec<_>>().join("\n");
        assert!(
            self.all.f1() >= f1 && hit <= negatives,
            "F1 {:.4}, {:.4} of negatives hit\n{shown}",
            self.all.f1(),
            hit
        );
        for (kind, count) in &self.kinds {
            assert!(count.f1() >= f1 - 0.05, "{}: {:.4}\n{shown}", kind.name(), count.f1());
        }
    }
}

/// Sentences, records and logs; `{}` is a value of any kind, `{x}` one of the kind with that letter, `{-}` what is none.
const PROSE: &[&str] = &[
    "Please reach me at {e} or {p}.",
    "Call {p}, or write to {e}, before Friday!",
    "Her card {c} was declined (ref {-}); she paid with {c} instead.",
    "ssn={s}; card={c}; status=ok",
    "{\"email\": \"{e}\", \"phone\": \"{p}\", \"order\": \"{-}\"}",
    "{\"ip\":\"{i}\",\"url\":\"{u}\"}",
    "Transfer to {b}, amount 1,204.50 EUR, reference {-}.",
    "IBAN: {b}\nBIC: COBADEFFXXX",
    "My social security number is {s}, and I was born in 1984.",
    "The docs are at {u}. See also {u}, please.",
    "<a href=\"{u}\">profile</a> of <{e}>",
    "(see {u})",
    "2024-05-06T07:08:09Z WARN login failed for {e} from {i}: attempt 3",
    "Connection from {i} closed; peer={i}.",
    "[{i}] GET /v1/items/{-} 200 12.5ms",
    "Tel.: {p}\nFax: {p}",
    "mobile: {p} | mail: {e}",
    "Ring {p}; ask for extension 12.",
    "I lost my card number {c}. My SSN is {s}.",
    "{e},{p},{-},paid",
    "id,email,iban\n7,{e},{b}\n",
    " name | account | note\n------+---------+------\n Kim | {b} | May\n",
    "cc: {e}; bcc: {e}",
    "From: \"Kim Test\" <{e}>\nTo: {e}",
    "Contact ({p}) or '{e}'.",
    "Is it {s}? No: {s}!",
    "Two cards: {c}, {c}.",
    "server {i} port 5432, gateway {i}, version 14.2.1",
    "Ordered on 2024-03-04, paid {-}; phone {p}.",
    "\u{201c}{e}\u{201d} \u{2014} {p}\u{2026}",
    "WhatsApp: {p} (evenings), office {p}",
    "url: {u}; user: {e}",
    "Wire it to {b}; questions to {p}",
    "* {e}\n* {p}\n* {i}",
    "\t{p}\t{e}\t{s}\t",
    "Bonjour, mon numéro est le {p}, merci.",
    "Meine Nummer ist {p}, meine IBAN {b}.",
    "电话：{p}，邮箱：{e}。",
    "Llámame al {p} o escribe a {e}",
    "from {i}-{i} (ver. 1.2.3.4), tel. {p}/{p}",
    "Write to {e}.Thanks a lot",
    // Nothing is in these.
    "Release {-} of build {-} took {-} on shard {-}.",
    "Order {-} shipped with {-}, total 1,299.00, due 2024-11-30.",
    "{-} -> {-} ({-})",
    "commit {-} by bot, checks {-}",
    "sizes: {-}, {-}, {-}",
    "The meeting is at 10:30 on 12.05.2024 in room 4.117, floor 3.",
    "Lot {-} expires 2025-08; keep between 2-8 degrees, see page 112-118.",
];

/// A text by a template, with what is in it.
fn prose(dice: &mut Dice, template: &str) -> (String, Vec<Span>) {
    let (mut text, mut spans) = (String::new(), Vec::new());
    let mut rest = template;
    while let Some(at) = rest.find('{') {
        let (before, after) = rest.split_at(at);
        text.push_str(before);
        let kind = match after.get(..3) {
            Some("{e}") => Some(Kind::Email),
            Some("{p}") => Some(Kind::Phone),
            Some("{c}") => Some(Kind::Card),
            Some("{s}") => Some(Kind::UsSsn),
            Some("{b}") => Some(Kind::Iban),
            Some("{i}") => Some(Kind::Ip),
            Some("{u}") => Some(Kind::Url),
            Some("{-}") => None,
            _ => {
                text.push('{');
                rest = &after[1..];
                continue;
            }
        };
        let value = match kind {
            Some(kind) => values::value(kind, dice),
            None => (values::NEGATIVES[dice.roll(values::NEGATIVES.len())].1)(dice),
        };
        let start = text.len();
        text.push_str(&value);
        spans.extend(kind.map(|kind| (start, text.len(), kind)));
        rest = &after[3..];
    }
    text.push_str(rest);
    (text, spans)
}

#[test]
fn prose_is_read_as_it_is_meant() {
    let detectors = Detectors::new(KINDS, Vec::new());
    let mut score = Score::default();
    let mut dice = Dice::new(7);
    for _ in 0..150 {
        for template in PROSE {
            let (text, wanted) = prose(&mut dice, template);
            let mut hits = Vec::new();
            detectors.scan(text.as_bytes(), &Column::default(), &mut hits);
            hits.retain(|hit| hit.strength >= Strength::Fair);
            score.take(&text, &wanted, &hits);
        }
    }
    score.expect(0.95, 0.005);
}

/// Columns of values, by the names that people give them.
const COLUMNS: &[(&str, Kind)] = &[
    ("email", Kind::Email),
    ("contact_email", Kind::Email),
    ("login", Kind::Email),
    ("phone", Kind::Phone),
    ("mobile_no", Kind::Phone),
    ("customerTel", Kind::Phone),
    ("contact", Kind::Phone),
    ("c7", Kind::Phone),
    ("card_number", Kind::Card),
    ("pan", Kind::Card),
    ("payment", Kind::Card),
    ("ssn", Kind::UsSsn),
    ("tax_id", Kind::UsSsn),
    ("c8", Kind::UsSsn),
    ("iban", Kind::Iban),
    ("account", Kind::Iban),
    ("ip", Kind::Ip),
    ("client_addr", Kind::Ip),
    ("last_seen_from", Kind::Ip),
    ("url", Kind::Url),
    ("homepage", Kind::Url),
    ("dsn", Kind::Url),
];

#[test]
fn cells_are_read_with_their_columns() {
    let detectors = Detectors::new(KINDS, Vec::new());
    let mut score = Score::default();
    let mut dice = Dice::new(11);
    let mut column = |name: &str, cells: usize, kind: Option<Kind>, make: &mut dyn FnMut() -> String| {
        let column = Column::named(name.as_bytes());
        let mut evidence = ColumnEvidence::default();
        for _ in 0..cells {
            let cell = make();
            let mut hits = Vec::new();
            if let Weight::Whole(detector) = evidence.weigh(&detectors, cell.as_bytes(), &column, &mut hits) {
                hits = vec![Hit { start: 0, end: cell.len(), detector, strength: Strength::Likely }];
            }
            let wanted: Vec<Span> = kind.map(|kind| (0, cell.len(), kind)).into_iter().collect();
            score.take(&cell, &wanted, &hits);
        }
    };
    for (name, kind) in COLUMNS {
        column(name, 150, Some(*kind), &mut || values::value(*kind, &mut dice));
    }
    for (name, make) in values::NEGATIVES {
        column(name, 150, None, &mut || make(&mut dice));
    }
    score.expect(0.97, 0.005);
}

/// What comes before and behind a value does not change where it is.
#[test]
fn values_end_where_they_end() {
    let detectors = Detectors::new(KINDS, Vec::new());
    let mut score = Score::default();
    let mut dice = Dice::new(13);
    for kind in KINDS {
        for (before, after) in [
            ("", "."),
            ("", ","),
            ("", ";"),
            ("", "!"),
            ("", "?"),
            ("(", ")"),
            ("[", "]"),
            ("\"", "\""),
            ("'", "'"),
            ("<", ">"),
            ("", "\n"),
            ("", "\r\n"),
            ("\t", "\t"),
            ("|", "|"),
            ("", ")."),
            ("\u{ab}", "\u{bb}"),
            ("\u{201c}", "\u{201d}"),
            ("", "\u{3002}"),
            ("\u{ff1a}", "\u{ff0c}"),
            ("", "\u{2026}"),
            ("`", "`"),
            ("*", "*"),
            ("", " -- "),
            ("", "</td>"),
        ] {
            for _ in 0..20 {
                let value = values::value(kind, &mut dice);
                let lead = match kind {
                    Kind::Phone => "phone ",
                    _ => "see ",
                };
                let text = format!("{lead}{before}{value}{after} and more");
                let start = lead.len() + before.len();
                let mut hits = Vec::new();
                detectors.scan(text.as_bytes(), &Column::default(), &mut hits);
                hits.retain(|hit| hit.strength >= Strength::Fair);
                score.take(&text, &[(start, start + value.len(), kind)], &hits);
            }
        }
    }
    score.expect(0.95, 0.0);
}
