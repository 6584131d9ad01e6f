//! Records of calls through the door.

use std::io::Write;

use axum::body::Body;
use axum::http::{Request, StatusCode};
use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::{Value, json};

use crate::support::{ACCOUNT, TestApp, names};

#[tokio::test]
async fn a_record_has_awss_members_in_awss_order() {
    let app = TestApp::new().await;
    app.logging_trail().await;
    let events = app.events().await;
    let event = events
        .iter()
        .find(|event| event["eventName"] == "CreateTrail")
        .unwrap();
    let keys: Vec<&str> = event
        .as_object()
        .unwrap()
        .keys()
        .map(String::as_str)
        .collect();
    assert_eq!(
        keys,
        [
            "eventVersion",
            "userIdentity",
            "eventTime",
            "eventSource",
            "eventName",
            "awsRegion",
            "sourceIPAddress",
            "userAgent",
            "requestParameters",
            "responseElements",
            "requestID",
            "eventID",
            "readOnly",
            "eventType",
            "managementEvent",
            "recipientAccountId",
            "eventCategory",
        ]
    );
    assert_eq!(event["eventVersion"], "1.11");
    assert_eq!(event["eventTime"], "2026-11-22T15:01:30Z");
    assert_eq!(
        event["userIdentity"],
        json!({ "type": "Root", "principalId": ACCOUNT, "arn": format!("arn:aws:iam::{ACCOUNT}:root"),
                "accountId": ACCOUNT, "accessKeyId": ACCOUNT })
    );
    assert_eq!(
        event["requestParameters"],
        json!({ "name": "main", "s3BucketName": "logs" })
    );
    assert_eq!(
        event["responseElements"]["trailARN"],
        format!("arn:aws:cloudtrail:us-east-1:{ACCOUNT}:trail/main")
    );
    assert_eq!(
        event["responseElements"]["includeGlobalServiceEvents"],
        true
    );
    assert_eq!(event["sourceIPAddress"], "127.0.0.1");
}

#[tokio::test]
async fn the_request_id_is_the_one_that_the_client_saw() {
    let app = TestApp::new().await;
    for (service, path, header) in [
        ("s3", "/", "x-amz-request-id"),
        ("sqs", "/?Action=ListQueues", "x-amzn-requestid"),
    ] {
        let answer = app.call(service, "GET", path, "").await;
        let seen = answer.headers()[header].to_str().unwrap();
        let events = app.events().await;
        assert_eq!(events.last().unwrap()["requestID"], seen, "{service}");
    }
}

#[tokio::test]
async fn errors_are_recorded_without_an_answer() {
    let app = TestApp::new().await;
    app.sdk()
        .delete_trail()
        .name("nope")
        .send()
        .await
        .unwrap_err();
    let event = app.events().await.remove(0);
    assert_eq!(event["errorCode"], "TrailNotFoundException");
    assert!(
        event["errorMessage"]
            .as_str()
            .unwrap()
            .starts_with("Unknown trail: arn:aws:cloudtrail")
    );
    assert_eq!(event["responseElements"], Value::Null);
    assert_eq!(event["requestParameters"], json!({ "name": "nope" }));
}

#[tokio::test]
async fn reads_have_no_response_elements() {
    let app = TestApp::new().await;
    app.sdk().list_trails().send().await.unwrap();
    let event = app.events().await.remove(0);
    assert_eq!(
        (&event["readOnly"], &event["responseElements"]),
        (&json!(true), &Value::Null)
    );
    assert_eq!(event["requestParameters"], Value::Null);
}

#[tokio::test]
async fn the_control_api_leaves_no_records() {
    let app = TestApp::new().await;
    for (method, call) in [
        ("GET", "health"),
        ("GET", "status"),
        ("POST", "flush"),
        ("GET", "metrics"),
        ("GET", "none"),
    ] {
        app.control(method, call, Value::Null).await;
    }
    assert!(app.events().await.is_empty());
}

#[tokio::test]
async fn unsigned_calls_to_cloudtrail_are_refused_in_its_words() {
    let app = TestApp::new().await;
    let request = Request::post("/")
        .header("x-amz-target", "CloudTrail_20131101.ListTrails")
        .header("content-type", "application/x-amz-json-1.1")
        .body(Body::from("{}"));
    let answer = app.send(request.unwrap()).await;
    assert_eq!(answer.status(), StatusCode::BAD_REQUEST);
    let body: Value = serde_json::from_slice(answer.body()).unwrap();
    assert_eq!(
        body,
        json!({ "__type": "MissingAuthenticationTokenException", "Message": "Request is missing Authentication Token" })
    );
    assert!(app.events().await.is_empty());
}

