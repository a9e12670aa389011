//! The index of sessions: who, where, when, how much. It is for listing and filtering; the evidence is the recording.
//!
//! Sessions never wait for it. What they say goes into a bounded queue, and one task writes it in batches. When the queue is
//! full (the disk has been stuck for long) entries are dropped and counted.

use crate::clock;
use crate::error::StoreError;
use crate::store::Store;
use crate::tokens::{decode_chain, decode_names, encode_chain, encode_names, page};
use lockgate_core::{Identity, IdentityKind, SessionId, TargetName, Timestamp, limits, metrics as names};
use sqlx::sqlite::SqliteRow;
use sqlx::{QueryBuilder, Row as _, Sqlite, SqliteConnection};
use std::borrow::Cow;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};

/// What is known of a session when it opens.
#[derive(Clone, Debug)]
pub struct SessionOpened {
    /// Its id.
    pub id: SessionId,
    /// Who asks.
    pub identity: Identity,
    /// `postgres`, and so on.
    pub protocol: Cow<'static, str>,
    /// The target.
    pub target: TargetName,
    /// The database on it.
    pub database: Option<String>,
    /// Where the client comes from.
    pub client: String,
    /// When it opened.
    pub opened: Timestamp,
}

/// What a session has done so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SessionCounts {
    /// Requests judged.
    pub requests: u64,
    /// Requests denied.
    pub denied: u64,
    /// Rows that reached the client.
    pub rows: u64,
}

/// One session as listed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionRow {
    /// Its id.
    pub id: SessionId,
    /// Who asked.
    pub identity: Identity,
    /// `postgres`, and so on.
    pub protocol: String,
    /// The target.
    pub target: String,
    /// The database on it.
    pub database: Option<String>,
    /// Where the client came from.
    pub client: String,
    /// When it opened.
    pub opened: Timestamp,
    /// When it ended; `None` while it lives.
    pub closed: Option<Timestamp>,
    /// Why it ended: `closed`, `killed by …`, `aborted`, …
    pub reason: Option<String>,
    /// What it did.
    pub counts: SessionCounts,
}

/// Which sessions to list, newest first.
#[derive(Clone, Debug, Default)]
pub struct SessionFilter {
    /// Only this user's.
    pub user: Option<String>,
    /// Only on this target.
    pub target: Option<String>,
    /// Only open ones, or only ended ones.
    pub live: Option<bool>,
    /// Only those opened at this time or later.
    pub since: Option<Timestamp>,
    /// Only those opened before this time.
    pub until: Option<Timestamp>,
    /// Only those older than this one, for the next page.
    pub before: Option<SessionId>,
    /// At most so many ([`limits::LIST_PAGE_MAX`] at most; 0 means that).
    pub limit: usize,
}

/// The way into the index. Cheap to clone; nothing here waits for the disk.
#[derive(Clone)]
pub struct SessionLog {
    queue: mpsc::Sender<Entry>,
}

enum Entry {
    Opened(Box<SessionOpened>),
    Counted {
        id: SessionId,
        counts: SessionCounts,
    },
    /// Forgets the end that a start gave it.
    Ended {
        id: SessionId,
    },
    Closed {
        id: SessionId,
        at: Timestamp,
        reason: String,
        counts: SessionCounts,
    },
    Flush(oneshot::Sender<()>),
}

impl SessionLog {
    pub(crate) fn start(store: Store) -> Self {
        let (queue, entries) = mpsc::channel(limits::SESSION_INDEX_QUEUE_MAX);
        tokio::spawn(write(store, entries));
        SessionLog { queue }
    }

    /// A session opened. One that is listed already stays as it is.
    pub fn opened(&self, session: SessionOpened) {
        self.push(Entry::Opened(Box::new(session)));
    }

    /// A session goes on; for a listing that is not hours old. Call at most every second.
    pub fn counted(&self, id: SessionId, counts: SessionCounts) {
        self.push(Entry::Counted { id, counts });
    }

    /// A session of an earlier run, as its recording has it: listed if it is not, and with the end that is on record.
    pub fn recovered(
        &self,
        opened: Option<SessionOpened>,
        id: SessionId,
        at: Timestamp,
        reason: &str,
        counts: SessionCounts,
    ) {
        if let Some(opened) = opened {
            self.opened(opened);
        }
        self.push(Entry::Ended { id });
        self.closed(id, at, reason, counts);
    }

    /// A session ended. Where it was ended already only its counts are corrected.
    pub fn closed(&self, id: SessionId, at: Timestamp, reason: &str, counts: SessionCounts) {
        let reason = reason.chars().take(REASON_CHARS_MAX).collect();
        self.push(Entry::Closed { id, at, reason, counts });
    }

    /// Waits until everything said before is written. For shutdown and tests; it waits as long as the disk is stuck.
    pub async fn flush(&self) {
        let (done, wait) = oneshot::channel();
        if self.queue.send(Entry::Flush(done)).await.is_ok() {
            // An error means the writer is gone, and with it everything that could be waited for.
            let _ = wait.await;
        }
    }

