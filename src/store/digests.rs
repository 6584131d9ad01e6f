//! Digests: which trails are digested, what their next digests name, the chains, and the keys that sign them.
//!
//! A run is a time in which validation is on and the trail logs; it ends with a last digest. Digests are stored with
//! key, body and signature before they are delivered, in the transaction that takes their log files off the list. What
//! a digest says is not known here.

use sqlx::sqlite::SqliteRow;
use sqlx::{FromRow, Row};

use super::connections::Batch;
use super::outbox::{Item, Step, done, enqueue};
use super::{Error, NewEvent, Store, Tx, riders};

/// When a trail was changed.
#[derive(Clone, Copy, Debug)]
pub struct Change {
    pub now_ms: i64,
    /// End of the delivery slot of that time: what the trail took before the change is delivered by then.
    pub slot_end_ms: i64,
}

/// When the last digest of a run is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ending {
    /// With the last delivery.
    WithItsSlot,
    /// When the running hour ends, but not before the last delivery.
    WithItsHour,
}

/// A time in which the log files of a trail are digested.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Run {
    pub id: i64,
    pub trail_id: i64,
    /// Whole seconds.
    pub start_ms: i64,
    /// Validation or logging has ended, so that the next digest is the last.
    pub is_ending: bool,
}

/// The newest digest of a chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    /// Account and region that the chain covers.
    pub account: String,
    pub region: String,
    /// The run that it was made in; 0 of backfill digests.
    pub run_id: i64,
    pub bucket: String,
    pub key: String,
    /// Hex SHA-256 of its JSON.
    pub sha256: String,
    /// Hex.
    pub signature: String,
    pub end_ms: i64,
}

/// A log file that a digest is to name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DigestedFile {
    pub id: i64,
    pub account: String,
    pub region: String,
    pub bucket: String,
    pub key: String,
    /// Hex SHA-256 of its JSON.
    pub sha256: String,
    /// eventTime of its oldest and newest event.
    pub oldest_ms: i64,
    pub newest_ms: i64,
    pub delivered_ms: i64,
}

/// What the next digests of a trail are made of.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Work {
    /// Ends of the trail's chains.
    pub links: Vec<Link>,
    /// In the order in which they were cut.
    pub files: Vec<DigestedFile>,
}

/// A digest on its way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Digest {
    /// 0 until it is stored.
    pub id: i64,
    pub trail_id: i64,
    pub trail_arn: String,
    /// Account and region that it covers.
    pub account: String,
    pub region: String,
    pub bucket: String,
    pub key: String,
    /// JSON.
    pub body: String,
    /// Hex SHA-256 of the body.
    pub sha256: String,
    /// Hex.
    pub signature: String,
    pub is_backfill: bool,
    /// 0 of a backfill digest.
    pub run_id: i64,
    pub end_ms: i64,
    pub made_ms: i64,
}

/// A key of digests. Does not show its private part.
#[derive(Clone)]
pub struct DigestKey {
    /// Hex MD5 of the public key's DER.
    pub fingerprint: String,
    pub region: String,
    /// Valid from here (inclusive).
    pub start_ms: i64,
    /// Valid to here (exclusive).
    pub end_ms: i64,
    /// PKCS#1 DER.
    pub public_key: Vec<u8>,
    /// PKCS#8 DER.
    pub private_key: Vec<u8>,
}

impl Store {
    /// The run, unless its last digest has been made.
    pub async fn digest_run_get(&self, id: i64) -> Result<Option<Run>, Error> {
        sqlx::query_as("select * from digest_run where digest_run_id = $1 and not is_closed")
            .bind(id)
            .fetch_optional(&mut *self.connections.read().await?)
            .await
    }

