//! A new database is a copy of an empty one that is part of the program: running every migration takes longer than all
//! else that a start does.
//!
//! `empty.sqlite.gz` is what the migrations make of nothing; a test holds the two together, and writes the file anew
//! when it is asked to:
//!
//! ```text
//! LOCALTRAIL_WRITE_EMPTY=1 cargo test --lib store::empty
//! ```

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;

use flate2::write::GzDecoder;

const EMPTY: &[u8] = include_bytes!("empty.sqlite.gz");

/// Writes an empty database to `path`, unless there is something. A crash leaves either all of it or nothing under that
/// name; with `durable` a power cut does too.
///
/// Whether it was written.
pub(super) fn write_if_absent(path: &Path, durable: bool) -> io::Result<bool> {
    if path.try_exists()? {
        return Ok(false);
    }
    let mut unfinished = OsString::from(path);
    unfinished.push(".new");
    let mut decoder = GzDecoder::new(File::create(&unfinished)?);
    decoder.write_all(EMPTY)?;
    let file = decoder.finish()?;
    if durable {
        file.sync_all()?;
    }
    fs::rename(&unfinished, path)?;
    Ok(true)
}

#[cfg(test)]
mod tests {
    use flate2::Compression;
    use flate2::write::GzEncoder;
    use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode};
    use sqlx::{ConnectOptions, Connection, SqliteConnection};

    use super::*;
    use crate::store::migrator;

    async fn migrated(path: &Path) -> SqliteConnection {
        let options = SqliteConnectOptions::new()
            .filename(path)
            .create_if_missing(true);
        let mut database = options.connect().await.unwrap();
        migrator().run(&mut database).await.unwrap();
        database
    }

    async fn schema(database: &mut SqliteConnection) -> Vec<(String, String, Option<String>)> {
        sqlx::query_as("select type, name, sql from sqlite_master order by name")
            .fetch_all(database)
            .await
            .unwrap()
    }

    async fn applied(database: &mut SqliteConnection) -> Vec<(i64, String, bool, Vec<u8>)> {
        sqlx::query_as(
            "select version, description, success, checksum from _sqlx_migrations order by version",
        )
        .fetch_all(database)
        .await
        .unwrap()
    }

    /// The file anew: without free pages, without times, and already in the mode that the store uses.
    async fn write_anew(database: &mut SqliteConnection, folder: &Path) {
        sqlx::query(
            "update _sqlx_migrations set installed_on = '1970-01-01 00:00:00', execution_time = 0",
        )
        .execute(&mut *database)
        .await
        .unwrap();
        let path = folder.join("vacuumed.sqlite");
        sqlx::query("vacuum into $1")
            .bind(path.to_str().unwrap())
            .execute(database)
            .await
            .unwrap();
        let wal = SqliteConnectOptions::new()
            .filename(&path)
            .journal_mode(SqliteJournalMode::Wal);
        wal.connect().await.unwrap().close().await.unwrap();
        let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(&fs::read(&path).unwrap()).unwrap();
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/store/empty.sqlite.gz");
        fs::write(file, encoder.finish().unwrap()).unwrap();
    }

    #[tokio::test]
    async fn the_empty_database_is_what_the_migrations_make() {
        let folder = tempfile::tempdir().unwrap();
        let mut made = migrated(&folder.path().join("made.sqlite")).await;
        if std::env::var_os("LOCALTRAIL_WRITE_EMPTY").is_some() {
            return write_anew(&mut made, folder.path()).await;
        }
        let path = folder.path().join("copy.sqlite");
        assert!(write_if_absent(&path, false).unwrap());
        let mut copied = SqliteConnectOptions::new()
            .filename(&path)
            .connect()
            .await
            .unwrap();
        let how = "write it anew, see this module's head";
        assert_eq!(
            applied(&mut copied).await,
            applied(&mut made).await,
            "{how}"
        );
        assert_eq!(schema(&mut copied).await, schema(&mut made).await, "{how}");
        for (kind, name, _) in schema(&mut copied).await {
            if kind == "table" && name != "_sqlx_migrations" {
                let rows: i64 =
                    sqlx::query_scalar(sqlx::AssertSqlSafe(format!("select count(*) from {name}")))
                        .fetch_one(&mut copied)
                        .await
                        .unwrap();
                assert_eq!(rows, 0, "{name}");
            }
        }
        let mode: String = sqlx::query_scalar("pragma journal_mode")
            .fetch_one(&mut copied)
            .await
            .unwrap();
        assert_eq!(mode, "wal");
    }

    #[test]
    fn what_is_there_stays() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("there.sqlite");
        fs::write(&path, "there").unwrap();
        assert!(!write_if_absent(&path, true).unwrap());
        assert_eq!(fs::read(&path).unwrap(), b"there");
    }
}
