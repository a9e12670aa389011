//! Lockgate tokens: made once, shown once, stored as verifiers, revocable.
//!
//! `lg_<id>_<secret>`: the id is public and finds the row, the secret is 32 random bytes. What is stored is the SHA-256 of
//! the secret and the SCRAM verifier of the whole text; a hash without stretching is enough for 256 random bits.

use crate::acts::{self, Doing};
use crate::error::StoreError;
use crate::keys::{Keys, decode_hex, encode_hex, is_random_id, random, random_id};
use crate::people;
use crate::principals;
use crate::scram;
use crate::store::Store;
use aws_lc_rs::{constant_time, digest};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use lockgate_core::{
    Action, Identity, IdentityKind, Principal, Secret, TargetName, Timestamp, is_name, is_same_name, limits, name_key,
};
use serde::{Deserialize, Serialize};
use sqlx::sqlite::SqliteRow;
use sqlx::{QueryBuilder, Row as _, Sqlite};
use std::collections::{BTreeSet, HashMap};
use std::sync::{Mutex, PoisonError};

/// What a token is to stand for.
#[derive(Clone, Debug)]
pub struct NewToken {
    /// The user name.
    pub user: String,
    /// The groups.
    pub groups: BTreeSet<String>,
    /// Person, service or agent.
    pub kind: IdentityKind,
    /// Whom it acts for, nearest first.
    pub on_behalf_of: Vec<Principal>,
    /// The only targets it may be used for; `None` means no such limit.
    pub targets: Option<BTreeSet<TargetName>>,
    /// The only actions it may be used for, beside `connect`; `None` means no such limit.
    pub actions: Option<BTreeSet<Action>>,
    /// When it stops to count.
    pub expires: Timestamp,
}

/// What is known of a token: everything but its secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenInfo {
    /// The id, the middle part of its text.
    pub id: String,
    /// The user name.
    pub user: String,
    /// The groups.
    pub groups: BTreeSet<String>,
    /// Person, service or agent.
    pub kind: IdentityKind,
    /// Whom it acts for, nearest first.
    pub on_behalf_of: Vec<Principal>,
    /// The only targets it may be used for; `None` means no such limit.
    pub targets: Option<BTreeSet<TargetName>>,
    /// The only actions it may be used for, beside `connect`; `None` means no such limit.
    pub actions: Option<BTreeSet<Action>>,
    /// When it was made.
    pub created: Timestamp,
    /// When it stops to count.
    pub expires: Timestamp,
    /// When it was revoked, where it was.
    pub revoked_at: Option<Timestamp>,
    /// When it was last used, to within some seconds.
    pub last_used: Option<Timestamp>,
    /// The login that it was made by, where a person logged in for it. It ends with that.
    pub login: Option<String>,
}

/// Whether a token counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TokenState {
    /// It does.
    Live,
    /// Its time is over.
    Expired,
    /// It was made in the future: the clock is wrong, and nobody can tell how long it would count.
    Early,
    /// Somebody took it back.
    Revoked,
    /// There is no such token (any more).
    Gone,
    /// The store could not be read for too long; treat as not live.
    Unknown,
}

/// A proven token.
#[derive(Clone, Debug)]
pub struct Verified {
    /// Who it stands for.
    pub identity: Identity,
    /// The token.
    pub info: TokenInfo,
}

/// Why a token proves nothing. To a stranger all look the same, except that the holder of the true secret may be told that it
/// expired or was revoked.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    /// It is not a Lockgate token at all.
    #[error("this is not a lockgate token")]
    Malformed,
    /// No token has this id.
    #[error("no token has this id")]
    Unknown,
    /// The id exists, the secret is another.
    #[error("the secret is not this token's")]
    WrongSecret,
    /// The secret is right, its time is over.
    #[error("token `{id}` expired at {at}")]
    Expired {
        /// The token.
        id: String,
        /// When it expired.
        at: Timestamp,
    },
    /// The secret is right, and the clock is wrong.
    #[error("token `{id}` was made at {at}, which has not come yet: set the gateway's clock and start it again")]
    Early {
        /// The token.
        id: String,
        /// When it was made.
        at: Timestamp,
    },
    /// The secret is right, and it was revoked.
    #[error("token `{id}` was revoked at {at}")]
    Revoked {
        /// The token.
        id: String,
        /// When it was revoked.
        at: Timestamp,
    },
    /// The store cannot say.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Which tokens to list.
