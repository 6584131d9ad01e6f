//! Multipart uploads.

use md5::{Digest, Md5};
use s3s::{S3Result, dto, s3_error};

use super::acl::{Acl, Requested, hex, owner, requested_grants};
use super::attributes::{Attributes, DEFAULT_CHECKSUM, attributes, object_acl};
use super::blobs::{Draft, Kept};
use super::bucket::{from_json, to_json};
use super::checksum::{Algorithm, Checksum, Expected, Hasher, checksum_into, composite};
use super::errors::{internal, not_kept};
use super::list::{Encoding, common_prefix, key_range, limit};
use super::object::{check_key, copy_source, etag, finish, precondition, receive};
use super::read::{Conditions, part_of};
use super::tagging::parse_tags;
use super::{Cx, Shelf, timestamp};
use crate::store::{StoredObject, StoredPart, Upload};

/// Every part but the last is at least as large.
const MIN_PART_BYTES: i64 = 5 * 1024 * 1024;

const MAX_PART_NUMBER: i32 = 10_000;

/// <https://docs.aws.amazon.com/AmazonS3/latest/API/API_CreateMultipartUpload.html>
pub(super) async fn create_multipart_upload(
    shelf: &Shelf,
    cx: &Cx,
    mut input: dto::CreateMultipartUploadInput,
) -> S3Result<dto::CreateMultipartUploadOutput> {
    let bucket = cx.bucket(shelf, &input.bucket).await?;
    check_key(&input.key)?;
    let acl = object_acl!(input);
    let tags = parse_tags(input.tagging.as_deref())?;
    let algorithm = match &input.checksum_algorithm {
        None => DEFAULT_CHECKSUM,
        Some(name) => Algorithm::parse(name.as_str())?,
    };
    let full_object = is_full_object(algorithm, input.checksum_type.as_ref())?;
    let attributes = Attributes {
        // The value comes with the parts.
        checksum: Some(Checksum {
            algorithm,
            value: String::new(),
            full_object,
        }),
        ..attributes!(input, bucket)
    };
    let upload = Upload {
        id: shelf.ids.text(64, crate::clock::alphabet::ALPHANUMERIC),
        bucket: bucket.name,
        key: input.key,
        account: cx.caller.account.clone(),
        created_ms: shelf.clock.now_ms(),
        attributes: to_json(&attributes)?,
        acl: to_json(&acl)?,
        tags: to_json(&tags)?,
    };
    shelf.store.upload_insert(&upload).await.map_err(not_kept)?;
    Ok(dto::CreateMultipartUploadOutput {
        checksum_type: input
            .checksum_algorithm
            .as_ref()
            .and(attributes.checksum.as_ref())
            .map(Checksum::kind),
        checksum_algorithm: input.checksum_algorithm,
        server_side_encryption: attributes.sse(),
        ssekms_key_id: attributes.kms_key_id,
        bucket_key_enabled: attributes.bucket_key_enabled,
        sse_customer_algorithm: attributes.sse_customer_algorithm,
        sse_customer_key_md5: attributes.sse_customer_key_md5,
        bucket: Some(upload.bucket),
        key: Some(upload.key),
        upload_id: Some(upload.id),
        ..Default::default()
    })
}

/// Whether the checksum is that of the whole, or of the parts' checksums.
/// <https://docs.aws.amazon.com/AmazonS3/latest/userguide/checking-object-integrity.html>
fn is_full_object(algorithm: Algorithm, asked: Option<&dto::ChecksumType>) -> S3Result<bool> {
    let asked = asked.map(|kind| kind.as_str() == dto::ChecksumType::FULL_OBJECT);
    match (algorithm, asked) {
        (Algorithm::Crc64Nvme, Some(false)) | (Algorithm::Sha1 | Algorithm::Sha256, Some(true)) => {
            Err(s3_error!(
                InvalidRequest,
                "The given checksum type cannot be used with the {} checksum algorithm.",
                algorithm.name().to_ascii_lowercase()
            ))
        }
        (Algorithm::Crc64Nvme, _) => Ok(true),
        (_, asked) => Ok(asked.unwrap_or(false)),
    }
}

