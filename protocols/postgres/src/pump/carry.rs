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

use super::meaning::Named;
use super::{ABORT_TEXT, Bracket, Expect, Pump};
use crate::message::TransactionStatus;
use crate::own;
use crate::prepare::Prepared;
use crate::shared::Snapshot;
use bytes::{Bytes, BytesMut};
use lockgate_core::limits::LABEL_LINGER_MS;
use lockgate_core::{Fault, SqlState};
use lockgate_mask::MessageKind;
use lockgate_record::DoneKind;
use lockgate_session::wire::{Ask, Io};
use lockgate_session::{Carried, CarriedLabel, Denial, Judgement, Plumbing, Ruling};
use lockgate_sql::Effect;
use std::borrow::Cow;
use std::sync::Arc;

/// A statement that brings labels to columns, on its way: it is part of what the target owes an answer to, and goes with it.
pub(super) struct Carries {
    carried: Vec<Carried>,
    /// What the target's names were when it was sent.
    snapshot: Arc<Snapshot>,
    path: Vec<String>,
    /// The frame that began it.
    frame: Began,
}

/// One that has run.
pub(super) struct Carrying {
    carries: Carries,
    step: Step,
    /// The end of the statement, which the client learns of when nothing can undo it any more.
    held_back: Option<(MessageKind, Bytes)>,
    /// The request and its tag, where it is not done before that.
    request: Option<(u64, String)>,
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
    Asks,
    Keeps,
}

/// Labels of the open transaction, so that they go when it is undone.
#[derive(Default)]
pub(super) struct Brought {
    labels: Vec<CarriedLabel>,
    /// Savepoints by name, with how many labels there were.
    savepoints: Vec<(String, usize)>,
    /// The transaction brought some, whatever became of them.
    any: bool,
    /// Something ran that may have ended the transaction, or set a savepoint, out of sight: what was copied may be there for
    /// good, so that no label goes. Those that were not needed go with their relations.
    blurred: bool,
}

