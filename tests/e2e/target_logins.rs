//! How the gateway logs in to a target: in every way in which PostgreSQL asks for a password, protected as the configuration
//! says and not less, as the role and in the database that are meant.

use lockgate_tests::fake::FakeTarget;
use lockgate_tests::postgres::PASSWORD;
use lockgate_tests::scene::PERMIT_ALL;
use lockgate_tests::wire::Client;
use lockgate_tests::{Frame, Gateway, Postgres, Scene, process};
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// A target as YAML, to stand behind another one.
fn target(name: &str, address: &str, database: &str, role: &str, more: &str) -> String {
    format!(
        "\n  - name: {name}\n    protocol: postgres\n    address: {address}\n    database: {database}\n    username: \"{role}\"\n    \
         password: ${{env:TEST_TARGET_PASSWORD}}\n    {more}"
    )
}

/// A gateway in front of these targets that permits everything, and a token of alice.
fn gateway(server: &Postgres, targets: &[String]) -> (Gateway, String) {
    let mut options = Scene::options(server, "postgres");
    options.target_extra.push_str(&targets.concat());
    options.policies = PERMIT_ALL.to_owned();
    options.extra.clear();
    let gateway = Gateway::start(options);
    let alice = gateway.token("alice", &["engineers"]);
    (gateway, alice)
}

fn login(gateway: &Gateway, target: &str, token: &str) -> Result<Client, Frame> {
    Client::login_with(gateway.port, &[("user", "alice"), ("database", target)], token)
}

fn verified(server: &Postgres) -> String {
    format!("tls: verify-full\n    ca: {}", server.authority().display())
}

/// Refused as the target's fault, in words of the gateway's own; the administrator reads in the log what it was.
fn refused(gateway: &Gateway, target: &str, token: &str, logged: &str) {
    let refused = login(gateway, target, token).expect_err(target);
    assert!(refused.field(b'C').is_some_and(|code| code.starts_with("08")), "{target}: {refused:?}");
    assert!(!format!("{refused:?}").contains(PASSWORD), "{refused:?}");
    process::eventually("the log says why", Duration::from_secs(5), || {
        gateway.log().lines().any(|line| line.contains("WARN") && line.contains(target) && line.contains(logged))
    });
    assert!(!gateway.log().contains(PASSWORD));
}

#[test]
fn every_way_in_which_a_server_asks_for_a_password() {
    let mut server = Postgres::start(15);
    for (role, encryption) in [("by_md5", "md5"), ("in_clear", "scram-sha-256"), ("by_scram", "scram-sha-256")] {
        let make = format!("SET password_encryption = '{encryption}'; CREATE ROLE {role} LOGIN PASSWORD '{PASSWORD}'");
        server.sql("postgres", &make);
    }
    server.sql("postgres", "CREATE ROLE unasked LOGIN; CREATE ROLE another LOGIN PASSWORD 'another-password'");
    server.ask_first("host all by_md5 all md5\nhost all in_clear all password\nhost all unasked all trust\n");
    let address = format!("127.0.0.1:{}", server.port);
    let (mut targets, mut names) = (Vec::new(), Vec::new());
    for role in ["by_md5", "in_clear", "by_scram", "unasked"] {
        for (protection, more) in [("tls", verified(&server)), ("plain", "tls: disable".to_owned())] {
            names.push((format!("{role}-{protection}"), role, if protection == "tls" { "t" } else { "f" }));
            targets.push(target(&format!("{role}-{protection}"), &address, "postgres", role, &more));
        }
    }
    targets.push(target("wrong-password", &address, "postgres", "another", "tls: disable"));
    targets.push(target("no-such-role", &address, "postgres", "nobody_of_this_name", "tls: disable"));
    let (gateway, alice) = gateway(&server, &targets);
    for (name, role, ssl) in &names {
        let mut client = login(&gateway, name, &alice).unwrap_or_else(|refused| panic!("{name}: {refused:?}"));
        assert_eq!(client.value("SELECT session_user"), *role, "{name}");
        assert_eq!(client.value("SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()"), *ssl, "{name}");
        assert!(!String::from_utf8_lossy(&client.seen).contains(PASSWORD), "{name}");
    }
    // It was asked for in each of these ways indeed.
    for (role, method) in [("by_md5", "md5"), ("in_clear", "password"), ("by_scram", "scram-sha-256")] {
        let authenticated = format!("connection authenticated: identity=\"{role}\" method={method}");
        assert!(server.log().contains(&authenticated), "{role} did not prove itself by {method}");
    }
    refused(&gateway, "wrong-password", &alice, "password authentication failed");
    refused(&gateway, "no-such-role", &alice, "password authentication failed");
    gateway.verify();
}

