//! Listings: keys in order, those with a common prefix rolled up into one line.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use s3s::{S3Result, dto, s3_error};

use super::acl::owner;
use super::attributes::Attributes;
use super::bucket::from_json;
use super::errors::internal;
use super::object::etag;
use super::{Cx, Shelf, timestamp};
use crate::store::{KeyRange, StoredObject};

/// The most lines of a page, asked for or not.
const MAX_LINES: usize = 1000;

/// Greater than any byte of UTF-8: a prefix with it is past all keys with the prefix.
const PAST: u8 = 0xFF;

/// What `encoding-type=url` leaves as it is.
const PLAIN: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'_')
    .remove(b'.')
    .remove(b'*')
    .remove(b'/');

/// What to list.
struct Query<'a> {
    bucket: &'a str,
    prefix: &'a str,
    delimiter: Option<&'a str>,
    /// Lines are greater than this.
    after: &'a [u8],
    limit: usize,
}

/// One page of a listing.
#[derive(Default)]
struct Page {
    objects: Vec<StoredObject>,
    prefixes: Vec<String>,
    /// The last line, if there are more.
    last: Option<Vec<u8>>,
}

impl Page {
    fn lines(&self) -> usize {
        self.objects.len() + self.prefixes.len()
    }
}

async fn page(shelf: &Shelf, query: &Query<'_>) -> S3Result<Page> {
    let mut page = Page::default();
    if query.limit == 0 {
        return Ok(page);
    }
    let mut range = key_range(query.prefix, query.after);
    let mut last = Vec::new();
    loop {
        // One more than fits, to see whether there are more.
        let wanted = i64::try_from(query.limit - page.lines() + 1).unwrap_or(i64::MAX);
        let found = shelf.store.object_page(query.bucket, &range, wanted).await;
        let found = found.map_err(internal)?;
        let is_end = found.len() < usize::try_from(wanted).unwrap_or(usize::MAX);
        // Keys below it belong to a prefix that is dealt with.
        let mut skip_to: Vec<u8> = Vec::new();
        if let Some(object) = found.last() {
            range.from = object.key.clone().into_bytes();
            range.after = true;
        }
        for object in found {
            let key = object.key.as_bytes();
            if key < skip_to.as_slice() {
                continue;
            }
            let common = common_prefix(&object.key, query.prefix, query.delimiter);
            let line = common.unwrap_or(&object.key);
            if common.is_some() {
                skip_to = past(line);
                if line.as_bytes() <= query.after {
                    continue;
                }
            }
            if page.lines() == query.limit {
                page.last = Some(last);
                return Ok(page);
            }
            last = line.as_bytes().to_vec();
            match common {
                Some(prefix) => page.prefixes.push(prefix.to_owned()),
                None => page.objects.push(object),
            }
        }
        if is_end {
            return Ok(page);
        }
        if range.from < skip_to {
            range.from = skip_to;
        }
    }
}

/// The keys with `prefix` that may come after the line `after`.
pub(super) fn key_range(prefix: &str, after: &[u8]) -> KeyRange {
    let is_after = after >= prefix.as_bytes();
    KeyRange {
        from: if is_after { after } else { prefix.as_bytes() }.to_vec(),
        after: is_after && !after.is_empty(),
        until: (!prefix.is_empty()).then(|| past(prefix)),
    }
}

fn past(prefix: &str) -> Vec<u8> {
    let mut bytes = prefix.as_bytes().to_vec();
    bytes.push(PAST);
    bytes
}

/// `key` up to the first delimiter after `prefix`, the delimiter included.
pub(super) fn common_prefix<'a>(
    key: &'a str,
    prefix: &str,
    delimiter: Option<&str>,
) -> Option<&'a str> {
    let delimiter = delimiter.filter(|delimiter| !delimiter.is_empty())?;
    let rest = key.get(prefix.len()..)?;
    let end = prefix.len() + rest.find(delimiter)? + delimiter.len();
    key.get(..end)
}

/// The number of lines for `max-keys` and its like.
pub(super) fn limit(max: Option<i32>) -> S3Result<usize> {
    match max {
        None => Ok(MAX_LINES),
        Some(max) => match usize::try_from(max) {
            Ok(max) => Ok(max.min(MAX_LINES)),
            Err(_) => Err(s3_error!(
                InvalidArgument,
                "Argument maxKeys must be an integer between 0 and 2147483647"
            )),
        },
    }
}

