//! The instances of one segment on one worker.
//!
//! A request goes to the most recently used instance with room, whose memory is warm; else to a new instance; else, if
//! the number of instances is reached, into a queue of bounded length and time. Instances that only linger make room
//! first.

use super::breaker::Attempt;
use super::clock::{Clock, ticks};
use super::exchange::{Exchange, Reply};
use super::instance::{Home, Instance, Job};
use super::outcome::Failure;
use super::request::ChainRequest;
use crate::chain::Segment;
use crate::host::CallContext;
use crate::telemetry::{PipelineMetrics, TrapKind};
use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::{Rc, Weak};
use std::sync::{Arc, Weak as ArcWeak};
use tokio::sync::oneshot;

/// What a pool holds and did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PoolCounts {
    /// Instances that live, busy or not.
    pub live: usize,
    /// Requests that wait for one.
    pub waiting: usize,
    /// Instances made so far.
    pub made: u64,
}

/// The warm instances of a segment, on one worker.
pub struct InstancePool {
    segment: Arc<Segment>,
    /// Gone when no generation has the segment any more.
    in_use: ArcWeak<()>,
    metrics: Arc<PipelineMetrics>,
    clock: Clock,
    live: RefCell<Vec<Rc<Instance>>>,
    /// Instances that may have room, the most recently used last.
    ready: RefCell<Vec<Rc<Instance>>>,
    /// Those who have waited longest first.
    waiting: RefCell<VecDeque<Job>>,
    /// The tick at which those who gave up were last looked for.
    swept: Cell<u64>,
    made: Cell<u64>,
    /// The instances at the last tick.
    warm: Cell<usize>,
    /// No instance is made before this tick, since the process's slots are used up.
    exhausted_until: Cell<u64>,
    /// No trapped instance is replaced ahead of need before this tick.
    replace_after: Cell<u64>,
    /// Calls of instances that have one at a time don't wait, as far as is known; what was seen otherwise holds until
    /// this tick.
    waits_until: Cell<u64>,
}

/// Requests that an instance which has one call at a time takes in a row, where calls don't wait for anything: those
/// that come in at once are served by one instance, whose memory is warm, instead of one each. 32 connections and 8
/// stages: 23 µs of CPU a request instead of 36.
const ROW: usize = 32;

/// Ticks until it is tried again whether calls wait: a second.
const WAITS_FOR: u64 = 50;

/// Ticks between replacements of trapped instances: 10 a second on each worker.
const REPLACE_EVERY: u64 = 5;

impl InstancePool {
    pub(super) fn new(
        segment: Arc<Segment>,
        in_use: ArcWeak<()>,
        clock: Clock,
        metrics: Arc<PipelineMetrics>,
    ) -> Rc<Self> {
        Rc::new(Self {
            segment,
            in_use,
            metrics,
            clock,
            live: RefCell::default(),
            ready: RefCell::default(),
            waiting: RefCell::default(),
            swept: Cell::new(0),
            made: Cell::new(0),
            warm: Cell::new(0),
            exhausted_until: Cell::new(0),
            replace_after: Cell::new(0),
            waits_until: Cell::new(0),
        })
    }

    /// What the pool holds.
    pub fn counts(&self) -> PoolCounts {
        PoolCounts {
            live: self.live.borrow().len(),
            waiting: self.waiting.borrow().len(),
            made: self.made.get(),
        }
    }

    /// The worker's clock.
    pub(super) fn tick(&self) -> u64 {
        self.clock.tick()
    }

    /// Sends a request through the segment, for an answer by the tick `deadline`.
    /// `context` is for the calls that come out of it; what becomes of it is told to `attempt`.
    ///
    /// # Errors
    /// See [`Failure`]: there is always an answer, at the latest a tick after the
    /// deadline.
    pub async fn handle(
        self: &Rc<Self>,
        request: Box<ChainRequest>,
        deadline: u64,
        context: Option<Arc<CallContext>>,
        attempt: Option<Attempt>,
    ) -> Reply {
        let (reply, answer) = oneshot::channel();
        let (limit, cut_off, nested) = (request.body.limit(), request.cut_off.clone(), request.nested);
        let clock = self.clock.clone();
        let exchange =
            Rc::new(Exchange::new(clock, reply, deadline, limit, cut_off, context.clone(), attempt));
        let patience = self.tick() + ticks(self.segment.limits.queue_timeout);
        self.dispatch(Job { request, exchange, patience, context, in_row: false });
        // The sender is always used or its instance died without a word.
        let mut reply = answer.await.unwrap_or_else(|_| Err(Failure::killed("the instance is gone")));
        if let (Ok(response), false) = (&mut reply, nested) {
            response.body_mut().read_ahead();
        }
        reply
    }

