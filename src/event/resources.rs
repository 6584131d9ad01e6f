//! A record's `resources`: which of a call's resources the service writes down, by ARN.

use serde_json::Value;

use super::{Resource, shared};
use crate::aws::Params;
use crate::aws::arn::{Arn, partition};
use crate::aws::route::Call;

/// Where a call was made, for the ARNs of what it names.
#[derive(Clone, Copy)]
pub(super) struct Place<'a> {
    pub region: &'a str,
    pub account: &'a str,
}

/// How services whose resources stand in a parameter name them: (service, member, ARN's resource part before the
/// name, type). A member that holds an ARN already is taken as it is.
#[rustfmt::skip]
const BY_MEMBER: &[(&str, &str, &str, Option<&str>)] = &[
    (
        "cloudtrail-data",
        "channelArn",
        "channel/",
        Some("AWS::CloudTrail::Channel"),
    ),
    (
        "codecommit",
        "repositoryName",
        "",
        Some("AWS::CodeCommit::Repository"),
    ),
    (
        "cognito-identity",
        "IdentityPoolId",
        "identitypool/",
        Some("AWS::Cognito::IdentityPool"),
    ),
    ("dynamodb", "ResourceArn", "", Some("AWS::DynamoDB::Table")),
    (
        "dynamodb",
        "TableName",
        "table/",
        Some("AWS::DynamoDB::Table"),
    ),
    (
        "dynamodbstreams",
        "StreamArn",
        "",
        Some("AWS::DynamoDB::Stream"),
    ),
    ("ecr", "repositoryName", "repository/", None),
    ("ecr-public", "repositoryName", "repository/", None),
    ("kinesis", "StreamARN", "", Some("AWS::Kinesis::Stream")),
    (
        "kinesis",
        "StreamName",
        "stream/",
        Some("AWS::Kinesis::Stream"),
    ),
    (
        "lambda",
        "FunctionName",
        "function:",
        Some("AWS::Lambda::Function"),
    ),
    ("rum", "Id", "appmonitor/", Some("AWS::RUM::AppMonitor")),
    (
        "sagemaker-featurestore-runtime",
        "FeatureGroupName",
        "feature-group/",
        Some("AWS::SageMaker::FeatureGroup"),
    ),
    ("sns", "TargetArn", "", Some("AWS::SNS::PlatformEndpoint")),
    ("sns", "TopicArn", "", Some("AWS::SNS::Topic")),
    ("ssm", "DocumentName", "document/", None),
];

/// Of services in [`BY_MEMBER`] that write resources for some operations only.
#[rustfmt::skip]
const ONLY_FOR: &[(&str, &[&str])] = &[
    (
        "cognito-identity",
        &["GetCredentialsForIdentity", "GetId", "GetOpenId", "Unlink"],
    ),
    ("lambda", &["Invoke"]),
    ("sns", &["Publish"]),
    ("ssm", &["SendCommand", "StartAutomation", "StartSession"]),
];

/// The record's `resources`; `params` and `answer` are by the model's names.
pub(super) fn resources(
    call: &Call,
    params: &Params,
    answer: Option<&Params>,
    place: Place<'_>,
) -> Vec<Resource> {
    let operation = &*call.operation.name;
    match &*call.service.id {
        "s3" => bucket_and_object(operation, params, place),
        "kms" => kms(params, answer, place),
        "sts" if operation.starts_with("AssumeRole") => assumed(params),
        "ebs" => {
            let id = text(params, "SnapshotId");
            let arn = |id| {
                format!(
                    "arn:{}:ec2:{}::snapshot/{id}",
                    partition(place.region),
                    place.region
                )
            };
            let of = |id| resource(Some(place.account), Some("AWS::EC2::Snapshot"), arn(id));
            id.map(of).into_iter().collect()
        }
        "sqs" => {
            let of = |url: &str| {
                let name = url.rsplit('/').next().unwrap_or(url);
                let account = shared::account_of(url).unwrap_or(place.account);
                let place = Place { account, ..place };
                resource(
                    Some(account),
                    Some("AWS::SQS::Queue"),
                    arn("sqs", place, "", name),
                )
            };
            text(params, "QueueUrl").map(of).into_iter().collect()
        }
        "dynamodb" if params.contains_key("RequestItems") => tables(params, place),
        "cloudfront-keyvaluestore" => {
            let of = |arn: &str| {
                resource(
                    Some(place.account),
                    Some("AWS::CloudFront::KeyValueStore"),
                    arn.to_owned(),
                )
            };
            text(params, "KvsARN").map(of).into_iter().collect()
        }
        id => by_member(id, operation, params, place),
    }
}

