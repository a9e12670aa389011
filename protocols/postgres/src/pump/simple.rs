//! Simple queries, and how one is refused.

use super::carry::Began;
use super::client::{Taken, request_of, spelt_out};
use super::meaning::{Resolved, Spelt, certified};
use super::probes::Compared;
use super::put_off::Settled;
use super::sizes::Sized;
use super::{ABORT_TEXT, Asking, Expect, Flow, Pump, Simple, Waiting};
use crate::frame::Frame;
use crate::message::{self, TransactionStatus};
use crate::own;
use crate::prepare::Prepared;
use bytes::{Bytes, BytesMut};
use lockgate_core::{Fault, SqlState};
use lockgate_record::RequestKind;
use lockgate_session::wire::{Decided, Io};
use lockgate_session::{Denial, Judgement, Parked, Plumbing, Request, Ruling, Verdict};
use lockgate_sql::Why;
use std::borrow::Cow;
use std::sync::Arc;

/// The text that runs: the client's own bytes, unless it was rewritten.
fn runs_as<'a>(text: &'a [u8], prepared: &'a Prepared) -> &'a [u8] {
    prepared.rewritten().map_or(text, str::as_bytes)
}

/// Stands before a text that brings labels to columns, where no transaction is open.
pub(super) const BEGIN: &str = "BEGIN;";

/// The frame that the target gets.
fn query_frame<'a>(frame: &'a Frame, text: &[u8], prepared: &Prepared, bracketed: bool) -> Cow<'a, [u8]> {
    let bracket = if bracketed { BEGIN } else { "" };
    if prepared.rewritten().is_none() && !bracketed {
        return Cow::Borrowed(frame.bytes());
    }
    let text = [bracket.as_bytes(), runs_as(text, prepared)].concat();
    let mut out = BytesMut::new();
    // A text that parsed has no NUL; should it fail all the same, the target gets an empty query.
    if own::query(&mut out, &text).is_err() {
        out = BytesMut::from(&b"Q\0\0\0\x05\0"[..]);
    }
    Cow::Owned(out.to_vec())
}

