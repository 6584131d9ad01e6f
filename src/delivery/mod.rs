//! Turns stored events into delivered files. Works only from the outbox: every step is a row, every row may be run
//! twice. Never asks why an event was taken; `event::select` decided that when the event was stored.
//!
//! What a step calls is recorded with its outcome, as CloudTrail's own calls are: data events where a trail takes
//! them, management events always. How such records are kept from causing deliveries for ever stands in
//! `store/riders.rs`.

mod chain;
pub mod digest;
mod event_bus;
pub mod log_file;
mod logs;

use bytes::Bytes;
use chrono::{DateTime, TimeDelta};
use tracing::error;

use crate::clock::{Ids, alphabet};
use crate::event::own::{OwnCall, WrittenObject};
use crate::keys::{KeyError, Keys};
use crate::policy::cloudtrail::Deliverer;
use crate::store::{Error, Item, LogFile, NewEvent, Slot, Step, Store, Trail};
use crate::takers::{Logging, Takers};
use crate::targets::{LogFileObject, TargetError, Targets};
use log_file::{Destination, Encoded, Encoder, Partitioner};

pub use event_bus::EventBus;

/// Files that cannot be delivered are tried for 30 days (facts 2.4).
const GIVE_UP_AFTER: TimeDelta = TimeDelta::days(30);
/// Records read at a time while a file is written.
const PAGE: u32 = 500;

/// What the steps work with.
#[derive(Clone, Debug)]
pub struct Delivery {
    pub store: Store,
    pub targets: Targets,
    pub keys: Keys,
    pub ids: Ids,
    pub takers: Takers,
    /// Of the records of own calls.
    pub event_version: String,
    pub event_bus: EventBus,
}

