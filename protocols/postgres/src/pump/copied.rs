//! What a COPY of a query gives out. The target sends its columns without saying of which types they are, and a mask keeps a
//! value's type: so the query within is described first, on the same connection, in front of the COPY and not waited for.
//!
//! It is only read there, never run. A text of several statements is not asked about, because what stands before the COPY
//! may change what it means, and an error of the question must not be one of the client's transaction.

use super::{Expect, Pump, Shape};
use crate::message::{Object, ReadyForQuery, Report, RowDescription};
use crate::own;
use crate::prepare::Prepared;
use bytes::{Bytes, BytesMut};
use lockgate_session::wire::Io;
use lockgate_session::{Plan, Plumbing};
use lockgate_sql::Effect;

/// Name of the statement, for as long as the question lasts.
const NAME: &[u8] = b"lockgate copied";

/// A question on its way.
#[derive(Default)]
pub(super) struct Copied {
    pub(super) shape: Shape,
    /// A ReadyForQuery ends it.
    synced: bool,
    /// The first CloseComplete came.
    closed: bool,
    /// The target's error.
    failed: Option<Bytes>,
}

impl Copied {
    /// Whether a ReadyForQuery ends it.
    pub(super) fn is_synced(&self) -> bool {
        self.synced
    }
}

impl Pump {
    /// Asks for the columns of a COPY of a query that is about to be sent, where some of them are masked. `synced`: it is a
    /// simple query, before which everything has ended.
    pub(super) fn describe_copied(&mut self, prepared: &Prepared, plan: Option<&Plan>, synced: bool, io: &mut Io) {
        let masks = self.content.is_some() || plan.is_some_and(|plan| plan.masks.any());
        let [statement] = prepared.statements() else { return };
        if !masks || !matches!(statement.effect, Effect::CopyOut(_)) || (synced && self.unsynced) {
            return;
        }
        let text = prepared.text().get(statement.range.clone()).and_then(lockgate_sql::copied_query);
        let mut out = BytesMut::new();
        let fine = text.is_some_and(|text| {
            // A statement outlives the failure of the question that it was made for, the transaction and its rollback.
            own::close(&mut out, Object::Statement, NAME).is_ok()
                && own::parse(&mut out, NAME, text.as_bytes(), &[]).is_ok()
                && own::describe(&mut out, Object::Statement, NAME).is_ok()
                && own::close(&mut out, Object::Statement, NAME).is_ok()
        });
        if !fine {
            return;
        }
        if synced {
            own::sync(&mut out);
        }
        io.target.plumbing(Plumbing::Inquiry, &out);
        self.expect.push_back(Expect::Copied(Box::new(Copied { synced, ..Copied::default() })));
    }

    /// What was asked about the COPY that is sent now.
    pub(super) fn copied_shape(&self) -> Shape {
        match self.expect.back() {
            Some(Expect::Copied(copied)) => Shape::clone(&copied.shape),
            _ => Shape::default(),
        }
    }

    /// A message of the target that belongs to the question.
    pub(super) fn copied_frame(&mut self, tag: u8, body: &Bytes, io: &mut Io) {
        let Some(Expect::Copied(copied)) = self.expect.front_mut() else { return };
        match tag {
            b'1' | b't' => {}
            b'T' => {
                let _ = copied.shape.set(Some(body.clone()));
            }
            b'n' => {
                let _ = copied.shape.set(None);
            }
            b'3' if !copied.closed => copied.closed = true,
            b'3' if copied.synced => {}
            b'3' => {
                self.expect.pop_front();
            }
            b'E' if copied.synced => copied.failed = Some(body.clone()),
            // The target drops the rest of the pipeline, and the COPY would have failed with the same error.
            b'E' => self.error_response(body, io),
            b'Z' if copied.synced => {
                let failed = copied.failed.take();
                self.expect.pop_front();
                if let Ok(ready) = ReadyForQuery::decode(body) {
                    self.status = ready.status;
                }
                let code = failed.as_deref().and_then(|body| Report::decode(body).ok()).and_then(|r| r.get(b'C'));
                if code == Some(b"57014".as_slice()) {
                    // It was meant for the COPY.
                    self.cancel_at_target(io);
                }
                let failed = failed.filter(|_| self.status == crate::message::TransactionStatus::Failed);
                if let Some(Expect::Simple(simple)) = self.expect.front_mut() {
                    simple.result.copied_failed = failed;
                }
            }
            _ => self.target_broke(io, "a message that does not answer what a COPY gives out"),
        }
    }

    /// The error of a COPY: where its transaction had failed with the question, that is the COPY's own.
    pub(super) fn copied_error(&mut self) -> Option<Bytes> {
        match self.expect.front_mut() {
            Some(Expect::Simple(simple)) => simple.result.copied_failed.take(),
            _ => None,
        }
    }
}

/// The types and origins of what is copied, if the target described as many columns: type, modifier, table and number.
pub(super) fn described_columns(shape: &Shape, count: usize) -> Option<Vec<(u32, i32, u32, i16)>> {
    let description = shape.get()?.as_ref()?;
    let described = RowDescription::decode(description).ok()?;
    let columns: Vec<_> = described.fields().map(|f| (f.type_oid, f.typmod, f.table_oid, f.attnum)).collect();
    (columns.len() == count).then_some(columns)
}
