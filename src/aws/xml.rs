//! XML → [`Params`] by shape: answers of the query and EC2 protocols, REST's XML bodies.
//!
//! A document is read once, from front to back, by the shape that is expected of it: no tree of it is made. What the
//! shape does not know is read all the same, so that a broken document is none. Refuses document types and entities
//! other than XML's own, so that no document can grow while it is read. Text is not trimmed: a key may end in a space.

use std::borrow::Cow;

use quick_xml::Reader;
use quick_xml::events::{BytesStart, Event};
use serde_json::Value;

use super::Params;
use super::model::{Kind, Location, Member, Protocol, Service, ShapeId, Structure};
use super::params::{MAX_DEPTH, Names, ParseError};
use super::route::Call;
use super::text;

/// Room for this many members is made at once: of the longer structures, as EC2's are, most is sent.
const USUAL_MEMBERS: usize = 32;

/// A document that is being read: some of its elements are open.
pub(super) struct Document<'d> {
    reader: Reader<&'d [u8]>,
    /// How many.
    open: usize,
}

impl<'d> Document<'d> {
    /// The document with its root open.
    pub(super) fn open(document: &'d [u8]) -> Result<(Self, BytesStart<'d>), ParseError> {
        let document = std::str::from_utf8(document).map_err(syntax)?;
        let mut reader = Reader::from_str(document.trim_start_matches('\u{feff}'));
        // `<a/>` comes as a start and an end, too.
        reader.config_mut().expand_empty_elements = true;
        let mut document = Self { reader, open: 0 };
        let root = document.child()?.ok_or_else(|| syntax("no root element"))?;
        Ok((document, root))
    }

    /// Opens the next child of the element that is open last; `None` when that element ends.
    pub(super) fn child(&mut self) -> Result<Option<BytesStart<'d>>, ParseError> {
        self.child_or_text(|_| {})
    }

    /// The same; shows the text on the way there, entities resolved.
    fn child_or_text(
        &mut self,
        mut show: impl FnMut(Cow<'d, str>),
    ) -> Result<Option<BytesStart<'d>>, ParseError> {
        loop {
            match self.reader.read_event().map_err(syntax)? {
                Event::Start(_) if self.open == MAX_DEPTH => return Err(ParseError::TooDeep),
                Event::Start(start) => {
                    self.open += 1;
                    return Ok(Some(start));
                }
                Event::End(_) => {
                    self.open = self.open.checked_sub(1).ok_or_else(unbalanced)?;
                    return Ok(None);
                }
                Event::Text(text) => show(text.xml10_content().map_err(syntax)?),
                Event::CData(text) => show(text.xml10_content().map_err(syntax)?),
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
                    show(resolved.to_string().into());
                }
                Event::DocType(_) => return Err(syntax("a document type is not allowed")),
                Event::Eof if self.open == 0 => return Ok(None),
                Event::Eof => return Err(unbalanced()),
                // An empty element does not come as such.
                Event::Empty(_) | Event::Decl(_) | Event::PI(_) | Event::Comment(_) => {}
            }
        }
    }

    /// The text of the element that is open last, up to its end. The text of its children is not part of it.
    pub(super) fn text(&mut self) -> Result<Cow<'d, str>, ParseError> {
        let mut text = Cow::Borrowed("");
        let mut add = |more: Cow<'d, str>| {
            if text.is_empty() {
                text = more;
            } else {
                *text.to_mut() += &more;
            }
        };
        while self.child_or_text(&mut add)?.is_some() {
            self.skip()?;
        }
        Ok(text)
    }

    /// Reads up to the end of the element that is open last.
    pub(super) fn skip(&mut self) -> Result<(), ParseError> {
        let outside = self.open.saturating_sub(1);
        while self.open > outside {
            self.child()?;
        }
        Ok(())
    }

    /// Reads what is left when the root has ended.
    pub(super) fn close(mut self) -> Result<(), ParseError> {
        match self.child()? {
            None => Ok(()),
            Some(_) => Err(syntax("there are two root elements")),
        }
    }
}

/// An element's name without its namespace.
fn is_called(element: &BytesStart<'_>, name: &str) -> bool {
    element.local_name().as_ref() == name.as_bytes()
}

