//! The query cycle: from a finished login to the last byte. One side's frames come in, each is understood, and what
//! policy allows goes out on the other side; what comes back is matched with what was sent and goes through the mask.
//!
//! ```text
//!   client frames ──► client.rs ──► simple.rs, extended.rs, call.rs ──► submit ──► to the target
//!                        │  ▲          meaning.rs: what names stand for            names.rs: statements, portals
//!                        │  │                                                      expect: what the target still owes
//!                 wait for a decision, for the catalog (inquiry.rs), or for earlier answers
//!                        │  │
//!   to the client ◄── mask ◄── target.rs ◄── target frames
//! ```
//!
//! The target's answers come in the order of the frames that were sent, so a queue of expectations says what each belongs
//! to. An answer that does not fit the head of the queue ends the session: it could be data under a wrong plan.

mod altering;
mod call;
mod carry;
mod client;
mod copied;
mod copying;
mod doubt;
mod extended;
mod inquiry;
mod meaning;
mod overlong;
mod parts;
mod plans;
mod probes;
mod put_off;
mod renamed;
mod result;
mod rights;
mod said;
mod simple;
mod sizes;
mod target;
mod titles;

use crate::alterations::{AsOf, Asked};
use crate::cancel::CancelRequest;
use crate::frame::Frame;
use crate::message::TransactionStatus;
use crate::names::Names;
use crate::own::{self, OwnReport, Severity};
use crate::prepare::{Prepared, Readable, With};
use crate::shared::{Shared, Snapshot, View};
use bytes::{Bytes, BytesMut};
use call::Called;
use copied::Copied;
use doubt::{Doubting, Judged};
use inquiry::Inquiry;
use lockgate_core::limits::{CATALOG_REST_MS, HOLD_NOTICE_MS, PG_NAMED_BYTES_MAX, PG_PORTALS_MAX, PG_STATEMENTS_MAX};
use lockgate_core::{Fault, SqlState, Timestamp};
use lockgate_mask::{ContentPlan, CopyMasker, OwnMessage, RowMasker, RowStream, Touch};
use lockgate_record::{CloseReason, DoneKind};
use lockgate_session::wire::{Ask, Cut, Decided, Io};
use lockgate_session::{ApprovalNeed, Denial, Ended, Judgement, Parked, Permit, Plan, Plumbing, Session};
use lockgate_sql::{Effect, ParameterTypes};
use meaning::Named;
use renamed::Standing;
use sizes::Sizes;
use std::collections::VecDeque;
use std::sync::{Arc, OnceLock};

/// Text of the statement that makes the target fail an open transaction after a refusal. It is no SQL on purpose.
const ABORT_TEXT: &[u8] = b"refused by lockgate policy";

/// A prepared statement of the session.
#[derive(Clone)]
pub(crate) struct Statement {
    prepared: Arc<Prepared>,
    /// Of which statement of the text it is the inside (`PREPARE`), if it is one.
    inside: Option<usize>,
    /// The result's shape, once the target described it.
    shape: Shape,
    standing: Standing,
}

/// A result's shape as the target described it, `None` for no rows. Shared by everything that was sent under the same
/// meaning of a name: a pipeline may give the name another meaning before the first answer comes.
type Shape = Arc<OnceLock<Option<Bytes>>>;

impl Statement {
    fn subject(&self) -> &Arc<Prepared> {
        match self.inside {
            Some(index) => self.prepared.inner(index).unwrap_or(&self.prepared),
            None => &self.prepared,
        }
    }

    /// The shape of its results, where that is the statement's own: EXECUTE and FETCH have that of what their names stand
    /// for when they are bound.
    fn own_shape(&self) -> Option<&Shape> {
        let runs_a_name = self.subject().statements().first().is_some_and(|s| meaning::by_name(&s.effect));
        (!runs_a_name).then_some(&self.shape)
    }
}

/// The values of a Bind with their format codes; `None` is NULL.
type Values = Arc<[(Option<Box<[u8]>>, u16)]>;

