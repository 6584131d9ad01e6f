//! Which service and operation a request is.
//!
//! Gathers what the head tells (credential scope, `X-Amz-Target`, path, `Host`, content type), then asks the models.
//! Never guesses by lists of operation names: what the models cannot tell is a [`Route::Service`] or a
//! [`Route::Unknown`].

use http::header::{CONTENT_TYPE, HOST};
use http::request::Parts;
use http::{HeaderMap, Method};

use super::model::{Operation, Protocol, Service};
use super::sigv4::Signature;
use super::uri::{Fit, Target};
use super::{Entry, models};

/// A request whose service and operation are known.
#[derive(Clone, Copy, Debug)]
pub struct Call {
    pub service: &'static Service,
    pub operation: &'static Operation,
    /// The protocol that this request is in.
    pub protocol: Protocol,
}

/// What could be told of a request.
#[derive(Clone, Debug)]
pub enum Route {
    Call(Call),
    /// The service is known, the operation is not.
    Service(&'static Service, Protocol),
    /// Signed for a service that no model knows.
    Unknown {
        signing_name: String,
        protocol: Protocol,
    },
}

/// Names in credential scopes that stand for another service's API: S3's directory buckets and Object Lambda.
const SCOPE_ALIASES: &[(&str, &str)] = &[("s3express", "s3"), ("s3-object-lambda", "s3")];

/// Services whose operations another service with the same signing name and URIs has taken over: they are chosen only
/// where nothing else fits as well.
const SUPERSEDED: &[&str] = &["chime", "greengrass", "lex-models", "wisdom"];

/// Ends of host names before which the service's name or a bucket stands. Longer ones first.
const HOST_TAILS: &[&str] = &[
    "localhost.localstack.cloud",
    "amazonaws.com.cn",
    "amazonaws.com",
    "api.aws",
    "localhost",
];

/// Sign-in operations, which nobody signs and whose head has a path alone: (path, signing name). Their bodies are JSON,
/// which S3 takes for no object that is posted.
const UNSIGNED: &[(&str, &str)] = &[
    ("/client/register", "sso-oauth"),
    ("/device_authorization", "sso-oauth"),
    ("/token", "sso-oauth"),
];

/// The header that stands for a signature at the portal of IAM Identity Center.
const PORTAL_TOKEN: &str = "x-amz-sso_bearer_token";

/// Protocols in which the operation is found by method and path.
const REST: &[Protocol] = &[Protocol::RestJson, Protocol::RestXml];
/// Protocols in which the operation is the form's `Action`.
const FORM: &[Protocol] = &[Protocol::Query, Protocol::Ec2];

/// Finds the service and operation: by credential scope, then `X-Amz-Target`, then RPC path, then `Host`, then what
/// sign-in looks like, else S3.
/// `form` is the (decoded) body, needed where the operation stands in it. An unsigned form that nothing else tells of
/// is known by its `Version`; the head alone, and so [`signing_name`], takes it for S3's.
pub fn find(parts: &Parts, signature: Option<&Signature>, form: &[u8]) -> Route {
    let name = signing_name(parts, signature);
    let alias = SCOPE_ALIASES.iter().find(|(from, _)| *from == name);
    let ids = models().signed_as(alias.map_or(name.as_str(), |(_, to)| to));
    let entries: Vec<&'static Entry> = ids.iter().filter_map(|id| models().entry(id)).collect();

    if let Some((prefix, operation)) = target(&parts.headers) {
        let matches = |entry: &&'static Entry| entry.target_prefix == Some(prefix);
        let named = entries.iter().copied().filter(matches);
        if let Some(call) = call_in(named, operation, Protocol::Json) {
            return Route::Call(call);
        }
    } else if let Some((shape, operation)) = rpc_path(parts.uri.path()) {
        let named = entries.iter().copied().filter(|entry| entry.is_rpc(shape));
        if let Some(call) = call_in(named, operation, Protocol::Cbor) {
            return Route::Call(call);
        }
    } else if let Some(action) = Action::of(parts, form)
        && let Some(call) = action.call(&entries, signature.is_some())
    {
        return Route::Call(call);
    }

    if let Some(call) = rest_call(&entries, parts) {
        return Route::Call(of_scope(call, &name));
    }
    match entries.first() {
        Some(entry) => {
            let service = entry.service();
            Route::Service(service, protocol(parts, Some(service)))
        }
        None => Route::Unknown {
            protocol: protocol(parts, None),
            signing_name: name,
        },
    }
}

/// The signing name of the service that a request is for, from its head alone; the door is chosen by it. A credential
/// scope is taken at its word, known or not.
pub fn signing_name(parts: &Parts, signature: Option<&Signature>) -> String {
    if let Some(signature) = signature {
        return signature.service.clone();
    }
    let by_path = || {
        let (shape, _) = rpc_path(parts.uri.path())?;
        let named = |entry: &&Entry| entry.is_rpc(shape);
        Some(models().entries.iter().find(named)?.signing_name)
    };
    // A query call in the URI names its version, and few services share one.
    let by_version = || {
        let action = Action::of(parts, &[])?;
        let entry = action.entries(&models().entries).next()?;
        Some(entry.signing_name)
    };
    let by_host = || service_of_host(host(parts)?);
    let name = asked_for(parts)
        .or_else(by_path)
        .or_else(by_host)
        .or_else(by_version)
        .or_else(|| sign_in(parts));
    name.unwrap_or("s3").to_owned()
}

/// The signing name of a service that is called in order to sign in.
fn sign_in(parts: &Parts) -> Option<&'static str> {
    if parts.headers.contains_key(PORTAL_TOKEN) {
        return Some("awsssoportal");
    }
    let is_json = text(&parts.headers, CONTENT_TYPE.as_str()).starts_with("application/json");
    let path = parts.uri.path();
    let listed = UNSIGNED.iter().find(|(it, _)| *it == path);
    listed
        .filter(|_| is_json && parts.method == Method::POST)
        .map(|(_, name)| *name)
}

