//! The part of the engine that belongs to one thread: its pools and its clock.

use super::body::RequestBody;
use super::clock::{Clock, TICK};
use super::pool::InstancePool;
use crate::chain::Segment;
use crate::chain::compile::SegmentId;
use crate::telemetry::{CallMetrics, Metrics, StageMetrics};
use crate::upstream::{self, Upstream, UpstreamId};
use std::cell::RefCell;
use std::collections::HashMap;
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
        tokio::task::spawn_local(async move {
            let start = Instant::now();
            let mut interval = tokio::time::interval(TICK);
            interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
            loop {
                let now = interval.tick().await;
                let Some(worker) = weak.upgrade() else { return };
                let elapsed = now.duration_since(start).as_nanos() / TICK.as_nanos();
                worker.clock.set(u64::try_from(elapsed).unwrap_or(u64::MAX));
                let pools: Vec<_> = worker.pools.borrow().values().cloned().collect();
                for pool in pools {
                    pool.on_tick();
                }
                // A pool of a segment that no generation has, and no instance is in.
                worker.pools.borrow_mut().retain(|_, pool| !pool.is_over());
                let upstreams: Vec<_> = worker.upstreams.borrow().values().cloned().collect();
                for pool in upstreams {
                    pool.on_tick(now);
                }
                worker.upstreams.borrow_mut().retain(|_, pool| !pool.is_over());
            }
        });
        worker
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
