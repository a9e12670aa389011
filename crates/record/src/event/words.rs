//! The choices that stand in events, each one byte on disk and one word everywhere else.

use crate::wire::wire_enum;

wire_enum! {
    /// How a request was put, in words that hold for every protocol.
    pub enum RequestKind ("kind of request") {
        /// A statement, or several, sent as text (PostgreSQL Query).
        Simple = 0 "simple",
        /// A statement that is prepared (PostgreSQL Parse).
        Parse = 1 "parse",
        /// A prepared statement that is run with parameters (PostgreSQL Bind and Execute).
        Execute = 2 "execute",
        /// A description of a statement or portal (PostgreSQL Describe).
        Describe = 3 "describe",
        /// Data sent to the target (COPY FROM STDIN).
        CopyIn = 4 "copy_in",
        /// Data asked of the target in bulk (COPY TO STDOUT).
        CopyOut = 5 "copy_out",
        /// A function called by its number (PostgreSQL FunctionCall).
        Function = 6 "function",
        /// A shell command.
        Command = 7 "command",
        /// An API call.
        Call = 8 "call",
        /// A file going in or out.
        Transfer = 9 "transfer",
        /// A message whose meaning is not known.
        Unknown = 10 "unknown",
        /// A prepared statement that is bound to parameters (PostgreSQL Bind).
        Bind = 11 "bind",
        /// The opening of the session itself.
        Connect = 12 "connect",
    }
}

wire_enum! {
    /// What policy said.
    pub enum VerdictKind ("verdict") {
        /// It may go on.
        Allow = 0 "allow",
        /// It is refused.
        Deny = 1 "deny",
        /// It waits for an approval.
        Hold = 2 "hold",
    }
}

wire_enum! {
    /// How a hold ended.
    pub enum HoldOutcome ("outcome of a hold") {
        /// Enough approvers said yes.
        Approved = 0 "approved",
        /// An approver said no.
        Denied = 1 "denied",
        /// Nobody decided in time.
        Expired = 2 "expired",
        /// The client cancelled the request.
        Withdrawn = 3 "withdrawn",
        /// The session ended first.
        Abandoned = 4 "abandoned",
        /// What was approved no longer holds: policy, text or parameters changed.
        Void = 5 "void",
    }
}

wire_enum! {
    /// How a request ended.
    pub enum DoneKind ("outcome of a request") {
        /// The target completed it.
        Completed = 0 "completed",
        /// The target answered with an error.
        Failed = 1 "failed",
        /// The gateway refused it.
        Refused = 2 "refused",
        /// It was cancelled.
        Cancelled = 3 "cancelled",
        /// A time limit was reached.
        TimedOut = 4 "timed_out",
        /// Its connection, the target or the gateway went away before an end was seen.
        Aborted = 5 "aborted",
        /// The target skipped it because an earlier request of the pipeline failed.
        Skipped = 6 "skipped",
    }
}

wire_enum! {
    /// Why a session ended.
    pub enum CloseReason ("reason of a close") {
        /// The client said goodbye.
        ClientClosed = 0 "client_closed",
        /// The client's connection broke.
        ClientLost = 1 "client_lost",
        /// The target's connection broke or ended.
        TargetLost = 2 "target_lost",
        /// Its token was revoked or expired, or policy took its right to connect away.
        AccessLost = 3 "access_lost",
        /// An administrator cut it.
        Cut = 4 "cut",
        /// The gateway stopped.
        Shutdown = 5 "shutdown",
        /// A peer broke the protocol.
        Protocol = 6 "protocol",
        /// A time limit was reached.
        TimedOut = 7 "timed_out",
        /// The recording could not be written.
        Unrecordable = 8 "unrecordable",
        /// The gateway died; the end was written when it came back.
        Aborted = 9 "aborted",
        /// The login to the target failed, or policy forbade the connection.
        Refused = 10 "refused",
    }
}
