//! The direct form: a segment's core modules, in a store of their own.
//!
//! One call at a time has the store. The host's bodies are none of its business: they go on without it. What a stage has
//! written of a body is read when its call is over.
//!
//! Where there are stages that are lifted asynchronously, calls leave tasks behind, which have their turns when no call has the
//! store. If the first stage is one, it may answer in such a turn, too; where all are, an instance has several calls at once,
//! as in the component form.

use super::calls::Calls;
use super::{End, Instance, Job};
use crate::chain::{Segment, guests_run};
use crate::direct::{Chain, Disagreement, Entered, Guests, Reply as Answer, State, Trap};
use crate::engine::exchange::{Exchange, Reply, ResponseBody};
use crate::engine::guests::FIRST_TURN;
use crate::engine::outcome::{Failure, reason};
use crate::engine::request::ChainRequest;
use crate::host::Pulse;
use crate::host::next::next_poll;
use std::cell::{Cell, RefCell};
use std::future::{pending, poll_fn};
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use tokio::task::unconstrained;
use wasmtime::Store;

/// A store, and in it, while it lives, guests.
pub(super) struct Direct(Store<State>);

impl Direct {
    /// An empty store for `segment`, whose chain is `chain`.
    pub fn new(segment: &Segment, chain: &Chain, pulse: Arc<Pulse>) -> Self {
        Self(segment.direct_store(chain, pulse))
    }

    /// Makes the guests, and calls them while `instance` serves.
    pub async fn live(&mut self, instance: &Rc<Instance>) -> End {
        // The segment may have gone over to the component form since.
        let Some(chain) = instance.segment.form.chain() else { return End::Done };
        let guests = match chain.instantiate(&mut self.0).await {
            Ok(guests) => guests,
            Err(error) => return End::NotMade(error),
        };
        let running = Running {
            guests: &guests,
            store: Cell::new(Some(&mut self.0)),
            waiting: RefCell::default(),
            moved: Cell::new(false),
        };
        let mut served = pin!(instance.serve(&running));
        if !guests.have_tasks() {
            return End::of(served.await);
        }
        let mut tasks = pin!(running.run_tasks());
        poll_fn(|cx| {
            loop {
                if let Poll::Ready(end) = served.as_mut().poll(cx) {
                    return Poll::Ready(End::of(end));
                }
                if let Poll::Ready(trap) = tasks.as_mut().poll(cx) {
                    // Whoever has an answer already hands it over.
                    let _ = served.as_mut().poll(cx);
                    return Poll::Ready(End::Trapped(trap));
                }
                // An answer may have come, or the last task may be over.
                if !running.moved.take() {
                    return Poll::Pending;
                }
            }
        })
        .await
    }
}

impl End {
    fn of(served: Result<(), Trap>) -> Self {
        served.map_or_else(Self::Trapped, |()| Self::Done)
    }
}

/// Guests, and the store unless somebody has it.
struct Running<'a> {
    guests: &'a Guests,
    store: Cell<Option<&'a mut Store<State>>>,
    /// Calls that wait for the store.
    waiting: RefCell<Vec<Waker>>,
    /// Whether tasks had turns.
    moved: Cell<bool>,
}

impl<'a> Running<'a> {
    /// Takes the store for a call.
    async fn take(&self) -> Result<&'a mut Store<State>, Trap> {
        poll_fn(|cx| match self.store.take() {
            Some(store) => Poll::Ready(Ok(store)),
            // Only where there are tasks, calls come while another one is under way.
            None if !self.guests.have_tasks() => Poll::Ready(Err(Disagreement::two_calls().into())),
            None => {
                self.waiting.borrow_mut().push(cx.waker().clone());
                Poll::Pending
            }
        })
        .await
    }

    fn give_back(&self, store: &'a mut Store<State>) {
        self.store.set(Some(store));
        for call in self.waiting.borrow_mut().drain(..) {
            call.wake();
        }
    }

    /// Gives tasks their turns, until one traps.
    async fn run_tasks(&self) -> Trap {
        let mut yielding = false;
        loop {
            let store = if yielding {
                next_poll(true).await;
                self.take().await
            } else {
                Ok(poll_fn(|cx| self.poll_tasks(cx)).await)
            };
            let store = match store {
                Ok(store) => store,
                Err(trap) => return trap,
            };
            store.set_epoch_deadline(FIRST_TURN);
            guests_run();
            match self.guests.turn(store, yielding).await {
                Ok(more) => yielding = more,
                Err(trap) => return trap,
            }
            self.give_back(store);
            self.moved.set(true);
            // Whoever has an answer now hands it over before the next turns, which may trap.
            next_poll(false).await;
        }
    }

    /// The store, if tasks may have something to do. A call that has the store sees to them itself, and is woken.
    fn poll_tasks(&self, cx: &mut Context<'_>) -> Poll<&'a mut Store<State>> {
        let Some(store) = self.store.take() else { return Poll::Pending };
        if self.guests.poll_tasks(cx).is_ready() {
            return Poll::Ready(store);
        }
        self.store.set(Some(store));
        Poll::Pending
    }
}

impl Calls for Running<'_> {
    async fn call(&self, instance: &Rc<Instance>, job: Job) -> Result<(), Trap> {
        let Job { request, exchange, context, .. } = job;
        let behalf = request.behalf_in(context.as_ref());
        let ChainRequest { head, body, .. } = *request;
        let store = self.take().await?;
        store.set_epoch_deadline(FIRST_TURN);
        guests_run();
        // A stage may wait in the middle of its turn, behind its answer.
        let early = |answer| instance.on_reply(&exchange, reply(answer, &exchange));
        let request = (head, body.into_boxed());
        let entered = self.guests.handle(store, request, behalf, context, early).await?;
        let (answer, after) = match entered {
            // As in the component form, the answer does not wait for what a stage has written of its body.
            Entered::Answered(answer) => {
                let after = self.guests.after(store);
                self.give_back(store);
                (answer, after)
            }
            Entered::Told => {
                let after = self.guests.after(store);
                self.give_back(store);
                return after;
            }
            Entered::Broke(answer, trap) => (answer, Err(trap)),
            Entered::Later(answer) => {
                self.give_back(store);
                // Without tokio's budget: an answer that is there is handed over, before the next turn, which may trap.
                match unconstrained(answer).await {
                    Ok(answer) => (answer, Ok(())),
                    // It will not come, and the instance ends.
                    Err(_) => return pending().await,
                }
            }
        };
        instance.on_reply(&exchange, reply(answer, &exchange));
        after
    }

    fn poll_idle(&self, _: &mut Context<'_>) -> Poll<()> {
        let Some(store) = self.store.take() else { return Poll::Pending };
        let is_idle = store.data().is_idle();
        self.store.set(Some(store));
        // Who gives tasks their turns sees to it that this is asked again.
        if is_idle { Poll::Ready(()) } else { Poll::Pending }
    }
}

/// An answer, as whoever asked gets it.
fn reply(answer: Answer, exchange: &Rc<Exchange>) -> Reply {
    match answer {
        Ok(Ok((response, sent))) => {
            let trailers = response.headers().contains_key(http::header::TRAILER);
            Ok(response.map(|body| ResponseBody::new(body, trailers, Rc::clone(exchange), sent)))
        }
        Ok(Err(error)) => Err(Failure::InvalidResponse(reason(&error))),
        Err(code) => Err(Failure::Guest(code)),
    }
}
