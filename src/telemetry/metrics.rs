//! The process's counts, from which a scrape is written.
//!
//! Every worker has and keeps its own [`PipelineMetrics`] for each pipeline; a scrape adds them up. A pipeline that
//! vanished from the configuration keeps its series to the end of the process, because a counter that goes backwards
//! looks like a restart. The names are therefore bounded: after 10,000, new names share `_other`. The same bound
//! applies to pairs of pipelines of which one calls the other, and to stages with counts.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, SystemTime};

use super::access::AccessCounters;
use super::calendar::since_epoch;
use super::calls::CallMetrics;
use super::own_metrics::OwnMetrics;
use super::pipeline::PipelineMetrics;
use super::series::{NONE, Series};
use super::stage::StageMetrics;
use super::store::StoreCounts;
use super::trace::TraceCounters;
use super::upstream::UpstreamMetrics;

/// The result of a reload or a rollback.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReloadResult {
    /// A new generation is live.
    Applied,
    /// The configuration was the same.
    Unchanged,
    /// The configuration was not valid, and the old generation stays live.
    Rejected,
}

pub(super) const RELOAD_RESULTS: [&str; 3] = ["applied", "unchanged", "rejected"];

/// Returns the TLS handshakes that failed, by reason.
type LostHandshakes = Box<dyn Fn() -> [(&'static str, u64); 4] + Send + Sync>;

/// Everything that is counted in this process.
pub struct Metrics {
    started: SystemTime,
    pub(super) pipelines: Series<1, PipelineMetrics>,
    /// By upstream and server.
    pub(super) servers: Series<2, UpstreamMetrics>,
    /// By caller and callee.
    pub(super) calls: Series<2, CallMetrics>,
    /// By pipeline and stage.
    pub(super) stages: Series<2, StageMetrics>,
    breakers: OnceLock<Breakers>,
    pub(super) stores: OnceLock<StoreCounts>,
    pub(super) own_metrics: OnceLock<OwnMetrics>,
    connections: OnceLock<Box<dyn Fn() -> usize + Send + Sync>>,
    lost_handshakes: OnceLock<LostHandshakes>,
    access: Arc<AccessCounters>,
    traces: Arc<TraceCounters>,
    pub(super) generation: AtomicU64,
    pub(super) retiring: AtomicUsize,
    pub(super) streams_cut: AtomicU64,
    pub(super) reloads: [AtomicU64; RELOAD_RESULTS.len()],
    last_reload: Mutex<Option<LastReload>>,
}

/// The breaker of a stage, at a scrape.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct BreakerState {
    /// The stage's pipeline.
    pub pipeline: String,
    /// `0:key-auth`.
    pub stage: String,
    /// Whether the breaker keeps requests from the stage.
    pub open: bool,
    /// How often the breaker opened.
    pub opened: u64,
}

type Breakers = Box<dyn Fn() -> Vec<BreakerState> + Send + Sync>;

#[derive(Clone, Copy)]
pub(super) struct LastReload {
    pub(super) result: ReloadResult,
    pub(super) at: SystemTime,
    pub(super) took: Duration,
}

impl Metrics {
    /// The counts of a process that starts now.
    pub fn new() -> Arc<Self> {
        Arc::new(Self {
            started: SystemTime::now(),
            pipelines: Series::default(),
            servers: Series::default(),
            calls: Series::default(),
            stages: Series::default(),
            breakers: OnceLock::new(),
            stores: OnceLock::new(),
            own_metrics: OnceLock::new(),
            connections: OnceLock::new(),
            lost_handshakes: OnceLock::new(),
            access: Arc::default(),
            traces: Arc::default(),
            generation: AtomicU64::new(0),
            retiring: AtomicUsize::new(0),
            streams_cut: AtomicU64::new(0),
            reloads: Default::default(),
            last_reload: Mutex::new(None),
        })
    }

    /// The counts of `worker` for the pipeline called `name`: the same ones across generations. Takes a lock; this is
    /// for building a generation, not for a request.
    pub fn pipeline(&self, name: &str, worker: usize) -> Arc<PipelineMetrics> {
        self.pipelines.of([name], worker)
    }

    /// The counts of `worker` for `server` of the upstream called `name`, likewise; `up` says whether the server gets
    /// requests.
    pub fn upstream(
        &self,
        name: &str,
        server: &str,
        worker: usize,
        up: &Arc<AtomicBool>,
    ) -> Arc<UpstreamMetrics> {
        let metrics = self.servers.of([name, server], worker);
        metrics.set_up(up);
        metrics
    }

    /// The counts of `worker` for calls of the pipeline `callee` by the pipeline `caller`, likewise.
    pub fn call(&self, caller: &str, callee: &str, worker: usize) -> Arc<CallMetrics> {
        self.calls.of([caller, callee], worker)
    }

    /// The counts of `worker` for `stage` of the pipeline called `name`, likewise.
    pub fn stage(&self, name: &str, stage: &str, worker: usize) -> Arc<StageMetrics> {
        self.stages.of([name, stage], worker)
    }

    /// The counts of `worker` for requests that reach no pipeline: no route, or a head that breaks the rules.
    pub fn unrouted(&self, worker: usize) -> Arc<PipelineMetrics> {
        self.pipeline(NONE, worker)
    }

    /// Sets the function that returns the breakers of the live generation; the first one stays.
    pub fn set_breakers(&self, breakers: impl Fn() -> Vec<BreakerState> + Send + Sync + 'static) {
        let _ = self.breakers.set(Box::new(breakers));
    }

    /// Sets where stores are counted; the first one stays.
    pub fn set_stores(&self, counts: StoreCounts) {
        let _ = self.stores.set(counts);
    }

    /// Sets where metrics of stages' own are; the first one stays.
    pub fn set_own_metrics(&self, metrics: OwnMetrics) {
        let _ = self.own_metrics.set(metrics);
    }

    /// The breakers of the live generation, in order.
    pub(super) fn breakers(&self) -> Vec<BreakerState> {
        let mut breakers = self.breakers.get().map_or_else(Vec::new, |breakers| breakers());
        breakers.sort_unstable();
        breakers.dedup_by(|one, other| (&one.pipeline, &one.stage) == (&other.pipeline, &other.stage));
        breakers
    }

    /// Sets the function that returns the number of open connections; the first one stays.
    pub fn set_connections(&self, open: impl Fn() -> usize + Send + Sync + 'static) {
        let _ = self.connections.set(Box::new(open));
    }

    /// The number of the live generation.
    pub fn set_generation(&self, number: u64) {
        self.generation.store(number, Relaxed);
    }

    /// How many replaced generations still have requests.
    pub fn set_retiring(&self, generations: usize) {
        self.retiring.store(generations, Relaxed);
    }

    /// Counts requests that were cut because their generation had to end.
    pub fn streams_cut(&self, requests: u64) {
        self.streams_cut.fetch_add(requests, Relaxed);
    }

    /// Notes that a reload or a rollback ended now, after `took`.
    pub fn reload(&self, result: ReloadResult, took: Duration) {
        self.reloads[result as usize].fetch_add(1, Relaxed);
        *lock(&self.last_reload) = Some(LastReload { result, at: SystemTime::now(), took });
    }

    /// The counts of access logs, across reloads.
    pub fn access_log(&self) -> &Arc<AccessCounters> {
        &self.access
    }

    /// The counts of traces.
    pub fn traces(&self) -> &Arc<TraceCounters> {
        &self.traces
    }

    /// Sets the function that returns the TLS handshakes that failed, by reason.
    pub fn set_lost_handshakes(&self, lost: impl Fn() -> [(&'static str, u64); 4] + Send + Sync + 'static) {
        // The first one stays.
        let _ = self.lost_handshakes.set(Box::new(lost));
    }

    pub(super) fn lost_handshakes(&self) -> Option<[(&'static str, u64); 4]> {
        self.lost_handshakes.get().map(|lost| lost())
    }

    /// Open connections, where there are any listeners.
    pub fn open_connections(&self) -> Option<usize> {
        self.connections.get().map(|open| open())
    }

    pub(super) fn last_reload(&self) -> Option<LastReload> {
        *lock(&self.last_reload)
    }

    /// When the process started, in seconds since 1970.
    pub fn started(&self) -> Duration {
        since_epoch(self.started)
    }
}

/// The values behind these locks are complete at any time, also after a panic.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
