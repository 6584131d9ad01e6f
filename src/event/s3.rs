//! S3's layout: what HTTP carried, by HTTP's names.
//!
//! `bucketName`, `key`, `Host`, every query parameter, the headers that the model knows, and the XML body under its
//! root element. Signatures, tokens and customers' keys never.

use std::borrow::Cow;

use http::HeaderMap;
use http::header::HOST;
use http::request::Parts;
use serde_json::{Value, json};

use super::names::is_directory_bucket;
use super::secrets::HIDDEN;
use super::values::lower_first;
use super::xml_json::to_json;
use super::{Exchange, values};
use crate::aws::Params;
use crate::aws::model::{Kind, Location, Service, ShapeId};
use crate::aws::route::Call;
use crate::aws::sigv4::Form;

/// Headers of the transport: the SDK adds them, S3 does not write them down.
const TRANSPORT_HEADERS: &[&str] = &["x-amz-checksum-", "x-amz-sdk-", "x-amz-account-id"];

/// Query parameters (and headers sent as such) whose value is a secret, lower case.
const SECRET_QUERY: &[&str] = &["signature", "x-amz-security-token", "x-amz-signature"];

/// Shapes that the model marks sensitive and S3 writes down all the same: they name a KMS key and open nothing.
pub(super) const KEY_IDS: &[&str] = &["NonEmptyKmsKeyArnString", "SSEKMSKeyId"];

/// Headers of an answer that S3 writes down for object calls that changed something.
const ANSWER_HEADERS: &[&str] = &[
    "x-amz-expiration",
    "x-amz-server-side-encryption",
    "x-amz-server-side-encryption-aws-kms-key-id",
    "x-amz-server-side-encryption-bucket-key-enabled",
    "x-amz-storage-class",
    "x-amz-version-id",
];

/// Query parameters were lists of their values in records before 1.05: all that real ones have, and those of
/// <https://docs.aws.amazon.com/AmazonS3/latest/userguide/cloudtrail-logging-understanding-s3-entries.html>.
const QUERY_OF_TEXTS_SINCE: u32 = 5;

/// `requestParameters`; `body` is the whole request's, `minor` the record's version, 9 for `1.09`.
pub(super) fn request(
    call: &Call,
    parts: &Parts,
    params: &Params,
    body: Option<&[u8]>,
    minor: u32,
) -> Value {
    let mut record = Params::new();
    if let Some(bucket) = params.get("Bucket") {
        record.insert("bucketName".to_owned(), bucket.clone());
    }
    if let Some(host) = host(parts) {
        record.insert("Host".to_owned(), host.into());
    }
    if let Some(key) = params.get("Key") {
        record.insert("key".to_owned(), key.clone());
    }
    let query = parts.uri.query().unwrap_or_default();
    for (name, value) in form_urlencoded::parse(query.as_bytes()) {
        // The access key stands in `userIdentity`.
        if name.eq_ignore_ascii_case("x-amz-credential") {
            continue;
        }
        let value = if is_secret(&name) {
            HIDDEN.into()
        } else {
            value
        };
        let value = Value::from(value.into_owned());
        if minor >= QUERY_OF_TEXTS_SINCE {
            record.insert(name.into_owned(), value);
        } else if let Value::Array(values) = record.entry(name).or_insert_with(|| json!([])) {
            values.push(value);
        }
    }
    headers(call, &parts.headers, &mut record);
    if let Some((name, value)) = document(call, params, body) {
        record.insert(name, value);
    }
    values::object(record)
}

