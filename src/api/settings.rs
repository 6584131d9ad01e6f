//! What a trail is set to: bucket, topic, log group, key, reach. CreateTrail and UpdateTrail set the same things.
//!
//! Checked when it is set; what breaks later shows in GetTrailStatus. The bucket and the topic must be there, and their
//! policies must let CloudTrail in; the log group must be there, and where there is no CloudWatch Logs at all, a log group
//! is refused, since nothing would ever reach it. Of keys see [`super::encryption`]. Of roles only the form is
//! checked, for nobody is asked about them.

use serde::Deserialize;

use super::error::{Error, Result};
use super::forms::{self, Home};
use super::{Cx, encryption};
use crate::event::own::OwnCall;
use crate::policy::cloudtrail::Deliverer;
use crate::store::Trail;
use crate::targets::{LogGroup, TargetError};

/// Sent to a topic when a trail begins to use it.
/// <https://github.com/aws/aws-cloudtrail-processing-library>, `SNSMessageSerializer`'s filter.
const VALIDATION_MESSAGE: &str = "CloudTrail validation message.";

/// What CreateTrail and UpdateTrail set.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct SettingsInput {
    pub(super) name: String,
    s3_bucket_name: Option<String>,
    s3_key_prefix: Option<String>,
    sns_topic_name: Option<String>,
    include_global_service_events: Option<bool>,
    is_multi_region_trail: Option<bool>,
    enable_log_file_validation: Option<bool>,
    cloud_watch_logs_log_group_arn: Option<String>,
    cloud_watch_logs_role_arn: Option<String>,
    kms_key_id: Option<String>,
    /// See [`organizations`](super::organizations).
    pub(super) is_organization_trail: Option<bool>,
    /// Younger than the model that requests are checked by, so that a wrong type is found when it is read.
    /// <https://docs.aws.amazon.com/awscloudtrail/latest/userguide/cloudtrail-trail-recursive-logging.html>
    recursive_logging: Option<bool>,
}

/// What a call sets a trail to, checked. `None` is left as it is; an inner `None` is cleared.
pub(super) struct Settings {
    s3_bucket_name: Option<String>,
    s3_key_prefix: Option<Option<String>>,
    /// As given, and its ARN.
    sns_topic: Option<Option<(String, String)>>,
    include_global_service_events: Option<bool>,
    is_multi_region: Option<bool>,
    log_file_validation: Option<bool>,
    /// Log group and role.
    logs: Option<Option<(String, String)>>,
    kms_key_id: Option<Option<String>>,
    recursive_logging: Option<bool>,
}

impl Settings {
    /// Checks `input` for `trail` as it stands. The known part of AWS's order is that the combination comes before
    /// the bucket. The topic gets its message last, when nothing else can be refused.
    pub(super) async fn check(cx: &Cx, input: SettingsInput, trail: &Trail) -> Result<Self> {
        let home = Home {
            account: &trail.account,
            region: &trail.home_region,
        };
        let is_multi_region = input.is_multi_region_trail.unwrap_or(trail.is_multi_region);
        let include_global = input
            .include_global_service_events
            .unwrap_or(trail.include_global_service_events);
        if is_multi_region && !include_global {
            return Err(Error::multi_region_without_global());
        }
        if let Some(prefix) = &input.s3_key_prefix {
            forms::prefix(prefix)?;
        }
        if let Some(bucket) = &input.s3_bucket_name {
            forms::bucket(bucket)?;
        }
        let sns_topic = match &input.sns_topic_name {
            Some(topic) if topic.is_empty() => Some(None),
            Some(topic) => {
                let arn = forms::topic_arn(topic, home)?;
                Some(Some((topic.clone(), arn)))
            }
            None => None,
        };
        let kms_key_id = match &input.kms_key_id {
            Some(key) if key.is_empty() => Some(None),
            Some(key) => Some(Some(forms::kms_key(key, home)?)),
            None => None,
        };
        let trail_arn = trail.arn();
        let deliverer = Deliverer {
            trail_arn: &trail_arn,
            account: &trail.account,
            region: &trail.home_region,
        };
        if let Some(bucket) = &input.s3_bucket_name {
            check_bucket(cx, bucket).await?;
        }
        let kms_key_id = match kms_key_id {
            Some(Some(given)) => {
                let bucket = input.s3_bucket_name.as_ref();
                let bucket = bucket.unwrap_or(&trail.s3_bucket_name);
                Some(Some(encryption::check(cx, given, trail, bucket).await?))
            }
            other => other,
        };
        // The policy may name the prefix, and the key.
        if input.s3_bucket_name.is_some()
            || input.s3_key_prefix.is_some()
            || kms_key_id.is_some()
            || input.is_organization_trail == Some(true)
        {
            let (bucket, prefix) = (input.s3_bucket_name.as_ref(), input.s3_key_prefix.as_ref());
            let to = Destination {
                bucket: bucket.unwrap_or(&trail.s3_bucket_name),
                prefix: prefix
                    .or(trail.s3_key_prefix.as_ref())
                    .filter(|prefix| !prefix.is_empty()),
                kms_key_id: kms_key_id.as_ref().unwrap_or(&trail.kms_key_id).as_deref(),
                organization_id: trail.organization_id.as_deref(),
            };
            check_bucket_policy(cx, deliverer, to).await?;
        }
        if let Some(Some((_, arn))) = &sns_topic {
            check_topic(cx, deliverer, arn).await?;
        }
        let logs = logs_pair(
            input.cloud_watch_logs_log_group_arn,
            input.cloud_watch_logs_role_arn,
            home,
        )?;
        if let Some(Some((group, _))) = &logs {
            check_log_group(cx, group).await?;
        }
        if let Some(Some((_, arn))) = &sns_topic {
            // Its policy was asked above.
            let message_id = cx.targets.publish(None, arn, VALIDATION_MESSAGE).await;
            let message_id = message_id.map_err(publish_error)?;
            if let Some(call) = OwnCall::publish(arn, VALIDATION_MESSAGE, message_id.as_deref()) {
                cx.for_record.push_own_call(call);
            }
        }
        Ok(Self {
            s3_bucket_name: input.s3_bucket_name,
            s3_key_prefix: input
                .s3_key_prefix
                .map(|prefix| Some(prefix).filter(|prefix| !prefix.is_empty())),
            sns_topic,
            include_global_service_events: input.include_global_service_events,
            is_multi_region: input.is_multi_region_trail,
            log_file_validation: input.enable_log_file_validation,
            logs,
            kms_key_id,
            recursive_logging: input.recursive_logging,
        })
    }

