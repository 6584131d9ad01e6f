//! Random requests to the program itself: valid calls of all protocols, calls changed on the way, calls of the control
//! API and bytes that are no HTTP. It must neither panic, nor answer 5xx of its own making, nor answer what its protocol
//! cannot read, nor grow.
//!
//! `LOCALTRAIL_REQUESTS` says how many, `LOCALTRAIL_REQUESTS_SEED` which ones, `LOCALTRAIL_BIN` to which program.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use http::{Method, Request};
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::corpus::{self, Corpus};
use crate::dice::{Dice, Place};
use crate::protocols::assert_xml;
use crate::requests;

/// Requests, unless the environment says otherwise.
const FEW: usize = 3_000;
const CONNECTIONS: usize = 4;
/// Random bytes that a request is chosen by.
const CHOICES: usize = 500;
/// Nothing that is sent takes as long.
const PATIENCE: Duration = Duration::from_secs(60);
/// Resident memory that nothing sent may make it exceed; the models alone take a quarter of it.
const MOST_MEMORY_KIB: u64 = 1 << 20;
/// A header that is in values only, behind ends of line.
const INJECTED: &str = "x-injected";

/// The program, its log in a file.
struct Program {
    child: Child,
    address: SocketAddr,
    folder: tempfile::TempDir,
}

impl Program {
    fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let log = std::fs::File::create(folder.path().join("log")).unwrap();
        let program = std::env::var_os("LOCALTRAIL_BIN");
        let program = program.unwrap_or_else(|| env!("CARGO_BIN_EXE_localtrail").into());
        let mut child = Command::new(program)
            .args([
                "--listen",
                "127.0.0.1:0",
                "--time",
                "2026-11-22T15:01:30Z",
                "--seed",
                "1",
            ])
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

fn sent(dice: &mut Dice<'_>) -> Sent {
    match dice.below(20) {
        0..=8 => {
            let id = *dice.pick(&["cloudtrail", "cloudtrail", "s3", "s3", "sns", "sts"]);
            whole(&requests::of_service(dice, id).request)
        }
        9..=12 => whole(&requests::any(dice).request),
        13..=14 => whole(&control(dice)),
        15..=16 => broken(Corpus::requests().mutated(dice)),
        17..=18 => {
            let known = corpus::written(&requests::any(dice).request);
            broken(corpus::mutate(dice, &known, &known))
        }
        _ => broken(dice.bytes(200)),
    }
}

/// A request as it goes over the wire, its length right.
fn whole(request: &Request<Vec<u8>>) -> Sent {
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
    bytes.extend_from_slice(format!("content-length: {}\r\n\r\n", request.body().len()).as_bytes());
    bytes.extend_from_slice(request.body());
    Sent {
        bytes,
        is_whole: true,
        is_head: request.method() == Method::HEAD,
    }
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
    fn is_by_design(&self) -> bool {
        let body = String::from_utf8_lossy(&self.body);
        // The answer to a HEAD has no body to say it in.
        let says_it = body.is_empty()
            || body.contains("localtrail has no ")
            || body.contains("NotImplemented");
        self.status == 501 && says_it
    }

    /// Fails where the answer is not what it says it is.
    fn check(&self) {
        assert!((200..600).contains(&self.status), "status {}", self.status);
        assert!(
            self.header(INJECTED).is_none(),
            "a header was put in: {:?}",
            self.headers
        );
        assert!(
            self.status < 500 || self.is_by_design(),
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
async fn send(address: SocketAddr, seed: u64, count: usize) -> Tally {
    let mut random = StdRng::seed_from_u64(seed);
    let mut connection = Connection::new(address);
    let mut tally = Tally::new();
    let mut choices = vec![0; CHOICES];
    for at in 0..count {
        random.fill_bytes(&mut choices);
        let sent = sent(&mut Dice::new(&choices));
        let answer = tokio::time::timeout(PATIENCE, connection.exchange(&sent)).await;
        let shown = || {
            format!(
                "request {at} of seed {seed}: {:?}",
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
            let checked = std::panic::catch_unwind(|| answer.check());
            assert!(checked.is_ok(), "{}", shown());
        }
        *tally.entry(kind(answer.as_ref())).or_default() += 1;
    }
    tally
}

fn number(name: &str) -> Option<usize> {
    std::env::var(name).ok()?.parse().ok()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hostile_requests_are_answered_and_do_no_harm() {
    let count = number("LOCALTRAIL_REQUESTS").unwrap_or(FEW);
    let seed = number("LOCALTRAIL_REQUESTS_SEED").unwrap_or(1) as u64;
    let mut program = Program::start();
    let mut tally = Tally::new();
    // In ten rounds, to see whether memory grows from one to the next.
    for round in 0..10 {
        let shares = (0..CONNECTIONS as u64).map(|share| {
            let seed = seed * 1_000 + round * CONNECTIONS as u64 + share;
            tokio::spawn(send(program.address, seed, count / 10 / CONNECTIONS))
        });
        for share in shares.collect::<Vec<_>>() {
            for (kind, times) in share.await.unwrap() {
                *tally.entry(kind).or_default() += times;
            }
        }
        let memory = program.memory();
        println!("{tally:?}, resident now and at most: {memory:?} KiB");
        assert!(
            memory.is_none_or(|(_, most)| most < MOST_MEMORY_KIB),
            "{memory:?} KiB"
        );
    }
    assert!(program.child.try_wait().unwrap().is_none(), "it has ended");
    let log = program.log();
    assert!(!log.contains("panicked"), "{log}");
    let errors: Vec<&str> = log.lines().filter(|line| line.contains("ERROR")).collect();
    assert_eq!(errors, Vec::<&str>::new());
    assert!(tally["2xx"] > count / 50, "hardly any was valid: {tally:?}");
}