    fn push(&self, entry: Entry) {
        if self.queue.try_send(entry).is_err() {
            metrics::counter!(names::INDEX_DROPPED_TOTAL).increment(1);
        }
    }
}

/// Entries written in one transaction at most.
const BATCH_MAX: usize = 512;
/// A reason for an end, as listed.
const REASON_CHARS_MAX: usize = 200;
/// How long entries gather before they are written.
const GATHER: Duration = Duration::from_millis(20);
/// How often the use of tokens is written.
const TOUCH_MS: i64 = 5_000;
/// The longest pause before a batch that failed is tried again.
const RETRY_MAX: Duration = Duration::from_secs(2);

async fn write(store: Store, mut entries: mpsc::Receiver<Entry>) {
    let mut batch = Vec::new();
    let mut touched = clock::now();
    let touch_every = Duration::from_millis(TOUCH_MS.unsigned_abs());
    loop {
        let received = tokio::time::timeout(touch_every, entries.recv_many(&mut batch, BATCH_MAX)).await;
        if received == Ok(0) {
            break;
        }
        if batch.len() < BATCH_MAX && !batch.iter().any(|e| matches!(e, Entry::Flush(_))) && !batch.is_empty() {
            tokio::time::sleep(GATHER).await;
            while batch.len() < BATCH_MAX
                && let Ok(entry) = entries.try_recv()
            {
                batch.push(entry);
            }
        }
        let mut pause = Duration::from_millis(50);
        while let Err(e) = write_batch(&store, &batch).await {
            tracing::warn!(error = %e, entries = batch.len(), "cannot write the session index, trying again");
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(RETRY_MAX);
        }
        for entry in batch.drain(..) {
            if let Entry::Flush(done) = entry {
                // Whoever asked may have stopped waiting.
                let _ = done.send(());
            }
        }
        let now = clock::now();
        if now.millis_since(touched).abs() >= TOUCH_MS {
            touched = now;
            if let Err(e) = store.flush_touched().await {
                tracing::warn!(error = %e, "cannot note the use of tokens");
            }
        }
    }
}

async fn write_batch(store: &Store, batch: &[Entry]) -> Result<(), StoreError> {
    if batch.iter().all(|e| matches!(e, Entry::Flush(_))) {
        return Ok(());
    }
    let doing = || StoreError::doing("write the session index");
    let mut tx = store.inner.bulk.begin_with("BEGIN IMMEDIATE").await.map_err(doing())?;
    for entry in batch {
        write_entry(&mut tx, entry).await.map_err(doing())?;
    }
    tx.commit().await.map_err(doing())
}

async fn write_entry(tx: &mut SqliteConnection, entry: &Entry) -> Result<(), sqlx::Error> {
    match entry {
        Entry::Opened(s) => {
            sqlx::query(
                "INSERT INTO sessions (id, user_name, group_names, kind, on_behalf_of, token_id, protocol, target,
                                       database_name, client, opened)
                 VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11) ON CONFLICT (id) DO NOTHING",
            )
            .bind(s.id.to_string())
            .bind(&s.identity.user)
            .bind(encode_names(&s.identity.groups))
            .bind(s.identity.kind.name())
            .bind(encode_chain(&s.identity.on_behalf_of))
            .bind(&s.identity.token_id)
            .bind(&*s.protocol)
            .bind(s.target.as_str())
            .bind(&s.database)
            .bind(&s.client)
            .bind(s.opened.millis())
            .execute(tx)
            .await?;
        }
        Entry::Counted { id, counts } => {
            sqlx::query(
                "UPDATE sessions SET requests = $1, denied = $2, rows_sent = $3 WHERE id = $4 AND closed IS NULL",
            )
            .bind(clamp(counts.requests))
            .bind(clamp(counts.denied))
            .bind(clamp(counts.rows))
            .bind(id.to_string())
            .execute(tx)
            .await?;
        }
        Entry::Ended { id } => {
            sqlx::query("UPDATE sessions SET closed = NULL, reason = NULL WHERE id = $1")
                .bind(id.to_string())
                .execute(tx)
                .await?;
        }
        Entry::Closed { id, at, reason, counts } => {
            sqlx::query(
                "UPDATE sessions SET requests = $1, denied = $2, rows_sent = $3, closed = coalesce(closed, $4),
                                     reason = coalesce(reason, $5)
                 WHERE id = $6",
            )
            .bind(clamp(counts.requests))
            .bind(clamp(counts.denied))
            .bind(clamp(counts.rows))
            .bind(at.millis())
            .bind(reason)
            .bind(id.to_string())
            .execute(tx)
            .await?;
        }
        Entry::Flush(_) => {}
    }
    Ok(())
}

