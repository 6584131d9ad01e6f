//! An application in process: a frozen clock, seeded ids, a temporary folder, and the real SDK on its router.

pub(crate) mod faulty;
pub(crate) mod stub;
pub(crate) mod wire;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

use aws_sdk_cloudtrail::Client;
use aws_sdk_cloudtrail::config::{BehaviorVersion, Credentials, Region};
use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::body::SdkBody;
use axum::Router;
use axum::body::Body;
use axum::extract::ConnectInfo;
use axum::http::{HeaderMap, Request, Response, StatusCode};
use bytes::Bytes;
use chrono::{DateTime, TimeDelta, Utc};
use clap::Parser;
use flate2::read::GzDecoder;
use http_body_util::BodyExt;
use localtrail::app::App;
use localtrail::config::CommandLine;
use localtrail::embedded::Caller;
use localtrail::http::router;
use localtrail::store::{Due, Item, Store};
use localtrail::worker::Report;
use serde_json::{Value, json};
use tower_service::Service;

/// The account of an access key that is one.
pub(crate) const ACCOUNT: &str = "111122223333";
pub(crate) const REGION: &str = "us-east-1";
/// Where the clock stands at the start.
pub(crate) const START: &str = "2026-11-22T15:01:30Z";

/// A server without a port.
pub(crate) struct TestApp {
    pub(crate) app: Arc<App>,
    router: Router,
}

impl TestApp {
    pub(crate) async fn new() -> Self {
        Self::with("").await
    }

    /// With more options, as on the command line.
    pub(crate) async fn with(options: &str) -> Self {
        let words = format!("localtrail --time {START} --seed 1 {options}");
        let config = CommandLine::parse_from(words.split_whitespace()).config();
        let app = App::open(config, "http://127.0.0.1:4580").await.unwrap();
        Self {
            router: router(Arc::clone(&app)),
            app,
        }
    }

    /// The SDK as root of [`ACCOUNT`] in [`REGION`].
    pub(crate) fn sdk(&self) -> Client {
        self.sdk_of(ACCOUNT, REGION)
    }

    pub(crate) fn sdk_of(&self, access_key: &str, region: &str) -> Client {
        let config = aws_sdk_cloudtrail::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .credentials_provider(Credentials::new(access_key, "secret", None, None, "test"))
            .region(Region::new(region.to_owned()))
            .endpoint_url("http://127.0.0.1:4580")
            .retry_config(aws_sdk_cloudtrail::config::retry::RetryConfig::disabled())
            .http_client(InProcess(self.router.clone()))
            .build();
        Client::from_conf(config)
    }

    /// A request as it is, from this machine.
    pub(crate) async fn send(&self, request: Request<Body>) -> Response<Bytes> {
        self.try_send(request).await.unwrap()
    }

    /// The same; an error where the answer breaks off.
    pub(crate) async fn try_send(
        &self,
        request: Request<Body>,
    ) -> Result<Response<Bytes>, axum::Error> {
        self.send_from(IpAddr::V4(Ipv4Addr::LOCALHOST), request)
            .await
    }

    /// The same, from the machine `peer`.
    pub(crate) async fn send_from(
        &self,
        peer: IpAddr,
        request: Request<Body>,
    ) -> Result<Response<Bytes>, axum::Error> {
        let (parts, body) = answer(&self.router, peer, request).await.into_parts();
        let body = body.collect().await?.to_bytes();
        Ok(Response::from_parts(parts, body))
    }

    /// A signed request of `service`.
    pub(crate) async fn call(
        &self,
        service: &str,
        method: &str,
        path: &str,
        body: &str,
    ) -> Response<Bytes> {
        let scope = format!("{ACCOUNT}/20261122/{REGION}/{service}/aws4_request");
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header("host", "127.0.0.1:4580")
            .header("x-amz-date", "20261122T150130Z")
            .header(
                "authorization",
                format!("AWS4-HMAC-SHA256 Credential={scope}, SignedHeaders=host, Signature=0"),
            )
            .header("content-type", "application/x-www-form-urlencoded")
            .header("content-length", body.len())
            .body(Body::from(body.to_owned()));
        self.send(request.unwrap()).await
    }

    /// A call of CloudTrail as raw JSON, for what the SDK does not know or would not send.
    pub(crate) async fn cloudtrail(&self, operation: &str, body: &str) -> Value {
        let scope = format!("{ACCOUNT}/20261122/{REGION}/cloudtrail/aws4_request");
        let request = Request::post("/")
            .header("host", "127.0.0.1:4580")
            .header("x-amz-date", "20261122T150130Z")
            .header("x-amz-target", format!("CloudTrail_20131101.{operation}"))
            .header(
                "authorization",
                format!("AWS4-HMAC-SHA256 Credential={scope}, SignedHeaders=host, Signature=0"),
            )
            .header("content-type", "application/x-amz-json-1.1")
            .body(Body::from(body.to_owned()));
        let answer = self.send(request.unwrap()).await;
        serde_json::from_slice(answer.body()).unwrap()
    }

