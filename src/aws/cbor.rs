//! CBOR → [`Params`] by shape, for Smithy RPC v2: <https://smithy.io/2.0/additional-specs/protocols/smithy-rpc-v2.html>.

use ciborium::Value as Cbor;
use serde_json::{Number, Value};

use super::Params;
use super::model::{Kind, Service, ShapeId, Structure};
use super::params::{MAX_DEPTH, ParseError};
use super::text;

/// Members of the structure `shape` in a CBOR body; an empty body has none.
pub(super) fn parse(service: &Service, shape: ShapeId, body: &[u8]) -> Result<Params, ParseError> {
    let Some(structure) = service.structure(shape) else {
        return Ok(Params::new());
    };
    if body.is_empty() {
        return Ok(Params::new());
    }
    match read(body)? {
        Cbor::Map(entries) => fields(service, structure, entries, MAX_DEPTH),
        _ => Err(syntax("the body is no map")),
    }
}

/// Code and message of an error body.
pub(super) fn error(body: &[u8]) -> (Option<String>, Option<String>) {
    let Ok(Cbor::Map(entries)) = read(body) else {
        return (None, None);
    };
    let text = |names: &[&str]| {
        let named = entries
            .iter()
            .find(|(key, _)| key.as_text().is_some_and(|key| names.contains(&key)))?;
        named.1.as_text().map(str::to_owned)
    };
    (text(&["__type"]), text(&["message", "Message"]))
}

fn read(body: &[u8]) -> Result<Cbor, ParseError> {
    // Twice: a tag counts as a level too.
    ciborium::de::from_reader_with_recursion_limit(body, 2 * MAX_DEPTH).map_err(|error| {
        if matches!(error, ciborium::de::Error::RecursionLimitExceeded) {
            return ParseError::TooDeep;
        }
        syntax(&error.to_string())
    })
}

fn syntax(reason: &str) -> ParseError {
    ParseError::Syntax {
        format: "CBOR",
        reason: reason.to_owned(),
    }
}

fn fields(
    service: &Service,
    structure: &Structure,
    entries: Vec<(Cbor, Cbor)>,
    depth: usize,
) -> Result<Params, ParseError> {
    let mut params = Params::new();
    for (key, sent) in entries {
        let Some(member) = key.as_text().and_then(|name| structure.member(name)) else {
            continue;
        };
        if !sent.is_null() {
            let sent = value(service, Some(member.shape), sent, depth)?;
            params.insert((*member.name).to_owned(), sent);
        }
    }
    Ok(params)
}

/// A value by its shape, or as it stands where there is none.
fn value(
    service: &Service,
    shape: Option<ShapeId>,
    sent: Cbor,
    depth: usize,
) -> Result<Value, ParseError> {
    let depth = depth.checked_sub(1).ok_or(ParseError::TooDeep)?;
    let kind = shape.map(|shape| &service.shape(shape).kind);
    Ok(match (kind, sent) {
        (Some(Kind::Structure(structure)), Cbor::Map(entries)) if !structure.document => {
            fields(service, structure, entries, depth)?.into()
        }
        (kind, Cbor::Map(entries)) => {
            let of = match kind {
                Some(Kind::Map { value, .. }) => Some(value.shape),
                _ => None,
            };
            let mut object = Params::new();
            for (key, sent) in entries {
                if let Cbor::Text(key) = key {
                    object.insert(key, value(service, of, sent, depth)?);
                }
            }
            object.into()
        }
        (kind, Cbor::Array(items)) => {
            let of = match kind {
                Some(Kind::List { element, .. }) => Some(element.shape),
                _ => None,
            };
            let items = items.into_iter();
            let items = items.map(|item| value(service, of, item, depth));
            Value::Array(items.collect::<Result<_, _>>()?)
        }
        (kind, Cbor::Tag(_, inner)) => {
            // The only tag in use is that of timestamps, and the model knows those already.
            let shape = kind.and(shape);
            value(service, shape, *inner, depth)?
        }
        (_, Cbor::Integer(integer)) => {
            let integer = i128::from(integer);
            let small = i64::try_from(integer).map(Number::from);
            let number = small.or_else(|_| u64::try_from(integer).map(Number::from));
            number.map_or_else(|_| integer.to_string().into(), Value::Number)
        }
        (Some(Kind::Timestamp(_)), Cbor::Float(seconds)) => {
            text::epoch(seconds).map_or(Value::Null, Value::Number)
        }
        // As JSON protocols write them.
        (_, Cbor::Float(float)) if float.is_nan() => "NaN".into(),
        (_, Cbor::Float(float)) if float.is_infinite() && float > 0.0 => "Infinity".into(),
        (_, Cbor::Float(float)) if float.is_infinite() => "-Infinity".into(),
        (_, Cbor::Float(float)) => float.into(),
        (_, Cbor::Bytes(bytes)) => text::to_base64(&bytes).into(),
        (_, Cbor::Text(text)) => text.into(),
        (_, Cbor::Bool(bool)) => bool.into(),
        _ => Value::Null,
    })
}

