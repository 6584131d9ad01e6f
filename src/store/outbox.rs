//! Work that is due, and the log files it makes.
//!
//! A row of the outbox is one step; the step that is done deletes its row in the transaction that writes its outcome
//! and its follow-ups, so that a crash between any two steps costs a repeated step and nothing else. One process owns
//! a database and its worker runs a step only once at a time, so rows are not leased.

use serde::{Deserialize, Serialize};
use sqlx::sqlite::SqliteRow;
use sqlx::{FromRow, QueryBuilder, Row, SqliteConnection};

use super::connections::Batch;
use super::{Error, NewEvent, Slot, Store, Tx, riders};

/// Something to be done. Cuts are enqueued by a trigger, with the first event that a trail takes of a slot.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Step {
    /// Cut the events that a trail takes of one slot, from `first_event` on, into log files.
    Cut {
        trail_id: i64,
        first_event: i64,
        slot_start_ms: i64,
        slot_end_ms: i64,
    },
    /// Write a log file to its bucket.
    Upload { log_file_id: i64 },
    /// Tell a topic of a log file.
    Notify { log_file_id: i64, topic_arn: String },
    /// Put the next batch of a log file's records, from behind event `after`, into a stream of a log group.
    PutLogEvents {
        log_file_id: i64,
        log_group_arn: String,
        stream: String,
        after: i64,
    },
    /// Choose, of the events that have come in from `first_event` on, those that go to the event bus of their account
    /// and region. Enqueued by a trigger, see store/event_bus.rs.
    GatherEvents {
        account: String,
        region: String,
        first_event: i64,
    },
    /// Put these events on the event bus of their account and region.
    PutEvents {
        account: String,
        region: String,
        events: Vec<i64>,
    },
    /// Make the digests of a trail for the hour that ends at `end_ms`.
    Digest { run_id: i64, end_ms: i64 },
    /// Make the backfill digests of a trail.
    Backfill { trail_id: i64 },
    /// Write a digest to its bucket.
    UploadDigest { digest_id: i64 },
}

impl Step {
    /// Whether the step sums up what others have delivered, and so waits until none of them is due.
    fn waits(&self) -> bool {
        match self {
            Self::Digest { .. } | Self::Backfill { .. } => true,
            Self::Cut { .. }
            | Self::Upload { .. }
            | Self::Notify { .. }
            | Self::PutLogEvents { .. }
            | Self::GatherEvents { .. }
            | Self::PutEvents { .. }
            | Self::UploadDigest { .. } => false,
        }
    }

    /// What a step is known by of which there is one at a time.
    pub(super) fn dedupe(&self) -> Option<String> {
        match self {
            Self::Digest { run_id, .. } => Some(format!("digest:{run_id}")),
            Self::Backfill { trail_id } => Some(format!("backfill:{trail_id}")),
            Self::Upload { log_file_id } => Some(format!("upload:{log_file_id}")),
            Self::UploadDigest { digest_id } => Some(format!("upload_digest:{digest_id}")),
            // The triggers that enqueue cuts and gatherings see to theirs.
            Self::Cut { .. }
            | Self::Notify { .. }
            | Self::PutLogEvents { .. }
            | Self::GatherEvents { .. }
            | Self::PutEvents { .. } => None,
        }
    }
}

/// What is due.
#[derive(Clone, Debug)]
pub enum Due {
    /// These steps, at least one.
    Now(Vec<Item>),
    /// No step before this time, in milliseconds since the epoch.
    At(i64),
    /// No step waits at all.
    Never,
}

/// A row of the outbox.
#[derive(Clone, Debug)]
pub struct Item {
    pub id: i64,
    pub step: Step,
    pub due_ms: i64,
    pub created_ms: i64,
    /// Tries that failed.
    pub attempts: u32,
}

