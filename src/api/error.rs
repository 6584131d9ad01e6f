//! Error codes of the CloudTrail API, and every sentence it says.
//!
//! A code is spelled as the wire spells it and has the status of the wire: 400 for every fault of the caller, whatever
//! status the model's traits give (they date from the query protocol). Sentences that AWS is known to use stand in
//! constructors, each once; where AWS's own sentence is not known, the constructor's doc says so. How an error is
//! written into an answer is not decided here.

use std::fmt;

use crate::store;
use crate::targets::TargetError;

pub type Result<T> = std::result::Result<T, Error>;

macro_rules! codes {
    ($($code:ident $status:literal;)*) => {
        /// An error code, spelled as the wire spells it.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Code { $($code),* }

        impl Code {
            pub const ALL: &[Self] = &[$(Self::$code),*];

            pub fn as_str(self) -> &'static str {
                match self { $(Self::$code => stringify!($code)),* }
            }

            /// HTTP status.
            pub fn status(self) -> u16 {
                match self { $(Self::$code => $status),* }
            }
        }
    };
}

codes! {
    // Of the framework, common to all operations.
    ExpiredTokenException                                  400;
    IncompleteSignatureException                           400;
    InternalFailure                                        500;
    InvalidSignatureException                              400;
    MissingAuthenticationTokenException                    400;
    RequestEntityTooLargeException                         413;
    RequestTimeoutException                                408;
    SerializationException                                 400;
    ServiceUnavailable                                     503;
    UnknownOperationException                              400;
    UnrecognizedClientException                            400;
    ValidationException                                    400;

    // Of the model.
    AccessDeniedException                                  400;
    AccountHasOngoingImportException                       400;
    AccountNotFoundException                               400;
    AccountNotRegisteredException                          400;
    AccountRegisteredException                             400;
    CannotDelegateManagementAccountException               400;
    ChannelARNInvalidException                             400;
    ChannelAlreadyExistsException                          400;
    ChannelExistsForEDSException                           400;
    ChannelMaxLimitExceededException                       400;
    ChannelNotFoundException                               400;
    CloudTrailARNInvalidException                          400;
    CloudTrailAccessNotEnabledException                    400;
    CloudTrailInvalidClientTokenIdException                400;
    CloudWatchLogsDeliveryUnavailableException             400;
    ConcurrentModificationException                        400;
    ConflictException                                      400;
    DelegatedAdminAccountLimitExceededException            400;
    EventDataStoreARNInvalidException                      400;
    EventDataStoreAlreadyExistsException                   400;
    EventDataStoreFederationEnabledException               400;
    EventDataStoreHasOngoingImportException                400;
    EventDataStoreMaxLimitExceededException                400;
    EventDataStoreNotFoundException                        400;
    EventDataStoreTerminationProtectedException            400;
    GenerateResponseException                              400;
    ImportNotFoundException                                400;
    InactiveEventDataStoreException                        400;
    InactiveQueryException                                 400;
    InsightNotEnabledException                             400;
    InsufficientDependencyServiceAccessPermissionException 400;
    InsufficientEncryptionPolicyException                  400;
    InsufficientIAMAccessPermissionException               400;
    InsufficientS3BucketPolicyException                    400;
    InsufficientSnsTopicPolicyException                    400;
    InvalidCloudWatchLogsLogGroupArnException              400;
    InvalidCloudWatchLogsRoleArnException                  400;
    InvalidDateRangeException                              400;
    InvalidEventCategoryException                          400;
    InvalidEventDataStoreCategoryException                 400;
    InvalidEventDataStoreStatusException                   400;
    InvalidEventSelectorsException                         400;
    InvalidHomeRegionException                             400;
    InvalidImportSourceException                           400;
    InvalidInsightSelectorsException                       400;
    InvalidKmsKeyIdException                               400;
    InvalidLookupAttributesException                       400;
    InvalidMaxResultsException                             400;
    InvalidNextTokenException                              400;
    InvalidParameterCombinationException                   400;
    InvalidParameterException                              400;
    InvalidQueryStatementException                         400;
    InvalidQueryStatusException                            400;
    InvalidS3BucketNameException                           400;
    InvalidS3PrefixException                               400;
    InvalidSnsTopicNameException                           400;
    InvalidSourceException                                 400;
    InvalidTagParameterException                           400;
    InvalidTimeRangeException                              400;
    InvalidTokenException                                  400;
    InvalidTrailNameException                              400;
    KmsException                                           400;
    KmsKeyDisabledException                                400;
    KmsKeyNotFoundException                                400;
    MaxConcurrentQueriesException                          400;
    MaximumNumberOfTrailsExceededException                 400;
    NoManagementAccountSLRExistsException                  400;
    NotOrganizationManagementAccountException              400;
    NotOrganizationMasterAccountException                  400;
    OperationNotPermittedException                         400;
    OrganizationNotInAllFeaturesModeException              400;
    OrganizationsNotInUseException                         400;
    QueryIdNotFoundException                               400;
    ResourceARNNotValidException                           400;
    ResourceNotFoundException                              400;
    ResourcePolicyNotFoundException                        400;
    ResourcePolicyNotValidException                        400;
    ResourceTypeNotSupportedException                      400;
    S3BucketDoesNotExistException                          400;
    ServiceQuotaExceededException                          400;
    TagsLimitExceededException                             400;
    ThrottlingException                                    400;
    TrailAlreadyExistsException                            400;
    TrailNotFoundException                                 400;
    TrailNotProvidedException                              400;
    UnsupportedOperationException                          400;
}

