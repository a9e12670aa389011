//! Encodings and other tricks of a client: what the server reads must be what the gateway read, and where that is not certain,
//! it counts as touching everything.

use lockgate_tests::places;
use lockgate_tests::process;
use lockgate_tests::scene::{POLICIES, Scene, scene};
use lockgate_tests::wire::{self, Client, Frame};
use std::process::Command;
use std::time::Duration;

/// In UTF-8 one harmless text; in Shift JIS the backslash is half of a character, and the literal ends before `ssn`.
const TWO_FACED: &str = "SELECT E'ぃ\\' || ssn FROM people --'";
/// The same with `standard_conforming_strings` on and off.
const TWO_FACED_STRING: &str = "SELECT '\\'' || ssn FROM people --'";
/// Copies `ssn` between two columns whose Shift JIS ends with a backslash: it eats one delimiter and makes another.
const SHIFTED_COPY: &str = "COPY (SELECT U&'\\30bd' AS a, ssn, U&'\\30bd;x' AS b FROM people) TO STDOUT";

/// The usual scene with somebody who may do everything, and compare with what is labelled, but not see it: what cannot be read
/// runs for her, and comes masked.
fn with_a_keeper() -> (Scene, String) {
    let scene = Scene::with(15, |options| {
        options.policies.push_str(
            r#"
@id("keeps")
permit (principal in Group::"keepers", action, resource in Target::"shop");
@id("keeper-searches")
@mode("any")
permit (principal in Group::"keepers", action == Action::"infer", resource in Label::"pii");
@id("keeper-exports")
permit (principal in Group::"keepers", action == Action::"export", resource in Target::"shop");
"#,
        );
        options.policies = options.policies.replace(
            r#"unless { principal in Group::"dba" };"#,
            r#"unless { principal in Group::"dba" || principal in Group::"keepers" };"#,
        );
    });
    let keeper = scene.gateway.token("kim", &["keepers"]);
    (scene, keeper)
}

fn leaks(client: &Client) -> bool {
    String::from_utf8_lossy(&client.seen).contains("CANARY")
}

fn run(sql: &str) -> Vec<u8> {
    [wire::parse("", sql), wire::bind("", "", &[], 0), wire::execute("", 0)].concat()
}

fn query(sql: &[u8]) -> Vec<u8> {
    wire::message(b'Q', &[sql, b"\0"].concat())
}

fn directly(scene: &Scene) -> Client {
    let parameters = [("user", "app"), ("database", scene.database.as_str())];
    Client::login_with(scene.postgres.port, &parameters, lockgate_tests::postgres::PASSWORD).unwrap()
}

/// Two clients' answers to the same bytes: errors by their code, everything else byte by byte.
fn assert_same(what: &str, expected: &[Frame], seen: &[Frame]) {
    assert_eq!(wire::tags(expected), wire::tags(seen), "{what}: {expected:?}\n{seen:?}");
    for (expected, seen) in expected.iter().zip(seen) {
        match expected.tag {
            b'E' | b'N' => assert_eq!(expected.field(b'C'), seen.field(b'C'), "{what}"),
            _ => assert_eq!(expected, seen, "{what}"),
        }
    }
}

#[test]
fn a_text_behind_a_change_of_encoding_is_not_read_as_utf_8() {
    let (scene, keeper) = with_a_keeper();
    let dana = scene.dana();
    for (change, evil) in [
        ("SET client_encoding = 'SJIS'", TWO_FACED),
        ("SET NAMES 'SJIS'", TWO_FACED),
        ("SELECT set_config('client_encoding', 'SJIS', false)", TWO_FACED),
        ("DO $$ BEGIN PERFORM set_config('client_encoding', 'SJIS', false); END $$", TWO_FACED),
        ("SET standard_conforming_strings = off", TWO_FACED_STRING),
        ("SET LOCAL standard_conforming_strings = off", TWO_FACED_STRING),
    ] {
        let flush = wire::message(b'H', b"");
        let bytes = [run(change), flush, run(evil), wire::sync()].concat();
        let mut open = directly(&scene);
        open.send_raw(&bytes);
        open.until_ready();
        assert!(leaks(&open), "{change}: the server does not read it so: {open:?}");
        for (who, token) in [("dana", &dana), ("kim", &keeper)] {
            let mut client = Client::login(scene.gateway.port, who, token);
            client.send_raw(&bytes);
            client.until_ready();
            // And once the target has reported the setting.
            client.try_send_raw(&[run(evil), wire::sync(), query(evil.as_bytes())].concat());
            client.frames_within(Duration::from_millis(500));
            assert!(!leaks(&client), "{who}: {change}: {client:?}");
        }
    }
}

