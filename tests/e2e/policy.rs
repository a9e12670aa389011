//! Verdicts, in the words that the contract gives them.

use lockgate_tests::process::{self, eventually};
use lockgate_tests::scene::{POLICIES, Scene, scene};
use lockgate_tests::wire::{self, Client};
use std::time::Duration;

/// The line of the `@id` of a policy in the scene's file, or of its `forbid`: what the message may point at.
fn lines_of(id: &str) -> Vec<String> {
    let at = POLICIES.lines().position(|line| line == format!("@id(\"{id}\")")).unwrap() + 1;
    (at..at + 4).map(|line| format!("test.cedar:{line})")).collect()
}

#[test]
fn a_refusal_names_the_policy_the_place_the_action_and_the_session() {
    let scene = scene();
    let mut client = Client::login(scene.gateway.port, "alice", &scene.alice());
    for (sql, policy, action) in
        [("COPY people TO STDOUT", "no-bulk-export", "export"), ("DELETE FROM notes", "delete-without-where", "write")]
    {
        let frames = client.query(sql);
        let error = wire::error(&frames);
        assert_eq!(error.field(b'S').as_deref(), Some("ERROR"));
        assert_eq!(error.field(b'C').as_deref(), Some("42501"), "{sql}: {error:?}");
        assert_eq!(error.field(b'M').as_deref(), Some("refused by policy"), "{sql}: {error:?}");
        let detail = error.field(b'D').unwrap();
        assert!(detail.starts_with(&format!("policy \"{policy}\" (")), "{detail}");
        assert!(lines_of(policy).iter().any(|line| detail.contains(line)), "{detail}");
        assert!(detail.contains(&format!("forbids {action} on ")) && detail.contains(" to alice"), "{detail}");
        let hint = error.field(b'H').unwrap();
        let (what_to_do, session) = hint.split_once("   session ").unwrap_or_else(|| panic!("no session in `{hint}`"));
        assert_eq!(what_to_do, "ask for access: lockgate request shop --reason \"…\"");
        assert!(session.len() == 26 && session.bytes().all(|b| b.is_ascii_alphanumeric()), "{hint}");
    }
    assert_eq!(scene.directly("SELECT count(*) FROM notes"), "20");
}

#[test]
fn what_nothing_permits_is_refused() {
    let scene = scene();
    let frank = scene.frank();
    for sql in ["INSERT INTO notes (body) VALUES ('x')", "CREATE TABLE x ()", "TRUNCATE notes", "CALL nothing()"] {
        let told = scene.gateway.refused("frank", &frank, sql);
        assert!(told.contains("42501"), "{sql}: {told}");
    }
    assert_eq!(scene.directly("SELECT count(*) FROM notes"), "20");
}

#[test]
fn the_verb_is_found_however_it_is_written() {
    let scene = scene();
    let alice = scene.alice();
    let mut client = Client::login(scene.gateway.port, "alice", &alice);
    let mut passed = Vec::new();
    for sql in [
        "DELETE FROM notes",
        "dElEtE\nFROM/* where */notes",
        "/* a /* nested */ comment */ DELETE FROM notes -- WHERE id = 1",
        "SELECT 1; DELETE FROM notes",
        "DELETE FROM notes; SELECT 1",
        "WITH gone AS (DELETE FROM notes RETURNING id) SELECT count(*) FROM gone",
        "EXPLAIN ANALYZE DELETE FROM notes",
        "PREPARE d AS DELETE FROM notes; EXECUTE d",
        "DO $$ BEGIN DELETE FROM notes; END $$",
        "DO $x$ BEGIN EXECUTE 'DEL' || 'ETE FROM notes'; END $x$",
        "DELETE FROM ONLY public.\"notes\"",
        "DELETE FROM U&\"n\\006ftes\"",
        "TRUNCATE notes",
        "SELECT query_to_xml('DELETE FROM notes', true, true, '')",
        "BEGIN; DELETE FROM notes; COMMIT",
        "MERGE INTO notes n USING notes m ON n.id = m.id WHEN MATCHED THEN DELETE",
        "COPY (DELETE FROM notes RETURNING *) TO STDOUT",
        "DELETE FROM notes \0 WHERE id = 1",
    ] {
        // TRUNCATE is `define`, and what MERGE deletes is named by its condition: both wait for a DBA. Withdrawn by leaving.
        if sql.starts_with("TRUNCATE") || sql.starts_with("MERGE") {
            let mut waiting = Client::login(scene.gateway.port, "alice", &alice);
            waiting.send(b'Q', &wire::text(sql));
            assert_eq!(waiting.frame().tag, b'N');
        } else {
            client.query(sql);
            if client.query("ROLLBACK").is_empty() {
                client = Client::login(scene.gateway.port, "alice", &alice);
            }
        }
        if scene.directly("SELECT count(*) FROM notes") != "20" {
            passed.push(sql);
            scene.directly(
                "TRUNCATE notes; INSERT INTO notes (id, body) SELECT i, 'note ' || i FROM generate_series(1, 20) i",
            );
        }
    }
    assert!(passed.is_empty(), "these deleted: {passed:#?}");
    // The same through Parse and Bind.
    let mut client = Client::login(scene.gateway.port, "alice", &alice);
    client.send_raw(
        &[wire::parse("", "DELETE FROM notes"), wire::bind("", "", &[], 0), wire::execute("", 0), wire::sync()]
            .concat(),
    );
    let frames = client.until_ready();
    assert_eq!(wire::error(&frames).field(b'C').as_deref(), Some("42501"));
    assert_eq!(scene.directly("SELECT count(*) FROM notes"), "20");
}

