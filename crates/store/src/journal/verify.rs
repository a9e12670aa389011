//! Proves a journal unaltered, or names the first thing that is not as it was written. Offline: it needs the data
//! directory and the public key; with the encryption keys it also opens every frame.
//!
//! Three things are held against each other: the chain inside each recording, the leaves of the Merkle log (a recording's
//! beginning and end), and the signed checkpoint over the leaves. A checkpoint kept elsewhere is an anchor: it finds even
//! a log that was cut back together with its checkpoint.

use super::archive::Layout;
use super::log::{Leaves, read_checkpoint};
use super::progress::Milestone;
use super::{JournalError, at};
use lockgate_core::SessionId;
use lockgate_record::{
    Checkpoint, Damage, DamageKind, Leaf, LeafKind, MerkleTree, ReadError, RecordingKeys, RecordingKind,
    RecordingPublicKey, RecordingReader,
};
use std::collections::{BTreeMap, HashSet};
use std::fmt;
use std::fs::File;
use std::io::{self, BufReader};
use std::path::Path;

/// Findings that are listed; the rest is counted.
const FINDINGS_MAX: usize = 1_000;

/// Something that is not as it was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// The recording; `None` where it is the log itself.
    pub session: Option<SessionId>,
    /// What it is, and at which event.
    pub damage: Damage,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.session {
            Some(session) => write!(f, "session {session}: {}", self.damage),
            None => write!(f, "log of recordings {}: {}", self.damage.kind, self.damage.detail),
        }
    }
}

/// What verification found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct VerifyReport {
    /// Recordings of sessions.
    pub sessions: u64,
    /// Recordings of the gateway itself.
    pub gateway_logs: u64,
    /// Recordings that have no end: their session lives, or the gateway died and has not come back.
    pub open: u64,
    /// Events whose place in a chain was checked.
    pub events: u64,
    /// Signed statements that hold: the log's own checkpoint and anchors.
    pub checkpoints: u64,
    /// Leaves in the log.
    pub leaves: u64,
    /// Leaves newer than the checkpoint: at most a second's worth, unless the gateway died.
    pub unsigned_leaves: u64,
    /// Events of open recordings that are newer than what the log knows of them, so that nothing would miss them yet if
    /// they were cut off: what came in the last [`RECORD_PROGRESS_MS`](lockgate_core::limits::RECORD_PROGRESS_MS), unless
    /// the gateway died.
    pub unlogged_events: u64,
    /// What is wrong, in order: the log first, then recordings by age. At most 1,000.
    pub findings: Vec<Finding>,
    /// Findings beyond those listed.
    pub findings_unlisted: u64,
    /// Open recordings whose last write was cut short, as a crash does, and nothing of which was forwarded. Not findings.
    pub torn: Vec<Finding>,
}

impl VerifyReport {
    /// Whether everything is as it was written.
    pub const fn is_sound(&self) -> bool {
        self.findings.is_empty()
    }

    /// The first thing that is not as it was written.
    pub fn first_bad(&self) -> Option<&Finding> {
        self.findings.first()
    }

    fn found(&mut self, session: Option<SessionId>, damage: Damage) {
        if self.findings.len() < FINDINGS_MAX {
            self.findings.push(Finding { session, damage });
        } else {
            self.findings_unlisted = self.findings_unlisted.saturating_add(1);
        }
    }

    fn found_in_log(&mut self, kind: DamageKind, detail: String) {
        self.found(None, Damage { kind, seq: 0, offset: 0, detail });
    }
}

/// What the log says of one recording.
struct Entry {
    kind: RecordingKind,
    opened: Option<Leaf>,
    closed: Option<Leaf>,
    milestone: Milestone,
}

/// Verifies the journal in `data_dir`. With `keys`, frames are opened too. `anchors` are checkpoints kept elsewhere.
pub fn verify(
    data_dir: &Path,
    public: &RecordingPublicKey,
    keys: Option<&RecordingKeys>,
    anchors: &[String],
) -> Result<VerifyReport, JournalError> {
    let layout = Layout::new(data_dir);
    let mut report = VerifyReport::default();
    // In this order, so that what a live gateway adds meanwhile does not look like damage: files, checkpoint, leaves.
    let files = layout.recordings()?;
    let checkpoints = signed(&layout, public, anchors, &mut report)?;
    let entries = read_log(&layout, &checkpoints, &mut report)?;

    let unknown: Vec<_> = files.into_iter().filter(|(_, session)| !entries.contains_key(session)).collect();
    if !unknown.is_empty() {
        // A recording's file comes before its leaf; by now the leaf of one that was just beginning is there.
        let known = sessions_in_log(&layout)?;
        for (kind, session) in unknown.into_iter().filter(|(_, session)| !known.contains(session)) {
            check_unlogged(&layout, kind, session, &mut report)?;
        }
    }
    for (session, entry) in &entries {
        match entry.kind {
            RecordingKind::Session => report.sessions = report.sessions.saturating_add(1),
            RecordingKind::Gateway => report.gateway_logs = report.gateway_logs.saturating_add(1),
        }
        check_recording(&layout, *session, entry, keys, &mut report)?;
    }
    Ok(report)
}

