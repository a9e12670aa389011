//! The two ends of a login against each other, in memory: the machine that logs in to a target talks to the one that
//! authenticates a client. What each must refuse is tried by changing what passes between them.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test may panic, also in a function that it calls"
)]

use bytes::{Bytes, BytesMut};
use lockgate_core::Secret;
use lockgate_postgres::cancel::CancelKey;
use lockgate_postgres::client_auth::{AuthError, AuthStep, ClientAuth, Method, ScramOffer};
use lockgate_postgres::frame::{self, Peer};
use lockgate_postgres::message::TransactionStatus;
use lockgate_postgres::own;
use lockgate_postgres::scram::{ScramError, ScramVerifier};
use lockgate_postgres::startup::{StartupMachine, StartupStep};
use lockgate_postgres::target_login::{
    LoggedIn, LoginConfig, LoginError, LoginStep, TargetLogin, TlsAnswer, read_tls_answer,
};
use lockgate_session::wire::TokenIssuer;
use std::num::NonZeroU32;

const SALT: &[u8] = b"0123456789abcdef";
const ITERATIONS: u32 = 4_096;

fn verifier(token: &str) -> ScramVerifier {
    ScramVerifier::derive(token, SALT, NonZeroU32::new(ITERATIONS).unwrap())
}

fn config(password: &str, server_end_point: Option<&[u8]>) -> LoginConfig {
    LoginConfig {
        user: "alice".to_owned(),
        password: Some(Secret::new(password.to_owned())),
        database: "orders".to_owned(),
        parameters: vec![("application_name".to_owned(), "test".to_owned())],
        minor: 2,
        protected: false,
        server_end_point: server_end_point.map(<[u8]>::to_vec),
        nonce: [1; 18],
    }
}

fn offer(server_end_point: Option<&[u8]>) -> Method {
    Method::Scram(ScramOffer {
        salt: SALT.to_vec(),
        iterations: ITERATIONS,
        nonce: [2; 18],
        server_end_point: server_end_point.map(<[u8]>::to_vec),
    })
}

/// How a login ended, as seen by each end.
#[derive(Debug, PartialEq)]
enum End {
    In { index: Option<usize> },
    Gateway(AuthError),
    Client(LoginError),
}

/// Runs a whole login. `change` may rewrite each message to the server (true) or to the client (false).
fn run(
    client: LoginConfig,
    method: Method,
    verifiers: &[ScramVerifier],
    mut change: impl FnMut(bool, Bytes) -> Bytes,
) -> (End, Option<LoggedIn>) {
    let mut client = TargetLogin::new(client);
    let mut packet = BytesMut::from(&client.start().unwrap()[..]);
    let StartupStep::Startup(startup) = StartupMachine::new(true).step(&mut packet) else { panic!("no startup") };
    assert_eq!((startup.user.as_str(), startup.minor), ("alice", 2));
    let mut server = ClientAuth::new(method);
    let mut to_client = BytesMut::from(&change(false, server.start().unwrap())[..]);
    let mut index = None;
    loop {
        let answer = match client.step(&mut to_client) {
            LoginStep::Send(bytes) => change(true, bytes),
            LoginStep::Ready(session) => return (End::In { index }, Some(session)),
            LoginStep::Failed(error) => return (End::Client(error), None),
            LoginStep::NeedMore => panic!("the client waits for nothing"),
        };
        let frame = frame::take(&mut BytesMut::from(&answer[..]), Peer::Client, 16_384).unwrap().unwrap();
        let mut step = server.on_message(frame.tag(), frame.body());
        if let AuthStep::NeedVerifiers = step {
            step = server.on_verifiers(verifiers);
        }
        match step {
            AuthStep::Send(bytes) => to_client = BytesMut::from(&change(false, bytes)[..]),
            AuthStep::ScramProven { index: proven, answer } => {
                index = Some(proven);
                to_client = BytesMut::from(&change(false, answer)[..]);
                welcome(&mut to_client);
            }
            AuthStep::NeedVerdictCleartext(secret) => {
                assert_eq!(secret.expose(), "pencil");
                welcome(&mut to_client);
            }
            AuthStep::Fail(error) => return (End::Gateway(error), None),
            AuthStep::NeedVerifiers => panic!("asked twice"),
        }
    }
}

fn welcome(out: &mut BytesMut) {
    own::authentication_ok(out);
    own::parameter_status(out, "TimeZone", "UTC").unwrap();
    own::backend_key_data(out, 4_711, &CancelKey::for_client(2, &[3; 32])).unwrap();
    own::ready_for_query(out, TransactionStatus::Idle);
}

