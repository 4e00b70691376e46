//! What one worker counts of one pipeline.
//!
//! Only that worker writes here, so that an atomic is never contended; a scrape reads from another thread and may see a
//! request in one series that is not in another yet. Orderings are relaxed throughout: no count guards anything.
//!
//! Bounds: durations are kept for each pair of method and status that occurred, in pages that are made when first
//! needed (an ordinary pipeline takes some KiB); after [`MAX_PAIRS`] pairs, new pairs share one series, `_OTHER`. A
//! guest that answers with every possible status costs no more than that.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use super::histogram::{Histogram, OF_STAGES, Snapshot};
use http::Method;

/// The name of a method or status without a series of its own.
pub(super) const OTHER: &str = "_OTHER";

/// The methods that OpenTelemetry knows, then all others: a client may make up as many as it likes.
pub(super) const METHODS: [&str; 11] =
    ["CONNECT", "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", "QUERY", "TRACE", OTHER];

/// Statuses with a series of their own: 100 to 599, a page for each hundred.
const PAGES: usize = 5;
const PAGE: usize = 100;

/// Most pairs of method and status with a series of their own.
const MAX_PAIRS: usize = 256;

/// Why an instance died.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TrapKind {
    /// The guest's own fault: unreachable code, a bad access, a panic.
    Trap,
    /// The guest exceeded its budget of computation.
    Cpu,
    /// The guest wanted more memory than it may have.
    Memory,
    /// The host would have kept more for the guest than allowed.
    HostMemory,
    /// The guest's lift was rewritten, and the guest did what the rewritten form can't do.
    Lift,
    /// Its form was the direct one, and disagreed with itself.
    Form,
    /// Anything else, such as an instance that could not be made.
    Other,
}

pub(super) const TRAP_KINDS: [&str; 7] = ["trap", "cpu", "memory", "host-memory", "lift", "form", "other"];

/// The counts of one pipeline on one worker.
pub struct PipelineMetrics {
    active: [AtomicUsize; METHODS.len()],
    durations: [[OnceLock<Page>; PAGES]; METHODS.len()],
    pairs: AtomicUsize,
    other: Histogram,
    /// All durations in finer buckets, which the convention for the others does not have.
    fine: Histogram<{ OF_STAGES.len() }>,
    pub(super) events: Events,
    pub(super) traps: [AtomicU64; TRAP_KINDS.len()],
    pub(super) warm: AtomicUsize,
    pub(super) most_kept: AtomicUsize,
}

type Page = Box<[OnceLock<Box<Histogram>>; PAGE]>;

/// Counts without a label of their own.
#[derive(Default)]
pub(super) struct Events {
    pub(super) deadlines: AtomicU64,
    pub(super) no_capacity: AtomicU64,
    pub(super) guest_errors: AtomicU64,
    pub(super) invalid_responses: AtomicU64,
    pub(super) cut_short: AtomicU64,
    pub(super) abandoned: AtomicU64,
    pub(super) made: AtomicU64,
}

impl Default for PipelineMetrics {
    fn default() -> Self {
        Self {
            active: Default::default(),
            durations: Default::default(),
            pairs: AtomicUsize::new(0),
            other: Histogram::default(),
            fine: Histogram::new(&OF_STAGES),
            events: Events::default(),
            traps: Default::default(),
            warm: AtomicUsize::new(0),
            most_kept: AtomicUsize::new(0),
        }
    }
}

impl PipelineMetrics {
    /// Notes a request. The result belongs to the request, to the end of its response's body.
    pub fn begin(self: &Arc<Self>, method: &Method) -> InFlight {
        let method = method_index(method);
        self.active[method].fetch_add(1, Relaxed);
        InFlight { metrics: Arc::clone(self), method, ended: false }
    }

    /// Notes a request that was refused before anything was known of it, even its method.
    pub fn rejected(&self, status: u16) {
        self.histogram(METHODS.len() - 1, status).record(Duration::ZERO);
    }

    /// An instance died.
    pub fn trap(&self, kind: TrapKind) {
        self.traps[kind as usize].fetch_add(1, Relaxed);
    }

    /// A request was refused because there was no response head in time.
    pub fn deadline(&self) {
        self.events.deadlines.fetch_add(1, Relaxed);
    }

    /// A request was refused because no instance had room.
    pub fn no_capacity(&self) {
        self.events.no_capacity.fetch_add(1, Relaxed);
    }

    /// The handler answered with an error.
    pub fn guest_error(&self) {
        self.events.guest_errors.fetch_add(1, Relaxed);
    }

    /// The handler gave a response that can't be sent.
    pub fn invalid_response(&self) {
        self.events.invalid_responses.fetch_add(1, Relaxed);
    }

    /// A response broke off after its head.
    pub fn cut_short(&self) {
        self.events.cut_short.fetch_add(1, Relaxed);
    }

    /// Notes a client that left after its response's head; before the head, [`InFlight`] counts.
    pub fn abandoned(&self) {
        self.events.abandoned.fetch_add(1, Relaxed);
    }

    /// An instance was made.
    pub fn instance_made(&self) {
        self.events.made.fetch_add(1, Relaxed);
    }

    /// Notes that one of the pipeline's pools has `now` instances, and had `before` when it last reported.
    pub fn set_warm(&self, before: usize, now: usize) {
        // Only this worker writes.
        self.warm.store((self.warm.load(Relaxed) + now).saturating_sub(before), Relaxed);
    }

    /// Notes that the host kept so many bytes for an instance.
    pub fn kept(&self, bytes: usize) {
        self.most_kept.fetch_max(bytes, Relaxed);
    }

