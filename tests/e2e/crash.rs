//! `kill -9` in a loop under load: what was done is in the record, and the record verifies.

use lockgate_tests::scene::Scene;
use lockgate_tests::wire::{self, Client};
use std::collections::HashSet;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

const WRITERS: usize = 4;

fn survives(kills: u32) {
    let mut scene = lockgate_tests::scene();
    let token = scene.alice();
    let next = AtomicU64::new(1);
    let acknowledged = Mutex::new(HashSet::new());
    for round in 0..kills {
        let stop = AtomicBool::new(false);
        let port = scene.gateway.port;
        std::thread::scope(|scope| {
            for _ in 0..WRITERS {
                scope.spawn(|| write_until(&stop, port, &token, &next, &acknowledged));
            }
            // On a loaded machine writes take their time: it is killed in the middle of them, and not before there are any.
            let before = acknowledged.lock().unwrap().len();
            let deadline = Instant::now() + Duration::from_secs(60);
            while acknowledged.lock().unwrap().len() < before + 6 && Instant::now() < deadline {
                std::thread::sleep(Duration::from_millis(10));
            }
            std::thread::sleep(Duration::from_millis(u64::from(round) * 37 % 300));
            scene.gateway.kill();
            stop.store(true, Ordering::SeqCst);
        });
        scene.gateway.resume();
        scene.gateway.verify();
    }
    let done: HashSet<u64> = ids(&scene);
    let acknowledged = acknowledged.into_inner().unwrap();
    assert!(acknowledged.len() > 20, "only {} writes in {kills} rounds", acknowledged.len());
    let record = scene.gateway.here_ok(&["audit", "export"]);
    let recorded: HashSet<u64> = record
        .split("/*write ")
        .skip(1)
        .filter_map(|rest| rest.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok())
        .collect();
    let lost: Vec<_> = acknowledged.difference(&done).collect();
    assert!(lost.is_empty(), "acknowledged and not in the target: {lost:?}");
    let unrecorded: Vec<_> = done.difference(&recorded).collect();
    assert!(unrecorded.is_empty(), "in the target and not in the record: {unrecorded:?}");
}

fn write_until(stop: &AtomicBool, port: u16, token: &str, next: &AtomicU64, acknowledged: &Mutex<HashSet<u64>>) {
    while !stop.load(Ordering::SeqCst) {
        let connected = std::panic::catch_unwind(|| Client::login(port, "alice", token));
        let Ok(mut client) = connected else { continue };
        loop {
            let id = next.fetch_add(1, Ordering::SeqCst);
            let sql = format!("INSERT INTO log VALUES ({id}, 'x') /*write {id}*/");
            if !client.try_send_raw(&wire::message(b'Q', &wire::text(&sql))) {
                break;
            }
            let frames = client.until_ready();
            if frames.iter().any(|frame| frame.body == b"INSERT 0 1\0") {
                acknowledged.lock().unwrap().insert(id);
            }
            if frames.last().is_none_or(|frame| frame.tag != b'Z') || stop.load(Ordering::SeqCst) {
                break;
            }
        }
    }
}

fn ids(scene: &Scene) -> HashSet<u64> {
    scene.directly("SELECT id FROM log").lines().map(|id| id.parse().unwrap()).collect()
}

#[test]
fn nothing_done_is_missing_from_the_record_after_kill_9() {
    survives(6);
}

#[test]
#[ignore = "slow: run by `make soak`"]
fn nothing_done_is_missing_from_the_record_after_a_hundred_kills() {
    survives(100);
}

#[test]
fn a_torn_end_of_a_recording_is_repaired_and_reported() {
    let mut scene = lockgate_tests::scene();
    let alice = scene.alice();
    scene.gateway.query("alice", &alice, "SELECT 'before the crash'");
    scene.gateway.kill();
    let newest = newest_recording(&scene);
    let mut bytes = std::fs::read(&newest).unwrap();
    // What a write that was cut short leaves behind.
    bytes.extend_from_slice(&[0x20, 0, 0, 0, 1, 2, 3]);
    std::fs::write(&newest, bytes).unwrap();
    scene.gateway.resume();
    assert_eq!(scene.gateway.query("alice", &alice, "SELECT 'after'"), "after");
    let record = scene.gateway.here_ok(&["audit", "export"]);
    assert!(record.contains("before the crash") && record.contains("after"));
}

#[test]
fn sigterm_drains() {
    let mut scene = lockgate_tests::scene();
    let alice = scene.alice();
    let mut client = Client::login(scene.gateway.port, "alice", &alice);
    client.send(b'Q', &wire::text("SELECT pg_sleep(1), 'finished'"));
    std::thread::sleep(Duration::from_millis(300));
    let code = scene.gateway.stop();
    assert_eq!(code, Some(0), "{}", scene.gateway.log());
    let frames = client.until_ready();
    assert_eq!(wire::rows(&frames).len(), 1, "the running statement was cut: {frames:?}");
    scene.gateway.verify();
}

fn newest_recording(scene: &Scene) -> std::path::PathBuf {
    let mut newest = None;
    let mut directories = vec![scene.gateway.data_dir().join("recordings")];
    while let Some(directory) = directories.pop() {
        for entry in std::fs::read_dir(directory).unwrap().flatten() {
            let data = entry.metadata().unwrap();
            if data.is_dir() {
                directories.push(entry.path());
            } else if data.len() > 0 {
                newest = newest.max(Some((data.modified().unwrap(), entry.path())));
            }
        }
    }
    newest.expect("there is a recording").1
}