/// What the caller is told, and what went wrong beneath.
#[derive(Debug)]
pub struct Error {
    code: Code,
    message: String,
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl Error {
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
            source: None,
        }
    }

    pub fn code(&self) -> Code {
        self.code
    }

    /// What the caller is told.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// Something failed that the caller has no part in; the log tells what.
    pub fn internal(source: impl std::error::Error + Send + Sync + 'static) -> Self {
        Self::new(
            Code::InternalFailure,
            "The request processing has failed because of an unknown error, exception or failure.",
        )
        .caused_by(source)
    }

    fn caused_by(mut self, source: impl std::error::Error + Send + Sync + 'static) -> Self {
        self.source = Some(Box::new(source));
        self
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code.as_str(), self.message)
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source.as_deref().map(|source| source as _)
    }
}

/// The database failed: nothing the caller could do anything about, or should read.
impl From<store::Error> for Error {
    fn from(error: store::Error) -> Self {
        Self::internal(error)
    }
}

/// The request itself.
impl Error {
    pub fn missing_authentication_token() -> Self {
        Self::new(
            Code::MissingAuthenticationTokenException,
            "Request is missing Authentication Token",
        )
    }

    pub fn invalid_signature() -> Self {
        Self::new(
            Code::InvalidSignatureException,
            "The request signature we calculated does not match the signature you provided. Check your AWS Secret \
             Access Key and signing method. Consult the service documentation for details.",
        )
    }

    pub fn unrecognized_client() -> Self {
        Self::new(
            Code::UnrecognizedClientException,
            "The security token included in the request is invalid.",
        )
    }

    /// AWS's sentence is not known.
    pub fn request_too_large(limit_bytes: usize) -> Self {
        Self::new(
            Code::RequestEntityTooLargeException,
            format!("The request body is longer than {limit_bytes} bytes."),
        )
    }

    /// AWS's sentence is not known.
    pub fn undecodable_body(limit_bytes: usize) -> Self {
        Self::serialization(format!(
            "The request body is not encoded as its head says, or is longer than {limit_bytes} bytes unpacked."
        ))
    }

    /// AWS's sentence is not known.
    pub fn request_timeout() -> Self {
        Self::new(
            Code::RequestTimeoutException,
            "The request body did not come to its end in time.",
        )
    }

    pub fn unknown_operation() -> Self {
        Self::new(
            Code::UnknownOperationException,
            "The requested operation is not recognized by the service.",
        )
    }

    /// For operations of CloudTrail that are not built here. AWS's sentence is not known.
    pub fn unsupported_operation(name: &str) -> Self {
        Self::new(
            Code::UnsupportedOperationException,
            format!("The operation {name} is not supported."),
        )
    }

    pub fn serialization(message: impl Into<String>) -> Self {
        Self::new(Code::SerializationException, message)
    }

    /// `violations` are of the form `Value '0' at 'maxResults' failed to satisfy constraint: Member must …`.
    pub fn validation(violations: &[String]) -> Self {
        let count = violations.len();
        let errors = if count == 1 { "error" } else { "errors" };
        Self::new(
            Code::ValidationException,
            format!(
                "{count} validation {errors} detected: {}",
                violations.join("; ")
            ),
        )
    }
}

