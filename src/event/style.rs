//! How a service writes its records: spelling of names, dates, blobs, hidden values. Tables.

use super::names::find;
use super::secrets::{HIDDEN, STARS};
use super::values::Dates;
use crate::aws::model::{Operation, Protocol, Service};

/// The hand that a service writes its records in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Style {
    pub case: Case,
    pub dates: Dates,
    pub blobs: Blobs,
    /// What stands in place of sensitive values.
    pub hidden: &'static str,
    /// Behind API Gateway: such services say an error's message in `responseElements`, and keep the parameters of a
    /// denied call.
    pub fronted: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Case {
    /// The member's name with its first letter in lower case.
    LowerFirst,
    /// The name on the wire.
    Wire,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Blobs {
    /// A Java `ByteBuffer`.
    Buffer,
    Base64,
}

/// REST services with upper-case names on the wire that write them with a lower-case first letter all the same: those
/// that answer by themselves, not from behind API Gateway.
const LOWER_FIRST: &[&str] = &[
    "account",
    "appconfigdata",
    "backup",
    "chime-sdk-voice",
    "dlm",
    "ebs",
    "efs",
    "es",
    "kinesis-video-archived-media",
    "kinesis-video-media",
    "kinesis-video-signaling",
    "kinesisvideo",
    "lakeformation",
    "lambda",
    "managedblockchain",
    "opensearch",
    "osis",
    "pinpoint-email",
    "pipes",
    "polly",
    "quicksight",
    "rbin",
    "sagemaker-featurestore-runtime",
    "sagemaker-metrics",
    "sagemaker-runtime",
    "scheduler",
    "sesv2",
    "xray",
];

/// Operations of wire-case services that answer by themselves.
const LOWER_FIRST_OPERATIONS: &[(&str, &str)] = &[("rum", "PutRumEvents")];

/// Operations of lower-case services that came later, from behind API Gateway: (service, part of the name).
const WIRE_OPERATIONS: &[(&str, &str)] = &[("account", "Region")];

/// Services that speak JSON and yet write names as on the wire.
const WIRE: &[&str] = &["application-insights", "budgets", "ce"];

/// REST services with names of their own that answer by themselves.
const NOT_FRONTED: &[&str] = &[
    "apigateway",
    "apigatewayv2",
    "appmesh",
    "batch",
    "codeartifact",
    "codeguruprofiler",
    "glacier",
    "iot",
    "iotevents",
    "iotevents-data",
    "ram",
    "rolesanywhere",
];

/// Services whose dates are not those of their kind.
const DATES: &[(&str, Dates)] = &[
    ("apigatewayv2", Dates::IsoAsSent),
    ("apprunner", Dates::NoComma),
    ("chime-sdk-voice", Dates::IsoAsSent),
    ("dataexchange", Dates::EpochMillis),
    ("elasticache", Dates::NoComma),
    ("elb", Dates::NoComma),
    ("elbv2", Dates::NoComma),
    ("iam", Dates::NoComma),
    ("neptune", Dates::NoComma),
    ("docdb", Dates::NoComma),
    ("rds", Dates::NoComma),
    ("redshift", Dates::NoComma),
    ("rolesanywhere", Dates::IsoAsSent),
    ("route53", Dates::NoComma),
    ("swf", Dates::NoComma),
    ("transcribe", Dates::Iso),
];

/// Services whose word for a hidden value is not that of their kind.
const HIDDEN_TEXTS: &[(&str, &str)] = &[
    ("acm", "**********"),
    ("amplifybackend", STARS),
    ("apigateway", STARS),
    ("apigatewayv2", STARS),
    ("athena", "HIDDEN_FOR_SECURITY_REASONS"),
    ("eks-auth", HIDDEN),
    ("iotevents", HIDDEN),
    ("iotevents-data", HIDDEN),
    ("organizations", "****"),
    ("polly", "**********"),
    ("rds", "****"),
    ("redshift", "****"),
    ("redshift-data", "***OMITTED***"),
    ("sso-oidc", HIDDEN),
];

impl Style {
    pub(super) fn of(service: &Service, operation: &Operation) -> Self {
        let id = &*service.id;
        let by_itself = if LOWER_FIRST.contains(&id) {
            !WIRE_OPERATIONS
                .iter()
                .any(|(service, part)| *service == id && operation.name.contains(part))
        } else {
            LOWER_FIRST_OPERATIONS.contains(&(id, &operation.name))
        };
        let wire = service.protocol() == Protocol::RestJson && !by_itself;
        let fronted = wire && !NOT_FRONTED.contains(&id);
        Self {
            case: if wire || WIRE.contains(&id) {
                Case::Wire
            } else {
                Case::LowerFirst
            },
            dates: find(DATES, id).unwrap_or(if fronted { Dates::Epoch } else { Dates::Comma }),
            blobs: if wire { Blobs::Base64 } else { Blobs::Buffer },
            hidden: find(HIDDEN_TEXTS, id).unwrap_or(if fronted { STARS } else { HIDDEN }),
            fronted,
        }
    }
}
