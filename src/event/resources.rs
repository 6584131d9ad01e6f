//! A record's `resources`: which of a call's resources the service writes down, by ARN.

use std::collections::HashSet;

use percent_encoding::percent_decode_str;
use serde_json::Value;

use super::{Resource, catalog, shared};
use crate::aws::Params;
use crate::aws::arn::{Arn, partition};
use crate::aws::route::Call;

/// Where a call was made, for the ARNs of what it names.
#[derive(Clone, Copy)]
pub(super) struct Place<'a> {
    pub region: &'a str,
    pub account: &'a str,
}

/// How services name resources that stand in a parameter, or in the answer where it is not there: (service, operations,
/// member, ARN's service and resource part before the name, type). The member may be a list; one that holds an ARN
/// already is taken as it is. Some services leave the type out.
#[rustfmt::skip]
const BY_MEMBER: &[(&str, &str, &str, &str, Option<&str>)] = &[
    ("cloudfront-keyvaluestore", "*", "KvsARN", "cloudfront:key-value-store/",
        Some("AWS::CloudFront::KeyValueStore")),
    ("cloudtrail-data", "*", "channelArn", "cloudtrail:channel/", Some("AWS::CloudTrail::Channel")),
    ("codecommit", "*", "repositoryName", "codecommit:", Some("AWS::CodeCommit::Repository")),
    ("codecommit", "*", "repositoryNames", "codecommit:", Some("AWS::CodeCommit::Repository")),
    ("cognito-identity", "GetCredentialsForIdentity GetId GetOpenId* UnlinkIdentity", "IdentityPoolId",
        "cognito-identity:identitypool/", Some("AWS::Cognito::IdentityPool")),
    ("comprehend", "*", "DocumentClassifierArn", "comprehend:document-classifier/",
        Some("AWS::Comprehend::DocumentClassifier")),
    ("comprehend", "*", "EntityRecognizerArn", "comprehend:entity-recognizer/",
        Some("AWS::Comprehend::EntityRecognizer")),
    ("comprehend", "*", "VolumeKmsKeyId", "kms:key/", Some("AWS::KMS::Key")),
    ("comprehend", "*", "DataAccessRoleArn", "iam:role/", Some("AWS::IAM::Role")),
    ("dynamodb", "*", "ResourceArn", "dynamodb:", Some("AWS::DynamoDB::Table")),
    ("dynamodb", "*", "TableName", "dynamodb:table/", Some("AWS::DynamoDB::Table")),
    ("ecr", "*", "repositoryName", "ecr:repository/", None),
    ("ecr-public", "*", "repositoryName", "ecr-public:repository/", None),
    ("kinesis", "GetRecords GetShardIterator PutRecord*", "StreamARN", "kinesis:", Some("AWS::Kinesis::Stream")),
    ("kinesis", "GetRecords GetShardIterator PutRecord*", "StreamName", "kinesis:stream/",
        Some("AWS::Kinesis::Stream")),
    ("lambda", "Invoke*", "FunctionName", "lambda:function:", Some("AWS::Lambda::Function")),
    ("networkflowmonitor", "GetQueryResults*", "monitorName", "networkflowmonitor:monitor/",
        Some("AWS::NetworkFlowMonitor::Monitor")),
    ("networkflowmonitor", "GetQueryResults*", "scopeId", "networkflowmonitor:scope/",
        Some("AWS::NetworkFlowMonitor::Scope")),
    ("sagemaker-featurestore-runtime", "*", "FeatureGroupName", "sagemaker:feature-group/",
        Some("AWS::SageMaker::FeatureGroup")),
    ("sns", "Publish*", "TargetArn", "sns:", Some("AWS::SNS::PlatformEndpoint")),
    ("sns", "Publish*", "TopicArn", "sns:", Some("AWS::SNS::Topic")),
    ("ssm", "DeleteDocument", "Name", "ssm:document/", None),
    ("ssm", "DeleteParameter GetParameter GetParameterHistory PutParameter", "Name", "ssm:parameter/", None),
    ("ssm", "DeleteParameters GetParameters", "Names", "ssm:parameter/", None),
    ("ssm", "SendCommand", "DocumentName", "ssm:document/", None),
    ("sso-oidc", "CreateTokenWithIAM", "clientId", "sso:application/", Some("AWS::SSO::Application")),
    ("swf", "*", "domain", "swf:/domain/", Some("AWS::SWF::Domain")),
];

