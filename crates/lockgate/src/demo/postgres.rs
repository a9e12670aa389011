//! A PostgreSQL server of our own for the length of the show: made, started, filled, and stopped with us.
//!
//! It listens on loopback only and with a random password. It dies with this process even if that is killed
//! (`setpriv --pdeathsig`), because a show that leaves servers behind is worse than none.

use super::data::Shop;
use anyhow::{Context, bail};
use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;
use tokio::process::{Child, Command};

const SCHEMA: &str = include_str!("schema.sql");
const START_SECONDS_MAX: u64 = 60;

/// A running server; killed when dropped.
pub struct ThrowAwayPostgres {
    /// The port on 127.0.0.1.
    pub port: u16,
    /// The superuser's password.
    pub password: String,
    /// `PostgreSQL 15.18`.
    pub version: String,
    server: Child,
}

impl ThrowAwayPostgres {
    /// Makes a cluster below `scratch` and starts it. As root the server runs as user `postgres`, since it refuses root.
    pub async fn start(bin: Option<&Path>, scratch: &Path) -> anyhow::Result<Self> {
        let bin = match bin {
            Some(given) => given.to_owned(),
            None => newest_server_programs()?,
        };
        let cluster = scratch.join("postgres");
        std::fs::create_dir(&cluster)?;
        let secret = scratch.join("postgres.password");
        let password = random_hex()?;
        std::fs::write(&secret, &password)?;
        let as_root = std::fs::metadata("/proc/self")?.uid() == 0;
        if as_root {
            run(Command::new("chown").arg("postgres").args([&cluster, &secret])).await?;
        }
        let mut initdb = unprivileged(as_root, &bin.join("initdb"));
        initdb.arg("-D").arg(&cluster).arg("--pwfile").arg(&secret);
        initdb.args(["-U", "postgres", "-A", "scram-sha-256", "--no-sync", "-E", "UTF8", "--locale=C.UTF-8"]);
        run(&mut initdb).await.context("initdb failed")?;

        let port = free_port()?;
        let log = std::fs::File::create(scratch.join("postgres.log"))?;
        let server = unprivileged(as_root, &bin.join("postgres"))
            .arg("-D")
            .arg(&cluster)
            .args(["-p", &port.to_string(), "-c", "listen_addresses=127.0.0.1", "-c", "unix_socket_directories="])
            .args([
                "-c",
                "fsync=off",
                "-c",
                "synchronous_commit=off",
                "-c",
                "full_page_writes=off",
                "-c",
                "max_wal_size=2GB",
            ])
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .kill_on_drop(true)
            .spawn()
            .context("the server could not be started")?;
        let mut this = ThrowAwayPostgres { port, password, version: String::new(), server };
        this.version = this.wait_until_ready(scratch).await?;
        Ok(this)
    }

