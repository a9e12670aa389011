//! The command line from a person's chair: every verb in every format, `connect`, and what `explain` and `policy test` say
//! held against what the gateway does.

use lockgate_tests::scene::POLICIES;
use lockgate_tests::wire::{self, Client};
use lockgate_tests::{Gateway, Postgres, Scene, places, process, scene};
use std::process::Command;

/// Data on standard output and in the format that was asked for; words, if any, on standard error; no colour in either.
#[test]
fn every_verb_prints_in_every_format() {
    let scene = scene();
    let (alice, dana, olga) = (scene.alice(), scene.dana(), scene.olga());
    let mut client = Client::login(scene.gateway.port, "alice", &alice);
    let refused = client.query("DELETE FROM notes");
    let session = wire::error(&refused).field(b'H').unwrap().split_whitespace().last().unwrap().to_owned();
    client.send(b'Q', &wire::text("DELETE FROM notes WHERE id = 1"));
    let approval = scene.pending(&dana);
    scene.gateway.here_ok(&["user", "add", "zoe", "--no-password"]);
    let by_files: &[&[&str]] = &[
        &["sessions", "list"],
        &["sessions", "show", &session],
        &["audit", "verify"],
        &["audit", "search", "notes"],
        &["policy", "check"],
        &["token", "list"],
        &["user", "list"],
        &["logins", "list"],
        &["targets"],
        &["explain", "--user", "alice", "--group", "engineers", "--target", "shop", "SELECT ssn FROM people LIMIT 5"],
        &["token", "create", "--user", "mia"],
    ];
    let by_api: &[&[&str]] = &[
        &["whoami"],
        &["targets"],
        &["sessions", "list"],
        &["sessions", "show", &session],
        &["token", "list"],
        &["logins", "list"],
        &["approvals", "list"],
        &["approvals", "show", &approval],
    ];
    // Administering lets nobody connect to anything.
    let asker = |verb: &[&str]| if verb == ["targets"] { &alice } else { &olga };
    let all = by_files.iter().map(|verb| (true, verb)).chain(by_api.iter().map(|verb| (false, verb)));
    for (here, verb) in all {
        for format in ["table", "json", "yaml"] {
            let args = [verb, &["-o", format][..]].concat();
            let output = if here { scene.gateway.here(&args) } else { scene.gateway.as_user(asker(verb), &args) };
            let what = format!("{args:?} here={here}");
            assert!(output.status.success(), "{what}: {}", process::text(&output));
            let printed = String::from_utf8(output.stdout).unwrap();
            // An empty table is nothing; what there is to say of it goes with the words.
            assert!(!printed.trim().is_empty() || (verb[0], format) == ("logins", "table"), "{what} prints nothing");
            assert!(
                !printed.contains('\u{1b}') && !output.stderr.contains(&0x1b),
                "{what} colours what is no terminal"
            );
            let json = serde_json::from_str::<serde_json::Value>(&printed);
            match format {
                "json" => drop(json.unwrap_or_else(|error| panic!("{what}: {error}\n{printed}"))),
                _ => assert!(json.is_err() || printed.trim() == "[]", "{what} prints JSON: {printed}"),
            }
            if format == "yaml" {
                let is_entry =
                    |line: &str| line.starts_with(['-', ' ', '[']) || line.contains(": ") || line.ends_with(':');
                assert!(printed.lines().all(is_entry), "{what} is no YAML: {printed}");
            }
        }
    }
}

fn connect(gateway: &Gateway, token: &str) -> Command {
    let mut lockgate = Command::new(places::lockgate());
    lockgate.env("LOCKGATE_TOKEN", token).current_dir("/");
    lockgate.env("TEST_TARGET_PASSWORD", "not the password").env_remove("LOCKGATE_CA");
    lockgate.arg("connect").arg("-c").arg(gateway.config());
    lockgate
}

