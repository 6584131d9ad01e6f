//! Messages of the REST protocols → [`Params`] by shape: labels, headers, query string, status, payload.
//!
//! The body is JSON or XML as the call's protocol is; a streaming body or an event stream is never looked at.

use http::request::Parts;
use http::{HeaderMap, HeaderValue, StatusCode};
use serde_json::Value;

use super::Params;
use super::model::{Kind, Location, Member, Protocol, ShapeId, Structure};
use super::params::{ParseError, insert};
use super::route::{Call, path_for};
use super::uri::{Target, parse_query};
use super::{json, text, xml};

/// Parameters of a request, in the order of its parts: path, query string, headers, body.
pub(super) fn request(
    call: &Call,
    input: ShapeId,
    parts: &Parts,
    body: &[u8],
) -> Result<Params, ParseError> {
    let Some(structure) = call.service.structure(input) else {
        return Ok(Params::new());
    };
    let mut params = Params::new();
    let path = path_for(call.service, parts);
    for (label, value) in call.operation.template.labels(&Target::new(&path, "")) {
        let mut members = structure.members.iter();
        let member = members.find(|m| m.location == Location::Uri && m.wire() == label);
        if let Some(member) = member {
            let value = text::scalar(kind(call, member.shape), &value);
            params.insert((*member.name).to_owned(), value);
        }
    }
    query_members(call, structure, parts, &mut params);
    header_members(call, structure, &parts.headers, &mut params);
    body_members(call, structure, body, &mut params)?;
    Ok(params)
}

/// Members of a successful answer.
pub(super) fn response(
    call: &Call,
    output: ShapeId,
    status: StatusCode,
    headers: &HeaderMap,
    body: &[u8],
) -> Result<Params, ParseError> {
    let Some(structure) = call.service.structure(output) else {
        return Ok(Params::new());
    };
    let mut params = Params::new();
    let mut members = structure.members.iter();
    if let Some(member) = members.find(|member| member.location == Location::StatusCode) {
        params.insert((*member.name).to_owned(), status.as_u16().into());
    }
    header_members(call, structure, headers, &mut params);
    body_members(call, structure, body, &mut params)?;
    Ok(params)
}

fn kind(call: &Call, shape: ShapeId) -> &'static Kind {
    &call.service.shape(shape).kind
}

fn query_members(call: &Call, structure: &Structure, parts: &Parts, params: &mut Params) {
    let located = structure.members.iter();
    let located = located.filter(|member| member.location == Location::QueryString);
    let located: Vec<&Member> = located.collect();
    let is_map = |member: &&&Member| matches!(kind(call, member.shape), Kind::Map { .. });
    for (name, sent) in parse_query(parts.uri.query().unwrap_or_default()) {
        let named = located.iter().find(|m| m.wire() == name && !is_map(m));
        // A map takes all that no other member has a name for.
        let (member, key) = match (named, located.iter().find(is_map)) {
            (Some(member), _) => (member, None),
            (None, Some(map)) if name != "x-id" && !call.operation.template.is_literal(&name) => {
                (map, Some(name))
            }
            _ => continue,
        };
        let slot = params.entry(&*member.name);
        match (kind(call, member.shape), key) {
            (Kind::Map { value, .. }, Some(key)) => {
                if let Value::Object(map) = slot.or_insert_with(|| Params::new().into()) {
                    add(kind(call, value.shape), call, map.entry(key), &sent);
                }
            }
            (of, _) => add(of, call, slot, &sent),
        }
    }
}

/// Puts one value of a query string in its place: a list grows, of scalars the first counts.
fn add(of: &Kind, call: &Call, slot: serde_json::map::Entry<'_>, sent: &str) {
    match of {
        Kind::List { element, .. } => {
            let item = text::scalar(kind(call, element.shape), sent);
            if let Value::Array(items) = slot.or_insert_with(|| Value::Array(Vec::new())) {
                items.push(item);
            }
        }
        of => {
            slot.or_insert_with(|| text::scalar(of, sent));
        }
    }
}

