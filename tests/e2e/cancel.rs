//! A cancel reaches the client's own statement and no other.

use crate::masking::leaked;
use crate::recording::ends;
use lockgate_tests::wire::{self, Client, Frame};
use lockgate_tests::{Postgres, Scene, process, scene};
use std::time::{Duration, Instant};

#[test]
fn ends_the_running_statement() {
    let scene = scene();
    let mut client = Client::login(scene.gateway.port, "alice", &scene.alice());
    client.send(b'Q', &wire::text("SELECT pg_sleep(30)"));
    std::thread::sleep(Duration::from_millis(400));
    let begun = Instant::now();
    let mut request = Client::connect(scene.gateway.port);
    request.send_raw(&wire::cancel(client.key.as_ref().unwrap()));
    assert!(request.is_closed_within(Duration::from_secs(5)));
    assert!(request.seen.is_empty(), "a cancel request is not answered");
    let frames = client.until_ready();
    assert_eq!(wire::error(&frames).field(b'C').as_deref(), Some("57014"));
    assert!(begun.elapsed() < Duration::from_secs(5));
    assert_eq!(client.value("SELECT 1"), "1");
}

#[test]
fn a_wrong_key_does_nothing() {
    let scene = scene();
    let mut client = Client::login(scene.gateway.port, "alice", &scene.alice());
    client.send(b'Q', &wire::text("SELECT pg_sleep(2), 'went on'"));
    let key = client.key.clone().unwrap();
    for flip in 0..key.len() {
        let mut wrong = key.clone();
        wrong[flip] ^= 1;
        Client::connect(scene.gateway.port).send_raw(&wire::cancel(&wrong));
    }
    for odd in [vec![], vec![0; 3], vec![0; 8], vec![0xff; 260]] {
        Client::connect(scene.gateway.port).try_send_raw(&wire::cancel(&odd));
    }
    let frames = client.until_ready();
    assert_eq!(wire::rows(&frames).len(), 1, "{frames:?}");
}

/// Cancelled in the middle of anything, a session tells so once, is in no transaction that the client did not begin, and goes on.
#[test]
fn a_session_goes_on_wherever_it_is_cancelled() {
    let mut scene = scene();
    let dana = scene.dana();
    let mut client = Client::login(scene.gateway.port, "dana", &dana);
    let key = client.key.clone().unwrap();
    let port = scene.gateway.port;
    let cancel = |after: u64| {
        std::thread::sleep(Duration::from_millis(after));
        Client::connect(port).send_raw(&wire::cancel(&key));
    };
    let execute = |sql: &str| [wire::parse("", sql), wire::bind("", "", &[], 0), wire::execute("", 0)].concat();
    // In the gateway's own transaction around what leaves something behind.
    client.send(b'Q', &wire::text("SELECT set_config('a.b', name, false), pg_sleep(1) FROM people"));
    cancel(300);
    assert_eq!(ended(&client.until_ready()), "57014 I");
    // In a transaction of the client's.
    client.query("BEGIN");
    client.send(b'Q', &wire::text("SELECT pg_sleep(30)"));
    cancel(300);
    assert_eq!(ended(&client.until_ready()), "57014 E");
    client.query("ROLLBACK");
    // In a pipeline, with what is behind it.
    client.send_raw(&[execute("SELECT 1"), execute("SELECT pg_sleep(30)"), execute("SELECT 2"), wire::sync()].concat());
    cancel(300);
    let frames = client.until_ready();
    assert_eq!((ended(&frames), wire::rows(&frames).len()), ("57014 I".to_owned(), 1));
    // While the client's data is waited for, and what it still sends of that.
    for extended in [false, true] {
        let copy = "COPY notes (body) FROM STDIN";
        if extended {
            client.send_raw(&[execute(copy), wire::message(b'H', b"")].concat());
        } else {
            client.send(b'Q', &wire::text(copy));
        }
        while client.frame().tag != b'G' {}
        client.send(b'd', b"one\n");
        cancel(200);
        // A server looks for it with the next row.
        std::thread::sleep(Duration::from_millis(300));
        client.send_raw(&[wire::message(b'd', b"two\n"), wire::message(b'c', b"")].concat());
        if extended {
            client.send_raw(&wire::sync());
        }
        assert_eq!(ended(&client.until_ready()), "57014 I", "extended: {extended}");
    }
    // While data comes that is masked.
    client.send(b'Q', &wire::text("COPY (SELECT ssn, pg_sleep(0.1) FROM people) TO STDOUT"));
    cancel(400);
    assert_eq!(ended(&client.until_ready()), "57014 I");
    // With nothing to cancel.
    cancel(0);
    std::thread::sleep(Duration::from_millis(100));
    assert_eq!(client.value("SELECT count(*) FROM notes"), "20");
    assert_eq!(leaked(&client.seen), None);
    drop(client);
    assert_eq!(scene.gateway.stop(), Some(0));
    let ended = ends(&scene.gateway.events());
    assert_eq!(ended.iter().filter(|(_, how)| how == "cancelled").count(), 6, "{ended:?}");
}

