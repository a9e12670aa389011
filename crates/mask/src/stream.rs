//! One row that comes in pieces, because it is longer than a read.
//!
//! The length of a message stands before its fields, and what masks make of them is known only when the last masked one has
//! been read. What is masked is dropped as it comes, what passes is held until then, and after it everything streams:
//!
//! ```text
//!   Count ──► fields: hold what passes, drop what is masked ──last masked field read──► Through
//!                │ more than a limit would be held
//!                ▼
//!             Refused: the rest is dropped
//! ```
//! Whether a row is refused depends on what passes before its last masked column and on nothing masked. Rows that fit into
//! the limit as they are are held whole, so that nothing of a broken one goes out.

use crate::cell::CellMask;
use crate::row::{RowError, RowMasker, Step};
use bytes::{BufMut, BytesMut};
use lockgate_core::limits::{PG_MASKED_ROW_BYTES_MAX, PG_MESSAGE_BYTES_MAX};
use std::sync::Arc;

/// Where a row stands.
enum State {
    /// Before its field count.
    Count,
    /// It is held until it is whole, as it came.
    Whole,
    /// Its fields are read.
    Fields(Fields),
    /// What comes goes on as it is.
    Through,
    /// What comes is dropped.
    Refused,
}

/// One row that comes in pieces.
pub struct RowStream {
    masker: Arc<RowMasker>,
    body: usize,
    missing: usize,
    /// Nothing may go out before the row is whole.
    whole: bool,
    /// Bytes that may be held.
    limit: usize,
    state: State,
    /// As it came (`Count`, `Whole`), or as it goes out without its head (`Fields`).
    held: BytesMut,
}

/// What of a field comes next.
enum Place {
    /// The rest of its length.
    Length,
    /// So many bytes that pass.
    Pass(usize),
    /// So many bytes that nobody looks at.
    Drop(usize),
    /// So many bytes that the mask looks at.
    Keep(usize),
}

struct Fields {
    step: usize,
    /// Columns of the step that are done.
    done: usize,
    place: Place,
    /// The bytes of a length, or of a value that its mask looks at.
    part: BytesMut,
    /// Bytes of the body that were read.
    taken: usize,
    /// The step behind the last masked column.
    after_masks: usize,
    /// The head went out.
    sent: bool,
}

impl RowStream {
    /// A row whose body (without the message's tag and length) has `body` bytes.
    pub fn new(masker: Arc<RowMasker>, body: usize) -> Result<Self, RowError> {
        let limit = PG_MESSAGE_BYTES_MAX - 4;
        if body > limit {
            return Err(RowError::TooLong { bytes: body, limit });
        }
        if body < 2 {
            return Err(RowError::Truncated);
        }
        Ok(RowStream {
            masker,
            body,
            missing: body,
            whole: false,
            limit: PG_MASKED_ROW_BYTES_MAX,
            state: State::Count,
            held: BytesMut::new(),
        })
    }

    /// The plan of the row.
    pub(crate) fn masker(&self) -> &Arc<RowMasker> {
        &self.masker
    }

    /// The bytes of the body that have not been fed yet.
    pub fn missing(&self) -> usize {
        self.missing
    }

    /// More of the row would have to be held than may be: nothing of it goes out, and its rest is dropped.
    pub fn is_refused(&self) -> bool {
        matches!(self.state, State::Refused)
    }

    /// Nothing is to go out before the row is whole: it is looked into. To be said before its first piece.
    pub(crate) fn hold_whole(&mut self) {
        if matches!(self.state, State::Count) {
            self.whole = true;
        }
    }

    /// Takes the next piece of the body, which must not be longer than what is missing.
    pub(crate) fn feed(&mut self, chunk: &[u8], out: &mut BytesMut) -> Result<(), RowError> {
        if chunk.is_empty() {
            return Ok(());
        }
        self.missing = self.missing.checked_sub(chunk.len()).ok_or(RowError::Trailing)?;
        match &mut self.state {
            State::Refused => {}
            State::Through => out.put_slice(chunk),
            State::Count => {
                self.held.put_slice(chunk);
                if self.held.len() >= 2 {
                    return self.begin(out);
                }
            }
            State::Whole => {
                self.held.put_slice(chunk);
                if self.missing == 0 {
                    let whole = std::mem::take(&mut self.held);
                    self.masker.mask(&whole, out)?;
                }
            }
            State::Fields(_) => self.fields(chunk, out)?,
        }
        Ok(())
    }

