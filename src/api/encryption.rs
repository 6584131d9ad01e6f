//! The key that a trail's files are encrypted with: from what a caller gives to the ARN of a key that will do.
//!
//! Where there is a KMS it is asked: the key must be there, enabled, symmetric, in the bucket's region and ours to use.
//! Where there is none only the form counts, and an alias is refused, for nobody can tell whose it is: CloudTrail shows
//! the ARN of a key, never an alias.

use super::Cx;
use super::error::{Error, Result};
use crate::aws::arn::Arn;
use crate::store::Trail;
use crate::targets::TargetError;

/// The ARN of the key that `trail` is to use, whose files go to `bucket`; `given` is the ARN of a key or of an alias.
pub(super) async fn check(cx: &Cx, given: String, trail: &Trail, bucket: &str) -> Result<String> {
    let arn = Arn::parse(&given).ok_or_else(|| Error::kms_key(&given))?;
    if !cx.targets.has_kms() {
        let is_alias = arn.resource.starts_with("alias/");
        return match is_alias {
            true => Err(Error::no_kms_aliases(&given)),
            false => Ok(given),
        };
    }
    let refused = |error| refusal(error, &given, bucket);
    let found = cx.targets.kms_key(arn).await.map_err(refused)?;
    let arn = Arn::parse(&found.arn).ok_or_else(|| Error::kms_key(&found.arn))?;
    if !found.is_enabled {
        return Err(Error::kms_key_disabled(&found.arn));
    }
    if !found.is_symmetric {
        return Err(Error::kms_key(&found.arn));
    }
    let region = cx.targets.bucket_region(&cx.account, &cx.region, bucket);
    let region = region
        .await
        .map_err(|error| Error::target_unreachable("S3 bucket", error))?;
    if region.is_some_and(|region| region != arn.region) {
        return Err(Error::kms_key_not_found(&found.arn));
    }
    cx.targets
        .kms_data_key(arn, &trail.arn())
        .await
        .map_err(refused)?;
    Ok(found.arn)
}

/// What KMS's error comes to.
fn refusal(error: TargetError, key: &str, bucket: &str) -> Error {
    match error.code.as_str() {
        _ if error.is_transient() => Error::target_unreachable("KMS key", error),
        "NotFoundException" => Error::kms_key_not_found(key),
        "DisabledException" | "KMSInvalidStateException" => Error::kms_key_disabled(key),
        "InvalidArnException" | "InvalidKeyUsageException" | "ValidationException" => {
            Error::kms_key(key)
        }
        _ => Error::encryption_policy(bucket, key),
    }
}
