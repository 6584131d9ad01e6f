//! EventBridge as localtrail uses it: the default event bus of an account and region, as CloudTrail fills it (facts 14).

use serde_json::{Value, json};

use super::{JsonCall, TargetError, Targets};

/// What the rules of an event bus ask for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BusRules {
    /// Some rule is enabled.
    pub enabled: bool,
    /// Some rule takes read-only management events too.
    pub reads: bool,
}

/// An entry of PutEvents.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BusEvent {
    /// Milliseconds since the epoch.
    pub time_ms: i64,
    /// `aws.ec2`
    pub source: String,
    /// `AWS API Call via CloudTrail`
    pub detail_type: &'static str,
    /// JSON.
    pub detail: String,
}

impl Targets {
    /// Whether there is an EventBridge at all.
    pub fn has_events(&self) -> bool {
        self.0.endpoints.events.is_some()
    }

    pub async fn bus_rules(&self, account: &str, region: &str) -> Result<BusRules, TargetError> {
        let mut rules = BusRules::default();
        let mut token = Value::Null;
        loop {
            let input = match &token {
                Value::Null => json!({}),
                token => json!({ "NextToken": token }),
            };
            let mut page = self.events(account, region, "ListRules", &input).await?;
            for rule in page["Rules"].as_array().into_iter().flatten() {
                // A rule is enabled unless it says otherwise.
                let state = rule["State"].as_str().unwrap_or("ENABLED");
                rules.enabled |= state != "DISABLED";
                rules.reads |= state == "ENABLED_WITH_ALL_CLOUDTRAIL_MANAGEMENT_EVENTS";
            }
            let next = page["NextToken"].take();
            if next.is_null() || next == token {
                return Ok(rules);
            }
            token = next;
        }
    }

    /// Puts up to ten events on the bus; gives the error of each that was refused, in their order.
    pub async fn put_events(
        &self,
        account: &str,
        region: &str,
        events: &[BusEvent],
    ) -> Result<Vec<Option<TargetError>>, TargetError> {
        let entries: Vec<Value> = events
            .iter()
            .map(|event| {
                json!({
                    "Time": event.time_ms as f64 / 1_000.0,
                    "Source": event.source,
                    "DetailType": event.detail_type,
                    "Detail": event.detail,
                    // CloudTrail's events name their resources in the detail only.
                    "Resources": [],
                })
            })
            .collect();
        let input = json!({ "Entries": entries });
        let answer = self.events(account, region, "PutEvents", &input).await?;
        Ok((0..events.len())
            .map(|at| {
                let entry = &answer["Entries"][at];
                let message = entry["ErrorMessage"].as_str().unwrap_or_default();
                Some(TargetError::new(entry["ErrorCode"].as_str()?, message))
            })
            .collect())
    }

    async fn events(
        &self,
        account: &str,
        region: &str,
        operation: &'static str,
        input: &Value,
    ) -> Result<Value, TargetError> {
        let call = JsonCall {
            service: "events",
            operation,
            endpoint: self.0.endpoints.events.as_ref(),
            account,
            region,
        };
        self.call_json(call, input).await
    }
}
