//! Does a selector take an event?
//!
//! A selector never sees requests or answers, so the same rules hold for recorded and for imported events. An event is
//! taken if *any* of the selectors takes it.

use super::{
    AdvancedEventSelector, AdvancedFieldSelector, DataResource, EventSelector, ReadWriteType,
    Selectors,
};
use crate::event::{Event, Resource};

impl Selectors {
    /// Whether any selector takes `event`.
    pub fn takes(&self, event: &Event) -> bool {
        match self {
            Self::Basic(selectors) => selectors.iter().any(|selector| selector.takes(event)),
            Self::Advanced(selectors) => selectors.iter().any(|selector| selector.takes(event)),
        }
    }

    /// Whether events of `category` (`Management`, `Data`) that read, or that write, can be taken at all.
    pub fn may_take(&self, category: &str, read_only: bool) -> bool {
        match self {
            Self::Basic(selectors) => selectors
                .iter()
                .any(|selector| selector.may_take(category, read_only)),
            Self::Advanced(selectors) => selectors
                .iter()
                .any(|selector| selector.may_take(category, read_only)),
        }
    }
}

impl EventSelector {
    fn may_take(&self, category: &str, read_only: bool) -> bool {
        self.read_write_type.wants(Some(read_only))
            && match category {
                "Management" => self.include_management_events,
                "Data" => self.data_resources.iter().any(|it| !it.values.is_empty()),
                _ => false,
            }
    }

    pub fn takes(&self, event: &Event) -> bool {
        self.read_write_type.wants(event.read_only)
            && match event.category() {
                "Management" => {
                    self.include_management_events
                        && !self
                            .exclude_management_event_sources
                            .contains(&event.event_source)
                }
                "Data" => self
                    .data_resources
                    .iter()
                    .any(|wanted| event.resources.iter().any(|it| wanted.takes(it))),
                _ => false,
            }
    }
}

impl ReadWriteType {
    /// What does not say that it reads, writes.
    fn wants(self, read_only: Option<bool>) -> bool {
        match self {
            Self::All => true,
            Self::ReadOnly => read_only == Some(true),
            Self::WriteOnly => read_only != Some(true),
        }
    }
}

impl DataResource {
    fn takes(&self, resource: &Resource) -> bool {
        let Some(arn) = arn_or_prefix(resource) else {
            return false;
        };
        resource.kind.as_deref() == Some(&self.kind)
            && self.values.iter().any(|value| {
                if self.kind == "AWS::S3::Object" || names_a_service_only(value) {
                    arn.starts_with(value.as_str())
                } else {
                    arn == value
                }
            })
    }
}

/// `arn:aws:lambda`, with or without what may follow empty: all of the service's resources.
fn names_a_service_only(value: &str) -> bool {
    value.trim_end_matches(':').split(':').count() <= 3
}

impl AdvancedEventSelector {
    fn may_take(&self, category: &str, read_only: bool) -> bool {
        self.field_selectors
            .iter()
            .all(|selector| match &*selector.field {
                "eventCategory" => selector.takes([category]),
                "readOnly" => selector.takes([boolean(read_only)]),
                _ => true,
            })
    }

    pub fn takes(&self, event: &Event) -> bool {
        let kind = self
            .field_selectors
            .iter()
            .find(|selector| selector.field == "resources.type")
            .and_then(|selector| selector.equals.first());
        self.field_selectors
            .iter()
            .all(|selector| match &*selector.field {
                // Of several resources, those of the type asked for count.
                "resources.ARN" => selector.takes(
                    event
                        .resources
                        .iter()
                        .filter(|it| kind.is_none() || it.kind.as_ref() == kind)
                        .filter_map(arn_or_prefix),
                ),
                "resources.type" => {
                    selector.takes(event.resources.iter().filter_map(|it| it.kind.as_deref()))
                }
                field => selector.takes(field_value(event, field)),
            })
    }
}

