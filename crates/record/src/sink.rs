//! Where frames go. The recorder hands whole frames to a [`Sink`] and believes its answer: after `Ok`, the frame is
//! where it survives the process; after an error, no byte of it counts. Files live in `lockgate-store`.

use crate::wire::Digest;
use lockgate_core::Timestamp;
use std::sync::{Arc, Mutex, PoisonError};

/// Why a frame could not be kept.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SinkError {
    /// There is no room. Trying again later can succeed.
    #[error("no space left for the recording")]
    NoSpace,
    /// It failed for another reason. Trying again can succeed.
    #[error("the recording cannot be written: {0}")]
    Failed(String),
    /// What was written cannot be trusted any more (a sync failed); this recording takes nothing more.
    #[error("the recording takes nothing more: {0}")]
    Poisoned(String),
}

/// What a recording was when it was closed: what goes into the Merkle log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Segment {
    /// The chain's last hash.
    pub hash: Digest,
    /// Events in all.
    pub events: u64,
    /// Length in bytes, with the file's header.
    pub bytes: u64,
    /// When it was closed.
    pub time: Timestamp,
}

/// Where a chain stands with a frame that is handed to a sink.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head {
    /// The frame's hash.
    pub hash: Digest,
    /// Events in all, with those of the frame.
    pub events: u64,
    /// When it was made.
    pub time: Timestamp,
}

/// Takes frames, in order, and keeps them.
pub trait Sink: Send {
    /// Keeps one frame, or several that follow each other, whole, or nothing of them; `head` is where the chain stands then.
    fn append(&mut self, frames: &[u8], head: &Head) -> Result<(), SinkError>;

    /// The recording is complete and `segment` describes it. Called at most once, after the last frame.
    fn finish(&mut self, segment: &Segment) -> Result<(), SinkError>;
}

/// Keeps a recording in memory: for tests, and for crates that have no disk.
#[derive(Debug, Clone, Default)]
pub struct MemorySink {
    held: Arc<Mutex<Held>>,
}

#[derive(Debug, Default)]
struct Held {
    bytes: Vec<u8>,
    frames: Vec<usize>,
    segment: Option<Segment>,
    failing: Option<SinkError>,
}

impl MemorySink {
    /// An empty one. Clones share what was written.
    pub fn new() -> Self {
        MemorySink::default()
    }

    /// What was written so far: what a file would hold after its header.
    pub fn bytes(&self) -> Vec<u8> {
        self.lock().bytes.clone()
    }

    /// The length of each append: mostly of one frame.
    pub fn frames(&self) -> Vec<usize> {
        self.lock().frames.clone()
    }

    /// What was said at the end, once it was.
    pub fn segment(&self) -> Option<Segment> {
        self.lock().segment
    }

    /// From now on every append answers with `error`, or works again.
    pub fn fail_with(&self, error: Option<SinkError>) {
        self.lock().failing = error;
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Sink for MemorySink {
    fn append(&mut self, frame: &[u8], _head: &Head) -> Result<(), SinkError> {
        let mut held = self.lock();
        if let Some(error) = &held.failing {
            return Err(error.clone());
        }
        held.bytes.extend_from_slice(frame);
        held.frames.push(frame.len());
        Ok(())
    }

    fn finish(&mut self, segment: &Segment) -> Result<(), SinkError> {
        let mut held = self.lock();
        if let Some(error) = &held.failing {
            return Err(error.clone());
        }
        held.segment = Some(*segment);
        Ok(())
    }
}