/// A line that differs as soon as an extension, a function, a role or a trigger was made.
const OBJECTS: &str = "SELECT (SELECT string_agg(extname, ',') FROM pg_extension), (SELECT count(*) FROM pg_proc), \
    (SELECT string_agg(rolname || rolsuper::text, ',' ORDER BY rolname) FROM pg_roles), (SELECT count(*) FROM pg_event_trigger), \
    (SELECT count(*) FROM pg_publication), (SELECT count(*) FROM pg_auth_members)";

/// What the protocol does not know may mean anything to the target.
#[test]
fn a_message_of_an_unknown_type_needs_the_right_to_administer() {
    const UNKNOWN: u8 = b'y';
    const SAID: &str = "invalid frontend message type 121";
    let scene = scene();
    for (user, group, passes) in [("alice", "engineers", false), ("dana", "dba", true)] {
        let token = scene.gateway.token(user, &[group]);
        let mut client = Client::login(scene.gateway.port, user, &token);
        client.send(UNKNOWN, b"something");
        let refused = client.frames_within(Duration::from_secs(10));
        assert_eq!(wire::error(&refused).field(b'C').as_deref(), Some("08P01"), "{user}: {refused:?}");
        assert!(client.is_closed_within(Duration::from_secs(5)), "{user}: what follows cannot be understood");
        if passes {
            eventually("the target gets it", Duration::from_secs(5), || scene.postgres.log().contains(SAID));
        } else {
            assert!(!scene.postgres.log().contains(SAID), "the target got it");
        }
        let shown = scene.gateway.here_ok(&["sessions", "list", "--user", user, "-o", "json"]);
        let id = serde_json::from_str::<serde_json::Value>(&shown).unwrap()[0]["id"].as_str().unwrap().to_owned();
        let replayed = scene.gateway.here_ok(&["sessions", "replay", &id]);
        assert!(replayed.contains("message of unknown type 0x79"), "{replayed}");
    }
}

#[test]
fn administration_is_refused() {
    let scene = scene();
    let alice = scene.alice();
    for sql in [
        "ALTER SYSTEM SET work_mem = '1GB'",
        "SET ROLE postgres",
        "SET SESSION AUTHORIZATION postgres",
        "RESET ROLE",
        "SELECT pg_terminate_backend(1)",
        "SELECT pg_read_file('/etc/passwd')",
        "SELECT pg_ls_dir('.')",
        "SELECT lo_import('/etc/passwd')",
        "COPY notes TO PROGRAM 'true'",
        "COPY notes FROM PROGRAM 'echo'",
        "COPY notes TO '/tmp/x'",
        "SELECT set_config('role', 'postgres', false)",
        "SELECT dblink('x', 'y')",
    ] {
        let told = scene.gateway.refused("alice", &alice, sql);
        assert!(told.contains("42501") && told.contains("refused by policy"), "{sql}: {told}");
    }
    // What would change the structure is refused or waits for a DBA; a client that leaves takes it back.
    let before = scene.directly(OBJECTS);
    for sql in [
        "CREATE EXTENSION dblink",
        "CREATE EXTENSION file_fdw",
        "CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 1'",
        "CREATE ROLE mallory SUPERUSER",
        "GRANT pg_read_server_files TO app",
        "ALTER ROLE app SUPERUSER",
        "ALTER DATABASE postgres SET search_path = x",
        "CREATE EVENT TRIGGER e ON ddl_command_start EXECUTE FUNCTION f()",
        "CREATE SUBSCRIPTION s CONNECTION 'host=x' PUBLICATION p",
        "CREATE PUBLICATION p FOR ALL TABLES",
        "SECURITY LABEL ON TABLE notes IS 'x'",
        "ALTER TABLE notes DISABLE TRIGGER ALL",
    ] {
        let mut client = Client::login(scene.gateway.port, "alice", &alice);
        client.send(b'Q', &wire::text(sql));
        let first = client.frame();
        assert!(first.tag == b'N' || first.field(b'C').as_deref() == Some("42501"), "{sql}: {first:?}");
    }
    assert_eq!(scene.directly(OBJECTS), before);
    // FunctionCall of the wire protocol.
    let mut client = Client::login(scene.gateway.port, "alice", &alice);
    client.send(b'F', &[0, 0, 3, 0x3f, 0, 0, 0, 0, 0, 0]);
    let frames = client.until_ready();
    assert!(frames.iter().any(|frame| frame.tag == b'E'), "{frames:?}");
}

