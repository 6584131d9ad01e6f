//! Records of log files on their way to a CloudWatch Logs group, batch by batch.
//!
//! What goes there is what the log files of a slot hold, but by steps of its own: a bucket that is gone does not hold up
//! the log group, nor the other way round. A step puts one batch and is followed by the step for the next, which begins
//! behind it, so that a try whose answer was lost repeats one batch at most.

use tracing::warn;

use super::{Delivery, Outcome, PAGE, failed};
use crate::store::{Error, Item, LogFile, LogFileRecord, Step};
use crate::targets::{LogEvent, LogGroup};

/// What PutLogEvents takes in one call, and how it counts.
/// <https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_PutLogEvents.html>
const BATCH_BYTES: usize = 1_048_576;
const BATCH_EVENTS: usize = 10_000;
const BATCH_SPAN_MS: i64 = 24 * 60 * 60 * 1_000;
const EVENT_OVERHEAD_BYTES: usize = 26;
/// Longer records are not sent (facts 14).
const RECORD_BYTES: usize = 256 * 1_024;
/// Shown where CloudWatch Logs dropped events as too old or too young for it. CloudTrail's own word is not known, since
/// its events never are.
const REJECTED: &str = "RejectedLogEvents";

/// Where log events go.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place<'a> {
    pub(super) log_group_arn: &'a str,
    pub(super) stream: &'a str,
}

/// The step that sends the first batch of `file` to a log group; for the trail of an organization, with its id.
pub(super) fn first_step(
    file: &LogFile,
    log_group_arn: &str,
    organization_id: Option<&str>,
) -> Step {
    let organization = organization_id
        .map(|id| format!("{id}_"))
        .unwrap_or_default();
    // A group is in the home region of its trail.
    let region = LogGroup::parse(log_group_arn).map_or("", |group| group.region);
    Step::PutLogEvents {
        log_file_id: file.id,
        log_group_arn: log_group_arn.to_owned(),
        stream: format!("{organization}{}_CloudTrail_{region}", file.account),
        after: 0,
    }
}

impl Delivery {
    pub(super) async fn put_logs(
        &self,
        item: &Item,
        log_file_id: i64,
        to: Place<'_>,
        after: i64,
        now_ms: i64,
    ) -> Result<Outcome, Error> {
        let file = self.store.log_file_get(log_file_id).await?;
        let (Some(file), Some(group)) = (file, LogGroup::parse(to.log_group_arn)) else {
            self.store.outbox_done(item).await?;
            return Ok(Outcome::Done(None));
        };
        let (batch, is_last) = self.batch(&file, after).await?;
        let next = (!is_last).then(|| Step::PutLogEvents {
            log_file_id,
            log_group_arn: to.log_group_arn.to_owned(),
            stream: to.stream.to_owned(),
            after: batch.last,
        });
        if !batch.events.is_empty() {
            let events = batch.in_order();
            match self.targets.put_log_events(group, to.stream, &events).await {
                Ok(true) => {
                    self.store
                        .logs_succeeded(file.trail_id, &file.region, now_ms)
                        .await?;
                }
                // A further try would be rejected too.
                Ok(false) => {
                    let group = group.name;
                    warn!(
                        "log group {group} rejected events of {} as too old or too young",
                        file.key
                    );
                    self.store
                        .logs_failed(file.trail_id, &file.region, now_ms, REJECTED)
                        .await?;
                }
                Err(error) => {
                    self.store
                        .logs_failed(file.trail_id, &file.region, now_ms, &error.code)
                        .await?;
                    let trail = self.store.trail_by_id(file.trail_id).await?;
                    let trail_arn = trail.map(|trail| trail.arn()).unwrap_or_default();
                    return Ok(failed(item, trail_arn, error, now_ms));
                }
            }
        }
        self.store
            .outbox_follow(item, next.as_slice(), now_ms)
            .await?;
        Ok(Outcome::Done(None))
    }

