//! The AWS services that localtrail itself calls (S3 for log files, SNS for notifications, CloudWatch Logs and
//! EventBridge for records, KMS for keys, Organizations for members, STS to learn an account), embedded or at an
//! endpoint. Says what is done there, in our verbs; not when or why. Bucket and topic policies are fetched and asked
//! here, before each write, for what answers them is an emulator that does not.

mod events;
mod kms;
mod logs;
mod organizations;
mod policies;
mod s3;
mod sns;
mod sts;

use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, StatusCode, Uri};
use http_body_util::{BodyExt, Full, Limited};
use serde_json::Value;

use crate::aws::params::WireError;
use crate::aws::route::Call;
use crate::aws::sigv4::Signer;
use crate::aws::{Params, models, params};
use crate::client::Client;
use crate::clock::machine_time;
use crate::config::PolicyCheck;
use crate::embedded;

pub use events::{BusEvent, BusRules};
pub use kms::KmsKey;
pub use logs::{LogEvent, LogGroup};
pub use organizations::Organization;
pub use s3::LogFileObject;

/// Longest answer that is read.
const ANSWER_LIMIT: usize = 1 << 20;
/// Codes of errors that pass by themselves.
const TRANSIENT: &[&str] = &[
    "InternalError",
    "InternalException",
    "InternalFailure",
    "KMSInternalException",
    "RequestTimeout",
    "ServiceException",
    "ServiceUnavailable",
    "ServiceUnavailableException",
    "ThrottlingException",
    "TooManyRequestsException",
];

/// A service refused, or could not be reached.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{code}: {message}")]
pub struct TargetError {
    /// The service's own error code: `AccessDenied`, `NoSuchBucket`, `NotFound`; `ServiceUnavailable` where it gave
    /// none, `RequestTimeout` where it gave no answer.
    pub code: String,
    pub message: String,
    /// It was called. It is not where it gave no answer shortly before: that it still would not is a guess, on which
    /// nothing is given up.
    pub was_asked: bool,
}

impl TargetError {
    /// Code of a service that did not answer in time.
    pub const TIMEOUT: &str = "RequestTimeout";

    fn new(code: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            code: code.into(),
            message: message.into(),
            was_asked: true,
        }
    }

    /// Whether the service could not answer, rather than refused.
    pub fn is_transient(&self) -> bool {
        TRANSIENT.contains(&self.code.as_str())
    }
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

/// Where the services are that are never embedded; `None` where there is no such service.
#[derive(Clone, Debug, Default)]
pub struct Endpoints {
    pub logs: Option<Uri>,
    pub events: Option<Uri>,
    pub kms: Option<Uri>,
    pub organizations: Option<Uri>,
    /// Where this is known by configuration, no service is asked.
    pub organization: Option<crate::config::Organization>,
}

/// The services as localtrail uses them. Clones share connections.
#[derive(Clone, Debug)]
pub struct Targets(Arc<Inner>, Silence);

