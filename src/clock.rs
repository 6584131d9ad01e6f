//! Time and chance: the only places where either comes from, so that tests can hold both still.
//!
//! [`Clock`] runs with the machine's clock, shifted, or stands still. [`Ids`] makes ids, from a seed if one is given.
//! Neither knows who asks.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use chrono::{DateTime, TimeDelta, Utc};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tokio::sync::watch;
use uuid::Uuid;

/// A settable clock; clones share one time.
#[derive(Clone, Debug)]
pub struct Clock {
    mode: Arc<watch::Sender<Mode>>,
    start: Mode,
}

#[derive(Clone, Copy, Debug)]
enum Mode {
    /// The machine's time plus a shift.
    Running(TimeDelta),
    Frozen(DateTime<Utc>),
}

impl Clock {
    /// The machine's time.
    pub fn running() -> Self {
        Self::starting(Mode::Running(TimeDelta::zero()))
    }

    /// Stands still at `now`.
    pub fn frozen(now: DateTime<Utc>) -> Self {
        Self::starting(Mode::Frozen(now))
    }

    fn starting(start: Mode) -> Self {
        Self {
            mode: Arc::new(watch::Sender::new(start)),
            start,
        }
    }

    /// Goes back to how it was at the start.
    pub fn reset(&self) {
        self.mode.send_replace(self.start);
    }

    pub fn now(&self) -> DateTime<Utc> {
        resolve(*self.mode.borrow())
    }

    /// Milliseconds since the epoch, as the store keeps time.
    pub fn now_ms(&self) -> i64 {
        self.now().timestamp_millis()
    }

    pub fn is_frozen(&self) -> bool {
        matches!(*self.mode.borrow(), Mode::Frozen(_))
    }

    /// Moves to `now` and goes on as before, running or frozen. Every sleeper looks again.
    pub fn set(&self, now: DateTime<Utc>) {
        self.mode.send_modify(|mode| {
            *mode = match *mode {
                Mode::Running(_) => Mode::Running(now - machine_time()),
                Mode::Frozen(_) => Mode::Frozen(now),
            };
        });
    }

    /// Stands still from now on.
    pub fn freeze(&self) {
        self.mode
            .send_modify(|mode| *mode = Mode::Frozen(resolve(*mode)));
    }

    /// Runs on from where it stands.
    pub fn resume(&self) {
        self.mode
            .send_modify(|mode| *mode = Mode::Running(resolve(*mode) - machine_time()));
    }

    /// Returns once `deadline` is reached, however that comes about.
    pub async fn sleep_until(&self, deadline: DateTime<Utc>) {
        let mut changes = self.mode.subscribe();
        loop {
            let mode = *changes.borrow_and_update();
            let left = deadline - resolve(mode);
            if left <= TimeDelta::zero() {
                return;
            }
            // The sender lives as long as `self`, so waiting for a change cannot fail.
            match mode {
                Mode::Frozen(_) => drop(changes.changed().await),
                Mode::Running(_) => {
                    #[expect(
                        clippy::disallowed_methods,
                        reason = "this is the one place that sleeps"
                    )]
                    let sleep = tokio::time::sleep(left.to_std().unwrap_or_default());
                    tokio::select! {
                        () = sleep => {}
                        _ = changes.changed() => {}
                    }
                }
            }
        }
    }
}

fn resolve(mode: Mode) -> DateTime<Utc> {
    match mode {
        Mode::Running(shift) => machine_time() + shift,
        Mode::Frozen(now) => now,
    }
}

/// The time of the machine, however a clock is set: for signing what goes to services that keep their own time.
#[expect(
    clippy::disallowed_methods,
    reason = "this is the one place that reads the machine's clock"
)]
pub fn machine_time() -> DateTime<Utc> {
    Utc::now()
}

/// As many event ids in a row begin alike.
const RUN: u32 = 64;

/// A source of ids; clones share one stream. With a seed, the same calls get the same ids.
#[derive(Clone, Debug)]
pub struct Ids(Arc<Mutex<Stream>>);

#[derive(Debug)]
struct Stream {
    rng: StdRng,
    /// The first bytes of event ids, and for how many more.
    run: ([u8; 2], u32),
}