impl FromRow<'_, SqliteRow> for Item {
    fn from_row(row: &SqliteRow) -> Result<Self, Error> {
        let step: String = row.try_get("step")?;
        Ok(Self {
            id: row.try_get("id")?,
            step: serde_json::from_str(&step).map_err(|error| Error::Decode(Box::new(error)))?,
            due_ms: row.try_get("due_ms")?,
            created_ms: row.try_get("created_ms")?,
            attempts: row.try_get("attempts")?,
        })
    }
}

/// An event that a cut may take, in order of recording.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    pub id: i64,
    pub account: String,
    pub region: String,
    /// eventTime.
    pub time_ms: i64,
    /// Length of its record.
    pub bytes: usize,
}

impl FromRow<'_, SqliteRow> for Candidate {
    fn from_row(row: &SqliteRow) -> Result<Self, Error> {
        let bytes: i64 = row.try_get("bytes")?;
        Ok(Self {
            id: row.try_get("id")?,
            account: row.try_get("account")?,
            region: row.try_get("region")?,
            time_ms: row.try_get("time_ms")?,
            bytes: usize::try_from(bytes).unwrap_or(usize::MAX),
        })
    }
}

/// A log file that has been cut: its name and the events that it holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogFile {
    /// 0 until it is stored.
    pub id: i64,
    pub trail_id: i64,
    pub account: String,
    pub region: String,
    pub bucket: String,
    pub key: String,
    pub first_event: i64,
    pub last_event: i64,
    pub slot_start_ms: i64,
    pub slot_end_ms: i64,
    pub events: i64,
    /// eventTime of its oldest and newest event.
    pub oldest_ms: i64,
    pub newest_ms: i64,
}

impl FromRow<'_, SqliteRow> for LogFile {
    fn from_row(row: &SqliteRow) -> Result<Self, Error> {
        Ok(Self {
            id: row.try_get("id")?,
            trail_id: row.try_get("trail_id")?,
            account: row.try_get("account")?,
            region: row.try_get("region")?,
            bucket: row.try_get("bucket")?,
            key: row.try_get("key")?,
            first_event: row.try_get("first_event")?,
            last_event: row.try_get("last_event")?,
            slot_start_ms: row.try_get("slot_start_ms")?,
            slot_end_ms: row.try_get("slot_end_ms")?,
            events: row.try_get("events")?,
            oldest_ms: row.try_get("oldest_ms")?,
            newest_ms: row.try_get("newest_ms")?,
        })
    }
}

/// A log file that is being cut, and the waiting records of own deliveries that ride along, by id. They are counted in
/// its `events` and lie outside of its range.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CutFile {
    pub file: LogFile,
    pub riders: Vec<i64>,
}

/// Makes log files of the events of a slot: they come one by one, in order of recording, the waiting riders last.
pub trait Partition: Send {
    fn event(&mut self, event: Candidate);
    fn rider(&mut self, rider: Candidate);
    fn files(self) -> Vec<CutFile>;
}

/// Steps enqueued by one statement.
const ENQUEUED: usize = 100;

/// Log files inserted by one statement.
const INSERTED: usize = 100;

/// Events read at a time while they are cut.
const CUT: u32 = 10_000;

/// A record of a log file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogFileRecord {
    /// Of its event.
    pub id: i64,
    /// eventTime, in milliseconds since the epoch.
    pub time_ms: i64,
    /// Compact JSON.
    pub record: String,
}

impl FromRow<'_, SqliteRow> for LogFileRecord {
    fn from_row(row: &SqliteRow) -> Result<Self, Error> {
        Ok(Self {
            id: row.try_get("id")?,
            time_ms: row.try_get("time_ms")?,
            record: row.try_get("record")?,
        })
    }
}

/// What waits for delivery, of one trail.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Backlog {
    pub trail_id: i64,
    /// Log files cut but not yet written.
    pub log_files: i64,
    pub events: i64,
    /// Log files that were tried for as long as they are, and will never be written.
    pub given_up_log_files: i64,
    pub given_up_events: i64,
}

