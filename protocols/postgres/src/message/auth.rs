//! The messages of a login, of both sides.

use super::reader::{DecodeError, Reader};

/// Bytes of a cancel key under protocol 3.0, and the fewest under 3.2.
const CANCEL_KEY_BYTES_MIN: usize = 4;
/// The most bytes of a cancel key (protocol 3.2).
const CANCEL_KEY_BYTES_MAX: usize = 256;

/// What a server asks of who logs in.
#[derive(Clone, Copy, Debug)]
pub enum Authentication<'a> {
    /// Nothing (more).
    Ok,
    /// The password.
    CleartextPassword,
    /// A hash of the password and this salt.
    Md5Password {
        /// The salt.
        salt: [u8; 4],
    },
    /// A SASL exchange by one of these mechanisms.
    Sasl {
        /// The mechanisms, preferred first.
        mechanisms: Mechanisms<'a>,
    },
    /// Data of a SASL exchange.
    SaslContinue {
        /// The data.
        data: &'a [u8],
    },
    /// The last data of a SASL exchange.
    SaslFinal {
        /// The data.
        data: &'a [u8],
    },
    /// Something else: Kerberos, GSS, SSPI, or a code that this file does not know.
    Unsupported {
        /// The code.
        code: u32,
    },
}

impl<'a> Authentication<'a> {
    /// Reads the body of an Authentication message.
    ///
    /// # Errors
    /// When it is not one.
    pub fn decode(body: &'a [u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(body);
        let request = match reader.u32()? {
            0 => Authentication::Ok,
            3 => Authentication::CleartextPassword,
            5 => Authentication::Md5Password { salt: reader.u32()?.to_be_bytes() },
            10 => {
                let list = reader;
                // A list of strings that ends with an empty one.
                while !reader.string()?.is_empty() {}
                Authentication::Sasl { mechanisms: Mechanisms { reader: list } }
            }
            11 => Authentication::SaslContinue { data: reader.bytes(reader.rest().len())? },
            12 => Authentication::SaslFinal { data: reader.bytes(reader.rest().len())? },
            code => {
                // What follows is in the form of a method that is not carried.
                reader.bytes(reader.rest().len())?;
                Authentication::Unsupported { code }
            }
        };
        reader.finish()?;
        Ok(request)
    }
}

/// The names of SASL mechanisms.
#[derive(Clone, Debug, Copy)]
pub struct Mechanisms<'a> {
    reader: Reader<'a>,
}

impl<'a> Iterator for Mechanisms<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        self.reader.string().ok().filter(|name| !name.is_empty())
    }
}

/// What a cancel request needs.
#[derive(Clone, Copy)]
pub struct BackendKeyData<'a> {
    /// The process id of the session's backend.
    pub pid: i32,
    /// The secret that the cancel request must show: 4 to 256 bytes. Not for a log.
    pub key: &'a [u8],
}

impl<'a> BackendKeyData<'a> {
    /// Reads the body of a BackendKeyData.
    ///
    /// # Errors
    /// When it is not one.
    pub fn decode(body: &'a [u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(body);
        let pid = reader.i32()?;
        let key = reader.rest();
        if !(CANCEL_KEY_BYTES_MIN..=CANCEL_KEY_BYTES_MAX).contains(&key.len()) {
            return Err(DecodeError::BadLength);
        }
        Ok(BackendKeyData { pid, key })
    }
}

/// The server speaks an older minor version, or does not know an option.
#[derive(Clone, Copy, Debug)]
pub struct NegotiateProtocolVersion<'a> {
    /// The major version.
    pub major: u16,
    /// The newest minor version of it that the server speaks.
    pub minor: u16,
    count: u32,
    options: Reader<'a>,
}

impl<'a> NegotiateProtocolVersion<'a> {
    /// Reads the body of a NegotiateProtocolVersion.
    ///
    /// # Errors
    /// When it is not one.
    pub fn decode(body: &'a [u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(body);
        let (major, minor, count) = (reader.u16()?, reader.u16()?, reader.u32()?);
        let options = reader;
        // Each turn takes a byte at least, so the body bounds the loop, not the count.
        for _ in 0..count {
            reader.string()?;
        }
        reader.finish()?;
        Ok(NegotiateProtocolVersion { major, minor, count, options })
    }

    /// How many options the server does not know.
    pub const fn unrecognised_len(&self) -> u32 {
        self.count
    }

    /// The options that the server does not know.
    pub fn unrecognised(&self) -> impl Iterator<Item = &'a [u8]> {
        let mut reader = self.options;
        std::iter::from_fn(move || reader.string().ok())
    }
}

