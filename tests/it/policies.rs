//! Policies of buckets and topics: asked when a trail is made or changed, and at each delivery.

use aws_sdk_cloudtrail::Client;
use aws_sdk_cloudtrail::error::ProvideErrorMetadata;
use aws_sdk_cloudtrail::operation::get_trail_status::GetTrailStatusOutput;
use axum::http::StatusCode;
use chrono::TimeDelta;
use serde_json::{Value, json};

use crate::support::{ACCOUNT, TestApp, allow, due, names};

const TRAIL: &str = "arn:aws:cloudtrail:us-east-1:111122223333:trail/main";
const WRITE: [&str; 2] = ["s3:GetBucketAcl", "s3:PutObject"];

/// What AWS's guide gives the bucket `logs`, for a trail `main` without a prefix.
fn guide() -> String {
    let service = json!({ "Service": "cloudtrail.amazonaws.com" });
    let source = json!({ "aws:SourceArn": TRAIL });
    let write = json!({ "aws:SourceArn": TRAIL, "s3:x-amz-acl": "bucket-owner-full-control" });
    json!({
        "Version": "2012-10-17",
        "Statement": [
            {
                "Sid": "AWSCloudTrailAclCheck20150319",
                "Effect": "Allow",
                "Principal": service,
                "Action": "s3:GetBucketAcl",
                "Resource": "arn:aws:s3:::logs",
                "Condition": { "StringEquals": source },
            },
            {
                "Sid": "AWSCloudTrailWrite20150319",
                "Effect": "Allow",
                "Principal": service,
                "Action": "s3:PutObject",
                "Resource": format!("arn:aws:s3:::logs/AWSLogs/{ACCOUNT}/*"),
                "Condition": { "StringEquals": write },
            },
        ],
    })
    .to_string()
}

async fn set_bucket_policy(app: &TestApp, policy: &str) {
    let answer = app.call("s3", "PUT", "/logs?policy", policy).await;
    assert_eq!(answer.status(), StatusCode::NO_CONTENT, "{answer:?}");
}

async fn set_topic_policy(app: &TestApp, topic: &str, policy: &str) {
    let form = form_urlencoded::Serializer::new(String::new())
        .extend_pairs([
            ("Action", "SetTopicAttributes"),
            ("Version", "2010-03-31"),
            ("TopicArn", topic),
            ("AttributeName", "Policy"),
            ("AttributeValue", policy),
        ])
        .finish();
    let answer = app.call("sns", "POST", "/", &form).await;
    assert_eq!(answer.status(), StatusCode::OK, "{answer:?}");
}

async fn status(sdk: &Client) -> GetTrailStatusOutput {
    sdk.get_trail_status().name("main").send().await.unwrap()
}

#[tokio::test]
async fn a_trail_is_made_only_where_the_bucket_lets_cloudtrail_in() {
    let app = TestApp::new().await;
    app.closed_bucket("logs").await;
    let sdk = app.sdk();
    let below = format!("arn:aws:s3:::logs/AWSLogs/{ACCOUNT}/*");
    let prefixed = format!("arn:aws:s3:::logs/pre/AWSLogs/{ACCOUNT}/*");
    let bucket = "arn:aws:s3:::logs";
    for (policy, prefix, is_enough) in [
        (None, None, false),
        (Some(allow(&["s3:PutObject"], &[&below])), None, false),
        (Some(allow(&["s3:GetBucketAcl"], &[bucket])), None, false),
        (Some(allow(&WRITE, &[bucket, &prefixed])), None, false),
        (Some(allow(&WRITE, &[bucket, &below])), Some("pre"), false),
        (
            Some(guide().replace("trail/main", "trail/other")),
            None,
            false,
        ),
        (
            Some(guide().replace("cloudtrail.amazonaws", "config.amazonaws")),
            None,
            false,
        ),
        (Some(guide()), Some("pre"), false),
        (Some(allow(&WRITE, &[bucket, &prefixed])), Some("pre"), true),
        (Some(guide()), None, true),
    ] {
        if let Some(policy) = &policy {
            set_bucket_policy(&app, policy).await;
        }
        let made = sdk.create_trail().name("main").s3_bucket_name("logs");
        let made = made
            .set_s3_key_prefix(prefix.map(str::to_owned))
            .send()
            .await;
        assert_eq!(made.is_ok(), is_enough, "{policy:?} {prefix:?}");
        if made.is_ok() {
            sdk.delete_trail().name("main").send().await.unwrap();
            continue;
        }
        let error = made.unwrap_err().into_service_error();
        assert!(
            error.is_insufficient_s3_bucket_policy_exception(),
            "{error}"
        );
        let text = "Incorrect S3 bucket policy is detected for bucket: logs";
        assert_eq!(error.message(), Some(text));
    }
}

