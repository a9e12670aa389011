//! What is longer than the gateway holds: rows that cannot be masked in pieces, which end their statement and not the
//! session, and CopyData messages, whose parts are as good as the whole.

use super::{Expect, Pump, Simple};
use crate::frame::{self, Header};
use crate::message::TransactionStatus;
use crate::own;
use bytes::{Buf, Bytes, BytesMut};
use lockgate_core::limits::PG_MASKED_ROW_BYTES_MAX;
use lockgate_core::{Fault, SqlState};
use lockgate_record::DoneKind;
use lockgate_session::Denial;
use lockgate_session::wire::Io;

/// What is told and recorded of a row that is too long.
const MESSAGE: &str = "a row is too long to be masked";

impl Pump {
    /// The row that comes now is not passed on: its statement is cancelled, and the error is the gateway's.
    pub(super) fn refuse_row(&mut self, io: &mut Io) {
        if self.overlong.is_some() {
            return;
        }
        let mebibytes = PG_MASKED_ROW_BYTES_MAX / (1024 * 1024);
        let denial = Denial::other(
            Fault::Policy,
            SqlState::LIMIT_EXCEEDED,
            MESSAGE,
            Some(match self.content {
                None => format!("at most {mebibytes} MiB of it may come before its last masked column"),
                Some(_) => format!("at most {mebibytes} MiB of it can be looked into"),
            }),
            Some("select long columns last, or in parts".into()),
        );
        self.overlong = Some(self.report(own::Severity::Error, &denial).freeze());
        self.cancel_at_target(io);
    }

    /// Drops the rows at the front of the buffer; false when more bytes are needed.
    pub(super) fn drop_rows(&mut self, buffer: &mut BytesMut) -> bool {
        loop {
            let now = self.dropping.min(buffer.len());
            buffer.advance(now);
            self.dropping -= now;
            match buffer.get(..) {
                Some([b'D', a, b, c, d, ..]) if self.dropping == 0 => {
                    let length = u32::from_be_bytes([*a, *b, *c, *d]);
                    self.dropping = usize::try_from(length).unwrap_or(usize::MAX).saturating_add(1);
                }
                Some([] | [b'D', ..]) | None => return false,
                Some([..]) => return self.dropping == 0,
            }
        }
    }

    /// A statement with a row that was too long ended before the cancel reached it. Whether that was dealt with.
    pub(super) fn overlong_completed(&mut self, io: &mut Io) -> bool {
        let Some(error) = self.overlong.take() else { return false };
        let alone = |simple: &Simple| simple.prepared.statements().len() == 1;
        let idle = self.status == TransactionStatus::Idle;
        match self.expect.front_mut() {
            Some(Expect::Simple(simple)) if alone(simple) && idle => {
                simple.failed = true;
                simple.result = super::Flow::default();
                let (request, prepared) = (simple.request, std::sync::Arc::clone(&simple.prepared));
                let named = simple.named.clone();
                self.own(io, error);
                self.failed(&prepared, &named);
                let code = SqlState::LIMIT_EXCEEDED.0;
                self.done(io, request, DoneKind::Failed, "", Some((code, MESSAGE, Fault::Policy)));
            }
            // The target's transaction and what the client takes it for are no longer the same.
            _ => self.target_broke(io, "a row that is too long to be masked, and no time to cancel its statement"),
        }
        true
    }

    /// Takes in the next bytes of a CopyData message that is not held whole; false when more are needed.
    pub(super) fn copy_piece(&mut self, buffer: &mut BytesMut, io: &mut Io) -> bool {
        let piece: Bytes = buffer.split_to(self.copy_left.min(buffer.len())).freeze();
        self.copy_left -= piece.len();
        if !piece.is_empty() {
            self.copy_data_out(&piece, io);
        }
        self.copy_left == 0
    }

    /// Whether a CopyData message of the target begins here that is longer than what is held.
    pub(super) fn begins_long_copy(&mut self, header: &Header, buffer: &mut BytesMut) -> bool {
        let body = header.frame_len().saturating_sub(frame::HEADER_BYTES);
        if header.tag != b'd' || body <= PG_MASKED_ROW_BYTES_MAX {
            return false;
        }
        buffer.advance(frame::HEADER_BYTES.min(buffer.len()));
        self.copy_left = body;
        true
    }
}
