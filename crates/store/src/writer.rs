//! The one writer of what has to survive a power cut. Changes that would wait for each other anyway become durable together: a
//! disk takes as long to keep one as to keep many.
//!
//! The writer's task owns the connection and lends it to one change after the other, each inside a savepoint of its own, so that
//! one that fails, or whose caller is gone, takes back what it did and nothing else. When nobody waits any more, or enough have
//! had their turn, it commits; then every change of the batch hears whether it counts. Nobody is told so before.
//!
//! Every statement is a way to the database's thread and back, while all others wait: what follows each other in any case is sent as
//! one text. A change that finds out at its end that it must not be is undone.

use crate::error::StoreError;
use lockgate_core::limits;
use sqlx::pool::PoolConnection;
use sqlx::{Sqlite, SqliteConnection, SqlitePool};
use std::ops::{Deref, DerefMut};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::{Mutex, OwnedMutexGuard, mpsc, oneshot};

/// How long a change waits for its turn.
const PATIENCE: Duration = Duration::from_secs(10);
/// The longest that the first change of a batch waits for others.
const TOGETHER: Duration = Duration::from_millis(limits::STORE_BATCH_MS_MAX);

/// Where changes wait for their turn. The writer ends with the last of these.
pub(crate) struct Writer {
    waiting: mpsc::Sender<Waiting>,
}

/// A change that waits for its turn.
struct Waiting {
    what: &'static str,
    turn: oneshot::Sender<Result<Change, sqlx::Error>>,
}

/// Who has to be told whether a change counts.
type Kept = oneshot::Sender<Result<(), sqlx::Error>>;

/// A change that has its turn. What is not committed is undone.
pub(crate) struct Change {
    // The first to be dropped, so that the connection is free when the writer hears of the end.
    connection: OwnedMutexGuard<PoolConnection<Sqlite>>,
    kept: oneshot::Sender<Kept>,
    what: &'static str,
}

impl Change {
    /// Ends the turn, and waits until the change is durable.
    pub(crate) async fn commit(self) -> Result<(), StoreError> {
        let Change { connection, kept, what } = self;
        let (told, counts) = oneshot::channel();
        drop(connection);
        let counts = match kept.send(told) {
            Ok(()) => counts.await.unwrap_or(Err(sqlx::Error::PoolClosed)),
            Err(_) => Err(sqlx::Error::PoolClosed),
        };
        counts.map_err(StoreError::doing(what))
    }
}

impl Deref for Change {
    type Target = SqliteConnection;

    fn deref(&self) -> &SqliteConnection {
        &self.connection
    }
}

impl DerefMut for Change {
    fn deref_mut(&mut self) -> &mut SqliteConnection {
        &mut self.connection
    }
}

impl Writer {
    /// Starts the writer over a pool of one connection.
    pub(crate) fn start(pool: SqlitePool) -> Self {
        let (waiting, turns) = mpsc::channel(limits::STORE_WAITING_MAX);
        tokio::spawn(write(pool, turns));
        Writer { waiting }
    }

    /// Waits for a turn.
    pub(crate) async fn turn(&self, what: &'static str) -> Result<Change, StoreError> {
        let asked = async {
            let (turn, mine) = oneshot::channel();
            self.waiting.send(Waiting { what, turn }).await.map_err(|_| sqlx::Error::PoolClosed)?;
            mine.await.unwrap_or(Err(sqlx::Error::PoolClosed))
        };
        let turn = tokio::time::timeout(PATIENCE, asked).await.unwrap_or(Err(sqlx::Error::PoolTimedOut));
        turn.map_err(StoreError::doing(what))
    }
}

async fn write(pool: SqlitePool, mut turns: mpsc::Receiver<Waiting>) {
    while let Some(first) = turns.recv().await {
        let connection = match pool.acquire().await {
            Ok(connection) => Arc::new(Mutex::new(connection)),
            Err(error) => {
                // Whoever has stopped waiting need not hear of it.
                let _ = first.turn.send(Err(error));
                continue;
            }
        };
        // The connection goes back when nobody waits, so that the store can be closed.
        let mut next = Some(first);
        while let Some(first) = next {
            write_batch(&connection, first, &mut turns).await;
            next = if pool.is_closed() { None } else { turns.try_recv().ok() };
        }
    }
}

