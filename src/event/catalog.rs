//! What differs between services and operations: tables, and the questions they answer.
//!
//! Operations in a table are names, or beginnings of names and `*`, separated by spaces.
//! Services go by botocore's names where a call is at hand, and by event source where only a record is: records may
//! also be imported, so the questions about an [`Event`] trust nothing but the record itself.

use serde_json::Value;

use super::names::{find, global_region};
use super::{Event, NamedResource};
use crate::aws::model::{Operation, Service};

/// Beginnings of operations that only read.
const READS: &[&str] = &[
    "BatchDetect",
    "BatchGet",
    "Describe",
    "Detect",
    "Get",
    "Head",
    "List",
    "Lookup",
    "Search",
    "Simulate",
];

/// What CodeConnections reads of Git syncs, and does not call so.
const SYNC: &str = "GetRepositoryLink GetRepositorySyncStatus GetResourceSyncStatus GetSyncBlockerSummary \
                    GetSyncConfiguration ListRepositoryLinks ListRepositorySyncDefinitions ListSyncConfigurations";

/// Operations whose `readOnly` does not follow from their names: (service, `readOnly`, operations).
#[rustfmt::skip]
const READ_ONLY: &[(&str, bool, &str)] = &[
    ("amplifybackend", false, "*"),
    ("appsync", false, "ListApiKeys"),
    ("bedrock-runtime", true, "*"),
    ("cloudformation", true, "ValidateTemplate"),
    ("codeconnections", false, SYNC),
    ("codestar-connections", false, SYNC),
    ("cognito-identity", false, "GetCredentialsForIdentity GetId GetOpenIdToken*"),
    ("config", true, "SelectAggregateResourceConfig"),
    ("connect", false, "ListRealtimeContactAnalysisSegmentsV2"),
    ("connect-contact-lens", false, "ListRealtimeContactAnalysisSegments"),
    ("dynamodb", false, "DescribeKinesisStreamingDestination ListContributorInsights"),
    ("dynamodb", true, "Query Scan TransactGetItems"),
    ("ec2", false, "Search*"),
    ("eks-auth", true, "AssumeRoleForPodIdentity"),
    ("kms", true, "Decrypt DeriveSharedSecret Encrypt Generate* ReEncrypt Sign Verify*"),
    ("logs", true, "FilterLogEvents"),
    ("s3", true, "SelectObjectContent"),
    ("ses", true, "SendEmail"),
    ("sesv2", true, "SendEmail"),
    ("ssm", false, "GetDeployablePatchSnapshotForInstance"),
    ("sts", true, "AssumeRole* DecodeAuthorizationMessage"),
    ("sts", false,
        "GetDelegatedAccessToken GetFederationToken GetSessionToken GetWebIdentityToken"),
    ("swf", true, "Count*"),
    ("verifiedpermissions", true, "BatchIsAuthorized* IsAuthorized*"),
];

/// Reads whose answer is written down nonetheless.
const READS_ANSWERED: &[(&str, &str)] = &[("cognito-identity", "*"), ("sts", "AssumeRole*")];

/// Writes whose answer is not written down though it says something.
#[rustfmt::skip]
const UNANSWERED: &[(&str, &str)] = &[
    ("config", "PutEvaluations SelectResourceConfig"),
    ("dynamodb",
        "BatchExecuteStatement BatchWriteItem DeleteItem DescribeKinesisStreamingDestination \
         ExecuteStatement ExecuteTransaction ListContributorInsights PutItem TransactWriteItems \
         UpdateItem"),
    ("elasticbeanstalk", "TerminateEnvironment"),
    ("glue", "CreateConnection"),
    ("lambda", "DeleteFunction Invoke*"),
    ("rbin", "UpdateRule"),
    ("sqs", "ReceiveMessage"),
];

