//! What LookupEvents finds, by page.
//!
//! The table of what events are found by is filled in behind them (store/filling.rs). A page is taken from that table and
//! from the rows of the events that are not in it yet, in one statement, so none is missed and none is shown twice.

use std::cmp::Reverse;

use sqlx::{QueryBuilder, Row, Sqlite};

use super::filling::SEPARATOR;
use super::{Error, Store};
use crate::event::NamedResource;

/// A page comes in so many parts: to put a page's text together takes hundreds of KB at times, and pages of memory that
/// are given back and fetched anew for each.
const PARTS: u32 = 4;
/// [`second`] in SQL, of an event `e`.
const SECOND: &str = "e.time_ms - e.time_ms % 1000";

/// A time in whole seconds, as `search` has it.
fn second(time_ms: i64) -> i64 {
    time_ms - time_ms % 1000
}

/// A stored event, as LookupEvents answers with it.
#[derive(Clone, Debug)]
pub struct EventRow {
    pub id: i64,
    pub event_id: String,
    pub time_ms: i64,
    pub source: String,
    pub name: String,
    pub read_only: Option<bool>,
    pub user_name: Option<String>,
    pub access_key_id: Option<String>,
    pub resources: Vec<NamedResource>,
    /// The record's JSON.
    pub record: String,
}

/// What LookupEvents asks for: management events of one account and region.
#[derive(Clone, Debug)]
pub struct EventFilter {
    pub account: String,
    pub region: String,
    /// Inclusive.
    pub since_ms: i64,
    /// Inclusive.
    pub until_ms: i64,
    pub attribute: Option<EventAttribute>,
}

/// The one attribute that LookupEvents matches, exactly and by case.
#[derive(Clone, Debug)]
pub enum EventAttribute {
    EventId(String),
    EventName(String),
    ReadOnly(bool),
    Username(String),
    ResourceType(String),
    ResourceName(String),
    EventSource(String),
    AccessKeyId(String),
}

impl EventAttribute {
    /// Its number in the table `search`, and what finds it in the row of an event (`e`): before the value and behind
    /// it.
    fn column(&self) -> (i64, &'static str, &'static str) {
        match self {
            // Found by the events' own index, so the table does not have it.
            Self::EventId(_) => (-1, "e.event_id = ", ""),
            Self::EventName(_) => (1, "e.name = ", ""),
            Self::EventSource(_) => (2, "e.source = ", ""),
            Self::ReadOnly(_) => (3, "e.read_only = ", ""),
            Self::Username(_) => (4, "e.user_name = ", ""),
            Self::AccessKeyId(_) => (5, "e.access_key_id = ", ""),
            Self::ResourceType(_) => (
                6,
                "exists (select 1 from json_each(e.resources) where value ->> '$.kind' = ",
                ")",
            ),
            Self::ResourceName(_) => (
                7,
                "exists (select 1 from json_each(e.resources) where value ->> '$.name' = ",
                ")",
            ),
        }
    }

    fn value(&self) -> &str {
        match self {
            Self::ReadOnly(false) => "0",
            Self::ReadOnly(true) => "1",
            Self::EventId(value)
            | Self::EventName(value)
            | Self::EventSource(value)
            | Self::Username(value)
            | Self::AccessKeyId(value)
            | Self::ResourceType(value)
            | Self::ResourceName(value) => value,
        }
    }
}

/// Adds the events of a part: three texts of each.
fn add_rows(rows: &mut Vec<EventRow>, part: Option<&str>) -> Result<(), Error> {
    let mut texts = part.into_iter().flat_map(|part| part.split(SEPARATOR));
    while let (Some(columns), Some(resources), Some(record)) =
        (texts.next(), texts.next(), texts.next())
    {
        let row = EventRow::read(columns, resources, record);
        rows.push(row.map_err(|error| Error::Decode(error.into()))?);
    }
    Ok(())
}

impl EventRow {
    /// `columns` is a JSON list of the short ones, in their order.
    fn read(columns: &str, resources: &str, record: &str) -> serde_json::Result<Self> {
        type Columns = (
            i64,
            String,
            i64,
            String,
            String,
            Option<u8>,
            Option<String>,
            Option<String>,
        );
        let columns: Columns = serde_json::from_str(columns)?;
        let (id, event_id, time_ms, source, name, read_only, user_name, access_key_id) = columns;
        Ok(Self {
            id,
            event_id,
            time_ms,
            source,
            name,
            read_only: read_only.map(|read_only| read_only != 0),
            user_name,
            access_key_id,
            resources: serde_json::from_str(resources)?,
            record: record.to_owned(),
        })
    }
}

