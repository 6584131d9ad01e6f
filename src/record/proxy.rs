//! Bodies and the upstream: forwards a call as it comes and keeps a bounded copy of both bodies. Knows nothing of
//! what the call means.

use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::body::Body;
use bytes::{Bytes, BytesMut};
use http::header::{self, HeaderName};
use http::{HeaderMap, HeaderValue, Request, Response, Uri};
use http_body::{Body as _, Frame, SizeHint};
use http_body_util::BodyExt;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};

use crate::client::Client;

/// How long a body is waited for whose call has been answered already; and how long a call waits for others to end where
/// too many are under way.
const PATIENCE: Duration = Duration::from_secs(1);

/// What has been seen of a body that passes by.
#[derive(Clone, Debug, Default)]
pub struct Seen(Arc<SeenInner>);

#[derive(Debug, Default)]
struct SeenInner {
    total: AtomicU64,
    kept: Mutex<BytesMut>,
    /// The same, once someone has asked for it.
    whole: OnceLock<Bytes>,
    /// The body has come to its end.
    is_over: AtomicBool,
    /// It broke off before.
    is_broken: AtomicBool,
    /// Its reader has taken all that has come and waits for more.
    is_awaited: AtomicBool,
    /// What was left by a reader who stopped before the end.
    rest: Mutex<Option<Body>>,
    /// Told when the body is over or left.
    left: Notify,
}

impl Seen {
    /// A body that was at hand as a whole.
    pub fn whole(body: &Bytes, limit: usize) -> Self {
        let seen = Self::default();
        seen.push(body, limit);
        seen.over();
        seen
    }

    /// Waits for the body's end, and reads on where its reader has stopped: an upstream that answers from the head alone
    /// leaves the parameters unread. Not further than `limit`, and not for longer than `PATIENCE`.
    pub async fn read_on(&self, limit: usize) {
        let to_the_end = async {
            while !self.0.is_over.load(Ordering::Acquire) {
                let rest = lock(&self.0.rest).take();
                let Some(mut rest) = rest else {
                    self.0.left.notified().await;
                    continue;
                };
                while self.total() <= limit as u64
                    && let Some(Ok(frame)) = rest.frame().await
                {
                    if let Some(data) = frame.data_ref() {
                        self.push(data, limit);
                    }
                }
                self.over();
            }
        };
        // One that does not come is recorded as far as it was seen.
        drop(tokio::time::timeout(PATIENCE, to_the_end).await);
    }

    fn over(&self) {
        self.0.is_over.store(true, Ordering::Release);
        self.0.left.notify_one();
    }

    fn push(&self, data: &[u8], limit: usize) {
        let before = self.0.total.fetch_add(data.len() as u64, Ordering::Relaxed);
        let mut kept = lock(&self.0.kept);
        if kept.len() as u64 != before {
            return; // It was too long already.
        }
        if kept.len() + data.len() > limit {
            *kept = BytesMut::new();
        } else {
            kept.extend_from_slice(data);
        }
    }

    /// Bytes that passed.
    pub fn total(&self) -> u64 {
        self.0.total.load(Ordering::Relaxed)
    }

    /// Whether the body broke off: its sender went away, or stood still for too long.
    pub fn is_broken(&self) -> bool {
        self.0.is_broken.load(Ordering::Relaxed)
    }

    /// Whether it is the sender who is waited for.
    fn is_awaited(&self) -> bool {
        self.0.is_awaited.load(Ordering::Relaxed)
    }

