//! Function calls by number, the protocol's old fast path.

use super::client::Taken;
use super::extended::format_at;
use super::{Expect, Pump};
use crate::frame::Frame;
use crate::message;
use crate::own;
use lockgate_core::{Action, Fault, SqlState};
use lockgate_record::RequestKind;
use lockgate_session::wire::Io;
use lockgate_session::{Denial, Parameters, Plan, Request, Verdict};
use std::sync::Arc;

impl Pump {
    pub(super) fn function_call(&mut self, frame: &Frame, io: &mut Io) -> Taken {
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
}
