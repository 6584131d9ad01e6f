//! What is kept with an object beside its content.

use std::collections::BTreeMap;

use s3s::{S3Result, dto, s3_error};
use serde::{Deserialize, Serialize};

use super::bucket::from_json;
use super::checksum::{Algorithm, Checksum};
use crate::store::Bucket;

/// How a bucket encrypts that was told nothing.
pub(super) const DEFAULT_ENCRYPTION: &str = dto::ServerSideEncryption::AES256;

/// What S3 computes where a request names no checksum.
pub(super) const DEFAULT_CHECKSUM: Algorithm = Algorithm::Crc64Nvme;

/// What is kept with an object beside its content, as the headers of PutObject give it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ObjectAttributes {
    pub content_type: Option<String>,
    pub content_encoding: Option<String>,
    /// A canned ACL: `bucket-owner-full-control`.
    pub acl: Option<String>,
    /// `AES256` or `aws:kms`; the bucket's default if there is none.
    pub server_side_encryption: Option<String>,
    pub kms_key_id: Option<String>,
    /// User metadata, names without `x-amz-meta-`.
    pub metadata: BTreeMap<String, String>,
}

/// The attributes as they are stored.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Attributes {
    pub(super) cache_control: Option<String>,
    pub(super) content_disposition: Option<String>,
    pub(super) content_encoding: Option<String>,
    pub(super) content_language: Option<String>,
    pub(super) content_type: Option<String>,
    pub(super) expires: Option<dto::Timestamp>,
    pub(super) metadata: BTreeMap<String, String>,
    pub(super) storage_class: Option<String>,
    pub(super) website_redirect_location: Option<String>,
    pub(super) server_side_encryption: Option<String>,
    pub(super) kms_key_id: Option<String>,
    pub(super) bucket_key_enabled: Option<bool>,
    pub(super) sse_customer_algorithm: Option<String>,
    pub(super) sse_customer_key_md5: Option<String>,
    pub(super) checksum: Option<Checksum>,
    /// Sizes of the parts that it was uploaded in.
    pub(super) part_sizes: Vec<u64>,
}

/// The `Attributes` of an input, whose members are named alike in all operations that have them.
macro_rules! attributes {
    ($input:expr, $bucket:expr) => {{
        $crate::embedded::s3::attributes::refuse_object_lock(
            $input.object_lock_mode.is_some()
                || $input.object_lock_legal_hold_status.is_some()
                || $input.object_lock_retain_until_date.is_some(),
        )?;
        $crate::embedded::s3::attributes::Attributes {
            cache_control: $input.cache_control.take(),
            content_disposition: $input.content_disposition.take(),
            content_encoding: $input
                .content_encoding
                .take()
                .and_then($crate::embedded::s3::attributes::without_framing),
            content_language: $input.content_language.take(),
            content_type: $input.content_type.take(),
            expires: $input.expires.take(),
            metadata: $input
                .metadata
                .take()
                .unwrap_or_default()
                .into_iter()
                .collect(),
            storage_class: $input
                .storage_class
                .take()
                .map(|class| class.as_str().to_owned()),
            website_redirect_location: $input.website_redirect_location.take(),
            server_side_encryption: $input
                .server_side_encryption
                .take()
                .map(|sse| sse.as_str().to_owned()),
            kms_key_id: $input.ssekms_key_id.take(),
            bucket_key_enabled: $input.bucket_key_enabled,
            sse_customer_algorithm: $input.sse_customer_algorithm.take(),
            sse_customer_key_md5: $input.sse_customer_key_md5.take(),
            checksum: None,
            part_sizes: Vec::new(),
        }
        .encrypted(&$bucket)?
    }};
}
pub(super) use attributes;

/// The ACL that the input of a write asks for.
macro_rules! object_acl {
    ($input:expr) => {
        Acl::requested(&Requested {
            canned: $input.acl.as_ref().map(dto::ObjectCannedACL::as_str),
            policy: None,
            grants: requested_grants!($input),
        })?
        .unwrap_or_else(Acl::private)
    };
}
pub(super) use object_acl;

pub(super) fn refuse_object_lock(is_asked_for: bool) -> S3Result<()> {
    if is_asked_for {
        return Err(s3_error!(
            InvalidRequest,
            "Bucket is missing Object Lock Configuration"
        ));
    }
    Ok(())
}

/// Content-Encoding without `aws-chunked`, which is of the transfer and not of the object.
pub(super) fn without_framing(encoding: String) -> Option<String> {
    if !encoding.contains("aws-chunked") {
        return Some(encoding);
    }
    let kept: Vec<&str> = encoding
        .split(',')
        .map(str::trim)
        .filter(|one| !one.is_empty() && *one != "aws-chunked")
        .collect();
    (!kept.is_empty()).then(|| kept.join(","))
}

impl Attributes {
    /// With the bucket's default encryption where the request names none.
    pub(super) fn encrypted(mut self, bucket: &Bucket) -> S3Result<Self> {
        if self.server_side_encryption.is_some() || self.sse_customer_algorithm.is_some() {
            return Ok(self);
        }
        let default: Option<dto::ServerSideEncryptionConfiguration> =
            bucket.encryption.as_deref().map(from_json).transpose()?;
        let rule = default.and_then(|default| default.rules.into_iter().next());
        if let Some(rule) = rule
            && let Some(default) = rule.apply_server_side_encryption_by_default
        {
            self.server_side_encryption = Some(default.sse_algorithm.as_str().to_owned());
            self.kms_key_id = default.kms_master_key_id;
            self.bucket_key_enabled = rule.bucket_key_enabled;
        } else {
            self.server_side_encryption = Some(DEFAULT_ENCRYPTION.to_owned());
        }
        Ok(self)
    }

    pub(super) fn sse(&self) -> Option<dto::ServerSideEncryption> {
        let sse = self.server_side_encryption.clone();
        sse.map(dto::ServerSideEncryption::from)
    }
}
