//! The master key of a data directory and the keys derived from it.
//!
//! One file, `keys/master.key`, made once. Every use derives its own key (HKDF-SHA256, RFC 5869), so that no two purposes
//! share one. Nothing here keeps targets' credentials; that is the vault's work.

use crate::error::StoreError;
use aws_lc_rs::aead::{AES_256_GCM, Aad, NONCE_LEN, Nonce, RandomizedNonceKey};
use aws_lc_rs::{hkdf, hmac, rand::SecureRandom as _};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use zeroize::Zeroizing;

/// The master key, and the only way to the keys below it. Not `Debug`, not `Clone`: share it in an `Arc`.
pub struct Keys {
    master: Zeroizing<[u8; 32]>,
}

impl Keys {
    /// The key for one purpose. The same purpose gives the same key for as long as the data directory lives.
    pub fn derive(&self, purpose: &'static str) -> Zeroizing<[u8; 32]> {
        let mut key = Zeroizing::new([0; 32]);
        let prk = hkdf::Salt::new(hkdf::HKDF_SHA256, b"lockgate v1").extract(self.master.as_slice());
        let filled = prk.expand(&[purpose.as_bytes()], hkdf::HKDF_SHA256).and_then(|okm| okm.fill(key.as_mut_slice()));
        // HKDF refuses only outputs above 255 blocks; 32 bytes are one block.
        debug_assert!(filled.is_ok());
        key
    }

    /// A keyed hash under one purpose's key.
    pub fn hmac(&self, purpose: &'static str, data: &[u8]) -> [u8; 32] {
        let key = hmac::Key::new(hmac::HMAC_SHA256, self.derive(purpose).as_slice());
        let mut out = [0; 32];
        for (to, from) in out.iter_mut().zip(hmac::sign(&key, data).as_ref()) {
            *to = *from;
        }
        out
    }

    /// Encrypts a secret that has to be read again, under one purpose's key (AES-256-GCM, random nonce), bound to `place`: moved
    /// to another place it does not open.
    ///
    /// # Errors
    /// When the operating system gives no random bytes.
    pub fn seal(&self, purpose: &'static str, place: &str, secret: &[u8]) -> Result<String, StoreError> {
        let mut bytes = secret.to_vec();
        let nonce = RandomizedNonceKey::new(&AES_256_GCM, self.derive(purpose).as_slice())
            .and_then(|key| key.seal_in_place_append_tag(Aad::from(place.as_bytes()), &mut bytes));
        let nonce = nonce.map_err(|_| StoreError::Random)?;
        Ok(URL_SAFE_NO_PAD.encode([nonce.as_ref().as_slice(), &bytes].concat()))
    }

    /// Decrypts what [`Keys::seal`] made, for the same purpose and place; `None` for anything else.
    pub fn open(&self, purpose: &'static str, place: &str, sealed: &str) -> Option<Zeroizing<Vec<u8>>> {
        let mut bytes = Zeroizing::new(URL_SAFE_NO_PAD.decode(sealed).ok()?);
        let (nonce, rest) = bytes.split_first_chunk_mut::<NONCE_LEN>()?;
        let key = RandomizedNonceKey::new(&AES_256_GCM, self.derive(purpose).as_slice()).ok()?;
        let opened = key.open_in_place(Nonce::from(&*nonce), Aad::from(place.as_bytes()), rest).ok()?;
        Some(Zeroizing::new(opened.to_vec()))
    }

    /// Reads the key of a data directory; `None` when it has none.
    pub(crate) fn load(data_dir: &Path) -> Result<Option<Self>, StoreError> {
        let path = key_path(data_dir);
        let text = match fs::read_to_string(&path) {
            Ok(text) => Zeroizing::new(text),
            Err(e) if e.kind() == ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(StoreError::file("read", &path, e)),
        };
        protect(&path, 0o600)?;
        match decode_hex(text.trim()) {
            Some(master) => Ok(Some(Keys { master })),
            None => Err(StoreError::KeyMalformed { path }),
        }
    }

    /// Makes the key of a data directory. Of several processes that try at once, one wins and all read its key.
    pub(crate) fn create(data_dir: &Path) -> Result<Self, StoreError> {
        let path = key_path(data_dir);
        let folder = data_dir.join("keys");
        make_private_dir(&folder)?;
        let master = Zeroizing::new(random::<32>()?);
        let text = Zeroizing::new(format!("{}\n", encode_hex(master.as_slice())));
        // Written whole under another name and then linked: nobody ever reads half a key, and a link never replaces.
        let draft = folder.join(format!("master.key.{}", encode_hex(&random::<8>()?)));
        let written = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&draft)
            .and_then(|mut file| file.write_all(text.as_bytes()).and_then(|()| file.sync_all()));
        let linked = written.and_then(|()| fs::hard_link(&draft, &path));
        let removed = fs::remove_file(&draft);
        match linked {
            Ok(()) => removed.map_err(|e| StoreError::file("remove", &draft, e))?,
            Err(e) if e.kind() == ErrorKind::AlreadyExists => {}
            Err(e) => return Err(StoreError::file("write", &path, e)),
        }
        File::open(&folder).and_then(|f| f.sync_all()).map_err(|e| StoreError::file("write", &folder, e))?;
        Self::load(data_dir)?.ok_or(StoreError::KeyMissing { path })
    }
}

