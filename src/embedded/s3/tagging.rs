//! Tags of objects.

use http::StatusCode;
use s3s::{S3Result, dto, s3_error};

use super::bucket::{from_json, to_json};
use super::errors::{custom, internal};
use super::object::{check_version, find};
use super::{Cx, Shelf};

/// <https://docs.aws.amazon.com/AmazonS3/latest/API/API_GetObjectTagging.html>
pub(super) async fn get_object_tagging(
    shelf: &Shelf,
    cx: &Cx,
    input: dto::GetObjectTaggingInput,
) -> S3Result<dto::GetObjectTaggingOutput> {
    let bucket = cx.bucket(shelf, &input.bucket).await?;
    check_version(input.version_id.as_deref())?;
    let object = find(shelf, &bucket.name, &input.key).await?;
    let tags: Vec<(String, String)> = from_json(&object.tags)?;
    Ok(dto::GetObjectTaggingOutput {
        tag_set: tags
            .into_iter()
            .map(|(key, value)| dto::Tag {
                key: Some(key),
                value: Some(value),
            })
            .collect(),
        version_id: None,
    })
}

/// <https://docs.aws.amazon.com/AmazonS3/latest/API/API_PutObjectTagging.html>
pub(super) async fn put_object_tagging(
    shelf: &Shelf,
    cx: &Cx,
    input: dto::PutObjectTaggingInput,
) -> S3Result<dto::PutObjectTaggingOutput> {
    let bucket = cx.bucket(shelf, &input.bucket).await?;
    check_version(input.version_id.as_deref())?;
    let tags = input
        .tagging
        .tag_set
        .into_iter()
        .map(|tag| (tag.key.unwrap_or_default(), tag.value.unwrap_or_default()));
    let tags = check_tags(tags.collect())?;
    set_tags(shelf, &bucket.name, &input.key, &tags).await?;
    Ok(dto::PutObjectTaggingOutput::default())
}

/// <https://docs.aws.amazon.com/AmazonS3/latest/API/API_DeleteObjectTagging.html>
pub(super) async fn delete_object_tagging(
    shelf: &Shelf,
    cx: &Cx,
    input: dto::DeleteObjectTaggingInput,
) -> S3Result<dto::DeleteObjectTaggingOutput> {
    let bucket = cx.bucket(shelf, &input.bucket).await?;
    check_version(input.version_id.as_deref())?;
    set_tags(shelf, &bucket.name, &input.key, &[]).await?;
    Ok(dto::DeleteObjectTaggingOutput::default())
}

async fn set_tags(
    shelf: &Shelf,
    bucket: &str,
    key: &str,
    tags: &[(String, String)],
) -> S3Result<()> {
    let tags = to_json(&tags)?;
    let done = shelf.store.object_set_tags(bucket, key, &tags);
    if done.await.map_err(internal)? {
        Ok(())
    } else {
        Err(s3_error!(NoSuchKey))
    }
}

/// Tags out of the header `x-amz-tagging`.
pub(super) fn parse_tags(header: Option<&str>) -> S3Result<Vec<(String, String)>> {
    let header = header.unwrap_or_default();
    check_tags(
        form_urlencoded::parse(header.as_bytes())
            .into_owned()
            .collect(),
    )
}

/// <https://docs.aws.amazon.com/AmazonS3/latest/userguide/object-tagging.html>
fn check_tags(tags: Vec<(String, String)>) -> S3Result<Vec<(String, String)>> {
    if tags.len() > 10 {
        return Err(custom("BadRequest", StatusCode::BAD_REQUEST));
    }
    for (index, (key, value)) in tags.iter().enumerate() {
        if key.is_empty() || key.chars().count() > 128 {
            return Err(s3_error!(
                InvalidTag,
                "The TagKey you have provided is invalid"
            ));
        }
        if value.chars().count() > 256 {
            return Err(s3_error!(
                InvalidTag,
                "The TagValue you have provided is invalid"
            ));
        }
        if tags.iter().take(index).any(|(earlier, _)| earlier == key) {
            return Err(s3_error!(
                InvalidTag,
                "Cannot provide multiple Tags with the same key"
            ));
        }
    }
    Ok(tags)
}
