//! How a change to a person reaches live sessions: each holds a lease on its user's account, which the store's look-out keeps
//! as new as the last look.

use super::{Account, key};
use crate::error::StoreError;
use crate::store::Store;
use crate::watch::TokenWatch;
use std::collections::HashMap;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use tokio::sync::watch;

/// The look-out over the people of live sessions. Cheap to clone.
#[derive(Clone)]
pub(crate) struct PeopleWatch {
    shared: Arc<Shared>,
}

struct Shared {
    leases: Mutex<HashMap<String, Weak<Cell>>>,
    /// Counts up with every change to somebody who is watched.
    changed: watch::Sender<u64>,
    /// The newest change that every lease knows of.
    seen: AtomicI64,
}

struct Cell {
    user: String,
    known: Mutex<Known>,
    changes: AtomicU64,
    shared: Weak<Shared>,
}

/// A account, and the change that it is at least as new as.
#[derive(Default)]
struct Known {
    generation: i64,
    account: Arc<Account>,
}

/// One session's hold on the account of a user.
#[derive(Clone)]
pub struct PersonLease {
    cell: Arc<Cell>,
    look_out: TokenWatch,
    shared: Arc<Shared>,
}

impl Default for PeopleWatch {
    fn default() -> Self {
        PeopleWatch {
            shared: Arc::new(Shared {
                leases: Mutex::new(HashMap::new()),
                changed: watch::Sender::new(0),
                seen: AtomicI64::new(0),
            }),
        }
    }
}

impl PersonLease {
    /// What the sources say now; `None` when the store could not be read for too long: treat as disabled. Never waits.
    pub fn account(&self) -> Option<Arc<Account>> {
        if self.look_out.is_stale() {
            return None;
        }
        Some(Arc::clone(&self.cell.known.lock().unwrap_or_else(PoisonError::into_inner).account))
    }

    /// Counts up with every change to this user.
    pub fn changes(&self) -> u64 {
        self.cell.changes.load(Ordering::Acquire)
    }

    /// Changes whenever somebody changed; then ask [`PersonLease::account`] again.
    pub fn news(&self) -> watch::Receiver<u64> {
        self.shared.changed.subscribe()
    }
}

impl Store {
    /// Begins to watch a user for a session, whether any source knows them or not: one may come to. The lease is known to the
    /// look-out before the store is read, so that a change between the two is not missed.
    ///
    /// # Errors
    /// When the store cannot be read: refuse the login.
    pub async fn lease_person(&self, user: &str) -> Result<PersonLease, StoreError> {
        let cell = self.inner.people.cell(&key(user));
        let (generation, account) = self.account_and_generation(&cell.user).await?;
        cell.learn(generation, account);
        Ok(PersonLease { cell, look_out: self.inner.watch.clone(), shared: self.inner.people.shared.clone() })
    }

    /// Looks for people who changed since the last look, of whichever caller.
    pub(crate) async fn look_at_people(&self) -> Result<(), StoreError> {
        let people = &self.inner.people;
        // The first look starts from the beginning, but the leases are few then.
        let changes = self.people_changed_since(people.shared.seen.load(Ordering::Acquire)).await?;
        for user in &changes.users {
            let Some(cell) = people.watched(user) else { continue };
            let (as_of, account) = self.account_and_generation(user).await?;
            if cell.learn(as_of, account) {
                people.shared.changed.send_modify(|n| *n = n.wrapping_add(1));
            }
        }
        people.shared.seen.fetch_max(changes.generation, Ordering::AcqRel);
        Ok(())
    }

    /// Lets the sessions of this process hear at once of what it changed itself.
    pub(crate) async fn hear_of_people(&self) {
        if let Err(error) = self.look_at_people().await {
            tracing::warn!(%error, "live sessions hear of a changed user at the next look");
        }
    }
}

impl PeopleWatch {
    fn cell(&self, user: &str) -> Arc<Cell> {
        let mut leases = self.shared.leases.lock().unwrap_or_else(PoisonError::into_inner);
        leases.get(user).and_then(Weak::upgrade).unwrap_or_else(|| {
            let cell = Arc::new(Cell {
                user: user.to_owned(),
                known: Mutex::default(),
                changes: AtomicU64::new(0),
                shared: Arc::downgrade(&self.shared),
            });
            leases.insert(user.to_owned(), Arc::downgrade(&cell));
            cell
        })
    }

    fn watched(&self, user: &str) -> Option<Arc<Cell>> {
        let leases = self.shared.leases.lock().unwrap_or_else(PoisonError::into_inner);
        leases.get(user).and_then(Weak::upgrade)
    }
}

impl Cell {
    /// Takes over what was read, unless something newer is known. Whether it differs.
    fn learn(&self, generation: i64, account: Account) -> bool {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if generation < known.generation {
            return false;
        }
        known.generation = generation;
        if *known.account == account {
            return false;
        }
        known.account = Arc::new(account);
        self.changes.fetch_add(1, Ordering::AcqRel);
        true
    }
}

impl Drop for Cell {
    fn drop(&mut self) {
        let Some(shared) = self.shared.upgrade() else { return };
        let mut leases = shared.leases.lock().unwrap_or_else(PoisonError::into_inner);
        // Another lease may have begun since this one's last holder went.
        if leases.get(&self.user).is_some_and(|weak| weak.strong_count() == 0) {
            leases.remove(&self.user);
        }
    }
}
