//! What LookupEvents finds events by, filled in behind them: nobody who makes a call waits for it.
//!
//! An event is found by seven values and more. Events that follow each other have most of them in common, so the table
//! `search` has a row for a value's events of a second (migrations/0012_blocks.sql): a batch of events from one caller
//! is a dozen rows. How they are found is store/search.rs's matter.

use std::borrow::Cow;
use std::collections::HashMap;

use serde::Deserialize;
use tokio::sync::watch;
use tracing::error;

use super::Error;
use super::connections::{Batch, Connections};
use crate::event::NamedResource;

/// As many events may wait to be filled in: what a search reads row by row.
const TAIL: i64 = 128;
/// As many are filled in at a time.
const BATCH: i64 = 1_000;
/// As many events a row has at most: a search reads all or none of them.
const BLOCK: usize = 64;

/// `char(30)`, which stands between the texts that a statement answers with as one. None has it: no JSON does.
pub(super) const SEPARATOR: char = '\u{1e}';

/// Has what events are found by filled in, by a task of its own that ends with the last clone.
#[derive(Clone, Debug)]
pub(super) struct Filler(watch::Sender<i64>);

impl Filler {
    pub(super) fn open(connections: Connections) -> Self {
        let (asked, mut newest) = watch::channel(0);
        tokio::spawn(async move {
            while newest.changed().await.is_ok() {
                let newest = *newest.borrow_and_update();
                if let Err(error) = fill(&connections, newest).await {
                    // Until the next batch does, searches take longer.
                    error!("cannot fill in what events are found by: {error}");
                }
            }
        });
        Self(asked)
    }

    /// The event `newest` has been stored. Wakes nobody unless enough have come together.
    pub(super) fn stored(&self, newest: i64) {
        self.0.send_if_modified(|asked| {
            let ahead = newest - *asked;
            // Ids begin anew after a reset.
            if !(0..TAIL).contains(&ahead) {
                *asked = newest;
            }
            ahead >= TAIL
        });
    }
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

/// Fills in up to the event `newest`, and gives others the turn to write in between.
pub(super) async fn fill(connections: &Connections, newest: i64) -> Result<(), Error> {
    loop {
        let (last, event_id, found_by): (Option<i64>, Option<String>, Option<String>) =
            sqlx::query_as(READ)
                .bind(newest)
                .bind(BATCH)
                .fetch_one(&mut *connections.read().await?)
                .await?;
        let (Some(last), Some(event_id)) = (last, event_id) else {
            return Ok(());
        };
        let blocks = blocks(found_by.as_deref().unwrap_or_default())
            .map_err(|error| Error::Decode(error.into()))?;
        // By now all events may have been deleted, and others have their ids.
        let mut batch = Batch::begin();
        batch
            .then(
                "insert or ignore into search (account, region, attribute, value, time_ms, event, events)
                select value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4, value ->> 5, value ->> 6
                from json_each(",
            )
            .push_bind(blocks)
            .push(") where exists (select 1 from event where id = ")
            .push_bind(last)
            .push(" and event_id = ")
            .push_bind(&event_id)
            .push(")");
        batch
            .then("insert or replace into search_progress (one, last_event) select 1, id from event where id = ")
            .push_bind(last)
            .push(" and event_id = ")
            .push_bind(&event_id);
        connections.run(batch).await?;
    }
}

/// The rows of `search` for events, as a JSON list in the order of its key.
fn blocks(found_by: &str) -> serde_json::Result<String> {
    #[derive(Deserialize)]
    struct Event<'a>(
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
    type Resources = Vec<NamedResource>;
    /// Account, region, attribute, value and second.
    type Key<'a> = (&'a str, &'a str, u8, &'a str, i64);

    let mut events: Vec<(Event<'_>, Resources)> = Vec::new();
    let mut texts = found_by.split(SEPARATOR);
    while let (Some(columns), Some(resources)) = (texts.next(), texts.next()) {
        events.push((
            serde_json::from_str(columns)?,
            serde_json::from_str(resources)?,
        ));
    }

    let mut ids: HashMap<Key<'_>, Vec<i64>, foldhash::fast::RandomState> = HashMap::default();
    for (event, resources) in &events {
        let Event(id, account, region, time_ms, name, source, read_only, user_name, access_key_id) =
            event;
        let second = time_ms - time_ms % 1000;
        let mut add = |attribute, value| {
            let ids = ids
                .entry((account, region, attribute, value, second))
                .or_default();
            // An event may have two resources of a type.
            if ids.last() != Some(id) {
                ids.push(*id);
            }
        };
        add(0, "");
        add(1, name);
        add(2, source);
        if let Some(read_only) = read_only {
            add(3, if *read_only == 0 { "0" } else { "1" });
        }
        if let Some(user_name) = user_name {
            add(4, user_name);
        }
        if let Some(access_key_id) = access_key_id {
            add(5, access_key_id);
        }
        for resource in resources {
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
    serde_json::to_string(&rows)
}

#[cfg(test)]
mod tests {
    use sqlx::AssertSqlSafe;

    use super::*;
    use crate::store::search::tests::event;
    use crate::store::{Lifetime, NewEvent, Store};

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
        fill(&store.connections, 80).await.unwrap();
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
        let filler = Filler(asked);
        let mut at = async |id| {
            filler.stored(id);
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
