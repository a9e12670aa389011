//! Names after code that nobody could look into: it may have prepared statements and opened cursors under names of its choice, in the
//! place of those that the client gave. Before such a name is used again, the target is asked what stands behind it.
//!
//! A statement that the target says is not of SQL is the protocol's, which code cannot make. Anything else is known again by when it
//! was made: that is asked for before such code runs, as far as it is not known. What is not known again is a name that was given out
//! of our sight.

use super::meaning::{Inner, Named, by_name, may_rename};
use super::{Portal, Pump, Statement};
use crate::message::TransactionStatus;
use crate::prepare::Prepared;
use lockgate_core::Timestamp;
use lockgate_core::limits::CATALOG_AGE_MS_MAX;
use lockgate_session::wire::Io;
use lockgate_sql::Effect;

/// What names stand for: the kind, the name, whether SQL made it, and when it was made.
pub(super) const NAMES_SQL: &str = "SELECT 's', p.name, CASE WHEN p.from_sql THEN 't' ELSE 'f' END, \
     pg_catalog.encode(pg_catalog.timestamptz_send(p.prepare_time), 'hex') FROM pg_catalog.pg_prepared_statements p \
     UNION ALL SELECT 'c', c.name, 't', pg_catalog.encode(pg_catalog.timestamptz_send(c.creation_time), 'hex') \
     FROM pg_catalog.pg_cursors c";

/// Whether a name still stands for what it was given to.
#[derive(Clone, Default)]
pub(super) struct Standing {
    /// Something else may have taken its place.
    doubtful: bool,
    /// When the target made it, once that was asked.
    made_at: Option<Box<[u8]>>,
}

/// What the target says that a name stands for.
pub(super) struct Said {
    is_cursor: bool,
    name: Box<[u8]>,
    from_sql: bool,
    made_at: Box<[u8]>,
}

impl Said {
    /// A row of the answer.
    pub(super) fn of(values: &[Option<&[u8]>]) -> Option<Said> {
        let &[Some(kind), Some(name), Some(from_sql), Some(made_at)] = values else { return None };
        Some(Said { is_cursor: kind == b"c", name: name.into(), from_sql: from_sql != b"f", made_at: made_at.into() })
    }
}

impl Standing {
    /// Whether it is what it was, by what the target says of it.
    fn is_still(&mut self, said: Option<&Said>, of_protocol: bool) -> bool {
        let Some(said) = said else { return false };
        let same = if of_protocol {
            !said.from_sql
        } else {
            !self.doubtful || self.made_at.as_ref().is_some_and(|at| *at == said.made_at)
        };
        self.doubtful = false;
        self.made_at = Some(said.made_at.clone());
        same
    }
}

impl Pump {
    /// Code that nobody could look into has run: the names of statements and cursors may mean something else now. What has
    /// no name is out of its reach.
    pub(super) fn doubt_names(&mut self) {
        self.opaque = true;
        self.opaque_in_transaction = true;
        self.truth.late = true;
        self.mark_names();
    }

    /// The transaction is over, in which such code ran: it may have put some of it off to its end.
    pub(super) fn doubt_names_at_end(&mut self) {
        if std::mem::take(&mut self.opaque_in_transaction) {
            self.mark_names();
        }
    }

    fn mark_names(&mut self) {
        if self.names_matter() {
            self.statements.each_named(|statement| statement.standing.doubtful = true);
            self.portals.each_named(|portal| portal.standing.doubtful = true);
        }
    }

    /// Whether the target has to be asked first what the names stand for that this runs.
    pub(super) fn asks_names_of(&mut self, prepared: &Prepared, io: &mut Io) -> bool {
        let doubtful = prepared.statements().iter().any(|statement| match &statement.effect {
            Effect::Execute { name, .. } => self.is_doubtful_statement(name.as_bytes()),
            Effect::Fetch { name } | Effect::Move { name } => self.is_doubtful_portal(name.as_bytes()),
            _ => false,
        });
        self.asks_names(doubtful, io)
    }