/// Keys as a listing writes them.
pub(super) struct Encoding {
    is_url: bool,
}

impl Encoding {
    pub(super) fn new(asked: Option<&dto::EncodingType>) -> S3Result<Self> {
        match asked.map(dto::EncodingType::as_str) {
            None => Ok(Self { is_url: false }),
            Some(dto::EncodingType::URL) => Ok(Self { is_url: true }),
            Some(_) => Err(s3_error!(
                InvalidArgument,
                "Invalid Encoding Method specified in Request"
            )),
        }
    }

    pub(super) fn write(&self, key: &str) -> String {
        if self.is_url {
            utf8_percent_encode(key, PLAIN).to_string()
        } else {
            key.to_owned()
        }
    }

    pub(super) fn write_all(&self, prefixes: &[String]) -> Option<Vec<dto::CommonPrefix>> {
        let prefixes = prefixes.iter().map(|prefix| dto::CommonPrefix {
            prefix: Some(self.write(prefix)),
        });
        Some(prefixes.collect())
    }
}

fn line(
    object: &StoredObject,
    encoding: &Encoding,
    account: Option<&str>,
) -> S3Result<dto::Object> {
    let attributes: Attributes = from_json(&object.attributes)?;
    let class = attributes
        .storage_class
        .unwrap_or_else(|| "STANDARD".to_owned());
    let checksum = attributes.checksum;
    Ok(dto::Object {
        checksum_type: checksum.as_ref().map(|checksum| checksum.kind()),
        checksum_algorithm: checksum.map(|checksum| {
            vec![dto::ChecksumAlgorithm::from_static(
                checksum.algorithm.name(),
            )]
        }),
        e_tag: Some(etag(&object.etag)),
        key: Some(encoding.write(&object.key)),
        last_modified: Some(timestamp(object.modified_ms)),
        owner: account.map(owner),
        restore_status: None,
        size: Some(object.size_bytes),
        storage_class: Some(dto::ObjectStorageClass::from(class)),
    })
}

fn lines(
    objects: &[StoredObject],
    encoding: &Encoding,
    account: Option<&str>,
) -> S3Result<Vec<dto::Object>> {
    objects
        .iter()
        .map(|object| line(object, encoding, account))
        .collect()
}

/// <https://docs.aws.amazon.com/AmazonS3/latest/API/API_ListObjects.html>
pub(super) async fn list_objects(
    shelf: &Shelf,
    cx: &Cx,
    input: dto::ListObjectsInput,
) -> S3Result<dto::ListObjectsOutput> {
    let bucket = cx.bucket(shelf, &input.bucket).await?;
    let encoding = Encoding::new(input.encoding_type.as_ref())?;
    let limit = limit(input.max_keys)?;
    let query = Query {
        bucket: &bucket.name,
        prefix: input.prefix.as_deref().unwrap_or_default(),
        delimiter: input.delimiter.as_deref(),
        after: input.marker.as_deref().unwrap_or_default().as_bytes(),
        limit,
    };
    let page = page(shelf, &query).await?;
    // Without a delimiter the client takes the last key itself.
    let last = page.last.as_deref().filter(|_| query.delimiter.is_some());
    Ok(dto::ListObjectsOutput {
        common_prefixes: encoding.write_all(&page.prefixes),
        delimiter: input.delimiter.as_deref().map(|text| encoding.write(text)),
        encoding_type: input.encoding_type,
        is_truncated: Some(page.last.is_some()),
        marker: Some(encoding.write(input.marker.as_deref().unwrap_or_default())),
        max_keys: i32::try_from(limit).ok(),
        next_marker: last.map(|last| encoding.write(&String::from_utf8_lossy(last))),
        prefix: Some(encoding.write(query.prefix)),
        contents: Some(lines(&page.objects, &encoding, Some(&bucket.account))?),
        name: Some(bucket.name),
        request_charged: None,
    })
}

