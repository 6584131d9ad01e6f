//! Carries what embedded SNS publishes to its HTTP subscribers: to this machine alone, and to hosts that
//! `--sns-delivery-hosts` names, so that a topic is no way to make requests elsewhere; for the same reason redirects are
//! not followed. Tries each message a few times and then drops it, as SNS does.
//!
//! The rule that must hold: a subscriber that hangs costs a bounded number of connections and bytes, and does not keep
//! the others from their messages. What is beyond is dropped with a warning. Four places that hang can take all that may
//! be under way at a time; the others then wait until one of those messages is given up, and have the next turn.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::time::Duration;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use http::{HeaderName, HeaderValue, Request, Uri, header};
use http_body_util::Full;
use percent_encoding::percent_decode_str;
use tokio::sync::mpsc;
use tokio::task::{Id, JoinSet};
use tracing::{debug, warn};

use crate::client::Client;
use crate::embedded::sns::HttpDelivery;

/// How long a subscriber may take.
const TIMEOUT: Duration = Duration::from_secs(15);
const TRIES: u32 = 3;
/// Messages under way, and those of them to one place.
const AT_A_TIME: usize = 32;
const AT_A_TIME_TO_ONE: usize = 8;
/// Bytes that may wait, and those of them for one place.
const MOST_WAITING: usize = 64 << 20;
const MOST_WAITING_FOR_ONE: usize = 16 << 20;
/// What a message takes up beside its text, roughly.
const BESIDE_THE_TEXT: usize = 1 << 9;

/// Where messages may go.
#[derive(Clone, Debug)]
pub struct Allowed {
    hosts: Vec<String>,
    closed: &'static str,
}

impl Allowed {
    /// This machine and `others`, but nothing below the path `/closed`.
    pub fn new(others: Vec<String>, closed: &'static str) -> Self {
        Self {
            hosts: others,
            closed,
        }
    }

    fn host(&self, uri: &Uri) -> bool {
        let host = uri.host().unwrap_or_default().trim_matches(['[', ']']);
        let loopback = host == "localhost"
            || host
                .parse()
                .is_ok_and(|ip: std::net::IpAddr| ip.to_canonical().is_loopback());
        loopback
            || self
                .hosts
                .iter()
                .any(|allowed| allowed.eq_ignore_ascii_case(host))
    }

    /// However the path is spelled, and whoever's it is: another localtrail would be called from its own machine too.
    fn path(&self, uri: &Uri) -> bool {
        let path = percent_decode_str(uri.path()).decode_utf8_lossy();
        let mut segments = Vec::new();
        for segment in path.split(['/', '\\']) {
            match segment {
                "" | "." => {}
                ".." => drop(segments.pop()),
                segment => segments.push(segment),
            }
        }
        let first = segments.first().copied().unwrap_or_default();
        !first.eq_ignore_ascii_case(self.closed.trim_matches('/'))
    }
}

/// Delivers until the last sender is gone.
pub async fn run(
    mut inbox: mpsc::Receiver<HttpDelivery>,
    client: Client<Full<Bytes>>,
    allowed: Allowed,
) {
    let mut queue = Queue::default();
    let mut under_way = UnderWay::default();
    loop {
        tokio::select! {
            delivery = inbox.recv() => {
                let Some(delivery) = delivery else {
                    return;
                };
                if let Some(uri) = destination(&delivery.url, &allowed) {
                    queue.push(Waiting::new(uri, delivery));
                }
            }
            Some(place) = under_way.ended() => queue.ended(&place),
        }
        while under_way.places.len() < AT_A_TIME
            && let Some((place, waiting)) = queue.next()
        {
            let (client, name) = (client.clone(), place.clone());
            under_way.begin(place, async move {
                deliver(&waiting, &name, &client).await;
            });
        }
    }
}

/// Messages under way, each with the place that it goes to: known here too, for one that panics does not tell.
#[derive(Debug, Default)]
struct UnderWay {
    tasks: JoinSet<()>,
    places: HashMap<Id, String>,
}

impl UnderWay {
    fn begin(&mut self, place: String, delivery: impl Future<Output = ()> + Send + 'static) {
        let task = self.tasks.spawn(delivery);
        self.places.insert(task.id(), place);
    }

    /// Where the next one that ends was to go, however it ends; `None` if there is none.
    async fn ended(&mut self) -> Option<String> {
        let id = match self.tasks.join_next_with_id().await? {
            Ok((id, ())) => id,
            Err(error) => error.id(),
        };
        self.places.remove(&id)
    }
}

