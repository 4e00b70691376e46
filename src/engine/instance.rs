//! One instance of a segment: a task that owns a store and runs its event loop.
//!
//! The task takes requests from its queue, calls the chain, hands responses over
//! and keeps the store running while bodies stream. It ends when it is killed (by
//! the pool, for a deadline or for idleness), when its guests trap, or when it has
//! served what it may. Whatever the end, it is marked dead first, every request in
//! it gets its answer, and the store is dropped last: so a body that sees its
//! stream end knows whether that was the guest's doing.

pub(super) mod calls;

use super::clock::ticks;
use super::exchange::{Exchange, Owner, PAUSED, Phase};
use super::outcome::{Failure, reason};
use super::pool::Pool;
use super::request::ChainRequest;
use crate::chain::{Guests, Segment};
use crate::component::Lift;
use crate::host::state::CpuBudgetExceeded;
use crate::host::{CallContext, InstanceState, Pulse};
use crate::telemetry::TrapKind;
use futures::StreamExt as _;
use futures::stream::FuturesUnordered;
use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::pin::{Pin, pin};
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use wasmtime::component::Accessor;
use wasmtime::{PoolConcurrencyLimitError, Store};

/// A request on its way into an instance.
pub struct Job {
    /// Boxed, since it is handed on a few times before it is worked on.
    pub request: Box<ChainRequest>,
    pub exchange: Rc<Exchange>,
    /// The tick until which it may wait for an instance.
    pub patience: u64,
    /// Whether there were others in its instance that had not begun, or not returned.
    pub in_row: bool,
    /// For the calls that come out of this one.
    pub context: Option<Arc<CallContext>>,
}

/// The bound `limits.total` was reached.
const TOO_LONG: &str = "its body was not at its end within `limits.total`";

/// Whether an instance takes requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Life {
    /// It does.
    Open,
    /// It finishes what it has, and then ends.
    Retiring,
    /// Its guests will never run again.
    Dead,
}

/// The handle of an instance, shared by its task, its pool and the bodies of its
/// responses.
pub struct Instance {
    segment: Arc<Segment>,
    pool: Weak<Pool>,
    life: Cell<Life>,
    /// Why the task must end at once.
    killed: Cell<Option<&'static str>>,
    /// Requests that it has and did not begin with.
    jobs: RefCell<VecDeque<Job>>,
    exchanges: RefCell<Vec<Rc<Exchange>>>,
    /// Calls that have not returned: what a sync-lifted instance can have one of.
    calls: Cell<usize>,
    /// Calls that were begun.
    served: Cell<u64>,
    /// The tick since which it has no exchange.
    idle_since: Cell<u64>,
    /// Whether guests still work although there is no exchange; unknown until
    /// the task has looked.
    leftovers: Cell<Option<bool>>,
    /// Whether the pool has it in its list of instances with room.
    pub(super) listed: Cell<bool>,
    task: RefCell<Option<Waker>>,
    /// What the task works on.
    work: RefCell<Work>,
    /// Whether the guests are there, so that requests can be worked on outside of the task, too.
    made: Cell<bool>,
    pulse: Arc<Pulse>,
}

impl Owner for Instance {
    fn on_end(self: Rc<Self>, exchange: &Rc<Exchange>) {
        let mut exchanges = self.exchanges.borrow_mut();
        let Some(at) = exchanges.iter().position(|known| Rc::ptr_eq(known, exchange)) else {
            return;
        };
        exchanges.swap_remove(at);
        if exchanges.is_empty() {
            self.idle_since.set(self.tick());
            self.leftovers.set(None);
        }
        drop(exchanges);
        self.on_room();
    }
}

/// What an instance's task works on.
enum Work {
    /// Nobody polls it now.
    Rests(Pin<Box<dyn Future<Output = ()>>>),
    /// Somebody does, further down the stack.
    Polled,
    /// It came to its end.
    Over,
}

