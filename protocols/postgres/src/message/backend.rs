//! The messages of a server in the query cycle. Authentication and reports (errors, notices) have files of their own.

use super::reader::{DecodeError, FormatCode, Formats, Oids, Reader};

/// Bytes of a column's description after its name.
const FIELD_TAIL_BYTES: usize = 18;

/// One column of the rows to come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Field<'a> {
    /// The name that the statement gives it.
    pub name: &'a [u8],
    /// The table it is a plain column of, or 0.
    pub table_oid: u32,
    /// The column's number in that table, or 0.
    pub attnum: i16,
    /// The type.
    pub type_oid: u32,
    /// The type's size; negative for a variable one.
    pub typlen: i16,
    /// The type modifier.
    pub typmod: i32,
    /// How the values are written.
    pub format: FormatCode,
}

/// The columns of the rows to come.
#[derive(Clone, Copy, Debug)]
pub struct RowDescription<'a> {
    count: u16,
    fields: Reader<'a>,
}

impl<'a> RowDescription<'a> {
    /// Reads the body of a RowDescription.
    ///
    /// # Errors
    /// When it is not one.
    pub fn decode(body: &'a [u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(body);
        let count = reader.u16()?;
        let fields = reader;
        for _ in 0..count {
            reader.string()?;
            reader.bytes(FIELD_TAIL_BYTES)?;
        }
        reader.finish()?;
        Ok(RowDescription { count, fields })
    }

    /// How many columns.
    pub fn len(&self) -> usize {
        usize::from(self.count)
    }

    /// Whether there is none.
    pub const fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// The columns in order.
    pub const fn fields(&self) -> Fields<'a> {
        Fields { reader: self.fields, left: self.count }
    }
}

/// The columns of a [`RowDescription`].
#[derive(Clone, Debug)]
pub struct Fields<'a> {
    reader: Reader<'a>,
    left: u16,
}

impl<'a> Fields<'a> {
    fn read(&mut self) -> Result<Field<'a>, DecodeError> {
        let reader = &mut self.reader;
        Ok(Field {
            name: reader.string()?,
            table_oid: reader.u32()?,
            attnum: reader.i16()?,
            type_oid: reader.u32()?,
            typlen: reader.i16()?,
            typmod: reader.i32()?,
            format: FormatCode::from_code(reader.u16()?),
        })
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = Field<'a>;

    fn next(&mut self) -> Option<Field<'a>> {
        self.left = self.left.checked_sub(1)?;
        self.read().ok()
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let left = usize::from(self.left);
        (left, Some(left))
    }
}

impl ExactSizeIterator for Fields<'_> {}

/// The parameters of a statement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ParameterDescription<'a> {
    /// Their types.
    pub type_oids: Oids<'a>,
}

impl<'a> ParameterDescription<'a> {
    /// Reads the body of a ParameterDescription.
    ///
    /// # Errors
    /// When it is not one.
    pub fn decode(body: &'a [u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(body);
        let type_oids = reader.oids()?;
        reader.finish()?;
        Ok(ParameterDescription { type_oids })
    }
}

/// The value of a setting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ParameterStatus<'a> {
    /// The setting.
    pub name: &'a [u8],
    /// Its value.
    pub value: &'a [u8],
}

impl<'a> ParameterStatus<'a> {
    /// Reads the body of a ParameterStatus.
    ///
    /// # Errors
    /// When it is not one.
    pub fn decode(body: &'a [u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(body);
        let status = ParameterStatus { name: reader.string()?, value: reader.string()? };
        reader.finish()?;
        Ok(status)
    }
}

/// A statement was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CommandComplete<'a> {
    /// Its tag, such as `SELECT 5`.
    pub tag: &'a [u8],
}

impl<'a> CommandComplete<'a> {
    /// Reads the body of a CommandComplete.
    ///
    /// # Errors
    /// When it is not one.
    pub fn decode(body: &'a [u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(body);
        let tag = reader.string()?;
        reader.finish()?;
        Ok(CommandComplete { tag })
    }

    /// The rows that the statement returned or changed, where its tag says so: the last word of `SELECT 5`, `INSERT 0 5`.
    pub fn rows(&self) -> Option<u64> {
        let (_, count) = std::str::from_utf8(self.tag).ok()?.rsplit_once(' ')?;
        count.parse().ok()
    }
}

/// Where a session stands with respect to transactions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TransactionStatus {
    /// In none.
    Idle,
    /// In one.
    InTransaction,
    /// In one that failed and waits for its end.
    Failed,
}

impl TransactionStatus {
    /// The byte on the wire.
    pub const fn byte(self) -> u8 {
        match self {
            TransactionStatus::Idle => b'I',
            TransactionStatus::InTransaction => b'T',
            TransactionStatus::Failed => b'E',
        }
    }
}

/// The server waits for the next query.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReadyForQuery {
    /// Where the session stands.
    pub status: TransactionStatus,
}

