//! What localtrail itself calls, as CloudTrail's records show it: the files it writes, the topics it tells, the keys it
//! uses, the bucket it checks.
//!
//! The caller is the service `cloudtrail.amazonaws.com`, the account that of the resource's owner (facts 4.3, 5.3).
//! All ids of such a record follow from a seed, so that a step that runs twice makes the same record twice.

use chrono::{DateTime, Utc};
use http::header::HOST;
use http::{HeaderMap, HeaderName, HeaderValue, Request};
use serde_json::json;
use sha2::{Digest, Sha256};
use uuid::Builder;

use super::build::build;
use super::{Event, Exchange, Outcome, Principal, PrincipalKind};
use crate::aws::Params;
use crate::aws::arn::{Arn, partition};
use crate::aws::models;
use crate::aws::route::Call;
use crate::aws::sigv4::{Form, Signature};

/// Who calls.
const CALLER: &str = "cloudtrail.amazonaws.com";
/// The alphabet of S3's request ids.
const HEX: &[u8; 16] = b"0123456789ABCDEF";

/// A call that localtrail has made, and that has succeeded.
#[derive(Clone, Debug)]
pub struct OwnCall {
    /// botocore's name.
    service: &'static str,
    operation: &'static str,
    /// The resource's owner and region.
    account: String,
    region: String,
    params: Params,
    /// Of S3 calls: path and query, headers sent, headers of the answer, bytes sent.
    uri: String,
    headers: HeaderMap,
    answer_headers: HeaderMap,
    bytes_in: u64,
    answer: Option<Params>,
}

/// An object that was written.
#[derive(Clone, Copy, Debug)]
pub struct WrittenObject<'a> {
    /// The bucket's owner and region.
    pub account: &'a str,
    pub region: &'a str,
    pub bucket: &'a str,
    pub key: &'a str,
    pub kms_key_id: Option<&'a str>,
    pub bytes: u64,
}

impl OwnCall {
    fn new(service: &'static str, operation: &'static str, account: &str, region: &str) -> Self {
        Self {
            service,
            operation,
            account: account.to_owned(),
            region: region.to_owned(),
            params: Params::new(),
            uri: "/".to_owned(),
            headers: HeaderMap::new(),
            answer_headers: HeaderMap::new(),
            bytes_in: 0,
            answer: None,
        }
    }

    fn s3(operation: &'static str, account: &str, region: &str, bucket: &str) -> Self {
        let mut call = Self::new("s3", operation, account, region);
        call.params.insert("Bucket".to_owned(), bucket.into());
        let host = format!("{bucket}.s3.{region}.amazonaws.com");
        put(&mut call.headers, HOST, &host);
        call
    }

    /// PutObject of a log file.
    pub fn put_object(object: WrittenObject<'_>) -> Self {
        let WrittenObject {
            account,
            region,
            bucket,
            key,
            kms_key_id,
            bytes,
        } = object;
        let mut call = Self::s3("PutObject", account, region, bucket);
        call.params.insert("Key".to_owned(), key.into());
        call.bytes_in = bytes;
        let name = HeaderName::from_static;
        put(
            &mut call.headers,
            name("x-amz-acl"),
            "bucket-owner-full-control",
        );
        let encryption = name("x-amz-server-side-encryption");
        let encryption_key = name("x-amz-server-side-encryption-aws-kms-key-id");
        match kms_key_id {
            Some(key) => {
                for headers in [&mut call.headers, &mut call.answer_headers] {
                    put(headers, encryption.clone(), "aws:kms");
                    put(headers, encryption_key.clone(), key);
                }
            }
            // S3 encrypts with its own keys unless told otherwise.
            None => put(&mut call.answer_headers, encryption, "AES256"),
        }
        call
    }

    /// GetBucketAcl, which CreateTrail and UpdateTrail ask (facts 5.6).
    pub fn get_bucket_acl(account: &str, region: &str, bucket: &str) -> Self {
        let mut call = Self::s3("GetBucketAcl", account, region, bucket);
        "/?acl".clone_into(&mut call.uri);
        call
    }

