//! A pooler between the gateway and the server. One that gives each session a connection of its own is nothing special. One that
//! shares connections by transaction answers the gateway's questions on one and runs the client's statements on another.

use lockgate_tests::postgres::{PASSWORD, ROLE, SUPERUSER};
use lockgate_tests::process::{self, Scratch, eventually, mortal};
use lockgate_tests::scene::{SHOP, SSN};
use lockgate_tests::wire::{self, Client};
use lockgate_tests::{Postgres, Scene, places};
use std::path::Path;
use std::process::Child;
use std::time::Duration;

/// PgBouncer before the shared server.
struct Pooler {
    port: u16,
    child: Child,
    _dir: Scratch,
}

impl Drop for Pooler {
    fn drop(&mut self) {
        process::signal(self.child.id(), "KILL");
        let _ = self.child.wait();
    }
}

fn pooler(postgres: &Postgres, mode: &str) -> Pooler {
    let dir = Scratch::make_fast();
    let (config, users) = (dir.path().join("pgbouncer.ini"), dir.path().join("users.txt"));
    let port = process::free_port();
    std::fs::write(&users, format!("\"{ROLE}\" \"{PASSWORD}\"\n")).unwrap();
    let server = postgres.port;
    let text = format!(
        "[databases]\n* = host=127.0.0.1 port={server}\n[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\n\
         auth_type = scram-sha-256\nauth_file = {}\npool_mode = {mode}\nserver_tls_sslmode = require\n\
         ignore_startup_parameters = extra_float_digits,options,search_path,IntervalStyle,bytea_output,xmloption\n",
        users.display()
    );
    std::fs::write(&config, text).unwrap();
    if places::is_root() {
        process::run(std::process::Command::new("chown").args(["-R", SUPERUSER]).arg(dir.path()));
    }
    let mut command = mortal("KILL", Path::new("/usr/sbin/pgbouncer"), places::is_root().then_some(SUPERUSER));
    command.arg("-q").arg(&config).stdin(std::process::Stdio::null());
    let child = process::spawn(command);
    eventually("PgBouncer listens", Duration::from_secs(20), || {
        std::net::TcpStream::connect(("127.0.0.1", port)).is_ok()
    });
    Pooler { port, child, _dir: dir }
}

fn scene(mode: &str) -> (Scene, Pooler) {
    let postgres = Postgres::shared(15);
    let pooler = pooler(postgres, mode);
    let port = pooler.port;
    let scene = Scene::with_database(15, SHOP, |options| {
        options.target_port = port;
        options.target_extra = "    tls: disable".to_owned();
    });
    (scene, pooler)
}

#[test]
fn one_that_pools_sessions_is_nothing_special() {
    let (scene, _pooler) = scene("session");
    for _ in 0..2 {
        let mut client = Client::login(scene.gateway.port, "alice", &scene.alice());
        assert_eq!(client.value("SELECT ssn FROM people WHERE id = 7"), "***");
        client.query("SET search_path = pg_catalog");
        std::thread::sleep(Duration::from_millis(600));
        assert_eq!(client.value("SELECT ssn FROM public.people WHERE id = 7"), "***");
    }
    let mut frank = Client::login(scene.gateway.port, "frank", &scene.frank());
    assert_eq!(frank.value("SELECT ssn FROM people WHERE id = 7"), SSN);
}

/// What was asked of one connection is not true of another: the session ends as soon as that shows.
#[test]
fn one_that_shares_connections_by_transaction_is_found_out() {
    let (scene, _pooler) = scene("transaction");
    let mut clients: Vec<Client> = (0..2).map(|_| Client::login(scene.gateway.port, "alice", &scene.alice())).collect();
    let [one, other] = clients.as_mut_slice() else { unreachable!() };
    // Each is on a connection of its own while its transaction lasts; the one that was let go of last is used next.
    for client in [&mut *one, &mut *other] {
        client.query("BEGIN");
        assert_eq!(client.value("SELECT 1"), "1");
    }
    one.query("COMMIT");
    other.query("COMMIT");
    std::thread::sleep(Duration::from_millis(700));
    one.send(b'Q', &wire::text("SELECT ssn FROM people WHERE id = 7"));
    let frames = one.until_ready();
    let error = wire::error(&frames);
    assert_eq!(error.field(b'C').as_deref(), Some("08006"), "{frames:?}");
    assert!(error.field(b'D').is_some_and(|detail| detail.contains("pooler")), "{frames:?}");
}
