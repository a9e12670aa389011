//! Real identity providers, and the crates that verify what they say. Unlike the end-to-end tests these need no gateway: the crate is
//! asked directly, so that each way a provider can sign and encrypt is tried. Only what becomes of a login when its provider changes
//! its mind is asked of a gateway, with logins that are put into its store.

mod again;
mod oidc;
mod saml;
