//! Buckets and the documents attached to them.

use http::StatusCode;
use s3s::{S3Error, S3Result, dto, s3_error};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::acl::{Acl, Requested, owner, requested_grants};
use super::attributes::DEFAULT_ENCRYPTION;
use super::errors::{custom, internal, not_kept};
use super::{BucketPlace, Cx, Shelf, timestamp};
use crate::store::{Bucket, BucketDeleted};

/// The region whose buckets have no location, and where a bucket may be created twice.
const CLASSIC_REGION: &str = "us-east-1";

/// As a bucket has it that was created since April 2023.
const ALL_BLOCKED: dto::PublicAccessBlockConfiguration = dto::PublicAccessBlockConfiguration {
    block_public_acls: Some(true),
    block_public_policy: Some(true),
    ignore_public_acls: Some(true),
    restrict_public_buckets: Some(true),
};

/// Names of the documents, which the store keeps apart by them.
mod setting {
    pub(super) const ACL: &str = "acl";
    pub(super) const CORS: &str = "cors";
    pub(super) const ENCRYPTION: &str = "encryption";
    pub(super) const LIFECYCLE: &str = "lifecycle";
    pub(super) const OWNERSHIP: &str = "ownershipControls";
    pub(super) const POLICY: &str = "policy";
    pub(super) const PUBLIC_ACCESS: &str = "publicAccessBlock";
    pub(super) const TAGGING: &str = "tagging";
}

/// <https://docs.aws.amazon.com/AmazonS3/latest/API/API_CreateBucket.html>
pub(super) async fn create_bucket(
    shelf: &Shelf,
    cx: &Cx,
    input: dto::CreateBucketInput,
) -> S3Result<dto::CreateBucketOutput> {
    if !s3s::path::check_bucket_name(&input.bucket) {
        return Err(s3_error!(InvalidBucketName));
    }
    let constraint = input
        .create_bucket_configuration
        .as_ref()
        .and_then(|configuration| configuration.location_constraint.as_ref())
        .map(dto::BucketLocationConstraint::as_str);
    let mut grants = requested_grants!(input);
    grants.push(("WRITE", input.grant_write.as_deref()));
    let acl = Acl::requested(&Requested {
        canned: input.acl.as_ref().map(dto::BucketCannedACL::as_str),
        policy: None,
        grants,
    })?
    .unwrap_or_else(Acl::private);
    let ownership = input
        .object_ownership
        .as_ref()
        .map_or(dto::ObjectOwnership::BUCKET_OWNER_ENFORCED, |ownership| {
            ownership.as_str()
        });
    let bucket = Bucket {
        name: input.bucket,
        account: cx.caller.account.clone(),
        region: location(&cx.caller.region, constraint)?,
        created_ms: shelf.clock.now_ms(),
        encryption: None,
    };
    let settings = [
        (setting::ACL, to_json(&acl)?),
        (setting::OWNERSHIP, ownership.to_owned()),
        (setting::PUBLIC_ACCESS, to_json(&ALL_BLOCKED)?),
    ];
    let settings = settings
        .each_ref()
        .map(|(name, value)| (*name, value.as_str()));
    let is_new = shelf.store.bucket_insert(&bucket, &settings).await;
    if !is_new.map_err(internal)? {
        let there = shelf.bucket(&bucket.name).await?;
        if there.account != bucket.account {
            return Err(s3_error!(BucketAlreadyExists));
        }
        if there.region != CLASSIC_REGION || bucket.region != CLASSIC_REGION {
            return Err(s3_error!(BucketAlreadyOwnedByYou));
        }
    }
    let place = BucketPlace {
        account: bucket.account.clone(),
        region: bucket.region.clone(),
    };
    shelf.places_mut().insert(bucket.name.clone(), place);
    Ok(dto::CreateBucketOutput {
        location: Some(format!("/{}", bucket.name)),
    })
}

