//! Trails: making, changing, describing and deleting them, and their logging.
//!
//! A bare name means a trail whose home is the called region; an ARN reaches further, how far depends on the
//! operation ([`Reach`]). Trails of other accounts are not found, but those of an
//! [organization](super::organizations) are. What a trail may be set to stands in [`settings`](super::settings), which
//! events it takes in [`selectors`](super::selectors).

use std::borrow::Cow;
use std::collections::HashSet;

use chrono::{DateTime, SecondsFormat};
use serde::{Deserialize, Serialize};

use super::error::{Error, Result};
use super::forms::{self, TrailName};
use super::settings::{Settings, SettingsInput};
use super::tags::{self, Tag};
use super::{Cx, Empty, Timestamp, organizations, page_after, page_token};
use crate::store::{self, DeliveryStatus, NewTrail, Store, Trail, TrailError};
use crate::targets::TargetError;

/// How many trails a page of ListTrails has. AWS does not say how many its pages have.
const TRAILS_PER_PAGE: usize = 100;

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct CreateTrailInput {
    #[serde(flatten)]
    settings: SettingsInput,
    #[serde(default)]
    tags_list: Vec<Tag>,
}

/// A trail as CreateTrail and UpdateTrail answer with it.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct TrailOutput {
    name: String,
    s3_bucket_name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    s3_key_prefix: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sns_topic_name: Option<String>,
    #[serde(rename = "SnsTopicARN", skip_serializing_if = "Option::is_none")]
    sns_topic_arn: Option<String>,
    include_global_service_events: bool,
    is_multi_region_trail: bool,
    #[serde(rename = "TrailARN")]
    trail_arn: String,
    log_file_validation_enabled: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    cloud_watch_logs_log_group_arn: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cloud_watch_logs_role_arn: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    kms_key_id: Option<String>,
    is_organization_trail: bool,
    recursive_logging: bool,
}

/// A trail as GetTrail and DescribeTrails show it.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct TrailDescription {
    #[serde(flatten)]
    trail: TrailOutput,
    home_region: String,
    has_custom_event_selectors: bool,
    has_insight_selectors: bool,
}

/// <https://docs.aws.amazon.com/awscloudtrail/latest/APIReference/API_CreateTrail.html>
pub(super) async fn create_trail(cx: Cx, input: CreateTrailInput) -> Result<TrailOutput> {
    let CreateTrailInput {
        settings,
        tags_list,
    } = input;
    forms::trail_name(&settings.name)?;
    let tags = tags::checked(tags_list)?;
    let organization = match settings.is_organization_trail {
        Some(true) => Some(organizations::administered(&cx).await?),
        _ => None,
    };
    let owner = organization
        .as_ref()
        .map_or(&cx.account, |organization| &organization.management_account);
    let mut trail = Trail {
        account: owner.clone(),
        home_region: cx.region.clone(),
        name: settings.name.clone(),
        include_global_service_events: true,
        recursive_logging: true,
        organization_id: organization
            .as_ref()
            .map(|organization| organization.id.clone()),
        ..Trail::default()
    };
    Settings::check(&cx, settings, &trail)
        .await?
        .apply(&mut trail);
    let mut new = trail.within(cx.trails_per_region);
    if tags.is_empty() && organization.is_none() {
        let output = new.trail.clone().into();
        cx.for_record.put_trail(new);
        return Ok(output);
    }
    new.trail.id = insert(&cx.store, &cx.account, &new, &tags).await?;
    if organization.is_some() {
        // In a transaction of its own, which is early enough: a new trail does not log yet.
        organizations::put(&cx, &mut new.trail, organization).await?;
    }
    Ok(new.trail.into())
}

/// Inserts a trail for a caller of `account`, and gives its id.
pub(super) async fn insert(
    store: &Store,
    account: &str,
    new: &NewTrail,
    tags: &[store::Tag],
) -> Result<i64> {
    store
        .trail_insert(new, tags)
        .await
        .map_err(|error| refusal(account, &new.trail.name, new.limit, error))
}

