//! CloudWatch Logs: the group is checked, and records go there.

use std::sync::atomic::{AtomicBool, Ordering};

use aws_sdk_cloudtrail::Client;
use chrono::{DateTime, TimeDelta};
use serde_json::{Value, json};

use crate::support::stub::{Call, Stub, error};
use crate::support::{ACCOUNT, TestApp, due, names};

const GROUP: &str = "arn:aws:logs:us-east-1:111122223333:log-group:CloudTrail/logs:*";
const ROLE: &str = "arn:aws:iam::111122223333:role/logs";

/// A CloudWatch Logs with one group and no stream in it.
async fn service() -> Stub {
    let has_stream = AtomicBool::new(false);
    Stub::start(move |call| match call.operation.as_str() {
        "DescribeLogGroups" => {
            let groups = ["CloudTrail/logs", "CloudTrail/logs/more"];
            let prefix = call.input["logGroupNamePrefix"].as_str().unwrap();
            let found = groups.iter().filter(|name| name.starts_with(prefix));
            let found: Vec<_> = found.map(|name| json!({ "logGroupName": name })).collect();
            (200, json!({ "logGroups": found }))
        }
        "CreateLogStream" => {
            has_stream.store(true, Ordering::Relaxed);
            (200, Value::Null)
        }
        "PutLogEvents" if has_stream.load(Ordering::Relaxed) => (200, json!({})),
        _ => error("ResourceNotFoundException"),
    })
    .await
}

async fn trail(app: &TestApp) -> Client {
    app.bucket("logs").await;
    let sdk = app.sdk();
    sdk.create_trail()
        .name("main")
        .s3_bucket_name("logs")
        .is_multi_region_trail(true)
        .cloud_watch_logs_log_group_arn(GROUP)
        .cloud_watch_logs_role_arn(ROLE)
        .send()
        .await
        .unwrap();
    sdk.start_logging().name("main").send().await.unwrap();
    sdk
}

/// Names of the events that a call puts.
fn put(call: &Call) -> Vec<String> {
    let events = call.input["logEvents"].as_array().unwrap();
    let records: Vec<Value> = events
        .iter()
        .map(|event| serde_json::from_str(event["message"].as_str().unwrap()).unwrap())
        .collect();
    names(&records).into_iter().map(str::to_owned).collect()
}

#[tokio::test]
async fn records_go_to_the_stream_of_the_account_and_home_region() {
    let logs = service().await;
    let app = TestApp::with(&format!("--logs-endpoint {}", logs.url)).await;
    let sdk = trail(&app).await;
    app.sdk_of(ACCOUNT, "eu-west-1")
        .list_trails()
        .send()
        .await
        .unwrap();
    app.advance(TimeDelta::minutes(5)).await;

    let made = logs.take("CreateLogStream");
    assert!(!made.is_empty());
    assert_eq!(
        made[0].input,
        json!({ "logGroupName": "CloudTrail/logs", "logStreamName": "111122223333_CloudTrail_us-east-1" })
    );
    let calls = logs.take("PutLogEvents");
    // The first of each found no stream.
    let mut all: Vec<_> = calls.iter().map(put).collect();
    all.sort();
    all.dedup();
    assert_eq!(all, [["ListTrails"], ["StartLogging"]]);
    for call in &calls {
        assert_eq!(
            (call.account.as_str(), call.region.as_str()),
            (ACCOUNT, "us-east-1")
        );
        let event = &call.input["logEvents"][0];
        let record: Value = serde_json::from_str(event["message"].as_str().unwrap()).unwrap();
        let time = DateTime::parse_from_rfc3339(record["eventTime"].as_str().unwrap()).unwrap();
        assert_eq!(event["timestamp"], time.timestamp_millis());
    }
    let status = sdk.get_trail_status().name("main").send().await.unwrap();
    assert_eq!(
        status
            .latest_cloud_watch_logs_delivery_time()
            .unwrap()
            .secs(),
        1_795_359_900
    );
    assert_eq!(status.latest_cloud_watch_logs_delivery_error(), None);
}

#[tokio::test]
async fn a_group_that_is_gone_shows_and_is_tried_again_and_does_not_hold_up_the_files() {
    let logs = service().await;
    let app = TestApp::with(&format!("--logs-endpoint {}", logs.url)).await;
    let sdk = trail(&app).await;
    logs.answer(|_| error("ResourceNotFoundException"));
    app.advance(TimeDelta::minutes(5)).await;
    let status = sdk.get_trail_status().name("main").send().await.unwrap();
    assert_eq!(
        status.latest_cloud_watch_logs_delivery_error(),
        Some("ResourceNotFoundException")
    );
    assert_eq!(status.latest_cloud_watch_logs_delivery_time(), None);
    assert!(status.latest_delivery_time().is_some());
    assert_eq!(app.log_files("logs").await.len(), 1);
    logs.take("PutLogEvents");

    logs.answer(|_| (200, json!({})));
    app.advance(TimeDelta::hours(1)).await;
    let puts: Vec<_> = logs.take("PutLogEvents").iter().map(put).collect();
    let starts = puts.iter().flatten().filter(|name| *name == "StartLogging");
    assert_eq!(starts.count(), 1, "{puts:?}");
    let status = sdk.get_trail_status().name("main").send().await.unwrap();
    assert_eq!(status.latest_cloud_watch_logs_delivery_error(), None);
}