/// ARNs that are made of several members, or in a way of their own: (service, operations, type, ARN after the partition).
/// A member in braces may lie in another, `{outer.inner}`; without one of them there is no resource.
#[rustfmt::skip]
const BY_TEMPLATE: &[(&str, &str, &str, &str)] = &[
    ("appconfigdata", "*", "AWS::AppConfig::Configuration",
        "appconfig:{region}:{account}:application/{ApplicationIdentifier}/environment/{EnvironmentIdentifier}\
         /configuration/{ConfigurationProfileIdentifier}"),
    ("ebs", "*", "AWS::EC2::Snapshot", "ec2:{region}::snapshot/{FirstSnapshotId}"),
    ("ebs", "*", "AWS::EC2::Snapshot", "ec2:{region}::snapshot/{SecondSnapshotId}"),
    ("ebs", "*", "AWS::EC2::Snapshot", "ec2:{region}::snapshot/{SnapshotId}"),
    ("keyspaces", "CreateKeyspace DeleteKeyspace GetKeyspace UpdateKeyspace", "AWS::Cassandra::Keyspace",
        "cassandra:{region}:{account}:/keyspace/{keyspaceName}/"),
    ("keyspaces", "*", "AWS::Cassandra::Table",
        "cassandra:{region}:{account}:/keyspace/{keyspaceName}/table/{tableName}"),
    ("rum", "*", "AWS::RUM::AppMonitor", "rum:{region}:{account}:appmonitor/{AppMonitorDetails.name}"),
    ("verifiedpermissions", "*", "AWS::VerifiedPermissions::PolicyStore",
        "verifiedpermissions::{account}:policy-store/{policyStoreId}"),
];

/// Whether the resources of a service's calls may stand in the answer alone.
pub(super) fn may_be_answered(service: &str) -> bool {
    service == "kms" || BY_MEMBER.iter().any(|(id, ..)| *id == service)
}

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
            let url = text(params, "QueueUrl").or_else(|| text(answer?, "QueueUrl"));
            url.map(of).into_iter().collect()
        }
        "dynamodb" => {
            let tables = tables(params, place);
            match tables.is_empty() {
                true => by_member("dynamodb", operation, params, answer, place),
                false => tables,
            }
        }
        "dynamodbstreams" => stream_and_table(params, place),
        "events" => buses(operation, params, place),
        id => {
            let named = by_template(id, operation, params, place);
            let more = by_member(id, operation, params, answer, place);
            named.into_iter().chain(more).collect()
        }
    }
}

fn by_template(id: &str, operation: &str, params: &Params, place: Place<'_>) -> Vec<Resource> {
    let rows = BY_TEMPLATE
        .iter()
        .filter(|(service, names, ..)| *service == id && catalog::lists(names, operation));
    let of = |(_, _, kind, template): &(&str, &str, &str, &str)| {
        let arn = format!(
            "arn:{}:{}",
            partition(place.region),
            filled(template, params, place)?
        );
        Some(resource(Some(place.account), Some(kind), arn))
    };
    rows.filter_map(of).collect()
}

/// A template with its braces filled; `None` where a member is missing.
fn filled(template: &str, params: &Params, place: Place<'_>) -> Option<String> {
    let mut parts = template.split(['{', '}']);
    let mut text = parts.next()?.to_owned();
    // A name and what follows it by turns.
    while let (Some(name), Some(after)) = (parts.next(), parts.next()) {
        text += match (name, name.split_once('.')) {
            ("region", _) => place.region,
            ("account", _) => place.account,
            (_, Some((outer, inner))) => params.get(outer)?.get(inner)?.as_str()?,
            (member, None) => self::text(params, member)?,
        };
        text += after;
    }
    Some(text)
}

