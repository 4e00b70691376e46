//! The part of the engine that belongs to one thread: its pools and its clock.

use super::body::RequestBody;
use super::clock::{Clock, TICK};
use super::pool::InstancePool;
use crate::chain::Segment;
use crate::chain::compile::{SegmentId, Shortage};
use crate::telemetry::{CallMetrics, Metrics, StageMetrics};
use crate::upstream::{self, Upstream, UpstreamId};
use std::cell::RefCell;
use std::collections::HashMap;
use std::pin::pin;
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, MissedTickBehavior};

thread_local! {
    /// For host functions, which know their store only.
    static CURRENT: RefCell<Weak<Worker>> = const { RefCell::new(Weak::new()) };
}

/// This worker's counters by two names, as far as they were met: no lock, and no allocation, once they were.
struct Counters<T>(RefCell<ByName<ByName<Arc<T>>>>);

type ByName<T> = HashMap<Arc<str>, T>;

impl<T> Default for Counters<T> {
    fn default() -> Self {
        Self(RefCell::default())
    }
}

impl<T> Counters<T> {
    fn of(&self, first: &Arc<str>, second: &Arc<str>, make: impl FnOnce() -> Arc<T>) -> Arc<T> {
        let mut all = self.0.borrow_mut();
        if let Some(known) = all.get(first).and_then(|those| those.get(second)) {
            return Arc::clone(known);
        }
        let those = all.entry(Arc::clone(first)).or_default();
        Arc::clone(those.entry(Arc::clone(second)).or_insert_with(make))
    }
}

/// Ticks with nothing to look after until the clock rests: with a request a second, it never does.
const PATIENCE: u32 = 50;

/// The time between ticks of a clock that rests: for idle instances and connections that are too old, and for what ends with
/// its generation.
const REST: Duration = Duration::from_millis(500);

/// Advances the clock of a worker until that is gone. Fifty ticks a second are a tenth of a percent of a core: while there is
/// no request, there are two, but whoever asks for the time, or for a place that idle instances have, ends that.
async fn run_clock(worker: Weak<Worker>) {
    let mut interval = tokio::time::interval(TICK);
    interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut quiet = 0;
    loop {
        let now = interval.tick().await;
        let Some(worker) = worker.upgrade() else { return };
        let clock = worker.clock.clone();
        // From here on, nobody's wish is missed.
        let mut wanted = pin!(Shortage::wanted());
        quiet = if worker.on_tick(now) { quiet + 1 } else { 0 };
        drop(worker);
        if quiet < PATIENCE {
            continue;
        }
        tokio::select! {
            () = clock.rest() => {
                quiet = 0;
                interval.reset();
            }
            () = wanted.as_mut() => {
                quiet = 0;
                interval.reset_immediately();
            }
            () = tokio::time::sleep(REST) => {
                quiet = PATIENCE;
                interval.reset_immediately();
            }
        }
    }
}

/// The pools of one worker thread. Not `Send`: a request never leaves its thread.
pub struct Worker {
    clock: Clock,
    number: usize,
    metrics: Arc<Metrics>,
    pools: RefCell<HashMap<SegmentId, Rc<InstancePool>>>,
    upstreams: RefCell<HashMap<UpstreamId, Rc<upstream::ConnectionPool<RequestBody>>>>,
    /// By caller and callee.
    calls: Counters<CallMetrics>,
    /// By pipeline and stage.
    stages: Counters<StageMetrics>,
}

impl Worker {
    /// Makes the worker of this thread, the `number`th, and starts its clock.
    ///
    /// # Panics
    /// Outside of a tokio `LocalSet`, which the pools need.
    pub fn start(number: usize, metrics: Arc<Metrics>) -> Rc<Self> {
        let worker = Rc::new(Self {
            clock: Clock::default(),
            number,
            metrics,
            pools: RefCell::default(),
            upstreams: RefCell::default(),
            calls: Counters::default(),
            stages: Counters::default(),
        });
        let weak = Rc::downgrade(&worker);
        CURRENT.set(Weak::clone(&weak));
        tokio::task::spawn_local(run_clock(weak));
        worker
    }

    /// Has all pools look after time, and says whether they need no exact one until a request comes.
    fn on_tick(&self, now: Instant) -> bool {
        self.clock.set(now);
        let pools: Vec<_> = self.pools.borrow().values().cloned().collect();
        for pool in &pools {
            pool.on_tick();
        }
        // A pool of a segment that no generation has, and no instance is in.
        self.pools.borrow_mut().retain(|_, pool| !pool.is_over());
        let upstreams: Vec<_> = self.upstreams.borrow().values().cloned().collect();
        for pool in &upstreams {
            pool.on_tick(now);
        }
        self.upstreams.borrow_mut().retain(|_, pool| !pool.is_over());
        pools.iter().all(|pool| pool.is_at_rest()) && upstreams.iter().all(|pool| pool.is_at_rest())
    }

    /// The time until a tick of this worker.
    pub(super) fn until(&self, tick: u64) -> Duration {
        self.clock.until(tick)
    }

    /// Now, in ticks.
    pub(super) fn tick(&self) -> u64 {
        self.clock.tick()
    }

    /// The worker of this thread.
    pub(super) fn current() -> Option<Rc<Self>> {
        CURRENT.with_borrow(Weak::upgrade)
    }

    /// The connections of this worker to the servers of `upstream`.
    pub(super) fn upstream(&self, upstream: &Arc<Upstream>) -> Rc<upstream::ConnectionPool<RequestBody>> {
        let mut upstreams = self.upstreams.borrow_mut();
        let pool = upstreams
            .entry(upstream.id)
            .or_insert_with(|| upstream::ConnectionPool::new(upstream, &self.metrics, self.number));
        // It may have rested, and with it what the pool knows of the time.
        pool.set_now(self.clock.now());
        Rc::clone(pool)
    }

    /// Where calls of the pipeline `callee` by `caller` are counted.
    pub(super) fn calls(&self, caller: &Arc<str>, callee: &Arc<str>) -> Arc<CallMetrics> {
        self.calls.of(caller, callee, || self.metrics.call(caller, callee, self.number))
    }

    /// Where is counted what becomes of requests at `stage` of `pipeline`.
    pub(super) fn stage(&self, pipeline: &Arc<str>, stage: &Arc<str>) -> Arc<StageMetrics> {
        self.stages.of(pipeline, stage, || self.metrics.stage(pipeline, stage, self.number))
    }

    /// Whether this worker has an instance of `segment`.
    pub(super) fn has_instance(&self, segment: &Segment) -> bool {
        self.pools.borrow().get(&segment.id).is_some_and(|pool| pool.counts().live > 0)
    }

    /// The pool of `segment` on this worker.
    pub(super) fn pool(&self, segment: &Arc<Segment>, in_use: &Arc<()>) -> Rc<InstancePool> {
        let mut pools = self.pools.borrow_mut();
        let pool = pools.entry(segment.id).or_insert_with(|| {
            let metrics = self.metrics.pipeline(&segment.pipeline, self.number);
            InstancePool::new(Arc::clone(segment), Arc::downgrade(in_use), self.clock.clone(), metrics)
        });
        Rc::clone(pool)
    }
}