impl Pump {
    pub(super) fn query(&mut self, Asking { frame, sizes }: Asking, io: &mut Io) -> Taken {
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
        let prepared = self.prepare_message(text, io.now);
        if self.hangs_on_names(&prepared) {
            return self.wait_for_answers(frame, io);
        }
        if self.needs_catalog_to_read(&prepared, io.now) {
            self.ask_catalog(io);
            return Taken::Waits(Waiting::Target(Asking { frame, sizes }));
        }
        if self.asks_names_of(&prepared, io) || self.asks_before_renaming(&prepared, io) {
            return Taken::Waits(Waiting::Target(Asking { frame, sizes }));
        }
        if self.forgets_plans_for(&prepared, io) {
            return Taken::Waits(Waiting::Target(Asking { frame, sizes }));
        }
        if let Some(parts) = self.parts_of(text, &prepared, io) {
            self.parts = Some(parts);
            return match self.next_part() {
                Some(frame) => self.query(Asking { frame, sizes: None }, io),
                None => Taken::Done,
            };
        }
        let denial = self.reading_denial(&prepared).or_else(|| self.two_phase_denial(Some(&prepared)));
        if let Some(denial) = denial {
            let error = self.report(own::Severity::Error, &denial).freeze();
            self.refuse_query(io, error);
            return Taken::Done;
        }
        let settled = if self.query_ends_put_off(&prepared) { self.settle_put_off(io) } else { Settled::Fine };
        let put_off = match settled {
            Settled::Fine => self.put_off_denial(&prepared),
            Settled::Asked => return Taken::Waits(Waiting::Target(Asking { frame, sizes })),
            Settled::Refused(denial) => Some(denial),
        };
        if let Some(denial) = put_off {
            let error = self.report(own::Severity::Error, &denial).freeze();
            self.refuse_query(io, error);
            return Taken::Done;
        }
        let resolved = self.resolve(&prepared, io);
        let judgement = resolved.as_ref().map_or(&*prepared.judgement, |r| &r.judgement);
        if let Some(error) = self.own_syntax_error(&prepared, judgement) {
            self.refuse_query(io, error);
            return Taken::Done;
        }
        let refused = match self.sized(&prepared, judgement, sizes, || frame.clone(), io) {
            Sized::Fine => None,
            Sized::Asked(waiting) => return Taken::Waits(waiting),
            Sized::Refused(denial) => Some(Judgement { ruling: Ruling::Deny(denial), ..judgement.clone() }),
        };
        let judgement = refused.as_ref().unwrap_or(judgement);
        let unfollowed = self
            .unfollowed(&prepared, judgement)
            .or_else(|| self.unfollowed_course(&prepared, judgement))
            .or_else(|| self.undecided_part(judgement));
        if let Some(denial) = unfollowed {
            let error = self.report(own::Severity::Error, &denial).freeze();
            self.refuse_query(io, error);
            return Taken::Done;
        }
        let carried = if Self::carries(judgement) { judgement.carries.clone() } else { Vec::new() };
        // Spelling out costs a copy of the texts, which only people who decide are to see.
        let spelt = match (&judgement.ruling, &resolved) {
            (Ruling::Hold(_), Some(resolved)) => Spelt::of(&prepared, &resolved.runs),
            _ => None,
        };
        let certified = resolved.as_ref().map(|r| certified(&r.runs)).unwrap_or_default();
        let compared = Compared::of(&prepared, &[], resolved.as_ref().map_or(&[], |r| &r.executed));
        let probing = compared.probing();
        let request = request_of(RequestKind::Simple, runs_as(text, &prepared), &prepared);
        let request = Request { runs: &certified, probing: &probing, ..request };
        let request = spelt_out(request, spelt.as_ref());
        match self.session.submit(&request, judgement, io.now) {
            Verdict::Allow(permit) => {
                let request = permit.request();
                let began = self.bracket();
                let bracketed = began == Began::Bracketed && (!carried.is_empty() || self.may_copy(&prepared));
                let plan = judgement.plans.first().map(Arc::clone);
                self.describe_copied(&prepared, plan.as_deref(), true, io);
                io.target.request(permit, &query_frame(&frame, text, &prepared, bracketed));
                self.sent_query(request, &prepared, resolved, bracketed, io);
                self.sent_carrying(&carried, began, io);
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

    /// Why labels cannot follow what a message as a whole does.
    fn unfollowed(&self, prepared: &Prepared, judgement: &Judgement) -> Option<Denial> {
        let alone = prepared.statements().len() == 1 && !self.unsynced && self.parts.is_none();
        (Self::carries(judgement) && !alone).then(|| {
            Denial::other(
                Fault::Policy,
                SqlState::INSUFFICIENT_PRIVILEGE,
                "refused: labels cannot follow a copy within a message of several statements",
                None,
                Some("send it in a message of its own".into()),
            )
        })
    }

    /// Nobody decides on a part of a message.
    fn undecided_part(&self, judgement: &Judgement) -> Option<Denial> {
        let holds = matches!(judgement.ruling, Ruling::Hold(_));
        (holds && self.parts.is_some()).then(|| {
            Denial::other(
                Fault::Policy,
                SqlState::INSUFFICIENT_PRIVILEGE,
                "refused: a part of a message cannot wait for an approval",
                None,
                Some("send the statement in a message of its own".into()),
            )
        })
    }

    pub(super) fn sent_query(
        &mut self,
        request: u64,
        prepared: &Arc<Prepared>,
        resolved: Option<Resolved>,
        bracketed: bool,
        io: &Io,
    ) {
        let named = self.named(prepared);
        self.will_change(prepared, &named);
        self.may_keep_plans(prepared);
        self.may_put_off(prepared, &named);
        let ends_pipeline = self.unsynced;
        let runs = resolved.as_ref().map(|r| r.runs.as_slice()).unwrap_or_default();
        let judged = self.judged_by(Self::subjects(Some(prepared), runs), io.now);
        let plans = resolved.map(|r| r.plans);
        self.takes_unnamed();
        let copied = self.copied_shape();
        self.expect.push_back(Expect::Simple(Box::new(Simple {
            request,
            prepared: Arc::clone(prepared),
            plans,
            named,
            carries: None,
            held_back: None,
            ends_pipeline,
            index: 0,
            result: Flow { copied, ..Flow::default() },
            tag: String::new(),
            failed: false,
            opening: bracketed,
            bracketed,
            undone: false,
            judged,
        })));
    }

    /// A simple query was sent: it takes the place of the unnamed statement and portal.
    pub(super) fn takes_unnamed(&mut self) {
        self.statements.propose(b"", None, 0, self.batch);
        self.portals.propose(b"", None, 0, self.batch);
        self.unsynced = false;
        self.bound = false;
    }

    /// A text that the grammar refuses, from somebody who may not do everything, is answered here with the error that the
    /// target would give: the gateway does not pass on what it cannot read, and the typo deserves its message.
    pub(super) fn own_syntax_error(&self, prepared: &Prepared, judgement: &Judgement) -> Option<Bytes> {
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
    pub(super) fn refuse_query(&mut self, io: &mut Io, error: Bytes) {
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
        self.no_more_parts(io);
        let mut out = BytesMut::from(error.as_ref());
        own::ready_for_query(&mut out, self.status);
        if self.expect.is_empty() {
            self.own(io, out);
            self.when_idle(io);
        } else {
            self.expect.push_back(Expect::Own(out.freeze()));
        }
    }

    pub(super) fn release_query(&mut self, parked: Parked, frame: &Frame, decided: &Decided, io: &mut Io) {
        let Ok(query) = message::Query::decode(frame.body()) else { return };
        let prepared = self.prepare_message(query.text, io.now);
        let resolved = self.resolve(&prepared, io);
        let judgement = resolved.as_ref().map_or(&*prepared.judgement, |r| &r.judgement);
        // The sizes of groups are asked for right before a statement runs, and nobody asked for these.
        let not_sized = judgement
            .releases
            .first()
            .map(|release| Denial::not_sized(&release.columns.join(", "), "it waited for an approval"));
        let refused = not_sized
            .or_else(|| self.two_phase_denial(Some(&prepared)))
            .or_else(|| self.put_off_denial_of_now(&prepared, io))
            .or_else(|| self.unfollowed(&prepared, judgement))
            .or_else(|| self.unfollowed_course(&prepared, judgement))
            .map(|denial| Judgement { ruling: Ruling::Deny(denial), ..judgement.clone() });
        let judgement = refused.as_ref().unwrap_or(judgement);
        let carried = if Self::carries(judgement) { judgement.carries.clone() } else { Vec::new() };
        let spelt = resolved.as_ref().and_then(|r| Spelt::of(&prepared, &r.runs));
        let compared = Compared::of(&prepared, &[], resolved.as_ref().map_or(&[], |r| &r.executed));
        let probing = compared.probing();
        let request = request_of(RequestKind::Simple, runs_as(query.text, &prepared), &prepared);
        let request = spelt_out(Request { probing: &probing, ..request }, spelt.as_ref());
        match self.session.release(parked, decided, &request, judgement, io.now) {
            Verdict::Allow(permit) => {
                let request = permit.request();
                let began = self.bracket();
                let bracketed = began == Began::Bracketed && (!carried.is_empty() || self.may_copy(&prepared));
                let plan = judgement.plans.first().map(Arc::clone);
                self.describe_copied(&prepared, plan.as_deref(), true, io);
                io.target.request(permit, &query_frame(frame, query.text, &prepared, bracketed));
                self.sent_query(request, &prepared, resolved, bracketed, io);
                self.sent_carrying(&carried, began, io);
            }
            Verdict::Deny(denial) => {
                let error = self.report(own::Severity::Error, &denial).freeze();
                self.refuse_query(io, error);
            }
            Verdict::Hold(..) => {}
        }
    }
}
