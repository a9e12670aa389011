//! Whole conversations in memory: a client's frames and a scripted target's, through the machine that joins them. Each case
//! says what one side sends and which frames the other side gets. Masks are not tried here, order and ends are.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::as_conversions,
    reason = "a test may panic, also in a function that it calls"
)]

mod scene;

use bytes::BytesMut;
use lockgate_core::limits::CATALOG_REST_MS;
use lockgate_session::wire::{Event, HoldOutcome};
use scene::*;

#[test]
fn an_error_in_a_pipeline_drops_what_follows_up_to_its_sync() {
    let mut scene = Scene::new();
    scene.client(&[all("SELECT 1"), all("SELECT 2"), all("SELECT 3"), sync(), all("SELECT 4"), sync()].concat());
    assert_eq!(scene.sent(), "P B E P B E P B E S P B E S");
    scene.target(&[bare("12"), row("1"), complete("SELECT 1"), bare("1"), error("22012"), ready(b'I')].concat());
    assert_eq!(scene.got(), "1 2 D(1) C 1 E(22012) ZI");
    scene.target(&[bare("12"), row("4"), complete("SELECT 1"), ready(b'I')].concat());
    assert_eq!(scene.got(), "1 2 D(4) C ZI");
    assert!(!scene.closed);
}

#[test]
fn a_query_behind_an_error_in_the_same_batch_is_dropped_with_it() {
    let mut scene = Scene::new();
    scene.client(&[parse("", "SELECT x"), query("SELECT 2"), sync(), query("SELECT 3")].concat());
    scene.target(&[error("42703"), ready(b'I')].concat());
    assert_eq!(scene.got(), "E(42703) ZI");
    assert_eq!(scene.sent(), "P Q S Q");
    scene.target(&[described(), row("3"), complete("SELECT 1"), ready(b'I')].concat());
    assert_eq!(scene.got(), "T D(3) C ZI");
}

#[test]
fn a_name_proposed_before_a_sync_is_waited_for_behind_it() {
    let mut scene = Scene::new();
    scene.client(&[parse("x", "SELECT 1"), sync(), bind("", "x"), execute(""), sync()].concat());
    assert_eq!(scene.sent(), "P S");
    scene.target(&[error("42P05"), ready(b'I')].concat());
    assert_eq!(scene.sent(), "B E S");
    // In the same batch nothing is waited for.
    scene.target(&[error("26000"), ready(b'I')].concat());
    scene.client(&[parse("y", "SELECT 1"), bind("", "y"), execute(""), sync()].concat());
    assert_eq!(scene.sent(), "P B E S");
}

#[test]
fn what_hangs_on_a_name_that_sql_gives_waits_for_its_answer() {
    let mut scene = Scene::new();
    scene.client(&[all("PREPARE p AS SELECT 1"), all("EXECUTE p"), sync()].concat());
    // Parse of EXECUTE needs no name; Bind waits, and the target is asked not to keep its answers back.
    assert_eq!(scene.sent(), "P B E P H");
    scene.target(&[bare("12"), complete("PREPARE"), bare("1")].concat());
    assert_eq!(scene.sent(), "B E S");
    scene.target(&[bare("2"), row("1"), complete("SELECT 1"), ready(b'I')].concat());
    assert_eq!(scene.got(), "1 2 C 1 2 D(1) C ZI");
}

#[test]
fn a_refusal_outside_a_transaction_is_answered_here_and_inside_fails_it() {
    let mut scene = Scene::new();
    scene.client(&query("DELETE FROM t"));
    assert_eq!((scene.sent(), scene.got()), (String::new(), "E(42501) ZI".into()));
    scene.client(&query("BEGIN"));
    scene.target(&[complete("BEGIN"), ready(b'T')].concat());
    scene.sent();
    scene.got();
    scene.client(&query("DELETE FROM t"));
    assert_eq!((scene.sent(), scene.got()), ("Q".into(), String::new()));
    scene.target(&[error("42601"), ready(b'E')].concat());
    assert_eq!(scene.got(), "E(42501) ZE");
    // In the middle of a pipeline what ran before it fails with it.
    let mut scene = Scene::new();
    scene.client(&[all("INSERT INTO t VALUES (1)"), all("DELETE FROM t"), sync()].concat());
    assert_eq!(scene.sent(), "P B E P S");
    scene.target(&[bare("12"), complete("INSERT 0 1"), error("42601"), ready(b'I')].concat());
    assert_eq!(scene.got(), "1 2 C E(42501) ZI");
}

#[test]
fn a_held_statement_goes_on_after_its_approval_and_is_dropped_by_an_earlier_error() {
    let mut scene = Scene::new();
    scene.client(&query("UPDATE t SET a = 1"));
    assert_eq!((scene.sent(), scene.got(), scene.held), (String::new(), "N".into(), true));
    scene.decide(HoldOutcome::Approved);
    assert_eq!(scene.sent(), "Q");
    scene.target(&[complete("UPDATE 1"), ready(b'I')].concat());
    assert_eq!(scene.got(), "C ZI");
    scene.client(&[all("SELECT x"), all("UPDATE t SET a = 1"), sync()].concat());
    assert_eq!((scene.sent(), scene.held), ("P B E P".into(), true));
    scene.target(&error("42703"));
    assert!(!scene.held, "the hold outlives the error before it");
    assert_eq!(scene.sent(), "S");
    scene.target(&ready(b'I'));
    assert_eq!(scene.got(), "N E(42703) ZI");
}

