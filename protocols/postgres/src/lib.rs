//! PostgreSQL's wire protocol: bytes in, steps out. No sockets, no clock, no tasks.
//!
//! A connection passes the modules in this order: [`startup`] reads what comes before a login, [`client_auth`] lets the
//! client prove who it is, [`target_login`] logs in to the target; then `pump` carries the session, or `replication`. [`frame`] and [`message`] are the grammar of it all,
//! [`own`] writes what the gateway says itself.

mod alterations;
mod analyses;
mod bearer;
pub mod cancel;
pub mod client_auth;
pub mod frame;
mod machine;
pub mod message;
mod names;
pub mod own;
mod prepare;
mod pump;
mod replication;
pub mod scram;
mod shared;
pub mod startup;
pub mod target_login;

pub use analyses::Analyses;
pub use machine::Postgres;
