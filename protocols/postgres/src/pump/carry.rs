//! Labels that go with what is copied (`laundering: propagate`): a statement that writes labelled values to columns without
//! their labels runs in a transaction, and before anything else of the session is sent, the target is asked where the
//! values came to lie, and the labels of these columns are kept for good. Nobody else can see the values before that.
//!
//! ```text
//!   simple query outside a transaction:  BEGIN;text ──► where? ──► kept ──► COMMIT ──► ReadyForQuery
//!   inside one, or in a pipeline:               text ──► where? ──► kept ──► what follows
//! ```
//!
//! What cannot be told or kept undoes the transaction.

use super::{ABORT_TEXT, Expect, Pump};
use crate::message::TransactionStatus;
use crate::own;
use bytes::BytesMut;
use lockgate_core::limits::LABEL_LINGER_MS;
use lockgate_core::{Fault, SqlState};
use lockgate_session::wire::{Ask, Io};
use lockgate_session::{Carried, CarriedLabel, Denial, Judgement, Plumbing, Ruling};
use lockgate_sql::Effect;
use std::borrow::Cow;
use std::sync::Arc;

/// A statement that brings labels to columns, on its way.
pub(super) struct Carrying {
    carried: Vec<Carried>,
    /// For each of them, the relations of its name that there were before.
    before: Vec<Vec<u32>>,
    /// The frame that began it.
    frame: Began,
    step: Step,
    /// What is to be kept.
    labels: Vec<CarriedLabel>,
}

/// The frame that began a statement.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Began {
    /// A simple query within the client's own transaction.
    Query,
    /// A simple query, in a transaction that the gateway put around it.
    Bracketed,
    /// An Execute.
    Execute,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Step {
    Runs,
    Asks,
    Keeps,
}

/// Labels of the open transaction, so that they go when it is undone.
#[derive(Default)]
pub(super) struct Brought {
    labels: Vec<CarriedLabel>,
    /// Savepoints by name, with how many labels there were.
    savepoints: Vec<(String, usize)>,
}

/// Savepoints that are remembered; without one, a label stays that need not.
const SAVEPOINTS_MAX: usize = 1_000;

impl Pump {
    /// Whether what a statement writes has to be followed.
    pub(super) fn carries(judgement: &Judgement) -> bool {
        !judgement.carries.is_empty() && !matches!(judgement.ruling, Ruling::Deny(_))
    }

    /// How a simple query that brings labels is sent: with a transaction of its own around it where there is none.
    pub(super) fn bracket(&self) -> Began {
        if self.status == TransactionStatus::Idle && !self.unsynced { Began::Bracketed } else { Began::Query }
    }

    /// A statement that brings labels was sent.
    pub(super) fn sent_carrying(&mut self, carried: &[Carried], frame: Began, io: &mut Io) {
        if carried.is_empty() {
            return;
        }
        let catalog = &self.truth.snapshot.catalog;
        let before = carried
            .iter()
            .map(|c| if c.carry.new { catalog.ids_named(&c.carry.relation) } else { Vec::new() })
            .collect();
        let carried = carried.to_vec();
        self.carrying = Some(Carrying { carried, before, frame, step: Step::Runs, labels: Vec::new() });
        if frame == Began::Execute {
            // What follows waits for the answer, which the target may keep back until it is asked for.
            let mut flush = BytesMut::new();
            own::flush(&mut flush);
            io.target.plumbing(Plumbing::Sync, &flush);
        }
    }

    /// Whether frames of the client wait for labels.
    pub(super) fn is_carrying(&self) -> bool {
        self.carrying.is_some()
    }

    /// The statement failed: nothing was written.
    pub(super) fn carries_nothing(&mut self) {
        self.carrying = None;
    }

    /// The statement ran. True where the client may not know yet.
    pub(super) fn ran_carrying(&mut self, io: &mut Io) -> bool {
        match &mut self.carrying {
            Some(carrying) if carrying.step == Step::Runs => {
                carrying.step = Step::Asks;
                self.ask_catalog(io);
                true
            }
            _ => false,
        }
    }

