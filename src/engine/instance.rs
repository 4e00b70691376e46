//! One instance of a segment: a task that owns what is inside and runs its event loop.
//!
//! The task takes requests from its queue, calls the chain, hands responses over and keeps the inside running while
//! bodies stream. It ends when it is killed (by the pool, for a deadline or for idleness), when its guests trap, or
//! when it has served its number of requests. In every case, the instance is marked dead first, every request in it
//! gets its answer, and the inside is dropped last: a body that sees its stream end knows whether the guest ended it.
//!
//! What the inside is made of, only `form` and the forms know.

mod calls;
mod component;
mod direct;
mod form;
mod life;
mod state;
mod turns;
mod work;

use super::clock::{Clock, ticks};
use super::exchange::{Exchange, Owner, Phase, Reply, UPLOAD_BROKE};
use super::outcome::{Failure, reason};
use super::pause::{CUT_OFF, PAUSED};
use crate::chain::{Panicked, Segment, caught};
use crate::direct::{Disagreement, Trap};
use crate::host::pulse::CpuBudgetExceeded;
use crate::host::{Pulse, kept};
use crate::telemetry::TrapKind;
use state::{Left, Rest, State};
use std::cell::Cell;
use std::collections::VecDeque;
use std::pin::Pin;
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::task::{Context, Poll};
pub use turns::Job;
use turns::{Sharing, Turns};
use wasmtime::PoolConcurrencyLimitError;
use work::Work;

/// The bound `limits.total` was reached.
const TOO_LONG: &str = "its body did not end within `limits.total`";

/// Where an instance comes from, and what it can't serve goes back to.
pub trait Home {
    /// Requests that an instance which has one call at a time takes in a row now.
    fn row(&self) -> usize;

    /// It may have room.
    fn on_room(&self, instance: &Rc<Instance>);

    /// It is gone. If its guests `trapped`, another one should take its place.
    fn on_death(self: Rc<Self>, instance: &Rc<Instance>, trapped: bool);

    /// It could not be made, since the process has no slot for it: these requests wait again.
    fn on_exhausted(&self, jobs: VecDeque<Job>);

    /// It has one call at a time, and had one that waits, or its end: these requests, with which it did not begin, go
    /// elsewhere.
    fn take_back(self: Rc<Self>, jobs: VecDeque<Job>);

    /// It died of this, and the host kept up to so many bytes for its guests.
    fn on_trap(&self, kind: TrapKind, kept: usize);
}

/// The handle of an instance, shared by its task and its pool.
pub struct Instance {
    segment: Arc<Segment>,
    home: Weak<dyn Home>,
    clock: Clock,
    state: Cell<State>,
    turns: Turns,
    /// What it is when it has no request.
    rest: Cell<Rest>,
    /// Whether the pool has it in its list of instances with room.
    pub(super) listed: Cell<bool>,
    work: Work,
    pulse: Arc<Pulse>,
}

impl Owner for Instance {
    fn on_end(self: Rc<Self>, exchange: &Rc<Exchange>) {
        if !self.turns.remove(exchange) {
            return;
        }
        if self.turns.is_empty() {
            self.rest.set(Rest::begin(self.clock.tick()));
        }
        self.on_room();
    }
}

/// How a task ended.
enum End {
    /// Nothing left to do.
    Done,
    Killed(&'static str),
    Trapped(Trap),
    Panicked(Panicked),
    NotMade(wasmtime::Error),
}

impl End {
    /// Whether what it was in the middle of failed.
    fn is_fault(&self) -> bool {
        matches!(self, Self::Trapped(_) | Self::Panicked(_))
    }
}

impl Instance {
    /// The most that the host was found to keep for its guests, in bytes.
    pub fn most_kept(&self) -> usize {
        self.pulse.most_kept()
    }

    /// A new instance, without a task yet.
    fn new(segment: &Arc<Segment>, home: Weak<dyn Home>, clock: Clock) -> Rc<Self> {
        Rc::new(Self {
            segment: Arc::clone(segment),
            home,
            state: Cell::new(State::Starting),
            turns: Turns::new(Sharing::of(segment)),
            rest: Cell::new(Rest::new(clock.tick())),
            listed: Cell::new(false),
            work: Work::new(),
            pulse: Arc::default(),
            clock,
        })
    }

