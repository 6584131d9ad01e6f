//! The steps from delivered log files to delivered digests: what a digest names, which one came before, and when.
//!
//! A trail that is validated gets a digest for each hour of its run, in its home region and in each region that has
//! had a log file since the run began; there, the first one begins where the run does. (AWS writes digests for all
//! regions of the account: most of them would say nothing, twenty times an hour.) An organization trail has digests for
//! each account that had a log file.
//!
//! A digest names the log files that were delivered in its hour, whatever their slot. A log file that is delivered only
//! after the last digest of its run gets a backfill digest, which has a chain of its own. Digests are chained by what
//! they say, not by what is in the bucket: one that cannot be delivered holds up no other.

use std::collections::BTreeSet;
use std::io::Write;

use flate2::{Compression, GzBuilder};

use super::digest::{self, Subject};
use super::{Delivered, Delivery, DeliveryError, Outcome, failed};
use crate::event::own::WrittenObject;
use crate::keys;
use crate::policy::cloudtrail::Deliverer;
use crate::store::{Digest, DigestedFile, Item, Link, Run, Trail, Work};
use crate::targets::LogFileObject;

/// What the digests of a trail have in common that are made at one time.
#[derive(Clone, Copy)]
struct Batch<'a> {
    trail: &'a Trail,
    /// Of backfill digests there is none.
    run: Option<&'a Run>,
    work: &'a Work,
    until_ms: i64,
    now_ms: i64,
}

/// What a chain of digests is of.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Place<'a> {
    account: &'a str,
    region: &'a str,
}

impl<'a> Place<'a> {
    fn of_file(file: &'a DigestedFile) -> Self {
        Self {
            account: &file.account,
            region: &file.region,
        }
    }

    fn of_link(link: &'a Link) -> Self {
        Self {
            account: &link.account,
            region: &link.region,
        }
    }
}

impl Delivery {
    /// Makes the digests of a run's hour: of the time up to its end, or up to now if that is earlier, as it is when
    /// somebody asked for them. The last digest of a run takes all that has been delivered.
    pub(super) async fn digest(
        &self,
        item: &Item,
        run_id: i64,
        end_ms: i64,
        now_ms: i64,
    ) -> Result<Outcome, DeliveryError> {
        let run = self.store.digest_run_get(run_id).await?;
        let trail = match &run {
            Some(run) => self.store.trail_by_id(run.trail_id).await?,
            None => None,
        };
        let (Some(run), Some(trail)) = (run, trail) else {
            self.store.outbox_done(item).await?;
            return Ok(Outcome::Done(None));
        };
        let until_ms = match run.is_ending {
            true => now_ms,
            false => end_ms.min(now_ms),
        };
        let arn = trail.arn();
        let work = self
            .store
            .digest_work(trail.id, &arn, false, until_ms)
            .await?;
        let batch = Batch {
            trail: &trail,
            run: Some(&run),
            work: &work,
            until_ms,
            now_ms,
        };
        let made = self.make(batch).await?;
        let next_ms = (!run.is_ending).then(|| run.hour_end_after(until_ms));
        self.store
            .digests_made(item, &made, &work.files, next_ms, now_ms)
            .await?;
        Ok(Outcome::Done(None))
    }

    /// Makes digests of the log files that missed theirs.
    pub(super) async fn backfill(
        &self,
        item: &Item,
        trail_id: i64,
        now_ms: i64,
    ) -> Result<Outcome, DeliveryError> {
        let Some(trail) = self.store.trail_by_id(trail_id).await? else {
            self.store.outbox_done(item).await?;
            return Ok(Outcome::Done(None));
        };
        let arn = trail.arn();
        let work = self.store.digest_work(trail_id, &arn, true, now_ms).await?;
        let batch = Batch {
            trail: &trail,
            run: None,
            work: &work,
            until_ms: now_ms,
            now_ms,
        };
        let made = self.make(batch).await?;
        self.store
            .digests_made(item, &made, &work.files, None, now_ms)
            .await?;
        Ok(Outcome::Done(None))
    }

    async fn make(&self, batch: Batch<'_>) -> Result<Vec<Digest>, DeliveryError> {
        let mut made = Vec::new();
        let mut to_sign = Vec::new();
        for place in batch.places() {
            let Place { account, region } = place;
            let link = batch.link(place);
            let files: Vec<&DigestedFile> = batch
                .work
                .files
                .iter()
                .filter(|file| Place::of_file(file) == place)
                .collect();
            let (start_ms, end_ms) = batch.period(link, &files);
            let subject = Subject {
                account,
                organization: batch.trail.organization_id.as_deref(),
                trail_name: &batch.trail.name,
                home_region: &batch.trail.home_region,
                region,
                bucket: &batch.trail.s3_bucket_name,
                prefix: batch.trail.s3_key_prefix.as_deref(),
                is_backfill: batch.run.is_none(),
                start_ms,
                end_ms,
            };
            let previous = link.filter(|link| batch.continues(link));
            let key = self.keys.signing(region, end_ms).await?;
            let draft = digest::draft(subject, &files, previous, key.fingerprint())?;
            to_sign.push((key, draft.string_to_sign));
            made.push(Digest {
                id: 0,
                trail_id: batch.trail.id,
                trail_arn: batch.trail.arn(),
                account: account.to_owned(),
                region: region.to_owned(),
                bucket: batch.trail.s3_bucket_name.clone(),
                key: draft.key,
                body: draft.body,
                sha256: draft.sha256,
                signature: String::new(),
                is_backfill: batch.run.is_none(),
                run_id: batch.run.map_or(0, |run| run.id),
                end_ms,
                made_ms: batch.now_ms,
            });
        }
        let signatures = keys::sign(to_sign).await?;
        for (digest, signature) in made.iter_mut().zip(signatures) {
            digest.signature = signature;
        }
        Ok(made)
    }

