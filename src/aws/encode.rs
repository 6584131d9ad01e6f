//! [`Params`] → the body of an answer, by shape: what the embedded services and error replies are written with.
//!
//! Writes bodies alone: of a REST answer neither headers nor status. Members that the model does not know are left
//! out. Everything that goes into XML is escaped.

use ciborium::Value as Cbor;
use http::header::{CONTENT_TYPE, HeaderName};
use http::{HeaderMap, HeaderValue};
use serde_json::{Value, json};

use super::Params;
use super::model::{
    Kind, Location, Member, Protocol, Service, ShapeId, Structure, TimestampFormat,
};
use super::route::Call;
use super::text::{from_base64, write_scalar, write_timestamp};
use super::xml::result_wrapper;

/// The tag of epoch seconds in CBOR.
const EPOCH_TAG: u64 = 1;

/// Body and content type of a successful answer.
pub fn output(call: &Call, params: &Params, request_id: &str) -> (Vec<u8>, &'static str) {
    let service = call.service;
    let shape = call.operation.output;
    let structure = shape.and_then(|shape| service.structure(shape));
    match call.protocol {
        Protocol::Json => {
            let version = service.json_version.as_deref();
            let content_type = match version {
                Some("1.0") => "application/x-amz-json-1.0",
                _ => "application/x-amz-json-1.1",
            };
            let body = structure.map_or_else(Params::new, |s| json_fields(service, s, params));
            (Value::Object(body).to_string().into_bytes(), content_type)
        }
        Protocol::Cbor => {
            let fields = structure.map(|structure| cbor_fields(service, structure, params));
            let body = Cbor::Map(fields.unwrap_or_default());
            (cbor_bytes(&body), "application/cbor")
        }
        Protocol::Query | Protocol::Ec2 => {
            let body = query_output(call, structure, params, request_id);
            (body.into_bytes(), "text/xml;charset=UTF-8")
        }
        Protocol::RestJson | Protocol::RestXml => rest_output(call, structure, params),
    }
}

/// An error in the caller's protocol: status is the caller's to set; headers are those the protocol adds
/// (`x-amzn-errortype`, `smithy-protocol`, content type).
///
/// CloudTrail's own API capitalises `Message`; see [`json_error`].
pub fn error(
    protocol: Protocol,
    is_s3: bool,
    code: &str,
    message: &str,
    sender_fault: bool,
    request_id: &str,
) -> (HeaderMap, Vec<u8>) {
    let mut headers = HeaderMap::new();
    let mut put = |name: HeaderName, value: &str| {
        // A code that cannot stand in a header is in the body all the same.
        if let Ok(value) = HeaderValue::from_str(value) {
            headers.insert(name, value);
        }
    };
    let mut xml = Xml::default();
    let (content_type, body) = match protocol {
        Protocol::Json => return json_error(code, Some(message), "message"),
        Protocol::RestJson => {
            put(HeaderName::from_static("x-amzn-errortype"), code);
            let body = json!({ "message": message });
            ("application/json", body.to_string().into_bytes())
        }
        Protocol::Cbor => {
            put(HeaderName::from_static("smithy-protocol"), "rpc-v2-cbor");
            let entry = |key: &str, text: &str| (key.into(), text.into());
            let body = vec![entry("__type", code), entry("message", message)];
            ("application/cbor", cbor_bytes(&Cbor::Map(body)))
        }
        Protocol::Ec2 => {
            xml.within("Response", None, |xml| {
                xml.within("Errors", None, |xml| {
                    xml.within("Error", None, |xml| {
                        xml.leaf("Code", code);
                        xml.leaf("Message", message);
                    });
                });
                xml.leaf("RequestID", request_id);
            });
            ("text/xml;charset=UTF-8", xml.document())
        }
        Protocol::RestXml if is_s3 => {
            xml.within("Error", None, |xml| {
                xml.leaf("Code", code);
                xml.leaf("Message", message);
                xml.leaf("RequestId", request_id);
                // S3's id of the host that answered; clients only show it.
                xml.leaf("HostId", request_id);
            });
            ("application/xml", xml.document())
        }
        Protocol::Query | Protocol::RestXml => {
            xml.within("ErrorResponse", None, |xml| {
                xml.within("Error", None, |xml| {
                    let fault = if sender_fault { "Sender" } else { "Receiver" };
                    xml.leaf("Type", fault);
                    xml.leaf("Code", code);
                    xml.leaf("Message", message);
                });
                xml.leaf("RequestId", request_id);
            });
            ("text/xml", xml.document())
        }
    };
    put(CONTENT_TYPE, content_type);
    (headers, body)
}

