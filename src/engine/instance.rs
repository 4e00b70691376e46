//! One instance of a segment: a task that owns a store and runs its event loop.
//!
//! The task takes requests from its queue, calls the chain, hands responses over
//! and keeps the store running while bodies stream. It ends when it is killed (by
//! the pool, for a deadline or for idleness), when its guests trap, or when it has
//! served what it may. Whatever the end, it is marked dead first, every request in
//! it gets its answer, and the store is dropped last: so a body that sees its
//! stream end knows whether that was the guest's doing.

use super::body::{RequestBody, ResponseBody};
use super::exchange::{Exchange, Phase};
use super::incoming;
use super::outcome::{Failure, reason};
use super::pool::Pool;
use crate::chain::{Guests, Segment};
use crate::component::Lift;
use crate::host::state::CpuBudgetExceeded;
use crate::host::wasi2::codes::of_0_3;
use crate::host::{CallContext, InstanceState, Pulse, RequestHead};
use crate::telemetry::TrapKind;
use futures::StreamExt as _;
use futures::stream::FuturesUnordered;
use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::pin::pin;
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use tokio::sync::oneshot;
use wasmtime::component::Accessor;
use wasmtime::{PoolConcurrencyLimitError, Store};
use wasmtime_wasi_http::p2::bindings::Proxy;
use wasmtime_wasi_http::p3::bindings::Service;
use wasmtime_wasi_http::p3::{Request, Response};
use wasmtime_wasi_http::{Error, FieldMap};

/// A request on its way into an instance.
pub struct Job {
    pub head: RequestHead,
    pub body: RequestBody,
    pub exchange: Rc<Exchange>,
    /// The tick until which it may wait for an instance.
    pub patience: u64,
    /// For the calls that come out of this one.
    pub context: Option<Arc<CallContext>>,
}

/// The bound `limits.total` was reached.
const TOO_LONG: &str = "its body was not at its end within `limits.total`";