/// The task of an instance.
struct Task(Rc<Instance>);

impl Future for Task {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        self.0.poll_work(cx)
    }
}

impl Drop for Task {
    fn drop(&mut self) {
        // The work holds on to its instance.
        self.0.work.replace(Work::Over);
    }
}

/// How a task ended.
enum End {
    /// Nothing left to do.
    Done,
    Killed(&'static str),
    Trapped(wasmtime::Error),
    NotMade(wasmtime::Error),
}

impl Instance {
    /// Starts the task of a new instance on this thread's `LocalSet`.
    pub fn spawn(segment: &Arc<Segment>, pool: &Rc<Pool>) -> Rc<Self> {
        let instance = Rc::new(Self {
            segment: Arc::clone(segment),
            pool: Rc::downgrade(pool),
            life: Cell::new(Life::Open),
            killed: Cell::new(None),
            jobs: RefCell::default(),
            exchanges: RefCell::default(),
            calls: Cell::new(0),
            served: Cell::new(0),
            idle_since: Cell::new(pool.tick()),
            leftovers: Cell::new(Some(false)),
            listed: Cell::new(false),
            task: RefCell::new(None),
            work: RefCell::new(Work::Over),
            made: Cell::new(false),
            pulse: Arc::default(),
        });
        instance.work.replace(Work::Rests(Box::pin(Rc::clone(&instance).run())));
        tokio::task::spawn_local(Task(Rc::clone(&instance)));
        instance
    }

    /// Whether it can take one more request now.
    pub fn has_room(&self) -> bool {
        let limits = &self.segment.limits;
        let concurrent = self.exchanges.borrow().len() < limits.concurrency;
        let queued = self.jobs.borrow().len();
        let lasts = self.served.get() + (queued as u64) < limits.reuse as u64;
        // A request in it would wait, and might die with what computes.
        let busy =
            self.pulse.is_held() || self.takes_turns() && (self.calls.get() > 0 || queued >= self.row());
        self.life.get() == Life::Open && concurrent && lasts && !busy
    }

    /// Whether a request in it would meet nobody whose answer is still sent, or is made to.
    pub fn is_free(&self) -> bool {
        !self.takes_turns() || self.begun() == 0
    }

    /// Whether it can have one call at a time.
    fn takes_turns(&self) -> bool {
        self.segment.lift != Lift::Async
    }

    /// Requests in it that were begun and are not over.
    fn begun(&self) -> usize {
        self.exchanges.borrow().len().saturating_sub(self.jobs.borrow().len())
    }

    /// Requests that it takes in a row, one after the other, where it takes turns.
    fn row(&self) -> usize {
        self.pool.upgrade().map_or(1, |pool| pool.row())
    }

    /// Whether it has no exchange.
    pub fn is_empty(&self) -> bool {
        self.exchanges.borrow().is_empty()
    }

    /// Whether it takes no requests and only guests' leftovers keep it.
    pub fn only_lingers(&self) -> bool {
        self.life.get() == Life::Retiring && self.is_empty()
    }

    /// The worker's clock.
    pub fn tick(&self) -> u64 {
        self.pool.upgrade().map_or(0, |pool| pool.tick())
    }

    /// Takes a request. The caller has checked that there is room, and sees to it that it is worked on.
    pub fn submit(self: &Rc<Self>, mut job: Job) {
        let owner: Weak<Self> = Rc::downgrade(self);
        job.exchange.enter(owner);
        job.in_row = self.calls.get() > 0 || !self.jobs.borrow().is_empty();
        self.exchanges.borrow_mut().push(Rc::clone(&job.exchange));
        self.jobs.borrow_mut().push_back(job);
    }

