//! Accounts apart: what one has, another neither sees nor changes, by whatever name it asks.

use aws_sdk_cloudtrail::Client;
use aws_sdk_cloudtrail::types::{
    DataResource, EventSelector, LookupAttribute, LookupAttributeKey, ReadWriteType, Tag,
};
use axum::body::Body;
use axum::http::Request;
use chrono::TimeDelta;
use localtrail::api::operations;
use serde_json::{Value, json};

use crate::support::{ACCOUNT, REGION, TestApp};

const OTHER: &str = "444455556666";

fn arn() -> String {
    format!("arn:aws:cloudtrail:{REGION}:{ACCOUNT}:trail/main")
}

/// A trail `main` of [`ACCOUNT`], with tags, that has delivered.
async fn with_trail() -> (TestApp, Client) {
    let app = TestApp::new().await;
    let sdk = app.logging_trail().await;
    let tag = Tag::builder().key("team").value("blue").build().unwrap();
    let add = sdk.add_tags().resource_id(arn()).tags_list(tag);
    add.send().await.unwrap();
    app.advance(TimeDelta::minutes(5)).await;
    (app, sdk)
}

/// All that can be told of the trail, by its owner.
async fn state(sdk: &Client) -> String {
    let trail = sdk.get_trail().name(arn()).send().await.unwrap();
    let status = sdk.get_trail_status().name(arn()).send().await.unwrap();
    let tags = sdk
        .list_tags()
        .resource_id_list(arn())
        .send()
        .await
        .unwrap();
    let selectors = sdk.get_event_selectors().trail_name(arn()).send();
    let selectors = selectors.await.unwrap();
    let text = format!(
        "{:?} {:?} {:?} {:?} {:?}",
        trail.trail(),
        status.is_logging(),
        status.latest_delivery_time(),
        tags.resource_tag_list(),
        selectors.event_selectors(),
    );
    text
}

/// Operations that name a trail, through the SDK; what each gave to another account.
async fn attempts(sdk: &Client, name: &str) -> Vec<(&'static str, Option<String>)> {
    fn outcome<T, E: std::fmt::Debug>(result: Result<T, E>) -> Option<String> {
        result.err().map(|error| format!("{error:?}"))
    }
    let tag = || Tag::builder().key("team").value("red").build().unwrap();
    let selector = EventSelector::builder()
        .read_write_type(ReadWriteType::All)
        .data_resources(
            DataResource::builder()
                .r#type("AWS::S3::Object")
                .values("arn:aws:s3")
                .build(),
        )
        .build();
    vec![
        ("GetTrail", outcome(sdk.get_trail().name(name).send().await)),
        (
            "GetTrailStatus",
            outcome(sdk.get_trail_status().name(name).send().await),
        ),
        (
            "GetEventSelectors",
            outcome(sdk.get_event_selectors().trail_name(name).send().await),
        ),
        (
            "ListTags",
            outcome(sdk.list_tags().resource_id_list(name).send().await),
        ),
        (
            "StopLogging",
            outcome(sdk.stop_logging().name(name).send().await),
        ),
        (
            "StartLogging",
            outcome(sdk.start_logging().name(name).send().await),
        ),
        (
            "UpdateTrail",
            outcome(
                sdk.update_trail()
                    .name(name)
                    .is_multi_region_trail(true)
                    .send()
                    .await,
            ),
        ),
        (
            "PutEventSelectors",
            outcome(
                sdk.put_event_selectors()
                    .trail_name(name)
                    .event_selectors(selector)
                    .send()
                    .await,
            ),
        ),
        (
            "AddTags",
            outcome(
                sdk.add_tags()
                    .resource_id(name)
                    .tags_list(tag())
                    .send()
                    .await,
            ),
        ),
        (
            "RemoveTags",
            outcome(
                sdk.remove_tags()
                    .resource_id(name)
                    .tags_list(tag())
                    .send()
                    .await,
            ),
        ),
        (
            "DeleteTrail",
            outcome(sdk.delete_trail().name(name).send().await),
        ),
    ]
}

#[tokio::test]
async fn no_operation_reaches_another_accounts_trail_by_name_or_arn() {
    let (app, owner) = with_trail().await;
    let before = state(&owner).await;
    let stranger = app.sdk_of(OTHER, REGION);
    for name in ["main", &arn()] {
        for (operation, error) in attempts(&stranger, name).await {
            let error = error.unwrap_or_else(|| panic!("{operation} took {name}"));
            // Tags are asked for by ARN alone; elsewhere the trail is just not there.
            let expected = ["TrailNotFound", "ResourceNotFound", "CloudTrailArnInvalid"];
            assert!(
                expected.iter().any(|code| error.contains(code)),
                "{operation} {name}: {error}"
            );
        }
        assert_eq!(state(&owner).await, before, "{name}");
    }
}