    /// Whether it can take one more request now.
    pub fn has_room(&self) -> bool {
        // A request in it would wait, and might die with what computes.
        !self.pulse.is_held() && self.has_room_if_released()
    }

    fn has_room_if_released(&self) -> bool {
        let limits = &self.segment.limits;
        let row = || self.home.upgrade().map_or(1, |home| home.row());
        self.state.get().is_open()
            && self.turns.len() < limits.concurrency
            && self.turns.promised() < limits.reuse as u64
            && self.turns.has_room(row)
    }

    /// Requests that it will take once the guest that holds it now waits or returns.
    pub fn held_room(&self) -> usize {
        if !self.pulse.is_held() || !self.has_room_if_released() {
            return 0;
        }
        self.turns.room(self.segment.limits.concurrency)
    }

    /// Whether a request in it would meet nobody whose answer is still sent, or is made to.
    pub fn is_free(&self) -> bool {
        self.turns.is_free()
    }

    /// Whether it takes no requests and only guests' leftovers keep it.
    pub fn only_lingers(&self) -> bool {
        self.state.get().is_ending() && self.turns.is_empty()
    }

    /// Whether its guests are not there yet, and it is not over.
    pub fn is_starting(&self) -> bool {
        self.state.get() == State::Starting
    }

    /// Whether its guests are there.
    pub fn is_made(&self) -> bool {
        self.state.get().can_work()
    }

    /// Whether it does nothing, and only grows old.
    pub fn is_at_rest(&self) -> bool {
        self.turns.is_empty() && self.state.get() == State::Open && self.rest.get().guests == Left::Nothing
    }

    /// Takes a request. The caller has checked that there is room, and sees to it that it is worked on.
    pub fn submit(self: &Rc<Self>, job: Job) {
        let owner: Weak<Self> = Rc::downgrade(self);
        job.exchange.enter(owner);
        self.turns.add(job);
    }

    /// Works on what was submitted here and now, and not when the task's turn comes: what does not wait is done when this
    /// returns, and the instance has room again. What is left is the task's.
    ///
    /// A request out of another store, which is `nested`, is worked on until there is an answer, and no longer: the stage that
    /// called is to give its own answer before it learns how the body goes on.
    ///
    /// An instance that is not made yet is left to its task.
    pub fn work_now(&self, exchange: &Exchange, nested: bool) {
        let enough = || nested && exchange.phase() != Phase::Calling;
        if !self.state.get().can_work() || self.work.poll(enough).is_ready() {
            self.wake();
        }
    }

    /// The next request to begin with, if it can have one more now.
    fn next_job(&self) -> Option<Job> {
        let job = self.turns.next()?;
        job.exchange.begin(self.pulse.acts());
        if self.turns.served() >= self.segment.limits.reuse as u64 {
            self.state.set(self.state.get().retire());
        }
        Some(job)
    }

    /// Gives requests that it did not begin with back to its pool.
    fn give_back(&self) {
        let jobs = self.turns.take_waiting();
        if let (Some(home), false) = (self.home.upgrade(), jobs.is_empty()) {
            home.take_back(jobs);
        }
    }

    /// The call of `exchange` has returned, with this for whoever waits.
    fn on_reply(self: &Rc<Self>, exchange: &Rc<Exchange>, reply: Reply) {
        self.on_return();
        match reply {
            Ok(_) if exchange.phase() == Phase::Expired => Rc::clone(self).on_end(exchange),
            Ok(mut response) => {
                response.body_mut().settle();
                self.on_room();
                exchange.answer(response);
            }
            Err(failure) => {
                exchange.fail(failure);
                Rc::clone(self).on_end(exchange);
            }
        }
    }

    /// A call has returned.
    fn on_return(&self) {
        self.turns.returned();
        if self.pulse.is_worn() {
            self.retire();
        }
    }

    /// Takes no more requests, and ends after those that it has.
    pub fn retire(&self) {
        self.change(State::retire);
    }

