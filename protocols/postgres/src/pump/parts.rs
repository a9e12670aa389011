//! A message of several statements of which one moves names: a migration. What follows cannot be understood before that has
//! run, so that the message is sent in parts, each of which is judged by the names of its time. To the client, and to what is
//! stored, it stays one message:
//!
//! ```text
//!   outside a transaction:  BEGIN ──► part ──► part ──► COMMIT ──► ReadyForQuery
//!   inside one:                       part ──► part ──► ReadyForQuery
//! ```
//!
//! A part is a request like any other, as are the ends of the transaction. What fails, or is refused, undoes them all.

use super::Pump;
use crate::frame::{self, Frame, Peer};
use crate::message::TransactionStatus;
use crate::own;
use crate::prepare::{Prepared, by_name, moves_by_itself};
use bytes::{Bytes, BytesMut};
use lockgate_core::limits::PG_CLIENT_MESSAGE_BYTES_MAX;
use lockgate_mask::MessageKind;
use lockgate_session::Ruling;
use lockgate_session::wire::Io;
use lockgate_sql::{Effect, Statement};
use std::collections::VecDeque;
use std::ops::Range;

/// A message on its way in parts.
pub(super) struct Parts {
    text: Bytes,
    left: VecDeque<Part>,
    /// What is on its way.
    sent: Part,
    /// The transaction is the gateway's own.
    wrapped: bool,
    /// The last CommandComplete, which the client gets once that is committed.
    held_back: Option<Bytes>,
}

#[derive(Clone)]
enum Part {
    /// These bytes of the client's text.
    Of(Range<usize>),
    /// The gateway's own.
    Own(&'static str),
}

impl Pump {
    /// The parts in which a message is sent that would be refused as a whole only because of what its names may come to mean.
    pub(super) fn parts_of(&mut self, text: &[u8], prepared: &Prepared, io: &Io) -> Option<Parts> {
        let statements = prepared.statements();
        let refused = matches!(prepared.judgement.ruling, Ruling::Deny(_));
        if !refused || self.parts.is_some() || self.unsynced || !self.names_matter() {
            return None;
        }
        // Places are those of the text as it was sent.
        if prepared.rewritten().is_some() || prepared.text().as_bytes() != text || statements.len() < 2 {
            return None;
        }
        // The server has no savepoints in a transaction that is a message.
        let marks = |s: &Statement| matches!(s.effect, Effect::Savepoint(_) | Effect::Release(_));
        let idle = match self.status {
            TransactionStatus::Idle => true,
            TransactionStatus::InTransaction => false,
            _ => return None,
        };
        let begins = idle && matches!(statements.first()?.effect, Effect::Begin);
        let within = statements.get(usize::from(begins)..)?;
        let (last, before) = within.split_last()?;
        let ends = matches!(last.effect, Effect::Commit { chain: false } | Effect::Rollback { chain: false });
        let wrapped = idle && !begins;
        if !before.iter().all(fits) || !(fits(last) || ends && !wrapped) || wrapped && statements.iter().any(marks) {
            return None;
        }
        let mut left = VecDeque::new();
        if wrapped {
            left.push_back(Part::Own("BEGIN"));
        }
        let mut from = statements.first()?.range.start;
        let count = statements.len();
        for (at, statement) in statements.iter().enumerate() {
            let moves = by_name(&statement.effect) || moves_by_itself(statement);
            if moves || at + 1 == count {
                left.push_back(Part::Of(from..statement.range.end));
                from = statements.get(at + 1).map_or(statement.range.end, |next| next.range.start);
            }
        }
        // Nothing moves before the last: the whole was refused for what it does.
        if left.len() < 2 + usize::from(wrapped) {
            return None;
        }
        let refused_alone = left.iter().any(|part| match part {
            Part::Of(range) => text.get(range.clone()).is_none_or(|text| self.is_refused_by_known_names(text, io)),
            Part::Own(_) => false,
        });
        if refused_alone {
            return None;
        }
        if wrapped {
            left.push_back(Part::Own("COMMIT"));
        }
        let text = Bytes::copy_from_slice(text);
        Some(Parts { text, left, sent: Part::Own(""), wrapped, held_back: None })
    }