async fn find(shelf: &Shelf, bucket: &str, key: &str, id: &str) -> S3Result<(Upload, Attributes)> {
    let upload = shelf.store.upload_get(bucket, key, id).await;
    let upload = upload.map_err(internal)?;
    let upload = upload.ok_or_else(|| s3_error!(NoSuchUpload))?;
    let attributes = from_json(&upload.attributes)?;
    Ok((upload, attributes))
}

fn check_part_number(number: i32) -> S3Result<i64> {
    if (1..=MAX_PART_NUMBER).contains(&number) {
        return Ok(number.into());
    }
    Err(s3_error!(
        InvalidArgument,
        "Part number must be an integer between 1 and 10000, inclusive"
    ))
}

/// The algorithm that an upload was started with.
fn algorithm(attributes: &Attributes) -> Algorithm {
    attributes
        .checksum
        .as_ref()
        .map_or(DEFAULT_CHECKSUM, |checksum| checksum.algorithm)
}

/// <https://docs.aws.amazon.com/AmazonS3/latest/API/API_UploadPart.html>
pub(super) async fn upload_part(
    shelf: &Shelf,
    cx: &Cx,
    mut input: dto::UploadPartInput,
) -> S3Result<dto::UploadPartOutput> {
    let bucket = cx.bucket(shelf, &input.bucket).await?;
    let number = check_part_number(input.part_number)?;
    let (upload, attributes) = find(shelf, &bucket.name, &input.key, &input.upload_id).await?;
    let expected = Expected::new(&cx.headers, algorithm(&attributes))?;
    if expected.algorithm != algorithm(&attributes) {
        return Err(s3_error!(
            InvalidRequest,
            "Checksum Type mismatch occurred, expected checksum Type: {}, actual checksum Type: {}",
            algorithm(&attributes).name().to_ascii_lowercase(),
            expected.algorithm.name().to_ascii_lowercase()
        ));
    }
    let body = input.body.take().map_or_else(s3s::Body::empty, Into::into);
    let hasher = Hasher::new(expected.algorithm);
    let received = receive(shelf, input.content_length, body, hasher).await?;
    let trailers = cx.trailers.take();
    let checksum = expected.check(&received.md5, received.hasher, trailers.as_ref())?;
    let part = StoredPart {
        number,
        size_bytes: received.size_bytes.cast_signed(),
        etag: hex(&received.md5),
        checksum: to_json(&checksum)?,
        modified_ms: shelf.clock.now_ms(),
        blob: None,
    };
    let part = store_part(shelf, &upload, part, received.draft).await?;
    let mut output = dto::UploadPartOutput {
        e_tag: Some(etag(&part.etag)),
        server_side_encryption: attributes.sse(),
        ssekms_key_id: attributes.kms_key_id,
        bucket_key_enabled: attributes.bucket_key_enabled,
        sse_customer_algorithm: attributes.sse_customer_algorithm,
        sse_customer_key_md5: attributes.sse_customer_key_md5,
        ..Default::default()
    };
    checksum_into!(output, &Some(checksum));
    Ok(output)
}

