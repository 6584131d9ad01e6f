//! Event selectors: which events a trail takes. Checked when they are put; evaluated elsewhere.
//!
//! What a field of an advanced selector may be compared with, and how, is the table [`CATEGORIES`]. AWS's sentences for
//! bad selectors are, but for data resource values, not known: ours name the offending part.

use serde::{Deserialize, Serialize};

use super::Cx;
use super::error::{Error, Result};
use super::forms;
use super::trails::{Reach, find};
use crate::aws::arn::Arn;
use crate::event::select::{
    AdvancedEventSelector, AdvancedFieldSelector, EventSelector, Selectors,
};

/// Basic selectors that a trail may have.
const SELECTORS_PER_TRAIL: usize = 5;

/// Values of data resources that a trail's basic selectors may have, those that mean everything not counted.
const DATA_VALUES_PER_TRAIL: usize = 250;

/// Values that the conditions of a trail's advanced selectors may have.
const VALUES_PER_TRAIL: usize = 500;

/// Busy services whose management events can be left out.
const EXCLUDABLE_SOURCES: &[&str] = &["kms.amazonaws.com", "rdsdata.amazonaws.com"];

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct GetEventSelectorsInput {
    trail_name: String,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct PutEventSelectorsInput {
    trail_name: String,
    #[serde(default)]
    event_selectors: Vec<EventSelector>,
    #[serde(default)]
    advanced_event_selectors: Vec<AdvancedEventSelector>,
}

/// The selectors in force, of whichever kind they are.
#[derive(Debug, Serialize)]
pub(super) struct SelectorsOutput {
    #[serde(rename = "TrailARN")]
    trail_arn: String,
    #[serde(flatten)]
    selectors: Selectors,
}

/// <https://docs.aws.amazon.com/awscloudtrail/latest/APIReference/API_GetEventSelectors.html>
pub(super) async fn get_event_selectors(
    cx: Cx,
    input: GetEventSelectorsInput,
) -> Result<SelectorsOutput> {
    let trail = find(&cx, &input.trail_name, Reach::Shadow).await?;
    Ok(SelectorsOutput {
        trail_arn: trail.arn(),
        selectors: trail.selectors,
    })
}

/// Selectors of one kind replace those of the other.
/// <https://docs.aws.amazon.com/awscloudtrail/latest/APIReference/API_PutEventSelectors.html>
pub(super) async fn put_event_selectors(
    cx: Cx,
    input: PutEventSelectorsInput,
) -> Result<SelectorsOutput> {
    let trail = find(&cx, &input.trail_name, Reach::Home).await?;
    let (basic, advanced) = (input.event_selectors, input.advanced_event_selectors);
    let selectors = match (basic.is_empty(), advanced.is_empty()) {
        (false, true) => {
            check_basic(&basic)?;
            Selectors::Basic(basic)
        }
        (true, false) => {
            check_advanced(&advanced)?;
            Selectors::Advanced(advanced)
        }
        (true, true) => {
            return Err(Error::selectors(
                "You must specify either EventSelectors or AdvancedEventSelectors.",
            ));
        }
        (false, false) => {
            return Err(Error::selectors(
                "You cannot specify both EventSelectors and AdvancedEventSelectors.",
            ));
        }
    };
    let trail_arn = trail.arn();
    if !cx.store.trail_selectors_put(trail.id, &selectors).await? {
        return Err(Error::trail_not_found(&trail_arn, &cx.account));
    }
    Ok(SelectorsOutput {
        trail_arn,
        selectors,
    })
}

fn check_basic(selectors: &[EventSelector]) -> Result<()> {
    if selectors.len() > SELECTORS_PER_TRAIL {
        return Err(Error::selectors(format!(
            "A trail can have up to {SELECTORS_PER_TRAIL} event selectors."
        )));
    }
    let mut counted = 0;
    for selector in selectors {
        let excluded = &selector.exclude_management_event_sources;
        let is_excludable = |source: &String| EXCLUDABLE_SOURCES.contains(&source.as_str());
        if !excluded.iter().all(is_excludable)
            || (!excluded.is_empty() && !selector.include_management_events)
        {
            return Err(Error::selectors(
                "Event selector ExcludeManagementEventSources is not valid.",
            ));
        }
        for resource in &selector.data_resources {
            let known = DATA_RESOURCES
                .iter()
                .find(|known| known.kind == resource.kind)
                .ok_or_else(|| {
                    Error::selectors(format!(
                        "Value {} for DataResources.Type is invalid.",
                        resource.kind
                    ))
                })?;
            for value in &resource.values {
                if is_all(value, known.service) {
                    continue;
                }
                if !Arn::parse(value).is_some_and(known.is_one) {
                    return Err(Error::data_resource_value(value));
                }
                counted += 1;
            }
        }
    }
    if counted > DATA_VALUES_PER_TRAIL {
        return Err(Error::selectors(format!(
            "The event selectors of a trail can have up to {DATA_VALUES_PER_TRAIL} data resources."
        )));
    }
    Ok(())
}

/// A type of data resources that basic selectors know.
struct DataResourceType {
    kind: &'static str,
    /// Its bare ARN, `arn:aws:lambda`, means all resources of the type.
    service: &'static str,
    /// Whether an ARN has the form of one resource, or of objects of one bucket.
    is_one: fn(Arn<'_>) -> bool,
}

/// A bucket's ARN without a slash is refused, and so is an asterisk for it:
/// <https://github.com/hashicorp/terraform-provider-aws/issues/4043>.
const DATA_RESOURCES: [DataResourceType; 3] = [
    DataResourceType {
        kind: "AWS::S3::Object",
        service: "s3",
        is_one: |arn| {
            let bucket = arn.resource.split_once('/').map(|(bucket, _)| bucket);
            arn.service == "s3"
                && arn.region.is_empty()
                && arn.account.is_empty()
                && bucket.is_some_and(|bucket| forms::bucket(bucket).is_ok())
        },
    },
    DataResourceType {
        kind: "AWS::Lambda::Function",
        service: "lambda",
        is_one: |arn| {
            arn.service == "lambda"
                && arn.resource.len() > "function:".len()
                && arn.resource.starts_with("function:")
        },
    },
    DataResourceType {
        kind: "AWS::DynamoDB::Table",
        service: "dynamodb",
        is_one: |arn| {
            arn.service == "dynamodb"
                && arn.resource.len() > "table/".len()
                && arn.resource.starts_with("table/")
        },
    },
];

/// `arn:aws:s3`, `arn:aws:lambda`, `arn:aws:dynamodb`; colons may follow, as in `arn:aws:s3:::`.
fn is_all(value: &str, service: &str) -> bool {
    let mut parts = value.trim_end_matches(':').split(':');
    let arn = parts.next();
    let partition = parts.next();
    arn == Some("arn")
        && partition.is_some_and(|partition| partition.starts_with("aws"))
        && parts.eq([service])
}

/// A field of an advanced selector.
struct Field {
    name: &'static str,
    /// The selector must have it, exactly once, and equal to one value.
    required: bool,
    operators: &'static [&'static str],
    values: Values,
}

enum Values {
    Any,
    Of(&'static [&'static str]),
    /// `AWS::S3::Object`. AWS knows a list, which grows every month: any of this form is taken.
    ResourceType,
    /// `kms.amazonaws.com`. Of network activity AWS knows a list, which grows: any of this form is taken.
    Source,
}

