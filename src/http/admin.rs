//! The control API under `/_localtrail/`: what tests move and read. Never recorded as events.
//!
//! Answers callers on this machine, or those who know the control token; never a page in a browser that knows it not.
//! Errors are `{"error":"…"}`.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use axum::Router;
use axum::body::Body;
use axum::extract::{ConnectInfo, Query, Request, State};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use chrono::{DateTime, Datelike as _, SecondsFormat, TimeDelta, Utc};
use http::{HeaderName, HeaderValue, StatusCode, header};
use http_body_util::{BodyExt, Limited};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::import;
use crate::app::App;
use crate::aws::verify::same;
use crate::config::PolicyCheck;
use crate::record::proxy::ToTheEnd;
use crate::store::{Backlog, ExportFilter};
use crate::worker::{Delivered, WorkerError};

/// Longest request body: a few hundred thousand records to import.
const BODY_LIMIT: usize = 256 << 20;
/// Records in an answer, unless the caller says otherwise, and at most.
const PAGE: u32 = 1_000;
const LONGEST_PAGE: u32 = 10_000;

/// On every answer: nothing of it is kept by a browser, or taken for something else than it is.
const RESPONSE_HEADERS: [(HeaderName, &str); 3] = [
    (header::CACHE_CONTROL, "no-store"),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (
        HeaderName::from_static("cross-origin-resource-policy"),
        "same-origin",
    ),
];

pub(super) type Result<T> = std::result::Result<T, AdminError>;

/// An error of the control API: its status and what is said.
#[derive(Debug)]
pub(super) struct AdminError(StatusCode, String);

impl AdminError {
    pub(super) fn bad(message: impl Into<String>) -> Self {
        Self(StatusCode::BAD_REQUEST, message.into())
    }

    pub(super) fn internal(message: &str) -> Self {
        Self(StatusCode::INTERNAL_SERVER_ERROR, message.to_owned())
    }
}

impl IntoResponse for AdminError {
    fn into_response(self) -> Response {
        reply(self.0, &json!({ "error": self.1 }))
    }
}

impl From<crate::embedded::Error> for AdminError {
    fn from(error: crate::embedded::Error) -> Self {
        Self(StatusCode::INTERNAL_SERVER_ERROR, error.message)
    }
}

impl From<crate::store::Error> for AdminError {
    fn from(error: crate::store::Error) -> Self {
        tracing::error!("control API: {error}");
        Self::internal("the database failed; the log says more")
    }
}

impl From<WorkerError> for AdminError {
    fn from(error: WorkerError) -> Self {
        tracing::error!("control API: {error}");
        Self::internal("the database failed; the log says more")
    }
}

pub(super) fn router(app: Arc<App>) -> Router<Arc<App>> {
    Router::new()
        .route("/health", get(health))
        .route("/status", get(status))
        .route("/flush", post(flush))
        .route("/clock", get(clock).post(set_clock))
        .route("/events", get(export).post(import::import))
        .route("/sns/messages", get(messages))
        .route("/reset", post(reset))
        .route("/metrics", get(metrics))
        .fallback(unknown)
        .method_not_allowed_fallback(wrong_method)
        .layer(middleware::from_fn_with_state(app, admit))
}

async fn admit(
    State(app): State<Arc<App>>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    request: Request,
    next: Next,
) -> Response {
    let admitted = !is_notification(&request)
        && match &app.config.control_token {
            Some(token) => request
                .headers()
                .get(header::AUTHORIZATION)
                .and_then(|value| value.as_bytes().strip_prefix(b"Bearer "))
                .is_some_and(|given| same(given, token.expose().as_bytes())),
            None => peer.ip().to_canonical().is_loopback() && !is_of_web_page(&request),
        };
    let mut response = if admitted {
        next.run(request).await
    } else {
        let message = "the control API answers on loopback, by a name such as 127.0.0.1 or localhost and to no web page, \
                       or with --control-token as a bearer token; and to no notification of SNS";
        AdminError(StatusCode::FORBIDDEN, message.to_owned()).into_response()
    };
    for (name, value) in RESPONSE_HEADERS {
        let value = HeaderValue::from_static(value);
        response.headers_mut().insert(name.clone(), value);
    }
    response
}

