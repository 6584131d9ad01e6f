//! Policies and ARNs: laws of the policy language that hold for every policy, and wildcards against a slow matcher.

use localtrail::aws::arn::Arn;
use localtrail::aws::jwt::Claims;
use localtrail::policy::cloudtrail::Deliverer;
use localtrail::policy::{Decision, Policy, Request};
use proptest::prelude::proptest;
use serde_json::{Value, json};

use crate::corpus::Corpus;
use crate::dice::{Dice, Place};
use crate::{config, entropy};

const TRAIL: &str = "arn:aws:cloudtrail:us-east-1:111122223333:trail/main";
const RESOURCES: &[&str] = &[
    "*",
    "arn:aws:s3:::logs",
    "arn:aws:s3:::logs/*",
    "arn:aws:s3:::l?gs/AWSLogs/${aws:SourceAccount}/*",
    "arn:aws:s3:::${aws:nothing, 'logs'}/*",
    "arn:aws:s3:::${",
    "arn:aws:sns:*:111122223333:*",
];
const OPERATORS: &[&str] = &[
    "StringEquals",
    "StringNotEquals",
    "StringLike",
    "StringNotLike",
    "StringEqualsIgnoreCase",
    "ArnLike",
    "ArnEquals",
    "ArnNotEquals",
    "Bool",
    "Null",
    "IpAddress",
    "NotIpAddress",
    "NumericLessThan",
    "NumericNotEquals",
    "DateLessThan",
    "StringEqualsIfExists",
    "ForAnyValue:StringLike",
    "ForAllValues:StringNotEqualsIfExists",
    "Unheard",
];
const KEYS: &[&str] = &[
    "aws:SourceArn",
    "aws:SourceAccount",
    "s3:x-amz-acl",
    "aws:PrincipalIsAWSService",
    "aws:SourceIp",
    "x",
];
const VALUES: &[&str] = &[
    TRAIL,
    "arn:aws:cloudtrail:*:111122223333:trail/*",
    "111122223333",
    "bucket-owner-full-control",
    "true",
    "false",
    "192.0.2.0/24",
    "1e309",
    "*",
    "${aws:SourceAccount}",
    "",
];

fn one_or_many(dice: &mut Dice<'_>, from: &[&str]) -> Value {
    let mut one = || match dice.once_in(10) {
        true => dice.text(Place::Anywhere),
        false => (*dice.pick(from)).to_owned(),
    };
    let (first, second) = (one(), one());
    if dice.once_in(2) {
        json!([first, second])
    } else {
        first.into()
    }
}

fn statement(dice: &mut Dice<'_>, effect: &str) -> Value {
    let mut statement = json!({ "Effect": effect });
    let principal = match dice.below(4) {
        0 => json!("*"),
        1 => {
            json!({ "Service": one_or_many(dice, &["cloudtrail.amazonaws.com", "s3.amazonaws.com"]) })
        }
        2 => {
            json!({ "AWS": one_or_many(dice, &["*", "111122223333", "arn:aws:iam::086441151436:root"]) })
        }
        _ => json!({ "AWS": "*", "Service": "cloudtrail.amazonaws.com" }),
    };
    let mut put = |name: &str, value: Value, dice: &mut Dice<'_>| {
        let not = if dice.once_in(4) { "Not" } else { "" };
        statement[format!("{not}{name}")] = value;
    };
    put("Principal", principal, dice);
    let actions = one_or_many(
        dice,
        &[
            "*",
            "s3:*",
            "s3:PutObject",
            "S3:GetBucketAcl",
            "SNS:Publish",
            "s3:P?tObject",
        ],
    );
    put("Action", actions, dice);
    let resources = one_or_many(dice, RESOURCES);
    put("Resource", resources, dice);
    if dice.once_in(2) {
        let (operator, key) = (*dice.pick(OPERATORS), *dice.pick(KEYS));
        statement["Condition"] = json!({ operator: { key: one_or_many(dice, VALUES) } });
    }
    statement
}

fn statements(dice: &mut Dice<'_>) -> Vec<Value> {
    (0..dice.below(4))
        .map(|_| {
            let effect = *dice.pick(&["Allow", "Deny"]);
            statement(dice, effect)
        })
        .collect()
}

fn policy(dice: &mut Dice<'_>, statements: &[Value]) -> Policy {
    let version = *dice.pick(&["2012-10-17", "2008-10-17"]);
    Policy::parse(&json!({ "Version": version, "Statement": statements }).to_string()).unwrap()
}

