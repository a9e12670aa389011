//! Everything that can stand in a recording. A closed list: whoever adds an event decides at every match what it means.
//!
//! One type serves both ways. Writers build events out of borrowed text, so that the hot path copies each byte once,
//! into the frame; readers get `Event<'static>`. The names of fields are those of the JSON export and do not change.
//! What a result cell looks like is not known here: rows are kept as the client's protocol framed them, after masking.

use crate::wire::{Blob, DecodeError, Decoder, Digest, List, Wire, wire_enum, wire_struct};
use lockgate_core::{Identity, IdentityKind, Timestamp};
use serde::{Serialize, Serializer};
use std::borrow::Cow;

/// An event with its place in the recording.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Recorded<'a> {
    /// Its number in the recording, from 0, without gaps.
    pub seq: u64,
    /// When the gateway saw it.
    #[serde(serialize_with = "time")]
    pub time: Timestamp,
    /// What happened.
    #[serde(flatten)]
    pub event: Event<'a>,
}

/// Writes a time as RFC 3339.
fn time<S: Serializer>(time: &Timestamp, to: S) -> Result<S::Ok, S::Error> {
    to.collect_str(time)
}

/// Writes a time as RFC 3339, or null.
fn time_or_null<S: Serializer>(time: &Option<Timestamp>, to: S) -> Result<S::Ok, S::Error> {
    match time {
        Some(time) => to.collect_str(time),
        None => to.serialize_none(),
    }
}

/// Writes the kind of an identity as its word.
fn kind_word<S: Serializer>(kind: &IdentityKind, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(kind.name())
}

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

wire_struct! {
    /// A party that somebody acts for.
    pub struct Party<'a> {
        /// Its user name.
        pub user: Cow<'a, str>,
        /// Its groups.
        pub groups: List<'a, Cow<'a, str>>,
    }
}

wire_struct! {
    /// A named setting.
    pub struct Setting<'a> {
        /// Its name.
        pub name: Cow<'a, str>,
        /// Its value.
        pub value: Cow<'a, str>,
    }
}

wire_struct! {
    /// A session began: who, from where, to what. The first event of every session's recording.
    pub struct SessionOpened<'a> {
        /// The session's id.
        pub session: Cow<'a, str>,
        /// The user.
        pub user: Cow<'a, str>,
        /// The user's groups.
        pub groups: List<'a, Cow<'a, str>>,
        /// Person, service or agent.
        #[serde(serialize_with = "kind_word")]
        pub kind: IdentityKind,
        /// Whom it acts for, nearest first.
        pub on_behalf_of: List<'a, Party<'a>>,
        /// The token that proved it.
        pub token_id: Option<Cow<'a, str>>,
        /// The client's address, as `address:port`.
        pub client: Cow<'a, str>,
        /// The target's name.
        pub target: Cow<'a, str>,
        /// The database on it; empty where there is none.
        pub database: Cow<'a, str>,
        /// The protocol: `postgres`, `mysql`, `ssh`, …
        pub protocol: Cow<'a, str>,
        /// What the client said of itself, such as `application_name`.
        pub parameters: List<'a, Setting<'a>>,
        /// The gateway's version.
        pub gateway: Cow<'a, str>,
    }
}

impl<'a> SessionOpened<'a> {
    /// The event for `identity`; the other fields are taken as they are given.
    pub fn of(
        session: impl Into<Cow<'a, str>>,
        identity: &'a Identity,
        client: impl Into<Cow<'a, str>>,
        target: impl Into<Cow<'a, str>>,
        database: impl Into<Cow<'a, str>>,
        protocol: &'a str,
    ) -> Self {
        let words = |groups: &'a std::collections::BTreeSet<String>| {
            groups.iter().map(|g| Cow::Borrowed(g.as_str())).collect::<List<'a, _>>()
        };
        SessionOpened {
            session: session.into(),
            user: identity.user.as_str().into(),
            groups: words(&identity.groups),
            kind: identity.kind,
            on_behalf_of: identity
                .on_behalf_of
                .iter()
                .map(|p| Party { user: p.user.as_str().into(), groups: words(&p.groups) })
                .collect(),
            token_id: identity.token_id.as_deref().map(Cow::Borrowed),
            client: client.into(),
            target: target.into(),
            database: database.into(),
            protocol: protocol.into(),
            parameters: List::default(),
            gateway: Cow::Borrowed(env!("CARGO_PKG_VERSION")),
        }
    }
}

