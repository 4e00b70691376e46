//! The log: lines about the gateway's work, on standard error.
//!
//! `server` starts the log, and all code writes to it with `tracing`. Guarantees: nobody waits for the reader of
//! standard error, because lines go through a bounded queue to a thread of their own and are dropped and counted when
//! the queue is full; lines that a client or a guest can cause again and again have a rate; a value has a maximum
//! length; and nothing in a line can end it. [`close`] writes what is queued, within a bound.
//!
//! A program that embeds the gateway has its own log, and uses nothing of this folder.

mod line;
mod queue;
mod quota;

use std::io;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use tracing::{Event, Subscriber};
use tracing_subscriber::layer::{Context, SubscriberExt as _};
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Layer};

use self::line::Fields;
use self::queue::{Queue, StandardError};
use self::quota::Quota;
use crate::plan::LogPlan;

pub use self::line::LogFormat;
pub use self::queue::LogCounters;

/// The target of stages' lines: their scope has a quota for them.
const STAGES: &str = "linkspan::stage";
/// The time between two looks whether there is something to report about the log itself.
const PAUSE: Duration = Duration::from_secs(1);

/// The log of this process.
static LOG: OnceLock<Arc<Log>> = OnceLock::new();

struct Log {
    format: LogFormat,
    queue: Queue,
    quota: Quota,
    /// Longest value, in bytes.
    value_size: AtomicUsize,
}

/// Starts the log of this process, with the lines that `filter` passes, and its thread.
///
/// # Errors
/// If there is a log already, or no thread can be started.
pub fn start(format: LogFormat, filter: EnvFilter) -> io::Result<()> {
    let log = Arc::new(Log::new(format));
    let out = StandardError::open()?;
    let subscriber = tracing_subscriber::registry().with(filter).with(Lines(Arc::clone(&log)));
    subscriber.try_init().map_err(io::Error::other)?;
    let writer = Arc::clone(&log);
    let work = move || {
        let mut told = 0;
        writer.queue.run(out, PAUSE, |dropped| {
            // If one of these lines is dropped itself, that makes another.
            if dropped > std::mem::replace(&mut told, dropped) {
                tracing::warn!(
                    dropped,
                    "log lines were dropped: standard error did not take them (`log.queue`)"
                );
            }
            writer.tell(false);
        });
    };
    std::thread::Builder::new().name("linkspan-log".to_owned()).spawn(work)?;
    _ = LOG.set(log);
    Ok(())
}

/// Logs panics once there is a log: a thread that prints them waits for the reader of standard error.
pub fn log_panics() {
    let print = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| match LOG.get() {
        Some(_) => tracing::error!("a thread panicked: {panic}"),
        None => print(panic),
    }));
}

/// Sets the bounds of lines.
pub fn configure(plan: &LogPlan) {
    if let Some(log) = LOG.get() {
        log.queue.set_size(plan.queue);
        log.quota.set_rate(plan.rate);
        log.value_size.store(plan.value_size, Relaxed);
    }
}

/// Queues `text` unchanged, if this process has a log; `false` if it has none.
pub fn say(text: &str) -> bool {
    let log = LOG.get();
    log.inspect(|log| log.queue.push(text)).is_some()
}

/// Writes everything that was logged until now. Returns after `timeout` at the latest; later lines are dropped.
pub fn close(timeout: Duration) {
    if let Some(log) = LOG.get() {
        log.tell(true);
        log.queue.close(timeout);
    }
}

/// The counts of lines, if this process has a log.
pub(super) fn counters() -> Option<&'static LogCounters> {
    LOG.get().map(|log| &log.queue.counters)
}

impl Log {
    fn new(format: LogFormat) -> Self {
        let LogPlan { queue, rate, value_size } = LogPlan::default();
        Self { format, queue: Queue::new(queue), quota: Quota::new(rate), value_size: value_size.into() }
    }

    /// Logs how many lines were left out.
    fn tell(&self, at_once: bool) {
        for (suppressed, like) in self.quota.take_suppressed(at_once) {
            tracing::warn!(suppressed, like, "log lines were left out: too many of one kind (`log.rate`)");
        }
    }
}

/// Turns events into lines.
struct Lines(Arc<Log>);

impl<S: Subscriber> Layer<S> for Lines {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let (log, metadata) = (&*self.0, event.metadata());
        let fields = Fields::of(event, log.format, log.value_size.load(Relaxed));
        // A stage has its quota in its scope; the clock bounds these lines.
        let is_bounded = metadata.target() == STAGES || metadata.target() == module_path!();
        if !is_bounded
            && !log.quota.allows(metadata.callsite(), &fields.subject(), Instant::now(), || fields.example())
        {
            log.queue.counters.suppressed.fetch_add(1, Relaxed);
            return;
        }
        log.queue.push(&fields.line(*metadata.level(), metadata.target()));
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use std::io::Write;
    use std::sync::Mutex;

    /// The lines that `work` logs.
    pub(in super::super) fn logged(format: LogFormat, work: impl FnOnce()) -> String {
        #[derive(Clone, Default)]
        struct Out(Arc<Mutex<Vec<u8>>>);
        impl Write for Out {
            fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
                self.0.lock().unwrap().extend_from_slice(bytes);
                Ok(bytes.len())
            }

            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let (log, out) = (Arc::new(Log::new(format)), Out::default());
        let subscriber = tracing_subscriber::registry().with(Lines(Arc::clone(&log)));
        tracing::subscriber::with_default(subscriber, || {
            work();
            log.tell(true);
        });
        let (writer, to) = (Arc::clone(&log), out.clone());
        let thread = std::thread::spawn(move || writer.queue.run(to, PAUSE, |_| ()));
        assert!(log.queue.close(Duration::from_secs(30)));
        thread.join().unwrap();
        let out = out.0.lock().unwrap();
        String::from_utf8(out.clone()).unwrap()
    }

    #[test]
    fn lines_of_one_kind_have_a_rate() {
        let format = LogFormat::Text { colours: false };
        let text = logged(format, || {
            for at in 0..5_000 {
                tracing::warn!(pipeline = "one", at, "it failed");
            }
            tracing::warn!(pipeline = "two", "it failed");
        });
        let lines = |part: &str| text.lines().filter(|line| line.contains(part)).count();
        assert!((1_000..2_000).contains(&lines("it failed pipeline=one")), "{}", text.lines().count());
        assert_eq!(lines("it failed pipeline=two"), 1);
        assert_eq!(lines("like=\"it failed, pipeline one\""), 1, "{text}");
    }
}
