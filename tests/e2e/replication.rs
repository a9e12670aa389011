//! Replication through the gateway, with PostgreSQL's own tools: for who may administer and see everything, and nobody else.

use lockgate_tests::process::{self, run};
use lockgate_tests::wire::{self, Client};
use lockgate_tests::{Gateway, Postgres, Scene, places, scene};
use std::process::Command;
use std::sync::OnceLock;
use std::time::Duration;

const EVERYTHING: &str = "@id(\"all\")\npermit (principal, action, resource);\n";

/// A server that replicates, logically too. Its other tests restart nothing.
fn publisher() -> &'static Postgres {
    static SERVER: OnceLock<Postgres> = OnceLock::new();
    SERVER.get_or_init(|| {
        let mut server = Postgres::start(15);
        server.sql("postgres", "ALTER ROLE app REPLICATION");
        server.sql("postgres", "ALTER SYSTEM SET wal_level = logical");
        server.stop();
        server.resume();
        server
    })
}

/// A gateway in front of it: everything permitted, nothing labelled.
fn unlabelled() -> Scene {
    let postgres = publisher();
    let database = postgres.database("CREATE TABLE t (v text)");
    let mut options = Scene::options(postgres, &database);
    options.policies = EVERYTHING.to_owned();
    options.extra = String::new();
    Scene { gateway: Gateway::start(options), postgres, database }
}

/// One of the tools, its connection made by `-d`.
fn tool(name: &str, scene: &Scene, token: &str) -> Command {
    let mut command = Command::new(places::postgres_bin(15).join(name));
    let target = "options='-c lockgate.target=shop'";
    let address = format!("host=127.0.0.1 port={} user=root dbname=shop {target}", scene.gateway.port);
    command.env("PGPASSWORD", token).arg("-d").arg(address);
    command
}

#[test]
fn base_backup_and_wal_pass_whole_and_are_recorded() {
    let scene = unlabelled();
    let token = scene.gateway.token("root", &["root"]);
    let backup = scene.gateway.home().join("backup");
    let mut command = tool("pg_basebackup", &scene, &token);
    run(command.args(["--checkpoint=fast", "-X", "stream", "-D"]).arg(&backup));
    run(Command::new(places::postgres_bin(15).join("pg_verifybackup")).arg(&backup));

    let wal = scene.gateway.home().join("wal");
    std::fs::create_dir(&wal).unwrap();
    scene.directly("INSERT INTO t VALUES ('received')");
    let to = scene.directly("SELECT pg_switch_wal(); CHECKPOINT; SELECT pg_current_wal_insert_lsn()");
    let to = to.lines().last().unwrap().to_owned();
    scene.directly("INSERT INTO t VALUES ('and more')");
    let mut command = tool("pg_receivewal", &scene, &token);
    run(command.args(["--no-loop", "-s", "1", "--endpos", &to, "-D"]).arg(&wal));
    assert!(std::fs::read_dir(&wal).unwrap().count() > 0, "no WAL came");

    process::eventually("the sessions end", Duration::from_secs(10), || {
        let events = format!("{:?}", scene.gateway.events());
        events.contains("BASE_BACKUP") && events.contains("START_REPLICATION")
    });
    scene.gateway.verify();
}

#[test]
fn logical_decoding_passes() {
    let scene = unlabelled();
    let token = scene.gateway.token("root", &["root"]);
    let slot = ["--slot", "through_the_gateway"];
    let plugin = ["--plugin", "test_decoding"];
    run(tool("pg_recvlogical", &scene, &token).args(slot).args(plugin).arg("--create-slot"));
    scene.directly("INSERT INTO t SELECT 'row ' || i FROM generate_series(1, 3000) i");
    let to = scene.directly("SELECT pg_current_wal_lsn()");
    let file = scene.gateway.home().join("decoded");
    let mut command = tool("pg_recvlogical", &scene, &token);
    run(command.args(slot).args(["--start", "--no-loop", "--endpos", &to, "-f"]).arg(&file));
    let decoded = std::fs::read_to_string(&file).unwrap();
    assert_eq!(decoded.matches("table public.t: INSERT").count(), 3000);
    run(tool("pg_recvlogical", &scene, &token).args(slot).arg("--drop-slot"));
}

