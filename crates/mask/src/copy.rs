//! COPY TO STDOUT: a plan for the columns of a copy, and the choice of its format.
//!
//! A copy is one stream that the target cuts into CopyData messages as it likes. The scanners in `copy_text` and
//! `copy_binary` keep their state between pieces, so that any cut gives the same bytes, and hold at most one value of a
//! column whose mask looks at it. Columns are found by index; a row with more or fewer fields than the plan is an error.
//! Text and CSV are read as UTF-8 or another encoding in which no character contains the bytes of ASCII ones: of a copy in
//! any other, only one in which nothing is masked may come here, and it passes unread.

use crate::cell;
use crate::content::ContentPlan;
use crate::content_copy::CopyContent;
use crate::copy_binary::BinaryCopy;
use crate::copy_text::TextCopy;
use crate::keys::MaskKeys;
use crate::row::{Column, Format};
use crate::types::TypeTable;
use bytes::BytesMut;
use std::sync::Arc;

/// The format of a copy, with the options of its statement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CopyFormat {
    /// `FORMAT text`.
    Text {
        /// `DELIMITER`, a tab by default.
        delimiter: u8,
        /// `NULL`, `\N` by default.
        null: Vec<u8>,
        /// `HEADER`: the first line has the column names.
        header: bool,
    },
    /// `FORMAT csv`.
    Csv {
        /// `DELIMITER`, a comma by default.
        delimiter: u8,
        /// `QUOTE`, `"` by default.
        quote: u8,
        /// `ESCAPE`, the quote by default.
        escape: u8,
        /// `NULL`, empty by default.
        null: Vec<u8>,
        /// `HEADER`: the first line has the column names.
        header: bool,
        /// `FORCE_QUOTE`, per column; columns beyond its end are not forced.
        force_quote: Vec<bool>,
    },
    /// `FORMAT binary`.
    Binary,
}

impl CopyFormat {
    /// `FORMAT text` with the default options.
    pub fn text() -> Self {
        CopyFormat::Text { delimiter: b'\t', null: b"\\N".to_vec(), header: false }
    }

    /// `FORMAT csv` with the default options.
    pub fn csv() -> Self {
        CopyFormat::Csv {
            delimiter: b',',
            quote: b'"',
            escape: b'"',
            null: Vec::new(),
            header: false,
            force_quote: Vec::new(),
        }
    }
}

/// A copy is not what the plan expects. The session must end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CopyError {
    /// Options under which fields cannot be told apart, and which PostgreSQL refuses.
    #[error("the copy's {0}")]
    Options(&'static str),
    /// Another number of fields than the copy has columns.
    #[error("the target sent a copied row of {got} fields where {expected} were expected")]
    FieldCount {
        /// Columns of the plan.
        expected: usize,
        /// Fields of the row; of one that is too long, as many as were read.
        got: usize,
    },
    /// The copy ends within a row, or without its trailer.
    #[error("the target ended a copy in the middle of a row")]
    Truncated,
    /// Data after the trailer of a binary copy.
    #[error("the target sent data after the end of a copy")]
    Trailing,
    /// The file header of a binary copy is not one that is known.
    #[error("the target sent a binary copy with an unknown header")]
    Header,
    /// A negative length other than that of NULL.
    #[error("the target sent a copied field of length {0}")]
    Length(i32),
    /// A masked value that is too long to be held, or a message that would be longer than one may be.
    #[error("the target sent {bytes} bytes of copied data, and at most {limit} can be masked")]
    TooLong {
        /// The length.
        bytes: usize,
        /// The limit that it breaks.
        limit: usize,
    },
}

enum Scanner {
    Text(TextCopy),
    Binary(BinaryCopy),
    /// Nothing is looked for.
    Passing,
}

/// The plan for one copy, and how far it has come.
pub struct CopyMasker {
    scanner: Scanner,
    /// What was wrong with the copy: it stays wrong.
    failed: Option<CopyError>,
    /// Content rules, for what the masks let pass.
    content: Option<Box<CopyContent>>,
}

impl CopyMasker {
    /// Plans the masks of a copy. The columns' `format` is that of the copy, whatever they say.
    pub fn new(format: &CopyFormat, columns: &[Column], types: &TypeTable, keys: &MaskKeys) -> Result<Self, CopyError> {
        let value_format = match format {
            CopyFormat::Text { .. } | CopyFormat::Csv { .. } => Format::Text,
            CopyFormat::Binary => Format::Binary,
        };
        let columns: Vec<Column> =
            columns.iter().map(|column| Column { format: value_format, ..column.clone() }).collect();
        let masks = cell::plan(&columns, types, keys);
        let scanner = match format {
            CopyFormat::Binary => Scanner::Binary(BinaryCopy::new(masks)),
            CopyFormat::Text { .. } | CopyFormat::Csv { .. } => Scanner::Text(TextCopy::new(format, masks)?),
        };
        Ok(CopyMasker { scanner, failed: None, content: None })
    }

    /// Looks into the columns that pass, which carry these names, by content rules.
    pub fn look_into(
        &mut self,
        plan: &Arc<ContentPlan>,
        format: &CopyFormat,
        columns: &[Column],
        names: &[&[u8]],
        types: &TypeTable,
    ) {
        let value_format = if matches!(format, CopyFormat::Binary) { Format::Binary } else { Format::Text };
        let columns: Vec<Column> =
            columns.iter().map(|column| Column { format: value_format, ..column.clone() }).collect();
        let looks = plan.looks(&columns, names, types);
        if looks.any() {
            self.content = Some(Box::new(CopyContent::new(Arc::clone(plan), looks, format)));
        }
    }

    /// For a copy in which nothing is masked, by its columns or by content rules, and whose rows cannot be told apart here, by
    /// their encoding or by options that are not known: it passes as it is.
    pub fn passing() -> Self {
        CopyMasker { scanner: Scanner::Passing, failed: None, content: None }
    }

    /// The names of these columns are not shown in a header line, but `column1`, `column2`, … by position.
    pub fn hide_names(&mut self, hidden: &[bool]) {
        if let Scanner::Text(scanner) = &mut self.scanner {
            scanner.hide_names(hidden);
        }
    }

    /// Appends what stands for the next piece of the copy. After an error every further piece is that error.
    pub(crate) fn feed(&mut self, chunk: &[u8], out: &mut BytesMut) -> Result<(), CopyError> {
        if let Some(error) = self.failed {
            return Err(error);
        }
        let start = out.len();
        let mut result = match &mut self.scanner {
            Scanner::Text(scanner) => scanner.feed(chunk, out),
            Scanner::Binary(scanner) => scanner.feed(chunk, out),
            Scanner::Passing => {
                out.extend_from_slice(chunk);
                Ok(())
            }
        };
        if let (Ok(()), Some(content)) = (result, &mut self.content) {
            let masked = out.split_off(start);
            result = content.feed(&masked, out);
        }
        self.failed = result.err();
        result
    }

    /// To be asked when the target says CopyDone: whether the copy ended where a copy may end.
    pub fn finish(&self) -> Result<(), CopyError> {
        if let Some(error) = self.failed {
            return Err(error);
        }
        let whole = match &self.scanner {
            Scanner::Text(scanner) => scanner.is_between_rows(),
            Scanner::Binary(scanner) => scanner.is_done(),
            Scanner::Passing => true,
        };
        let passed = self.content.as_ref().is_none_or(|content| content.is_empty());
        if whole && passed { Ok(()) } else { Err(CopyError::Truncated) }
    }
}