/// Names and ARNs.
impl Error {
    pub fn trail_name(reason: impl Into<String>) -> Self {
        Self::new(Code::InvalidTrailNameException, reason)
    }

    /// AWS's sentence is not known.
    pub fn trail_arn_invalid(arn: &str) -> Self {
        Self::new(
            Code::CloudTrailARNInvalidException,
            format!(
                "The trail ARN {arn} is not valid. The format of a trail ARN is: \
                 arn:aws:cloudtrail:us-east-2:123456789012:trail/MyTrail"
            ),
        )
    }

    /// Seen from ListTags: <https://github.com/aws/aws-sdk-java/issues/1309>.
    pub fn arn_region(region: &str) -> Self {
        Self::new(
            Code::CloudTrailARNInvalidException,
            format!("Region in ARN is wrong, you can only access resources in region {region}."),
        )
    }

    /// Seen from ListTags, of trails of other accounts:
    /// <https://github.com/gruntwork-io/cloud-nuke/blob/master/aws/resources/cloudtrail_test.go>.
    pub fn arn_owner() -> Self {
        Self::new(
            Code::CloudTrailARNInvalidException,
            "You cannot have resources belonging to multiple owners",
        )
    }

    /// `trail` is an ARN, also where the caller gave a name; only GetTrail repeats the name.
    pub fn trail_not_found(trail: &str, account: &str) -> Self {
        Self::new(
            Code::TrailNotFoundException,
            format!("Unknown trail: {trail} for the user: {account}"),
        )
    }

    /// AWS's sentence is not known.
    pub fn home_region(arn: &str, home_region: &str) -> Self {
        Self::new(
            Code::InvalidHomeRegionException,
            format!("Trail {arn} can only be modified from its home region {home_region}."),
        )
    }

    pub fn trail_exists(name: &str, account: &str) -> Self {
        Self::new(
            Code::TrailAlreadyExistsException,
            format!("Trail {name} already exists for customer: {account}"),
        )
    }

    pub fn too_many_trails(account: &str, limit: u32, region: &str) -> Self {
        Self::new(
            Code::MaximumNumberOfTrailsExceededException,
            format!("User: {account} already has {limit} trails in {region}."),
        )
    }

    /// AWS's sentence is not known.
    pub fn resource_not_found(arn: &str) -> Self {
        Self::new(
            Code::ResourceNotFoundException,
            format!("Resource {arn} is not found."),
        )
    }

    /// AWS's sentence is not known.
    pub fn resource_type(arn: &str) -> Self {
        Self::new(
            Code::ResourceTypeNotSupportedException,
            format!("The type of the resource {arn} is not supported."),
        )
    }
}

/// What a trail delivers to.
impl Error {
    pub fn multi_region_without_global() -> Self {
        Self::new(
            Code::InvalidParameterCombinationException,
            "Multi-Region trail must include global service events.",
        )
    }

    /// AWS's sentence is not known.
    pub fn bucket_name(bucket: &str) -> Self {
        Self::new(
            Code::InvalidS3BucketNameException,
            format!("Bucket name {bucket} is not valid."),
        )
    }

    /// AWS's sentence is not known.
    pub fn prefix(reason: impl Into<String>) -> Self {
        Self::new(Code::InvalidS3PrefixException, reason)
    }

    pub fn no_such_bucket(bucket: &str) -> Self {
        Self::new(
            Code::S3BucketDoesNotExistException,
            format!("S3 bucket {bucket} does not exist!"),
        )
    }

    pub fn bucket_policy(bucket: &str) -> Self {
        Self::new(
            Code::InsufficientS3BucketPolicyException,
            format!("Incorrect S3 bucket policy is detected for bucket: {bucket}"),
        )
    }

    /// AWS's sentence is not known.
    pub fn topic_name(topic: &str) -> Self {
        Self::new(
            Code::InvalidSnsTopicNameException,
            format!("SNS topic name {topic} is not valid."),
        )
    }

    pub fn topic_refused() -> Self {
        Self::new(
            Code::InsufficientSnsTopicPolicyException,
            "SNS Topic does not exist or the topic policy is incorrect!",
        )
    }

