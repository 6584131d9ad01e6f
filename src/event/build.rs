//! [`Exchange`] and [`Principal`] → [`Event`]: the frame of a record, and the order in which its parts are made.
//!
//! Every call gets a record, whatever was sent: what does not fit the model is left out, what is too long is cut or
//! left out, and nothing here can fail. Parameters and answers are moved, not copied.

use http::header::USER_AGENT;
use http::request::Parts;
use http::{HeaderMap, StatusCode};
use serde_json::{Value, json};

use super::catalog;
use super::identity::user_identity;
use super::names;
use super::render::Render;
use super::resources::{self, Place, resources};
use super::secrets;
use super::size;
use super::style::Style;
use super::values::{self, cut};
use super::{Event, Exchange, Outcome, Principal, Resource, version};
use super::{apigateway, dynamodb, ec2, s3, sts};
use crate::aws::Params;
use crate::aws::model::{Kind, Operation, Protocol, Service};
use crate::aws::params::{self, WireError};
use crate::aws::route::Call;

/// Codes of all services that mean that the caller may not.
const DENIALS: &[&str] = &[
    "AccessDenied",
    "AccessDeniedException",
    "AuthorizationError",
    "AuthorizationErrorException",
    "Client.UnauthorizedOperation",
    "UnauthorizedOperation",
];

/// Services that write a denied call's parameters down, besides those behind API Gateway.
const KEEP_DENIED: &[&str] = &["ce", "ec2", "s3", "s3control", "sts"];

/// Services behind API Gateway that do not.
const DROP_DENIED: &[&str] = &["amplify", "mq", "notifications"];

/// Services that give errors no message of their own: theirs says so.
const SILENT: &[&str] = &["autoscaling", "backup", "elasticbeanstalk", "glue"];

/// Services whose answers are one structure, written without the member that holds it.
const UNWRAPPED: &[&str] = &["docdb", "elasticache", "neptune", "rds", "redshift"];

/// Operations of these that came too late for that: those of proxies. Part of the name.
const WRAPPED: &[(&str, &str)] = &[("rds", "DBProxy")];

/// REST services that write an answer's payload under its name all the same.
const KEEP_PAYLOAD: &[&str] = &["appmesh"];

/// The record of a call, as AWS would write it. `event_version` is `1.11` or an older one (`--event-version`); members
/// that are younger go last, with [`Event::of_its_version`].
pub fn build(exchange: Exchange<'_>, principal: &Principal, event_version: &str) -> Event {
    let (service, operation) = (exchange.call.service, exchange.call.operation);
    let minor = version::minor(event_version);
    let style = Style::of(service, operation);
    let data_event = catalog::data_event(service, operation);

    // What is told of the whole exchange, before parameters and answer are moved out of it.
    let resources = named_resources(&exchange, data_event);
    let event_source = names::event_source(service, operation, exchange.params.as_ref());
    let (source_ip_address, user_agent) = address_and_agent(&exchange, principal);
    let tls_details = tls_details(&exchange, principal);
    let additional_event_data = additional_event_data(&exchange);

    let denied = matches!(&exchange.outcome, Outcome::Failure(error) if is_denial(error));
    let request_parameters = if denied && !keeps_denied(service, style) {
        Value::Null
    } else {
        request_parameters(
            &exchange.call,
            style,
            exchange.parts,
            exchange.params,
            exchange.body,
            minor,
        )
    };
    let (error_code, error_message, response_elements) = match exchange.outcome {
        Outcome::Success(answer) => {
            let elements = response_elements(
                &exchange.call,
                style,
                answer,
                exchange.response_headers,
                &exchange.request_id,
            );
            let elements = match &*service.id {
                "kms" if catalog::is_answered(service, operation) => with_key(elements, &resources),
                _ => elements,
            };
            (None, None, elements)
        }
        Outcome::Failure(error) => {
            let code = error_code(service, &error, denied);
            let (message, elements) = error_message(service, style, error.message);
            (Some(code), message, elements)
        }
    };

    let access_key = exchange
        .signature
        .map(|signature| signature.access_key.as_str());
    let category = if data_event.is_some() {
        "Data"
    } else {
        "Management"
    };
    size::fit(Event {
        event_version: event_version.to_owned(),
        user_identity: user_identity(principal, access_key, minor),
        event_time: exchange.time,
        event_source,
        event_name: names::event_name(service, operation),
        aws_region: names::aws_region(service, exchange.region).to_owned(),
        source_ip_address,
        user_agent: user_agent.map(cut),
        error_code: error_code.map(cut),
        error_message: error_message.map(cut),
        request_parameters,
        response_elements,
        additional_event_data,
        request_id: Some(cut(exchange.request_id)),
        event_id: exchange.event_id,
        read_only: Some(catalog::is_read_only(service, operation)),
        resources,
        event_type: "AwsApiCall".to_owned(),
        api_version: names::api_version(service, minor).map(str::to_owned),
        management_event: Some(data_event.is_none()),
        recipient_account_id: Some(exchange.account.to_owned()),
        shared_event_id: None,
        service_event_details: None,
        vpc_endpoint_id: None,
        vpc_endpoint_account_id: None,
        event_category: Some(category.to_owned()),
        tls_details,
        session_credential_from_console: None,
        other: Params::new(),
    })
}

