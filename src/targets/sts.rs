//! STS as localtrail uses it: who an endpoint takes its callers for.

use http::Uri;

use super::{Outgoing, TargetError, Targets};

impl Targets {
    /// The account that the endpoint's STS takes us for.
    pub async fn account(&self, endpoint: &Uri, region: &str) -> Result<String, TargetError> {
        let form = [("Action", "GetCallerIdentity"), ("Version", "2011-06-15")];
        let answer = self
            .send(endpoint, Outgoing::query("test", region, "sts", &form))
            .await?;
        let members = answer
            .status
            .is_success()
            .then(|| answer.members("sts", "GetCallerIdentity"));
        let account = members
            .flatten()
            .and_then(|members| Some(members.get("Account")?.as_str()?.to_owned()));
        account.ok_or_else(|| answer.error("sts", "GetCallerIdentity"))
    }
}
