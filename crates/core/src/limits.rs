//! Every limit that no setting changes, by name (promise 6). Limits that an administrator may set have their default here
//! and their key in `crates/config`. Units are the last word of the name.

/// A label's length.
pub const LABEL_BYTES_MAX: usize = 128;
/// A target's name.
pub const TARGET_NAME_BYTES_MAX: usize = 63;

/// PostgreSQL startup packet (the server's own MAX_STARTUP_PACKET_LENGTH).
pub const PG_STARTUP_BYTES_MAX: usize = 10_000;
/// A message from a client before it has proven an identity.
pub const PG_PREAUTH_MESSAGE_BYTES_MAX: usize = 16 * 1024;
/// A message from a client that must be held whole to be understood (Query, Parse, Bind).
pub const PG_CLIENT_MESSAGE_BYTES_MAX: usize = 64 * 1024 * 1024;
/// A message of the target that must be held whole (everything but rows and COPY data).
pub const PG_SERVER_CONTROL_BYTES_MAX: usize = 1024 * 1024;
/// A message either side may send at all (PostgreSQL's own limit is 1 GiB).
pub const PG_MESSAGE_BYTES_MAX: usize = 0x3fff_ffff;
/// A row that has a masked column and must be held whole.
pub const PG_MASKED_ROW_BYTES_MAX: usize = 64 * 1024 * 1024;
/// Prepared statements of one session.
pub const PG_STATEMENTS_MAX: usize = 20_000;
/// Portals of one session.
pub const PG_PORTALS_MAX: usize = 20_000;
/// Frames of one client that the target has not yet answered.
pub const PG_PIPELINE_FRAMES_MAX: usize = 65_536;
/// SCRAM iterations that are accepted from a target; more is an attack on our CPU.
pub const SCRAM_ITERATIONS_MAX: u32 = 600_000;
/// SCRAM iterations of our own verifiers. Tokens carry 256 random bits, so RFC 7677's minimum is enough.
pub const SCRAM_ITERATIONS: u32 = 4_096;

/// A statement that is analysed; a longer one counts as unparsable.
pub const SQL_STATEMENT_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Nesting of a statement that is analysed.
pub const SQL_DEPTH_MAX: usize = 512;
/// Statements in one Query message.
pub const SQL_STATEMENTS_MAX: usize = 10_000;
/// Rounds of the fixpoint for a recursive query.
pub const SQL_FIXPOINT_ROUNDS_MAX: usize = 16;
/// Views in views.
pub const SQL_VIEW_DEPTH_MAX: usize = 32;
/// Cached analyses of one target.
pub const ANALYSIS_CACHE_ENTRIES_MAX: usize = 10_000;
/// Bytes of statement text that one target's analysis cache keeps.
pub const ANALYSIS_CACHE_BYTES_MAX: usize = 32 * 1024 * 1024;
/// Relations in a catalog snapshot; a database with more counts as unknown.
pub const CATALOG_RELATIONS_MAX: usize = 200_000;
/// A catalog snapshot is asked about again once it is this old.
pub const CATALOG_AGE_MS_MAX: i64 = 500;

/// Bytes read from a socket at once.
pub const READ_BUFFER_BYTES: usize = 32 * 1024;
/// Bytes waiting to be written to one peer before reading from the other stops.
pub const WRITE_BUFFER_BYTES_MAX: usize = 256 * 1024;

/// Time from accept to a proven identity, in all.
pub const LOGIN_MS_MAX: u64 = 30_000;
/// Time to dial a target and log in.
pub const DIAL_MS_MAX: u64 = 15_000;
/// A peer that takes no bytes for this long while some wait for it is gone.
pub const WRITE_STALL_MS_MAX: u64 = 30 * 60 * 1_000;
/// How long a stopping gateway waits for sessions to end.
pub const DRAIN_MS_MAX: u64 = 20_000;
/// How often a held statement's client is told that it waits.
pub const HOLD_NOTICE_MS: u64 = 10_000;
/// How often live sessions are judged again.
pub const REJUDGE_MS: u64 = 250;

/// Connections that have not proven an identity, from one address.
pub const PREAUTH_PER_SOURCE_MAX: usize = 64;
/// Connections that have not proven an identity, in all.
pub const PREAUTH_MAX: usize = 1_024;
/// Sessions in all.
pub const SESSIONS_MAX: usize = 10_000;
/// Statements held at once.
pub const HOLDS_MAX: usize = 10_000;

/// A recorded event in its encoded form; larger ones are cut and say so.
pub const RECORD_EVENT_BYTES_MAX: usize = 1024 * 1024;
/// Result bytes recorded of one request, by default.
pub const RECORD_RESULT_BYTES_MAX: u64 = 16 * 1024 * 1024;
/// Parameter bytes recorded of one request; the digest covers all of them.
pub const RECORD_PARAMETER_BYTES_MAX: usize = 64 * 1024;
