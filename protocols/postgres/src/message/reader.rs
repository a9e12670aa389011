//! A cursor over the body of a message that cannot run past its end, and the repeated parts that several messages share:
//! format codes, oids, values. It knows no message.

use memchr::memchr;

/// The body of a message is not what its tag promises.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// The body ends too early.
    #[error("the message ends too early")]
    Truncated,
    /// A string has no end.
    #[error("a string in the message has no terminator")]
    MissingNul,
    /// The body goes on after its end.
    #[error("the message has bytes after its end")]
    Trailing,
    /// A length or count that cannot be.
    #[error("a length in the message is impossible")]
    BadLength,
    /// A code that the protocol does not have.
    #[error("a code in the message is unknown")]
    BadCode,
}

/// Reads a body from its front. Every method fails instead of reading past the end.
#[derive(Clone, Copy, Debug)]
pub struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    /// A reader at the front of `body`.
    pub const fn new(body: &'a [u8]) -> Self {
        Reader { rest: body }
    }

    /// What has not been read.
    pub const fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// The next `len` bytes.
    ///
    /// # Errors
    /// [`DecodeError::Truncated`].
    pub fn bytes(&mut self, len: usize) -> Result<&'a [u8], DecodeError> {
        let (head, tail) = self.rest.split_at_checked(len).ok_or(DecodeError::Truncated)?;
        self.rest = tail;
        Ok(head)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        let (head, tail) = self.rest.split_first_chunk::<N>().ok_or(DecodeError::Truncated)?;
        self.rest = tail;
        Ok(*head)
    }

    /// One byte.
    ///
    /// # Errors
    /// [`DecodeError::Truncated`].
    pub fn u8(&mut self) -> Result<u8, DecodeError> {
        let [byte] = self.array()?;
        Ok(byte)
    }

    /// A 16-bit number.
    ///
    /// # Errors
    /// [`DecodeError::Truncated`].
    pub fn u16(&mut self) -> Result<u16, DecodeError> {
        Ok(u16::from_be_bytes(self.array()?))
    }

    /// A signed 16-bit number.
    ///
    /// # Errors
    /// [`DecodeError::Truncated`].
    pub fn i16(&mut self) -> Result<i16, DecodeError> {
        Ok(i16::from_be_bytes(self.array()?))
    }

    /// A 32-bit number.
    ///
    /// # Errors
    /// [`DecodeError::Truncated`].
    pub fn u32(&mut self) -> Result<u32, DecodeError> {
        Ok(u32::from_be_bytes(self.array()?))
    }

    /// A signed 32-bit number.
    ///
    /// # Errors
    /// [`DecodeError::Truncated`].
    pub fn i32(&mut self) -> Result<i32, DecodeError> {
        Ok(i32::from_be_bytes(self.array()?))
    }

    /// A string, without its terminator.
    ///
    /// # Errors
    /// [`DecodeError::MissingNul`].
    pub fn string(&mut self) -> Result<&'a [u8], DecodeError> {
        let end = memchr(0, self.rest).ok_or(DecodeError::MissingNul)?;
        let text = self.bytes(end)?;
        self.u8()?;
        Ok(text)
    }

    /// A value with its length before it; length -1 is NULL, any other negative one an error.
    ///
    /// # Errors
    /// [`DecodeError::Truncated`], [`DecodeError::BadLength`].
    pub fn value(&mut self) -> Result<Option<&'a [u8]>, DecodeError> {
        match self.i32()? {
            -1 => Ok(None),
            len => {
                let len = usize::try_from(len).map_err(|_| DecodeError::BadLength)?;
                self.bytes(len).map(Some)
            }
        }
    }

    /// A count and that many format codes.
    ///
    /// # Errors
    /// [`DecodeError::Truncated`].
    pub fn formats(&mut self) -> Result<Formats<'a>, DecodeError> {
        let count = usize::from(self.u16()?);
        Ok(Formats { codes: self.bytes(count.saturating_mul(2))? })
    }

    /// A count and that many oids.
    ///
    /// # Errors
    /// [`DecodeError::Truncated`].
    pub fn oids(&mut self) -> Result<Oids<'a>, DecodeError> {
        let count = usize::from(self.u16()?);
        Ok(Oids { oids: self.bytes(count.saturating_mul(4))? })
    }

    /// A count and that many values.
    ///
    /// # Errors
    /// [`DecodeError::Truncated`], [`DecodeError::BadLength`].
    pub fn values(&mut self) -> Result<Values<'a>, DecodeError> {
        let count = self.u16()?;
        let start = *self;
        for _ in 0..count {
            self.value()?;
        }
        Ok(Values { count, cells: Cells { reader: start, left: count } })
    }

    /// Asserts that everything was read.
    ///
    /// # Errors
    /// [`DecodeError::Trailing`].
    pub fn finish(self) -> Result<(), DecodeError> {
        if self.rest.is_empty() { Ok(()) } else { Err(DecodeError::Trailing) }
    }
}

/// How a value is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FormatCode {
    /// As text.
    Text,
    /// In the type's binary form.
    Binary,
    /// A code that the protocol does not have.
    Unknown(u16),
}

impl FormatCode {
    /// The format that this code stands for.
    pub const fn from_code(code: u16) -> Self {
        match code {
            0 => FormatCode::Text,
            1 => FormatCode::Binary,
            other => FormatCode::Unknown(other),
        }
    }

    /// The code on the wire.
    pub const fn code(self) -> u16 {
        match self {
            FormatCode::Text => 0,
            FormatCode::Binary => 1,
            FormatCode::Unknown(other) => other,
        }
    }
}

/// A list of format codes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Formats<'a> {
    codes: &'a [u8],
}