/// An error in JSON 1.1, its message under `message_key`: services write `message`, CloudTrail mostly `Message`.
pub fn json_error(code: &str, message: Option<&str>, message_key: &str) -> (HeaderMap, Vec<u8>) {
    let mut body = Params::new();
    body.insert("__type".to_owned(), code.into());
    if let Some(message) = message {
        body.insert(message_key.to_owned(), message.into());
    }
    let mut headers = HeaderMap::new();
    headers.insert(
        CONTENT_TYPE,
        HeaderValue::from_static("application/x-amz-json-1.1"),
    );
    (headers, Value::Object(body).to_string().into_bytes())
}

fn query_output(
    call: &Call,
    structure: Option<&Structure>,
    params: &Params,
    request_id: &str,
) -> String {
    let mut xml = Xml::default();
    let root = format!("{}Response", call.operation.name);
    let shapes = Shapes::of(call);
    xml.within(&root, call.service.xml_namespace.as_deref(), |xml| {
        if call.protocol == Protocol::Ec2 {
            xml.leaf("requestId", request_id);
            if let Some(structure) = structure {
                shapes.fields(xml, structure, params, |_| true);
            }
            return;
        }
        if let Some(structure) = structure {
            xml.within(&result_wrapper(call), None, |xml| {
                shapes.fields(xml, structure, params, |_| true);
            });
        }
        xml.within("ResponseMetadata", None, |xml| {
            xml.leaf("RequestId", request_id);
        });
    });
    xml.text
}

fn rest_output(
    call: &Call,
    structure: Option<&Structure>,
    params: &Params,
) -> (Vec<u8>, &'static str) {
    let is_json = call.protocol == Protocol::RestJson;
    let content_type = if is_json {
        "application/json"
    } else {
        "application/xml"
    };
    let Some(structure) = structure else {
        return (Vec::new(), content_type);
    };
    let in_body = |member: &Member| member.location == Location::Body;
    let payload = structure.payload.and_then(|at| structure.members.get(at));
    if let Some(payload) = payload {
        let Some(value) = params.get(&*payload.name) else {
            return (Vec::new(), content_type);
        };
        return match &call.service.shape(payload.shape).kind {
            Kind::Blob => {
                let bytes = value.as_str().and_then(from_base64).unwrap_or_default();
                (bytes, "application/octet-stream")
            }
            Kind::String => (write_scalar(value).into_bytes(), "text/plain"),
            _ if is_json => {
                let value = json_value(call.service, payload.shape, None, value);
                (value.to_string().into_bytes(), content_type)
            }
            _ => {
                let shape = call.service.shape(payload.shape);
                let root = payload.wire_name.as_deref().unwrap_or(&shape.name);
                let mut xml = Xml::default();
                let namespace = call.service.xml_namespace.as_deref();
                let shapes = Shapes::of(call);
                xml.within(root, namespace, |xml| {
                    shapes.content(xml, payload.shape, None, value);
                });
                (xml.document(), content_type)
            }
        };
    }
    if !structure.members.iter().any(in_body) {
        return (Vec::new(), content_type);
    }
    if is_json {
        let own = structure.members.iter().filter(|member| in_body(member));
        let own: Vec<&str> = own.map(|member| &*member.name).collect();
        let params = params.iter().filter(|(name, _)| own.contains(&&***name));
        let params: Params = params.map(|(n, v)| (n.clone(), v.clone())).collect();
        let body = Value::Object(json_fields(call.service, structure, &params));
        return (body.to_string().into_bytes(), content_type);
    }
    let name = call.operation.output.map(|id| &call.service.shape(id).name);
    let mut xml = Xml::default();
    let shapes = Shapes::of(call);
    let namespace = call.service.xml_namespace.as_deref();
    xml.within(name.map_or("Response", |name| name), namespace, |xml| {
        shapes.fields(xml, structure, params, in_body);
    });
    (xml.document(), content_type)
}

/// The timestamp format of a member: its own, its shape's, or the protocol's.
fn format_of(service: &Service, member: &Member) -> Option<TimestampFormat> {
    let of_shape = match service.shape(member.shape).kind {
        Kind::Timestamp(format) => format,
        _ => None,
    };
    member.timestamp_format.or(of_shape)
}