#[test]
fn what_was_prepared_in_another_encoding_is_not_read_anew_in_utf_8() {
    let (scene, keeper) = with_a_keeper();
    let mut client = Client::login(scene.gateway.port, "kim", &keeper);
    client.query("SET client_encoding = 'SJIS'");
    client.send_raw(&[wire::parse("s", TWO_FACED), wire::sync()].concat());
    assert_eq!(wire::tags(&client.until_ready()), "1Z", "what cannot be read is not refused to kim");
    client.query("SET client_encoding = 'UTF8'");
    // Everything is judged again under another search path.
    client.query("SET search_path = public, pg_catalog");
    client.send_raw(&[wire::bind("", "s", &[], 0), wire::execute("", 0), wire::sync()].concat());
    client.until_ready();
    assert!(!leaks(&client), "{client:?}");
    assert_eq!(client.value("SELECT 1"), "1");
}

#[test]
fn a_copy_in_another_encoding_does_not_move_its_columns() {
    let (scene, keeper) = with_a_keeper();
    let dana = scene.dana();
    let mut client = Client::login(scene.gateway.port, "dana", &dana);
    for encoding in ["SJIS", "GB18030", "BIG5", "LATIN1"] {
        let refused = client.query(&format!("{SHIFTED_COPY} WITH (DELIMITER ';', ENCODING '{encoding}')"));
        assert_eq!(wire::error(&refused).field(b'C').as_deref(), Some("42501"), "{encoding}: {refused:?}");
    }
    let rows = |frames: &[Frame]| frames.iter().filter(|frame| frame.tag == b'd').count();
    let masked = client.query(&format!("{SHIFTED_COPY} WITH (DELIMITER ';', ENCODING 'utf-8')"));
    assert_eq!(rows(&masked), 50, "{masked:?}");
    let clean = client.query("COPY (SELECT id, name FROM people) TO STDOUT WITH (ENCODING 'SJIS')");
    assert_eq!(rows(&clean), 50, "{clean:?}");
    // One that was prepared before the session's own encoding changed.
    let copy = format!("{SHIFTED_COPY} WITH (DELIMITER ';')");
    for (who, token, flushed) in
        [("dana", &dana, false), ("dana", &dana, true), ("kim", &keeper, false), ("kim", &keeper, true)]
    {
        let mut client = Client::login(scene.gateway.port, who, token);
        client.send_raw(&[wire::parse("c", &copy), wire::sync()].concat());
        client.until_ready();
        let change = run("SET client_encoding = 'SJIS'");
        client.send_raw(&[change, if flushed { wire::message(b'H', b"") } else { wire::sync() }].concat());
        client.send_raw(&[wire::bind("", "c", &[], 0), wire::execute("", 0), wire::sync()].concat());
        client.frames_within(Duration::from_secs(1));
        assert!(!leaks(&client), "{client:?}");
    }
    assert!(!leaks(&client));
    // Who may use what is labelled in any way gets no copy that could not be masked.
    let mut client = Client::login(scene.gateway.port, "kim", &keeper);
    client.query(&format!("{SHIFTED_COPY} WITH (DELIMITER ';', ENCODING 'SJIS')"));
    assert!(!leaks(&client), "{client:?}");
    let mut client = directly(&scene);
    client.query(&format!("{SHIFTED_COPY} WITH (DELIMITER ';', ENCODING 'SJIS')"));
    assert!(client.seen.windows(3).any(|bytes| bytes == b"\x83\\;"), "the server copies otherwise: {client:?}");
}

#[test]
fn another_encoding_is_refused_where_data_is_labelled() {
    let scene = scene();
    let (alice, dana) = (scene.alice(), scene.dana());
    let login = |extra: &[(&str, &str)]| {
        let parameters = [&[("user", "dana"), ("database", "shop")], extra].concat();
        Client::login_with(scene.gateway.port, &parameters, &dana)
    };
    for extra in [
        &[("client_encoding", "SJIS")][..],
        &[("client_encoding", "LATIN1")],
        &[("CLIENT_ENCODING", "EUC_JP")],
        &[("options", "-c client_encoding=SJIS")],
        &[("options", "--client-encoding=SJIS")],
        &[("options", "-cClient_Encoding=SJIS -c geqo=off")],
        &[("client_encoding", "UTF8"), ("Client_Encoding", "SJIS")],
        &[("client_encoding", "SQL_ASCII")],
    ] {
        match login(extra) {
            Err(refused) => {
                // One name with two values is no startup packet at all.
                let expected = if extra.len() > 1 { "08P01" } else { "0A000" };
                assert_eq!(refused.field(b'C').as_deref(), Some(expected), "{extra:?}: {refused:?}");
            }
            Ok(_) => panic!("{extra:?} was let in"),
        }
    }
    for extra in [("client_encoding", "UTF8"), ("client_encoding", "utf-8"), ("options", "-c client_encoding=unicode")]
    {
        assert_eq!(login(&[extra]).unwrap().value("SHOW client_encoding"), "UTF8");
    }
    let mut psql = scene.gateway.psql("alice", &alice);
    let refused = process::output(psql.env("PGCLIENTENCODING", "SJIS").args(["-c", "SELECT 1"]));
    assert!(process::text(&refused).contains("client_encoding must be UTF8"), "{}", process::text(&refused));
    let mut client = Client::login(scene.gateway.port, "alice", &alice);
    let refused = client.query("SET client_encoding = 'SJIS'");
    assert_eq!(wire::error(&refused).field(b'C').as_deref(), Some("42501"));
    let mut psql = scene.gateway.psql("alice", &alice);
    psql.env("PGCLIENTENCODING", "UTF8").args(["-Atc", "SELECT 'ä'"]);
    assert_eq!(process::run(&mut psql).trim(), "ä");
}