    /// Writes a digest to its bucket, its signature in the metadata (facts 9.4). Digests are not encrypted with the
    /// trail's key.
    /// <https://docs.aws.amazon.com/awscloudtrail/latest/userguide/encrypting-cloudtrail-log-files-with-aws-kms.html>
    pub(super) async fn upload_digest(
        &self,
        item: &Item,
        digest_id: i64,
        now_ms: i64,
    ) -> Result<Outcome, DeliveryError> {
        let Some(digest) = self.store.digest_get(digest_id).await? else {
            self.store.outbox_done(item).await?;
            return Ok(Outcome::Done(None));
        };
        let generated = digest
            .is_backfill
            .then(|| digest::generation_time(digest.made_ms));
        let mut metadata = vec![
            ("x-amz-meta-signature", digest.signature.as_str()),
            (
                "x-amz-meta-signature-algorithm",
                digest::SIGNATURE_ALGORITHM,
            ),
        ];
        metadata.extend(
            generated
                .iter()
                .map(|time| ("x-amz-meta-backfill-generation-timestamp", time.as_str())),
        );
        let trail = self.store.trail_by_id(digest.trail_id).await?;
        let bytes = gzip(&digest.body)?;
        let call = self.put_object(WrittenObject {
            account: &digest.account,
            region: &digest.region,
            bucket: &digest.bucket,
            key: &digest.key,
            kms_key_id: None,
            bytes: u64::try_from(bytes.len()).unwrap_or(u64::MAX),
        });
        let object = LogFileObject {
            // The bucket of an organization trail is not of the account whose digest this is.
            account: trail
                .as_ref()
                .map_or(&digest.account, |trail| &trail.account),
            region: trail
                .as_ref()
                .map_or(&digest.region, |trail| &trail.home_region),
            bucket: &digest.bucket,
            key: &digest.key,
            kms_key_id: None,
            metadata: &metadata,
            bytes: bytes.into(),
            deliverer: trail.as_ref().map(|trail| Deliverer {
                trail_arn: &digest.trail_arn,
                account: &trail.account,
                region: &digest.region,
            }),
        };
        let put = match self.targets.log_file_admitted(&object).await {
            Ok(()) => self.targets.put_log_file(object).await,
            Err(error) => Err(error),
        };
        match put {
            Ok(()) => {
                let records = self.own_records(vec![call], &digest.key, now_ms).await?;
                self.store
                    .digest_delivered(&digest, records, now_ms)
                    .await?;
                Ok(Outcome::Done(Some(Delivered::Digest {
                    trail_arn: digest.trail_arn,
                    bucket: digest.bucket,
                    key: digest.key,
                })))
            }
            // Trail and bucket are both gone: nobody is left who wants the digest.
            Err(error)
                if error.code == "NoSuchBucket" && trail.is_some_and(|trail| trail.is_deleted) =>
            {
                self.store.digest_given_up(&digest).await?;
                self.store.outbox_done(item).await?;
                Ok(Outcome::Done(None))
            }
            Err(error) => {
                self.store
                    .digest_failed(digest.trail_id, &digest.region, now_ms, &error.code)
                    .await?;
                let outcome = failed(item, digest.trail_arn.clone(), error, now_ms);
                if matches!(outcome, Outcome::GiveUp(_)) {
                    self.store.digest_given_up(&digest).await?;
                }
                Ok(outcome)
            }
        }
    }
}

impl<'a> Batch<'a> {
    /// The places that get a digest, in order.
    fn places(&self) -> BTreeSet<Place<'a>> {
        let mut places: BTreeSet<Place<'_>> = self.work.files.iter().map(Place::of_file).collect();
        if self.run.is_some() {
            places.insert(Place {
                account: &self.trail.account,
                region: &self.trail.home_region,
            });
            let goes_on = |link: &&Link| self.continues(link) && self.trail.covers(&link.region);
            let links = self.work.links.iter().filter(goes_on);
            places.extend(links.map(Place::of_link));
        }
        places
    }

    /// The newest digest of the place, of whichever run.
    fn link(&self, place: Place<'_>) -> Option<&'a Link> {
        self.work
            .links
            .iter()
            .find(|link| Place::of_link(link) == place)
    }

    /// Whether the next digest names this one.
    fn continues(&self, link: &Link) -> bool {
        self.run.is_none_or(|run| run.id == link.run_id)
    }

    /// Start and end of a digest, in whole seconds. It ends after it starts and after the digest before it, even if the
    /// clock stands still meanwhile: its key tells the second of its end and must be its own.
    fn period(&self, link: Option<&Link>, files: &[&DigestedFile]) -> (i64, i64) {
        let start_ms = match (link, self.run) {
            (Some(link), _) if self.continues(link) => link.end_ms,
            (_, Some(run)) => run.start_ms,
            (_, None) => {
                let first = files.iter().map(|file| file.delivered_ms).min();
                seconds(first.unwrap_or(self.until_ms))
            }
        };
        let last_ms = link.map_or(start_ms, |link| link.end_ms.max(start_ms));
        (start_ms, seconds(self.until_ms).max(last_ms + 1_000))
    }
}

fn seconds(ms: i64) -> i64 {
    ms - ms.rem_euclid(1_000)
}

/// The same bytes for the same body.
fn gzip(body: &str) -> std::io::Result<Vec<u8>> {
    let mut gzip = GzBuilder::new()
        .mtime(0)
        .write(Vec::new(), Compression::default());
    gzip.write_all(body.as_bytes())?;
    gzip.finish()
}