#[derive(Clone, Debug, Default)]
pub struct TokenFilter {
    /// Only this user's.
    pub user: Option<String>,
    /// Only those that count at this time.
    pub live_at: Option<Timestamp>,
    /// Only those with an id after this one, for the next page.
    pub after: Option<String>,
    /// At most so many ([`limits::LIST_PAGE_MAX`] at most; 0 means that).
    pub limit: usize,
}

/// Which tokens changed since an earlier look.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenChanges {
    /// What to ask with next time.
    pub generation: i64,
    /// The tokens made or revoked since.
    pub ids: Vec<String>,
}

/// Ids whose last use waits to be written.
#[derive(Default)]
pub(crate) struct LastUsed(Mutex<HashMap<String, Timestamp>>);

/// A row with its verifiers.
pub(crate) struct TokenRow {
    pub(crate) info: TokenInfo,
    secret_hash: String,
    pub(crate) stored_key: String,
    pub(crate) server_key: String,
}

impl TokenInfo {
    /// The identity the token stands for.
    pub fn identity(&self) -> Identity {
        Identity {
            user: self.user.clone(),
            groups: self.groups.clone(),
            kind: self.kind,
            directories: Vec::new(),
            on_behalf_of: self.on_behalf_of.clone(),
            token_id: Some(self.id.clone()),
            actions: self.actions.clone(),
        }
    }

    /// Whether it was made to be able to do less than its owner.
    pub fn is_limited(&self) -> bool {
        self.targets.is_some() || self.actions.is_some()
    }

    /// Whether it counts at `now`.
    pub fn state(&self, now: Timestamp) -> TokenState {
        if self.revoked_at.is_some() {
            TokenState::Revoked
        } else if self.expires <= now {
            TokenState::Expired
        } else if self.created.millis_since(now) > limits::TOKEN_EARLY_MS_MAX {
            TokenState::Early
        } else {
            TokenState::Live
        }
    }

    /// Whether the token may be used for `target`. Policy still has to agree.
    pub fn covers(&self, target: &TargetName) -> bool {
        self.targets.as_ref().is_none_or(|targets| targets.contains(target))
    }
}

impl TokenState {
    /// The name in API answers.
    pub const fn name(self) -> &'static str {
        match self {
            TokenState::Live => "live",
            TokenState::Expired => "expired",
            TokenState::Early => "early",
            TokenState::Revoked => "revoked",
            TokenState::Gone => "gone",
            TokenState::Unknown => "unknown",
        }
    }
}

impl Store {
    /// Makes a token. Its text is returned this once and cannot be had again.
    ///
    /// # Errors
    /// [`StoreError::Refused`] when the request breaks a rule; the text names it.
    pub async fn create_token(
        &self,
        new: NewToken,
        by: &str,
        now: Timestamp,
    ) -> Result<(Secret, TokenInfo), StoreError> {
        let new = self.with_principals(new, now).await?;
        let draft = Draft::new(self.keys(), new, None, now)?;
        let mut tx = self.change("write a token").await?;
        let made = draft.write(&mut tx, by).await?;
        tx.commit().await?;
        Ok(made)
    }

