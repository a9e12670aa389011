//! What `lockgate login` keeps for the person at the command line: a token for each gateway, in a file that only they can read.
//! The gateway's own secrets are elsewhere.

use crate::place;
use anyhow::Context;
use lockgate_core::Secret;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::io::{ErrorKind, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

/// The file as it is written.
#[derive(Default, Serialize, Deserialize)]
struct File {
    /// The gateway of the newest login, which verbs ask when none is named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    current: Option<String>,
    #[serde(default)]
    gateways: BTreeMap<String, Entry>,
}

#[derive(Serialize, Deserialize)]
struct Entry {
    token: String,
    user: String,
    expires: String,
}

/// A login that is kept.
pub struct Kept {
    /// The token.
    pub token: Secret,
    /// Whose it is.
    pub user: String,
    /// When it stops to count, as the gateway said.
    pub expires: String,
}

/// The login that is kept for a gateway.
pub fn find(url: &str) -> Option<Kept> {
    let mut file = read().ok()?;
    let Entry { token, user, expires } = file.gateways.remove(url)?;
    Some(Kept { token: Secret::new(token), user, expires })
}

/// The gateway of the newest login.
pub fn current() -> Option<String> {
    read().ok()?.current
}

/// Keeps a login, in the place of the one before.
///
/// # Errors
/// When the file cannot be written.
pub fn keep(url: &str, kept: &Kept) -> anyhow::Result<PathBuf> {
    let mut file = read()?;
    let entry = Entry { token: kept.token.expose().to_owned(), user: kept.user.clone(), expires: kept.expires.clone() };
    file.gateways.insert(url.to_owned(), entry);
    file.current = Some(url.to_owned());
    write(&file)
}

/// Forgets the login at a gateway.
///
/// # Errors
/// When the file cannot be written.
pub fn forget(url: &str) -> anyhow::Result<()> {
    let mut file = read()?;
    if file.gateways.remove(url).is_none() {
        return Ok(());
    }
    if file.current.as_deref() == Some(url) {
        file.current = file.gateways.keys().next().cloned();
    }
    write(&file).map(|_| ())
}

fn folder() -> anyhow::Result<PathBuf> {
    let absolute = |name: &str| place::variable(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let base = absolute("XDG_CONFIG_HOME").or_else(|| Some(absolute("HOME")?.join(".config")));
    Ok(base.context("there is no home to keep a login in: HOME is not set")?.join("lockgate"))
}

fn read() -> anyhow::Result<File> {
    let path = folder()?.join("credentials.json");
    match fs::read(&path) {
        Ok(text) => {
            protect(&path)?;
            serde_json::from_slice(&text)
                .with_context(|| format!("`{}` is damaged: remove it and log in again", path.display()))
        }
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(File::default()),
        Err(error) => Err(error).with_context(|| format!("cannot read `{}`", path.display())),
    }
}

/// Written whole beside it and then put in its place: nobody ever reads half a file, and nobody else any of it.
fn write(file: &File) -> anyhow::Result<PathBuf> {
    let folder = folder()?;
    let path = folder.join("credentials.json");
    let about = || format!("cannot write `{}`", path.display());
    fs::DirBuilder::new().recursive(true).mode(0o700).create(&folder).with_context(about)?;
    let draft = folder.join(format!("credentials.json.{}", std::process::id()));
    let text = serde_json::to_vec_pretty(file)?;
    let written = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&draft).and_then(|mut out| {
        out.write_all(&text)?;
        out.sync_all()
    });
    let placed = written.and_then(|()| fs::rename(&draft, &path));
    if placed.is_err() {
        // What is left of a failed try holds a token.
        let _ = fs::remove_file(&draft);
    }
    placed.with_context(about)?;
    Ok(path)
}

/// Takes from group and others what they may not have.
fn protect(path: &Path) -> anyhow::Result<()> {
    let mode = fs::metadata(path)?.permissions().mode();
    if mode & 0o077 != 0 {
        fs::set_permissions(path, fs::Permissions::from_mode(0o600))
            .with_context(|| format!("cannot protect `{}`", path.display()))?;
    }
    Ok(())
}
