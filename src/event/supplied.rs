//! Records brought in from outside: what one must be, and what is filled in where it says nothing.
//!
//! Pure. Members that are known are checked, so that no record can break the event history, a selector or the key of a
//! log file; members that are not known are kept as they came. Nothing that a record says is changed. Sign-in events
//! (facts 8) need the least: who, and what.

use std::borrow::Cow;

use chrono::{DateTime, SecondsFormat, Utc};
use serde_json::{Value, json};

use super::{Event, Principal, catalog, version};
use crate::aws::Params;
use crate::aws::arn::{is_region, partition};

/// Most bytes of a record as JSON: what AWS allows an event.
const RECORD_LIMIT: usize = 256 * 1024;
/// Most bytes of a member that is searched or compared.
const NAME_LIMIT: usize = 1024;

const SIGN_IN: &str = "signin.amazonaws.com";
/// Newest version that AWS Sign-In writes (real records up to 2026 have it).
const SIGN_IN_MINOR: u32 = 8;

/// Events of AWS Sign-In that are no console sign-in: (name, `eventType`, `readOnly`).
const OTHER_SIGN_INS: &[(&str, &str, bool)] = &[
    ("AuthorizeOAuth2Access", "AwsApiCall", true),
    ("CreateOAuth2Token", "AwsApiCall", true),
    ("CredentialChallenge", "AwsServiceEvent", false),
    ("CredentialVerification", "AwsServiceEvent", false),
    ("UserAuthentication", "AwsServiceEvent", false),
];

/// What a member has to be. `null` counts as absent.
#[derive(Clone, Copy, Debug)]
enum Is {
    Text,
    /// Something that is searched: not empty, not long, without control characters.
    Name,
    Flag,
    Object,
    Time,
    Version,
    /// It becomes a part of log files' keys.
    Region,
    Account,
    Category,
    Resources,
}

const MEMBERS: &[(&str, Is)] = &[
    ("addendum", Is::Object),
    ("additionalEventData", Is::Object),
    ("apiVersion", Is::Text),
    ("awsRegion", Is::Region),
    ("edgeDeviceDetails", Is::Object),
    ("errorCode", Is::Text),
    ("errorMessage", Is::Text),
    ("eventCategory", Is::Category),
    ("eventContext", Is::Object),
    ("eventID", Is::Name),
    ("eventName", Is::Name),
    ("eventSource", Is::Name),
    ("eventTime", Is::Time),
    ("eventType", Is::Name),
    ("eventVersion", Is::Version),
    ("managementEvent", Is::Flag),
    ("readOnly", Is::Flag),
    ("recipientAccountId", Is::Account),
    ("requestID", Is::Text),
    ("requestParameters", Is::Object),
    ("resources", Is::Resources),
    ("responseElements", Is::Object),
    ("serviceEventDetails", Is::Object),
    ("sessionCredentialFromConsole", Is::Text),
    ("sharedEventID", Is::Name),
    ("sourceIPAddress", Is::Text),
    ("tlsDetails", Is::Object),
    ("userAgent", Is::Text),
    ("userIdentity", Is::Object),
    ("vpcEndpointAccountId", Is::Text),
    ("vpcEndpointId", Is::Text),
];

/// Members of `userIdentity`, in the order of the wire.
const IDENTITY: &[(&str, Is)] = &[
    ("type", Is::Name),
    ("principalId", Is::Text),
    ("arn", Is::Text),
    ("accountId", Is::Text),
    ("accessKeyId", Is::Text),
    ("userName", Is::Text),
    ("identityProvider", Is::Text),
    ("sessionContext", Is::Object),
    ("invokedBy", Is::Text),
    ("onBehalfOf", Is::Object),
    ("credentialId", Is::Text),
];

/// Members of one of the `resources`.
const RESOURCE: &[(&str, Is)] = &[
    ("accountId", Is::Text),
    ("type", Is::Text),
    ("ARN", Is::Text),
    ("ARNPrefix", Is::Text),
];