#[tokio::test]
async fn the_bucket_is_asked_before_the_topic_and_whether_it_exists_before_its_policy() {
    let app = TestApp::new().await;
    let sdk = app.sdk();
    app.closed_topic("notes").await;
    let make = || {
        let make = sdk.create_trail().name("main").s3_bucket_name("logs");
        make.sns_topic_name("notes").send()
    };
    let refused = make().await.unwrap_err().into_service_error();
    assert!(refused.is_s3_bucket_does_not_exist_exception(), "{refused}");
    app.closed_bucket("logs").await;
    let refused = make().await.unwrap_err().into_service_error();
    assert!(
        refused.is_insufficient_s3_bucket_policy_exception(),
        "{refused}"
    );
    set_bucket_policy(&app, &guide()).await;
    let refused = make().await.unwrap_err().into_service_error();
    assert!(
        refused.is_insufficient_sns_topic_policy_exception(),
        "{refused}"
    );
    let text = "SNS Topic does not exist or the topic policy is incorrect!";
    assert_eq!(refused.message(), Some(text));
    app.topic("notes").await;
    make().await.unwrap();
}

#[tokio::test]
async fn an_update_asks_about_what_it_sets() {
    let app = TestApp::new().await;
    app.closed_bucket("logs").await;
    set_bucket_policy(&app, &guide()).await;
    app.closed_bucket("closed").await;
    app.closed_topic("notes").await;
    let sdk = app.sdk();
    let make = sdk.create_trail().name("main").s3_bucket_name("logs");
    make.send().await.unwrap();
    let update = || sdk.update_trail().name("main");
    let refused = update().s3_bucket_name("closed").send().await;
    assert!(
        refused
            .unwrap_err()
            .into_service_error()
            .is_insufficient_s3_bucket_policy_exception()
    );
    let refused = update().s3_key_prefix("pre").send().await;
    assert!(
        refused
            .unwrap_err()
            .into_service_error()
            .is_insufficient_s3_bucket_policy_exception()
    );
    let refused = update().sns_topic_name("notes").send().await;
    assert!(
        refused
            .unwrap_err()
            .into_service_error()
            .is_insufficient_sns_topic_policy_exception()
    );
    update().is_multi_region_trail(true).send().await.unwrap();
    let trail = sdk
        .get_trail()
        .name("main")
        .send()
        .await
        .unwrap()
        .trail
        .unwrap();
    assert_eq!(trail.s3_bucket_name(), Some("logs"));
    assert_eq!((trail.s3_key_prefix(), trail.sns_topic_arn()), (None, None));
}

#[tokio::test]
async fn a_policy_that_breaks_holds_files_up_until_it_is_mended() {
    let deny = json!({ "Effect": "Deny", "Principal": "*", "Action": "s3:PutObject", "Resource": "arn:aws:s3:::logs/*" });
    let mut denying: Value = serde_json::from_str(&guide()).unwrap();
    denying["Statement"].as_array_mut().unwrap().push(deny);
    for broken in [
        Some(denying.to_string()),
        Some(guide().replace("logs/AWSLogs", "logs/Other")),
        None,
    ] {
        let app = TestApp::new().await;
        let sdk = app.logging_trail().await;
        set_bucket_policy(&app, &guide()).await;
        app.advance(TimeDelta::minutes(5)).await;
        assert_eq!(status(&sdk).await.latest_delivery_error(), None);
        let before = app.log_files("logs").await.len();

        match &broken {
            Some(policy) => set_bucket_policy(&app, policy).await,
            None => drop(app.call("s3", "DELETE", "/logs?policy", "").await),
        }
        sdk.list_trails().send().await.unwrap();
        app.advance(TimeDelta::hours(2)).await;
        let failing = status(&sdk).await;
        assert_eq!(
            failing.latest_delivery_error(),
            Some("AccessDenied"),
            "{broken:?}"
        );
        assert_eq!(
            failing.latest_delivery_time().unwrap().secs(),
            1_795_359_900
        );
        assert_eq!(app.log_files("logs").await.len(), before);
        let (_, flushed) = app.control("POST", "flush", json!({})).await;
        assert_eq!(
            flushed["failed"][0],
            json!({ "trail": TRAIL, "error": "AccessDenied" })
        );

        set_bucket_policy(&app, &guide()).await;
        app.advance(TimeDelta::hours(2)).await;
        let mended = status(&sdk).await;
        assert_eq!(mended.latest_delivery_error(), None);
        assert!(mended.latest_delivery_time().unwrap().secs() > 1_795_359_900);
        let files = app.log_files("logs").await;
        let lists = files.iter().flat_map(|file| names(&file.1));
        assert_eq!(
            lists.filter(|name| *name == "ListTrails").count(),
            1,
            "{broken:?}"
        );
    }
}

