//! Conversations on the wire as text, one file each in `golden/`. A line that starts with `>` is what a peer sends to the
//! machine; the lines after it that start with `<` are what the machine answers. Bytes are escaped as in a Rust byte string.
//!
//! `LOCKGATE_BLESS=1 cargo test -p lockgate-postgres --test golden` writes the answers of the machines into the files;
//! read the difference before committing it.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test may panic, also in a function that it calls"
)]

use bytes::BytesMut;
use lockgate_core::{Fault, Identity, IdentityKind, Secret, Timestamp};
use lockgate_postgres::Postgres;
use lockgate_postgres::client_auth::{AuthStep, ClientAuth, Method, ScramOffer};
use lockgate_postgres::frame::{self, Peer};
use lockgate_postgres::scram::ScramVerifier;
use lockgate_postgres::startup::{StartupMachine, StartupStep};
use lockgate_postgres::target_login::{LoginConfig, LoginStep, TargetLogin};
use lockgate_session::wire::{Ask, Event, Io, LoginLink, Protocol, Refusal};
use std::collections::BTreeSet;
use std::num::NonZeroU32;
use std::path::Path;
use std::sync::Arc;

/// Takes what the peer sends and returns what the machine answers, a line each.
type Machine = Box<dyn FnMut(&[u8]) -> Vec<String>>;

fn sends(bytes: &[u8]) -> String {
    if bytes.is_empty() { "send nothing".to_owned() } else { format!("send {}", bytes.escape_ascii()) }
}

fn startup(tls_offered: bool) -> Machine {
    let mut machine = StartupMachine::new(tls_offered);
    let mut buf = BytesMut::new();
    Box::new(move |bytes| {
        buf.extend_from_slice(bytes);
        match machine.step(&mut buf) {
            StartupStep::NeedMore => vec!["wait".to_owned()],
            StartupStep::Send(answer) => vec![sends(answer)],
            StartupStep::StartTls(answer) => {
                let line = vec![sends(answer), format!("TLS, {} bytes left to it", buf.len())];
                buf.clear();
                machine.tls_established(Some(b"postgresql")).unwrap();
                line
            }
            StartupStep::Cancel(request) => vec![format!("cancel {}", request.pid)],
            StartupStep::Fail(error) => vec![format!("FATAL {} {error}", error.sqlstate().0)],
            StartupStep::Startup(startup) => {
                let mut lines = vec![format!("user {} database {:?}", startup.user, startup.database)];
                lines.push(format!("protocol 3.{} in TLS {}", startup.minor, startup.in_tls));
                lines.extend(startup.parameters.iter().map(|(name, value)| format!("forward {name} = {value}")));
                lines.extend(startup.refused.iter().map(|(name, value)| format!("refuse {name} = {value}")));
                lines.extend(startup.replication.iter().map(|kind| format!("replication {kind}")));
                if !startup.send_first.is_empty() {
                    lines.push(sends(&startup.send_first));
                }
                lines
            }
        }
    })
}

fn client_auth(scram: bool, channel_binding: bool) -> (Machine, String) {
    let salt = b"0123456789abcdef";
    let method = match scram {
        false => Method::Cleartext,
        true => Method::Scram(ScramOffer {
            salt: salt.to_vec(),
            iterations: 4_096,
            nonce: [2; 18],
            server_end_point: channel_binding.then(|| vec![3; 32]),
        }),
    };
    let verifier = ScramVerifier::derive("pencil", salt, NonZeroU32::new(4_096).unwrap());
    let mut auth = ClientAuth::new(method);
    let first = sends(&auth.start().unwrap());
    let mut buf = BytesMut::new();
    let machine: Machine = Box::new(move |bytes| {
        buf.extend_from_slice(bytes);
        let Some(frame) = frame::take(&mut buf, Peer::Client, 16_384).unwrap() else { return vec!["wait".to_owned()] };
        let mut lines = Vec::new();
        let mut step = auth.on_message(frame.tag(), frame.body());
        if let AuthStep::NeedVerifiers = step {
            lines.push("fetch verifiers".to_owned());
            step = auth.on_verifiers(std::slice::from_ref(&verifier));
        }
        lines.push(match step {
            AuthStep::Send(bytes) => sends(&bytes),
            AuthStep::NeedVerdictCleartext(secret) => format!("judge a token of {} bytes", secret.expose().len()),
            AuthStep::ScramProven { index, answer } => format!("proven by verifier {index}, {}", sends(&answer)),
            AuthStep::Fail(error) => format!("FATAL {} {} (log: {error})", error.sqlstate().0, error.client_message()),
            AuthStep::NeedVerifiers => "fetch verifiers again".to_owned(),
        });
        lines
    });
    (machine, first)
}

