//! Frames of the client: what each asks for, and whether it goes on.

use super::result::stronger_plan;
use super::{
    ABORT_TEXT, Changing, Execution, Expect, Flow, Held, Portal, Pump, Shape, Simple, Statement, Values, Waiting,
};
use crate::frame::{self, Frame, FrontendTag, Peer};
use crate::message::{self, Object, TransactionStatus};
use crate::own;
use crate::prepare::{Prepared, moves_names};
use bytes::{Bytes, BytesMut};
use lockgate_core::limits::PG_CLIENT_MESSAGE_BYTES_MAX;
use lockgate_core::limits::PG_PIPELINE_FRAMES_MAX;
use lockgate_core::{Action, Fault, SqlState};
use lockgate_mask::Touch;
use lockgate_record::{CloseReason, DoneKind, RequestKind};
use lockgate_session::wire::{Decided, Io};
use lockgate_session::{Denial, Judgement, Parameters, Plan, Plumbing, Request, Ruling, Verdict};
use lockgate_sql::{Effect, Why};
use std::sync::Arc;

/// A statement that was found by its name, or by that of its cursor.
struct Found {
    subject: Arc<Prepared>,
    /// The judgement, where it is not the statement's own alone.
    both: Option<Judgement>,
}

/// What an Execute does.
struct PortalNow {
    /// The portal's statement; `None` where it was opened out of our sight.
    subject: Option<Arc<Prepared>>,
    /// The judgement, where it is not the statement's own alone.
    own: Option<Judgement>,
    /// The plan, where it is not the first of the judgement.
    plan: Option<Arc<Plan>>,
    /// The plan is of this Execute alone: nothing that was made for the statement before serves.
    alone: bool,
}

impl Found {
    fn of(subject: &Arc<Prepared>) -> Found {
        Found { subject: Arc::clone(subject), both: None }
    }
}

/// What became of a frame.
enum Taken {
    /// It was dealt with.
    Done,
    /// It has to wait for this.
    Waits(Waiting),
}

impl Pump {
    /// Takes in what the client sent.
    pub(crate) fn client(&mut self, buffer: &mut BytesMut, io: &mut Io) {
        self.take_client(buffer, io);
        self.flush_record(io);
    }

    fn take_client(&mut self, buffer: &mut BytesMut, io: &mut Io) {
        loop {
            if self.closed {
                buffer.clear();
                return;
            }
            io.read_client = self.waiting.is_none();
            if self.waiting.is_some() {
                return;
            }
            match frame::take(buffer, Peer::Client, PG_CLIENT_MESSAGE_BYTES_MAX) {
                Ok(None) => return,
                Ok(Some(frame)) => self.one(frame, io),
                Err(error) => {
                    let text = error.to_string();
                    self.client_broke(io, error.sqlstate(), &text);
                }
            }
        }
    }

    /// Takes up a frame that had to wait.
    pub(super) fn one(&mut self, frame: Frame, io: &mut Io) {
        let taken = if self.expect.len() >= PG_PIPELINE_FRAMES_MAX {
            self.wait_for_answers(frame, io)
        } else {
            self.take_one(frame, io)
        };
        match taken {
            Taken::Done => {}
            Taken::Waits(waiting) => {
                self.waiting = Some(waiting);
                io.read_client = false;
            }
        }
    }

    fn take_one(&mut self, frame: Frame, io: &mut Io) -> Taken {
        let tag = FrontendTag::from_byte(frame.tag());
        if let Some(request) = self.copy_in {
            return self.copy_data(request, tag, &frame, io);
        }
        if self.skipping && !matches!(tag, FrontendTag::Sync | FrontendTag::Terminate) {
            return Taken::Done;
        }
        match tag {
            FrontendTag::Query => self.query(frame, io),
            FrontendTag::Parse => self.parse(frame, io),
            FrontendTag::Bind => self.bind(frame, io),
            FrontendTag::Execute => self.execute(frame, io),
            FrontendTag::Describe => self.describe(&frame, io),
            FrontendTag::Close => self.close(&frame, io),
            FrontendTag::Sync => {
                io.target.plumbing(Plumbing::Sync, frame.bytes());
                self.expect.push_back(Expect::Sync);
                self.batch += 1;
                // It ends a pipeline's own transaction, and what moved in that may be undone.
                self.changing.catalog |= self.truth.moved_in_transaction;
                self.unsynced = false;
                self.skipping = false;
                Taken::Done
            }
            FrontendTag::Flush => {
                io.target.plumbing(Plumbing::Sync, frame.bytes());
                Taken::Done
            }
            FrontendTag::FunctionCall => self.function_call(&frame, io),
            FrontendTag::Terminate => {
                // A server finishes what was sent before it reads the goodbye.
                self.expect.clear();
                self.end(io, CloseReason::ClientClosed, "the client said goodbye", None);
                Taken::Done
            }
            FrontendTag::CopyData | FrontendTag::CopyDone | FrontendTag::CopyFail if self.copy_may_begin() => {
                Taken::Waits(Waiting::Answers(frame))
            }
            // A server drops COPY data that arrives after the COPY failed; so do we.
            FrontendTag::CopyData | FrontendTag::CopyDone | FrontendTag::CopyFail => Taken::Done,
            FrontendTag::PasswordMessage => {
                self.client_broke(io, SqlState::PROTOCOL_VIOLATION, "a password was sent after the login");
                Taken::Done
            }
            FrontendTag::Unknown(byte) => self.unknown(byte, &frame, io),
        }
    }

    // ---- what has to be answered first ----

