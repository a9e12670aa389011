//! The decoders of the PostgreSQL protocol: frames and messages of both sides, startup, both logins. And what is behind them: a
//! session with both sides.

#[path = "../../protocols/postgres/tests/scene/mod.rs"]
mod scene;

use bytes::BytesMut;
use lockgate_core::{Secret, Timestamp};
use lockgate_postgres::client_auth::{AuthStep, ClientAuth, Method, ScramOffer};
use lockgate_postgres::frame::{self, BackendTag, FrontendTag, Next, Peer};
use lockgate_postgres::message::{
    Authentication, BackendKeyData, Bind, Cells, Close, CommandComplete, CopyFail, CopyResponse, Describe, Execute,
    FunctionCall, FunctionCallResponse, NegotiateProtocolVersion, NotificationResponse, ParameterDescription,
    ParameterStatus, Parse, Query, ReadyForQuery, Report, RowDescription, SaslInitialResponse, empty, password,
};
use lockgate_postgres::scram::ScramVerifier;
use lockgate_postgres::startup::{StartupMachine, StartupStep};
use lockgate_postgres::target_login::{LoginConfig, LoginStep, TargetLogin, read_tls_answer};
use lockgate_session::wire::{Event, HoldOutcome, TokenIssuer};
use scene::Scene;

/// A stream of frames; `body` gets each. Frames must add up to what was read.
fn frames(data: &[u8], peer: Peer, mut body: impl FnMut(u8, &[u8])) {
    let mut buf = BytesMut::from(data);
    let mut taken = 0;
    loop {
        let looked = frame::next(&buf, peer, 65_536).map(|next| match next {
            Next::Frame { header, .. } => header.frame_len(),
            Next::Incomplete { .. } => 0,
        });
        match frame::take(&mut buf, peer, 65_536) {
            Ok(Some(frame)) => {
                assert_eq!(looked, Ok(frame.bytes().len()));
                taken += frame.bytes().len();
                body(frame.tag(), frame.body());
            }
            Ok(None) => break assert_eq!(looked, Ok(0)),
            Err(error) => break assert_eq!(looked, Err(error)),
        }
    }
    assert_eq!(taken + buf.len(), data.len());
}

/// What a target may send in the query cycle.
pub fn backend(data: &[u8]) {
    frames(data, Peer::Target, |tag, body| match BackendTag::from_byte(tag) {
        BackendTag::Authentication => {
            if let Ok(Authentication::Sasl { mechanisms }) = Authentication::decode(body) {
                assert!(mechanisms.count() <= body.len());
            }
        }
        BackendTag::BackendKeyData => {
            let _ = BackendKeyData::decode(body).map(|data| assert!((4..=256).contains(&data.key.len())));
        }
        BackendTag::CommandComplete => {
            let _ = CommandComplete::decode(body).map(|complete| complete.rows());
        }
        BackendTag::CopyInResponse | BackendTag::CopyOutResponse | BackendTag::CopyBothResponse => {
            let _ = CopyResponse::decode(body).map(|copy| assert_eq!(copy.columns.iter().count(), copy.columns.len()));
        }
        BackendTag::DataRow => {
            if let Ok(mut cells) = Cells::decode(body) {
                let bytes: usize = cells.by_ref().filter_map(Result::ok).flatten().map(<[u8]>::len).sum();
                assert!(bytes <= body.len());
                let _ = cells.finish();
            }
        }
        BackendTag::ErrorResponse | BackendTag::NoticeResponse => {
            let _ = Report::decode(body).map(|report| {
                let size: usize = report.fields().map(|(_, value)| value.len() + 2).sum();
                assert_eq!(size + 1, body.len());
            });
        }
        BackendTag::FunctionCallResponse => drop(FunctionCallResponse::decode(body).map(|call| call.value)),
        BackendTag::NegotiateProtocolVersion => {
            let _ = NegotiateProtocolVersion::decode(body)
                .map(|n| assert_eq!(n.unrecognised().count(), usize::try_from(n.unrecognised_len()).unwrap()));
        }
        BackendTag::NotificationResponse => drop(NotificationResponse::decode(body).map(|n| n.pid)),
        BackendTag::ParameterDescription => {
            let _ =
                ParameterDescription::decode(body).map(|p| assert_eq!(p.type_oids.iter().count(), p.type_oids.len()));
        }
        BackendTag::ParameterStatus => drop(ParameterStatus::decode(body).map(|status| status.name.len())),
        BackendTag::ReadyForQuery => drop(ReadyForQuery::decode(body)),
        BackendTag::RowDescription => {
            let _ =
                RowDescription::decode(body).map(|row| assert_eq!(row.fields().collect::<Vec<_>>().len(), row.len()));
        }
        BackendTag::CopyData | BackendTag::Unknown(_) => {}
        BackendTag::BindComplete
        | BackendTag::CloseComplete
        | BackendTag::CopyDone
        | BackendTag::EmptyQueryResponse
        | BackendTag::NoData
        | BackendTag::ParseComplete
        | BackendTag::PortalSuspended => drop(empty(body)),
    });
}

