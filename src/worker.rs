//! Runs what is due in the outbox and writes down how it went. Whether a failed step is tried again is the step's
//! decision, when is decided here. The clock only decides *when*: [`Worker::settle`] does the same work, by the same
//! code, as the worker that runs in the background.

use std::collections::HashMap;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use tokio::sync::{Mutex, MutexGuard};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use crate::clock::Clock;
pub use crate::delivery::Delivered;
use crate::delivery::{Delivery, Failed, Outcome};
use crate::event::HISTORY_MS;
use crate::store::{Due, Error, Item, Slot, Store};

/// Steps that run at the same time, so that one slow bucket does not hold up the others.
const PARALLEL: usize = 8;
/// Steps read from the outbox at a time.
const PAGE: u32 = 64;
/// Longest pause between two tries.
const LONGEST_PAUSE: TimeDelta = TimeDelta::hours(1);
/// How often events that have left the history are deleted.
const PRUNE_EVERY: TimeDelta = TimeDelta::days(1);
/// How long events for an event bus gather: those that follow soon go in the same call.
const GATHER: Duration = Duration::from_millis(500);
/// How soon the worker looks again after runs that ended early: after the first as soon as a step is tried again, and at
/// most this late.
const LONGEST_AFTER_ERROR: TimeDelta = TimeDelta::minutes(1);

/// What a step is said to have failed with that could not be run to its end.
const INTERNAL: &str = "InternalFailure";

#[derive(Debug)]
pub struct Worker {
    pub store: Store,
    pub delivery: Delivery,
    pub clock: Clock,
    /// Length of a delivery slot: what events put into the outbox is due at a slot's end.
    slot_ms: i64,
    /// Held while steps run: a step runs once at a time, and `settle` waits for what is under way.
    turn: Mutex<()>,
    /// When events were last pruned.
    pruned_ms: AtomicI64,
    log_files: AtomicU64,
    digests: AtomicU64,
    failures: AtomicU64,
    given_up: AtomicU64,
}

