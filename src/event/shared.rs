//! One call, two accounts: the record of the caller and that of the resource's owner.
//!
//! Each has its own `eventID` and `recipientAccountId`, both the same `sharedEventID`. The owner learns less: of the
//! caller only the account and the principal's id (facts 5.3), of an object's ACL nothing (S3 User Guide, "Object-level
//! actions in cross-account scenarios"). A call that is denied is the caller's alone (KMS Developer Guide, "Logging
//! KMS API calls"; IAM User Guide on AssumeRole). Knows only what the request and its answer say, and the owners of
//! buckets if it is told.

use serde_json::Value;

use super::catalog::lists;
use super::identity::user_identity;
use super::{Event, Outcome, Principal, PrincipalKind, version};
use crate::aws::Params;
use crate::aws::arn::Arn;
use crate::aws::route::Call;

/// Where a request names its resource's account: (botocore's name of the service, operations, member). The member holds
/// an ARN, or the URL of a queue.
#[rustfmt::skip]
const NAMED_BY: &[(&str, &str, &str)] = &[
    ("kms", "*", "KeyId"),
    ("kms", "ReEncrypt", "SourceKeyId"),
    ("kms", "ReEncrypt", "DestinationKeyId"),
    ("sns", "*", "TopicArn"),
    ("sns", "*", "TargetArn"),
    ("sns", "*", "SubscriptionArn"),
    ("sqs", "*", "QueueUrl"),
    ("sts", "AssumeRole*", "RoleArn"),
];

/// What S3 does not tell a bucket's owner of an ACL that another account has set.
const ACL_PARAMETERS: &[&str] = &["AccessControlPolicy", "accessControlList", "x-amz-acl"];

/// The account that owns what the call is about, if that is known and not `caller`. `bucket_owner` is the owner of the
/// bucket named, where someone knows.
pub fn owner(
    call: &Call,
    params: Option<&Params>,
    outcome: &Outcome,
    bucket_owner: Option<String>,
    caller: &str,
) -> Option<String> {
    let is_other = |account: &str| account != caller && is_account(account);
    if &*call.service.id == "s3" {
        return bucket_owner.filter(|account| is_other(account));
    }
    let named = NAMED_BY.iter().filter_map(|(service, operations, member)| {
        let is_it = *service == &*call.service.id && lists(operations, &call.operation.name);
        params.filter(|_| is_it)?.get(*member)?.as_str()
    });
    // KMS tells the key also where the request does not: of a Decrypt, or an alias.
    let answered = match outcome {
        Outcome::Success(Some(answer)) if &*call.service.id == "kms" => answer.get("KeyId"),
        _ => None,
    };
    named
        .chain(answered.and_then(Value::as_str))
        .filter_map(account_of)
        .find(|account| is_other(account))
        .map(str::to_owned)
}

/// The account in an ARN or in a queue's URL, `http://host/111122223333/name`.
pub(super) fn account_of(name: &str) -> Option<&str> {
    match Arn::parse(name) {
        Some(arn) => Some(arn.account),
        None => name.rsplit('/').nth(1),
    }
    .filter(|account| is_account(account))
}

fn is_account(text: &str) -> bool {
    text.len() == 12 && text.bytes().all(|digit| digit.is_ascii_digit())
}

/// Gives each resource that has an account its owner's: the one in its ARN, or of a bucket, whose ARN has none, the one
/// that `bucket_owner` tells. A copy may be from one account's bucket to another's.
pub fn set_owners(event: &mut Event, bucket_owner: impl Fn(&str) -> Option<String>) {
    for resource in &mut event.resources {
        let (Some(account), Some(arn)) = (&mut resource.account_id, resource.arn.as_deref()) else {
            continue;
        };
        let owner = match Arn::parse(arn) {
            Some(arn) if arn.service == "s3" => bucket_owner(arn.resource),
            Some(arn) if is_account(arn.account) => Some(arn.account.to_owned()),
            _ => None,
        };
        if let Some(owner) = owner {
            *account = owner;
        }
    }
}

