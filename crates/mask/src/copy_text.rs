//! The text and CSV formats of COPY (COPY's reference page, "File Formats"), scanned in pieces.
//!
//! ```text
//! text:  Plain --\--> Escaped --any--> Plain
//! csv:   Plain --quote--> Quoted --quote--> Closed --quote, where it is also the escape--> Quoted
//!                         Quoted --escape--> QuotedEscape --any--> Quoted
//! ```
//! Only a delimiter or a line feed in `Plain` (or `Closed`) ends a field.

use crate::cell::CellMask;
use crate::copy::{CopyError, CopyFormat};
use crate::derived::Derived;
use bytes::{BufMut, BytesMut};
use lockgate_core::limits::PG_MASKED_ROW_BYTES_MAX;
use memchr::{memchr2, memchr3};

#[derive(Clone, Copy, PartialEq, Eq)]
enum Dialect {
    Text,
    Csv { quote: u8, escape: u8 },
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Plain,
    /// Text: after a backslash.
    Escaped,
    Quoted,
    /// After an escape within quotes, where the escape is not the quote.
    QuotedEscape,
    /// After a quote that ended a quoted part, unless another follows.
    Closed,
}

enum Cell {
    Pass,
    Null,
    /// As it is written, escaped and quoted.
    Constant(Vec<u8>),
    /// The same, of NULL too.
    Always(Vec<u8>),
    Derived(Derived),
}

/// A copy in text or CSV format.
pub(crate) struct TextCopy {
    dialect: Dialect,
    delimiter: u8,
    null: Vec<u8>,
    force_quote: Vec<bool>,
    /// The columns whose names in the header are not shown.
    hidden_names: Vec<bool>,
    cells: Vec<Cell>,
    place: Place,
    /// In the line with the column names.
    in_header: bool,
    /// No byte of the line has been seen.
    at_line_start: bool,
    field: usize,
    /// The field that is being read is masked.
    masking: bool,
    /// The masked field as it came: all of it where the mask looks at it, else enough to tell NULL.
    raw: Vec<u8>,
}

impl TextCopy {
    pub(crate) fn new(format: &CopyFormat, masks: Vec<Option<CellMask>>) -> Result<Self, CopyError> {
        let (dialect, delimiter, null, header, force_quote) = match format.clone() {
            CopyFormat::Text { delimiter, null, header } => (Dialect::Text, delimiter, null, header, Vec::new()),
            CopyFormat::Csv { delimiter, quote, escape, null, header, force_quote } => {
                (Dialect::Csv { quote, escape }, delimiter, null, header, force_quote)
            }
            CopyFormat::Binary => return Err(CopyError::Options("format is not one of text")),
        };
        check_options(dialect, delimiter, &null)?;
        let mut copy = TextCopy {
            dialect,
            delimiter,
            null,
            force_quote,
            hidden_names: Vec::new(),
            cells: Vec::new(),
            place: Place::Plain,
            in_header: header,
            at_line_start: true,
            field: 0,
            masking: false,
            raw: Vec::new(),
        };
        let alone = masks.len() == 1;
        copy.cells = masks
            .into_iter()
            .enumerate()
            .map(|(field, mask)| match mask {
                None => Cell::Pass,
                Some(CellMask::Null) => Cell::Null,
                Some(CellMask::Constant(constant)) => Cell::Constant(copy.write(constant.value(), field, alone)),
                Some(CellMask::Always(constant)) => Cell::Always(copy.write(constant.value(), field, alone)),
                Some(CellMask::Derived(derived)) => Cell::Derived(derived),
            })
            .collect();
        copy.begin_field();
        Ok(copy)
    }

    /// To be called before the first piece.
    pub(crate) fn hide_names(&mut self, hidden: &[bool]) {
        self.hidden_names = hidden.to_vec();
        self.begin_field();
    }

    fn hides_name(&self) -> bool {
        self.hidden_names.get(self.field).copied().unwrap_or(false)
    }

    /// Whether the copy may end here.
    pub(crate) fn is_between_rows(&self) -> bool {
        self.at_line_start
    }

    pub(crate) fn feed(&mut self, chunk: &[u8], out: &mut BytesMut) -> Result<(), CopyError> {
        let mut rest = chunk;
        // What passes and has not been copied yet: it begins here and ends before `rest`.
        let mut passing = chunk;
        while !rest.is_empty() {
            let (content, found) = self.next_mark(rest);
            if content > 0 {
                self.content(rest.get(..content).unwrap_or_default())?;
            }
            let Some(byte) = found else {
                rest = &[];
                break;
            };
            rest = rest.get(content..).unwrap_or_default();
            let after = rest.get(1..).unwrap_or_default();
            if self.ends_field(byte) {
                if self.masking {
                    self.put_masked(out);
                    passing = rest;
                }
                self.end_field(byte)?;
                if self.masking {
                    out.put_slice(passing.get(..passing.len() - after.len()).unwrap_or_default());
                }
            } else {
                self.content(&[byte])?;
                self.turn(byte);
            }
            rest = after;
        }
        if !self.masking {
            out.put_slice(passing.get(..passing.len() - rest.len()).unwrap_or_default());
        }
        Ok(())
    }