/// What a record is given that does not say it.
#[derive(Clone, Debug)]
pub struct Setting<'a> {
    pub now: DateTime<Utc>,
    pub account: &'a str,
    pub region: &'a str,
    pub event_version: &'a str,
    pub event_id: String,
}

/// The event that `record` tells of, or what is wrong with it.
pub fn complete(record: Value, setting: &Setting<'_>) -> Result<Event, String> {
    let Value::Object(mut record) = record else {
        return Err("not an object".to_owned());
    };
    for name in ["eventSource", "eventName"] {
        if record.get(name).is_none_or(Value::is_null) {
            return Err(format!("{name} is needed"));
        }
    }
    check(&record, MEMBERS, "")?;
    if let Some(Value::Object(identity)) = record.get("userIdentity") {
        check(identity, IDENTITY, "userIdentity.")?;
    }
    // Of these two, null is what AWS writes where there is nothing.
    let is_kept = |name: &str| matches!(name, "requestParameters" | "responseElements");
    let is_known = |name: &str| MEMBERS.iter().any(|(member, _)| *member == name);
    record.retain(|name, value| !value.is_null() || is_kept(name) || !is_known(name));
    fill(&mut record, setting);
    let event: Event =
        serde_json::from_value(Value::Object(record)).map_err(|error| error.to_string())?;
    let bytes = serde_json::to_vec(&event).map_or(0, |json| json.len());
    if bytes > RECORD_LIMIT {
        return Err(format!(
            "it is {bytes} bytes long; {RECORD_LIMIT} are allowed"
        ));
    }
    Ok(event)
}

fn check(members: &Params, table: &[(&str, Is)], place: &str) -> Result<(), String> {
    for (name, is) in table {
        match members.get(*name) {
            None | Some(Value::Null) => {}
            Some(value) => is
                .check(value)
                .map_err(|wanted| format!("{place}{name} has to be {wanted}"))?,
        }
    }
    Ok(())
}

impl Is {
    /// In words what it has to be, where `value` is something else.
    fn check(self, value: &Value) -> Result<(), Cow<'static, str>> {
        let text = value.as_str();
        let (is, wanted) = match self {
            Self::Text => (text.is_some(), "a string"),
            Self::Name => (
                text.is_some_and(is_name),
                "a string of 1 to 1024 bytes without control characters",
            ),
            Self::Flag => (value.is_boolean(), "true or false"),
            Self::Object => (value.is_object(), "an object"),
            Self::Time => (
                text.is_some_and(is_time),
                "a time since 1970 such as \"2026-11-22T15:00:00Z\"",
            ),
            Self::Version => (text.is_some_and(is_version), "a version such as \"1.11\""),
            Self::Region => (
                text.is_some_and(is_region),
                "a region such as \"us-east-1\"",
            ),
            Self::Account => (text.is_some_and(is_account), "a string of 12 digits"),
            Self::Category => (
                matches!(
                    text,
                    Some("Management" | "Data" | "NetworkActivity" | "Insight")
                ),
                "Management, Data, NetworkActivity or Insight",
            ),
            Self::Resources => return check_resources(value),
        };
        if is { Ok(()) } else { Err(wanted.into()) }
    }
}

fn check_resources(value: &Value) -> Result<(), Cow<'static, str>> {
    let Some(resources) = value.as_array() else {
        return Err("a list of objects".into());
    };
    for resource in resources {
        let Some(members) = resource.as_object() else {
            return Err("a list of objects".into());
        };
        check(members, RESOURCE, "")
            .map_err(|wrong| format!("a list of resources, whose {wrong}"))?;
    }
    Ok(())
}

fn is_name(text: &str) -> bool {
    !text.is_empty() && text.len() <= NAME_LIMIT && !text.contains(char::is_control)
}

fn is_time(text: &str) -> bool {
    DateTime::parse_from_rfc3339(text).is_ok_and(|time| time.timestamp() >= 0)
}

fn is_version(text: &str) -> bool {
    let is_number =
        |part: &str| (1..=2).contains(&part.len()) && part.bytes().all(|b| b.is_ascii_digit());
    text.split_once('.')
        .is_some_and(|(major, minor)| is_number(major) && is_number(minor))
}