    /// Keeps a frame until everything that was sent is answered; the target is asked not to keep its answers back.
    fn wait_for_answers(&mut self, frame: Frame, io: &mut Io) -> Taken {
        if self.unsynced {
            let mut flush = BytesMut::new();
            own::flush(&mut flush);
            io.target.plumbing(Plumbing::Sync, &flush);
        }
        Taken::Waits(Waiting::Answers(frame))
    }

    /// What requests on their way may still change. With the last answer everything is known.
    fn changing(&mut self) -> Changing {
        if self.expect.is_empty() {
            self.changing = Changing::default();
        }
        Changing { catalog: self.changing.catalog && self.labelled(), ..self.changing }
    }

    /// Notes what a request that was sent may change for those that follow before it is answered.
    fn will_change(&mut self, prepared: &Prepared) {
        let statements = prepared.statements();
        if statements.is_empty() && prepared.batch.is_err() {
            self.changing = Changing { names: true, catalog: true };
            return;
        }
        for statement in statements {
            self.changing.names |= self.may_rename(statement);
            self.changing.names |= gives_or_takes_names(&statement.effect);
            let ends_transaction = matches!(
                statement.effect,
                Effect::Commit { .. } | Effect::Rollback { .. } | Effect::RollbackTo(_) | Effect::TwoPhase
            );
            self.changing.catalog |=
                if ends_transaction { self.truth.moved_in_transaction } else { self.moves(statement) };
        }
    }

    /// The statement that EXECUTE, FETCH or MOVE runs, as far as this session has seen it get its name; `None` within for a
    /// name that was given out of our sight.
    fn runs_by_name(&self, statement: &lockgate_sql::Statement) -> Option<Option<&Arc<Prepared>>> {
        match &statement.effect {
            Effect::Execute { name, .. } => Some(self.statements.get(name.as_bytes()).map(Statement::subject)),
            Effect::Fetch { name } | Effect::Move { name } => {
                let cursor = self.portals.get(name.as_bytes()).and_then(|p| p.statement.as_ref());
                Some(cursor.map(Statement::subject))
            }
            _ => None,
        }
    }

    /// Whether names in texts may mean something else after this statement.
    pub(super) fn moves(&self, statement: &lockgate_sql::Statement) -> bool {
        match self.runs_by_name(statement) {
            None => moves_names(&statement.effect) || statement.facts.opaque,
            Some(None) => true,
            Some(Some(run)) => {
                run.batch.is_err()
                    || run.statements().iter().any(|s| moves_names(&s.effect) || s.facts.opaque || by_name(&s.effect))
            }
        }
    }

    /// Whether it runs code that nobody can look into: that may prepare statements and open cursors under names of its choice.
    pub(super) fn may_rename(&self, statement: &lockgate_sql::Statement) -> bool {
        match self.runs_by_name(statement) {
            None => statement.facts.opaque,
            Some(None) => true,
            // A statement that was prepared by the protocol may itself be PREPARE or DEALLOCATE.
            Some(Some(run)) => {
                run.batch.is_err()
                    || run
                        .statements()
                        .iter()
                        .any(|s| s.facts.opaque || gives_or_takes_names(&s.effect) || by_name(&s.effect))
            }
        }
    }

    /// Whether what a statement does can only be said once the target has answered: it runs a name that a failure would
    /// leave with another meaning.
    fn hangs_on_names(&self, prepared: &Prepared) -> bool {
        prepared.statements().iter().any(|statement| match &statement.effect {
            Effect::Execute { name, .. } => !self.statements.is_certain(name.as_bytes(), self.batch),
            Effect::Fetch { name } => !self.portals.is_certain(name.as_bytes(), self.batch),
            _ => false,
        })
    }

    /// Whether the last request on its way may turn out to be a COPY FROM STDIN, whose data comes next.
    fn copy_may_begin(&self) -> bool {
        let last = self.expect.iter().rev().find(|e| !matches!(e, Expect::Sync));
        let prepared = match last {
            Some(Expect::Simple(simple)) if !simple.failed => &simple.prepared,
            Some(Expect::Execute(execution)) => match &execution.statement {
                Some(statement) => statement.subject(),
                None => return false,
            },
            _ => return false,
        };
        prepared.batch.is_err() || prepared.statements().iter().any(|s| matches!(s.effect, Effect::CopyIn(_)))
    }

    // ---- simple query ----

    fn query(&mut self, frame: Frame, io: &mut Io) -> Taken {
        let text = match message::Query::decode(frame.body()) {
            Ok(query) => query.text,
            Err(error) => return self.malformed(io, "Query", &error),
        };
        // Everything sent before ends by itself, unless a Flush or Sync is still to come.
        if !self.expect.is_empty() && !self.unsynced {
            return Taken::Waits(Waiting::Answers(frame));
        }
        let changing = self.changing();
        if changing.names || changing.catalog {
            return self.wait_for_answers(frame, io);
        }
        let prepared = self.prepare(text, io.now);
        if self.hangs_on_names(&prepared) {
            return self.wait_for_answers(frame, io);
        }
        if self.needs_catalog(&prepared, io.now) {
            self.ask_catalog(io);
            return Taken::Waits(Waiting::Catalog(frame));
        }
        if let Some(denial) = self.catalog_denial(&prepared) {
            let error = self.report(own::Severity::Error, &denial).freeze();
            self.refuse_query(io, error);
            return Taken::Done;
        }
        let (judgement, plans) = match self.resolve(&prepared, io) {
            Some((judgement, plans)) => (judgement, Some(plans)),
            None => (None, None),
        };
        let judgement = judgement.as_ref().unwrap_or(&prepared.judgement);
        if let Some(error) = self.own_syntax_error(&prepared, judgement) {
            self.refuse_query(io, error);
            return Taken::Done;
        }
        let request = request_of(RequestKind::Simple, text, &prepared);
        match self.session.submit(&request, judgement, io.now) {
            Verdict::Allow(permit) => {
                let request = permit.request();
                io.target.request(permit, frame.bytes());
                self.sent_query(request, &prepared, plans);
            }
            Verdict::Deny(denial) => {
                let error = self.report(own::Severity::Error, &denial).freeze();
                self.refuse_query(io, error);
            }
            Verdict::Hold(parked, ticket) => {
                self.hold(io, parked, ticket, frame);
                io.read_client = false;
            }
        }
        Taken::Done
    }

