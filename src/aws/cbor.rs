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
            params.insert(member.name.to_string(), sent);
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
