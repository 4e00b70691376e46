//! Tells who looks after a store's tasks that something outside of it moved.

use futures::task::AtomicWaker;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake};

/// Rings when the reader of a body took something, or there is something to read.
#[derive(Default)]
pub struct Bell {
    rung: AtomicBool,
    waker: AtomicWaker,
}

impl Bell {
    /// Ready if it rang since it last said so. Wakes one who waits: whoever asked last.
    pub fn poll_rung(&self, cx: &mut Context<'_>) -> Poll<()> {
        let was_rung = || self.rung.swap(false, Ordering::AcqRel);
        if was_rung() {
            return Poll::Ready(());
        }
        self.waker.register(cx.waker());
        // It may have rung before the waker was there.
        if was_rung() { Poll::Ready(()) } else { Poll::Pending }
    }
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.rung.store(true, Ordering::Release);
        self.waker.wake();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::task::Waker;

    #[test]
    fn it_is_heard_once_whenever_it_rings() {
        let bell = Arc::new(Bell::default());
        let heard = Arc::new(Bell::default());
        let is_heard = |heard: &Bell| heard.rung.swap(false, Ordering::AcqRel);
        let waker = Waker::from(Arc::clone(&heard));
        let mut cx = Context::from_waker(&waker);
        bell.wake_by_ref();
        assert!(bell.poll_rung(&mut cx).is_ready() && bell.poll_rung(&mut cx).is_pending());
        assert!(!is_heard(&heard));
        bell.wake_by_ref();
        assert!(is_heard(&heard));
        assert!(bell.poll_rung(&mut cx).is_ready() && bell.poll_rung(&mut cx).is_pending());
    }
}