    /// The field count is there.
    fn begin(&mut self, out: &mut BytesMut) -> Result<(), RowError> {
        self.masker.check_count(&self.held)?;
        let begun = std::mem::take(&mut self.held);
        if self.masker.passes_everything() && !self.whole {
            self.state = State::Through;
            put_head(self.body, begun.get(..2).unwrap_or_default(), out)?;
            out.put_slice(begun.get(2..).unwrap_or_default());
            return Ok(());
        }
        if self.body <= self.limit {
            self.state = State::Whole;
            self.held = begun;
            if self.missing == 0 {
                let whole = std::mem::take(&mut self.held);
                self.masker.mask(&whole, out)?;
            }
            return Ok(());
        }
        let last = self.masker.steps().iter().rposition(|step| matches!(step, Step::Mask(_)));
        let after_masks = if self.whole { usize::MAX } else { last.map_or(0, |at| at.saturating_add(1)) };
        self.held.put_slice(begun.get(..2).unwrap_or_default());
        self.state = State::Fields(Fields {
            step: 0,
            done: 0,
            place: Place::Length,
            part: BytesMut::new(),
            taken: 2,
            after_masks,
            sent: false,
        });
        self.fields(begun.get(2..).unwrap_or_default(), out)
    }

    fn fields(&mut self, chunk: &[u8], out: &mut BytesMut) -> Result<(), RowError> {
        let State::Fields(fields) = &mut self.state else { return Ok(()) };
        let mut rest = chunk;
        while !rest.is_empty() {
            let Some(step) = self.masker.steps().get(fields.step) else { return Err(RowError::Trailing) };
            let wanted = match fields.place {
                Place::Length => 4_usize.saturating_sub(fields.part.len()),
                Place::Pass(left) | Place::Drop(left) | Place::Keep(left) => left,
            };
            let (now, later) = rest.split_at(wanted.min(rest.len()));
            rest = later;
            fields.taken = fields.taken.saturating_add(now.len());
            let target = if fields.sent { &mut *out } else { &mut self.held };
            let over = match &mut fields.place {
                Place::Length => {
                    fields.part.put_slice(now);
                    match fields.part.first_chunk::<4>().copied() {
                        Some(length) => {
                            fields.part.clear();
                            fields.begin_field(i32::from_be_bytes(length), step, target)?
                        }
                        None => 0,
                    }
                }
                Place::Pass(left) => {
                    *left = left.saturating_sub(now.len());
                    target.put_slice(now);
                    0
                }
                Place::Drop(left) => {
                    *left = left.saturating_sub(now.len());
                    0
                }
                Place::Keep(left) => {
                    *left = left.saturating_sub(now.len());
                    fields.part.put_slice(now);
                    if let (0, Step::Mask(mask)) = (*left, step) {
                        mask.put(Some(&fields.part), target);
                        fields.part = BytesMut::new();
                    }
                    0
                }
            };
            if !fields.sent && self.held.len().saturating_add(over) > self.limit {
                self.held = BytesMut::new();
                self.state = State::Refused;
                return Ok(());
            }
            fields.end_field(step);
            if !fields.sent && fields.step >= fields.after_masks && matches!(fields.place, Place::Length) {
                let held = std::mem::take(&mut self.held);
                let left = self.body.saturating_sub(fields.taken);
                put_head(held.len().saturating_add(left), &held, out)?;
                fields.sent = true;
            }
        }
        if self.missing > 0 {
            return Ok(());
        }
        if fields.step < self.masker.steps().len() {
            return Err(RowError::Truncated);
        }
        if !fields.sent {
            let held = std::mem::take(&mut self.held);
            put_head(held.len(), &held, out)?;
        }
        Ok(())
    }
}

impl Fields {
    /// The length of a field was read; how many of its bytes are to be held beside what is held already.
    fn begin_field(&mut self, length: i32, step: &Step, out: &mut BytesMut) -> Result<usize, RowError> {
        let length = match usize::try_from(length) {
            Ok(length) => Some(length),
            Err(_) if length == -1 => None,
            Err(_) => return Err(RowError::Length(length)),
        };
        self.place = match (step, length) {
            (Step::Pass(_), None) => {
                out.put_i32(-1);
                Place::Pass(0)
            }
            (Step::Pass(_), Some(length)) => {
                out.put_i32(i32::try_from(length).map_err(|_| RowError::Truncated)?);
                Place::Pass(length)
            }
            (Step::Mask(mask), None) => {
                mask.put(None, out);
                Place::Drop(0)
            }
            (Step::Mask(CellMask::Derived(_)), Some(length)) if length > 0 => Place::Keep(length),
            (Step::Mask(mask), Some(length)) => {
                mask.put(Some(&[]), out);
                Place::Drop(length)
            }
        };
        Ok(match self.place {
            Place::Pass(length) | Place::Keep(length) => length,
            Place::Length | Place::Drop(_) => 0,
        })
    }

    /// Goes on to the next field where this one is over.
    fn end_field(&mut self, step: &Step) {
        if !matches!(self.place, Place::Pass(0) | Place::Drop(0) | Place::Keep(0)) {
            return;
        }
        self.place = Place::Length;
        self.done = self.done.saturating_add(1);
        let columns = match step {
            Step::Pass(run) => *run,
            Step::Mask(_) => 1,
        };
        if self.done >= columns {
            self.step = self.step.saturating_add(1);
            self.done = 0;
        }
    }
}