    /// The batch of a log file's records from behind event `after`, and whether it is the last.
    async fn batch(&self, file: &LogFile, after: i64) -> Result<(Batch, bool), Error> {
        let mut batch = Batch::after(after);
        loop {
            let records = self.store.log_file_records(file, batch.last, PAGE).await?;
            if records.is_empty() {
                return Ok((batch, true));
            }
            for record in records {
                if !batch.take(record) {
                    return Ok((batch, false));
                }
            }
        }
    }
}

/// Records that go in one call.
#[derive(Debug)]
struct Batch {
    events: Vec<LogEvent>,
    bytes: usize,
    /// Times of the oldest and the youngest event.
    span_ms: Option<(i64, i64)>,
    /// The last event that was looked at.
    last: i64,
}

impl Batch {
    fn after(last: i64) -> Self {
        Self {
            events: Vec::new(),
            bytes: 0,
            span_ms: None,
            last,
        }
    }

    /// Takes the next record, or leaves it out where it is too long; `false` if it needs another batch.
    fn take(&mut self, record: LogFileRecord) -> bool {
        let LogFileRecord {
            id,
            time_ms,
            record,
        } = record;
        if record.len() > RECORD_BYTES {
            self.last = id;
            return true;
        }
        let bytes = self.bytes + record.len() + EVENT_OVERHEAD_BYTES;
        let (oldest, youngest) = self.span_ms.unwrap_or((time_ms, time_ms));
        let (oldest, youngest) = (oldest.min(time_ms), youngest.max(time_ms));
        if bytes > BATCH_BYTES
            || self.events.len() == BATCH_EVENTS
            || youngest - oldest > BATCH_SPAN_MS
        {
            return false;
        }
        self.events.push(LogEvent {
            timestamp: time_ms,
            message: record,
        });
        self.bytes = bytes;
        self.span_ms = Some((oldest, youngest));
        self.last = id;
        true
    }

    /// The events, oldest first, as PutLogEvents wants them.
    fn in_order(mut self) -> Vec<LogEvent> {
        self.events.sort_by_key(|event| event.timestamp);
        self.events
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR_MS: i64 = 60 * 60 * 1_000;

    fn record(id: i64, time_ms: i64, bytes: usize) -> LogFileRecord {
        LogFileRecord {
            id,
            time_ms,
            record: "x".repeat(bytes),
        }
    }

    /// How many of `records` go into one batch, and the last that was looked at.
    fn fill(records: impl IntoIterator<Item = LogFileRecord>) -> (usize, i64) {
        let mut batch = Batch::after(0);
        for record in records {
            if !batch.take(record) {
                break;
            }
        }
        (batch.events.len(), batch.last)
    }

    #[test]
    fn a_batch_ends_at_every_limit_of_the_service() {
        let of = |bytes: usize| (1..=20_000).map(move |id| record(id, 0, bytes));
        for (name, records, expected) in [
            ("events", of(10).collect::<Vec<_>>(), (10_000, 10_000)),
            // 1,048,576 = 1024 × (998 + 26).
            ("bytes", of(998).collect(), (1_024, 1_024)),
            (
                "span",
                vec![
                    record(1, 24 * HOUR_MS, 9),
                    record(2, 0, 9),
                    record(3, 24 * HOUR_MS + 1, 9),
                ],
                (2, 2),
            ),
            (
                "too long a record is left out",
                vec![
                    record(1, 0, RECORD_BYTES),
                    record(2, 0, RECORD_BYTES + 1),
                    record(3, 0, 9),
                ],
                (2, 3),
            ),
            (
                "only too long ones",
                vec![record(1, 0, RECORD_BYTES + 1)],
                (0, 1),
            ),
        ] {
            assert_eq!(fill(records), expected, "{name}");
        }
    }

    #[test]
    fn events_go_in_the_order_of_their_times() {
        let mut batch = Batch::after(0);
        for (id, time_ms) in [(1, 30), (2, 10), (3, 20)] {
            assert!(batch.take(record(id, time_ms, 1)));
        }
        let times: Vec<i64> = batch
            .in_order()
            .iter()
            .map(|event| event.timestamp)
            .collect();
        assert_eq!(times, [10, 20, 30]);
    }
}
