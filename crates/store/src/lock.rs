//! A lock that one process at a time may hold on a file or a folder.

use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// Released when dropped or when the process ends.
#[derive(Debug)]
pub(crate) struct Lock {
    file: File,
}

impl Lock {
    /// Makes the file if it is missing; `None` while somebody else holds it.
    pub(crate) fn take(path: &Path) -> io::Result<Option<Self>> {
        Lock::of(OpenOptions::new().append(true).create(true).mode(0o600).open(path)?)
    }

    /// The same on a folder, which has to be there.
    pub(crate) fn take_folder(path: &Path) -> io::Result<Option<Self>> {
        Lock::of(File::open(path)?)
    }

    fn of(file: File) -> io::Result<Option<Self>> {
        match file.try_lock() {
            Ok(()) => Ok(Some(Lock { file })),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        // To close our descriptor is not enough: a child between fork and exec has a copy of it, and with it the lock.
        let _ = self.file.unlock();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_ends_with_its_holder_although_the_descriptor_was_copied() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lock");
        let lock = Lock::take(&path).unwrap().unwrap();
        assert!(Lock::take(&path).unwrap().is_none());
        let copy = lock.file.try_clone().unwrap();
        drop(lock);
        assert!(Lock::take(&path).unwrap().is_some());
        drop(copy);
    }
}
