//! The AWS services that localtrail itself calls (S3 for log files, SNS for notifications, STS to learn an account),
//! embedded or at an endpoint. Says what is done there, in our verbs; not when or why.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, StatusCode, Uri};
use http_body_util::{BodyExt, Full, Limited};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use crate::aws::params::WireError;
use crate::aws::route::Call;
use crate::aws::sigv4::Signer;
use crate::aws::{Params, models, params};
use crate::client::Client;
use crate::clock::machine_time;
use crate::embedded;

/// How long a call may take in all, a log file of 50 MB included.
const TIMEOUT: Duration = Duration::from_secs(30);
/// Longest answer that is read.
const ANSWER_LIMIT: usize = 1 << 20;
/// What S3 leaves unescaped in a key, besides letters and digits.
const KEY: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'_')
    .remove(b'.')
    .remove(b'~')
    .remove(b'/');

/// A service refused, or could not be reached.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{code}: {message}")]
pub struct TargetError {
    /// The service's own error code: `AccessDenied`, `NoSuchBucket`, `NotFound`; `ServiceUnavailable` where it gave
    /// none, `RequestTimeout` where it gave no answer.
    pub code: String,
    pub message: String,
}

/// A log file on its way.
#[derive(Clone, Debug)]
pub struct LogFileObject<'a> {
    /// Account that the file is of.
    pub account: &'a str,
    /// Region that the call is signed for.
    pub region: &'a str,
    pub bucket: &'a str,
    pub key: &'a str,
    /// Key of SSE-KMS; without one S3 decides.
    pub kms_key_id: Option<&'a str>,
    pub bytes: Bytes,
}

/// Where a service is.
#[derive(Clone, Debug)]
pub enum Target<E> {
    Embedded(E),
    /// `http://host:port`
    Endpoint(Uri),
    /// Neither embedded nor at an endpoint.
    Nowhere,
}

/// Access key and secret for calls to endpoints; without them calls are signed with the account id as key, as most
/// emulators take it.
#[derive(Clone, Debug)]
pub struct Credentials {
    pub access_key_id: String,
    pub secret_access_key: crate::config::Secret,
}

/// S3 and SNS as localtrail uses them. Clones share connections.
#[derive(Clone, Debug)]
pub struct Targets(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    s3: Target<embedded::s3::S3>,
    sns: Target<embedded::sns::Sns>,
    client: Client<Full<Bytes>>,
    credentials: Option<Credentials>,
}

impl Targets {
    pub fn new(
        s3: Target<embedded::s3::S3>,
        sns: Target<embedded::sns::Sns>,
        client: Client<Full<Bytes>>,
        credentials: Option<Credentials>,
    ) -> Self {
        Self(Arc::new(Inner {
            s3,
            sns,
            client,
            credentials,
        }))
    }

    /// Whether `bucket` exists; one that exists but refuses us counts.
    pub async fn bucket_exists(
        &self,
        account: &str,
        region: &str,
        bucket: &str,
    ) -> Result<bool, TargetError> {
        match &self.0.s3 {
            Target::Embedded(s3) => Ok(s3.bucket_exists(bucket)),
            Target::Endpoint(endpoint) => {
                let call = Outgoing {
                    method: Method::HEAD,
                    path: format!("/{bucket}"),
                    ..Outgoing::s3(account, region)
                };
                let answer = self.send(endpoint, call).await?;
                match answer.status {
                    StatusCode::NOT_FOUND => Ok(false),
                    status if status.is_server_error() => Err(answer.error("s3", "HeadBucket")),
                    _ => Ok(true),
                }
            }
            Target::Nowhere => Err(nowhere("S3")),
        }
    }

    /// Whether the topic exists.
    pub async fn topic_exists(&self, account: &str, topic_arn: &str) -> Result<bool, TargetError> {
        match &self.0.sns {
            Target::Embedded(sns) => Ok(sns.topic_exists(topic_arn).await?),
            Target::Endpoint(endpoint) => {
                let form = [("Action", "GetTopicAttributes"), ("TopicArn", topic_arn)];
                let answer = self
                    .send(endpoint, Outgoing::sns(account, topic_arn, &form))
                    .await?;
                if answer.status.is_success() {
                    return Ok(true);
                }
                let error = answer.error("sns", "GetTopicAttributes");
                if answer.status.is_server_error() {
                    Err(error)
                } else {
                    Ok(false)
                }
            }
            Target::Nowhere => Err(nowhere("SNS")),
        }
    }

