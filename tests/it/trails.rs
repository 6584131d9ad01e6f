//! Trails, through the SDK.

use std::collections::HashSet;

use aws_sdk_cloudtrail::error::ProvideErrorMetadata;
use aws_sdk_cloudtrail::types::{EventSelector, ReadWriteType, Tag};
use serde_json::json;

use crate::support::{ACCOUNT, REGION, TestApp};

#[tokio::test]
async fn a_new_trail_has_awss_defaults_and_does_not_log() {
    let app = TestApp::new().await;
    app.bucket("logs").await;
    let sdk = app.sdk();
    let made = sdk
        .create_trail()
        .name("main")
        .s3_bucket_name("logs")
        .send()
        .await
        .unwrap();
    let arn = format!("arn:aws:cloudtrail:{REGION}:{ACCOUNT}:trail/main");
    assert_eq!(made.trail_arn(), Some(arn.as_str()));
    assert_eq!(made.include_global_service_events(), Some(true));
    assert_eq!(made.is_multi_region_trail(), Some(false));
    assert_eq!(made.log_file_validation_enabled(), Some(false));
    assert_eq!(made.sns_topic_arn(), None);

    let trail = sdk
        .get_trail()
        .name(&arn)
        .send()
        .await
        .unwrap()
        .trail
        .unwrap();
    assert_eq!(trail.home_region(), Some(REGION));
    assert_eq!(trail.has_custom_event_selectors(), Some(false));
    let status = sdk.get_trail_status().name("main").send().await.unwrap();
    assert_eq!(status.is_logging(), Some(false));
    // Always there, though empty (facts 2.4).
    assert_eq!(status.time_logging_started(), Some(""));
    assert_eq!(status.latest_delivery_attempt_succeeded(), Some(""));
}

#[tokio::test]
async fn unknown_trails_are_named_by_their_arn() {
    let app = TestApp::new().await;
    let error = app
        .sdk()
        .start_logging()
        .name("nope")
        .send()
        .await
        .unwrap_err()
        .into_service_error();
    assert!(error.is_trail_not_found_exception());
    let text = format!(
        "Unknown trail: arn:aws:cloudtrail:{REGION}:{ACCOUNT}:trail/nope for the user: {ACCOUNT}"
    );
    assert_eq!(error.message(), Some(text.as_str()));
    let error = app
        .sdk()
        .get_trail()
        .name("nope")
        .send()
        .await
        .unwrap_err()
        .into_service_error();
    assert_eq!(
        error.message(),
        Some(format!("Unknown trail: nope for the user: {ACCOUNT}").as_str())
    );
}

#[tokio::test]
async fn a_bucket_that_does_not_exist_is_refused() {
    let app = TestApp::new().await;
    let made = app
        .sdk()
        .create_trail()
        .name("main")
        .s3_bucket_name("nowhere")
        .send()
        .await;
    let error = made.unwrap_err().into_service_error();
    assert!(error.is_s3_bucket_does_not_exist_exception());
    assert_eq!(error.message(), Some("S3 bucket nowhere does not exist!"));
}

#[tokio::test]
async fn a_topic_that_does_not_exist_is_refused() {
    let app = TestApp::new().await;
    app.bucket("logs").await;
    let made = app
        .sdk()
        .create_trail()
        .name("main")
        .s3_bucket_name("logs")
        .sns_topic_name("none")
        .send()
        .await;
    let error = made.unwrap_err().into_service_error();
    assert!(error.is_insufficient_sns_topic_policy_exception());
    assert_eq!(
        error.message(),
        Some("SNS Topic does not exist or the topic policy is incorrect!")
    );
}

