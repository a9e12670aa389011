//! The bytes of a recording: the file's header and the frames' headers.
//!
//! What is in the clear is what verification needs without the encryption key: lengths, event numbers, the hash of the
//! frame before. A frame is its header, the sealed payload with its tag, and the first eight bytes of its own hash. The
//! hash of a frame is SHA-256 over header and sealed payload; the next frame's header carries it whole. So each frame
//! can be told sound by itself, and its place by its neighbours.

use crate::wire::Digest;
use lockgate_core::limits::RECORD_FRAME_BYTES_MAX;
use lockgate_core::{SessionId, Timestamp};

/// Length of a recording's own header.
pub const FILE_HEADER_BYTES: usize = 56;
/// Length of a frame's header.
pub(crate) const HEADER_BYTES: usize = 72;
/// The part of the header that is authenticated with the payload; the rest is its checksum.
pub(crate) const HEADER_SUMMED_BYTES: usize = 68;
/// Length of the authentication tag.
pub(crate) const TAG_BYTES: usize = 16;
/// Length of the frame's own check.
pub(crate) const CHECK_BYTES: usize = 8;

const FILE_MAGIC: [u8; 8] = *b"LOCKGREC";
const FILE_VERSION: u8 = 1;
const FRAME_MAGIC: [u8; 2] = *b"LF";
const FRAME_VERSION: u8 = 1;
/// The payload is LZ4.
const FLAG_LZ4: u8 = 1;
/// No frame follows this one.
const FLAG_LAST: u8 = 2;

/// FNV-1a. Every step is a bijection of its state, so one changed byte always changes the sum; it guards against decay
/// and torn writes only. What guards against people is SHA-256 and the tag.
pub(crate) fn checksum(bytes: &[u8]) -> [u8; 4] {
    let sum = bytes.iter().fold(0x811c_9dc5_u32, |sum, byte| (sum ^ u32::from(*byte)).wrapping_mul(0x0100_0193));
    sum.to_le_bytes()
}

/// What a recording is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecordingKind {
    /// One session.
    Session,
    /// What happened to the gateway itself, from its start to its stop.
    Gateway,
}

/// The head of a recording's file. Its hash is what the first frame is chained to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileHeader {
    /// What it is of.
    pub kind: RecordingKind,
    /// Its id.
    pub session: SessionId,
    /// When it began.
    pub began: Timestamp,
}

impl FileHeader {
    /// Magic, version, kind, two zeros, id (26 characters), two zeros, time, zeros, checksum.
    pub fn encode(&self) -> [u8; FILE_HEADER_BYTES] {
        let mut text = Vec::with_capacity(FILE_HEADER_BYTES);
        text.extend_from_slice(&FILE_MAGIC);
        text.extend_from_slice(&[FILE_VERSION, u8::from(self.kind == RecordingKind::Gateway), 0, 0]);
        text.extend_from_slice(self.session.to_string().as_bytes());
        text.extend_from_slice(&[0, 0]);
        text.extend_from_slice(&self.began.millis().to_le_bytes());
        text.resize(FILE_HEADER_BYTES.saturating_sub(4), 0);
        let sum = checksum(&text);
        text.extend_from_slice(&sum);
        let mut bytes = [0; FILE_HEADER_BYTES];
        for (to, from) in bytes.iter_mut().zip(text) {
            *to = from;
        }
        bytes
    }

    /// Reads it; `None` where any byte is not as [`FileHeader::encode`] writes it.
    pub fn decode(bytes: &[u8; FILE_HEADER_BYTES]) -> Option<Self> {
        let kind = match bytes.get(9)? {
            0 => RecordingKind::Session,
            1 => RecordingKind::Gateway,
            _ => return None,
        };
        let session = std::str::from_utf8(bytes.get(12..38)?).ok()?.parse().ok()?;
        let began = Timestamp::from_millis(i64::from_le_bytes(bytes.get(40..48)?.try_into().ok()?));
        let header = FileHeader { kind, session, began };
        (header.encode() == *bytes).then_some(header)
    }

    /// The hash that the first frame is chained to.
    pub fn hash(&self) -> Digest {
        Digest::of(&self.encode())
    }
}

/// A frame's header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FrameHeader {
    pub(crate) compressed: bool,
    pub(crate) last: bool,
    /// Length of the payload without tag.
    pub(crate) payload_bytes: u32,
    /// Length of the events before compression.
    pub(crate) plain_bytes: u32,
    pub(crate) events: u32,
    pub(crate) first_seq: u64,
    pub(crate) nonce: [u8; 12],
    pub(crate) previous: Digest,
}

