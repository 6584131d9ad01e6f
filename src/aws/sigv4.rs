//! Signatures: reads one from a request (header or presigned query, SigV4 or SigV2), makes one.
//!
//! Reads who signed and for which service, not whether the signature holds: that is [`super::verify`]'s. The canonical
//! requests and keys are the `aws-sigv4` crate's.

use std::time::SystemTime;

use aws_credential_types::Credentials;
use aws_sigv4::http_request::{
    PayloadChecksumKind, PercentEncodingMode, SignableBody, SignableRequest, SigningSettings,
    UriPathNormalizationMode,
};
use aws_sigv4::sign::v4;
use aws_smithy_runtime_api::client::identity::Identity;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use chrono::{DateTime, Utc};
use http::header::{AUTHORIZATION, DATE, HOST, HeaderName, HeaderValue};
use http::request::Parts;
use http::{HeaderMap, Method, Uri};
use sha2::{Digest, Sha256};

use super::arn::is_region;
use super::uri::parse_query;

/// What a request's signature says of its caller. The signature itself is not kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signature {
    pub access_key: String,
    /// Empty for SigV2, and where no region could be called so.
    pub region: String,
    /// Service of the credential scope; `s3` for SigV2.
    pub service: String,
    pub form: Form,
    /// A session token came with it.
    pub has_token: bool,
}

/// Where the signature stood, and in which scheme.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    Header,
    Query,
    HeaderV2,
    QueryV2,
}

/// An `Authorization` that is there but cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SignatureError {
    /// AWS's own sentence for `IncompleteSignature`.
    #[error("{0}")]
    Incomplete(String),
}

/// Schemes of version 4; SigV4A has a set of regions in place of one.
pub(super) const V4: &str = "AWS4-HMAC-SHA256";
pub(super) const V4A: &str = "AWS4-ECDSA-P256-SHA256";
/// What an `Authorization` of theirs consists of.
const PARAMETERS: [&str; 3] = ["Credential", "Signature", "SignedHeaders"];

/// The signature of a request, if it has one. Other schemes, such as `Bearer`, are none.
pub fn parse(parts: &Parts) -> Result<Option<Signature>, SignatureError> {
    if let Some(value) = parts.headers.get(AUTHORIZATION) {
        let value = String::from_utf8_lossy(value.as_bytes());
        if let Some(signature) = in_header(parts, value.trim())? {
            return Ok(Some(signature));
        }
    }
    in_query(parts)
}

/// `AWS4-HMAC-SHA256 Credential=…, SignedHeaders=…, Signature=…`, or `AWS key:signature`.
fn in_header(parts: &Parts, value: &str) -> Result<Option<Signature>, SignatureError> {
    let has_token = parts.headers.contains_key("x-amz-security-token");
    let (scheme, rest) = value.split_once(' ').unwrap_or((value, ""));
    if scheme == "AWS" {
        let key = rest.split_once(':').map(|(key, _)| key.trim());
        let key = key.filter(|key| !key.is_empty()).ok_or_else(|| {
            SignatureError::Incomplete(
                "AWS authorization header is invalid.  Expected AwsAccessKeyId:signature".into(),
            )
        })?;
        return Ok(Some(version_2(key, Form::HeaderV2, has_token)));
    }
    if scheme != V4 && scheme != V4A {
        return Ok(None);
    }
    let missing = missing(parts, rest);
    let (Some(credential), "") = (parameter(rest, "Credential"), missing.as_str()) else {
        return Err(incomplete(&missing, value));
    };
    let regions = parts.headers.get("x-amz-region-set");
    let regions = regions.and_then(|regions| regions.to_str().ok());
    scoped(scheme, credential, regions, Form::Header, has_token).map(Some)
}

/// AWS's sentences about what an `Authorization` with these parameters lacks.
fn missing(parts: &Parts, parameters: &str) -> String {
    let mut missing = String::new();
    for name in PARAMETERS {
        if parameter(parameters, name).is_none() {
            missing += &format!("Authorization header requires '{name}' parameter. ");
        }
    }
    if !parts.headers.contains_key("x-amz-date") && !parts.headers.contains_key(DATE) {
        missing +=
            "Authorization header requires existence of either a 'X-Amz-Date' or a 'Date' header. ";
    }
    missing
}

/// AWS says which header it means by its hash.
fn incomplete(what: &str, value: &str) -> SignatureError {
    let hash = STANDARD.encode(Sha256::digest(value));
    SignatureError::Incomplete(format!(
        "{what}(Hashed with SHA-256 and encoded with Base64) Authorization={hash}"
    ))
}

/// What AWS says of an `Authorization` in a scheme that it does not know.
pub(super) fn unknown_scheme(parts: &Parts, value: &str) -> SignatureError {
    incomplete(&missing(parts, ""), value)
}