    /// The target was asked, and the catalog is known or is not.
    pub(super) fn asked_carrying(&mut self, io: &mut Io) {
        let Some(carrying) = &mut self.carrying else { return };
        if carrying.step != Step::Asks {
            return;
        }
        if self.truth.broken || self.truth.moved {
            return self.undo_carrying(io, "the target's catalog cannot be read");
        }
        let catalog = &self.truth.snapshot.catalog;
        let mut labels = Vec::new();
        for (carried, before) in carrying.carried.iter().zip(&carrying.before) {
            match catalog.carried_to(&carried.carry, &carried.labels, before, &self.truth.path) {
                Ok(found) => labels.extend(found),
                Err(astray) => {
                    let why = format!("where the values came to lie cannot be told: {astray}");
                    return self.undo_carrying(io, &why);
                }
            }
        }
        let book = Arc::clone(self.session.labels());
        let labels = book.missing(labels);
        if labels.is_empty() {
            return self.kept_labels(Ok(()), io);
        }
        carrying.step = Step::Keeps;
        carrying.labels.clone_from(&labels);
        io.asks.push(Ask::KeepLabels { session: self.session.id(), book, labels });
    }

    /// The labels are kept for good, or they could not be.
    pub(crate) fn kept_labels(&mut self, kept: Result<(), String>, io: &mut Io) {
        if self.closed {
            return;
        }
        if let Err(why) = kept {
            return self.undo_carrying(io, &format!("the labels cannot be kept: {why}"));
        }
        let Some(carrying) = self.carrying.take() else { return };
        self.brought.labels.extend(carrying.labels);
        match carrying.frame {
            Began::Bracketed => self.end_bracket(b"COMMIT", io),
            Began::Query => self.ready_for_query(io),
            Began::Execute => {}
        }
        self.take_up(io);
        self.flush_record(io);
    }

    /// What was written may not stay.
    fn undo_carrying(&mut self, io: &mut Io, why: &str) {
        let Some(carrying) = self.carrying.take() else { return };
        let denial = Denial::other(
            Fault::Us,
            SqlState::INSUFFICIENT_PRIVILEGE,
            "refused: the copy is undone",
            Some(why.to_owned()),
            Some("labels must follow what is copied; try again, or write to a table of its own".into()),
        );
        let _ = self.session.notice(None, "WARNING", "42501", why, io.now);
        let error = self.report(own::Severity::Error, &denial).freeze();
        match carrying.frame {
            Began::Bracketed => {
                self.own(io, error);
                self.end_bracket(b"ROLLBACK", io);
            }
            Began::Query => {
                let mut abort = BytesMut::new();
                if own::query(&mut abort, ABORT_TEXT).is_ok() {
                    io.target.plumbing(Plumbing::Abort, &abort);
                    self.takes_unnamed();
                    self.expect.push_back(Expect::RefusedQuery { own: Some(error) });
                }
            }
            Began::Execute => self.refuse_extended(io, error),
        }
        self.take_up(io);
    }

    /// Ends the transaction that the gateway put around a statement.
    pub(super) fn end_bracket(&mut self, text: &[u8], io: &mut Io) {
        let mut end = BytesMut::new();
        if own::query(&mut end, text).is_ok() {
            io.target.plumbing(Plumbing::Bracket, &end);
            self.takes_unnamed();
            self.expect.push_back(Expect::Bracket);
        }
    }

    fn ready_for_query(&mut self, io: &mut Io) {
        let mut out = BytesMut::new();
        own::ready_for_query(&mut out, self.status);
        self.own(io, out);
        self.when_idle(io);
    }

    // ---- transactions ----

    /// Whether labels of the open transaction hang on how it ends.
    pub(super) fn has_brought(&self) -> bool {
        !self.brought.labels.is_empty() || self.is_carrying()
    }