#[test]
fn connect_starts_psql_with_everything_filled_in() {
    let scene = scene();
    let alice = scene.alice();
    // Anywhere, with an address, a token and an authority.
    let port = scene.gateway.port.to_string();
    let there = ["connect", "shop", "--port", &port, "--", "-X", "-At", "-c", "SELECT ssn FROM people WHERE id = 7"];
    let output = scene.gateway.as_user(&alice, &there);
    assert_eq!(process::text(&output).trim(), "***");
    // On the gateway's machine, where the configuration says all of that.
    let show = ["shop", "--", "-X", "-At", "-c", "\\conninfo", "-c", "SELECT 'connected'"];
    let said = process::text(&process::output(connect(&scene.gateway, &alice).args(show)));
    assert!(said.contains("connected") && said.contains("SSL connection") && said.contains("\"alice\""), "{said}");
    // What the client ends with is what the verb ends with.
    let failing = connect(&scene.gateway, &alice).args(["shop", "--", "-X", "-c", "SELECT 1/0"]).status().unwrap();
    assert_eq!(failing.code(), Some(1));
    for (target, token, code) in [("shpo", alice.as_str(), 3), ("shop", "lg_wrong", 5)] {
        let output = process::output(connect(&scene.gateway, token).arg(target));
        assert_eq!(output.status.code(), Some(code), "{target}: {}", process::text(&output));
    }
    let guest = scene.gateway.token("guest", &["guests"]);
    assert_eq!(process::output(connect(&scene.gateway, &guest).arg("shop")).status.code(), Some(3));
}

/// The token is shown to the gateway that the API was asked at, and to nobody who only listens where it should.
#[test]
fn connect_shows_no_token_to_another_gateway() {
    let (scene, other) = (scene(), Gateway::start(Scene::options(Postgres::shared(15), "postgres")));
    let alice = scene.alice();
    let port = other.port.to_string();
    let there = ["connect", "shop", "--port", &port, "--", "-X", "-c", "SELECT 1"];
    let said = process::output(connect(&scene.gateway, &alice).args(&there[1..]));
    assert!(!said.status.success() && process::text(&said).contains("certificate"), "{}", process::text(&said));
    let said = scene.gateway.as_user(&alice, &there);
    assert!(!said.status.success() && process::text(&said).contains("certificate"), "{}", process::text(&said));
    assert!(!other.log().contains("login refused"), "it was shown a proof:\n{}", other.log());
}

#[test]
fn explain_and_cases_say_what_the_gateway_does() {
    let scene = scene();
    let people = [("alice", "engineers"), ("dana", "dba"), ("frank", "fraud"), ("guest", "guests")];
    let statements = [
        "SELECT id, name, ssn FROM people LIMIT 1",
        "SELECT name FROM people WHERE ssn = 'x'",
        "SELECT max(salary) FROM people",
        "INSERT INTO log VALUES (-1, 'explained')",
        "DELETE FROM notes",
        "DELETE FROM notes WHERE id = -1",
        "DROP TABLE notes_of_nobody",
        "COPY notes TO STDOUT",
        "SELECT pg_read_file('/etc/passwd')",
        "SELECT pg_sleep(0); DELETE FROM notes",
        "SELEKT 1",
    ];
    let mut verdicts = Vec::new();
    for (user, group) in people {
        let token = scene.gateway.token(user, &[group]);
        for sql in statements {
            let args = ["explain", "--user", user, "--group", group, "--target", "shop", "-o", "json", sql];
            let explained = scene.gateway.here(&args);
            let json: serde_json::Value = serde_json::from_slice(&explained.stdout).unwrap();
            let said = json["verdict"].as_str().unwrap();
            let code = match said {
                "allow" => 0,
                "deny" => 3,
                "hold" => 4,
                other => panic!("verdict {other}"),
            };
            assert_eq!(explained.status.code(), Some(code), "{user}, {sql}: {json}");
            let parameters = [("user", user), ("database", "shop")];
            let done = match Client::login_with(scene.gateway.port, &parameters, &token) {
                Err(_) => "deny",
                Ok(mut client) => {
                    client.send(b'Q', &wire::text(sql));
                    let mut first = client.frame();
                    while first.tag == b'C' || first.tag == b'T' && sql.contains("pg_sleep") {
                        first = client.frame();
                    }
                    match (first.tag, first.field(b'M')) {
                        (b'N', Some(told)) if told.starts_with("waiting for approval") => "hold",
                        (b'E', Some(told)) if told == "refused by policy" => "deny",
                        // What cannot be read is refused as what it is: the gateway's own syntax error.
                        (b'E', Some(told)) if told.starts_with("syntax error") => "deny",
                        _ => "allow",
                    }
                }
            };
            assert_eq!(said, done, "{user}, {sql}: {json}");
            verdicts.push((user, sql, done));
            scene.directly("DELETE FROM log WHERE id = -1");
        }
    }
    for verdict in ["allow", "deny", "hold"] {
        assert!(verdicts.iter().any(|(_, _, done)| *done == verdict), "nothing is a case of {verdict}: {verdicts:?}");
    }
    // The same as a table of cases: what the gateway did is as expected, and anything else is a failure that is named.
    let cases = |verdict: &str| {
        format!(
            "identities:\n  alice: {{groups: [engineers]}}\n  dana: {{groups: [dba]}}\ncases:\n  - name: a bare delete\n    \
             request: {{action: write, target: shop, table: public.notes, sql: {{verb: delete, has_where: false}}}}\n    \
             expect: {{alice: deny by delete-without-where, dana: deny}}\n  - name: one with a condition\n    \
             request: {{action: write, target: shop, table: public.notes, sql: {{verb: delete, has_where: true}}}}\n    \
             expect: {{alice: {verdict}, dana: allow}}\n"
        )
    };
    let file = scene.gateway.home().join("cases.yaml");
    for (verdict, code) in [("approve by delete-needs-a-dba", 0), ("allow", 1)] {
        std::fs::write(&file, cases(verdict)).unwrap();
        let tested = scene.gateway.here(&["policy", "test", file.to_str().unwrap()]);
        assert_eq!(tested.status.code(), Some(code), "{}", process::text(&tested));
    }
    assert!(POLICIES.contains("delete-without-where"));
}