impl AdvancedFieldSelector {
    /// Whether the values that the event has in this field (none, one, or several resources') agree.
    fn takes<'a>(&self, values: impl IntoIterator<Item = &'a str>) -> bool {
        let selects =
            !self.equals.is_empty() || !self.starts_with.is_empty() || !self.ends_with.is_empty();
        let mut selected = !selects;
        for value in values {
            let any = |wanted: &[String], test: fn(&str, &str) -> bool| {
                wanted.iter().any(|wanted| test(value, wanted))
            };
            if any(&self.not_equals, |value, wanted| value == wanted)
                || any(&self.not_starts_with, |value, wanted| {
                    value.starts_with(wanted)
                })
                || any(&self.not_ends_with, |value, wanted| value.ends_with(wanted))
            {
                return false;
            }
            selected = selected
                || any(&self.equals, |value, wanted| value == wanted)
                || any(&self.starts_with, |value, wanted| value.starts_with(wanted))
                || any(&self.ends_with, |value, wanted| value.ends_with(wanted));
        }
        selected
    }
}

/// The value of a field that an event has once.
fn field_value<'a>(event: &'a Event, field: &str) -> Option<&'a str> {
    match field {
        "eventCategory" => Some(event.category()),
        "eventSource" => Some(&event.event_source),
        "eventName" => Some(&event.event_name),
        "eventType" => Some(&event.event_type),
        "readOnly" => event.read_only.map(boolean),
        "errorCode" => event.error_code.as_deref(),
        "vpcEndpointId" => event.vpc_endpoint_id.as_deref(),
        "sessionCredentialFromConsole" => event.session_credential_from_console.as_deref(),
        "userIdentity.arn" => event.user_identity.get("arn")?.as_str(),
        _ => None,
    }
}

fn boolean(value: bool) -> &'static str {
    if value { "true" } else { "false" }
}