/// The signing name of the service that `X-Amz-Target` names, if any does.
pub fn asked_for(parts: &Parts) -> Option<&'static str> {
    let (prefix, _) = target(&parts.headers)?;
    let named = |entry: &&Entry| entry.target_prefix == Some(prefix);
    Some(models().entries.iter().find(named)?.signing_name)
}

/// The protocol that a caller of `service` expects an answer in, from the request's head alone.
pub fn protocol(parts: &Parts, service: Option<&'static Service>) -> Protocol {
    let headers = &parts.headers;
    let smithy = text(headers, "smithy-protocol");
    if smithy == "rpc-v2-cbor" || rpc_path(parts.uri.path()).is_some() {
        return Protocol::Cbor;
    }
    if headers.contains_key("x-amz-target") {
        return Protocol::Json;
    }
    let content_type = text(headers, CONTENT_TYPE.as_str());
    if is_form(content_type) || uri_action(parts).is_some() {
        let Some(service) = service else {
            return Protocol::Query;
        };
        let own = service.protocols.iter().find(|own| FORM.contains(own));
        // SQS's model speaks JSON alone, but its service still takes forms; S3 takes forms for objects.
        let is_rest = service.protocols.iter().any(|own| REST.contains(own));
        match own {
            Some(&own) => return own,
            None if !is_rest => return Protocol::Query,
            None => {}
        }
    }
    match service {
        Some(service) => service.protocol(),
        None if content_type.starts_with("application/x-amz-json") => Protocol::Json,
        None if content_type.starts_with("application/cbor") => Protocol::Cbor,
        None if content_type.starts_with("application/json") => Protocol::RestJson,
        None => Protocol::RestXml,
    }
}

/// Bucket in the host name of a virtual-hosted S3 request: `logs.localhost:4580`, `logs.s3.us-east-1.amazonaws.com`.
pub fn virtual_bucket(host: &str) -> Option<&str> {
    let (before, tail) = split_host(host)?;
    let mut end = 0;
    let mut found = None;
    for label in before.split('.') {
        let start = end;
        end += label.len() + 1;
        if is_s3_label(label) {
            // The last one counts, as a bucket may be called `s3.logs`.
            found = Some(start);
        }
    }
    let length = match found {
        Some(start) => start.checked_sub(1)?,
        None if tail.starts_with("localhost") => before.len(),
        None => return None,
    };
    before.get(..length).filter(|bucket| !bucket.is_empty())
}

/// Bucket in the host name that a request was sent to.
pub fn bucket_in_host(parts: &Parts) -> Option<&str> {
    virtual_bucket(host(parts)?)
}

/// The path of an S3 request with its bucket first, as the model has it, whatever the addressing style.
pub fn s3_path(parts: &Parts) -> String {
    let path = parts.uri.path();
    match bucket_in_host(parts) {
        Some(bucket) => format!("/{bucket}{path}"),
        None => match escaped_slash(path) {
            Some(at) => format!("{}/{}", &path[..at], &path[at + "%2F".len()..]),
            None => path.to_owned(),
        },
    }
}

/// Where the slash behind the bucket's name is escaped: S3 looks for it in the path as it is meant.
fn escaped_slash(path: &str) -> Option<usize> {
    let first = path.get(1..)?.split('/').next()?;
    let at = first.to_ascii_lowercase().find("%2f")?;
    Some(1 + at)
}

