//! Tags of trails. Resources are named by ARN alone, and only those of the called region.

use std::collections::HashSet;

use serde::{Deserialize, Serialize};

use super::error::{Error, Result};
use super::forms::{self, TrailName};
use super::{Cx, Empty};
use crate::aws::arn::Arn;
use crate::store::{self, Trail};

/// Tags that a resource may have.
const TAGS_PER_RESOURCE: u32 = 50;

/// Resources that ListTags takes at once.
const RESOURCES_PER_CALL: usize = 20;

/// CloudTrail's other taggable resources: there are none of them here.
const OTHER_RESOURCES: [&str; 3] = ["channel/", "dashboard/", "eventdatastore/"];

#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Tag {
    key: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    value: Option<String>,
}

/// Of AddTags and RemoveTags; the latter does not look at the values.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct TagsInput {
    resource_id: String,
    tags_list: Vec<Tag>,
}

/// A known key gets the new value.
/// <https://docs.aws.amazon.com/awscloudtrail/latest/APIReference/API_AddTags.html>
pub(super) async fn add_tags(cx: Cx, input: TagsInput) -> Result<Empty> {
    let trail = tagged(&cx, &input.resource_id).await?;
    let tags = checked(input.tags_list)?;
    match cx
        .store
        .trail_tags_add(trail.id, &tags, TAGS_PER_RESOURCE)
        .await?
    {
        true => Ok(Empty {}),
        false => Err(Error::too_many_tags(TAGS_PER_RESOURCE)),
    }
}