/// A step as its row has it.
pub(super) fn text(step: &Step) -> Result<String, Error> {
    serde_json::to_string(step).map_err(|error| Error::Encode(Box::new(error)))
}

/// Enqueues steps, but for those of a kind of which there is one at a time and that one waits already.
pub(super) fn enqueue(
    batch: &mut Batch,
    steps: &[Step],
    due_ms: i64,
    now_ms: i64,
) -> Result<(), Error> {
    for steps in steps.chunks(ENQUEUED) {
        let rows: Vec<(String, &Step)> = steps
            .iter()
            .map(|step| Ok((text(step)?, step)))
            .collect::<Result<_, Error>>()?;
        batch
            .then("insert into outbox (step, dedupe, waits, due_ms, created_ms) ")
            .push_values(rows, |mut row, (text, step)| {
                row.push_bind(text)
                    .push_bind(step.dedupe())
                    .push_bind(step.waits())
                    .push_bind(due_ms)
                    .push_bind(now_ms);
            })
            .push(" on conflict (dedupe) do nothing");
    }
    Ok(())
}

pub(super) fn done(batch: &mut Batch, item: &Item) {
    batch
        .then("delete from outbox where id = ")
        .push_bind(item.id);
}

/// Stores log files and gives them their ids.
async fn log_files_insert(tx: &mut Tx, cut: &mut [CutFile]) -> Result<(), Error> {
    for cut in cut.chunks_mut(INSERTED) {
        let mut query = QueryBuilder::new(
            "insert into log_file (trail_id, account, region, bucket, key, first_event, last_event, slot_start_ms,
                                   slot_end_ms, events, oldest_ms, newest_ms) ",
        );
        query.push_values(&*cut, |mut row, CutFile { file, .. }| {
            row.push_bind(file.trail_id)
                .push_bind(&file.account)
                .push_bind(&file.region)
                .push_bind(&file.bucket)
                .push_bind(&file.key)
                .push_bind(file.first_event)
                .push_bind(file.last_event)
                .push_bind(file.slot_start_ms)
                .push_bind(file.slot_end_ms)
                .push_bind(file.events)
                .push_bind(file.oldest_ms)
                .push_bind(file.newest_ms);
        });
        let inserted = query.build().execute(&mut **tx).await?;
        // Rows of one statement follow each other, and nothing else writes.
        for (id, cut) in (0..=inserted.last_insert_rowid())
            .rev()
            .zip(cut.iter_mut().rev())
        {
            cut.file.id = id;
        }
    }
    Ok(())
}

/// The next events that a cut of a trail's slot may take, from the event `from` on.
async fn candidates(
    connection: &mut SqliteConnection,
    trail_id: i64,
    slot: Slot,
    from: i64,
) -> Result<Vec<Candidate>, Error> {
    sqlx::query_as(
        "select id, account, region, time_ms, octet_length(record) as bytes from event
         where id >= $1 and slot_start_ms = $2 and slot_end_ms = $3 and takers is not null
           and exists (select 1 from json_each(takers) where value = $4)
         order by id limit 0 + $5",
    )
    .bind(from)
    .bind(slot.start_ms)
    .bind(slot.end_ms)
    .bind(trail_id)
    .bind(CUT)
    .fetch_all(connection)
    .await
}

/// Has all of `candidates` partitioned; gives the event to go on from, where there is any.
fn all_of(candidates: Vec<Candidate>, partition: &mut impl Partition) -> Option<i64> {
    let last = candidates.last()?.id;
    candidates
        .into_iter()
        .for_each(|event| partition.event(event));
    Some(last + 1)
}

