//! The command line from outside: exit codes, what goes to which stream, and what a start says that cannot be.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "a test fails by panicking"
)]

use std::fs;
use std::io::Write;
use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

fn lockgate(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_lockgate"));
    for name in ["LOCKGATE_URL", "LOCKGATE_TOKEN", "LOCKGATE_CA", "ORDERS_PASSWORD"] {
        command.env_remove(name);
    }
    command.args(arguments).stdin(Stdio::null());
    command
}

fn run(arguments: &[&str]) -> Output {
    lockgate(arguments).output().unwrap()
}

fn code(output: &Output) -> i32 {
    output.status.code().unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// A configuration from `init`, with free ports.
fn initialised(dir: &Path) -> String {
    let config = dir.join("lockgate.yaml").display().to_string();
    let made = run(&["init", "-c", &config]);
    assert_eq!(code(&made), 0, "{}", stderr(&made));
    let text = fs::read_to_string(&config).unwrap();
    let text = text
        .replace("127.0.0.1:6432", &format!("127.0.0.1:{}", free_port()))
        .replace("127.0.0.1:6443", &format!("127.0.0.1:{}", free_port()))
        .replace("127.0.0.1:6090", &format!("127.0.0.1:{}", free_port()));
    fs::write(&config, text).unwrap();
    config
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

#[test]
fn usage_mistakes_are_two() {
    for arguments in [
        &["frobnicate"][..],
        &["login"],
        &["token", "create"],
        &["sessions", "show", "no-id"],
        &["whoami"],
        &["approvals", "list"],
        &["-o", "xml", "schema"],
    ] {
        let output = run(arguments);
        assert_eq!(code(&output), 2, "{arguments:?}: {}", stderr(&output));
        assert!(stdout(&output).is_empty(), "{arguments:?}");
        assert!(stderr(&output).starts_with("error:"), "{arguments:?}: {}", stderr(&output));
    }
    let plain = lockgate(&["whoami"]).env("LOCKGATE_URL", "http://127.0.0.1:1").output().unwrap();
    assert_eq!(code(&plain), 2, "{}", stderr(&plain));
}

#[test]
fn help_lists_what_works_and_nothing_else() {
    let help = stdout(&run(&["--help"]));
    for verb in [
        "serve",
        "init",
        "demo",
        "login",
        "logout",
        "connect",
        "approvals",
        "sessions",
        "audit",
        "policy",
        "explain",
        "token",
        "user",
    ] {
        assert!(help.contains(&format!("\n  {verb}")), "{verb} is missing:\n{help}");
    }
    for verb in ["agent", "exec", "kubeconfig", "request", "mcp"] {
        assert!(!help.contains(&format!("\n  {verb} ")), "{verb} is listed:\n{help}");
    }
    assert!(help.contains("Exit codes"));
    assert_eq!(code(&run(&["--version"])), 0);
}

#[test]
fn no_credential_is_five_and_no_gateway_is_one() {
    let without = lockgate(&["whoami"]).env("LOCKGATE_URL", "https://127.0.0.1:1").output().unwrap();
    assert_eq!(code(&without), 5, "{}", stderr(&without));
    let nobody = lockgate(&["whoami"])
        .env("LOCKGATE_URL", "https://127.0.0.1:1")
        .env("LOCKGATE_TOKEN", "lg_x_y")
        .output()
        .unwrap();
    assert_eq!(code(&nobody), 1, "{}", stderr(&nobody));
    assert!(!stderr(&nobody).contains("lg_x_y"), "a token must not be printed");
}

#[test]
fn what_init_writes_is_fine() {
    let dir = tempfile::tempdir().unwrap();
    let config = initialised(dir.path());
    let check = run(&["policy", "check", "-c", &config]);
    assert_eq!(code(&check), 0, "{}", stderr(&check));
    let cases = dir.path().join("policies/cases.yaml").display().to_string();
    let test = run(&["policy", "test", &cases, "-c", &config]);
    assert_eq!(code(&test), 0, "{}{}", stdout(&test), stderr(&test));
    let again = run(&["init", "-c", &config]);
    assert_eq!(code(&again), 1);
    assert!(stderr(&again).contains("overwrites nothing"));
}

#[test]
fn init_makes_an_administrator_whose_password_is_shown_once() {
    let dir = tempfile::tempdir().unwrap();
    let config = dir.path().join("lockgate.yaml").display().to_string();
    let made = run(&["init", "-c", &config, "--admin", "ada"]);
    assert_eq!(code(&made), 0, "{}", stderr(&made));
    let password = stdout(&made).trim().to_owned();
    assert_eq!(password.len(), 23, "a password and nothing else on standard output: {password}");
    assert!(stderr(&made).contains("administrator ada") && !stderr(&made).contains(&password));
    let users = run(&["user", "list", "-c", &config, "-o", "json"]);
    let users: serde_json::Value = serde_json::from_str(&stdout(&users)).unwrap();
    assert_eq!((users[0]["user"].as_str(), users[0]["groups"][0].as_str()), (Some("ada"), Some("platform")));
    for file in walk(&dir.path().join("data")) {
        let holds = fs::read(&file).unwrap().windows(password.len()).any(|part| part == password.as_bytes());
        assert!(!holds, "{} holds the password", file.display());
    }
    let bad = run(&["init", "-c", &dir.path().join("other.yaml").display().to_string(), "--admin", ""]);
    assert_eq!(code(&bad), 2);
    assert!(!dir.path().join("other.yaml").exists());
}

fn walk(dir: &Path) -> Vec<std::path::PathBuf> {
    let entries = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { walk(&path) } else { vec![path] }).collect()
}

#[test]
fn local_users_without_a_gateway() {
    let dir = tempfile::tempdir().unwrap();
    let config = initialised(dir.path());
    let user = |arguments: &[&str], input: &str| {
        let mut all = vec!["user", "-c", &config];
        all.extend(arguments);
        let mut child =
            lockgate(&all).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        // One that needs no input may be gone already.
        let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
        child.wait_with_output().unwrap()
    };
    let json = |output: &Output| serde_json::from_str::<serde_json::Value>(&stdout(output)).unwrap();

    let added = user(&["add", "Alice", "--group", "engineers", "--display-name", "Alice A."], "open sesame!\n");
    assert_eq!((code(&added), stdout(&added)), (0, String::new()), "{}", stderr(&added));
    for (arguments, input, why) in [
        (&["add", "alice"][..], "open sesame!", "there is a user `alice` in `local` already"),
        (&["add", "bob"], "short", "at least 12 characters"),
        (&["add", "bob"], "", "the password is empty"),
        (&["add", "bob", "--group", ""], "open sesame!", "cannot be a name"),
        (&["add", " bob"], "open sesame!", "cannot be a name"),
    ] {
        let refused = user(arguments, input);
        assert_eq!(code(&refused), 2, "{arguments:?}");
        assert!(stderr(&refused).contains(why), "{arguments:?}: {}", stderr(&refused));
    }
    let generated = user(&["add", "bob", "--generate", "-o", "json"], "");
    assert_eq!(json(&generated)["password"].as_str().map(str::len), Some(23));
    let without = user(&["add", "carol", "--no-password", "-o", "json"], "");
    assert_eq!((json(&without)["password_set"].is_null(), json(&without).get("password")), (true, None));

    let groups = user(&["group", "alice", "--add", "dba", "--add", "oncall", "--remove", "Engineers"], "");
    assert_eq!(stdout(&groups).trim(), "dba, oncall");
    assert_eq!(stdout(&user(&["group", "alice"], "")).trim(), "dba, oncall");
    assert_eq!(code(&user(&["disable", "alice"], "")), 0);
    let all = user(&["list", "-o", "json"], "");
    let alice = json(&all).as_array().unwrap().iter().find(|u| u["user"] == "Alice").unwrap().clone();
    assert_eq!((alice["active"].as_bool(), alice["display_name"].as_str()), (Some(false), Some("Alice A.")));
    assert_eq!(code(&user(&["enable", "ALICE"], "")), 0);
    assert_eq!(code(&user(&["passwd", "alice"], "another one, longer")), 0);
    for nobody in [&["passwd", "zoe", "--generate"][..], &["group", "zoe"], &["disable", "zoe"], &["enable", "zoe"]] {
        let refused = user(nobody, "");
        assert_eq!(code(&refused), 1, "{nobody:?}");
        assert!(stderr(&refused).contains("there is no local user `zoe`"), "{}", stderr(&refused));
    }
    let table = stdout(&user(&["list"], ""));
    assert!(table.contains("Alice") && table.contains("active") && !table.contains("argon2"), "{table}");
}

#[test]
fn a_case_that_fails_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let config = initialised(dir.path());
    let cases = dir.path().join("wrong.yaml");
    let text = "identities: {alice: {groups: [engineers]}}\ncases:\n  - name: drops\n    request: {action: define, target: orders}\n    expect: {alice: allow}\n";
    fs::write(&cases, text).unwrap();
    let test = run(&["policy", "test", &cases.display().to_string(), "-c", &config]);
    assert_eq!(code(&test), 1);
    assert!(stdout(&test).contains("FAILED drops: alice: expected allow, got deny"), "{}", stdout(&test));
}

