//! Browsers that are signed in. A browser holds a random secret in a cookie; here is only its hash.

use crate::error::StoreError;
use crate::keys::random;
use crate::logins::{self, LoginInfo, NewLogin};
use crate::store::Store;
use crate::tokens::secret_hash;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use lockgate_core::{Secret, Timestamp};

/// The length of a browser's secret as text.
const SECRET_CHARS: usize = 43;

impl Store {
    /// Makes a login and signs a browser in with it. The secret is always a new one, so that nobody can have planted it; the one
    /// that the browser had before is good for nothing any more.
    ///
    /// # Errors
    /// When the store cannot be written.
    pub async fn sign_in(
        &self,
        new: NewLogin,
        before: Option<&str>,
        now: Timestamp,
    ) -> Result<(Secret, LoginInfo), StoreError> {
        let doing = || StoreError::doing("sign a browser in");
        let secret = Secret::new(URL_SAFE_NO_PAD.encode(random::<32>()?));
        let mut tx = self.change("sign a browser in").await?;
        let (login, revoked) = logins::insert(&mut tx, self, new, now).await?;
        sqlx::query(
            "DELETE FROM browser_session WHERE expires <= $1;
             DELETE FROM browser_session WHERE secret_hash = $2;
             INSERT INTO browser_session (secret_hash, login_id, created, expires) VALUES ($3, $4, $1, $5)",
        )
        .bind(now.millis())
        .bind(before.map(secret_hash).unwrap_or_default())
        .bind(secret_hash(secret.expose()))
        .bind(&login.id)
        .bind(login.expires.millis())
        .execute(&mut *tx)
        .await
        .map_err(doing())?;
        tx.commit().await?;
        self.tell_revoked(&revoked);
        Ok((secret, login))
    }

    /// The login of the browser with this secret, if it counts.
    ///
    /// # Errors
    /// When the store cannot be read: treat as not signed in.
    pub async fn browser_login(&self, secret: &str, now: Timestamp) -> Result<Option<LoginInfo>, StoreError> {
        if secret.len() != SECRET_CHARS {
            return Ok(None);
        }
        let row = sqlx::query(
            "SELECT login.* FROM login JOIN browser_session ON browser_session.login_id = login.id
             WHERE browser_session.secret_hash = $1 AND browser_session.expires > $2",
        )
        .bind(secret_hash(secret))
        .bind(now.millis())
        .fetch_optional(&self.inner.read)
        .await
        .map_err(StoreError::doing("look for a browser's login"))?;
        let login = row.as_ref().map(logins::decode).transpose()?;
        Ok(login.filter(|login| login.is_live(now)))
    }

    /// Signs a browser out. Its login goes on for the tokens that it made.
    ///
    /// # Errors
    /// When the store cannot be written: it is still signed in.
    pub async fn sign_out(&self, secret: &str) -> Result<(), StoreError> {
        let mut tx = self.change("sign a browser out").await?;
        sqlx::query("DELETE FROM browser_session WHERE secret_hash = $1")
            .bind(secret_hash(secret))
            .execute(&mut *tx)
            .await
            .map_err(StoreError::doing("sign a browser out"))?;
        tx.commit().await
    }
}
