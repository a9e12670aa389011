//! Real identity providers, and the crates that verify what they say. Unlike the end-to-end tests these need no gateway: the crate is
//! asked directly, so that each way a provider can sign and encrypt is tried.

mod oidc;
mod saml;
