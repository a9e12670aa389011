//! Function calls by number, the protocol's old fast path. One of a function that is known by its number is judged, masked
//! and recorded as the SELECT of the same call; any other needs `administer`.

use super::client::{Taken, request_of};
use super::doubt::Judged;
use super::extended::format_at;
use super::meaning::Named;
use super::put_off::Settled;
use super::{Expect, Held, Pump, Waiting};
use crate::frame::{self, Frame};
use crate::message::{self, FormatCode, TransactionStatus};
use crate::own;
use crate::prepare::Prepared;
use lockgate_core::Action;
use lockgate_mask::{Format, RowMasker, Touch};
use lockgate_record::RequestKind;
use lockgate_session::wire::{Decided, Io};
use lockgate_session::{Denial, Judgement, Masks, Parameters, Permit, Plan, Request, Verdict};
use std::sync::Arc;

/// A function call on its way.
pub(super) struct Called {
    pub(super) request: u64,
    /// The SELECT that it was judged as; `None` where it was judged by its number alone.
    pub(super) prepared: Option<Arc<Prepared>>,
    pub(super) plan: Arc<Plan>,
    pub(super) masker: RowMasker,
    /// The target answered it with an error.
    pub(super) answered: bool,
    /// By what it was judged; `None` where that does not matter.
    pub(super) judged: Option<Judged>,
}

/// What a call does.
enum Meaning {
    Known { prepared: Arc<Prepared>, return_type: u32 },
    Unknown { text: String, judgement: Box<Judgement> },
}

impl Meaning {
    fn judgement(&self) -> &Judgement {
        match self {
            Meaning::Known { prepared, .. } => &prepared.judgement,
            Meaning::Unknown { judgement, .. } => judgement,
        }
    }

    fn request<'a>(&'a self, values: &'a [(Option<&'a [u8]>, u16)]) -> Request<'a> {
        let mut request = match self {
            Meaning::Known { prepared, .. } => request_of(RequestKind::Function, prepared.text().as_bytes(), prepared),
            Meaning::Unknown { text, .. } => Request::new(RequestKind::Function, text.as_bytes()),
        };
        request.parameters = Parameters { values };
        request
    }
}

impl Pump {
    pub(super) fn function_call(&mut self, frame: Frame, io: &mut Io) -> Taken {
        let call = match message::FunctionCall::decode(frame.body()) {
            Ok(call) => call,
            Err(error) => return self.malformed(io, "FunctionCall", &error),
        };
        if let FormatCode::Unknown(code) = call.result_format {
            return self.malformed(io, "FunctionCall", &format!("unknown format code {code}"));
        }
        if !self.expect.is_empty() && !self.unsynced {
            return Taken::Waits(Waiting::Answers(frame));
        }
        let changing = self.changing();
        if changing.names || changing.catalog {
            return self.wait_for_answers(frame, io);
        }
        if self.catalog_is_stale(io.now) {
            self.ask_catalog(io);
            return Taken::asks(frame);
        }
        if self.forgets_plans(io) {
            return Taken::asks(frame);
        }
        // With it a pipeline ends.
        if self.status == TransactionStatus::Idle {
            match self.settle_put_off(io) {
                Settled::Fine => {}
                Settled::Asked => return Taken::asks(frame),
                Settled::Refused(denial) => {
                    self.refuse_call(&denial, io);
                    return Taken::Done;
                }
            }
        }
        let meaning = self.meaning_of(&call, io);
        if let Meaning::Known { prepared, .. } = &meaning
            && let Some(denial) = self.catalog_denial(prepared)
        {
            self.refuse_call(&denial, io);
            return Taken::Done;
        }
        let values = values(&call);
        match self.session.submit(&meaning.request(&values), meaning.judgement(), io.now) {
            Verdict::Allow(permit) => self.sent_call(permit, &frame, &call, meaning, io),
            Verdict::Deny(denial) => self.refuse_call(&denial, io),
            Verdict::Hold(parked, ticket) => {
                drop(values);
                self.hold(io, parked, ticket, frame);
                io.read_client = false;
            }
        }
        Taken::Done
    }