wire_struct! {
    /// A parameter of a statement, as the client sent it.
    pub struct Parameter<'a> {
        /// Its bytes, perhaps cut; `None` is NULL.
        pub value: Option<Blob<'a>>,
        /// 0 for text, 1 for binary.
        pub format: u16,
        /// Its length before it was cut, in bytes.
        pub bytes: u64,
    }
}

impl<'a> Parameter<'a> {
    /// A parameter as it stands in a Bind message; `None` is NULL.
    pub fn new(value: Option<&'a [u8]>, format: u16) -> Self {
        Parameter { value: value.map(Blob::from), format, bytes: length(value.unwrap_or_default()) }
    }
}

/// A length as the recording writes it.
pub(crate) fn length(bytes: &[u8]) -> u64 {
    u64::try_from(bytes.len()).unwrap_or(u64::MAX)
}

wire_struct! {
    /// The identity asked for something. Written before anything of it is forwarded; exactly one [`Done`] follows.
    pub struct Asked<'a> {
        /// The request's number in the session.
        pub request: u64,
        /// How it was put.
        pub kind: RequestKind,
        /// The statement, perhaps cut.
        pub text: Blob<'a>,
        /// The statement's length before it was cut, in bytes.
        pub text_bytes: u64,
        /// SHA-256 over what will run: the same digest that an approval is bound to.
        pub digest: Digest,
        /// The prepared statement's name; empty is the unnamed one.
        pub statement: Option<Cow<'a, str>>,
        /// The portal's name; empty is the unnamed one.
        pub portal: Option<Cow<'a, str>>,
        /// The parameters.
        pub parameters: List<'a, Parameter<'a>>,
        /// Whether parameters were cut to the limit on recorded parameter bytes.
        pub parameters_cut: bool,
    }
}

impl<'a> Asked<'a> {
    /// A request without names and parameters.
    pub fn new(request: u64, kind: RequestKind, text: &'a [u8], digest: Digest) -> Self {
        Asked {
            request,
            kind,
            text: Blob::from(text),
            text_bytes: length(text),
            digest,
            statement: None,
            portal: None,
            parameters: List::default(),
            parameters_cut: false,
        }
    }
}

wire_struct! {
    /// A policy that took part in a decision.
    pub struct PolicyRef<'a> {
        /// Its id.
        pub id: Cow<'a, str>,
        /// Where it is written, as `file:line`.
        pub place: Cow<'a, str>,
    }
}

wire_struct! {
    /// An action on an object that the request needs.
    pub struct Touch<'a> {
        /// The action's name.
        pub action: Cow<'a, str>,
        /// The object, such as `orders/public.customers` or `pii/ssn`.
        pub object: Cow<'a, str>,
    }
}

wire_struct! {
    /// A mask on an output column or field.
    pub struct MaskUse<'a> {
        /// The column's position in the output, from 0.
        pub column: u32,
        /// Its name in the output.
        pub name: Cow<'a, str>,
        /// The label that it carries.
        pub label: Cow<'a, str>,
        /// How it is changed.
        pub method: Cow<'a, str>,
    }
}

wire_struct! {
    /// Policy judged a request.
    pub struct Judged<'a> {
        /// The request's number.
        pub request: u64,
        /// The verdict.
        pub verdict: VerdictKind,
        /// The policies that decided.
        pub policies: List<'a, PolicyRef<'a>>,
        /// What was asked for, one action on one object each.
        pub touches: List<'a, Touch<'a>>,
        /// The masks that will be applied.
        pub masks: List<'a, MaskUse<'a>>,
        /// Why, in words; empty where the policies say it all.
        pub reason: Cow<'a, str>,
        /// Where each output column comes from, as the analysis found it.
        pub lineage: Cow<'a, str>,
    }
}

impl Judged<'_> {
    /// A verdict without policies, masks or words.
    pub fn new(request: u64, verdict: VerdictKind) -> Self {
        Judged {
            request,
            verdict,
            policies: List::default(),
            touches: List::default(),
            masks: List::default(),
            reason: Cow::Borrowed(""),
            lineage: Cow::Borrowed(""),
        }
    }
}

wire_struct! {
    /// A request waits for an approval.
    pub struct Held<'a> {
        /// The request's number.
        pub request: u64,
        /// The approval's id.
        pub approval: Cow<'a, str>,
        /// The groups that may approve.
        pub approvers: List<'a, Cow<'a, str>>,
        /// How many distinct people must.
        pub quorum: u32,
        /// When the wait ends.
        #[serde(serialize_with = "time")]
        pub expires: Timestamp,
    }
}

