//! XML → [`Params`] by shape: answers of the query and EC2 protocols, REST's XML bodies.
//!
//! Refuses document types and entities other than XML's own, so that no document can grow while it is read. Text is
//! not trimmed: a key may end in a space.

use std::borrow::Cow;

use quick_xml::Reader;
use quick_xml::events::{BytesStart, Event};
use serde_json::Value;

use super::Params;
use super::model::{Kind, Member, Protocol, Service, ShapeId, Structure};
use super::params::{MAX_DEPTH, ParseError};
use super::route::Call;
use super::text;

/// An element without its namespace.
#[derive(Debug, Default)]
pub(super) struct Element<'d> {
    pub(super) name: String,
    /// By the names as written, prefix included.
    attributes: Vec<(String, String)>,
    pub(super) children: Vec<Self>,
    /// All text in it, entities resolved. White space between children is here too.
    pub(super) text: Cow<'d, str>,
}

impl<'d> Element<'d> {
    /// The root element of a document.
    pub(super) fn read(document: &'d [u8]) -> Result<Self, ParseError> {
        let document = std::str::from_utf8(document).map_err(syntax)?;
        let mut reader = Reader::from_str(document.trim_start_matches('\u{feff}'));
        // The element that holds the root.
        let mut open = vec![Self::default()];
        loop {
            match reader.read_event().map_err(syntax)? {
                Event::Start(start) => {
                    if open.len() > MAX_DEPTH {
                        return Err(ParseError::TooDeep);
                    }
                    open.push(Self::start(&start)?);
                }
                Event::Empty(start) => {
                    let element = Self::start(&start)?;
                    top(&mut open)?.children.push(element);
                }
                Event::End(_) => {
                    let element = open.pop().ok_or_else(unbalanced)?;
                    top(&mut open)?.children.push(element);
                }
                Event::Text(text) => {
                    top(&mut open)?.append(text.xml10_content().map_err(syntax)?);
                }
                Event::CData(text) => {
                    top(&mut open)?.append(text.xml10_content().map_err(syntax)?);
                }
                Event::GeneralRef(entity) => {
                    let resolved = match entity.resolve_char_ref().map_err(syntax)? {
                        Some(character) => character,
                        None => match &*entity.decode().map_err(syntax)? {
                            "lt" => '<',
                            "gt" => '>',
                            "amp" => '&',
                            "apos" => '\'',
                            "quot" => '"',
                            other => return Err(syntax(format!("unknown entity {other}"))),
                        },
                    };
                    top(&mut open)?.text.to_mut().push(resolved);
                }
                Event::DocType(_) => return Err(syntax("a document type is not allowed")),
                Event::Eof => break,
                Event::Decl(_) | Event::PI(_) | Event::Comment(_) => {}
            }
        }
        let [document] = open.as_mut_slice() else {
            return Err(unbalanced());
        };
        document
            .children
            .pop()
            .ok_or_else(|| syntax("no root element"))
    }

    fn start(start: &BytesStart<'_>) -> Result<Self, ParseError> {
        let utf8 = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let mut attributes = Vec::new();
        // Not checked for repeats, which takes quadratic time; the first counts.
        for attribute in start.attributes().with_checks(false) {
            let attribute = attribute.map_err(syntax)?;
            let value = attribute.normalized_value(quick_xml::XmlVersion::Implicit1_0);
            attributes.push((
                utf8(attribute.key.as_ref()),
                value.map_err(syntax)?.into_owned(),
            ));
        }
        Ok(Self {
            name: utf8(start.local_name().as_ref()),
            attributes,
            ..Self::default()
        })
    }

    fn append(&mut self, text: Cow<'d, str>) {
        if self.text.is_empty() {
            self.text = text;
        } else {
            *self.text.to_mut() += &text;
        }
    }

    /// The first child of this name.
    pub(super) fn child(&self, name: &str) -> Option<&Self> {
        self.children.iter().find(|child| child.name == name)
    }

    fn attribute(&self, name: &str) -> Option<&str> {
        let found = self.attributes.iter().find(|(key, _)| key == name);
        found.map(|(_, value)| value.as_str())
    }
}

fn top<'o, 'd>(open: &'o mut [Element<'d>]) -> Result<&'o mut Element<'d>, ParseError> {
    open.last_mut().ok_or_else(unbalanced)
}

fn unbalanced() -> ParseError {
    syntax("elements are not closed")
}

#[expect(
    clippy::needless_pass_by_value,
    reason = "so that `map_err` can be given it"
)]
fn syntax(reason: impl ToString) -> ParseError {
    ParseError::Syntax {
        format: "XML",
        reason: reason.to_string(),
    }
}

/// Members of an answer in the query or EC2 protocol.
pub(super) fn answer(call: &Call, output: ShapeId, body: &[u8]) -> Result<Params, ParseError> {
    let Some(structure) = call.service.structure(output) else {
        return Ok(Params::new());
    };
    if body.iter().all(u8::is_ascii_whitespace) {
        return Ok(Params::new());
    }
    let root = Element::read(body)?;
    let within = match call.protocol {
        Protocol::Query => root.child(&result_wrapper(call)).unwrap_or(&root),
        _ => &root,
    };
    members(call, structure, within, |_| true)
}

/// The element around a query answer. SQS's model, which speaks JSON now, does not name it.
pub(super) fn result_wrapper(call: &Call) -> Cow<'static, str> {
    match &call.operation.result_wrapper {
        Some(wrapper) => Cow::Borrowed(wrapper),
        None => Cow::Owned(format!("{}Result", call.operation.name)),
    }
}

