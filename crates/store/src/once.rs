//! What counts once: the states of sign-ins and the assertions of identity providers, for all replicas and across restarts.

use crate::error::StoreError;
use crate::store::Store;
use crate::tokens::secret_hash;
use lockgate_core::{Timestamp, limits};

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
    /// Uses something that counts once until `until`. Deciding and remembering is one step: of any number of callers with the
    /// same `sort` and `id`, in whatever process, one hears [`OneUse::First`].
    ///
    /// # Errors
    /// When the store cannot be written: it does not count.
    pub async fn use_once(&self, sort: &str, id: &str, until: Timestamp, now: Timestamp) -> Result<OneUse, StoreError> {
        if until <= now {
            return Ok(OneUse::Again);
        }
        // Of one length, whatever a provider calls its assertions; and nobody can make two of them the same.
        let name = secret_hash(&format!("{}:{sort}:{id}", sort.len()));
        let doing = || StoreError::doing("remember what counts once");
        let mut tx = self.inner.write.begin_with("BEGIN IMMEDIATE").await.map_err(doing())?;
        sqlx::query("DELETE FROM used_once WHERE until <= $1")
            .bind(now.plus_millis(-limits::USED_ONCE_LINGER_MS).millis())
            .execute(&mut *tx)
            .await
            .map_err(doing())?;
        let known: i64 =
            sqlx::query_scalar("SELECT COUNT(*) FROM used_once").fetch_one(&mut *tx).await.map_err(doing())?;
        if usize::try_from(known).is_ok_and(|n| n >= limits::USED_ONCE_MAX) {
            return Ok(OneUse::Full);
        }
        let written = sqlx::query("INSERT INTO used_once (name, until) VALUES ($1, $2) ON CONFLICT (name) DO NOTHING")
            .bind(name)
            .bind(until.millis())
            .execute(&mut *tx)
            .await
            .map_err(doing())?;
        tx.commit().await.map_err(doing())?;
        Ok(if written.rows_affected() == 1 { OneUse::First } else { OneUse::Again })
    }
}