    /// A service that localtrail needs does not answer. AWS has no such error: it owns those services.
    pub fn target_unreachable(what: &str, source: TargetError) -> Self {
        Self::new(
            Code::ServiceUnavailable,
            format!("{what} could not be checked: {}", source.message),
        )
        .caused_by(source)
    }

    pub fn log_group() -> Self {
        Self::new(
            Code::InvalidCloudWatchLogsLogGroupArnException,
            "CloudTrail cannot validate the specified log group ARN.",
        )
    }

    /// There is no CloudWatch Logs to ask. AWS's sentence, and what to do about it.
    pub fn no_log_groups() -> Self {
        Self::new(
            Code::InvalidCloudWatchLogsLogGroupArnException,
            "CloudTrail cannot validate the specified log group ARN. There is no CloudWatch Logs here: name one with \
             --logs-endpoint or --upstream.",
        )
    }

    /// AWS's sentence is not known.
    pub fn log_group_missing() -> Self {
        Self::new(
            Code::InvalidCloudWatchLogsLogGroupArnException,
            "You must specify a log group ARN together with the role ARN.",
        )
    }

    /// AWS's sentence for a role that is not an ARN is not known; this is the one for a role that does not trust.
    pub fn logs_role() -> Self {
        Self::new(
            Code::InvalidCloudWatchLogsRoleArnException,
            "Access denied. Verify in IAM that the role has adequate trust relationships.",
        )
    }

    /// AWS's sentence is not known.
    pub fn logs_role_missing() -> Self {
        Self::new(
            Code::InvalidCloudWatchLogsRoleArnException,
            "You must specify a role ARN together with the log group ARN.",
        )
    }

    /// AWS's sentence is not known.
    pub fn kms_key(key: &str) -> Self {
        Self::new(
            Code::InvalidKmsKeyIdException,
            format!("The KMS key identifier {key} is not valid."),
        )
    }

    /// AWS's sentence is not known.
    pub fn kms_key_not_found(key: &str) -> Self {
        Self::new(
            Code::KmsKeyNotFoundException,
            format!("KMS key {key} does not exist, or is not in the region of the S3 bucket."),
        )
    }

    /// There is no KMS to ask whose the alias is.
    pub fn no_kms_aliases(alias: &str) -> Self {
        Self::new(
            Code::KmsKeyNotFoundException,
            format!(
                "The key of {alias} is not known. There is no KMS here: name one with --kms-endpoint or --upstream, or \
                 give the key's own id or ARN."
            ),
        )
    }

    /// AWS's sentence is not known.
    pub fn kms_key_disabled(key: &str) -> Self {
        Self::new(
            Code::KmsKeyDisabledException,
            format!("KMS key {key} is not enabled."),
        )
    }

    pub fn encryption_policy(bucket: &str, key: &str) -> Self {
        Self::new(
            Code::InsufficientEncryptionPolicyException,
            format!("Insufficient permissions to access S3 bucket {bucket} or KMS key {key}."),
        )
    }

    /// AWS's sentence is not known.
    pub fn no_organization() -> Self {
        Self::new(
            Code::OrganizationsNotInUseException,
            "Your account is not a member of an organization.",
        )
    }
}

/// Organizations. AWS's sentences are not known.
impl Error {
    pub fn not_master_account() -> Self {
        Self::new(
            Code::NotOrganizationMasterAccountException,
            "Only the management account or a delegated administrator of the organization can do this.",
        )
    }

    pub fn not_management_account() -> Self {
        Self::new(
            Code::NotOrganizationManagementAccountException,
            "Only the management account of the organization can do this.",
        )
    }

    pub fn organization_without_all_features() -> Self {
        Self::new(
            Code::OrganizationNotInAllFeaturesModeException,
            "The organization does not have all features enabled.",
        )
    }

    pub fn no_trusted_access() -> Self {
        Self::new(
            Code::CloudTrailAccessNotEnabledException,
            "Trusted access of cloudtrail.amazonaws.com is not enabled in the organization.",
        )
    }

    pub fn account_not_found(account: &str) -> Self {
        Self::new(
            Code::AccountNotFoundException,
            format!("Account {account} is not in the organization."),
        )
    }

    pub fn account_registered(account: &str) -> Self {
        Self::new(
            Code::AccountRegisteredException,
            format!("Account {account} is a delegated administrator already."),
        )
    }

    pub fn account_not_registered(account: &str) -> Self {
        Self::new(
            Code::AccountNotRegisteredException,
            format!("Account {account} is not a delegated administrator."),
        )
    }

