//! Topics.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{
    Attributes, PAGE, PageInput, Sns, Tag, after, from_json, invalid_parameter, page, to_json,
};
use crate::aws::arn::{Arn, partition};
use crate::embedded::{Caller, Error};
use crate::store::Topic;

/// What a topic retries by, if it is not told.
/// <https://docs.aws.amazon.com/sns/latest/dg/sns-message-delivery-retries.html>
const DELIVERY_POLICY: &str = r#"{"http":{"defaultHealthyRetryPolicy":{"minDelayTarget":20,"maxDelayTarget":20,"numRetries":3,"numMaxDelayRetries":0,"numNoDelayRetries":0,"numMinDelayRetries":0,"backoffFunction":"linear"},"disableSubscriptionOverrides":false,"defaultRequestPolicy":{"headerContentType":"text/plain; charset=UTF-8"}}}"#;

/// Attributes that may be set.
const SETTABLE: &[&str] = &[
    "ArchivePolicy",
    "ContentBasedDeduplication",
    "DataProtectionPolicy",
    "DeliveryPolicy",
    "DisplayName",
    "FifoThroughputScope",
    "FifoTopic",
    "KmsMasterKeyId",
    "Policy",
    "SignatureVersion",
    "TracingConfig",
];

/// Beside those, the feedback of each kind of endpoint: `HTTPSuccessFeedbackRoleArn`.
const SETTABLE_ENDS: &[&str] = &[
    "SuccessFeedbackRoleArn",
    "SuccessFeedbackSampleRate",
    "FailureFeedbackRoleArn",
];

const MAX_TAGS: usize = 50;

