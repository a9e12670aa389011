//! `lockgate serve`: settings, build, bind, say what is bound, wait, drain.

use crate::cli::Global;
use crate::gateway::{self, Gateway};
use crate::{place, protocols, when};
use anyhow::Context;
use lockgate_core::Places;
use lockgate_relay::Accepted;
use lockgate_relay::listener;
use lockgate_session::wire::{Cut, Protocol};
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;
use tokio::time::Instant;

/// How often a draining gateway looks whether all have gone.
const DRAIN_LOOK: Duration = Duration::from_millis(50);

/// Runs the gateway until it is told to stop.
pub async fn run(global: &Global) -> anyhow::Result<ExitCode> {
    let path = place::config_path(global)?;
    let loaded = place::load(&path).map_err(place::mistakes)?;
    for warning in &loaded.warnings {
        tracing::warn!("{warning}");
    }
    let (listen, sources) = (loaded.config.listen.clone(), loaded.sources.clone());
    let url = gateway::public_url(&loaded.config);
    let drain = Duration::from_millis(loaded.config.limits.drain_ms_max);
    let (preauth_max, preauth_per_source_max) =
        (loaded.config.limits.preauth_max, loaded.config.limits.preauth_per_source_max);
    // Heard from the first moment on: without a listener each of these ends the process.
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let hangup = signal(SignalKind::hangup())?;

    // Bound before anything is opened: a port in use must change nothing on the disk.
    let mut bound = Vec::new();
    for (address, protocol) in protocols::listening(&listen, &url) {
        bound.push((bind(address, protocol.name()).await?, protocol));
    }
    let https = bind_optional(listen.https, "https").await?;
    let metrics = bind_optional(listen.metrics, "metrics").await?;
    anyhow::ensure!(!bound.is_empty() || https.is_some(), "nothing to listen on: `listen` names no address");

    let gateway = Gateway::build(loaded, path.clone()).await?;
    let (stop, stopped) = watch::channel(false);
    // Before anybody is let in: what happens earlier would not be counted.
    if let Some(tcp) = metrics {
        tracing::info!("metrics at http://{}/metrics", shown(&tcp));
        gateway.serve_metrics(tcp, stopped.clone())?;
    }
    let preauth = Arc::new(Places::new(preauth_max, preauth_per_source_max).with_many_on_loopback());
    for (tcp, protocol) in bound {
        tracing::info!("{} clients at {}", protocol.name(), shown(&tcp));
        tokio::spawn(accept(Arc::clone(&gateway), tcp, protocol, Arc::clone(&preauth), stopped.clone()));
    }
    if let Some(tcp) = https {
        tracing::info!("API at https://{}", shown(&tcp));
        gateway.serve_api(tcp, stopped.clone());
    }
    gateway.start_tasks();
    let reloads = tokio::spawn(gateway::watch(Arc::clone(&gateway), sources, hangup));
    gateway.set_ready(true);
    tracing::info!("ready, with {} and data in {}", place::shown(&path), place::shown(&gateway.config().data_dir));

    let reason = told_to_stop(&mut terminate, &mut interrupt).await;
    tracing::info!("{reason}: waiting up to {} s for sessions to end", drain.as_secs());
    gateway.set_ready(false);
    reloads.abort();
    // Nobody listens any more if this fails.
    let _ = stop.send(true);
    let code = tokio::select! {
        () = drained(&gateway, drain) => ExitCode::SUCCESS,
        again = told_to_stop(&mut terminate, &mut interrupt) => {
            tracing::warn!("{again} again: not waiting any longer");
            ExitCode::FAILURE
        }
    };
    gateway.finish(reason).await;
    Ok(code)
}

async fn told_to_stop(terminate: &mut Signal, interrupt: &mut Signal) -> &'static str {
    tokio::select! {
        _ = terminate.recv() => "SIGTERM",
        _ = interrupt.recv() => "SIGINT",
    }
}

/// Lets what runs finish, cuts what remains when the time is over.
async fn drained(gateway: &Gateway, at_most: Duration) {
    let deadline = Instant::now() + at_most;
    let stopping = |after_request| Cut { reason: "the gateway is stopping".to_owned(), after_request };
    loop {
        let last = Instant::now() >= deadline;
        for session in gateway.live().list() {
            gateway.live().cut(session.id, stopping(!last));
        }
        if gateway.live().is_empty() {
            return;
        }
        if last {
            tracing::warn!("{} sessions had not ended", gateway.live().len());
            tokio::time::sleep(DRAIN_LOOK * 4).await;
            return;
        }
        tokio::time::sleep(DRAIN_LOOK).await;
    }
}

async fn accept(
    gateway: Arc<Gateway>,
    tcp: TcpListener,
    protocol: Arc<dyn Protocol>,
    preauth: Arc<Places>,
    stopped: watch::Receiver<bool>,
) {
    listener::accept(tcp, preauth, stopped, |tcp, peer, place| {
        let wire = protocol.accept(peer, true);
        let accepted = Accepted { tcp, peer, wire, protocol: protocol.name(), preauth: place };
        // Before anything of it is read: who has guessed too much here queues, and a flood from there costs no handshakes.
        let Some(wait_ms) = gateway.late().turn_ms(peer.ip(), when::now()) else {
            tracing::debug!(%peer, "refused: too many connections of a source that guesses");
            return;
        };
        let gateway = Arc::clone(&gateway);
        tokio::spawn(async move {
            if wait_ms > 0 {
                tokio::time::sleep(Duration::from_millis(wait_ms)).await;
            }
            lockgate_relay::drive(gateway, accepted).await;
        });
    })
    .await;
}

async fn bind_optional(address: Option<SocketAddr>, name: &str) -> anyhow::Result<Option<TcpListener>> {
    match address {
        Some(address) => Ok(Some(bind(address, name).await?)),
        None => Ok(None),
    }
}

async fn bind(address: SocketAddr, name: &str) -> anyhow::Result<TcpListener> {
    TcpListener::bind(address).await.map_err(|error| match error.kind() {
        ErrorKind::AddrInUse => anyhow::anyhow!(
            "another process listens on {address} already: stop it, or change `listen.{name}` in the configuration"
        ),
        ErrorKind::AddrNotAvailable => {
            anyhow::anyhow!("{address} is no address of this machine: change `listen.{name}` in the configuration")
        }
        _ => anyhow::Error::new(error).context(format!("cannot listen on {address} (`listen.{name}`)")),
    })
}

fn shown(tcp: &TcpListener) -> String {
    tcp.local_addr().context("no address").map_or_else(|error| error.to_string(), |address| address.to_string())
}