/// The log's newest checkpoint as a signed note, to be kept elsewhere; `None` where there is none that `public` signed.
pub fn newest_checkpoint(data_dir: &Path, public: &RecordingPublicKey) -> Result<Option<String>, JournalError> {
    let note = read_checkpoint(&Layout::new(data_dir))?;
    Ok(note.filter(|note| Checkpoint::open(note, public).is_ok()))
}

/// The log's checkpoint and the anchors, as far as their signatures hold.
fn signed(
    layout: &Layout,
    public: &RecordingPublicKey,
    anchors: &[String],
    report: &mut VerifyReport,
) -> Result<Vec<(String, Checkpoint)>, JournalError> {
    let mut checkpoints = Vec::new();
    let own = read_checkpoint(layout)?;
    if own.is_none() {
        report.found_in_log(DamageKind::Unsigned, "the log has no checkpoint".to_owned());
    }
    let named = own
        .iter()
        .map(|note| ("the checkpoint".to_owned(), note))
        .chain(anchors.iter().enumerate().map(|(at, note)| (format!("anchor {}", at.saturating_add(1)), note)));
    for (name, note) in named {
        match Checkpoint::open(note, public) {
            Ok(checkpoint) => checkpoints.push((name, checkpoint)),
            Err(error) => report.found_in_log(DamageKind::Unsigned, format!("{name}: {error}")),
        }
    }
    Ok(checkpoints)
}

fn read_log(
    layout: &Layout,
    checkpoints: &[(String, Checkpoint)],
    report: &mut VerifyReport,
) -> Result<BTreeMap<SessionId, Entry>, JournalError> {
    let mut entries: BTreeMap<SessionId, Entry> = BTreeMap::new();
    let mut tree = MerkleTree::new();
    let mut leaves = Leaves::open(layout)?;
    let mut reached = vec![None; checkpoints.len()];
    loop {
        for ((_, checkpoint), root) in checkpoints.iter().zip(&mut reached) {
            if checkpoint.size == tree.size() {
                *root = Some(tree.root());
            }
        }
        let Some((bytes, leaf)) = leaves.next().map_err(at(&layout.leaves()))? else { break };
        let number = tree.size();
        tree.push(&bytes);
        let Some(leaf) = leaf else {
            report.found_in_log(DamageKind::Altered, format!("leaf {number} is not what was written"));
            continue;
        };
        let kind = match leaf.kind {
            LeafKind::SessionOpened | LeafKind::SessionProgress | LeafKind::SessionClosed => RecordingKind::Session,
            LeafKind::GatewayOpened | LeafKind::GatewayProgress | LeafKind::GatewayClosed => RecordingKind::Gateway,
            LeafKind::Broken => {
                let detail = format!(
                    "at {} the gateway found {} leaves where {} were signed with root {}",
                    leaf.time, leaf.bytes, leaf.events, leaf.hash
                );
                report.found_in_log(DamageKind::Truncated, detail);
                continue;
            }
        };
        let fresh = Entry { kind, opened: None, closed: None, milestone: Milestone::default() };
        let entry = entries.entry(leaf.session).or_insert(fresh);
        entry.milestone.take(&leaf);
        let again = match leaf.kind {
            LeafKind::SessionOpened | LeafKind::GatewayOpened => entry.opened.replace(leaf).is_some(),
            LeafKind::SessionClosed | LeafKind::GatewayClosed => entry.closed.replace(leaf).is_some(),
            LeafKind::SessionProgress | LeafKind::GatewayProgress | LeafKind::Broken => false,
        };
        if entry.kind != kind || again {
            report.found_in_log(DamageKind::Reordered, format!("leaf {number} says again what another leaf said"));
        }
    }
    report.leaves = tree.size();
    for ((name, checkpoint), root) in checkpoints.iter().zip(reached) {
        match root {
            Some(root) if root == checkpoint.root => report.checkpoints = report.checkpoints.saturating_add(1),
            Some(_) => {
                let detail = format!("the first {} leaves are not those that {name} signed", checkpoint.size);
                report.found_in_log(DamageKind::Altered, detail);
            }
            None => {
                let detail = format!("the log has {} leaves where {name} signed {}", tree.size(), checkpoint.size);
                report.found_in_log(DamageKind::Truncated, detail);
            }
        }
    }
    if let Some((_, own)) = checkpoints.first() {
        report.unsigned_leaves = tree.size().saturating_sub(own.size);
    }
    Ok(entries)
}

