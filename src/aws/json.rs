//! JSON → [`Params`] by shape: bodies of the JSON protocols, and REST's JSON bodies and payloads.

use serde_json::Value;

use super::Params;
use super::model::{Kind, Member, Service, ShapeId, Structure};
use super::params::{MAX_DEPTH, ParseError};
use super::text;

/// Members of the structure `shape` in a JSON body; an empty body has none.
pub(super) fn parse(service: &Service, shape: ShapeId, body: &[u8]) -> Result<Params, ParseError> {
    let Some(structure) = service.structure(shape) else {
        return Ok(Params::new());
    };
    members(service, structure, body, |_| true)
}

/// Those members of `structure` in a JSON body that are `wanted`.
pub(super) fn members(
    service: &Service,
    structure: &Structure,
    body: &[u8],
    wanted: impl Fn(&Member) -> bool,
) -> Result<Params, ParseError> {
    match read(body)? {
        Value::Null => Ok(Params::new()),
        Value::Object(object) => fields(service, structure, object, MAX_DEPTH, wanted),
        _ => Err(syntax("the body is no object")),
    }
}

/// A whole body as the value of `shape`; an empty one is no value.
pub(super) fn payload(
    service: &Service,
    shape: ShapeId,
    body: &[u8],
) -> Result<Option<Value>, ParseError> {
    if body.is_empty() {
        return Ok(None);
    }
    value(service, shape, read(body)?, MAX_DEPTH).map(Some)
}

/// Code and message of an error body.
pub(super) fn error(body: &[u8]) -> (Option<String>, Option<String>) {
    let body: Value = serde_json::from_slice(body).unwrap_or_default();
    let text = |names: &[&str]| {
        let mut found = names.iter().filter_map(|name| body.get(name)?.as_str());
        found.next().map(str::to_owned)
    };
    (
        text(&["__type", "code", "Code"]),
        text(&["message", "Message", "errorMessage"]),
    )
}

fn read(body: &[u8]) -> Result<Value, ParseError> {
    if body.iter().all(u8::is_ascii_whitespace) {
        return Ok(Value::Null);
    }
    serde_json::from_slice(body).map_err(|error| syntax(&error.to_string()))
}

fn syntax(reason: &str) -> ParseError {
    ParseError::Syntax {
        format: "JSON",
        reason: reason.to_owned(),
    }
}

fn fields(
    service: &Service,
    structure: &Structure,
    object: Params,
    depth: usize,
    wanted: impl Fn(&Member) -> bool,
) -> Result<Params, ParseError> {
    let mut params = Params::new();
    for (name, sent) in object {
        let mut members = structure.members.iter();
        let member = members.find(|member| member.wire() == name && wanted(member));
        // A member that is null is absent.
        let (Some(member), false) = (member, sent.is_null()) else {
            continue;
        };
        let sent = value(service, member.shape, sent, depth)?;
        params.insert((*member.name).to_owned(), sent);
    }
    Ok(params)
}

/// A value by its shape; what does not fit the shape stays as it was sent.
fn value(
    service: &Service,
    shape: ShapeId,
    sent: Value,
    depth: usize,
) -> Result<Value, ParseError> {
    let depth = depth.checked_sub(1).ok_or(ParseError::TooDeep)?;
    Ok(match (&service.shape(shape).kind, sent) {
        (Kind::Structure(structure), Value::Object(object)) if !structure.document => {
            fields(service, structure, object, depth, |_| true)?.into()
        }
        (Kind::List { element, .. }, Value::Array(items)) => {
            let items = items.into_iter();
            let items = items.map(|item| value_or_null(service, element.shape, item, depth));
            Value::Array(items.collect::<Result<_, _>>()?)
        }
        (Kind::Map { value: of, .. }, Value::Object(entries)) => {
            let entries = entries.into_iter();
            let entries = entries.map(|(key, sent)| {
                value_or_null(service, of.shape, sent, depth).map(|sent| (key, sent))
            });
            Value::Object(entries.collect::<Result<_, _>>()?)
        }
        (Kind::Timestamp(_), Value::Number(number)) => {
            let seconds = number.as_f64().and_then(text::epoch);
            seconds.unwrap_or(number).into()
        }
        (kind @ Kind::Timestamp(_), Value::String(sent)) => text::scalar(kind, &sent),
        (_, sent) => sent,
    })
}

fn value_or_null(
    service: &Service,
    shape: ShapeId,
    sent: Value,
    depth: usize,
) -> Result<Value, ParseError> {
    if sent.is_null() {
        return Ok(sent);
    }
    value(service, shape, sent, depth)
}
