//! The leaves of the Merkle log: one when a recording begins, some while it grows and one when it ends, so that neither a
//! part of one nor the whole of one can go unseen. All leaves have the same length, so that a leaf's number is its place.

use crate::frame::checksum;
use crate::wire::Digest;
use lockgate_core::{SessionId, Timestamp};

/// Length of a leaf in the log's file, checksum included.
pub const LEAF_BYTES: usize = 88;
const SUMMED_BYTES: usize = 84;
const VERSION: u8 = 1;

/// What a leaf says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum LeafKind {
    /// A session's recording began; `hash` is that of its file header.
    SessionOpened,
    /// It ended; `hash` is the chain's last.
    SessionClosed,
    /// A gateway log began.
    GatewayOpened,
    /// It ended.
    GatewayClosed,
    /// The log was shorter than, or other than, what had been signed: `events` leaves with root `hash`. Written when the
    /// gateway found it, so that signing again does not hide it.
    Broken,
    /// A session's recording had got this far; `hash` is the chain's last.
    SessionProgress,
    /// A gateway log had got this far.
    GatewayProgress,
}

impl LeafKind {
    const fn code(self) -> u8 {
        match self {
            LeafKind::SessionOpened => 1,
            LeafKind::SessionClosed => 2,
            LeafKind::GatewayOpened => 3,
            LeafKind::GatewayClosed => 4,
            LeafKind::Broken => 5,
            LeafKind::SessionProgress => 6,
            LeafKind::GatewayProgress => 7,
        }
    }

    fn from_code(code: u8) -> Option<Self> {
        use LeafKind::{
            Broken, GatewayClosed, GatewayOpened, GatewayProgress, SessionClosed, SessionOpened, SessionProgress,
        };
        [SessionOpened, SessionClosed, GatewayOpened, GatewayClosed, Broken, SessionProgress, GatewayProgress]
            .into_iter()
            .find(|kind| kind.code() == code)
    }
}

/// A leaf.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Leaf {
    /// What it says.
    pub kind: LeafKind,
    /// The recording.
    pub session: SessionId,
    /// When it was written.
    pub time: Timestamp,
    /// Events in the recording.
    pub events: u64,
    /// Length of the recording, in bytes.
    pub bytes: u64,
    /// Its hash.
    pub hash: Digest,
}

impl Leaf {
    /// Version, kind, id (26 characters), time, events, bytes, hash, checksum.
    pub fn encode(&self) -> [u8; LEAF_BYTES] {
        let id = self.session.to_string();
        let fields: [&[u8]; 6] = [
            &[VERSION, self.kind.code()],
            id.as_bytes(),
            &self.time.millis().to_le_bytes(),
            &self.events.to_le_bytes(),
            &self.bytes.to_le_bytes(),
            &self.hash.0,
        ];
        let mut bytes = [0; LEAF_BYTES];
        for (to, from) in bytes.iter_mut().zip(fields.iter().flat_map(|field| field.iter())) {
            *to = *from;
        }
        if let Some((summed, sum)) = bytes.split_at_mut_checked(SUMMED_BYTES) {
            sum.copy_from_slice(&checksum(summed));
        }
        bytes
    }

    /// Reads it; `None` where any byte is not as [`Leaf::encode`] writes it.
    pub fn decode(bytes: &[u8; LEAF_BYTES]) -> Option<Self> {
        let u64_at = |at: usize| Some(u64::from_le_bytes(bytes.get(at..at.checked_add(8)?)?.try_into().ok()?));
        let leaf = Leaf {
            kind: LeafKind::from_code(*bytes.get(1)?)?,
            session: std::str::from_utf8(bytes.get(2..28)?).ok()?.parse().ok()?,
            time: Timestamp::from_millis(u64_at(28)?.cast_signed()),
            events: u64_at(36)?,
            bytes: u64_at(44)?,
            hash: Digest(bytes.get(52..84)?.try_into().ok()?),
        };
        (leaf.encode() == *bytes).then_some(leaf)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_back_and_no_changed_byte_passes() {
        for code in 1..=7 {
            let kind = LeafKind::from_code(code).unwrap();
            let session = SessionId::new(Timestamp::from_millis(99), 3);
            let time = Timestamp::from_millis(-5);
            let leaf = Leaf { kind, session, time, events: 7, bytes: 1 << 40, hash: Digest([8; 32]) };
            let bytes = leaf.encode();
            assert_eq!(Leaf::decode(&bytes), Some(leaf));
            for at in 0..LEAF_BYTES {
                let mut bad = bytes;
                bad[at] ^= 0x20;
                assert_eq!(Leaf::decode(&bad), None, "byte {at}");
            }
        }
        assert_eq!((LeafKind::from_code(0), LeafKind::from_code(8)), (None, None));
    }
}