/// Data events: (service, `resources.type`, operations).
#[rustfmt::skip]
const DATA_EVENTS: &[(&str, &str, &str)] = &[
    ("appconfigdata", "AWS::AppConfig::Configuration", "*"),
    ("bedrock-agent-runtime", "AWS::Bedrock::AgentAlias", "InvokeAgent"),
    ("bedrock-agent-runtime", "AWS::Bedrock::FlowAlias", "InvokeFlow"),
    ("bedrock-agent-runtime", "AWS::Bedrock::InlineAgent", "InvokeInlineAgent"),
    ("bedrock-agent-runtime", "AWS::Bedrock::KnowledgeBase", "Retrieve*"),
    ("bedrock-runtime", "AWS::Bedrock::Guardrail", "ApplyGuardrail"),
    ("bedrock-runtime", "AWS::Bedrock::AsyncInvoke",
        "GetAsyncInvoke ListAsyncInvokes StartAsyncInvoke"),
    ("bedrock-runtime", "AWS::Bedrock::Model", "InvokeModelWithBidirectionalStream"),
    ("cloudfront-keyvaluestore", "AWS::CloudFront::KeyValueStore", "*"),
    ("cloudtrail-data", "AWS::CloudTrail::Channel", "PutAuditEvents"),
    ("cloudwatch", "AWS::CloudWatch::Metric", "GetMetricData GetMetricWidgetImage PutMetricData"),
    ("cognito-identity", "AWS::Cognito::IdentityPool",
        "GetCredentialsForIdentity GetId GetOpenIdToken* UnlinkIdentity"),
    ("dynamodb", "AWS::DynamoDB::Table",
        "BatchExecuteStatement BatchGetItem BatchWriteItem DeleteItem ExecuteStatement \
         ExecuteTransaction GetItem PutItem Query Scan TransactGetItems TransactWriteItems \
         UpdateItem"),
    ("dynamodbstreams", "AWS::DynamoDB::Stream", "GetRecords GetShardIterator"),
    ("ebs", "AWS::EC2::Snapshot", "*"),
    // EventBridge User Guide, "Logging Amazon EventBridge API calls"; younger than the list of facts 6.4.
    ("events", "AWS::Events::EventBus", "PutEvents"),
    ("events", "AWS::Events::EventSource", "PutPartnerEvents"),
    ("firehose", "AWS::KinesisFirehose::DeliveryStream", "PutRecord*"),
    ("iot-data", "AWS::IoT::Thing", "*"),
    ("kinesis", "AWS::Kinesis::Stream", "GetRecords GetShardIterator PutRecord*"),
    ("kinesis", "AWS::Kinesis::StreamConsumer", "SubscribeToShard"),
    ("kinesis-video-archived-media", "AWS::KinesisVideo::Stream", "*"),
    ("kinesis-video-media", "AWS::KinesisVideo::Stream", "*"),
    ("kinesis-video-signaling", "AWS::KinesisVideo::SignalingChannel", "*"),
    ("lambda", "AWS::Lambda::Function", "Invoke*"),
    ("networkflowmonitor", "AWS::NetworkFlowMonitor::Monitor", "GetQueryResultsMonitor*"),
    ("networkflowmonitor", "AWS::NetworkFlowMonitor::Scope", "GetQueryResultsWorkloadInsights*"),
    ("payment-cryptography-data", "AWS::PaymentCryptography::Key", "*"),
    ("rds-data", "AWS::RDS::DBCluster", "*"),
    ("redshift-data", "AWS::Redshift::Cluster", "BatchExecuteStatement ExecuteStatement"),
    ("rum", "AWS::RUM::AppMonitor", "PutRumEvents"),
    ("s3", "AWS::S3::Object",
        "AbortMultipartUpload CompleteMultipartUpload CopyObject CreateMultipartUpload \
         CreateSession DeleteObject* GetObject GetObjectAcl GetObjectAttributes \
         GetObjectLegalHold GetObjectRetention GetObjectTagging GetObjectTorrent HeadBucket \
         HeadObject ListObject* ListParts PutObject PutObjectAcl PutObjectLegalHold \
         PutObjectRetention PutObjectTagging RenameObject RestoreObject SelectObjectContent \
         UpdateObjectEncryption UploadPart*"),
    ("s3", "AWS::S3ObjectLambda::AccessPoint", "WriteGetObjectResponse"),
    ("sagemaker-featurestore-runtime", "AWS::SageMaker::FeatureGroup", "*"),
    ("sagemaker-metrics", "AWS::SageMaker::ExperimentTrialComponent", "*"),
    ("sagemaker-runtime", "AWS::SageMaker::Endpoint", "InvokeEndpointWithResponseStream"),
    ("servicediscovery", "AWS::ServiceDiscovery::Namespace", "DiscoverInstances*"),
    ("ses", "AWS::SES::EmailIdentity", "Send*"),
    ("sesv2", "AWS::SES::EmailIdentity", "Send*"),
    ("sns", "AWS::SNS::Topic", "Publish*"),
    ("sqs", "AWS::SQS::Queue",
        "ChangeMessageVisibility* DeleteMessage* ReceiveMessage SendMessage*"),
    ("swf", "AWS::SWF::Domain",
        "Count* DescribeWorkflowExecution GetWorkflowExecutionHistory ListClosedWorkflowExecutions \
         ListOpenWorkflowExecutions PollFor* RecordActivityTaskHeartbeat \
         RequestCancelWorkflowExecution Respond* SignalWorkflowExecution StartWorkflowExecution \
         TerminateWorkflowExecution"),
    ("timestream-query", "AWS::Timestream::Table", "Query"),
    ("timestream-write", "AWS::Timestream::Table", "WriteRecords"),
    ("verifiedpermissions", "AWS::VerifiedPermissions::PolicyStore",
        "BatchIsAuthorized* IsAuthorized*"),
    ("xray", "AWS::XRay::Trace", "BatchGetTraces GetTraceSummaries PutTraceSegments"),
];