    fn sent_query(&mut self, request: u64, prepared: &Arc<Prepared>, plans: Option<Vec<Arc<Plan>>>) {
        self.will_change(prepared);
        self.takes_unnamed();
        self.expect.push_back(Expect::Simple(Box::new(Simple {
            request,
            prepared: Arc::clone(prepared),
            plans,
            index: 0,
            result: Flow::default(),
            tag: String::new(),
            failed: false,
        })));
    }

    /// A simple query was sent: it takes the place of the unnamed statement and portal.
    fn takes_unnamed(&mut self) {
        self.statements.propose(b"", None, self.batch);
        self.portals.propose(b"", None, self.batch);
        self.unsynced = false;
    }

    /// EXECUTE and FETCH mean what the session's names say. Returns the judgement and plans with that put in; `None` when
    /// the batch has neither.
    fn resolve(&mut self, prepared: &Arc<Prepared>, io: &Io) -> Option<(Option<Judgement>, Vec<Arc<Plan>>)> {
        let statements = prepared.statements();
        if !statements.iter().any(|s| matches!(s.effect, Effect::Execute { .. } | Effect::Fetch { .. })) {
            return None;
        }
        let mut judgement = Judgement::clone(&prepared.judgement);
        let mut plans = judgement.plans.clone();
        for (index, statement) in statements.iter().enumerate() {
            let earlier = statements.get(..index).unwrap_or_default();
            // What the name means, and what names in its text mean, was looked up before the message began to run.
            let doubtful = self.labelled() && earlier.iter().any(|s| self.moves(s));
            let found: Option<Found> = match &statement.effect {
                Effect::Execute { .. } | Effect::Fetch { .. } if doubtful => None,
                Effect::Execute { name, .. } => {
                    // A PREPARE in the same message comes first.
                    let made =
                        earlier.iter().rposition(|s| matches!(&s.effect, Effect::Prepare { name: n, .. } if n == name));
                    match made {
                        Some(at) => prepared.inner(at).map(Found::of),
                        None => self.statement_now(name.as_bytes(), io).map(|s| Found::of(s.subject())),
                    }
                }
                Effect::Fetch { name } => {
                    let made = earlier
                        .iter()
                        .rposition(|s| matches!(&s.effect, Effect::DeclareCursor { name: n, .. } if n == name));
                    match made {
                        Some(at) => prepared.inner(at).map(Found::of),
                        None => {
                            let opened = self.portals.get(name.as_bytes()).and_then(|p| p.statement.clone());
                            opened.map(|opened| self.opened(&opened, io))
                        }
                    }
                }
                _ => continue,
            };
            // A statement that was prepared by the protocol may itself be an EXECUTE: what that runs is not looked for.
            let nested = found.as_ref().is_some_and(|f| f.subject.statements().iter().any(|s| by_name(&s.effect)));
            match found.filter(|_| !nested) {
                Some(Found { subject, both }) => {
                    let found = both.as_ref().unwrap_or(&subject.judgement);
                    let explained = matches!(statement.effect, Effect::Execute { explain: true, .. });
                    let from = match found.plans.first() {
                        // A plan quotes what the statement reads.
                        Some(plan) if explained && (plan.touch == Touch::Labelled || plan.masks.any()) => {
                            self.unknown_plan(io.now).plans.into_iter().next()
                        }
                        plan => plan.cloned(),
                    };
                    if let (Some(to), Some(from)) = (plans.get_mut(index), from) {
                        *to = from;
                    }
                    if matches!(statement.effect, Effect::Execute { .. }) {
                        add_ruling(&mut judgement, found);
                    }
                }
                None => {
                    // A name that was given out of our sight, or none at all: the target will say which.
                    let unknown = self.unknown_plan(io.now);
                    if let (Some(to), Some(from)) = (plans.get_mut(index), unknown.plans.first()) {
                        *to = from.clone();
                    }
                    if (nested || self.labelled()) && matches!(statement.effect, Effect::Execute { .. }) {
                        add_ruling(&mut judgement, &unknown);
                    }
                }
            }
        }
        Some((Some(judgement), plans))
    }

    /// What an open portal or cursor yields. Its plan was made when it was opened, under the names of then; what it calls is
    /// looked up when it runs. So both analyses hold, then's and now's, and of each column's masks the stronger.
    fn opened(&mut self, statement: &Statement, io: &Io) -> Found {
        let mut now = statement.clone();
        self.renew(&mut now, io.now);
        let subject = Arc::clone(now.subject());
        let then = statement.subject();
        if Arc::ptr_eq(&statement.prepared, &now.prepared) {
            return Found { subject, both: None };
        }
        let mut both = Judgement::clone(&subject.judgement);
        add_ruling(&mut both, &then.judgement);
        let unknown = self.unknown_plan(io.now).plans.into_iter().next();
        let merged = match (subject.judgement.plans.as_slice(), then.judgement.plans.as_slice()) {
            ([one], [other]) => stronger_plan(one, other).map(Arc::new).or(unknown),
            _ => unknown,
        };
        both.plans = merged.into_iter().collect();
        Found { subject, both: Some(both) }
    }

