//! Turns stored events into delivered files. Works only from the outbox: every step is a row, every row may be run
//! twice. Never asks why an event was taken; `event::select` decided that when the event was stored.

mod chain;
pub mod digest;
pub mod log_file;

use chrono::TimeDelta;

use crate::clock::{Ids, alphabet};
use crate::keys::{KeyError, Keys};
use crate::store::{Item, LogFile, Slot, Step, Store};
use crate::targets::{LogFileObject, TargetError, Targets};
use log_file::{Destination, Encoded, Encoder};

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
    /// Empty where the step has no trail any more.
    pub trail_arn: String,
    /// The service's error code.
    pub error: String,
}

impl Delivery {
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
        let ids = self.ids.clone();
        let partition = move |events: &[_]| {
            let prefix = trail.s3_key_prefix.as_deref();
            let to = Destination {
                trail_id,
                bucket: &trail.s3_bucket_name,
                prefix,
            };
            log_file::partition(to, slot, events, log_file::MAX_BYTES, || {
                ids.text(16, alphabet::ALPHANUMERIC)
            })
        };
        self.store.log_file_cut(item, now_ms, partition).await?;
        Ok(Outcome::Done(None))
    }

    async fn upload(
        &self,
        item: &Item,
        log_file_id: i64,
        now_ms: i64,
    ) -> Result<Outcome, DeliveryError> {
        let Some((file, Encoded { bytes, sha256 })) = self.encode(log_file_id).await? else {
            self.store.outbox_done(item).await?;
            return Ok(Outcome::Done(None));
        };
        let trail = self.store.trail_by_id(file.trail_id).await?;
        let trail_arn = trail.as_ref().map(|trail| trail.arn()).unwrap_or_default();
        let region = trail
            .as_ref()
            .map_or(file.region.as_str(), |trail| trail.home_region.as_str());
        let object = LogFileObject {
            account: &file.account,
            region,
            bucket: &file.bucket,
            key: &file.key,
            kms_key_id: trail.as_ref().and_then(|trail| trail.kms_key_id.as_deref()),
            metadata: &[],
            bytes: bytes.into(),
        };
        match self.targets.put_log_file(object).await {
            Ok(()) => {
                let topic_arn = trail.and_then(|trail| trail.sns_topic_arn);
                self.store
                    .log_file_delivered(&file, &sha256, topic_arn, now_ms)
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
            Err(error) => {
                self.store
                    .delivery_failed(file.trail_id, &file.region, now_ms, &error.code)
                    .await?;
                Ok(failed(item, trail_arn, error, now_ms))
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
        let trail_arn = self
            .store
            .trail_by_id(file.trail_id)
            .await?
            .map(|trail| trail.arn())
            .unwrap_or_default();
        // The shape that the processing library reads (facts 10): the key is in a list.
        let message =
            serde_json::json!({ "s3Bucket": file.bucket, "s3ObjectKey": [file.key] }).to_string();
        match self.targets.publish(topic_arn, &message).await {
            Ok(()) => {
                self.store
                    .notification_succeeded(file.trail_id, &file.region, now_ms)
                    .await?;
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

    /// A log file and its bytes: the same bytes each time, since its events are fixed and never change.
    async fn encode(&self, log_file_id: i64) -> Result<Option<(LogFile, Encoded)>, DeliveryError> {
        let Some(file) = self.store.log_file_get(log_file_id).await? else {
            return Ok(None);
        };
        let mut encoder = Encoder::new()?;
        let mut after = 0;
        let mut left = file.events;
        while left > 0 {
            let records = self.store.log_file_records(&file, after, PAGE).await?;
            for (id, record) in &records {
                encoder.push(record)?;
                after = *id;
                left -= 1;
            }
            if records.is_empty() {
                break;
            }
        }
        Ok(Some((file, encoder.finish()?)))
    }
}

fn failed(item: &Item, trail_arn: String, error: TargetError, now_ms: i64) -> Outcome {
    let failed = Failed {
        trail_arn,
        error: error.code,
    };
    if now_ms - item.created_ms > GIVE_UP_AFTER.num_milliseconds() {
        return Outcome::GiveUp(failed);
    }
    Outcome::Retry(failed)
}
