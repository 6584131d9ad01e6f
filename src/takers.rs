//! Which trails take an event: from an [`Event`] to the row that is stored of it.
//!
//! Shared by those who make events, `record` of the calls seen and `delivery` of those that localtrail makes itself. It
//! keeps the trails that log in memory, and reads them again only after one has changed. It stores nothing.

use std::sync::{Arc, PoisonError, RwLock};

use chrono::{DateTime, Utc};
use tracing::error;

use crate::event::select::Selectors;
use crate::event::{Event, catalog, version};
use crate::store::{Error, NewEvent, Slot, Store, Trail};

/// Knows the trails that log. Clones share what is known.
#[derive(Clone, Debug)]
pub struct Takers {
    store: Store,
    /// Length of a delivery slot.
    slot_ms: i64,
    /// With the store's version of them.
    known: Arc<RwLock<(u64, Logging)>>,
}

/// The trails that log at some time.
#[derive(Clone, Debug, Default)]
pub struct Logging(Arc<Vec<Taker>>);

/// A trail that wants events.
#[derive(Debug)]
struct Taker {
    trail_id: i64,
    account: String,
    /// The accounts of an organization trail's organization.
    organization_accounts: Vec<String>,
    home_region: String,
    multi_region: bool,
    global_events: bool,
    recursive_events: bool,
    selectors: Selectors,
}

impl Taker {
    fn takes(&self, event: &Event, account: &str) -> bool {
        let here = self.multi_region
            || (self.home_region == event.aws_region
                && (self.global_events || !catalog::is_global(event)));
        let ours =
            self.account == account || self.organization_accounts.iter().any(|it| it == account);
        here && ours
            && (self.recursive_events || !catalog::is_recursive(event))
            && self.selectors.takes(event)
    }
}

impl Taker {
    fn new(trail: Trail, organization_accounts: Vec<String>) -> Self {
        Self {
            trail_id: trail.id,
            account: trail.account,
            organization_accounts,
            home_region: trail.home_region,
            multi_region: trail.is_multi_region,
            global_events: trail.include_global_service_events,
            recursive_events: trail.recursive_logging,
            selectors: trail.selectors,
        }
    }
}

impl Logging {
    /// Ids of the trails that take `event`: those that log now, and those that logged `before`, when its call came in.
    ///
    /// An event that began before its trail was stopped or deleted is delivered, that of the stop among them.
    fn takers(&self, before: &Self, event: &Event, account: &str) -> Vec<i64> {
        let stopped = before
            .0
            .iter()
            .filter(|_| !Arc::ptr_eq(&self.0, &before.0))
            .filter(|taker| !self.0.iter().any(|now| now.trail_id == taker.trail_id));
        self.0
            .iter()
            .chain(stopped)
            .filter(|taker| taker.takes(event, account))
            .map(|taker| taker.trail_id)
            .collect()
    }
}

impl Takers {
    pub fn new(store: Store, slot_ms: i64) -> Self {
        Self {
            store,
            slot_ms,
            known: Arc::new(RwLock::new((u64::MAX, Logging::default()))),
        }
    }

    /// The trails that log as a call comes in; none if they cannot be read, for a call is answered all the same.
    pub async fn logging(&self) -> Logging {
        self.now().await.unwrap_or_else(|error| {
            error!("cannot read the trails that log: {error}");
            Logging::default()
        })
    }

    /// The rows of events that have come in at `now`, with the trails that take each; `before` logged when their call
    /// came in.
    pub async fn rows(
        &self,
        events: &[Event],
        before: &Logging,
        now: DateTime<Utc>,
    ) -> Result<Vec<NewEvent>, Error> {
        let logging = self.now().await?;
        let rows = events.iter().map(|event| {
            // A record that was brought in with a time to come is delivered when that has come: a log file's events lie
            // before the time that it is named after.
            let came = now.max(event.event_time).timestamp_millis();
            row(event, &logging, before, Slot::of(came, self.slot_ms))
        });
        rows.collect()
    }

    /// The rows of events that localtrail has made itself. What their version lacks goes last: trails and the event
    /// history ask for the whole event.
    pub async fn rows_of_version(
        &self,
        events: &[Event],
        before: &Logging,
        now: DateTime<Utc>,
    ) -> Result<Vec<NewEvent>, Error> {
        let mut rows = self.rows(events, before, now).await?;
        for (row, event) in rows.iter_mut().zip(events) {
            if version::minor(&event.event_version) < version::NEWEST {
                row.record = text(&event.clone().of_its_version())?;
            }
        }
        Ok(rows)
    }

    /// The trails that log, as they are now.
    async fn now(&self) -> Result<Logging, Error> {
        let version = self.store.trails_version();
        {
            let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
            if known.0 == version {
                return Ok(known.1.clone());
            }
        }
        let trails = self.store.trails_logging().await?;
        let mut takers = Vec::with_capacity(trails.len());
        for trail in trails {
            let accounts = match &trail.organization_id {
                Some(id) => self.store.organization_accounts(id).await?,
                None => Vec::new(),
            };
            takers.push(Taker::new(trail, accounts));
        }
        let logging = Logging(Arc::new(takers));
        *self.known.write().unwrap_or_else(PoisonError::into_inner) = (version, logging.clone());
        Ok(logging)
    }
}

fn row(event: &Event, logging: &Logging, before: &Logging, slot: Slot) -> Result<NewEvent, Error> {
    let account = event.recipient_account_id.clone().unwrap_or_default();
    Ok(NewEvent {
        event_id: event.event_id.clone(),
        region: event.aws_region.clone(),
        time_ms: event.event_time.timestamp_millis(),
        source: event.event_source.clone(),
        name: event.event_name.clone(),
        read_only: event.read_only,
        category: event.category().to_owned(),
        user_name: catalog::user_name(event).map(ToOwned::to_owned),
        access_key_id: catalog::access_key(event).map(ToOwned::to_owned),
        resources: catalog::named_resources(event),
        record: text(event)?,
        takers: logging.takers(before, event, &account),
        slot,
        account,
    })
}

fn text(event: &Event) -> Result<String, Error> {
    serde_json::to_string(event).map_err(|error| Error::Encode(error.into()))
}
