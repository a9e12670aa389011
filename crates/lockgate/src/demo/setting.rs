//! The gateway of the show: its configuration, its policies, its tokens, and the child process that serves.

use super::postgres::{ThrowAwayPostgres, free_port, run};
use anyhow::{Context, bail};
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::time::Duration;
use tokio::process::{Child, Command};

const START_SECONDS_MAX: u64 = 30;
/// No command of the show takes longer than this; one that does has failed.
const COMMAND_SECONDS_MAX: u64 = 60;

const POLICIES: &str = r#"// What the people of the shop may do with its database.

@id("engineers-read-and-write")
permit (
  principal in Group::"engineers",
  action in [Action::"connect", Action::"read", Action::"write"],
  resource in Target::"shop"
);

@id("dbas-change-structure")
permit (
  principal in Group::"dba",
  action in [Action::"connect", Action::"read", Action::"write", Action::"define"],
  resource in Target::"shop"
);

@id("fraud-investigates")
permit (
  principal in Group::"fraud",
  action in [Action::"connect", Action::"read"],
  resource in Target::"shop"
);

@id("fraud-sees-personal-data")
permit (principal in Group::"fraud", action == Action::"reveal", resource in Label::"pii");

@id("fraud-searches-personal-data")
@mode("any")
permit (principal in Group::"fraud", action == Action::"infer", resource in Label::"pii");

@id("mask-pii")
@mask("redact")
forbid (principal, action == Action::"reveal", resource in Label::"pii")
unless { principal in Group::"fraud" };

@id("mask-contact")
@mask("partial")
forbid (principal, action == Action::"reveal", resource in Label::"contact");

@id("no-bulk-export")
@alert("high")
forbid (principal, action == Action::"export", resource in Target::"shop");

@id("deletes-need-a-dba")
@approve("dba")
forbid (principal, action == Action::"write", resource in Target::"shop")
when { context.sql.verb == "delete" };
"#;

/// A running gateway and what it takes to use it; stopped when dropped.
pub struct Setting {
    /// The configuration file.
    pub config: PathBuf,
    /// The port that `psql` connects to.
    pub postgres_port: u16,
    /// The directory that holds configuration, policies and data.
    pub home: PathBuf,
    /// Tokens: alice (engineers), bob and dana (dba), frank (fraud), olga (platform, an administrator of Lockgate).
    tokens: Vec<(&'static str, String)>,
    url: String,
    lockgate: PathBuf,
    gateway: Child,
}

/// What `serve` says once everything is up.
const READY: &str = "ready, with ";

impl Setting {
    /// Writes the configuration below `scratch`, makes the tokens and starts the gateway.
    pub async fn start(server: &ThrowAwayPostgres, scratch: &Path) -> anyhow::Result<Self> {
        let lockgate = std::env::current_exe().context("cannot tell which program this is")?;
        let home = scratch.join("gateway");
        std::fs::create_dir_all(home.join("policies"))?;
        std::fs::write(home.join("policies/shop.cedar"), POLICIES)?;
        let (postgres_port, https_port) = (free_port()?, free_port()?);
        let config = home.join("lockgate.yaml");
        std::fs::write(&config, configuration(server, postgres_port, https_port))?;

        let mut tokens = Vec::new();
        for (user, group) in
            [("alice", "engineers"), ("bob", "dba"), ("dana", "dba"), ("frank", "fraud"), ("olga", "platform")]
        {
            let mut create = Command::new(&lockgate);
            create.args(["token", "create", "--user", user, "--group", group, "--ttl", "8h", "-o", "json", "-c"]);
            let printed = run(create.arg(&config).env("DEMO_DB_PASSWORD", &server.password)).await?;
            let json: serde_json::Value = serde_json::from_str(&printed).context("`token create` printed no JSON")?;
            let token = json.get("token").and_then(|t| t.as_str()).context("`token create` printed no token")?;
            tokens.push((user, token.to_owned()));
        }

        let log = std::fs::File::create(home.join("gateway.log"))?;
        let gateway = Command::new("setpriv")
            .args(["--pdeathsig", "TERM"])
            .arg(&lockgate)
            .args(["serve", "-c"])
            .arg(&config)
            .env("DEMO_DB_PASSWORD", &server.password)
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .kill_on_drop(true)
            .spawn()
            .context("the gateway could not be started")?;
        let url = format!("https://127.0.0.1:{https_port}");
        let mut this = Setting { config, postgres_port, home, tokens, url, lockgate, gateway };
        this.wait_until_ready().await?;
        let authority = run(&mut this.lockgate_with(&this.config, &["ca"])).await?;
        std::fs::write(this.authority(), authority)?;
        Ok(this)
    }

