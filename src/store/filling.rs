//! What LookupEvents finds events by, filled in behind them: nobody who makes a call waits for it.
//!
//! An event is found by seven values and more. Events that follow each other have most of them in common, so the table
//! `search` has a row for a value's events of a second (migrations/0012_blocks.sql): a batch of events from one caller
//! is a dozen rows. How they are found is store/search.rs's matter.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::Deserialize;
use sqlx::{QueryBuilder, Sqlite};
use tokio::sync::watch;
use tracing::error;

use super::connections::{Batch, Connections};
use super::{Error, NewEvent};
use crate::event::NamedResource;

/// As many events may wait to be filled in: what a search reads row by row.
const TAIL: i64 = 128;
/// As many are filled in at a time.
const BATCH: i64 = 1_000;
/// As many events a row has at most: a search reads all or none of them.
const BLOCK: usize = 64;

/// `char(30)`, which stands between the texts that a statement answers with as one. None has it: no JSON does.
pub(super) const SEPARATOR: char = '\u{1e}';

/// As many events are kept until they are filled in; where there are more, they are read back.
const KEPT: usize = 1_000;

/// Has what events are found by filled in, by a task of its own that ends with the last clone.
#[derive(Clone, Debug)]
pub(super) struct Filler {
    asked: watch::Sender<i64>,
    recent: Arc<Mutex<Recent>>,
}

/// Events that were stored last, their ids without a gap. To read them back costs as much as the filling.
#[derive(Debug, Default)]
pub(super) struct Recent {
    first: i64,
    events: Vec<NewEvent>,
}

impl Filler {
    pub(super) fn open(connections: Connections) -> Self {
        let (asked, mut newest) = watch::channel(0);
        let recent = Arc::default();
        let filler = Self {
            asked,
            recent: Arc::clone(&recent),
        };
        tokio::spawn(async move {
            while newest.changed().await.is_ok() {
                let newest = *newest.borrow_and_update();
                if let Err(error) = fill(&connections, &recent, newest).await {
                    // Until the next batch does, searches take longer.
                    error!("cannot fill in what events are found by: {error}");
                }
            }
        });
        filler
    }

    /// `events` have been stored, the last one as `newest` and those before it with the ids before that; none are given
    /// where their ids have gaps. Wakes nobody unless enough have come together.
    pub(super) fn stored(&self, newest: i64, events: Vec<NewEvent>) {
        lock(&self.recent).add(newest, events);
        self.asked.send_if_modified(|asked| {
            let ahead = newest - *asked;
            // Ids begin anew after a reset.
            if !(0..TAIL).contains(&ahead) {
                *asked = newest;
            }
            ahead >= TAIL
        });
    }
}

impl Recent {
    fn add(&mut self, newest: i64, events: Vec<NewEvent>) {
        let first = newest + 1 - length(&events);
        // Callers may tell of theirs in another order than they were stored in.
        let follows = first == self.first + length(&self.events);
        if !follows || self.events.len() + events.len() > KEPT {
            self.events.clear();
            self.first = first;
        }
        if events.len() <= KEPT {
            self.events.extend(events.into_iter().map(|event| NewEvent {
                record: String::new(),
                ..event
            }));
        }
    }

    /// What was stored after the event `last`, if it is all here.
    fn take(&mut self, last: i64) -> Vec<NewEvent> {
        let mut events = std::mem::take(&mut self.events);
        match usize::try_from(last + 1 - self.first) {
            Ok(filled) if filled < events.len() => events.split_off(filled),
            _ => Vec::new(),
        }
    }
}

fn length(events: &[NewEvent]) -> i64 {
    i64::try_from(events.len()).unwrap_or(i64::MAX)
}

fn lock(recent: &Mutex<Recent>) -> MutexGuard<'_, Recent> {
    recent.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What an event is found by.
struct FoundBy<'a> {
    id: i64,
    account: &'a str,
    region: &'a str,
    time_ms: i64,
    name: &'a str,
    source: &'a str,
    read_only: Option<bool>,
    user_name: Option<&'a str>,
    access_key_id: Option<&'a str>,
    resources: &'a [NamedResource],
}