    /// Proves a token. Whether the row exists or not, the same work is done on the secret.
    ///
    /// # Errors
    /// See [`TokenError`]; expired and revoked are only told to whoever has the true secret.
    pub async fn verify_token(&self, token: &str, now: Timestamp) -> Result<Verified, TokenError> {
        let (id, secret) = parse(token).ok_or(TokenError::Malformed)?;
        let offered = zeroize::Zeroizing::new(secret_hash(secret));
        let row = one_row(self, id).await?;
        // Compared against an impossible hash when there is no row, so that both ways do the same.
        let nobody = "-".repeat(offered.len());
        let stored = row.as_ref().map_or(nobody.as_str(), |r| r.secret_hash.as_str());
        let fits = constant_time::verify_slices_are_equal(stored.as_bytes(), offered.as_bytes()).is_ok();
        let Some(row) = row else { return Err(TokenError::Unknown) };
        if !fits {
            return Err(TokenError::WrongSecret);
        }
        let info = row.info;
        match (info.revoked_at, info.state(now)) {
            (Some(at), _) => Err(TokenError::Revoked { id: info.id, at }),
            (None, TokenState::Live) => Ok(Verified { identity: info.identity(), info }),
            (None, TokenState::Early) => Err(TokenError::Early { id: info.id, at: info.created }),
            (None, _) => Err(TokenError::Expired { id: info.id, at: info.expires }),
        }
    }

