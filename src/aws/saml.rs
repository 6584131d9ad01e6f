//! SAML responses, as AssumeRoleWithSAML takes them. Their signatures are not checked.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use quick_xml::Reader;
use quick_xml::events::Event;

const SESSION: &str = "https://aws.amazon.com/SAML/Attributes/RoleSessionName";
const SOURCE_IDENTITY: &str = "https://aws.amazon.com/SAML/Attributes/SourceIdentity";

/// An assertion, as far as STS and its records need it.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Assertion {
    /// The assertion's own id; empty where it has none.
    pub id: String,
    pub issuer: String,
    pub subject: String,
    /// `persistent`, `transient`, or a format's full name.
    pub subject_type: String,
    pub recipient: String,
    pub session: String,
    pub source_identity: Option<String>,
}

impl Assertion {
    /// Reads a response, base64 of XML. `None`: it is neither, or names no session.
    pub fn read(response: &str) -> Option<Self> {
        let xml = BASE64_STANDARD.decode(response).ok()?;
        let mut reader = Reader::from_reader(xml.as_slice());
        let mut assertion = Self::default();
        let mut element = Vec::new();
        let mut attribute = None;
        loop {
            match reader.read_event().ok()? {
                Event::Start(start) | Event::Empty(start) => {
                    element = start.local_name().as_ref().to_vec();
                    let value = |name: &str| {
                        let found = start.try_get_attribute(name).ok()??;
                        let text = std::str::from_utf8(&found.value).ok()?;
                        Some(quick_xml::escape::unescape(text).ok()?.into_owned())
                    };
                    match element.as_slice() {
                        b"Assertion" => assertion.id = value("ID").unwrap_or_default(),
                        b"Attribute" => attribute = value("Name"),
                        b"NameID" => {
                            let format = value("Format").unwrap_or_default();
                            let known = "urn:oasis:names:tc:SAML:2.0:nameid-format:";
                            let short = format.strip_prefix(known).unwrap_or(&format);
                            assertion.subject_type = short.to_owned();
                        }
                        b"SubjectConfirmationData" => {
                            assertion.recipient = value("Recipient").unwrap_or_default();
                        }
                        _ => {}
                    }
                }
                Event::Text(text) => {
                    let text = std::str::from_utf8(&text).ok()?;
                    let text = quick_xml::escape::unescape(text).ok()?;
                    match element.as_slice() {
                        b"Issuer" => assertion.issuer = text.into_owned(),
                        b"NameID" => assertion.subject = text.into_owned(),
                        b"AttributeValue" if attribute.as_deref() == Some(SESSION) => {
                            assertion.session = text.into_owned();
                        }
                        b"AttributeValue" if attribute.as_deref() == Some(SOURCE_IDENTITY) => {
                            assertion.source_identity = Some(text.into_owned());
                        }
                        _ => {}
                    }
                }
                Event::End(_) => element.clear(),
                Event::Eof => break,
                _ => {}
            }
        }
        (!assertion.session.is_empty()).then_some(assertion)
    }
}
