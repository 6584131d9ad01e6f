//! Services that fail, in every way: what callers see, what the status says, and that nothing is lost once they work.

use std::collections::BTreeMap;

use aws_sdk_cloudtrail::Client;
use aws_sdk_cloudtrail::operation::get_trail_status::GetTrailStatusOutput;
use axum::body::Body;
use axum::http::Request;
use chrono::TimeDelta;
use localtrail::record::proxy::Broken;
use serde_json::{Value, json};
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions, Executor};

use crate::support::faulty::{Fault, Faulty, Taken};
use crate::support::{ACCOUNT, REGION, TestApp, log_file};

const GROUP: &str = "arn:aws:logs:us-east-1:111122223333:log-group:CloudTrail/logs:*";
const ROLE: &str = "arn:aws:iam::111122223333:role/logs";

fn nothing(_: &Taken) -> String {
    String::new()
}

fn sns(_: &Taken) -> String {
    "<PublishResponse><PublishResult><MessageId>m</MessageId></PublishResult></PublishResponse>"
        .to_owned()
}

fn logs(request: &Taken) -> String {
    let groups = json!({ "logGroups": [{ "logGroupName": "CloudTrail/logs" }] });
    match operation(request) {
        "DescribeLogGroups" => groups.to_string(),
        _ => "{}".to_owned(),
    }
}

/// Every rule of it takes reads too.
fn events(request: &Taken) -> String {
    let state = "ENABLED_WITH_ALL_CLOUDTRAIL_MANAGEMENT_EVENTS";
    match operation(request) {
        "ListRules" => json!({ "Rules": [{ "Name": "all", "State": state }] }).to_string(),
        _ => json!({ "FailedEntryCount": 0, "Entries": [] }).to_string(),
    }
}

fn operation(request: &Taken) -> &str {
    let target = &request.headers["x-amz-target"];
    target.split_once('.').unwrap().1
}

/// What a trail delivers to.
struct Services {
    s3: Faulty,
    sns: Faulty,
    logs: Faulty,
    events: Faulty,
}

impl Services {
    async fn start() -> Self {
        Self {
            s3: Faulty::start(nothing).await,
            sns: Faulty::start(sns).await,
            logs: Faulty::start(logs).await,
            events: Faulty::start(events).await,
        }
    }

    async fn set(&mut self, fault: Fault) {
        for service in [
            &mut self.s3,
            &mut self.sns,
            &mut self.logs,
            &mut self.events,
        ] {
            service.set(fault).await;
        }
    }

    /// A server with a trail `main` that logs and delivers to all of them.
    async fn trail(&self) -> (TestApp, Client) {
        self.trail_with("").await
    }

    async fn trail_with(&self, options: &str) -> (TestApp, Client) {
        let app = TestApp::with(&format!(
            "{options} --bucket-policy-check off --delivery-timeout 1 --s3-endpoint {} --sns-endpoint {} \
             --logs-endpoint {} --events-endpoint {}",
            self.s3.url, self.sns.url, self.logs.url, self.events.url
        ))
        .await;
        let sdk = app.sdk();
        let made = sdk
            .create_trail()
            .name("main")
            .s3_bucket_name("logs")
            .sns_topic_name("notes")
            .cloud_watch_logs_log_group_arn(GROUP)
            .cloud_watch_logs_role_arn(ROLE);
        made.send().await.unwrap();
        self.sns.taken();
        sdk.start_logging().name("main").send().await.unwrap();
        (app, sdk)
    }

    /// The log files that were written since this was last asked.
    fn files(&self) -> Vec<Taken> {
        let mut taken = self.s3.taken();
        // A HeadBucket has no body.
        taken.retain(|request| !request.body.is_empty());
        taken
    }