/// What a client may send in the query cycle.
pub fn frontend(data: &[u8]) {
    frames(data, Peer::Client, |tag, body| match FrontendTag::from_byte(tag) {
        FrontendTag::Query => drop(Query::decode(body).map(|query| assert_eq!(query.text.len() + 1, body.len()))),
        FrontendTag::Parse => {
            let _ = Parse::decode(body).map(|parse| assert_eq!(parse.type_oids.iter().count(), parse.type_oids.len()));
        }
        FrontendTag::Bind => {
            let _ = Bind::decode(body).map(|bind| {
                assert_eq!(bind.values.iter().count(), bind.values.len());
                assert!(bind.parameter_formats.len() * 2 + bind.result_formats.len() * 2 <= body.len());
            });
        }
        FrontendTag::Describe => drop(Describe::decode(body)),
        FrontendTag::Execute => drop(Execute::decode(body)),
        FrontendTag::Close => drop(Close::decode(body)),
        FrontendTag::FunctionCall => {
            let _ =
                FunctionCall::decode(body).map(|call| assert_eq!(call.arguments.iter().count(), call.arguments.len()));
        }
        FrontendTag::CopyFail => drop(CopyFail::decode(body)),
        FrontendTag::PasswordMessage => {
            let _ = password(body).map(|text| assert_eq!(text.len() + 1, body.len()));
            let _ = SaslInitialResponse::decode(body);
        }
        FrontendTag::Flush | FrontendTag::Sync | FrontendTag::Terminate | FrontendTag::CopyDone => drop(empty(body)),
        FrontendTag::CopyData | FrontendTag::Unknown(_) => {}
    });
}

/// What a client may send before it is asked who it is. The first byte chooses the setting; the rest is the stream, which
/// must mean the same in one piece and byte by byte.
pub fn startup(data: &[u8]) {
    let Some((setting, stream)) = data.split_first() else { return };
    let whole = startup_outcome(*setting, stream, stream.len().max(1));
    // An encryption request with more behind it is an error only when both are there at once.
    if !whole.contains("unencrypted") {
        assert_eq!(whole, startup_outcome(*setting, stream, 1));
    }
}

fn startup_outcome(setting: u8, stream: &[u8], piece: usize) -> String {
    let mut machine = StartupMachine::new(setting & 1 == 1);
    let mut buf = BytesMut::new();
    let mut outcome = String::new();
    for bytes in stream.chunks(piece) {
        buf.extend_from_slice(bytes);
        loop {
            match machine.step(&mut buf) {
                StartupStep::NeedMore => break,
                StartupStep::Send(bytes) => outcome.push_str(&format!("send {bytes:?} ")),
                StartupStep::StartTls(bytes) => {
                    outcome.push_str(&format!("tls {bytes:?} "));
                    if bytes.is_empty() || machine.tls_established(Some(b"postgresql")).is_err() {
                        return outcome;
                    }
                }
                StartupStep::Cancel(request) => return format!("{outcome}cancel {}", request.pid),
                StartupStep::Startup(startup) => {
                    assert!(!startup.user.is_empty());
                    let texts = startup.parameters.iter().chain(&startup.refused);
                    assert!(texts.flat_map(|(name, value)| [name, value]).all(|text| !text.contains('\0')));
                    return format!("{outcome}startup {startup:?}");
                }
                StartupStep::Fail(error) => return format!("{outcome}fail {error}"),
            }
        }
    }
    outcome
}

/// What a client may answer to an authentication request. Nobody may get in: no verifier fits.
pub fn client_auth(data: &[u8]) {
    let Some((setting, stream)) = data.split_first() else { return };
    let method = match setting & 3 {
        0 => Method::Cleartext,
        3 => Method::Bearer(TokenIssuer {
            discovery: "https://idp.example.com/x".to_owned(),
            scope: "openid".to_owned(),
        }),
        with_binding => Method::Scram(ScramOffer {
            salt: vec![1; 16],
            iterations: 4_096,
            nonce: [2; 18],
            server_end_point: (with_binding == 2).then(|| vec![3; 32]),
        }),
    };
    let verifiers = [ScramVerifier { stored_key: [4; 32], server_key: [5; 32] }];
    let mut auth = ClientAuth::new(method);
    assert!(auth.start().is_ok());
    frames(stream, Peer::Client, |tag, body| match auth.on_message(tag, body) {
        AuthStep::NeedVerdictCleartext(secret) => {
            assert!(!secret.expose().is_empty() && !secret.expose().contains('\0'))
        }
        AuthStep::NeedVerifiers => assert!(matches!(auth.on_verifiers(&verifiers), AuthStep::Fail(_))),
        AuthStep::ScramProven { .. } => panic!("proven without verifiers"),
        AuthStep::Send(_) | AuthStep::Fail(_) => {}
    });
}