#[tokio::test]
async fn events_that_the_service_rejects_show_and_are_not_tried_again() {
    let logs = service().await;
    let app = TestApp::with(&format!("--logs-endpoint {}", logs.url)).await;
    let sdk = trail(&app).await;
    logs.answer(|_| {
        (
            200,
            json!({ "rejectedLogEventsInfo": { "tooOldLogEventEndIndex": 1 } }),
        )
    });
    app.advance(TimeDelta::minutes(5)).await;
    assert_eq!(logs.take("PutLogEvents").len(), 1);
    let status = sdk.get_trail_status().name("main").send().await.unwrap();
    assert_eq!(
        status.latest_cloud_watch_logs_delivery_error(),
        Some("RejectedLogEvents")
    );
    app.settle().await;
    assert_eq!(logs.take("PutLogEvents").len(), 0);
}

#[tokio::test]
async fn records_beyond_a_batch_go_in_a_further_one_each_once() {
    let logs = service().await;
    let app = TestApp::with(&format!("--logs-endpoint {}", logs.url)).await;
    trail(&app).await;
    logs.take("PutLogEvents");
    // Five records of 250 KB take two calls.
    let record = |name: &str, bytes: usize| {
        json!({
            "eventVersion": "1.11", "eventName": name, "eventSource": "ec2.amazonaws.com",
            "awsRegion": "us-east-1", "recipientAccountId": ACCOUNT, "managementEvent": true,
            "requestParameters": { "x": "x".repeat(bytes) },
        })
    };
    let records: Vec<_> = (0..5).map(|n| record(&format!("N{n}"), 250_000)).collect();
    let (status, answer) = app
        .control("POST", "events", json!({ "Records": records }))
        .await;
    assert_eq!(status, 200, "{answer}");
    logs.answer(|_| (200, json!({})));
    app.advance(TimeDelta::minutes(5)).await;
    let puts: Vec<_> = logs.take("PutLogEvents").iter().map(put).collect();
    assert_eq!(
        puts,
        [vec!["StartLogging", "N0", "N1", "N2", "N3"], vec!["N4"]]
    );
}

#[tokio::test]
async fn a_log_group_must_be_there() {
    let logs = service().await;
    let app = TestApp::with(&format!("--logs-endpoint {}", logs.url)).await;
    let alone = TestApp::new().await;
    let refusal = "CloudTrail cannot validate the specified log group ARN.";
    for (app, group, text) in [
        (&app, "CloudTrail/log", refusal),
        (&app, "nope", refusal),
        (
            &alone,
            "CloudTrail/logs",
            "CloudTrail cannot validate the specified log group ARN. There is no CloudWatch Logs here: name one with \
             --logs-endpoint or --upstream.",
        ),
    ] {
        app.bucket("logs").await;
        let made = app
            .sdk()
            .create_trail()
            .name("main")
            .s3_bucket_name("logs")
            .cloud_watch_logs_log_group_arn(format!(
                "arn:aws:logs:us-east-1:111122223333:log-group:{group}:*"
            ))
            .cloud_watch_logs_role_arn(ROLE);
        let error = made.send().await.unwrap_err().into_service_error();
        assert!(
            error.is_invalid_cloud_watch_logs_log_group_arn_exception(),
            "{error:?}"
        );
        assert_eq!(error.meta().message(), Some(text), "{group}");
    }
}

/// A crash after a batch was taken, before its step was gone, repeats that batch and no other.
#[tokio::test]
async fn a_step_that_runs_twice_repeats_its_own_batch_alone() {
    let logs = service().await;
    let app = TestApp::with(&format!("--logs-endpoint {}", logs.url)).await;
    trail(&app).await;
    logs.answer(|_| (200, json!({})));
    app.app.clock.set(app.now() + TimeDelta::minutes(5));
    let now_ms = app.app.clock.now_ms();
    let delivery = &app.app.worker.delivery;
    let cut = due(&app.app.store, now_ms, 10).await;
    delivery.run_step(&cut[0], now_ms).await.unwrap();
    let steps = due(&app.app.store, now_ms, 10).await;
    assert_eq!(steps.len(), 2);
    for _ in 0..2 {
        delivery.run_step(&steps[1], now_ms).await.unwrap();
    }
    app.settle().await;
    let puts: Vec<_> = logs.take("PutLogEvents").iter().map(put).collect();
    assert_eq!(puts, [["StartLogging"], ["StartLogging"]]);
}