const fn field(name: &'static str, operators: &'static [&'static str], values: Values) -> Field {
    Field {
        name,
        required: false,
        operators,
        values,
    }
}

const fn required(name: &'static str, values: Values) -> Field {
    Field {
        name,
        required: true,
        operators: EQUALS,
        values,
    }
}

const EQUALS: &[&str] = &["Equals"];
const ALL_OPERATORS: &[&str] = &[
    "Equals",
    "StartsWith",
    "EndsWith",
    "NotEquals",
    "NotStartsWith",
    "NotEndsWith",
];
const BOOLEANS: Values = Values::Of(&["true", "false"]);

/// What trails may select by, per `eventCategory`.
/// <https://docs.aws.amazon.com/awscloudtrail/latest/APIReference/API_AdvancedFieldSelector.html>
#[rustfmt::skip]
const CATEGORIES: &[(&str, &[Field])] = &[
    ("Management", &[
        field("eventSource", &["NotEquals"], Values::Of(EXCLUDABLE_SOURCES)),
        field("readOnly", EQUALS, BOOLEANS),
    ]),
    ("Data", &[
        required("resources.type", Values::ResourceType),
        field("eventName", ALL_OPERATORS, Values::Any),
        field("eventSource", ALL_OPERATORS, Values::Any),
        field("eventType", ALL_OPERATORS, Values::Any),
        field("readOnly", EQUALS, BOOLEANS),
        field("resources.ARN", ALL_OPERATORS, Values::Any),
        field("sessionCredentialFromConsole", &["Equals", "NotEquals"], Values::Of(&["true"])),
        field("userIdentity.arn", ALL_OPERATORS, Values::Any),
    ]),
    ("NetworkActivity", &[
        required("eventSource", Values::Source),
        field("errorCode", EQUALS, Values::Of(&["VpceAccessDenied"])),
        field("eventName", ALL_OPERATORS, Values::Any),
        field("vpcEndpointId", ALL_OPERATORS, Values::Any),
    ]),
];

fn check_advanced(selectors: &[AdvancedEventSelector]) -> Result<()> {
    for selector in selectors {
        let category = only_value(selector, "eventCategory")?;
        let (_, fields) = CATEGORIES
            .iter()
            .find(|(name, _)| *name == category)
            .ok_or_else(|| {
                Error::selectors(format!(
                    "The value {category} for eventCategory is not valid for trails."
                ))
            })?;
        for field in fields.iter().filter(|field| field.required) {
            only_value(selector, field.name)?;
        }
        for condition in &selector.field_selectors {
            check_condition(condition, category, fields)?;
        }
    }
    let values: usize = selectors
        .iter()
        .flat_map(|selector| &selector.field_selectors)
        .flat_map(conditions)
        .map(|(_, values)| values.len())
        .sum();
    if values > VALUES_PER_TRAIL {
        return Err(Error::selectors(format!(
            "The advanced event selectors of a trail can have up to {VALUES_PER_TRAIL} values."
        )));
    }
    Ok(())
}

fn check_condition(
    condition: &AdvancedFieldSelector,
    category: &str,
    fields: &[Field],
) -> Result<()> {
    let name = &condition.field;
    if conditions(condition).next().is_none() {
        return Err(Error::selectors(format!(
            "The field {name} must have at least one operator."
        )));
    }
    if name == "eventCategory" {
        return Ok(());
    }
    let field = fields
        .iter()
        .find(|field| field.name == name)
        .ok_or_else(|| {
            Error::selectors(format!(
                "The field {name} is not valid for eventCategory {category}."
            ))
        })?;
    for (operator, values) in conditions(condition) {
        if !field.operators.contains(&operator) {
            return Err(Error::selectors(format!(
                "The operator {operator} is not valid for the field {name}."
            )));
        }
        if let Some(value) = values.iter().find(|value| !field.values.has(value)) {
            return Err(Error::selectors(format!(
                "The value {value} is not valid for the field {name}."
            )));
        }
    }
    Ok(())
}

impl Values {
    fn has(&self, value: &str) -> bool {
        match self {
            Self::Any => true,
            Self::Of(values) => values.contains(&value),
            Self::Source => value
                .strip_suffix(".amazonaws.com")
                .is_some_and(|name| !name.is_empty()),
            Self::ResourceType => {
                let is_word = |word: &str| {
                    !word.is_empty() && word.bytes().all(|b| b.is_ascii_alphanumeric())
                };
                let parts: Vec<&str> = value.split("::").collect();
                matches!(parts[..], ["AWS", service, kind] if is_word(service) && is_word(kind))
            }
        }
    }
}

/// The operators of a condition that have values, by name.
fn conditions(
    condition: &AdvancedFieldSelector,
) -> impl Iterator<Item = (&'static str, &Vec<String>)> {
    [
        ("Equals", &condition.equals),
        ("StartsWith", &condition.starts_with),
        ("EndsWith", &condition.ends_with),
        ("NotEquals", &condition.not_equals),
        ("NotStartsWith", &condition.not_starts_with),
        ("NotEndsWith", &condition.not_ends_with),
    ]
    .into_iter()
    .filter(|(_, values)| !values.is_empty())
}

/// The one value that `field` must equal in this selector.
fn only_value<'a>(selector: &'a AdvancedEventSelector, field: &str) -> Result<&'a str> {
    let mut found = selector
        .field_selectors
        .iter()
        .filter(|condition| condition.field == field);
    if let (Some(condition), None) = (found.next(), found.next()) {
        let mut conditions = conditions(condition);
        if let (Some(("Equals", values)), None) = (conditions.next(), conditions.next())
            && let [value] = values.as_slice()
        {
            return Ok(value);
        }
    }
    Err(Error::selectors(format!(
        "An advanced event selector must have the field {field} once, with the operator Equals and one value."
    )))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::super::testing::Api;

    const MAIN: &str = "arn:aws:cloudtrail:us-east-1:111122223333:trail/main";

    #[tokio::test]
    async fn selectors_are_put_and_got_and_replace_each_other() {
        let mut api = Api::new().await;
        api.make_trail("main", true).await;
        let get = async |api: &Api| {
            api.call("GetEventSelectors", json!({ "TrailName": MAIN }))
                .await
        };
        let default = json!({
            "ReadWriteType": "All",
            "IncludeManagementEvents": true,
            "DataResources": [],
            "ExcludeManagementEventSources": [],
        });
        assert_eq!(
            get(&api).await,
            json!({ "TrailARN": MAIN, "EventSelectors": [default] })
        );

        let advanced = json!([{
            "Name": "writes",
            "FieldSelectors": [
                { "Field": "eventCategory", "Equals": ["Data"] },
                { "Field": "resources.type", "Equals": ["AWS::S3::Object"] },
                { "Field": "resources.ARN", "StartsWith": ["arn:aws:s3:::b/"], "NotEndsWith": [".tmp"] },
            ],
        }]);
        let answer = api
            .call(
                "PutEventSelectors",
                json!({ "TrailName": "main", "AdvancedEventSelectors": advanced }),
            )
            .await;
        assert_eq!(
            answer,
            json!({ "TrailARN": MAIN, "AdvancedEventSelectors": advanced })
        );
        assert_eq!(get(&api).await, answer);
        let trail = api.call("GetTrail", json!({ "Name": "main" })).await;
        assert_eq!(trail["Trail"]["HasCustomEventSelectors"], true);

        let answer = api
            .call("PutEventSelectors", json!({
                "TrailName": MAIN,
                "EventSelectors": [{ "ReadWriteType": "WriteOnly", "DataResources": [{ "Type": "AWS::S3::Object", "Values": [] }] }],
            }))
            .await;
        let basic = json!({ "TrailARN": MAIN, "EventSelectors": [{
            "ReadWriteType": "WriteOnly",
            "IncludeManagementEvents": true,
            "DataResources": [{ "Type": "AWS::S3::Object", "Values": [] }],
            "ExcludeManagementEventSources": [],
        }] });
        assert_eq!(answer, basic);

        api.go("111122223333", "eu-west-1");
        assert_eq!(get(&api).await, basic);
        let refused = api
            .refused("PutEventSelectors", json!({ "TrailName": MAIN }))
            .await;
        assert!(
            refused.starts_with("InvalidHomeRegionException"),
            "{refused}"
        );
        let refused = api
            .refused("GetEventSelectors", json!({ "TrailName": "main" }))
            .await;
        assert!(refused.starts_with("TrailNotFoundException"), "{refused}");
    }

    #[tokio::test]
    async fn basic_selectors_follow_the_rules() {
        let s3 = |value: &str| json!([{ "DataResources": [{ "Type": "AWS::S3::Object", "Values": [value] }] }]);
        let many = |value: &str, count| json!([{ "DataResources": [{ "Type": "AWS::S3::Object", "Values": vec![value; count] }] }]);
        let bad_value = |value: &str| format!("Value {value} for DataResources.Values is invalid.");
        for (selectors, reason) in [
            (s3("arn:aws:s3"), String::new()),
            (s3("arn:aws-cn:s3:::"), String::new()),
            (s3("arn:aws:s3:::bucket/"), String::new()),
            (s3("arn:aws:s3:::bucket/img"), String::new()),
            (many("arn:aws:s3:::bucket/", 250), String::new()),
            (many("arn:aws:s3:::", 300), String::new()),
            (
                many("arn:aws:s3:::bucket/", 251),
                "up to 250 data resources".to_owned(),
            ),
            (s3("arn:aws:s3:::bucket"), bad_value("arn:aws:s3:::bucket")),
            (s3("arn:aws:s3:::*"), bad_value("arn:aws:s3:::*")),
            (s3("arn:aws:s3:::*/*"), bad_value("arn:aws:s3:::*/*")),
            (s3("mybucket/"), bad_value("mybucket/")),
            (s3("arn:aws:lambda"), bad_value("arn:aws:lambda")),
            (
                json!([{ "DataResources": [
                    { "Type": "AWS::Lambda::Function", "Values": ["arn:aws:lambda", "arn:aws:lambda:us-east-1:111122223333:function:f"] },
                    { "Type": "AWS::DynamoDB::Table", "Values": ["arn:aws:dynamodb", "arn:aws:dynamodb:us-east-1:111122223333:table/t"] },
                ] }]),
                String::new(),
            ),
            (
                json!([{ "DataResources": [{ "Type": "AWS::Lambda::Function", "Values": ["arn:aws:lambda:*"] }] }]),
                bad_value("arn:aws:lambda:*"),
            ),
            (
                json!([{ "DataResources": [{ "Type": "AWS::SNS::Topic" }] }]),
                "DataResources.Type".to_owned(),
            ),
            (
                json!([{ "ExcludeManagementEventSources": ["kms.amazonaws.com", "rdsdata.amazonaws.com"] }]),
                String::new(),
            ),
            (
                json!([{ "ExcludeManagementEventSources": ["s3.amazonaws.com"] }]),
                "ExcludeManagementEventSources".to_owned(),
            ),
            (
                json!([{ "IncludeManagementEvents": false, "ExcludeManagementEventSources": ["kms.amazonaws.com"] }]),
                "ExcludeManagementEventSources".to_owned(),
            ),
            (json!([{}, {}, {}, {}, {}]), String::new()),
            (json!([{}, {}, {}, {}, {}, {}]), "up to 5".to_owned()),
            (json!([]), "either".to_owned()),
        ] {
            check("EventSelectors", selectors, &reason).await;
        }
    }

    #[tokio::test]
    async fn advanced_selectors_follow_the_rules() {
        let management = json!({ "Field": "eventCategory", "Equals": ["Management"] });
        let data = json!({ "Field": "eventCategory", "Equals": ["Data"] });
        let objects = json!({ "Field": "resources.type", "Equals": ["AWS::S3::Object"] });
        let network = json!({ "Field": "eventCategory", "Equals": ["NetworkActivity"] });
        let kms = json!({ "Field": "eventSource", "Equals": ["kms.amazonaws.com"] });
        let read = json!({ "Field": "readOnly", "Equals": ["true"] });
        let names = |count| json!({ "Field": "eventName", "Equals": vec!["GetObject"; count] });
        for (fields, reason) in [
            (json!([management]), ""),
            (
                json!([management, read, { "Field": "eventSource", "NotEquals": ["kms.amazonaws.com"] }]),
                "",
            ),
            (json!([data, objects, read, names(1)]), ""),
            (
                json!([network, kms, { "Field": "errorCode", "Equals": ["VpceAccessDenied"] }]),
                "",
            ),
            (json!([read]), "the field eventCategory once"),
            (
                json!([management, management]),
                "the field eventCategory once",
            ),
            (
                json!([{ "Field": "eventCategory", "Equals": ["Data", "Management"] }]),
                "the field eventCategory once",
            ),
            (
                json!([{ "Field": "eventCategory", "NotEquals": ["Data"] }]),
                "the field eventCategory once",
            ),
            (
                json!([{ "Field": "eventCategory", "Equals": ["Insight"] }]),
                "value Insight",
            ),
            (
                json!([management, { "Field": "eventName", "Equals": ["X"] }]),
                "field eventName is not valid",
            ),
            (json!([management, kms]), "operator Equals"),
            (
                json!([management, { "Field": "eventSource", "NotEquals": ["s3.amazonaws.com"] }]),
                "value s3.amazonaws.com",
            ),
            (
                json!([management, { "Field": "readOnly", "Equals": ["True"] }]),
                "value True",
            ),
            (
                json!([management, { "Field": "readOnly" }]),
                "at least one operator",
            ),
            (json!([data]), "the field resources.type once"),
            (
                json!([data, { "Field": "resources.type", "Equals": ["AWS::S3::Object", "AWS::SNS::Topic"] }]),
                "resources.type once",
            ),
            (
                json!([data, { "Field": "resources.type", "Equals": ["Object"] }]),
                "value Object",
            ),
            (
                json!([data, objects, { "Field": "sessionCredentialFromConsole", "Equals": ["false"] }]),
                "value false",
            ),
            (json!([network]), "the field eventSource once"),
            (
                json!([network, { "Field": "eventSource", "Equals": ["kms"] }]),
                "value kms",
            ),
            (
                json!([network, kms, { "Field": "eventSource", "Equals": ["s3.amazonaws.com"] }]),
                "the field eventSource once",
            ),
            (json!([network, kms, read]), "field readOnly is not valid"),
            (
                json!([network, kms, { "Field": "vpcEndpointId", "NotStartsWith": ["vpce-1"] }]),
                "",
            ),
            (
                json!([management, { "Field": "readOnly", "NotEquals": ["true"] }]),
                "operator NotEquals",
            ),
            (
                json!([management, { "Field": "userIdentity.arn", "Equals": ["x"] }]),
                "field userIdentity.arn is not valid",
            ),
            (
                json!([data, objects, { "Field": "vpcEndpointId", "Equals": ["vpce-1"] }]),
                "field vpcEndpointId is not valid",
            ),
            (
                json!([data, objects, { "Field": "sessionCredentialFromConsole", "NotEquals": ["true"] }]),
                "",
            ),
            (
                json!([data, objects, { "Field": "eventSource", "StartsWith": ["s3"], "NotEquals": ["s3express.amazonaws.com"] }]),
                "",
            ),
            (
                json!([data, objects, { "Field": "eventType", "NotEndsWith": ["Event"] }]),
                "",
            ),
            (
                json!([data, objects, { "Field": "userIdentity.arn", "NotStartsWith": ["arn:aws:sts"] }]),
                "",
            ),
            (json!([data, objects, objects]), "resources.type once"),
            (
                json!([{ "Field": "eventCategory", "Equals": ["data"] }]),
                "value data",
            ),
            (
                json!([network, kms, { "Field": "errorCode", "Equals": ["AccessDenied"] }]),
                "value AccessDenied",
            ),
            (json!([data, objects, names(498)]), ""),
            (json!([data, objects, names(499)]), "up to 500"),
        ] {
            check(
                "AdvancedEventSelectors",
                json!([{ "FieldSelectors": fields }]),
                reason,
            )
            .await;
        }
    }

    #[tokio::test]
    async fn both_kinds_at_once_are_refused() {
        let api = Api::new().await;
        api.make_trail("main", false).await;
        let input = json!({
            "TrailName": "main",
            "EventSelectors": [{}],
            "AdvancedEventSelectors": [{ "FieldSelectors": [{ "Field": "eventCategory", "Equals": ["Data"] }] }],
        });
        let refused = api.refused("PutEventSelectors", input).await;
        assert!(
            refused.starts_with("InvalidEventSelectorsException: You cannot"),
            "{refused}"
        );
    }

    /// Puts `selectors`; an empty `reason` means that they are taken.
    async fn check(kind: &str, selectors: Value, reason: &str) {
        let api = Api::new().await;
        api.make_trail("main", false).await;
        let input = json!({ "TrailName": "main", kind: selectors });
        if reason.is_empty() {
            api.call("PutEventSelectors", input).await;
        } else {
            let refused = api.refused("PutEventSelectors", input.clone()).await;
            assert!(
                refused.starts_with("InvalidEventSelectorsException: "),
                "{input}: {refused}"
            );
            assert!(refused.contains(reason), "{input}: {refused}");
        }
    }
}
