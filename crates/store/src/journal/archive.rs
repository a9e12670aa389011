//! Where recordings lie, and reading them. Needs no lock: a live gateway's recordings can be read while it writes.

use super::{JournalError, at};
use crate::lock::Lock;
use lockgate_core::SessionId;
use lockgate_record::{ReadError, Recorded, RecordingKeys, RecordingKind, RecordingReader};
use std::fs::{DirBuilder, File};
use std::io::{self, BufReader};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::vec;

/// The paths of a journal.
#[derive(Debug, Clone)]
pub(super) struct Layout {
    root: PathBuf,
}

const EXTENSION: &str = "lgr";

impl Layout {
    pub(super) fn new(data_dir: &Path) -> Self {
        Layout { root: data_dir.join("recordings") }
    }

    pub(super) fn create(&self) -> Result<(), JournalError> {
        for folder in [self.log_dir(), self.root.join("gateway")] {
            DirBuilder::new().recursive(true).mode(0o700).create(&folder).map_err(at(&folder))?;
        }
        Ok(())
    }

    /// Takes the lock that one writer at a time may hold.
    pub(super) fn lock(&self) -> Result<Lock, JournalError> {
        let path = self.log_dir().join("lock");
        Lock::take(&path).map_err(at(&path))?.ok_or_else(|| JournalError::InUse(self.root.clone()))
    }

    fn log_dir(&self) -> PathBuf {
        self.root.join("log")
    }

    pub(super) fn leaves(&self) -> PathBuf {
        self.log_dir().join("leaves")
    }

    pub(super) fn checkpoint(&self) -> PathBuf {
        self.log_dir().join("checkpoint")
    }

    /// A file that is written and removed again to see whether there is room.
    pub(super) fn probe(&self) -> PathBuf {
        self.log_dir().join("probe")
    }

    /// The file of a recording. The day is that of its id, so that the id alone leads to it.
    pub(super) fn recording(&self, kind: RecordingKind, session: SessionId) -> PathBuf {
        let folder = match kind {
            RecordingKind::Gateway => "gateway".to_owned(),
            RecordingKind::Session => day(session),
        };
        let mut path = self.root.join(folder);
        path.push(format!("{session}.{EXTENSION}"));
        path
    }

    /// Every file that has the name of a recording and lies where it belongs, by id.
    pub(super) fn recordings(&self) -> Result<Vec<(RecordingKind, SessionId)>, JournalError> {
        let mut found = Vec::new();
        for folder in folders(&self.root)? {
            let kind = match folder.file_name().and_then(|name| name.to_str()) {
                Some("log") | None => continue,
                Some("gateway") => RecordingKind::Gateway,
                Some(_) => RecordingKind::Session,
            };
            for entry in std::fs::read_dir(&folder).map_err(at(&folder))? {
                let path = entry.map_err(at(&folder))?.path();
                let stem = path.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
                if let Ok(session) = stem.parse()
                    && path == self.recording(kind, session)
                {
                    found.push((kind, session));
                }
            }
        }
        found.sort_unstable_by_key(|(_, session)| *session);
        Ok(found)
    }
}

fn day(session: SessionId) -> String {
    let time = session.timestamp().to_string();
    time.split_once('T').map_or(time.clone(), |(day, _)| day.to_owned())
}

fn folders(root: &Path) -> Result<Vec<PathBuf>, JournalError> {
    let entries = match std::fs::read_dir(root) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(at(root)(error)),
    };
    let mut folders = Vec::new();
    for entry in entries {
        let entry = entry.map_err(at(root))?;
        if entry.file_type().map_err(at(root))?.is_dir() {
            folders.push(entry.path());
        }
    }
    Ok(folders)
}

/// A recording on disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordingEntry {
    /// Its id.
    pub session: SessionId,
    /// Of a session, or of the gateway itself.
    pub kind: RecordingKind,
    /// Its file.
    pub path: PathBuf,
    /// Its length in bytes.
    pub bytes: u64,
}

