//! Reading objects.

use std::io;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, StatusCode};
use s3s::{S3Result, dto, s3_error};

use super::attributes::Attributes;
use super::bucket::from_json;
use super::checksum::{Checksum, checksum_into};
use super::errors::{custom, internal};
use super::object::{check_version, etag, find};
use super::{Cx, Shelf, timestamp};
use crate::store::StoredObject;

/// The content type of an object that was given none.
const DEFAULT_CONTENT_TYPE: &str = "binary/octet-stream";

/// <https://docs.aws.amazon.com/AmazonS3/latest/API/API_GetObject.html>
pub(super) async fn get_object(
    shelf: &Shelf,
    cx: &Cx,
    input: dto::GetObjectInput,
) -> S3Result<dto::GetObjectOutput> {
    let bucket = cx.bucket(shelf, &input.bucket).await?;
    check_version(input.version_id.as_deref())?;
    check_overrides([
        &input.response_cache_control,
        &input.response_content_disposition,
        &input.response_content_encoding,
        &input.response_content_language,
        &input.response_content_type,
    ])?;
    let conditions = Conditions {
        if_match: input.if_match.as_ref(),
        if_none_match: input.if_none_match.as_ref(),
        if_modified_since: input.if_modified_since.as_ref(),
        if_unmodified_since: input.if_unmodified_since.as_ref(),
    };
    // The content may be replaced between the look at the row and the opening of its file: then there is a new row.
    loop {
        let object = find(shelf, &bucket.name, &input.key).await?;
        conditions.check(&object)?;
        let attributes: Attributes = from_json(&object.attributes)?;
        let slice = Slice::new(&object, &attributes, input.range, input.part_number)?;
        let body = match (&object.blob, &object.content) {
            (None, None) => s3s::Body::empty(),
            (None, Some(content)) => part_of(content, slice.start, slice.length),
            (Some(blob), _) => match shelf.blobs.read(blob, slice.start, slice.length).await {
                Ok(body) => body,
                Err(e)
                    if e.kind() == io::ErrorKind::NotFound && is_stale(shelf, &object).await? =>
                {
                    continue;
                }
                Err(e) => return Err(internal(e)),
            },
        };
        let tags: Vec<(String, String)> = from_json(&object.tags)?;
        let head = head(&object, attributes, &slice, input.checksum_mode.is_some());
        return Ok(dto::GetObjectOutput {
            accept_ranges: head.accept_ranges,
            body: Some(dto::StreamingBlob::from(body)),
            bucket_key_enabled: head.bucket_key_enabled,
            cache_control: input.response_cache_control.or(head.cache_control),
            checksum_crc32: head.checksum_crc32,
            checksum_crc32c: head.checksum_crc32c,
            checksum_crc64nvme: head.checksum_crc64nvme,
            checksum_sha1: head.checksum_sha1,
            checksum_sha256: head.checksum_sha256,
            checksum_type: head.checksum_type,
            content_disposition: input
                .response_content_disposition
                .or(head.content_disposition),
            content_encoding: input.response_content_encoding.or(head.content_encoding),
            content_language: input.response_content_language.or(head.content_language),
            content_length: head.content_length,
            content_range: head.content_range,
            content_type: input.response_content_type.or(head.content_type),
            e_tag: head.e_tag,
            expires: input.response_expires.or(head.expires),
            last_modified: head.last_modified,
            metadata: head.metadata,
            parts_count: head.parts_count,
            sse_customer_algorithm: head.sse_customer_algorithm,
            sse_customer_key_md5: head.sse_customer_key_md5,
            ssekms_key_id: head.ssekms_key_id,
            server_side_encryption: head.server_side_encryption,
            storage_class: head.storage_class,
            tag_count: i32::try_from(tags.len()).ok().filter(|count| *count > 0),
            website_redirect_location: head.website_redirect_location,
            ..Default::default()
        });
    }
}

/// Content that lies in its row, from `start` on, `length` bytes, as far as it goes.
pub(super) fn part_of(content: &[u8], start: u64, length: u64) -> s3s::Body {
    let start = usize::try_from(start).unwrap_or(usize::MAX);
    let length = usize::try_from(length).unwrap_or(usize::MAX);
    let rest = content.get(start..).unwrap_or_default();
    let slice = rest.get(..length).unwrap_or(rest);
    s3s::Body::from(Bytes::copy_from_slice(slice))
}