impl Store {
    /// Management events that match `filter`, newest first, from after the (`time_ms`, `id`) of an earlier page's end.
    /// Times count by their seconds, as CloudTrail tells them: of events of one second the last stored is the newest.
    pub async fn event_page(
        &self,
        filter: &EventFilter,
        after: Option<(i64, i64)>,
        limit: u32,
    ) -> Result<Vec<EventRow>, Error> {
        let attribute = filter.attribute.as_ref();
        let (number, tail, end) = attribute.map_or((0, "'' = ", ""), EventAttribute::column);
        let value = attribute.map_or("", EventAttribute::value);
        // A page that goes on ends before what the earlier one ended with; the first one ends before nothing.
        let (before_ms, before) = after.unwrap_or((i64::MAX, i64::MAX));
        let before_ms = second(before_ms);
        let is_in_table = number >= 0;

        // A page comes as one row: each row is a message between threads, and each column of it a copy. JSON goes in it as
        // it is stored, since to quote it takes SQLite longer than all else. SQLite may not choose the order of the last
        // join: it would look through all events for those of the page.
        let mut query = QueryBuilder::new("with found (time_ms, id) as (");
        if is_in_table {
            // Blocks and what is in them come the newest first, so no more are read than make a page: each has an event
            // at least. But for the first one, whose later events were on the page before; and the oldest events of a
            // block may have been forgotten.
            let key = |query: &mut QueryBuilder<Sqlite>| {
                query
                    .push("select time_ms, event, coalesce(events, event) as events from search where account = ")
                    .push_bind(&filter.account)
                    .push(" and region = ")
                    .push_bind(&filter.region)
                    .push(" and attribute = ")
                    .push_bind(number)
                    .push(" and value = ")
                    .push_bind(value);
            };
            query.push("select * from (select block.time_ms, in_block.value from (select * from (");
            key(&mut query);
            query.push(" and time_ms = ").push_bind(before_ms);
            query.push(" and event >= ").push_bind(before);
            query.push(" order by event limit 0 + 1) union all select * from (");
            key(&mut query);
            query
                .push(" and time_ms between ")
                .push_bind(filter.since_ms);
            query.push(" and ").push_bind(filter.until_ms);
            query.push(" and (time_ms, event) < (").push_bind(before_ms);
            query.push(", ").push_bind(before);
            query.push(") order by time_ms desc, event desc limit 0 + ");
            query
                .push_bind(limit)
                .push(")) block cross join json_each(block.events) in_block where (block.time_ms, in_block.value) < (")
                .push_bind(before_ms);
            query.push(", ").push_bind(before);
            query.push(") and in_block.value >= (select min(id) from event) limit 0 + ");
            query.push_bind(limit).push(") union all ");
        }
        query
            .push("select * from (select ")
            .push(SECOND)
            .push(", e.id from event e where e.category = 'Management' and e.account = ");
        query.push_bind(&filter.account).push(" and e.region = ");
        query.push_bind(&filter.region).push(" and ").push(tail);
        query.push_bind(value).push(end);
        if is_in_table {
            query.push(" and e.id > coalesce((select last_event from search_progress), 0)");
        }
        query.push(" and ").push(SECOND).push(" between ");
        query.push_bind(filter.since_ms).push(" and ");
        query.push_bind(filter.until_ms).push(" and (").push(SECOND);
        query.push(", e.id) < (").push_bind(before_ms);
        query.push(", ").push_bind(before);
        query.push(") order by 1 desc, e.id desc limit 0 + ");
        query
            .push_bind(limit)
            .push(")), page as materialized (select * from found order by time_ms desc, id desc limit 0 + ");
        query.push_bind(limit).push(") select ");
        let length = limit.div_ceil(PARTS);
        for part in 0..PARTS {
            query.push(if part == 0 { "(" } else { ", (" }).push(
                "select group_concat(concat_ws(char(30),
                     json_array(e.id, e.event_id, e.time_ms, e.source, e.name, e.read_only, e.user_name, e.access_key_id),
                     e.resources, e.record), char(30))
                from (select id from page limit 0 + ",
            );
            query.push_bind(length).push(" offset 0 + ");
            query
                .push_bind(part * length)
                .push(") part cross join event e on e.id = part.id)");
        }
        let mut reading = self.connections.read().await?;
        let page = query.build().fetch_one(&mut *reading).await?;
        let mut rows = Vec::with_capacity(limit as usize);
        for part in 0..page.len() {
            add_rows(&mut rows, page.try_get(part)?)?;
        }
        // SQLite would copy them all once more to order them.
        rows.sort_unstable_by_key(|row| Reverse((second(row.time_ms), row.id)));
        Ok(rows)
    }
}

