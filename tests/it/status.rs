//! GetTrailStatus, and what is still delivered when logging ends.

use std::sync::{Arc, Mutex, PoisonError};

use aws_sdk_cloudtrail::Client;
use aws_sdk_cloudtrail::operation::get_trail_status::GetTrailStatusOutput;
use chrono::TimeDelta;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use crate::support::{ACCOUNT, REGION, TestApp, names};

const TOPIC: &str = "Action=CreateTopic&Version=2010-03-31&Name=notes";

async fn status(sdk: &Client) -> GetTrailStatusOutput {
    sdk.get_trail_status().name("main").send().await.unwrap()
}

/// An endpoint that gives every request the same answer, which can be changed.
struct Endpoint {
    url: String,
    answer: Arc<Mutex<(u16, String)>>,
    server: tokio::task::JoinHandle<()>,
}

impl Endpoint {
    async fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let answer = Arc::new(Mutex::new((200, String::new())));
        let given = Arc::clone(&answer);
        let server = tokio::spawn(async move {
            loop {
                let (mut connection, _) = listener.accept().await.unwrap();
                let mut sent = vec![0; 1 << 16];
                let mut length = 0;
                while !is_whole(&sent[..length]) {
                    length += connection.read(&mut sent[length..]).await.unwrap();
                }
                let (status, body) = given.lock().unwrap_or_else(PoisonError::into_inner).clone();
                let answer = format!(
                    "HTTP/1.1 {status} X\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
                    body.len()
                );
                connection.write_all(answer.as_bytes()).await.unwrap();
            }
        });
        Self {
            url,
            answer,
            server,
        }
    }

    fn answers(&self, status: u16, body: &str) {
        let mut answer = self.answer.lock().unwrap_or_else(PoisonError::into_inner);
        *answer = (status, body.to_owned());
    }
}

/// Whether a request has come with its head and body.
fn is_whole(sent: &[u8]) -> bool {
    let Some(end) = sent.windows(4).position(|it| it == b"\r\n\r\n") else {
        return false;
    };
    let head = String::from_utf8_lossy(&sent[..end]).to_lowercase();
    let length = head
        .split("content-length: ")
        .nth(1)
        .and_then(|rest| rest.lines().next()?.parse().ok());
    sent.len() >= end + 4 + length.unwrap_or(0)
}

fn s3_error(code: &str) -> String {
    format!("<Error><Code>{code}</Code><Message>m</Message></Error>")
}

#[tokio::test]
async fn a_delivery_error_is_the_buckets_and_goes_with_the_next_success() {
    let s3 = Endpoint::new().await;
    let app = TestApp::with(&format!(
        "--bucket-policy-check off --s3-endpoint {}",
        s3.url
    ))
    .await;
    let sdk = app.sdk();
    let make = sdk.create_trail().name("main").s3_bucket_name("logs");
    make.send().await.unwrap();
    sdk.start_logging().name("main").send().await.unwrap();
    for (answer, body, error) in [
        (403, s3_error("AccessDenied"), "AccessDenied"),
        (403, String::new(), "AccessDenied"),
        (404, s3_error("NoSuchBucket"), "NoSuchBucket"),
        (404, String::new(), "NotFound"),
        (
            400,
            s3_error("KMS.DisabledException"),
            "KMS.DisabledException",
        ),
        (500, s3_error("InternalError"), "InternalError"),
        (503, s3_error("SlowDown"), "SlowDown"),
        (200, String::new(), ""),
    ] {
        s3.answers(answer, &body);
        let (_, flushed) = app.control("POST", "flush", Value::Null).await;
        let status = status(&sdk).await;
        assert_eq!(status.latest_delivery_error().unwrap_or_default(), error);
        assert_eq!(
            status.latest_delivery_attempt_time(),
            Some("2026-11-22T15:01:30Z")
        );
        let is_delivered = error.is_empty();
        assert_eq!(status.latest_delivery_time().is_some(), is_delivered);
        assert_eq!(
            status.latest_delivery_attempt_succeeded() != Some(""),
            is_delivered
        );
        let failed = flushed["failed"].as_array().unwrap();
        assert_eq!(failed.is_empty(), is_delivered, "{flushed}");
    }
    let delivered = status(&sdk).await.latest_delivery_time().copied();

    // Nobody listens any more. A failure leaves the time of the last success.
    s3.server.abort();
    assert!(s3.server.await.unwrap_err().is_cancelled());
    app.advance(TimeDelta::minutes(5)).await;
    let status = status(&sdk).await;
    assert_eq!(status.latest_delivery_error(), Some("ServiceUnavailable"));
    assert_eq!(status.latest_delivery_time().copied(), delivered);
}

