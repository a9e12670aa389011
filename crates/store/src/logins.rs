//! Logins: that a person proved who they are, by a provider, at a time, and what was made of it. Tokens and browser sessions
//! carry the login's id, and end with it.

use crate::acts::{self, Doing};
use crate::error::StoreError;
use crate::keys::{is_random_id, random_id};
use crate::store::Store;
use crate::tokens::{TokenState, decode_chain, decode_names, encode_chain, encode_names, next_change, page};
use lockgate_core::{IdentityKind, Principal, Secret, Timestamp, limits};
use sqlx::sqlite::SqliteRow;
use sqlx::{QueryBuilder, Row as _, Sqlite, SqliteConnection};
use std::collections::BTreeSet;

/// What the key of refresh tokens is for.
const REFRESH: &str = "refresh tokens";

/// A proof of identity, about to become a login.
#[derive(Clone)]
pub struct NewLogin {
    /// The provider's name in the configuration; `local` for local users.
    pub provider: String,
    /// The provider's own name for itself.
    pub issuer: String,
    /// The provider's unchanging name for the person.
    pub subject: String,
    /// The user name.
    pub user: String,
    /// The groups.
    pub groups: BTreeSet<String>,
    /// Person, service or agent.
    pub kind: IdentityKind,
    /// Whom it acts for, nearest first.
    pub on_behalf_of: Vec<Principal>,
    /// The address it came from.
    pub source: String,
    /// When it stops to count.
    pub expires: Timestamp,
    /// What a fresh proof can be had with. It is kept sealed.
    pub refresh_token: Option<Secret>,
}

/// What is known of a login.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoginInfo {
    /// Its id.
    pub id: String,
    /// The provider's name in the configuration; `local` for local users.
    pub provider: String,
    /// The provider's own name for itself.
    pub issuer: String,
    /// The provider's unchanging name for the person.
    pub subject: String,
    /// The user name.
    pub user: String,
    /// The groups, as last heard.
    pub groups: BTreeSet<String>,
    /// Person, service or agent.
    pub kind: IdentityKind,
    /// Whom it acts for, nearest first.
    pub on_behalf_of: Vec<Principal>,
    /// The address it came from.
    pub source: String,
    /// When it was made.
    pub created: Timestamp,
    /// When it stops to count.
    pub expires: Timestamp,
    /// When the provider last said that it holds.
    pub judged: Timestamp,
    /// When it was ended, where it was.
    pub ended: Option<Timestamp>,
    /// Why.
    pub end_reason: Option<String>,
    /// Whether a fresh proof can be had.
    pub refreshable: bool,
}

/// Which logins to list.
#[derive(Clone, Debug, Default)]
pub struct LoginFilter {
    /// Only this user's.
    pub user: Option<String>,
    /// Only this provider's.
    pub provider: Option<String>,
    /// Only those that count at this time.
    pub live_at: Option<Timestamp>,
    /// Only those that were last judged before this time, the longest ago first.
    pub judged_before: Option<Timestamp>,
    /// Only those about which somebody can be asked: the provider that gave a refresh token, or the list of local users.
    pub askable: bool,
    /// Only those with an id after this one, for the next page.
    pub after: Option<String>,
    /// At most so many ([`limits::LIST_PAGE_MAX`] at most; 0 means that).
    pub limit: usize,
}

impl LoginInfo {
    /// Whether it counts at `now`.
    pub fn is_live(&self, now: Timestamp) -> bool {
        self.ended.is_none() && self.expires > now && self.created.millis_since(now) <= limits::TOKEN_EARLY_MS_MAX
    }
}

