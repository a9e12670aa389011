//! The tools of these tests do what they say, against a server without a gateway. When these fail, the others mean nothing.

use lockgate_tests::fake::FakeTarget;
use lockgate_tests::process::Relay;
use lockgate_tests::wire::{self, Client};
use lockgate_tests::{Postgres, postgres};

fn direct(port: u16) -> Client {
    let parameters = [("user", postgres::SUPERUSER), ("database", "postgres")];
    Client::login_with(port, &parameters, postgres::PASSWORD).unwrap()
}

#[test]
fn raw_client_speaks_to_a_server() {
    let server = Postgres::shared(15);
    let mut client = direct(server.port);
    assert_eq!(client.value("SELECT 6 * 7"), "42");
    assert!(client.key.is_some() && !client.parameters.is_empty());
    let failed = client.query("SELECT nonsense");
    assert_eq!(wire::error(&failed).field(b'C').as_deref(), Some("42703"));
}

#[test]
fn relays_pass_everything_on() {
    let server = Postgres::shared(15);
    for relay in [Relay::start("shred.py", server.port, &[]), Relay::start("toxic.py", server.port, &["chunk=64"])] {
        let text = direct(relay.port).value("SELECT repeat('x', 100000)");
        assert_eq!(text.len(), 100_000);
    }
}

#[test]
fn meddler_answers_in_place_of_the_server() {
    let server = Postgres::shared(15);
    let target = FakeTarget::meddle(server.port, |sql| sql.contains("meddle").then(|| b"rubbish".to_vec()));
    let mut client = direct(target.port);
    assert_eq!(client.value("SELECT 1"), "1");
    client.send(b'Q', &wire::text("SELECT 'meddle'"));
    assert!(client.is_closed_within(std::time::Duration::from_secs(5)));
    assert!(client.seen.ends_with(b"rubbish"));
    assert_eq!(target.connections(), 1);
}

#[test]
fn server_stops_and_comes_back() {
    let mut server = Postgres::start(15);
    server.stop();
    assert!(std::net::TcpStream::connect(("127.0.0.1", server.port)).is_err());
    server.resume();
    assert_eq!(server.sql("postgres", "SELECT 1"), "1");
}
