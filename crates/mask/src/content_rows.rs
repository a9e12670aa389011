//! Content rules on what an outbox has just taken in: rows, function results, and the strings of other messages.
//!
//! Bytes in which nothing is found are left where they are.

use crate::content::{ContentPlan, Evidence, Looks, Shown};
use crate::message::MessageError;
use crate::outbox::set_length;
use crate::row::{RowError, RowMasker, split_field, split_frame};
use crate::stream::RowStream;
use bytes::{BufMut, BytesMut};
use lockgate_core::limits::PG_MESSAGE_BYTES_MAX;
use std::sync::Arc;

/// Where the strings of a message are.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Strings {
    /// After so many bytes, each ended by a zero.
    After(usize),
    /// Each after the code of its field, as in errors and notices.
    Coded,
}

/// The content rules of one client, and what they have seen of the current result.
pub(crate) struct Content {
    plan: Arc<ContentPlan>,
    evidence: Evidence,
    /// A row that comes in pieces.
    held: BytesMut,
    /// For a result of which nothing is known.
    unknown: Looks,
}

impl Content {
    pub(crate) fn new(plan: Arc<ContentPlan>) -> Self {
        let unknown = Looks::unknown(&plan, 0);
        Content { plan, evidence: Evidence::default(), held: BytesMut::new(), unknown }
    }

    pub(crate) fn plan(&self) -> &Arc<ContentPlan> {
        &self.plan
    }

    /// The cells of the next result are another column's.
    pub(crate) fn result_ends(&mut self) {
        self.evidence = Evidence::default();
    }

    /// Looks into the whole rows from `start` on.
    pub(crate) fn rows(&mut self, masker: &RowMasker, bytes: &mut BytesMut, start: usize) -> Result<(), RowError> {
        let result = self.changed_rows(masker, bytes.get(start..).unwrap_or_default());
        match result {
            Ok(None) => Ok(()),
            Ok(Some(changed)) => {
                bytes.truncate(start);
                bytes.put_slice(&changed);
                Ok(())
            }
            Err(error) => {
                bytes.truncate(start);
                Err(error)
            }
        }
    }

    /// The rows as the client sees them; `None` where they are as they were.
    fn changed_rows(&mut self, masker: &RowMasker, rows: &[u8]) -> Result<Option<BytesMut>, RowError> {
        let looks = match masker.looks() {
            Some(looks) => looks,
            None => {
                if self.unknown.columns() != masker.columns() {
                    self.unknown = Looks::unknown(&self.plan, masker.columns());
                }
                &self.unknown
            }
        };
        if !looks.any() {
            return Ok(None);
        }
        let mut changed: Option<BytesMut> = None;
        let mut rest = rows;
        while !rest.is_empty() {
            let (body, next) = split_frame(rest)?;
            let frame = rest.get(..rest.len() - next.len()).unwrap_or_default();
            let mut fields = body.get(2..).unwrap_or_default();
            // What is wrong with a field is told below.
            let cells = std::iter::from_fn(|| {
                let (value, after) = split_field(fields).ok()?;
                fields = after;
                Some(value)
            });
            self.evidence.look_ahead(&self.plan, looks, cells);
            // Where the copy of this row begins, once one of its values has changed.
            let mut begun: Option<usize> = None;
            let mut fields = body.get(2..).unwrap_or_default();
            let mut index = 0;
            while !fields.is_empty() {
                let (value, after) = split_field(fields)?;
                let shown = match value {
                    None => Shown::Same,
                    Some(value) => self.evidence.cell(&self.plan, looks, index, value),
                };
                let field = fields.get(..fields.len() - after.len()).unwrap_or_default();
                if begun.is_none() && !matches!(shown, Shown::Same) {
                    let out = changed.get_or_insert_with(|| {
                        let before = rows.get(..rows.len() - rest.len()).unwrap_or_default();
                        let mut out = BytesMut::with_capacity(rows.len());
                        out.put_slice(before);
                        out
                    });
                    begun = Some(out.len());
                    let so_far = frame.len() - fields.len();
                    out.put_slice(frame.get(..so_far).unwrap_or_default());
                }
                if let (Some(_), Some(out)) = (begun, &mut changed) {
                    put(&shown, field, out)?;
                }
                fields = after;
                index += 1;
            }
            if let Some(out) = &mut changed {
                match begun {
                    Some(start) => set_length(out, start)
                        .map_err(|bytes| RowError::TooLong { bytes, limit: PG_MESSAGE_BYTES_MAX })?,
                    None => out.put_slice(frame),
                }
            }
            rest = next;
        }
        Ok(changed)
    }

