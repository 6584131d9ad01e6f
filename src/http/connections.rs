//! Connections of callers: how many there may be, and how long one may keep the door waiting. Knows no request: what
//! comes in whole goes to the router. Every connection ends by itself: a head that does not come, a body that stands
//! still and an idle connection are cut off, so that nobody can use them up.

use std::convert::Infallible;
use std::io::{self, Cursor};
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::ConnectInfo;
use http::Request;
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::graceful::{GracefulConnection, GracefulShutdown, Watcher};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tower_http::timeout::TimeoutBody;
use tower_service::Service;
use tracing::{debug, warn};

/// What a client of HTTP/2 that knows that the server speaks it says first (RFC 9113, 3.4).
const HTTP2_PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// What a connection over the limit is told. Which protocol its call would have is not known yet.
const BUSY: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\nretry-after: 1\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";
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
    /// How long a body may stand still.
    pub body_timeout: Duration,
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
        let (router, watcher) = (router.clone(), graceful.watcher());
        tokio::spawn(async move {
            connection(stream, peer, router, limits, watcher).await;
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
) {
    let service = service_fn(move |request: Request<Incoming>| {
        let mut router = router.clone();
        async move {
            let mut request = request
                .map(|body| Body::new(Box::pin(TimeoutBody::new(limits.body_timeout, body))));
            request.extensions_mut().insert(ConnectInfo(peer));
            Ok::<_, Infallible>(
                Service::call(&mut router, request)
                    .await
                    .unwrap_or_else(|never| match never {}),
            )
        }
    });
    let Ok(Ok((begun, is_http2))) = timeout(limits.head_timeout, preface(&mut stream)).await else {
        return;
    };
    let (read, write) = stream.into_split();
    let stream = TokioIo::new(tokio::io::join(Cursor::new(begun).chain(read), write));
    let ended = if is_http2 {
        let mut builder = http2::Builder::new(TokioExecutor::new());
        builder
            .timer(TokioTimer::new())
            .keep_alive_interval(limits.head_timeout)
            .max_header_list_size(u32::try_from(limits.head_bytes).unwrap_or(u32::MAX));
        watched(watcher, builder.serve_connection(stream, service)).await
    } else {
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
