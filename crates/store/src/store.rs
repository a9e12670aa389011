//! Opening the store: directory, database, schema, key, in an order in which no failure leaves half a store behind.

use crate::approvals;
use crate::error::StoreError;
use crate::keys::{self, Keys, encode_hex};
use crate::lock::Lock;
use crate::once::Room;
use crate::people::{self, PeopleWatch};
use crate::schema;
use crate::sessions::{self, SessionLog};
use crate::tokens::LastUsed;
use crate::watch::TokenWatch;
use crate::writer::{Change, Writer};
use lockgate_core::{SessionId, Timestamp};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{Row as _, SqlitePool};
use std::fs::{self, OpenOptions};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};
use tokio::sync::watch;

/// How long a statement waits for another process's write.
const BUSY: Duration = Duration::from_secs(5);
/// How long opening the store waits for other processes: whoever starts a gateway is told within five seconds that it cannot.
const OPENING: Duration = Duration::from_secs(3);
/// The same where the others come forward, on a slow disk.
const OPENING_SLOWLY: Duration = Duration::from_secs(30);
/// How often somebody who waits for the turn to open the store looks whether it has come.
const TURN: Duration = Duration::from_millis(5);
/// How long a caller waits for one of the connections.
const ACQUIRE: Duration = Duration::from_secs(10);
/// Connections for reading; each is a thread.
const READERS: u32 = 3;

/// The store of one data directory. Cheap to clone.
#[derive(Clone)]
pub struct Store {
    pub(crate) inner: Arc<Inner>,
}

pub(crate) struct Inner {
    data_dir: PathBuf,
    /// What must survive a power cut: tokens, approvals, people.
    writer: Writer,
    write: SqlitePool,
    /// The session index, which the recordings can replace.
    pub(crate) bulk: SqlitePool,
    pub(crate) read: SqlitePool,
    pub(crate) keys: Arc<Keys>,
    pub(crate) last_used: LastUsed,
    pub(crate) watch: TokenWatch,
    pub(crate) people: PeopleWatch,
    pub(crate) room_for_once: Room,
    /// Counts up with every login request that was decided here.
    pub(crate) requests: watch::Sender<u64>,
}

/// Proof that this process is the data directory's only gateway; released when dropped or when the process ends.
pub struct Claim {
    aborted: Vec<SessionId>,
    _lock: Lock,
}

impl Claim {
    /// The sessions that an earlier gateway left open in the index.
    pub fn aborted(&self) -> &[SessionId] {
        &self.aborted
    }
}

impl Store {
    /// Opens the store of `data_dir`, and makes it where there is none.
    ///
    /// # Errors
    /// One line that says what is wrong and what to do: see [`StoreError`].
    pub async fn open(data_dir: &Path) -> Result<Self, StoreError> {
        let path = database(data_dir);
        is_whole(data_dir, &path)?;
        keys::make_private_dir(data_dir)?;
        let began = Instant::now();
        loop {
            let before = written(&path);
            match tokio::time::timeout(OPENING, Store::open_in_turn(data_dir, &path)).await {
                Ok(Err(StoreError::Locked { .. })) | Err(_) => {}
                Ok(opened) => return opened,
            }
            if began.elapsed() > OPENING_SLOWLY || written(&path) == before {
                return Err(StoreError::Locked { path });
            }
        }
    }

    /// Opens the store in turn with others who open it: the database engine's own waiting knows no order, and on a slow disk
    /// the last of many would starve.
    async fn open_in_turn(data_dir: &Path, path: &Path) -> Result<Self, StoreError> {
        let _turn = loop {
            match Lock::take_folder(data_dir).map_err(|e| StoreError::file("lock", data_dir, e))? {
                Some(turn) => break turn,
                None => tokio::time::sleep(TURN).await,
            }
        };
        make_private_file(path)?;

        let options = |synchronous| {
            SqliteConnectOptions::new()
                .filename(path)
                .create_if_missing(false)
                .journal_mode(SqliteJournalMode::Wal)
                .synchronous(synchronous)
                .busy_timeout(BUSY)
                .foreign_keys(true)
        };
        let pool = |connections| {
            SqlitePoolOptions::new()
                .max_connections(connections)
                .acquire_timeout(ACQUIRE)
                .test_before_acquire(false)
                .idle_timeout(None)
                .max_lifetime(None)
        };
        let opening = options(SqliteSynchronous::Full).busy_timeout(OPENING);
        let write = pool(1).connect_with(opening).await.map_err(|e| {
            // The engine does not say why a file cannot be opened.
            let tried = OpenOptions::new().read(true).append(true).open(path);
            tried.err().map_or_else(|| StoreError::opening(path, e), |why| StoreError::file("open", path, why))
        })?;
        let keys = match prepare(&write, path, data_dir).await {
            Ok(keys) => keys,
            Err(error) => {
                // A connection that is not closed leaves its side files behind.
                write.close().await;
                return Err(error);
            }
        };

        Ok(Store {
            inner: Arc::new(Inner {
                data_dir: data_dir.to_owned(),
                bulk: pool(1).connect_lazy_with(options(SqliteSynchronous::Normal)),
                read: pool(READERS).connect_lazy_with(options(SqliteSynchronous::Normal)),
                writer: Writer::start(write.clone()),
                write,
                keys: Arc::new(keys),
                last_used: LastUsed::default(),
                watch: TokenWatch::default(),
                people: PeopleWatch::default(),
                room_for_once: Room::default(),
                requests: watch::Sender::new(0),
            }),
        })
    }

    /// Whether `data_dir` holds a store already; opening it otherwise makes one.
    pub fn exists(data_dir: &Path) -> bool {
        fs::metadata(database(data_dir)).is_ok_and(|m| m.is_file())
    }