/// Where a data directory keeps its master key.
pub(crate) fn key_path(data_dir: &Path) -> PathBuf {
    data_dir.join("keys").join("master.key")
}

/// Makes a directory that only its owner may enter, and closes an existing one.
pub(crate) fn make_private_dir(path: &Path) -> Result<(), StoreError> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(|e| StoreError::file("make", path, e))?;
    protect(path, 0o700)
}

/// Takes from group and others what they may not have.
pub(crate) fn protect(path: &Path, mode: u32) -> Result<(), StoreError> {
    let protected = || {
        let found = fs::metadata(path)?.permissions().mode();
        if found & 0o077 != 0 { fs::set_permissions(path, fs::Permissions::from_mode(mode)) } else { Ok(()) }
    };
    protected().map_err(|e| StoreError::file("protect", path, e))
}

/// Bytes from the operating system's random source.
pub(crate) fn random<const N: usize>() -> Result<[u8; N], StoreError> {
    let mut bytes = [0; N];
    aws_lc_rs::rand::SystemRandom::new().fill(&mut bytes).map_err(|_| StoreError::Random)?;
    Ok(bytes)
}

const ID_CHARS: usize = 12;
/// Crockford's base 32 in lower case.
const ID_ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";

/// A short name that nothing else has: 60 random bits.
pub(crate) fn random_id() -> Result<String, StoreError> {
    let bytes = random::<ID_CHARS>()?;
    Ok(bytes.iter().filter_map(|b| ID_ALPHABET.get(usize::from(b & 31))).map(|&b| char::from(b)).collect())
}

/// Whether a text looks like such a name.
pub(crate) fn is_random_id(text: &str) -> bool {
    text.len() == ID_CHARS && text.bytes().all(|b| ID_ALPHABET.contains(&b))
}

/// Lower-case hexadecimal.
pub(crate) fn encode_hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// 32 bytes from 64 hexadecimal digits.
pub(crate) fn decode_hex(text: &str) -> Option<Zeroizing<[u8; 32]>> {
    if text.len() != 64 || !text.bytes().all(|b| b.is_ascii_hexdigit()) {
        return None;
    }
    let mut bytes = Zeroizing::new([0; 32]);
    for (at, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(text.get(at * 2..at * 2 + 2)?, 16).ok()?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_key_for_all_who_race_to_make_it() {
        let dir = tempfile::tempdir().unwrap();
        let checks: Vec<[u8; 32]> = std::thread::scope(|scope| {
            let racers: Vec<_> =
                (0..16).map(|_| scope.spawn(|| Keys::create(dir.path()).unwrap().hmac("t", b"x"))).collect();
            racers.into_iter().map(|r| r.join().unwrap()).collect()
        });
        assert!(checks.windows(2).all(|w| w[0] == w[1]));
        assert_eq!(fs::read_dir(dir.path().join("keys")).unwrap().count(), 1, "drafts are removed");
        let mode = fs::metadata(key_path(dir.path())).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn purposes_do_not_share_a_key() {
        let dir = tempfile::tempdir().unwrap();
        let keys = Keys::create(dir.path()).unwrap();
        assert_ne!(*keys.derive("a"), *keys.derive("b"));
        assert_ne!(*keys.derive("a"), [0; 32]);
        assert_eq!(*keys.derive("a"), *Keys::load(dir.path()).unwrap().unwrap().derive("a"));
    }

    #[test]
    fn what_is_sealed_opens_in_its_place_only() {
        let dir = tempfile::tempdir().unwrap();
        let keys = Keys::create(dir.path()).unwrap();
        let sealed = keys.seal("a", "here", b"secret").unwrap();
        assert_eq!(keys.open("a", "here", &sealed).unwrap().as_slice(), b"secret");
        assert_ne!(sealed, keys.seal("a", "here", b"secret").unwrap());
        assert!(keys.open("b", "here", &sealed).is_none());
        assert!(keys.open("a", "there", &sealed).is_none());
        let mut altered = sealed.clone().into_bytes();
        altered[20] = if altered[20] == b'A' { b'B' } else { b'A' };
        for broken in
            ["", "AAAA", "?", &sealed[1..], &sealed[..sealed.len() - 2], std::str::from_utf8(&altered).unwrap()]
        {
            assert!(keys.open("a", "here", broken).is_none(), "{broken}");
        }
    }

    #[test]
    fn a_damaged_key_is_named() {
        let dir = tempfile::tempdir().unwrap();
        for text in ["", "zz", "é", &"g".repeat(64), &"a".repeat(63)] {
            fs::create_dir_all(dir.path().join("keys")).unwrap();
            fs::write(key_path(dir.path()), text).unwrap();
            assert!(matches!(Keys::load(dir.path()), Err(StoreError::KeyMalformed { .. })), "{text}");
        }
    }
}
