//! Objects.

use bytes::Bytes;
use http::HeaderMap;
use http_body_util::{Full, LengthLimitError, Limited};
use s3s::{S3Error, S3ErrorCode, S3Result, dto, s3_error};

use super::acl::{Acl, Requested, hex, requested_grants};
use super::attributes::{Attributes, DEFAULT_CHECKSUM, ObjectAttributes, attributes, object_acl};
use super::blobs::{Kept, ReceiveError, Received};
use super::bucket::{from_json, to_json};
use super::checksum::{Checksum, Expected, Hasher, checksum_into};
use super::errors::internal;
use super::read::Conditions;
use super::tagging::parse_tags;
use super::{Cx, Shelf, timestamp};
use crate::store::{self, Precondition, StoredObject, Written};

const MAX_KEY_BYTES: usize = 1024;
const MAX_DELETED_AT_ONCE: usize = 1000;

/// A key that S3 would take, and XML can carry.
pub(super) fn check_key(key: &str) -> S3Result<()> {
    if key.len() > MAX_KEY_BYTES {
        return Err(s3_error!(KeyTooLongError));
    }
    if key.is_empty() || key.contains('\0') {
        return Err(s3_error!(InvalidURI));
    }
    Ok(())
}

/// There are no versions but the one named `null`.
pub(super) fn check_version(version: Option<&str>) -> S3Result<()> {
    match version {
        None | Some("null" | "") => Ok(()),
        Some(_) => Err(s3_error!(NoSuchVersion)),
    }
}

pub(super) fn etag(value: &str) -> dto::ETag {
    dto::ETag::Strong(value.to_owned())
}

/// The precondition of a write.
pub(super) fn precondition(
    if_match: Option<&dto::ETagCondition>,
    if_none_match: Option<&dto::ETagCondition>,
) -> S3Result<Precondition> {
    match (if_match, if_none_match) {
        (None, None) => Ok(Precondition::None),
        (None, Some(dto::ETagCondition::Any)) => Ok(Precondition::Absent),
        (Some(dto::ETagCondition::Any), None) => Ok(Precondition::Present),
        (Some(dto::ETagCondition::ETag(etag)), None) => {
            Ok(Precondition::Etag(etag.value().to_owned()))
        }
        _ => Err(s3_error!(
            NotImplemented,
            "A header you provided implies functionality that is not implemented"
        )),
    }
}

impl From<ReceiveError> for S3Error {
    fn from(error: ReceiveError) -> Self {
        match error {
            ReceiveError::Body(source) => Self::with_source(S3ErrorCode::IncompleteBody, source),
            ReceiveError::File(error) => internal(error),
        }
    }
}

/// Ends a write of `blob`: removes what no row names, be it what was replaced or what was refused.
pub(super) async fn finish(
    shelf: &Shelf,
    result: Result<Written, store::Error>,
    blob: Option<String>,
) -> S3Result<()> {
    let written = match result {
        Ok(written) => written,
        Err(error) => {
            // After most errors of the store it is not known whether there is a row: the blob stays.
            if store::is_unwritten(&error) {
                shelf.blobs.remove(blob.into_iter().collect()).await;
            }
            return Err(internal(error));
        }
    };
    let error = match written {
        Written::Done(replaced) => {
            shelf.blobs.remove(replaced).await;
            return Ok(());
        }
        Written::NoBucket => s3_error!(NoSuchBucket),
        Written::NoObject => s3_error!(NoSuchKey),
        Written::Refused => s3_error!(PreconditionFailed),
        Written::NoUpload => s3_error!(NoSuchUpload),
    };
    shelf.blobs.remove(blob.into_iter().collect()).await;
    Err(error)
}

/// The object at `key`.
pub(super) async fn find(shelf: &Shelf, bucket: &str, key: &str) -> S3Result<StoredObject> {
    let object = shelf
        .store
        .object_get(bucket, key)
        .await
        .map_err(internal)?;
    object.ok_or_else(|| s3_error!(NoSuchKey))
}

