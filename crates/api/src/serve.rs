//! Accepting connections for the API and for metrics. Every wait and every count here has a limit.

use crate::quiet::{Activity, Held};
use crate::state::{PeerAddr, Readiness};
use axum::http::{Request, StatusCode};
use axum::routing::get;
use axum::{Extension, Router};
use hyper::body::Incoming;
use hyper::service::{Service as _, service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use lockgate_core::{Late, Places, limits};
use lockgate_store::clock;
use metrics_exporter_prometheus::PrometheusHandle;
use std::future::Future;
use std::net::IpAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

/// How long a stopping API waits for answers that are under way.
const DRAIN: Duration = Duration::from_secs(5);
/// Pause after an accept that failed, which it does when the process has no more file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// Requests at once on one HTTP/2 connection.
const STREAMS_MAX: u32 = 32;

/// Serves `router` over TLS until `shutdown`, then waits shortly for answers that are under way.
pub async fn serve<S>(
    listener: TcpListener,
    tls: Arc<rustls::ServerConfig>,
    late: Arc<Late>,
    router: Router,
    shutdown: S,
) where
    S: Future<Output = ()> + Send,
{
    let mut tls = (*tls).clone();
    tls.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    accept(listener, Some((TlsAcceptor::from(Arc::new(tls)), late)), router, shutdown).await;
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

async fn accept<S>(listener: TcpListener, tls: Option<(TlsAcceptor, Arc<Late>)>, router: Router, shutdown: S)
where
    S: Future<Output = ()> + Send,
{
    let mut shutdown = pin!(shutdown);
    let graceful = GracefulShutdown::new();
    let places = Arc::new(Places::new(limits::API_CONNECTIONS_MAX, limits::API_CONNECTIONS_PER_SOURCE_MAX));
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
        let Some(place) = places.take(peer.ip()) else { continue };
        let service = router.clone().layer(Extension(PeerAddr(peer)));
        let (tls, watcher) = (tls.clone(), graceful.watcher());
        tokio::spawn(async move {
            let _place = place;
            match tls {
                None => answer(stream, service, watcher).await,
                Some((tls, late)) => {
                    // Before the handshake: who has guessed too much queues here.
                    if turn(&late, peer.ip()).await
                        && let Some(stream) = handshake(&tls, stream).await
                    {
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

/// Waits for the turn of something new from a source. Whether it comes.
pub(crate) async fn turn(late: &Late, source: IpAddr) -> bool {
    match late.turn_ms(source, clock::now()) {
        Some(0) => true,
        Some(wait_ms) => {
            tokio::time::sleep(Duration::from_millis(wait_ms)).await;
            true
        }
        None => false,
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
    let (first, idle) =
        (Duration::from_millis(limits::API_HEADER_MS_MAX), Duration::from_millis(limits::API_IDLE_MS_MAX));
    let activity = Activity::default();
    let (router, requests) = (TowerToHyperService::new(service), activity.clone());
    let service = service_fn(move |request: Request<Incoming>| {
        let begun = requests.begin();
        let answer = router.call(request);
        async move { answer.await.map(|response| response.map(|body| Held::new(body, begun))) }
    });
    let connection = builder.serve_connection(TokioIo::new(stream), service);
    tokio::select! {
        ended = watcher.watch(connection.into_owned()) => {
            if let Err(e) = ended {
                tracing::debug!(error = %e, "a connection to the API ended early");
            }
        }
        () = activity.quiet(first, idle) => tracing::debug!("a connection to the API on which nothing happened was closed"),
    }
}
