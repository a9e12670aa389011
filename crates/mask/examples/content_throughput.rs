//! Megabytes a second of rows that are looked into with every detector, on one core, where there is nothing to find.
//!
//! Rows of twelve columns of one sort, as messages of the wire. Cells of digits may be pieces of a value that is cut over
//! them. Prints one line per sort: the rate, and how many rows were changed. Names of sorts as arguments pick some.

#![allow(clippy::disallowed_types, reason = "a test or an example may look at the clock")]

use lockgate_detect::Kind;
use lockgate_mask::{Column, ContentPlan, ContentRule, Format, MaskKeys, Method, Outbox, RowMasker, Rule, TypeTable};
use std::error::Error;
use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};

const COLUMNS: usize = 12;
const ROWS: usize = 4000;
/// About as many bytes as are read from a socket at once.
const BATCH_BYTES: usize = 32 * 1024;

/// The types of the server that occur.
const TEXT: u32 = 25;
const INT4: u32 = 23;
const INT8: u32 = 20;

struct Dice(u64);

impl Dice {
    fn roll(&mut self, below: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % below
    }

    fn words(&mut self, count: u64) -> String {
        const WORDS: [&str; 8] = ["measure", "season", "about", "level", "report", "answers", "before", "noon"];
        let picked: Vec<&str> =
            (0..count).filter_map(|_| WORDS.get(usize::try_from(self.roll(8)).unwrap_or(0)).copied()).collect();
        picked.join(" ")
    }
}

type Make = fn(&mut Dice, usize) -> Vec<u8>;

/// A name, the type of the columns and how they are written, and a cell of a column.
const SORTS: [(&str, u32, Format, Make); 9] = [
    ("words", TEXT, Format::Text, |d, _| {
        let count = 1 + d.roll(5);
        d.words(count).into_bytes()
    }),
    ("mixed types", TEXT, Format::Text, |d, column| match column % 4 {
        0 => d.words(4).into_bytes(),
        1 => d.roll(1_000_000).to_string().into_bytes(),
        2 => format!("2024-{:02}-{:02} {:02}:00:00+00", 1 + d.roll(12), 1 + d.roll(28), d.roll(24)).into_bytes(),
        _ => format!("{}.{:02}", d.roll(10_000), d.roll(100)).into_bytes(),
    }),
    ("1 to 3 digits", INT4, Format::Text, |d, _| d.roll(1000).to_string().into_bytes()),
    ("6 digits", INT4, Format::Text, |d, _| (100_000 + d.roll(900_000)).to_string().into_bytes()),
    ("8 digits", INT4, Format::Text, |d, _| (10_000_000 + d.roll(90_000_000)).to_string().into_bytes()),
    ("8-byte 6 digits", INT8, Format::Binary, |d, _| d.roll(1_000_000).to_be_bytes().to_vec()),
    ("8-byte 9 digits", INT8, Format::Binary, |d, _| d.roll(1_000_000_000).to_be_bytes().to_vec()),
    ("5-digit texts", TEXT, Format::Text, |d, _| (10_000 + d.roll(90_000)).to_string().into_bytes()),
    ("base64", TEXT, Format::Text, |d, _| {
        const ALPHABET: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
        (0..64).filter_map(|_| ALPHABET.get(usize::try_from(d.roll(64)).unwrap_or(0)).copied()).collect()
    }),
];

/// DataRow messages in batches of whole messages.
fn batches(dice: &mut Dice, make: Make) -> Result<Vec<Vec<u8>>, Box<dyn Error>> {
    let mut batches = vec![Vec::new()];
    for _ in 0..ROWS {
        let mut body = u16::try_from(COLUMNS)?.to_be_bytes().to_vec();
        for column in 0..COLUMNS {
            let value = make(dice, column);
            body.extend(i32::try_from(value.len())?.to_be_bytes());
            body.extend(value);
        }
        if batches.last().is_some_and(|batch| batch.len() + body.len() > BATCH_BYTES) {
            batches.push(Vec::new());
        }
        if let Some(batch) = batches.last_mut() {
            batch.push(b'D');
            batch.extend(i32::try_from(body.len() + 4)?.to_be_bytes());
            batch.extend(body);
        }
    }
    Ok(batches)
}

fn main() -> Result<(), Box<dyn Error>> {
    let keys = Arc::new(MaskKeys::new(&[7; 32]));
    let rule = ContentRule {
        label: "pii/found".parse()?,
        kinds: Kind::ALL.to_vec(),
        custom: Vec::new(),
        method: Method::Redact,
    };
    let content = Arc::new(ContentPlan::new(&[rule], &keys).ok_or("no plan")?);
    let types = TypeTable::new();
    let mut dice = Dice(0x2545_f491_4f6c_dd1d);
    let picked: Vec<String> = std::env::args().skip(1).collect();
    let names: Vec<String> = (0..COLUMNS).map(|column| format!("c{column}")).collect();
    let names: Vec<&[u8]> = names.iter().map(String::as_bytes).collect();
    for (name, type_oid, format, make) in SORTS {
        if !picked.is_empty() && !picked.iter().any(|p| p == name) {
            continue;
        }
        let columns = vec![Column { type_oid, typmod: -1, format, rule: Rule::Pass }; COLUMNS];
        let mut masker = RowMasker::new(&columns, &types, &keys);
        masker.look_into(&content, &columns, &names, &types);
        let rows = batches(&mut dice, make)?;
        let bytes: usize = rows.iter().map(Vec::len).sum();
        let mut best = Duration::MAX;
        let mut changed = 0;
        let begun = Instant::now();
        while begun.elapsed() < Duration::from_millis(300) {
            let mut outbox = Outbox::new();
            outbox.set_content(Some(Arc::clone(&content)));
            let round = Instant::now();
            changed = 0;
            for batch in &rows {
                outbox.rows(&masker, black_box(batch))?;
                changed += usize::from(outbox.take()[..] != batch[..]);
            }
            best = best.min(round.elapsed());
        }
        println!(
            "{name:<16} {:>6} MB/s   {:>5} ns a row   {changed} of {} batches changed",
            bytes / usize::try_from(best.as_micros().max(1))?,
            usize::try_from(best.as_nanos())? / ROWS,
            rows.len()
        );
    }
    Ok(())
}
