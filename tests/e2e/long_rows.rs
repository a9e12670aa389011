//! Rows of hundreds of megabytes with masked columns: what is masked is dropped as it comes, what passes streams or is refused
//! without ending the session, and the gateway holds little of either.

use lockgate_tests::Scene;
use lockgate_tests::wire::{self, Client};

const MIB: usize = 1024 * 1024;

/// Row 1 has 300 MiB that are masked, row 2 has 100 MiB that are not.
fn long_scene() -> Scene {
    let scene = Scene::with(15, |_| {});
    scene.directly("UPDATE people SET ssn = repeat('SSN-CANARY-ssn-x', 300 * 65536) WHERE id = 1");
    scene.directly("UPDATE people SET name = repeat('n', 100 * 1048576) WHERE id = 2");
    assert_eq!(scene.directly("SELECT length(ssn) FROM people WHERE id = 1"), (300 * MIB).to_string());
    scene
}

/// The most memory that the gateway had so far, in MiB.
fn peak_mib(scene: &Scene) -> usize {
    let status = std::fs::read_to_string(format!("/proc/{}/status", scene.gateway.pid())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.split_whitespace().next().unwrap().parse::<usize>().unwrap() / 1024
}

#[test]
fn rows_with_long_columns() {
    let scene = long_scene();
    let mut client = Client::login(scene.gateway.port, "dana", &scene.dana());
    let one = |text: &str| Some(text.to_owned());
    // Everything that an ordinary statement brings is there before it is measured.
    client.value("SELECT ssn FROM people WHERE id = 3");
    let before = peak_mib(&scene);

    let row = "SELECT id, ssn, name, doc FROM people WHERE id = 1";
    let masked = vec![vec![one("1"), one("***"), one("Person 1"), one("null")]];
    assert_eq!(wire::rows(&client.query(row)), masked);
    let extended = [wire::parse("", row), wire::bind("", "", &[], 0), wire::execute("", 0), wire::sync()].concat();
    client.send_raw(&extended);
    assert_eq!(wire::rows(&client.until_ready()), masked);
    for (format, expected) in [("text", &b"1\t***\tPerson 1\n"[..]), ("csv", b"1,***,Person 1\n")] {
        let sql = format!("COPY (SELECT id, ssn, name FROM people WHERE id = 1) TO STDOUT (FORMAT {format})");
        let frames = client.query(&sql);
        let data: Vec<u8> = frames.iter().filter(|f| f.tag == b'd').flat_map(|f| f.body.clone()).collect();
        assert_eq!(data, expected, "{}", wire::tags(&frames));
    }
    // What passes streams where nothing masked comes after it.
    let frames = client.query("SELECT ssn, name FROM people WHERE id = 2");
    let row = frames.iter().find(|frame| frame.tag == b'D').unwrap();
    assert_eq!(row.body.len(), 2 + 4 + 3 + 4 + 100 * MIB);
    assert!(row.body.starts_with(b"\0\x02\0\0\0\x03***\x06\x40\0\0nnn") && row.body.ends_with(b"nnn"));
    let grown = peak_mib(&scene) - before;
    assert!(grown < 64, "the gateway grew by {grown} MiB");
}

/// The longest rows that a server makes: it keeps a row, and a value, below a GiB.
#[test]
#[ignore = "slow: run by `make soak`"]
fn rows_of_a_gibibyte() {
    const LONGEST: usize = 1023 * MIB;
    for version in 15..=18 {
        let scene = Scene::with(version, |_| {});
        scene.directly("UPDATE people SET ssn = repeat('SSN-CANARY-ssn-x', 1023 * 65536) WHERE id = 1");
        scene.directly("UPDATE people SET name = repeat('n', 1023 * 1048576) WHERE id = 2");
        let mut client = Client::login(scene.gateway.port, "dana", &scene.dana());
        client.set_patience(std::time::Duration::from_secs(300));
        client.value("SELECT ssn FROM people WHERE id = 3");
        let before = peak_mib(&scene);
        assert_eq!(client.value("SELECT ssn FROM people WHERE id = 1"), "***");
        let frames = client.query("COPY (SELECT id, ssn FROM people WHERE id = 1) TO STDOUT (FORMAT csv)");
        let data: Vec<u8> = frames.iter().filter(|f| f.tag == b'd').flat_map(|f| f.body.clone()).collect();
        assert_eq!(data, b"1,***\n");
        for format in [0, 1] {
            let sql = "SELECT id, name FROM people WHERE id = 2";
            client.forget_seen();
            let asked = [wire::parse("", sql), wire::bind("", "", &[], format), wire::execute("", 0), wire::sync()];
            client.send_raw(&asked.concat());
            let frames = client.until_ready();
            let row = frames.iter().find(|frame| frame.tag == b'D').unwrap();
            assert!(row.body.len() > LONGEST && row.body.ends_with(b"nnn"), "{} bytes", row.body.len());
        }
        client.forget_seen();
        assert_eq!(client.value("SELECT 1"), "1");
        let grown = peak_mib(&scene) - before;
        assert!(grown < 64, "PostgreSQL {version}: the gateway grew by {grown} MiB");
        scene.gateway.verify();
    }
}

#[test]
fn a_row_that_cannot_be_masked_ends_its_statement_only() {
    let scene = long_scene();
    let mut client = Client::login(scene.gateway.port, "dana", &scene.dana());
    client.value("SELECT ssn FROM people WHERE id = 3");
    let before = peak_mib(&scene);
    let refused = |frames: &[wire::Frame]| {
        let error = wire::error(frames);
        assert_eq!(error.field(b'C').as_deref(), Some("54000"), "{frames:?}");
        assert!(error.field(b'M').unwrap().contains("too long to be masked"), "{error:?}");
    };
    let sql = "SELECT name, ssn FROM people WHERE id <> 1 ORDER BY id";
    refused(&client.query(sql));
    assert_eq!(client.value("SELECT 1"), "1");
    let extended = [wire::parse("", sql), wire::bind("", "", &[], 0), wire::execute("", 0), wire::sync()].concat();
    client.send_raw(&extended);
    refused(&client.until_ready());
    assert_eq!(client.value("SELECT 2"), "2");
    client.query("BEGIN");
    refused(&client.query(sql));
    assert_eq!(wire::error(&client.query("SELECT 1")).field(b'C').as_deref(), Some("25P02"));
    assert_eq!(wire::tags(&client.query("ROLLBACK")), "CZ");
    assert_eq!(client.value("SELECT 3"), "3");
    let grown = peak_mib(&scene) - before;
    assert!(grown < 64, "the gateway grew by {grown} MiB");
    scene.gateway.verify();
}
