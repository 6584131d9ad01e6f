//! LookupEvents: the management events of the last 90 days, in the account and region that is called.
//!
//! Needs no trail, and no trail's settings matter. Data and network activity events are never shown; Insights events
//! would be, but there are none. AWS refuses an account's third call within a second; here none is refused, since
//! what is tried out on one machine need not be paced.

use serde::{Deserialize, Serialize};

use super::error::{Error, Result};
use super::{Cx, Timestamp, page_after, page_token};
use crate::event::HISTORY_MS;
use crate::store::{EventAttribute, EventFilter, EventRow};

/// The largest page, and the one that is given if none is asked for.
const EVENTS_PER_PAGE: u32 = 50;

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct LookupEventsInput {
    #[serde(default)]
    lookup_attributes: Vec<LookupAttribute>,
    start_time: Option<Timestamp>,
    end_time: Option<Timestamp>,
    event_category: Option<String>,
    max_results: Option<u32>,
    next_token: Option<String>,
}

#[derive(Debug, Deserialize, Serialize)]
#[serde(rename_all = "PascalCase")]
struct LookupAttribute {
    attribute_key: String,
    attribute_value: String,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct LookupEventsOutput {
    events: Vec<EventOutput>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_token: Option<String>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct EventOutput {
    event_id: String,
    event_name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    read_only: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    access_key_id: Option<String>,
    event_time: Timestamp,
    event_source: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    username: Option<String>,
    resources: Vec<ResourceOutput>,
    cloud_trail_event: String,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct ResourceOutput {
    #[serde(skip_serializing_if = "Option::is_none")]
    resource_type: Option<String>,
    resource_name: String,
}

/// <https://docs.aws.amazon.com/awscloudtrail/latest/APIReference/API_LookupEvents.html>
pub(super) async fn lookup_events(cx: Cx, input: LookupEventsInput) -> Result<LookupEventsOutput> {
    let limit = match input.max_results {
        None => EVENTS_PER_PAGE,
        Some(limit @ 1..=EVENTS_PER_PAGE) => limit,
        Some(_) => return Err(Error::max_results(EVENTS_PER_PAGE)),
    };
    let filter = filter(&cx, &input)?;
    // Times as they were asked for: those that are left out move with the clock from page to page.
    let request = (
        (&cx.account, &cx.region),
        &input.lookup_attributes,
        (input.start_time, input.end_time),
        &input.event_category,
    );
    let after: Option<(i64, i64)> = match &input.next_token {
        Some(token) => Some(page_after(&request, token)?),
        None => None,
    };
    let Some(filter) = filter else {
        return Ok(LookupEventsOutput {
            events: Vec::new(),
            next_token: None,
        });
    };

    // One more than is shown, to know whether there is a next page.
    let mut rows = cx.store.event_page(&filter, after, limit + 1).await?;
    let is_last = rows.len() <= limit as usize;
    rows.truncate(limit as usize);
    let next_token = match rows.last() {
        Some(last) if !is_last => Some(page_token(&request, &(last.time_ms, last.id))?),
        _ => None,
    };
    Ok(LookupEventsOutput {
        events: rows.into_iter().map(shown).collect(),
        next_token,
    })
}

/// What is looked for; `None` if it is Insights events.
fn filter(cx: &Cx, input: &LookupEventsInput) -> Result<Option<EventFilter>> {
    let for_insights = match input.event_category.as_deref() {
        None => false,
        Some("insight") => true,
        Some(category) => return Err(Error::event_category(category)),
    };
    let attribute = match input.lookup_attributes.as_slice() {
        [] => None,
        [one] => Some(attribute(one)?),
        _ => {
            return Err(Error::lookup_attributes(
                "You can specify only one lookup attribute.",
            ));
        }
    };
    if for_insights
        && !matches!(
            attribute,
            None | Some(
                EventAttribute::EventId(_)
                    | EventAttribute::EventName(_)
                    | EventAttribute::EventSource(_)
            )
        )
    {
        return Err(Error::lookup_attributes(
            "Insights events can be looked up by EventId, EventName and EventSource.",
        ));
    }
    let now_ms = cx.clock.now_ms();
    let oldest_ms = now_ms.saturating_sub(HISTORY_MS);
    let until_ms = input.end_time.map_or(now_ms, |time| time.0);
    let since_ms = input.start_time.map(|time| time.0);
    if since_ms.is_some_and(|since_ms| since_ms > until_ms) {
        return Err(Error::time_range());
    }
    if for_insights {
        return Ok(None);
    }
    // Both ends are inclusive, and events are shown with whole seconds: the time that is shown must find its event.
    let since_ms = since_ms.map(|since_ms| since_ms.saturating_add(999));
    let since_ms = since_ms.map(|since_ms| since_ms - since_ms.rem_euclid(1000));
    let until_ms = until_ms.saturating_add(999 - until_ms.rem_euclid(1000));
    Ok(Some(EventFilter {
        account: cx.account.clone(),
        region: cx.region.clone(),
        since_ms: since_ms.unwrap_or(oldest_ms).max(oldest_ms),
        until_ms,
        attribute,
    }))
}

fn attribute(attribute: &LookupAttribute) -> Result<EventAttribute> {
    let value = attribute.attribute_value.clone();
    Ok(match attribute.attribute_key.as_str() {
        "AccessKeyId" => EventAttribute::AccessKeyId(value),
        "EventId" => EventAttribute::EventId(value),
        "EventName" => EventAttribute::EventName(value),
        "EventSource" => EventAttribute::EventSource(value),
        "ReadOnly" => EventAttribute::ReadOnly(match value.as_str() {
            "true" => true,
            "false" => false,
            _ => {
                return Err(Error::lookup_attributes(
                    "The value of the lookup attribute ReadOnly must be true or false.",
                ));
            }
        }),
        "ResourceName" => EventAttribute::ResourceName(value),
        "ResourceType" => EventAttribute::ResourceType(value),
        "Username" => EventAttribute::Username(value),
        key => {
            return Err(Error::lookup_attributes(format!(
                "The lookup attribute {key} is not valid."
            )));
        }
    })
}

fn shown(row: EventRow) -> EventOutput {
    EventOutput {
        event_id: row.event_id,
        event_name: row.name,
        read_only: row
            .read_only
            .map(|read_only| if read_only { "true" } else { "false" }),
        access_key_id: row.access_key_id,
        // Records have whole seconds.
        event_time: Timestamp(row.time_ms - row.time_ms.rem_euclid(1000)),
        event_source: row.source,
        username: row.user_name,
        resources: row
            .resources
            .into_iter()
            .map(|resource| ResourceOutput {
                resource_type: resource.kind,
                resource_name: resource.name,
            })
            .collect(),
        cloud_trail_event: row.record,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::super::testing::Api;
    use super::*;
    use crate::event::NamedResource;

    /// The clock of [`Api`].
    const NOW_MS: i64 = 1_800_000_000_250;

    fn read(input: Value) -> LookupEventsInput {
        serde_json::from_value(input).unwrap()
    }

    #[tokio::test]
    async fn times_default_to_the_last_90_days() {
        let api = Api::new().await;
        let oldest_ms = NOW_MS - 90 * 86_400_000;
        // The seconds end with their last millisecond.
        let now_ms = 1_800_000_000_999;
        for (input, since_ms, until_ms) in [
            (json!({}), oldest_ms, now_ms),
            (json!({ "StartTime": 0 }), oldest_ms, now_ms),
            (
                json!({ "StartTime": 1_799_999_999.5 }),
                1_800_000_000_000,
                now_ms,
            ),
            (
                json!({ "StartTime": 1_799_999_999, "EndTime": 1_799_999_999 }),
                1_799_999_999_000,
                1_799_999_999_999,
            ),
            (
                json!({ "EndTime": 1_799_999_999.5 }),
                oldest_ms,
                1_799_999_999_999,
            ),
            (
                json!({ "EndTime": 1_900_000_000 }),
                oldest_ms,
                1_900_000_000_999,
            ),
            (json!({ "EndTime": 1e300 }), oldest_ms, i64::MAX),
            (
                json!({ "EndTime": -1e300 }),
                oldest_ms,
                i64::MIN + 999 - i64::MIN.rem_euclid(1000),
            ),
        ] {
            let filter = filter(&api.cx, &read(input.clone())).unwrap().unwrap();
            assert_eq!(
                (filter.since_ms, filter.until_ms),
                (since_ms, until_ms),
                "{input}"
            );
            assert_eq!(
                (filter.account.as_str(), filter.region.as_str()),
                ("111122223333", "us-east-1")
            );
        }
        for input in [
            json!({ "StartTime": 2, "EndTime": 1 }),
            json!({ "StartTime": 1_900_000_000 }),
        ] {
            let error = filter(&api.cx, &read(input)).unwrap_err();
            assert_eq!(error.code().as_str(), "InvalidTimeRangeException");
        }
    }

    #[test]
    fn there_are_eight_keys() {
        for key in [
            "AccessKeyId",
            "EventId",
            "EventName",
            "EventSource",
            "ResourceName",
            "ResourceType",
            "Username",
        ] {
            let attribute = attribute(&LookupAttribute {
                attribute_key: key.to_owned(),
                attribute_value: "v".to_owned(),
            });
            assert_eq!(format!("{:?}", attribute.unwrap()), format!("{key}(\"v\")"));
        }
        for (key, value, expected) in [
            ("ReadOnly", "true", Some("ReadOnly(true)")),
            ("ReadOnly", "false", Some("ReadOnly(false)")),
            ("ReadOnly", "True", None),
            ("eventName", "v", None),
        ] {
            let attribute = attribute(&LookupAttribute {
                attribute_key: key.to_owned(),
                attribute_value: value.to_owned(),
            });
            assert_eq!(
                attribute
                    .ok()
                    .map(|attribute| format!("{attribute:?}"))
                    .as_deref(),
                expected
            );
        }
    }

    #[tokio::test]
    async fn insights_events_are_none_and_have_three_keys() {
        let api = Api::new().await;
        let by = |key: &str| {
            json!({
                "EventCategory": "insight",
                "LookupAttributes": [{ "AttributeKey": key, "AttributeValue": "true" }],
            })
        };
        assert_eq!(
            api.call("LookupEvents", json!({ "EventCategory": "insight" }))
                .await,
            json!({ "Events": [] })
        );
        assert_eq!(
            api.call("LookupEvents", by("EventName")).await,
            json!({ "Events": [] })
        );
        for (input, code) in [
            (by("ReadOnly"), "InvalidLookupAttributesException"),
            (
                json!({ "LookupAttributes": [
                { "AttributeKey": "EventName", "AttributeValue": "a" },
                { "AttributeKey": "EventId", "AttributeValue": "b" },
            ] }),
                "InvalidLookupAttributesException",
            ),
            (json!({ "NextToken": "x" }), "InvalidNextTokenException"),
        ] {
            let refused = api.refused("LookupEvents", input).await;
            assert!(refused.starts_with(code), "{refused}");
        }
    }

    #[test]
    fn an_event_is_shown_with_what_it_has() {
        let row = EventRow {
            id: 1,
            event_id: "id".to_owned(),
            time_ms: 1_800_000_000_999,
            source: "s3.amazonaws.com".to_owned(),
            name: "CreateBucket".to_owned(),
            read_only: Some(false),
            user_name: None,
            access_key_id: Some("AKIAEXAMPLE".to_owned()),
            resources: [(Some("AWS::S3::Bucket"), "b"), (None, "c")]
                .map(|(kind, name)| NamedResource {
                    kind: kind.map(str::to_owned),
                    name: name.to_owned(),
                })
                .into(),
            record: "{}".to_owned(),
        };
        assert_eq!(
            serde_json::to_value(shown(row)).unwrap(),
            json!({
                "EventId": "id",
                "EventName": "CreateBucket",
                "ReadOnly": "false",
                "AccessKeyId": "AKIAEXAMPLE",
                "EventTime": 1_800_000_000.0,
                "EventSource": "s3.amazonaws.com",
                "Resources": [
                    { "ResourceType": "AWS::S3::Bucket", "ResourceName": "b" },
                    { "ResourceName": "c" },
                ],
                "CloudTrailEvent": "{}",
            })
        );
    }
}
