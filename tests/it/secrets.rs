//! Secrets, end to end: what the models mark sensitive is sent through the running program, and found nowhere.
//!
//! Every operation of every service that has a sensitive member in its request or its answer is called once over HTTP,
//! in its service's protocol; an upstream in this process answers with the answer's sensitive members. Each carries a
//! marker. Then the markers are looked for in the raw bytes of the database and its write-ahead log, in the log files
//! delivered, and in what the program logs at its most verbose level. A second test does the same with the secrets of
//! the embedded services, a third with those of callers whose signatures are verified.
//!
//! Not searched: the folder `objects`, where the embedded S3 keeps what its users store. Of the embedded services' rows
//! nothing is left out, so the tests put no marker into what users store there: bodies, messages, attributes.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::convert::Infallible;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};

use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};
use bytes::Bytes;
use flate2::read::GzDecoder;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use localtrail::aws::model::{Kind, Location, Member, Operation, Service, ShapeId, Structure};
use localtrail::aws::route::{self, Call, Route};
use localtrail::aws::sigv4::Signer;
use localtrail::aws::{encode, models, params, sigv4};
use localtrail::client::{self, Client, Trust};
use serde_json::{Map, Value, json};
use tempfile::TempDir;

use crate::support::{ACCOUNT, REGION, START, wire};

/// Stands in every place that the model marks sensitive: lower case, since a header's name can be one.
const MARKER: &str = "marker-7f3a9c1e";
/// Sensitive numbers and times.
const NUMBER: u64 = 918_273_645;
/// The signature of every request, and its session token.
const SIGNATURE: &str = "f00dfacef00dfacef00dfacef00dfacef00dfacef00dfacef00dfacef00dface";
const TOKEN: &str = "token-marker-51b7";
/// By which the upstream finds the answer to a call.
const ANSWER: &str = "x-test-answer";
/// Calls on their way at the same time.
const PARALLEL: usize = 4;

/// Shapes that are marked sensitive and written down all the same: names of KMS keys, which open nothing.
const SHOWN: &[&str] = &["NonEmptyKmsKeyArnString", "SSEKMSKeyId"];

/// The forms in which a marker could be written.
fn forms() -> Vec<String> {
    let bytes: Vec<String> = MARKER.bytes().map(|it| it.to_string()).collect();
    vec![
        MARKER.to_owned(),
        MARKER.to_ascii_uppercase(),
        STANDARD.encode(MARKER),
        URL_SAFE.encode(MARKER),
        bytes.join(","),
        bytes.join(", "),
        NUMBER.to_string(),
        "1999-02-06".to_owned(),
        "Feb 6, 1999".to_owned(),
        SIGNATURE.to_owned(),
        TOKEN.to_owned(),
    ]
}

/// Values for one message: markers where the model says sensitive, nothing else but what the path needs.
struct Filler<'a> {
    service: &'a Service,
    /// Structures that this message has already: one of each is enough.
    seen: HashSet<ShapeId>,
    /// What was filled: (service, structure or list, member).
    marked: &'a mut BTreeSet<(String, String, String)>,
}

