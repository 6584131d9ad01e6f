//! What the service model demands of a request: JSON types, required members, lengths, ranges, enumerations, patterns.
//!
//! AWS's framework checks these before the operation sees anything, and says so in sentences of its own, of which a
//! request gets all that apply. Nothing here knows an operation: rules that the model does not have (trail names,
//! ARNs) are the operations' own.

use std::collections::HashMap;

use regex_lite::Regex;
use serde_json::Value;

use super::error::{Error, Result};
use crate::aws::model::{Constraints, Kind, Operation, Service, Shape, ShapeId, Structure};

/// Violations that are reported at once, and characters of an offending value that are repeated: AWS sets no limits,
/// but answers to hostile requests should not outgrow them.
const MOST_VIOLATIONS: usize = 100;
const LONGEST_VALUE: usize = 2500;

/// Checks `params`, a request body, against the input of `operation`.
///
/// A wrong type is a SerializationException, all else one ValidationException. Members that the model does not know
/// are not looked at; null members count as absent.
pub(super) fn check(service: &Service, operation: &Operation, params: &Value) -> Result<()> {
    let Some(input) = operation.input else {
        return Ok(());
    };
    let mut checker = Checker {
        service,
        patterns: HashMap::new(),
        violations: Vec::new(),
    };
    checker.value(input, params, "")?;
    match checker.violations.as_slice() {
        [] => Ok(()),
        violations => Err(Error::validation(violations)),
    }
}

struct Checker<'a> {
    service: &'a Service,
    /// Those met so far, compiled; `None` for a pattern that is none in Rust.
    patterns: HashMap<&'a str, Option<Regex>>,
    violations: Vec<String>,
}

impl<'a> Checker<'a> {
    /// Checks a value that is not null; `path` is empty for the body itself.
    fn value(&mut self, id: ShapeId, value: &Value, path: &str) -> Result<()> {
        let shape = self.service.shape(id);
        match (&shape.kind, value) {
            (Kind::Structure(structure), Value::Object(members)) => {
                self.members(structure, members, path)?;
            }
            (Kind::List { element, .. }, Value::Array(elements)) => {
                self.elements(element.shape, elements, path)?;
            }
            (
                Kind::Map {
                    key, value: entry, ..
                },
                Value::Object(entries),
            ) => {
                self.entries(key.shape, entry.shape, value, entries, path)?;
            }
            (kind, value) if fits(kind, value) => {}
            (kind, value) => return Err(Error::serialization(type_error(kind, value))),
        }
        if let Some(constraints) = &shape.constraints {
            for demand in self.broken(constraints, value) {
                self.violation(Some(value), path, &demand);
            }
        }
        Ok(())
    }

    fn members(
        &mut self,
        structure: &Structure,
        members: &serde_json::Map<String, Value>,
        path: &str,
    ) -> Result<()> {
        for member in &structure.members {
            let path = member_path(path, member.wire());
            match members.get(member.wire()).filter(|value| !value.is_null()) {
                Some(value) => self.value(member.shape, value, &path)?,
                None if structure.required.contains(&member.name) => {
                    self.violation(None, &path, "Member must not be null");
                }
                None => {}
            }
        }
        Ok(())
    }

    /// Of elements that are structures or lists each has its own path. Others are reported with their list.
    fn elements(&mut self, element: ShapeId, elements: &[Value], path: &str) -> Result<()> {
        let shape = self.service.shape(element);
        let is_scalar = !matches!(
            shape.kind,
            Kind::Structure(_) | Kind::List { .. } | Kind::Map { .. }
        );
        let mut has_broken = false;
        for (index, value) in elements.iter().enumerate() {
            let path = format!("{path}.{}.member", index + 1);
            if value.is_null() {
                self.violation(None, &path, "Member must not be null");
            } else if !is_scalar {
                self.value(element, value, &path)?;
            } else if !fits(&shape.kind, value) {
                return Err(Error::serialization(type_error(&shape.kind, value)));
            } else if let Some(constraints) = &shape.constraints {
                has_broken = has_broken || !self.broken(constraints, value).is_empty();
            }
        }
        if has_broken && let Some(constraints) = &shape.constraints {
            let demands = demands(constraints, &shape.kind).join(", ");
            self.violation(
                Some(&Value::Array(elements.to_vec())),
                path,
                &format!("Member must satisfy constraint: [{demands}]"),
            );
        }
        Ok(())
    }

