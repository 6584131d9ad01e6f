//! Recorded events: appended for many callers by one commit, exported in their order.
//!
//! An event and the outbox rows of the trails that take it are written in one transaction, or not at all. The record
//! itself is opaque text here. How LookupEvents finds it is store/search.rs's matter.

use std::collections::HashSet;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use sqlx::{QueryBuilder, Sqlite};
use tokio::sync::oneshot;

use super::connections::{Batch, Connections};
use super::filling::Filler;
use super::soon::soon;
use super::trails::{self, NewTrail};
use super::{Error, Store, is_unique_violation};
use crate::event::NamedResource;

/// Rows of one `insert`: SQLite allows 32,766 parameters a statement, and an event takes 15.
const ROWS: usize = 2_000;
/// After so many commits of one caller each, the next one is alone too: under load half of the commits are of one.
const QUIET: u32 = 8;

/// An event to be stored.
#[derive(Clone, Debug)]
pub struct NewEvent {
    pub event_id: String,
    pub account: String,
    pub region: String,
    pub time_ms: i64,
    pub source: String,
    pub name: String,
    pub read_only: Option<bool>,
    /// `Management`, `Data` …
    pub category: String,
    pub user_name: Option<String>,
    pub access_key_id: Option<String>,
    pub resources: Vec<NamedResource>,
    /// The record as compact JSON.
    pub record: String,
    /// Ids of the trails that take it.
    pub takers: Vec<i64>,
    /// The delivery slot that it came in in.
    pub slot: Slot,
}

/// A delivery slot: from its start (inclusive) to its end (exclusive).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Slot {
    pub start_ms: i64,
    pub end_ms: i64,
}

impl Slot {
    /// The slot of `length_ms` that `time_ms` lies in; slots begin at multiples of their length.
    pub fn of(time_ms: i64, length_ms: i64) -> Self {
        let start_ms = time_ms.div_euclid(length_ms) * length_ms;
        Self {
            start_ms,
            end_ms: start_ms + length_ms,
        }
    }
}

/// What the control API asks for: any events, in the order they were recorded. Every member narrows.
#[derive(Clone, Debug, Default)]
pub struct ExportFilter {
    pub name: Option<String>,
    pub source: Option<String>,
    pub user_name: Option<String>,
    pub access_key_id: Option<String>,
    pub region: Option<String>,
    pub account: Option<String>,
    pub category: Option<String>,
    pub since_ms: Option<i64>,
    pub until_ms: Option<i64>,
}

/// Stores events for many callers at once. The first one commits for itself: a lone caller pays for no hand-over. Those
/// who come meanwhile wait for a task that commits for all that wait, again and again until nobody does: so the database
/// is never idle for want of a caller whose turn it is.
#[derive(Clone, Debug)]
pub(super) struct EventWriter {
    connections: Connections,
    filler: Filler,
    queue: Arc<Mutex<Queue>>,
    /// So many of the last commits were of one caller each.
    alone: Arc<AtomicU32>,
}

#[derive(Debug, Default)]
struct Queue {
    waiting: Vec<Pending>,
    /// Somebody has the [`Turn`].
    is_taken: bool,
}

/// The turn to commit for all that wait. Dropped before it is over, they are abandoned.
#[derive(Debug)]
struct Turn {
    queue: Arc<Mutex<Queue>>,
    is_over: bool,
}

#[derive(Debug)]
struct Pending {
    events: Vec<NewEvent>,
    done: oneshot::Sender<Result<Appended, Arc<Error>>>,
}

/// What became of events that were appended.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Appended {
    /// `eventID`s that were there before; these were not stored again.
    pub duplicates: Vec<String>,
}

/// Why events were not stored.
#[derive(Clone, Debug, thiserror::Error)]
pub enum AppendError {
    #[error("whoever was to store the events went away")]
    Abandoned,
    #[error(transparent)]
    Database(Arc<Error>),
}

impl EventWriter {
    pub(super) fn new(connections: Connections) -> Self {
        Self {
            filler: Filler::open(connections.clone()),
            connections,
            queue: Arc::default(),
            alone: Arc::default(),
        }
    }

    async fn append(&self, events: Vec<NewEvent>) -> Result<Appended, AppendError> {
        let (done, committed) = oneshot::channel();
        if let Some(mut turn) = self.wait(Pending { events, done }) {
            if let Some(waiting) = turn.next() {
                self.commit(waiting).await;
            }
            if let Some(waiting) = turn.next() {
                tokio::spawn(self.clone().commit_all(turn, waiting));
            }
        }
        committed
            .await
            .map_err(|_| AppendError::Abandoned)?
            .map_err(AppendError::Database)
    }