    /// Asserts that every event that the trail took is at S3, at Logs and at the bus once, and every log file told.
    async fn assert_all_arrived_once(&self, app: &TestApp) {
        let all = app.events().await;
        let taken = all
            .iter()
            .skip_while(|event| event["eventName"] != "StartLogging");
        let expected: BTreeMap<String, usize> = taken.map(|event| (id(event), 1)).collect();

        let files = self.files();
        let in_files = files.iter().flat_map(|file| log_file(&file.body));
        assert_eq!(counts(in_files.map(|event| id(&event))), expected);

        let keys = files.iter().map(|file| file.path.clone());
        let told = self.sns.taken().into_iter().map(|publish| {
            let form: BTreeMap<String, String> =
                form_urlencoded::parse(&publish.body).into_owned().collect();
            let message: Value = serde_json::from_str(&form["Message"]).unwrap();
            format!("/logs/{}", message["s3ObjectKey"][0].as_str().unwrap())
        });
        assert_eq!(counts(told), counts(keys));

        let put = |taken: Vec<Taken>, operation_name, list: &'static str, record: &'static str| {
            let calls = taken
                .into_iter()
                .filter(move |it| operation(it) == operation_name);
            let entries = calls.flat_map(move |call| {
                let input: Value = serde_json::from_slice(&call.body).unwrap();
                input[list].as_array().unwrap().clone()
            });
            counts(entries.map(move |entry| {
                let text = entry[record].as_str().unwrap();
                id(&serde_json::from_str(text).unwrap())
            }))
        };
        let at_logs = put(self.logs.taken(), "PutLogEvents", "logEvents", "message");
        assert_eq!(at_logs, expected, "Logs");
        let on_bus = put(self.events.taken(), "PutEvents", "Entries", "Detail");
        assert_eq!(on_bus, expected, "EventBridge");
    }
}

fn id(event: &Value) -> String {
    let name = event["eventName"].as_str().unwrap();
    format!("{name} {}", event["eventID"].as_str().unwrap())
}

fn counts(ids: impl Iterator<Item = String>) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for id in ids {
        *counts.entry(id).or_default() += 1;
    }
    counts
}

async fn status(sdk: &Client) -> GetTrailStatusOutput {
    sdk.get_trail_status().name("main").send().await.unwrap()
}

async fn flush(app: &TestApp) -> usize {
    let (code, flushed) = app.control("POST", "flush", Value::Null).await;
    assert_eq!(code, 200, "{flushed}");
    flushed["failed"].as_array().unwrap().len()
}

