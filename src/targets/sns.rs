//! SNS as localtrail uses it: where notifications go.

use super::{Outgoing, Target, TargetError, Targets, nowhere};
use crate::aws::arn::Arn;

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

    /// Publishes `message` to the topic, and gives the id that the message has got, if it was told.
    pub async fn publish(
        &self,
        topic_arn: &str,
        message: &str,
    ) -> Result<Option<String>, TargetError> {
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

impl<'a> Outgoing<'a> {
    fn sns(account: &'a str, topic_arn: &'a str, form: &[(&str, &str)]) -> Self {
        let region = Arn::parse(topic_arn).map_or("us-east-1", |arn| arn.region);
        let version = ("Version", "2010-03-31");
        let form: Vec<_> = form.iter().copied().chain([version]).collect();
        Self::query(account, region, "sns", &form)
    }
}