fn target_login(protected: bool, channel_binding: bool) -> (Machine, String) {
    let mut login = TargetLogin::new(LoginConfig {
        user: "app".to_owned(),
        password: Some(Secret::new("pencil".to_owned())),
        database: "shop".to_owned(),
        parameters: vec![("application_name".to_owned(), "alice".to_owned())],
        minor: 2,
        protected,
        server_end_point: channel_binding.then(|| vec![3; 32]),
        nonce: [1; 18],
    });
    let first = sends(&login.start().unwrap());
    let mut buf = BytesMut::new();
    let machine: Machine = Box::new(move |bytes| {
        buf.extend_from_slice(bytes);
        let mut lines = Vec::new();
        loop {
            match login.step(&mut buf) {
                LoginStep::Send(bytes) => lines.push(sends(&bytes)),
                LoginStep::NeedMore => {
                    lines.push("wait".to_owned());
                    return lines;
                }
                LoginStep::Failed(error) => {
                    lines.push(format!("failed {} {} (log: {error})", error.sqlstate().0, error.client_message()));
                    return lines;
                }
                LoginStep::Ready(session) => {
                    let cancel = session.cancel.map(|cancel| (cancel.pid, cancel.key.expose().len()));
                    lines.push(format!(
                        "ready {:?} 3.{} cancel (pid, key bytes) {cancel:?}",
                        session.status, session.minor
                    ));
                    for (name, value) in &session.parameters {
                        lines.push(format!("reported {} = {}", name.escape_ascii(), value.escape_ascii()));
                    }
                    lines.extend(session.notices.iter().map(|notice| format!("notice {}", notice.escape_ascii())));
                    return lines;
                }
            }
        }
    });
    (machine, first)
}

/// A connection that waits for a person with a browser. Beside a client's bytes it takes, in brackets, what the gateway says.
fn link(in_clear_from: &str) -> Machine {
    let mut wire = Postgres::new("https://gateway").accept(in_clear_from.parse().unwrap(), true);
    let refusal = || Refusal {
        fault: Fault::Client,
        public: "nobody has logged in".to_owned(),
        hint: None,
        internal: "for the log".to_owned(),
    };
    let alice = || Identity {
        user: "alice".to_owned(),
        groups: BTreeSet::new(),
        directories: Vec::new(),
        kind: IdentityKind::Human,
        on_behalf_of: Vec::new(),
        token_id: None,
        actions: None,
    };
    let mut buf = BytesMut::new();
    Box::new(move |bytes| {
        let mut io = Io::new(Timestamp::from_millis(0), |into| into.fill(7));
        let event = match bytes {
            b"(link)" => Event::Linked(Ok(LoginLink {
                url: "https://gateway/link/7vddtarptk2r".to_owned(),
                code: "BCDF-GHJK".to_owned(),
                waits_ms: 300_000,
            })),
            b"(no link)" => Event::Linked(Err(refusal())),
            b"(tick)" => Event::Tick,
            b"(confirmed)" => Event::Proven(Ok(Arc::new(alice()))),
            b"(denied)" => Event::Proven(Err(refusal())),
            bytes => {
                buf.extend_from_slice(bytes);
                Event::Client(&mut buf)
            }
        };
        wire.on(event, &mut io);
        let sent = io.client.take();
        let mut lines: Vec<String> = if sent.is_empty() { Vec::new() } else { vec![sends(&sent)] };
        lines.extend(io.asks.iter().map(|ask| match ask {
            Ask::Link { user, database } => format!("ask for a link for {user} to {database}"),
            Ask::Open { identity, database, .. } => format!("open {database} for {}", identity.user),
            Ask::Close { reason, .. } => format!("close: {reason}"),
            Ask::LoginFailed { reason, .. } => format!("put on record: {reason}"),
            Ask::Verifiers { user } => format!("fetch the verifiers of {user}"),
            _ => "ask for something else".to_owned(),
        }));
        lines.extend(io.wake_in_ms.map(|ms| format!("wake in {ms} ms")));
        lines.push(if io.read_client { "read on".to_owned() } else { "read nothing".to_owned() });
        lines
    })
}

