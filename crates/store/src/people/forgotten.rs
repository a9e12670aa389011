//! Directories that are there no more: what they last said goes on to count, because nobody is to come in again by a line that was
//! taken out of the configuration, until somebody has it forgotten.

use super::{reading, writing};
use crate::acts::{self, Doing};
use crate::error::StoreError;
use crate::store::Store;
use crate::tokens;
use lockgate_core::Timestamp;
use sqlx::SqliteConnection;

/// What is known of a directory's people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DirectoryPeople {
    /// The directory's name in the configuration that it was in.
    pub directory: String,
    /// How many people it has.
    pub people: usize,
    /// How many it has disabled or removed, who may do nothing because of that.
    pub refused: usize,
}

impl Store {
    /// The directories that people are known of.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn directories(&self) -> Result<Vec<DirectoryPeople>, StoreError> {
        let rows: Vec<(String, i64, i64)> = sqlx::query_as(
            "SELECT source, SUM(removed IS NULL), SUM(active = 0 OR removed IS NOT NULL) FROM people
             WHERE source GLOB 'scim:*' GROUP BY source ORDER BY source",
        )
        .fetch_all(&self.inner.read)
        .await
        .map_err(reading())?;
        Ok(rows.into_iter().map(one).collect())
    }

    /// Forgets what a directory said of anybody. Whom it had disabled or removed loses for good what they had, so that it does not
    /// count again; who signs in from then on is judged without the directory. `None` where nobody is known of it.
    ///
    /// # Errors
    /// When the store cannot be written: nothing has changed.
    pub async fn forget_directory(
        &self,
        name: &str,
        by: &str,
        now: Timestamp,
    ) -> Result<Option<DirectoryPeople>, StoreError> {
        let source = format!("scim:{name}");
        let mut tx = self.change("forget a directory").await?;
        let counted: Option<(String, i64, i64)> = sqlx::query_as(
            "SELECT source, SUM(removed IS NULL), SUM(active = 0 OR removed IS NOT NULL) FROM people WHERE source = $1 GROUP BY source",
        )
        .bind(&source)
        .fetch_optional(&mut *tx)
        .await
        .map_err(reading())?;
        let Some(known) = counted.map(one) else { return Ok(None) };
        let refused: Vec<String> = sqlx::query_scalar(
            "SELECT user_name FROM people WHERE source = $1 AND (active = 0 OR removed IS NOT NULL) ORDER BY user_key",
        )
        .bind(&source)
        .fetch_all(&mut *tx)
        .await
        .map_err(reading())?;
        let mut revoked = Vec::new();
        for user in &refused {
            let reason = "the directory that had disabled the user was forgotten";
            revoked.extend(tokens::revoke_all_of(&mut tx, user, by, reason, now).await?);
        }
        drop_people(&mut tx, &source).await?;
        let detail = format!("{} people, {} of them disabled or removed", known.people, known.refused);
        acts::write(&mut tx, Doing { by, what: "directory.forgotten", subject: name, detail }, now).await?;
        tx.commit().await?;
        self.tell_revoked(&revoked);
        self.hear_of_people().await;
        Ok(Some(known))
    }
}

async fn drop_people(tx: &mut SqliteConnection, source: &str) -> Result<(), StoreError> {
    sqlx::query(
        "UPDATE counters SET value = value + 1 WHERE name = 'people';
         INSERT INTO people_changes (user_key, changed)
         SELECT user_key, (SELECT value FROM counters WHERE name = 'people') FROM people WHERE source = $1
         ON CONFLICT (user_key) DO UPDATE SET changed = excluded.changed;
         DELETE FROM people WHERE source = $1;
         DELETE FROM people_groups WHERE source = $1",
    )
    .bind(source)
    .execute(&mut *tx)
    .await
    .map_err(writing())?;
    Ok(())
}

fn one((source, people, refused): (String, i64, i64)) -> DirectoryPeople {
    let number = |n: i64| usize::try_from(n).unwrap_or_default();
    let directory = source.strip_prefix("scim:").unwrap_or(&source).to_owned();
    DirectoryPeople { directory, people: number(people), refused: number(refused) }
}