    fn dispatch(self: &Rc<Self>, job: Job) {
        // Those who wait come first.
        if self.waiting.borrow().is_empty()
            && let Some(instance) = self.checkout()
        {
            let (exchange, nested) = (Rc::clone(&job.exchange), job.request.nested);
            self.enter(&instance, job);
            instance.work_now(&exchange, nested);
            return;
        }
        if self.is_full() && !self.sweep() {
            job.exchange.fail(Failure::Capacity);
            return;
        }
        self.waiting.borrow_mut().push_back(job);
    }

    /// Whether no more may wait than do: those of the queue, and those for whom an instance has room as soon as the guest
    /// that holds it for now lets go of it.
    fn is_full(&self) -> bool {
        self.excess().is_some()
    }

    /// How many wait beyond those who may, if they are as many.
    fn excess(&self) -> Option<usize> {
        let beyond = self.waiting.borrow().len().checked_sub(self.segment.limits.queue)?;
        beyond.checked_sub(self.live.borrow().iter().map(|instance| instance.held_room()).sum())
    }

    /// Takes those who gave up out of the queue, at most once a tick, and says
    /// whether there is room in it.
    fn sweep(&self) -> bool {
        if self.swept.replace(self.tick()) != self.tick() {
            self.waiting.borrow_mut().retain(|job| !job.exchange.is_abandoned());
        }
        !self.is_full()
    }

    /// Puts a request into an instance that has room for it.
    fn enter(self: &Rc<Self>, instance: &Rc<Instance>, job: Job) {
        instance.submit(job);
        self.list(instance);
        if self.segment.fresh {
            // The next request's.
            self.make_spare();
        }
    }

    /// Puts an instance at the end of `ready`, if it has room and is not there.
    fn list(&self, instance: &Rc<Instance>) {
        if instance.has_room() && !instance.listed.replace(true) {
            self.ready.borrow_mut().push(Rc::clone(instance));
        }
    }

    /// An instance with room, taken out of `ready`; rather a new one than one that a request could end while it sends
    /// another's answer.
    fn checkout(self: &Rc<Self>) -> Option<Rc<Instance>> {
        if let Some(instance) = self.pick(Instance::is_free) {
            return Some(instance);
        }
        let room = self.live.borrow().len() < self.segment.limits.instances;
        if room && self.tick() >= self.exhausted_until.get() {
            return Some(self.make());
        }
        if let Some(instance) = self.pick(|_| true) {
            return Some(instance);
        }
        (self.tick() >= self.exhausted_until.get() && self.evict()).then(|| self.make())
    }

    /// The most recently used instance that has room and is as wanted, taken out of `ready`.
    fn pick(&self, wanted: impl Fn(&Instance) -> bool) -> Option<Rc<Instance>> {
        let mut ready = self.ready.borrow_mut();
        let at = ready.iter().rposition(|instance| instance.has_room() && wanted(instance))?;
        let instance = ready.remove(at);
        instance.listed.set(false);
        Some(instance)
    }

    fn make(self: &Rc<Self>) -> Rc<Instance> {
        let home: Weak<Self> = Rc::downgrade(self);
        let instance = Instance::spawn(&self.segment, home, self.clock.clone());
        self.live.borrow_mut().push(Rc::clone(&instance));
        self.made.set(self.made.get() + 1);
        self.metrics.instance_made();
        instance
    }

    /// Makes an instance before a request needs it, where there is room and none is idle.
    pub(super) fn make_spare(self: &Rc<Self>) -> Option<Rc<Instance>> {
        let room = self.live.borrow().len() < self.segment.limits.instances;
        let wanted = room && self.ready.borrow().is_empty() && self.tick() >= self.exhausted_until.get();
        wanted.then(|| {
            let spare = self.make();
            self.list(&spare);
            spare
        })
    }

    /// Ends an instance that only lingers, and says whether there was one.
    fn evict(&self) -> bool {
        let mut live = self.live.borrow_mut();
        let Some(at) = live.iter().position(|instance| instance.only_lingers()) else {
            return false;
        };
        let instance = live.swap_remove(at);
        drop(live);
        instance.kill("its place was needed while it only worked on after its last response");
        true
    }

    /// The first request that still wants an answer.
    fn next_waiting(&self) -> Option<Job> {
        let mut waiting = self.waiting.borrow_mut();
        loop {
            let job = waiting.pop_front()?;
            if !job.exchange.is_abandoned() {
                return Some(job);
            }
        }
    }

