//! What happened is written down before it happens, can be read again, and cannot be altered unnoticed.

use lockgate_tests::process;
use lockgate_tests::wire::{self, Client};
use lockgate_tests::{Scene, scene};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
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
fn who_from_where_to_what_how_much_and_how_long() {
    let scene = scene();
    let dana = scene.dana();
    let flags = ["--kind", "agent", "--on-behalf-of", "bob", "--on-behalf-of-group", "engineers"];
    let bot = scene.gateway.token_with("bot", &["engineers"], &flags);
    let mut client = Client::login(scene.gateway.port, "bot", bot["token"].as_str().unwrap());
    client.query("SELECT name, ssn FROM people WHERE id <= 2 ORDER BY id LIMIT 2");
    client.query("SELECT pg_sleep(0.3)");
    client.query("SELECT 1/0");
    client.send(b'Q', &wire::text("DELETE FROM notes WHERE id = 2"));
    let approval = scene.pending(&dana);
    assert!(scene.approve(&dana, &approval).status.success());
    client.until_ready();
    drop(client);
    let mut events = Vec::new();
    process::eventually("the session has its end", std::time::Duration::from_secs(10), || {
        events = scene.gateway.events();
        events.iter().any(|event| event["event"] == "session_closed")
    });
    let one = |name: &str| events.iter().find(|event| event["event"] == name).unwrap_or_else(|| panic!("no {name}"));
    let opened = one("session_opened");
    let is = |field: &str, value: Value| assert_eq!(opened[field], value, "{opened}");
    is("user", "bot".into());
    is("kind", "agent".into());
    is("groups", serde_json::json!(["engineers"]));
    is("on_behalf_of", serde_json::json!([{"user": "bob", "groups": ["engineers"]}]));
    is("token_id", bot["id"].clone());
    is("target", "shop".into());
    is("protocol", "postgres".into());
    assert!(opened["client"].as_str().unwrap().starts_with("127.0.0.1:"), "{opened}");
    let recording = &opened["recording"];
    let of = |text: &str, name: &str| {
        let asked =
            events.iter().find(|e| e["event"] == "asked" && e["text"].as_str().unwrap().contains(text)).unwrap();
        let same = |e: &&Value| e["event"] == name && e["request"] == asked["request"] && e["recording"] == *recording;
        events.iter().find(same).unwrap_or_else(|| panic!("no {name} of {asked}")).clone()
    };
    let judged = of("SELECT name, ssn", "judged");
    assert_eq!(judged["verdict"], "allow");
    let mask = judged["policies"].as_array().unwrap().iter().find(|policy| policy["id"] == "mask-pii").unwrap();
    assert!(mask["place"].as_str().unwrap().contains("test.cedar:"), "{judged}");
    assert_eq!(judged["masks"][0]["label"], "pii/ssn");
    assert_eq!(judged["masks"][0]["method"], "redact");
    assert_eq!(of("SELECT name, ssn", "rows")["rows"], serde_json::json!([["Person 1", "***"], ["Person 2", "***"]]));
    let done = of("SELECT name, ssn", "done");
    assert_eq!((&done["outcome"], &done["tag"], &done["rows"]), (&"completed".into(), &"SELECT 2".into(), &2.into()));
    assert!(done["bytes"].as_u64().unwrap() >= 22, "{done}");
    let slept = of("pg_sleep", "done")["duration_us"].as_u64().unwrap();
    assert!((300_000..30_000_000).contains(&slept), "{slept} us");
    let failed = of("1/0", "done");
    assert_eq!((&failed["outcome"], &failed["error"]["code"]), (&"failed".into(), &"22012".into()));
    let held = of("DELETE FROM notes", "held");
    assert_eq!((&held["approval"], &held["approvers"]), (&Value::from(approval), &serde_json::json!(["dba"])));
    let decided = of("DELETE FROM notes", "decided");
    assert_eq!((&decided["outcome"], &decided["by"]), (&"approved".into(), &serde_json::json!(["dana"])), "{decided}");
    assert_eq!(of("DELETE FROM notes", "done")["tag"], "DELETE 1");
    // The login, and four statements.
    let closed = one("session_closed");
    assert_eq!((&closed["requests"], &closed["reason"]), (&5.into(), &"client_lost".into()), "{closed}");
    let times: Vec<&str> =
        events.iter().filter(|e| e["recording"] == *recording).map(|e| e["time"].as_str().unwrap()).collect();
    assert!(times.is_sorted() && times.iter().all(|time| time.len() == 24 && time.ends_with('Z')), "{times:?}");
}

