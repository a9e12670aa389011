//! A held statement waits, and runs once, exactly as approved, or not at all.

use lockgate_tests::gateway::StoreLock;
use lockgate_tests::process;
use lockgate_tests::scene::POLICIES;
use lockgate_tests::wire::{self, Client};
use lockgate_tests::{Scene, scene};
use std::process::Command;
use std::time::Duration;

const DELETE: &str = "DELETE FROM notes WHERE id <= 5";

fn hold(scene: &Scene, token: &str, sql: &str) -> Client {
    let mut client = Client::login(scene.gateway.port, "alice", token);
    client.send(b'Q', &wire::text(sql));
    client
}

fn notes(scene: &Scene) -> String {
    scene.directly("SELECT count(*) FROM notes")
}

#[test]
fn the_client_is_told_and_approval_lets_it_run_once() {
    let scene = scene();
    let (alice, dana) = (scene.alice(), scene.dana());
    let mut client = hold(&scene, &alice, DELETE);
    let notice = client.frame();
    assert_eq!(notice.tag, b'N', "{notice:?}");
    let id = scene.pending(&dana);
    let told = notice.field(b'M').unwrap();
    assert!(told.starts_with("waiting for approval by dba: https://"), "{told}");
    assert!(told.contains(&format!("/approvals/{id}")) && told.contains("expires in "), "{told}");
    assert_eq!(notes(&scene), "20", "it ran before it was approved");
    let shown = scene.gateway.as_user(&dana, &["approvals", "show", &id]);
    assert!(process::text(&shown).contains("DELETE FROM notes"), "{}", process::text(&shown));

    let approved = scene.approve(&dana, &id);
    assert!(approved.status.success(), "{}", process::text(&approved));
    let frames = client.until_ready();
    assert!(frames.iter().any(|frame| frame.tag == b'C' && frame.body == b"DELETE 5\0"), "{frames:?}");
    assert_eq!(notes(&scene), "15");
    assert_eq!(client.value("SELECT 1"), "1", "the same connection goes on");

    let again = scene.approve(&dana, &id);
    assert!(!again.status.success(), "an approval is used once");
    client.send(b'Q', &wire::text("DELETE FROM notes WHERE id <= 6"));
    assert_eq!(client.frame().tag, b'N', "the next statement waits again");
}

#[test]
fn the_client_is_told_when_the_approvers_can_see_it() {
    let scene = scene();
    let (alice, dana) = (scene.alice(), scene.dana());
    let mut client = Client::login(scene.gateway.port, "alice", &alice);
    let locked = StoreLock::hold(&scene.gateway.data_dir());
    client.send(b'Q', &wire::text(DELETE));
    let told = client.frames_within(Duration::from_millis(700));
    assert!(told.is_empty(), "it points at what is not there: {told:?}");
    drop(locked);
    let told = client.frame().field(b'M').unwrap();
    let id = told.split("/approvals/").nth(1).and_then(|rest| rest.split(',').next()).unwrap().to_owned();
    let approved = scene.approve(&dana, &id);
    assert!(approved.status.success(), "{}", process::text(&approved));
    assert!(wire::tags(&client.until_ready()).ends_with("CZ"));
}

#[test]
fn the_requester_and_who_it_acts_for_cannot_approve() {
    let scene = scene();
    let dana = scene.dana();
    // alice is made a DBA too, so that only the rule about the requester stands in the way; the bot acts for bob.
    let bot = scene.gateway.token_with(
        "bot",
        &["engineers"],
        &["--kind", "agent", "--on-behalf-of", "bob", "--on-behalf-of-group", "engineers"],
    );
    let bot = bot["token"].as_str().unwrap().to_owned();
    let mut client = Client::login(scene.gateway.port, "bot", &bot);
    client.send(b'Q', &wire::text(DELETE));
    client.frame();
    let id = scene.pending(&dana);
    for (who, groups) in
        [("bot", vec!["dba"]), ("bob", vec!["dba"]), ("eve", vec!["engineers"]), ("olga", vec!["platform"])]
    {
        let token = scene.gateway.token(who, &groups);
        let refused = scene.approve(&token, &id);
        assert!(!refused.status.success(), "{who} approved");
        assert_eq!(notes(&scene), "20", "{who}");
    }
    assert!(scene.approve(&dana, &id).status.success());
    client.until_ready();
    assert_eq!(notes(&scene), "15");
}

