//! Cancel keys and cancel requests (PostgreSQL 18 documentation, 54.2.8): the types, their comparison and their encoding.
//!
//! A client is told the process id of the real backend, because clients compare it with what `pg_backend_pid()` and
//! NOTIFY say, but with a key of the gateway's own. Two targets may have backends of the same id, so a request is for
//! whichever session with that id has that key. The registry of sessions is the relay's; nothing here sends anything.

use crate::message::{DecodeError, Reader};
use bytes::{BufMut, BytesMut};
use zeroize::Zeroizing;

/// The code in place of a protocol version that makes a startup packet a cancel request.
pub const CANCEL_REQUEST_CODE: u32 = 80_877_102;
/// Bytes of a key under protocol 3.0, and the fewest of any.
pub const KEY_BYTES_MIN: usize = 4;
/// Bytes of the keys that the gateway makes under protocol 3.2.
pub const KEY_BYTES: usize = 32;
/// The most bytes of any key.
pub const KEY_BYTES_MAX: usize = 256;
/// Bytes of a cancel request before its key: length, code, process id.
const REQUEST_HEAD_BYTES: usize = 12;

/// The secret that lets its holder cancel what a session runs. Has no `Debug`, and is wiped when dropped.
#[derive(Clone)]
pub struct CancelKey(Zeroizing<Vec<u8>>);

impl CancelKey {
    /// A key for a client of protocol 3.`minor`: 32 bytes from 3.2 on, 4 before, because 3.0 has no room for more.
    /// `random` must come from a cryptographic source.
    pub fn for_client(minor: u16, random: &[u8; KEY_BYTES]) -> Self {
        let len = if minor >= 2 { KEY_BYTES } else { KEY_BYTES_MIN };
        CancelKey(Zeroizing::new(random.iter().copied().take(len).collect()))
    }

    /// A key as it came from the wire.
    ///
    /// # Errors
    /// [`DecodeError::BadLength`] unless it has 4 to 256 bytes.
    pub fn from_wire(bytes: &[u8]) -> Result<Self, DecodeError> {
        if !(KEY_BYTES_MIN..=KEY_BYTES_MAX).contains(&bytes.len()) {
            return Err(DecodeError::BadLength);
        }
        Ok(CancelKey(Zeroizing::new(bytes.to_vec())))
    }

    /// Whether both are the same key. The time it takes tells only whether the lengths are.
    pub fn matches(&self, other: &CancelKey) -> bool {
        aws_lc_rs::constant_time::verify_slices_are_equal(&self.0, &other.0).is_ok()
    }

    /// The key itself. Every caller is a place to review.
    pub fn expose(&self) -> &[u8] {
        &self.0
    }
}

/// A request to cancel what a session runs.
#[derive(Clone)]
pub struct CancelRequest {
    /// The process id of the backend.
    pub pid: i32,
    /// The key.
    pub key: CancelKey,
}

impl CancelRequest {
    /// Reads what follows the request code in a cancel request.
    ///
    /// # Errors
    /// When it is not a process id and a key.
    pub fn decode(body: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(body);
        Ok(CancelRequest { pid: reader.i32()?, key: CancelKey::from_wire(reader.rest())? })
    }

    /// Appends the request as it is sent to a server, the length included.
    pub fn encode(&self, out: &mut BytesMut) {
        // A key has at most 256 bytes, so that the length always fits.
        let len = u32::try_from(REQUEST_HEAD_BYTES.saturating_add(self.key.0.len())).unwrap_or(u32::MAX);
        out.put_u32(len);
        out.put_u32(CANCEL_REQUEST_CODE);
        out.put_i32(self.pid);
        out.put_slice(&self.key.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn length_follows_the_protocol_version() {
        let random = [7; KEY_BYTES];
        assert_eq!(CancelKey::for_client(0, &random).expose().len(), 4);
        assert_eq!(CancelKey::for_client(2, &random).expose().len(), 32);
    }

    #[test]
    fn only_the_same_key_matches() {
        let key = CancelKey::from_wire(b"abcd").unwrap();
        assert!(key.matches(&key.clone()));
        for other in [&b"abce"[..], b"abcda", b"bbcd"] {
            assert!(!key.matches(&CancelKey::from_wire(other).unwrap()));
        }
        assert!(CancelKey::from_wire(b"abc").is_err());
        assert!(CancelKey::from_wire(&[0; 257]).is_err());
    }

    #[test]
    fn a_request_reads_back() {
        let request = CancelRequest { pid: -5, key: CancelKey::from_wire(&[1; 32]).unwrap() };
        let mut out = BytesMut::new();
        request.encode(&mut out);
        assert_eq!(&out[..8], [0, 0, 0, 44, 4, 210, 22, 46]);
        let back = CancelRequest::decode(&out[8..]).unwrap();
        assert!(back.pid == -5 && back.key.matches(&request.key));
        assert!(CancelRequest::decode(&out[8..13]).is_err());
    }
}