/// The path that a service's templates are matched against.
pub(super) fn path_for(service: &Service, parts: &Parts) -> String {
    if &*service.id == "s3" {
        s3_path(parts)
    } else {
        parts.uri.path().to_owned()
    }
}

impl Entry {
    /// Whether the service has this name in RPC v2 paths: its service shape's, which botocore keeps as target prefix.
    fn is_rpc(&self, shape: &str) -> bool {
        let plain = |id: &str| id.replace(' ', "");
        self.speaks(&[Protocol::Cbor])
            && (self.target_prefix == Some(shape) || plain(self.service_id) == shape)
    }
}

/// The first of `entries` that has the operation.
fn call_in(
    mut entries: impl Iterator<Item = &'static Entry>,
    operation: &str,
    protocol: Protocol,
) -> Option<Call> {
    entries.find_map(|entry| {
        let service = entry.service();
        Some(Call {
            service,
            operation: service.operation(operation)?,
            protocol,
        })
    })
}

/// The REST operation that fits best.
fn rest_call(entries: &[&'static Entry], parts: &Parts) -> Option<Call> {
    let query = parts.uri.query().unwrap_or_default();
    let host = host(parts).unwrap_or_default();
    let mut best: Option<((Fit, bool, bool), Call)> = None;
    for entry in entries.iter().filter(|entry| entry.speaks(REST)) {
        let service = entry.service();
        let path = path_for(service, parts);
        let target = Target::new(&path, query);
        // Between services with one URI, as in the Chime family, the host name may tell.
        let at_home = host.starts_with(entry.endpoint_prefix);
        let is_current = !SUPERSEDED.contains(&entry.id);
        let of_method = service.by_method.get(parts.method.as_str());
        for &index in of_method.into_iter().flatten() {
            let Some(operation) = service.operations.get(index) else {
                continue;
            };
            let Some(fit) = operation.template.fit(&target, &parts.headers) else {
                continue;
            };
            let rank = (fit, at_home, is_current);
            if best.as_ref().is_none_or(|(other, _)| rank > *other) {
                let call = Call {
                    service,
                    operation,
                    protocol: service.protocol(),
                };
                best = Some((rank, call));
            }
        }
    }
    best.map(|(_, call)| call)
}

/// Directory buckets are listed by the same request as buckets are.
fn of_scope(call: Call, scope: &str) -> Call {
    let directories = || call.service.operation("ListDirectoryBuckets");
    match (scope, &*call.operation.name) {
        ("s3express", "ListBuckets") => Call {
            operation: directories().unwrap_or(call.operation),
            ..call
        },
        _ => call,
    }
}

/// `Action` and `Version` of a query call.
struct Action {
    name: String,
    version: Option<String>,
}

impl Action {
    fn of(parts: &Parts, form: &[u8]) -> Option<Self> {
        let uri = parts.uri.query().unwrap_or_default().as_bytes();
        let body = if is_form(text(&parts.headers, CONTENT_TYPE.as_str())) {
            form
        } else {
            &[]
        };
        Self::in_form(body).or_else(|| Self::in_form(uri))
    }

    fn in_form(form: &[u8]) -> Option<Self> {
        let mut name = None;
        let mut version = None;
        for (key, value) in form_urlencoded::parse(form) {
            match &*key {
                "Action" => name = name.or(Some(value.into_owned())),
                "Version" => version = version.or(Some(value.into_owned())),
                _ => {}
            }
            // Both stand at the beginning of what SDKs send.
            if name.is_some() && version.is_some() {
                break;
            }
        }
        Some(Self {
            name: name?,
            version,
        })
    }

    /// Those of `entries` that speak query in this version.
    fn entries<'a>(&self, entries: &'a [Entry]) -> impl Iterator<Item = &'a Entry> {
        let version = self.version.as_deref();
        entries
            .iter()
            .filter(move |entry| entry.speaks(FORM) && Some(entry.api_version) == version)
    }

    /// The call among `entries`: in the version named, else in any.
    fn call(&self, entries: &[&'static Entry], is_signed: bool) -> Option<Call> {
        let is_version =
            |entry: &&'static Entry| Some(entry.api_version) == self.version.as_deref();
        let speaking = || entries.iter().copied().filter(|entry| entry.speaks(FORM));
        // SQS's model speaks JSON alone, but its service still takes forms.
        let formerly = || entries.iter().copied().filter(|entry| !entry.speaks(REST));
        // AssumeRoleWithWebIdentity has no signature to tell its service by, but a version.
        let unsigned = || {
            let all = if is_signed {
                &[]
            } else {
                models().entries.as_slice()
            };
            self.entries(all)
        };
        let mut call = call_in(speaking().filter(is_version), &self.name, Protocol::Query)
            .or_else(|| call_in(speaking(), &self.name, Protocol::Query))
            .or_else(|| call_in(formerly(), &self.name, Protocol::Query))
            .or_else(|| call_in(unsigned(), &self.name, Protocol::Query))?;
        if call.service.protocols.contains(&Protocol::Ec2) {
            call.protocol = Protocol::Ec2;
        }
        Some(call)
    }
}