    async fn wait_until_ready(&mut self) -> anyhow::Result<()> {
        let deadline = tokio::time::Instant::now() + Duration::from_secs(START_SECONDS_MAX);
        // Its ports are bound before anything else is there; its last word at the start is that it is ready.
        loop {
            let log = std::fs::read_to_string(self.home.join("gateway.log")).unwrap_or_default();
            if log.contains(READY) {
                return Ok(());
            }
            if self.gateway.try_wait()?.is_some() || tokio::time::Instant::now() > deadline {
                bail!("the gateway did not start; its log says:\n{log}");
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// The token of one of the people of the show.
    pub fn token(&self, user: &str) -> &str {
        self.tokens.iter().find(|(name, _)| *name == user).map_or("", |(_, token)| token)
    }

    /// `psql` through the gateway. Errors are verbose, so that the SQLSTATE and the deciding policy are seen.
    pub fn psql(&self, user: &str) -> Command {
        let mut psql = Command::new("psql");
        psql.env("PGPASSWORD", self.token(user)).env("PGCONNECT_TIMEOUT", "10");
        psql.arg(format!("host=127.0.0.1 port={} user={user} dbname=shop", self.postgres_port));
        psql.args(["-X", "-P", "pager=off", "-v", "VERBOSITY=verbose"]).stdin(Stdio::null()).kill_on_drop(true);
        psql
    }

    /// `lockgate VERB…` as one of the people of the show.
    pub fn lockgate(&self, user: &str, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.lockgate);
        command.args(arguments).env("LOCKGATE_URL", &self.url).env("LOCKGATE_TOKEN", self.token(user));
        command.env("LOCKGATE_CA", self.authority()).stdin(Stdio::null()).kill_on_drop(true);
        command
    }

    fn authority(&self) -> PathBuf {
        self.home.join("ca.pem")
    }

    /// `lockgate VERB…` on the gateway's machine, without a login, with any configuration.
    pub fn lockgate_with(&self, config: &Path, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.lockgate);
        // The configuration names this variable; the commands read the file without using the password.
        command.env("DEMO_DB_PASSWORD", "not-needed-here").args(arguments).arg("-c").arg(config);
        command.stdin(Stdio::null()).kill_on_drop(true);
        command
    }

    /// How to approve, as a line for another terminal.
    pub fn lines_to_approve(&self) -> String {
        format!(
            "LOCKGATE_URL={} LOCKGATE_CA={} LOCKGATE_TOKEN={} {} approvals list    (then: approvals approve ID)",
            self.url,
            self.authority().display(),
            self.token("dana"),
            self.lockgate.display(),
        )
    }

    /// Waits until the gateway ends, which it does not do by itself.
    pub async fn wait(mut self) -> anyhow::Result<()> {
        let status = self.gateway.wait().await?;
        bail!("the gateway ended with {status}")
    }
}

/// Runs a command to its end, however that is; one that hangs is an error.
pub async fn finish(command: &mut Command) -> anyhow::Result<Output> {
    let program = command.as_std().get_program().to_string_lossy().into_owned();
    tokio::time::timeout(Duration::from_secs(COMMAND_SECONDS_MAX), command.output())
        .await
        .with_context(|| format!("`{program}` did not end within {COMMAND_SECONDS_MAX} seconds"))?
        .with_context(|| format!("`{program}` could not be run"))
}

fn configuration(server: &ThrowAwayPostgres, postgres_port: u16, https_port: u16) -> String {
    format!(
        r#"# The gateway of `lockgate demo`.
data_dir: ./data
policies: policies/

listen:
  postgres: 127.0.0.1:{postgres_port}
  https: 127.0.0.1:{https_port}

identity:
  admins: [group:platform]

targets:
  - name: shop
    protocol: postgres
    address: 127.0.0.1:{port}
    database: shop
    username: postgres
    password: ${{env:DEMO_DB_PASSWORD}}
    tls: disable

classify:
  - label: pii/ssn
    columns: [shop/public.customers.ssn, shop/hr.employees.national_id]
  - label: pii/card
    columns: [shop/public.customers.card]
  - label: pii/birth
    columns: [shop/public.customers.born, shop/hr.employees.born]
  - label: pii/salary
    columns: [shop/hr.employees.salary]
  - label: contact/email
    columns: [shop/public.customers.email, shop/hr.employees.email]
  - label: contact/phone
    columns: [shop/public.customers.phone]

approvals:
  timeout: 5m
"#,
        port = server.port
    )
}
