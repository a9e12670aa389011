//! Where things are: the built gateway, the servers and drivers that `scripts/install test` fetched, the tools of this crate.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// Whether this process is root, so that servers which refuse root need another user.
pub fn is_root() -> bool {
    std::fs::metadata("/proc/self").expect("/proc is mounted").uid() == 0
}

/// The directory that `scripts/cache-dir` prints; the same rule.
pub fn cache() -> PathBuf {
    if let Some(set) = std::env::var_os("LOCKGATE_CACHE").filter(|set| !set.is_empty()) {
        return set.into();
    }
    if is_root() {
        return "/var/cache/lockgate".into();
    }
    match std::env::var_os("XDG_CACHE_HOME") {
        Some(cache) => PathBuf::from(cache).join("lockgate"),
        None => PathBuf::from(std::env::var_os("HOME").expect("HOME is set")).join(".cache/lockgate"),
    }
}

/// The server programs of a PostgreSQL version.
pub fn postgres_bin(version: u32) -> PathBuf {
    let candidates =
        [format!("/usr/lib/postgresql/{version}/bin").into(), cache().join(format!("postgres/{version}/bin"))];
    let found = candidates.iter().find(|bin: &&PathBuf| bin.join("postgres").exists());
    found.unwrap_or_else(|| panic!("no PostgreSQL {version} in {candidates:?}: run `scripts/install test`")).clone()
}

/// `psql` itself: the one in the path is a script of the distribution that looks for it each time.
pub fn psql() -> PathBuf {
    required(postgres_bin(15).join("psql"))
}

/// Python with the drivers.
pub fn python() -> PathBuf {
    required(cache().join("python/bin/python"))
}

/// The directory with Node's modules.
pub fn node_modules() -> PathBuf {
    required(cache().join("node/node_modules"))
}

/// The directory with the identity provider's modules.
pub fn oidc_modules() -> PathBuf {
    required(cache().join("oidc/node_modules"))
}

/// The directory with what drives a browser.
pub fn browser_modules() -> PathBuf {
    required("/usr/bin/chromium".into());
    required(cache().join("browser/node_modules"))
}

/// A script next to the tests.
pub fn tool(name: &str) -> PathBuf {
    required(Path::new(env!("CARGO_MANIFEST_DIR")).join("tools").join(name))
}

/// The gateway: LOCKGATE_BIN, or the one that was built into the same target directory as this test.
pub fn lockgate() -> PathBuf {
    if let Some(set) = std::env::var_os("LOCKGATE_BIN").filter(|set| !set.is_empty()) {
        return required(set.into());
    }
    let this = std::env::current_exe().expect("a running program has a path");
    // target/PROFILE/deps/e2e-… or target/PROFILE/bench-client
    let built = this.ancestors().skip(1).take(2).map(|dir| dir.join("lockgate")).find(|file| file.is_file());
    built.unwrap_or_else(|| panic!("no `lockgate` next to {}: run `cargo build -p lockgate` first", this.display()))
}

fn required(path: PathBuf) -> PathBuf {
    assert!(path.exists(), "{} is missing: run `scripts/install test`", path.display());
    path
}
