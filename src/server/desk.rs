//! Where all requests for a change come together, and all questions of the admin listener.
//!
//! The desk's thread carries changes out, looks after replaced generations, and makes what observed requests need. Questions are
//! answered on the listener's thread, from what was published.

use super::overview;
use crate::admin::{self, ReloadOutcome, WatchReport};
use crate::gateway::control::{Change, Outcome};
use crate::gateway::watch::Watch;
use crate::gateway::{Control, observed};
use crate::net::Shutdown;
use crate::telemetry::trace::{Show, Tracer, Wanted, WatchState};
use crate::telemetry::{AccessLog, Metrics, ReloadResult, log};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::Thread;
use std::time::{Duration, Instant};

/// The time between two looks at replaced generations.
pub(super) const ROUND: Duration = Duration::from_millis(100);

/// The longest rest of the thread that looks after replaced generations, where there are none.
const REST: Duration = Duration::from_secs(1);

/// The most traces of a list.
const MOST_TRACES: usize = 200;

/// Set when another process has taken over and serves.
#[derive(Clone, Default)]
pub(super) struct TakenOver(Arc<AtomicBool>);

impl TakenOver {
    pub(super) fn set(&self) {
        self.0.store(true, Ordering::Release);
    }

    pub(super) fn is_set(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}

/// Requests of signals; several before the work is done count once.
#[derive(Clone, Default)]
pub(super) struct Commands(pub(super) Arc<Asked>);

#[derive(Default)]
pub(super) struct Asked {
    pub(super) reload: AtomicBool,
    pub(super) reopen: AtomicBool,
}

/// The receiver of all requests for a change.
pub(super) struct Desk {
    pub(super) control: Arc<Control>,
    pub(super) metrics: Arc<Metrics>,
    pub(super) tracer: Arc<Tracer>,
    pub(super) stop: Shutdown,
    pub(super) taken_over: TakenOver,
    /// Looks after replaced generations.
    pub(super) thread: Thread,
}

impl Desk {
    /// Does what is requested, until the stop begins.
    pub(super) fn run(&self, commands: &Commands, access: Option<&AccessLog>) {
        let mut watch = Watch::default();
        let mut looked = Instant::now();
        let mut rest = ROUND;
        while !self.stop.is_draining() {
            std::thread::park_timeout(rest);
            if commands.0.reopen.swap(false, Ordering::Relaxed)
                && let Some(access) = access
            {
                access.reopen();
            }
            let interval = self.control.live().plan.gateway.watch;
            if commands.0.reload.swap(false, Ordering::Relaxed) {
                self.change(|control| control.reload("signal"));
            } else if !interval.is_zero() && looked.elapsed() >= interval {
                looked = Instant::now();
                if watch.has_settled_change(&self.control.files()) {
                    self.change(|control| control.reload("file"));
                }
            }
            self.look_after_watches();
            let retiring = self.control.look_after_retired();
            self.metrics.set_retiring(retiring);
            self.metrics.streams_cut(self.control.take_cuts());
            rest = match (retiring, self.control.live().plan.gateway.watch) {
                (1.., _) => ROUND,
                (0, Duration::ZERO) => REST,
                (0, interval) => interval.clamp(ROUND, REST),
            };
        }
    }

    /// Makes what is wanted for a look at stages, and then has the watches that waited for it take requests.
    fn look_after_watches(&self) {
        let watches = self.tracer.watches().preparing();
        for (_, wanted) in &watches {
            let live = self.control.live();
            observed::want(&live, overview::reached(&live, wanted));
        }
        if self.control.wants_observed() {
            step_back();
        } else if watches.is_empty() {
            return;
        }
        if self.control.make_observed() {
            watches.iter().for_each(|(id, _)| self.tracer.watches().arm(*id));
        }
    }