    /// A held call was decided.
    pub(super) fn release_call(&mut self, held: Held, decided: &Decided, io: &mut Io) {
        let Held { parked, frame, .. } = held;
        let Ok(call) = message::FunctionCall::decode(frame.body()) else { return };
        let meaning = self.meaning_of(&call, io);
        let values = values(&call);
        match self.session.release(parked, decided, &meaning.request(&values), meaning.judgement(), io.now) {
            Verdict::Allow(permit) => self.sent_call(permit, &frame, &call, meaning, io),
            Verdict::Deny(denial) => self.refuse_call(&denial, io),
            Verdict::Hold(..) => {}
        }
    }

    fn meaning_of(&mut self, call: &message::FunctionCall<'_>, io: &Io) -> Meaning {
        let known = self.truth.snapshot.catalog.call_by_number(call.function_oid, call.arguments.len());
        match known {
            Some(known) => {
                let prepared = self.prepare(known.text.as_bytes(), io.now);
                Meaning::Known { prepared, return_type: known.return_type }
            }
            None => {
                let rules = self.session.rules();
                let judgement = self.session.judge(&rules, io.now).target_action(Action::Administer);
                let text = format!("function call of oid {}", call.function_oid);
                Meaning::Unknown { text, judgement: Box::new(judgement) }
            }
        }
    }

    fn sent_call(
        &mut self,
        permit: Permit,
        frame: &Frame,
        call: &message::FunctionCall<'_>,
        meaning: Meaning,
        io: &mut Io,
    ) {
        let plan = meaning.judgement().plans.first().cloned();
        let plan = plan.unwrap_or_else(|| Arc::new(Plan { masks: Masks::Clear, touch: Touch::Labelled }));
        let (prepared, return_type) = match meaning {
            Meaning::Known { prepared, return_type } => (Some(prepared), return_type),
            Meaning::Unknown { .. } => (None, 0),
        };
        let format = if call.result_format == FormatCode::Text { Format::Text } else { Format::Binary };
        let masker = self.function_masker(&plan, return_type, format);
        let request = permit.request();
        io.target.request(permit, frame.bytes());
        // With it a pipeline ends, and what its transaction put off is run.
        self.bound = false;
        let plan = if std::mem::take(&mut self.unsynced) {
            Arc::new(Plan { masks: plan.masks.clone(), touch: Touch::Labelled })
        } else {
            plan
        };
        match &prepared {
            Some(prepared) => {
                self.will_change(prepared, &Named::default());
                self.may_put_off(prepared, &Named::default());
            }
            None => {
                self.will_change_anything();
                self.may_alter_anything();
            }
        }
        self.keeps_plan();
        let judged = self.judged_by(Self::subjects(prepared.as_ref(), &[]), io.now);
        let called = Called { request, prepared, plan, masker, answered: false, judged };
        self.expect.push_back(Expect::Call(Box::new(called)));
    }

    fn refuse_call(&mut self, denial: &Denial, io: &mut Io) {
        let error = self.report(own::Severity::Error, denial).freeze();
        self.refuse_query(io, error);
    }

    /// The value of a call.
    pub(super) fn function_result(&mut self, body: &[u8], io: &mut Io) {
        let Some(Expect::Call(called)) = self.expect.front() else {
            return self.target_broke(io, "a function's result where none was expected");
        };
        let request = called.request;
        let mark = io.client.mark();
        if let Err(error) = io.client.function_result(&called.masker, body) {
            return self.target_broke(io, &error.to_string());
        }
        // Recordings know rows: the value is one of one column.
        let value = io.client.bytes_since(mark).get(frame::HEADER_BYTES..).unwrap_or_default();
        let row = row_of(value);
        if let Err(error) = self.session.rows(request, 1, &row, io.now) {
            self.unrecordable(io, &error);
        }
    }
}

/// The DataRow with this one field.
fn row_of(field: &[u8]) -> Vec<u8> {
    let length = u32::try_from(field.len().saturating_add(6)).unwrap_or(u32::MAX);
    [&b"D"[..], &length.to_be_bytes(), &[0, 1], field].concat()
}

fn values<'a>(call: &message::FunctionCall<'a>) -> Vec<(Option<&'a [u8]>, u16)> {
    let formats = call.argument_formats;
    call.arguments.iter().enumerate().map(|(index, value)| (value, format_at(&formats, index))).collect()
}
