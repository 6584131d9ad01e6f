//! Home regions, shadow trails and global services: who sees, changes and gets what from where (facts 2.2, 2.7, 7.5).

use aws_sdk_cloudtrail::Client;
use aws_sdk_cloudtrail::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_cloudtrail::types::{EventSelector, InsightSelector, InsightType};
use chrono::TimeDelta;
use serde_json::{Value, json};

use crate::support::{ACCOUNT, REGION, TestApp, names};

const AWAY: &str = "eu-west-1";
const FOUND: &str = "";
const UNKNOWN: &str = "TrailNotFoundException";
const NOT_HOME: &str = "InvalidHomeRegionException";

/// What is called on a trail, and what comes of it: at home, then from another region on a multi-region trail by name
/// and by ARN, then so on a single-region trail. The last one deletes what it can.
#[rustfmt::skip]
const OPERATIONS: &[(&str, [&str; 5])] = &[
    ("GetTrail",            [FOUND, UNKNOWN, FOUND,    UNKNOWN, FOUND]),
    ("GetTrailStatus",      [FOUND, UNKNOWN, FOUND,    UNKNOWN, UNKNOWN]),
    ("GetEventSelectors",   [FOUND, UNKNOWN, FOUND,    UNKNOWN, UNKNOWN]),
    ("GetInsightSelectors", [FOUND, UNKNOWN, FOUND,    UNKNOWN, UNKNOWN]),
    ("UpdateTrail",         [FOUND, UNKNOWN, NOT_HOME, UNKNOWN, NOT_HOME]),
    ("PutEventSelectors",   [FOUND, UNKNOWN, NOT_HOME, UNKNOWN, NOT_HOME]),
    ("PutInsightSelectors", [FOUND, UNKNOWN, NOT_HOME, UNKNOWN, NOT_HOME]),
    ("StartLogging",        [FOUND, UNKNOWN, NOT_HOME, UNKNOWN, NOT_HOME]),
    ("StopLogging",         [FOUND, UNKNOWN, NOT_HOME, UNKNOWN, NOT_HOME]),
    ("DeleteTrail",         [FOUND, UNKNOWN, NOT_HOME, UNKNOWN, NOT_HOME]),
];

fn arn(name: &str) -> String {
    format!("arn:aws:cloudtrail:{REGION}:{ACCOUNT}:trail/{name}")
}

/// The error's code, or nothing.
fn code<T, E: ProvideErrorMetadata>(answer: Result<T, SdkError<E>>) -> String {
    let error = answer.err();
    let code = error.as_ref().and_then(ProvideErrorMetadata::code);
    code.unwrap_or_default().to_owned()
}

fn rate() -> InsightSelector {
    InsightSelector::builder()
        .insight_type(InsightType::ApiCallRateInsight)
        .build()
}

async fn called(sdk: &Client, operation: &str, name: &str) -> String {
    match operation {
        "GetTrail" => code(sdk.get_trail().name(name).send().await),
        "GetTrailStatus" => code(sdk.get_trail_status().name(name).send().await),
        "GetEventSelectors" => code(sdk.get_event_selectors().trail_name(name).send().await),
        "GetInsightSelectors" => code(sdk.get_insight_selectors().trail_name(name).send().await),
        "UpdateTrail" => code(sdk.update_trail().name(name).send().await),
        "PutEventSelectors" => {
            let selectors = EventSelector::builder().build();
            let call = sdk.put_event_selectors().trail_name(name);
            code(call.event_selectors(selectors).send().await)
        }
        "PutInsightSelectors" => {
            let call = sdk.put_insight_selectors().trail_name(name);
            code(call.insight_selectors(rate()).send().await)
        }
        "StartLogging" => code(sdk.start_logging().name(name).send().await),
        "StopLogging" => code(sdk.stop_logging().name(name).send().await),
        "DeleteTrail" => code(sdk.delete_trail().name(name).send().await),
        other => panic!("{other} is not in the table"),
    }
}

/// Trails `multi` and `single` of [`REGION`], with Insights.
async fn two_trails() -> TestApp {
    let app = TestApp::new().await;
    app.bucket("logs").await;
    let sdk = app.sdk();
    for (name, multi_region) in [("multi", true), ("single", false)] {
        let make = sdk.create_trail().name(name).s3_bucket_name("logs");
        make.is_multi_region_trail(multi_region)
            .send()
            .await
            .unwrap();
        let put = sdk.put_insight_selectors().trail_name(name);
        put.insight_selectors(rate()).send().await.unwrap();
    }
    app
}

