//! The one way in which the live generation changes.
//!
//! Whatever requests it (a changed file, SIGHUP, the admin listener), a reload reads everything, builds a new
//! generation beside the live one, prepares its listeners, and only then swaps. A mistake leaves the live generation as
//! it is, and is reported in the log and in the record. A build that panics is a mistake, too. Reloads run one after
//! the other; a reload that would change nothing does nothing.
//!
//! The report ([`Control::generations`]) is published at each change, and never waits for the current reload: a build
//! may take a minute.
//!
//! Bounds: `gateway.history` replaced configurations are kept for a rollback, with the bytes of their components; a
//! replaced generation is kept by its requests, at most for `gateway.retire-timeout`, after which they are cut.
//! [`RECORDS`] reloads are remembered.

use super::build::{Workshop, build};
use super::generation::Generation;
use super::inputs::{Inputs, Refused};
use super::live::Live;
use super::observed;
use super::watch::{Looks, look_again};
use crate::chain::caught;
use crate::chain::runtimes::PATIENCE;
use crate::component::Digest;
use crate::config::{Diagnostics, SourceFile};
use crate::plan::{PipelineIndex, Plan};
use crate::upstream::{ServerReport, Upstream};
use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError, Weak};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Reloads that are remembered for `/generations`.
const RECORDS: usize = 50;

/// The result of a reload or rollback.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// What requested it: `file`, `signal`, `admin`, `rollback`.
    pub trigger: &'static str,
    /// When it ended.
    pub at: SystemTime,
    /// How long it took.
    pub duration: Duration,
    /// The generation that is live after it.
    pub generation: u64,
    /// What happened.
    pub result: Change,
}

/// What a reload or rollback did.
#[derive(Clone, Debug)]
pub enum Change {
    /// A new generation is live.
    Swapped {
        /// Segments that were made.
        compiled: usize,
        /// Segments that were taken over.
        reused: usize,
    },
    /// The configuration is the one that is live.
    Unchanged,
    /// There is no earlier configuration.
    NoHistory,
    /// The configuration is wrong, and the live one stays.
    Refused(Diagnostics),
}

/// Reads a configuration and all files that it names, with warnings.
pub type Gather = Box<dyn Fn(&Path, &Workshop) -> Result<(Inputs, Diagnostics), Refused> + Send + Sync>;

/// Prepares the front end for a plan's listeners, and returns a function that puts them in place; what can't be
/// prepared is added to the diagnostics.
pub type Prepare = Box<dyn FnMut(&Plan, &mut Diagnostics) -> Option<Box<dyn FnOnce() + Send>> + Send>;

/// A generation that was replaced and may still have requests.
#[derive(Clone)]
struct Retired {
    number: u64,
    since: Instant,
    patience: Duration,
    generation: Weak<Generation>,
    cut: bool,
}

/// The state of changes: locked for as long as a change takes.
struct Work {
    prepare: Prepare,
    /// The inputs of the live generation.
    current: Inputs,
    /// The inputs of earlier ones, the latest last.
    history: VecDeque<Inputs>,
    /// The last configuration that was read, good or bad.
    seen: Digest,
}

/// The report on the gateway, as of the last change. Locked for moments, and never while anything is read or built.
#[derive(Clone)]
struct Published {
    live: Arc<Generation>,
    /// See [`Control::files`].
    files: Arc<Looks>,
    /// The number of configurations to which rollbacks could return, one after the other.
    history: usize,
    /// The configurations of the last generations, by their numbers.
    sources: VecDeque<(u64, Arc<SourceFile>)>,
    retired: Vec<Retired>,
    records: VecDeque<Arc<Outcome>>,
    /// The origin and the beginning of the current change.
    under_way: Option<(&'static str, Instant)>,
}

/// Changes the live generation.
pub struct Control {
    file: PathBuf,
    live: Arc<Live>,
    workshop: Arc<Workshop>,
    gather: Gather,
    work: Mutex<Work>,
    published: Mutex<Published>,
}

impl Control {
    /// Control over `live`, which was built from `current`.
    pub fn new(
        live: Arc<Live>,
        workshop: Arc<Workshop>,
        current: Inputs,
        gather: Gather,
        prepare: Prepare,
    ) -> Self {
        let seen = current.identity();
        let file = current.plan.file.clone();
        let first = live.load();
        let published = Published {
            sources: VecDeque::from([(first.number, Arc::clone(&first.plan.source))]),
            live: first,
            files: Arc::clone(&current.looks),
            history: 0,
            retired: Vec::new(),
            records: VecDeque::new(),
            under_way: None,
        };
        let work = Work { prepare, current, history: VecDeque::new(), seen };
        Self { file, live, workshop, gather, work: Mutex::new(work), published: Mutex::new(published) }
    }