#[tokio::test]
async fn a_topic_policy_that_breaks_holds_up_messages_but_no_files() {
    let app = TestApp::new().await;
    app.bucket("logs").await;
    let topic = app.topic("notes").await;
    let sdk = app.sdk();
    let make = sdk.create_trail().name("main").s3_bucket_name("logs");
    make.sns_topic_name("notes").send().await.unwrap();
    set_topic_policy(&app, &topic, &allow(&["SNS:Subscribe"], &[&topic])).await;
    sdk.start_logging().name("main").send().await.unwrap();
    app.advance(TimeDelta::minutes(5)).await;
    let failing = status(&sdk).await;
    assert_eq!(
        failing.latest_notification_error(),
        Some("AuthorizationError")
    );
    assert_eq!(
        (
            failing.latest_delivery_error(),
            failing.latest_notification_time()
        ),
        (None, None)
    );
    assert_eq!(app.log_files("logs").await.len(), 1);

    set_topic_policy(&app, &topic, &allow(&["SNS:Publish"], &[&topic])).await;
    app.advance(TimeDelta::hours(1)).await;
    let mended = status(&sdk).await;
    assert_eq!(mended.latest_notification_error(), None);
    assert!(mended.latest_notification_time().is_some());
}

/// Each region of a multi-region trail is let in by the account that CloudTrail had there.
#[tokio::test]
async fn a_policy_of_2014_serves_the_regions_it_names() {
    let app = TestApp::new().await;
    app.closed_bucket("logs").await;
    let of_2014 = allow(&WRITE, &["arn:aws:s3:::logs", "arn:aws:s3:::logs/*"]);
    let account = r#"{"AWS":["arn:aws:iam::086441151436:root"]}"#;
    set_bucket_policy(
        &app,
        &of_2014.replace(r#"{"Service":"cloudtrail.amazonaws.com"}"#, account),
    )
    .await;
    let sdk = app.sdk();
    let make = sdk.create_trail().name("main").s3_bucket_name("logs");
    make.is_multi_region_trail(true).send().await.unwrap();
    sdk.start_logging().name("main").send().await.unwrap();
    let there = app.sdk_of(ACCOUNT, "eu-west-1");
    there.list_trails().send().await.unwrap();
    app.advance(TimeDelta::minutes(5)).await;
    assert_eq!(status(&sdk).await.latest_delivery_error(), None);
    let there = there.get_trail_status().name(TRAIL).send().await.unwrap();
    assert_eq!(there.latest_delivery_error(), Some("AccessDenied"));
}

#[tokio::test]
async fn the_last_files_of_a_deleted_trail_are_written_as_that_trails() {
    let app = TestApp::new().await;
    app.closed_bucket("logs").await;
    set_bucket_policy(&app, &guide()).await;
    let sdk = app.sdk();
    let make = sdk.create_trail().name("main").s3_bucket_name("logs");
    make.send().await.unwrap();
    sdk.start_logging().name("main").send().await.unwrap();
    app.app.clock.set(app.now() + TimeDelta::minutes(5));
    let cut = due(&app.app.store, app.now().timestamp_millis(), 1).await;
    let now_ms = app.now().timestamp_millis();
    app.app
        .worker
        .delivery
        .run_step(&cut[0], now_ms)
        .await
        .unwrap();
    sdk.delete_trail().name("main").send().await.unwrap();
    assert_eq!(app.settle().await.failed, []);
    assert_eq!(app.log_files("logs").await.len(), 1);
}

#[tokio::test]
async fn with_the_check_off_no_policy_is_asked() {
    let app = TestApp::with("--bucket-policy-check off").await;
    app.closed_bucket("logs").await;
    app.closed_topic("notes").await;
    let sdk = app.sdk();
    let make = sdk.create_trail().name("main").s3_bucket_name("logs");
    make.sns_topic_name("notes").send().await.unwrap();
    sdk.start_logging().name("main").send().await.unwrap();
    app.advance(TimeDelta::minutes(5)).await;
    let status = status(&sdk).await;
    assert!(status.latest_delivery_time().is_some() && status.latest_notification_time().is_some());
}

#[tokio::test]
async fn the_policy_templates_lie_in_a_bucket_of_each_region() {
    let app = TestApp::new().await;
    for (bucket, key, status) in [
        (
            "awscloudtrail-policy-us-east-1",
            "policy/S3/AWSCloudTrail-S3BucketPolicy-2014-12-17.json",
            StatusCode::OK,
        ),
        (
            "awscloudtrail-policy-eu-west-1",
            "policy/SNS/AWSCloudTrail-SnsTopicPolicy-2014-12-17.json",
            StatusCode::OK,
        ),
        (
            "awscloudtrail-policy-us-east-1",
            "policy/other.json",
            StatusCode::NOT_FOUND,
        ),
    ] {
        let answer = app.call("s3", "GET", &format!("/{bucket}/{key}"), "").await;
        assert_eq!(answer.status(), status, "{bucket} {key}");
        let head = app
            .call("s3", "HEAD", &format!("/{bucket}/{key}"), "")
            .await;
        assert_eq!(head.status(), status, "{bucket} {key}");
        if status == StatusCode::OK {
            let template: Value = serde_json::from_slice(answer.body()).unwrap();
            assert!(template["Statement"].is_array());
            assert_eq!(
                head.headers()["content-length"],
                answer.body().len().to_string()
            );
        }
    }
    let put =
        "/awscloudtrail-policy-us-east-1/policy/S3/AWSCloudTrail-S3BucketPolicy-2014-12-17.json";
    assert_eq!(
        app.call("s3", "PUT", put, "{}").await.status(),
        StatusCode::NOT_FOUND
    );
}