#[test]
fn other_encodings_work_where_nothing_is_labelled() {
    let scene = Scene::with(15, |options| {
        options.extra = String::new();
        options.policies = POLICIES.to_owned();
    });
    let alice = scene.alice();
    let queries: [&[u8]; 4] = [
        b"SELECT id, name, tags FROM people ORDER BY id",
        b"SELECT chr(228), chr(12354), ';'",
        b"INSERT INTO notes (body) VALUES (E'\\'') RETURNING body",
        b"SELECT nonsense",
    ];
    for encoding in ["LATIN1", "EUC_JP", "SJIS", "WIN1252"] {
        let given = ("client_encoding", encoding);
        let option = format!("-c client_encoding={encoding}");
        for extra in [given, ("options", option.as_str())] {
            let parameters = [("user", "alice"), ("database", "shop"), extra];
            let mut through = Client::login_with(scene.gateway.port, &parameters, &alice).unwrap();
            let mut direct = directly(&scene);
            direct.query(&format!("SET client_encoding = '{encoding}'"));
            assert!(through.parameters.contains(&("client_encoding".into(), encoding.into())), "{through:?}");
            for sql in queries {
                direct.send_raw(&query(sql));
                through.send_raw(&query(sql));
                let what = format!("{encoding}: {}", String::from_utf8_lossy(sql));
                assert_same(&what, &direct.until_ready(), &through.until_ready());
            }
            // What is not to be read is not permitted to who may not do everything.
            through.send_raw(&query(b"DELETE FROM notes --\x83\x5c\xe4"));
            wire::error(&through.until_ready());
        }
        let mut psql = scene.gateway.psql("alice", &alice);
        let many = process::run(psql.env("PGCLIENTENCODING", encoding).args(["-Atc", "SELECT count(*) FROM people"]));
        assert_eq!(many.trim(), "50", "{encoding}");
    }
    assert_ne!(scene.directly("SELECT count(*) FROM notes"), "0");
    let mut dana = Client::login(scene.gateway.port, "dana", &scene.dana());
    dana.query("SET client_encoding = 'SJIS'");
    let copied = dana.query("COPY (SELECT chr(12477), 1 FROM people) TO STDOUT");
    assert!(copied.iter().filter(|frame| frame.body == b"\x83\x5c\t1\n").count() == 50, "{copied:?}");
}

/// Who may do everything gets the server's own answer to bytes that are no text.
#[test]
fn nul_bytes_and_broken_characters() {
    let bind = |value: &[u8]| {
        let length = u32::try_from(value.len()).unwrap().to_be_bytes();
        wire::message(b'B', &[&b"\0\0\0\0\0\x01"[..], &length, value, b"\0\0"].concat())
    };
    let parameter =
        |value: &[u8]| [wire::parse("", "SELECT $1::text"), bind(value), wire::execute("", 0), wire::sync()].concat();
    let parse = |name: &[u8], sql: &[u8]| wire::message(b'P', &[name, b"\0", sql, b"\0\0\0"].concat());
    let texts: [Vec<u8>; 8] = [
        query(b"SELECT '\xff'"),
        query(b"SELECT '\xc3' FROM people"),
        [parse(b"", b"SELECT '\xe3\x81'"), wire::sync()].concat(),
        [parse(b"\xff", b"SELECT 1"), wire::sync()].concat(),
        parameter(b"a\0b"),
        parameter(b"\xff\xfe"),
        parameter("ä".as_bytes()),
        [wire::message(b'D', b"S\xff\0"), wire::sync()].concat(),
    ];
    let open = Scene::permit_all(15);
    let token = open.gateway.token("root", &["root"]);
    let mut through = Client::login(open.gateway.port, "root", &token);
    let mut direct = directly(&open);
    for bytes in &texts {
        direct.send_raw(bytes);
        through.send_raw(bytes);
        assert_same(&String::from_utf8_lossy(bytes), &direct.until_ready(), &through.until_ready());
    }
    let mut labelled = scene();
    let alice = labelled.alice();
    let nul = [
        wire::message(b'Q', b"SELECT 1\0 FROM people\0"),
        wire::message(b'Q', b"SELECT ssn FROM people"),
        parse(b"a\0b", b"SELECT ssn FROM people"),
        wire::message(b'P', b"\0SELECT 1\0ssn\0\0\0"),
        wire::message(b'Q', b""),
        wire::message(b'Q', b"\0\0"),
    ];
    for bytes in texts.iter().chain(&nul) {
        let mut client = Client::login(labelled.gateway.port, "alice", &alice);
        client.try_send_raw(&[bytes.clone(), wire::sync()].concat());
        let frames = client.frames_within(Duration::from_millis(700));
        assert!(!leaks(&client), "{frames:?}");
        assert!(labelled.gateway.is_alive());
        assert_eq!(labelled.gateway.query("alice", &alice, "SELECT 1"), "1");
    }
}

