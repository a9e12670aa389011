//! The messages of a client in the query cycle. What answers an authentication request is in the file beside this one.

use super::reader::{DecodeError, Formats, Oids, Reader, Values};

/// Checks the body of a message that has none: Flush, Sync, Terminate, CopyDone, ParseComplete and the like.
///
/// # Errors
/// [`DecodeError::Trailing`].
pub const fn empty(body: &[u8]) -> Result<(), DecodeError> {
    if body.is_empty() { Ok(()) } else { Err(DecodeError::Trailing) }
}

/// A simple query.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Query<'a> {
    /// The statements.
    pub text: &'a [u8],
}

impl<'a> Query<'a> {
    /// Reads the body of a Query.
    ///
    /// # Errors
    /// When it is not one.
    pub fn decode(body: &'a [u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(body);
        let text = reader.string()?;
        reader.finish()?;
        Ok(Query { text })
    }
}

/// A statement to prepare.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Parse<'a> {
    /// The name it gets; empty for the unnamed one.
    pub name: &'a [u8],
    /// The statement.
    pub text: &'a [u8],
    /// The types of the first parameters; 0 leaves one open.
    pub type_oids: Oids<'a>,
}

impl<'a> Parse<'a> {
    /// Reads the body of a Parse.
    ///
    /// # Errors
    /// When it is not one.
    pub fn decode(body: &'a [u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(body);
        let parse = Parse { name: reader.string()?, text: reader.string()?, type_oids: reader.oids()? };
        reader.finish()?;
        Ok(parse)
    }
}

/// A portal made of a statement and its parameters.
#[derive(Clone, Copy, Debug)]
pub struct Bind<'a> {
    /// The name it gets; empty for the unnamed one.
    pub portal: &'a [u8],
    /// The statement.
    pub statement: &'a [u8],
    /// How the parameters are written.
    pub parameter_formats: Formats<'a>,
    /// The parameters.
    pub values: Values<'a>,
    /// How the results are to be written.
    pub result_formats: Formats<'a>,
}

impl<'a> Bind<'a> {
    /// Reads the body of a Bind.
    ///
    /// # Errors
    /// When it is not one.
    pub fn decode(body: &'a [u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(body);
        let bind = Bind {
            portal: reader.string()?,
            statement: reader.string()?,
            parameter_formats: reader.formats()?,
            values: reader.values()?,
            result_formats: reader.formats()?,
        };
        reader.finish()?;
        Ok(bind)
    }
}

/// What a Describe or a Close is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Object {
    /// A prepared statement.
    Statement,
    /// A portal.
    Portal,
}

impl Object {
    /// The byte on the wire.
    pub const fn byte(self) -> u8 {
        match self {
            Object::Statement => b'S',
            Object::Portal => b'P',
        }
    }

    fn decode(body: &[u8]) -> Result<(Self, &[u8]), DecodeError> {
        let mut reader = Reader::new(body);
        let object = match reader.u8()? {
            b'S' => Object::Statement,
            b'P' => Object::Portal,
            _ => return Err(DecodeError::BadCode),
        };
        let name = reader.string()?;
        reader.finish()?;
        Ok((object, name))
    }
}

/// Asks what a statement or portal is like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Describe<'a> {
    /// Which of the two.
    pub object: Object,
    /// Its name.
    pub name: &'a [u8],
}

impl<'a> Describe<'a> {
    /// Reads the body of a Describe.
    ///
    /// # Errors
    /// When it is not one.
    pub fn decode(body: &'a [u8]) -> Result<Self, DecodeError> {
        let (object, name) = Object::decode(body)?;
        Ok(Describe { object, name })
    }
}

/// Drops a statement or portal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Close<'a> {
    /// Which of the two.
    pub object: Object,
    /// Its name.
    pub name: &'a [u8],
}

impl<'a> Close<'a> {
    /// Reads the body of a Close.
    ///
    /// # Errors
    /// When it is not one.
    pub fn decode(body: &'a [u8]) -> Result<Self, DecodeError> {
        let (object, name) = Object::decode(body)?;
        Ok(Close { object, name })
    }
}

