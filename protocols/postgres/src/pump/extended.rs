//! The extended query protocol: Parse, Bind, Describe, Execute and Close, and how one of them is refused.

use super::carry::Began;
use super::client::{Taken, request_of, spelt_out};
use super::meaning::{Named, PortalNow, Spelt, by_name, certified};
use super::probes::Compared;
use super::put_off::Settled;
use super::renamed::Standing;
use super::sizes::Sized;
use super::{ABORT_TEXT, Asking, Execution, Expect, Flow, Portal, Pump, Shape, Statement, Values, Waiting};
use crate::frame::Frame;
use crate::message::{self, Object, TransactionStatus};
use crate::names::{NAME_BYTES_MAX, is_own};
use crate::own;
use crate::prepare::Prepared;
use bytes::{Bytes, BytesMut};
use lockgate_core::{Fault, SqlState};
use lockgate_record::{DoneKind, RequestKind};
use lockgate_session::wire::{Decided, Io};
use lockgate_session::{
    ApprovalNeed, Denial, Judgement, Parameters, Parked, Permit, Plan, Plumbing, Request, Ruling, Verdict,
};
use lockgate_sql::ParameterTypes;
use std::borrow::Cow;
use std::sync::Arc;

/// The Parse that the target gets.
fn parse_frame<'a>(frame: &'a Frame, parse: &message::Parse<'_>, prepared: &Prepared) -> Cow<'a, [u8]> {
    let Some(text) = prepared.rewritten() else { return Cow::Borrowed(frame.bytes()) };
    let types: Vec<u32> = parse.type_oids.iter().collect();
    let mut out = BytesMut::new();
    // Neither name nor text has a NUL, as both were read from frames; should it fail all the same, nothing is prepared.
    if own::parse(&mut out, parse.name, text.as_bytes(), &types).is_err() {
        out = BytesMut::from(&b"P\0\0\0\x08\0\0\0\0"[..]);
    }
    Cow::Owned(out.to_vec())
}

