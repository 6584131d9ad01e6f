//! Connections to SQLite: one that writes, a few that read.
//!
//! Not sqlx's pool: that asks a connection whether it still lives each time it is given back, which for SQLite is a
//! trip to its thread and back, as long as a query itself. A connection to a file does not go away.

use std::ops::{Deref, DerefMut};
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions, QueryBuilder, Sqlite, SqliteConnection};
use tokio::sync::{Mutex, OwnedMutexGuard, OwnedSemaphorePermit, Semaphore};

use super::checkpoints::Checkpoints;
use super::soon::soon;
use super::{Error, is_locked};

/// Connections that read at the same time.
const READERS: usize = 4;
/// How long a write waits for another process that holds the database.
pub(super) const BUSY_TIMEOUT: Duration = Duration::from_secs(5);
/// The same in SQL; and how long once such a wait was in vain, until a write succeeds: writes wait one after the other,
/// so that callers would wait for the sum.
const WAIT: &str = "pragma busy_timeout = 5000";
const WAIT_LESS: &str = "pragma busy_timeout = 250";

/// Everyone's connections; clones share them.
#[derive(Clone, Debug)]
pub(super) struct Connections {
    writer: Arc<Mutex<Writer>>,
    readers: Arc<Readers>,
}

#[derive(Debug)]
struct Writer {
    connection: SqliteConnection,
    /// A transaction was begun and has not been committed.
    in_transaction: bool,
    /// Another process holds the database, and was waited for in vain.
    is_locked_out: bool,
    /// `None`: SQLite makes them as it writes.
    checkpoints: Option<Checkpoints>,
}

#[derive(Debug)]
struct Readers {
    options: SqliteConnectOptions,
    idle: std::sync::Mutex<Vec<SqliteConnection>>,
    permits: Arc<Semaphore>,
}

/// The turn to write.
#[derive(Debug)]
pub(crate) struct Writing(OwnedMutexGuard<Writer>);

/// A write transaction. Nothing else writes while it is open: make no network call in it. Dropped without a commit, it
/// is rolled back before the next write.
#[derive(Debug)]
pub(crate) struct Tx(Writing);

/// Statements that are sent in one trip to the database: none needs what another one answers.
pub(super) struct Batch(QueryBuilder<Sqlite>);

/// A connection to read from.
#[derive(Debug)]
pub(crate) struct Reading {
    /// `None` only while it is dropped.
    connection: Option<SqliteConnection>,
    readers: Arc<Readers>,
    _permit: OwnedSemaphorePermit,
}

impl Connections {
    /// `writer` writes; readers are opened with `options` when they are first needed.
    pub(super) fn new(
        writer: SqliteConnection,
        options: SqliteConnectOptions,
        checkpoints: Option<Checkpoints>,
    ) -> Self {
        let writer = Writer {
            connection: writer,
            in_transaction: false,
            is_locked_out: false,
            checkpoints,
        };
        let readers = Readers {
            options,
            idle: std::sync::Mutex::default(),
            permits: Arc::new(Semaphore::new(READERS)),
        };
        Self {
            writer: Arc::new(Mutex::new(writer)),
            readers: Arc::new(readers),
        }
    }

    /// Opens a connection to read from, and has it and the one that writes read the schema, which takes as long as
    /// opening: else the first callers would wait for both.
    pub(super) async fn warm_up(&self) {
        const ANYTHING: &str = "select 1 from event limit 0";
        let write = async {
            if let Ok(mut writing) = self.write().await {
                let _ = sqlx::query(ANYTHING).execute(&mut *writing).await;
            }
        };
        let read = async {
            if let Ok(mut reading) = self.read().await {
                let _ = sqlx::query(ANYTHING).execute(&mut *reading).await;
            }
        };
        tokio::join!(write, read);
    }