#[test]
fn a_denied_request_is_refused_and_the_session_goes_on() {
    let scene = scene();
    let (alice, dana) = (scene.alice(), scene.dana());
    let mut client = hold(&scene, &alice, DELETE);
    let id = scene.pending(&dana);
    let denied = scene.gateway.as_user(&dana, &["approvals", "deny", &id, "--reason", "not today"]);
    assert!(denied.status.success(), "{}", process::text(&denied));
    let frames = client.until_ready();
    let error = wire::error(&frames);
    assert_eq!(error.field(b'C').as_deref(), Some("42501"), "{error:?}");
    assert!(format!("{error:?}").contains("dana"), "it does not say who refused: {error:?}");
    assert_eq!(notes(&scene), "20");
    assert_eq!(client.value("SELECT 1"), "1");
}

#[test]
fn time_runs_out() {
    let scene = Scene::with(15, |options| options.extra.push_str("approvals:\n  timeout: 2s\n"));
    let dana = scene.dana();
    let mut client = hold(&scene, &scene.alice(), DELETE);
    let id = scene.pending(&dana);
    let begun = std::time::Instant::now();
    let frames = client.until_ready();
    assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());
    let error = wire::error(&frames);
    assert_eq!(error.field(b'C').as_deref(), Some("42501"), "{error:?}");
    assert!(error.field(b'D').is_some_and(|told| told.contains(&id) && told.contains("expired")), "{error:?}");
    // Who comes too late changes nothing.
    let late = scene.approve(&dana, &id);
    assert!(!late.status.success() && process::text(&late).contains("expired"), "{}", process::text(&late));
    assert_eq!(notes(&scene), "20");
    assert_eq!(client.value("SELECT 1"), "1");
}

#[test]
fn it_says_so_again_every_ten_seconds() {
    let scene = scene();
    let mut client = hold(&scene, &scene.alice(), DELETE);
    let begun = std::time::Instant::now();
    assert_eq!(client.frame().tag, b'N');
    assert!(begun.elapsed() < Duration::from_secs(3), "at once");
    assert_eq!(client.frame().tag, b'N');
    let waited = begun.elapsed().as_secs();
    assert!((8..=14).contains(&waited), "the second notice came after {waited} s");
}

#[test]
fn cancel_withdraws_it() {
    let scene = scene();
    let (alice, dana) = (scene.alice(), scene.dana());
    let mut client = hold(&scene, &alice, DELETE);
    let id = scene.pending(&dana);
    Client::connect(scene.gateway.port).send_raw(&wire::cancel(client.key.as_ref().unwrap()));
    let frames = client.until_ready();
    assert_eq!(wire::error(&frames).field(b'C').as_deref(), Some("57014"));
    assert_eq!(client.value("SELECT 1"), "1");
    assert!(!scene.approve(&dana, &id).status.success(), "a withdrawn request was approved");
    assert_eq!(notes(&scene), "20");
}

#[test]
fn leaving_withdraws_it() {
    let scene = scene();
    let dana = scene.dana();
    let client = hold(&scene, &scene.alice(), DELETE);
    let id = scene.pending(&dana);
    drop(client);
    process::eventually("the request is withdrawn", Duration::from_secs(10), || {
        !scene.approve(&dana, &id).status.success()
    });
    assert_eq!(notes(&scene), "20");
}

#[test]
fn a_restart_runs_nothing() {
    let mut scene = scene();
    let (alice, dana) = (scene.alice(), scene.dana());
    let client = hold(&scene, &alice, DELETE);
    let id = scene.pending(&dana);
    scene.gateway.kill();
    scene.gateway.resume();
    assert!(!scene.approve(&dana, &id).status.success(), "an approval outlived the request");
    drop(client);
    assert_eq!(notes(&scene), "20");
    scene.gateway.verify();
}

#[test]
fn the_extended_protocol_waits_too_and_parameters_are_part_of_what_is_approved() {
    let scene = scene();
    let (alice, dana) = (scene.alice(), scene.dana());
    let mut client = Client::login(scene.gateway.port, "alice", &alice);
    let run = |value: &str| [wire::bind("", "d", &[value], 0), wire::execute("", 0), wire::sync()].concat();
    client.send_raw(&[wire::parse("d", "DELETE FROM notes WHERE id = $1::int"), run("7")].concat());
    let id = scene.pending(&dana);
    let shown = process::text(&scene.gateway.as_user(&dana, &["approvals", "show", &id]));
    assert!(shown.contains('7'), "the parameter is not shown: {shown}");
    assert!(scene.approve(&dana, &id).status.success());
    let frames = client.until_ready();
    assert!(frames.iter().any(|frame| frame.body == b"DELETE 1\0"), "{frames:?}");
    assert_eq!(scene.directly("SELECT count(*) FROM notes WHERE id = 7"), "0");
    client.send_raw(&run("8"));
    assert_ne!(scene.pending(&dana), id, "another parameter is another request");
    assert_eq!(scene.directly("SELECT count(*) FROM notes WHERE id = 8"), "1");
}

