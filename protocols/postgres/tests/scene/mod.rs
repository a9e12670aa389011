//! A session in memory: a client's frames and a scripted target's, through the machine that joins them.

#![allow(dead_code, reason = "not everybody who has it needs all of it")]
#![allow(missing_docs, reason = "the fuzz targets have it too")]

use arc_swap::ArcSwap;
use bytes::BytesMut;
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

pub const POLICIES: &str = r#"
permit (principal, action, resource);
@id("no-delete")
forbid (principal, action == Action::"write", resource) when { context.sql.verb == "delete" };
@id("ask") @approve("dba")
forbid (principal, action == Action::"write", resource) when { context.sql.verb == "update" };
"#;

pub fn frame(tag: u8, body: &[u8]) -> Vec<u8> {
    let mut out = vec![tag];
    out.extend((body.len() as u32 + 4).to_be_bytes());
    out.extend(body);
    out
}

pub fn text(tag: u8, parts: &[&str], rest: &[u8]) -> Vec<u8> {
    let mut body = Vec::new();
    for part in parts {
        body.extend(part.as_bytes());
        body.push(0);
    }
    body.extend(rest);
    frame(tag, &body)
}

pub fn query(sql: &str) -> Vec<u8> {
    text(b'Q', &[sql], &[])
}
pub fn parse(name: &str, sql: &str) -> Vec<u8> {
    text(b'P', &[name, sql], &[0, 0])
}
pub fn bind(portal: &str, name: &str) -> Vec<u8> {
    text(b'B', &[portal, name], &[0; 6])
}
pub fn execute(portal: &str) -> Vec<u8> {
    text(b'E', &[portal], &[0; 4])
}
pub fn all(sql: &str) -> Vec<u8> {
    [parse("", sql), bind("", ""), execute("")].concat()
}
pub fn sync() -> Vec<u8> {
    frame(b'S', &[])
}

// What a target says.
pub fn error(code: &str) -> Vec<u8> {
    text(b'E', &["SERROR", "VERROR", &format!("C{code}"), "Mno"], &[0])
}
pub fn complete(tag: &str) -> Vec<u8> {
    text(b'C', &[tag], &[])
}
pub fn ready(status: u8) -> Vec<u8> {
    frame(b'Z', &[status])
}
pub fn bare(tags: &str) -> Vec<u8> {
    tags.bytes().flat_map(|tag| frame(tag, &[])).collect()
}
pub fn described() -> Vec<u8> {
    text(b'T', &["\0\u{1}c"], &[0, 0, 0, 0, 0, 0, 0, 0, 0, 23, 0, 4, 255, 255, 255, 255, 0, 0])
}
pub fn row(value: &str) -> Vec<u8> {
    let mut body = vec![0, 1];
    body.extend((value.len() as u32).to_be_bytes());
    body.extend(value.as_bytes());
    frame(b'D', &body)
}
pub fn copy_in() -> Vec<u8> {
    frame(b'G', &[0, 0, 1, 0, 0])
}

/// Frames in short: the tag, and what tells one from another.
pub fn short(bytes: &[u8]) -> String {
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

pub struct Scene {
    pub wire: Box<dyn Wire>,
    pub io: Io,
    from_client: BytesMut,
    from_target: BytesMut,
    pub held: bool,
    pub closed: bool,
}

impl Scene {
    /// A session that is logged in.
    pub fn new() -> Scene {
        let mut scene = Scene::begun(b"");
        // The first statement makes the gateway ask for the catalog; where nothing is labelled it can do without.
        scene.client(&query("SELECT 0"));
        while scene.sent().starts_with('C') {
            scene.target(&[error("XX000"), ready(b'I')].concat());
        }
        scene.target(&[complete("SELECT 0"), ready(b'I')].concat());
        scene.got();
        scene
    }

    /// The same for replication.
    pub fn replicating() -> Scene {
        let mut scene = Scene::begun(b"replication\0database\0");
        scene.sent();
        scene.got();
        scene
    }

    fn begun(parameters: &[u8]) -> Scene {
        let wire = Postgres::new("https://gateway").accept("127.0.0.1:5000".parse().unwrap(), false);
        let io = Io::new(Timestamp::from_millis(1_700_000_000_000), |into| into.fill(7));
        let (from_client, from_target) = (BytesMut::new(), BytesMut::new());
        let mut scene = Scene { wire, io, from_client, from_target, held: false, closed: false };
        let body = [b"\0\x03\0\0user\0alice\0database\0shop\0client_encoding\0UTF8\0", parameters, b"\0"].concat();
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
        scene
    }

    pub fn session() -> Box<Session> {
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

    pub fn identity() -> Arc<Identity> {
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

    pub fn client(&mut self, bytes: &[u8]) {
        self.from_client.extend_from_slice(bytes);
        self.again();
    }

    pub fn again(&mut self) {
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

    pub fn target(&mut self, bytes: &[u8]) {
        self.target_begins(bytes);
        assert!(self.closed || self.from_target.is_empty(), "the target's bytes are left");
    }

    /// The same of bytes that may end anywhere.
    pub fn target_begins(&mut self, bytes: &[u8]) {
        self.from_target.extend_from_slice(bytes);
        let mut buffer = std::mem::take(&mut self.from_target);
        self.wire.on(Event::Target(&mut buffer), &mut self.io);
        self.from_target = buffer;
        self.answer();
        self.again();
    }

    /// The target's bytes, one at a time.
    pub fn target_slowly(&mut self, bytes: &[u8]) {
        let mut buffer = BytesMut::new();
        for byte in bytes {
            buffer.extend_from_slice(&[*byte]);
            self.wire.on(Event::Target(&mut buffer), &mut self.io);
        }
        assert!(buffer.is_empty());
        self.again();
    }

    pub fn decide(&mut self, outcome: HoldOutcome) {
        assert!(std::mem::take(&mut self.held), "nothing is held");
        self.wire.on(Event::Decided(Decided { outcome, by: vec!["bob".into()], reason: None }), &mut self.io);
        self.again();
    }

    pub fn answer(&mut self) {
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
                        Event::Waits
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
    pub fn got(&mut self) -> String {
        short(&self.io.client.take())
    }

    /// What the target was sent since the last look; the first message of all has no tag and is left out.
    pub fn sent(&mut self) -> String {
        let bytes = self.io.target.take();
        if bytes.first() == Some(&0) {
            let length = u32::from_be_bytes(bytes[..4].try_into().unwrap()) as usize;
            return short(&bytes[length..]);
        }
        short(&bytes)
    }
}
