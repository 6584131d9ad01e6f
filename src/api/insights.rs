//! Insight selectors: what a trail's Insights look at. Kept and shown; the Insights events themselves are not made here.
//!
//! Both operations are about a trail or about an event data store. There are no event data stores here, and who names
//! one is told so. A trail can have Insights only on events that it logs; nothing here keeps later event selectors from
//! taking these away.

use serde::{Deserialize, Serialize};

use super::Cx;
use super::error::{Error, Result};
use super::settings;
use super::trails::{Reach, find};
use crate::event::select::{InsightSelector, Selectors};

/// Per type, whether its rate needs management events that write: the other is content with those that read.
/// Of data events either kind is enough for both.
/// <https://docs.aws.amazon.com/awscloudtrail/latest/APIReference/API_PutInsightSelectors.html>
const TYPES: &[(&str, bool)] = &[("ApiCallRateInsight", true), ("ApiErrorRateInsight", false)];

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct GetInsightSelectorsInput {
    trail_name: Option<String>,
    event_data_store: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct PutInsightSelectorsInput {
    trail_name: Option<String>,
    insight_selectors: Vec<InsightSelector>,
    event_data_store: Option<String>,
    insights_destination: Option<String>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct InsightSelectorsOutput {
    #[serde(rename = "TrailARN")]
    trail_arn: String,
    insight_selectors: Vec<InsightSelector>,
}

/// <https://docs.aws.amazon.com/awscloudtrail/latest/APIReference/API_GetInsightSelectors.html>
pub(super) async fn get_insight_selectors(
    cx: Cx,
    input: GetInsightSelectorsInput,
) -> Result<InsightSelectorsOutput> {
    let name = trail_name(input.trail_name, input.event_data_store.is_some())?;
    let trail = find(&cx, &name, Reach::Shadow).await?;
    if trail.insight_selectors.is_empty() {
        return Err(Error::insights_off(&trail.arn()));
    }
    Ok(InsightSelectorsOutput {
        trail_arn: trail.arn(),
        insight_selectors: trail.insight_selectors,
    })
}

/// An empty list turns Insights off.
/// <https://docs.aws.amazon.com/awscloudtrail/latest/APIReference/API_PutInsightSelectors.html>
pub(super) async fn put_insight_selectors(
    cx: Cx,
    input: PutInsightSelectorsInput,
) -> Result<InsightSelectorsOutput> {
    let of_store = input.event_data_store.is_some() || input.insights_destination.is_some();
    let name = trail_name(input.trail_name, of_store)?;
    let trail = find(&cx, &name, Reach::Home).await?;
    let selectors = input.insight_selectors;
    check(&selectors, &trail.selectors)?;
    if !selectors.is_empty() {
        settings::check_bucket(&cx, &trail.s3_bucket_name).await?;
    }
    let trail_arn = trail.arn();
    if !cx
        .store
        .trail_insight_selectors_put(trail.id, &selectors)
        .await?
    {
        return Err(Error::trail_not_found(&trail_arn, &cx.account));
    }
    Ok(InsightSelectorsOutput {
        trail_arn,
        insight_selectors: selectors,
    })
}

/// The trail that is named, and no event data store with it.
fn trail_name(trail: Option<String>, of_store: bool) -> Result<String> {
    match (trail, of_store) {
        (Some(trail), false) => Ok(trail),
        (Some(_), true) => Err(Error::trail_and_event_data_store()),
        (None, true) => Err(Error::no_event_data_stores()),
        (None, false) => Err(Error::neither_trail_nor_event_data_store()),
    }
}

/// Whether Insights can be on for a trail that logs what `logged` takes.
fn check(insights: &[InsightSelector], logged: &Selectors) -> Result<()> {
    let mut seen = Vec::new();
    for insight in insights {
        let kind = insight.insight_type.as_deref().unwrap_or_default();
        let Some((_, needs_writes)) = TYPES.iter().find(|(known, _)| *known == kind) else {
            return Err(Error::insight_selectors(
                "Every insight selector must have an InsightType.",
            ));
        };
        if seen.contains(&kind) {
            return Err(Error::insight_selectors(format!(
                "The InsightType {kind} is given more than once."
            )));
        }
        seen.push(kind);
        let categories = match &insight.event_categories {
            Some(categories) if !categories.is_empty() => categories.as_slice(),
            _ => &["Management".to_owned()],
        };
        for category in categories {
            let reads_do = category == "Data" || !needs_writes;
            let is_logged =
                logged.may_take(category, false) || (reads_do && logged.may_take(category, true));
            if !is_logged {
                let events = match (reads_do, category.as_str()) {
                    (false, _) => "write management events",
                    (true, "Data") => "read or write data events",
                    (true, _) => "read or write management events",
                };
                return Err(Error::insight_selectors(format!(
                    "The trail must log {events} to enable {kind}."
                )));
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::super::testing::Api;
    use super::*;

    const MAIN: &str = "arn:aws:cloudtrail:us-east-1:111122223333:trail/main";

    #[test]
    fn insights_need_the_events_that_they_look_at() {
        let basic = |selector: Value| json!({ "EventSelectors": [selector] });
        let advanced =
            |fields: Value| json!({ "AdvancedEventSelectors": [{ "FieldSelectors": fields }] });
        let category = |name: &str| json!({ "Field": "eventCategory", "Equals": [name] });
        let read_only = |value: &str| json!({ "Field": "readOnly", "Equals": [value] });
        let objects = json!([{ "Type": "AWS::S3::Object", "Values": ["arn:aws:s3"] }]);
        // Call rate and error rate of management events, call rate and error rate of data events.
        for (selectors, expected) in [
            (basic(json!({})), [true, true, false, false]),
            (
                basic(json!({ "ReadWriteType": "WriteOnly" })),
                [true, true, false, false],
            ),
            (
                basic(json!({ "ReadWriteType": "ReadOnly" })),
                [false, true, false, false],
            ),
            (
                basic(json!({ "IncludeManagementEvents": false, "DataResources": objects })),
                [false, false, true, true],
            ),
            (
                basic(json!({ "ReadWriteType": "ReadOnly", "DataResources": objects })),
                [false, true, true, true],
            ),
            (
                basic(json!({ "DataResources": [{ "Type": "AWS::S3::Object", "Values": [] }] })),
                [true, true, false, false],
            ),
            (
                advanced(json!([category("Management")])),
                [true, true, false, false],
            ),
            (
                advanced(json!([category("Management"), read_only("true")])),
                [false, true, false, false],
            ),
            (
                advanced(json!([category("Management"), read_only("false")])),
                [true, true, false, false],
            ),
            (
                advanced(json!([category("Data"), read_only("true")])),
                [false, false, true, true],
            ),
            (
                advanced(json!([category("NetworkActivity")])),
                [false, false, false, false],
            ),
        ] {
            let logged: Selectors = serde_json::from_value(selectors.clone()).unwrap();
            let mut outcome = Vec::new();
            for category in ["Management", "Data"] {
                for (kind, _) in TYPES {
                    let insight = InsightSelector {
                        insight_type: Some((*kind).to_owned()),
                        event_categories: Some(vec![category.to_owned()]),
                    };
                    outcome.push(check(&[insight], &logged).is_ok());
                }
            }
            assert_eq!(outcome, expected, "{selectors}");
        }
    }

    #[tokio::test]
    async fn bad_insight_selectors_get_their_errors() {
        let api = Api::new().await;
        api.make_trail("main", false).await;
        let rate = json!([{ "InsightType": "ApiCallRateInsight" }]);
        let store = "arn:aws:cloudtrail:us-east-1:111122223333:eventdatastore/x";
        for (input, code) in [
            (
                json!({ "TrailName": "main", "EventDataStore": store, "InsightSelectors": rate }),
                "InvalidParameterCombinationException",
            ),
            (
                json!({ "TrailName": "main", "InsightsDestination": store, "InsightSelectors": rate }),
                "InvalidParameterCombinationException",
            ),
            (
                json!({ "InsightSelectors": rate }),
                "InvalidParameterCombinationException",
            ),
            (
                json!({ "EventDataStore": store, "InsightsDestination": store, "InsightSelectors": rate }),
                "UnsupportedOperationException",
            ),
            (json!({ "TrailName": "main" }), "ValidationException"),
            (
                json!({ "TrailName": "main", "InsightSelectors": [{ "InsightType": "X" }] }),
                "ValidationException",
            ),
            (
                json!({ "TrailName": "main", "InsightSelectors": [{}] }),
                "InvalidInsightSelectorsException",
            ),
            (
                json!({ "TrailName": "main", "InsightSelectors": [rate[0], rate[0]] }),
                "InvalidInsightSelectorsException",
            ),
            (
                json!({ "TrailName": "main", "InsightSelectors": [
                    { "InsightType": "ApiCallRateInsight", "EventCategories": ["Data"] },
                ] }),
                "InvalidInsightSelectorsException",
            ),
            (
                json!({ "TrailName": "none", "InsightSelectors": rate }),
                "TrailNotFoundException",
            ),
            (
                json!({ "TrailName": "x", "InsightSelectors": rate }),
                "InvalidTrailNameException",
            ),
        ] {
            let refused = api.refused("PutInsightSelectors", input.clone()).await;
            assert!(refused.starts_with(code), "{input}: {refused}");
        }
        for (input, code) in [
            (
                json!({ "TrailName": "main", "EventDataStore": store }),
                "InvalidParameterCombinationException",
            ),
            (json!({}), "InvalidParameterCombinationException"),
            (
                json!({ "EventDataStore": store }),
                "UnsupportedOperationException",
            ),
        ] {
            let refused = api.refused("GetInsightSelectors", input.clone()).await;
            assert!(refused.starts_with(code), "{input}: {refused}");
        }
    }

    #[tokio::test]
    async fn a_trail_without_insights_says_how_to_enable_them() {
        let api = Api::new().await;
        api.make_trail("main", false).await;
        let off = json!({ "TrailName": "main", "InsightSelectors": [] });
        assert_eq!(
            api.call("PutInsightSelectors", off).await,
            json!({ "TrailARN": MAIN, "InsightSelectors": [] })
        );
        assert_eq!(
            api.refused("GetInsightSelectors", json!({ "TrailName": "main" }))
                .await,
            format!(
                "InsightNotEnabledException: Trail {MAIN} does not have Insights enabled. Edit the trail settings to \
                 enable Insights, and then try the operation again."
            )
        );
    }
}