/// Passes on what comes to 127.0.0.2, which no certificate here is for.
fn elsewhere(to: u16) -> u16 {
    let listener = TcpListener::bind("127.0.0.2:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for near in listener.incoming().flatten() {
            let Ok(far) = TcpStream::connect(("127.0.0.1", to)) else { continue };
            for (mut from, mut to) in [(near.try_clone().unwrap(), far.try_clone().unwrap()), (far, near)] {
                std::thread::spawn(move || {
                    let _ = std::io::copy(&mut from, &mut to);
                    let _ = to.shutdown(Shutdown::Both);
                });
            }
        }
    });
    port
}

#[test]
fn a_target_is_who_its_certificate_says() {
    let server = Postgres::shared(15);
    let address = format!("127.0.0.1:{}", server.port);
    let foreign = format!("tls: verify-full\n    ca: {}", Postgres::shared(16).authority().display());
    let other_name = format!("127.0.0.2:{}", elsewhere(server.port));
    let (gateway, alice) = gateway(
        server,
        &[
            target("its-own-authority", &address, "postgres", "app", &verified(server)),
            target("another-authority", &address, "postgres", "app", &foreign),
            target("the-systems-authorities", &address, "postgres", "app", "tls: verify-full"),
            target("verified-by-default", &address, "postgres", "app", "labels: {env: test}"),
            target("another-name", &other_name, "postgres", "app", &verified(server)),
            target("any-certificate", &other_name, "postgres", "app", "tls: require"),
        ],
    );
    for name in ["its-own-authority", "any-certificate"] {
        let mut client = login(&gateway, name, &alice).unwrap_or_else(|refused| panic!("{name}: {refused:?}"));
        assert_eq!(client.value("SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()"), "t", "{name}");
    }
    for name in ["another-authority", "the-systems-authorities", "verified-by-default", "another-name"] {
        refused(&gateway, name, &alice, "certificate");
    }
}

/// SCRAM proves more than the password where the server can tell which certificate was seen: a login that somebody passes on
/// is none, even where the configuration asks for no certain certificate. By other methods it is, which shows that they can.
#[test]
fn nobody_in_between_gets_a_login_passed_on() {
    let mut server = Postgres::start(15);
    server.sql("postgres", &format!("SET password_encryption = 'md5'; CREATE ROLE by_md5 LOGIN PASSWORD '{PASSWORD}'"));
    server.sql("postgres", &format!("CREATE ROLE by_scram LOGIN PASSWORD '{PASSWORD}'"));
    server.ask_first("host all by_md5 all md5\n");
    let home = process::Scratch::make();
    let own = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let file = home.path().join("own.pem");
    std::fs::write(&file, own.cert.pem() + &own.signing_key.serialize_pem()).unwrap();
    let between = process::Relay::start("between.py", server.port, &[&file.display().to_string()]);
    let (far, near) = (format!("127.0.0.1:{}", server.port), format!("127.0.0.1:{}", between.port));
    let target = |name: &str, address: &str, role: &str| target(name, address, "postgres", role, "tls: require");
    let (gateway, alice) = gateway(
        &server,
        &[
            target("scram", &far, "by_scram"),
            target("md5-in-between", &near, "by_md5"),
            target("scram-in-between", &near, "by_scram"),
        ],
    );
    for name in ["scram", "md5-in-between"] {
        let mut client = login(&gateway, name, &alice).unwrap_or_else(|refused| panic!("{name}: {refused:?}"));
        assert_eq!(client.value("SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()"), "t", "{name}");
    }
    refused(&gateway, "scram-in-between", &alice, "28000");
    assert!(server.log().contains("SCRAM channel binding check failed"), "{}", server.log());
}

