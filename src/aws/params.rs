//! Bodies and heads of messages → [`Params`], by shape; and wire errors.
//!
//! Chooses the protocol's own file (`json`, `query`, `xml`, `rest`, `cbor`). Checks nothing that a service would check: a
//! value that does not fit its type is kept as it was sent. Only what is no JSON, XML or CBOR at all, or nested too
//! deeply, is an error.

use http::request::Parts;
use http::{HeaderMap, StatusCode};
use serde_json::Value;

use super::Params;
use super::model::{Kind, Protocol, Service, ShapeId};
use super::route::Call;
use super::{cbor, json, query, rest, xml};

/// Levels of structures, lists and maps that are followed. A DynamoDB item may have 32 of its own, and each takes two.
pub(super) const MAX_DEPTH: usize = 80;

/// Why a message does not fit its model.
#[derive(Debug, thiserror::Error)]
pub enum ParseError {
    #[error("not {format}: {reason}")]
    Syntax {
        format: &'static str,
        reason: String,
    },
    #[error("nested too deeply")]
    TooDeep,
}

/// An error answer of a service.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WireError {
    /// Code as the wire has it, without namespace: `NoSuchEntity`, `InvalidParameterValue`. An answer without one
    /// (to a HEAD, or a gateway's page) gets a word for its status: `NotFound`, `AccessDenied`.
    pub code: String,
    pub message: Option<String>,
    /// Name of the exception's shape where the model knows the code: `NoSuchEntityException`.
    pub shape: Option<String>,
    /// HTTP status of the answer.
    pub status: u16,
}

/// Codes of errors that come without any, by status.
const STATUS_CODES: &[(u16, &str)] = &[
    (301, "PermanentRedirect"),
    (304, "NotModified"),
    (307, "TemporaryRedirect"),
    (400, "BadRequest"),
    (401, "Unauthorized"),
    (403, "AccessDenied"),
    (404, "NotFound"),
    (405, "MethodNotAllowed"),
    (409, "Conflict"),
    (411, "MissingContentLength"),
    (412, "PreconditionFailed"),
    (413, "EntityTooLarge"),
    (416, "InvalidRange"),
    (429, "TooManyRequests"),
    (501, "NotImplemented"),
    (503, "ServiceUnavailable"),
];

/// Parameters of a request; `body` is already decoded (see [`super::body`]).
pub fn request(call: &Call, parts: &Parts, body: &[u8]) -> Result<Params, ParseError> {
    let Some(input) = call.operation.input else {
        return Ok(Params::new());
    };
    match call.protocol {
        Protocol::Json => json::parse(call.service, input, body),
        Protocol::Cbor => cbor::parse(call.service, input, body),
        Protocol::Query | Protocol::Ec2 => query::parse(call, input, parts, body),
        Protocol::RestJson | Protocol::RestXml => rest::request(call, input, parts, body),
    }
}

/// What the members of a message are called that is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Names {
    /// As in the model: `InstanceId`.
    Model,
    /// As on the wire, its first letter in lower case: `instanceId`.
    Wire,
}

/// Members of a successful answer.
pub fn response(
    call: &Call,
    status: StatusCode,
    headers: &HeaderMap,
    body: &[u8],
) -> Result<Params, ParseError> {
    let Some(output) = call.operation.output else {
        return Ok(Params::new());
    };
    match call.protocol {
        Protocol::Json => json::parse(call.service, output, body),
        Protocol::Cbor => cbor::parse(call.service, output, body),
        Protocol::Query | Protocol::Ec2 => xml::answer(call, output, Names::Model, body),
        Protocol::RestJson | Protocol::RestXml => {
            rest::response(call, output, status, headers, body)
        }
    }
}

/// Members of a successful answer of EC2 by their names on the wire, the first letter in lower case: `instanceId`.
pub fn ec2_response(call: &Call, body: &[u8]) -> Result<Params, ParseError> {
    match call.operation.output {
        Some(output) => xml::answer(call, output, Names::Wire, body),
        None => Ok(Params::new()),
    }
}

