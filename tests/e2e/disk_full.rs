//! A full disk: nothing unrecorded is forwarded, the client is told, and service resumes when there is space.

use lockgate_tests::process::{self, Scratch, run};
use lockgate_tests::scene::Scene;
use lockgate_tests::wire::{self, Client};
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

/// A small file system of its own. Needs root, as CI has; without it the test fails and says so.
pub struct SmallDisk {
    dir: Scratch,
}

impl SmallDisk {
    pub fn mount() -> Self {
        let dir = Scratch::make();
        run(Command::new("mount").args(["-t", "tmpfs", "-o", "size=12m,mode=0755", "lockgate-test"]).arg(dir.path()));
        SmallDisk { dir }
    }

    /// A data directory on it.
    pub fn data_dir(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    /// Takes all the room there is.
    pub fn fill(&self) -> PathBuf {
        let filler = self.dir.path().join("filler");
        let mut file = std::fs::File::create(&filler).unwrap();
        let block = vec![0u8; 4_096];
        while std::io::Write::write_all(&mut file, &block).is_ok() {}
        filler
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.dir.path()).status();
    }
}

#[test]
fn refuses_while_full_and_resumes() {
    let disk = SmallDisk::mount();
    let mut scene = Scene::with(15, |options| options.data_dir = Some(disk.data_dir()));
    let token = scene.alice();
    let mut client = Client::login(scene.gateway.port, "alice", &token);
    client.query("INSERT INTO log VALUES (1, 'before')");
    let filler = disk.fill();

    let mut refused_at = None;
    let padding = "x".repeat(20_000);
    for id in 2..400 {
        let begun = Instant::now();
        let frames = client.query(&format!("INSERT INTO log VALUES ({id}, 'full') /*write {id} {padding}*/"));
        if let Some(error) = frames.iter().find(|frame| frame.tag == b'E') {
            assert!(begun.elapsed() < Duration::from_secs(5));
            assert_eq!(error.field(b'C').as_deref(), Some("53100"), "{error:?}");
            refused_at = Some(id);
            break;
        }
    }
    let refused_at = refused_at.expect("the disk is full and statements still run");
    assert!(scene.gateway.is_alive(), "{}", scene.gateway.log());
    // Whatever came before was recorded; what was refused did not run.
    let highest: u32 = scene.directly("SELECT max(id) FROM log").parse().unwrap();
    assert!(highest < refused_at, "{highest} ran, {refused_at} was refused");

    std::fs::remove_file(filler).unwrap();
    process::eventually("service resumes", Duration::from_secs(15), || {
        let output = process::output(scene.gateway.psql("alice", &token).args(["-Atc", "SELECT 1"]));
        output.status.success()
    });
    drop(client);
    let record = scene.gateway.here_ok(&["audit", "export"]);
    for id in 2..=highest {
        assert!(record.contains(&format!("/*write {id} ")), "{id} ran and is not recorded");
    }
    scene.gateway.verify();
    let mut again = Client::login(scene.gateway.port, "alice", &token);
    assert_eq!(wire::tags(&again.query("INSERT INTO log VALUES (1000, 'after')")), "CZ");
}