    pub(super) fn apply(self, trail: &mut Trail) {
        set(&mut trail.s3_bucket_name, self.s3_bucket_name);
        set(&mut trail.s3_key_prefix, self.s3_key_prefix);
        if let Some(topic) = self.sns_topic {
            (trail.sns_topic_name, trail.sns_topic_arn) = topic.unzip();
        }
        set(
            &mut trail.include_global_service_events,
            self.include_global_service_events,
        );
        set(&mut trail.is_multi_region, self.is_multi_region);
        set(&mut trail.log_file_validation, self.log_file_validation);
        if let Some(logs) = self.logs {
            (
                trail.cloud_watch_logs_log_group_arn,
                trail.cloud_watch_logs_role_arn,
            ) = logs.unzip();
        }
        set(&mut trail.kms_key_id, self.kms_key_id);
        set(&mut trail.recursive_logging, self.recursive_logging);
    }
}

fn set<T>(field: &mut T, value: Option<T>) {
    if let Some(value) = value {
        *field = value;
    }
}

/// Log group and role are given, and cleared, together.
fn logs_pair(
    group: Option<String>,
    role: Option<String>,
    home: Home<'_>,
) -> Result<Option<Option<(String, String)>>> {
    let given = |arn: &Option<String>| arn.as_deref().is_some_and(|arn| !arn.is_empty());
    match (given(&group), given(&role)) {
        (true, false) => return Err(Error::logs_role_missing()),
        (false, true) => return Err(Error::log_group_missing()),
        _ => {}
    }
    match (group, role) {
        (None, None) => Ok(None),
        (Some(group), Some(role)) if !group.is_empty() => {
            forms::log_group(&group, home)?;
            forms::logs_role(&role)?;
            Ok(Some(Some((group, role))))
        }
        _ => Ok(Some(None)),
    }
}

pub(super) async fn check_bucket(cx: &Cx, bucket: &str) -> Result<()> {
    match cx
        .targets
        .bucket_exists(&cx.account, &cx.region, bucket)
        .await
    {
        Ok(true) => {
            let place = cx.targets.bucket_place(bucket);
            let (account, region) = match &place {
                Some(place) => (&place.account, &place.region),
                None => (&cx.account, &cx.region),
            };
            let call = OwnCall::get_bucket_acl(account, region, bucket);
            cx.for_record.push_own_call(call);
            Ok(())
        }
        Ok(false) => Err(Error::no_such_bucket(bucket)),
        Err(error) => Err(Error::target_unreachable("S3 bucket", error)),
    }
}

