//! People of whom an identity provider said, when it was asked again, that they count no more.
//!
//! Such a no is about one login, and it may mean no more than that a session at the provider is over. So the person's other logins
//! there are asked about first; where none is left that could say yes, nobody of that name may do anything, nor may who acts for
//! them, until the provider vouches for them anew. Nothing is revoked for good: who signs in again has what they had.

use super::{key, note_change, reading, writing};
use crate::acts::{self, Doing};
use crate::error::StoreError;
use crate::logins::{self, GATEWAY, LoginInfo};
use crate::store::Store;
use lockgate_core::{Timestamp, is_same_name, name_key};
use sqlx::SqliteConnection;

/// A provider's no to a person.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Suspension {
    /// The provider's name in the configuration.
    pub provider: String,
    /// The provider's own name for itself.
    pub issuer: String,
    /// The name as the provider wrote it.
    pub user: String,
    /// Since when.
    pub since: Timestamp,
}

impl Store {
    /// Ends a login of which its provider said that it holds no more. Where the person has others there that can be asked about,
    /// these are made due, by the time of their last judgement; where not, the person is suspended. Whether that is so. A login that
    /// ended while its provider was asked is no reason: what it was asked with was given back.
    ///
    /// # Errors
    /// When the store cannot be written: nothing has changed.
    pub async fn refuse_login(
        &self,
        login: &LoginInfo,
        why: &str,
        due: Timestamp,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let mut tx = self.change("end a login").await?;
        if logins::read(&mut tx, &login.id).await?.is_none_or(|now| now.ended.is_some()) {
            return Ok(false);
        }
        let tokens = logins::end(&mut tx, &login.id, GATEWAY, why, now).await?;
        let suspended = !ask_about_others(&mut tx, login, due, now).await?;
        if suspended {
            sqlx::query(
                "INSERT INTO suspended (provider, user_key, issuer, user_name, since) VALUES ($1, $2, $3, $4, $5)
                 ON CONFLICT (provider, user_key) DO UPDATE SET issuer = excluded.issuer, user_name = excluded.user_name,
                                                                since = excluded.since",
            )
            .bind(&login.provider)
            .bind(key(&login.user))
            .bind(&login.issuer)
            .bind(&login.user)
            .bind(now.millis())
            .execute(&mut *tx)
            .await
            .map_err(writing())?;
            note_change(&mut tx, &[key(&login.user)]).await?;
            let detail = format!("by `{}`, until it vouches for them again: {why}", login.provider);
            acts::write(&mut tx, Doing { by: GATEWAY, what: "user.suspended", subject: &login.user, detail }, now)
                .await?;
        }
        tx.commit().await?;
        // First who it is that may do nothing, then what went with the login: the reason is told once.
        self.hear_of_people().await;
        self.tell_revoked(&tokens);
        Ok(suspended)
    }

    /// Lets somebody whom a provider refused be somebody again, because it has vouched for them since. Whether it had refused them.
    ///
    /// # Errors
    /// When the store cannot be written: they are still refused.
    pub async fn lift_suspension(
        &self,
        provider: &str,
        issuer: &str,
        user: &str,
        by: &str,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let mut tx = self.change("let a user in again").await?;
        let lifted = sqlx::query("DELETE FROM suspended WHERE provider = $1 AND issuer = $2 AND user_key = $3")
            .bind(provider)
            .bind(issuer)
            .bind(key(user))
            .execute(&mut *tx)
            .await
            .map_err(writing())?;
        if lifted.rows_affected() == 0 {
            return Ok(false);
        }
        note_change(&mut tx, &[key(user)]).await?;
        let detail = format!("by `{provider}`");
        acts::write(&mut tx, Doing { by, what: "user.resumed", subject: user, detail }, now).await?;
        tx.commit().await?;
        self.hear_of_people().await;
        Ok(true)
    }

    /// Everybody whom a provider refused.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn suspensions(&self) -> Result<Vec<Suspension>, StoreError> {
        let rows: Vec<(String, String, String, i64)> =
            sqlx::query_as("SELECT provider, issuer, user_name, since FROM suspended ORDER BY provider, user_key")
                .fetch_all(&self.inner.read)
                .await
                .map_err(reading())?;
        let one = |(provider, issuer, user, since)| Suspension {
            provider,
            issuer,
            user,
            since: Timestamp::from_millis(since),
        };
        Ok(rows.into_iter().map(one).collect())
    }
}

/// Has the person's other logins at the same provider asked about at once. Whether there are any.
async fn ask_about_others(
    tx: &mut SqliteConnection,
    refused: &LoginInfo,
    due: Timestamp,
    now: Timestamp,
) -> Result<bool, StoreError> {
    // The names that could be another spelling; which of them are is seen below.
    let others: Vec<(String, String)> = sqlx::query_as(
        "SELECT id, user_name FROM login
         WHERE ended IS NULL AND expires > $1 AND refresh_token IS NOT NULL AND provider = $2 AND issuer = $3
           AND (user_name = $4 COLLATE NOCASE OR user_name GLOB '*[^ -~]*')",
    )
    .bind(now.millis())
    .bind(&refused.provider)
    .bind(&refused.issuer)
    .bind(name_key(&refused.user))
    .fetch_all(&mut *tx)
    .await
    .map_err(reading())?;
    let mut are_there = false;
    for (id, _) in others.iter().filter(|(_, user)| is_same_name(user, &refused.user)) {
        are_there = true;
        sqlx::query("UPDATE login SET judged = $1 WHERE id = $2 AND judged > $1")
            .bind(due.millis())
            .bind(id)
            .execute(&mut *tx)
            .await
            .map_err(writing())?;
    }
    Ok(are_there)
}