/// One transaction.
async fn write_batch(
    connection: &Arc<Mutex<PoolConnection<Sqlite>>>,
    first: Waiting,
    turns: &mut mpsc::Receiver<Waiting>,
) {
    if let Err(error) = run(connection, "BEGIN IMMEDIATE").await {
        let _ = first.turn.send(Err(error));
        return;
    }
    let begun = Instant::now();
    let mut kept: Vec<Kept> = Vec::new();
    lend(connection, first, &mut kept).await;
    // Without a first change there is nothing to go back to but the beginning.
    if kept.is_empty() {
        let _ = run(connection, "ROLLBACK").await;
        return;
    }
    let mut counts = Ok(());
    let mut apart = "SAVEPOINT change";
    while counts.is_ok() && kept.len() < limits::STORE_BATCH_MAX && begun.elapsed() < TOGETHER {
        let Ok(next) = turns.try_recv() else { break };
        counts = run(connection, apart).await;
        if counts.is_err() {
            let _ = next.turn.send(Err(sqlx::Error::WorkerCrashed));
            break;
        }
        apart = "RELEASE change; SAVEPOINT change";
        let before = kept.len();
        lend(connection, next, &mut kept).await;
        if kept.len() == before {
            // Fails where an error of the disk has undone everything already, and then nothing counts.
            counts = run(connection, "ROLLBACK TO change").await;
        }
    }
    if counts.is_ok() {
        counts = run(connection, "COMMIT").await;
    }
    if counts.is_err() {
        // Whatever is left of it. There may be nothing any more.
        let _ = run(connection, "ROLLBACK").await;
    }
    tell(kept, counts);
}

/// Lends the connection to a change. Where that is to count, it is among `kept` afterwards.
async fn lend(connection: &Arc<Mutex<PoolConnection<Sqlite>>>, next: Waiting, kept: &mut Vec<Kept>) {
    let (end, ended) = oneshot::channel();
    let change = Change { connection: Arc::clone(connection).lock_owned().await, kept: end, what: next.what };
    // Whoever is gone meanwhile drops the change, and it ends.
    drop(next.turn.send(Ok(change)));
    kept.extend(ended.await.ok());
}

async fn run(connection: &Arc<Mutex<PoolConnection<Sqlite>>>, statements: &'static str) -> Result<(), sqlx::Error> {
    let mut connection = connection.lock().await;
    sqlx::raw_sql(statements).execute(&mut **connection).await.map(|_| ())
}

