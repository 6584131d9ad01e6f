//! Connections of callers: how many there may be, and how long one may keep the door waiting. Knows no request: what
//! comes in whole goes to the router. Every connection ends by itself: a head that does not come, a body that stands
//! still, an answer that is not taken and an idle connection are cut off, so that nobody can use them up.

use std::convert::Infallible;
use std::io::{self, Cursor, IoSlice};
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::ConnectInfo;
use http::{Request, Response};
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::graceful::{GracefulConnection, GracefulShutdown, Watcher};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::{Instant, Sleep, sleep_until, timeout};
use tokio_util::sync::CancellationToken;
use tower_http::timeout::TimeoutBody;
use tower_service::Service;
use tracing::{debug, warn};

use super::streams::{Overdue, Streams};

/// What a client of HTTP/2 that knows that the server speaks it says first (RFC 9113, 3.4).
const HTTP2_PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// What a connection over the limit is told. Which protocol its call would have is not known yet.
const BUSY: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\nretry-after: 1\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";
/// Requests at a time on one connection of HTTP/2; more have to wait. Bodies are held in memory, and it is the number of
/// connections that is to bound how many.
const STREAMS: u32 = 32;
/// Connections that may wait to be accepted.
const BACKLOG: u32 = 1_024;
/// What the system is asked to keep of what a caller has not taken yet, in bytes. Linux keeps twice as much, and tells of
/// room when a third of that has been taken; left to itself it would let it grow to megabytes, and take one who reads
/// slowly for one who does not read.
const SEND_BUFFER: u32 = 128 << 10;
/// How soon to try again when the machine has no connection to give.
const AFTER_ACCEPT_ERROR: Duration = Duration::from_millis(50);

/// What callers may use up.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Connections at a time; one more is told 503 and closed.
    pub connections: usize,
    /// Longest head of a request, in bytes; a longer one is answered with 431.
    pub head_bytes: usize,
    /// How long a head may take to come, and a connection may be idle.
    pub head_timeout: Duration,
    /// How long a body may stand still, of a request or of an answer that is not taken.
    pub body_timeout: Duration,
}

/// Listens on `address`. Each connection accepted has the listener's send buffer.
pub fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = match address {
        SocketAddr::V4(_) => TcpSocket::new_v4(),
        SocketAddr::V6(_) => TcpSocket::new_v6(),
    }?;
    // A port is free again as soon as nobody listens on it.
    socket.set_reuseaddr(true)?;
    socket.set_send_buffer_size(SEND_BUFFER)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// Serves `router` until `stop`, then for at most `grace` what is under way; says whether all of it ended.
pub async fn serve(
    listener: TcpListener,
    router: Router,
    limits: Limits,
    stop: CancellationToken,
    grace: Duration,
) -> bool {
    let graceful = GracefulShutdown::new();
    let permits = Arc::new(Semaphore::new(limits.connections));
    loop {
        let accepted = tokio::select! {
            () = stop.cancelled() => break,
            accepted = listener.accept() => accepted,
        };
        let (stream, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) if is_callers_own(&error) => continue,
            Err(error) => {
                warn!("cannot accept a connection: {error}");
                let _ = timeout(AFTER_ACCEPT_ERROR, stop.cancelled()).await;
                continue;
            }
        };
        let Ok(permit) = Arc::clone(&permits).try_acquire_owned() else {
            warn!(
                "refused a connection: there are {} already",
                limits.connections
            );
            tokio::spawn(refuse(stream));
            continue;
        };
        // An answer's head and its last bytes may go out apart; without this the second waits for the first's receipt.
        let _ = stream.set_nodelay(true);
        let (router, watcher, stop) = (router.clone(), graceful.watcher(), stop.clone());
        tokio::spawn(async move {
            connection(stream, peer, router, limits, watcher, stop).await;
            drop(permit);
        });
    }
    drop(listener);
    timeout(grace, graceful.shutdown()).await.is_ok()
}

/// Of a connection that went away before it was accepted.
fn is_callers_own(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionRefused
            | io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
    )
}

async fn refuse(mut stream: TcpStream) {
    let _ = timeout(Duration::from_secs(1), async {
        stream.write_all(BUSY).await?;
        stream.shutdown().await
    })
    .await;
}

async fn connection(
    mut stream: TcpStream,
    peer: SocketAddr,
    router: Router,
    limits: Limits,
    watcher: Watcher,
    stop: CancellationToken,
) {
    let Ok(Ok((begun, is_http2))) = timeout(limits.head_timeout, preface(&mut stream)).await else {
        return;
    };
    let (read, write) = stream.into_split();
    let write = Patient::new(write, limits.body_timeout);
    let stream = TokioIo::new(tokio::io::join(Cursor::new(begun).chain(read), write));
    let ended = if is_http2 {
        over_http2(stream, peer, router, limits, watcher, stop).await
    } else {
        let service = service_fn(|request| {
            let answer = answer(router.clone(), request, peer, limits);
            async { Ok::<_, Infallible>(answer.await) }
        });
        let mut builder = http1::Builder::new();
        builder
            .timer(TokioTimer::new())
            .header_read_timeout(limits.head_timeout)
            .max_buf_size(limits.head_bytes);
        watched(watcher, builder.serve_connection(stream, service)).await
    };
    if let Err(error) = ended {
        debug!("a connection of {peer} ended early: {error}");
    }
}