/// The error in an answer whose status is not 2xx.
///
/// The body is read as what it looks like, not as what the protocol says: emulators and what stands before them answer
/// in other formats too.
pub fn error(call: &Call, status: StatusCode, headers: &HeaderMap, body: &[u8]) -> WireError {
    let first = body.iter().find(|byte| !byte.is_ascii_whitespace());
    let (code, message) = match first {
        Some(b'<') | Some(0xef) => xml::error(body),
        Some(b'{') => json::error(body),
        Some(_) if call.protocol == Protocol::Cbor => cbor::error(body),
        _ => (None, None),
    };
    let text = |name: &str| {
        let value = headers.get(name)?.to_str().ok()?.trim();
        (!value.is_empty()).then(|| value.to_owned())
    };
    let code = text("x-amzn-errortype").or(code).map(|c| bare(&c));
    // The code that the service had before it spoke JSON; SDKs show it in place of the other.
    let former = text("x-amzn-query-error")
        .and_then(|value| value.split(';').next().map(str::to_owned))
        .filter(|former| !former.is_empty());
    let shape = [&code, &former]
        .into_iter()
        .flatten()
        .find_map(|code| exception(call, code));
    let by_status = || {
        let known = STATUS_CODES.iter().find(|(s, _)| *s == status.as_u16());
        known.map_or("InternalError", |(_, code)| code).to_owned()
    };
    WireError {
        code: former.or(code).unwrap_or_else(by_status),
        message: message.or_else(|| text("x-amzn-error-message")),
        shape,
        status: status.as_u16(),
    }
}

/// A code without its namespace: `a.b#Code:http://…` is `Code`.
fn bare(code: &str) -> String {
    let code = code.split(':').next().unwrap_or_default();
    let code = code.rsplit('#').next().unwrap_or_default();
    code.to_owned()
}

/// Name of the exception with this code: of the operation's own, else of the service's.
fn exception(call: &Call, code: &str) -> Option<String> {
    let service = call.service;
    let has_code = |id: &ShapeId| {
        let shape = service.shape(*id);
        let own = match &shape.kind {
            Kind::Structure(structure) => structure.error.as_ref(),
            _ => None,
        };
        own.is_some_and(|error| &*shape.name == code || error.code.as_deref() == Some(code))
    };
    let declared = call.operation.errors.iter().copied();
    let id = declared.chain(shape_ids(service)).find(has_code)?;
    Some(service.shape(id).name.to_string())
}

fn shape_ids(service: &Service) -> impl Iterator<Item = ShapeId> {
    (0..service.shapes.len()).filter_map(|index| u32::try_from(index).ok().map(ShapeId))
}

/// The request id that the client saw: from the headers, else from the body.
pub fn request_id(headers: &HeaderMap, body: &[u8]) -> Option<String> {
    let mut names = ["x-amzn-requestid", "x-amz-request-id"].iter();
    let header = names.find_map(|name| headers.get(*name)?.to_str().ok());
    if let Some(id) = header {
        return Some(id.to_owned());
    }
    let tags: [&[u8]; 3] = [b"<RequestId>", b"<RequestID>", b"<requestId>"];
    // It stands at the beginning (EC2) or at the end (query); few bytes of a large body need looking at, but all may.
    let starts = (0..body.len()).filter(|&at| body[at] == b'<');
    let mut texts = starts.filter_map(|at| {
        let tag = tags.iter().find(|tag| body[at..].starts_with(tag))?;
        let text = &body[at + tag.len()..];
        let length = text.iter().take(256).position(|&byte| byte == b'<')?;
        std::str::from_utf8(&text[..length]).ok().map(str::trim)
    });
    texts.find(|text| !text.is_empty()).map(str::to_owned)
}

/// Inserts a member's value, if there is one.
pub(super) fn insert(params: &mut Params, name: &str, value: Option<Value>) {
    if let Some(value) = value {
        params.insert(name.to_owned(), value);
    }
}

#[cfg(test)]
mod tests {
    use ciborium::cbor;
    use http::{HeaderMap, StatusCode};
    use proptest::prelude::{any, proptest};
    use serde_json::{Value, json};

    use super::{ParseError, error, request, request_id, response};
    use crate::aws::model::Protocol;
    use crate::aws::route::{Call, Route, find};
    use crate::aws::sigv4;
    use crate::aws::testing::{call, call_in, head, signed};

    fn params(call: &Call, line: &str, headers: &str, body: &str) -> Value {
        request(call, &head(line, headers), body.as_bytes())
            .unwrap()
            .into()
    }

