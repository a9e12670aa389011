//! Megabytes a second of rows that are looked into with every detector, on one core, where there is nothing to find.
//!
//! Rows of twelve columns of one sort, as messages of the wire. Cells of digits may be pieces of a value that is cut over
//! them. Prints one line per sort: the rate, and how many rows were changed. Names of sorts as arguments pick some.

#![allow(clippy::disallowed_types, reason = "a test or an example may look at the clock")]

#[path = "../../detect/examples/dice/mod.rs"]
mod dice;
mod rows;

use dice::Dice;
use lockgate_detect::Kind;
use lockgate_mask::{Column, ContentPlan, ContentRule, Format, MaskKeys, Method, Outbox, RowMasker, Rule, TypeTable};
use std::error::Error;
use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};

const COLUMNS: usize = 12;
const ROWS: usize = 4000;

/// The types of the server that occur.
const TEXT: u32 = 25;
const INT4: u32 = 23;
const INT8: u32 = 20;

const WORDS: [&str; 8] = ["measure", "season", "about", "level", "report", "answers", "before", "noon"];

type Make = fn(&mut Dice, usize) -> Vec<u8>;

/// A number of so many digits, of no issuer of cards.
fn digits(dice: &mut Dice, count: usize) -> Vec<u8> {
    ["1", dice.text("0123456789", count - 1).as_str()].concat().into_bytes()
}

/// A name, the type of the columns and how they are written, and a cell of a column.
const SORTS: [(&str, u32, Format, Make); 20] = [
    ("words", TEXT, Format::Text, |d, _| {
        let count = 1 + d.roll(5);
        d.words(&WORDS, count).into_bytes()
    }),
    ("mixed types", TEXT, Format::Text, |d, column| match column % 4 {
        0 => d.words(&WORDS, 4).into_bytes(),
        1 => d.roll(1_000_000).to_string().into_bytes(),
        2 => format!("2024-{:02}-{:02} {:02}:00:00+00", 1 + d.roll(12), 1 + d.roll(28), d.roll(24)).into_bytes(),
        _ => format!("{}.{:02}", d.roll(10_000), d.roll(100)).into_bytes(),
    }),
    ("1 to 3 digits", INT4, Format::Text, |d, _| d.roll(1000).to_string().into_bytes()),
    ("6 digits", INT4, Format::Text, |d, _| (100_000 + d.roll(900_000)).to_string().into_bytes()),
    ("7 digits", INT4, Format::Text, |d, _| digits(d, 7)),
    ("8 digits", INT4, Format::Text, |d, _| (10_000_000 + d.roll(90_000_000)).to_string().into_bytes()),
    ("9 digits", INT4, Format::Text, |d, _| digits(d, 9)),
    ("10 digits", INT8, Format::Text, |d, _| digits(d, 10)),
    ("11 digits", INT8, Format::Text, |d, _| digits(d, 11)),
    ("13 digits", INT8, Format::Text, |d, _| digits(d, 13)),
    ("16 digits", INT8, Format::Text, |d, _| digits(d, 16)),
    ("19 digits", INT8, Format::Text, |d, _| digits(d, 19)),
    ("-8 digits", INT4, Format::Text, |d, _| [b"-".to_vec(), digits(d, 8)].concat()),
    ("4-byte 8 digits", INT4, Format::Binary, |d, _| {
        (10_000_000 + d.roll(90_000_000)).to_be_bytes().to_vec().split_off(4)
    }),
    ("8-byte 6 digits", INT8, Format::Binary, |d, _| d.roll(1_000_000).to_be_bytes().to_vec()),
    ("8-byte 9 digits", INT8, Format::Binary, |d, _| d.roll(1_000_000_000).to_be_bytes().to_vec()),
    ("8-byte 13 digits", INT8, Format::Binary, |d, _| {
        (1_700_000_000_000 + d.roll(90_000_000_000)).to_be_bytes().to_vec()
    }),
    ("8-byte 18 digits", INT8, Format::Binary, |d, _| d.roll(1_000_000_000_000_000_000).to_be_bytes().to_vec()),
    ("5-digit texts", TEXT, Format::Text, |d, _| (10_000 + d.roll(90_000)).to_string().into_bytes()),
    ("base64", TEXT, Format::Text, |d, _| {
        d.text("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/", 64).into_bytes()
    }),
];

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
    let mut dice = Dice::new();
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
        let row = |_| (0..COLUMNS).map(|column| make(&mut dice, column)).collect();
        let rows = rows::batches((0..ROWS).map(row))?;
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
