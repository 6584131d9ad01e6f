//! Calls that CloudTrail does not log at all: neither as management nor as data events.
//!
//! The one place where it is decided that a call gets no record. Tables with their sources; what they do not name is
//! logged. A call that is only hidden from trails by default (a data event) is not one of these.

use super::Outcome;
use super::catalog::lists;
use crate::aws::Params;
use crate::aws::route::Call;

/// Operations: (botocore's name of the service, operations, a member whose presence makes it so).
#[rustfmt::skip]
const OPERATIONS: &[(&str, &str, Option<&str>)] = &[
    // AWS IoT Developer Guide, "Log AWS IoT API calls using CloudTrail": the device side's data plane is not logged.
    ("iot-data", "DeleteConnection GetRetainedMessage ListRetainedMessages Publish", None),
    // Lake Formation Developer Guide, "Security event logging": high-volume data plane operations.
    ("lakeformation", "GetTableObjects GetWorkUnitResults UpdateTableObjects", None),
    // CloudWatch Logs User Guide, "Logging API calls in CloudTrail", lists the actions that are logged without it.
    ("logs", "PutLogEvents", None),
    // API references of both operations.
    ("rds", "DeleteCustomDBEngineVersion ModifyCustomDBEngineVersion", None),
    // SageMaker Developer Guide, "Log SageMaker API calls with CloudTrail": all calls with these exceptions.
    ("sagemaker-runtime", "InvokeEndpoint InvokeEndpointAsync", None),
    // SNS Developer Guide, "Logging SNS API calls using CloudTrail": `AWS::SNS::PhoneNumber` is not logged.
    ("sns", "Publish", Some("PhoneNumber")),
    // API references of both operations.
    ("stepfunctions", "GetActivityTask StartSyncExecution", None),
];

/// Errors that AWS gives before a call reaches its service.
const ERRORS: &[&str] = &[
    "AuthFailure",
    "AuthorizationHeaderMalformed",
    "ExpiredToken",
    "ExpiredTokenException",
    "IncompleteSignature",
    "IncompleteSignatureException",
    "InvalidAccessKeyId",
    "InvalidClientTokenId",
    "InvalidSignatureException",
    "MissingAuthenticationToken",
    "MissingAuthenticationTokenException",
    "RequestEntityTooLargeException",
    "SerializationException",
    "SignatureDoesNotMatch",
    "UnknownOperationException",
    "UnrecognizedClientException",
];

/// Whether CloudTrail writes a record of this call.
pub fn is_logged(call: &Call, params: Option<&Params>, outcome: &Outcome) -> bool {
    if let Outcome::Failure(error) = outcome
        && ERRORS.contains(&error.code.as_str())
    {
        return false;
    }
    !OPERATIONS.iter().any(|(service, operations, member)| {
        *service == &*call.service.id
            && lists(operations, &call.operation.name)
            && member.is_none_or(|member| params.is_some_and(|params| params.contains_key(member)))
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::testing::TestCall;
    use super::*;
    use crate::aws::models;
    use crate::aws::params::WireError;

    #[test]
    fn calls_that_are_not_logged() {
        for (service, operation, params, logged) in [
            ("logs", "PutLogEvents", json!({}), false),
            ("logs", "CreateLogStream", json!({}), true),
            ("events", "PutEvents", json!({}), true),
            ("events", "PutRule", json!({}), true),
            ("sns", "Publish", json!({"PhoneNumber": "+15550100"}), false),
            ("sns", "Publish", json!({"TopicArn": "t"}), true),
            ("stepfunctions", "StartSyncExecution", json!({}), false),
            ("stepfunctions", "StartExecution", json!({}), true),
            // Not logged by default, but a trail may ask for them.
            ("s3", "GetObject", json!({}), true),
            ("sqs", "SendMessage", json!({}), true),
            ("kinesis", "PutRecord", json!({}), true),
        ] {
            let call = TestCall::new(service, operation, params);
            let is_logged = is_logged(&call.call, call.params.as_ref(), &call.outcome);
            assert_eq!(is_logged, logged, "{service} {operation}");
        }
    }

    #[test]
    fn what_is_refused_before_it_reaches_its_service_is_not_logged() {
        let call = TestCall::new("iam", "ListUsers", json!({}));
        for (code, logged) in [("InvalidClientTokenId", false), ("AccessDenied", true)] {
            let error = WireError {
                code: code.to_owned(),
                ..WireError::default()
            };
            assert_eq!(
                is_logged(&call.call, None, &Outcome::Failure(error)),
                logged,
                "{code}"
            );
        }
    }

    #[test]
    fn every_row_names_operations_and_members_of_the_models() {
        for (id, operations, member) in OPERATIONS {
            let service = models().service(id).unwrap_or_else(|| panic!("{id}"));
            for name in operations.split(' ') {
                let operation = service.operation(name);
                let operation = operation.unwrap_or_else(|| panic!("{id} {name}"));
                let input = operation.input.and_then(|input| service.structure(input));
                if let Some(member) = member {
                    assert!(input.unwrap().member(member).is_some(), "{id} {member}");
                }
            }
        }
    }
}