#[test]
fn what_does_not_parse_touches_everything() {
    let scene = scene();
    let alice = scene.alice();
    let deep = format!("SELECT {}1{}", "(".repeat(20_000), ")".repeat(20_000));
    // A statement that nobody can read needs everything there is: who lacks one right gets the server's word from here, and the
    // server, which would say the same, does not get the statement.
    let told = scene.gateway.refused("alice", &alice, "SELEKT 1 FROM nothing_of_this_name");
    assert!(told.contains("42601") && told.contains("syntax error at or near \"SELEKT\""), "{told}");
    let all = Scene::permit_all(15);
    let same = all.gateway.refused("alice", &all.alice(), "SELEKT 1 FROM nothing_of_that_name");
    assert!(same.contains("42601") && same.contains("syntax error at or near \"SELEKT\""), "{same}");
    process::eventually("the server has logged it", Duration::from_secs(10), || {
        all.postgres.log().contains("nothing_of_that_name")
    });
    assert!(!scene.postgres.log().contains("nothing_of_this_name"));
    let mut client = Client::login(scene.gateway.port, "alice", &alice);
    wire::error(&client.query(&deep));
    let long = format!("SELECT {}1", "1+".repeat(200_000));
    client.query(&long);
    assert_eq!(Client::login(scene.gateway.port, "alice", &alice).value("SELECT 1"), "1");
}

#[test]
fn a_changed_policy_is_in_force_without_a_restart() {
    let scene = scene();
    let alice = scene.alice();
    let mut client = Client::login(scene.gateway.port, "alice", &alice);
    assert_eq!(client.value("SELECT count(*) FROM notes"), "20");
    let none_for_notes = format!(
        "{POLICIES}\n@id(\"hands-off\")\nforbid (principal, action == Action::\"read\", resource == Table::\"shop/public.notes\");\n"
    );
    std::fs::write(scene.gateway.policy_file(), &none_for_notes).unwrap();
    scene.gateway.reload();
    process::eventually("the new policy decides", Duration::from_secs(5), || {
        client.query("SELECT count(*) FROM notes").iter().any(|frame| frame.tag == b'E')
    });
    // A session whose statement was under way just then has ended with it.
    let mut client = Client::login(scene.gateway.port, "alice", &alice);
    // A broken file changes nothing: all or nothing.
    std::fs::write(scene.gateway.policy_file(), "permit (principal, action, resource").unwrap();
    scene.gateway.reload();
    std::thread::sleep(Duration::from_millis(800));
    wire::error(&client.query("SELECT count(*) FROM notes"));
    assert_eq!(client.value("SELECT 1"), "1");
    // Losing the right to connect ends the session.
    std::fs::write(scene.gateway.policy_file(), "@id(\"none\")\nforbid (principal, action, resource);\n").unwrap();
    scene.gateway.reload();
    assert!(client.is_closed_within(Duration::from_secs(5)), "a session without a right lives on");
}

