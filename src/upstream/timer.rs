//! The time that a request takes, checked at its worker's ticks.

use super::error::ErrorKind;
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
pub(super) enum Awaited {
    /// A free connection.
    Permit,
    /// The connection itself, which has a timer of its own.
    Connection,
    /// The response's head, while the request goes out.
    Head,
    /// The response's body: `true` while a reader waits for it.
    Body(bool),
}

/// The state of a request's body.
#[derive(Debug, Default)]
pub(super) struct Progress {
    /// Bytes that were sent.
    pub bytes: Cell<u64>,
    /// A part of the body was sent, so that it can't be sent again.
    pub touched: Cell<bool>,
    /// The server takes the body faster than it arrives, so the time does not count against the server.
    pub waits: Cell<bool>,
    /// The attempt that has the body.
    pub turn: Cell<usize>,
    /// Why the body broke off, if it did.
    pub failed: RefCell<Option<String>>,
}

/// The time of one request.
pub(super) struct RequestTimer {
    phase: Cell<Awaited>,
    /// When the awaited event last came nearer.
    since: Cell<Instant>,
    /// When the response's head must be there.
    until: Instant,
    started: Instant,
    pub upload: Rc<Progress>,
    uploaded: Cell<u64>,
    cut: Option<Arc<AtomicBool>>,
    stopped: RefCell<Option<ErrorKind>>,
    waker: RefCell<Option<Waker>>,
}

impl RequestTimer {
    pub fn new(now: Instant, until: Instant, cut: Option<Arc<AtomicBool>>) -> Rc<Self> {
        Rc::new(Self {
            phase: Cell::new(Awaited::Permit),
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

    /// Notes what the request waits for from now on.
    pub fn enter(&self, phase: Awaited, now: Instant) {
        if self.phase.replace(phase) != phase {
            self.since.set(now);
        }
    }

    /// Why the request must end, if it must.
    pub fn stopped(&self) -> Option<ErrorKind> {
        self.stopped.borrow().clone()
    }

    pub fn watch(&self, waker: &Waker) {
        let mut known = self.waker.borrow_mut();
        if !known.as_ref().is_some_and(|known| known.will_wake(waker)) {
            *known = Some(waker.clone());
        }
    }

    /// Ends the request if its time is over.
    pub fn on_tick(&self, now: Instant, limits: &UpstreamLimits) {
        let Some(kind) = self.due(now, limits) else { return };
        self.stopped.borrow_mut().get_or_insert(kind);
        let waker = self.waker.borrow_mut().take();
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    fn due(&self, now: Instant, limits: &UpstreamLimits) -> Option<ErrorKind> {
        if self.cut.as_ref().is_some_and(|cut| cut.load(Ordering::Relaxed)) {
            return Some(ErrorKind::CutOff);
        }
        let phase = self.phase.get();
        if now >= self.until && !matches!(phase, Awaited::Body(_)) {
            return Some(ErrorKind::Deadline);
        }
        if now.duration_since(self.started) >= limits.total_timeout {
            return Some(ErrorKind::TotalTimeout);
        }
        let uploaded = self.upload.bytes.get();
        let moved = self.uploaded.replace(uploaded) != uploaded;
        if moved || (phase == Awaited::Head && self.upload.waits.get()) {
            self.since.set(now);
        }
        let waited = now.duration_since(self.since.get());
        match phase {
            Awaited::Permit => (waited >= limits.pending_timeout).then_some(ErrorKind::Busy),
            Awaited::Head => (waited >= limits.response_timeout).then_some(ErrorKind::ResponseTimeout),
            Awaited::Body(true) => (waited >= limits.idle_timeout)
                .then(|| ErrorKind::Broken("no byte came within `limits.idle-timeout`".to_owned())),
            Awaited::Connection | Awaited::Body(false) => None,
        }
    }

    /// The result of `future`, unless the exchange has to end first.
    pub async fn or_stopped<T>(&self, future: impl Future<Output = T>) -> Result<T, ErrorKind> {
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