/// A server that has no TLS, or has it taken away by somebody on the way, gets neither a password nor a name.
#[test]
fn without_tls_nothing_is_said_that_needs_it() {
    for (answer, what) in [(&b"N"[..], "it has no TLS"), (b"NR\0\0\0\x08\0\0\0\0", "it goes on in clear")] {
        let heard = Arc::new(Mutex::new(Vec::new()));
        let inside = Arc::clone(&heard);
        let fake = FakeTarget::start(move |mut stream| {
            let mut request = [0; 8];
            let _ = stream.read_exact(&mut request);
            let _ = stream.write_all(answer);
            let mut rest = Vec::new();
            let _ = stream.read_to_end(&mut rest);
            inside.lock().unwrap().push((request, rest));
        });
        let server = Postgres::shared(15);
        let address = format!("127.0.0.1:{}", fake.port);
        let (gateway, alice) = gateway(
            server,
            &[
                target("has-to-be-verified", &address, "postgres", "app", &verified(server)),
                target("has-to-be-encrypted", &address, "postgres", "app", "tls: require"),
            ],
        );
        for name in ["has-to-be-verified", "has-to-be-encrypted"] {
            refused(&gateway, name, &alice, "SSLRequest");
        }
        process::eventually("both connections are over", Duration::from_secs(10), || heard.lock().unwrap().len() == 2);
        for (request, rest) in heard.lock().unwrap().iter() {
            assert_eq!(*request, [0, 0, 0, 8, 4, 210, 22, 47], "{what}");
            assert!(rest.is_empty(), "{what}: {}", String::from_utf8_lossy(rest));
        }
    }
}

#[test]
fn databases_by_pattern_and_roles_by_name() {
    let mut server = Postgres::start(15);
    let shop = server.database("CREATE TABLE t (v text)");
    for database in ["shop_two", "shop_three", "secret"] {
        server.sql("postgres", &format!("CREATE DATABASE {database}"));
    }
    server.sql("postgres", &format!("CREATE ROLE alice LOGIN PASSWORD '{PASSWORD}'"));
    server.ask_first("host all alice all scram-sha-256\n");
    let address = format!("127.0.0.1:{}", server.port);
    let by_pattern = "tls: disable\n    databases: [\"shop_*\"]";
    let (gateway, alice) = gateway(
        &server,
        &[target("own", &address, &shop, "app", by_pattern), target("named", &address, &shop, "{user}", by_pattern)],
    );
    for (target, role, database) in [
        ("own", "app", shop.as_str()),
        ("own/shop_two", "app", "shop_two"),
        ("own/shop_three", "app", "shop_three"),
        ("named", "alice", &shop),
        ("named/shop_two", "alice", "shop_two"),
    ] {
        let mut client = login(&gateway, target, &alice).unwrap_or_else(|refused| panic!("{target}: {refused:?}"));
        assert_eq!(client.value("SELECT session_user || ' ' || current_database()"), format!("{role} {database}"));
    }
    // What no pattern is for does not exist, whether it does or not.
    let words = |target: &str| {
        let refused = login(&gateway, target, &alice).expect_err(target);
        format!("{:?} {:?}", refused.field(b'C'), refused.field(b'M')).replace(target, "DATABASE")
    };
    let unknown = words("own/nowhere");
    for target in ["own/secret", "own/postgres", "own/", "own/SHOP_TWO", "nothing"] {
        assert_eq!(words(target), unknown, "{target}");
    }
    // And somebody without a role of that name is the target's to refuse.
    let bob = gateway.token("bob", &["engineers"]);
    let refused = Client::login_with(gateway.port, &[("user", "bob"), ("database", "named")], &bob).expect_err("bob");
    assert!(refused.field(b'C').is_some_and(|code| code.starts_with("08")), "{refused:?}");
    let opened: Vec<String> = gateway
        .events()
        .iter()
        .filter(|event| event["event"] == "session_opened")
        .map(|event| format!("{}/{}", event["target"].as_str().unwrap(), event["database"].as_str().unwrap()))
        .collect();
    assert!(opened.contains(&"own/shop_two".to_owned()), "{opened:?}");
}
