//! SAML 2.0, the side of a service provider: bytes and time in, a proven login out.
//!
//! ```text
//! metadata ─► IdentityProvider ─┐
//!                 Settings ─────┴► ServiceProvider ─► request() ─► Outgoing (a redirect, a form)
//!                                        │
//!       SAMLResponse, Expected, now ─► receive() ─► Unspent ─► redeem(first use?) ─► Login
//! ```
//!
//! Nothing here opens a socket, reads a clock or knows a cookie. Single logout, artifacts and encrypted names and attributes are
//! absent on purpose. So is inflating: responses come by HTTP-POST, which does not compress, and no message can be a bomb.
//!
//! # Why not a library
//!
//! Of a response, only a narrow form is accepted, and SAML is broken again and again where a library accepts the wide one: two
//! parsers that disagree (one for the signature, one for the content), a search for "the" assertion, transforms that a message
//! chooses, C code that loads what a document names. `samael` is a binding to libxml2 and xmlsec1, `saml-rs` young and read by
//! few; neither hands out the element that was verified as the only way to the claims. So there is one tree (`xml`), made by
//! a parser that knows no document types; one canonical form (`canonical`), written from that tree; one form of a signature
//! (`signature`), whose verification yields the element that was hashed ([`Refusal`] otherwise); and readers that start at that
//! element. Keys come from configured metadata only. All cryptography is aws-lc-rs.
//!
//! The tests hold the parser against `roxmltree`, the canonical form against libxml2's, and the whole against a real provider.

mod assertion;
mod canonical;
mod encoding;
mod encrypted;
mod instant;
mod keys;
mod metadata;
mod names;
mod refusal;
mod replay;
mod request;
mod response;
mod settings;
mod signature;
mod xml;

pub use assertion::{Login, NameId, PersonAttribute};
pub use keys::{DecryptionKey, Mistake, SigningKey};
pub use metadata::IdentityProvider;
pub use refusal::Refusal;
pub use replay::{Ticket, Unspent, Use, UsedInMemory};
pub use request::{Binding, Outgoing, RequestId};
pub use response::Expected;
pub use settings::{ServiceProvider, Settings, UserSource, WantSigned};
