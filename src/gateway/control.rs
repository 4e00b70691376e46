//! The one way in which the live generation changes.
//!
//! Whatever asks for it (a changed file, SIGHUP, the admin listener), a reload reads
//! everything, builds a new generation beside the live one, prepares its listeners,
//! and only then swaps. Whatever is wrong leaves the live one as it is, and says so
//! in the log and in the record. A build that panics is one that is wrong. Reloads
//! come one after the other; one that would change nothing does nothing.
//!
//! Bounds: `gateway.history` replaced configurations are kept for a rollback, with
//! the bytes of their components; a replaced generation is kept by its requests, at
//! most for `gateway.retire-timeout`, after which they are cut. [`RECORDS`] reloads
//! are remembered.

use super::build::{Workshop, build};
use super::generation::Generation;
use super::inputs::Inputs;
use super::live::Live;
use crate::chain::caught;
use crate::chain::runtimes::PATIENCE;
use crate::component::Digest;
use crate::config::Diagnostics;
use crate::plan::Plan;
use crate::upstream::{ServerReport, Upstream};
use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Reloads that are remembered for `/generations`.
const RECORDS: usize = 50;

/// What became of a reload or rollback.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// Why it was tried: `file`, `signal`, `admin`, `rollback`.
    pub trigger: &'static str,
    /// When it was over.
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
    /// There is nothing to go back to.
    NoHistory,
    /// The configuration is wrong, and the live one goes on.
    Refused(Diagnostics),
}

/// Reads a configuration and all that it names, with warnings.
pub type Gather = Box<dyn Fn(&Path, &Workshop) -> Result<(Inputs, Diagnostics), Diagnostics> + Send + Sync>;

/// Makes the front end ready for a plan's listeners, and returns what puts them in
/// its place; what can't be had is added to the diagnostics.
pub type Prepare = Box<dyn FnMut(&Plan, &mut Diagnostics) -> Option<Box<dyn FnOnce() + Send>> + Send>;

/// A generation that was replaced and may still have requests.
struct Retired {
    number: u64,
    since: Instant,
    patience: Duration,
    generation: Weak<Generation>,
    cut: bool,
}

struct State {
    prepare: Prepare,
    /// What the live generation was built from.
    current: Inputs,
    /// What earlier ones were built from, the latest last.
    history: VecDeque<Inputs>,
    retired: Vec<Retired>,
    records: VecDeque<Outcome>,
    /// The last configuration that was looked at, good or bad.
    seen: Digest,
}