    /// Polls what the task works on, with the task's waker.
    fn poll_work(&self, cx: &mut Context<'_>) -> Poll<()> {
        let (work, poll) = match self.work.replace(Work::Polled) {
            Work::Rests(mut work) => match work.as_mut().poll(cx) {
                Poll::Pending => (Work::Rests(work), Poll::Pending),
                Poll::Ready(()) => (Work::Over, Poll::Ready(())),
            },
            Work::Polled => (Work::Polled, Poll::Pending),
            Work::Over => (Work::Over, Poll::Ready(())),
        };
        self.work.replace(work);
        poll
    }

    /// Works on what was submitted here and now, and not when the task's turn comes. For a request that comes out of
    /// another store: if this one does not wait, neither does that one, whose instance has room again at once, and no
    /// task was changed. What is left is the task's, as always.
    ///
    /// An instance that is not made yet, or is at work further down the stack, is left to its task.
    pub fn work_now(&self) {
        let rests = self.made.get() && matches!(*self.work.borrow(), Work::Rests(_));
        let Some(task) = self.task.borrow().clone().filter(|_| rests) else { return self.wake() };
        if self.poll_work(&mut Context::from_waker(&task)).is_ready() {
            task.wake();
        }
    }

    /// The next request to begin with, if it can have one more now.
    fn next_job(&self) -> Option<Job> {
        // An answer that is still sent would be cut if the next one in the row ended the instance.
        let waits = |job: &Job| self.calls.get() > 0 || job.in_row && self.begun() > 0;
        if self.takes_turns() && self.jobs.borrow().front().is_none_or(waits) {
            return None;
        }
        let job = self.jobs.borrow_mut().pop_front()?;
        self.calls.set(self.calls.get() + 1);
        self.served.set(self.served.get() + 1);
        if self.served.get() >= self.segment.limits.reuse as u64 && self.life.get() == Life::Open {
            self.life.set(Life::Retiring);
        }
        Some(job)
    }

    /// Gives requests that it did not begin with back to its pool.
    fn give_back(&self) {
        let jobs = self.jobs.take();
        self.exchanges.borrow_mut().retain(|known| !jobs.iter().any(|job| Rc::ptr_eq(known, &job.exchange)));
        if let (Some(pool), false) = (self.pool.upgrade(), jobs.is_empty()) {
            pool.take_back(jobs);
        }
    }

    /// Takes no more requests, and ends after those that it has.
    pub fn retire(&self) {
        if self.life.get() == Life::Open {
            self.life.set(Life::Retiring);
            self.wake();
        }
    }

    /// Ends at once, whatever runs.
    pub fn kill(&self, why: &'static str) {
        if self.life.get() != Life::Dead && self.killed.get().is_none() {
            self.life.set(Life::Retiring);
            self.killed.set(Some(why));
            self.wake();
        }
    }

    /// Gives its task a turn.
    pub fn wake(&self) {
        if let Some(task) = &*self.task.borrow() {
            task.wake_by_ref();
        }
    }

    /// Tells the pool that there may be room, or the task that all is done.
    fn on_room(self: &Rc<Self>) {
        if self.life.get() == Life::Retiring {
            if self.is_empty() {
                self.wake();
            }
        } else if let Some(pool) = self.pool.upgrade() {
            pool.on_room(self);
        }
    }