fn by_member(id: &str, operation: &str, params: &Params, place: Place<'_>) -> Vec<Resource> {
    let only = super::names::find(ONLY_FOR, id);
    if only.is_some_and(|only| !only.iter().any(|it| operation.starts_with(it))) {
        return Vec::new();
    }
    let named = BY_MEMBER.iter().filter(|(service, ..)| *service == id);
    for (_, member, before, kind) in named {
        let Some(name) = text(params, member) else {
            continue;
        };
        // The ARN's service is that of the API, not of botocore's name.
        let service = match id {
            "cloudtrail-data" => "cloudtrail",
            "sagemaker-featurestore-runtime" => "sagemaker",
            id => id,
        };
        let arn = if name.starts_with("arn:") {
            name.to_owned()
        } else {
            arn(service, place, before, name)
        };
        return vec![resource(Some(place.account), *kind, arn)];
    }
    Vec::new()
}

/// The tables of a batch.
fn tables(params: &Params, place: Place<'_>) -> Vec<Resource> {
    let items = params.get("RequestItems").and_then(Value::as_object);
    let of = |name: &String| {
        let arn = if name.starts_with("arn:") {
            name.clone()
        } else {
            arn("dynamodb", place, "table/", name)
        };
        resource(Some(place.account), Some("AWS::DynamoDB::Table"), arn)
    };
    items
        .into_iter()
        .flat_map(|items| items.keys().map(of))
        .collect()
}

/// Object calls have the object and its bucket, bucket calls the bucket; lists name their objects by a prefix.
fn bucket_and_object(operation: &str, params: &Params, place: Place<'_>) -> Vec<Resource> {
    let Some(bucket) = text(params, "Bucket") else {
        return Vec::new();
    };
    let express = bucket.ends_with("--x-s3");
    let (object_kind, bucket_kind) = if express {
        ("AWS::S3Express::Object", "AWS::S3Express::DirectoryBucket")
    } else {
        ("AWS::S3::Object", "AWS::S3::Bucket")
    };
    let bucket_arn = if bucket.starts_with("arn:") {
        bucket.to_owned()
    } else if express {
        arn("s3express", place, "bucket/", bucket)
    } else {
        format!("arn:{}:s3:::{bucket}", partition(place.region))
    };
    let mut resources = Vec::with_capacity(2);
    if let Some(key) = text(params, "Key") {
        resources.push(resource(
            None,
            Some(object_kind),
            format!("{bucket_arn}/{key}"),
        ));
    } else if operation.starts_with("ListObject")
        || matches!(operation, "DeleteObjects" | "HeadBucket")
    {
        resources.push(Resource {
            kind: Some(object_kind.to_owned()),
            arn_prefix: Some(format!(
                "{bucket_arn}/{}",
                text(params, "Prefix").unwrap_or_default()
            )),
            ..Resource::default()
        });
    }
    resources.push(resource(Some(place.account), Some(bucket_kind), bucket_arn));
    resources
}

/// The key, and the alias of calls about an alias. An alias alone does not tell its key; the answer does.
fn kms(params: &Params, answer: Option<&Params>, place: Place<'_>) -> Vec<Resource> {
    let mut resources = Vec::new();
    let metadata = answer
        .and_then(|answer| {
            answer
                .get("KeyMetadata")
                .or_else(|| answer.get("ReplicaKeyMetadata"))
        })
        .and_then(|metadata| metadata.get("Arn")?.as_str());
    let answered = answer.and_then(|answer| text(answer, "KeyId"));
    let asked = text(params, "TargetKeyId").or_else(|| text(params, "KeyId"));
    let key = metadata.or(answered).or(asked);
    if let Some(alias) = text(params, "AliasName") {
        resources.push(arn("kms", place, "", alias));
    }
    resources.extend(key.map(|key| match key {
        arn if arn.starts_with("arn:") => arn.to_owned(),
        alias if alias.starts_with("alias/") => arn("kms", place, "", alias),
        id => arn("kms", place, "key/", id),
    }));
    resources
        .into_iter()
        .map(|arn| resource(Some(place.account), Some("AWS::KMS::Key"), arn))
        .collect()
}

/// The role, and the identity provider of a SAML login.
fn assumed(params: &Params) -> Vec<Resource> {
    [
        ("RoleArn", "AWS::IAM::Role"),
        ("PrincipalArn", "AWS::IAM::SAMLProvider"),
    ]
    .into_iter()
    .filter_map(|(member, kind)| {
        let arn = text(params, member)?;
        let account = Arn::parse(arn).map(|arn| arn.account);
        Some(resource(account, Some(kind), arn.to_owned()))
    })
    .collect()
}