/// `Action` in the query string.
fn uri_action(parts: &Parts) -> Option<Action> {
    Action::in_form(parts.uri.query().unwrap_or_default().as_bytes())
}

/// Prefix and operation of `X-Amz-Target`. CloudTrail's short prefix, which other SDKs send, becomes the model's.
fn target(headers: &HeaderMap) -> Option<(&str, &str)> {
    let value = headers.get("x-amz-target")?.to_str().ok()?.trim();
    let (prefix, operation) = value.rsplit_once('.').unwrap_or(("", value));
    let prefix = match prefix {
        "CloudTrail_20131101" => "com.amazonaws.cloudtrail.v20131101.CloudTrail_20131101",
        other => other,
    };
    Some((prefix, operation))
}

/// Service shape and operation of `/service/S/operation/O`, which a prefix may precede.
fn rpc_path(path: &str) -> Option<(&str, &str)> {
    let mut parts = path.rsplit('/');
    let (operation, literal) = (parts.next()?, parts.next()?);
    let (shape, service) = (parts.next()?, parts.next()?);
    (literal == "operation" && service == "service").then_some((shape, operation))
}

fn is_form(content_type: &str) -> bool {
    let form = "application/x-www-form-urlencoded";
    let head = content_type.get(..form.len()).unwrap_or_default();
    head.eq_ignore_ascii_case(form)
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> &'a str {
    let value = headers.get(name).and_then(|value| value.to_str().ok());
    value.unwrap_or_default()
}

/// Host name that the request was sent to, port included. HTTP/2 has it in the URI.
fn host(parts: &Parts) -> Option<&str> {
    let header = parts.headers.get(HOST).and_then(|host| host.to_str().ok());
    header.or_else(|| parts.uri.authority().map(|authority| authority.as_str()))
}

/// What stands before one of [`HOST_TAILS`], and that tail.
fn split_host(host: &str) -> Option<(&str, &'static str)> {
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    };
    HOST_TAILS.iter().find_map(|tail| {
        let at = name.len().checked_sub(tail.len())?;
        let ends = name.get(at..)?.eq_ignore_ascii_case(tail);
        let before = name.get(..at)?.strip_suffix('.')?;
        ends.then_some((before, *tail))
    })
}

/// `s3`, `s3-us-west-2`, `s3-fips`, `s3express-use1-az1`; not S3 Control, whose hosts carry an account.
fn is_s3_label(label: &str) -> bool {
    let is = |prefix: &str| {
        let head = label.get(..prefix.len()).unwrap_or_default();
        head.eq_ignore_ascii_case(prefix)
    };
    label.eq_ignore_ascii_case("s3")
        || is("s3express-")
        || (is("s3-") && !is("s3-control") && !is("s3-outposts") && !is("s3-object-lambda"))
}