impl Store {
    /// Up to `limit` steps that are due, the earliest first; one that waits for others only when none of those is left,
    /// and by itself. Where none is due, when the next one is.
    pub async fn outbox_due(&self, now_ms: i64, limit: u32) -> Result<Due, Error> {
        let earliest: Vec<Item> = sqlx::query_as(
            "with until (ms) as (select max($1, coalesce((select min(due_ms) from outbox), $1))),
             ready as (
                 select id, due_ms, step, created_ms, attempts from outbox
                 where waits = 0 and due_ms <= (select ms from until) order by due_ms, id limit 0 + $2
             ), waiting as (
                 select id, due_ms, step, created_ms, attempts from outbox
                 where waits = 1 and due_ms <= (select ms from until) and not exists (select 1 from ready)
                 order by due_ms, id limit min($2, 1)
             )
             select * from ready union all select * from waiting order by due_ms, id",
        )
        .bind(now_ms)
        .bind(limit)
        .fetch_all(&mut *self.connections.read().await?)
        .await?;
        Ok(match earliest.first() {
            None => Due::Never,
            Some(first) if first.due_ms > now_ms => Due::At(first.due_ms),
            Some(_) => Due::Now(earliest),
        })
    }

    /// Makes every step due now that is due later: cuts before their slot has ended, and what is to be tried again;
    /// with `digests` those too.
    pub async fn outbox_hurry(&self, now_ms: i64, digests: bool) -> Result<(), Error> {
        sqlx::query("update outbox set due_ms = $1 where due_ms > $1 and waits <= $2")
            .bind(now_ms)
            .bind(digests)
            .execute(&mut *self.connections.write().await?)
            .await?;
        Ok(())
    }

    /// Writes the first of `items` to the disk, as it is: fails where nothing can be written.
    pub async fn outbox_touch(&self, items: &[Item]) -> Result<(), Error> {
        let first = items.first().map(|item| item.id);
        let mut batch = Batch::begin();
        // What does not change anything SQLite does not write.
        for change in [
            "update outbox set attempts = attempts + 1 where id = ",
            "update outbox set attempts = attempts - 1 where id = ",
        ] {
            batch.then(change).push_bind(first);
        }
        self.connections.run(batch).await
    }

    /// A step that failed: when it is tried again, and why.
    pub async fn outbox_failed(&self, item: &Item, due_ms: i64, why: &str) -> Result<(), Error> {
        sqlx::query(
            "update outbox set due_ms = $2, attempts = attempts + 1, last_error = $3 where id = $1",
        )
        .bind(item.id)
        .bind(due_ms)
        .bind(why)
        .execute(&mut *self.connections.write().await?)
        .await?;
        Ok(())
    }

    /// A step that is done and has no outcome to keep, or is given up.
    pub async fn outbox_done(&self, item: &Item) -> Result<(), Error> {
        sqlx::query("delete from outbox where id = $1")
            .bind(item.id)
            .execute(&mut *self.connections.write().await?)
            .await?;
        Ok(())
    }

    /// Ends a step that others follow.
    pub async fn outbox_follow(
        &self,
        item: &Item,
        next: &[Step],
        now_ms: i64,
    ) -> Result<(), Error> {
        let mut batch = Batch::begin();
        enqueue(&mut batch, next, now_ms, now_ms)?;
        done(&mut batch, item);
        self.connections.run(batch).await
    }

