//! Requests made from the models: an operation, parameters that fit its input, and the bytes that an SDK would send
//! them as, in each protocol. Written after the protocols' own documents and not after localtrail's parsers, which are to
//! read the parameters back.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chrono::DateTime;
use ciborium::Value as Cbor;
use http::Request;
use localtrail::aws::model::{
    Kind, Location, Member, Operation, Protocol, Service, ShapeId, Structure, TimestampFormat,
};
use localtrail::aws::{Params, models};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Number, Value};

use crate::dice::{Dice, Place};

/// Values with which a call may well succeed, by the names of members; chance alone would hardly ever find one.
const LIKELY: &[(&str, &[&str])] = &[
    ("AttributeKey", &["EventName", "ReadOnly", "Username"]),
    ("Bucket", &["logs", "other-logs"]),
    ("Field", &["eventCategory", "readOnly", "eventName"]),
    ("Key", &["key", "AWSLogs/key", "../key"]),
    ("Name", &["main", "second", "notes"]),
    ("Prefix", &["AWSLogs/", "k"]),
    ("Protocol", &["http", "https", "sqs", "email"]),
    ("ReadWriteType", &["All", "ReadOnly"]),
    ("ResourceArn", &["arn:aws:sns:us-east-1:111122223333:notes"]),
    (
        "ResourceId",
        &["arn:aws:cloudtrail:us-east-1:111122223333:trail/main"],
    ),
    ("RoleArn", &["arn:aws:iam::111122223333:role/app"]),
    ("RoleSessionName", &["session"]),
    ("S3BucketName", &["logs", "other-logs"]),
    (
        "TopicArn",
        &[
            "arn:aws:sns:us-east-1:111122223333:notes",
            "arn:aws:sns:us-east-1:111122223333:main",
        ],
    ),
    ("TrailName", &["main", "second"]),
];
/// Structures within structures that are filled.
const DEPTH: usize = 4;
const UNRESERVED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');
const PATH: &AsciiSet = &UNRESERVED.remove(b'/');

/// A request of which it is known what it says.
pub(crate) struct Known {
    pub(crate) service: &'static Service,
    pub(crate) operation: &'static Operation,
    pub(crate) protocol: Protocol,
    pub(crate) params: Params,
    pub(crate) request: Request<Vec<u8>>,
}

impl std::fmt::Debug for Known {
    /// Without the models, which are long.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self {
            service,
            operation,
            protocol,
            params,
            request,
        } = self;
        write!(
            f,
            "{} {} in {protocol:?}: {params:?} as {request:?}",
            service.id, operation.name
        )
    }
}

/// A request of any operation of any service.
pub(crate) fn any(dice: &mut Dice<'_>) -> Known {
    let ids: Vec<&str> = models().ids().collect();
    let id = ids[dice.below(ids.len())];
    of_service(dice, id)
}

/// A request of any operation of one service.
pub(crate) fn of_service(dice: &mut Dice<'_>, id: &str) -> Known {
    let service = models().service(id).unwrap();
    let operation = &service.operations[dice.below(service.operations.len())];
    let protocol = *dice.pick(&service.protocols);
    of_operation(dice, service, operation, protocol)
}

pub(crate) fn of_operation(
    dice: &mut Dice<'_>,
    service: &'static Service,
    operation: &'static Operation,
    protocol: Protocol,
) -> Known {
    let mut maker = Maker::new(service, protocol, dice);
    let input = operation.input.and_then(|input| service.structure(input));
    let params = input.map(|input| maker.input(input)).unwrap_or_default();
    let request = Writer {
        service,
        operation,
        protocol,
        params: &params,
    }
    .request(input, dice);
    Known {
        service,
        operation,
        protocol,
        params,
        request,
    }
}

/// Members of an answer's body that fit an operation's output.
pub(crate) fn output(
    dice: &mut Dice<'_>,
    service: &'static Service,
    operation: &'static Operation,
    protocol: Protocol,
) -> Params {
    let mut maker = Maker::new(service, protocol, dice);
    let Some(output) = operation
        .output
        .and_then(|output| service.structure(output))
    else {
        return Params::new();
    };
    let mut params = maker.input(output);
    let payload = output.payload.map(|at| &*output.members[at].name);
    params.retain(|name, _| match payload {
        Some(payload) => name == payload,
        None => output
            .member(name)
            .is_some_and(|member| member.location == Location::Body),
    });
    params
}