    /// Publishes `message` to the topic.
    pub async fn publish(&self, topic_arn: &str, message: &str) -> Result<(), TargetError> {
        match &self.0.sns {
            Target::Embedded(sns) => Ok(sns.publish(topic_arn, message).await?),
            Target::Endpoint(endpoint) => {
                let account = crate::aws::arn::Arn::parse(topic_arn).map_or("", |arn| arn.account);
                let form = [
                    ("Action", "Publish"),
                    ("TopicArn", topic_arn),
                    ("Message", message),
                ];
                let answer = self
                    .send(endpoint, Outgoing::sns(account, topic_arn, &form))
                    .await?;
                if answer.status.is_success() {
                    Ok(())
                } else {
                    Err(answer.error("sns", "Publish"))
                }
            }
            Target::Nowhere => Err(nowhere("SNS")),
        }
    }

    /// Writes a log file to its bucket, with the headers that CloudTrail sends (facts 4.3).
    pub async fn put_log_file(&self, object: LogFileObject<'_>) -> Result<(), TargetError> {
        match &self.0.s3 {
            Target::Embedded(s3) => {
                let attributes = embedded::s3::ObjectAttributes {
                    content_type: Some("application/json".to_owned()),
                    content_encoding: Some("gzip".to_owned()),
                    acl: Some("bucket-owner-full-control".to_owned()),
                    server_side_encryption: object.kms_key_id.map(|_| "aws:kms".to_owned()),
                    kms_key_id: object.kms_key_id.map(ToOwned::to_owned),
                    ..embedded::s3::ObjectAttributes::default()
                };
                Ok(s3
                    .object_put(object.bucket, object.key, object.bytes, attributes)
                    .await?)
            }
            Target::Endpoint(endpoint) => {
                let mut call = Outgoing {
                    method: Method::PUT,
                    path: format!(
                        "/{}/{}",
                        object.bucket,
                        utf8_percent_encode(object.key, KEY)
                    ),
                    headers: vec![
                        ("content-type", "application/json"),
                        ("content-encoding", "gzip"),
                        ("x-amz-acl", "bucket-owner-full-control"),
                    ],
                    body: object.bytes,
                    ..Outgoing::s3(object.account, object.region)
                };
                if let Some(key) = object.kms_key_id {
                    call.headers
                        .push(("x-amz-server-side-encryption", "aws:kms"));
                    call.headers
                        .push(("x-amz-server-side-encryption-aws-kms-key-id", key));
                }
                let answer = self.send(endpoint, call).await?;
                if answer.status.is_success() {
                    Ok(())
                } else {
                    Err(answer.error("s3", "PutObject"))
                }
            }
            Target::Nowhere => Err(nowhere("S3")),
        }
    }

    /// The account that the endpoint's STS takes us for.
    pub async fn account(&self, endpoint: &Uri, region: &str) -> Result<String, TargetError> {
        let form = [("Action", "GetCallerIdentity"), ("Version", "2011-06-15")];
        let answer = self
            .send(endpoint, Outgoing::query("test", region, "sts", &form))
            .await?;
        let call = known_call("sts", "GetCallerIdentity");
        let account = call
            .filter(|_| answer.status.is_success())
            .and_then(|call| {
                params::response(&call, answer.status, &answer.headers, &answer.body).ok()
            })
            .and_then(|members: Params| Some(members.get("Account")?.as_str()?.to_owned()));
        account.ok_or_else(|| answer.error("sts", "GetCallerIdentity"))
    }

    async fn send(&self, endpoint: &Uri, call: Outgoing<'_>) -> Result<Answer, TargetError> {
        let sent = tokio::time::timeout(TIMEOUT, self.exchange(endpoint, call)).await;
        sent.map_err(|_| TargetError {
            code: "RequestTimeout".to_owned(),
            message: format!("{endpoint} gave no answer within {} s", TIMEOUT.as_secs()),
        })?
    }

    async fn exchange(&self, endpoint: &Uri, call: Outgoing<'_>) -> Result<Answer, TargetError> {
        let unreachable = |error: &dyn std::fmt::Display| TargetError {
            code: "ServiceUnavailable".to_owned(),
            message: format!("cannot call {endpoint}: {error}"),
        };
        let request = self
            .signed(endpoint, call)
            .map_err(|error| unreachable(&error))?;
        let answer = self
            .0
            .client
            .request(request)
            .await
            .map_err(|error| unreachable(&error))?;
        let (parts, body) = answer.into_parts();
        let body = Limited::new(body, ANSWER_LIMIT)
            .collect()
            .await
            .map_err(|error| unreachable(&error))?
            .to_bytes();
        Ok(Answer {
            status: parts.status,
            headers: parts.headers,
            body,
        })
    }

