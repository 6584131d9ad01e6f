//! From events to log files, notifications and the trail's status.

use aws_sdk_cloudtrail::types::{EventSelector, ReadWriteType};
use chrono::TimeDelta;
use serde_json::{Value, json};

use crate::support::{ACCOUNT, TestApp, due, names};

#[tokio::test]
async fn a_slot_becomes_one_log_file() {
    let app = TestApp::new().await;
    let sdk = app.logging_trail().await;
    sdk.list_trails().send().await.unwrap();
    app.advance(TimeDelta::minutes(3)).await;
    assert!(
        app.log_files("logs").await.is_empty(),
        "the slot has not ended"
    );
    app.advance(TimeDelta::minutes(2)).await;
    let files = app.log_files("logs").await;
    let [(key, records)] = files.as_slice() else {
        panic!("{files:?}")
    };
    assert!(key.starts_with(&format!(
        "AWSLogs/{ACCOUNT}/CloudTrail/us-east-1/2026/11/22/{ACCOUNT}_CloudTrail_us-east-1_20261122T1505Z_"
    )));
    assert_eq!(names(records), ["StartLogging", "ListTrails"]);
    let (headers, _) = app.object("logs", key).await;
    assert_eq!(headers["content-type"], "application/json");
    assert_eq!(headers["content-encoding"], "gzip");

    let status = sdk.get_trail_status().name("main").send().await.unwrap();
    assert_eq!(status.latest_delivery_time().unwrap().secs(), 1_795_359_900);
    assert_eq!(
        status.latest_delivery_attempt_succeeded(),
        Some("2026-11-22T15:05:00Z")
    );
    assert_eq!(status.latest_delivery_error(), None);
}

#[tokio::test]
async fn no_events_make_no_file() {
    let app = TestApp::new().await;
    let sdk = app.logging_trail().await;
    sdk.stop_logging().name("main").send().await.unwrap();
    app.advance(TimeDelta::minutes(5)).await;
    let before = app.log_files("logs").await.len();
    app.advance(TimeDelta::days(1)).await;
    assert_eq!(app.log_files("logs").await.len(), before);
}

#[tokio::test]
async fn a_trail_gets_what_its_selectors_and_regions_ask_for() {
    let app = TestApp::new().await;
    for bucket in ["one", "all"] {
        app.bucket(bucket).await;
    }
    let sdk = app.sdk();
    sdk.create_trail()
        .name("one")
        .s3_bucket_name("one")
        .send()
        .await
        .unwrap();
    sdk.create_trail()
        .name("all")
        .s3_bucket_name("all")
        .is_multi_region_trail(true)
        .send()
        .await
        .unwrap();
    let writes = EventSelector::builder()
        .read_write_type(ReadWriteType::WriteOnly)
        .build();
    sdk.put_event_selectors()
        .trail_name("one")
        .event_selectors(writes)
        .send()
        .await
        .unwrap();
    for name in ["one", "all"] {
        sdk.start_logging().name(name).send().await.unwrap();
    }
    app.sdk_of(ACCOUNT, "eu-west-1")
        .list_trails()
        .send()
        .await
        .unwrap();
    sdk.list_trails().send().await.unwrap();
    app.sdk_of("444455556666", "us-east-1")
        .list_trails()
        .send()
        .await
        .unwrap();
    app.advance(TimeDelta::minutes(5)).await;

    let one = app.log_files("one").await;
    assert_eq!(
        one.iter().map(|file| names(&file.1)).collect::<Vec<_>>(),
        [["StartLogging", "StartLogging"]]
    );
    let all = app.log_files("all").await;
    let all: Vec<_> = all
        .iter()
        .map(|(key, records)| (key.contains("/eu-west-1/"), names(records)))
        .collect();
    assert_eq!(
        all,
        [
            (true, vec!["ListTrails"]),
            (false, vec!["StartLogging", "ListTrails"])
        ]
    );
}