    /// The body, unless it was longer than the limit. To be asked for when it is over.
    pub fn bytes(&self) -> Option<Bytes> {
        let whole = self
            .0
            .whole
            .get_or_init(|| std::mem::take(&mut *lock(&self.0.kept)).freeze());
        (whole.len() as u64 == self.total()).then(|| whole.clone())
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Passes `body` on frame by frame and keeps at most `limit` bytes of it; one byte more and it keeps none.
pub fn tee(body: Body, limit: usize) -> (Body, Seen) {
    let seen = Seen::default();
    if body.is_end_stream() {
        seen.over();
    }
    let tee = Tee {
        inner: body,
        seen: seen.clone(),
        limit,
    };
    (Body::new(tee), seen)
}

struct Tee {
    inner: Body,
    seen: Seen,
    limit: usize,
}

impl http_body::Body for Tee {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let polled = Pin::new(&mut self.inner).poll_frame(cx);
        self.seen
            .0
            .is_awaited
            .store(polled.is_pending(), Ordering::Relaxed);
        let frame = ready!(polled);
        match &frame {
            Some(Ok(frame)) => {
                if let Some(data) = frame.data_ref() {
                    self.seen.push(data, self.limit);
                }
            }
            Some(Err(_)) => self.seen.0.is_broken.store(true, Ordering::Relaxed),
            None => {}
        }
        // By its length a body can be known to be over before its end is asked for.
        if !matches!(frame, Some(Ok(_))) || self.inner.size_hint().exact() == Some(0) {
            self.seen.over();
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

impl Drop for Tee {
    fn drop(&mut self) {
        if self.inner.is_end_stream() {
            self.seen.over();
        } else {
            *lock(&self.seen.0.rest) = Some(std::mem::take(&mut self.inner));
            self.seen.0.left.notify_one();
        }
    }
}

/// Passes an answer's body on, but holds back its end until `ended` has run: a caller that has the whole answer must
/// find the call recorded. `ended` runs once, also where the caller goes away before the end.
pub fn hold_end<F>(body: Body, ended: F) -> Body
where
    F: Future<Output = ()> + Send + 'static,
{
    Body::new(HoldEnd {
        inner: body,
        ended: Some(ToTheEnd::new(ended)),
        last: None,
        finishing: false,
    })
}

struct HoldEnd {
    inner: Body,
    ended: Option<ToTheEnd<()>>,
    /// What ends the body, held back: the frame that completes it by its declared length, or the error it breaks off with.
    last: Option<Result<Frame<Bytes>, axum::Error>>,
    finishing: bool,
}

impl http_body::Body for HoldEnd {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        if !self.finishing {
            // A caller that knows the length has the answer when the last byte is there, whatever follows; so the
            // frame with that byte waits. Where the length is not known the end of the stream waits.
            let left = self.inner.size_hint().exact();
            match ready!(Pin::new(&mut self.inner).poll_frame(cx)) {
                Some(Ok(frame)) => {
                    let bytes = frame.data_ref().map_or(0, |data| data.len() as u64);
                    if left != Some(bytes) {
                        return Poll::Ready(Some(Ok(frame)));
                    }
                    self.last = Some(Ok(frame));
                }
                broken_or_over => self.last = broken_or_over,
            }
            self.finishing = true;
        }
        if let Some(ended) = &mut self.ended {
            ready!(Pin::new(ended).poll(cx));
            self.ended = None;
        }
        Poll::Ready(self.last.take())
    }

    fn is_end_stream(&self) -> bool {
        self.finishing && self.ended.is_none() && self.last.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        match &self.last {
            Some(Ok(frame)) => {
                SizeHint::with_exact(frame.data_ref().map_or(0, |data| data.len() as u64))
            }
            Some(Err(_)) | None => self.inner.size_hint(),
        }
    }
}

/// A future that runs to its end, though whoever waits for it goes away before.
pub struct ToTheEnd<T: Send + 'static>(Option<Pin<Box<dyn Future<Output = T> + Send>>>);

impl<T: Send + 'static> ToTheEnd<T> {
    pub fn new(future: impl Future<Output = T> + Send + 'static) -> Self {
        Self(Some(Box::pin(future)))
    }
}

impl<T: Send + 'static> Future for ToTheEnd<T> {
    type Output = T;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<T> {
        // Taken out while it runs: one that panics is not run again. It is not polled after its end.
        let Some(mut future) = self.0.take() else {
            return Poll::Pending;
        };
        let polled = future.as_mut().poll(cx);
        if polled.is_pending() {
            self.0 = Some(future);
        }
        polled
    }
}

impl<T: Send + 'static> Drop for ToTheEnd<T> {
    fn drop(&mut self) {
        if let Some(future) = self.0.take()
            && let Ok(runtime) = tokio::runtime::Handle::try_current()
        {
            runtime.spawn(async move { drop(future.await) });
        }
    }
}

/// An upstream's answer, which breaks off where nothing of it comes for `timeout`.
struct Watched {
    inner: Body,
    timeout: Duration,
    /// Runs while a frame is awaited.
    silence: Option<Pin<Box<tokio::time::Sleep>>>,
    _under_way: OwnedSemaphorePermit,
}