/// The region of a new bucket.
fn location(endpoint: &str, constraint: Option<&str>) -> S3Result<String> {
    match constraint {
        // A bucket anywhere may be asked for in the classic region, but by no name of its own.
        Some(CLASSIC_REGION) => Err(s3_error!(InvalidLocationConstraint)),
        Some("EU") if endpoint == CLASSIC_REGION => Ok("eu-west-1".to_owned()),
        Some(region) if endpoint == CLASSIC_REGION || region == endpoint => Ok(region.to_owned()),
        None if endpoint == CLASSIC_REGION => Ok(endpoint.to_owned()),
        given => Err(s3_error!(
            IllegalLocationConstraintException,
            "The {} location constraint is incompatible for the region specific endpoint this request was sent to.",
            given.unwrap_or("unspecified")
        )),
    }
}

/// <https://docs.aws.amazon.com/AmazonS3/latest/API/API_DeleteBucket.html>
pub(super) async fn delete_bucket(
    shelf: &Shelf,
    cx: &Cx,
    input: dto::DeleteBucketInput,
) -> S3Result<dto::DeleteBucketOutput> {
    let bucket = cx.bucket(shelf, &input.bucket).await?;
    match shelf.store.bucket_delete(&bucket.name).await {
        Ok(BucketDeleted::Done(blobs)) => {
            shelf.places_mut().remove(&bucket.name);
            shelf.blobs.remove(blobs).await;
            Ok(dto::DeleteBucketOutput::default())
        }
        Ok(BucketDeleted::NoBucket) => Err(s3_error!(NoSuchBucket)),
        Ok(BucketDeleted::NotEmpty) => Err(s3_error!(BucketNotEmpty)),
        Err(e) => Err(internal(e)),
    }
}

/// <https://docs.aws.amazon.com/AmazonS3/latest/API/API_HeadBucket.html>
pub(super) async fn head_bucket(
    shelf: &Shelf,
    cx: &Cx,
    input: dto::HeadBucketInput,
) -> S3Result<dto::HeadBucketOutput> {
    let bucket = cx.bucket(shelf, &input.bucket).await?;
    Ok(dto::HeadBucketOutput {
        bucket_region: Some(bucket.region),
        ..Default::default()
    })
}

/// <https://docs.aws.amazon.com/AmazonS3/latest/API/API_ListBuckets.html>
pub(super) async fn list_buckets(
    shelf: &Shelf,
    cx: &Cx,
    input: dto::ListBucketsInput,
) -> S3Result<dto::ListBucketsOutput> {
    let account = &cx.caller.account;
    let wanted = |bucket: &Bucket| {
        input
            .prefix
            .as_ref()
            .is_none_or(|prefix| bucket.name.starts_with(prefix))
            && input
                .bucket_region
                .as_ref()
                .is_none_or(|region| bucket.region == *region)
    };
    // An account has thousands of buckets at most, so that filtering here costs nothing that matters.
    let after = input.continuation_token.as_deref().unwrap_or_default();
    let page = shelf.store.bucket_page(account, after, i64::MAX).await;
    let mut found: Vec<Bucket> = page.map_err(internal)?.into_iter().filter(wanted).collect();
    let limit = input.max_buckets.and_then(|max| usize::try_from(max).ok());
    let limit = limit.unwrap_or(usize::MAX);
    let continuation_token = (found.len() > limit)
        .then(|| found.drain(limit..).next())
        .and_then(|_| found.last())
        .map(|bucket| bucket.name.clone());
    let buckets = found.into_iter().map(|bucket| dto::Bucket {
        bucket_region: Some(bucket.region),
        creation_date: Some(timestamp(bucket.created_ms)),
        name: Some(bucket.name),
    });
    Ok(dto::ListBucketsOutput {
        buckets: Some(buckets.collect()),
        continuation_token,
        owner: Some(owner(account)),
        prefix: input.prefix,
    })
}