    /// The same of a statement of the protocol.
    pub(super) fn asks_statement(&mut self, name: &[u8], io: &mut Io) -> bool {
        let doubtful = self.is_doubtful_statement(name);
        self.asks_names(doubtful, io)
    }

    /// The same of a portal.
    pub(super) fn asks_portal(&mut self, name: &[u8], io: &mut Io) -> bool {
        let doubtful = self.is_doubtful_portal(name);
        self.asks_names(doubtful, io)
    }

    /// Whether what comes may rename, and the target has to be asked before that when it made what has names now.
    pub(super) fn asks_before_renaming(&mut self, prepared: &Prepared, io: &mut Io) -> bool {
        // Most statements are told here, however many names there are.
        let shown = |s: &lockgate_sql::Statement| !by_name(&s.effect) && !may_rename(s, Inner::Nothing);
        if prepared.batch.is_ok() && prepared.statements().iter().all(shown) {
            return false;
        }
        let undated = self.statements.any_named(|s| s.inside.is_some() && s.standing.made_at.is_none())
            || self.portals.any_named(|portal| portal.standing.made_at.is_none());
        if !undated || !self.names_matter() || self.status == TransactionStatus::Failed || self.asked_in_vain(io.now) {
            return false;
        }
        let named = self.named(prepared);
        let renames = prepared.batch.is_err()
            || prepared.statements().iter().enumerate().any(|(at, s)| may_rename(s, named.inner(at, s)));
        if renames {
            self.ask_catalog(io);
        }
        renames
    }

    fn is_doubtful_statement(&self, name: &[u8]) -> bool {
        !name.is_empty() && self.statements.get(name).is_some_and(|s| s.standing.doubtful)
    }

    fn is_doubtful_portal(&self, name: &[u8]) -> bool {
        !name.is_empty() && self.portals.get(name).is_some_and(|p| p.standing.doubtful)
    }

    fn asks_names(&mut self, doubtful: bool, io: &mut Io) -> bool {
        // A transaction that failed answers no questions, and runs nothing but its end, whatever that is called.
        if !doubtful || self.status == TransactionStatus::Failed {
            return false;
        }
        if self.asked_in_vain(io.now) {
            self.statements.retain_named(|_, statement| !statement.standing.doubtful);
            self.portals.retain_named(|_, portal| !portal.standing.doubtful);
            return false;
        }
        self.ask_catalog(io);
        true
    }

    fn asked_in_vain(&self, now: Timestamp) -> bool {
        self.truth.unknown.is_some() && (0..=CATALOG_AGE_MS_MAX).contains(&now.millis_since(self.truth.asked))
    }

    /// Whether anything is to be asked about names.
    pub(super) fn has_doubtful_names(&self) -> bool {
        let open =
            |standing: &Standing, of_protocol: bool| standing.doubtful || (!of_protocol && standing.made_at.is_none());
        self.statements.any_named(|s| open(&s.standing, s.inside.is_none()))
            || self.portals.any_named(|portal| open(&portal.standing, false))
    }

    /// The target has said what names stand for.
    pub(super) fn settle_names(&mut self, said: &[Said]) {
        let find = |name: &[u8], cursor: bool| said.iter().find(|s| s.is_cursor == cursor && *s.name == *name);
        self.statements.retain_named(|name, statement: &mut Statement| {
            let of_protocol = statement.inside.is_none();
            statement.standing.is_still(find(name, false), of_protocol)
        });
        self.portals.retain_named(|name, portal: &mut Portal| portal.standing.is_still(find(name, true), false));
    }

    /// A statement failed. What it prepared before that stays: prepared statements know no transactions.
    /// The same for one of which only a part has run.
    pub(super) fn failed(&mut self, prepared: &Prepared, named: &Named) {
        let mut statements = prepared.statements().iter().enumerate();
        if prepared.batch.is_err() || statements.any(|(at, s)| may_rename(s, named.inner(at, s))) {
            self.doubt_names();
        }
    }
}
