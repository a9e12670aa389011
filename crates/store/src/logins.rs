//! Logins: that a person proved who they are, by a provider, at a time, and what was made of it. Tokens and browser sessions
//! carry the login's id, and end with it.

use crate::acts::{self, Doing};
use crate::error::StoreError;
use crate::keys::{is_random_id, random_id};
use crate::store::Store;
use crate::tokens::{TokenState, decode_chain, decode_names, encode_chain, encode_names, next_change, page};
use lockgate_core::{Identity, IdentityKind, Principal, Secret, Timestamp, is_same_name, limits, name_key};
use sqlx::sqlite::SqliteRow;
use sqlx::{QueryBuilder, Row as _, Sqlite, SqliteConnection};
use std::collections::BTreeSet;

/// Who ends a login that nobody ended.
pub const GATEWAY: &str = "the gateway";

/// Spellings of one name that are looked for, besides the one that is asked for.
const SPELLINGS_MAX: usize = 1_000;

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

impl NewLogin {
    /// Who was proven.
    pub fn identity(&self) -> Identity {
        Identity {
            user: self.user.clone(),
            groups: self.groups.clone(),
            directories: Vec::new(),
            kind: self.kind,
            on_behalf_of: self.on_behalf_of.clone(),
            token_id: None,
            actions: None,
        }
    }
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
    /// Only this user's, however the name is spelt.
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

/// Whether a login counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum LoginState {
    /// It does.
    Live,
    /// Its time is over.
    Expired,
    /// It was made in the future: the clock is wrong, and nobody can tell how long it would count.
    Early,
    /// It was ended.
    Ended,
}

impl LoginState {
    /// The word for it.
    pub const fn name(self) -> &'static str {
        match self {
            LoginState::Live => "live",
            LoginState::Expired => "expired",
            LoginState::Early => "early",
            LoginState::Ended => "ended",
        }
    }
}

impl LoginInfo {
    /// Who it proved, as last judged; what directories add is for others to say.
    pub fn identity(&self) -> Identity {
        Identity {
            user: self.user.clone(),
            groups: self.groups.clone(),
            directories: Vec::new(),
            kind: self.kind,
            on_behalf_of: self.on_behalf_of.clone(),
            token_id: None,
            actions: None,
        }
    }

    /// Where it stands at `now`.
    pub fn state(&self, now: Timestamp) -> LoginState {
        if self.ended.is_some() {
            LoginState::Ended
        } else if self.expires <= now {
            LoginState::Expired
        } else if self.created.millis_since(now) > limits::TOKEN_EARLY_MS_MAX {
            LoginState::Early
        } else {
            LoginState::Live
        }
    }

    /// Whether it counts at `now`.
    pub fn is_live(&self, now: Timestamp) -> bool {
        self.state(now) == LoginState::Live
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
            query.push(" AND user_name IN (");
            let mut names = query.separated(", ");
            names.push_bind(user.clone());
            for name in self.spellings_in_logins(user).await? {
                names.push_bind(name);
            }
            names.push_unseparated(")");
        }
        if let Some(provider) = &filter.provider {
            query.push(" AND provider = ").push_bind(provider.clone());
        }
        if let Some(at) = filter.live_at {
            query.push(" AND ended IS NULL AND expires > ").push_bind(at.millis());
        }
        if let Some(before) = filter.judged_before {
            query.push(" AND (judged < ").push_bind(before.millis());
            // One that was judged in the future was judged by a wrong clock.
            if let Some(at) = filter.live_at {
                query.push(" OR judged > ").push_bind(at.millis());
            }
            query.push(")");
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

    /// The other spellings of a name that somebody has logged in with.
    async fn spellings_in_logins(&self, user: &str) -> Result<Vec<String>, StoreError> {
        // The names that could be one; which of them are is seen below.
        let names: Vec<String> = sqlx::query_scalar(
            "SELECT DISTINCT user_name FROM login WHERE user_name = $1 COLLATE NOCASE OR user_name GLOB '*[^ -~]*'",
        )
        .bind(name_key(user))
        .fetch_all(&self.inner.read)
        .await
        .map_err(StoreError::doing("list logins"))?;
        Ok(names.into_iter().filter(|name| name != user && is_same_name(name, user)).take(SPELLINGS_MAX).collect())
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
        self.open_refresh_token(id, &sealed).map(Some)
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
        let mut tx = self.change("note the judgement of a login").await?;
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
        tx.commit().await?;
        Ok(true)
    }

    /// Ends a login: its tokens are revoked, its browser sessions gone; what it was refreshed with waits to be given back
    /// ([`Store::refresh_tokens_to_give_back`]). `None` when there is none; one that was ended before keeps its time and reason.
    ///
    /// # Errors
    /// When the store cannot be written: it still counts.
    pub async fn end_login(
        &self,
        id: &str,
        by: &str,
        reason: &str,
        now: Timestamp,
    ) -> Result<Option<LoginInfo>, StoreError> {
        if !is_random_id(id) {
            return Ok(None);
        }
        let mut tx = self.change("end a login").await?;
        let tokens = end(&mut tx, id, by, reason, now).await?;
        tx.commit().await?;
        self.tell_revoked(&tokens);
        self.login(id).await
    }

    /// Ends a login of which nothing is left: no token, no browser, nobody who comes for a token. Whether it did.
    ///
    /// # Errors
    /// When the store cannot be written.
    pub async fn end_login_if_idle(&self, id: &str, by: &str, now: Timestamp) -> Result<bool, StoreError> {
        let doing = || StoreError::doing("end a login");
        let mut tx = self.change("end a login").await?;
        let left: i64 = sqlx::query_scalar(
            "SELECT EXISTS (SELECT 1 FROM tokens WHERE login_id = $1 AND revoked_at IS NULL AND expires > $2)
                 OR EXISTS (SELECT 1 FROM browser_session WHERE login_id = $1 AND expires > $2)
                 OR EXISTS (SELECT 1 FROM login_request WHERE login_id = $1 AND state = 'approved' AND expires > $2)",
        )
        .bind(id)
        .bind(now.millis())
        .fetch_one(&mut *tx)
        .await
        .map_err(doing())?;
        if left != 0 {
            return Ok(false);
        }
        end(&mut tx, id, by, "logged out", now).await?;
        tx.commit().await?;
        Ok(true)
    }

    /// Logins that are over and what they were refreshed with, which the provider can take back, in the order of their ends.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn refresh_tokens_to_give_back(
        &self,
        now: Timestamp,
        limit: usize,
    ) -> Result<Vec<(LoginInfo, Option<Secret>)>, StoreError> {
        let rows = sqlx::query(
            "SELECT * FROM login WHERE refresh_token IS NOT NULL AND ended IS NOT NULL
             UNION ALL
             SELECT * FROM login WHERE refresh_token IS NOT NULL AND ended IS NULL AND expires <= $1
             LIMIT $2",
        )
        .bind(now.millis())
        .bind(page(limit))
        .fetch_all(&self.inner.read)
        .await
        .map_err(StoreError::doing("list logins that are over"))?;
        let one = |row: &SqliteRow| {
            let login = decode(row)?;
            let sealed: String = row.try_get("refresh_token").map_err(StoreError::doing("read a login"))?;
            // One that was not sealed here is of no use to anybody.
            let token = self.open_refresh_token(&login.id, &sealed).ok();
            Ok((login, token))
        };
        rows.iter().map(one).collect()
    }