#[cfg(test)]
pub(super) mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;
    use crate::store::filling::tests::fill_up_to;
    use crate::store::{Lifetime, NewEvent, Slot};

    // Fewer than are filled in without being asked.
    const EVENTS: i64 = 120;

    /// All management events of the account and region that tests store theirs in.
    pub(in crate::store) fn everything() -> EventFilter {
        EventFilter {
            account: "111122223333".to_owned(),
            region: "us-east-1".to_owned(),
            since_ms: 0,
            until_ms: i64::MAX,
            attribute: None,
        }
    }

    /// A hundred events a second, not in the order of their milliseconds.
    pub(in crate::store) fn event(number: i64) -> NewEvent {
        let is_data = number % 10 == 9;
        NewEvent {
            event_id: format!("event-{number}"),
            account: "111122223333".to_owned(),
            region: if number % 5 == 4 {
                "eu-west-1"
            } else {
                "us-east-1"
            }
            .to_owned(),
            time_ms: number / 100 * 1_000 + number * 37 % 1_000,
            source: format!("source-{}", number % 3),
            name: format!("Name{}", number % 4),
            read_only: (number % 7 != 0).then_some(number % 2 == 0),
            category: if is_data { "Data" } else { "Management" }.to_owned(),
            user_name: (number % 3 != 0).then(|| format!("user-{}", number % 2)),
            access_key_id: (number % 2 != 0).then(|| format!("key-{}", number % 3)),
            resources: (0..number % 4)
                .map(|index| NamedResource {
                    kind: (index != 2).then(|| "AWS::S3::Bucket".to_owned()),
                    name: format!("bucket-{index}"),
                })
                .collect(),
            record: "{}".to_owned(),
            takers: Vec::new(),
            slot: Slot::of(number, 300_000),
        }
    }

    fn number(event: &NewEvent) -> i64 {
        event.event_id["event-".len()..].parse().unwrap()
    }

    fn matches(event: &NewEvent, attribute: Option<&EventAttribute>) -> bool {
        match attribute {
            None => true,
            Some(EventAttribute::EventId(id)) => event.event_id == *id,
            Some(EventAttribute::EventName(name)) => event.name == *name,
            Some(EventAttribute::EventSource(source)) => event.source == *source,
            Some(EventAttribute::ReadOnly(read_only)) => event.read_only == Some(*read_only),
            Some(EventAttribute::Username(name)) => event.user_name.as_ref() == Some(name),
            Some(EventAttribute::AccessKeyId(id)) => event.access_key_id.as_ref() == Some(id),
            Some(EventAttribute::ResourceType(kind)) => event
                .resources
                .iter()
                .any(|resource| resource.kind.as_ref() == Some(kind)),
            Some(EventAttribute::ResourceName(name)) => event
                .resources
                .iter()
                .any(|resource| resource.name == *name),
        }
    }

    async fn found(store: &Store, filter: &EventFilter) -> Vec<String> {
        let mut found = Vec::new();
        let mut after = None;
        loop {
            let page = store.event_page(filter, after, 7).await.unwrap();
            let Some(last) = page.last() else {
                return found;
            };
            after = Some((last.time_ms, last.id));
            found.extend(page.into_iter().map(|row| row.event_id));
        }
    }

    /// One that many events have, of each kind and none; and such as few events have.
    fn attributes() -> Vec<Option<EventAttribute>> {
        let text = str::to_owned;
        vec![
            None,
            Some(EventAttribute::EventId(text("event-50"))),
            Some(EventAttribute::EventId(text("event-4"))),
            Some(EventAttribute::EventName(text("Name1"))),
            Some(EventAttribute::EventSource(text("source-2"))),
            Some(EventAttribute::ReadOnly(true)),
            Some(EventAttribute::ReadOnly(false)),
            Some(EventAttribute::Username(text("user-1"))),
            Some(EventAttribute::AccessKeyId(text("key-1"))),
            Some(EventAttribute::ResourceType(text("AWS::S3::Bucket"))),
            Some(EventAttribute::ResourceName(text("bucket-1"))),
            Some(EventAttribute::ResourceName(text("bucket-2"))),
            Some(EventAttribute::ResourceName(text("nothing"))),
        ]
    }

    #[tokio::test]
    async fn pages_are_the_same_wherever_the_filling_stands() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("test.sqlite");
        let store = Store::open(&path, Lifetime::Temporary).await.unwrap();
        let mut events: Vec<NewEvent> = (0..EVENTS).map(event).collect();
        store.events_append(events.clone()).await.unwrap();
        let attributes = attributes();
        for (filled, forgotten) in [
            (0, 0),
            (1, 0),
            (57, 0),
            (EVENTS, 0),
            (EVENTS + 50, 0),
            (EVENTS, 40),
        ] {
            fill_up_to(&store, filled).await;
            sqlx::query("delete from event where id <= $1")
                .bind(forgotten)
                .execute(&mut *store.connections.write().await.unwrap())
                .await
                .unwrap();
            events.retain(|event| forgotten <= number(event));
            for (since_ms, until_ms) in [(0, i64::MAX), (1_000, 2_999)] {
                for attribute in &attributes {
                    let filter = EventFilter {
                        since_ms,
                        until_ms,
                        attribute: attribute.clone(),
                        ..everything()
                    };
                    let expected: Vec<&str> = events
                        .iter()
                        .rev()
                        .filter(|event| event.category == "Management")
                        .filter(|event| event.region == "us-east-1")
                        .filter(|event| (since_ms..=until_ms).contains(&event.time_ms))
                        .filter(|event| matches(event, attribute.as_ref()))
                        .map(|event| event.event_id.as_str())
                        .collect();
                    assert_eq!(
                        found(&store, &filter).await,
                        expected,
                        "{attribute:?} with {filled} filled in and {forgotten} forgotten"
                    );
                }
            }
        }
    }

    /// What SQLite does, in its instructions, for the first page by each attribute of so many events.
    async fn looking_up(count: i64) -> Vec<u64> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("test.sqlite");
        let store = Store::open(&path, Lifetime::Temporary).await.unwrap();
        store
            .events_append((0..count).map(event).collect())
            .await
            .unwrap();
        fill_up_to(&store, count).await;
        let tens = Arc::new(AtomicU64::new(0));
        let counted = Arc::clone(&tens);
        let mut reading = store.connections.read().await.unwrap();
        let mut handle = reading.lock_handle().await.unwrap();
        handle.set_progress_handler(10, move || {
            counted.fetch_add(1, Ordering::Relaxed);
            true
        });
        drop(handle);
        drop(reading);
        let mut taken = Vec::new();
        for attribute in attributes() {
            let filter = EventFilter {
                attribute,
                ..everything()
            };
            let before = tens.load(Ordering::Relaxed);
            store.event_page(&filter, None, 50).await.unwrap();
            taken.push(10 * (tens.load(Ordering::Relaxed) - before));
        }
        taken
    }

    #[tokio::test]
    async fn a_page_takes_no_longer_where_there_are_many_events() {
        let few = looking_up(500).await;
        let many = looking_up(5_000).await;
        for ((few, many), attribute) in few.into_iter().zip(many).zip(attributes()) {
            assert!(many < 2 * few, "{attribute:?}: {few} and {many}");
        }
    }

    #[tokio::test]
    async fn a_row_has_what_was_stored() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("test.sqlite");
        let store = Store::open(&path, Lifetime::Temporary).await.unwrap();
        let records = [
            "{}",
            r#"{"a":"\"\\\n\u0001"}"#,
            "{\"ü\":\"\u{1f600}/\u{2028}\"}",
        ];
        let mut events: Vec<NewEvent> = [0, 1, 2].map(event).into();
        for (event, record) in events.iter_mut().zip(records) {
            event.record = record.to_owned();
        }
        events[1].read_only = None;
        // As what stands between texts, but for JSON's sake.
        events[1].name = SEPARATOR.to_string();
        events[1].resources[0].name = format!("a{SEPARATOR}\n");
        store.events_append(events.clone()).await.unwrap();
        let filter = everything();
        let rows = store.event_page(&filter, None, 50).await.unwrap();
        assert_eq!(rows.len(), events.len());
        for (row, event) in rows.into_iter().rev().zip(events) {
            assert_eq!(row.event_id, event.event_id);
            assert_eq!(row.time_ms, event.time_ms);
            assert_eq!(row.source, event.source);
            assert_eq!(row.name, event.name);
            assert_eq!(row.read_only, event.read_only);
            assert_eq!(row.user_name, event.user_name);
            assert_eq!(row.access_key_id, event.access_key_id);
            assert_eq!(row.resources, event.resources);
            assert_eq!(row.record, event.record);
        }
    }

    #[tokio::test]
    async fn events_after_a_reset_are_found() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("test.sqlite");
        let store = Store::open(&path, Lifetime::Temporary).await.unwrap();
        store
            .events_append((0..EVENTS).map(event).collect())
            .await
            .unwrap();
        fill_up_to(&store, EVENTS).await;
        store.reset().await.unwrap();
        // One that was asked for before the reset.
        fill_up_to(&store, EVENTS).await;
        store.events_append(vec![event(1)]).await.unwrap();
        let filter = everything();
        assert_eq!(found(&store, &filter).await, ["event-1"]);
    }
}