    /// Takes the next piece of a row that comes in pieces. What is not masked is held until the row is whole.
    pub(crate) fn row_piece(
        &mut self,
        row: &mut RowStream,
        piece: &[u8],
        bytes: &mut BytesMut,
    ) -> Result<(), RowError> {
        row.hold_whole();
        row.feed(piece, &mut self.held)?;
        if row.missing() > 0 || row.is_refused() {
            return Ok(());
        }
        let held = std::mem::take(&mut self.held);
        let masker = Arc::clone(row.masker());
        let start = bytes.len();
        bytes.put_slice(&held);
        self.rows(&masker, bytes, start)
    }

    /// Looks into the result of a function call that begins at `start`.
    pub(crate) fn function_result(
        &mut self,
        masker: &RowMasker,
        bytes: &mut BytesMut,
        start: usize,
    ) -> Result<(), RowError> {
        if !masker.passes_everything() {
            return Ok(());
        }
        let message = bytes.split_off(start);
        let (value, _) = split_field(message.get(5..).unwrap_or_default())?;
        self.evidence = Evidence::default();
        let unknown = Looks::unknown(&self.plan, 1);
        let looks = masker.looks().unwrap_or(&unknown);
        match value.map(|value| self.evidence.cell(&self.plan, looks, 0, value)) {
            None | Some(Shown::Same) => bytes.put_slice(&message),
            Some(shown) => {
                bytes.put_slice(b"V\0\0\0\0");
                put(&shown, &[], bytes)?;
                set_length(bytes, start).map_err(|bytes| RowError::TooLong { bytes, limit: PG_MESSAGE_BYTES_MAX })?;
            }
        }
        Ok(())
    }

    /// Looks into the strings of the message that begins at `start`.
    pub(crate) fn strings(&self, bytes: &mut BytesMut, start: usize, which: Strings) -> Result<(), MessageError> {
        let body = bytes.get(start + 5..).unwrap_or_default();
        let mut out: Vec<u8> = Vec::new();
        let mut found = false;
        let (head, strings) = match which {
            Strings::After(head) => body.split_at_checked(head).unwrap_or((&[], body)),
            Strings::Coded => (&[][..], body),
        };
        out.extend_from_slice(head);
        for (index, string) in strings.split(|b| *b == 0).enumerate() {
            if index > 0 {
                out.push(0);
            }
            let code = usize::from(which == Strings::Coded);
            let (code, text) = string.split_at_checked(code).unwrap_or((&[], string));
            out.extend_from_slice(code);
            match self.plan.text(text) {
                None => out.extend_from_slice(text),
                Some(shown) => {
                    found = true;
                    out.extend_from_slice(&shown);
                }
            }
        }
        if found {
            bytes.truncate(start + 5);
            bytes.put_slice(&out);
            set_length(bytes, start).map_err(|bytes| MessageError::TooLong {
                kind: "message",
                bytes,
                limit: PG_MESSAGE_BYTES_MAX,
            })?;
        }
        Ok(())
    }

    /// The body of a RowDescription with what is found in column names masked; `None` where nothing is.
    pub(crate) fn names(&self, body: &[u8]) -> Option<Vec<u8>> {
        /// Table, attribute, type, length, modifier, format.
        const FIELD_BYTES: usize = 18;
        let (count, mut rest) = body.split_first_chunk::<2>()?;
        let mut out = count.to_vec();
        let mut found = false;
        while !rest.is_empty() {
            let end = memchr::memchr(0, rest)?;
            let (name, after) = rest.split_at_checked(end)?;
            let shown = self.plan.text(name);
            found |= shown.is_some();
            out.extend_from_slice(shown.as_deref().unwrap_or(name));
            let (facts, next) = after.split_at_checked(1 + FIELD_BYTES)?;
            out.extend_from_slice(facts);
            rest = next;
        }
        found.then_some(out)
    }
}

/// Appends a field: as it was, or what stands for it.
fn put(shown: &Shown, field: &[u8], out: &mut BytesMut) -> Result<(), RowError> {
    match shown {
        Shown::Same => out.put_slice(field),
        Shown::Null => out.put_i32(-1),
        Shown::Value(value) => {
            let length = i32::try_from(value.len())
                .map_err(|_| RowError::TooLong { bytes: value.len(), limit: PG_MESSAGE_BYTES_MAX })?;
            out.put_i32(length);
            out.put_slice(value);
        }
    }
    Ok(())
}
