//! Requests that nobody signed: whether one has the shape that its operation has, and nothing beyond it.
//!
//! Others go by other signs than [`route::find`] does: by a path before an `Action`, by the last of two, by a bucket in
//! the host name. What needs no signature is let in only where all of them can find no other call than that one.

use http::header::{AUTHORIZATION, CONTENT_ENCODING, CONTENT_TYPE};
use http::request::Parts;
use http::{HeaderMap, Method};

use super::{SIGN_A_QUERY, SIGN_A_QUERY_V2, has_parameter, header};
use crate::aws::model::{Location, Operation, Protocol, Service};
use crate::aws::route::{self, Call};
use crate::aws::uri::parse_query;

/// Whether a request is `call` and can be taken for no other. `body` is the whole one.
pub fn is_only(call: &Call, parts: &Parts, body: &[u8]) -> bool {
    let headers = &parts.headers;
    // What stands behind an encoding is another body to whoever does not undo it.
    if route::bucket_in_host(parts).is_some() || headers.contains_key(CONTENT_ENCODING) {
        return false;
    }
    let is_at_root = parts.uri.path() == "/" && !headers.contains_key(AUTHORIZATION);
    let has_target = headers.contains_key("x-amz-target");
    let query = parts.uri.query();
    match call.protocol {
        Protocol::Query | Protocol::Ec2 => {
            let form = match parts.method {
                Method::POST if query.is_none() && is(headers, FORM) => {
                    std::str::from_utf8(body).ok()
                }
                // The links in SNS's messages, which no model knows to need no signature.
                Method::GET if !call.operation.unsigned && body.is_empty() => query,
                _ => None,
            };
            is_at_root && !has_target && form.is_some_and(names_one_call)
        }
        Protocol::Json => {
            let content_type = headers.get(CONTENT_TYPE);
            let is_json = content_type.is_none_or(|it| it.as_bytes().starts_with(JSON));
            is_at_root && parts.method == Method::POST && query.is_none() && is_json
        }
        Protocol::RestJson | Protocol::RestXml => {
            let mut names = parse_query(query.unwrap_or_default()).into_iter();
            let is_body = body.is_empty() || is(headers, "application/json");
            is_body
                && !has_target
                && names.all(|(name, _)| takes(call.service, call.operation, &name))
        }
        // No operation that needs no signature is called so.
        Protocol::Cbor => false,
    }
}

const FORM: &str = "application/x-www-form-urlencoded";
/// Its version follows.
const JSON: &[u8] = b"application/x-amz-json-";

/// Whether a body is of this media type, in the spelling that everyone reads.
fn is(headers: &HeaderMap, media_type: &str) -> bool {
    let sent = header(headers, CONTENT_TYPE.as_str()).and_then(|it| it.split(';').next());
    sent.is_some_and(|sent| sent.trim_end() == media_type)
}

/// Whether a form has one `Action`, one `Version`, no part of a signature, and no pair that could be split in two ways.
fn names_one_call(form: &str) -> bool {
    let is_once = |wanted: &str| {
        let names = form_urlencoded::parse(form.as_bytes());
        names
            .filter(|(name, _)| name.eq_ignore_ascii_case(wanted))
            .count()
            == 1
    };
    let mut pairs = form.split('&');
    pairs.all(|pair| pair.matches('=').count() == 1)
        && is_once("Action")
        && is_once("Version")
        && !has_parameter(form, SIGN_A_QUERY)
        && !has_parameter(form, SIGN_A_QUERY_V2)
}

/// Whether an operation has a query parameter of this name.
fn takes(service: &Service, operation: &Operation, name: &str) -> bool {
    let input = operation.input.and_then(|input| service.structure(input));
    let mut members = input.into_iter().flat_map(|input| &input.members);
    let literal = operation.uri.split_once('?').map_or("", |(_, query)| query);
    members.any(|it| it.location == Location::QueryString && it.wire() == name)
        || parse_query(literal).iter().any(|(it, _)| it == name)
}
