//! Random requests to the program itself: valid calls of all protocols, calls changed on the way, bodies that break off,
//! calls of the control API and bytes that are no HTTP. By itself, where it verifies signatures, and in front of an
//! upstream, it must neither panic, nor answer 5xx of its own making, nor answer what its protocol cannot read, nor grow.
//!
//! `LOCALTRAIL_REQUESTS` says how many, `LOCALTRAIL_REQUESTS_SEED` which ones, `LOCALTRAIL_BIN` to which program.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use axum::Router;
use http::{Method, Request};
use localtrail::aws::sigv4::Signer;
use localtrail::http::connections::{Limits, serve};
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;

use crate::corpus::{self, Corpus};
use crate::dice::{Dice, Place};
use crate::protocols::assert_xml;
use crate::requests::{self, Known};

/// Requests, unless the environment says otherwise.
const FEW: usize = 3_000;
/// Where the requests go, a connection each.
const CONNECTIONS: [Setting; 4] = [
    Setting::Alone,
    Setting::Alone,
    Setting::Verifying,
    Setting::Proxying,
];
/// Whom the program that verifies knows.
const ACCESS_KEY: &str = "111122223333";
const SECRET_KEY: &str = "secret";
/// Where every program's clock stands at the start.
const START: &str = "2026-11-22T15:01:30Z";
/// Random bytes that a request is chosen by.
const CHOICES: usize = 500;
/// Nothing that is sent takes as long.
const PATIENCE: Duration = Duration::from_secs(60);
/// Resident memory that nothing sent may make it exceed; the models alone take a quarter of it.
const MOST_MEMORY_KIB: u64 = 1 << 20;
/// A header that is in values only, behind ends of line.
const INJECTED: &str = "x-injected";

/// How a program is run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Setting {
    Alone,
    Verifying,
    /// In front of an upstream that answers everything with the same.
    Proxying,
}

/// The program, its log in a file.
struct Program {
    child: Child,
    address: SocketAddr,
    folder: tempfile::TempDir,
}

impl Program {
    fn start(setting: Setting, upstream: SocketAddr) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let log = std::fs::File::create(folder.path().join("log")).unwrap();
        let program = std::env::var_os("LOCALTRAIL_BIN");
        let program = program.unwrap_or_else(|| env!("CARGO_BIN_EXE_localtrail").into());
        let mut command = Command::new(program);
        match setting {
            Setting::Alone => {}
            Setting::Verifying => {
                let credentials = folder.path().join("credentials");
                let profile = format!(
                    "[default]\naws_access_key_id = {ACCESS_KEY}\naws_secret_access_key = {SECRET_KEY}\n"
                );
                std::fs::write(&credentials, profile).unwrap();
                command.arg("--verify-signatures");
                command.arg("--credentials").arg(credentials);
            }
            Setting::Proxying => drop(command.args(["--upstream", &format!("http://{upstream}")])),
        }
        let mut child = command
            .args(["--listen", "127.0.0.1:0", "--time", START, "--seed", "1"])
            // Policies that let CloudTrail in are nothing that chance would write.
            .args(["--bucket-policy-check", "off", "--data-dir"])
            .arg(folder.path().join("data"))
            .env_remove("LOCALTRAIL_LOG")
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .unwrap();
        let mut line = String::new();
        let mut output = BufReader::new(child.stdout.take().unwrap());
        output.read_line(&mut line).unwrap();
        let (_, address) = line.trim().split_once("http://").unwrap();
        Self {
            address: address.parse().unwrap(),
            child,
            folder,
        }
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("log")).unwrap()
    }

    /// Resident memory now and at most, in KiB; `None` where the system does not tell.
    fn memory(&self) -> Option<(u64, u64)> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).ok()?;
        let field = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name))?;
            line.trim_end_matches("kB").trim().parse().ok()
        };
        Some((field("VmRSS:")?, field("VmHWM:")?))
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Bytes to send, and whether they are a request that must be answered.
struct Sent {
    bytes: Vec<u8>,
    is_whole: bool,
    is_head: bool,
}

