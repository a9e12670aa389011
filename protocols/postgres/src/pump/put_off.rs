//! Code that a statement sets off and the server runs later: deferrable triggers run at the end of the transaction, or with SET
//! CONSTRAINTS, and cursors WITH HOLD make their rows there; both find then what their names stand for. Until then the client may
//! make relations and replace views. So before the end is sent, what set such code off is judged again, by the catalog of now, and
//! where it would not be permitted so any more the transaction is undone.
//!
//! Under which path a trigger runs does not matter: the analysis takes its names for whatever is called so anywhere.

use super::meaning::{Named, moves, reads_nothing_labelled};
use super::rights::is_within;
use super::{Pump, runs_what_was_put_off};
use crate::message::TransactionStatus;
use crate::prepare::{Prepared, With};
use crate::shared::{ANY_PATH, View};
use lockgate_core::limits::{PG_PUT_OFF_BYTES_MAX, PG_PUT_OFF_TEXTS_MAX};
use lockgate_core::{Fault, SqlState};
use lockgate_session::Denial;
use lockgate_session::wire::Io;
use lockgate_sql::{Effect, Later, Statement};
use std::sync::Arc;

/// The texts of the open transaction that set such code off.
#[derive(Default)]
pub(super) struct PutOff {
    texts: Vec<Text>,
    bytes: usize,
    /// There were more than are kept.
    more: bool,
    /// One of those was judged by this catalog, and all others by the same.
    more_of: u64,
    /// What names stand for moved since cursors were put off.
    moved: bool,
    /// They move in the message that ends it.
    blurred: bool,
}

/// A text, and in which schemas its names were looked up.
struct Text {
    prepared: Arc<Prepared>,
    path: Arc<[String]>,
    /// It declares a cursor, which of its statements, whose rows are made at the end.
    cursor: Option<usize>,
}

/// Whether what was put off may run.
pub(super) enum Settled {
    Fine,
    /// The target was asked for its catalog.
    Asked,
    Refused(Denial),
}

impl Pump {
    /// A text is about to be sent: notes what of it may set off code that runs later.
    pub(super) fn may_put_off(&mut self, prepared: &Arc<Prepared>, named: &Named) {
        if !self.labelled() {
            return;
        }
        let puts_off = |prepared: &Prepared| prepared.statements().iter().any(|s| s.facts.puts_off);
        if puts_off(prepared) {
            self.put_off(prepared, None);
        }
        for run in named.texts().filter(|run| puts_off(run)).cloned().collect::<Vec<_>>() {
            self.put_off(&run, None);
        }
        for at in prepared.statements().iter().enumerate().filter(|(_, s)| makes_rows_later(s)).map(|(at, _)| at) {
            self.put_off(prepared, Some(at));
        }
    }

    /// Names mean something else from now on: which, cursors that were put off are not asked.
    pub(super) fn put_off_under_any_path(&mut self) {
        self.put_off.moved |= self.put_off.texts.iter().any(|text| text.cursor.is_some());
    }

    fn put_off(&mut self, prepared: &Arc<Prepared>, cursor: Option<usize>) {
        let path = self.truth.path_id;
        let known = |text: &Text| {
            text.prepared.is_of_one_with(prepared) && text.prepared.view.path == path && text.cursor == cursor
        };
        if self.put_off.texts.iter().any(known) {
            return;
        }
        let bytes = self.put_off.bytes.saturating_add(prepared.bytes());
        if self.put_off.texts.len() >= PG_PUT_OFF_TEXTS_MAX || bytes > PG_PUT_OFF_BYTES_MAX {
            if !self.put_off.more {
                self.put_off.more_of = prepared.view.snapshot;
            } else if self.put_off.more_of != prepared.view.snapshot {
                self.put_off.more_of = 0;
            }
            self.put_off.more = true;
            return;
        }
        let last = self.put_off.texts.last().filter(|last| last.prepared.view.path == path);
        let path = last.map_or_else(|| Arc::from(self.truth.path.as_slice()), |last| Arc::clone(&last.path));
        self.put_off.bytes = bytes;
        self.put_off.texts.push(Text { prepared: Arc::clone(prepared), path, cursor });
    }

    /// The transaction is over, and everything that was sent is answered.
    pub(super) fn forget_put_off(&mut self) {
        self.put_off = PutOff::default();
    }

    /// Whether a text runs what was put off, or its message does: outside of a transaction of the client's a query ends the
    /// pipeline's own.
    pub(super) fn query_ends_put_off(&mut self, prepared: &Prepared) -> bool {
        self.ends_put_off(prepared) || (self.status == TransactionStatus::Idle && !self.put_off.is_empty())
    }

    /// Whether a text runs what was put off.
    pub(super) fn ends_put_off(&mut self, prepared: &Prepared) -> bool {
        if self.put_off.is_empty() {
            return false;
        }
        let named = self.named(prepared);
        let statements = prepared.statements();
        if statements.len() > 1 && statements.iter().enumerate().any(|(at, s)| moves(s, named.inner(at, s))) {
            self.put_off_under_any_path();
            self.put_off.blurred = true;
        }
        let ends = |at| named.ran(prepared, at).is_none_or(|mut ran| ran.any(runs_what_was_put_off));
        prepared.batch.is_err() || (0..prepared.statements().len()).any(ends)
    }

    /// Why a query that waited for people is refused. The catalog was asked for after they had decided.
    pub(super) fn put_off_denial_of_now(&mut self, prepared: &Prepared, io: &Io) -> Option<Denial> {
        let within = !self.query_ends_put_off(prepared) || self.is_put_off_within(io);
        if within { self.put_off_denial(prepared) } else { Some(denial()) }
    }

