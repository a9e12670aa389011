//! Accepting connections: a bound on those that have proven nothing, in all and per source, so that a flood of strangers
//! cannot keep anybody with an identity out.

use parking_lot::Mutex;
use socket2::{SockRef, TcpKeepalive};
use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};

/// Connections that have proven nothing yet.
pub struct Preauth {
    max: usize,
    per_source_max: usize,
    sources: Mutex<(usize, HashMap<IpAddr, usize>)>,
}

/// A place among them, given back when dropped.
pub struct PreauthPlace {
    preauth: Arc<Preauth>,
    source: IpAddr,
}

impl Preauth {
    /// Room for `max`, and for `per_source_max` from one address.
    pub fn new(max: usize, per_source_max: usize) -> Self {
        Preauth { max, per_source_max, sources: Mutex::default() }
    }

    /// A place for a connection from `source`, unless all are taken.
    pub fn take(self: &Arc<Self>, source: IpAddr) -> Option<PreauthPlace> {
        let mut sources = self.sources.lock();
        let (all, by_source) = &mut *sources;
        let own = by_source.get(&source).copied().unwrap_or(0);
        // Loopback is every local client at once, so only the total bounds it.
        let per_source = if source.is_loopback() { self.max } else { self.per_source_max };
        if *all >= self.max || own >= per_source {
            return None;
        }
        *all += 1;
        by_source.insert(source, own + 1);
        Some(PreauthPlace { preauth: Arc::clone(self), source })
    }
}

impl Drop for PreauthPlace {
    fn drop(&mut self) {
        let mut sources = self.preauth.sources.lock();
        let (all, by_source) = &mut *sources;
        *all = all.saturating_sub(1);
        if let Some(own) = by_source.get_mut(&self.source) {
            *own = own.saturating_sub(1);
            if *own == 0 {
                by_source.remove(&self.source);
            }
        }
    }
}

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
    preauth: Arc<Preauth>,
    mut stop: tokio::sync::watch::Receiver<bool>,
    mut on: impl FnMut(TcpStream, SocketAddr, PreauthPlace),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_bounded_per_source_and_given_back() {
        let preauth = Arc::new(Preauth::new(100, 3));
        let source: IpAddr = "192.0.2.7".parse().unwrap();
        let mut taken: Vec<_> = (0..3).map(|_| preauth.take(source).unwrap()).collect();
        assert!(preauth.take(source).is_none());
        assert!(preauth.take("192.0.2.8".parse().unwrap()).is_some());
        taken.pop();
        assert!(preauth.take(source).is_some());
    }
}