/// The value of an attribute, by its name as written, prefix included.
pub(super) fn attribute(
    element: &BytesStart<'_>,
    name: &str,
) -> Result<Option<String>, ParseError> {
    // Not checked for repeats, which takes quadratic time; the first counts.
    for attribute in element.attributes().with_checks(false) {
        let attribute = attribute.map_err(syntax)?;
        if attribute.key.as_ref() == name.as_bytes() {
            let value = attribute.normalized_value(quick_xml::XmlVersion::Implicit1_0);
            return Ok(Some(value.map_err(syntax)?.into_owned()));
        }
    }
    Ok(None)
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
pub(super) fn answer(
    call: &Call,
    output: ShapeId,
    names: Names,
    body: &[u8],
) -> Result<Params, ParseError> {
    let Some(structure) = call.service.structure(output) else {
        return Ok(Params::new());
    };
    if body.iter().all(u8::is_ascii_whitespace) {
        return Ok(Params::new());
    }
    let (document, root) = Document::open(body)?;
    let mut reader = Shapes {
        names,
        ..Shapes::of(call, document)
    };
    let wrapper = (call.protocol == Protocol::Query).then(|| result_wrapper(call));
    let answer = reader.message(structure, &root, wrapper.as_deref())?;
    reader.document.close()?;
    Ok(answer)
}

/// The element around a query answer. SQS's model, which speaks JSON now, does not name it.
pub(super) fn result_wrapper(call: &Call) -> Cow<'static, str> {
    match &call.operation.result_wrapper {
        Some(wrapper) => Cow::Borrowed(wrapper),
        None => Cow::Owned(format!("{}Result", call.operation.name)),
    }
}

/// Members of `structure` in the body of a REST message.
pub(super) fn members(
    call: &Call,
    structure: &Structure,
    body: &[u8],
) -> Result<Params, ParseError> {
    let (document, root) = Document::open(body)?;
    let mut own = structure.members.iter();
    let own = own.find(|it| it.location == Location::Body && is_called(&root, it.wire()));
    let mut reader = Shapes::of(call, document);
    let members = match own {
        // GetBucketLocation answers with the bare member: `<LocationConstraint>eu-west-1</LocationConstraint>`.
        Some(member) if Document::open(body)?.0.child()?.is_none() => {
            let mut params = Params::new();
            let value = reader.value(member.shape, &root)?;
            params.insert(reader.key(member), value);
            params
        }
        _ => reader.message(structure, &root, None)?,
    };
    reader.document.close()?;
    Ok(members)
}

/// A whole body as the value of `shape`.
pub(super) fn payload(call: &Call, shape: ShapeId, body: &[u8]) -> Result<Value, ParseError> {
    let (document, root) = Document::open(body)?;
    let mut reader = Shapes::of(call, document);
    let value = reader.value(shape, &root)?;
    reader.document.close()?;
    Ok(value)
}

/// Code and message of an error body: `<ErrorResponse><Error>`, `<Response><Errors><Error>` or `<Error>`.
pub(super) fn error(body: &[u8]) -> (Option<String>, Option<String>) {
    let read = || {
        let (mut document, _) = Document::open(body)?;
        let found = error_in(&mut document)?;
        document.close()?;
        Ok::<_, ParseError>(found)
    };
    read().unwrap_or_default()
}

/// Code and message in the element that is open last, or in an error inside of it.
fn error_in(document: &mut Document<'_>) -> Result<(Option<String>, Option<String>), ParseError> {
    let (mut code, mut message) = (None, None);
    let mut inner = None;
    while let Some(child) = document.child()? {
        let mut text = || -> Result<_, ParseError> {
            let text = document.text()?;
            let text = text.trim();
            Ok((!text.is_empty()).then(|| text.to_owned()))
        };
        match child.local_name().as_ref() {
            b"Code" if code.is_none() => code = text()?,
            b"Message" | b"message" if message.is_none() => message = text()?,
            b"Error" | b"Errors" if inner.is_none() => {
                let found = error_in(document)?;
                inner = Some(found).filter(|found| *found != (None, None));
            }
            _ => document.skip()?,
        }
    }
    Ok(inner.unwrap_or((code, message)))
}

/// Reads elements by the shapes of one service, by the names of one protocol. What reads an element leaves it closed.
struct Shapes<'d> {
    document: Document<'d>,
    service: &'static Service,
    /// SQS's members have names of their own in the query protocol; EC2's `queryName` is for requests alone.
    by_query_name: bool,
    /// What members are called that are read.
    names: Names,
}

impl<'d> Shapes<'d> {
    fn of(call: &Call, document: Document<'d>) -> Self {
        Self {
            document,
            service: call.service,
            by_query_name: call.protocol == Protocol::Query,
            names: Names::Model,
        }
    }

    fn name<'m>(&self, member: &'m Member, default: &'m str) -> &'m str {
        let own = member.query_name.as_deref().filter(|_| self.by_query_name);
        own.or(member.wire_name.as_deref()).unwrap_or(default)
    }

    /// What a member is called where it is put down.
    fn key(&self, member: &Member) -> String {
        match self.names {
            Names::Model => (*member.name).to_owned(),
            Names::Wire => member.lower_wire(),
        }
    }

    fn is_flattened(&self, member: &Member) -> bool {
        member.flattened
            || match self.service.shape(member.shape).kind {
                Kind::List { flattened, .. } | Kind::Map { flattened, .. } => flattened,
                _ => false,
            }
    }