/// Where a message is to go, if it may.
fn destination(url: &str, allowed: &Allowed) -> Option<Uri> {
    let Ok(uri) = url.parse::<Uri>() else {
        warn!("a subscriber's endpoint is no URL");
        return None;
    };
    if !allowed.host(&uri) {
        let host = uri.host().unwrap_or_default();
        warn!(
            "no notification to {host}: it is not this machine, nor named by --sns-delivery-hosts"
        );
        return None;
    }
    if !allowed.path(&uri) {
        warn!("no notification to a control API");
        return None;
    }
    Some(uri)
}

/// Scheme, host and port of an endpoint: all of it that may be written down. What stands before and behind the host may
/// be a password or a token.
fn place(uri: &Uri) -> String {
    let scheme = uri.scheme_str().unwrap_or_default();
    let host = uri.host().unwrap_or_default();
    let port = uri.port().map(|port| format!(":{port}"));
    format!("{scheme}://{host}{}", port.unwrap_or_default())
}

/// A message that has not been sent yet.
#[derive(Debug)]
struct Waiting {
    uri: Uri,
    headers: Vec<(&'static str, String)>,
    body: Bytes,
    /// What it takes up.
    bytes: usize,
}

impl Waiting {
    /// `uri` is the delivery's URL.
    fn new(uri: Uri, delivery: HttpDelivery) -> Self {
        let HttpDelivery { url, headers, body } = delivery;
        let in_headers: usize = headers.iter().map(|(_, value)| value.len()).sum();
        Self {
            bytes: BESIDE_THE_TEXT + url.len() + in_headers + body.len(),
            uri,
            headers,
            body: body.into(),
        }
    }
}

/// Messages that wait, by where they go.
#[derive(Debug, Default)]
struct Queue {
    lanes: BTreeMap<String, Lane>,
    bytes: usize,
    /// Counts the messages that have been begun.
    turn: u64,
}

/// The messages for one place, in their order.
#[derive(Debug, Default)]
struct Lane {
    waiting: VecDeque<Waiting>,
    bytes: usize,
    under_way: usize,
    /// When one of it was begun last.
    turn: u64,
}

impl Queue {
    fn push(&mut self, waiting: Waiting) {
        let place = place(&waiting.uri);
        let bytes = waiting.bytes;
        let in_lane = self.lanes.get(&place).map_or(0, |lane| lane.bytes);
        if self.bytes + bytes > MOST_WAITING || in_lane + bytes > MOST_WAITING_FOR_ONE {
            warn!("dropped a notification to {place}: too many wait");
            return;
        }
        self.bytes += bytes;
        let lane = self.lanes.entry(place).or_default();
        lane.bytes += bytes;
        lane.waiting.push_back(waiting);
    }

    /// The message to be begun next, and where it goes: of the place whose last turn was longest ago.
    fn next(&mut self) -> Option<(String, Waiting)> {
        let may_begin = |lane: &Lane| lane.under_way < AT_A_TIME_TO_ONE && !lane.waiting.is_empty();
        let lanes = self.lanes.iter_mut();
        let (place, lane) = lanes
            .filter(|(_, lane)| may_begin(lane))
            .min_by_key(|(_, lane)| lane.turn)?;
        let waiting = lane.waiting.pop_front()?;
        lane.bytes -= waiting.bytes;
        self.bytes -= waiting.bytes;
        self.turn += 1;
        lane.turn = self.turn;
        lane.under_way += 1;
        Some((place.clone(), waiting))
    }