/// What a target may send during a login. The first byte chooses the setting.
pub fn target_login(data: &[u8]) {
    let Some((setting, stream)) = data.split_first() else { return };
    let _ = read_tls_answer(&mut BytesMut::from(stream));
    let mut login = TargetLogin::new(LoginConfig {
        user: "app".to_owned(),
        password: (setting & 1 == 0).then(|| Secret::new("pencil".to_owned())),
        database: "shop".to_owned(),
        parameters: Vec::new(),
        minor: u16::from(setting & 2),
        protected: setting & 4 == 0,
        server_end_point: (setting & 8 != 0).then(|| vec![3; 32]),
        nonce: [1; 18],
    });
    assert!(login.start().is_ok());
    let mut buf = BytesMut::from(stream);
    loop {
        match login.step(&mut buf) {
            LoginStep::Send(bytes) => assert!(!bytes.is_empty()),
            LoginStep::NeedMore | LoginStep::Failed(_) => break,
            LoginStep::Ready(session) => {
                assert!(session.minor <= u16::from(setting & 2));
                break;
            }
        }
    }
}

/// A session that is logged in, and what comes then: steps of a byte that says what happens, a frame's tag, a length of two
/// bytes and as many bytes. The first byte of all says whether it is one for replication.
pub fn conversation(data: &[u8]) {
    let Some((setting, mut rest)) = data.split_first() else { return };
    let replicating = setting & 1 == 1;
    let mut scene = if replicating { Scene::replicating() } else { Scene::new() };
    let (mut from_client, mut to_client, mut to_target) = (Vec::new(), Vec::new(), Vec::new());
    let mut approvals = 0;
    while let [step, tag, low, high, more @ ..] = rest {
        let (body, left) = more.split_at(more.len().min(usize::from(u16::from_le_bytes([*low, *high]))));
        rest = left;
        match step & 7 {
            0 => from_client.extend(step_of_client(&mut scene, scene::frame(*tag, body))),
            1 => scene.target_begins(&scene::frame(*tag, body)),
            2 => from_client.extend(step_of_client(&mut scene, body.to_vec())),
            3 => scene.target_begins(body),
            4 if scene.held => {
                approvals += 1;
                scene.decide(HoldOutcome::Approved);
            }
            5 if scene.held => scene.decide(HoldOutcome::Denied),
            6 => event(&mut scene, Event::Cancel),
            _ => {
                scene.io.now = Timestamp::from_millis(scene.io.now.millis().saturating_add(1_000));
                event(&mut scene, Event::Tick);
            }
        }
        to_client.extend_from_slice(&scene.io.client.take());
        to_target.extend_from_slice(&scene.io.target.take());
        if scene.closed {
            break;
        }
    }
    event(&mut scene, Event::ClientClosed);
    to_client.extend_from_slice(&scene.io.client.take());
    to_target.extend_from_slice(&scene.io.target.take());

    if replicating {
        return;
    }
    // Nobody is told more often that it is their turn than they gave it away.
    let count = |stream: &[u8], peer, tags: &[u8]| {
        let mut count = 0;
        frames(stream, peer, |tag, _| count += usize::from(tags.contains(&tag)));
        count
    };
    let turns = count(&to_client, Peer::Target, b"Z");
    assert!(turns <= count(&from_client, Peer::Client, b"QSF"), "{turns} turns: {}", to_client.escape_ascii());
    // What policy forbids is not sent, and what needs an approval only as often as it was approved.
    let (mut forbidden, mut risky) = (0, 0);
    frames(&to_target, Peer::Client, |tag, body| {
        forbidden += usize::from(tag == b'Q' && body == b"DELETE FROM t\0");
        risky += usize::from(tag == b'Q' && body == b"UPDATE t SET c = 1\0");
    });
    assert!(forbidden == 0 && risky <= approvals, "{risky} for {approvals}: {}", to_target.escape_ascii());
}

fn step_of_client(scene: &mut Scene, bytes: Vec<u8>) -> Vec<u8> {
    scene.client(&bytes);
    bytes
}

fn event(scene: &mut Scene, event: Event<'_>) {
    scene.wire.on(event, &mut scene.io);
    scene.again();
}
