//! A frame of `models.bin` → [`Service`]. The format is described in `distill.py`; the two change together.
//!
//! The frames are part of this binary, so a frame that does not fit is a mistake of the build: `Models` panics on it,
//! and a test decodes every one.

use std::collections::HashMap;
use std::io::Read;
use std::sync::OnceLock;

use flate2::read::ZlibDecoder;
use serde::Deserialize;

use super::Entry;
use super::model::{
    Constraints, ErrorTrait, Kind, Location, Member, Operation, Protocol, Service, Shape, ShapeId,
    Structure, TimestampFormat,
};
use super::uri::{Needed, Template};

#[derive(Deserialize)]
struct RawService {
    #[serde(rename = "o")]
    operations: Vec<RawOperation>,
    #[serde(rename = "s")]
    shapes: Vec<RawShape>,
}

#[derive(Deserialize)]
struct RawOperation(
    Box<str>,
    Box<str>,
    Box<str>,
    Option<u32>,
    Option<u32>,
    Vec<u32>,
    RawExtra,
);

#[derive(Deserialize)]
struct RawExtra {
    #[serde(rename = "w")]
    result_wrapper: Option<Box<str>>,
    #[serde(default, rename = "u")]
    unsigned: u8,
}

#[derive(Deserialize)]
struct RawShape(Box<str>, char, RawDetails);

#[derive(Deserialize)]
struct RawDetails {
    #[serde(default, rename = "m")]
    members: Vec<RawMember>,
    #[serde(rename = "p")]
    payload: Option<usize>,
    #[serde(default, rename = "r")]
    required: Vec<usize>,
    #[serde(rename = "e")]
    error: Option<(Option<Box<str>>, Option<u16>, u8)>,
    #[serde(default, rename = "d")]
    document: u8,
    #[serde(default, rename = "v")]
    event_stream: u8,
    #[serde(rename = "k")]
    key: Option<RawMember>,
    #[serde(rename = "x")]
    element: Option<RawMember>,
    #[serde(default, rename = "F")]
    flattened: u8,
    #[serde(rename = "t")]
    timestamp_format: Option<char>,
    #[serde(default, rename = "S")]
    sensitive: u8,
    #[serde(rename = "c")]
    constraints: Option<RawConstraints>,
}

type RawConstraints = (Option<f64>, Option<f64>, Option<Box<str>>, Vec<Box<str>>);

#[derive(Deserialize)]
struct RawMember(Box<str>, u32, RawTraits);

#[derive(Deserialize)]
struct RawTraits {
    #[serde(rename = "l")]
    location: Option<char>,
    #[serde(rename = "n")]
    wire_name: Option<Box<str>>,
    #[serde(rename = "q")]
    query_name: Option<Box<str>>,
    #[serde(default, rename = "F")]
    flattened: u8,
    #[serde(default, rename = "a")]
    xml_attribute: u8,
    #[serde(rename = "t")]
    timestamp_format: Option<char>,
    #[serde(default, rename = "s")]
    streaming: u8,
    #[serde(default, rename = "j")]
    json_value: u8,
    #[serde(default, rename = "i")]
    idempotency_token: u8,
}

/// Only a broken build makes these errors, so that a message is all they need.
pub(super) type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

/// Text of a zlib stream.
pub(super) fn inflate(bytes: &[u8]) -> Result<String> {
    let mut text = String::with_capacity(bytes.len() * 8);
    ZlibDecoder::new(bytes).read_to_string(&mut text)?;
    Ok(text)
}

/// Protocols by their letters in the index.
pub(super) fn protocols(letters: &str) -> Vec<Protocol> {
    let protocol = |letter| {
        Some(match letter {
            'j' => Protocol::Json,
            'q' => Protocol::Query,
            '2' => Protocol::Ec2,
            'r' => Protocol::RestJson,
            'x' => Protocol::RestXml,
            'c' => Protocol::Cbor,
            _ => return None,
        })
    };
    letters.chars().filter_map(protocol).collect()
}

/// The service behind an entry of the index.
pub(super) fn service(entry: &Entry) -> Result<Service> {
    let raw: RawService = serde_json::from_str(&inflate(entry.frame)?)?;
    let shapes: Vec<Shape> = raw.shapes.into_iter().map(shape).collect::<Result<_>>()?;
    let operations: Vec<Operation> = raw
        .operations
        .into_iter()
        .map(|raw| operation(raw, &shapes))
        .collect();
    let mut operation_index = HashMap::with_capacity(operations.len());
    let mut by_method: HashMap<Box<str>, Vec<usize>> = HashMap::new();
    for (index, operation) in operations.iter().enumerate() {
        operation_index.insert(operation.name.clone(), index);
        let method = by_method.entry(operation.method.clone()).or_default();
        method.push(index);
    }
    Ok(Service {
        id: entry.id.into(),
        service_id: entry.service_id.into(),
        signing_name: entry.signing_name.into(),
        endpoint_prefix: entry.endpoint_prefix.into(),
        api_version: entry.api_version.into(),
        target_prefix: entry.target_prefix.map(Into::into),
        json_version: entry.json_version.map(Into::into),
        protocols: entry.protocols.clone(),
        xml_namespace: entry.xml_namespace.map(Into::into),
        operations,
        shapes,
        operation_index,
        by_method,
    })
}

