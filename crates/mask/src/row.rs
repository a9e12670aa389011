//! DataRow: a plan for one result's columns, and the loop that applies it to each row.
//!
//! Everything that does not depend on the row is settled when the plan is made. Per row, columns that pass are copied in
//! runs, constants are appended, and only `partial`, `hash` and `token` look at a value. The lengths of every field are
//! checked against the body: a row that is not exactly what the plan expects is an error, never a guess.

use crate::cell::{self, CellMask};
use crate::content::{ContentPlan, Looks};
use crate::keys::MaskKeys;
use crate::method::Method;
use crate::outbox::set_length;
use crate::types::TypeTable;
use bytes::{BufMut, BytesMut};
use lockgate_core::Label;
use lockgate_core::limits::{PG_MASKED_ROW_BYTES_MAX, PG_MESSAGE_BYTES_MAX};

/// How a column's values are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Format {
    /// The type's text form (format code 0).
    Text,
    /// The type's binary form (format code 1).
    Binary,
}

impl Format {
    /// The format that a code of the wire means; `None` for one that PostgreSQL does not define.
    pub const fn from_code(code: i16) -> Option<Self> {
        match code {
            0 => Some(Format::Text),
            1 => Some(Format::Binary),
            _ => None,
        }
    }
}

/// What happens to a column.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Rule {
    /// Its bytes pass.
    Pass,
    /// Its bytes pass, and no content rule looks into them: numbers that the server has counted itself.
    Counted,
    /// Its values are masked.
    Mask {
        /// How.
        method: Method,
        /// Under which label: the key of `hash` and `token` belongs to it.
        label: Label,
    },
    /// Its values are redacted, and NULL with them: of a value that is made from labelled ones, `nullif(salary, 5000)`,
    /// whether it is NULL tells as much as the value.
    Hide,
}

/// One output column as the target describes it, and what happens to it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Column {
    /// The type's OID.
    pub type_oid: u32,
    /// The type's modifier, -1 for none.
    pub typmod: i32,
    /// The format of the values.
    pub format: Format,
    /// What happens to them.
    pub rule: Rule,
}

/// A row is not what the plan expects. The session must end: nothing of the row was passed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RowError {
    /// Another number of fields than the result was described with.
    #[error("the target sent a row of {got} fields where {expected} were described")]
    FieldCount {
        /// Columns of the plan.
        expected: usize,
        /// Fields of the row.
        got: usize,
    },
    /// A field or the row ends before its length.
    #[error("the target sent a row that ends in the middle of a field")]
    Truncated,
    /// Bytes after the last field.
    #[error("the target sent a row with bytes after its last field")]
    Trailing,
    /// A negative length other than that of NULL.
    #[error("the target sent a field of length {0}")]
    Length(i32),
    /// A row with a masked column that is too long to be held, or one that is longer than a message may be.
    #[error("the target sent a row of {bytes} bytes, and at most {limit} can be masked")]
    TooLong {
        /// The row's length.
        bytes: usize,
        /// The limit that it breaks.
        limit: usize,
    },
}

pub(crate) enum Step {
    /// So many columns in a row that pass.
    Pass(usize),
    Mask(CellMask),
}

/// The plan for the rows of one result.
pub struct RowMasker {
    steps: Vec<Step>,
    columns: usize,
    /// Bytes by which masks can make a row longer.
    growth: usize,
    masks: bool,
    /// What content rules look for in the columns that pass.
    looks: Option<Looks>,
}

impl RowMasker {
    /// Plans the masks of a result with these columns.
    pub fn new(columns: &[Column], types: &TypeTable, keys: &MaskKeys) -> Self {
        let mut steps: Vec<Step> = Vec::new();
        let mut growth: usize = 0;
        for mask in cell::plan(columns, types, keys) {
            match (mask, steps.last_mut()) {
                (None, Some(Step::Pass(run))) => *run += 1,
                (None, _) => steps.push(Step::Pass(1)),
                (Some(mask), _) => {
                    growth = growth.saturating_add(mask.growth());
                    steps.push(Step::Mask(mask));
                }
            }
        }
        let masks = steps.iter().any(|step| matches!(step, Step::Mask(_)));
        RowMasker { steps, columns: columns.len(), growth, masks, looks: None }
    }

    /// Tells content rules of the result's columns, which carry these names.
    pub fn look_into(&mut self, plan: &ContentPlan, columns: &[Column], names: &[&[u8]], types: &TypeTable) {
        self.looks = Some(plan.looks(columns, names, types));
    }

    /// What content rules look for.
    pub(crate) fn looks(&self) -> Option<&Looks> {
        self.looks.as_ref()
    }

