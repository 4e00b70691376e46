//! What an instance works on: polled by its task, or at once by whoever hands it a request.
//!
//! Whoever comes with a request may have work that was woken while it was polled polled again before anything else has its
//! turn, up to [`ROUNDS`] times: an event loop that gave itself something to do, as with a body that a guest wrote before it
//! returned, has done it when the response is looked at.

use std::cell::RefCell;
use std::pin::Pin;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, Wake, Waker};
use tokio::task::coop::has_budget_remaining;

/// The most that the work is polled in a row.
const ROUNDS: u32 = 8;

/// The work of an instance.
pub(super) struct Work {
    place: RefCell<Place>,
    bell: Arc<Bell>,
    /// Rings the bell. The work knows no other waker, whoever polls it.
    waker: Waker,
}

/// Where the work is.
enum Place {
    /// Nobody polls it now.
    Here(Pin<Box<dyn Future<Output = ()>>>),
    /// Somebody polls it, further down the stack.
    Polled,
    /// It came to its end, or has not begun.
    Nowhere,
}

/// Says to whoever polls the work, or else to its task, that there is something to do.
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
        Self { place: RefCell::new(Place::Nowhere), waker: Waker::from(Arc::clone(&bell)), bell }
    }

    /// Begins with `work`, which a task is to poll.
    pub fn begin(&self, work: Pin<Box<dyn Future<Output = ()>>>) {
        self.place.replace(Place::Here(work));
    }

    /// Drops it: it holds on to its instance.
    pub fn end(&self) {
        self.place.replace(Place::Nowhere);
    }

    /// Gives it a turn: now if it is polled, else in its task.
    pub fn wake(&self) {
        self.waker.wake_by_ref();
    }

    /// Polls it in its task.
    pub fn poll_in_task(&self, cx: &Context<'_>) -> Poll<()> {
        // A task's waker wakes the task, however old it is.
        self.bell.task.get_or_init(|| cx.waker().clone());
        self.poll(|| true)
    }

    /// Polls it here and now, and again as long as it is woken meanwhile and that was not `enough`. If somebody does so further
    /// down the stack, it is polled there again.
    pub fn poll(&self, enough: impl Fn() -> bool) -> Poll<()> {
        let mut work = match self.place.replace(Place::Polled) {
            Place::Here(work) => work,
            Place::Nowhere => {
                self.place.replace(Place::Nowhere);
                return Poll::Ready(());
            }
            Place::Polled => {
                self.wake();
                return Poll::Pending;
            }
        };
        for _ in 0..ROUNDS {
            self.bell.state.store(POLLED, Ordering::Release);
            let poll = work.as_mut().poll(&mut Context::from_waker(&self.waker));
            let rung = self.bell.state.swap(QUIET, Ordering::AcqRel) == RUNG;
            if poll.is_ready() {
                self.place.replace(Place::Nowhere);
                return Poll::Ready(());
            }
            if !rung {
                self.place.replace(Place::Here(work));
                return Poll::Pending;
            }
            // Without a budget, tokio's own have nothing before this task was left.
            if enough() || !has_budget_remaining() {
                break;
            }
        }
        // The others' turn.
        self.place.replace(Place::Here(work));
        self.wake();
        Poll::Pending
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;
    use std::future::poll_fn;
    use std::rc::Rc;
    use std::sync::atomic::AtomicUsize;

    #[derive(Default)]
    struct Count(AtomicUsize);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// The work, its task's wake-ups and the polls of it; in its `n`th poll it does what `act` says.
    fn work(
        act: impl Fn(&Work, usize, &Waker) -> Poll<()> + 'static,
    ) -> (Rc<Work>, Arc<Count>, Rc<Cell<usize>>) {
        let (work, woken, polls) =
            (Rc::new(Work::new()), Arc::<Count>::default(), Rc::<Cell<usize>>::default());
        let (weak, counted) = (Rc::downgrade(&work), Rc::clone(&polls));
        work.begin(Box::pin(poll_fn(move |cx| {
            counted.set(counted.get() + 1);
            act(&weak.upgrade().unwrap(), counted.get(), cx.waker())
        })));
        let task = Waker::from(Arc::clone(&woken));
        work.bell.task.set(task).unwrap();
        (work, woken, polls)
    }

    #[test]
    fn a_wake_up_is_a_poll_of_whoever_polls_or_a_turn_of_the_task() {
        let kept = Rc::new(RefCell::new(None));
        let keep = Rc::clone(&kept);
        let (work, woken, polls) = work(move |_, poll, waker| {
            keep.replace(Some(waker.clone()));
            if poll == 1 {
                waker.wake_by_ref();
            }
            Poll::Pending
        });
        assert!(work.poll(|| false).is_pending());
        assert_eq!((polls.get(), woken.0.load(Ordering::Relaxed)), (2, 0));
        // Whoever else has polled it since, it is the task that is woken.
        assert!(work.poll(|| true).is_pending());
        kept.take().unwrap().wake();
        assert_eq!((polls.get(), woken.0.load(Ordering::Relaxed)), (3, 1));
    }

    #[test]
    fn work_that_wakes_itself_gives_way() {
        let (work, woken, polls) = work(|_, _, waker| {
            waker.wake_by_ref();
            Poll::Pending
        });
        assert!(work.poll(|| false).is_pending());
        assert_eq!((polls.get(), woken.0.load(Ordering::Relaxed)), (ROUNDS as usize, 1));
        assert!(work.poll(|| true).is_pending());
        assert_eq!((polls.get(), woken.0.load(Ordering::Relaxed)), (ROUNDS as usize + 1, 2));
    }

    #[test]
    fn who_comes_to_work_that_is_polled_has_it_polled_again() {
        let (work, woken, polls) = work(|work, poll, _| {
            if poll == 1 {
                assert!(work.poll(|| false).is_pending());
            }
            Poll::Pending
        });
        assert!(work.poll(|| false).is_pending());
        assert_eq!((polls.get(), woken.0.load(Ordering::Relaxed)), (2, 0));
    }

    #[test]
    fn work_that_is_over_is_over_for_all() {
        let (work, _, polls) = work(|_, _, _| Poll::Ready(()));
        assert!(work.poll(|| false).is_ready() && work.poll(|| false).is_ready());
        assert_eq!(polls.get(), 1);
    }
}
