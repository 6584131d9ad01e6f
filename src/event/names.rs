//! What CloudTrail calls a service, an operation and a region.

use std::borrow::Cow;

use super::values::lower_first;
use crate::aws::Params;
use crate::aws::arn::partition;
use crate::aws::model::{Operation, Service};

/// Where the source is not `<signing name>.amazonaws.com`, by botocore's name of the service.
const SOURCES: &[(&str, &str)] = &[
    ("application-autoscaling", "autoscaling"),
    ("application-signals", "applicationsignals"),
    ("chime-sdk-voice", "chime-sdk-voice"),
    ("cloudfront-keyvaluestore", "edgekeyvaluestore"),
    ("connectparticipant", "participant.connect"),
    ("iotevents-data", "iotevents"),
    ("iotsecuretunneling", "iotsecuredtunneling"),
    ("marketplace-agreement", "agreement-marketplace"),
    ("marketplace-deployment", "deployment-marketplace"),
    ("marketplace-discovery", "discovery-marketplace"),
    ("marketplace-entitlement", "entitlement-marketplace"),
    ("marketplace-reporting", "reporting-marketplace"),
    ("meteringmarketplace", "metering-marketplace"),
    ("mgh", "migrationhub"),
    ("migrationhub-config", "migrationhub-config"),
    ("mq", "amazonmq"),
    ("pinpoint", "pinpoint"),
    ("rds-data", "rdsdata"),
    ("servicecatalog-appregistry", "servicecatalog-appregistry"),
    ("sso", "sso"),
    ("sso-oidc", "sso"),
];

/// The same of single operations: (service, operation, source).
const OPERATION_SOURCES: &[(&str, &str, &str)] = &[
    ("s3", "ListDirectoryBuckets", "s3express"),
    ("sso-oidc", "CreateTokenWithIAM", "sso-oauth"),
];

/// S3's events keep the names of its first API.
#[rustfmt::skip]
const S3_NAMES: &[(&str, &str)] = &[
    ("DeletePublicAccessBlock", "DeleteBucketPublicAccessBlock"),
    (
        "GetBucketAccelerateConfiguration",
        "GetAccelerateConfiguration",
    ),
    ("GetBucketLifecycleConfiguration", "GetBucketLifecycle"),
    (
        "GetBucketNotificationConfiguration",
        "GetBucketNotification",
    ),
    (
        "GetObjectLockConfiguration",
        "GetBucketObjectLockConfiguration",
    ),
    ("GetPublicAccessBlock", "GetBucketPublicAccessBlock"),
    ("ListObjectsV2", "ListObjects"),
    (
        "PutBucketAccelerateConfiguration",
        "PutAccelerateConfiguration",
    ),
    ("PutBucketLifecycleConfiguration", "PutBucketLifecycle"),
    (
        "PutBucketNotificationConfiguration",
        "PutBucketNotification",
    ),
    (
        "PutObjectLockConfiguration",
        "PutBucketObjectLockConfiguration",
    ),
    ("PutPublicAccessBlock", "PutBucketPublicAccessBlock"),
];

/// S3 Control's public access block is the account's.
#[rustfmt::skip]
const S3_CONTROL_NAMES: &[(&str, &str)] = &[
    ("DeletePublicAccessBlock", "DeleteAccountPublicAccessBlock"),
    ("GetPublicAccessBlock", "GetAccountPublicAccessBlock"),
    ("PutPublicAccessBlock", "PutAccountPublicAccessBlock"),
];

/// Lambda operations that are at their second version.
const LAMBDA_V2: &[&str] = &[
    "AddPermission",
    "GetFunction",
    "GetFunctionConfiguration",
    "GetPolicy",
    "RemovePermission",
    "TagResource",
    "UntagResource",
    "UpdateFunctionCode",
    "UpdateFunctionConfiguration",
];

/// Lambda stopped dating its events' names with the API of this date.
const LAMBDA_LAST_DATED: &str = "20181031";

/// Services of the whole partition: their calls are recorded in its first region.
const GLOBAL: &[&str] = &[
    "account",
    "billing",
    "billingconductor",
    "budgets",
    "ce",
    "cloudfront",
    "cloudfront-keyvaluestore",
    "cost-optimization-hub",
    "cur",
    "health",
    "iam",
    "networkmanager",
    "organizations",
    "route53",
    "route53domains",
    "savingsplans",
    "shield",
    "support",
    "waf",
];

/// API versions that records before 1.09 name, by botocore's name of the service.
const API_VERSIONS: &[(&str, &str)] = &[
    ("cloudfront", "2020_05_31"),
    ("dynamodb", "2012-08-10"),
    ("efs", "2015-02-01"),
    ("elb", "2012-06-01"),
    ("elbv2", "2015-12-01"),
    ("events", "2015-10-07"),
    ("logs", "20140328"),
    ("route53", "2013-04-01"),
    ("waf", "2015-08-24"),
    ("wafv2", "2019-04-23"),
];