fn operation(raw: RawOperation, shapes: &[Shape]) -> Operation {
    let RawOperation(name, method, uri, input, output, errors, extra) = raw;
    let input = input.map(ShapeId);
    let template = Template::new(&uri, needed(input, shapes));
    Operation {
        name,
        method,
        uri,
        input,
        output: output.map(ShapeId),
        result_wrapper: extra.result_wrapper,
        errors: errors.into_iter().map(ShapeId).collect(),
        unsigned: extra.unsigned != 0,
        template,
    }
}

/// What a request must carry in its head, besides its path: it tells UploadPart from PutObject.
fn needed(input: Option<ShapeId>, shapes: &[Shape]) -> Vec<Needed> {
    let shape = input.and_then(|id| shapes.get(id.0 as usize));
    let Some(Kind::Structure(structure)) = shape.map(|shape| &shape.kind) else {
        return Vec::new();
    };
    let members = structure.members.iter();
    let required = members.filter(|member| structure.required.contains(&member.name));
    required
        .filter_map(|member| match member.location {
            Location::QueryString => Some(Needed::Query(member.wire().into())),
            Location::Header => Some(Needed::Header(member.wire().to_ascii_lowercase().into())),
            _ => None,
        })
        .collect()
}

fn shape(RawShape(name, letter, details): RawShape) -> Result<Shape> {
    let part =
        |raw: Option<RawMember>| member(raw.ok_or_else(|| format!("shape {name} lacks a part"))?);
    let kind = match letter {
        'S' => {
            let members: Vec<Member> = details
                .members
                .into_iter()
                .map(member)
                .collect::<Result<_>>()?;
            let required = details.required.into_iter();
            let required = required
                .filter_map(|index| members.get(index))
                .map(|member| member.name.clone())
                .collect();
            Kind::Structure(Structure {
                payload: details.payload.filter(|&index| index < members.len()),
                required,
                error: details.error.map(|(code, status, sender)| ErrorTrait {
                    code,
                    status,
                    sender_fault: sender != 0,
                }),
                document: details.document != 0,
                event_stream: details.event_stream != 0,
                by_wire: OnceLock::new(),
                members,
            })
        }
        'L' => Kind::List {
            element: part(details.element)?,
            flattened: details.flattened != 0,
        },
        'M' => Kind::Map {
            key: part(details.key)?,
            value: part(details.element)?,
            flattened: details.flattened != 0,
        },
        's' => Kind::String,
        'b' => Kind::Blob,
        'B' => Kind::Boolean,
        'i' => Kind::Integer,
        'l' => Kind::Long,
        'f' => Kind::Float,
        'd' => Kind::Double,
        't' => Kind::Timestamp(details.timestamp_format.map(timestamp_format).transpose()?),
        _ => return Err(format!("shape {name} is of the unknown type {letter}").into()),
    };
    let constraints = details.constraints.map(|(min, max, pattern, values)| {
        Box::new(Constraints {
            min,
            max,
            pattern,
            values,
        })
    });
    Ok(Shape {
        name,
        sensitive: details.sensitive != 0,
        kind,
        constraints,
    })
}

fn member(RawMember(name, shape, traits): RawMember) -> Result<Member> {
    let location = match traits.location {
        None => Location::Body,
        Some('u') => Location::Uri,
        Some('q') => Location::QueryString,
        Some('h') => Location::Header,
        Some('H') => Location::Headers,
        Some('s') => Location::StatusCode,
        Some(letter) => {
            return Err(format!("member {name} has the unknown location {letter}").into());
        }
    };
    Ok(Member {
        name,
        shape: ShapeId(shape),
        location,
        wire_name: traits.wire_name,
        query_name: traits.query_name,
        flattened: traits.flattened != 0,
        xml_attribute: traits.xml_attribute != 0,
        timestamp_format: traits.timestamp_format.map(timestamp_format).transpose()?,
        streaming: traits.streaming != 0,
        json_value: traits.json_value != 0,
        idempotency_token: traits.idempotency_token != 0,
    })
}

fn timestamp_format(letter: char) -> Result<TimestampFormat> {
    Ok(match letter {
        'i' => TimestampFormat::Iso8601,
        'r' => TimestampFormat::Rfc822,
        'u' => TimestampFormat::Unix,
        _ => return Err(format!("unknown timestamp format {letter}").into()),
    })
}