#[test]
fn startups_in_pieces_and_twice() {
    let scene = scene();
    let alice = scene.alice();
    let parameters = [("user", "alice"), ("database", "shop")];
    let packet = wire::startup(3 << 16, &parameters);
    let mut slow = Client::connect(scene.gateway.port);
    [0, 0, 0, 8, 4, 210, 22, 48].iter().for_each(|byte| slow.send_raw(&[*byte]));
    assert_eq!(slow.byte(), Some(b'N'));
    packet.iter().for_each(|byte| slow.send_raw(&[*byte]));
    slow.authenticate(&alice).unwrap();
    assert_eq!(slow.value("SELECT 1"), "1");
    // A second packet stands where the password is expected.
    let mut twice = Client::connect(scene.gateway.port);
    twice.send_raw(&[packet.clone(), packet.clone()].concat());
    assert!(twice.is_closed_within(Duration::from_secs(10)), "{twice:?}");
    // And no login is left out by one.
    assert!(!twice.frames_within(Duration::ZERO).iter().any(|frame| frame.tag == b'Z'), "{twice:?}");
    let ssl = [0, 0, 0, 8, 4, 210, 22, 47];
    let mut ssl_twice = Client::connect(scene.gateway.port);
    ssl_twice.send_raw(&ssl);
    assert_eq!(ssl_twice.byte(), Some(b'S'));
    ssl_twice.send_raw(&ssl);
    assert!(ssl_twice.is_closed_within(Duration::from_secs(10)), "{ssl_twice:?}");
    // Inside TLS as well: there is nothing left to ask for.
    let script = r#"
import socket, ssl, struct, sys
s = socket.create_connection(("127.0.0.1", int(sys.argv[1])))
request = struct.pack(">II", 8, 80877103)
s.sendall(request); assert s.recv(1) == b"S"
context = ssl.create_default_context(); context.check_hostname = False; context.verify_mode = ssl.CERT_NONE
context.set_alpn_protocols(["postgresql"])
t = context.wrap_socket(s); t.settimeout(10); t.sendall(request)
answer = b""
while piece := t.recv(1000): answer += piece
assert answer[:1] in (b"", b"E") and b"R\0\0" not in answer, answer
print("fine")
"#;
    let mut python = Command::new(places::python());
    python.args(["-c", script, &scene.gateway.port.to_string()]);
    assert_eq!(process::run(&mut python).trim(), "fine");
}

#[test]
fn newer_protocols_and_the_newest_library() {
    let scene = scene();
    let alice = scene.alice();
    for version in [(3 << 16) | 2, (3 << 16) | 9_999] {
        let mut client = Client::connect(scene.gateway.port);
        let parameters = [("user", "alice"), ("database", "shop"), ("_pq_.new", "1"), ("_pq_.newer", "on")];
        client.send_raw(&wire::startup(version, &parameters));
        let negotiated = client.frame();
        assert_eq!(negotiated.tag, b'v', "{negotiated:?}");
        assert!(negotiated.body.ends_with(b"_pq_.new\0_pq_.newer\0"), "{negotiated:?}");
        client.authenticate(&alice).unwrap();
        assert_eq!(client.value("SELECT 1"), "1", "{version:x}");
    }
    // What speaks the protocol is the library, and the newest one works under any psql.
    let libraries = places::postgres_bin(18).parent().unwrap().join("lib");
    for version in ["3.0", "3.2", "latest"] {
        let mut psql = scene.gateway.psql("alice", &alice);
        psql.env("LD_LIBRARY_PATH", &libraries).env("PGMAXPROTOCOLVERSION", version).env("PGSSLMODE", "require");
        psql.args(["-At", "-c", "\\d people", "-c", "SELECT ssn FROM people WHERE id = 7"]);
        let told = process::run(&mut psql);
        assert!(told.contains("salary") && !told.contains("CANARY"), "{version}: {told}");
    }
}