    /// Looks after exchanges and leftovers; called by the pool at each tick.
    pub fn on_tick(self: &Rc<Self>, tick: u64) {
        let limits = &self.segment.limits;
        let exchanges: Vec<_> = self.exchanges.borrow().clone();
        let mut expired = 0;
        for exchange in &exchanges {
            match exchange.phase() {
                Phase::Calling => {
                    if exchange.is_abandoned() {
                        exchange.hasten(tick + ticks(limits.linger));
                    }
                    if exchange.is_cut_off() {
                        exchange.hasten(tick);
                    }
                    if tick >= exchange.deadline() {
                        exchange.fail(Failure::Deadline);
                        self.retire();
                    }
                }
                Phase::Streaming => {
                    let patience = ticks(limits.body_idle_timeout);
                    let total = ticks(limits.total);
                    let why = match tick >= exchange.progress(tick) + patience {
                        true => Some(PAUSED),
                        false if tick >= exchange.answered() + total => Some(TOO_LONG),
                        false if exchange.is_cut_off() => Some("its generation was replaced too long ago"),
                        false => None,
                    };
                    if let Some(why) = why {
                        exchange.abort(why);
                        Rc::clone(self).on_end(exchange);
                        self.retire();
                    }
                }
                Phase::Expired => {}
            }
            expired += usize::from(exchange.phase() == Phase::Expired);
        }
        // A task can't be cancelled alone (wasmtime #11833): what is late ends
        // with its instance, as soon as nobody else is in it.
        if expired > 0 && expired == self.exchanges.borrow().len() {
            self.kill("its requests reached their deadline");
        }
        if exchanges.is_empty() {
            self.on_idle_tick(tick);
        }
    }

    fn on_idle_tick(&self, tick: u64) {
        let limits = &self.segment.limits;
        let idle = tick.saturating_sub(self.idle_since.get());
        match self.leftovers.get() {
            // It can't look: a guest holds the store while it waits, as those of 0.2 do.
            None if idle > ticks(limits.linger) => {
                self.kill("it still waited `limits.linger` after its last response");
            }
            None => self.wake(),
            Some(true) if idle >= ticks(limits.linger) => {
                self.kill("it still worked `limits.linger` after its last response");
            }
            Some(false) if idle >= ticks(limits.instance_idle_timeout) => {
                self.give_way("it had no request for `limits.instance-idle-timeout`");
            }
            Some(false) if idle > 0 && self.life.get() == Life::Open && self.segment.shortage.relieve() => {
                self.give_way("it was idle, and its place was needed");
            }
            Some(_) => {}
        }
    }

    /// Ends for want of work.
    fn give_way(&self, why: &'static str) {
        tracing::debug!(pipeline = %self.segment.pipeline, reason = why, "instance ended");
        self.retire();
    }

    async fn run(self: Rc<Self>) {
        let mut store = self.segment.store(Arc::clone(&self.pulse));
        let end = {
            let mut life = pin!(self.live(&mut store));
            std::future::poll_fn(|cx| self.poll_life(life.as_mut(), cx)).await
        };
        // The order matters: see the module's documentation.
        self.life.set(Life::Dead);
        if !matches!(end, End::Done) {
            self.pulse.break_off();
        }
        let trapped = matches!(end, End::Trapped(_));
        self.on_death(end);
        drop(store);
        if let Some(pool) = self.pool.upgrade() {
            pool.on_death(&self, trapped);
        }
    }

    /// Polls the store's event loop from outside, where a kill is always seen.
    fn poll_life(
        self: &Rc<Self>,
        life: Pin<&mut impl Future<Output = End>>,
        cx: &mut Context<'_>,
    ) -> Poll<End> {
        {
            let mut task = self.task.borrow_mut();
            if !task.as_ref().is_some_and(|known| known.will_wake(cx.waker())) {
                *task = Some(cx.waker().clone());
            }
        }
        if let Some(why) = self.killed.get() {
            return Poll::Ready(End::Killed(why));
        }
        let was_held = self.pulse.is_held();
        let poll = life.poll(cx);
        if poll.is_pending() {
            self.pulse.on_pending();
            // One call at a time, and it waits, or its answer is still sent: the others need not wait for it.
            if self.takes_turns() && self.begun() > 0 {
                self.give_back();
            }
            if was_held && !self.pulse.is_held() {
                self.on_room();
            }
        }
        poll
    }

    /// Makes the instance and serves until there is nothing left to do.
    async fn live(self: &Rc<Self>, store: &mut Store<InstanceState>) -> End {
        let guests = match self.segment.instantiate(store).await {
            Ok(guests) => guests,
            Err(error) => return End::NotMade(error),
        };
        match store.run_concurrent(async |store| self.serve(store, &guests).await).await {
            Ok(Ok(())) => End::Done,
            Ok(Err(error)) | Err(error) => End::Trapped(error),
        }
    }

