//! `lockgate connect`: the native client, unchanged, with host, port, user and credential filled in.

use crate::cli::{ConnectArgs, Global};
use crate::client::Client;
use crate::exit::{Code, Ended};
use crate::place;
use crate::verbs::account::{Me, TargetView};
use lockgate_core::Database;
use std::io::ErrorKind;
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode};

/// The port that a gateway listens on for PostgreSQL clients unless something says otherwise.
const POSTGRES_PORT: u16 = 6432;

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
        // A client that falls back to clear text would show the token to whoever listens.
        .env("PGSSLMODE", "require")
        .env_remove("LOCKGATE_TOKEN")
        .args(&args.client);
    if let Some(ca) = &global.ca {
        psql.env("PGSSLROOTCERT", ca).env("PGSSLMODE", "verify-full");
    }
    let error = psql.exec();
    Err(match error.kind() {
        ErrorKind::NotFound => Ended::new(Code::Failed, "psql is not installed")
            .with_hint("install it: apt-get install postgresql-client")
            .into(),
        _ => anyhow::Error::new(error).context("psql cannot be started"),
    })
}

/// On the gateway's machine the configuration knows the port.
fn port_here(global: &Global) -> Option<u16> {
    let path = place::usual(global)?;
    let (loaded, _) = place::load_here(&path).ok()?;
    loaded.config.listen.postgres.map(|address| address.port())
}
