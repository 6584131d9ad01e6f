//! A digest: what it is called, what it says of the log files of an hour, and what is signed of it (facts 9). Pure.
//!
//! Its bytes follow from what is passed in, so that a digest that is made once can be delivered any number of times.

use chrono::{DateTime, SecondsFormat, Utc};
use serde::Serialize;
use sha2::{Digest as _, Sha256};

use crate::keys::hex;
use crate::store::{DigestedFile, Link};

/// The one algorithm that digests are signed with.
pub const SIGNATURE_ALGORITHM: &str = "SHA256withRSA";
const HASH_ALGORITHM: &str = "SHA-256";

/// What a digest is of.
#[derive(Clone, Copy, Debug)]
pub struct Subject<'a> {
    pub account: &'a str,
    /// Id of the organization, if the trail is one's.
    pub organization: Option<&'a str>,
    pub trail_name: &'a str,
    /// Where the trail was made.
    pub home_region: &'a str,
    /// Region that the digest covers.
    pub region: &'a str,
    pub bucket: &'a str,
    pub prefix: Option<&'a str>,
    /// Whether its log files missed their own digest.
    pub is_backfill: bool,
    pub start_ms: i64,
    pub end_ms: i64,
}

/// A digest, but for its signature.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Draft {
    pub key: String,
    /// Compact JSON.
    pub body: String,
    /// Hex SHA-256 of the body.
    pub sha256: String,
    /// What is signed: four lines, the last without an end.
    pub string_to_sign: String,
}

/// Makes a digest that names `files`, in their order, and the digest before it; a starting digest has none.
pub fn draft(
    subject: Subject<'_>,
    files: &[&DigestedFile],
    previous: Option<&Link>,
    fingerprint: &str,
) -> Result<Draft, serde_json::Error> {
    let key = key(subject);
    let end_time = time(subject.end_ms);
    let body = Body {
        aws_account_id: subject.account,
        digest_start_time: time(subject.start_ms),
        digest_end_time: end_time.clone(),
        digest_s3_bucket: subject.bucket,
        digest_s3_object: &key,
        digest_public_key_fingerprint: fingerprint,
        digest_signature_algorithm: SIGNATURE_ALGORITHM,
        newest_event_time: files.iter().map(|file| file.newest_ms).max().map(time),
        oldest_event_time: files.iter().map(|file| file.oldest_ms).min().map(time),
        previous_digest_s3_bucket: previous.map(|link| link.bucket.as_str()),
        previous_digest_s3_object: previous.map(|link| link.key.as_str()),
        previous_digest_hash_value: previous.map(|link| link.sha256.as_str()),
        previous_digest_hash_algorithm: previous.map(|_| HASH_ALGORITHM),
        previous_digest_signature: previous.map(|link| link.signature.as_str()),
        log_files: files.iter().map(|file| FileEntry::new(file)).collect(),
    };
    let body = serde_json::to_string(&body)?;
    let sha256 = hex(&Sha256::digest(&body));
    let before = previous.map_or("null", |link| link.signature.as_str());
    Ok(Draft {
        string_to_sign: format!("{end_time}\n{}/{key}\n{sha256}\n{before}", subject.bucket),
        key,
        body,
        sha256,
    })
}

/// `2025-05-20T00:00:00.000Z`, as the metadata of a backfill digest says when it was made.
pub fn generation_time(ms: i64) -> String {
    utc(ms).to_rfc3339_opts(SecondsFormat::Millis, true)
}

/// Key of a digest (facts 9.1), dated by its end, to the second.
fn key(subject: Subject<'_>) -> String {
    let Subject {
        account,
        trail_name,
        home_region,
        region,
        ..
    } = subject;
    let folder = |name: Option<&str>| name.map(|name| format!("{name}/")).unwrap_or_default();
    let (prefix, organization) = (folder(subject.prefix), folder(subject.organization));
    let end = utc(subject.end_ms);
    let (day, second) = (end.format("%Y/%m/%d"), end.format("%Y%m%dT%H%M%SZ"));
    let suffix = if subject.is_backfill { "_backfill" } else { "" };
    format!(
        "{prefix}AWSLogs/{organization}{account}/CloudTrail-Digest/{region}/{day}/\
         {account}_CloudTrail-Digest_{region}_{trail_name}_{home_region}_{second}{suffix}.json.gz"
    )
}