fn tell(kept: Vec<Kept>, counts: Result<(), sqlx::Error>) {
    for told in kept {
        let counts = match &counts {
            Ok(()) => Ok(()),
            Err(error) => Err(sqlx::Error::Io(std::io::Error::other(error.to_string()))),
        };
        let _ = told.send(counts);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]
    use super::*;
    use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions};
    use std::sync::atomic::{AtomicUsize, Ordering};

    struct Bench {
        writer: Arc<Writer>,
        pool: SqlitePool,
        reader: SqlitePool,
        commits: Arc<AtomicUsize>,
        _dir: tempfile::TempDir,
    }

    /// A writer over a table of numbers, each of which fits in once, and a count of its transactions.
    async fn bench() -> Bench {
        let dir = tempfile::tempdir().unwrap();
        let options = SqliteConnectOptions::new()
            .filename(dir.path().join("db"))
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal);
        let pool = SqlitePoolOptions::new().max_connections(1).connect_with(options.clone()).await.unwrap();
        let reader = SqlitePoolOptions::new().max_connections(1).connect_with(options).await.unwrap();
        sqlx::raw_sql("CREATE TABLE numbers (n BIGINT PRIMARY KEY)").execute(&pool).await.unwrap();
        let commits = Arc::new(AtomicUsize::new(0));
        let counts = Arc::clone(&commits);
        let mut connection = pool.acquire().await.unwrap();
        connection.lock_handle().await.unwrap().set_commit_hook(move || {
            counts.fetch_add(1, Ordering::SeqCst);
            true
        });
        drop(connection);
        Bench { writer: Arc::new(Writer::start(pool.clone())), pool, reader, commits, _dir: dir }
    }

    async fn insert(change: &mut Change, n: i64) -> Result<(), StoreError> {
        let done = sqlx::query("INSERT INTO numbers (n) VALUES ($1)").bind(n).execute(&mut **change).await;
        done.map(|_| ()).map_err(StoreError::doing("write a number"))
    }

    impl Bench {
        /// A change that waits for its turn, then writes a number and the next one.
        fn add(&self, n: i64) -> tokio::task::JoinHandle<Result<(), StoreError>> {
            let writer = Arc::clone(&self.writer);
            tokio::spawn(async move {
                let mut change = writer.turn("write a number").await?;
                insert(&mut change, n).await?;
                insert(&mut change, n + 1).await?;
                change.commit().await
            })
        }

        async fn numbers(&self) -> Vec<i64> {
            sqlx::query_scalar("SELECT n FROM numbers ORDER BY n").fetch_all(&self.reader).await.unwrap()
        }
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn what_waits_becomes_durable_together() {
        let bench = bench().await;
        let mut first = bench.writer.turn("write a number").await.unwrap();
        insert(&mut first, -1).await.unwrap();
        let others: Vec<_> = (0..60).map(|n| bench.add(2 * n)).collect();
        tokio::time::sleep(Duration::from_millis(100)).await;
        assert_eq!(bench.numbers().await, Vec::<i64>::new(), "nothing counts before it is durable");
        first.commit().await.unwrap();
        for other in others {
            other.await.unwrap().unwrap();
        }
        assert_eq!(bench.numbers().await, (-1..120).collect::<Vec<_>>());
        // The first was too slow for the others to join; these may need some milliseconds more than one batch has.
        assert!(bench.commits.load(Ordering::SeqCst) < 30, "{}", bench.commits.load(Ordering::SeqCst));
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_change_that_fails_or_is_forgotten_takes_back_its_own_part_only() {
        let bench = bench().await;
        let held = bench.writer.turn("write a number").await.unwrap();
        let all: Vec<_> = (0..30).map(|n| bench.add(if n % 3 == 2 { 1_000 * n + 1 } else { 1_000 * n })).collect();
        tokio::time::sleep(Duration::from_millis(50)).await;
        // Each writes a number and meets one that is there already.
        let taken: Vec<_> = (0..30).filter(|n| n % 3 == 2).map(|n| bench.add(1_000 * n)).collect();
        tokio::time::sleep(Duration::from_millis(50)).await;
        // Some stop waiting before their turn, and one in the middle of it.
        for forgotten in taken.iter().step_by(2) {
            forgotten.abort();
        }
        drop(held);
        for one in all {
            one.await.unwrap().unwrap();
        }
        let mut failed = 0;
        for (at, one) in taken.into_iter().enumerate() {
            match one.await {
                Ok(done) => {
                    assert!(done.unwrap_err().to_string().contains("write a number"), "{at}");
                    failed += 1;
                }
                Err(gone) => assert!(gone.is_cancelled()),
            }
        }
        assert_eq!(failed, 5);
        let first = |n: i64| if n % 3 == 2 { 1_000 * n + 1 } else { 1_000 * n };
        let expected: Vec<i64> = (0..30).flat_map(|n| [first(n), first(n) + 1]).collect();
        assert_eq!(bench.numbers().await, expected);
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn callers_that_go_away_at_any_moment_leave_nothing_half_done() {
        let bench = bench().await;
        let mut kept = Vec::new();
        for round in 0..20 {
            let all: Vec<_> = (0..20).map(|n| bench.add(10_000 * round + 10 * n)).collect();
            tokio::time::sleep(Duration::from_micros(137 * u64::try_from(round).unwrap())).await;
            for (at, one) in all.into_iter().enumerate() {
                match at % 2 {
                    0 => one.abort(),
                    _ => kept.push(one),
                }
            }
        }
        for one in kept {
            one.await.unwrap().unwrap();
        }
        let numbers = bench.numbers().await;
        for n in &numbers {
            let other = if n % 10 == 0 { n + 1 } else { n - 1 };
            assert!(numbers.contains(&other), "half of {n}");
        }
        for round in 0..20 {
            for n in (0..20).filter(|n| n % 2 == 1) {
                assert!(numbers.contains(&(10_000 * round + 10 * n)), "{round} {n}");
            }
        }
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_transaction_that_is_lost_counts_for_nobody() {
        let bench = bench().await;
        let mut first = bench.writer.turn("write a number").await.unwrap();
        insert(&mut first, 1).await.unwrap();
        let writer = Arc::clone(&bench.writer);
        let breaks = tokio::spawn(async move {
            let mut change = writer.turn("break").await?;
            insert(&mut change, 5).await?;
            // As an error of the disk would.
            sqlx::raw_sql("ROLLBACK").execute(&mut *change).await.map_err(StoreError::doing("break"))?;
            change.commit().await
        });
        tokio::time::sleep(Duration::from_millis(10)).await;
        let first = tokio::spawn(first.commit());
        let (broken, first) = (breaks.await.unwrap(), first.await.unwrap());
        assert!(broken.is_err());
        // They may have been in different transactions.
        let numbers = bench.numbers().await;
        assert_eq!(numbers.contains(&1), first.is_ok());
        assert!(!numbers.contains(&5));
        bench.add(10).await.unwrap().unwrap();
        assert!(bench.numbers().await.contains(&11), "the next one counts");
    }

    #[tokio::test]
    async fn a_store_that_is_closed_takes_nothing_more() {
        let bench = bench().await;
        bench.add(1).await.unwrap().unwrap();
        tokio::time::timeout(Duration::from_secs(5), bench.pool.close()).await.unwrap();
        assert!(bench.writer.turn("write a number").await.is_err());
        assert_eq!(bench.numbers().await, [1, 2]);
    }
}