impl Filler<'_> {
    fn structure(&mut self, id: ShapeId, secret: bool) -> Option<Map<String, Value>> {
        let shape = self.service.shape(id);
        let Kind::Structure(structure) = &shape.kind else {
            return None;
        };
        if structure.document || structure.event_stream || !self.seen.insert(id) {
            return None;
        }
        let secret = secret || shape.sensitive;
        let mut members = Map::new();
        for member in &structure.members {
            let of = (&*shape.name, &*member.name);
            let value = self.value(member.shape, secret, of);
            if let Some(value) = value.or_else(|| needed(self.service, structure, member)) {
                members.insert(member.name.to_string(), value);
            }
        }
        Some(members)
    }

    /// A value of a shape; `None` where nothing in it is sensitive.
    fn value(&mut self, id: ShapeId, secret: bool, of: (&str, &str)) -> Option<Value> {
        let shape = self.service.shape(id);
        let secret = (secret || shape.sensitive) && !SHOWN.contains(&&*shape.name);
        match &shape.kind {
            Kind::Structure(_) => {
                let members = self.structure(id, secret)?;
                return (!members.is_empty()).then(|| members.into());
            }
            Kind::List { element, .. } => {
                let element = self.value(element.shape, secret, (&shape.name, "element"))?;
                return Some(json!([element]));
            }
            Kind::Map { key, value, .. } => {
                let key = self.value(key.shape, secret, (&shape.name, "key"));
                let of_value = self.service.shape(value.shape);
                let value = self.value(value.shape, secret, (&shape.name, "value"));
                if key.is_none() && value.is_none() {
                    return None;
                }
                let plain = match of_value.kind {
                    Kind::String | Kind::Blob => json!("plain"),
                    Kind::List { .. } => json!([]),
                    _ => json!({}),
                };
                let key = key.as_ref().and_then(Value::as_str).unwrap_or("plain");
                return Some(json!({ key: value.unwrap_or(plain) }));
            }
            _ if !secret => return None,
            _ => {}
        }
        let (structure, member) = of;
        let service = self.service.id.to_string();
        self.marked
            .insert((service, structure.to_owned(), member.to_owned()));
        Some(match &shape.kind {
            Kind::String => MARKER.into(),
            Kind::Blob => STANDARD.encode(MARKER).into(),
            Kind::Boolean => true.into(),
            _ => NUMBER.into(),
        })
    }
}

/// What a message of this shape must have marked, found by walking all that it can hold.
fn sensitive(
    service: &Service,
    id: ShapeId,
    secret: bool,
    seen: &mut HashSet<(ShapeId, bool)>,
) -> bool {
    let shape = service.shape(id);
    let secret = (secret || shape.sensitive) && !SHOWN.contains(&&*shape.name);
    if !seen.insert((id, secret)) {
        return false;
    }
    match &shape.kind {
        Kind::Structure(structure) => {
            let mut found = false;
            for member in &structure.members {
                found |= sensitive(service, member.shape, secret, seen);
            }
            found && !structure.document && !structure.event_stream
        }
        Kind::List { element, .. } => sensitive(service, element.shape, secret, seen),
        Kind::Map { key, value, .. } => {
            let key = sensitive(service, key.shape, secret, seen);
            sensitive(service, value.shape, secret, seen) | key
        }
        _ => secret,
    }
}

/// The program, logging all it can to a file.
struct Program {
    child: Child,
    address: String,
    folder: TempDir,
    client: Client<Full<Bytes>>,
}

impl Program {
    fn start(options: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let log = std::fs::File::create(folder.path().join("log")).unwrap();
        let mut child = Command::new(env!("CARGO_BIN_EXE_localtrail"))
            .args(["--listen", "127.0.0.1:0", "--time", START])
            .args(["--bucket-policy-check", "off"])
            .args(["--account-id", ACCOUNT, "--data-dir"])
            .arg(folder.path().join("data"))
            .args(options)
            .env("LOCALTRAIL_LOG", "trace")
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .unwrap();
        let mut line = String::new();
        let stdout = child.stdout.take().unwrap();
        BufReader::new(stdout).read_line(&mut line).unwrap();
        let address = line.rsplit(' ').next().unwrap().trim().to_owned();
        let client = client::client(client::connector(Trust::Nobody).unwrap());
        Self {
            child,
            address,
            folder,
            client,
        }
    }

    async fn send(&self, mut request: Request<Bytes>) -> Response<Bytes> {
        send(&self.client, &self.address, &mut request).await
    }

