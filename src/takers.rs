//! Which trails take an event: from an [`Event`] to the row that is stored of it.
//!
//! Shared by those who make events, `record` of the calls seen and `delivery` of those that localtrail makes itself. It
//! keeps the trails that log in memory, and reads them again only after one has changed. It stores nothing.

use std::sync::{Arc, PoisonError, RwLock};

use chrono::{DateTime, Utc};

use crate::event::select::Selectors;
use crate::event::{Event, catalog};
use crate::store::{Error, NewEvent, Slot, Store, Trail};

/// The trails that log. Clones share what is known.
#[derive(Clone, Debug)]
pub struct Takers {
    store: Store,
    /// Length of a delivery slot.
    slot_ms: i64,
    /// With the store's version of them.
    known: Arc<RwLock<(u64, Arc<Vec<Taker>>)>>,
}

/// A trail that wants events.
#[derive(Debug)]
struct Taker {
    trail_id: i64,
    account: String,
    home_region: String,
    multi_region: bool,
    global_events: bool,
    selectors: Selectors,
}

impl Taker {
    fn takes(&self, event: &Event, account: &str) -> bool {
        let here = self.multi_region
            || (self.home_region == event.aws_region
                && (self.global_events || !catalog::is_global(&event.event_source)));
        here && self.account == account && self.selectors.takes(event)
    }
}

impl From<Trail> for Taker {
    fn from(trail: Trail) -> Self {
        Self {
            trail_id: trail.id,
            account: trail.account,
            home_region: trail.home_region,
            multi_region: trail.is_multi_region,
            global_events: trail.include_global_service_events,
            selectors: trail.selectors,
        }
    }
}

impl Takers {
    pub fn new(store: Store, slot_ms: i64) -> Self {
        let known = Arc::new(RwLock::new((u64::MAX, Arc::default())));
        Self {
            store,
            slot_ms,
            known,
        }
    }

    /// The rows of events that have come in at `now`, with the trails that take each.
    pub async fn rows(&self, events: &[Event], now: DateTime<Utc>) -> Result<Vec<NewEvent>, Error> {
        let takers = self.takers().await?;
        let slot = Slot::of(now.timestamp_millis(), self.slot_ms);
        events
            .iter()
            .map(|event| row(event, &takers, slot))
            .collect()
    }

    /// The trails that log, as they are now.
    async fn takers(&self) -> Result<Arc<Vec<Taker>>, Error> {
        let version = self.store.trails_version();
        {
            let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
            if known.0 == version {
                return Ok(Arc::clone(&known.1));
            }
        }
        let trails = self.store.trails_logging().await?;
        let takers: Arc<Vec<_>> = Arc::new(trails.into_iter().map(Taker::from).collect());
        *self.known.write().unwrap_or_else(PoisonError::into_inner) =
            (version, Arc::clone(&takers));
        Ok(takers)
    }
}

fn row(event: &Event, takers: &[Taker], slot: Slot) -> Result<NewEvent, Error> {
    let account = event.recipient_account_id.clone().unwrap_or_default();
    Ok(NewEvent {
        event_id: event.event_id.clone(),
        region: event.aws_region.clone(),
        time_ms: event.event_time.timestamp_millis(),
        source: event.event_source.clone(),
        name: event.event_name.clone(),
        read_only: event.read_only,
        category: event
            .event_category
            .clone()
            .unwrap_or_else(|| "Management".to_owned()),
        user_name: catalog::user_name(event).map(ToOwned::to_owned),
        access_key_id: event.user_identity["accessKeyId"]
            .as_str()
            .map(ToOwned::to_owned),
        resources: catalog::named_resources(event),
        record: serde_json::to_string(event).map_err(|error| Error::Encode(error.into()))?,
        takers: takers
            .iter()
            .filter(|taker| taker.takes(event, &account))
            .map(|taker| taker.trail_id)
            .collect(),
        slot,
        account,
    })
}
