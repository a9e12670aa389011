//! The gateway as a process: how it starts, stops and runs short of something, and what its verbs print.

use lockgate_tests::process::{self, mortal};
use lockgate_tests::surfer::Surfer;
use lockgate_tests::wire::{self, Client};
use lockgate_tests::{Gateway, Postgres, Scene, api, places, scene};
use std::collections::HashSet;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

fn ready(scene: &lockgate_tests::Scene) -> Option<u16> {
    // The listener may be gone already.
    std::net::TcpStream::connect(("127.0.0.1", scene.gateway.https_port)).ok()?;
    std::panic::catch_unwind(|| api::call(&scene.gateway, "GET", "/api/v1/ready", None, None).0).ok()
}

#[test]
fn the_first_sigterm_waits_for_what_runs_and_the_second_does_not() {
    let mut scene = scene();
    let alice = scene.alice();
    scene.gateway.authority();
    assert_eq!(ready(&scene), Some(200));
    let mut client = Client::login(scene.gateway.port, "alice", &alice);
    let mut idle = Client::login(scene.gateway.port, "alice", &alice);
    client.send(b'Q', &wire::text("SELECT pg_sleep(30)"));
    std::thread::sleep(Duration::from_millis(300));
    process::signal(scene.gateway.pid(), "TERM");
    process::eventually("it is not ready any more", Duration::from_secs(2), || ready(&scene) != Some(200));
    assert!(idle.is_closed_within(Duration::from_secs(3)), "an idle session holds up the end");
    process::eventually("no more logins", Duration::from_secs(2), || {
        let mut psql = scene.gateway.psql("alice", &alice);
        !process::output(psql.args(["-Atc", "SELECT 1"])).status.success()
    });
    assert!(scene.gateway.is_alive(), "it does not wait for the statement that runs");
    let again = Instant::now();
    process::signal(scene.gateway.pid(), "TERM");
    let code = scene.gateway.wait(Duration::from_secs(5));
    assert_eq!(code, Some(1), "{}", scene.gateway.log());
    assert!(again.elapsed() < Duration::from_secs(5));
    scene.gateway.verify();
}

#[test]
fn out_of_file_descriptors_it_keeps_what_is_open_and_recovers() {
    let mut scene = scene();
    let alice = scene.alice();
    let mut client = Client::login(scene.gateway.port, "alice", &alice);
    let pid = scene.gateway.pid().to_string();
    process::run(Command::new("prlimit").args(["--pid", &pid, "--nofile=128:128"]));
    let mut strangers: Vec<Client> = (0..250).map(|_| Client::connect(scene.gateway.port)).collect();
    std::thread::sleep(Duration::from_millis(500));
    for i in 0..20 {
        assert_eq!(client.value(&format!("SELECT 'kept-{i}'")), format!("kept-{i}"));
    }
    // Whoever comes now is refused or waits, and is not let in by halves.
    strangers.truncate(0);
    process::eventually("logins work again", Duration::from_secs(10), || {
        process::output(scene.gateway.psql("alice", &alice).args(["-Atc", "SELECT 1"])).status.success()
    });
    assert!(scene.gateway.is_alive());
    let record = scene.gateway.here_ok(&["audit", "export"]);
    assert!((0..20).all(|i| record.contains(&format!("kept-{i}"))), "a statement of the old session is not recorded");
    scene.gateway.verify();
}

#[test]
fn a_program_at_the_limit_of_its_memory_does_not_die() {
    let mut scene = scene();
    let alice = scene.alice();
    let mut client = Client::login(scene.gateway.port, "alice", &alice);
    client.value("SELECT 1");
    // What nests deeply is worked on by a thread with a large stack, which it does not get here.
    let status = std::fs::read_to_string(format!("/proc/{}/status", scene.gateway.pid())).unwrap();
    let size = status.lines().find_map(|line| line.strip_prefix("VmSize:")).unwrap().trim().trim_end_matches(" kB");
    let limit = (size.parse::<u64>().unwrap() + 256 * 1024) * 1024;
    process::run(Command::new("prlimit").args(["--pid", &scene.gateway.pid().to_string(), &format!("--as={limit}")]));
    for depth in [10, 100, 300] {
        client.query(&format!("SELECT {}1{}", "(".repeat(depth), ")".repeat(depth)));
    }
    assert_eq!(client.value("SELECT 2"), "2");
    assert!(scene.gateway.is_alive(), "{}", scene.gateway.log());
}