/// Whether the record of a call needs its answer. That of most calls that read does not, and theirs are the long ones.
pub fn needs_answer(call: &Call) -> bool {
    catalog::is_answered(call.service, call.operation)
        || resources::may_be_answered(&call.service.id)
}

/// The members of a call's answer, as [`Outcome`] has them; `None` where it cannot be read.
pub fn answer(call: &Call, status: StatusCode, headers: &HeaderMap, body: &[u8]) -> Option<Params> {
    match call.protocol {
        Protocol::Ec2 => params::ec2_response(call, body),
        _ => params::response(call, status, headers, body),
    }
    .ok()
}

/// The record's `resources`. A data event has at least its type: selectors ask for it.
fn named_resources(exchange: &Exchange<'_>, data_event: Option<&str>) -> Vec<Resource> {
    let answer = match &exchange.outcome {
        Outcome::Success(answer) => answer.as_ref(),
        Outcome::Failure(_) => None,
    };
    let place = Place {
        region: exchange.region,
        account: exchange.account,
    };
    let mut resources = match &exchange.params {
        Some(params) => resources(&exchange.call, params, answer, place),
        None => Vec::new(),
    };
    if let (Some(kind), true) = (data_event, resources.is_empty()) {
        resources.push(Resource {
            account_id: Some(exchange.account.to_owned()),
            kind: Some(kind.to_owned()),
            ..Resource::default()
        });
    }
    resources
}

/// `sourceIPAddress` and `userAgent`: a service that calls is named in place of both.
fn address_and_agent(exchange: &Exchange<'_>, principal: &Principal) -> (String, Option<String>) {
    if let Some(caller) = &principal.invoked_by {
        return (caller.clone(), Some(caller.clone()));
    }
    let agent = exchange
        .parts
        .headers
        .get(USER_AGENT)
        .map(|agent| String::from_utf8_lossy(agent.as_bytes()));
    let service = exchange.call.service;
    (
        exchange.source_ip.to_string(),
        // Whoever asks by a signed URL may have it there.
        agent.map(|agent| {
            let agent = secrets::without_signatures(&agent);
            names::user_agent(service, &agent).into_owned()
        }),
    )
}

/// Services do not tell how they are connected.
fn tls_details(exchange: &Exchange<'_>, principal: &Principal) -> Option<Value> {
    let tls = exchange.tls.as_ref()?;
    if principal.invoked_by.is_some() {
        return None;
    }
    let mut details = Params::new();
    details.insert("tlsVersion".to_owned(), tls.version.as_str().into());
    details.insert("cipherSuite".to_owned(), tls.cipher_suite.as_str().into());
    if let Some(host) = s3::host(exchange.parts) {
        details.insert("clientProvidedHostHeader".to_owned(), host.into());
    }
    Some(Value::Object(details))
}