impl Store {
    /// What is known of one login.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn login(&self, id: &str) -> Result<Option<LoginInfo>, StoreError> {
        if !is_random_id(id) {
            return Ok(None);
        }
        let row = sqlx::query("SELECT * FROM login WHERE id = $1")
            .bind(id)
            .fetch_optional(&self.inner.read)
            .await
            .map_err(StoreError::doing("read a login"))?;
        row.as_ref().map(decode).transpose()
    }

    /// Logins in the order of their ids, or of their last judgement.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn logins(&self, filter: &LoginFilter) -> Result<Vec<LoginInfo>, StoreError> {
        let mut query = QueryBuilder::<Sqlite>::new("SELECT * FROM login WHERE 1 = 1");
        if let Some(user) = &filter.user {
            query.push(" AND user_name = ").push_bind(user.clone());
        }
        if let Some(provider) = &filter.provider {
            query.push(" AND provider = ").push_bind(provider.clone());
        }
        if let Some(at) = filter.live_at {
            query.push(" AND ended IS NULL AND expires > ").push_bind(at.millis());
        }
        if let Some(before) = filter.judged_before {
            query.push(" AND judged < ").push_bind(before.millis());
        }
        if filter.askable {
            query.push(" AND (refresh_token IS NOT NULL OR provider = ").push_bind(crate::people::LOCAL).push(")");
        }
        if let Some(after) = &filter.after {
            query.push(" AND id > ").push_bind(after.clone());
        }
        query.push(if filter.judged_before.is_some() { " ORDER BY judged" } else { " ORDER BY id" });
        query.push(" LIMIT ").push_bind(page(filter.limit));
        let rows = query.build().fetch_all(&self.inner.read).await.map_err(StoreError::doing("list logins"))?;
        rows.iter().map(decode).collect()
    }

    /// What a fresh proof for this login can be had with, where the provider gave it and the login counts.
    ///
    /// # Errors
    /// When the store cannot be read, or what it holds was not sealed here.
    pub async fn login_refresh_token(&self, id: &str) -> Result<Option<Secret>, StoreError> {
        let sealed: Option<Option<String>> =
            sqlx::query_scalar("SELECT refresh_token FROM login WHERE id = $1 AND ended IS NULL")
                .bind(id)
                .fetch_optional(&self.inner.read)
                .await
                .map_err(StoreError::doing("read a login"))?;
        let Some(sealed) = sealed.flatten() else { return Ok(None) };
        let opened = self.keys().open(REFRESH, id, &sealed);
        let text = opened.and_then(|bytes| std::str::from_utf8(&bytes).ok().map(str::to_owned));
        let text = text.ok_or_else(|| StoreError::Row(format!("`refresh_token` of login `{id}`")))?;
        Ok(Some(Secret::new(text)))
    }

    /// Notes that a login was judged again and holds: the groups as they are now, in its tokens too, and the refresh token where
    /// there is a new one. Whether it still counted.
    ///
    /// # Errors
    /// When the store cannot be written.
    pub async fn judged_login(
        &self,
        id: &str,
        groups: &BTreeSet<String>,
        refresh_token: Option<&Secret>,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let doing = || StoreError::doing("note the judgement of a login");
        let sealed = refresh_token.map(|token| self.keys().seal(REFRESH, id, token.expose().as_bytes())).transpose()?;
        let groups = encode_names(groups);
        let mut tx = self.inner.write.begin_with("BEGIN IMMEDIATE").await.map_err(doing())?;
        let noted = sqlx::query(
            "UPDATE login SET judged = $1, group_names = $2, refresh_token = COALESCE($3, refresh_token)
             WHERE id = $4 AND ended IS NULL",
        )
        .bind(now.millis())
        .bind(&groups)
        .bind(sealed)
        .bind(id)
        .execute(&mut *tx)
        .await
        .map_err(doing())?;
        if noted.rows_affected() == 0 {
            return Ok(false);
        }
        // A change only where there is one: whoever watches tokens looks at each that changed.
        let stale: i64 = sqlx::query_scalar(
            "SELECT COUNT(*) FROM tokens WHERE login_id = $1 AND revoked_at IS NULL AND group_names <> $2",
        )
        .bind(id)
        .bind(&groups)
        .fetch_one(&mut *tx)
        .await
        .map_err(doing())?;
        if stale > 0 {
            let changed = next_change(&mut tx).await?;
            sqlx::query("UPDATE tokens SET group_names = $1, changed = $2 WHERE login_id = $3 AND revoked_at IS NULL")
                .bind(&groups)
                .bind(changed)
                .bind(id)
                .execute(&mut *tx)
                .await
                .map_err(doing())?;
        }
        tx.commit().await.map_err(doing())?;
        Ok(true)
    }

    /// Ends a login: its tokens are revoked, its browser sessions gone, what it was refreshed with forgotten. `None` when there
    /// is none; one that was ended before keeps its time and reason.
    ///
    /// # Errors
    /// When the store cannot be written: it still counts.
    pub async fn end_login(&self, id: &str, reason: &str, now: Timestamp) -> Result<Option<LoginInfo>, StoreError> {
        if !is_random_id(id) {
            return Ok(None);
        }
        let doing = || StoreError::doing("end a login");
        let mut tx = self.inner.write.begin_with("BEGIN IMMEDIATE").await.map_err(doing())?;
        let tokens = end(&mut tx, id, reason, now).await?;
        tx.commit().await.map_err(doing())?;
        self.tell_revoked(&tokens);
        self.login(id).await
    }

    /// Tells the live sessions of this process at once; those of others find out at their next look.
    pub(crate) fn tell_revoked(&self, tokens: &[String]) {
        for token in tokens {
            self.inner.watch.mark(token, TokenState::Revoked);
        }
    }
}