#[tokio::test]
async fn every_failure_of_a_target_shows_and_all_arrives_once_when_it_ends() {
    let mut services = Services::start().await;
    let (app, sdk) = services.trail().await;
    for (fault, s3, sns, logs) in [
        (
            Fault::Refuse,
            "ServiceUnavailable",
            "ServiceUnavailable",
            "ServiceUnavailable",
        ),
        (
            Fault::Hang,
            "RequestTimeout",
            "RequestTimeout",
            "RequestTimeout",
        ),
        (
            Fault::Drip,
            "RequestTimeout",
            "RequestTimeout",
            "RequestTimeout",
        ),
        (
            Fault::Status(500),
            "InternalError",
            "InternalError",
            "InternalError",
        ),
        (
            Fault::Status(503),
            "ServiceUnavailable",
            "ServiceUnavailable",
            "ServiceUnavailable",
        ),
        (
            Fault::Status(403),
            "AccessDenied",
            "AccessDenied",
            "AccessDenied",
        ),
        (
            Fault::Half,
            "ServiceUnavailable",
            "ServiceUnavailable",
            "ServiceUnavailable",
        ),
        (
            Fault::Reset,
            "ServiceUnavailable",
            "ServiceUnavailable",
            "ServiceUnavailable",
        ),
    ] {
        services.set(fault).await;
        sdk.list_trails().send().await.unwrap();
        assert!(flush(&app).await >= 3, "{fault:?}: S3, Logs and the bus");
        assert_eq!(
            app.metric("localtrail_log_files_waiting").await,
            Some(1),
            "{fault:?}"
        );
        let (_, told) = app.control("GET", "status", Value::Null).await;
        let trail = &told["trails"][0];
        assert_eq!(trail["latestDeliveryError"], s3, "{fault:?}");
        assert_eq!(
            trail["latestCloudWatchLogsDeliveryError"], logs,
            "{fault:?}"
        );
        assert_eq!(trail["backlog"]["logFiles"], 1, "{fault:?}");
        // AWS shows the bucket's errors, but not that it gave no answer in time.
        let shown = (s3 != "RequestTimeout").then_some(s3);
        assert_eq!(
            status(&sdk).await.latest_delivery_error(),
            shown,
            "{fault:?}"
        );

        // The topic is told only of what is there.
        services.s3.set(Fault::None).await;
        assert!(flush(&app).await >= 2, "{fault:?}");
        let (_, told) = app.control("GET", "status", Value::Null).await;
        let trail = &told["trails"][0];
        assert_eq!(trail["latestNotificationError"], sns, "{fault:?}");
        assert_eq!(trail["latestDeliveryError"], Value::Null, "{fault:?}");

        services.set(Fault::None).await;
        assert_eq!(flush(&app).await, 0, "{fault:?}");
        let status = status(&sdk).await;
        assert_eq!(status.latest_delivery_error(), None);
        assert_eq!(status.latest_notification_error(), None);
        assert_eq!(status.latest_cloud_watch_logs_delivery_error(), None);
    }
    assert_eq!(flush(&app).await, 0);
    assert_eq!(app.metric("localtrail_log_files_waiting").await, Some(0));
    services.assert_all_arrived_once(&app).await;
}

#[tokio::test]
async fn an_outage_of_days_costs_nothing() {
    let mut services = Services::start().await;
    let (app, sdk) = services.trail().await;
    app.settle().await;
    for service in [&mut services.s3, &mut services.sns, &mut services.logs] {
        service.set(Fault::Status(503)).await;
    }
    for _ in 0..3 {
        sdk.list_trails().send().await.unwrap();
        app.advance(TimeDelta::days(1)).await;
    }
    assert_eq!(app.metric("localtrail_log_files_waiting").await, Some(3));
    assert!(services.s3.failed() > 3 * 24, "it is tried each hour");
    services.set(Fault::None).await;
    app.advance(TimeDelta::hours(1)).await;
    assert_eq!(app.metric("localtrail_log_files_waiting").await, Some(0));
    services.assert_all_arrived_once(&app).await;
}

/// Each waits for the whole timeout, eight at a time: a hundred files would hold up everything for minutes.
#[tokio::test]
async fn a_service_that_gives_no_answer_is_not_waited_for_again_and_again() {
    let mut services = Services::start().await;
    let (app, sdk) = services.trail().await;
    for service in [&mut services.s3, &mut services.logs] {
        service.set(Fault::Refuse).await;
    }
    for _ in 0..20 {
        sdk.list_trails().send().await.unwrap();
        app.advance(TimeDelta::minutes(5)).await;
    }
    services.s3.set(Fault::Hang).await;
    services.logs.set(Fault::None).await;
    flush(&app).await;
    let asked = services.s3.failed();
    assert!((1..=8).contains(&asked), "{asked}");
    let logs = services.logs.taken();
    let put = logs.iter().filter(|it| operation(it) == "PutLogEvents");
    assert_eq!(put.count(), 20, "Logs is not held up");
    services.s3.set(Fault::None).await;
    assert_eq!(flush(&app).await, 0);
    assert_eq!(services.files().len(), 20);
}