/// Refuses what a caller wants in the answer's head and no header can hold.
fn check_overrides(values: [&Option<String>; 5]) -> S3Result<()> {
    let fits = |value: &String| HeaderValue::from_bytes(value.as_bytes()).is_ok();
    if values.into_iter().flatten().all(fits) {
        return Ok(());
    }
    Err(s3_error!(
        InvalidArgument,
        "Header value cannot be represented using ISO-8859-1."
    ))
}

/// Whether the object has other content by now.
async fn is_stale(shelf: &Shelf, object: &StoredObject) -> S3Result<bool> {
    let now = shelf.store.object_get(&object.bucket, &object.key).await;
    Ok(now.map_err(internal)?.and_then(|now| now.blob) != object.blob)
}

/// <https://docs.aws.amazon.com/AmazonS3/latest/API/API_HeadObject.html>
pub(super) async fn head_object(
    shelf: &Shelf,
    cx: &Cx,
    input: dto::HeadObjectInput,
) -> S3Result<dto::HeadObjectOutput> {
    let bucket = cx.bucket(shelf, &input.bucket).await?;
    check_version(input.version_id.as_deref())?;
    check_overrides([
        &input.response_cache_control,
        &input.response_content_disposition,
        &input.response_content_encoding,
        &input.response_content_language,
        &input.response_content_type,
    ])?;
    let object = find(shelf, &bucket.name, &input.key).await?;
    let conditions = Conditions {
        if_match: input.if_match.as_ref(),
        if_none_match: input.if_none_match.as_ref(),
        if_modified_since: input.if_modified_since.as_ref(),
        if_unmodified_since: input.if_unmodified_since.as_ref(),
    };
    conditions.check(&object)?;
    let attributes: Attributes = from_json(&object.attributes)?;
    let slice = Slice::new(&object, &attributes, input.range, input.part_number)?;
    let mut output = head(&object, attributes, &slice, input.checksum_mode.is_some());
    output.cache_control = input.response_cache_control.or(output.cache_control);
    output.content_disposition = input
        .response_content_disposition
        .or(output.content_disposition);
    output.content_encoding = input.response_content_encoding.or(output.content_encoding);
    output.content_language = input.response_content_language.or(output.content_language);
    output.content_type = input.response_content_type.or(output.content_type);
    output.expires = input.response_expires.or(output.expires);
    Ok(output)
}

fn head(
    object: &StoredObject,
    attributes: Attributes,
    slice: &Slice,
    with_checksum: bool,
) -> dto::HeadObjectOutput {
    let mut output = dto::HeadObjectOutput {
        accept_ranges: Some("bytes".to_owned()),
        content_length: Some(slice.length.cast_signed()),
        content_range: slice.content_range.clone(),
        e_tag: Some(etag(&object.etag)),
        last_modified: Some(timestamp(object.modified_ms)),
        parts_count: slice.parts_count,
        server_side_encryption: attributes.sse(),
        bucket_key_enabled: attributes.bucket_key_enabled,
        cache_control: attributes.cache_control,
        content_disposition: attributes.content_disposition,
        content_encoding: attributes.content_encoding,
        content_language: attributes.content_language,
        content_type: Some(
            attributes
                .content_type
                .unwrap_or_else(|| DEFAULT_CONTENT_TYPE.to_owned()),
        ),
        expires: attributes.expires,
        metadata: Some(attributes.metadata.into_iter().collect()),
        ssekms_key_id: attributes.kms_key_id,
        sse_customer_algorithm: attributes.sse_customer_algorithm,
        sse_customer_key_md5: attributes.sse_customer_key_md5,
        storage_class: attributes.storage_class.map(dto::StorageClass::from),
        website_redirect_location: attributes.website_redirect_location,
        ..Default::default()
    };
    // That of the whole says nothing of a part.
    if with_checksum && slice.content_range.is_none() {
        output.checksum_type = attributes.checksum.as_ref().map(Checksum::kind);
        checksum_into!(output, &attributes.checksum);
    }
    output
}

