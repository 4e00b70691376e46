//! The worker's time.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::Instant;

/// How exact the engine's deadlines are. One timer a worker, instead of one or
/// more a request.
pub const TICK: Duration = Duration::from_millis(20);

/// A duration in ticks, rounded up, at least one.
pub(super) fn ticks(duration: Duration) -> u64 {
    let ticks = duration.as_nanos().div_ceil(TICK.as_nanos());
    u64::try_from(ticks).unwrap_or(u64::MAX / 2).max(1)
}

/// The worker's time in ticks. While it rests, nobody sets it; whoever asks for the time ends its rest.
#[derive(Clone, Debug)]
pub struct Clock(Rc<State>);

#[derive(Debug)]
struct State {
    start: Instant,
    /// The last time that was set.
    now: Cell<Instant>,
    tick: Cell<u64>,
    rests: Cell<bool>,
    woken: Notify,
}

impl Default for Clock {
    fn default() -> Self {
        let start = Instant::now();
        let (now, tick, rests) = (Cell::new(start), Cell::new(0), Cell::new(false));
        Self(Rc::new(State { start, now, tick, rests, woken: Notify::new() }))
    }
}

impl Clock {
    /// Ticks since the worker started.
    pub(super) fn tick(&self) -> u64 {
        if self.0.rests.get() {
            self.wake();
        }
        self.0.tick.get()
    }

    /// The time of the last tick.
    pub(super) fn now(&self) -> Instant {
        self.tick();
        self.0.now.get()
    }

    #[cold]
    fn wake(&self) {
        self.set(Instant::now());
        self.0.woken.notify_one();
    }

    /// Sets the time, and ends the clock's rest.
    pub(super) fn set(&self, now: Instant) {
        self.0.rests.set(false);
        self.0.now.set(now);
        let elapsed = now.duration_since(self.0.start).as_nanos() / TICK.as_nanos();
        self.0.tick.set(u64::try_from(elapsed).unwrap_or(u64::MAX));
    }

    /// Rests until somebody asks for the time.
    pub(super) async fn rest(&self) {
        self.0.rests.set(true);
        self.0.woken.notified().await;
    }

    /// The time until a tick.
    pub(super) fn until(&self, tick: u64) -> Duration {
        let ticks = tick.saturating_sub(self.tick());
        TICK.saturating_mul(u32::try_from(ticks).unwrap_or(u32::MAX))
    }
}
