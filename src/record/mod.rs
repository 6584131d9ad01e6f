//! From a call seen at the door to an event stored: route, parse, identify, build, select, store.
//!
//! A call is answered even if it cannot be recorded: nothing here returns an error to the caller, failures are logged
//! and counted. All events of a call, and the trails that take them, are stored in one transaction, or none is.

pub mod identify;
pub mod keys;
pub mod proxy;
mod sessions;

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use bytes::Bytes;
use chrono::{DateTime, TimeDelta, Utc};
use http::request::Parts;
use http::{HeaderMap, StatusCode};
use tracing::{debug, error, warn};

use crate::aws::model::Protocol;
use crate::aws::route::{self, Call, Route};
use crate::aws::sigv4::Signature;
use crate::aws::{Params, body, params};
use crate::clock::{Clock, Ids};
use crate::event::own::OwnCall;
use crate::event::shared::{self, SharedIds};
use crate::event::{Event, Exchange, Outcome, Principal, build, unlogged};
use crate::store::{AppendError, NewTrail, Store};
use crate::takers::{Logging, Takers};
use identify::Identities;
use keys::Keys;
use proxy::Seen;

/// How often ended sessions are forgotten.
const FORGET_EVERY: TimeDelta = TimeDelta::days(1);

/// How records are made.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Region of calls that are not signed.
    pub region: String,
    pub event_version: String,
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
    takers: Takers,
    bucket_owners: BucketOwners,
    pub keys: Keys,
    /// When ended sessions were last forgotten.
    forgot_ms: AtomicI64,
    pub counts: Counts,
}

/// Who owns a bucket, as far as someone here knows.
#[derive(Clone)]
pub struct BucketOwners(Arc<OwnerOf>);

/// From a bucket's name to its owner's account.
type OwnerOf = dyn Fn(&str) -> Option<String> + Send + Sync;

impl BucketOwners {
    pub fn new(owner: impl Fn(&str) -> Option<String> + Send + Sync + 'static) -> Self {
        Self(Arc::new(owner))
    }
}

impl std::fmt::Debug for BucketOwners {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("BucketOwners")
    }
}

/// What has become of the calls seen.
#[derive(Debug, Default)]
pub struct Counts {
    pub recorded: AtomicU64,
    /// Not AWS calls as far as the models know, or refused before they reached a service.
    pub skipped: AtomicU64,
    pub failed: AtomicU64,
}

/// A call as the door saw it.
#[derive(Debug)]
pub struct CallSeen {
    pub parts: Parts,
    pub signature: Option<Signature>,
    pub body: Seen,
    pub peer: IpAddr,
    /// The account of callers whose access key does not say.
    pub default_account: String,
    /// The trails that logged when the call came in.
    pub logging: Logging,
    /// What localtrail itself called to answer.
    pub own_calls: Vec<OwnCall>,
}

/// Its answer.
#[derive(Debug)]
pub struct AnswerSeen {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Seen,
}