impl<'a> FoundBy<'a> {
    /// LookupEvents finds management events alone.
    fn of((id, event): (i64, &'a NewEvent)) -> Option<Self> {
        (event.category == "Management").then(|| Self {
            id,
            account: &event.account,
            region: &event.region,
            time_ms: event.time_ms,
            name: &event.name,
            source: &event.source,
            read_only: event.read_only,
            user_name: event.user_name.as_deref(),
            access_key_id: event.access_key_id.as_deref(),
            resources: &event.resources,
        })
    }
}

/// Events to be filled in.
struct Found {
    /// The last one, also of those that are found by nothing.
    last: i64,
    event_id: String,
    /// Their rows of `search`: a JSON list.
    blocks: String,
}

/// Fills in up to the event `newest`, and gives others the turn to write in between.
pub(super) async fn fill(
    connections: &Connections,
    recent: &Mutex<Recent>,
    newest: i64,
) -> Result<(), Error> {
    loop {
        let filled: i64 =
            sqlx::query_scalar("select coalesce((select last_event from search_progress), 0)")
                .fetch_one(&mut *connections.read().await?)
                .await?;
        let events = lock(recent).take(filled);
        let found = match events.last() {
            Some(last) => {
                let found_by: Vec<_> = (filled + 1..)
                    .zip(&events)
                    .filter_map(FoundBy::of)
                    .collect();
                Some(Found {
                    last: filled + length(&events),
                    event_id: last.event_id.clone(),
                    blocks: blocks(&found_by)?,
                })
            }
            None => read(connections, newest).await?,
        };
        let Some(Found {
            last,
            event_id,
            blocks,
        }) = found
        else {
            return Ok(());
        };
        connections
            .run(write(filled, last, &event_id, &blocks))
            .await?;
        if last >= newest {
            return Ok(());
        }
    }
}

/// Stores the rows `blocks` of the events from after `filled` to `last`. By now all events may have been deleted, and others
/// have their ids: then it does nothing.
fn write(filled: i64, last: i64, event_id: &str, blocks: &str) -> Batch {
    let mut batch = Batch::begin();
    let insert = batch.then(
        "insert or ignore into search (account, region, attribute, value, time_ms, event, events)
        select value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4, value ->> 5, value ->> 6
        from json_each(",
    );
    insert.push_bind(blocks).push(") where ");
    push_still(insert, filled, last, event_id);
    let progress =
        batch.then("insert or replace into search_progress (one, last_event) select 1, ");
    progress.push_bind(last).push(" where ");
    push_still(progress, filled, last, event_id);
    batch
}

/// That nobody has filled in since, and the last event is the same.
fn push_still(query: &mut QueryBuilder<Sqlite>, filled: i64, last: i64, event_id: &str) {
    query
        .push("coalesce((select last_event from search_progress), 0) = ")
        .push_bind(filled)
        .push(" and exists (select 1 from event where id = ")
        .push_bind(last)
        .push(" and event_id = ")
        .push_bind(event_id)
        .push(")");
}

/// The next batch ($2) of events up to one ($1): the last one's id and `eventID`, and what the management events among
/// them are found by.
const READ: &str = "
    with batch as materialized (
        select id, event_id, account, region, time_ms, name, source, read_only, user_name, access_key_id, resources, category
        from event where id > coalesce((select last_event from search_progress), 0) and id <= $1
        order by id limit 0 + $2
    )
    select (select id from batch order by id desc limit 1), (select event_id from batch order by id desc limit 1),
        (select group_concat(concat_ws(char(30),
            json_array(id, account, region, time_ms, name, source, read_only, user_name, access_key_id), resources), char(30))
        from batch where category = 'Management')";

/// The next batch of events up to `newest` from the database.
async fn read(connections: &Connections, newest: i64) -> Result<Option<Found>, Error> {
    #[derive(Deserialize)]
    struct Columns<'a>(
        i64,
        #[serde(borrow)] Cow<'a, str>,
        #[serde(borrow)] Cow<'a, str>,
        i64,
        #[serde(borrow)] Cow<'a, str>,
        #[serde(borrow)] Cow<'a, str>,
        Option<u8>,
        #[serde(borrow)] Option<Cow<'a, str>>,
        #[serde(borrow)] Option<Cow<'a, str>>,
    );

    let (last, event_id, found_by): (Option<i64>, Option<String>, Option<String>) =
        sqlx::query_as(READ)
            .bind(newest)
            .bind(BATCH)
            .fetch_one(&mut *connections.read().await?)
            .await?;
    let (Some(last), Some(event_id)) = (last, event_id) else {
        return Ok(None);
    };
    let mut rows: Vec<(Columns<'_>, Vec<NamedResource>)> = Vec::new();
    let mut texts = found_by.iter().flat_map(|texts| texts.split(SEPARATOR));
    while let (Some(columns), Some(resources)) = (texts.next(), texts.next()) {
        rows.push((from_json(columns)?, from_json(resources)?));
    }
    let found_by: Vec<_> = rows
        .iter()
        .map(|(columns, resources)| FoundBy {
            id: columns.0,
            account: &columns.1,
            region: &columns.2,
            time_ms: columns.3,
            name: &columns.4,
            source: &columns.5,
            read_only: columns.6.map(|read_only| read_only != 0),
            user_name: columns.7.as_deref(),
            access_key_id: columns.8.as_deref(),
            resources,
        })
        .collect();
    Ok(Some(Found {
        last,
        event_id,
        blocks: blocks(&found_by)?,
    }))
}

fn from_json<'a, T: Deserialize<'a>>(text: &'a str) -> Result<T, Error> {
    serde_json::from_str(text).map_err(|error| Error::Decode(error.into()))
}

/// The rows of `search` for events, as a JSON list in the order of its key.
fn blocks(events: &[FoundBy<'_>]) -> Result<String, Error> {
    /// Account, region, attribute, value and second.
    type Key<'a> = (&'a str, &'a str, u8, &'a str, i64);

    let mut ids: HashMap<Key<'_>, Vec<i64>, foldhash::fast::RandomState> = HashMap::default();
    for event in events {
        let second = event.time_ms - event.time_ms % 1000;
        let mut add = |attribute, value| {
            let ids = ids
                .entry((event.account, event.region, attribute, value, second))
                .or_default();
            // An event may have two resources of a type.
            if ids.last() != Some(&event.id) {
                ids.push(event.id);
            }
        };
        add(0, "");
        add(1, event.name);
        add(2, event.source);
        if let Some(read_only) = event.read_only {
            add(3, if read_only { "1" } else { "0" });
        }
        if let Some(user_name) = event.user_name {
            add(4, user_name);
        }
        if let Some(access_key_id) = event.access_key_id {
            add(5, access_key_id);
        }
        for resource in event.resources {
            if let Some(kind) = &resource.kind {
                add(6, kind);
            }
            add(7, &resource.name);
        }
    }

    let mut rows: Vec<_> = ids.into_iter().collect();
    rows.sort_unstable_by_key(|&(key, _)| key);
    let rows: Vec<_> = rows
        .iter()
        .flat_map(|&((account, region, attribute, value, second), ref ids)| {
            ids.chunks(BLOCK).filter_map(move |ids| {
                let last = ids.last()?;
                let all = (ids.len() > 1).then(|| ids.iter().rev().collect::<Vec<_>>());
                Some((account, region, attribute, value, second, last, all))
            })
        })
        .collect();
    serde_json::to_string(&rows).map_err(|error| Error::Encode(error.into()))
}

#[cfg(test)]
pub(super) mod tests {
    use sqlx::AssertSqlSafe;

    use super::*;
    use crate::store::search::tests::event;
    use crate::store::{Lifetime, NewEvent, Store};

    /// Fills in from the database alone.
    pub(in crate::store) async fn fill_up_to(store: &Store, newest: i64) {
        fill(&store.connections, &Mutex::default(), newest)
            .await
            .unwrap();
    }

    type SearchRow = (String, String, i64, String, i64, i64, Option<String>);

    async fn search_rows(store: &Store) -> Vec<SearchRow> {
        sqlx::query_as(
            "select account, region, attribute, value, time_ms, event, events from search order by 1, 2, 3, 4, 5, 6",
        )
        .fetch_all(&mut *store.connections.read().await.unwrap())
        .await
        .unwrap()
    }

    #[tokio::test]
    async fn what_is_kept_is_filled_in_as_what_is_read_back() {
        let mut found = Vec::new();
        for kept in [0, 50, 100] {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("test.sqlite");
            let store = Store::open(&path, Lifetime::Temporary).await.unwrap();
            let events: Vec<_> = (0..100).map(event).collect();
            store.events_append(events.clone()).await.unwrap();
            fill_up_to(&store, 10).await;
            let recent = Mutex::new(Recent::default());
            lock(&recent).add(100, events[100 - kept..].to_vec());
            fill(&store.connections, &recent, 100).await.unwrap();
            found.push(search_rows(&store).await);
            assert_eq!(lock(&recent).events.len(), 0);
        }
        assert!(!found[0].is_empty());
        assert_eq!(found[0], found[1]);
        assert_eq!(found[0], found[2]);
    }

    #[tokio::test]
    async fn events_that_a_reset_has_deleted_are_not_filled_in() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("test.sqlite");
        let store = Store::open(&path, Lifetime::Temporary).await.unwrap();
        let recent = Mutex::new(Recent::default());
        lock(&recent).add(3, (1..=3).map(event).collect());
        store
            .events_append((11..=13).map(event).collect())
            .await
            .unwrap();
        fill(&store.connections, &recent, 3).await.unwrap();
        assert_eq!(search_rows(&store).await, []);
        fill_up_to(&store, 3).await;
        assert!(!search_rows(&store).await.is_empty());
    }

    #[tokio::test]
    async fn what_was_made_before_a_reset_is_not_filled_in_after_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("test.sqlite");
        let store = Store::open(&path, Lifetime::Temporary).await.unwrap();
        store
            .events_append((1..=3).map(event).collect())
            .await
            .unwrap();
        // Two were filled in before it, and nothing has been since.
        let late = write(2, 3, "event-3", "[]");
        store.connections.run(late).await.unwrap();
        fill_up_to(&store, 3).await;
        assert!(!search_rows(&store).await.is_empty());
    }

