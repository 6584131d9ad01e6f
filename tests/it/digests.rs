//! Digests: who gets one and when, how they are chained, what becomes of one that cannot be delivered.

use aws_sdk_cloudtrail::Client;
use aws_sdk_cloudtrail::types::{DataResource, EventSelector};
use chrono::TimeDelta;
use flate2::read::GzDecoder;
use http::StatusCode;
use localtrail::store::Step;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::support::{ACCOUNT, TestApp, due};

/// A digest as it lies in the bucket.
struct Digest {
    key: String,
    body: Value,
    text: String,
    signature: String,
    /// When a backfill digest says that it was made.
    generated: Option<String>,
}

impl Digest {
    fn files(&self) -> Vec<&str> {
        self.body["logFiles"]
            .as_array()
            .unwrap()
            .iter()
            .map(|file| file["s3Object"].as_str().unwrap())
            .collect()
    }

    fn period(&self) -> (&str, &str) {
        (
            self.body["digestStartTime"].as_str().unwrap(),
            self.body["digestEndTime"].as_str().unwrap(),
        )
    }

    fn is_starting(&self) -> bool {
        self.body["previousDigestSignature"].is_null()
    }
}

impl TestApp {
    /// A trail `main` with validation on that logs to `logs`.
    async fn validated_trail(&self, is_multi_region: bool) -> Client {
        if !self.app.embedded.s3.bucket_exists("logs") {
            self.bucket("logs").await;
        }
        let sdk = self.sdk();
        sdk.create_trail()
            .name("main")
            .s3_bucket_name("logs")
            .enable_log_file_validation(true)
            .is_multi_region_trail(is_multi_region)
            .send()
            .await
            .unwrap();
        sdk.start_logging().name("main").send().await.unwrap();
        sdk
    }

    /// The digests of a region, by key and thus by time; backfill digests apart.
    async fn digests_of(&self, region: &str, is_backfill: bool) -> Vec<Digest> {
        let path =
            format!("/logs?list-type=2&prefix=AWSLogs/{ACCOUNT}/CloudTrail-Digest/{region}/");
        let listed = self.call("s3", "GET", &path, "").await;
        let text = String::from_utf8(listed.body().to_vec()).unwrap();
        let mut digests = Vec::new();
        for rest in text.split("<Key>").skip(1) {
            let key = rest.split("</Key>").next().unwrap().to_owned();
            if key.ends_with("_backfill.json.gz") != is_backfill {
                continue;
            }
            let (headers, bytes) = self.object("logs", &key).await;
            let text = std::io::read_to_string(GzDecoder::new(bytes.as_ref())).unwrap();
            assert_eq!(
                headers["x-amz-meta-signature-algorithm"], "SHA256withRSA",
                "{key}"
            );
            let generated = headers.get("x-amz-meta-backfill-generation-timestamp");
            digests.push(Digest {
                body: serde_json::from_str(&text).unwrap(),
                text,
                signature: headers["x-amz-meta-signature"].to_str().unwrap().to_owned(),
                generated: generated.map(|time| time.to_str().unwrap().to_owned()),
                key,
            });
        }
        digests
    }

    async fn digests(&self) -> Vec<Digest> {
        self.digests_of("us-east-1", false).await
    }

    async fn status(&self, sdk: &Client) -> (Option<i64>, Option<String>) {
        let status = sdk.get_trail_status().name("main").send().await.unwrap();
        (
            status.latest_digest_delivery_time().map(|time| time.secs()),
            status.latest_digest_delivery_error().map(str::to_owned),
        )
    }

    async fn set_validation(&self, sdk: &Client, on: bool) {
        let update = sdk.update_trail().name("main");
        update.enable_log_file_validation(on).send().await.unwrap();
    }
}

/// Each digest but the first names the one before it.
fn assert_chained(digests: &[Digest]) {
    for pair in digests.windows(2) {
        let [before, digest] = pair else {
            unreachable!()
        };
        assert_eq!(digest.body["previousDigestS3Bucket"], "logs");
        assert_eq!(digest.body["previousDigestS3Object"], before.key);
        assert_eq!(digest.body["previousDigestSignature"], before.signature);
        assert_eq!(digest.body["previousDigestHashAlgorithm"], "SHA-256");
        assert_eq!(
            digest.body["previousDigestHashValue"],
            hex(before.text.as_bytes())
        );
        assert_eq!(digest.period().0, before.period().1);
    }
}

