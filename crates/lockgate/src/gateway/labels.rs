//! The books of labels that data brought to columns, one per database of a target, and the store behind them.

use lockgate_core::Timestamp;
use lockgate_session::{BroughtLabel, LabelBook};
use lockgate_sql::CarriedLabel;
use lockgate_store::{Store, StoreError, StoredLabel};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

/// All books of a gateway.
pub struct Books {
    /// By target and database.
    books: Mutex<HashMap<(String, String), Arc<LabelBook>>>,
}

impl Books {
    /// What the store holds.
    ///
    /// # Errors
    /// When it cannot be read: then nobody knows what is labelled.
    pub async fn load(store: &Store, now: Timestamp) -> Result<Self, StoreError> {
        let mut labels: HashMap<(String, String), Vec<BroughtLabel>> = HashMap::new();
        for stored in store.labels().await? {
            let label = CarriedLabel {
                relation: stored.relation,
                column: stored.column,
                label: stored.label,
                derived: stored.derived,
                temporary: false,
            };
            let brought = BroughtLabel { label, by: stored.by };
            labels.entry((stored.target, stored.database)).or_default().push(brought);
        }
        let books = labels
            .into_iter()
            .map(|((target, database), labels)| {
                let book = Arc::new(LabelBook::new(&target, &database, labels, now));
                ((target, database), book)
            })
            .collect();
        Ok(Books { books: Mutex::new(books) })
    }

    /// The book of a database.
    pub fn of(&self, target: &str, database: &str, now: Timestamp) -> Arc<LabelBook> {
        let mut books = self.books.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (target.to_owned(), database.to_owned());
        let book = books.entry(key).or_insert_with(|| Arc::new(LabelBook::new(target, database, Vec::new(), now)));
        Arc::clone(book)
    }
}

/// As the store keeps them. A temporary relation is gone with its connection, and so is its label.
pub fn stored(book: &LabelBook, labels: &[BroughtLabel]) -> Vec<StoredLabel> {
    labels
        .iter()
        .filter(|brought| !brought.label.temporary)
        .map(|BroughtLabel { label, by }| StoredLabel {
            target: book.target().to_owned(),
            database: book.database().to_owned(),
            relation: label.relation,
            column: label.column,
            label: label.label.clone(),
            derived: label.derived,
            by: *by,
        })
        .collect()
}
