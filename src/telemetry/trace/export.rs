//! The thread that sends finished traces to a receiver.
//!
//! It takes whole traces out of the queue, about [`BATCH`] spans at once or what came in [`DELAY`], and sends them. What
//! the receiver may take another time is tried again, [`ATTEMPTS`] times in all, with longer and longer rests; meanwhile
//! the queue fills, and drops what it has no room for. [`Exporter::close`] sends what is left, within a bound.

use std::io;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::mpsc::{Receiver as Ended, RecvTimeoutError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::sync::watch;
use tokio::time::{sleep, sleep_until, timeout};

use super::encode::{refused, request};
use super::id::SpanId;
use super::queue::{DropReason, FinishedTrace, SpanQueue, TraceCounters};
use super::receiver::{NotTaken, Receiver};
use crate::plan::ExportPlan;

/// Spans that are sent at once, about.
const BATCH: usize = 512;
/// How long a span waits for others at most.
const DELAY: Duration = Duration::from_secs(1);
/// How often a batch is sent at most.
const ATTEMPTS: u32 = 5;
/// The first rest between two attempts; each is twice as long as the one before.
const FIRST_REST: Duration = Duration::from_millis(500);
/// The longest rest, also where the receiver asks for a longer one.
const LONGEST_REST: Duration = Duration::from_secs(30);

/// Sends finished traces. When it is dropped, its thread sends what is queued, without anybody waiting for that.
pub struct Exporter {
    queue: Arc<SpanQueue>,
    /// Until when the thread may work, once that is bounded.
    until: watch::Sender<Option<Instant>>,
    /// Has nothing to receive; it is disconnected when the thread has ended.
    ended: Mutex<Ended<()>>,
}

impl Exporter {
    /// Starts the thread.
    ///
    /// # Errors
    /// If the authorities' certificates can't be used, or no thread can be started.
    pub fn start(plan: &ExportPlan, counters: Arc<TraceCounters>) -> io::Result<Self> {
        let receiver = Receiver::new(plan).map_err(io::Error::other)?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let queue = Arc::new(SpanQueue::new(plan.queue, BATCH, Arc::clone(&counters)));
        let ((until, stops), (running, ended)) = (watch::channel(None), sync_channel(1));
        let mut sending = Sending {
            queue: Arc::clone(&queue),
            counters,
            receiver,
            name: plan.endpoint.to_string(),
            resource: plan.resource.clone(),
            patience: plan.timeout,
            until: stops,
            fails: false,
        };
        let work = move || {
            while let Some(traces) = sending.queue.take(DELAY) {
                runtime.block_on(sending.deliver(traces));
            }
            drop(running);
        };
        std::thread::Builder::new().name("linkspan-traces".to_owned()).spawn(work)?;
        Ok(Self { queue, until, ended: Mutex::new(ended) })
    }

    /// The queue whose traces it sends.
    pub fn queue(&self) -> Arc<SpanQueue> {
        Arc::clone(&self.queue)
    }

    /// Sends what is queued, without rests, and ends; later traces are dropped and counted. `false` if that took longer
    /// than `patience`, after which the rest is dropped, too.
    pub fn close(&self, patience: Duration) -> bool {
        self.until.send_replace(Some(Instant::now() + patience));
        self.queue.close();
        let ended = self.ended.lock().unwrap_or_else(PoisonError::into_inner);
        let in_time = matches!(ended.recv_timeout(patience), Err(RecvTimeoutError::Disconnected));
        self.queue.clear(DropReason::Stopped);
        in_time
    }
}

impl Drop for Exporter {
    fn drop(&mut self) {
        self.queue.close();
    }
}

/// What the thread has.
struct Sending {
    queue: Arc<SpanQueue>,
    counters: Arc<TraceCounters>,
    receiver: Receiver,
    /// The receiver, for the log.
    name: String,
    resource: Vec<(String, String)>,
    /// How long an attempt may take.
    patience: Duration,
    until: watch::Receiver<Option<Instant>>,
    /// The last attempt failed.
    fails: bool,
}

impl Sending {
    /// Sends a batch, in as many attempts as it may have.
    async fn deliver(&mut self, traces: Vec<FinishedTrace>) {
        let spans: usize = traces.iter().map(|trace| trace.spans.len()).sum();
        let message = Bytes::from(request(&self.resource, traces));
        let mut rest = FIRST_REST;
        for attempt in 1..=ATTEMPTS {
            let sent = tokio::select! {
                biased;
                sent = timeout(self.patience, self.receiver.send(message.clone())) => {
                    sent.unwrap_or_else(|_| Err(NotTaken::broken("no answer", &"not in `telemetry.timeout`")))
                }
                () = over(self.until.clone()) => return self.counters.lose(spans, DropReason::Stopped),
            };
            let not = match sent {
                Ok(answer) => return self.taken(spans, &answer),
                Err(not) => not,
            };
            self.counters.failures.fetch_add(1, Relaxed);
            // Once: what fails again is in the metrics.
            if !std::mem::replace(&mut self.fails, true) {
                tracing::warn!(
                    receiver = self.name,
                    reason = not.why,
                    "spans cannot be sent; what is lost is counted"
                );
            }
            if !not.may_retry || attempt == ATTEMPTS || self.until.borrow().is_some() {
                break;
            }
            tokio::select! {
                () = sleep(not.after.unwrap_or_else(|| jittered(rest)).min(LONGEST_REST)) => {}
                // At the end there is one attempt, at once.
                _ = self.until.changed() => {}
            }
            rest *= 2;
        }
        self.counters.lose(spans, DropReason::ExportFailed);
    }

    /// The receiver took a batch, except for what it says.
    fn taken(&mut self, spans: usize, answer: &[u8]) {
        let refused = usize::try_from(refused(answer)).unwrap_or(usize::MAX).min(spans);
        if refused > 0 {
            self.counters.lose(refused, DropReason::Refused);
        }
        self.counters.exported.fetch_add((spans - refused) as u64, Relaxed);
        if std::mem::replace(&mut self.fails, false) {
            tracing::info!(receiver = self.name, "spans are sent again");
        }
    }
}

/// Comes when the time is over, if it is ever bounded.
async fn over(mut until: watch::Receiver<Option<Instant>>) {
    match until.wait_for(Option::is_some).await.ok().and_then(|until| *until) {
        Some(until) => sleep_until(until.into()).await,
        // The exporter was dropped, and nobody waits.
        None => std::future::pending().await,
    }
}

/// Between half of `rest` and all of it, so that gateways do not come back together.
fn jittered(rest: Duration) -> Duration {
    let [random, ..] = SpanId::random().bytes();
    rest / 2 + rest / 2 * u32::from(random) / 256
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rests_differ_within_their_bounds() {
        let rests: Vec<_> = (0..100).map(|_| jittered(FIRST_REST)).collect();
        assert!(rests.iter().all(|rest| (FIRST_REST / 2..=FIRST_REST).contains(rest)));
        assert!(rests.iter().any(|rest| *rest != rests[0]));
    }
}
