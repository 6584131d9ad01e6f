//! The policy templates that AWS keeps in S3, a bucket per region, for `aws cloudtrail create-subscription` to fill in
//! (facts 3.5; aws-cli, `customizations/cloudtrail/subscribe.py`). AWS's own text could not be seen: these name the
//! service principal, as AWS's guide does today, not the accounts of 2014, and have the placeholders that the command
//! replaces.

use crate::aws::arn::partition;

/// What bucket names start with; the region follows.
const BUCKET_PREFIX: &str = "awscloudtrail-policy-";

/// Key and text, as it is in the partition `aws`.
const TEMPLATES: &[(&str, &str)] = &[
    (
        "policy/S3/AWSCloudTrail-S3BucketPolicy-2014-12-17.json",
        include_str!("s3-bucket-policy.json"),
    ),
    (
        "policy/SNS/AWSCloudTrail-SnsTopicPolicy-2014-12-17.json",
        include_str!("sns-topic-policy.json"),
    ),
];

/// The template at a path-style path of S3, `/bucket/key`.
pub fn template(path: &str) -> Option<String> {
    let (region, key) = path
        .strip_prefix('/')?
        .strip_prefix(BUCKET_PREFIX)?
        .split_once('/')?;
    let (_, text) = TEMPLATES.iter().find(|(name, _)| *name == key)?;
    Some(text.replace("arn:aws:", &format!("arn:{}:", partition(region))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn templates_lie_in_every_regions_bucket() {
        let key = "policy/S3/AWSCloudTrail-S3BucketPolicy-2014-12-17.json";
        for (path, expected) in [
            (
                format!("/awscloudtrail-policy-us-east-1/{key}"),
                Some("arn:aws:s3:::<BucketName>"),
            ),
            (
                format!("/awscloudtrail-policy-cn-north-1/{key}"),
                Some("arn:aws-cn:s3:::<BucketName>"),
            ),
            (format!("/awscloudtrail-policy-us-east-1/{key}x"), None),
            (format!("/logs/{key}"), None),
            ("/awscloudtrail-policy-us-east-1".to_owned(), None),
        ] {
            let found = template(&path);
            assert_eq!(found.is_some(), expected.is_some(), "{path}");
            assert!(
                expected.is_none_or(|text| found.unwrap().contains(text)),
                "{path}"
            );
        }
    }
}
