//! SNS as localtrail uses it: where notifications go.

use super::{Answer, Outgoing, Target, TargetError, Targets, known_call, nowhere, refused};
use crate::aws::arn::Arn;
use crate::aws::params;
use crate::policy::cloudtrail::Deliverer;

impl Targets {
    /// Whether the topic exists.
    pub async fn topic_exists(&self, account: &str, topic_arn: &str) -> Result<bool, TargetError> {
        match &self.0.sns {
            Target::Embedded(sns) => Ok(sns.topic_exists(topic_arn).await?),
            Target::Endpoint(endpoint) => {
                let form = [("Action", "GetTopicAttributes"), ("TopicArn", topic_arn)];
                let answer = self
                    .send(endpoint, Outgoing::sns(account, topic_arn, &form))
                    .await?;
                if answer.status.is_success() {
                    return Ok(true);
                }
                let error = answer.error("sns", "GetTopicAttributes");
                if answer.status.is_server_error() {
                    Err(error)
                } else {
                    Ok(false)
                }
            }
            Target::Nowhere => Err(nowhere("SNS")),
        }
    }

    /// The policy of the topic; `None` where the endpoint tells of none. `NotFound` if there is no topic.
    pub(super) async fn topic_policy(
        &self,
        account: &str,
        topic_arn: &str,
    ) -> Result<Option<String>, TargetError> {
        match &self.0.sns {
            Target::Embedded(sns) => Ok(Some(sns.topic_policy(topic_arn).await?)),
            Target::Endpoint(endpoint) => {
                let form = [("Action", "GetTopicAttributes"), ("TopicArn", topic_arn)];
                let answer = self
                    .send(endpoint, Outgoing::sns(account, topic_arn, &form))
                    .await?;
                if answer.status.is_success() {
                    Ok(policy_in(&answer))
                } else {
                    Err(answer.error("sns", "GetTopicAttributes"))
                }
            }
            Target::Nowhere => Err(nowhere("SNS")),
        }
    }

    /// Publishes `message` to the topic, and gives the id that the message has got, if it was told. It is published for
    /// `deliverer`, whom the topic's policy must let in, else it is `AuthorizationError`; without one the policy is not
    /// asked.
    pub async fn publish(
        &self,
        deliverer: Option<Deliverer<'_>>,
        topic_arn: &str,
        message: &str,
    ) -> Result<Option<String>, TargetError> {
        if let Some(deliverer) = deliverer
            && !self.topic_allows(deliverer, topic_arn).await?
        {
            return Err(refused("AuthorizationError", "topic"));
        }
        match &self.0.sns {
            Target::Embedded(sns) => Ok(Some(sns.publish(topic_arn, message).await?)),
            Target::Endpoint(endpoint) => {
                let account = Arn::parse(topic_arn).map_or("", |arn| arn.account);
                let form = [
                    ("Action", "Publish"),
                    ("TopicArn", topic_arn),
                    ("Message", message),
                ];
                let answer = self
                    .send(endpoint, Outgoing::sns(account, topic_arn, &form))
                    .await?;
                if answer.status.is_success() {
                    let members = answer.members("sns", "Publish");
                    Ok(members.and_then(|it| Some(it.get("MessageId")?.as_str()?.to_owned())))
                } else {
                    Err(answer.error("sns", "Publish"))
                }
            }
            Target::Nowhere => Err(nowhere("SNS")),
        }
    }
}

/// The attribute `Policy` in an answer to GetTopicAttributes.
fn policy_in(answer: &Answer) -> Option<String> {
    let call = known_call("sns", "GetTopicAttributes")?;
    let members = params::response(&call, answer.status, &answer.headers, &answer.body).ok()?;
    let policy = members.get("Attributes")?.get("Policy")?.as_str()?;
    Some(policy.to_owned())
}

impl<'a> Outgoing<'a> {
    fn sns(account: &'a str, topic_arn: &'a str, form: &[(&str, &str)]) -> Self {
        let region = Arn::parse(topic_arn).map_or("us-east-1", |arn| arn.region);
        let version = ("Version", "2010-03-31");
        let form: Vec<_> = form.iter().copied().chain([version]).collect();
        Self::query(account, region, "sns", &form)
    }
}