impl http_body::Body for Watched {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        if let Poll::Ready(frame) = Pin::new(&mut self.inner).poll_frame(cx) {
            self.silence = None;
            return Poll::Ready(frame);
        }
        let timeout = self.timeout;
        #[expect(
            clippy::disallowed_methods,
            reason = "the upstream is silent in the machine's time, not on the clock that tests move"
        )]
        let silence = self
            .silence
            .get_or_insert_with(|| Box::pin(tokio::time::sleep(timeout)));
        ready!(silence.as_mut().poll(cx));
        let error = std::io::Error::new(std::io::ErrorKind::TimedOut, "the upstream fell silent");
        Poll::Ready(Some(Err(axum::Error::new(error))))
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

/// A body that breaks off at once.
pub struct Broken(pub Option<axum::Error>);

impl http_body::Body for Broken {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Poll::Ready(self.0.take().map(Err))
    }
}

/// The emulator behind the door.
#[derive(Clone, Debug)]
pub struct Upstream {
    pub endpoint: Uri,
    pub client: Client<Body>,
    /// How long nothing may move in either direction.
    pub timeout: Duration,
    /// Room for calls under way: one outlives its caller's connection, but not the upstream's.
    pub room: Arc<Semaphore>,
}

/// Why the upstream gave no answer.
#[derive(Debug, thiserror::Error)]
pub enum UpstreamError {
    #[error("the caller broke off in the body of the request")]
    Caller,
    #[error("cannot reach the upstream {endpoint}: {reason}")]
    Unreachable { endpoint: Uri, reason: String },
    #[error("the upstream {endpoint} gave no answer within {seconds} s")]
    Hanging { endpoint: Uri, seconds: u64 },
    #[error("too many calls to the upstream {endpoint} are under way")]
    Busy { endpoint: Uri },
}

/// Headers that are between two hops and not passed on (RFC 9110, section 7.6.1); `expect` has been answered here.
const HOP_BY_HOP: [HeaderName; 8] = [
    header::CONNECTION,
    header::TE,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
    header::EXPECT,
    HeaderName::from_static("keep-alive"),
    header::PROXY_AUTHENTICATE,
    header::PROXY_AUTHORIZATION,
];

impl Upstream {
    /// Sends a request on and returns the answer as it comes. The `Host` stays as the caller wrote and signed it, the
    /// path and query stay byte for byte. `sent` counts the request's body, to tell a slow upload from a hanging
    /// upstream.
    pub async fn forward(
        &self,
        mut request: Request<Body>,
        sent: &Seen,
    ) -> Result<Response<Body>, UpstreamError> {
        let room = Arc::clone(&self.room).acquire_owned();
        let Ok(Ok(under_way)) = tokio::time::timeout(PATIENCE, room).await else {
            return Err(UpstreamError::Busy {
                endpoint: self.endpoint.clone(),
            });
        };
        strip_hop_by_hop(request.headers_mut());
        let host = request.uri().authority().cloned();
        *request.uri_mut() = self
            .uri(request.uri())
            .map_err(|error| self.unreachable(&error))?;
        *request.version_mut() = http::Version::HTTP_11;
        if let Some(host) = host
            && !request.headers().contains_key(header::HOST)
            && let Ok(host) = HeaderValue::from_str(host.as_str())
        {
            // HTTP/2 has the host in the URI.
            request.headers_mut().insert(header::HOST, host);
        }
        let mut answer = Box::pin(self.client.request(request));
        let mut moved = sent.total();
        let answer = loop {
            match tokio::time::timeout(self.timeout, &mut answer).await {
                Ok(Ok(answer)) => break answer,
                // The request could not be sent to its end, which is no fault of the upstream.
                Ok(Err(_)) if sent.is_broken() => return Err(UpstreamError::Caller),
                Ok(Err(error)) => return Err(self.unreachable(&root_cause(&error))),
                Err(_) if sent.total() > moved => moved = sent.total(),
                // The door gives up a body that stands still.
                Err(_) if sent.is_awaited() => {}
                Err(_) => {
                    let seconds = self.timeout.as_secs();
                    return Err(UpstreamError::Hanging {
                        endpoint: self.endpoint.clone(),
                        seconds,
                    });
                }
            }
        };
        let mut answer = answer.map(|body| {
            Body::new(Watched {
                inner: Body::new(body),
                timeout: self.timeout,
                silence: None,
                _under_way: under_way,
            })
        });
        strip_hop_by_hop(answer.headers_mut());
        Ok(answer)
    }

