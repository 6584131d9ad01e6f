//! What must not be written down, and what stands in its place.
//!
//! The rule that must hold: no secret gets into a record. Three nets, in this order: the table of members that
//! services hide or leave out whatever their model says; the model's `sensitive` mark; and names that only secrets
//! have. What a net catches is hidden at any depth, in requests and answers alike.

use std::borrow::Cow;

use serde_json::Value;

use crate::aws::model::{Kind, Member, Service, Shape};

/// What stands in a hidden member's place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Hide {
    /// This text, whatever the member's type.
    Text(&'static str),
    /// Nothing: the member is left out.
    Drop,
    /// `{}`
    Empty,
    /// A `ByteBuffer` of stars.
    Stars,
    /// Of a DynamoDB item the names of its attributes.
    Names,
    /// A DynamoDB key: its values without their types.
    Key,
    /// A PartiQL statement without its literals.
    Statement,
    /// A URL without what stands before its host.
    Url,
}

/// The text most services use.
pub(super) const HIDDEN: &str = "HIDDEN_DUE_TO_SECURITY_REASONS";
/// The text of services behind API Gateway.
pub(super) const STARS: &str = "***";

const OMITTED: &str = "***OMITTED***";
const REMOVED: &str = "<sensitiveDataRemoved>";

use Hide::{Drop, Empty, Stars, Text};

/// Members that a service hides, wherever they stand: (botocore's name of the service, member, how). Sorted by services.
#[rustfmt::skip]
const MEMBERS: &[(&str, &str, Hide)] = &[
    ("acm", "Passphrase", Stars),
    ("acm", "PrivateKey", Text("**********")),
    ("apigateway", "stageVariables", Text(STARS)),
    ("apigateway", "variables", Text(STARS)),
    ("apigatewayv2", "StageVariables", Text(STARS)),
    ("apprunner", "RuntimeEnvironmentVariables", Text(HIDDEN)),
    ("appsync", "requestMappingTemplate", Text(STARS)),
    ("appsync", "responseMappingTemplate", Text(STARS)),
    ("athena", "QueryString", Text(OMITTED)),
    ("autoscaling", "UserData", Text(REMOVED)),
    ("codebuild", "encryptionKey", Text(HIDDEN)),
    ("cognito-identity", "SecretKey", Drop),
    ("cognito-identity", "SessionToken", Drop),
    ("cognito-idp", "UserAttributes", Text(HIDDEN)),
    ("ec2", "KeyMaterial", Text(REMOVED)),
    ("ec2", "UserData", Text(REMOVED)),
    ("events", "Detail", Text(HIDDEN)),
    ("iam", "Base32StringSeed", Drop),
    ("iam", "NewPassword", Drop),
    ("iam", "OldPassword", Drop),
    ("iam", "Password", Drop),
    ("iam", "PrivateKey", Drop),
    ("iam", "QRCodePNG", Drop),
    ("iam", "SecretAccessKey", Drop),
    ("iam", "ServicePassword", Drop),
    ("kms", "CiphertextBlob", Drop),
    ("kms", "CiphertextForRecipient", Drop),
    ("kms", "EncryptedKeyMaterial", Drop),
    ("kms", "ImportToken", Drop),
    ("kms", "Mac", Drop),
    ("kms", "Message", Drop),
    ("kms", "Plaintext", Drop),
    ("kms", "PrivateKeyCiphertextBlob", Drop),
    ("kms", "PrivateKeyPlaintext", Drop),
    ("kms", "PublicKey", Drop),
    ("kms", "Signature", Drop),
    ("lambda", "Environment", Empty),
    ("lambda", "Payload", Drop),
    ("lambda", "ZipFile", Drop),
    ("network-firewall", "Description", Text(HIDDEN)),
    ("organizations", "AccountName", Text("****")),
    ("organizations", "Email", Text("****")),
    ("polly", "Text", Text("**********")),
    ("rds", "MasterUserPassword", Text("****")),
    ("redshift", "MasterUserPassword", Text("****")),
    ("redshift-data", "Sql", Text(OMITTED)),
    ("redshift-data", "Sqls", Text(OMITTED)),
    ("secretsmanager", "RandomPassword", Drop),
    ("secretsmanager", "SecretBinary", Drop),
    ("secretsmanager", "SecretString", Drop),
    ("sns", "Endpoint", Hide::Url),
    ("sns", "Message", Text(HIDDEN)),
    ("sns", "MessageAttributes", Text(HIDDEN)),
    ("sns", "Subject", Text(HIDDEN)),
    ("sqs", "Body", Text(HIDDEN)),
    ("sqs", "MessageAttributes", Text(HIDDEN)),
    ("sqs", "MessageBody", Text(HIDDEN)),
    ("ssm", "SnapshotDownloadUrl", Text(HIDDEN)),
    ("ssm", "TokenValue", Text("Value hidden due to security reasons.")),
    ("sso", "secretAccessKey", Drop),
    ("sso", "sessionToken", Drop),
    ("sts", "SAMLAssertion", Drop),
    ("sts", "SecretAccessKey", Drop),
    ("sts", "SessionToken", Drop),
    ("sts", "TokenCode", Drop),
    ("sts", "WebIdentityToken", Drop),
];

