//! How far open recordings have come, told to the log of recordings now and then, so that what is cut off the end of one
//! is missed although its end is not logged yet.
//!
//! A recording says where it stands with every frame ([`Progress`]); a leaf is written when enough was added or enough
//! time went by. Whoever reads a recording holds it against the furthest such leaf ([`Milestone`]).

use super::Shared;
use lockgate_core::Timestamp;
use lockgate_core::limits::{RECORD_LEAVES_BATCH_MAX, RECORD_PROGRESS_FRAMES_MAX, RECORD_PROGRESS_MS};
use lockgate_record::{ChainEnd, Damage, DamageKind, FileHeader, Head, Leaf, LeafKind, RecordingKind, SinkError};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Where one open recording stands, and what of that the log knows.
pub(super) struct Progress {
    header: FileHeader,
    position: Mutex<Position>,
}

#[derive(Clone, Copy)]
struct Position {
    head: Head,
    bytes: u64,
    /// Frames since the last leaf.
    frames: u32,
    leaf_events: u64,
    leaf_time: Timestamp,
}

impl Progress {
    /// Of a recording that has its first frame.
    pub(super) const fn new(header: FileHeader, head: Head, bytes: u64) -> Self {
        let position = Position { head, bytes, frames: 1, leaf_events: 0, leaf_time: header.began };
        Progress { header, position: Mutex::new(position) }
    }

    /// A frame was added. Yields the leaf where one is due for the number of frames.
    pub(super) fn grew(&self, head: &Head, bytes: u64) -> Option<Leaf> {
        let mut position = self.position();
        position.head = *head;
        position.bytes = bytes;
        position.frames = position.frames.saturating_add(1);
        (position.frames >= RECORD_PROGRESS_FRAMES_MAX).then(|| self.leaf(&position, head.time))
    }

    /// The leaf, where one is due for its age. A clock that went back makes one early, which does no harm.
    fn due(&self, now: Timestamp, age_ms: i64) -> Option<Leaf> {
        let position = self.position();
        let young = (0..age_ms).contains(&now.millis_since(position.leaf_time));
        (position.head.events > position.leaf_events && !young).then(|| self.leaf(&position, now))
    }

    /// The leaf is in the log.
    pub(super) fn logged(&self, leaf: &Leaf) {
        let mut position = self.position();
        position.frames = 0;
        position.leaf_events = position.leaf_events.max(leaf.events);
        position.leaf_time = leaf.time;
    }

    const fn leaf(&self, position: &Position, time: Timestamp) -> Leaf {
        let kind = match self.header.kind {
            RecordingKind::Session => LeafKind::SessionProgress,
            RecordingKind::Gateway => LeafKind::GatewayProgress,
        };
        let Head { hash, events, .. } = position.head;
        Leaf { kind, session: self.header.session, time, events, bytes: position.bytes, hash }
    }

    fn position(&self) -> MutexGuard<'_, Position> {
        self.position.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Shared {
    /// Logs how far one recording has come. What it tells of is on record already, so a failure is tried again by the
    /// next frame, or the next tick.
    pub(super) fn log_progress(&self, progress: &Progress, leaf: &Leaf) {
        match self.log().push(leaf, leaf.time) {
            Ok(()) => progress.logged(leaf),
            Err(error) => {
                tracing::warn!(session = %progress.header.session, %error, "the log of recordings takes nothing");
            }
        }
    }
}

/// Logs every open recording that has gained something and whose last leaf is older than `age_ms`.
pub(super) fn log_due(shared: &Shared, now: Timestamp, age_ms: i64) -> Result<(), SinkError> {
    let open: Vec<Arc<Progress>> = shared.open().values().map(Arc::clone).collect();
    let due: Vec<(Arc<Progress>, Leaf)> =
        open.into_iter().filter_map(|progress| progress.due(now, age_ms).map(|leaf| (progress, leaf))).collect();
    for batch in due.chunks(RECORD_LEAVES_BATCH_MAX) {
        // In one write, and one sync: what holds the log up holds up every session that begins or ends.
        shared.log().push_all(batch.iter().map(|(_, leaf)| leaf), now)?;
        for (progress, leaf) in batch {
            progress.logged(leaf);
        }
    }
    Ok(())
}

/// [`log_due`] at its usual age.
pub(super) fn log_aged(shared: &Shared, now: Timestamp) -> Result<(), SinkError> {
    log_due(shared, now, RECORD_PROGRESS_MS)
}

/// What the log knows of how far a recording was: the furthest of its leaves of progress. Reading passes by it.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Milestone {
    leaf: Option<Leaf>,
    passed: bool,
}

impl Milestone {
    /// Takes in a leaf of this recording.
    pub(super) fn take(&mut self, leaf: &Leaf) {
        match leaf.kind {
            LeafKind::SessionProgress | LeafKind::GatewayProgress => {
                if self.leaf.is_none_or(|known| known.events < leaf.events) {
                    self.leaf = Some(*leaf);
                }
            }
            LeafKind::SessionOpened
            | LeafKind::SessionClosed
            | LeafKind::GatewayOpened
            | LeafKind::GatewayClosed
            | LeafKind::Broken => {}
        }
    }

    /// Events that the log vouches for.
    pub(super) fn events(&self) -> u64 {
        self.leaf.map_or(0, |leaf| leaf.events)
    }

    /// To be called after each frame.
    pub(super) fn pass(&mut self, end: &ChainEnd) -> Result<(), Damage> {
        let Some(leaf) = self.leaf.filter(|leaf| !self.passed && end.next_seq >= leaf.events) else { return Ok(()) };
        self.passed = true;
        if (end.hash, end.next_seq, end.bytes) == (leaf.hash, leaf.events, leaf.bytes) {
            return Ok(());
        }
        let (seq, offset) = (leaf.events.saturating_sub(1), end.bytes);
        let detail = "up to here it is not what the log knew of it while it was written".to_owned();
        Err(Damage { kind: DamageKind::Altered, seq, offset, detail })
    }

    /// Where the chain ended before it came so far: what is gone.
    pub(super) fn missed(&self, end: &ChainEnd) -> Option<Damage> {
        let (next, events) = (end.next_seq, self.events());
        (next < events).then(|| {
            let detail = format!("it ends before event {next} where the log knew of {events} events");
            Damage { kind: DamageKind::Truncated, seq: next, offset: end.bytes, detail }
        })
    }
}