    /// A message to `place` has been delivered or given up.
    fn ended(&mut self, place: &str) {
        let Some(lane) = self.lanes.get_mut(place) else {
            return;
        };
        lane.under_way -= 1;
        if lane.under_way == 0 && lane.waiting.is_empty() {
            self.lanes.remove(place);
        }
    }
}

async fn deliver(waiting: &Waiting, place: &str, client: &Client<Full<Bytes>>) {
    for attempt in 1..=TRIES {
        let Some(request) = request(waiting) else {
            return;
        };
        match tokio::time::timeout(TIMEOUT, client.request(request)).await {
            Ok(Ok(answer)) if answer.status().is_success() => return,
            Ok(Ok(answer)) => debug!(
                "try {attempt}: subscriber {place} answered {}",
                answer.status()
            ),
            Ok(Err(error)) => debug!("try {attempt}: cannot reach subscriber {place}: {error}"),
            Err(_) => debug!("try {attempt}: subscriber {place} gave no answer"),
        }
    }
    warn!("gave up a notification to {place}");
}

fn request(waiting: &Waiting) -> Option<Request<Full<Bytes>>> {
    let authority = waiting.uri.authority()?.as_str();
    let (user, host) = match authority.rsplit_once('@') {
        Some((user, host)) => (Some(user), host),
        None => (None, authority),
    };
    let mut uri = waiting.uri.clone().into_parts();
    uri.authority = Some(host.parse().ok()?);
    let mut request = Request::post(Uri::from_parts(uri).ok()?)
        .body(Full::new(waiting.body.clone()))
        .ok()?;
    let headers = request.headers_mut();
    headers.insert(header::HOST, HeaderValue::from_str(host).ok()?);
    if let Some(user) = user {
        headers.insert(header::AUTHORIZATION, basic(user)?);
    }
    for (name, value) in &waiting.headers {
        let name = HeaderName::from_bytes(name.as_bytes()).ok()?;
        headers.insert(name, HeaderValue::from_str(value).ok()?);
    }
    Some(request)
}

/// `user:password` of a URL as the header that tells it to a server: the client would write it into its log with the URL.
fn basic(user: &str) -> Option<HeaderValue> {
    let no_password = if user.contains(':') { "" } else { ":" };
    let user: Vec<u8> = percent_decode_str(user)
        .chain(no_password.bytes())
        .collect();
    let mut value = HeaderValue::from_str(&format!("Basic {}", BASE64_STANDARD.encode(user)));
    if let Ok(value) = &mut value {
        value.set_sensitive(true);
    }
    value.ok()
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncReadExt as _;
    use tokio::net::{TcpListener, TcpStream};

    use super::*;
    use crate::client::{Trust, client, connector};

    fn waiting(url: &str, body: &str) -> Waiting {
        Waiting::new(url.parse().unwrap(), delivery(url, body))
    }

    fn delivery(url: &str, body: &str) -> HttpDelivery {
        HttpDelivery {
            url: url.to_owned(),
            headers: vec![("x-amz-sns-message-type", "Notification".to_owned())],
            body: body.to_owned(),
        }
    }

    fn here_and(others: &[&str]) -> Allowed {
        Allowed::new(others.iter().map(ToString::to_string).collect(), "/closed")
    }

    async fn head(stream: &mut TcpStream) -> String {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(stream.read_u8().await.unwrap());
        }
        String::from_utf8(head).unwrap()
    }

    #[tokio::test]
    async fn a_subscriber_that_hangs_has_its_share_and_no_more() {
        let (hanging, other) = (
            TcpListener::bind("127.0.0.1:0").await.unwrap(),
            TcpListener::bind("127.0.0.1:0").await.unwrap(),
        );
        let url =
            |listener: &TcpListener| format!("http://{}/hook", listener.local_addr().unwrap());
        let (deliver, inbox) = mpsc::channel(200);
        for at in 0..100 {
            let to_hanging = delivery(&url(&hanging), &at.to_string());
            deliver.send(to_hanging).await.unwrap();
        }
        let to_other = delivery(&url(&other), "for the other");
        deliver.send(to_other).await.unwrap();
        let client = client(connector(Trust::Nobody).unwrap());
        let running = tokio::spawn(run(inbox, client, here_and(&[])));
        let mut held = Vec::new();
        for _ in 0..AT_A_TIME_TO_ONE {
            let (mut stream, _) = hanging.accept().await.unwrap();
            assert!(head(&mut stream).await.starts_with("POST /hook "));
            held.push(stream);
        }
        let (mut stream, _) = other.accept().await.unwrap();
        head(&mut stream).await;
        // What came for the one that hangs was begun before, as far as it may be.
        let extra = tokio::select! {
            biased;
            extra = hanging.accept() => Some(extra),
            () = std::future::ready(()) => None,
        };
        assert!(extra.is_none(), "more connections than the share");
        running.abort();
    }

    #[test]
    fn what_waits_is_bounded_and_begun_in_turn() {
        let mut queue = Queue::default();
        let long = "x".repeat(1 << 20);
        for _ in 0..100 {
            queue.push(waiting("http://127.0.0.1:1/a?x=1", &long));
            queue.push(waiting("http://a:b@127.0.0.1:1/b", &long));
        }
        assert!(queue.bytes <= MOST_WAITING_FOR_ONE);
        for port in 2..100 {
            queue.push(waiting(&format!("http://127.0.0.1:{port}/"), &long));
        }
        assert!(queue.bytes <= MOST_WAITING);
        let lanes = queue.lanes.len();
        let begun: Vec<String> = std::iter::from_fn(|| Some(queue.next()?.0)).collect();
        let first: Vec<_> = begun.iter().take(lanes).collect();
        assert!(
            first
                .iter()
                .all(|place| first.iter().filter(|it| it == &place).count() == 1)
        );
        let to_one = begun.iter().filter(|it| *it == "http://127.0.0.1:1");
        assert_eq!(to_one.count(), AT_A_TIME_TO_ONE);
        for place in &begun {
            queue.ended(place);
        }
        while let Some((place, _)) = queue.next() {
            queue.ended(&place);
        }
        assert_eq!((queue.lanes.len(), queue.bytes), (0, 0));
    }

