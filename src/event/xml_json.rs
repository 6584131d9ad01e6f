//! XML → JSON as `org.json` turns it, which is how S3 writes request bodies down.
//!
//! Attributes and elements are members alike, by their names as written; an element of text alone is that text, typed;
//! text beside attributes is `content`; repeated elements become an array. Refuses document types, entities other
//! than XML's own, and nesting that is too deep: such a body is not written at all.

use quick_xml::events::{BytesStart, Event};
use quick_xml::{Reader, XmlVersion};
use serde_json::Value;

use super::values::typed_text;
use crate::aws::Params;

const MAX_DEPTH: usize = 64;

/// The root's name and value; `None` if `document` is no XML that may be read.
pub(super) fn to_json(document: &[u8]) -> Option<(String, Value)> {
    let document = std::str::from_utf8(document).ok()?;
    let mut reader = Reader::from_str(document.trim_start_matches('\u{feff}'));
    // The element that holds the root.
    let mut open = vec![Element::default()];
    loop {
        match reader.read_event().ok()? {
            Event::Start(start) if open.len() <= MAX_DEPTH => open.push(Element::new(&start)?),
            Event::Start(_) | Event::DocType(_) => return None,
            Event::Empty(start) => open.last_mut()?.add(Element::new(&start)?),
            Event::End(_) => {
                let element = open.pop()?;
                open.last_mut()?.add(element);
            }
            Event::Text(text) => open.last_mut()?.text += &text.xml10_content().ok()?,
            Event::CData(text) => open.last_mut()?.text += &text.xml10_content().ok()?,
            Event::GeneralRef(entity) => {
                let character = match entity.resolve_char_ref().ok()? {
                    Some(character) => character,
                    None => match &*entity.decode().ok()? {
                        "lt" => '<',
                        "gt" => '>',
                        "amp" => '&',
                        "apos" => '\'',
                        "quot" => '"',
                        _ => return None,
                    },
                };
                open.last_mut()?.text.push(character);
            }
            Event::Eof => break,
            Event::Decl(_) | Event::PI(_) | Event::Comment(_) => {}
        }
    }
    let [holder] = open.as_mut_slice() else {
        return None;
    };
    std::mem::take(&mut holder.members).into_iter().next()
}

/// An open element.
#[derive(Default)]
struct Element {
    name: String,
    members: Params,
    text: String,
}

impl Element {
    fn new(start: &BytesStart<'_>) -> Option<Self> {
        let name = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let mut element = Self {
            name: name(start.name().as_ref()),
            ..Self::default()
        };
        // Not checked for repeats, which takes quadratic time.
        for attribute in start.attributes().with_checks(false) {
            let attribute = attribute.ok()?;
            let value = attribute.normalized_value(XmlVersion::Implicit1_0).ok()?;
            element
                .members
                .insert(name(attribute.key.as_ref()), typed_text(value));
        }
        Some(element)
    }

    /// Puts a closed child in its place.
    fn add(&mut self, child: Self) {
        let text = child.text.trim();
        let value = if child.members.is_empty() {
            typed_text(text.into())
        } else {
            let mut members = child.members;
            if !text.is_empty() {
                members.insert("content".to_owned(), typed_text(text.into()));
            }
            Value::Object(members)
        };
        match self.members.get_mut(&child.name) {
            None => {
                self.members.insert(child.name, value);
            }
            Some(Value::Array(items)) => items.push(value),
            Some(first) => *first = Value::Array(vec![first.take(), value]),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn xml_becomes_json_as_org_json_does_it() {
        for (xml, expected) in [
            ("<A/>", json!({"A": ""})),
            ("<A> x </A>", json!({"A": "x"})),
            ("<A>a &lt;&#98;</A>", json!({"A": "a <b"})),
            (
                r#"<?xml version="1.0"?><Tagging xmlns="http://s3.amazonaws.com/doc/2006-03-01/">
                   <TagSet><Tag><Key>k</Key><Value>true</Value></Tag></TagSet></Tagging>"#,
                json!({"Tagging": {"xmlns": "http://s3.amazonaws.com/doc/2006-03-01/",
                       "TagSet": {"Tag": {"Key": "k", "Value": true}}}}),
            ),
            (
                "<A><B>1</B><B>2</B><B><C>3</C></B></A>",
                json!({"A": {"B": [1, 2, {"C": 3}]}}),
            ),
            (
                r#"<G xmlns:xsi="u" xsi:type="Group">g</G>"#,
                json!({"G": {"xmlns:xsi": "u", "xsi:type": "Group", "content": "g"}}),
            ),
        ] {
            let (name, value) = to_json(xml.as_bytes()).unwrap();
            assert_eq!(json!({ name: value }), expected, "{xml}");
        }
    }

    #[test]
    fn what_is_no_plain_xml_is_not_read() {
        let deep = "<A>".repeat(100) + &"</A>".repeat(100);
        for xml in [
            "",
            "{}",
            "<A>",
            "<A></B>",
            "<!DOCTYPE A [<!ENTITY x \"y\">]><A>&x;</A>",
            "<A>&x;</A>",
            deep.as_str(),
        ] {
            assert_eq!(to_json(xml.as_bytes()), None, "{xml}");
        }
    }
}
