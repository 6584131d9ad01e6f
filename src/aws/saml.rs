//! SAML responses, as AssumeRoleWithSAML takes them. Their signatures are not checked.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;

use super::params::ParseError;
use super::xml::{Document, attribute};

const SESSION: &str = "https://aws.amazon.com/SAML/Attributes/RoleSessionName";
const SOURCE_IDENTITY: &str = "https://aws.amazon.com/SAML/Attributes/SourceIdentity";
/// What the names of the usual formats of a subject begin with.
const FORMAT: &str = "urn:oasis:names:tc:SAML:2.0:nameid-format:";

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
        let (mut document, _) = Document::open(&xml).ok()?;
        let mut assertion = Self::default();
        assertion.add(&mut document, "").ok()?;
        document.close().ok()?;
        (!assertion.session.is_empty()).then_some(assertion)
    }

    /// Takes what the element says that is open last; `name` is the attribute's that it stands in.
    fn add(&mut self, document: &mut Document<'_>, name: &str) -> Result<(), ParseError> {
        while let Some(child) = document.child()? {
            match child.local_name().as_ref() {
                b"Assertion" => {
                    self.id = attribute(&child, "ID")?.unwrap_or_default();
                    self.add(document, name)?;
                }
                b"Issuer" => self.issuer = document.text()?.into_owned(),
                b"NameID" => {
                    let format = attribute(&child, "Format")?.unwrap_or_default();
                    let short = format.strip_prefix(FORMAT).unwrap_or(&format);
                    self.subject_type = short.to_owned();
                    self.subject = document.text()?.into_owned();
                }
                b"SubjectConfirmationData" => {
                    self.recipient = attribute(&child, "Recipient")?.unwrap_or_default();
                    document.skip()?;
                }
                b"Attribute" => {
                    let name = attribute(&child, "Name")?.unwrap_or_default();
                    self.add(document, &name)?;
                }
                b"AttributeValue" if name == SESSION => {
                    self.session = document.text()?.into_owned();
                }
                b"AttributeValue" if name == SOURCE_IDENTITY => {
                    self.source_identity = Some(document.text()?.into_owned());
                }
                _ => self.add(document, name)?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_response_is_read_as_xml_is() {
        let read = |xml: &str| Assertion::read(&BASE64_STANDARD.encode(xml));
        let response = |session: &str| {
            format!(
                r#"<r:Response xmlns:r="r" xmlns:a="a"><a:Issuer>other</a:Issuer><a:Assertion ID="_1">
                <a:Issuer>https://example.com/?a=1&amp;b=2</a:Issuer>
                <a:Subject><a:NameID Format="{FORMAT}persistent">b&#246;b</a:NameID><a:SubjectConfirmation>
                <a:SubjectConfirmationData Recipient="https://signin.aws.amazon.com/saml"/></a:SubjectConfirmation>
                </a:Subject><a:AttributeStatement>
                <a:Attribute Name="https://aws.amazon.com/SAML/Attributes/Role">
                <a:AttributeValue>a role</a:AttributeValue></a:Attribute>
                <a:Attribute Name="{SESSION}"><a:AttributeValue>{session}</a:AttributeValue></a:Attribute>
                <a:Attribute Name="{SOURCE_IDENTITY}"><a:AttributeValue>bob</a:AttributeValue></a:Attribute>
                </a:AttributeStatement></a:Assertion></r:Response>"#
            )
        };
        let expected = Assertion {
            id: "_1".to_owned(),
            issuer: "https://example.com/?a=1&b=2".to_owned(),
            subject: "böb".to_owned(),
            subject_type: "persistent".to_owned(),
            recipient: "https://signin.aws.amazon.com/saml".to_owned(),
            session: "a&b@example.com".to_owned(),
            source_identity: Some("bob".to_owned()),
        };
        assert_eq!(read(&response("a&amp;b@example.com")), Some(expected));
        assert_eq!(read(&response("")), None);
        assert_eq!(read("<a>"), None);
        assert_eq!(Assertion::read("no base64"), None);
    }
}