async fn answer(
    mut router: Router,
    request: Request<Incoming>,
    peer: SocketAddr,
    limits: Limits,
) -> Response<Body> {
    let mut request =
        request.map(|body| Body::new(Box::pin(TimeoutBody::new(limits.body_timeout, body))));
    request.extensions_mut().insert(ConnectInfo(peer));
    Service::call(&mut router, request)
        .await
        .unwrap_or_else(|never| match never {})
}

/// A connection of HTTP/2. `watcher` counts it until it has ended.
async fn over_http2(
    stream: impl hyper::rt::Read + hyper::rt::Write + Unpin + Send + 'static,
    peer: SocketAddr,
    router: Router,
    limits: Limits,
    _watcher: Watcher,
    stop: CancellationToken,
) -> hyper::Result<()> {
    let streams = Streams::new();
    let service = service_fn(|request| {
        let stream = streams.begin();
        let answer = answer(router.clone(), request, peer, limits);
        async { Ok::<_, Infallible>(answer.await.map(|body| stream.answer(body))) }
    });
    let mut builder = http2::Builder::new(TokioExecutor::new());
    builder
        .timer(TokioTimer::new())
        .keep_alive_interval(limits.head_timeout)
        .max_concurrent_streams(STREAMS)
        .max_header_list_size(u32::try_from(limits.head_bytes).unwrap_or(u32::MAX));
    let mut connection = pin!(builder.serve_connection(stream, service));
    tokio::select! {
        ended = connection.as_mut() => return ended,
        () = stop.cancelled() => {}
        overdue = streams.overdue(limits.head_timeout, limits.body_timeout) => {
            debug!("a connection of {peer} is overdue: {overdue:?}");
            if overdue == Overdue::NotTaken {
                return Ok(());
            }
        }
    }
    // A caller who is asking just now is answered all the same, as long as it takes what it asked for; later requests are
    // not taken. What has been answered and is not taken does not keep it.
    connection.as_mut().graceful_shutdown();
    tokio::select! {
        ended = connection => ended,
        _ = streams.overdue(limits.body_timeout, limits.body_timeout) => Ok(()),
    }
}

/// The way out to a caller. A write for which there is no room for `patience` fails: one who takes less in that time than
/// what the system wants to be free before it tells of room ([`SEND_BUFFER`]) counts as one who takes nothing.
#[derive(Debug)]
struct Patient<W> {
    inner: W,
    patience: Duration,
    /// Runs while a write waits.
    timer: Option<Pin<Box<Sleep>>>,
}

impl<W: AsyncWrite + Unpin> Patient<W> {
    fn new(inner: W, patience: Duration) -> Self {
        Self {
            inner,
            patience,
            timer: None,
        }
    }

    /// What a write has come to.
    fn bounded<T>(
        &mut self,
        cx: &mut Context<'_>,
        written: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if written.is_ready() {
            self.timer = None;
            return written;
        }
        let patience = self.patience;
        let timer = self
            .timer
            .get_or_insert_with(|| Box::pin(sleep_until(Instant::now() + patience)));
        timer
            .as_mut()
            .poll(cx)
            .map(|()| Err(io::ErrorKind::TimedOut.into()))
    }
}

impl<W: AsyncWrite + Unpin> AsyncWrite for Patient<W> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.inner).poll_write(cx, bytes);
        self.bounded(cx, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.inner).poll_write_vectored(cx, pieces);
        self.bounded(cx, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}

async fn watched<C>(watcher: Watcher, connection: C) -> Result<(), C::Error>
where
    C: GracefulConnection,
{
    pin!(watcher.watch(connection)).await.map(drop)
}

/// Reads until it is clear which HTTP it is: what was read, and whether it is HTTP/2.
async fn preface(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<(Vec<u8>, bool)> {
    let mut begun = vec![0; HTTP2_PREFACE.len()];
    let mut length = 0;
    while length < HTTP2_PREFACE.len() && HTTP2_PREFACE.starts_with(&begun[..length]) {
        match stream.read(&mut begun[length..]).await? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            more => length += more,
        }
    }
    begun.truncate(length);
    let is_http2 = begun == HTTP2_PREFACE;
    Ok((begun, is_http2))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn http2_is_told_by_its_preface() {
        for (bytes, is_http2) in [
            (HTTP2_PREFACE, true),
            (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\nmore".as_slice(), true),
            (b"POST / HTTP/1.1\r\n\r\n".as_slice(), false),
            (
                b"PRI * HTTP/1.1\r\nhost: localhost\r\n\r\n".as_slice(),
                false,
            ),
        ] {
            let mut stream = bytes;
            let (mut begun, found) = preface(&mut stream).await.unwrap();
            assert_eq!(found, is_http2);
            begun.extend_from_slice(stream);
            assert_eq!(begun, bytes, "nothing is lost");
        }
    }
}
