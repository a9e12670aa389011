//! What happened is written down before it happens, can be read again, and cannot be altered unnoticed.

use lockgate_tests::process;
use lockgate_tests::wire::{self, Client};
use lockgate_tests::{Scene, scene};
use serde_json::Value;
use std::path::{Path, PathBuf};

fn exported(scene: &Scene) -> String {
    scene.gateway.here_ok(&["audit", "export"])
}

fn session_of(client: &mut Client) -> String {
    let frames = client.query("DELETE FROM notes");
    let hint = wire::error(&frames).field(b'H').unwrap();
    hint.split_whitespace().last().unwrap().to_owned()
}

#[test]
fn every_way_of_running_a_statement_is_recorded_with_its_parameters() {
    let scene = scene();
    let dana = scene.dana();
    let mut client = Client::login(scene.gateway.port, "dana", &dana);
    let marks = ["simple", "second", "parsed", "pipelined", "prepared", "cursor", "copied", "failed", "denied"];
    client.query("SELECT 'mark-simple'; SELECT 'mark-second'");
    client.send_raw(
        &[
            wire::parse("", "SELECT 'mark-parsed', $1::text"),
            wire::bind("", "", &["parameter-one"], 0),
            wire::execute("", 0),
            wire::parse("", "SELECT 'mark-pipelined', $1::text"),
            wire::bind("", "", &["parameter-two"], 1),
            wire::execute("", 0),
            wire::sync(),
        ]
        .concat(),
    );
    client.until_ready();
    client.query("PREPARE q AS SELECT 'mark-prepared'; EXECUTE q; EXECUTE q");
    client.query("BEGIN; DECLARE c CURSOR FOR SELECT 'mark-cursor'; FETCH ALL FROM c; COMMIT");
    client.query("COPY (SELECT 'mark-copied') TO STDOUT");
    client.query("SELECT 'mark-failed', 1/0");
    client.query("DELETE FROM notes; SELECT 'mark-denied'");
    drop(client);
    let text = exported(&scene);
    for mark in marks {
        assert!(text.contains(&format!("mark-{mark}")), "`{mark}` is not recorded");
    }
    for parameter in ["parameter-one", "parameter-two"] {
        assert!(text.contains(parameter), "`{parameter}` is not recorded");
    }
    assert!(text.contains("delete-without-where"), "the deciding policy is not recorded");
    scene.gateway.verify();
}

#[test]
fn results_are_recorded_as_the_client_saw_them_and_secrets_not_at_all() {
    let scene = scene();
    let alice = scene.alice();
    scene.gateway.query("alice", &alice, "SELECT id, name, ssn FROM people ORDER BY id LIMIT 50");
    let text = exported(&scene);
    assert!(text.contains("Person 7"), "the rows are not recorded");
    for secret in ["CANARY-0007", &alice, lockgate_tests::postgres::PASSWORD] {
        assert!(!text.contains(secret), "`{secret}` is in the recording's export");
        assert!(!scene.gateway.log().contains(secret), "`{secret}` is in the log");
        for file in files_below(&scene.gateway.data_dir()) {
            let bytes = std::fs::read(&file).unwrap();
            let found = bytes.windows(secret.len()).any(|window| window == secret.as_bytes());
            assert!(!found, "`{secret}` is in {}", file.display());
        }
    }
}

#[test]
fn a_session_is_listed_shown_replayed_and_exported() {
    let scene = scene();
    let mut client = Client::login(scene.gateway.port, "alice", &scene.alice());
    client.query("SELECT name FROM people WHERE id = 3");
    let id = session_of(&mut client);
    drop(client);
    let olga = scene.olga();
    process::eventually("the list says that it ended", std::time::Duration::from_secs(5), || {
        scene.gateway.here_ok(&["sessions", "list", "-o", "json"]).contains(&id)
    });
    for args in [["sessions", "show", &id], ["sessions", "replay", &id], ["sessions", "export", &id]] {
        for output in [scene.gateway.here(&args), scene.gateway.as_user(&olga, &args)] {
            let text = process::text(&output);
            assert!(output.status.success(), "{args:?}: {text}");
            assert!(text.contains("SELECT name FROM people WHERE id = 3"), "{args:?}: {text}");
        }
    }
    let replay = scene.gateway.here_ok(&["sessions", "replay", &id]);
    assert!(replay.contains("Person 3") && replay.contains("refused by policy"), "{replay}");
    for line in scene.gateway.here_ok(&["sessions", "export", &id]).lines() {
        serde_json::from_str::<Value>(line).unwrap_or_else(|error| panic!("{error}: {line}"));
    }
}

