//! From a call seen at the door to an event stored: route, parse, identify, build, select, store.
//!
//! A call is answered even if it cannot be recorded: nothing here returns an error to the caller, failures are logged
//! and counted. An event and the trails that take it are stored in one transaction, or neither is.

pub mod identify;
pub mod proxy;

use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use bytes::Bytes;
use chrono::{DateTime, Utc};
use http::request::Parts;
use http::{HeaderMap, StatusCode};
use tracing::{debug, error};

use crate::aws::model::Protocol;
use crate::aws::route::{self, Call, Route};
use crate::aws::sigv4::Signature;
use crate::aws::{body, params};
use crate::clock::{Clock, Ids};
use crate::event::select::Selectors;
use crate::event::{Event, Exchange, Outcome, build, catalog};
use crate::store::{AppendError, NewEvent, Slot, Store};
use identify::Identities;
use proxy::Seen;

/// Errors that AWS gives before a call reaches its service, and of which it writes no record.
const UNRECORDED: &[&str] = &[
    "AuthFailure",
    "AuthorizationHeaderMalformed",
    "ExpiredToken",
    "ExpiredTokenException",
    "IncompleteSignature",
    "IncompleteSignatureException",
    "InvalidAccessKeyId",
    "InvalidClientTokenId",
    "InvalidSignatureException",
    "MissingAuthenticationToken",
    "MissingAuthenticationTokenException",
    "RequestEntityTooLargeException",
    "SerializationException",
    "SignatureDoesNotMatch",
    "UnknownOperationException",
    "UnrecognizedClientException",
];

/// How records are made.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Region of calls that are not signed.
    pub region: String,
    pub event_version: String,
    /// Length of a delivery slot.
    pub slot_ms: i64,
    /// Most bytes of a body, as sent and decoded, that a record is made from.
    pub body_limit: usize,
}

/// Makes and stores the records of calls.
#[derive(Debug)]
pub struct Recorder {
    store: Store,
    clock: Clock,
    ids: Ids,
    settings: Settings,
    pub identities: Identities,
    takers: RwLock<(u64, Arc<Vec<Taker>>)>,
    pub counts: Counts,
}

/// What has become of the calls seen.
#[derive(Debug, Default)]
pub struct Counts {
    pub recorded: AtomicU64,
    /// Not AWS calls as far as the models know, or refused before they reached a service.
    pub skipped: AtomicU64,
    pub failed: AtomicU64,
}

/// A call as the door saw it, with its answer.
#[derive(Debug)]
pub struct CallSeen {
    pub parts: Parts,
    pub signature: Option<Signature>,
    pub request_body: Seen,
    pub status: StatusCode,
    pub response_headers: HeaderMap,
    pub response_body: Seen,
    pub peer: IpAddr,
    /// The account of callers whose access key does not say.
    pub default_account: String,
    /// The trails that logged when the call came, where the call may change that.
    pub takers_before: Option<Arc<Vec<Taker>>>,
}