/// A replication session by hand.
fn replicate(scene: &Scene, user: &str, token: &str) -> Result<Client, wire::Frame> {
    let parameters = [("user", user), ("database", "shop"), ("replication", "database")];
    Client::login_with(scene.gateway.port, &parameters, token)
}

#[test]
fn who_may_not_administer_or_not_see_everything_is_refused() {
    let scene = scene();
    for (user, token, why) in [
        ("alice", scene.alice(), "replication needs administer"),
        ("frank", scene.frank(), "replication needs administer"),
        ("dana", scene.dana(), "needs reveal of every label"),
    ] {
        let refused = replicate(&scene, user, &token).expect_err("it was let in");
        assert_eq!(refused.field(b'C').as_deref(), Some("42501"), "{refused:?}");
        assert!(refused.field(b'D').is_some_and(|detail| detail.contains(why)), "{refused:?}");
    }
}

/// What content rules look for is in the stream as it is.
#[test]
fn what_content_rules_look_for_may_not_be_replicated() {
    let postgres = publisher();
    let database = postgres.database("CREATE TABLE t (v text)");
    let mut options = Scene::options(postgres, &database);
    options.policies = format!(
        "{EVERYTHING}@id(\"masked\")\n@mask(\"redact\")\nforbid (principal, action == Action::\"reveal\", resource in Label::\"pii\") unless {{ principal in Group::\"fraud\" }};\n"
    );
    options.extra = "classify:\n  - label: pii/email\n    detect: [email]\n".to_owned();
    let scene = Scene { gateway: Gateway::start(options), postgres, database };
    let refused = replicate(&scene, "root", &scene.gateway.token("root", &["root"])).expect_err("it was let in");
    assert!(refused.field(b'D').is_some_and(|detail| detail.contains("needs reveal of every label")), "{refused:?}");
    let mut frank = replicate(&scene, "frank", &scene.gateway.token("frank", &["fraud"])).unwrap();
    assert_eq!(wire::rows(&frank.query("SELECT 'a@b.example'")), [[Some("a@b.example".to_owned())]]);
}

/// SQL is for policy in a replication session as in any other.
#[test]
fn sql_among_the_commands_is_judged() {
    let postgres = publisher();
    let database = postgres.database("CREATE TABLE t (v text); INSERT INTO t VALUES ('kept'); CREATE TABLE u (v text)");
    let mut options = Scene::options(postgres, &database);
    options.policies = r#"
@id("replicates")
permit (principal, action in [Action::"connect", Action::"read", Action::"write", Action::"administer", Action::"export"], resource);
@id("no-truncate")
forbid (principal, action == Action::"write", resource) when { context.sql.verb == "delete" && !context.sql.has_where };
@id("asked-first")
@approve("dba")
forbid (principal, action == Action::"write", resource) when { context.sql.verb == "update" };
"#
    .to_owned();
    options.extra = String::new();
    let scene = Scene { gateway: Gateway::start(options), postgres, database };
    let token = scene.gateway.token("root", &["root"]);
    let mut client = replicate(&scene, "root", &token).unwrap();
    for (sql, why) in [
        ("DELETE FROM t", "no-truncate"),
        ("SELECT 1; DELETE FROM t", "no-truncate"),
        ("PREPARE d AS DELETE FROM t", "no-truncate"),
        ("UPDATE t SET v = 'x'", ""),
        ("DROP TABLE t", "define"),
        ("SELECT 1; DROP TABLE t", "define"),
        ("/* SHOW */ DROP TABLE t", "define"),
        ("DO 'BEGIN DELETE FROM t; END'", "execute"),
        ("EXPLAIN ANALYZE DELETE FROM t", "no-truncate"),
    ] {
        let frames = client.query(sql);
        let error = wire::error(&frames);
        assert_eq!(error.field(b'C').as_deref(), Some("42501"), "{sql}: {error:?}");
        assert!(format!("{error:?}").contains(why), "{sql}: {error:?}");
    }
    // How texts are read may be changed there, and then nobody reads them.
    client.query("SET standard_conforming_strings = off");
    assert!(wire::tags(&client.query("SELECT 1")).contains('E'));
    let mut client = replicate(&scene, "root", &token).unwrap();
    for sql in [
        "SHOW wal_level",
        "SELECT pg_catalog.set_config('search_path', '', false)",
        "BEGIN READ ONLY ISOLATION LEVEL REPEATABLE READ",
        "SELECT c.relname FROM pg_catalog.pg_class c WHERE c.relname = 't'",
        "COPY public.t TO STDOUT",
        "COMMIT",
        "DELETE FROM public.u WHERE v = 'x'",
    ] {
        let frames = client.query(sql);
        assert!(!wire::tags(&frames).contains('E'), "{sql}: {frames:?}");
    }
    assert_eq!(scene.directly("SELECT v FROM t"), "kept");
}