/// Changes the live generation.
pub struct Control {
    file: PathBuf,
    live: Arc<Live>,
    workshop: Arc<Workshop>,
    gather: Gather,
    state: Mutex<State>,
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
        let state = State {
            prepare,
            current,
            history: VecDeque::new(),
            retired: Vec::new(),
            records: VecDeque::new(),
            seen,
        };
        Self { file, live, workshop, gather, state: Mutex::new(state) }
    }

    /// The generation that serves now.
    pub fn live(&self) -> Arc<Generation> {
        self.live.load()
    }

    /// The files whose change can change the live configuration.
    pub fn files(&self) -> Vec<PathBuf> {
        let state = self.lock();
        state.current.files().into_iter().map(Path::to_owned).collect()
    }

    /// Reads the configuration again and lets it serve, if it is good and new.
    pub fn reload(&self, trigger: &'static str) -> Outcome {
        let start = Instant::now();
        let mut state = self.lock();
        let result = self.attempt(&mut state, |state| self.read_and_swap(state, trigger));
        self.record(&mut state, trigger, start, result)
    }

    fn read_and_swap(&self, state: &mut State, trigger: &'static str) -> Change {
        let (inputs, warnings) = match (self.gather)(&self.file, &self.workshop) {
            Ok(gathered) => gathered,
            Err(diagnostics) => return Change::Refused(diagnostics),
        };
        let identity = inputs.identity();
        let known = identity == state.current.identity()
            // After a rollback, the files still say what was rolled back.
            || (trigger == "file" && identity == state.seen);
        state.seen = identity;
        if known {
            return Change::Unchanged;
        }
        if !warnings.is_empty() {
            tracing::warn!("{warnings}");
        }
        self.swap(state, inputs, true)
    }

    /// Lets the configuration before the live one serve again.
    pub fn rollback(&self) -> Outcome {
        let start = Instant::now();
        let mut state = self.lock();
        let result = match state.history.pop_back() {
            None => Change::NoHistory,
            Some(inputs) => {
                let again = inputs.clone();
                let change = self.attempt(&mut state, |state| self.swap(state, again, false));
                if matches!(change, Change::Refused(_)) {
                    state.history.push_back(inputs);
                }
                change
            }
        };
        self.record(&mut state, "rollback", start, result)
    }

    /// Makes a change that may panic, as long as it builds: then it is refused.
    fn attempt(&self, state: &mut State, change: impl FnOnce(&mut State) -> Change) -> Change {
        let change = caught(|| change(state)).unwrap_or_else(|panicked| {
            let mut diagnostics = state.current.plan.diagnostics();
            panicked.tell(None, "the configuration can't be taken up", &mut diagnostics);
            Change::Refused(diagnostics)
        });
        if matches!(change, Change::Refused(_)) {
            // An engine in which something panicked may be stuck.
            self.workshop.runtimes.tidy(Duration::ZERO);
        }
        change
    }

    /// Builds `inputs` and lets them serve. The replaced ones are remembered if
    /// `remember` says so.
    fn swap(&self, state: &mut State, inputs: Inputs, remember: bool) -> Change {
        let generation = match build(&inputs, &self.workshop) {
            Ok(generation) => Arc::new(generation),
            Err(diagnostics) => return Change::Refused(diagnostics),
        };
        let mut diagnostics = inputs.plan.diagnostics();
        let Some(commit) = (state.prepare)(&inputs.plan, &mut diagnostics) else {
            return Change::Refused(diagnostics);
        };
        let (compiled, reused) = (generation.compiled, generation.reused);
        let old = self.live.swap(generation);
        let replaced = std::mem::replace(&mut state.current, inputs);
        let gateway = &state.current.plan.gateway;
        if remember {
            state.history.push_back(replaced);
        }
        while state.history.len() > gateway.history {
            state.history.pop_front();
        }
        state.retired.push(Retired {
            number: old.number,
            since: Instant::now(),
            patience: gateway.retire_timeout,
            generation: Arc::downgrade(&old),
            cut: false,
        });
        commit();
        Change::Swapped { compiled, reused }
    }

    fn record(&self, state: &mut State, trigger: &'static str, start: Instant, result: Change) -> Outcome {
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
                "the configuration was refused; the live one goes on\n{diagnostics}",
            ),
        }
        let outcome = Outcome { trigger, at: SystemTime::now(), duration, generation, result };
        if !matches!(outcome.result, Change::Unchanged) {
            state.records.push_back(outcome.clone());
            while state.records.len() > RECORDS {
                state.records.pop_front();
            }
        }
        outcome
    }

    /// Forgets replaced generations whose last request ended, and cuts what is left
    /// of those that were given enough time. Returns how many there still are. Called
    /// several times a second.
    pub fn look_after_retired(&self) -> usize {
        self.workshop.runtimes.tidy(PATIENCE);
        let mut state = self.lock();
        state.retired.retain_mut(|retired| {
            let Some(generation) = retired.generation.upgrade() else {
                tracing::debug!(generation = retired.number, "retired");
                return false;
            };
            if !retired.cut && retired.since.elapsed() >= retired.patience {
                retired.cut = true;
                generation.cut_off.cut();
                tracing::warn!(
                    generation = retired.number,
                    "cut what was left of a replaced generation (`gateway.retire-timeout`)",
                );
            }
            true
        });
        state.retired.len()
    }

    /// Drops what is only kept for the next reload.
    pub fn drop_unused(&self) {
        self.workshop.runtimes.tidy(Duration::ZERO);
    }

    /// Requests that were cut because their generation had to end, since the last call.
    pub fn take_cuts(&self) -> u64 {
        self.workshop.cuts.swap(0, Ordering::Relaxed)
    }

    /// What is live, what still retires, and what was tried, for the admin listener.
    pub fn generations(&self) -> serde_json::Value {
        let state = self.lock();
        let live = self.live.load();
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
                let upstream = first.upstream().map(|end| end.upstream.name().to_owned());
                let name = pipeline.name.to_string();
                serde_json::json!({ "name": name, "segments": segments, "upstream": upstream })
            })
            .collect();
        let retiring: Vec<_> = state
            .retired
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
            "history": state.history.len(),
            "reloads": state.records.iter().map(Outcome::to_json).collect::<Vec<_>>(),
        })
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        // A panic in a build leaves the state as it was before the swap.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The upstreams of a generation, and how their servers are.
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
    /// For the admin listener.
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