    /// What an Execute of this portal does, under the names and rules of now.
    fn portal_now(&mut self, name: &[u8], statement: Option<&Statement>, io: &Io) -> PortalNow {
        let Some(statement) = statement else {
            return PortalNow { subject: None, own: Some(self.unknown_plan(io.now)), plan: None, alone: false };
        };
        let Found { subject, both } = self.opened(statement, io);
        let changed = both.is_some();
        let mut begun = false;
        if let Some(portal) = self.portals.get_mut(name).filter(|_| changed) {
            // What was made for its first rows was made under other rules.
            begun = portal.masker.get().is_some();
            portal.masker = Arc::default();
        }
        let Some((judgement, plans)) = self.resolve(&subject, io) else {
            let plan = both.as_ref().and_then(|j| j.plans.first().cloned());
            return PortalNow { subject: Some(subject), own: both, plan, alone: changed };
        };
        // An EXECUTE that has begun goes on with what its name meant then.
        let plan = if begun { self.unknown_plan(io.now).plans.into_iter().next() } else { plans.into_iter().next() };
        PortalNow { subject: Some(subject), own: judgement, plan, alone: true }
    }

    /// What a prepared statement's name means now, judged by the rules of now.
    fn statement_now(&mut self, name: &[u8], io: &Io) -> Option<Statement> {
        let mut statement = self.statements.get(name)?.clone();
        self.renew(&mut statement, io.now);
        if let Some(known) = self.statements.get_mut(name) {
            known.prepared = Arc::clone(&statement.prepared);
        }
        Some(statement)
    }

    /// A text that the grammar refuses, from somebody who may not do everything, is answered here with the error that the
    /// target would give: the gateway does not pass on what it cannot read, and the typo deserves its message.
    fn own_syntax_error(&self, prepared: &Prepared, judgement: &Judgement) -> Option<Bytes> {
        let Err(unparsable) = &prepared.batch else { return None };
        let Why::Syntax(text) = &unparsable.why else { return None };
        if !matches!(judgement.ruling, Ruling::Deny(_)) {
            return None;
        }
        let position =
            unparsable.offset.and_then(|at| prepared.text().get(..at)).map(|before| before.chars().count() + 1);
        let mut out = BytesMut::new();
        own::syntax_error(&mut out, text, position);
        Some(out.freeze())
    }

    /// Answers a simple query with an error. An open transaction fails with it, as it would at the target.
    fn refuse_query(&mut self, io: &mut Io, error: Bytes) {
        if self.skipping {
            return;
        }
        if self.status == TransactionStatus::InTransaction || self.unsynced {
            let mut abort = BytesMut::new();
            if own::query(&mut abort, ABORT_TEXT).is_err() {
                return;
            }
            io.target.plumbing(Plumbing::Abort, &abort);
            self.takes_unnamed();
            self.expect.push_back(Expect::RefusedQuery { own: Some(error) });
            return;
        }
        let mut out = BytesMut::from(error.as_ref());
        own::ready_for_query(&mut out, self.status);
        if self.expect.is_empty() {
            self.own(io, out);
            self.when_idle(io);
        } else {
            self.expect.push_back(Expect::Own(out.freeze()));
        }
    }

    // ---- extended query ----

    fn parse(&mut self, frame: Frame, io: &mut Io) -> Taken {
        let parse = match message::Parse::decode(frame.body()) {
            Ok(parse) => parse,
            Err(error) => return self.malformed(io, "Parse", &error),
        };
        if !self.statements.has_room() {
            self.client_broke(io, SqlState::LIMIT_EXCEEDED, "too many prepared statements");
            return Taken::Done;
        }
        if self.changing().catalog {
            return self.wait_for_answers(frame, io);
        }
        let prepared = self.prepare(parse.text, io.now);
        if self.needs_catalog(&prepared, io.now) {
            self.ask_catalog(io);
            return Taken::Waits(Waiting::Catalog(frame));
        }
        if let Some(denial) = self.catalog_denial(&prepared) {
            self.refuse_denial(io, &denial);
            return Taken::Done;
        }
        if let Some(error) = self.own_syntax_error(&prepared, &prepared.judgement) {
            self.refuse_extended(io, error);
            return Taken::Done;
        }
        // Preparing runs nothing: what would be held is held when it is bound.
        let judgement = match &prepared.judgement.ruling {
            Ruling::Hold(_) => Some(Judgement { ruling: Ruling::Allow, ..Judgement::clone(&prepared.judgement) }),
            Ruling::Allow | Ruling::Deny(_) => None,
        };
        let name = String::from_utf8_lossy(parse.name);
        let mut request = request_of(RequestKind::Parse, parse.text, &prepared);
        request.statement = Some(&name);
        match self.session.submit(&request, judgement.as_ref().unwrap_or(&prepared.judgement), io.now) {
            Verdict::Allow(permit) => {
                let request = permit.request();
                io.target.request(permit, frame.bytes());
                self.unsynced = true;
                self.statements.propose(
                    parse.name,
                    Some(Statement { prepared, inside: None, shape: Shape::default() }),
                    self.batch,
                );
                self.expect.push_back(Expect::Parse { request });
            }
            Verdict::Deny(denial) => self.refuse_denial(io, &denial),
            Verdict::Hold(..) => self.refuse_denial(
                io,
                &Denial::other(Fault::Us, SqlState::INTERNAL, "preparing cannot be held", None, None),
            ),
        }
        Taken::Done
    }