    #[test]
    fn what_is_kept_has_no_gap_and_an_end() {
        let of = |first: i64, count: i64| (first..first + count).map(event).collect::<Vec<_>>();
        let mut recent = Recent::default();
        let mut taken = |last, stored: &[(i64, i64)]| -> Vec<String> {
            for &(first, count) in stored {
                recent.add(first + count - 1, of(first, count));
            }
            recent
                .take(last)
                .into_iter()
                .map(|event| event.event_id)
                .collect()
        };
        assert_eq!(
            taken(0, &[(1, 1), (2, 2)]),
            ["event-1", "event-2", "event-3"]
        );
        // Some of them are filled in already; all; one before them is not.
        assert_eq!(taken(5, &[(4, 3)]), ["event-6"]);
        assert_eq!(taken(8, &[(7, 2)]), [""; 0]);
        assert_eq!(taken(8, &[(10, 2)]), [""; 0]);
        // Told in another order than they were stored in.
        assert_eq!(taken(8, &[(9, 1), (11, 1), (10, 1)]), [""; 0]);
        // Ids have begun anew.
        assert_eq!(taken(0, &[(12, 1), (1, 1)]), ["event-1"]);
        // What is stored with gaps in its ids, or is too much, comes as none.
        assert_eq!(taken(1, &[(2, 2), (8, 0), (8, 1)]), [""; 0]);
        let most = i64::try_from(KEPT).unwrap();
        assert_eq!(taken(8, &[(9, most)]).len(), KEPT);
        assert_eq!(taken(8, &[(9, most), (9 + most, 1)]), [""; 0]);
        assert_eq!(taken(8, &[(9, most + 1)]), [""; 0]);
    }