/// A statement may wait for people for long: what it locked to be prepared is free meanwhile.
#[test]
fn what_is_held_when_it_is_bound_locks_nothing() {
    let scene = scene();
    let (alice, dana) = (scene.alice(), scene.dana());
    let mut client = Client::login(scene.gateway.port, "alice", &alice);
    let alter = "SET lock_timeout = '5s'; ALTER TABLE notes ADD COLUMN IF NOT EXISTS more int";
    for (round, approves) in [(1, true), (2, false), (3, true)] {
        let bound = [wire::bind("", "", &[&format!("{round}")], 0), wire::execute("", 0), wire::sync()].concat();
        let delete = wire::parse("", "DELETE FROM notes WHERE id = $1::int");
        let describe = wire::message(b'D', b"S\0");
        client.send_raw(&[delete, if round == 3 { describe } else { Vec::new() }, bound].concat());
        let id = scene.pending(&dana);
        scene.directly(alter);
        let decided = if approves { "approve" } else { "deny" };
        assert!(scene.gateway.as_user(&dana, &["approvals", decided, &id]).status.success());
        let frames = client.until_ready();
        let expected = if approves { "12CZ" } else { "1EZ" };
        let said: String = wire::tags(&frames).chars().filter(|tag| !"NtnS".contains(*tag)).collect();
        assert_eq!(said, expected, "round {round}: {frames:?}");
        assert_eq!(
            scene.directly(&format!("SELECT count(*) FROM notes WHERE id = {round}")),
            if approves { "0" } else { "1" }
        );
    }
    // What fails to be prepared is told, and nobody has to decide on it.
    let fails =
        [wire::parse("", "DELETE FROM notes WHERE nosuch = 1"), wire::bind("", "", &[], 0), wire::execute("", 0)];
    client.send_raw(&[fails.concat(), wire::sync()].concat());
    assert_eq!(wire::error(&client.until_ready()).field(b'C').as_deref(), Some("42703"));
    assert_eq!(client.value("SELECT 1"), "1");
    // Nor does it wait for a Sync that the client has not sent.
    client.send_raw(&[wire::parse("", DELETE), wire::bind("p", "", &[], 0), wire::message(b'H', b"")].concat());
    let id = scene.pending(&dana);
    scene.directly(alter);
    assert!(scene.approve(&dana, &id).status.success());
    while client.frame().tag != b'2' {}
    client.send_raw(&[wire::execute("p", 0), wire::sync()].concat());
    let frames = client.until_ready();
    assert!(frames.iter().any(|frame| frame.body == b"DELETE 3\0"), "{frames:?}");
    // Prepared beside what ran before in the same transaction, it is one with that, to the end.
    let insert = "INSERT INTO notes (id, body) VALUES (99, 'x')";
    let first = [wire::parse("", insert), wire::bind("", "", &[], 0), wire::execute("", 0)].concat();
    let then = [wire::parse("", DELETE), wire::bind("", "", &[], 0), wire::execute("", 0), wire::sync()].concat();
    client.send_raw(&[first, then].concat());
    let id = scene.pending(&dana);
    assert_eq!(scene.directly("SELECT count(*) FROM notes WHERE id = 99"), "0");
    assert!(scene.gateway.as_user(&dana, &["approvals", "deny", &id]).status.success());
    client.until_ready();
    assert_eq!(scene.directly("SELECT count(*) FROM notes WHERE id = 99"), "0");
    scene.gateway.verify();
}