    /// Publish to a topic; `None` if that is no topic's ARN.
    pub fn publish(topic_arn: &str, message: &str, message_id: Option<&str>) -> Option<Self> {
        let arn = Arn::parse(topic_arn)?;
        let mut call = Self::new("sns", "Publish", arn.account, arn.region);
        call.params.insert("TopicArn".to_owned(), topic_arn.into());
        call.params.insert("Message".to_owned(), message.into());
        call.answer = message_id.map(|id| Params::from_iter([("MessageId".to_owned(), id.into())]));
        Some(call)
    }

    /// GenerateDataKey, which S3 asks of KMS to encrypt a file with the trail's key; `None` if that is no key's ARN.
    pub fn generate_data_key(
        key_arn: &str,
        trail_arn: &str,
        bucket: &str,
        key: &str,
    ) -> Option<Self> {
        let arn = Arn::parse(key_arn)?;
        let object = format!("arn:{}:s3:::{bucket}/{key}", partition(arn.region));
        let mut call = Self::new("kms", "GenerateDataKey", arn.account, arn.region);
        call.params.insert("KeyId".to_owned(), key_arn.into());
        call.params.insert(
            "EncryptionContext".to_owned(),
            json!({"aws:cloudtrail:arn": trail_arn, "aws:s3:arn": object}),
        );
        call.params.insert("KeySpec".to_owned(), "AES_256".into());
        Some(call)
    }

    /// The record of the call. The same `seed` gives the same ids; it must name this call and no other.
    pub fn event(self, seed: &str, time: DateTime<Utc>, event_version: &str) -> Option<Event> {
        let service = models().service(self.service)?;
        let call = Call {
            service,
            operation: service.operation(self.operation)?,
            protocol: service.protocol(),
        };
        let (mut parts, ()) = Request::builder().uri(self.uri).body(()).ok()?.into_parts();
        parts.headers = self.headers;
        let signature = Signature {
            access_key: String::new(),
            region: self.region.clone(),
            service: service.signing_name.to_string(),
            form: Form::Header,
            has_token: false,
        };
        let cloudtrail = Principal {
            kind: PrincipalKind::AWSService,
            account: self.account.clone(),
            principal_id: String::new(),
            arn: None,
            user_name: None,
            session: None,
            invoked_by: Some(CALLER.to_owned()),
            identity_provider: None,
        };
        let seed = format!("{} {} {seed}", self.service, self.operation);
        let exchange = Exchange {
            call,
            parts: &parts,
            signature: Some(&signature),
            params: Some(self.params),
            body: None,
            outcome: Outcome::Success(self.answer),
            response_headers: &self.answer_headers,
            bytes_in: self.bytes_in,
            bytes_out: 0,
            time,
            // A service is named in its place.
            source_ip: std::net::Ipv4Addr::UNSPECIFIED.into(),
            request_id: request_id(self.service, &seed),
            event_id: id("event", &seed),
            region: &self.region,
            account: &self.account,
            tls: None,
        };
        let mut event = build(exchange, &cloudtrail, event_version);
        // Calls of a service are shared ones even where one account alone hears of them (facts 5.1).
        event.shared_event_id = Some(id("shared", &seed));
        Some(event)
    }
}

fn put(headers: &mut HeaderMap, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(name, value);
    }
}

fn digest(what: &str, seed: &str) -> [u8; 16] {
    let mut half = [0; 16];
    let whole = Sha256::digest(format!("{what} {seed}"));
    half.copy_from_slice(&whole[..16]);
    half
}

fn id(what: &str, seed: &str) -> String {
    let uuid = Builder::from_random_bytes(digest(what, seed)).into_uuid();
    uuid.to_string()
}