fn sent(dice: &mut Dice<'_>, setting: Setting) -> Sent {
    match dice.below(20) {
        0..=6 => whole(&signed(dice, setting, of_own_service)),
        7..=10 => whole(&signed(dice, setting, requests::any)),
        11..=12 => torn(&of_own_service(dice).request, dice),
        // Those who move the clock have to sign by it; it is the same control API.
        13..=14 if setting == Setting::Verifying => whole(&requests::any(dice).request),
        13..=14 => whole(&control(dice)),
        15..=16 => broken(Corpus::requests().mutated(dice)),
        17..=18 => {
            let known = corpus::written(&requests::any(dice).request);
            broken(corpus::mutate(dice, &known, &known))
        }
        _ => broken(dice.bytes(200)),
    }
}

/// A request of a service that the program has itself.
fn of_own_service(dice: &mut Dice<'_>) -> Known {
    let id = *dice.pick(&["cloudtrail", "cloudtrail", "s3", "s3", "sns", "sts"]);
    requests::of_service(dice, id)
}

/// A request that says who sends it, and mostly proves it where that is asked for.
fn signed(
    dice: &mut Dice<'_>,
    setting: Setting,
    make: fn(&mut Dice<'_>) -> Known,
) -> Request<Vec<u8>> {
    let Known {
        service,
        mut request,
        ..
    } = make(dice);
    if setting == Setting::Alone || dice.once_in(4) {
        return request;
    }
    let signer = Signer {
        access_key: ACCESS_KEY,
        secret_key: SECRET_KEY,
        session_token: None,
        region: "us-east-1",
        service: &service.signing_name,
        time: START.parse().unwrap(),
    };
    let mut headers = request.headers().clone();
    headers.remove("authorization");
    // A header of bytes that are no text cannot be signed.
    if let Ok(added) = signer.sign(request.method(), request.uri(), &headers, request.body()) {
        headers.extend(added);
        *request.headers_mut() = headers;
    }
    request
}

/// A request as it goes over the wire, its length right.
fn whole(request: &Request<Vec<u8>>) -> Sent {
    let mut bytes = head(request);
    bytes.extend_from_slice(format!("content-length: {}\r\n\r\n", request.body().len()).as_bytes());
    bytes.extend_from_slice(request.body());
    Sent {
        bytes,
        is_whole: true,
        is_head: request.method() == Method::HEAD,
    }
}

/// A request whose body is not what its head says: too short, or in broken chunks, those of HTTP or those of S3.
fn torn(request: &Request<Vec<u8>>, dice: &mut Dice<'_>) -> Sent {
    let mut body = request.body().clone();
    if body.is_empty() {
        body = dice.bytes(40);
    }
    let length = body.len();
    body.truncate(dice.below(length + 1));
    let in_chunks = [format!("{length:x}\r\n").as_bytes(), &body].concat();
    let (headers, body, is_whole) = match dice.below(6) {
        0 => (format!("content-length: {}", length + 1), body, false),
        1 => (format!("content-length: {}", u64::MAX), body, false),
        2 => ("transfer-encoding: chunked".to_owned(), in_chunks, false),
        3 => ("transfer-encoding: chunked".to_owned(), body, false),
        4 => (s3_chunks(length, in_chunks.len()), in_chunks, true),
        _ => (s3_chunks(length, body.len()), body, true),
    };
    let mut bytes = head(request);
    bytes.extend_from_slice(format!("{headers}\r\n\r\n").as_bytes());
    bytes.extend_from_slice(&body);
    Sent {
        bytes,
        is_whole,
        is_head: request.method() == Method::HEAD,
    }
}

/// Headers of a body in S3's chunks.
fn s3_chunks(decoded: usize, length: usize) -> String {
    format!(
        "x-amz-content-sha256: STREAMING-UNSIGNED-PAYLOAD-TRAILER\r\n\
         x-amz-decoded-content-length: {decoded}\r\ncontent-length: {length}"
    )
}

/// The head of a request, but for what says how long its body is.
fn head(request: &Request<Vec<u8>>) -> Vec<u8> {
    let mut bytes = format!("{} {} HTTP/1.1\r\n", request.method(), request.uri()).into_bytes();
    for (name, value) in request.headers() {
        // These are about the connection; a member that is one of them says nothing that HTTP would.
        if !matches!(
            name.as_str(),
            "content-length" | "transfer-encoding" | "connection" | "expect" | "upgrade"
        ) {
            bytes.extend_from_slice(name.as_str().as_bytes());
            bytes.extend_from_slice(b": ");
            bytes.extend_from_slice(value.as_bytes());
            bytes.extend_from_slice(b"\r\n");
        }
    }
    bytes
}

/// What was changed at random: a request, or nearly one, with the ends of line that HTTP wants and a length that may be
/// right.
fn broken(written: Vec<u8>) -> Sent {
    let is_head = written.starts_with(b"HEAD ");
    let Some(end) = written.windows(2).position(|pair| pair == b"\n\n") else {
        return Sent {
            bytes: written,
            is_whole: false,
            is_head,
        };
    };
    let (head, body) = (&written[..end], &written[end + 2..]);
    let mut bytes = Vec::with_capacity(written.len() + 100);
    for line in head.split(|byte| *byte == b'\n') {
        bytes.extend_from_slice(line);
        bytes.extend_from_slice(b"\r\n");
    }
    bytes.extend_from_slice(format!("content-length: {}\r\n\r\n", body.len()).as_bytes());
    bytes.extend_from_slice(body);
    Sent {
        bytes,
        is_whole: false,
        is_head,
    }
}

/// A call of the control API.
fn control(dice: &mut Dice<'_>) -> Request<Vec<u8>> {
    let text = |dice: &mut Dice<'_>| -> String {
        form_urlencoded::byte_serialize(dice.text(Place::Anywhere).as_bytes()).collect()
    };
    let (method, path, body) = match dice.below(12) {
        0 => ("GET", "health".to_owned(), Value::Null),
        1 => ("GET", "status".to_owned(), Value::Null),
        2 => ("GET", "clock".to_owned(), Value::Null),
        3 => ("GET", "metrics".to_owned(), Value::Null),
        4 | 5 => {
            let names = [
                "eventName",
                "userName",
                "after",
                "limit",
                "since",
                "unheard",
            ];
            let query = format!(
                "{}={}&{}=5",
                dice.pick(&names),
                text(dice),
                dice.pick(&["limit", "after"])
            );
            ("GET", format!("events?{query}&limit=3"), Value::Null)
        }
        6 => (
            "GET",
            format!("sns/messages?topicArn={}&limit=3", text(dice)),
            Value::Null,
        ),
        7 | 8 => {
            let record = json!({
                "eventSource": dice.pick(&["own.example", "s3.amazonaws.com", ""]),
                "eventName": dice.text(Place::Anywhere),
                "requestParameters": { "a": dice.text(Place::Anywhere) },
                "userIdentity": { "accountId": "111122223333", "userName": dice.text(Place::Anywhere) },
                *dice.pick(&["eventTime", "eventID", "awsRegion", "sourceIPAddress", "resources"]): dice.text(Place::Anywhere),
            });
            ("POST", "events".to_owned(), json!({ "Records": [record] }))
        }
        9 if dice.once_in(8) => ("POST", "clock".to_owned(), json!({ "advance": "PT1M" })),
        9 => (
            "POST",
            "clock".to_owned(),
            json!({ *dice.pick(&["set", "advance", "x"]): dice.text(Place::Anywhere) }),
        ),
        10 if dice.once_in(8) => (
            "POST",
            "flush".to_owned(),
            json!({ "digests": dice.once_in(4) }),
        ),
        10 if dice.once_in(250) => ("POST", "reset".to_owned(), Value::Null),
        _ => (
            "POST",
            text(dice),
            json!({ "a": dice.text(Place::Anywhere) }),
        ),
    };
    let body = if body.is_null() {
        Vec::new()
    } else {
        body.to_string().into_bytes()
    };
    let uri = format!("/_localtrail/{path}");
    Request::builder()
        .method(method)
        .uri(uri)
        .header("host", "localhost:4580")
        .body(body)
        .unwrap()
}