    #[test]
    fn json_requests_are_read_by_shape() {
        let cases = [
            (
                "cloudtrail",
                "LookupEvents",
                r#"{"StartTime": 1700000000.0, "MaxResults": 5, "Unheard": 1, "NextToken": null}"#,
                json!({"StartTime": 1_700_000_000, "MaxResults": 5}),
            ),
            (
                "cloudtrail",
                "LookupEvents",
                r#"{"StartTime": "2023-11-14T22:13:20Z", "EndTime": 1.5, "MaxResults": "abc"}"#,
                json!({"StartTime": 1_700_000_000, "EndTime": 1.5, "MaxResults": "abc"}),
            ),
            ("cloudtrail", "LookupEvents", "", json!({})),
            ("cloudtrail", "LookupEvents", " null ", json!({})),
            (
                "dynamodb",
                "PutItem",
                r#"{"TableName": "é", "Item": {"k": {"B": "AAE=", "x": 1}, "l": {"L": [{"S": "s"}, {"NULL": true}]}}}"#,
                json!({"TableName": "é", "Item": {"k": {"B": "AAE="}, "l": {"L": [{"S": "s"}, {"NULL": true}]}}}),
            ),
            (
                "kms",
                "Encrypt",
                r#"{"Plaintext": "c2VjcmV0", "KeyId": ["odd"], "EncryptionContext": {"a": "b"}}"#,
                json!({"Plaintext": "c2VjcmV0", "KeyId": ["odd"], "EncryptionContext": {"a": "b"}}),
            ),
        ];
        for (service, operation, body, expected) in cases {
            let found = params(&call(service, operation), "POST /", "", body);
            assert_eq!(found, expected, "{body}");
        }
    }

    #[test]
    fn query_requests_are_read_by_shape() {
        let cases = [
            (
                "iam",
                "CreateUser",
                "Action=CreateUser&Version=2010-05-08&UserName=a%26b+c&Tags.member.1.Key=k&Tags.member.1.Value=&Other=1",
                json!({"UserName": "a&b c", "Tags": [{"Key": "k", "Value": ""}]}),
            ),
            (
                "iam",
                "CreateUser",
                "UserName=first&UserName=second&Tags=",
                json!({"UserName": "first", "Tags": []}),
            ),
            // Numbers need neither be in order nor follow one another; the model's element name may be left out.
            (
                "iam",
                "TagUser",
                "Tags.10.Key=c&Tags.2.Key=b&Tags.1.Key=a&UserName=u",
                json!({"Tags": [{"Key": "a"}, {"Key": "b"}, {"Key": "c"}], "UserName": "u"}),
            ),
            (
                "sns",
                "CreateTopic",
                "Name=t&Attributes.entry.1.key=K&Attributes.entry.1.value=V&Attributes.entry.2.key=L&Attributes.entry.2.value=",
                json!({"Name": "t", "Attributes": {"K": "V", "L": ""}}),
            ),
            (
                "sns",
                "Publish",
                "Message=m&MessageAttributes.entry.1.Name=n&MessageAttributes.entry.1.Value.DataType=Binary&MessageAttributes.entry.1.Value.BinaryValue=AAE%3D",
                json!({"Message": "m", "MessageAttributes": {"n": {"DataType": "Binary", "BinaryValue": "AAE="}}}),
            ),
            (
                "rds",
                "DescribeDBInstances",
                "MaxRecords=abc&Filters.Filter.1.Name=n&Filters.Filter.1.Values.Value.1=v",
                json!({"MaxRecords": "abc", "Filters": [{"Name": "n", "Values": ["v"]}]}),
            ),
            (
                "sts",
                "AssumeRole",
                "RoleArn=a&DurationSeconds=900",
                json!({"RoleArn": "a", "DurationSeconds": 900}),
            ),
        ];
        for (service, operation, body, expected) in cases {
            let found = params(&call(service, operation), "POST /", "", body);
            assert_eq!(found, expected, "{body}");
        }
        let in_uri = params(
            &call("sts", "AssumeRole"),
            "GET /?Action=AssumeRole&RoleArn=a%2Fb",
            "",
            "",
        );
        assert_eq!(in_uri, json!({"RoleArn": "a/b"}));
    }