/// <https://docs.aws.amazon.com/AmazonS3/latest/API/API_GetBucketLocation.html>
pub(super) async fn get_bucket_location(
    shelf: &Shelf,
    cx: &Cx,
    input: dto::GetBucketLocationInput,
) -> S3Result<dto::GetBucketLocationOutput> {
    let bucket = cx.bucket(shelf, &input.bucket).await?;
    let location = (bucket.region != CLASSIC_REGION).then_some(bucket.region);
    Ok(dto::GetBucketLocationOutput {
        location_constraint: location.map(dto::BucketLocationConstraint::from),
    })
}

/// <https://docs.aws.amazon.com/AmazonS3/latest/API/API_GetBucketPolicy.html>
pub(super) async fn get_bucket_policy(
    shelf: &Shelf,
    cx: &Cx,
    input: dto::GetBucketPolicyInput,
) -> S3Result<dto::GetBucketPolicyOutput> {
    let bucket = cx.bucket(shelf, &input.bucket).await?;
    let policy = shelf.setting(&bucket, setting::POLICY).await?;
    let policy = policy.ok_or_else(|| s3_error!(NoSuchBucketPolicy))?;
    Ok(dto::GetBucketPolicyOutput {
        policy: Some(policy),
    })
}

/// <https://docs.aws.amazon.com/AmazonS3/latest/API/API_PutBucketPolicy.html>
pub(super) async fn put_bucket_policy(
    shelf: &Shelf,
    cx: &Cx,
    input: dto::PutBucketPolicyInput,
) -> S3Result<dto::PutBucketPolicyOutput> {
    let bucket = cx.bucket(shelf, &input.bucket).await?;
    check_policy(&input.policy)?;
    let done = shelf
        .store
        .bucket_setting_put(&bucket.name, setting::POLICY, &input.policy);
    done.await.map_err(not_kept)?;
    Ok(dto::PutBucketPolicyOutput::default())
}

/// Whether a policy has the form of one; what it says is not looked into.
fn check_policy(policy: &str) -> S3Result<()> {
    let malformed = |message: &'static str| Err(s3_error!(MalformedPolicy, "{message}"));
    let Ok(serde_json::Value::Object(policy)) = serde_json::from_str(policy) else {
        return malformed("Policies must be valid JSON and the first byte must be '{'");
    };
    let statements = match policy.get("Statement") {
        Some(serde_json::Value::Array(statements)) => statements.as_slice(),
        Some(statement) => std::slice::from_ref(statement),
        None => &[],
    };
    if statements.is_empty() {
        return malformed("Missing required field Statement");
    }
    for statement in statements {
        let has = |names: &[&str]| names.iter().any(|name| statement.get(name).is_some());
        let effect = statement.get("Effect").and_then(|effect| effect.as_str());
        if !matches!(effect, Some("Allow" | "Deny")) {
            return malformed("Invalid effect");
        }
        if !has(&["Principal", "NotPrincipal"]) {
            return malformed("Missing required field Principal");
        }
        if !has(&["Action", "NotAction"]) {
            return malformed("Missing required field Action");
        }
        if !has(&["Resource", "NotResource"]) {
            return malformed("Missing required field Resource");
        }
    }
    Ok(())
}

/// <https://docs.aws.amazon.com/AmazonS3/latest/API/API_DeleteBucketPolicy.html>
pub(super) async fn delete_bucket_policy(
    shelf: &Shelf,
    cx: &Cx,
    input: dto::DeleteBucketPolicyInput,
) -> S3Result<dto::DeleteBucketPolicyOutput> {
    shelf.unset(cx, &input.bucket, setting::POLICY).await?;
    Ok(dto::DeleteBucketPolicyOutput::default())
}