fn hex(bytes: &[u8]) -> String {
    let hash = Sha256::digest(bytes);
    hash.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[tokio::test]
async fn each_hour_gets_a_digest_that_names_the_files_delivered_in_it() {
    let app = TestApp::new().await;
    let sdk = app.validated_trail(false).await;
    assert_eq!(app.status(&sdk).await, (None, None));
    app.advance(TimeDelta::minutes(59)).await;
    assert!(app.digests().await.is_empty());
    app.advance(TimeDelta::minutes(1)).await;
    assert_eq!(app.status(&sdk).await, (Some(1_795_363_290), None));
    app.advance(TimeDelta::hours(2)).await;

    let digests = app.digests().await;
    assert_eq!(
        digests.iter().map(Digest::period).collect::<Vec<_>>(),
        [
            ("2026-11-22T15:01:30Z", "2026-11-22T16:01:30Z"),
            ("2026-11-22T16:01:30Z", "2026-11-22T17:01:30Z"),
            ("2026-11-22T17:01:30Z", "2026-11-22T18:01:30Z"),
        ]
    );
    assert_eq!(
        digests[0].key,
        format!(
            "AWSLogs/{ACCOUNT}/CloudTrail-Digest/us-east-1/2026/11/22/\
             {ACCOUNT}_CloudTrail-Digest_us-east-1_main_us-east-1_20261122T160130Z.json.gz"
        )
    );
    assert!(digests[0].is_starting());
    assert_chained(&digests);
    // Asking for the status as the second hour began made a file in it; in the third there was nothing.
    let counts: Vec<_> = digests.iter().map(|digest| digest.files().len()).collect();
    assert_eq!(counts, [1, 1, 0]);

    let named: Vec<&str> = digests.iter().flat_map(Digest::files).collect();
    let file = &digests[0].body["logFiles"][0];
    let (_, bytes) = app.object("logs", named[0]).await;
    let text = std::io::read_to_string(GzDecoder::new(bytes.as_ref())).unwrap();
    assert_eq!(
        *file,
        json!({
            "s3Bucket": "logs",
            "s3Object": named[0],
            "hashValue": hex(text.as_bytes()),
            "hashAlgorithm": "SHA-256",
            "newestEventTime": "2026-11-22T15:01:30Z",
            "oldestEventTime": "2026-11-22T15:01:30Z",
        })
    );
}

#[tokio::test]
async fn a_trail_without_validation_gets_no_digest() {
    let app = TestApp::new().await;
    app.logging_trail().await;
    app.advance(TimeDelta::hours(3)).await;
    assert!(app.digests().await.is_empty());
}

#[tokio::test]
async fn a_multi_region_trail_has_digests_at_home_and_where_files_were() {
    let app = TestApp::new().await;
    app.validated_trail(true).await;
    app.advance(TimeDelta::minutes(90)).await;
    let west = app.sdk_of(ACCOUNT, "eu-west-1");
    west.list_trails().send().await.unwrap();
    app.advance(TimeDelta::hours(2)).await;

    assert_eq!(app.digests().await.len(), 3);
    let west = app.digests_of("eu-west-1", false).await;
    assert!(west[0].is_starting());
    assert!(
        west[0]
            .key
            .contains("_CloudTrail-Digest_eu-west-1_main_us-east-1_")
    );
    assert_chained(&west);
    assert_eq!(
        west.iter()
            .map(|digest| (digest.period(), digest.files().len()))
            .collect::<Vec<_>>(),
        [
            (("2026-11-22T15:01:30Z", "2026-11-22T17:01:30Z"), 1),
            (("2026-11-22T17:01:30Z", "2026-11-22T18:01:30Z"), 0),
        ]
    );
    assert!(app.digests_of("eu-north-1", false).await.is_empty());
    // Each region signs with its own key.
    let home = app.digests().await;
    assert_ne!(
        home[0].body["digestPublicKeyFingerprint"],
        west[0].body["digestPublicKeyFingerprint"]
    );

    // A trail of one region has digests in one region.
    let update = app.sdk().update_trail().name("main");
    update.is_multi_region_trail(false).send().await.unwrap();
    app.advance(TimeDelta::hours(2)).await;
    assert_eq!(app.digests_of("eu-west-1", false).await.len(), 2);
    assert_eq!(app.digests().await.len(), 5);
}

#[tokio::test]
async fn digests_that_cannot_be_delivered_come_later_as_they_were() {
    let app = TestApp::new().await;
    let sdk = app.validated_trail(false).await;
    app.advance(TimeDelta::minutes(30)).await;
    for (key, _) in app.log_files("logs").await {
        app.call("s3", "DELETE", &format!("/logs/{key}"), "").await;
    }
    let answer = app.call("s3", "DELETE", "/logs", "").await;
    assert_eq!(answer.status(), StatusCode::NO_CONTENT);
    app.advance(TimeDelta::hours(3)).await;
    let (_, error) = app.status(&sdk).await;
    assert_eq!(error.as_deref(), Some("NoSuchBucket"));
    app.bucket("logs").await;
    app.advance(TimeDelta::hours(2)).await;
    let (time, error) = app.status(&sdk).await;
    assert!(time.is_some());
    assert_eq!(error, None);
    let digests = app.digests().await;
    assert_eq!(digests.len(), 5);
    assert_eq!(
        digests[0].period(),
        ("2026-11-22T15:01:30Z", "2026-11-22T16:01:30Z")
    );
    assert_chained(&digests);
    // The file that could not be delivered is named by the digest of the hour in which it was.
    let late: Vec<_> = digests.iter().map(|digest| digest.files().len()).collect();
    assert_eq!(late[1..3], [0, 0], "{late:?}");
    assert!(late[3] + late[4] >= 1, "{late:?}");
}

#[tokio::test]
async fn stopping_delivers_what_is_left_and_a_last_digest_of_it() {
    let app = TestApp::new().await;
    let sdk = app.validated_trail(false).await;
    app.advance(TimeDelta::minutes(90)).await;
    sdk.stop_logging().name("main").send().await.unwrap();
    app.advance(TimeDelta::minutes(5)).await;
    let digests = app.digests().await;
    assert_eq!(digests.len(), 2);
    assert_chained(&digests);
    assert_eq!(
        digests[1].period(),
        ("2026-11-22T16:01:30Z", "2026-11-22T16:35:00Z")
    );
    let (key, records) = app.log_files("logs").await.pop().unwrap();
    assert_eq!(digests[1].files(), [key]);
    let last = records.last().unwrap();
    assert_eq!(last["eventName"], "StopLogging");
    app.advance(TimeDelta::hours(5)).await;
    assert_eq!(app.digests().await.len(), 2);

    sdk.start_logging().name("main").send().await.unwrap();
    app.advance(TimeDelta::hours(1)).await;
    let digests = app.digests().await;
    assert_eq!(digests.len(), 3);
    assert!(digests[2].is_starting());
    assert_eq!(digests[2].files().len(), 1);
}

#[tokio::test]
async fn deleting_a_trail_delivers_what_is_left_and_a_last_digest_of_it() {
    let app = TestApp::new().await;
    let sdk = app.validated_trail(false).await;
    sdk.delete_trail().name("main").send().await.unwrap();
    app.validated_trail(false).await;
    app.advance(TimeDelta::minutes(10)).await;
    let digests = app.digests().await;
    assert_eq!(digests.len(), 1);
    let names: Vec<_> = app
        .log_files("logs")
        .await
        .into_iter()
        .map(|(_, records)| {
            let names = records.iter().map(|record| record["eventName"].clone());
            names.collect::<Vec<_>>()
        })
        .collect();
    assert!(
        names.contains(&vec![json!("StartLogging"), json!("DeleteTrail")]),
        "{names:?}"
    );
    app.advance(TimeDelta::hours(1)).await;
    let digests = app.digests().await;
    assert_eq!(digests.len(), 2);
    assert!(digests[1].is_starting(), "the new trail begins anew");
}

#[tokio::test]
async fn an_hour_in_which_validation_ends_is_still_digested_and_none_after_it() {
    let app = TestApp::new().await;
    let sdk = app.validated_trail(false).await;
    app.advance(TimeDelta::minutes(70)).await;
    app.set_validation(&sdk, false).await;
    app.advance(TimeDelta::hours(1)).await;
    let digests = app.digests().await;
    assert_eq!(
        digests.iter().map(Digest::period).collect::<Vec<_>>()[1..],
        [("2026-11-22T16:01:30Z", "2026-11-22T17:01:30Z")]
    );
    sdk.list_trails().send().await.unwrap();
    app.advance(TimeDelta::hours(3)).await;
    assert_eq!(app.digests().await.len(), 2);
    let undigested = app.log_files("logs").await.pop().unwrap().0;

    app.set_validation(&sdk, true).await;
    app.advance(TimeDelta::hours(2)).await;
    let digests = app.digests().await;
    assert_eq!(digests.len(), 4);
    assert!(digests[2].is_starting());
    let named: Vec<&str> = digests.iter().flat_map(Digest::files).collect();
    assert!(!named.contains(&&*undigested));
    assert!(app.digests_of("us-east-1", true).await.is_empty());
}

#[tokio::test]
async fn files_that_missed_the_last_digest_get_backfill_digests() {
    let app = TestApp::new().await;
    let sdk = app.validated_trail(false).await;
    app.call("s3", "DELETE", "/logs", "").await;
    sdk.stop_logging().name("main").send().await.unwrap();
    // The last digest is made and names nothing, for nothing was delivered.
    app.advance(TimeDelta::minutes(30)).await;
    app.bucket("logs").await;
    app.advance(TimeDelta::hours(3)).await;
    let digests = app.digests().await;
    assert_eq!(digests.len(), 1);
    assert!(digests[0].files().is_empty());

    let backfill = app.digests_of("us-east-1", true).await;
    let [backfill] = backfill.as_slice() else {
        panic!("{} backfill digests", backfill.len())
    };
    assert!(backfill.is_starting());
    assert_eq!(backfill.files().len(), 1);
    let (_, end) = backfill.period();
    let generated = backfill.generated.as_deref().unwrap();
    assert_eq!(generated[..19], end[..19]);
    assert!(generated.ends_with(".000Z"), "{generated}");
}

#[tokio::test]
async fn a_flush_makes_digests_when_asked_to_each_with_a_name_of_its_own() {
    let app = TestApp::new().await;
    let sdk = app.validated_trail(true).await;
    let (status, answer) = app.control("POST", "flush", json!({})).await;
    assert_eq!(status, StatusCode::OK);
    assert_eq!(answer.get("digests"), None);
    assert!(app.digests().await.is_empty());
    let mut keys = Vec::new();
    for _ in 0..3 {
        sdk.list_trails().send().await.unwrap();
        let (_, answer) = app
            .control("POST", "flush", json!({ "digests": true }))
            .await;
        assert_eq!(answer["logFiles"].as_array().unwrap().len(), 1);
        let [digest] = answer["digests"].as_array().unwrap().as_slice() else {
            panic!("{answer}")
        };
        assert_eq!(digest["bucket"], "logs");
        assert_eq!(
            digest["trail"],
            format!("arn:aws:cloudtrail:us-east-1:{ACCOUNT}:trail/main")
        );
        keys.push(digest["key"].as_str().unwrap().to_owned());
    }
    // The regular ones go on as if nothing had been.
    app.advance(TimeDelta::hours(2)).await;
    let digests = app.digests().await;
    assert_eq!(
        digests.iter().map(|d| &d.key).collect::<Vec<_>>()[..3],
        keys.iter().collect::<Vec<_>>()
    );
    assert_chained(&digests);
    let ends: Vec<_> = digests.iter().map(|digest| digest.period().1).collect();
    assert_eq!(
        ends,
        [
            "2026-11-22T15:01:31Z",
            "2026-11-22T15:01:32Z",
            "2026-11-22T15:01:33Z",
            "2026-11-22T16:01:30Z",
            "2026-11-22T17:01:30Z",
        ]
    );
    assert_eq!(
        digests.iter().map(|d| d.files().len()).collect::<Vec<_>>(),
        [2, 1, 1, 0, 0]
    );
}

/// What a kill leaves behind is the rows of the steps not done.
#[tokio::test]
async fn a_restart_between_any_two_steps_makes_the_same_chain() {
    for steps_done in 0..=4 {
        let folder = tempfile::tempdir().unwrap();
        let options = format!("--data-dir {}", folder.path().display());
        let app = TestApp::with(&options).await;
        app.validated_trail(false).await;
        let later = app.now() + TimeDelta::hours(1);
        let later_ms = later.timestamp_millis();
        let mut twice = None;
        for _ in 0..steps_done {
            let due = due(&app.app.store, later_ms, 1).await;
            let delivery = &app.app.worker.delivery;
            delivery.run_step(&due[0], later_ms).await.unwrap();
            twice = Some(due[0].clone());
        }
        // What was done outside of the database is done again after a crash before its row is gone.
        if let Some(item) = &twice
            && matches!(item.step, Step::Upload { .. } | Step::UploadDigest { .. })
        {
            let delivery = &app.app.worker.delivery;
            delivery.run_step(item, later_ms).await.unwrap();
        }
        drop(app);
        let app = TestApp::with(&options).await;
        app.advance(TimeDelta::hours(2)).await;
        let digests = app.digests().await;
        assert_eq!(digests.len(), 2, "{steps_done}");
        assert_chained(&digests);
        let named: Vec<_> = digests.iter().flat_map(Digest::files).collect();
        assert_eq!(named.len(), 1, "{steps_done}");
    }
}

#[tokio::test]
async fn an_organization_trail_has_a_chain_for_each_account() {
    const MEMBER: &str = "444455556666";
    let app = TestApp::with("--organization o-exampleorgid:111122223333,444455556666").await;
    app.bucket("logs").await;
    let sdk = app.sdk();
    sdk.create_trail()
        .name("main")
        .s3_bucket_name("logs")
        .enable_log_file_validation(true)
        .is_organization_trail(true)
        .send()
        .await
        .unwrap();
    sdk.start_logging().name("main").send().await.unwrap();
    let member = app.sdk_of(MEMBER, "us-east-1");
    member.list_trails().send().await.unwrap();
    app.advance(TimeDelta::hours(2)).await;

    for account in [ACCOUNT, MEMBER] {
        let folder = format!("AWSLogs/o-exampleorgid/{account}/CloudTrail-Digest/us-east-1/");
        let mut bodies = Vec::new();
        for key in app.object_keys("logs").await {
            if key.starts_with(&folder) {
                let (_, bytes) = app.object("logs", &key).await;
                let body: Value = serde_json::from_reader(GzDecoder::new(bytes.as_ref())).unwrap();
                assert_eq!(body["awsAccountId"], account);
                bodies.push(body);
            }
        }
        let [first, second] = bodies.as_slice() else {
            panic!("{account} has {} digests", bodies.len())
        };
        let named = first["logFiles"][0]["s3Object"].as_str().unwrap();
        assert!(named.starts_with(&format!("AWSLogs/o-exampleorgid/{account}/CloudTrail/")));
        assert_eq!(first["logFiles"].as_array().unwrap().len(), 1);
        assert_eq!(second["previousDigestS3Object"], first["digestS3Object"]);
    }
}

/// A trail that takes the data events of its bucket takes the writing of its digests too.
#[tokio::test]
async fn the_writing_of_a_digest_is_recorded() {
    let app = TestApp::new().await;
    let sdk = app.validated_trail(false).await;
    let objects = DataResource::builder()
        .r#type("AWS::S3::Object")
        .values("arn:aws:s3:::logs/")
        .build();
    let selector = EventSelector::builder().data_resources(objects).build();
    sdk.put_event_selectors()
        .trail_name("main")
        .event_selectors(selector)
        .send()
        .await
        .unwrap();
    app.advance(TimeDelta::minutes(61)).await;
    let digest = app.digests().await.remove(0);
    let writes = app.events().await;
    let write = writes
        .iter()
        .find(|event| event["requestParameters"]["key"] == digest.key.as_str())
        .unwrap();
    assert_eq!(write["eventName"], "PutObject");
    assert_eq!(
        write["userIdentity"]["invokedBy"],
        "cloudtrail.amazonaws.com"
    );
}