    fn bind(&mut self, frame: Frame, io: &mut Io) -> Taken {
        let bind = match message::Bind::decode(frame.body()) {
            Ok(bind) => bind,
            Err(error) => return self.malformed(io, "Bind", &error),
        };
        if !self.portals.has_room() {
            self.client_broke(io, SqlState::LIMIT_EXCEEDED, "too many portals");
            return Taken::Done;
        }
        let changing = self.changing();
        if changing.names || changing.catalog || !self.statements.is_certain(bind.statement, self.batch) {
            return self.wait_for_answers(frame, io);
        }
        let statement = self.statement_now(bind.statement, io);
        if let Some(statement) = &statement
            && self.needs_catalog(statement.subject(), io.now)
        {
            self.ask_catalog(io);
            return Taken::Waits(Waiting::Catalog(frame));
        }
        let parameters: Values = bind
            .values
            .iter()
            .enumerate()
            .map(|(index, value)| (value.map(Box::from), format_at(&bind.parameter_formats, index)))
            .collect();
        let formats: Arc<[u16]> = bind.result_formats.iter().map(|f| f.code()).collect();
        let mut permit = None;
        if let Some(statement) = &statement {
            let subject = Arc::clone(statement.subject());
            match &subject.judgement.ruling {
                Ruling::Allow => {}
                Ruling::Deny(denial) => {
                    let denial = denial.clone();
                    self.refuse_denial(io, &denial);
                    return Taken::Done;
                }
                Ruling::Hold(_) => {
                    let values = borrowed(&parameters);
                    let name = String::from_utf8_lossy(bind.statement);
                    let mut request = request_of(RequestKind::Bind, subject.text().as_bytes(), &subject);
                    request.statement = Some(&name);
                    request.parameters = Parameters { values: &values };
                    match self.session.submit(&request, &subject.judgement, io.now) {
                        Verdict::Allow(given) => permit = Some(given),
                        Verdict::Deny(denial) => {
                            self.refuse_denial(io, &denial);
                            return Taken::Done;
                        }
                        Verdict::Hold(parked, ticket) => {
                            drop(values);
                            self.hold(io, parked, ticket, frame);
                            io.read_client = false;
                            return Taken::Done;
                        }
                    }
                }
            }
        }
        let portal = Portal {
            statement,
            formats,
            parameters,
            shape: Shape::default(),
            masker: Arc::default(),
            approved: permit.is_some(),
            permit,
            holds: false,
        };
        self.sent_bind(&frame, bind.portal, portal, io);
        Taken::Done
    }

    fn sent_bind(&mut self, frame: &Frame, name: &[u8], portal: Portal, io: &mut Io) {
        io.target.plumbing(Plumbing::Bind, frame.bytes());
        self.unsynced = true;
        self.portals.propose(name, Some(portal), self.batch);
        self.expect.push_back(Expect::Bind);
    }

    fn execute(&mut self, frame: Frame, io: &mut Io) -> Taken {
        let execute = match message::Execute::decode(frame.body()) {
            Ok(execute) => execute,
            Err(error) => return self.malformed(io, "Execute", &error),
        };
        let changing = self.changing();
        if changing.names || changing.catalog || !self.portals.is_certain(execute.portal, self.batch) {
            return self.wait_for_answers(frame, io);
        }
        let name: Box<[u8]> = execute.portal.into();
        let statement = self.portals.get(&name).and_then(|p| p.statement.clone());
        if let Some(known) = &statement {
            let now = self.opened(known, io).subject;
            if self.hangs_on_names(&now) {
                return self.wait_for_answers(frame, io);
            }
            if self.needs_catalog(&now, io.now) {
                self.ask_catalog(io);
                return Taken::Waits(Waiting::Catalog(frame));
            }
            if let Some(denial) = self.catalog_denial(&now) {
                self.refuse_denial(io, &denial);
                return Taken::Done;
            }
        }
        let PortalNow { subject, mut own, plan: own_plan, alone } = self.portal_now(&name, statement.as_ref(), io);
        let (permit, approved, parameters) = match self.portals.get_mut(&name) {
            Some(portal) => (portal.permit.take(), portal.approved, Arc::clone(&portal.parameters)),
            None => (None, false, Arc::default()),
        };
        let statements_own = subject.as_ref().map(|s| &*s.judgement);
        if approved
            && let Some(judged) = own.as_ref().or(statements_own)
            && matches!(judged.ruling, Ruling::Hold(_))
        {
            // The approval was for this portal; what is left of it belongs to the same request.
            own = Some(Judgement { ruling: Ruling::Allow, ..judged.clone() });
        }
        let Some(judgement) = own.as_ref().or(statements_own) else { return Taken::Done };
        // An empty statement has no plan, and no rows.
        let plan = own_plan.or_else(|| judgement.plans.first().cloned()).unwrap_or_else(|| {
            Arc::new(Plan { masks: lockgate_session::Masks::Clear, touch: lockgate_mask::Touch::Clean })
        });

        let permit = match permit {
            Some(permit) => permit,
            None => {
                let values = borrowed(&parameters);
                let portal_name = String::from_utf8_lossy(&name);
                let mut request = match &subject {
                    Some(subject) => request_of(RequestKind::Execute, subject.text().as_bytes(), subject),
                    None => Request::new(RequestKind::Execute, b""),
                };
                request.portal = Some(&portal_name);
                request.parameters = Parameters { values: &values };
                match self.session.submit(&request, judgement, io.now) {
                    Verdict::Allow(permit) => permit,
                    Verdict::Deny(denial) => {
                        self.refuse_denial(io, &denial);
                        return Taken::Done;
                    }
                    Verdict::Hold(parked, ticket) => {
                        self.hold(io, parked, ticket, frame);
                        io.read_client = false;
                        return Taken::Done;
                    }
                }
            }
        };
        self.sent_execute(&frame, name, statement, (plan, alone), permit, io);
        Taken::Done
    }

