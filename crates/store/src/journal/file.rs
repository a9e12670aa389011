//! One recording's file as a [`Sink`], and the appending that the log of leaves shares with it.
//!
//! The rule for a failed write: cut the file back to its last good length, say no, and be ready for the next try. The
//! rule for a failed sync: never say yes again on that file, because the kernel may have dropped the pages and a later
//! sync would succeed without them.

use super::progress::Progress;
use super::{Durability, Shared};
use lockgate_record::{FILE_HEADER_BYTES, FileHeader, Head, Leaf, LeafKind, RecordingKind, Segment, Sink, SinkError};
use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, IoSlice, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;
use std::sync::Arc;

/// What an I/O error means to a recorder.
pub(super) fn sink_error(error: &io::Error) -> SinkError {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge => SinkError::NoSpace,
        _ => SinkError::Failed(error.to_string()),
    }
}

/// A file that only grows, and by whole records.
pub(super) struct Appender {
    file: File,
    good_bytes: u64,
    durability: Durability,
    health: Health,
}

enum Health {
    Sound,
    /// Something of a failed write may stand behind the good length.
    Torn,
    Poisoned(String),
}

impl Appender {
    pub(super) const fn new(file: File, good_bytes: u64, durability: Durability) -> Self {
        Appender { file, good_bytes, durability, health: Health::Sound }
    }

    /// Whether the file takes another record; what a failed write left behind is taken off first.
    pub(super) fn accepts(&mut self) -> Result<(), SinkError> {
        match &self.health {
            Health::Sound => Ok(()),
            Health::Torn => self.cut_back(),
            Health::Poisoned(why) => Err(SinkError::Poisoned(why.clone())),
        }
    }

    /// Appends the parts as one record, whole or not at all.
    pub(super) fn append(&mut self, parts: [&[u8]; 2]) -> Result<(), SinkError> {
        self.accepts()?;
        if let Err(error) = write_all(&mut self.file, parts) {
            self.health = Health::Torn;
            // Where this fails too, the next append tries it again before it writes.
            let _ = self.cut_back();
            return Err(sink_error(&error));
        }
        let [first, second] = parts;
        let grown = u64::try_from(first.len().saturating_add(second.len())).unwrap_or(u64::MAX);
        self.good_bytes = self.good_bytes.saturating_add(grown);
        self.sync()
    }

    /// Takes the last record off again, because what belongs with it failed.
    pub(super) fn take_back(&mut self, bytes: u64) {
        self.good_bytes = self.good_bytes.saturating_sub(bytes);
        self.health = Health::Torn;
        let _ = self.cut_back();
    }

    fn cut_back(&mut self) -> Result<(), SinkError> {
        self.file.set_len(self.good_bytes).map_err(|error| sink_error(&error))?;
        self.health = Health::Sound;
        Ok(())
    }

    fn sync(&mut self) -> Result<(), SinkError> {
        if self.durability == Durability::Fsync
            && let Err(error) = self.file.sync_data()
        {
            let why = format!("a sync failed: {error}");
            self.health = Health::Poisoned(why.clone());
            return Err(SinkError::Poisoned(why));
        }
        Ok(())
    }
}