    /// What is known of one token.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn token(&self, id: &str) -> Result<Option<TokenInfo>, StoreError> {
        if !is_random_id(id) {
            return Ok(None);
        }
        Ok(one_row(self, id).await?.map(|row| row.info))
    }

    /// What is known of several tokens, in one look. Those that there are not are left out.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn tokens(&self, ids: &[&str]) -> Result<Vec<TokenInfo>, StoreError> {
        let mut found = Vec::new();
        for some in ids.chunks(TOKENS_AT_ONCE) {
            let mut query = QueryBuilder::<Sqlite>::new("SELECT * FROM tokens WHERE id IN (");
            let mut list = query.separated(", ");
            for id in some {
                list.push_bind((*id).to_owned());
            }
            list.push_unseparated(")");
            let rows = query.build().persistent(false).fetch_all(&self.inner.read).await;
            for row in &rows.map_err(StoreError::doing("read tokens"))? {
                found.push(decode(row)?.info);
            }
        }
        Ok(found)
    }

    /// Tokens in the order of their ids.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn list_tokens(&self, filter: &TokenFilter) -> Result<Vec<TokenInfo>, StoreError> {
        let mut query = QueryBuilder::<Sqlite>::new("SELECT * FROM tokens WHERE 1 = 1");
        if let Some(user) = &filter.user {
            query.push(" AND user_name = ").push_bind(user.clone());
        }
        if let Some(at) = filter.live_at {
            query.push(" AND revoked_at IS NULL AND expires > ").push_bind(at.millis());
        }
        if let Some(after) = &filter.after {
            query.push(" AND id > ").push_bind(after.clone());
        }
        query.push(" ORDER BY id LIMIT ").push_bind(page(filter.limit));
        let rows = query.build().fetch_all(&self.inner.read).await.map_err(StoreError::doing("list tokens"))?;
        rows.iter().map(|row| decode(row).map(|r| r.info)).collect()
    }

    /// Takes a token back. `None` when there is none; one that was revoked before keeps its time. With a person's last one go
    /// those of the agents that act for the person.
    ///
    /// # Errors
    /// When the store cannot be written: the token still counts.
    pub async fn revoke_token(&self, id: &str, by: &str, now: Timestamp) -> Result<Option<TokenInfo>, StoreError> {
        if !is_random_id(id) {
            return Ok(None);
        }
        let mut tx = self.change("revoke a token").await?;
        let changed = next_change(&mut tx).await?;
        let revoked =
            sqlx::query("UPDATE tokens SET revoked_at = $1, changed = $2 WHERE id = $3 AND revoked_at IS NULL")
                .bind(now.millis())
                .bind(changed)
                .bind(id)
                .execute(&mut *tx)
                .await
                .map_err(StoreError::doing("revoke a token"))?;
        let mut agents = Vec::new();
        if revoked.rows_affected() > 0 {
            acts::write(&mut tx, revocation(id, by), now).await?;
            agents = principals::revoke_agents_of_last(&mut tx, id, by, now).await?;
        }
        tx.commit().await?;
        // In this process at once, in others at their next look.
        for id in agents.iter().map(String::as_str).chain([id]) {
            self.inner.watch.mark(id, TokenState::Revoked);
        }
        self.token(id).await
    }

    /// Takes back every token of a person, however the name is spelt, and of everybody who acts for that person, and ends the
    /// person's logins; what identity providers have signed for the person until now counts no more either. The ids of the tokens that
    /// counted.
    ///
    /// # Errors
    /// When the store cannot be written: they still count.
    pub async fn revoke_tokens_of(&self, user: &str, by: &str, now: Timestamp) -> Result<Vec<String>, StoreError> {
        let mut tx = self.change("revoke tokens").await?;
        let ids = revoke_all_of(&mut tx, user, by, "the user's tokens were revoked", now).await?;
        tx.commit().await?;
        self.hear_of_people().await;
        self.tell_revoked(&ids);
        Ok(ids)
    }

    /// Whether a token counts, read from the store now.
    ///
    /// # Errors
    /// When the store cannot be read: treat as not live.
    pub async fn token_state(&self, id: &str, now: Timestamp) -> Result<TokenState, StoreError> {
        Ok(self.token(id).await?.map_or(TokenState::Gone, |info| info.state(now)))
    }

    /// The tokens made or revoked, by whatever process, since `generation` (0 at first). One cheap read when there are none.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn tokens_changed_since(&self, generation: i64) -> Result<TokenChanges, StoreError> {
        let current: i64 = sqlx::query_scalar("SELECT value FROM counters WHERE name = 'tokens'")
            .fetch_one(&self.inner.read)
            .await
            .map_err(StoreError::doing("look for changed tokens"))?;
        if current == generation {
            return Ok(TokenChanges { generation, ids: Vec::new() });
        }
        let ids = sqlx::query_scalar("SELECT id FROM tokens WHERE changed > $1 AND changed <= $2")
            .bind(generation)
            .bind(current)
            .fetch_all(&self.inner.read)
            .await
            .map_err(StoreError::doing("look for changed tokens"))?;
        Ok(TokenChanges { generation: current, ids })
    }

    /// Notes that a token was used. Written some seconds later by [`Store::flush_touched`]; never waits.
    pub fn touch_token(&self, id: &str, now: Timestamp) {
        let mut waiting = self.inner.last_used.0.lock().unwrap_or_else(PoisonError::into_inner);
        if waiting.len() < limits::SESSIONS_MAX || waiting.contains_key(id) {
            waiting.insert(id.to_owned(), now);
        }
    }

    /// Writes what [`Store::touch_token`] noted. The session index's writer calls it.
    ///
    /// # Errors
    /// When the store cannot be written; what was noted is forgotten, since it is only told to people.
    pub async fn flush_touched(&self) -> Result<(), StoreError> {
        let waiting = std::mem::take(&mut *self.inner.last_used.0.lock().unwrap_or_else(PoisonError::into_inner));
        if waiting.is_empty() {
            return Ok(());
        }
        let doing = || StoreError::doing("note the use of tokens");
        let mut tx = self.inner.bulk.begin_with("BEGIN IMMEDIATE").await.map_err(doing())?;
        for (id, at) in waiting {
            sqlx::query("UPDATE tokens SET last_used = $1 WHERE id = $2 AND (last_used IS NULL OR last_used < $1)")
                .bind(at.millis())
                .bind(id)
                .execute(&mut *tx)
                .await
                .map_err(doing())?;
        }
        tx.commit().await.map_err(doing())
    }
}

/// Tokens that are read with one statement.
const TOKENS_AT_ONCE: usize = 200;

