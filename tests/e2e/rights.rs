//! Rights that end while something runs: the session is cut at the socket, whatever it is doing. And rules that change under
//! load: each statement is judged by one version or the other, and nobody notices anything else.

use lockgate_tests::scene::POLICIES;
use lockgate_tests::wire::{self, Client};
use lockgate_tests::{Scene, api, process, scene};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// A second is what is promised; a loaded machine gets more, but not each time.
const PROMISED: Duration = Duration::from_secs(1);
const LOADED: Duration = Duration::from_secs(4);

const ENDLESS: &str = "SELECT repeat('x', 1000), n FROM generate_series(1, 1000000000) n";

/// Reads until the end of the connection; when that came.
fn drained(mut client: Client, limit: Duration) -> (Instant, Client) {
    let deadline = Instant::now() + limit;
    while !client.is_closed_within(Duration::from_millis(1)) {
        assert!(Instant::now() < deadline, "it goes on for {limit:?}");
        // What has been seen of an endless result is of no interest.
        client.forget_seen();
    }
    (Instant::now(), client)
}

fn cut_after_revocation(scene: &Scene, olga: &str, begin: impl Fn(&mut Client), reads: bool) -> Duration {
    let token = scene.gateway.token_with("alice", &["engineers"], &[]);
    let mut client = Client::login(scene.gateway.port, "alice", token["token"].as_str().unwrap());
    begin(&mut client);
    let path = format!("/api/v1/tokens/{}", token["id"].as_str().unwrap());
    std::thread::scope(|scope| {
        let reader = reads.then(|| {
            let client = std::mem::replace(&mut client, Client::connect(scene.gateway.port));
            scope.spawn(move || drained(client, Duration::from_secs(20)).0)
        });
        std::thread::sleep(Duration::from_millis(500));
        let (status, body) = api::call(&scene.gateway, "DELETE", &path, Some(olga), None);
        assert!(status < 300, "{status} {body}");
        let revoked = Instant::now();
        let closed = match reader {
            Some(reader) => reader.join().unwrap(),
            None => {
                // The buffers of a client that does not read are full: what can be seen is the target's side.
                process::eventually("the target's session is gone", Duration::from_secs(20), || {
                    scene.directly(
                        "SELECT count(*) FROM pg_stat_activity WHERE usename = 'app' AND datname = current_database()",
                    ) == "0"
                });
                let gone = Instant::now();
                drained(client, Duration::from_secs(20));
                gone
            }
        };
        closed.saturating_duration_since(revoked)
    })
}

#[test]
fn a_revoked_token_ends_what_runs_and_what_streams_within_a_second() {
    let scene = scene();
    let olga = scene.olga();
    let run = |sql: &'static str| move |client: &mut Client| client.send(b'Q', &wire::text(sql));
    for (what, sql, reads) in [
        ("waits for its statement", "SELECT pg_sleep(60)", true),
        ("reads rows", ENDLESS, true),
        ("has asked for rows and does not read", ENDLESS, false),
    ] {
        let mut fastest = Duration::MAX;
        for _ in 0..3 {
            let took = cut_after_revocation(&scene, &olga, run(sql), reads);
            assert!(took < LOADED, "a session that {what} ended after {took:?}");
            fastest = fastest.min(took);
        }
        assert!(fastest < PROMISED, "a session that {what} ended after {fastest:?} at best");
    }
    process::eventually("nothing of it runs at the target", Duration::from_secs(10), || {
        scene.directly("SELECT count(*) FROM pg_stat_activity WHERE usename = 'app' AND datname = current_database() AND state = 'active'") == "0"
    });
}

#[test]
fn an_expired_token_ends_what_runs_and_what_streams_within_a_second() {
    let scene = scene();
    for sql in ["SELECT pg_sleep(60)", ENDLESS] {
        let mut soonest = Duration::MAX;
        for _ in 0..3 {
            let begun = Instant::now();
            let token = scene.gateway.token_with("alice", &["engineers"], &["--ttl", "3s"]);
            let made = Instant::now();
            let mut client = Client::login(scene.gateway.port, "alice", token["token"].as_str().unwrap());
            client.send(b'Q', &wire::text(sql));
            let (closed, client) = drained(client, Duration::from_secs(20));
            assert!(closed > begun + Duration::from_secs(3), "before its time");
            let late = closed.saturating_duration_since(made + Duration::from_secs(3));
            assert!(late < LOADED, "{sql}: {late:?} after it had expired");
            soonest = soonest.min(late);
            drop(client);
        }
        assert!(soonest < PROMISED, "{sql}: {soonest:?} after it had expired at best");
    }
}