/// <https://docs.aws.amazon.com/AmazonS3/latest/API/API_PutObject.html>
pub(super) async fn put_object(
    shelf: &Shelf,
    cx: &Cx,
    mut input: dto::PutObjectInput,
) -> S3Result<dto::PutObjectOutput> {
    let bucket = cx.bucket(shelf, &input.bucket).await?;
    check_key(&input.key)?;
    let precondition = precondition(input.if_match.as_ref(), input.if_none_match.as_ref())?;
    let acl = object_acl!(input);
    let tags = parse_tags(input.tagging.as_deref())?;
    let attributes = attributes!(input, bucket);
    let expected = Expected::new(&cx.headers, DEFAULT_CHECKSUM)?;
    let body = input.body.take().map_or_else(s3s::Body::empty, Into::into);
    let hasher = Hasher::new(expected.algorithm);
    let received = receive(shelf, input.content_length, body, hasher).await?;
    let object = NewObject {
        bucket: bucket.name,
        key: input.key,
        attributes,
        acl,
        tags,
    };
    let trailers = cx.trailers.take();
    let stored = store_object(
        shelf,
        object,
        received,
        expected,
        trailers.as_ref(),
        &precondition,
    )
    .await?;
    let attributes = stored.attributes;
    let mut output = dto::PutObjectOutput {
        checksum_type: attributes.checksum.as_ref().map(Checksum::kind),
        e_tag: Some(etag(&stored.etag)),
        server_side_encryption: attributes.sse(),
        bucket_key_enabled: attributes.bucket_key_enabled,
        ssekms_key_id: attributes.kms_key_id,
        sse_customer_algorithm: attributes.sse_customer_algorithm,
        sse_customer_key_md5: attributes.sse_customer_key_md5,
        ..Default::default()
    };
    checksum_into!(output, &attributes.checksum);
    Ok(output)
}

/// An object to write, but for its content.
struct NewObject {
    bucket: String,
    key: String,
    attributes: Attributes,
    acl: Acl,
    tags: Vec<(String, String)>,
}

/// What a write made.
struct Made {
    etag: String,
    attributes: Attributes,
}

/// PutObject for localtrail itself.
pub(super) async fn put(
    shelf: &Shelf,
    bucket: &str,
    key: &str,
    bytes: Bytes,
    given: ObjectAttributes,
) -> S3Result<()> {
    let bucket = shelf.bucket(bucket).await?;
    check_key(key)?;
    let acl = Acl::requested(&Requested {
        canned: given.acl.as_deref(),
        ..Requested::default()
    })?;
    let attributes = Attributes {
        content_type: given.content_type,
        content_encoding: given.content_encoding,
        server_side_encryption: given.server_side_encryption,
        kms_key_id: given.kms_key_id,
        metadata: given.metadata,
        ..Attributes::default()
    };
    let object = NewObject {
        key: key.to_owned(),
        attributes: attributes.encrypted(&bucket)?,
        bucket: bucket.name,
        acl: acl.unwrap_or_else(Acl::private),
        tags: Vec::new(),
    };
    let expected = Expected::new(&HeaderMap::new(), DEFAULT_CHECKSUM)?;
    let hasher = Hasher::new(expected.algorithm);
    let received = shelf.blobs.receive(Full::new(bytes), hasher).await?;
    store_object(shelf, object, received, expected, None, &Precondition::None).await?;
    Ok(())
}

/// Takes content of which `said` bytes are to come, if that was said.
pub(super) async fn receive(
    shelf: &Shelf,
    said: Option<i64>,
    body: s3s::Body,
    hasher: Hasher,
) -> S3Result<Received> {
    let said = said.map(|said| u64::try_from(said).unwrap_or_default());
    let too_long = || {
        let message = "Your proposed upload exceeds the maximum allowed size";
        s3_error!(EntityTooLarge, "{message}")
    };
    // What says so beforehand is not read at all.
    if said.is_some_and(|said| said > shelf.most_bytes as u64) {
        return Err(too_long());
    }
    let body = Limited::new(body, shelf.most_bytes);
    let received = shelf.blobs.receive(body, hasher).await;
    let received = received.map_err(|error| match error {
        ReceiveError::Body(cause) if cause.is::<LengthLimitError>() => too_long(),
        error => error.into(),
    })?;
    // A body that ends early over HTTP/2, or within the process, is not an error of the transport.
    if said.is_some_and(|said| said != received.size_bytes) {
        return Err(s3_error!(IncompleteBody));
    }
    Ok(received)
}