impl Store {
    /// Sessions, newest first.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn list_sessions(&self, filter: &SessionFilter) -> Result<Vec<SessionRow>, StoreError> {
        let mut query = QueryBuilder::<Sqlite>::new("SELECT * FROM sessions WHERE 1 = 1");
        if let Some(user) = &filter.user {
            query.push(" AND user_name = ").push_bind(user.clone());
        }
        if let Some(target) = &filter.target {
            query.push(" AND target = ").push_bind(target.clone());
        }
        match filter.live {
            Some(true) => {
                query.push(" AND closed IS NULL");
            }
            Some(false) => {
                query.push(" AND closed IS NOT NULL");
            }
            None => {}
        }
        if let Some(since) = filter.since {
            query.push(" AND opened >= ").push_bind(since.millis());
        }
        if let Some(until) = filter.until {
            query.push(" AND opened < ").push_bind(until.millis());
        }
        if let Some(before) = filter.before {
            query.push(" AND id < ").push_bind(before.to_string());
        }
        query.push(" ORDER BY id DESC LIMIT ").push_bind(page(filter.limit));
        let rows = query.build().fetch_all(&self.inner.read).await.map_err(StoreError::doing("list sessions"))?;
        rows.iter().map(decode).collect()
    }

    /// Those of `sessions` that are not in the index.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn unlisted(&self, sessions: &[SessionId]) -> Result<Vec<SessionId>, StoreError> {
        let ids: Vec<String> = sessions.iter().map(ToString::to_string).collect();
        sqlx::query("SELECT value AS id FROM json_each($1) WHERE value NOT IN (SELECT id FROM sessions)")
            .bind(serde_json::json!(ids).to_string())
            .fetch_all(&self.inner.read)
            .await
            .map_err(StoreError::doing("list sessions"))?
            .iter()
            .map(id_of)
            .collect()
    }

    /// One session.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn session(&self, id: SessionId) -> Result<Option<SessionRow>, StoreError> {
        let row = sqlx::query("SELECT * FROM sessions WHERE id = $1")
            .bind(id.to_string())
            .fetch_optional(&self.inner.read)
            .await
            .map_err(StoreError::doing("read a session"))?;
        row.as_ref().map(decode).transpose()
    }
}

/// Ends the sessions that an earlier gateway left open. Yields them.
pub(crate) async fn abort_open(store: &Store, now: Timestamp) -> Result<Vec<SessionId>, StoreError> {
    let mut tx = store.change("close the sessions of an earlier run").await?;
    let rows = sqlx::query("UPDATE sessions SET closed = $1, reason = 'aborted' WHERE closed IS NULL RETURNING id")
        .bind(now.millis())
        .fetch_all(&mut *tx)
        .await
        .map_err(StoreError::doing("close the sessions of an earlier run"))?;
    tx.commit().await?;
    rows.iter().map(id_of).collect()
}

fn id_of(row: &SqliteRow) -> Result<SessionId, StoreError> {
    let id: String = row.try_get("id").map_err(StoreError::doing("read a session"))?;
    id.parse().map_err(|_| StoreError::Row(format!("the id of session `{id}`")))
}

fn decode(row: &SqliteRow) -> Result<SessionRow, StoreError> {
    let column = || StoreError::doing("read a session");
    let id: String = row.try_get("id").map_err(column())?;
    let broken = |what: &str| StoreError::Row(format!("`{what}` of session `{id}`"));
    let groups: String = row.try_get("group_names").map_err(column())?;
    let kind: String = row.try_get("kind").map_err(column())?;
    let chain: String = row.try_get("on_behalf_of").map_err(column())?;
    let count = |name: &str| -> Result<u64, StoreError> {
        let value: i64 = row.try_get(name).map_err(column())?;
        Ok(u64::try_from(value).unwrap_or(0))
    };
    Ok(SessionRow {
        id: id.parse().map_err(|_| broken("id"))?,
        identity: Identity {
            user: row.try_get("user_name").map_err(column())?,
            groups: decode_names(&groups).ok_or_else(|| broken("groups"))?,
            kind: IdentityKind::from_name(&kind).ok_or_else(|| broken("kind"))?,
            directories: Vec::new(),
            on_behalf_of: decode_chain(&chain).ok_or_else(|| broken("on_behalf_of"))?,
            token_id: row.try_get("token_id").map_err(column())?,
            // A listing says who and where; the recording has what the token was for.
            actions: None,
        },
        protocol: row.try_get("protocol").map_err(column())?,
        target: row.try_get("target").map_err(column())?,
        database: row.try_get("database_name").map_err(column())?,
        client: row.try_get("client").map_err(column())?,
        opened: Timestamp::from_millis(row.try_get("opened").map_err(column())?),
        closed: row.try_get::<Option<i64>, _>("closed").map_err(column())?.map(Timestamp::from_millis),
        reason: row.try_get("reason").map_err(column())?,
        counts: SessionCounts { requests: count("requests")?, denied: count("denied")?, rows: count("rows_sent")? },
    })
}

fn clamp(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}
