//! What statements mean to one session, without a connection: the same analysis, judgement and caches that the pump uses.
//! For measuring what a statement costs before it is put on record and forwarded.

use crate::prepare::{Prepared, Readable, With};
use crate::shared::{Shared, Snapshot, View};
use lockgate_core::Timestamp;
use lockgate_session::{Ruling, Session};
use lockgate_sql::{Catalog, ParameterTypes};
use std::sync::Arc;

/// A session's statements, understood under one catalog.
pub struct Analyses {
    session: Session,
    snapshot: Arc<Snapshot>,
    path: Vec<String>,
    shared: Shared,
}

impl Analyses {
    /// Of a session on a database with this catalog.
    pub fn new(session: Session, catalog: Catalog) -> Self {
        let path = catalog.search_path().to_vec();
        let snapshot = Arc::new(Snapshot::new(catalog, session.target().version, session.labels().version()));
        Analyses { session, snapshot, path, shared: Shared::default() }
    }

    /// Finds out what a text does and what policy says of it, or takes what is known; whether it may run as it is.
    pub fn is_allowed(&mut self, text: &[u8], now: Timestamp) -> bool {
        let rules = self.session.rules();
        let view = View {
            snapshot: self.snapshot.id,
            names: self.snapshot.names,
            path: 0,
            identity: 0,
            rules: rules.version,
            as_it_is: false,
            begins: false,
            parameters: ParameterTypes::default(),
        };
        let with = With {
            session: &self.session,
            rules: &rules,
            snapshot: &self.snapshot,
            path: &self.path,
            view,
            readable: Readable::Utf8,
            rewrites: false,
            now,
        };
        matches!(Prepared::of(text, &with, &self.shared).judgement.ruling, Ruling::Allow)
    }

    /// Forgets every statement.
    pub fn forget(&mut self) {
        self.shared = Shared::default();
    }
}