fn machine(name: &str) -> (Machine, Option<String>) {
    let with_first = |(machine, first)| (machine, Some(first));
    match name {
        "startup with TLS" => (startup(true), None),
        "startup without TLS" => (startup(false), None),
        "client in clear" => with_first(client_auth(false, false)),
        "client by SCRAM" => with_first(client_auth(true, false)),
        "client by SCRAM in TLS" => with_first(client_auth(true, true)),
        "link on loopback" => (link("127.0.0.1:5000"), None),
        "link in clear from elsewhere" => (link("192.0.2.1:5000"), None),
        "target" => with_first(target_login(false, false)),
        "target on loopback" => with_first(target_login(true, false)),
        "target in TLS" => with_first(target_login(true, true)),
        other => panic!("no machine `{other}`"),
    }
}

/// The bytes of an escaped line.
fn unescape(text: &str) -> Vec<u8> {
    let mut out = Vec::new();
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        if byte != b'\\' {
            out.push(byte);
            continue;
        }
        match bytes.next() {
            Some(b'x') => {
                let digits = [bytes.next().unwrap(), bytes.next().unwrap()];
                out.push(u8::from_str_radix(std::str::from_utf8(&digits).unwrap(), 16).unwrap());
            }
            Some(b'0') => out.push(0),
            Some(b'n') => out.push(b'\n'),
            Some(b'\\') => out.push(b'\\'),
            other => panic!("unknown escape {other:?} in {text}"),
        }
    }
    out
}

/// The file with the answers of the machines in place of those that it has.
fn replay(text: &str) -> String {
    let mut out = String::new();
    let mut current: Option<Machine> = None;
    for line in text.lines() {
        let mut answers = Vec::new();
        if let Some(name) = line.strip_prefix("= ") {
            let (made, first) = machine(name);
            current = Some(made);
            answers.extend(first);
        } else if let Some(bytes) = line.strip_prefix("> ") {
            answers = current.as_mut().expect("a machine first")(&unescape(bytes));
        } else if line.starts_with('<') {
            continue;
        }
        out.push_str(line);
        out.push('\n');
        for answer in answers {
            out.push_str("< ");
            out.push_str(&answer);
            out.push('\n');
        }
    }
    out
}

#[test]
#[allow(clippy::disallowed_methods, reason = "a switch for whoever runs the tests, not a setting of the product")]
fn conversations_go_as_written() {
    let bless = std::env::var_os("LOCKGATE_BLESS").is_some();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    let mut files: Vec<_> = std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    assert!(files.len() >= 3, "the conversations are missing");
    for path in files {
        let text = std::fs::read_to_string(&path).unwrap();
        let played = replay(&text);
        if bless {
            std::fs::write(&path, &played).unwrap();
        } else {
            assert_eq!(played, text, "{}", path.display());
        }
    }
}