fn is_account(text: &str) -> bool {
    text.len() == 12 && text.bytes().all(|b| b.is_ascii_digit())
}

fn fill(record: &mut Params, setting: &Setting<'_>) {
    let text = |name: &str| record.get(name).and_then(Value::as_str).unwrap_or_default();
    let name = text("eventName").to_owned();
    let source = text("eventSource").to_owned();
    let (event_type, read_only) = event_type(&source, &name, text("eventType"));
    let signs_in = event_type.eq_ignore_ascii_case("AwsConsoleSignIn");

    let mut identity = match record.remove("userIdentity") {
        Some(Value::Object(identity)) => identity,
        _ => nobody(&event_type, &source, setting.account),
    };
    if signs_in {
        fill_signer(&mut identity, setting.account, setting.region);
    }
    let member = |name: &str| identity.get(name).and_then(Value::as_str);
    let is_root = member("type") == Some("Root");
    let account = member("accountId").filter(|account| is_account(account));
    let account = account.unwrap_or(setting.account).to_owned();
    let invoked_by = member("invokedBy").map(ToOwned::to_owned);

    // The root user signs in to us-east-1, wherever it is.
    let region = match partition(setting.region) {
        "aws" if signs_in && is_root => "us-east-1",
        _ => setting.region,
    };
    let region = record
        .get("awsRegion")
        .and_then(Value::as_str)
        .unwrap_or(region)
        .to_owned();
    let event_version = match record.get("eventVersion").and_then(Value::as_str) {
        Some(version) => version.to_owned(),
        None if signs_in && version::minor(setting.event_version) > SIGN_IN_MINOR => {
            format!("1.{SIGN_IN_MINOR:02}")
        }
        None => setting.event_version.to_owned(),
    };
    let is_management = match record.get("eventCategory") {
        Some(category) => category == "Management",
        None => record.get("managementEvent") != Some(&Value::Bool(false)),
    };
    let mut defaults = vec![
        ("eventVersion", json!(event_version)),
        (
            "eventTime",
            json!(setting.now.to_rfc3339_opts(SecondsFormat::Secs, true)),
        ),
        ("eventID", json!(setting.event_id)),
        ("eventType", json!(event_type)),
        ("readOnly", json!(read_only)),
        ("managementEvent", json!(is_management)),
        ("recipientAccountId", json!(account)),
        (
            "eventCategory",
            json!(if is_management { "Management" } else { "Data" }),
        ),
    ];
    if signs_in {
        let failed = record.contains_key("errorMessage") || record.contains_key("errorCode");
        let outcome = if failed { "Failure" } else { "Success" };
        defaults.push(("responseElements", json!({name: outcome})));
        if partition(&region) == "aws" {
            defaults.push(("tlsDetails", sign_in_tls(&region)));
        }
    }
    // A service that calls is named in place of address and agent.
    match invoked_by {
        Some(service) => {
            defaults.push(("sourceIPAddress", json!(service)));
            defaults.push(("userAgent", json!(service)));
        }
        None => defaults.push(("sourceIPAddress", json!("127.0.0.1"))),
    }
    defaults.push(("awsRegion", json!(region)));
    let minor = version::minor(&event_version);
    for (name, value) in defaults {
        if version::has(minor, name) {
            record.entry(name).or_insert(value);
        }
    }
    record.insert("userIdentity".to_owned(), Value::Object(identity));
}

/// `eventType` and `readOnly` of an event that may say `given` of the first.
fn event_type(source: &str, name: &str, given: &str) -> (String, bool) {
    let other = OTHER_SIGN_INS.iter().find(|(other, ..)| *other == name);
    let known = match other {
        _ if source != SIGN_IN => ("AwsApiCall", catalog::reads_by_name(name)),
        Some((_, event_type, read_only)) => (*event_type, *read_only),
        None => ("AwsConsoleSignIn", false),
    };
    match given {
        "" => (known.0.to_owned(), known.1),
        // What is no API call does not read, whatever it is called.
        given => (given.to_owned(), known.1 && given == "AwsApiCall"),
    }
}

