//! Subscriptions.

use serde::{Deserialize, Serialize};

use super::topics::AttributesOutput;
use super::{
    Attributes, PAGE, PageInput, Sns, after, from_json, invalid_parameter, not_found, not_kept,
    page, publish, to_json,
};
use crate::aws::arn::Arn;
use crate::embedded::{Caller, Error};
use crate::store::Subscription;

/// What stands for the ARN of a subscription that is not confirmed.
const PENDING: &str = "pending confirmation";

/// The same, in lists.
const PENDING_LISTED: &str = "PendingConfirmation";

/// Each protocol and how its endpoints start.
const PROTOCOLS: &[(&str, &str)] = &[
    ("application", "arn:"),
    ("email", ""),
    ("email-json", ""),
    ("firehose", "arn:"),
    ("http", "http://"),
    ("https", "https://"),
    ("lambda", "arn:"),
    ("sms", ""),
    ("sqs", "arn:"),
];

/// Attributes that may be set.
const SETTABLE: &[&str] = &[
    "DeliveryPolicy",
    "FilterPolicy",
    "FilterPolicyScope",
    "RawMessageDelivery",
    "RedrivePolicy",
    "ReplayPolicy",
    "SubscriptionRoleArn",
];

fn check_attribute(name: &str, value: &str) -> Result<(), Error> {
    let is_valid = match name {
        "RawMessageDelivery" => matches!(value, "true" | "false"),
        "FilterPolicyScope" => matches!(value, "MessageAttributes" | "MessageBody"),
        "FilterPolicy" | "DeliveryPolicy" | "RedrivePolicy" | "ReplayPolicy" => {
            value.is_empty() || serde_json::from_str::<serde_json::Value>(value).is_ok()
        }
        _ => true,
    };
    if !SETTABLE.contains(&name) {
        return Err(invalid_parameter("AttributeName"));
    }
    if !is_valid {
        return Err(invalid_parameter(&format!("Attributes Reason: {name}")));
    }
    Ok(())
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct SubscribeInput {
    topic_arn: String,
    protocol: String,
    #[serde(default)]
    endpoint: String,
    #[serde(default)]
    attributes: Attributes,
    #[serde(default)]
    return_subscription_arn: bool,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct SubscriptionArn {
    subscription_arn: String,
}

/// <https://docs.aws.amazon.com/sns/latest/api/API_Subscribe.html>
pub(super) async fn subscribe(
    sns: Sns,
    caller: Caller,
    input: SubscribeInput,
) -> Result<SubscriptionArn, Error> {
    let known = PROTOCOLS.iter().find(|(name, _)| *name == input.protocol);
    let Some((_, start)) = known else {
        return Err(invalid_parameter(&format!(
            "Amazon SNS does not support this protocol string: {}",
            input.protocol
        )));
    };
    if input.endpoint.is_empty() || !input.endpoint.starts_with(start) {
        let what = match input.protocol.as_str() {
            "http" | "https" => "Endpoint must match the specified protocol",
            "sqs" => "SQS endpoint ARN",
            _ => "Endpoint",
        };
        return Err(invalid_parameter(what));
    }
    for (name, value) in &input.attributes {
        check_attribute(name, value)?;
    }
    let topic = sns.topic(&input.topic_arn).await?;
    let needs_confirmation = matches!(input.protocol.as_str(), "http" | "https");
    let token = sns.ids.text(256, b"0123456789abcdef");
    let subscription = Subscription {
        arn: format!("{}:{}", topic.arn, sns.ids.uuid()),
        topic: topic.arn.clone(),
        account: caller.account,
        region: topic.region.clone(),
        protocol: input.protocol,
        endpoint: input.endpoint,
        token: needs_confirmation.then_some(token),
        attributes: to_json(&input.attributes)?,
    };
    let kept = sns.store.subscription_insert(&subscription).await;
    let kept = kept.map_err(not_kept)?;
    if kept.arn != subscription.arn {
        let old: Attributes = from_json(&kept.attributes)?;
        let is_same = |(name, value): (&String, &String)| old.get(name) == Some(value);
        if !input.attributes.iter().all(is_same) {
            return Err(invalid_parameter(
                "Attributes Reason: Subscription already exists with different attributes",
            ));
        }
    }
    if let Some(token) = &kept.token {
        publish::send_confirmation(&sns, &kept, token)?;
        if !input.return_subscription_arn {
            return Ok(SubscriptionArn {
                subscription_arn: PENDING.to_owned(),
            });
        }
    }
    Ok(SubscriptionArn {
        subscription_arn: kept.arn,
    })
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct ConfirmSubscriptionInput {
    topic_arn: String,
    token: String,
}

/// <https://docs.aws.amazon.com/sns/latest/api/API_ConfirmSubscription.html>
pub(super) async fn confirm_subscription(
    sns: Sns,
    _: Caller,
    input: ConfirmSubscriptionInput,
) -> Result<SubscriptionArn, Error> {
    let topic = sns.topic(&input.topic_arn).await?;
    let confirmed = sns
        .store
        .subscription_confirm(&topic.arn, &input.token)
        .await;
    let confirmed = confirmed.map_err(Error::internal)?;
    let confirmed = confirmed.ok_or_else(|| invalid_parameter("Token"))?;
    Ok(SubscriptionArn {
        subscription_arn: confirmed.arn,
    })
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct SubscriptionInput {
    subscription_arn: String,
}

/// <https://docs.aws.amazon.com/sns/latest/api/API_Unsubscribe.html>
pub(super) async fn unsubscribe(
    sns: Sns,
    _: Caller,
    input: SubscriptionInput,
) -> Result<(), Error> {
    check_arn(&input.subscription_arn)?;
    let done = sns.store.subscription_delete(&input.subscription_arn).await;
    done.map_err(Error::internal)
}

/// `arn:aws:sns:region:account:topic:id`
fn check_arn(arn: &str) -> Result<(), Error> {
    let is_subscription = |arn: Arn<'_>| arn.service == "sns" && arn.resource.contains(':');
    if Arn::parse(arn).is_some_and(is_subscription) {
        return Ok(());
    }
    Err(invalid_parameter(
        "SubscriptionArn Reason: An ARN must have at least 6 elements",
    ))
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct ListedSubscription {
    subscription_arn: String,
    owner: String,
    protocol: String,
    endpoint: String,
    topic_arn: String,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct ListSubscriptionsOutput {
    subscriptions: Vec<ListedSubscription>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_token: Option<String>,
}

impl ListSubscriptionsOutput {
    fn new(found: Vec<Subscription>) -> Self {
        let (subscriptions, next_token) = page(found, |subscription| &subscription.arn);
        let subscriptions = subscriptions.into_iter().map(|subscription| {
            let pending = subscription.token.map(|_| PENDING_LISTED.to_owned());
            ListedSubscription {
                subscription_arn: pending.unwrap_or(subscription.arn),
                owner: subscription.account,
                protocol: subscription.protocol,
                endpoint: subscription.endpoint,
                topic_arn: subscription.topic,
            }
        });
        Self {
            subscriptions: subscriptions.collect(),
            next_token,
        }
    }
}

/// <https://docs.aws.amazon.com/sns/latest/api/API_ListSubscriptions.html>
pub(super) async fn list_subscriptions(
    sns: Sns,
    caller: Caller,
    input: PageInput,
) -> Result<ListSubscriptionsOutput, Error> {
    let after = after(input.next_token.as_deref())?;
    let found = sns
        .store
        .subscription_page(&caller.account, &caller.region, &after, PAGE + 1)
        .await;
    Ok(ListSubscriptionsOutput::new(
        found.map_err(Error::internal)?,
    ))
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct ListSubscriptionsByTopicInput {
    topic_arn: String,
    next_token: Option<String>,
}

/// <https://docs.aws.amazon.com/sns/latest/api/API_ListSubscriptionsByTopic.html>
pub(super) async fn list_subscriptions_by_topic(
    sns: Sns,
    _: Caller,
    input: ListSubscriptionsByTopicInput,
) -> Result<ListSubscriptionsOutput, Error> {
    let topic = sns.topic(&input.topic_arn).await?;
    let after = after(input.next_token.as_deref())?;
    let found = sns
        .store
        .subscription_page_by_topic(&topic.arn, &after, PAGE + 1)
        .await;
    Ok(ListSubscriptionsOutput::new(
        found.map_err(Error::internal)?,
    ))
}

impl Sns {
    async fn subscription(&self, arn: &str) -> Result<Subscription, Error> {
        check_arn(arn)?;
        let found = self.store.subscription_get(arn).await;
        let found = found.map_err(Error::internal)?;
        found.ok_or_else(|| not_found("Subscription does not exist"))
    }
}

/// <https://docs.aws.amazon.com/sns/latest/api/API_GetSubscriptionAttributes.html>
pub(super) async fn get_subscription_attributes(
    sns: Sns,
    _: Caller,
    input: SubscriptionInput,
) -> Result<AttributesOutput, Error> {
    let subscription = sns.subscription(&input.subscription_arn).await?;
    let is_pending = subscription.token.is_some();
    let topic = sns.topic(&subscription.topic).await?;
    let principal = format!("arn:aws:iam::{}:root", subscription.account);
    let mut attributes: Attributes = [
        ("ConfirmationWasAuthenticated", (!is_pending).to_string()),
        ("Endpoint", subscription.endpoint),
        ("Owner", subscription.account),
        ("PendingConfirmation", is_pending.to_string()),
        ("Protocol", subscription.protocol),
        ("RawMessageDelivery", false.to_string()),
        ("SubscriptionArn", subscription.arn),
        ("SubscriptionPrincipal", principal),
        ("TopicArn", topic.arn),
    ]
    .into_iter()
    .map(|(name, value)| (name.to_owned(), value))
    .collect();
    let set: Attributes = from_json(&subscription.attributes)?;
    if set.contains_key("FilterPolicy") {
        let scope = ("FilterPolicyScope", "MessageAttributes");
        attributes.insert(scope.0.to_owned(), scope.1.to_owned());
    }
    attributes.extend(set);
    Ok(AttributesOutput { attributes })
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct SetSubscriptionAttributesInput {
    subscription_arn: String,
    attribute_name: String,
    #[serde(default)]
    attribute_value: String,
}

/// <https://docs.aws.amazon.com/sns/latest/api/API_SetSubscriptionAttributes.html>
pub(super) async fn set_subscription_attributes(
    sns: Sns,
    _: Caller,
    input: SetSubscriptionAttributesInput,
) -> Result<(), Error> {
    check_attribute(&input.attribute_name, &input.attribute_value)?;
    let subscription = sns.subscription(&input.subscription_arn).await?;
    let mut attributes: Attributes = from_json(&subscription.attributes)?;
    attributes.insert(input.attribute_name, input.attribute_value);
    let attributes = to_json(&attributes)?;
    let done = sns
        .store
        .subscription_update(&subscription.arn, &attributes)
        .await;
    done.map_err(Error::internal)
}