    /// Ends at once, whatever runs.
    pub fn kill(&self, why: &'static str) {
        self.change(|state| state.kill(why));
    }

    /// Goes to another state, of which its task learns.
    fn change(&self, to: impl FnOnce(State) -> State) {
        let before = self.state.get();
        let after = to(before);
        if after != before {
            self.state.set(after);
            self.wake();
        }
    }

    /// Gives its task a turn.
    pub fn wake(&self) {
        self.work.wake();
    }

    /// Tells the pool that there may be room, or the task that all is done.
    fn on_room(self: &Rc<Self>) {
        if self.state.get().is_ending() {
            if self.turns.is_empty() {
                self.wake();
            }
        } else if let Some(home) = self.home.upgrade() {
            home.on_room(self);
        }
    }

    /// Looks after exchanges and leftovers; called by the pool at each tick.
    pub fn on_tick(self: &Rc<Self>, tick: u64) {
        let limits = &self.segment.limits;
        let exchanges = self.turns.all();
        let mut expired = 0;
        for exchange in &exchanges {
            match exchange.phase() {
                Phase::Calling => {
                    if exchange.is_abandoned() || exchange.upload_broke() {
                        exchange.hasten(tick + ticks(limits.linger));
                    }
                    if exchange.is_cut_off() {
                        exchange.hasten(tick);
                    }
                    // The one that a stage waits for is to say so first.
                    let grace = u64::from(exchange.awaits_next() && !exchange.is_cut_off());
                    if tick >= exchange.deadline() + grace {
                        exchange.fail(Failure::Deadline);
                        self.retire();
                    }
                }
                Phase::Streaming => {
                    let (patience, paused) = match exchange.upload_broke() {
                        true => (limits.body_idle_timeout.min(limits.linger), UPLOAD_BROKE),
                        false => (limits.body_idle_timeout, PAUSED),
                    };
                    let patience = ticks(patience);
                    let total = ticks(limits.total);
                    let why = match tick >= exchange.progress(tick) + patience {
                        true => Some(paused),
                        false if tick >= exchange.answered() + total => Some(TOO_LONG),
                        false if exchange.is_cut_off() => Some(CUT_OFF),
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
        if expired > 0 && expired == self.turns.len() {
            self.kill("its requests reached their deadline");
        }
        if exchanges.is_empty() {
            self.on_idle_tick(tick);
        }
    }

    fn on_idle_tick(&self, tick: u64) {
        let limits = &self.segment.limits;
        let rest = self.rest.get();
        let length = rest.length(tick);
        match rest.guests {
            // It can't look: a guest holds the store while it waits, as those of 0.2 do.
            Left::Unknown if length > ticks(limits.linger) => {
                self.kill("it still waited `limits.linger` after its last response");
            }
            Left::Unknown => self.wake(),
            Left::Working if length >= ticks(limits.linger) => {
                self.kill("it still worked `limits.linger` after its last response");
            }
            Left::Nothing if length >= ticks(limits.instance_idle_timeout) => {
                self.give_way("it had no request for `limits.instance-idle-timeout`");
            }
            Left::Nothing if length > 0 && self.state.get().is_open() && self.segment.shortage.relieve() => {
                self.give_way("it was idle, and its place was needed");
            }
            Left::Working | Left::Nothing => {}
        }
    }

    /// Ends for want of work.
    fn give_way(&self, why: &'static str) {
        tracing::debug!(pipeline = %self.segment.pipeline, reason = why, "instance ended");
        self.retire();
    }

    /// Polls the event loop of what is inside from outside, where a kill is always seen.
    fn poll_life(
        self: &Rc<Self>,
        life: Pin<&mut impl Future<Output = End>>,
        cx: &mut Context<'_>,
    ) -> Poll<End> {
        if let Some(why) = self.state.get().killed() {
            return Poll::Ready(End::Killed(why));
        }
        let was_held = self.pulse.is_held();
        // What was inside is dropped then, whatever state it is in.
        let work =
            || caught(|| life.poll(cx)).unwrap_or_else(|panicked| Poll::Ready(End::Panicked(panicked)));
        let poll = self.turns.observe(work);
        if poll.is_pending() {
            self.pulse.on_pending();
            let held = self.pulse.is_held();
            // A call that waits, or whose answer is still sent: those that it keeps from their turn need not wait for it.
            if self.turns.must_go_elsewhere(held) {
                self.give_back();
            }
            if !held && self.turns.settle() {
                self.wake();
            }
            if was_held && !held {
                self.on_room();
            }
        }
        poll
    }

    fn count_trap(&self, kind: TrapKind) {
        if let Some(home) = self.home.upgrade() {
            home.on_trap(kind, self.most_kept());
        }
    }

    /// Counts and tells why its guests trapped.
    fn on_trap(&self, Trap { stage, error }: &Trap) -> Failure {
        let cpu = error.downcast_ref::<CpuBudgetExceeded>().is_some();
        let kept = kept::exceeded(error);
        let memory = !cpu && !kept && self.pulse.was_refused_memory();
        let disproved = self.segment.disprove(error);
        let disagreed = error.downcast_ref::<Disagreement>().is_some();
        let mut reason = match &disproved {
            Some(why) => format!("its lift was rewritten, and {why}"),
            None => reason(error),
        };
        if memory {
            reason += " (after it was refused more memory: the stages' `limits.memory` and `table-elements`)";
        }
        if kept && !reason.contains("`limits.host-memory`") {
            reason += " (beyond the stages' `limits.host-memory`)";
        }
        self.count_trap(match disproved {
            Some(_) => TrapKind::Lift,
            None if disagreed => TrapKind::Form,
            None if cpu => TrapKind::Cpu,
            None if kept => TrapKind::HostMemory,
            None if memory => TrapKind::Memory,
            None => TrapKind::Trap,
        });
        let again = disproved.is_some() && self.segment.is_disproved();
        let stage = match stage.and_then(|place| self.segment.scopes.get(place)) {
            Some(scope) => Some(scope.id.to_string()),
            None => self.segment.blame(error),
        };
        let failure = Failure::Trap { reason, stage, again };
        tracing::warn!(
            pipeline = %self.segment.pipeline,
            stage = match &failure { Failure::Trap { stage, .. } => stage.as_deref(), _ => None },
            in_flight = self.turns.len(),
            "{failure}",
        );
        if disagreed && self.segment.form.disagree() {
            tracing::warn!(pipeline = %self.segment.pipeline, "the component form takes over from the direct form");
        }
        failure
    }

    /// Answers all that is still in the instance.
    fn on_death(&self, end: End) {
        let trapped = end.is_fault();
        let failure = match end {
            End::Done => return,
            End::Killed(why) => {
                tracing::debug!(pipeline = %self.segment.pipeline, reason = why, "instance ended");
                Failure::killed(why)
            }
            End::Trapped(trap) => self.on_trap(&trap),
            End::Panicked(panicked) => {
                self.count_trap(TrapKind::Other);
                let reason = panicked.to_string();
                tracing::error!(pipeline = %self.segment.pipeline, in_flight = self.turns.len(), "{reason}");
                Failure::killed(&reason)
            }
            End::NotMade(error) => {
                // The pool has no free slot now: the requests wait for one.
                if error.downcast_ref::<PoolConcurrencyLimitError>().is_some()
                    && let Some(home) = self.home.upgrade()
                {
                    home.on_exhausted(self.turns.take_waiting());
                    return;
                }
                self.count_trap(TrapKind::Other);
                let failure = Failure::Instantiate(reason(&error));
                tracing::error!(pipeline = %self.segment.pipeline, "{failure}");
                failure
            }
        };
        // Those that it did not begin with have lost nothing, unless no instance can be made.
        if !matches!(failure, Failure::Instantiate(_)) && !failure.is_for_another_form() {
            self.give_back();
        }
        let (acts, unseen) = (self.pulse.acts(), self.segment.acts_unseen());
        for exchange in self.turns.take() {
            match exchange.phase() {
                Phase::Calling => {
                    let done = exchange.may_have_acted(acts, unseen);
                    exchange.fail(if done { failure.clone().for_good() } else { failure.clone() });
                }
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