    /// A call of CloudTrail.
    async fn cloudtrail(&self, operation: &str, input: Value) {
        let scope = format!("{ACCOUNT}/20261122/{REGION}/cloudtrail/aws4_request");
        let request = Request::post("/")
            .header("x-amz-target", format!("CloudTrail_20131101.{operation}"))
            .header("x-amz-date", "20261122T150130Z")
            .header("content-type", "application/x-amz-json-1.1")
            .header(
                "authorization",
                format!(
                    "AWS4-HMAC-SHA256 Credential={scope}, SignedHeaders=host, Signature={SIGNATURE}"
                ),
            );
        let answer = self
            .send(request.body(input.to_string().into()).unwrap())
            .await;
        assert_eq!(answer.status(), StatusCode::OK, "{answer:?}");
    }

    async fn flush(&self) {
        let request = Request::post("/_localtrail/flush");
        let answer = self.send(request.body(Bytes::new()).unwrap()).await;
        assert_eq!(answer.status(), StatusCode::OK, "{answer:?}");
    }

    /// How many events are recorded.
    async fn recorded(&self) -> usize {
        let request = Request::get("/_localtrail/status");
        let answer = self.send(request.body(Bytes::new()).unwrap()).await;
        let status: Value = serde_json::from_slice(answer.body()).unwrap();
        status["events"].as_u64().unwrap().try_into().unwrap()
    }

    /// Kills it, as the least tidy end, and gives the bytes of its database, its write-ahead log, and what it logged.
    fn end(mut self) -> Vec<(String, Vec<u8>)> {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        let mut files = Vec::new();
        let mut read = |path: &Path| {
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            files.push((name, std::fs::read(path).unwrap()));
        };
        for entry in std::fs::read_dir(self.folder.path().join("data")).unwrap() {
            let path = entry.unwrap().path();
            if path.is_file() {
                read(&path);
            }
        }
        read(&self.folder.path().join("log"));
        files
    }
}

async fn send(
    client: &Client<Full<Bytes>>,
    address: &str,
    request: &mut Request<Bytes>,
) -> Response<Bytes> {
    let path = request.uri().path_and_query().unwrap().to_string();
    *request.uri_mut() = format!("{address}{path}").parse().unwrap();
    let answer = client
        .request(request.clone().map(Full::new))
        .await
        .unwrap();
    let (parts, body) = answer.into_parts();
    Response::from_parts(parts, body.collect().await.unwrap().to_bytes())
}

type Answer = (HeaderMap, Vec<u8>);

/// What the upstream answers to which call, and the log files that it was given.
#[derive(Clone, Default)]
struct Upstream {
    answers: Arc<Mutex<HashMap<String, Answer>>>,
    log_files: Arc<Mutex<Vec<Vec<u8>>>>,
}

impl Upstream {
    async fn start(self) -> String {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let upstream = self.clone();
                let service = service_fn(move |request| {
                    let upstream = upstream.clone();
                    async move { Ok::<_, Infallible>(answer(&upstream, request).await) }
                });
                let connection =
                    http1::Builder::new().serve_connection(TokioIo::new(stream), service);
                tokio::spawn(connection);
            }
        });
        format!("http://{address}")
    }
}

async fn answer(upstream: &Upstream, request: Request<Incoming>) -> Response<Full<Bytes>> {
    let (head, body) = request.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    let mut response = Response::new(Full::default());
    if let Some(id) = head.headers.get(ANSWER) {
        let answer = upstream
            .answers
            .lock()
            .unwrap()
            .remove(id.to_str().unwrap());
        let (headers, body) = answer.unwrap();
        *response.headers_mut() = headers;
        if head.method != Method::HEAD {
            *response.body_mut() = Full::from(body);
        }
    } else if head.method == Method::PUT && head.uri.path().ends_with(".json.gz") {
        upstream.log_files.lock().unwrap().push(body.to_vec());
    }
    response
}