    fn sent_execute(
        &mut self,
        frame: &Frame,
        name: Box<[u8]>,
        statement: Option<Statement>,
        (plan, resolved): (Arc<Plan>, bool),
        permit: lockgate_session::Permit,
        io: &mut Io,
    ) {
        let (shape, masker, formats) = match self.portals.get(&name) {
            Some(portal) => (Arc::clone(&portal.shape), Arc::clone(&portal.masker), Arc::clone(&portal.formats)),
            // A cursor that was opened out of our sight: what its shape is, this Execute alone will know.
            None => (Shape::default(), Arc::default(), Arc::default()),
        };
        let described = self.expect.iter().any(|e| match e {
            Expect::DescribePortal { shape: Some(asked), .. } => Arc::ptr_eq(asked, &shape),
            Expect::DescribeStatement { shape: Some(asked) } => {
                statement.as_ref().is_some_and(|s| Arc::ptr_eq(asked, &s.shape))
            }
            _ => false,
        });
        let known = shape.get().is_some() || statement.as_ref().is_some_and(|s| s.shape.get().is_some());
        if self.labelled() && !known && !described {
            // Rows of a portal that nobody described cannot be masked by type. The target is asked, and its answer kept.
            let mut describe = BytesMut::new();
            if own::describe(&mut describe, Object::Portal, &name).is_ok() {
                io.target.plumbing(Plumbing::Inquiry, &describe);
                self.expect.push_back(Expect::DescribePortal { shape: Some(Arc::clone(&shape)), swallow: true });
            }
        }
        let request = permit.request();
        io.target.request(permit, frame.bytes());
        self.unsynced = true;
        match &statement {
            Some(statement) => {
                let subject = Arc::clone(statement.subject());
                self.will_change(&subject);
            }
            // A portal of unknown content may do anything.
            None => self.changing = Changing { names: true, catalog: true },
        }
        self.expect.push_back(Expect::Execute(Box::new(Execution {
            request,
            statement,
            plan,
            resolved,
            shape,
            masker,
            formats,
            result: Flow::default(),
        })));
    }

    fn describe(&mut self, frame: &Frame, io: &mut Io) -> Taken {
        let describe = match message::Describe::decode(frame.body()) {
            Ok(describe) => describe,
            Err(error) => return self.malformed(io, "Describe", &error),
        };
        io.target.plumbing(Plumbing::Reference, frame.bytes());
        self.unsynced = true;
        self.expect.push_back(match describe.object {
            Object::Statement => {
                Expect::DescribeStatement { shape: self.statements.get(describe.name).map(|s| Arc::clone(&s.shape)) }
            }
            Object::Portal => Expect::DescribePortal {
                shape: self.portals.get(describe.name).map(|p| Arc::clone(&p.shape)),
                swallow: false,
            },
        });
        Taken::Done
    }

    fn close(&mut self, frame: &Frame, io: &mut Io) -> Taken {
        let close = match message::Close::decode(frame.body()) {
            Ok(close) => close,
            Err(error) => return self.malformed(io, "Close", &error),
        };
        io.target.plumbing(Plumbing::Reference, frame.bytes());
        self.unsynced = true;
        match close.object {
            Object::Statement => {
                self.statements.propose(close.name, None, self.batch);
                self.expect.push_back(Expect::CloseStatement);
            }
            Object::Portal => {
                self.portals.propose(close.name, None, self.batch);
                self.expect.push_back(Expect::ClosePortal);
            }
        }
        Taken::Done
    }

    // ---- the rest ----

    fn function_call(&mut self, frame: &Frame, io: &mut Io) -> Taken {
        let call = match message::FunctionCall::decode(frame.body()) {
            Ok(call) => call,
            Err(error) => return self.malformed(io, "FunctionCall", &error),
        };
        let text = format!("function call of oid {}", call.function_oid);
        let rules = self.session.rules();
        let judgement = self.session.judge(&rules, io.now).target_action(Action::Administer);
        let values: Vec<(Option<&[u8]>, u16)> = call
            .arguments
            .iter()
            .enumerate()
            .map(|(index, value)| (value, format_at(&call.argument_formats, index)))
            .collect();
        let mut request = Request::new(RequestKind::Function, text.as_bytes());
        request.parameters = Parameters { values: &values };
        match self.session.submit(&request, &judgement, io.now) {
            Verdict::Allow(permit) => {
                let request = permit.request();
                io.target.request(permit, frame.bytes());
                self.unsynced = false;
                let plan = judgement.plans.into_iter().next();
                let plan = plan.unwrap_or_else(|| {
                    Arc::new(Plan { masks: lockgate_session::Masks::Clear, touch: lockgate_mask::Touch::Labelled })
                });
                self.expect.push_back(Expect::Call { request, plan, answered: false });
            }
            Verdict::Deny(denial) => {
                let error = self.report(own::Severity::Error, &denial).freeze();
                self.refuse_query(io, error);
            }
            Verdict::Hold(..) => {
                let denial = Denial::other(
                    Fault::Policy,
                    SqlState::INSUFFICIENT_PRIVILEGE,
                    "refused by policy",
                    Some("a function call by number cannot wait for an approval".into()),
                    Some("call the function in a SELECT".into()),
                );
                let error = self.report(own::Severity::Error, &denial).freeze();
                self.refuse_query(io, error);
            }
        }
        Taken::Done
    }