fn request(dice: &mut Dice<'_>) -> Request<'static> {
    let deliverer = Deliverer {
        trail_arn: TRAIL,
        account: "111122223333",
        region: "us-east-1",
    };
    match dice.below(4) {
        0 => deliverer.get_bucket_acl("logs"),
        1 => deliverer.put_object("logs", "AWSLogs/111122223333/file", None),
        2 => deliverer.put_object("logs", &dice.text(Place::Anywhere), Some("key")),
        _ => deliverer.publish("arn:aws:sns:us-east-1:111122223333:notes"),
    }
}

/// Whether `text` is like `pattern`, by trying everything.
fn is_like(pattern: &[char], text: &[char]) -> bool {
    match (pattern.split_first(), text.split_first()) {
        (None, text) => text.is_none(),
        (Some(('*', rest)), None) => is_like(rest, text),
        (Some(('*', rest)), Some((_, others))) => is_like(rest, text) || is_like(pattern, others),
        (Some(('?', rest)), Some((_, others))) => is_like(rest, others),
        (Some((letter, rest)), Some((other, others))) => letter == other && is_like(rest, others),
        (Some(_), None) => false,
    }
}

proptest! {
    #![proptest_config(config(512))]

    #[test]
    fn a_deny_wins_and_without_an_allow_nothing_is_allowed(bytes in entropy(300)) {
        let mut dice = Dice::new(&bytes);
        let (mut statements, request) = (statements(&mut dice), request(&mut dice));
        let decision = policy(&mut dice, &statements).decide(&request);
        assert_eq!(policy(&mut Dice::new(&[]), &[]).decide(&request), Decision::NotAllowed);
        if statements.iter().all(|statement| statement["Effect"] == "Deny") {
            assert_ne!(decision, Decision::Allowed);
        }
        let deny = json!({ "Effect": "Deny", "Principal": "*", "Action": "*", "Resource": "*" });
        let at = dice.below(statements.len() + 1);
        statements.insert(at, deny);
        assert_eq!(policy(&mut dice, &statements).decide(&request), Decision::Denied);
    }

    #[test]
    fn an_allow_more_never_allows_less_and_order_is_nothing(bytes in entropy(300)) {
        let mut dice = Dice::new(&bytes);
        let (mut all, request) = (statements(&mut dice), request(&mut dice));
        // The version alone may differ between two documents that say the same.
        let version = [dice.byte()];
        let before = policy(&mut Dice::new(&version), &all).decide(&request);
        all.reverse();
        assert_eq!(policy(&mut Dice::new(&version), &all).decide(&request), before);
        all.push(statement(&mut dice, "Allow"));
        let after = policy(&mut Dice::new(&version), &all).decide(&request);
        match before {
            Decision::Denied => assert_eq!(after, Decision::Denied),
            Decision::Allowed => assert_eq!(after, Decision::Allowed),
            Decision::NotAllowed => assert_ne!(after, Decision::Denied),
        }
    }

    #[test]
    fn wildcards_match_as_by_trying_everything(pattern in "[ab*?é]{0,8}", key in "[abé]{0,8}") {
        let statement = json!({
            "Effect": "Allow", "Principal": "*", "Action": "*", "Resource": format!("arn:aws:s3:::logs/{pattern}"),
        });
        let policy = Policy::parse(&json!({ "Statement": statement }).to_string()).unwrap();
        let deliverer = Deliverer { trail_arn: TRAIL, account: "111122223333", region: "us-east-1" };
        let is_allowed = policy.decide(&deliverer.put_object("logs", &key, None)) == Decision::Allowed;
        let letters = |text: &str| text.chars().collect::<Vec<_>>();
        assert_eq!(is_allowed, is_like(&letters(&pattern), &letters(&key)));
    }

    #[test]
    fn mutated_policies_do_no_harm(bytes in entropy(300)) {
        let mut dice = Dice::new(&bytes);
        let document = Corpus::read("policies").mutated(&mut dice);
        if let Ok(policy) = Policy::parse(&String::from_utf8_lossy(&document)) {
            let _ = policy.decide(&request(&mut dice));
        }
    }

    #[test]
    fn an_arn_is_written_as_it_was_read(bytes in entropy(200)) {
        let mut dice = Dice::new(&bytes);
        let words: Vec<String> = (0..dice.below(9)).map(|_| dice.text(Place::Anywhere)).collect();
        let text = format!("{}{}", dice.pick(&["arn:", "", "arn"]), words.join(":"));
        if let Some(arn) = Arn::parse(&text) {
            assert_eq!(arn.to_string(), text);
            assert!(!arn.resource.is_empty());
        }
        let _ = Claims::parse(&text);
    }
}

#[test]
fn patterns_made_to_be_slow_are_not() {
    let slow = "*a".repeat(10_000) + "b";
    let statement =
        json!({ "Effect": "Allow", "Principal": "*", "Action": slow, "Resource": slow });
    let policy = Policy::parse(&json!({ "Statement": statement }).to_string()).unwrap();
    let deliverer = Deliverer {
        trail_arn: TRAIL,
        account: "111122223333",
        region: "us-east-1",
    };
    let start = std::time::Instant::now();
    let request = deliverer.put_object("logs", &"a".repeat(1_024), None);
    assert_eq!(policy.decide(&request), Decision::NotAllowed);
    assert!(start.elapsed().as_secs() < 5);
}