/// However far the clock is moved and however often the service is due on the way.
#[tokio::test]
async fn a_silent_service_is_asked_once_while_the_clock_moves_and_given_up_after_30_days() {
    let mut services = Services::start().await;
    let (app, sdk) = services.trail().await;
    app.settle().await;
    sdk.list_trails().send().await.unwrap();
    services.s3.set(Fault::Hang).await;
    services.s3.failed();
    app.advance(TimeDelta::hours(6)).await;
    assert_eq!(services.s3.failed(), 1);
    assert_eq!(app.metric("localtrail_log_files_waiting").await, Some(1));
    // On a guess nothing is given up: it is asked once more, and may be there again.
    app.advance(TimeDelta::days(31)).await;
    assert_eq!(services.s3.failed(), 1);
    assert_eq!(app.metric("localtrail_log_files_waiting").await, Some(1));
    services.s3.set(Fault::None).await;
    app.advance(TimeDelta::hours(1)).await;
    assert_eq!(services.files().len(), 1);
    sdk.list_trails().send().await.unwrap();
    services.s3.set(Fault::Hang).await;
    for asked in [1, 1] {
        app.advance(TimeDelta::days(31)).await;
        assert_eq!(services.s3.failed(), asked);
    }
    assert_eq!(app.metric("localtrail_log_files_waiting").await, Some(0));
    assert_eq!(app.metric("localtrail_log_files_given_up").await, Some(1));
}

#[tokio::test]
async fn where_nothing_can_be_stored_no_service_is_called() {
    let mut services = Services::start().await;
    let folder = tempfile::tempdir().unwrap();
    let (app, sdk) = services
        .trail_with(&format!("--data-dir {}", folder.path().display()))
        .await;
    services.logs.set(Fault::Refuse).await;
    sdk.list_trails().send().await.unwrap();
    app.advance(TimeDelta::minutes(5)).await;
    services.logs.set(Fault::None).await;
    services.logs.taken();
    let database = SqliteConnectOptions::new().filename(folder.path().join("localtrail.sqlite"));
    let mut other = database.connect().await.unwrap();
    other.execute("begin immediate").await.unwrap();
    let next = app.now() + TimeDelta::minutes(1);
    app.app.worker.advance(next).await.unwrap_err();
    app.app.worker.settle().await.unwrap_err();
    assert_eq!(services.logs.taken().len(), 0);
    other.execute("rollback").await.unwrap();
    assert_eq!(flush(&app).await, 0);
    services.assert_all_arrived_once(&app).await;
}

#[tokio::test]
async fn a_step_that_cannot_be_run_holds_up_no_other() {
    let folder = tempfile::tempdir().unwrap();
    let app = TestApp::with(&format!("--data-dir {}", folder.path().display())).await;
    app.bucket("logs").await;
    let trail = app.sdk().create_trail().name("main").s3_bucket_name("logs");
    trail.enable_log_file_validation(true).send().await.unwrap();
    let sdk = app.sdk();
    sdk.start_logging().name("main").send().await.unwrap();
    app.advance(TimeDelta::hours(1)).await;
    let database = SqliteConnectOptions::new().filename(folder.path().join("localtrail.sqlite"));
    let mut other = database.connect().await.unwrap();
    let keys = other.execute("update digest_key set private_key = x'00'");
    assert_eq!(keys.await.unwrap().rows_affected(), 1);
    app.app.keys.forget();
    let before = app.log_files("logs").await.len();
    sdk.list_trails().send().await.unwrap();
    app.advance(TimeDelta::hours(2)).await;
    assert_eq!(app.log_files("logs").await.len(), before + 1);
    let flush = app.control("POST", "flush", json!({ "digests": true }));
    let (_, flushed) = flush.await;
    let failed = json!([{ "trail": "", "error": "InternalFailure" }]);
    assert_eq!(flushed["failed"], failed);
}

/// A call of each protocol: (service, method, path, operation target).
const CALLS: &[(&str, &str, &str, &str)] = &[
    ("s3", "PUT", "/data/key", ""),
    ("dynamodb", "POST", "/", "DynamoDB_20120810.ListTables"),
    ("iam", "POST", "/", ""),
];

