//! The gateway under test: the built binary with a configuration and policies of the test's own.

use crate::places;
use crate::process::{self, Scratch, eventually, mortal, run};
use crate::wire::{Client, Frame};
use serde_json::Value;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

/// What a test says about its gateway; the rest has values that suit most tests.
#[derive(Clone, Debug)]
pub struct GatewayOptions {
    /// The target's port on 127.0.0.1.
    pub target_port: u16,
    /// The database of target `shop`.
    pub database: String,
    /// More keys of the target, each line indented by four spaces. Its TLS mode must be among them.
    pub target_extra: String,
    /// Top-level YAML in addition: `classify:`, `limits:`, `approvals:`.
    pub extra: String,
    /// More keys of `identity`, each line indented by two spaces and ended.
    pub identity: String,
    /// The policy file `policies/test.cedar`.
    pub policies: String,
    /// Where data goes, if not next to the configuration.
    pub data_dir: Option<PathBuf>,
    /// Environment variables of the gateway.
    pub environment: Vec<(String, String)>,
}

/// A running gateway.
#[derive(Debug)]
pub struct Gateway {
    /// PostgreSQL clients connect here.
    pub port: u16,
    /// API and console.
    pub https_port: u16,
    /// Prometheus.
    pub metrics_port: u16,
    options: GatewayOptions,
    dir: Scratch,
    child: Option<Child>,
}

impl Gateway {
    /// Writes configuration and policies, starts the gateway and waits until it accepts.
    pub fn start(options: GatewayOptions) -> Gateway {
        let mut this = Gateway::prepare(options);
        this.resume();
        this
    }

    /// Writes configuration and policies only.
    pub fn prepare(options: GatewayOptions) -> Gateway {
        let dir = Scratch::make();
        let [port, https_port, metrics_port] = std::array::from_fn(|_| process::free_port());
        let this = Gateway { port, https_port, metrics_port, options, dir, child: None };
        std::fs::create_dir(this.dir.path().join("policies")).expect("a new directory");
        std::fs::write(this.policy_file(), &this.options.policies).expect("a new file");
        std::fs::write(this.config(), this.yaml()).expect("a new file");
        this
    }

    fn yaml(&self) -> String {
        let GatewayOptions { target_port, database, target_extra, extra, identity, data_dir, .. } = &self.options;
        let data = data_dir.as_ref().map_or("./data".to_owned(), |dir| dir.display().to_string());
        let Gateway { port, https_port, metrics_port, .. } = self;
        format!(
            "data_dir: {data}\npolicies: policies/\nlisten:\n  postgres: 127.0.0.1:{port}\n  https: 127.0.0.1:{https_port}\n  \
             metrics: 127.0.0.1:{metrics_port}\nidentity:\n  admins: [group:platform]\n{identity}targets:\n  - name: shop\n    \
             protocol: postgres\n    address: 127.0.0.1:{target_port}\n    database: {database}\n    username: {role}\n    \
             password: ${{env:TEST_TARGET_PASSWORD}}\n{target_extra}\n{extra}\n",
            role = crate::postgres::ROLE,
        )
    }

    /// Starts it again after [`Gateway::kill`] or [`Gateway::stop`].
    pub fn resume(&mut self) {
        let (log, said_before) = (self.log_file(), self.log().len());
        self.launch();
        let limit = Duration::from_secs(30);
        // It binds its ports before it opens or makes anything else.
        eventually_or_else(
            limit,
            || self.fails_to_start(),
            || {
                let said = std::fs::read_to_string(&log).unwrap_or_default();
                said.get(said_before..).is_some_and(|said| said.contains("metrics at http://"))
            },
        );
        for port in [self.port, self.https_port] {
            eventually_or_else(
                limit,
                || self.fails_to_start(),
                || std::net::TcpStream::connect(("127.0.0.1", port)).is_ok(),
            );
        }
    }

    fn fails_to_start(&mut self) -> Option<String> {
        let ended = self.child.as_mut()?.try_wait().expect("a child can be waited for")?;
        Some(format!("the gateway ended with {ended}:\n{}\nconfiguration:\n{}", self.log(), self.yaml()))
    }