fn request_parameters(
    call: &Call,
    style: Style,
    parts: &Parts,
    params: Option<Params>,
    body: Option<&[u8]>,
    minor: u32,
) -> Value {
    let (service, operation) = (call.service, call.operation);
    let params = match (&*service.id, params) {
        // Most of what S3 writes down stands in the head.
        ("s3" | "s3control", params) => {
            return s3::request(call, parts, &params.unwrap_or_default(), body, minor);
        }
        (_, None) => return Value::Null,
        ("ec2", Some(params)) => return ec2::request(service, operation, params),
        (_, Some(params)) => params,
    };
    let render = Render::new(service, style);
    let mut record = match (&*service.id, operation.input) {
        ("apigateway", _) => apigateway::request(&render, operation, params),
        ("dynamodb", Some(input)) => dynamodb::request(&render, operation, input, params),
        ("sts", Some(input)) => sts::request(&render, input, params),
        (_, Some(input)) => render.request(input, params),
        (_, None) => Params::new(),
    };
    for (name, value) in catalog::defaults(service, operation) {
        record.entry(name).or_insert(value);
    }
    values::object(record)
}

fn response_elements(
    call: &Call,
    style: Style,
    answer: Option<Params>,
    headers: &HeaderMap,
    request_id: &str,
) -> Value {
    let (service, operation) = (call.service, call.operation);
    if !catalog::is_answered(service, operation) {
        return Value::Null;
    }
    match &*service.id {
        "ec2" => return ec2::response(service, operation, answer, request_id),
        "s3" | "s3control" => return s3::response(headers),
        _ => {}
    }
    let (Some(output), Some(answer)) = (operation.output, answer) else {
        return Value::Null;
    };
    let render = Render::new(service, style);
    let elements = render.members(service.shape(output), answer);
    values::object(unwrapped(service, operation, elements))
}

/// KMS names the key that was changed, though few of its operations answer with it. Not where the answer tells all of
/// the key, nor where an alias alone does not say which key it is.
/// <https://docs.aws.amazon.com/kms/latest/developerguide/ct-creategrant.html>
fn with_key(elements: Value, resources: &[Resource]) -> Value {
    let mut arns = resources.iter().filter_map(|it| it.arn.as_deref());
    let Some(key) = arns.find(|arn| arn.contains(":key/")) else {
        return elements;
    };
    match elements {
        Value::Null => values::one("keyId", key.into()),
        Value::Object(mut elements) if !elements.values().any(Value::is_object) => {
            elements.entry("keyId").or_insert_with(|| key.into());
            Value::Object(elements)
        }
        elements => elements,
    }
}

/// The only structure of an answer in place of the answer, where the service writes it so.
fn unwrapped(service: &Service, operation: &Operation, mut elements: Params) -> Params {
    let structure = operation
        .output
        .and_then(|output| service.structure(output));
    let mut wrapped = WRAPPED.iter();
    let is_wrapped = wrapped.any(|(id, part)| *id == &*service.id && operation.name.contains(part));
    let holds_one = structure.is_some_and(|structure| match structure.members.as_slice() {
        [only] => {
            UNWRAPPED.contains(&&*service.id)
                && !is_wrapped
                && matches!(service.shape(only.shape).kind, Kind::Structure(_))
        }
        _ => false,
    }) || structure.is_some_and(|structure| {
        structure.payload.is_some()
            && service.protocol() == Protocol::RestJson
            && !KEEP_PAYLOAD.contains(&&*service.id)
    });
    let alone = holds_one && elements.len() == 1;
    match elements.values_mut().next() {
        Some(Value::Object(inner)) if alone => std::mem::take(inner),
        _ => elements,
    }
}

fn is_denial(error: &WireError) -> bool {
    DENIALS.contains(&&*error.code)
        || error
            .shape
            .as_deref()
            .is_some_and(|shape| DENIALS.contains(&shape))
}

fn keeps_denied(service: &Service, style: Style) -> bool {
    let id = &*service.id;
    KEEP_DENIED.contains(&id) || (style.fronted && !DROP_DENIED.contains(&id))
}