/// Head and body of an answer with these members.
fn encoded(call: &Call, members: &Map<String, Value>) -> Answer {
    let (body, content_type) =
        encode::output(call, members, "11112222-3333-4444-8555-666677778888");
    let mut headers = HeaderMap::new();
    headers.insert("content-type", HeaderValue::from_static(content_type));
    let output = call
        .operation
        .output
        .and_then(|it| call.service.structure(it));
    for member in output.into_iter().flat_map(|it| &it.members) {
        let value = members.get(&*member.name);
        let mut put = |name: &str, value: &Value| {
            let text = value
                .as_str()
                .map_or_else(|| value.to_string(), str::to_owned);
            let name = HeaderName::try_from(name).unwrap();
            headers.insert(name, HeaderValue::try_from(text).unwrap());
        };
        match (member.location, value) {
            (Location::Header, Some(value)) => put(member.wire(), value),
            (Location::Headers, Some(Value::Object(entries))) => {
                for (key, value) in entries {
                    put(&format!("{}{key}", member.wire()), value);
                }
            }
            _ => {}
        }
    }
    (headers, body)
}

/// Signs a request by header, or in its URI; what signs it is a marker.
fn sign(request: &mut Request<Bytes>, service: &Service, in_uri: bool) {
    let scope = format!(
        "{ACCOUNT}/20261122/{REGION}/{}/aws4_request",
        service.signing_name
    );
    if !in_uri {
        let value = format!(
            "AWS4-HMAC-SHA256 Credential={scope}, SignedHeaders=host, Signature={SIGNATURE}"
        );
        let headers = request.headers_mut();
        headers.insert("authorization", value.parse().unwrap());
        headers.insert("x-amz-date", HeaderValue::from_static("20261122T150130Z"));
        headers.insert("x-amz-security-token", HeaderValue::from_static(TOKEN));
        return;
    }
    let uri = request.uri().to_string();
    let join = if uri.contains('?') { '&' } else { '?' };
    let scope = scope.replace('/', "%2F");
    let uri = format!(
        "{uri}{join}X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential={scope}&X-Amz-Date=20261122T150130Z\
         &X-Amz-Expires=900&X-Amz-SignedHeaders=host&X-Amz-Security-Token={TOKEN}&X-Amz-Signature={SIGNATURE}"
    );
    *request.uri_mut() = uri.parse().unwrap();
}

/// Whether the request is understood as this call with these parameters, as far as the body is parsed at all.
fn is_understood(request: &Request<Bytes>, operation: &Operation, sent: &Value) -> bool {
    let (parts, body) = request.clone().into_parts();
    let signature = sigv4::parse(&parts).unwrap();
    let Route::Call(call) = route::find(&parts, signature.as_ref(), &body) else {
        return false;
    };
    let parsed = params::request(&call, &parts, &body).unwrap_or_default();
    let count =
        |text: String| text.matches(MARKER).count() + text.matches(&NUMBER.to_string()).count();
    call.operation.name == operation.name
        && (count(sent.to_string()) == 0 || count(Value::from(parsed).to_string()) > 0)
}

/// Says what was searched: `cargo test --test it secrets -- --nocapture` shows it.
#[expect(clippy::print_stdout, reason = "the figures are for people")]
fn tell(line: &str) {
    println!("{line}");
}

struct Found(Vec<String>);

/// Looks for `forms` in files; gives the number of bytes that were searched.
fn search(files: &[(String, Vec<u8>)], forms: &[String]) -> (usize, Found) {
    let mut found = Vec::new();
    for (name, bytes) in files {
        let text = String::from_utf8_lossy(bytes);
        for form in forms {
            if let Some(at) = text.find(form.as_str()) {
                let from = text.floor_char_boundary(at.saturating_sub(200));
                let to = text.ceil_char_boundary((at + 200).min(text.len()));
                found.push(format!("{form} in {name}: …{}…", &text[from..to]));
            }
        }
    }
    (
        files.iter().map(|(_, bytes)| bytes.len()).sum(),
        Found(found),
    )
}

