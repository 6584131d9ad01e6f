//! [`Params`] → what stands under `requestParameters` and `responseElements`, by shape.
//!
//! Names are spelled and values written as the service's [`Style`] says, and whatever must not be shown is hidden
//! ([`super::secrets`]). Members that the model does not know are dropped: nothing gets into a record unseen. EC2, S3
//! and API Gateway lay their parameters out differently and have modules of their own.

use std::mem;

use serde_json::Value;

use super::secrets::{self, Hide, Secrets};
use super::style::{Blobs, Case, Style};
use super::values::{byte_buffer, date, empty, lower_first};
use crate::aws::Params;
use crate::aws::model::{Kind, Location, Member, Service, Shape, ShapeId, Structure};

/// Members outside the body that are called as on the wire all the same: (service, member, name).
const HEAD_NAMES: &[(&str, &str, &str)] = &[("eks", "clusterName", "name")];

/// Services with upper-case names in URIs whose bodies are camel case: so are all names in their records.
const CAMEL_BODIES: &[&str] = &["guardduty", "mediaconnect"];

/// Services whose bodies stand among the other parameters, not under the payload's own name.
const FLAT_PAYLOADS: &[&str] = &["pinpoint"];

/// Members that are not called by their name with a lower-case first letter: (service, member, name).
const NAMES: &[(&str, &str, &str)] = &[("secretsmanager", "ARN", "arn")];

/// A service and its hand.
#[derive(Clone, Copy)]
pub(super) struct Render<'a> {
    pub service: &'a Service,
    style: Style,
    secrets: Secrets<'a>,
}

/// The names of a map's entries.
fn names(map: Value) -> Value {
    match map {
        Value::Object(map) => map.into_iter().map(|(name, _)| Value::from(name)).collect(),
        _ => Value::Null,
    }
}

impl<'a> Render<'a> {
    pub(super) fn new(service: &'a Service, style: Style) -> Self {
        Self {
            service,
            style,
            secrets: Secrets::of(service, style.hidden),
        }
    }

    /// A request's parameters.
    pub(super) fn request(&self, input: ShapeId, params: Params) -> Params {
        let mut rendered = self.members(self.service.shape(input), params);
        let payload = self
            .service
            .structure(input)
            .filter(|_| FLAT_PAYLOADS.contains(&&*self.service.id))
            .and_then(|structure| structure.members.get(structure.payload?));
        if let Some(payload) = payload {
            let name = self.name(payload, payload.name.to_string());
            if let Some(Value::Object(inner)) = rendered.get_mut(&name) {
                let inner = mem::take(inner);
                rendered.shift_remove(&name);
                rendered.extend(inner);
            }
        }
        rendered
    }

    /// The members of a structure by their names in the record.
    pub(super) fn members(&self, shape: &Shape, params: Params) -> Params {
        let Kind::Structure(structure) = &shape.kind else {
            return Params::new();
        };
        let mut members = Params::with_capacity(params.len());
        members.extend(params.into_iter().filter_map(|(name, value)| {
            let member = structure.member(&name)?;
            // A structure that is sensitive as a whole, met here only as all of a request or an answer.
            let value = if shape.sensitive {
                self.style.hidden.into()
            } else {
                self.member(shape, member, value)?
            };
            Some((self.name(member, name), value))
        }));
        members
    }

    /// The value of one member of `parent`, or of an element, entry; `None` where it is left out.
    pub(super) fn member(&self, parent: &Shape, member: &Member, value: Value) -> Option<Value> {
        if member.streaming {
            return None;
        }
        let shape = self.service.shape(member.shape);
        match self.secrets.hide(&parent.name, member, shape) {
            Some(Hide::Drop) => None,
            Some(Hide::Empty) => Some(empty()),
            Some(Hide::Stars) => Some(byte_buffer("KioqKioqKioqKg==")),
            Some(Hide::Text(text)) => Some(text.into()),
            Some(Hide::Names) => Some(names(value)),
            Some(Hide::Key) => Some(secrets::key_values(value)),
            Some(Hide::Statement) => value
                .as_str()
                .map(|statement| secrets::without_literals(statement).into()),
            Some(Hide::Url) => value
                .as_str()
                .map(|url| secrets::without_password(url).into()),
            None if self.is_text(member) => Some(match value {
                Value::Number(_) | Value::Bool(_) => value.to_string().into(),
                value => self.value(shape, value),
            }),
            None => Some(self.value(shape, value)),
        }
    }

    /// API Gateway passes on what stands in the URI as text.
    fn is_text(&self, member: &Member) -> bool {
        self.style.fronted && matches!(member.location, Location::Uri | Location::QueryString)
    }

    /// A value that may be shown. What is not of its shape is not written.
    fn value(&self, shape: &Shape, value: Value) -> Value {
        match (&shape.kind, value) {
            (Kind::Structure(Structure { document: true, .. }), value) => value,
            (Kind::Structure(_), Value::Object(params)) => {
                Value::Object(self.members(shape, params))
            }
            (Kind::List { element, .. }, Value::Array(items)) => items
                .into_iter()
                .filter_map(|item| self.member(shape, element, item))
                .collect(),
            (Kind::Map { key, value, .. }, Value::Object(entries)) => {
                // Names can tell as much as values do.
                if self.service.shape(key.shape).sensitive {
                    return self.style.hidden.into();
                }
                let entry = |(key, it): (String, Value)| {
                    let it = if secrets::is_secret_name(&key) {
                        self.style.hidden.into()
                    } else {
                        self.member(shape, value, it)?
                    };
                    Some((key, it))
                };
                Value::Object(entries.into_iter().filter_map(entry).collect())
            }
            (Kind::Structure(_) | Kind::List { .. } | Kind::Map { .. }, _) => Value::Null,
            (Kind::Timestamp(_), value) => date(value, self.style.dates),
            (Kind::Blob, Value::String(base64)) if self.style.blobs == Blobs::Buffer => {
                byte_buffer(&base64)
            }
            // No scalar has members.
            (_, Value::Object(_) | Value::Array(_)) => Value::Null,
            (_, value) => value,
        }
    }

    /// The record's name of a member whose `own` name is this.
    fn name(&self, member: &Member, own: String) -> String {
        let in_body = member.location == Location::Body;
        match self.style.case {
            Case::LowerFirst => {
                let id = &*self.service.id;
                let mut names = NAMES.iter();
                let listed = names.find(|(service, name, _)| *service == id && *name == own);
                listed.map_or_else(|| lower_first(own), |(.., name)| (*name).to_owned())
            }
            Case::Wire if in_body => member.wire().to_owned(),
            Case::Wire if CAMEL_BODIES.contains(&&*self.service.id) => lower_first(own),
            Case::Wire => match HEAD_NAMES
                .iter()
                .find(|(id, name, _)| *id == &*self.service.id && *name == &*member.name)
            {
                Some((.., name)) => (*name).to_owned(),
                // Where wire and model differ, `domain-owner` and `domainOwner`, the model's name is taken.
                None if own.starts_with(|it: char| it.is_ascii_lowercase()) => own,
                None => member.wire().to_owned(),
            },
        }
    }
}
