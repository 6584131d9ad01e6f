//! Requests as SDKs send them, for any operation of any model: values by the model's names in, an HTTP request out.
//!
//! Written apart from the parsers that it is to test; knows all six protocols as far as they carry values.

use axum::http::{HeaderName, HeaderValue, Request, request};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use ciborium::Value as Cbor;
use localtrail::aws::model::{
    Kind, Location, Member, Operation, Protocol, Service, ShapeId, Structure,
};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Map, Value, json};

const LABEL: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'_')
    .remove(b'.')
    .remove(b'~');

/// An unsigned request in the service's preferred protocol.
pub(crate) fn request(
    service: &Service,
    operation: &Operation,
    params: &Map<String, Value>,
) -> Request<Bytes> {
    let empty = Structure::default();
    let input = operation.input.and_then(|input| service.structure(input));
    let input = input.unwrap_or(&empty);
    let wire = Wire { service };
    let post = |path: &str| Request::builder().method("POST").uri(path.to_owned());
    let target = service.target_prefix.as_deref().unwrap_or_default();
    let (head, body) = match service.protocol() {
        Protocol::Json => {
            let version = service.json_version.as_deref().unwrap_or("1.1");
            let head = post("/")
                .header("x-amz-target", format!("{target}.{}", operation.name))
                .header("content-type", format!("application/x-amz-json-{version}"));
            (
                head,
                wire.fields(input, params, |_| true).to_string().into(),
            )
        }
        Protocol::Cbor => {
            let head = post(&format!("/service/{target}/operation/{}", operation.name))
                .header("smithy-protocol", "rpc-v2-cbor")
                .header("content-type", "application/cbor");
            (head, cbor(&wire.fields(input, params, |_| true)))
        }
        Protocol::Query | Protocol::Ec2 => {
            let mut form = form_urlencoded::Serializer::new(String::new());
            form.append_pair("Action", &operation.name);
            form.append_pair("Version", &service.api_version);
            wire.form(&mut form, "", input, params);
            let head = post("/").header("content-type", "application/x-www-form-urlencoded");
            (head, form.finish().into())
        }
        Protocol::RestJson | Protocol::RestXml => wire.rest(operation, input, params),
    };
    head.body(body).unwrap()
}

struct Wire<'a> {
    service: &'a Service,
}