impl ReadyForQuery {
    /// Reads the body of a ReadyForQuery.
    ///
    /// # Errors
    /// When it is not one.
    pub fn decode(body: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(body);
        let status = match reader.u8()? {
            b'I' => TransactionStatus::Idle,
            b'T' => TransactionStatus::InTransaction,
            b'E' => TransactionStatus::Failed,
            _ => return Err(DecodeError::BadCode),
        };
        reader.finish()?;
        Ok(ReadyForQuery { status })
    }
}

/// COPY data is awaited or follows: the body of CopyInResponse, CopyOutResponse and CopyBothResponse.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CopyResponse<'a> {
    /// How the stream is written: as lines of text (also CSV), or binary.
    pub format: FormatCode,
    /// How each column is written.
    pub columns: Formats<'a>,
}

impl<'a> CopyResponse<'a> {
    /// Reads the body of a Copy…Response.
    ///
    /// # Errors
    /// When it is not one.
    pub fn decode(body: &'a [u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(body);
        let format = FormatCode::from_code(u16::from(reader.u8()?));
        let columns = reader.formats()?;
        reader.finish()?;
        Ok(CopyResponse { format, columns })
    }
}

/// A NOTIFY of some session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotificationResponse<'a> {
    /// The process id of the session that sent it.
    pub pid: i32,
    /// The channel.
    pub channel: &'a [u8],
    /// The text that came with it.
    pub payload: &'a [u8],
}

impl<'a> NotificationResponse<'a> {
    /// Reads the body of a NotificationResponse.
    ///
    /// # Errors
    /// When it is not one.
    pub fn decode(body: &'a [u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(body);
        let notification =
            NotificationResponse { pid: reader.i32()?, channel: reader.string()?, payload: reader.string()? };
        reader.finish()?;
        Ok(notification)
    }
}

/// The result of a FunctionCall.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FunctionCallResponse<'a> {
    /// The value; `None` is NULL.
    pub value: Option<&'a [u8]>,
}

impl<'a> FunctionCallResponse<'a> {
    /// Reads the body of a FunctionCallResponse.
    ///
    /// # Errors
    /// When it is not one.
    pub fn decode(body: &'a [u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(body);
        let value = reader.value()?;
        reader.finish()?;
        Ok(FunctionCallResponse { value })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TWO_COLUMNS: &[u8] =
        b"\0\x02id\0\0\0\x40\x01\0\x01\0\0\0\x17\0\x04\xff\xff\xff\xff\0\0?column?\0\0\0\0\0\0\0\0\0\0\x19\xff\xff\xff\xff\xff\xff\0\x01";

    #[test]
    fn the_columns_of_a_row_description() {
        let description = RowDescription::decode(TWO_COLUMNS).unwrap();
        assert_eq!(description.len(), 2);
        let fields: Vec<_> = description.fields().collect();
        assert_eq!(
            fields,
            [
                Field {
                    name: b"id",
                    table_oid: 0x4001,
                    attnum: 1,
                    type_oid: 23,
                    typlen: 4,
                    typmod: -1,
                    format: FormatCode::Text
                },
                Field {
                    name: b"?column?",
                    table_oid: 0,
                    attnum: 0,
                    type_oid: 25,
                    typlen: -1,
                    typmod: -1,
                    format: FormatCode::Binary
                },
            ]
        );
    }

    #[test]
    fn a_row_description_cut_anywhere_is_refused() {
        for end in 0..TWO_COLUMNS.len() {
            assert!(RowDescription::decode(&TWO_COLUMNS[..end]).is_err(), "{end}");
        }
    }

    #[test]
    fn counts_in_command_tags() {
        for (tag, rows) in [
            (&b"SELECT 5\0"[..], Some(5)),
            (b"INSERT 0 12\0", Some(12)),
            (b"CREATE TABLE\0", None),
            (b"BEGIN\0", None),
            (b"SELECT 99999999999999999999\0", None),
        ] {
            assert_eq!(CommandComplete::decode(tag).unwrap().rows(), rows);
        }
    }

    #[test]
    fn small_messages() {
        assert_eq!(ReadyForQuery::decode(b"E").unwrap().status, TransactionStatus::Failed);
        assert_eq!(ReadyForQuery::decode(b"Q"), Err(DecodeError::BadCode));
        assert_eq!(ReadyForQuery::decode(b"II"), Err(DecodeError::Trailing));
        let copy = CopyResponse::decode(b"\x01\0\x02\0\x01\0\x01").unwrap();
        assert_eq!((copy.format, copy.columns.len()), (FormatCode::Binary, 2));
        let note = NotificationResponse::decode(b"\0\0\0\x07ch\0\0").unwrap();
        assert_eq!((note.pid, note.channel, note.payload), (7, &b"ch"[..], &b""[..]));
        assert_eq!(FunctionCallResponse::decode(b"\xff\xff\xff\xff").unwrap().value, None);
        assert_eq!(
            ParameterStatus::decode(b"TimeZone\0UTC\0"),
            Ok(ParameterStatus { name: b"TimeZone", value: b"UTC" })
        );
        assert_eq!(
            ParameterDescription::decode(b"\0\x01\0\0\0\x19").unwrap().type_oids.iter().collect::<Vec<_>>(),
            [25]
        );
    }
}
