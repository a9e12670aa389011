//! What counts once: the states of sign-ins and the assertions of identity providers, for all replicas and across restarts.

use crate::error::StoreError;
use crate::store::Store;
use crate::tokens::secret_hash;
use lockgate_core::{Timestamp, limits};
use sqlx::SqliteConnection;
use std::sync::atomic::{AtomicUsize, Ordering};

/// After so many uses it is counted again how much is remembered.
const COUNTED_EVERY: usize = 256;

/// How many more things may be used before it is counted again how much is remembered.
#[derive(Default)]
pub(crate) struct Room(AtomicUsize);

/// What the memory of used things says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OneUse {
    /// It was not used, and from now on is.
    First,
    /// It was used before, or its time is over.
    Again,
    /// Too much is remembered already, so it cannot be used.
    Full,
}

impl Store {
    /// Whether something that counts once was used. Only [`Store::use_once`] decides; this saves the way there.
    ///
    /// # Errors
    /// When the store cannot be read: it does not count.
    pub async fn was_used(&self, sort: &str, id: &str) -> Result<bool, StoreError> {
        let known: i64 = sqlx::query_scalar("SELECT EXISTS (SELECT 1 FROM used_once WHERE name = $1)")
            .bind(name_of(sort, id))
            .fetch_one(&self.inner.read)
            .await
            .map_err(StoreError::doing("look for what counts once"))?;
        Ok(known != 0)
    }

    /// Uses something that counts once until `until`. Deciding and remembering is one step: of any number of callers with the
    /// same `sort` and `id`, in whatever process, one hears [`OneUse::First`].
    ///
    /// # Errors
    /// When the store cannot be written: it does not count.
    pub async fn use_once(&self, sort: &str, id: &str, until: Timestamp, now: Timestamp) -> Result<OneUse, StoreError> {
        if until <= now {
            return Ok(OneUse::Again);
        }
        let name = name_of(sort, id);
        let doing = || StoreError::doing("remember what counts once");
        let mut tx = self.change("remember what counts once").await?;
        if !self.has_room(&mut tx, now).await? {
            return Ok(OneUse::Full);
        }
        let written = sqlx::query("INSERT INTO used_once (name, until) VALUES ($1, $2) ON CONFLICT (name) DO NOTHING")
            .bind(name)
            .bind(until.millis())
            .execute(&mut *tx)
            .await
            .map_err(doing())?;
        tx.commit().await?;
        Ok(if written.rows_affected() == 1 { OneUse::First } else { OneUse::Again })
    }

    /// Whether one thing more can be remembered. Where there is no room, what only lingers goes; what could be used again stays.
    async fn has_room(&self, tx: &mut SqliteConnection, now: Timestamp) -> Result<bool, StoreError> {
        let left = |room: usize| room.checked_sub(1);
        let room = &self.inner.room_for_once.0;
        if room.fetch_update(Ordering::AcqRel, Ordering::Acquire, left).is_ok() {
            return Ok(true);
        }
        for lingers in [limits::USED_ONCE_LINGER_MS, 0] {
            let doing = || StoreError::doing("forget what counts no more");
            sqlx::query("DELETE FROM used_once WHERE until <= $1")
                .bind(now.plus_millis(-lingers).millis())
                .execute(&mut *tx)
                .await
                .map_err(doing())?;
            let known: i64 =
                sqlx::query_scalar("SELECT COUNT(*) FROM used_once").fetch_one(&mut *tx).await.map_err(doing())?;
            let more = limits::USED_ONCE_MAX.saturating_sub(usize::try_from(known).unwrap_or(usize::MAX));
            if more > 0 {
                // This one is among them.
                room.store(more.min(COUNTED_EVERY).saturating_sub(1), Ordering::Release);
                return Ok(true);
            }
        }
        Ok(false)
    }
}

/// Of one length, whatever a provider calls its assertions; and nobody can make two of them the same.
fn name_of(sort: &str, id: &str) -> String {
    secret_hash(&format!("{}:{sort}:{id}", sort.len()))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;

    /// A store that remembers as much as it may, all of it until then.
    async fn full(until: i64) -> (Store, tempfile::TempDir) {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).await.unwrap();
        let mut tx = store.change("fill it up").await.unwrap();
        sqlx::query(
            "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < $1)
             INSERT INTO used_once (name, until) SELECT 'n' || i, $2 FROM n",
        )
        .bind(i64::try_from(limits::USED_ONCE_MAX).unwrap())
        .bind(until)
        .execute(&mut *tx)
        .await
        .unwrap();
        tx.commit().await.unwrap();
        (store, dir)
    }

    #[tokio::test]
    async fn what_only_lingers_keeps_nobody_out() {
        let at = Timestamp::from_millis;
        // Everything of ten minutes ago; and what still counts makes no room.
        let (store, _dir) = full(1_000).await;
        for n in 0..300 {
            assert_eq!(store.use_once("state", &n.to_string(), at(9_000), at(2_000)).await.unwrap(), OneUse::First);
        }
        let (store, _dir) = full(8_000).await;
        assert_eq!(store.use_once("state", "one", at(9_000), at(2_000)).await.unwrap(), OneUse::Full);
        assert_eq!(store.use_once("state", "one", at(9_000), at(8_000)).await.unwrap(), OneUse::First);
    }
}