/// The head and body of an answer.
struct Answer {
    status: u16,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
}

impl Answer {
    fn header(&self, name: &str) -> Option<&str> {
        let mut named = self.headers.iter().filter(|(own, _)| own == name);
        named.next().map(|(_, value)| value.as_str())
    }

    /// Whether it is one of those that are by design: of a service that nobody answers, of an operation that the
    /// embedded S3 has not.
    fn is_by_design(&self, is_head: bool) -> bool {
        let body = String::from_utf8_lossy(&self.body);
        // The answer to a HEAD has no body to say it in.
        let says_it =
            is_head || body.contains("localtrail has no ") || body.contains("NotImplemented");
        self.status == 501 && says_it
    }

    /// Fails where the answer is not what it says it is.
    fn check(&self, is_head: bool) {
        assert!((200..600).contains(&self.status), "status {}", self.status);
        assert!(
            self.header(INJECTED).is_none(),
            "a header was put in: {:?}",
            self.headers
        );
        assert!(
            self.status < 500 || self.is_by_design(is_head),
            "{} {}",
            self.status,
            String::from_utf8_lossy(&self.body)
        );
        // An object is what its writer says.
        let is_object = self.status < 300 && self.header("last-modified").is_some();
        if self.body.is_empty() || is_object {
            return;
        }
        let content_type = self.header("content-type").unwrap_or_default();
        if content_type.contains("json") {
            serde_json::from_slice::<Value>(&self.body).unwrap();
        } else if content_type.contains("xml") {
            assert_xml(&self.body);
        } else if content_type.contains("cbor") {
            ciborium::from_reader::<ciborium::Value, _>(&*self.body).unwrap();
        }
    }
}

