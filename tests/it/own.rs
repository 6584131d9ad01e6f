//! Records of what localtrail itself calls, and that they do not keep it busy for ever.

use aws_sdk_cloudtrail::Client;
use aws_sdk_cloudtrail::types::{AdvancedEventSelector, AdvancedFieldSelector};
use chrono::TimeDelta;
use serde_json::{Value, json};

use crate::support::{ACCOUNT, TestApp, due, names};

const TOPIC: &str = "arn:aws:sns:us-east-1:111122223333:notes";

fn equals(field: &str, value: &str) -> AdvancedFieldSelector {
    AdvancedFieldSelector::builder()
        .field(field)
        .equals(value)
        .build()
        .unwrap()
}

/// A selector of all data events of a type; of management events without one.
fn all(kind: Option<&str>) -> AdvancedEventSelector {
    let category = if kind.is_some() { "Data" } else { "Management" };
    let selector =
        AdvancedEventSelector::builder().field_selectors(equals("eventCategory", category));
    match kind {
        Some(kind) => selector.field_selectors(equals("resources.type", kind)),
        None => selector,
    }
    .build()
    .unwrap()
}

/// A trail `main` to bucket `logs` and topic `notes` that logs management events and data events of both.
async fn trail_that_logs_its_own_bucket_and_topic(app: &TestApp) -> Client {
    app.bucket("logs").await;
    app.topic("notes").await;
    let sdk = app.sdk();
    let trail = sdk.create_trail().name("main").s3_bucket_name("logs");
    trail.sns_topic_name("notes").send().await.unwrap();
    sdk.put_event_selectors()
        .trail_name("main")
        .advanced_event_selectors(all(None))
        .advanced_event_selectors(all(Some("AWS::S3::Object")))
        .advanced_event_selectors(all(Some("AWS::SNS::Topic")))
        .send()
        .await
        .unwrap();
    sdk.start_logging().name("main").send().await.unwrap();
    sdk
}

fn own(events: &[Value]) -> Vec<&Value> {
    let is_own = |event: &&Value| event["userIdentity"]["type"] == "AWSService";
    events.iter().filter(is_own).collect()
}

/// What CreateTrail checks is recorded before it, in CloudTrail's name.
#[tokio::test]
async fn making_a_trail_records_what_it_asks_of_bucket_and_topic() {
    let app = TestApp::new().await;
    trail_that_logs_its_own_bucket_and_topic(&app).await;
    let events = app.events().await;
    assert_eq!(
        names(&events),
        [
            "CreateBucket",
            "CreateTopic",
            "GetBucketAcl",
            "Publish",
            "CreateTrail",
            "PutEventSelectors",
            "StartLogging"
        ]
    );
    let [check, publish] = <[&Value; 2]>::try_from(own(&events)).unwrap();
    assert_eq!(
        check["userIdentity"],
        json!({"type": "AWSService", "invokedBy": "cloudtrail.amazonaws.com"})
    );
    assert_eq!(check["managementEvent"], true);
    assert_eq!(check["readOnly"], true);
    assert_eq!(check["recipientAccountId"], ACCOUNT);
    assert_eq!(publish["eventCategory"], "Data");
    assert_eq!(publish["requestParameters"]["topicArn"], TOPIC);
    // Management events alone can be looked up.
    let found = app.sdk().lookup_events().send().await.unwrap();
    let found: Vec<_> = found
        .events()
        .iter()
        .filter_map(|it| it.username())
        .collect();
    assert_eq!(
        found
            .iter()
            .filter(|name| **name == "cloudtrail.amazonaws.com")
            .count(),
        1
    );
}

#[tokio::test]
async fn a_delivery_rides_along_with_the_next_file_and_makes_none_of_its_own() {
    let app = TestApp::new().await;
    let sdk = trail_that_logs_its_own_bucket_and_topic(&app).await;
    app.advance(TimeDelta::minutes(5)).await;
    let first = app.object_keys("logs").await;
    assert_eq!(first.len(), 1);
    // The file was written and told of; both are recorded, and wait.
    let events = app.events().await;
    let [.., put, publish] = own(&events)[..] else {
        panic!("{events:?}")
    };
    assert_eq!(
        (&put["eventName"], &publish["eventName"]),
        (&json!("PutObject"), &json!("Publish"))
    );
    assert_eq!(put["requestParameters"]["key"], first[0].as_str());
    assert_eq!(put["sourceIPAddress"], "cloudtrail.amazonaws.com");
    assert_eq!(put["userAgent"], "cloudtrail.amazonaws.com");
    assert!(
        put["additionalEventData"]["bytesTransferredIn"]
            .as_u64()
            .unwrap()
            > 0
    );
    app.advance(TimeDelta::minutes(5 * 20)).await;
    assert_eq!(app.object_keys("logs").await, first, "no file of its own");
    assert_eq!(app.events().await.len(), events.len());

    sdk.list_trails().send().await.unwrap();
    app.advance(TimeDelta::minutes(5 * 20)).await;
    let mut files = app.object_keys("logs").await;
    files.retain(|key| !first.contains(key));
    assert_eq!(files.len(), 1, "one file for the one call");
    let records = app.records("logs", &files[0]).await;
    assert_eq!(names(&records), ["PutObject", "Publish", "ListTrails"]);
    assert_eq!(&records[0], put);
}

#[tokio::test]
async fn an_upload_that_runs_twice_is_recorded_once() {
    let app = TestApp::new().await;
    trail_that_logs_its_own_bucket_and_topic(&app).await;
    let before = app.events().await.len();
    app.app.clock.set(app.now() + TimeDelta::minutes(5));
    let (store, delivery) = (&app.app.store, &app.app.worker.delivery);
    let now_ms = app.app.clock.now_ms();
    for steps in [1, 2] {
        // The cut, then the upload: each step once more after it is done.
        let due = due(store, now_ms, 10).await;
        assert_eq!(due.len(), 1);
        for _ in 0..steps {
            delivery.run_step(&due[0], now_ms).await.unwrap();
        }
    }
    let events = app.events().await;
    assert_eq!(names(&events[before..]), ["PutObject"]);
}

#[tokio::test]
async fn deliveries_are_no_data_events_where_no_trail_asks_for_them() {
    let app = TestApp::new().await;
    app.logging_trail().await;
    app.advance(TimeDelta::minutes(5)).await;
    let events = app.events().await;
    assert_eq!(names(&events).last(), Some(&"StartLogging"));
}

#[tokio::test]
async fn a_trails_key_is_used_for_each_file() {
    let app = TestApp::new().await;
    app.bucket("logs").await;
    let key = "arn:aws:kms:us-east-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab";
    let sdk = app.sdk();
    let trail = sdk.create_trail().name("main").s3_bucket_name("logs");
    trail.kms_key_id(key).send().await.unwrap();
    sdk.start_logging().name("main").send().await.unwrap();
    app.advance(TimeDelta::minutes(5 * 20)).await;
    let files = app.object_keys("logs").await;
    assert_eq!(
        files.len(),
        1,
        "its record, a management event, makes no further file"
    );
    let events = app.events().await;
    let used = events.last().unwrap();
    assert_eq!(used["eventName"], "GenerateDataKey");
    assert_eq!(
        used["requestParameters"],
        json!({"keyId": key, "keySpec": "AES_256", "encryptionContext": {
            "aws:cloudtrail:arn": "arn:aws:cloudtrail:us-east-1:111122223333:trail/main",
            "aws:s3:arn": format!("arn:aws:s3:::logs/{}", files[0])}})
    );
}