    /// What the next digests of the trail are made of: log files that were delivered up to `until_ms` and that no
    /// digest names yet, or, for a backfill digest, that missed theirs.
    pub async fn digest_work(
        &self,
        trail_id: i64,
        trail_arn: &str,
        is_backfill: bool,
        until_ms: i64,
    ) -> Result<Work, Error> {
        let mut reading = self.connections.read().await?;
        let links =
            sqlx::query_as("select * from digest_chain where trail_arn = $1 and is_backfill = $2")
                .bind(trail_arn)
                .bind(is_backfill)
                .fetch_all(&mut *reading)
                .await?;
        let files = sqlx::query_as(
            "select id, account, region, bucket, key, sha256, oldest_ms, newest_ms, delivered_ms from log_file
             where trail_id = $1 and awaits = $2 and delivered_ms <= $3 order by id",
        )
        .bind(trail_id)
        .bind(if is_backfill { "backfill" } else { "digest" })
        .bind(until_ms)
        .fetch_all(&mut *reading)
        .await?;
        Ok(Work { links, files })
    }

    /// Ends a step that made `digests` of `files`: each digest becomes its chain's newest and gets its upload, by a
    /// trigger. `next_ms` is when the hour of the run ends that follows; without it there is nothing to follow, and a
    /// run is closed.
    pub async fn digests_made(
        &self,
        item: &Item,
        digests: &[Digest],
        files: &[DigestedFile],
        next_ms: Option<i64>,
        now_ms: i64,
    ) -> Result<(), Error> {
        let mut batch = Batch::begin();
        digests_insert(&mut batch, digests);
        if !files.is_empty() {
            let ids: Vec<i64> = files.iter().map(|file| file.id).collect();
            let ids = serde_json::to_string(&ids).map_err(|error| Error::Encode(error.into()))?;
            batch
                .then("update log_file set awaits = null where id in (select value from json_each(")
                .push_bind(ids)
                .push("))");
        }
        // Before the next one is enqueued, which is known by the same name.
        done(&mut batch, item);
        if let Step::Digest { run_id, .. } = item.step {
            run_go_on(&mut batch, run_id, next_ms, now_ms)?;
        }
        self.connections.run(batch).await
    }

    pub async fn digest_get(&self, id: i64) -> Result<Option<Digest>, Error> {
        sqlx::query_as("select * from digest where digest_id = $1")
            .bind(id)
            .fetch_optional(&mut *self.connections.read().await?)
            .await
    }

    /// Ends the delivery of a digest, with the records of what it called. A trigger notes the success and ends the
    /// step; the chain keeps what the next digest names.
    pub async fn digest_delivered(
        &self,
        digest: &Digest,
        records: Vec<NewEvent>,
        now_ms: i64,
    ) -> Result<(), Error> {
        let mut batch = Batch::begin();
        riders::store(&mut batch, &records);
        batch
            .then("update digest set delivered_ms = ")
            .push_bind(now_ms)
            .push(" where digest_id = ")
            .push_bind(digest.id);
        self.connections.run(batch).await
    }

    /// Forgets a digest that cannot be delivered.
    pub async fn digest_given_up(&self, digest: &Digest) -> Result<(), Error> {
        sqlx::query("delete from digest where digest_id = $1")
            .bind(digest.id)
            .execute(&mut *self.connections.write().await?)
            .await?;
        Ok(())
    }

    /// Keys of a region that are valid at some time between the two (both inclusive), the oldest first.
    pub async fn digest_keys(
        &self,
        region: &str,
        since_ms: i64,
        until_ms: i64,
    ) -> Result<Vec<DigestKey>, Error> {
        sqlx::query_as(
            "select * from digest_key where region = $1 and start_ms <= $3 and end_ms >= $2 order by start_ms",
        )
        .bind(region)
        .bind(since_ms)
        .bind(until_ms)
        .fetch_all(&mut *self.connections.read().await?)
        .await
    }

    /// Keeps a new key, unless the region has one meanwhile that begins at the same time.
    pub async fn digest_key_insert(&self, key: &DigestKey) -> Result<(), Error> {
        sqlx::query(
            "insert into digest_key (fingerprint, region, start_ms, end_ms, public_key, private_key)
             values ($1, $2, $3, $4, $5, $6)
             on conflict (region, start_ms) do nothing",
        )
        .bind(&key.fingerprint)
        .bind(&key.region)
        .bind(key.start_ms)
        .bind(key.end_ms)
        .bind(&key.public_key)
        .bind(&key.private_key)
        .execute(&mut *self.connections.write().await?)
        .await?;
        Ok(())
    }
}