    pub fn cannot_delegate_management_account() -> Self {
        Self::new(
            Code::CannotDelegateManagementAccountException,
            "The management account cannot be a delegated administrator.",
        )
    }

    pub fn too_many_delegated(limit: usize) -> Self {
        Self::new(
            Code::DelegatedAdminAccountLimitExceededException,
            format!("The organization already has {limit} delegated administrators."),
        )
    }
}

/// Tags, selectors, look-ups.
impl Error {
    /// AWS's sentences are not known.
    pub fn tag(reason: impl Into<String>) -> Self {
        Self::new(Code::InvalidTagParameterException, reason)
    }

    /// AWS's sentence is not known.
    pub fn too_many_tags(limit: u32) -> Self {
        Self::new(
            Code::TagsLimitExceededException,
            format!("The number of tags per resource has exceeded the limit of {limit}."),
        )
    }

    /// AWS's sentences are not known, but for [`Self::data_resource_value`].
    pub fn selectors(reason: impl Into<String>) -> Self {
        Self::new(Code::InvalidEventSelectorsException, reason)
    }

    pub fn data_resource_value(value: &str) -> Self {
        Self::selectors(format!(
            "Value {value} for DataResources.Values is invalid."
        ))
    }

    pub fn insights_off(trail: &str) -> Self {
        Self::new(
            Code::InsightNotEnabledException,
            format!(
                "Trail {trail} does not have Insights enabled. Edit the trail settings to enable Insights, and then \
                 try the operation again."
            ),
        )
    }

    /// AWS's sentences are not known.
    pub fn insight_selectors(reason: impl Into<String>) -> Self {
        Self::new(Code::InvalidInsightSelectorsException, reason)
    }

    /// AWS's sentence is not known.
    pub fn trail_and_event_data_store() -> Self {
        Self::new(
            Code::InvalidParameterCombinationException,
            "You cannot specify TrailName together with EventDataStore or InsightsDestination.",
        )
    }

    /// AWS's sentence is not known.
    pub fn neither_trail_nor_event_data_store() -> Self {
        Self::new(
            Code::InvalidParameterCombinationException,
            "You must specify either TrailName or EventDataStore.",
        )
    }

    /// For operations that are built for trails alone. AWS's sentence is not known.
    pub fn no_event_data_stores() -> Self {
        Self::new(
            Code::UnsupportedOperationException,
            "Event data stores are not supported.",
        )
    }

    /// AWS's sentences are not known.
    pub fn lookup_attributes(reason: impl Into<String>) -> Self {
        Self::new(Code::InvalidLookupAttributesException, reason)
    }

    /// AWS's sentence is not known.
    pub fn event_category(category: &str) -> Self {
        Self::new(
            Code::InvalidEventCategoryException,
            format!("The event category {category} is not valid."),
        )
    }

    /// AWS's sentence is not known.
    pub fn max_results(limit: u32) -> Self {
        Self::new(
            Code::InvalidMaxResultsException,
            format!("MaxResults must be between 1 and {limit}."),
        )
    }

    /// AWS's sentence is not known.
    pub fn time_range() -> Self {
        Self::new(
            Code::InvalidTimeRangeException,
            "The start time must not be later than the end time.",
        )
    }

    /// AWS's sentence is not known.
    pub fn next_token() -> Self {
        Self::new(
            Code::InvalidNextTokenException,
            "The NextToken is not valid, or was used in a request with different parameters.",
        )
    }

    /// AWS's sentence is not known.
    pub fn token() -> Self {
        Self::new(Code::InvalidTokenException, "The NextToken is not valid.")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_fault_of_the_caller_is_400() {
        for &code in Code::ALL {
            let expected = match code {
                Code::InternalFailure => 500,
                Code::ServiceUnavailable => 503,
                Code::RequestEntityTooLargeException => 413,
                Code::RequestTimeoutException => 408,
                _ => 400,
            };
            assert_eq!(code.status(), expected, "{}", code.as_str());
        }
    }

    #[test]
    fn validation_errors_are_counted() {
        let one = Error::validation(&["a".to_owned()]);
        assert_eq!(one.message(), "1 validation error detected: a");
        let two = Error::validation(&["a".to_owned(), "b".to_owned()]);
        assert_eq!(two.message(), "2 validation errors detected: a; b");
    }
}