/// The identity of an event that names none: services act for an account.
fn nobody(event_type: &str, source: &str, account: &str) -> Params {
    let mut identity = Params::new();
    identity.insert("accountId".to_owned(), account.into());
    if event_type == "AwsServiceEvent" {
        identity.insert("invokedBy".to_owned(), source.into());
    }
    identity
}

/// Whoever signs in, as far as type and account tell.
fn fill_signer(identity: &mut Params, account: &str, region: &str) {
    let before = identity.len();
    identity.entry("accountId").or_insert(account.into());
    let account = identity["accountId"].as_str().unwrap_or(account).to_owned();
    if identity.get("type").and_then(Value::as_str) == Some("Root") {
        let root = Principal::root(&account, partition(region));
        identity
            .entry("principalId")
            .or_insert(root.principal_id.into());
        identity.entry("arn").or_insert(root.arn.into());
        // Nobody signs in with an access key.
        identity.entry("accessKeyId").or_insert("".into());
    }
    if identity.len() > before {
        let order = |name: &String| IDENTITY.iter().position(|(member, _)| member == name);
        let mut members: Vec<_> = std::mem::take(identity).into_iter().collect();
        members.sort_by_key(|(name, _)| order(name).unwrap_or(usize::MAX));
        identity.extend(members);
    }
}