fn unchanged(_: bool, bytes: Bytes) -> Bytes {
    bytes
}

#[test]
fn scram_with_and_without_channel_binding() {
    let list = [verifier("other"), verifier("pencil"), verifier("third")];
    for (client, server) in
        [(None, None), (Some(&b"cert"[..]), Some(&b"cert"[..])), (None, Some(b"cert")), (Some(b"cert"), None)]
    {
        let (end, session) = run(config("pencil", client), offer(server), &list, unchanged);
        assert_eq!(end, End::In { index: Some(1) }, "{client:?} {server:?}");
        let session = session.unwrap();
        assert_eq!(session.parameter("timezone"), Some(&b"UTC"[..]));
        let cancel = session.cancel.unwrap();
        assert_eq!((cancel.pid, cancel.key.expose().len()), (4_711, 32));
    }
}

#[test]
fn a_wrong_token_and_an_unknown_user_look_the_same() {
    for list in [&[][..], &[verifier("other")]] {
        let (end, _) = run(config("pencil", None), offer(None), list, unchanged);
        assert_eq!(end, End::Gateway(AuthError::WrongProof));
    }
    assert_eq!(AuthError::WrongProof.sqlstate().0, "28P01");
}

#[test]
fn somebody_in_between_is_noticed() {
    let list = [verifier("pencil")];
    // The client sees another certificate than the gateway's.
    let (end, _) = run(config("pencil", Some(b"evil")), offer(Some(b"cert")), &list, unchanged);
    assert_eq!(end, End::Gateway(AuthError::Scram(ScramError::WrongBinding)));

    // The offer of channel binding is removed on the way.
    let (end, _) = run(config("pencil", Some(b"cert")), offer(Some(b"cert")), &list, |to_server, bytes| {
        if to_server || bytes[8] != 10 {
            return bytes;
        }
        let mut out = BytesMut::new();
        own::authentication_sasl(&mut out, &["SCRAM-SHA-256"]).unwrap();
        out.freeze()
    });
    assert_eq!(end, End::Gateway(AuthError::Scram(ScramError::Downgraded)));

    // A server that does not know the password cannot end the exchange.
    let last = |data: &'static [u8]| {
        move |to_server: bool, bytes: Bytes| {
            if to_server || bytes[8] != 12 {
                return bytes;
            }
            let mut out = BytesMut::new();
            own::authentication_sasl_final(&mut out, data).unwrap();
            out.freeze()
        }
    };
    let forged = b"v=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";
    let (end, _) = run(config("pencil", None), offer(None), &list, last(forged));
    assert_eq!(end, End::Client(LoginError::Scram(ScramError::WrongServerSignature)));
    let (end, _) = run(config("pencil", None), offer(None), &list, last(b"e=other-error"));
    assert_eq!(end, End::Client(LoginError::Scram(ScramError::Refused)));

    // Nor can it leave the end out.
    let (end, _) =
        run(
            config("pencil", None),
            offer(None),
            &list,
            |to_server, bytes| {
                if to_server || bytes[8] != 12 { bytes } else { Bytes::new() }
            },
        );
    assert_eq!(end, End::Client(LoginError::Unexpected("authentication request")));
}

#[test]
fn every_changed_byte_of_the_exchange_is_noticed() {
    let list = [verifier("pencil")];
    // (towards the server, how many messages come before the one that is changed)
    for (direction, skip, from) in [(true, 0, 9 + 14), (true, 1, 5), (false, 1, 9), (false, 2, 9)] {
        let mut length = from + 1;
        let mut at = from;
        while at < length {
            let mut seen = 0;
            let (end, _) = run(config("pencil", None), offer(None), &list, |to_server, bytes| {
                if to_server != direction {
                    return bytes;
                }
                seen += 1;
                if seen != skip + 1 {
                    return bytes;
                }
                length = bytes.len();
                let mut changed = bytes.to_vec();
                changed[at] ^= 1;
                Bytes::from(changed)
            });
            assert!(!matches!(end, End::In { .. }), "byte {at} of message {skip} ({direction})");
            at += 1;
        }
        assert!(length > from + 20, "the message was looked at");
    }
}

#[test]
fn a_password_in_clear_needs_protection() {
    let (end, _) = run(config("pencil", None), Method::Cleartext, &[], unchanged);
    assert_eq!(end, End::Client(LoginError::CleartextRefused));
    let mut protected = config("pencil", None);
    protected.protected = true;
    let (end, _) = run(protected, Method::Cleartext, &[], unchanged);
    assert_eq!(end, End::In { index: None });
}