/// Whether a request is what an SNS sends to a subscriber: that comes from this machine at the wish of any caller.
fn is_notification(request: &Request) -> bool {
    request.headers().contains_key("x-amz-sns-message-type")
}

/// Whether a page in a browser on this machine may be behind a request. It names its origin where it changes something
/// or wants to read another origin's answer. Where its own name has been made to lead to us (DNS rebinding), it does
/// not, but then that name is the request's host. A page that we serve ourselves, an object of the embedded S3, has our
/// origin and name; but the browser says of each request whether a page makes it.
fn is_of_web_page(request: &Request) -> bool {
    let headers = request.headers();
    let host = headers
        .get(header::HOST)
        .map(|host| host.to_str().unwrap_or_default())
        .or_else(|| {
            request
                .uri()
                .authority()
                .map(|authority| authority.as_str())
        });
    let mut sites = headers.get_all("sec-fetch-site").iter();
    headers.contains_key(header::ORIGIN)
        || sites.any(|site| site != "none")
        || host.is_some_and(|host| !is_loopback(host))
}

/// Whether a `Host` can lead nowhere but to this machine.
fn is_loopback(host: &str) -> bool {
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    };
    let name = name.trim_matches(['[', ']']).to_ascii_lowercase();
    let is_address = || {
        name.parse()
            .is_ok_and(|ip: IpAddr| ip.to_canonical().is_loopback())
    };
    name == "localhost" || name.ends_with(".localhost") || is_address()
}

fn reply<T: Serialize + ?Sized>(status: StatusCode, body: &T) -> Response {
    let text = serde_json::to_vec(body).unwrap_or_else(|_| b"{}".to_vec());
    let mut response = Response::new(Body::from(text));
    *response.status_mut() = status;
    response.headers_mut().insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("application/json"),
    );
    response
}

pub(super) fn ok<T: Serialize + ?Sized>(body: &T) -> Response {
    reply(StatusCode::OK, body)
}

/// The JSON body of a request; an empty one counts as `{}`.
pub(super) async fn body<T: for<'de> Deserialize<'de>>(request: Request) -> Result<T> {
    let body = Limited::new(request.into_body(), BODY_LIMIT)
        .collect()
        .await;
    let body = body
        .map_err(|error| AdminError::bad(format!("cannot read the body: {error}")))?
        .to_bytes();
    let text: &[u8] = if body.is_empty() { b"{}" } else { &body };
    // A list would do as well, its items taken for the members in their order.
    if text.trim_ascii_start().first() != Some(&b'{') {
        return Err(AdminError::bad("the body is to be a JSON object"));
    }
    serde_json::from_slice(text).map_err(|error| AdminError::bad(error.to_string()))
}

async fn unknown() -> AdminError {
    AdminError(
        StatusCode::NOT_FOUND,
        "the control API has no such call".to_owned(),
    )
}

async fn wrong_method() -> AdminError {
    AdminError(
        StatusCode::METHOD_NOT_ALLOWED,
        "the control API has no such call with this method".to_owned(),
    )
}

async fn health() -> Response {
    ok(&json!({ "status": "ok", "version": env!("CARGO_PKG_VERSION") }))
}

