//! Finished traces on their way to a receiver.
//!
//! Workers put them in and never wait; a bound on the spans that wait holds however long the receiver takes.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use http::HeaderValue;

use super::id::TraceId;
use super::span::Span;

/// Why spans were dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DropReason {
    /// Their trace had as many as it may have.
    TraceFull,
    /// The queue was full.
    QueueFull,
    /// The receiver could not be reached, or did not take them, in all attempts.
    ExportFailed,
    /// The receiver took the others, and not these.
    Refused,
    /// The gateway ended before they were sent.
    Stopped,
    /// A stage told of them, and they could not be taken.
    Told,
}

impl DropReason {
    /// All of them, in their order.
    pub const ALL: [Self; 6] =
        [Self::TraceFull, Self::QueueFull, Self::ExportFailed, Self::Refused, Self::Stopped, Self::Told];

    /// Its name in metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Self::TraceFull => "trace-full",
            Self::QueueFull => "queue-full",
            Self::ExportFailed => "export-failed",
            Self::Refused => "refused",
            Self::Stopped => "stopped",
            Self::Told => "told",
        }
    }
}

/// The counts of traces and spans in this process.
#[derive(Debug, Default)]
pub struct TraceCounters {
    pub(super) sampled: AtomicU64,
    pub(super) limited: AtomicU64,
    pub(super) exported: AtomicU64,
    pub(super) failures: AtomicU64,
    dropped: [AtomicU64; DropReason::ALL.len()],
}

impl TraceCounters {
    /// Requests that were sampled.
    pub fn sampled(&self) -> u64 {
        self.sampled.load(Relaxed)
    }

    /// Requests that were not sampled since as many had been in the same second.
    pub fn limited(&self) -> u64 {
        self.limited.load(Relaxed)
    }

    /// Spans that a receiver took.
    pub fn exported(&self) -> u64 {
        self.exported.load(Relaxed)
    }

    /// Attempts to send spans that failed.
    pub fn failures(&self) -> u64 {
        self.failures.load(Relaxed)
    }

    /// Spans that were dropped for `reason`.
    pub fn dropped(&self, reason: DropReason) -> u64 {
        self.dropped[reason as usize].load(Relaxed)
    }

    pub(super) fn lose(&self, spans: usize, reason: DropReason) {
        self.dropped[reason as usize].fetch_add(spans as u64, Relaxed);
    }
}

/// A trace whose request is over, with the spans of this process.
#[derive(Clone, Debug)]
pub struct FinishedTrace {
    /// Its name.
    pub id: TraceId,
    /// Its flags, as in `traceparent`.
    pub flags: u8,
    /// Its `tracestate`.
    pub state: Option<HeaderValue>,
    /// In the order in which they ended; at least one.
    pub spans: Vec<Span>,
}

#[derive(Default)]
struct Waiting {
    traces: VecDeque<FinishedTrace>,
    spans: usize,
    /// When the first of them came.
    since: Option<Instant>,
    closed: bool,
}

/// Traces that wait for their receiver.
pub struct SpanQueue {
    waiting: Mutex<Waiting>,
    changed: Condvar,
    /// The most spans that wait.
    most: usize,
    /// Spans that are taken at once.
    batch: usize,
    counters: Arc<TraceCounters>,
}

impl SpanQueue {
    /// An empty queue for so many spans, which are taken in batches of about `batch`.
    pub fn new(most: usize, batch: usize, counters: Arc<TraceCounters>) -> Self {
        let (waiting, changed) = (Mutex::default(), Condvar::new());
        Self { waiting, changed, most, batch: batch.min(most), counters }
    }

    /// Queues a trace, or drops it.
    pub fn push(&self, trace: FinishedTrace) {
        let spans = trace.spans.len();
        let mut waiting = self.lock();
        if waiting.closed || waiting.spans + spans > self.most {
            let reason = if waiting.closed { DropReason::Stopped } else { DropReason::QueueFull };
            drop(waiting);
            // The first one is logged; the metrics count the others.
            if reason == DropReason::QueueFull && self.counters.dropped(reason) == 0 {
                tracing::warn!(
                    "the queue of spans is full: spans are dropped, and counted (`telemetry.queue`)"
                );
            }
            self.counters.lose(spans, reason);
            return;
        }
        // The taker looks at the time by itself; without this, each trace would wake it.
        let wakes =
            waiting.spans < self.batch && waiting.spans + spans >= self.batch || waiting.since.is_none();
        waiting.spans += spans;
        waiting.since.get_or_insert_with(Instant::now);
        waiting.traces.push_back(trace);
        drop(waiting);
        if wakes {
            self.changed.notify_all();
        }
    }

