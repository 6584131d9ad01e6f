//! Publishing, and what goes out by HTTP.
//! <https://docs.aws.amazon.com/sns/latest/dg/sns-message-and-json-formats.html>

use std::collections::{BTreeMap, BTreeSet};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use chrono::{DateTime, SecondsFormat};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

use super::{Attributes, HttpDelivery, Sns, from_json, invalid_parameter, not_kept};
use crate::embedded::{Caller, Error};
use crate::store::{StoredMessage, Subscription, Topic};

const MAX_MESSAGE_BYTES: usize = 256 * 1024;
const MAX_SUBJECT_CHARS: usize = 100;
const MAX_BATCH: usize = 10;

/// A message as it was published.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Message {
    pub message_id: String,
    pub topic_arn: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    /// With MessageStructure `json`, that of the protocol `default`.
    pub message: String,
    /// As SNS writes it: `2026-01-31T12:00:00.000Z`.
    pub timestamp: String,
}

impl From<StoredMessage> for Message {
    fn from(message: StoredMessage) -> Self {
        Self {
            timestamp: time_text(message.published_ms),
            message_id: message.message_id,
            topic_arn: message.topic,
            subject: message.subject,
            message: message.body,
        }
    }
}

fn time_text(ms: i64) -> String {
    DateTime::from_timestamp_millis(ms)
        .unwrap_or_default()
        .to_rfc3339_opts(SecondsFormat::Millis, true)
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct PublishInput {
    topic_arn: Option<String>,
    target_arn: Option<String>,
    phone_number: Option<String>,
    #[serde(flatten)]
    content: Content,
}

/// What Publish and an entry of PublishBatch have in common.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Content {
    message: String,
    subject: Option<String>,
    message_structure: Option<String>,
    message_attributes: BTreeMap<String, MessageAttribute>,
    message_group_id: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct MessageAttribute {
    data_type: String,
    string_value: Option<String>,
    /// base64
    binary_value: Option<String>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct PublishOutput {
    message_id: String,
}

/// <https://docs.aws.amazon.com/sns/latest/api/API_Publish.html>
pub(super) async fn publish(
    sns: Sns,
    _: Caller,
    input: PublishInput,
) -> Result<PublishOutput, Error> {
    let Some(arn) = input.topic_arn.or(input.target_arn) else {
        let reason = match input.phone_number {
            Some(_) => "PhoneNumber Reason: localtrail's embedded SNS sends no SMS",
            None => "TopicArn or TargetArn Reason: no value for required parameter",
        };
        return Err(invalid_parameter(reason));
    };
    let topic = sns.topic(&arn).await?;
    let message_id = publish_to(&sns, &topic, &input.content).await?;
    Ok(PublishOutput { message_id })
}

/// Publish for localtrail itself.
pub(super) async fn publish_text(
    sns: &Sns,
    topic_arn: &str,
    message: &str,
) -> Result<String, Error> {
    let topic = sns.topic(topic_arn).await?;
    let content = Content {
        message: message.to_owned(),
        ..Content::default()
    };
    publish_to(sns, &topic, &content).await
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct PublishBatchInput {
    topic_arn: String,
    #[serde(default)]
    publish_batch_request_entries: Vec<BatchEntry>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct BatchEntry {
    id: String,
    #[serde(flatten)]
    content: Content,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct PublishBatchOutput {
    successful: Vec<Published>,
    failed: Vec<Failed>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Published {
    id: String,
    message_id: String,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Failed {
    id: String,
    code: String,
    message: String,
    sender_fault: bool,
}

/// <https://docs.aws.amazon.com/sns/latest/api/API_PublishBatch.html>
pub(super) async fn publish_batch(
    sns: Sns,
    _: Caller,
    input: PublishBatchInput,
) -> Result<PublishBatchOutput, Error> {
    let entries = input.publish_batch_request_entries;
    check_batch(&entries)?;
    let topic = sns.topic(&input.topic_arn).await?;
    let mut output = PublishBatchOutput {
        successful: Vec::new(),
        failed: Vec::new(),
    };
    for entry in entries {
        let id = entry.id;
        match publish_to(&sns, &topic, &entry.content).await {
            Ok(message_id) => output.successful.push(Published { id, message_id }),
            Err(error) => output.failed.push(Failed {
                id,
                sender_fault: error.status < 500,
                code: error.code.into_owned(),
                message: error.message,
            }),
        }
    }
    Ok(output)
}

fn check_batch(entries: &[BatchEntry]) -> Result<(), Error> {
    if entries.is_empty() {
        return Err(Error::new(
            "EmptyBatchRequest",
            "The batch request doesn't contain any entries.",
        ));
    }
    if entries.len() > MAX_BATCH {
        return Err(Error::new(
            "TooManyEntriesInBatchRequest",
            "The batch request contains more entries than permissible.",
        ));
    }
    let ids: BTreeSet<&str> = entries.iter().map(|entry| entry.id.as_str()).collect();
    if ids.len() < entries.len() {
        return Err(Error::new(
            "BatchEntryIdsNotDistinct",
            "Two or more batch entries in the request have the same Id.",
        ));
    }
    let bytes: usize = entries
        .iter()
        .map(|entry| entry.content.message.len())
        .sum();
    if bytes > MAX_MESSAGE_BYTES {
        return Err(Error::new(
            "BatchRequestTooLong",
            "The length of all the batch messages put together is more than the limit.",
        ));
    }
    Ok(())
}

/// Checks, keeps and hands out a message; gives its id.
async fn publish_to(sns: &Sns, topic: &Topic, content: &Content) -> Result<String, Error> {
    let variants = Variants::new(content)?;
    check_content(content)?;
    let is_fifo = topic.arn.ends_with(".fifo");
    if is_fifo && content.message_group_id.is_none() {
        return Err(invalid_parameter(
            "The MessageGroupId parameter is required for FIFO topics",
        ));
    }
    let message = StoredMessage {
        message_id: sns.ids.uuid().to_string(),
        topic: topic.arn.clone(),
        subject: content.subject.clone(),
        body: variants.of("default").to_owned(),
        published_ms: sns.clock.now_ms(),
    };
    let insert = sns.store.message_insert(&message).await;
    insert.map_err(not_kept)?;
    let subscriptions = sns
        .store
        .subscription_page_by_topic(&topic.arn, "", i64::MAX)
        .await;
    for subscription in subscriptions.map_err(Error::internal)? {
        let is_http = matches!(subscription.protocol.as_str(), "http" | "https");
        if is_http && subscription.token.is_none() {
            let body = variants.of(&subscription.protocol);
            send_notification(sns, &subscription, &message, body, content)?;
        }
    }
    Ok(message.message_id)
}

fn check_content(content: &Content) -> Result<(), Error> {
    if content.message.is_empty() {
        return Err(invalid_parameter("Empty message"));
    }
    let attribute_bytes: usize = content
        .message_attributes
        .iter()
        .map(|(name, attribute)| {
            let value = attribute
                .string_value
                .as_ref()
                .or(attribute.binary_value.as_ref());
            name.len() + attribute.data_type.len() + value.map_or(0, String::len)
        })
        .sum();
    if content.message.len() + attribute_bytes > MAX_MESSAGE_BYTES {
        return Err(invalid_parameter("Message too long"));
    }
    if let Some(subject) = &content.subject {
        let is_valid = !subject.is_empty()
            && subject.chars().count() <= MAX_SUBJECT_CHARS
            && !subject.chars().any(char::is_control);
        if !is_valid {
            return Err(invalid_parameter("Subject"));
        }
    }
    for (name, attribute) in &content.message_attributes {
        let kind = attribute.data_type.split('.').next().unwrap_or_default();
        let value = match kind {
            "Binary" => &attribute.binary_value,
            "String" | "Number" => &attribute.string_value,
            _ => &None,
        };
        if value.as_ref().is_none_or(String::is_empty) {
            return Err(Error::new(
                "ParameterValueInvalid",
                format!(
                    "The message attribute '{name}' must contain non-empty message attribute value for message \
                    attribute type '{}'.",
                    attribute.data_type
                ),
            ));
        }
    }
    Ok(())
}

/// The message for each protocol.
struct Variants<'a> {
    plain: &'a str,
    by_protocol: Map<String, Value>,
}

impl<'a> Variants<'a> {
    fn new(content: &'a Content) -> Result<Self, Error> {
        let mut by_protocol = Map::new();
        match content.message_structure.as_deref() {
            None | Some("") => {}
            Some("json") => {
                by_protocol = serde_json::from_str(&content.message).map_err(|_| {
                    invalid_parameter("Message Structure - JSON message body failed to parse")
                })?;
                if !by_protocol.get("default").is_some_and(Value::is_string) {
                    return Err(invalid_parameter(
                        "Message Structure - No default entry in JSON message body",
                    ));
                }
            }
            Some(_) => return Err(invalid_parameter("MessageStructure")),
        }
        Ok(Self {
            plain: &content.message,
            by_protocol,
        })
    }

    fn of(&self, protocol: &str) -> &str {
        let of = |name: &str| self.by_protocol.get(name).and_then(Value::as_str);
        of(protocol).or_else(|| of("default")).unwrap_or(self.plain)
    }
}

/// The body of what SNS posts, in the order in which it writes it.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Envelope<'a> {
    r#type: &'static str,
    message_id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    token: Option<&'a str>,
    topic_arn: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    subject: Option<&'a str>,
    message: &'a str,
    #[serde(rename = "SubscribeURL", skip_serializing_if = "Option::is_none")]
    subscribe_url: Option<String>,
    timestamp: String,
    signature_version: &'static str,
    signature: String,
    #[serde(rename = "SigningCertURL")]
    signing_cert_url: String,
    #[serde(rename = "UnsubscribeURL", skip_serializing_if = "Option::is_none")]
    unsubscribe_url: Option<String>,
    #[serde(skip_serializing_if = "Map::is_empty")]
    message_attributes: Map<String, Value>,
}

fn send_notification(
    sns: &Sns,
    subscription: &Subscription,
    message: &StoredMessage,
    body: &str,
    content: &Content,
) -> Result<(), Error> {
    let attributes: Attributes = from_json(&subscription.attributes)?;
    let is_raw = attributes
        .get("RawMessageDelivery")
        .is_some_and(|raw| raw == "true");
    let mut headers = headers(subscription, "Notification", &message.message_id);
    headers.push(("x-amz-sns-subscription-arn", subscription.arn.clone()));
    if is_raw {
        headers.push(("x-amz-sns-rawdelivery", "true".to_owned()));
        send(sns, subscription, headers, body.to_owned());
        return Ok(());
    }
    let message_attributes = content.message_attributes.iter().map(|(name, attribute)| {
        let value = attribute
            .string_value
            .as_ref()
            .or(attribute.binary_value.as_ref());
        let line = serde_json::json!({"Type": attribute.data_type, "Value": value});
        (name.clone(), line)
    });
    let envelope = Envelope {
        r#type: "Notification",
        message_id: &message.message_id,
        token: None,
        topic_arn: &subscription.topic,
        subject: message.subject.as_deref(),
        message: body,
        subscribe_url: None,
        timestamp: time_text(message.published_ms),
        signature_version: "1",
        signature: signature(body, &message.message_id),
        signing_cert_url: certificate(&subscription.region),
        unsubscribe_url: Some(format!(
            "{}/?Action=Unsubscribe&Version=2010-03-31&SubscriptionArn={}",
            sns.endpoint,
            utf8_percent_encode(&subscription.arn, NON_ALPHANUMERIC)
        )),
        message_attributes: message_attributes.collect(),
    };
    let body = super::to_json(&envelope)?;
    send(sns, subscription, headers, body);
    Ok(())
}

/// Asks an HTTP endpoint to confirm its subscription.
pub(super) fn send_confirmation(
    sns: &Sns,
    subscription: &Subscription,
    token: &str,
) -> Result<(), Error> {
    let message_id = sns.ids.uuid().to_string();
    let topic = &subscription.topic;
    let message = format!(
        "You have chosen to subscribe to the topic {topic}.\n\
        To confirm the subscription, visit the SubscribeURL included in this message."
    );
    let envelope = Envelope {
        r#type: "SubscriptionConfirmation",
        message_id: &message_id,
        token: Some(token),
        topic_arn: topic,
        subject: None,
        message: &message,
        subscribe_url: Some(format!(
            "{}/?Action=ConfirmSubscription&Version=2010-03-31&TopicArn={}&Token={token}",
            sns.endpoint,
            utf8_percent_encode(topic, NON_ALPHANUMERIC)
        )),
        timestamp: time_text(sns.clock.now_ms()),
        signature_version: "1",
        signature: signature(&message, &message_id),
        signing_cert_url: certificate(&subscription.region),
        unsubscribe_url: None,
        message_attributes: Map::new(),
    };
    let headers = headers(subscription, "SubscriptionConfirmation", &message_id);
    let body = super::to_json(&envelope)?;
    send(sns, subscription, headers, body);
    Ok(())
}

fn headers(
    subscription: &Subscription,
    kind: &'static str,
    message_id: &str,
) -> Vec<(&'static str, String)> {
    vec![
        ("content-type", "text/plain; charset=UTF-8".to_owned()),
        (
            "user-agent",
            "Amazon Simple Notification Service Agent".to_owned(),
        ),
        ("x-amz-sns-message-type", kind.to_owned()),
        ("x-amz-sns-message-id", message_id.to_owned()),
        ("x-amz-sns-topic-arn", subscription.topic.clone()),
    ]
}

fn send(
    sns: &Sns,
    subscription: &Subscription,
    headers: Vec<(&'static str, String)>,
    body: String,
) {
    let delivery = HttpDelivery {
        url: subscription.endpoint.clone(),
        headers,
        body,
    };
    if let Err(error) = sns.deliver.try_send(delivery) {
        let arn = &subscription.arn;
        tracing::warn!(subscription.arn = %arn, %error, "dropped a message to subscription {arn}: {error}");
    }
}

/// Looks like a signature, and is none: see the module's doc.
fn signature(message: &str, message_id: &str) -> String {
    let digest = Sha256::new()
        .chain_update(message)
        .chain_update(message_id)
        .finalize();
    BASE64_STANDARD.encode(digest)
}

fn certificate(region: &str) -> String {
    format!(
        "https://sns.{region}.amazonaws.com/SimpleNotificationService-00000000000000000000000000000000.pem"
    )
}