fn json_fields(service: &Service, structure: &Structure, params: &Params) -> Params {
    let known = params.iter().filter_map(|(name, value)| {
        let member = structure.member(name)?;
        let format = format_of(service, member);
        let value = json_value(service, member.shape, format, value);
        Some((member.wire().to_owned(), value))
    });
    known.collect()
}

fn json_value(
    service: &Service,
    shape: ShapeId,
    format: Option<TimestampFormat>,
    value: &Value,
) -> Value {
    match (&service.shape(shape).kind, value) {
        (Kind::Structure(structure), Value::Object(params)) if !structure.document => {
            json_fields(service, structure, params).into()
        }
        (Kind::List { element, .. }, Value::Array(items)) => {
            let format = format_of(service, element);
            let items = items.iter();
            let items = items.map(|item| json_value(service, element.shape, format, item));
            items.collect()
        }
        (Kind::Map { value: of, .. }, Value::Object(entries)) => {
            let format = format_of(service, of);
            let entries = entries.iter();
            let entries = entries
                .map(|(key, value)| (key.clone(), json_value(service, of.shape, format, value)));
            Value::Object(entries.collect())
        }
        (Kind::Timestamp(_), value) => {
            write_timestamp(value, format.unwrap_or(TimestampFormat::Unix))
        }
        (_, value) => value.clone(),
    }
}

fn cbor_bytes(value: &Cbor) -> Vec<u8> {
    let mut bytes = Vec::new();
    // Writing to a Vec does not fail.
    let _ = ciborium::into_writer(value, &mut bytes);
    bytes
}

fn cbor_fields(service: &Service, structure: &Structure, params: &Params) -> Vec<(Cbor, Cbor)> {
    let known = params.iter().filter_map(|(name, value)| {
        let member = structure.member(name)?;
        let value = cbor_value(service, Some(member.shape), value);
        Some((Cbor::Text(name.clone()), value))
    });
    known.collect()
}

fn cbor_value(service: &Service, shape: Option<ShapeId>, value: &Value) -> Cbor {
    let kind = shape.map(|shape| &service.shape(shape).kind);
    match (kind, value) {
        (Some(Kind::Structure(structure)), Value::Object(params)) if !structure.document => {
            Cbor::Map(cbor_fields(service, structure, params))
        }
        (kind, Value::Object(entries)) => {
            let of = match kind {
                Some(Kind::Map { value, .. }) => Some(value.shape),
                _ => None,
            };
            let entries = entries.iter();
            let entries =
                entries.map(|(key, value)| (key.as_str().into(), cbor_value(service, of, value)));
            Cbor::Map(entries.collect())
        }
        (kind, Value::Array(items)) => {
            let of = match kind {
                Some(Kind::List { element, .. }) => Some(element.shape),
                _ => None,
            };
            let items = items.iter().map(|item| cbor_value(service, of, item));
            Cbor::Array(items.collect())
        }
        (Some(Kind::Timestamp(_)), Value::Number(number)) => {
            Cbor::Tag(EPOCH_TAG, Box::new(cbor_number(number)))
        }
        // What a double or float holds is written as one, whole or not.
        (Some(Kind::Double | Kind::Float), Value::Number(number)) => {
            number.as_f64().map_or(Cbor::Null, Cbor::Float)
        }
        (Some(Kind::Double | Kind::Float), Value::String(text)) => text
            .parse()
            .map_or_else(|_| text.as_str().into(), Cbor::Float),
        (Some(Kind::Blob), Value::String(text)) => {
            from_base64(text).map_or_else(|| text.as_str().into(), Cbor::Bytes)
        }
        (_, Value::Number(number)) => cbor_number(number),
        (_, Value::String(text)) => text.as_str().into(),
        (_, Value::Bool(bool)) => Cbor::Bool(*bool),
        (_, Value::Null) => Cbor::Null,
    }
}

fn cbor_number(number: &serde_json::Number) -> Cbor {
    let integer = number.as_i64().map(Into::into);
    let integer = integer.or_else(|| number.as_u64().map(Into::into));
    match integer {
        Some(integer) => Cbor::Integer(integer),
        None => number.as_f64().map_or(Cbor::Null, Cbor::Float),
    }
}

/// Text of an XML document in the making.
#[derive(Default)]
struct Xml {
    text: String,
}

impl Xml {
    fn document(self) -> Vec<u8> {
        format!("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n{}", self.text).into_bytes()
    }

    fn within(&mut self, name: &str, namespace: Option<&str>, content: impl FnOnce(&mut Self)) {
        self.open(name, namespace.map(|uri| ("xmlns", uri)).as_slice());
        content(self);
        self.close(name);
    }