    /// Ends a cut: `partition` makes log files of the events that it takes, with the riders that go along, and each
    /// file gets the steps that `next` gives.
    pub async fn log_file_cut(
        &self,
        item: &Item,
        now_ms: i64,
        mut partition: impl Partition,
        next: impl Fn(&LogFile) -> Vec<Step> + Send,
    ) -> Result<(), Error> {
        let Step::Cut {
            trail_id,
            first_event,
            slot_start_ms,
            slot_end_ms,
        } = &item.step
        else {
            return Err(Error::Protocol("not a cut".to_owned()));
        };
        let slot = Slot {
            start_ms: *slot_start_ms,
            end_ms: *slot_end_ms,
        };
        // Most of the slot is read while others write: its events do not change, and later ones have later ids.
        let mut from = *first_event;
        loop {
            let reading = &mut *self.connections.read().await?;
            let candidates = candidates(reading, *trail_id, slot, from).await?;
            let is_full = candidates.len() == CUT as usize;
            from = all_of(candidates, &mut partition).unwrap_or(from);
            if !is_full {
                break;
            }
        }
        // The rest inside the transaction: an event of this slot that commits meanwhile would find this cut still
        // waiting and ask for none of its own.
        let mut tx = self.begin().await?;
        while let Some(next) = all_of(
            candidates(&mut tx, *trail_id, slot, from).await?,
            &mut partition,
        ) {
            from = next;
        }
        for rider in riders::waiting(&mut tx, *trail_id).await? {
            partition.rider(rider);
        }
        let (mut steps, mut batch) = (Vec::new(), Batch::new());
        let mut cut = partition.files();
        log_files_insert(&mut tx, &mut cut).await?;
        for CutFile { file, riders } in &cut {
            riders::board(&mut batch, *trail_id, file.id, riders)?;
            steps.extend(next(file));
        }
        enqueue(&mut batch, &steps, now_ms, now_ms)?;
        done(&mut batch, item);
        tx.commit_with(batch).await
    }

    pub async fn log_file_get(&self, id: i64) -> Result<Option<LogFile>, Error> {
        sqlx::query_as("select * from log_file where id = $1")
            .bind(id)
            .fetch_optional(&mut *self.connections.read().await?)
            .await
    }

    /// The next up to `limit` records of a log file, from after event `after`.
    pub async fn log_file_records(
        &self,
        file: &LogFile,
        after: i64,
        limit: u32,
    ) -> Result<Vec<LogFileRecord>, Error> {
        sqlx::query_as(
            "select id, time_ms, record from event
             where id between max($1, $2 + 1) and $3 and account = $4 and region = $5
               and slot_start_ms = $6 and slot_end_ms = $7 and takers is not null
               and exists (select 1 from json_each(takers) where value = $8)
             union all
             select e.id, e.time_ms, e.record from rider r join event e on e.id = r.event
             where r.log_file_id = $10 and r.event > $2
             order by 1 limit 0 + $9",
        )
        .bind(file.first_event)
        .bind(after)
        .bind(file.last_event)
        .bind(&file.account)
        .bind(&file.region)
        .bind(file.slot_start_ms)
        .bind(file.slot_end_ms)
        .bind(file.trail_id)
        .bind(limit)
        .bind(file.id)
        .fetch_all(&mut *self.connections.read().await?)
        .await
    }

    /// Ends an upload, by a trigger, with the records of what it called; the topic, if the trail has one, is told next.
    /// `sha256` is that of its JSON.
    ///
    /// The next digest names the file if the trail is digested now. If it no longer is, but was when the file should
    /// have come, a backfill digest does. A file that was delivered before stays as it is.
    pub async fn log_file_delivered(
        &self,
        file: &LogFile,
        sha256: &str,
        topic_arn: Option<String>,
        records: Vec<NewEvent>,
        now_ms: i64,
    ) -> Result<(), Error> {
        let delivered = sqlx::query(
            "update log_file set delivered_ms = $2, sha256 = $3, awaits = case
                 when exists (select 1 from digest_run where trail_id = $4 and not is_closed) then 'digest'
                 when exists (select 1 from digest_run where trail_id = $4 and start_ms < $6 and stop_ms >= $5)
                     then 'backfill'
             end
             where id = $1 and delivered_ms is null",
        )
        .bind(file.id)
        .bind(now_ms)
        .bind(sha256)
        .bind(file.trail_id)
        .bind(file.slot_start_ms)
        .bind(file.slot_end_ms);
        // Most often there is nothing more, and one statement is its own transaction.
        if topic_arn.is_none() && records.is_empty() {
            delivered
                .execute(&mut *self.connections.write().await?)
                .await?;
            return Ok(());
        }
        let mut tx = self.begin().await?;
        let mut batch = Batch::new();
        if delivered.execute(&mut *tx).await?.rows_affected() > 0 {
            riders::store(&mut batch, &records);
            if let Some(topic_arn) = topic_arn {
                let step = Step::Notify {
                    log_file_id: file.id,
                    topic_arn,
                };
                enqueue(&mut batch, &[step], now_ms, now_ms)?;
            }
        }
        tx.commit_with(batch).await
    }

