//! The operations of the CloudTrail API: the rules of each, no HTTP and no SQL.
//!
//! [`operations`] is the table: an operation is an input type, an output type and a function `(Cx, Input) -> Output`;
//! its name stands there and nowhere else. What all operations share (reading the body, page tokens, times) is here.
//! No operation knows how it is recorded, or which door it came through; it only leaves what goes with its record.

mod constraints;
mod encryption;
pub mod error;
mod forms;
mod insights;
mod keys;
mod lookup;
mod organizations;
mod selectors;
mod settings;
mod tags;
#[cfg(test)]
mod testing;
mod trails;

use std::collections::BTreeMap;
use std::future::ready;
use std::pin::Pin;
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize, Serializer};
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use crate::aws::model::{Operation, Service};
use crate::aws::models;
use crate::clock::{Clock, Ids};
use crate::event::own::OwnCall;
use crate::keys::Keys;
use crate::store::{Change, NewTrail, Slot, Store};
use crate::targets::Targets;

pub use error::{Code, Error, Result};

/// Who calls, where, and what operations work with.
#[derive(Clone, Debug)]
pub struct Cx {
    /// The caller's account: 12 digits.
    pub account: String,
    /// The region that was called.
    pub region: String,
    pub store: Store,
    pub targets: Targets,
    pub clock: Clock,
    pub ids: Ids,
    pub keys: Keys,
    /// How many trails an account may have in a region.
    pub trails_per_region: u32,
    /// Length of a delivery slot.
    pub slot_ms: i64,
    /// Where operations leave what goes with their record.
    pub for_record: ForRecord,
}

impl Cx {
    /// A change of a trail that is made now.
    fn change(&self) -> Change {
        let now_ms = self.clock.now_ms();
        Change {
            now_ms,
            slot_end_ms: Slot::of(now_ms, self.slot_ms).end_ms,
        }
    }
}

/// Where an operation leaves what goes with the record of its call. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct ForRecord(Arc<Mutex<Left>>);

/// What an operation has left.
#[derive(Debug, Default)]
pub struct Left {
    /// The calls that it has made in CloudTrail's name.
    pub own_calls: Vec<OwnCall>,
    /// The trail that it makes, to be stored together with the record. Where that can't be, [`insert_trail`] says what
    /// the operation answers.
    pub trail: Option<NewTrail>,
}

impl ForRecord {
    fn push_own_call(&self, call: OwnCall) {
        self.lock().own_calls.push(call);
    }

    fn put_trail(&self, trail: NewTrail) {
        self.lock().trail = Some(trail);
    }

    /// What was left so far, which is forgotten here.
    pub fn take(&self) -> Left {
        std::mem::take(&mut *self.lock())
    }

    fn lock(&self) -> MutexGuard<'_, Left> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Stores the trail that an operation has left, without a record.
pub async fn insert_trail(store: &Store, new: &NewTrail) -> Result<()> {
    let inserted = trails::insert(store, &new.trail.account, new, &[]).await;
    inserted.map(drop)
}

/// The answer of an operation: the JSON body of a success, or the error.
pub type Reply = Pin<Box<dyn Future<Output = Result<Vec<u8>>> + Send>>;

/// CloudTrail's own model.
fn model() -> &'static Service {
    models()
        .service("cloudtrail")
        .expect("the models include CloudTrail's")
}

type Handler = Box<dyn Fn(Cx, &[u8]) -> Reply + Send + Sync>;

/// The table of operations, by their wire names.
#[derive(Default)]
pub struct Operations {
    by_name: BTreeMap<&'static str, Handler>,
}

/// Every operation that localtrail answers.
pub fn operations() -> &'static Operations {
    static OPERATIONS: LazyLock<Operations> = LazyLock::new(table);
    &OPERATIONS
}

