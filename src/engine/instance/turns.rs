//! The requests of an instance, and whose turn it is.
//!
//! Where a call holds its store while it waits, an instance has one call at a time. Requests that arrive at once then
//! stand in a row in one instance, as long as calls don't wait: one warm instance serves them all.
//!
//! A guest with an async function may hold its store, too: in `wasi:io`. Such an instance has several calls, but begins
//! with the next one only when the one before waits without holding the store, or has returned. A call that was begun can
//! be moved to no other instance, and would wait as long as the guest that holds the store.

use crate::chain::Segment;
use crate::component::Lift;
use crate::engine::exchange::Exchange;
use crate::engine::request::ChainRequest;
use crate::host::CallContext;
use crate::telemetry::timed;
use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::Arc;

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

/// How many calls an instance has at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sharing {
    /// One, which may hold the store while it waits.
    Single,
    /// Several, each of which may come to hold the store.
    OneAfterAnother,
    /// Several, none of which holds the store while it waits.
    Many,
}

impl Sharing {
    /// Of the instances of `segment`.
    pub fn of(segment: &Segment) -> Self {
        match segment.lift {
            Lift::Async if segment.may_hold => Self::OneAfterAnother,
            Lift::Async => Self::Many,
            _ => Self::Single,
        }
    }
}

/// The requests of an instance.
pub(super) struct Turns {
    sharing: Sharing,
    /// Whether the call that was begun last waited without holding the store, or returned.
    settled: Cell<bool>,
    /// Those that it did not begin with.
    jobs: RefCell<VecDeque<Job>>,
    /// All that are not over.
    exchanges: RefCell<Vec<Rc<Exchange>>>,
    /// Whether one of them is observed.
    observed: Cell<bool>,
    /// Calls that have not returned.
    calls: Cell<usize>,
    /// Calls that were begun.
    served: Cell<u64>,
}

impl Turns {
    /// No request yet.
    pub fn new(sharing: Sharing) -> Self {
        Self {
            sharing,
            settled: Cell::new(true),
            jobs: RefCell::default(),
            exchanges: RefCell::default(),
            observed: Cell::new(false),
            calls: Cell::new(0),
            served: Cell::new(0),
        }
    }

    /// Adds a request.
    pub fn add(&self, mut job: Job) {
        job.in_row = self.calls.get() > 0 || !self.jobs.borrow().is_empty();
        self.exchanges.borrow_mut().push(Rc::clone(&job.exchange));
        if job.exchange.observation().is_some() {
            self.observed.set(true);
        }
        self.jobs.borrow_mut().push_back(job);
    }

    /// The next request to begin with, if it can have its turn now.
    pub fn next(&self) -> Option<Job> {
        // An answer that is still sent would be cut if the next one in the row ended the instance.
        let waits = |job: &Job| self.calls.get() > 0 || job.in_row && self.begun() > 0;
        let not_yet = match self.sharing {
            Sharing::Single => self.jobs.borrow().front().is_none_or(waits),
            Sharing::OneAfterAnother => !self.settled.get(),
            Sharing::Many => false,
        };
        if not_yet {
            return None;
        }
        let job = self.jobs.borrow_mut().pop_front()?;
        self.settled.set(false);
        self.calls.set(self.calls.get() + 1);
        self.served.set(self.served.get() + 1);
        Some(job)
    }

    /// A call has returned.
    pub fn returned(&self) {
        self.calls.set(self.calls.get() - 1);
        self.settled.set(true);
    }

    /// All calls wait, and none of them holds the store: the next one may begin. Says whether there is one that could not.
    pub fn settle(&self) -> bool {
        !self.settled.replace(true)
            && self.sharing == Sharing::OneAfterAnother
            && !self.jobs.borrow().is_empty()
    }

    /// Takes a request out that is over, and says whether it was there.
    pub fn remove(&self, exchange: &Rc<Exchange>) -> bool {
        let mut exchanges = self.exchanges.borrow_mut();
        let at = exchanges.iter().position(|known| Rc::ptr_eq(known, exchange));
        at.map(|at| exchanges.swap_remove(at)).is_some()
    }

    /// Takes those out that were not begun with.
    pub fn take_waiting(&self) -> VecDeque<Job> {
        let jobs = self.jobs.take();
        self.exchanges.borrow_mut().retain(|known| !jobs.iter().any(|job| Rc::ptr_eq(known, &job.exchange)));
        jobs
    }

    /// Takes all out.
    pub fn take(&self) -> Vec<Rc<Exchange>> {
        self.exchanges.take()
    }

    /// All that are not over.
    pub fn all(&self) -> Vec<Rc<Exchange>> {
        self.exchanges.borrow().clone()
    }

    /// How many that is.
    pub fn len(&self) -> usize {
        self.exchanges.borrow().len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.exchanges.borrow().is_empty()
    }

    /// Does `work` on them, of which those that are observed learn.
    pub fn observe<T>(&self, work: impl FnOnce() -> T) -> T {
        if !self.observed.get() {
            return work();
        }
        let exchanges = self.all();
        let observed = || exchanges.iter().filter_map(|exchange| exchange.observation());
        observed().for_each(|observation| observation.poll());
        let (done, busy) = timed(work);
        observed().for_each(|observation| observation.polled((exchanges.len() == 1).then_some(busy)));
        let is_observed = |exchange: &Rc<Exchange>| exchange.observation().is_some();
        self.observed.set(self.exchanges.borrow().iter().any(is_observed));
        done
    }

    /// Those that were begun and are not over.
    fn begun(&self) -> usize {
        self.len().saturating_sub(self.jobs.borrow().len())
    }

    /// Whether one more would meet nobody whose answer is still sent, or is made to.
    pub fn is_free(&self) -> bool {
        self.sharing != Sharing::Single || self.begun() == 0
    }

    /// Whether those that were not begun would have to wait for a call, or an answer, with which they have nothing to do,
    /// while the store is `held` or not.
    pub fn must_go_elsewhere(&self, held: bool) -> bool {
        self.begun() > 0 && (self.sharing == Sharing::Single || held)
    }

    /// Whether one more would have its turn when those of a row of at most `row` had theirs.
    pub fn has_room(&self, row: impl FnOnce() -> usize) -> bool {
        self.sharing != Sharing::Single || self.calls.get() == 0 && self.jobs.borrow().len() < row()
    }

    /// How many more it would take of `most`, where one more has room.
    pub fn room(&self, most: usize) -> usize {
        match self.sharing {
            Sharing::Single => 1,
            Sharing::OneAfterAnother | Sharing::Many => most - self.len(),
        }
    }

    /// Calls that were begun, and those that will be.
    pub fn promised(&self) -> u64 {
        self.served.get() + self.jobs.borrow().len() as u64
    }

    /// Calls that were begun.
    pub fn served(&self) -> u64 {
        self.served.get()
    }
}