    fn uri(&self, asked: &Uri) -> Result<Uri, http::Error> {
        let path = asked.path_and_query().map_or("/", |path| path.as_str());
        let scheme = self.endpoint.scheme_str().unwrap_or("http");
        let authority = self
            .endpoint
            .authority()
            .map_or("", |authority| authority.as_str());
        Uri::builder()
            .scheme(scheme)
            .authority(authority)
            .path_and_query(path)
            .build()
    }

    fn unreachable(&self, reason: &dyn std::fmt::Display) -> UpstreamError {
        UpstreamError::Unreachable {
            endpoint: self.endpoint.clone(),
            reason: reason.to_string(),
        }
    }
}

/// Takes off what is for the next hop alone. `Connection` may name more of that, but nothing that says what is asked for
/// and by whom: a signature that covers it has been verified, and the upstream would see another request.
fn strip_hop_by_hop(headers: &mut HeaderMap) {
    let named: Vec<HeaderName> = headers
        .get_all(header::CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|name| name.trim().parse().ok())
        .filter(|name| !is_end_to_end(name))
        .collect();
    for name in HOP_BY_HOP.iter().chain(&named) {
        headers.remove(name);
    }
}

fn is_end_to_end(name: &HeaderName) -> bool {
    let name = name.as_str();
    matches!(name, "host" | "authorization")
        || name.starts_with("content-")
        || name.starts_with("x-amz-")
}

fn root_cause(error: &(dyn std::error::Error + 'static)) -> String {
    let mut cause = error;
    while let Some(deeper) = cause.source() {
        cause = deeper;
    }
    cause.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_body_over_the_limit_passes_whole_and_is_not_kept() {
        for (limit, kept) in [(5, true), (4, false)] {
            let (body, seen) = tee(Body::from("hello"), limit);
            assert_eq!(body.collect().await.unwrap().to_bytes(), "hello");
            assert_eq!((seen.total(), seen.bytes().is_some()), (5, kept), "{limit}");
        }
    }

    #[tokio::test]
    async fn a_body_whose_reader_stopped_is_read_on() {
        for (limit, kept) in [(10, Some("hello")), (2, None)] {
            let (body, seen) = tee(Body::from("hello"), limit);
            drop(body);
            seen.read_on(limit).await;
            let expected = kept.map(|kept: &str| Bytes::from(kept));
            assert_eq!(seen.bytes(), expected, "{limit}");
        }
    }

    #[tokio::test]
    async fn the_end_of_an_answer_waits_for_the_record() {
        let (recorded, wait) = tokio::sync::oneshot::channel::<()>();
        let mut body = hold_end(Body::from("hello"), async move { drop(wait.await) });
        let early = tokio::time::timeout(Duration::from_millis(20), body.frame()).await;
        assert!(
            early.is_err(),
            "the last byte came before the call was recorded"
        );
        recorded.send(()).unwrap();
        assert_eq!(
            body.frame().await.unwrap().unwrap().into_data().unwrap(),
            "hello"
        );
        assert!(body.frame().await.is_none());
    }

    #[tokio::test]
    async fn a_call_is_recorded_though_its_caller_went_away() {
        let (recorded, wait) = tokio::sync::oneshot::channel();
        drop(hold_end(Body::from("hello"), async move {
            recorded.send(()).unwrap()
        }));
        wait.await.unwrap();
    }

    #[test]
    fn headers_between_hops_are_not_passed_on() {
        let mut headers = HeaderMap::new();
        let named = "close, X-Own, X-Amz-Date, Authorization, Content-Length, Host";
        headers.insert(header::CONNECTION, HeaderValue::from_static(named));
        headers.insert("x-own", HeaderValue::from_static("1"));
        let kept = ["x-amz-date", "authorization", "content-length", "host"];
        for name in kept {
            headers.insert(name, HeaderValue::from_static("1"));
        }
        strip_hop_by_hop(&mut headers);
        assert!(kept.iter().all(|name| headers.contains_key(*name)));
        assert_eq!(headers.len(), kept.len());
    }
}
