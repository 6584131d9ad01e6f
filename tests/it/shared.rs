//! Calls about another account's resources: a record for each of the two accounts.

use axum::body::Body;
use axum::http::{Request, StatusCode};
use serde_json::{Value, json};

use crate::support::{ACCOUNT, TestApp, names};

const OTHER: &str = "444455556666";

/// A call of another account's root.
async fn call_of_other(app: &TestApp, service: &str, method: &str, path: &str, body: &str) {
    let scope = format!("{OTHER}/20261122/us-east-1/{service}/aws4_request");
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header("host", "127.0.0.1:4580")
        .header("x-amz-date", "20261122T150130Z")
        .header(
            "authorization",
            format!("AWS4-HMAC-SHA256 Credential={scope}, SignedHeaders=host, Signature=0"),
        )
        .header("content-type", "application/x-www-form-urlencoded")
        .body(Body::from(body.to_owned()));
    let answer = app.send(request.unwrap()).await;
    assert_eq!(answer.status(), StatusCode::OK, "{answer:?}");
}

/// The last two events: the caller's and the owner's record of one call.
fn pair(events: &[Value]) -> (&Value, &Value) {
    let [.., callers, owners] = events else {
        panic!("{events:?}")
    };
    assert_eq!(callers["recipientAccountId"], OTHER);
    assert_eq!(owners["recipientAccountId"], ACCOUNT);
    assert!(callers["sharedEventID"].is_string());
    assert_eq!(callers["sharedEventID"], owners["sharedEventID"]);
    assert_ne!(callers["eventID"], owners["eventID"]);
    assert_eq!(callers["requestID"], owners["requestID"]);
    assert_eq!(
        owners["userIdentity"],
        json!({"type": "AWSAccount", "principalId": OTHER, "accountId": OTHER})
    );
    assert_eq!(callers["userIdentity"]["type"], "Root");
    (callers, owners)
}

#[tokio::test]
async fn a_role_of_another_account_is_assumed_in_both() {
    let app = TestApp::new().await;
    let form = format!(
        "Action=AssumeRole&Version=2011-06-15&RoleSessionName=s1&RoleArn=arn:aws:iam::{ACCOUNT}:role/Dev"
    );
    call_of_other(&app, "sts", "POST", "/", &form).await;
    let events = app.events().await;
    assert_eq!(events.len(), 2);
    let (callers, owners) = pair(&events);
    for event in [callers, owners] {
        assert_eq!(event["resources"][0]["accountId"], ACCOUNT);
        assert_eq!(event["requestParameters"]["roleSessionName"], "s1");
    }
    // Each account looks up its own record alone.
    for (account, event) in [(OTHER, callers), (ACCOUNT, owners)] {
        let found = app
            .sdk_of(account, "us-east-1")
            .lookup_events()
            .send()
            .await;
        let found = found.unwrap();
        let ids: Vec<_> = found
            .events()
            .iter()
            .filter_map(|it| it.event_id())
            .collect();
        assert_eq!(ids, [event["eventID"].as_str().unwrap()], "{account}");
    }
}

#[tokio::test]
async fn an_object_in_another_accounts_bucket_is_read_in_both() {
    let app = TestApp::new().await;
    app.bucket("shared").await;
    app.call("s3", "PUT", "/shared/key", "content").await;
    assert_eq!(
        app.events().await.len(),
        2,
        "the owner's own calls are its alone"
    );
    call_of_other(&app, "s3", "GET", "/shared/key", "").await;
    let events = app.events().await;
    let (callers, owners) = pair(&events);
    for event in [callers, owners] {
        assert_eq!(event["eventName"], "GetObject");
        assert_eq!(event["resources"][1]["accountId"], ACCOUNT);
    }
}

#[tokio::test]
async fn a_call_without_credentials_is_the_bucket_owners_alone() {
    let app = TestApp::new().await;
    app.bucket("public").await;
    app.call("s3", "PUT", "/public/key", "content").await;
    let request = Request::get("/public/key").header("host", "127.0.0.1:4580");
    let answer = app.send(request.body(Body::empty()).unwrap()).await;
    assert_eq!(answer.status(), StatusCode::OK);
    let events = app.events().await;
    assert_eq!(names(&events), ["CreateBucket", "PutObject", "GetObject"]);
    assert_eq!(events[2]["recipientAccountId"], ACCOUNT);
    assert_eq!(events[2].get("sharedEventID"), None);
}
