//! Whose fault an error is. Log level, retry and metric follow from it.

use std::fmt;

/// The party that caused an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Fault {
    /// The client sent something it may not send, or went away.
    Client,
    /// The target is down, slow, or speaks what its protocol does not allow.
    Target,
    /// Policy said no; nothing is broken.
    Policy,
    /// Lockgate itself: a full disk, a bug, a missing key.
    Us,
}

impl Fault {
    /// The name used as a metric label.
    pub const fn name(self) -> &'static str {
        match self {
            Fault::Client => "client",
            Fault::Target => "target",
            Fault::Policy => "policy",
            Fault::Us => "us",
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A five-character SQLSTATE (PostgreSQL appendix A; ISO 9075 part 2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SqlState(pub &'static str);

impl SqlState {
    /// Refused by policy.
    pub const INSUFFICIENT_PRIVILEGE: SqlState = SqlState("42501");
    /// The client broke the protocol.
    pub const PROTOCOL_VIOLATION: SqlState = SqlState("08P01");
    /// The target cannot be reached, or broke the connection.
    pub const CONNECTION_FAILURE: SqlState = SqlState("08006");
    /// The target could not be dialled.
    pub const CANNOT_CONNECT: SqlState = SqlState("08001");
    /// Login refused: no valid identity.
    pub const INVALID_AUTHORIZATION: SqlState = SqlState("28000");
    /// Login refused: wrong token.
    pub const INVALID_PASSWORD: SqlState = SqlState("28P01");
    /// The request was cancelled (Ctrl-C, or a withdrawn hold).
    pub const QUERY_CANCELED: SqlState = SqlState("57014");
    /// The session was ended from outside.
    pub const ADMIN_SHUTDOWN: SqlState = SqlState("57P01");
    /// A name is too long.
    pub const NAME_TOO_LONG: SqlState = SqlState("42622");
    /// A limit was reached.
    pub const LIMIT_EXCEEDED: SqlState = SqlState("54000");
    /// Too many connections.
    pub const TOO_MANY_CONNECTIONS: SqlState = SqlState("53300");
    /// The recording cannot be written.
    pub const DISK_FULL: SqlState = SqlState("53100");
    /// A fault of Lockgate's own.
    pub const INTERNAL: SqlState = SqlState("XX000");
    /// It could be another answer now than when it was asked for; asking again is safe.
    pub const SERIALIZATION_FAILURE: SqlState = SqlState("40001");
    /// Something that exists, and that Lockgate does not carry.
    pub const NOT_SUPPORTED: SqlState = SqlState("0A000");
}