/// The value that a table of pairs has for `key`.
pub(super) fn find<T: Copy>(table: &[(&str, T)], key: &str) -> Option<T> {
    table.iter().find(|(it, _)| *it == key).map(|(_, it)| *it)
}

/// `iam.amazonaws.com`
pub(super) fn event_source(
    service: &Service,
    operation: &Operation,
    params: Option<&Params>,
) -> String {
    let mut of_operations = OPERATION_SOURCES.iter();
    let of_operation = of_operations
        .find(|(id, name, _)| *id == &*service.id && *name == &*operation.name)
        .map(|(.., source)| *source);
    let name = if let Some(source) = of_operation {
        source
    } else if is_directory_bucket(service, params) {
        "s3express"
    } else {
        // Of `api.ecr` and the like the last label counts.
        find(SOURCES, &service.id).unwrap_or_else(|| {
            let name = &*service.signing_name;
            name.rsplit_once('.').map_or(name, |(_, label)| label)
        })
    };
    format!("{name}.amazonaws.com")
}

/// Whether an S3 call is for a directory bucket: `logs--use1-az4--x-s3`.
pub(super) fn is_directory_bucket(service: &Service, params: Option<&Params>) -> bool {
    &*service.id == "s3"
        && params
            .and_then(|params| params.get("Bucket"))
            .and_then(|bucket| bucket.as_str())
            .is_some_and(|bucket| bucket.ends_with("--x-s3"))
}

/// `CreateUser`, `CreateFunction20150331`, `PutBucketLifecycle`.
pub(super) fn event_name(service: &Service, operation: &Operation) -> String {
    let name = &*operation.name;
    match &*service.id {
        "lambda" => lambda_name(operation),
        // Of CloudFront's only the functions' are dated, with the API's version.
        "cloudfront" if name.contains("Function") => {
            format!("{name}{}", service.api_version.replace('-', "_"))
        }
        "s3" => find(S3_NAMES, name).unwrap_or(name).to_owned(),
        "s3control" => find(S3_CONTROL_NAMES, name).unwrap_or(name).to_owned(),
        "route53domains" => lower_first(name.to_owned()),
        _ => name.to_owned(),
    }
}

/// Older operations carry the date that stands in their URI: `/2015-03-31/functions`.
fn lambda_name(operation: &Operation) -> String {
    let name = &*operation.name;
    let date: String = operation
        .uri
        .trim_start_matches('/')
        .chars()
        .take_while(|it| it.is_ascii_digit() || *it == '-')
        .filter(char::is_ascii_digit)
        .collect();
    // The data event is plain `Invoke`.
    if name.starts_with("Invoke") || date.is_empty() || *date > *LAMBDA_LAST_DATED {
        return name.to_owned();
    }
    let version = if LAMBDA_V2.contains(&name) { "v2" } else { "" };
    format!("{name}{date}{version}")
}

/// The region that a call made to `region` is recorded in.
pub(super) fn aws_region<'a>(service: &Service, region: &'a str) -> &'a str {
    if &*service.id == "globalaccelerator" {
        return "us-west-2";
    }
    if !GLOBAL.contains(&&*service.id) {
        return region;
    }
    global_region(region)
}

/// Where the global services of a region's partition are recorded.
pub(super) fn global_region(region: &str) -> &'static str {
    match partition(region) {
        "aws-cn" => "cn-northwest-1",
        "aws-us-gov" => "us-gov-west-1",
        _ => "us-east-1",
    }
}

/// `apiVersion`; records since 1.09 have none.
pub(super) fn api_version(service: &Service, minor: u32) -> Option<&'static str> {
    (minor < 9)
        .then(|| find(API_VERSIONS, &service.id))
        .flatten()
}