/// <https://docs.aws.amazon.com/AmazonS3/latest/API/API_UploadPartCopy.html>
pub(super) async fn upload_part_copy(
    shelf: &Shelf,
    cx: &Cx,
    input: dto::UploadPartCopyInput,
) -> S3Result<dto::UploadPartCopyOutput> {
    let bucket = cx.bucket(shelf, &input.bucket).await?;
    let number = check_part_number(input.part_number)?;
    let (upload, attributes) = find(shelf, &bucket.name, &input.key, &input.upload_id).await?;
    let (source, _) = copy_source(shelf, &input.copy_source).await?;
    let conditions = Conditions {
        if_match: input.copy_source_if_match.as_ref(),
        if_none_match: input.copy_source_if_none_match.as_ref(),
        if_modified_since: input.copy_source_if_modified_since.as_ref(),
        if_unmodified_since: input.copy_source_if_unmodified_since.as_ref(),
    };
    conditions.check_source(&source)?;
    let range = copy_range(source.size_bytes, input.copy_source_range.as_deref())?;
    let length = range.end - range.start;
    let body = match (&source.blob, &source.content) {
        (None, None) => s3s::Body::empty(),
        (None, Some(content)) => part_of(content, range.start, length),
        (Some(blob), _) => {
            let body = shelf.blobs.read(blob, range.start, length).await;
            body.map_err(internal)?
        }
    };
    let received = receive(shelf, None, body, Hasher::new(algorithm(&attributes))).await?;
    let checksum = received.hasher.finish();
    let part = StoredPart {
        number,
        size_bytes: received.size_bytes.cast_signed(),
        etag: hex(&received.md5),
        checksum: to_json(&checksum)?,
        modified_ms: shelf.clock.now_ms(),
        blob: None,
    };
    let part = store_part(shelf, &upload, part, received.draft).await?;
    let mut copied = dto::CopyPartResult {
        e_tag: Some(etag(&part.etag)),
        last_modified: Some(timestamp(part.modified_ms)),
        ..Default::default()
    };
    checksum_into!(copied, &Some(checksum));
    Ok(dto::UploadPartCopyOutput {
        copy_part_result: Some(copied),
        server_side_encryption: attributes.sse(),
        ssekms_key_id: attributes.kms_key_id,
        bucket_key_enabled: attributes.bucket_key_enabled,
        ..Default::default()
    })
}

/// Adds a part with the content of `draft`.
async fn store_part(
    shelf: &Shelf,
    upload: &Upload,
    part: StoredPart,
    draft: Draft,
) -> S3Result<StoredPart> {
    let part = StoredPart {
        blob: draft.release_file().await.map_err(internal)?,
        ..part
    };
    let result = shelf.store.part_put(&upload.id, &part).await;
    finish(shelf, result, part.blob.clone()).await?;
    Ok(part)
}

/// The range of a source, which must have both ends and lie within: `bytes=0-9`.
fn copy_range(size_bytes: i64, range: Option<&str>) -> S3Result<std::ops::Range<u64>> {
    let size = size_bytes.cast_unsigned();
    let Some(range) = range else {
        return Ok(0..size);
    };
    match dto::Range::parse(range) {
        Ok(dto::Range::Int {
            first,
            last: Some(last),
        }) if last < size => Ok(first..last + 1),
        Ok(dto::Range::Int { last: Some(_), .. }) => Err(s3_error!(
            InvalidArgument,
            "Range specified is not valid for source object of size: {size}"
        )),
        _ => Err(s3_error!(
            InvalidArgument,
            "The x-amz-copy-source-range value must be of the form bytes=first-last where first and last are the \
            zero-based offsets of the first and last bytes to copy"
        )),
    }
}