#[test]
fn tokens_without_a_gateway() {
    let dir = tempfile::tempdir().unwrap();
    let config = initialised(dir.path());
    let made = run(&[
        "token",
        "create",
        "-c",
        &config,
        "--user",
        "alice",
        "--group",
        "engineers",
        "--kind",
        "agent",
        "--on-behalf-of",
        "bob",
        "--on-behalf-of-group",
        "engineers",
        "--target",
        "orders",
        "--ttl",
        "1h",
        "-o",
        "json",
    ]);
    assert_eq!(code(&made), 0, "{}", stderr(&made));
    let json: serde_json::Value = serde_json::from_slice(&made.stdout).unwrap();
    let token = json["token"].as_str().unwrap().to_owned();
    let id = json["id"].as_str().unwrap().to_owned();
    assert!(token.starts_with("lg_") && json["expires"].as_str().unwrap().ends_with('Z'), "{json}");

    let list = run(&["token", "list", "-c", &config, "-o", "json"]);
    let listed: serde_json::Value = serde_json::from_slice(&list.stdout).unwrap();
    assert_eq!((listed[0]["user"].as_str(), listed[0]["state"].as_str()), (Some("alice"), Some("live")));
    assert!(!stdout(&list).contains(&token), "a token is shown once");

    assert_eq!(code(&run(&["token", "revoke", &id, "-c", &config])), 0);
    let listed: serde_json::Value =
        serde_json::from_slice(&run(&["token", "list", "-c", &config, "-o", "json"]).stdout).unwrap();
    assert_eq!(listed[0]["state"].as_str(), Some("revoked"));
    assert_eq!(code(&run(&["token", "revoke", "nothing", "-c", &config])), 1);

    let misspelt = run(&["token", "create", "-c", &config, "--user", "alice", "--target", "order"]);
    assert_eq!(code(&misspelt), 2);
    assert!(stderr(&misspelt).contains("did you mean `orders`?"), "{}", stderr(&misspelt));
}

