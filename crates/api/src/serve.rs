//! Accepting connections for the API and for metrics. Every wait and every count here has a limit.

use crate::state::{PeerAddr, Readiness};
use axum::http::StatusCode;
use axum::routing::get;
use axum::{Extension, Router};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use lockgate_core::limits;
use metrics_exporter_prometheus::PrometheusHandle;
use std::collections::HashMap;
use std::future::Future;
use std::net::IpAddr;
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_rustls::TlsAcceptor;

/// How long a stopping API waits for answers that are under way.
const DRAIN: Duration = Duration::from_secs(5);
/// Pause after an accept that failed, which it does when the process has no more file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// Requests at once on one HTTP/2 connection.
const STREAMS_MAX: u32 = 32;

/// Serves `router` over TLS until `shutdown`, then waits shortly for answers that are under way.
pub async fn serve<S>(listener: TcpListener, tls: Arc<rustls::ServerConfig>, router: Router, shutdown: S)
where
    S: Future<Output = ()> + Send,
{
    let mut tls = (*tls).clone();
    tls.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    accept(listener, Some(TlsAcceptor::from(Arc::new(tls))), router, shutdown).await;
}

/// Serves `router` without TLS; for the metrics listener, which carries no token and no data.
pub async fn serve_plain<S>(listener: TcpListener, router: Router, shutdown: S)
where
    S: Future<Output = ()> + Send,
{
    accept(listener, None, router, shutdown).await;
}

/// What the metrics listener answers: `/metrics` in Prometheus' text format, and `/ready` for who has no TLS.
pub fn metrics_router(handle: PrometheusHandle, readiness: Arc<dyn Readiness>) -> Router {
    let ready = async move || match readiness.ready().await {
        Ok(()) => (StatusCode::OK, "ready\n".to_owned()),
        Err(why) => (StatusCode::SERVICE_UNAVAILABLE, format!("{why}\n")),
    };
    let metrics = async move || {
        handle.run_upkeep();
        ([("content-type", "text/plain; version=0.0.4; charset=utf-8")], handle.render())
    };
    Router::new().route("/metrics", get(metrics)).route("/ready", get(ready))
}

async fn accept<S>(listener: TcpListener, tls: Option<TlsAcceptor>, router: Router, shutdown: S)
where
    S: Future<Output = ()> + Send,
{
    let mut shutdown = pin!(shutdown);
    let graceful = GracefulShutdown::new();
    let slots = Arc::new(Semaphore::new(limits::API_CONNECTIONS_MAX));
    let sources = Arc::new(Sources::default());
    loop {
        let accepted = tokio::select! {
            () = &mut shutdown => break,
            accepted = listener.accept() => accepted,
        };
        let (stream, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(e) => {
                tracing::warn!(error = %e, "cannot accept a connection to the API");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        // Beyond the limits a connection is closed at once: the caller tries again, and those inside go on.
        let (Ok(slot), Some(place)) = (slots.clone().try_acquire_owned(), sources.enter(peer.ip())) else { continue };
        let service = router.clone().layer(Extension(PeerAddr(peer)));
        let (tls, watcher) = (tls.clone(), graceful.watcher());
        tokio::spawn(async move {
            let _held = (slot, place);
            match tls {
                None => answer(stream, service, watcher).await,
                Some(tls) => {
                    if let Some(stream) = handshake(&tls, stream).await {
                        answer(stream, service, watcher).await;
                    }
                }
            }
        });
    }
    drop(listener);
    if tokio::time::timeout(DRAIN, graceful.shutdown()).await.is_err() {
        tracing::info!("connections to the API were cut after {DRAIN:?}");
    }
}

async fn handshake(tls: &TlsAcceptor, stream: TcpStream) -> Option<tokio_rustls::server::TlsStream<TcpStream>> {
    // Without it small answers wait for the client's acknowledgement; the connection works either way.
    let _ = stream.set_nodelay(true);
    match tokio::time::timeout(Duration::from_millis(limits::API_HEADER_MS_MAX), tls.accept(stream)).await {
        Ok(Ok(stream)) => Some(stream),
        Ok(Err(e)) => {
            tracing::debug!(error = %e, "no TLS handshake on the API");
            None
        }
        Err(_) => None,
    }
}

async fn answer<I>(stream: I, service: Router, watcher: hyper_util::server::graceful::Watcher)
where
    I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let mut builder = auto::Builder::new(TokioExecutor::new());
    let header_list_max = u32::try_from(limits::API_HEADER_BYTES_MAX).unwrap_or(u32::MAX);
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(Duration::from_millis(limits::API_HEADER_MS_MAX))
        .max_buf_size(limits::API_HEADER_BYTES_MAX);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(STREAMS_MAX)
        .max_header_list_size(header_list_max)
        .keep_alive_interval(Duration::from_millis(limits::API_HEADER_MS_MAX))
        .keep_alive_timeout(Duration::from_millis(limits::API_HEADER_MS_MAX));
    let connection = builder.serve_connection(TokioIo::new(stream), TowerToHyperService::new(service));
    if let Err(e) = watcher.watch(connection.into_owned()).await {
        tracing::debug!(error = %e, "a connection to the API ended early");
    }
}

/// How many connections each source has.
#[derive(Default)]
struct Sources(Mutex<HashMap<IpAddr, usize>>);

struct Place {
    sources: Arc<Sources>,
    source: IpAddr,
}

impl Sources {
    fn enter(self: &Arc<Self>, source: IpAddr) -> Option<Place> {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let count = counts.entry(source).or_insert(0);
        if *count >= limits::PREAUTH_PER_SOURCE_MAX {
            return None;
        }
        *count += 1;
        Some(Place { sources: self.clone(), source })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut counts = self.sources.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = counts.get_mut(&self.source) {
            *count -= 1;
            if *count == 0 {
                counts.remove(&self.source);
            }
        }
    }
}