wire_struct! {
    /// A hold ended.
    pub struct Decided<'a> {
        /// The request's number.
        pub request: u64,
        /// The approval's id.
        pub approval: Cow<'a, str>,
        /// How it ended.
        pub outcome: HoldOutcome,
        /// Who decided.
        pub by: List<'a, Cow<'a, str>>,
        /// The reason they gave.
        pub reason: Cow<'a, str>,
    }
}

wire_struct! {
    /// A column of a result.
    pub struct Column<'a> {
        /// Its name.
        pub name: Cow<'a, str>,
        /// Its type's number on the target; 0 where it has none.
        pub type_id: u32,
        /// 0 for text, 1 for binary.
        pub format: u16,
    }
}

wire_struct! {
    /// The shape of a result.
    pub struct Columns<'a> {
        /// The request's number.
        pub request: u64,
        /// Its columns.
        pub columns: List<'a, Column<'a>>,
    }
}

wire_struct! {
    /// Part of a result as the client got it: after masking, in the frames of its protocol. The pieces of one request
    /// are one stream; a frame may begin in one event and end in the next.
    pub struct Rows<'a> {
        /// The request's number.
        pub request: u64,
        /// Rows that end in this piece.
        pub count: u64,
        /// The frames.
        pub data: Blob<'a>,
    }
}

wire_struct! {
    /// Part of what the client sent in bulk, in the frames of its protocol.
    pub struct Input<'a> {
        /// The request's number.
        pub request: u64,
        /// The frames.
        pub data: Blob<'a>,
    }
}

wire_struct! {
    /// The limit on recorded bytes of one request was reached; what follows was delivered and is not recorded.
    pub struct RowsCut<'a> {
        /// The request's number.
        pub request: u64,
        /// The limit, in bytes.
        pub limit: u64,
        /// What was cut: `rows` or `input`.
        pub what: Cow<'a, str>,
    }
}

wire_struct! {
    /// Something the target said beside the result: a notice, a notification, a changed parameter.
    pub struct Notice<'a> {
        /// The request it belongs to, where one was running.
        pub request: Option<u64>,
        /// What it is: `NOTICE`, `WARNING`, `NOTIFICATION`, …
        pub severity: Cow<'a, str>,
        /// Its SQLSTATE or code.
        pub code: Cow<'a, str>,
        /// Its text as the client got it.
        pub message: Cow<'a, str>,
    }
}

wire_struct! {
    /// An error as the client got it.
    pub struct Failure<'a> {
        /// SQLSTATE or the protocol's code.
        pub code: Cow<'a, str>,
        /// The text, after masking.
        pub message: Cow<'a, str>,
        /// Whose fault: `client`, `target`, `policy` or `us`.
        pub fault: Cow<'a, str>,
    }
}

wire_struct! {
    /// A request ended. The one terminal event of every [`Asked`].
    pub struct Done<'a> {
        /// The request's number.
        pub request: u64,
        /// How it ended.
        pub outcome: DoneKind,
        /// The command tag, such as `SELECT 3`.
        pub tag: Cow<'a, str>,
        /// Rows delivered, recorded or not.
        pub rows: u64,
        /// Result bytes delivered, recorded or not.
        pub bytes: u64,
        /// The error, where there was one.
        pub error: Option<Failure<'a>>,
        /// From asked to done, in microseconds.
        pub duration_us: u64,
    }
}

impl Done<'_> {
    /// An end without tag, rows or error.
    pub fn new(request: u64, outcome: DoneKind) -> Self {
        Done { request, outcome, tag: Cow::Borrowed(""), rows: 0, bytes: 0, error: None, duration_us: 0 }
    }
}

wire_struct! {
    /// Somebody asked for what is running to be cancelled. The request's own [`Done`] says what came of it.
    pub struct Cancelled<'a> {
        /// The request that was running, where one was.
        pub request: Option<u64>,
        /// Who: `client`, a user name, or a limit.
        pub by: Cow<'a, str>,
    }
}

wire_struct! {
    /// The session ended. The last event of every session's recording.
    pub struct SessionClosed<'a> {
        /// Why.
        pub reason: CloseReason,
        /// In words, where there are any.
        pub detail: Cow<'a, str>,
        /// Requests in all.
        pub requests: u64,
        /// Rows delivered in all.
        pub rows: u64,
        /// Result bytes delivered in all.
        pub bytes: u64,
    }
}