/// The password in a PasswordMessage. It is a secret: take it out of the buffer and drop it soon.
///
/// # Errors
/// When the body is not one string.
pub fn password(body: &[u8]) -> Result<&[u8], DecodeError> {
    let mut reader = Reader::new(body);
    let password = reader.string()?;
    reader.finish()?;
    Ok(password)
}

/// The first message of a client in a SASL exchange.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SaslInitialResponse<'a> {
    /// The mechanism that the client chose.
    pub mechanism: &'a [u8],
    /// The data, where there is any.
    pub data: Option<&'a [u8]>,
}

impl<'a> SaslInitialResponse<'a> {
    /// Reads the body of a SASLInitialResponse.
    ///
    /// # Errors
    /// When it is not one.
    pub fn decode(body: &'a [u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(body);
        let response = SaslInitialResponse { mechanism: reader.string()?, data: reader.value()? };
        reader.finish()?;
        Ok(response)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_by_code() {
        let is = |body: &[u8]| match Authentication::decode(body) {
            Ok(Authentication::Ok) => "ok".to_owned(),
            Ok(Authentication::CleartextPassword) => "cleartext".to_owned(),
            Ok(Authentication::Md5Password { salt }) => format!("md5 {salt:?}"),
            Ok(Authentication::Sasl { mechanisms }) => {
                let names: Vec<_> = mechanisms.map(String::from_utf8_lossy).collect();
                format!("sasl {}", names.join(" "))
            }
            Ok(Authentication::SaslContinue { data }) => format!("continue {}", data.len()),
            Ok(Authentication::SaslFinal { data }) => format!("final {}", data.len()),
            Ok(Authentication::Unsupported { code }) => format!("unsupported {code}"),
            Err(error) => error.to_string(),
        };
        for (body, expect) in [
            (&b"\0\0\0\0"[..], "ok"),
            (b"\0\0\0\0x", "the message has bytes after its end"),
            (b"\0\0\0\x03", "cleartext"),
            (b"\0\0\0\x05abcd", "md5 [97, 98, 99, 100]"),
            (b"\0\0\0\x05abc", "the message ends too early"),
            (b"\0\0\0\x0aSCRAM-SHA-256-PLUS\0SCRAM-SHA-256\0\0", "sasl SCRAM-SHA-256-PLUS SCRAM-SHA-256"),
            (b"\0\0\0\x0aSCRAM-SHA-256\0", "a string in the message has no terminator"),
            (b"\0\0\0\x0a\0x", "the message has bytes after its end"),
            (b"\0\0\0\x0br=x", "continue 3"),
            (b"\0\0\0\x0c", "final 0"),
            (b"\0\0\0\x07", "unsupported 7"),
            (b"\0\0", "the message ends too early"),
        ] {
            assert_eq!(is(body), expect, "{body:?}");
        }
    }

    #[test]
    fn cancel_keys_have_4_to_256_bytes() {
        for (len, ok) in [(0, false), (3, false), (4, true), (32, true), (256, true), (257, false)] {
            let mut body = vec![0, 0, 0, 9];
            body.resize(4 + len, 1);
            let key = BackendKeyData::decode(&body).map(|k| (k.pid, k.key.len()));
            assert_eq!(key.is_ok(), ok, "{len}");
        }
    }

    #[test]
    fn version_negotiation() {
        let body = b"\0\x03\0\0\0\0\0\x01_pq_.x\0";
        let negotiate = NegotiateProtocolVersion::decode(body).unwrap();
        assert_eq!((negotiate.major, negotiate.minor, negotiate.unrecognised_len()), (3, 0, 1));
        assert_eq!(negotiate.unrecognised().collect::<Vec<_>>(), [b"_pq_.x"]);
        assert!(NegotiateProtocolVersion::decode(b"\0\x03\0\0\xff\xff\xff\xff\0").is_err());
    }

    #[test]
    fn sasl_initial_response() {
        let response = SaslInitialResponse::decode(b"SCRAM-SHA-256\0\0\0\0\x02n,").unwrap();
        assert_eq!((response.mechanism, response.data), (&b"SCRAM-SHA-256"[..], Some(&b"n,"[..])));
        assert_eq!(SaslInitialResponse::decode(b"X\0\xff\xff\xff\xff").unwrap().data, None);
        assert!(SaslInitialResponse::decode(b"X\0\0\0\0\x05n,").is_err());
        assert_eq!(password(b"secret\0"), Ok(&b"secret"[..]));
        assert!(password(b"a\0b\0").is_err());
    }
}