/// <https://docs.aws.amazon.com/AmazonS3/latest/API/API_CompleteMultipartUpload.html>
pub(super) async fn complete_multipart_upload(
    shelf: &Shelf,
    cx: &Cx,
    input: dto::CompleteMultipartUploadInput,
) -> S3Result<dto::CompleteMultipartUploadOutput> {
    let bucket = cx.bucket(shelf, &input.bucket).await?;
    let (upload, attributes) = find(shelf, &bucket.name, &input.key, &input.upload_id).await?;
    let precondition = precondition(input.if_match.as_ref(), input.if_none_match.as_ref())?;
    let listed = input
        .multipart_upload
        .and_then(|upload| upload.parts)
        .unwrap_or_default();
    let parts = shelf.store.part_page(&upload.id, 0, i64::MAX).await;
    let parts = choose(&listed, parts.map_err(internal)?)?;
    let size_bytes: i64 = parts.iter().map(|part| part.size_bytes).sum();
    if input.mpu_object_size.is_some_and(|said| said != size_bytes) {
        return Err(s3_error!(
            InvalidRequest,
            "The provided 'x-amz-mp-object-size' header does not match the actual size of the object."
        ));
    }
    let algorithm = algorithm(&attributes);
    let blobs = parts.iter().filter_map(|part| part.blob.clone()).collect();
    let joined = shelf.blobs.join(blobs, Hasher::new(algorithm)).await;
    // A part that is replaced, or the upload aborted, meanwhile takes its blob with it.
    let (draft, hasher) = joined.map_err(|e| match e.kind() {
        std::io::ErrorKind::NotFound => s3_error!(InvalidPart),
        _ => internal(e),
    })?;
    let is_full = attributes.checksum.as_ref().is_some_and(|c| c.full_object);
    let checksum = if is_full {
        hasher.finish()
    } else {
        let of_parts: S3Result<Vec<Checksum>> =
            parts.iter().map(|part| from_json(&part.checksum)).collect();
        composite(algorithm, &of_parts?)
    };
    let said = match algorithm {
        Algorithm::Crc32 => &input.checksum_crc32,
        Algorithm::Crc32c => &input.checksum_crc32c,
        Algorithm::Crc64Nvme => &input.checksum_crc64nvme,
        Algorithm::Sha1 => &input.checksum_sha1,
        Algorithm::Sha256 => &input.checksum_sha256,
    };
    if said.as_ref().is_some_and(|said| *said != checksum.value) {
        return Err(s3_error!(
            BadDigest,
            "The {} you specified did not match the calculated checksum.",
            algorithm.name().to_ascii_lowercase()
        ));
    }
    let attributes = Attributes {
        checksum: Some(checksum),
        part_sizes: parts
            .iter()
            .map(|part| part.size_bytes.cast_unsigned())
            .collect(),
        ..attributes
    };
    let Kept { content, blob } = draft.release();
    let object = StoredObject {
        bucket: upload.bucket,
        key: upload.key,
        size_bytes,
        etag: joined_etag(&parts),
        modified_ms: shelf.clock.now_ms(),
        content,
        blob,
        attributes: to_json(&attributes)?,
        acl: upload.acl,
        tags: upload.tags,
    };
    let result = shelf
        .store
        .upload_complete(&upload.id, &object, &precondition);
    finish(shelf, result.await, object.blob).await?;
    let mut output = dto::CompleteMultipartUploadOutput {
        checksum_type: attributes.checksum.as_ref().map(Checksum::kind),
        e_tag: Some(etag(&object.etag)),
        location: Some(format!("/{}/{}", object.bucket, object.key)),
        bucket: Some(object.bucket),
        key: Some(object.key),
        server_side_encryption: attributes.sse(),
        ssekms_key_id: attributes.kms_key_id,
        bucket_key_enabled: attributes.bucket_key_enabled,
        ..Default::default()
    };
    checksum_into!(output, &attributes.checksum);
    Ok(output)
}

/// The parts that a completion lists, in its order.
fn choose(listed: &[dto::CompletedPart], parts: Vec<StoredPart>) -> S3Result<Vec<StoredPart>> {
    if listed.is_empty() {
        return Err(s3_error!(MalformedXML));
    }
    let is_ordered = listed
        .windows(2)
        .all(|pair| matches!(pair, [a, b] if a.part_number < b.part_number));
    if !is_ordered {
        return Err(s3_error!(InvalidPartOrder));
    }
    let mut chosen: Vec<StoredPart> = Vec::with_capacity(listed.len());
    let mut parts = parts.into_iter();
    for listed in listed {
        let number = listed.part_number.map(i64::from);
        // Both are in ascending order.
        let part = parts.find(|part| Some(part.number) >= number);
        let is_listed = |part: &StoredPart| {
            let etag = listed.e_tag.as_ref().map(dto::ETag::value);
            Some(part.number) == number && etag.is_none_or(|etag| etag == part.etag)
        };
        chosen.push(
            part.filter(is_listed)
                .ok_or_else(|| s3_error!(InvalidPart))?,
        );
    }
    if let [all_but_last @ .., _] = chosen.as_slice()
        && all_but_last
            .iter()
            .any(|part| part.size_bytes < MIN_PART_BYTES)
    {
        return Err(s3_error!(EntityTooSmall));
    }
    Ok(chosen)
}