/// Those members of `structure` in an element that are `wanted`.
pub(super) fn members(
    call: &Call,
    structure: &Structure,
    element: &Element<'_>,
    wanted: impl Fn(&Member) -> bool,
) -> Result<Params, ParseError> {
    Shapes::of(call).fields(structure, element, MAX_DEPTH, &wanted)
}

/// An element as the value of `shape`.
pub(super) fn value(
    call: &Call,
    shape: ShapeId,
    element: &Element<'_>,
) -> Result<Value, ParseError> {
    Shapes::of(call).value(shape, element, MAX_DEPTH)
}

/// Code and message of an error body: `<ErrorResponse><Error>`, `<Response><Errors><Error>` or `<Error>`.
pub(super) fn error(body: &[u8]) -> (Option<String>, Option<String>) {
    let Ok(root) = Element::read(body) else {
        return (None, None);
    };
    let errors = root.child("Errors");
    let error = root.child("Error");
    let error = error.or_else(|| errors?.child("Error")).unwrap_or(&root);
    let text = |name: &str| {
        let text = error.child(name)?.text.trim();
        (!text.is_empty()).then(|| text.to_owned())
    };
    (text("Code"), text("Message").or_else(|| text("message")))
}

/// Reads elements by the shapes of one service, by the names of one protocol.
struct Shapes<'s> {
    service: &'s Service,
    /// SQS's members have names of their own in the query protocol; EC2's `queryName` is for requests alone.
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

    fn is_flattened(&self, member: &Member) -> bool {
        member.flattened
            || match self.service.shape(member.shape).kind {
                Kind::List { flattened, .. } | Kind::Map { flattened, .. } => flattened,
                _ => false,
            }
    }

    /// The member that a child element stands for. A flattened list may go by its element's name.
    fn member<'m>(&self, structure: &'m Structure, name: &str) -> Option<&'m Member> {
        let mut members = structure.members.iter();
        let by_own_name = members.find(|member| self.name(member, &member.name) == name);
        // Looked for only then, as it takes the members' shapes.
        by_own_name.or_else(|| {
            let mut members = structure.members.iter();
            members.find(|member| match &self.service.shape(member.shape).kind {
                Kind::List { element, .. } => {
                    self.is_flattened(member) && self.name(element, "") == name
                }
                _ => false,
            })
        })
    }

    fn fields(
        &self,
        structure: &Structure,
        element: &Element<'_>,
        depth: usize,
        wanted: &dyn Fn(&Member) -> bool,
    ) -> Result<Params, ParseError> {
        let mut params = Params::with_capacity(element.children.len());
        let attributes = structure.members.iter().filter(|m| m.xml_attribute);
        for member in attributes {
            if let Some(text) = element.attribute(member.wire()) {
                let kind = &self.service.shape(member.shape).kind;
                params.insert(member.name.to_string(), text::scalar(kind, text));
            }
        }
        for child in &element.children {
            let member = self.member(structure, &child.name);
            let Some(member) = member.filter(|member| wanted(member)) else {
                continue;
            };
            if !self.is_flattened(member) {
                let value = self.value(member.shape, child, depth)?;
                params.insert(member.name.to_string(), value);
                continue;
            }
            // Each child is one element or entry of the whole.
            match &self.service.shape(member.shape).kind {
                Kind::List { element, .. } => {
                    let value = self.value(element.shape, child, depth)?;
                    let list = params.entry(&*member.name);
                    if let Value::Array(items) = list.or_insert_with(|| Value::Array(Vec::new())) {
                        items.push(value);
                    }
                }
                Kind::Map { key, value, .. } => {
                    let entry = self.entry(key, value, child, depth)?;
                    let map = params.entry(&*member.name);
                    if let Value::Object(map) = map.or_insert_with(|| Params::new().into()) {
                        map.extend(entry);
                    }
                }
                _ => {}
            }
        }
        Ok(params)
    }

    fn entry(
        &self,
        key: &Member,
        value: &Member,
        element: &Element<'_>,
        depth: usize,
    ) -> Result<Option<(String, Value)>, ParseError> {
        let name = element.child(self.name(key, "key"));
        let sent = element.child(self.name(value, "value"));
        let (Some(name), Some(sent)) = (name, sent) else {
            return Ok(None);
        };
        let sent = self.value(value.shape, sent, depth)?;
        Ok(Some((name.text.to_string(), sent)))
    }

    fn value(
        &self,
        shape: ShapeId,
        element: &Element<'_>,
        depth: usize,
    ) -> Result<Value, ParseError> {
        let depth = depth.checked_sub(1).ok_or(ParseError::TooDeep)?;
        Ok(match &self.service.shape(shape).kind {
            Kind::Structure(structure) => self.fields(structure, element, depth, &|_| true)?.into(),
            // Whatever its elements are called: services do not agree with their models in this.
            Kind::List { element: of, .. } => {
                let items = element.children.iter();
                let items = items.map(|item| self.value(of.shape, item, depth));
                Value::Array(items.collect::<Result<_, _>>()?)
            }
            Kind::Map { key, value, .. } => {
                let mut map = Params::new();
                for child in &element.children {
                    map.extend(self.entry(key, value, child, depth)?);
                }
                map.into()
            }
            kind => text::scalar(kind, &element.text),
        })
    }
}
