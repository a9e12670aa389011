//! The shell around the protocols: listeners, TLS, and the pump that drives one [`Wire`](lockgate_session::wire::Wire) per
//! connection. It moves bytes and keeps deadlines; it understands none of what it carries.

mod drive;
pub mod listener;
pub mod live;
mod services;
mod stream;
pub mod tls;

pub use drive::{Accepted, drive};
pub use services::{Held, Holding, Linked, RelayLimits, Route, Services};
