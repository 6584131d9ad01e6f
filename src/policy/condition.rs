//! The `Condition` of a statement.
//! <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_condition_operators.html>
//!
//! Operators, keys of an operator: all must hold. Values of a key: one must match, with a negated operator none may.
//! Operators that are not in the table (those of dates and binaries, and misspelled ones) cannot be decided.

use std::collections::BTreeMap;
use std::net::IpAddr;

use serde::Deserialize;
use serde_json::Value;

use super::Request;
use super::pattern::{Pattern, all, any};

/// Operator → key → values.
type Conditions = BTreeMap<String, BTreeMap<String, Values>>;

/// What a key is compared with: strings, or what JSON writes without quotes.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
pub(super) enum Values {
    Many(Vec<Value>),
    One(Value),
}

impl Values {
    fn texts(&self) -> Vec<String> {
        let text = |value: &Value| {
            value
                .as_str()
                .map_or_else(|| value.to_string(), str::to_owned)
        };
        match self {
            Self::Many(values) => values.iter().map(text).collect(),
            Self::One(value) => vec![text(value)],
        }
    }
}

/// Compares a value of the request with one of the policy; `None` where the policy's is not of the kind.
type Compare = fn(&str, &Pattern) -> Option<bool>;

struct Operator {
    name: &'static str,
    compare: Compare,
    is_negated: bool,
}

const fn is(name: &'static str, compare: Compare) -> Operator {
    Operator {
        name,
        compare,
        is_negated: false,
    }
}

const fn is_not(name: &'static str, compare: Compare) -> Operator {
    Operator {
        name,
        compare,
        is_negated: true,
    }
}

const OPERATORS: &[Operator] = &[
    is("StringEquals", equals),
    is_not("StringNotEquals", equals),
    is("StringEqualsIgnoreCase", equals_ignoring_case),
    is_not("StringNotEqualsIgnoreCase", equals_ignoring_case),
    is("StringLike", like),
    is_not("StringNotLike", like),
    // ArnEquals and ArnLike are the same to AWS.
    is("ArnEquals", arn_like),
    is_not("ArnNotEquals", arn_like),
    is("ArnLike", arn_like),
    is_not("ArnNotLike", arn_like),
    is("Bool", equals_ignoring_case),
    is("IpAddress", in_range),
    is_not("NotIpAddress", in_range),
    is("NumericEquals", |value, pattern| {
        number(value, pattern, |a, b| a == b)
    }),
    is_not("NumericNotEquals", |value, pattern| {
        number(value, pattern, |a, b| a == b)
    }),
    is("NumericLessThan", |value, pattern| {
        number(value, pattern, |a, b| a < b)
    }),
    is("NumericLessThanEquals", |value, pattern| {
        number(value, pattern, |a, b| a <= b)
    }),
    is("NumericGreaterThan", |value, pattern| {
        number(value, pattern, |a, b| a > b)
    }),
    is("NumericGreaterThanEquals", |value, pattern| {
        number(value, pattern, |a, b| a >= b)
    }),
];

/// How many of the request's values must be so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Quantifier {
    /// Not said: the key has one value.
    Plain,
    ForAllValues,
    ForAnyValue,
}

/// Whether all conditions hold; `None` where that cannot be decided.
pub(super) fn conditions_hold(
    conditions: &Conditions,
    request: &Request<'_>,
    has_variables: bool,
) -> Option<bool> {
    let tests: Vec<(&str, &str, &Values)> = conditions
        .iter()
        .flat_map(|(operator, keys)| {
            let keys = keys.iter();
            keys.map(move |(key, values)| (operator.as_str(), key.as_str(), values))
        })
        .collect();
    all(&tests, |(operator, key, values)| {
        holds(operator, key, values, request, has_variables)
    })
}

fn holds(
    operator: &str,
    key: &str,
    values: &Values,
    request: &Request<'_>,
    has_variables: bool,
) -> Option<bool> {
    let present = request.values(key);
    if operator == "Null" {
        let wanted = values.texts();
        return any(&wanted, |wanted| {
            let wanted: bool = wanted.parse().ok()?;
            Some(present.is_empty() == wanted)
        });
    }
    let (quantifier, name) = match operator.split_once(':') {
        Some(("ForAllValues", name)) => (Quantifier::ForAllValues, name),
        Some(("ForAnyValue", name)) => (Quantifier::ForAnyValue, name),
        Some(_) => return None,
        None => (Quantifier::Plain, operator),
    };
    let (name, if_exists) = match name.strip_suffix("IfExists") {
        Some(name) => (name, true),
        None => (name, false),
    };
    let Operator {
        compare,
        is_negated,
        ..
    } = OPERATORS.iter().find(|it| it.name == name)?;
    if present.is_empty() {
        return Some(match quantifier {
            Quantifier::Plain => if_exists || *is_negated,
            Quantifier::ForAllValues => true,
            Quantifier::ForAnyValue => if_exists,
        });
    }
    let wanted = values.texts();
    let is_so = |value: &&str| {
        let found = any(&wanted, |wanted| {
            compare(value, &Pattern::parse(wanted, request, has_variables)?)
        });
        found.map(|found| found != *is_negated)
    };
    match (quantifier, is_negated) {
        (Quantifier::ForAllValues, _) | (Quantifier::Plain, true) => all(&present, is_so),
        (Quantifier::ForAnyValue, _) | (Quantifier::Plain, false) => any(&present, is_so),
    }
}

