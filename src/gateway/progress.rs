//! Log lines on the progress of a build.
//!
//! Compiling takes from milliseconds to minutes, and whoever waits wants to see that something happens. After one
//! second, there is a line of the log every few seconds, whatever the compiler does meanwhile.

use std::sync::mpsc::{RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// When the first line is due.
const FIRST: Duration = Duration::from_secs(1);

/// The time between lines.
const BETWEEN: Duration = Duration::from_secs(3);

/// A build's progress, logged by a thread of its own until this is dropped.
pub(super) struct Progress {
    at: Arc<Mutex<At>>,
    teller: Option<(SyncSender<()>, JoinHandle<()>)>,
}

/// What is being made.
#[derive(Clone, Debug, Default)]
struct At {
    pipeline: String,
    segment: usize,
}

impl Progress {
    /// The progress of a build that makes so many segments.
    pub fn of(segments: usize) -> Self {
        Self::with(segments, FIRST, BETWEEN)
    }

    fn with(segments: usize, first: Duration, between: Duration) -> Self {
        let at: Arc<Mutex<At>> = Arc::default();
        if segments == 0 {
            return Self { at, teller: None };
        }
        let (end, ended) = sync_channel(0);
        let told = Arc::clone(&at);
        let start = Instant::now();
        let tell = move || {
            let mut wait = first;
            // The end of the build drops the sender.
            while ended.recv_timeout(wait) == Err(RecvTimeoutError::Timeout) {
                let At { pipeline, segment } = told.lock().unwrap_or_else(PoisonError::into_inner).clone();
                let seconds = start.elapsed().as_secs();
                tracing::info!(pipeline, segment, of = segments, seconds, "compiling");
                wait = between;
            }
        };
        // Without the thread there are no lines, and nothing else changes.
        let thread = std::thread::Builder::new().name("linkspan-progress".to_owned()).spawn(tell);
        Self { at, teller: thread.ok().map(|thread| (end, thread)) }
    }

    /// Notes that the next segment, of `pipeline`, is being made.
    pub fn next(&self, pipeline: &str) {
        let mut at = self.at.lock().unwrap_or_else(PoisonError::into_inner);
        pipeline.clone_into(&mut at.pipeline);
        at.segment += 1;
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some((end, thread)) = self.teller.take() {
            drop(end);
            // The thread writes at most one line.
            let _ = thread.join();
        }
    }
}
