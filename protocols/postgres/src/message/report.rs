//! ErrorResponse and NoticeResponse: a list of typed strings (PostgreSQL 18 documentation, 54.8).
//!
//! Every field of a report is data of the target, the position and the constraint name included; which of them may
//! pass is decided elsewhere.

use super::reader::{DecodeError, Reader};

/// The types of the fields that are named here.
pub mod code {
    /// Severity, translated.
    pub const SEVERITY: u8 = b'S';
    /// Severity, never translated.
    pub const SEVERITY_PLAIN: u8 = b'V';
    /// SQLSTATE.
    pub const SQLSTATE: u8 = b'C';
    /// The message.
    pub const MESSAGE: u8 = b'M';
    /// More about it.
    pub const DETAIL: u8 = b'D';
    /// What to do.
    pub const HINT: u8 = b'H';
    /// A character of the query string, counted from 1.
    pub const POSITION: u8 = b'P';
    /// A character of a query that the server made itself.
    pub const INTERNAL_POSITION: u8 = b'p';
    /// That query.
    pub const INTERNAL_QUERY: u8 = b'q';
    /// Where it happened: the call stack.
    pub const WHERE: u8 = b'W';
    /// The schema it is about.
    pub const SCHEMA: u8 = b's';
    /// The table it is about.
    pub const TABLE: u8 = b't';
    /// The column it is about.
    pub const COLUMN: u8 = b'c';
    /// The data type it is about.
    pub const DATA_TYPE: u8 = b'd';
    /// The constraint it is about.
    pub const CONSTRAINT: u8 = b'n';
    /// File of the server's source.
    pub const FILE: u8 = b'F';
    /// Line of the server's source.
    pub const LINE: u8 = b'L';
    /// Routine of the server's source.
    pub const ROUTINE: u8 = b'R';
}

/// An error or a notice.
#[derive(Clone, Copy, Debug)]
pub struct Report<'a> {
    fields: Reader<'a>,
}

impl<'a> Report<'a> {
    /// Reads the body of an ErrorResponse or NoticeResponse.
    ///
    /// # Errors
    /// When it is not one.
    pub fn decode(body: &'a [u8]) -> Result<Self, DecodeError> {
        let fields = Reader::new(body);
        let mut reader = fields;
        while reader.u8()? != 0 {
            reader.string()?;
        }
        reader.finish()?;
        Ok(Report { fields })
    }

    /// The fields in the order they were sent: type and value.
    pub const fn fields(&self) -> ReportFields<'a> {
        ReportFields { reader: self.fields }
    }

    /// The first field of this type.
    pub fn get(&self, code: u8) -> Option<&'a [u8]> {
        self.fields().find(|(c, _)| *c == code).map(|(_, value)| value)
    }

    /// The SQLSTATE.
    pub fn sqlstate(&self) -> Option<&'a [u8]> {
        self.get(code::SQLSTATE)
    }

    /// The message.
    pub fn message(&self) -> Option<&'a [u8]> {
        self.get(code::MESSAGE)
    }
}

/// The fields of a [`Report`].
#[derive(Clone, Debug)]
pub struct ReportFields<'a> {
    reader: Reader<'a>,
}

impl<'a> Iterator for ReportFields<'a> {
    type Item = (u8, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        match self.reader.u8().ok()? {
            0 => None,
            code => Some((code, self.reader.string().ok()?)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_by_type() {
        let report = Report::decode(b"SFEHLER\0VERROR\0C42P01\0Mno such table\0\0").unwrap();
        assert_eq!(report.fields().count(), 4);
        assert_eq!(report.sqlstate(), Some(&b"42P01"[..]));
        assert_eq!(report.message(), Some(&b"no such table"[..]));
        assert_eq!(report.get(code::HINT), None);
        assert_eq!(Report::decode(b"\0").unwrap().fields().count(), 0);
    }

    #[test]
    fn a_report_needs_its_terminator() {
        assert!(Report::decode(b"").is_err());
        assert!(Report::decode(b"SERROR\0").is_err());
        assert!(Report::decode(b"SERROR").is_err());
        assert!(Report::decode(b"\0x").is_err());
    }
}