/// List calls name their objects by a prefix.
fn arn_or_prefix(resource: &Resource) -> Option<&str> {
    resource.arn.as_deref().or(resource.arn_prefix.as_deref())
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    /// An event with these members over a minimal frame.
    fn event(members: Value) -> Event {
        let mut frame = json!({
            "eventVersion": "1.11",
            "userIdentity": {"type": "IAMUser", "arn": "arn:aws:iam::111122223333:user/Alice"},
            "eventTime": "2026-11-22T15:00:00Z",
            "eventSource": "s3.amazonaws.com",
            "eventName": "GetObject",
            "awsRegion": "us-east-1",
            "sourceIPAddress": "192.0.2.10",
            "eventID": "5f1c4c3e-0000-4000-8000-000000000001",
            "eventType": "AwsApiCall",
        });
        let Value::Object(members) = members else {
            panic!("an object")
        };
        frame.as_object_mut().unwrap().extend(members);
        serde_json::from_value(frame).unwrap()
    }

    fn object_read(arn: &str) -> Event {
        event(json!({
            "readOnly": true, "managementEvent": false, "eventCategory": "Data",
            "resources": [
                {"type": "AWS::S3::Object", "ARN": arn},
                {"type": "AWS::S3::Bucket", "ARN": "arn:aws:s3:::logs", "accountId": "111122223333"}
            ],
        }))
    }

    fn selectors(json: Value) -> Selectors {
        serde_json::from_value(json).unwrap()
    }

    fn basic(json: &Value) -> Selectors {
        selectors(json!({"EventSelectors": [json]}))
    }

    fn data(fields: &Value) -> Selectors {
        let mut all = json!([
            {"Field": "eventCategory", "Equals": ["Data"]},
            {"Field": "resources.type", "Equals": ["AWS::S3::Object"]},
        ]);
        all.as_array_mut()
            .unwrap()
            .extend(fields.as_array().unwrap().iter().cloned());
        selectors(json!({"AdvancedEventSelectors": [{"Name": "n", "FieldSelectors": all}]}))
    }

    #[test]
    fn the_default_takes_all_management_events_and_nothing_else() {
        let default = Selectors::default();
        assert_eq!(
            serde_json::to_value(&default).unwrap(),
            json!({"EventSelectors": [{
                "ReadWriteType": "All", "IncludeManagementEvents": true,
                "DataResources": [], "ExcludeManagementEventSources": [],
            }]})
        );
        for (members, taken) in [
            (
                json!({"readOnly": true, "eventCategory": "Management"}),
                true,
            ),
            (
                json!({"readOnly": false, "eventCategory": "Management"}),
                true,
            ),
            (
                json!({"managementEvent": false, "eventCategory": "Data"}),
                false,
            ),
            (json!({"eventCategory": "NetworkActivity"}), false),
            (json!({"eventCategory": "Insight"}), false),
        ] {
            assert_eq!(default.takes(&event(members.clone())), taken, "{members}");
        }
    }

    #[test]
    fn basic_selectors_ask_for_kind_of_access_source_and_resource() {
        let read = event(json!({"readOnly": true, "eventSource": "kms.amazonaws.com"}));
        let write = event(json!({"readOnly": false, "eventSource": "iam.amazonaws.com"}));
        let object = object_read("arn:aws:s3:::logs/2026/a.json");
        let s3 = |value: &str| {
            json!({"IncludeManagementEvents": false,
                   "DataResources": [{"Type": "AWS::S3::Object", "Values": [value]}]})
        };
        for (selector, [on_read, on_write, on_object]) in [
            (json!({}), [true, true, false]),
            (json!({"ReadWriteType": "ReadOnly"}), [true, false, false]),
            (json!({"ReadWriteType": "WriteOnly"}), [false, true, false]),
            (
                json!({"IncludeManagementEvents": false}),
                [false, false, false],
            ),
            (
                json!({"ExcludeManagementEventSources": ["kms.amazonaws.com"]}),
                [false, true, false],
            ),
            (s3("arn:aws:s3"), [false, false, true]),
            (s3("arn:aws:s3:::"), [false, false, true]),
            (s3("arn:aws:s3:::logs/"), [false, false, true]),
            (s3("arn:aws:s3:::logs/2026/"), [false, false, true]),
            (s3("arn:aws:s3:::logs/2025/"), [false, false, false]),
            (
                json!({"ReadWriteType": "WriteOnly",
                       "DataResources": [{"Type": "AWS::S3::Object", "Values": ["arn:aws:s3"]}]}),
                [false, true, false],
            ),
            (
                json!({"DataResources": [{"Type": "AWS::S3::Object", "Values": []}]}),
                [true, true, false],
            ),
        ] {
            let taken = basic(&selector);
            assert_eq!(
                [
                    taken.takes(&read),
                    taken.takes(&write),
                    taken.takes(&object)
                ],
                [on_read, on_write, on_object],
                "{selector}"
            );
        }
    }

    #[test]
    fn functions_and_tables_are_named_exactly_or_all_at_once() {
        let invoke = event(json!({
            "readOnly": false, "eventCategory": "Data",
            "resources": [{"type": "AWS::Lambda::Function",
                           "ARN": "arn:aws:lambda:us-east-1:111122223333:function:hello2"}],
        }));
        for (value, taken) in [
            ("arn:aws:lambda", true),
            (
                "arn:aws:lambda:us-east-1:111122223333:function:hello2",
                true,
            ),
            (
                "arn:aws:lambda:us-east-1:111122223333:function:hello",
                false,
            ),
            ("arn:aws:dynamodb", false),
        ] {
            let selector = basic(
                &json!({"DataResources": [{"Type": "AWS::Lambda::Function", "Values": [value]}]}),
            );
            assert_eq!(selector.takes(&invoke), taken, "{value}");
        }
    }

    #[test]
    fn each_operator_of_an_advanced_selector() {
        let object = object_read("arn:aws:s3:::logs/a.json");
        for (fields, taken) in [
            (json!([]), true),
            (json!([{"Field": "readOnly", "Equals": ["true"]}]), true),
            (json!([{"Field": "readOnly", "Equals": ["false"]}]), false),
            (
                json!([{"Field": "eventName", "Equals": ["PutObject", "GetObject"]}]),
                true,
            ),
            (
                json!([{"Field": "eventName", "StartsWith": ["Put"]}]),
                false,
            ),
            (
                json!([{"Field": "eventName", "StartsWith": ["Put"], "EndsWith": ["Object"]}]),
                true,
            ),
            (
                json!([{"Field": "eventName", "NotEquals": ["GetObject"]}]),
                false,
            ),
            (
                json!([{"Field": "eventName", "NotStartsWith": ["Put", "Delete"]}]),
                true,
            ),
            (
                json!([{"Field": "eventName", "NotEndsWith": ["x", "Object"]}]),
                false,
            ),
            (
                json!([{"Field": "eventName", "StartsWith": ["Get"], "NotEquals": ["GetObject"]}]),
                false,
            ),
            (
                json!([{"Field": "resources.ARN", "StartsWith": ["arn:aws:s3:::logs/"]}]),
                true,
            ),
            // The bucket's own ARN is of another type than the one asked for.
            (
                json!([{"Field": "resources.ARN", "Equals": ["arn:aws:s3:::logs"]}]),
                false,
            ),
            (
                json!([{"Field": "resources.ARN", "NotStartsWith": ["arn:aws:s3:::logs/"]}]),
                false,
            ),
            (
                json!([{"Field": "userIdentity.arn", "EndsWith": ["user/Alice"]}]),
                true,
            ),
            (
                json!([{"Field": "sessionCredentialFromConsole", "Equals": ["true"]}]),
                false,
            ),
            (
                json!([{"Field": "sessionCredentialFromConsole", "NotEquals": ["true"]}]),
                true,
            ),
            (
                json!([{"Field": "eventSource", "Equals": ["s3.amazonaws.com"]}]),
                true,
            ),
            (
                json!([{"Field": "eventType", "Equals": ["AwsServiceEvent"]}]),
                false,
            ),
        ] {
            assert_eq!(data(&fields).takes(&object), taken, "{fields}");
        }
    }

    /// Events that differ in what selectors ask for.
    fn samples() -> [(&'static str, Event); 9] {
        let of = |kind: &str, arn: &str| json!({"type": kind, "ARN": arn});
        let data = |source: &str, name: &str, read_only: bool, resources: Value| {
            event(json!({
                "eventSource": source, "eventName": name, "readOnly": read_only, "managementEvent": false,
                "eventCategory": "Data", "resources": resources,
            }))
        };
        let table = "arn:aws:dynamodb:us-east-1:111122223333:table/t";
        let stream = "arn:aws:dynamodb:us-east-1:111122223333:table/t/stream/1";
        let (dynamodb, s3) = ("dynamodb.amazonaws.com", "s3.amazonaws.com");
        [
            ("object", object_read("arn:aws:s3:::logs/a/1")),
            (
                "list",
                data(
                    s3,
                    "ListObjects",
                    true,
                    json!([{"type": "AWS::S3::Object", "ARNPrefix": "arn:aws:s3:::logs/"}]),
                ),
            ),
            (
                "express",
                data(
                    "s3express.amazonaws.com",
                    "PutObject",
                    false,
                    json!([of(
                        "AWS::S3Express::Object",
                        "arn:aws:s3express:us-east-1:111122223333:bucket/b--x-s3/k"
                    )]),
                ),
            ),
            (
                "batch",
                data(
                    dynamodb,
                    "BatchWriteItem",
                    false,
                    json!([
                        of("AWS::DynamoDB::Table", &table.replace("table/t", "table/a")),
                        of("AWS::DynamoDB::Table", table)
                    ]),
                ),
            ),
            (
                "stream",
                data(
                    dynamodb,
                    "GetRecords",
                    true,
                    json!([
                        of("AWS::DynamoDB::Table", table),
                        of("AWS::DynamoDB::Stream", stream)
                    ]),
                ),
            ),
            // Its record tells no ARN.
            (
                "metric",
                data(
                    "monitoring.amazonaws.com",
                    "GetMetricData",
                    true,
                    json!([{"type": "AWS::CloudWatch::Metric"}]),
                ),
            ),
            (
                "kms",
                event(
                    json!({"eventSource": "kms.amazonaws.com", "eventName": "Decrypt", "readOnly": true, "eventCategory": "Management"}),
                ),
            ),
            (
                "login",
                event(
                    json!({"eventSource": "signin.amazonaws.com", "eventName": "ConsoleLogin", "readOnly": false,
                             "eventType": "AwsConsoleSignIn", "eventCategory": "Management"}),
                ),
            ),
            (
                "network",
                event(
                    json!({"eventSource": "kms.amazonaws.com", "eventName": "Decrypt", "eventType": "AwsVpceEvent",
                             "eventCategory": "NetworkActivity", "errorCode": "VpceAccessDenied",
                             "vpcEndpointId": "vpce-0abc", "userIdentity": {"type": "AWSAccount"}}),
                ),
            ),
        ]
    }

    fn taken(selectors: &Selectors) -> String {
        let samples = samples();
        let taken = samples.iter().filter(|(_, event)| selectors.takes(event));
        taken.map(|(name, _)| *name).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn basic_selectors_take_of_all_kinds_of_events_what_they_ask_for() {
        let on = |kind: &str, values: &[&str]| json!({"IncludeManagementEvents": false, "DataResources": [{"Type": kind, "Values": values}]});
        let table = "arn:aws:dynamodb:us-east-1:111122223333:table/t";
        for (selector, expected) in [
            (json!({}), "kms login"),
            (
                json!({"ExcludeManagementEventSources": ["kms.amazonaws.com", "rdsdata.amazonaws.com"]}),
                "login",
            ),
            (json!({"ReadWriteType": "ReadOnly"}), "kms"),
            (json!({"ReadWriteType": "WriteOnly"}), "login"),
            (json!({"IncludeManagementEvents": false}), ""),
            (on("AWS::S3::Object", &["arn:aws:s3"]), "object list"),
            (
                on("AWS::S3::Object", &["arn:aws:s3:::logs/"]),
                "object list",
            ),
            (on("AWS::S3::Object", &["arn:aws:s3:::logs/a/"]), "object"),
            (
                on(
                    "AWS::S3::Object",
                    &["arn:aws:s3:::other/", "arn:aws:s3:::logs/a/1"],
                ),
                "object",
            ),
            (on("AWS::S3::Object", &["arn:aws:s3:::log"]), "object list"),
            (on("AWS::S3::Object", &[]), ""),
            (
                on("AWS::DynamoDB::Table", &["arn:aws:dynamodb"]),
                "batch stream",
            ),
            (on("AWS::DynamoDB::Table", &[table]), "batch stream"),
            (
                on(
                    "AWS::DynamoDB::Table",
                    &[&table.replace("table/t", "table/a")],
                ),
                "batch",
            ),
            (
                on(
                    "AWS::DynamoDB::Table",
                    &["arn:aws:dynamodb:us-east-1:111122223333:table/"],
                ),
                "",
            ),
            (on("AWS::Lambda::Function", &["arn:aws:lambda"]), ""),
            (
                json!({"ReadWriteType": "ReadOnly", "DataResources": [{"Type": "AWS::DynamoDB::Table", "Values": [table]}]}),
                "stream kms",
            ),
        ] {
            assert_eq!(taken(&basic(&selector)), expected, "{selector}");
        }
    }

    #[test]
    fn advanced_selectors_take_of_all_kinds_of_events_what_they_ask_for() {
        let management =
            |more: Value| json!([{"Field": "eventCategory", "Equals": ["Management"]}, more]);
        let network = |more: Value| {
            json!([{"Field": "eventCategory", "Equals": ["NetworkActivity"]},
                   {"Field": "eventSource", "Equals": ["kms.amazonaws.com"]}, more])
        };
        let of = |kind: &str, more: Value| json!([{"Field": "eventCategory", "Equals": ["Data"]}, {"Field": "resources.type", "Equals": [kind]}, more]);
        let any = || json!({"Field": "eventCategory", "NotEquals": ["x"]});
        let arn =
            |operator: &str, value: &str| json!({"Field": "resources.ARN", operator: [value]});
        let (objects, tables) = ("AWS::S3::Object", "AWS::DynamoDB::Table");
        let table = "arn:aws:dynamodb:us-east-1:111122223333:table/t";
        for (fields, expected) in [
            (management(any()), "kms login"),
            (
                management(json!({"Field": "readOnly", "Equals": ["true"]})),
                "kms",
            ),
            (
                management(json!({"Field": "readOnly", "Equals": ["false"]})),
                "login",
            ),
            (
                management(json!({"Field": "readOnly", "Equals": ["true", "false"]})),
                "kms login",
            ),
            (
                management(json!({"Field": "eventSource", "NotEquals": ["kms.amazonaws.com"]})),
                "login",
            ),
            (
                management(json!({"Field": "eventSource", "NotEquals": ["rdsdata.amazonaws.com"]})),
                "kms login",
            ),
            (network(any()), "network"),
            (
                network(json!({"Field": "errorCode", "Equals": ["VpceAccessDenied"]})),
                "network",
            ),
            (
                network(json!({"Field": "vpcEndpointId", "StartsWith": ["vpce-0"]})),
                "network",
            ),
            (
                network(json!({"Field": "vpcEndpointId", "NotEquals": ["vpce-0abc"]})),
                "",
            ),
            (
                network(json!({"Field": "eventName", "NotEndsWith": ["crypt"]})),
                "",
            ),
            (of(objects, any()), "object list"),
            (
                of(objects, arn("StartsWith", "arn:aws:s3:::logs/a")),
                "object",
            ),
            (
                of(objects, arn("Equals", "arn:aws:s3:::logs/a/1")),
                "object",
            ),
            (of(objects, arn("Equals", "arn:aws:s3:::logs/a")), ""),
            (of(objects, arn("EndsWith", "/1")), "object"),
            (
                of(objects, arn("NotStartsWith", "arn:aws:s3:::logs/a")),
                "list",
            ),
            (of(objects, arn("NotEndsWith", "/1")), "list"),
            (
                of(objects, arn("NotEquals", "arn:aws:s3:::logs")),
                "object list",
            ),
            (
                of(
                    objects,
                    json!({"Field": "eventName", "Equals": ["GetObject", "PutObject"]}),
                ),
                "object",
            ),
            (
                of(
                    objects,
                    json!({"Field": "eventSource", "EndsWith": ["express.amazonaws.com"]}),
                ),
                "",
            ),
            (
                of(objects, json!({"Field": "readOnly", "Equals": ["false"]})),
                "",
            ),
            (
                of(
                    objects,
                    json!({"Field": "userIdentity.arn", "NotEndsWith": ["user/Alice"]}),
                ),
                "",
            ),
            (
                of(
                    objects,
                    json!({"Field": "eventType", "Equals": ["AwsApiCall"]}),
                ),
                "object list",
            ),
            (
                of(objects, json!({"Field": "unknown", "Equals": ["x"]})),
                "",
            ),
            (of("AWS::S3::Bucket", any()), "object"),
            (of("AWS::S3Express::Object", any()), "express"),
            (of(tables, any()), "batch stream"),
            // Of several tables one that is asked for is enough, and one that is not wanted is too many.
            (of(tables, arn("Equals", table)), "batch stream"),
            (of(tables, arn("NotEquals", table)), ""),
            (
                of("AWS::DynamoDB::Stream", arn("NotEquals", table)),
                "stream",
            ),
            // What has no ARN is not selected by one, and not deselected either.
            (of("AWS::CloudWatch::Metric", any()), "metric"),
            (of("AWS::CloudWatch::Metric", arn("StartsWith", "arn:")), ""),
            (
                of("AWS::CloudWatch::Metric", arn("NotStartsWith", "arn:")),
                "metric",
            ),
        ] {
            let advanced =
                selectors(json!({"AdvancedEventSelectors": [{"FieldSelectors": fields}]}));
            assert_eq!(taken(&advanced), expected, "{fields}");
        }
    }

    #[test]
    fn one_of_several_advanced_selectors_is_enough() {
        let selectors = selectors(json!({"AdvancedEventSelectors": [
            {"FieldSelectors": [{"Field": "eventCategory", "Equals": ["Management"]},
                                {"Field": "eventSource", "NotEquals": ["kms.amazonaws.com"]}]},
            {"FieldSelectors": [{"Field": "eventCategory", "Equals": ["NetworkActivity"]},
                                {"Field": "errorCode", "Equals": ["VpceAccessDenied"]}]},
        ]}));
        for (members, taken) in [
            (json!({"eventSource": "iam.amazonaws.com"}), true),
            (json!({"eventSource": "kms.amazonaws.com"}), false),
            (
                json!({"eventCategory": "NetworkActivity", "errorCode": "VpceAccessDenied"}),
                true,
            ),
            (json!({"eventCategory": "NetworkActivity"}), false),
            (json!({"eventCategory": "Data"}), false),
        ] {
            assert_eq!(selectors.takes(&event(members.clone())), taken, "{members}");
        }
    }

    #[test]
    fn an_advanced_selector_writes_only_the_operators_it_has() {
        let wire = json!({"AdvancedEventSelectors": [
            {"Name": "n", "FieldSelectors": [{"Field": "eventCategory", "Equals": ["Management"]}]}
        ]});
        assert_eq!(serde_json::to_value(selectors(wire.clone())).unwrap(), wire);
    }
}