#[test]
fn commands_are_judged_one_by_one_and_a_lost_right_ends_the_stream() {
    let scene = unlabelled();
    let token = scene.gateway.token("root", &["root"]);
    let mut client = replicate(&scene, "root", &token).unwrap();
    let system = client.query("IDENTIFY_SYSTEM");
    assert_eq!(wire::tags(&system), "TDCZ", "{system:?}");
    // Two at once: the second waits for the first.
    client.send_raw(
        &[wire::message(b'Q', &wire::text("SELEKT")), wire::message(b'Q', &wire::text("SHOW wal_level"))].concat(),
    );
    assert_eq!(wire::error(&client.until_ready()).field(b'C').as_deref(), Some("42601"));
    assert_eq!(wire::rows(&client.until_ready()), [[Some("logical".to_owned())]]);
    client.query("CREATE_REPLICATION_SLOT by_hand TEMPORARY LOGICAL test_decoding");
    client.send(b'Q', &wire::text("START_REPLICATION SLOT by_hand LOGICAL 0/0"));
    assert_eq!(client.frame().tag, b'W');
    scene.directly("INSERT INTO t VALUES ('streamed')");
    while !String::from_utf8_lossy(&client.frame().body).contains("streamed") {}

    let policies =
        format!("{EVERYTHING}@id(\"no\")\nforbid (principal, action == Action::\"administer\", resource);\n");
    std::fs::write(scene.gateway.policy_file(), policies).unwrap();
    scene.gateway.reload();
    let begun = std::time::Instant::now();
    let last = loop {
        let frame = client.frame();
        if frame.tag == b'E' {
            break frame;
        }
    };
    assert_eq!(last.field(b'C').as_deref(), Some("57P01"), "{last:?}");
    assert!(begun.elapsed() < Duration::from_secs(3), "it took {:?}", begun.elapsed());
    assert!(replicate(&scene, "root", &token).is_err());
    let ordinary = Client::login_with(scene.gateway.port, &[("user", "root"), ("database", "shop")], &token);
    assert!(ordinary.is_ok(), "an ordinary session needs no administer");
}

#[test]
fn what_a_replication_session_does_not_have_ends_it() {
    let scene = unlabelled();
    let token = scene.gateway.token("root", &["root"]);
    for message in [wire::parse("", "SELECT 1"), wire::message(b'F', &[0; 10]), wire::message(b'?', b"")] {
        let mut client = replicate(&scene, "root", &token).unwrap();
        client.send_raw(&message);
        let error = client.frame();
        assert_eq!(error.field(b'C').as_deref(), Some("08P01"), "{error:?}");
        assert!(client.is_closed_within(Duration::from_secs(5)));
    }
}