/// Runs a portal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Execute<'a> {
    /// The portal.
    pub portal: &'a [u8],
    /// Rows to return at most; the server takes 0 and less for no limit.
    pub row_limit: i32,
}

impl<'a> Execute<'a> {
    /// Reads the body of an Execute.
    ///
    /// # Errors
    /// When it is not one.
    pub fn decode(body: &'a [u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(body);
        let execute = Execute { portal: reader.string()?, row_limit: reader.i32()? };
        reader.finish()?;
        Ok(execute)
    }
}

/// Calls a function by its oid.
#[derive(Clone, Copy, Debug)]
pub struct FunctionCall<'a> {
    /// The function.
    pub function_oid: u32,
    /// How the arguments are written.
    pub argument_formats: Formats<'a>,
    /// The arguments.
    pub arguments: Values<'a>,
    /// How the result is to be written.
    pub result_format: super::FormatCode,
}

impl<'a> FunctionCall<'a> {
    /// Reads the body of a FunctionCall.
    ///
    /// # Errors
    /// When it is not one.
    pub fn decode(body: &'a [u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(body);
        let call = FunctionCall {
            function_oid: reader.u32()?,
            argument_formats: reader.formats()?,
            arguments: reader.values()?,
            result_format: super::FormatCode::from_code(reader.u16()?),
        };
        reader.finish()?;
        Ok(call)
    }
}

/// The client gives a COPY up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CopyFail<'a> {
    /// Why.
    pub reason: &'a [u8],
}

impl<'a> CopyFail<'a> {
    /// Reads the body of a CopyFail.
    ///
    /// # Errors
    /// When it is not one.
    pub fn decode(body: &'a [u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(body);
        let reason = reader.string()?;
        reader.finish()?;
        Ok(CopyFail { reason })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_texts_and_types() {
        let parse = Parse::decode(b"s1\0select $1\0\0\x02\0\0\0\x17\0\0\0\0").unwrap();
        assert_eq!((parse.name, parse.text), (&b"s1"[..], &b"select $1"[..]));
        assert_eq!(parse.type_oids.iter().collect::<Vec<_>>(), [23, 0]);
        assert_eq!(Query::decode(b"select 1\0").unwrap().text, b"select 1");
        assert_eq!(Execute::decode(b"\0\xff\xff\xff\xff").unwrap().row_limit, -1);
        assert_eq!(Describe::decode(b"Px\0"), Ok(Describe { object: Object::Portal, name: b"x" }));
        assert_eq!(Close::decode(b"Sx\0"), Ok(Close { object: Object::Statement, name: b"x" }));
        assert_eq!(CopyFail::decode(b"no\0").unwrap().reason, b"no");
    }

    #[test]
    fn a_bind_in_full() {
        let bind = Bind::decode(b"p\0s\0\0\x01\0\x01\0\x02\0\0\0\x01a\xff\xff\xff\xff\0\x02\0\0\0\x01").unwrap();
        assert_eq!((bind.portal, bind.statement), (&b"p"[..], &b"s"[..]));
        assert_eq!(bind.parameter_formats.of(1), Some(crate::message::FormatCode::Binary));
        assert_eq!(bind.values.iter().collect::<Vec<_>>(), [Some(&b"a"[..]), None]);
        assert_eq!(bind.result_formats.len(), 2);
    }

    #[test]
    fn what_is_cut_or_too_long_is_refused() {
        assert_eq!(Query::decode(b"select 1"), Err(DecodeError::MissingNul));
        assert_eq!(Query::decode(b"select 1\0; drop table t\0"), Err(DecodeError::Trailing));
        assert_eq!(Parse::decode(b"\0\0\0\x01\0\0"), Err(DecodeError::Truncated));
        assert_eq!(Describe::decode(b"Xx\0"), Err(DecodeError::BadCode));
        assert_eq!(Bind::decode(b"\0\0\0\0\0\0").map(|_| ()), Err(DecodeError::Truncated));
        assert_eq!(FunctionCall::decode(b"\0\0\0\x01\0\0\0\0\0").map(|_| ()), Err(DecodeError::Truncated));
        assert_eq!(empty(b"x"), Err(DecodeError::Trailing));
    }
}
