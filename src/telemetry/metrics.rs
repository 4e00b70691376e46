//! The process's counts, from which a scrape is written.
//!
//! Every worker has its own [`PipelineMetrics`] for each pipeline and keeps it; they are added up when a scrape asks.
//! A pipeline that vanished from the configuration keeps its series to the end of the process, because a counter that
//! goes backwards looks like a restart; so the names are bounded: after 10,000, new ones share `_other`. So are the pairs
//! of pipelines of which one calls the other, and the stages that did not apply to a request.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::access::AccessCounters;
use super::calls::{CallMetrics, Calls};
use super::exposition;
use super::pipeline::PipelineMetrics;
use super::upstream::{Servers, UpstreamMetrics};

/// Most pipelines with series of their own.
const MAX_PIPELINES: usize = 10_000;

/// Most servers of upstreams with series of their own.
const MAX_SERVERS: usize = 10_000;

/// The pipeline of those beyond. No pipeline has this name, nor the next one: theirs are in kebab case.
const OTHER: &str = "_other";

/// The pipeline of requests that reached none.
const NONE: &str = "_none";

/// What became of a reload or a rollback.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReloadResult {
    /// A new generation is live.
    Applied,
    /// The configuration was the same.
    Unchanged,
    /// It was not valid, and the old generation goes on.
    Rejected,
}

pub(super) const RELOAD_RESULTS: [&str; 3] = ["applied", "unchanged", "rejected"];

/// Everything that is counted in this process.
pub struct Metrics {
    started: SystemTime,
    pipelines: Mutex<Pipelines>,
    servers: Mutex<Servers>,
    calls: Mutex<Calls>,
    skips: Mutex<Skips>,
    connections: OnceLock<Box<dyn Fn() -> usize + Send + Sync>>,
    access: Arc<AccessCounters>,
    pub(super) generation: AtomicU64,
    pub(super) retiring: AtomicUsize,
    pub(super) streams_cut: AtomicU64,
    pub(super) reloads: [AtomicU64; RELOAD_RESULTS.len()],
    last_reload: Mutex<Option<LastReload>>,
}

/// By two names, then by worker.
pub(super) type Pairs<T> = BTreeMap<(Arc<str>, Arc<str>), BTreeMap<usize, Arc<T>>>;

/// By pipeline and stage.
pub(super) type Skips = Pairs<AtomicU64>;

/// What `worker` counts of a pair; of one too many, as of all those.
fn of_pair<T: Default>(pairs: &Mutex<Pairs<T>>, first: &str, second: &str, worker: usize) -> Arc<T> {
    let mut pairs = lock(pairs);
    let pair = (Arc::from(first), Arc::from(second));
    let known = pairs.contains_key(&pair) || pairs.len() < MAX_PIPELINES;
    let pair = if known { pair } else { (OTHER.into(), OTHER.into()) };
    Arc::clone(pairs.entry(pair).or_default().entry(worker).or_default())
}

/// By name, then by worker.
pub(super) type Pipelines = BTreeMap<Arc<str>, BTreeMap<usize, Arc<PipelineMetrics>>>;

#[derive(Clone, Copy)]
pub(super) struct LastReload {
    pub(super) result: ReloadResult,
    pub(super) at: SystemTime,
    pub(super) took: Duration,
}

impl Metrics {
    /// The counts of a process that starts now.
    #[must_use]
    pub fn new() -> Arc<Self> {
        Arc::new(Self {
            started: SystemTime::now(),
            pipelines: Mutex::default(),
            servers: Mutex::default(),
            calls: Mutex::default(),
            skips: Mutex::default(),
            connections: OnceLock::new(),
            access: Arc::default(),
            generation: AtomicU64::new(0),
            retiring: AtomicUsize::new(0),
            streams_cut: AtomicU64::new(0),
            reloads: Default::default(),
            last_reload: Mutex::new(None),
        })
    }

    /// What `worker` counts of the pipeline called `name`: the same for the same two, across generations. Takes a lock;
    /// it is for building a generation, not for a request.
    #[must_use]
    pub fn pipeline(&self, name: &str, worker: usize) -> Arc<PipelineMetrics> {
        let mut pipelines = lock(&self.pipelines);
        let known = pipelines.contains_key(name) || name == NONE || pipelines.len() < MAX_PIPELINES;
        let name: &str = if known { name } else { OTHER };
        if !pipelines.contains_key(name) {
            pipelines.insert(name.into(), BTreeMap::new());
        }
        let workers = pipelines.entry(name.into()).or_default();
        Arc::clone(workers.entry(worker).or_insert_with(|| Arc::new(PipelineMetrics::new())))
    }