/// Makes content that has arrived an object.
async fn store_object(
    shelf: &Shelf,
    new: NewObject,
    received: Received,
    expected: Expected,
    trailers: Option<&HeaderMap>,
    precondition: &Precondition,
) -> S3Result<Made> {
    let checksum = expected.check(&received.md5, received.hasher, trailers)?;
    let attributes = Attributes {
        checksum: Some(checksum),
        ..new.attributes
    };
    let Kept { content, blob } = received.draft.release();
    let object = StoredObject {
        bucket: new.bucket,
        key: new.key,
        size_bytes: received.size_bytes.cast_signed(),
        etag: hex(&received.md5),
        modified_ms: shelf.clock.now_ms(),
        content,
        blob,
        attributes: to_json(&attributes)?,
        acl: to_json(&new.acl)?,
        tags: to_json(&new.tags)?,
    };
    let result = shelf.store.object_put(&object, precondition).await;
    finish(shelf, result, object.blob).await?;
    Ok(Made {
        etag: object.etag,
        attributes,
    })
}

/// The object that a copy reads, with its attributes.
pub(super) async fn copy_source(
    shelf: &Shelf,
    source: &dto::CopySource,
) -> S3Result<(StoredObject, Attributes)> {
    let dto::CopySource::Bucket {
        bucket,
        key,
        version_id,
    } = source
    else {
        return Err(s3_error!(
            NotImplemented,
            "localtrail's embedded S3 has no access points to copy from"
        ));
    };
    let bucket = shelf.bucket(bucket).await?;
    check_version(version_id.as_deref())?;
    let object = find(shelf, &bucket.name, key).await?;
    let attributes = from_json(&object.attributes)?;
    Ok((object, attributes))
}

/// <https://docs.aws.amazon.com/AmazonS3/latest/API/API_CopyObject.html>
pub(super) async fn copy_object(
    shelf: &Shelf,
    cx: &Cx,
    mut input: dto::CopyObjectInput,
) -> S3Result<dto::CopyObjectOutput> {
    let bucket = cx.bucket(shelf, &input.bucket).await?;
    check_key(&input.key)?;
    let (source, old) = copy_source(shelf, &input.copy_source).await?;
    let conditions = Conditions {
        if_match: input.copy_source_if_match.as_ref(),
        if_none_match: input.copy_source_if_none_match.as_ref(),
        if_modified_since: input.copy_source_if_modified_since.as_ref(),
        if_unmodified_since: input.copy_source_if_unmodified_since.as_ref(),
    };
    conditions.check_source(&source)?;
    let replaces = input
        .metadata_directive
        .as_ref()
        .is_some_and(|directive| directive.as_str() == dto::MetadataDirective::REPLACE);
    let names_encryption = input.server_side_encryption.is_some();
    let acl = object_acl!(input);
    let tags = match &input.tagging_directive {
        Some(directive) if directive.as_str() == dto::TaggingDirective::REPLACE => {
            parse_tags(input.tagging.as_deref())?
        }
        _ => from_json(&source.tags)?,
    };
    let new = attributes!(input, bucket);
    let is_itself = source.bucket == bucket.name && source.key == input.key;
    if is_itself && !replaces && !names_encryption && new.storage_class.is_none() {
        return Err(s3_error!(
            InvalidRequest,
            "This copy request is illegal because it is trying to copy an object to itself without changing the \
            object's metadata, storage class, website redirect location or encryption attributes."
        ));
    }
    let attributes = if replaces {
        Attributes {
            checksum: old.checksum,
            ..new
        }
    } else {
        Attributes {
            storage_class: new.storage_class,
            website_redirect_location: new.website_redirect_location,
            server_side_encryption: new.server_side_encryption,
            kms_key_id: new.kms_key_id,
            bucket_key_enabled: new.bucket_key_enabled,
            sse_customer_algorithm: new.sse_customer_algorithm,
            sse_customer_key_md5: new.sse_customer_key_md5,
            part_sizes: Vec::new(),
            ..old
        }
    };
    let blob = match &source.blob {
        None => None,
        Some(blob) => {
            let draft = shelf.blobs.copy(blob).await.map_err(internal)?;
            draft.release().blob
        }
    };
    let object = StoredObject {
        bucket: bucket.name,
        key: input.key,
        modified_ms: shelf.clock.now_ms(),
        blob,
        attributes: to_json(&attributes)?,
        acl: to_json(&acl)?,
        tags: to_json(&tags)?,
        ..source
    };
    let result = shelf.store.object_put(&object, &Precondition::None).await;
    finish(shelf, result, object.blob).await?;
    let mut copied = dto::CopyObjectResult {
        checksum_type: attributes.checksum.as_ref().map(Checksum::kind),
        e_tag: Some(etag(&object.etag)),
        last_modified: Some(timestamp(object.modified_ms)),
        ..Default::default()
    };
    checksum_into!(copied, &attributes.checksum);
    Ok(dto::CopyObjectOutput {
        copy_object_result: Some(copied),
        server_side_encryption: attributes.sse(),
        ssekms_key_id: attributes.kms_key_id,
        bucket_key_enabled: attributes.bucket_key_enabled,
        ..Default::default()
    })
}