#[test]
fn changed_files_are_taken_without_a_signal() {
    let scene = scene();
    let alice = scene.alice();
    // A session of its own each time: one whose statement is under way while it is forbidden ends.
    let note = || {
        let parameters = [("user", "alice"), ("database", "shop")];
        let client = Client::login_with(scene.gateway.port, &parameters, &alice);
        client.map_or_else(|refused| vec![refused], |mut c| c.query("SELECT body FROM notes WHERE id = 1 LIMIT 1"))
    };
    assert_eq!(wire::rows(&note()), [[Some("note 1".to_owned())]]);
    let yaml = std::fs::read_to_string(scene.gateway.config()).unwrap();
    let labelled = "classify:\n  - label: pii/note\n    columns: [shop/public.notes.body]\n";
    std::fs::write(scene.gateway.config(), yaml.replace("classify:\n", labelled)).unwrap();
    process::eventually("the new label masks", Duration::from_secs(30), || {
        wire::rows(&note()) == [[Some("***".to_owned())]]
    });
    let hands_off = "@id(\"hands-off\")\nforbid (principal, action == Action::\"read\", resource == Table::\"shop/public.notes\");\n";
    std::fs::write(scene.gateway.policy_file(), format!("{POLICIES}{hands_off}")).unwrap();
    process::eventually("the new policy refuses", Duration::from_secs(30), || {
        note().iter().any(|frame| frame.field(b'D').is_some_and(|detail| detail.contains("hands-off")))
    });
    // A mistake is said, and nothing of the file that has it is taken.
    std::fs::write(scene.gateway.config(), yaml.replace("classify:\n", "clasify:\n")).unwrap();
    process::eventually("the log says what is wrong", Duration::from_secs(30), || {
        scene.gateway.log().contains("did you mean `classify`?")
    });
    assert!(note().iter().any(|frame| frame.tag == b'E'));
}

/// A policy with `@alert` tells somebody, in words that the client cannot make look like the gateway's own; one with
/// `@observe` only says what it would have done.
#[test]
fn alerts_are_raised_and_policies_on_trial_only_observed() {
    let scene = Scene::with(15, |options| {
        options.policies =
            options.policies.replace("@id(\"no-bulk-export\")", "@id(\"no-bulk-export\")\n@alert(\"high\")");
        options.policies.push_str(
            "\n@id(\"trial\")\n@observe\nforbid (principal, action == Action::\"read\", resource == Table::\"shop/public.notes\");\n",
        );
    });
    let alice = scene.alice();
    let mut client = Client::login(scene.gateway.port, "alice", &alice);
    assert_eq!(client.value("SELECT count(*) FROM notes"), "20", "a policy on trial counts");
    let forged = "2026-11-22T03:00:00.000000Z  INFO forged line";
    let frames = client.query(&format!("COPY people TO STDOUT /* \r\n{forged}\n{forged}\x1b[2J */"));
    assert_eq!(wire::error(&frames).field(b'C').as_deref(), Some("42501"));
    process::eventually("the alert is in the log", Duration::from_secs(5), || scene.gateway.log().contains("forged"));
    let log = scene.gateway.log();
    let alert = log.lines().find(|line| line.contains("alert: COPY people TO STDOUT")).unwrap();
    assert!(alert.contains("WARN"), "{alert}");
    assert!(log.contains("severity=\"high\"") && log.contains("no-bulk-export"), "{log}");
    assert!(!log.lines().any(|line| line.starts_with(forged)), "a client wrote a line of its own:\n{log}");
    assert!(!log.contains('\x1b') && !log.contains('\r'), "{log}");
    let counted = lockgate_tests::api::metrics(&scene.gateway);
    assert!(counted.contains("lockgate_alerts_total{severity=\"high\"} 1"), "{counted}");
    drop(client);
    let events = scene.gateway.events();
    let of_notes =
        events.iter().find(|event| event["event"] == "judged" && event["touches"].to_string().contains("notes"));
    let of_notes = of_notes.unwrap();
    assert_eq!(of_notes["verdict"], "allow");
    assert!(of_notes["reason"].as_str().unwrap().contains("on trial, not counted: policy \"trial\""), "{of_notes}");
}

const HIDDEN: &str = r#"
CREATE SCHEMA secret;
CREATE TABLE secret.t (v text);
INSERT INTO secret.t VALUES ('HIDDEN');
CREATE TABLE public.t (v text);
INSERT INTO public.t VALUES ('open');
CREATE FUNCTION public.turn(path text) RETURNS text LANGUAGE plpgsql AS $$ BEGIN PERFORM set_config('search_path', path, false); RETURN path; END $$;
GRANT USAGE ON SCHEMA secret TO PUBLIC;
GRANT SELECT ON public.t, secret.t TO PUBLIC;
"#;

