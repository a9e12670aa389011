//! The listener over real sockets: TLS, limits on connections, draining, and metrics.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test stops at what it did not expect"
)]

use axum::Router;
use axum::routing::get;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;

fn tls() -> (Arc<rustls::ServerConfig>, String) {
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let key = rustls::pki_types::PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)
        .unwrap();
    (Arc::new(config), made.cert.pem())
}

#[tokio::test]
async fn serves_over_tls_and_drains() {
    let (config, pem) = tls();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let (stop, stopped) = oneshot::channel::<()>();
    let slow = async || {
        tokio::time::sleep(Duration::from_millis(300)).await;
        "done"
    };
    let router = Router::new().route("/", get(async || "hello")).route("/slow", get(slow));
    let serving = tokio::spawn(lockgate_api::serve(listener, config, Arc::default(), router, async {
        let _ = stopped.await;
    }));
    let client = reqwest::Client::builder()
        .tls_certs_only([reqwest::Certificate::from_pem(pem.as_bytes()).unwrap()])
        .build()
        .unwrap();
    let url = format!("https://localhost:{port}");
    assert_eq!(client.get(&url).send().await.unwrap().text().await.unwrap(), "hello");

    // Garbage and silence hurt nobody else.
    let mut garbage = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    garbage.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
    let _silent = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    assert_eq!(client.get(&url).send().await.unwrap().text().await.unwrap(), "hello");

    // What is under way when it stops is answered.
    let under_way = tokio::spawn(client.get(format!("{url}/slow")).send());
    tokio::time::sleep(Duration::from_millis(100)).await;
    stop.send(()).unwrap();
    assert_eq!(under_way.await.unwrap().unwrap().text().await.unwrap(), "done");
    tokio::time::timeout(Duration::from_secs(8), serving).await.expect("it ends").unwrap();
    assert!(TcpStream::connect(("127.0.0.1", port)).await.is_err());
}

#[tokio::test]
async fn one_source_cannot_take_every_connection() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let serving = tokio::spawn(lockgate_api::serve_plain(listener, Router::new(), std::future::pending()));
    let mut held = Vec::new();
    for _ in 0..lockgate_core::limits::API_CONNECTIONS_PER_SOURCE_MAX {
        held.push(TcpStream::connect(("127.0.0.1", port)).await.unwrap());
    }
    tokio::time::sleep(Duration::from_millis(200)).await;
    let mut one_more = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    let mut byte = [0];
    let closed = tokio::time::timeout(Duration::from_secs(2), one_more.read(&mut byte)).await.expect("closed at once");
    assert!(matches!(closed, Ok(0) | Err(_)));
    held.clear();
    tokio::time::sleep(Duration::from_millis(200)).await;
    let mut welcome = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    welcome.write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    assert!(welcome.read(&mut byte).await.unwrap() == 1);
    serving.abort();
}

#[tokio::test]
async fn who_says_nothing_gives_the_place_back() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let serving = tokio::spawn(lockgate_api::serve_plain(listener, Router::new(), std::future::pending()));
    let limit = Duration::from_millis(lockgate_core::limits::API_HEADER_MS_MAX) + Duration::from_secs(10);
    let mut waiting = tokio::task::JoinSet::new();
    for said in ["", "G", "PRI * HTTP/2.0\r\n", "GET / HTTP/1.1\r\n"] {
        waiting.spawn(async move {
            let mut client = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
            client.write_all(said.as_bytes()).await.unwrap();
            let mut seen = Vec::new();
            let closed = tokio::time::timeout(limit, client.read_to_end(&mut seen)).await;
            assert!(closed.is_ok(), "after {said:?} it waits on");
        });
    }
    waiting.join_all().await;
    serving.abort();
}

struct FullDisk;

impl lockgate_api::Readiness for FullDisk {
    fn ready(&self) -> lockgate_api::BoxFuture<'_, Result<(), String>> {
        Box::pin(async { Err("the disk is full".to_owned()) })
    }
}

#[tokio::test]
async fn metrics_are_prometheus_text() {
    let recorder = metrics_exporter_prometheus::PrometheusBuilder::new().build_recorder();
    let router = lockgate_api::metrics_router(recorder.handle(), Arc::new(FullDisk));
    metrics::with_local_recorder(&recorder, || {
        metrics::counter!(lockgate_core::metrics::REQUESTS_TOTAL, "protocol" => "postgres", "verdict" => "allow")
            .increment(3);
    });
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let serving = tokio::spawn(lockgate_api::serve_plain(listener, router, std::future::pending()));
    let ready = reqwest::get(format!("{url}/ready")).await.unwrap();
    assert_eq!(ready.status(), 503);
    assert_eq!(ready.text().await.unwrap(), "the disk is full\n");
    let text = reqwest::get(format!("{url}/metrics")).await.unwrap().text().await.unwrap();
    assert!(text.contains("lockgate_requests_total{protocol=\"postgres\",verdict=\"allow\"} 3"), "{text}");
    serving.abort();
}