#[tokio::test]
async fn a_sixth_trail_and_a_second_of_the_same_name_are_refused() {
    let app = TestApp::new().await;
    app.bucket("logs").await;
    let sdk = app.sdk();
    for name in ["one", "two", "three", "four"] {
        sdk.create_trail()
            .name(name)
            .s3_bucket_name("logs")
            .send()
            .await
            .unwrap();
    }
    let twice = sdk
        .create_trail()
        .name("one")
        .s3_bucket_name("logs")
        .send()
        .await
        .unwrap_err()
        .into_service_error();
    assert!(twice.is_trail_already_exists_exception());
    sdk.create_trail()
        .name("five")
        .s3_bucket_name("logs")
        .send()
        .await
        .unwrap();
    let sixth = sdk
        .create_trail()
        .name("six")
        .s3_bucket_name("logs")
        .send()
        .await
        .unwrap_err()
        .into_service_error();
    assert!(sixth.is_maximum_number_of_trails_exceeded_exception());
    assert_eq!(
        sixth.message(),
        Some(format!("User: {ACCOUNT} already has 5 trails in {REGION}.").as_str())
    );

    // Each call is recorded once, as it was answered.
    let events = app.events().await;
    let of = |name: &'static str| events.iter().filter(move |it| it["eventName"] == name);
    let outcomes: Vec<(&str, Option<&str>)> = of("CreateTrail")
        .map(|it| (&it["requestParameters"]["name"], &it["errorCode"]))
        .map(|(name, code)| (name.as_str().unwrap(), code.as_str()))
        .collect();
    let expected = [
        ("one", None),
        ("two", None),
        ("three", None),
        ("four", None),
        ("one", Some("TrailAlreadyExistsException")),
        ("five", None),
        ("six", Some("MaximumNumberOfTrailsExceededException")),
    ];
    assert_eq!(outcomes, expected);
    assert_eq!(of("GetBucketAcl").count(), expected.len());
    let ids: HashSet<&str> = events
        .iter()
        .filter_map(|it| it["eventID"].as_str())
        .collect();
    assert_eq!(ids.len(), events.len());
    let listed = sdk.list_trails().send().await.unwrap();
    assert_eq!(listed.trails().len(), 5);
}

#[tokio::test]
async fn an_account_does_not_see_anothers_trails() {
    let app = TestApp::new().await;
    let arn = app
        .logging_trail()
        .await
        .get_trail()
        .name("main")
        .send()
        .await
        .unwrap();
    let arn = arn.trail.unwrap().trail_arn.unwrap();
    let other = app.sdk_of("444455556666", REGION);
    assert!(
        other
            .list_trails()
            .send()
            .await
            .unwrap()
            .trails()
            .is_empty()
    );
    let error = other
        .delete_trail()
        .name(&arn)
        .send()
        .await
        .unwrap_err()
        .into_service_error();
    assert!(error.is_trail_not_found_exception(), "{error}");
    assert_eq!(
        app.sdk().list_trails().send().await.unwrap().trails().len(),
        1
    );
}

#[tokio::test]
async fn a_multi_region_trail_has_shadows() {
    let app = TestApp::new().await;
    app.bucket("logs").await;
    let made = app
        .sdk()
        .create_trail()
        .name("main")
        .s3_bucket_name("logs")
        .is_multi_region_trail(true)
        .send()
        .await
        .unwrap();
    let away = app.sdk_of(ACCOUNT, "eu-west-1");
    let shadows = away.describe_trails().send().await.unwrap();
    assert_eq!(shadows.trail_list()[0].home_region(), Some(REGION));
    let own = away
        .describe_trails()
        .include_shadow_trails(false)
        .send()
        .await
        .unwrap();
    assert!(own.trail_list().is_empty());
    let by_name = away
        .get_trail_status()
        .name("main")
        .send()
        .await
        .unwrap_err()
        .into_service_error();
    assert!(by_name.is_trail_not_found_exception());
    away.get_trail_status()
        .name(made.trail_arn().unwrap())
        .send()
        .await
        .unwrap();
    let change = away
        .stop_logging()
        .name(made.trail_arn().unwrap())
        .send()
        .await
        .unwrap_err()
        .into_service_error();
    assert!(change.is_invalid_home_region_exception());
}

#[tokio::test]
async fn an_update_changes_what_is_sent_and_keeps_the_rest() {
    let app = TestApp::new().await;
    app.bucket("logs").await;
    let sdk = app.sdk();
    sdk.create_trail()
        .name("main")
        .s3_bucket_name("logs")
        .s3_key_prefix("a")
        .enable_log_file_validation(true)
        .send()
        .await
        .unwrap();
    let updated = sdk
        .update_trail()
        .name("main")
        .is_multi_region_trail(true)
        .send()
        .await
        .unwrap();
    assert_eq!(updated.s3_key_prefix(), Some("a"));
    assert_eq!(updated.log_file_validation_enabled(), Some(true));
    assert_eq!(updated.is_multi_region_trail(), Some(true));
    let cleared = sdk
        .update_trail()
        .name("main")
        .s3_key_prefix("")
        .send()
        .await
        .unwrap();
    assert_eq!(cleared.s3_key_prefix(), None);
}