    /// How many bytes of `rest` are plain content, and the byte after them that is more.
    fn next_mark(&mut self, rest: &[u8]) -> (usize, Option<u8>) {
        let at = match (self.place, self.dialect) {
            (Place::Plain, Dialect::Text) => memchr3(self.delimiter, b'\n', b'\\', rest),
            (Place::Plain, Dialect::Csv { quote, .. }) => memchr3(self.delimiter, b'\n', quote, rest),
            (Place::Quoted, Dialect::Csv { quote, escape }) => memchr2(quote, escape, rest),
            // The next byte has a meaning of its own.
            (Place::Escaped | Place::Closed | Place::QuotedEscape | Place::Quoted, _) => Some(0),
        };
        match at {
            Some(at) => (at, rest.get(at).copied()),
            None => (rest.len(), None),
        }
    }

    fn ends_field(&self, byte: u8) -> bool {
        matches!(self.place, Place::Plain | Place::Closed) && (byte == self.delimiter || byte == b'\n')
    }

    /// Moves on after a byte that `next_mark` found and that does not end a field.
    fn turn(&mut self, byte: u8) {
        self.place = match (self.dialect, self.place) {
            (Dialect::Text, Place::Plain) => Place::Escaped,
            (Dialect::Text, _) => Place::Plain,
            (Dialect::Csv { quote, .. }, Place::Plain | Place::Closed) if byte == quote => Place::Quoted,
            (Dialect::Csv { .. }, Place::Plain | Place::Closed | Place::Escaped) => Place::Plain,
            (Dialect::Csv { quote, .. }, Place::Quoted) if byte == quote => Place::Closed,
            (Dialect::Csv { .. }, Place::Quoted) => Place::QuotedEscape,
            // Whether this byte is escaped or the escape stood for itself: it does not end the quotes.
            (Dialect::Csv { .. }, Place::QuotedEscape) => Place::Quoted,
        };
    }

    fn content(&mut self, bytes: &[u8]) -> Result<(), CopyError> {
        self.at_line_start = false;
        if self.cells.is_empty() {
            return Err(CopyError::FieldCount { expected: 0, got: 1 });
        }
        if !self.masking {
            return Ok(());
        }
        let whole = !self.in_header && matches!(self.cells.get(self.field), Some(Cell::Derived(_)));
        if whole {
            let bytes_now = self.raw.len().saturating_add(bytes.len());
            if bytes_now > PG_MASKED_ROW_BYTES_MAX {
                return Err(CopyError::TooLong { bytes: bytes_now, limit: PG_MASKED_ROW_BYTES_MAX });
            }
            self.raw.extend_from_slice(bytes);
        } else {
            // One byte more than NULL's, so that a longer field is not taken for it.
            let room = (self.null.len() + 1).saturating_sub(self.raw.len());
            self.raw.extend(bytes.iter().take(room));
        }
        Ok(())
    }

    fn begin_field(&mut self) {
        self.place = Place::Plain;
        self.masking = if self.in_header {
            self.hides_name()
        } else {
            !matches!(self.cells.get(self.field), Some(Cell::Pass) | None)
        };
    }

    fn end_field(&mut self, byte: u8) -> Result<(), CopyError> {
        let expected = self.cells.len();
        if byte == b'\n' {
            // The line of a table without columns is empty.
            let got = if expected == 0 { 0 } else { self.field + 1 };
            if got != expected {
                return Err(CopyError::FieldCount { expected, got });
            }
            self.field = 0;
            self.in_header = false;
            self.at_line_start = true;
        } else {
            self.field += 1;
            self.at_line_start = false;
            if self.field >= expected {
                return Err(CopyError::FieldCount { expected, got: self.field + 1 });
            }
        }
        self.begin_field();
        Ok(())
    }

    /// Appends what stands for the masked field in `raw`.
    fn put_masked(&mut self, out: &mut BytesMut) {
        if self.in_header {
            self.raw.clear();
            let name = format!("column{}", self.field + 1);
            out.put_slice(&self.write(name.as_bytes(), self.field, self.cells.len() == 1));
            return;
        }
        let raw = std::mem::take(&mut self.raw);
        // NULL is written bare: a value that reads like it is escaped or quoted.
        if let Some(Cell::Always(constant)) = self.cells.get(self.field) {
            out.put_slice(constant);
        } else if raw == self.null {
            out.put_slice(&self.null);
        } else {
            match self.cells.get(self.field) {
                Some(Cell::Constant(constant)) => out.put_slice(constant),
                Some(Cell::Derived(derived)) => {
                    let value = read(self.dialect, &raw);
                    out.put_slice(&self.write(&derived.show(&value), self.field, self.cells.len() == 1));
                }
                Some(Cell::Null | Cell::Pass | Cell::Always(_)) | None => out.put_slice(&self.null),
            }
        }
        self.raw = raw;
        self.raw.clear();
        // A long value's room is not kept for the rest of the copy.
        self.raw.shrink_to(4 * 1024);
    }

