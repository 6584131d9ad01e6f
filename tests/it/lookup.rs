//! LookupEvents, through the SDK.

use aws_sdk_cloudtrail::Client;
use aws_sdk_cloudtrail::primitives::DateTime;
use aws_sdk_cloudtrail::types::{LookupAttribute, LookupAttributeKey};
use chrono::TimeDelta;
use serde_json::{Value, json};

use crate::support::{ACCOUNT, REGION, TestApp};

fn by(key: LookupAttributeKey, value: &str) -> LookupAttribute {
    LookupAttribute::builder()
        .attribute_key(key)
        .attribute_value(value)
        .build()
        .unwrap()
}

async fn found(sdk: &Client, key: LookupAttributeKey, value: &str) -> Vec<String> {
    let page = sdk
        .lookup_events()
        .lookup_attributes(by(key, value))
        .send()
        .await
        .unwrap();
    page.events()
        .iter()
        .map(|event| event.event_name().unwrap().to_owned())
        .collect()
}

#[tokio::test]
async fn a_call_is_found_as_soon_as_it_has_returned() {
    let app = TestApp::new().await;
    let sdk = app.logging_trail().await;
    let events = sdk.lookup_events().send().await.unwrap();
    let names: Vec<_> = events
        .events()
        .iter()
        .filter_map(|event| event.event_name())
        .collect();
    assert_eq!(
        names,
        [
            "StartLogging",
            "CreateTrail",
            "GetBucketAcl",
            "CreateBucket"
        ]
    );
    let event = &events.events()[1];
    assert_eq!(event.read_only(), Some("false"));
    assert_eq!(event.username(), Some("root"));
    assert_eq!(event.access_key_id(), Some(ACCOUNT));
    assert_eq!(event.event_source(), Some("cloudtrail.amazonaws.com"));
    let record: Value = serde_json::from_str(event.cloud_trail_event().unwrap()).unwrap();
    assert_eq!(record["eventID"], event.event_id().unwrap());
    assert_eq!(record["requestParameters"]["s3BucketName"], "logs");
}

#[tokio::test]
async fn every_attribute_finds_its_events() {
    let app = TestApp::new().await;
    let sdk = app.logging_trail().await;
    let events = sdk.lookup_events().send().await.unwrap();
    let id = events.events()[0].event_id().unwrap();
    let trail = format!("arn:aws:cloudtrail:{REGION}:{ACCOUNT}:trail/main");
    use LookupAttributeKey as Key;
    for (key, value, expected) in [
        (Key::EventId, id, &["StartLogging"][..]),
        (Key::EventName, "CreateTrail", &["CreateTrail"]),
        (Key::EventName, "createtrail", &[]),
        (
            Key::EventSource,
            "s3.amazonaws.com",
            &["GetBucketAcl", "CreateBucket"],
        ),
        (Key::Username, "cloudtrail.amazonaws.com", &["GetBucketAcl"]),
        (
            Key::ReadOnly,
            "false",
            &["StartLogging", "CreateTrail", "CreateBucket"],
        ),
        (Key::Username, "nobody", &[]),
        (Key::AccessKeyId, ACCOUNT, &["LookupEvents"]),
        (
            Key::ResourceType,
            "AWS::S3::Bucket",
            &["CreateTrail", "GetBucketAcl", "CreateBucket"],
        ),
        (
            Key::ResourceName,
            "logs",
            &["CreateTrail", "GetBucketAcl", "CreateBucket"],
        ),
        (Key::ResourceName, "main", &["StartLogging", "CreateTrail"]),
        (Key::ResourceName, trail.as_str(), &["CreateTrail"]),
    ] {
        let names = found(&sdk, key.clone(), value).await;
        if key == Key::AccessKeyId {
            assert!(names.len() > 3, "{names:?}");
        } else {
            assert_eq!(names, expected, "{key:?} {value}");
        }
    }
}