    /// The connection that writes, for a single statement.
    pub(super) async fn write(&self) -> Result<Writing, Error> {
        let mut writer = Arc::clone(&self.writer).lock_owned().await;
        if let Some(checkpoints) = &mut writer.checkpoints {
            checkpoints.count();
        }
        if std::mem::take(&mut writer.in_transaction) {
            // SQLite may have rolled it back already, and says so by an error.
            let _ = sqlx::query("rollback")
                .execute(&mut writer.connection)
                .await;
        }
        Ok(Writing(writer))
    }

    pub(super) async fn begin(&self) -> Result<Tx, Error> {
        let mut writing = self.write().await?;
        let begun = sqlx::query("begin immediate").execute(&mut *writing).await;
        writing.note(&begun).await;
        begun?;
        writing.0.in_transaction = true;
        Ok(Tx(writing))
    }

    /// Runs a batch that [begins](Batch::begin) a transaction, and commits it.
    pub(super) async fn run(&self, batch: Batch) -> Result<(), Error> {
        self.insert(batch).await.map(drop)
    }

    /// The same; gives the id of the row that was inserted last.
    pub(super) async fn insert(&self, batch: Batch) -> Result<i64, Error> {
        let mut writing = self.write().await?;
        // Where a statement fails, those before it are to be rolled back.
        writing.0.in_transaction = true;
        let mut tx = Tx(writing);
        let run = tx.insert(batch.and_commit()).await;
        tx.0.note(&run).await;
        tx.0.0.in_transaction = run.is_err();
        run
    }

    pub(super) async fn read(&self) -> Result<Reading, Error> {
        let readers = Arc::clone(&self.readers);
        let permit = Arc::clone(&readers.permits).acquire_owned().await;
        let permit = permit.map_err(|_| Error::PoolClosed)?;
        let idle = readers
            .idle
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .pop();
        let connection = match idle {
            Some(connection) => connection,
            None => readers.options.connect().await?,
        };
        Ok(Reading {
            connection: Some(connection),
            readers,
            _permit: permit,
        })
    }
}

impl Writing {
    /// Takes note of how a write went: how long the next ones wait for another process depends on it.
    pub(super) async fn note<T>(&mut self, written: &Result<T, Error>) {
        let is_locked_out = match written {
            Ok(_) => false,
            Err(error) if is_locked(error) => true,
            Err(_) => return,
        };
        if self.0.is_locked_out != is_locked_out {
            let wait = if is_locked_out { WAIT_LESS } else { WAIT };
            if sqlx::query(wait).execute(&mut **self).await.is_ok() {
                self.0.is_locked_out = is_locked_out;
            }
        }
    }
}

impl Batch {
    /// Statements within a transaction.
    pub(super) fn new() -> Self {
        Self(QueryBuilder::new(""))
    }

    /// Statements that are a transaction.
    pub(super) fn begin() -> Self {
        Self(QueryBuilder::new("begin immediate"))
    }

    /// Adds a statement that begins with `sql`; to be continued by the builder, which binds its parameters.
    pub(super) fn then(&mut self, sql: &'static str) -> &mut QueryBuilder<Sqlite> {
        if !self.is_empty() {
            self.0.push("; ");
        }
        self.0.push(sql)
    }

    fn and_commit(mut self) -> Self {
        self.then("commit");
        self
    }

    fn is_empty(&self) -> bool {
        self.0.sql().as_str().is_empty()
    }
}

impl Tx {
    pub(super) async fn run(&mut self, batch: Batch) -> Result<(), Error> {
        self.insert(batch).await.map(drop)
    }

    /// Gives the id of the row that was inserted last.
    async fn insert(&mut self, mut batch: Batch) -> Result<i64, Error> {
        if batch.is_empty() {
            return Ok(0);
        }
        let done = soon(batch.0.build().execute(&mut **self)).await?;
        Ok(done.last_insert_rowid())
    }

    pub(crate) async fn commit(self) -> Result<(), Error> {
        self.commit_with(Batch::new()).await
    }

    /// Runs the last statements and commits.
    pub(super) async fn commit_with(mut self, batch: Batch) -> Result<(), Error> {
        self.run(batch.and_commit()).await?;
        self.0.0.in_transaction = false;
        Ok(())
    }
}

