//! Connections that break, at every place where they can, on both sides of the gateway.

use lockgate_tests::fake::FakeTarget;
use lockgate_tests::process;
use lockgate_tests::wire::{self, Client};
use lockgate_tests::{Postgres, Scene};
use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

/// Does nothing to a connection's bytes.
const NEVER: usize = usize::MAX;

/// Passes everything on; what the far side sends goes through `change`, which may end both connections with `false`.
fn relay(to: u16, change: impl Fn(usize, &mut [u8]) -> bool + Send + Sync + 'static) -> FakeTarget {
    FakeTarget::start(move |near| {
        let Ok(far) = TcpStream::connect(("127.0.0.1", to)) else { return };
        let (mut up_from, mut up_to) = (near.try_clone().unwrap(), far.try_clone().unwrap());
        let up = std::thread::spawn(move || {
            let _ = std::io::copy(&mut up_from, &mut up_to);
            let _ = up_to.shutdown(Shutdown::Both);
        });
        let (mut from, mut to, mut at, mut buffer) = (far, near, 0, [0; 4_096]);
        while let Ok(count @ 1..) = from.read(&mut buffer) {
            let piece = &mut buffer[..count];
            if !change(at, piece) || to.write_all(piece).is_err() {
                break;
            }
            at += count;
        }
        let _ = to.shutdown(Shutdown::Both);
        let _ = from.shutdown(Shutdown::Both);
        let _ = up.join();
    })
}

/// Logs in and asks something, however far that comes.
fn try_all(port: u16, token: &str) {
    let token = token.to_owned();
    let tried = std::thread::spawn(move || {
        let parameters = [("user", "alice"), ("database", "shop")];
        let mut client = Client::login_with(port, &parameters, &token).ok()?;
        client.try_send_raw(&wire::message(b'Q', &wire::text("SELECT id, name, ssn FROM people LIMIT 5")));
        let frames = client.until_ready();
        // Whatever happens on the way, no value comes through.
        assert_eq!(crate::masking::leaked(&client.seen), None, "{frames:?}");
        Some(())
    });
    if let Err(panicked) = tried.join() {
        // A connection that ends too early is what is tried here; anything else is a failure.
        let said = panicked.downcast_ref::<String>().cloned().unwrap_or_default();
        let said = panicked.downcast_ref::<&str>().map_or(said, |text| (*text).to_owned());
        assert!(said.contains("end of the connection") || said.contains("reads"), "{said}");
    }
}

/// Every session that began has ended, each request in it too, and the record verifies.
fn all_ended(scene: &Scene) {
    process::eventually("every session has ended in the record", Duration::from_secs(20), || {
        let events = scene.gateway.events();
        let count = |name: &str| events.iter().filter(|event| event["event"] == name || event["type"] == name).count();
        let (opened, closed) = (count("session_opened"), count("session_closed"));
        assert!(closed <= opened, "{opened} sessions opened, {closed} closed");
        opened == closed && opened > 0
    });
    scene.gateway.verify();
}

/// Ends connections after so many bytes from the gateway (to the client) or from the target (to the gateway).
fn cut_after(places: impl Iterator<Item = usize> + Clone) {
    let cut = Arc::new(AtomicUsize::new(NEVER));
    let cutting = |cut: &Arc<AtomicUsize>| {
        let cut = Arc::clone(cut);
        move |at: usize, piece: &mut [u8]| at + piece.len() <= cut.load(Ordering::SeqCst)
    };
    let target = relay(Postgres::shared(15).port, cutting(&cut));
    let mut scene = Scene::through(target.port);
    let alice = scene.alice();
    for place in places.clone() {
        cut.store(place, Ordering::SeqCst);
        try_all(scene.gateway.port, &alice);
        assert!(scene.gateway.is_alive(), "cut after {place} bytes of the target: {}", scene.gateway.log());
    }
    cut.store(NEVER, Ordering::SeqCst);
    let near = Arc::new(AtomicUsize::new(NEVER));
    let client_side = relay(scene.gateway.port, cutting(&near));
    for place in places {
        near.store(place, Ordering::SeqCst);
        try_all(client_side.port, &alice);
        assert!(scene.gateway.is_alive(), "cut after {place} bytes to the client: {}", scene.gateway.log());
    }
    assert_eq!(scene.gateway.query("alice", &alice, "SELECT 1"), "1");
    all_ended(&scene);
}

#[test]
fn a_connection_may_break_after_any_byte() {
    cut_after((0..1_500).step_by(83));
}

#[test]
#[ignore = "slow: run by `make soak`"]
fn a_connection_may_break_after_each_of_two_thousand_bytes() {
    cut_after(0..2_000);
}

/// One bit of what the target sends is another one. Every tenth connection or each, to the two thousandth byte.
fn flip(places: impl Iterator<Item = usize>) {
    let flipped = Arc::new(AtomicUsize::new(NEVER));
    let inside = Arc::clone(&flipped);
    let target = relay(Postgres::shared(15).port, move |at, piece| {
        let place = inside.load(Ordering::SeqCst);
        if let Some(byte) = place.checked_sub(at).and_then(|offset| piece.get_mut(offset)) {
            *byte ^= 1 << (place % 8);
        } else if place != NEVER && at > place {
            return false; // A length that grew would be waited for in vain.
        }
        true
    });
    let mut scene = Scene::through(target.port);
    let alice = scene.alice();
    for place in places {
        flipped.store(place, Ordering::SeqCst);
        let port = scene.gateway.port;
        let token = alice.clone();
        let tried = std::thread::spawn(move || {
            let mut client = Client::connect(port);
            client.send_raw(&wire::startup(3 << 16, &[("user", "alice"), ("database", "shop")]));
            client.send(b'p', &wire::text(&token));
            client.try_send_raw(&wire::message(b'Q', &wire::text("SELECT id, name, ssn FROM people LIMIT 5")));
            client.stop_sending();
            client.is_closed_within(Duration::from_secs(35))
        });
        assert!(tried.join().unwrap(), "the gateway waits for ever after a wrong bit at {place}");
        assert!(scene.gateway.is_alive(), "a wrong bit at {place}: {}", scene.gateway.log());
    }
    flipped.store(NEVER, Ordering::SeqCst);
    assert_eq!(scene.gateway.query("alice", &alice, "SELECT 1"), "1");
}

#[test]
fn a_wrong_bit_from_the_target_is_an_error_and_no_more() {
    flip((0..1_200).step_by(61));
}

#[test]
#[ignore = "slow: run by `make soak`"]
fn a_wrong_bit_at_each_of_two_thousand_places() {
    flip(0..2_000);
}

#[test]
fn latency_and_small_pieces_change_nothing() {
    let slow = process::Relay::start("toxic.py", Postgres::shared(15).port, &["latency=40", "jitter=20", "chunk=64"]);
    let scene = Scene::through(slow.port);
    let alice = scene.alice();
    let rows = Client::login(scene.gateway.port, "alice", &alice).query("SELECT * FROM people ORDER BY id LIMIT 50");
    assert_eq!(wire::rows(&rows).len(), 50);
}
