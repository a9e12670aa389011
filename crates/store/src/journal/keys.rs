//! The recording keys on disk: made at the first start, never shown, never replaced. Losing the key file makes earlier
//! recordings unreadable (not unverifiable), so a backup of `data_dir` must hold it.

use super::archive::Layout;
use super::{JournalError, at};
use lockgate_record::{RecordingKeys, RecordingPublicKey};
use std::fs::{DirBuilder, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use zeroize::Zeroizing;

/// The name that checkpoints carry.
const ORIGIN: &str = "lockgate/recordings";
const MAGIC: &[u8; 16] = b"lockgate-keys-1\n";
const KEY_FILE_BYTES: usize = 80;

fn secret_path(data_dir: &Path) -> PathBuf {
    data_dir.join("keys").join("recordings.key")
}

fn public_path(data_dir: &Path) -> PathBuf {
    data_dir.join("keys").join("recordings.pub")
}

/// Loads the keys in `data_dir/keys`, or makes them (mode 0600) where there are none and nothing was recorded yet.
pub fn load_or_create_keys(data_dir: &Path) -> Result<RecordingKeys, JournalError> {
    let path = secret_path(data_dir);
    match load_keys(data_dir) {
        Err(JournalError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => {}
        other => return other,
    }
    expect_keys(data_dir)?;
    let folder = data_dir.join("keys");
    DirBuilder::new().recursive(true).mode(0o700).create(&folder).map_err(at(&folder))?;
    let mut bytes = Zeroizing::new([0; KEY_FILE_BYTES]);
    let random = aws_lc_rs::rand::fill(bytes.as_mut_slice()).map_err(|_| io::Error::other("no randomness"));
    random.map_err(at(&path))?;
    if let Some(head) = bytes.get_mut(..MAGIC.len()) {
        head.copy_from_slice(MAGIC);
    }
    let keys = parse(&path, bytes.as_slice())?;
    // Under another name first: a crash must not leave half a key, and an existing key must never be written over.
    let fresh = folder.join("recordings.key.new");
    let mut file =
        OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&fresh).map_err(at(&fresh))?;
    file.write_all(bytes.as_slice()).and_then(|()| file.sync_all()).map_err(at(&fresh))?;
    std::fs::hard_link(&fresh, &path).and_then(|()| std::fs::remove_file(&fresh)).map_err(at(&path))?;
    let public = public_path(data_dir);
    std::fs::write(&public, format!("{}\n", keys.public())).map_err(at(&public))?;
    Ok(keys)
}

/// Where something was recorded the keys have to be there: others would make it unreadable, and sign a log that is not theirs.
/// Changes nothing, so that a start can ask before it opens anything.
pub fn expect_keys(data_dir: &Path) -> Result<(), JournalError> {
    let recorded = std::fs::metadata(Layout::new(data_dir).leaves()).is_ok_and(|leaves| leaves.len() > 0);
    if !recorded {
        return Ok(());
    }
    match load_keys(data_dir) {
        Err(JournalError::Io { path, source }) if source.kind() == io::ErrorKind::NotFound => {
            Err(JournalError::KeyGone(path))
        }
        other => other.map(drop),
    }
}

/// Loads the keys in `data_dir/keys`.
pub fn load_keys(data_dir: &Path) -> Result<RecordingKeys, JournalError> {
    let path = secret_path(data_dir);
    let mut bytes = Zeroizing::new(Vec::with_capacity(KEY_FILE_BYTES + 1));
    let file = OpenOptions::new().read(true).open(&path).map_err(at(&path))?;
    // One byte more than it may have, so that a longer file is seen.
    file.take(81).read_to_end(&mut bytes).map_err(at(&path))?;
    parse(&path, &bytes)
}

/// Loads the public key in `data_dir/keys`: all that verification needs.
pub fn load_public_key(data_dir: &Path) -> Result<RecordingPublicKey, JournalError> {
    let path = public_path(data_dir);
    let text = std::fs::read_to_string(&path).map_err(at(&path))?;
    Ok(text.parse()?)
}

fn parse(path: &Path, bytes: &[u8]) -> Result<RecordingKeys, JournalError> {
    let damaged = |detail| JournalError::KeyFile { path: path.to_owned(), detail };
    let (magic, keys) = bytes.split_at_checked(MAGIC.len()).ok_or_else(|| damaged("it is too short"))?;
    if magic != MAGIC {
        return Err(damaged("it does not begin as a key file does"));
    }
    let (master, seed) = keys.split_at_checked(32).ok_or_else(|| damaged("it is too short"))?;
    let master = master.try_into().map_err(|_| damaged("it is too short"))?;
    let seed = seed.try_into().map_err(|_| damaged("its length is wrong"))?;
    Ok(RecordingKeys::new(ORIGIN, master, seed)?)
}