fn call(service: &str, method: &str, path: &str, target: &str, body: Body) -> Request<Body> {
    let scope = format!("{ACCOUNT}/20261122/{REGION}/{service}/aws4_request");
    let content_type = match service {
        "iam" => "application/x-www-form-urlencoded",
        _ => "application/x-amz-json-1.0",
    };
    let mut request = Request::builder();
    if !target.is_empty() {
        request = request.header("x-amz-target", target);
    }
    request
        .method(method)
        .uri(path)
        .header("host", "127.0.0.1:4580")
        .header("x-amz-date", "20261122T150130Z")
        .header(
            "authorization",
            format!("AWS4-HMAC-SHA256 Credential={scope}, SignedHeaders=host, Signature=0"),
        )
        .header("content-type", content_type)
        .header("content-length", 1 << 20)
        .body(body)
        .unwrap()
}

/// A body of 1 MiB that fits the service.
fn upload(service: &str) -> Body {
    let mut body = match service {
        "dynamodb" => b"{}".to_vec(),
        "iam" => b"Action=ListUsers&Version=2010-05-08&Marker=".to_vec(),
        _ => Vec::new(),
    };
    body.resize(1 << 20, if service == "dynamodb" { b' ' } else { b'x' });
    Body::from(body)
}

#[tokio::test]
async fn every_failure_of_the_upstream_reaches_the_caller_and_is_recorded() {
    let mut upstream = Faulty::start(nothing).await;
    let app = TestApp::with(&format!(
        "--upstream {} --upstream-timeout 1 --account-id {ACCOUNT}",
        upstream.url
    ))
    .await;
    for (fault, answer, error) in [
        (Fault::None, Some(200), ""),
        (Fault::Refuse, Some(502), "ServiceUnavailable"),
        (Fault::Hang, Some(504), "ServiceUnavailable"),
        // Something moves, if slowly.
        (Fault::Drip, Some(200), ""),
        (Fault::Status(500), Some(500), "*"),
        (Fault::Status(503), Some(503), "*"),
        (Fault::Status(403), Some(403), "*"),
        (Fault::Half, None, ""),
        (Fault::Reset, Some(502), "ServiceUnavailable"),
        (Fault::None, Some(200), ""),
    ] {
        upstream.set(fault).await;
        for (service, method, path, target) in CALLS {
            let request = call(service, method, path, target, upload(service));
            let answered = app.try_send(request).await.ok();
            let status = answered.as_ref().map(|answer| answer.status().as_u16());
            assert_eq!(status, answer, "{fault:?} {service}");
            if error == "ServiceUnavailable" {
                let body = String::from_utf8_lossy(answered.as_ref().unwrap().body());
                assert!(body.contains(error), "{fault:?} {service} {body}");
            }
            let event = app.events().await.pop().unwrap();
            assert_eq!(event["eventSource"], format!("{service}.amazonaws.com"));
            let recorded = event["errorCode"].as_str().unwrap_or_default();
            match error {
                "*" => assert!(!recorded.is_empty(), "{fault:?} {service}"),
                error => assert_eq!(recorded, error, "{fault:?} {service}"),
            }
        }
    }
    let calls = app.metric("localtrail_calls_recorded_total").await;
    assert_eq!(calls, Some(30));
}

fn caller_identity(_: &Taken) -> String {
    let identity = "<Arn>arn:aws:iam::444455556666:root</Arn><UserId>444455556666</UserId><Account>444455556666</Account>";
    format!(
        "<GetCallerIdentityResponse><GetCallerIdentityResult>{identity}</GetCallerIdentityResult></GetCallerIdentityResponse>"
    )
}