wire_struct! {
    /// The gateway came back after it died, and finished this recording.
    pub struct Recovered<'a> {
        /// Why the recording had no end.
        pub reason: Cow<'a, str>,
        /// Requests that had no end and now have one (`aborted`).
        pub requests: u64,
        /// Bytes of a half-written frame that were cut off the end.
        pub torn_bytes: u64,
    }
}

wire_struct! {
    /// The gateway started. First event of a gateway log.
    pub struct GatewayStarted<'a> {
        /// Its version.
        pub version: Cow<'a, str>,
        /// The digest of its configuration, secrets not resolved.
        pub config: Digest,
    }
}

wire_struct! {
    /// The gateway stopped in order.
    pub struct GatewayStopped<'a> {
        /// Why.
        pub reason: Cow<'a, str>,
    }
}

wire_struct! {
    /// Configuration was read again.
    pub struct ConfigReloaded<'a> {
        /// Whether it was taken.
        pub accepted: bool,
        /// The digest of the new text.
        pub config: Digest,
        /// What changed, or what is wrong with it.
        pub detail: Cow<'a, str>,
    }
}

wire_struct! {
    /// Policies were read.
    pub struct PolicyLoaded<'a> {
        /// Whether they were taken.
        pub accepted: bool,
        /// The digest over all policy files.
        pub policies: Digest,
        /// How many there are.
        pub count: u64,
        /// What is wrong with them, where they were not taken.
        pub detail: Cow<'a, str>,
    }
}

wire_struct! {
    /// A token was made.
    pub struct TokenCreated<'a> {
        /// Its id; never the token.
        pub token_id: Cow<'a, str>,
        /// Whom it stands for.
        pub user: Cow<'a, str>,
        /// The groups it carries.
        pub groups: List<'a, Cow<'a, str>>,
        /// Person, service or agent.
        #[serde(serialize_with = "kind_word")]
        pub kind: IdentityKind,
        /// The targets it is for; empty means all.
        pub targets: List<'a, Cow<'a, str>>,
        /// When it ends.
        #[serde(serialize_with = "time_or_null")]
        pub expires: Option<Timestamp>,
        /// Who made it.
        pub by: Cow<'a, str>,
    }
}

wire_struct! {
    /// A token was revoked.
    pub struct TokenRevoked<'a> {
        /// Its id.
        pub token_id: Cow<'a, str>,
        /// Who revoked it.
        pub by: Cow<'a, str>,
    }
}

wire_struct! {
    /// A login failed. Names are what the stranger claimed.
    pub struct LoginFailed<'a> {
        /// The client's address.
        pub client: Cow<'a, str>,
        /// The protocol.
        pub protocol: Cow<'a, str>,
        /// The user name claimed.
        pub user: Cow<'a, str>,
        /// The target asked for.
        pub target: Cow<'a, str>,
        /// The true reason, which the stranger is not told.
        pub reason: Cow<'a, str>,
    }
}

wire_struct! {
    /// Somebody decided on an approval, through the API or the command line.
    pub struct ApprovalDecided<'a> {
        /// The approval's id.
        pub approval: Cow<'a, str>,
        /// The session that waits.
        pub session: Cow<'a, str>,
        /// What was decided.
        pub outcome: HoldOutcome,
        /// Who decided.
        pub by: Cow<'a, str>,
        /// The reason given.
        pub reason: Cow<'a, str>,
    }
}

wire_struct! {
    /// An administrator ended a session.
    pub struct SessionCut<'a> {
        /// The session.
        pub session: Cow<'a, str>,
        /// Who ended it.
        pub by: Cow<'a, str>,
        /// The reason given.
        pub reason: Cow<'a, str>,
    }
}

wire_struct! {
    /// Somebody asked for the values behind tokens of masked data. Neither is recorded.
    pub struct Detokenized<'a> {
        /// Who asked.
        pub by: Cow<'a, str>,
        /// The client's address.
        pub client: Cow<'a, str>,
        /// The label.
        pub label: Cow<'a, str>,
        /// The number of tokens that were sent.
        pub tokens: u64,
        /// The number of tokens whose values were given.
        pub read: u64,
        /// Whether policy allowed it.
        pub allowed: bool,
        /// Why not.
        pub reason: Cow<'a, str>,
    }
}