#[tokio::test]
async fn a_notification_error_is_the_topics_and_goes_with_the_next_success() {
    let sns = Endpoint::new().await;
    let app = TestApp::with(&format!(
        "--bucket-policy-check off --sns-endpoint {}",
        sns.url
    ))
    .await;
    app.bucket("logs").await;
    let sdk = app.sdk();
    let make = sdk.create_trail().name("main").s3_bucket_name("logs");
    make.sns_topic_name("notes").send().await.unwrap();
    sdk.start_logging().name("main").send().await.unwrap();
    let error = |code: &str| {
        format!(
            "<ErrorResponse><Error><Type>Sender</Type><Code>{code}</Code><Message>m</Message></Error></ErrorResponse>"
        )
    };
    for (answer, body, error) in [
        (403, error("AuthorizationError"), "AuthorizationError"),
        (404, error("NotFound"), "NotFound"),
        (404, String::new(), "NotFound"),
        (500, error("InternalFailure"), "InternalFailure"),
        (200, String::new(), ""),
    ] {
        sns.answers(answer, &body);
        app.control("POST", "flush", Value::Null).await;
        let status = status(&sdk).await;
        assert_eq!(
            status.latest_notification_error().unwrap_or_default(),
            error
        );
        assert_eq!(
            status.latest_notification_time().is_some(),
            error.is_empty()
        );
        assert!(status.latest_delivery_time().is_some());
        assert_ne!(status.latest_notification_attempt_time(), Some(""));
    }
}

#[tokio::test]
async fn starts_and_stops_are_told_by_their_last_time() {
    let app = TestApp::new().await;
    let sdk = app.logging_trail().await;
    let (start, minute) = (app.now().timestamp(), TimeDelta::minutes(1));
    let times = async || {
        let status = status(&sdk).await;
        let told = |time: Option<&aws_sdk_cloudtrail::primitives::DateTime>| {
            time.map(|time| (time.secs() - start) / 60)
        };
        let minute = |text: Option<&str>| text.unwrap().get(14..16).map(str::to_owned);
        (
            status.is_logging().unwrap(),
            told(status.start_logging_time()),
            told(status.stop_logging_time()),
            minute(status.time_logging_started()),
            minute(status.time_logging_stopped()),
        )
    };
    let text = |minute: &str| Some(minute.to_owned());
    assert_eq!(times().await, (true, Some(0), None, text("01"), None));
    app.advance(minute).await;
    sdk.stop_logging().name("main").send().await.unwrap();
    assert_eq!(
        times().await,
        (false, Some(0), Some(1), text("01"), text("02"))
    );
    app.advance(minute).await;
    for _ in 0..2 {
        sdk.start_logging().name("main").send().await.unwrap();
        assert_eq!(
            times().await,
            (true, Some(2), Some(1), text("03"), text("02"))
        );
    }
}

/// Names of all events in the trail's log files, in order.
async fn delivered(app: &TestApp) -> Vec<String> {
    let files = app.log_files("logs").await;
    let all = files.iter().flat_map(|(_, records)| names(records));
    all.map(ToOwned::to_owned).collect()
}