/// A token that is made up and not yet written. Making it up takes a millisecond of computing, which no transaction waits for.
pub(crate) struct Draft {
    text: Secret,
    info: TokenInfo,
    secret_hash: String,
    stored_key: String,
    server_key: String,
}

impl Draft {
    /// Makes up a token, by a login where a person logged in for it.
    pub(crate) fn new(keys: &Keys, new: NewToken, login: Option<&str>, now: Timestamp) -> Result<Self, StoreError> {
        check(&new, now)?;
        let id = random_id()?;
        let secret =
            zeroize::Zeroizing::new(URL_SAFE_NO_PAD.encode(zeroize::Zeroizing::new(random::<32>()?).as_slice()));
        let text = Secret::new(format!("lg_{id}_{}", secret.as_str()));
        let (stored_key, server_key) = scram::verifier(keys, &new.user, text.expose());
        let info = TokenInfo {
            id,
            user: new.user,
            groups: new.groups,
            kind: new.kind,
            on_behalf_of: new.on_behalf_of,
            targets: new.targets,
            actions: new.actions,
            created: now,
            expires: new.expires,
            revoked_at: None,
            last_used: None,
            login: login.map(str::to_owned),
        };
        Ok(Draft {
            text,
            info,
            secret_hash: secret_hash(&secret),
            stored_key: encode_hex(&stored_key),
            server_key: encode_hex(&server_key),
        })
    }

    /// Writes it inside the caller's write transaction.
    pub(crate) async fn write(
        self,
        tx: &mut sqlx::SqliteConnection,
        by: &str,
    ) -> Result<(Secret, TokenInfo), StoreError> {
        let Draft { text, info, .. } = self;
        // One way to the database's thread and back. What turns out to be one too many goes with the error.
        let live: i64 = sqlx::query_scalar(
            "UPDATE counters SET value = value + 1 WHERE name = 'tokens';
             INSERT INTO tokens (id, user_name, group_names, kind, on_behalf_of, targets, created, expires, secret_hash,
                                 scram_stored_key, scram_server_key, changed, login_id, actions)
             SELECT $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, value, $12, $13 FROM counters WHERE name = 'tokens';
             SELECT COUNT(*) FROM tokens WHERE user_name = $2 AND revoked_at IS NULL AND expires > $7",
        )
        .bind(&info.id)
        .bind(&info.user)
        .bind(encode_names(&info.groups))
        .bind(info.kind.name())
        .bind(encode_chain(&info.on_behalf_of))
        .bind(info.targets.as_ref().map(|t| encode_names(t.iter().map(TargetName::as_str))))
        .bind(info.created.millis())
        .bind(info.expires.millis())
        .bind(self.secret_hash)
        .bind(self.stored_key)
        .bind(self.server_key)
        .bind(&info.login)
        .bind(info.actions.as_ref().map(|actions| encode_names(actions.iter().map(|action| action.name()))))
        .fetch_one(&mut *tx)
        .await
        .map_err(StoreError::doing("write a token"))?;
        if usize::try_from(live).is_ok_and(|n| n > limits::TOKENS_PER_USER_MAX) {
            return Err(StoreError::Refused(format!(
                "`{}` has {} live tokens, the most there can be: revoke some first",
                info.user,
                live.saturating_sub(1)
            )));
        }
        let made = Doing { by, what: acts::TOKEN_CREATED, subject: &info.id, detail: String::new() };
        acts::write(tx, made, info.created).await?;
        Ok((text, info))
    }
}