/// What of an object is asked for.
struct Slice {
    start: u64,
    length: u64,
    /// If it is less than all, or a part: `bytes 0-9/100`.
    content_range: Option<String>,
    parts_count: Option<i32>,
}

impl Slice {
    fn new(
        object: &StoredObject,
        attributes: &Attributes,
        range: Option<dto::Range>,
        part: Option<i32>,
    ) -> S3Result<Self> {
        let size = object.size_bytes.cast_unsigned();
        let range = match (range, part) {
            (None, None) => {
                return Ok(Self {
                    start: 0,
                    length: size,
                    content_range: None,
                    parts_count: None,
                });
            }
            (Some(_), Some(_)) => {
                return Err(s3_error!(
                    InvalidRequest,
                    "Cannot specify both Range header and partNumber query parameter"
                ));
            }
            (Some(range), None) => range.check(size)?,
            (None, Some(part)) => part_range(size, &attributes.part_sizes, part)?,
        };
        let is_ranged = part.is_none() || !attributes.part_sizes.is_empty();
        // The suffix of nothing: s3s lets it pass, S3 does not.
        if range.is_empty() && part.is_none() {
            return Err(s3_error!(InvalidRange));
        }
        Ok(Self {
            start: range.start,
            length: range.end - range.start,
            content_range: (is_ranged && !range.is_empty())
                .then(|| format!("bytes {}-{}/{size}", range.start, range.end - 1)),
            parts_count: part
                .and_then(|_| i32::try_from(attributes.part_sizes.len()).ok())
                .filter(|count| *count > 0),
        })
    }
}

/// Where part `number`, counted from 1, of an object lies. An object that was put at once is its only part.
fn part_range(size: u64, parts: &[u64], number: i32) -> S3Result<std::ops::Range<u64>> {
    let invalid = || custom("InvalidPartNumber", StatusCode::RANGE_NOT_SATISFIABLE);
    let index = usize::try_from(number).ok().and_then(|n| n.checked_sub(1));
    let index = index.ok_or_else(invalid)?;
    if parts.is_empty() && index == 0 {
        return Ok(0..size);
    }
    let length = parts.get(index).ok_or_else(invalid)?;
    let start = parts.iter().take(index).sum();
    Ok(start..start + length)
}

/// The conditional headers of a read.
pub(super) struct Conditions<'a> {
    pub(super) if_match: Option<&'a dto::ETagCondition>,
    pub(super) if_none_match: Option<&'a dto::ETagCondition>,
    pub(super) if_modified_since: Option<&'a dto::Timestamp>,
    pub(super) if_unmodified_since: Option<&'a dto::Timestamp>,
}

impl Conditions<'_> {
    /// In the order of RFC 9110, 13.2.2: a tag goes before a date.
    pub(super) fn check(&self, object: &StoredObject) -> S3Result<()> {
        let has = |condition: &dto::ETagCondition| {
            condition
                .as_etag()
                .is_none_or(|etag| etag.value() == object.etag)
        };
        let modified = timestamp(object.modified_ms);
        let is_newer = |since: &dto::Timestamp| modified > *since;
        let is_failed = match (self.if_match, self.if_unmodified_since) {
            (Some(condition), _) => !has(condition),
            (None, Some(since)) => is_newer(since),
            (None, None) => false,
        };
        if is_failed {
            return Err(s3_error!(PreconditionFailed));
        }
        let is_known = match (self.if_none_match, self.if_modified_since) {
            (Some(condition), _) => has(condition),
            (None, Some(since)) => !is_newer(since),
            (None, None) => false,
        };
        if is_known {
            let mut error = s3_error!(NotModified);
            if let Ok(etag) = etag(&object.etag).to_http_header() {
                error.set_headers(HeaderMap::from_iter([(http::header::ETAG, etag)]));
            }
            return Err(error);
        }
        Ok(())
    }

    /// Of the source of a copy: there, a match too is a failure.
    pub(super) fn check_source(&self, object: &StoredObject) -> S3Result<()> {
        self.check(object)
            .map_err(|_| s3_error!(PreconditionFailed))
    }
}