    /// The member that a child element stands for. A flattened list may go by its element's name.
    fn member<'m>(&self, structure: &'m Structure, child: &BytesStart<'_>) -> Option<&'m Member> {
        let name = child.local_name().into_inner();
        let is_called = |member: &Member| self.name(member, &member.name).as_bytes() == name;
        if let Some(member) = structure.wired(name).filter(|it| is_called(it)) {
            return Some(member);
        }
        let by_own_name = structure.members.iter().find(|it| is_called(it));
        // Looked for only then, as it takes the members' shapes.
        by_own_name.or_else(|| {
            let mut members = structure.members.iter();
            members.find(|member| match &self.service.shape(member.shape).kind {
                Kind::List { element, .. } => {
                    self.is_flattened(member) && self.name(element, "").as_bytes() == name
                }
                _ => false,
            })
        })
    }

    /// Members of a whole message, those that stand in the body; an element called `wrapper` holds them in place of the
    /// root.
    fn message(
        &mut self,
        structure: &Structure,
        root: &BytesStart<'_>,
        wrapper: Option<&str>,
    ) -> Result<Params, ParseError> {
        let mut params = self.attributes(structure, root)?;
        while let Some(child) = self.document.child()? {
            if wrapper.is_some_and(|wrapper| is_called(&child, wrapper)) {
                params = self.fields(structure, &child)?;
                self.document.skip()?;
                break;
            }
            let member = self.member(structure, &child);
            match member.filter(|member| member.location == Location::Body) {
                Some(member) => self.add(&mut params, member, &child)?,
                None => self.document.skip()?,
            }
        }
        Ok(params)
    }

    fn fields(
        &mut self,
        structure: &Structure,
        element: &BytesStart<'_>,
    ) -> Result<Params, ParseError> {
        let mut params = self.attributes(structure, element)?;
        while let Some(child) = self.document.child()? {
            match self.member(structure, &child) {
                Some(member) => self.add(&mut params, member, &child)?,
                None => self.document.skip()?,
            }
        }
        Ok(params)
    }

    /// Members that are attributes of the element, with room for the others.
    fn attributes(
        &self,
        structure: &Structure,
        element: &BytesStart<'_>,
    ) -> Result<Params, ParseError> {
        let mut params = Params::with_capacity(structure.members.len().min(USUAL_MEMBERS));
        if element.attributes_raw().is_empty() {
            return Ok(params);
        }
        for member in structure.members.iter().filter(|m| m.xml_attribute) {
            if let Some(text) = attribute(element, member.wire())? {
                let kind = &self.service.shape(member.shape).kind;
                params.insert(self.key(member), text::scalar(kind, &text));
            }
        }
        Ok(params)
    }

    /// Adds what an element says of a member; of a flattened one it is one element or entry of the whole.
    fn add(
        &mut self,
        params: &mut Params,
        member: &Member,
        element: &BytesStart<'_>,
    ) -> Result<(), ParseError> {
        match &self.service.shape(member.shape).kind {
            Kind::List { element: of, .. } if self.is_flattened(member) => {
                let value = self.value(of.shape, element)?;
                let list = params.entry(self.key(member));
                if let Value::Array(items) = list.or_insert_with(|| Value::Array(Vec::new())) {
                    items.push(value);
                }
            }
            Kind::Map { key, value, .. } if self.is_flattened(member) => {
                let entry = self.entry(key, value)?;
                let map = params.entry(self.key(member));
                if let Value::Object(map) = map.or_insert_with(|| Params::new().into()) {
                    map.extend(entry);
                }
            }
            _ => {
                let value = self.value(member.shape, element)?;
                params.insert(self.key(member), value);
            }
        }
        Ok(())
    }

    /// The entry of a map that the element is that is open last; `None` where key or value is missing.
    fn entry(
        &mut self,
        key: &Member,
        value: &Member,
    ) -> Result<Option<(String, Value)>, ParseError> {
        let (mut name, mut sent) = (None, None);
        while let Some(child) = self.document.child()? {
            if name.is_none() && is_called(&child, self.name(key, "key")) {
                name = Some(self.document.text()?.into_owned());
            } else if sent.is_none() && is_called(&child, self.name(value, "value")) {
                sent = Some(self.value(value.shape, &child)?);
            } else {
                self.document.skip()?;
            }
        }
        Ok(name.zip(sent))
    }

    /// An element as the value of `shape`.
    fn value(&mut self, shape: ShapeId, element: &BytesStart<'_>) -> Result<Value, ParseError> {
        Ok(match &self.service.shape(shape).kind {
            Kind::Structure(structure) => self.fields(structure, element)?.into(),
            // Whatever its elements are called: services do not agree with their models in this.
            Kind::List { element: of, .. } => {
                let mut items = Vec::new();
                while let Some(child) = self.document.child()? {
                    items.push(self.value(of.shape, &child)?);
                }
                Value::Array(items)
            }
            Kind::Map { key, value, .. } => {
                let mut map = Params::new();
                while self.document.child()?.is_some() {
                    map.extend(self.entry(key, value)?);
                }
                map.into()
            }
            kind => text::scalar(kind, &self.document.text()?),
        })
    }
}