impl Pump {
    pub(super) fn parse(&mut self, frame: Frame, io: &mut Io) -> Taken {
        let parse = match message::Parse::decode(frame.body()) {
            Ok(parse) => parse,
            Err(error) => return self.malformed(io, "Parse", &error),
        };
        if let Some(denial) = self.name_denial(parse.name) {
            self.refuse_denial(io, &denial);
            return Taken::Done;
        }
        if !self.statements.has_room(parse.text.len()) {
            self.client_broke(io, SqlState::LIMIT_EXCEEDED, "too many prepared statements");
            return Taken::Done;
        }
        if self.changing().catalog {
            return self.wait_for_answers(frame, io);
        }
        let parameters = ParameterTypes::declared(parse.type_oids.iter());
        let prepared = self.prepare_of_types(parse.text, parameters, io.now);
        if self.needs_catalog_to_read(&prepared, io.now) {
            self.ask_catalog(io);
            return Taken::asks(frame);
        }
        if let Some(denial) = self.reading_denial(&prepared) {
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
        let text = prepared.rewritten().map_or(parse.text, str::as_bytes);
        let mut request = request_of(RequestKind::Parse, text, &prepared);
        request.statement = Some(&name);
        match self.session.submit(&request, judgement.as_ref().unwrap_or(&prepared.judgement), io.now) {
            Verdict::Allow(permit) => {
                let request = permit.request();
                self.sends_unjudged();
                self.keeps_plan();
                io.target.request(permit, &parse_frame(&frame, &parse, &prepared));
                self.unsynced = true;
                let bytes = prepared.bytes();
                self.statements.propose(
                    parse.name,
                    Some(Statement { prepared, inside: None, shape: Shape::default(), standing: Standing::default() }),
                    bytes,
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

    pub(super) fn bind(&mut self, Asking { frame, sizes }: Asking, io: &mut Io) -> Taken {
        let bind = match message::Bind::decode(frame.body()) {
            Ok(bind) => bind,
            Err(error) => return self.malformed(io, "Bind", &error),
        };
        if let Some(denial) = self.name_denial(bind.statement).or_else(|| self.name_denial(bind.portal)) {
            self.refuse_denial(io, &denial);
            return Taken::Done;
        }
        if !self.portals.has_room(frame.body().len()) {
            self.client_broke(io, SqlState::LIMIT_EXCEEDED, "too many portals");
            return Taken::Done;
        }
        let changing = self.changing();
        if changing.names || changing.catalog || !self.statements.is_certain(bind.statement, self.batch) {
            return self.wait_for_answers(frame, io);
        }
        if self.asks_statement(bind.statement, io) {
            return Taken::Waits(Waiting::Target(Asking { frame, sizes }));
        }
        let statement = self.statement_now(bind.statement, io);
        if let Some(statement) = &statement
            && self.needs_catalog(statement.subject(), io.now)
        {
            self.ask_catalog(io);
            return Taken::Waits(Waiting::Target(Asking { frame, sizes }));
        }
        if self.forgets_plans(io) {
            return Taken::Waits(Waiting::Target(Asking { frame, sizes }));
        }
        let unread = statement.as_ref().and_then(|statement| self.catalog_denial(statement.subject()));
        if let Some(denial) = unread.or_else(|| self.plans_denial()) {
            self.refuse_denial(io, &denial);
            return Taken::Done;
        }
        let parameters: Values = bind
            .values
            .iter()
            .enumerate()
            .map(|(index, value)| (value.map(Box::from), format_at(&bind.parameter_formats, index)))
            .collect();
        let formats: Arc<[u16]> = bind.result_formats.iter().map(|f| f.code()).collect();
        let mut permit = None;
        let mut sized = false;
        if let Some(statement) = &statement {
            let subject = Arc::clone(statement.subject());
            match &subject.judgement.ruling {
                // What a portal yields is fixed as it is bound.
                Ruling::Allow => match self.sized(&subject, &subject.judgement, sizes, || frame.clone(), io) {
                    Sized::Fine => sized = !subject.judgement.releases.is_empty(),
                    Sized::Asked(waiting) => return Taken::Waits(waiting),
                    Sized::Refused(denial) => {
                        self.refuse_denial(io, &denial);
                        return Taken::Done;
                    }
                },
                Ruling::Deny(denial) => {
                    let denial = denial.clone();
                    self.refuse_denial(io, &denial);
                    return Taken::Done;
                }
                // What a name stands for is asked for as well, when it runs.
                Ruling::Hold(_) if subject.statements().iter().any(|s| by_name(&s.effect)) => {}
                Ruling::Hold(_) => {
                    let values = borrowed(&parameters);
                    let name = String::from_utf8_lossy(bind.statement);
                    let compared = Compared::of(&subject, &parameters, &[]);
                    let probing = compared.probing();
                    let mut request = request_of(RequestKind::Bind, subject.text().as_bytes(), &subject);
                    request.probing = &probing;
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
                            self.ends_preparing(io);
                            io.read_client = false;
                            return Taken::Done;
                        }
                    }
                }
            }
        }
        let portal = Portal {
            statement,
            outlived: None,
            formats,
            parameters,
            shape: Shape::default(),
            masker: Arc::default(),
            approved: Vec::new(),
            judged: None,
            begun: false,
            sized,
            permit,
            holds: false,
            made: false,
            since: None,
            standing: Standing::default(),
        };
        self.sent_bind(&frame, bind.portal, portal, io);
        Taken::Done
    }

    fn sent_bind(&mut self, frame: &Frame, name: &[u8], mut portal: Portal, io: &mut Io) {
        self.sends_unjudged();
        portal.judged = self.judged_opening(portal.statement.as_ref(), io.now);
        io.target.plumbing(Plumbing::Bind, frame.bytes());
        self.unsynced = true;
        self.bound = true;
        let opens = portal.statement.as_ref().map_or(0, |statement| statement.prepared.bytes());
        self.portals.propose(name, Some(portal), frame.body().len().saturating_add(opens), self.batch);
        self.expect.push_back(Expect::Bind);
    }

    pub(super) fn execute(&mut self, frame: Frame, io: &mut Io) -> Taken {
        let execute = match message::Execute::decode(frame.body()) {
            Ok(execute) => execute,
            Err(error) => return self.malformed(io, "Execute", &error),
        };
        if let Some(denial) = self.name_denial(execute.portal) {
            self.refuse_denial(io, &denial);
            return Taken::Done;
        }
        let changing = self.changing();
        if changing.names || changing.catalog || !self.portals.is_certain(execute.portal, self.batch) {
            return self.wait_for_answers(frame, io);
        }
        let name: Box<[u8]> = execute.portal.into();
        if self.asks_portal(&name, io) {
            return Taken::asks(frame);
        }
        let statement = self.portals.get(&name).and_then(|p| p.statement.clone());
        if let Some(known) = &statement {
            let now = self.opened(known, io).subject;
            if self.hangs_on_names(&now) {
                return self.wait_for_answers(frame, io);
            }
            if self.needs_catalog(&now, io.now) {
                self.ask_catalog(io);
                return Taken::asks(frame);
            }
            if self.asks_names_of(&now, io) || self.asks_before_renaming(&now, io) {
                return Taken::asks(frame);
            }
            if self.forgets_plans_for(&now, io) {
                return Taken::asks(frame);
            }
            if let Some(denial) = self.catalog_denial(&now).or_else(|| self.two_phase_denial(Some(&now))) {
                self.refuse_denial(io, &denial);
                return Taken::Done;
            }
            if self.ends_put_off(&now) {
                match self.settle_put_off(io) {
                    Settled::Fine => {}
                    Settled::Asked => return Taken::asks(frame),
                    Settled::Refused(denial) => {
                        self.refuse_denial(io, &denial);
                        return Taken::Done;
                    }
                }
            }
        } else if let Some(denial) = self.two_phase_denial(None) {
            self.refuse_denial(io, &denial);
            return Taken::Done;
        }
        let PortalNow { subject, mut own, plan: own_plan, alone, runs, executed } =
            self.portal_now(&name, statement.as_ref(), io);
        let (permit, approved, begun, parameters) = match self.portals.get_mut(&name) {
            Some(portal) => {
                let approved = portal.approved.clone();
                (portal.permit.take(), approved, portal.begun, Arc::clone(&portal.parameters))
            }
            None => (None, Vec::new(), false, Arc::default()),
        };
        let sized = self.portals.get(&name).is_some_and(|portal| portal.sized);
        let statements_own = subject.as_ref().map(|s| &*s.judgement);
        if let Some(judged) = own.as_ref().or(statements_own)
            && let Ruling::Hold(needs) = &judged.ruling
            && !approved.is_empty()
            && needs.iter().all(|need| approved.contains(need))
        {
            // The approval was for this portal; what is left of it belongs to the same request.
            own = Some(Judgement { ruling: Ruling::Allow, ..judged.clone() });
        }
        if !sized
            && let Some(judged) = own.as_ref().or(statements_own)
            && let Some(release) = judged.releases.first()
        {
            let denial = Denial::not_sized(&release.columns.join(", "), "it was bound before that was permitted");
            own = Some(Judgement { ruling: Ruling::Deny(denial), ..judged.clone() });
        }
        let Some(judgement) = own.as_ref().or(statements_own) else { return Taken::Done };
        // An empty statement has no plan, and no rows.
        let plan = own_plan.or_else(|| judgement.plans.first().cloned()).unwrap_or_else(|| {
            Arc::new(Plan { masks: lockgate_session::Masks::Clear, touch: lockgate_mask::Touch::Clean })
        });

        let unfollowed = subject.as_ref().and_then(|subject| self.unfollowed_course(subject, judgement));
        if let Some(denial) = unfollowed {
            self.refuse_denial(io, &denial);
            return Taken::Done;
        }
        let carried = if Self::carries(judgement) { judgement.carries.clone() } else { Vec::new() };
        let permit = match (permit, &judgement.ruling) {
            (Some(permit), Ruling::Deny(denial)) => {
                // It was approved when it was bound, and since then this was forbidden, or its names mean something else.
                let error = (denial.sqlstate.0, &*denial.message, denial.fault);
                self.done(io, permit.request(), DoneKind::Failed, "", Some(error));
                self.refuse_denial(io, denial);
                return Taken::Done;
            }
            (Some(permit), Ruling::Hold(_)) => {
                // More is asked for by now than was approved.
                let denial = unfit_approval();
                let error = (denial.sqlstate.0, &*denial.message, denial.fault);
                self.done(io, permit.request(), DoneKind::Failed, "", Some(error));
                self.refuse_denial(io, &denial);
                return Taken::Done;
            }
            (Some(permit), Ruling::Allow) => permit,
            (None, _) => {
                let values = borrowed(&parameters);
                let portal_name = String::from_utf8_lossy(&name);
                let unseen = if subject.is_none() { unseen_portal(&portal_name) } else { String::new() };
                let spelt = match (&judgement.ruling, &subject) {
                    (Ruling::Hold(_), Some(subject)) => Spelt::of(subject, &runs),
                    _ => None,
                };
                let compared = subject.as_ref().filter(|_| !begun).map(|s| Compared::of(s, &parameters, &executed));
                let compared = compared.unwrap_or_default();
                let probing = compared.probing();
                let mut request = execute_request(subject.as_ref(), &unseen, spelt.as_ref());
                request.portal = Some(&portal_name);
                request.parameters = Parameters { values: &values };
                let certified = certified(&runs);
                request.runs = &certified;
                request.probing = &probing;
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
        let subjects = Self::subjects(subject.as_ref(), &runs);
        self.sent_execute(&frame, name, statement, (plan, alone, subjects), permit, io);
        self.sent_carrying(&carried, Began::Execute, io);
        Taken::Done
    }

    fn sent_execute(
        &mut self,
        frame: &Frame,
        name: Box<[u8]>,
        statement: Option<Statement>,
        (plan, resolved, subjects): (Arc<Plan>, bool, Vec<Arc<Prepared>>),
        permit: Permit,
        io: &mut Io,
    ) {
        let (shape, masker, formats) = match self.portals.get_mut(&name) {
            Some(portal) => {
                portal.begun = true;
                if portal.statement.is_none() {
                    // What was made for its earlier rows was made for what was known of it then.
                    portal.masker = Arc::default();
                }
                (Arc::clone(&portal.shape), Arc::clone(&portal.masker), Arc::clone(&portal.formats))
            }
            // A cursor that was opened out of our sight: what its shape is, this Execute alone will know.
            None => (Shape::default(), Arc::default(), Arc::default()),
        };
        let described = self.expect.iter().any(|e| match e {
            Expect::DescribePortal { shape: Some(asked), .. } => Arc::ptr_eq(asked, &shape),
            Expect::DescribeStatement { shape: Some(asked), .. } => {
                statement.as_ref().and_then(Statement::own_shape).is_some_and(|own| Arc::ptr_eq(asked, own))
            }
            _ => false,
        });
        let known = shape.get().is_some()
            || statement.as_ref().and_then(Statement::own_shape).is_some_and(|own| own.get().is_some());
        if (self.labelled() || self.content.is_some()) && !known && !described {
            // Rows of a portal that nobody described cannot be masked by type. The target is asked, and its answer kept.
            let mut describe = BytesMut::new();
            if own::describe(&mut describe, Object::Portal, &name).is_ok() {
                io.target.plumbing(Plumbing::Inquiry, &describe);
                let shape = Some(Arc::clone(&shape));
                self.expect.push_back(Expect::DescribePortal { shape, subject: None, swallow: true });
            }
        }
        self.sends_unjudged();
        let request = permit.request();
        if let Some(statement) = &statement {
            self.describe_copied(&Arc::clone(statement.subject()), Some(&plan), false, io);
        }
        let copied = self.copied_shape();
        io.target.request(permit, frame.bytes());
        self.unsynced = true;
        self.bound = true;
        let named = match &statement {
            Some(statement) => {
                let subject = Arc::clone(statement.subject());
                let named = self.named(&subject);
                self.will_change(&subject, &named);
                self.may_keep_plans(&subject);
                self.may_put_off(&subject, &named);
                named
            }
            // A portal of unknown content may do anything.
            None => {
                self.will_change_anything();
                self.may_alter_anything();
                self.keeps_plan();
                Named::default()
            }
        };
        let judged = self.judged_by(subjects, io.now);
        self.expect.push_back(Expect::Execute(Box::new(Execution {
            request,
            statement,
            named,
            carries: None,
            plan,
            resolved,
            shape,
            masker,
            formats,
            result: Flow { copied, ..Flow::default() },
            judged,
            withheld: false,
        })));
    }

    pub(super) fn describe(&mut self, frame: &Frame, io: &mut Io) -> Taken {
        let describe = match message::Describe::decode(frame.body()) {
            Ok(describe) => describe,
            Err(error) => return self.malformed(io, "Describe", &error),
        };
        if let Some(denial) = self.name_denial(describe.name) {
            self.refuse_denial(io, &denial);
            return Taken::Done;
        }
        // What its columns are called is of what the name stands for.
        if !describe.name.is_empty() && self.changing().names {
            return self.wait_for_answers(frame.clone(), io);
        }
        let asks = match describe.object {
            Object::Statement => self.asks_statement(describe.name, io),
            Object::Portal => self.asks_portal(describe.name, io),
        };
        if asks {
            return Taken::asks(frame.clone());
        }
        self.sends_unjudged();
        io.target.plumbing(Plumbing::Reference, frame.bytes());
        self.unsynced = true;
        self.expect.push_back(match describe.object {
            Object::Statement => {
                let statement = self.statements.get(describe.name);
                Expect::DescribeStatement {
                    shape: statement.map(|s| Arc::clone(&s.shape)),
                    subject: statement.map(|s| Arc::clone(s.subject())),
                }
            }
            Object::Portal => {
                let portal = self.portals.get(describe.name);
                let statement = portal.and_then(|p| p.statement.as_ref());
                Expect::DescribePortal {
                    shape: portal.map(|p| Arc::clone(&p.shape)),
                    subject: statement.map(|s| Arc::clone(s.subject())),
                    swallow: false,
                }
            }
        });
        Taken::Done
    }

    pub(super) fn close(&mut self, frame: &Frame, io: &mut Io) -> Taken {
        let close = match message::Close::decode(frame.body()) {
            Ok(close) => close,
            Err(error) => return self.malformed(io, "Close", &error),
        };
        if let Some(denial) = self.name_denial(close.name) {
            self.refuse_denial(io, &denial);
            return Taken::Done;
        }
        io.target.plumbing(Plumbing::Reference, frame.bytes());
        self.unsynced = true;
        match close.object {
            Object::Statement => {
                self.statements.propose(close.name, None, 0, self.batch);
                self.expect.push_back(Expect::CloseStatement);
            }
            Object::Portal => {
                self.portals.propose(close.name, None, 0, self.batch);
                self.expect.push_back(Expect::ClosePortal);
            }
        }
        Taken::Done
    }

    /// Why nothing may be called so: names that are not the same here could be the same at the server, which looks at their
    /// first bytes only, in its own encoding; and some are the gateway's own.
    fn name_denial(&self, name: &[u8]) -> Option<Denial> {
        let why = if is_own(name) {
            "the gateway's own questions to the target are called so"
        } else if name.len() > NAME_BYTES_MAX {
            "the server looks at the first 63 bytes only"
        } else if !(name.is_ascii() || self.lexing.encoding && self.lexing.server) {
            "it is not ASCII, and the target or the session is not in UTF-8"
        } else {
            return None;
        };
        let detail = Some(why.to_owned());
        let hint = Some("use shorter names, in ASCII, which do not begin with `lockgate `".to_owned());
        let message = "refused: a statement or portal with this name could be taken for another one";
        Some(Denial::other(Fault::Client, SqlState::NAME_TOO_LONG, message, detail, hint))
    }

    pub(super) fn refuse_denial(&mut self, io: &mut Io, denial: &Denial) {
        let error = self.report(own::Severity::Error, denial).freeze();
        self.refuse_extended(io, error);
    }

    /// Answers a message of the extended protocol with an error and drops what follows, up to Sync. What ran before it in
    /// the same transaction, explicit or not, fails with it, as it would at the target.
    pub(super) fn refuse_extended(&mut self, io: &mut Io, error: Bytes) {
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

    pub(super) fn release_bind(&mut self, parked: Parked, frame: &Frame, decided: &Decided, io: &mut Io) {
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
        let compared = Compared::of(&subject, &parameters, &[]);
        let probing = compared.probing();
        let mut request = request_of(RequestKind::Bind, subject.text().as_bytes(), &subject);
        request.probing = &probing;
        request.statement = Some(&name);
        request.parameters = Parameters { values: &values };
        match self.session.release(parked, decided, &request, &subject.judgement, io.now) {
            Verdict::Allow(permit) => {
                drop(values);
                let portal = Portal {
                    statement: Some(statement),
                    outlived: None,
                    formats: bind.result_formats.iter().map(|f| f.code()).collect(),
                    parameters,
                    shape: Shape::default(),
                    masker: Arc::default(),
                    permit: Some(permit),
                    approved: asked_for(&subject.judgement),
                    judged: None,
                    begun: false,
                    sized: false,
                    holds: false,
                    made: false,
                    since: None,
                    standing: Standing::default(),
                };
                self.sent_bind(frame, bind.portal, portal, io);
            }
            Verdict::Deny(denial) => self.refuse_denial(io, &denial),
            Verdict::Hold(..) => {}
        }
    }

    pub(super) fn release_execute(&mut self, parked: Parked, frame: &Frame, decided: &Decided, io: &mut Io) {
        let Ok(execute) = message::Execute::decode(frame.body()) else { return };
        let name: Box<[u8]> = execute.portal.into();
        let statement = self.portals.get(&name).and_then(|p| p.statement.clone());
        let PortalNow { subject, own, plan, alone, runs, executed } = self.portal_now(&name, statement.as_ref(), io);
        let Some(mut judgement) = own.or_else(|| subject.as_ref().map(|s| Judgement::clone(&s.judgement))) else {
            return;
        };
        let refused = self
            .two_phase_denial(subject.as_deref())
            .or_else(|| subject.as_ref().and_then(|subject| self.unfollowed_course(subject, &judgement)));
        if let Some(denial) = refused {
            judgement.ruling = Ruling::Deny(denial);
        }
        let carried = if Self::carries(&judgement) { judgement.carries.clone() } else { Vec::new() };
        let plan = plan.or_else(|| judgement.plans.first().cloned());
        let plan = plan.unwrap_or_else(|| {
            Arc::new(Plan { masks: lockgate_session::Masks::Clear, touch: lockgate_mask::Touch::Labelled })
        });
        let parameters = self.portals.get(&name).map(|p| Arc::clone(&p.parameters)).unwrap_or_default();
        let values = borrowed(&parameters);
        let portal_name = String::from_utf8_lossy(&name);
        let unseen = if subject.is_none() { unseen_portal(&portal_name) } else { String::new() };
        let spelt = subject.as_ref().and_then(|subject| Spelt::of(subject, &runs));
        let compared = subject.as_ref().map(|s| Compared::of(s, &parameters, &executed)).unwrap_or_default();
        let probing = compared.probing();
        let mut request = execute_request(subject.as_ref(), &unseen, spelt.as_ref());
        request.portal = Some(&portal_name);
        request.parameters = Parameters { values: &values };
        request.probing = &probing;
        match self.session.release(parked, decided, &request, &judgement, io.now) {
            Verdict::Allow(permit) => {
                if let Some(portal) = self.portals.get_mut(&name) {
                    portal.approved = asked_for(&judgement);
                }
                let subjects = Self::subjects(subject.as_ref(), &runs);
                self.sent_execute(frame, name.clone(), statement, (plan, alone, subjects), permit, io);
                self.sent_carrying(&carried, Began::Execute, io);
            }
            Verdict::Deny(denial) => self.refuse_denial(io, &denial),
            Verdict::Hold(..) => {}
        }
    }
}

/// What was asked for where somebody approved it.
fn asked_for(judgement: &Judgement) -> Vec<ApprovalNeed> {
    match &judgement.ruling {
        Ruling::Hold(needs) => needs.clone(),
        Ruling::Allow | Ruling::Deny(_) => Vec::new(),
    }
}

fn unfit_approval() -> Denial {
    Denial::other(
        Fault::Policy,
        SqlState::INSUFFICIENT_PRIVILEGE,
        "the approval no longer fits",
        Some("the policies changed since it was given".into()),
        Some("run it again to ask again".into()),
    )
}

/// The request of an Execute.
fn execute_request<'a>(subject: Option<&'a Arc<Prepared>>, unseen: &'a str, spelt: Option<&'a Spelt>) -> Request<'a> {
    match subject {
        Some(subject) => spelt_out(request_of(RequestKind::Execute, subject.text().as_bytes(), subject), spelt),
        None => Request::new(RequestKind::Execute, unseen.as_bytes()),
    }
}

/// What stands for the text of a portal that was opened out of our sight.
fn unseen_portal(name: &str) -> String {
    format!("-- portal {name:?}, opened where the gateway could not see it")
}

pub(super) fn borrowed(parameters: &[(Option<Box<[u8]>>, u16)]) -> Vec<(Option<&[u8]>, u16)> {
    parameters.iter().map(|(value, format)| (value.as_deref(), *format)).collect()
}

/// The format of the value at `index`; where the list is too short the target refuses the message.
pub(super) fn format_at(formats: &message::Formats<'_>, index: usize) -> u16 {
    formats.of(index).map_or(0, message::FormatCode::code)
}