/// Writes a new login inside the caller's write transaction. Yields the tokens of an older one that had to give way.
pub(crate) async fn insert(
    tx: &mut SqliteConnection,
    store: &Store,
    new: NewLogin,
    now: Timestamp,
) -> Result<(LoginInfo, Vec<String>), StoreError> {
    let doing = || StoreError::doing("write a login");
    let id = random_id()?;
    let sealed = new.refresh_token.as_ref().map(|token| store.keys().seal(REFRESH, &id, token.expose().as_bytes()));
    let info = LoginInfo {
        provider: new.provider,
        issuer: new.issuer,
        subject: new.subject,
        user: new.user,
        groups: new.groups,
        kind: new.kind,
        on_behalf_of: new.on_behalf_of,
        source: new.source,
        created: now,
        expires: new.expires,
        judged: now,
        ended: None,
        end_reason: None,
        refreshable: sealed.is_some(),
        id,
    };
    sqlx::query("DELETE FROM login WHERE expires < $1")
        .bind(now.plus_millis(-limits::LOGIN_KEPT_MS).millis())
        .execute(&mut *tx)
        .await
        .map_err(doing())?;
    let room = i64::try_from(limits::LOGINS_PER_USER_MAX).unwrap_or(i64::MAX).saturating_sub(1);
    let surplus: Vec<String> = sqlx::query_scalar(
        "SELECT id FROM login WHERE user_name = $1 AND ended IS NULL AND expires > $2
         ORDER BY created DESC, id DESC LIMIT 1000 OFFSET $3",
    )
    .bind(&info.user)
    .bind(now.millis())
    .bind(room)
    .fetch_all(&mut *tx)
    .await
    .map_err(doing())?;
    let mut revoked = Vec::new();
    for old in surplus {
        revoked.extend(end(tx, &old, "the user has too many logins", now).await?);
    }
    sqlx::query(
        "INSERT INTO login (id, provider, issuer, subject, user_name, group_names, kind, on_behalf_of, source, created,
                            expires, judged, refresh_token)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)",
    )
    .bind(&info.id)
    .bind(&info.provider)
    .bind(&info.issuer)
    .bind(&info.subject)
    .bind(&info.user)
    .bind(encode_names(&info.groups))
    .bind(info.kind.name())
    .bind(encode_chain(&info.on_behalf_of))
    .bind(&info.source)
    .bind(info.created.millis())
    .bind(info.expires.millis())
    .bind(info.judged.millis())
    .bind(sealed.transpose()?)
    .execute(&mut *tx)
    .await
    .map_err(doing())?;
    let detail = format!("by `{}` from {}, login {}", info.provider, info.source, info.id);
    acts::write(tx, Doing { by: &info.user, what: "login.created", subject: &info.user, detail }, now).await?;
    Ok((info, revoked))
}