async fn status(State(app): State<Arc<App>>) -> Result<Response> {
    let backlogs = app.store.backlogs().await?;
    let mut trails = Vec::new();
    for trail in app.store.trails_all().await? {
        let backlog = backlogs.iter().find(|backlog| backlog.trail_id == trail.id);
        let failures = app.store.delivery_failures(trail.id).await?;
        trails.push(json!({
            "trail": trail.arn(),
            "isLogging": trail.is_logging,
            "backlog": {
                "logFiles": backlog.map_or(0, |backlog| backlog.log_files),
                "events": backlog.map_or(0, |backlog| backlog.events),
            },
            "givenUp": {
                "logFiles": backlog.map_or(0, |backlog| backlog.given_up_log_files),
                "events": backlog.map_or(0, |backlog| backlog.given_up_events),
            },
            "latestDeliveryError": failures.log_files,
            "latestNotificationError": failures.notifications,
            "latestCloudWatchLogsDeliveryError": failures.logs,
            "latestDigestDeliveryError": failures.digests,
        }));
    }
    let config = &app.config;
    Ok(ok(&json!({
        "version": env!("CARGO_PKG_VERSION"),
        "now": rfc3339(app.clock.now()),
        "config": {
            "dataDir": config.data_dir,
            "upstream": config.upstream.as_ref().map(ToString::to_string),
            "region": config.region,
            "accountId": app.default_account.get().await,
            "deliveryIntervalSeconds": config.delivery_interval,
            "eventVersion": config.event_version,
            "trailsPerRegion": config.trails_per_region,
            "bucketPolicyCheck": config.bucket_policy_check == PolicyCheck::On,
            "maxRecordedBodyBytes": config.max_recorded_body,
        },
        "events": app.store.event_count().await?,
        "callsNotRecorded": app.recorder.counts.failed.load(Ordering::Relaxed),
        "trails": trails,
    })))
}

/// What a flush is asked for.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct FlushBody {
    digests: Option<bool>,
}

/// Delivers now what is recorded and wanted; digests if asked for, and then the answer tells of them.
async fn flush(State(app): State<Arc<App>>, request: Request) -> Result<Response> {
    let FlushBody { digests } = body(request).await?;
    let digests_too = digests == Some(true);
    let report = app.worker.flush(digests_too).await?;
    let (mut log_files, mut digests) = (Vec::new(), Vec::new());
    for delivered in report.delivered {
        match delivered {
            Delivered::LogFile {
                trail_arn,
                bucket,
                key,
                events,
            } => log_files.push(
                json!({ "trail": trail_arn, "bucket": bucket, "key": key, "events": events }),
            ),
            Delivered::Digest {
                trail_arn,
                bucket,
                key,
            } => digests.push(json!({ "trail": trail_arn, "bucket": bucket, "key": key })),
        }
    }
    let failed: Vec<Value> = report
        .failed
        .iter()
        .map(|failed| json!({ "trail": failed.trail_arn, "error": failed.error }))
        .collect();
    let mut answer = json!({ "logFiles": log_files, "failed": failed });
    if digests_too {
        answer["digests"] = Value::Array(digests);
    }
    Ok(ok(&answer))
}

async fn clock(State(app): State<Arc<App>>) -> Response {
    ok(&json!({ "now": rfc3339(app.clock.now()), "frozen": app.clock.is_frozen() }))
}

/// What the clock is told; one member at a time.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct ClockChange {
    /// RFC 3339.
    set: Option<String>,
    /// ISO 8601 duration: `PT5M`, `P1DT12H`.
    advance: Option<String>,
    freeze: Option<bool>,
    resume: Option<bool>,
}

async fn set_clock(State(app): State<Arc<App>>, request: Request) -> Result<Response> {
    let change: ClockChange = body(request).await?;
    let now = app.clock.now();
    match change {
        ClockChange {
            set: Some(set),
            advance: None,
            freeze: None,
            resume: None,
        } => {
            let target = DateTime::parse_from_rfc3339(&set).map_err(|error| {
                AdminError::bad(format!(
                    "set: {error}; a time such as 2026-11-22T15:00:00Z is needed"
                ))
            })?;
            if target < now {
                return Err(AdminError::bad(format!(
                    "set: time does not go back; it is {}",
                    rfc3339(now)
                )));
            }
            app.worker.advance(tellable(target.to_utc())?).await?;
        }
        ClockChange {
            set: None,
            advance: Some(by),
            freeze: None,
            resume: None,
        } => {
            let target = duration(&by).and_then(|by| now.checked_add_signed(by));
            let target = target.ok_or_else(|| {
                AdminError::bad(format!(
                    "advance: {by:?} is no duration; one such as PT5M or P1DT12H is needed"
                ))
            })?;
            app.worker.advance(tellable(target)?).await?;
        }
        ClockChange {
            set: None,
            advance: None,
            freeze: Some(true),
            resume: None,
        } => app.clock.freeze(),
        ClockChange {
            set: None,
            advance: None,
            freeze: None,
            resume: Some(true),
        } => app.clock.resume(),
        _ => {
            let forms = r#"one of {"set":"RFC3339"}, {"advance":"PT5M"}, {"freeze":true}, {"resume":true} is needed"#;
            return Err(AdminError::bad(forms));
        }
    }
    Ok(clock(State(app)).await)
}