fn equals(value: &str, pattern: &Pattern) -> Option<bool> {
    Some(pattern.literal() == value)
}

fn equals_ignoring_case(value: &str, pattern: &Pattern) -> Option<bool> {
    Some(pattern.literal().to_lowercase() == value.to_lowercase())
}

fn like(value: &str, pattern: &Pattern) -> Option<bool> {
    Some(pattern.matches(value))
}

fn arn_like(value: &str, pattern: &Pattern) -> Option<bool> {
    pattern.matches_arn(value)
}

fn number(value: &str, pattern: &Pattern, compare: fn(f64, f64) -> bool) -> Option<bool> {
    Some(compare(
        value.parse().ok()?,
        pattern.literal().parse().ok()?,
    ))
}

/// Whether an address lies in a range: `192.0.2.0/24`, `2001:db8::/32`, or one address. What is no address, as the name
/// that stands for a service's, lies in none but those that hold all.
fn in_range(value: &str, pattern: &Pattern) -> Option<bool> {
    let range = pattern.literal();
    let (base, length) = match range.split_once('/') {
        Some((base, length)) => (base, Some(length.parse::<u32>().ok()?)),
        None => (range.as_str(), None),
    };
    let base: IpAddr = base.parse().ok()?;
    let (base, width) = bits(base);
    let length = length.unwrap_or(width);
    if length > width {
        return None;
    }
    let Ok(address) = value.parse() else {
        return Some(length == 0);
    };
    let (address, own_width) = bits(address);
    let differing = (address ^ base).checked_shr(width - length).unwrap_or(0);
    Some(width == own_width && differing == 0)
}