    fn leaf(&mut self, name: &str, text: &str) {
        self.within(name, None, |xml| xml.escaped(text));
    }

    fn open(&mut self, name: &str, attributes: &[(&str, &str)]) {
        self.text += "<";
        self.text += name;
        for (key, value) in attributes {
            self.text += " ";
            self.text += key;
            self.text += "=\"";
            self.escaped(value);
            self.text += "\"";
        }
        self.text += ">";
    }

    fn close(&mut self, name: &str) {
        self.text += "</";
        self.text += name;
        self.text += ">";
    }

    fn escaped(&mut self, text: &str) {
        for letter in text.chars() {
            match letter {
                '<' => self.text += "&lt;",
                '>' => self.text += "&gt;",
                '&' => self.text += "&amp;",
                '"' => self.text += "&quot;",
                '\'' => self.text += "&apos;",
                // Readers turn a bare one into a line feed.
                '\r' => self.text += "&#13;",
                '\t' | '\n' => self.text.push(letter),
                // XML 1.0 has no way to write these.
                '\0'..='\u{1f}' | '\u{fffe}' | '\u{ffff}' => self.text.push('\u{fffd}'),
                letter => self.text.push(letter),
            }
        }
    }
}

/// Writes values as elements by the shapes of one service, in the names of one protocol.
struct Shapes<'s> {
    service: &'s Service,
    by_query_name: bool,
}

impl<'s> Shapes<'s> {
    fn of(call: &Call) -> Self {
        Self {
            service: call.service,
            by_query_name: call.protocol == Protocol::Query,
        }
    }

    fn name<'m>(&self, member: &'m Member, default: &'m str) -> &'m str {
        let own = member.query_name.as_deref().filter(|_| self.by_query_name);
        own.or(member.wire_name.as_deref()).unwrap_or(default)
    }

    fn fields(
        &self,
        xml: &mut Xml,
        structure: &Structure,
        params: &Params,
        wanted: impl Fn(&Member) -> bool,
    ) {
        for (name, value) in params {
            let member = structure.member(name);
            let Some(member) = member.filter(|m| wanted(m) && !m.xml_attribute) else {
                continue;
            };
            let name = self.name(member, &member.name);
            let format = format_of(self.service, member);
            match (&self.service.shape(member.shape).kind, value) {
                (Kind::List { element, flattened }, Value::Array(items))
                    if *flattened || member.flattened =>
                {
                    let name = self.name(element, name);
                    for item in items {
                        self.element(xml, name, element, item);
                    }
                }
                (
                    Kind::Map {
                        key,
                        value,
                        flattened,
                    },
                    Value::Object(entries),
                ) if *flattened || member.flattened => {
                    self.entries(xml, name, (key, value), entries);
                }
                _ => self.tagged(xml, name, member.shape, format, value),
            }
        }
    }

    fn entries(&self, xml: &mut Xml, name: &str, of: (&Member, &Member), entries: &Params) {
        let (key, value) = of;
        for (name_of_entry, sent) in entries {
            xml.within(name, None, |xml| {
                xml.leaf(self.name(key, "key"), name_of_entry);
                self.element(xml, self.name(value, "value"), value, sent);
            });
        }
    }

    fn element(&self, xml: &mut Xml, name: &str, member: &Member, value: &Value) {
        let format = format_of(self.service, member);
        self.tagged(xml, name, member.shape, format, value);
    }

    fn tagged(
        &self,
        xml: &mut Xml,
        name: &str,
        shape: ShapeId,
        format: Option<TimestampFormat>,
        value: &Value,
    ) {
        let mut attributes = Vec::new();
        if let (Kind::Structure(structure), Value::Object(params)) =
            (&self.service.shape(shape).kind, value)
        {
            for member in structure.members.iter().filter(|m| m.xml_attribute) {
                if let Some(value) = params.get(&*member.name).and_then(Value::as_str) {
                    // The one attribute in use is S3's `xsi:type`.
                    attributes.push(("xmlns:xsi", "http://www.w3.org/2001/XMLSchema-instance"));
                    attributes.push((member.wire(), value));
                }
            }
        }
        xml.open(name, &attributes);
        self.content(xml, shape, format, value);
        xml.close(name);
    }

