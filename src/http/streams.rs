//! What is under way on one connection of HTTP/2. The protocol takes a caller for alive who answers pings and does
//! nothing else; here it is told from one who asks, or who takes what was asked for.
//!
//! What is taken shows by the piece: the next one, or the end, is asked for once the caller has made room for most of what
//! came before. What it has made room for counts as taken here; whether it is shows on the connection's way out.

use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use http_body::{Frame, SizeHint};
use tokio::time::{Instant, sleep_until};

/// The streams of a connection. Clones share them.
#[derive(Clone, Debug)]
pub(super) struct Streams(Arc<Mutex<State>>);

#[derive(Debug)]
struct State {
    under_way: usize,
    /// Those of them whose next piece the caller has not made room for.
    offered: usize,
    /// When one last began, went on or ended.
    moved: Instant,
}

/// Why a connection is to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Overdue {
    /// Nothing is under way.
    Idle,
    /// All that is under way waits for the caller to take it.
    NotTaken,
}

impl Streams {
    pub(super) fn new() -> Self {
        Self(Arc::new(Mutex::new(State {
            under_way: 0,
            offered: 0,
            moved: Instant::now(),
        })))
    }

    /// A request has come in; its stream ends when what is given is dropped.
    pub(super) fn begin(&self) -> Stream {
        self.moved().under_way += 1;
        Stream {
            streams: self.clone(),
            is_offered: false,
        }
    }

    /// Returns when the connection has been idle for `idle` from now on, or nothing has been taken of it for `patience`.
    /// That may be seen late, by as much again.
    pub(super) async fn overdue(&self, idle: Duration, patience: Duration) -> Overdue {
        let begun = Instant::now();
        loop {
            let now = Instant::now();
            let waits = self.state().waits();
            let wait = match waits.map(|(overdue, since)| (overdue, since.max(begun))) {
                Some((Overdue::Idle, since)) if since + idle <= now => return Overdue::Idle,
                Some((Overdue::NotTaken, since)) if since + patience <= now => {
                    return Overdue::NotTaken;
                }
                Some((Overdue::Idle, since)) => since + idle,
                Some((Overdue::NotTaken, since)) => since + patience,
                None => now + idle.min(patience),
            };
            sleep_until(wait.min(now + idle.min(patience))).await;
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The state, to be changed.
    fn moved(&self) -> MutexGuard<'_, State> {
        let mut state = self.state();
        state.moved = Instant::now();
        state
    }
}

impl State {
    /// What the connection waits for, if it is the caller, and since when.
    fn waits(&self) -> Option<(Overdue, Instant)> {
        let overdue = match self.under_way {
            0 => Overdue::Idle,
            all if all == self.offered => Overdue::NotTaken,
            _ => return None,
        };
        Some((overdue, self.moved))
    }
}

/// A request and its answer.
#[derive(Debug)]
pub(super) struct Stream {
    streams: Streams,
    is_offered: bool,
}

impl Stream {
    /// The answer's body, watched as it is taken.
    pub(super) fn answer(self, body: Body) -> Body {
        Body::new(Watched {
            inner: body,
            stream: self,
        })
    }

    fn set_offered(&mut self, is_offered: bool) {
        let mut state = self.streams.moved();
        state.offered -= usize::from(self.is_offered);
        state.offered += usize::from(is_offered);
        self.is_offered = is_offered;
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.set_offered(false);
        self.streams.moved().under_way -= 1;
    }
}

struct Watched {
    inner: Body,
    stream: Stream,
}

impl http_body::Body for Watched {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        // It is asked for when there is room for it.
        self.stream.set_offered(false);
        let frame = ready!(Pin::new(&mut self.inner).poll_frame(cx));
        self.stream.set_offered(true);
        Poll::Ready(frame)
    }

    /// Not said of a last piece that has not been taken: nothing more would be asked for, and the stream be over.
    fn is_end_stream(&self) -> bool {
        !self.stream.is_offered && self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use http_body::Body as _;
    use http_body_util::BodyExt;

    use super::*;

    #[test]
    fn it_is_known_whether_the_caller_is_waited_for() {
        let streams = Streams::new();
        let waits = || streams.state().waits().map(|(overdue, _)| overdue);
        assert_eq!(waits(), Some(Overdue::Idle));
        let (first, second) = (streams.begin(), streams.begin());
        assert_eq!(waits(), None, "answers are being made");
        let mut first = first.answer(Body::from("first"));
        let mut second = second.answer(Body::from("second"));
        let mut cx = Context::from_waker(std::task::Waker::noop());
        assert!(Pin::new(&mut first).poll_frame(&mut cx).is_ready());
        assert_eq!(waits(), None);
        assert!(Pin::new(&mut second).poll_frame(&mut cx).is_ready());
        assert_eq!(waits(), Some(Overdue::NotTaken));
        assert!(
            !second.is_end_stream(),
            "its end is asked for when it is taken"
        );
        assert!(Streams::new().begin().answer(Body::empty()).is_end_stream());
        drop(first);
        assert_eq!(waits(), Some(Overdue::NotTaken));
        drop(second);
        assert_eq!(waits(), Some(Overdue::Idle));
    }

    #[tokio::test]
    async fn a_body_is_passed_on_as_it_is() {
        let body = Streams::new().begin().answer(Body::from("text"));
        assert_eq!(body.size_hint().exact(), Some(4));
        assert_eq!(body.collect().await.unwrap().to_bytes(), "text");
    }
}