/// Where a trail is to write its log files.
struct Destination<'a> {
    bucket: &'a str,
    prefix: Option<&'a String>,
    kms_key_id: Option<&'a str>,
    /// Of an organization trail: its files have a folder below it.
    organization_id: Option<&'a str>,
}

/// Whether CloudTrail may read the ACL of the bucket and write there. The key asked for is that of a folder which trails
/// are seen to make (facts 3.2).
async fn check_bucket_policy(cx: &Cx, deliverer: Deliverer<'_>, to: Destination<'_>) -> Result<()> {
    let Destination {
        bucket,
        prefix,
        kms_key_id,
        organization_id,
    } = to;
    let prefix = prefix
        .map(|prefix| format!("{prefix}/"))
        .unwrap_or_default();
    let folder = format!("{}/CloudTrail/", deliverer.account);
    let mut keys = vec![format!("{prefix}AWSLogs/{folder}")];
    keys.extend(organization_id.map(|id| format!("{prefix}AWSLogs/{id}/{folder}")));
    let puts = keys
        .iter()
        .map(|key| deliverer.put_object(bucket, key, kms_key_id));
    let requests: Vec<_> = std::iter::once(deliverer.get_bucket_acl(bucket))
        .chain(puts)
        .collect();
    let allowed = cx
        .targets
        .bucket_allows(&cx.account, &cx.region, bucket, &requests);
    match allowed.await {
        Ok(true) => Ok(()),
        Ok(false) => Err(Error::bucket_policy(bucket)),
        Err(error) if error.code == "NoSuchBucket" => Err(Error::no_such_bucket(bucket)),
        Err(error) => {
            let what = "S3 bucket policy (see --bucket-policy-check)";
            Err(Error::target_unreachable(what, error))
        }
    }
}

async fn check_topic(cx: &Cx, deliverer: Deliverer<'_>, arn: &str) -> Result<()> {
    let unreachable = |error| Error::target_unreachable("SNS topic", error);
    if !cx
        .targets
        .topic_exists(&cx.account, arn)
        .await
        .map_err(unreachable)?
    {
        return Err(Error::topic_refused());
    }
    match cx.targets.topic_allows(deliverer, arn).await {
        Ok(true) => Ok(()),
        Ok(false) => Err(Error::topic_refused()),
        Err(error) => Err(unreachable(error)),
    }
}

async fn check_log_group(cx: &Cx, arn: &str) -> Result<()> {
    let group = LogGroup::parse(arn).ok_or_else(Error::log_group)?;
    if !cx.targets.has_logs() {
        return Err(Error::no_log_groups());
    }
    match cx.targets.log_group_exists(group).await {
        Ok(true) => Ok(()),
        Err(error) if error.is_transient() => {
            Err(Error::target_unreachable("CloudWatch log group", error))
        }
        Ok(false) | Err(_) => Err(Error::log_group()),
    }
}

