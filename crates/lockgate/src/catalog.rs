//! The catalog of a target, asked over a connection of its own: for `lockgate explain`, which has no session to ask on.

use anyhow::Context;
use lockgate_relay::{Route, tls};
use lockgate_sql::catalog_query::{FactsBuilder, SNAPSHOT_SQL, VERSION_SQL};
use lockgate_sql::facts::CatalogFacts;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_postgres::config::SslMode;
use tokio_postgres::{Client, Config, NoTls, SimpleQueryMessage, SimpleQueryRow};

/// How long the target may take for everything.
const ANSWER: Duration = Duration::from_secs(10);
/// PostgreSQL 18 documentation, 54.7, SSLRequest.
const SSL_REQUEST: [u8; 8] = [0, 0, 0, 8, 4, 210, 22, 47];

/// Asks for the catalog.
///
/// # Errors
/// When the target cannot be reached, does not let the gateway's role in, or answers nonsense.
pub async fn ask(route: &Route) -> anyhow::Result<CatalogFacts> {
    tokio::time::timeout(ANSWER, connect_and_ask(route)).await.context("it did not answer in time")?
}

async fn connect_and_ask(route: &Route) -> anyhow::Result<CatalogFacts> {
    let mut tcp = TcpStream::connect((route.host.as_str(), route.port)).await?;
    let Some(config) = &route.tls else { return login_and_ask(tcp, route).await };
    tcp.write_all(&SSL_REQUEST).await?;
    anyhow::ensure!(tcp.read_u8().await? == b'S', "it offers no TLS");
    let name = tls::server_name(&route.host).map_err(anyhow::Error::msg)?;
    let stream = tokio_rustls::TlsConnector::from(config.clone()).connect(name, tcp).await?;
    login_and_ask(stream, route).await
}

async fn login_and_ask<S>(stream: S, route: &Route) -> anyhow::Result<CatalogFacts>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let mut config = Config::new();
    config
        .user(&route.username)
        .password(route.password.expose())
        .dbname(&route.database)
        .application_name("lockgate explain")
        // The stream is inside TLS already where the configuration asks for it.
        .ssl_mode(SslMode::Disable);
    let (client, connection) = config.connect_raw(stream, NoTls).await?;
    let driven = tokio::spawn(connection);
    let facts = read(&client).await;
    driven.abort();
    facts
}

async fn read(client: &Client) -> anyhow::Result<CatalogFacts> {
    let version = rows(client, VERSION_SQL).await?;
    let version = version.first().and_then(|row| row.get(0)).context("the catalog has no version")?;
    let mut facts = FactsBuilder::new(version);
    for (question, sql) in SNAPSHOT_SQL.iter().enumerate() {
        for row in rows(client, sql).await? {
            let cells: Vec<Option<&[u8]>> = (0..row.len()).map(|at| row.get(at).map(str::as_bytes)).collect();
            facts.row(question, &cells)?;
        }
    }
    Ok(facts.finish()?)
}

async fn rows(client: &Client, sql: &str) -> anyhow::Result<Vec<SimpleQueryRow>> {
    let messages = client.simple_query(sql).await?;
    let row = |message| match message {
        SimpleQueryMessage::Row(row) => Some(row),
        _ => None,
    };
    Ok(messages.into_iter().filter_map(row).collect())
}