/// Appends the head of a DataRow with a body of so many bytes, and the body's beginning.
fn put_head(body: usize, begun: &[u8], out: &mut BytesMut) -> Result<(), RowError> {
    let length = body.saturating_add(4);
    let length = i32::try_from(length)
        .ok()
        .filter(|_| length <= PG_MESSAGE_BYTES_MAX)
        .ok_or(RowError::TooLong { bytes: length, limit: PG_MESSAGE_BYTES_MAX })?;
    out.put_u8(b'D');
    out.put_i32(length);
    out.put_slice(begun);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::MaskKeys;
    use crate::method::Method;
    use crate::row::{Column, Format, Rule};
    use crate::types::TypeTable;

    fn column(rule: Rule) -> Column {
        Column { type_oid: 25, typmod: -1, format: Format::Text, rule }
    }

    fn masked(method: Method) -> Column {
        column(Rule::Mask { method, label: "pii".parse().unwrap() })
    }

    fn plan(columns: &[Column]) -> Arc<RowMasker> {
        Arc::new(RowMasker::new(columns, &TypeTable::new(), &MaskKeys::new(&[7; 32])))
    }

    fn body(cells: &[Option<&[u8]>]) -> Vec<u8> {
        let mut body = u16::try_from(cells.len()).unwrap().to_be_bytes().to_vec();
        for cell in cells {
            body.extend(cell.map_or(-1, |c| i32::try_from(c.len()).unwrap()).to_be_bytes());
            body.extend(cell.unwrap_or_default());
        }
        body
    }

    /// The row in pieces of this size, and whether it was refused.
    fn run(
        plan: &Arc<RowMasker>,
        body: &[u8],
        size: usize,
        limit: usize,
        whole: bool,
    ) -> Result<(BytesMut, bool), RowError> {
        let mut stream = RowStream::new(Arc::clone(plan), body.len())?;
        stream.limit = limit;
        if whole {
            stream.hold_whole();
        }
        let mut out = BytesMut::new();
        for piece in body.chunks(size) {
            stream.feed(piece, &mut out)?;
            assert!(stream.held.len() <= limit, "{} held", stream.held.len());
            assert!(!whole || stream.missing() == 0 || out.is_empty());
        }
        assert_eq!(stream.missing(), 0);
        Ok((out, stream.is_refused()))
    }

    #[test]
    fn masked_fields_are_dropped_and_the_rest_streams() {
        let columns = [
            column(Rule::Pass),
            masked(Method::Redact),
            masked(Method::Partial),
            column(Rule::Hide),
            masked(Method::Null),
            column(Rule::Pass),
            column(Rule::Pass),
        ];
        let plan = plan(&columns);
        let long = [b'x'; 500];
        let rows = [
            body(&[Some(b"a"), Some(&long), Some(b"jo@example.com"), None, Some(&long), Some(&long), Some(b"")]),
            body(&[None, None, None, Some(&long), None, None, Some(&long)]),
            body(&[Some(b""), Some(b""), Some(b""), Some(b""), Some(b""), Some(&long), None]),
        ];
        for row in rows {
            let mut expected = BytesMut::new();
            plan.mask(&row, &mut expected).unwrap();
            for size in 1..=row.len() {
                assert_eq!(run(&plan, &row, size, 64, false), Ok((expected.clone(), false)), "{size}");
            }
            // What is looked into may hold all that passes, or is refused.
            assert_eq!(
                run(&plan, &row, 10, 64, true).map(|(out, refused)| (out.is_empty(), refused)),
                Ok((true, true))
            );
        }
    }

    #[test]
    fn what_passes_before_a_mask_is_held_up_to_the_limit() {
        let plan = plan(&[column(Rule::Pass), masked(Method::Redact)]);
        for (passing, hidden, refused) in [(40, 10, false), (40, 1000, false), (100, 0, true), (100, 1000, true)] {
            let row = body(&[Some(&vec![b'p'; passing]), Some(&vec![b'h'; hidden])]);
            let mut expected = BytesMut::new();
            if !refused {
                plan.mask(&row, &mut expected).unwrap();
            }
            for size in 1..=row.len() {
                assert_eq!(
                    run(&plan, &row, size, 64, false),
                    Ok((expected.clone(), refused)),
                    "{passing} {hidden} {size}"
                );
            }
        }
    }

    #[test]
    fn a_row_of_another_form_is_an_error() {
        let plan = plan(&[masked(Method::Redact), column(Rule::Pass)]);
        let row = body(&[Some(&[b'x'; 90]), Some(b"abc")]);
        let error = |row: &[u8]| run(&plan, row, 7, 16, false).unwrap_err();
        assert_eq!(error(&row[..row.len() - 1]), RowError::Truncated);
        assert_eq!(error(&row[..row.len() - 5]), RowError::Truncated);
        assert_eq!(error(&row[..90]), RowError::Truncated);
        assert_eq!(error(&[row.as_slice(), b"z"].concat()), RowError::Trailing);
        assert_eq!(error(&body(&[Some(&[0; 90])])), RowError::FieldCount { expected: 2, got: 1 });
        let mut negative = row.clone();
        negative[2..6].copy_from_slice(&(-2_i32).to_be_bytes());
        assert_eq!(error(&negative), RowError::Length(-2));
    }
}