/// Brings the runs of a trail in line with whether it is digested from `change` on: begins one, or has the one that is
/// open end. A trail that stays as it is keeps its run.
pub(super) async fn runs_follow(
    tx: &mut Tx,
    trail_id: i64,
    is_digested: bool,
    change: Change,
    ending: Ending,
) -> Result<(), Error> {
    let open: Option<i64> = sqlx::query_scalar(
        "select digest_run_id from digest_run where trail_id = $1 and not is_closed and stop_ms is null",
    )
    .bind(trail_id)
    .fetch_optional(&mut **tx)
    .await?;
    match (open, is_digested) {
        (None, true) => run_begin(tx, trail_id, change.now_ms).await,
        (Some(run_id), false) => run_end(tx, run_id, change, ending).await,
        _ => Ok(()),
    }
}

async fn run_begin(tx: &mut Tx, trail_id: i64, now_ms: i64) -> Result<(), Error> {
    let start_ms = now_ms - now_ms.rem_euclid(1_000);
    let run_id: i64 = sqlx::query_scalar(
        "insert into digest_run (trail_id, start_ms) values ($1, $2) returning digest_run_id",
    )
    .bind(trail_id)
    .bind(start_ms)
    .fetch_one(&mut **tx)
    .await?;
    let end_ms = start_ms + Run::HOUR_MS;
    let mut batch = Batch::new();
    enqueue(
        &mut batch,
        &[Step::Digest { run_id, end_ms }],
        end_ms,
        now_ms,
    )?;
    tx.run(batch).await
}

async fn run_end(tx: &mut Tx, run_id: i64, change: Change, ending: Ending) -> Result<(), Error> {
    let step = Step::Digest { run_id, end_ms: 0 };
    let hour_end_ms: Option<i64> =
        sqlx::query_scalar("select due_ms from outbox where dedupe = $1")
            .bind(step.dedupe())
            .fetch_optional(&mut **tx)
            .await?;
    let last_ms = match (ending, hour_end_ms) {
        (Ending::WithItsHour, Some(hour_end_ms)) => hour_end_ms.max(change.slot_end_ms),
        _ => change.slot_end_ms,
    };
    sqlx::query("update digest_run set stop_ms = $2, last_ms = $3 where digest_run_id = $1")
        .bind(run_id)
        .bind(change.now_ms)
        .bind(last_ms)
        .execute(&mut **tx)
        .await?;
    sqlx::query("update outbox set due_ms = $2 where dedupe = $1")
        .bind(step.dedupe())
        .bind(last_ms)
        .execute(&mut **tx)
        .await?;
    Ok(())
}

/// Enqueues the next digest of a run, or closes it.
fn run_go_on(
    batch: &mut Batch,
    run_id: i64,
    next_ms: Option<i64>,
    now_ms: i64,
) -> Result<(), Error> {
    let Some(end_ms) = next_ms else {
        batch
            .then("update digest_run set is_closed = 1 where digest_run_id = ")
            .push_bind(run_id);
        return Ok(());
    };
    let step = Step::Digest { run_id, end_ms };
    enqueue(batch, std::slice::from_ref(&step), end_ms, now_ms)?;
    // It may have ended while this digest was made.
    batch
        .then("update outbox set due_ms = last_ms from digest_run where last_ms is not null and digest_run_id = ")
        .push_bind(run_id)
        .push(" and dedupe = ")
        .push_bind(step.dedupe());
    Ok(())
}

fn digests_insert(batch: &mut Batch, digests: &[Digest]) {
    if digests.is_empty() {
        return;
    }
    let query = batch.then(
        "insert into digest (trail_id, trail_arn, account, region, bucket, key, body, sha256, signature, is_backfill,
                             digest_run_id, end_ms, made_ms) ",
    );
    query.push_values(digests, |mut row, digest| {
        row.push_bind(digest.trail_id)
            .push_bind(&digest.trail_arn)
            .push_bind(&digest.account)
            .push_bind(&digest.region)
            .push_bind(&digest.bucket)
            .push_bind(&digest.key)
            .push_bind(&digest.body)
            .push_bind(&digest.sha256)
            .push_bind(&digest.signature)
            .push_bind(digest.is_backfill)
            .push_bind(digest.run_id)
            .push_bind(digest.end_ms)
            .push_bind(digest.made_ms);
    });
}

