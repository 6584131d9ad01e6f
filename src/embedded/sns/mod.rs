//! The embedded SNS: topics, subscriptions, and what was published.
//!
//! Messages are kept, the newest 10,000, for a test to look at. Those to HTTP subscriptions are handed to a queue:
//! nothing is sent from here, and what the queue has no room for is dropped with a warning. Subscriptions of other
//! protocols are kept and confirmed, and get nothing. Filter policies are kept and not applied. Signatures have the
//! form of SNS's and cannot be verified: there is no certificate to sign with.

mod publish;
mod subscriptions;
#[cfg(test)]
mod tests;
mod topics;

use std::collections::BTreeMap;
use std::sync::LazyLock;

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;

pub use self::publish::Message;
use super::operations::Operations;
use super::{Caller, Error};
use crate::aws::Params;
use crate::clock::{Clock, Ids};
use crate::store::{self, Store, Topic};

/// What has to be sent to an HTTP subscription: a POST.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpDelivery {
    pub url: String,
    /// Names in lower case, content type included.
    pub headers: Vec<(&'static str, String)>,
    pub body: String,
}

/// The embedded SNS. Clones share everything.
#[derive(Clone, Debug)]
pub struct Sns {
    store: Store,
    clock: Clock,
    ids: Ids,
    deliver: mpsc::Sender<HttpDelivery>,
    endpoint: String,
}

/// The lines of a page of any list.
const PAGE: i64 = 100;

/// Missing are those of mobile push, SMS and data protection.
static OPERATIONS: LazyLock<Operations<Sns>> = LazyLock::new(|| {
    Operations::new("SNS")
        .on("AddPermission", topics::add_permission)
        .on("ConfirmSubscription", subscriptions::confirm_subscription)
        .on("CreateTopic", topics::create_topic)
        .on("DeleteTopic", topics::delete_topic)
        .on(
            "GetSubscriptionAttributes",
            subscriptions::get_subscription_attributes,
        )
        .on("GetTopicAttributes", topics::get_topic_attributes)
        .on("ListSubscriptions", subscriptions::list_subscriptions)
        .on(
            "ListSubscriptionsByTopic",
            subscriptions::list_subscriptions_by_topic,
        )
        .on("ListTagsForResource", topics::list_tags_for_resource)
        .on("ListTopics", topics::list_topics)
        .on("Publish", publish::publish)
        .on("PublishBatch", publish::publish_batch)
        .on("RemovePermission", topics::remove_permission)
        .on(
            "SetSubscriptionAttributes",
            subscriptions::set_subscription_attributes,
        )
        .on("SetTopicAttributes", topics::set_topic_attributes)
        .on("Subscribe", subscriptions::subscribe)
        .on("TagResource", topics::tag_resource)
        .on("Unsubscribe", subscriptions::unsubscribe)
        .on("UntagResource", topics::untag_resource)
});

impl Sns {
    /// `deliver` is drained by whoever sends; `endpoint` (`http://127.0.0.1:4566`) is what links in messages start
    /// with: a GET of `{endpoint}/?Action=ConfirmSubscription&…` has to come back to [`Sns::call`].
    pub fn new(
        store: Store,
        clock: Clock,
        ids: Ids,
        deliver: mpsc::Sender<HttpDelivery>,
        endpoint: impl Into<String>,
    ) -> Self {
        Self {
            store,
            clock,
            ids,
            deliver,
            endpoint: endpoint.into(),
        }
    }

    /// Runs an operation: `params` and the answer are by the model's member names.
    pub async fn call(
        &self,
        caller: &Caller,
        operation: &str,
        params: &Params,
    ) -> Result<Params, Error> {
        OPERATIONS
            .call(self.clone(), caller, operation, params)
            .await
    }

    pub async fn topic_exists(&self, topic_arn: &str) -> Result<bool, Error> {
        let topic = self.store.topic_get(topic_arn).await;
        Ok(topic.map_err(Error::internal)?.is_some())
    }

    /// The topic's policy, as GetTopicAttributes gives it. `NotFound` if there is no topic.
    pub async fn topic_policy(&self, topic_arn: &str) -> Result<String, Error> {
        Ok(topics::policy(&self.topic(topic_arn).await?))
    }

    /// Publishes for localtrail itself. `NotFound` if there is no topic.
    pub async fn publish(&self, topic_arn: &str, message: &str) -> Result<String, Error> {
        publish::publish_text(self, topic_arn, message).await
    }

    /// The newest messages of a topic, or of all, the newest first.
    pub async fn messages(
        &self,
        topic_arn: Option<&str>,
        limit: u32,
    ) -> Result<Vec<Message>, Error> {
        let messages = self.store.message_page(topic_arn, limit).await;
        let messages = messages.map_err(Error::internal)?;
        Ok(messages.into_iter().map(Message::from).collect())
    }

    async fn topic(&self, arn: &str) -> Result<Topic, Error> {
        let topic = self.store.topic_get(arn).await.map_err(Error::internal)?;
        topic.ok_or_else(no_topic)
    }
}

fn no_topic() -> Error {
    not_found("Topic does not exist")
}

/// Why something of a topic was not kept; the topic may have been deleted meanwhile.
fn not_kept(error: store::Error) -> Error {
    match store::is_orphan(&error) {
        true => no_topic(),
        false => Error::internal(error),
    }
}

/// A tag of a topic.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Tag {
    key: String,
    value: String,
}

/// Attributes of a topic or subscription by name.
type Attributes = BTreeMap<String, String>;

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct PageInput {
    next_token: Option<String>,
}

/// Where a list goes on, out of its token.
fn after(token: Option<&str>) -> Result<String, Error> {
    let Some(token) = token else {
        return Ok(String::new());
    };
    BASE64_URL_SAFE_NO_PAD
        .decode(token)
        .ok()
        .and_then(|bytes| String::from_utf8(bytes).ok())
        .ok_or_else(|| invalid_parameter("NextToken"))
}

/// The lines that fit on a page, and the token for those that do not. One more was read than fits.
fn page<T>(mut found: Vec<T>, arn: impl Fn(&T) -> &str) -> (Vec<T>, Option<String>) {
    let fits = usize::try_from(PAGE).unwrap_or(usize::MAX);
    if found.len() <= fits {
        return (found, None);
    }
    found.truncate(fits);
    let token = found
        .last()
        .map(|last| BASE64_URL_SAFE_NO_PAD.encode(arn(last)));
    (found, token)
}

fn invalid_parameter(reason: &str) -> Error {
    Error::new("InvalidParameter", format!("Invalid parameter: {reason}"))
}

fn not_found(message: &str) -> Error {
    Error::new("NotFound", message).with_status(404)
}

fn to_json(value: &impl Serialize) -> Result<String, Error> {
    serde_json::to_string(value).map_err(Error::internal)
}

fn from_json<T: DeserializeOwned>(text: &str) -> Result<T, Error> {
    serde_json::from_str(text).map_err(Error::internal)
}
