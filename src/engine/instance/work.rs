//! What an instance works on: polled by its task, or at once by whoever hands it a request.
//!
//! A future that was woken while it was polled is polled again before anything else has its turn, up to [`TURNS`] times: an
//! event loop that gave itself something to do, as with a body that a guest wrote before it returned, has done it when the
//! response is looked at.

use std::cell::RefCell;
use std::pin::Pin;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, Wake, Waker};

/// The most that the work is polled in a row.
const TURNS: u32 = 8;

/// The work of an instance.
pub(super) struct Work {
    stage: RefCell<Stage>,
    bell: Arc<Bell>,
    /// Rings the bell.
    waker: Waker,
}

/// Where the work is.
enum Stage {
    /// Nobody polls it now.
    Rests(Pin<Box<dyn Future<Output = ()>>>),
    /// Somebody does, further down the stack.
    Polled,
    /// It came to its end, or has not begun.
    Over,
}

/// Says to the work, or else to its task, that there is something to do.
#[derive(Default)]
struct Bell {
    state: AtomicU8,
    task: OnceLock<Waker>,
}

// The bell's states: the work is not polled; it is; it is, and the bell was rung since.
const QUIET: u8 = 0;
const POLLED: u8 = 1;
const RUNG: u8 = 2;

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        let rung = self.state.compare_exchange(POLLED, RUNG, Ordering::AcqRel, Ordering::Acquire);
        if rung == Err(QUIET)
            && let Some(task) = self.task.get()
        {
            task.wake_by_ref();
        }
    }
}

impl Work {
    /// No work yet.
    pub fn new() -> Self {
        let bell = Arc::new(Bell::default());
        Self { stage: RefCell::new(Stage::Over), waker: Waker::from(Arc::clone(&bell)), bell }
    }

    /// Begins with `work`, which a task is to poll.
    pub fn begin(&self, work: Pin<Box<dyn Future<Output = ()>>>) {
        self.stage.replace(Stage::Rests(work));
    }

    /// Drops it: it holds on to its instance.
    pub fn end(&self) {
        self.stage.replace(Stage::Over);
    }

    /// Gives it a turn, now if it is polled, else in its task.
    pub fn wake(&self) {
        self.waker.wake_by_ref();
    }

    /// Polls it as its task does.
    pub fn poll(&self, cx: &Context<'_>) -> Poll<()> {
        // A task's waker wakes the task, however old it is.
        self.bell.task.get_or_init(|| cx.waker().clone());
        self.poll_now()
    }

    /// Polls it here and now. If somebody does so further down the stack, it is polled there again.
    pub fn poll_now(&self) -> Poll<()> {
        let mut work = match self.stage.replace(Stage::Polled) {
            Stage::Rests(work) => work,
            Stage::Over => {
                self.stage.replace(Stage::Over);
                return Poll::Ready(());
            }
            Stage::Polled => {
                self.wake();
                return Poll::Pending;
            }
        };
        for _ in 0..TURNS {
            self.bell.state.store(POLLED, Ordering::Release);
            if work.as_mut().poll(&mut Context::from_waker(&self.waker)).is_ready() {
                self.bell.state.store(QUIET, Ordering::Release);
                self.stage.replace(Stage::Over);
                return Poll::Ready(());
            }
            if self.bell.state.swap(QUIET, Ordering::AcqRel) == POLLED {
                self.stage.replace(Stage::Rests(work));
                return Poll::Pending;
            }
        }
        // The others' turn.
        self.stage.replace(Stage::Rests(work));
        self.wake();
        Poll::Pending
    }
}