    fn unknown(&mut self, byte: u8, frame: &Frame, io: &mut Io) -> Taken {
        let rules = self.session.rules();
        let judgement = self.session.judge(&rules, io.now).target_action(Action::Administer);
        let text = format!("message of unknown type 0x{byte:02x}");
        let request = Request::new(RequestKind::Unknown, text.as_bytes());
        match self.session.submit(&request, &judgement, io.now) {
            Verdict::Allow(permit) => {
                // What it is answered with is not known either; a server that does not know it ends the connection.
                io.target.request(permit, frame.bytes());
                self.unsynced = false;
            }
            Verdict::Deny(_) | Verdict::Hold(..) => {
                let text = format!("invalid frontend message type {byte}");
                self.client_broke(io, SqlState::PROTOCOL_VIOLATION, &text);
            }
        }
        Taken::Done
    }

    fn copy_data(&mut self, request: u64, tag: FrontendTag, frame: &Frame, io: &mut Io) -> Taken {
        match tag {
            FrontendTag::CopyData | FrontendTag::CopyDone | FrontendTag::CopyFail => {
                if let Err(error) = self.session.input(request, frame.bytes(), io.now) {
                    self.unrecordable(io, &error);
                    return Taken::Done;
                }
                io.target.plumbing(Plumbing::CopyData, frame.bytes());
                if tag != FrontendTag::CopyData {
                    self.copy_in = None;
                }
            }
            // A server ignores these while it takes COPY data.
            FrontendTag::Sync | FrontendTag::Flush => {}
            FrontendTag::Terminate => self.end(io, CloseReason::ClientClosed, "the client said goodbye", None),
            // A server takes it for lost synchronization and ends the connection.
            _ => {
                let text = format!("unexpected message type 0x{:02X} during COPY from stdin", frame.tag());
                self.client_broke(io, SqlState::PROTOCOL_VIOLATION, &text);
            }
        }
        Taken::Done
    }

    fn malformed(&mut self, io: &mut Io, what: &str, error: &dyn std::fmt::Display) -> Taken {
        let text = format!("invalid {what} message: {error}");
        self.client_broke(io, SqlState::PROTOCOL_VIOLATION, &text);
        Taken::Done
    }

    fn refuse_denial(&mut self, io: &mut Io, denial: &Denial) {
        let error = self.report(own::Severity::Error, denial).freeze();
        self.refuse_extended(io, error);
    }

    /// Answers a message of the extended protocol with an error and drops what follows, up to Sync. What ran before it in
    /// the same transaction, explicit or not, fails with it, as it would at the target.
    fn refuse_extended(&mut self, io: &mut Io, error: Bytes) {
        if self.skipping {
            // An earlier message failed meanwhile, and the client knows.
            return;
        }
        self.skipping = true;
        if self.unsynced || self.status == TransactionStatus::InTransaction || !self.expect.is_empty() {
            let mut abort = BytesMut::new();
            if own::parse(&mut abort, ABORT_TEXT, ABORT_TEXT, &[]).is_ok() {
                io.target.plumbing(Plumbing::Abort, &abort);
                self.unsynced = true;
                self.expect.push_back(Expect::Refused(error));
            }
            return;
        }
        self.own(io, error);
    }

    /// A held request was decided.
    pub(super) fn release(&mut self, held: Held, decided: &Decided, io: &mut Io) {
        let Held { parked, frame, .. } = held;
        io.read_client = true;
        match FrontendTag::from_byte(frame.tag()) {
            FrontendTag::Query => {
                let Ok(query) = message::Query::decode(frame.body()) else { return };
                let prepared = self.prepare(query.text, io.now);
                let resolved = self.resolve(&prepared, io);
                let judgement = resolved
                    .as_ref()
                    .and_then(|(j, _)| j.clone())
                    .unwrap_or_else(|| Judgement::clone(&prepared.judgement));
                let request = request_of(RequestKind::Simple, query.text, &prepared);
                match self.session.release(parked, decided, &request, &judgement, io.now) {
                    Verdict::Allow(permit) => {
                        let request = permit.request();
                        io.target.request(permit, frame.bytes());
                        self.sent_query(request, &prepared, resolved.map(|(_, plans)| plans));
                    }
                    Verdict::Deny(denial) => {
                        let error = self.report(own::Severity::Error, &denial).freeze();
                        self.refuse_query(io, error);
                    }
                    Verdict::Hold(..) => {}
                }
            }
            FrontendTag::Bind => self.release_bind(parked, &frame, decided, io),
            FrontendTag::Execute => self.release_execute(parked, &frame, decided, io),
            _ => {}
        }
    }