/// <https://docs.aws.amazon.com/AmazonS3/latest/API/API_GetBucketAcl.html>
pub(super) async fn get_bucket_acl(
    shelf: &Shelf,
    cx: &Cx,
    input: dto::GetBucketAclInput,
) -> S3Result<dto::GetBucketAclOutput> {
    let bucket = cx.bucket(shelf, &input.bucket).await?;
    let acl: Option<Acl> = shelf.document(&bucket, setting::ACL).await?;
    Ok(dto::GetBucketAclOutput {
        grants: Some(acl.unwrap_or_else(Acl::private).grants(&bucket.account)),
        owner: Some(owner(&bucket.account)),
    })
}

/// <https://docs.aws.amazon.com/AmazonS3/latest/API/API_PutBucketAcl.html>
pub(super) async fn put_bucket_acl(
    shelf: &Shelf,
    cx: &Cx,
    input: dto::PutBucketAclInput,
) -> S3Result<dto::PutBucketAclOutput> {
    let mut grants = requested_grants!(input);
    grants.push(("WRITE", input.grant_write.as_deref()));
    let requested = Requested {
        canned: input.acl.as_ref().map(dto::BucketCannedACL::as_str),
        policy: input.access_control_policy.as_ref(),
        grants,
    };
    let acl = Acl::requested(&requested)?.ok_or_else(missing_acl)?;
    shelf.set(cx, &input.bucket, setting::ACL, &acl).await?;
    Ok(dto::PutBucketAclOutput::default())
}

pub(super) fn missing_acl() -> S3Error {
    s3_error!(
        MissingSecurityHeader,
        "Your request was missing a required header"
    )
}

/// <https://docs.aws.amazon.com/AmazonS3/latest/API/API_GetBucketTagging.html>
pub(super) async fn get_bucket_tagging(
    shelf: &Shelf,
    cx: &Cx,
    input: dto::GetBucketTaggingInput,
) -> S3Result<dto::GetBucketTaggingOutput> {
    let bucket = cx.bucket(shelf, &input.bucket).await?;
    let tagging: Option<dto::Tagging> = shelf.document(&bucket, setting::TAGGING).await?;
    let tagging = tagging.ok_or_else(|| s3_error!(NoSuchTagSet))?;
    Ok(dto::GetBucketTaggingOutput {
        tag_set: tagging.tag_set,
    })
}

/// <https://docs.aws.amazon.com/AmazonS3/latest/API/API_PutBucketTagging.html>
pub(super) async fn put_bucket_tagging(
    shelf: &Shelf,
    cx: &Cx,
    input: dto::PutBucketTaggingInput,
) -> S3Result<dto::PutBucketTaggingOutput> {
    let tagging = &input.tagging;
    shelf
        .set(cx, &input.bucket, setting::TAGGING, tagging)
        .await?;
    Ok(dto::PutBucketTaggingOutput::default())
}

/// <https://docs.aws.amazon.com/AmazonS3/latest/API/API_DeleteBucketTagging.html>
pub(super) async fn delete_bucket_tagging(
    shelf: &Shelf,
    cx: &Cx,
    input: dto::DeleteBucketTaggingInput,
) -> S3Result<dto::DeleteBucketTaggingOutput> {
    shelf.unset(cx, &input.bucket, setting::TAGGING).await?;
    Ok(dto::DeleteBucketTaggingOutput::default())
}

/// <https://docs.aws.amazon.com/AmazonS3/latest/API/API_GetBucketEncryption.html>
pub(super) async fn get_bucket_encryption(
    shelf: &Shelf,
    cx: &Cx,
    input: dto::GetBucketEncryptionInput,
) -> S3Result<dto::GetBucketEncryptionOutput> {
    let bucket = cx.bucket(shelf, &input.bucket).await?;
    let encryption = shelf.document(&bucket, setting::ENCRYPTION).await?;
    // Every bucket encrypts since January 2023.
    let encryption = encryption.unwrap_or_else(|| dto::ServerSideEncryptionConfiguration {
        rules: vec![dto::ServerSideEncryptionRule {
            apply_server_side_encryption_by_default: Some(dto::ServerSideEncryptionByDefault {
                kms_master_key_id: None,
                sse_algorithm: dto::ServerSideEncryption::from_static(DEFAULT_ENCRYPTION),
            }),
            bucket_key_enabled: Some(false),
        }],
    });
    Ok(dto::GetBucketEncryptionOutput {
        server_side_encryption_configuration: Some(encryption),
    })
}