#[cfg(test)]
mod tests {
    use http::{HeaderMap, StatusCode};
    use serde_json::json;

    use super::*;
    use crate::aws::params;
    use crate::aws::testing::{call_in, head};
    use crate::aws::{model::Protocol, route::Call};

    fn call(service: &str, operation: &str) -> Call {
        call_in(Protocol::Cbor, service, operation)
    }

    /// Bytes of hexadecimal digits; spaces are for the reader.
    fn bytes(hex: &str) -> Vec<u8> {
        let digits: Vec<u32> = hex.chars().filter_map(|it| it.to_digit(16)).collect();
        let pairs = digits.chunks(2);
        pairs
            .map(|pair| u8::try_from(pair[0] * 16 + pair[1]).unwrap())
            .collect()
    }

    /// What PutMetricData reads of a body whose only member is `MetricData: [{ <member> }]`.
    fn datum(member: &str) -> Result<Value, ParseError> {
        // {"MetricData": [{…}]}
        let body = bytes(&format!("a1 6a 4d657472696344617461 81 a1 {member}"));
        let found = params::request(
            &call("cloudwatch", "PutMetricData"),
            &head("POST /", ""),
            &body,
        )?;
        Ok(found["MetricData"][0].clone())
    }

    #[test]
    fn every_way_to_write_a_value_is_read_by_the_shape() {
        let value = "65 56616c7565";
        let timestamp = "69 54696d657374616d70";
        let unit = "64 556e6974";
        let resolution = "71 53746f726167655265736f6c7574696f6e";
        for (member, sent, expected) in [
            // Doubles in 16, 32 and 64 bits, and as integers.
            (value, "f9 3e00", json!({"Value": 1.5})),
            (value, "fa 3fc00000", json!({"Value": 1.5})),
            (value, "fb 3ff8000000000000", json!({"Value": 1.5})),
            (value, "02", json!({"Value": 2})),
            (value, "f9 7e00", json!({"Value": "NaN"})),
            (value, "f9 7c00", json!({"Value": "Infinity"})),
            (value, "f9 fc00", json!({"Value": "-Infinity"})),
            // Integers, positive and negative, in every width.
            (resolution, "18 3c", json!({"StorageResolution": 60})),
            (resolution, "39 00ff", json!({"StorageResolution": -256})),
            (
                resolution,
                "1b ffffffffffffffff",
                json!({"StorageResolution": u64::MAX}),
            ),
            (
                resolution,
                "3b ffffffffffffffff",
                json!({"StorageResolution": "-18446744073709551616"}),
            ),
            // Times with the tag of epoch seconds, whole or not; one without the tag, as some clients send it.
            (
                timestamp,
                "c1 1a 6621ec40",
                json!({"Timestamp": 1_713_499_200}),
            ),
            (
                timestamp,
                "c1 fb 41d9887b10200000",
                json!({"Timestamp": 1_713_499_200.5}),
            ),
            (
                timestamp,
                "c1 fb 41d9887b10000000",
                json!({"Timestamp": 1_713_499_200}),
            ),
            (
                timestamp,
                "1a 6621ec40",
                json!({"Timestamp": 1_713_499_200}),
            ),
            // Text in one piece and in several; null is absent.
            (unit, "65 436f756e74", json!({"Unit": "Count"})),
            (unit, "7f 62 436f 63 756e74 ff", json!({"Unit": "Count"})),
            (unit, "f6", json!({})),
            // What does not fit its type is kept.
            (unit, "f5", json!({"Unit": true})),
            (value, "63 6f6464", json!({"Value": "odd"})),
        ] {
            let found = datum(&format!("{member} {sent}")).unwrap();
            assert_eq!(found, expected, "{sent}");
        }
    }