fn inflated(log_files: &[Vec<u8>]) -> Vec<(String, Vec<u8>)> {
    let inflate = |(index, gzip): (usize, &Vec<u8>)| {
        let mut bytes = Vec::new();
        GzDecoder::new(gzip.as_slice())
            .read_to_end(&mut bytes)
            .unwrap();
        (format!("log file {index}"), bytes)
    };
    log_files.iter().enumerate().map(inflate).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_sensitive_is_found_in_database_log_files_or_log() {
    let upstream = Upstream::default();
    let address = upstream.clone().start().await;
    let program = Program::start(&["--upstream", &address]);
    program
        .cloudtrail(
            "CreateTrail",
            json!({"Name": "main", "S3BucketName": "logs"}),
        )
        .await;
    let data = |kind: &str| {
        json!({"FieldSelectors": [{"Field": "eventCategory", "Equals": ["Data"]},
                                  {"Field": "resources.type", "Equals": [kind]}]})
    };
    let selectors = json!([
        {"FieldSelectors": [{"Field": "eventCategory", "Equals": ["Management"]}]},
        data("AWS::S3::Object"), data("AWS::SNS::Topic"), data("AWS::SQS::Queue"),
        data("AWS::DynamoDB::Table"), data("AWS::Lambda::Function"), data("AWS::Cognito::IdentityPool"),
        data("AWS::KinesisFirehose::DeliveryStream"), data("AWS::Kinesis::Stream"),
    ]);
    program
        .cloudtrail(
            "PutEventSelectors",
            json!({"TrailName": "main", "AdvancedEventSelectors": selectors}),
        )
        .await;
    program
        .cloudtrail("StartLogging", json!({"Name": "main"}))
        .await;

    let (mut services, mut operations, mut requests, mut answers) = (BTreeSet::new(), 0, 0, 0);
    let mut marked = BTreeSet::new();
    let mut lost = Vec::new();
    let mut sending = tokio::task::JoinSet::new();
    for id in models().ids() {
        let service = models().service(id).unwrap();
        for operation in &service.operations {
            let mut fill = |shape: Option<ShapeId>| {
                let shape = shape.filter(|&it| sensitive(service, it, false, &mut HashSet::new()));
                let mut filler = Filler {
                    service,
                    seen: HashSet::new(),
                    marked: &mut marked,
                };
                shape.and_then(|shape| filler.structure(shape, false))
            };
            let (input, output) = (fill(operation.input), fill(operation.output));
            // CloudTrail's own calls do not get to the upstream.
            if (input.is_none() && output.is_none()) || &*service.signing_name == "cloudtrail" {
                continue;
            }
            services.insert(id);
            operations += 1;
            requests += usize::from(input.is_some());
            answers += usize::from(output.is_some());
            let input = input.unwrap_or_else(|| plain(service, operation));
            let call = Call {
                service,
                operation,
                protocol: service.protocol(),
            };
            let answer_id = operations.to_string();
            let answer = encoded(&call, &output.unwrap_or_default());
            upstream
                .answers
                .lock()
                .unwrap()
                .insert(answer_id.clone(), answer);
            let mut request = wire::request(service, operation, &input);
            let host = format!("{}.{REGION}.amazonaws.com", service.endpoint_prefix);
            request.headers_mut().insert("host", host.parse().unwrap());
            sign(&mut request, service, operations % 3 == 0);
            if !is_understood(&request, operation, &input.into()) {
                lost.push(format!("{id} {}", operation.name));
            }
            request
                .headers_mut()
                .insert(ANSWER, answer_id.parse().unwrap());
            let (client, address) = (program.client.clone(), program.address.clone());
            sending.spawn(async move { send(&client, &address, &mut request).await.status() });
            if sending.len() >= PARALLEL {
                assert_eq!(sending.join_next().await.unwrap().unwrap(), StatusCode::OK);
            }
        }
    }
    while let Some(status) = sending.join_next().await {
        assert_eq!(status.unwrap(), StatusCode::OK);
    }
    program.flush().await;
    let recorded = program.recorded().await;

    let mut files = program.end();
    let log_files = upstream.log_files.lock().unwrap().clone();
    files.extend(inflated(&log_files));
    let (bytes, Found(found)) = search(&files, &forms());
    tell(&format!(
        "{} services, {operations} operations ({requests} with sensitive members in the request, {answers} in the \
         answer), {} members; {recorded} events; {bytes} bytes searched:",
        services.len(),
        marked.len(),
    ));
    for (name, bytes) in &files {
        tell(&format!("  {name}: {} bytes", bytes.len()));
    }
    tell(&format!("  not understood as sent: {lost:?}"));
    assert!(
        found.is_empty(),
        "{} places:\n{}",
        found.len(),
        found.join("\n")
    );
    // So that the test does not pass because nothing was sent, understood, delivered, logged or looked for.
    for (name, shown) in [
        ("log", "TRACE"),
        ("log file 0", r#""eventName":"CreateUser""#),
        ("localtrail.sqlite", "CreateUser"),
    ] {
        let file = files.iter().find(|(file, _)| file == name).unwrap();
        assert!(String::from_utf8_lossy(&file.1).contains(shown), "{name}");
    }
    assert!(
        operations > 2_400 && marked.len() > 3_000,
        "{operations} {}",
        marked.len()
    );
    assert!(lost.len() < operations / 50, "{} were lost", lost.len());
    assert!(recorded > operations - lost.len() - 50, "{recorded} events");
    assert!(!log_files.is_empty());
}

/// The value of a member that is not sensitive, if the operation would not be known without it.
fn needed(service: &Service, structure: &Structure, member: &Member) -> Option<Value> {
    let is_required = structure.required.contains(&member.name);
    match (member.location, &service.shape(member.shape).kind) {
        (Location::Uri, _) => Some("plain".into()),
        (Location::QueryString | Location::Header, Kind::Integer | Kind::Long) if is_required => {
            Some(1.into())
        }
        (Location::QueryString | Location::Header, Kind::String) if is_required => {
            Some("plain".into())
        }
        _ => None,
    }
}

/// A request without anything sensitive.
fn plain(service: &Service, operation: &Operation) -> Map<String, Value> {
    let input = operation.input.and_then(|input| service.structure(input));
    let members = input
        .into_iter()
        .flat_map(|it| it.members.iter().map(move |member| (it, member)));
    members
        .filter_map(|(input, member)| {
            let value = needed(service, input, member)?;
            Some((member.name.to_string(), value))
        })
        .collect()
}

/// The content of each element of this name.
fn elements(xml: &[u8], name: &str) -> Vec<String> {
    let text = String::from_utf8_lossy(xml);
    let content = |rest: &str| Some(rest.split_once("</")?.0.to_owned());
    text.split(&format!("<{name}>"))
        .skip(1)
        .filter_map(content)
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_secret_of_the_embedded_services_is_kept_or_logged() {
    let program = Program::start(&[]);
    let s3 = models().service("s3").unwrap();
    let sts = models().service("sts").unwrap();
    // As long as a key is, and its base64 begins with the marker's.
    let key = STANDARD.encode(format!("{MARKER}{MARKER}!!"));
    // Kept with the object, since reads must bring the same; it opens nothing.
    let key_md5 = STANDARD.encode("the key's digest");
    let mut forms = forms();

    for (method, path, prefixes, in_uri, status) in [
        ("PUT", "/logs", &[][..], false, 200),
        ("PUT", "/logs/x/sealed", &["x-amz-"][..], false, 200),
        ("GET", "/logs/x/sealed", &["x-amz-"], false, 200),
        ("GET", "/logs/x/sealed", &[], true, 200),
        (
            "PUT",
            "/logs/x/copy",
            &["x-amz-", "x-amz-copy-source-"],
            false,
            200,
        ),
        ("POST", "/logs/x/parts?uploads", &["x-amz-"], false, 200),
        ("GET", "/logs/x/none", &["x-amz-"], true, 404),
    ] {
        let mut request = Request::builder().method(method).uri(path);
        for prefix in prefixes {
            for (name, value) in [
                ("algorithm", "AES256"),
                ("key", &key),
                ("key-md5", &key_md5),
            ] {
                let name = format!("{prefix}server-side-encryption-customer-{name}");
                request = request.header(name, value);
            }
        }
        if path.ends_with("copy") {
            request = request.header("x-amz-copy-source", "/logs/x/sealed");
        }
        let mut request = request.body(Bytes::new()).unwrap();
        sign(&mut request, s3, in_uri);
        let answer = program.send(request).await;
        assert_eq!(answer.status(), status, "{method} {path} {answer:?}");
    }
    let selectors = json!([{"IncludeManagementEvents": true, "ReadWriteType": "All", "DataResources": [
        {"Type": "AWS::S3::Object", "Values": ["arn:aws:s3:::logs/x/"]}]}]);
    for (operation, input) in [
        (
            "CreateTrail",
            json!({"Name": "main", "S3BucketName": "logs"}),
        ),
        (
            "PutEventSelectors",
            json!({"TrailName": "main", "EventSelectors": selectors}),
        ),
        ("StartLogging", json!({"Name": "main"})),
    ] {
        program.cloudtrail(operation, input).await;
    }

    let role = format!("RoleArn=arn:aws:iam::{ACCOUNT}:role/Dev&RoleSessionName=s1");
    let claims =
        URL_SAFE.encode(r#"{"iss":"https://accounts.example.com","aud":"app","sub":"user"}"#);
    let mut session = None;
    for form in [
        format!(
            "Action=AssumeRole&{role}&SerialNumber=arn:aws:iam::{ACCOUNT}:mfa/a&TokenCode={NUMBER}"
        ),
        format!("Action=AssumeRoleWithWebIdentity&{role}&WebIdentityToken=e30.{claims}.{MARKER}"),
        "Action=GetSessionToken".to_owned(),
        "Action=GetFederationToken&Name=Bob".to_owned(),
    ] {
        let request =
            Request::post("/").header("content-type", "application/x-www-form-urlencoded");
        let body = format!("{form}&Version=2011-06-15");
        let mut request = request.body(body.into()).unwrap();
        sign(&mut request, sts, false);
        let answer = program.send(request).await;
        assert_eq!(answer.status(), StatusCode::OK, "{form} {answer:?}");
        let secrets = ["SecretAccessKey", "SessionToken"].map(|name| elements(answer.body(), name));
        assert!(
            secrets
                .iter()
                .all(|found| found.len() == 1 && found[0].len() > 30)
        );
        session = elements(answer.body(), "AccessKeyId")
            .pop()
            .zip(secrets[1].first().cloned());
        forms.extend(secrets.into_iter().flatten());
    }
    // What was given out is used.
    let (access_key, token) = session.unwrap();
    let mut request = Request::get("/logs/x/sealed").body(Bytes::new()).unwrap();
    sign(&mut request, s3, false);
    let authorization = request.headers()["authorization"].to_str().unwrap();
    let authorization = authorization.replace(&format!("={ACCOUNT}/"), &format!("={access_key}/"));
    request
        .headers_mut()
        .insert("authorization", authorization.parse().unwrap());
    request
        .headers_mut()
        .insert("x-amz-security-token", token.parse().unwrap());
    assert_eq!(program.send(request).await.status(), StatusCode::OK);
    program.flush().await;

    let mut log_files = Vec::new();
    let get = |path: String| {
        let mut request = Request::get(path).body(Bytes::new()).unwrap();
        sign(&mut request, s3, false);
        program.send(request)
    };
    let listed = get("/logs?list-type=2&prefix=AWSLogs/".to_owned()).await;
    for key in elements(listed.body(), "Key") {
        log_files.push(get(format!("/logs/{key}")).await.into_body().to_vec());
    }
    assert_eq!(log_files.len(), 1);
    let mut files = program.end();
    files.extend(inflated(&log_files));
    assert!(String::from_utf8_lossy(&files.last().unwrap().1).contains(&access_key));
    let (bytes, Found(found)) = search(&files, &forms);
    tell(&format!(
        "{} forms of secrets, {bytes} bytes searched",
        forms.len()
    ));
    assert!(
        found.is_empty(),
        "{} places:\n{}",
        found.len(),
        found.join("\n")
    );
}

/// To be compared, the signature of a request is made again, with all that was signed at hand.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_secret_of_a_caller_who_is_verified_is_kept_or_logged() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("credentials");
    let secret = format!("secret-{MARKER}");
    let profile = format!(
        "[session]\naws_access_key_id = ASIDSESSION\naws_secret_access_key = {secret}\naws_session_token = {TOKEN}\n"
    );
    std::fs::write(&file, profile).unwrap();
    let file = file.to_str().unwrap();
    let program = Program::start(&["--verify-signatures", "--credentials", file]);
    let host = program.address.strip_prefix("http://").unwrap();
    let key = STANDARD.encode(format!("{MARKER}{MARKER}!!"));
    let key_md5 = STANDARD.encode("the key's digest");
    let sealed = [
        ("x-amz-server-side-encryption-customer-algorithm", "AES256"),
        ("x-amz-server-side-encryption-customer-key", &key),
        ("x-amz-server-side-encryption-customer-key-md5", &key_md5),
    ];
    let form = [("content-type", "application/x-www-form-urlencoded")];
    let target = [("x-amz-target", "CloudTrail_20131101.ListTrails")];
    let signed_url = format!(
        "curl https://b.example/k?X-Amz-Security-Token={TOKEN}&X-Amz-Signature={SIGNATURE}"
    );
    let pasted = [("user-agent", &*signed_url)];
    let mut forms = forms();
    forms.extend([secret.clone(), TOKEN.to_owned(), key.clone()]);
    forms.push(SIGNATURE.to_owned());
    for (service, method, path, headers, body) in [
        ("s3", "PUT", "/logs", &[][..], ""),
        ("s3", "PUT", "/logs/sealed", &sealed, ""),
        ("s3", "GET", "/logs/sealed", &sealed, ""),
        ("s3", "GET", "/", &pasted, ""),
        (
            "sts",
            "POST",
            "/",
            &form,
            "Action=GetSessionToken&Version=2011-06-15",
        ),
        ("cloudtrail", "POST", "/", &target, "{}"),
    ] {
        let mut request = Request::builder()
            .method(method)
            .uri(path)
            .header("host", host);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let mut request = request.body(Bytes::from(body)).unwrap();
        let signer = Signer {
            access_key: "ASIDSESSION",
            secret_key: &secret,
            session_token: Some(TOKEN),
            region: REGION,
            service,
            time: START.parse().unwrap(),
        };
        let added = signer.sign(
            request.method(),
            request.uri(),
            request.headers(),
            body.as_bytes(),
        );
        request.headers_mut().extend(added.unwrap());
        let answer = program.send(request).await;
        assert_eq!(
            answer.status(),
            StatusCode::OK,
            "{service} {path} {answer:?}"
        );
        for name in ["SecretAccessKey", "SessionToken"] {
            forms.extend(elements(answer.body(), name));
        }
    }
    let files = program.end();
    let log = files.iter().find(|(name, _)| name == "log").unwrap();
    assert!(String::from_utf8_lossy(&log.1).contains("DEBUG"));
    let (_, Found(found)) = search(&files, &forms);
    assert!(found.is_empty(), "{}", found.join("\n"));
}
