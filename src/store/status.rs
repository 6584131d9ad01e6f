//! How the deliveries of trails fare: the last success and the last failure of each kind, by region.
//!
//! That a log file or a digest was delivered is noted by triggers, with the delivery itself (migrations/0006_digest.sql).

use sqlx::sqlite::SqliteRow;
use sqlx::{AssertSqlSafe, FromRow, Row};

use super::{Error, Store};

/// How delivery to one region's part of the bucket fares. Times are milliseconds since the epoch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DeliveryStatus {
    pub log_files: Outcome,
    pub notifications: Outcome,
    pub digests: Outcome,
    pub logs: Outcome,
}

/// The last outcomes of one kind of delivery.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    pub succeeded_ms: Option<i64>,
    pub attempted_ms: Option<i64>,
    /// Code of the failure that no success has followed.
    pub error: Option<String>,
}

impl Store {
    /// How delivery from `region` fares; all empty where nothing was tried yet.
    pub async fn delivery_status_get(
        &self,
        trail_id: i64,
        region: &str,
    ) -> Result<DeliveryStatus, Error> {
        let status =
            sqlx::query_as("select * from delivery_status where trail_id = $1 and region = $2")
                .bind(trail_id)
                .bind(region)
                .fetch_optional(&mut *self.connections.read().await?)
                .await?;
        Ok(status.unwrap_or_default())
    }
}

/// Two methods for each kind of delivery. A trail that was deleted meanwhile gets no status.
macro_rules! outcomes {
    ($($what:literal $column:literal $succeeded:ident $failed:ident;)*) => {
        impl Store {
            $(
                #[doc = concat!("Notes that ", $what, " of `region` succeeded.")]
                pub async fn $succeeded(
                    &self,
                    trail_id: i64,
                    region: &str,
                    now_ms: i64,
                ) -> Result<(), Error> {
                    sqlx::query(concat!(
                        "insert into delivery_status (trail_id, region, ", $column, "_ms, ", $column, "_attempt_ms) ",
                        "select trail_id, $2, $3, $3 from trail where trail_id = $1 ",
                        "on conflict (trail_id, region) do update set ",
                        $column, "_ms = $3, ", $column, "_attempt_ms = $3, ", $column, "_error = null",
                    ))
                    .bind(trail_id)
                    .bind(region)
                    .bind(now_ms)
                    .execute(&mut *self.connections.write().await?)
                    .await?;
                    Ok(())
                }

                #[doc = concat!("Notes that ", $what, " of `region` failed with the service's error `code`.")]
                pub async fn $failed(
                    &self,
                    trail_id: i64,
                    region: &str,
                    now_ms: i64,
                    code: &str,
                ) -> Result<(), Error> {
                    sqlx::query(concat!(
                        "insert into delivery_status (trail_id, region, ", $column, "_attempt_ms, ", $column, "_error) ",
                        "select trail_id, $2, $3, $4 from trail where trail_id = $1 ",
                        "on conflict (trail_id, region) do update set ",
                        $column, "_attempt_ms = $3, ", $column, "_error = $4",
                    ))
                    .bind(trail_id)
                    .bind(region)
                    .bind(now_ms)
                    .bind(code)
                    .execute(&mut *self.connections.write().await?)
                    .await?;
                    Ok(())
                }
            )*
        }
    };
}

outcomes! {
    "the delivery of a log file"     "delivery"     delivery_succeeded     delivery_failed;
    "a notification"                 "notification" notification_succeeded notification_failed;
    "the delivery of a digest"       "digest"       digest_succeeded       digest_failed;
    "the delivery to a log group"    "logs"         logs_succeeded         logs_failed;
}

/// The codes of a trail's newest failures that are not yet made good, in whatever region.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Failures {
    pub log_files: Option<String>,
    pub notifications: Option<String>,
    pub digests: Option<String>,
    pub logs: Option<String>,
}