    /// Whether a part could not run by what its names mean now, so that nothing of the message is to run. What is denied for
    /// labelled values may be denied for want of a column that an earlier part adds.
    fn is_refused_by_known_names(&mut self, text: &[u8], io: &Io) -> bool {
        let alone = self.prepare_message(text, io.now);
        let refused = match alone.judgement.ruling {
            Ruling::Deny(_) => {
                alone.judgement.denies_action
                    && alone.statements().iter().all(|statement| statement.not_found.is_none())
            }
            Ruling::Hold(_) => true,
            Ruling::Allow => false,
        };
        refused || !alone.judgement.carries.is_empty()
    }

    /// The frame of the next part.
    pub(super) fn next_part(&mut self) -> Option<Frame> {
        let parts = self.parts.as_mut()?;
        parts.sent = parts.left.pop_front()?;
        let text = match &parts.sent {
            Part::Of(range) => parts.text.get(range.clone())?,
            Part::Own(text) => text.as_bytes(),
        };
        let mut out = BytesMut::new();
        own::query(&mut out, text).ok()?;
        frame::take(&mut out, Peer::Client, PG_CLIENT_MESSAGE_BYTES_MAX).ok()?
    }

    /// A part was answered, and what the target was asked is in this state. Whether the message goes on; if not, its client is
    /// told that the target is ready.
    pub(super) fn goes_on(&mut self, status: TransactionStatus, io: &mut Io) -> bool {
        let withheld = self.withholds();
        let Some(parts) = &mut self.parts else { return false };
        if withheld {
            // The client is told so, and the transaction fails.
            parts.left.clear();
            return false;
        }
        if status == TransactionStatus::Failed && parts.wrapped {
            parts.left = VecDeque::from([Part::Own("ROLLBACK")]);
            parts.held_back = None;
        } else if status != TransactionStatus::InTransaction {
            parts.left.clear();
        }
        match self.next_part() {
            Some(frame) => {
                self.one(frame, io);
                true
            }
            None => {
                self.no_more_parts(io);
                false
            }
        }
    }

    /// The message is over.
    pub(super) fn no_more_parts(&mut self, io: &mut Io) {
        if self.parts.take().is_some() {
            io.read_client = true;
            io.again = true;
        }
    }

    /// The end of a statement of a part. `last`: of its last one. Whether the client is told now.
    pub(super) fn ends_part(&mut self, body: &[u8], last: bool, tag: &str, io: &mut Io) -> bool {
        let Some(parts) = &mut self.parts else { return true };
        match &parts.sent {
            Part::Own("COMMIT") => {
                if let Some(body) = parts.held_back.take().filter(|_| tag == "COMMIT") {
                    self.plain(MessageKind::CommandComplete, &body, io);
                }
                false
            }
            Part::Own(_) => false,
            Part::Of(_) if last && parts.wrapped && parts.left.len() == 1 => {
                parts.held_back = Some(Bytes::copy_from_slice(body));
                false
            }
            Part::Of(_) => true,
        }
    }

    /// How many characters of the client's text stand before the part that is on its way.
    pub(super) fn before_part(&self) -> usize {
        match &self.parts {
            Some(Parts { text, sent: Part::Of(range), .. }) => {
                String::from_utf8_lossy(text.get(..range.start).unwrap_or_default()).chars().count()
            }
            _ => 0,
        }
    }
}

/// Whether a statement does the same in a part as in the message: it begins and ends no transaction, and what it does is in
/// the text.
fn fits(statement: &Statement) -> bool {
    !matches!(
        statement.effect,
        Effect::Begin
            | Effect::Commit { .. }
            | Effect::Rollback { .. }
            | Effect::RollbackTo(_)
            | Effect::TwoPhase
            | Effect::Execute { .. }
            | Effect::CopyIn(_)
            | Effect::CopyOut(_)
    )
}
