//! How fast the mask stage is, in MB/s of input: `cargo run --release -p lockgate-mask --example throughput`.
//!
//! The rows are wide ones of twenty text columns, about 260 bytes each, as a `SELECT *` over people gives them.

#![allow(clippy::disallowed_types, reason = "a test or an example may look at the clock")]

mod rows;

use lockgate_mask::{Column, CopyFormat, CopyMasker, Format, MaskKeys, Method, Outbox, RowMasker, Rule, TypeTable};
use rows::BATCH_BYTES;
use std::error::Error;
use std::time::Instant;

const COLUMNS: usize = 20;
const ROWS: usize = 1_000_000;

fn columns(method: Option<Method>) -> Result<Vec<Column>, Box<dyn Error>> {
    let label: lockgate_core::Label = "pii/test".parse()?;
    Ok((0..COLUMNS)
        .map(|at| Column {
            type_oid: 25,
            typmod: -1,
            format: Format::Text,
            rule: match method {
                Some(method) if matches!(at, 3 | 7 | 8) => Rule::Mask { method, label: label.clone() },
                _ => Rule::Pass,
            },
        })
        .collect())
}

fn values(row: usize) -> Vec<String> {
    (0..COLUMNS).map(|at| if at == 8 { format!("ann{row}@example.com") } else { format!("{row:07}{at:02}") }).collect()
}

/// Lines of a copy, cut as they fall.
fn copy_batches(separator: &str) -> Vec<Vec<u8>> {
    let text: String = (0..BATCH_BYTES / 128 * 16).map(|row| values(row).join(separator) + "\n").collect();
    text.as_bytes().chunks(BATCH_BYTES).map(<[u8]>::to_vec).collect()
}

/// Feeds the batches again and again until a million rows went through, and prints the rate.
fn measure(
    name: &str,
    batches: &[Vec<u8>],
    mut feed: impl FnMut(&mut Outbox, &[u8]) -> Result<(), Box<dyn Error>>,
) -> Result<(), Box<dyn Error>> {
    let rows_of_all = BATCH_BYTES / 128 * 16;
    let mut outbox = Outbox::new();
    let (mut bytes_in, mut bytes_out) = (0_usize, 0_usize);
    let start = Instant::now();
    for _ in 0..ROWS.div_ceil(rows_of_all) {
        for batch in batches {
            bytes_in += batch.len();
            feed(&mut outbox, batch)?;
            bytes_out += outbox.take().len();
        }
    }
    let micros = usize::try_from(start.elapsed().as_micros().max(1))?;
    println!(
        "{name:<28} {:>6} MB/s   {:>4} MB in, {:>4} MB out",
        bytes_in / micros,
        bytes_in / 1_000_000,
        bytes_out / 1_000_000
    );
    Ok(())
}

fn main() -> Result<(), Box<dyn Error>> {
    let types = TypeTable::new();
    let keys = MaskKeys::new(&[7; 32]);
    let cells = |row| values(row).into_iter().map(String::into_bytes).collect();
    let rows = rows::batches((0..BATCH_BYTES / 128 * 16).map(cells))?;
    let methods = [
        ("none", None),
        ("redact", Some(Method::Redact)),
        ("null", Some(Method::Null)),
        ("partial", Some(Method::Partial)),
        ("token", Some(Method::Token)),
    ];
    for (name, method) in methods {
        let masker = RowMasker::new(&columns(method)?, &types, &keys);
        measure(&format!("rows, 3 of 20 {name}"), &rows, |outbox, batch| Ok(outbox.rows(&masker, batch)?))?;
    }
    for (format, separator) in [(CopyFormat::text(), "\t"), (CopyFormat::csv(), ",")] {
        let kind = if separator == "\t" { "text" } else { "csv" };
        let lines = copy_batches(separator);
        for (name, method) in [("none", None), ("redact", Some(Method::Redact))] {
            let mut masker = CopyMasker::new(&format, &columns(method)?, &types, &keys)?;
            measure(&format!("copy {kind}, 3 of 20 {name}"), &lines, |outbox, batch| {
                Ok(outbox.copy(&mut masker, batch)?)
            })?;
        }
    }
    Ok(())
}