    /// Ends a notification, with the record of its call.
    pub async fn notification_sent(
        &self,
        item: &Item,
        records: Vec<NewEvent>,
    ) -> Result<(), Error> {
        let mut batch = Batch::begin();
        riders::store(&mut batch, &records);
        done(&mut batch, item);
        self.connections.run(batch).await
    }

    /// What waits to be written and what never will be, by trail; trails that have neither are left out, and so is
    /// what trails that are deleted have not delivered.
    pub async fn backlogs(&self) -> Result<Vec<Backlog>, Error> {
        let rows: Vec<(i64, i64, i64, i64, i64)> = sqlx::query_as(
            "select trail_id, sum(waits), sum(iif(waits, events, 0)), sum(not waits), sum(iif(waits, 0, events))
             from (select f.trail_id, f.events,
                          exists (select 1 from outbox where dedupe = 'upload:' || f.id) as waits
                   from log_file f where f.delivered_ms is null)
             where waits or trail_id in (select trail_id from trail)
             group by trail_id",
        )
        .fetch_all(&mut *self.connections.read().await?)
        .await?;
        Ok(rows
            .into_iter()
            .map(|row| Backlog {
                trail_id: row.0,
                log_files: row.1,
                events: row.2,
                given_up_log_files: row.3,
                given_up_events: row.4,
            })
            .collect())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;
    use crate::store::Lifetime;

    /// Notes what is to be partitioned.
    #[derive(Clone, Default)]
    struct Noted(Arc<Mutex<Vec<Candidate>>>);

    impl Partition for Noted {
        fn event(&mut self, event: Candidate) {
            self.0.lock().unwrap().push(event);
        }

        fn rider(&mut self, _: Candidate) {}

        fn files(self) -> Vec<CutFile> {
            Vec::new()
        }
    }

    fn event(number: i64, record: &str) -> NewEvent {
        NewEvent {
            event_id: format!("event-{number}"),
            account: "111122223333".to_owned(),
            region: "us-east-1".to_owned(),
            time_ms: number,
            source: "cloudtrail.amazonaws.com".to_owned(),
            name: "ListTrails".to_owned(),
            read_only: Some(true),
            category: "Management".to_owned(),
            user_name: None,
            access_key_id: None,
            resources: Vec::new(),
            record: record.to_owned(),
            takers: vec![7],
            slot: Slot::of(0, 300_000),
        }
    }

    #[tokio::test]
    async fn a_cut_takes_every_event_of_its_slot_once_and_knows_its_bytes() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("test.sqlite");
        let store = Store::open(&path, Lifetime::Temporary).await.unwrap();
        // More than are read at a time.
        let count = i64::from(CUT) + 2;
        let events = (0..count).map(|number| event(number, r#""ä€""#));
        store.events_append(events.collect()).await.unwrap();
        let Due::Now(due) = store.outbox_due(i64::MAX, 9).await.unwrap() else {
            panic!("nothing is due");
        };
        let [cut] = due.as_slice() else {
            panic!("{due:?}");
        };
        let noted = Noted::default();
        let taken = store.log_file_cut(cut, 0, noted.clone(), |_| Vec::new());
        taken.await.unwrap();
        let taken = noted.0.lock().unwrap();
        let ids: Vec<i64> = taken.iter().map(|event| event.id).collect();
        assert_eq!(ids, (1..=count).collect::<Vec<_>>());
        assert!(taken.iter().all(|event| event.bytes == r#""ä€""#.len()));
    }
}
