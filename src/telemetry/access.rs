//! The access log: lines in a bounded queue, and a thread that writes them.
//!
//! [`AccessLog::record`] never waits. When the queue is full, a line is dropped; a line that can't be written is lost.
//! Both are counted, and the log says when this begins. Lines are written whole, several at once when there are
//! several. A line has a few KiB at most, so the queue's memory is bounded, too.
//!
//! The file is appended to, and made if it is missing, readable for its owner and group. [`AccessLog::reopen`] is for
//! rotation. [`AccessLog::close`] writes what is queued, within a bound.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{FileTypeExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::line::AccessEntry;
use crate::plan::{AccessFormat, AccessLogPlan};

/// Lines are gathered up to this size before they are written.
const BATCH: usize = 64 * 1024;

/// Counts of lines, over all access logs of this process.
#[derive(Debug, Default)]
pub struct AccessCounters {
    written: AtomicU64,
    dropped: AtomicU64,
    failed: AtomicU64,
}

impl AccessCounters {
    /// Lines that were written.
    pub fn written(&self) -> u64 {
        self.written.load(Relaxed)
    }

    /// Lines for which the queue had no room.
    pub fn dropped(&self) -> u64 {
        self.dropped.load(Relaxed)
    }

    /// Lines that could not be written.
    pub fn failed(&self) -> u64 {
        self.failed.load(Relaxed)
    }
}

/// An access log. When it is dropped, queued lines are still written, without anybody waiting for that.
pub struct AccessLog {
    queue: SyncSender<Message>,
    orders: Arc<Orders>,
    counters: Arc<AccessCounters>,
    /// Has nothing to receive; it is disconnected when the writer has ended.
    ended: Mutex<Receiver<()>>,
    format: AccessFormat,
    query: bool,
}

enum Message {
    Line(String),
    /// Look at the orders.
    Wake,
}

/// Orders to the writer. They are not in the queue with the lines, because the queue may be full.
#[derive(Default)]
struct Orders {
    reopen: AtomicBool,
    close: AtomicBool,
}

impl AccessLog {
    /// Opens the file and starts the thread.
    ///
    /// # Errors
    /// If the file can't be opened or is no regular file, or if no thread can be started.
    pub fn start(plan: &AccessLogPlan, counters: Arc<AccessCounters>) -> io::Result<Self> {
        let output: Output = match &plan.path {
            None => Output::Standard,
            Some(path) => Output::File(open(path)?, path.clone()),
        };
        Self::with_output(plan, counters, output)
    }

    fn with_output(plan: &AccessLogPlan, counters: Arc<AccessCounters>, output: Output) -> io::Result<Self> {
        let (queue, lines) = sync_channel(plan.queue);
        let orders = Arc::new(Orders::default());
        let (running, ended) = sync_channel(1);
        let writer = Writer {
            lines,
            orders: Arc::clone(&orders),
            counters: Arc::clone(&counters),
            output,
            broken: false,
        };
        let work = move || {
            writer.run();
            drop(running);
        };
        std::thread::Builder::new().name("linkspan-access".to_owned()).spawn(work)?;
        let ended = Mutex::new(ended);
        Ok(Self { queue, orders, counters, ended, format: plan.format, query: plan.query })
    }

    /// Queues a line, or drops it.
    pub fn record(&self, entry: &AccessEntry<'_>) {
        if self.orders.close.load(Relaxed) {
            self.counters.dropped.fetch_add(1, Relaxed);
            return;
        }
        let line = entry.line(self.format, self.query);
        // The first dropped line is logged; the metrics count the others.
        if self.queue.try_send(Message::Line(line)).is_err()
            && self.counters.dropped.fetch_add(1, Relaxed) == 0
        {
            tracing::warn!("the access log's queue is full: lines are dropped, and counted in the metrics");
        }
    }

    /// Opens the file again before the next line, for when it was moved away. Has no effect on standard output.
    pub fn reopen(&self) {
        self.orders.reopen.store(true, Relaxed);
        self.wake();
    }

    /// Writes queued lines, and ends; later lines are dropped and counted. `false` if that took longer than `timeout`,
    /// because the reader behind the output is too slow.
    pub fn close(&self, timeout: Duration) -> bool {
        self.orders.close.store(true, Relaxed);
        self.wake();
        let ended = self.ended.lock().unwrap_or_else(PoisonError::into_inner);
        matches!(ended.recv_timeout(timeout), Err(RecvTimeoutError::Disconnected))
    }

    /// A full queue wakes the writer by itself.
    fn wake(&self) {
        let _ = self.queue.try_send(Message::Wake);
    }
}

/// Opens a file for appending lines. A pipe is refused: opening it could wait for ever.
fn open(path: &Path) -> io::Result<File> {
    if std::fs::metadata(path).is_ok_and(|metadata| metadata.file_type().is_fifo()) {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "a pipe, not a file"));
    }
    OpenOptions::new().append(true).create(true).mode(0o640).open(path)
}

enum Output {
    Standard,
    File(File, PathBuf),
    #[cfg(test)]
    Test(Box<dyn Write + Send>),
}

impl Output {
    fn write(&mut self, lines: &[u8]) -> io::Result<()> {
        match self {
            Self::Standard => {
                let mut out = io::stdout().lock();
                out.write_all(lines)?;
                out.flush()
            }
            Self::File(file, _) => file.write_all(lines),
            #[cfg(test)]
            Self::Test(out) => out.write_all(lines),
        }
    }
}

struct Writer {
    lines: Receiver<Message>,
    orders: Arc<Orders>,
    counters: Arc<AccessCounters>,
    output: Output,
    /// The last write failed, perhaps in the middle of a line.
    broken: bool,
}