/// The exception's name; EC2 and S3 have codes of their own.
fn error_code(service: &Service, error: &WireError, denied: bool) -> String {
    let code = match &*service.id {
        "ec2" => {
            let side = if error.status >= 500 {
                "Server"
            } else {
                "Client"
            };
            return match &*error.code {
                code if code.starts_with("Client.") || code.starts_with("Server.") => {
                    code.to_owned()
                }
                "AccessDenied" | "AccessDeniedException" => {
                    "Client.UnauthorizedOperation".to_owned()
                }
                code => format!("{side}.{code}"),
            };
        }
        "s3" | "s3control" => &error.code,
        _ if denied => "AccessDenied",
        _ => error.shape.as_deref().unwrap_or(&error.code),
    };
    code.to_owned()
}

/// `errorMessage`, and `responseElements` of services that say it there.
fn error_message(
    service: &Service,
    style: Style,
    message: Option<String>,
) -> (Option<String>, Value) {
    match message.filter(|message| !message.is_empty()) {
        Some(message) if style.fronted => (None, json!({ "message": message })),
        Some(message) => (Some(message), Value::Null),
        None if SILENT.contains(&&*service.id) => {
            (Some("An unknown error occurred".to_owned()), Value::Null)
        }
        None => (None, Value::Null),
    }
}