/// The modelled `x-amz-…` headers; grants stand together.
fn headers(call: &Call, sent: &HeaderMap, record: &mut Params) {
    let input = call.operation.input;
    let Some(structure) = input.and_then(|input| call.service.structure(input)) else {
        return;
    };
    let mut grants = Params::new();
    for member in &structure.members {
        let name = member.wire().to_ascii_lowercase();
        let recorded = member.location == Location::Header
            && name.starts_with("x-amz-")
            && !TRANSPORT_HEADERS.iter().any(|it| name.starts_with(it));
        let value = sent.get(&name).filter(|_| recorded);
        let Some(value) = value.map(|value| String::from_utf8_lossy(value.as_bytes())) else {
            continue;
        };
        let value = if is_secret(&name) || hides(call.service, member.shape) {
            Cow::Borrowed(HIDDEN)
        } else if name == "x-amz-copy-source" {
            copy_source(&value).into()
        } else {
            value
        };
        let into = if name.starts_with("x-amz-grant-") {
            &mut grants
        } else {
            &mut *record
        };
        into.insert(name, value.into_owned().into());
    }
    if !grants.is_empty() {
        record.insert("accessControlList".to_owned(), Value::Object(grants));
    }
}

/// What is copied, and which version of it: a signed URL may have been pasted here.
fn copy_source(value: &str) -> String {
    let (object, query) = value.split_once('?').unwrap_or((value, ""));
    let is_version = |pair: &&str| pair.starts_with("versionId=");
    match query.split('&').find(is_version) {
        Some(version) => format!("{object}?{version}"),
        None => object.to_owned(),
    }
}

/// Whether a shape's values must be hidden.
fn hides(service: &Service, shape: ShapeId) -> bool {
    let shape = service.shape(shape);
    shape.sensitive && !KEY_IDS.contains(&&*shape.name)
}

fn is_secret(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    SECRET_QUERY.contains(&name.as_str()) || name.contains("-customer-key")
}

/// The body: a bucket policy as the object it is, XML by its root element.
fn document(call: &Call, params: &Params, body: Option<&[u8]>) -> Option<(String, Value)> {
    let structure = call.service.structure(call.operation.input?)?;
    let payload = structure.members.get(structure.payload?)?;
    match &call.service.shape(payload.shape).kind {
        Kind::Structure(_) if !payload.streaming => {
            let (name, value) = to_json(body?)?;
            Some(if is_directory_bucket(call.service, Some(params)) {
                (name, lower_names(value))
            } else {
                (name, value)
            })
        }
        Kind::String if &*call.operation.name == "PutBucketPolicy" => {
            let policy = params.get(&*payload.name)?.as_str()?;
            let policy = serde_json::from_str(policy).unwrap_or_else(|_| policy.into());
            Some(("bucketPolicy".to_owned(), policy))
        }
        _ => None,
    }
}

/// Directory buckets' bodies have names with a lower-case first letter, and no namespace.
fn lower_names(value: Value) -> Value {
    match value {
        Value::Object(members) => members
            .into_iter()
            .filter(|(name, _)| name != "xmlns")
            .map(|(name, value)| (lower_first(name), lower_names(value)))
            .collect(),
        Value::Array(items) => items.into_iter().map(lower_names).collect(),
        scalar => scalar,
    }
}

/// `Host` as the client sent it; HTTP/2 has it in the URI.
pub(super) fn host(parts: &Parts) -> Option<String> {
    match parts.headers.get(HOST) {
        Some(host) => Some(String::from_utf8_lossy(host.as_bytes()).into_owned()),
        None => Some(parts.uri.authority()?.to_string()),
    }
}

/// `responseElements` of a call that changed something: headers of the answer.
pub(super) fn response(answer: &HeaderMap) -> Value {
    let elements = ANSWER_HEADERS
        .iter()
        .filter_map(|name| {
            let value = String::from_utf8_lossy(answer.get(*name)?.as_bytes());
            Some(((*name).to_owned(), value.into_owned().into()))
        })
        .collect();
    values::object(elements)
}