    #[test]
    fn services_that_left_query_are_still_read_in_it() {
        let cases = [
            (
                "sqs",
                "CreateQueue",
                "QueueName=q&Attribute.1.Name=DelaySeconds&Attribute.1.Value=5&Tag.1.Key=k&Tag.1.Value=v",
                json!({"QueueName": "q", "Attributes": {"DelaySeconds": "5"}, "tags": {"k": "v"}}),
            ),
            (
                "sqs",
                "SendMessageBatch",
                "SendMessageBatchRequestEntry.1.Id=1&SendMessageBatchRequestEntry.1.MessageBody=m&SendMessageBatchRequestEntry.1.MessageAttribute.1.Name=n&SendMessageBatchRequestEntry.1.MessageAttribute.1.Value.StringValue=s",
                json!({"Entries": [{"Id": "1", "MessageBody": "m", "MessageAttributes": {"n": {"StringValue": "s"}}}]}),
            ),
            (
                "sqs",
                "ReceiveMessage",
                "AttributeName.1=All&MaxNumberOfMessages=10",
                json!({"AttributeNames": ["All"], "MaxNumberOfMessages": 10}),
            ),
            (
                "cloudwatch",
                "PutMetricData",
                "Namespace=n&MetricData.member.1.Value=1.5&MetricData.member.1.Timestamp=2023-11-14T22%3A13%3A20Z",
                json!({"Namespace": "n", "MetricData": [{"Value": 1.5, "Timestamp": 1_700_000_000}]}),
            ),
        ];
        for (service, operation, body, expected) in cases {
            let call = call_in(Protocol::Query, service, operation);
            assert_eq!(params(&call, "POST /", "", body), expected, "{body}");
        }
    }

    #[test]
    fn ec2_requests_are_read_by_shape() {
        let cases = [
            (
                "RunInstances",
                "ImageId=ami-1&MinCount=1&MaxCount=2&DryRun=true&SecurityGroupId.1=sg-1&BlockDeviceMapping.1.DeviceName=%2Fdev%2Fsda1&BlockDeviceMapping.1.Ebs.VolumeSize=8",
                json!({
                    "ImageId": "ami-1", "MinCount": 1, "MaxCount": 2, "DryRun": true, "SecurityGroupIds": ["sg-1"],
                    "BlockDeviceMappings": [{"DeviceName": "/dev/sda1", "Ebs": {"VolumeSize": 8}}],
                }),
            ),
            (
                "RunInstances",
                "TagSpecification.1.ResourceType=instance&TagSpecification.1.Tag.1.Key=k&TagSpecification.1.Tag.1.Value=v",
                json!({"TagSpecifications": [{"ResourceType": "instance", "Tags": [{"Key": "k", "Value": "v"}]}]}),
            ),
            (
                "DescribeInstances",
                "Filter.1.Name=n&Filter.1.Value.1=a&Filter.1.Value.2=b&InstanceId.1=i-1",
                json!({"Filters": [{"Name": "n", "Values": ["a", "b"]}], "InstanceIds": ["i-1"]}),
            ),
        ];
        for (operation, body, expected) in cases {
            assert_eq!(
                params(&call("ec2", operation), "POST /", "", body),
                expected,
                "{body}"
            );
        }
    }