#[test]
fn of_a_long_result_a_part_is_recorded_and_that_is_said() {
    let scene = Scene::with(15, |options| options.extra.push_str("recording: {result_bytes: 256KiB}\n"));
    let mut client = Client::login(scene.gateway.port, "alice", &scene.alice());
    for letter in ["x", "y"] {
        let frames = client.query(&format!("SELECT repeat('{letter}', 100) FROM generate_series(1, 20000)"));
        assert_eq!(wire::rows(&frames).len(), 20_000, "what is not recorded is delivered all the same");
    }
    drop(client);
    let events = scene.gateway.events();
    let cut: Vec<&Value> = events.iter().filter(|event| event["event"] == "rows_cut").collect();
    // Each request has as much as another, and it is said once of each.
    assert_eq!(cut.len(), 2, "{cut:?}");
    for event in cut {
        assert_eq!((&event["limit"], &event["what"]), (&(256 << 10).into(), &"rows".into()), "{event}");
    }
    let recorded: u64 = events.iter().filter(|e| e["event"] == "rows").map(|e| e["count"].as_u64().unwrap()).sum();
    // What came together is recorded together or not at all.
    assert!((200..=5_200).contains(&recorded), "{recorded} rows are recorded");
    let done: Vec<&Value> = events.iter().filter(|e| e["event"] == "done" && e["tag"] == "SELECT 20000").collect();
    assert!(done.len() == 2 && done.iter().all(|done| done["rows"] == 20_000), "{done:?}");
    scene.gateway.verify();
}