impl Store {
    pub async fn delivery_failures(&self, trail_id: i64) -> Result<Failures, Error> {
        let newest = |column: &str| {
            format!(
                "(select {column}_error from delivery_status where trail_id = $1 and {column}_error is not null
                  order by {column}_attempt_ms desc limit 1)"
            )
        };
        let [log_files, notifications, digests, logs] =
            ["delivery", "notification", "digest", "logs"].map(newest);
        let query = AssertSqlSafe(format!(
            "select {log_files}, {notifications}, {digests}, {logs}"
        ));
        let (log_files, notifications, digests, logs) = sqlx::query_as(query)
            .bind(trail_id)
            .fetch_one(&mut *self.connections.read().await?)
            .await?;
        Ok(Failures {
            log_files,
            notifications,
            digests,
            logs,
        })
    }
}

impl FromRow<'_, SqliteRow> for DeliveryStatus {
    fn from_row(row: &SqliteRow) -> Result<Self, Error> {
        let outcome = |succeeded, attempted, error| {
            Ok::<_, Error>(Outcome {
                succeeded_ms: row.try_get(succeeded)?,
                attempted_ms: row.try_get(attempted)?,
                error: row.try_get(error)?,
            })
        };
        Ok(Self {
            log_files: outcome("delivery_ms", "delivery_attempt_ms", "delivery_error")?,
            notifications: outcome(
                "notification_ms",
                "notification_attempt_ms",
                "notification_error",
            )?,
            digests: outcome("digest_ms", "digest_attempt_ms", "digest_error")?,
            logs: outcome("logs_ms", "logs_attempt_ms", "logs_error")?,
        })
    }
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::*;
    use crate::store::{Lifetime, Trail};

    /// A store with a trail, and the trail's id.
    async fn trail(folder: &TempDir) -> (Store, i64) {
        let path = folder.path().join("test.db");
        let store = Store::open(&path, Lifetime::Temporary).await.unwrap();
        let trail = Trail {
            account: "111122223333".to_owned(),
            home_region: "us-east-1".to_owned(),
            name: "main".to_owned(),
            ..Trail::default()
        };
        let id = store.trail_insert(&trail.within(5), &[]).await.unwrap();
        (store, id)
    }

    #[tokio::test]
    async fn a_success_makes_good_the_failure_before() {
        let folder = tempfile::tempdir().unwrap();
        let (store, id) = trail(&folder).await;
        let status = || store.delivery_status_get(id, "eu-west-1");
        let outcome = |succeeded_ms, attempted_ms, error: Option<&str>| Outcome {
            succeeded_ms,
            attempted_ms,
            error: error.map(str::to_owned),
        };
        store
            .notification_failed(id, "eu-west-1", 5, "NotFound")
            .await
            .unwrap();
        assert_eq!(
            status().await.unwrap().notifications,
            outcome(None, Some(5), Some("NotFound"))
        );
        store
            .notification_succeeded(id, "eu-west-1", 6)
            .await
            .unwrap();
        assert_eq!(
            status().await.unwrap().notifications,
            outcome(Some(6), Some(6), None)
        );
        store
            .notification_failed(id, "eu-west-1", 7, "NotFound")
            .await
            .unwrap();
        assert_eq!(
            status().await.unwrap().notifications,
            outcome(Some(6), Some(7), Some("NotFound"))
        );
        store.logs_failed(id, "eu-west-1", 8, "X").await.unwrap();
        store.digest_failed(id, "eu-west-1", 9, "Y").await.unwrap();
        let all = status().await.unwrap();
        assert_eq!(all.logs, outcome(None, Some(8), Some("X")));
        assert_eq!(all.digests, outcome(None, Some(9), Some("Y")));
        assert_eq!(all.log_files, Outcome::default());
    }

    #[tokio::test]
    async fn the_newest_failure_of_any_region_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let (store, id) = trail(&folder).await;
        store
            .delivery_failed(id, "us-east-1", 1, "A")
            .await
            .unwrap();
        store
            .delivery_failed(id, "eu-west-1", 2, "B")
            .await
            .unwrap();
        store.logs_failed(id, "eu-west-1", 3, "C").await.unwrap();
        let failures = Failures {
            log_files: Some("B".to_owned()),
            logs: Some("C".to_owned()),
            ..Failures::default()
        };
        assert_eq!(store.delivery_failures(id).await.unwrap(), failures);
        store.delivery_succeeded(id, "eu-west-1", 4).await.unwrap();
        let failures = store.delivery_failures(id).await.unwrap();
        assert_eq!(failures.log_files.as_deref(), Some("A"));
    }
}