/// Also those that come later: whatever an operation calls the thing it works on, it gets the other account's.
#[tokio::test]
async fn no_operation_of_the_table_tells_or_changes_anything_of_another_account() {
    let (app, owner) = with_trail().await;
    let before = state(&owner).await;
    for name in ["main", &arn()] {
        for operation in operations().names() {
            let body = json!({
                "Name": name, "TrailName": name, "ResourceId": name, "ResourceArn": name,
                "ResourceIdList": [name], "trailNameList": [name], "includeShadowTrails": true,
                "TagsList": [{ "Key": "team", "Value": "red" }],
                "EventSelectors": [{ "ReadWriteType": "All" }], "InsightSelectors": [],
            });
            let scope = format!("{OTHER}/20261122/{REGION}/cloudtrail/aws4_request");
            let request = Request::post("/")
                .header("x-amz-target", format!("CloudTrail_20131101.{operation}"))
                .header("x-amz-date", "20261122T150130Z")
                .header(
                    "authorization",
                    format!("AWS4-HMAC-SHA256 Credential={scope}, SignedHeaders=host, Signature=0"),
                )
                .body(Body::from(body.to_string()))
                .unwrap();
            let answer = app.send(request).await;
            let text = String::from_utf8_lossy(answer.body()).into_owned();
            // The stranger's own events name the trail that was asked for.
            if answer.status().is_success() && operation != "LookupEvents" {
                assert!(!text.contains(ACCOUNT), "{operation} {name}: {text}");
                assert!(!text.contains("team"), "{operation} {name}: {text}");
            }
        }
        assert_eq!(state(&owner).await, before, "{name}");
    }
}

#[tokio::test]
async fn lists_and_events_are_of_the_callers_account() {
    let (app, owner) = with_trail().await;
    let stranger = app.sdk_of(OTHER, REGION);
    let described = stranger.describe_trails().trail_name_list(arn());
    let described = described.send().await;
    assert!(described.is_ok_and(|it| it.trail_list().is_empty()));
    let described = stranger.describe_trails().send().await.unwrap();
    assert!(described.trail_list().is_empty());
    let listed = stranger.list_trails().send().await.unwrap();
    assert!(listed.trails().is_empty());

    let by_name = |value: &str| {
        let attribute = LookupAttribute::builder()
            .attribute_key(LookupAttributeKey::ResourceName)
            .attribute_value(value);
        attribute.build().unwrap()
    };
    for attribute in [by_name("main"), by_name(&arn()), by_name("logs")] {
        let mine = owner.lookup_events().lookup_attributes(attribute.clone());
        let theirs = stranger.lookup_events().lookup_attributes(attribute);
        assert!(theirs.send().await.unwrap().events().is_empty());
        // The owner's answers are no emptier for it.
        drop(mine.send().await.unwrap());
    }
    let seen = stranger.lookup_events().send().await.unwrap();
    for event in seen.events() {
        let record: Value = serde_json::from_str(event.cloud_trail_event().unwrap()).unwrap();
        assert_eq!(record["recipientAccountId"], OTHER);
    }
}

#[tokio::test]
async fn a_page_of_events_cannot_be_gone_on_with_by_another_account() {
    let (app, owner) = with_trail().await;
    let page = owner.lookup_events().max_results(1).send().await.unwrap();
    let token = page.next_token().unwrap();
    let stranger = app.sdk_of(OTHER, REGION);
    let next = stranger.lookup_events().max_results(1).next_token(token);
    let error = next.send().await.unwrap_err().into_service_error();
    assert!(error.is_invalid_next_token_exception(), "{error:?}");
}

#[tokio::test]
async fn a_name_is_free_in_each_account_and_events_go_to_their_own_trail() {
    let (app, owner) = with_trail().await;
    let before = state(&owner).await;
    app.bucket("theirs").await;
    let stranger = app.sdk_of(OTHER, REGION);
    let create = stranger
        .create_trail()
        .name("main")
        .s3_bucket_name("theirs");
    create.send().await.unwrap();
    stranger.start_logging().name("main").send().await.unwrap();
    let update = stranger.update_trail().name("main");
    update.s3_key_prefix("p").send().await.unwrap();
    app.advance(TimeDelta::minutes(5)).await;
    for (bucket, account) in [("logs", ACCOUNT), ("theirs", OTHER)] {
        let files = app.log_files(bucket).await;
        let records: Vec<&Value> = files.iter().flat_map(|(_, records)| records).collect();
        assert!(!records.is_empty(), "{bucket}");
        for record in records {
            assert_eq!(record["recipientAccountId"], account, "{bucket}");
        }
    }
    stranger.delete_trail().name("main").send().await.unwrap();
    let trail = owner.get_trail().name("main").send().await.unwrap();
    assert_eq!(trail.trail().unwrap().s3_key_prefix(), None);
    assert!(before.contains("blue") && state(&owner).await.contains("blue"));
}