/// Ids of the owner's record and of both.
#[derive(Debug)]
pub struct SharedIds {
    pub owners_event_id: String,
    pub shared_event_id: String,
}

/// The records of a call about a resource of `owner`: the caller's and the owner's. A caller without an account has
/// none of its own.
pub fn with_owner(
    mut event: Event,
    caller: &Principal,
    owner: String,
    ids: SharedIds,
) -> Vec<Event> {
    let is_denied = event
        .error_code
        .as_deref()
        .is_some_and(|code| code == "AccessDenied" || code.ends_with("UnauthorizedOperation"));
    if caller.recipient().is_none() {
        event.recipient_account_id = Some(owner);
        return vec![event];
    }
    if is_denied {
        return vec![event];
    }
    event.shared_event_id = Some(ids.shared_event_id);
    let stranger = Principal {
        kind: PrincipalKind::AWSAccount,
        ..caller.clone()
    };
    let mut owners = Event {
        user_identity: user_identity(&stranger, None, version::minor(&event.event_version)),
        event_id: ids.owners_event_id,
        recipient_account_id: Some(owner),
        ..event.clone()
    };
    if let (true, Value::Object(parameters)) = (
        owners.event_source == "s3.amazonaws.com",
        &mut owners.request_parameters,
    ) {
        parameters.retain(|name, _| !ACL_PARAMETERS.contains(&name.as_str()));
    }
    vec![event, owners]
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::testing::{ACCOUNT, TestCall};
    use super::*;

    const OTHER: &str = "444455556666";

    #[test]
    fn owners_are_known_by_what_requests_name() {
        let key = "arn:aws:kms:eu-west-1:444455556666:key/k";
        for (service, operation, params, answer, bucket, expected) in [
            (
                "sts",
                "AssumeRole",
                json!({"RoleArn": "arn:aws:iam::444455556666:role/r"}),
                json!({}),
                None,
                Some(OTHER),
            ),
            (
                "sts",
                "AssumeRole",
                json!({"RoleArn": "arn:aws:iam::111122223333:role/r"}),
                json!({}),
                None,
                None,
            ),
            (
                "kms",
                "Encrypt",
                json!({"KeyId": key}),
                json!({}),
                None,
                Some(OTHER),
            ),
            (
                "kms",
                "Decrypt",
                json!({}),
                json!({"KeyId": key}),
                None,
                Some(OTHER),
            ),
            (
                "kms",
                "Encrypt",
                json!({"KeyId": "k"}),
                json!({}),
                None,
                None,
            ),
            (
                "sns",
                "Subscribe",
                json!({"TopicArn": "arn:aws:sns:eu-west-1:444455556666:t"}),
                json!({}),
                None,
                Some(OTHER),
            ),
            (
                "sqs",
                "SendMessage",
                json!({"QueueUrl": "http://localhost:4566/444455556666/q"}),
                json!({}),
                None,
                Some(OTHER),
            ),
            (
                "sqs",
                "SendMessage",
                json!({"QueueUrl": "http://localhost:4566/queue/q"}),
                json!({}),
                None,
                None,
            ),
            (
                "s3",
                "GetObject",
                json!({"Bucket": "b"}),
                json!({}),
                Some(OTHER),
                Some(OTHER),
            ),
            (
                "s3",
                "GetObject",
                json!({"Bucket": "b"}),
                json!({}),
                Some(ACCOUNT),
                None,
            ),
            (
                "s3",
                "GetObject",
                json!({"Bucket": "b"}),
                json!({}),
                None,
                None,
            ),
            (
                "iam",
                "GetPolicy",
                json!({"PolicyArn": "arn:aws:iam::444455556666:policy/p"}),
                json!({}),
                None,
                None,
            ),
        ] {
            let call = TestCall::new(service, operation, params.clone()).answered(&answer);
            let found = owner(
                &call.call,
                call.params.as_ref(),
                &call.outcome,
                bucket.map(str::to_owned),
                ACCOUNT,
            );
            assert_eq!(found.as_deref(), expected, "{operation} {params}");
        }
    }

    fn split(event: Event, caller: &Principal) -> Vec<Event> {
        let ids = SharedIds {
            owners_event_id: "owners".to_owned(),
            shared_event_id: "shared".to_owned(),
        };
        with_owner(event, caller, OTHER.to_owned(), ids)
    }

    #[test]
    fn the_owner_sees_an_account_and_no_acl() {
        let caller = Principal::root(ACCOUNT, "aws");
        let mut call = TestCall::new("s3", "PutObjectAcl", json!({"Bucket": "b", "Key": "k"}));
        call.parts.headers.insert(
            "x-amz-grant-read",
            "emailAddress=a@example.com".parse().unwrap(),
        );
        let mut event = call.record();
        set_owners(&mut event, |_| Some(OTHER.to_owned()));
        let [callers, owners] = <[Event; 2]>::try_from(split(event, &caller)).unwrap();
        for (event, id, account) in [
            (&callers, "5f1c4c3e-0000-4000-8000-000000000001", ACCOUNT),
            (&owners, "owners", OTHER),
        ] {
            assert_eq!(event.event_id, id);
            assert_eq!(event.recipient_account_id.as_deref(), Some(account));
            assert_eq!(event.shared_event_id.as_deref(), Some("shared"));
            assert_eq!(event.resources[1].account_id.as_deref(), Some(OTHER));
        }
        assert_eq!(
            owners.user_identity,
            json!({"type": "AWSAccount", "principalId": ACCOUNT, "accountId": ACCOUNT})
        );
        assert!(callers.request_parameters["accessControlList"].is_object());
        assert_eq!(
            owners.request_parameters,
            json!({"bucketName": "b", "Host": "localhost:4580", "key": "k"})
        );
    }

    #[test]
    fn each_bucket_has_its_own_owner() {
        let params = json!({"Bucket": "to", "Key": "k", "CopySource": "/from/k"});
        let mut event = TestCall::new("s3", "CopyObject", params).record();
        set_owners(&mut event, |bucket| {
            (bucket == "from").then(|| OTHER.to_owned())
        });
        let owners: Vec<_> = event
            .resources
            .iter()
            .map(|it| (it.arn.as_deref().unwrap(), it.account_id.as_deref()))
            .collect();
        assert_eq!(
            owners,
            [
                ("arn:aws:s3:::to/k", None),
                ("arn:aws:s3:::to", Some(ACCOUNT)),
                ("arn:aws:s3:::from", Some(OTHER)),
                ("arn:aws:s3:::from/k", None),
            ]
        );
    }

    #[test]
    fn an_arns_account_is_its_resources_owner() {
        let table = "arn:aws:dynamodb:eu-west-1:444455556666:table/t";
        let mut event =
            TestCall::new("dynamodb", "DescribeTable", json!({"TableName": table})).record();
        set_owners(&mut event, |_| None);
        assert_eq!(event.resources[0].account_id.as_deref(), Some(OTHER));
    }

    #[test]
    fn denied_calls_are_the_callers_alone_and_strangers_calls_the_owners() {
        let mut denied = TestCall::new(
            "sts",
            "AssumeRole",
            json!({"RoleArn": "arn:aws:iam::444455556666:role/r"}),
        )
        .record();
        denied.error_code = Some("AccessDenied".to_owned());
        let caller = Principal::root(ACCOUNT, "aws");
        let recipients = |events: Vec<Event>| -> Vec<Option<String>> {
            let recipient = |it: Event| it.recipient_account_id;
            events.into_iter().map(recipient).collect()
        };
        assert_eq!(
            recipients(split(denied, &caller)),
            [Some(ACCOUNT.to_owned())]
        );
        let anonymous = Principal {
            kind: PrincipalKind::AWSAccount,
            ..caller
        };
        let read = TestCall::new("s3", "GetObject", json!({"Bucket": "b", "Key": "k"})).record();
        assert_eq!(
            recipients(split(read, &anonymous)),
            [Some(OTHER.to_owned())]
        );
    }
}