/// Savepoints that are remembered; with more of them nobody knows which one a name means.
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
        let carries = Some(Box::new(Carries {
            carried: carried.to_vec(),
            snapshot: Arc::clone(&self.truth.snapshot),
            path: self.truth.path.clone(),
            frame,
        }));
        match self.expect.back_mut() {
            Some(Expect::Simple(simple)) => simple.carries = carries,
            Some(Expect::Execute(execution)) => execution.carries = carries,
            _ => {}
        }
        if frame == Began::Execute {
            // What follows waits for the answer, which the target may keep back until it is asked for.
            let mut flush = BytesMut::new();
            own::flush(&mut flush);
            io.target.plumbing(Plumbing::Sync, &flush);
        }
    }

    /// Whether frames of the client wait for labels. Nothing is sent behind a statement that brings some, so that it is the
    /// last on its way.
    pub(super) fn is_carrying(&self) -> bool {
        self.carrying.is_some()
            || match self.expect.back() {
                Some(Expect::Simple(simple)) => simple.carries.is_some(),
                Some(Expect::Execute(execution)) => execution.carries.is_some(),
                _ => false,
            }
    }

    /// The statement ran.
    pub(super) fn ran_carrying(
        &mut self,
        carries: Carries,
        held_back: Option<(MessageKind, Bytes)>,
        request: Option<(u64, String)>,
        io: &mut Io,
    ) {
        self.carrying = Some(Carrying { carries, step: Step::Asks, held_back, request, labels: Vec::new() });
        self.ask_catalog(io);
    }

    /// The target was asked, and the catalog is known or is not. Whether it was asked for this.
    pub(super) fn asked_carrying(&mut self, io: &mut Io) -> bool {
        let Some(carrying) = &mut self.carrying else { return false };
        if carrying.step != Step::Asks {
            return true;
        }
        if self.truth.unknown.is_some() || self.truth.moved {
            self.undo_carrying(io, "the target's catalog cannot be read");
            return true;
        }
        let Carries { carried, snapshot, path, .. } = &carrying.carries;
        let catalog = &self.truth.snapshot.catalog;
        // What the path was, and what the statement may have made of it before the server looked names up.
        let path = [path.as_slice(), self.truth.path.as_slice()].concat();
        let mut labels = Vec::new();
        for carried in carried {
            match catalog.carried_to(&carried.carry, &carried.labels, &snapshot.catalog, &path) {
                Ok(found) => labels.extend(found),
                Err(astray) => {
                    let why = format!("where the values came to lie cannot be told: {astray}");
                    self.undo_carrying(io, &why);
                    return true;
                }
            }
        }
        let book = Arc::clone(self.session.labels());
        let labels = book.missing(self.session.id(), labels);
        if labels.is_empty() {
            self.kept_labels(Ok(()), io);
            return true;
        }
        carrying.step = Step::Keeps;
        carrying.labels.clone_from(&labels);
        io.asks.push(Ask::KeepLabels { session: self.session.id(), book, labels });
        true
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
        self.brought.any |= !carrying.labels.is_empty();
        self.brought.labels.extend(carrying.labels);
        let (frame, held_back, request) = (carrying.carries.frame, carrying.held_back, carrying.request);
        match (frame, held_back) {
            (Began::Bracketed, held_back) => {
                let held_back = held_back.map(|(_, body)| body);
                self.end_bracket(b"COMMIT", Bracket { held_back, request }, io);
            }
            (_, Some((kind, body))) => self.plain(kind, &body, io),
            (_, None) => {}
        }
        if frame == Began::Query {
            self.ready_for_query(io);
        }
        self.take_up(io);
        self.flush_record(io);
    }

    /// What was written may not stay.
    fn undo_carrying(&mut self, io: &mut Io, why: &str) {
        let Some(carrying) = self.carrying.take() else { return };
        const MESSAGE: &str = "refused: the copy is undone";
        let denial = Denial::other(
            Fault::Us,
            SqlState::INSUFFICIENT_PRIVILEGE,
            MESSAGE,
            Some(why.to_owned()),
            Some("labels must follow what is copied; try again, or write to a table of its own".into()),
        );
        let _ = self.session.notice(None, "WARNING", "42501", why, io.now);
        let error = self.report(own::Severity::Error, &denial).freeze();
        match carrying.carries.frame {
            Began::Bracketed => {
                if let Some((request, _)) = carrying.request {
                    let code = SqlState::INSUFFICIENT_PRIVILEGE.0;
                    self.done(io, request, DoneKind::Failed, "", Some((code, MESSAGE, Fault::Us)));
                }
                self.own(io, error);
                self.end_bracket(b"ROLLBACK", Bracket::default(), io);
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
    pub(super) fn end_bracket(&mut self, text: &[u8], owes: Bracket, io: &mut Io) {
        if self.send_bracket(text, io) {
            self.expect.push_back(Expect::Bracket(owes));
        }
    }

    /// Sends such an end. Whether it was sent.
    pub(super) fn send_bracket(&mut self, text: &[u8], io: &mut Io) -> bool {
        let mut end = BytesMut::new();
        let fine = own::query(&mut end, text).is_ok();
        if fine {
            io.target.plumbing(Plumbing::Bracket, &end);
            self.takes_unnamed();
        }
        fine
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
        self.brought.any || self.is_carrying()
    }

    /// A text is about to run that may end the transaction, or set a savepoint, without saying so. It counts from when it is
    /// sent: it may fail after that.
    pub(super) fn blur_end(&mut self, prepared: &Prepared, named: &Named) {
        let sure = prepared.batch.is_ok()
            && (0..prepared.statements().len())
                .all(|index| named.ran(prepared, index).is_some_and(|mut ran| ran.all(shows_its_end)));
        self.brought.blurred |= !sure;
    }

    /// The same of something that may be any text.
    pub(super) fn blur_end_whatever_runs(&mut self) {
        self.brought.blurred = true;
    }

    /// What a finished statement did to the labels that its transaction brought.
    pub(super) fn brought_effect(&mut self, prepared: &Prepared, index: usize, tag: &str, io: &mut Io) {
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
        } else {
            self.brought.blurred = true;
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
        if self.brought.blurred {
            return;
        }
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
        if !self.brought.blurred {
            let undone = std::mem::take(&mut self.brought.labels);
            self.drop_brought(&undone, io);
        }
        // Those stay that others relied on.
        self.brought_settle(io);
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
        if std::mem::take(&mut self.brought).any {
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

    /// PREPARE TRANSACTION takes the end of a transaction out of sight. `None`: what runs may be that.
    pub(super) fn two_phase_denial(&mut self, prepared: Option<&Prepared>) -> Option<Denial> {
        if !self.has_brought() {
            return None;
        }
        let prepares = prepared.is_none_or(|prepared| {
            let named = self.named(prepared);
            let may = |s: &lockgate_sql::Statement| s.verb == "prepare_transaction";
            prepared.batch.is_err()
                || (0..prepared.statements().len())
                    .any(|index| named.ran(prepared, index).is_none_or(|mut ran| ran.any(may)))
        });
        prepares.then(|| {
            Denial::other(
                Fault::Policy,
                SqlState::INSUFFICIENT_PRIVILEGE,
                "refused: a transaction that copied labelled values cannot be prepared",
                Some("its labels could not follow how it ends".into()),
                Some("commit it, or roll it back".into()),
            )
        })
    }

    /// Why labels cannot follow what a statement does: while it runs, or before the server looks its names up, the search path
    /// may become another, or code that nobody can look into may write as well.
    pub(super) fn unfollowed_course(&mut self, prepared: &Prepared, judgement: &Judgement) -> Option<Denial> {
        if !Self::carries(judgement) {
            return None;
        }
        let named = self.named(prepared);
        let strays = |s: &lockgate_sql::Statement| {
            s.facts.opaque || s.facts.moves_path || matches!(s.effect, Effect::SetPath(_))
        };
        let sure = (0..prepared.statements().len())
            .all(|index| named.ran(prepared, index).is_some_and(|mut ran| !ran.any(strays)));
        (!sure).then(|| {
            Denial::other(
                Fault::Policy,
                SqlState::INSUFFICIENT_PRIVILEGE,
                "refused: labels cannot follow a copy by a statement that may change the search path",
                None,
                Some("copy without calling such functions".into()),
            )
        })
    }
}

/// Whether a statement goes on with its transaction, or ends it as its effect says. Others end it by themselves, as CALL, DO and
/// VACUUM do or may do.
fn shows_its_end(statement: &lockgate_sql::Statement) -> bool {
    let follows = match &statement.effect {
        Effect::Begin
        | Effect::Savepoint(_)
        | Effect::Release(_)
        | Effect::RollbackTo(_)
        | Effect::Commit { .. }
        | Effect::Rollback { .. } => true,
        Effect::TwoPhase | Effect::DiscardAll | Effect::Discard => false,
        _ => matches!(
            statement.verb,
            "select"
                | "insert"
                | "update"
                | "delete"
                | "merge"
                | "select_into"
                | "create_table_as"
                | "create_table"
                | "create_view"
                | "drop_table"
                | "alter_table"
                | "truncate_table"
                | "lock_table"
                | "copy"
                | "set"
                | "reset"
                | "show"
                | "set_transaction"
                | "set_constraints"
                | "prepare"
                | "execute"
                | "deallocate"
                | "declare_cursor"
                | "fetch"
                | "move"
                | "close"
                | "explain"
                | "notify"
                | "listen"
                | "unlisten"
                | "comment"
        ),
    };
    follows && !statement.facts.opaque
}

/// The same error with its position so many characters earlier.
pub(super) fn with_position(body: &[u8], moved: impl Fn(usize) -> usize) -> Cow<'_, [u8]> {
    let mut out = Vec::with_capacity(body.len());
    for field in body.split_inclusive(|byte| *byte == 0) {
        let position = match field {
            [b'P', digits @ .., 0] => std::str::from_utf8(digits).ok().and_then(|d| d.parse::<usize>().ok()),
            _ => None,
        };
        match position {
            Some(position) => out.extend_from_slice(format!("P{}\0", moved(position)).as_bytes()),
            None => out.extend_from_slice(field),
        }
    }
    Cow::Owned(out)
}
