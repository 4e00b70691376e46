//! The time that a request takes, watched by its worker's tick.

use super::error::Kind;
use crate::plan::UpstreamLimits;
use std::cell::{Cell, RefCell};
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Poll, Waker};
use tokio::time::Instant;

/// What an exchange waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// A connection to spare.
    Permit,
    /// The connection itself, which has a timer of its own.
    Connection,
    /// The response's head, while the request goes out.
    Head,
    /// The response's body: `true` while somebody waits for it.
    Body(bool),
}

/// How far a request's body is.
#[derive(Debug, Default)]
pub(super) struct Progress {
    /// Bytes that went out.
    pub bytes: Cell<u64>,
    /// A part of it went out, so that it can't be sent again.
    pub touched: Cell<bool>,
    /// The server takes it faster than it comes, so that the time is not the server's.
    pub waits: Cell<bool>,
    /// The attempt that has it.
    pub turn: Cell<usize>,
    /// Why it broke off, if it did.
    pub failed: RefCell<Option<String>>,
}

/// One request's time.
pub(super) struct Exchange {
    phase: Cell<Phase>,
    /// When what it waits for last came nearer.
    since: Cell<Instant>,
    /// When the response's head must be there.
    until: Instant,
    started: Instant,
    pub upload: Rc<Progress>,
    uploaded: Cell<u64>,
    cut: Option<Arc<AtomicBool>>,
    stopped: RefCell<Option<Kind>>,
    waker: RefCell<Option<Waker>>,
}

impl Exchange {
    pub fn new(now: Instant, until: Instant, cut: Option<Arc<AtomicBool>>) -> Rc<Self> {
        Rc::new(Self {
            phase: Cell::new(Phase::Permit),
            since: Cell::new(now),
            until,
            started: now,
            upload: Rc::default(),
            uploaded: Cell::new(0),
            cut,
            stopped: RefCell::new(None),
            waker: RefCell::new(None),
        })
    }

    /// It waits for something else from now on.
    pub fn enter(&self, phase: Phase, now: Instant) {
        if self.phase.replace(phase) != phase {
            self.since.set(now);
        }
    }

    /// Why it must end, if it must.
    pub fn stopped(&self) -> Option<Kind> {
        self.stopped.borrow().clone()
    }

    pub fn watch(&self, waker: &Waker) {
        let mut known = self.waker.borrow_mut();
        if !known.as_ref().is_some_and(|known| known.will_wake(waker)) {
            *known = Some(waker.clone());
        }
    }

    /// Ends it if its time is over.
    pub fn on_tick(&self, now: Instant, limits: &UpstreamLimits) {
        let Some(kind) = self.due(now, limits) else { return };
        self.stopped.borrow_mut().get_or_insert(kind);
        let waker = self.waker.borrow_mut().take();
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    fn due(&self, now: Instant, limits: &UpstreamLimits) -> Option<Kind> {
        if self.cut.as_ref().is_some_and(|cut| cut.load(Ordering::Relaxed)) {
            return Some(Kind::CutOff);
        }
        let phase = self.phase.get();
        if now >= self.until && !matches!(phase, Phase::Body(_)) {
            return Some(Kind::Deadline);
        }
        if now.duration_since(self.started) >= limits.total_timeout {
            return Some(Kind::TotalTimeout);
        }
        let uploaded = self.upload.bytes.get();
        let moved = self.uploaded.replace(uploaded) != uploaded;
        if moved || (phase == Phase::Head && self.upload.waits.get()) {
            self.since.set(now);
        }
        let waited = now.duration_since(self.since.get());
        match phase {
            Phase::Permit => (waited >= limits.pending_timeout).then_some(Kind::Busy),
            Phase::Head => (waited >= limits.response_timeout).then_some(Kind::ResponseTimeout),
            Phase::Body(true) => (waited >= limits.idle_timeout)
                .then(|| Kind::Broken("no byte came within `limits.idle-timeout`".to_owned())),
            Phase::Connection | Phase::Body(false) => None,
        }
    }

    /// What `future` gives, unless the exchange has to end before.
    pub async fn or_stopped<T>(&self, future: impl Future<Output = T>) -> Result<T, Kind> {
        let mut future = pin!(future);
        std::future::poll_fn(|cx| {
            if let Poll::Ready(value) = future.as_mut().poll(cx) {
                return Poll::Ready(Ok(value));
            }
            if let Some(kind) = self.stopped() {
                return Poll::Ready(Err(kind));
            }
            self.watch(cx.waker());
            Poll::Pending
        })
        .await
    }
}