/// Makes values by shape, as [`Params`] holds them.
struct Maker<'d, 'b> {
    service: &'static Service,
    protocol: Protocol,
    dice: &'d mut Dice<'b>,
    /// One in so many members that need not be there is.
    rarity: usize,
}

fn likely(name: &str) -> Option<&'static [&'static str]> {
    let found = LIKELY.iter().find(|(own, _)| *own == name);
    found.map(|(_, values)| *values)
}

impl<'d, 'b> Maker<'d, 'b> {
    fn new(service: &'static Service, protocol: Protocol, dice: &'d mut Dice<'b>) -> Self {
        // With few members a call is more likely one that succeeds.
        let rarity = *dice.pick(&[3, 12, 2]);
        Self {
            service,
            protocol,
            dice,
            rarity,
        }
    }

    fn kind(&self, shape: ShapeId) -> &'static Kind {
        &self.service.shape(shape).kind
    }

    fn is_rest(&self) -> bool {
        matches!(self.protocol, Protocol::RestJson | Protocol::RestXml)
    }

    fn is_xml(&self) -> bool {
        matches!(
            self.protocol,
            Protocol::RestXml | Protocol::Query | Protocol::Ec2
        )
    }

    /// Members of an input, wherever in the request they stand.
    fn input(&mut self, input: &'static Structure) -> Params {
        let mut params = Params::new();
        for (at, member) in input.members.iter().enumerate() {
            let is_wanted =
                input.required.contains(&member.name) || member.location == Location::Uri;
            if (!is_wanted && !self.dice.once_in(self.rarity)) || member.streaming {
                continue;
            }
            let location = if self.is_rest() {
                member.location
            } else {
                Location::Body
            };
            let value = match location {
                Location::Body
                    if self.is_rest() && input.payload.is_some_and(|payload| payload != at) =>
                {
                    None
                }
                Location::Body if self.is_rest() && input.payload.is_some() => self.payload(member),
                Location::Body => self.value(member, DEPTH),
                Location::Uri | Location::QueryString | Location::Header => {
                    self.in_head(member, location)
                }
                Location::Headers => Some(self.prefixed_headers()),
                Location::StatusCode => None,
            };
            if let Some(value) = value {
                params.insert(member.name.to_string(), value);
            }
        }
        params
    }

    /// A member that is the whole body.
    fn payload(&mut self, member: &Member) -> Option<Value> {
        match self.kind(member.shape) {
            Kind::Blob => Some(STANDARD.encode([b'x', self.dice.byte()]).into()),
            Kind::String => Some(self.dice.word(Place::Anywhere).into()),
            _ => self.value(member, DEPTH),
        }
    }

    /// A member in the path, the query string or a header: never empty, and not nested.
    fn in_head(&mut self, member: &Member, location: Location) -> Option<Value> {
        let place = if location == Location::Header {
            Place::Header
        } else {
            Place::Anywhere
        };
        if member.json_value {
            return Some(self.document().to_string().into());
        }
        match self.kind(member.shape) {
            Kind::String if likely(&member.name).is_some() && !self.dice.once_in(4) => {
                likely(&member.name).map(|values| (*self.dice.pick(values)).into())
            }
            Kind::List { element, .. } => {
                let count = 1 + self.dice.below(3);
                let items = (0..count).map(|_| self.scalar(element.shape, place));
                items.collect::<Option<Value>>()
            }
            Kind::Map { value, .. } => {
                let several = matches!(self.kind(value.shape), Kind::List { .. });
                // A name that belongs to no other member.
                let name = format!("zz{}", self.dice.word(place));
                let sent = match self.kind(value.shape) {
                    Kind::List { element, .. } if several => self.scalar(element.shape, place)?,
                    _ => self.scalar(value.shape, place)?,
                };
                let sent = if several {
                    Value::Array(vec![sent])
                } else {
                    sent
                };
                Some(Params::from_iter([(name, sent)]).into())
            }
            _ => self.scalar(member.shape, place),
        }
    }

    fn prefixed_headers(&mut self) -> Value {
        let count = 1 + self.dice.below(3);
        let entries =
            (0..count).map(|at| (format!("key-{at}"), self.dice.word(Place::Header).into()));
        Params::from_iter(entries).into()
    }

    /// JSON that no shape describes.
    fn document(&mut self) -> Value {
        Params::from_iter([("any".to_owned(), self.dice.text(Place::Anywhere).into())]).into()
    }

    fn value(&mut self, member: &Member, depth: usize) -> Option<Value> {
        let depth = depth.checked_sub(1)?;
        match self.kind(member.shape) {
            Kind::String if likely(&member.name).is_some() && !self.dice.once_in(4) => {
                likely(&member.name).map(|values| (*self.dice.pick(values)).into())
            }
            Kind::Structure(structure) if structure.event_stream => None,
            Kind::Structure(structure) if structure.document => {
                (!self.is_xml()).then(|| self.document())
            }
            Kind::Structure(structure) => {
                let mut params = Params::new();
                for (at, member) in structure.members.iter().enumerate() {
                    // S3's former notifications have one event and a list of events, and on the wire they are the same.
                    let mut before = structure.members[..at].iter();
                    if before.any(|before| before.wire() == member.wire()) {
                        continue;
                    }
                    if !structure.required.contains(&member.name) && !self.dice.once_in(self.rarity)
                    {
                        continue;
                    }
                    if let Some(value) = self.value(member, depth) {
                        params.insert(member.name.to_string(), value);
                    }
                }
                self.unless_empty(params.into())
            }
            Kind::List { element, .. } => {
                let count = self.dice.below(3);
                let items = (0..count).filter_map(|_| self.value(element, depth));
                let items: Vec<Value> = items.collect();
                self.unless_empty(items.into())
            }
            Kind::Map { value, .. } => {
                let mut map = Params::new();
                for at in 0..self.dice.below(3) {
                    let place = if self.is_xml() {
                        Place::Xml
                    } else {
                        Place::Anywhere
                    };
                    let key = format!("{at}{}", self.dice.text(place));
                    if let Some(value) = self.value(value, depth) {
                        map.insert(key, value);
                    }
                }
                self.unless_empty(map.into())
            }
            _ => {
                let place = if self.is_xml() {
                    Place::Xml
                } else {
                    Place::Anywhere
                };
                self.scalar(member.shape, place)
            }
        }
    }

    /// Forms and XML cannot tell an empty list or structure from an empty text, or from none at all.
    fn unless_empty(&self, value: Value) -> Option<Value> {
        let is_empty = match &value {
            Value::Object(members) => members.is_empty(),
            Value::Array(items) => items.is_empty(),
            _ => false,
        };
        (!is_empty || !self.is_xml()).then_some(value)
    }

    fn scalar(&mut self, shape: ShapeId, place: Place) -> Option<Value> {
        let in_head = place == Place::Header;
        Some(match self.kind(shape) {
            Kind::String if in_head || self.is_rest() => self.dice.word(place).into(),
            Kind::String => self.dice.text(place).into(),
            Kind::Blob => STANDARD.encode(self.dice.bytes(8)).into(),
            Kind::Boolean => self.dice.once_in(2).into(),
            Kind::Integer => self.dice.number().cast_signed().into(),
            Kind::Long => (i64::from(self.dice.number()) << self.dice.below(31)).into(),
            Kind::Float | Kind::Double => {
                let eighths = f64::from(self.dice.number().cast_signed());
                Number::from_f64(eighths / 8.0)?.into()
            }
            Kind::Timestamp(_) => self.dice.number().into(),
            Kind::Structure(_) | Kind::List { .. } | Kind::Map { .. } => return None,
        })
    }
}