fn additional_event_data(exchange: &Exchange<'_>) -> Option<Value> {
    match &*exchange.call.service.id {
        "s3" | "s3control" => Some(s3::additional_event_data(exchange)),
        "application-autoscaling" => Some(json!({"service": "application-autoscaling"})),
        "sts" => Some(sts::additional_event_data(exchange.parts, exchange.region)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use ciborium::cbor;
    use serde_json::json;

    use super::super::testing::{ACCOUNT, TestCall, parts, request_parameters};
    use super::super::{PrincipalKind, Tls};
    use super::*;
    use crate::aws::route::{self, Route};

    fn failure(code: &str, shape: Option<&str>, message: Option<&str>) -> Outcome {
        Outcome::Failure(WireError {
            code: code.to_owned(),
            shape: shape.map(str::to_owned),
            message: message.map(str::to_owned),
            status: 400,
        })
    }

    #[test]
    fn a_record_has_all_of_the_frame_in_its_order() {
        let event = TestCall::new("iam", "CreateUser", json!({"UserName": "Alice"}))
            .answered(&json!({"User": {"UserName": "Alice", "CreateDate": 1_713_499_200}}))
            .record();
        let expected = concat!(
            r#"{"eventVersion":"1.11","userIdentity":{"type":"Root","principalId":"111122223333","#,
            r#""arn":"arn:aws:iam::111122223333:root","accountId":"111122223333","accessKeyId":"AKIAEXAMPLEKEY000001"},"#,
            r#""eventTime":"2027-01-15T08:00:00Z","eventSource":"iam.amazonaws.com","eventName":"CreateUser","#,
            r#""awsRegion":"us-east-1","sourceIPAddress":"192.0.2.10","userAgent":"test/1.0","#,
            r#""requestParameters":{"userName":"Alice"},"#,
            r#""responseElements":{"user":{"userName":"Alice","createDate":"Apr 19, 2024 4:00:00 AM"}},"#,
            r#""requestID":"request-1","eventID":"5f1c4c3e-0000-4000-8000-000000000001","readOnly":false,"#,
            r#""eventType":"AwsApiCall","managementEvent":true,"recipientAccountId":"111122223333","#,
            r#""eventCategory":"Management"}"#,
        );
        assert_eq!(serde_json::to_string(&event).unwrap(), expected);
    }

    /// The requests are botocore's, byte for byte.
    #[test]
    fn calls_in_cbor_are_recorded_from_their_bytes() {
        let created = ciborium::Value::Tag(1, Box::new(1_713_499_200.25.into()));
        for (path, request, answer, parameters, elements) in [
            (
                "/service/GraniteServiceVersion20100801/operation/PutMetricAlarm",
                &b"\xaaiAlarmNamehhigh-cpurComparisonOperatortGreaterThanThresholdqEvaluationPeriods\x02\
                   jMetricNamenCPUUtilizationiNamespacegAWS/EC2fPeriod\x19\x01,iStatisticgAverageiThreshold\
                   \xfb@T \x00\x00\x00\x00\x00nActionsEnabled\xf4jDimensions\x81\xa2dNamejInstanceIdeValue\
                   si-0123456789abcdef0"[..],
                cbor!({}),
                json!({"alarmName": "high-cpu", "comparisonOperator": "GreaterThanThreshold",
                       "evaluationPeriods": 2, "metricName": "CPUUtilization", "namespace": "AWS/EC2", "period": 300,
                       "statistic": "Average", "threshold": 80.5, "actionsEnabled": false,
                       "dimensions": [{"name": "InstanceId", "value": "i-0123456789abcdef0"}]}),
                Value::Null,
            ),
            (
                "/service/GameLift/operation/CreateGameSession",
                b"\xa4gFleetIdgfleet-1x\x19MaximumPlayerSessionCount\ndNameagnGameProperties\x81\xa2cKeycmap\
                  eValueb\xc3\xa9",
                cbor!({"GameSession" => {"Status" => "ACTIVATING", "CreationTime" => created,
                       "CurrentPlayerSessionCount" => 0, "MatchmakerData" => null, "Unheard" => [1]}}),
                json!({"fleetId": "fleet-1", "maximumPlayerSessionCount": 10, "name": "g",
                       "gameProperties": [{"key": "map", "value": "é"}]}),
                json!({"gameSession": {"status": "ACTIVATING", "creationTime": "Apr 19, 2024, 4:00:00 AM",
                       "currentPlayerSessionCount": 0}}),
            ),
        ] {
            let head = parts(path, &[("smithy-protocol", "rpc-v2-cbor")]);
            let Route::Call(call) = route::find(&head, None, request) else {
                panic!("{path}")
            };
            let mut bytes = Vec::new();
            ciborium::into_writer(&answer.unwrap(), &mut bytes).unwrap();
            let answer = params::response(&call, StatusCode::OK, &HeaderMap::new(), &bytes);
            let mut test = TestCall::new(&call.service.id, &call.operation.name, json!({}));
            test.call = call;
            test.params = params::request(&call, &head, request).ok();
            test.outcome = Outcome::Success(answer.ok());
            test.parts = head;
            let event = test.record();
            assert_eq!(event.request_parameters, parameters);
            assert_eq!(event.response_elements, elements);
        }
    }

    #[test]
    fn the_version_of_an_api_is_named_before_1_09() {
        for (version, named) in [
            ("1.02", true),
            ("1.08", true),
            ("1.09", false),
            ("1.11", false),
        ] {
            let call = TestCall::new("logs", "DeleteLogGroup", json!({"logGroupName": "g"}));
            let event = call.record_as(&Principal::root(ACCOUNT, "aws"), version);
            assert_eq!(event.api_version.is_some(), named, "{version}");
        }
    }

    #[test]
    fn a_denied_call_keeps_its_parameters_only_where_the_service_does() {
        for (service, operation, params, kept, code) in [
            (
                "iam",
                "GetUser",
                json!({"UserName": "a"}),
                false,
                "AccessDenied",
            ),
            (
                "kms",
                "DescribeKey",
                json!({"KeyId": "a"}),
                false,
                "AccessDenied",
            ),
            (
                "sts",
                "AssumeRole",
                json!({"RoleSessionName": "a"}),
                true,
                "AccessDenied",
            ),
            (
                "guardduty",
                "GetDetector",
                json!({"DetectorId": "a"}),
                true,
                "AccessDenied",
            ),
            (
                "ec2",
                "DeleteVpc",
                json!({"VpcId": "a"}),
                true,
                "Client.UnauthorizedOperation",
            ),
        ] {
            let mut call = TestCall::new(service, operation, params);
            call.outcome = failure("AccessDeniedException", None, Some("no"));
            let event = call.record();
            assert_eq!(!event.request_parameters.is_null(), kept, "{service}");
            assert_eq!(event.error_code.as_deref(), Some(code), "{service}");
        }
    }

    #[test]
    fn errors_have_the_exceptions_name_and_the_services_message() {
        for (service, operation, error, code, message, elements) in [
            (
                "iam",
                "GetUser",
                failure("NoSuchEntity", Some("NoSuchEntityException"), Some("gone")),
                "NoSuchEntityException",
                Some("gone"),
                Value::Null,
            ),
            (
                "ec2",
                "DeleteVpc",
                failure("InvalidVpcID.NotFound", None, Some("gone")),
                "Client.InvalidVpcID.NotFound",
                Some("gone"),
                Value::Null,
            ),
            (
                "s3",
                "GetBucketPolicy",
                failure("NoSuchBucketPolicy", None, Some("gone")),
                "NoSuchBucketPolicy",
                Some("gone"),
                Value::Null,
            ),
            (
                "eks",
                "DescribeCluster",
                failure("ResourceNotFoundException", None, Some("gone")),
                "ResourceNotFoundException",
                None,
                json!({"message": "gone"}),
            ),
            (
                "autoscaling",
                "SetDesiredCapacity",
                failure("InternalFailure", None, None),
                "InternalFailure",
                Some("An unknown error occurred"),
                Value::Null,
            ),
        ] {
            let mut call = TestCall::new(service, operation, json!({}));
            call.outcome = error;
            let event = call.record();
            assert_eq!(event.error_code.as_deref(), Some(code));
            assert_eq!(event.error_message.as_deref(), message, "{code}");
            assert_eq!(event.response_elements, elements, "{code}");
        }
    }

    #[test]
    fn what_an_answer_leaves_in_the_record() {
        for (service, operation, answer, expected) in [
            // Reads leave nothing, but AssumeRole: who has become whom, without the secrets.
            (
                "iam",
                "GetUser",
                json!({"User": {"UserName": "a"}}),
                Value::Null,
            ),
            (
                "sts",
                "AssumeRole",
                json!({"Credentials": {"AccessKeyId": "ASIAEXAMPLE000000001", "SecretAccessKey": "s",
                       "SessionToken": "t", "Expiration": 1_713_499_200}}),
                json!({"credentials": {"accessKeyId": "ASIAEXAMPLE000000001",
                       "expiration": "Apr 19, 2024, 4:00:00 AM"}}),
            ),
            ("iam", "DeleteUser", json!({}), Value::Null),
            (
                "iam",
                "CreateVirtualMFADevice",
                json!({"VirtualMFADevice": {"SerialNumber": "arn:aws:iam::111122223333:mfa/m",
                       "Base32StringSeed": "cw==", "QRCodePNG": "cw=="}}),
                json!({"virtualMFADevice": {"serialNumber": "arn:aws:iam::111122223333:mfa/m"}}),
            ),
            (
                "appmesh",
                "CreateMesh",
                json!({"mesh": {"meshName": "m"}}),
                json!({"mesh": {"meshName": "m"}}),
            ),
            (
                "codeguruprofiler",
                "ConfigureAgent",
                json!({"configuration": {"shouldProfile": true}}),
                json!({"shouldProfile": true}),
            ),
            (
                "rds",
                "DeleteDBSnapshot",
                json!({"DBSnapshot": {"DBSnapshotIdentifier": "d"}}),
                json!({"dBSnapshotIdentifier": "d"}),
            ),
            (
                "iam",
                "CreateAccessKey",
                json!({"AccessKey": {"UserName": "a", "AccessKeyId": "AKIAEXAMPLEKEY000002", "SecretAccessKey": "s"}}),
                json!({"accessKey": {"userName": "a", "accessKeyId": "AKIAEXAMPLEKEY000002"}}),
            ),
            (
                "dynamodb",
                "PutItem",
                json!({"Attributes": {"a": {"S": "v"}}}),
                Value::Null,
            ),
            (
                "rds",
                "CreateDBProxy",
                json!({"DBProxy": {"DBProxyName": "p"}}),
                json!({"dBProxy": {"dBProxyName": "p"}}),
            ),
            (
                "secretsmanager",
                "PutSecretValue",
                json!({"ARN": "arn:aws:secretsmanager:us-east-1:111122223333:secret:s-AbCdEf", "Name": "s",
                       "VersionId": "v", "VersionStages": ["AWSCURRENT"]}),
                json!({"arn": "arn:aws:secretsmanager:us-east-1:111122223333:secret:s-AbCdEf"}),
            ),
            (
                "ecs",
                "RegisterTaskDefinition",
                json!({"taskDefinition": {
                       "containerDefinitions": [{"environment": [{"name": "TOKEN", "value": "s"}]}],
                       "proxyConfiguration": {"properties": [{"name": "AppPorts", "value": "8090"}]}}}),
                json!({"taskDefinition": {
                       "containerDefinitions": [{"environment": "HIDDEN_DUE_TO_SECURITY_REASONS"}],
                       "proxyConfiguration": {"properties": [{"name": "AppPorts", "value": "8090"}]}}}),
            ),
        ] {
            let event = TestCall::new(service, operation, json!({}))
                .answered(&answer)
                .record();
            assert_eq!(event.response_elements, expected, "{operation}");
        }
    }

    #[test]
    fn kms_names_the_key_that_was_changed() {
        const KEY: &str = "arn:aws:kms:eu-west-1:111122223333:key/k";
        for (operation, params, answer, expected) in [
            (
                "CreateGrant",
                json!({"KeyId": "k"}),
                json!({"GrantId": "g"}),
                json!({"grantId": "g", "keyId": KEY}),
            ),
            (
                "EnableKey",
                json!({"KeyId": KEY}),
                json!({}),
                json!({"keyId": KEY}),
            ),
            // Whose alias it is, is not known.
            (
                "EnableKey",
                json!({"KeyId": "alias/a"}),
                json!({}),
                Value::Null,
            ),
            (
                "CreateKey",
                json!({}),
                json!({"KeyMetadata": {"KeyId": "k", "Arn": KEY}}),
                json!({"keyMetadata": {"keyId": "k", "arn": KEY}}),
            ),
            (
                "Encrypt",
                json!({"KeyId": "k"}),
                json!({"KeyId": KEY}),
                Value::Null,
            ),
        ] {
            let event = TestCall::new("kms", operation, params)
                .answered(&answer)
                .record();
            assert_eq!(event.response_elements, expected, "{operation}");
        }
    }

    #[test]
    fn names_are_spelled_as_the_service_spells_them() {
        for (service, operation, params, expected) in [
            (
                "rds",
                "DeleteDBInstance",
                json!({"DBInstanceIdentifier": "d", "SkipFinalSnapshot": true}),
                json!({"dBInstanceIdentifier": "d", "skipFinalSnapshot": true}),
            ),
            (
                "devops-guru",
                "DescribeAccountOverview",
                json!({"FromTime": 1_713_499_200.5, "ToTime": 1_713_499_201}),
                json!({"FromTime": 1_713_499_200.5, "ToTime": 1_713_499_201}),
            ),
            (
                "ce",
                "GetCostForecast",
                json!({"Metric": "M", "Granularity": "DAILY"}),
                json!({"Metric": "M", "Granularity": "DAILY"}),
            ),
            (
                "eks",
                "ListAccessEntries",
                json!({"clusterName": "c", "maxResults": 5}),
                json!({"name": "c", "maxResults": "5"}),
            ),
            (
                "guardduty",
                "GetDetector",
                json!({"DetectorId": "d"}),
                json!({"detectorId": "d"}),
            ),
            (
                "mq",
                "DescribeBroker",
                json!({"BrokerId": "b"}),
                json!({"broker-id": "b"}),
            ),
            (
                "codeartifact",
                "DeleteDomain",
                json!({"domain": "d", "domainOwner": "111122223333"}),
                json!({"domain": "d", "domainOwner": "111122223333"}),
            ),
            (
                "kms",
                "TagResource",
                json!({"KeyId": "k", "Tags": [{"TagKey": "A", "TagValue": "b"}]}),
                json!({"keyId": "k", "tags": [{"tagKey": "A", "tagValue": "b"}]}),
            ),
            // A map's keys are the caller's.
            (
                "lambda",
                "TagResource",
                json!({"Resource": "r", "Tags": {"Team": "X"}}),
                json!({"resource": "r", "tags": {"Team": "X"}}),
            ),
            ("iam", "ListUsers", json!({}), Value::Null),
            ("iam", "GetUser", json!({"NoSuchMember": 1}), Value::Null),
            (
                "iam",
                "CreateLoginProfile",
                json!({"UserName": "a", "Password": "p"}),
                json!({"userName": "a", "passwordResetRequired": false}),
            ),
            (
                "lambda",
                "CreateFunction",
                json!({"FunctionName": "f", "Code": {"ZipFile": "UEs="},
                       "Environment": {"Variables": {"A": "b"}}}),
                json!({"functionName": "f", "code": {}, "environment": {}, "publish": false}),
            ),
            (
                "pinpoint",
                "CreateCampaign",
                json!({"ApplicationId": "a", "WriteCampaignRequest": {"SegmentId": "s"}}),
                json!({"application-id": "a", "SegmentId": "s"}),
            ),
            (
                "wafv2",
                "CreateIPSet",
                json!({"Name": "n", "Scope": "REGIONAL"}),
                json!({"name": "n", "scope": "REGIONAL"}),
            ),
        ] {
            assert_eq!(
                request_parameters(service, operation, params),
                expected,
                "{service} {operation}"
            );
        }
    }

    #[test]
    fn parameters_that_could_not_be_read_leave_null() {
        let mut call = TestCall::new("iam", "CreateUser", json!({}));
        call.params = None;
        assert_eq!(call.record().request_parameters, Value::Null);
    }

    #[test]
    fn parameters_that_are_too_large_leave_a_note() {
        let policy = "x".repeat(200 * 1024);
        let noted = request_parameters("iam", "CreatePolicy", json!({"PolicyDocument": policy}));
        assert_eq!(noted["omitted"], true);
    }

    #[test]
    fn a_calling_service_stands_for_address_agent_and_connection() {
        let mut caller = Principal::root(ACCOUNT, "aws");
        caller.kind = PrincipalKind::AWSService;
        caller.invoked_by = Some("cloudtrail.amazonaws.com".to_owned());
        let event =
            TestCall::new("s3", "GetBucketAcl", json!({"Bucket": "b"})).record_as(&caller, "1.11");
        assert_eq!(event.source_ip_address, "cloudtrail.amazonaws.com");
        assert_eq!(
            event.user_agent.as_deref(),
            Some("cloudtrail.amazonaws.com")
        );
        assert_eq!(event.tls_details, None);
    }

    #[test]
    fn tls_is_told_with_the_host_that_was_asked_for() {
        let principal = Principal::root(ACCOUNT, "aws");
        let call = TestCall::new("iam", "ListUsers", json!({}));
        let headers = HeaderMap::new();
        let head = parts("/", &[]);
        let exchange = Exchange {
            call: call.call,
            parts: &head,
            signature: None,
            params: call.params,
            body: None,
            outcome: Outcome::Success(None),
            response_headers: &headers,
            bytes_in: 0,
            bytes_out: 0,
            time: chrono::DateTime::from_timestamp(0, 0).unwrap(),
            source_ip: "192.0.2.10".parse().unwrap(),
            request_id: String::new(),
            event_id: String::new(),
            region: "us-east-1",
            account: ACCOUNT,
            tls: Some(Tls {
                version: "TLSv1.3".to_owned(),
                cipher_suite: "TLS_AES_128_GCM_SHA256".to_owned(),
            }),
        };
        assert_eq!(
            build(exchange, &principal, "1.11").tls_details,
            Some(
                json!({"tlsVersion": "TLSv1.3", "cipherSuite": "TLS_AES_128_GCM_SHA256",
                        "clientProvidedHostHeader": "localhost:4580"})
            )
        );
    }
}
