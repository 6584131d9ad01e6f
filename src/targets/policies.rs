//! What the policies of buckets and topics let CloudTrail do there. They are fetched with every question: a policy may
//! have changed since, and a delivery is far from any caller who waits. With `--bucket-policy-check off` everything is
//! allowed, unasked.

use tracing::info;

use super::{TargetError, Targets};
use crate::config::PolicyCheck;
use crate::policy::cloudtrail::Deliverer;
use crate::policy::{Decision, Policy, Request};

impl Targets {
    /// Whether the policy of `bucket` allows all `requests`; a bucket without one allows nothing. The call for it is
    /// signed as `account`, for `region`.
    pub async fn bucket_allows(
        &self,
        account: &str,
        region: &str,
        bucket: &str,
        requests: &[Request<'_>],
    ) -> Result<bool, TargetError> {
        if self.0.policy_check == PolicyCheck::Off {
            return Ok(true);
        }
        let policy = self.bucket_policy(account, region, bucket).await?;
        Ok(allows(policy.as_deref(), requests))
    }

    /// Whether the policy of the topic lets `deliverer` publish there.
    pub async fn topic_allows(
        &self,
        deliverer: Deliverer<'_>,
        topic_arn: &str,
    ) -> Result<bool, TargetError> {
        if self.0.policy_check == PolicyCheck::Off {
            return Ok(true);
        }
        let policy = self.topic_policy(deliverer.account, topic_arn).await?;
        Ok(allows(policy.as_deref(), &[deliverer.publish(topic_arn)]))
    }
}

fn allows(policy: Option<&str>, requests: &[Request<'_>]) -> bool {
    let policy = match policy.map(Policy::parse) {
        Some(Ok(policy)) => policy,
        Some(Err(error)) => {
            info!("a policy cannot be read, so it allows nothing: {error}");
            return false;
        }
        None => return false,
    };
    requests.iter().all(|request| {
        let decision = policy.decide(request);
        let Request {
            action, resource, ..
        } = request;
        if decision != Decision::Allowed {
            info!("a policy refuses CloudTrail {action} at {resource}: {decision:?}");
        }
        decision == Decision::Allowed
    })
}