/// <https://docs.aws.amazon.com/AmazonS3/latest/API/API_ListObjectsV2.html>
pub(super) async fn list_objects_v2(
    shelf: &Shelf,
    cx: &Cx,
    input: dto::ListObjectsV2Input,
) -> S3Result<dto::ListObjectsV2Output> {
    let bucket = cx.bucket(shelf, &input.bucket).await?;
    let encoding = Encoding::new(input.encoding_type.as_ref())?;
    let limit = limit(input.max_keys)?;
    let after = match &input.continuation_token {
        None => input.start_after.clone().unwrap_or_default().into_bytes(),
        Some(token) => BASE64_STANDARD.decode(token).map_err(|_| {
            s3_error!(
                InvalidArgument,
                "The continuation token provided is incorrect"
            )
        })?,
    };
    let query = Query {
        bucket: &bucket.name,
        prefix: input.prefix.as_deref().unwrap_or_default(),
        delimiter: input.delimiter.as_deref(),
        after: &after,
        limit,
    };
    let page = page(shelf, &query).await?;
    let account = input
        .fetch_owner
        .unwrap_or(false)
        .then_some(&bucket.account);
    Ok(dto::ListObjectsV2Output {
        common_prefixes: encoding.write_all(&page.prefixes),
        delimiter: input.delimiter.as_deref().map(|text| encoding.write(text)),
        encoding_type: input.encoding_type,
        is_truncated: Some(page.last.is_some()),
        key_count: i32::try_from(page.lines()).ok(),
        max_keys: i32::try_from(limit).ok(),
        next_continuation_token: page.last.as_ref().map(|last| BASE64_STANDARD.encode(last)),
        continuation_token: input.continuation_token,
        prefix: Some(encoding.write(query.prefix)),
        start_after: input
            .start_after
            .as_deref()
            .map(|text| encoding.write(text)),
        contents: Some(lines(
            &page.objects,
            &encoding,
            account.map(String::as_str),
        )?),
        name: Some(bucket.name),
        request_charged: None,
    })
}

/// Every object is the only version of itself.
/// <https://docs.aws.amazon.com/AmazonS3/latest/API/API_ListObjectVersions.html>
pub(super) async fn list_object_versions(
    shelf: &Shelf,
    cx: &Cx,
    input: dto::ListObjectVersionsInput,
) -> S3Result<dto::ListObjectVersionsOutput> {
    let bucket = cx.bucket(shelf, &input.bucket).await?;
    let encoding = Encoding::new(input.encoding_type.as_ref())?;
    let limit = limit(input.max_keys)?;
    let query = Query {
        bucket: &bucket.name,
        prefix: input.prefix.as_deref().unwrap_or_default(),
        delimiter: input.delimiter.as_deref(),
        after: input.key_marker.as_deref().unwrap_or_default().as_bytes(),
        limit,
    };
    let page = page(shelf, &query).await?;
    let next = page.last.as_deref().map(String::from_utf8_lossy);
    let versions = lines(&page.objects, &encoding, Some(&bucket.account))?;
    let versions = versions.into_iter().map(|object| dto::ObjectVersion {
        checksum_algorithm: object.checksum_algorithm,
        checksum_type: object.checksum_type,
        e_tag: object.e_tag,
        is_latest: Some(true),
        key: object.key,
        last_modified: object.last_modified,
        owner: object.owner,
        restore_status: None,
        size: object.size,
        storage_class: object
            .storage_class
            .map(|class| dto::ObjectVersionStorageClass::from(class.as_str().to_owned())),
        version_id: Some("null".to_owned()),
    });
    Ok(dto::ListObjectVersionsOutput {
        common_prefixes: encoding.write_all(&page.prefixes),
        delimiter: input.delimiter.as_deref().map(|text| encoding.write(text)),
        encoding_type: input.encoding_type,
        is_truncated: Some(next.is_some()),
        key_marker: Some(encoding.write(input.key_marker.as_deref().unwrap_or_default())),
        max_keys: i32::try_from(limit).ok(),
        next_version_id_marker: next.as_ref().map(|_| "null".to_owned()),
        next_key_marker: next.map(|next| encoding.write(&next)),
        prefix: Some(encoding.write(query.prefix)),
        versions: Some(versions.collect()),
        name: Some(bucket.name),
        ..Default::default()
    })
}