    /// Keys and values of a map are reported with their map, once each. No map of CloudTrail holds structures.
    fn entries(
        &mut self,
        key: ShapeId,
        entry: ShapeId,
        map: &Value,
        entries: &serde_json::Map<String, Value>,
        path: &str,
    ) -> Result<()> {
        let (key, entry) = (self.service.shape(key), self.service.shape(entry));
        let (mut has_broken_key, mut has_broken_value) = (false, false);
        for (name, value) in entries {
            if !fits(&entry.kind, value) {
                return Err(Error::serialization(type_error(&entry.kind, value)));
            }
            let name = Value::from(name.as_str());
            let broken = |checker: &mut Self, shape: &'a Shape, value: &Value| {
                let constraints = shape.constraints.as_ref();
                constraints.is_some_and(|it| !checker.broken(it, value).is_empty())
            };
            has_broken_key = has_broken_key || broken(self, key, &name);
            has_broken_value = has_broken_value || broken(self, entry, value);
        }
        for (has_broken, what, shape) in [
            (has_broken_key, "Map keys", key),
            (has_broken_value, "Map value", entry),
        ] {
            if let Some(constraints) = shape.constraints.as_ref().filter(|_| has_broken) {
                let demands = demands(constraints, &shape.kind).join(", ");
                let demand = format!("{what} must satisfy constraint: [{demands}]");
                self.violation(Some(map), path, &demand);
            }
        }
        Ok(())
    }

    /// The demands that `value` does not meet.
    fn broken(&mut self, constraints: &'a Constraints, value: &Value) -> Vec<String> {
        let (size, what) = match value {
            Value::String(text) => (text.chars().count() as f64, "length"),
            Value::Array(elements) => (elements.len() as f64, "length"),
            Value::Object(entries) => (entries.len() as f64, "length"),
            Value::Number(number) => (number.as_f64().unwrap_or(f64::NAN), "value"),
            Value::Null | Value::Bool(_) => return Vec::new(),
        };
        let mut broken = Vec::new();
        if let Some(max) = constraints.max.filter(|&max| size > max) {
            broken.push(at_most(what, max));
        }
        if let Some(min) = constraints.min.filter(|&min| size < min) {
            broken.push(at_least(what, min));
        }
        if let Value::String(text) = value {
            if let Some(pattern) = &constraints.pattern
                && !self.matches(pattern, text)
            {
                broken.push(like(pattern));
            }
            if !constraints.values.is_empty()
                && !constraints.values.iter().any(|one| **one == **text)
            {
                broken.push(one_of(&constraints.values));
            }
        }
        broken
    }

    /// Whether the whole of `text` is like `pattern`.
    fn matches(&mut self, pattern: &'a str, text: &str) -> bool {
        self.patterns
            .entry(pattern)
            .or_insert_with(|| compile(pattern))
            .as_ref()
            .is_none_or(|pattern| pattern.is_match(text))
    }

    fn violation(&mut self, value: Option<&Value>, path: &str, demand: &str) {
        if self.violations.len() < MOST_VIOLATIONS {
            let value = value.map_or("null".to_owned(), |value| format!("'{}'", shown(value)));
            self.violations.push(format!(
                "Value {value} at '{path}' failed to satisfy constraint: {demand}"
            ));
        }
    }
}

/// Anchored: the model's patterns describe whole values, as Java's `matches` takes them.
fn compile(pattern: &str) -> Option<Regex> {
    Regex::new(&format!("^(?:{pattern})$")).ok()
}