    /// Has events wait for a commit: the caller's own, where it gets the turn.
    fn wait(&self, pending: Pending) -> Option<Turn> {
        let mut queue = lock(&self.queue);
        queue.waiting.push(pending);
        let is_taken = std::mem::replace(&mut queue.is_taken, true);
        (!is_taken).then(|| Turn {
            queue: Arc::clone(&self.queue),
            is_over: false,
        })
    }

    async fn commit_all(self, mut turn: Turn, waiting: Vec<Pending>) {
        let mut next = Some(waiting);
        while let Some(waiting) = next {
            self.commit(waiting).await;
            next = turn.next();
        }
    }

    /// Commits what all in `waiting` bring, and tells them.
    async fn commit(&self, waiting: Vec<Pending>) {
        let alone = match waiting.len() {
            1 => self.alone.load(Ordering::Relaxed).saturating_add(1),
            _ => 0,
        };
        self.alone.store(alone, Ordering::Relaxed);
        let is_quiet = alone >= QUIET;
        match append(&self.connections, &waiting, is_quiet).await {
            Ok((newest, outcomes)) => {
                let (mut events, mut are_whole) = (Vec::new(), true);
                for (pending, outcome) in waiting.into_iter().zip(outcomes) {
                    are_whole &= outcome.duplicates.is_empty();
                    events.extend(pending.events);
                    // A caller that has gone away does not wait for its answer.
                    let _ = pending.done.send(Ok(outcome));
                }
                if let Some(newest) = newest {
                    let events = if are_whole { events } else { Vec::new() };
                    self.filler.stored(newest, events);
                }
            }
            Err(error) => {
                let error = Arc::new(error);
                for pending in waiting {
                    let _ = pending.done.send(Err(Arc::clone(&error)));
                }
            }
        }
    }
}

impl Turn {
    /// What waits by now. The turn is over where nothing does.
    fn next(&mut self) -> Option<Vec<Pending>> {
        let mut queue = lock(&self.queue);
        queue.is_taken = !queue.waiting.is_empty();
        self.is_over = !queue.is_taken;
        queue.is_taken.then(|| std::mem::take(&mut queue.waiting))
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        if !self.is_over {
            let mut queue = lock(&self.queue);
            queue.is_taken = false;
            queue.waiting.clear();
        }
    }
}

fn lock(queue: &Mutex<Queue>) -> MutexGuard<'_, Queue> {
    queue.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Store {
    /// Stores events; returns when they are committed. Callers that wait at the same time share one commit, so this is
    /// to be run to its end: one that is dropped half-way may take others' events with it.
    pub async fn events_append(&self, events: Vec<NewEvent>) -> Result<Appended, AppendError> {
        let for_bus = self.are_for_bus(&events);
        let appended = self.events.append(events).await?;
        if for_bus {
            self.event_bus.filled.notify_one();
        }
        Ok(appended)
    }

    /// Stores the events of a call and the trail that it makes, in one trip to the database: all of it or, where the
    /// trail may not be, nothing. What is in its way, [`Self::trail_insert`] tells.
    pub async fn events_append_with_trail(
        &self,
        events: Vec<NewEvent>,
        new: &NewTrail,
    ) -> Result<(), Error> {
        let mut batch = Batch::begin();
        trails::insert(batch.then(""), new);
        insert(batch.then(""), &events.iter().collect::<Vec<_>>());
        let newest = self.connections.insert(batch).await?;
        self.trails_inserted();
        if self.are_for_bus(&events) {
            self.event_bus.filled.notify_one();
        }
        self.events.filler.stored(newest, events);
        Ok(())
    }

    fn are_for_bus(&self, events: &[NewEvent]) -> bool {
        self.event_bus.open.load(Ordering::Acquire)
            && events.iter().any(|event| !event.takers.is_empty())
    }

    /// Records that match `filter` in the order they were recorded, from after the event `after`; each with its id.
    pub async fn event_export(
        &self,
        filter: &ExportFilter,
        after: i64,
        limit: u32,
    ) -> Result<Vec<(i64, String)>, Error> {
        let mut query = QueryBuilder::new("select id, record from event where id > ");
        query.push_bind(after);
        let texts = [
            ("name", &filter.name),
            ("source", &filter.source),
            ("user_name", &filter.user_name),
            ("access_key_id", &filter.access_key_id),
            ("region", &filter.region),
            ("account", &filter.account),
            ("category", &filter.category),
        ];
        for (column, value) in texts {
            if let Some(value) = value {
                query
                    .push(format_args!(" and {column} = "))
                    .push_bind(value);
            }
        }
        if let Some(since) = filter.since_ms {
            query.push(" and time_ms >= ").push_bind(since);
        }
        if let Some(until) = filter.until_ms {
            query.push(" and time_ms <= ").push_bind(until);
        }
        query.push(" order by id limit 0 + ").push_bind(limit);
        query
            .build_query_as()
            .fetch_all(&mut *self.connections.read().await?)
            .await
    }

    /// The id of the event that was stored last; 0 where there is none.
    pub async fn event_newest(&self) -> Result<i64, Error> {
        sqlx::query_scalar("select coalesce(max(id), 0) from event")
            .fetch_one(&mut *self.connections.read().await?)
            .await
    }

    /// How many events are stored.
    pub async fn event_count(&self) -> Result<i64, Error> {
        sqlx::query_scalar("select count(*) from event")
            .fetch_one(&mut *self.connections.read().await?)
            .await
    }
}