impl Wire<'_> {
    fn kind(&self, shape: ShapeId) -> &Kind {
        &self.service.shape(shape).kind
    }

    /// Members as JSON, by their names on the wire.
    fn fields(
        &self,
        structure: &Structure,
        params: &Map<String, Value>,
        is_sent: impl Fn(&Member) -> bool,
    ) -> Value {
        let sent = structure.members.iter().filter(|member| is_sent(member));
        let field = |member: &Member| {
            let value = self.json(member.shape, params.get(&*member.name)?);
            let value = match member.json_value {
                true => value.to_string().into(),
                false => value,
            };
            Some((member.wire().to_owned(), value))
        };
        Value::Object(sent.filter_map(field).collect())
    }

    fn json(&self, shape: ShapeId, value: &Value) -> Value {
        match (self.kind(shape), value) {
            (Kind::Structure(structure), Value::Object(params)) if !structure.document => {
                self.fields(structure, params, |_| true)
            }
            (Kind::List { element, .. }, Value::Array(items)) => items
                .iter()
                .map(|it| self.json(element.shape, it))
                .collect(),
            (Kind::Map { value: of, .. }, Value::Object(entries)) => entries
                .iter()
                .map(|(key, it)| (key.clone(), self.json(of.shape, it)))
                .collect::<Map<_, _>>()
                .into(),
            _ => value.clone(),
        }
    }

    /// Members as pairs of a form.
    fn form(
        &self,
        form: &mut form_urlencoded::Serializer<'_, String>,
        prefix: &str,
        structure: &Structure,
        params: &Map<String, Value>,
    ) {
        for member in &structure.members {
            let Some(value) = params.get(&*member.name) else {
                continue;
            };
            let name = match (self.is_ec2(), &member.query_name) {
                (true, Some(name)) => name.to_string(),
                (true, None) => {
                    let name = member.wire();
                    format!("{}{}", name[..1].to_ascii_uppercase(), &name[1..])
                }
                (false, _) => member.wire().to_owned(),
            };
            let name = format!("{prefix}{name}");
            self.form_value(form, &name, member.shape, member.flattened, value);
        }
    }

    fn is_ec2(&self) -> bool {
        self.service.protocol() == Protocol::Ec2
    }

    fn form_value(
        &self,
        form: &mut form_urlencoded::Serializer<'_, String>,
        name: &str,
        shape: ShapeId,
        flat: bool,
        value: &Value,
    ) {
        match (self.kind(shape), value) {
            (Kind::Structure(structure), Value::Object(params)) => {
                self.form(form, &format!("{name}."), structure, params);
            }
            (Kind::List { element, flattened }, Value::Array(items)) => {
                let step = match flat || *flattened || self.is_ec2() {
                    true => String::new(),
                    false => format!(".{}", element.wire_name.as_deref().unwrap_or("member")),
                };
                for (index, item) in items.iter().enumerate() {
                    let name = format!("{name}{step}.{}", index + 1);
                    self.form_value(form, &name, element.shape, false, item);
                }
            }
            (
                Kind::Map {
                    key: of_key,
                    value: of,
                    flattened,
                },
                Value::Object(entries),
            ) => {
                let step = if flat || *flattened { "" } else { ".entry" };
                for (index, (key, value)) in entries.iter().enumerate() {
                    let name = format!("{name}{step}.{}", index + 1);
                    let key_name = of_key.wire_name.as_deref().unwrap_or("key");
                    form.append_pair(&format!("{name}.{key_name}"), key);
                    let value_name = of.wire_name.as_deref().unwrap_or("value");
                    let name = format!("{name}.{value_name}");
                    self.form_value(form, &name, of.shape, false, value);
                }
            }
            (_, value) => {
                form.append_pair(name, &scalar(value));
            }
        }
    }

    fn rest(
        &self,
        operation: &Operation,
        input: &Structure,
        params: &Map<String, Value>,
    ) -> (request::Builder, Bytes) {
        let (path, literal) = operation
            .uri
            .split_once('?')
            .unwrap_or((&operation.uri, ""));
        let mut path = path.to_owned();
        let mut query = form_urlencoded::Serializer::new(String::new());
        let mut headers = Vec::new();
        for member in &input.members {
            let Some(value) = params.get(&*member.name) else {
                continue;
            };
            let name = member.wire();
            match member.location {
                Location::Uri => {
                    let text = scalar(value);
                    let text = utf8_percent_encode(&text, LABEL).to_string();
                    for label in [format!("{{{name}}}"), format!("{{{name}+}}")] {
                        path = path.replace(&label, &text);
                    }
                }
                Location::QueryString => match value {
                    Value::Array(items) => items.iter().for_each(|item| {
                        query.append_pair(name, &scalar(item));
                    }),
                    Value::Object(entries) => entries.iter().for_each(|(key, value)| {
                        query.append_pair(key, &scalar(value));
                    }),
                    value => {
                        query.append_pair(name, &scalar(value));
                    }
                },
                Location::Header => {
                    let text = match value {
                        Value::Array(items) => {
                            items.iter().map(scalar).collect::<Vec<_>>().join(",")
                        }
                        value if member.json_value => STANDARD.encode(value.to_string()),
                        value => scalar(value),
                    };
                    headers.push((name.to_owned(), text));
                }
                Location::Headers => {
                    let entries = value.as_object().into_iter().flatten();
                    headers.extend(entries.map(|(key, it)| (format!("{name}{key}"), scalar(it))));
                }
                Location::Body | Location::StatusCode => {}
            }
        }
        let query = [literal, &query.finish()]
            .into_iter()
            .filter(|part| !part.is_empty())
            .collect::<Vec<_>>()
            .join("&");
        let uri = match query.is_empty() {
            true => path,
            false => format!("{path}?{query}"),
        };
        let mut head = Request::builder().method(&*operation.method).uri(uri);
        for (name, value) in headers {
            let name = HeaderName::try_from(name).unwrap();
            head = head.header(name, HeaderValue::try_from(value).unwrap());
        }
        let (body, content_type) = self.rest_body(operation, input, params);
        (head.header("content-type", content_type), body)
    }

    fn rest_body(
        &self,
        operation: &Operation,
        input: &Structure,
        params: &Map<String, Value>,
    ) -> (Bytes, &'static str) {
        let is_json = self.service.protocol() == Protocol::RestJson;
        let content_type = match is_json {
            true => "application/json",
            false => "application/xml",
        };
        if let Some(payload) = input.payload.and_then(|at| input.members.get(at)) {
            let Some(value) = params.get(&*payload.name) else {
                return (Bytes::new(), content_type);
            };
            return match (self.kind(payload.shape), value) {
                (Kind::Blob, value) => {
                    let bytes = STANDARD.decode(scalar(value)).unwrap();
                    (bytes.into(), "application/octet-stream")
                }
                (Kind::String, value) => (scalar(value).into(), "text/plain"),
                _ if is_json => (
                    self.json(payload.shape, value).to_string().into(),
                    content_type,
                ),
                (_, value) => {
                    let root = payload.wire_name.as_deref();
                    let root = root.unwrap_or(&self.service.shape(payload.shape).name);
                    let mut xml = String::new();
                    self.xml(&mut xml, root, payload.shape, false, value);
                    (xml.into(), content_type)
                }
            };
        }
        let in_body = |member: &Member| member.location == Location::Body;
        if !input.members.iter().any(in_body) {
            return (Bytes::new(), content_type);
        }
        if is_json {
            let fields = self.fields(input, params, in_body);
            return (fields.to_string().into(), content_type);
        }
        let mut xml = format!("<{}Request>", operation.name);
        self.xml_fields(&mut xml, input, params, in_body);
        xml += &format!("</{}Request>", operation.name);
        (xml.into(), content_type)
    }

    fn xml_fields(
        &self,
        xml: &mut String,
        structure: &Structure,
        params: &Map<String, Value>,
        is_sent: impl Fn(&Member) -> bool,
    ) {
        for member in structure.members.iter().filter(|member| is_sent(member)) {
            if let Some(value) = params.get(&*member.name) {
                self.xml(xml, member.wire(), member.shape, member.flattened, value);
            }
        }
    }

    fn xml(&self, xml: &mut String, name: &str, shape: ShapeId, flat: bool, value: &Value) {
        match (self.kind(shape), value) {
            (Kind::List { element, flattened }, Value::Array(items)) if flat || *flattened => {
                for item in items {
                    self.xml(xml, name, element.shape, false, item);
                }
                return;
            }
            _ => *xml += &format!("<{name}>"),
        }
        match (self.kind(shape), value) {
            (Kind::Structure(structure), Value::Object(params)) => {
                self.xml_fields(xml, structure, params, |_| true);
            }
            (Kind::List { element, .. }, Value::Array(items)) => {
                let name = element.wire_name.as_deref().unwrap_or("member");
                for item in items {
                    self.xml(xml, name, element.shape, false, item);
                }
            }
            (Kind::Map { value: of, .. }, Value::Object(entries)) => {
                for (key, value) in entries {
                    *xml += &format!("<entry><key>{key}</key>");
                    self.xml(xml, "value", of.shape, false, value);
                    *xml += "</entry>";
                }
            }
            (_, value) => *xml += &scalar(value),
        }
        *xml += &format!("</{name}>");
    }
}

fn scalar(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        value => value.to_string(),
    }
}

fn cbor(value: &Value) -> Bytes {
    let value = Cbor::serialized(value).unwrap_or_else(|_| Cbor::serialized(&json!({})).unwrap());
    let mut bytes = Vec::new();
    ciborium::into_writer(&value, &mut bytes).unwrap();
    bytes.into()
}
