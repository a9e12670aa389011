//! A disk that fails: the n-th write or sync below the data directory gives EIO. Nothing is acknowledged that is not on
//! record, a file whose sync failed is not trusted again, and the next start is clean.

use lockgate_tests::process::{self, Scratch, run};
use lockgate_tests::wire::{self, Client};
use lockgate_tests::{Gateway, Scene, places};
use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

/// The library that fails, built for this run.
pub fn library(dir: &Path) -> PathBuf {
    let library = dir.join("failing_disk.so");
    run(Command::new("cc")
        .args(["-shared", "-fPIC", "-O1", "-Wall", "-Werror", "-o"])
        .arg(&library)
        .arg(places::tool("failing_disk.c"))
        .args(["-ldl", "-lpthread"]));
    library
}

struct FailingDisk {
    scene: Scene,
    dir: Scratch,
    alice: String,
    next: u64,
    acknowledged: HashSet<u64>,
    failed: u32,
}

impl FailingDisk {
    fn new() -> Self {
        let dir = Scratch::make();
        let (library, data) = (library(dir.path()), dir.path().join("data"));
        let scene = Scene::with(15, |options| {
            let file = |name: &str| dir.path().join(name).display().to_string();
            options.data_dir = Some(data.clone());
            options.extra.push_str("recording: {durability: fsync}\n");
            options.environment = vec![
                ("LD_PRELOAD".to_owned(), library.display().to_string()),
                ("FAILING_DISK_BELOW".to_owned(), file("data")),
                ("FAILING_DISK_PLAN".to_owned(), file("plan")),
                ("FAILING_DISK_LOG".to_owned(), file("failed")),
            ];
        });
        let alice = scene.alice();
        FailingDisk { scene, dir, alice, next: 1, acknowledged: HashSet::new(), failed: 0 }
    }

    fn file(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// One life of a gateway on such a disk, then one on a good disk.
    fn live_through(&mut self, kind: &str, at: u32) {
        let what = format!("{kind} {at}");
        self.scene.gateway.stop();
        std::fs::write(self.file("plan"), &what).unwrap();
        std::fs::write(self.file("failed"), "").unwrap();
        let gateway = &mut self.scene.gateway;
        gateway.launch();
        if accepts(gateway) {
            for _ in 0..3 {
                self.work();
            }
            if self.scene.gateway.is_alive() {
                process::signal(self.scene.gateway.pid(), "TERM");
            }
        }
        // It may have ended by itself, with a word why.
        self.scene.gateway.wait(Duration::from_secs(30));
        let told = std::fs::read_to_string(self.file("failed")).unwrap();
        self.failed += u32::from(told.starts_with(kind));
        // A folder is another matter: what failed to be entered in it was taken back, and the next entry is its own.
        let file = |line: &str| line.ends_with(".lgr") || line.ends_with("/leaves");
        let trusted_again = told.lines().find(|line| line.starts_with("after ") && file(line));
        assert_eq!(trusted_again, None, "{what}: a file was used after its sync had failed:\n{told}");

        std::fs::remove_file(self.file("plan")).unwrap();
        self.scene.gateway.resume();
        let output = self.scene.gateway.here(&["audit", "verify"]);
        assert!(output.status.success(), "{what}: {told}{}", process::text(&output));
        assert_eq!(self.scene.gateway.query("alice", &self.alice, "SELECT 'works'"), "works", "{what}");
    }

    /// A session that writes, as far as it gets.
    fn work(&mut self) {
        let parameters = [("user", "alice"), ("database", "shop")];
        let login = std::panic::catch_unwind(|| Client::login_with(self.scene.gateway.port, &parameters, &self.alice));
        let Ok(Ok(mut client)) = login else { return };
        for _ in 0..6 {
            let id = self.next;
            self.next += 1;
            let sql = format!("INSERT INTO log VALUES ({id}, 'x') /*write {id}*/");
            if !client.try_send_raw(&wire::message(b'Q', &wire::text(&sql))) {
                return;
            }
            let frames = client.until_ready();
            if frames.iter().any(|frame| frame.body == b"INSERT 0 1\0") {
                self.acknowledged.insert(id);
            }
            if frames.last().is_none_or(|frame| frame.tag != b'Z') {
                return;
            }
        }
    }

    fn everything_done_is_on_record(&self) {
        let done: HashSet<u64> =
            self.scene.directly("SELECT id FROM log").lines().map(|id| id.parse().unwrap()).collect();
        let record = self.scene.gateway.here_ok(&["audit", "export"]);
        let unrecorded: Vec<_> = done.iter().filter(|id| !record.contains(&format!("/*write {id}*/"))).collect();
        assert!(unrecorded.is_empty(), "in the target and not on record: {unrecorded:?}");
        let lost: Vec<_> = self.acknowledged.difference(&done).collect();
        assert!(lost.is_empty(), "acknowledged and not in the target: {lost:?}");
        assert!(self.failed > 0 && !done.is_empty(), "nothing failed, or nothing was done");
    }
}

/// Whether it comes up; else it has ended.
fn accepts(gateway: &mut Gateway) -> bool {
    let deadline = Instant::now() + Duration::from_secs(30);
    while Instant::now() < deadline {
        if !gateway.is_alive() {
            return false;
        }
        if std::net::TcpStream::connect(("127.0.0.1", gateway.port)).is_ok()
            && gateway.log().lines().last().is_some_and(|line| line.contains("ready, with"))
        {
            return true;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    panic!("it neither starts nor ends:\n{}", gateway.log());
}

fn survives(step: usize) {
    let mut disk = FailingDisk::new();
    for at in (1..=200).step_by(step) {
        disk.live_through("sync", at);
        disk.live_through("write", at);
    }
    disk.everything_done_is_on_record();
}

#[test]
fn a_write_or_sync_that_fails_is_never_taken_for_done() {
    survives(50);
}

#[test]
#[ignore = "slow: run by `make soak`"]
fn each_of_two_hundred_writes_and_syncs_may_fail() {
    survives(1);
}