/// Stores what all callers in `waiting` bring in one transaction; where it `is_quiet`, nobody else is about to.
///
/// The last event's id, if any was stored, and what each caller is told.
async fn append(
    connections: &Connections,
    waiting: &[Pending],
    is_quiet: bool,
) -> Result<(Option<i64>, Vec<Appended>), Error> {
    let events: Vec<&NewEvent> = waiting.iter().flat_map(|pending| &pending.events).collect();
    if events.len() <= ROWS {
        // One statement is its own transaction. It is tried without asking what it stored: a row of an answer would
        // wake the caller before the commit and once more after it, and duplicates are rare.
        let mut writing = connections.write().await?;
        let mut query = QueryBuilder::new("");
        let stored = insert(&mut query, &events).build().execute(&mut *writing);
        let stored = match is_quiet {
            true => soon(stored).await,
            false => stored.await,
        };
        writing.note(&stored).await;
        drop(writing);
        match stored {
            Ok(stored) => {
                let outcomes = vec![Appended::default(); waiting.len()];
                return Ok((Some(stored.last_insert_rowid()), outcomes));
            }
            Err(error) if is_unique_violation(&error) => {}
            Err(error) => return Err(error),
        }
    }
    let mut stored: HashSet<String> = HashSet::with_capacity(events.len());
    let mut newest = None;
    let mut tx = connections.begin().await?;
    for rows in events.chunks(ROWS) {
        let inserted: Vec<(i64, String)> = insert(&mut QueryBuilder::new(""), rows)
            .push(" on conflict (event_id) do nothing returning id, event_id")
            .build_query_as()
            .fetch_all(&mut *tx)
            .await?;
        newest = inserted.last().map(|&(id, _)| id).or(newest);
        stored.extend(inserted.into_iter().map(|(_, event_id)| event_id));
    }
    tx.commit().await?;
    // The first to bring an event has stored it; each further one, and what was there before, is a duplicate.
    let outcomes = waiting.iter().map(|pending| Appended {
        duplicates: pending
            .events
            .iter()
            .filter(|event| !stored.remove(&event.event_id))
            .map(|event| event.event_id.clone())
            .collect(),
    });
    Ok((newest, outcomes.collect()))
}

/// Adds the statement that inserts events. The cuts of their slots are written by a trigger.
pub(super) fn insert<'q>(
    query: &'q mut QueryBuilder<Sqlite>,
    events: &[&NewEvent],
) -> &'q mut QueryBuilder<Sqlite> {
    query.push(
        "insert into event (event_id, account, region, time_ms, slot_start_ms, slot_end_ms, source, name, read_only,
                            category, user_name, access_key_id, resources, record, takers) ",
    );
    query.push_values(events, |mut row, event| {
        row.push_bind(&event.event_id)
            .push_bind(&event.account)
            .push_bind(&event.region)
            .push_bind(event.time_ms)
            .push_bind(event.slot.start_ms)
            .push_bind(event.slot.end_ms)
            .push_bind(&event.source)
            .push_bind(&event.name)
            .push_bind(event.read_only)
            .push_bind(&event.category)
            .push_bind(&event.user_name)
            .push_bind(&event.access_key_id)
            .push_bind(json_list(&event.resources))
            .push_bind(&event.record)
            .push_bind((!event.takers.is_empty()).then(|| json_list(&event.takers)));
    })
}

/// A list that cannot fail to be JSON: of numbers, or of structures of strings.
fn json_list<T: serde::Serialize>(list: &[T]) -> String {
    serde_json::to_string(list).unwrap_or_else(|_| "[]".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_begin_at_multiples_of_their_length() {
        for (time, start) in [
            (0, 0),
            (1, 0),
            (299_999, 0),
            (300_000, 300_000),
            (-1, -300_000),
        ] {
            assert_eq!(Slot::of(time, 300_000).start_ms, start, "{time}");
        }
    }
}
