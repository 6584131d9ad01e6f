//! The size of a record: at most 256 KB as a whole, and less for each of the fields that grow (facts 5.1).
//!
//! What is left of these can still add up to more: text that JSON escapes, and many resources. Then fields are left out,
//! the least telling first, with a note in place of each; the order is that of AWS's larger events.

use serde_json::Value;

use super::values::{at_most, json_length, omitted, text_length};
use super::{Event, Resource};

/// Most bytes of a record's JSON.
pub(super) const LIMIT: usize = 256 * 1024;

/// Names, punctuation and the short fields of a record: more than they ever need.
const FRAME: usize = 4 * 1024;

/// A field that may be left out, if the event has it.
type Field = fn(&mut Event) -> Option<&mut Value>;

/// What is left out, in this order: name, most bytes of its JSON, and where it is.
const FIELDS: &[(&str, usize, Field)] = &[
    ("additionalEventData", SMALLEST_LIMIT, |event| {
        event.additional_event_data.as_mut()
    }),
    ("responseElements", 100 * 1024, |event| {
        Some(&mut event.response_elements)
    }),
    ("requestParameters", 100 * 1024, |event| {
        Some(&mut event.request_parameters)
    }),
];

/// A record that is no longer breaks no limit.
const SMALLEST_LIMIT: usize = 28 * 1024;

/// The record, and each of its fields, small enough.
pub(super) fn fit(mut event: Event) -> Event {
    // Most records are far from any limit, and for that their texts need not be read.
    if length(&event, at_most) <= SMALLEST_LIMIT {
        return event;
    }
    for (name, limit, field) in FIELDS {
        let too_long = |value: &Value| match json_length(value, at_most) {
            length if length <= *limit => None,
            _ => Some(json_length(value, text_length)).filter(|length| length > limit),
        };
        if let Some(value) = field(&mut event)
            && let Some(length) = too_long(value)
        {
            *value = omitted(length, name);
        }
    }
    if length(&event, at_most) <= LIMIT {
        return event;
    }
    for (name, _, field) in FIELDS {
        if length(&event, text_length) <= LIMIT {
            return event;
        }
        if let Some(value) = field(&mut event).filter(|value| !value.is_null()) {
            *value = omitted(json_length(value, text_length), name);
        }
    }
    while length(&event, text_length) > LIMIT && !event.resources.is_empty() {
        event.resources.truncate(event.resources.len() / 2);
    }
    event
}

/// Bytes of the record's JSON, rounded up, with its texts as `measure` has them.
fn length(event: &Event, measure: impl Fn(&str) -> usize + Copy) -> usize {
    let texts = [
        Some(&event.source_ip_address),
        event.user_agent.as_ref(),
        event.error_code.as_ref(),
        event.error_message.as_ref(),
        event.request_id.as_ref(),
    ];
    let values = [
        Some(&event.user_identity),
        Some(&event.request_parameters),
        Some(&event.response_elements),
        event.additional_event_data.as_ref(),
        event.tls_details.as_ref(),
    ];
    FRAME
        + texts
            .into_iter()
            .flatten()
            .map(|it| measure(it))
            .sum::<usize>()
        + values
            .into_iter()
            .flatten()
            .map(|it| json_length(it, measure))
            .sum::<usize>()
        + event
            .resources
            .iter()
            .map(|it| resource_length(it, measure))
            .sum::<usize>()
}

fn resource_length(resource: &Resource, measure: impl Fn(&str) -> usize + Copy) -> usize {
    let Resource {
        account_id,
        kind,
        arn,
        arn_prefix,
        other,
    } = resource;
    // The longest names and their punctuation.
    let frame = r#"{"accountId":,"type":,"ARN":,"ARNPrefix":},"#.len();
    let texts = [account_id, kind, arn, arn_prefix];
    let others = other.iter();
    frame
        + others
            .map(|(name, value)| measure(name) + json_length(value, measure))
            .sum::<usize>()
        + texts
            .into_iter()
            .flatten()
            .map(|it| measure(it))
            .sum::<usize>()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::testing::TestCall;
    use super::*;

    /// An event whose members are as large as they may be on their own, and this many resources.
    fn large(resources: usize) -> Event {
        let mut event = TestCall::new("iam", "ListUsers", json!({})).record();
        // Each character is six in JSON.
        let text = "\u{1}".repeat(1024);
        event.user_agent = Some(text.clone());
        event.error_code = Some(text.clone());
        event.error_message = Some(text.clone());
        event.request_id = Some(text);
        event.additional_event_data = Some(json!({"a": "x".repeat(28 * 1024 - 8)}));
        event.request_parameters = json!({"a": "x".repeat(100 * 1024 - 8)});
        event.response_elements = json!({"a": "x".repeat(100 * 1024 - 8)});
        let resource = Resource {
            account_id: Some("111122223333".to_owned()),
            kind: Some("AWS::DynamoDB::Table".to_owned()),
            arn: Some("x".repeat(200)),
            arn_prefix: None,
            other: crate::aws::Params::new(),
        };
        event.resources = vec![resource; resources];
        event
    }

    #[test]
    fn a_field_longer_than_its_own_limit_is_left_out() {
        for (at, (name, limit, field)) in FIELDS.iter().enumerate() {
            for (length, is_kept) in [(*limit, true), (limit + 1, false)] {
                let mut event = TestCall::new("iam", "ListUsers", json!({})).record();
                event.additional_event_data = Some(json!({}));
                let text = "x".repeat(length - r#"{"a":""}"#.len());
                *field(&mut event).unwrap() = json!({"a": text});
                let mut event = fit(event);
                let note = omitted(length, name);
                assert_eq!(
                    *field(&mut event).unwrap() != note,
                    is_kept,
                    "{name} {length}"
                );
                let mut others = FIELDS.iter().enumerate().filter(|(it, _)| *it != at);
                assert!(
                    others.all(|(_, (.., other))| other(&mut event).unwrap()["omitted"].is_null())
                );
            }
        }
    }

    #[test]
    fn no_record_is_larger_than_the_limit() {
        for (resources, data, elements, parameters, kept) in [
            (0, true, false, false, 0),
            (100, true, false, false, 100),
            (400, true, true, false, 400),
            (2_000, true, true, true, 500),
        ] {
            let event = fit(large(resources));
            let size = serde_json::to_string(&event).unwrap().len();
            assert!(size <= LIMIT, "{resources}: {size}");
            let is_omitted = |value: &Value| value["omitted"] == true;
            assert_eq!(
                (
                    event.additional_event_data.as_ref().is_some_and(is_omitted),
                    is_omitted(&event.response_elements),
                    is_omitted(&event.request_parameters),
                    event.resources.len()
                ),
                (data, elements, parameters, kept),
                "{resources}"
            );
        }
    }

    #[test]
    fn the_length_is_never_less_than_the_json() {
        for event in [
            large(0),
            large(3),
            TestCall::new("iam", "ListUsers", json!({})).record(),
        ] {
            let size = serde_json::to_string(&event).unwrap().len();
            let length = length(&event, text_length);
            assert!(length >= size && length < size + FRAME, "{size} {length}");
        }
    }
}
