//! Between asking and running: what is approved is what runs, by whom may approve, while everything still stands, and once.

use lockgate_tests::scene::POLICIES;
use lockgate_tests::wire::{self, Client};
use lockgate_tests::{Scene, api, process, scene};
use serde_json::Value;
use std::time::Duration;

const DELETE: &str = "DELETE FROM notes WHERE id <= 5";

fn notes(scene: &Scene) -> String {
    scene.directly("SELECT count(*) FROM notes")
}

/// A client whose statement waits, and the approval's id, as the client was told.
fn hold(scene: &Scene, token: &str, sql: &str) -> (Client, String) {
    let mut client = Client::login(scene.gateway.port, "alice", token);
    client.send(b'Q', &wire::text(sql));
    let id = approval(&mut client);
    (client, id)
}

/// The id in the notice that comes next; it is in the store a moment later.
fn approval(client: &mut Client) -> String {
    let notice = client.frame();
    assert_eq!(notice.tag, b'N', "{notice:?}");
    let told = notice.field(b'M').unwrap();
    told.split("/approvals/").nth(1).unwrap().split(',').next().unwrap().to_owned()
}

fn decide(scene: &Scene, token: &str, id: &str, choice: &str) -> u16 {
    let path = format!("/api/v1/approvals/{id}/{choice}");
    let mut status = 404;
    process::eventually("the request is known", Duration::from_secs(10), || {
        status = api::call(&scene.gateway, "POST", &path, Some(token), Some(&serde_json::json!({}))).0;
        status != 404
    });
    status
}

fn state(scene: &Scene, token: &str, id: &str) -> String {
    let path = format!("/api/v1/approvals/{id}");
    let mut state = None;
    process::eventually("the request is known", Duration::from_secs(10), || {
        let (status, body) = api::call(&scene.gateway, "GET", &path, Some(token), None);
        assert!(status == 200 || status == 404, "{status} {body}");
        state = body["state"].as_str().map(str::to_owned);
        state.is_some()
    });
    state.unwrap()
}

fn outcomes(scene: &Scene, id: &str) -> Vec<String> {
    let events = scene.gateway.events();
    let of_it = events.iter().filter(|event| event["event"] == "decided" && event["approval"] == id);
    of_it.map(|event| event["outcome"].as_str().unwrap().to_owned()).collect()
}

/// The new policies decide as soon as somebody is refused by `hands-off`.
pub(crate) fn replace_policies(scene: &Scene, witness: &str, policies: &str) {
    let marked = format!(
        "{policies}\n@id(\"hands-off\")\nforbid (principal, action == Action::\"read\", resource == Table::\"shop/public.log\");\n"
    );
    std::fs::write(scene.gateway.policy_file(), marked).unwrap();
    scene.gateway.reload();
    let mut client = Client::login(scene.gateway.port, "alice", witness);
    process::eventually("the new policies decide", Duration::from_secs(10), || {
        client.query("SELECT count(*) FROM log").iter().any(|frame| frame.tag == b'E')
    });
}

#[test]
fn an_approval_that_comes_too_late_runs_nothing() {
    let scene = Scene::with(15, |options| options.extra.push_str("approvals:\n  timeout: 2s\n"));
    let (alice, dana) = (scene.alice(), scene.dana());
    let (mut client, id) = hold(&scene, &alice, DELETE);
    wire::error(&client.until_ready());
    assert_eq!(decide(&scene, &dana, &id, "approve"), 409);
    assert_eq!(state(&scene, &dana, &id), "expired");
    assert_eq!(notes(&scene), "20");
    assert_eq!(outcomes(&scene, &id), ["expired"]);
}

#[test]
fn an_approval_does_not_outlive_a_change_of_policy() {
    let forbidden = "@id(\"delete-needs-a-dba\")\n@approve(\"dba\")";
    assert!(POLICIES.contains(forbidden));
    for (what, instead) in [
        ("forbidden meanwhile", "@id(\"no-more-deletes\")"),
        ("another group decides now", "@id(\"delete-needs-a-dba\")\n@approve(\"security\")"),
        ("two have to approve now", "@id(\"delete-needs-a-dba\")\n@approve(\"dba\")\n@quorum(\"2\")"),
    ] {
        let scene = scene();
        let (alice, dana) = (scene.alice(), scene.dana());
        let (mut client, id) = hold(&scene, &alice, DELETE);
        replace_policies(&scene, &alice, &POLICIES.replace(forbidden, instead));
        decide(&scene, &dana, &id, "approve");
        let refused = client.until_ready();
        assert_eq!(wire::error(&refused).field(b'C').as_deref(), Some("42501"), "{what}");
        assert_eq!(notes(&scene), "20", "{what}");
        assert_eq!(outcomes(&scene, &id), ["void"], "{what}");
        assert_eq!(client.value("SELECT 1"), "1", "{what}: the session goes on");
    }
}