    #[test]
    fn all_that_waits_of_a_message_counts() {
        let path = "a".repeat(60_000);
        let mut queue = Queue::default();
        for _ in 0..1_000 {
            queue.push(waiting(&format!("http://127.0.0.1:1/{path}"), ""));
        }
        let lane = &queue.lanes["http://127.0.0.1:1"];
        assert!(lane.waiting.len() * path.len() <= MOST_WAITING_FOR_ONE);
        let short = waiting("http://127.0.0.1:1/", "");
        let mut with_header = delivery("http://127.0.0.1:1/", "");
        with_header.headers.push(("x-amz-sns-topic-arn", path));
        let with_header = Waiting::new(short.uri, with_header);
        assert_eq!(with_header.bytes, short.bytes + 60_000);
    }

    #[tokio::test]
    async fn a_delivery_that_panics_gives_its_share_back() {
        let mut under_way = UnderWay::default();
        under_way.begin("a".to_owned(), async { panic!("as it may") });
        assert_eq!(under_way.ended().await.as_deref(), Some("a"));
        under_way.begin("b".to_owned(), async {});
        assert_eq!(under_way.ended().await.as_deref(), Some("b"));
        assert_eq!(under_way.ended().await, None);
        assert!(under_way.places.is_empty());
    }

    #[test]
    fn nothing_goes_below_a_path_that_is_closed() {
        let allowed = here_and(&[]);
        for (path, expected) in [
            ("/closed/reset", false),
            ("/closed", false),
            ("//closed/clock", false),
            ("/%63losed/reset?x=1", false),
            ("/a/../closed/reset", false),
            ("/a%2F%2e%2e%2f_/../Closed%2Freset", false),
            ("/./closed", false),
            ("/", true),
            ("/open/closed", true),
            ("/closed/../open", true),
        ] {
            let url = format!("http://a:b@127.0.0.1:4580{path}");
            assert_eq!(destination(&url, &allowed).is_some(), expected, "{path}");
        }
    }

    #[test]
    fn a_password_in_a_url_is_told_to_its_server_alone() {
        let url = "http://us%40er:PASSWORD@127.0.0.1:9000/hook?token=TOKEN";
        let waiting = waiting(url, "");
        assert_eq!(place(&waiting.uri), "http://127.0.0.1:9000");
        let request = request(&waiting).unwrap();
        assert_eq!(request.uri(), "http://127.0.0.1:9000/hook?token=TOKEN");
        let headers = request.headers();
        assert_eq!(headers["host"], "127.0.0.1:9000");
        assert_eq!(headers["authorization"], "Basic dXNAZXI6UEFTU1dPUkQ=");
        assert!(headers["authorization"].is_sensitive());
        assert_eq!(basic("user").unwrap(), "Basic dXNlcjo=", "no password");
        assert_eq!(basic("user:").unwrap(), "Basic dXNlcjo=");
        assert!(destination("http://a:PASSWORD@[::1", &here_and(&[])).is_none());
    }

    #[test]
    fn a_metadata_address_is_called_only_where_it_is_named() {
        let allowed = here_and(&["169.254.169.254"]);
        assert!(allowed.host(&"http://169.254.169.254/latest".parse().unwrap()));
        assert!(!allowed.host(&"http://169.254.170.2/v2".parse().unwrap()));
    }

    #[test]
    fn only_this_machine_and_named_hosts_are_called() {
        let allowed = here_and(&["collector.test"]);
        for (url, expected) in [
            ("http://127.0.0.1:9000/x", true),
            ("http://localhost/x", true),
            ("http://[::1]:9000/", true),
            ("http://[::ffff:127.0.0.1]/", true),
            ("http://Collector.Test/", true),
            ("http://192.0.2.1/", false),
            ("http://localhost.example/", false),
            // Where clouds keep the machine's own credentials.
            ("http://169.254.169.254/latest", false),
            ("http://[fd00:ec2::254]/latest", false),
            ("http://[fe80::1]/", false),
            ("http://metadata.google.internal/", false),
            // Other spellings of an address, and a name before the host that counts.
            ("http://2852039166/", false),
            ("http://0xa9fea9fe/", false),
            ("http://localhost@192.0.2.1/", false),
            ("http://127.0.0.1:80@192.0.2.1/", false),
            ("http://0.0.0.0/", false),
        ] {
            assert_eq!(allowed.host(&url.parse().unwrap()), expected, "{url}");
        }
    }
}
