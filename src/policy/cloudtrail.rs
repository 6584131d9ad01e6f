//! What CloudTrail asks of the policies of a trail's bucket and topic, and as whom.
//! <https://docs.aws.amazon.com/awscloudtrail/latest/userguide/create-s3-bucket-policy-for-cloudtrail.html>
//!
//! It asks as its service principal and, for policies from before March 2015, as the root of the account that CloudTrail
//! had in the file's region: a policy may name either. Condition keys that such a request has are listed here; all
//! others (`aws:SourceOwner`, `aws:SourceOrgID`, those of the principal, VPC and tags) it does not have.

use super::{Caller, Request};
use crate::aws::arn::{Arn, partition};

const SERVICE: &str = "cloudtrail.amazonaws.com";

/// CloudTrail's own account in each region, as policies of 2013 and 2014 name it.
/// <https://github.com/hashicorp/terraform-provider-aws>, data source `aws_cloudtrail_service_account`.
const SERVICE_ACCOUNTS: &[(&str, &str)] = &[
    ("af-south-1", "525921808201"),
    ("ap-east-1", "119688915426"),
    ("ap-northeast-1", "216624486486"),
    ("ap-northeast-2", "492519147666"),
    ("ap-northeast-3", "765225791966"),
    ("ap-south-1", "977081816279"),
    ("ap-south-2", "582488909970"),
    ("ap-southeast-1", "903692715234"),
    ("ap-southeast-2", "284668455005"),
    ("ap-southeast-3", "069019280451"),
    ("ap-southeast-4", "187074758985"),
    ("ca-central-1", "819402241893"),
    ("cn-north-1", "193415116832"),
    ("cn-northwest-1", "681348832753"),
    ("eu-central-1", "035351147821"),
    ("eu-central-2", "453052556044"),
    ("eu-north-1", "829690693026"),
    ("eu-south-1", "669305197877"),
    ("eu-south-2", "757211635381"),
    ("eu-west-1", "859597730677"),
    ("eu-west-2", "282025262664"),
    ("eu-west-3", "262312530599"),
    ("il-central-1", "683224464357"),
    ("me-central-1", "585772288577"),
    ("me-south-1", "034638983726"),
    ("sa-east-1", "814480443879"),
    ("us-east-1", "086441151436"),
    ("us-east-2", "475085895292"),
    ("us-gov-east-1", "608710470296"),
    ("us-gov-west-1", "608710470296"),
    ("us-west-1", "388731089494"),
    ("us-west-2", "113285607260"),
];

/// CloudTrail as it delivers for a trail.
#[derive(Clone, Copy, Debug)]
pub struct Deliverer<'a> {
    pub trail_arn: &'a str,
    /// The trail's account: 12 digits.
    pub account: &'a str,
    /// The region that is delivered from: that of the events.
    pub region: &'a str,
}

impl<'a> Deliverer<'a> {
    /// `s3:GetBucketAcl`
    pub fn get_bucket_acl(&self, bucket: &str) -> Request<'a> {
        self.request("s3:GetBucketAcl", self.s3_arn(bucket), Vec::new())
    }

    /// `s3:PutObject`, as log files are put.
    pub fn put_object(&self, bucket: &str, key: &str, kms_key_id: Option<&str>) -> Request<'a> {
        let mut keys = vec![("s3:x-amz-acl", "bucket-owner-full-control".to_owned())];
        if let Some(kms_key_id) = kms_key_id {
            keys.extend([
                ("s3:x-amz-server-side-encryption", "aws:kms".to_owned()),
                (
                    "s3:x-amz-server-side-encryption-aws-kms-key-id",
                    kms_key_id.to_owned(),
                ),
            ]);
        }
        self.request(
            "s3:PutObject",
            self.s3_arn(&format!("{bucket}/{key}")),
            keys,
        )
    }

    /// `SNS:Publish`
    pub fn publish(&self, topic_arn: &str) -> Request<'a> {
        let region = Arn::parse(topic_arn).map(|arn| arn.region.to_owned());
        let keys = region.map(|region| ("aws:RequestedRegion", region));
        self.request(
            "sns:Publish",
            topic_arn.to_owned(),
            keys.into_iter().collect(),
        )
    }

    fn s3_arn(&self, resource: &str) -> String {
        let arn = Arn {
            partition: partition(self.region),
            service: "s3",
            region: "",
            account: "",
            resource,
        };
        arn.to_string()
    }

    fn request(
        &self,
        action: &'static str,
        resource: String,
        mut context: Vec<(&'static str, String)>,
    ) -> Request<'a> {
        let of_all = [
            ("aws:SourceArn", self.trail_arn),
            ("aws:SourceAccount", self.account),
            ("aws:PrincipalIsAWSService", "true"),
            ("aws:PrincipalServiceName", SERVICE),
            ("aws:PrincipalServiceNamesList", SERVICE),
            ("aws:SecureTransport", "true"),
            // The address of a service is not told; records have its name in this place.
            ("aws:SourceIp", SERVICE),
            ("aws:UserAgent", SERVICE),
            ("aws:ViaAWSService", "false"),
        ];
        context.extend(of_all.map(|(key, value)| (key, value.to_owned())));
        if action.starts_with("s3:") {
            let of_s3 = [
                ("s3:authType", "REST-HEADER"),
                ("s3:signatureversion", "AWS4-HMAC-SHA256"),
                ("s3:TlsVersion", "1.3"),
            ];
            context.extend(of_s3.map(|(key, value)| (key, value.to_owned())));
        }
        let own = SERVICE_ACCOUNTS
            .iter()
            .find(|(region, _)| *region == self.region);
        Request {
            caller: Caller {
                service: SERVICE,
                account: own.map(|(_, account)| *account),
            },
            action,
            resource,
            context,
        }
    }
}
