//! How a revocation reaches live sessions: each holds a lease on its token, and one task looks for changed tokens.
//!
//! A session asks its lease as often as it likes: that is two atomic loads. The look-out reads one counter of the store, so
//! that a revocation by another process is seen at its next look. When the store cannot be read for too long, every lease
//! says [`TokenState::Unknown`]: doubt denies.

use crate::error::StoreError;
use crate::store::Store;
use crate::tokens::{TokenError, TokenState};
use lockgate_core::{Timestamp, limits};
use std::collections::HashMap;
use std::sync::atomic::{AtomicI64, AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};
use tokio::sync::watch;

/// The look-out over the tokens of live sessions. Cheap to clone.
#[derive(Clone)]
pub struct TokenWatch {
    shared: Arc<Shared>,
}

struct Shared {
    leases: Mutex<HashMap<String, Weak<Cell>>>,
    started: Instant,
    /// Milliseconds from `started` to the last good look.
    looked_ms: AtomicU64,
    /// Counts up with every token that lost its right, for those who would rather wait than ask.
    lost: watch::Sender<u64>,
}

struct Cell {
    state: AtomicU8,
    expires: AtomicI64,
    id: String,
    shared: Weak<Shared>,
}

/// One session's hold on its token.
#[derive(Clone)]
pub struct TokenLease {
    cell: Arc<Cell>,
    shared: Arc<Shared>,
}

impl Default for TokenWatch {
    fn default() -> Self {
        TokenWatch {
            shared: Arc::new(Shared {
                leases: Mutex::new(HashMap::new()),
                started: Instant::now(),
                looked_ms: AtomicU64::new(0),
                lost: watch::Sender::new(0),
            }),
        }
    }
}

impl TokenLease {
    /// Whether the token still counts at `now`. Never waits.
    pub fn state(&self, now: Timestamp) -> TokenState {
        match self.cell.state.load(Ordering::Acquire) {
            LIVE if self.cell.expires.load(Ordering::Acquire) <= now.millis() => TokenState::Expired,
            LIVE if self.shared.is_stale() => TokenState::Unknown,
            LIVE => TokenState::Live,
            GONE => TokenState::Gone,
            _ => TokenState::Revoked,
        }
    }

    /// The token's id.
    pub fn token_id(&self) -> &str {
        &self.cell.id
    }

    /// When the token expires.
    pub fn expires(&self) -> Timestamp {
        Timestamp::from_millis(self.cell.expires.load(Ordering::Acquire))
    }

    /// Changes whenever some token lost its right; then ask [`TokenLease::state`] again.
    pub fn losses(&self) -> watch::Receiver<u64> {
        self.shared.lost.subscribe()
    }
}

impl Store {
    /// Begins to watch a token for a session. The lease is known to the look-out before the store is read, so that a
    /// revocation between the two is not missed. Without [`Store::watch_tokens`] running, the lease soon says `Unknown`.
    ///
    /// # Errors
    /// When the token does not count (any more), or the store cannot be read: refuse the login.
    pub async fn lease_token(&self, id: &str, now: Timestamp) -> Result<TokenLease, TokenError> {
        let lease = self.inner.watch.lease(id);
        let info = self.token(id).await?.ok_or(TokenError::Unknown)?;
        lease.cell.expires.store(info.expires.millis(), Ordering::Release);
        match (info.revoked_at, info.state(now)) {
            (Some(at), _) => Err(TokenError::Revoked { id: info.id, at }),
            (None, TokenState::Live) => Ok(lease),
            (None, TokenState::Early) => Err(TokenError::Early { id: info.id, at: info.created }),
            (None, _) => Err(TokenError::Expired { id: info.id, at: info.expires }),
        }
    }

