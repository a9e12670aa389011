//! Rows as messages of the wire, for examples that measure.

use std::error::Error;

/// About as many bytes as are read from a socket at once.
pub const BATCH_BYTES: usize = 32 * 1024;

/// DataRow messages of these cells, in batches of whole messages.
pub fn batches(rows: impl Iterator<Item = Vec<Vec<u8>>>) -> Result<Vec<Vec<u8>>, Box<dyn Error>> {
    let mut batches = vec![Vec::new()];
    for row in rows {
        let mut body = u16::try_from(row.len())?.to_be_bytes().to_vec();
        for value in row {
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
