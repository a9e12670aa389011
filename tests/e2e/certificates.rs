//! The recording says of every statement where its columns come from and why they are masked, and so does `explain`.

use lockgate_tests::scene::CLASSIFY;
use lockgate_tests::wire::{self, Client};
use lockgate_tests::{Scene, process, scene};
use serde_json::Value;

/// The events of all sessions, in the order of the export.
fn events(scene: &Scene) -> Vec<Value> {
    let text = scene.gateway.here_ok(&["audit", "export"]);
    text.lines().map(|line| serde_json::from_str(line).expect("a line is an object")).collect()
}

/// The verdicts on requests whose text has `part`.
fn verdicts<'e>(events: &'e [Value], part: &str) -> Vec<&'e Value> {
    let is_of = |event: &&Value| event["text"].as_str().is_some_and(|text| text.contains(part));
    let asked: Vec<&Value> = events.iter().filter(|e| e["event"] == "asked").filter(is_of).collect();
    let judged = events.iter().filter(|e| e["event"] == "judged");
    judged.filter(|j| asked.iter().any(|a| a["request"] == j["request"] && a["recording"] == j["recording"])).collect()
}

#[test]
fn a_certificate_says_where_columns_come_from_and_is_written_once() {
    let scene = scene();
    let mut client = Client::login(scene.gateway.port, "alice", &scene.alice());
    let sql = |name: &str| {
        format!("SELECT id, ssn, upper(email) AS mail, 'lit-{name}' FROM people WHERE name <> 'lit-{name}' LIMIT 1")
    };
    for name in ["a", "b", "c"] {
        client.query(&sql(name));
    }
    client.send_raw(&[wire::parse("s", "SELECT number FROM contacts LIMIT 2"), wire::sync()].concat());
    client.until_ready();
    for _ in 0..3 {
        client.send_raw(&[wire::bind("", "s", &[], 0), wire::execute("", 0), wire::sync()].concat());
        client.until_ready();
    }
    client.query("PREPARE q AS SELECT salary FROM people LIMIT 3");
    client.query("EXECUTE q");
    client.query("SELECT count(*) FROM people WHERE ssn LIKE '%7'");
    drop(client);
    let session = events(&scene);

    let selects = verdicts(&session, "lit-");
    assert_eq!(selects.len(), 3);
    for verdict in selects {
        let columns = &verdict["certificates"][0]["statements"][0]["columns"];
        let of = |at: usize, field: &str| columns[at][field].clone();
        assert_eq!(
            (of(0, "name"), of(0, "method"), of(0, "why")),
            ("id".into(), "clear".into(), "nothing labelled".into())
        );
        assert_eq!(
            (of(1, "method"), of(1, "label"), of(1, "derived")),
            ("redact".into(), "pii/ssn".into(), false.into())
        );
        assert_eq!(columns[1]["from"][0]["column"], "public.people.ssn");
        assert_eq!(columns[1]["from"][0]["labels"][0], "pii/ssn");
        assert!(columns[1]["why"].as_str().unwrap().starts_with("policy \"mask-pii\" ("), "{columns}");
        assert_eq!((of(2, "name"), of(2, "method"), of(2, "derived")), ("mail".into(), "redact".into(), true.into()));
        assert_eq!(columns[2]["from"][0]["column"], "public.people.email");
        assert!(verdict["lineage"].as_str().unwrap().contains("public.people.ssn (pii/ssn)"), "{verdict}");
    }
    // A view, prepared and run three times; what EXECUTE runs; a use that is refused.
    let view = verdicts(&session, "FROM contacts");
    assert_eq!(view.len(), 4);
    for verdict in view {
        let column = &verdict["certificates"][0]["statements"][0]["columns"][0];
        assert_eq!((&column["name"], &column["from"][0]["column"]), (&"number".into(), &"public.people.ssn".into()));
    }
    let executed = verdicts(&session, "EXECUTE q");
    assert!(executed[0]["lineage"].as_str().unwrap().contains("public.people.salary (pii/salary)"), "{executed:?}");
    let refused = verdicts(&session, "LIKE '%7'");
    assert_eq!(refused[0]["verdict"], "deny");
    let used = &refused[0]["certificates"][0]["statements"][0]["uses"][0];
    assert_eq!((&used["how"], &used["from"][0]["column"]), (&"predicate".into(), &"public.people.ssn".into()));

    let certificates: Vec<String> =
        session.iter().filter(|e| e["event"] == "certificate").map(Value::to_string).collect();
    let naming = |name: &str| certificates.iter().filter(|c| c.contains(name)).count();
    assert_eq!(naming("\"mail\""), 1, "one for three texts and runs");
    assert_eq!(naming("\"name\":\"number\""), 1);
    assert!(
        certificates.iter().all(|c| !c.contains("lit-") && !c.contains("CANARY")),
        "no constants: {certificates:?}"
    );
    scene.gateway.verify();
}