    /// Starts the process and does not wait for it to accept.
    pub fn launch(&mut self) {
        assert!(self.child.is_none(), "it runs");
        let log = std::fs::OpenOptions::new().create(true).append(true).open(self.log_file()).expect("a log file");
        let mut command = mortal("KILL", &places::lockgate(), None);
        command.args(["serve", "-c"]).arg(self.config()).current_dir(self.dir.path());
        command.env("TEST_TARGET_PASSWORD", crate::postgres::PASSWORD).envs(self.options.environment.iter().cloned());
        command.stdin(Stdio::null()).stdout(log.try_clone().expect("a file handle")).stderr(log);
        self.child = Some(process::spawn(command));
    }

    /// Waits for the process to end by itself; its exit code.
    pub fn wait(&mut self, limit: Duration) -> Option<i32> {
        let child = self.child.as_mut().expect("it was launched");
        assert!(process::ends_within(child, limit), "the gateway did not end within {limit:?}:\n{}", self.log());
        self.child.take().and_then(|mut child| child.wait().expect("it ended").code())
    }

    /// `kill -9`.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// SIGTERM; the exit code.
    pub fn stop(&mut self) -> Option<i32> {
        process::signal(self.pid(), "TERM");
        self.wait(Duration::from_secs(40))
    }

    /// SIGHUP: read configuration and policies again.
    pub fn reload(&self) {
        process::signal(self.pid(), "HUP");
    }

    /// The process id.
    pub fn pid(&self) -> u32 {
        self.child.as_ref().expect("the gateway runs").id()
    }

    /// Whether the process is there.
    pub fn is_alive(&mut self) -> bool {
        self.child.as_mut().is_some_and(|child| child.try_wait().expect("a child can be waited for").is_none())
    }