/// Members that are hidden in one structure: (service, structure, member, how). Sorted by services.
#[rustfmt::skip]
const IN_STRUCTURE: &[(&str, &str, &str, Hide)] = &[
    ("codebuild", "EnvironmentVariable", "name", Text(HIDDEN)),
    ("codebuild", "EnvironmentVariable", "type", Text(HIDDEN)),
    ("codebuild", "EnvironmentVariable", "value", Text(HIDDEN)),
    ("iotevents", "CreateDetectorModelRequest", "key", Text(HIDDEN)),
    // Of what it answers the ARN alone is written down.
    ("secretsmanager", "CreateSecretResponse", "Name", Drop),
    ("secretsmanager", "CreateSecretResponse", "VersionId", Drop),
    ("secretsmanager", "PutSecretValueResponse", "Name", Drop),
    ("secretsmanager", "PutSecretValueResponse", "VersionId", Drop),
    ("secretsmanager", "PutSecretValueResponse", "VersionStages", Drop),
    ("secretsmanager", "UpdateSecretResponse", "Name", Drop),
    ("secretsmanager", "UpdateSecretResponse", "VersionId", Drop),
    ("ssm", "SendCommandRequest", "Parameters", Text(HIDDEN)),
    ("ssm", "PutParameterRequest", "Value", Text(HIDDEN)),
    ("ssm", "Parameter", "Value", Text(HIDDEN)),
];

/// Ends of names that only secrets have, lower case.
const SECRET_ENDINGS: &[&str] = &[
    "accesstoken",
    "clientsecret",
    "idtoken",
    "passphrase",
    "password",
    "privatekey",
    "refreshtoken",
    "secretaccesskey",
    "secretbinary",
    "secretkey",
    "secretstring",
    "sessiontoken",
];

/// The last letters of each.
const SECRET_LETTERS: [u32; SECRET_ENDINGS.len()] = {
    let mut letters = [0; SECRET_ENDINGS.len()];
    let mut at = 0;
    while at < letters.len() {
        letters[at] = last_letters(SECRET_ENDINGS[at].as_bytes());
        at += 1;
    }
    letters
};

/// The last four letters of a name, the same in either case; 0 if it has fewer.
const fn last_letters(name: &[u8]) -> u32 {
    match name.last_chunk() {
        Some(letters) => u32::from_ne_bytes(*letters) | 0x2020_2020,
        None => 0,
    }
}

/// What a service hides: its rows of the tables, looked up once for all members of a call.
#[derive(Clone, Copy)]
pub(super) struct Secrets<'a> {
    service: &'a Service,
    members: &'static [(&'static str, &'static str, Hide)],
    in_structure: &'static [(&'static str, &'static str, &'static str, Hide)],
    is_dynamodb: bool,
    /// The text in place of what is sensitive.
    text: &'static str,
}

impl<'a> Secrets<'a> {
    pub(super) fn of(service: &'a Service, text: &'static str) -> Self {
        let id = &*service.id;
        Self {
            service,
            members: rows(MEMBERS, id, |(service, ..)| service),
            in_structure: rows(IN_STRUCTURE, id, |(service, ..)| service),
            is_dynamodb: id.starts_with("dynamodb"),
            text,
        }
    }

    /// How `member` of `structure` is hidden; `None` if it may be shown. `shape` is the member's own.
    pub(super) fn hide(&self, structure: &str, member: &Member, shape: &Shape) -> Option<Hide> {
        let name = &*member.name;
        if self.is_dynamodb {
            return hide_item(self.service, name, shape);
        }
        let listed = self.members.iter().find(|(_, it, _)| *it == name);
        let listed = listed.map(|(.., hide)| *hide);
        let in_structure = || {
            let mut rows = self.in_structure.iter();
            let row = rows.find(|(_, parent, it, _)| *parent == structure && *it == name);
            row.map(|(.., hide)| *hide)
        };
        listed.or_else(in_structure).or_else(|| {
            let holds_text = matches!(shape.kind, Kind::String | Kind::Blob);
            (shape.sensitive || (holds_text && is_secret_name(name))).then_some(Text(self.text))
        })
    }
}