#[tokio::test]
async fn each_file_is_told_to_the_topic() {
    let app = TestApp::new().await;
    app.bucket("logs").await;
    app.topic("notes").await;
    let sdk = app.sdk();
    sdk.create_trail()
        .name("main")
        .s3_bucket_name("logs")
        .sns_topic_name("notes")
        .send()
        .await
        .unwrap();
    sdk.start_logging().name("main").send().await.unwrap();
    app.advance(TimeDelta::minutes(5)).await;
    let (_, answer) = app.control("GET", "sns/messages", Value::Null).await;
    let messages: Vec<&str> = answer["Messages"]
        .as_array()
        .unwrap()
        .iter()
        .map(|m| m["Message"].as_str().unwrap())
        .collect();
    let (key, _) = app.log_files("logs").await.remove(0);
    assert_eq!(messages.len(), 2);
    assert_eq!(
        serde_json::from_str::<Value>(messages[0]).unwrap(),
        json!({ "s3Bucket": "logs", "s3ObjectKey": [key] })
    );
    assert_eq!(messages[1], "CloudTrail validation message.");
    let status = sdk.get_trail_status().name("main").send().await.unwrap();
    assert!(status.latest_notification_time().is_some());
}

#[tokio::test]
async fn what_cannot_be_delivered_waits_and_arrives_once() {
    let app = TestApp::new().await;
    let sdk = app.logging_trail().await;
    app.call("s3", "DELETE", "/logs", "").await;
    app.advance(TimeDelta::minutes(5)).await;
    let status = sdk.get_trail_status().name("main").send().await.unwrap();
    assert_eq!(status.latest_delivery_error(), Some("NoSuchBucket"));
    assert_eq!(status.latest_delivery_time(), None);
    app.advance(TimeDelta::days(2)).await;
    app.bucket("logs").await;
    app.advance(TimeDelta::hours(1)).await;
    let files = app.log_files("logs").await;
    let starts = files
        .iter()
        .flat_map(|file| names(&file.1))
        .filter(|name| *name == "StartLogging")
        .count();
    assert_eq!(starts, 1);
    let status = sdk.get_trail_status().name("main").send().await.unwrap();
    assert_eq!(status.latest_delivery_error(), None);
}

#[tokio::test]
async fn a_topic_that_is_gone_does_not_hold_up_the_files() {
    let app = TestApp::new().await;
    app.bucket("logs").await;
    app.topic("notes").await;
    let sdk = app.sdk();
    let made = sdk
        .create_trail()
        .name("main")
        .s3_bucket_name("logs")
        .sns_topic_name("notes");
    let arn = made.send().await.unwrap().sns_topic_arn.unwrap();
    sdk.start_logging().name("main").send().await.unwrap();
    let delete = format!("Action=DeleteTopic&Version=2010-03-31&TopicArn={arn}");
    app.call("sns", "POST", "/", &delete).await;
    app.advance(TimeDelta::minutes(5)).await;
    let status = sdk.get_trail_status().name("main").send().await.unwrap();
    assert_eq!(status.latest_notification_error(), Some("NotFound"));
    assert!(status.latest_delivery_time().is_some());
    app.topic("notes").await;
    app.advance(TimeDelta::hours(1)).await;
    let status = sdk.get_trail_status().name("main").send().await.unwrap();
    assert_eq!(status.latest_notification_error(), None);
    assert!(status.latest_notification_time().is_some());
}

/// What a kill leaves behind is the rows of the steps not done; the next start goes on from them.
#[tokio::test]
async fn a_restart_goes_on_between_any_two_steps() {
    for steps_done in 0..=2 {
        let folder = tempfile::tempdir().unwrap();
        let options = format!("--data-dir {}", folder.path().display());
        let app = TestApp::with(&options).await;
        app.logging_trail().await;
        let later = app.now() + TimeDelta::minutes(5);
        for _ in 0..steps_done {
            let due = due(&app.app.store, later.timestamp_millis(), 1).await;
            let step = app
                .app
                .worker
                .delivery
                .run_step(&due[0], later.timestamp_millis());
            step.await.unwrap();
        }
        drop(app);
        let app = TestApp::with(&options).await;
        app.advance(TimeDelta::minutes(5)).await;
        let files = app.log_files("logs").await;
        let all: Vec<_> = files.iter().map(|file| names(&file.1)).collect();
        assert_eq!(all, [["StartLogging"]], "{steps_done}");
    }
}