/// Why a body is cut that rests for too long.
pub(super) const PAUSED: &str = "no byte moved within `limits.body-idle-timeout`";

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
    jobs: RefCell<VecDeque<Job>>,
    exchanges: RefCell<Vec<Rc<Exchange>>>,
    /// Exchanges whose call has not returned: what a sync-lifted instance can
    /// have one of.
    calls: Cell<usize>,
    served: Cell<u64>,
    /// The tick since which it has no exchange.
    idle_since: Cell<u64>,
    /// Whether guests still work although there is no exchange; unknown until
    /// the task has looked.
    leftovers: Cell<Option<bool>>,
    /// Whether the pool has it in its list of instances with room.
    pub(super) listed: Cell<bool>,
    task: RefCell<Option<Waker>>,
    pulse: Arc<Pulse>,
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
            pulse: Arc::default(),
        });
        tokio::task::spawn_local(Rc::clone(&instance).run());
        instance
    }

    /// Whether it can take one more request now.
    pub fn has_room(&self) -> bool {
        let concurrent = self.exchanges.borrow().len() < self.segment.limits.concurrency;
        // A request in it would wait, and might die with what computes.
        let busy = self.pulse.is_held() || self.segment.lift != Lift::Async && self.calls.get() > 0;
        self.life.get() == Life::Open && concurrent && !busy
    }

    /// Whether its guests are gone.
    pub fn is_dead(&self) -> bool {
        self.life.get() == Life::Dead
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

    /// Takes a request. The caller has checked that there is room.
    pub fn submit(&self, job: Job) {
        self.exchanges.borrow_mut().push(Rc::clone(&job.exchange));
        self.calls.set(self.calls.get() + 1);
        self.served.set(self.served.get() + 1);
        if self.served.get() >= self.segment.limits.reuse as u64 {
            self.life.set(Life::Retiring);
        }
        self.jobs.borrow_mut().push_back(job);
        self.wake();
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

    fn wake(&self) {
        if let Some(task) = &*self.task.borrow() {
            task.wake_by_ref();
        }
    }

    /// An exchange is over; called once or more for each.
    pub fn on_end(self: &Rc<Self>, exchange: &Rc<Exchange>) {
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
                        exchange.hasten(tick + super::worker::ticks(limits.linger));
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
                    let patience = super::worker::ticks(limits.body_idle_timeout);
                    let total = super::worker::ticks(limits.total);
                    let why = match tick >= exchange.progress(tick) + patience {
                        true => Some(PAUSED),
                        false if tick >= exchange.answered() + total => Some(TOO_LONG),
                        false if exchange.is_cut_off() => Some("its generation was replaced too long ago"),
                        false => None,
                    };
                    if let Some(why) = why {
                        exchange.abort(why);
                        self.on_end(exchange);
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
            None if idle > super::worker::ticks(limits.linger) => {
                self.kill("it still waited `limits.linger` after its last response");
            }
            None => self.wake(),
            Some(true) if idle >= super::worker::ticks(limits.linger) => {
                self.kill("it still worked `limits.linger` after its last response");
            }
            Some(false) if idle >= super::worker::ticks(limits.instance_idle_timeout) => {
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
        life: std::pin::Pin<&mut impl Future<Output = End>>,
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
        std::future::poll_fn(|cx| {
            loop {
                while let Some(job) = self.jobs.borrow_mut().pop_front() {
                    calls.push(self.call(store, guests, job));
                }
                match calls.poll_next_unpin(cx) {
                    Poll::Ready(Some(Ok(()))) => {}
                    Poll::Ready(Some(Err(trap))) => return Poll::Ready(Err(trap)),
                    // A request may have come in while the calls were polled.
                    Poll::Ready(None) | Poll::Pending if !self.jobs.borrow().is_empty() => {}
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

    /// One call of the chain. An error is a trap, which is the end of the instance.
    async fn call(
        self: &Rc<Self>,
        store: &Accessor<InstanceState>,
        guests: &Guests,
        job: Job,
    ) -> wasmtime::Result<()> {
        match guests {
            Guests::Handler(service) => self.call_handler(store, service, job).await,
            Guests::Incoming(service) => self.call_incoming(store, service, job).await,
        }
    }

    /// A call of a service of WASI 0.2, which may go on after its response.
    async fn call_incoming(
        self: &Rc<Self>,
        store: &Accessor<InstanceState>,
        service: &Proxy,
        job: Job,
    ) -> wasmtime::Result<()> {
        let Job { head, body, exchange, context, .. } = job;
        let (instance, asked) = (Rc::clone(self), Rc::clone(&exchange));
        let answer = move |said: incoming::Answer| match said {
            _ if asked.phase() == Phase::Expired => instance.on_end(&asked),
            Ok(response) => {
                let trailers = response.headers().contains_key(http::header::TRAILER);
                let (sent, _) = oneshot::channel();
                let body =
                    |body| ResponseBody::new(body, trailers, Rc::clone(&instance), Rc::clone(&asked), sent);
                asked.answer(response.map(body), instance.tick());
            }
            Err(code) => {
                asked.fail(Failure::Guest(of_0_3(code)));
                instance.on_end(&asked);
            }
        };
        incoming::call(store, service, head, body, context, answer).await?;
        self.calls.set(self.calls.get() - 1);
        if exchange.phase() == Phase::Calling {
            let reason = "the service returned without setting its `response-outparam`";
            exchange.fail(Failure::InvalidResponse(reason.to_owned()));
        }
        match exchange.phase() {
            Phase::Streaming => self.on_room(),
            _ => self.on_end(&exchange),
        }
        Ok(())
    }

    /// A call of a handler, to its response's head.
    async fn call_handler(
        self: &Rc<Self>,
        store: &Accessor<InstanceState>,
        service: &Service,
        job: Job,
    ) -> wasmtime::Result<()> {
        let Job { head, body, exchange, context, .. } = job;
        let handle = service.wasi_http_handler().func_handle();
        let (call, task) = store.with(|mut store| {
            let http = store.get().http();
            let fields = FieldMap::new_immutable(http.hooks, head.headers);
            let RequestHead { method, scheme, authority, path_with_query, options, .. } = head;
            let (request, _) =
                Request::new(method, scheme, authority, path_with_query, fields, options, body);
            let request = http.table.push(request)?;
            let call = handle.start_call_concurrent(&mut store, (request,))?;
            let task = context.map(|context| {
                let task = call.task();
                store.get().begin_call(task, context);
                task
            });
            wasmtime::error::Ok((call, task))
        })?;
        let (result,) = handle.finish_call_concurrent(store, call).await?;
        if let Some(task) = task {
            store.with(|mut store| store.get().end_call(task));
        }
        let reply = match result {
            Ok(response) => store.with(|mut store| {
                let response: Response = store.get().table.delete(response)?;
                wasmtime::error::Ok(self.reply(response, &mut store, &exchange))
            })?,
            Err(code) => Err(Failure::Guest(code)),
        };
        self.calls.set(self.calls.get() - 1);
        match reply {
            Ok(_) if exchange.phase() == Phase::Expired => self.on_end(&exchange),
            Ok(response) => {
                self.on_room();
                exchange.answer(response, self.tick());
            }
            Err(failure) => {
                exchange.fail(failure);
                self.on_end(&exchange);
            }
        }
        Ok(())
    }

    fn reply(
        self: &Rc<Self>,
        response: Response,
        store: impl wasmtime::AsContextMut<Data = InstanceState>,
        exchange: &Rc<Exchange>,
    ) -> super::exchange::Reply {
        let (sent, was_sent) = oneshot::channel();
        let result = async { was_sent.await.unwrap_or(Err(Error::ConnectionTerminated)) };
        let response =
            response.into_http(store, result).map_err(|error| Failure::InvalidResponse(reason(&error)))?;
        let trailers = response.headers().contains_key(http::header::TRAILER);
        Ok(response.map(|body| ResponseBody::new(body, trailers, Rc::clone(self), Rc::clone(exchange), sent)))
    }

    fn count_trap(&self, kind: TrapKind) {
        if let Some(pool) = self.pool.upgrade() {
            pool.metrics.trap(kind);
        }
    }

    /// Answers all that is still in the instance.
    fn on_death(&self, end: End) {
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
        self.jobs.take();
        for exchange in self.exchanges.take() {
            match exchange.phase() {
                Phase::Calling => exchange.fail(failure.clone()),
                Phase::Streaming => exchange.abort("the instance died"),
                Phase::Expired => {}
            }
        }
    }
}
