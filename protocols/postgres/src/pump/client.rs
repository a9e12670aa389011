//! Frames of the client: what each asks for, and whether it goes on.

use super::{ABORT_TEXT, Execution, Expect, Flow, Held, Portal, Pump, Shape, Simple, Statement, Waiting};
use crate::frame::{self, Frame, FrontendTag, Peer};
use crate::message::{self, Object, TransactionStatus};
use crate::own;
use crate::prepare::Prepared;
use bytes::{Bytes, BytesMut};
use lockgate_core::limits::PG_CLIENT_MESSAGE_BYTES_MAX;
use lockgate_core::limits::PG_PIPELINE_FRAMES_MAX;
use lockgate_core::{Action, Fault, SqlState};
use lockgate_record::{CloseReason, DoneKind, RequestKind};
use lockgate_session::wire::{Decided, Io};
use lockgate_session::{Denial, Judgement, Parameters, Plan, Plumbing, Request, Ruling, Verdict};
use lockgate_sql::{Effect, Why};
use std::sync::Arc;

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
        if self.expect.len() >= PG_PIPELINE_FRAMES_MAX {
            self.client_broke(io, SqlState::LIMIT_EXCEEDED, "too many messages without an answer");
            return;
        }
        match self.take_one(frame, io) {
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
                self.end(io, CloseReason::ClientClosed, "the client said goodbye", None);
                Taken::Done
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
        let prepared = self.prepare(text, io.now);
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
        // A simple query takes the place of the unnamed statement and portal.
        self.statements.remove(b"");
        self.portals.remove(b"");
        self.unsynced = false;
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

    /// EXECUTE and FETCH mean what the session's names say. Returns the judgement and plans with that put in; `None` when
    /// the batch has neither.
    fn resolve(&mut self, prepared: &Arc<Prepared>, io: &Io) -> Option<(Option<Judgement>, Vec<Arc<Plan>>)> {
        let statements = prepared.statements();
        if !statements.iter().any(|s| matches!(s.effect, Effect::Execute { .. } | Effect::Fetch { .. })) {
            return None;
        }
        let mut judgement = prepared.judgement.clone();
        let mut plans = judgement.plans.clone();
        for (index, statement) in statements.iter().enumerate() {
            let earlier = statements.get(..index).unwrap_or_default();
            let found: Option<Arc<Prepared>> = match &statement.effect {
                Effect::Execute { name, .. } => {
                    // A PREPARE in the same message comes first.
                    let made =
                        earlier.iter().rposition(|s| matches!(&s.effect, Effect::Prepare { name: n, .. } if n == name));
                    match made {
                        Some(at) => prepared.inner(at).cloned(),
                        None => self.statement_now(name.as_bytes(), io).map(|s| Arc::clone(s.subject())),
                    }
                }
                Effect::Fetch { name } => {
                    let made = earlier
                        .iter()
                        .rposition(|s| matches!(&s.effect, Effect::DeclareCursor { name: n, .. } if n == name));
                    match made {
                        Some(at) => prepared.inner(at).cloned(),
                        None => self
                            .portals
                            .get(name.as_bytes())
                            .and_then(|p| p.statement.as_ref())
                            .map(|s| Arc::clone(s.subject())),
                    }
                }
                _ => continue,
            };
            match found {
                Some(found) => {
                    if let (Some(to), Some(from)) = (plans.get_mut(index), found.judgement.plans.first()) {
                        *to = from.clone();
                    }
                    if matches!(statement.effect, Effect::Execute { .. }) {
                        add_ruling(&mut judgement, &found.judgement);
                    }
                }
                None => {
                    // A name that was given out of our sight, or none at all: the target will say which.
                    let unknown = self.unknown_plan(io.now);
                    if let (Some(to), Some(from)) = (plans.get_mut(index), unknown.plans.first()) {
                        *to = from.clone();
                    }
                    if self.labelled() && matches!(statement.effect, Effect::Execute { .. }) {
                        add_ruling(&mut judgement, &unknown);
                    }
                }
            }
        }
        Some((Some(judgement), plans))
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
        self.statements.remove(b"");
        self.portals.remove(b"");
        if self.status == TransactionStatus::InTransaction || self.unsynced {
            self.unsynced = false;
            let mut abort = BytesMut::new();
            if own::query(&mut abort, ABORT_TEXT).is_err() {
                return;
            }
            io.target.plumbing(Plumbing::Abort, &abort);
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
            Ruling::Hold(_) => Some(Judgement { ruling: Ruling::Allow, ..prepared.judgement.clone() }),
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
                self.statements
                    .propose(parse.name, Some(Statement { prepared, inside: None, shape: Shape::default() }));
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
        let statement = self.statement_now(bind.statement, io);
        if let Some(statement) = &statement
            && self.needs_catalog(statement.subject(), io.now)
        {
            self.ask_catalog(io);
            return Taken::Waits(Waiting::Catalog(frame));
        }
        let parameters: Arc<[(Option<Box<[u8]>>, u16)]> = bind
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
        self.portals.propose(name, Some(portal));
        self.expect.push_back(Expect::Bind);
    }

    fn execute(&mut self, frame: Frame, io: &mut Io) -> Taken {
        let execute = match message::Execute::decode(frame.body()) {
            Ok(execute) => execute,
            Err(error) => return self.malformed(io, "Execute", &error),
        };
        let name: Box<[u8]> = execute.portal.into();
        let mut statement = self.portals.get(&name).and_then(|p| p.statement.clone());
        if let Some(known) = &mut statement {
            self.renew(known, io.now);
            if self.needs_catalog(known.subject(), io.now) {
                self.ask_catalog(io);
                return Taken::Waits(Waiting::Catalog(frame));
            }
        }
        let subject = statement.as_ref().map(|s| Arc::clone(s.subject()));
        if let Some(denial) = subject.as_ref().and_then(|s| self.catalog_denial(s)) {
            self.refuse_denial(io, &denial);
            return Taken::Done;
        }
        let resolved = subject.as_ref().and_then(|s| self.resolve(s, io));
        let (permit, approved, parameters) = match self.portals.get_mut(&name) {
            Some(portal) => (portal.permit.take(), portal.approved, Arc::clone(&portal.parameters)),
            None => (None, false, Arc::default()),
        };
        let is_resolved = resolved.is_some();
        // A judgement of this Execute alone, where the statement's own does not serve.
        let (mut own, resolved_plan) = match (resolved, &subject) {
            (Some((judgement, plans)), _) => (judgement, plans.into_iter().next()),
            (None, Some(_)) => (None, None),
            (None, None) => (Some(self.unknown_plan(io.now)), None),
        };
        let statements_own = subject.as_ref().map(|s| &s.judgement);
        if approved
            && let Some(judged) = own.as_ref().or(statements_own)
            && matches!(judged.ruling, Ruling::Hold(_))
        {
            // The approval was for this portal; what is left of it belongs to the same request.
            own = Some(Judgement { ruling: Ruling::Allow, ..judged.clone() });
        }
        let Some(judgement) = own.as_ref().or(statements_own) else { return Taken::Done };
        // An empty statement has no plan, and no rows.
        let plan = resolved_plan.or_else(|| judgement.plans.first().cloned()).unwrap_or_else(|| {
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
        self.sent_execute(&frame, name, statement, (plan, is_resolved), permit, io);
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
                self.statements.propose(close.name, None);
                self.expect.push_back(Expect::CloseStatement);
            }
            Object::Portal => {
                self.portals.propose(close.name, None);
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
            _ => {
                let text = format!("unexpected message type 0x{:02x} during COPY from stdin", frame.tag());
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
                let judgement =
                    resolved.as_ref().and_then(|(j, _)| j.clone()).unwrap_or_else(|| prepared.judgement.clone());
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
        let parameters: Arc<[(Option<Box<[u8]>>, u16)]> = bind
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
        let mut statement = self.portals.get(&name).and_then(|p| p.statement.clone());
        if let Some(known) = &mut statement {
            self.renew(known, io.now);
        }
        let subject = statement.as_ref().map(|s| Arc::clone(s.subject()));
        let resolved = subject.as_ref().and_then(|s| self.resolve(s, io));
        let judgement = match (&resolved, &subject) {
            (Some((Some(judgement), _)), _) => judgement.clone(),
            (_, Some(subject)) => subject.judgement.clone(),
            (_, None) => self.unknown_plan(io.now),
        };
        let is_resolved = resolved.is_some();
        let plan =
            resolved.and_then(|(_, plans)| plans.into_iter().next()).or_else(|| judgement.plans.first().cloned());
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
                self.sent_execute(frame, name.clone(), statement, (plan, is_resolved), permit, io);
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