/// Members that services write in addition, if the client did not send them: (service, operation, name, JSON).
#[rustfmt::skip]
const DEFAULTS: &[(&str, &str, &str, &str)] = &[
    ("codepipeline", "CreatePipeline", "suppressExecuteOnCreate", "false"),
    ("ds", "CreateMicrosoftAD", "setAsDefault", "false"),
    ("ec2-instance-connect", "SendSerialConsoleSSHPublicKey", "monitorMode", "false"),
    ("events", "DeleteRule", "force", "false"),
    ("events", "RemoveTargets", "force", "false"),
    ("iam", "CreateLoginProfile", "passwordResetRequired", "false"),
    ("kms", "CreateKey", "bypassPolicyLockoutSafetyCheck", "false"),
    ("kms", "CreateKey", "description", r#""""#),
    ("kms", "CreateKey", "keyUsage", r#""ENCRYPT_DECRYPT""#),
    ("kms", "CreateKey", "origin", r#""AWS_KMS""#),
    ("kms", "Decrypt", "encryptionAlgorithm", r#""SYMMETRIC_DEFAULT""#),
    ("kms", "Encrypt", "encryptionAlgorithm", r#""SYMMETRIC_DEFAULT""#),
    ("kms", "PutKeyPolicy", "bypassPolicyLockoutSafetyCheck", "false"),
    ("lambda", "CreateFunction", "publish", "false"),
    ("lambda", "UpdateFunctionCode", "dryRun", "false"),
    ("lambda", "UpdateFunctionCode", "publish", "false"),
    ("network-firewall", "CreateFirewallPolicy", "dryRun", "false"),
    ("network-firewall", "CreateRuleGroup", "dryRun", "false"),
    ("network-firewall", "UpdateFirewallPolicy", "dryRun", "false"),
    ("network-firewall", "UpdateRuleGroup", "dryRun", "false"),
    ("redshift", "CreateCluster", "encrypted", "false"),
    ("redshift", "CreateCluster", "enhancedVpcRouting", "false"),
    ("servicediscovery", "RegisterInstance", "verifyDnsPropagation", "false"),
    ("ses", "VerifyDomainIdentity", "disableEmailNotifications", "false"),
    ("ssm", "SendCommand", "interactive", "false"),
    ("sso-oidc", "CreateToken", "platformSessionExpiryRequired", "false"),
];

/// Whether `operations`, names or beginnings and `*`, separated by spaces, have `name` among them.
pub(super) fn lists(operations: &str, name: &str) -> bool {
    operations.split(' ').any(|it| match it.strip_suffix('*') {
        Some(beginning) => name.starts_with(beginning),
        None => it == name,
    })
}

/// Whether an operation of this name reads, as far as the name tells.
pub fn reads_by_name(name: &str) -> bool {
    READS.iter().any(|it| name.starts_with(it))
}

/// `readOnly`
pub(super) fn is_read_only(service: &Service, operation: &Operation) -> bool {
    READ_ONLY
        .iter()
        .find(|(id, _, names)| *id == &*service.id && lists(names, &operation.name))
        .map_or_else(
            || reads_by_name(&operation.name),
            |(_, read_only, _)| *read_only,
        )
}

/// Whether what the call answered is written down, if it succeeded.
pub(super) fn is_answered(service: &Service, operation: &Operation) -> bool {
    let listed = |table: &[(&str, &'static str)]| {
        find(table, &service.id).is_some_and(|names| lists(names, &operation.name))
    };
    if is_read_only(service, operation) {
        listed(READS_ANSWERED)
    } else {
        !listed(UNANSWERED)
    }
}

/// The `resources.type` of a data event; `None` for management events.
pub(super) fn data_event(service: &Service, operation: &Operation) -> Option<&'static str> {
    DATA_EVENTS
        .iter()
        .find(|(id, _, names)| *id == &*service.id && lists(names, &operation.name))
        .map(|(_, kind, _)| *kind)
}

/// Names and values that the service adds to a request's parameters.
pub(super) fn defaults<'a>(
    service: &'a Service,
    operation: &'a Operation,
) -> impl Iterator<Item = (&'static str, Value)> {
    DEFAULTS
        .iter()
        .filter(|(id, name, ..)| *id == &*service.id && lists(name, &operation.name))
        .map(|(.., name, json)| (*name, serde_json::from_str(json).unwrap_or_default()))
}

/// Sources whose events a trail takes only with `IncludeGlobalServiceEvents`.
pub(super) const GLOBAL_SOURCES: &[&str] = &[
    "account.amazonaws.com",
    "billing.amazonaws.com",
    "billingconductor.amazonaws.com",
    "budgets.amazonaws.com",
    "ce.amazonaws.com",
    "cloudfront.amazonaws.com",
    "cost-optimization-hub.amazonaws.com",
    "cur.amazonaws.com",
    "edgekeyvaluestore.amazonaws.com",
    "health.amazonaws.com",
    "iam.amazonaws.com",
    "networkmanager.amazonaws.com",
    "organizations.amazonaws.com",
    "route53.amazonaws.com",
    "route53domains.amazonaws.com",
    "savingsplans.amazonaws.com",
    "shield.amazonaws.com",
    "sts.amazonaws.com",
    "support.amazonaws.com",
    "waf.amazonaws.com",
];

/// Whether this is a global service event. STS is global at its global endpoint alone; what its regional endpoints
/// answer belongs to their region (facts 7.5).
pub fn is_global(event: &Event) -> bool {
    GLOBAL_SOURCES.contains(&&*event.event_source)
        && global_region(&event.aws_region) == event.aws_region
}

/// Whether this is an event of CloudTrail's own delivery, which a trail with `RecursiveLogging: false` does not take.
/// <https://docs.aws.amazon.com/awscloudtrail/latest/userguide/cloudtrail-trail-recursive-logging.html>
pub fn is_recursive(event: &Event) -> bool {
    event.user_identity["invokedBy"] == "cloudtrail.amazonaws.com"
        && matches!(
            (&*event.event_source, &*event.event_name),
            ("s3.amazonaws.com", "PutObject") | ("logs.amazonaws.com", "PutLogEvents")
        )
}

/// What a member of a record names: (event source, member, type). The member may stand at any depth, in the
/// parameters or in the answer.
#[rustfmt::skip]
const NAMED: &[(&str, &[(&str, &str)])] = &[
    ("cloudformation.amazonaws.com", &[
        ("changeSetId", "AWS::CloudFormation::ChangeSet"),
        ("stackId", "AWS::CloudFormation::Stack"),
        ("stackName", "AWS::CloudFormation::Stack"),
    ]),
    ("cloudtrail.amazonaws.com", &[
        ("name", "AWS::CloudTrail::Trail"),
        ("trailName", "AWS::CloudTrail::Trail"),
        ("trailARN", "AWS::CloudTrail::Trail"),
        ("s3BucketName", "AWS::S3::Bucket"),
        ("snsTopicName", "AWS::SNS::Topic"),
        ("snsTopicARN", "AWS::SNS::Topic"),
        ("eventDataStore", "AWS::CloudTrail::EventDataStore"),
        ("eventDataStoreArn", "AWS::CloudTrail::EventDataStore"),
        ("channelArn", "AWS::CloudTrail::Channel"),
    ]),
    ("dynamodb.amazonaws.com", &[
        ("tableName", "AWS::DynamoDB::Table"),
        ("tableArn", "AWS::DynamoDB::Table"),
    ]),
    ("ec2.amazonaws.com", &[
        ("allocationId", "AWS::EC2::EIP"),
        ("customerGatewayId", "AWS::EC2::CustomerGateway"),
        ("dhcpOptionsId", "AWS::EC2::DHCPOptions"),
        ("groupId", "AWS::EC2::SecurityGroup"),
        ("groupName", "AWS::EC2::SecurityGroup"),
        ("imageId", "AWS::EC2::Ami"),
        ("instanceId", "AWS::EC2::Instance"),
        ("internetGatewayId", "AWS::EC2::InternetGateway"),
        ("keyName", "AWS::EC2::KeyPair"),
        ("launchTemplateId", "AWS::EC2::LaunchTemplate"),
        ("natGatewayId", "AWS::EC2::NatGateway"),
        ("networkAclId", "AWS::EC2::NetworkAcl"),
        ("networkInterfaceId", "AWS::EC2::NetworkInterface"),
        ("publicIp", "AWS::EC2::EIP"),
        ("routeTableId", "AWS::EC2::RouteTable"),
        ("snapshotId", "AWS::EC2::Snapshot"),
        ("subnetId", "AWS::EC2::Subnet"),
        ("transitGatewayId", "AWS::EC2::TransitGateway"),
        ("volumeId", "AWS::EC2::Volume"),
        ("vpcEndpointId", "AWS::EC2::VPCEndpoint"),
        ("vpcId", "AWS::EC2::VPC"),
        ("vpcPeeringConnectionId", "AWS::EC2::VPCPeeringConnection"),
        ("vpnConnectionId", "AWS::EC2::VPNConnection"),
        ("vpnGatewayId", "AWS::EC2::VPNGateway"),
    ]),
    ("ecr.amazonaws.com", &[
        ("repositoryName", "AWS::ECR::Repository"),
    ]),
    ("ecs.amazonaws.com", &[
        ("clusterArn", "AWS::ECS::Cluster"),
        ("clusterName", "AWS::ECS::Cluster"),
        ("serviceName", "AWS::ECS::Service"),
        ("taskDefinitionArn", "AWS::ECS::TaskDefinition"),
    ]),
    ("elasticloadbalancing.amazonaws.com", &[
        ("listenerArn", "AWS::ElasticLoadBalancingV2::Listener"),
        ("loadBalancerArn", "AWS::ElasticLoadBalancingV2::LoadBalancer"),
        ("loadBalancerName", "AWS::ElasticLoadBalancing::LoadBalancer"),
        ("targetGroupArn", "AWS::ElasticLoadBalancingV2::TargetGroup"),
    ]),
    ("events.amazonaws.com", &[
        ("ruleArn", "AWS::Events::Rule"),
    ]),
    ("iam.amazonaws.com", &[
        ("accessKeyId", "AWS::IAM::AccessKey"),
        ("groupName", "AWS::IAM::Group"),
        ("instanceProfileName", "AWS::IAM::InstanceProfile"),
        ("policyArn", "AWS::IAM::Policy"),
        ("policyName", "AWS::IAM::Policy"),
        ("roleName", "AWS::IAM::Role"),
        ("sAMLProviderArn", "AWS::IAM::SAMLProvider"),
        ("serialNumber", "AWS::IAM::MFADevice"),
        ("userName", "AWS::IAM::User"),
    ]),
    ("kinesis.amazonaws.com", &[
        ("streamName", "AWS::Kinesis::Stream"),
    ]),
    ("kms.amazonaws.com", &[
        ("aliasName", "AWS::KMS::Alias"),
        ("keyId", "AWS::KMS::Key"),
    ]),
    ("lambda.amazonaws.com", &[
        ("functionArn", "AWS::Lambda::Function"),
        ("functionName", "AWS::Lambda::Function"),
        ("layerName", "AWS::Lambda::LayerVersion"),
    ]),
    ("logs.amazonaws.com", &[
        ("logGroupName", "AWS::Logs::LogGroup"),
        ("logStreamName", "AWS::Logs::LogStream"),
    ]),
    ("rds.amazonaws.com", &[
        ("dBClusterIdentifier", "AWS::RDS::DBCluster"),
        ("dBInstanceIdentifier", "AWS::RDS::DBInstance"),
        ("dBParameterGroupName", "AWS::RDS::DBParameterGroup"),
        ("dBSecurityGroupName", "AWS::RDS::DBSecurityGroup"),
        ("dBSnapshotIdentifier", "AWS::RDS::DBSnapshot"),
        ("dBSubnetGroupName", "AWS::RDS::DBSubnetGroup"),
    ]),
    ("s3.amazonaws.com", &[
        ("bucketName", "AWS::S3::Bucket"),
    ]),
    ("secretsmanager.amazonaws.com", &[
        ("aRN", "AWS::SecretsManager::Secret"),
        ("arn", "AWS::SecretsManager::Secret"),
        ("secretId", "AWS::SecretsManager::Secret"),
    ]),
    ("sns.amazonaws.com", &[
        ("subscriptionArn", "AWS::SNS::Subscription"),
        ("topicArn", "AWS::SNS::Topic"),
    ]),
    ("sqs.amazonaws.com", &[
        ("queueName", "AWS::SQS::Queue"),
        ("queueUrl", "AWS::SQS::Queue"),
    ]),
    ("ssm.amazonaws.com", &[
        ("instanceId", "AWS::EC2::Instance"),
    ]),
    ("states.amazonaws.com", &[
        ("executionArn", "AWS::StepFunctions::Execution"),
        ("stateMachineArn", "AWS::StepFunctions::StateMachine"),
    ]),
    ("sts.amazonaws.com", &[
        ("accessKeyId", "AWS::IAM::AccessKey"),
        ("roleArn", "AWS::IAM::Role"),
    ]),
];

/// As many resources as LookupEvents shows of one event.
const NAMED_LIMIT: usize = 50;

/// What LookupEvents shows as an event's resources and finds it by: the record's own resources, then what its
/// parameters and its answer name; each once.
pub fn named_resources(event: &Event) -> Vec<NamedResource> {
    let mut found = Vec::new();
    for resource in &event.resources {
        let Some(arn) = &resource.arn else { continue };
        // A bucket is known by its name.
        let name = match resource.kind.as_deref() {
            Some("AWS::S3::Bucket") => arn.rsplit(':').next().unwrap_or(arn),
            _ => arn,
        };
        add(&mut found, resource.kind.as_deref(), name);
    }
    if let Some(members) = find(NAMED, &event.event_source) {
        for value in [&event.request_parameters, &event.response_elements] {
            search(value, members, &mut found);
        }
    }
    found
}

fn search(value: &Value, members: &[(&str, &str)], found: &mut Vec<NamedResource>) {
    match value {
        Value::Array(items) => items.iter().for_each(|item| search(item, members, found)),
        Value::Object(map) => {
            for (name, value) in map {
                match (value, find(members, name)) {
                    (Value::String(value), Some(kind)) => add(found, Some(kind), value),
                    _ => search(value, members, found),
                }
            }
        }
        _ => {}
    }
}

fn add(found: &mut Vec<NamedResource>, kind: Option<&str>, name: &str) {
    let known = found
        .iter()
        .any(|it| it.kind.as_deref() == kind && it.name == name);
    if !known && !name.is_empty() && found.len() < NAMED_LIMIT {
        found.push(NamedResource {
            kind: kind.map(str::to_owned),
            name: name.to_owned(),
        });
    }
}

/// `Username` of LookupEvents: user name, role session name, `root`; a service's name.
pub fn user_name(event: &Event) -> Option<&str> {
    let identity = &event.user_identity;
    let text = |name: &str| identity.get(name).and_then(Value::as_str);
    // `AROA…:session`, `account:name`
    let session = || Some(text("principalId")?.split_once(':')?.1);
    let name = match text("type") {
        Some("Root") => Some("root"),
        Some("AssumedRole" | "FederatedUser") => session().or_else(|| text("userName")),
        Some("AWSService") => text("invokedBy"),
        _ => text("userName"),
    };
    name.filter(|name| !name.is_empty())
}

/// `AccessKeyId` of LookupEvents; sign-ins have an empty one, which is none.
pub fn access_key(event: &Event) -> Option<&str> {
    let key = event.user_identity.get("accessKeyId")?.as_str()?;
    (!key.is_empty()).then_some(key)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::Resource;
    use super::super::testing::TestCall;
    use super::*;
    use crate::aws::models;

    #[test]
    fn reads_data_events_and_answers() {
        for (id, name, read_only, data, answered) in [
            ("iam", "GetUser", true, None, false),
            ("iam", "CreateUser", false, None, true),
            ("iam", "SimulatePrincipalPolicy", true, None, false),
            ("cloudtrail", "LookupEvents", true, None, false),
            ("kms", "Decrypt", true, None, false),
            ("kms", "GenerateDataKeyWithoutPlaintext", true, None, false),
            ("kms", "DisableKey", false, None, true),
            ("sts", "AssumeRoleWithSAML", true, None, true),
            ("sts", "AssumeRoot", false, None, true),
            ("sts", "GetSessionToken", false, None, true),
            ("sts", "GetCallerIdentity", true, None, false),
            ("ec2", "SearchTransitGatewayRoutes", false, None, true),
            ("bedrock-runtime", "InvokeModel", true, None, false),
            ("appsync", "ListApiKeys", false, None, true),
            ("codeconnections", "ListConnections", true, None, false),
            ("codeconnections", "ListRepositoryLinks", false, None, true),
            (
                "cognito-identity",
                "GetId",
                false,
                Some("AWS::Cognito::IdentityPool"),
                true,
            ),
            (
                "events",
                "PutEvents",
                false,
                Some("AWS::Events::EventBus"),
                true,
            ),
            (
                "swf",
                "CountOpenWorkflowExecutions",
                true,
                Some("AWS::SWF::Domain"),
                false,
            ),
            ("swf", "DescribeDomain", true, None, false),
            ("s3", "GetObject", true, Some("AWS::S3::Object"), false),
            ("s3", "ListObjectsV2", true, Some("AWS::S3::Object"), false),
            ("s3", "PutObject", false, Some("AWS::S3::Object"), true),
            ("s3", "PutBucketPolicy", false, None, true),
            (
                "lambda",
                "Invoke",
                false,
                Some("AWS::Lambda::Function"),
                false,
            ),
            (
                "dynamodb",
                "PutItem",
                false,
                Some("AWS::DynamoDB::Table"),
                false,
            ),
            ("dynamodb", "CreateTable", false, None, true),
            ("sqs", "SendMessage", false, Some("AWS::SQS::Queue"), true),
        ] {
            let service = models().service(id).unwrap();
            let operation = service.operation(name).unwrap();
            assert_eq!(is_read_only(service, operation), read_only, "{id} {name}");
            assert_eq!(data_event(service, operation), data, "{id} {name}");
            assert_eq!(is_answered(service, operation), answered, "{id} {name}");
        }
    }

    #[test]
    fn every_row_of_every_table_finds_an_operation() {
        let rows = READ_ONLY
            .iter()
            .map(|(id, _, names)| (*id, *names))
            .chain(DATA_EVENTS.iter().map(|(id, _, names)| (*id, *names)))
            .chain(DEFAULTS.iter().map(|(id, name, ..)| (*id, *name)))
            .chain(READS_ANSWERED.iter().copied())
            .chain(UNANSWERED.iter().copied());
        for (id, names) in rows {
            let service = models().service(id).unwrap_or_else(|| panic!("{id}"));
            for name in names.split(' ') {
                let mut operations = service.operations.iter();
                assert!(
                    operations.any(|operation| lists(name, &operation.name)),
                    "{id} {name}"
                );
            }
        }
        for (.., json) in DEFAULTS {
            assert!(serde_json::from_str::<Value>(json).is_ok(), "{json}");
        }
    }

    #[test]
    fn an_event_names_what_its_call_was_about() {
        for (service, operation, params, answer, expected) in [
            (
                "iam",
                "CreateAccessKey",
                json!({"UserName": "Alice"}),
                json!({"AccessKey": {"UserName": "Alice", "AccessKeyId": "AKIAEXAMPLEKEY000002"}}),
                vec![
                    ("AWS::IAM::User", "Alice"),
                    ("AWS::IAM::AccessKey", "AKIAEXAMPLEKEY000002"),
                ],
            ),
            (
                "s3",
                "PutBucketPolicy",
                json!({"Bucket": "logs"}),
                json!({}),
                vec![("AWS::S3::Bucket", "logs")],
            ),
            (
                "ec2",
                "TerminateInstances",
                json!({"InstanceIds": ["i-1", "i-2"]}),
                json!({}),
                vec![("AWS::EC2::Instance", "i-1"), ("AWS::EC2::Instance", "i-2")],
            ),
            (
                "cloudtrail",
                "StopLogging",
                json!({"Name": "main"}),
                json!({}),
                vec![("AWS::CloudTrail::Trail", "main")],
            ),
            (
                "kms",
                "DisableKey",
                json!({"KeyId": "1234abcd-12ab-34cd-56ef-1234567890ab"}),
                json!({}),
                vec![
                    (
                        "AWS::KMS::Key",
                        "arn:aws:kms:eu-west-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab",
                    ),
                    ("AWS::KMS::Key", "1234abcd-12ab-34cd-56ef-1234567890ab"),
                ],
            ),
            ("sts", "GetCallerIdentity", json!({}), json!({}), vec![]),
        ] {
            let event = TestCall::new(service, operation, params)
                .answered(&answer)
                .record();
            let found = named_resources(&event);
            let found: Vec<_> = found
                .iter()
                .map(|it| (it.kind.as_deref().unwrap_or_default(), it.name.as_str()))
                .collect();
            assert_eq!(found, expected, "{operation}");
        }
    }

    #[test]
    fn no_event_names_more_than_the_limit() {
        let ids: Vec<String> = (0..100).map(|it| format!("i-{it}")).collect();
        let mut event =
            TestCall::new("ec2", "StartInstances", json!({"InstanceIds": ids})).record();
        event.resources.push(Resource::default());
        assert_eq!(named_resources(&event).len(), NAMED_LIMIT);
    }

    #[test]
    fn user_names_by_kind_of_caller() {
        let mut event = TestCall::new("iam", "ListUsers", json!({})).record();
        for (identity, expected) in [
            (json!({"type": "Root"}), Some("root")),
            (
                json!({"type": "IAMUser", "userName": "Alice"}),
                Some("Alice"),
            ),
            (
                json!({"type": "AssumedRole", "principalId": "AROAEXAMPLE:s1"}),
                Some("s1"),
            ),
            (
                json!({"type": "FederatedUser", "principalId": "111122223333:Bob"}),
                Some("Bob"),
            ),
            (
                json!({"type": "AWSService", "invokedBy": "ec2.amazonaws.com"}),
                Some("ec2.amazonaws.com"),
            ),
            (json!({"accountId": "111122223333"}), None),
            (json!({"type": "Unknown", "userName": ""}), None),
        ] {
            event.user_identity = identity.clone();
            assert_eq!(user_name(&event), expected, "{identity}");
        }
    }
}
