//! Waiting for SQLite without falling asleep.
//!
//! A statement runs on the thread of its connection. Who waits for it falls asleep, and with a lone caller so does the
//! runtime's thread; to wake it takes both threads about as long as the statement does. So the answer is looked for a
//! while first, as locks do it: one call after another takes a fifth less time and no more of the CPUs. One looks at a
//! time, so that no more than one of the runtime's threads is kept from other callers, and none for longer than
//! [`MOST`].

use std::pin::{Pin, pin};
use std::sync::LazyLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::thread;
use std::time::{Duration, Instant};

/// How long an answer is looked for. The longest of the usual transactions, a trail with its event, takes half of it.
const MOST: Duration = Duration::from_micros(300);

/// Whether SQLite's thread has a CPU beside ours. On a single one whoever looks is in its way: 16 connections lost a fifth
/// of their calls.
static HAS_CPUS: LazyLock<bool> =
    LazyLock::new(|| thread::available_parallelism().is_ok_and(|count| count.get() > 1));

/// Somebody looks; of the whole process, as the threads are.
static LOOKING: AtomicBool = AtomicBool::new(false);

/// The output of a statement that is over soon and whose caller is likely the only one: under load the runtime's thread
/// has better to do. What it needs, the connection above all, is to be had before.
pub(super) async fn soon<F: Future>(statement: F) -> F::Output {
    let mut statement = pin!(statement);
    let mut is_sent = false;
    std::future::poll_fn(|context| {
        if std::mem::replace(&mut is_sent, true) {
            return statement.as_mut().poll(context);
        }
        look(statement.as_mut(), context)
    })
    .await
}

fn look<F: Future>(mut statement: Pin<&mut F>, context: &mut Context<'_>) -> Poll<F::Output> {
    let Some(_turn) = Turn::take() else {
        return statement.poll(context);
    };
    let begun = Instant::now();
    loop {
        let polled = statement.as_mut().poll(context);
        if polled.is_ready() || begun.elapsed() > MOST {
            return polled;
        }
        // Others may want this CPU.
        thread::yield_now();
    }
}

/// The turn to look.
struct Turn;

impl Turn {
    fn take() -> Option<Self> {
        (*HAS_CPUS && !LOOKING.swap(true, Ordering::Acquire)).then_some(Self)
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        LOOKING.store(false, Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::oneshot;

    use super::*;

    /// Spawned on the runtime's only thread, where nothing else is run before the first poll of `soon` is over.
    #[tokio::test]
    async fn what_comes_late_comes_all_the_same() {
        let (send, receive) = oneshot::channel();
        let sender = tokio::spawn(async move { send.send(7) });
        assert_eq!(soon(receive).await, Ok(7));
        sender.await.unwrap().unwrap();
    }
}