#[test]
fn a_requester_without_a_right_gets_nothing_approved() {
    let scene = scene();
    let dana = scene.dana();
    let token = scene.gateway.token_with("alice", &["engineers"], &[]);
    let (mut client, id) = hold(&scene, token["token"].as_str().unwrap(), DELETE);
    assert_eq!(state(&scene, &dana, &id), "pending");
    scene.gateway.here_ok(&["token", "revoke", token["id"].as_str().unwrap()]);
    assert!(client.is_closed_within(Duration::from_secs(5)), "a session without a right lives on");
    assert_eq!(decide(&scene, &dana, &id, "approve"), 409);
    process::eventually("it is withdrawn", Duration::from_secs(5), || state(&scene, &dana, &id) == "withdrawn");
    assert_eq!(notes(&scene), "20");
}

#[test]
fn an_approver_without_a_right_approves_nothing() {
    let scene = scene();
    let (alice, dana) = (scene.alice(), scene.dana());
    let (mut client, id) = hold(&scene, &alice, DELETE);
    assert_eq!(state(&scene, &dana, &id), "pending");
    // Groups belong to a token: who loses the role loses the token, and gets one without it.
    let before = scene.gateway.token_with("erin", &["dba"], &[]);
    let after = scene.gateway.token("erin", &["engineers"]);
    scene.gateway.here_ok(&["token", "revoke", before["id"].as_str().unwrap()]);
    assert_eq!(decide(&scene, before["token"].as_str().unwrap(), &id, "approve"), 401);
    let path = format!("/api/v1/approvals/{id}/approve");
    for (who, token) in [("a former dba", &after), ("the requester", &scene.gateway.token("alice", &["dba"]))] {
        let (status, body) = api::call(&scene.gateway, "POST", &path, Some(token), Some(&serde_json::json!({})));
        assert!((400..500).contains(&status), "{who}: {status} {body}");
        assert_eq!(notes(&scene), "20", "{who} approved");
    }
    assert_eq!(state(&scene, &dana, &id), "pending");
    assert_eq!(decide(&scene, &dana, &id, "approve"), 200);
    client.until_ready();
    assert_eq!(notes(&scene), "15");
}

#[test]
fn a_name_that_is_given_to_another_statement_takes_no_approval_with_it() {
    let scene = scene();
    let (alice, dana) = (scene.alice(), scene.dana());
    let mut client = Client::login(scene.gateway.port, "alice", &alice);
    let run = |value: &str| [wire::bind("", "d", &[value], 0), wire::execute("", 0), wire::sync()].concat();
    let close = wire::message(b'C', &[b"S", wire::text("d").as_slice()].concat());
    client.send_raw(&[wire::parse("d", "DELETE FROM notes WHERE id = $1::int"), run("7")].concat());
    // While it waits, the name is given to something else, and that is run with the same parameters.
    let id = scene.pending(&dana);
    client.send_raw(&[close, wire::parse("d", "DELETE FROM notes WHERE id <> $1::int"), run("7")].concat());
    std::thread::sleep(Duration::from_millis(300));
    assert_eq!(decide(&scene, &dana, &id, "approve"), 200);
    let frames = client.until_ready();
    assert!(frames.iter().any(|frame| frame.body == b"DELETE 1\0"), "{frames:?}");
    let next = scene.pending(&dana);
    assert_ne!(next, id);
    assert_eq!(notes(&scene), "19", "the other statement ran on the first one's approval");
    assert_eq!(decide(&scene, &dana, &id, "approve"), 409, "an approval is used once");
    assert_eq!(decide(&scene, &dana, &next, "deny"), 200);
    assert_eq!(wire::error(&client.until_ready()).field(b'C').as_deref(), Some("42501"));
    // The same name and text with other parameters, and the very same once more: each asks again.
    for value in ["8", "7"] {
        client.send_raw(
            &[wire::parse("", "DELETE FROM notes WHERE id = $1::int"), wire::bind("", "", &[value], 0)].concat(),
        );
        client.send_raw(&[wire::execute("", 0), wire::sync()].concat());
        let id = scene.pending(&dana);
        assert_eq!(decide(&scene, &dana, &id, "deny"), 200);
        wire::error(&client.until_ready());
    }
    assert_eq!(notes(&scene), "19");
    // What was approved is what ran, by digest too.
    let events = scene.gateway.events();
    let ran: Vec<&Value> = events.iter().filter(|e| e["event"] == "done" && e["tag"] == "DELETE 1").collect();
    let [ran] = ran.as_slice() else { panic!("{ran:?}") };
    let asked = events
        .iter()
        .find(|e| e["event"] == "asked" && e["request"] == ran["request"] && e["recording"] == ran["recording"]);
    let (_, shown) = api::call(&scene.gateway, "GET", &format!("/api/v1/approvals/{id}"), Some(&dana), None);
    assert_eq!(shown["digest"], asked.unwrap()["digest"], "{shown}");
}