/// Keys that are not there are none to remove.
/// <https://docs.aws.amazon.com/awscloudtrail/latest/APIReference/API_RemoveTags.html>
pub(super) async fn remove_tags(cx: Cx, input: TagsInput) -> Result<Empty> {
    let trail = tagged(&cx, &input.resource_id).await?;
    let keys: Vec<String> = input.tags_list.into_iter().map(|tag| tag.key).collect();
    cx.store.trail_tags_remove(trail.id, &keys).await?;
    Ok(Empty {})
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct ListTagsInput {
    resource_id_list: Vec<String>,
    next_token: Option<String>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct ListTagsOutput {
    resource_tag_list: Vec<ResourceTag>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct ResourceTag {
    resource_id: String,
    tags_list: Vec<Tag>,
}

/// There is no second page: tokens are "reserved for future use".
/// <https://docs.aws.amazon.com/awscloudtrail/latest/APIReference/API_ListTags.html>
pub(super) async fn list_tags(cx: Cx, input: ListTagsInput) -> Result<ListTagsOutput> {
    if input.next_token.is_some() {
        return Err(Error::token());
    }
    if input.resource_id_list.len() > RESOURCES_PER_CALL {
        return Err(Error::validation(&[format!(
            "Value '[{}]' at 'resourceIdList' failed to satisfy constraint: \
             Member must have length less than or equal to {RESOURCES_PER_CALL}",
            input.resource_id_list.join(", ")
        )]));
    }
    let mut resource_tag_list = Vec::new();
    for resource_id in input.resource_id_list {
        let trail = tagged(&cx, &resource_id).await?;
        let tags = cx.store.trail_tags_list(trail.id).await?;
        resource_tag_list.push(ResourceTag {
            resource_id,
            tags_list: tags
                .into_iter()
                .map(|(key, value)| Tag { key, value })
                .collect(),
        });
    }
    Ok(ListTagsOutput { resource_tag_list })
}

/// The trail with this ARN.
async fn tagged(cx: &Cx, resource: &str) -> Result<Trail> {
    let arn = Arn::parse(resource)
        .filter(|arn| arn.service == "cloudtrail")
        .ok_or_else(|| Error::trail_arn_invalid(resource))?;
    if OTHER_RESOURCES
        .iter()
        .any(|kind| arn.resource.starts_with(kind))
    {
        return Err(Error::resource_not_found(resource));
    }
    if !arn.resource.starts_with("trail/") {
        return Err(Error::resource_type(resource));
    }
    let TrailName::Arn { arn, name } = forms::trail_arn(resource)? else {
        return Err(Error::trail_arn_invalid(resource));
    };
    if arn.region != cx.region {
        return Err(Error::arn_region(&cx.region));
    }
    let not_found = || Error::resource_not_found(resource);
    if arn.account != cx.account {
        return Err(Error::arn_owner());
    }
    cx.store
        .trail_get(&cx.account, arn.region, name)
        .await?
        .ok_or_else(not_found)
}

/// Tags that a resource may be given, as the store has them.
/// <https://docs.aws.amazon.com/tag-editor/latest/userguide/tagging.html#tag-conventions>
pub(super) fn checked(tags: Vec<Tag>) -> Result<Vec<store::Tag>> {
    if tags.len() > TAGS_PER_RESOURCE as usize {
        return Err(Error::too_many_tags(TAGS_PER_RESOURCE));
    }
    let mut keys = HashSet::new();
    for Tag { key, value } in &tags {
        let length = key.chars().count();
        if !(1..=128).contains(&length) || !is_tag_text(key) {
            return Err(Error::tag(format!("The tag key {key} is not valid.")));
        }
        if key
            .get(..4)
            .is_some_and(|start| start.eq_ignore_ascii_case("aws:"))
        {
            return Err(Error::tag(format!(
                "The tag key {key} begins with aws:, which is reserved."
            )));
        }
        if !keys.insert(key) {
            return Err(Error::tag(format!(
                "The tag key {key} is given more than once."
            )));
        }
        if let Some(value) = value
            && (value.chars().count() > 256 || !is_tag_text(value))
        {
            return Err(Error::tag(format!(
                "The value of the tag {key} is not valid."
            )));
        }
    }
    Ok(tags.into_iter().map(|tag| (tag.key, tag.value)).collect())
}

fn is_tag_text(text: &str) -> bool {
    text.chars().all(|c| {
        c.is_alphanumeric() || (c.is_whitespace() && !c.is_control()) || "_.:/=+-@".contains(c)
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::testing::Api;
    use super::*;

    const MAIN: &str = "arn:aws:cloudtrail:us-east-1:111122223333:trail/main";

    #[test]
    fn tags_follow_the_rules() {
        let (long_key, long_value) = ("k".repeat(129), "v".repeat(257));
        for (key, value, reason) in [
            ("Größe 1", Some("a b_.:/=+-@"), None),
            ("key", Some(""), None),
            ("key", None, None),
            ("", None, Some("not valid")),
            (&long_key, None, Some("not valid")),
            ("a\nb", None, Some("not valid")),
            ("a\u{0}b", None, Some("not valid")),
            ("a,b", None, Some("not valid")),
            ("aws:x", None, Some("reserved")),
            ("AWS:x", None, Some("reserved")),
            ("key", Some(&long_value), Some("value of the tag key")),
            ("key", Some("a;b"), Some("value of the tag key")),
        ] {
            let tag = Tag {
                key: key.to_owned(),
                value: value.map(str::to_owned),
            };
            match (checked(vec![tag]), reason) {
                (Ok(_), None) => {}
                (Err(error), Some(reason)) => {
                    assert!(error.message().contains(reason), "{key}: {error}")
                }
                (result, _) => panic!("{key} {value:?}: {result:?}"),
            }
        }
        let tag = |key: usize| Tag {
            key: key.to_string(),
            value: None,
        };
        assert_eq!(checked((0..50).map(tag).collect()).unwrap().len(), 50);
        let many = checked((0..51).map(tag).collect()).unwrap_err();
        assert_eq!(many.code().as_str(), "TagsLimitExceededException");
        let twice = checked(vec![tag(1), tag(1)]).unwrap_err();
        assert_eq!(twice.code().as_str(), "InvalidTagParameterException");
    }

    #[tokio::test]
    async fn tags_are_added_listed_and_removed() {
        let api = Api::new().await;
        api.make_trail("main", false).await;
        let list = || api.call("ListTags", json!({ "ResourceIdList": [MAIN] }));
        assert_eq!(
            list().await,
            json!({ "ResourceTagList": [{ "ResourceId": MAIN, "TagsList": [] }] })
        );
        for tags in [
            json!([{ "Key": "a", "Value": "1" }, { "Key": "b" }]),
            json!([{ "Key": "a", "Value": "2" }, { "Key": "c", "Value": "3" }]),
        ] {
            let added = api
                .call("AddTags", json!({ "ResourceId": MAIN, "TagsList": tags }))
                .await;
            assert_eq!(added, json!({}));
        }
        let removed = json!({ "ResourceId": MAIN, "TagsList": [{ "Key": "c", "Value": "x" }, { "Key": "d" }] });
        assert_eq!(api.call("RemoveTags", removed).await, json!({}));
        assert_eq!(
            list().await,
            json!({ "ResourceTagList": [{
                "ResourceId": MAIN,
                "TagsList": [{ "Key": "a", "Value": "2" }, { "Key": "b" }],
            }] })
        );
        let many: Vec<_> = (0..49)
            .map(|number| json!({ "Key": format!("k{number}") }))
            .collect();
        let refused = api
            .refused("AddTags", json!({ "ResourceId": MAIN, "TagsList": many }))
            .await;
        assert!(
            refused.starts_with("TagsLimitExceededException"),
            "{refused}"
        );
    }

    #[tokio::test]
    async fn only_trails_of_this_account_and_region_are_tagged() {
        let mut api = Api::new().await;
        api.make_trail("main", true).await;
        for (resource, code) in [
            ("main", "CloudTrailARNInvalidException"),
            ("arn:aws:s3:::logs", "CloudTrailARNInvalidException"),
            (
                "arn:aws:cloudtrail:us-east-1:111122223333:trail/x",
                "CloudTrailARNInvalidException",
            ),
            (
                "arn:aws:cloudtrail:us-east-1:111122223333:trail/none",
                "ResourceNotFoundException",
            ),
            (
                "arn:aws:cloudtrail:us-east-1:444455556666:trail/main",
                "CloudTrailARNInvalidException: You cannot have resources belonging to multiple owners",
            ),
            (
                "arn:aws:cloudtrail:us-east-1:111122223333:eventdatastore/x",
                "ResourceNotFoundException",
            ),
            (
                "arn:aws:cloudtrail:us-east-1:111122223333:query/x",
                "ResourceTypeNotSupportedException",
            ),
        ] {
            let refused = api
                .refused("ListTags", json!({ "ResourceIdList": [MAIN, resource] }))
                .await;
            assert!(refused.starts_with(code), "{refused}");
            for operation in ["AddTags", "RemoveTags"] {
                let refused = api
                    .refused(operation, json!({ "ResourceId": resource, "TagsList": [] }))
                    .await;
                assert!(refused.starts_with(code), "{refused}");
            }
        }
        api.go("111122223333", "eu-west-1");
        assert_eq!(
            api.refused("ListTags", json!({ "ResourceIdList": [MAIN] }))
                .await,
            "CloudTrailARNInvalidException: Region in ARN is wrong, you can only access resources in region eu-west-1."
        );
        let refused = api
            .refused(
                "ListTags",
                json!({ "ResourceIdList": [], "NextToken": "x" }),
            )
            .await;
        assert!(refused.starts_with("InvalidTokenException"), "{refused}");
        let refused = api
            .refused("ListTags", json!({ "ResourceIdList": vec![MAIN; 21] }))
            .await;
        assert!(refused.starts_with("ValidationException"), "{refused}");
    }
}