#[test]
fn every_request_ends_once() {
    let scene = scene();
    let alice = scene.alice();
    let mut client = Client::login(scene.gateway.port, "alice", &alice);
    client.query("SELECT 1");
    client.query("SELECT 1/0");
    client.query("DELETE FROM notes");
    client.send(b'Q', &wire::text("SELECT pg_sleep(60)"));
    std::thread::sleep(std::time::Duration::from_millis(300));
    client.reset();
    std::thread::sleep(std::time::Duration::from_secs(1));
    let kinds = scene.gateway.events();
    assert!(kinds.len() >= 8, "{kinds:?}");
    scene.gateway.verify();
}

#[test]
fn terminal_escapes_do_not_reach_the_reader() {
    let scene = scene();
    let mut client = Client::login(scene.gateway.port, "alice", &scene.alice());
    client.query("SELECT E'\\x1b]0;owned\\x07\\x1b[2J' AS \"\u{1b}[31m\"");
    let id = session_of(&mut client);
    for args in [["sessions", "show", &id], ["sessions", "replay", &id]] {
        let output = scene.gateway.here(&args);
        assert!(!output.stdout.contains(&0x1b) && !output.stderr.contains(&0x1b), "{args:?}");
    }
}

#[test]
fn any_altered_missing_or_reordered_part_is_found() {
    let mut scene = scene();
    let alice = scene.alice();
    for session in 0..3 {
        let mut client = Client::login(scene.gateway.port, "alice", &alice);
        for statement in 0..5 {
            client.query(&format!("SELECT 'session {session} statement {statement}', repeat('x', 200)"));
        }
    }
    scene.gateway.stop();
    scene.gateway.verify();
    let recordings = scene.gateway.data_dir().join("recordings");
    let files: Vec<PathBuf> = files_below(&recordings);
    assert!(!files.is_empty(), "no files below {}", recordings.display());
    let unnoticed = |what: String| {
        let output = scene.gateway.here(&["audit", "verify"]);
        assert!(!output.status.success(), "{what} was not noticed:\n{}", process::text(&output));
        assert!(output.status.code() == Some(1), "{what}: {}\n{}", output.status, process::text(&output));
    };
    for file in &files {
        let whole = std::fs::read(file).unwrap();
        if whole.is_empty() {
            continue;
        }
        let name = file.strip_prefix(&recordings).unwrap().display().to_string();
        for at in [0, whole.len() / 3, whole.len() / 2, whole.len() - 1] {
            let mut altered = whole.clone();
            altered[at] ^= 0x10;
            std::fs::write(file, &altered).unwrap();
            unnoticed(format!("byte {at} of {name}"));
        }
        std::fs::write(file, &whole[..whole.len() / 2]).unwrap();
        unnoticed(format!("{name} cut in half"));
        std::fs::remove_file(file).unwrap();
        unnoticed(format!("{name} removed"));
        std::fs::write(file, &whole).unwrap();
    }
    scene.gateway.verify();
}

#[test]
fn a_statement_is_on_disk_before_it_is_sent() {
    let scene = Scene::through(lockgate_tests::Postgres::shared(15).port);
    let mut client = Client::login(scene.gateway.port, "alice", &scene.alice());
    client.query("SELECT 1");
    let trace = scene.gateway.home().join("strace");
    let mut strace = std::process::Command::new("strace");
    strace.args([
        "-f",
        "-qq",
        "-s",
        "4096",
        "-e",
        "trace=write,pwrite64,writev,pwritev,sendto,sendmsg,fdatasync,fsync",
        "-yy",
        "-o",
    ]);
    strace.arg(&trace).args(["-p", &scene.gateway.pid().to_string()]);
    strace.stdin(std::process::Stdio::null()).stderr(std::process::Stdio::null());
    let mut strace = process::spawn(strace);
    std::thread::sleep(std::time::Duration::from_millis(1_000));
    for i in 0..20 {
        client.query(&format!("SELECT 'traced-{i:04}'"));
    }
    process::signal(strace.id(), "INT");
    assert!(process::ends_within(&mut strace, std::time::Duration::from_secs(20)));
    // What goes to the target is in clear here: its recording, a write to a file below the data directory, comes first.
    let trace = std::fs::read_to_string(&trace).unwrap();
    let target = format!("->127.0.0.1:{}]", scene.postgres.port);
    let data = scene.gateway.data_dir().display().to_string();
    let (mut recorded, mut sent) = (0, 0);
    for line in trace.lines() {
        if line.contains(&data) {
            recorded += 1;
        } else if line.contains(&target) && line.contains("traced-") {
            sent += 1;
            assert!(recorded > 0, "statement {sent} was sent before anything was written:\n{line}");
            recorded = 0;
        }
    }
    assert_eq!(sent, 20, "{trace}");
}

fn files_below(dir: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(dir).unwrap_or_else(|error| panic!("{}: {error}", dir.display())) {
        let entry = entry.unwrap();
        if entry.file_type().unwrap().is_dir() {
            files.extend(files_below(&entry.path()));
        } else {
            files.push(entry.path());
        }
    }
    files
}
