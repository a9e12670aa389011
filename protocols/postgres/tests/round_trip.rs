//! What is encoded reads back as it was, whatever it is; and a stream means the same however it is cut.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test may panic, also in a function that it calls"
)]

use bytes::BytesMut;
use lockgate_core::SqlState;
use lockgate_postgres::cancel::{CancelKey, CancelRequest};
use lockgate_postgres::frame::{self, Peer};
use lockgate_postgres::message::{
    Authentication, BackendKeyData, Bind, Close, CommandComplete, Describe, Execute, FormatCode,
    NegotiateProtocolVersion, Object, ParameterStatus, Parse, Query, ReadyForQuery, Report, SaslInitialResponse,
    TransactionStatus, code, password,
};
use lockgate_postgres::own::{self, OwnReport, Severity};
use lockgate_postgres::startup::{StartupMachine, StartupStep};
use proptest::collection::vec;
use proptest::prelude::*;

/// A string of the protocol: any bytes but NUL.
fn name() -> impl Strategy<Value = Vec<u8>> {
    vec(1_u8..=255, 0..20)
}

/// The single frame in `buf`, and its tag.
fn single(buf: &mut BytesMut) -> (u8, Vec<u8>) {
    let frame = frame::take(buf, Peer::Client, usize::MAX).unwrap().unwrap();
    assert!(buf.is_empty(), "one message was appended");
    (frame.tag(), frame.body().to_vec())
}

fn encoded(write: impl FnOnce(&mut BytesMut)) -> (u8, Vec<u8>) {
    let mut out = BytesMut::new();
    write(&mut out);
    single(&mut out)
}

proptest! {
    #[test]
    fn statements(name in name(), text in name(), oids in vec(any::<u32>(), 0..9), limit in any::<i32>()) {
        let (tag, body) = encoded(|out| own::parse(out, &name, &text, &oids).unwrap());
        let parse = Parse::decode(&body).unwrap();
        prop_assert_eq!((tag, parse.name, parse.text), (b'P', &name[..], &text[..]));
        prop_assert_eq!(parse.type_oids.iter().collect::<Vec<_>>(), oids);
        let (_, body) = encoded(|out| own::query(out, &text).unwrap());
        prop_assert_eq!(Query::decode(&body).unwrap().text, &text[..]);
        let (_, body) = encoded(|out| own::execute(out, &name, limit).unwrap());
        prop_assert_eq!(Execute::decode(&body), Ok(Execute { portal: &name, row_limit: limit }));
        for object in [Object::Statement, Object::Portal] {
            let (_, body) = encoded(|out| own::describe(out, object, &name).unwrap());
            prop_assert_eq!(Describe::decode(&body), Ok(Describe { object, name: &name }));
            let (_, body) = encoded(|out| own::close(out, object, &name).unwrap());
            prop_assert_eq!(Close::decode(&body), Ok(Close { object, name: &name }));
        }
    }

    #[test]
    fn portals(portal in name(), statement in name(), values in vec(proptest::option::of(vec(any::<u8>(), 0..9)), 0..9), binary in any::<bool>()) {
        let borrowed: Vec<Option<&[u8]>> = values.iter().map(Option::as_deref).collect();
        let (_, body) = encoded(|out| own::bind(out, &portal, &statement, &borrowed, binary).unwrap());
        let bind = Bind::decode(&body).unwrap();
        prop_assert_eq!((bind.portal, bind.statement), (&portal[..], &statement[..]));
        prop_assert_eq!(bind.values.iter().collect::<Vec<_>>(), borrowed);
        prop_assert_eq!(bind.parameter_formats.of(3), Some(FormatCode::Text));
        prop_assert_eq!(bind.result_formats.of(3), Some(if binary { FormatCode::Binary } else { FormatCode::Text }));
    }

    #[test]
    fn reports(message in ".{0,40}", detail in proptest::option::of(".{0,40}")) {
        let own_report = OwnReport { severity: Severity::Error, sqlstate: SqlState::INSUFFICIENT_PRIVILEGE, message: &message, detail: detail.as_deref(), hint: None };
        let (tag, body) = encoded(|out| own::error(out, &own_report));
        let report = Report::decode(&body).unwrap();
        prop_assert_eq!((tag, report.sqlstate()), (b'E', Some(&b"42501"[..])));
        let clean = message.replace('\0', "?");
        prop_assert_eq!(report.message(), Some(clean.as_bytes()));
        prop_assert_eq!(report.get(code::DETAIL).is_some(), detail.is_some());
        prop_assert_eq!(report.get(code::HINT), None);
    }

    #[test]
    fn logins(text in "[^\0]{0,30}", value in "[^\0]{0,30}", data in vec(any::<u8>(), 0..60), pid in any::<i32>(), random in any::<[u8; 32]>(), minor in 0_u16..4) {
        let (_, body) = encoded(|out| own::parameter_status(out, &text, &value).unwrap());
        prop_assert_eq!(ParameterStatus::decode(&body), Ok(ParameterStatus { name: text.as_bytes(), value: value.as_bytes() }));
        let (_, body) = encoded(|out| own::password(out, text.as_bytes()).unwrap());
        prop_assert_eq!(password(&body), Ok(text.as_bytes()));
        let (_, body) = encoded(|out| own::sasl_initial_response(out, &text, &data).unwrap());
        prop_assert_eq!(SaslInitialResponse::decode(&body), Ok(SaslInitialResponse { mechanism: text.as_bytes(), data: Some(&data) }));
        let (_, body) = encoded(|out| own::authentication_sasl_continue(out, &data).unwrap());
        let same = matches!(Authentication::decode(&body), Ok(Authentication::SaslContinue { data: d }) if d == &data[..]);
        prop_assert!(same);
        let key = CancelKey::for_client(minor, &random);
        let (_, body) = encoded(|out| own::backend_key_data(out, pid, &key).unwrap());
        let back = BackendKeyData::decode(&body).unwrap();
        prop_assert!(back.pid == pid && CancelKey::from_wire(back.key).unwrap().matches(&key));
        let (_, body) = encoded(|out| own::negotiate_protocol_version(out, minor, std::slice::from_ref(&text)).unwrap());
        let back = NegotiateProtocolVersion::decode(&body).unwrap();
        prop_assert_eq!((back.major, back.minor, back.unrecognised().collect::<Vec<_>>()), (3, minor, vec![text.as_bytes()]));
        let mut out = BytesMut::new();
        CancelRequest { pid, key: key.clone() }.encode(&mut out);
        let StartupStep::Cancel(request) = StartupMachine::new(false).step(&mut out) else { panic!("no cancel request") };
        prop_assert!(request.pid == pid && request.key.matches(&key));
    }

    #[test]
    fn a_stream_means_the_same_however_it_is_cut(bodies in vec((any::<u8>(), vec(any::<u8>(), 0..30)), 0..8), cut in 1_usize..20) {
        let mut wire = Vec::new();
        for (tag, body) in &bodies {
            wire.push(*tag);
            wire.extend(u32::try_from(body.len() + 4).unwrap().to_be_bytes());
            wire.extend(body);
        }
        let mut buf = BytesMut::new();
        let mut seen = Vec::new();
        for piece in wire.chunks(cut) {
            buf.extend_from_slice(piece);
            while let Some(frame) = frame::take(&mut buf, Peer::Client, 100).unwrap() {
                seen.push((frame.tag(), frame.body().to_vec()));
            }
        }
        prop_assert_eq!(seen, bodies);
    }

    #[test]
    fn startup_packets(user in "[^\0]{1,20}", database in "[^\0]{1,20}", zone in "[^\0]{0,20}", minor in 0_u16..5) {
        let mut out = BytesMut::new();
        own::startup(&mut out, minor, [("user", user.as_str()), ("database", &database), ("TimeZone", &zone)]).unwrap();
        let StartupStep::Startup(startup) = StartupMachine::new(false).step(&mut out) else { panic!("no startup") };
        prop_assert_eq!((startup.user.as_str(), startup.database.as_deref()), (user.as_str(), Some(database.as_str())));
        prop_assert_eq!(startup.parameter("timezone"), Some(zone.as_str()));
        prop_assert!(startup.minor <= minor.min(2));
    }
}

