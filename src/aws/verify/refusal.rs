//! Why a request is refused before it reaches its service, and the error that each kind of service gives then.
//!
//! Codes and statuses are a table, one row a reason and one column a kind of service. Sources: the error lists of S3
//! <https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html>, of EC2
//! <https://docs.aws.amazon.com/AWSEC2/latest/APIReference/errors-overview.html>, IAM's page on SigV4 troubleshooting,
//! and facts 1.2 for JSON services.

use chrono::{DateTime, Utc};

use super::{BASIC, MAX_SKEW};
use crate::aws::model::Protocol;

/// Why a request is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// No signature, and the operation needs one.
    Missing,
    /// A browser's question before a call from a page, where nobody here knows what it may do.
    Preflight,
    /// The signature cannot be read.
    Malformed {
        message: String,
        in_query: bool,
    },
    /// An `Authorization` in a scheme that is not AWS's.
    UnknownScheme {
        message: String,
    },
    /// Several signatures, of which each reader might take another.
    Ambiguous,
    /// A header that tells what is called or by whom, more than once.
    Repeated {
        header: &'static str,
    },
    /// Not SigV4: SigV4A, or S3's SigV2.
    Unsupported {
        scheme: &'static str,
    },
    /// No date, or none that can be read.
    BadDate {
        given: String,
        in_query: bool,
    },
    /// The day in the credential scope is not that of the request.
    ScopeDate {
        scope: String,
        signed_on: String,
        time: DateTime<Utc>,
        in_query: bool,
    },
    /// The credential scope does not end in `aws4_request`.
    ScopeTerm {
        given: String,
        in_query: bool,
    },
    /// The credential scope names what can be no region.
    ScopeRegion {
        given: String,
        in_query: bool,
    },
    /// The credential scope names another service than the request does.
    ScopeService {
        given: String,
        asked_for: String,
        in_query: bool,
    },
    /// Signed too long ago, or in the future.
    Skewed {
        time: DateTime<Utc>,
        now: DateTime<Utc>,
    },
    /// A presigned URL of S3 after its time, or before.
    Expired,
    NotYetValid,
    /// `X-Amz-Expires` is missing, no number or out of range.
    BadExpires(String),
    HostUnsigned,
    /// A header of AWS's own that has to be signed is not.
    HeadersUnsigned,
    /// S3: `x-amz-content-sha256` is missing, or says nothing that it may say.
    NoContentHash,
    BadContentHash,
    /// Nobody has this access key, or it is a session's and came without its token.
    UnknownKey,
    /// The token is not the one issued with the key.
    BadToken,
    ExpiredToken,
    /// The signature is not the one expected, of the request, a chunk or the trailers.
    Mismatch,
    /// The body is not the one whose hash was signed.
    BodyMismatch,
    /// The body's framing is broken or ends early.
    BrokenBody,
    /// The body is longer than what is held to be checked, in bytes.
    TooLong {
        limit: usize,
    },
}

/// A kind of service, by the errors that it gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    S3,
    /// Query services and the REST services with XML.
    Query,
    Ec2,
    /// JSON 1.0, 1.1 and CBOR.
    Json,
    RestJson,
}

impl Dialect {
    pub fn of(protocol: Protocol, is_s3: bool) -> Self {
        match protocol {
            _ if is_s3 => Self::S3,
            Protocol::Query | Protocol::RestXml => Self::Query,
            Protocol::Ec2 => Self::Ec2,
            Protocol::Json | Protocol::Cbor => Self::Json,
            Protocol::RestJson => Self::RestJson,
        }
    }
}

/// An error as a service gives it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    pub status: u16,
    pub code: &'static str,
    pub message: String,
}