#[test]
fn what_is_no_answer_to_a_request_ends_the_login() {
    let long = vec![b'a'; 17_000];
    for (tag, body, expect) in [
        (b'Q', &b"select 1\0"[..], AuthError::UnexpectedMessage(b'Q')),
        (b'X', b"", AuthError::UnexpectedMessage(b'X')),
        (b'p', b"\0", AuthError::UnusablePassword),
        (b'p', b"\xff\0", AuthError::UnusablePassword),
        (b'p', &long, AuthError::TooLong),
    ] {
        let mut auth = ClientAuth::new(Method::Cleartext);
        auth.start().unwrap();
        let AuthStep::Fail(error) = auth.on_message(tag, body) else { panic!("accepted") };
        assert_eq!(error, expect);
        assert!(matches!(auth.on_message(b'p', b"pencil\0"), AuthStep::Fail(AuthError::OutOfOrder)));
    }
    for (body, expect) in [
        (&b"SCRAM-SHA-1\0\0\0\0\x09n,,n=,r=a"[..], AuthError::UnknownMechanism),
        (b"SCRAM-SHA-256-PLUS\0\0\0\0\x09n,,n=,r=a", AuthError::UnknownMechanism),
        (b"SCRAM-SHA-256\0\xff\xff\xff\xff", AuthError::Scram(ScramError::Malformed)),
        (b"SCRAM-SHA-256\0\0\0\0\x20p=tls-server-end-point,,n=,r=abc", AuthError::Scram(ScramError::BindingMismatch)),
    ] {
        let mut auth = ClientAuth::new(offer(None));
        auth.start().unwrap();
        let AuthStep::Fail(error) = auth.on_message(b'p', body) else { panic!("accepted {body:?}") };
        assert_eq!(error, expect);
    }
}

fn login_with(config: LoginConfig, wire: &[u8]) -> Result<LoggedIn, LoginError> {
    let mut login = TargetLogin::new(config);
    login.start().unwrap();
    let mut buf = BytesMut::from(wire);
    loop {
        match login.step(&mut buf) {
            LoginStep::Ready(session) => return Ok(session),
            LoginStep::Failed(error) => return Err(error),
            LoginStep::NeedMore => return Err(LoginError::OutOfOrder),
            LoginStep::Send(_) => {}
        }
    }
}

#[test]
fn targets_that_misbehave() {
    for (wire, expect) in [
        (&b"E\0\0\0\x15C53300\0Mfull up\0\0"[..], "the target refused the login: full up (SQLSTATE 53300)"),
        (b"D\0\0\0\x06\0\0", "unexpected DataRow of the target during login"),
        (b"S\0\0\0\x08a\0b\0", "unexpected ParameterStatus of the target during login"),
        (b"Z\0\0\0\x05I", "unexpected ReadyForQuery of the target during login"),
        (b"?\0\0\0\x05I", "unexpected unknown message of the target during login"),
        (b"R\0\0\0\x08\0\0\0\x07", "the target asks for an authentication method that is not supported (code 7)"),
        (b"R\0\0\0\x0f\0\0\0\x0aPLAIN\0\0", "the target offers no SASL mechanism that is supported"),
        (b"R\0\0\0\x0c\0\0\0\x0cv=AA", "unexpected authentication request of the target during login"),
        (b"R\0\0\0\x06\0\0", "the target's Authentication cannot be read: the message ends too early"),
        (b"v\0\0\0\x0c\0\x03\0\x02\0\0\0\0", "the target's answer to the protocol version is not acceptable"),
        (b"v\0\0\0\x0c\0\x04\0\0\0\0\0\0", "the target's answer to the protocol version is not acceptable"),
        (
            b"v\0\0\0\x0c\0\x03\0\0\0\0\0\0v\0\0\0\x0c\0\x03\0\0\0\0\0\0",
            "the target's answer to the protocol version is not acceptable",
        ),
        (b"R\0\0\0\x08\0\0\0\0R\0\0\0\x08\0\0\0\0", "unexpected authentication request of the target during login"),
        (b"R\0\0\0\x03", "the target sent a message with the impossible length 3"),
        (
            b"H\x49\x54\x54\x50/1.1 400",
            "the target sent a message of 1230263376 bytes with tag `H`; the limit is 1073741823",
        ),
        (b"S\0\x10\0\0", "the target sent more than 262144 bytes during login"),
    ] {
        let error = login_with(config("pencil", None), wire).err().unwrap();
        assert_eq!(error.to_string(), expect);
        assert_eq!(error.fault(), lockgate_core::Fault::Target);
    }
}