    /// What a finished statement did to the labels that its transaction brought.
    pub(super) fn brought_effect(&mut self, prepared: &crate::prepare::Prepared, index: usize, tag: &str, io: &mut Io) {
        match prepared.statements().get(index).map(|s| &s.effect) {
            Some(Effect::Savepoint(name)) => self.brought_savepoint(name),
            Some(Effect::Release(name)) => self.brought_release(name),
            Some(Effect::RollbackTo(name)) => self.brought_rollback_to(name, io),
            Some(Effect::Rollback { .. }) => self.brought_rollback(io),
            // A transaction that failed is undone by COMMIT too.
            Some(Effect::Commit { .. }) if tag == "ROLLBACK" => self.brought_rollback(io),
            Some(Effect::Commit { .. }) => self.brought_settle(io),
            _ => {}
        }
    }

    /// SAVEPOINT.
    fn brought_savepoint(&mut self, name: &str) {
        if self.brought.savepoints.len() < SAVEPOINTS_MAX {
            self.brought.savepoints.push((name.to_owned(), self.brought.labels.len()));
        }
    }

    /// RELEASE SAVEPOINT.
    fn brought_release(&mut self, name: &str) {
        if let Some(at) = self.brought.savepoints.iter().rposition(|(n, _)| n == name) {
            self.brought.savepoints.truncate(at);
        }
    }

    /// ROLLBACK TO SAVEPOINT.
    fn brought_rollback_to(&mut self, name: &str, io: &mut Io) {
        let Some(at) = self.brought.savepoints.iter().rposition(|(n, _)| n == name) else { return };
        self.brought.savepoints.truncate(at + 1);
        let kept = self.brought.savepoints.get(at).map_or(0, |(_, kept)| *kept);
        if kept < self.brought.labels.len() {
            let undone = self.brought.labels.split_off(kept);
            self.drop_brought(&undone, io);
        }
    }

    /// The transaction was undone.
    pub(super) fn brought_rollback(&mut self, io: &mut Io) {
        let undone = std::mem::take(&mut self.brought).labels;
        self.drop_brought(&undone, io);
    }

    fn drop_brought(&self, undone: &[CarriedLabel], io: &mut Io) {
        if undone.is_empty() {
            return;
        }
        let book = Arc::clone(self.session.labels());
        let labels = book.undo(self.session.id(), undone);
        if !labels.is_empty() {
            io.asks.push(Ask::DropLabels { book, labels });
        }
    }

    /// The transaction is over, and may have been committed.
    pub(super) fn brought_settle(&mut self, io: &Io) {
        if !std::mem::take(&mut self.brought).labels.is_empty() {
            self.session.labels().settle(self.session.id(), io.now);
        }
    }

    /// Labels of relations that are no more, by a catalog that was read outside of any transaction.
    pub(super) fn forget_absent_labels(&self, io: &mut Io) {
        let book = Arc::clone(self.session.labels());
        let catalog = &self.truth.snapshot.catalog;
        let labels = book.forget_absent(io.now.plus_millis(-LABEL_LINGER_MS), |oid| catalog.has_relation(oid));
        if !labels.is_empty() {
            io.asks.push(Ask::DropLabels { book, labels });
        }
    }

    /// PREPARE TRANSACTION takes the end of a transaction out of sight.
    pub(super) fn two_phase_denial(&self, prepared: &crate::prepare::Prepared) -> Option<Denial> {
        let prepares = prepared.statements().iter().any(|s| s.verb == "prepare_transaction");
        (prepares && self.has_brought()).then(|| {
            Denial::other(
                Fault::Policy,
                SqlState::INSUFFICIENT_PRIVILEGE,
                "refused: a transaction that copied labelled values cannot be prepared",
                Some("its labels could not follow how it ends".into()),
                Some("commit it, or roll it back".into()),
            )
        })
    }
}

/// The same error with its position so many characters earlier.
pub(super) fn with_position_before(body: &[u8], less: usize) -> Cow<'_, [u8]> {
    let mut out = Vec::with_capacity(body.len());
    for field in body.split_inclusive(|byte| *byte == 0) {
        let position = match field {
            [b'P', digits @ .., 0] => std::str::from_utf8(digits).ok().and_then(|d| d.parse::<usize>().ok()),
            _ => None,
        };
        match position {
            Some(position) => out.extend_from_slice(format!("P{}\0", position.saturating_sub(less)).as_bytes()),
            None => out.extend_from_slice(field),
        }
    }
    Cow::Owned(out)
}
