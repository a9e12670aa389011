//! Accepting connections: a bound on those that have proven nothing, in all and per source, so that a flood of strangers
//! cannot keep anybody with an identity out.

use lockgate_core::{Place, Places};
use socket2::{SockRef, TcpKeepalive};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};

/// What every connection gets: no delay for small messages, and an end for peers that vanished without a word.
pub fn tune(tcp: &TcpStream) {
    let keepalive =
        TcpKeepalive::new().with_time(Duration::from_secs(60)).with_interval(Duration::from_secs(15)).with_retries(4);
    let _ = SockRef::from(tcp).set_tcp_keepalive(&keepalive);
    let _ = tcp.set_nodelay(true);
}

/// Accepts until `stop` resolves, and hands each connection with a place to `on`. Out of file descriptors, it waits and
/// goes on: the open sessions are not affected.
pub async fn accept(
    listener: TcpListener,
    preauth: Arc<Places>,
    mut stop: tokio::sync::watch::Receiver<bool>,
    mut on: impl FnMut(TcpStream, SocketAddr, Place),
) {
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = stop.wait_for(|stop| *stop) => return,
        };
        match accepted {
            Ok((tcp, peer)) => {
                tune(&tcp);
                match preauth.take(peer.ip()) {
                    Some(place) => on(tcp, peer, place),
                    None => tracing::warn!(%peer, "refused: too many connections have not logged in"),
                }
            }
            Err(error) => {
                tracing::warn!("cannot accept a connection: {error}");
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    }
}