impl Run {
    /// How long a digest's period is.
    pub const HOUR_MS: i64 = 60 * 60 * 1_000;

    /// The first end of an hour of the run after `time_ms`.
    pub fn hour_end_after(&self, time_ms: i64) -> i64 {
        let hours = (time_ms - self.start_ms).div_euclid(Self::HOUR_MS) + 1;
        self.start_ms + hours * Self::HOUR_MS
    }
}

impl FromRow<'_, SqliteRow> for Run {
    fn from_row(row: &SqliteRow) -> Result<Self, Error> {
        let stop_ms: Option<i64> = row.try_get("stop_ms")?;
        Ok(Self {
            id: row.try_get("digest_run_id")?,
            trail_id: row.try_get("trail_id")?,
            start_ms: row.try_get("start_ms")?,
            is_ending: stop_ms.is_some(),
        })
    }
}

impl FromRow<'_, SqliteRow> for Link {
    fn from_row(row: &SqliteRow) -> Result<Self, Error> {
        Ok(Self {
            account: row.try_get("account")?,
            region: row.try_get("region")?,
            run_id: row.try_get("digest_run_id")?,
            bucket: row.try_get("bucket")?,
            key: row.try_get("key")?,
            sha256: row.try_get("sha256")?,
            signature: row.try_get("signature")?,
            end_ms: row.try_get("end_ms")?,
        })
    }
}

impl FromRow<'_, SqliteRow> for DigestedFile {
    fn from_row(row: &SqliteRow) -> Result<Self, Error> {
        Ok(Self {
            id: row.try_get("id")?,
            account: row.try_get("account")?,
            region: row.try_get("region")?,
            bucket: row.try_get("bucket")?,
            key: row.try_get("key")?,
            sha256: row.try_get("sha256")?,
            oldest_ms: row.try_get("oldest_ms")?,
            newest_ms: row.try_get("newest_ms")?,
            delivered_ms: row.try_get("delivered_ms")?,
        })
    }
}

impl FromRow<'_, SqliteRow> for Digest {
    fn from_row(row: &SqliteRow) -> Result<Self, Error> {
        Ok(Self {
            id: row.try_get("digest_id")?,
            trail_id: row.try_get("trail_id")?,
            trail_arn: row.try_get("trail_arn")?,
            account: row.try_get("account")?,
            region: row.try_get("region")?,
            bucket: row.try_get("bucket")?,
            key: row.try_get("key")?,
            body: row.try_get("body")?,
            sha256: row.try_get("sha256")?,
            signature: row.try_get("signature")?,
            is_backfill: row.try_get("is_backfill")?,
            run_id: row.try_get("digest_run_id")?,
            end_ms: row.try_get("end_ms")?,
            made_ms: row.try_get("made_ms")?,
        })
    }
}

impl FromRow<'_, SqliteRow> for DigestKey {
    fn from_row(row: &SqliteRow) -> Result<Self, Error> {
        Ok(Self {
            fingerprint: row.try_get("fingerprint")?,
            region: row.try_get("region")?,
            start_ms: row.try_get("start_ms")?,
            end_ms: row.try_get("end_ms")?,
            public_key: row.try_get("public_key")?,
            private_key: row.try_get("private_key")?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digests_end_at_whole_hours_from_the_start_of_their_run() {
        let run = Run {
            id: 1,
            trail_id: 1,
            start_ms: 91_000,
            is_ending: false,
        };
        let hour = Run::HOUR_MS;
        for (time, end) in [
            (91_000, hour),
            (92_000, hour),
            (91_000 + hour - 1, hour),
            (91_000 + hour, 2 * hour),
            (0, 0),
        ] {
            assert_eq!(run.hour_end_after(time), 91_000 + end, "{time}");
        }
    }
}