fn header_members(call: &Call, structure: &Structure, headers: &HeaderMap, params: &mut Params) {
    for member in &structure.members {
        match member.location {
            Location::Header => {
                let value = header(call, member, headers);
                insert(params, &member.name, value);
            }
            Location::Headers => {
                let prefix = member.wire().to_ascii_lowercase();
                let entries = headers.iter().filter_map(|(name, value)| {
                    let key = name.as_str().strip_prefix(&prefix)?;
                    Some((key.to_owned(), header_text(value).into()))
                });
                let entries: Params = entries.collect();
                let entries = (!entries.is_empty()).then(|| entries.into());
                insert(params, &member.name, entries);
            }
            _ => {}
        }
    }
}

fn header(call: &Call, member: &Member, headers: &HeaderMap) -> Option<Value> {
    let sent = headers.get(member.wire())?;
    let of = kind(call, member.shape);
    if member.json_value {
        let sent = header_text(sent);
        let decoded = text::from_base64(&sent).and_then(|bytes| String::from_utf8(bytes).ok());
        return Some(decoded.unwrap_or(sent).into());
    }
    let Kind::List { element, .. } = of else {
        return Some(text::scalar(of, &header_text(sent)));
    };
    let of = kind(call, element.shape);
    let all = headers.get_all(member.wire()).iter().map(header_text);
    let items = all.flat_map(|line| match of {
        // A date has a comma of its own: `Mon, 16 Dec 2019 23:48:18 GMT`.
        Kind::Timestamp(_) => every_second_comma(&line),
        _ => split_list(&line),
    });
    let items = items.map(|item| text::scalar(of, &item));
    Some(items.collect())
}

fn header_text(value: &HeaderValue) -> String {
    String::from_utf8_lossy(value.as_bytes()).into_owned()
}

/// Elements of a list in a header; those with commas or quotes in them are quoted.
fn split_list(line: &str) -> Vec<String> {
    let mut items = vec![String::new()];
    let mut quoted = false;
    let mut letters = line.chars();
    while let Some(letter) = letters.next() {
        let Some(item) = items.last_mut() else { break };
        match letter {
            '"' => quoted = !quoted,
            '\\' if quoted => item.extend(letters.next()),
            ',' if !quoted => items.push(String::new()),
            letter => item.push(letter),
        }
    }
    let items = items.into_iter().map(|item| item.trim().to_owned());
    items.collect()
}

fn every_second_comma(line: &str) -> Vec<String> {
    let pieces: Vec<&str> = line.split(',').map(str::trim).collect();
    // Without a weekday the pieces are whole already.
    if !line.contains("GMT") {
        return pieces.into_iter().map(str::to_owned).collect();
    }
    pieces.chunks(2).map(|pair| pair.join(", ")).collect()
}

fn body_members(
    call: &Call,
    structure: &Structure,
    body: &[u8],
    params: &mut Params,
) -> Result<(), ParseError> {
    if let Some(payload) = structure
        .payload
        .and_then(|index| structure.members.get(index))
    {
        let value = payload_value(call, payload, body)?;
        insert(params, &payload.name, value);
        return Ok(());
    }
    let in_body = |member: &Member| member.location == Location::Body;
    if body.iter().all(u8::is_ascii_whitespace) || !structure.members.iter().any(in_body) {
        return Ok(());
    }
    let members = if call.protocol == Protocol::RestJson {
        json::members(call.service, structure, body, in_body)?
    } else {
        xml::members(call, structure, body)?
    };
    params.extend(members);
    Ok(())
}

/// The member that is the whole body; `None` if it is empty or not to be looked at.
fn payload_value(call: &Call, payload: &Member, body: &[u8]) -> Result<Option<Value>, ParseError> {
    if payload.streaming || body.is_empty() {
        return Ok(None);
    }
    match kind(call, payload.shape) {
        Kind::Structure(structure) if structure.event_stream => Ok(None),
        Kind::Blob => Ok(Some(text::to_base64(body).into())),
        Kind::String => Ok(Some(String::from_utf8_lossy(body).into())),
        _ if call.protocol == Protocol::RestJson => {
            json::payload(call.service, payload.shape, body)
        }
        _ => xml::payload(call, payload.shape, body).map(Some),
    }
}
