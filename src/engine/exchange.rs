//! One request inside of an instance.

use super::body::{RequestLimit, ResponseBody};
use super::breaker::Attempt;
use super::outcome::Failure;
use crate::host::CallContext;
use std::cell::{Cell, RefCell};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Waker;
use tokio::sync::oneshot;

/// What a request gets.
pub type Reply = Result<http::Response<ResponseBody>, Failure>;

/// Where an exchange is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// The chain was called, or the request still waits for an instance.
    Calling,
    /// The response's head is out; its body is on its way.
    Streaming,
    /// The request was answered without the chain, which may still work on it.
    Expired,
}

/// Says to requests, from any thread, that their time is over: the worker sees it at
/// its next tick.
#[derive(Clone, Debug, Default)]
pub struct CutOff(Arc<AtomicBool>);

impl CutOff {
    /// Ends the requests that have this one.
    pub fn cut(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// What is set by [`CutOff::cut`].
    pub(super) fn flag(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.0)
    }

    /// Whether [`CutOff::cut`] was called.
    pub fn is_cut(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// The state of a request that the pool, the instance and the response's body
/// share.
pub struct Exchange {
    phase: Cell<Phase>,
    /// The tick at which a response's head must be there.
    deadline: Cell<u64>,
    /// The tick at which a body last moved, in either direction.
    progress: Cell<u64>,
    /// The tick at which the response's head was there.
    answered: Cell<u64>,
    /// What came of the request's body, and how much of it had at the last look.
    upload: RequestLimit,
    uploaded: Cell<u64>,
    reply: RefCell<Option<oneshot::Sender<Reply>>>,
    /// Why the body must not end as if it were complete.
    aborted: Cell<Option<&'static str>>,
    body: RefCell<Option<Waker>>,
    cut_off: Option<CutOff>,
    /// What its guests call ends with it.
    context: Option<Arc<CallContext>>,
    /// What the stage's breaker is to learn of it.
    attempt: Cell<Option<Attempt>>,
}

/// Whose doing it is that a request has no response.
enum Fault {
    /// The stage's own.
    Own,
    /// That of what comes after it, whose error it handed on.
    HandedOn,
    /// Nobody knows: the stage waited for what comes after it, or for the client.
    Unknown,
}

impl Exchange {
    /// An exchange that answers to `reply`, and ends early if `cut_off` says so. What comes
    /// out of it has `context`, and what becomes of it is told to `attempt`.
    pub fn new(
        reply: oneshot::Sender<Reply>,
        deadline: u64,
        upload: RequestLimit,
        cut_off: Option<CutOff>,
        context: Option<Arc<CallContext>>,
        attempt: Option<Attempt>,
    ) -> Self {
        Self {
            phase: Cell::new(Phase::Calling),
            deadline: Cell::new(deadline),
            progress: Cell::new(0),
            answered: Cell::new(0),
            upload,
            uploaded: Cell::new(0),
            reply: RefCell::new(Some(reply)),
            aborted: Cell::new(None),
            body: RefCell::new(None),
            cut_off,
            context,
            attempt: Cell::new(attempt),
        }
    }

    /// Whether its generation was replaced too long ago.
    pub fn is_cut_off(&self) -> bool {
        self.cut_off.as_ref().is_some_and(CutOff::is_cut)
    }

    pub fn phase(&self) -> Phase {
        self.phase.get()
    }

    pub fn deadline(&self) -> u64 {
        self.deadline.get()
    }

    /// The tick at which a body last moved, as far as is known at `tick`.
    pub fn progress(&self, tick: u64) -> u64 {
        let uploaded = self.upload.bytes();
        if self.uploaded.replace(uploaded) != uploaded {
            self.progress.set(tick);
        }
        self.progress.get()
    }

    /// The tick at which the response's head was there.
    pub fn answered(&self) -> u64 {
        self.answered.get()
    }

    pub fn aborted(&self) -> Option<&'static str> {
        self.aborted.get()
    }

    /// Whether nobody waits for the response's head any more.
    pub fn is_abandoned(&self) -> bool {
        self.reply.borrow().as_ref().is_some_and(oneshot::Sender::is_closed)
    }

    /// Moves the deadline forward to `tick`, never back.
    pub fn hasten(&self, tick: u64) {
        self.deadline.set(self.deadline.get().min(tick));
    }

    /// Hands the response over. If its receiver is gone, the response is dropped.
    pub fn answer(&self, reply: http::Response<ResponseBody>, tick: u64) {
        self.phase.set(Phase::Streaming);
        self.progress.set(tick);
        self.answered.set(tick);
        if let Some(mut attempt) = self.attempt.take() {
            attempt.succeed();
            // Its body may still break off.
            self.attempt.set(Some(attempt));
        }
        self.send(Ok(reply));
    }

    /// Answers without a response of the chain.
    pub fn fail(&self, failure: Failure) {
        self.phase.set(Phase::Expired);
        if let Some(mut attempt) = self.attempt.take() {
            match self.fault(&failure) {
                Fault::Own => attempt.fail(),
                Fault::HandedOn => attempt.succeed(),
                Fault::Unknown => {}
            }
        }
        self.send(Err(failure));
        if let Some(context) = &self.context {
            context.end();
        }
    }

    fn fault(&self, failure: &Failure) -> Fault {
        let context = self.context.as_ref();
        match failure {
            _ if self.is_abandoned() => Fault::Unknown,
            Failure::Guest(_) if self.upload.has_failed() => Fault::Unknown,
            Failure::Guest(_) if context.is_some_and(|context| context.next_failed()) => Fault::HandedOn,
            Failure::Deadline
                if self.is_cut_off()
                    || self.upload.is_awaited()
                    || context.is_some_and(|context| context.awaits_next()) =>
            {
                Fault::Unknown
            }
            _ => Fault::Own,
        }
    }

    /// The stage trapped while its response's body was on its way.
    pub fn trapped(&self) {
        if let Some(attempt) = self.attempt.take() {
            attempt.fail();
        }
    }

    fn send(&self, reply: Reply) {
        // Taken out first: dropping a response that nobody wants runs its
        // body's `Drop`, which comes back here.
        let sender = self.reply.borrow_mut().take();
        if let Some(sender) = sender {
            drop(sender.send(reply));
        }
    }

    /// Notes that the body moved.
    pub fn on_progress(&self, tick: u64) {
        self.progress.set(tick);
    }

    /// Remembers whom to wake when the body is cut.
    pub fn watch(&self, waker: &Waker) {
        let mut body = self.body.borrow_mut();
        if !body.as_ref().is_some_and(|known| known.will_wake(waker)) {
            *body = Some(waker.clone());
        }
    }

    /// Cuts the body off: its reader sees an error, not an end.
    pub fn abort(&self, why: &'static str) {
        if self.aborted.get().is_none() {
            self.aborted.set(Some(why));
        }
        let waker = self.body.borrow_mut().take();
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}
