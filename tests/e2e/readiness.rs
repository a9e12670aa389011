//! Who asks whether the gateway is ready hears that it is not while sessions cannot be recorded, and why.

use super::disk_full::SmallDisk;
use super::failing_disk::library;
use lockgate_tests::process::{self, Scratch};
use lockgate_tests::wire::Client;
use lockgate_tests::{Scene, api};
use std::time::Duration;

/// What the API and the metrics listener say: ready or not, and their words.
fn said(scene: &Scene) -> [(u16, String); 2] {
    let (status, body) = api::call(&scene.gateway, "GET", "/api/v1/ready", None, None);
    [(status, body.to_string()), api::plain(&scene.gateway, "/ready")]
}

fn is_ready(scene: &Scene) -> bool {
    said(scene).iter().all(|(status, _)| *status == 200)
}

#[test]
fn not_while_the_disk_is_full() {
    let disk = SmallDisk::mount();
    let scene = Scene::with(15, |options| options.data_dir = Some(disk.data_dir()));
    assert!(is_ready(&scene), "{:?}", said(&scene));
    let filler = disk.fill();
    process::eventually("it says that it is not ready", Duration::from_secs(5), || {
        said(&scene).iter().all(|(status, words)| *status == 503 && words.contains("no space left"))
    });
    std::fs::remove_file(filler).unwrap();
    process::eventually("it is ready again", Duration::from_secs(10), || is_ready(&scene));
    let alice = scene.alice();
    assert_eq!(scene.gateway.query("alice", &alice, "SELECT 1"), "1");
}

#[test]
fn not_after_a_sync_of_the_log_has_failed() {
    let dir = Scratch::make();
    let (library, data) = (library(dir.path()), dir.path().join("data"));
    let mut scene = Scene::with(15, |options| {
        let file = |name: &str| dir.path().join(name).display().to_string();
        options.data_dir = Some(data.clone());
        options.extra.push_str("recording: {durability: fsync}\n");
        options.environment = vec![
            ("LD_PRELOAD".to_owned(), library.display().to_string()),
            ("FAILING_DISK_BELOW".to_owned(), data.join("recordings/log/leaves").display().to_string()),
            ("FAILING_DISK_PLAN".to_owned(), file("plan")),
            ("FAILING_DISK_LOG".to_owned(), file("failed")),
        ];
    });
    let alice = scene.alice();
    scene.gateway.stop();
    // Beyond what a start syncs, so that it fails while the gateway serves.
    std::fs::write(dir.path().join("plan"), "sync 8").unwrap();
    scene.gateway.resume();
    assert!(is_ready(&scene), "{:?}", said(&scene));
    let parameters = [("user", "alice"), ("database", "shop")];
    let login = |scene: &Scene| Client::login_with(scene.gateway.port, &parameters, &alice);
    process::eventually("a session is refused", Duration::from_secs(30), || login(&scene).is_err());
    process::eventually("it says that it is not ready", Duration::from_secs(5), || {
        said(&scene).iter().all(|(status, words)| *status == 503 && words.contains("a sync failed"))
    });
    assert!(login(&scene).is_err(), "it took a session that it cannot record");
    std::fs::remove_file(dir.path().join("plan")).unwrap();
    scene.gateway.stop();
    scene.gateway.resume();
    process::eventually("it is ready", Duration::from_secs(5), || is_ready(&scene));
    assert_eq!(scene.gateway.query("alice", &alice, "SELECT 1"), "1");
    scene.gateway.verify();
}