#[tokio::test]
async fn pages_have_fifty_events_and_join_without_a_gap() {
    let app = TestApp::new().await;
    let records: Vec<Value> = (0..120)
        .map(|n| {
            json!({ "eventSource": "iam.amazonaws.com", "eventName": format!("Call{n:03}"),
                                  "userIdentity": { "accountId": ACCOUNT } })
        })
        .collect();
    app.control("POST", "events", json!({ "Records": records }))
        .await;
    let sdk = app.sdk();
    let (mut names, mut sizes, mut token) = (Vec::new(), Vec::new(), None);
    // The end is fixed, so that the look-ups themselves do not come in between.
    let end = DateTime::from_secs(app.now().timestamp());
    app.advance(TimeDelta::minutes(1)).await;
    loop {
        let page = sdk
            .lookup_events()
            .end_time(end)
            .set_next_token(token)
            .send()
            .await
            .unwrap();
        sizes.push(page.events().len());
        names.extend(
            page.events()
                .iter()
                .map(|event| event.event_name().unwrap().to_owned()),
        );
        token = page.next_token().map(ToOwned::to_owned);
        if token.is_none() {
            break;
        }
    }
    assert_eq!(sizes, [50, 50, 20]);
    let expected: Vec<_> = (0..120).rev().map(|n| format!("Call{n:03}")).collect();
    assert_eq!(names, expected);
}

#[tokio::test]
async fn a_token_serves_its_own_question_only() {
    let app = TestApp::new().await;
    let sdk = app.logging_trail().await;
    let first = sdk.lookup_events().max_results(1).send().await.unwrap();
    let token = first.next_token().unwrap();
    let other = sdk
        .lookup_events()
        .max_results(1)
        .lookup_attributes(by(LookupAttributeKey::EventName, "CreateTrail"));
    let error = other
        .next_token(token)
        .send()
        .await
        .unwrap_err()
        .into_service_error();
    assert!(error.is_invalid_next_token_exception());
    let error = sdk
        .lookup_events()
        .next_token("made up")
        .send()
        .await
        .unwrap_err()
        .into_service_error();
    assert!(error.is_invalid_next_token_exception());
}

#[tokio::test]
async fn bad_questions_get_their_errors() {
    let app = TestApp::new().await;
    let sdk = app.sdk();
    let backwards = sdk
        .lookup_events()
        .start_time(DateTime::from_secs(2_000))
        .end_time(DateTime::from_secs(1_000));
    assert!(
        backwards
            .send()
            .await
            .unwrap_err()
            .into_service_error()
            .is_invalid_time_range_exception()
    );
    let two = sdk
        .lookup_events()
        .lookup_attributes(by(LookupAttributeKey::EventName, "a"))
        .lookup_attributes(by(LookupAttributeKey::EventName, "b"));
    assert!(
        two.send()
            .await
            .unwrap_err()
            .into_service_error()
            .is_invalid_lookup_attributes_exception()
    );
}

#[tokio::test]
async fn events_of_other_accounts_and_regions_are_not_shown() {
    let app = TestApp::new().await;
    app.logging_trail().await;
    let elsewhere = app.sdk_of(ACCOUNT, "eu-west-1");
    elsewhere.list_trails().send().await.unwrap();
    let seen = |page: aws_sdk_cloudtrail::operation::lookup_events::LookupEventsOutput| {
        page.events()
            .iter()
            .filter_map(|event| event.event_name().map(ToOwned::to_owned))
            .collect::<Vec<_>>()
    };
    assert_eq!(
        seen(elsewhere.lookup_events().send().await.unwrap()),
        ["ListTrails"]
    );
    let stranger = app.sdk_of("444455556666", REGION);
    assert_eq!(
        seen(stranger.lookup_events().send().await.unwrap()),
        Vec::<String>::new()
    );
}

#[tokio::test]
async fn the_time_that_is_shown_finds_its_event() {
    let app = TestApp::new().await;
    app.app.clock.set(app.now() + TimeDelta::milliseconds(700));
    let sdk = app.logging_trail().await;
    let shown = sdk.lookup_events().send().await.unwrap();
    let time = *shown.events()[0].event_time().unwrap();
    assert_eq!(time.subsec_nanos(), 0);
    app.advance(TimeDelta::minutes(1)).await;
    for (start, end, expected) in [
        (time.secs(), time.secs(), 5),
        (time.secs(), time.secs() + 1, 5),
        (time.secs() - 1, time.secs() - 1, 0),
        (time.secs() + 1, time.secs() + 1, 0),
    ] {
        let page = sdk.lookup_events();
        let page = page.start_time(DateTime::from_secs(start));
        let page = page.end_time(DateTime::from_secs(end)).send().await;
        assert_eq!(page.unwrap().events().len(), expected, "{start} {end}");
    }
}