/// A time that records can tell: RFC 3339 has years of four digits.
fn tellable(time: DateTime<Utc>) -> Result<DateTime<Utc>> {
    if time.year() > 9_999 {
        return Err(AdminError::bad("the year is to have four digits"));
    }
    Ok(time)
}

/// An ISO 8601 duration of days, hours, minutes and seconds (whole numbers; weeks alone too).
fn duration(text: &str) -> Option<TimeDelta> {
    let mut rest = text.strip_prefix('P')?;
    let mut in_time = false;
    let mut total = TimeDelta::zero();
    let mut parts = 0;
    while !rest.is_empty() {
        if let Some(time) = rest.strip_prefix('T') {
            if std::mem::replace(&mut in_time, true) || time.is_empty() {
                return None;
            }
            rest = time;
        }
        let digits = rest.find(|c: char| !c.is_ascii_digit())?;
        let count: i64 = rest[..digits].parse().ok()?;
        let unit = rest[digits..].chars().next()?;
        let part = match (unit, in_time) {
            ('W', false) => TimeDelta::try_weeks(count),
            ('D', false) => TimeDelta::try_days(count),
            ('H', true) => TimeDelta::try_hours(count),
            ('M', true) => TimeDelta::try_minutes(count),
            ('S', true) => TimeDelta::try_seconds(count),
            _ => None,
        };
        total = total.checked_add(&part?)?;
        parts += 1;
        rest = &rest[digits + unit.len_utf8()..];
    }
    (parts > 0).then_some(total)
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct ExportQuery {
    event_name: Option<String>,
    event_source: Option<String>,
    user_name: Option<String>,
    access_key_id: Option<String>,
    region: Option<String>,
    account: Option<String>,
    category: Option<String>,
    since: Option<DateTime<Utc>>,
    until: Option<DateTime<Utc>>,
    limit: Option<u32>,
    next_token: Option<i64>,
}

#[derive(Debug, Serialize)]
struct Exported {
    #[serde(rename = "Records")]
    records: Vec<Box<RawValue>>,
    #[serde(rename = "nextToken", skip_serializing_if = "Option::is_none")]
    next_token: Option<String>,
}

async fn export(
    State(app): State<Arc<App>>,
    query: std::result::Result<Query<ExportQuery>, axum::extract::rejection::QueryRejection>,
) -> Result<Response> {
    let Query(query) = query.map_err(|error| AdminError::bad(error.body_text()))?;
    let filter = ExportFilter {
        name: query.event_name,
        source: query.event_source,
        user_name: query.user_name,
        access_key_id: query.access_key_id,
        region: query.region,
        account: query.account,
        category: query.category,
        since_ms: query.since.map(|time| time.timestamp_millis()),
        until_ms: query.until.map(|time| time.timestamp_millis()),
    };
    let limit = query.limit.unwrap_or(PAGE).clamp(1, LONGEST_PAGE);
    let rows = app
        .store
        .event_export(&filter, query.next_token.unwrap_or(0), limit)
        .await?;
    let full = rows.len() == limit as usize;
    let next_token = rows.last().filter(|_| full).map(|(id, _)| id.to_string());
    let records = rows
        .into_iter()
        .filter_map(|(_, record)| RawValue::from_string(record).ok())
        .collect();
    Ok(ok(&Exported {
        records,
        next_token,
    }))
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct MessagesQuery {
    topic_arn: Option<String>,
    limit: Option<u32>,
}

/// What was published to embedded SNS, newest first.
async fn messages(
    State(app): State<Arc<App>>,
    query: std::result::Result<Query<MessagesQuery>, axum::extract::rejection::QueryRejection>,
) -> Result<Response> {
    let Query(query) = query.map_err(|error| AdminError::bad(error.body_text()))?;
    let limit = query.limit.unwrap_or(PAGE).clamp(1, LONGEST_PAGE);
    let messages = app
        .embedded
        .sns
        .messages(query.topic_arn.as_deref(), limit)
        .await?;
    Ok(ok(&json!({ "Messages": messages })))
}

/// A reset is told nothing: a body that is about something else was not meant for it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ResetBody {}

async fn reset(State(app): State<Arc<App>>, request: Request) -> Result<Response> {
    let ResetBody {} = body(request).await?;
    ToTheEnd::new(async move { app.reset().await }).await?;
    Ok(ok(&json!({})))
}

/// The counts that are in memory are told though the database may fail; what waits in it is left out then.
async fn metrics(State(app): State<Arc<App>>) -> Response {
    let counts = &app.recorder.counts;
    let backlogs = app.store.backlogs().await;
    if let Err(error) = &backlogs {
        tracing::error!("metrics: {error}");
    }
    let counters = [
        (
            "localtrail_calls_recorded_total",
            "counter",
            counts.recorded.load(Ordering::Relaxed),
        ),
        (
            "localtrail_calls_skipped_total",
            "counter",
            counts.skipped.load(Ordering::Relaxed),
        ),
        (
            "localtrail_calls_not_recorded_total",
            "counter",
            counts.failed.load(Ordering::Relaxed),
        ),
        (
            "localtrail_log_files_delivered_total",
            "counter",
            app.worker.log_files(),
        ),
        (
            "localtrail_digests_delivered_total",
            "counter",
            app.worker.digests(),
        ),
        (
            "localtrail_delivery_failures_total",
            "counter",
            app.worker.failures(),
        ),
        (
            "localtrail_deliveries_given_up_total",
            "counter",
            app.worker.given_up(),
        ),
    ];
    let gauge = |name, of: fn(&Backlog) -> i64| {
        let backlogs = backlogs.as_ref().ok()?;
        let sum: i64 = backlogs.iter().map(of).sum();
        Some((name, "gauge", u64::try_from(sum).unwrap_or_default()))
    };
    let gauges = [
        gauge("localtrail_log_files_waiting", |it| it.log_files),
        gauge("localtrail_events_waiting", |it| it.events),
        gauge("localtrail_log_files_given_up", |it| it.given_up_log_files),
        gauge("localtrail_events_given_up", |it| it.given_up_events),
    ];
    let text: String = counters
        .into_iter()
        .chain(gauges.into_iter().flatten())
        .map(|(name, kind, value)| format!("# TYPE {name} {kind}\n{name} {value}\n"))
        .collect();
    let mut response = Response::new(Body::from(text));
    let content_type = HeaderValue::from_static("text/plain; version=0.0.4");
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, content_type);
    response
}

fn rfc3339(time: DateTime<Utc>) -> String {
    time.to_rfc3339_opts(SecondsFormat::AutoSi, true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_that_cannot_be_rebound_are_of_this_machine() {
        for (host, expected) in [
            ("127.0.0.1:4580", true),
            ("127.8.9.1", true),
            ("[::1]:4580", true),
            ("[::1]", true),
            ("[::ffff:127.0.0.1]:80", true),
            ("localhost", true),
            ("LocalHost:4580", true),
            ("trail.localhost:4580", true),
            ("site.example:4580", false),
            ("127.0.0.1.site.example", false),
            ("localhost.site.example", false),
            ("notlocalhost", false),
            ("0.0.0.0:4580", false),
            ("192.0.2.1", false),
            ("", false),
        ] {
            assert_eq!(is_loopback(host), expected, "{host}");
        }
    }

    #[test]
    fn durations_are_read() {
        for (text, seconds) in [
            ("PT5M", Some(300)),
            ("P1D", Some(86_400)),
            ("P1DT1H1M1S", Some(90_061)),
            ("P2W", Some(1_209_600)),
            ("PT0S", Some(0)),
            ("P", None),
            ("PT", None),
            ("5M", None),
            ("P5M", None),
            ("PT5", None),
            ("PT-5M", None),
            ("PT1H1D", None),
            ("PT99999999999999999999S", None),
            ("PT9999999999999999H", None),
            ("PTé", None),
        ] {
            assert_eq!(
                duration(text),
                seconds.and_then(TimeDelta::try_seconds),
                "{text}"
            );
        }
    }
}