/// Signing name of the service that a host name names: `logs.us-east-1.localhost`, `api.ecr.us-east-1.amazonaws.com`.
fn service_of_host(host: &str) -> Option<&'static str> {
    let (before, tail) = split_host(host)?;
    let before = before.to_ascii_lowercase();
    let labels: Vec<&str> = before.split('.').collect();
    if labels.iter().any(|label| is_s3_label(label)) {
        return Some("s3");
    }
    // Endpoint prefixes have up to three labels (`data.jobs.iot`), the longest counts. An account may stand before one,
    // but on this machine that would be a bucket.
    let starts = if tail.starts_with("localhost") { 1 } else { 2 };
    for start in 0..labels.len().min(starts) {
        for length in (1..=3).rev() {
            let Some(labels) = labels.get(start..start + length) else {
                continue;
            };
            let prefix = labels.join(".");
            let entry = models().at_endpoint(&prefix);
            let signed = models().by_signing_name.get_key_value(prefix.as_str());
            let found = entry.map(|entry| entry.signing_name);
            if let Some(name) = found.or(signed.map(|(name, _)| *name)) {
                return Some(name);
            }
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::{Route, find, protocol, signing_name, virtual_bucket};
    use crate::aws::model::Protocol;
    use crate::aws::models;
    use crate::aws::sigv4;
    use crate::aws::testing::{head, signed};

    /// What a request is: `s3 PutObject RestXml`, `s3 ? RestXml`, `unknown name Query`.
    fn route(line: &str, headers: &str, body: &str) -> String {
        let parts = head(line, headers);
        let signature = sigv4::parse(&parts).unwrap();
        match find(&parts, signature.as_ref(), body.as_bytes()) {
            Route::Call(call) => format!(
                "{} {} {:?}",
                call.service.id, call.operation.name, call.protocol
            ),
            Route::Service(service, protocol) => format!("{} ? {protocol:?}", service.id),
            Route::Unknown {
                signing_name,
                protocol,
            } => format!("unknown {signing_name} {protocol:?}"),
        }
    }

    const FORM: &str = "content-type: application/x-www-form-urlencoded; charset=utf-8\n";

    #[test]
    fn signed_requests_are_told_by_scope_and_target_action_or_path() {
        #[rustfmt::skip]
        let cases = [
            ("cloudtrail", "POST /", "x-amz-target: com.amazonaws.cloudtrail.v20131101.CloudTrail_20131101.CreateTrail", "", "cloudtrail CreateTrail Json"),
            ("cloudtrail", "POST /", "x-amz-target: CloudTrail_20131101.LookupEvents", "", "cloudtrail LookupEvents Json"),
            ("cloudtrail", "POST /", "x-amz-target: CloudTrail_20131101.Unheard", "", "cloudtrail ? Json"),
            ("cloudtrail-data", "POST /PutAuditEvents?channelArn=a", "", "{}", "cloudtrail-data PutAuditEvents RestJson"),
            ("dynamodb", "POST /", "x-amz-target: DynamoDB_20120810.PutItem", "", "dynamodb PutItem Json"),
            ("dynamodb", "POST /", "x-amz-target: DynamoDBStreams_20120810.GetRecords", "", "dynamodbstreams GetRecords Json"),
            ("kms", "POST /", "x-amz-target: TrentService.Decrypt", "", "kms Decrypt Json"),
            ("s3", "PUT /bucket%2Fkey", "", "", "s3 PutObject RestXml"),
            ("s3", "PUT /bucket%2fa%2Fb?tagging", "", "", "s3 PutObjectTagging RestXml"),
            ("secretsmanager", "POST /", "x-amz-target: secretsmanager.GetSecretValue", "", "secretsmanager GetSecretValue Json"),
            ("ssm", "POST /", "x-amz-target: AmazonSSM.GetParameter", "", "ssm GetParameter Json"),
            ("timestream", "POST /", "x-amz-target: Timestream_20181101.WriteRecords", "", "timestream-write WriteRecords Json"),
            ("timestream", "POST /", "x-amz-target: Timestream_20181101.CancelQuery", "", "timestream-query CancelQuery Json"),
            ("sqs", "POST /", "x-amz-target: AmazonSQS.SendMessage", "", "sqs SendMessage Json"),
            ("sqs", "POST /111122223333/q", FORM, "Action=SendMessage&Version=2012-11-05", "sqs SendMessage Query"),
            ("monitoring", "POST /service/GraniteServiceVersion20100801/operation/PutMetricData", "smithy-protocol: rpc-v2-cbor", "", "cloudwatch PutMetricData Cbor"),
            ("monitoring", "POST /service/CloudWatch/operation/PutMetricData", "smithy-protocol: rpc-v2-cbor", "", "cloudwatch PutMetricData Cbor"),
            ("monitoring", "POST /", "x-amz-target: GraniteServiceVersion20100801.PutMetricData", "", "cloudwatch PutMetricData Json"),
            ("monitoring", "POST /", FORM, "Action=PutMetricData&Version=2010-08-01", "cloudwatch PutMetricData Query"),
            ("ec2", "POST /", FORM, "Action=RunInstances&Version=2016-11-15", "ec2 RunInstances Ec2"),
            ("ec2", "GET /?Action=DescribeInstances&Version=2016-11-15", "", "", "ec2 DescribeInstances Ec2"),
            ("iam", "POST /", FORM, "Version=2010-05-08&Action=CreateUser", "iam CreateUser Query"),
            ("sts", "GET /?Action=GetCallerIdentity&Version=2011-06-15", "", "", "sts GetCallerIdentity Query"),
            ("sns", "POST /", FORM, "Action=Publish&Version=2010-03-31", "sns Publish Query"),
            ("rds", "POST /", FORM, "Action=CreateDBInstance&Version=2014-10-31", "rds CreateDBInstance Query"),
            ("elasticloadbalancing", "POST /", FORM, "Action=CreateLoadBalancer&Version=2012-06-01", "elb CreateLoadBalancer Query"),
            ("elasticloadbalancing", "POST /", FORM, "Action=CreateLoadBalancer&Version=2015-12-01", "elbv2 CreateLoadBalancer Query"),
            ("elasticloadbalancing", "POST /", FORM, "Action=CreateTargetGroup&Version=1999-01-01", "elbv2 CreateTargetGroup Query"),
            ("autoscaling", "POST /", FORM, "Action=DescribePolicies&Version=2011-01-01", "autoscaling DescribePolicies Query"),
            ("application-autoscaling", "POST /", "x-amz-target: AnyScaleFrontendService.RegisterScalableTarget", "", "application-autoscaling RegisterScalableTarget Json"),
            ("ses", "POST /", FORM, "Action=SendEmail&Version=2010-12-01", "ses SendEmail Query"),
            ("ses", "POST /v2/email/outbound-emails", "", "{}", "sesv2 SendEmail RestJson"),
            ("sdb", "POST /", FORM, "Action=ListDomains&Version=2009-04-15", "sdb ListDomains Query"),
            ("lambda", "POST /2015-03-31/functions/arn%3Aaws%3Alambda%3Aus-east-1%3A111122223333%3Afunction%3Af/invocations", "", "", "lambda Invoke RestJson"),
            ("lambda", "GET /2015-03-31/functions/", "", "", "lambda ListFunctions RestJson"),
            ("lambda", "GET /2015-03-31/functions", "", "", "lambda ListFunctions RestJson"),
            ("lambda", "GET /2018-10-31/layers?find=LayerVersion&Arn=a", "", "", "lambda GetLayerVersionByArn RestJson"),
            ("apigateway", "POST /restapis", "", "{}", "apigateway CreateRestApi RestJson"),
            ("apigateway", "POST /restapis?mode=import", "", "{}", "apigateway ImportRestApi RestJson"),
            ("apigateway", "GET /v2/apis/a/routes", "", "", "apigatewayv2 GetRoutes RestJson"),
            ("es", "GET /2021-01-01/opensearch/domain/d", "", "", "opensearch DescribeDomain RestJson"),
            ("es", "GET /2015-01-01/es/domain/d", "", "", "es DescribeElasticsearchDomain RestJson"),
            ("lex", "POST /bot/b/alias/a/user/u/text", "", "{}", "lex-runtime PostText RestJson"),
            ("iotdata", "POST /topics/a%2Fb", "", "x", "iot-data Publish RestJson"),
            ("sso", "POST /", "x-amz-target: SWBExternalService.ListInstances", "", "sso-admin ListInstances Json"),
            ("cloudfront", "POST /2020-05-31/distribution?WithTags", "", "", "cloudfront CreateDistributionWithTags RestXml"),
            ("cloudfront", "POST /2020-05-31/distribution", "", "", "cloudfront CreateDistribution RestXml"),
            ("route53", "POST /2013-04-01/hostedzone/Z1/rrset/", "", "", "route53 ChangeResourceRecordSets RestXml"),
            ("chime", "GET /meetings/m", "", "", "chime-sdk-meetings GetMeeting RestJson"),
            ("wisdom", "GET /assistants/a", "", "", "qconnect GetAssistant RestJson"),
            ("eks", "GET /clusters/c/node-groups/n?x-id=DescribeNodegroup", "", "", "eks DescribeNodegroup RestJson"),
            ("eks", "PATCH /clusters/c", "", "", "eks ? RestJson"),
            ("s3", "GET /v20180820/accesspoint/ap", "x-amz-account-id: 111122223333", "", "s3control GetAccessPoint RestXml"),
            ("s3express", "GET /b?session", "", "", "s3 CreateSession RestXml"),
            ("s3express", "GET /?max-directory-buckets=5", "", "", "s3 ListDirectoryBuckets RestXml"),
            ("s3-object-lambda", "POST /WriteGetObjectResponse", "", "", "s3 WriteGetObjectResponse RestXml"),
            ("nosuchservice", "POST /", FORM, "Action=X&Version=1", "unknown nosuchservice Query"),
            ("nosuchservice", "POST /", "content-type: application/x-amz-json-1.1", "{}", "unknown nosuchservice Json"),
        ];
        for (service, line, headers, body, expected) in cases {
            let headers = signed(service) + headers;
            assert_eq!(route(line, &headers, body), expected, "{service} {line}");
        }
    }

    #[test]
    fn unsigned_requests_are_told_by_target_host_or_version() {
        #[rustfmt::skip]
        let cases = [
            ("POST /", "x-amz-target: AWSCognitoIdentityProviderService.InitiateAuth", "", "cognito-idp InitiateAuth Json"),
            ("POST /service/GraniteServiceVersion20100801/operation/ListMetrics", "", "", "cloudwatch ListMetrics Cbor"),
            ("POST /", "host: sts.amazonaws.com\ncontent-type: application/x-www-form-urlencoded", "Action=AssumeRoleWithWebIdentity&Version=2011-06-15", "sts AssumeRoleWithWebIdentity Query"),
            ("POST /", FORM, "Action=AssumeRoleWithSAML&Version=2011-06-15", "sts AssumeRoleWithSAML Query"),
            ("GET /?Action=AssumeRoleWithWebIdentity&Version=2011-06-15", "", "", "sts AssumeRoleWithWebIdentity Query"),
            ("GET /2015-03-31/functions", "host: lambda.us-east-1.localhost", "", "lambda ListFunctions RestJson"),
            ("GET /logs", "host: localhost:4580", "", "s3 ListObjects RestXml"),
            ("POST /token", "content-type: application/json", "{}", "sso-oidc CreateToken RestJson"),
            ("POST /token", "content-type: multipart/form-data", "", "s3 ? RestXml"),
            ("GET /token", "", "", "s3 ListObjects RestXml"),
            ("GET /assignment/accounts", "x-amz-sso_bearer_token: t", "", "sso ListAccounts RestJson"),
            ("POST /", FORM, "Action=Unheard&Version=1", "s3 ? RestXml"),
        ];
        for (line, headers, body, expected) in cases {
            assert_eq!(route(line, headers, body), expected, "{line} {headers}");
        }
    }

    #[test]
    fn hosts_name_services_or_buckets() {
        for (host, expected) in [
            ("logs.us-east-1.localhost", "logs"),
            ("sqs.us-east-1.amazonaws.com", "sqs"),
            ("sts.amazonaws.com", "sts"),
            ("STS.amazonaws.com", "sts"),
            ("cloudtrail.localhost:4580", "cloudtrail"),
            ("monitoring.localhost", "monitoring"),
            ("api.ecr.us-east-1.amazonaws.com", "ecr"),
            ("email.us-east-1.amazonaws.com", "ses"),
            ("111122223333.s3-control.us-east-1.amazonaws.com", "s3"),
            ("ec2.cn-north-1.amazonaws.com.cn", "ec2"),
            ("bucket.localhost", "s3"),
            ("bucket.s3.localhost", "s3"),
            ("bucket.s3.us-east-1.amazonaws.com", "s3"),
            ("bucket.s3.localhost.localstack.cloud", "s3"),
            ("localhost", "s3"),
            ("127.0.0.1:4580", "s3"),
            ("[::1]:4580", "s3"),
            ("example.com", "s3"),
        ] {
            let parts = head("GET /", &format!("host: {host}"));
            assert_eq!(signing_name(&parts, None), expected, "{host}");
        }
    }

    #[test]
    fn buckets_are_found_in_host_names() {
        for (host, expected) in [
            ("logs.localhost:4580", Some("logs")),
            ("my.logs.localhost", Some("my.logs")),
            ("logs.s3.us-east-1.amazonaws.com", Some("logs")),
            ("my.logs.s3.amazonaws.com", Some("my.logs")),
            ("s3.logs.s3-us-west-2.amazonaws.com", Some("s3.logs")),
            ("logs.s3.localhost.localstack.cloud:4566", Some("logs")),
            ("logs.localhost.localstack.cloud", Some("logs")),
            ("s3.localhost", None),
            ("s3.us-east-1.amazonaws.com", None),
            ("localhost:4580", None),
            ("127.0.0.1", None),
            ("sts.amazonaws.com", None),
            ("111122223333.s3-control.us-east-1.amazonaws.com", None),
            ("", None),
        ] {
            assert_eq!(virtual_bucket(host), expected, "{host}");
        }
    }

    #[test]
    fn s3_operations_are_told_apart() {
        #[rustfmt::skip]
        let cases = [
            ("GET /", "", "ListBuckets"),
            ("PUT /b", "", "CreateBucket"),
            ("PUT /b/", "", "CreateBucket"),
            ("HEAD /b", "", "HeadBucket"),
            ("DELETE /b", "", "DeleteBucket"),
            ("GET /b", "", "ListObjects"),
            ("GET /b?prefix=x&delimiter=%2F", "", "ListObjects"),
            ("GET /b?list-type=2&prefix=x", "", "ListObjectsV2"),
            ("GET /b/?list-type=2", "", "ListObjectsV2"),
            ("GET /b?versions", "", "ListObjectVersions"),
            ("GET /b?uploads", "", "ListMultipartUploads"),
            ("GET /b?location", "", "GetBucketLocation"),
            ("GET /b?acl", "", "GetBucketAcl"),
            ("PUT /b?acl", "", "PutBucketAcl"),
            ("PUT /b?policy", "", "PutBucketPolicy"),
            ("GET /b?policy=", "", "GetBucketPolicy"),
            ("GET /b?policyStatus", "", "GetBucketPolicyStatus"),
            ("DELETE /b?policy", "", "DeleteBucketPolicy"),
            ("GET /b?lifecycle", "", "GetBucketLifecycleConfiguration"),
            ("PUT /b?lifecycle", "", "PutBucketLifecycleConfiguration"),
            ("PUT /b?notification", "", "PutBucketNotificationConfiguration"),
            ("PUT /b?versioning", "", "PutBucketVersioning"),
            ("GET /b?object-lock", "", "GetObjectLockConfiguration"),
            ("PUT /b?publicAccessBlock", "", "PutPublicAccessBlock"),
            ("GET /b?analytics&id=1", "", "GetBucketAnalyticsConfiguration"),
            ("GET /b?analytics", "", "ListBucketAnalyticsConfigurations"),
            ("POST /b?delete", "", "DeleteObjects"),
            ("PUT /b/k?x-id=PutObject", "", "PutObject"),
            ("PUT /b/a/b//c/", "", "PutObject"),
            ("PUT /b/k", "x-amz-copy-source: b/other", "CopyObject"),
            ("PUT /b/k?partNumber=1&uploadId=u", "", "UploadPart"),
            ("PUT /b/k?partNumber=1&uploadId=u", "x-amz-copy-source: b/other", "UploadPartCopy"),
            ("POST /b/k?uploads", "", "CreateMultipartUpload"),
            ("POST /b/k?uploadId=u", "", "CompleteMultipartUpload"),
            ("DELETE /b/k?uploadId=u", "", "AbortMultipartUpload"),
            ("GET /b/k?uploadId=u", "", "ListParts"),
            ("GET /b/k", "", "GetObject"),
            ("GET /b/k?versionId=1&response-content-type=a", "", "GetObject"),
            ("HEAD /b/k", "", "HeadObject"),
            ("DELETE /b/k?versionId=1", "", "DeleteObject"),
            ("GET /b/k?acl", "", "GetObjectAcl"),
            ("GET /b/k?attributes", "x-amz-object-attributes: ETag", "GetObjectAttributes"),
            ("PUT /b/k?tagging", "", "PutObjectTagging"),
            ("PUT /b/k?retention", "", "PutObjectRetention"),
            ("POST /b/k?restore", "", "RestoreObject"),
            ("POST /b/k?select&select-type=2", "", "SelectObjectContent"),
            ("PUT /b/k?renameObject", "x-amz-rename-source: o", "RenameObject"),
            ("GET /", "host: b.localhost", "ListObjects"),
            ("GET /k?acl", "host: b.s3.us-east-1.amazonaws.com", "GetObjectAcl"),
            ("PUT /", "host: b.s3.localhost:4580", "CreateBucket"),
            ("GET /?list-type=2", "host: logs.localhost", "ListObjectsV2"),
        ];
        for (line, headers, expected) in cases {
            let headers = signed("s3") + headers;
            let expected = format!("s3 {expected} RestXml");
            assert_eq!(route(line, &headers, ""), expected, "{line}");
        }
    }

    #[test]
    fn the_protocol_is_that_of_the_request() {
        let cases = [
            (
                "POST /",
                "x-amz-target: A.B",
                Some("cloudwatch"),
                Protocol::Json,
            ),
            (
                "POST /",
                "smithy-protocol: rpc-v2-cbor",
                None,
                Protocol::Cbor,
            ),
            ("POST /", FORM, Some("ec2"), Protocol::Ec2),
            ("POST /", FORM, Some("sqs"), Protocol::Query),
            ("POST /", FORM, Some("cloudwatch"), Protocol::Query),
            ("PUT /b/k", FORM, Some("s3"), Protocol::RestXml),
            ("GET /?Action=X", "", Some("sts"), Protocol::Query),
            ("GET /", "", Some("lambda"), Protocol::RestJson),
            ("GET /", "", Some("cloudwatch"), Protocol::Cbor),
            (
                "POST /",
                "content-type: application/json",
                None,
                Protocol::RestJson,
            ),
            ("GET /", "", None, Protocol::RestXml),
        ];
        for (line, headers, service, expected) in cases {
            let service = service.map(|id| models().service(id).unwrap());
            assert_eq!(
                protocol(&head(line, headers), service),
                expected,
                "{line} {headers}"
            );
        }
    }
}
