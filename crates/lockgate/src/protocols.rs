//! The protocols that this gateway speaks to clients, a line each. A new one is a folder under `protocols/`, a line here
//! and a line in `Cargo.toml`.

use lockgate_config::Listen;
use lockgate_session::wire::Protocol;
use std::net::SocketAddr;
use std::sync::Arc;

/// Every protocol that has a listener, with its address. `url` is where people decide on what waits.
pub fn listening(listen: &Listen, url: &str) -> Vec<(SocketAddr, Arc<dyn Protocol>)> {
    let all: [(Option<SocketAddr>, Arc<dyn Protocol>); 1] =
        [(listen.postgres, Arc::new(lockgate_postgres::Postgres::new(url)))];
    all.into_iter().filter_map(|(address, protocol)| Some((address?, protocol))).collect()
}