fn check_attribute(name: &str, value: &str) -> Result<(), Error> {
    if !SETTABLE.contains(&name) && !SETTABLE_ENDS.iter().any(|end| name.ends_with(end)) {
        return Err(invalid_parameter("AttributeName"));
    }
    let is_policy = name == "Policy" && !value.is_empty();
    let is_object = || matches!(serde_json::from_str(value), Ok(Value::Object(_)));
    if is_policy && !is_object() {
        return Err(invalid_parameter(
            "Policy Error: null or invalid policy document",
        ));
    }
    Ok(())
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct CreateTopicInput {
    name: String,
    #[serde(default)]
    attributes: Attributes,
    #[serde(default)]
    tags: Vec<Tag>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct TopicArn {
    topic_arn: String,
}

/// <https://docs.aws.amazon.com/sns/latest/api/API_CreateTopic.html>
pub(super) async fn create_topic(
    sns: Sns,
    caller: Caller,
    input: CreateTopicInput,
) -> Result<TopicArn, Error> {
    check_name(&input.name, &input.attributes)?;
    for (name, value) in &input.attributes {
        check_attribute(name, value)?;
    }
    check_tags(&input.tags)?;
    let arn = Arn {
        partition: partition(&caller.region),
        service: "sns",
        region: &caller.region,
        account: &caller.account,
        resource: &input.name,
    };
    let topic = Topic {
        arn: arn.to_string(),
        account: caller.account.clone(),
        region: caller.region.clone(),
        created_ms: sns.clock.now_ms(),
        attributes: to_json(&input.attributes)?,
        tags: to_json(&input.tags)?,
    };
    let insert = sns.store.topic_insert(&topic).await;
    insert.map_err(Error::internal)?;
    let kept = sns.topic(&topic.arn).await?;
    let old: Attributes = from_json(&kept.attributes)?;
    let is_same = |(name, value): (&String, &String)| old.get(name) == Some(value);
    if !input.attributes.iter().all(is_same) {
        return Err(invalid_parameter(
            "Attributes Reason: Topic already exists with different attributes",
        ));
    }
    let old: Vec<Tag> = from_json(&kept.tags)?;
    if !input.tags.iter().all(|tag| old.contains(tag)) {
        return Err(invalid_parameter(
            "Tags Reason: Topic already exists with different tags",
        ));
    }
    Ok(TopicArn {
        topic_arn: kept.arn,
    })
}

fn check_name(name: &str, attributes: &Attributes) -> Result<(), Error> {
    let is_fifo = attributes
        .get("FifoTopic")
        .is_some_and(|fifo| fifo == "true");
    let base = name.strip_suffix(".fifo");
    if is_fifo && base.is_none() {
        return Err(invalid_parameter(
            "Fifo Topic names must end with .fifo and must be made up of only uppercase and lowercase ASCII letters, \
            numbers, underscores, and hyphens, and must be between 1 and 256 characters long.",
        ));
    }
    let base = base.filter(|_| is_fifo).unwrap_or(name);
    let is_plain = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
    if base.is_empty() || name.len() > 256 || !base.bytes().all(is_plain) {
        return Err(invalid_parameter("Topic Name"));
    }
    Ok(())
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct TopicInput {
    topic_arn: String,
}

/// <https://docs.aws.amazon.com/sns/latest/api/API_DeleteTopic.html>
pub(super) async fn delete_topic(sns: Sns, _: Caller, input: TopicInput) -> Result<(), Error> {
    if Arn::parse(&input.topic_arn).is_none() {
        return Err(invalid_parameter("TopicArn"));
    }
    let done = sns.store.topic_delete(&input.topic_arn).await;
    done.map_err(Error::internal)
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct ListTopicsOutput {
    topics: Vec<TopicArn>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_token: Option<String>,
}

/// <https://docs.aws.amazon.com/sns/latest/api/API_ListTopics.html>
pub(super) async fn list_topics(
    sns: Sns,
    caller: Caller,
    input: PageInput,
) -> Result<ListTopicsOutput, Error> {
    let after = after(input.next_token.as_deref())?;
    let found = sns
        .store
        .topic_page(&caller.account, &caller.region, &after, PAGE + 1)
        .await;
    let (topics, next_token) = page(found.map_err(Error::internal)?, |topic| &topic.arn);
    Ok(ListTopicsOutput {
        topics: topics
            .into_iter()
            .map(|topic| TopicArn {
                topic_arn: topic.arn,
            })
            .collect(),
        next_token,
    })
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct AttributesOutput {
    pub(super) attributes: Attributes,
}

/// <https://docs.aws.amazon.com/sns/latest/api/API_GetTopicAttributes.html>
pub(super) async fn get_topic_attributes(
    sns: Sns,
    _: Caller,
    input: TopicInput,
) -> Result<AttributesOutput, Error> {
    let topic = sns.topic(&input.topic_arn).await?;
    let subscriptions = sns
        .store
        .subscription_page_by_topic(&topic.arn, "", i64::MAX)
        .await;
    let subscriptions = subscriptions.map_err(Error::internal)?;
    let pending = subscriptions
        .iter()
        .filter(|subscription| subscription.token.is_some())
        .count();
    let mut attributes: Attributes = [
        ("DisplayName", String::new()),
        ("EffectiveDeliveryPolicy", DELIVERY_POLICY.to_owned()),
        ("Owner", topic.account.clone()),
        (
            "SubscriptionsConfirmed",
            (subscriptions.len() - pending).to_string(),
        ),
        ("SubscriptionsDeleted", "0".to_owned()),
        ("SubscriptionsPending", pending.to_string()),
        ("TopicArn", topic.arn.clone()),
    ]
    .into_iter()
    .map(|(name, value)| (name.to_owned(), value))
    .collect();
    let set: Attributes = from_json(&topic.attributes)?;
    if let Some(policy) = set.get("DeliveryPolicy") {
        attributes.insert("EffectiveDeliveryPolicy".to_owned(), policy.clone());
    }
    attributes.extend(set);
    attributes.insert("Policy".to_owned(), policy(&topic));
    Ok(AttributesOutput { attributes })
}

/// The policy of a topic: the one that was set, or the one that AWS gives a new topic.
pub(super) fn policy(topic: &Topic) -> String {
    let set: Attributes = from_json(&topic.attributes).unwrap_or_default();
    match set.get("Policy") {
        Some(policy) if !policy.is_empty() => policy.clone(),
        _ => json!({
            "Version": "2008-10-17",
            "Id": "__default_policy_ID",
            "Statement": [{
                "Sid": "__default_statement_ID",
                "Effect": "Allow",
                "Principal": {"AWS": "*"},
                "Action": [
                    "SNS:GetTopicAttributes",
                    "SNS:SetTopicAttributes",
                    "SNS:AddPermission",
                    "SNS:RemovePermission",
                    "SNS:DeleteTopic",
                    "SNS:Subscribe",
                    "SNS:ListSubscriptionsByTopic",
                    "SNS:Publish",
                ],
                "Resource": topic.arn,
                "Condition": {"StringEquals": {"AWS:SourceOwner": topic.account}},
            }],
        })
        .to_string(),
    }
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct SetTopicAttributesInput {
    topic_arn: String,
    attribute_name: String,
    #[serde(default)]
    attribute_value: String,
}

/// <https://docs.aws.amazon.com/sns/latest/api/API_SetTopicAttributes.html>
pub(super) async fn set_topic_attributes(
    sns: Sns,
    _: Caller,
    input: SetTopicAttributesInput,
) -> Result<(), Error> {
    check_attribute(&input.attribute_name, &input.attribute_value)?;
    let topic = sns.topic(&input.topic_arn).await?;
    sns.set_attribute(&topic, &input.attribute_name, input.attribute_value)
        .await
}

impl Sns {
    async fn set_attribute(&self, topic: &Topic, name: &str, value: String) -> Result<(), Error> {
        let mut attributes: Attributes = from_json(&topic.attributes)?;
        attributes.insert(name.to_owned(), value);
        let attributes = to_json(&attributes)?;
        let done = self
            .store
            .topic_update(&topic.arn, &attributes, &topic.tags);
        done.await.map_err(Error::internal)
    }

    async fn set_tags(&self, topic: &Topic, tags: &[Tag]) -> Result<(), Error> {
        let tags = to_json(&tags)?;
        let done = self
            .store
            .topic_update(&topic.arn, &topic.attributes, &tags);
        done.await.map_err(Error::internal)
    }
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct AddPermissionInput {
    topic_arn: String,
    label: String,
    #[serde(rename = "AWSAccountId")]
    aws_account_id: Vec<String>,
    action_name: Vec<String>,
}

/// <https://docs.aws.amazon.com/sns/latest/api/API_AddPermission.html>
pub(super) async fn add_permission(
    sns: Sns,
    _: Caller,
    input: AddPermissionInput,
) -> Result<(), Error> {
    let topic = sns.topic(&input.topic_arn).await?;
    let mut policy: Value = from_json(&policy(&topic))?;
    let statements = statements(&mut policy)?;
    if statements.iter().any(|one| one["Sid"] == *input.label) {
        return Err(invalid_parameter("Statement already exists"));
    }
    let users = input.aws_account_id.iter();
    let users: Vec<String> = users.map(|id| format!("arn:aws:iam::{id}:root")).collect();
    let actions = input.action_name.iter();
    let actions: Vec<String> = actions.map(|name| format!("SNS:{name}")).collect();
    statements.push(json!({
        "Sid": input.label,
        "Effect": "Allow",
        "Principal": {"AWS": users},
        "Action": actions,
        "Resource": topic.arn,
    }));
    sns.set_attribute(&topic, "Policy", policy.to_string())
        .await
}

fn statements(policy: &mut Value) -> Result<&mut Vec<Value>, Error> {
    let statements = policy.get_mut("Statement").and_then(Value::as_array_mut);
    statements
        .ok_or_else(|| invalid_parameter("Policy Error: the topic's policy has no statements"))
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct RemovePermissionInput {
    topic_arn: String,
    label: String,
}

/// <https://docs.aws.amazon.com/sns/latest/api/API_RemovePermission.html>
pub(super) async fn remove_permission(
    sns: Sns,
    _: Caller,
    input: RemovePermissionInput,
) -> Result<(), Error> {
    let topic = sns.topic(&input.topic_arn).await?;
    let mut policy: Value = from_json(&policy(&topic))?;
    statements(&mut policy)?.retain(|one| one["Sid"] != *input.label);
    sns.set_attribute(&topic, "Policy", policy.to_string())
        .await
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct TagResourceInput {
    resource_arn: String,
    tags: Vec<Tag>,
}

/// <https://docs.aws.amazon.com/sns/latest/api/API_TagResource.html>
pub(super) async fn tag_resource(
    sns: Sns,
    _: Caller,
    input: TagResourceInput,
) -> Result<(), Error> {
    let topic = sns.tagged(&input.resource_arn).await?;
    let mut tags: Vec<Tag> = from_json(&topic.tags)?;
    tags.retain(|old| !input.tags.iter().any(|new| new.key == old.key));
    tags.extend(input.tags);
    check_tags(&tags)?;
    sns.set_tags(&topic, &tags).await
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct UntagResourceInput {
    resource_arn: String,
    tag_keys: Vec<String>,
}

/// <https://docs.aws.amazon.com/sns/latest/api/API_UntagResource.html>
pub(super) async fn untag_resource(
    sns: Sns,
    _: Caller,
    input: UntagResourceInput,
) -> Result<(), Error> {
    let topic = sns.tagged(&input.resource_arn).await?;
    let mut tags: Vec<Tag> = from_json(&topic.tags)?;
    tags.retain(|tag| !input.tag_keys.contains(&tag.key));
    sns.set_tags(&topic, &tags).await
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct ListTagsForResourceInput {
    resource_arn: String,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct ListTagsForResourceOutput {
    tags: Vec<Tag>,
}

/// <https://docs.aws.amazon.com/sns/latest/api/API_ListTagsForResource.html>
pub(super) async fn list_tags_for_resource(
    sns: Sns,
    _: Caller,
    input: ListTagsForResourceInput,
) -> Result<ListTagsForResourceOutput, Error> {
    let topic = sns.tagged(&input.resource_arn).await?;
    Ok(ListTagsForResourceOutput {
        tags: from_json(&topic.tags)?,
    })
}

impl Sns {
    /// The topic whose tags are asked for: where it is missing, these operations have a code of their own.
    async fn tagged(&self, arn: &str) -> Result<Topic, Error> {
        let topic = self.store.topic_get(arn).await.map_err(Error::internal)?;
        topic.ok_or_else(|| {
            Error::new("ResourceNotFound", "Resource does not exist").with_status(404)
        })
    }
}

fn check_tags(tags: &[Tag]) -> Result<(), Error> {
    if tags.len() > MAX_TAGS {
        return Err(Error::new(
            "TagLimitExceeded",
            "Could not complete request: tag quota of per resource exceeded",
        ));
    }
    let is_valid = |tag: &Tag| {
        (1..=128).contains(&tag.key.chars().count()) && tag.value.chars().count() <= 256
    };
    let is_repeated = |(index, tag): (usize, &Tag)| {
        tags.iter()
            .take(index)
            .any(|earlier| earlier.key == tag.key)
    };
    if !tags.iter().all(is_valid) || tags.iter().enumerate().any(is_repeated) {
        return Err(invalid_parameter("Tags"));
    }
    Ok(())
}
