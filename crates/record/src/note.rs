//! Signed statements about the Merkle log: C2SP tlog-checkpoint inside a C2SP signed note, with Ed25519.
//!
//! A copy of a checkpoint kept elsewhere is an anchor: against it, cutting the log back to an older state is found too.

use crate::keys::{RecordingKeys, RecordingPublicKey};
use crate::wire::Digest;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

/// The text is not a checkpoint that this key signed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoteError {
    /// It does not have the form of a checkpoint.
    #[error("not a checkpoint: {0}")]
    Form(&'static str),
    /// It is another log's.
    #[error("the checkpoint is of `{0}`")]
    Origin(String),
    /// No signature of the key holds.
    #[error("the checkpoint's signature does not hold")]
    Signature,
}

/// The size and root of the log at some time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Checkpoint {
    /// Leaves.
    pub size: u64,
    /// The root over them.
    pub root: Digest,
}

impl Checkpoint {
    /// The signed note.
    pub fn sign(&self, keys: &RecordingKeys) -> String {
        let public = keys.public();
        let text = format!("{}\n{}\n{}\n", public.name(), self.size, STANDARD.encode(self.root.0));
        let mut signature = public.id().to_vec();
        signature.extend_from_slice(&keys.sign(text.as_bytes()));
        format!("{text}\n— {} {}\n", public.name(), STANDARD.encode(signature))
    }

    /// Reads a signed note. Signatures of other keys beside ours are passed over, as the format asks.
    pub fn open(note: &str, public: &RecordingPublicKey) -> Result<Self, NoteError> {
        let split = note.rfind("\n\n").ok_or(NoteError::Form("no signature block"))?;
        let text = note.get(..=split).ok_or(NoteError::Form("no text"))?;
        let signatures = note.get(split.saturating_add(2)..).unwrap_or_default();
        if !signatures.ends_with('\n') {
            return Err(NoteError::Form("the last line has no end"));
        }
        let signed = signatures.lines().any(|line| {
            let Some((name, coded)) = line.strip_prefix("— ").and_then(|rest| rest.split_once(' ')) else {
                return false;
            };
            let Ok(bytes) = STANDARD.decode(coded) else { return false };
            let Some((id, signature)) = bytes.split_at_checked(4) else { return false };
            name == public.name() && id == public.id() && public.verify(text.as_bytes(), signature)
        });
        if !signed {
            return Err(NoteError::Signature);
        }
        let mut lines = text.lines();
        let origin = lines.next().ok_or(NoteError::Form("no origin"))?;
        if origin != public.name() {
            return Err(NoteError::Origin(origin.to_owned()));
        }
        let size = lines.next().ok_or(NoteError::Form("no size"))?;
        let size = size
            .parse()
            .ok()
            .filter(|n: &u64| n.to_string() == size)
            .ok_or(NoteError::Form("the size is no number"))?;
        let root = lines.next().and_then(|line| STANDARD.decode(line).ok()).ok_or(NoteError::Form("no root"))?;
        let root = Digest(root.try_into().map_err(|_| NoteError::Form("the root is not 32 bytes"))?);
        Ok(Checkpoint { size, root })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(seed: u8) -> RecordingKeys {
        RecordingKeys::new("lockgate/recordings", &[0; 32], &[seed; 32]).unwrap()
    }

    #[test]
    fn reads_back_and_no_changed_byte_passes() {
        let checkpoint = Checkpoint { size: 20_852_163, root: Digest([0xab; 32]) };
        let note = checkpoint.sign(&keys(1));
        assert!(note.starts_with("lockgate/recordings\n20852163\nq6ur"), "{note}");
        assert_eq!(Checkpoint::open(&note, keys(1).public()), Ok(checkpoint));
        assert_eq!(Checkpoint::open(&note, keys(2).public()), Err(NoteError::Signature));
        for at in 0..note.len() {
            let mut bad = note.clone().into_bytes();
            bad[at] ^= 0x01;
            let Ok(bad) = String::from_utf8(bad) else { continue };
            assert!(Checkpoint::open(&bad, keys(1).public()).is_err(), "byte {at}: {bad}");
            assert!(Checkpoint::open(note.get(..at).unwrap_or_default(), keys(1).public()).is_err(), "cut at {at}");
        }
    }

    #[test]
    fn another_signature_beside_ours_does_no_harm() {
        let note = Checkpoint { size: 1, root: Digest([1; 32]) }.sign(&keys(1));
        let more = format!("{note}— witness AAAAAAAA\n");
        assert!(Checkpoint::open(&more, keys(1).public()).is_ok());
    }
}