/// A cancel that comes while the transaction in which it was prepared is being ended: nothing runs, whatever was decided by then.
#[test]
fn a_cancel_while_what_prepared_it_is_being_ended() {
    let scene = scene();
    let (alice, dana) = (scene.alice(), scene.dana());
    let mut client = Client::login(scene.gateway.port, "alice", &alice);
    let key = client.key.clone().unwrap();
    for (round, approves) in [false, true, false, true].into_iter().enumerate() {
        let backend = client.value("SELECT pg_backend_pid()");
        let signal = |what: &str| {
            assert!(Command::new("kill").args([what, &backend]).status().expect("kill").success());
        };
        let pipeline = [wire::parse("", DELETE), wire::bind("", "", &[], 0), wire::execute("", 0)].concat();
        // The target answers nothing, so that the end of the transaction is under way for as long.
        signal("-STOP");
        client.send_raw(&[pipeline, if round < 2 { wire::sync() } else { wire::message(b'H', b"") }].concat());
        let id = scene.pending(&dana);
        if approves {
            assert!(scene.approve(&dana, &id).status.success());
            // The session knows of it.
            std::thread::sleep(Duration::from_millis(500));
        }
        let mut aside = Client::connect(scene.gateway.port);
        aside.send_raw(&wire::cancel(&key));
        assert!(aside.is_closed_within(Duration::from_secs(10)));
        std::thread::sleep(Duration::from_millis(200));
        signal("-CONT");
        if round >= 2 {
            client.send_raw(&wire::sync());
        }
        let frames = client.until_ready();
        assert_eq!(wire::error(&frames).field(b'C').as_deref(), Some("57014"), "round {round}: {frames:?}");
        assert_eq!(client.value("SELECT 1"), "1", "round {round}");
        assert!(!scene.approve(&dana, &id).status.success(), "round {round}: a withdrawn request was approved");
        assert_eq!(notes(&scene), "20", "round {round}");
    }
    scene.gateway.verify();
}

#[test]
fn who_approves_a_name_is_shown_what_it_stands_for() {
    let scene = scene();
    let (alice, dana) = (scene.alice(), scene.dana());
    let mut client = Client::login(scene.gateway.port, "alice", &alice);
    let asked = |client: &mut Client, sql: &str| {
        client.send(b'Q', &wire::text(sql));
        let id = scene.pending(&dana);
        let shown = process::text(&scene.gateway.as_user(&dana, &["approvals", "show", &id]));
        let digest = shown.lines().find(|line| line.contains("digest")).map(str::to_owned).unwrap();
        let denied = scene.gateway.as_user(&dana, &["approvals", "deny", &id]);
        assert!(denied.status.success(), "{}", process::text(&denied));
        assert_eq!(wire::error(&client.until_ready()).field(b'C').as_deref(), Some("42501"));
        (shown, digest)
    };
    // A statement of the protocol, run by EXECUTE: what approval binds is what the name stands for.
    let mut digests = Vec::new();
    for statement in ["DELETE FROM notes\nWHERE id = $1::int", "DELETE FROM notes WHERE id > $1::int"] {
        client.send_raw(&[message_close("d"), wire::parse("d", statement), wire::sync()].concat());
        client.until_ready();
        let (shown, digest) = asked(&mut client, "EXECUTE d('7')");
        assert!(shown.contains("EXECUTE d('7')"), "{shown}");
        assert!(statement.lines().all(|line| shown.contains(line)), "{shown}");
        digests.push(digest);
    }
    assert_ne!(digests[0], digests[1], "the approval is bound to a name, and not to what it stands for");
    // The same by the extended protocol.
    let run = [wire::parse("", "EXECUTE d('7')"), wire::bind("", "", &[], 0), wire::execute("", 0), wire::sync()];
    client.send_raw(&run.concat());
    let id = scene.pending(&dana);
    let shown = process::text(&scene.gateway.as_user(&dana, &["approvals", "show", &id]));
    assert!(shown.contains("EXECUTE d('7')") && shown.contains("DELETE FROM notes WHERE id > $1::int"), "{shown}");
    assert!(scene.gateway.as_user(&dana, &["approvals", "deny", &id]).status.success());
    assert_eq!(wire::error(&client.until_ready()).field(b'C').as_deref(), Some("42501"));
    // Approved, it runs.
    client.send(b'Q', &wire::text("EXECUTE d('18')"));
    let id = scene.pending(&dana);
    assert!(scene.approve(&dana, &id).status.success());
    let frames = client.until_ready();
    assert!(frames.iter().any(|frame| frame.body == b"DELETE 2\0"), "{frames:?}");
}

fn message_close(statement: &str) -> Vec<u8> {
    wire::message(b'C', &[b"S", wire::text(statement).as_slice()].concat())
}