/// <https://docs.aws.amazon.com/AmazonS3/latest/API/API_PutBucketEncryption.html>
pub(super) async fn put_bucket_encryption(
    shelf: &Shelf,
    cx: &Cx,
    input: dto::PutBucketEncryptionInput,
) -> S3Result<dto::PutBucketEncryptionOutput> {
    let encryption = &input.server_side_encryption_configuration;
    shelf
        .set(cx, &input.bucket, setting::ENCRYPTION, encryption)
        .await?;
    Ok(dto::PutBucketEncryptionOutput::default())
}

/// <https://docs.aws.amazon.com/AmazonS3/latest/API/API_DeleteBucketEncryption.html>
pub(super) async fn delete_bucket_encryption(
    shelf: &Shelf,
    cx: &Cx,
    input: dto::DeleteBucketEncryptionInput,
) -> S3Result<dto::DeleteBucketEncryptionOutput> {
    shelf.unset(cx, &input.bucket, setting::ENCRYPTION).await?;
    Ok(dto::DeleteBucketEncryptionOutput::default())
}

/// <https://docs.aws.amazon.com/AmazonS3/latest/API/API_GetPublicAccessBlock.html>
pub(super) async fn get_public_access_block(
    shelf: &Shelf,
    cx: &Cx,
    input: dto::GetPublicAccessBlockInput,
) -> S3Result<dto::GetPublicAccessBlockOutput> {
    let bucket = cx.bucket(shelf, &input.bucket).await?;
    let block = shelf.document(&bucket, setting::PUBLIC_ACCESS).await?;
    let missing = || {
        custom(
            "NoSuchPublicAccessBlockConfiguration",
            StatusCode::NOT_FOUND,
        )
    };
    Ok(dto::GetPublicAccessBlockOutput {
        public_access_block_configuration: Some(block.ok_or_else(missing)?),
    })
}

/// <https://docs.aws.amazon.com/AmazonS3/latest/API/API_PutPublicAccessBlock.html>
pub(super) async fn put_public_access_block(
    shelf: &Shelf,
    cx: &Cx,
    input: dto::PutPublicAccessBlockInput,
) -> S3Result<dto::PutPublicAccessBlockOutput> {
    let block = &input.public_access_block_configuration;
    shelf
        .set(cx, &input.bucket, setting::PUBLIC_ACCESS, block)
        .await?;
    Ok(dto::PutPublicAccessBlockOutput::default())
}

/// <https://docs.aws.amazon.com/AmazonS3/latest/API/API_DeletePublicAccessBlock.html>
pub(super) async fn delete_public_access_block(
    shelf: &Shelf,
    cx: &Cx,
    input: dto::DeletePublicAccessBlockInput,
) -> S3Result<dto::DeletePublicAccessBlockOutput> {
    shelf
        .unset(cx, &input.bucket, setting::PUBLIC_ACCESS)
        .await?;
    Ok(dto::DeletePublicAccessBlockOutput::default())
}

/// <https://docs.aws.amazon.com/AmazonS3/latest/API/API_GetBucketOwnershipControls.html>
pub(super) async fn get_bucket_ownership_controls(
    shelf: &Shelf,
    cx: &Cx,
    input: dto::GetBucketOwnershipControlsInput,
) -> S3Result<dto::GetBucketOwnershipControlsOutput> {
    let bucket = cx.bucket(shelf, &input.bucket).await?;
    let ownership = shelf.setting(&bucket, setting::OWNERSHIP).await?;
    let ownership = ownership.ok_or_else(|| s3_error!(OwnershipControlsNotFoundError))?;
    Ok(dto::GetBucketOwnershipControlsOutput {
        ownership_controls: Some(dto::OwnershipControls {
            rules: vec![dto::OwnershipControlsRule {
                object_ownership: dto::ObjectOwnership::from(ownership),
            }],
        }),
    })
}