    /// Looks for changed tokens and people every [`limits::REJUDGE_MS`] until dropped. The gateway runs it once, in a task of its own.
    pub async fn watch_tokens(&self) {
        let watch = &self.inner.watch;
        let mut generation = None;
        let mut ticks = tokio::time::interval(Duration::from_millis(limits::REJUDGE_MS));
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut failing = false;
        loop {
            ticks.tick().await;
            let looked = match self.look(&mut generation).await {
                Ok(()) => self.look_at_people().await,
                failed => failed,
            };
            match looked {
                Ok(()) => {
                    watch.shared.looked();
                    failing = false;
                }
                Err(e) => {
                    if !failing {
                        tracing::error!(error = %e, "cannot look for revoked tokens and changed users; live sessions end if this lasts");
                    }
                    failing = true;
                }
            }
        }
    }

    async fn look(&self, generation: &mut Option<i64>) -> Result<(), StoreError> {
        // The first look starts from the beginning, but the leases are few then.
        let changes = self.tokens_changed_since(generation.unwrap_or(0)).await?;
        for id in &changes.ids {
            if !self.inner.watch.watches(id) {
                continue;
            }
            match self.token(id).await? {
                None => self.inner.watch.mark(id, TokenState::Gone),
                Some(info) if info.revoked_at.is_some() => self.inner.watch.mark(id, TokenState::Revoked),
                Some(_) => {}
            }
        }
        *generation = Some(changes.generation);
        Ok(())
    }
}

impl TokenWatch {
    fn lease(&self, id: &str) -> TokenLease {
        let mut leases = self.shared.leases.lock().unwrap_or_else(PoisonError::into_inner);
        let cell = leases.get(id).and_then(Weak::upgrade).unwrap_or_else(|| {
            let cell = Arc::new(Cell {
                state: AtomicU8::new(LIVE),
                expires: AtomicI64::new(i64::MAX),
                id: id.to_owned(),
                shared: Arc::downgrade(&self.shared),
            });
            leases.insert(id.to_owned(), Arc::downgrade(&cell));
            cell
        });
        TokenLease { cell, shared: self.shared.clone() }
    }

    /// Whether nobody could look for too long.
    pub(crate) fn is_stale(&self) -> bool {
        self.shared.is_stale()
    }

    fn watches(&self, id: &str) -> bool {
        let leases = self.shared.leases.lock().unwrap_or_else(PoisonError::into_inner);
        leases.get(id).is_some_and(|weak| weak.strong_count() > 0)
    }

    /// Tells the sessions of a token that it lost its right.
    pub(crate) fn mark(&self, id: &str, state: TokenState) {
        let cell = {
            let leases = self.shared.leases.lock().unwrap_or_else(PoisonError::into_inner);
            leases.get(id).and_then(Weak::upgrade)
        };
        let Some(cell) = cell else { return };
        let code = match state {
            TokenState::Gone => GONE,
            TokenState::Revoked | TokenState::Expired | TokenState::Early | TokenState::Unknown => REVOKED,
            TokenState::Live => return,
        };
        cell.state.store(code, Ordering::Release);
        self.shared.lost.send_modify(|n| *n = n.wrapping_add(1));
    }
}

impl Shared {
    fn elapsed_ms(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    fn looked(&self) {
        self.looked_ms.store(self.elapsed_ms(), Ordering::Release);
    }

    fn is_stale(&self) -> bool {
        self.elapsed_ms().saturating_sub(self.looked_ms.load(Ordering::Acquire)) > limits::TOKEN_WATCH_STALE_MS_MAX
    }
}

impl Drop for Cell {
    fn drop(&mut self) {
        let Some(shared) = self.shared.upgrade() else { return };
        let mut leases = shared.leases.lock().unwrap_or_else(PoisonError::into_inner);
        // Another lease may have begun since this one's last holder went.
        if leases.get(&self.id).is_some_and(|weak| weak.strong_count() == 0) {
            leases.remove(&self.id);
        }
    }
}

const LIVE: u8 = 0;
const REVOKED: u8 = 1;
const GONE: u8 = 2;