    /// Resident memory in KiB.
    pub fn resident_kib(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid())).expect("it runs");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("VmRSS");
        line.trim().trim_end_matches(" kB").parse().expect("a number")
    }

    /// Everything it wrote to its log.
    pub fn log(&self) -> String {
        String::from_utf8_lossy(&std::fs::read(self.log_file()).unwrap_or_default()).into_owned()
    }

    fn log_file(&self) -> PathBuf {
        self.dir.path().join("gateway.log")
    }

    /// The configuration file.
    pub fn config(&self) -> PathBuf {
        self.dir.path().join("lockgate.yaml")
    }

    /// The policy file.
    pub fn policy_file(&self) -> PathBuf {
        self.dir.path().join("policies/test.cedar")
    }

    /// The data directory.
    pub fn data_dir(&self) -> PathBuf {
        self.options.data_dir.clone().unwrap_or_else(|| self.dir.path().join("data"))
    }

    /// The directory of configuration, policies and logs.
    pub fn home(&self) -> &Path {
        self.dir.path()
    }

    /// `lockgate VERB… -c CONFIG`: on the gateway's machine, without a login.
    pub fn here(&self, args: &[&str]) -> Output {
        let mut command = Command::new(places::lockgate());
        command.env("TEST_TARGET_PASSWORD", crate::postgres::PASSWORD).current_dir(self.dir.path());
        process::output(command.args(args).arg("-c").arg(self.config()))
    }

    /// [`Gateway::here`], which has to succeed; standard output.
    pub fn here_ok(&self, args: &[&str]) -> String {
        let output = self.here(args);
        assert!(output.status.success(), "lockgate {args:?}: {}\n{}", output.status, process::text(&output));
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// `lockgate VERB…` over the API with a token.
    pub fn as_user(&self, token: &str, args: &[&str]) -> Output {
        let mut command = Command::new(places::lockgate());
        command.env("LOCKGATE_URL", self.url()).env("LOCKGATE_TOKEN", token).env("LOCKGATE_CA", self.authority());
        process::output(command.args(args).current_dir("/"))
    }

    /// Where the API is.
    pub fn url(&self) -> String {
        format!("https://127.0.0.1:{}", self.https_port)
    }

    /// The certificate of the gateway's authority, in a file.
    pub fn authority(&self) -> PathBuf {
        let file = self.dir.path().join("ca.pem");
        if !file.exists() {
            let pem = self.here_ok(&["ca"]);
            // Written whole or not at all: several threads of a test may ask at once.
            let fresh = self.dir.path().join(format!("ca.pem.{:?}", std::thread::current().id()));
            std::fs::write(&fresh, pem).expect("a new file");
            std::fs::rename(&fresh, &file).expect("the same directory");
        }
        file
    }

    /// A token for `user` in `groups`.
    pub fn token(&self, user: &str, groups: &[&str]) -> String {
        self.token_with(user, groups, &[])["token"].as_str().expect("a token").to_owned()
    }

    /// The answer of `token create` with more flags.
    pub fn token_with(&self, user: &str, groups: &[&str], flags: &[&str]) -> Value {
        let mut args = vec!["token", "create", "--user", user, "-o", "json"];
        for group in groups {
            args.extend(["--group", group]);
        }
        args.extend(flags);
        let printed = self.here_ok(&args);
        serde_json::from_str(&printed).unwrap_or_else(|error| panic!("{error}: {printed}"))
    }

    /// What libpq is told to connect as `user` to target `shop`.
    pub fn conninfo(&self, user: &str) -> String {
        format!("host=127.0.0.1 port={} dbname=shop user={user} connect_timeout=20", self.port)
    }

    /// `psql` through the gateway, with verbose errors.
    pub fn psql(&self, user: &str, token: &str) -> Command {
        let mut psql = Command::new(places::psql());
        psql.env("PGPASSWORD", token).arg(self.conninfo(user)).args(["-X", "-v", "VERBOSITY=verbose"]);
        psql
    }

    /// Runs SQL through the gateway; panics if it fails. Unaligned rows.
    pub fn query(&self, user: &str, token: &str, sql: &str) -> String {
        run(self.psql(user, token).args(["-At", "-v", "ON_ERROR_STOP=1", "-c", sql])).trim_end().to_owned()
    }

    /// Runs SQL through the gateway, which has to fail; everything psql said.
    pub fn refused(&self, user: &str, token: &str, sql: &str) -> String {
        let output = process::output(self.psql(user, token).args(["-At", "-v", "ON_ERROR_STOP=1", "-c", sql]));
        assert!(!output.status.success(), "was not refused: {sql}\n{}", process::text(&output));
        process::text(&output)
    }

    /// The FATAL error that a login gets; panics if it is let in. psql does not print the SQLSTATE of such errors.
    pub fn refuses_login(&self, user: &str, token: &str) -> Frame {
        match Client::login_with(self.port, &[("user", user), ("database", "shop")], token) {
            Err(error) => error,
            Ok(_) => panic!("{user} was let in"),
        }
    }

    /// `audit verify`; panics with its words if it finds anything.
    pub fn verify(&self) {
        self.here_ok(&["audit", "verify"]);
    }

    /// Every event of every session, one JSON object each.
    pub fn events(&self) -> Vec<Value> {
        let lines = self.here_ok(&["audit", "export"]);
        lines.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}"))).collect()
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("--- the gateway's log, its last lines:");
            let log = self.log();
            let lines: Vec<&str> = log.lines().collect();
            lines[lines.len().saturating_sub(40)..].iter().for_each(|line| eprintln!("{line}"));
        } else {
            let log = self.log();
            assert!(!log.contains("panicked at"), "the gateway panicked:\n{log}");
        }
        self.kill();
    }
}

fn eventually_or_else(limit: Duration, mut failed: impl FnMut() -> Option<String>, mut so: impl FnMut() -> bool) {
    eventually("the gateway accepts", limit, || {
        if let Some(why) = failed() {
            panic!("{why}");
        }
        so()
    });
}

/// Holds the write lock of a gateway's store until it is dropped, as another process.
pub struct StoreLock(Child);

impl StoreLock {
    /// Takes the lock of the store in this data directory, for a minute at most.
    pub fn hold(data_dir: &Path) -> Self {
        let script = "import sqlite3, sys, time; c = sqlite3.connect(sys.argv[1], isolation_level=None); \
             c.execute('BEGIN EXCLUSIVE'); print('held', flush=True); time.sleep(60)";
        let mut command = Command::new("python3");
        command.args(["-c", script]).arg(data_dir.join("lockgate.db"));
        let mut child = command.stdout(Stdio::piped()).stdin(Stdio::null()).spawn().expect("python3 is installed");
        let mut told = [0; 4];
        child.stdout.as_mut().expect("a pipe").read_exact(&mut told).expect("the lock is taken");
        StoreLock(child)
    }
}

impl Drop for StoreLock {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