    /// The generation that serves now.
    pub fn live(&self) -> Arc<Generation> {
        self.live.load()
    }

    /// The files of the live configuration, and of the last one that was read if that was refused, as they were just before
    /// they were last read: whose change is to be loaded.
    pub fn files(&self) -> Arc<Looks> {
        Arc::clone(&self.published().files)
    }

    /// Reads the configuration again and lets it serve, if it is valid and new.
    pub fn reload(&self, trigger: &'static str) -> Outcome {
        let mut turn = self.begin(trigger);
        let work = &mut *turn.work;
        let start = Instant::now();
        let mut files = look_again(&work.current.looks);
        let result = self.attempt(work, |work| self.read_and_swap(work, trigger, &mut files));
        if !matches!(result, Change::Swapped { .. }) {
            self.published().files = Arc::new(files);
        }
        self.record(trigger, start, result)
    }

    /// Adds the files that are read to `files`.
    fn read_and_swap(&self, work: &mut Work, trigger: &'static str, files: &mut Looks) -> Change {
        let gathered = (self.gather)(&self.file, &self.workshop);
        let read = match &gathered {
            Ok((inputs, _)) => &*inputs.looks,
            Err(refused) => &refused.looks,
        };
        for (file, look) in read {
            if !files.iter().any(|(known, _)| known == file) {
                files.push((file.clone(), *look));
            }
        }
        let (inputs, warnings) = match gathered {
            Ok(gathered) => gathered,
            Err(refused) => return Change::Refused(refused.findings),
        };
        let identity = inputs.identity();
        let known = identity == work.current.identity()
            // After a rollback, the files still have the configuration that was rolled back.
            || (trigger == "file" && identity == work.seen);
        work.seen = identity;
        if known {
            return Change::Unchanged;
        }
        if !warnings.is_empty() {
            tracing::warn!(findings = %warnings, "the configuration has warnings");
        }
        self.swap(work, inputs, true)
    }

    /// Lets the configuration before the live one serve again.
    pub fn rollback(&self) -> Outcome {
        const TRIGGER: &str = "rollback";
        let mut turn = self.begin(TRIGGER);
        let work = &mut *turn.work;
        let start = Instant::now();
        let result = match work.history.pop_back() {
            None => Change::NoHistory,
            Some(inputs) => {
                let again = inputs.clone();
                let change = self.attempt(work, |work| self.swap(work, again, false));
                if matches!(change, Change::Refused(_)) {
                    work.history.push_back(inputs);
                }
                change
            }
        };
        self.record(TRIGGER, start, result)
    }

    /// Makes a change that may panic while it builds: then it is refused.
    fn attempt(&self, work: &mut Work, change: impl FnOnce(&mut Work) -> Change) -> Change {
        let change = caught(|| change(work)).unwrap_or_else(|panicked| {
            let mut diagnostics = work.current.plan.diagnostics();
            panicked.tell(None, "the configuration can't be applied", &mut diagnostics);
            Change::Refused(diagnostics)
        });
        if matches!(change, Change::Refused(_)) {
            // An engine in which something panicked may be stuck.
            self.workshop.runtimes.tidy(Duration::ZERO);
        }
        change
    }

    /// Builds `inputs` and lets them serve. The replaced ones are remembered if `remember` is set.
    fn swap(&self, work: &mut Work, inputs: Inputs, remember: bool) -> Change {
        let generation = match build(&inputs, &self.workshop) {
            Ok(generation) => Arc::new(generation),
            Err(diagnostics) => return Change::Refused(diagnostics),
        };
        let mut diagnostics = inputs.plan.diagnostics();
        let Some(commit) = (work.prepare)(&inputs.plan, &mut diagnostics) else {
            return Change::Refused(diagnostics);
        };
        self.warm_up(&generation);
        let (compiled, reused) = (generation.compiled, generation.reused);
        let replaced = std::mem::replace(&mut work.current, inputs);
        let gateway = &work.current.plan.gateway;
        if remember {
            work.history.push_back(replaced);
        }
        while work.history.len() > gateway.history {
            work.history.pop_front();
        }
        let mut published = self.published();
        published.live = Arc::clone(&generation);
        let old = self.live.swap(generation);
        published.files = match remember {
            true => Arc::clone(&work.current.looks),
            // The files are as before the rollback, and are not to be loaded for that.
            false => Arc::new(look_again(&work.current.looks)),
        };
        published.history = work.history.len();
        let source = (published.live.number, Arc::clone(&published.live.plan.source));
        published.sources.push_back(source);
        while published.sources.len() > gateway.history + 1 {
            published.sources.pop_front();
        }
        published.retired.push(Retired {
            number: old.number,
            since: Instant::now(),
            patience: gateway.retire_timeout,
            generation: Arc::downgrade(&old),
            cut: false,
        });
        drop(published);
        commit();
        Change::Swapped { compiled, reused }
    }

