//! A start that cannot succeed: it ends soon, says why in one line, and leaves the data directory exactly as it found it.

use lockgate_tests::gateway::StoreLock;
use lockgate_tests::process::{self, Scratch, run};
use lockgate_tests::{Gateway, Postgres, Scene};
use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

/// Every file and directory with its mode and content. What SQLite makes beside a database that it cannot close again is left
/// out as long as nothing is in it.
fn contents(dir: &Path) -> BTreeMap<PathBuf, (u32, Vec<u8>)> {
    let mut all = BTreeMap::new();
    let mut directories = vec![dir.to_owned()];
    while let Some(directory) = directories.pop() {
        for entry in std::fs::read_dir(&directory).unwrap().flatten() {
            let (path, mode) = (entry.path(), entry.metadata().unwrap().permissions().mode());
            let is_dir = entry.file_type().unwrap().is_dir();
            let bytes = if is_dir { Vec::new() } else { std::fs::read(&path).unwrap() };
            let name = path.to_string_lossy();
            if name.ends_with(".db-shm") || (name.ends_with(".db-wal") && bytes.is_empty()) {
                continue;
            }
            if is_dir {
                directories.push(path.clone());
            }
            all.insert(path, (mode, bytes));
        }
    }
    all
}

/// The data directory of a gateway that has served and was stopped.
fn served() -> (Gateway, PathBuf) {
    let mut gateway = Gateway::start(Scene::options(Postgres::shared(15), "postgres"));
    gateway.token("alice", &["engineers"]);
    assert_eq!(gateway.stop(), Some(0), "{}", gateway.log());
    let data = gateway.data_dir();
    (gateway, data)
}

/// Starts on `data`, which has to fail and say all of `words`.
fn refuses(what: &str, data: &Path, extra: &str, words: &[&str]) {
    let mut options = Scene::options(Postgres::shared(15), "postgres");
    options.data_dir = Some(data.to_owned());
    options.extra.push_str(extra);
    let mut gateway = Gateway::prepare(options);
    let before = contents(data);
    let begun = Instant::now();
    gateway.launch();
    let code = gateway.wait(Duration::from_secs(5));
    assert!(matches!(code, Some(1..=5)), "{what}: {code:?} after {:?}\n{}", begun.elapsed(), gateway.log());
    let log = gateway.log();
    assert_eq!(log.lines().filter(|line| line.starts_with("error: ")).count(), 1, "{what}:\n{log}");
    // Mistakes in the configuration are listed below the line that counts them.
    assert!(!extra.is_empty() || log.lines().count() == 1, "{what}: more than one line:\n{log}");
    assert!(words.iter().all(|word| log.contains(word)), "{what}:\n{log}");
    let after = contents(data);
    let changed: Vec<&PathBuf> =
        before.keys().chain(after.keys()).filter(|path| before.get(*path) != after.get(*path)).collect();
    assert!(changed.is_empty(), "{what}: changed {changed:?}");
}

fn copy(data: &Path, into: &Scratch) -> PathBuf {
    run(Command::new("cp").arg("-a").arg(data).arg(into.path().join("data")));
    into.path().join("data")
}

fn python(script: &str, database: &Path) -> Command {
    let mut python = Command::new("python3");
    python.args(["-c", script]).arg(database);
    python
}