/// The services that have given no answer in time, by signing name: they are taken to be silent still. Clones share them.
/// `None`: each is asked each time.
#[derive(Clone, Debug, Default)]
struct Silence(Option<Arc<Mutex<HashSet<&'static str>>>>);

#[derive(Debug)]
struct Inner {
    s3: Target<embedded::s3::S3>,
    sns: Target<embedded::sns::Sns>,
    endpoints: Endpoints,
    client: Client<Full<Bytes>>,
    credentials: Option<Credentials>,
    policy_check: PolicyCheck,
    /// How long a call may take in all, a log file of 50 MB included.
    timeout: Duration,
}

impl Targets {
    pub fn new(
        s3: Target<embedded::s3::S3>,
        sns: Target<embedded::sns::Sns>,
        endpoints: Endpoints,
        client: Client<Full<Bytes>>,
        credentials: Option<Credentials>,
        policy_check: PolicyCheck,
        timeout: Duration,
    ) -> Self {
        let inner = Inner {
            s3,
            sns,
            endpoints,
            client,
            credentials,
            policy_check,
            timeout,
        };
        Self(Arc::new(inner), Silence::default())
    }

    /// The same services, of which each that gives no answer in time is asked no more: what would be asked fails as that
    /// did, at once.
    pub fn noting_silence(&self) -> Self {
        Self(Arc::clone(&self.0), Silence(Some(Arc::default())))
    }

    /// Calls an operation of a service that speaks JSON, and gives the members of its answer.
    async fn call_json(&self, call: JsonCall<'_>, input: &Value) -> Result<Value, TargetError> {
        let JsonCall {
            service,
            operation,
            endpoint,
            account,
            region,
        } = call;
        let (Some(endpoint), Some(model)) = (endpoint, models().service(service)) else {
            return Err(nowhere(service));
        };
        let prefix = model.target_prefix.as_deref().unwrap_or_default();
        let target = format!("{prefix}.{operation}");
        let version = model.json_version.as_deref().unwrap_or("1.1");
        let content_type = format!("application/x-amz-json-{version}");
        let outgoing = Outgoing {
            account,
            region,
            service,
            method: Method::POST,
            path: "/".to_owned(),
            headers: vec![
                ("content-type", content_type.as_str()),
                ("x-amz-target", target.as_str()),
            ],
            body: input.to_string().into(),
        };
        let answer = self.send(endpoint, outgoing).await?;
        if !answer.status.is_success() {
            return Err(answer.error(service, operation));
        }
        // An operation without members may answer with nothing at all.
        Ok(serde_json::from_slice(&answer.body).unwrap_or_default())
    }

    async fn send(&self, endpoint: &Uri, call: Outgoing<'_>) -> Result<Answer, TargetError> {
        let (timeout, service) = (self.0.timeout, call.service);
        self.heard(service, endpoint)?;
        let sent = tokio::time::timeout(timeout, self.exchange(endpoint, call)).await;
        sent.map_err(|_| {
            self.1.note(service);
            self.no_answer(endpoint)
        })?
    }

    /// Fails where the service is known to be silent.
    fn heard(&self, service: &str, endpoint: &Uri) -> Result<(), TargetError> {
        match self.1.knows(service) {
            true => Err(TargetError {
                was_asked: false,
                ..self.no_answer(endpoint)
            }),
            false => Ok(()),
        }
    }

    fn no_answer(&self, endpoint: &Uri) -> TargetError {
        let seconds = self.0.timeout.as_secs();
        let message = format!("{endpoint} gave no answer within {seconds} s");
        TargetError::new(TargetError::TIMEOUT, message)
    }

    async fn exchange(&self, endpoint: &Uri, call: Outgoing<'_>) -> Result<Answer, TargetError> {
        let unreachable = |error: &dyn std::fmt::Display| {
            let message = format!("cannot call {endpoint}: {error}");
            TargetError::new("ServiceUnavailable", message)
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

impl Silence {
    fn services(&self) -> Option<MutexGuard<'_, HashSet<&'static str>>> {
        let services = self.0.as_ref()?.lock();
        Some(services.unwrap_or_else(PoisonError::into_inner))
    }

    fn note(&self, service: &'static str) {
        if let Some(mut services) = self.services() {
            services.insert(service);
        }
    }

    fn knows(&self, service: &str) -> bool {
        self.services()
            .is_some_and(|services| services.contains(service))
    }
}

/// A call of a service that speaks JSON.
struct JsonCall<'a> {
    /// botocore's name of the service, which is its signing name too.
    service: &'static str,
    operation: &'static str,
    endpoint: Option<&'a Uri>,
    account: &'a str,
    region: &'a str,
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
    /// What it says, by the model of the operation called; `None` where it does not fit.
    fn members(&self, service: &str, operation: &str) -> Option<Params> {
        let call = known_call(service, operation)?;
        params::response(&call, self.status, &self.headers, &self.body).ok()
    }

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
        TargetError::new(code, message.unwrap_or_else(|| self.status.to_string()))
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
    let message = format!("there is no {service}: it is neither embedded nor at an endpoint");
    TargetError::new("ServiceUnavailable", message)
}

/// What a service would say that applied its policies to CloudTrail.
fn refused(code: &str, what: &str) -> TargetError {
    TargetError::new(
        code,
        format!("the {what}'s policy does not let CloudTrail in"),
    )
}

impl From<embedded::Error> for TargetError {
    fn from(error: embedded::Error) -> Self {
        Self::new(error.code, error.message)
    }
}
