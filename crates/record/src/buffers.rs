//! Working memory for writing frames, shared by all recorders of a gateway: an idle session holds none of it.

use lockgate_core::limits::{RECORD_BUFFER_BYTES_KEPT, RECORD_BUFFERS_MAX, RECORD_COMPRESS_BYTES_MIN};
use lz4_flex::block::{CompressTable, compress_into_with_table, get_maximum_output_size};
use std::sync::{Mutex, PoisonError};

/// A stock of buffers. One per gateway, shared through an `Arc`.
#[derive(Default)]
pub struct RecordingBuffers {
    stock: Mutex<Vec<Scratch>>,
}

impl RecordingBuffers {
    /// An empty stock; buffers are made when they are first needed.
    pub fn new() -> Self {
        RecordingBuffers::default()
    }

    pub(crate) fn take(&self) -> Scratch {
        self.stock.lock().unwrap_or_else(PoisonError::into_inner).pop().unwrap_or_default()
    }

    pub(crate) fn give_back(&self, mut scratch: Scratch) {
        if scratch.plain.capacity() > RECORD_BUFFER_BYTES_KEPT {
            scratch.plain = Vec::new();
        }
        if scratch.frame.capacity() > RECORD_BUFFER_BYTES_KEPT {
            scratch.frame = Vec::new();
        }
        let mut stock = self.stock.lock().unwrap_or_else(PoisonError::into_inner);
        if stock.len() < RECORD_BUFFERS_MAX {
            stock.push(scratch);
        }
    }
}

/// What one frame needs while it is made.
pub(crate) struct Scratch {
    /// Events in their encoded form.
    pub(crate) plain: Vec<u8>,
    /// The frame; its length only grows, so that it need not be zeroed again each time.
    pub(crate) frame: Vec<u8>,
    /// For payloads below 64 KiB: half the size, so half the time to clear.
    small: CompressTable,
    large: Option<CompressTable>,
}

impl Default for Scratch {
    fn default() -> Self {
        Scratch { plain: Vec::new(), frame: Vec::new(), small: CompressTable::small(), large: None }
    }
}

impl Scratch {
    /// Puts the payload into the frame at `at` and leaves room for `after` more bytes behind it. Returns the payload's
    /// length and whether it is compressed; `compress` says whether that is to be tried.
    pub(crate) fn place_payload(&mut self, at: usize, after: usize, compress: bool) -> (usize, bool) {
        let Scratch { plain, frame, small, large } = self;
        let room = get_maximum_output_size(plain.len()).max(plain.len());
        let needed = at.saturating_add(room).saturating_add(after);
        if frame.len() < needed {
            frame.resize(needed, 0);
        }
        let Some(output) = frame.get_mut(at..) else { return (0, false) };
        if compress && plain.len() >= RECORD_COMPRESS_BYTES_MIN {
            let table = if plain.len() < usize::from(u16::MAX) {
                small
            } else {
                large.get_or_insert_with(CompressTable::large)
            };
            // Worth keeping only where it saves at least an eighth.
            let worth = plain.len().saturating_sub(plain.len() / 8);
            if let Ok(length) = compress_into_with_table(plain, output, table)
                && length < worth
            {
                return (length, true);
            }
        }
        if let Some(output) = output.get_mut(..plain.len()) {
            output.copy_from_slice(plain);
        }
        (plain.len(), false)
    }
}
