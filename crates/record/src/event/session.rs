//! What happens in a session: who came, what was asked, what policy said of it, what went back and forth, how it ended.

use super::words::{CloseReason, DoneKind, HoldOutcome, RequestKind, VerdictKind};
use super::{kind_word, time};
use crate::wire::{Blob, Digest, List, wire_struct};
use lockgate_core::{Identity, IdentityKind, Timestamp};
use std::borrow::Cow;

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
    later {
        /// The only actions that the proof is for, beside `connect`; empty means all.
        pub actions: List<'a, Cow<'a, str>>,
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
                .map(|p| {
                    let groups = p.groups.as_ref().or(p.directories.first());
                    Party { user: p.user.as_str().into(), groups: groups.map(words).unwrap_or_default() }
                })
                .collect(),
            token_id: identity.token_id.as_deref().map(Cow::Borrowed),
            client: client.into(),
            target: target.into(),
            database: database.into(),
            protocol: protocol.into(),
            parameters: List::default(),
            gateway: Cow::Borrowed(env!("CARGO_PKG_VERSION")),
            actions: identity.actions.iter().flatten().map(|action| Cow::Borrowed(action.name())).collect(),
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
        /// Where each output column comes from, in recordings from before there were certificates.
        pub lineage: Cow<'a, str>,
    }
    later {
        /// The numbers of the certificates that say where each output column comes from and what becomes of it: that of
        /// the request's own text, then those of the statements that its names stand for.
        pub certificates: List<'a, u64>,
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
            certificates: List::default(),
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

/// A length as the recording writes it.
pub(crate) fn length(bytes: &[u8]) -> u64 {
    u64::try_from(bytes.len()).unwrap_or(u64::MAX)
}