#[test]
fn settings_without_end_are_cut_off() {
    let mut wire = BytesMut::new();
    own::authentication_ok(&mut wire);
    for _ in 0..30_000 {
        own::parameter_status(&mut wire, "a", "b").unwrap();
    }
    assert_eq!(login_with(config("pencil", None), &wire).err(), Some(LoginError::TooMuch));
}

#[test]
fn an_older_target_is_spoken_to_in_its_version() {
    let wire = b"v\0\0\0\x0c\0\x03\0\0\0\0\0\0R\0\0\0\x08\0\0\0\0K\0\0\0\x0c\0\0\0\x07abcdZ\0\0\0\x05Irest";
    let session = login_with(config("pencil", None), wire).unwrap();
    assert_eq!((session.minor, session.cancel.unwrap().key.expose().len()), (0, 4));
}

#[test]
fn the_configured_role_cannot_be_given_twice() {
    for name in ["user", "User", "DATABASE"] {
        let mut config = config("pencil", None);
        config.parameters.push((name.to_owned(), "postgres".to_owned()));
        assert!(matches!(TargetLogin::new(config).start(), Err(LoginError::Encode(_))));
    }
}

#[test]
fn answers_to_ssl_request() {
    for (wire, expect) in [
        (&b""[..], Ok(None)),
        (b"S", Ok(Some(TlsAnswer::Accepted))),
        (b"N", Ok(Some(TlsAnswer::Refused))),
        (b"SR", Err(LoginError::BadTlsAnswer)),
        (b"NR", Err(LoginError::BadTlsAnswer)),
        (b"E", Err(LoginError::BadTlsAnswer)),
    ] {
        assert_eq!(read_tls_answer(&mut BytesMut::from(wire)), expect);
    }
}

/// SASLInitialResponse of OAUTHBEARER.
fn bearer(mechanism: &str, data: &[u8]) -> Vec<u8> {
    let length = i32::try_from(data.len()).unwrap().to_be_bytes();
    [mechanism.as_bytes(), b"\0", &length, data].concat()
}

#[test]
fn a_bearer_shows_a_token_or_is_told_where_to_get_one() {
    let issuer = TokenIssuer {
        discovery: "https://idp.example.com/.well-known/openid-configuration".to_owned(),
        scope: "openid email".to_owned(),
    };
    let begin = || {
        let mut auth = ClientAuth::new(Method::Bearer(issuer.clone()));
        assert_eq!(auth.start().unwrap(), Bytes::from_static(b"R\0\0\0\x15\0\0\0\x0aOAUTHBEARER\0\0"));
        auth
    };
    let shown = bearer("OAUTHBEARER", b"n,,\x01auth=Bearer a.b.c\x01\x01");
    let AuthStep::NeedVerdictCleartext(token) = begin().on_message(b'p', &shown) else { panic!("no token") };
    assert_eq!(token.expose(), "a.b.c");

    let asking = bearer("OAUTHBEARER", b"n,,\x01auth=\x01\x01");
    let mut auth = begin();
    let AuthStep::Send(told) = auth.on_message(b'p', &asking) else { panic!("told nothing") };
    let json = std::str::from_utf8(&told[9..]).unwrap();
    assert_eq!(
        json,
        r#"{"status":"invalid_token","openid-configuration":"https://idp.example.com/.well-known/openid-configuration","scope":"openid email"}"#
    );
    assert!(matches!(auth.on_message(b'p', b"\x01"), AuthStep::Fail(AuthError::NoToken)));
    assert!(
        matches!(auth.on_message(b'p', &shown), AuthStep::Fail(AuthError::OutOfOrder)),
        "one exchange a connection"
    );

    let mut auth = begin();
    assert!(matches!(auth.on_message(b'p', &asking), AuthStep::Send(_)));
    assert!(matches!(auth.on_message(b'p', &shown), AuthStep::Fail(AuthError::UnexpectedMessage(b'p'))));
    for (body, what) in [
        (bearer("SCRAM-SHA-256", b"n,,n=,r=abc"), "a mechanism that was not offered"),
        (bearer("OAUTHBEARER", b"n,a=root,\x01auth=Bearer a\x01\x01"), "another user"),
        (bearer("OAUTHBEARER", b""), "nothing"),
        (b"a.b.c\0".to_vec(), "a password"),
    ] {
        assert!(matches!(begin().on_message(b'p', &body), AuthStep::Fail(_)), "{what}");
    }
}
