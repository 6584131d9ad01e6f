//! The decision table: a policy, what CloudTrail asks, the decision.

use serde_json::{Value, json};

use super::cloudtrail::Deliverer;
use super::{Decision, Policy, Request, templates};
use Decision::{Allowed, Denied, NotAllowed};

const TRAIL: &str = "arn:aws:cloudtrail:us-east-1:111122223333:trail/main";
const TOPIC: &str = "arn:aws:sns:us-east-1:111122223333:notes";
const KEY: &str = "AWSLogs/111122223333/CloudTrail/us-east-1/2026/11/22/file.json.gz";

/// What is asked: the ACL of `logs`, an object in it, an object under `pre/`, one with a KMS key, a message to `notes`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ask {
    Acl,
    Put,
    PutPrefixed,
    PutKms,
    Publish,
}

impl Ask {
    fn request(self, region: &'static str) -> Request<'static> {
        let deliverer = Deliverer {
            trail_arn: TRAIL,
            account: "111122223333",
            region,
        };
        match self {
            Self::Acl => deliverer.get_bucket_acl("logs"),
            Self::Put => deliverer.put_object("logs", KEY, None),
            Self::PutPrefixed => deliverer.put_object("logs", &format!("pre/{KEY}"), None),
            Self::PutKms => deliverer.put_object("logs", KEY, Some("key")),
            Self::Publish => deliverer.publish(TOPIC),
        }
    }
}

fn decide(policy: &Value, ask: Ask, region: &'static str) -> Decision {
    let policy = Policy::parse(&policy.to_string()).unwrap();
    policy.decide(&ask.request(region))
}

/// The statement that lets CloudTrail write, with `changes`; a change to null takes an element away.
fn write(changes: Value) -> Value {
    let mut statement = json!({
        "Effect": "Allow",
        "Principal": { "Service": "cloudtrail.amazonaws.com" },
        "Action": "s3:PutObject",
        "Resource": "arn:aws:s3:::logs/AWSLogs/111122223333/*",
    });
    let elements = statement.as_object_mut().unwrap();
    if let Value::Object(changes) = changes {
        elements.extend(changes);
    }
    elements.retain(|_, value| !value.is_null());
    statement
}

fn policy(statements: Value) -> Value {
    let mut policy = json!({ "Version": "2012-10-17" });
    policy["Statement"] = statements;
    policy
}

fn condition(operator: &str, key: &str, values: Value) -> Value {
    let mut changes = json!({ "Condition": { operator: {} } });
    changes["Condition"][operator][key] = values;
    changes
}

/// Of a policy that has but the statement that lets CloudTrail write, changed.
#[test]
fn a_single_statement_is_decided() {
    use Ask::{Acl, Publish, Put, PutKms, PutPrefixed};
    let rows: Vec<(Value, Ask, Decision)> = vec![
        (json!({}), Put, Allowed),
        (json!({}), PutPrefixed, NotAllowed),
        (json!({}), Acl, NotAllowed),
        (json!({}), Publish, NotAllowed),
        // Principal
        (json!({ "Principal": "*" }), Put, Allowed),
        (json!({ "Principal": { "AWS": "*" } }), Put, Allowed),
        (
            json!({ "Principal": { "AWS": ["111122223333", "*"] } }),
            Put,
            Allowed,
        ),
        (
            json!({ "Principal": { "Service": ["ec2.amazonaws.com", "cloudtrail.amazonaws.com"] } }),
            Put,
            Allowed,
        ),
        (
            json!({ "Principal": { "AWS": "111122223333", "Service": "cloudtrail.amazonaws.com" } }),
            Put,
            Allowed,
        ),
        (
            json!({ "Principal": { "Service": "config.amazonaws.com" } }),
            Put,
            NotAllowed,
        ),
        (
            json!({ "Principal": { "Service": "*.amazonaws.com" } }),
            Put,
            NotAllowed,
        ),
        (
            json!({ "Principal": { "AWS": "cloudtrail.amazonaws.com" } }),
            Put,
            NotAllowed,
        ),
        (
            json!({ "Principal": { "Federated": "*", "CanonicalUser": "*" } }),
            Put,
            NotAllowed,
        ),
        (
            json!({ "Principal": { "AWS": "111122223333" } }),
            Put,
            NotAllowed,
        ),
        (
            json!({ "Principal": { "AWS": "arn:aws:iam::111122223333:root" } }),
            Put,
            NotAllowed,
        ),
        (
            json!({ "Principal": { "AWS": "086441151436" } }),
            Put,
            Allowed,
        ),
        (
            json!({ "Principal": { "AWS": "arn:aws:iam::086441151436:root" } }),
            Put,
            Allowed,
        ),
        (
            json!({ "Principal": { "AWS": ["arn:aws:iam::903692715234:root", "arn:aws:iam::086441151436:root"] } }),
            Put,
            Allowed,
        ),
        (
            json!({ "Principal": { "AWS": "arn:aws:iam::859597730677:root" } }),
            Put,
            NotAllowed,
        ),
        (
            json!({ "Principal": { "AWS": "arn:aws:iam::086441151436:user/root" } }),
            Put,
            NotAllowed,
        ),
        (
            json!({ "Principal": null, "NotPrincipal": { "AWS": "111122223333" } }),
            Put,
            Allowed,
        ),
        (
            json!({ "Principal": null, "NotPrincipal": { "Service": "cloudtrail.amazonaws.com" } }),
            Put,
            NotAllowed,
        ),
        // Action
        (json!({ "Action": "S3:putobject" }), Put, Allowed),
        (json!({ "Action": "s3:*" }), Put, Allowed),
        (json!({ "Action": "s3:Put?bject" }), Put, Allowed),
        (json!({ "Action": "*" }), Put, Allowed),
        (
            json!({ "Action": ["s3:GetObject", "s3:Put*"] }),
            Put,
            Allowed,
        ),
        (json!({ "Action": "s3:GetObject" }), Put, NotAllowed),
        (json!({ "Action": "s3:PutObjectAcl" }), Put, NotAllowed),
        (
            json!({ "Action": null, "NotAction": "s3:DeleteObject" }),
            Put,
            Allowed,
        ),
        (
            json!({ "Action": null, "NotAction": ["s3:Put*"] }),
            Put,
            NotAllowed,
        ),
        // Resource
        (json!({ "Resource": "*" }), Put, Allowed),
        (
            json!({ "Resource": "arn:aws:s3:::logs/*" }),
            PutPrefixed,
            Allowed,
        ),
        (
            json!({ "Resource": "arn:aws:s3:::logs/pre/AWSLogs/111122223333/*" }),
            PutPrefixed,
            Allowed,
        ),
        (
            json!({ "Resource": "arn:aws:s3:::logs/pre/AWSLogs/111122223333/*" }),
            Put,
            NotAllowed,
        ),
        (json!({ "Resource": "arn:aws:s3:::logs" }), Put, NotAllowed),
        (
            json!({ "Resource": "arn:aws:s3:::logs/AWSLogs/444455556666/*" }),
            Put,
            NotAllowed,
        ),
        (
            json!({ "Resource": ["arn:aws:s3:::logs/AWSLogs/444455556666/*", "arn:aws:s3:::log?/*"] }),
            Put,
            Allowed,
        ),
        (
            json!({ "Resource": "arn:aws:s3:::LOGS/*" }),
            Put,
            NotAllowed,
        ),
        (
            json!({ "Resource": "arn:aws-cn:s3:::logs/*" }),
            Put,
            NotAllowed,
        ),
        (
            json!({ "Resource": null, "NotResource": "arn:aws:s3:::logs/private/*" }),
            Put,
            Allowed,
        ),
        (
            json!({ "Resource": null, "NotResource": "arn:aws:s3:::logs/*" }),
            Put,
            NotAllowed,
        ),
        (
            json!({ "Resource": "arn:aws:s3:::logs/AWSLogs/${aws:SourceAccount}/*" }),
            Put,
            Allowed,
        ),
        (
            json!({ "Resource": "arn:aws:s3:::logs/${aws:PrincipalTag/team}/*" }),
            Put,
            NotAllowed,
        ),
        // Condition
        (
            condition(
                "StringEquals",
                "s3:x-amz-acl",
                json!("bucket-owner-full-control"),
            ),
            Put,
            Allowed,
        ),
        (
            condition("StringEquals", "s3:x-amz-acl", json!("private")),
            Put,
            NotAllowed,
        ),
        (
            condition("StringEquals", "aws:SourceArn", json!(TRAIL)),
            Put,
            Allowed,
        ),
        (
            condition("StringEquals", "AWS:sourcearn", json!([TRAIL, "x"])),
            Put,
            Allowed,
        ),
        (
            condition(
                "StringEquals",
                "aws:SourceArn",
                json!("arn:aws:cloudtrail:us-east-1:111122223333:trail/other"),
            ),
            Put,
            NotAllowed,
        ),
        (
            condition(
                "ArnLike",
                "aws:SourceArn",
                json!("arn:aws:cloudtrail:*:111122223333:trail/*"),
            ),
            Put,
            Allowed,
        ),
        (
            condition(
                "ArnEquals",
                "aws:SourceArn",
                json!("arn:aws:cloudtrail:*:111122223333:trail/*"),
            ),
            Put,
            Allowed,
        ),
        (
            condition("StringLike", "aws:SourceArn", json!("*:trail/main")),
            Put,
            Allowed,
        ),
        (
            condition("StringEquals", "aws:SourceAccount", json!("111122223333")),
            Put,
            Allowed,
        ),
        (
            condition("StringEquals", "aws:SourceAccount", json!(["444455556666"])),
            Put,
            NotAllowed,
        ),
        (
            condition(
                "StringEquals",
                "aws:SourceArn",
                json!("arn:aws:cloudtrail:us-east-1:${aws:SourceAccount}:trail/main"),
            ),
            Put,
            Allowed,
        ),
        (
            condition("Bool", "aws:SecureTransport", json!("true")),
            Put,
            Allowed,
        ),
        (
            condition(
                "StringEquals",
                "aws:PrincipalServiceName",
                json!("cloudtrail.amazonaws.com"),
            ),
            Put,
            Allowed,
        ),
        (
            condition(
                "ForAnyValue:StringEquals",
                "aws:PrincipalServiceNamesList",
                json!("cloudtrail.amazonaws.com"),
            ),
            Put,
            Allowed,
        ),
        (
            condition("StringEquals", "aws:SourceOrgID", json!("o-abcdefghij")),
            Put,
            NotAllowed,
        ),
        (
            condition(
                "StringEqualsIfExists",
                "aws:SourceOrgID",
                json!("o-abcdefghij"),
            ),
            Put,
            Allowed,
        ),
        (
            condition(
                "StringEquals",
                "s3:x-amz-server-side-encryption",
                json!("aws:kms"),
            ),
            Put,
            NotAllowed,
        ),
        (
            condition(
                "StringEquals",
                "s3:x-amz-server-side-encryption",
                json!("aws:kms"),
            ),
            PutKms,
            Allowed,
        ),
        (
            condition("Unheard", "aws:SourceArn", json!(TRAIL)),
            Put,
            NotAllowed,
        ),
        (
            condition(
                "DateLessThan",
                "aws:CurrentTime",
                json!("2099-01-01T00:00:00Z"),
            ),
            Put,
            NotAllowed,
        ),
        // Deny
        (json!({ "Effect": "Deny" }), Put, Denied),
        (json!({ "Effect": "Deny" }), PutPrefixed, NotAllowed),
    ];
    for (changes, ask, expected) in rows {
        let policy = policy(json!([write(changes)]));
        assert_eq!(
            decide(&policy, ask, "us-east-1"),
            expected,
            "{ask:?} {policy}"
        );
    }
}

/// Beside a statement that allows everything, a Deny: does it stop CloudTrail?
#[test]
fn a_deny_wins_over_an_allow() {
    let insecure = condition("Bool", "aws:SecureTransport", json!("false"));
    let rows: Vec<(Value, Ask, Decision)> = vec![
        (json!({}), Ask::Put, Denied),
        (json!({}), Ask::PutPrefixed, Allowed),
        (json!({}), Ask::Acl, Allowed),
        (json!({ "Action": "s3:*" }), Ask::Publish, Allowed),
        (
            json!({ "Action": "s3:*", "Resource": "*" }),
            Ask::Acl,
            Denied,
        ),
        (json!({ "Principal": "*" }), Ask::Put, Denied),
        (
            json!({ "Principal": { "AWS": "086441151436" } }),
            Ask::Put,
            Denied,
        ),
        (
            json!({ "Principal": { "AWS": "111122223333" } }),
            Ask::Put,
            Allowed,
        ),
        (
            json!({ "Principal": null, "NotPrincipal": { "AWS": "111122223333" } }),
            Ask::Put,
            Denied,
        ),
        (
            json!({ "Principal": null, "NotPrincipal": { "Service": "cloudtrail.amazonaws.com" } }),
            Ask::Put,
            Allowed,
        ),
        (
            json!({ "Action": null, "NotAction": "s3:Get*" }),
            Ask::Put,
            Denied,
        ),
        (
            json!({ "Resource": null, "NotResource": "arn:aws:s3:::logs/AWSLogs/*" }),
            Ask::Put,
            Allowed,
        ),
        (
            json!({ "Resource": null, "NotResource": "arn:aws:s3:::logs/AWSLogs/*" }),
            Ask::PutPrefixed,
            Denied,
        ),
        (insecure, Ask::Put, Allowed),
        (
            condition("NumericLessThan", "s3:TlsVersion", json!("1.2")),
            Ask::Put,
            Allowed,
        ),
        (
            condition(
                "StringNotEquals",
                "s3:x-amz-server-side-encryption",
                json!("aws:kms"),
            ),
            Ask::Put,
            Denied,
        ),
        (
            condition(
                "StringNotEquals",
                "s3:x-amz-server-side-encryption",
                json!("aws:kms"),
            ),
            Ask::PutKms,
            Allowed,
        ),
        (
            condition(
                "StringNotEqualsIfExists",
                "s3:x-amz-server-side-encryption",
                json!("aws:kms"),
            ),
            Ask::Put,
            Denied,
        ),
        (
            condition("Null", "s3:x-amz-server-side-encryption", json!("true")),
            Ask::Put,
            Denied,
        ),
        (
            condition(
                "StringNotEquals",
                "aws:PrincipalOrgID",
                json!("o-abcdefghij"),
            ),
            Ask::Put,
            Denied,
        ),
        (
            json!({ "Condition": { "StringNotEqualsIfExists": { "aws:PrincipalOrgID": "o-abcdefghij" }, "BoolIfExists": { "aws:PrincipalIsAWSService": "false" } } }),
            Ask::Put,
            Allowed,
        ),
        (
            condition("NotIpAddress", "aws:SourceIp", json!("192.0.2.0/24")),
            Ask::Put,
            Denied,
        ),
        (
            condition("IpAddress", "aws:SourceIp", json!("192.0.2.0/24")),
            Ask::Put,
            Allowed,
        ),
        (
            condition(
                "ArnNotLike",
                "aws:SourceArn",
                json!("arn:aws:cloudtrail:*:111122223333:trail/*"),
            ),
            Ask::Put,
            Allowed,
        ),
        (
            condition(
                "ArnNotLike",
                "aws:SourceArn",
                json!("arn:aws:cloudtrail:*:444455556666:trail/*"),
            ),
            Ask::Put,
            Denied,
        ),
        (
            condition("Unheard", "aws:SourceArn", json!("x")),
            Ask::Put,
            Denied,
        ),
        (
            json!({ "Resource": "arn:aws:s3:::logs/${aws:username}/*" }),
            Ask::Put,
            Denied,
        ),
        (
            json!({ "Resource": "arn:aws:s3:::logs/${aws:username}/*", "Condition": { "Bool": { "aws:SecureTransport": "false" } } }),
            Ask::Put,
            Allowed,
        ),
    ];
    let everything = json!({ "Effect": "Allow", "Principal": "*", "Action": "*", "Resource": "*" });
    for (changes, ask, expected) in rows {
        let mut deny = write(changes);
        deny["Effect"] = json!("Deny");
        for statements in [json!([everything, deny]), json!([deny, everything])] {
            let policy = policy(statements);
            assert_eq!(
                decide(&policy, ask, "us-east-1"),
                expected,
                "{ask:?} {policy}"
            );
        }
    }
}

/// SNS's own policy of a new topic, and those of CloudTrail's guide.
#[test]
fn topics_are_decided() {
    let allow = |changes: Value| {
        let publish = json!({ "Action": "SNS:Publish", "Resource": TOPIC });
        let mut statement = write(publish);
        statement
            .as_object_mut()
            .unwrap()
            .extend(changes.as_object().unwrap().clone());
        policy(json!(statement))
    };
    let owner = json!({ "StringEquals": { "AWS:SourceOwner": "111122223333" } });
    for (policy, expected) in [
        (allow(json!({})), Allowed),
        (allow(json!({ "Action": "sns:publish" })), Allowed),
        (
            allow(condition("StringEquals", "aws:SourceArn", json!(TRAIL))),
            Allowed,
        ),
        (
            allow(condition(
                "StringEquals",
                "aws:RequestedRegion",
                json!("us-east-1"),
            )),
            Allowed,
        ),
        (
            allow(json!({ "Resource": "arn:aws:sns:us-east-1:111122223333:other" })),
            NotAllowed,
        ),
        (allow(json!({ "Action": "SNS:Subscribe" })), NotAllowed),
        (
            allow(json!({ "Principal": { "AWS": "*" }, "Condition": owner })),
            NotAllowed,
        ),
    ] {
        assert_eq!(
            decide(&policy, Ask::Publish, "us-east-1"),
            expected,
            "{policy}"
        );
    }
}

/// A policy of 2014 serves the regions whose accounts it names.
#[test]
fn accounts_of_2014_serve_their_regions() {
    for (region, expected) in [
        ("us-east-1", Allowed),
        ("eu-west-1", Allowed),
        ("eu-central-1", NotAllowed),
        ("mars-north-1", NotAllowed),
    ] {
        let accounts = json!(["arn:aws:iam::086441151436:root", "859597730677"]);
        let policy = policy(json!([write(json!({ "Principal": { "AWS": accounts } }))]));
        assert_eq!(decide(&policy, Ask::Put, region), expected, "{region}");
    }
}

#[test]
fn documents_may_be_short() {
    let statement = write(json!({}));
    let variable = write(json!({ "Resource": "arn:aws:s3:::logs/AWSLogs/${aws:SourceAccount}/*" }));
    for (policy, expected) in [
        (json!({ "Statement": statement }), Allowed),
        (
            json!({ "Version": "2008-10-17", "Id": "x", "Statement": [statement] }),
            Allowed,
        ),
        (
            json!({ "Version": "2008-10-17", "Statement": [variable] }),
            NotAllowed,
        ),
        (
            json!({ "Version": "2012-10-17", "Statement": [] }),
            NotAllowed,
        ),
    ] {
        assert_eq!(decide(&policy, Ask::Put, "us-east-1"), expected, "{policy}");
    }
    for bad in [
        "",
        "null",
        "{}",
        "[]",
        r#"{"Statement":"x"}"#,
        r#"{"Statement":[{"Effect":"Maybe","Principal":"*","Action":"*","Resource":"*"}]}"#,
        r#"{"Statement":[{"Effect":"Allow","Action":"*","Resource":"*"}]}"#,
        r#"{"Statement":[{"Effect":"Allow","Principal":"*","Resource":"*"}]}"#,
        r#"{"Statement":[{"Effect":"Allow","Principal":"*","Action":"*"}]}"#,
    ] {
        assert!(Policy::parse(bad).is_err(), "{bad}");
    }
}

/// As `aws cloudtrail create-subscription` fills them in.
#[test]
fn the_templates_let_cloudtrail_in() {
    let s3 =
        "/awscloudtrail-policy-us-east-1/policy/S3/AWSCloudTrail-S3BucketPolicy-2014-12-17.json";
    let sns =
        "/awscloudtrail-policy-us-east-1/policy/SNS/AWSCloudTrail-SnsTopicPolicy-2014-12-17.json";
    for (path, prefix, ask, expected) in [
        (s3, "", Ask::Acl, Allowed),
        (s3, "", Ask::Put, Allowed),
        (s3, "", Ask::PutPrefixed, NotAllowed),
        (s3, "pre/", Ask::Put, NotAllowed),
        (s3, "pre/", Ask::PutPrefixed, Allowed),
        (sns, "", Ask::Publish, Allowed),
    ] {
        let mut text = templates::template(path).unwrap();
        for (placeholder, value) in [
            ("<BucketName>", "logs"),
            ("<CustomerAccountID>", "111122223333"),
            ("<Prefix>/", prefix),
            ("<Region>", "us-east-1"),
            ("<SNSTopicOwnerAccountId>", "111122223333"),
            ("<SNSTopicName>", "notes"),
        ] {
            text = text.replace(placeholder, value);
        }
        assert!(!text.contains('<'), "{text}");
        let policy = Policy::parse(&text).unwrap();
        assert_eq!(
            policy.decide(&ask.request("us-east-1")),
            expected,
            "{path} {prefix} {ask:?}"
        );
    }
}