#[test]
fn ten_megabytes_and_ten_thousand_brackets_are_refused_soon() {
    let scene = scene();
    let alice = scene.alice();
    let before = scene.gateway.resident_kib();
    for sql in [
        format!("SELECT '{}'", "x".repeat(10_000_000)),
        format!("SELECT {}1{}", "(".repeat(10_000), ")".repeat(10_000)),
        format!("{}SELECT 1{}", "SELECT * FROM (".repeat(10_000), ") q".repeat(10_000)),
    ] {
        let mut client = Client::login(scene.gateway.port, "alice", &alice);
        let begun = Instant::now();
        let frames = client.query(&sql);
        // Two seconds are promised; the rest is for a build without optimisation on a loaded machine.
        assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
        wire::error(&frames);
        assert!(frames.iter().all(|frame| frame.tag != b'D'));
        assert_eq!(client.value("SELECT 1"), "1", "the session goes on");
    }
    let grown = scene.gateway.resident_kib().saturating_sub(before);
    assert!(grown < 200 * 1024, "{grown} KiB");
}

#[test]
fn tls_is_of_this_decade_on_every_listener() {
    let scene = scene();
    let authority = scene.gateway.authority();
    let handshake = |port: u16, starttls: bool, args: &[&str]| {
        let mut openssl = Command::new("openssl");
        openssl.args(["s_client", "-connect", &format!("127.0.0.1:{port}"), "-brief", "-CAfile"]).arg(&authority);
        openssl.args(["-verify_return_error", "-verify_ip", "127.0.0.1"]).args(args);
        if starttls {
            openssl.args(["-starttls", "postgres"]);
        }
        process::text(&process::output(&mut openssl))
    };
    for (port, starttls) in [(scene.gateway.port, true), (scene.gateway.https_port, false)] {
        for (what, args, fits) in [
            ("1.3", &["-tls1_3"][..], true),
            ("1.2", &["-tls1_2"], true),
            ("1.1", &["-tls1_1", "-cipher", "DEFAULT@SECLEVEL=0"], false),
            ("1.0", &["-tls1", "-cipher", "DEFAULT@SECLEVEL=0"], false),
            (
                "CBC",
                &["-tls1_2", "-cipher", "ECDHE-ECDSA-AES128-SHA256:ECDHE-ECDSA-AES256-SHA:ECDHE-RSA-AES128-SHA"],
                false,
            ),
            ("no forward secrecy", &["-tls1_2", "-cipher", "AES128-GCM-SHA256:AES256-GCM-SHA384"], false),
        ] {
            let said = handshake(port, starttls, args);
            assert_eq!(said.contains("CONNECTION ESTABLISHED"), fits, "TLS {what} on {port}: {said}");
            // That it was refused by the gateway, and not by this client.
            assert!(fits || said.contains("alert"), "TLS {what} on {port}: {said}");
        }
    }
    // After a handshake that failed, clear text is not spoken with.
    let mut client = Client::connect(scene.gateway.port);
    client.send_raw(&[0, 0, 0, 8, 4, 210, 22, 47]);
    assert_eq!(client.byte(), Some(b'S'));
    client.try_send_raw(&wire::startup(3 << 16, &[("user", "alice"), ("database", "shop")]));
    assert!(client.is_closed_within(Duration::from_secs(10)));
    assert!(!client.seen.contains(&b'R'), "it asks for a password in clear");
}

#[test]
fn ctrl_c_in_psql_ends_a_statement_and_a_wait() {
    let scene = scene();
    let (alice, dana) = (scene.alice(), scene.dana());
    let start = |sql: &str| {
        let mut psql = mortal("KILL", &places::psql(), None);
        psql.env("PGPASSWORD", &alice).arg(scene.gateway.conninfo("alice")).args(["-X", "-c", sql]);
        process::spawn({
            psql.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
            psql
        })
    };
    let mut running = start("SELECT pg_sleep(60), 'psql-runs'");
    process::eventually("it runs", Duration::from_secs(20), || {
        scene.directly("SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%psql-runs%' AND state = 'active' AND pid <> pg_backend_pid()") == "1"
    });
    process::signal(running.id(), "INT");
    assert!(process::ends_within(&mut running, Duration::from_secs(10)), "Ctrl-C does not end the statement");
    assert!(!running.wait().unwrap().success());
    let mut held = start("DELETE FROM notes WHERE id = 1");
    let id = scene.pending(&dana);
    process::signal(held.id(), "INT");
    assert!(process::ends_within(&mut held, Duration::from_secs(10)), "Ctrl-C does not end the wait");
    assert!(!held.wait().unwrap().success());
    assert!(!scene.approve(&dana, &id).status.success(), "a withdrawn request was approved");
    assert_eq!(scene.directly("SELECT count(*) FROM notes"), "20");
}