/// The rows of a service in a table that is sorted by services.
fn rows<T>(table: &'static [T], id: &str, service: fn(&T) -> &'static str) -> &'static [T] {
    let start = table.partition_point(|row| service(row) < id);
    let end = table.partition_point(|row| service(row) <= id);
    &table[start..end]
}

/// DynamoDB marks nothing sensitive, and never writes an item's values down; keys it does.
fn hide_item(service: &Service, name: &str, shape: &Shape) -> Option<Hide> {
    let is_value = |shape: &Shape| &*shape.name == "AttributeValue";
    match &shape.kind {
        Kind::Map { value, .. } if is_value(service.shape(value.shape)) => Some(if name == "Key" {
            Hide::Key
        } else {
            Hide::Names
        }),
        _ if is_value(shape) => Some(Text(HIDDEN)),
        Kind::String if name == "Statement" => Some(Hide::Statement),
        _ => None,
    }
}

/// Values of a DynamoDB key without their types: `{"Artist":{"S":"x"}}` → `{"Artist":"x"}`. Bytes are hidden.
pub(super) fn key_values(key: Value) -> Value {
    let Value::Object(key) = key else {
        return Value::Null;
    };
    let plain = |(name, value): (String, Value)| {
        let value = ["S", "N"].iter().find_map(|it| value.get(it)?.as_str());
        (name, value.unwrap_or(HIDDEN).into())
    };
    Value::Object(key.into_iter().map(plain).collect())
}

/// A URL with what stands before its host as `***`; any other text as it is. A name may be a token, and a password may
/// have a `/` in it that should have been escaped: all up to the last `@` goes, even where that is one of the path.
pub(super) fn without_password(url: &str) -> String {
    let masked = || {
        let (scheme, rest) = url.split_once("://")?;
        let (_, host) = rest.rsplit_once('@')?;
        Some(format!("{scheme}://{STARS}@{host}"))
    };
    masked().unwrap_or_else(|| url.to_owned())
}

/// A text with the signatures and session tokens of the signed URLs in it as `***`.
pub(super) fn without_signatures(text: &str) -> Cow<'_, str> {
    const NAMES: &[&str] = &["x-amz-signature=", "x-amz-security-token="];
    // Of as good as every user agent there is nothing to look at, and each call has one.
    if !text.contains('=') {
        return Cow::Borrowed(text);
    }
    let is_end = |it: char| it == '&' || it == '#' || it.is_whitespace();
    let lower = text.to_ascii_lowercase();
    let mut shown = String::with_capacity(text.len());
    let mut done = 0;
    for (at, _) in lower.match_indices("x-amz-s") {
        let name = NAMES.iter().find(|name| lower[at..].starts_with(**name));
        let Some(name) = name.filter(|_| at >= done) else {
            continue;
        };
        let start = at + name.len();
        shown += &text[done..start];
        shown += STARS;
        done = text[start..]
            .find(is_end)
            .map_or(text.len(), |end| start + end);
    }
    shown += &text[done..];
    Cow::Owned(shown)
}

/// A PartiQL statement with every quoted literal as `***(Redacted)`.
pub(super) fn without_literals(statement: &str) -> String {
    let mut shown = String::with_capacity(statement.len());
    // Outside and inside of quotes by turns; a doubled quote ends one literal and begins another.
    for (index, part) in statement.split('\'').enumerate() {
        if index % 2 == 0 {
            shown += part;
        } else {
            shown += "***(Redacted)";
        }
    }
    shown
}