/// Takes back every token of a person and of everybody who acts for that person, and ends the person's logins, inside the caller's
/// write transaction. Whoever commits tells the sessions of these tokens ([`Store::tell_revoked`]).
pub(crate) async fn revoke_all_of(
    tx: &mut sqlx::SqliteConnection,
    user: &str,
    by: &str,
    reason: &str,
    now: Timestamp,
) -> Result<Vec<String>, StoreError> {
    let doing = || StoreError::doing("revoke tokens");
    revoke_proofs_of(tx, user, by, reason, now).await?;
    let rows: Vec<(String, String, String)> =
        // The names that could be another spelling; which of them are is seen below.
        sqlx::query_as(
            "SELECT id, user_name, on_behalf_of FROM tokens WHERE revoked_at IS NULL AND expires > $1
             AND (on_behalf_of <> '[]' OR user_name = $2 COLLATE NOCASE OR user_name GLOB '*[^ -~]*')",
        )
            .bind(now.millis())
            .bind(name_key(user))
            .fetch_all(&mut *tx)
            .await
            .map_err(doing())?;
    let mut ids = Vec::new();
    for (id, owner, chain) in rows {
        let chain = match chain.as_str() {
            "[]" => Vec::new(),
            chain => decode_chain(chain).ok_or_else(|| StoreError::Row(format!("`on_behalf_of` of token `{id}`")))?,
        };
        if is_same_name(&owner, user) || chain.iter().any(|party| is_same_name(&party.user, user)) {
            ids.push(id);
        }
    }
    for id in &ids {
        let changed = next_change(tx).await?;
        sqlx::query("UPDATE tokens SET revoked_at = $1, changed = $2 WHERE id = $3")
            .bind(now.millis())
            .bind(changed)
            .bind(id)
            .execute(&mut *tx)
            .await
            .map_err(doing())?;
        acts::write(tx, revocation(id, by), now).await?;
    }
    // Nor is anything new made of a login of theirs. Its tokens are among those above.
    crate::logins::end_all_of(tx, user, None, by, reason, now).await?;
    Ok(ids)
}

/// Says that what identity providers have signed for a person until now proves nothing any more. Nobody here knows of those tokens
/// until they are shown.
async fn revoke_proofs_of(
    tx: &mut sqlx::SqliteConnection,
    user: &str,
    by: &str,
    reason: &str,
    now: Timestamp,
) -> Result<(), StoreError> {
    sqlx::query(
        "INSERT INTO proofs_revoked (user_key, until) VALUES ($1, $2)
         ON CONFLICT (user_key) DO UPDATE SET until = MAX(until, excluded.until)",
    )
    .bind(name_key(user))
    .bind(now.millis())
    .execute(&mut *tx)
    .await
    .map_err(StoreError::doing("revoke tokens"))?;
    people::note_change(tx, &[name_key(user)]).await?;
    let detail = format!("what identity providers signed until now counts no more: {reason}");
    acts::write(tx, Doing { by, what: "user.revoked", subject: user, detail }, now).await
}

/// The act of taking a token back.
pub(crate) fn revocation<'a>(id: &'a str, by: &'a str) -> Doing<'a> {
    Doing { by, what: acts::TOKEN_REVOKED, subject: id, detail: String::new() }
}

/// The tokens of one user, live ones first, then newest first, as many as a SCRAM login may need.
pub(crate) async fn rows_of_user(store: &Store, user: &str, now: Timestamp) -> Result<Vec<TokenRow>, StoreError> {
    let most = limits::TOKENS_PER_USER_MAX + limits::TOKENS_DEAD_PER_USER_MAX;
    let rows = sqlx::query(
        "SELECT * FROM tokens WHERE user_name = $1
         ORDER BY CASE WHEN revoked_at IS NULL AND expires > $2 THEN 0 ELSE 1 END, created DESC LIMIT $3",
    )
    .bind(user)
    .bind(now.millis())
    .bind(i64::try_from(most).unwrap_or(i64::MAX))
    .fetch_all(&store.inner.read)
    .await
    .map_err(StoreError::doing("read a user's tokens"))?;
    rows.iter().map(decode).collect()
}