    /// Whether no column is masked, so that rows pass as the bytes they came in.
    pub fn passes_everything(&self) -> bool {
        !self.masks
    }

    /// The number of columns.
    pub fn columns(&self) -> usize {
        self.columns
    }

    /// Appends the masked row as a whole DataRow message. On an error `out` is as it was.
    pub(crate) fn mask(&self, body: &[u8], out: &mut BytesMut) -> Result<(), RowError> {
        let limit = if self.masks { PG_MASKED_ROW_BYTES_MAX } else { PG_MESSAGE_BYTES_MAX };
        if body.len() > limit {
            return Err(RowError::TooLong { bytes: body.len(), limit });
        }
        let fields = self.check_count(body)?;
        let before = out.len();
        out.reserve(body.len().saturating_add(self.growth).saturating_add(5));
        out.put_slice(b"D\0\0\0\0");
        out.put_slice(body.get(..2).unwrap_or_default());
        let result = self.mask_fields(fields, out).and_then(|()| {
            set_length(out, before).map_err(|bytes| RowError::TooLong { bytes, limit: PG_MESSAGE_BYTES_MAX })
        });
        if result.is_err() {
            out.truncate(before);
        }
        result
    }

    /// Appends the fields of a row, each with its length, masked.
    pub(crate) fn mask_fields(&self, fields: &[u8], out: &mut BytesMut) -> Result<(), RowError> {
        let mut rest = fields;
        for step in &self.steps {
            match step {
                Step::Pass(run) => {
                    let from = rest;
                    for _ in 0..*run {
                        rest = split_field(rest)?.1;
                    }
                    out.put_slice(from.get(..from.len() - rest.len()).unwrap_or_default());
                }
                Step::Mask(mask) => {
                    let (value, after) = split_field(rest)?;
                    rest = after;
                    mask.put(value, out);
                }
            }
        }
        if rest.is_empty() { Ok(()) } else { Err(RowError::Trailing) }
    }

    /// The runs of columns that pass and the masks between them.
    pub(crate) fn steps(&self) -> &[Step] {
        &self.steps
    }

    /// Checks the number of fields of a DataRow body and returns what follows it.
    pub(crate) fn check_count<'a>(&self, body: &'a [u8]) -> Result<&'a [u8], RowError> {
        let (count, fields) = body.split_first_chunk::<2>().ok_or(RowError::Truncated)?;
        let got = usize::from(u16::from_be_bytes(*count));
        if got == self.columns { Ok(fields) } else { Err(RowError::FieldCount { expected: self.columns, got }) }
    }

    /// Checks that `frames` is a sequence of whole DataRow messages of as many fields as the plan has columns.
    pub(crate) fn check_frames(&self, frames: &[u8]) -> Result<(), RowError> {
        let mut rest = frames;
        while !rest.is_empty() {
            let (body, next) = split_frame(rest)?;
            self.check_count(body)?;
            rest = next;
        }
        Ok(())
    }

    /// Appends each of a sequence of whole DataRow messages, masked.
    pub(crate) fn mask_frames(&self, frames: &[u8], out: &mut BytesMut) -> Result<(), RowError> {
        let mut rest = frames;
        while !rest.is_empty() {
            let (body, next) = split_frame(rest)?;
            self.mask(body, out)?;
            rest = next;
        }
        Ok(())
    }
}

/// The body of the DataRow message at the start of `frames`, and what follows it.
#[inline]
pub(crate) fn split_frame(frames: &[u8]) -> Result<(&[u8], &[u8]), RowError> {
    let (head, rest) = frames.split_first_chunk::<5>().ok_or(RowError::Truncated)?;
    let [tag, length @ ..] = *head;
    if tag != b'D' {
        return Err(RowError::Trailing);
    }
    let length = i32::from_be_bytes(length);
    let body = usize::try_from(length).ok().and_then(|l| l.checked_sub(4)).ok_or(RowError::Length(length))?;
    rest.split_at_checked(body).ok_or(RowError::Truncated)
}

/// The value at the start of `fields`, `None` for NULL, and what follows it.
#[inline]
pub(crate) fn split_field(fields: &[u8]) -> Result<(Option<&[u8]>, &[u8]), RowError> {
    let (length, rest) = fields.split_first_chunk::<4>().ok_or(RowError::Truncated)?;
    let length = i32::from_be_bytes(*length);
    match usize::try_from(length) {
        Ok(length) => {
            let (value, rest) = rest.split_at_checked(length).ok_or(RowError::Truncated)?;
            Ok((Some(value), rest))
        }
        Err(_) if length == -1 => Ok((None, rest)),
        Err(_) => Err(RowError::Length(length)),
    }
}