/// The columns of a recorded certificate, as `explain` words them.
fn worded(certificates: &serde_json::Value) -> Vec<serde_json::Value> {
    let origin = |origin: &serde_json::Value| {
        let labels: Vec<&str> = origin["labels"].as_array().unwrap().iter().map(|l| l.as_str().unwrap()).collect();
        format!("{} ({})", origin["column"].as_str().unwrap(), labels.join(", "))
    };
    let statements = certificates.as_array().unwrap().iter().flat_map(|c| c["statements"].as_array().unwrap());
    let columns = statements.flat_map(|statement| statement["columns"].as_array().unwrap());
    columns
        .map(|column| {
            let from: Vec<String> = column["from"].as_array().unwrap().iter().map(origin).collect();
            serde_json::json!([column["name"], from, column["label"], column["method"], column["why"]])
        })
        .collect()
}

/// Where each column comes from and why it is masked: `explain` says it before, and the recording keeps the same of what ran.
#[test]
fn explain_says_where_columns_come_from_and_the_recording_keeps_it() {
    let scene = scene();
    let frank = scene.frank();
    let secret = [("people.ssn", "pii/ssn"), ("people.email", "pii/email"), ("people.salary", "pii/salary")]
        .map(|(column, label)| format!("public.{column} ({label})"));
    let [ssn, email, salary] = &secret;
    // Each with the labelled columns that its columns are made of.
    let statements: [(&str, Vec<Vec<&str>>); 8] = [
        ("SELECT id, ssn FROM people WHERE id = 1", vec![vec![], vec![ssn]]),
        ("SELECT who, number FROM contacts WHERE id = 2", vec![vec![], vec![ssn]]),
        ("SELECT upper(ssn || email) AS both, name FROM people WHERE id = 3", vec![vec![email, ssn], vec![]]),
        ("SELECT a.x FROM (SELECT max(salary) AS x, count(*) FROM people) a", vec![vec![salary]]),
        ("SELECT name FROM people WHERE id = 4 UNION ALL SELECT email FROM people WHERE id = 4", vec![vec![email]]),
        ("WITH s AS (SELECT id, email AS e FROM people) SELECT e, id FROM s WHERE id = 5", vec![vec![email], vec![]]),
        ("SELECT coalesce(email, ssn), 6 FROM people WHERE id = 6", vec![vec![email, ssn], vec![]]),
        ("SELECT id, name FROM people WHERE id = 7", vec![vec![], vec![]]),
    ];
    for (user, group, token) in [("alice", "engineers", scene.alice()), ("frank", "fraud", frank)] {
        let mut client = Client::login(scene.gateway.port, user, &token);
        let mut explained = Vec::new();
        for (sql, origins) in &statements {
            let args = ["explain", "--user", user, "--group", group, "--target", "shop", "-o", "json", sql];
            let json: serde_json::Value = serde_json::from_slice(&scene.gateway.here(&args).stdout).unwrap();
            let columns = json["columns"].as_array().unwrap().iter().map(|column| {
                let mask = &column["mask"];
                let method = mask["method"].as_str().unwrap_or("clear");
                serde_json::json!([column["column"], column["from"], mask["label"], method, column["why"]])
            });
            let said: Vec<serde_json::Value> = columns.collect();
            assert_eq!(said.len(), origins.len(), "{sql}: {json}");
            for (column, from) in said.iter().zip(origins) {
                assert_eq!(column[1], serde_json::json!(from), "{user}, {sql}: {json}");
                let masked = user == "alice" && !from.is_empty();
                assert_eq!(column[3], if masked { "redact" } else { "clear" }, "{user}, {sql}: {json}");
                assert_eq!(column[4].as_str().unwrap().contains("mask-pii"), masked, "{user}, {sql}: {json}");
            }
            explained.push(said);
            // By both protocols, and by name.
            client.query(sql);
            let extended = [wire::parse("", sql), wire::bind("", "", &[], 0), wire::execute("", 0), wire::sync()];
            client.send_raw(&extended.concat());
            client.until_ready();
            client.query(&format!("PREPARE p AS {sql}"));
            client.query("EXECUTE p");
            client.query("DEALLOCATE p");
        }
        let events = scene.gateway.events();
        let session = |e: &&serde_json::Value| e["text"].as_str().is_some_and(|text| text.starts_with("PREPARE p"));
        let session = &events.iter().rfind(session).unwrap()["recording"];
        let certified: Vec<(&str, Vec<serde_json::Value>)> = events
            .iter()
            .filter(|e| e["recording"] == *session && e["event"] == "judged" && e["certificates"].is_array())
            .map(|judged| {
                let asked = events
                    .iter()
                    .find(|e| e["recording"] == *session && e["request"] == judged["request"] && e["text"].is_string());
                (asked.unwrap()["text"].as_str().unwrap(), worded(&judged["certificates"]))
            })
            .collect();
        let by_name: Vec<_> = certified.iter().filter(|(text, _)| text.starts_with("EXECUTE p")).collect();
        assert_eq!(by_name.len(), statements.len(), "{certified:?}");
        for (((sql, _), said), executed) in statements.iter().zip(&explained).zip(by_name) {
            let by_text: Vec<_> = certified.iter().filter(|(text, _)| text == sql).collect();
            assert!(by_text.len() >= 2, "{user}, {sql}: {certified:?}");
            for (text, columns) in by_text.into_iter().chain([executed]) {
                assert_eq!(columns, said, "{user}, {sql}, as {text}");
            }
        }
    }
}

/// What the target cannot be asked about is not called harmless.
#[test]
fn explain_without_the_catalog_calls_nothing_harmless() {
    let scene = scene();
    let mut explain = Command::new(places::lockgate());
    explain.args(["explain", "--user", "alice", "--group", "engineers", "--target", "shop", "-o", "json"]);
    explain.arg("SELECT id, ssn, upper(email) FROM people").arg("-c").arg(scene.gateway.config());
    let explained = process::output(explain.env_remove("TEST_TARGET_PASSWORD"));
    let said = process::text(&explained);
    assert!(said.contains("TEST_TARGET_PASSWORD"), "it does not say what is missing: {said}");
    let json: serde_json::Value = serde_json::from_slice(&explained.stdout).unwrap();
    let columns = json["columns"].as_array().unwrap();
    assert!(!columns.is_empty(), "{json}");
    for column in columns {
        assert_eq!(column["from"][0], "unknown origin, which counts as everything labelled", "{json}");
        assert_eq!(column["mask"]["method"], "redact", "{json}");
    }
}
