//! Whom agents act for, as far as tokens tell: in which groups, and until when.
//!
//! A token that says whom it is used for may leave out that person's groups. Where a directory knows the person, the directory
//! has them. Where only tokens do, they are those that all of the person's own tokens are in, and targets and actions that none of
//! these tokens is for are not for the agent either. Where nobody knows the person, whoever makes the token vouches for it as a
//! whole: it has its own groups, and the person no others.

use crate::acts;
use crate::error::StoreError;
use crate::people;
use crate::store::Store;
use crate::tokens::{NewToken, TokenInfo, decode, next_change, revocation};
use lockgate_core::{IdentityKind, Timestamp, is_same_name};
use sqlx::SqliteConnection;
use std::collections::BTreeSet;

impl Store {
    /// Fills in the groups of those whom a new token is used for, and narrows it to what their own tokens are for.
    pub(crate) async fn with_principals(&self, mut new: NewToken, now: Timestamp) -> Result<NewToken, StoreError> {
        let NewToken { on_behalf_of, targets, actions, groups, .. } = &mut new;
        for party in on_behalf_of {
            let records = self.account(&party.user).await?.records;
            if records.iter().any(|record| !record.removed) {
                continue;
            }
            if party.groups.is_none() && !records.is_empty() {
                return Err(StoreError::Refused(format!("`{}` was removed by the directory", party.user)));
            }
            let mut connection = self.inner.read.acquire().await.map_err(StoreError::doing("read tokens"))?;
            let own = own_tokens(&mut connection, &party.user, now).await?;
            // Who can log in is not held to what some tokens are for.
            if !own.is_empty() && own.iter().all(|token| token.login.is_none()) {
                narrow(targets, own.iter().map(|token| token.targets.as_ref()), "targets", &party.user)?;
                narrow(actions, own.iter().map(|token| token.actions.as_ref()), "actions", &party.user)?;
            }
            if party.groups.is_none() {
                let common = own.into_iter().map(|token| token.groups).reduce(|a, b| &a & &b);
                party.groups = Some(common.unwrap_or_else(|| groups.clone()));
            }
        }
        Ok(new)
    }
}

/// Takes from a scope what none of a person's own tokens is for.
fn narrow<'a, T: Ord + Clone + 'a>(
    scope: &mut Option<BTreeSet<T>>,
    own: impl Iterator<Item = Option<&'a BTreeSet<T>>>,
    what: &str,
    user: &str,
) -> Result<(), StoreError> {
    let Some(theirs) = own.collect::<Option<Vec<_>>>() else { return Ok(()) };
    let theirs: BTreeSet<T> = theirs.into_iter().flatten().cloned().collect();
    let both = match scope.take() {
        Some(named) => &named & &theirs,
        None => theirs,
    };
    if both.is_empty() {
        return Err(StoreError::Refused(format!("the tokens of `{user}` are for other {what}")));
    }
    *scope = Some(both);
    Ok(())
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
        if info.on_behalf_of.iter().any(|party| is_same_name(&party.user, &revoked.user)) {
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
    let doing = || StoreError::doing("read tokens");
    let owners: Vec<String> =
        sqlx::query_scalar("SELECT DISTINCT user_name FROM tokens WHERE revoked_at IS NULL AND expires > $1")
            .bind(now.millis())
            .fetch_all(&mut *connection)
            .await
            .map_err(doing())?;
    let mut own = Vec::new();
    for owner in owners.into_iter().filter(|owner| is_same_name(owner, user)) {
        let rows = sqlx::query("SELECT * FROM tokens WHERE user_name = $1 AND revoked_at IS NULL AND expires > $2")
            .bind(owner)
            .bind(now.millis())
            .fetch_all(&mut *connection)
            .await
            .map_err(doing())?;
        let infos: Vec<TokenInfo> = rows.iter().map(|row| decode(row).map(|row| row.info)).collect::<Result<_, _>>()?;
        own.extend(infos.into_iter().filter(is_own));
    }
    Ok(own)
}

fn is_own(token: &TokenInfo) -> bool {
    token.on_behalf_of.is_empty() && token.kind != IdentityKind::Agent
}
