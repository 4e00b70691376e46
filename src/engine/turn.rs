//! A busy guest's turn on its worker ends with a look at the network and the clock.
//!
//! A guest that computes is interrupted at each tick of the epoch and asks to go on
//! at once. A task that wakes itself is run again before tokio looks for events:
//! 61 times in a row by a `LocalSet`, a tick each, in which no neighbour's request
//! is read. So a wake from within the poll is held
//! back and given to tokio as a yield, which wakes the task after the events.

use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Wake, Waker};

/// Polls one task's future in fair turns.
#[derive(Default)]
pub struct Turn {
    inner: Arc<Inner>,
}

#[derive(Default)]
struct Inner {
    /// The future is being polled.
    polling: AtomicBool,
    /// It asked for another turn meanwhile.
    again: AtomicBool,
    task: Mutex<Option<Waker>>,
}

impl Wake for Inner {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        // First the flag, then the look: a wake from another thread at the end of a
        // poll is seen by it, or sees that it is over.
        self.again.store(true, Ordering::SeqCst);
        if self.polling.load(Ordering::SeqCst) {
            return;
        }
        if let Some(task) = &*self.task.lock().unwrap_or_else(PoisonError::into_inner) {
            task.wake_by_ref();
        }
    }
}

impl Turn {
    /// Polls `future`, and yields to tokio if it wants to go on at once.
    pub fn poll<T>(&self, future: Pin<&mut impl Future<Output = T>>, cx: &mut Context<'_>) -> Poll<T> {
        {
            let mut task = self.inner.task.lock().unwrap_or_else(PoisonError::into_inner);
            if !task.as_ref().is_some_and(|known| known.will_wake(cx.waker())) {
                *task = Some(cx.waker().clone());
            }
        }
        self.inner.polling.store(true, Ordering::SeqCst);
        // What woke it before is what it is polled for.
        self.inner.again.store(false, Ordering::SeqCst);
        let waker = Waker::from(Arc::clone(&self.inner));
        let poll = future.poll(&mut Context::from_waker(&waker));
        self.inner.polling.store(false, Ordering::SeqCst);
        if self.inner.again.load(Ordering::SeqCst) && poll.is_pending() {
            // Polled once, it asks tokio to wake the task later; that is all.
            let _ = pin!(tokio::task::yield_now()).poll(cx);
        }
        poll
    }
}
