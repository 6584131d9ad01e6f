//! SQLite: the only place with SQL.
//!
//! Many readers, one writer: reads go to read-only connections, writes to one connection, each in a transaction of its
//! own. Methods are named noun first (`trail_insert`, `event_page`) and take times as arguments (milliseconds
//! since the epoch, UTC): the store reads no clock. It knows what an event is, not why one is kept.
//!
//! Statements are prepared once. SQLite would prepare one anew each time it is run if its limit were a bare parameter,
//! whose value it then plans by: hence `limit 0 + $1`.

mod checkpoints;
mod connections;
mod digests;
mod embedded;
mod empty;
mod event_bus;
mod events;
mod filling;
mod identities;
mod known;
mod organizations;
mod outbox;
mod retention;
mod riders;
mod search;
mod soon;
mod status;
mod trails;

use std::borrow::Cow;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use checkpoints::Checkpoints;
use connections::Connections;
use events::EventWriter;
use known::Known;
use sqlx::migrate::{MigrateError, Migration, MigrationType, Migrator};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous};
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, SqlStr};
use tokio::sync::Notify;

pub use sqlx::Error;

pub use digests::{Change, Digest, DigestKey, DigestedFile, Link, Run, Work};
pub use embedded::*;
pub use event_bus::BusCandidate;
pub use events::{AppendError, Appended, ExportFilter, NewEvent, Slot};
pub use identities::IamUser;
pub use outbox::{Backlog, Candidate, CutFile, Due, Item, LogFile, LogFileRecord, Partition, Step};
pub use search::{EventAttribute, EventFilter, EventRow};
pub use status::{DeliveryStatus, Failures, Outcome};
pub use trails::*;

pub(crate) use connections::Tx;

/// The database. Clones share its connections.
#[derive(Clone, Debug)]
pub struct Store {
    connections: Connections,
    events: EventWriter,
    /// By id. Of all trails, only changes of those that may log move the version.
    trails: Arc<Known<i64, Trail>>,
    /// Those of an account, the oldest first.
    account_trails: Arc<Known<String, Arc<[Trail]>>>,
    /// By name.
    buckets: Arc<Known<String, Bucket>>,
    /// Documents of buckets, by the bucket's name and theirs.
    bucket_settings: Arc<Known<(String, String), Option<String>>>,
    event_bus: Arc<EventBus>,
    lifetime: Lifetime,
}

/// Tells of events that wait for an event bus.
#[derive(Debug, Default)]
struct EventBus {
    open: AtomicBool,
    filled: Notify,
}

/// How long a database is to last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lifetime {
    /// What is committed survives a power cut: each commit waits until the disk has it.
    Synced,
    /// What is committed survives the death of the process. A power cut may cost the last commits, those since the last
    /// checkpoint at most, and leaves the database whole.
    Kept,
    /// It goes with the process, so nothing waits for the disk.
    Temporary,
}

/// Why a database cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error(
        "it was written by a newer localtrail, with migration {migration}, which this one does not know; nothing is changed"
    )]
    Newer { migration: i64 },
    #[error(transparent)]
    Database(#[from] Error),
}

/// Every migration, in order; a test compares the list with the folder.
#[rustfmt::skip]
const MIGRATIONS: &[(i64, &str, &str)] = &[
    (1, "initial", include_str!("../../migrations/0001_initial.sql")),
    (3, "rules", include_str!("../../migrations/0003_rules.sql")),
    (4, "organization", include_str!("../../migrations/0004_organization.sql")),
    (5, "records", include_str!("../../migrations/0005_records.sql")),
    (6, "digest", include_str!("../../migrations/0006_digest.sql")),
    (7, "search", include_str!("../../migrations/0007_search.sql")),
    (8, "content", include_str!("../../migrations/0008_content.sql")),
    (9, "slot", include_str!("../../migrations/0009_slot.sql")),
    (10, "forget", include_str!("../../migrations/0010_forget.sql")),
    (11, "fill", include_str!("../../migrations/0011_fill.sql")),
    (12, "blocks", include_str!("../../migrations/0012_blocks.sql")),
];

/// Version and name of every migration, in order.
pub fn migrations() -> impl Iterator<Item = (i64, &'static str)> {
    MIGRATIONS.iter().map(|&(version, name, _)| (version, name))
}

impl Store {
    /// Opens the database file at `path`, makes it if it is not there, and brings its tables up to date.
    pub async fn open(path: &Path, lifetime: Lifetime) -> Result<Self, OpenError> {
        // With a write-ahead log, `normal` syncs it only before a checkpoint, `full` at each commit too
        // (https://www.sqlite.org/pragma.html#pragma_synchronous).
        let synchronous = match lifetime {
            Lifetime::Synced => SqliteSynchronous::Full,
            Lifetime::Kept => SqliteSynchronous::Normal,
            Lifetime::Temporary => SqliteSynchronous::Off,
        };
        let options = SqliteConnectOptions::new()
            .filename(path)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(synchronous)
            .foreign_keys(true)
            .busy_timeout(connections::BUSY_TIMEOUT);
        let is_synced = lifetime != Lifetime::Temporary;
        let is_new = empty::write_if_absent(path, is_synced).map_err(Error::from)?;
        // Where nothing is synced there is no disk to wait for, and a short log is the quicker one.
        let mut writer = match is_synced {
            true => checkpoints::left_to_others(options.clone()),
            false => options.clone(),
        }
        .connect()
        .await?;
        if !is_new && let Err(error) = migrator().run(&mut writer).await {
            // Waited for, so that the process does not end before: an empty log would stay beside the database.
            let _ = writer.close().await;
            return Err(match error {
                MigrateError::VersionMissing(migration) => OpenError::Newer { migration },
                error => OpenError::Database(error.into()),
            });
        }
        let checkpoints = is_synced.then(|| Checkpoints::open(options.clone()));
        let connections = Connections::new(writer, options.read_only(true), checkpoints);
        tokio::spawn({
            let connections = connections.clone();
            async move { connections.warm_up().await }
        });
        Ok(Self {
            events: EventWriter::new(connections.clone()),
            connections,
            trails: Arc::default(),
            account_trails: Arc::default(),
            buckets: Arc::default(),
            bucket_settings: Arc::default(),
            event_bus: Arc::default(),
            lifetime,
        })
    }