#[tokio::test]
async fn a_file_is_given_up_after_thirty_days() {
    let app = TestApp::new().await;
    app.logging_trail().await;
    app.call("s3", "DELETE", "/logs", "").await;
    app.advance(TimeDelta::days(29)).await;
    assert_eq!(app.metric("localtrail_log_files_given_up").await, Some(0));
    app.advance(TimeDelta::days(2)).await;
    // The file that is given up is told; what was called later is still tried.
    assert_eq!(app.metric("localtrail_log_files_given_up").await, Some(1));
    assert!(app.metric("localtrail_deliveries_given_up_total").await >= Some(1));
    let (_, status) = app.control("GET", "status", Value::Null).await;
    let trail = &status["trails"][0];
    assert_eq!(trail["givenUp"]["logFiles"], 1, "{status}");
    assert!(trail["givenUp"]["events"].as_i64() >= Some(1), "{status}");
    assert_eq!(trail["backlog"]["logFiles"], 0, "{status}");
    app.bucket("logs").await;
    app.advance(TimeDelta::hours(2)).await;
    assert!(
        app.log_files("logs")
            .await
            .iter()
            .all(|file| !names(&file.1).contains(&"StartLogging"))
    );
}

/// A crash between two steps leaves the later one in the outbox; a crash after a step but before its row is gone has it
/// run again. Either way the file is there once.
#[tokio::test]
async fn a_step_that_runs_twice_writes_the_same_object() {
    let app = TestApp::new().await;
    app.logging_trail().await;
    let store = &app.app.store;
    app.app.clock.set(app.now() + TimeDelta::minutes(5));
    let delivery = &app.app.worker.delivery;
    let now_ms = app.app.clock.now_ms();
    let cut = due(store, now_ms, 10).await;
    assert_eq!(cut.len(), 1);
    delivery.run_step(&cut[0], now_ms).await.unwrap();
    let upload = due(store, now_ms, 10).await;
    assert_eq!(upload.len(), 1);
    for _ in 0..2 {
        delivery.run_step(&upload[0], now_ms).await.unwrap();
        assert_eq!(app.log_files("logs").await.len(), 1);
    }
    // Its cut, run again after its row is gone, finds nothing to do over.
    app.settle().await;
    assert_eq!(app.log_files("logs").await.len(), 1);
}

#[tokio::test]
async fn an_event_that_comes_after_its_slot_was_cut_gets_a_file_of_its_own() {
    let app = TestApp::new().await;
    let sdk = app.logging_trail().await;
    let (_, flushed) = app.control("POST", "flush", Value::Null).await;
    assert_eq!(flushed["logFiles"].as_array().unwrap().len(), 1);
    sdk.list_trails().send().await.unwrap();
    app.advance(TimeDelta::minutes(5)).await;
    let files = app.log_files("logs").await;
    assert_eq!(files.len(), 2);
    let mut all: Vec<_> = files.iter().flat_map(|file| names(&file.1)).collect();
    all.sort_unstable();
    assert_eq!(all, ["ListTrails", "StartLogging"]);
}

#[tokio::test]
async fn events_are_forgotten_when_they_leave_the_history() {
    let app = TestApp::new().await;
    let sdk = app.logging_trail().await;
    sdk.list_trails().send().await.unwrap();
    let files = async || {
        app.advance(TimeDelta::minutes(5)).await;
        app.log_files("logs").await.len()
    };
    let before = files().await;
    app.advance(TimeDelta::days(89)).await;
    assert!(names(&app.events().await).contains(&"ListTrails"));
    sdk.get_trail().name("main").send().await.unwrap();
    app.advance(TimeDelta::days(2)).await;
    let kept = app.events().await;
    assert!(!names(&kept).contains(&"ListTrails"), "{:?}", names(&kept));
    assert!(names(&kept).contains(&"GetTrail"));
    assert!(files().await > before, "what was delivered stays");
}