/// A portal or cursor of the session.
pub(crate) struct Portal {
    /// What its rows are; `None` for a cursor that was opened out of our sight.
    statement: Option<Statement>,
    /// What it was opened for, where that does not say any more what its rows are.
    outlived: Option<Statement>,
    /// The result formats of Bind.
    formats: Arc<[u16]>,
    /// The parameters: the values of Bind with their formats.
    parameters: Values,
    /// The shape with formats, once the target described the portal.
    shape: Shape,
    /// The masker of its rows, made with the first.
    masker: Arc<OnceLock<Arc<RowMasker>>>,
    /// Left by an approval at Bind.
    permit: Option<Permit>,
    /// What was asked for when a request on it was approved: later pieces of the same portal belong to it.
    approved: Vec<ApprovalNeed>,
    /// It was executed before: what it compares has been paid for.
    begun: bool,
    /// By what it was judged when it was opened, until the target has opened it.
    judged: Option<Judged>,
    /// The groups of what it aggregates were found to be large when it was opened, and with it its rows were fixed.
    sized: bool,
    /// It outlives the transaction.
    holds: bool,
    /// It did, and has all of its rows.
    made: bool,
    /// Of a cursor that outlives the transaction and looks names up as its rows are made, which is when that is committed: as
    /// of when they are known, and the labels.
    since: Option<(AsOf, u64)>,
    standing: Standing,
}

/// What the target still owes an answer to.
enum Expect {
    Simple(Box<Simple>),
    Parse {
        request: u64,
    },
    Bind,
    DescribeStatement {
        shape: Option<Shape>,
        subject: Option<Arc<Prepared>>,
    },
    DescribePortal {
        shape: Option<Shape>,
        subject: Option<Arc<Prepared>>,
        swallow: bool,
    },
    Execute(Box<Execution>),
    CloseStatement,
    ClosePortal,
    Sync,
    Call(Box<Called>),
    Inquiry,
    /// What a COPY of a query gives out; the COPY comes next.
    Copied(Box<Copied>),
    /// Not from the target: these bytes are the gateway's own and go out when it is their turn.
    Own(Bytes),
    /// The end of a transaction that the gateway put around a statement.
    Bracket(Bracket),
    /// The target was made to fail; its error is replaced by this one.
    Refused(Bytes),
    /// The same for a simple query, whose ReadyForQuery follows.
    RefusedQuery {
        own: Option<Bytes>,
    },
}

/// A simple query on its way.
struct Simple {
    request: u64,
    prepared: Arc<Prepared>,
    /// The plans where they differ from the judgement's: of EXECUTE, FETCH and MOVE.
    plans: Option<Vec<Arc<Plan>>>,
    /// What these run.
    named: Named,
    /// Labels that it brings to columns.
    carries: Option<Box<carry::Carries>>,
    /// Its CommandComplete, which the client gets once they are kept.
    held_back: Option<Bytes>,
    /// It ends a pipeline, and with it what the pipeline's transaction put off.
    ends_pipeline: bool,
    /// The statement whose answer comes next.
    index: usize,
    result: Flow,
    tag: String,
    failed: bool,
    /// BEGIN was put before the text, and is still to be answered.
    opening: bool,
    /// BEGIN was put before the text.
    bracketed: bool,
    /// That transaction failed, and its end was sent.
    undone: bool,
    /// By what it was judged; `None` where that does not matter.
    judged: Option<Judged>,
}

/// What a statement in a transaction of the gateway's own still owes until that is committed.
#[derive(Default)]
struct Bracket {
    /// Its CommandComplete, for the client.
    held_back: Option<Bytes>,
    /// Its end, for the recording: the request and the command tag.
    request: Option<(u64, String)>,
}

impl Simple {
    fn plans(&self) -> &[Arc<Plan>] {
        self.plans.as_deref().unwrap_or(&self.prepared.judgement.plans)
    }

    /// The plan of the statement whose answer comes next.
    fn plan(&self) -> Option<&Arc<Plan>> {
        self.plans().get(self.index)
    }

    /// Whether what the target says beside the results may hold what is masked: of the statement that runs, or, between its
    /// end and ReadyForQuery, of any.
    fn touch(&self) -> Touch {
        let runs_what_was_put_off = self.index < self.prepared.statements().len()
            && self.named.ran(&self.prepared, self.index).is_none_or(|mut ran| ran.any(runs_what_was_put_off));
        if runs_what_was_put_off || self.ends_pipeline {
            return Touch::Labelled;
        }
        // The last statement's answer comes after the end of the transaction, and with it what the others put off.
        let before = self.plans().get(..self.index).unwrap_or_default();
        match self.plan() {
            Some(plan) if before.iter().all(|p| p.touch == Touch::Clean) => plan.touch,
            Some(_) => Touch::Labelled,
            None if !self.plans().is_empty() && self.plans().iter().all(|p| p.touch == Touch::Clean) => Touch::Clean,
            None => Touch::Labelled,
        }
    }
}

