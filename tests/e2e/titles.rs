//! Names of result columns: those that somebody wrote pass, those that code in the database made of values do not.

use lockgate_tests::scene;
use lockgate_tests::wire::{self, Client, Frame};

/// The names in the RowDescriptions.
fn titles(frames: &[Frame]) -> Vec<String> {
    let mut names = Vec::new();
    for frame in frames.iter().filter(|frame| frame.tag == b'T') {
        let mut rest = &frame.body[2..];
        while let Some(end) = rest.iter().position(|byte| *byte == 0) {
            names.push(String::from_utf8_lossy(&rest[..end]).into_owned());
            rest = &rest[end + 19..];
        }
    }
    names
}

/// Code that names a column of a temporary view after what `expression` yields.
fn named_after(expression: &str, then: &str) -> String {
    format!(
        "DO $$ BEGIN EXECUTE format('CREATE TEMP VIEW odd AS SELECT 1 AS %I, ssn FROM people WHERE id = 7', \
         ({expression})); END $$; {then}"
    )
}

const SECRET: &str = "SELECT ssn FROM people WHERE id = 7";

#[test]
fn a_name_made_of_a_value_is_not_shown() {
    let scene = scene();
    let dana = scene.dana();
    // Code of her own that copies the value is refused; what somebody else made runs.
    let mut client = Client::login(scene.gateway.port, "dana", &dana);
    let frames = client.query(&named_after(SECRET, "SELECT * FROM odd"));
    assert_eq!(wire::error(&frames).field(b'C').as_deref(), Some("42501"), "{frames:?}");
    scene.directly(&format!(
        "CREATE FUNCTION names() RETURNS void LANGUAGE plpgsql AS $f$ BEGIN
           EXECUTE format('CREATE TEMP VIEW odd AS SELECT 1 AS %I, ssn FROM people WHERE id = 7', ({SECRET})); END $f$",
    ));
    for (then, expect) in [
        ("SELECT * FROM odd", vec!["names", "column1", "ssn"]),
        ("SELECT *, 2 AS mine FROM odd", vec!["names", "column1", "ssn", "mine"]),
    ] {
        let mut client = Client::login(scene.gateway.port, "dana", &dana);
        let frames = client.query(&format!("SELECT names(); {then}"));
        assert_eq!(titles(&frames), expect, "{then}: {frames:?}");
        assert!(!String::from_utf8_lossy(&client.seen).contains("CANARY"), "{then}");
    }
}

#[test]
fn a_cursor_that_code_opened_does_not_show_its_names_either() {
    let scene = scene();
    scene.directly(
        "CREATE FUNCTION opens() RETURNS void LANGUAGE plpgsql AS $f$ DECLARE c refcursor := 'hidden'; BEGIN
           OPEN c FOR EXECUTE format('SELECT ssn AS %I FROM people', (SELECT ssn FROM people WHERE id = 7)); END $f$",
    );
    let mut client = Client::login(scene.gateway.port, "dana", &scene.dana());
    client.query("BEGIN");
    client.query("SELECT opens()");
    assert_eq!(titles(&client.query("FETCH 1 FROM hidden")), ["column1"]);
    let described = [wire::parse("", "FETCH 1 FROM hidden"), wire::describe(b'S', ""), wire::sync()].concat();
    client.send_raw(&described);
    assert_eq!(titles(&client.until_ready()), ["column1"]);
    client.send_raw(&[wire::describe(b'P', "hidden"), wire::execute("hidden", 1), wire::sync()].concat());
    assert_eq!(titles(&client.until_ready()), ["column1"]);
    assert!(!String::from_utf8_lossy(&client.seen).contains("CANARY"));
}

#[test]
fn names_that_somebody_wrote_pass() {
    let scene = scene();
    let mut client = Client::login(scene.gateway.port, "alice", &scene.alice());
    for (sql, expect) in [
        ("SELECT ssn FROM people LIMIT 1", "ssn"),
        ("SELECT ssn AS \"Their Number\" FROM people LIMIT 1", "Their Number"),
        ("SELECT ssn AS Number FROM people LIMIT 1", "number"),
        ("SELECT number FROM contacts LIMIT 1", "number"),
        ("SELECT upper(ssn) FROM people LIMIT 1", "upper"),
        ("SELECT ssn || '' FROM people LIMIT 1", "?column?"),
        ("SELECT people FROM people LIMIT 1", "people"),
        ("SELECT (SELECT ssn FROM people LIMIT 1)", "ssn"),
        ("SELECT x.* FROM (SELECT ssn FROM people LIMIT 1) AS x (y)", "y"),
        ("SELECT row_to_json(p) FROM people p LIMIT 1", "row_to_json"),
        ("SELECT CASE WHEN true THEN ssn END FROM people LIMIT 1", "case"),
        ("SELECT coalesce(ssn, '') FROM people LIMIT 1", "coalesce"),
        ("SELECT ARRAY[ssn] FROM people LIMIT 1", "array"),
        ("SELECT ssn::varchar(3) FROM people LIMIT 1", "ssn"),
        ("SELECT (doc)['ssn'] FROM people LIMIT 1", "doc"),
        ("SELECT max(salary) FROM people", "max"),
        ("SELECT value FROM people, jsonb_each(doc) LIMIT 1", "value"),
        ("INSERT INTO people (id, name) VALUES (990, 'n') RETURNING ssn", "ssn"),
        ("UPDATE people SET name = 'm' WHERE id = 990 RETURNING old.ssn", ""),
        ("TABLE people LIMIT 1", "id"),
    ] {
        let simple = client.query(sql);
        if expect.is_empty() || simple.iter().any(|frame| frame.tag == b'E') {
            continue; // refused or not known to this version: no names
        }
        assert_eq!(titles(&simple)[0], expect, "{sql}");
        client.send_raw(&[wire::parse("", sql), wire::describe(b'S', ""), wire::sync()].concat());
        assert_eq!(titles(&client.until_ready())[0], expect, "{sql}");
    }
    let long = "a".repeat(80);
    let cut = titles(&client.query(&format!("SELECT ssn AS {long} FROM people LIMIT 1")));
    assert_eq!(cut, [&long[..63]]);
    client.query("PREPARE p AS SELECT ssn AS given FROM people LIMIT 1");
    assert_eq!(titles(&client.query("EXECUTE p")), ["given"]);
    client.query("BEGIN; DECLARE c CURSOR FOR SELECT ssn AS theirs FROM people LIMIT 5");
    assert_eq!(titles(&client.query("FETCH 1 FROM c")), ["theirs"]);
}
