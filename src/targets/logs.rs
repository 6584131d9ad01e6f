//! CloudWatch Logs as localtrail uses it: where trails with a log group send their records.
//!
//! Log groups are never made here: CloudTrail makes log streams only (facts 14).

use serde::Serialize;
use serde_json::{Value, json};

use super::{JsonCall, TargetError, Targets};
use crate::aws::arn::Arn;

/// A log group by the parts of its ARN.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogGroup<'a> {
    pub region: &'a str,
    pub account: &'a str,
    pub name: &'a str,
}

impl<'a> LogGroup<'a> {
    /// Reads `arn:aws:logs:<region>:<account>:log-group:<name>:*`.
    pub fn parse(arn: &'a str) -> Option<Self> {
        let arn = Arn::parse(arn)?;
        let name = arn
            .resource
            .strip_prefix("log-group:")?
            .strip_suffix(":*")?;
        (arn.service == "logs" && !name.is_empty()).then_some(Self {
            region: arn.region,
            account: arn.account,
            name,
        })
    }
}

/// A log event.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LogEvent {
    /// Milliseconds since the epoch.
    pub timestamp: i64,
    pub message: String,
}

impl Targets {
    /// Whether there is a CloudWatch Logs at all.
    pub fn has_logs(&self) -> bool {
        self.0.endpoints.logs.is_some()
    }

    pub async fn log_group_exists(&self, group: LogGroup<'_>) -> Result<bool, TargetError> {
        let mut token = Value::Null;
        loop {
            let mut input = json!({ "logGroupNamePrefix": group.name });
            if !token.is_null() {
                input["nextToken"] = token;
            }
            let mut page = self.logs(group, "DescribeLogGroups", &input).await?;
            let groups = page["logGroups"].as_array().map(Vec::as_slice);
            let mut names = groups.unwrap_or_default().iter();
            if names.any(|found| found["logGroupName"] == group.name) {
                return Ok(true);
            }
            let next = page["nextToken"].take();
            // A service that says nothing new goes round in circles.
            if next.is_null() || input["nextToken"] == next {
                return Ok(false);
            }
            token = next;
        }
    }

    /// Puts `events`, oldest first, into a stream of the group, which is made if it is not there. Says whether all were
    /// taken: the service drops those that are too old or too young for it.
    pub async fn put_log_events(
        &self,
        group: LogGroup<'_>,
        stream: &str,
        events: &[LogEvent],
    ) -> Result<bool, TargetError> {
        let input = json!({
            "logGroupName": group.name, "logStreamName": stream, "logEvents": events,
        });
        let put = match self.logs(group, "PutLogEvents", &input).await {
            Err(error) if error.code == "ResourceNotFoundException" => {
                self.make_log_stream(group, stream).await?;
                self.logs(group, "PutLogEvents", &input).await?
            }
            put => put?,
        };
        let rejected = put["rejectedLogEventsInfo"].as_object();
        Ok(rejected.is_none_or(serde_json::Map::is_empty))
    }

    async fn make_log_stream(&self, group: LogGroup<'_>, stream: &str) -> Result<(), TargetError> {
        let input = json!({ "logGroupName": group.name, "logStreamName": stream });
        match self.logs(group, "CreateLogStream", &input).await {
            // Another step was quicker.
            Err(error) if error.code == "ResourceAlreadyExistsException" => Ok(()),
            made => made.map(drop),
        }
    }

    async fn logs(
        &self,
        group: LogGroup<'_>,
        operation: &'static str,
        input: &Value,
    ) -> Result<Value, TargetError> {
        let call = JsonCall {
            service: "logs",
            operation,
            endpoint: self.0.endpoints.logs.as_ref(),
            account: group.account,
            region: group.region,
        };
        self.call_json(call, input).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn log_groups_are_read_from_their_arns() {
        let arn = "arn:aws:logs:us-east-1:111122223333:log-group:CloudTrail/logs:*";
        let group = LogGroup::parse(arn).unwrap();
        assert_eq!(
            (group.region, group.account, group.name),
            ("us-east-1", "111122223333", "CloudTrail/logs")
        );
        for bad in [
            "CloudTrail/logs",
            "arn:aws:logs:us-east-1:111122223333:log-group:CloudTrail/logs",
            "arn:aws:logs:us-east-1:111122223333:log-group::*",
            "arn:aws:s3:us-east-1:111122223333:log-group:x:*",
        ] {
            assert_eq!(LogGroup::parse(bad), None, "{bad}");
        }
    }
}