    fn change(&self, change: impl FnOnce(&Control) -> Outcome) -> Outcome {
        step_back();
        let outcome = change(&self.control);
        self.metrics.set_generation(outcome.generation);
        self.tracer.recent().shorten(self.control.live().plan.telemetry.recent);
        let result = match &outcome.result {
            Change::Swapped { .. } => ReloadResult::Applied,
            Change::Unchanged => ReloadResult::Unchanged,
            Change::NoHistory | Change::Refused(_) => ReloadResult::Rejected,
        };
        self.metrics.reload(result, outcome.duration);
        log::configure(&self.control.live().plan.log);
        // There may be a generation to look after now.
        self.thread.unpark();
        outcome
    }
}

impl admin::Control for Desk {
    fn ready(&self) -> bool {
        // A request at this address is for the gateway, and the other process serves.
        self.stop.is_ready() || self.taken_over.is_set()
    }

    fn reload(&self) -> ReloadOutcome {
        report(&self.change(|control| control.reload("admin")))
    }

    fn rollback(&self) -> ReloadOutcome {
        report(&self.change(Control::rollback))
    }

    fn generations(&self) -> serde_json::Value {
        self.control.generations()
    }

    fn config(&self) -> serde_json::Value {
        admin::redacted(self.control.live().plan.source.text())
    }

    fn version(&self) -> serde_json::Value {
        serde_json::json!({ "name": "linkspan", "version": env!("CARGO_PKG_VERSION") })
    }

    fn config_of(&self, generation: u64) -> Option<serde_json::Value> {
        self.control.config_of(generation).map(|source| admin::redacted(source.text()))
    }

    fn overview(&self, from: usize, count: usize) -> serde_json::Value {
        let mut overview = overview::of(&self.control.live(), &self.metrics, from, count);
        overview["ready"] = admin::Control::ready(self).into();
        overview
    }

    fn traces(&self) -> serde_json::Value {
        let traces = self.tracer.recent().all();
        let summaries = traces.iter().take(MOST_TRACES).map(|(kept, trace)| trace.summary(Some(*kept)));
        serde_json::json!({ "kept": traces.len(), "traces": summaries.collect::<Vec<_>>() })
    }

    fn trace(&self, id: &str) -> Option<serde_json::Value> {
        let (kept, trace) = self.tracer.recent().find(id)?;
        Some(trace.whole(Some(kept)))
    }

    fn watch(&self, wanted: Wanted, show: Show, time: Duration) -> Option<String> {
        let id = self.tracer.watches().add(wanted, show, time)?;
        self.thread.unpark();
        Some(id.to_string())
    }

    fn watched(&self, id: &str) -> Option<WatchReport> {
        Some(match self.tracer.watches().look(id)? {
            WatchState::Preparing => WatchReport::Waits("preparing"),
            WatchState::Armed => WatchReport::Waits("armed"),
            WatchState::Taken => WatchReport::Waits("taken"),
            WatchState::Done(trace) => WatchReport::Trace(trace.whole(None)),
        })
    }
}

fn report(outcome: &Outcome) -> ReloadOutcome {
    let text = match &outcome.result {
        Change::Swapped { compiled, reused } => {
            let segments = if *compiled == 1 { "segment" } else { "segments" };
            format!("generation {}: {compiled} {segments} made, {reused} taken over", outcome.generation)
        }
        Change::Unchanged => "nothing changed".to_owned(),
        Change::NoHistory => "there is nothing to go back to".to_owned(),
        Change::Refused(diagnostics) => diagnostics.to_string(),
    };
    ReloadOutcome {
        ok: matches!(outcome.result, Change::Swapped { .. } | Change::Unchanged),
        unchanged: matches!(outcome.result, Change::Unchanged),
        generation: outcome.generation,
        report: outcome.to_json(),
        text,
    }
}

/// The niceness of a thread that builds, compared with a worker (see nice(7)).
const NICENESS: i32 = 10;

/// Gives the workers priority from here on: this thread builds.
fn step_back() {
    thread_local!(static STEPPED_BACK: () = {
        // Without the right to do so, the thread has the same priority as others.
        let _ = rustix::process::setpriority_process(None, NICENESS);
    });
    STEPPED_BACK.with(|()| ());
}

/// The same for the threads that compile, which start with the first compilation.
pub(super) fn compile_in_background() {
    // The pool exists only if this is called a second time.
    let _ = rayon_core::ThreadPoolBuilder::new()
        .thread_name(|number| format!("linkspan-compile-{number}"))
        .start_handler(|_| step_back())
        .build_global();
}
