//! The threads that connections are served on, each with a runtime of its own. Knows no connection.
//!
//! Not the threads of one runtime, which share their tasks: there, whoever wakes up wakes another one, to look for work
//! that might be left, and a call that waits for the database goes from thread to thread more often than it needs to.
//! CreateTrail took a fifth longer so. The price is that a task that computes keeps all others of its thread waiting:
//! what takes long, log files and their delivery, is done on the program's own runtime.

use std::io;
use std::thread::{self, JoinHandle};

use tokio::runtime::{Builder, Handle};
use tokio_util::sync::CancellationToken;

/// They end, with what still runs on them, when this is dropped.
#[derive(Debug)]
pub struct Threads {
    handles: Vec<Handle>,
    running: Vec<JoinHandle<()>>,
    over: CancellationToken,
}

impl Threads {
    /// One for each CPU.
    pub fn start() -> io::Result<Self> {
        let mut threads = Self {
            handles: Vec::new(),
            running: Vec::new(),
            over: CancellationToken::new(),
        };
        for _ in 0..thread::available_parallelism().map_or(1, usize::from) {
            let runtime = Builder::new_current_thread().enable_all().build()?;
            threads.handles.push(runtime.handle().clone());
            let over = threads.over.clone();
            let run = move || runtime.block_on(over.cancelled());
            let thread = thread::Builder::new().name("door".to_owned()).spawn(run)?;
            threads.running.push(thread);
        }
        Ok(threads)
    }

    /// What spawns tasks on them; at least one.
    pub fn handles(&self) -> &[Handle] {
        &self.handles
    }
}

impl Drop for Threads {
    fn drop(&mut self) {
        self.over.cancel();
        for thread in self.running.drain(..) {
            // One that panicked has ended, too.
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[test]
    fn nothing_runs_on_any_longer_than_they_are_there() {
        let held = Arc::new(());
        let threads = Threads::start().unwrap();
        let cpus = thread::available_parallelism().unwrap().get();
        assert_eq!(threads.handles().len(), cpus);
        for handle in threads.handles() {
            let held = Arc::clone(&held);
            handle.spawn(async move {
                std::future::pending::<()>().await;
                drop(held);
            });
        }
        assert_eq!(Arc::strong_count(&held), 1 + cpus);
        drop(threads);
        assert_eq!(Arc::strong_count(&held), 1);
    }
}