fn utc(ms: i64) -> DateTime<Utc> {
    DateTime::from_timestamp_millis(ms).unwrap_or_default()
}

fn time(ms: i64) -> String {
    utc(ms).to_rfc3339_opts(SecondsFormat::Secs, true)
}

/// In the order of AWS's sample. What a starting digest lacks is null, never absent.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Body<'a> {
    aws_account_id: &'a str,
    digest_start_time: String,
    digest_end_time: String,
    #[serde(rename = "digestS3Bucket")]
    digest_s3_bucket: &'a str,
    #[serde(rename = "digestS3Object")]
    digest_s3_object: &'a str,
    digest_public_key_fingerprint: &'a str,
    digest_signature_algorithm: &'a str,
    newest_event_time: Option<String>,
    oldest_event_time: Option<String>,
    #[serde(rename = "previousDigestS3Bucket")]
    previous_digest_s3_bucket: Option<&'a str>,
    #[serde(rename = "previousDigestS3Object")]
    previous_digest_s3_object: Option<&'a str>,
    previous_digest_hash_value: Option<&'a str>,
    previous_digest_hash_algorithm: Option<&'a str>,
    previous_digest_signature: Option<&'a str>,
    log_files: Vec<FileEntry<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct FileEntry<'a> {
    #[serde(rename = "s3Bucket")]
    s3_bucket: &'a str,
    #[serde(rename = "s3Object")]
    s3_object: &'a str,
    hash_value: &'a str,
    hash_algorithm: &'static str,
    newest_event_time: String,
    oldest_event_time: String,
}