/// What turns the search path to `secret`, and how the session is turned back.
const TURNS: &[(&str, &[&str])] = &[
    ("in a session", &["SET search_path = secret"]),
    ("in a transaction", &["BEGIN", "SET search_path = secret"]),
    ("for a transaction", &["BEGIN", "SELECT v FROM t", "SET LOCAL search_path = secret"]),
    ("by a function of the server", &["SELECT set_config('search_path', 'secret', false)"]),
    ("by a function of the server, in a transaction", &["BEGIN", "SELECT set_config('search_path', 'secret', true)"]),
    ("by code", &["DO $$ BEGIN PERFORM set_config('search_path', 'secret', false); END $$"]),
    ("by code in a transaction", &["BEGIN", "SELECT turn('secret')"]),
    ("by a function", &["SELECT turn('secret')"]),
    (
        "by a rollback",
        &["SET search_path = secret", "BEGIN", "SET search_path = public", "SELECT v FROM t", "ROLLBACK"],
    ),
    (
        "by a rollback to a savepoint",
        &[
            "BEGIN",
            "SET search_path = secret",
            "SAVEPOINT s",
            "SET search_path = public",
            "SELECT v FROM t",
            "ROLLBACK TO s",
        ],
    ),
    ("by a prepared statement", &["PREPARE p AS SELECT set_config('search_path', 'secret', false)", "EXECUTE p"]),
    ("by a failure", &["SET search_path = secret", "SET search_path = public; SELECT v FROM t; SELECT 1/0"]),
];

/// A policy that speaks of a table is about that table, whatever it is called: also where nothing is labelled.
#[test]
fn a_table_is_forbidden_however_the_search_path_comes_to_it() {
    for labels in [false, true] {
        let scene = Scene::with(15, |options| {
            if !labels {
                options.extra.clear();
            }
            options.policies.push_str(
                "\n@id(\"hands-off\")\nforbid (principal, action == Action::\"read\", resource == Table::\"shop/secret.t\");\n",
            );
        });
        scene.directly(HIDDEN);
        let dana = scene.dana();
        let begin = || {
            let mut client = Client::login(scene.gateway.port, "dana", &dana);
            assert_eq!(client.value("SELECT v FROM t"), "open");
            client
        };
        for (how, turn) in TURNS {
            for way in ["simple", "extended", "again", "one message", "pipeline"] {
                let mut client = begin();
                if way == "again" {
                    client.send_raw(&[wire::parse("known", "SELECT v FROM t"), wire::sync()].concat());
                    client.until_ready();
                }
                let run = |name: &str| {
                    let parsed = if name.is_empty() { wire::parse("", "SELECT v FROM t") } else { Vec::new() };
                    [parsed, wire::bind("", name, &[], 0), wire::execute("", 0), wire::sync()].concat()
                };
                let told = match way {
                    "one message" => client.query(&format!("{}; SELECT v FROM t", turn.join("; "))),
                    "pipeline" => {
                        let mut bytes = Vec::new();
                        for text in turn.iter().flat_map(|text| text.split("; ").filter(|t| !t.starts_with("END"))) {
                            let whole = if text.starts_with("DO ") { turn.concat() } else { text.to_owned() };
                            bytes.extend(
                                [wire::parse("", &whole), wire::bind("", "", &[], 0), wire::execute("", 0)].concat(),
                            );
                        }
                        bytes.extend(run(""));
                        client.send_raw(&bytes);
                        client.until_ready()
                    }
                    _ => {
                        for text in *turn {
                            client.query(text);
                        }
                        match way {
                            "simple" => client.query("SELECT v FROM t"),
                            "again" => {
                                client.send_raw(&run("known"));
                                client.until_ready()
                            }
                            _ => {
                                client.send_raw(&run(""));
                                client.until_ready()
                            }
                        }
                    }
                };
                let seen = String::from_utf8_lossy(&client.seen);
                assert!(!seen.contains("HIDDEN"), "{how}, {way}, labels: {labels}: {told:?}");
                // What a name stands for after code that nobody can look into is not known: its rows are masked as a whole.
                let forgotten =
                    labels && way == "again" && how.starts_with("by code") | how.starts_with("by a function");
                // Where it was turned at all, the policy is what refuses.
                if !matches!(way, "one message" | "pipeline") && !forgotten {
                    assert!(wire::error(&told).field(b'D').unwrap().contains("hands-off"), "{how}, {way}: {told:?}");
                }
            }
        }
        // The table of that name elsewhere stays readable.
        let mut client = begin();
        client.query("SET search_path = secret");
        wire::error(&client.query("SELECT v FROM t"));
        client.query("SET search_path = public");
        assert_eq!(client.value("SELECT v FROM t"), "open");
    }
}