#[test]
fn texts_that_differ_in_a_number_are_each_recorded_as_they_were() {
    let scene = scene();
    let alice = scene.alice();
    let mut client = Client::login(scene.gateway.port, "alice", &alice);
    let mut shown = Vec::new();
    for id in [7, 8, 41, 7] {
        let frames = client.query(&format!("SELECT {id}, id, ssn FROM people WHERE id = {id} LIMIT 1"));
        let row = frames.iter().find(|frame| frame.tag == b'D').expect("a row");
        shown.push(String::from_utf8_lossy(&row.body).into_owned());
        let frames = client.query(&format!("SELECT id, ssn FROM people WHERE id = {id} ORDER BY 1 LIMIT 1"));
        assert!(frames.iter().any(|frame| frame.tag == b'D'));
    }
    drop(client);
    for (row, id) in shown.iter().zip(["7", "8", "41", "7"]) {
        assert!(row.contains(id), "{row}");
        assert!(!row.contains("CANARY"), "the number shows: {row}");
    }
    let text = exported(&scene);
    for id in [7, 8, 41] {
        for sql in [
            "SELECT {}, id, ssn FROM people WHERE id = {} LIMIT 1",
            "SELECT id, ssn FROM people WHERE id = {} ORDER BY 1 LIMIT 1",
        ] {
            let sql = sql.replace("{}", &id.to_string());
            assert!(text.contains(&sql), "`{sql}` is not recorded");
        }
    }
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
fn a_live_session_is_counted_and_followed_until_it_ends() {
    let mut scene = scene();
    let (olga, alice) = (scene.olga(), scene.alice());
    let mut client = Client::login(scene.gateway.port, "alice", &alice);
    client.query("SELECT 'before it was followed'");
    let id = session_of(&mut client);
    let files = |name: &str| scene.gateway.home().join(name);
    let tail = |name: &str, there: bool| {
        let mut command = process::mortal("KILL", &lockgate_tests::places::lockgate(), None);
        command.args(["sessions", "tail", &id]).current_dir(scene.gateway.home());
        match there {
            true => command
                .env("LOCKGATE_URL", scene.gateway.url())
                .env("LOCKGATE_TOKEN", &olga)
                .env("LOCKGATE_CA", scene.gateway.authority()),
            false => command.arg("-c").arg(scene.gateway.config()).env("TEST_TARGET_PASSWORD", "unused"),
        };
        command.stdin(std::process::Stdio::null()).stdout(std::fs::File::create(files(name)).unwrap());
        process::spawn(command)
    };
    let mut tails = [tail("tail-here", false), tail("tail-there", true)];
    let says = |words: &str| {
        process::eventually(words, std::time::Duration::from_secs(10), || {
            ["tail-here", "tail-there"].iter().all(|name| std::fs::read_to_string(files(name)).unwrap().contains(words))
        });
    };
    says("before it was followed");
    client.query("SELECT name, 'while it was followed' FROM people WHERE id = 3");
    says("while it was followed");
    let there = std::fs::read_to_string(files("tail-there")).unwrap();
    assert!(!there.contains("Person 3"), "an administrator gets no rows: {there}");
    assert!(std::fs::read_to_string(files("tail-here")).unwrap().contains("Person 3"));
    let counted = |scene: &Scene, id: &str| {
        let listed = scene.gateway.as_user(&scene.olga(), &["sessions", "list", "-o", "json"]);
        let list: Value = serde_json::from_slice(&listed.stdout).unwrap();
        let session = list.as_array().unwrap().iter().find(|session| session["id"] == *id).unwrap();
        (session["requests"].as_u64().unwrap(), session["denied"].as_u64().unwrap(), session["rows"].as_u64().unwrap())
    };
    // The login is a request too.
    process::eventually("the list counts", std::time::Duration::from_secs(5), || counted(&scene, &id) == (4, 1, 2));
    for tail in &mut tails {
        assert!(tail.try_wait().unwrap().is_none(), "it ended before the session");
    }
    client.query("SELECT 'last'");
    drop(client);
    for tail in &mut tails {
        assert!(process::ends_within(tail, std::time::Duration::from_secs(10)), "it goes on after the session's end");
        assert!(tail.wait().unwrap().success());
    }
    // A session that a crash cut off is counted to its end.
    let mut client = Client::login(scene.gateway.port, "alice", &alice);
    (0..7).for_each(|n| drop(client.query(&format!("SELECT {n}"))));
    // So is one that ended just before, which may not be in the list yet.
    let id = session_of(&mut client);
    let mut other = Client::login(scene.gateway.port, "alice", &alice);
    other.query("SELECT 'short'");
    drop(other);
    scene.gateway.kill();
    scene.gateway.resume();
    process::eventually("what was cut off is counted", std::time::Duration::from_secs(5), || {
        counted(&scene, &id) == (9, 1, 7)
    });
    let listed = scene.gateway.as_user(&scene.olga(), &["sessions", "list", "-o", "json"]);
    let list: Vec<Value> = serde_json::from_slice(&listed.stdout).unwrap();
    assert_eq!(list.len(), 3, "{list:?}");
}

#[test]
fn planted_secrets_are_nowhere() {
    let scene = scene();
    let (alice, dana, olga) = (scene.alice(), scene.dana(), scene.olga());
    let mut client = Client::login(scene.gateway.port, "dana", &dana);
    for sql in [
        "ALTER ROLE nobody PASSWORD 'canary-alter-role'",
        "CREATE ROLE nobody LOGIN ENCRYPTED PASSWORD 'canary-create-role'",
        "ALTER USER nobody WITH PASSWORD $$canary-dollar$$",
        "CREATE USER MAPPING FOR CURRENT_USER SERVER nowhere OPTIONS (user 'u', password 'canary-mapping')",
        "ALTER USER MAPPING FOR CURRENT_USER SERVER nowhere OPTIONS (SET password 'canary-mapping-two')",
        "SELECT 1; ALTER ROLE nobody PASSWORD 'canary-second'",
        "ALTER ROLE nobody PASSWORD 'SCRAM-SHA-256$4096:c2FsdA==$canary-scram:x'",
        "CREATE SUBSCRIPTION s CONNECTION 'host=h password=canary-subscription' PUBLICATION p WITH (connect = false)",
        // Texts that do not parse: no string of theirs is kept, and no word after one that announces a secret.
        "CREATE ROLE nobody PASSWORD 'canary-garbage' garbage",
        "CREATE ROLE nobody PASSWRD 'canary-misspelt'",
        "CREATE ROLE nobody 'canary-forgotten'",
        "CREATE USER nobody IDENTIFIED BY 'canary-identified'",
        "ALTER ROLE nobody PASSWORD canary-bare",
        "ALTER ROLE nobody PASSWORD \"canary-quoted\"",
        "ALTER ROLE nobody PASSWORD 'canary-unterminated",
        "ALTER ROLE nobody PASSWORD $$canary-open-dollar",
        "SELEKT 1; ALTER ROLE nobody PASSWORD E'canary-escaped'",
    ] {
        client.query(sql);
    }
    client.send_raw(
        &[
            wire::parse("", "ALTER ROLE nobody PASSWORD 'canary-parsed'"),
            wire::bind("", "", &[], 0),
            wire::execute("", 0),
            wire::sync(),
        ]
        .concat(),
    );
    client.until_ready();
    client.send_raw(
        &[wire::parse("", "ALTER ROLE nobody PASSWORD 'canary-parsed-garbage' garbage"), wire::sync()].concat(),
    );
    client.until_ready();
    let mut told = std::mem::take(&mut client.seen);
    drop(client);
    let mut client = Client::login(scene.gateway.port, "alice", &alice);
    for sql in [
        "SELECT id, ssn, doc, tags FROM people ORDER BY id LIMIT 20",
        "SELECT ssn::int FROM people WHERE id = 7",
        "INSERT INTO people SELECT * FROM people WHERE id = 7",
        "SELECT 1/(length(ssn) - length(ssn)) FROM people",
        "SELECT xmlparse(document ssn) FROM people WHERE id = 7",
        "SELECT * FROM people WHERE doc = 'x'",
    ] {
        client.query(sql);
    }
    told.extend(std::mem::take(&mut client.seen));
    drop(client);
    let wrong = format!("lg_canary{}", "x".repeat(40));
    scene.gateway.refuses_login("alice", &wrong);
    lockgate_tests::api::call(&scene.gateway, "GET", "/api/v1/whoami", Some(&wrong), None);
    lockgate_tests::api::call(&scene.gateway, "GET", "/api/v1/whoami", Some(&olga), None);
    process::eventually("sessions end", std::time::Duration::from_secs(10), || {
        scene.gateway.events().iter().filter(|event| event["event"] == "session_closed").count() >= 2
    });

    let mut places = vec![
        ("the recordings".to_owned(), exported(&scene).into_bytes()),
        ("the log".to_owned(), scene.gateway.log().into_bytes()),
        ("the metrics".to_owned(), lockgate_tests::api::metrics(&scene.gateway).into_bytes()),
    ];
    // What the clients were told may repeat what they said themselves, and nothing else.
    for secret in
        [&alice, &dana, &olga, "SSN-CANARY-", "DOC-CANARY-", "TAG-CANARY-", lockgate_tests::postgres::PASSWORD]
    {
        let found = told.windows(secret.len()).position(|window| window == secret.as_bytes());
        assert_eq!(found, None, "a client was told `{secret}`");
    }
    for file in files_below(&scene.gateway.data_dir()) {
        places.push((file.display().to_string(), std::fs::read(&file).unwrap()));
    }
    let secrets = [
        "canary-",
        &wrong,
        &alice,
        &dana,
        &olga,
        "SSN-CANARY-",
        "DOC-CANARY-",
        "TAG-CANARY-",
        lockgate_tests::postgres::PASSWORD,
    ];
    for secret in secrets {
        for (place, bytes) in &places {
            let found = bytes.windows(secret.len()).position(|window| window == secret.as_bytes());
            let near =
                found.map(|at| String::from_utf8_lossy(&bytes[at.saturating_sub(150)..bytes.len().min(at + 80)]));
            assert_eq!(near, None, "`{secret}` is in {place}");
        }
    }
    assert!(exported(&scene).contains("ALTER ROLE nobody PASSWORD"), "what was asked is on record without the secret");
}

#[test]
fn secrets_in_a_text_that_the_target_cannot_parse_are_nowhere() {
    // Everything is permitted, so that the target is asked and answers with words of the text.
    let scene = Scene::permit_all(15);
    let alice = scene.alice();
    let mut client = Client::login(scene.gateway.port, "alice", &alice);
    for (n, sql) in [
        "CREATE ROLE nobody PASSWORD 'canary-0' garbage",
        "CREATE ROLE nobody 'canary-1'",
        "CREATE ROLE nobody PASSWORD \"canary-2\"",
        "CREATE ROLE nobody PASSWORD canary3",
        "CREATE ROLE nobody PASSWORD 'canary-4",
        "CREATE ROLE nobody PASSWORD $$canary-5",
        "SET lc_messages = 'C'; CREATE ROLE nobody 'canary-6'",
    ]
    .into_iter()
    .enumerate()
    {
        let frames = client.query(sql);
        wire::error(&frames);
        client.send_raw(&[wire::parse("", sql), wire::sync()].concat());
        wire::error(&client.until_ready());
        assert_eq!(client.value(&format!("SELECT {n}")), n.to_string());
    }
    let text = exported(&scene);
    assert!(text.contains("CREATE ROLE nobody") && text.contains("syntax error at or near"), "{text}");
    for place in [&text, &scene.gateway.log()] {
        let found =
            place.find("canary").map(|at| place[at.saturating_sub(200)..].chars().take(300).collect::<String>());
        assert_eq!(found, None);
    }
}

#[test]
fn a_search_goes_by_words_verdict_and_time() {
    let scene = scene();
    let (alice, dana) = (scene.alice(), scene.dana());
    let mut client = Client::login(scene.gateway.port, "alice", &alice);
    client.query("SELECT 'needle allowed'");
    client.query("DELETE FROM notes /* needle denied */");
    client.send(b'Q', &wire::text("DELETE FROM notes WHERE id = 1 /* needle held */"));
    let id = scene.pending(&dana);
    assert!(scene.gateway.as_user(&dana, &["approvals", "deny", &id]).status.success());
    client.until_ready();
    std::thread::sleep(std::time::Duration::from_millis(1_200));
    let seconds = || std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    let between = format!("{}", lockgate_core::Timestamp::from_millis(i64::try_from(seconds()).unwrap() * 1_000));
    let between = between.replace(".000Z", "Z");
    std::thread::sleep(std::time::Duration::from_millis(1_200));
    // The session is older than the point in time; what it does now is not.
    client.query("SELECT 'needle late'");
    drop(client);
    let found = |args: &[&str]| {
        let printed = scene.gateway.here_ok(&[&["audit", "search", "-o", "json"], args].concat());
        let hits: Vec<Value> = serde_json::from_str(&printed).unwrap_or_else(|error| panic!("{error}: {printed}"));
        let asked = hits.iter().filter(|hit| hit["kind"] == "asked");
        let words = ["allowed", "denied", "held", "late"];
        asked
            .flat_map(|hit| {
                words.iter().filter(|word| hit["text"].as_str().unwrap().contains(&format!("needle {word}")))
            })
            .copied()
            .collect::<Vec<_>>()
    };
    assert_eq!(found(&["NEEDLE"]), ["allowed", "denied", "held", "late"]);
    assert_eq!(found(&["needle", "--verdict", "allow"]), ["allowed", "late"]);
    assert_eq!(found(&["needle", "--verdict", "deny"]), ["denied"]);
    assert_eq!(found(&["needle", "--verdict", "hold"]), ["held"]);
    assert_eq!(found(&["--verdict", "hold"]), ["held"], "a text is not needed");
    assert_eq!(found(&["needle", "--since", &between]), ["late"]);
    assert_eq!(found(&["needle", "--until", &between]), ["allowed", "denied", "held"]);
    assert_eq!(found(&["needle", "--since", &between, "--verdict", "deny"]), [""; 0]);
    assert_eq!(found(&["needle", "--user", "bob"]), [""; 0]);
    let policies =
        scene.gateway.here_ok(&["audit", "search", "delete-without-where", "--verdict", "deny", "-o", "json"]);
    assert!(policies.contains("judged"), "{policies}");
}

/// Every request of every recording has exactly one end, and every session an end after which nothing comes. Yields how
/// requests ended, by the text that was asked.
pub(crate) fn ends(events: &[Value]) -> Vec<(String, String)> {
    let mut asked = std::collections::BTreeMap::new();
    let mut ended = Vec::new();
    let mut closed = std::collections::BTreeSet::new();
    for event in events {
        let word = |name: &str| event[name].as_str().unwrap_or_default().to_owned();
        let recording = word("recording");
        let request = (recording.clone(), event["request"].as_u64());
        assert!(!closed.contains(&recording), "something follows the end of {recording}: {event}");
        match word("event").as_str() {
            "asked" => assert!(asked.insert(request, word("text")).is_none(), "asked twice: {event}"),
            "done" => {
                let text = asked.remove(&request).unwrap_or_else(|| panic!("an end without a beginning: {event}"));
                ended.push((text, word("outcome")));
            }
            "session_closed" | "recovered" | "gateway_stopped" => {
                closed.insert(recording);
            }
            _ => {}
        }
    }
    assert!(asked.is_empty(), "without an end: {asked:?}");
    ended
}

fn outcome<'e>(ended: &'e [(String, String)], text: &str) -> &'e str {
    let found: Vec<&str> =
        ended.iter().filter(|(asked, _)| asked.contains(text)).map(|(_, how)| how.as_str()).collect();
    assert_eq!(found.len(), 1, "`{text}` ended {found:?} in {ended:?}");
    found[0]
}