#[derive(Debug, thiserror::Error)]
enum RecordError {
    /// Its record was made and is lost.
    #[error("{call} ({request_id}): {error}")]
    Lost {
        call: String,
        request_id: String,
        error: Box<Self>,
    },
    #[error(transparent)]
    Append(#[from] AppendError),
    #[error(transparent)]
    Database(#[from] crate::store::Error),
}

impl Recorder {
    pub async fn open(
        store: Store,
        clock: Clock,
        ids: Ids,
        settings: Settings,
        takers: Takers,
        bucket_owners: BucketOwners,
        keys: Keys,
    ) -> Result<Self, crate::store::Error> {
        let identities = Identities::load(store.clone(), keys.accounts()).await?;
        Ok(Self {
            store,
            clock,
            ids,
            settings,
            identities,
            keys,
            takers,
            bucket_owners,
            forgot_ms: AtomicI64::new(0),
            counts: Counts::default(),
        })
    }

    /// The trails that log as a call comes in.
    pub async fn logging(&self) -> Logging {
        self.takers.logging().await
    }

    pub fn body_limit(&self) -> usize {
        self.settings.body_limit
    }

    /// Records a call. Returns when its event is committed, or could not be.
    pub async fn record(&self, seen: &CallSeen, answer: &AnswerSeen) {
        match self.try_record(seen, answer, None).await {
            Ok(true) => self.counts.recorded.fetch_add(1, Ordering::Relaxed),
            Ok(false) => self.counts.skipped.fetch_add(1, Ordering::Relaxed),
            Err(error) => {
                error!("cannot record a call: {error}");
                self.counts.failed.fetch_add(1, Ordering::Relaxed)
            }
        };
    }

    /// Records the call that makes `trail` and stores the trail, both or neither; `false` where it is neither.
    pub async fn record_with_trail(
        &self,
        seen: &CallSeen,
        answer: &AnswerSeen,
        trail: &NewTrail,
    ) -> bool {
        match self.try_record(seen, answer, Some(trail)).await {
            Ok(true) => {
                self.counts.recorded.fetch_add(1, Ordering::Relaxed);
                true
            }
            Ok(false) => false,
            Err(error) => {
                debug!("a trail is not stored with its record: {error}");
                false
            }
        }
    }

    async fn try_record(
        &self,
        seen: &CallSeen,
        answer: &AnswerSeen,
        trail: Option<&NewTrail>,
    ) -> Result<bool, RecordError> {
        let limit = self.settings.body_limit;
        seen.body.read_on(limit).await;
        let raw_request = seen.body.bytes();
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
        let raw_response = answer.body.bytes();
        let outcome = outcome(&call, answer, raw_response.as_ref(), limit);
        let params = match &request_body {
            Some(body) => params::request(&call, &seen.parts, body).ok(),
            // A REST call's head has parameters of its own: an object's bucket and key.
            None if matches!(call.protocol, Protocol::RestJson | Protocol::RestXml) => {
                params::request(&call, &seen.parts, &[]).ok()
            }
            None => None,
        };
        if !unlogged::is_logged(&call, params.as_ref(), &outcome) {
            return Ok(false);
        }
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
        let principal = self
            .identities
            .principal(&call, &caller, params.as_ref(), &outcome);
        self.learn(&call, &caller, &principal, params.as_ref(), &outcome)
            .await;

        let bucket = params.as_ref().and_then(|params| params.get("Bucket"));
        let bucket_owner = bucket.and_then(|bucket| (self.bucket_owners.0)(bucket.as_str()?));
        // Who is nobody's user is a stranger to every account.
        let caller_account = principal.recipient().unwrap_or_default();
        let owner = shared::owner(
            &call,
            params.as_ref(),
            &outcome,
            bucket_owner,
            caller_account,
        );

        let raw_response = raw_response.unwrap_or_default();
        let request_id = params::request_id(&answer.headers, &raw_response);
        let exchange = Exchange {
            call,
            parts: &seen.parts,
            signature: seen.signature.as_ref(),
            params,
            body: request_body.as_deref(),
            outcome,
            response_headers: &answer.headers,
            bytes_in: seen.body.total(),
            bytes_out: answer.body.total(),
            time: now,
            source_ip: seen.peer,
            request_id: request_id.unwrap_or_else(|| self.ids.uuid().to_string()),
            event_id: self.ids.event_id().to_string(),
            region,
            account: principal.recipient().unwrap_or(&seen.default_account),
            tls: None,
        };
        let mut event = build::build(exchange, &principal, &self.settings.event_version);
        shared::set_owners(&mut event, &*self.bucket_owners.0);
        // What localtrail called to answer came first.
        let own_calls = seen.own_calls.iter().cloned();
        let mut events: Vec<Event> = own_calls
            .filter_map(|call| {
                let seed = self.ids.uuid().to_string();
                call.event(&seed, now, &self.settings.event_version)
            })
            .collect();
        match owner {
            None => events.push(event),
            Some(owner) => {
                let ids = SharedIds {
                    owners_event_id: self.ids.event_id().to_string(),
                    shared_event_id: self.ids.uuid().to_string(),
                };
                events.extend(shared::with_owner(event, &principal, owner, ids));
            }
        }
        let stored = async {
            let rows = self.takers.rows_of_version(&events, &seen.logging, now);
            let rows = rows.await?;
            match trail {
                Some(trail) => self.store.events_append_with_trail(rows, trail).await?,
                None => {
                    self.store.events_append(rows).await?;
                }
            }
            Ok(true)
        };
        stored.await.map_err(|error| {
            // The call's own event is the last.
            let event = events.pop();
            let called = event.as_ref();
            RecordError::Lost {
                call: called.map_or_else(String::new, |event| {
                    format!("{} {}", event.event_source, event.event_name)
                }),
                request_id: event.and_then(|event| event.request_id).unwrap_or_default(),
                error: Box::new(error),
            }
        })
    }

    /// Takes from a call what it says of who calls with which key. What the store fails to take is known until the next
    /// start.
    async fn learn(
        &self,
        call: &Call,
        caller: &identify::Caller<'_>,
        principal: &Principal,
        params: Option<&Params>,
        outcome: &Outcome,
    ) {
        let learned = self
            .identities
            .learn(call, caller, principal, params, outcome);
        let (session, mut stored) = learned.await;
        let signer = || {
            let key = &caller.signature?.access_key;
            let who = self.identities.of_key(key, caller.default_account, "");
            Some(who.account.clone())
        };
        self.keys
            .learn(call, params, outcome, signer, session.as_ref());
        if session.is_some() {
            stored = stored.and(self.forget_ended(caller.now).await);
        }
        if let Err(error) = stored {
            let operation = &call.operation.name;
            warn!("cannot store what {operation} answered of its caller's keys: {error}");
        }
    }

    /// Once a day of the clock, forgets sessions that have ended. They are the more the more are made, so that is when.
    async fn forget_ended(&self, now: DateTime<Utc>) -> Result<(), crate::store::Error> {
        let last_ms = self.forgot_ms.load(Ordering::Relaxed);
        let now_ms = now.timestamp_millis();
        if now_ms.saturating_sub(last_ms) < FORGET_EVERY.num_milliseconds() {
            return Ok(());
        }
        self.forgot_ms.store(now_ms, Ordering::Relaxed);
        let ended = self.identities.forget_ended(now);
        // Whatever its end was: a key that outlived its session would be taken for root's.
        self.keys.forget_these(&ended);
        match ended.is_empty() {
            true => Ok(()),
            false => self.store.identities_delete(&ended).await,
        }
    }

    /// Stores records that were brought in by hand. An `eventID` that is stored already is not stored again.
    pub async fn import(
        &self,
        events: Vec<Event>,
    ) -> Result<Vec<String>, impl std::error::Error + use<>> {
        let before = Logging::default();
        let rows = self.takers.rows(&events, &before, self.clock.now());
        let appended = self.store.events_append(rows.await?).await?;
        Ok::<_, RecordError>(appended.duplicates)
    }

    /// Forgets who calls with which key.
    pub fn forget(&self) {
        self.forgot_ms.store(0, Ordering::Relaxed);
        self.identities.forget();
        self.keys.forget();
    }
}

fn outcome(call: &Call, answer: &AnswerSeen, raw: Option<&Bytes>, limit: usize) -> Outcome {
    let decoded = raw.and_then(|raw| body::decode(&answer.headers, raw, limit));
    let body = decoded.as_deref().unwrap_or_default();
    // A redirect is S3's way to say that a bucket is elsewhere, and 304 that there is nothing new: S3 logs both as
    // errors.
    if answer.status.is_success() {
        // Of these is learned who calls with which key.
        let is_needed = matches!(&*call.service.id, "iam" | "sts") || build::needs_answer(call);
        let parsed = decoded
            .as_ref()
            .filter(|_| is_needed)
            .and_then(|_| build::answer(call, answer.status, &answer.headers, body));
        return Outcome::Success(parsed);
    }
    Outcome::Failure(params::error(call, answer.status, &answer.headers, body))
}