#[tokio::test]
async fn tags_are_added_overwritten_and_removed() {
    let app = TestApp::new().await;
    let sdk = app.logging_trail().await;
    let arn = format!("arn:aws:cloudtrail:{REGION}:{ACCOUNT}:trail/main");
    let tag = |key: &str, value: &str| Tag::builder().key(key).value(value).build().unwrap();
    sdk.add_tags()
        .resource_id(&arn)
        .tags_list(tag("team", "a"))
        .tags_list(tag("stage", "test"))
        .send()
        .await
        .unwrap();
    sdk.add_tags()
        .resource_id(&arn)
        .tags_list(tag("team", "b"))
        .send()
        .await
        .unwrap();
    sdk.remove_tags()
        .resource_id(&arn)
        .tags_list(tag("stage", "any"))
        .send()
        .await
        .unwrap();
    let listed = sdk.list_tags().resource_id_list(&arn).send().await.unwrap();
    assert_eq!(
        listed.resource_tag_list()[0].tags_list(),
        [tag("team", "b")]
    );
}

#[tokio::test]
async fn event_selectors_are_kept_and_malformed_ones_refused() {
    let app = TestApp::new().await;
    let sdk = app.logging_trail().await;
    let default = sdk
        .get_event_selectors()
        .trail_name("main")
        .send()
        .await
        .unwrap();
    assert_eq!(
        default.event_selectors()[0].read_write_type(),
        Some(&ReadWriteType::All)
    );
    assert_eq!(
        default.event_selectors()[0].include_management_events(),
        Some(true)
    );

    let writes = EventSelector::builder()
        .read_write_type(ReadWriteType::WriteOnly)
        .build();
    sdk.put_event_selectors()
        .trail_name("main")
        .event_selectors(writes)
        .send()
        .await
        .unwrap();
    let kept = sdk
        .get_event_selectors()
        .trail_name("main")
        .send()
        .await
        .unwrap();
    assert_eq!(
        kept.event_selectors()[0].read_write_type(),
        Some(&ReadWriteType::WriteOnly)
    );
    let trail = sdk
        .get_trail()
        .name("main")
        .send()
        .await
        .unwrap()
        .trail
        .unwrap();
    assert_eq!(trail.has_custom_event_selectors(), Some(true));

    let error = sdk
        .put_event_selectors()
        .trail_name("main")
        .send()
        .await
        .unwrap_err()
        .into_service_error();
    assert!(error.is_invalid_event_selectors_exception());
    let bad = EventSelector::builder()
        .exclude_management_event_sources("s3.amazonaws.com")
        .build();
    let error = sdk
        .put_event_selectors()
        .trail_name("main")
        .event_selectors(bad)
        .send()
        .await
        .unwrap_err();
    assert!(
        error
            .into_service_error()
            .is_invalid_event_selectors_exception()
    );
}

#[tokio::test]
async fn a_deleted_trail_is_gone_with_its_status() {
    let app = TestApp::new().await;
    let sdk = app.logging_trail().await;
    sdk.delete_trail().name("main").send().await.unwrap();
    assert!(
        sdk.describe_trails()
            .send()
            .await
            .unwrap()
            .trail_list()
            .is_empty()
    );
    sdk.create_trail()
        .name("main")
        .s3_bucket_name("logs")
        .send()
        .await
        .unwrap();
    let status = sdk.get_trail_status().name("main").send().await.unwrap();
    assert_eq!(
        (status.is_logging(), status.start_logging_time()),
        (Some(false), None)
    );
}

/// Names and ARNs that no operation takes, and what is wrong with them (facts 2.1).
#[rustfmt::skip]
const BAD_NAMES: &[(&str, &str, &str)] = &[
    ("",            "InvalidTrailNameException", "can not be blank"),
    ("ab",          "InvalidTrailNameException", "Trail name too short. Minimum allowed length: 3 characters. Specified name length: 2 characters."),
    ("-ab",         "InvalidTrailNameException", "Trail name must starts with a letter or number."),
    ("ab_",         "InvalidTrailNameException", "Trail name must ends with a letter or number."),
    ("a b",         "InvalidTrailNameException", "Trail name or ARN can only contain uppercase letters, lowercase letters, numbers, periods (.), hyphens (-), and underscores (_)."),
    ("my-_trail",   "InvalidTrailNameException", "adjacent"),
    ("my..trail",   "InvalidTrailNameException", "adjacent"),
    ("192.0.2.1",   "InvalidTrailNameException", "IP address format"),
    ("arn:aws:cloudtrail:us-east-1:111122223333:trail/a", "CloudTrailARNInvalidException", "arn:aws:cloudtrail:us-east-1:111122223333:trail/a "),
    ("arn:aws:cloudtrail:us-east-1:111122223333:main",    "CloudTrailARNInvalidException", "not valid"),
    ("arn:aws:cloudtrail:us-east-1:11112222:trail/main",  "CloudTrailARNInvalidException", "not valid"),
    ("arn:aws:s3:::logs",                                 "CloudTrailARNInvalidException", "not valid"),
];