    /// Has the workers make the first instances of what is new in `generation`, so that its first requests need not wait.
    fn warm_up(&self, generation: &Generation) {
        let plan = &generation.plan;
        // The live generation keeps the most of the slots, which may be the same.
        let most = (plan.limits.instances / plan.workers.get() / 4).max(1);
        let successors = generation.successors(&self.live.load());
        self.live.workers.make(successors, most, plan.gateway.warm_up);
    }

    /// Waits for the end of the current change, and begins another.
    fn begin(&self, trigger: &'static str) -> Turn<'_> {
        // A panic in a build leaves the state as it was before the swap.
        let work = self.work.lock().unwrap_or_else(PoisonError::into_inner);
        self.published().under_way = Some((trigger, Instant::now()));
        Turn { control: self, work }
    }

    /// Reports a change, before the next one begins.
    fn record(&self, trigger: &'static str, start: Instant, result: Change) -> Outcome {
        let generation = self.live.load().number;
        let duration = start.elapsed();
        match &result {
            Change::Swapped { compiled, reused } => tracing::info!(
                trigger,
                generation,
                compiled,
                reused,
                milliseconds = duration.as_millis(),
                "a new generation is live",
            ),
            Change::Unchanged => tracing::debug!(trigger, generation, "nothing changed"),
            Change::NoHistory => tracing::warn!(trigger, generation, "nothing to go back to"),
            Change::Refused(diagnostics) => tracing::error!(
                trigger,
                generation,
                errors = diagnostics.errors(),
                findings = %diagnostics,
                "the configuration was refused; the live one stays",
            ),
        }
        let outcome = Outcome { trigger, at: SystemTime::now(), duration, generation, result };
        let mut published = self.published();
        published.under_way = None;
        if !matches!(outcome.result, Change::Unchanged) {
            published.records.push_back(Arc::new(outcome.clone()));
            while published.records.len() > RECORDS {
                published.records.pop_front();
            }
        }
        outcome
    }

    /// Forgets replaced generations whose last request ended, and cuts the requests of those that had enough time.
    /// Returns how many generations are left. Called several times a second.
    pub fn look_after_retired(&self) -> usize {
        self.workshop.runtimes.tidy(PATIENCE);
        // The last owner of a generation drops it: after the lock is released.
        let mut held = Vec::new();
        let mut published = self.published();
        published.retired.retain_mut(|retired| {
            let Some(generation) = retired.generation.upgrade() else {
                tracing::debug!(generation = retired.number, "retired");
                return false;
            };

            if !retired.cut && retired.since.elapsed() >= retired.patience {
                retired.cut = true;
                generation.cut_off.cut();
                tracing::warn!(
                    generation = retired.number,
                    "cut the remaining requests of a replaced generation (`gateway.retire-timeout`)",
                );
            }
            held.push(generation);
            true
        });
        published.retired.len()
    }

    /// The configuration of the generation with this number, if it is live or one of the `gateway.history` before.
    pub fn config_of(&self, generation: u64) -> Option<Arc<SourceFile>> {
        let published = self.published();
        let known = published.sources.iter().find(|(number, _)| *number == generation);
        known.map(|(_, source)| Arc::clone(source))
    }

    /// Whether a way of observed requests is wanted.
    pub fn wants_observed(&self) -> bool {
        self.workshop.any_wanted.load(Ordering::Relaxed)
    }

    /// Makes the ways of observed requests that are wanted. `false` if the configuration is being changed now.
    pub fn make_observed(&self) -> bool {
        let work = match self.work.try_lock() {
            Ok(work) => work,
            Err(TryLockError::Poisoned(work)) => work.into_inner(),
            Err(TryLockError::WouldBlock) => return false,
        };
        // What serves was made of these, since nothing is being changed.
        let made = caught(|| observed::make(&work.current, &self.live.load(), &self.workshop));
        match made {
            Ok(0) => {}
            Ok(segments) => tracing::debug!(segments, "stages can be observed one by one"),
            Err(panicked) => tracing::error!(%panicked, "stages can't be observed"),
        }
        true
    }

    /// Makes those of all pipelines, if stages are observed: where nobody comes back for those that are wanted.
    pub fn make_all_observed(&self) {
        let live = self.live.load();
        if live.plan.telemetry.stages {
            observed::want(&live, (0..live.plan.pipelines.len()).map(PipelineIndex));
            self.make_observed();
        }
    }

    /// Drops what is kept only for the next reload.
    pub fn drop_unused(&self) {
        self.workshop.runtimes.tidy(Duration::ZERO);
    }

    /// Requests that were cut because their generation had to end, since the last call.
    pub fn take_cuts(&self) -> u64 {
        self.workshop.cuts.swap(0, Ordering::Relaxed)
    }

    /// The live generation, the retiring ones, and the last reloads, for the admin listener: all as of one moment, and
    /// without waiting for the current change.
    pub fn generations(&self) -> serde_json::Value {
        let Published { live, history, retired, records, under_way, .. } = self.published().clone();
        let pipelines: Vec<_> = live
            .plan
            .pipelines
            .iter()
            .zip(live.beginnings())
            .map(|(pipeline, first)| {
                let segments: Vec<_> = first
                    .hops()
                    .map(|hop| {
                        let stages: Vec<_> =
                            hop.segment.scopes.iter().map(|scope| scope.id.to_string()).collect();
                        serde_json::json!({ "stages": stages, "identity": hop.identity.to_string() })
                    })
                    .collect();
                let upstream = first.upstream().map(|upstream| upstream.name().to_owned());
                let name = pipeline.name.to_string();
                serde_json::json!({ "name": name, "segments": segments, "upstream": upstream })
            })
            .collect();
        let retiring: Vec<_> = retired
            .iter()
            .filter(|retired| retired.generation.strong_count() > 0)
            .map(|retired| {
                serde_json::json!({
                    "generation": retired.number,
                    "seconds": retired.since.elapsed().as_secs(),
                    "cut": retired.cut,
                })
            })
            .collect();
        serde_json::json!({
            "live": {
                "generation": live.number,
                "identity": live.identity.to_string(),
                "built": unix_seconds(live.built),
                "compiled": live.compiled,
                "reused": live.reused,
                "pipelines": pipelines,
                "upstreams": upstreams(&live),
            },
            "retiring": retiring,
            "history": history,
            "under-way": under_way.map(|(trigger, since)| {
                serde_json::json!({ "trigger": trigger, "seconds": since.elapsed().as_secs() })
            }),
            "reloads": records.iter().map(|record| record.to_json()).collect::<Vec<_>>(),
        })
    }

    fn published(&self) -> MutexGuard<'_, Published> {
        self.published.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The current change.
struct Turn<'a> {
    control: &'a Control,
    work: MutexGuard<'a, Work>,
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        // However the change ended.
        self.control.published().under_way = None;
    }
}

/// The upstreams of a generation, and the state of their servers.
fn upstreams(generation: &Generation) -> Vec<serde_json::Value> {
    let server = |it: ServerReport| {
        serde_json::json!({
            "server": &*it.server,
            "up": it.up,
            "failing": it.failing,
            "ejected": it.ejected,
        })
    };
    let upstream = |upstream: &Arc<Upstream>| {
        serde_json::json!({
            "name": upstream.name(),
            "identity": upstream.identity,
            "servers": upstream.report().map(server).collect::<Vec<_>>(),
        })
    };
    generation.upstreams().into_iter().map(upstream).collect()
}

fn unix_seconds(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

impl Outcome {
    /// In the words of the admin listener.
    pub fn to_json(&self) -> serde_json::Value {
        let (result, details) = match &self.result {
            Change::Swapped { compiled, reused } => {
                ("swapped", serde_json::json!({ "compiled": compiled, "reused": reused }))
            }
            Change::Unchanged => ("unchanged", serde_json::Value::Null),
            Change::NoHistory => ("no-history", serde_json::Value::Null),
            Change::Refused(diagnostics) => ("refused", diagnostics.to_json()),
        };
        serde_json::json!({
            "trigger": self.trigger,
            "at": unix_seconds(self.at),
            "milliseconds": u64::try_from(self.duration.as_millis()).unwrap_or(u64::MAX),
            "generation": self.generation,
            "result": result,
            "details": details,
        })
    }
}
