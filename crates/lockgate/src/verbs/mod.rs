//! The verbs, a file each. They print data on standard output and words on standard error, and end with an exit code.

pub mod account;
mod against;
pub mod approvals;
pub mod audit;
pub mod connect;
pub mod detokenize;
pub mod explain;
pub mod init;
pub mod login;
pub mod logins;
pub mod policy;
pub mod print;
mod requests;
pub mod sessions;
pub mod token;
pub mod user;