/// S3's have 16 upper-case hexadecimal digits, others are UUIDs.
fn request_id(service: &str, seed: &str) -> String {
    if service != "s3" {
        return id("request", seed);
    }
    let digit = |byte: u8| char::from(HEX[usize::from(byte % 16)]);
    digest("request", seed).into_iter().map(digit).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    fn written(call: OwnCall) -> Value {
        let time = DateTime::from_timestamp(1_800_000_000, 0).unwrap();
        serde_json::to_value(call.event("seed", time, "1.11").unwrap()).unwrap()
    }

    fn put_object(kms_key_id: Option<&str>) -> OwnCall {
        OwnCall::put_object(WrittenObject {
            account: "444455556666",
            region: "eu-west-1",
            bucket: "logs",
            key: "AWSLogs/a.json.gz",
            kms_key_id,
            bytes: 1_234,
        })
    }

    #[test]
    fn a_file_is_written_by_the_service_into_the_owners_account() {
        let event = written(put_object(None));
        let expected = json!({
            "eventVersion": "1.11",
            "userIdentity": {"type": "AWSService", "invokedBy": "cloudtrail.amazonaws.com"},
            "eventTime": "2027-01-15T08:00:00Z", "eventSource": "s3.amazonaws.com", "eventName": "PutObject",
            "awsRegion": "eu-west-1",
            "sourceIPAddress": "cloudtrail.amazonaws.com", "userAgent": "cloudtrail.amazonaws.com",
            "requestParameters": {"bucketName": "logs", "Host": "logs.s3.eu-west-1.amazonaws.com",
                "key": "AWSLogs/a.json.gz", "x-amz-acl": "bucket-owner-full-control"},
            "responseElements": {"x-amz-server-side-encryption": "AES256"},
            "additionalEventData": {"SignatureVersion": "SigV4", "bytesTransferredIn": 1234,
                "AuthenticationMethod": "AuthHeader", "bytesTransferredOut": 0},
            "requestID": event["requestID"], "eventID": event["eventID"], "readOnly": false,
            "resources": [{"type": "AWS::S3::Object", "ARN": "arn:aws:s3:::logs/AWSLogs/a.json.gz"},
                {"accountId": "444455556666", "type": "AWS::S3::Bucket", "ARN": "arn:aws:s3:::logs"}],
            "eventType": "AwsApiCall", "managementEvent": false, "recipientAccountId": "444455556666",
            "sharedEventID": event["sharedEventID"], "eventCategory": "Data",
        });
        assert_eq!(event, expected);
        assert_eq!(
            event,
            written(put_object(None)),
            "the same seed, the same ids"
        );
        assert_ne!(event["eventID"], event["sharedEventID"]);
    }

    #[test]
    fn a_bucket_is_checked_a_topic_told_and_a_key_used() {
        let key = "arn:aws:kms:eu-west-1:444455556666:key/k";
        let topic = "arn:aws:sns:us-east-1:111122223333:notes";
        let trail = "arn:aws:cloudtrail:us-east-1:111122223333:trail/main";
        for (call, account, read_only, category, parameters, elements) in [
            (
                OwnCall::get_bucket_acl("111122223333", "us-east-1", "logs"),
                "111122223333",
                true,
                "Management",
                json!({"bucketName": "logs", "Host": "logs.s3.us-east-1.amazonaws.com", "acl": ""}),
                Value::Null,
            ),
            (
                OwnCall::publish(topic, "secret", Some("m-1")).unwrap(),
                "111122223333",
                false,
                "Data",
                json!({"topicArn": topic, "message": "HIDDEN_DUE_TO_SECURITY_REASONS"}),
                json!({"messageId": "m-1"}),
            ),
            (
                OwnCall::generate_data_key(key, trail, "logs", "a.json.gz").unwrap(),
                "444455556666",
                true,
                "Management",
                json!({"keyId": key, "keySpec": "AES_256", "encryptionContext": {
                    "aws:cloudtrail:arn": trail, "aws:s3:arn": "arn:aws:s3:::logs/a.json.gz"}}),
                Value::Null,
            ),
            (
                put_object(Some(key)),
                "444455556666",
                false,
                "Data",
                json!({"bucketName": "logs", "Host": "logs.s3.eu-west-1.amazonaws.com", "key": "AWSLogs/a.json.gz",
                    "x-amz-acl": "bucket-owner-full-control", "x-amz-server-side-encryption": "aws:kms",
                    "x-amz-server-side-encryption-aws-kms-key-id": key}),
                json!({"x-amz-server-side-encryption": "aws:kms",
                    "x-amz-server-side-encryption-aws-kms-key-id": key}),
            ),
        ] {
            let event = written(call);
            assert_eq!(event["requestParameters"], parameters);
            assert_eq!(event["responseElements"], elements);
            assert_eq!(event["recipientAccountId"], account);
            assert_eq!(event["readOnly"], read_only);
            assert_eq!(event["eventCategory"], category);
            assert_eq!(event["userAgent"], CALLER);
        }
        assert!(OwnCall::publish("notes", "", None).is_none());
    }
}