#[tokio::test]
async fn a_trail_is_seen_and_changed_from_where_aws_lets_it() {
    for (
        operation,
        [
            home,
            multi_by_name,
            multi_by_arn,
            single_by_name,
            single_by_arn,
        ],
    ) in OPERATIONS
    {
        let app = two_trails().await;
        let away = app.sdk_of(ACCOUNT, AWAY);
        for (name, expected) in [
            ("multi", multi_by_name),
            (&arn("multi"), multi_by_arn),
            ("single", single_by_name),
            (&arn("single"), single_by_arn),
        ] {
            assert_eq!(
                called(&away, operation, name).await,
                *expected,
                "{operation} {name}"
            );
        }
        for name in ["multi", &arn("single")] {
            assert_eq!(
                called(&app.sdk(), operation, name).await,
                *home,
                "{operation} {name}"
            );
        }
    }
}

#[tokio::test]
async fn trails_are_described_where_they_are_or_cast_a_shadow() {
    let app = two_trails().await;
    let (multi, single) = (arn("multi"), arn("single"));
    for (region, shadows, asked, expected) in [
        (REGION, None, &[][..], "multi single"),
        (REGION, Some(true), &[], "multi single"),
        (REGION, Some(false), &[], "multi single"),
        (AWAY, None, &[], "multi"),
        (AWAY, Some(true), &[], "multi"),
        (AWAY, Some(false), &[], ""),
        (REGION, None, &["single", "multi", "none"], "multi single"),
        (REGION, Some(false), &["single", "single"], "single"),
        (AWAY, None, &["single", "multi"], ""),
        (AWAY, None, &[&*multi, &*single], "multi single"),
        (AWAY, Some(false), &[&*multi, "single"], "multi"),
    ] {
        let describe = app.sdk_of(ACCOUNT, region).describe_trails();
        let names = asked.iter().map(|&name| name.to_owned()).collect();
        let described = describe
            .set_include_shadow_trails(shadows)
            .set_trail_name_list(Some(names))
            .send()
            .await
            .unwrap();
        let trails = described.trail_list();
        assert!(
            trails
                .iter()
                .all(|trail| trail.home_region() == Some(REGION))
        );
        let names: Vec<_> = trails.iter().map(|trail| trail.name().unwrap()).collect();
        assert_eq!(names.join(" "), expected, "{region} {shadows:?} {asked:?}");
    }
    for region in [REGION, AWAY] {
        let sdk = app.sdk_of(ACCOUNT, region);
        let listed = sdk.list_trails().send().await.unwrap();
        let homes: Vec<_> = listed.trails().iter().map(|it| it.home_region()).collect();
        assert_eq!(homes, [Some(REGION); 2], "{region}");
    }
}

#[tokio::test]
async fn shadows_go_and_come_with_multi_region() {
    let app = two_trails().await;
    let (sdk, away) = (app.sdk(), app.sdk_of(ACCOUNT, AWAY));
    for (multi_region, expected) in [(false, UNKNOWN), (true, FOUND), (false, UNKNOWN)] {
        let update = sdk.update_trail().name("multi");
        let update = update.is_multi_region_trail(multi_region);
        update.send().await.unwrap();
        assert_eq!(
            called(&away, "GetTrailStatus", &arn("multi")).await,
            expected
        );
        let seen = away.describe_trails().send().await.unwrap();
        assert_eq!(seen.trail_list().len(), usize::from(multi_region));
    }
}

#[tokio::test]
async fn a_shadow_counts_in_its_region() {
    let app = TestApp::with("--trails-per-region 2").await;
    app.bucket("logs").await;
    let make = async |region: &str, name: &str, multi_region: bool| {
        let sdk = app.sdk_of(ACCOUNT, region);
        let make = sdk.create_trail().name(name).s3_bucket_name("logs");
        let made = make.is_multi_region_trail(multi_region).send().await;
        made.err()
            .and_then(|error| error.message().map(ToOwned::to_owned))
    };
    let full = |region: &str| Some(format!("User: {ACCOUNT} already has 2 trails in {region}."));
    assert_eq!(make(REGION, "every", true).await, None);
    assert_eq!(make(AWAY, "one", false).await, None);
    assert_eq!(make(AWAY, "two", false).await, full(AWAY));
    assert_eq!(make(REGION, "two", true).await, full(AWAY));
    assert_eq!(make(REGION, "two", false).await, None);
    assert_eq!(make("sa-east-1", "two", false).await, None);
    // Making the trail of one region one of all needs room in all.
    let sdk = app.sdk();
    let update = sdk.update_trail().name("two").is_multi_region_trail(true);
    assert_eq!(
        code(update.send().await),
        "MaximumNumberOfTrailsExceededException"
    );
    let away = app.sdk_of(ACCOUNT, AWAY);
    away.delete_trail().name("one").send().await.unwrap();
    let update = sdk.update_trail().name("two").is_multi_region_trail(true);
    assert_eq!(
        code(update.send().await),
        "MaximumNumberOfTrailsExceededException",
        "sa-east-1 has two as well"
    );
}