async fn one_row(store: &Store, id: &str) -> Result<Option<TokenRow>, StoreError> {
    let row = sqlx::query("SELECT * FROM tokens WHERE id = $1")
        .bind(id)
        .fetch_optional(&store.inner.read)
        .await
        .map_err(StoreError::doing("read a token"))?;
    row.as_ref().map(decode).transpose()
}

/// Counts a change up. The row lock of the counter puts changes in the order in which they become visible.
pub(crate) async fn next_change(tx: &mut sqlx::SqliteConnection) -> Result<i64, StoreError> {
    sqlx::query_scalar("UPDATE counters SET value = value + 1 WHERE name = 'tokens' RETURNING value")
        .fetch_one(&mut *tx)
        .await
        .map_err(StoreError::doing("count a change"))
}

pub(crate) fn decode(row: &SqliteRow) -> Result<TokenRow, StoreError> {
    let column = || StoreError::doing("read a token");
    let id: String = row.try_get("id").map_err(column())?;
    let broken = |what: &str| StoreError::Row(format!("`{what}` of token `{id}`"));
    let kind: String = row.try_get("kind").map_err(column())?;
    let groups: String = row.try_get("group_names").map_err(column())?;
    let chain: String = row.try_get("on_behalf_of").map_err(column())?;
    let targets: Option<String> = row.try_get("targets").map_err(column())?;
    let targets = targets
        .map(|text| {
            let names = decode_names(&text).ok_or_else(|| broken("targets"))?;
            names.iter().map(|n| n.parse().map_err(|_| broken("targets"))).collect::<Result<BTreeSet<TargetName>, _>>()
        })
        .transpose()?;
    let actions: Option<String> = row.try_get("actions").map_err(column())?;
    let actions = actions
        .map(|text| {
            let names = decode_names(&text).ok_or_else(|| broken("actions"))?;
            names.iter().map(|n| n.parse().map_err(|_| broken("actions"))).collect::<Result<BTreeSet<Action>, _>>()
        })
        .transpose()?;
    let time = |millis: i64| Timestamp::from_millis(millis);
    let info = TokenInfo {
        user: row.try_get("user_name").map_err(column())?,
        groups: decode_names(&groups).ok_or_else(|| broken("groups"))?,
        kind: IdentityKind::from_name(&kind).ok_or_else(|| broken("kind"))?,
        on_behalf_of: decode_chain(&chain).ok_or_else(|| broken("on_behalf_of"))?,
        targets,
        actions,
        created: time(row.try_get("created").map_err(column())?),
        expires: time(row.try_get("expires").map_err(column())?),
        revoked_at: row.try_get::<Option<i64>, _>("revoked_at").map_err(column())?.map(time),
        last_used: row.try_get::<Option<i64>, _>("last_used").map_err(column())?.map(time),
        login: row.try_get("login_id").map_err(column())?,
        id: id.clone(),
    };
    Ok(TokenRow {
        info,
        secret_hash: row.try_get("secret_hash").map_err(column())?,
        stored_key: row.try_get("scram_stored_key").map_err(column())?,
        server_key: row.try_get("scram_server_key").map_err(column())?,
    })
}

