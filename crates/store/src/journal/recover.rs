//! Puts a journal in order after the gateway died: every recording gets its end and its leaves.
//!
//! Only what a crash can have done is repaired: a frame that the file ends inside, or a tail of zeros as a power cut
//! leaves. Anything else is reported and kept exactly as it was found, for `verify` to name.

use super::file::{Appender, FileSink, opened_leaf};
use super::log::Leaves;
use super::progress::Milestone;
use super::{JournalError, Shared, at};
use lockgate_core::{SessionId, Timestamp};
use lockgate_record::{
    Damage, DamageKind, FileHeader, LeafKind, ReadError, RecordingKind, RecordingReader, SessionRecorder,
};
use std::collections::{HashMap, HashSet};
use std::fs::{File, OpenOptions};
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::path::Path;
use std::sync::Arc;

/// What recovery found and did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RecoveryReport {
    /// Recordings that had no end and now have one.
    pub finished: Vec<SessionId>,
    /// Recordings whose torn tail was cut off. Every event before it is kept.
    pub torn: Vec<(SessionId, Damage)>,
    /// Recordings that are damaged as no crash would; left as they are.
    pub damaged: Vec<(SessionId, Damage)>,
    /// What was wrong with the log itself, in words.
    pub log: Vec<String>,
}

impl RecoveryReport {
    /// Whether there is nothing to tell.
    pub const fn is_empty(&self) -> bool {
        self.finished.is_empty() && self.torn.is_empty() && self.damaged.is_empty() && self.log.is_empty()
    }
}

pub(super) fn recover_all(shared: &Arc<Shared>, now: Timestamp) -> Result<RecoveryReport, JournalError> {
    let mut report = RecoveryReport { log: shared.log().take_found(), ..RecoveryReport::default() };
    let mut known = HashSet::new();
    let mut unfinished: HashMap<SessionId, (RecordingKind, Milestone)> = HashMap::new();
    let mut leaves = Leaves::open(&shared.layout)?;
    while let Some((_, leaf)) = leaves.next().map_err(at(&shared.layout.leaves()))? {
        let Some(leaf) = leaf else { continue };
        let kind = match leaf.kind {
            LeafKind::SessionOpened | LeafKind::SessionProgress => RecordingKind::Session,
            LeafKind::GatewayOpened | LeafKind::GatewayProgress => RecordingKind::Gateway,
            LeafKind::SessionClosed | LeafKind::GatewayClosed => {
                known.insert(leaf.session);
                unfinished.remove(&leaf.session);
                continue;
            }
            LeafKind::Broken => continue,
        };
        if known.insert(leaf.session) {
            unfinished.insert(leaf.session, (kind, Milestone::default()));
        }
        // One that is known and is not here has ended: two threads may log its progress and its end in either order.
        if let Some((_, milestone)) = unfinished.get_mut(&leaf.session) {
            milestone.take(&leaf);
        }
    }
    let mut todo: Vec<Unfinished> = unfinished
        .into_iter()
        .map(|(session, (kind, milestone))| Unfinished { kind, session, milestone: Some(milestone) })
        .collect();
    for (kind, session) in shared.layout.recordings()? {
        if !known.contains(&session) {
            todo.push(Unfinished { kind, session, milestone: None });
        }
    }
    todo.sort_unstable_by_key(|left| left.session);
    for left in todo {
        recover_one(shared, &left, now, &mut report)?;
    }
    Ok(report)
}

/// A recording without an end.
pub(super) struct Unfinished {
    pub(super) kind: RecordingKind,
    pub(super) session: SessionId,
    /// What the log knows of it; `None` where it does not even know of its beginning.
    pub(super) milestone: Option<Milestone>,
}