/// An Execute on its way.
struct Execution {
    request: u64,
    statement: Option<Statement>,
    /// What it runs by name.
    named: Named,
    /// Labels that it brings to columns.
    carries: Option<Box<carry::Carries>>,
    plan: Arc<Plan>,
    /// The plan is of another statement: of EXECUTE and FETCH.
    resolved: bool,
    /// Of the portal as it was when this was sent.
    shape: Shape,
    masker: Arc<OnceLock<Arc<RowMasker>>>,
    formats: Arc<[u16]>,
    result: Flow,
    /// By what it was judged; `None` where that does not matter.
    judged: Option<Judged>,
    /// Its answer is withheld, which is on record.
    withheld: bool,
}

/// Where the rows of one result stand.
#[derive(Default)]
struct Flow {
    masker: Option<Arc<RowMasker>>,
    copy: Option<Box<CopyMasker>>,
    /// What a copied query gives out, as far as it was asked.
    copied: Shape,
    /// The error with which that question made the client's transaction fail, which is then that of the COPY.
    copied_failed: Option<Bytes>,
}

/// Why client frames are not taken now.
enum Waiting {
    /// The target has to answer what was sent first.
    Answers(Frame),
    /// The gateway asked the target: about its catalog, or for the sizes of groups.
    Target(Asking),
    /// The same, and meanwhile the client asked to stop what it takes to be running.
    Cancelled(Frame),
    /// People decide.
    Decision(Box<Held>),
    /// They did; the catalog may have changed meanwhile, and is asked for again.
    Approved(Box<Held>, Decided),
}

/// A frame for which the target is asked. What it says is for this frame: the answer is with it, and goes with it.
struct Asking {
    frame: Frame,
    /// The sizes of the groups of what it aggregates.
    sizes: Option<Result<Sizes, String>>,
}

/// What requests that the target has not answered may change, so that a later frame cannot be understood before.
#[derive(Clone, Copy, Default)]
struct Changing {
    /// Which statements and cursors the session's names stand for: `PREPARE`, `DEALLOCATE`, `DECLARE`.
    names: bool,
    /// What the names in a text mean: DDL, `search_path`, a rollback of either.
    catalog: bool,
}

/// A request that waits for people.
struct Held {
    parked: Parked,
    frame: Frame,
    groups: String,
    expires: Timestamp,
}

/// Why the catalog is not known although it was asked for.
#[derive(Clone, Copy)]
enum Unknown {
    /// It could not be read.
    Unread,
    /// It changed since the open transaction began, which its isolation level hides from this session's questions.
    Hidden,
}

/// The target's state as far as names depend on it.
struct Truth {
    snapshot: Arc<Snapshot>,
    /// The snapshot is this session's alone: it holds what only its transaction or its temporary schema knows.
    private: bool,
    path: Vec<String>,
    path_id: u64,
    /// As of when the path is known, and the version of the catalog then.
    path_as_of: AsOf,
    path_version: String,
    /// When this session was last answered.
    asked: Timestamp,
    /// The process of the server that answered.
    process: Option<i32>,
    /// It was answered for the frame that comes now, which does not ask again because that took long.
    answered: bool,
    /// How many answers in a row came late.
    late_answers: u8,
    /// Something moved since.
    moved: bool,
    /// Something moved in the open transaction.
    moved_in_transaction: bool,
    /// Code may have opened cursors out of our sight in this transaction: the names, path and rules by which the first of it was judged.
    opens_unseen: Option<(u64, u64, u64)>,
    /// Why the catalog is not known although it was asked for.
    unknown: Option<Unknown>,
    /// How often it was asked for in vain since it could be.
    attempts: u8,
    /// Since when answers do not tell what others altered.
    behind: Option<Timestamp>,
    /// What [`Shared::changes`] was when the last transaction began.
    changes: u64,
    /// Code ran that nobody could look into: what it did to the transaction takes effect with the next ReadyForQuery, and
    /// what was asked before that is not true after it.
    late: bool,
    /// As of when the snapshot is known.
    as_of: AsOf,
    /// The question that was answered last.
    answer: Option<Asked>,
    /// That answer was of the beginning of the transaction.
    of_beginning: bool,
    /// The session was idle for long, and let go of the catalog.
    rests: bool,
    /// The catalog by which everything was judged that the target keeps plans of; `None` where it keeps none.
    plans: Option<u64>,
}

