//! Events on their way to EventBridge: the default event bus of their account and region.
//!
//! Every event that a trail takes goes there within seconds, not by slots, if the bus has an enabled rule; what is said
//! of it is in the tables below. A read-only management event (by its name: `Describe…`, `Get…`, `List…`) reaches in AWS
//! just those rules that are in the state `ENABLED_WITH_ALL_CLOUDTRAIL_MANAGEMENT_EVENTS`. PutEvents cannot say so:
//! such events are sent if the bus has a rule in that state, and then its other rules can match them too. The rules are
//! asked for each time events are gathered, after the newest of them was recorded, so that a rule made before a call is
//! never overlooked. There is no status for any of this in CloudTrail.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use chrono::TimeDelta;
use tracing::warn;

use super::{Delivery, Failed, Outcome};
use crate::aws::arn::{Arn, partition};
use crate::store::{BusCandidate, Error, Item, Step};
use crate::targets::{BusEvent, BusRules, TargetError};

/// How long events are tried: as long as EventBridge itself tries its targets.
const GIVE_UP_AFTER: TimeDelta = TimeDelta::hours(24);
/// What PutEvents takes in one call; longer events are not sent (facts 14).
/// <https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-putevents.html>
const CALL_EVENTS: usize = 10;
const CALL_BYTES: usize = 256 * 1_024;
/// What an entry's time counts.
const TIME_BYTES: usize = 14;

/// `detail-type` by eventType; events of other types are not sent (facts 14).
const DETAIL_TYPES: &[(&str, &str)] = &[
    ("AwsApiCall", "AWS API Call via CloudTrail"),
    ("AwsCloudTrailInsight", "AWS Insight via CloudTrail"),
    ("AwsConsoleAction", "AWS Console Action via CloudTrail"),
    ("AwsConsoleSignIn", "AWS Console Sign In via CloudTrail"),
    ("AwsServiceEvent", "AWS Service Event via CloudTrail"),
];

/// Names of management events that most rules never see, if they are read-only.
/// <https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-service-event-cloudtrail-management.html>
const READS: &[&str] = &["Describe", "Get", "List"];

/// How events are put on buses. Clones share what was said.
#[derive(Clone, Debug)]
pub struct EventBus {
    /// What stands before the service in `source`: `aws`.
    source_prefix: Arc<str>,
    /// A warning that holds for all events alike was given.
    warned: Arc<AtomicBool>,
}

impl EventBus {
    pub fn new(source_prefix: &str) -> Self {
        Self {
            source_prefix: source_prefix.into(),
            warned: Arc::default(),
        }
    }

    /// The event as it goes to the bus, if it does.
    fn event(&self, event: &BusCandidate) -> Option<BusEvent> {
        let (_, detail_type) = DETAIL_TYPES.iter().find(|(kind, _)| *kind == event.kind)?;
        let service = event.source.split('.').next().unwrap_or_default();
        Some(BusEvent {
            time_ms: event.time_ms,
            source: format!("{}.{service}", self.source_prefix),
            detail_type,
            detail: event.record.clone(),
        })
    }

    /// The events that go to a bus with these rules, by call.
    fn calls(&self, events: &[BusCandidate], rules: BusRules) -> Vec<Vec<i64>> {
        let mut calls: Vec<Vec<i64>> = Vec::new();
        let mut left = 0;
        let wanted = events
            .iter()
            .filter(|event| rules.enabled && (rules.reads || !is_held_back(event)));
        for event in wanted {
            let Some(bytes) = self.event(event).map(|event| bytes(&event)) else {
                continue;
            };
            if bytes > CALL_BYTES {
                continue;
            }
            match calls.last_mut() {
                Some(call) if call.len() < CALL_EVENTS && bytes <= left => call.push(event.id),
                _ => {
                    calls.push(vec![event.id]);
                    left = CALL_BYTES;
                }
            }
            left -= bytes;
        }
        calls
    }

    fn warn_once(&self, why: &TargetError) {
        if !self.warned.swap(true, Ordering::Relaxed) {
            warn!(
                "no events are put on event buses, since EventBridge does not list its rules: {why}"
            );
        }
    }
}

fn is_held_back(event: &BusCandidate) -> bool {
    event.category == "Management"
        && event.read_only == Some(true)
        && READS.iter().any(|read| event.name.starts_with(read))
}

fn bytes(event: &BusEvent) -> usize {
    TIME_BYTES + event.source.len() + event.detail_type.len() + event.detail.len()
}

impl Delivery {
    pub(super) async fn gather_events(
        &self,
        item: &Item,
        account: &str,
        region: &str,
        now_ms: i64,
    ) -> Result<Outcome, Error> {
        let last = self.store.event_last().await?;
        let rules = if self.targets.has_events() {
            match self.targets.bus_rules(account, region).await {
                Ok(rules) => rules,
                Err(error) if may_pass(&error) => {
                    return Ok(again(item, bus_arn(account, region), &error, now_ms));
                }
                // An upstream without EventBridge is nothing to be told of with every event.
                Err(error) => {
                    self.event_bus.warn_once(&error);
                    BusRules::default()
                }
            }
        } else {
            BusRules::default()
        };
        let choose = |candidates: &[BusCandidate]| {
            self.event_bus
                .calls(candidates, rules)
                .into_iter()
                .map(|events| Step::PutEvents {
                    account: account.to_owned(),
                    region: region.to_owned(),
                    events,
                })
                .collect()
        };
        self.store
            .event_bus_gather(item, last, now_ms, choose)
            .await?;
        Ok(Outcome::Done(None))
    }