/// <https://docs.aws.amazon.com/AmazonS3/latest/API/API_PutBucketOwnershipControls.html>
pub(super) async fn put_bucket_ownership_controls(
    shelf: &Shelf,
    cx: &Cx,
    input: dto::PutBucketOwnershipControlsInput,
) -> S3Result<dto::PutBucketOwnershipControlsOutput> {
    let bucket = cx.bucket(shelf, &input.bucket).await?;
    let [rule] = input.ownership_controls.rules.as_slice() else {
        return Err(s3_error!(MalformedXML));
    };
    let ownership = rule.object_ownership.as_str();
    let done = shelf
        .store
        .bucket_setting_put(&bucket.name, setting::OWNERSHIP, ownership);
    done.await.map_err(not_kept)?;
    Ok(dto::PutBucketOwnershipControlsOutput::default())
}

/// <https://docs.aws.amazon.com/AmazonS3/latest/API/API_DeleteBucketOwnershipControls.html>
pub(super) async fn delete_bucket_ownership_controls(
    shelf: &Shelf,
    cx: &Cx,
    input: dto::DeleteBucketOwnershipControlsInput,
) -> S3Result<dto::DeleteBucketOwnershipControlsOutput> {
    shelf.unset(cx, &input.bucket, setting::OWNERSHIP).await?;
    Ok(dto::DeleteBucketOwnershipControlsOutput::default())
}

/// <https://docs.aws.amazon.com/AmazonS3/latest/API/API_GetBucketLifecycleConfiguration.html>
pub(super) async fn get_bucket_lifecycle_configuration(
    shelf: &Shelf,
    cx: &Cx,
    input: dto::GetBucketLifecycleConfigurationInput,
) -> S3Result<dto::GetBucketLifecycleConfigurationOutput> {
    let bucket = cx.bucket(shelf, &input.bucket).await?;
    let lifecycle: Option<dto::BucketLifecycleConfiguration> =
        shelf.document(&bucket, setting::LIFECYCLE).await?;
    let lifecycle = lifecycle.ok_or_else(|| s3_error!(NoSuchLifecycleConfiguration))?;
    Ok(dto::GetBucketLifecycleConfigurationOutput {
        rules: Some(lifecycle.rules),
        ..Default::default()
    })
}

/// Kept only: nothing expires. <https://docs.aws.amazon.com/AmazonS3/latest/API/API_PutBucketLifecycleConfiguration.html>
pub(super) async fn put_bucket_lifecycle_configuration(
    shelf: &Shelf,
    cx: &Cx,
    input: dto::PutBucketLifecycleConfigurationInput,
) -> S3Result<dto::PutBucketLifecycleConfigurationOutput> {
    let lifecycle = input
        .lifecycle_configuration
        .ok_or_else(|| s3_error!(MalformedXML))?;
    shelf
        .set(cx, &input.bucket, setting::LIFECYCLE, &lifecycle)
        .await?;
    Ok(dto::PutBucketLifecycleConfigurationOutput::default())
}

/// <https://docs.aws.amazon.com/AmazonS3/latest/API/API_DeleteBucketLifecycle.html>
pub(super) async fn delete_bucket_lifecycle(
    shelf: &Shelf,
    cx: &Cx,
    input: dto::DeleteBucketLifecycleInput,
) -> S3Result<dto::DeleteBucketLifecycleOutput> {
    shelf.unset(cx, &input.bucket, setting::LIFECYCLE).await?;
    Ok(dto::DeleteBucketLifecycleOutput::default())
}

