//! TLS from the first byte on, without asking for it (`sslnegotiation=direct` of libpq 17 and later): with ALPN, and with
//! nothing of the handshake lost, however its bytes come.

use lockgate_tests::wire::{self, Client};
use lockgate_tests::{Scene, places, process, scene};
use std::process::Command;
use std::time::Duration;

/// alice by the newest libpq, which works under any psql, at `port`.
fn newest_psql(scene: &Scene, port: u16, token: &str) -> Command {
    let mut psql = Command::new(places::psql());
    let address = scene.gateway.conninfo("alice").replace(&scene.gateway.port.to_string(), &port.to_string());
    psql.arg(address).args(["-X", "-At"]).env("PGPASSWORD", token);
    psql.env("LD_LIBRARY_PATH", places::postgres_bin(18).parent().unwrap().join("lib"));
    psql.env("PGSSLNEGOTIATION", "direct").env("PGSSLMODE", "verify-full");
    psql.env("PGSSLROOTCERT", scene.gateway.authority());
    psql
}

/// Begins with TLS at `port`, under `alpn`; then a startup packet, or `packet` in its place. Yields what comes back.
const BY_HAND: &str = r#"
import socket, ssl, struct, sys
port, alpn, packet = int(sys.argv[1]), sys.argv[2], bytes.fromhex(sys.argv[3])
context = ssl.create_default_context(cafile=sys.argv[4])
if alpn: context.set_alpn_protocols([alpn])
raw = socket.create_connection(("127.0.0.1", port), timeout=20)
try: tls = context.wrap_socket(raw, server_hostname="127.0.0.1")
except ssl.SSLError as error: print("no handshake:", error); sys.exit()
tls.sendall(packet)
answer = b""
try:
    while piece := tls.recv(1000):
        answer += piece
        if piece[:1] == b"R": break
except ssl.SSLError: pass
print(tls.version(), tls.selected_alpn_protocol(), answer.hex())
"#;

fn by_hand(scene: &Scene, port: u16, alpn: &str, packet: &[u8]) -> String {
    let packet: String = packet.iter().map(|byte| format!("{byte:02x}")).collect();
    let mut python = Command::new(places::python());
    python.args(["-c", BY_HAND, &port.to_string(), alpn, &packet]).arg(scene.gateway.authority());
    process::run(&mut python)
}

fn startup() -> Vec<u8> {
    wire::startup(3 << 16, &[("user", "alice"), ("database", "shop")])
}

#[test]
fn the_newest_library_logs_in_by_it() {
    let scene = scene();
    let alice = scene.alice();
    for binding in ["disable", "require"] {
        let mut psql = newest_psql(&scene, scene.gateway.port, &alice);
        psql.env("PGCHANNELBINDING", binding).args(["-c", "SELECT 'at once', ssn FROM people WHERE id = 7"]);
        assert_eq!(process::run(&mut psql).trim(), "at once|***", "channel_binding={binding}");
    }
    // In pieces of a few bytes.
    let front = process::Relay::start("shred.py", scene.gateway.port, &[]);
    let mut psql = newest_psql(&scene, front.port, &alice);
    assert_eq!(process::run(psql.args(["-c", "SELECT 'in pieces'"])).trim(), "in pieces");
}

#[test]
fn it_takes_the_name_of_the_protocol() {
    let scene = scene();
    let port = scene.gateway.port;
    let let_in = by_hand(&scene, port, "postgresql", &startup());
    assert!(let_in.contains("postgresql 52"), "it does not ask for a proof: {let_in}");
    // Without ALPN a browser could be led here by another site: nothing is answered but an error.
    let nameless = by_hand(&scene, port, "", &startup());
    assert!(nameless.contains(" None 45"), "{nameless}");
    let other = by_hand(&scene, port, "http/1.1", &startup());
    assert!(other.contains("no handshake"), "{other}");
    // Inside TLS there is nothing left to ask for.
    let again = by_hand(&scene, port, "postgresql", &[0, 0, 0, 8, 4, 210, 22, 47]);
    assert!(again.contains("postgresql") && !again.contains("postgresql 52"), "{again}");
}

#[test]
fn a_cancel_may_come_inside_it() {
    let scene = scene();
    let mut client = Client::login(scene.gateway.port, "alice", &scene.alice());
    client.send(b'Q', &wire::text("SELECT pg_sleep(30), 'cancelled inside TLS'"));
    process::eventually("it runs", Duration::from_secs(20), || {
        scene.directly("SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%cancelled inside TLS%' AND state = 'active' AND pid <> pg_backend_pid()") == "1"
    });
    let told = by_hand(&scene, scene.gateway.port, "postgresql", &wire::cancel(client.key.as_ref().unwrap()));
    assert!(told.trim_end().ends_with("postgresql"), "a cancel request is not answered: {told}");
    assert_eq!(wire::error(&client.until_ready()).field(b'C').as_deref(), Some("57014"));
}