/// Writes parameters as a request.
struct Writer<'a> {
    service: &'static Service,
    operation: &'static Operation,
    protocol: Protocol,
    params: &'a Params,
}

impl Writer<'_> {
    fn request(&self, input: Option<&'static Structure>, dice: &mut Dice<'_>) -> Request<Vec<u8>> {
        let mut request = Request::builder()
            .header("host", "localhost:4580")
            .header("x-amz-date", "20261122T150130Z")
            .header(
                "authorization",
                format!(
                    "AWS4-HMAC-SHA256 Credential=111122223333/20261122/us-east-1/{}/aws4_request, \
                     SignedHeaders=host;x-amz-date, Signature=00",
                    self.service.signing_name
                ),
            );
        let name = &self.operation.name;
        let (method, uri, body) = match self.protocol {
            Protocol::Json => {
                let version = self.service.json_version.as_deref().unwrap_or("1.1");
                let prefix = self.service.target_prefix.as_deref().unwrap_or_default();
                request = request
                    .header("x-amz-target", format!("{prefix}.{name}"))
                    .header("content-type", format!("application/x-amz-json-{version}"));
                (
                    "POST",
                    "/".to_owned(),
                    self.json(input, |_| true).into_bytes(),
                )
            }
            Protocol::Cbor => {
                let shape = match &self.service.target_prefix {
                    Some(prefix) => prefix.to_string(),
                    None => self.service.service_id.replace(' ', ""),
                };
                request = request
                    .header("smithy-protocol", "rpc-v2-cbor")
                    .header("content-type", "application/cbor");
                let mut body = Vec::new();
                let members = input.map(|input| self.cbor_members(input, self.params));
                let members = Cbor::Map(members.unwrap_or_default());
                ciborium::into_writer(&members, &mut body).unwrap();
                ("POST", format!("/service/{shape}/operation/{name}"), body)
            }
            Protocol::Query | Protocol::Ec2 => {
                request = request.header(
                    "content-type",
                    "application/x-www-form-urlencoded; charset=utf-8",
                );
                let mut form = form_urlencoded::Serializer::new(String::new());
                form.append_pair("Action", name);
                form.append_pair("Version", &self.service.api_version);
                let mut pairs = Vec::new();
                if let Some(input) = input {
                    self.form_members(input, self.params, "", &mut pairs);
                }
                form.extend_pairs(pairs);
                ("POST", "/".to_owned(), form.finish().into_bytes())
            }
            Protocol::RestJson | Protocol::RestXml => {
                let (headers, uri, body) = self.rest(input, dice);
                for (name, value) in headers {
                    request = request.header(name, value);
                }
                (&*self.operation.method, uri, body)
            }
        };
        request.method(method).uri(uri).body(body).unwrap()
    }

    fn kind(&self, shape: ShapeId) -> &'static Kind {
        &self.service.shape(shape).kind
    }

    fn format(&self, member: &Member, default: TimestampFormat) -> TimestampFormat {
        let of_shape = match self.kind(member.shape) {
            Kind::Timestamp(format) => *format,
            _ => None,
        };
        member.timestamp_format.or(of_shape).unwrap_or(default)
    }

    /// A scalar as text.
    fn text(&self, member: &Member, value: &Value, default: TimestampFormat) -> String {
        match (self.kind(member.shape), value) {
            (Kind::Timestamp(_), value) => {
                let time = DateTime::from_timestamp(value.as_i64().unwrap(), 0).unwrap();
                match self.format(member, default) {
                    TimestampFormat::Unix => value.to_string(),
                    TimestampFormat::Iso8601 => time.format("%Y-%m-%dT%H:%M:%SZ").to_string(),
                    TimestampFormat::Rfc822 => time.format("%a, %d %b %Y %H:%M:%S GMT").to_string(),
                }
            }
            (_, Value::String(text)) => text.clone(),
            (_, value) => value.to_string(),
        }
    }

    fn json(&self, input: Option<&'static Structure>, wanted: impl Fn(&Member) -> bool) -> String {
        let members = input.map(|input| {
            let own = |(name, _): &(&String, &Value)| input.member(name).is_some_and(&wanted);
            let params: Params = self
                .params
                .iter()
                .filter(own)
                .map(|(n, v)| (n.clone(), v.clone()))
                .collect();
            self.json_members(input, &params)
        });
        members.unwrap_or_else(|| Params::new().into()).to_string()
    }

    fn json_members(&self, structure: &'static Structure, params: &Params) -> Value {
        let members = params.iter().map(|(name, value)| {
            let member = structure.member(name).unwrap();
            (member.wire().to_owned(), self.json_value(member, value))
        });
        Value::Object(members.collect())
    }

    fn json_value(&self, member: &Member, value: &Value) -> Value {
        match (self.kind(member.shape), value) {
            (Kind::Structure(structure), Value::Object(params)) if !structure.document => {
                self.json_members(structure, params)
            }
            (Kind::List { element, .. }, Value::Array(items)) => items
                .iter()
                .map(|item| self.json_value(element, item))
                .collect(),
            (Kind::Map { value: of, .. }, Value::Object(entries)) => {
                let entries = entries.iter();
                Value::Object(
                    entries
                        .map(|(key, value)| (key.clone(), self.json_value(of, value)))
                        .collect(),
                )
            }
            (Kind::Timestamp(_), value) => match self.format(member, TimestampFormat::Unix) {
                TimestampFormat::Unix => value.clone(),
                _ => self.text(member, value, TimestampFormat::Unix).into(),
            },
            (_, value) => value.clone(),
        }
    }

    fn cbor_members(&self, structure: &'static Structure, params: &Params) -> Vec<(Cbor, Cbor)> {
        let members = params.iter().map(|(name, value)| {
            let member = structure.member(name).unwrap();
            (Cbor::Text(name.clone()), self.cbor_value(member, value))
        });
        members.collect()
    }

    fn cbor_value(&self, member: &Member, value: &Value) -> Cbor {
        match (self.kind(member.shape), value) {
            (Kind::Structure(structure), Value::Object(params)) => {
                Cbor::Map(self.cbor_members(structure, params))
            }
            (Kind::List { element, .. }, Value::Array(items)) => Cbor::Array(
                items
                    .iter()
                    .map(|item| self.cbor_value(element, item))
                    .collect(),
            ),
            (Kind::Map { value: of, .. }, Value::Object(entries)) => {
                let entries = entries.iter();
                Cbor::Map(
                    entries
                        .map(|(key, value)| (key.as_str().into(), self.cbor_value(of, value)))
                        .collect(),
                )
            }
            (Kind::Blob, value) => Cbor::Bytes(STANDARD.decode(value.as_str().unwrap()).unwrap()),
            (Kind::Timestamp(_), value) => Cbor::Tag(1, Box::new(value.as_i64().unwrap().into())),
            (Kind::Float | Kind::Double, value) => Cbor::Float(value.as_f64().unwrap()),
            (_, Value::String(text)) => text.as_str().into(),
            (_, Value::Bool(bool)) => Cbor::Bool(*bool),
            (_, value) => value.as_i64().unwrap().into(),
        }
    }

    /// <https://smithy.io/2.0/aws/protocols/aws-query-protocol.html>, and the EC2 protocol beside it.
    fn form_name(&self, member: &Member, default: &str) -> String {
        if let Some(name) = &member.query_name {
            return name.to_string();
        }
        match (member.wire_name.as_deref(), self.protocol) {
            (Some(wire), Protocol::Ec2) => wire[..1].to_ascii_uppercase() + &wire[1..],
            (Some(wire), _) => wire.to_owned(),
            (None, _) => default.to_owned(),
        }
    }

    fn form_members(
        &self,
        structure: &'static Structure,
        params: &Params,
        prefix: &str,
        form: &mut Vec<(String, String)>,
    ) {
        for (name, value) in params {
            let member = structure.member(name).unwrap();
            let key = format!("{prefix}{}", self.form_name(member, name));
            self.form_value(member, value, &key, form);
        }
    }

    fn form_value(
        &self,
        member: &Member,
        value: &Value,
        key: &str,
        form: &mut Vec<(String, String)>,
    ) {
        match (self.kind(member.shape), value) {
            (Kind::Structure(structure), Value::Object(params)) => {
                self.form_members(structure, params, &format!("{key}."), form);
            }
            (Kind::List { element, flattened }, Value::Array(items)) => {
                let list = match (self.protocol, *flattened || member.flattened) {
                    (Protocol::Ec2, _) => key.to_owned(),
                    (_, true) => match &element.wire_name {
                        Some(wire) => match key.rsplit_once('.') {
                            Some((before, _)) => format!("{before}.{wire}"),
                            None => wire.to_string(),
                        },
                        None => key.to_owned(),
                    },
                    (_, false) => format!("{key}.{}", self.form_name(element, "member")),
                };
                for (at, item) in items.iter().enumerate() {
                    self.form_value(element, item, &format!("{list}.{}", at + 1), form);
                }
            }
            (
                Kind::Map {
                    key: name,
                    value: of,
                    flattened,
                },
                Value::Object(entries),
            ) => {
                let entry = if *flattened || member.flattened {
                    ""
                } else {
                    ".entry"
                };
                for (at, (text, value)) in entries.iter().enumerate() {
                    let at = format!("{key}{entry}.{}", at + 1);
                    form.push((
                        format!("{at}.{}", self.form_name(name, "key")),
                        text.clone(),
                    ));
                    self.form_value(
                        of,
                        value,
                        &format!("{at}.{}", self.form_name(of, "value")),
                        form,
                    );
                }
            }
            (_, value) => form.push((
                key.to_owned(),
                self.text(member, value, TimestampFormat::Iso8601),
            )),
        }
    }

    /// Headers, URI and body of a REST request.
    fn rest(
        &self,
        input: Option<&'static Structure>,
        dice: &mut Dice<'_>,
    ) -> (Vec<(String, String)>, String, Vec<u8>) {
        let (path, literal) = self
            .operation
            .uri
            .split_once('?')
            .unwrap_or((&self.operation.uri, ""));
        let mut path = path.to_owned();
        let mut query: Vec<String> = literal
            .split('&')
            .filter(|it| !it.is_empty())
            .map(str::to_owned)
            .collect();
        let mut headers = Vec::new();
        let mut body = Vec::new();
        let encode = |text: &str| utf8_percent_encode(text, UNRESERVED).to_string();
        let Some(input) = input else {
            return (headers, path, body);
        };
        for (name, value) in self.params {
            let member = input.member(name).unwrap();
            let wire = member.wire();
            match member.location {
                Location::Uri => {
                    let text = self.text(member, value, TimestampFormat::Iso8601);
                    path = path
                        .replace(&format!("{{{wire}}}"), &encode(&text))
                        .replace(
                            &format!("{{{wire}+}}"),
                            &utf8_percent_encode(&text, PATH).to_string(),
                        );
                }
                Location::QueryString => {
                    let mut put = |name: &str, member: &Member, value: &Value| {
                        let text = self.text(member, value, TimestampFormat::Iso8601);
                        query.push(format!("{}={}", encode(name), encode(&text)));
                    };
                    match (self.kind(member.shape), value) {
                        (Kind::List { element, .. }, Value::Array(items)) => {
                            items.iter().for_each(|item| put(wire, element, item));
                        }
                        (Kind::Map { value: of, .. }, Value::Object(entries)) => {
                            for (key, value) in entries {
                                match (self.kind(of.shape), value) {
                                    (Kind::List { element, .. }, Value::Array(items)) => {
                                        items.iter().for_each(|item| put(key, element, item));
                                    }
                                    (_, value) => put(key, of, value),
                                }
                            }
                        }
                        (_, value) => put(wire, member, value),
                    }
                }
                Location::Header => {
                    let text = match (self.kind(member.shape), value) {
                        (_, Value::String(text)) if member.json_value => STANDARD.encode(text),
                        (Kind::List { element, .. }, Value::Array(items)) => {
                            let items = items
                                .iter()
                                .map(|item| self.text(element, item, TimestampFormat::Rfc822));
                            items.collect::<Vec<_>>().join(",")
                        }
                        (_, value) => self.text(member, value, TimestampFormat::Rfc822),
                    };
                    headers.push((wire.to_owned(), text));
                }
                Location::Headers => {
                    let entries = value.as_object().unwrap().iter();
                    headers.extend(entries.map(|(key, value)| {
                        (
                            format!("{wire}{key}").to_ascii_lowercase(),
                            value.as_str().unwrap().to_owned(),
                        )
                    }));
                }
                Location::Body | Location::StatusCode => {}
            }
        }
        let in_body = |member: &Member| member.location == Location::Body;
        match input.payload.map(|at| &input.members[at]) {
            Some(payload) if payload.streaming => body = dice.bytes(16),
            Some(payload) => {
                if let Some(value) = self.params.get(&*payload.name) {
                    body = self.payload(payload, value);
                }
            }
            None if self
                .params
                .keys()
                .any(|name| in_body(input.member(name).unwrap())) =>
            {
                body = match self.protocol {
                    Protocol::RestJson => self.json(Some(input), in_body).into_bytes(),
                    _ => {
                        let mut xml = String::new();
                        let params: Params = self
                            .params
                            .iter()
                            .filter(|(name, _)| input.member(name).is_some_and(in_body))
                            .map(|(name, value)| (name.clone(), value.clone()))
                            .collect();
                        self.xml_element(
                            &mut xml,
                            &format!("{}Request", self.operation.name),
                            input,
                            &params,
                        );
                        xml.into_bytes()
                    }
                };
            }
            None => {}
        }
        if !query.is_empty() {
            path = format!("{path}?{}", query.join("&"));
        }
        // Where it is a member, it says what the caller says.
        let is_member = input
            .members
            .iter()
            .any(|member| member.wire().eq_ignore_ascii_case("content-type"));
        if !body.is_empty() && !is_member {
            let content_type = match self.protocol {
                Protocol::RestJson => "application/json",
                _ => "application/xml",
            };
            headers.push(("content-type".to_owned(), content_type.to_owned()));
        }
        (headers, path, body)
    }

    fn payload(&self, payload: &Member, value: &Value) -> Vec<u8> {
        match (self.kind(payload.shape), value) {
            (Kind::Blob, Value::String(text)) => STANDARD.decode(text).unwrap(),
            (Kind::String, Value::String(text)) => text.clone().into_bytes(),
            _ if self.protocol == Protocol::RestJson => {
                self.json_value(payload, value).to_string().into_bytes()
            }
            (_, value) => {
                let mut xml = String::new();
                self.xml_value(&mut xml, payload, payload.wire(), value);
                xml.into_bytes()
            }
        }
    }

    fn xml_element(
        &self,
        xml: &mut String,
        name: &str,
        structure: &'static Structure,
        params: &Params,
    ) {
        *xml += &format!("<{name}");
        for (name, value) in params {
            let member = structure.member(name).unwrap();
            if member.xml_attribute {
                let text = self.text(member, value, TimestampFormat::Iso8601);
                *xml += &format!(" {}=\"{}\"", member.wire(), escaped(&text));
            }
        }
        *xml += ">";
        for (key, value) in params {
            let member = structure.member(key).unwrap();
            if !member.xml_attribute {
                self.xml_value(xml, member, member.wire(), value);
            }
        }
        *xml += &format!("</{name}>");
    }

    fn xml_value(&self, xml: &mut String, member: &Member, name: &str, value: &Value) {
        match (self.kind(member.shape), value) {
            (Kind::Structure(structure), Value::Object(params)) => {
                self.xml_element(xml, name, structure, params)
            }
            (Kind::List { element, flattened }, Value::Array(items)) => {
                if *flattened || member.flattened {
                    return items
                        .iter()
                        .for_each(|item| self.xml_value(xml, element, name, item));
                }
                *xml += &format!("<{name}>");
                let within = element.wire_name.as_deref().unwrap_or("member");
                items
                    .iter()
                    .for_each(|item| self.xml_value(xml, element, within, item));
                *xml += &format!("</{name}>");
            }
            (
                Kind::Map {
                    key,
                    value: of,
                    flattened,
                },
                Value::Object(entries),
            ) => {
                let is_flat = *flattened || member.flattened;
                if !is_flat {
                    *xml += &format!("<{name}>");
                }
                let entry = if is_flat { name } else { "entry" };
                let key = key.wire_name.as_deref().unwrap_or("key");
                for (text, value) in entries {
                    *xml += &format!("<{entry}><{key}>{}</{key}>", escaped(text));
                    self.xml_value(xml, of, of.wire_name.as_deref().unwrap_or("value"), value);
                    *xml += &format!("</{entry}>");
                }
                if !is_flat {
                    *xml += &format!("</{name}>");
                }
            }
            (_, value) => {
                let text = self.text(member, value, TimestampFormat::Iso8601);
                *xml += &format!("<{name}>{}</{name}>", escaped(&text));
            }
        }
    }
}

/// White space too, which an attribute would else lose.
fn escaped(text: &str) -> String {
    let mut escaped = String::new();
    for letter in text.chars() {
        match letter {
            '&' | '<' | '>' | '"' | '\'' | '\t' | '\n' => {
                escaped += &format!("&#{};", u32::from(letter))
            }
            letter => escaped.push(letter),
        }
    }
    escaped
}
