//! Whom agents act for, as far as tokens tell: in which groups, and until when.
//!
//! A token that says whom it is used for may leave out that person's groups. Where a directory knows the person, the directory
//! has them. Where only tokens do, they are those that all of the person's own tokens are in. Where nobody knows the person, whoever
//! makes the token vouches for it as a whole: it has its own groups, and the person no others.

use crate::acts;
use crate::error::StoreError;
use crate::people;
use crate::store::Store;
use crate::tokens::{NewToken, TokenInfo, decode, next_change, revocation};
use lockgate_core::{IdentityKind, Timestamp};
use sqlx::SqliteConnection;

impl Store {
    /// Fills in the groups of those whom a new token is used for.
    pub(crate) async fn with_principals(&self, mut new: NewToken, now: Timestamp) -> Result<NewToken, StoreError> {
        for party in new.on_behalf_of.iter_mut().filter(|party| party.groups.is_none()) {
            let records = self.standing(&party.user).await?.records;
            if records.iter().any(|record| !record.removed) {
                continue;
            }
            if !records.is_empty() {
                return Err(StoreError::Refused(format!("`{}` was removed by the directory", party.user)));
            }
            let mut connection = self.inner.read.acquire().await.map_err(StoreError::doing("read tokens"))?;
            let own = own_tokens(&mut connection, &party.user, now).await?;
            let common = own.into_iter().map(|token| token.groups).reduce(|a, b| &a & &b);
            party.groups = Some(common.unwrap_or_else(|| new.groups.clone()));
        }
        Ok(new)
    }
}

/// Takes back the tokens of those who act for the owner of a token that was just taken back, if that was the owner's last: a
/// person who is left with none has nothing that an agent could have in common with them. A login that ends is no such thing, nor
/// is one whose owner a directory knows: the directory says when the person is out.
pub(crate) async fn revoke_agents_of_last(
    tx: &mut SqliteConnection,
    id: &str,
    by: &str,
    now: Timestamp,
) -> Result<Vec<String>, StoreError> {
    let doing = || StoreError::doing("revoke a token");
    let row =
        sqlx::query("SELECT * FROM tokens WHERE id = $1").bind(id).fetch_optional(&mut *tx).await.map_err(doing())?;
    let Some(revoked) = row.as_ref().map(decode).transpose()?.map(|row| row.info) else { return Ok(Vec::new()) };
    if !is_own(&revoked) || revoked.login.is_some() || !own_tokens(tx, &revoked.user, now).await?.is_empty() {
        return Ok(Vec::new());
    }
    let known: i64 = sqlx::query_scalar("SELECT COUNT(*) FROM people WHERE user_key = $1 AND removed IS NULL")
        .bind(people::key(&revoked.user))
        .fetch_one(&mut *tx)
        .await
        .map_err(doing())?;
    if known > 0 {
        return Ok(Vec::new());
    }
    let rows = sqlx::query("SELECT * FROM tokens WHERE revoked_at IS NULL AND expires > $1 AND on_behalf_of <> '[]'")
        .bind(now.millis())
        .fetch_all(&mut *tx)
        .await
        .map_err(doing())?;
    let mut agents = Vec::new();
    for row in &rows {
        let info = decode(row)?.info;
        if info.on_behalf_of.iter().any(|party| party.user == revoked.user) {
            agents.push(info.id);
        }
    }
    for agent in &agents {
        let changed = next_change(tx).await?;
        sqlx::query("UPDATE tokens SET revoked_at = $1, changed = $2 WHERE id = $3")
            .bind(now.millis())
            .bind(changed)
            .bind(agent)
            .execute(&mut *tx)
            .await
            .map_err(doing())?;
        acts::write(tx, revocation(agent, by), now).await?;
    }
    Ok(agents)
}

/// A person's own tokens that count.
async fn own_tokens(
    connection: &mut SqliteConnection,
    user: &str,
    now: Timestamp,
) -> Result<Vec<TokenInfo>, StoreError> {
    let rows = sqlx::query("SELECT * FROM tokens WHERE user_name = $1 AND revoked_at IS NULL AND expires > $2")
        .bind(user)
        .bind(now.millis())
        .fetch_all(connection)
        .await
        .map_err(StoreError::doing("read tokens"))?;
    let infos: Vec<TokenInfo> = rows.iter().map(|row| decode(row).map(|row| row.info)).collect::<Result<_, _>>()?;
    Ok(infos.into_iter().filter(is_own).collect())
}

fn is_own(token: &TokenInfo) -> bool {
    token.on_behalf_of.is_empty() && token.kind != IdentityKind::Agent
}
