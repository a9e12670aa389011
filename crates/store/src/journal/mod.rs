//! The journal: recordings as files, and the Merkle log over them.
//!
//! ```text
//! data_dir/keys/recordings.key        encryption and signing keys, mode 0600
//! data_dir/keys/recordings.pub        the public key, enough to verify
//! data_dir/recordings/2026-11-21/01KAJ….lgr   one session
//! data_dir/recordings/gateway/01KAJ….lgr      what happened to the gateway itself
//! data_dir/recordings/log/leaves      a leaf for each beginning and each end, and some between
//! data_dir/recordings/log/checkpoint  size and root of the log, signed
//! ```
//!
//! Writing is one plain `write(2)` in append mode, on the caller's thread: when it has returned, the kernel has the bytes
//! and they outlive the process. With [`Durability::Fsync`] they also outlive the machine. There are no background
//! threads here; [`Journal::tick`] is called by whoever keeps time. What events mean is `lockgate-record`'s business.

mod archive;
mod file;
mod keys;
mod log;
mod progress;
mod recover;
#[cfg(test)]
mod tests;
mod verify;

pub use archive::{Archive, Events, RecordingEntry};
pub use keys::{expect_keys, load_keys, load_or_create_keys, load_public_key};
pub use recover::RecoveryReport;
pub use verify::{Finding, VerifyReport, newest_checkpoint, verify};

use crate::lock::Lock;
use archive::Layout;
use file::FileSink;
use lockgate_core::limits::RECORD_CHECKPOINT_MS_MIN;
use lockgate_core::{SessionId, Timestamp};
use lockgate_record::{
    FileHeader, KeyError, RecorderOptions, RecordingBuffers, RecordingKeys, RecordingKind, SessionRecorder, SinkError,
};
use log::LeafLog;
use progress::{Milestone, Progress};
use recover::Unfinished;
use std::collections::HashMap;
use std::fs::OpenOptions;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// What must fit the disk for new sessions to be welcome.
const PROBE_BYTES: usize = 64 * 1024;

/// When a recorded event counts as kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Durability {
    /// When the kernel has it: it outlives the process, not a power cut.
    #[default]
    None,
    /// When the disk has it (`fdatasync`).
    Fsync,
}

/// What may be set about the journal.
#[derive(Debug, Clone, Copy, Default)]
pub struct JournalOptions {
    /// When a recorded event counts as kept.
    pub durability: Durability,
    /// Limits of each recording.
    pub recorder: RecorderOptions,
}

/// The journal cannot do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// A file or folder cannot be used.
    #[error("`{path}`: {source}", path = path.display())]
    Io {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Another process writes this journal.
    #[error("the recordings in `{}` are in use by another gateway", .0.display())]
    InUse(PathBuf),
    /// A key file does not hold what it must.
    #[error("the key file `{path}` is damaged: {detail}", path = path.display())]
    KeyFile {
        /// Which.
        path: PathBuf,
        /// What is wrong with it.
        detail: &'static str,
    },
    /// The key file of existing recordings is not there.
    #[error("`{}` is missing, but there are recordings made with it: restore it from a backup", .0.display())]
    KeyGone(PathBuf),
    /// The keys do not work.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The log could not be written.
    #[error(transparent)]
    Sink(#[from] SinkError),
    /// There is no such recording.
    #[error("there is no recording of session {0}")]
    NoRecording(SessionId),
}

/// Adds the path to an I/O error.
fn at(path: &Path) -> impl FnOnce(io::Error) -> JournalError + '_ {
    move |source| JournalError::Io { path: path.to_owned(), source }
}

/// The gateway's journal, open for writing. Clones share it; one process at a time may hold it.
#[derive(Clone)]
pub struct Journal {
    shared: Arc<Shared>,
}

/// What all recordings of a journal have in common.
struct Shared {
    layout: Layout,
    keys: Arc<RecordingKeys>,
    options: JournalOptions,
    buffers: Arc<RecordingBuffers>,
    log: Mutex<LeafLog>,
    /// Recordings that were dropped without an end, to be ended by the next tick.
    orphans: Mutex<Vec<FileHeader>>,
    /// How far recordings have come that have begun and not ended.
    open: Mutex<HashMap<SessionId, Arc<Progress>>>,
    /// Held for as long as the journal is, so that no second process writes it.
    _lock: Lock,
}