/// Which trail gets which service's events of which region: (source, region, trails).
#[rustfmt::skip]
const GLOBAL: &[(&str, &str, &[&str])] = &[
    ("iam",               "us-east-1", &["all", "global"]),
    ("sts",               "us-east-1", &["all", "global"]),
    ("cloudfront",        "us-east-1", &["all", "global"]),
    ("health",            "us-east-1", &["all", "global"]),
    ("ec2",               "us-east-1", &["all", "global", "plain"]),
    ("ec2",               "eu-west-1", &["all", "away"]),
    // A regional endpoint's; the trail there takes no global events, and needs not.
    ("sts",               "eu-west-1", &["all", "away"]),
    ("globalaccelerator", "us-west-2", &["all"]),
];

#[tokio::test]
async fn global_services_go_to_trails_of_the_first_region_that_want_them() {
    let app = TestApp::new().await;
    let trails = [
        ("all", AWAY, true, true),
        ("away", AWAY, false, false),
        ("global", "us-east-1", false, true),
        ("plain", "us-east-1", false, false),
    ];
    for (name, region, multi_region, global) in trails {
        app.bucket(name).await;
        let sdk = app.sdk_of(ACCOUNT, region);
        let make = sdk.create_trail().name(name).s3_bucket_name(name);
        let make = make.is_multi_region_trail(multi_region);
        let make = make.include_global_service_events(global);
        make.send().await.unwrap();
        sdk.start_logging().name(name).send().await.unwrap();
    }
    let records: Vec<Value> = GLOBAL
        .iter()
        .enumerate()
        .map(|(row, (source, region, _))| {
            json!({ "eventSource": format!("{source}.amazonaws.com"), "eventName": format!("Row{row}"),
                    "awsRegion": region, "userIdentity": { "accountId": ACCOUNT } })
        })
        .collect();
    let (_, taken) = app
        .control("POST", "events", json!({ "Records": records }))
        .await;
    assert_eq!(taken["recorded"].as_array().unwrap().len(), GLOBAL.len());
    app.advance(TimeDelta::minutes(5)).await;

    let mut got = vec![Vec::new(); GLOBAL.len()];
    for (bucket, ..) in trails {
        for (key, records) in app.log_files(bucket).await {
            for name in names(&records) {
                let Some(row) = name.strip_prefix("Row") else {
                    continue;
                };
                let row: usize = row.parse().unwrap();
                assert!(key.contains(&format!("/CloudTrail/{}/", GLOBAL[row].1)));
                got[row].push(bucket);
            }
        }
    }
    for ((source, region, expected), got) in GLOBAL.iter().zip(got) {
        assert_eq!(got, *expected, "{source} {region}");
    }
}

#[tokio::test]
async fn one_bucket_takes_the_files_of_several_accounts_and_regions() {
    let app = TestApp::new().await;
    app.bucket("logs").await;
    for account in [ACCOUNT, "444455556666"] {
        let sdk = app.sdk_of(account, REGION);
        let make = sdk.create_trail().name("main").s3_bucket_name("logs");
        make.is_multi_region_trail(true).send().await.unwrap();
        sdk.start_logging().name("main").send().await.unwrap();
        app.sdk_of(account, AWAY)
            .list_trails()
            .send()
            .await
            .unwrap();
    }
    app.advance(TimeDelta::minutes(5)).await;
    let files = app.log_files("logs").await;
    let mut got: Vec<_> = files
        .iter()
        .map(|(key, records)| {
            let place: Vec<_> = key.split('/').skip(1).take(3).collect();
            let account = records[0]["recipientAccountId"].as_str().unwrap();
            assert_eq!(place[0], account, "{key}");
            (place.join("/"), names(records))
        })
        .collect();
    got.sort_unstable();
    let of = |account: &str, region: &str| format!("{account}/CloudTrail/{region}");
    let home = got
        .iter()
        .find(|(place, _)| *place == of("444455556666", REGION));
    assert_eq!(home.unwrap().1, ["StartLogging"]);
    let places: Vec<_> = got.iter().map(|(place, _)| place.clone()).collect();
    assert_eq!(
        places,
        [
            of(ACCOUNT, AWAY),
            of(ACCOUNT, REGION),
            of("444455556666", AWAY),
            of("444455556666", REGION),
        ]
    );

    // Each region's status tells of that region's files.
    let sdk = app.sdk_of(ACCOUNT, "sa-east-1");
    let status = sdk.get_trail_status().name(arn("main")).send().await;
    let status = status.unwrap();
    assert_eq!(
        (status.is_logging(), status.latest_delivery_time()),
        (Some(true), None)
    );
}
