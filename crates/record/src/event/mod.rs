//! Everything that can stand in a recording. A closed list: whoever adds an event decides at every match what it means.
//!
//! One type serves both ways. Writers build events out of borrowed text, so that the hot path copies each byte once,
//! into the frame; readers get `Event<'static>`. The names of fields are those of the JSON export and do not change.
//! What a result cell looks like is not known here: rows are kept as the client's protocol framed them, after masking.

mod certificate;
mod gateway;
mod session;
mod words;

pub use certificate::{Certificate, CertifiedColumn, CertifiedRule, CertifiedStatement, CertifiedUse, Origin};
pub use gateway::{
    Administered, ApprovalDecided, ConfigReloaded, Detokenized, GatewayStarted, GatewayStopped, LoginFailed,
    PolicyLoaded, SessionCut, TokenCreated, TokenRevoked, TokenUsed,
};
pub(crate) use session::length;
pub use session::{
    Asked, Cancelled, Column, Columns, Decided, Done, Failure, Held, Input, Judged, MaskUse, Notice, Parameter, Party,
    PolicyRef, Recovered, Rows, RowsCut, SessionClosed, SessionOpened, Setting, Touch,
};
pub use words::{CloseReason, DoneKind, HoldOutcome, RequestKind, VerdictKind};

use crate::wire::{DecodeError, Decoder, Wire};
use lockgate_core::{IdentityKind, Timestamp};
use serde::{Serialize, Serializer};

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
    /// Where the columns of results come from, for the verdicts that name it.
    Certificate = 15,
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
    /// Users, groups or roles were changed.
    Administered = 42,
    /// A token was used at the API.
    TokenUsed = 43,
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
