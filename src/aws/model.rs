//! What a service's API looks like: services, operations and shapes, as distilled from botocore's models.
//!
//! Types only: they are decoded from `models.bin` by [`super::Models`] and never change afterwards. A shape is named
//! by its index into [`Service::shapes`], so that recursive shapes need no pointers.

use std::collections::HashMap;
use std::sync::OnceLock;

use foldhash::fast::FixedState;

use super::uri::Template;

/// One of the wire protocols that AWS services speak.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Protocol {
    /// `application/x-amz-json-1.0` or `-1.1`; the operation is in `X-Amz-Target`.
    Json,
    /// A form with `Action` and `Version`; XML answers.
    Query,
    /// Query as EC2 speaks it: other list names, other error bodies.
    Ec2,
    /// REST with JSON bodies.
    RestJson,
    /// REST with XML bodies.
    RestXml,
    /// Smithy RPC v2 with CBOR bodies: `/service/S/operation/O`.
    Cbor,
}

/// A service: `s3`, `elbv2`, `monitoring`'s `cloudwatch` …
#[derive(Debug)]
pub struct Service {
    /// botocore's name of the service: `elbv2`.
    pub id: Box<str>,
    /// `Elastic Load Balancing v2`.
    pub service_id: Box<str>,
    /// The service in a SigV4 credential scope: `elasticloadbalancing`.
    pub signing_name: Box<str>,
    /// First label of the service's host name: `elasticloadbalancing`.
    pub endpoint_prefix: Box<str>,
    /// `2015-12-01`; the `Version` of a query call.
    pub api_version: Box<str>,
    /// What stands before the dot in `X-Amz-Target`: `DynamoDB_20120810`.
    pub target_prefix: Option<Box<str>>,
    /// `1.0` or `1.1` for JSON services.
    pub json_version: Option<Box<str>>,
    /// Every protocol the service speaks, its preferred one first.
    pub protocols: Vec<Protocol>,
    /// `xmlns` of XML answers.
    pub xml_namespace: Option<Box<str>>,
    pub operations: Vec<Operation>,
    pub shapes: Vec<Shape>,
    /// Operation name to index into `operations`.
    pub(super) operation_index: HashMap<Box<str>, usize>,
    /// HTTP method to indices into `operations`.
    pub(super) by_method: HashMap<Box<str>, Vec<usize>>,
}

/// Index of a shape in its service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ShapeId(pub u32);

#[derive(Debug)]
pub struct Operation {
    pub name: Box<str>,
    pub method: Box<str>,
    /// URI template with literal query: `/{Bucket}/{Key+}?acl`.
    pub uri: Box<str>,
    pub input: Option<ShapeId>,
    pub output: Option<ShapeId>,
    /// The element around a query answer: `CreateTopicResult`.
    pub result_wrapper: Option<Box<str>>,
    /// Error shapes that the operation declares.
    pub errors: Vec<ShapeId>,
    /// Callers need no signature (`authtype: none`), as for `AssumeRoleWithWebIdentity`.
    pub unsigned: bool,
    /// `uri` made ready for matching.
    pub(super) template: Template,
}

#[derive(Debug)]
pub struct Shape {
    pub name: Box<str>,
    /// The model marks it sensitive: its value must not be written down.
    pub sensitive: bool,
    pub kind: Kind,
    /// Length, range, pattern and enum; kept for CloudTrail's own services alone.
    pub constraints: Option<Box<Constraints>>,
}

#[derive(Debug)]
pub enum Kind {
    Structure(Structure),
    List {
        element: Member,
        flattened: bool,
    },
    Map {
        key: Member,
        value: Member,
        flattened: bool,
    },
    String,
    Blob,
    Boolean,
    Integer,
    Long,
    Float,
    Double,
    /// The shape's own timestamp format, if it names one; a member may name another.
    Timestamp(Option<TimestampFormat>),
}

#[derive(Debug, Default)]
pub struct Structure {
    pub members: Vec<Member>,
    /// Index of the member that is the whole body of a REST message.
    pub payload: Option<usize>,
    /// Names of required members.
    pub required: Vec<Box<str>>,
    /// Set for exceptions.
    pub error: Option<ErrorTrait>,
    /// No shape of real content (`document: true`): any JSON.
    pub document: bool,
    /// An event stream: its messages are not parsed.
    pub event_stream: bool,
    /// Indices of the members by their names on the wire, the first letter in either case; made when first needed.
    pub(super) by_wire: OnceLock<HashMap<Box<[u8]>, usize, FixedState>>,
}