    /// A bucket that CloudTrail may write to. Its policy is put past the door, and so is not recorded.
    pub(crate) async fn bucket(&self, name: &str) {
        self.closed_bucket(name).await;
        let bucket = format!("arn:aws:s3:::{name}");
        let policy = allow(
            &["s3:GetBucketAcl", "s3:PutObject"],
            &[&bucket, &format!("{bucket}/*")],
        );
        let put = self.app.store.bucket_setting_put(name, "policy", &policy);
        put.await.unwrap();
    }

    /// A bucket without a policy, as a new one is.
    pub(crate) async fn closed_bucket(&self, name: &str) {
        let answer = self.call("s3", "PUT", &format!("/{name}"), "").await;
        assert_eq!(answer.status(), StatusCode::OK, "{answer:?}");
    }

    /// A topic that CloudTrail may publish to, its policy put past the door; gives its ARN.
    pub(crate) async fn topic(&self, name: &str) -> String {
        let arn = self.closed_topic(name).await;
        let attributes = json!({ "Policy": allow(&["SNS:Publish"], &[&arn]) }).to_string();
        let update = self.app.store.topic_update(&arn, &attributes, "[]");
        update.await.unwrap();
        arn
    }

    /// A topic that only its owner may publish to, as a new one is; gives its ARN.
    pub(crate) async fn closed_topic(&self, name: &str) -> String {
        let create = format!("Action=CreateTopic&Version=2010-03-31&Name={name}");
        let answer = self.call("sns", "POST", "/", &create).await;
        assert_eq!(answer.status(), StatusCode::OK, "{answer:?}");
        format!("arn:aws:sns:{REGION}:{ACCOUNT}:{name}")
    }

    /// A bucket `logs` and a trail `main` that logs to it.
    pub(crate) async fn logging_trail(&self) -> Client {
        self.bucket("logs").await;
        let sdk = self.sdk();
        sdk.create_trail()
            .name("main")
            .s3_bucket_name("logs")
            .send()
            .await
            .unwrap();
        sdk.start_logging().name("main").send().await.unwrap();
        sdk
    }

    /// A call of the control API.
    pub(crate) async fn control(
        &self,
        method: &str,
        call: &str,
        body: Value,
    ) -> (StatusCode, Value) {
        let request = Request::builder()
            .method(method)
            .uri(format!("/_localtrail/{call}"));
        let body = if body.is_null() {
            Body::empty()
        } else {
            Body::from(body.to_string())
        };
        let answer = self.send(request.body(body).unwrap()).await;
        (
            answer.status(),
            serde_json::from_slice(answer.body()).unwrap_or(Value::Null),
        )
    }

    /// A figure of the metrics.
    pub(crate) async fn metric(&self, name: &str) -> Option<u64> {
        let request = Request::get("/_localtrail/metrics").body(Body::empty());
        let answer = self.send(request.unwrap()).await;
        let text = String::from_utf8(answer.body().to_vec()).unwrap();
        let mut figures = text.lines().filter_map(|line| line.split_once(' '));
        figures
            .find(|(found, _)| *found == name)
            .map(|(_, figure)| figure.parse().unwrap())
    }

    /// Everything recorded, oldest first.
    pub(crate) async fn events(&self) -> Vec<Value> {
        let (_, answer) = self.control("GET", "events", Value::Null).await;
        answer["Records"].as_array().unwrap().clone()
    }

    /// Moves the clock and does what is due on the way.
    pub(crate) async fn advance(&self, by: TimeDelta) {
        self.app.worker.advance(self.now() + by).await.unwrap();
    }

    pub(crate) async fn settle(&self) -> Report {
        self.app.worker.settle().await.unwrap()
    }

    pub(crate) fn now(&self) -> DateTime<Utc> {
        self.app.clock.now()
    }

    /// The records of every log file in a bucket, by key.
    pub(crate) async fn log_files(&self, bucket: &str) -> Vec<(String, Vec<Value>)> {
        let listed = self
            .call("s3", "GET", &format!("/{bucket}?list-type=2"), "")
            .await;
        let mut files = Vec::new();
        let keys = keys(listed.body());
        for key in keys.into_iter().filter(|key| key.contains("/CloudTrail/")) {
            let (_, bytes) = self.object(bucket, &key).await;
            files.push((key, log_file(&bytes)));
        }
        files
    }