#[tokio::test]
async fn what_came_before_the_end_of_logging_is_delivered_and_nothing_after_it() {
    for (end, expected) in [
        ("StopLogging", ["StartLogging", "ListTrails", "StopLogging"]),
        ("DeleteTrail", ["StartLogging", "ListTrails", "DeleteTrail"]),
    ] {
        let app = TestApp::new().await;
        let sdk = app.logging_trail().await;
        sdk.list_trails().send().await.unwrap();
        app.cloudtrail(end, r#"{"Name":"main"}"#).await;
        sdk.list_public_keys().send().await.ok();
        app.call("sns", "POST", "/", TOPIC).await;
        assert_eq!(delivered(&app).await, [""; 0], "the slot has not ended");
        app.advance(TimeDelta::minutes(5)).await;
        assert_eq!(delivered(&app).await, expected);
        app.advance(TimeDelta::hours(1)).await;
        assert_eq!(delivered(&app).await, expected);
    }
}

#[tokio::test]
async fn a_deleted_trails_last_file_goes_where_it_would_have_gone_and_is_told() {
    let app = TestApp::new().await;
    app.bucket("logs").await;
    app.topic("notes").await;
    let sdk = app.sdk();
    let make = sdk.create_trail().name("main").s3_bucket_name("logs");
    let make = make.s3_key_prefix("pre").sns_topic_name("notes");
    make.send().await.unwrap();
    sdk.start_logging().name("main").send().await.unwrap();
    sdk.delete_trail().name("main").send().await.unwrap();
    // Another trail of the same name is another trail.
    app.bucket("other").await;
    let make = sdk.create_trail().name("main").s3_bucket_name("other");
    make.send().await.unwrap();
    sdk.start_logging().name("main").send().await.unwrap();

    let (_, flushed) = app.control("POST", "flush", Value::Null).await;
    let arn = format!("arn:aws:cloudtrail:{REGION}:{ACCOUNT}:trail/main");
    let files = flushed["logFiles"].as_array().unwrap();
    let mut buckets: Vec<_> = files.iter().map(|file| file["bucket"].clone()).collect();
    buckets.sort_by_key(Value::to_string);
    assert_eq!(buckets, ["logs", "other"]);
    assert!(files.iter().all(|file| file["trail"] == *arn), "{flushed}");

    let (key, records) = app.log_files("logs").await.remove(0);
    assert!(key.starts_with("pre/AWSLogs/"), "{key}");
    assert_eq!(names(&records), ["StartLogging", "DeleteTrail"]);
    let (_, messages) = app.control("GET", "sns/messages", Value::Null).await;
    let told = messages["Messages"][0]["Message"].as_str().unwrap();
    assert_eq!(
        serde_json::from_str::<Value>(told).unwrap(),
        json!({ "s3Bucket": "logs", "s3ObjectKey": [key] })
    );
}

#[tokio::test]
async fn a_deleted_trails_last_file_outlives_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let options = format!("--data-dir {}", folder.path().display());
    let app = TestApp::with(&options).await;
    let sdk = app.logging_trail().await;
    sdk.delete_trail().name("main").send().await.unwrap();
    drop((app, sdk));
    let app = TestApp::with(&options).await;
    app.advance(TimeDelta::minutes(5)).await;
    assert_eq!(delivered(&app).await, ["StartLogging", "DeleteTrail"]);
}

/// An end-to-end test that removes its trail and then its bucket is not to leave failures behind.
#[tokio::test]
async fn a_deleted_trails_last_file_waits_for_its_bucket_unless_that_is_deleted_too() {
    for (answer, code, waits) in [(503, "SlowDown", true), (404, "NoSuchBucket", false)] {
        let s3 = Endpoint::new().await;
        let app = TestApp::with(&format!(
            "--bucket-policy-check off --s3-endpoint {}",
            s3.url
        ))
        .await;
        let sdk = app.sdk();
        let make = sdk.create_trail().name("main").s3_bucket_name("logs");
        make.send().await.unwrap();
        sdk.start_logging().name("main").send().await.unwrap();
        sdk.delete_trail().name("main").send().await.unwrap();
        s3.answers(answer, &s3_error(code));
        let failed = async || {
            let (_, flushed) = app.control("POST", "flush", Value::Null).await;
            flushed["failed"].as_array().unwrap().len()
        };
        assert_eq!(failed().await, usize::from(waits), "{code}");
        s3.answers(200, "");
        let report = app.app.worker.flush(false).await.unwrap();
        assert_eq!(report.delivered.len(), usize::from(waits), "{code}");
    }
}