/// Whether an `Authorization` of version 4 has each of its parameters once and no other: whoever else reads it then finds
/// the same key.
pub(super) fn check_parameters(value: &str) -> Result<(), SignatureError> {
    let (_, parameters) = value.split_once(' ').unwrap_or_default();
    let mut seen = Vec::new();
    for item in parameters.split(',').map(str::trim) {
        let Some((name, _)) = item.split_once('=') else {
            let what = "Authorization header has a part that is not a valid key=value pair (missing equal-sign). ";
            return Err(incomplete(what, value));
        };
        let Some(name) = PARAMETERS.iter().find(|it| **it == name.trim()) else {
            let what = "Authorization header has a parameter that is not known. ";
            return Err(incomplete(what, value));
        };
        if seen.contains(&name) {
            let what = format!("Authorization header requires one '{name}' parameter. ");
            return Err(incomplete(&what, value));
        }
        seen.push(name);
    }
    Ok(())
}

/// A parameter of an `Authorization` header, after its scheme.
pub(super) fn parameter<'a>(parameters: &'a str, name: &str) -> Option<&'a str> {
    let mut pairs = parameters
        .split(',')
        .filter_map(|item| item.split_once('='));
    let (_, value) = pairs.find(|(key, _)| key.trim() == name)?;
    Some(value.trim()).filter(|value| !value.is_empty())
}

/// `X-Amz-Credential=…&X-Amz-Signature=…`, or S3's `AWSAccessKeyId=…&Signature=…&Expires=…`.
fn in_query(parts: &Parts) -> Result<Option<Signature>, SignatureError> {
    let query = parts.uri.query().unwrap_or_default();
    // Most requests have none; that is seen without decoding anything.
    if !query.contains("X-Amz-") && !query.contains("AWSAccessKeyId") {
        return Ok(None);
    }
    let query = parse_query(query);
    let parameter = |name: &str| {
        let found = query.iter().find(|(key, _)| key == name);
        found.map(|(_, value)| value.as_str())
    };
    let in_any_case = |name: &str| query.iter().any(|(key, _)| key.eq_ignore_ascii_case(name));
    let has_token = in_any_case("X-Amz-Security-Token");
    if let Some(scheme) = parameter("X-Amz-Algorithm") {
        for name in ["X-Amz-Credential", "X-Amz-Signature"] {
            if parameter(name).is_none_or(str::is_empty) {
                return Err(SignatureError::Incomplete(format!(
                    "AWS query-string parameters must include '{name}'. Re-examine the query-string parameters."
                )));
            }
        }
        let credential = parameter("X-Amz-Credential").unwrap_or_default();
        let regions = parameter("X-Amz-Region-Set");
        return scoped(scheme, credential, regions, Form::Query, has_token).map(Some);
    }
    // `SignatureVersion` marks the query protocol's SigV2, which no service here takes.
    let key = parameter("AWSAccessKeyId").filter(|key| !key.is_empty());
    match key {
        Some(key) if parameter("Signature").is_some() && parameter("Expires").is_some() => {
            Ok(Some(version_2(key, Form::QueryV2, has_token)))
        }
        _ => Ok(None),
    }
}

fn version_2(key: &str, form: Form, has_token: bool) -> Signature {
    Signature {
        access_key: key.to_owned(),
        region: String::new(),
        service: "s3".to_owned(),
        form,
        has_token,
    }
}

/// The signature with a credential `key/date/region/service/aws4_request`; SigV4A's has no region.
fn scoped(
    scheme: &str,
    credential: &str,
    regions: Option<&str>,
    form: Form,
    has_token: bool,
) -> Result<Signature, SignatureError> {
    let elements: Vec<&str> = credential.split('/').collect();
    let (key, region, service) = match elements.as_slice() {
        [key, _, region, service, _] => (*key, *region, *service),
        [key, _, service, _] if scheme == V4A => {
            let first = regions.and_then(|regions| regions.split(',').next());
            let first = first.map(str::trim).filter(|region| *region != "*");
            (*key, first.unwrap_or_default(), *service)
        }
        _ => {
            return Err(SignatureError::Incomplete(format!(
                "Credential must have exactly 5 slash-delimited elements, \
                 e.g. keyid/date/region/service/term, got '{credential}'"
            )));
        }
    };
    let region = if is_region(region) { region } else { "" };
    Ok(Signature {
        access_key: key.to_owned(),
        region: region.to_owned(),
        service: service.to_owned(),
        form,
        has_token,
    })
}

/// Who signs a request of ours, for what and when.
#[derive(Clone, Copy)]
pub struct Signer<'a> {
    pub access_key: &'a str,
    pub secret_key: &'a str,
    pub session_token: Option<&'a str>,
    pub region: &'a str,
    /// Service of the credential scope.
    pub service: &'a str,
    pub time: DateTime<Utc>,
}

