//! S3 as localtrail uses it: where log files and digests go.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use http::{Method, StatusCode};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use super::kms::encryption_context;
use super::{Outgoing, Target, TargetError, Targets, nowhere, refused};
use crate::embedded;
use crate::embedded::s3::BucketPlace;
use crate::policy::cloudtrail::Deliverer;

/// What S3 leaves unescaped in a key, besides letters and digits.
const KEY: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'_')
    .remove(b'.')
    .remove(b'~')
    .remove(b'/');

/// A log file, or a digest of log files, on its way.
#[derive(Clone, Debug)]
pub struct LogFileObject<'a> {
    /// Account that the call is signed by.
    pub account: &'a str,
    /// Region that the call is signed for.
    pub region: &'a str,
    pub bucket: &'a str,
    pub key: &'a str,
    /// Key of SSE-KMS; without one S3 decides.
    pub kms_key_id: Option<&'a str>,
    /// User metadata: headers that begin with `x-amz-meta-`.
    pub metadata: &'a [(&'static str, &'a str)],
    pub bytes: Bytes,
    /// Whom the bucket's policy must let in, and to whose trail the use of the key is bound. `None` where its trail is gone: then it cannot be asked.
    pub deliverer: Option<Deliverer<'a>>,
}

impl Targets {
    /// Owner and region of a bucket that is embedded; of others nobody here knows.
    pub fn bucket_place(&self, bucket: &str) -> Option<BucketPlace> {
        match &self.0.s3 {
            Target::Embedded(s3) => s3.bucket_place(bucket),
            Target::Endpoint(_) | Target::Nowhere => None,
        }
    }

    /// Whether `bucket` exists; one that exists but refuses us counts.
    pub async fn bucket_exists(
        &self,
        account: &str,
        region: &str,
        bucket: &str,
    ) -> Result<bool, TargetError> {
        match &self.0.s3 {
            Target::Embedded(s3) => Ok(s3.bucket_exists(bucket)),
            Target::Endpoint(endpoint) => {
                let call = Outgoing {
                    method: Method::HEAD,
                    path: format!("/{bucket}"),
                    ..Outgoing::s3(account, region)
                };
                let answer = self.send(endpoint, call).await?;
                match answer.status {
                    StatusCode::NOT_FOUND => Ok(false),
                    status if status.is_server_error() => Err(answer.error("s3", "HeadBucket")),
                    _ => Ok(true),
                }
            }
            Target::Nowhere => Err(nowhere("S3")),
        }
    }

    /// The policy of `bucket`, if it has one. `NoSuchBucket` if there is no bucket.
    pub(super) async fn bucket_policy(
        &self,
        account: &str,
        region: &str,
        bucket: &str,
    ) -> Result<Option<String>, TargetError> {
        match &self.0.s3 {
            Target::Embedded(s3) => Ok(s3.bucket_policy(bucket).await?),
            Target::Endpoint(endpoint) => {
                let call = Outgoing {
                    path: format!("/{bucket}?policy"),
                    ..Outgoing::s3(account, region)
                };
                let answer = self.send(endpoint, call).await?;
                if answer.status.is_success() {
                    return Ok(Some(String::from_utf8_lossy(&answer.body).into_owned()));
                }
                match answer.error("s3", "GetBucketPolicy") {
                    error if error.code == "NoSuchBucketPolicy" => Ok(None),
                    error => Err(error),
                }
            }
            Target::Nowhere => Err(nowhere("S3")),
        }
    }

    /// The region of `bucket`; `None` where S3 does not say.
    pub async fn bucket_region(
        &self,
        account: &str,
        region: &str,
        bucket: &str,
    ) -> Result<Option<String>, TargetError> {
        match &self.0.s3 {
            Target::Embedded(s3) => Ok(s3.bucket_place(bucket).map(|place| place.region)),
            Target::Endpoint(endpoint) => {
                let call = Outgoing {
                    method: Method::HEAD,
                    path: format!("/{bucket}"),
                    ..Outgoing::s3(account, region)
                };
                let answer = self.send(endpoint, call).await?;
                let region = answer.headers.get("x-amz-bucket-region");
                Ok(region.and_then(|region| Some(region.to_str().ok()?.to_owned())))
            }
            Target::Nowhere => Err(nowhere("S3")),
        }
    }