/// A trail that wants events.
#[derive(Debug)]
pub struct Taker {
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

#[derive(Debug, thiserror::Error)]
enum RecordError {
    #[error(transparent)]
    Append(#[from] AppendError),
    #[error(transparent)]
    Database(#[from] crate::store::Error),
    #[error("cannot write the record: {0}")]
    Encode(#[from] serde_json::Error),
}

impl Recorder {
    pub async fn open(
        store: Store,
        clock: Clock,
        ids: Ids,
        settings: Settings,
    ) -> Result<Self, crate::store::Error> {
        let identities = Identities::load(store.clone()).await?;
        let takers = RwLock::new((u64::MAX, Arc::default()));
        Ok(Self {
            store,
            clock,
            ids,
            settings,
            identities,
            takers,
            counts: Counts::default(),
        })
    }

    pub fn body_limit(&self) -> usize {
        self.settings.body_limit
    }

    /// Records a call. Returns when its event is committed, or could not be.
    pub async fn record(&self, seen: CallSeen) {
        match self.try_record(&seen).await {
            Ok(true) => self.counts.recorded.fetch_add(1, Ordering::Relaxed),
            Ok(false) => self.counts.skipped.fetch_add(1, Ordering::Relaxed),
            Err(error) => {
                error!("cannot record a call: {error}");
                self.counts.failed.fetch_add(1, Ordering::Relaxed)
            }
        };
    }

    async fn try_record(&self, seen: &CallSeen) -> Result<bool, RecordError> {
        let limit = self.settings.body_limit;
        let raw_request = seen.request_body.take();
        let request_body = raw_request
            .as_ref()
            .and_then(|raw| body::decode(&seen.parts.headers, raw, limit));
        let route = route::find(
            &seen.parts,
            seen.signature.as_ref(),
            request_body.as_deref().unwrap_or_default(),
        );
        let Route::Call(call) = route else {
            debug!(
                "no operation of {} {} is known",
                seen.parts.method,
                seen.parts.uri.path()
            );
            return Ok(false);
        };
        let raw_response = seen.response_body.take();
        let outcome = outcome(&call, seen, raw_response.as_ref(), limit);
        if let Outcome::Failure(error) = &outcome
            && UNRECORDED.contains(&error.code.as_str())
        {
            return Ok(false);
        }

        let params = match &request_body {
            Some(body) => params::request(&call, &seen.parts, body).ok(),
            // A REST call's head has parameters of its own: an object's bucket and key.
            None if matches!(call.protocol, Protocol::RestJson | Protocol::RestXml) => {
                params::request(&call, &seen.parts, &[]).ok()
            }
            None => None,
        };
        let now = self.clock.now();
        let region = seen
            .signature
            .as_ref()
            .map(|signature| signature.region.as_str())
            .filter(|r| !r.is_empty());
        let region = region.unwrap_or(&self.settings.region);
        let caller = identify::Caller {
            signature: seen.signature.as_ref(),
            default_account: &seen.default_account,
            region,
            now,
        };
        let principal = self.identities.principal(&call, &caller, &outcome);
        self.identities
            .learn(&call, &caller, &principal, params.as_ref(), &outcome)
            .await?;

        let raw_response = raw_response.unwrap_or_default();
        let request_id = params::request_id(&seen.response_headers, &raw_response);
        let exchange = Exchange {
            call,
            parts: &seen.parts,
            signature: seen.signature.as_ref(),
            params,
            body: request_body.as_deref(),
            outcome,
            response_headers: &seen.response_headers,
            bytes_in: seen.request_body.total(),
            bytes_out: seen.response_body.total(),
            time: now,
            source_ip: seen.peer,
            request_id: request_id.unwrap_or_else(|| self.ids.uuid().to_string()),
            event_id: self.ids.uuid().to_string(),
            region,
            account: &principal.account,
            tls: None,
        };
        let event = build::build(exchange, &principal, &self.settings.event_version);
        let mut row = self.row(&event, &self.takers().await?, now)?;
        if let Some(before) = &seen.takers_before {
            // StopLogging is the last event of the trail that it stops, as is DeleteTrail.
            let before = taker_ids(before, &event, &row.account);
            row.takers.extend(before);
            row.takers.sort_unstable();
            row.takers.dedup();
        }
        self.store.events_append(vec![row]).await?;
        Ok(true)
    }

    /// Stores events that have come in at `now`; says which were there before.
    async fn append(
        &self,
        events: Vec<Event>,
        now: DateTime<Utc>,
    ) -> Result<Vec<String>, RecordError> {
        let takers = self.takers().await?;
        let events = events
            .iter()
            .map(|event| self.row(event, &takers, now))
            .collect::<Result<_, _>>()?;
        let appended = self.store.events_append(events).await?;
        Ok(appended.duplicates)
    }

    fn row(
        &self,
        event: &Event,
        takers: &[Taker],
        now: DateTime<Utc>,
    ) -> Result<NewEvent, serde_json::Error> {
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
            record: serde_json::to_string(event)?,
            takers: taker_ids(takers, event, &account).collect(),
            // A record that was brought in with a time to come is delivered when that has come: a log file's events lie
            // before the time that it is named after.
            slot: Slot::of(
                now.max(event.event_time).timestamp_millis(),
                self.settings.slot_ms,
            ),
            account,
        })
    }

    /// Stores records that were brought in by hand. An `eventID` that is stored already is not stored again.
    pub async fn import(
        &self,
        events: Vec<Event>,
    ) -> Result<Vec<String>, impl std::error::Error + use<>> {
        self.append(events, self.clock.now()).await
    }

    /// The trails that log, as they are now: read again only after one has changed.
    pub async fn takers(&self) -> Result<Arc<Vec<Taker>>, crate::store::Error> {
        let version = self.store.trails_version();
        {
            let known = self.takers.read().unwrap_or_else(PoisonError::into_inner);
            if known.0 == version {
                return Ok(Arc::clone(&known.1));
            }
        }
        let trails = self.store.trails_logging().await?;
        let takers = Arc::new(
            trails
                .into_iter()
                .map(|trail| Taker {
                    trail_id: trail.id,
                    multi_region: trail.is_multi_region,
                    global_events: trail.include_global_service_events,
                    selectors: trail.selectors,
                    account: trail.account,
                    home_region: trail.home_region,
                })
                .collect(),
        );
        *self.takers.write().unwrap_or_else(PoisonError::into_inner) =
            (version, Arc::clone(&takers));
        Ok(takers)
    }

    /// Forgets who calls with which key.
    pub fn forget(&self) {
        self.identities.forget();
    }
}

/// Ids of those that take the event.
fn taker_ids(takers: &[Taker], event: &Event, account: &str) -> impl Iterator<Item = i64> {
    takers
        .iter()
        .filter(move |taker| taker.takes(event, account))
        .map(|taker| taker.trail_id)
}

fn outcome(call: &Call, seen: &CallSeen, raw: Option<&Bytes>, limit: usize) -> Outcome {
    let decoded = raw.and_then(|raw| body::decode(&seen.response_headers, raw, limit));
    let body = decoded.as_deref().unwrap_or_default();
    // A redirect is S3's way to say that a bucket is elsewhere, and 304 that there is nothing new: S3 logs both as
    // errors.
    if seen.status.is_success() {
        let parsed = decoded
            .as_ref()
            .and_then(|_| params::response(call, seen.status, &seen.response_headers, body).ok());
        return Outcome::Success(parsed);
    }
    Outcome::Failure(params::error(
        call,
        seen.status,
        &seen.response_headers,
        body,
    ))
}
