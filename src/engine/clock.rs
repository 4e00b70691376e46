//! The worker's time.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

/// How exact the engine's deadlines are. One timer a worker, instead of one or
/// more a request.
pub const TICK: Duration = Duration::from_millis(20);

/// A duration in ticks, rounded up, at least one.
pub(super) fn ticks(duration: Duration) -> u64 {
    let ticks = duration.as_nanos().div_ceil(TICK.as_nanos());
    u64::try_from(ticks).unwrap_or(u64::MAX / 2).max(1)
}

/// The worker's time in ticks.
#[derive(Clone, Debug, Default)]
pub struct Clock(Rc<Cell<u64>>);

impl Clock {
    /// Ticks since the worker started.
    pub(super) fn tick(&self) -> u64 {
        self.0.get()
    }

    /// Sets the time.
    pub(super) fn set(&self, tick: u64) {
        self.0.set(tick);
    }

    /// The time until a tick.
    pub(super) fn until(&self, tick: u64) -> Duration {
        let ticks = tick.saturating_sub(self.tick());
        TICK.saturating_mul(u32::try_from(ticks).unwrap_or(u32::MAX))
    }
}