#[test]
fn policies_that_change_under_load_judge_every_statement_by_one_version_and_end_nothing() {
    let scene = scene();
    let versions: Vec<String> = (0..2)
        .map(|n| {
            let table = ["notes", "log"][n];
            format!("{POLICIES}\n@id(\"version-{n}\")\nforbid (principal, action == Action::\"read\", resource == Table::\"shop/public.{table}\");\n")
        })
        .collect();
    std::fs::write(scene.gateway.policy_file(), &versions[0]).unwrap();
    scene.gateway.reload();
    let alice = scene.alice();
    let mut witness = Client::login(scene.gateway.port, "alice", &alice);
    process::eventually("the first version decides", Duration::from_secs(10), || {
        witness.query("SELECT count(*) FROM notes").iter().any(|frame| frame.tag == b'E')
    });
    let (stop, by_first, by_second) = (AtomicBool::new(false), AtomicU64::new(0), AtomicU64::new(0));
    std::thread::scope(|scope| {
        for worker in 0..4 {
            let (stop, by_first, by_second, alice, scene) = (&stop, &by_first, &by_second, &alice, &scene);
            scope.spawn(move || {
                let mut client = Client::login(scene.gateway.port, "alice", alice);
                let mut n = 0;
                while !stop.load(Ordering::SeqCst) {
                    n += 1;
                    // Reads both tables: the first version forbids one, the second the other, and none allows it.
                    let frames = client.query(&format!(
                        "SELECT (SELECT count(*) FROM notes), (SELECT count(*) FROM log) /*{worker}.{n}*/"
                    ));
                    assert_eq!(frames.last().map(|frame| frame.tag), Some(b'Z'), "a session ended: {frames:?}");
                    assert!(frames.iter().all(|frame| frame.tag != b'D'), "judged by neither version: {frames:?}");
                    let told = wire::error(&frames).field(b'D').unwrap_or_default();
                    match (told.contains("\"version-0\""), told.contains("\"version-1\"")) {
                        (true, false) => by_first.fetch_add(1, Ordering::SeqCst),
                        (false, true) => by_second.fetch_add(1, Ordering::SeqCst),
                        _ => panic!("judged by neither version or by both: {told}"),
                    };
                }
            });
        }
        let deadline = Instant::now() + Duration::from_secs(8);
        let mut turn = 0;
        while Instant::now() < deadline {
            turn += 1;
            let fresh = scene.gateway.home().join("policies/.new");
            std::fs::write(&fresh, &versions[turn % 2]).unwrap();
            std::fs::rename(&fresh, scene.gateway.policy_file()).unwrap();
            // The configuration is read again as well.
            let config = std::fs::read_to_string(scene.gateway.config()).unwrap();
            std::fs::write(scene.gateway.config(), format!("{config}# turn {turn}\n")).unwrap();
            scene.gateway.reload();
            std::thread::sleep(Duration::from_millis(700));
        }
        stop.store(true, Ordering::SeqCst);
    });
    let (first, second) = (by_first.into_inner(), by_second.into_inner());
    assert!(first > 0 && second > 0, "{first} and {second}: nothing was judged by one of them");
    assert_eq!(Client::login(scene.gateway.port, "alice", &alice).value("SELECT 1"), "1");
    scene.gateway.verify();
    let events = scene.gateway.events();
    let refused = events.iter().filter(|event| {
        event["event"] == "judged" && event["verdict"] == "deny" && event["policies"].to_string().contains("version-")
    });
    assert!(refused.count() as u64 >= first + second, "a refusal is not on record");
    let reloads = events.iter().filter(|event| event["event"] == "config_reloaded" && event["accepted"] == true);
    assert!(reloads.count() >= 4, "it was hardly ever reloaded");
}

/// Loads these policies and waits until they count.
fn load(scene: &Scene, policies: &str) {
    std::fs::write(scene.gateway.policy_file(), policies).unwrap();
    scene.gateway.reload();
}

#[test]
fn policies_that_change_end_what_they_would_not_answer_so_any_more() {
    let scene = scene();
    let usual = POLICIES;
    let (alice, frank) = (scene.alice(), scene.frank());
    let numbers = "SELECT repeat('x', 500), generate_series(1, 100000000)";
    let people = "SELECT a.ssn, a.name FROM people a, people b, people c, people d, people e LIMIT 100000000";
    let no_read = usual.replace(
        "Action::\"read\", Action::\"write\", Action::\"define\"], resource in",
        "Action::\"write\"], resource in",
    );
    let masked = usual.replace("unless { principal in Group::\"fraud\" };", ";");
    let stronger = usual.replace("@mask(\"redact\")", "@mask(\"null\")");
    for (what, user, token, sql, policies) in [
        ("nobody may read", "alice", &alice, numbers, &no_read),
        ("what was clear is masked", "frank", &frank, people, &masked),
        ("what was masked is masked more", "alice", &alice, people, &stronger),
    ] {
        for extended in [false, true] {
            let mut fastest = Duration::MAX;
            for round in 0..3 {
                let mut client = Client::login(scene.gateway.port, user, token);
                if extended {
                    client.send(b'P', &[&[0], sql.as_bytes(), &[0, 0, 0]].concat());
                    client.send(b'B', &[0, 0, 0, 0, 0, 0, 0, 0]);
                    client.send(b'E', &[0, 0, 0, 0, 0]);
                    client.send(b'S', b"");
                } else {
                    client.send(b'Q', &wire::text(sql));
                }
                while client.frame().tag != b'D' {}
                if round == 0 {
                    // What changes nothing about it ends nothing: other lines, and what is wider.
                    load(
                        &scene,
                        &format!(
                            "// a comment\n\n{usual}\npermit (principal in Group::\"engineers\", action, resource in Target::\"shop\");\n"
                        ),
                    );
                    let until = Instant::now() + Duration::from_millis(1_500);
                    while Instant::now() < until {
                        assert_eq!(client.frame().tag, b'D', "{what}");
                    }
                }
                load(&scene, policies);
                let loaded = Instant::now();
                assert!(client.is_closed_within(LOADED), "{what}: it lives on");
                fastest = fastest.min(loaded.elapsed());
                let tail =
                    String::from_utf8_lossy(&client.seen[client.seen.len().saturating_sub(2_000)..]).into_owned();
                assert!(tail.contains("access was taken away") && tail.contains("42501"), "{what}: {tail}");
                load(&scene, usual);
                std::thread::sleep(Duration::from_millis(700));
            }
            assert!(fastest < PROMISED, "{what}: ended after {fastest:?} at best");
        }
    }
    scene.gateway.verify();
}
