//! Events on their way to an event bus: which of those that trails take wait to be gathered, by account and region.
//!
//! The row that asks for it is written by a trigger with the event itself, as cuts are. The trigger is a temporary one,
//! made when there is an event bus, so that without one an event costs nothing more.

use std::sync::atomic::Ordering;

use sqlx::sqlite::SqliteRow;
use sqlx::{FromRow, QueryBuilder, Row};

use super::connections::Batch;
use super::outbox::{done, enqueue, text};
use super::{Error, Item, Step, Store};

/// An event that may go to a bus.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BusCandidate {
    pub id: i64,
    /// eventTime, in milliseconds since the epoch.
    pub time_ms: i64,
    pub source: String,
    pub name: String,
    pub read_only: Option<bool>,
    pub category: String,
    /// eventType: `AwsApiCall`.
    pub kind: String,
    /// Compact JSON.
    pub record: String,
}

impl FromRow<'_, SqliteRow> for BusCandidate {
    fn from_row(row: &SqliteRow) -> Result<Self, Error> {
        Ok(Self {
            id: row.try_get("id")?,
            time_ms: row.try_get("time_ms")?,
            source: row.try_get("source")?,
            name: row.try_get("name")?,
            read_only: row.try_get("read_only")?,
            category: row.try_get("category")?,
            kind: row.try_get("kind")?,
            record: row.try_get("record")?,
        })
    }
}

const CANDIDATE: &str = "select id, time_ms, source, name, read_only, category, record,
                                coalesce(json_extract(record, '$.eventType'), '') as kind from event";

/// Events that are gathered at a time.
const GATHER: u32 = 200;

impl Store {
    /// Has every event from now on that a trail takes ask to be gathered for the event bus.
    pub async fn event_bus_open(&self) -> Result<(), Error> {
        sqlx::query(
            "create temp trigger if not exists event_bus_insert after insert on main.event
             when new.takers is not null
             begin
                 insert into outbox (step, dedupe, due_ms, created_ms)
                 values (json_object('kind', 'gather_events', 'account', new.account, 'region', new.region,
                                     'first_event', new.id),
                         'gather:' || new.account || ':' || new.region, new.slot_start_ms, new.slot_start_ms)
                 on conflict (dedupe) do nothing;
             end",
        )
        .execute(&mut *self.connections.write().await?)
        .await?;
        self.event_bus.open.store(true, Ordering::Release);
        Ok(())
    }

    /// Returns when events have come in to be gathered; never where there is no event bus.
    pub async fn event_bus_filled(&self) {
        self.event_bus.filled.notified().await;
    }

    /// The newest event.
    pub async fn event_last(&self) -> Result<i64, Error> {
        sqlx::query_scalar("select coalesce(max(id), 0) from event")
            .fetch_one(&mut *self.connections.read().await?)
            .await
    }

    /// Ends a gathering of the events up to `last`: `choose` makes steps of them. Where more have come in, the step
    /// stays for those.
    pub async fn event_bus_gather(
        &self,
        item: &Item,
        last: i64,
        now_ms: i64,
        choose: impl FnOnce(&[BusCandidate]) -> Vec<Step> + Send,
    ) -> Result<(), Error> {
        let Step::GatherEvents {
            account,
            region,
            first_event,
        } = &item.step
        else {
            return Err(Error::Protocol("not a gathering".to_owned()));
        };
        let mut tx = self.begin().await?;
        let candidates: Vec<BusCandidate> = QueryBuilder::new(CANDIDATE)
            .push(" where id between ")
            .push_bind(first_event)
            .push(" and ")
            .push_bind(last)
            .push(" and takers is not null and account = ")
            .push_bind(account)
            .push(" and region = ")
            .push_bind(region)
            .push(" order by id limit 0 + ")
            .push_bind(GATHER)
            .build_query_as()
            .fetch_all(&mut *tx)
            .await?;
        let mut batch = Batch::new();
        enqueue(&mut batch, &choose(&candidates), now_ms, now_ms)?;
        let looked_at = match candidates.last() {
            Some(last) if candidates.len() >= GATHER as usize => last.id,
            _ => last,
        };
        // Inside the transaction: an event that commits meanwhile would find this step still waiting and ask for none
        // of its own.
        let more: Option<i64> = sqlx::query_scalar(
            "select id from event where id > $1 and takers is not null and account = $2 and region = $3
             order by id limit 1",
        )
        .bind(looked_at)
        .bind(account)
        .bind(region)
        .fetch_optional(&mut *tx)
        .await?;
        match more {
            None => done(&mut batch, item),
            Some(first_event) => {
                let step = Step::GatherEvents {
                    account: account.clone(),
                    region: region.clone(),
                    first_event,
                };
                batch
                    .then("update outbox set attempts = 0, step = ")
                    .push_bind(text(&step)?)
                    .push(", due_ms = ")
                    .push_bind(now_ms)
                    .push(", created_ms = ")
                    .push_bind(now_ms)
                    .push(" where id = ")
                    .push_bind(item.id);
            }
        }
        tx.commit_with(batch).await
    }

    /// The events with these ids, in order.
    pub async fn event_bus_events(&self, ids: &[i64]) -> Result<Vec<BusCandidate>, Error> {
        let ids = serde_json::to_string(ids).map_err(|error| Error::Encode(Box::new(error)))?;
        QueryBuilder::new(CANDIDATE)
            .push(" where id in (select value from json_each(")
            .push_bind(ids)
            .push(")) order by id")
            .build_query_as()
            .fetch_all(&mut *self.connections.read().await?)
            .await
    }

    /// Leaves of a step what is still to be done.
    pub async fn outbox_narrow(&self, item: &Item, step: &Step) -> Result<(), Error> {
        sqlx::query("update outbox set step = $2 where id = $1")
            .bind(item.id)
            .bind(text(step)?)
            .execute(&mut *self.connections.write().await?)
            .await?;
        Ok(())
    }
}