#[test]
fn the_demo_stays_up_until_it_is_told_to_end_and_leaves_nothing() {
    for signal in ["INT", "TERM"] {
        let home = process::Scratch::make();
        let out = home.path().join("out");
        let mut demo = mortal("KILL", &places::lockgate(), None);
        demo.arg("demo").env("TMPDIR", home.path()).stdin(Stdio::null());
        let file = std::fs::File::create(&out).unwrap();
        demo.stdout(file.try_clone().unwrap()).stderr(file);
        let mut demo = process::spawn(demo);
        let said = || String::from_utf8_lossy(&std::fs::read(&out).unwrap()).into_owned();
        process::eventually("the show is over", Duration::from_secs(180), || {
            assert!(demo.try_wait().unwrap().is_none(), "{}", said());
            said().contains("the same database without a gateway")
        });
        std::thread::sleep(Duration::from_secs(1));
        assert!(demo.try_wait().unwrap().is_none(), "it ends by itself: {}", said());
        process::signal(demo.id(), signal);
        assert!(process::ends_within(&mut demo, Duration::from_secs(20)), "SIG{signal} does not end it");
        process::eventually("its processes are gone", Duration::from_secs(20), || processes_in(home.path()).is_empty());
        let left: Vec<_> = std::fs::read_dir(home.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
        assert_eq!(left, ["out"], "after SIG{signal}");
    }
}

/// A gateway as somebody begins with one: what `init` wrote, with this test's addresses in it, and the administrator that it made.
#[test]
fn what_init_writes_serves_and_its_administrator_signs_in() {
    let postgres = Postgres::shared(15);
    let database = postgres.database(
        "CREATE TABLE customers (id int, name text, ssn text, email text); INSERT INTO customers VALUES (1, 'n', 'SSN-CANARY', 'e')",
    );
    let mut options = Scene::options(postgres, &database);
    options.environment.push(("ORDERS_PASSWORD".to_owned(), lockgate_tests::postgres::PASSWORD.to_owned()));
    let mut gateway = Gateway::prepare(options);
    std::fs::remove_file(gateway.config()).unwrap();
    std::fs::remove_dir_all(gateway.home().join("policies")).unwrap();
    let password = gateway.here_ok(&["init", "--admin", "ada", "--generate"]).trim().to_owned();
    let mut written = std::fs::read_to_string(gateway.config()).unwrap();
    for (from, to) in [
        ("127.0.0.1:6432", format!("127.0.0.1:{}", gateway.port)),
        ("127.0.0.1:6443", format!("127.0.0.1:{}", gateway.https_port)),
        ("127.0.0.1:6090", format!("127.0.0.1:{}", gateway.metrics_port)),
        ("127.0.0.1:5432", format!("127.0.0.1:{}", postgres.port)),
        ("database: shop", format!("database: {database}")),
        ("tls: verify-full ", "tls: disable ".to_owned()),
    ] {
        assert!(written.contains(from), "`{from}` is not in {written}");
        written = written.replace(from, &to);
    }
    std::fs::write(gateway.config(), written).unwrap();
    gateway.resume();
    let mut ada = Surfer::new(&gateway);
    let page = ada.open(&gateway.url());
    let page = ada.submit(&page, &[("user", "ada"), ("password", &password)]);
    assert!(page.html.contains("Signed in as <b>ada</b>") && page.html.contains("platform"), "{}", page.html);
    // And what the policies say is so.
    let alice = gateway.token("alice", &["engineers"]);
    let mut client = Client::login_with(gateway.port, &[("user", "alice"), ("database", "orders")], &alice)
        .expect("she may connect");
    assert_eq!(client.value("SELECT ssn FROM customers LIMIT 1"), "***");
    assert_eq!(wire::error(&client.query("COPY customers TO STDOUT")).field(b'C').as_deref(), Some("42501"));
    let olga = gateway.token("olga", &["platform"]);
    let no_data = Client::login_with(gateway.port, &[("user", "olga"), ("database", "orders")], &olga);
    assert!(no_data.is_err(), "administering gives no data");
    gateway.verify();
}

/// `--once` ends with whether every step did what it says, which a `psql` that leaves something out brings to light.
#[test]
fn the_demo_ends_with_its_verdict() {
    let home = process::Scratch::make();
    let deaf = home.path().join("bin");
    std::fs::create_dir(&deaf).unwrap();
    let psql = deaf.join("psql");
    let script = "#!/bin/sh\ncase \"$*\" in *'COPY customers'*) exit 0;; esac\nPATH=${PATH#*:} exec psql \"$@\"\n";
    std::fs::write(&psql, script).unwrap();
    process::run(Command::new("chmod").arg("755").arg(&psql));
    let path = std::env::var_os("PATH").unwrap();
    let mut meddled = deaf.into_os_string();
    meddled.push(":");
    meddled.push(&path);
    for (path, code, words) in [(path, 0, "Every step did what it says."), (meddled, 1, "FAILED")] {
        let mut demo = mortal("KILL", &places::lockgate(), None);
        demo.args(["demo", "--once", "--customers", "2000"]).env("TMPDIR", home.path()).env("PATH", path);
        let output = process::output(demo.stdin(Stdio::null()));
        assert_eq!(output.status.code(), Some(code), "{}", process::text(&output));
        let told = process::text(&output);
        assert!(told.contains(words), "{told}");
        // What takes a moment says that it begins, what came of it and how long it took.
        for step in [
            "starting a throw-away PostgreSQL … ",
            "making up a shop and loading it … 2000 people, ",
            "starting the gateway in front of it … ",
        ] {
            let line =
                told.lines().find(|line| line.contains(step)).unwrap_or_else(|| panic!("`{step}` is not in:\n{told}"));
            assert!(line.ends_with(" s)"), "{line}");
        }
        assert!(processes_in(home.path()).is_empty());
        let left: Vec<_> = std::fs::read_dir(home.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
        assert_eq!(left, ["bin"]);
    }
}

/// The command lines that name something below a directory.
fn processes_in(dir: &std::path::Path) -> HashSet<String> {
    let dir = dir.display().to_string();
    let processes = std::fs::read_dir("/proc").unwrap().flatten();
    let lines = processes.filter_map(|process| std::fs::read(process.path().join("cmdline")).ok());
    lines.map(|line| String::from_utf8_lossy(&line).replace('\0', " ")).filter(|line| line.contains(&dir)).collect()
}

#[test]
fn tokens_are_printed_as_asked() {
    let scene = scene();
    let create = |format: &str| scene.gateway.here_ok(&["token", "create", "--user", "zoe", "-o", format]);
    let json: serde_json::Value = serde_json::from_str(&create("json")).unwrap();
    for (format, text) in [("json", json.to_string()), ("yaml", create("yaml")), ("table", create("table"))] {
        let token = text.split(|c: char| c.is_whitespace() || c == '"').find(|word| word.starts_with("lg_"));
        let token = token.unwrap_or_else(|| panic!("no token in {format}: {text}"));
        let who = scene.gateway.as_user(token, &["whoami", "-o", format]);
        assert!(who.status.success() && process::text(&who).contains("zoe"), "{format}: {}", process::text(&who));
    }
    assert!(create("yaml").lines().any(|line| line.starts_with("expires:")), "{}", create("yaml"));
}

#[test]
fn completions_and_schemas() {
    let print = |args: &[&str]| process::run(Command::new(places::lockgate()).args(args));
    for shell in ["bash", "zsh", "fish"] {
        let script = print(&["completions", shell]);
        assert!(script.contains("approvals") && script.contains("token"), "{shell}: {script}");
    }
    process::run(Command::new("bash").args(["-n", "-c", &print(&["completions", "bash"])]));
    let schema: serde_json::Value = serde_json::from_str(&print(&["schema"])).unwrap();
    assert_eq!(schema["additionalProperties"], false, "an unknown key would fit");
    for key in ["targets", "classify", "listen", "limits", "policies"] {
        assert!(schema["properties"][key].is_object(), "{key}");
    }
}
