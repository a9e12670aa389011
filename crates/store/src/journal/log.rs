//! The Merkle log on disk: a file of leaves of one length, and the signed checkpoint beside it.
//!
//! A leaf is appended before what it stands for counts. The checkpoint is replaced by renaming, at most once a second
//! and whenever the gateway stops. Judging the log is `verify.rs`; here it is only kept in order, and a break that is
//! found when it is opened is itself written down as a leaf, so that signing again does not cover it.

use super::archive::Layout;
use super::file::{Appender, sink_error, sync_folder_of};
use super::{Durability, JournalError, at};
use lockgate_core::limits::RECORD_CHECKPOINT_MS_MIN;
use lockgate_core::{SessionId, Timestamp};
use lockgate_record::{Checkpoint, Digest, LEAF_BYTES, Leaf, LeafKind, MerkleTree, RecordingKeys, SinkError};
use std::fs::{File, OpenOptions};
use std::io::{self, BufReader, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;
use std::sync::Arc;

/// A signed note is a few hundred bytes; more than this is none.
const CHECKPOINT_BYTES_MAX: u64 = 64 * 1024;

/// A leaf's bytes and what they say, `None` where they say nothing.
pub(super) type RawLeaf = ([u8; LEAF_BYTES], Option<Leaf>);

/// Reads the leaves in order; a part of one at the end is not a leaf.
pub(super) struct Leaves(Option<BufReader<File>>);

impl Leaves {
    pub(super) fn open(layout: &Layout) -> Result<Self, JournalError> {
        let path = layout.leaves();
        match File::open(&path) {
            Ok(file) => Ok(Leaves(Some(BufReader::with_capacity(LEAF_BYTES * 512, file)))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Leaves(None)),
            Err(error) => Err(at(&path)(error)),
        }
    }

    pub(super) fn next(&mut self) -> io::Result<Option<RawLeaf>> {
        let Some(file) = &mut self.0 else { return Ok(None) };
        let mut bytes = [0; LEAF_BYTES];
        match file.read_exact(&mut bytes) {
            Ok(()) => Ok(Some((bytes, Leaf::decode(&bytes)))),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(None),
            Err(error) => Err(error),
        }
    }
}

/// The text of the checkpoint; `None` where there is none.
pub(super) fn read_checkpoint(layout: &Layout) -> Result<Option<String>, JournalError> {
    let path = layout.checkpoint();
    let file = match File::open(&path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(at(&path)(error)),
    };
    let mut bytes = Vec::new();
    file.take(CHECKPOINT_BYTES_MAX).read_to_end(&mut bytes).map_err(at(&path))?;
    Ok(Some(String::from_utf8_lossy(&bytes).into_owned()))
}

/// The log, open for writing.
pub(super) struct LeafLog {
    appender: Appender,
    tree: MerkleTree,
    keys: Arc<RecordingKeys>,
    checkpoint: PathBuf,
    durability: Durability,
    signed_size: u64,
    signed_at: Option<Timestamp>,
    /// What was wrong with the log when it was opened, in words.
    found: Vec<String>,
}

impl LeafLog {
    /// Opens it, cuts off a part of a leaf at its end, and compares it with what was signed.
    pub(super) fn open(
        layout: &Layout,
        keys: &Arc<RecordingKeys>,
        durability: Durability,
        now: Timestamp,
    ) -> Result<Self, JournalError> {
        let path = layout.leaves();
        let fresh = !path.exists();
        let signed = read_checkpoint(layout)?;
        let expected = signed.as_deref().map(|note| Checkpoint::open(note, keys.public()));

        let mut tree = MerkleTree::new();
        let mut root_as_signed = None;
        let mut leaves = Leaves::open(layout)?;
        loop {
            if let Some(Ok(checkpoint)) = &expected
                && checkpoint.size == tree.size()
            {
                root_as_signed = Some(tree.root());
            }
            let Some((bytes, _)) = leaves.next().map_err(at(&path))? else { break };
            tree.push(&bytes);
        }

        let file = OpenOptions::new().append(true).create(true).mode(0o600).open(&path).map_err(at(&path))?;
        let length = file.metadata().map_err(at(&path))?.len();
        let good = u64::try_from(LEAF_BYTES).unwrap_or(u64::MAX).saturating_mul(tree.size());
        let mut log = LeafLog {
            appender: Appender::new(file, good, durability),
            tree,
            keys: Arc::clone(keys),
            checkpoint: layout.checkpoint(),
            durability,
            signed_size: 0,
            signed_at: None,
            found: Vec::new(),
        };
        if length > good {
            log.appender.take_back(0);
            log.found.push(format!(
                "the log of leaves ended in {} bytes of a leaf, now cut off",
                length.saturating_sub(good)
            ));
        }
        let broken = match expected {
            None if fresh && layout.recordings()?.is_empty() => None,
            None => Some((Checkpoint { size: 0, root: Digest::default() }, "the log's checkpoint is gone".to_owned())),
            Some(Err(error)) => {
                Some((Checkpoint { size: 0, root: Digest::default() }, format!("the log's checkpoint: {error}")))
            }
            Some(Ok(checkpoint)) if root_as_signed == Some(checkpoint.root) => {
                log.signed_size = checkpoint.size;
                None
            }
            Some(Ok(checkpoint)) => {
                let words = match root_as_signed {
                    None => format!("the log has {} leaves where {} were signed", log.tree.size(), checkpoint.size),
                    Some(_) => {
                        format!("the first {} leaves of the log are not those that were signed", checkpoint.size)
                    }
                };
                Some((checkpoint, words))
            }
        };
        if let Some((checkpoint, words)) = broken {
            log.found.push(words);
            let Checkpoint { size: events, root: hash } = checkpoint;
            let session = SessionId::new(now, 0);
            log.push(&Leaf { kind: LeafKind::Broken, session, time: now, events, bytes: log.tree.size(), hash }, now)?;
        }
        // An empty log is signed too: from now on a missing checkpoint means that somebody took it.
        if log.signed_size < log.tree.size() || log.tree.size() == 0 {
            log.sign(now)?;
        }
        Ok(log)
    }

    /// What was wrong with the log when it was opened; told once.
    pub(super) fn take_found(&mut self) -> Vec<String> {
        std::mem::take(&mut self.found)
    }

    /// Whether the next leaf has a chance.
    pub(super) fn accepts(&mut self) -> Result<(), SinkError> {
        self.appender.accepts()
    }

    /// Adds a leaf. Signing may wait; a failure to sign does not undo the leaf and is tried again.
    pub(super) fn push(&mut self, leaf: &Leaf, now: Timestamp) -> Result<(), SinkError> {
        self.push_all(std::iter::once(leaf), now)
    }

    /// Adds several leaves at once: all of them or none.
    pub(super) fn push_all<'l>(
        &mut self,
        leaves: impl Iterator<Item = &'l Leaf>,
        now: Timestamp,
    ) -> Result<(), SinkError> {
        let encoded: Vec<[u8; LEAF_BYTES]> = leaves.map(Leaf::encode).collect();
        self.appender.append([encoded.as_flattened(), &[]])?;
        for bytes in &encoded {
            self.tree.push(bytes);
        }
        if let Err(error) = self.sign_if_due(now, RECORD_CHECKPOINT_MS_MIN) {
            tracing::warn!(%error, "the log of recordings cannot be signed yet");
        }
        Ok(())
    }

    /// Signs what is not signed yet, unless the last signature is younger than `age_ms`.
    pub(super) fn sign_if_due(&mut self, now: Timestamp, age_ms: i64) -> Result<(), SinkError> {
        // A clock that went back makes a negative age; signing early does no harm.
        let young = self.signed_at.is_some_and(|last| (0..age_ms).contains(&now.millis_since(last)));
        if self.signed_size == self.tree.size() || young { Ok(()) } else { self.sign(now) }
    }

    fn sign(&mut self, now: Timestamp) -> Result<(), SinkError> {
        let checkpoint = Checkpoint { size: self.tree.size(), root: self.tree.root() };
        let note = checkpoint.sign(&self.keys);
        let fresh = self.checkpoint.with_extension("new");
        let written = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&fresh)
            .and_then(|mut file| {
                file.write_all(note.as_bytes())?;
                if self.durability == Durability::Fsync { file.sync_all() } else { Ok(()) }
            })
            .and_then(|()| std::fs::rename(&fresh, &self.checkpoint))
            .and_then(
                |()| if self.durability == Durability::Fsync { sync_folder_of(&self.checkpoint) } else { Ok(()) },
            );
        written.map_err(|error| sink_error(&error))?;
        self.signed_size = checkpoint.size;
        self.signed_at = Some(now);
        Ok(())
    }
}