/// A call by a key that does not tell whose it is.
async fn account_of_a_call(app: &TestApp) -> String {
    let scope = format!("AKIAEXAMPLE/20261122/{REGION}/iam/aws4_request");
    let request = Request::post("/")
        .header("host", "127.0.0.1:4580")
        .header("x-amz-date", "20261122T150130Z")
        .header(
            "authorization",
            format!("AWS4-HMAC-SHA256 Credential={scope}, SignedHeaders=host, Signature=0"),
        )
        .header("content-type", "application/x-www-form-urlencoded")
        .body(Body::from("Action=ListUsers&Version=2010-05-08"));
    app.send(request.unwrap()).await;
    let event = app.events().await.pop().unwrap();
    event["recipientAccountId"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn an_upstream_that_fails_at_first_is_asked_for_its_account_again() {
    let mut upstream = Faulty::start(caller_identity).await;
    let app = TestApp::with(&format!("--upstream {}", upstream.url)).await;
    for fault in [Fault::Status(500), Fault::Refuse] {
        upstream.set(fault).await;
        assert_eq!(account_of_a_call(&app).await, "000000000000", "{fault:?}");
    }
    upstream.set(Fault::None).await;
    assert_eq!(account_of_a_call(&app).await, "444455556666");
    // Once it has told, it is believed.
    upstream.set(Fault::Status(500)).await;
    assert_eq!(account_of_a_call(&app).await, "444455556666");
}

#[tokio::test]
async fn a_caller_whose_key_tells_its_account_does_not_wait_for_a_silent_upstream() {
    let mut upstream = Faulty::start(caller_identity).await;
    let app = TestApp::with(&format!("--upstream {} --embedded s3", upstream.url)).await;
    upstream.set(Fault::Hang).await;
    app.sdk().list_trails().send().await.unwrap();
    assert_eq!(upstream.failed(), 0);
}

#[tokio::test]
async fn calls_to_the_upstream_are_bounded_though_their_callers_have_gone() {
    let mut upstream = Faulty::start(nothing).await;
    let app = TestApp::with(&format!(
        "--upstream {} --upstream-timeout 1 --account-id {ACCOUNT} --max-connections 1",
        upstream.url
    ))
    .await;
    upstream.set(Fault::Hang).await;
    let app = std::sync::Arc::new(app);
    let list = || {
        call(
            "dynamodb",
            "POST",
            "/",
            "DynamoDB_20120810.ListTables",
            upload("dynamodb"),
        )
    };
    let gone = tokio::spawn({
        let (app, request) = (std::sync::Arc::clone(&app), list());
        async move { app.send(request).await.status() }
    });
    while upstream.failed() == 0 {
        tokio::task::yield_now().await;
    }
    let answer = app.send(list()).await;
    assert_eq!(answer.status(), 503);
    let body = String::from_utf8_lossy(answer.body());
    assert!(body.contains("too many calls to the upstream"), "{body}");
    assert_eq!(gone.await.unwrap(), 504);
    upstream.set(Fault::None).await;
    assert_eq!(app.send(list()).await.status(), 200);
    assert_eq!(app.events().await.len(), 3);
}

#[tokio::test]
async fn a_caller_who_breaks_off_is_not_laid_at_the_upstreams_door() {
    let upstream = Faulty::start(nothing).await;
    let app = TestApp::with(&format!(
        "--upstream {} --account-id {ACCOUNT}",
        upstream.url
    ))
    .await;
    for ((service, method, path, target), (status, code)) in CALLS.iter().zip([
        (400, "IncompleteBody"),
        (408, "RequestTimeout"),
        (408, "RequestTimeout"),
    ]) {
        let reset = std::io::Error::from(std::io::ErrorKind::ConnectionReset);
        let broken = Broken(Some(axum::Error::new(reset)));
        let answer = app
            .send(call(service, method, path, target, Body::new(broken)))
            .await;
        assert_eq!(answer.status(), status, "{service}");
        let body = String::from_utf8_lossy(answer.body());
        assert!(body.contains(code), "{service} {body}");
        assert!(!body.contains("upstream"), "{service} {body}");
        for event in app.events().await {
            assert_ne!(event["errorCode"], "ServiceUnavailable", "{event}");
        }
    }
}