    fn release_bind(&mut self, parked: lockgate_session::Parked, frame: &Frame, decided: &Decided, io: &mut Io) {
        let Ok(bind) = message::Bind::decode(frame.body()) else { return };
        let Some(statement) = self.statement_now(bind.statement, io) else { return };
        let parameters: Values = bind
            .values
            .iter()
            .enumerate()
            .map(|(index, value)| (value.map(Box::from), format_at(&bind.parameter_formats, index)))
            .collect();
        let subject = Arc::clone(statement.subject());
        let values = borrowed(&parameters);
        let name = String::from_utf8_lossy(bind.statement);
        let mut request = request_of(RequestKind::Bind, subject.text().as_bytes(), &subject);
        request.statement = Some(&name);
        request.parameters = Parameters { values: &values };
        match self.session.release(parked, decided, &request, &subject.judgement, io.now) {
            Verdict::Allow(permit) => {
                drop(values);
                let portal = Portal {
                    statement: Some(statement),
                    formats: bind.result_formats.iter().map(|f| f.code()).collect(),
                    parameters,
                    shape: Shape::default(),
                    masker: Arc::default(),
                    permit: Some(permit),
                    approved: true,
                    holds: false,
                };
                self.sent_bind(frame, bind.portal, portal, io);
            }
            Verdict::Deny(denial) => self.refuse_denial(io, &denial),
            Verdict::Hold(..) => {}
        }
    }

    fn release_execute(&mut self, parked: lockgate_session::Parked, frame: &Frame, decided: &Decided, io: &mut Io) {
        let Ok(execute) = message::Execute::decode(frame.body()) else { return };
        let name: Box<[u8]> = execute.portal.into();
        let statement = self.portals.get(&name).and_then(|p| p.statement.clone());
        let PortalNow { subject, own, plan, alone } = self.portal_now(&name, statement.as_ref(), io);
        let Some(judgement) = own.or_else(|| subject.as_ref().map(|s| Judgement::clone(&s.judgement))) else { return };
        let plan = plan.or_else(|| judgement.plans.first().cloned());
        let plan = plan.unwrap_or_else(|| {
            Arc::new(Plan { masks: lockgate_session::Masks::Clear, touch: lockgate_mask::Touch::Labelled })
        });
        let parameters = self.portals.get(&name).map(|p| Arc::clone(&p.parameters)).unwrap_or_default();
        let values = borrowed(&parameters);
        let portal_name = String::from_utf8_lossy(&name);
        let mut request = match &subject {
            Some(subject) => request_of(RequestKind::Execute, subject.text().as_bytes(), subject),
            None => Request::new(RequestKind::Execute, b""),
        };
        request.portal = Some(&portal_name);
        request.parameters = Parameters { values: &values };
        match self.session.release(parked, decided, &request, &judgement, io.now) {
            Verdict::Allow(permit) => {
                if let Some(portal) = self.portals.get_mut(&name) {
                    portal.approved = true;
                }
                self.sent_execute(frame, name.clone(), statement, (plan, alone), permit, io);
            }
            Verdict::Deny(denial) => self.refuse_denial(io, &denial),
            Verdict::Hold(..) => {}
        }
    }

    /// The end of requests that the target dropped after an error.
    pub(super) fn skipped(&mut self, io: &mut Io, request: u64) {
        self.done(io, request, DoneKind::Skipped, "", None);
    }
}

/// Whether a statement or cursor has another meaning after this, or none.
fn gives_or_takes_names(effect: &Effect) -> bool {
    matches!(
        effect,
        Effect::Prepare { .. }
            | Effect::Deallocate(_)
            | Effect::DeclareCursor { .. }
            | Effect::CloseCursor(_)
            | Effect::DiscardAll
    )
}

/// Whether it runs what a name of the session stands for.
fn by_name(effect: &Effect) -> bool {
    matches!(effect, Effect::Execute { .. } | Effect::Fetch { .. } | Effect::Move { .. })
}

fn request_of<'a>(kind: RequestKind, text: &'a [u8], prepared: &'a Prepared) -> Request<'a> {
    Request {
        shown: prepared.shown().as_bytes(),
        masked: &prepared.masked,
        lineage: &prepared.lineage,
        ..Request::new(kind, text)
    }
}

fn borrowed(parameters: &[(Option<Box<[u8]>>, u16)]) -> Vec<(Option<&[u8]>, u16)> {
    parameters.iter().map(|(value, format)| (value.as_deref(), *format)).collect()
}

/// The format of the value at `index`; where the list is too short the target refuses the message.
fn format_at(formats: &message::Formats<'_>, index: usize) -> u16 {
    formats.of(index).map_or(0, message::FormatCode::code)
}

/// What an EXECUTE runs is asked for as well.
fn add_ruling(judgement: &mut Judgement, other: &Judgement) {
    judgement.policies.extend(other.policies.iter().cloned());
    judgement.places.extend(other.places.iter().cloned());
    judgement.asked.extend(other.asked.iter().cloned());
    judgement.alerts.extend(other.alerts.iter().cloned());
    judgement.observed.extend(other.observed.iter().cloned());
    judgement.depends_on_time |= other.depends_on_time;
    let ruling = std::mem::replace(&mut judgement.ruling, Ruling::Allow);
    judgement.ruling = match (ruling, &other.ruling) {
        (Ruling::Deny(denial), _) => Ruling::Deny(denial),
        (_, Ruling::Deny(denial)) => Ruling::Deny(denial.clone()),
        (Ruling::Hold(mut needs), Ruling::Hold(more)) => {
            needs.extend(more.iter().filter(|n| !needs.contains(n)).cloned().collect::<Vec<_>>());
            Ruling::Hold(needs)
        }
        (Ruling::Hold(needs), Ruling::Allow) => Ruling::Hold(needs),
        (Ruling::Allow, Ruling::Hold(needs)) => Ruling::Hold(needs.clone()),
        (Ruling::Allow, Ruling::Allow) => Ruling::Allow,
    };
}