#[tokio::test]
async fn every_operation_refuses_the_same_names() {
    let app = TestApp::new().await;
    app.logging_trail().await;
    let (of, of_trail) = (r#"{"Name":"NAME"}"#, r#"{"TrailName":"NAME"}"#);
    let operations = [
        ("CreateTrail", r#"{"Name":"NAME","S3BucketName":"logs"}"#),
        ("DeleteTrail", of),
        ("DescribeTrails", r#"{"trailNameList":["main","NAME"]}"#),
        ("GetEventSelectors", of_trail),
        ("GetInsightSelectors", of_trail),
        ("GetTrail", of),
        ("GetTrailStatus", of),
        ("PutEventSelectors", of_trail),
        (
            "PutInsightSelectors",
            r#"{"TrailName":"NAME","InsightSelectors":[]}"#,
        ),
        ("StartLogging", of),
        ("StopLogging", of),
        ("UpdateTrail", of),
    ];
    let long = "a".repeat(129);
    let too_long = "Trail name too long. Maximum allowed length: 128 characters. Specified name length: 129 characters.";
    for (operation, input) in operations {
        let rows = BAD_NAMES.iter().copied();
        for (name, code, reason) in rows.chain([(&*long, "InvalidTrailNameException", too_long)]) {
            let is_new_trails_arn = operation == "CreateTrail" && name.starts_with("arn:");
            let (code, reason) = match is_new_trails_arn {
                // A new trail has no ARN yet: this is a name like any other.
                true => ("InvalidTrailNameException", "can only contain"),
                false => (code, reason),
            };
            let answer = app
                .cloudtrail(operation, &input.replace("NAME", name))
                .await;
            assert_eq!(answer["__type"], code, "{operation} {name}: {answer}");
            let message = answer["Message"].as_str().unwrap();
            assert!(message.contains(reason), "{operation} {name}: {message}");
        }
    }
}

#[tokio::test]
async fn what_is_wrong_first_is_told() {
    let app = TestApp::new().await;
    app.logging_trail().await;
    let (tag, member) = (json!([{ "Key": "aws:x" }]), "IncludeGlobalServiceEvents");
    for (input, code) in [
        (
            json!({ "Name": "x", "S3BucketName": 5 }),
            "SerializationException",
        ),
        (json!({ "S3BucketName": "none" }), "ValidationException"),
        (
            json!({ "Name": "x", "S3BucketName": "none", "TagsList": tag }),
            "InvalidTrailNameException",
        ),
        (
            json!({ "Name": "new", "S3BucketName": "none", "TagsList": tag }),
            "InvalidTagParameterException",
        ),
        (
            json!({ "Name": "new", "S3BucketName": "none", "IsMultiRegionTrail": true, member: false }),
            "InvalidParameterCombinationException",
        ),
        (
            json!({ "Name": "new", "S3BucketName": "none", "SnsTopicName": "no topic" }),
            "InvalidSnsTopicNameException",
        ),
        (
            json!({ "Name": "new", "S3BucketName": "none", "IsOrganizationTrail": true }),
            "OrganizationsNotInUseException",
        ),
        (
            json!({ "Name": "main", "S3BucketName": "none", "SnsTopicName": "none" }),
            "S3BucketDoesNotExistException",
        ),
        (
            json!({ "Name": "main", "S3BucketName": "logs", "SnsTopicName": "none" }),
            "InsufficientSnsTopicPolicyException",
        ),
        (
            json!({ "Name": "main", "S3BucketName": "logs" }),
            "TrailAlreadyExistsException",
        ),
    ] {
        let answer = app.cloudtrail("CreateTrail", &input.to_string()).await;
        assert_eq!(answer["__type"], code, "{input}: {answer}");
    }
}