#[rustfmt::skip]
fn table() -> Operations {
    Operations::default()
        // Trails
        .on("CreateTrail",    trails::create_trail)
        .on("DeleteTrail",    trails::delete_trail)
        .on("DescribeTrails", trails::describe_trails)
        .on("GetTrail",       trails::get_trail)
        .on("GetTrailStatus", trails::get_trail_status)
        .on("ListTrails",     trails::list_trails)
        .on("StartLogging",   trails::start_logging)
        .on("StopLogging",    trails::stop_logging)
        .on("UpdateTrail",    trails::update_trail)
        // Selectors
        .on("GetEventSelectors",   selectors::get_event_selectors)
        .on("GetInsightSelectors", insights::get_insight_selectors)
        .on("PutEventSelectors",   selectors::put_event_selectors)
        .on("PutInsightSelectors", insights::put_insight_selectors)
        // Tags
        .on("AddTags",    tags::add_tags)
        .on("ListTags",   tags::list_tags)
        .on("RemoveTags", tags::remove_tags)
        // Organizations
        .on("DeregisterOrganizationDelegatedAdmin", organizations::deregister_organization_delegated_admin)
        .on("RegisterOrganizationDelegatedAdmin",   organizations::register_organization_delegated_admin)
        // Events
        .on("LookupEvents", lookup::lookup_events)
        // Digests
        .on("ListPublicKeys", keys::list_public_keys)
}

/// Operations of the model that localtrail does not answer: CloudTrail Lake, channels and the rest.
const UNSUPPORTED: &[&str] = &[
    "CancelQuery",
    "CreateChannel",
    "CreateDashboard",
    "CreateEventDataStore",
    "DeleteChannel",
    "DeleteDashboard",
    "DeleteEventDataStore",
    "DeleteResourcePolicy",
    "DescribeQuery",
    "DisableFederation",
    "EnableFederation",
    "GenerateQuery",
    "GetChannel",
    "GetDashboard",
    "GetEventConfiguration",
    "GetEventDataStore",
    "GetImport",
    "GetQueryResults",
    "GetResourcePolicy",
    "ListChannels",
    "ListDashboards",
    "ListEventDataStores",
    "ListImportFailures",
    "ListImports",
    "ListInsightsData",
    "ListInsightsMetricData",
    "ListQueries",
    "PutEventConfiguration",
    "PutResourcePolicy",
    "RestoreEventDataStore",
    "SearchSampleQueries",
    "StartDashboardRefresh",
    "StartEventDataStoreIngestion",
    "StartImport",
    "StartQuery",
    "StopEventDataStoreIngestion",
    "StopImport",
    "UpdateChannel",
    "UpdateDashboard",
    "UpdateEventDataStore",
];

impl Operations {
    /// Runs the operation `name` with the JSON `body`; an empty body is `{}`.
    pub fn call(&self, name: &str, cx: Cx, body: &[u8]) -> Reply {
        match self.by_name.get(name) {
            Some(handler) => handler(cx, body),
            None if UNSUPPORTED.contains(&name) => {
                // AWS's framework checks a request before the operation has a say.
                let error = model()
                    .operation(name)
                    .and_then(|one| params(one, body).err());
                let error = error.unwrap_or_else(|| Error::unsupported_operation(name));
                Box::pin(ready(Err(error)))
            }
            None => Box::pin(ready(Err(Error::unknown_operation()))),
        }
    }

    /// Names of the operations of the model that are refused by name.
    pub fn unsupported_names(&self) -> impl Iterator<Item = &'static str> + use<> {
        UNSUPPORTED.iter().copied()
    }

    /// Names of the operations that are answered, sorted.
    pub fn names(&self) -> impl Iterator<Item = &'static str> + '_ {
        self.by_name.keys().copied()
    }

    fn on<I, O, F>(mut self, name: &'static str, run: fn(Cx, I) -> F) -> Self
    where
        I: DeserializeOwned + Send + 'static,
        O: Serialize,
        F: Future<Output = Result<O>> + Send + 'static,
    {
        let operation = model()
            .operation(name)
            .expect("the table has operations of the model");
        let handler = move |cx: Cx, body: &[u8]| -> Reply {
            let params = params(operation, body).and_then(|params| {
                serde_json::from_value(params)
                    .map_err(|error| Error::serialization(error.to_string()))
            });
            match params {
                Ok(input) => {
                    let reply = run(cx, input);
                    Box::pin(async move { output(&reply.await?) })
                }
                Err(error) => Box::pin(ready(Err(error))),
            }
        };
        let earlier = self.by_name.insert(name, Box::new(handler));
        assert!(earlier.is_none(), "{name} is in the table twice");
        self
    }
}