impl Shared {
    fn log(&self) -> MutexGuard<'_, LeafLog> {
        self.log.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn open(&self) -> MutexGuard<'_, HashMap<SessionId, Arc<Progress>>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn orphans(&self) -> MutexGuard<'_, Vec<FileHeader>> {
        self.orphans.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Journal {
    /// Opens the journal in `data_dir`, making its folders with mode 0700, and repairs the end of the log. Call
    /// [`Journal::recover`] next.
    pub fn open(
        data_dir: &Path,
        keys: Arc<RecordingKeys>,
        options: JournalOptions,
        now: Timestamp,
    ) -> Result<Self, JournalError> {
        let layout = Layout::new(data_dir);
        layout.create()?;
        let lock = layout.lock()?;
        let log = LeafLog::open(&layout, &keys, options.durability, now)?;
        let shared = Shared {
            layout,
            keys,
            options,
            buffers: Arc::new(RecordingBuffers::new()),
            log: Mutex::new(log),
            orphans: Mutex::new(Vec::new()),
            open: Mutex::new(HashMap::new()),
            _lock: lock,
        };
        Ok(Journal { shared: Arc::new(shared) })
    }

    /// A recorder for a new session. Its file is made with its first event, before that call returns.
    pub fn session(&self, session: SessionId, now: Timestamp) -> Result<SessionRecorder, JournalError> {
        self.recorder(RecordingKind::Session, session, now)
    }

    /// A recorder for what happens to the gateway itself: one from each start to the stop, under an id of its own.
    pub fn gateway_log(&self, id: SessionId, now: Timestamp) -> Result<SessionRecorder, JournalError> {
        self.recorder(RecordingKind::Gateway, id, now)
    }

    fn recorder(
        &self,
        kind: RecordingKind,
        session: SessionId,
        now: Timestamp,
    ) -> Result<SessionRecorder, JournalError> {
        let header = FileHeader { kind, session, began: now };
        let sink = Box::new(FileSink::new(Arc::clone(&self.shared), header));
        let shared = &self.shared;
        Ok(SessionRecorder::new(&shared.keys, &header, sink, Arc::clone(&shared.buffers), shared.options.recorder)?)
    }

    /// Finishes what a dead gateway left behind: cuts torn tails, ends unfinished sessions as `aborted`, adds leaves that
    /// are missing. What looks like somebody's work is reported and left as it is.
    pub fn recover(&self, now: Timestamp) -> Result<RecoveryReport, JournalError> {
        recover::recover_all(&self.shared, now)
    }

    /// To be called about every second: logs how far open recordings have come, ends those that were dropped without an
    /// end, such as those whose end did not fit the disk, and signs what the log has gained.
    pub fn tick(&self, now: Timestamp) -> Result<RecoveryReport, JournalError> {
        let orphans = std::mem::take(&mut *self.shared.orphans());
        let mut report = RecoveryReport::default();
        for header in orphans {
            let left = Unfinished { kind: header.kind, session: header.session, milestone: Some(Milestone::default()) };
            if let Err(error) = recover::recover_one(&self.shared, &left, now, &mut report) {
                let mut orphans = self.shared.orphans();
                if !orphans.contains(&header) {
                    orphans.push(header);
                }
                tracing::warn!(session = %header.session, %error, "a recording cannot be finished yet");
            }
        }
        progress::log_aged(&self.shared, now)?;
        self.shared.log().sign_if_due(now, RECORD_CHECKPOINT_MS_MIN)?;
        Ok(report)
    }

    /// Signs the log as it stands. The journal may still be used afterwards.
    pub fn shutdown(&self, now: Timestamp) -> Result<(), JournalError> {
        self.tick(now)?;
        progress::log_due(&self.shared, now, 0)?;
        Ok(self.shared.log().sign_if_due(now, 0)?)
    }

    /// Whether a new session could be recorded now: the log takes leaves, and the disk has room.
    ///
    /// # Errors
    /// What stands against it, in words for whoever runs the gateway.
    pub fn accepts(&self) -> Result<(), SinkError> {
        self.shared.log().accepts()?;
        let probe = self.shared.layout.probe();
        let written = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&probe)
            .and_then(|mut file| file.write_all(&[0; PROBE_BYTES]));
        let removed = std::fs::remove_file(&probe);
        written.and(removed).map_err(|error| file::sink_error(&error))
    }

    /// The recordings, for reading.
    pub fn archive(&self) -> Archive {
        Archive::from_layout(self.shared.layout.clone())
    }

    /// The keys it writes with.
    pub fn keys(&self) -> &Arc<RecordingKeys> {
        &self.shared.keys
    }
}