    /// What `worker` counts of `server` of the upstream called `name`, likewise; `up` says whether it gets requests.
    #[must_use]
    pub fn upstream(
        &self,
        name: &str,
        server: &str,
        worker: usize,
        up: &Arc<AtomicBool>,
    ) -> Arc<UpstreamMetrics> {
        let mut servers = lock(&self.servers);
        let mut key: (Arc<str>, Arc<str>) = (name.into(), server.into());
        if servers.len() >= MAX_SERVERS && !servers.contains_key(&key) {
            key = (OTHER.into(), OTHER.into());
        }
        let server = servers.entry(key).or_default();
        server.up = Arc::downgrade(up);
        Arc::clone(server.workers.entry(worker).or_default())
    }

    /// What `worker` counts of calls of the pipeline `callee` by the pipeline `caller`, likewise.
    #[must_use]
    pub fn call(&self, caller: &str, callee: &str, worker: usize) -> Arc<CallMetrics> {
        of_pair(&self.calls, caller, callee, worker)
    }

    /// Where `worker` counts the requests that `stage` of the pipeline called `name` does not apply to, likewise.
    #[must_use]
    pub fn skips(&self, name: &str, stage: &str, worker: usize) -> Arc<AtomicU64> {
        of_pair(&self.skips, name, stage, worker)
    }

    /// What `worker` counts of requests that reach no pipeline: no route, or a head that breaks the rules.
    #[must_use]
    pub fn unrouted(&self, worker: usize) -> Arc<PipelineMetrics> {
        self.pipeline(NONE, worker)
    }

    /// Where the number of open connections is asked for; the first one stays.
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

    /// Requests were cut because their generation had to end.
    pub fn streams_cut(&self, requests: u64) {
        self.streams_cut.fetch_add(requests, Relaxed);
    }

    /// A reload or a rollback ended now, and took so long.
    pub fn reload(&self, result: ReloadResult, took: Duration) {
        self.reloads[result as usize].fetch_add(1, Relaxed);
        *lock(&self.last_reload) = Some(LastReload { result, at: SystemTime::now(), took });
    }

    /// What access logs count into, across reloads.
    #[must_use]
    pub fn access_log(&self) -> &Arc<AccessCounters> {
        &self.access
    }

    /// All of it as Prometheus text, [`Metrics::CONTENT_TYPE`]. Its order depends on names only.
    #[must_use]
    pub fn render(&self) -> String {
        // The lock is not held while the text is written.
        let pipelines = lock(&self.pipelines).clone();
        let servers = lock(&self.servers).clone();
        let calls = lock(&self.calls).clone();
        let skips = lock(&self.skips).clone();
        exposition::render(self, &pipelines, &servers, &calls, &skips)
    }

    /// The format of [`Metrics::render`].
    pub const CONTENT_TYPE: &'static str = "text/plain; version=0.0.4; charset=utf-8";

    pub(super) fn open_connections(&self) -> Option<usize> {
        self.connections.get().map(|open| open())
    }

    pub(super) fn last_reload(&self) -> Option<LastReload> {
        *lock(&self.last_reload)
    }

    /// When the process started, since 1970.
    pub(super) fn started(&self) -> Duration {
        since_epoch(self.started)
    }
}

/// A clock before 1970 is no reason to fail.
pub(super) fn since_epoch(time: SystemTime) -> Duration {
    time.duration_since(UNIX_EPOCH).unwrap_or_default()
}

/// What is behind these locks is whole at any time, whoever panicked.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_worker_keeps_its_counts_across_generations() {
        let metrics = Metrics::new();
        let first = metrics.pipeline("edge", 0);
        assert!(Arc::ptr_eq(&first, &metrics.pipeline("edge", 0)));
        assert!(!Arc::ptr_eq(&first, &metrics.pipeline("edge", 1)));
        assert!(!Arc::ptr_eq(&first, &metrics.unrouted(0)));
    }

    #[test]
    fn names_are_bounded() {
        let metrics = Metrics::new();
        for number in 0..MAX_PIPELINES {
            drop(metrics.pipeline(&format!("p-{number}"), 0));
        }
        let beyond = metrics.pipeline("one-more", 0);
        assert!(Arc::ptr_eq(&beyond, &metrics.pipeline("and-another", 0)));
        assert!(!Arc::ptr_eq(&beyond, &metrics.pipeline("p-7", 0)));
        assert!(!Arc::ptr_eq(&beyond, &metrics.unrouted(0)));
        assert_eq!(lock(&metrics.pipelines).len(), MAX_PIPELINES + 2);
        for number in 0..MAX_PIPELINES {
            drop(metrics.skips("edge", &format!("{number}:cors"), 0));
        }
        let beyond = metrics.skips("edge", "one-more", 0);
        assert!(Arc::ptr_eq(&beyond, &metrics.skips("and", "another", 0)));
        assert!(!Arc::ptr_eq(&beyond, &metrics.skips("edge", "7:cors", 0)));
    }
}
