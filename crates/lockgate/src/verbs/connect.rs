//! `lockgate connect`: the native client, unchanged, with host, port, user and credential filled in.

use crate::cli::{ConnectArgs, Global};
use crate::client::Client;
use crate::exit::{Code, Ended};
use crate::place;
use crate::verbs::account::{Me, TargetView};
use lockgate_core::Database;
use std::io::ErrorKind;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Command, ExitCode};

/// The port that a gateway listens on for PostgreSQL clients unless something says otherwise.
const POSTGRES_PORT: u16 = 6432;
/// Where systems keep the authorities that they trust, in one file.
const SYSTEM_AUTHORITIES: [&str; 4] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
];

/// Replaces this process by the client.
pub async fn run(global: &Global, args: ConnectArgs) -> anyhow::Result<ExitCode> {
    let database: Database = args.target.parse().map_err(|error| Ended::new(Code::Usage, format!("{error}")))?;
    let client = Client::new(global)?;
    let me: Me = client.get("/api/v1/whoami", &[]).await?;
    let targets: Vec<TargetView> = client.list("/api/v1/targets", "targets", &[], "after", usize::MAX).await?;
    if !targets.iter().any(|target| target.name == database.target.as_str()) {
        let ended = Ended::new(
            Code::Denied,
            format!("target \"{}\" does not exist, or no policy lets you connect to it", database.target),
        );
        return Err(ended.with_hint("see what you may use: lockgate targets").into());
    }
    let port = args.port.or_else(|| port_here(global)).unwrap_or(POSTGRES_PORT);
    let token = client.token()?;
    let mut psql = Command::new("psql");
    // In the environment: arguments can be read by everybody on the machine.
    psql.env("PGPASSWORD", token.expose())
        .env("PGHOST", client.host())
        .env("PGPORT", port.to_string())
        .env("PGUSER", &me.identity.user)
        .env("PGDATABASE", &args.target)
        // What the token is shown to is the gateway that was just asked, and nobody in between.
        .env("PGSSLMODE", "verify-full")
        .env("PGSSLROOTCERT", authorities(global))
        .env_remove("LOCKGATE_TOKEN")
        .args(&args.client);
    let error = psql.exec();
    Err(match error.kind() {
        ErrorKind::NotFound => Ended::new(Code::Failed, "psql is not installed")
            .with_hint("install it: apt-get install postgresql-client")
            .into(),
        _ => anyhow::Error::new(error).context("psql cannot be started"),
    })
}

/// What libpq verifies the gateway by: the same authorities as its API was verified by.
fn authorities(global: &Global) -> PathBuf {
    let of_the_system = || SYSTEM_AUTHORITIES.iter().map(PathBuf::from).find(|file| file.exists());
    // Since version 16 libpq knows for itself where the system has them.
    place::authority_file(global).or_else(of_the_system).unwrap_or_else(|| PathBuf::from("system"))
}

/// On the gateway's machine the configuration knows the port.
fn port_here(global: &Global) -> Option<u16> {
    let path = place::usual(global)?;
    let (loaded, _) = place::load_here(&path).ok()?;
    loaded.config.listen.postgres.map(|address| address.port())
}
