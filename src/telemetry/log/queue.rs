//! Lines on their way to standard error.
//!
//! Code that logs puts its line into a buffer of bounded size and continues; one thread writes the buffer. A reader
//! that stalls therefore costs lines, which are counted, and never a request.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::AsFd as _;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, poll};

/// The counts of lines.
#[derive(Debug, Default)]
pub struct LogCounters {
    pub(super) written: AtomicU64,
    pub(super) dropped: AtomicU64,
    pub(super) failed: AtomicU64,
    pub(super) suppressed: AtomicU64,
}

impl LogCounters {
    /// The counts by result, as the metric names it.
    pub fn results(&self) -> [(&'static str, u64); 4] {
        [
            ("dropped", self.dropped.load(Relaxed)),
            ("failed", self.failed.load(Relaxed)),
            ("suppressed", self.suppressed.load(Relaxed)),
            ("written", self.written.load(Relaxed)),
        ]
    }
}

#[derive(Default)]
struct State {
    waiting: Vec<u8>,
    lines: u64,
    closed: bool,
    ended: bool,
}

/// The lines that wait, and the state of the writer.
pub(super) struct Queue {
    state: Mutex<State>,
    changed: Condvar,
    /// The most bytes that wait.
    size: AtomicUsize,
    pub(super) counters: LogCounters,
}

impl Queue {
    pub(super) fn new(size: usize) -> Self {
        let counters = LogCounters::default();
        Self { state: Mutex::default(), changed: Condvar::new(), size: size.into(), counters }
    }

    pub(super) fn set_size(&self, size: usize) {
        self.size.store(size, Relaxed);
    }

    /// Queues a line with its line feed, or drops it.
    pub(super) fn push(&self, line: &str) {
        let mut state = self.lock();
        if state.ended || state.waiting.len() + line.len() > self.size.load(Relaxed) {
            self.counters.dropped.fetch_add(1, Relaxed);
            return;
        }
        state.waiting.extend_from_slice(line.as_bytes());
        state.lines += 1;
        drop(state);
        self.changed.notify_all();
    }

    /// Writes queued lines to `out` until the queue is closed and empty. In between, and at least once in each `pause`,
    /// calls `between`, which may queue lines, with the number of lines that were dropped so far.
    pub(super) fn run(&self, mut out: impl Write, pause: Duration, mut between: impl FnMut(u64)) {
        let mut batch = Vec::new();
        loop {
            batch.clear();
            let (lines, closed) = self.take(&mut batch, pause);
            if lines > 0 {
                let result = match out.write_all(&batch) {
                    Ok(()) => &self.counters.written,
                    Err(_) => &self.counters.failed,
                };
                result.fetch_add(lines, Relaxed);
            }
            between(self.counters.dropped.load(Relaxed));
            if closed && self.end() {
                return;
            }
        }
    }

    /// Waits for lines, for the end, or until `pause` is over.
    fn take(&self, batch: &mut Vec<u8>, pause: Duration) -> (u64, bool) {
        let state = self.lock();
        let idle = |state: &mut State| state.waiting.is_empty() && !state.closed;
        let waited = self.changed.wait_timeout_while(state, pause, idle);
        let (mut state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        std::mem::swap(&mut state.waiting, batch);
        (std::mem::take(&mut state.lines), state.closed)
    }

    /// Ends a closed queue, if no line came meanwhile.
    fn end(&self) -> bool {
        let mut state = self.lock();
        state.ended = state.waiting.is_empty();
        let ended = state.ended;
        drop(state);
        self.changed.notify_all();
        ended
    }

    /// Has queued lines written, and ends; `false` if that takes longer than `timeout`.
    pub(super) fn close(&self, timeout: Duration) -> bool {
        let mut state = self.lock();
        state.closed = true;
        self.changed.notify_all();
        let until = Instant::now() + timeout;
        while !state.ended {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            let waited = self.changed.wait_timeout(state, left);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        true
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Standard error, without the lock of the standard library: a thread that waits for the reader holds nothing that
/// others need.
pub(super) struct StandardError(File);

impl StandardError {
    pub(super) fn open() -> io::Result<Self> {
        Ok(Self(File::from(io::stderr().as_fd().try_clone_to_owned()?)))
    }
}

impl Write for StandardError {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        loop {
            match self.0.write(bytes) {
                // Another process that shares the terminal or pipe made it non-blocking.
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    poll(&mut [PollFd::new(&self.0, PollFlags::OUT)], None)?;
                }
                result => return result,
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::sync::mpsc::{Receiver, sync_channel};

    const LONG: Duration = Duration::from_secs(30);

    /// Takes what is written only when the test says so.
    struct Slow(Receiver<()>, Arc<Mutex<Vec<u8>>>);

    impl Write for Slow {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let _ = self.0.recv();
            self.1.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_full_queue_drops_counts_and_tells() {
        let queue = Arc::new(Queue::new(16));
        let out = Arc::<Mutex<Vec<u8>>>::default();
        let (allow, allowed) = sync_channel(1);
        let (writer, slow) = (Arc::clone(&queue), Slow(allowed, Arc::clone(&out)));
        let thread = std::thread::spawn(move || {
            let mut told = 0;
            let tell = |dropped: u64| {
                if dropped > told {
                    told = dropped;
                    writer.push(&format!("{dropped} dropped\n"));
                }
            };
            writer.run(slow, LONG, tell);
        });
        queue.push("first\n");
        // Until the writer has it, and waits.
        while !queue.lock().waiting.is_empty() {
            std::thread::yield_now();
        }
        for _ in 0..5 {
            queue.push("1234567\n");
        }
        assert_eq!(
            queue.counters.results(),
            [("dropped", 3), ("failed", 0), ("suppressed", 0), ("written", 0)]
        );
        assert!(!queue.close(Duration::from_millis(1)), "nobody reads");
        drop(allow);
        assert!(queue.close(LONG));
        thread.join().unwrap();
        let out = String::from_utf8(out.lock().unwrap().clone()).unwrap();
        assert!(out.starts_with("first\n") && out.contains("1234567\n1234567\n"), "{out}");
        assert_eq!(queue.counters.written.load(Relaxed), out.lines().count() as u64);
        queue.push("late\n");
        assert!(queue.counters.dropped.load(Relaxed) > 3);
    }
}