    fn histogram(&self, method: usize, status: u16) -> &Histogram {
        let Some(at) = usize::from(status).checked_sub(PAGE).filter(|at| *at < PAGES * PAGE) else {
            return &self.other;
        };
        let cell = self.durations[method][at / PAGE].get();
        if let Some(histogram) = cell.and_then(|page| page[at % PAGE].get()) {
            return histogram;
        }
        if self.pairs.fetch_add(1, Relaxed) >= MAX_PAIRS {
            // Keeps the count at its maximum, so that it does not wrap.
            self.pairs.store(MAX_PAIRS, Relaxed);
            return &self.other;
        }
        let page =
            self.durations[method][at / PAGE].get_or_init(|| Box::new([const { OnceLock::new() }; PAGE]));
        page[at % PAGE].get_or_init(Box::default)
    }

    /// The durations of all requests, in finer buckets.
    pub(super) fn fine(&self) -> Snapshot<{ OF_STAGES.len() }> {
        self.fine.snapshot()
    }

    /// Requests in progress, by the index of their method.
    pub(super) fn active(&self) -> impl Iterator<Item = usize> {
        self.active.iter().map(|count| count.load(Relaxed))
    }

    /// The durations, by method and status; status 0 with the last method is the series of all others.
    pub(super) fn durations(&self) -> impl Iterator<Item = ((usize, u16), Snapshot)> {
        let pages = self.durations.iter().enumerate().flat_map(|(method, pages)| {
            let pages = pages.iter().enumerate().filter_map(|(hundred, page)| Some((hundred, page.get()?)));
            pages.flat_map(move |(hundred, page)| {
                let series = page.iter().enumerate().filter_map(|(at, cell)| Some((at, cell.get()?)));
                series.map(move |(at, histogram)| {
                    // At most 599.
                    let status = ((hundred + 1) * PAGE + at) as u16;
                    ((method, status), histogram.snapshot())
                })
            })
        });
        let other = ((METHODS.len() - 1, 0), self.other.snapshot());
        pages.chain([other]).filter(|(_, snapshot)| snapshot.count() > 0)
    }
}

/// A request in progress. If it is dropped without [`InFlight::end`], it counts as abandoned: its client left before
/// there was a response.
#[must_use]
pub struct InFlight {
    metrics: Arc<PipelineMetrics>,
    method: usize,
    ended: bool,
}

impl InFlight {
    /// Notes that the response's body has ended, well or not; `duration` is the time since the request's head. A status
    /// beyond 599 has no series of its own.
    pub fn end(mut self, status: u16, duration: Duration) {
        self.ended = true;
        self.metrics.histogram(self.method, status).record(duration);
        self.metrics.fine.record(duration);
    }

    /// Where the request is counted.
    pub fn metrics(&self) -> &Arc<PipelineMetrics> {
        &self.metrics
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.metrics.active[self.method].fetch_sub(1, Relaxed);
        if !self.ended {
            self.metrics.events.abandoned.fetch_add(1, Relaxed);
        }
    }
}

fn method_index(method: &Method) -> usize {
    let last = METHODS.len() - 1;
    METHODS[..last].iter().position(|name| *name == method.as_str()).unwrap_or(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn end(metrics: &Arc<PipelineMetrics>, method: &Method, status: u16, millis: u64) {
        metrics.begin(method).end(status, Duration::from_millis(millis));
    }

    #[test]
    fn a_duration_falls_into_the_bucket_that_ends_with_it() {
        let metrics = Arc::<PipelineMetrics>::default();
        for millis in [0, 5, 6, 10_000, 10_001] {
            end(&metrics, &Method::GET, 200, millis);
        }
        let (series, snapshot) = metrics.durations().next().unwrap();
        assert_eq!(series, (2, 200));
        assert_eq!((snapshot.buckets[0], snapshot.buckets[1]), (2, 1));
        assert_eq!((snapshot.buckets[13], snapshot.beyond, snapshot.count()), (1, 1, 5));
        assert_eq!(snapshot.nanoseconds, 20_012_000_000);
        metrics.begin(&Method::GET).end(200, Duration::MAX);
    }

    #[test]
    fn what_has_no_series_of_its_own_goes_into_one() {
        let metrics = Arc::<PipelineMetrics>::default();
        for method in [Method::GET, Method::PUT, Method::from_bytes(b"MADE-UP").unwrap()] {
            for status in 0..1000 {
                end(&metrics, &method, status, 1);
            }
        }
        let all: Vec<_> = metrics.durations().collect();
        assert_eq!(all.len(), MAX_PAIRS + 1);
        let (other, snapshot) = all.last().unwrap();
        assert_eq!((*other, snapshot.count()), ((METHODS.len() - 1, 0), 3000 - MAX_PAIRS as u64));
        // Those that were there first go on.
        end(&metrics, &Method::GET, 200, 1);
        assert!(metrics.durations().any(|(series, snapshot)| series == (2, 200) && snapshot.count() == 2));
    }

    #[test]
    fn a_request_that_is_dropped_is_not_active_any_more() {
        let metrics = Arc::<PipelineMetrics>::default();
        let (one, two) = (metrics.begin(&Method::GET), metrics.begin(&Method::TRACE));
        assert_eq!(metrics.active().sum::<usize>(), 2);
        drop(one);
        two.end(200, Duration::ZERO);
        assert_eq!(metrics.active().sum::<usize>(), 0);
        assert_eq!(metrics.events.abandoned.load(Relaxed), 1);
    }
}