/// The recordings of a data directory, for reading.
#[derive(Debug, Clone)]
pub struct Archive {
    layout: Layout,
}

impl Archive {
    /// The recordings in `data_dir`.
    pub fn new(data_dir: &Path) -> Self {
        Archive { layout: Layout::new(data_dir) }
    }

    pub(super) const fn from_layout(layout: Layout) -> Self {
        Archive { layout }
    }

    /// Every recording, oldest first.
    pub fn list(&self) -> Result<Vec<RecordingEntry>, JournalError> {
        let mut entries = Vec::new();
        for (kind, session) in self.layout.recordings()? {
            let path = self.layout.recording(kind, session);
            let bytes = std::fs::metadata(&path).map_err(at(&path))?.len();
            entries.push(RecordingEntry { session, kind, path, bytes });
        }
        Ok(entries)
    }

    /// The sessions that have a recording, oldest first.
    pub fn sessions(&self) -> Result<Vec<SessionId>, JournalError> {
        let recordings = self.layout.recordings()?;
        Ok(recordings.into_iter().filter(|(kind, _)| *kind == RecordingKind::Session).map(|(_, id)| id).collect())
    }

    /// The events of a recording, in order. The iterator ends after the first error; a recording that is being written
    /// may end in [`lockgate_record::DamageKind::Torn`].
    pub fn read(&self, keys: &RecordingKeys, session: SessionId) -> Result<Events, JournalError> {
        for kind in [RecordingKind::Session, RecordingKind::Gateway] {
            let path = self.layout.recording(kind, session);
            match File::open(&path) {
                Ok(file) => return Ok(Events { state: State::start(file, keys) }),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(at(&path)(error)),
            }
        }
        Err(JournalError::NoRecording(session))
    }
}

/// The events of one recording. See [`Archive::read`].
pub struct Events {
    state: State,
}

enum State {
    Reading {
        reader: Box<RecordingReader<BufReader<File>>>,
        ready: vec::IntoIter<Recorded<'static>>,
    },
    /// Everything there is has been read.
    Paused(Box<RecordingReader<BufReader<File>>>),
    Broken(ReadError),
    Ended,
}

impl State {
    fn start(file: File, keys: &RecordingKeys) -> Self {
        match RecordingReader::new(BufReader::new(file), Some(keys)) {
            Ok(reader) => State::reading(Box::new(reader)),
            Err(error) => State::Broken(error),
        }
    }

    fn reading(reader: Box<RecordingReader<BufReader<File>>>) -> Self {
        State::Reading { reader, ready: Vec::new().into_iter() }
    }
}

impl Events {
    /// After the last event: looks whether more has been recorded since, for whoever follows a session that lives. False
    /// where nothing more can come.
    pub fn look_again(&mut self) -> io::Result<bool> {
        if let State::Paused(mut reader) = std::mem::replace(&mut self.state, State::Ended)
            && reader.again()?
        {
            self.state = State::reading(reader);
            return Ok(true);
        }
        Ok(false)
    }
}

impl Iterator for Events {
    type Item = Result<Recorded<'static>, ReadError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            match std::mem::replace(&mut self.state, State::Ended) {
                State::Ended => return None,
                State::Broken(error) => return Some(Err(error)),
                State::Paused(reader) => {
                    self.state = State::Paused(reader);
                    return None;
                }
                State::Reading { mut reader, mut ready } => {
                    if let Some(event) = ready.next() {
                        self.state = State::Reading { reader, ready };
                        return Some(Ok(event));
                    }
                    match reader.next_events() {
                        Ok(None) => self.state = State::Paused(reader),
                        Ok(Some(events)) => self.state = State::Reading { reader, ready: events.into_iter() },
                        Err(error) => {
                            self.state = State::Paused(reader);
                            return Some(Err(error));
                        }
                    }
                }
            }
        }
    }
}