/// <https://docs.aws.amazon.com/AmazonS3/latest/API/API_GetBucketCors.html>
pub(super) async fn get_bucket_cors(
    shelf: &Shelf,
    cx: &Cx,
    input: dto::GetBucketCorsInput,
) -> S3Result<dto::GetBucketCorsOutput> {
    let bucket = cx.bucket(shelf, &input.bucket).await?;
    let cors: Option<dto::CORSConfiguration> = shelf.document(&bucket, setting::CORS).await?;
    let cors = cors.ok_or_else(|| s3_error!(NoSuchCORSConfiguration))?;
    Ok(dto::GetBucketCorsOutput {
        cors_rules: Some(cors.cors_rules),
    })
}

/// Kept only. <https://docs.aws.amazon.com/AmazonS3/latest/API/API_PutBucketCors.html>
pub(super) async fn put_bucket_cors(
    shelf: &Shelf,
    cx: &Cx,
    input: dto::PutBucketCorsInput,
) -> S3Result<dto::PutBucketCorsOutput> {
    let cors = &input.cors_configuration;
    shelf.set(cx, &input.bucket, setting::CORS, cors).await?;
    Ok(dto::PutBucketCorsOutput::default())
}

/// <https://docs.aws.amazon.com/AmazonS3/latest/API/API_DeleteBucketCors.html>
pub(super) async fn delete_bucket_cors(
    shelf: &Shelf,
    cx: &Cx,
    input: dto::DeleteBucketCorsInput,
) -> S3Result<dto::DeleteBucketCorsOutput> {
    shelf.unset(cx, &input.bucket, setting::CORS).await?;
    Ok(dto::DeleteBucketCorsOutput::default())
}

/// <https://docs.aws.amazon.com/AmazonS3/latest/API/API_GetBucketVersioning.html>
pub(super) async fn get_bucket_versioning(
    shelf: &Shelf,
    cx: &Cx,
    input: dto::GetBucketVersioningInput,
) -> S3Result<dto::GetBucketVersioningOutput> {
    cx.bucket(shelf, &input.bucket).await?;
    Ok(dto::GetBucketVersioningOutput::default())
}

/// Refused: to keep one version and say that all are kept would be worse.
/// <https://docs.aws.amazon.com/AmazonS3/latest/API/API_PutBucketVersioning.html>
pub(super) async fn put_bucket_versioning(
    shelf: &Shelf,
    cx: &Cx,
    input: dto::PutBucketVersioningInput,
) -> S3Result<dto::PutBucketVersioningOutput> {
    cx.bucket(shelf, &input.bucket).await?;
    Err(s3_error!(
        NotImplemented,
        "localtrail's embedded S3 has no versions: PutBucketVersioning is not implemented"
    ))
}

impl Shelf {
    async fn setting(&self, bucket: &Bucket, name: &str) -> S3Result<Option<String>> {
        let value = self.store.bucket_setting_get(&bucket.name, name);
        Ok(value.await.map_err(internal)?.flatten())
    }

    async fn document<T: DeserializeOwned>(
        &self,
        bucket: &Bucket,
        name: &str,
    ) -> S3Result<Option<T>> {
        let value = self.setting(bucket, name).await?;
        value.as_deref().map(from_json).transpose()
    }

    async fn set(&self, cx: &Cx, bucket: &str, name: &str, value: &impl Serialize) -> S3Result<()> {
        let value = to_json(value)?;
        let bucket = cx.bucket(self, bucket).await?;
        let done = self.store.bucket_setting_put(&bucket.name, name, &value);
        done.await.map_err(not_kept)
    }

    async fn unset(&self, cx: &Cx, bucket: &str, name: &str) -> S3Result<()> {
        let bucket = cx.bucket(self, bucket).await?;
        let done = self.store.bucket_setting_delete(&bucket.name, name);
        done.await.map_err(internal)
    }
}

pub(super) fn to_json(value: &impl Serialize) -> S3Result<String> {
    serde_json::to_string(value).map_err(internal)
}

pub(super) fn from_json<T: DeserializeOwned>(text: &str) -> S3Result<T> {
    serde_json::from_str(text).map_err(internal)
}