    async fn wait_until_ready(&mut self, scratch: &Path) -> anyhow::Result<String> {
        let deadline = tokio::time::Instant::now() + Duration::from_secs(START_SECONDS_MAX);
        loop {
            let asked = self.psql("postgres").args(["-Atc", "SHOW server_version"]).output().await?;
            if asked.status.success() {
                let text = String::from_utf8_lossy(&asked.stdout).into_owned();
                return Ok(format!("PostgreSQL {}", text.split_whitespace().next().unwrap_or("")));
            }
            let ended = self.server.try_wait()?;
            if ended.is_some() || tokio::time::Instant::now() > deadline {
                let log = std::fs::read_to_string(scratch.join("postgres.log")).unwrap_or_default();
                bail!("the throw-away PostgreSQL did not start; its log says:\n{log}");
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// `psql` connected directly, around the gateway, as the superuser.
    pub fn psql(&self, database: &str) -> Command {
        let mut psql = Command::new("psql");
        psql.env("PGPASSWORD", &self.password).env("PGCONNECT_TIMEOUT", "10");
        psql.arg(format!("host=127.0.0.1 port={} user=postgres dbname={database}", self.port));
        psql.args(["-X", "-v", "ON_ERROR_STOP=1"]).stdin(Stdio::null()).kill_on_drop(true);
        psql
    }

    /// The only value that a direct query yields.
    pub async fn value(&self, sql: &str) -> anyhow::Result<String> {
        let output = run(self.psql("shop").args(["-At", "-c", sql])).await?;
        Ok(output.trim().to_owned())
    }
}

/// Fills the shop: schema, then every table by COPY, then what a shop's database has after a night (statistics, a view).
pub async fn load(server: &ThrowAwayPostgres, shop: Shop) -> anyhow::Result<()> {
    run(server.psql("postgres").args(["-qc", "CREATE DATABASE shop"])).await?;
    // COPY's own text is the largest part by far, so it is made while psql reads it, in a thread of its own.
    let mut psql = std::process::Command::new("psql");
    psql.env("PGPASSWORD", &server.password)
        .arg(format!("host=127.0.0.1 port={} user=postgres dbname=shop", server.port))
        .args(["-X", "-q", "-v", "ON_ERROR_STOP=1", "-f", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped());
    tokio::task::spawn_blocking(move || {
        let mut child = psql.spawn().context("psql could not be started")?;
        let stdin = child.stdin.take().context("psql has no standard input")?;
        let written = write_shop(shop, std::io::BufWriter::with_capacity(1 << 18, stdin));
        let output = child.wait_with_output()?;
        if !output.status.success() {
            bail!("psql: {}", String::from_utf8_lossy(&output.stderr).trim());
        }
        Ok(written?)
    })
    .await?
}

fn write_shop(shop: Shop, mut out: impl Write) -> std::io::Result<()> {
    out.write_all(b"BEGIN;\n")?;
    out.write_all(SCHEMA.as_bytes())?;
    out.write_all(b"\nCOPY public.customers FROM STDIN;\n")?;
    shop.write_customers(&mut out)?;
    out.write_all(b"\\.\nCOPY public.products FROM STDIN;\n")?;
    shop.write_products(&mut out)?;
    out.write_all(b"\\.\nCOPY public.orders FROM STDIN;\n")?;
    shop.write_orders(&mut out)?;
    out.write_all(b"\\.\nCOPY hr.employees FROM STDIN;\n")?;
    shop.write_employees(&mut out)?;
    out.write_all(b"\\.\nCREATE INDEX ON public.orders (customer_id);\nCOMMIT;\nANALYZE;\n")?;
    out.flush()
}

fn newest_server_programs() -> anyhow::Result<PathBuf> {
    const WHERE: &str = "/usr/lib/postgresql";
    let mut found: Vec<(u32, PathBuf)> = Vec::new();
    for entry in std::fs::read_dir(WHERE).into_iter().flatten().flatten() {
        let version = entry.file_name().to_str().and_then(|name| name.parse().ok());
        let bin = entry.path().join("bin");
        if let Some(version) = version.filter(|_| bin.join("postgres").exists()) {
            found.push((version, bin));
        }
    }
    let newest = found.into_iter().max().map(|(_, bin)| bin);
    newest.with_context(|| {
        format!(
            "no PostgreSQL server below {WHERE}: run `scripts/install demo`, or name its directory with --postgres-bin"
        )
    })
}

fn unprivileged(as_root: bool, program: &Path) -> Command {
    let mut command = Command::new("setpriv");
    if as_root {
        command.args(["--reuid=postgres", "--regid=postgres", "--init-groups"]);
    }
    // QUIT is the server's immediate shutdown: it takes its own children with it.
    command.args(["--pdeathsig", "QUIT"]).arg(program).current_dir("/");
    command
}

/// Runs to the end and yields standard output; an error carries what the program said.
pub async fn run(command: &mut Command) -> anyhow::Result<String> {
    let program = command.as_std().get_program().to_string_lossy().into_owned();
    let output =
        command.stdin(Stdio::null()).output().await.with_context(|| format!("`{program}` could not be run"))?;
    if !output.status.success() {
        bail!("`{program}` ended with {}: {}", output.status, String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// A port that was free a moment ago.
pub fn free_port() -> anyhow::Result<u16> {
    Ok(std::net::TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port())
}

fn random_hex() -> anyhow::Result<String> {
    use std::io::Read;
    let mut bytes = [0u8; 16];
    std::fs::File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}