#[test]
fn two_approvers_at_the_same_instant_run_it_once() {
    let scene = scene();
    let alice = scene.alice();
    let approvers: Vec<String> = (0..4).map(|i| scene.gateway.token(&format!("dba{i}"), &["dba"])).collect();
    for round in 1..=5 {
        let mut client = hold(&scene, &alice, &format!("DELETE FROM notes WHERE id = {round}"));
        let id = scene.pending(&approvers[0]);
        let wins = std::thread::scope(|scope| {
            let tries: Vec<_> =
                approvers.iter().map(|token| scope.spawn(|| scene.approve(token, &id).status.success())).collect();
            tries.into_iter().map(|t| t.join().unwrap()).filter(|won| *won).count()
        });
        assert_eq!(wins, 1, "round {round}");
        let frames = client.until_ready();
        assert_eq!(frames.iter().filter(|frame| frame.tag == b'C').count(), 1, "{frames:?}");
    }
    assert_eq!(notes(&scene), "15");
}

#[test]
fn a_quorum_takes_distinct_people() {
    let scene = Scene::with(15, |options| {
        options.policies = options.policies.replace(
            "@id(\"delete-needs-a-dba\")\n@approve(\"dba\")",
            "@id(\"delete-needs-a-dba\")\n@approve(\"dba\")\n@quorum(\"2\")",
        );
    });
    let (dana, erin) = (scene.dana(), scene.gateway.token("erin", &["dba"]));
    let mut client = hold(&scene, &scene.alice(), DELETE);
    let id = scene.pending(&dana);
    assert!(scene.approve(&dana, &id).status.success());
    scene.approve(&dana, &id);
    std::thread::sleep(Duration::from_millis(500));
    assert_eq!(notes(&scene), "20", "one person counted twice");
    assert!(scene.approve(&erin, &id).status.success());
    client.until_ready();
    assert_eq!(notes(&scene), "15");
}

/// What was approved when it was bound runs when it is executed, which may be hours later.
#[test]
fn what_was_approved_and_is_forbidden_since_does_not_run() {
    let scene = scene();
    let (alice, dana) = (scene.alice(), scene.dana());
    let mut client = Client::login(scene.gateway.port, "alice", &alice);
    let bound = [wire::parse("", DELETE), wire::bind("p", "", &[], 0), wire::message(b'H', b"")];
    client.send_raw(&bound.concat());
    let id = scene.pending(&dana);
    assert!(scene.approve(&dana, &id).status.success());
    while client.frame().tag != b'2' {}
    let forbidden = format!("{POLICIES}\nforbid (principal, action == Action::\"write\", resource);\n");
    crate::deciding::replace_policies(&scene, &alice, &forbidden);
    client.send_raw(&[wire::execute("p", 0), wire::sync()].concat());
    let frames = client.until_ready();
    assert_eq!(wire::error(&frames).field(b'C').as_deref(), Some("42501"), "{frames:?}");
    assert_eq!(notes(&scene), "20");
    scene.gateway.verify();
}

/// By the extended protocol a name runs when it is executed: who is asked at the binding would not see what it stands for then.
#[test]
fn an_approval_of_what_is_given_to_a_name_is_none_of_what_it_runs() {
    let held = "@id(\"names-need-a-clerk\")\n@approve(\"clerks\")\nforbid (principal, action == Action::\"write\", \
                resource in Target::\"shop\") when { context.sql.verb == \"execute\" };\n";
    let scene = Scene::with(15, |options| options.policies.push_str(&format!("\n{held}")));
    let (alice, dana) = (scene.alice(), scene.dana());
    let clerk = scene.gateway.token("carl", &["clerks"]);
    let mut client = Client::login(scene.gateway.port, "alice", &alice);
    let run = [
        wire::parse("d", "DELETE FROM notes WHERE id <= $1::int - 16"),
        wire::parse("", "EXECUTE d(nextval('notes_id_seq')::int)"),
        wire::bind("p", "", &[], 0),
        wire::execute("p", 0),
        wire::sync(),
    ];
    client.send_raw(&run.concat());
    let id = scene.pending(&clerk);
    let shown = process::text(&scene.gateway.as_user(&clerk, &["approvals", "show", &id]));
    assert!(shown.contains("DELETE FROM notes"), "{shown}");
    assert!(scene.approve(&clerk, &id).status.success());
    std::thread::sleep(Duration::from_millis(500));
    assert_eq!(notes(&scene), "20", "deleting takes somebody else's approval");
    assert!(scene.approve(&dana, &id).status.success());
    let frames = client.until_ready();
    assert!(frames.iter().any(|frame| frame.body == b"DELETE 5\0"), "{frames:?}");
    assert_eq!(notes(&scene), "15");
}
