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

use arc_swap::ArcSwap;
use bytes::BytesMut;
use lockgate_core::limits::CATALOG_REST_MS;
use lockgate_core::{Identity, IdentityKind, Secret, SessionId, Timestamp};
use lockgate_mask::MaskKeys;
use lockgate_policy::{Policies, Source, TargetFacts};
use lockgate_postgres::Postgres;
use lockgate_record::{
    FileHeader, MemorySink, RecorderOptions, RecordingBuffers, RecordingKeys, RecordingKind, SessionRecorder,
};
use lockgate_session::wire::{Ask, Decided, Dialed, Event, HoldOutcome, Io, Protocol, TargetTls, Wire};
use lockgate_session::{InferRules, LabelBook, Rules, Session, SessionParts, TargetRules};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

const POLICIES: &str = r#"
permit (principal, action, resource);
@id("no-delete")
forbid (principal, action == Action::"write", resource) when { context.sql.verb == "delete" };
@id("ask") @approve("dba")
forbid (principal, action == Action::"write", resource) when { context.sql.verb == "update" };
"#;

fn frame(tag: u8, body: &[u8]) -> Vec<u8> {
    let mut out = vec![tag];
    out.extend((body.len() as u32 + 4).to_be_bytes());
    out.extend(body);
    out
}

fn text(tag: u8, parts: &[&str], rest: &[u8]) -> Vec<u8> {
    let mut body = Vec::new();
    for part in parts {
        body.extend(part.as_bytes());
        body.push(0);
    }
    body.extend(rest);
    frame(tag, &body)
}

fn query(sql: &str) -> Vec<u8> {
    text(b'Q', &[sql], &[])
}
fn parse(name: &str, sql: &str) -> Vec<u8> {
    text(b'P', &[name, sql], &[0, 0])
}
fn bind(portal: &str, name: &str) -> Vec<u8> {
    text(b'B', &[portal, name], &[0; 6])
}
fn execute(portal: &str) -> Vec<u8> {
    text(b'E', &[portal], &[0; 4])
}
fn all(sql: &str) -> Vec<u8> {
    [parse("", sql), bind("", ""), execute("")].concat()
}
fn sync() -> Vec<u8> {
    frame(b'S', &[])
}

// What a target says.
fn error(code: &str) -> Vec<u8> {
    text(b'E', &["SERROR", "VERROR", &format!("C{code}"), "Mno"], &[0])
}
fn complete(tag: &str) -> Vec<u8> {
    text(b'C', &[tag], &[])
}
fn ready(status: u8) -> Vec<u8> {
    frame(b'Z', &[status])
}
fn bare(tags: &str) -> Vec<u8> {
    tags.bytes().flat_map(|tag| frame(tag, &[])).collect()
}
fn described() -> Vec<u8> {
    text(b'T', &["\0\u{1}c"], &[0, 0, 0, 0, 0, 0, 0, 0, 0, 23, 0, 4, 255, 255, 255, 255, 0, 0])
}
fn row(value: &str) -> Vec<u8> {
    let mut body = vec![0, 1];
    body.extend((value.len() as u32).to_be_bytes());
    body.extend(value.as_bytes());
    frame(b'D', &body)
}
fn copy_in() -> Vec<u8> {
    frame(b'G', &[0, 0, 1, 0, 0])
}

/// Frames in short: the tag, and what tells one from another.
fn short(bytes: &[u8]) -> String {
    let mut out = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        let length = u32::from_be_bytes(bytes[at + 1..at + 5].try_into().unwrap()) as usize;
        let body = &bytes[at + 5..at + 1 + length];
        let tag = char::from(bytes[at]);
        out.push(match tag {
            'E' if body.first() == Some(&b'S') => {
                let code = body.split(|b| *b == 0).find(|f| f.first() == Some(&b'C')).unwrap();
                format!("E({})", String::from_utf8_lossy(&code[1..]))
            }
            'Z' => format!("Z{}", char::from(body[0])),
            'D' if body.len() > 6 => format!("D({})", String::from_utf8_lossy(&body[6..])),
            tag => tag.to_string(),
        });
        at += 1 + length;
    }
    out.join(" ")
}

struct Scene {
    wire: Box<dyn Wire>,
    io: Io,
    from_client: BytesMut,
    held: bool,
    closed: bool,
}

impl Scene {
    /// A session that is logged in.
    fn new() -> Scene {
        let wire = Postgres::new("https://gateway").accept("127.0.0.1:5000".parse().unwrap(), false);
        let io = Io::new(Timestamp::from_millis(1_700_000_000_000), |into| into.fill(7));
        let mut scene = Scene { wire, io, from_client: BytesMut::new(), held: false, closed: false };
        let body = b"\0\x03\0\0user\0alice\0database\0shop\0client_encoding\0UTF8\0\0";
        let mut packet = (body.len() as u32 + 4).to_be_bytes().to_vec();
        packet.extend(body);
        scene.client(&packet);
        scene.client(&text(b'p', &["token"], &[]));
        scene.target(
            &[
                frame(b'R', &[0; 4]),
                text(b'S', &["standard_conforming_strings", "on"], &[]),
                text(b'S', &["client_encoding", "UTF8"], &[]),
                text(b'S', &["server_encoding", "UTF8"], &[]),
                frame(b'K', &[0, 0, 0, 9, 1, 2, 3, 4]),
                ready(b'I'),
            ]
            .concat(),
        );
        // The first statement makes the gateway ask for the catalog; where nothing is labelled it can do without.
        scene.client(&query("SELECT 0"));
        while scene.sent().starts_with('C') {
            scene.target(&[error("XX000"), ready(b'I')].concat());
        }
        scene.target(&[complete("SELECT 0"), ready(b'I')].concat());
        scene.got();
        scene
    }

