//! Settings: one YAML file and the policies beside it, read, checked, and handed on as plain values.
//!
//! This is the only place that reads settings, and the environment only through `${env:NAME}`. Keys are strict, values are
//! checked, and what this build does not carry is an error: nothing that is written is ignored. A file with any mistake
//! yields no configuration at all, so that a reload is all or nothing. Nothing here opens a socket, a store or a key.

mod cases;
mod check;
mod excerpt;
mod load;
mod model;
mod patterns;
mod placeholders;
mod raw;
mod values;

pub use cases::load_cases;
pub use load::{Loaded, Report, schema};
pub use lockgate_core::matches_glob;
pub use model::{
    ALGORITHMS, Address, Admin, Classification, Config, Detect, Durability, Infer, Limits, Listen, Oidc, Recording,
    Rewrites, RoleName, Saml, SamlSigned, Scim, Target, TlsFiles, TlsMode, TokenCheck,
};
pub use patterns::{ColumnPattern, ColumnPatternError};