impl Deref for Writing {
    type Target = SqliteConnection;

    fn deref(&self) -> &SqliteConnection {
        &self.0.connection
    }
}

impl DerefMut for Writing {
    fn deref_mut(&mut self) -> &mut SqliteConnection {
        &mut self.0.connection
    }
}

impl Deref for Tx {
    type Target = SqliteConnection;

    fn deref(&self) -> &SqliteConnection {
        &self.0
    }
}

impl DerefMut for Tx {
    fn deref_mut(&mut self) -> &mut SqliteConnection {
        &mut self.0
    }
}

impl Deref for Reading {
    type Target = SqliteConnection;

    fn deref(&self) -> &SqliteConnection {
        self.connection
            .as_ref()
            .expect("it is there until the drop")
    }
}

impl DerefMut for Reading {
    fn deref_mut(&mut self) -> &mut SqliteConnection {
        self.connection
            .as_mut()
            .expect("it is there until the drop")
    }
}

impl Drop for Reading {
    fn drop(&mut self) {
        let mut idle = self
            .readers
            .idle
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        idle.extend(self.connection.take());
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use sqlx::sqlite::SqliteJournalMode;

    use super::*;

    async fn connections(folder: &Path) -> Connections {
        let options = SqliteConnectOptions::new()
            .filename(folder.join("test.db"))
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal);
        Connections::new(options.connect().await.unwrap(), options, None)
    }

    async fn rows(connections: &Connections) -> Vec<i64> {
        sqlx::query_scalar("select n from t order by n")
            .fetch_all(&mut *connections.read().await.unwrap())
            .await
            .unwrap()
    }

    #[tokio::test]
    async fn what_is_not_committed_is_rolled_back_before_the_next_write() {
        let folder = tempfile::tempdir().unwrap();
        let connections = connections(folder.path()).await;
        let write = async |sql: &'static str| {
            let mut writing = connections.write().await.unwrap();
            sqlx::query(sql).execute(&mut *writing).await.unwrap();
        };
        write("create table t (n integer)").await;
        let mut tx = connections.begin().await.unwrap();
        sqlx::query("insert into t values (1)")
            .execute(&mut *tx)
            .await
            .unwrap();
        drop(tx);
        write("insert into t values (2)").await;
        let mut tx = connections.begin().await.unwrap();
        sqlx::query("insert into t values (3)")
            .execute(&mut *tx)
            .await
            .unwrap();
        tx.commit().await.unwrap();
        assert_eq!(rows(&connections).await, [2, 3]);
    }

    #[tokio::test]
    async fn of_a_batch_all_is_kept_or_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let connections = connections(folder.path()).await;
        let batch = |numbers: &[i64]| {
            let mut batch = Batch::begin();
            for &number in numbers {
                batch
                    .then("insert into t values (")
                    .push_bind(number)
                    .push(")");
            }
            batch
        };
        let mut table = Batch::begin();
        table.then("create table t (n integer primary key)");
        connections.run(table).await.unwrap();
        connections.run(batch(&[1, 2])).await.unwrap();
        // The third fails; what follows it is not run, the commit least of all.
        connections.run(batch(&[3, 4, 1, 5])).await.unwrap_err();
        connections.run(batch(&[6])).await.unwrap();
        let mut tx = connections.begin().await.unwrap();
        let mut last = Batch::new();
        last.then("delete from t where n = ").push_bind(2);
        last.then("insert into t values (").push_bind(1).push(")");
        tx.run(batch_of_one("insert into t values (7)"))
            .await
            .unwrap();
        tx.commit_with(last).await.unwrap_err();
        let mut tx = connections.begin().await.unwrap();
        tx.run(Batch::new()).await.unwrap();
        tx.commit_with(batch_of_one("insert into t values (8)"))
            .await
            .unwrap();
        assert_eq!(rows(&connections).await, [1, 2, 6, 8]);
    }

    fn batch_of_one(sql: &'static str) -> Batch {
        let mut batch = Batch::new();
        batch.then(sql);
        batch
    }
}