/// The user agent as the service writes it: S3 puts brackets around it.
pub(super) fn user_agent<'a>(service: &Service, sent: &'a str) -> Cow<'a, str> {
    match &*service.id {
        "s3" | "s3control" => format!("[{sent}]").into(),
        _ => sent.into(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::testing::TestCall;
    use super::*;

    #[test]
    fn calls_have_cloudtrails_names() {
        for (service, operation, params, source, name) in [
            ("iam", "CreateUser", json!({}), "iam", "CreateUser"),
            (
                "cloudwatch",
                "PutMetricAlarm",
                json!({}),
                "monitoring",
                "PutMetricAlarm",
            ),
            ("mq", "CreateBroker", json!({}), "amazonmq", "CreateBroker"),
            (
                "application-autoscaling",
                "PutScalingPolicy",
                json!({}),
                "autoscaling",
                "PutScalingPolicy",
            ),
            (
                "elbv2",
                "CreateLoadBalancer",
                json!({}),
                "elasticloadbalancing",
                "CreateLoadBalancer",
            ),
            (
                "ecr",
                "CreateRepository",
                json!({}),
                "ecr",
                "CreateRepository",
            ),
            (
                "stepfunctions",
                "CreateStateMachine",
                json!({}),
                "states",
                "CreateStateMachine",
            ),
            ("sesv2", "CreateContact", json!({}), "ses", "CreateContact"),
            ("lexv2-models", "CreateBot", json!({}), "lex", "CreateBot"),
            (
                "route53domains",
                "RegisterDomain",
                json!({}),
                "route53domains",
                "registerDomain",
            ),
            (
                "cloudfront",
                "CreateFunction",
                json!({}),
                "cloudfront",
                "CreateFunction2020_05_31",
            ),
            (
                "cloudfront",
                "CreateDistribution",
                json!({}),
                "cloudfront",
                "CreateDistribution",
            ),
            (
                "lambda",
                "CreateFunction",
                json!({}),
                "lambda",
                "CreateFunction20150331",
            ),
            (
                "lambda",
                "UpdateFunctionCode",
                json!({}),
                "lambda",
                "UpdateFunctionCode20150331v2",
            ),
            (
                "lambda",
                "ListTags",
                json!({}),
                "lambda",
                "ListTags20170331",
            ),
            (
                "lambda",
                "TagResource",
                json!({}),
                "lambda",
                "TagResource20170331v2",
            ),
            (
                "lambda",
                "GetAccountSettings",
                json!({}),
                "lambda",
                "GetAccountSettings20160819",
            ),
            (
                "lambda",
                "PutFunctionConcurrency",
                json!({}),
                "lambda",
                "PutFunctionConcurrency20171031",
            ),
            (
                "lambda",
                "PublishLayerVersion",
                json!({}),
                "lambda",
                "PublishLayerVersion20181031",
            ),
            (
                "lambda",
                "CreateFunctionUrlConfig",
                json!({}),
                "lambda",
                "CreateFunctionUrlConfig",
            ),
            ("lambda", "Invoke", json!({}), "lambda", "Invoke"),
            (
                "s3",
                "PutBucketLifecycleConfiguration",
                json!({}),
                "s3",
                "PutBucketLifecycle",
            ),
            (
                "s3",
                "ListObjectsV2",
                json!({"Bucket": "b"}),
                "s3",
                "ListObjects",
            ),
            (
                "s3",
                "GetObject",
                json!({"Bucket": "b--use1-az4--x-s3"}),
                "s3express",
                "GetObject",
            ),
            (
                "s3",
                "ListDirectoryBuckets",
                json!({}),
                "s3express",
                "ListDirectoryBuckets",
            ),
            (
                "sso-oidc",
                "CreateTokenWithIAM",
                json!({}),
                "sso-oauth",
                "CreateTokenWithIAM",
            ),
            ("sso-oidc", "CreateToken", json!({}), "sso", "CreateToken"),
            (
                "s3control",
                "GetPublicAccessBlock",
                json!({}),
                "s3",
                "GetAccountPublicAccessBlock",
            ),
        ] {
            let event = TestCall::new(service, operation, params).record();
            assert_eq!(
                event.event_source,
                format!("{source}.amazonaws.com"),
                "{operation}"
            );
            assert_eq!(event.event_name, name, "{service}");
        }
    }

    #[test]
    fn global_services_are_recorded_in_their_partitions_first_region() {
        let service = |id| crate::aws::models().service(id).unwrap();
        for (id, region, expected) in [
            ("iam", "eu-west-1", "us-east-1"),
            ("iam", "us-gov-east-1", "us-gov-west-1"),
            ("cloudfront", "ap-south-1", "us-east-1"),
            ("globalaccelerator", "us-west-2", "us-west-2"),
            ("sts", "eu-west-1", "eu-west-1"),
            ("ec2", "eu-west-1", "eu-west-1"),
        ] {
            assert_eq!(aws_region(service(id), region), expected, "{id} {region}");
        }
    }

    #[test]
    fn what_is_recorded_in_the_first_region_is_a_global_service_event() {
        for id in GLOBAL {
            let service = crate::aws::models().service(id).unwrap();
            let source = event_source(service, &service.operations[0], None);
            let listed = super::super::catalog::GLOBAL_SOURCES.contains(&&*source);
            assert!(listed, "{source}");
        }
    }

    #[test]
    fn every_listed_service_is_known() {
        let listed = SOURCES.iter().chain(API_VERSIONS).map(|(id, _)| *id);
        for id in listed.chain(GLOBAL.iter().copied()) {
            assert!(crate::aws::models().service(id).is_some(), "{id}");
        }
    }
}