/// <https://docs.aws.amazon.com/awscloudtrail/latest/APIReference/API_UpdateTrail.html>
pub(super) async fn update_trail(cx: Cx, input: SettingsInput) -> Result<TrailOutput> {
    let mut trail = find(&cx, &input.name, Reach::Home).await?;
    let organization = organizations::change(&cx, &trail, input.is_organization_trail).await?;
    if let Some(organization) = &organization {
        trail.organization_id = organization
            .as_ref()
            .map(|organization| organization.id.clone());
    }
    let settings = Settings::check(&cx, input, &trail).await?;
    let updated = cx
        .store
        .trail_update(trail.id, cx.trails_per_region, cx.change(), |trail| {
            settings.apply(trail)
        })
        .await
        .map_err(|error| refusal(&cx.account, &trail.name, cx.trails_per_region, error))?;
    let mut updated = updated.ok_or_else(|| Error::trail_not_found(&trail.arn(), &cx.account))?;
    if let Some(organization) = organization {
        organizations::put(&cx, &mut updated, organization).await?;
    }
    Ok(updated.into())
}

fn refusal(account: &str, name: &str, limit: u32, error: TrailError) -> Error {
    match error {
        TrailError::NameTaken => Error::trail_exists(name, account),
        TrailError::RegionFull { region } => Error::too_many_trails(account, limit, &region),
        TrailError::Store(error) => error.into(),
    }
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct NameInput {
    name: String,
}

/// What the trail has taken is still delivered.
/// <https://docs.aws.amazon.com/awscloudtrail/latest/APIReference/API_DeleteTrail.html>
pub(super) async fn delete_trail(cx: Cx, input: NameInput) -> Result<Empty> {
    let trail = find(&cx, &input.name, Reach::Home).await?;
    let found = cx.store.trail_delete(trail.id, cx.change()).await?;
    done(&cx, &trail, found)
}

/// Idempotent; a second start counts as the latest one.
/// <https://docs.aws.amazon.com/awscloudtrail/latest/APIReference/API_StartLogging.html>
pub(super) async fn start_logging(cx: Cx, input: NameInput) -> Result<Empty> {
    let trail = find(&cx, &input.name, Reach::Home).await?;
    let found = cx.store.trail_logging_start(trail.id, cx.change()).await?;
    done(&cx, &trail, found)
}

/// What the trail has taken is still delivered; its Insights are turned off.
/// <https://docs.aws.amazon.com/awscloudtrail/latest/APIReference/API_StopLogging.html>
pub(super) async fn stop_logging(cx: Cx, input: NameInput) -> Result<Empty> {
    let trail = find(&cx, &input.name, Reach::Home).await?;
    let found = cx.store.trail_logging_stop(trail.id, cx.change()).await?;
    done(&cx, &trail, found)
}

/// The answer of a write that found its trail; it may have gone since it was looked up.
fn done(cx: &Cx, trail: &Trail, found: bool) -> Result<Empty> {
    match found {
        true => Ok(Empty {}),
        false => Err(Error::trail_not_found(&trail.arn(), &cx.account)),
    }
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct GetTrailOutput {
    trail: TrailDescription,
}

/// <https://docs.aws.amazon.com/awscloudtrail/latest/APIReference/API_GetTrail.html>
pub(super) async fn get_trail(cx: Cx, input: NameInput) -> Result<GetTrailOutput> {
    let trail = find(&cx, &input.name, Reach::Anywhere).await?;
    Ok(GetTrailOutput {
        trail: trail.into(),
    })
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct DescribeTrailsInput {
    #[serde(default)]
    trail_name_list: Vec<String>,
    include_shadow_trails: Option<bool>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct DescribeTrailsOutput {
    trail_list: Vec<TrailDescription>,
}

/// Without names: the trails seen in the called region. With names: those of them that exist, no error for the rest.
/// <https://docs.aws.amazon.com/awscloudtrail/latest/APIReference/API_DescribeTrails.html>
pub(super) async fn describe_trails(
    cx: Cx,
    input: DescribeTrailsInput,
) -> Result<DescribeTrailsOutput> {
    for name in &input.trail_name_list {
        TrailName::parse(name)?;
    }
    let wanted: HashSet<&str> = input.trail_name_list.iter().map(String::as_str).collect();
    let with_shadows = input.include_shadow_trails.unwrap_or(true);
    let trails = cx.store.trail_list(&cx.account).await?;
    // An account of an organization sees its trails as shadows.
    let copies = cx.store.organization_trails(&cx.account).await?;
    let trail_list = trails
        .iter()
        .cloned()
        .chain(copies)
        .filter(|trail| {
            let is_home = trail.account == cx.account && trail.home_region == cx.region;
            if wanted.is_empty() {
                is_home || (with_shadows && trail.covers(&cx.region))
            } else {
                (is_home && wanted.contains(trail.name.as_str()))
                    || wanted.contains(trail.arn().as_str())
            }
        })
        .map(TrailDescription::from)
        .collect();
    Ok(DescribeTrailsOutput { trail_list })
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct ListTrailsInput {
    next_token: Option<String>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct ListTrailsOutput {
    trails: Vec<TrailInfo>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_token: Option<String>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct TrailInfo {
    #[serde(rename = "TrailARN")]
    trail_arn: String,
    name: String,
    home_region: String,
}

/// The account's trails in all regions, each once.
/// <https://docs.aws.amazon.com/awscloudtrail/latest/APIReference/API_ListTrails.html>
pub(super) async fn list_trails(cx: Cx, input: ListTrailsInput) -> Result<ListTrailsOutput> {
    let filter = ("ListTrails", &cx.account);
    let after: i64 = match &input.next_token {
        Some(token) => page_after(&filter, token)?,
        None => 0,
    };
    let trails = cx.store.trail_list(&cx.account).await?;
    let after = trails.partition_point(|trail| trail.id <= after);
    let trails = &trails[after..];
    let next_token = match trails.get(TRAILS_PER_PAGE - 1) {
        Some(last) if trails.len() > TRAILS_PER_PAGE => Some(page_token(&filter, &last.id)?),
        _ => None,
    };
    Ok(ListTrailsOutput {
        trails: trails
            .iter()
            .take(TRAILS_PER_PAGE)
            .map(|trail| TrailInfo {
                trail_arn: trail.arn(),
                name: trail.name.clone(),
                home_region: trail.home_region.clone(),
            })
            .collect(),
        next_token,
    })
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct GetTrailStatusOutput {
    is_logging: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    latest_delivery_error: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    latest_notification_error: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    latest_delivery_time: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    latest_notification_time: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    start_logging_time: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    stop_logging_time: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    latest_cloud_watch_logs_delivery_error: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    latest_cloud_watch_logs_delivery_time: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    latest_digest_delivery_time: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    latest_digest_delivery_error: Option<String>,
    // Long out of use, and always there: times as text, also where the name promises a yes or no, or "".
    latest_delivery_attempt_time: String,
    latest_notification_attempt_time: String,
    latest_notification_attempt_succeeded: String,
    latest_delivery_attempt_succeeded: String,
    time_logging_started: String,
    time_logging_stopped: String,
}

/// The status of delivery from the called region.
/// <https://docs.aws.amazon.com/awscloudtrail/latest/APIReference/API_GetTrailStatus.html>
pub(super) async fn get_trail_status(cx: Cx, input: NameInput) -> Result<GetTrailStatusOutput> {
    let (trail, status) = trail_and_status(&cx, &input.name).await?;
    Ok(GetTrailStatusOutput {
        is_logging: trail.is_logging,
        latest_delivery_error: status.log_files.error.filter(is_shown),
        latest_notification_error: status.notifications.error,
        latest_delivery_time: status.log_files.succeeded_ms.map(Timestamp),
        latest_notification_time: status.notifications.succeeded_ms.map(Timestamp),
        start_logging_time: trail.start_logging_ms.map(Timestamp),
        stop_logging_time: trail.stop_logging_ms.map(Timestamp),
        latest_cloud_watch_logs_delivery_error: status.logs.error,
        latest_cloud_watch_logs_delivery_time: status.logs.succeeded_ms.map(Timestamp),
        latest_digest_delivery_time: status.digests.succeeded_ms.map(Timestamp),
        latest_digest_delivery_error: status.digests.error.filter(is_shown),
        latest_delivery_attempt_time: text_time(status.log_files.attempted_ms),
        latest_notification_attempt_time: text_time(status.notifications.attempted_ms),
        latest_notification_attempt_succeeded: text_time(status.notifications.succeeded_ms),
        latest_delivery_attempt_succeeded: text_time(status.log_files.succeeded_ms),
        time_logging_started: text_time(trail.start_logging_ms),
        time_logging_stopped: text_time(trail.stop_logging_ms),
    })
}

async fn trail_and_status(cx: &Cx, name: &str) -> Result<(Trail, DeliveryStatus)> {
    if let Some(trail) = organizations::trail_by_arn(cx, name, Reach::Shadow).await? {
        let status = cx.store.delivery_status_get(trail.id, &cx.region).await?;
        return Ok((trail, status));
    }
    let named = Named::read(cx, name, Reach::Shadow)?;
    let found = cx
        .store
        .trail_get_with_status(&cx.account, named.home_region, named.name, &cx.region)
        .await?;
    let (trail, status) = found.unzip();
    Ok((named.checked(cx, trail)?, status.unwrap_or_default()))
}

/// Errors of S3 are shown, but not that it did not answer in time (facts 2.4).
fn is_shown(code: &String) -> bool {
    code != TargetError::TIMEOUT
}

/// `2015-09-01T20:35:57Z`, or nothing.
fn text_time(ms: Option<i64>) -> String {
    ms.and_then(DateTime::from_timestamp_millis)
        .map(|time| time.to_rfc3339_opts(SecondsFormat::Secs, true))
        .unwrap_or_default()
}

/// How far from the called region an ARN reaches. A bare name never does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reach {
    /// Not at all: the trail is to be changed.
    Home,
    /// To multi-region trails, which have a shadow here.
    Shadow,
    /// To all trails. Only GetTrail.
    Anywhere,
}

/// The trail that the caller means by `name`.
pub(super) async fn find(cx: &Cx, name: &str, reach: Reach) -> Result<Trail> {
    if let Some(trail) = organizations::trail_by_arn(cx, name, reach).await? {
        return Ok(trail);
    }
    let named = Named::read(cx, name, reach)?;
    let found = cx
        .store
        .trail_get(&cx.account, named.home_region, named.name)
        .await?;
    named.checked(cx, found)
}

/// Which trail a caller means, and how an error calls it.
struct Named<'a> {
    home_region: &'a str,
    name: &'a str,
    /// An ARN, also where the caller gave a name; only GetTrail repeats the name.
    called: Cow<'a, str>,
    reach: Reach,
}

impl<'a> Named<'a> {
    /// Trails of other accounts are refused here.
    fn read(cx: &'a Cx, text: &'a str, reach: Reach) -> Result<Self> {
        let (home_region, name, called) = match TrailName::parse(text)? {
            TrailName::Bare(name) if reach == Reach::Anywhere => {
                (cx.region.as_str(), name, Cow::Borrowed(name))
            }
            TrailName::Bare(name) => {
                let arn = Trail::arn_of(&cx.account, &cx.region, name);
                (cx.region.as_str(), name, Cow::Owned(arn))
            }
            TrailName::Arn { arn, .. } if arn.account != cx.account => {
                return Err(Error::trail_not_found(text, &cx.account));
            }
            TrailName::Arn { arn, name } => (arn.region, name, Cow::Borrowed(text)),
        };
        Ok(Self {
            home_region,
            name,
            called,
            reach,
        })
    }

    /// The trail that was `found`, if it can be reached from here.
    fn checked(&self, cx: &Cx, found: Option<Trail>) -> Result<Trail> {
        let not_found = || Error::trail_not_found(&self.called, &cx.account);
        let trail = found.ok_or_else(not_found)?;
        match self.reach {
            Reach::Home if self.home_region != cx.region => {
                Err(Error::home_region(&self.called, self.home_region))
            }
            Reach::Shadow if !trail.covers(&cx.region) => Err(not_found()),
            _ => Ok(trail),
        }
    }
}

impl From<Trail> for TrailOutput {
    fn from(trail: Trail) -> Self {
        Self {
            trail_arn: trail.arn(),
            name: trail.name,
            s3_bucket_name: trail.s3_bucket_name,
            s3_key_prefix: trail.s3_key_prefix,
            sns_topic_name: trail.sns_topic_name,
            sns_topic_arn: trail.sns_topic_arn,
            include_global_service_events: trail.include_global_service_events,
            is_multi_region_trail: trail.is_multi_region,
            log_file_validation_enabled: trail.log_file_validation,
            cloud_watch_logs_log_group_arn: trail.cloud_watch_logs_log_group_arn,
            cloud_watch_logs_role_arn: trail.cloud_watch_logs_role_arn,
            kms_key_id: trail.kms_key_id,
            recursive_logging: trail.recursive_logging,
            is_organization_trail: trail.organization_id.is_some(),
        }
    }
}

impl From<Trail> for TrailDescription {
    fn from(trail: Trail) -> Self {
        Self {
            home_region: trail.home_region.clone(),
            has_custom_event_selectors: trail.has_custom_selectors,
            has_insight_selectors: !trail.insight_selectors.is_empty(),
            trail: trail.into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;
    use serde_json::json;

    use super::super::testing::Api;

    const MAIN: &str = "arn:aws:cloudtrail:us-east-1:111122223333:trail/main";

    #[tokio::test]
    async fn a_trail_is_described_listed_and_deleted() {
        let api = Api::new().await;
        api.make_trail("main", false).await;
        let description = json!({
            "Name": "main",
            "S3BucketName": "logs",
            "IncludeGlobalServiceEvents": true,
            "IsMultiRegionTrail": false,
            "TrailARN": MAIN,
            "LogFileValidationEnabled": false,
            "IsOrganizationTrail": false,
            "HomeRegion": "us-east-1",
            "HasCustomEventSelectors": false,
            "HasInsightSelectors": false,
            "RecursiveLogging": true,
        });
        for name in ["main", MAIN] {
            assert_eq!(
                api.call("GetTrail", json!({ "Name": name })).await,
                json!({ "Trail": description })
            );
        }
        assert_eq!(
            api.call("DescribeTrails", json!({})).await,
            json!({ "trailList": [description] })
        );
        assert_eq!(
            api.call("ListTrails", json!({})).await,
            json!({ "Trails": [{ "TrailARN": MAIN, "Name": "main", "HomeRegion": "us-east-1" }] })
        );
        assert_eq!(
            api.call("DeleteTrail", json!({ "Name": "main" })).await,
            json!({})
        );
        assert_eq!(
            api.call("DescribeTrails", json!({})).await,
            json!({ "trailList": [] })
        );
    }

    #[tokio::test]
    async fn unknown_trails_are_not_found_by_their_arn_and_by_get_trail_by_their_name() {
        let mut api = Api::new().await;
        let by_arn =
            format!("TrailNotFoundException: Unknown trail: {MAIN} for the user: 111122223333");
        for operation in [
            "DeleteTrail",
            "GetTrailStatus",
            "StartLogging",
            "StopLogging",
            "UpdateTrail",
        ] {
            for name in ["main", MAIN] {
                assert_eq!(
                    api.refused(operation, json!({ "Name": name })).await,
                    by_arn,
                    "{operation}"
                );
            }
        }
        assert_eq!(
            api.refused("GetTrail", json!({ "Name": MAIN })).await,
            by_arn
        );
        assert_eq!(
            api.refused("GetTrail", json!({ "Name": "main" })).await,
            "TrailNotFoundException: Unknown trail: main for the user: 111122223333"
        );
        assert!(
            api.refused("GetTrail", json!({ "Name": "ab" }))
                .await
                .starts_with("InvalidTrailNameException: Trail name too short.")
        );

        api.make_trail("main", true).await;
        api.go("444455556666", "us-east-1");
        assert_eq!(
            api.refused("GetTrail", json!({ "Name": MAIN })).await,
            format!("TrailNotFoundException: Unknown trail: {MAIN} for the user: 444455556666")
        );
        assert_eq!(
            api.call("DescribeTrails", json!({ "trailNameList": [MAIN] }))
                .await,
            json!({ "trailList": [] })
        );
    }

    #[tokio::test]
    async fn other_regions_see_trails_by_arn_and_shadows_without() {
        let mut api = Api::new().await;
        api.make_trail("every", true).await;
        api.make_trail("main", false).await;
        let every = MAIN.replace("main", "every");
        api.go("111122223333", "eu-west-1");

        for name in ["every", "main"] {
            for operation in ["GetTrail", "GetTrailStatus", "UpdateTrail"] {
                let refused = api.refused(operation, json!({ "Name": name })).await;
                assert!(refused.starts_with("TrailNotFoundException"), "{refused}");
            }
        }
        assert_eq!(
            api.refused("StartLogging", json!({ "Name": "main" })).await,
            "TrailNotFoundException: Unknown trail: arn:aws:cloudtrail:eu-west-1:111122223333:trail/main \
             for the user: 111122223333"
        );
        for arn in [MAIN, &every] {
            for operation in ["DeleteTrail", "StartLogging", "StopLogging", "UpdateTrail"] {
                let refused = api.refused(operation, json!({ "Name": arn })).await;
                assert!(
                    refused.starts_with("InvalidHomeRegionException"),
                    "{refused}"
                );
            }
            api.call("GetTrail", json!({ "Name": arn })).await;
        }
        api.call("GetTrailStatus", json!({ "Name": every })).await;
        let refused = api.refused("GetTrailStatus", json!({ "Name": MAIN })).await;
        assert!(refused.starts_with("TrailNotFoundException"), "{refused}");

        for (input, names) in [
            (json!({}), vec!["every"]),
            (json!({ "includeShadowTrails": true }), vec!["every"]),
            (json!({ "includeShadowTrails": false }), vec![]),
            (json!({ "trailNameList": ["main", "every"] }), vec![]),
            (
                json!({ "trailNameList": [MAIN, every, "none"] }),
                vec!["every", "main"],
            ),
        ] {
            let answer = api.call("DescribeTrails", input.clone()).await;
            let found: Vec<_> = answer["trailList"]
                .as_array()
                .unwrap()
                .iter()
                .map(|trail| trail["Name"].as_str().unwrap())
                .collect();
            assert_eq!(found, names, "{input}");
        }
        let listed = api.call("ListTrails", json!({})).await;
        assert_eq!(listed["Trails"].as_array().unwrap().len(), 2);
    }

    #[tokio::test]
    async fn the_status_tells_of_logging_and_delivery() {
        let api = Api::new().await;
        let trail = api.make_trail("main", false).await;
        assert_eq!(
            api.call("GetTrailStatus", json!({ "Name": "main" })).await,
            json!({
                "IsLogging": false,
                "LatestDeliveryAttemptTime": "",
                "LatestNotificationAttemptTime": "",
                "LatestNotificationAttemptSucceeded": "",
                "LatestDeliveryAttemptSucceeded": "",
                "TimeLoggingStarted": "",
                "TimeLoggingStopped": "",
            })
        );
        let start_ms = api.cx.clock.now_ms();
        for _ in 0..2 {
            assert_eq!(
                api.call("StartLogging", json!({ "Name": "main" })).await,
                json!({})
            );
        }
        api.cx.clock.set(api.cx.clock.now() + TimeDelta::minutes(1));
        api.call("StopLogging", json!({ "Name": "main" })).await;
        let store = &api.cx.store;
        store
            .delivery_succeeded(trail.id, "us-east-1", start_ms)
            .await
            .unwrap();
        store
            .delivery_failed(trail.id, "us-east-1", start_ms + 1000, "AccessDenied")
            .await
            .unwrap();
        store
            .digest_succeeded(trail.id, "us-east-1", start_ms)
            .await
            .unwrap();
        store
            .digest_failed(trail.id, "us-east-1", start_ms, "RequestTimeout")
            .await
            .unwrap();
        store
            .notification_succeeded(trail.id, "eu-west-1", start_ms)
            .await
            .unwrap();
        assert_eq!(
            api.call("GetTrailStatus", json!({ "Name": "main" })).await,
            json!({
                "IsLogging": false,
                "LatestDeliveryError": "AccessDenied",
                "LatestDeliveryTime": 1_800_000_000.25,
                "StartLoggingTime": 1_800_000_000.25,
                "StopLoggingTime": 1_800_000_060.25,
                "LatestDigestDeliveryTime": 1_800_000_000.25,
                "LatestDeliveryAttemptTime": "2027-01-15T08:00:01Z",
                "LatestNotificationAttemptTime": "",
                "LatestNotificationAttemptSucceeded": "",
                "LatestDeliveryAttemptSucceeded": "2027-01-15T08:00:00Z",
                "TimeLoggingStarted": "2027-01-15T08:00:00Z",
                "TimeLoggingStopped": "2027-01-15T08:01:00Z",
            })
        );
    }

    #[tokio::test]
    async fn list_trails_pages() {
        let api = Api::new().await;
        for number in 0..250 {
            let trail =
                super::super::testing::trail("111122223333", "us-east-1", &format!("t-{number}"));
            api.cx
                .store
                .trail_insert(&trail.clone().within(1000), &[])
                .await
                .unwrap();
        }
        let mut names = Vec::new();
        let mut input = json!({});
        loop {
            let page = api.call("ListTrails", input).await;
            names.extend(
                page["Trails"]
                    .as_array()
                    .unwrap()
                    .iter()
                    .map(|trail| trail["Name"].clone()),
            );
            match page.get("NextToken") {
                Some(token) => input = json!({ "NextToken": token }),
                None => break,
            }
        }
        let expected: Vec<_> = (0..250)
            .map(|number| json!(format!("t-{number}")))
            .collect();
        assert_eq!(names, expected);
        let refused = api.refused("ListTrails", json!({ "NextToken": "x" })).await;
        assert!(
            refused.starts_with("InvalidNextTokenException"),
            "{refused}"
        );
    }

    #[tokio::test]
    async fn operations_that_are_not_built_say_so() {
        let api = Api::new().await;
        assert_eq!(
            api.refused("StartQuery", json!({})).await,
            "UnsupportedOperationException: The operation StartQuery is not supported."
        );
        assert!(
            api.refused("MakeTrail", json!({}))
                .await
                .starts_with("UnknownOperationException")
        );
    }
}