    /// Waits for a batch, or until the first trace has waited for `patience`, or until the queue is closed. `None` if it is
    /// closed and empty.
    pub fn take(&self, patience: Duration) -> Option<Vec<FinishedTrace>> {
        let mut waiting = self.lock();
        loop {
            let left = waiting.since.map(|since| patience.saturating_sub(since.elapsed()));
            match left {
                _ if waiting.closed || waiting.spans >= self.batch => break,
                Some(Duration::ZERO) => break,
                Some(left) => {
                    waiting =
                        self.changed.wait_timeout(waiting, left).unwrap_or_else(PoisonError::into_inner).0;
                }
                None => waiting = self.changed.wait(waiting).unwrap_or_else(PoisonError::into_inner),
            }
        }
        let mut taken = Vec::new();
        let mut spans = 0;
        // Whole traces: the last one may make it more.
        while spans < self.batch
            && let Some(trace) = waiting.traces.pop_front()
        {
            spans += trace.spans.len();
            taken.push(trace);
        }
        waiting.spans -= spans;
        waiting.since = (!waiting.traces.is_empty()).then(Instant::now);
        (!taken.is_empty()).then_some(taken)
    }

    /// Takes nothing any more; what waits can still be taken.
    pub fn close(&self) {
        self.lock().closed = true;
        self.changed.notify_all();
    }

    /// Drops what waits.
    pub fn clear(&self, reason: DropReason) {
        let waiting = std::mem::replace(&mut *self.lock(), Waiting { closed: true, ..Waiting::default() });
        self.counters.lose(waiting.spans, reason);
    }

    /// Spans that wait.
    pub fn len(&self) -> usize {
        self.lock().spans
    }

    /// Whether no spans wait.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::super::id::SpanId;
    use super::super::span::SpanKind;
    use super::*;

    fn trace(spans: usize) -> FinishedTrace {
        let span = || Span::new(SpanId::random(), (None, false), SpanKind::Internal, "x".into(), 0);
        FinishedTrace {
            id: TraceId::random(),
            flags: 1,
            state: None,
            spans: (0..spans).map(|_| span()).collect(),
        }
    }

    fn sizes(taken: Option<Vec<FinishedTrace>>) -> Vec<usize> {
        taken.unwrap_or_default().iter().map(|trace| trace.spans.len()).collect()
    }

    #[test]
    fn a_full_queue_drops_whole_traces_and_counts_their_spans() {
        let counters = Arc::<TraceCounters>::default();
        let queue = SpanQueue::new(10, 4, Arc::clone(&counters));
        for spans in [4, 5, 3, 1, 1] {
            queue.push(trace(spans));
        }
        assert_eq!((queue.len(), counters.dropped(DropReason::QueueFull)), (10, 4));
        assert_eq!(sizes(queue.take(Duration::MAX)), [4]);
        assert_eq!(sizes(queue.take(Duration::MAX)), [5]);
        queue.push(trace(2));
        queue.close();
        queue.push(trace(7));
        assert_eq!(counters.dropped(DropReason::Stopped), 7);
        assert_eq!(sizes(queue.take(Duration::MAX)), [1, 2]);
        assert!(queue.take(Duration::MAX).is_none() && queue.is_empty());
    }

    #[test]
    fn what_waits_is_taken_after_a_time_or_with_a_batch() {
        let queue = Arc::new(SpanQueue::new(100, 10, Arc::default()));
        queue.push(trace(1));
        let since = Instant::now();
        assert_eq!(sizes(queue.take(Duration::from_millis(50))), [1]);
        assert!(since.elapsed() >= Duration::from_millis(40));
        let taker = Arc::clone(&queue);
        let thread = std::thread::spawn(move || sizes(taker.take(Duration::MAX)));
        for _ in 0..5 {
            queue.push(trace(2));
        }
        assert_eq!(thread.join().unwrap(), [2; 5]);
        queue.push(trace(3));
        queue.clear(DropReason::ExportFailed);
        assert_eq!(queue.counters.dropped(DropReason::ExportFailed), 3);
        assert!(queue.take(Duration::MAX).is_none());
    }
}