    /// A value as the format writes it.
    fn write(&self, value: &[u8], field: usize, alone: bool) -> Vec<u8> {
        match self.dialect {
            Dialect::Text => self.write_text(value),
            Dialect::Csv { quote, escape } => {
                let quoted = self.force_quote.get(field).copied().unwrap_or(false)
                    || value == self.null
                    || (alone && value == b"\\.")
                    || value.iter().any(|b| *b == self.delimiter || *b == quote || matches!(b, b'\n' | b'\r'));
                if !quoted {
                    return value.to_vec();
                }
                let mut out = vec![quote];
                for byte in value {
                    if *byte == quote || *byte == escape {
                        out.push(escape);
                    }
                    out.push(*byte);
                }
                out.push(quote);
                out
            }
        }
    }

    fn write_text(&self, value: &[u8]) -> Vec<u8> {
        let mut out = Vec::with_capacity(value.len());
        for byte in value {
            match ESCAPES.iter().find(|(_, meant)| meant == byte) {
                Some((letter, _)) => out.extend([b'\\', *letter]),
                None if *byte == b'\\' || *byte == self.delimiter => out.extend([b'\\', *byte]),
                None => out.push(*byte),
            }
        }
        // NULL is compared before escapes are read: with its first byte in octal a value is no longer taken for it.
        if out == self.null
            && let Some(first) = value.first()
        {
            out = [format!("\\{first:03o}").as_bytes(), value.get(1..).unwrap_or_default()].concat();
        }
        out
    }
}

/// The letters that stand for control characters after a backslash.
const ESCAPES: [(u8, u8); 6] = [(b'b', 0x08), (b'f', 0x0c), (b'n', b'\n'), (b'r', b'\r'), (b't', b'\t'), (b'v', 0x0b)];

/// The value of a field that is not NULL.
fn read(dialect: Dialect, raw: &[u8]) -> Vec<u8> {
    match dialect {
        Dialect::Text => read_text(raw),
        Dialect::Csv { quote, escape } => read_csv(quote, escape, raw),
    }
}

fn read_text(raw: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(raw.len());
    let mut bytes = raw.iter().copied().peekable();
    while let Some(byte) = bytes.next() {
        if byte != b'\\' {
            out.push(byte);
            continue;
        }
        let digit = |byte: u8, radix: u32| char::from(byte).to_digit(radix).and_then(|d| u8::try_from(d).ok());
        match bytes.next() {
            None => out.push(b'\\'),
            Some(b'x') if bytes.peek().is_some_and(u8::is_ascii_hexdigit) => {
                let mut value: u8 = 0;
                for _ in 0..2 {
                    if let Some(d) = bytes.peek().and_then(|b| digit(*b, 16)) {
                        value = value.wrapping_mul(16).wrapping_add(d);
                        bytes.next();
                    }
                }
                out.push(value);
            }
            Some(first @ b'0'..=b'7') => {
                let mut value = first - b'0';
                for _ in 0..2 {
                    let Some(d) = bytes.peek().and_then(|b| digit(*b, 8)) else { break };
                    value = value.wrapping_mul(8).wrapping_add(d);
                    bytes.next();
                }
                out.push(value);
            }
            Some(other) => {
                out.push(ESCAPES.iter().find(|(letter, _)| *letter == other).map_or(other, |(_, meant)| *meant))
            }
        }
    }
    out
}

fn read_csv(quote: u8, escape: u8, raw: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(raw.len());
    let mut quoted = false;
    let mut bytes = raw.iter().copied().peekable();
    while let Some(byte) = bytes.next() {
        let escaped =
            bytes.peek().copied().filter(|next| quoted && byte == escape && (*next == quote || *next == escape));
        if let Some(next) = escaped {
            out.push(next);
            bytes.next();
        } else if byte == quote {
            quoted = !quoted;
        } else {
            out.push(byte);
        }
    }
    out
}

/// The rules of PostgreSQL's `ProcessCopyOptions`: what they refuse could not be scanned.
fn check_options(dialect: Dialect, delimiter: u8, null: &[u8]) -> Result<(), CopyError> {
    let refuse = |refused: bool, why: &'static str| if refused { Err(CopyError::Options(why)) } else { Ok(()) };
    let line_end = |b: u8| matches!(b, b'\n' | b'\r');
    refuse(line_end(delimiter) || delimiter == 0 || !delimiter.is_ascii(), "delimiter cannot be used")?;
    refuse(null.iter().any(|b| line_end(*b)), "null string contains a line end")?;
    refuse(null.contains(&delimiter), "null string contains the delimiter")?;
    match dialect {
        Dialect::Text => refuse(
            delimiter == b'\\' || delimiter == b'.' || delimiter.is_ascii_lowercase() || delimiter.is_ascii_digit(),
            "delimiter cannot be used in text format",
        ),
        Dialect::Csv { quote, escape } => {
            refuse(delimiter == quote, "delimiter is its quote")?;
            refuse(
                line_end(quote) || line_end(escape) || !quote.is_ascii() || !escape.is_ascii(),
                "quote cannot be used",
            )?;
            refuse(null.contains(&quote), "null string contains the quote")
        }
    }
}