fn by_member(
    id: &str,
    operation: &str,
    params: &Params,
    answer: Option<&Params>,
    place: Place<'_>,
) -> Vec<Resource> {
    let mut resources: Vec<Resource> = Vec::new();
    let named = BY_MEMBER
        .iter()
        .filter(|(service, names, ..)| *service == id && catalog::lists(names, operation));
    for (_, _, member, before, kind) in named {
        let value = params.get(*member).or_else(|| answer?.get(*member));
        let (service, before) = before.split_once(':').unwrap_or((id, before));
        for name in texts(value) {
            let arn = if name.starts_with("arn:") {
                name.to_owned()
            } else {
                arn(service, place, before, name.trim_start_matches('/'))
            };
            resources.push(resource(Some(place.account), *kind, arn));
        }
    }
    // A stream may be named twice, by its name and by its ARN.
    resources.dedup();
    resources
}

/// A text, or each text of a list.
fn texts(value: Option<&Value>) -> impl Iterator<Item = &str> {
    let items = match value {
        Some(Value::Array(items)) => items.as_slice(),
        Some(value) => std::slice::from_ref(value),
        None => &[],
    };
    items.iter().filter_map(Value::as_str)
}

/// The tables of a batch, a transaction and of statements, each once.
fn tables(params: &Params, place: Place<'_>) -> Vec<Resource> {
    let items = |name| {
        params
            .get(name)
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
    };
    let batch = params.get("RequestItems").and_then(Value::as_object);
    let in_batch = batch
        .into_iter()
        .flat_map(|items| items.keys().map(String::as_str));
    // `{"Put":{"TableName":…}}`
    let parts = items("TransactItems").filter_map(|item| item.as_object()?.values().next());
    let in_transaction = parts.filter_map(|part| part.get("TableName")?.as_str());
    let statements = items("Statements").chain(items("TransactStatements"));
    let statements = statements.filter_map(|it| it.get("Statement")?.as_str());
    let in_statements = text(params, "Statement")
        .into_iter()
        .chain(statements)
        .filter_map(table_of);
    let mut seen = HashSet::new();
    let names = in_batch.chain(in_transaction).chain(in_statements);
    let of = |name: &str| {
        let arn = if name.starts_with("arn:") {
            name.to_owned()
        } else {
            arn("dynamodb", place, "table/", name)
        };
        resource(Some(place.account), Some("AWS::DynamoDB::Table"), arn)
    };
    names.filter(|name| seen.insert(*name)).map(of).collect()
}

/// The table that a PartiQL statement is about: `SELECT * FROM "Music"."Index" WHERE …`, `UPDATE Music SET …`.
fn table_of(statement: &str) -> Option<&str> {
    let mut words = statement.split_ascii_whitespace();
    words.find(|word| {
        let mut before = ["FROM", "INTO", "UPDATE"].into_iter();
        before.any(|it| word.eq_ignore_ascii_case(it))
    })?;
    let named = words.next()?;
    let name = match named.strip_prefix('"') {
        Some(quoted) => quoted.split('"').next(),
        None => named.split(['.', ';', ')']).next(),
    };
    name.filter(|name| !name.is_empty())
}

/// The buses that events are put on, each once, and the partner's sources; neither tells an account.
fn buses(operation: &str, params: &Params, place: Place<'_>) -> Vec<Resource> {
    let entries = params.get("Entries").and_then(Value::as_array);
    let mut seen = HashSet::new();
    let mut resources: Vec<Resource> = Vec::new();
    for entry in entries.into_iter().flatten() {
        let member = |name: &str| entry.get(name).and_then(Value::as_str);
        let (kind, arn) = match operation {
            "PutEvents" => {
                let bus = member("EventBusName").unwrap_or("default");
                let arn = match bus.starts_with("arn:") {
                    true => bus.to_owned(),
                    false => arn("events", place, "event-bus/", bus),
                };
                ("AWS::Events::EventBus", arn)
            }
            _ => {
                let owned_by_none = Place {
                    account: "",
                    ..place
                };
                let source = member("Source").unwrap_or_default();
                let arn = arn("events", owned_by_none, "event-source/", source);
                ("AWS::Events::EventSource", arn)
            }
        };
        if seen.insert(arn.clone()) {
            resources.push(resource(None, Some(kind), arn));
        }
    }
    resources
}