    async fn serve(
        self: &Rc<Self>,
        store: &Accessor<InstanceState>,
        guests: &Guests,
    ) -> wasmtime::Result<()> {
        let mut calls = FuturesUnordered::new();
        self.made.set(true);
        std::future::poll_fn(|cx| {
            loop {
                while let Some(job) = self.next_job() {
                    calls.push(self.call(store, guests, job));
                }
                match calls.poll_next_unpin(cx) {
                    Poll::Ready(Some(Ok(()))) => {}
                    Poll::Ready(Some(Err(trap))) => return Poll::Ready(Err(trap)),
                    Poll::Ready(None) | Poll::Pending => break,
                }
            }
            if !self.is_empty() {
                return Poll::Pending;
            }
            let quiet = calls.is_empty() && store.poll_no_interesting_tasks(cx).is_ready();
            self.leftovers.set(Some(!quiet));
            if quiet && self.life.get() == Life::Retiring { Poll::Ready(Ok(())) } else { Poll::Pending }
        })
        .await
    }

    fn count_trap(&self, kind: TrapKind) {
        if let Some(pool) = self.pool.upgrade() {
            pool.metrics.trap(kind);
        }
    }

    /// Answers all that is still in the instance.
    fn on_death(&self, end: End) {
        let trapped = matches!(end, End::Trapped(_));
        let failure = match end {
            End::Done => return,
            End::Killed(why) => {
                tracing::debug!(pipeline = %self.segment.pipeline, reason = why, "instance ended");
                Failure::Trap { reason: why.to_owned(), stage: None }
            }
            End::Trapped(error) => {
                let cpu = error.downcast_ref::<CpuBudgetExceeded>().is_some();
                let memory = !cpu && self.pulse.was_refused_memory();
                let disproved = self.segment.disprove(&error);
                let mut reason = match &disproved {
                    Some(why) => format!("its lift was rewritten, and {why}"),
                    None => reason(&error),
                };
                if memory {
                    reason += " (after it was refused more memory: the stages' `limits.memory` and `table-elements`)";
                }
                let kind = match (cpu, memory, &disproved) {
                    (_, _, Some(_)) => TrapKind::Lift,
                    (true, ..) => TrapKind::Cpu,
                    (_, true, _) => TrapKind::Memory,
                    _ => TrapKind::Trap,
                };
                self.count_trap(kind);
                let failure = Failure::Trap { reason, stage: self.segment.blame(&error) };
                tracing::warn!(
                    pipeline = %self.segment.pipeline,
                    stage = match &failure { Failure::Trap { stage, .. } => stage.as_deref(), _ => None },
                    in_flight = self.exchanges.borrow().len(),
                    "{failure}",
                );
                failure
            }
            End::NotMade(error) => {
                // The pool has no free slot now: the requests wait for one.
                if error.downcast_ref::<PoolConcurrencyLimitError>().is_some()
                    && let Some(pool) = self.pool.upgrade()
                {
                    self.exchanges.borrow_mut().clear();
                    pool.on_exhausted(self.jobs.take());
                    return;
                }
                self.count_trap(TrapKind::Other);
                let failure = Failure::Instantiate(reason(&error));
                tracing::error!(pipeline = %self.segment.pipeline, "{failure}");
                failure
            }
        };
        // Those that it did not begin with have lost nothing, unless no instance can be made.
        if !matches!(failure, Failure::Instantiate(_)) {
            self.give_back();
        }
        for exchange in self.exchanges.take() {
            match exchange.phase() {
                Phase::Calling => exchange.fail(failure.clone()),
                Phase::Streaming => {
                    if trapped {
                        exchange.trapped();
                    }
                    exchange.abort("the instance died");
                }
                Phase::Expired => {}
            }
        }
    }
}