#[test]
fn explain_answers_without_the_target_and_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let config = initialised(dir.path());
    let closed = free_port();
    let text = fs::read_to_string(&config).unwrap().replace("127.0.0.1:5432", &format!("127.0.0.1:{closed}"));
    fs::write(&config, text).unwrap();
    let explain = |sql: &str| {
        run(&["explain", "-c", &config, "--user", "alice", "--group", "engineers", "--target", "orders", sql])
    };
    let allowed = explain("SELECT 1");
    assert_eq!(code(&allowed), 0, "{}{}", stdout(&allowed), stderr(&allowed));
    assert!(stderr(&allowed).contains("the catalog of orders cannot be read"), "{}", stderr(&allowed));
    let denied = explain("DROP TABLE orders");
    assert_eq!(code(&denied), 3);
    assert!(stdout(&denied).contains("verdict: deny"), "{}", stdout(&denied));
    let held = explain("DELETE FROM public.orders");
    assert!(matches!(code(&held), 3 | 4), "{}", stdout(&held));
    let stranger = run(&["explain", "-c", &config, "--user", "x", "--target", "orders", "SELECT 1", "-o", "json"]);
    assert_eq!(code(&stranger), 3);
    let json: serde_json::Value = serde_json::from_slice(&stranger.stdout).unwrap();
    assert_eq!(json["verdict"].as_str(), Some("deny"));
}

