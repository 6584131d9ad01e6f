//! Selectors: written and read back, and laws that hold for every selector and event.

use chrono::Utc;
use localtrail::event::Event;
use localtrail::event::select::{AdvancedEventSelector, AdvancedFieldSelector, Selectors};
use localtrail::event::supplied::{self, Setting};
use proptest::prelude::proptest;
use serde_json::{Value, json};

use crate::corpus::{self, Corpus};
use crate::dice::{Dice, Place};
use crate::{config, entropy};

const FIELDS: &[&str] = &[
    "eventCategory",
    "eventSource",
    "eventName",
    "eventType",
    "readOnly",
    "errorCode",
    "vpcEndpointId",
    "sessionCredentialFromConsole",
    "userIdentity.arn",
    "resources.type",
    "resources.ARN",
    "unheard",
];
const VALUES: &[&str] = &[
    "Management",
    "Data",
    "true",
    "false",
    "s3.amazonaws.com",
    "kms.amazonaws.com",
    "GetObject",
    "AWS::S3::Object",
    "arn:aws:s3",
    "arn:aws:s3:::logs/",
    "arn:aws:s3:::logs/key",
    "AwsApiCall",
    "",
];
const OPERATORS: &[&str] = &[
    "Equals",
    "StartsWith",
    "EndsWith",
    "NotEquals",
    "NotStartsWith",
    "NotEndsWith",
];

fn value(dice: &mut Dice<'_>) -> String {
    match dice.once_in(8) {
        true => dice.text(Place::Anywhere),
        false => (*dice.pick(VALUES)).to_owned(),
    }
}

fn values(dice: &mut Dice<'_>) -> Vec<String> {
    (0..1 + dice.below(3)).map(|_| value(dice)).collect()
}

fn selectors(dice: &mut Dice<'_>) -> Selectors {
    let is_basic = dice.once_in(2);
    let all: Vec<Value> = (0..dice.below(3))
        .map(|_| match is_basic {
            true => json!({
                "ReadWriteType": dice.pick(&["All", "ReadOnly", "WriteOnly"]),
                "IncludeManagementEvents": dice.once_in(2),
                "DataResources": [{ "Type": value(dice), "Values": values(dice) }],
                "ExcludeManagementEventSources": values(dice),
            }),
            false => {
                let fields: Vec<Value> = (0..dice.below(4))
                    .map(|_| json!({ "Field": dice.pick(FIELDS), *dice.pick(OPERATORS): values(dice) }))
                    .collect();
                json!({ "FieldSelectors": fields })
            }
        })
        .collect();
    let kind = if is_basic {
        "EventSelectors"
    } else {
        "AdvancedEventSelectors"
    };
    serde_json::from_value(json!({ kind: all })).unwrap()
}

/// An event as it could be brought in by hand.
fn event(dice: &mut Dice<'_>) -> Event {
    let is_management = dice.once_in(2);
    let mut record = json!({
        "eventSource": dice.pick(&["s3.amazonaws.com", "kms.amazonaws.com"]),
        "eventName": dice.pick(&["GetObject", "Encrypt"]),
        "readOnly": dice.once_in(2),
        "managementEvent": is_management,
        "eventCategory": if is_management { "Management" } else { "Data" },
        "userIdentity": { "type": "IAMUser", "arn": value(dice) },
        "resources": [{ "type": value(dice), "ARN": value(dice) }, { "type": value(dice) }],
    });
    if dice.once_in(2) {
        record["errorCode"] = value(dice).into();
    }
    supplied::complete(record, &setting()).unwrap()
}

fn setting() -> Setting<'static> {
    Setting {
        now: "2026-11-22T15:01:30Z"
            .parse::<chrono::DateTime<Utc>>()
            .unwrap(),
        account: "111122223333",
        region: "us-east-1",
        event_version: "1.11",
        event_id: "5f1c4c3e-0000-4000-8000-000000000001".to_owned(),
    }
}

fn with(field: &str, operator: &str, values: &[String]) -> Selectors {
    let field: AdvancedFieldSelector =
        serde_json::from_value(json!({ "Field": field, operator: values })).unwrap();
    Selectors::Advanced(vec![AdvancedEventSelector {
        name: None,
        field_selectors: vec![field],
    }])
}

proptest! {
    #![proptest_config(config(512))]

    #[test]
    fn selectors_are_written_and_read_back(bytes in entropy(200)) {
        let selectors = selectors(&mut Dice::new(&bytes));
        let written = serde_json::to_string(&selectors).unwrap();
        assert_eq!(serde_json::from_str::<Selectors>(&written).unwrap(), selectors);
    }

    #[test]
    fn what_cannot_be_taken_is_not(bytes in entropy(300)) {
        let mut dice = Dice::new(&bytes);
        let (selectors, event) = (selectors(&mut dice), event(&mut dice));
        let read_only = event.read_only.unwrap_or_default();
        if selectors.takes(&event) {
            assert!(selectors.may_take(event.category(), read_only), "{selectors:?} {event:?}");
        }
    }

    #[test]
    fn any_selector_is_enough(bytes in entropy(300)) {
        let mut dice = Dice::new(&bytes);
        let (selectors, event) = (selectors(&mut dice), event(&mut dice));
        let by_one = match &selectors {
            Selectors::Basic(all) => all.iter().any(|one| Selectors::Basic(vec![one.clone()]).takes(&event)),
            Selectors::Advanced(all) => all.iter().any(|one| Selectors::Advanced(vec![one.clone()]).takes(&event)),
        };
        assert_eq!(selectors.takes(&event), by_one);
    }

    #[test]
    fn of_a_field_that_an_event_has_once_not_is_the_contrary(bytes in entropy(200)) {
        let mut dice = Dice::new(&bytes);
        let event = event(&mut dice);
        let (field, values) = (*dice.pick(&["eventCategory", "eventSource", "eventName", "readOnly"]), values(&mut dice));
        for operator in ["Equals", "StartsWith", "EndsWith"] {
            let is = with(field, operator, &values).takes(&event);
            let is_not = with(field, &format!("Not{operator}"), &values).takes(&event);
            assert_ne!(is, is_not, "{field} {operator} {values:?}");
        }
    }

    #[test]
    fn mutated_selectors_and_records_do_no_harm(bytes in entropy(300)) {
        let mut dice = Dice::new(&bytes);
        let event = event(&mut dice);
        if let Ok(read) = serde_json::from_slice::<Selectors>(&Corpus::read("selectors").mutated(&mut dice)) {
            let _ = read.takes(&event);
        }
        let record = serde_json::to_vec(&event).unwrap();
        let changed = corpus::mutate(&mut dice, &record, &record);
        if let Ok(record) = serde_json::from_slice(&changed)
            && let Ok(event) = supplied::complete(record, &setting())
        {
            // What is let in can be written, and is let in again as it is.
            let written = serde_json::to_value(&event).unwrap();
            let again = supplied::complete(written.clone(), &setting()).unwrap();
            assert_eq!(serde_json::to_value(&again).unwrap(), written);
        }
    }
}