impl<'a> Formats<'a> {
    /// How many codes are written.
    pub const fn len(self) -> usize {
        self.codes.len() / 2
    }

    /// Whether none is written: everything is text.
    pub const fn is_empty(self) -> bool {
        self.codes.is_empty()
    }

    /// The codes as written.
    pub fn iter(self) -> impl Iterator<Item = FormatCode> + 'a {
        self.codes.as_chunks::<2>().0.iter().map(|code| FormatCode::from_code(u16::from_be_bytes(*code)))
    }

    /// The format of the item at `index`: no code means text, one code is for all, else each has its own (54.7, Bind).
    /// `None` where the list is too short, which the server refuses.
    pub fn of(self, index: usize) -> Option<FormatCode> {
        match self.len() {
            0 => Some(FormatCode::Text),
            1 => self.iter().next(),
            _ => self.iter().nth(index),
        }
    }
}

/// A list of oids.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Oids<'a> {
    oids: &'a [u8],
}

impl<'a> Oids<'a> {
    /// How many.
    pub const fn len(self) -> usize {
        self.oids.len() / 4
    }

    /// Whether there is none.
    pub const fn is_empty(self) -> bool {
        self.oids.is_empty()
    }

    /// The oids in order.
    pub fn iter(self) -> impl Iterator<Item = u32> + 'a {
        self.oids.as_chunks::<4>().0.iter().map(|oid| u32::from_be_bytes(*oid))
    }
}

/// A list of values that was checked to its end.
#[derive(Clone, Copy, Debug)]
pub struct Values<'a> {
    count: u16,
    cells: Cells<'a>,
}

impl<'a> Values<'a> {
    /// How many.
    pub fn len(self) -> usize {
        usize::from(self.count)
    }

    /// Whether there is none.
    pub const fn is_empty(self) -> bool {
        self.count == 0
    }

    /// The values in order; `None` is NULL.
    pub fn iter(self) -> impl Iterator<Item = Option<&'a [u8]>> {
        self.cells.map_while(Result::ok)
    }
}

/// Values read one by one, each checked when it is reached. Ends after the first error.
#[derive(Clone, Copy, Debug)]
pub struct Cells<'a> {
    reader: Reader<'a>,
    left: u16,
}

impl<'a> Cells<'a> {
    /// The cells of `body`, which starts with their count.
    ///
    /// # Errors
    /// [`DecodeError::Truncated`].
    pub fn decode(body: &'a [u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(body);
        let left = reader.u16()?;
        Ok(Cells { reader, left })
    }

    /// Cells that have not been read.
    pub fn left(&self) -> usize {
        usize::from(self.left)
    }

    /// Asserts that every cell was read and that nothing follows the last.
    ///
    /// # Errors
    /// [`DecodeError::Truncated`], [`DecodeError::Trailing`].
    pub fn finish(self) -> Result<(), DecodeError> {
        if self.left == 0 { self.reader.finish() } else { Err(DecodeError::Truncated) }
    }
}

impl<'a> Iterator for Cells<'a> {
    type Item = Result<Option<&'a [u8]>, DecodeError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.left = self.left.checked_sub(1)?;
        let cell = self.reader.value();
        if cell.is_err() {
            // The place of the next cell is unknown. What is left over makes `finish` fail.
            self.reader = Reader::new(&[0]);
            self.left = 0;
        }
        Some(cell)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_end_where_they_say() {
        for (body, expect) in [
            (&b"\0\x01\0\0\0\x02ab"[..], Ok(vec![Some(&b"ab"[..])])),
            (b"\0\x02\xff\xff\xff\xff\0\0\0\0", Ok(vec![None, Some(&b""[..])])),
            (b"\0\0", Ok(vec![])),
            (b"\0\x01\xff\xff\xff\xfe", Err(DecodeError::BadLength)),
            (b"\0\x01\x7f\xff\xff\xffab", Err(DecodeError::Truncated)),
            (b"\0\x02\0\0\0\x02ab", Err(DecodeError::Truncated)),
            (b"\xff\xff", Err(DecodeError::Truncated)),
            (b"\0", Err(DecodeError::Truncated)),
        ] {
            let values = Reader::new(body).values().map(|v| v.iter().collect::<Vec<_>>());
            assert_eq!(values, expect, "{body:?}");
            let cells: Result<Vec<_>, _> = Cells::decode(body).and_then(Iterator::collect);
            assert_eq!(cells, expect, "{body:?}");
        }
    }

    #[test]
    fn a_row_with_rest_or_missing_cells_does_not_finish() {
        let drain = |body| {
            let mut cells = Cells::decode(body).unwrap();
            while cells.next().is_some() {}
            cells.finish()
        };
        assert_eq!(drain(b"\0\x01\0\0\0\x01a"), Ok(()));
        assert_eq!(drain(b"\0\x01\0\0\0\x01ab"), Err(DecodeError::Trailing));
        assert!(drain(b"\0\x01\0\0\0\x02a").is_err());
        assert_eq!(Cells::decode(b"\0\x01\0\0\0\0").unwrap().finish(), Err(DecodeError::Truncated));
    }

    #[test]
    fn formats_apply_as_the_documentation_says() {
        use FormatCode::{Binary, Text, Unknown};
        for (codes, index, expect) in [
            (&b"\0\0"[..], 7, Some(Text)),
            (b"\0\x01\0\x01", 7, Some(Binary)),
            (b"\0\x02\0\0\0\x01", 1, Some(Binary)),
            (b"\0\x02\0\0\0\x01", 2, None),
            (b"\0\x01\0\x02", 0, Some(Unknown(2))),
        ] {
            assert_eq!(Reader::new(codes).formats().unwrap().of(index), expect);
        }
    }
}
