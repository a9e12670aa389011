//! The books of labels that data brought to columns, one per database of a target, and the store behind them.

use lockgate_core::Timestamp;
use lockgate_session::{BroughtLabel, LabelBook};
use lockgate_sql::CarriedLabel;
use lockgate_store::{Store, StoreError, StoredLabel};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

/// All books of a gateway. What was copied through one target is labelled for every target that leads to the same place, and
/// stays labelled for the target when that moves to another place.
pub struct Books {
    books: Mutex<Vec<Shelved>>,
}

/// A book, and whose it is.
struct Shelved {
    place: String,
    /// The targets that lead there.
    targets: Vec<String>,
    book: Arc<LabelBook>,
}

impl Books {
    /// What the store holds.
    ///
    /// # Errors
    /// When it cannot be read: then nobody knows what is labelled.
    pub async fn load(store: &Store, now: Timestamp) -> Result<Self, StoreError> {
        let mut labels: HashMap<(String, String, String), Vec<BroughtLabel>> = HashMap::new();
        for stored in store.labels().await? {
            let label = CarriedLabel {
                relation: stored.relation,
                column: stored.column,
                label: stored.label,
                derived: stored.derived,
                temporary: false,
            };
            let brought = BroughtLabel { label, by: stored.by };
            labels.entry((stored.place, stored.target, stored.database)).or_default().push(brought);
        }
        let books = Books { books: Mutex::new(Vec::new()) };
        for ((place, target, database), labels) in labels {
            books.of(&target, &place, &database, now).adopt(labels, now);
        }
        Ok(books)
    }

    /// The book of a database at a place, for a session on this target.
    pub fn of(&self, target: &str, place: &str, database: &str, now: Timestamp) -> Arc<LabelBook> {
        let mut books = self.books.lock().unwrap_or_else(PoisonError::into_inner);
        let is_it = |shelved: &Shelved| shelved.place == place && shelved.book.database() == database;
        let at = books.iter().position(is_it).unwrap_or_else(|| {
            let book = Arc::new(LabelBook::new(target, place, database));
            books.push(Shelved { place: place.to_owned(), targets: Vec::new(), book });
            books.len() - 1
        });
        let known = books.get(at).is_some_and(|shelved| shelved.targets.iter().any(|known| known == target));
        // Where the target led before, its copies may have come from there.
        let earlier: Vec<BroughtLabel> = books
            .iter()
            .filter(|s| !known && !is_it(s) && s.book.database() == database && s.targets.iter().any(|t| t == target))
            .flat_map(|shelved| shelved.book.all())
            .collect();
        let Some(shelved) = books.get_mut(at) else { return Arc::new(LabelBook::empty()) };
        if !known {
            shelved.targets.push(target.to_owned());
            shelved.book.adopt(earlier, now);
        }
        Arc::clone(&shelved.book)
    }
}

/// As the store keeps them. A temporary relation is gone with its connection, and so is its label.
pub fn stored(book: &LabelBook, labels: &[BroughtLabel]) -> Vec<StoredLabel> {
    labels
        .iter()
        .filter(|brought| !brought.label.temporary)
        .map(|BroughtLabel { label, by }| StoredLabel {
            target: book.target().to_owned(),
            place: book.place().to_owned(),
            database: book.database().to_owned(),
            relation: label.relation,
            column: label.column,
            label: label.label.clone(),
            derived: label.derived,
            by: *by,
        })
        .collect()
}