    fn content(
        &self,
        xml: &mut Xml,
        shape: ShapeId,
        format: Option<TimestampFormat>,
        value: &Value,
    ) {
        match (&self.service.shape(shape).kind, value) {
            (Kind::Structure(structure), Value::Object(params)) => {
                self.fields(xml, structure, params, |_| true);
            }
            (Kind::List { element, .. }, Value::Array(items)) => {
                let name = self.name(element, "member");
                for item in items {
                    self.element(xml, name, element, item);
                }
            }
            (Kind::Map { key, value, .. }, Value::Object(entries)) => {
                self.entries(xml, "entry", (key, value), entries);
            }
            (Kind::Timestamp(_), value) => {
                let format = format.unwrap_or(TimestampFormat::Iso8601);
                xml.escaped(&write_scalar(&write_timestamp(value, format)));
            }
            (_, value) => xml.escaped(&write_scalar(value)),
        }
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderMap;
    use serde_json::{Value, json};

    use super::{error, json_error, output};
    use crate::aws::Params;
    use crate::aws::model::Protocol;
    use crate::aws::params;
    use crate::aws::route::Call;
    use crate::aws::testing::{call, call_in};

    fn object(value: Value) -> Params {
        match value {
            Value::Object(object) => object,
            other => panic!("{other} is no object"),
        }
    }

    fn text(call: &Call, value: Value) -> String {
        String::from_utf8(output(call, &object(value), "req-1").0).unwrap()
    }

    #[test]
    fn answers_are_written_as_aws_writes_them() {
        let topics =
            json!({"Topics": [{"TopicArn": "a<b>&\"'\r"}], "NextToken": "t", "Unheard": 1});
        let attributes = json!({"Attributes": {"k": "v"}});
        let vpcs = json!({"Vpcs": [{"VpcId": "v", "IsDefault": true}]});
        let access = json!({"UserName": "u", "AccessKeyLastUsed": {"LastUsedDate": 1_700_000_000}});
        let events =
            json!({"Events": [{"EventTime": 1_700_000_000.5, "EventId": "e"}], "Unheard": 1});
        #[rustfmt::skip]
        let cases = [
            (call("sns", "ListTopics"), topics, "<ListTopicsResponse xmlns=\"http://sns.amazonaws.com/doc/2010-03-31/\"><ListTopicsResult><Topics><member><TopicArn>a&lt;b&gt;&amp;&quot;&apos;&#13;</TopicArn></member></Topics><NextToken>t</NextToken></ListTopicsResult><ResponseMetadata><RequestId>req-1</RequestId></ResponseMetadata></ListTopicsResponse>"),
            (call("sns", "GetTopicAttributes"), attributes, "<GetTopicAttributesResponse xmlns=\"http://sns.amazonaws.com/doc/2010-03-31/\"><GetTopicAttributesResult><Attributes><entry><key>k</key><value>v</value></entry></Attributes></GetTopicAttributesResult><ResponseMetadata><RequestId>req-1</RequestId></ResponseMetadata></GetTopicAttributesResponse>"),
            (call("sns", "DeleteTopic"), json!({}), "<DeleteTopicResponse xmlns=\"http://sns.amazonaws.com/doc/2010-03-31/\"><ResponseMetadata><RequestId>req-1</RequestId></ResponseMetadata></DeleteTopicResponse>"),
            (call("iam", "GetAccessKeyLastUsed"), access, "<GetAccessKeyLastUsedResponse xmlns=\"https://iam.amazonaws.com/doc/2010-05-08/\"><GetAccessKeyLastUsedResult><UserName>u</UserName><AccessKeyLastUsed><LastUsedDate>2023-11-14T22:13:20Z</LastUsedDate></AccessKeyLastUsed></GetAccessKeyLastUsedResult><ResponseMetadata><RequestId>req-1</RequestId></ResponseMetadata></GetAccessKeyLastUsedResponse>"),
            (call("ec2", "DescribeVpcs"), vpcs, "<DescribeVpcsResponse xmlns=\"http://ec2.amazonaws.com/doc/2016-11-15\"><requestId>req-1</requestId><vpcSet><item><vpcId>v</vpcId><isDefault>true</isDefault></item></vpcSet></DescribeVpcsResponse>"),
            (call("cloudtrail", "LookupEvents"), events, r#"{"Events":[{"EventTime":1700000000.5,"EventId":"e"}]}"#),
            (call("lambda", "ListTags"), json!({"Tags": {"k": "v"}}), r#"{"Tags":{"k":"v"}}"#),
            (call("lambda", "DeleteFunction"), json!({}), ""),
            (call("s3", "GetBucketPolicy"), json!({"Policy": "{}"}), "{}"),
        ];
        for (call, value, expected) in cases {
            assert_eq!(text(&call, value), expected);
        }
    }

    #[test]
    fn what_is_written_is_read_back() {
        let metrics = json!({"Metrics": [{"Namespace": "n", "Dimensions": [{"Name": "a", "Value": "é\u{1f600}"}]}]});
        let data =
            json!({"MetricDataResults": [{"Timestamps": [1_700_000_000], "Values": [1.0, 0.5]}]});
        let grants =
            json!({"Grants": [{"Grantee": {"Type": "Group", "URI": "u"}, "Permission": "READ"}]});
        let cases = [
            (call("cloudwatch", "ListMetrics"), metrics.clone()),
            (
                call_in(Protocol::Query, "cloudwatch", "ListMetrics"),
                metrics,
            ),
            (call("cloudwatch", "GetMetricData"), data.clone()),
            (
                call_in(Protocol::Query, "cloudwatch", "GetMetricData"),
                data.clone(),
            ),
            (call_in(Protocol::Json, "cloudwatch", "GetMetricData"), data),
            (call("s3", "GetBucketAcl"), grants),
            (
                call_in(Protocol::Query, "sqs", "GetQueueAttributes"),
                json!({"Attributes": {"DelaySeconds": "5"}}),
            ),
            (
                call("kinesis", "GetRecords"),
                json!({"Records": [{"Data": "AAE=", "SequenceNumber": "1"}]}),
            ),
        ];
        for (call, value) in cases {
            let (body, _) = output(&call, &object(value.clone()), "req-1");
            let headers = HeaderMap::new();
            let read = params::response(&call, http::StatusCode::OK, &headers, &body).unwrap();
            assert_eq!(Value::Object(read), value, "{}", call.operation.name);
        }
    }

    #[test]
    fn errors_are_written_in_every_protocol() {
        #[rustfmt::skip]
        let cases = [
            (Protocol::Json, false, r#"{"__type":"Code","message":"a<b"}"#),
            (Protocol::RestJson, false, r#"{"message":"a<b"}"#),
            (Protocol::Query, false, "<ErrorResponse><Error><Type>Sender</Type><Code>Code</Code><Message>a&lt;b</Message></Error><RequestId>req-1</RequestId></ErrorResponse>"),
            (Protocol::RestXml, false, "<ErrorResponse><Error><Type>Sender</Type><Code>Code</Code><Message>a&lt;b</Message></Error><RequestId>req-1</RequestId></ErrorResponse>"),
            (Protocol::RestXml, true, "<Error><Code>Code</Code><Message>a&lt;b</Message><RequestId>req-1</RequestId><HostId>req-1</HostId></Error>"),
            (Protocol::Ec2, false, "<Response><Errors><Error><Code>Code</Code><Message>a&lt;b</Message></Error></Errors><RequestID>req-1</RequestID></Response>"),
        ];
        for (protocol, is_s3, expected) in cases {
            let (headers, body) = error(protocol, is_s3, "Code", "a<b", true, "req-1");
            let body = String::from_utf8(body).unwrap();
            assert!(body.ends_with(expected), "{body}");
            assert!(headers.contains_key("content-type"));
        }
        let (headers, _) = error(Protocol::RestJson, false, "Code", "m", true, "r");
        assert_eq!(headers["x-amzn-errortype"], "Code");
        let (_, body) = json_error("Code", Some("m"), "Message");
        assert_eq!(body, br#"{"__type":"Code","Message":"m"}"#);
        let (_, body) = json_error("Code", None, "Message");
        assert_eq!(body, br#"{"__type":"Code"}"#);
    }

    #[test]
    fn errors_that_are_written_are_read_back() {
        let calls = [
            call("cloudtrail", "GetTrail"),
            call("cloudwatch", "ListMetrics"),
            call("sns", "Publish"),
            call("ec2", "DescribeVpcs"),
            call("s3", "GetObject"),
            call("lambda", "GetFunction"),
        ];
        for call in calls {
            let is_s3 = &*call.service.id == "s3";
            let (headers, body) = error(call.protocol, is_s3, "Code", "m & n", false, "req-1");
            let status = http::StatusCode::INTERNAL_SERVER_ERROR;
            let read = params::error(&call, status, &headers, &body);
            assert_eq!(
                (&*read.code, read.message.as_deref()),
                ("Code", Some("m & n"))
            );
        }
    }
}