/// What keeps a step from being run: the machine's fault, not a target's. The step stays as it is.
#[derive(Debug, thiserror::Error)]
pub enum DeliveryError {
    #[error(transparent)]
    Database(#[from] crate::store::Error),
    #[error(transparent)]
    Key(#[from] KeyError),
    #[error("cannot gzip: {0}")]
    Gzip(#[from] std::io::Error),
    #[error("cannot write JSON: {0}")]
    Json(#[from] serde_json::Error),
}

/// How a step ended.
#[derive(Debug)]
pub enum Outcome {
    /// Its outcome is written and its row gone.
    Done(Option<Delivered>),
    /// Try it again later.
    Retry(Failed),
    /// Never again.
    GiveUp(Failed),
}

/// A file that was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Delivered {
    LogFile {
        trail_arn: String,
        bucket: String,
        key: String,
        events: i64,
    },
    Digest {
        trail_arn: String,
        bucket: String,
        key: String,
    },
}

/// A step that failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failed {
    /// The trail, or the event bus, that was not served. Empty where the step has no trail any more.
    pub trail_arn: String,
    /// The service's error code.
    pub error: String,
}

impl Delivery {
    /// The same for one run of the worker: a service that turns out to be silent is not asked again in it. Each of the steps
    /// for it would hold up those for the others, for the whole timeout.
    pub fn for_run(&self) -> Self {
        Self {
            targets: self.targets.noting_silence(),
            ..self.clone()
        }
    }

    /// Runs one step at `now_ms`.
    pub async fn run_step(&self, item: &Item, now_ms: i64) -> Result<Outcome, DeliveryError> {
        match &item.step {
            Step::Cut {
                trail_id,
                slot_start_ms,
                slot_end_ms,
                ..
            } => {
                let slot = Slot {
                    start_ms: *slot_start_ms,
                    end_ms: *slot_end_ms,
                };
                self.cut(item, *trail_id, slot, now_ms).await
            }
            Step::Upload { log_file_id } => self.upload(item, *log_file_id, now_ms).await,
            Step::Notify {
                log_file_id,
                topic_arn,
            } => self.notify(item, *log_file_id, topic_arn, now_ms).await,
            Step::PutLogEvents {
                log_file_id,
                log_group_arn,
                stream,
                after,
            } => {
                let to = logs::Place {
                    log_group_arn,
                    stream,
                };
                Ok(self
                    .put_logs(item, *log_file_id, to, *after, now_ms)
                    .await?)
            }
            Step::GatherEvents {
                account, region, ..
            } => Ok(self.gather_events(item, account, region, now_ms).await?),
            Step::PutEvents {
                account,
                region,
                events,
            } => Ok(self
                .put_events(item, account, region, events, now_ms)
                .await?),
            Step::Digest { run_id, end_ms } => self.digest(item, *run_id, *end_ms, now_ms).await,
            Step::Backfill { trail_id } => self.backfill(item, *trail_id, now_ms).await,
            Step::UploadDigest { digest_id } => self.upload_digest(item, *digest_id, now_ms).await,
        }
    }

    async fn cut(
        &self,
        item: &Item,
        trail_id: i64,
        slot: Slot,
        now_ms: i64,
    ) -> Result<Outcome, DeliveryError> {
        let Some(trail) = self.store.trail_by_id(trail_id).await? else {
            self.store.outbox_done(item).await?;
            return Ok(Outcome::Done(None));
        };
        let log_group_arn = trail.cloud_watch_logs_log_group_arn.clone();
        let organization_id = trail.organization_id.clone();
        let next = move |file: &LogFile| {
            let log_file_id = file.id;
            let put_logs = log_group_arn
                .as_deref()
                .map(|arn| logs::first_step(file, arn, organization_id.as_deref()));
            [Step::Upload { log_file_id }]
                .into_iter()
                .chain(put_logs)
                .collect()
        };
        let ids = self.ids.clone();
        let to = Destination {
            trail_id,
            bucket: &trail.s3_bucket_name,
            prefix: trail.s3_key_prefix.as_deref(),
            organization: trail.organization_id.as_deref(),
        };
        let unique = || ids.text(16, alphabet::ALPHANUMERIC);
        let partition = Partitioner::new(to, slot, log_file::MAX_BYTES, unique);
        self.store
            .log_file_cut(item, now_ms, partition, next)
            .await?;
        Ok(Outcome::Done(None))
    }

    async fn upload(
        &self,
        item: &Item,
        log_file_id: i64,
        now_ms: i64,
    ) -> Result<Outcome, DeliveryError> {
        let Some(file) = self.store.log_file_get(log_file_id).await? else {
            self.store.outbox_done(item).await?;
            return Ok(Outcome::Done(None));
        };
        let trail = self.store.trail_by_id(file.trail_id).await?;
        let trail_arn = trail.as_ref().map(|trail| trail.arn()).unwrap_or_default();
        let region = trail
            .as_ref()
            .map_or(file.region.as_str(), |trail| trail.home_region.as_str());
        let object = LogFileObject {
            // The bucket of an organization trail is not of the account whose events the file has.
            account: trail.as_ref().map_or(&file.account, |trail| &trail.account),
            region,
            bucket: &file.bucket,
            key: &file.key,
            kms_key_id: object_key(&trail),
            metadata: &[],
            bytes: Bytes::new(),
            deliverer: trail
                .as_ref()
                .map(|trail| deliverer(trail, &trail_arn, &file)),
        };
        let put = match self.targets.log_file_admitted(&object).await {
            Ok(()) => {
                // Only now: encoding again, with each try, what waits for a bucket would be the most of an outage's cost.
                let Encoded { bytes, sha256 } = self.encode(&file).await?;
                let bytes = Bytes::from(bytes);
                let written = bytes.len();
                let put = self.targets.put_log_file(LogFileObject { bytes, ..object });
                put.await.map(|()| (written, sha256))
            }
            Err(error) => Err(error),
        };
        match put {
            Ok((written, sha256)) => {
                let kms_key_id = object_key(&trail);
                let calls = self.written(&file, region, &trail_arn, kms_key_id, written);
                let records = self.own_records(calls, &file.key, now_ms).await?;
                let topic_arn = trail.and_then(|trail| trail.sns_topic_arn);
                self.store
                    .log_file_delivered(&file, &sha256, topic_arn, records, now_ms)
                    .await?;
                let LogFile {
                    bucket,
                    key,
                    events,
                    ..
                } = file;
                Ok(Outcome::Done(Some(Delivered::LogFile {
                    trail_arn,
                    bucket,
                    key,
                    events,
                })))
            }
            // Trail and bucket are both gone: nobody is left who wants the file.
            Err(error)
                if error.code == "NoSuchBucket" && trail.is_some_and(|trail| trail.is_deleted) =>
            {
                self.store.outbox_done(item).await?;
                Ok(Outcome::Done(None))
            }
            Err(error) => {
                self.store
                    .delivery_failed(file.trail_id, &file.region, now_ms, &error.code)
                    .await?;
                let outcome = failed(item, trail_arn, error, now_ms);
                if let Outcome::GiveUp(Failed { error, .. }) = &outcome {
                    let LogFile {
                        bucket,
                        key,
                        events,
                        ..
                    } = &file;
                    error!(
                        "a log file of {events} events will never be delivered, after {} days of {error}: s3://{bucket}/{key}",
                        GIVE_UP_AFTER.num_days()
                    );
                }
                Ok(outcome)
            }
        }
    }

    async fn notify(
        &self,
        item: &Item,
        log_file_id: i64,
        topic_arn: &str,
        now_ms: i64,
    ) -> Result<Outcome, DeliveryError> {
        let Some(file) = self.store.log_file_get(log_file_id).await? else {
            self.store.outbox_done(item).await?;
            return Ok(Outcome::Done(None));
        };
        let trail = self.store.trail_by_id(file.trail_id).await?;
        let trail_arn = trail.as_ref().map(Trail::arn).unwrap_or_default();
        let deliverer = trail
            .as_ref()
            .map(|trail| deliverer(trail, &trail_arn, &file));
        // The shape that the processing library reads (facts 10): the key is in a list.
        let message =
            serde_json::json!({ "s3Bucket": file.bucket, "s3ObjectKey": [file.key] }).to_string();
        match self.targets.publish(deliverer, topic_arn, &message).await {
            Ok(message_id) => {
                self.store
                    .notification_succeeded(file.trail_id, &file.region, now_ms)
                    .await?;
                let call = OwnCall::publish(topic_arn, &message, message_id.as_deref());
                let calls = call.into_iter().collect();
                let records = self.own_records(calls, &file.key, now_ms).await?;
                self.store.notification_sent(item, records).await?;
                Ok(Outcome::Done(None))
            }
            // Trail and topic are both gone: nobody is left to be told.
            Err(error)
                if error.code == "NotFound" && trail.is_some_and(|trail| trail.is_deleted) =>
            {
                self.store.outbox_done(item).await?;
                Ok(Outcome::Done(None))
            }
            Err(error) => {
                self.store
                    .notification_failed(file.trail_id, &file.region, now_ms, &error.code)
                    .await?;
                Ok(failed(item, trail_arn, error, now_ms))
            }
        }
    }

    /// What writing a log file calls: S3, and KMS for a key of the trail's own.
    fn written(
        &self,
        file: &LogFile,
        region: &str,
        trail_arn: &str,
        kms_key_id: Option<&str>,
        bytes: usize,
    ) -> Vec<OwnCall> {
        let object = WrittenObject {
            account: &file.account,
            region,
            bucket: &file.bucket,
            key: &file.key,
            kms_key_id,
            bytes: u64::try_from(bytes).unwrap_or(u64::MAX),
        };
        let key_used = kms_key_id
            .and_then(|key| OwnCall::generate_data_key(key, trail_arn, &file.bucket, &file.key));
        key_used
            .into_iter()
            .chain([self.put_object(object)])
            .collect()
    }

    /// The call that has written an object; account and region are the bucket's where that is known.
    fn put_object(&self, object: WrittenObject<'_>) -> OwnCall {
        match self.targets.bucket_place(object.bucket) {
            Some(place) => OwnCall::put_object(WrittenObject {
                account: &place.account,
                region: &place.region,
                ..object
            }),
            None => OwnCall::put_object(object),
        }
    }

    /// The records of calls that this delivery has made; `seed` names what it delivers. Data events that no trail takes
    /// are not recorded.
    async fn own_records(
        &self,
        calls: Vec<OwnCall>,
        seed: &str,
        now_ms: i64,
    ) -> Result<Vec<NewEvent>, Error> {
        let now = DateTime::from_timestamp_millis(now_ms).unwrap_or_default();
        let events: Vec<_> = calls
            .into_iter()
            .filter_map(|call| call.event(seed, now, &self.event_version))
            .collect();
        let mut rows = self
            .takers
            .rows_of_version(&events, &Logging::default(), now)
            .await?;
        rows.retain(|row| row.category != "Data" || !row.takers.is_empty());
        Ok(rows)
    }

    /// The bytes of a log file: the same bytes each time, since its events are fixed and never change.
    async fn encode(&self, file: &LogFile) -> Result<Encoded, DeliveryError> {
        let mut encoder = Encoder::new()?;
        let mut after = 0;
        let mut left = file.events;
        while left > 0 {
            let records = self.store.log_file_records(file, after, PAGE).await?;
            let Some(last) = records.last() else {
                break;
            };
            after = last.id;
            for record in &records {
                encoder.push(&record.record)?;
                left -= 1;
            }
        }
        Ok(encoder.finish()?)
    }
}

/// Whom the policies of bucket and topic have to let in for this file.
fn deliverer<'a>(trail: &'a Trail, trail_arn: &'a str, file: &'a LogFile) -> Deliverer<'a> {
    Deliverer {
        trail_arn,
        account: &trail.account,
        region: &file.region,
    }
}

/// The key that a trail's files are encrypted with.
fn object_key(trail: &Option<Trail>) -> Option<&str> {
    trail.as_ref()?.kms_key_id.as_deref()
}

fn failed(item: &Item, trail_arn: String, error: TargetError, now_ms: i64) -> Outcome {
    let is_late = error.was_asked && now_ms - item.created_ms > GIVE_UP_AFTER.num_milliseconds();
    let failed = Failed {
        trail_arn,
        error: error.code,
    };
    if is_late {
        return Outcome::GiveUp(failed);
    }
    Outcome::Retry(failed)
}