/// Why a request cannot be signed: its URI or a header is malformed.
#[derive(Debug, thiserror::Error)]
#[error("cannot sign the request: {0}")]
pub struct SignError(String);

impl Signer<'_> {
    /// Headers that sign the request: `authorization`, `x-amz-date`, for S3 `x-amz-content-sha256`, and the session
    /// token. All of `headers` are signed but those that the crate leaves out (such as `user-agent`).
    pub fn sign(
        &self,
        method: &Method,
        uri: &Uri,
        headers: &HeaderMap,
        body: &[u8],
    ) -> Result<HeaderMap, SignError> {
        let failed = |error: &dyn std::fmt::Display| SignError(error.to_string());
        // The crate takes it for granted that there is one, and panics.
        if uri.host().is_none() && !headers.contains_key(HOST) {
            return Err(failed(&"it names no host"));
        }
        let mut settings = SigningSettings::default();
        if self.service == "s3" {
            settings.percent_encoding_mode = PercentEncodingMode::Single;
            settings.uri_path_normalization_mode = UriPathNormalizationMode::Disabled;
            settings.payload_checksum_kind = PayloadChecksumKind::XAmzSha256;
        }
        let token = self.session_token.map(str::to_owned);
        let credentials =
            Credentials::new(self.access_key, self.secret_key, token, None, "localtrail");
        let identity: Identity = credentials.into();
        let params = v4::SigningParams::builder()
            .identity(&identity)
            .region(self.region)
            .name(self.service)
            .time(SystemTime::from(self.time))
            .settings(settings)
            .build()
            .map_err(|error| failed(&error))?
            .into();
        let text = |value: &HeaderValue| value.to_str().map(str::to_owned);
        let mut signed = Vec::with_capacity(headers.len());
        for (name, value) in headers {
            let value = text(value).map_err(|error| failed(&error))?;
            signed.push((name.as_str(), value));
        }
        let signed = signed.iter().map(|(name, value)| (*name, value.as_str()));
        let uri = uri.to_string();
        let request = SignableRequest::new(method.as_str(), uri, signed, SignableBody::Bytes(body))
            .map_err(|error| failed(&error))?;
        let (instructions, _) = aws_sigv4::http_request::sign(request, &params)
            .map_err(|error| failed(&error))?
            .into_parts();
        let mut added = HeaderMap::new();
        for (name, value) in instructions.headers() {
            let name: HeaderName = name.parse().map_err(|error| failed(&error))?;
            let mut value: HeaderValue = value.parse().map_err(|error| failed(&error))?;
            value.set_sensitive(name == AUTHORIZATION);
            added.insert(name, value);
        }
        Ok(added)
    }
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;
    use http::{HeaderMap, Method};

    use super::{Form, Signature, SignatureError, Signer, parse};
    use crate::aws::testing::head;

    fn signature(region: &str, service: &str, form: Form, has_token: bool) -> Signature {
        Signature {
            access_key: "AKIDEXAMPLE".to_owned(),
            region: region.to_owned(),
            service: service.to_owned(),
            form,
            has_token,
        }
    }

    #[test]
    fn signatures_are_read_wherever_they_stand() {
        let scope = "AKIDEXAMPLE/20240501/eu-west-1/sns/aws4_request";
        let date = "x-amz-date: 20240501T000000Z\n";
        let v4 = |form, token| Some(signature("eu-west-1", "sns", form, token));
        let cases = [
            (
                "POST /",
                format!(
                    "{date}authorization: AWS4-HMAC-SHA256 Credential={scope}, SignedHeaders=host, Signature=0f"
                ),
                v4(Form::Header, false),
            ),
            (
                "POST /",
                format!(
                    "{date}authorization: AWS4-HMAC-SHA256 Credential={scope},SignedHeaders=host,Signature=0f\nx-amz-security-token: t"
                ),
                v4(Form::Header, true),
            ),
            (
                "POST /",
                format!(
                    "date: Wed, 01 May 2024 00:00:00 GMT\nauthorization: AWS4-HMAC-SHA256  SignedHeaders=host, Credential={scope}, Signature=0f"
                ),
                v4(Form::Header, false),
            ),
            (
                "POST /",
                format!(
                    "{date}x-amz-region-set: us-west-2,us-east-1\nauthorization: AWS4-ECDSA-P256-SHA256 Credential=AKIDEXAMPLE/20240501/s3/aws4_request, SignedHeaders=host, Signature=0f"
                ),
                Some(signature("us-west-2", "s3", Form::Header, false)),
            ),
            (
                "GET /b/k?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AKIDEXAMPLE%2F20240501%2Feu-west-1%2Fsns%2Faws4_request&X-Amz-Signature=0f&X-Amz-Security-Token=t",
                String::new(),
                v4(Form::Query, true),
            ),
            (
                "GET /b/k",
                "authorization: AWS AKIDEXAMPLE:c2ln".to_owned(),
                Some(signature("", "s3", Form::HeaderV2, false)),
            ),
            (
                "GET /b/k?AWSAccessKeyId=AKIDEXAMPLE&Signature=c2ln&Expires=1700000000&x-amz-security-token=t",
                String::new(),
                Some(signature("", "s3", Form::QueryV2, true)),
            ),
            ("GET /b/k", "authorization: Bearer abc".to_owned(), None),
            ("GET /b/k?x=X-Amz-", String::new(), None),
            (
                "GET /?AWSAccessKeyId=AKIDEXAMPLE&SignatureVersion=2&Signature=x",
                String::new(),
                None,
            ),
            ("GET /", String::new(), None),
        ];
        for (line, headers, expected) in cases {
            assert_eq!(
                parse(&head(line, &headers)),
                Ok(expected),
                "{line} {headers}"
            );
        }
    }

    #[test]
    fn broken_signatures_are_told_in_awss_words() {
        let date = "x-amz-date: 20240501T000000Z\n";
        let key = "Authorization header requires 'Credential' parameter. ";
        let signature = "Authorization header requires 'Signature' parameter. ";
        let signed = "Authorization header requires 'SignedHeaders' parameter. ";
        let dated =
            "Authorization header requires existence of either a 'X-Amz-Date' or a 'Date' header. ";
        let five = "Credential must have exactly 5 slash-delimited elements, \
                    e.g. keyid/date/region/service/term, got 'x'";
        let cases = [
            (
                "GET /",
                format!("{date}authorization: AWS4-HMAC-SHA256"),
                format!("{key}{signature}{signed}(Hashed"),
            ),
            (
                "GET /",
                "authorization: AWS4-HMAC-SHA256 Credential=a/b/c/d/e, Signature=0".to_owned(),
                format!("{signed}{dated}(Hashed"),
            ),
            (
                "GET /",
                format!(
                    "{date}authorization: AWS4-HMAC-SHA256 Credential=x, SignedHeaders=host, Signature=0"
                ),
                five.to_owned(),
            ),
            (
                "GET /?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=x&X-Amz-Signature=0",
                String::new(),
                five.to_owned(),
            ),
            (
                "GET /?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Signature=0",
                String::new(),
                "AWS query-string parameters must include 'X-Amz-Credential'.".to_owned(),
            ),
            (
                "GET /",
                "authorization: AWS nothing".to_owned(),
                "AWS authorization header is invalid.".to_owned(),
            ),
        ];
        for (line, headers, expected) in cases {
            let Err(SignatureError::Incomplete(sentence)) = parse(&head(line, &headers)) else {
                panic!("{headers} was read");
            };
            assert!(sentence.starts_with(&expected), "{sentence}");
            assert!(!sentence.contains("Signature=0"), "{sentence}");
        }
    }

    /// <https://docs.aws.amazon.com/AmazonS3/latest/API/sig-v4-header-based-auth.html>, "GET Object".
    #[test]
    fn a_signature_is_that_of_awss_example() {
        let signer = Signer {
            access_key: "AKIAIOSFODNN7EXAMPLE",
            secret_key: "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
            session_token: None,
            region: "us-east-1",
            service: "s3",
            time: DateTime::from_timestamp(1_369_353_600, 0).unwrap(),
        };
        let uri = "https://examplebucket.s3.amazonaws.com/test.txt"
            .parse()
            .unwrap();
        let mut headers = HeaderMap::new();
        headers.insert("range", "bytes=0-9".parse().unwrap());
        let added = signer.sign(&Method::GET, &uri, &headers, b"").unwrap();
        assert_eq!(added["x-amz-date"], "20130524T000000Z");
        assert_eq!(
            added["authorization"],
            "AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request, \
             SignedHeaders=host;range;x-amz-content-sha256;x-amz-date, \
             Signature=f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41"
        );
        assert!(added["authorization"].is_sensitive());
    }

    #[test]
    fn a_session_token_is_sent_along_and_a_host_is_asked_for() {
        let signer = Signer {
            access_key: "AKIDEXAMPLE",
            secret_key: "secret",
            session_token: Some("token"),
            region: "us-east-1",
            service: "sns",
            time: DateTime::UNIX_EPOCH,
        };
        let empty = HeaderMap::new();
        let uri = "http://127.0.0.1:4566/".parse().unwrap();
        let added = signer.sign(&Method::POST, &uri, &empty, b"x").unwrap();
        assert_eq!(added["x-amz-security-token"], "token");
        assert!(!added.contains_key("x-amz-content-sha256"));
        let nowhere = "/".parse().unwrap();
        assert!(signer.sign(&Method::POST, &nowhere, &empty, b"").is_err());
    }
}