impl<'a> FileEntry<'a> {
    fn new(file: &'a DigestedFile) -> Self {
        Self {
            s3_bucket: &file.bucket,
            s3_object: &file.key,
            hash_value: &file.sha256,
            hash_algorithm: HASH_ALGORITHM,
            newest_event_time: time(file.newest_ms),
            oldest_event_time: time(file.oldest_ms),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The hour of AWS's sample: 2015-08-17, 14:01:31 to 15:01:31.
    const SAMPLE: Subject<'static> = Subject {
        account: "111122223333",
        organization: None,
        trail_name: "your-trail-name",
        home_region: "us-east-2",
        region: "us-east-2",
        bucket: "amzn-s3-demo-bucket",
        prefix: None,
        is_backfill: false,
        start_ms: 1_439_820_091_000,
        end_ms: 1_439_823_691_000,
    };
    const KEY: &str = "AWSLogs/111122223333/CloudTrail-Digest/us-east-2/2015/08/17/\
        111122223333_CloudTrail-Digest_us-east-2_your-trail-name_us-east-2_20150817T150131Z.json.gz";
    const FINGERPRINT: &str = "31e8b5433410dfb61a9dc45cc65b22ff";

    fn file(key: &str, oldest_ms: i64, newest_ms: i64) -> DigestedFile {
        DigestedFile {
            id: 1,
            account: "111122223333".to_owned(),
            region: "us-east-2".to_owned(),
            bucket: "amzn-s3-demo-bucket".to_owned(),
            key: key.to_owned(),
            sha256: "9bb6".to_owned(),
            oldest_ms,
            newest_ms,
            delivered_ms: 0,
        }
    }

    #[test]
    fn keys_are_as_aws_writes_them() {
        let cases = [
            (SAMPLE, KEY.to_owned()),
            (
                Subject {
                    prefix: Some("team/a"),
                    ..SAMPLE
                },
                format!("team/a/{KEY}"),
            ),
            (
                Subject {
                    organization: Some("o-exampleorgid"),
                    ..SAMPLE
                },
                KEY.replace("AWSLogs/", "AWSLogs/o-exampleorgid/"),
            ),
            (
                Subject {
                    region: "eu-west-1",
                    ..SAMPLE
                },
                KEY.replace("/us-east-2/", "/eu-west-1/")
                    .replace("Digest_us-east-2", "Digest_eu-west-1"),
            ),
            (
                Subject {
                    is_backfill: true,
                    ..SAMPLE
                },
                KEY.replace("Z.json", "Z_backfill.json"),
            ),
        ];
        for (subject, expected) in cases {
            assert_eq!(key(subject), expected);
        }
    }

    #[test]
    fn a_body_has_the_fields_of_the_sample_in_its_order() {
        let files = [
            file("one", 1_439_822_547_000, 1_439_822_947_000),
            file("two", 1_439_822_647_000, 1_439_823_147_999),
        ];
        let previous = Link {
            account: "111122223333".to_owned(),
            region: "us-east-2".to_owned(),
            run_id: 1,
            bucket: "before".to_owned(),
            key: "digest".to_owned(),
            sha256: "97fb".to_owned(),
            signature: "5088".to_owned(),
            end_ms: SAMPLE.start_ms,
        };
        let files: Vec<_> = files.iter().collect();
        let draft = draft(SAMPLE, &files, Some(&previous), FINGERPRINT).unwrap();
        insta::assert_snapshot!(draft.body, @r#"{"awsAccountId":"111122223333","digestStartTime":"2015-08-17T14:01:31Z","digestEndTime":"2015-08-17T15:01:31Z","digestS3Bucket":"amzn-s3-demo-bucket","digestS3Object":"AWSLogs/111122223333/CloudTrail-Digest/us-east-2/2015/08/17/111122223333_CloudTrail-Digest_us-east-2_your-trail-name_us-east-2_20150817T150131Z.json.gz","digestPublicKeyFingerprint":"31e8b5433410dfb61a9dc45cc65b22ff","digestSignatureAlgorithm":"SHA256withRSA","newestEventTime":"2015-08-17T14:52:27Z","oldestEventTime":"2015-08-17T14:42:27Z","previousDigestS3Bucket":"before","previousDigestS3Object":"digest","previousDigestHashValue":"97fb","previousDigestHashAlgorithm":"SHA-256","previousDigestSignature":"5088","logFiles":[{"s3Bucket":"amzn-s3-demo-bucket","s3Object":"one","hashValue":"9bb6","hashAlgorithm":"SHA-256","newestEventTime":"2015-08-17T14:49:07Z","oldestEventTime":"2015-08-17T14:42:27Z"},{"s3Bucket":"amzn-s3-demo-bucket","s3Object":"two","hashValue":"9bb6","hashAlgorithm":"SHA-256","newestEventTime":"2015-08-17T14:52:27Z","oldestEventTime":"2015-08-17T14:44:07Z"}]}"#);
        assert_eq!(
            draft.string_to_sign,
            format!(
                "2015-08-17T15:01:31Z\namzn-s3-demo-bucket/{KEY}\n{}\n5088",
                draft.sha256
            )
        );
    }

    #[test]
    fn a_starting_digest_of_a_quiet_hour_has_nulls_and_an_empty_list() {
        let draft = draft(SAMPLE, &[], None, FINGERPRINT).unwrap();
        let body: serde_json::Value = serde_json::from_str(&draft.body).unwrap();
        for name in [
            "newestEventTime",
            "oldestEventTime",
            "previousDigestS3Bucket",
            "previousDigestS3Object",
            "previousDigestHashValue",
            "previousDigestHashAlgorithm",
            "previousDigestSignature",
        ] {
            assert_eq!(body.get(name), Some(&serde_json::Value::Null), "{name}");
        }
        assert_eq!(body["logFiles"], serde_json::json!([]));
        assert_eq!(draft.sha256, hex(&Sha256::digest(&draft.body)));
        assert!(draft.string_to_sign.ends_with("\nnull"));
    }

    #[test]
    fn a_generation_time_has_milliseconds() {
        assert_eq!(
            generation_time(1_747_699_200_000),
            "2025-05-20T00:00:00.000Z"
        );
    }
}