    /// Lets requests wait in front of all others.
    fn put_first(&self, jobs: VecDeque<Job>) {
        let mut waiting = self.waiting.borrow_mut();
        for job in jobs.into_iter().rev() {
            waiting.push_front(job);
        }
    }

    fn serve_waiting(self: &Rc<Self>) {
        if self.segment.is_disproved() {
            for job in self.waiting.take() {
                job.exchange.fail(Failure::disproved());
            }
        }
        while !self.waiting.borrow().is_empty() {
            let Some(instance) = self.checkout() else { return };
            match self.next_waiting() {
                Some(job) => {
                    self.enter(&instance, job);
                    instance.wake();
                }
                None => return self.list(&instance),
            }
        }
    }

    /// Looks after time: called by the worker at each tick.
    pub(super) fn on_tick(self: &Rc<Self>) {
        let tick = self.tick();
        if self.in_use.strong_count() == 0 {
            self.retire();
        }
        let live: Vec<_> = self.live.borrow().clone();
        for instance in live {
            instance.on_tick(tick);
            self.metrics.kept(instance.most_kept());
        }
        let late = |job: &Job| tick >= job.patience || tick >= job.exchange.deadline();
        loop {
            let mut waiting = self.waiting.borrow_mut();
            let Some(job) = waiting.pop_front_if(|job| late(job)) else { break };
            drop(waiting);
            job.exchange.fail(Failure::Capacity);
        }
        self.serve_waiting();
        let warm = self.live.borrow().len();
        self.metrics.set_warm(self.warm.replace(warm), warm);
    }

    /// Whether nobody will call any more, and nothing runs.
    pub(super) fn is_over(&self) -> bool {
        let idle = self.live.borrow().is_empty() && self.waiting.borrow().is_empty();
        idle && self.in_use.strong_count() == 0
    }

    /// Whether nobody waits or works in it: it only has instances that grow old.
    pub(super) fn is_at_rest(&self) -> bool {
        self.waiting.borrow().is_empty() && self.live.borrow().iter().all(|instance| instance.is_at_rest())
    }

    /// Ends all instances: those at work after what they have.
    fn retire(&self) {
        let live: Vec<_> = self.live.borrow().clone();
        for instance in live {
            instance.retire();
        }
    }
}

impl Home for InstancePool {
    /// Requests that an instance which has one call at a time takes in a row now.
    fn row(&self) -> usize {
        if self.tick() < self.waits_until.get() { 1 } else { ROW }
    }

    /// An instance may have room: those who wait get it, or the next request.
    fn on_room(&self, instance: &Rc<Instance>) {
        while instance.has_room() {
            let Some(job) = self.next_waiting() else { break };
            instance.submit(job);
            instance.wake();
        }
        self.list(instance);
    }

    /// An instance is gone: its slot is free. If its guests `trapped`, another one
    /// takes its place before a request needs it, at most one a [`REPLACE_EVERY`].
    fn on_death(self: Rc<Self>, instance: &Rc<Instance>, trapped: bool) {
        self.live.borrow_mut().retain(|known| !Rc::ptr_eq(known, instance));
        self.ready.borrow_mut().retain(|known| !Rc::ptr_eq(known, instance));
        self.serve_waiting();
        if trapped && !self.segment.is_disproved() && self.tick() >= self.replace_after.get() {
            self.replace_after.set(self.tick() + REPLACE_EVERY);
            self.make_spare();
        }
    }

    /// The process has no slot for another instance: these requests wait again,
    /// in front of all others.
    fn on_exhausted(&self, jobs: VecDeque<Job>) {
        self.exhausted_until.set(self.tick() + 1);
        self.segment.shortage.want(jobs.len());
        self.put_first(jobs);
    }

    /// An instance has one call at a time, and had one that waits, or its end: these requests, with which it did not
    /// begin, go elsewhere, before all others.
    fn take_back(self: Rc<Self>, jobs: VecDeque<Job>) {
        self.waits_until.set(self.tick() + WAITS_FOR);
        self.put_first(jobs);
        self.serve_waiting();
        // The bound is that of those who wait: an instance is none for them any more.
        for _ in 0..self.excess().unwrap_or(0) {
            let last = self.waiting.borrow_mut().pop_back();
            if let Some(last) = last {
                last.exchange.fail(Failure::Capacity);
            }
        }
    }

    fn on_trap(&self, kind: TrapKind, kept: usize) {
        self.metrics.trap(kind);
        self.metrics.kept(kept);
    }
}