    /// The directory this store lives in.
    pub fn data_dir(&self) -> &Path {
        &self.inner.data_dir
    }

    /// The keys of this data directory.
    pub fn keys(&self) -> &Arc<Keys> {
        &self.inner.keys
    }

    /// Makes this process the gateway of the data directory, and closes what an earlier one left open: its sessions and its
    /// pending approvals become `aborted`, since nothing of theirs can still run.
    ///
    /// # Errors
    /// [`StoreError::AlreadyServing`] when another process holds the claim.
    pub async fn claim(&self, now: Timestamp) -> Result<Claim, StoreError> {
        let path = self.inner.data_dir.join("serve.lock");
        let lock = Lock::take(&path)
            .map_err(|e| StoreError::file("lock", &path, e))?
            .ok_or_else(|| StoreError::AlreadyServing { path: self.inner.data_dir.clone() })?;
        let aborted = sessions::abort_open(self, now).await?;
        approvals::abort_pending(self, now).await?;
        Ok(Claim { aborted, _lock: lock })
    }

    /// Begins a change that is to survive a power cut. It is undone where it is not committed, and it does not count before that.
    pub(crate) async fn change(&self, what: &'static str) -> Result<Change, StoreError> {
        self.inner.writer.turn(what).await
    }

    /// Starts the writer of the session index. One per process; the writer ends when every [`SessionLog`] is dropped.
    pub fn session_log(&self) -> SessionLog {
        SessionLog::start(self.clone())
    }

    /// Closes every connection after what is being written.
    pub async fn close(&self) {
        self.inner.read.close().await;
        self.inner.bulk.close().await;
        self.inner.write.close().await;
    }
}

fn database(data_dir: &Path) -> PathBuf {
    data_dir.join("lockgate.db")
}

/// How far the database's files have come: what changes with every write.
fn written(path: &Path) -> [Option<(u64, SystemTime)>; 2] {
    [path.to_owned(), path.with_extension("db-wal")]
        .map(|file| fs::metadata(file).ok().and_then(|found| Some((found.len(), found.modified().ok()?))))
}

/// Makes the database's file where there is none: the engine would make it readable to all. One that exists is not opened here,
/// since closing it would release the locks that this process holds on it through another store.
fn make_private_file(path: &Path) -> Result<(), StoreError> {
    match OpenOptions::new().append(true).create_new(true).mode(0o600).open(path) {
        Ok(_) => {}
        Err(e) if e.kind() == std::io::ErrorKind::AlreadyExists => {}
        Err(e) => return Err(StoreError::file("open", path, e)),
    }
    // What is no file is not opened, and stays as it is.
    if path.is_file() { keys::protect(path, 0o600) } else { Ok(()) }
}

/// Whether a directory in which a gateway has recorded still has its store and its key. Without this look a lost store would
/// be replaced by an empty one, in silence.
fn is_whole(data_dir: &Path, database: &Path) -> Result<(), StoreError> {
    let holds = |path: &Path| fs::metadata(path).is_ok_and(|m| !m.is_file() || m.len() > 0);
    if !holds(&data_dir.join("recordings").join("log").join("leaves")) {
        return Ok(());
    }
    if !holds(database) {
        return Err(StoreError::Gone { path: database.to_owned() });
    }
    let key = keys::key_path(data_dir);
    if key.exists() { Ok(()) } else { Err(StoreError::KeyMissing { path: key }) }
}

/// Brings the schema up to date and unlocks the store, in one transaction.
async fn prepare(write: &SqlitePool, path: &Path, data_dir: &Path) -> Result<Keys, StoreError> {
    let opening = |e| StoreError::opening(path, e);
    let mut tx = write.begin_with("BEGIN IMMEDIATE").await.map_err(opening)?;
    schema::migrate(&mut tx, path).await?;
    people::renew_keys(&mut tx).await?;
    let keys = unlock(&mut tx, data_dir).await?;
    tx.commit().await.map_err(opening)?;
    // From here on a statement waits longer. The pool keeps this one connection.
    let patience = format!("PRAGMA busy_timeout = {}", BUSY.as_millis());
    sqlx::query(sqlx::AssertSqlSafe(patience)).execute(write).await.map_err(opening)?;
    Ok(keys)
}

/// Loads or makes the master key, and proves that it is the one this store was written under. The write transaction of the
/// caller orders the processes that open a new store at once.
async fn unlock(tx: &mut sqlx::SqliteConnection, data_dir: &Path) -> Result<Keys, StoreError> {
    let row = sqlx::query("SELECT value FROM meta WHERE name = 'key_check'")
        .fetch_optional(&mut *tx)
        .await
        .map_err(StoreError::doing("read the key check"))?;
    let stored: Option<String> =
        row.map(|r| r.try_get("value")).transpose().map_err(StoreError::doing("read the key check"))?;
    let keys = match (Keys::load(data_dir)?, &stored) {
        (Some(keys), _) => keys,
        (None, Some(_)) => return Err(StoreError::KeyMissing { path: keys::key_path(data_dir) }),
        (None, None) => Keys::create(data_dir)?,
    };
    let check = encode_hex(&keys.hmac("key check", b"lockgate"));
    match stored {
        Some(stored) if stored == check => {}
        Some(_) => return Err(StoreError::KeyMismatch { path: keys::key_path(data_dir) }),
        None => {
            sqlx::query("INSERT INTO meta (name, value) VALUES ('key_check', $1)")
                .bind(check)
                .execute(&mut *tx)
                .await
                .map_err(StoreError::doing("write the key check"))?;
        }
    }
    Ok(keys)
}