/// A statement that the gateway runs in a transaction of its own is done when that is committed, and not before.
#[test]
fn what_cannot_be_committed_is_not_recorded_as_done() {
    let mut scene = scene();
    scene.directly(
        "CREATE TABLE parts (id int PRIMARY KEY, whole int REFERENCES notes DEFERRABLE INITIALLY DEFERRED); GRANT ALL ON parts TO app",
    );
    let mut client = Client::login(scene.gateway.port, "alice", &scene.alice());
    let copy = |id: u32| format!("INSERT INTO parts SELECT {id}, max(n.id) + {id} FROM notes n, notes m");
    let fails = client.query(&copy(1_000_000));
    assert_eq!(wire::error(&fails).field(b'C').as_deref(), Some("23503"), "{fails:?}");
    let fine = client.query(&copy(0));
    assert_eq!(wire::tags(&fine), "CZ", "{fine:?}");
    assert_eq!(client.value("SELECT count(*) FROM parts"), "1");
    drop(client);
    assert_eq!(scene.gateway.stop(), Some(0));
    let ended = ends(&scene.gateway.events());
    assert_eq!(outcome(&ended, &copy(1_000_000)), "failed");
    assert_eq!(outcome(&ended, &copy(0)), "completed");
}

#[test]
fn every_request_ends_once() {
    let mut scene = scene();
    let (alice, dana) = (scene.alice(), scene.dana());
    let begin = |sql: &str| {
        let mut client = Client::login(scene.gateway.port, "alice", &alice);
        client.send(b'Q', &wire::text(sql));
        client
    };
    let mut client = Client::login(scene.gateway.port, "alice", &alice);
    client.query("SELECT 'fine'");
    client.query("SELECT ssn FROM people WHERE id = 1");
    client.query("SELECT 'broken', 1/0");
    client.query("DELETE FROM notes");
    client.query("SET statement_timeout = 100");
    client.query("SELECT 'too long', pg_sleep(9)");
    client.query("SET statement_timeout = 0");
    client.send(b'Q', &wire::text("SELECT 'cancelled', pg_sleep(60)"));
    std::thread::sleep(std::time::Duration::from_millis(300));
    Client::connect(scene.gateway.port).send_raw(&wire::cancel(client.key.as_ref().unwrap()));
    client.until_ready();
    // Skipped behind an error in a pipeline.
    client.send_raw(
        &[
            wire::parse("", "SELECT 'fails', 1/0"),
            wire::bind("", "", &[], 0),
            wire::execute("", 0),
            wire::parse("", "SELECT 'behind it'"),
            wire::bind("", "", &[], 0),
            wire::execute("", 0),
            wire::sync(),
        ]
        .concat(),
    );
    client.until_ready();
    drop(client);
    // Held and denied, and held when its client went away.
    let mut held = begin("DELETE FROM notes WHERE id = 3");
    held.frame();
    let id = scene.pending(&dana);
    assert!(scene.gateway.as_user(&dana, &["approvals", "deny", &id]).status.success());
    held.until_ready();
    let mut withdrawn = begin("DELETE FROM notes WHERE id = 4");
    withdrawn.frame();
    scene.pending(&dana);
    withdrawn.reset();
    let lost = begin("SELECT 'lost', pg_sleep(60)");
    std::thread::sleep(std::time::Duration::from_millis(300));
    lost.reset();
    let closed =
        |scene: &Scene| scene.gateway.events().iter().filter(|event| event["event"] == "session_closed").count();
    drop(held);
    process::eventually("every session has its end", std::time::Duration::from_secs(12), || closed(&scene) == 4);
    let mut killed = begin("SELECT 'killed', pg_sleep(60)");
    std::thread::sleep(std::time::Duration::from_millis(300));
    scene.gateway.kill();
    assert!(killed.try_frame().is_none());
    scene.gateway.resume();
    assert_eq!(scene.gateway.stop(), Some(0));

    let ended = ends(&scene.gateway.events());
    for (text, how) in [
        ("'fine'", "completed"),
        ("SELECT ssn FROM", "completed"),
        ("'broken'", "failed"),
        ("DELETE FROM notes", "refused"),
        // PostgreSQL has one SQLSTATE for what a client or a timeout ended; the recorded error says which.
        ("'too long'", "cancelled"),
        ("'cancelled'", "cancelled"),
        ("notes WHERE id = 3", "refused"),
        ("'lost'", "aborted"),
        ("'killed'", "aborted"),
    ] {
        match text {
            "DELETE FROM notes" => assert!(ended.iter().any(|(asked, was)| asked == text && was == how), "{ended:?}"),
            _ => assert_eq!(outcome(&ended, text), how, "{text}"),
        }
    }
    scene.gateway.verify();
}