    fn signed(&self, endpoint: &Uri, call: Outgoing<'_>) -> anyhow::Result<Request<Full<Bytes>>> {
        let authority = endpoint
            .authority()
            .map(ToString::to_string)
            .unwrap_or_default();
        let uri = Uri::builder()
            .scheme(endpoint.scheme_str().unwrap_or("http"))
            .authority(authority.as_str())
            .path_and_query(call.path)
            .build()?;
        let mut request = Request::builder()
            .method(call.method)
            .uri(uri)
            .header("host", &authority);
        for (name, value) in &call.headers {
            request = request.header(
                HeaderName::from_bytes(name.as_bytes())?,
                HeaderValue::from_str(value)?,
            );
        }
        let mut request = request.body(call.body)?;
        let (access_key_id, secret_access_key) = match &self.0.credentials {
            Some(own) => (own.access_key_id.as_str(), own.secret_access_key.expose()),
            None => (call.account, "test"),
        };
        let signer = Signer {
            access_key: access_key_id,
            secret_key: secret_access_key,
            session_token: None,
            region: call.region,
            service: call.service,
            time: machine_time(),
        };
        let added = signer.sign(
            request.method(),
            request.uri(),
            request.headers(),
            request.body(),
        )?;
        request.headers_mut().extend(added);
        Ok(request.map(Full::new))
    }
}

/// A call to be signed and sent.
struct Outgoing<'a> {
    account: &'a str,
    region: &'a str,
    service: &'static str,
    method: Method,
    /// Path, escaped.
    path: String,
    headers: Vec<(&'static str, &'a str)>,
    body: Bytes,
}

impl<'a> Outgoing<'a> {
    fn s3(account: &'a str, region: &'a str) -> Self {
        let (headers, body) = (Vec::new(), Bytes::new());
        Self {
            account,
            region,
            service: "s3",
            method: Method::GET,
            path: "/".to_owned(),
            headers,
            body,
        }
    }

    fn sns(account: &'a str, topic_arn: &'a str, form: &[(&str, &str)]) -> Self {
        let region = crate::aws::arn::Arn::parse(topic_arn).map_or("us-east-1", |arn| arn.region);
        let version = ("Version", "2010-03-31");
        let form: Vec<_> = form.iter().copied().chain([version]).collect();
        Self::query(account, region, "sns", &form)
    }

    fn query(
        account: &'a str,
        region: &'a str,
        service: &'static str,
        form: &[(&str, &str)],
    ) -> Self {
        let body = form_urlencoded::Serializer::new(String::new())
            .extend_pairs(form)
            .finish();
        Self {
            account,
            region,
            service,
            method: Method::POST,
            path: "/".to_owned(),
            headers: vec![(
                "content-type",
                "application/x-www-form-urlencoded; charset=utf-8",
            )],
            body: body.into(),
        }
    }
}

struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    body: Bytes,
}

impl Answer {
    /// The error in it, by the model of the operation called.
    fn error(&self, service: &str, operation: &str) -> TargetError {
        let WireError { code, message, .. } = known_call(service, operation)
            .map(|call| params::error(&call, self.status, &self.headers, &self.body))
            .unwrap_or_default();
        let code = if code.is_empty() {
            "ServiceUnavailable".to_owned()
        } else {
            code
        };
        TargetError {
            code,
            message: message.unwrap_or_else(|| self.status.to_string()),
        }
    }
}

fn known_call(service: &str, operation: &str) -> Option<Call> {
    let service = models().service(service)?;
    Some(Call {
        service,
        operation: service.operation(operation)?,
        protocol: service.protocol(),
    })
}

fn nowhere(service: &str) -> TargetError {
    TargetError {
        code: "ServiceUnavailable".to_owned(),
        message: format!("there is no {service}: it is neither embedded nor at an endpoint"),
    }
}

impl From<embedded::Error> for TargetError {
    fn from(error: embedded::Error) -> Self {
        Self {
            code: error.code.to_string(),
            message: error.message,
        }
    }
}
