//! COPY as the target speaks it: where its data begins, goes on and ends, in both directions.

use super::copied::described_columns;
use super::{Expect, Pump, Shape, Waiting};
use crate::message::{self, CopyResponse};
use lockgate_mask::{CopyError, MessageKind};
use lockgate_session::wire::Io;
use std::sync::Arc;

impl Pump {
    pub(super) fn copy_in_response(&mut self, body: &[u8], io: &mut Io) {
        let request = match self.expect.front() {
            Some(Expect::Simple(simple)) => simple.request,
            Some(Expect::Execute(execution)) => execution.request,
            _ => return self.target_broke(io, "CopyInResponse where none was expected"),
        };
        let extended = matches!(self.expect.front(), Some(Expect::Execute(_)));
        // A Sync that was sent before the data is read as part of it, and never answered.
        while matches!(self.expect.get(1), Some(Expect::Sync)) {
            self.expect.remove(1);
            self.unsynced |= extended;
        }
        self.copy_in = Some(request);
        self.plain(MessageKind::CopyInResponse, body, io);
        if let Some(Waiting::Answers(frame)) = self.waiting.take() {
            // What waits behind the COPY is its data.
            io.read_client = true;
            self.one(frame, io);
            io.again = true;
        }
    }

    pub(super) fn copy_out_response(&mut self, body: &[u8], io: &mut Io) {
        let response = match CopyResponse::decode(body) {
            Ok(response) => response,
            Err(error) => return self.target_broke(io, &error.to_string()),
        };
        let (prepared, index, plan, copied) = match self.expect.front() {
            Some(Expect::Simple(simple)) => {
                let copied = Shape::clone(&simple.result.copied);
                (Some(Arc::clone(&simple.prepared)), simple.index, simple.plan().cloned(), copied)
            }
            Some(Expect::Execute(execution)) => {
                let prepared = execution.statement.as_ref().map(|s| Arc::clone(s.subject()));
                (prepared, 0, Some(execution.plan.clone()), Shape::clone(&execution.result.copied))
            }
            _ => return self.target_broke(io, "CopyOutResponse where none was expected"),
        };
        let plan = plan.unwrap_or_else(|| self.fallback_plan(io));
        let statement = prepared.as_ref().and_then(|p| p.statements().get(index));
        let binary = response.format == message::FormatCode::Binary;
        let described = described_columns(&copied, response.columns.len());
        match self.copy_masker(statement, &plan, response.columns.len(), binary, described, io) {
            Ok(masker) => match self.expect.front_mut() {
                Some(Expect::Simple(simple)) => simple.result.copy = Some(Box::new(masker)),
                Some(Expect::Execute(execution)) => execution.result.copy = Some(Box::new(masker)),
                _ => {}
            },
            Err(why) => return self.target_broke(io, &why),
        }
        self.plain(MessageKind::CopyOutResponse, body, io);
    }

    pub(super) fn copy_data_out(&mut self, body: &[u8], io: &mut Io) {
        let mark = io.client.mark();
        let (request, copy) = match self.expect.front_mut() {
            Some(Expect::Simple(simple)) => (simple.request, simple.result.copy.as_deref_mut()),
            Some(Expect::Execute(execution)) => (execution.request, execution.result.copy.as_deref_mut()),
            _ => return self.target_broke(io, "COPY data where none was expected"),
        };
        if self.overlong.is_some() {
            return;
        }
        let Some(copy) = copy else { return self.target_broke(io, "COPY data before CopyOutResponse") };
        match io.client.copy(copy, body) {
            Ok(()) => {}
            Err(CopyError::TooLong { .. }) => return self.refuse_row(io),
            Err(error) => return self.target_broke(io, &error.to_string()),
        }
        if let Err(error) = self.session.rows(request, 1, io.client.bytes_since(mark), io.now) {
            self.unrecordable(io, &error);
        }
    }

    pub(super) fn copy_done(&mut self, io: &mut Io) {
        if self.overlong.is_some() {
            return;
        }
        let copy = match self.expect.front_mut() {
            Some(Expect::Simple(simple)) => simple.result.copy.take(),
            Some(Expect::Execute(execution)) => execution.result.copy.take(),
            _ => None,
        };
        match copy.map(|copy| copy.finish()) {
            Some(Ok(())) => self.plain(MessageKind::CopyDone, b"", io),
            Some(Err(error)) => self.target_broke(io, &error.to_string()),
            None => self.target_broke(io, "CopyDone where none was expected"),
        }
    }
}