impl Writer {
    fn run(mut self) {
        let mut batch = Vec::with_capacity(BATCH);
        while let Some(first) = self.wait() {
            if self.orders.reopen.swap(false, Relaxed) {
                self.reopen();
            }
            let mut next = Some(first);
            let mut count = 0;
            while let Some(message) = next {
                if let Message::Line(line) = message {
                    batch.extend_from_slice(line.as_bytes());
                    count += 1;
                }
                next = if batch.len() < BATCH { self.lines.try_recv().ok() } else { None };
            }
            self.write(&batch, count);
            batch.clear();
        }
    }

    /// The next message. `None` if the queue is empty and no message will follow: the log was dropped, or closed.
    fn wait(&self) -> Option<Message> {
        match self.orders.close.load(Relaxed) {
            true => self.lines.try_recv().ok(),
            false => self.lines.recv().ok(),
        }
    }

    fn write(&mut self, batch: &[u8], lines: u64) {
        if lines == 0 {
            return;
        }
        // The rest of a broken line must not swallow the next line.
        let result = if self.broken { self.output.write(b"\n") } else { Ok(()) };
        match result.and_then(|()| self.output.write(batch)) {
            Ok(()) => {
                self.counters.written.fetch_add(lines, Relaxed);
                if self.broken {
                    tracing::info!("the access log is written again");
                }
                self.broken = false;
            }
            Err(error) => {
                self.counters.failed.fetch_add(lines, Relaxed);
                if !self.broken {
                    tracing::error!(%error, "the access log cannot be written; lines are lost, and counted");
                }
                self.broken = true;
            }
        }
    }

    /// The old file stays if the new one cannot be opened.
    fn reopen(&mut self) {
        let Output::File(file, path) = &mut self.output else { return };
        match open(path) {
            Ok(new) => {
                *file = new;
                self.broken = false;
            }
            Err(error) => {
                tracing::error!(%error, path = %path.display(), "the access log cannot be reopened")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::line::tests::entry;
    use super::*;
    use crate::config::Span;

    const LONG: Duration = Duration::from_secs(10);

    fn plan(path: Option<PathBuf>, queue: usize) -> AccessLogPlan {
        AccessLogPlan { path, format: AccessFormat::Json, queue, query: false, span: Span::default() }
    }

    /// Takes lines only while it is allowed to.
    struct Slow {
        allowed: Receiver<io::Result<()>>,
        out: Arc<Mutex<Vec<u8>>>,
        entered: SyncSender<()>,
    }

    impl Write for Slow {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let _ = self.entered.send(());
            self.allowed.recv().unwrap_or(Ok(()))?;
            self.out.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// A log over [`Slow`], and the test's ends of it.
    struct Stuck {
        log: AccessLog,
        allow: SyncSender<io::Result<()>>,
        entries: Receiver<()>,
        out: Arc<Mutex<Vec<u8>>>,
    }

    fn slow(queue: usize) -> Stuck {
        let ((allow, allowed), (entered, entries)) = (sync_channel(16), sync_channel(16));
        let out = Arc::new(Mutex::new(Vec::new()));
        let output = Output::Test(Box::new(Slow { allowed, out: Arc::clone(&out), entered }));
        let log = AccessLog::with_output(&plan(None, queue), Arc::default(), output).unwrap();
        Stuck { log, allow, entries, out }
    }

    #[test]
    fn a_full_queue_drops_and_counts() {
        let Stuck { log, allow, entries, out } = slow(4);
        log.record(&entry());
        entries.recv_timeout(LONG).unwrap();
        // The writer is stuck with the first line.
        for _ in 0..10 {
            log.record(&entry());
        }
        assert_eq!((log.counters.written(), log.counters.dropped()), (0, 6));
        assert!(!log.close(Duration::from_millis(10)));
        drop(allow);
        assert!(log.close(LONG));
        assert_eq!((log.counters.written(), log.counters.failed()), (5, 0));
        assert_eq!(out.lock().unwrap().iter().filter(|byte| **byte == b'\n').count(), 5);
        log.record(&entry());
        assert_eq!(log.counters.dropped(), 7);
    }

    #[test]
    fn a_failed_write_is_counted_and_the_next_line_starts_anew() {
        let Stuck { log, allow, entries, out } = slow(16);
        allow.send(Err(io::Error::other("the disk is full"))).unwrap();
        log.record(&entry());
        entries.recv_timeout(LONG).unwrap();
        drop(allow);
        while log.counters.failed() == 0 {
            std::thread::yield_now();
        }
        log.record(&entry());
        assert!(log.close(LONG));
        assert_eq!((log.counters.written(), log.counters.failed()), (1, 1));
        assert!(out.lock().unwrap().starts_with(b"\n{"));
    }

    #[test]
    fn a_file_is_appended_to_and_opened_anew() {
        let folder = std::env::temp_dir().join(format!("linkspan-access-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let (path, moved) = (folder.join("access.log"), folder.join("access.log.1"));
        std::fs::write(&path, "before\n").unwrap();
        let counters = Arc::<AccessCounters>::default();
        let log = AccessLog::start(&plan(Some(path.clone()), 16), Arc::clone(&counters)).unwrap();
        log.record(&entry());
        while counters.written() == 0 {
            std::thread::yield_now();
        }
        std::fs::rename(&path, &moved).unwrap();
        log.reopen();
        log.record(&entry());
        assert!(log.close(LONG));
        let lines = |path| std::fs::read_to_string(path).unwrap().lines().count();
        assert_eq!((lines(&moved), lines(&path)), (2, 1));

        let no_folder = plan(Some(folder.join("none").join("access.log")), 16);
        assert!(AccessLog::start(&no_folder, counters).is_err());
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