fn text<'a>(params: &'a Params, name: &str) -> Option<&'a str> {
    params.get(name)?.as_str()
}

fn arn(service: &str, place: Place<'_>, before: &str, name: &str) -> String {
    let Place { region, account } = place;
    format!(
        "arn:{}:{service}:{region}:{account}:{before}{name}",
        partition(region)
    )
}

fn resource(account: Option<&str>, kind: Option<&str>, arn: String) -> Resource {
    Resource {
        account_id: account.map(str::to_owned),
        kind: kind.map(str::to_owned),
        arn: Some(arn),
        arn_prefix: None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::testing::TestCall;

    #[test]
    fn resources_by_service() {
        for (service, operation, params, answer, expected) in [
            (
                "iam",
                "CreateUser",
                json!({"UserName": "a"}),
                json!({}),
                json!([]),
            ),
            (
                "s3",
                "PutObject",
                json!({"Bucket": "b", "Key": "a/k"}),
                json!({}),
                json!([{"type": "AWS::S3::Object", "ARN": "arn:aws:s3:::b/a/k"},
                       {"accountId": "111122223333", "type": "AWS::S3::Bucket", "ARN": "arn:aws:s3:::b"}]),
            ),
            (
                "s3",
                "ListObjectsV2",
                json!({"Bucket": "b", "Prefix": "2026/"}),
                json!({}),
                json!([{"type": "AWS::S3::Object", "ARNPrefix": "arn:aws:s3:::b/2026/"},
                       {"accountId": "111122223333", "type": "AWS::S3::Bucket", "ARN": "arn:aws:s3:::b"}]),
            ),
            (
                "kms",
                "CreateKey",
                json!({}),
                json!({"KeyMetadata": {"KeyId": "k", "Arn": "arn:aws:kms:eu-west-1:111122223333:key/k"}}),
                json!([{"accountId": "111122223333", "type": "AWS::KMS::Key",
                        "ARN": "arn:aws:kms:eu-west-1:111122223333:key/k"}]),
            ),
            (
                "kms",
                "CreateAlias",
                json!({"AliasName": "alias/a", "TargetKeyId": "k"}),
                json!({}),
                json!([{"accountId": "111122223333", "type": "AWS::KMS::Key",
                        "ARN": "arn:aws:kms:eu-west-1:111122223333:alias/a"},
                       {"accountId": "111122223333", "type": "AWS::KMS::Key",
                        "ARN": "arn:aws:kms:eu-west-1:111122223333:key/k"}]),
            ),
            (
                "sts",
                "AssumeRole",
                json!({"RoleArn": "arn:aws:iam::444455556666:role/r"}),
                json!({}),
                json!([{"accountId": "444455556666", "type": "AWS::IAM::Role",
                        "ARN": "arn:aws:iam::444455556666:role/r"}]),
            ),
            (
                "dynamodb",
                "BatchGetItem",
                json!({"RequestItems": {"t": {}}}),
                json!({}),
                json!([{"accountId": "111122223333", "type": "AWS::DynamoDB::Table",
                        "ARN": "arn:aws:dynamodb:eu-west-1:111122223333:table/t"}]),
            ),
            (
                "ecr",
                "PutImage",
                json!({"repositoryName": "r"}),
                json!({}),
                json!([{"accountId": "111122223333",
                        "ARN": "arn:aws:ecr:eu-west-1:111122223333:repository/r"}]),
            ),
            (
                "sqs",
                "SendMessage",
                json!({"QueueUrl": "http://localhost:4566/111122223333/q"}),
                json!({}),
                json!([{"accountId": "111122223333", "type": "AWS::SQS::Queue",
                        "ARN": "arn:aws:sqs:eu-west-1:111122223333:q"}]),
            ),
            (
                "sqs",
                "SendMessage",
                json!({"QueueUrl": "http://localhost:4566/444455556666/q"}),
                json!({}),
                json!([{"accountId": "444455556666", "type": "AWS::SQS::Queue",
                        "ARN": "arn:aws:sqs:eu-west-1:444455556666:q"}]),
            ),
            (
                "lambda",
                "GetFunction",
                json!({"FunctionName": "f"}),
                json!({}),
                json!([]),
            ),
            (
                "lambda",
                "Invoke",
                json!({"FunctionName": "f"}),
                json!({}),
                json!([{"accountId": "111122223333", "type": "AWS::Lambda::Function",
                        "ARN": "arn:aws:lambda:eu-west-1:111122223333:function:f"}]),
            ),
        ] {
            let event = TestCall::new(service, operation, params)
                .answered(&answer)
                .record();
            assert_eq!(
                serde_json::to_value(&event.resources).unwrap(),
                expected,
                "{operation}"
            );
        }
    }
}
