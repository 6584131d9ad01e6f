//! What CloudTrail writes down: an event and its parts, in the order of the wire.
//!
//! Pure: an [`Exchange`] (a call as it was seen) and a [`Principal`] go in, an [`Event`] comes out. Knows how AWS
//! writes records, not where they are kept or delivered. What differs between services is a table: their names in
//! `names`, their hand in `style`, what they hide in `secrets`, the rest in [`catalog`]. Three lay their parameters out
//! in ways of their own and have a file each: `ec2`, `s3`, `apigateway`.

mod apigateway;
pub mod build;
pub mod catalog;
mod dynamodb;
mod ec2;
mod identity;
mod names;
pub mod own;
mod render;
mod resources;
mod s3;
mod secrets;
pub mod select;
pub mod shared;
mod size;
mod sts;
mod style;
pub mod supplied;
#[cfg(test)]
mod testing;
pub mod unlogged;
mod values;
pub mod version;
mod xml_json;

use std::net::IpAddr;

use chrono::{DateTime, Utc};
use http::HeaderMap;
use http::request::Parts;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::aws::Params;
use crate::aws::params::WireError;
use crate::aws::route::Call;
use crate::aws::sigv4::Signature;

/// How far back events are kept and shown, in milliseconds: the 90 days of CloudTrail's event history.
pub const HISTORY_MS: i64 = 90 * 24 * 60 * 60 * 1000;

/// A call as it was seen at the door, with its answer.
#[derive(Debug)]
pub struct Exchange<'a> {
    pub call: Call,
    /// Head of the request.
    pub parts: &'a Parts,
    pub signature: Option<&'a Signature>,
    /// Parameters sent; `None` where the body was longer than what is kept, or did not fit the model.
    pub params: Option<Params>,
    /// The decoded request body, as far as it was kept whole: S3 writes its XML down.
    pub body: Option<&'a [u8]>,
    pub outcome: Outcome,
    pub response_headers: &'a HeaderMap,
    /// Bytes of the bodies on the wire.
    pub bytes_in: u64,
    pub bytes_out: u64,
    /// When the answer had ended.
    pub time: DateTime<Utc>,
    pub source_ip: IpAddr,
    /// The id that the client saw.
    pub request_id: String,
    pub event_id: String,
    /// Region that the call was made to.
    pub region: &'a str,
    /// Account whose record this is.
    pub account: &'a str,
    pub tls: Option<Tls>,
}

/// How a call ended.
#[derive(Debug)]
pub enum Outcome {
    /// `None`: the answer was longer than what is kept, or did not fit the model.
    Success(Option<Params>),
    Failure(WireError),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tls {
    /// `TLSv1.3`.
    pub version: String,
    pub cipher_suite: String,
}

/// Who called. Learned from IAM's and STS's answers and kept by access key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Principal {
    pub kind: PrincipalKind,
    /// 12 digits; `ANONYMOUS_PRINCIPAL` for a caller of S3 that nobody knows, empty for one of another service.
    pub account: String,
    /// `AIDA…`, `AROA…:session`, the account for root, `account:name` for a federated user.
    pub principal_id: String,
    /// Absent for services and anonymous callers.
    pub arn: Option<String>,
    /// User name, where the type has one.
    pub user_name: Option<String>,
    /// Who vouched for a caller that came without AWS credentials: a provider's host or ARN, or SAML's name qualifier.
    #[serde(default)]
    pub identity_provider: Option<String>,
    /// Set for temporary credentials.
    pub session: Option<Session>,
    /// The service that calls on the principal's behalf, or is the principal.
    pub invoked_by: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum PrincipalKind {
    Root,
    IAMUser,
    AssumedRole,
    FederatedUser,
    AWSAccount,
    AWSService,
    WebIdentityUser,
    SAMLUser,
    Unknown,
}

/// Of temporary credentials: who issued them, and when.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Session {
    pub created: DateTime<Utc>,
    pub mfa: bool,
    pub issuer: Option<SessionIssuer>,
    pub web_identity: Option<WebIdentity>,
    pub source_identity: Option<String>,
    /// A root session of a member account, from AssumeRoot.
    #[serde(default)]
    pub assumed_root: bool,
}

impl Session {
    /// A session of whoever called, that began at `created`.
    pub fn new(created: DateTime<Utc>, mfa: bool) -> Self {
        Self {
            created,
            mfa,
            issuer: None,
            web_identity: None,
            source_identity: None,
            assumed_root: false,
        }
    }
}