/// The output of operations that answer nothing: `{}`.
#[derive(Serialize)]
struct Empty {}

/// The members of a request, as the model demands them; null ones are absent ones.
fn params(operation: &Operation, body: &[u8]) -> Result<Value> {
    let mut params = match body {
        [] => Value::Object(serde_json::Map::new()),
        body => {
            serde_json::from_slice(body).map_err(|error| Error::serialization(error.to_string()))?
        }
    };
    drop_nulls(&mut params);
    constraints::check(model(), operation, &params)?;
    Ok(params)
}

fn output<O: Serialize>(output: &O) -> Result<Vec<u8>> {
    serde_json::to_vec(output).map_err(|error| Error::new(Code::InternalFailure, error.to_string()))
}

/// Recursion is safe: serde_json refuses bodies nested deeper than 128.
fn drop_nulls(value: &mut Value) {
    match value {
        Value::Object(members) => {
            members.retain(|_, member| !member.is_null());
            members.values_mut().for_each(drop_nulls);
        }
        Value::Array(elements) => elements.iter_mut().for_each(drop_nulls),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// A time on the wire: seconds since the epoch, milliseconds as fraction. Holds milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Timestamp(i64);

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        serializer.serialize_f64(self.0 as f64 / 1000.0)
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    #[expect(
        clippy::cast_possible_truncation,
        reason = "`as` saturates, which is right for times before and after all events"
    )]
    fn deserialize<D: serde::Deserializer<'de>>(
        deserializer: D,
    ) -> std::result::Result<Self, D::Error> {
        let seconds = f64::deserialize(deserializer)?;
        Ok(Self((seconds * 1000.0).round() as i64))
    }
}

/// Length of the check that a page token begins with.
const TOKEN_CHECK_BYTES: usize = 12;

/// A token for the page after `last`, good for requests with the same `filter` only.
fn page_token(filter: &impl Serialize, last: &impl Serialize) -> Result<String> {
    let key = output(last)?;
    let mut token = token_check(filter, &key)?;
    token.extend(key);
    Ok(BASE64.encode(token))
}

/// Reads a token of [`page_token`]; one that was altered, or made for another filter, is refused.
fn page_after<K: DeserializeOwned>(filter: &impl Serialize, token: &str) -> Result<K> {
    let token = BASE64.decode(token).map_err(|_| Error::next_token())?;
    let (check, key) = token
        .split_at_checked(TOKEN_CHECK_BYTES)
        .ok_or_else(Error::next_token)?;
    if check != token_check(filter, key)? {
        return Err(Error::next_token());
    }
    serde_json::from_slice(key).map_err(|_| Error::next_token())
}