/// A session after login.
pub(crate) struct Pump {
    session: Box<Session>,
    shared: Arc<Shared>,
    identity_view: u64,
    truth: Truth,
    lexing: Lexing,
    status: TransactionStatus,
    cancel: Option<CancelRequest>,
    pid: i32,
    expect: VecDeque<Expect>,
    statements: Names<Statement>,
    portals: Names<Portal>,
    /// Frames were sent that no Sync ended yet.
    unsynced: bool,
    /// Among them is a Bind or an Execute: a Sync of the gateway's own would end more than preparing.
    bound: bool,
    /// How many Syncs were sent.
    batch: u64,
    /// What requests on their way may do to the meaning of later ones.
    changing: Changing,
    /// Client frames are dropped up to the next Sync.
    skipping: bool,
    waiting: Option<Waiting>,
    /// A message that is sent in parts; the client's next frames wait for its end.
    parts: Option<parts::Parts>,
    inquiry: Option<Inquiry>,
    /// A statement that has brought labels to columns which are not kept yet.
    carrying: Option<carry::Carrying>,
    /// The labels that the open transaction brought.
    brought: carry::Brought,
    /// Something failed outside of a transaction of the client's: what its pipeline did is undone.
    failed_alone: bool,
    /// The request that the client sends data for.
    copy_in: Option<u64>,
    row_stream: Option<RowStream>,
    /// A row was too long to be masked: what the client is told in the place of the target's next word on that statement.
    overlong: Option<Bytes>,
    /// Bytes of a row that are still to be dropped.
    dropping: usize,
    /// Bytes of a CopyData message that are still to come, which is longer than what is held.
    copy_left: usize,
    /// What is sent that may alter the catalog, and what is held back because others did.
    doubting: Doubting,
    /// What of the open transaction set off code that runs at its end.
    put_off: put_off::PutOff,
    /// The content rules, and the version of the rules they are of.
    content: Option<Arc<ContentPlan>>,
    content_version: Option<u64>,
    /// The version of the rules that everything on its way was judged by.
    rights_of: u64,
    cut: Option<Cut>,
    /// Code ran that nobody could look into, at any time and in the open transaction.
    opaque: bool,
    opaque_in_transaction: bool,
    /// The target's last word was FATAL: the client knows why the connection ends.
    target_said_goodbye: bool,
    closed: bool,
    base_url: Arc<str>,
    /// Stands before the gateway's own questions.
    comment: String,
}

/// Whether the target reads texts as the analysis does.
#[derive(Clone, Copy)]
pub(crate) struct Lexing {
    /// `standard_conforming_strings` is on.
    pub(crate) strings: bool,
    /// The client's encoding is UTF-8.
    pub(crate) encoding: bool,
    /// The server keeps names as the session sends them, if that is in UTF-8.
    pub(crate) server: bool,
}

impl Lexing {
    /// The target reported a setting.
    pub(crate) fn reported(&mut self, name: &[u8], value: &[u8]) {
        match name {
            b"standard_conforming_strings" => self.strings = value == b"on",
            b"client_encoding" => self.encoding = value.eq_ignore_ascii_case(b"UTF8"),
            _ => {}
        }
    }
}

/// Whether a server with this encoding keeps what comes in UTF-8 as it is.
pub(crate) fn keeps_utf8(server_encoding: &[u8]) -> bool {
    server_encoding.eq_ignore_ascii_case(b"UTF8") || server_encoding.eq_ignore_ascii_case(b"SQL_ASCII")
}

/// What a pump starts with.
pub(crate) struct Start {
    pub(crate) session: Box<Session>,
    pub(crate) shared: Arc<Shared>,
    pub(crate) cancel: Option<CancelRequest>,
    pub(crate) status: TransactionStatus,
    pub(crate) lexing: Lexing,
    pub(crate) base_url: Arc<str>,
}

impl Pump {
    pub(crate) fn new(start: Start) -> Pump {
        let Start { session, shared, cancel, status, lexing, base_url } = start;
        let identity_view = shared.identity_id(session.identity(), session.peer().ip());
        let snapshot = shared.snapshot().unwrap_or_else(|| Arc::new(Snapshot::empty(session.target())));
        let pid = cancel.as_ref().map_or(0, |c| c.pid);
        let comment = format!(
            "/* lockgate session={} identity={} */ ",
            session.id(),
            spelled(&session.identity().display_chain())
        );
        Pump {
            identity_view,
            truth: Truth {
                snapshot,
                private: false,
                path: Vec::new(),
                path_id: 0,
                path_as_of: AsOf::default(),
                path_version: String::new(),
                asked: Timestamp::default(),
                process: None,
                answered: false,
                late_answers: 0,
                moved: true,
                moved_in_transaction: false,
                opens_unseen: None,
                unknown: None,
                attempts: 0,
                behind: None,
                changes: 0,
                late: false,
                as_of: AsOf::default(),
                answer: None,
                of_beginning: false,
                rests: false,
                plans: None,
            },
            session,
            shared,
            lexing,
            status,
            cancel,
            pid,
            expect: VecDeque::new(),
            statements: Names::new(PG_STATEMENTS_MAX, PG_NAMED_BYTES_MAX),
            portals: Names::new(PG_PORTALS_MAX, PG_NAMED_BYTES_MAX),
            unsynced: false,
            bound: false,
            batch: 0,
            changing: Changing::default(),
            skipping: false,
            waiting: None,
            parts: None,
            inquiry: None,
            carrying: None,
            brought: carry::Brought::default(),
            failed_alone: false,
            copy_in: None,
            row_stream: None,
            overlong: None,
            dropping: 0,
            copy_left: 0,
            doubting: Doubting::default(),
            put_off: put_off::PutOff::default(),
            content: None,
            content_version: None,
            rights_of: 0,
            cut: None,
            opaque: false,
            opaque_in_transaction: false,
            target_said_goodbye: false,
            closed: false,
            base_url,
            comment,
        }
    }