/// `sessionContext.sessionIssuer`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SessionIssuer {
    /// `Role`, `IAMUser` or `Root`.
    #[serde(rename = "type")]
    pub kind: String,
    pub principal_id: String,
    pub arn: String,
    pub account_id: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user_name: Option<String>,
}

/// `sessionContext.webIdFederationData`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct WebIdentity {
    pub federated_provider: String,
    pub attributes: Params,
}

impl Principal {
    /// The root user of `account`.
    pub fn root(account: &str, partition: &str) -> Self {
        Self {
            kind: PrincipalKind::Root,
            account: account.to_owned(),
            principal_id: account.to_owned(),
            arn: Some(format!("arn:{partition}:iam::{account}:root")),
            user_name: None,
            identity_provider: None,
            session: None,
            invoked_by: None,
        }
    }

    /// Someone who sent neither credentials nor a token. S3 has a name of its own for such a caller.
    pub fn anonymous(of_s3: bool) -> Self {
        let (kind, account, principal_id) = if of_s3 {
            (PrincipalKind::AWSAccount, "ANONYMOUS_PRINCIPAL", "")
        } else {
            (PrincipalKind::Unknown, "", "Anonymous")
        };
        Self {
            kind,
            principal_id: principal_id.to_owned(),
            arn: None,
            ..Self::root(account, "")
        }
    }

    /// The account that gets the record of the principal's calls; `None`: that of whoever is called.
    pub fn recipient(&self) -> Option<&str> {
        match self.kind {
            PrincipalKind::AWSAccount | PrincipalKind::Unknown => None,
            _ => Some(&self.account),
        }
    }
}

/// A record as CloudTrail writes it. Serialises in AWS's key order.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Event {
    pub event_version: String,
    pub user_identity: Value,
    #[serde(with = "event_time")]
    pub event_time: DateTime<Utc>,
    pub event_source: String,
    pub event_name: String,
    pub aws_region: String,
    #[serde(rename = "sourceIPAddress")]
    pub source_ip_address: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user_agent: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error_code: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error_message: Option<String>,
    /// `null` where there are none.
    #[serde(default)]
    pub request_parameters: Value,
    #[serde(default)]
    pub response_elements: Value,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub additional_event_data: Option<Value>,
    #[serde(default, rename = "requestID", skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
    #[serde(rename = "eventID")]
    pub event_id: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub read_only: Option<bool>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub resources: Vec<Resource>,
    pub event_type: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub api_version: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub management_event: Option<bool>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recipient_account_id: Option<String>,
    #[serde(
        default,
        rename = "sharedEventID",
        skip_serializing_if = "Option::is_none"
    )]
    pub shared_event_id: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service_event_details: Option<Value>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vpc_endpoint_id: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vpc_endpoint_account_id: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub event_category: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls_details: Option<Value>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session_credential_from_console: Option<String>,
    /// Members of imported records that this version does not know; kept as they came.
    #[serde(flatten)]
    pub other: Params,
}

/// One of a record's `resources`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resource {
    #[serde(default, rename = "accountId", skip_serializing_if = "Option::is_none")]
    pub account_id: Option<String>,
    #[serde(default, rename = "type", skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    #[serde(default, rename = "ARN", skip_serializing_if = "Option::is_none")]
    pub arn: Option<String>,
    #[serde(default, rename = "ARNPrefix", skip_serializing_if = "Option::is_none")]
    pub arn_prefix: Option<String>,
    /// Members of imported records that this version does not know; kept as they came.
    #[serde(flatten)]
    pub other: Params,
}

/// A resource as LookupEvents names it: `AWS::S3::Bucket`, `logs`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NamedResource {
    pub kind: Option<String>,
    pub name: String,
}

impl Event {
    /// Records before 1.07 have no category: then `managementEvent` tells, and without it an event is a management
    /// event.
    pub fn category(&self) -> &str {
        match (&self.event_category, self.management_event) {
            (Some(category), _) => category,
            (None, Some(false)) => "Data",
            (None, _) => "Management",
        }
    }
}

/// Event times have whole seconds: `2026-11-22T15:00:00Z`.
mod event_time {
    use chrono::{DateTime, SecondsFormat, Utc};
    use serde::{Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(time: &DateTime<Utc>, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&time.to_rfc3339_opts(SecondsFormat::Secs, true))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        from: D,
    ) -> Result<DateTime<Utc>, D::Error> {
        let text = String::deserialize(from)?;
        DateTime::parse_from_rfc3339(&text)
            .map(|time| time.to_utc())
            .map_err(serde::de::Error::custom)
    }
}