/// The MD5 of the parts' MD5s, and their number.
fn joined_etag(parts: &[StoredPart]) -> String {
    let mut md5 = Md5::new();
    for part in parts {
        md5.update(unhex(&part.etag));
    }
    format!("{}-{}", hex(&md5.finalize()), parts.len())
}

fn unhex(text: &str) -> Vec<u8> {
    text.as_bytes()
        .chunks(2)
        .filter_map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok())
        .collect()
}

/// <https://docs.aws.amazon.com/AmazonS3/latest/API/API_AbortMultipartUpload.html>
pub(super) async fn abort_multipart_upload(
    shelf: &Shelf,
    cx: &Cx,
    input: dto::AbortMultipartUploadInput,
) -> S3Result<dto::AbortMultipartUploadOutput> {
    let bucket = cx.bucket(shelf, &input.bucket).await?;
    let (upload, _) = find(shelf, &bucket.name, &input.key, &input.upload_id).await?;
    let blobs = shelf.store.upload_delete(&upload.id).await;
    let blobs = blobs.map_err(internal)?;
    shelf
        .blobs
        .remove(blobs.ok_or_else(|| s3_error!(NoSuchUpload))?)
        .await;
    Ok(dto::AbortMultipartUploadOutput::default())
}

/// <https://docs.aws.amazon.com/AmazonS3/latest/API/API_ListParts.html>
pub(super) async fn list_parts(
    shelf: &Shelf,
    cx: &Cx,
    input: dto::ListPartsInput,
) -> S3Result<dto::ListPartsOutput> {
    let bucket = cx.bucket(shelf, &input.bucket).await?;
    let (upload, attributes) = find(shelf, &bucket.name, &input.key, &input.upload_id).await?;
    let limit = limit(input.max_parts)?;
    let after = input.part_number_marker.unwrap_or(0);
    // One more than fits, to see whether there are more.
    let wanted = i64::try_from(limit + 1).unwrap_or(i64::MAX);
    let page = shelf.store.part_page(&upload.id, after.into(), wanted);
    let mut found = page.await.map_err(internal)?;
    let is_truncated = found.len() > limit;
    found.truncate(limit);
    let last = found
        .last()
        .and_then(|part| i32::try_from(part.number).ok());
    let parts: S3Result<Vec<dto::Part>> = found
        .into_iter()
        .map(|part| {
            let checksum: Checksum = from_json(&part.checksum)?;
            let mut line = dto::Part {
                e_tag: Some(etag(&part.etag)),
                last_modified: Some(timestamp(part.modified_ms)),
                part_number: i32::try_from(part.number).ok(),
                size: Some(part.size_bytes),
                ..Default::default()
            };
            checksum_into!(line, &Some(checksum));
            Ok(line)
        })
        .collect();
    let class = attributes.storage_class.clone();
    Ok(dto::ListPartsOutput {
        bucket: Some(upload.bucket),
        checksum_algorithm: Some(dto::ChecksumAlgorithm::from_static(
            algorithm(&attributes).name(),
        )),
        checksum_type: attributes.checksum.as_ref().map(Checksum::kind),
        initiator: Some(initiator(&upload.account)),
        is_truncated: Some(is_truncated),
        key: Some(upload.key),
        max_parts: i32::try_from(limit).ok(),
        next_part_number_marker: last.filter(|_| is_truncated),
        owner: Some(owner(&bucket.account)),
        part_number_marker: Some(after),
        parts: Some(parts?),
        storage_class: Some(storage_class(class)),
        upload_id: Some(upload.id),
        ..Default::default()
    })
}