/// Kills the gateway somewhere between the approval and the end of what was approved.
fn survives(kills: u32) {
    let mut scene = Scene::with(15, |options| {
        options.policies.push_str(
            "\n@id(\"insert-needs-a-dba\")\n@approve(\"dba\")\nforbid (principal, action == Action::\"write\", resource in \
             Target::\"shop\") when { context.sql.verb == \"insert\" } unless { principal in Group::\"dba\" };\n",
        );
    });
    let (alice, dana) = (scene.alice(), scene.dana());
    scene.gateway.authority();
    let (mut ran, mut never_ran) = (0, 0);
    for round in 0..kills {
        let (mut client, id) = hold(&scene, &alice, &format!("INSERT INTO notes (body) VALUES ('kill {round}')"));
        assert_eq!(state(&scene, &dana, &id), "pending");
        let url = format!("{}/api/v1/approvals/{id}/approve", scene.gateway.url());
        let mut curl = std::process::Command::new("curl");
        curl.args(["-sS", "-m", "10", "-X", "POST", "-H", &format!("authorization: Bearer {dana}")]);
        curl.args(["-H", "content-type: application/json", "-d", "{}", "--cacert"])
            .arg(scene.gateway.authority())
            .arg(url);
        curl.stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null());
        let mut curl = process::spawn(curl);
        // From before the approval has arrived to after its statement has run.
        std::thread::sleep(Duration::from_millis(u64::from(round) * 29 % 160));
        scene.gateway.kill();
        let _ = curl.wait();
        while client.try_frame().is_some() {}
        process::eventually("the target's session is gone", Duration::from_secs(10), || {
            scene.directly(
                "SELECT count(*) FROM pg_stat_activity WHERE usename = 'app' AND datname = current_database()",
            ) == "0"
        });
        let count = scene.directly(&format!("SELECT count(*) FROM notes WHERE body = 'kill {round}'"));
        scene.gateway.resume();
        let state = state(&scene, &dana, &id);
        match (count.as_str(), state.as_str()) {
            ("1", "used") => ran += 1,
            // Taken up, recorded and not sent, or sent and not finished; or never taken up.
            ("0", "used" | "aborted") => never_ran += 1,
            other => panic!("round {round}: {other:?}"),
        }
        assert_eq!(decide(&scene, &dana, &id, "approve"), 409, "round {round}");
    }
    assert_eq!(scene.directly("SELECT count(*) FROM notes WHERE body LIKE 'kill %'"), ran.to_string());
    eprintln!("of {kills} that were killed {ran} had run, {never_ran} had not");
    scene.gateway.verify();
    // What ran is on record as approved, and every request has its end.
    let events = scene.gateway.events();
    let approved = events.iter().filter(|e| e["event"] == "decided" && e["outcome"] == "approved").count();
    assert!(approved >= ran, "{ran} ran, {approved} are on record as approved");
    let count = |name: &str| events.iter().filter(|e| e["event"] == name).count();
    assert_eq!(count("asked"), count("done"));
}

#[test]
fn killed_between_approval_and_execution_it_runs_once_or_not_at_all() {
    survives(5);
}

#[test]
#[ignore = "slow: run by `make soak`"]
fn killed_a_hundred_times_between_approval_and_execution() {
    survives(100);
}