/// A connection, opened when it is needed.
struct Connection {
    address: SocketAddr,
    stream: Option<TcpStream>,
    buffer: Vec<u8>,
}

impl Connection {
    fn new(address: SocketAddr) -> Self {
        Self {
            address,
            stream: None,
            buffer: Vec::new(),
        }
    }

    /// Sends, and reads the answer if there is one. A connection that was open already may be closed by the time, as
    /// HTTP allows; then another is tried.
    async fn exchange(&mut self, sent: &Sent) -> Option<Answer> {
        if let Some(stream) = self.stream.take()
            && let Some(answer) = self.exchange_on(stream, sent).await
        {
            return Some(answer);
        }
        let stream = TcpStream::connect(self.address).await.unwrap();
        self.exchange_on(stream, sent).await
    }

    async fn exchange_on(&mut self, mut stream: TcpStream, sent: &Sent) -> Option<Answer> {
        self.buffer.clear();
        let is_sent = stream.write_all(&sent.bytes).await.is_ok();
        if !sent.is_whole {
            // It would wait for what never comes.
            let _ = stream.shutdown().await;
        }
        let answer = self.answer(&mut stream, sent.is_head).await;
        let goes_on = answer
            .as_ref()
            .is_some_and(|answer| answer.header("connection") != Some("close"));
        if sent.is_whole && is_sent && goes_on {
            self.stream = Some(stream);
        }
        answer
    }

    async fn answer(&mut self, stream: &mut TcpStream, is_head: bool) -> Option<Answer> {
        let line = self.line(stream).await?;
        let status = line.split(' ').nth(1)?.parse().ok()?;
        let mut headers = Vec::new();
        loop {
            let line = self.line(stream).await?;
            if line.is_empty() {
                break;
            }
            let (name, value) = line
                .split_once(':')
                .unwrap_or_else(|| panic!("no header: {line:?}"));
            headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
        }
        let mut answer = Answer {
            status,
            headers,
            body: Vec::new(),
        };
        if status < 200 {
            return Box::pin(self.answer(stream, is_head)).await;
        }
        if is_head || matches!(status, 204 | 304) {
            return Some(answer);
        }
        if answer.header("transfer-encoding") == Some("chunked") {
            loop {
                let size = self.line(stream).await?;
                let size = usize::from_str_radix(size.split(';').next()?, 16).ok()?;
                answer.body.extend(self.take(stream, size).await?);
                self.line(stream).await?;
                if size == 0 {
                    return Some(answer);
                }
            }
        }
        if let Some(length) = answer.header("content-length") {
            let length = length.parse().unwrap();
            answer.body = self.take(stream, length).await?;
            return Some(answer);
        }
        while self.more(stream).await.is_some() {}
        answer.body = std::mem::take(&mut self.buffer);
        Some(answer)
    }

    async fn more(&mut self, stream: &mut TcpStream) -> Option<()> {
        let count = stream.read_buf(&mut self.buffer).await.ok()?;
        (count > 0).then_some(())
    }

    async fn line(&mut self, stream: &mut TcpStream) -> Option<String> {
        loop {
            if let Some(end) = self.buffer.windows(2).position(|pair| pair == b"\r\n") {
                let line = self.buffer.drain(..end + 2).collect::<Vec<_>>();
                return Some(String::from_utf8_lossy(&line[..end]).into_owned());
            }
            self.more(stream).await?;
        }
    }

    async fn take(&mut self, stream: &mut TcpStream, count: usize) -> Option<Vec<u8>> {
        while self.buffer.len() < count {
            self.more(stream).await?;
        }
        Some(self.buffer.drain(..count).collect())
    }
}

/// How often each kind of answer was given.
type Tally = BTreeMap<&'static str, usize>;