#[test]
fn an_open_recording_that_was_cut_short_is_found_while_it_lives() {
    let scene = scene();
    let mut client = Client::login(scene.gateway.port, "alice", &scene.alice());
    // More frames than a recording may gain without the log knowing of it.
    for round in 0..1_100 {
        client.query(&format!("SELECT {round}"));
    }
    scene.gateway.verify();
    let sessions = scene.gateway.data_dir().join("recordings");
    let mut files = files_below(&sessions);
    files.retain(|file| !file.to_string_lossy().contains("/gateway/") && file.extension().is_some_and(|e| e == "lgr"));
    let [file] = files.as_slice() else { panic!("{files:?}") };
    // Whole frames: the file ends where one ends.
    let bytes = std::fs::read(file).unwrap();
    let mut end = 56;
    while end < bytes.len() / 3 {
        let payload = u32::from_le_bytes(bytes[end + 4..end + 8].try_into().unwrap());
        end += 72 + payload as usize + 16 + 8;
    }
    std::fs::OpenOptions::new().write(true).open(file).unwrap().set_len(end as u64).unwrap();
    let output = scene.gateway.here(&["audit", "verify"]);
    assert_eq!(output.status.code(), Some(1), "{}", process::text(&output));
    assert!(process::text(&output).contains("truncated"), "{}", process::text(&output));
}