impl FrameHeader {
    pub(crate) fn encode(&self) -> [u8; HEADER_BYTES] {
        let mut bytes = [0; HEADER_BYTES];
        let flags = (if self.compressed { FLAG_LZ4 } else { 0 }) | (if self.last { FLAG_LAST } else { 0 });
        let [m0, m1] = FRAME_MAGIC;
        let mut rest = &mut bytes[..];
        let mut put = |field: &[u8]| {
            if let Some((to, behind)) = std::mem::take(&mut rest).split_at_mut_checked(field.len()) {
                to.copy_from_slice(field);
                rest = behind;
            }
        };
        put(&[m0, m1, FRAME_VERSION, flags]);
        put(&self.payload_bytes.to_le_bytes());
        put(&self.plain_bytes.to_le_bytes());
        put(&self.events.to_le_bytes());
        put(&self.first_seq.to_le_bytes());
        put(&self.nonce);
        put(&self.previous.0);
        if let Some((summed, sum)) = bytes.split_at_mut_checked(HEADER_SUMMED_BYTES) {
            sum.copy_from_slice(&checksum(summed));
        }
        bytes
    }

    /// Reads it; `None` where it is no header or states what cannot be.
    pub(crate) fn decode(bytes: &[u8; HEADER_BYTES]) -> Option<Self> {
        let u32_at = |at: usize| -> Option<u32> {
            Some(u32::from_le_bytes(bytes.get(at..at.checked_add(4)?)?.try_into().ok()?))
        };
        let flags = *bytes.get(3)?;
        let header = FrameHeader {
            compressed: flags & FLAG_LZ4 != 0,
            last: flags & FLAG_LAST != 0,
            payload_bytes: u32_at(4)?,
            plain_bytes: u32_at(8)?,
            events: u32_at(12)?,
            first_seq: u64::from_le_bytes(bytes.get(16..24)?.try_into().ok()?),
            nonce: bytes.get(24..36)?.try_into().ok()?,
            previous: Digest(bytes.get(36..68)?.try_into().ok()?),
        };
        let bounded = [header.payload_bytes, header.plain_bytes]
            .into_iter()
            .all(|count| usize::try_from(count).is_ok_and(|count| count <= RECORD_FRAME_BYTES_MAX));
        (bounded && header.events > 0 && header.encode() == *bytes).then_some(header)
    }

    /// Bytes that follow the header: payload, tag and check.
    pub(crate) fn rest_bytes(&self) -> usize {
        usize::try_from(self.payload_bytes).unwrap_or(usize::MAX).saturating_add(TAG_BYTES).saturating_add(CHECK_BYTES)
    }

    /// The number of the event after this frame's last.
    pub(crate) fn next_seq(&self) -> u64 {
        self.first_seq.saturating_add(u64::from(self.events))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header() -> FrameHeader {
        FrameHeader {
            compressed: true,
            last: false,
            payload_bytes: 300,
            plain_bytes: 900,
            events: 2,
            first_seq: 77,
            nonce: [9; 12],
            previous: Digest([3; 32]),
        }
    }

    #[test]
    fn headers_read_back_and_no_changed_byte_passes() {
        let frame = header().encode();
        assert_eq!(FrameHeader::decode(&frame), Some(header()));
        for at in 0..HEADER_BYTES {
            let mut bad = frame;
            bad[at] ^= 0x10;
            assert_eq!(FrameHeader::decode(&bad), None, "byte {at}");
        }
        let session = SessionId::new(Timestamp::from_millis(5), 6);
        for kind in [RecordingKind::Session, RecordingKind::Gateway] {
            let file = FileHeader { kind, session, began: Timestamp::from_millis(-4) };
            assert_eq!(FileHeader::decode(&file.encode()), Some(file));
            for at in 0..FILE_HEADER_BYTES {
                let mut bad = file.encode();
                bad[at] ^= 0x01;
                assert_eq!(FileHeader::decode(&bad), None, "byte {at}");
            }
        }
    }

    #[test]
    fn a_header_that_states_too_much_is_refused() {
        let mut huge = header();
        huge.plain_bytes = u32::MAX;
        assert_eq!(FrameHeader::decode(&huge.encode()), None);
        let mut none = header();
        none.events = 0;
        assert_eq!(FrameHeader::decode(&none.encode()), None);
    }
}