    pub fn lifetime(&self) -> Lifetime {
        self.lifetime
    }

    /// Whether there may be something from before this process: a temporary database is a new one.
    pub fn has_past(&self) -> bool {
        self.lifetime != Lifetime::Temporary
    }

    /// Forgets everything: every row of every table. Gives the blobs that no row names any longer.
    pub async fn reset(&self) -> sqlx::Result<Vec<String>> {
        let mut tx = self.begin().await?;
        let blobs = sqlx::query_scalar(embedded::ALL_BLOBS)
            .fetch_all(&mut *tx)
            .await?;
        sqlx::query("pragma defer_foreign_keys = on")
            .execute(&mut *tx)
            .await?;
        let tables: Vec<String> = sqlx::query_scalar(
            "select name from sqlite_master
             where type = 'table' and name not like 'sqlite%' and name not like '%sqlx%'",
        )
        .fetch_all(&mut *tx)
        .await?;
        for table in tables {
            // The names are our own migrations'.
            sqlx::query(AssertSqlSafe(format!("delete from {table}")))
                .execute(&mut *tx)
                .await?;
        }
        tx.commit().await?;
        self.trails_changed();
        self.buckets_changed();
        Ok(blobs)
    }

    /// Moves with every change of a trail that may log: who keeps logging trails in memory reads them again then.
    pub fn trails_version(&self) -> u64 {
        self.trails.version()
    }

    pub(crate) async fn begin(&self) -> sqlx::Result<Tx> {
        self.connections.begin().await
    }
}

fn migrator() -> Migrator {
    let migrations = MIGRATIONS
        .iter()
        .map(|&(version, name, sql)| {
            Migration::new(
                version,
                Cow::Borrowed(name),
                MigrationType::Simple,
                SqlStr::from_static(sql),
                false,
            )
        })
        .collect();
    Migrator {
        migrations: Cow::Owned(migrations),
        ..Migrator::DEFAULT
    }
}

/// Whether what failed with `error` was certainly not written: the database was locked by another process, or the disk
/// was full.
pub fn is_unwritten(error: &sqlx::Error) -> bool {
    is_locked(error) || primary_code(error) == Some(13)
}

/// Whether another process, or another connection, holds the database.
fn is_locked(error: &sqlx::Error) -> bool {
    matches!(primary_code(error), Some(5 | 6))
}

/// SQLite's result code without what extends it (<https://www.sqlite.org/rescode.html>).
fn primary_code(error: &sqlx::Error) -> Option<u32> {
    let code = error.as_database_error()?.code()?;
    Some(code.parse::<u32>().ok()? & 0xff)
}

/// Whether `error` is a violation of a unique constraint.
pub fn is_unique_violation(error: &sqlx::Error) -> bool {
    error
        .as_database_error()
        .is_some_and(sqlx::error::DatabaseError::is_unique_violation)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_statement_is_planned_by_the_value_of_its_limit() {
        let mut folders = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("src/store")];
        let mut limits = 0;
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    folders.push(path);
                    continue;
                }
                let text = std::fs::read_to_string(&path).unwrap_or_default();
                let code = text.split("#[cfg(test)]").next().unwrap_or_default();
                for (at, word) in code.match_indices(" limit ") {
                    let parameter = &code[at + word.len()..];
                    let is_bare = parameter.starts_with(['$', '?', '"']);
                    assert!(!is_bare, "{}: {parameter:.40}", path.display());
                    limits += usize::from(parameter.starts_with("0 + "));
                }
            }
        }
        assert!(limits > 10);
    }

    #[tokio::test]
    async fn commits_wait_for_the_disk_as_the_lifetime_says() {
        for (lifetime, expected) in [
            (Lifetime::Temporary, 0),
            (Lifetime::Kept, 1),
            (Lifetime::Synced, 2),
        ] {
            let folder = tempfile::tempdir().unwrap();
            let store = Store::open(&folder.path().join("db"), lifetime)
                .await
                .unwrap();
            let mut writing = store.connections.write().await.unwrap();
            let synchronous: i64 = sqlx::query_scalar("pragma synchronous")
                .fetch_one(&mut *writing)
                .await
                .unwrap();
            let journal: String = sqlx::query_scalar("pragma journal_mode")
                .fetch_one(&mut *writing)
                .await
                .unwrap();
            assert_eq!(
                (synchronous, journal.as_str()),
                (expected, "wal"),
                "{lifetime:?}"
            );
        }
    }
}