/// Declares the list of events with their codes on disk.
macro_rules! events {
    ($($(#[$meta:meta])* $name:ident = $code:literal,)*) => {
        /// What happened. On disk one byte of code, the length of the body, the time, the fields.
        #[derive(Clone, Debug, PartialEq, Eq, Serialize)]
        #[serde(tag = "event", rename_all = "snake_case")]
        pub enum Event<'a> { $($(#[$meta])* $name($name<'a>),)* }

        impl Event<'_> {
            /// The event's name in exports.
            pub fn name(&self) -> &'static str {
                match self { $(Event::$name(_) => stringify!($name),)* }
            }

            const fn code(&self) -> u8 {
                match self { $(Event::$name(_) => $code,)* }
            }

            fn put_fields(&self, out: &mut Vec<u8>) {
                match self { $(Event::$name(fields) => fields.put(out),)* }
            }

            fn read_fields(code: u8, from: &mut Decoder<'_>) -> Result<Self, DecodeError> {
                match code {
                    $($code => Ok(Event::$name(Wire::read(from)?)),)*
                    value => Err(DecodeError::Unknown { what: "event", value }),
                }
            }
        }

        $(impl<'a> From<$name<'a>> for Event<'a> {
            fn from(fields: $name<'a>) -> Self { Event::$name(fields) }
        })*
    };
}

events! {
    /// A session began.
    SessionOpened = 1,
    /// Something was asked for.
    Asked = 2,
    /// Policy judged it.
    Judged = 3,
    /// It waits for an approval.
    Held = 4,
    /// The wait ended.
    Decided = 5,
    /// The shape of its result.
    Columns = 6,
    /// Part of its result.
    Rows = 7,
    /// Part of what the client sent in bulk.
    Input = 8,
    /// The rest of the result is not recorded.
    RowsCut = 9,
    /// The target said something beside the result.
    Notice = 10,
    /// It ended.
    Done = 11,
    /// Somebody asked for a cancel.
    Cancelled = 12,
    /// The session ended.
    SessionClosed = 13,
    /// The recording was finished after a crash.
    Recovered = 14,
    /// The gateway started.
    GatewayStarted = 32,
    /// The gateway stopped.
    GatewayStopped = 33,
    /// Configuration was read again.
    ConfigReloaded = 34,
    /// Policies were read.
    PolicyLoaded = 35,
    /// A token was made.
    TokenCreated = 36,
    /// A token was revoked.
    TokenRevoked = 37,
    /// A login failed.
    LoginFailed = 38,
    /// An approval was decided.
    ApprovalDecided = 39,
    /// A session was ended by an administrator.
    SessionCut = 40,
    /// Tokens of masked data were read back, or were not allowed to be.
    Detokenized = 41,
}

/// Appends an event in its encoded form.
pub(crate) fn put_event(out: &mut Vec<u8>, event: &Event<'_>, now: Timestamp) {
    out.push(event.code());
    // The length goes before the body. Four bytes are kept for it and filled in after, which costs less than moving.
    let at = out.len();
    out.extend_from_slice(&[0; 4]);
    now.put(out);
    event.put_fields(out);
    let body = out.len().saturating_sub(at).saturating_sub(4);
    let length = u32::try_from(body).unwrap_or(u32::MAX).to_le_bytes();
    if let Some(slot) = out.get_mut(at..at.saturating_add(4)) {
        slot.copy_from_slice(&length);
    }
}

/// Reads the next event.
pub(crate) fn read_event(from: &mut Decoder<'_>) -> Result<(Timestamp, Event<'static>), DecodeError> {
    let code = from.byte()?;
    let length: [u8; 4] = from.take(4)?.try_into().map_err(|_| DecodeError::Short)?;
    let length = usize::try_from(u32::from_le_bytes(length)).map_err(|_| DecodeError::Short)?;
    let mut body = Decoder::new(from.take(length)?);
    let time = Timestamp::read(&mut body)?;
    let event = Event::read_fields(code, &mut body)?;
    body.finish()?;
    Ok((time, event))
}

/// One event in its encoded form, as it stands in a frame. For tests and fuzzing.
pub fn encode_event(event: &Event<'_>, time: Timestamp) -> Vec<u8> {
    let mut out = Vec::new();
    put_event(&mut out, event, time);
    out
}

/// Every event of a decoded frame; any bytes give events or an error.
pub fn decode_events(bytes: &[u8]) -> Result<Vec<(Timestamp, Event<'static>)>, DecodeError> {
    let mut from = Decoder::new(bytes);
    let mut events = Vec::new();
    while from.remaining() > 0 {
        events.push(read_event(&mut from)?);
    }
    Ok(events)
}