#[test]
fn copy_data_may_come_before_the_target_asks_for_it_and_a_sync_in_it_is_part_of_it() {
    let mut scene = Scene::new();
    let data = [frame(b'd', b"1\n"), frame(b'c', b"")].concat();
    scene.client(&[query("COPY t FROM STDIN"), data.clone()].concat());
    assert_eq!(scene.sent(), "Q");
    scene.target(&copy_in());
    assert_eq!(scene.sent(), "d c");
    scene.target(&[complete("COPY 1"), ready(b'I')].concat());
    assert_eq!(scene.got(), "G C ZI");
    scene.client(&[all("COPY t FROM STDIN"), sync()].concat());
    scene.target(&[bare("12"), copy_in()].concat());
    scene.client(&[data, sync()].concat());
    scene.target(&[complete("COPY 1"), ready(b'I')].concat());
    assert_eq!(scene.got(), "1 2 G C ZI");
    scene.sent();
    // A COPY that fails at once: its data is for nobody.
    scene.client(&[query("COPY t FROM STDIN"), frame(b'd', b"1\n"), frame(b'c', b"")].concat());
    scene.target(&[error("42P01"), ready(b'I')].concat());
    assert_eq!((scene.sent(), scene.got()), ("Q".into(), "E(42P01) ZI".into()));
}

#[test]
fn rows_split_at_every_byte_arrive_the_same() {
    let answer = [described(), row("one"), row(""), row("three"), complete("SELECT 3"), ready(b'I')].concat();
    let mut scene = Scene::new();
    scene.client(&query("SELECT c FROM t"));
    scene.target_slowly(&answer);
    assert_eq!(scene.got(), "T D(one) D D(three) C ZI");
}

#[test]
fn an_answer_that_fits_nothing_ends_the_session_and_passes_nothing() {
    let few = frame(b'D', &[0, 2, 255, 255, 255, 255, 255, 255, 255, 255]);
    for (what, said) in [
        ("a row with too many cells", [described(), few].concat()),
        ("an acknowledgement of nothing", bare("1")),
        ("an unknown message", frame(b'?', b"SECRET")),
        ("an impossible length", vec![b'D', 0, 0, 0, 1]),
        ("a function's result", frame(b'V', &[0, 0, 0, 1, 65])),
        ("copy data", frame(b'd', b"SECRET")),
        ("a description of nothing", bare("n")),
    ] {
        let mut scene = Scene::new();
        scene.client(&query("SELECT c FROM t"));
        scene.target(&said);
        assert!(scene.closed, "{what} goes on");
        let got = scene.got();
        assert!(got.ends_with("E(08006)"), "{what}: {got}");
        assert!(!got.contains('D') && !got.contains("SECRET"), "{what}: {got}");
    }
    let mut scene = Scene::new();
    scene.target(&row("SECRET"));
    assert!(scene.closed);
    assert_eq!(scene.got(), "E(08006)");
}

#[test]
fn the_targets_own_goodbye_is_the_last_word() {
    let mut scene = Scene::new();
    scene.target(&text(b'E', &["SFATAL", "VFATAL", "C57P01", "Mterminating"], &[0]));
    scene.wire.on(Event::TargetClosed, &mut scene.io);
    scene.answer();
    assert_eq!((scene.got(), scene.closed), ("E(57P01)".into(), true));
    let mut scene = Scene::new();
    scene.wire.on(Event::TargetClosed, &mut scene.io);
    assert_eq!(scene.got(), "E(08006)");
}

#[test]
fn an_idle_session_lets_go_of_the_catalog_once() {
    let mut scene = Scene::new();
    let wish = |scene: &mut Scene, event: Event<'_>| {
        scene.io.wake_in_ms = None;
        scene.wire.on(event, &mut scene.io);
        scene.io.wake_in_ms
    };
    let mut text = BytesMut::from(&*query("SELECT c FROM t"));
    assert_eq!(wish(&mut scene, Event::Client(&mut text)), None, "a statement is on its way");
    assert_eq!(wish(&mut scene, Event::Tick), None);
    let mut answer = BytesMut::from(&*[described(), row("one"), complete("SELECT 1"), ready(b'I')].concat());
    assert_eq!(wish(&mut scene, Event::Target(&mut answer)), Some(CATALOG_REST_MS));
    assert_eq!(wish(&mut scene, Event::Tick), None, "there is nothing more to let go of");
    scene.client(&query("SELECT c FROM t"));
    while scene.sent().starts_with('C') {
        scene.target(&[error("XX000"), ready(b'I')].concat());
    }
    scene.got();
    scene.target(&[described(), row("two"), complete("SELECT 1"), ready(b'I')].concat());
    assert_eq!(scene.got(), "T D(two) C ZI");
}