/// A file that the log does not know. The leaf of a beginning follows the first frame at once, and nothing is forwarded
/// before both are there: so one frame without a leaf is what a crash between the two leaves, and more is not.
fn check_unlogged(
    layout: &Layout,
    kind: RecordingKind,
    session: SessionId,
    report: &mut VerifyReport,
) -> Result<(), JournalError> {
    let path = layout.recording(kind, session);
    let file = match File::open(&path) {
        Ok(file) => file,
        // Taken back by a live gateway whose disk is full.
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(at(&path)(error)),
    };
    let begun = RecordingReader::new(BufReader::new(file), None).and_then(|mut reader| {
        let frames = (reader.next_frame()?, reader.next_frame()?);
        Ok(frames.1.is_none() && reader.header().session == session)
    });
    let finding = |kind, detail: &str| Finding {
        session: Some(session),
        damage: Damage { kind, seq: 0, offset: 0, detail: detail.to_owned() },
    };
    match begun {
        Ok(true) => report.torn.push(finding(DamageKind::Torn, "the gateway died before the log knew of it")),
        Err(ReadError::Damaged(damage)) if damage.kind == DamageKind::Torn && damage.seq == 0 => {
            report.torn.push(Finding { session: Some(session), damage });
        }
        Err(ReadError::Io(error)) => return Err(at(&path)(error)),
        Ok(false) | Err(ReadError::Damaged(_) | ReadError::Key(_)) => {
            let unlogged = finding(DamageKind::Unsigned, "the file is not in the log of recordings");
            report.found(unlogged.session, unlogged.damage);
        }
    }
    Ok(())
}

fn sessions_in_log(layout: &Layout) -> Result<HashSet<SessionId>, JournalError> {
    let mut known = HashSet::new();
    let mut leaves = Leaves::open(layout)?;
    while let Some((_, leaf)) = leaves.next().map_err(at(&layout.leaves()))? {
        known.extend(leaf.map(|leaf| leaf.session));
    }
    Ok(known)
}

fn check_recording(
    layout: &Layout,
    session: SessionId,
    entry: &Entry,
    keys: Option<&RecordingKeys>,
    report: &mut VerifyReport,
) -> Result<(), JournalError> {
    let path = layout.recording(entry.kind, session);
    let damaged = |kind, seq, offset, detail: &str| Damage { kind, seq, offset, detail: detail.to_owned() };
    if entry.closed.is_none() {
        report.open = report.open.saturating_add(1);
    }
    if entry.opened.is_none() {
        report.found(Some(session), damaged(DamageKind::Missing, 0, 0, "the log does not know its beginning"));
    }
    let file = match File::open(&path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            report.found(Some(session), damaged(DamageKind::Deleted, 0, 0, "the whole recording is gone"));
            return Ok(());
        }
        Err(error) => return Err(at(&path)(error)),
    };
    let outcome = follow(BufReader::with_capacity(256 * 1024, file), session, entry, keys, report);
    match outcome {
        Ok(()) => Ok(()),
        Err(ReadError::Damaged(damage)) if damage.kind == DamageKind::Torn => {
            if entry.closed.is_some() || damage.seq < entry.milestone.events() {
                report.found(Some(session), Damage { kind: DamageKind::Truncated, ..damage });
            } else {
                report.torn.push(Finding { session: Some(session), damage });
            }
            Ok(())
        }
        Err(ReadError::Damaged(damage)) => {
            report.found(Some(session), damage);
            Ok(())
        }
        Err(ReadError::Io(error)) => Err(at(&path)(error)),
        Err(ReadError::Key(error)) => Err(error.into()),
    }
}

/// Follows the chain to its end, then compares the end with the leaf.
fn follow(
    file: BufReader<File>,
    session: SessionId,
    entry: &Entry,
    keys: Option<&RecordingKeys>,
    report: &mut VerifyReport,
) -> Result<(), ReadError> {
    let damaged = |kind, seq, offset, detail: String| Err(ReadError::Damaged(Damage { kind, seq, offset, detail }));
    let mut reader = RecordingReader::new(file, keys)?;
    if reader.header().session != session || entry.opened.is_some_and(|leaf| leaf.hash != reader.header().hash()) {
        return damaged(DamageKind::Altered, 0, 0, "the file is another recording's".to_owned());
    }
    let mut milestone = entry.milestone;
    while let Some(info) = reader.next_frame()? {
        report.events = report.events.saturating_add(u64::from(info.events));
        milestone.pass(reader.end()).map_err(ReadError::Damaged)?;
    }
    let end = reader.end();
    if let Some(missed) = milestone.missed(end) {
        return Err(ReadError::Damaged(missed));
    }
    let Some(leaf) = &entry.closed else {
        let newer = end.next_seq.saturating_sub(milestone.events());
        report.unlogged_events = report.unlogged_events.saturating_add(newer);
        return Ok(());
    };
    if end.next_seq < leaf.events || end.bytes < leaf.bytes {
        let detail = format!("it ends before event {} where {} events were recorded", end.next_seq, leaf.events);
        return damaged(DamageKind::Truncated, end.next_seq, end.bytes, detail);
    }
    if (end.hash, end.next_seq, end.bytes) != (leaf.hash, leaf.events, leaf.bytes) {
        let detail = "its end is not the end that was logged".to_owned();
        return damaged(DamageKind::Altered, leaf.events.saturating_sub(1), end.bytes, detail);
    }
    Ok(())
}