    #[tokio::test]
    async fn events_of_a_second_share_the_rows_that_they_are_found_by() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("test.sqlite");
        let store = Store::open(&path, Lifetime::Temporary).await.unwrap();
        // Seventy events of a second and ten of the next one, alike but for their ids.
        let events = (0..80).map(|number| NewEvent {
            event_id: format!("event-{number}"),
            time_ms: 1_000 + number / 70 * 1_000 + number,
            ..event(2)
        });
        store.events_append(events.collect()).await.unwrap();
        fill_up_to(&store, 80).await;
        let rows: Vec<(i64, i64, i64, i64)> = sqlx::query_as(
            "select attribute, time_ms, event, coalesce(json_array_length(events), 1) from search order by 1, 2, 3",
        )
        .fetch_all(&mut *store.connections.read().await.unwrap())
        .await
        .unwrap();
        let of_each = [(1_000, 64, 64), (1_000, 70, 6), (2_000, 80, 10)];
        let rows_of = |attribute| {
            rows.iter()
                .filter(move |row| row.0 == attribute)
                .map(|&(_, time_ms, last, count)| (time_ms, last, count))
        };
        for attribute in [0, 1, 2, 3, 4, 6] {
            assert!(rows_of(attribute).eq(of_each), "{attribute}: {rows:?}");
        }
        // Such an event has no access key, and two resources of one type.
        assert_eq!(rows_of(5).count(), 0);
        assert_eq!(rows_of(7).count(), 2 * of_each.len());
    }

    #[tokio::test]
    async fn filling_in_reads_no_event_but_those_of_its_batch() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("test.sqlite");
        let store = Store::open(&path, Lifetime::Temporary).await.unwrap();
        let plan: Vec<(i64, i64, i64, String)> =
            sqlx::query_as(AssertSqlSafe(format!("explain query plan {READ}")))
                .bind(120)
                .bind(BATCH)
                .fetch_all(&mut *store.connections.read().await.unwrap())
                .await
                .unwrap();
        let scans: Vec<_> = plan
            .iter()
            .filter(|(.., step)| step.starts_with("SCAN event"))
            .collect();
        assert!(!plan.is_empty() && scans.is_empty(), "{plan:?}");
    }

    #[tokio::test]
    async fn the_filling_follows_what_is_stored() {
        let (asked, mut newest) = watch::channel(0);
        let filler = Filler {
            asked,
            recent: Arc::default(),
        };
        let mut at = async |id| {
            filler.stored(id, Vec::new());
            newest
                .has_changed()
                .unwrap()
                .then(|| *newest.borrow_and_update())
        };
        assert_eq!(at(127).await, None);
        assert_eq!(at(128).await, Some(128));
        assert_eq!(at(200).await, None);
        assert_eq!(at(1_000).await, Some(1_000));
        // Ids have begun anew.
        assert_eq!(at(1).await, None);
        assert_eq!(at(129).await, Some(129));
    }
}