#[test]
fn it_is_shown_in_every_way_a_session_is_read() {
    let scene = scene();
    scene.gateway.query("alice", &scene.alice(), "SELECT ssn FROM people LIMIT 1");
    let listed = scene.gateway.here_ok(&["sessions", "list", "-o", "json"]);
    let listed: Value = serde_json::from_str(&listed).unwrap();
    let id = listed[0]["id"].as_str().unwrap();
    let said = "column 0 \"ssn\" masked: pii/ssn, redact (policy \"mask-pii\" (";
    let olga = scene.olga();
    for verb in ["show", "replay"] {
        process::eventually("the request has ended", std::time::Duration::from_secs(10), || {
            scene.gateway.here_ok(&["sessions", verb, id]).contains("completed")
        });
        let here = scene.gateway.here_ok(&["sessions", verb, id]);
        assert!(here.contains(said) && here.contains("from public.people.ssn (pii/ssn)"), "{verb}: {here}");
        let there = scene.gateway.as_user(&olga, &["sessions", verb, id]);
        let there = process::text(&there);
        assert!(there.contains(said) && there.contains("from public.people.ssn (pii/ssn)"), "{verb}: {there}");
    }
    let explained = scene.gateway.here_ok(&[
        "explain",
        "--user",
        "alice",
        "--group",
        "engineers",
        "--target",
        "shop",
        "SELECT ssn, id FROM people LIMIT 1",
    ]);
    let line = "ssn <- public.people.ssn (pii/ssn): redact for pii/ssn (policy \"mask-pii\" (";
    assert!(explained.contains(line) && explained.contains("id <- nothing labelled"), "{explained}");
}

#[test]
fn it_says_which_content_rules_look_into_which_column() {
    let scene = Scene::with(15, |options| {
        options.extra = format!("{CLASSIFY}  - label: pii/found\n    detect: [email, card]\n");
    });
    let sql = "SELECT ssn, name FROM people LIMIT 1";
    scene.gateway.query("alice", &scene.alice(), sql);
    scene.gateway.query("frank", &scene.frank(), sql);
    let events = events(&scene);
    let of = |user: &str| {
        let opened = events.iter().find(|e| e["event"] == "session_opened" && e["user"] == user).unwrap();
        let mut own = verdicts(&events, sql).into_iter().filter(|v| v["recording"] == opened["recording"]);
        own.next().unwrap()["certificates"][0].clone()
    };
    let checked = |certificate: &Value| {
        let columns = certificate["statements"][0]["columns"].as_array().unwrap();
        columns.iter().map(|column| column["checked"].as_bool().unwrap()).collect::<Vec<_>>()
    };
    let (alice, frank) = (of("alice"), of("frank"));
    assert_eq!(checked(&alice), [false, true], "what is masked whole needs no look");
    assert_eq!(alice["content"][0]["method"], "redact");
    assert_eq!(alice["content"][0]["detectors"], serde_json::json!(["email", "card"]));
    assert_eq!(checked(&frank), [false, false]);
    assert_eq!(frank["content"][0]["method"], "clear", "frank may reveal it, so it is not looked for");
    assert_eq!(frank["statements"][0]["columns"][0]["why"], "it may be revealed");

    let explained = |user: &str, group: &str| {
        scene.gateway.here_ok(&["explain", "--user", user, "--group", group, "--target", "shop", sql])
    };
    let alice = explained("alice", "engineers");
    assert!(alice.contains("name <- nothing labelled; content rules look into it"), "{alice}");
    assert!(alice.contains("email, card: redact for pii/found, wherever found"), "{alice}");
    let frank = explained("frank", "fraud");
    assert!(frank.contains("email, card: not looked for, pii/found may be revealed"), "{frank}");
    assert!(frank.contains("ssn <- public.people.ssn (pii/ssn): clear (it may be revealed)"), "{frank}");
}