    #[test]
    fn of_a_repeated_key_the_first_counts_however_many_there_are() {
        for count in [1, 15, 16, 17, 18, 100] {
            // Backwards, and then all of them again.
            let keys = |value: &'static str| {
                let keys = (1..=count).rev();
                keys.map(move |number| format!("InstanceId.{number}=i-{value}{number}"))
            };
            let form: Vec<String> = keys("").chain(keys("again-")).collect();
            let expected: Vec<String> = (1..=count).map(|number| format!("i-{number}")).collect();
            assert_eq!(
                params(
                    &call("ec2", "DescribeInstances"),
                    "POST /",
                    "",
                    &form.join("&")
                ),
                json!({ "InstanceIds": expected }),
                "{count}"
            );
        }
    }

    #[test]
    fn rest_requests_are_read_from_all_their_parts() {
        #[rustfmt::skip]
        let cases = [
            ("s3", "PutObject", "PUT /b/a%2Fb/%C3%A9?x-id=PutObject", "x-amz-meta-One: 1\nx-amz-acl: private\nx-amz-server-side-encryption-bucket-key-enabled: true\ncontent-length: 4", "body",
             json!({"Bucket": "b", "Key": "a/b/é", "ACL": "private", "ContentLength": 4, "BucketKeyEnabled": true, "Metadata": {"one": "1"}})),
            ("s3", "GetObject", "GET /k/?versionId=1", "host: b.localhost\nrange: bytes=0-1\nif-modified-since: Tue, 14 Nov 2023 22:13:20 GMT", "",
             json!({"Bucket": "b", "Key": "k/", "VersionId": "1", "IfModifiedSince": 1_700_000_000, "Range": "bytes=0-1"})),
            ("s3", "GetObjectAttributes", "GET /b/k?attributes", "x-amz-object-attributes: ETag, ObjectSize", "",
             json!({"Bucket": "b", "Key": "k", "ObjectAttributes": ["ETag", "ObjectSize"]})),
            ("s3", "PutBucketPolicy", "PUT /b?policy", "", r#"{"Version":"2012-10-17"}"#,
             json!({"Bucket": "b", "Policy": r#"{"Version":"2012-10-17"}"#})),
            ("s3", "PutBucketVersioning", "PUT /b?versioning", "", "<VersioningConfiguration xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><Status>Enabled</Status></VersioningConfiguration>",
             json!({"Bucket": "b", "VersioningConfiguration": {"Status": "Enabled"}})),
            ("s3", "DeleteObjects", "POST /b?delete", "", "<?xml version=\"1.0\"?>\n<Delete>\n <Object><Key>a &amp; b&#x20;</Key></Object>\n <Object><Key><![CDATA[<c>]]></Key></Object>\n <Quiet>true</Quiet>\n</Delete>",
             json!({"Bucket": "b", "Delete": {"Objects": [{"Key": "a & b "}, {"Key": "<c>"}], "Quiet": true}})),
            ("s3", "PutBucketAcl", "PUT /b?acl", "", r#"<AccessControlPolicy><AccessControlList><Grant><Grantee xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" xsi:type="Group"><URI>u</URI></Grantee><Permission>READ</Permission></Grant></AccessControlList></AccessControlPolicy>"#,
             json!({"Bucket": "b", "AccessControlPolicy": {"Grants": [{"Grantee": {"Type": "Group", "URI": "u"}, "Permission": "READ"}]}})),
            ("route53", "ChangeResourceRecordSets", "POST /2013-04-01/hostedzone/Z1/rrset/", "", "<ChangeResourceRecordSetsRequest><ChangeBatch><Changes><Change><Action>CREATE</Action><ResourceRecordSet><Name>n</Name><TTL>60</TTL></ResourceRecordSet></Change></Changes></ChangeBatch></ChangeResourceRecordSetsRequest>",
             json!({"HostedZoneId": "Z1", "ChangeBatch": {"Changes": [{"Action": "CREATE", "ResourceRecordSet": {"Name": "n", "TTL": 60}}]}})),
            ("lambda", "Invoke", "POST /2015-03-31/functions/arn%3Aaws%3Alambda%3Aus-east-1%3A111122223333%3Afunction%3Af/invocations?Qualifier=1", "x-amz-invocation-type: Event", "{}",
             json!({"FunctionName": "arn:aws:lambda:us-east-1:111122223333:function:f", "Qualifier": "1", "InvocationType": "Event", "Payload": "e30="})),
            ("lambda", "CreateFunction", "POST /2015-03-31/functions", "", r#"{"FunctionName":"f","Code":{"ZipFile":"AAE="},"Unheard":1}"#,
             json!({"FunctionName": "f", "Code": {"ZipFile": "AAE="}})),
            ("lambda", "UntagResource", "DELETE /2017-03-31/tags/a?tagKeys=x&tagKeys=y+z", "", "",
             json!({"Resource": "a", "TagKeys": ["x", "y z"]})),
            ("apigateway", "UpdateStage", "PATCH /restapis/r/stages/s", "", r#"{"patchOperations":[{"op":"replace"}]}"#,
             json!({"restApiId": "r", "stageName": "s", "patchOperations": [{"op": "replace"}]})),
            ("apigateway", "ImportRestApi", "POST /restapis?mode=import&failonwarnings=true&base=ignore", "", "{}",
             json!({"failOnWarnings": true, "parameters": {"base": "ignore"}, "body": "e30="})),
            ("lex-runtime", "PostContent", "POST /bot/b/alias/a/user/u/content", "x-amz-lex-session-attributes: eyJhIjoxfQ==\ncontent-type: text/plain", "audio",
             json!({"botName": "b", "botAlias": "a", "userId": "u", "sessionAttributes": r#"{"a":1}"#, "contentType": "text/plain"})),
            ("rum", "PutRumEvents", "POST /appmonitors/i/", "", r#"{"RumEvents":[{"metadata":"{}"}]}"#,
             json!({"Id": "i", "RumEvents": [{"metadata": "{}"}]})),
        ];
        for (service, operation, line, headers, body, expected) in cases {
            let found = params(&call(service, operation), line, headers, body);
            assert_eq!(found, expected, "{line}");
        }
    }

    #[test]
    fn cbor_requests_are_read_by_shape() {
        let timestamp = ciborium::Value::Tag(1, Box::new(1_700_000_000.5.into()));
        let body = cbor!({
            "Namespace" => "n",
            "Unheard" => 1,
            "MetricData" => [{ "Timestamp" => timestamp, "Value" => 2.0, "StorageResolution" => 60, "Unit" => null }],
        });
        let mut bytes = Vec::new();
        ciborium::into_writer(&body.unwrap(), &mut bytes).unwrap();
        let call = call("cloudwatch", "PutMetricData");
        let found = request(&call, &head("POST /", ""), &bytes).unwrap();
        let expected = json!({
            "Namespace": "n",
            "MetricData": [{"Timestamp": 1_700_000_000.5, "Value": 2.0, "StorageResolution": 60}],
        });
        assert_eq!(Value::Object(found), expected);
    }

    #[test]
    fn what_is_no_message_at_all_is_refused() {
        let deep_json = format!("{{\"Item\":{{\"k\":{}", "{\"L\":[".repeat(50));
        let deep_json = deep_json + &"]}".repeat(50) + "}}";
        let deep_xml = "<a>".repeat(90) + &"</a>".repeat(90);
        let deep_form = format!("Tags{}=x", ".member.1".repeat(200));
        let bomb =
            "<!DOCTYPE x [<!ENTITY a \"aaaa\">]><Delete><Object><Key>&a;</Key></Object></Delete>";
        let cases = [
            ("cloudtrail", "LookupEvents", "[1]"),
            ("cloudtrail", "LookupEvents", "{\"a\":"),
            ("dynamodb", "PutItem", deep_json.as_str()),
            ("s3", "DeleteObjects", "<Delete><Object>"),
            ("s3", "DeleteObjects", "<Delete></Object>"),
            (
                "s3",
                "DeleteObjects",
                "<Delete><Object><Key>&a;</Key></Object></Delete>",
            ),
            ("s3", "DeleteObjects", bomb),
            ("s3", "DeleteObjects", &deep_xml),
            ("iam", "CreateUser", &deep_form),
            ("cloudwatch", "PutMetricData", "text"),
        ];
        for (service, operation, body) in cases {
            let result = request(
                &call(service, operation),
                &head("POST /", ""),
                body.as_bytes(),
            );
            assert!(result.is_err(), "{service} {body}");
        }
        let deep = request(
            &call("iam", "CreateUser"),
            &head("POST /", ""),
            deep_form.as_bytes(),
        );
        assert!(matches!(deep, Err(ParseError::TooDeep)));
    }

    #[test]
    fn an_item_as_deep_as_dynamodb_allows_is_read() {
        let body = format!(
            "{{\"Item\":{{\"k\":{}{{\"S\":\"s\"}}{}}}}}",
            "{\"L\":[".repeat(31),
            "]}".repeat(31)
        );
        let found = params(&call("dynamodb", "PutItem"), "POST /", "", &body);
        assert_eq!(found, serde_json::from_str::<Value>(&body).unwrap());
    }

    #[test]
    fn answers_are_read_by_shape() {
        #[rustfmt::skip]
        let cases = [
            (call("cloudtrail", "CreateTrail"), "", r#"{"TrailARN":"a","IncludeGlobalServiceEvents":true,"x":1}"#,
             json!({"TrailARN": "a", "IncludeGlobalServiceEvents": true})),
            (call("sts", "GetCallerIdentity"), "", "<GetCallerIdentityResponse xmlns=\"u\"><GetCallerIdentityResult><Arn>a</Arn><UserId/></GetCallerIdentityResult><ResponseMetadata><RequestId>r</RequestId></ResponseMetadata></GetCallerIdentityResponse>",
             json!({"Arn": "a", "UserId": ""})),
            (call("sns", "GetTopicAttributes"), "", "<R><GetTopicAttributesResult><Attributes><entry><key>k</key><value>v</value></entry></Attributes></GetTopicAttributesResult></R>",
             json!({"Attributes": {"k": "v"}})),
            (call("ec2", "DescribeVpcs"), "", "<DescribeVpcsResponse><requestId>r</requestId><vpcSet><item><vpcId>v</vpcId><isDefault>false</isDefault><tagSet/></item></vpcSet></DescribeVpcsResponse>",
             json!({"Vpcs": [{"VpcId": "v", "IsDefault": false, "Tags": []}]})),
            (call("s3", "GetBucketLocation"), "", "<LocationConstraint xmlns=\"u\">eu-west-1</LocationConstraint>",
             json!({"LocationConstraint": "eu-west-1"})),
            (call("s3", "ListObjectsV2"), "", "<ListBucketResult><Contents><Key>a</Key><Size>1</Size><LastModified>2023-11-14T22:13:20.000Z</LastModified></Contents><Contents><Key>b</Key></Contents><KeyCount>2</KeyCount></ListBucketResult>",
             json!({"Contents": [{"Key": "a", "Size": 1, "LastModified": 1_700_000_000}, {"Key": "b"}], "KeyCount": 2})),
            (call("s3", "GetObject"), "etag: \"e\"\nx-amz-meta-a: b", "<body>",
             json!({"ETag": "\"e\"", "Metadata": {"a": "b"}})),
            (call("lambda", "Invoke"), "x-amz-executed-version: 1", "{}", json!({"StatusCode": 200, "ExecutedVersion": "1", "Payload": "e30="})),
            (call_in(Protocol::Query, "sqs", "ReceiveMessage"), "", "<R><ReceiveMessageResult><Message><Body>m</Body><Attribute><Name>SenderId</Name><Value>s</Value></Attribute></Message></ReceiveMessageResult></R>",
             json!({"Messages": [{"Body": "m", "Attributes": {"SenderId": "s"}}]})),
        ];
        for (call, headers, body, expected) in cases {
            let headers = head("GET /", headers).headers;
            let found = response(&call, StatusCode::OK, &headers, body.as_bytes()).unwrap();
            assert_eq!(Value::Object(found), expected, "{body}");
        }
    }

    #[test]
    fn errors_are_read_in_every_form() {
        #[rustfmt::skip]
        let cases = [
            (call("cloudtrail", "GetTrailStatus"), 400, "", r#"{"__type":"TrailNotFoundException","Message":"m"}"#, "TrailNotFoundException", Some("m"), Some("TrailNotFoundException")),
            (call("dynamodb", "PutItem"), 400, "", r#"{"__type":"com.amazonaws.dynamodb.v20120810#ResourceNotFoundException","message":"m"}"#, "ResourceNotFoundException", Some("m"), Some("ResourceNotFoundException")),
            (call("lambda", "GetFunction"), 404, "x-amzn-errortype: ResourceNotFoundException:http://internal.amazon.com/", r#"{"Message":"m"}"#, "ResourceNotFoundException", Some("m"), Some("ResourceNotFoundException")),
            (call("lambda", "GetFunction"), 404, "", r#"{"code":"NoSuchThing"}"#, "NoSuchThing", None, None),
            (call("sqs", "GetQueueUrl"), 400, "x-amzn-query-error: AWS.SimpleQueueService.NonExistentQueue;Sender", r#"{"__type":"com.amazonaws.sqs#QueueDoesNotExist"}"#, "AWS.SimpleQueueService.NonExistentQueue", None, Some("QueueDoesNotExist")),
            (call("iam", "GetUser"), 404, "", "<ErrorResponse xmlns=\"u\"><Error><Type>Sender</Type><Code>NoSuchEntity</Code><Message>a &lt;b&gt;</Message></Error><RequestId>r</RequestId></ErrorResponse>", "NoSuchEntity", Some("a <b>"), Some("NoSuchEntityException")),
            (call("rds", "DescribeDBInstances"), 404, "", "<ErrorResponse><Error><Code>DBInstanceNotFound</Code></Error></ErrorResponse>", "DBInstanceNotFound", None, Some("DBInstanceNotFoundFault")),
            (call("ec2", "DescribeVpcs"), 400, "", "<?xml version=\"1.0\"?>\n<Response><Errors><Error><Code>InvalidVpcID.NotFound</Code><Message>m</Message></Error></Errors><RequestID>r</RequestID></Response>", "InvalidVpcID.NotFound", Some("m"), None),
            (call("s3", "GetObject"), 404, "", "<Error><Code>NoSuchKey</Code><Message>m</Message></Error>", "NoSuchKey", Some("m"), Some("NoSuchKey")),
            (call("s3", "HeadObject"), 404, "", "", "NotFound", None, None),
            (call("s3", "HeadObject"), 403, "", "", "AccessDenied", None, None),
            (call("s3", "HeadObject"), 418, "", "", "InternalError", None, None),
            (call("s3", "GetObject"), 502, "", "<html><body>Bad gateway</body></html>", "InternalError", None, None),
            (call("iam", "GetUser"), 400, "", "plain text", "BadRequest", None, None),
        ];
        for (call, status, headers, body, code, message, shape) in cases {
            let status = StatusCode::from_u16(status).unwrap();
            let headers = head("GET /", headers).headers;
            let found = error(&call, status, &headers, body.as_bytes());
            let parts = (
                &*found.code,
                found.message.as_deref(),
                found.shape.as_deref(),
            );
            assert_eq!(parts, (code, message, shape), "{body}");
            assert_eq!(found.status, status);
        }
    }

    #[test]
    fn the_request_id_is_in_the_headers_or_the_body() {
        #[rustfmt::skip]
        let cases = [
            ("x-amzn-requestid: a", "<RequestId>b</RequestId>", Some("a")),
            ("x-amz-request-id: a", "", Some("a")),
            ("", "<R><ResponseMetadata><RequestId> b </RequestId></ResponseMetadata></R>", Some("b")),
            ("", "<R><requestId>c</requestId></R>", Some("c")),
            ("", "<R><Errors/><RequestID>d</RequestID></R>", Some("d")),
            ("", "<R><RequestId></RequestId></R>", None),
            ("", "<R><RequestId>cut", None),
            ("", "{}", None),
        ];
        for (headers, body, expected) in cases {
            let headers = head("GET /", headers).headers;
            assert_eq!(request_id(&headers, body.as_bytes()).as_deref(), expected);
        }
    }

    #[test]
    fn a_form_of_many_parameters_is_read_in_linear_time() {
        let pairs = (1..=20_000).map(|n| format!("&Tags.member.{n}.Key=k{n}"));
        let body = pairs.collect::<String>();
        let found = params(&call("iam", "TagUser"), "POST /", "", &body);
        assert_eq!(found["Tags"].as_array().unwrap().len(), 20_000);
    }

    /// One call of each protocol.
    fn calls() -> [Call; 8] {
        [
            call("cloudtrail", "PutEventSelectors"),
            call("dynamodb", "TransactWriteItems"),
            call("sns", "Publish"),
            call("ec2", "RunInstances"),
            call("lambda", "CreateFunction"),
            call("s3", "PutBucketLifecycleConfiguration"),
            call("route53", "ChangeResourceRecordSets"),
            call("cloudwatch", "PutMetricData"),
        ]
    }

    /// Bytes that look like a message more often than chance would have it.
    const PIECES: &[&[u8]] = &[
        b"<",
        b">",
        b"</",
        b"/>",
        b"<Rule>",
        b"</Rule>",
        b"&",
        b"&#",
        b";",
        b"&amp;",
        b"<!--",
        b"<![CDATA[",
        b"{",
        b"}",
        b"[",
        b"]",
        b"\"",
        b":",
        b",",
        b"\"Item\"",
        b"=",
        b".",
        b"1",
        b"Tags.member.1",
        b"%",
        b"%ff",
        b"\xff",
        b"\xc1\x80",
        b"\x9f",
        b"\xbf",
        b"\xa1",
        b"\x7f",
        b"\xfb",
        b"\n",
        b" ",
        b"\0",
    ];

    proptest! {
        #[test]
        fn no_bytes_make_the_parsers_panic(pieces in proptest::collection::vec(0..PIECES.len(), 0..60)) {
            let body: Vec<u8> = pieces.iter().flat_map(|&at| PIECES[at].iter().copied()).collect();
            let headers = HeaderMap::new();
            for call in calls() {
                let _ = request(&call, &head("POST /", ""), &body);
                let _ = response(&call, StatusCode::OK, &headers, &body);
                let _ = error(&call, StatusCode::BAD_REQUEST, &headers, &body);
            }
            let _ = request_id(&headers, &body);
            let _ = crate::aws::body::ChunkDecoder::default().push(&body);
        }

        #[test]
        fn no_random_body_makes_the_parsers_panic(body in proptest::collection::vec(any::<u8>(), 0..200)) {
            for call in calls() {
                let _ = request(&call, &head("POST /", ""), &body);
                let _ = error(&call, StatusCode::BAD_REQUEST, &HeaderMap::new(), &body);
            }
        }

        #[test]
        fn no_request_line_makes_routing_panic(path in "/[a-z%/?&=+.:-]{0,40}", host in "[a-z0-9.:-]{0,30}") {
            let form = "content-type: application/x-www-form-urlencoded\nx-amz-meta-a: b\n";
            for service in ["s3", "lambda", "sqs", "iot", "cloudfront"] {
                let parts = head(&format!("GET {path}"), &(signed(service) + form + "host: " + &host));
                let signature = sigv4::parse(&parts).unwrap_or_default();
                if let Route::Call(call) = find(&parts, signature.as_ref(), path.as_bytes()) {
                    let _ = request(&call, &parts, b"");
                }
            }
        }
    }
}