    fn session() -> Box<Session> {
        let target = Arc::new(TargetRules::new(
            TargetFacts { name: "shop".parse().unwrap(), labels: BTreeMap::new() },
            Vec::new(),
            Vec::new(),
            1,
        ));
        let policies = Policies::load(vec![Source { path: "all.cedar".into(), text: POLICIES.into() }]).ok().unwrap();
        let rules = Rules {
            policies,
            targets: HashMap::from([("shop".parse().unwrap(), Arc::clone(&target))]),
            version: 1,
            mask_keys: Arc::new(MaskKeys::new(&[1; 32])),
            infer: InferRules::default(),
            ledger: Arc::default(),
        };
        let now = Timestamp::from_millis(1_700_000_000_000);
        let id = SessionId::new(now, 1);
        let header = FileHeader { kind: RecordingKind::Session, session: id, began: now };
        let keys = RecordingKeys::new("gateway", &[2; 32], &[3; 32]).unwrap();
        let recorder = SessionRecorder::new(
            &keys,
            &header,
            Box::new(MemorySink::new()),
            Arc::new(RecordingBuffers::new()),
            RecorderOptions::default(),
        )
        .unwrap();
        let parts = SessionParts {
            id,
            identity: Scene::identity(),
            peer: "127.0.0.1:5000".parse().unwrap(),
            database: String::new(),
            protocol: "postgres",
            application: None,
            rules: Arc::new(ArcSwap::from_pointee(rules)),
            target,
            labels: Arc::new(LabelBook::empty()),
            recorder,
            hold_ms_max: 60_000,
        };
        Box::new(Session::open(parts, now).unwrap())
    }

    fn identity() -> Arc<Identity> {
        Arc::new(Identity {
            user: "alice".into(),
            groups: BTreeSet::new(),
            kind: IdentityKind::Human,
            directories: Vec::new(),
            on_behalf_of: Vec::new(),
            token_id: None,
            actions: None,
        })
    }

    fn client(&mut self, bytes: &[u8]) {
        self.from_client.extend_from_slice(bytes);
        self.again();
    }

    fn again(&mut self) {
        loop {
            self.io.again = false;
            let mut buffer = std::mem::take(&mut self.from_client);
            self.wire.on(Event::Client(&mut buffer), &mut self.io);
            self.from_client = buffer;
            self.answer();
            if !self.io.again {
                break;
            }
        }
    }

    fn target(&mut self, bytes: &[u8]) {
        let mut buffer = BytesMut::from(bytes);
        self.wire.on(Event::Target(&mut buffer), &mut self.io);
        self.answer();
        assert!(self.closed || buffer.is_empty(), "the target's bytes are left");
        self.again();
    }

    /// The target's bytes, one at a time.
    fn target_slowly(&mut self, bytes: &[u8]) {
        let mut buffer = BytesMut::new();
        for byte in bytes {
            buffer.extend_from_slice(&[*byte]);
            self.wire.on(Event::Target(&mut buffer), &mut self.io);
        }
        assert!(buffer.is_empty());
        self.again();
    }

    fn decide(&mut self, outcome: HoldOutcome) {
        assert!(std::mem::take(&mut self.held), "nothing is held");
        self.wire.on(Event::Decided(Decided { outcome, by: vec!["bob".into()], reason: None }), &mut self.io);
        self.again();
    }

    fn answer(&mut self) {
        while !self.io.asks.is_empty() {
            for ask in std::mem::take(&mut self.io.asks) {
                let event = match ask {
                    Ask::Prove { .. } => Event::Proven(Ok(Scene::identity())),
                    Ask::Open { .. } => Event::Opened(Ok(Scene::session())),
                    Ask::Dial => Event::Dialed(Ok(Dialed {
                        username: "app".into(),
                        password: Secret::new("x".to_owned()),
                        database: "shop".into(),
                        tls: TargetTls::Disable,
                        loopback: true,
                    })),
                    Ask::Hold(_) => {
                        self.held = true;
                        continue;
                    }
                    Ask::Withdraw => {
                        self.held = false;
                        continue;
                    }
                    Ask::Close { .. } => {
                        self.closed = true;
                        continue;
                    }
                    _ => continue,
                };
                self.wire.on(event, &mut self.io);
            }
        }
    }

    /// What the client got since the last look.
    fn got(&mut self) -> String {
        short(&self.io.client.take())
    }

    /// What the target was sent since the last look; the first message of all has no tag and is left out.
    fn sent(&mut self) -> String {
        let bytes = self.io.target.take();
        if bytes.first() == Some(&0) {
            let length = u32::from_be_bytes(bytes[..4].try_into().unwrap()) as usize;
            return short(&bytes[length..]);
        }
        short(&bytes)
    }
}

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