    /// Sees to it that what the target says from now on is looked into by the content rules of now.
    fn keep_content(&mut self, io: &mut Io) {
        // A row in pieces ends under the rules it began with.
        if self.row_stream.is_some() {
            return;
        }
        if let Some((version, content)) = self.session.content(self.content_version, io.now) {
            self.content_version = Some(version);
            self.content.clone_from(&content);
            io.client.set_content(content);
        }
    }

    /// Whether anything on the target is labelled.
    fn labelled(&self) -> bool {
        self.session.target().has_labels()
    }

    /// Whether a verdict depends on which tables a text names: one of them is labelled, or a policy speaks of some.
    fn names_matter(&mut self) -> bool {
        self.labelled() || self.session.rules().policies.speak_of_tables()
    }

    fn view(&self, rules: u64, as_it_is: bool) -> View {
        View {
            snapshot: self.truth.snapshot.id,
            names: self.truth.snapshot.names,
            path: self.truth.path_id,
            identity: self.identity_view,
            rules,
            as_it_is,
            begins: false,
            parameters: ParameterTypes::default(),
        }
    }

    /// Whether what this identity sends is rewritten.
    fn rewrites(&self) -> bool {
        self.session.target().rewrites.are_for(self.session.identity())
    }

    /// Analyses and judges a text under what is known now.
    fn prepare(&mut self, text: &[u8], now: Timestamp) -> Arc<Prepared> {
        self.prepare_with(false, now, |with, shared| Prepared::of(text, with, shared))
    }

    /// The same of a message that is sent as it is, of one statement or several.
    fn prepare_message(&mut self, text: &[u8], now: Timestamp) -> Arc<Prepared> {
        // With one statement nothing follows the end of a transaction.
        let several = text.trim_ascii_end().iter().rev().skip(1).any(|byte| *byte == b';');
        let begins = several && self.status == TransactionStatus::Idle && !self.unsynced;
        self.prepare_with(false, now, |with, shared| {
            let view = View { begins, ..with.view };
            Prepared::of(text, &With { view, ..*with }, shared)
        })
    }

    /// The same of a text whose parameters the client gives types.
    fn prepare_of_types(&mut self, text: &[u8], parameters: ParameterTypes, now: Timestamp) -> Arc<Prepared> {
        self.prepare_with(false, now, |with, shared| {
            let view = View { parameters, ..with.view };
            Prepared::of(text, &With { view, ..*with }, shared)
        })
    }

