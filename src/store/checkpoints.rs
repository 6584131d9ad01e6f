//! Moves what the write-ahead log holds into a kept database, beside the writes and not in their way.
//!
//! Left to itself SQLite does this within a commit, once the log has 1,000 pages, and whoever commits then waits for the
//! disk. Here another connection does it while writes go on. It never quite comes to the log's end while they do, and
//! the log begins anew only after that: so the one who writes still does the rest, at [`MOST_PAGES`].

use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions, SqliteConnection};
use tokio::sync::watch;
use tracing::debug;

use super::Error;

/// Turns to write between two checkpoints. Most are of some five pages.
const WRITES: u32 = 1024;

/// Pages of the log at which a commit does not end before they are in the database: 64 MiB.
const MOST_PAGES: &str = "16384";

/// Has checkpoints made, by a task of its own that ends with the last clone.
#[derive(Debug)]
pub(super) struct Checkpoints {
    /// Turns to write since the last one was asked for.
    writes: u32,
    asked: watch::Sender<()>,
}

/// `options` for the connection that writes.
pub(super) fn left_to_others(options: SqliteConnectOptions) -> SqliteConnectOptions {
    options.pragma("wal_autocheckpoint", MOST_PAGES)
}

impl Checkpoints {
    /// `options` are those of a connection that may write. It is opened when it is first needed.
    pub(super) fn open(options: SqliteConnectOptions) -> Self {
        let (asked, mut asks) = watch::channel(());
        tokio::spawn(async move {
            let mut connection = None;
            while asks.changed().await.is_ok() {
                if let Err(error) = make(&mut connection, &options).await {
                    // The next one does what this one did not, or who writes does it at last.
                    debug!("no checkpoint: {error}");
                }
            }
        });
        Self { writes: 0, asked }
    }

    /// Someone has the turn to write.
    pub(super) fn count(&mut self) {
        self.writes += 1;
        if self.writes == WRITES {
            self.writes = 0;
            self.asked.send_replace(());
        }
    }
}

/// Moves what the log holds now, without making anyone wait.
async fn make(
    connection: &mut Option<SqliteConnection>,
    options: &SqliteConnectOptions,
) -> Result<(), Error> {
    let connection = match connection {
        Some(connection) => connection,
        None => connection.insert(options.connect().await?),
    };
    sqlx::query("pragma wal_checkpoint(passive)")
        .execute(connection)
        .await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use sqlx::sqlite::SqliteJournalMode;

    use super::*;
    use crate::store::connections::Connections;

    #[tokio::test]
    async fn what_was_written_gets_into_the_database_while_writes_go_on() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("test.db");
        let options = SqliteConnectOptions::new()
            .filename(&path)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal);
        let mut writer = left_to_others(options.clone()).connect().await.unwrap();
        let pages: i64 = sqlx::query_scalar("pragma wal_autocheckpoint")
            .fetch_one(&mut writer)
            .await
            .unwrap();
        assert_eq!(pages.to_string(), MOST_PAGES);
        let connections =
            Connections::new(writer, options.clone(), Some(Checkpoints::open(options)));
        let write = async |sql: &'static str| {
            let mut writing = connections.write().await.unwrap();
            sqlx::query(sql).execute(&mut *writing).await.unwrap();
        };
        write("create table t (bytes blob)").await;
        let length = || std::fs::metadata(&path).unwrap().len();
        let before = length();
        for _ in 2..WRITES {
            write("insert into t values (zeroblob(4096))").await;
        }
        assert_eq!(length(), before, "all of it is in the log");
        let grown = async {
            while length() == before {
                write("insert into t values (zeroblob(4096))").await;
            }
        };
        tokio::time::timeout(Duration::from_secs(30), grown)
            .await
            .unwrap();
    }
}