/// A stream and the table that it is of, since selectors of tables take its events too (facts 6.4). Of a stream's
/// ARN, `…:table/t/stream/2026-11-22T00:00:00.000`, the first part is the table's; an iterator begins with its ARN.
fn stream_and_table(params: &Params, place: Place<'_>) -> Vec<Resource> {
    let named = text(params, "StreamArn").or_else(|| text(params, "ShardIterator"));
    let Some(stream) = named.and_then(|it| it.split('|').next()) else {
        return Vec::new();
    };
    let Some((table, _)) = stream.split_once("/stream/") else {
        return Vec::new();
    };
    let of = |kind, arn: &str| resource(Some(place.account), Some(kind), arn.to_owned());
    vec![
        of("AWS::DynamoDB::Table", table),
        of("AWS::DynamoDB::Stream", stream),
    ]
}

/// Object calls have the object and its bucket, bucket calls the bucket; lists name their objects by a prefix.
fn bucket_and_object(operation: &str, params: &Params, place: Place<'_>) -> Vec<Resource> {
    let Some(bucket) = text(params, "Bucket") else {
        return Vec::new();
    };
    let bucket = Bucket::new(bucket, place);
    let mut resources = Vec::with_capacity(2);
    if let Some(key) = text(params, "Key") {
        resources.push(bucket.object(key));
    } else if operation.starts_with("ListObject")
        || matches!(operation, "DeleteObjects" | "HeadBucket")
    {
        let prefix = text(params, "Prefix").unwrap_or_default();
        resources.push(bucket.objects(prefix));
    }
    resources.push(bucket.itself());
    if let Some(source) = text(params, "CopySource") {
        resources.extend(copied(operation, source, place));
    }
    resources
}

/// What is copied: `/bucket/key?versionId=v`, escaped, with or without the first slash. Of an access point's nothing is
/// told. The object itself is named by CopyObject alone.
fn copied(operation: &str, source: &str, place: Place<'_>) -> Vec<Resource> {
    let path = source.split('?').next().unwrap_or_default();
    let path = percent_decode_str(path.trim_start_matches('/')).decode_utf8_lossy();
    match path.split_once('/') {
        Some((bucket, key)) if !bucket.starts_with("arn:") => {
            let bucket = Bucket::new(bucket, place);
            let object = (operation == "CopyObject").then(|| bucket.object(key));
            std::iter::once(bucket.itself()).chain(object).collect()
        }
        _ => Vec::new(),
    }
}

/// A bucket, or a directory bucket, and what is in it.
struct Bucket<'a> {
    arn: String,
    is_directory: bool,
    place: Place<'a>,
}

impl<'a> Bucket<'a> {
    fn new(name: &str, place: Place<'a>) -> Self {
        let is_directory = name.ends_with("--x-s3");
        let arn = if name.starts_with("arn:") {
            name.to_owned()
        } else if is_directory {
            arn("s3express", place, "bucket/", name)
        } else {
            format!("arn:{}:s3:::{name}", partition(place.region))
        };
        Self {
            arn,
            is_directory,
            place,
        }
    }

    fn itself(&self) -> Resource {
        let kind = match self.is_directory {
            true => "AWS::S3Express::DirectoryBucket",
            false => "AWS::S3::Bucket",
        };
        resource(Some(self.place.account), Some(kind), self.arn.clone())
    }