#[test]
fn a_copy_taken_while_it_runs_verifies_and_an_old_one_is_told_from_a_new_one() {
    let scene = scene();
    let alice = scene.alice();
    let stop = std::sync::atomic::AtomicBool::new(false);
    let copy = process::Scratch::make();
    let checkpoint = scene.gateway.home().join("checkpoint");
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                while !stop.load(std::sync::atomic::Ordering::SeqCst) {
                    let mut client = Client::login(scene.gateway.port, "alice", &alice);
                    (0..20).for_each(|n| drop(client.query(&format!("SELECT 'under load', {n}"))));
                }
            });
        }
        std::thread::sleep(std::time::Duration::from_millis(700));
        // The log first: what it lists is there then.
        let (data, copied) = (scene.gateway.data_dir(), copy.path().join("data"));
        std::fs::create_dir_all(copied.join("recordings")).unwrap();
        let log = data.join("recordings/log");
        process::run(std::process::Command::new("cp").arg("-a").arg(log).arg(copied.join("recordings")));
        process::run(std::process::Command::new("cp").arg("-an").arg(data.join(".")).arg(&copied));
        std::thread::sleep(std::time::Duration::from_millis(1_500));
        stop.store(true, std::sync::atomic::Ordering::SeqCst);
    });
    std::fs::write(&checkpoint, scene.gateway.here_ok(&["audit", "checkpoint"])).unwrap();
    let anchored = ["audit", "verify", "--checkpoint", checkpoint.to_str().unwrap()];
    scene.gateway.here_ok(&anchored);

    // A gateway on the copy finishes what the copy cut in the middle.
    let options = Scene::options(scene.postgres, &scene.database);
    let restored = lockgate_tests::Gateway::start(lockgate_tests::GatewayOptions {
        data_dir: Some(copy.path().join("data")),
        ..options
    });
    restored.verify();
    assert_eq!(restored.query("alice", &alice, "SELECT 'restored'"), "restored");
    restored.verify();
    let output = restored.here(&anchored);
    assert_eq!(output.status.code(), Some(1), "the copy is older than the checkpoint: {}", process::text(&output));
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
fn any_altered_or_missing_part_is_found() {
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

/// The frames of a recording, as their lengths follow each other: a header of 72 bytes with the payload's length at its fifth
/// byte, the payload, 24 bytes of tag and check.
fn frames_of(recording: &[u8]) -> (&[u8], Vec<&[u8]>) {
    let (head, mut rest) = recording.split_at(56);
    let mut frames = Vec::new();
    while !rest.is_empty() {
        let payload = u32::from_le_bytes(rest[4..8].try_into().unwrap());
        let (frame, behind) = rest.split_at(72 + usize::try_from(payload).unwrap() + 24);
        frames.push(frame);
        rest = behind;
    }
    (head, frames)
}

#[test]
fn verification_names_the_first_event_that_is_altered_missing_or_moved() {
    let mut scene = scene();
    let mut client = Client::login(scene.gateway.port, "alice", &scene.alice());
    let session = session_of(&mut client);
    for statement in 0..8 {
        client.query(&format!("SELECT 'statement {statement}'"));
    }
    drop(client);
    scene.gateway.stop();
    scene.gateway.verify();
    let files = files_below(&scene.gateway.data_dir().join("recordings"));
    let file = files.iter().find(|file| file.display().to_string().contains(&session)).expect("its recording");
    let whole = std::fs::read(file).unwrap();
    let (head, frames) = frames_of(&whole);
    let first_of = |frame: usize| u64::from_le_bytes(frames[frame][16..24].try_into().unwrap());
    let (at, behind) = (frames.len() / 2, frames.len() / 2 + 1);
    assert!(behind + 1 < frames.len(), "{} frames", frames.len());
    let together = |frames: &[&[u8]]| [&[head], frames].concat().concat();
    let mut altered = frames[at].to_vec();
    altered[80] ^= 1;
    let mut with = frames.clone();
    with[at] = &altered;
    let mut without = frames.clone();
    without.remove(at);
    let mut moved = frames.clone();
    moved.swap(at, behind);
    let mut twice = frames.clone();
    twice.insert(behind, frames[at]);
    for (kind, event, bytes) in [
        ("altered", first_of(at), together(&with)),
        ("missing", first_of(at), together(&without)),
        ("reordered", first_of(at), together(&moved)),
        ("reordered", first_of(behind), together(&twice)),
        ("truncated", first_of(at), together(&frames[..at])),
    ] {
        std::fs::write(file, bytes).unwrap();
        let output = scene.gateway.here(&["audit", "verify"]);
        let told = process::text(&output);
        assert_eq!(output.status.code(), Some(1), "{kind}: {told}");
        let named = format!("session {session}: event {event} {kind} ");
        assert!(told.contains(&named), "`{named}` is not in:\n{told}");
        let output = scene.gateway.here(&["audit", "verify", "-o", "json"]);
        assert_eq!(output.status.code(), Some(1), "{kind}");
        let told: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(told["sound"], false, "{told}");
        let first = &told["findings"][0];
        assert_eq!(
            (&first["session"], &first["kind"], &first["event"]),
            (&session.clone().into(), &kind.into(), &event.into()),
            "{told}"
        );
    }
    std::fs::remove_file(file).unwrap();
    let output = scene.gateway.here(&["audit", "verify"]);
    let told = process::text(&output);
    assert_eq!(output.status.code(), Some(1), "{told}");
    assert!(told.contains(&format!("session {session}: event 0 deleted")), "{told}");
    std::fs::write(file, &whole).unwrap();
    scene.gateway.verify();
}

#[test]
fn a_statement_is_on_disk_before_it_is_sent() {
    let scene = Scene::through(lockgate_tests::Postgres::shared(15).port);
    let mut client = Client::login(scene.gateway.port, "alice", &scene.alice());
    client.query("SELECT 1");
    let mut other = Client::login(scene.gateway.port, "alice", &scene.alice());
    other.query("SELECT 1");
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
    // So long that nothing but its own record is as long, and LZ4 makes it no shorter.
    let mut letters = 1_u64;
    let mut padding = || -> String {
        let next = || {
            letters = letters.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            char::from(b"abcdefghijklmnopqrstuvwxyz012345"[usize::try_from(letters >> 59).unwrap()])
        };
        std::iter::repeat_with(next).take(1_000).collect()
    };
    for i in 0..20 {
        client.query(&format!("SELECT 'traced-{i:04}' -- {}", padding()));
        other.query("SELECT 1");
    }
    process::signal(strace.id(), "INT");
    assert!(process::ends_within(&mut strace, std::time::Duration::from_secs(20)));
    // What goes to the target is in clear here. Its recording is not: a write of its length to the same recording each time,
    // after the statement before was sent and before it is sent itself.
    let trace = std::fs::read_to_string(&trace).unwrap();
    let target = format!("->127.0.0.1:{}]", scene.postgres.port);
    let recordings = scene.gateway.data_dir().join("recordings").display().to_string();
    let (mut recorded, mut sent, mut files) = (0, 0, BTreeSet::new());
    // Writes that another thread's call came between, by thread: they count when they are through.
    let mut under_way = BTreeMap::new();
    for line in trace.lines() {
        let thread = line.split(' ').next().unwrap();
        let mut written = None;
        if let Some((_, file)) = line.split_once(&recordings) {
            let lengths = line.split("iov_len=").skip(1).map(|rest| rest.chars().take_while(char::is_ascii_digit));
            let length: usize = lengths.map(|digits| digits.collect::<String>().parse::<usize>().unwrap()).sum();
            let file = file.split('>').next().unwrap().to_owned();
            match line.ends_with("<unfinished ...>") {
                true => drop(under_way.insert(thread, (file, length))),
                false => written = Some((file, length)),
            }
        } else if line.contains(" resumed>") {
            written = under_way.remove(thread);
        } else if line.contains(&target) && line.contains("traced-") {
            sent += 1;
            assert_eq!(recorded, 1, "statement {sent} was sent before it was written:\n{trace}");
            recorded = 0;
        }
        if let Some((file, _)) = written.filter(|(_, length)| *length > 900) {
            recorded += 1;
            files.insert(file);
        }
    }
    assert_eq!(sent, 20, "{trace}");
    assert_eq!(files.len(), 1, "{files:?}");
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

/// Code of the database may say anything, in every part of what it says.
#[test]
fn whatever_the_target_says_in_words_is_recorded() {
    let scene = Scene::permit_all(15);
    let alice = scene.alice();
    let mut client = Client::login(scene.gateway.port, "alice", &alice);
    let mut other = Client::login(scene.gateway.port, "alice", &alice);
    client.query("LISTEN channel");
    client.query(
        "DO $$ BEGIN RAISE NOTICE 'mark-notice' USING DETAIL = 'mark-' || 'detail', HINT = 'mark-' || 'hint', \
         COLUMN = 'mark-' || 'column'; PERFORM set_config('application_name', 'mark-' || 'setting', false); END $$",
    );
    client.query(
        "DO $$ BEGIN RAISE 'no' USING ERRCODE = '42601', DETAIL = 'mark-' || 'failed', CONSTRAINT = 'mark-' || 'key'; END $$",
    );
    other.query("SELECT pg_notify('channel', 'mark-' || 'payload')");
    let frames = client.query("SELECT 1");
    let frames = [frames, client.query("SELECT 2")].concat();
    assert!(frames.iter().any(|frame| frame.tag == b'A'), "{frames:?}");
    drop((client, other));
    let text = exported(&scene);
    for mark in ["notice", "detail", "hint", "column", "setting", "failed", "key", "payload"] {
        assert!(text.contains(&format!("mark-{mark}")), "`{mark}` is not recorded");
    }
    scene.gateway.verify();
}