/// Why a run of the worker ended early. What it was at stays in the outbox.
#[derive(Debug, thiserror::Error)]
#[error("cannot read or write the outbox: {0}")]
pub struct WorkerError(#[from] Error);

/// What a run of the worker did.
#[derive(Clone, Debug, Default)]
pub struct Report {
    pub delivered: Vec<Delivered>,
    pub failed: Vec<Failed>,
}

/// A run of the worker: all that is due by some time.
struct Run {
    /// Its services are asked once if they are silent, however often that is due.
    delivery: Delivery,
    report: Report,
}

impl Run {
    fn new(delivery: &Delivery) -> Self {
        Self {
            delivery: delivery.for_run(),
            report: Report::default(),
        }
    }
}

impl Worker {
    pub fn new(store: Store, delivery: Delivery, clock: Clock, slot_ms: i64) -> Self {
        let pruned_ms = clock.now_ms() - PRUNE_EVERY.num_milliseconds() + slot_ms;
        Self {
            store,
            delivery,
            clock,
            slot_ms,
            turn: Mutex::new(()),
            // The first time when a slot has passed: a start has other things to do.
            pruned_ms: AtomicI64::new(pruned_ms),
            log_files: AtomicU64::new(0),
            digests: AtomicU64::new(0),
            failures: AtomicU64::new(0),
            given_up: AtomicU64::new(0),
        }
    }

    /// Runs until `stop`; a step under way is finished first. Wakes when something is due, at the end of each slot, when
    /// what has come in meanwhile is, and soon after events have come in that an event bus waits for.
    pub async fn run(&self, stop: CancellationToken) {
        let mut errors = 0;
        loop {
            let next = {
                let _turn = self.turn.lock().await;
                self.run_due(&mut Run::new(&self.delivery)).await
            };
            let slot_end = Slot::of(self.clock.now_ms(), self.slot_ms).end_ms;
            let slot_end =
                DateTime::from_timestamp_millis(slot_end).unwrap_or(DateTime::<Utc>::MAX_UTC);
            let next = match next {
                Ok(due) => {
                    errors = 0;
                    due.map_or(slot_end, |due| due.min(slot_end))
                }
                Err(error) => {
                    error!("{error}");
                    errors += 1;
                    self.clock.now() + pause(errors - 1).min(LONGEST_AFTER_ERROR)
                }
            };
            tokio::select! {
                () = stop.cancelled() => return,
                () = self.clock.sleep_until(next) => {}
                () = self.store.event_bus_filled() => {
                    let _ = tokio::time::timeout(GATHER, stop.cancelled()).await;
                }
            }
        }
    }

    /// Does all that is due now, follow-ups too.
    pub async fn settle(&self) -> Result<Report, WorkerError> {
        let _turn = self.turn.lock().await;
        let mut run = Run::new(&self.delivery);
        self.run_due(&mut run).await?;
        Ok(run.report)
    }

    /// Delivers all that is recorded and wanted now, though its slot has not ended; with `digests` then digests too,
    /// though their hour has not.
    pub async fn flush(&self, digests: bool) -> Result<Report, WorkerError> {
        let _turn = self.turn.lock().await;
        let now_ms = self.clock.now_ms();
        self.store.outbox_hurry(now_ms, false).await?;
        let mut run = Run::new(&self.delivery);
        self.run_due(&mut run).await?;
        if digests {
            self.store.outbox_hurry(now_ms, true).await?;
            self.run_due(&mut run).await?;
        }
        Ok(run.report)
    }

    /// Moves the clock to `target`, stopping at each due time on the way to do what is due then.
    pub async fn advance(&self, target: DateTime<Utc>) -> Result<(), WorkerError> {
        let _turn = self.turn.lock().await;
        let mut run = Run::new(&self.delivery);
        loop {
            // Nobody asks what was delivered on the way, and it may be much.
            run.report = Report::default();
            match self.run_due(&mut run).await? {
                Some(due) if due <= target => self.clock.set(due.max(self.clock.now())),
                _ => break,
            }
        }
        self.clock.set(target.max(self.clock.now()));
        Ok(self.prune(self.clock.now_ms()).await?)
    }

    /// Waits for what is under way and lets nothing start while the guard lives.
    pub async fn pause(&self) -> MutexGuard<'_, ()> {
        self.turn.lock().await
    }

    /// Log files written since the start.
    pub fn log_files(&self) -> u64 {
        self.log_files.load(Ordering::Relaxed)
    }

    /// Digests written since the start.
    pub fn digests(&self) -> u64 {
        self.digests.load(Ordering::Relaxed)
    }

    /// Steps that failed since the start.
    pub fn failures(&self) -> u64 {
        self.failures.load(Ordering::Relaxed)
    }

    /// Steps that were tried for as long as such steps are, since the start.
    pub fn given_up(&self) -> u64 {
        self.given_up.load(Ordering::Relaxed)
    }

    /// Does all that is due now, follow-ups too; adds to the report of `run` what that was. Returns when the next step is
    /// due.
    async fn run_due(&self, run: &mut Run) -> Result<Option<DateTime<Utc>>, WorkerError> {
        loop {
            let now_ms = self.clock.now_ms();
            let next_ms = match self.store.outbox_due(now_ms, PAGE).await? {
                Due::Now(due) => {
                    self.run_steps(due, now_ms, run).await?;
                    continue;
                }
                Due::At(next_ms) => Some(next_ms),
                Due::Never => None,
            };
            self.prune(now_ms).await?;
            return Ok(next_ms.and_then(DateTime::from_timestamp_millis));
        }
    }

    /// Runs steps, some at the same time. Where one cannot be written down, those that run are let finish: what they have
    /// called would be called again.
    async fn run_steps(
        &self,
        due: Vec<Item>,
        now_ms: i64,
        run: &mut Run,
    ) -> Result<(), WorkerError> {
        // A step calls a service before it writes down how that went: where nothing can be written, it is not to call.
        self.store.outbox_touch(&due).await?;
        let (mut due, mut running) = (due.into_iter(), JoinSet::new());
        let mut items = HashMap::new();
        let mut ended = Ok(());
        loop {
            while ended.is_ok()
                && running.len() < PARALLEL
                && let Some(item) = due.next()
            {
                let (delivery, step) = (run.delivery.clone(), item.clone());
                let task = running.spawn(async move { delivery.run_step(&step, now_ms).await });
                items.insert(task.id(), item);
            }
            let (id, outcome) = match running.join_next_with_id().await {
                Some(Ok((id, outcome))) => (id, outcome.map_err(|error| error.to_string())),
                Some(Err(panic)) => (panic.id(), Err(panic.to_string())),
                None => return Ok(ended?),
            };
            let Some(item) = items.remove(&id) else {
                continue;
            };
            // The machine's fault, or ours: others are not to wait for it.
            let outcome = outcome.unwrap_or_else(|error| {
                error!("a step cannot be run: {error}");
                Outcome::Retry(Failed {
                    trail_arn: String::new(),
                    error: INTERNAL.to_owned(),
                })
            });
            let written = self
                .write_down(&item, outcome, now_ms, &mut run.report)
                .await;
            ended = ended.and(written);
        }
    }

    /// Once a day of the clock, forgets what has left the history.
    async fn prune(&self, now_ms: i64) -> Result<(), Error> {
        let last_ms = self.pruned_ms.load(Ordering::Relaxed);
        if now_ms.saturating_sub(last_ms) < PRUNE_EVERY.num_milliseconds() {
            return Ok(());
        }
        self.pruned_ms.store(now_ms, Ordering::Relaxed);
        let pruned = self.store.prune(now_ms - HISTORY_MS).await?;
        if pruned > 0 {
            info!("forgot {pruned} events that are older than the history");
        }
        Ok(())
    }

    /// Has a step tried again later.
    async fn put_off(&self, item: &Item, why: &str, now_ms: i64) -> Result<(), Error> {
        let due_ms = now_ms + pause(item.attempts).num_milliseconds();
        self.store.outbox_failed(item, due_ms, why).await
    }

    async fn write_down(
        &self,
        item: &Item,
        outcome: Outcome,
        now_ms: i64,
        report: &mut Report,
    ) -> Result<(), Error> {
        match outcome {
            Outcome::Done(None) => {}
            Outcome::Done(Some(delivered)) => {
                let (count, what, trail_arn, bucket, key) = match &delivered {
                    Delivered::LogFile {
                        trail_arn,
                        bucket,
                        key,
                        ..
                    } => (&self.log_files, "log file", trail_arn, bucket, key),
                    Delivered::Digest {
                        trail_arn,
                        bucket,
                        key,
                    } => (&self.digests, "digest", trail_arn, bucket, key),
                };
                info!(
                    trail.arn = trail_arn,
                    "delivered {what} s3://{bucket}/{key}"
                );
                count.fetch_add(1, Ordering::Relaxed);
                report.delivered.push(delivered);
            }
            Outcome::Retry(failed) => {
                let Failed { trail_arn, error } = &failed;
                warn!(
                    trail.arn = trail_arn,
                    error, "a delivery of {trail_arn} failed with {error}; it will be tried again"
                );
                self.put_off(item, error, now_ms).await?;
                self.failures.fetch_add(1, Ordering::Relaxed);
                report.failed.push(failed);
            }
            Outcome::GiveUp(failed) => {
                let Failed { trail_arn, error } = &failed;
                error!(
                    trail.arn = trail_arn,
                    error, "gave up a delivery of {trail_arn} that fails with {error}"
                );
                self.store.outbox_done(item).await?;
                self.failures.fetch_add(1, Ordering::Relaxed);
                self.given_up.fetch_add(1, Ordering::Relaxed);
                report.failed.push(failed);
            }
        }
        Ok(())
    }
}

/// 1 s after the first failure, then twice as long each time, to an hour.
fn pause(attempts: u32) -> TimeDelta {
    TimeDelta::seconds(1_i64 << attempts.min(12)).min(LONGEST_PAUSE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_an_hour() {
        for (attempts, seconds) in [
            (0, 1),
            (1, 2),
            (5, 32),
            (11, 2048),
            (12, 3600),
            (1_000, 3600),
        ] {
            assert_eq!(pause(attempts), TimeDelta::seconds(seconds), "{attempts}");
        }
    }
}