/// `additionalEventData`
pub(super) fn additional_event_data(exchange: &Exchange<'_>) -> Value {
    let mut data = Params::new();
    let form = exchange.signature.map(|signature| signature.form);
    if let Some(form) = form {
        let version = match form {
            Form::Header | Form::Query => "SigV4",
            Form::HeaderV2 | Form::QueryV2 => "SigV2",
        };
        data.insert("SignatureVersion".to_owned(), version.into());
    }
    if let Some(tls) = &exchange.tls {
        data.insert("CipherSuite".to_owned(), tls.cipher_suite.as_str().into());
    }
    data.insert("bytesTransferredIn".to_owned(), exchange.bytes_in.into());
    if let Some(form) = form {
        let method = match form {
            Form::Header | Form::HeaderV2 => "AuthHeader",
            Form::Query | Form::QueryV2 => "QueryString",
        };
        data.insert("AuthenticationMethod".to_owned(), method.into());
    }
    if let Some(id) = exchange.response_headers.get("x-amz-id-2") {
        let id = String::from_utf8_lossy(id.as_bytes());
        data.insert("x-amz-id-2".to_owned(), json!(id));
    }
    data.insert("bytesTransferredOut".to_owned(), exchange.bytes_out.into());
    Value::Object(data)
}

#[cfg(test)]
mod tests {
    use super::super::testing::{TestCall, parts};
    use super::*;

