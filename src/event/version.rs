//! `eventVersion`: which members a record of a version has (facts 5.2; AWS's page of record contents).
//!
//! Versions differ in more than this: how `userIdentity` lays a session out is in `identity`, which services name
//! their API version in `names`. Read the minor number as a number: 1.10 follows 1.09.

use super::Event;

/// The minor version that brought a member; those not listed came with 1.02 or before.
const SINCE: &[(&str, u32)] = &[
    ("sharedEventID", 3),
    ("vpcEndpointId", 4),
    ("serviceEventDetails", 5),
    ("managementEvent", 6),
    ("eventCategory", 7),
    ("addendum", 8),
    ("edgeDeviceDetails", 8),
    ("sessionCredentialFromConsole", 8),
    ("tlsDetails", 8),
    ("vpcEndpointAccountId", 9),
    ("eventContext", 11),
];

/// The minor version that has everything.
pub const NEWEST: u32 = 11;

/// 9 of `1.09`, 11 of `1.11`; a version that cannot be read counts as the newest.
pub fn minor(version: &str) -> u32 {
    version
        .split_once('.')
        .and_then(|(_, minor)| minor.parse().ok())
        .unwrap_or(u32::MAX)
}

/// Whether records of this minor version have `member`.
pub fn has(minor: u32, member: &str) -> bool {
    SINCE
        .iter()
        .find(|(name, _)| *name == member)
        .is_none_or(|(_, since)| minor >= *since)
}

impl Event {
    /// The event as a record of its version: without the members that are younger. Selectors and the event history
    /// want the whole event, so this comes last.
    #[must_use]
    pub fn of_its_version(mut self) -> Self {
        let minor = minor(&self.event_version);
        clear(&mut self.shared_event_id, minor, "sharedEventID");
        clear(&mut self.vpc_endpoint_id, minor, "vpcEndpointId");
        clear(
            &mut self.service_event_details,
            minor,
            "serviceEventDetails",
        );
        clear(&mut self.management_event, minor, "managementEvent");
        clear(&mut self.event_category, minor, "eventCategory");
        clear(
            &mut self.session_credential_from_console,
            minor,
            "sessionCredentialFromConsole",
        );
        clear(&mut self.tls_details, minor, "tlsDetails");
        clear(
            &mut self.vpc_endpoint_account_id,
            minor,
            "vpcEndpointAccountId",
        );
        self.other.retain(|name, _| has(minor, name));
        self
    }
}

fn clear<T>(value: &mut Option<T>, minor: u32, member: &str) {
    if !has(minor, member) {
        *value = None;
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    /// A record with every member that there is.
    fn full(version: &str) -> Event {
        let mut record = json!({
            "eventVersion": version, "userIdentity": {"type": "Root"}, "eventTime": "2026-11-22T15:00:00Z",
            "eventSource": "s3.amazonaws.com", "eventName": "GetObject", "awsRegion": "us-east-1",
            "sourceIPAddress": "192.0.2.1", "requestParameters": null, "responseElements": null,
            "requestID": "r", "eventID": "e", "readOnly": true, "resources": [{"accountId": "111122223333"}],
            "eventType": "AwsApiCall", "apiVersion": "2006-03-01", "recipientAccountId": "111122223333",
        });
        for (name, _) in SINCE {
            record[name] = match *name {
                "managementEvent" => json!(false),
                "addendum"
                | "edgeDeviceDetails"
                | "eventContext"
                | "tlsDetails"
                | "serviceEventDetails" => json!({"a": "b"}),
                "eventCategory" => json!("Data"),
                _ => json!("x"),
            };
        }
        serde_json::from_value(record).unwrap()
    }

    #[test]
    fn each_version_has_the_members_that_were_known_then() {
        // Members of the frame that each version adds to the one before.
        let added: &[(&str, &[&str])] = &[
            ("1.02", &[]),
            ("1.03", &["sharedEventID"]),
            ("1.04", &["vpcEndpointId"]),
            ("1.05", &["serviceEventDetails"]),
            ("1.06", &["managementEvent"]),
            ("1.07", &["eventCategory"]),
            (
                "1.08",
                &[
                    "tlsDetails",
                    "sessionCredentialFromConsole",
                    "addendum",
                    "edgeDeviceDetails",
                ],
            ),
            ("1.09", &["vpcEndpointAccountId"]),
            ("1.10", &[]),
            ("1.11", &["eventContext"]),
        ];
        let mut expected = vec![
            "awsRegion",
            "apiVersion",
            "eventID",
            "eventName",
            "eventSource",
            "eventTime",
            "eventType",
            "eventVersion",
            "readOnly",
            "recipientAccountId",
            "requestID",
            "requestParameters",
            "resources",
            "responseElements",
            "sourceIPAddress",
            "userIdentity",
        ];
        for (version, members) in added {
            expected.extend_from_slice(members);
            let event = full(version).of_its_version();
            let record: Value = serde_json::to_value(event).unwrap();
            let mut found: Vec<&str> = record
                .as_object()
                .unwrap()
                .keys()
                .map(String::as_str)
                .collect();
            found.sort_unstable();
            let mut wanted = expected.clone();
            wanted.sort_unstable();
            assert_eq!(found, wanted, "{version}");
        }
    }

    #[test]
    fn the_minor_version_is_a_number() {
        for (version, expected) in [("1.02", 2), ("1.09", 9), ("1.10", 10), ("none", u32::MAX)] {
            assert_eq!(minor(version), expected, "{version}");
        }
    }
}