fn check(new: &NewToken, now: Timestamp) -> Result<(), StoreError> {
    let refuse = |text: String| Err(StoreError::Refused(text));
    let chain_groups = new.on_behalf_of.iter().flat_map(|p| &p.groups).flatten();
    let names = std::iter::once(&new.user).chain(&new.groups).chain(new.on_behalf_of.iter().map(|p| &p.user));
    if let Some(bad) = names.chain(chain_groups).find(|n| !is_name(n)) {
        return refuse(format!(
            "`{}` cannot be a name: use at most {} bytes without control characters or outer spaces",
            bad.escape_debug(),
            limits::NAME_BYTES_MAX
        ));
    }
    if std::iter::once(&new.groups)
        .chain(new.on_behalf_of.iter().filter_map(|p| p.groups.as_ref()))
        .any(|g| g.len() > limits::GROUPS_MAX)
    {
        return refuse(format!("a token has at most {} groups", limits::GROUPS_MAX));
    }
    if new.on_behalf_of.len() > limits::ON_BEHALF_OF_MAX {
        return refuse(format!("a token acts for at most {} parties", limits::ON_BEHALF_OF_MAX));
    }
    let mut users = BTreeSet::from([name_key(&new.user)]);
    if let Some(twice) = new.on_behalf_of.iter().find(|p| !users.insert(name_key(&p.user))) {
        return refuse(format!("`{}` cannot act for itself", twice.user));
    }
    match &new.targets {
        Some(targets) if targets.is_empty() => return refuse("a token for no target is of no use".to_owned()),
        Some(targets) if targets.len() > limits::TOKEN_TARGETS_MAX => {
            return refuse(format!("a token is limited to at most {} targets", limits::TOKEN_TARGETS_MAX));
        }
        Some(_) | None => {}
    }
    if new.actions.as_ref().is_some_and(BTreeSet::is_empty) {
        return refuse("a token for no action is of no use: `connect` is the least".to_owned());
    }
    if new.expires <= now {
        return refuse(format!("a token that expires at {} would have expired already", new.expires));
    }
    Ok(())
}

/// Id and secret of a token's text.
fn parse(token: &str) -> Option<(&str, &str)> {
    if token.len() > limits::TOKEN_BYTES_MAX {
        return None;
    }
    let (id, secret) = token.strip_prefix("lg_")?.split_once('_')?;
    let is_secret = secret.len() == 43 && secret.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'));
    (is_random_id(id) && is_secret).then_some((id, secret))
}

pub(crate) fn secret_hash(secret: &str) -> String {
    encode_hex(digest::digest(&digest::SHA256, secret.as_bytes()).as_ref())
}

pub(crate) fn page(limit: usize) -> i64 {
    let limit = if limit == 0 { limits::LIST_PAGE_MAX } else { limit.min(limits::LIST_PAGE_MAX) };
    i64::try_from(limit).unwrap_or(i64::MAX)
}

#[derive(Serialize, Deserialize)]
pub(crate) struct StoredPrincipal {
    pub(crate) user: String,
    /// Rows of earlier versions have none.
    #[serde(default)]
    pub(crate) kind: Option<String>,
    #[serde(default)]
    pub(crate) groups: Option<BTreeSet<String>>,
}

pub(crate) fn encode_names<'a, I>(names: I) -> String
where
    I: IntoIterator,
    I::Item: AsRef<str> + 'a,
{
    let names: Vec<String> = names.into_iter().map(|n| n.as_ref().to_owned()).collect();
    serde_json::Value::from(names).to_string()
}

pub(crate) fn decode_names(text: &str) -> Option<BTreeSet<String>> {
    serde_json::from_str(text).ok()
}

pub(crate) fn encode_chain(chain: &[Principal]) -> String {
    let list: Vec<serde_json::Value> =
        chain.iter().map(|p| serde_json::json!({"user": p.user, "kind": p.kind.name(), "groups": p.groups})).collect();
    serde_json::Value::from(list).to_string()
}

pub(crate) fn decode_chain(text: &str) -> Option<Vec<Principal>> {
    let list: Vec<StoredPrincipal> = serde_json::from_str(text).ok()?;
    list.into_iter()
        .map(|p| {
            let kind = p.kind.as_deref().map(IdentityKind::from_name);
            // An earlier version knew no other word for groups that it did not know.
            let groups = p.groups.filter(|groups| kind.is_some() || !groups.is_empty());
            let kind = kind.unwrap_or(Some(IdentityKind::Human))?;
            Some(Principal { user: p.user, kind, groups, directories: Vec::new() })
        })
        .collect()
}

/// Bytes as stored, checked on the way out.
pub(crate) fn decode_digest(text: &str) -> Option<[u8; 32]> {
    decode_hex(text).map(|d| *d)
}