/// Whether only a secret would be called this.
pub(super) fn is_secret_name(name: &str) -> bool {
    let name = name.as_bytes();
    // Asked for every text of every record: the last letters of most names tell that they are none of these.
    SECRET_LETTERS.contains(&last_letters(name))
        && SECRET_ENDINGS.iter().any(|ending| {
            let at = name.len().checked_sub(ending.len());
            at.is_some_and(|at| name[at..].eq_ignore_ascii_case(ending.as_bytes()))
        })
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    use http::HeaderMap;
    use http::header::{HeaderName, HeaderValue};
    use serde_json::{Map, json};

    use super::super::testing::{TestCall, request_parameters};
    use super::super::{Outcome, s3};
    use super::*;
    use crate::aws::model::{Location, ShapeId};
    use crate::aws::models;

    /// Stands in every place that the model marks sensitive. A number too, for numbers can be sensitive.
    const MARKER: &str = "MARKER-7f3a";
    const NUMBER: u64 = 918_273_645;

    /// A value of a shape with markers where it is sensitive.
    fn filled(service: &Service, id: ShapeId, secret: bool, depth: usize) -> Value {
        let shape = service.shape(id);
        let secret = (secret || shape.sensitive) && !s3::KEY_IDS.contains(&&*shape.name);
        let text = if secret { MARKER } else { "plain" };
        match &shape.kind {
            _ if depth > 6 => Value::Null,
            Kind::Structure(structure) if structure.document => json!({}),
            Kind::Structure(structure) => structure
                .members
                .iter()
                .map(|member| {
                    let value = filled(service, member.shape, secret, depth + 1);
                    (member.name.to_string(), value)
                })
                .collect::<Map<_, _>>()
                .into(),
            Kind::List { element, .. } => {
                json!([filled(service, element.shape, secret, depth + 1)])
            }
            Kind::Map { key, value, .. } => {
                let key = filled(service, key.shape, secret, depth + 1);
                let key = key.as_str().unwrap_or("plain").to_owned();
                json!({ key: filled(service, value.shape, secret, depth + 1) })
            }
            Kind::String => text.into(),
            Kind::Blob => STANDARD.encode(text).into(),
            Kind::Boolean => true.into(),
            _ if secret => NUMBER.into(),
            _ => 1.into(),
        }
    }

    /// The forms in which a marker could be written.
    fn forms() -> [String; 4] {
        let bytes: Vec<String> = MARKER.bytes().map(|it| it.to_string()).collect();
        [
            MARKER.to_owned(),
            STANDARD.encode(MARKER),
            bytes.join(","),
            NUMBER.to_string(),
        ]
    }

    #[test]
    fn nothing_that_any_model_marks_sensitive_gets_into_a_record() {
        let forms = forms();
        let mut marked = 0;
        for id in models().ids() {
            let service = models().service(id).unwrap();
            for operation in &service.operations {
                let value = |shape: Option<ShapeId>| {
                    shape.map_or(json!({}), |shape| filled(service, shape, false, 0))
                };
                let params = value(operation.input);
                marked += usize::from(params.to_string().contains(MARKER));
                let mut call = TestCall::new(id, &operation.name, params.clone())
                    .answered(&value(operation.output));
                call.parts
                    .headers
                    .extend(headers(service, operation.input, &params));
                let record = serde_json::to_string(&call.record()).unwrap();
                for form in &forms {
                    assert!(
                        !record.contains(form.as_str()),
                        "{id} {}: {form} in {record}",
                        operation.name
                    );
                }
            }
        }
        // So that the test does not pass because nothing was marked.
        assert!(marked > 1000, "{marked}");
    }

    /// The members of a request that are headers.
    fn headers(service: &Service, input: Option<ShapeId>, params: &Value) -> HeaderMap {
        let structure = input.and_then(|input| service.structure(input));
        let members = structure.into_iter().flat_map(|it| &it.members);
        members
            .filter(|member| member.location == Location::Header)
            .filter_map(|member| {
                let name = HeaderName::from_bytes(member.wire().as_bytes()).ok()?;
                let value = params.get(&*member.name)?.as_str()?;
                Some((name, HeaderValue::from_str(value).ok()?))
            })
            .collect()
    }

    #[test]
    fn the_tables_of_members_are_sorted_and_find_services() {
        assert!(MEMBERS.is_sorted_by_key(|(service, ..)| service));
        assert!(IN_STRUCTURE.is_sorted_by_key(|(service, ..)| service));
        let in_structure = IN_STRUCTURE.iter().map(|(service, ..)| service);
        for service in MEMBERS
            .iter()
            .map(|(service, ..)| service)
            .chain(in_structure)
        {
            assert!(models().service(service).is_some(), "{service}");
        }
    }

    #[test]
    fn known_secrets_are_hidden_or_left_out_whatever_the_model_says() {
        for (service, operation, params) in [
            (
                "iam",
                "ChangePassword",
                json!({"OldPassword": MARKER, "NewPassword": MARKER}),
            ),
            (
                "iam",
                "UploadServerCertificate",
                json!({"PrivateKey": MARKER}),
            ),
            (
                "secretsmanager",
                "PutSecretValue",
                json!({"SecretId": "s", "SecretString": MARKER}),
            ),
            (
                "rds",
                "CreateDBInstance",
                json!({"MasterUserPassword": MARKER}),
            ),
            ("ssm", "PutParameter", json!({"Name": "n", "Value": MARKER})),
            (
                "ssm",
                "SendCommand",
                json!({"Parameters": {"commands": [MARKER]}}),
            ),
            (
                "sns",
                "Publish",
                json!({"Message": MARKER, "Subject": MARKER}),
            ),
            ("sqs", "SendMessage", json!({"MessageBody": MARKER})),
            (
                "kms",
                "Encrypt",
                json!({"KeyId": "k", "Plaintext": STANDARD.encode(MARKER)}),
            ),
            (
                "lambda",
                "CreateFunction",
                json!({"Environment": {"Variables": {"A": MARKER}}}),
            ),
            (
                "glue",
                "CreateConnection",
                json!({"ConnectionInput": {"ConnectionProperties": {"PASSWORD": MARKER}}}),
            ),
            (
                "sts",
                "AssumeRoleWithWebIdentity",
                json!({"WebIdentityToken": MARKER}),
            ),
            (
                "dynamodb",
                "PutItem",
                json!({"TableName": "t", "Item": {"a": {"S": MARKER}}}),
            ),
            (
                "dynamodb",
                "UpdateItem",
                json!({"ExpressionAttributeValues": {":a": {"S": MARKER}}}),
            ),
            (
                "dynamodb",
                "GetItem",
                json!({"Key": {"a": {"B": STANDARD.encode(MARKER)}}}),
            ),
            (
                "ec2",
                "ModifyInstanceAttribute",
                json!({"UserData": {"Value": MARKER}}),
            ),
            (
                "codebuild",
                "CreateProject",
                json!({"environment": {"environmentVariables": [{"value": MARKER}]}}),
            ),
        ] {
            let written = request_parameters(service, operation, params).to_string();
            for form in forms() {
                assert!(!written.contains(&form), "{operation}: {written}");
            }
        }
    }

    #[test]
    fn an_answers_secrets_are_hidden_too() {
        let mut call = TestCall::new("cognito-identity", "GetCredentialsForIdentity", json!({}));
        call.outcome = Outcome::Success(
            json!({"Credentials": {"AccessKeyId": "ASIAEXAMPLE000000001", "SecretKey": MARKER, "SessionToken": MARKER}})
                .as_object()
                .cloned(),
        );
        assert_eq!(
            call.record().response_elements,
            json!({"credentials": {"accessKeyId": "ASIAEXAMPLE000000001"}})
        );
    }

    #[test]
    fn of_items_the_names_are_written_and_of_keys_the_values() {
        assert_eq!(
            request_parameters(
                "dynamodb",
                "UpdateItem",
                json!({"TableName": "Music", "Key": {"Artist": {"S": "x"}, "Year": {"N": "1999"}},
                       "ExpressionAttributeValues": {":a": {"S": "v"}}})
            ),
            json!({"tableName": "Music", "key": {"Artist": "x", "Year": "1999"},
                   "expressionAttributeValues": [":a"]})
        );
        assert_eq!(
            without_literals("UPDATE Music SET Album = 'It''s' WHERE Artist = 'x'"),
            "UPDATE Music SET Album = ***(Redacted)***(Redacted) WHERE Artist = ***(Redacted)"
        );
    }

    #[test]
    fn of_a_signed_url_in_a_text_the_signature_is_not_written() {
        for (text, written) in [
            ("curl/8.5.0", "curl/8.5.0"),
            (
                "a https://b/k?x-amz-security-token=T%2F1=&X-Amz-Date=d&X-Amz-Signature=0f b",
                "a https://b/k?x-amz-security-token=***&X-Amz-Date=d&X-Amz-Signature=*** b",
            ),
            ("X-AMZ-SIGNATURE=", "X-AMZ-SIGNATURE=***"),
            ("é X-Amz-Signature=é\u{a0}é", "é X-Amz-Signature=***\u{a0}é"),
            ("X-Amz-Signature=X-Amz-Signature=0f", "X-Amz-Signature=***"),
        ] {
            assert_eq!(without_signatures(text), written);
        }
    }

    #[test]
    fn of_a_url_the_password_is_not_written() {
        for (endpoint, written) in [
            (
                "https://hook:p:w@d@example.com:8443/a/b?c",
                "https://***@example.com:8443/a/b?c",
            ),
            ("http://token@192.0.2.1/", "http://***@192.0.2.1/"),
            ("http://hook:pa/ss@192.0.2.1/a", "http://***@192.0.2.1/a"),
            ("http://hook:pa?s#s@192.0.2.1/a", "http://***@192.0.2.1/a"),
            ("http://192.0.2.1/a:b?c", "http://192.0.2.1/a:b?c"),
            ("alice:x@example.com", "alice:x@example.com"),
        ] {
            assert_eq!(
                request_parameters("sns", "Subscribe", json!({ "Endpoint": endpoint })),
                json!({ "endpoint": written })
            );
        }
    }
}