#[tokio::test]
async fn records_are_written_in_an_older_version_if_asked() {
    let app = TestApp::with("--event-version 1.05").await;
    app.sdk().list_trails().send().await.unwrap();
    let event = app.events().await.remove(0);
    assert_eq!(event["eventVersion"], "1.05");
    assert_eq!(event.get("eventCategory"), None);
    assert_eq!(event.get("managementEvent"), None);
}

#[tokio::test]
async fn calls_of_many_at_once_are_all_recorded() {
    let app = TestApp::new().await;
    let calls = (0..200)
        .map(|_| app.sdk())
        .map(|sdk| tokio::spawn(async move { sdk.list_trails().send().await.unwrap() }));
    for call in calls.collect::<Vec<_>>() {
        call.await.unwrap();
    }
    let events = app.events().await;
    assert_eq!(events.len(), 200);
    assert!(names(&events).iter().all(|name| *name == "ListTrails"));
}

/// A call of CloudTrail by the root of [`ACCOUNT`].
fn cloudtrail(target: &str, region: &str) -> axum::http::request::Builder {
    let scope = format!("{ACCOUNT}/20261122/{region}/cloudtrail/aws4_request");
    Request::post("/")
        .header("host", "127.0.0.1:4580")
        .header("x-amz-date", "20261122T150130Z")
        .header("x-amz-target", target)
        .header(
            "authorization",
            format!("AWS4-HMAC-SHA256 Credential={scope}, SignedHeaders=host, Signature=0"),
        )
        .header("content-type", "application/x-amz-json-1.1")
}

#[tokio::test]
async fn what_no_record_would_be_made_of_is_not_run() {
    let app = TestApp::new().await;
    let sdk = app.logging_trail().await;
    for target in [
        "StopLogging",
        "Foo.StopLogging",
        "DynamoDB_20120810.StopLogging",
    ] {
        let request = cloudtrail(target, "us-east-1").body(Body::from(r#"{"Name":"main"}"#));
        let answer = app.send(request.unwrap()).await;
        assert_eq!(answer.status(), 400, "{target}");
        let error: Value = serde_json::from_slice(answer.body()).unwrap();
        assert_eq!(error["__type"], "UnknownOperationException", "{target}");
    }
    let status = sdk.get_trail_status().name("main").send().await.unwrap();
    assert_eq!(status.is_logging(), Some(true));
}

#[tokio::test]
async fn a_body_is_read_as_it_is_recorded() {
    let app = TestApp::new().await;
    app.logging_trail().await;
    let mut zipped = GzEncoder::new(Vec::new(), Compression::fast());
    zipped.write_all(br#"{"Name":"main"}"#).unwrap();
    for (body, status) in [
        (zipped.finish().unwrap(), 200),
        (br#"{"Name":"main"}"#.to_vec(), 400),
    ] {
        let request = cloudtrail("CloudTrail_20131101.StopLogging", "us-east-1")
            .header("content-encoding", "gzip")
            .body(Body::from(body));
        let answer = app.send(request.unwrap()).await;
        assert_eq!(answer.status(), status, "{answer:?}");
    }
    let events = app.events().await;
    let stop = events.iter().find(|it| it["eventName"] == "StopLogging");
    assert_eq!(
        stop.unwrap()["requestParameters"],
        json!({ "name": "main" })
    );
}

/// It becomes part of keys in a bucket and of paths.
#[tokio::test]
async fn what_no_region_could_be_called_is_none() {
    let app = TestApp::new().await;
    for region in [&*"x".repeat(1_200), "us_east_1", "..", "a?b", "US-EAST-1"] {
        let request = cloudtrail("CloudTrail_20131101.ListTrails", region).body(Body::from("{}"));
        assert_eq!(app.send(request.unwrap()).await.status(), 200, "{region}");
        let event = app.events().await.pop().unwrap();
        assert_eq!(event["awsRegion"], "us-east-1", "{region}");
    }
}