    /// What S3 writes of a call with this head and body, without `Host`.
    fn written(
        operation: &str,
        params: Value,
        uri: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> Value {
        let mut call = TestCall::new("s3", operation, params);
        call.parts = parts(uri, headers);
        call.body = Some(body.as_bytes().to_vec());
        let mut written = call.record().request_parameters;
        assert_eq!(
            written.as_object_mut().unwrap().shift_remove("Host"),
            Some(json!("localhost:4580"))
        );
        written
    }

    #[test]
    fn query_headers_and_body_are_written_as_http_has_them() {
        for (operation, params, uri, headers, body, expected) in [
            ("ListBuckets", json!({}), "/", vec![], "", json!({})),
            (
                "GetObject",
                json!({"Bucket": "b", "Key": "a/b c", "VersionId": "v"}),
                "/b/a/b%20c?versionId=v",
                vec![("range", "bytes=0-1"), ("x-amz-meta-a", "m")],
                "",
                json!({"bucketName": "b", "key": "a/b c", "versionId": "v"}),
            ),
            (
                "ListObjectsV2",
                json!({"Bucket": "b"}),
                "/b?list-type=2&prefix=a%2Fb&max-keys=5",
                vec![],
                "",
                json!({"bucketName": "b", "list-type": "2", "prefix": "a/b", "max-keys": "5"}),
            ),
            (
                "PutObject",
                json!({"Bucket": "b", "Key": "k"}),
                "/b/k",
                vec![
                    ("x-amz-storage-class", "STANDARD"),
                    ("x-amz-grant-read", "id=1"),
                    ("x-amz-checksum-crc32", "AAAAAA=="),
                    ("x-amz-sdk-checksum-algorithm", "CRC32"),
                ],
                "hello",
                json!({"bucketName": "b", "key": "k", "x-amz-storage-class": "STANDARD",
                       "accessControlList": {"x-amz-grant-read": "id=1"}}),
            ),
            (
                "PutBucketVersioning",
                json!({"Bucket": "b"}),
                "/b?versioning",
                vec![],
                "<VersioningConfiguration xmlns='u'><Status>Enabled</Status></VersioningConfiguration>",
                json!({"bucketName": "b", "versioning": "",
                       "VersioningConfiguration": {"xmlns": "u", "Status": "Enabled"}}),
            ),
            (
                "CreateBucket",
                json!({"Bucket": "b--use1-az4--x-s3"}),
                "/b--use1-az4--x-s3",
                vec![],
                "<CreateBucketConfiguration xmlns='u'><Location><Name>use1-az4</Name></Location></CreateBucketConfiguration>",
                json!({"bucketName": "b--use1-az4--x-s3",
                       "CreateBucketConfiguration": {"location": {"name": "use1-az4"}}}),
            ),
            (
                "PutBucketPolicy",
                json!({"Bucket": "b", "Policy": r#"{"Version":"2012-10-17"}"#}),
                "/b?policy",
                vec![],
                r#"{"Version":"2012-10-17"}"#,
                json!({"bucketName": "b", "policy": "", "bucketPolicy": {"Version": "2012-10-17"}}),
            ),
        ] {
            assert_eq!(
                written(operation, params, uri, &headers, body),
                expected,
                "{operation}"
            );
        }
    }

    #[test]
    fn query_parameters_are_lists_before_1_05() {
        let principal = super::super::Principal::root("111122223333", "aws");
        for (version, expected) in [
            (
                "1.04",
                json!({"acl": [""], "tag": ["a", "b"], "x-amz-acl": "private"}),
            ),
            (
                "1.05",
                json!({"acl": "", "tag": "b", "x-amz-acl": "private"}),
            ),
        ] {
            let mut call = TestCall::new("s3", "PutBucketAcl", json!({"Bucket": "b"}));
            call.parts = parts("/b?acl&tag=a&tag=b", &[("x-amz-acl", "private")]);
            let event = call.record_as(&principal, version);
            let mut written = event.request_parameters;
            for name in ["bucketName", "Host"] {
                written.as_object_mut().unwrap().shift_remove(name);
            }
            assert_eq!(written, expected, "{version}");
        }
    }

    #[test]
    fn signatures_tokens_and_keys_are_not_written() {
        let uri = "/b/k?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AKIA%2Fx&X-Amz-Signature=s3cr3t\
                   &X-Amz-Security-Token=s3cr3t&Signature=s3cr3t\
                   &x-amz-server-side-encryption-customer-key=s3cr3t";
        let headers = [
            ("authorization", "AWS s3cr3t"),
            ("x-amz-security-token", "s3cr3t"),
            ("x-amz-server-side-encryption-customer-key", "s3cr3t"),
            ("x-amz-server-side-encryption-customer-key-md5", "s3cr3t"),
            (
                "x-amz-copy-source-server-side-encryption-customer-key",
                "s3cr3t",
            ),
            ("x-amz-server-side-encryption-context", "s3cr3t"),
        ];
        let params = json!({"Bucket": "b", "Key": "k", "SSECustomerKey": "s3cr3t"});
        let written = written("PutObject", params, uri, &headers, "");
        assert!(!written.to_string().contains("s3cr3t"), "{written}");
        assert_eq!(written["X-Amz-Signature"], HIDDEN);
        assert_eq!(written["X-Amz-Algorithm"], "AWS4-HMAC-SHA256");
        assert_eq!(written["x-amz-server-side-encryption-customer-key"], HIDDEN);
    }

    #[test]
    fn of_what_is_copied_the_version_is_written_and_no_signature() {
        for (sent, expected) in [
            ("/from/k%3F", "/from/k%3F"),
            ("/from/k?versionId=v.1", "/from/k?versionId=v.1"),
            (
                "/from/k?X-Amz-Security-Token=T&versionId=v&X-Amz-Signature=0f",
                "/from/k?versionId=v",
            ),
            ("/from/k?X-Amz-Signature=0f", "/from/k"),
        ] {
            let params = json!({"Bucket": "b", "Key": "k", "CopySource": sent});
            let headers = [("x-amz-copy-source", sent)];
            let written = written("CopyObject", params, "/b/k", &headers, "");
            assert_eq!(written["x-amz-copy-source"], expected);
        }
    }

    #[test]
    fn how_the_call_was_made_stands_beside_it() {
        let mut call = TestCall::new("s3", "PutObject", json!({"Bucket": "b", "Key": "k"}));
        call.answer.insert("x-amz-id-2", "i2".parse().unwrap());
        call.answer
            .insert("x-amz-server-side-encryption", "AES256".parse().unwrap());
        let event = call.record();
        assert_eq!(
            event.additional_event_data,
            Some(
                json!({"SignatureVersion": "SigV4", "bytesTransferredIn": 12,
                "AuthenticationMethod": "AuthHeader", "x-amz-id-2": "i2", "bytesTransferredOut": 34})
            )
        );
        assert_eq!(
            event.response_elements,
            json!({"x-amz-server-side-encryption": "AES256"})
        );
        assert_eq!(event.user_agent.as_deref(), Some("[test/1.0]"));
    }
}
