//! How a client is asked to prove itself: by how it is connected, what it wants, and whether an identity provider is configured.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test may panic, also in a function that it calls"
)]

use bytes::BytesMut;
use lockgate_core::Timestamp;
use lockgate_postgres::Postgres;
use lockgate_session::wire::{Ask, Event, Io, Protocol, TlsFacts, TokenIssuer, Verifiers};

/// The request that the gateway answers a startup packet with: `clear`, the SASL mechanisms, or the error.
fn asked(peer: &str, tls: bool, wish: Option<&str>, provider: bool) -> String {
    let mut wire = Postgres::new("https://gateway").accept(peer.parse().unwrap(), true);
    let mut io = Io::new(Timestamp::from_millis(0), |into| into.fill(7));
    if tls {
        let mut request = BytesMut::from(&[0, 0, 0, 8, 4, 210, 22, 47][..]);
        wire.on(Event::Client(&mut request), &mut io);
        assert!(matches!(io.asks.pop(), Some(Ask::ClientTls(_))));
        let facts = TlsFacts { alpn: None, server_end_point: Some(vec![3; 32]) };
        wire.on(Event::ClientTls(facts), &mut io);
    }
    io.client.take();
    let options = wish.map(|wish| format!("options\0-c lockgate.auth={wish}\0")).unwrap_or_default();
    let body = format!("\0\x03\0\0user\0alice\0database\0shop\0{options}\0");
    let mut packet = BytesMut::from(&u32::try_from(body.len() + 4).unwrap().to_be_bytes()[..]);
    packet.extend_from_slice(body.as_bytes());
    wire.on(Event::Client(&mut packet), &mut io);
    if let Some(Ask::Verifiers { user }) = io.asks.pop() {
        assert_eq!(user, "alice");
        let issuer = TokenIssuer { discovery: "https://idp/x".to_owned(), scope: "openid".to_owned() };
        let issuer = provider.then_some(issuer);
        let verifiers = Verifiers { salt: [1; 16], iterations: 4_096, tokens: Vec::new(), issuer };
        wire.on(Event::Verifiers(verifiers), &mut io);
    }
    let answer = io.client.take();
    match (answer[0], &answer[5..9]) {
        (b'R', [0, 0, 0, 3]) => "clear".to_owned(),
        (b'R', [0, 0, 0, 10]) => String::from_utf8_lossy(&answer[9..]).trim_end_matches('\0').replace('\0', " "),
        (b'E', _) => "error".to_owned(),
        _ => panic!("an answer of another kind"),
    }
}

#[test]
fn the_way_to_prove_oneself() {
    const BOUND: &str = "SCRAM-SHA-256-PLUS SCRAM-SHA-256";
    const SCRAM: &str = "SCRAM-SHA-256";
    let (here, there) = ("127.0.0.1:5000", "192.0.2.1:5000");
    for (peer, tls, wish, without, with) in [
        // In clear from elsewhere nothing that somebody could steal is ever asked for.
        (there, false, None, SCRAM, SCRAM),
        (there, false, Some("token"), SCRAM, SCRAM),
        (there, false, Some("oauth"), SCRAM, SCRAM),
        (there, false, Some("scram-sha-256"), SCRAM, SCRAM),
        (there, true, None, BOUND, "clear"),
        (there, true, Some("nonsense"), BOUND, "clear"),
        (there, true, Some("token"), "clear", "clear"),
        (there, true, Some("scram-sha-256"), BOUND, BOUND),
        (there, true, Some("oauth"), "error", "OAUTHBEARER"),
        (here, true, None, BOUND, "clear"),
        (here, false, None, "clear", "clear"),
        ("[::ffff:127.0.0.1]:5000", false, None, "clear", "clear"),
        (here, false, Some("token"), "clear", "clear"),
        (here, false, Some("scram-sha-256"), SCRAM, SCRAM),
        (here, false, Some("oauth"), "error", "OAUTHBEARER"),
    ] {
        for (provider, expected) in [(false, without), (true, with)] {
            assert_eq!(asked(peer, tls, wish, provider), expected, "{peer} tls={tls} {wish:?} provider={provider}");
        }
    }
}