    /// Whether an object would be let into its bucket, as far as that can be told without its bytes. `AccessDenied`
    /// where the bucket's policy does not let CloudTrail in.
    pub async fn log_file_admitted(&self, object: &LogFileObject<'_>) -> Result<(), TargetError> {
        if let Some(deliverer) = object.deliverer {
            let put = deliverer.put_object(object.bucket, object.key, object.kms_key_id);
            if !self
                .bucket_allows(object.account, object.region, object.bucket, &[put])
                .await?
            {
                return Err(refused("AccessDenied", "bucket"));
            }
        }
        match &self.0.s3 {
            Target::Embedded(s3) if !s3.bucket_exists(object.bucket) => {
                let message = "The specified bucket does not exist";
                Err(TargetError::new("NoSuchBucket", message))
            }
            Target::Embedded(_) => Ok(()),
            Target::Endpoint(endpoint) => self.heard("s3", endpoint),
            Target::Nowhere => Err(nowhere("S3")),
        }
    }

    /// Writes a log file, or a digest of log files, to its bucket, with the headers that CloudTrail sends (facts 4.3).
    /// Its policy is not asked: see [`Self::log_file_admitted`].
    pub async fn put_log_file(&self, object: LogFileObject<'_>) -> Result<(), TargetError> {
        match &self.0.s3 {
            Target::Embedded(s3) => {
                let attributes = embedded::s3::ObjectAttributes {
                    content_type: Some("application/json".to_owned()),
                    content_encoding: Some("gzip".to_owned()),
                    acl: Some("bucket-owner-full-control".to_owned()),
                    server_side_encryption: object.kms_key_id.map(|_| "aws:kms".to_owned()),
                    kms_key_id: object.kms_key_id.map(ToOwned::to_owned),
                    metadata: object
                        .metadata
                        .iter()
                        .map(|(name, value)| {
                            let name = name.strip_prefix("x-amz-meta-").unwrap_or(name);
                            (name.to_owned(), (*value).to_owned())
                        })
                        .collect(),
                };
                Ok(s3
                    .object_put(object.bucket, object.key, object.bytes, attributes)
                    .await?)
            }
            Target::Endpoint(endpoint) => {
                let context = object.deliverer.map(|deliverer| {
                    BASE64.encode(encryption_context(deliverer.trail_arn).to_string())
                });
                let mut call = Outgoing {
                    method: Method::PUT,
                    path: format!(
                        "/{}/{}",
                        object.bucket,
                        utf8_percent_encode(object.key, KEY)
                    ),
                    headers: vec![
                        ("content-type", "application/json"),
                        ("content-encoding", "gzip"),
                        ("x-amz-acl", "bucket-owner-full-control"),
                    ],
                    body: object.bytes,
                    ..Outgoing::s3(object.account, object.region)
                };
                call.headers.extend(object.metadata);
                if let Some(key) = object.kms_key_id {
                    call.headers
                        .push(("x-amz-server-side-encryption", "aws:kms"));
                    call.headers
                        .push(("x-amz-server-side-encryption-aws-kms-key-id", key));
                    let context = context.as_deref();
                    call.headers
                        .extend(context.map(|text| ("x-amz-server-side-encryption-context", text)));
                }
                let answer = self.send(endpoint, call).await?;
                if answer.status.is_success() {
                    Ok(())
                } else {
                    Err(answer.error("s3", "PutObject"))
                }
            }
            Target::Nowhere => Err(nowhere("S3")),
        }
    }
}

impl<'a> Outgoing<'a> {
    fn s3(account: &'a str, region: &'a str) -> Self {
        let (headers, body) = (Vec::new(), Bytes::new());
        Self {
            account,
            region,
            service: "s3",
            method: Method::GET,
            path: "/".to_owned(),
            headers,
            body,
        }
    }
}