    /// Forgets what a login was refreshed with.
    ///
    /// # Errors
    /// When the store cannot be written.
    pub async fn forget_refresh_token(&self, login: &str) -> Result<(), StoreError> {
        let mut tx = self.change("forget a refresh token").await?;
        sqlx::query("UPDATE login SET refresh_token = NULL WHERE id = $1")
            .bind(login)
            .execute(&mut *tx)
            .await
            .map_err(StoreError::doing("forget a refresh token"))?;
        tx.commit().await
    }

    fn open_refresh_token(&self, login: &str, sealed: &str) -> Result<Secret, StoreError> {
        let opened = self.keys().open(REFRESH, login, sealed);
        let text = opened.and_then(|bytes| std::str::from_utf8(&bytes).ok().map(str::to_owned));
        text.map(Secret::new).ok_or_else(|| StoreError::Row(format!("`refresh_token` of login `{login}`")))
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
    let room = i64::try_from(limits::LOGINS_PER_USER_MAX).unwrap_or(i64::MAX).saturating_sub(1);
    let surplus: Vec<String> = sqlx::query_scalar(
        "DELETE FROM login WHERE expires < $1;
         SELECT id FROM login WHERE user_name = $2 AND ended IS NULL AND expires > $3
         ORDER BY created DESC, id DESC LIMIT 1000 OFFSET $4",
    )
    .bind(now.plus_millis(-limits::LOGIN_KEPT_MS).millis())
    .bind(&info.user)
    .bind(now.millis())
    .bind(room)
    .fetch_all(&mut *tx)
    .await
    .map_err(doing())?;
    let mut revoked = Vec::new();
    for old in surplus {
        revoked.extend(end(tx, &old, GATEWAY, "the user has too many logins", now).await?);
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
pub(crate) async fn end(
    tx: &mut SqliteConnection,
    id: &str,
    by: &str,
    reason: &str,
    now: Timestamp,
) -> Result<Vec<String>, StoreError> {
    let doing = || StoreError::doing("end a login");
    let user: Option<String> = sqlx::query_scalar(
        "UPDATE login SET ended = $1, end_reason = $2 WHERE id = $3 AND ended IS NULL
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
        acts::write(tx, Doing { by, what: "login.ended", subject: &user, detail }, now).await?;
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

/// Ends every login of a user, however the name is spelt, inside the caller's write transaction: all of them, or those by one
/// provider. Yields the tokens that went with them.
pub(crate) async fn end_all_of(
    tx: &mut SqliteConnection,
    user: &str,
    provider: Option<&str>,
    by: &str,
    reason: &str,
    now: Timestamp,
) -> Result<Vec<String>, StoreError> {
    let logins: Vec<(String, String, String)> =
        sqlx::query_as("SELECT id, user_name, provider FROM login WHERE ended IS NULL AND expires > $1")
            .bind(now.millis())
            .fetch_all(&mut *tx)
            .await
            .map_err(StoreError::doing("read a user's logins"))?;
    let mut tokens = Vec::new();
    for (id, name, its) in logins {
        if is_same_name(&name, user) && provider.is_none_or(|provider| provider == its) {
            tokens.extend(end(tx, &id, by, reason, now).await?);
        }
    }
    Ok(tokens)
}