/// SNS's own codes are refusals; the others say that SNS was not there to refuse.
fn publish_error(error: TargetError) -> Error {
    match error.code.as_str() {
        TargetError::TIMEOUT | "ServiceUnavailable" => {
            Error::target_unreachable("SNS topic", error)
        }
        _ => Error::topic_refused(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::testing::Api;

    const MAIN: &str = "arn:aws:cloudtrail:us-east-1:111122223333:trail/main";

    #[tokio::test]
    async fn bad_settings_are_refused_before_anything_is_asked() {
        let api = Api::new().await;
        api.make_trail("main", false).await;
        let group = "arn:aws:logs:us-east-1:111122223333:log-group:logs:*";
        for (setting, code) in [
            (
                json!({ "IsMultiRegionTrail": true, "IncludeGlobalServiceEvents": false, "S3BucketName": "X" }),
                "InvalidParameterCombinationException: Multi-Region trail must include global service events.",
            ),
            (
                json!({ "S3KeyPrefix": "x".repeat(201) }),
                "InvalidS3PrefixException",
            ),
            (
                json!({ "S3BucketName": "Not-a-bucket" }),
                "InvalidS3BucketNameException",
            ),
            (
                json!({ "S3BucketName": "" }),
                "InvalidS3BucketNameException",
            ),
            (
                json!({ "SnsTopicName": "no topic" }),
                "InvalidSnsTopicNameException",
            ),
            (
                json!({ "IsOrganizationTrail": true }),
                "OrganizationsNotInUseException",
            ),
        ] {
            let mut input = json!({ "Name": "main", "S3BucketName": "logs" });
            input
                .as_object_mut()
                .unwrap()
                .extend(setting.as_object().unwrap().clone());
            for operation in ["CreateTrail", "UpdateTrail"] {
                let refused = api.refused(operation, input.clone()).await;
                assert!(refused.starts_with(code), "{operation} {input}: {refused}");
            }
        }
        for (setting, code) in [
            (
                json!({ "CloudWatchLogsLogGroupArn": group }),
                "InvalidCloudWatchLogsRoleArnException",
            ),
            (
                json!({ "CloudWatchLogsRoleArn": "arn:aws:iam::111122223333:role/x" }),
                "InvalidCloudWatchLogsLogGroupArnException",
            ),
            (
                json!({ "CloudWatchLogsLogGroupArn": "logs", "CloudWatchLogsRoleArn": "role" }),
                "InvalidCloudWatchLogsLogGroupArnException",
            ),
            (
                json!({ "CloudWatchLogsLogGroupArn": group, "CloudWatchLogsRoleArn": "role" }),
                "InvalidCloudWatchLogsRoleArnException",
            ),
            (json!({ "KmsKeyId": "my key" }), "InvalidKmsKeyIdException"),
        ] {
            let mut input = json!({ "Name": "main" });
            input
                .as_object_mut()
                .unwrap()
                .extend(setting.as_object().unwrap().clone());
            let refused = api.refused("UpdateTrail", input.clone()).await;
            assert!(refused.starts_with(code), "{input}: {refused}");
        }
    }

    #[tokio::test]
    async fn a_service_that_cannot_be_asked_is_named_after_all_that_needs_no_asking() {
        let api = Api::new().await;
        for (tags, expected) in [
            (
                json!([]),
                "ServiceUnavailable: S3 bucket could not be checked: ",
            ),
            (
                json!([{ "Key": "aws:x" }]),
                "InvalidTagParameterException: ",
            ),
        ] {
            let input = json!({ "Name": "main", "S3BucketName": "logs", "TagsList": tags });
            let refused = api.refused("CreateTrail", input).await;
            assert!(refused.starts_with(expected), "{refused}");
        }
        assert_eq!(
            api.call("ListTrails", json!({})).await,
            json!({ "Trails": [] })
        );
    }

    #[tokio::test]
    async fn update_trail_changes_what_is_passed_and_clears_what_is_empty() {
        let api = Api::new().await;
        api.make_trail("main", false).await;
        let set = api
            .call(
                "UpdateTrail",
                json!({
                    "Name": "main",
                    "S3KeyPrefix": "pre",
                    "IsMultiRegionTrail": true,
                    "EnableLogFileValidation": true,
                    "CloudWatchLogsLogGroupArn": "arn:aws:logs:us-east-1:111122223333:log-group:logs:*",
                    "CloudWatchLogsRoleArn": "arn:aws:iam::111122223333:role/logs",
                    "KmsKeyId": "1234abcd-12ab-34cd-56ef-1234567890ab",
                    "RecursiveLogging": false,
                }),
            )
            .await;
        let expected = json!({
            "Name": "main",
            "S3BucketName": "logs",
            "S3KeyPrefix": "pre",
            "IncludeGlobalServiceEvents": true,
            "IsMultiRegionTrail": true,
            "TrailARN": MAIN,
            "LogFileValidationEnabled": true,
            "CloudWatchLogsLogGroupArn": "arn:aws:logs:us-east-1:111122223333:log-group:logs:*",
            "CloudWatchLogsRoleArn": "arn:aws:iam::111122223333:role/logs",
            "KmsKeyId": "arn:aws:kms:us-east-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab",
            "IsOrganizationTrail": false,
            "RecursiveLogging": false,
        });
        assert_eq!(set, expected);
        assert_eq!(
            api.call("UpdateTrail", json!({ "Name": MAIN })).await,
            expected
        );
        let refused = api
            .refused(
                "UpdateTrail",
                json!({ "Name": "main", "IncludeGlobalServiceEvents": false }),
            )
            .await;
        assert!(
            refused.starts_with("InvalidParameterCombinationException"),
            "{refused}"
        );

        let cleared = api
            .call(
                "UpdateTrail",
                json!({
                    "Name": "main",
                    "S3KeyPrefix": "",
                    "SnsTopicName": "",
                    "CloudWatchLogsLogGroupArn": "",
                    "CloudWatchLogsRoleArn": "",
                    "KmsKeyId": "",
                }),
            )
            .await;
        assert_eq!(
            cleared,
            json!({
                "Name": "main",
                "S3BucketName": "logs",
                "IncludeGlobalServiceEvents": true,
                "IsMultiRegionTrail": true,
                "TrailARN": MAIN,
                "LogFileValidationEnabled": true,
                "IsOrganizationTrail": false,
                "RecursiveLogging": false,
            })
        );
    }
}