fn initiator(account: &str) -> dto::Initiator {
    let owner = owner(account);
    dto::Initiator {
        display_name: owner.display_name,
        id: owner.id,
    }
}

fn storage_class(class: Option<String>) -> dto::StorageClass {
    dto::StorageClass::from(class.unwrap_or_else(|| "STANDARD".to_owned()))
}

/// <https://docs.aws.amazon.com/AmazonS3/latest/API/API_ListMultipartUploads.html>
pub(super) async fn list_multipart_uploads(
    shelf: &Shelf,
    cx: &Cx,
    input: dto::ListMultipartUploadsInput,
) -> S3Result<dto::ListMultipartUploadsOutput> {
    let bucket = cx.bucket(shelf, &input.bucket).await?;
    let encoding = Encoding::new(input.encoding_type.as_ref())?;
    let limit = limit(input.max_uploads)?;
    let prefix = input.prefix.as_deref().unwrap_or_default();
    let key_marker = input.key_marker.as_deref().unwrap_or_default();
    let range = key_range(prefix, key_marker.as_bytes());
    let id_marker = input
        .upload_id_marker
        .as_deref()
        .filter(|id| !id.is_empty() && range.after);
    // Uploads in progress are few: rolling them up after reading them all costs nothing that matters.
    let found = shelf
        .store
        .upload_page(&bucket.name, &range, id_marker, i64::MAX);
    let found = found.await.map_err(internal)?;
    let mut prefixes: Vec<String> = Vec::new();
    let mut uploads = Vec::new();
    let mut markers = (String::new(), String::new());
    let mut is_truncated = false;
    for upload in found {
        let common = common_prefix(&upload.key, prefix, input.delimiter.as_deref());
        let is_dealt_with = |common: &str| {
            common <= key_marker || prefixes.last().is_some_and(|last| last == common)
        };
        if common.is_some_and(is_dealt_with) {
            continue;
        }
        if prefixes.len() + uploads.len() >= limit {
            is_truncated = true;
            break;
        }
        if let Some(common) = common {
            markers = (common.to_owned(), String::new());
            prefixes.push(common.to_owned());
            continue;
        }
        markers = (upload.key.clone(), upload.id.clone());
        let attributes: Attributes = from_json(&upload.attributes)?;
        uploads.push(dto::MultipartUpload {
            checksum_algorithm: Some(dto::ChecksumAlgorithm::from_static(
                algorithm(&attributes).name(),
            )),
            checksum_type: attributes.checksum.as_ref().map(Checksum::kind),
            initiated: Some(timestamp(upload.created_ms)),
            initiator: Some(initiator(&upload.account)),
            key: Some(encoding.write(&upload.key)),
            owner: Some(owner(&bucket.account)),
            storage_class: Some(storage_class(attributes.storage_class)),
            upload_id: Some(upload.id),
        });
    }
    let (next_key, next_id) = markers;
    Ok(dto::ListMultipartUploadsOutput {
        common_prefixes: encoding.write_all(&prefixes),
        delimiter: input.delimiter.as_deref().map(|text| encoding.write(text)),
        encoding_type: input.encoding_type,
        is_truncated: Some(is_truncated),
        key_marker: Some(encoding.write(key_marker)),
        max_uploads: i32::try_from(limit).ok(),
        next_key_marker: is_truncated.then(|| encoding.write(&next_key)),
        next_upload_id_marker: is_truncated.then_some(next_id),
        prefix: Some(encoding.write(prefix)),
        upload_id_marker: Some(input.upload_id_marker.unwrap_or_default()),
        uploads: Some(uploads),
        bucket: Some(bucket.name),
        request_charged: None,
    })
}
