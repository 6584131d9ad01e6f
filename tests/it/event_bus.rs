//! EventBridge: what trails take goes to the default event bus of its account and region.

use chrono::{DateTime, TimeDelta};
use serde_json::{Value, json};

use crate::support::stub::{Call, Stub, error};
use crate::support::{ACCOUNT, TestApp, due, names};

/// An EventBridge with a rule in this state on every bus.
async fn service(state: &'static str) -> Stub {
    Stub::start(move |call| rules(call, state)).await
}

fn rules(call: &Call, state: &str) -> (u16, Value) {
    match call.operation.as_str() {
        "ListRules" => (200, json!({ "Rules": [{ "Name": "all", "State": state }] })),
        _ => (200, json!({ "FailedEntryCount": 0, "Entries": [] })),
    }
}

/// A server whose trail `main` logs; what went to the bus so far is forgotten.
async fn logging(events: &Stub) -> TestApp {
    let app = TestApp::with(&format!("--events-endpoint {}", events.url)).await;
    app.bucket("logs").await;
    let sdk = app.sdk();
    let made = sdk
        .create_trail()
        .name("main")
        .s3_bucket_name("logs")
        .is_multi_region_trail(true);
    made.send().await.unwrap();
    sdk.start_logging().name("main").send().await.unwrap();
    app.settle().await;
    events.take("PutEvents");
    app
}

/// Names of the events that each call put.
fn put(calls: &[Call]) -> Vec<Vec<String>> {
    let put = |call: &Call| {
        let entries = call.input["Entries"].as_array().unwrap();
        let records: Vec<Value> = entries
            .iter()
            .map(|entry| serde_json::from_str(entry["Detail"].as_str().unwrap()).unwrap())
            .collect();
        names(&records).into_iter().map(str::to_owned).collect()
    };
    calls.iter().map(put).collect()
}

#[tokio::test]
async fn an_event_goes_to_the_bus_of_its_account_and_region_before_its_slot_ends() {
    let events = service("ENABLED").await;
    let app = logging(&events).await;
    let there = app.sdk_of(ACCOUNT, "eu-west-1");
    there.list_trails().send().await.unwrap();
    let nope = there.start_logging().name("nope").send().await;
    assert!(nope.is_err());
    app.settle().await;

    let calls = events.take("PutEvents");
    assert_eq!(put(&calls), [["StartLogging"]]);
    assert_eq!(
        (calls[0].account.as_str(), calls[0].region.as_str()),
        (ACCOUNT, "eu-west-1")
    );
    let entry = &calls[0].input["Entries"][0];
    let record: Value = serde_json::from_str(entry["Detail"].as_str().unwrap()).unwrap();
    let time = DateTime::parse_from_rfc3339(record["eventTime"].as_str().unwrap()).unwrap();
    assert_eq!(record["errorCode"], "TrailNotFoundException");
    assert_eq!(entry["Time"].as_f64().unwrap(), time.timestamp() as f64);
    assert_eq!(entry["Source"], "aws.cloudtrail");
    assert_eq!(entry["DetailType"], "AWS API Call via CloudTrail");
    assert_eq!(entry["Resources"], json!([]));
}

#[tokio::test]
async fn reads_go_only_where_a_rule_asks_for_all_management_events_and_nothing_goes_without_a_rule()
{
    let events = service("ENABLED").await;
    let app = logging(&events).await;
    for (state, expected) in [
        ("ENABLED", vec![vec!["StopLogging", "StartLogging"]]),
        (
            "ENABLED_WITH_ALL_CLOUDTRAIL_MANAGEMENT_EVENTS",
            vec![vec!["ListTrails", "StopLogging", "StartLogging"]],
        ),
        ("DISABLED", vec![]),
    ] {
        events.answer(move |call| rules(call, state));
        let sdk = app.sdk();
        sdk.list_trails().send().await.unwrap();
        sdk.stop_logging().name("nope").send().await.unwrap_err();
        sdk.start_logging().name("nope").send().await.unwrap_err();
        app.settle().await;
        assert_eq!(put(&events.take("PutEvents")), expected, "{state}");
    }
}