    /// `as_it_is`: the target has the text already, so it cannot become another.
    fn prepare_with(
        &mut self,
        as_it_is: bool,
        now: Timestamp,
        make: impl FnOnce(&With<'_>, &Shared) -> Arc<Prepared>,
    ) -> Arc<Prepared> {
        let rules = self.session.rules();
        if self.status == TransactionStatus::Idle && self.expect.is_empty() {
            self.truth.changes = self.shared.changes();
        }
        let with = With {
            session: &self.session,
            rules: &rules,
            snapshot: &self.truth.snapshot,
            path: &self.truth.path,
            view: self.view(rules.version, as_it_is),
            rewrites: !as_it_is && self.rewrites(),
            readable: self.readable(),
            now,
        };
        make(&with, &self.shared)
    }

    fn readable(&self) -> Readable {
        match self.lexing {
            Lexing { strings: true, encoding: true, server: true } => Readable::Utf8,
            Lexing { strings: true, encoding: true, server: false } => Readable::ShortNames,
            // Where something is labelled, values in another encoding are not masked well either.
            Lexing { strings: true, encoding: false, .. } if !self.labelled() => Readable::Ascii,
            Lexing { .. } => Readable::Nothing,
        }
    }

    /// The same statement under what is known now.
    fn renew(&mut self, statement: &mut Statement, now: Timestamp) {
        let rules = self.session.rules();
        let as_it_is = self.rewrites();
        let View { parameters, begins, .. } = statement.prepared.view;
        let view = View { parameters, begins, ..self.view(rules.version, as_it_is) };
        if statement.prepared.view != view || statement.prepared.judgement.depends_on_time {
            let before = Arc::clone(&statement.prepared);
            statement.prepared = self.prepare_with(as_it_is, now, |with, shared| before.again(with, shared));
        }
    }

    /// The plan for rows of unknown origin.
    fn unknown_plan(&mut self, now: Timestamp) -> Judgement {
        let rules = self.session.rules();
        self.session.judge(&rules, now).target_action(lockgate_core::Action::Execute)
    }

    // ---- what the client is told ----

    fn report(&self, severity: Severity, denial: &Denial) -> BytesMut {
        let mut out = BytesMut::new();
        let hint = denial.hint_with(self.session.id());
        let report = OwnReport {
            severity,
            sqlstate: denial.sqlstate,
            message: &denial.message,
            detail: denial.detail.as_deref(),
            hint: Some(&hint),
        };
        own::error(&mut out, &report);
        out
    }

    fn own(&self, io: &mut Io, bytes: impl Into<Bytes>) {
        io.client.own(&OwnMessage::not_target_data(bytes));
    }

    fn notice(&self, io: &mut Io, text: &str) {
        let mut out = BytesMut::new();
        own::notice(&mut out, &OwnReport::new(Severity::Notice, SqlState("00000"), text));
        self.own(io, out);
    }

    // ---- ends ----

    /// Ends the session with an error for the client.
    fn fail(&mut self, io: &mut Io, denial: &Denial, reason: CloseReason) {
        if self.closed {
            return;
        }
        let out = self.report(Severity::Fatal, denial);
        self.own(io, out);
        let detail = match &denial.detail {
            Some(detail) => format!("{}: {detail}", denial.message),
            None => denial.message.clone(),
        };
        self.end(io, reason, &detail, Some(denial.fault));
    }

    /// Ends the session.
    fn end(&mut self, io: &mut Io, reason: CloseReason, detail: &str, fault: Option<Fault>) {
        if self.closed {
            return;
        }
        self.closed = true;
        self.leave_altering(io.now);
        self.session.labels().leave(self.session.id(), io.now);
        if matches!(self.waiting, Some(Waiting::Decision(_))) {
            io.asks.push(Ask::Withdraw);
        }
        if self.is_busy() {
            self.cancel_at_target(io);
        }
        let mut bye = BytesMut::new();
        own::terminate(&mut bye);
        io.target.plumbing(Plumbing::Terminate, &bye);
        // A recording that cannot be finished now is finished when the gateway starts again.
        let _ = self.session.close(reason, detail, io.now);
        io.close(detail, fault);
    }

    /// Ends the session because the target broke the protocol or the plan.
    fn target_broke(&mut self, io: &mut Io, why: &str) {
        let denial = Denial::other(
            Fault::Target,
            SqlState::CONNECTION_FAILURE,
            "the target broke the protocol",
            Some(why.to_owned()),
            Some("the session is ended so that nothing passes unmasked".into()),
        );
        self.fail(io, &denial, CloseReason::Protocol);
    }

    fn client_broke(&mut self, io: &mut Io, sqlstate: SqlState, why: &str) {
        let denial = Denial::other(Fault::Client, sqlstate, why, None, None);
        self.fail(io, &denial, CloseReason::Protocol);
    }

    /// Ends the session because its recording failed in the middle of an answer.
    fn unrecordable(&mut self, io: &mut Io, error: &lockgate_record::RecordError) {
        self.fail(io, &Denial::unrecordable(error), CloseReason::Unrecordable);
    }

    pub(crate) fn client_closed(&mut self, io: &mut Io) {
        self.end(io, CloseReason::ClientLost, "the client went away", None);
    }

    pub(crate) fn target_closed(&mut self, io: &mut Io) {
        if self.closed {
            return;
        }
        if self.target_said_goodbye {
            self.end(io, CloseReason::TargetLost, "the target ended the connection", Some(Fault::Target));
            return;
        }
        let denial = Denial::other(
            Fault::Target,
            SqlState::CONNECTION_FAILURE,
            "the target closed the connection",
            None,
            Some("connect again".into()),
        );
        self.fail(io, &denial, CloseReason::TargetLost);
    }

    /// Somebody with the session's key wants what runs to stop.
    pub(crate) fn cancelled(&mut self, io: &mut Io) {
        if self.closed {
            return;
        }
        if let Err(error) = self.session.cancelled("client", io.now) {
            self.unrecordable(io, &error);
            return;
        }
        if matches!(self.waiting, Some(Waiting::Decision(_))) {
            io.asks.push(Ask::Withdraw);
            let decided =
                Decided { outcome: lockgate_session::wire::HoldOutcome::Withdrawn, by: Vec::new(), reason: None };
            self.decided(&decided, io);
            return;
        }
        // Nothing but the gateway's own question is on its way: what waits for it is what the client means.
        let asks = self.expect.iter().all(|e| matches!(e, Expect::Inquiry | Expect::Own(_)));
        let asks_for_others = asks && self.inquiry.is_some();
        match self.waiting.take() {
            Some(Waiting::Answers(frame)) if asks_for_others && frame.tag() == b'Q' => {
                self.waiting = Some(Waiting::Cancelled(frame));
                return;
            }
            None if asks_for_others => return,
            Some(Waiting::Target(Asking { frame, .. }) | Waiting::Cancelled(frame)) if asks => {
                self.waiting = Some(Waiting::Cancelled(frame));
                return;
            }
            Some(Waiting::Approved(held, mut decided)) if asks || self.only_prepares() => {
                decided.outcome = lockgate_session::wire::HoldOutcome::Withdrawn;
                self.waiting = Some(Waiting::Approved(held, decided));
                return;
            }
            other => self.waiting = other,
        }
        if self.is_busy() {
            self.cancel_at_target(io);
        }
    }

    /// Whether nothing is on its way but what prepares statements, and the gateway's own.
    fn only_prepares(&self) -> bool {
        let prepares = |e: &Expect| {
            let named = matches!(e, Expect::Parse { .. } | Expect::DescribeStatement { .. } | Expect::CloseStatement);
            named || matches!(e, Expect::Inquiry | Expect::Own(_))
        };
        self.expect.iter().all(prepares)
    }

    fn is_busy(&self) -> bool {
        self.is_carrying() || self.expect.iter().any(|e| !matches!(e, Expect::Own(_)))
    }

    fn cancel_at_target(&self, io: &mut Io) {
        if let Some(cancel) = &self.cancel {
            let mut prelude = BytesMut::new();
            own::ssl_request(&mut prelude);
            let mut bytes = BytesMut::new();
            cancel.encode(&mut bytes);
            io.asks.push(Ask::TargetAside { prelude: prelude.to_vec(), bytes: bytes.to_vec() });
        }
    }

    /// The session lost its right, or the gateway stops.
    pub(crate) fn cut(&mut self, cut: Cut, io: &mut Io) {
        if cut.after_request && (self.is_busy() || self.waiting.is_some()) {
            self.cut = Some(cut);
            return;
        }
        let reason = if cut.after_request { CloseReason::Shutdown } else { CloseReason::AccessLost };
        let denial = Denial::other(
            Fault::Policy,
            SqlState::ADMIN_SHUTDOWN,
            format!("terminating connection: {}", cut.reason),
            None,
            None,
        );
        self.fail(io, &denial, reason);
    }

    /// What was put off until nothing runs.
    fn when_idle(&mut self, io: &mut Io) {
        if !self.is_busy()
            && let Some(cut) = self.cut.take()
        {
            self.cut(cut, io);
        }
    }

    /// Writes what is to be on record before the bytes of this event go out.
    fn flush_record(&mut self, io: &mut Io) {
        self.session.publish(io);
        if let Err(error) = self.session.flush(io.now) {
            self.unrecordable(io, &error);
        }
    }

    /// Records the end of a request; a recording that fails ends the session.
    fn done(&mut self, io: &mut Io, request: u64, kind: DoneKind, tag: &str, error: Option<(&str, &str, Fault)>) {
        if let Err(failed) = self.session.done(request, &Ended { kind, tag, error }, io.now) {
            self.unrecordable(io, &failed);
        }
    }

    // ---- waiting for people ----

    fn hold(&mut self, io: &mut Io, parked: Parked, ticket: Box<lockgate_session::Ticket>, frame: Frame) {
        let mut groups: Vec<&str> = ticket.needs.iter().flat_map(|n| n.groups.iter().map(String::as_str)).collect();
        groups.sort_unstable();
        groups.dedup();
        let groups = groups.join(" or ");
        let expires = ticket.expires;
        self.waiting = Some(Waiting::Decision(Box::new(Held { parked, frame, groups, expires })));
        io.asks.push(Ask::Hold(ticket));
    }

    /// `waiting for approval by dba: https://…/approvals/ID, expires in 14m50s`
    pub(crate) fn tell_waiting(&mut self, io: &mut Io) {
        let Some(Waiting::Decision(held)) = &self.waiting else { return };
        let left = held.expires.millis_since(io.now).max(0) / 1_000;
        let text = format!(
            "waiting for approval by {}: {}/approvals/{}, expires in {}m{:02}s   session {}",
            held.groups,
            self.base_url,
            held.parked.approval(),
            left / 60,
            left % 60,
            self.session.id()
        );
        self.notice(io, &text);
        io.wake_in_ms = Some(HOLD_NOTICE_MS);
    }

    /// Whether a tick is wanted: the shell forgets the last wish with each event.
    pub(crate) fn keep_ticking(&mut self, io: &mut Io) {
        if io.wake_in_ms.is_none() && matches!(self.waiting, Some(Waiting::Decision(_))) {
            io.wake_in_ms = Some(HOLD_NOTICE_MS);
        }
        self.keep_looking(io);
        if io.wake_in_ms.is_none() && !self.truth.rests && self.may_rest() {
            io.wake_in_ms = Some(CATALOG_REST_MS);
        }
    }

    /// The answer of the people.
    pub(crate) fn decided(&mut self, decided: &Decided, io: &mut Io) {
        match self.waiting.take() {
            // The target ends first what it prepared.
            Some(Waiting::Decision(held)) if self.inquiry.is_some() => {
                self.waiting = Some(Waiting::Approved(held, decided.clone()));
            }
            Some(Waiting::Decision(held)) => {
                let approved = decided.outcome == lockgate_session::wire::HoldOutcome::Approved;
                if approved && self.names_matter() && self.status != TransactionStatus::Failed && !self.skipping {
                    self.ask_catalog(io);
                    self.waiting = Some(Waiting::Approved(held, decided.clone()));
                    return;
                }
                self.adopt_snapshot();
                self.release(*held, decided, io);
                io.again = true;
            }
            other => self.waiting = other,
        }
    }

    /// Whether errors of what runs now may hold what is masked.
    fn touch(&mut self, now: Timestamp) -> Touch {
        if !self.labelled() || (self.touch_of_what_runs() == Touch::Clean && !self.is_doubtful()) {
            return Touch::Clean;
        }
        // From who may see everything nothing has to be hidden.
        self.unknown_plan(now).plans.first().map_or(Touch::Labelled, |plan| plan.touch)
    }

    fn touch_of_what_runs(&self) -> Touch {
        let of_plan = |plan: Option<&Arc<Plan>>| plan.map_or(Touch::Labelled, |p| p.touch);
        match self.expect.iter().find(|e| !matches!(e, Expect::Own(_))) {
            Some(Expect::Simple(simple)) => simple.touch(),
            Some(Expect::Execute(execution)) => {
                let subject = execution.statement.as_ref().map(Statement::subject);
                // An empty text runs nothing.
                let put_off =
                    subject.filter(|s| s.batch.is_err() || !s.statements().is_empty()).is_some_and(|subject| {
                        execution.named.ran(subject, 0).is_none_or(|mut ran| ran.any(runs_what_was_put_off))
                    });
                if put_off { Touch::Labelled } else { execution.plan.touch }
            }
            Some(Expect::Call(called)) => called.plan.touch,
            Some(Expect::Bind) => match self.portals.front() {
                Some(portal) => match &portal.statement {
                    Some(statement) => of_plan(statement.subject().judgement.plans.first()),
                    None => Touch::Labelled,
                },
                None => Touch::Labelled,
            },
            Some(Expect::Parse { .. }) => match self.statements.front() {
                Some(statement) => of_plan(statement.prepared.judgement.plans.first()),
                None => Touch::Labelled,
            },
            // The end of a transaction runs what was put off to it: deferred constraints quote keys.
            Some(Expect::Sync | Expect::Bracket(_) | Expect::Copied(_)) => Touch::Labelled,
            Some(_) | None => Touch::Clean,
        }
    }
}

/// Whether deferred constraints are checked within: their errors quote keys, whatever this statement itself reads.
fn runs_what_was_put_off(statement: &lockgate_sql::Statement) -> bool {
    matches!(statement.effect, Effect::Commit { .. } | Effect::TwoPhase) || statement.verb == "set_constraints"
}

/// A name as it may stand in a comment of SQL: what could end the comment or hide is written as `%XX`.
fn spelled(name: &str) -> String {
    name.bytes().fold(String::new(), |mut text, byte| {
        if byte.is_ascii_alphanumeric() || matches!(byte, b' ' | b'.' | b'_' | b'-' | b'@' | b'+') {
            text.push(char::from(byte));
        } else {
            let _ = std::fmt::Write::write_fmt(&mut text, format_args!("%{byte:02X}"));
        }
        text
    })
}