/// A start that cannot be: one error, an exit code that is not 0, within five seconds.
fn cannot_start(config: &str, expected: &str) {
    let begun = Instant::now();
    let mut child = lockgate(&["serve", "-c", config])
        .env("ORDERS_PASSWORD", "secret")
        .stderr(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    while child.try_wait().unwrap().is_none() {
        if begun.elapsed() > Duration::from_secs(5) {
            child.kill().unwrap();
            panic!("it did not end: {}", stderr(&child.wait_with_output().unwrap()));
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    let output = child.wait_with_output().unwrap();
    assert_eq!(code(&output), 1);
    assert!(stderr(&output).contains(expected), "expected `{expected}` in:\n{}", stderr(&output));
    assert_eq!(stderr(&output).matches("error:").count(), 1, "{}", stderr(&output));
}

#[test]
fn starts_that_cannot_be() {
    let dir = tempfile::tempdir().unwrap();
    let config = initialised(dir.path());
    // As if somebody had written the configuration.
    fs::remove_dir_all(dir.path().join("data")).unwrap();
    cannot_start(&dir.path().join("none.yaml").display().to_string(), "cannot be read");

    let good = fs::read_to_string(&config).unwrap();
    fs::write(&config, good.replace("targets:", "targts:")).unwrap();
    cannot_start(&config, "did you mean `targets`?");
    fs::write(&config, &good).unwrap();

    let policy = dir.path().join("policies/broken.cedar");
    fs::write(
        &policy,
        "permit (principal, action == Action::\"connect\", resource) when { context.sqll.verb == \"x\" };",
    )
    .unwrap();
    cannot_start(&config, "broken.cedar:1:");
    fs::remove_file(policy).unwrap();

    // A port in use is seen before anything is made.
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let line = good.lines().find(|line| line.trim().starts_with("postgres:")).unwrap();
    fs::write(&config, good.replace(line, &format!("  postgres: 127.0.0.1:{port}"))).unwrap();
    cannot_start(&config, "another process listens on");
    assert!(!dir.path().join("data").exists(), "a start that failed must change nothing");
    fs::write(&config, &good).unwrap();

    // A store that is none.
    fs::create_dir(dir.path().join("data")).unwrap();
    fs::write(
        dir.path().join("data/lockgate.db"),
        "this is not a database, and it is long enough to have a header\n".repeat(20),
    )
    .unwrap();
    cannot_start(&config, "damaged or not a lockgate store");
}

#[test]
fn a_closed_pipe_ends_quietly() {
    let mut child = lockgate(&["schema"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!((code(&output), stderr(&output)), (0, String::new()));
}

#[test]
fn schemas_and_completions_are_printed() {
    let schema: serde_json::Value = serde_json::from_slice(&run(&["schema"]).stdout).unwrap();
    assert!(schema["properties"]["targets"].is_object());
    assert!(stdout(&run(&["schema", "policies"])).contains("entity Target"));
    for shell in ["bash", "zsh", "fish"] {
        assert!(stdout(&run(&["completions", shell])).contains("lockgate"), "{shell}");
    }
}