#[tokio::test]
async fn events_that_no_trail_takes_ask_nobody() {
    let events = service("ENABLED").await;
    let app = logging(&events).await;
    events.take("ListRules");
    app.sdk_of("444455556666", "us-east-1")
        .list_trails()
        .send()
        .await
        .unwrap();
    app.settle().await;
    assert_eq!(events.take("ListRules").len(), 0);
    let alone = TestApp::new().await;
    alone.logging_trail().await;
    let due = due(&alone.app.store, alone.app.clock.now_ms(), 9).await;
    assert!(due.is_empty());
}

#[tokio::test]
async fn many_events_go_in_calls_of_ten_each_once() {
    let events = service("ENABLED").await;
    let app = logging(&events).await;
    let record = |n: usize| {
        json!({
            "eventVersion": "1.11", "eventName": format!("Run{n}"), "eventSource": "ec2.amazonaws.com",
            "eventType": "AwsApiCall", "awsRegion": "us-east-1", "recipientAccountId": ACCOUNT,
            "managementEvent": true, "readOnly": false,
        })
    };
    let records: Vec<_> = (0..425).map(record).collect();
    app.control("POST", "events", json!({ "Records": records }))
        .await;
    app.settle().await;
    let calls = put(&events.take("PutEvents"));
    assert!(calls.iter().all(|call| call.len() <= 10));
    let mut sent: Vec<_> = calls.into_iter().flatten().collect();
    sent.sort();
    let mut expected: Vec<_> = (0..425).map(|n| format!("Run{n}")).collect();
    expected.sort();
    assert_eq!(sent, expected);
}

#[tokio::test]
async fn what_fails_for_now_is_tried_again_and_what_was_taken_is_not() {
    let events = service("ENABLED").await;
    let app = logging(&events).await;
    let sdk = app.sdk();
    sdk.stop_logging().name("nope").send().await.unwrap_err();
    sdk.start_logging().name("nope").send().await.unwrap_err();
    events.answer(|call| match call.operation.as_str() {
        "PutEvents" => (
            200,
            json!({ "FailedEntryCount": 1, "Entries": [
                { "EventId": "1" }, { "ErrorCode": "InternalFailure", "ErrorMessage": "later" }
            ]}),
        ),
        _ => rules(call, "ENABLED"),
    });
    let report = app.settle().await;
    assert_eq!(
        report.failed[0].trail_arn,
        "arn:aws:events:us-east-1:111122223333:event-bus/default"
    );
    assert_eq!(
        put(&events.take("PutEvents")),
        [["StopLogging", "StartLogging"]]
    );
    events.answer(|call| rules(call, "ENABLED"));
    app.advance(TimeDelta::seconds(2)).await;
    assert_eq!(put(&events.take("PutEvents")), [["StartLogging"]]);
}

/// An upstream need not have an EventBridge, and one that is away comes back.
#[tokio::test]
async fn a_bus_that_does_not_answer_waits_and_one_that_refuses_is_let_be() {
    let events = service("ENABLED").await;
    let app = logging(&events).await;
    let call = || async {
        app.sdk()
            .stop_logging()
            .name("nope")
            .send()
            .await
            .unwrap_err();
        app.settle().await
    };
    events.answer(|_| error("UnknownOperationException"));
    assert!(call().await.failed.is_empty());
    events.answer(|_| (503, json!({})));
    assert_eq!(call().await.failed[0].error, "ServiceUnavailable");
    assert_eq!(put(&events.take("PutEvents")), Vec::<Vec<String>>::new());
    events.answer(|call| rules(call, "ENABLED"));
    app.advance(TimeDelta::seconds(2)).await;
    assert_eq!(put(&events.take("PutEvents")), [["StopLogging"]]);
}
