//! What administrators did, on its way to the gateway's own recording.
//!
//! An act is written in the transaction that does it, by whatever process: the command line changes people while no gateway
//! runs. The gateway takes acts over into its recording, which is sealed, and only then are they deleted here. So an act may
//! be recorded twice, by its number; none is forgotten.

use crate::error::StoreError;
use crate::store::Store;
use lockgate_core::{Timestamp, limits};
use sqlx::Row as _;

/// A token was made: the subject is its id, and the token says the rest.
pub const TOKEN_CREATED: &str = "token.created";
/// A token was taken back: the subject is its id.
pub const TOKEN_REVOKED: &str = "token.revoked";

/// One act.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Act {
    /// Its number, in the order in which acts were done.
    pub number: i64,
    /// When.
    pub at: Timestamp,
    /// Who did it.
    pub by: String,
    /// What was done, such as `user.disabled`.
    pub what: String,
    /// To whom or what.
    pub subject: String,
    /// The rest; never a secret.
    pub detail: String,
}

/// An act that is about to be written.
pub(crate) struct Doing<'a> {
    pub(crate) by: &'a str,
    pub(crate) what: &'static str,
    pub(crate) subject: &'a str,
    pub(crate) detail: String,
}

impl Store {
    /// The oldest acts that are not recorded yet.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn acts_waiting(&self) -> Result<Vec<Act>, StoreError> {
        let doing = || StoreError::doing("read what was done");
        let rows = sqlx::query("SELECT number, at, by_whom, what, subject, detail FROM acts ORDER BY number LIMIT $1")
            .bind(i64::try_from(limits::LIST_PAGE_MAX).unwrap_or(i64::MAX))
            .fetch_all(&self.inner.read)
            .await
            .map_err(doing())?;
        rows.iter()
            .map(|row| {
                Ok(Act {
                    number: row.try_get("number").map_err(doing())?,
                    at: Timestamp::from_millis(row.try_get("at").map_err(doing())?),
                    by: row.try_get("by_whom").map_err(doing())?,
                    what: row.try_get("what").map_err(doing())?,
                    subject: row.try_get("subject").map_err(doing())?,
                    detail: row.try_get("detail").map_err(doing())?,
                })
            })
            .collect()
    }

    /// Forgets the acts up to this number: they are recorded.
    ///
    /// # Errors
    /// When the store cannot be written; they will be recorded again.
    pub async fn settle_acts(&self, up_to: i64) -> Result<(), StoreError> {
        let mut tx = self.change("forget what was recorded").await?;
        sqlx::query("DELETE FROM acts WHERE number <= $1")
            .bind(up_to)
            .execute(&mut *tx)
            .await
            .map_err(StoreError::doing("forget what was recorded"))?;
        tx.commit().await
    }
}

/// Writes an act beside what it does. Where too many wait nothing is done any more: what cannot be recorded must not happen.
pub(crate) async fn write(tx: &mut sqlx::SqliteConnection, act: Doing<'_>, now: Timestamp) -> Result<(), StoreError> {
    // One way to the database's thread and back. The numbers of those that wait follow each other.
    let waiting: i64 = sqlx::query_scalar(
        "UPDATE counters SET value = value + 1 WHERE name = 'acts';
         INSERT INTO acts (number, at, by_whom, what, subject, detail)
         SELECT value, $1, $2, $3, $4, $5 FROM counters WHERE name = 'acts';
         SELECT (SELECT MAX(number) FROM acts) - (SELECT MIN(number) FROM acts)",
    )
    .bind(now.millis())
    .bind(act.by)
    .bind(act.what)
    .bind(act.subject)
    .bind(act.detail)
    .fetch_one(&mut *tx)
    .await
    .map_err(StoreError::doing("write down what is done"))?;
    // The caller's change goes with the error, and this act with it.
    if usize::try_from(waiting).is_ok_and(|n| n >= limits::ACTS_WAITING_MAX) {
        return Err(StoreError::Refused(format!(
            "{waiting} acts of administrators wait to be recorded, the most there can be: start the gateway"
        )));
    }
    Ok(())
}