/// The code of the one error, and the status behind it.
fn ended(frames: &[Frame]) -> String {
    let errors: Vec<String> = frames.iter().filter(|f| f.tag == b'E').filter_map(|f| f.field(b'C')).collect();
    let [.., ready] = frames else { panic!("nothing came") };
    format!("{} {}", errors.join("+"), char::from(ready.body[0]))
}

/// What the gateway asks about names before a statement is no statement of the client's, but the client cannot know.
#[test]
fn ends_a_statement_that_waits_for_the_gateways_own_question() {
    let postgres = Postgres::shared(15);
    let relay = process::Relay::start("toxic.py", postgres.port, &["latency=700"]);
    let scene = Scene::through(relay.port);
    let mut client = Client::login(scene.gateway.port, "alice", &scene.alice());
    let key = client.key.clone().unwrap();
    let insert = "INSERT INTO notes (id, body) VALUES (990001, 'cancelled')";
    let simple = wire::message(b'Q', &wire::text(insert));
    let bind = wire::bind("", "", &[], 0);
    let extended = [wire::parse("", insert), bind, wire::execute("", 0), wire::sync()].concat();
    for bytes in [simple, extended] {
        // By now the last answer about the catalog is too old.
        std::thread::sleep(Duration::from_millis(800));
        client.send_raw(&bytes);
        std::thread::sleep(Duration::from_millis(200));
        Client::connect(scene.gateway.port).send_raw(&wire::cancel(&key));
        let frames = client.until_ready();
        assert_eq!(wire::error(&frames).field(b'C').as_deref(), Some("57014"));
    }
    assert_eq!(client.value("SELECT count(*) FROM notes WHERE id = 990001"), "0");
    scene.gateway.verify();
}

#[test]
fn many_cancels_hit_only_their_owner() {
    cancels(6);
}

#[test]
#[ignore = "slow: run by `make soak`"]
fn a_thousand_cancels_hit_only_their_owner() {
    cancels(250);
}

/// Four clients cancel each of so many statements while four others must never be cancelled.
fn cancels(rounds: u32) {
    let scene = scene();
    let alice = scene.alice();
    std::thread::scope(|scope| {
        for worker in 0..8 {
            let (scene, alice) = (&scene, &alice);
            scope.spawn(move || {
                let mut client = Client::login(scene.gateway.port, "alice", alice);
                let mut again = 0;
                for round in 0..rounds {
                    // Odd workers are cancelled, even ones must never be.
                    let cancelled = worker % 2 == 1;
                    client.send(
                        b'Q',
                        &wire::text(&format!("SELECT pg_sleep({}), {round} /*{worker}*/", if cancelled { 60.0 } else { 0.2 })),
                    );
                    if cancelled {
                        // A cancel that overtakes its statement has nothing to end, as with any PostgreSQL.
                        let runs = format!("SELECT count(*) FROM pg_stat_activity WHERE state = 'active' AND query LIKE 'SELECT pg\\_sleep(%, {round} /*{worker}*/'");
                        // PostgreSQL signals a backend and then its process group: on a busy machine the second signal may
                        // end the owner's next statement.
                        let mut early = Vec::new();
                        process::eventually("it runs", Duration::from_secs(30), || {
                            early.extend(client.frames_within(Duration::from_millis(1)));
                            !early.is_empty() || scene.directly(&runs) == "1"
                        });
                        if !early.is_empty() {
                            early.extend(client.frames_within(Duration::from_millis(500)));
                            assert_eq!(wire::error(&early).field(b'C').as_deref(), Some("57014"), "{early:?}");
                            again += 1;
                            assert!(again <= rounds / 2, "most were ended before anybody asked for it");
                            continue;
                        }
                        Client::connect(scene.gateway.port).send_raw(&wire::cancel(client.key.as_ref().unwrap()));
                    }
                    let frames = client.until_ready();
                    let code = frames.iter().find(|frame| frame.tag == b'E').and_then(|frame| frame.field(b'C'));
                    assert_eq!(code.as_deref(), cancelled.then_some("57014"), "worker {worker} round {round}");
                }
            });
        }
    });
}