/// An address as a number, and how many bits of it count.
fn bits(address: IpAddr) -> (u128, u32) {
    match address {
        IpAddr::V4(address) => (u128::from(address.to_bits()), 32),
        IpAddr::V6(address) => (address.to_bits(), 128),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::policy::Caller;

    /// A request whose keys are `one` = `a`, `many` = `a`, `b`, and some of other kinds.
    fn request() -> Request<'static> {
        let context = [
            ("one", "Aa"),
            ("many", "a"),
            ("many", "b"),
            ("secure", "true"),
            ("ip", "192.0.2.7"),
            ("ip6", "2001:db8::7"),
            ("service", "cloudtrail.amazonaws.com"),
            ("number", "1.2"),
            (
                "arn",
                "arn:aws:cloudtrail:us-east-1:111122223333:trail/main",
            ),
        ];
        Request {
            caller: Caller {
                service: "",
                account: None,
            },
            action: "",
            resource: String::new(),
            context: context.map(|(key, value)| (key, value.to_owned())).to_vec(),
        }
    }

    #[test]
    fn conditions_are_decided() {
        let (yes, no) = (Some(true), Some(false));
        let rows = [
            ("StringEquals", "one", json!("Aa"), yes),
            ("StringEquals", "ONE", json!("Aa"), yes),
            ("StringEquals", "one", json!("A*"), no),
            ("StringEquals", "one", json!(["x", "Aa"]), yes),
            ("StringEquals", "none", json!("Aa"), no),
            ("StringEqualsIfExists", "none", json!("Aa"), yes),
            ("StringEqualsIfExists", "one", json!("x"), no),
            ("StringNotEquals", "one", json!("x"), yes),
            ("StringNotEquals", "one", json!(["x", "Aa"]), no),
            ("StringNotEquals", "none", json!("x"), yes),
            ("StringEqualsIgnoreCase", "one", json!("aA"), yes),
            ("StringNotEqualsIgnoreCase", "one", json!("aA"), no),
            ("StringLike", "one", json!("A?"), yes),
            ("StringLike", "one", json!("a*"), no),
            ("StringNotLike", "one", json!("A*"), no),
            ("StringNotLike", "none", json!("*"), yes),
            (
                "ArnEquals",
                "arn",
                json!("arn:aws:cloudtrail:*:111122223333:trail/*"),
                yes,
            ),
            (
                "ArnLike",
                "arn",
                json!("arn:aws:cloudtrail:*:444455556666:trail/*"),
                no,
            ),
            (
                "ArnNotLike",
                "arn",
                json!("arn:aws:cloudtrail:*:444455556666:trail/*"),
                yes,
            ),
            (
                "ArnNotEquals",
                "arn",
                json!("arn:aws:cloudtrail:*:111122223333:*"),
                no,
            ),
            ("ArnLike", "arn", json!("main"), None),
            ("Bool", "secure", json!(true), yes),
            ("Bool", "secure", json!("TRUE"), yes),
            ("Bool", "secure", json!("false"), no),
            ("BoolIfExists", "none", json!("false"), yes),
            ("Null", "one", json!("false"), yes),
            ("Null", "one", json!(true), no),
            ("Null", "none", json!("true"), yes),
            ("Null", "none", json!("maybe"), None),
            ("IpAddress", "ip", json!("192.0.2.0/24"), yes),
            (
                "IpAddress",
                "ip",
                json!(["198.51.100.0/24", "192.0.2.7"]),
                yes,
            ),
            ("IpAddress", "ip", json!("192.0.2.8/30"), no),
            ("IpAddress", "ip", json!("::/0"), no),
            ("IpAddress", "ip6", json!("2001:db8::/32"), yes),
            ("IpAddress", "ip6", json!("2001:db9::/32"), no),
            ("IpAddress", "ip", json!("0.0.0.0/0"), yes),
            ("IpAddress", "ip", json!("192.0.2.0/33"), None),
            ("IpAddress", "service", json!("192.0.2.0/24"), no),
            ("IpAddress", "service", json!("0.0.0.0/0"), yes),
            ("NotIpAddress", "service", json!("192.0.2.0/24"), yes),
            ("NotIpAddress", "none", json!("192.0.2.0/24"), yes),
            ("NumericLessThan", "number", json!(1.2), no),
            ("NumericLessThan", "number", json!("1.3"), yes),
            ("NumericLessThanEquals", "number", json!("1.2"), yes),
            ("NumericGreaterThan", "number", json!("1"), yes),
            ("NumericGreaterThanEquals", "number", json!("2"), no),
            ("NumericEquals", "number", json!("1.20"), yes),
            ("NumericNotEquals", "number", json!("1.20"), no),
            ("NumericEquals", "number", json!("x"), None),
            ("ForAnyValue:StringEquals", "many", json!("b"), yes),
            ("ForAnyValue:StringEquals", "none", json!("b"), no),
            ("ForAnyValue:StringNotEquals", "many", json!("b"), yes),
            (
                "ForAllValues:StringEquals",
                "many",
                json!(["a", "b", "c"]),
                yes,
            ),
            ("ForAllValues:StringEquals", "many", json!("b"), no),
            ("ForAllValues:StringEquals", "none", json!("b"), yes),
            ("ForAllValues:StringNotEquals", "many", json!("b"), no),
            ("ForAllValues:StringLikeIfExists", "many", json!("?"), yes),
            ("ForSomeValues:StringEquals", "many", json!("a"), None),
            ("StringNotEquals", "many", json!("b"), no),
            (
                "DateGreaterThan",
                "one",
                json!("2026-01-01T00:00:00Z"),
                None,
            ),
            ("BinaryEquals", "one", json!("QQ=="), None),
            ("stringequals", "one", json!("Aa"), None),
            ("StringEquals", "one", json!([]), no),
        ];
        for (operator, key, values, expected) in rows {
            let conditions = serde_json::from_value(json!({ operator: { key: values } })).unwrap();
            assert_eq!(
                conditions_hold(&conditions, &request(), true),
                expected,
                "{conditions:?}"
            );
        }
    }

    #[test]
    fn all_conditions_must_hold() {
        for (conditions, expected) in [
            (json!({}), Some(true)),
            (
                json!({ "StringEquals": { "one": "Aa" }, "Bool": { "secure": "true" } }),
                Some(true),
            ),
            (
                json!({ "StringEquals": { "one": "Aa", "none": "x" } }),
                Some(false),
            ),
            (
                json!({ "StringEquals": { "one": "Aa" }, "Unheard": { "one": "Aa" } }),
                None,
            ),
            (
                json!({ "StringEquals": { "one": "x" }, "Unheard": { "one": "Aa" } }),
                Some(false),
            ),
        ] {
            let parsed = serde_json::from_value(conditions.clone()).unwrap();
            assert_eq!(
                conditions_hold(&parsed, &request(), true),
                expected,
                "{conditions}"
            );
        }
    }
}