fn kind(answer: Option<&Answer>) -> &'static str {
    match answer {
        None => "closed",
        Some(answer) if answer.status >= 500 => "5xx by design",
        Some(answer) if answer.status >= 400 => "4xx",
        Some(answer) if answer.status >= 300 => "3xx",
        Some(_) => "2xx",
    }
}

/// One connection's share of the requests.
async fn send(address: SocketAddr, setting: Setting, seed: u64, count: usize) -> Tally {
    let mut random = StdRng::seed_from_u64(seed);
    let mut connection = Connection::new(address);
    let mut tally = Tally::new();
    let mut choices = vec![0; CHOICES];
    for at in 0..count {
        random.fill_bytes(&mut choices);
        let sent = sent(&mut Dice::new(&choices), setting);
        let answer = tokio::time::timeout(PATIENCE, connection.exchange(&sent)).await;
        let shown = || {
            format!(
                "{setting:?}, request {at} of seed {seed}: {:?}",
                String::from_utf8_lossy(&sent.bytes)
            )
        };
        let answer = answer.unwrap_or_else(|_| panic!("no answer in time to {}", shown()));
        assert!(
            answer.is_some() || !sent.is_whole,
            "no answer to {}",
            shown()
        );
        if let Some(answer) = &answer {
            let checked = std::panic::catch_unwind(|| answer.check(sent.is_head));
            assert!(checked.is_ok(), "{}", shown());
        }
        *tally.entry(kind(answer.as_ref())).or_default() += 1;
    }
    tally
}

/// A service that answers everything with an empty object.
async fn upstream() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let answer = async || ([("content-type", "application/json")], "{}");
    let limits = Limits {
        connections: 64,
        head_bytes: 1 << 20,
        head_timeout: PATIENCE,
        body_timeout: PATIENCE,
    };
    let router = Router::new().fallback(answer);
    let never = CancellationToken::new();
    tokio::spawn(serve(listener, router, limits, never, PATIENCE));
    address
}

fn number(name: &str) -> Option<usize> {
    std::env::var(name).ok()?.parse().ok()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hostile_requests_are_answered_and_do_no_harm() {
    let count = number("LOCALTRAIL_REQUESTS").unwrap_or(FEW);
    let seed = number("LOCALTRAIL_REQUESTS_SEED").unwrap_or(1) as u64;
    let upstream = upstream().await;
    let settings = BTreeSet::from(CONNECTIONS).into_iter();
    let mut programs: BTreeMap<Setting, Program> = settings
        .map(|setting| (setting, Program::start(setting, upstream)))
        .collect();
    let mut tallies: BTreeMap<Setting, Tally> = BTreeMap::new();
    // In ten rounds, to see whether memory grows from one to the next.
    for round in 0..10 {
        let shares = CONNECTIONS.iter().enumerate().map(|(share, &setting)| {
            let connections = CONNECTIONS.len();
            let seed = seed * 1_000 + (round * connections + share) as u64;
            let address = programs[&setting].address;
            let sent = send(address, setting, seed, count / 10 / connections);
            (setting, tokio::spawn(sent))
        });
        for (setting, share) in shares.collect::<Vec<_>>() {
            let tally = tallies.entry(setting).or_default();
            for (kind, times) in share.await.unwrap() {
                *tally.entry(kind).or_default() += times;
            }
        }
        for (setting, program) in &programs {
            let (tally, memory) = (&tallies[setting], program.memory());
            println!("{setting:?} {tally:?}, resident now and at most: {memory:?} KiB");
            assert!(
                memory.is_none_or(|(_, most)| most < MOST_MEMORY_KIB),
                "{memory:?} KiB"
            );
        }
    }
    for (setting, program) in &mut programs {
        let has_ended = program.child.try_wait().unwrap().is_some();
        let log = program.log();
        assert!(!has_ended && !log.contains("panicked"), "{setting:?} {log}");
        let errors: Vec<&str> = log.lines().filter(|line| line.contains("ERROR")).collect();
        assert_eq!(errors, Vec::<&str>::new(), "{setting:?}");
        // What nobody here answers has been let in all the same.
        let kinds = ["2xx", "5xx by design"];
        let let_in: usize = kinds
            .map(|kind| tallies[setting].get(kind))
            .iter()
            .flatten()
            .copied()
            .sum();
        assert!(
            let_in > count / 50,
            "{setting:?}: hardly any was valid: {tallies:?}"
        );
    }
}