/// All that `constraints` demands, in the framework's words and order.
fn demands(constraints: &Constraints, kind: &Kind) -> Vec<String> {
    let what = match kind {
        Kind::Integer | Kind::Long | Kind::Float | Kind::Double => "value",
        _ => "length",
    };
    let Constraints {
        min,
        max,
        pattern,
        values,
    } = constraints;
    let mut demands: Vec<String> = max.iter().map(|&max| at_most(what, max)).collect();
    demands.extend(min.iter().map(|&min| at_least(what, min)));
    demands.extend(pattern.iter().map(|pattern| like(pattern)));
    if !values.is_empty() {
        demands.push(one_of(values));
    }
    demands
}

fn at_most(what: &str, max: f64) -> String {
    format!("Member must have {what} less than or equal to {max}")
}

fn at_least(what: &str, min: f64) -> String {
    format!("Member must have {what} greater than or equal to {min}")
}

fn like(pattern: &str) -> String {
    format!("Member must satisfy regular expression pattern: {pattern}")
}

fn one_of(values: &[Box<str>]) -> String {
    format!(
        "Member must satisfy enum value set: [{}]",
        values.join(", ")
    )
}

/// Whether a JSON value may stand for a shape that has no parts. Integers have no fraction.
fn fits(kind: &Kind, value: &Value) -> bool {
    match kind {
        Kind::String | Kind::Blob => value.is_string(),
        Kind::Boolean => value.is_boolean(),
        Kind::Integer | Kind::Long => value.is_i64() || value.is_u64(),
        Kind::Float | Kind::Double | Kind::Timestamp(_) => value.is_number(),
        Kind::Structure(_) | Kind::List { .. } | Kind::Map { .. } => false,
    }
}

/// The framework's sentence for a value of the wrong type.
fn type_error(kind: &Kind, value: &Value) -> String {
    let token = match value {
        Value::Array(_) => return "Start of list found where not expected".to_owned(),
        Value::Object(_) => return "Start of structure or map found where not expected".to_owned(),
        Value::String(_) => "STRING_VALUE",
        Value::Number(_) => "NUMBER_VALUE",
        Value::Bool(true) => "TRUE_VALUE",
        Value::Bool(false) => "FALSE_VALUE",
        Value::Null => "NULL_VALUE",
    };
    let target = match kind {
        Kind::List { .. } => return "Expected list or null".to_owned(),
        Kind::Structure(_) | Kind::Map { .. } => return "Expected null".to_owned(),
        Kind::String => "a String",
        Kind::Blob => "a Blob",
        Kind::Boolean => "a Boolean",
        Kind::Integer => "an Integer",
        Kind::Long => "a Long",
        Kind::Float => "a Float",
        Kind::Double => "a Double",
        Kind::Timestamp(_) => "milliseconds since epoch",
    };
    format!("{token} can not be converted to {target}")
}

/// `lookupAttributes.1.member` and `AttributeKey` → `lookupAttributes.1.member.attributeKey`.
fn member_path(path: &str, name: &str) -> String {
    let mut chars = name.chars();
    let first = chars.next().map(|first| first.to_ascii_lowercase());
    let dot = if path.is_empty() { "" } else { "." };
    format!("{path}{dot}{}{}", first.unwrap_or_default(), chars.as_str())
}