fn sign_in_tls(region: &str) -> Value {
    json!({
        "tlsVersion": "TLSv1.3",
        "cipherSuite": "TLS_AES_128_GCM_SHA256",
        "clientProvidedHostHeader": format!("{region}.signin.aws.amazon.com"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const ACCOUNT: &str = "111122223333";

    fn completed(record: Value, version: &str) -> Result<String, String> {
        let setting = Setting {
            now: DateTime::from_timestamp(1_800_000_000, 0).unwrap(),
            account: ACCOUNT,
            region: "eu-west-1",
            event_version: version,
            event_id: "e-1".to_owned(),
        };
        complete(record, &setting).map(|event| serde_json::to_string(&event).unwrap())
    }

    #[test]
    fn what_a_record_does_not_say_is_filled_in() {
        for (record, version, expected) in [
            (
                json!({"eventSource": "s3.amazonaws.com", "eventName": "ListBuckets"}),
                "1.11",
                concat!(
                    r#"{"eventVersion":"1.11","userIdentity":{"accountId":"111122223333"},"eventTime":"2027-01-15T08:00:00Z","#,
                    r#""eventSource":"s3.amazonaws.com","eventName":"ListBuckets","awsRegion":"eu-west-1","#,
                    r#""sourceIPAddress":"127.0.0.1","requestParameters":null,"responseElements":null,"eventID":"e-1","#,
                    r#""readOnly":true,"eventType":"AwsApiCall","managementEvent":true,"recipientAccountId":"111122223333","#,
                    r#""eventCategory":"Management"}"#,
                ),
            ),
            (
                json!({"eventSource": "s3.amazonaws.com", "eventName": "GetObject", "managementEvent": false,
                    "userIdentity": {"accountId": "444455556666", "arn": "a"}, "own": [null], "errorCode": null}),
                "1.11",
                concat!(
                    r#"{"eventVersion":"1.11","userIdentity":{"accountId":"444455556666","arn":"a"},"eventTime":"2027-01-15T08:00:00Z","#,
                    r#""eventSource":"s3.amazonaws.com","eventName":"GetObject","awsRegion":"eu-west-1","#,
                    r#""sourceIPAddress":"127.0.0.1","requestParameters":null,"responseElements":null,"eventID":"e-1","#,
                    r#""readOnly":true,"eventType":"AwsApiCall","managementEvent":false,"recipientAccountId":"444455556666","#,
                    r#""eventCategory":"Data","own":[null]}"#,
                ),
            ),
            // An older version's defaults are those that it has.
            (
                json!({"eventSource": "ec2.amazonaws.com", "eventName": "RunInstances"}),
                "1.05",
                concat!(
                    r#"{"eventVersion":"1.05","userIdentity":{"accountId":"111122223333"},"eventTime":"2027-01-15T08:00:00Z","#,
                    r#""eventSource":"ec2.amazonaws.com","eventName":"RunInstances","awsRegion":"eu-west-1","#,
                    r#""sourceIPAddress":"127.0.0.1","requestParameters":null,"responseElements":null,"eventID":"e-1","#,
                    r#""readOnly":false,"eventType":"AwsApiCall","recipientAccountId":"111122223333"}"#,
                ),
            ),
            (
                json!({"eventSource": "kms.amazonaws.com", "eventName": "RotateKey", "eventType": "AwsServiceEvent",
                    "serviceEventDetails": {"keyId": "k"}}),
                "1.11",
                concat!(
                    r#"{"eventVersion":"1.11","userIdentity":{"accountId":"111122223333","invokedBy":"kms.amazonaws.com"},"#,
                    r#""eventTime":"2027-01-15T08:00:00Z","eventSource":"kms.amazonaws.com","eventName":"RotateKey","#,
                    r#""awsRegion":"eu-west-1","sourceIPAddress":"kms.amazonaws.com","userAgent":"kms.amazonaws.com","#,
                    r#""requestParameters":null,"responseElements":null,"eventID":"e-1","readOnly":false,"#,
                    r#""eventType":"AwsServiceEvent","managementEvent":true,"recipientAccountId":"111122223333","#,
                    r#""serviceEventDetails":{"keyId":"k"},"eventCategory":"Management"}"#,
                ),
            ),
            (
                json!({"eventSource": SIGN_IN, "eventName": "ConsoleLogin", "userIdentity": {"type": "Root"}}),
                "1.11",
                concat!(
                    r#"{"eventVersion":"1.08","userIdentity":{"type":"Root","principalId":"111122223333","#,
                    r#""arn":"arn:aws:iam::111122223333:root","accountId":"111122223333","accessKeyId":""},"#,
                    r#""eventTime":"2027-01-15T08:00:00Z","eventSource":"signin.amazonaws.com","eventName":"ConsoleLogin","#,
                    r#""awsRegion":"us-east-1","sourceIPAddress":"127.0.0.1","requestParameters":null,"#,
                    r#""responseElements":{"ConsoleLogin":"Success"},"eventID":"e-1","readOnly":false,"#,
                    r#""eventType":"AwsConsoleSignIn","managementEvent":true,"recipientAccountId":"111122223333","#,
                    r#""eventCategory":"Management","tlsDetails":{"tlsVersion":"TLSv1.3","cipherSuite":"TLS_AES_128_GCM_SHA256","#,
                    r#""clientProvidedHostHeader":"us-east-1.signin.aws.amazon.com"}}"#,
                ),
            ),
            (
                json!({"eventSource": SIGN_IN, "eventName": "ConsoleLogin", "errorMessage": "Failed authentication",
                    "userIdentity": {"type": "IAMUser", "userName": "Alice"}}),
                "1.06",
                concat!(
                    r#"{"eventVersion":"1.06","userIdentity":{"type":"IAMUser","accountId":"111122223333","userName":"Alice"},"#,
                    r#""eventTime":"2027-01-15T08:00:00Z","eventSource":"signin.amazonaws.com","eventName":"ConsoleLogin","#,
                    r#""awsRegion":"eu-west-1","sourceIPAddress":"127.0.0.1","errorMessage":"Failed authentication","#,
                    r#""requestParameters":null,"responseElements":{"ConsoleLogin":"Failure"},"eventID":"e-1","#,
                    r#""readOnly":false,"eventType":"AwsConsoleSignIn","managementEvent":true,"#,
                    r#""recipientAccountId":"111122223333"}"#,
                ),
            ),
        ] {
            assert_eq!(completed(record, version).as_deref(), Ok(expected));
        }
    }

    #[test]
    fn other_events_of_sign_in_are_no_console_sign_ins() {
        for (name, event_type, read_only) in [
            ("CheckMfa", "AwsConsoleSignIn", false),
            ("GetSigninToken", "AwsConsoleSignIn", false),
            ("CreateOAuth2Token", "AwsApiCall", true),
            ("UserAuthentication", "AwsServiceEvent", false),
        ] {
            assert_eq!(
                super::event_type(SIGN_IN, name, ""),
                (event_type.to_owned(), read_only),
                "{name}"
            );
        }
    }

    #[test]
    fn what_is_wrong_is_said() {
        let with = |name: &str, value: Value| {
            let mut record = json!({"eventSource": "s3.amazonaws.com", "eventName": "ListBuckets"});
            record[name] = value;
            record
        };
        let identity = |value: Value| with("userIdentity", value);
        for (record, reason) in [
            (json!("x"), "not an object"),
            (json!({"eventName": "x"}), "eventSource is needed"),
            (with("eventName", Value::Null), "eventName is needed"),
            (
                with("eventName", json!(7)),
                "eventName has to be a string of 1 to",
            ),
            (with("eventName", json!("")), "eventName has to be"),
            (with("eventName", json!("a\u{0}b")), "eventName has to be"),
            (
                with("eventSource", json!("s".repeat(1025))),
                "eventSource has to be",
            ),
            (with("eventID", json!("")), "eventID has to be"),
            (
                with("eventTime", json!("noon")),
                "eventTime has to be a time",
            ),
            (
                with("eventTime", json!(1_800_000_000)),
                "eventTime has to be a time",
            ),
            (
                with("eventTime", json!("1969-12-31T23:59:59Z")),
                "eventTime has to be a time",
            ),
            (
                with("eventVersion", json!(1.11)),
                "eventVersion has to be a version",
            ),
            (
                with("eventVersion", json!("newest")),
                "eventVersion has to be a version",
            ),
            (
                with("awsRegion", json!("us/east")),
                "awsRegion has to be a region",
            ),
            (
                with("awsRegion", json!("../..")),
                "awsRegion has to be a region",
            ),
            (
                with("recipientAccountId", json!("42")),
                "recipientAccountId has to be a string of 12 digits",
            ),
            (
                with("recipientAccountId", json!(111_122_223_333_i64)),
                "recipientAccountId has to be",
            ),
            (
                with("eventCategory", json!("management")),
                "eventCategory has to be Management",
            ),
            (
                with("readOnly", json!("true")),
                "readOnly has to be true or false",
            ),
            (
                with("managementEvent", json!(1)),
                "managementEvent has to be",
            ),
            (
                with("requestParameters", json!([])),
                "requestParameters has to be an object",
            ),
            (
                with("responseElements", json!("ok")),
                "responseElements has to be an object",
            ),
            (
                with("tlsDetails", json!("1.3")),
                "tlsDetails has to be an object",
            ),
            (
                with("sourceIPAddress", json!([])),
                "sourceIPAddress has to be a string",
            ),
            (with("resources", json!({})), "resources has to be a list"),
            (
                with("resources", json!(["arn"])),
                "resources has to be a list",
            ),
            (
                with("resources", json!([{"ARN": 1}])),
                "whose ARN has to be a string",
            ),
            (identity(json!([])), "userIdentity has to be an object"),
            (identity(json!({"type": 1})), "userIdentity.type has to be"),
            (
                identity(json!({"userName": {}})),
                "userIdentity.userName has to be a string",
            ),
            (
                identity(json!({"accountId": 1})),
                "userIdentity.accountId has to be",
            ),
            (
                identity(json!({"sessionContext": "s"})),
                "userIdentity.sessionContext has to be",
            ),
            (
                with("requestParameters", json!({"a": "x".repeat(RECORD_LIMIT)})),
                "262144 are allowed",
            ),
        ] {
            let wrong = completed(record.clone(), "1.11").unwrap_err();
            assert!(wrong.contains(reason), "{wrong}: {reason}");
        }
    }

    #[test]
    fn an_account_that_is_none_does_not_name_a_folder() {
        for account in ["ANONYMOUS_PRINCIPAL", "../..", ""] {
            let record = json!({"eventSource": "s3.amazonaws.com", "eventName": "GetObject",
                "userIdentity": {"type": "AWSAccount", "accountId": account}});
            let record = completed(record, "1.11").unwrap();
            assert!(
                record.contains(r#""recipientAccountId":"111122223333""#),
                "{record}"
            );
        }
    }
}