fn token_check(filter: &impl Serialize, key: &[u8]) -> Result<Vec<u8>> {
    let mut hash = Sha256::new_with_prefix(output(filter)?);
    hash.update([0]);
    hash.update(key);
    Ok(hash.finalize()[..TOKEN_CHECK_BYTES].to_vec())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::{prop, proptest};

    use super::*;

    #[test]
    fn every_operation_of_the_model_is_answered_or_listed_as_unsupported() {
        let model: BTreeSet<&str> = model().operations.iter().map(|one| &*one.name).collect();
        assert_eq!(model.len(), 60);
        let answered: BTreeSet<&str> = operations().names().collect();
        let unsupported: BTreeSet<&str> = UNSUPPORTED.iter().copied().collect();
        assert!(answered.is_disjoint(&unsupported));
        assert_eq!(&answered | &unsupported, model);
    }

    #[test]
    fn times_are_seconds_with_milliseconds_as_fraction() {
        for (ms, wire) in [
            (1_424_722_405_123, "1424722405.123"),
            (1_424_722_405_000, "1424722405.0"),
            (0, "0.0"),
        ] {
            assert_eq!(serde_json::to_string(&Timestamp(ms)).unwrap(), wire);
            let read: Timestamp = serde_json::from_str(wire).unwrap();
            assert_eq!(read, Timestamp(ms));
        }
        let whole: Timestamp = serde_json::from_str("1424722405").unwrap();
        assert_eq!(whole, Timestamp(1_424_722_405_000));
        let far: Timestamp = serde_json::from_str("1e300").unwrap();
        assert_eq!(far, Timestamp(i64::MAX));
    }

    #[test]
    fn a_page_token_serves_its_own_filter_only() {
        let token = page_token(&("filter", 1), &(5, "key")).unwrap();
        let key: (i64, String) = page_after(&("filter", 1), &token).unwrap();
        assert_eq!(key, (5, "key".to_owned()));

        let mut altered = BASE64.decode(&token).unwrap();
        *altered.last_mut().unwrap() ^= 1;
        for (filter, token) in [
            (("filter", 2), token.as_str()),
            (("filter", 1), &BASE64.encode(altered)),
            (("filter", 1), ""),
            (("filter", 1), "AAAA"),
            (("filter", 1), "no base64"),
        ] {
            let error = page_after::<(i64, String)>(&filter, token).unwrap_err();
            assert_eq!(error.code(), Code::InvalidNextTokenException);
        }
    }

    proptest! {
        #[test]
        fn page_tokens_are_read_back_and_no_others(
            filter: (String, i64), other: (String, i64), key: (i64, String), at: prop::sample::Index, bit in 0..8_u8,
        ) {
            let token = page_token(&filter, &key).unwrap();
            let read: (i64, String) = page_after(&filter, &token).unwrap();
            assert_eq!(read, key);

            let code = |filter: &(String, i64), token: &str| {
                page_after::<(i64, String)>(filter, token).map_err(|error| error.code())
            };
            if filter != other {
                assert_eq!(code(&other, &token), Err(Code::InvalidNextTokenException));
            }
            let bytes = BASE64.decode(&token).unwrap();
            let at = at.index(bytes.len());
            let mut flipped = bytes.clone();
            flipped[at] ^= 1 << bit;
            for changed in [&flipped[..], &bytes[..at], &[&bytes[..], b" "].concat()] {
                let changed = BASE64.encode(changed);
                assert_eq!(code(&filter, &changed), Err(Code::InvalidNextTokenException));
            }
        }

        #[test]
        fn no_text_is_a_page_token_by_chance(text: String) {
            assert!(page_after::<(i64, String)>(&"filter", &text).is_err());
        }
    }

    #[test]
    fn every_error_of_the_model_has_its_code() {
        let codes: BTreeSet<&str> = Code::ALL.iter().map(|code| code.as_str()).collect();
        let errors: BTreeSet<&str> = model()
            .operations
            .iter()
            .flat_map(|operation| &operation.errors)
            .map(|&error| &*model().shape(error).name)
            .collect();
        assert!(errors.len() > 80);
        assert!(errors.is_subset(&codes), "{:?}", &errors - &codes);
    }

    #[tokio::test]
    async fn bodies_that_are_no_json_are_serialization_errors() {
        let api = testing::Api::new().await;
        for (body, refused) in [
            (&b""[..], None),
            (b"{}", None),
            (br#"{"trailNameList":null,"Other":[1]}"#, None),
            (b"{", Some(Code::SerializationException)),
            (b"[]", Some(Code::SerializationException)),
            (b"\"x\"", Some(Code::SerializationException)),
            (b"null", Some(Code::SerializationException)),
            (b"\0", Some(Code::SerializationException)),
            (
                b"{\"trailNameList\":[\"\xff\"]}",
                Some(Code::SerializationException),
            ),
            (&[b'['; 100_000], Some(Code::SerializationException)),
        ] {
            let reply = operations()
                .call("DescribeTrails", api.cx.clone(), body)
                .await;
            assert_eq!(reply.err().map(|error| error.code()), refused);
        }
    }
}