    fn object_kind(&self) -> &'static str {
        match self.is_directory {
            true => "AWS::S3Express::Object",
            false => "AWS::S3::Object",
        }
    }

    fn object(&self, key: &str) -> Resource {
        let arn = format!("{}/{key}", self.arn);
        resource(None, Some(self.object_kind()), arn)
    }

    fn objects(&self, prefix: &str) -> Resource {
        Resource {
            kind: Some(self.object_kind().to_owned()),
            arn_prefix: Some(format!("{}/{prefix}", self.arn)),
            ..Resource::default()
        }
    }
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
        ..Resource::default()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::testing::TestCall;
    use super::*;
    use crate::aws::models;

    #[test]
    fn every_row_finds_an_operation_with_its_member() {
        let in_templates = BY_TEMPLATE
            .iter()
            .flat_map(|(id, operations, _, template)| {
                // Every second part is a member's name, the outer one's before a dot.
                let names = template.split(['{', '}']).skip(1).step_by(2);
                let outer = names.map(|name| name.split('.').next().unwrap());
                let members = outer.filter(|name| !["region", "account"].contains(name));
                members.map(|member| (*id, *operations, member))
            });
        let by_member = BY_MEMBER.iter();
        let by_member = by_member.map(|(id, operations, member, ..)| (*id, *operations, *member));
        for (id, operations, member) in by_member.chain(in_templates) {
            let service = models().service(id).unwrap();
            let has = |shape| {
                service
                    .structure(shape)
                    .is_some_and(|it| it.member(member).is_some())
            };
            let found = service.operations.iter().any(|it| {
                catalog::lists(operations, &it.name)
                    && it.input.into_iter().chain(it.output).any(has)
            });
            assert!(found, "{id} {operations} {member}");
        }
    }

    #[test]
    fn the_tables_of_a_long_transaction_are_found_in_linear_time() {
        let items = (0..20_000).map(|n| json!({"Put": {"TableName": format!("t{n}")}}));
        let params = Params::from_iter([("TransactItems".to_owned(), items.collect())]);
        let place = Place {
            region: "eu-west-1",
            account: "111122223333",
        };
        assert_eq!(tables(&params, place).len(), 20_000);
    }

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
                "CopyObject",
                json!({"Bucket": "b", "Key": "k", "CopySource": "/from/a/k%20%2B.jpg?versionId=v"}),
                json!({}),
                json!([{"type": "AWS::S3::Object", "ARN": "arn:aws:s3:::b/k"},
                       {"accountId": "111122223333", "type": "AWS::S3::Bucket", "ARN": "arn:aws:s3:::b"},
                       {"accountId": "111122223333", "type": "AWS::S3::Bucket", "ARN": "arn:aws:s3:::from"},
                       {"type": "AWS::S3::Object", "ARN": "arn:aws:s3:::from/a/k +.jpg"}]),
            ),
            (
                "s3",
                "UploadPartCopy",
                json!({"Bucket": "b", "Key": "k", "CopySource": "from/a"}),
                json!({}),
                json!([{"type": "AWS::S3::Object", "ARN": "arn:aws:s3:::b/k"},
                       {"accountId": "111122223333", "type": "AWS::S3::Bucket", "ARN": "arn:aws:s3:::b"},
                       {"accountId": "111122223333", "type": "AWS::S3::Bucket", "ARN": "arn:aws:s3:::from"}]),
            ),
            (
                "sqs",
                "CreateQueue",
                json!({"QueueName": "q"}),
                json!({"QueueUrl": "https://sqs.eu-west-1.amazonaws.com/111122223333/q"}),
                json!([{"accountId": "111122223333", "type": "AWS::SQS::Queue",
                        "ARN": "arn:aws:sqs:eu-west-1:111122223333:q"}]),
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
                "dynamodb",
                "TransactWriteItems",
                json!({"TransactItems": [{"Put": {"TableName": "t"}}, {"Delete": {"TableName": "t"}}]}),
                json!({}),
                json!([{"accountId": "111122223333", "type": "AWS::DynamoDB::Table",
                        "ARN": "arn:aws:dynamodb:eu-west-1:111122223333:table/t"}]),
            ),
            (
                "dynamodb",
                "BatchExecuteStatement",
                json!({"Statements": [{"Statement": "select * from \"a.b\".\"index\" where x = 'from c'"},
                                      {"Statement": "DELETE FROM d"}, {"Statement": "odd"}]}),
                json!({}),
                json!([{"accountId": "111122223333", "type": "AWS::DynamoDB::Table",
                        "ARN": "arn:aws:dynamodb:eu-west-1:111122223333:table/a.b"},
                       {"accountId": "111122223333", "type": "AWS::DynamoDB::Table",
                        "ARN": "arn:aws:dynamodb:eu-west-1:111122223333:table/d"}]),
            ),
            (
                "ebs",
                "ListChangedBlocks",
                json!({"FirstSnapshotId": "snap-1", "SecondSnapshotId": "snap-2"}),
                json!({}),
                json!([{"accountId": "111122223333", "type": "AWS::EC2::Snapshot",
                        "ARN": "arn:aws:ec2:eu-west-1::snapshot/snap-1"},
                       {"accountId": "111122223333", "type": "AWS::EC2::Snapshot",
                        "ARN": "arn:aws:ec2:eu-west-1::snapshot/snap-2"}]),
            ),
            (
                "appconfigdata",
                "StartConfigurationSession",
                json!({"ApplicationIdentifier": "a", "EnvironmentIdentifier": "e",
                       "ConfigurationProfileIdentifier": "c"}),
                json!({}),
                json!([{"accountId": "111122223333", "type": "AWS::AppConfig::Configuration",
                        "ARN": "arn:aws:appconfig:eu-west-1:111122223333:application/a/environment/e/configuration/c"}]),
            ),
            (
                "events",
                "PutEvents",
                json!({"Entries": [{"Source": "s"}, {"EventBusName": "b"}, {"EventBusName": "default"}]}),
                json!({}),
                json!([{"type": "AWS::Events::EventBus",
                        "ARN": "arn:aws:events:eu-west-1:111122223333:event-bus/default"},
                       {"type": "AWS::Events::EventBus",
                        "ARN": "arn:aws:events:eu-west-1:111122223333:event-bus/b"}]),
            ),
            (
                "events",
                "PutPartnerEvents",
                json!({"Entries": [{"Source": "aws.partner/example.com/x"}]}),
                json!({}),
                json!([{"type": "AWS::Events::EventSource",
                        "ARN": "arn:aws:events:eu-west-1::event-source/aws.partner/example.com/x"}]),
            ),
            (
                "keyspaces",
                "CreateTable",
                json!({"keyspaceName": "k", "tableName": "t"}),
                json!({}),
                json!([{"accountId": "111122223333", "type": "AWS::Cassandra::Table",
                        "ARN": "arn:aws:cassandra:eu-west-1:111122223333:/keyspace/k/table/t"}]),
            ),
            (
                "verifiedpermissions",
                "IsAuthorized",
                json!({"policyStoreId": "p"}),
                json!({}),
                json!([{"accountId": "111122223333", "type": "AWS::VerifiedPermissions::PolicyStore",
                        "ARN": "arn:aws:verifiedpermissions::111122223333:policy-store/p"}]),
            ),
            (
                "swf",
                "StartWorkflowExecution",
                json!({"domain": "d"}),
                json!({}),
                json!([{"accountId": "111122223333", "type": "AWS::SWF::Domain",
                        "ARN": "arn:aws:swf:eu-west-1:111122223333:/domain/d"}]),
            ),
            (
                "dynamodbstreams",
                "GetRecords",
                json!({"ShardIterator": "arn:aws:dynamodb:eu-west-1:111122223333:table/t/stream/2026|1|AAAA"}),
                json!({}),
                json!([{"accountId": "111122223333", "type": "AWS::DynamoDB::Table",
                        "ARN": "arn:aws:dynamodb:eu-west-1:111122223333:table/t"},
                       {"accountId": "111122223333", "type": "AWS::DynamoDB::Stream",
                        "ARN": "arn:aws:dynamodb:eu-west-1:111122223333:table/t/stream/2026"}]),
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
                "ssm",
                "GetParameters",
                json!({"Names": ["/a/b", "c"]}),
                json!({}),
                json!([{"accountId": "111122223333",
                        "ARN": "arn:aws:ssm:eu-west-1:111122223333:parameter/a/b"},
                       {"accountId": "111122223333",
                        "ARN": "arn:aws:ssm:eu-west-1:111122223333:parameter/c"}]),
            ),
            (
                "comprehend",
                "CreateDocumentClassifier",
                json!({"DocumentClassifierName": "d", "DataAccessRoleArn": "arn:aws:iam::111122223333:role/r"}),
                json!({"DocumentClassifierArn": "arn:aws:comprehend:eu-west-1:111122223333:document-classifier/d"}),
                json!([{"accountId": "111122223333", "type": "AWS::Comprehend::DocumentClassifier",
                        "ARN": "arn:aws:comprehend:eu-west-1:111122223333:document-classifier/d"},
                       {"accountId": "111122223333", "type": "AWS::IAM::Role",
                        "ARN": "arn:aws:iam::111122223333:role/r"}]),
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
