//! Insight selectors, through the SDK.

use aws_sdk_cloudtrail::Client;
use aws_sdk_cloudtrail::error::ProvideErrorMetadata;
use aws_sdk_cloudtrail::types::{
    EventSelector, InsightSelector, InsightType, ReadWriteType, SourceEventCategory,
};

use crate::support::TestApp;

async fn put(sdk: &Client, selectors: Vec<InsightSelector>) -> Result<(), String> {
    let put = sdk.put_insight_selectors().trail_name("main");
    let put = put.set_insight_selectors(Some(selectors)).send().await;
    put.map(drop)
        .map_err(|error| error.code().unwrap_or_default().to_owned())
}

fn selector(kind: InsightType) -> InsightSelector {
    InsightSelector::builder().insight_type(kind).build()
}

async fn are_on(sdk: &Client) -> bool {
    let trail = sdk.get_trail().name("main").send().await.unwrap();
    let has = trail.trail().unwrap().has_insight_selectors();
    let got = sdk.get_insight_selectors().trail_name("main").send().await;
    match got {
        Ok(_) => assert_eq!(has, Some(true)),
        Err(error) => {
            let error = error.into_service_error();
            assert!(error.is_insight_not_enabled_exception(), "{error}");
            assert_eq!(has, Some(false));
        }
    }
    has == Some(true)
}

#[tokio::test]
async fn insights_are_on_from_put_to_the_stop_of_logging() {
    let app = TestApp::new().await;
    let sdk = app.logging_trail().await;
    assert!(!are_on(&sdk).await);
    let both = vec![
        selector(InsightType::ApiCallRateInsight),
        InsightSelector::builder()
            .insight_type(InsightType::ApiErrorRateInsight)
            .event_categories(SourceEventCategory::Management)
            .build(),
    ];
    put(&sdk, both.clone()).await.unwrap();
    assert!(are_on(&sdk).await);
    let got = sdk.get_insight_selectors().trail_name("main").send().await;
    assert_eq!(got.unwrap().insight_selectors(), both);

    put(&sdk, Vec::new()).await.unwrap();
    assert!(!are_on(&sdk).await);

    put(&sdk, both).await.unwrap();
    sdk.stop_logging().name("main").send().await.unwrap();
    assert!(!are_on(&sdk).await);
    sdk.start_logging().name("main").send().await.unwrap();
    assert!(!are_on(&sdk).await, "a start does not bring them back");
}

#[tokio::test]
async fn insights_are_refused_on_events_that_are_not_logged_and_without_a_bucket() {
    let app = TestApp::new().await;
    let sdk = app.logging_trail().await;
    let reads = EventSelector::builder()
        .read_write_type(ReadWriteType::ReadOnly)
        .build();
    let selectors = sdk.put_event_selectors().trail_name("main");
    selectors.event_selectors(reads).send().await.unwrap();
    let rate = vec![selector(InsightType::ApiCallRateInsight)];
    let errors = vec![selector(InsightType::ApiErrorRateInsight)];
    assert_eq!(
        put(&sdk, rate).await.unwrap_err(),
        "InvalidInsightSelectorsException"
    );
    put(&sdk, errors.clone()).await.unwrap();

    app.call("s3", "DELETE", "/logs", "").await;
    assert_eq!(
        put(&sdk, errors).await.unwrap_err(),
        "S3BucketDoesNotExistException"
    );
    put(&sdk, Vec::new()).await.unwrap();
}