    #[test]
    fn lists_and_maps_of_no_stated_length_are_read() {
        // {_ "Namespace": "n", "MetricData": [_ {_ "MetricName": "m" }, {_ }], 1: 2, "Unheard": h'00' }
        let body = bytes(
            "bf 69 4e616d657370616365 61 6e 6a 4d657472696344617461 9f bf 6a 4d65747269634e616d65 61 6d ff bf ff ff \
             01 02 67 556e6865617264 41 00 ff",
        );
        let call = call("cloudwatch", "PutMetricData");
        let found = params::request(&call, &head("POST /", ""), &body).unwrap();
        assert_eq!(
            Value::Object(found),
            json!({"Namespace": "n", "MetricData": [{"MetricName": "m"}, {}]})
        );
    }

    #[test]
    fn bytes_become_base64() {
        // GetMetricWidgetImage's answer: {"MetricWidgetImage": h'89504e47'}
        let body = bytes("a1 71 4d6574726963576964676574496d616765 44 89504e47");
        let call = call("cloudwatch", "GetMetricWidgetImage");
        let found = params::response(&call, StatusCode::OK, &HeaderMap::new(), &body).unwrap();
        assert_eq!(
            Value::Object(found),
            json!({"MetricWidgetImage": "iVBORw=="})
        );
    }

    #[test]
    fn what_is_no_map_of_cbor_is_not_read() {
        let call = call("cloudwatch", "PutMetricData");
        let read = |body: &[u8]| params::request(&call, &head("POST /", ""), body);
        assert_eq!(read(b"").unwrap(), Params::new());
        for body in [
            "80",                            // a list
            "a1 69 4e61",                    // cut short
            "bf 61 61",                      // no end
            "a1 6a 4d657472696344617461 9f", // a list without end
            "ff",
            "a1 61 ff 01", // a key that is no UTF-8
        ] {
            let error = read(&bytes(body)).unwrap_err();
            assert!(matches!(error, ParseError::Syntax { .. }), "{body}");
        }
        // [[[…]]] where the model has no more than one.
        let deep = format!("a1 6a 4d657472696344617461 {} 80", "81".repeat(1000));
        let error = read(&bytes(&deep)).unwrap_err();
        assert!(matches!(error, ParseError::TooDeep));
    }

    #[test]
    fn errors_are_read() {
        for (call, body, code, message, shape) in [
            // {"__type": "com.amazonaws.cloudwatch#ResourceNotFound", "message": "m"}
            (
                call("cloudwatch", "GetDashboard"),
                "a2 66 5f5f74797065 78 29 636f6d2e616d617a6f6e6177732e636c6f756477617463682352657\
                 36f757263654e6f74466f756e64 67 6d657373616765 61 6d",
                "ResourceNotFound",
                Some("m"),
                Some("DashboardNotFoundError"),
            ),
            // {_ "Message": "m", "__type": "LimitExceededException" }
            (
                call("gamelift", "CreateFleet"),
                "bf 67 4d657373616765 61 6d 66 5f5f74797065 76 4c696d69744578636565646564457863657074696f6e ff",
                "LimitExceededException",
                Some("m"),
                Some("LimitExceededException"),
            ),
            (
                call("gamelift", "CreateFleet"),
                "a0",
                "BadRequest",
                None,
                None,
            ),
        ] {
            let found = params::error(
                &call,
                StatusCode::BAD_REQUEST,
                &HeaderMap::new(),
                &bytes(body),
            );
            assert_eq!(found.code, code);
            assert_eq!(found.message.as_deref(), message);
            assert_eq!(found.shape.as_deref(), shape);
        }
    }
}
