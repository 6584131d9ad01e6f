//! Which calls through the door get into a trail's log files.

use aws_sdk_cloudtrail::types::{
    AdvancedEventSelector, AdvancedFieldSelector, DataResource, EventSelector, ReadWriteType,
};
use chrono::TimeDelta;
use serde_json::json;

use crate::support::{ACCOUNT, TestApp};

/// What a trail asks for.
enum Ask {
    Nothing,
    Basic(EventSelector),
    Advanced(&'static [(&'static str, &'static str, &'static [&'static str])]),
}

fn data(kind: &str, value: &str) -> EventSelector {
    let resource = DataResource::builder().r#type(kind).values(value).build();
    EventSelector::builder()
        .include_management_events(false)
        .data_resources(resource)
        .build()
}

fn advanced(fields: &[(&str, &str, &[&str])]) -> AdvancedEventSelector {
    let mut selector = AdvancedEventSelector::builder().name("asked for");
    for (field, operator, values) in fields {
        let values = Some(values.iter().map(|&value| value.to_owned()).collect());
        let field = AdvancedFieldSelector::builder().field(*field);
        let field = match *operator {
            "Equals" => field.set_equals(values),
            "StartsWith" => field.set_starts_with(values),
            "NotStartsWith" => field.set_not_starts_with(values),
            "NotEquals" => field.set_not_equals(values),
            other => panic!("{other}"),
        };
        selector = selector.field_selectors(field.build().unwrap());
    }
    selector.build().unwrap()
}

/// The calls of the test, but for those that the trail's own making is.
async fn calls(app: &TestApp) {
    app.bucket("data").await;
    app.call("s3", "PUT", "/data/img/a", "x").await;
    app.call("s3", "GET", "/data/img/a", "").await;
    app.call("s3", "GET", "/data/doc/b", "").await;
    app.call("s3", "GET", "/data?list-type=2&prefix=doc/", "")
        .await;
    app.call(
        "sns",
        "POST",
        "/",
        "Action=Publish&Version=2010-03-31&Message=m&TopicArn=arn:aws:sns:us-east-1:111122223333:t",
    )
    .await;
    // Nobody answers these; that they failed is recorded.
    let invoke = "/2015-03-31/functions/resize/invocations";
    app.call("lambda", "POST", invoke, "{}").await;
    app.call("kms", "POST", "/?Action=none", "").await;
    let (_, taken) = app.control("POST", "events", json!({ "Records": [
        { "eventSource": "kms.amazonaws.com", "eventName": "Decrypt", "readOnly": true, "eventCategory": "NetworkActivity",
          "eventType": "AwsVpceEvent", "errorCode": "VpceAccessDenied", "vpcEndpointId": "vpce-0abc",
          "userIdentity": { "type": "AWSAccount", "accountId": ACCOUNT } },
        { "eventSource": "kms.amazonaws.com", "eventName": "ListKeys", "readOnly": true,
          "userIdentity": { "type": "Root", "accountId": ACCOUNT } },
        { "eventSource": "dynamodb.amazonaws.com", "eventName": "GetItem", "readOnly": true, "eventCategory": "Data",
          "managementEvent": false, "userIdentity": { "type": "Root", "accountId": ACCOUNT },
          "resources": [{ "type": "AWS::DynamoDB::Table", "ARN": "arn:aws:dynamodb:us-east-1:111122223333:table/t" }] },
    ] })).await;
    assert_eq!(taken["recorded"].as_array().unwrap().len(), 3, "{taken}");
}

#[tokio::test]
async fn a_data_event_is_delivered_only_where_it_is_asked_for() {
    const ALL: &[&str] = &["CreateBucket", "ListKeys"];
    for (row, (ask, expected)) in [
        (Ask::Nothing, ALL),
        (
            Ask::Basic(
                EventSelector::builder()
                    .exclude_management_event_sources("kms.amazonaws.com")
                    .build(),
            ),
            &["CreateBucket"],
        ),
        (
            Ask::Basic(
                EventSelector::builder()
                    .read_write_type(ReadWriteType::ReadOnly)
                    .build(),
            ),
            &["ListKeys"],
        ),
        (
            Ask::Basic(data("AWS::S3::Object", "arn:aws:s3")),
            &["PutObject", "GetObject", "GetObject", "ListObjects"],
        ),
        (
            Ask::Basic(data("AWS::S3::Object", "arn:aws:s3:::data/img")),
            &["PutObject", "GetObject"],
        ),
        (
            Ask::Basic(data("AWS::S3::Object", "arn:aws:s3:::logs/")),
            &[],
        ),
        (
            Ask::Basic(data("AWS::Lambda::Function", "arn:aws:lambda")),
            &["Invoke"],
        ),
        (
            Ask::Basic(data(
                "AWS::Lambda::Function",
                "arn:aws:lambda:us-east-1:111122223333:function:resize",
            )),
            &["Invoke"],
        ),
        (
            Ask::Basic(data(
                "AWS::DynamoDB::Table",
                "arn:aws:dynamodb:us-east-1:111122223333:table/t",
            )),
            &["GetItem"],
        ),
        (
            Ask::Advanced(&[("eventCategory", "Equals", &["Management"])]),
            ALL,
        ),
        (
            Ask::Advanced(&[
                ("eventCategory", "Equals", &["Management"]),
                ("eventSource", "NotEquals", &["kms.amazonaws.com"]),
            ]),
            &["CreateBucket"],
        ),
        (
            Ask::Advanced(&[
                ("eventCategory", "Equals", &["Data"]),
                ("resources.type", "Equals", &["AWS::S3::Object"]),
                (
                    "resources.ARN",
                    "NotStartsWith",
                    &["arn:aws:s3:::data/img/"],
                ),
            ]),
            &["GetObject", "ListObjects"],
        ),
        (
            Ask::Advanced(&[
                ("eventCategory", "Equals", &["Data"]),
                ("resources.type", "Equals", &["AWS::S3::Object"]),
                ("readOnly", "Equals", &["false"]),
            ]),
            &["PutObject"],
        ),
        (
            Ask::Advanced(&[
                ("eventCategory", "Equals", &["Data"]),
                ("resources.type", "Equals", &["AWS::SNS::Topic"]),
                ("resources.ARN", "StartsWith", &["arn:aws:sns:us-east-1:"]),
            ]),
            &["Publish"],
        ),
        (
            Ask::Advanced(&[
                ("eventCategory", "Equals", &["NetworkActivity"]),
                ("eventSource", "Equals", &["kms.amazonaws.com"]),
                ("errorCode", "Equals", &["VpceAccessDenied"]),
            ]),
            &["Decrypt"],
        ),
    ]
    .into_iter()
    .enumerate()
    {
        let app = TestApp::new().await;
        let sdk = app.logging_trail().await;
        let put = sdk.put_event_selectors().trail_name("main");
        match ask {
            Ask::Nothing => {}
            Ask::Basic(selector) => drop(put.event_selectors(selector).send().await.unwrap()),
            Ask::Advanced(fields) => {
                let selector = advanced(fields);
                put.advanced_event_selectors(selector).send().await.unwrap();
            }
        }
        // What making the trail has left goes into files of its own.
        app.control("POST", "flush", json!(null)).await;
        let before = app.log_files("logs").await.len();
        app.advance(TimeDelta::minutes(5)).await;
        calls(&app).await;
        app.advance(TimeDelta::minutes(5)).await;
        let files = app.log_files("logs").await;
        let slot = "20261122T1510Z";
        let got: Vec<_> = files
            .iter()
            .filter(|(key, _)| key.contains(slot))
            .flat_map(|(_, records)| records)
            // The record of the first file's delivery rides along where data events of its bucket are taken.
            .filter(|record| record["userIdentity"]["type"] != "AWSService")
            .map(|record| record["eventName"].as_str().unwrap())
            .collect();
        assert!(files.len() <= before + 2);
        assert_eq!(got, expected, "row {row}");
    }
}

#[tokio::test]
async fn a_trail_without_recursive_logging_leaves_out_cloudtrails_own_deliveries() {
    let app = TestApp::new().await;
    let sdk = app.logging_trail().await;
    let put = sdk.put_event_selectors().trail_name("main");
    let selectors = data("AWS::S3::Object", "arn:aws:s3");
    put.event_selectors(selectors).send().await.unwrap();
    let record = |name: &str, service: Option<&str>| {
        json!({
            "eventSource": "s3.amazonaws.com", "eventName": name, "eventCategory": "Data", "managementEvent": false,
            "userIdentity": { "type": "AWSService", "accountId": ACCOUNT, "invokedBy": service },
            "recipientAccountId": ACCOUNT,
            "resources": [{ "type": "AWS::S3::Object", "ARN": "arn:aws:s3:::logs/k" }],
        })
    };
    let cloudtrail = Some("cloudtrail.amazonaws.com");
    let records = json!({ "Records": [
        record("PutObject", cloudtrail),
        record("GetObject", cloudtrail),
        record("PutObject", Some("config.amazonaws.com")),
        record("PutObject", None),
    ] });
    let by = |recursive: bool| json!({ "Name": "main", "RecursiveLogging": recursive }).to_string();
    for (recursive, expected) in [(true, 4), (false, 3), (true, 4)] {
        let answer = app.cloudtrail("UpdateTrail", &by(recursive)).await;
        assert_eq!(answer["RecursiveLogging"], recursive, "{answer}");
        app.control("POST", "flush", json!(null)).await;
        app.advance(TimeDelta::minutes(5)).await;
        let before: usize = count(&app).await;
        app.control("POST", "events", records.clone()).await;
        app.control("POST", "flush", json!(null)).await;
        assert_eq!(count(&app).await - before, expected, "{recursive}");
    }
    let answer = app
        .cloudtrail("UpdateTrail", r#"{"Name":"main","RecursiveLogging":"no"}"#)
        .await;
    assert_eq!(answer["__type"], "SerializationException");
}

/// Object events in the log files whose resource is the imported ones'.
async fn count(app: &TestApp) -> usize {
    let files = app.log_files("logs").await;
    let records = files.iter().flat_map(|(_, records)| records);
    records
        .filter(|record| record["resources"][0]["ARN"] == "arn:aws:s3:::logs/k")
        .count()
}