#[test]
fn text_with_a_nul_is_refused_and_leaves_nothing_behind() {
    let mut out = BytesMut::from(&b"before"[..]);
    assert!(own::query(&mut out, b"select 1\0; drop table t").is_err());
    assert!(own::parse(&mut out, b"a\0", b"", &[]).is_err());
    assert!(own::bind(&mut out, b"", b"\0", &[], false).is_err());
    assert!(own::close(&mut out, Object::Portal, b"\0").is_err());
    assert!(own::password(&mut out, b"a\0b").is_err());
    assert!(own::parameter_status(&mut out, "a", "\0").is_err());
    assert!(own::startup(&mut out, 0, [("user", "a\0database\0b")]).is_err());
    assert!(own::startup(&mut out, 0, [("", "a")]).is_err());
    assert!(own::startup(&mut out, 0, [("user", "a".repeat(10_000).as_str())]).is_err());
    assert!(own::bind(&mut out, b"", b"", &vec![None; 65_536], false).is_err());
    assert_eq!(&out[..], b"before");
}

#[test]
fn messages_without_text() {
    type Write = fn(&mut BytesMut);
    let bare: [(Write, u8); 8] = [
        (own::parse_complete, b'1'),
        (own::bind_complete, b'2'),
        (own::close_complete, b'3'),
        (own::no_data, b'n'),
        (own::empty_query_response, b'I'),
        (own::sync, b'S'),
        (own::flush, b'H'),
        (own::terminate, b'X'),
    ];
    for (write, tag) in bare {
        assert_eq!(encoded(write), (tag, Vec::new()));
    }
    let (_, body) = encoded(|out| own::ready_for_query(out, TransactionStatus::Failed));
    assert_eq!(ReadyForQuery::decode(&body), Ok(ReadyForQuery { status: TransactionStatus::Failed }));
    let (_, body) = encoded(|out| own::command_complete(out, "SELECT 3").unwrap());
    assert_eq!(CommandComplete::decode(&body).unwrap().rows(), Some(3));
    let (tag, body) = encoded(|out| own::copy_fail(out, "no").unwrap());
    assert_eq!((tag, &body[..]), (b'f', &b"no\0"[..]));
    let (tag, _) = encoded(|out| own::notice(out, &OwnReport::new(Severity::Notice, SqlState("00000"), "x")));
    assert_eq!(tag, b'N');
    assert!(matches!(Authentication::decode(&encoded(own::authentication_ok).1), Ok(Authentication::Ok)));
    assert!(matches!(
        Authentication::decode(&encoded(own::authentication_cleartext).1),
        Ok(Authentication::CleartextPassword)
    ));
}