#[derive(Debug)]
pub struct ErrorTrait {
    /// Wire code where it differs from the shape's name: `NoSuchEntity`.
    pub code: Option<Box<str>>,
    /// HTTP status that the model gives.
    pub status: Option<u16>,
    /// The caller is at fault.
    pub sender_fault: bool,
}

/// A member of a structure, or the element, key or value of a list or map.
#[derive(Debug)]
pub struct Member {
    /// Name in the model; empty for elements, keys and values.
    pub name: Box<str>,
    pub shape: ShapeId,
    pub location: Location,
    /// `locationName`: the name on the wire where it differs (for headers and prefixes, the header).
    pub wire_name: Option<Box<str>>,
    /// `queryName` of the EC2 protocol; in SQS's model the name in its former query protocol.
    pub query_name: Option<Box<str>>,
    pub flattened: bool,
    pub xml_attribute: bool,
    pub timestamp_format: Option<TimestampFormat>,
    /// The body as it comes; never parsed into parameters.
    pub streaming: bool,
    /// `jsonvalue`: JSON as a string, in a header as base64 of it.
    pub json_value: bool,
    /// The SDK fills it in if the caller does not.
    pub idempotency_token: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Location {
    Body,
    Uri,
    QueryString,
    Header,
    /// A map whose entries are headers that begin with the wire name.
    Headers,
    StatusCode,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimestampFormat {
    Iso8601,
    Rfc822,
    Unix,
}

#[derive(Debug, Default)]
pub struct Constraints {
    pub min: Option<f64>,
    pub max: Option<f64>,
    pub pattern: Option<Box<str>>,
    pub values: Vec<Box<str>>,
}

impl Service {
    /// The operation of this name, in the model's spelling.
    pub fn operation(&self, name: &str) -> Option<&Operation> {
        self.operation_index
            .get(name)
            .map(|&index| &self.operations[index])
    }

    pub fn shape(&self, id: ShapeId) -> &Shape {
        &self.shapes[id.0 as usize]
    }

    /// The structure behind `id`; `None` if that shape is none.
    pub fn structure(&self, id: ShapeId) -> Option<&Structure> {
        match &self.shape(id).kind {
            Kind::Structure(structure) => Some(structure),
            _ => None,
        }
    }

    /// The protocol that the service prefers.
    pub fn protocol(&self) -> Protocol {
        self.protocols.first().copied().unwrap_or(Protocol::Json)
    }
}

impl Structure {
    pub fn member(&self, name: &str) -> Option<&Member> {
        self.members.iter().find(|member| &*member.name == name)
    }

    /// A member of this name on the wire; its first letter may be of the other case. Quick in long structures, as
    /// EC2's are.
    pub fn wired(&self, name: &[u8]) -> Option<&Member> {
        let by_wire = self.by_wire.get_or_init(|| {
            let mut by_wire = HashMap::default();
            for (at, member) in self.members.iter().enumerate() {
                let mut name = member.lower_wire().into_bytes();
                by_wire.entry(name.as_slice().into()).or_insert(at);
                if let Some(first) = name.first_mut() {
                    first.make_ascii_uppercase();
                }
                by_wire.entry(name.into()).or_insert(at);
            }
            by_wire
        });
        by_wire.get(name).map(|&at| &self.members[at])
    }
}

impl Member {
    /// Name on the wire: `locationName`, else the member's own.
    pub fn wire(&self) -> &str {
        self.wire_name.as_deref().unwrap_or(&self.name)
    }

    /// The same with its first letter in lower case: so EC2's records call it.
    pub fn lower_wire(&self) -> String {
        let mut name = self.wire().to_owned();
        if let Some(first) = name.get_mut(..1) {
            first.make_ascii_lowercase();
        }
        name
    }
}

#[cfg(test)]
mod tests {
    use super::super::models;
    use super::*;

    #[test]
    fn every_member_is_found_by_its_name_on_the_wire() {
        let service = models().service("ec2").unwrap();
        let mut found = 0;
        for shape in &service.shapes {
            let Kind::Structure(structure) = &shape.kind else {
                continue;
            };
            for member in &structure.members {
                let upper = {
                    let mut name = member.lower_wire();
                    name[..1].make_ascii_uppercase();
                    name
                };
                for name in [member.wire(), &member.lower_wire(), &upper] {
                    let wired = structure.wired(name.as_bytes()).unwrap();
                    assert_eq!(wired.lower_wire(), member.lower_wire(), "{}", shape.name);
                    found += 1;
                }
            }
            for name in ["", "noSuchMember", "é"] {
                assert!(structure.wired(name.as_bytes()).is_none(), "{name}");
            }
        }
        assert!(found > 1_000);
    }
}