type Cell = (u16, &'static str);
/// Cells for S3, Query, EC2, JSON and REST-JSON.
type Row = [Cell; 5];

const MISSING: Row = [
    (403, "AccessDenied"),
    (403, "MissingAuthenticationToken"),
    (400, "MissingParameter"),
    (400, "MissingAuthenticationTokenException"),
    (403, "MissingAuthenticationTokenException"),
];
const INCOMPLETE: Row = [
    (400, "AuthorizationHeaderMalformed"),
    (400, "IncompleteSignature"),
    (400, "IncompleteSignature"),
    (400, "IncompleteSignatureException"),
    (400, "IncompleteSignatureException"),
];
const WRONG: Row = [
    (403, "SignatureDoesNotMatch"),
    (403, "SignatureDoesNotMatch"),
    (401, "AuthFailure"),
    (400, "InvalidSignatureException"),
    (403, "InvalidSignatureException"),
];
const SKEWED: Row = [
    (403, "RequestTimeTooSkewed"),
    (403, "SignatureDoesNotMatch"),
    (400, "RequestExpired"),
    (400, "InvalidSignatureException"),
    (403, "InvalidSignatureException"),
];
const UNKNOWN_KEY: Row = [
    (403, "InvalidAccessKeyId"),
    (403, "InvalidClientTokenId"),
    (401, "AuthFailure"),
    (400, "UnrecognizedClientException"),
    (403, "UnrecognizedClientException"),
];
const BAD_TOKEN: Row = [
    (400, "InvalidToken"),
    (403, "InvalidClientTokenId"),
    (401, "AuthFailure"),
    (400, "UnrecognizedClientException"),
    (403, "UnrecognizedClientException"),
];
const EXPIRED_TOKEN: Row = [
    (400, "ExpiredToken"),
    (403, "ExpiredToken"),
    (400, "RequestExpired"),
    (400, "ExpiredTokenException"),
    (403, "ExpiredTokenException"),
];
const TOO_LONG: Row = [
    (413, "EntityTooLarge"),
    (413, "RequestEntityTooLarge"),
    (413, "RequestEntityTooLarge"),
    (413, "RequestEntityTooLargeException"),
    (413, "RequestEntityTooLargeException"),
];
const BROKEN_BODY: Row = [
    (400, "IncompleteBody"),
    (400, "MalformedInput"),
    (400, "MalformedInput"),
    (400, "SerializationException"),
    (400, "SerializationException"),
];

/// `row` with another cell for S3.
const fn for_s3(cell: Cell, row: Row) -> Row {
    let [_, query, ec2, json, rest_json] = row;
    [cell, query, ec2, json, rest_json]
}

impl Refusal {
    /// The error that a service of this kind gives.
    pub fn answer(&self, dialect: Dialect) -> Answer {
        let [s3, query, ec2, json, rest_json] = self.row();
        let (status, code) = match dialect {
            Dialect::S3 => s3,
            Dialect::Query => query,
            Dialect::Ec2 => ec2,
            Dialect::Json => json,
            Dialect::RestJson => rest_json,
        };
        let message = match dialect {
            Dialect::S3 => self.s3_message(),
            Dialect::Ec2 if code == "AuthFailure" => {
                "AWS was not able to validate the provided access credentials".to_owned()
            }
            Dialect::Ec2 if code == "RequestExpired" => "Request has expired.".to_owned(),
            Dialect::Ec2 if code == "MissingParameter" => {
                "The request must contain the parameter AWSAccessKeyId".to_owned()
            }
            Dialect::Query | Dialect::Ec2 | Dialect::Json | Dialect::RestJson => self.message(),
        };
        Answer {
            status,
            code,
            message,
        }
    }

    fn row(&self) -> Row {
        let malformed = |in_query: bool| match in_query {
            true => (400, "AuthorizationQueryParametersError"),
            false => (400, "AuthorizationHeaderMalformed"),
        };
        match self {
            Self::Missing => MISSING,
            Self::Preflight => for_s3((403, "AccessForbidden"), MISSING),
            Self::Malformed { in_query, .. } => for_s3(malformed(*in_query), INCOMPLETE),
            Self::UnknownScheme { .. } | Self::Ambiguous => {
                for_s3((400, "InvalidArgument"), INCOMPLETE)
            }
            Self::BadDate { in_query: true, .. } => for_s3(malformed(true), INCOMPLETE),
            Self::BadDate { .. } => for_s3((403, "AccessDenied"), INCOMPLETE),
            Self::Unsupported { .. } | Self::Repeated { .. } => {
                for_s3((400, "InvalidRequest"), INCOMPLETE)
            }
            Self::ScopeDate { in_query, .. }
            | Self::ScopeTerm { in_query, .. }
            | Self::ScopeRegion { in_query, .. }
            | Self::ScopeService { in_query, .. } => for_s3(malformed(*in_query), WRONG),
            Self::BadExpires(_) => for_s3(malformed(true), INCOMPLETE),
            Self::Skewed { .. } => SKEWED,
            Self::Expired | Self::NotYetValid | Self::HeadersUnsigned => {
                for_s3((403, "AccessDenied"), WRONG)
            }
            Self::HostUnsigned | Self::Mismatch => WRONG,
            Self::NoContentHash => for_s3((400, "InvalidRequest"), WRONG),
            Self::BadContentHash => for_s3((400, "InvalidArgument"), WRONG),
            Self::BodyMismatch => for_s3((400, "XAmzContentSHA256Mismatch"), WRONG),
            Self::UnknownKey => UNKNOWN_KEY,
            Self::BadToken => BAD_TOKEN,
            Self::ExpiredToken => EXPIRED_TOKEN,
            Self::BrokenBody => BROKEN_BODY,
            Self::TooLong { .. } => TOO_LONG,
        }
    }

    fn s3_message(&self) -> String {
        let text = match self {
            Self::Missing => "Access Denied",
            // So S3 spells it.
            Self::Preflight => {
                "CORSResponse: This CORS request is not allowed. This is usually because the evalution of Origin, \
                 request method / Access-Control-Request-Method or Access-Control-Request-Headers are not whitelisted \
                 by the resource's CORS spec."
            }
            Self::Malformed { message, .. } => return message.clone(),
            Self::UnknownScheme { .. } => "Unsupported Authorization Type",
            Self::BadDate { in_query: true, .. } => {
                r#"X-Amz-Date must be in the ISO8601 Long Format "yyyyMMdd'T'HHmmss'Z'""#
            }
            Self::BadDate { .. } => "AWS authentication requires a valid Date or x-amz-date header",
            Self::ScopeDate {
                scope,
                signed_on,
                in_query,
                ..
            } => {
                let message = format!(
                    "Invalid credential date \"{scope}\". This date is not the same as X-Amz-Date: \"{signed_on}\"."
                );
                return malformed(&message, *in_query);
            }
            Self::ScopeTerm { given, in_query } => {
                let message = format!("incorrect terminal \"{given}\". Use \"aws4_request\".");
                return malformed(&message, *in_query);
            }
            Self::ScopeRegion { given, in_query } => {
                return malformed(&format!("the region '{given}' is wrong"), *in_query);
            }
            Self::ScopeService {
                given,
                asked_for,
                in_query,
            } => {
                let message = format!(
                    "incorrect service \"{given}\". This endpoint belongs to \"{asked_for}\"."
                );
                return malformed(&message, *in_query);
            }
            Self::Skewed { .. } => {
                "The difference between the request time and the current time is too large."
            }
            Self::Expired => "Request has expired",
            Self::NotYetValid => "Request is not valid yet",
            Self::HeadersUnsigned => {
                "There were headers present in the request which were not signed"
            }
            Self::NoContentHash => "Missing required header for this request: x-amz-content-sha256",
            Self::BadContentHash => {
                "x-amz-content-sha256 must be UNSIGNED-PAYLOAD, STREAMING-UNSIGNED-PAYLOAD-TRAILER, \
                 STREAMING-AWS4-HMAC-SHA256-PAYLOAD, STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER or a valid sha256 value."
            }
            Self::UnknownKey => "The AWS Access Key Id you provided does not exist in our records.",
            Self::BadToken => "The provided token is malformed or otherwise invalid.",
            Self::ExpiredToken => "The provided token has expired.",
            Self::HostUnsigned | Self::Mismatch => {
                "The request signature we calculated does not match the signature you provided. Check your key and \
                 signing method."
            }
            Self::BodyMismatch => {
                "The provided 'x-amz-content-sha256' header does not match what was computed."
            }
            Self::BrokenBody => "The request body terminated unexpectedly",
            Self::Ambiguous
            | Self::Repeated { .. }
            | Self::Unsupported { .. }
            | Self::BadExpires(_)
            | Self::TooLong { .. } => return self.message(),
        };
        text.to_owned()
    }

    fn message(&self) -> String {
        let text = match self {
            Self::Missing | Self::Preflight => "Request is missing Authentication Token",
            Self::Malformed { message, .. }
            | Self::UnknownScheme { message }
            | Self::BadExpires(message) => return message.clone(),
            // S3's sentence; what others say of it is not known.
            Self::Ambiguous => {
                "Only one auth mechanism allowed; only the X-Amz-Algorithm query parameter, Signature query string \
                 parameter or the Authorization header should be specified"
            }
            Self::Repeated { header } => {
                return format!("The header {header} must be sent only once.");
            }
            Self::Unsupported { scheme } => {
                return format!(
                    "{scheme} signatures are not verified by localtrail. Please use AWS4-HMAC-SHA256."
                );
            }
            Self::BadDate { given, .. } => {
                return format!(
                    "Date must be in ISO-8601 'basic format'. Got '{given}'. See http://en.wikipedia.org/wiki/ISO_8601"
                );
            }
            Self::ScopeDate {
                scope,
                signed_on,
                time,
                ..
            } => {
                return format!(
                    "Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date from HTTP: \
                     '{scope}' != '{signed_on}', from '{}'.",
                    time.format(BASIC)
                );
            }
            Self::ScopeTerm { given, .. } => {
                return format!(
                    "Credential should be scoped with a valid terminator: 'aws4_request', not '{given}'. "
                );
            }
            Self::ScopeRegion { given, .. } => {
                return format!("Credential should be scoped to a valid Region, not '{given}'. ");
            }
            Self::ScopeService { asked_for, .. } => {
                return format!("Credential should be scoped to correct service: '{asked_for}'. ");
            }
            Self::Skewed { time, now } => return skewed(*time, *now),
            Self::HostUnsigned => {
                "'Host' or ':authority' must be a 'SignedHeader' in the AWS Authorization."
            }
            Self::UnknownKey | Self::BadToken => {
                "The security token included in the request is invalid."
            }
            Self::ExpiredToken => "The security token included in the request is expired",
            Self::Mismatch
            | Self::BodyMismatch
            | Self::Expired
            | Self::NotYetValid
            | Self::HeadersUnsigned
            | Self::NoContentHash
            | Self::BadContentHash => {
                "The request signature we calculated does not match the signature you provided. Check your AWS Secret \
                 Access Key and signing method. Consult the service documentation for details."
            }
            Self::BrokenBody => "the body cannot be decoded",
            Self::TooLong { limit } => return format!("the body is longer than {limit} bytes"),
        };
        text.to_owned()
    }
}

/// S3's sentence around what is wrong with a credential.
fn malformed(message: &str, in_query: bool) -> String {
    match in_query {
        true => format!("Error parsing the X-Amz-Credential parameter; {message}"),
        false => format!("The authorization header is malformed; {message}"),
    }
}

fn skewed(time: DateTime<Utc>, now: DateTime<Utc>) -> String {
    let minutes = MAX_SKEW.num_minutes();
    let [signed, ours] = [time, now].map(|time| time.format(BASIC));
    if time > now {
        let latest = (now + MAX_SKEW).format(BASIC);
        format!(
            "Signature not yet current: {signed} is still later than {latest} ({ours} + {minutes} min.)"
        )
    } else {
        let earliest = (now - MAX_SKEW).format(BASIC);
        format!(
            "Signature expired: {signed} is now earlier than {earliest} ({ours} - {minutes} min.)"
        )
    }
}