/// Ends a login inside the caller's write transaction, and yields the tokens that went with it.
async fn end(tx: &mut SqliteConnection, id: &str, reason: &str, now: Timestamp) -> Result<Vec<String>, StoreError> {
    let doing = || StoreError::doing("end a login");
    let user: Option<String> = sqlx::query_scalar(
        "UPDATE login SET ended = $1, end_reason = $2, refresh_token = NULL WHERE id = $3 AND ended IS NULL
         RETURNING user_name",
    )
    .bind(now.millis())
    .bind(reason)
    .bind(id)
    .fetch_optional(&mut *tx)
    .await
    .map_err(doing())?;
    if let Some(user) = user {
        let detail = format!("login {id}, with its tokens: {reason}");
        acts::write(tx, Doing { by: "the gateway", what: "login.ended", subject: &user, detail }, now).await?;
    }
    sqlx::query("DELETE FROM browser_session WHERE login_id = $1").bind(id).execute(&mut *tx).await.map_err(doing())?;
    let changed = next_change(tx).await?;
    sqlx::query_scalar(
        "UPDATE tokens SET revoked_at = $1, changed = $2 WHERE login_id = $3 AND revoked_at IS NULL RETURNING id",
    )
    .bind(now.millis())
    .bind(changed)
    .bind(id)
    .fetch_all(&mut *tx)
    .await
    .map_err(doing())
}

/// A login inside the caller's transaction.
pub(crate) async fn read(tx: &mut SqliteConnection, id: &str) -> Result<Option<LoginInfo>, StoreError> {
    let row = sqlx::query("SELECT * FROM login WHERE id = $1")
        .bind(id)
        .fetch_optional(&mut *tx)
        .await
        .map_err(StoreError::doing("read a login"))?;
    row.as_ref().map(decode).transpose()
}

pub(crate) fn decode(row: &SqliteRow) -> Result<LoginInfo, StoreError> {
    let column = || StoreError::doing("read a login");
    let id: String = row.try_get("id").map_err(column())?;
    let broken = |what: &str| StoreError::Row(format!("`{what}` of login `{id}`"));
    let kind: String = row.try_get("kind").map_err(column())?;
    let groups: String = row.try_get("group_names").map_err(column())?;
    let chain: String = row.try_get("on_behalf_of").map_err(column())?;
    let time = |name: &'static str| row.try_get::<i64, _>(name).map(Timestamp::from_millis).map_err(column());
    Ok(LoginInfo {
        provider: row.try_get("provider").map_err(column())?,
        issuer: row.try_get("issuer").map_err(column())?,
        subject: row.try_get("subject").map_err(column())?,
        user: row.try_get("user_name").map_err(column())?,
        groups: decode_names(&groups).ok_or_else(|| broken("groups"))?,
        kind: IdentityKind::from_name(&kind).ok_or_else(|| broken("kind"))?,
        on_behalf_of: decode_chain(&chain).ok_or_else(|| broken("on_behalf_of"))?,
        source: row.try_get("source").map_err(column())?,
        created: time("created")?,
        expires: time("expires")?,
        judged: time("judged")?,
        ended: row.try_get::<Option<i64>, _>("ended").map_err(column())?.map(Timestamp::from_millis),
        end_reason: row.try_get("end_reason").map_err(column())?,
        refreshable: row.try_get::<Option<String>, _>("refresh_token").map_err(column())?.is_some(),
        id,
    })
}

/// Ends every login of a user inside the caller's write transaction, which has dealt with the tokens.
pub(crate) async fn end_all_of(
    tx: &mut SqliteConnection,
    user: &str,
    reason: &str,
    now: Timestamp,
) -> Result<(), StoreError> {
    let ids: Vec<String> = sqlx::query_scalar("SELECT id FROM login WHERE user_name = $1 AND ended IS NULL")
        .bind(user)
        .fetch_all(&mut *tx)
        .await
        .map_err(StoreError::doing("read a user's logins"))?;
    for id in ids {
        end(tx, &id, reason, now).await?;
    }
    Ok(())
}