/// Finishes one recording.
pub(super) fn recover_one(
    shared: &Arc<Shared>,
    left: &Unfinished,
    now: Timestamp,
    report: &mut RecoveryReport,
) -> Result<(), JournalError> {
    let Unfinished { kind, session, milestone } = *left;
    let (has_leaf, mut milestone) = (milestone.is_some(), milestone.unwrap_or_default());
    let path = shared.layout.recording(kind, session);
    let file = match File::open(&path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            report.damaged.push((session, whole(DamageKind::Deleted, "the file is gone")));
            return Ok(());
        }
        Err(error) => return Err(at(&path)(error)),
    };
    let mut reader = match RecordingReader::new(BufReader::new(file), Some(&shared.keys)) {
        Ok(reader) => reader,
        // No frame was ever written, and the log does not know the file: nothing of it counted.
        Err(ReadError::Damaged(damage)) if damage.kind == DamageKind::Torn && !has_leaf => {
            std::fs::remove_file(&path).map_err(at(&path))?;
            report.torn.push((session, damage));
            return Ok(());
        }
        Err(ReadError::Damaged(damage)) => {
            report.damaged.push((session, damage));
            return Ok(());
        }
        Err(ReadError::Io(error)) => return Err(at(&path)(error)),
        Err(ReadError::Key(error)) => return Err(error.into()),
    };
    let header = *reader.header();
    if header.session != session || header.kind != kind {
        report.damaged.push((session, whole(DamageKind::Altered, "the file is another recording's")));
        return Ok(());
    }
    let damage = loop {
        match reader.next_events() {
            Ok(Some(_)) => {
                if let Err(damage) = milestone.pass(reader.end()) {
                    break Some(damage);
                }
            }
            Ok(None) => break None,
            Err(ReadError::Damaged(damage)) => break Some(damage),
            Err(ReadError::Io(error)) => return Err(at(&path)(error)),
            Err(ReadError::Key(error)) => return Err(error.into()),
        }
    };
    let end = reader.end().clone();
    // What the log knew of was on the disk: no crash takes it off, so what is left is kept for `verify` to name.
    let damage = match milestone.missed(&end) {
        Some(missed) if damage.as_ref().is_none_or(|damage| damage.kind == DamageKind::Torn) => Some(missed),
        _ => damage,
    };
    let length = std::fs::metadata(&path).map_err(at(&path))?.len();
    let torn_bytes = length.saturating_sub(end.bytes);
    if let Some(damage) = damage {
        if damage.kind != DamageKind::Torn && !ends_in_zeros(&path, end.bytes, length).map_err(at(&path))? {
            report.damaged.push((session, damage));
            return Ok(());
        }
        report.torn.push((session, Damage { kind: DamageKind::Torn, ..damage }));
    }

    let file = OpenOptions::new().append(true).open(&path).map_err(at(&path))?;
    file.set_len(end.bytes).map_err(at(&path))?;
    if !has_leaf {
        shared.log().push(&opened_leaf(&header), now)?;
    }
    finish(shared, &header, end, file, torn_bytes, now)?;
    report.finished.push(session);
    Ok(())
}

fn finish(
    shared: &Arc<Shared>,
    header: &FileHeader,
    end: lockgate_record::ChainEnd,
    file: File,
    torn_bytes: u64,
    now: Timestamp,
) -> Result<(), JournalError> {
    let appender = Appender::new(file, end.bytes, shared.options.durability);
    let sink = Box::new(FileSink::reopened(Arc::clone(shared), *header, appender));
    let mut random = [0; 4];
    aws_lc_rs::rand::fill(&mut random).map_err(|_| lockgate_record::KeyError::Unusable)?;
    // Never 0: that is the epoch of a file's first writer.
    let epoch = u32::from_le_bytes(random) | 1;
    let options = shared.options.recorder;
    let mut recorder =
        SessionRecorder::resume(&shared.keys, header, end, epoch, sink, Arc::clone(&shared.buffers), options)?;
    recorder.recover("the recording had no end", torn_bytes, now).map_err(|error| match error {
        lockgate_record::RecordError::Sink(error) => JournalError::Sink(error),
        lockgate_record::RecordError::Key(error) => JournalError::Key(error),
        other => JournalError::Sink(lockgate_record::SinkError::Failed(other.to_string())),
    })
}

fn whole(kind: DamageKind, detail: &str) -> Damage {
    Damage { kind, seq: 0, offset: 0, detail: detail.to_owned() }
}

/// Whether the file's last bytes are zeros, as where a power cut came between growing the file and filling it. Eight
/// zeros are never the end of a sound frame but by a chance of 2^-64.
fn ends_in_zeros(path: &Path, from: u64, length: u64) -> io::Result<bool> {
    let start = length.saturating_sub(8).max(from);
    if length.saturating_sub(start) < 8 {
        return Ok(false);
    }
    let mut file = File::open(path)?;
    file.seek(SeekFrom::Start(start))?;
    let mut tail = [1; 8];
    file.read_exact(&mut tail)?;
    Ok(tail == [0; 8])
}