impl Ids {
    /// Unpredictable ids.
    pub fn random() -> Self {
        Self::of(rand::make_rng())
    }

    pub fn seeded(seed: u64) -> Self {
        Self::of(StdRng::seed_from_u64(seed))
    }

    fn of(rng: StdRng) -> Self {
        let run = ([0; 2], 0);
        Self(Arc::new(Mutex::new(Stream { rng, run })))
    }

    /// A version 4 UUID.
    pub fn uuid(&self) -> Uuid {
        let mut bytes = [0; 16];
        self.stream().rng.fill(&mut bytes);
        uuid::Builder::from_random_bytes(bytes).into_uuid()
    }

    /// The same for an event, which differs from those of the events before it by 106 bits instead of 122. They begin
    /// alike, so that the events that are stored together stand together in an index of their ids too: else each would
    /// have a page of it written, which was half of all that was written for a call.
    pub fn event_id(&self) -> Uuid {
        let mut bytes = [0; 16];
        let mut stream = self.stream();
        stream.rng.fill(&mut bytes);
        stream.run = match stream.run {
            (_, 0) => ([bytes[0], bytes[1]], RUN - 1),
            (first, left) => (first, left - 1),
        };
        bytes[..2].copy_from_slice(&stream.run.0);
        uuid::Builder::from_random_bytes(bytes).into_uuid()
    }

    /// `length` characters out of `alphabet`, which is ASCII.
    pub fn text(&self, length: usize, alphabet: &[u8]) -> String {
        let rng = &mut self.stream().rng;
        (0..length)
            .map(|_| char::from(alphabet[rng.random_range(0..alphabet.len())]))
            .collect()
    }

    fn stream(&self) -> MutexGuard<'_, Stream> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Alphabets of AWS's ids.
pub mod alphabet {
    /// Access keys and principal ids, as AWS draws them: base 32.
    pub const BASE32: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
    /// The unique part of log file names.
    pub const ALPHANUMERIC: &[u8] =
        b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
    /// S3's request ids.
    pub const UPPER: &[u8] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn a_frozen_clock_moves_only_when_told() {
        let start = DateTime::from_timestamp(1_800_000_000, 0).unwrap();
        let clock = Clock::frozen(start);
        assert_eq!(clock.now(), start);
        clock.set(start + TimeDelta::minutes(5));
        assert_eq!(clock.now(), start + TimeDelta::minutes(5));
        clock.resume();
        assert!(!clock.is_frozen());
        assert!(clock.now() >= start + TimeDelta::minutes(5));
    }

    #[tokio::test]
    async fn a_sleeper_wakes_when_the_clock_is_moved() {
        let start = DateTime::from_timestamp(1_800_000_000, 0).unwrap();
        let clock = Clock::frozen(start);
        let sleeper = tokio::spawn({
            let clock = clock.clone();
            async move { clock.sleep_until(start + TimeDelta::hours(1)).await }
        });
        clock.set(start + TimeDelta::hours(2));
        sleeper.await.unwrap();
    }

    #[test]
    fn seeded_ids_repeat() {
        let draw = || {
            let ids = Ids::seeded(7);
            (ids.uuid(), ids.text(16, alphabet::ALPHANUMERIC))
        };
        assert_eq!(draw(), draw());
        assert_ne!(Ids::random().uuid(), Ids::random().uuid());
    }

    #[test]
    fn event_ids_begin_alike_for_a_while() {
        let ids = Ids::seeded(7);
        let drawn: Vec<Uuid> = (0..4 * RUN).map(|_| ids.event_id()).collect();
        assert!(drawn.iter().all(|id| id.get_version_num() == 4));
        let beginnings = |ids: &[Uuid]| {
            let first = ids.iter().map(|id| [id.as_bytes()[0], id.as_bytes()[1]]);
            first.collect::<HashSet<_>>().len()
        };
        assert_eq!(beginnings(&drawn), 4);
        assert!(drawn.chunks(RUN as usize).all(|run| beginnings(run) == 1));
        assert_eq!(drawn.iter().collect::<HashSet<_>>().len(), drawn.len());
    }
}