fn write_all(file: &mut File, [mut first, mut second]: [&[u8]; 2]) -> io::Result<()> {
    while !(first.is_empty() && second.is_empty()) {
        let written = if first.is_empty() {
            file.write(second)
        } else {
            file.write_vectored(&[IoSlice::new(first), IoSlice::new(second)])
        };
        match written {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(count) => {
                let of_second = count.saturating_sub(first.len());
                first = first.get(count..).unwrap_or_default();
                second = second.get(of_second..).unwrap_or_default();
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Makes what was created in a folder outlive a power cut.
pub(super) fn sync_folder_of(path: &Path) -> io::Result<()> {
    path.parent().map_or(Ok(()), |folder| File::open(folder)?.sync_all())
}

/// The file of one recording.
pub(super) struct FileSink {
    shared: Arc<Shared>,
    header: FileHeader,
    state: State,
}

enum State {
    /// Nothing was recorded yet, so there is no file.
    Unborn,
    Live(Appender, Option<Arc<Progress>>),
    /// The leaf of its end is in the log.
    Finished,
}

impl FileSink {
    pub(super) const fn new(shared: Arc<Shared>, header: FileHeader) -> Self {
        FileSink { shared, header, state: State::Unborn }
    }

    /// For a file that exists, with its leaf, and is sound.
    pub(super) const fn reopened(shared: Arc<Shared>, header: FileHeader, appender: Appender) -> Self {
        FileSink { shared, header, state: State::Live(appender, None) }
    }

    /// Makes the file with its header and first frame, then its leaf; neither without the other.
    fn bear(&self, frame: &[u8]) -> Result<Appender, SinkError> {
        let path = self.shared.layout.recording(self.header.kind, self.header.session);
        let durability = self.shared.options.durability;
        let file = create(&path).map_err(|error| sink_error(&error))?;
        let mut appender = Appender::new(file, 0, durability);
        let kept = appender.append([&self.header.encode(), frame]).and_then(|()| {
            if durability == Durability::Fsync {
                sync_folder_of(&path).map_err(|error| sink_error(&error))?;
            }
            Ok(())
        });
        let outcome = kept.map_err(|error| (error, true)).and_then(|()| {
            let logged = self.shared.log().push(&opened_leaf(&self.header), self.header.began);
            // A leaf whose sync failed may be in the log all the same: then its recording has to be there.
            logged.map_err(|error| (error.clone(), !matches!(error, SinkError::Poisoned(_))))
        });
        match outcome {
            Ok(()) => Ok(appender),
            Err((error, remove)) => {
                if remove {
                    // Nothing of it counts, so nothing of it stays. Where it cannot be removed, recovery finds it.
                    let _ = std::fs::remove_file(&path);
                }
                Err(error)
            }
        }
    }
}

impl Sink for FileSink {
    fn append(&mut self, frame: &[u8], head: &Head) -> Result<(), SinkError> {
        match &mut self.state {
            State::Live(appender, progress) => {
                appender.append([frame, &[]])?;
                if let Some(progress) = progress
                    && let Some(leaf) = progress.grew(head, appender.good_bytes)
                {
                    self.shared.log_progress(progress, &leaf);
                }
                Ok(())
            }
            State::Unborn => {
                let appender = self.bear(frame)?;
                let progress = Arc::new(Progress::new(self.header, *head, appender.good_bytes));
                self.shared.open().insert(self.header.session, Arc::clone(&progress));
                self.state = State::Live(appender, Some(progress));
                Ok(())
            }
            State::Finished => Err(SinkError::Failed("it is finished".to_owned())),
        }
    }

    fn finish(&mut self, segment: &Segment) -> Result<(), SinkError> {
        let kind = match self.header.kind {
            RecordingKind::Session => LeafKind::SessionClosed,
            RecordingKind::Gateway => LeafKind::GatewayClosed,
        };
        let Segment { hash, events, bytes, time } = *segment;
        self.shared.log().push(&Leaf { kind, session: self.header.session, time, events, bytes, hash }, time)?;
        self.state = State::Finished;
        self.shared.open().remove(&self.header.session);
        Ok(())
    }
}

/// A recorder that is dropped without an end (its task was cut off, or its end found no space) leaves word, and the next
/// tick ends the recording. One whose sync failed is left for the next start.
impl Drop for FileSink {
    fn drop(&mut self) {
        if let State::Live(appender, _) = &self.state {
            self.shared.open().remove(&self.header.session);
            if !matches!(appender.health, Health::Poisoned(_)) {
                self.shared.orphans().push(self.header);
            }
        }
    }
}

/// The leaf of a recording's beginning.
pub(super) fn opened_leaf(header: &FileHeader) -> Leaf {
    Leaf {
        kind: match header.kind {
            RecordingKind::Session => LeafKind::SessionOpened,
            RecordingKind::Gateway => LeafKind::GatewayOpened,
        },
        session: header.session,
        time: header.began,
        events: 0,
        bytes: u64::try_from(FILE_HEADER_BYTES).unwrap_or(u64::MAX),
        hash: header.hash(),
    }
}

fn create(path: &Path) -> io::Result<File> {
    let open = || OpenOptions::new().append(true).create_new(true).mode(0o600).open(path);
    match open() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            // The first session of a day.
            let folder = path.parent().unwrap_or(path);
            DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
            sync_folder_of(folder)?;
            open()
        }
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `fdatasync` fails on a character device (EINVAL): the nearest thing to a failing disk that every machine has.
    #[test]
    fn after_a_failed_sync_nothing_succeeds_again() {
        let file = OpenOptions::new().append(true).open("/dev/null").unwrap();
        let mut appender = Appender::new(file, 0, Durability::Fsync);
        assert!(matches!(appender.append([b"frame", b""]), Err(SinkError::Poisoned(_))));
        appender.durability = Durability::None;
        for _ in 0..3 {
            assert!(matches!(appender.append([b"frame", b""]), Err(SinkError::Poisoned(_))));
        }
    }

    #[test]
    fn a_full_device_is_no_space_and_is_tried_again() {
        let file = OpenOptions::new().append(true).open("/dev/full").unwrap();
        let mut appender = Appender::new(file, 0, Durability::None);
        for _ in 0..3 {
            assert!(appender.append([b"frame", b""]).is_err());
            // A device cannot be cut back, so the appender must keep refusing rather than write behind a torn record.
            assert!(matches!(appender.health, Health::Torn));
        }
        assert_eq!(sink_error(&io::Error::from(io::ErrorKind::StorageFull)), SinkError::NoSpace);
        assert_eq!(sink_error(&io::Error::from(io::ErrorKind::FileTooLarge)), SinkError::NoSpace);
    }
}
