//! Proof of identity: by the company's own provider (OpenID Connect), and by a password for small teams without one.
//!
//! `jwt` verifies what somebody shows and is pure: no socket, no clock, no task. `provider` keeps an issuer's keys and makes the
//! calls of a login. `password` turns passwords into verifiers and compares them. [`Proven`] is what every protocol of identity ends in. It does not know policy, nor what a proof is used for.

mod json;
pub mod jwt;
pub mod password;
mod proven;
pub mod provider;

pub use proven::Proven;
pub use provider::{Provider, ProviderError};