#[test]
fn with_a_store_or_a_key_that_is_damaged_or_gone() {
    let (_gateway, data) = served();
    type Damage = fn(&Path);
    let damages: [(&str, Damage, &[&str]); 13] = [
        ("an empty store", |data| std::fs::write(data.join("lockgate.db"), "").unwrap(), &["lockgate.db", "backup"]),
        ("no store", |data| std::fs::remove_file(data.join("lockgate.db")).unwrap(), &["lockgate.db", "backup"]),
        (
            "text for a store",
            |data| std::fs::write(data.join("lockgate.db"), "hello".repeat(999)).unwrap(),
            &["lockgate.db", "damaged"],
        ),
        (
            "a store that is damaged behind its first bytes",
            |data| {
                let path = data.join("lockgate.db");
                let mut bytes = std::fs::read(&path).unwrap();
                bytes.iter_mut().skip(100).for_each(|byte| *byte = 0x5a);
                std::fs::write(&path, bytes).unwrap();
            },
            &["lockgate.db", "damaged"],
        ),
        (
            "a store that cannot be read",
            |data| {
                std::fs::remove_file(data.join("lockgate.db")).unwrap();
                std::fs::create_dir(data.join("lockgate.db")).unwrap();
            },
            &["lockgate.db", "directory"],
        ),
        (
            "a newer store",
            |data| {
                let script = "import sqlite3, sys; c = sqlite3.connect(sys.argv[1]); \
                     c.execute('INSERT INTO schema_version VALUES (999)'); c.commit(); c.close()";
                run(&mut python(script, &data.join("lockgate.db")));
            },
            &["lockgate.db", "999", "newer version"],
        ),
        (
            "no master key",
            |data| std::fs::remove_file(data.join("keys/master.key")).unwrap(),
            &["master.key", "backup"],
        ),
        (
            "half a master key",
            |data| std::fs::write(data.join("keys/master.key"), "0123").unwrap(),
            &["master.key", "64"],
        ),
        (
            "another master key",
            |data| std::fs::write(data.join("keys/master.key"), "ab".repeat(32)).unwrap(),
            &["master.key", "not the key"],
        ),
        (
            "no recording key",
            |data| std::fs::remove_file(data.join("keys/recordings.key")).unwrap(),
            &["recordings.key", "backup"],
        ),
        (
            "half a recording key",
            |data| std::fs::write(data.join("keys/recordings.key"), "x").unwrap(),
            &["recordings.key", "damaged"],
        ),
        ("no TLS key", |data| std::fs::remove_file(data.join("tls/gateway.key")).unwrap(), &["gateway.key", "missing"]),
        ("text for a TLS key", |data| std::fs::write(data.join("tls/gateway.key"), "x").unwrap(), &["gateway.key"]),
    ];
    for (what, damage, words) in damages {
        let place = Scratch::make();
        let copy = copy(&data, &place);
        damage(&copy);
        refuses(what, &copy, "", words);
    }
    let place = Scratch::make();
    let copy = copy(&data, &place);
    refuses(
        "a certificate that is not there",
        &copy,
        "tls: {certificate: /no/such.crt, key: /no/such.key}\n",
        &["such.crt"],
    );
    // And the copy itself is sound.
    let mut options = Scene::options(Postgres::shared(15), "postgres");
    options.data_dir = Some(copy);
    Gateway::start(options).verify();
}

#[test]
fn with_a_store_that_another_process_has_locked() {
    let (_gateway, data) = served();
    let _locked = StoreLock::hold(&data);
    refuses("a locked store", &data, "", &["lockgate.db", "locked by another process"]);
}

/// A directory mounted on itself, read only. Needs root, as CI has; without it the test fails and says so.
struct ReadOnly(PathBuf);

impl ReadOnly {
    fn mount(dir: &Path) -> Self {
        run(Command::new("mount").arg("--bind").arg(dir).arg(dir));
        let this = ReadOnly(dir.to_owned());
        run(Command::new("mount").args(["-o", "remount,ro,bind"]).arg(dir));
        this
    }
}

impl Drop for ReadOnly {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

#[test]
fn with_a_data_directory_that_cannot_be_written() {
    let (_gateway, data) = served();
    let _mounted = ReadOnly::mount(&data);
    refuses("a read-only directory", &data, "", &["data", "Read-only file system"]);
}

#[test]
fn a_second_gateway_changes_nothing_of_the_first() {
    let mut first = Gateway::start(Scene::options(Postgres::shared(15), "postgres"));
    first.token("alice", &["engineers"]);
    let mut options = Scene::options(Postgres::shared(15), "postgres");
    options.data_dir = Some(first.data_dir());
    let mut second = Gateway::prepare(options);
    let recordings = first.data_dir().join("recordings");
    // Held still, so that what differs afterwards is the second's doing. A lock outlasts a stop.
    process::signal(first.pid(), "STOP");
    let before = contents(&recordings);
    second.launch();
    let code = second.wait(Duration::from_secs(5));
    let after = contents(&recordings);
    process::signal(first.pid(), "CONT");
    assert!(matches!(code, Some(1..=5)), "{code:?}");
    assert!(second.log().contains("another gateway serves from"), "{}", second.log());
    assert!(before == after, "a second gateway changed the recordings of the first");
    assert!(first.is_alive());
    first.verify();
}

#[test]
fn after_a_stop_the_store_is_one_file() {
    let (gateway, data) = served();
    let is_one = || ["lockgate.db-wal", "lockgate.db-shm"].iter().all(|name| !data.join(name).exists());
    assert!(is_one(), "the write-ahead log was not written back");
    // Verbs leave it so.
    gateway.here_ok(&["token", "list"]);
    gateway.here_ok(&["sessions", "list"]);
    process::eventually("verbs have let go", Duration::from_secs(5), is_one);
}