    /// What the embedded S3 answers past the door, so that looking leaves no record.
    async fn look(&self, path: &str) -> Bytes {
        let caller = Caller {
            account: ACCOUNT.to_owned(),
            region: REGION.to_owned(),
            principal_id: ACCOUNT.to_owned(),
            arn: None,
            access_key: None,
        };
        let request = Request::get(path).body(Body::empty()).unwrap();
        let answer = self.app.embedded.s3.call(caller, request).await;
        assert_eq!(answer.status(), StatusCode::OK, "{path}");
        answer.into_body().collect().await.unwrap().to_bytes()
    }

    /// The keys in a bucket, read without a record.
    pub(crate) async fn object_keys(&self, bucket: &str) -> Vec<String> {
        let listed = self.look(&format!("/{bucket}?list-type=2")).await;
        keys(&listed)
    }

    /// The records of a log file, read without a record.
    pub(crate) async fn records(&self, bucket: &str, key: &str) -> Vec<Value> {
        log_file(&self.look(&format!("/{bucket}/{key}")).await)
    }

    pub(crate) async fn object(&self, bucket: &str, key: &str) -> (HeaderMap, Bytes) {
        let answer = self
            .call("s3", "GET", &format!("/{bucket}/{key}"), "")
            .await;
        assert_eq!(answer.status(), StatusCode::OK, "{key}");
        (answer.headers().clone(), answer.into_body())
    }
}

/// A policy that lets CloudTrail do all of `actions` at all of `resources`.
pub(crate) fn allow(actions: &[&str], resources: &[&str]) -> String {
    let statement = json!({
        "Effect": "Allow",
        "Principal": { "Service": "cloudtrail.amazonaws.com" },
        "Action": actions,
        "Resource": resources,
    });
    json!({ "Version": "2012-10-17", "Statement": [statement] }).to_string()
}

/// The keys in the answer of ListObjects.
fn keys(listed: &[u8]) -> Vec<String> {
    let text = String::from_utf8(listed.to_vec()).unwrap();
    text.split("<Key>")
        .skip(1)
        .map(|rest| rest.split("</Key>").next().unwrap().to_owned())
        .collect()
}

/// Up to `limit` steps that are due.
pub(crate) async fn due(store: &Store, now_ms: i64, limit: u32) -> Vec<Item> {
    match store.outbox_due(now_ms, limit).await.unwrap() {
        Due::Now(items) => items,
        Due::At(_) | Due::Never => Vec::new(),
    }
}

/// The records of a log file.
pub(crate) fn log_file(bytes: &[u8]) -> Vec<Value> {
    let text = std::io::read_to_string(GzDecoder::new(bytes)).unwrap();
    let file: Value = serde_json::from_str(&text).unwrap();
    file["Records"].as_array().unwrap().clone()
}

/// Names of events, in their order.
pub(crate) fn names(events: &[Value]) -> Vec<&str> {
    events
        .iter()
        .map(|event| event["eventName"].as_str().unwrap())
        .collect()
}

async fn answer(router: &Router, peer: IpAddr, mut request: Request<Body>) -> Response<Body> {
    let peer = SocketAddr::new(peer, 40_000);
    request.extensions_mut().insert(ConnectInfo(peer));
    match router.clone().call(request).await {
        Ok(answer) => answer,
        Err(never) => match never {},
    }
}

#[derive(Clone, Debug)]
struct InProcess(Router);

impl HttpClient for InProcess {
    fn http_connector(
        &self,
        _: &HttpConnectorSettings,
        _: &RuntimeComponents,
    ) -> SharedHttpConnector {
        SharedHttpConnector::new(self.clone())
    }
}

impl HttpConnector for InProcess {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let router = self.0.clone();
        HttpConnectorFuture::new(async move {
            let other = |error: Box<dyn std::error::Error + Send + Sync>| {
                ConnectorError::other(error, None)
            };
            let request = request
                .try_into_http1x()
                .map_err(|error| other(error.into()))?;
            let request = request
                .map(|body| Body::from(body.bytes().expect("requests are not streamed").to_vec()));
            let peer = IpAddr::V4(Ipv4Addr::LOCALHOST);
            let (parts, body) = answer(&router, peer, request).await.into_parts();
            let body = body
                .collect()
                .await
                .map_err(|error| other(error.into()))?
                .to_bytes();
            HttpResponse::try_from(Response::from_parts(parts, SdkBody::from(body)))
                .map_err(|error| other(error.into()))
        })
    }
}
