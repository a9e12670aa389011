//! Real servers, the real gateway and real clients, for the end-to-end tests.
//!
//! Everything here starts processes on free ports of 127.0.0.1 and stops exactly those: each dies with the test process,
//! however that ends, and its files are removed. A tool that is missing fails the test that needs it and says what to
//! install. Nothing here knows how the gateway works inside.

pub mod api;
pub mod authority;
pub mod fake;
pub mod gateway;
pub mod idp;
pub mod issuer;
pub mod places;
pub mod postgres;
pub mod process;
pub mod scene;
pub mod simplesaml;
pub mod surfer;
pub mod wire;

pub use gateway::{Gateway, GatewayOptions};
pub use idp::Idp;
pub use postgres::Postgres;
pub use scene::{Scene, scene};
pub use wire::{Client, Frame};