/// <https://docs.aws.amazon.com/AmazonS3/latest/API/API_DeleteObject.html>
pub(super) async fn delete_object(
    shelf: &Shelf,
    cx: &Cx,
    input: dto::DeleteObjectInput,
) -> S3Result<dto::DeleteObjectOutput> {
    let bucket = cx.bucket(shelf, &input.bucket).await?;
    check_version(input.version_id.as_deref())?;
    let precondition = precondition(input.if_match.as_ref(), None)?;
    remove(shelf, &bucket.name, &input.key, &precondition).await?;
    Ok(dto::DeleteObjectOutput::default())
}

async fn remove(
    shelf: &Shelf,
    bucket: &str,
    key: &str,
    precondition: &Precondition,
) -> S3Result<()> {
    let result = shelf.store.object_delete(bucket, key, precondition).await;
    finish(shelf, result, None).await
}

/// <https://docs.aws.amazon.com/AmazonS3/latest/API/API_DeleteObjects.html>
pub(super) async fn delete_objects(
    shelf: &Shelf,
    cx: &Cx,
    input: dto::DeleteObjectsInput,
) -> S3Result<dto::DeleteObjectsOutput> {
    let bucket = cx.bucket(shelf, &input.bucket).await?;
    let objects = input.delete.objects;
    if objects.is_empty() || objects.len() > MAX_DELETED_AT_ONCE {
        return Err(s3_error!(MalformedXML));
    }
    let is_quiet = input.delete.quiet.unwrap_or(false);
    let mut deleted = Vec::new();
    let mut errors = Vec::new();
    for object in objects {
        let condition = object.e_tag.map(dto::ETagCondition::ETag);
        let result = async {
            check_version(object.version_id.as_deref())?;
            let precondition = precondition(condition.as_ref(), None)?;
            remove(shelf, &bucket.name, &object.key, &precondition).await
        };
        match result.await {
            Ok(()) if is_quiet => {}
            Ok(()) => deleted.push(dto::DeletedObject {
                key: Some(object.key),
                version_id: object.version_id,
                ..Default::default()
            }),
            Err(error) => {
                let error = super::Error::from(error);
                errors.push(dto::Error {
                    code: Some(error.code.into_owned()),
                    key: Some(object.key),
                    message: Some(error.message),
                    version_id: object.version_id,
                });
            }
        }
    }
    Ok(dto::DeleteObjectsOutput {
        deleted: Some(deleted),
        errors: Some(errors),
        ..Default::default()
    })
}