    /// Whether a Sync that comes now runs what was put off.
    pub(super) fn settles_before_sync(&self) -> bool {
        self.unsynced && !self.skipping && self.status == TransactionStatus::Idle && !self.put_off.is_empty()
    }

    /// Sees to it that what was put off is judged by the catalog of now. A frame that has to wait for it is taken up again.
    pub(super) fn settle_put_off(&mut self, io: &mut Io) -> Settled {
        if self.put_off.is_empty() || self.status == TransactionStatus::Failed {
            return Settled::Fine;
        }
        if self.catalog_is_stale(io.now) {
            self.ask_catalog(io);
            return Settled::Asked;
        }
        if self.truth.unknown.is_some() {
            return Settled::Refused(self.unread_catalog());
        }
        if self.is_put_off_within(io) { Settled::Fine } else { Settled::Refused(denial()) }
    }

    /// Whether all that was put off would still be permitted as it was.
    fn is_put_off_within(&mut self, io: &Io) -> bool {
        let rules = self.session.rules();
        let as_it_is = self.rewrites();
        let snapshot = Arc::clone(&self.truth.snapshot);
        if self.put_off.more && (self.put_off.more_of != snapshot.id || self.put_off.moved) {
            return false;
        }
        let (view, readable) = (self.view(rules.version, as_it_is), self.readable());
        self.put_off.texts.iter().all(|Text { prepared, path, cursor }| {
            let moved = cursor.is_some() && (self.put_off.moved || prepared.view.path != view.path);
            // As with rows that are fetched: what names in its own text stand for does not move.
            let known = !self.put_off.blurred
                && prepared.view.rules == rules.version
                && cursor.and_then(|at| prepared.inner(at)).is_some_and(|declared| reads_nothing_labelled(declared));
            if prepared.view.snapshot == snapshot.id && prepared.view.rules == rules.version && !moved {
                return true;
            }
            let (path, path_id) = match (moved, known) {
                (false, _) => (&**path, prepared.view.path),
                (true, true) => (self.truth.path.as_slice(), view.path),
                (true, false) => (&[][..], ANY_PATH),
            };
            let with = With {
                session: &self.session,
                rules: &rules,
                snapshot: &snapshot,
                path,
                view: View { path: path_id, ..view },
                readable,
                rewrites: false,
                now: io.now,
            };
            let now = prepared.again(&with, &self.shared);
            match cursor {
                // Its rows are masked whatever they are, where names moved.
                Some(_) => now.judgement.denied_rows.is_none(),
                None => is_within(&prepared.judgement, &now.judgement),
            }
        })
    }

    /// Why a message is refused in which something is defined after such code was put off and before it runs: nobody can ask
    /// in between.
    pub(super) fn put_off_denial(&mut self, prepared: &Prepared) -> Option<Denial> {
        let several = prepared.statements().len() > 1;
        if !self.labelled() || !several && self.put_off.is_empty() {
            return None;
        }
        let named = self.named(prepared);
        let mut open = self.status != TransactionStatus::Idle;
        let (mut pending, mut defined, mut cursor) = (!self.put_off.is_empty(), false, false);
        for (at, statement) in prepared.statements().iter().enumerate() {
            let ran: Option<Vec<&Statement>> = named.ran(prepared, at).map(Iterator::collect);
            let any = |is: fn(&Statement) -> bool| ran.as_ref().is_none_or(|ran| ran.iter().any(|s| is(s)));
            if pending && defined && any(runs_what_was_put_off) {
                return Some(unasked());
            }
            match &statement.effect {
                Effect::Begin => open = true,
                Effect::Commit { chain } | Effect::Rollback { chain } => {
                    (open, pending, defined, cursor) = (*chain, false, false, false);
                    continue;
                }
                _ => {}
            }
            defined |= pending && any(defines);
            defined |= cursor && moves(statement, named.inner(at, statement));
            cursor |= makes_rows_later(statement);
            pending |= cursor || ran.as_ref().is_some_and(|ran| ran.iter().any(|s| s.facts.puts_off));
        }
        (!open && pending && defined).then(unasked)
    }
}

impl PutOff {
    pub(super) fn is_empty(&self) -> bool {
        self.texts.is_empty() && !self.more
    }
}

/// Whether it declares a cursor whose rows are made at the end of the transaction, by code that looks names up then.
fn makes_rows_later(statement: &Statement) -> bool {
    matches!(&statement.effect, Effect::DeclareCursor { hold: true, inner, .. } if inner.facts.later != Later::Nothing)
}

/// Whether names may stand for something else after it, whatever the search path.
fn defines(statement: &Statement) -> bool {
    statement.facts.opaque
        || matches!(
            statement.effect,
            Effect::Define | Effect::Discard | Effect::DiscardAll | Effect::TwoPhase | Effect::RollbackTo(_)
        )
}

fn denial() -> Denial {
    Denial::other(
        Fault::Policy,
        SqlState::SERIALIZATION_FAILURE,
        "definitions changed before the end of the transaction",
        Some("a trigger or cursor that was put off to it would do something else than was allowed".into()),
        Some("run the transaction again".into()),
    )
}

fn unasked() -> Denial {
    Denial::other(
        Fault::Policy,
        SqlState::INSUFFICIENT_PRIVILEGE,
        "refused: definitions change in the message that ends the transaction",
        Some("a trigger or cursor that was put off to the end may find something else by its names".into()),
        Some("send the statements in messages of their own".into()),
    )
}