    pub(super) async fn put_events(
        &self,
        item: &Item,
        account: &str,
        region: &str,
        ids: &[i64],
        now_ms: i64,
    ) -> Result<Outcome, Error> {
        let found = self.store.event_bus_events(ids).await?;
        let (ids, events): (Vec<i64>, Vec<BusEvent>) = found
            .iter()
            .filter_map(|event| Some((event.id, self.event_bus.event(event)?)))
            .unzip();
        if events.is_empty() {
            self.store.outbox_done(item).await?;
            return Ok(Outcome::Done(None));
        }
        let bus = bus_arn(account, region);
        let refusals = match self.targets.put_events(account, region, &events).await {
            Ok(refusals) => refusals,
            Err(error) => return Ok(again(item, bus, &error, now_ms)),
        };
        let refused = || {
            ids.iter()
                .zip(&refusals)
                .filter_map(|(id, why)| Some((*id, why.as_ref()?)))
        };
        let (later, why): (Vec<i64>, Vec<&TargetError>) =
            refused().filter(|(_, why)| why.is_transient()).unzip();
        if let Some(why) = why.first() {
            // What was taken is not sent again.
            let step = Step::PutEvents {
                account: account.to_owned(),
                region: region.to_owned(),
                events: later,
            };
            self.store.outbox_narrow(item, &step).await?;
            return Ok(again(item, bus, why, now_ms));
        }
        if let Some((_, why)) = refused().next() {
            warn!(
                "EventBridge refuses events of source {}.…, which --event-source-prefix can change: {why}",
                self.event_bus.source_prefix
            );
            return Ok(Outcome::GiveUp(failed(bus, why)));
        }
        self.store.outbox_done(item).await?;
        Ok(Outcome::Done(None))
    }
}

fn bus_arn(account: &str, region: &str) -> String {
    Arn {
        partition: partition(region),
        service: "events",
        region,
        account,
        resource: "event-bus/default",
    }
    .to_string()
}

fn failed(bus: String, error: &TargetError) -> Failed {
    Failed {
        trail_arn: bus,
        error: error.code.clone(),
    }
}

/// Whether a further try may find it otherwise: what is not allowed now may be allowed again.
fn may_pass(error: &TargetError) -> bool {
    error.is_transient() || matches!(&*error.code, "AccessDenied" | "AccessDeniedException")
}

/// A step that failed: refused for good, or to be tried again for a day.
fn again(item: &Item, bus: String, error: &TargetError, now_ms: i64) -> Outcome {
    let is_late = error.was_asked && now_ms - item.created_ms > GIVE_UP_AFTER.num_milliseconds();
    let failed = failed(bus, error);
    if is_late || !may_pass(error) {
        return Outcome::GiveUp(failed);
    }
    Outcome::Retry(failed)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ENABLED: BusRules = BusRules {
        enabled: true,
        reads: false,
    };

    fn event(id: i64, name: &str, bytes: usize) -> BusCandidate {
        BusCandidate {
            id,
            time_ms: 0,
            source: "ec2.amazonaws.com".to_owned(),
            name: name.to_owned(),
            read_only: Some(READS.iter().any(|read| name.starts_with(read))),
            category: "Management".to_owned(),
            kind: "AwsApiCall".to_owned(),
            record: "x".repeat(bytes),
        }
    }

    #[test]
    fn rules_decide_which_events_go_to_a_bus() {
        let bus = EventBus::new("aws");
        let data = BusCandidate {
            category: "Data".to_owned(),
            ..event(3, "GetObject", 9)
        };
        // Read-only, but not by its name; STS AssumeRole is such a one.
        let assume = BusCandidate {
            read_only: Some(true),
            ..event(4, "AssumeRole", 9)
        };
        let network = BusCandidate {
            kind: "AwsVpceEvent".to_owned(),
            ..event(5, "PutObject", 9)
        };
        let events = [
            event(1, "RunInstances", 9),
            event(2, "DescribeInstances", 9),
            data,
            assume,
            network,
        ];
        for (enabled, reads, expected) in [
            (false, false, vec![]),
            (true, false, vec![vec![1, 3, 4]]),
            (true, true, vec![vec![1, 2, 3, 4]]),
        ] {
            let rules = BusRules { enabled, reads };
            assert_eq!(bus.calls(&events, rules), expected, "{rules:?}");
        }
    }

    #[test]
    fn a_call_has_ten_events_and_256_kb() {
        let bus = EventBus::new("aws");
        let frame = bytes(&bus.event(&event(1, "x", 0)).unwrap());
        let half = CALL_BYTES / 2 - frame;
        let many: Vec<_> = (1..=12).map(|id| event(id, "RunInstances", 9)).collect();
        for (events, expected) in [
            (many, vec![(1..=10).collect(), vec![11, 12]]),
            (
                vec![event(1, "x", half), event(2, "x", half), event(3, "x", 1)],
                vec![vec![1, 2], vec![3]],
            ),
            (
                vec![event(1, "x", half), event(2, "x", half + 1)],
                vec![vec![1], vec![2]],
            ),
            (
                vec![
                    event(1, "x", CALL_BYTES - frame + 1),
                    event(2, "x", CALL_BYTES - frame),
                ],
                vec![vec![2]],
            ),
        ] {
            assert_eq!(bus.calls(&events, ENABLED), expected);
        }
    }

    #[test]
    fn the_source_is_the_service_behind_the_prefix() {
        let sign_in = BusCandidate {
            source: "signin.amazonaws.com".to_owned(),
            kind: "AwsConsoleSignIn".to_owned(),
            ..event(1, "ConsoleLogin", 2)
        };
        for (prefix, source) in [("aws", "aws.signin"), ("local", "local.signin")] {
            let event = EventBus::new(prefix).event(&sign_in).unwrap();
            assert_eq!(event.source, source);
            assert_eq!(event.detail_type, "AWS Console Sign In via CloudTrail");
        }
    }
}