/// Strings bare, lists and maps as Java prints them, the rest as JSON.
fn shown(value: &Value) -> String {
    let mut text = match value {
        Value::String(text) => text.clone(),
        Value::Array(elements) => {
            let elements: Vec<String> = elements.iter().take(LONGEST_VALUE).map(shown).collect();
            format!("[{}]", elements.join(", "))
        }
        Value::Object(entries) => {
            let entries: Vec<String> = entries
                .iter()
                .take(LONGEST_VALUE)
                .map(|(key, value)| format!("{key}={}", shown(value)))
                .collect();
            format!("{{{}}}", entries.join(", "))
        }
        other => other.to_string(),
    };
    if let Some((end, _)) = text.char_indices().nth(LONGEST_VALUE) {
        text.truncate(end);
    }
    text
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::aws::models;

    fn checked(operation: &str, params: &Value) -> String {
        let service = models().service("cloudtrail").unwrap();
        let operation = service.operation(operation).unwrap();
        match check(service, operation, params) {
            Ok(()) => String::new(),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn violations_are_told_in_the_frameworks_words() {
        let one = "ValidationException: 1 validation error detected: ";
        for (operation, params, expected) in [
            ("LookupEvents", json!({}), String::new()),
            ("LookupEvents", json!({ "MaxResults": 50, "Other": [] }), String::new()),
            (
                "LookupEvents",
                json!({ "MaxResults": 0 }),
                format!("{one}Value '0' at 'maxResults' failed to satisfy constraint: Member must have value greater than or equal to 1"),
            ),
            (
                "LookupEvents",
                json!({ "LookupAttributes": [{ "AttributeKey": "Nobody", "AttributeValue": "x" }] }),
                format!(
                    "{one}Value 'Nobody' at 'lookupAttributes.1.member.attributeKey' failed to satisfy constraint: \
                     Member must satisfy enum value set: [EventId, EventName, ReadOnly, Username, ResourceType, \
                     ResourceName, EventSource, AccessKeyId]"
                ),
            ),
            (
                "LookupEvents",
                json!({ "MaxResults": 51, "LookupAttributes": [null, { "AttributeKey": "EventId" }] }),
                "ValidationException: 3 validation errors detected: \
                 Value null at 'lookupAttributes.1.member' failed to satisfy constraint: Member must not be null; \
                 Value null at 'lookupAttributes.2.member.attributeValue' failed to satisfy constraint: Member must not be null; \
                 Value '51' at 'maxResults' failed to satisfy constraint: Member must have value less than or equal to 50"
                    .to_owned(),
            ),
            ("GetTrail", json!({ "Name": null }), format!("{one}Value null at 'name' failed to satisfy constraint: Member must not be null")),
            (
                "PutEventSelectors",
                json!({ "TrailName": "t", "AdvancedEventSelectors": [{ "FieldSelectors": [{ "Field": "a b", "Equals": [""] }] }] }),
                "ValidationException: 2 validation errors detected: \
                 Value 'a b' at 'advancedEventSelectors.1.member.fieldSelectors.1.member.field' failed to satisfy constraint: \
                 Member must satisfy regular expression pattern: [\\w|\\d|\\.|_]+; \
                 Value '[]' at 'advancedEventSelectors.1.member.fieldSelectors.1.member.equals' failed to satisfy constraint: \
                 Member must satisfy constraint: [Member must have length less than or equal to 2048, \
                 Member must have length greater than or equal to 1, Member must satisfy regular expression pattern: .+]"
                    .to_owned(),
            ),
            (
                "PutEventSelectors",
                json!({ "TrailName": "t", "AdvancedEventSelectors": [{ "FieldSelectors": [] }] }),
                format!(
                    "{one}Value '[]' at 'advancedEventSelectors.1.member.fieldSelectors' failed to satisfy constraint: \
                     Member must have length greater than or equal to 1"
                ),
            ),
        ] {
            assert_eq!(checked(operation, &params), expected, "{operation} {params}");
        }
    }

    #[test]
    fn keys_and_values_of_maps_are_reported_with_their_map() {
        let values = "Map value must satisfy constraint: [Member must have length less than or equal to 128, \
                      Member must have length greater than or equal to 1, \
                      Member must satisfy regular expression pattern: ^[a-zA-Z0-9._/\\-:]+$]";
        let keys = "Map keys must satisfy constraint: [Member must have length less than or equal to 128, \
                    Member must have length greater than or equal to 3, \
                    Member must satisfy regular expression pattern: ^[a-zA-Z0-9._/\\-:$]+$]";
        let at = "at 'queryParameterValues' failed to satisfy constraint:";
        for (map, expected) in [
            (json!({ "$Start$": "2026", "$End$": "2027" }), String::new()),
            (
                json!({ "ab": "x" }),
                format!(
                    "ValidationException: 1 validation error detected: Value '{{ab=x}}' {at} {keys}"
                ),
            ),
            (
                json!({ "abc": "x y" }),
                format!(
                    "ValidationException: 1 validation error detected: Value '{{abc=x y}}' {at} {values}"
                ),
            ),
            (
                json!({ "a": "", "b": "x" }),
                format!(
                    "ValidationException: 2 validation errors detected: Value '{{a=, b=x}}' {at} {keys}; \
                     Value '{{a=, b=x}}' {at} {values}"
                ),
            ),
            (
                json!({ "abc": 5 }),
                "SerializationException: NUMBER_VALUE can not be converted to a String".to_owned(),
            ),
        ] {
            let params = json!({ "DashboardId": "d", "QueryParameterValues": map });
            assert_eq!(
                checked("StartDashboardRefresh", &params),
                expected,
                "{params}"
            );
        }
    }

    #[test]
    fn wrong_types_are_serialization_errors_whatever_else_is_wrong() {
        for (operation, params, expected) in [
            (
                "LookupEvents",
                json!([]),
                "Start of list found where not expected",
            ),
            ("LookupEvents", json!("x"), "Expected null"),
            (
                "LookupEvents",
                json!({ "MaxResults": "5" }),
                "STRING_VALUE can not be converted to an Integer",
            ),
            (
                "LookupEvents",
                json!({ "MaxResults": 1.5 }),
                "NUMBER_VALUE can not be converted to an Integer",
            ),
            (
                "LookupEvents",
                json!({ "StartTime": "2026" }),
                "STRING_VALUE can not be converted to milliseconds since epoch",
            ),
            (
                "LookupEvents",
                json!({ "LookupAttributes": {} }),
                "Start of structure or map found where not expected",
            ),
            (
                "LookupEvents",
                json!({ "LookupAttributes": "x" }),
                "Expected list or null",
            ),
            (
                "LookupEvents",
                json!({ "LookupAttributes": [[]] }),
                "Start of list found where not expected",
            ),
            (
                "GetTrail",
                json!({ "Name": 5 }),
                "NUMBER_VALUE can not be converted to a String",
            ),
            (
                "CreateTrail",
                json!({ "IsMultiRegionTrail": "true" }),
                "STRING_VALUE can not be converted to a Boolean",
            ),
            (
                "DescribeTrails",
                json!({ "trailNameList": [true] }),
                "TRUE_VALUE can not be converted to a String",
            ),
        ] {
            assert_eq!(
                checked(operation, &params),
                format!("SerializationException: {expected}"),
                "{params}"
            );
        }
    }

    #[test]
    fn answers_to_hostile_requests_stay_small() {
        let attribute = json!({ "AttributeKey": "x".repeat(10_000), "AttributeValue": "x" });
        let error = checked(
            "LookupEvents",
            &json!({ "LookupAttributes": vec![attribute; 1000] }),
        );
        assert!(error.starts_with("ValidationException: 100 validation errors detected: "));
        assert!(error.len() < 300_000, "{}", error.len());
    }

    #[test]
    fn every_pattern_of_an_input_is_one_in_rust() {
        let service = models().service("cloudtrail").unwrap();
        let patterns = service
            .shapes
            .iter()
            // The one with surrogates is of an output.
            .filter(|shape| !shape.name.starts_with("PartitionKey"))
            .filter_map(|shape| shape.constraints.as_ref()?.pattern.as_ref());
        let mut count = 0;
        for pattern in patterns {
            assert!(compile(pattern).is_some(), "{pattern}");
            count += 1;
        }
        assert!(count > 20, "{count}");
    }
}
