//! The state of a store's guests, as others see it while the store runs.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

/// The state of a store's guests: how long they have computed since all of them last waited, what they were refused,
/// and what they did.
///
/// The time is CPU time of their thread, without other stores' turns and other processes. Up to one tick is not seen.
#[derive(Debug, Default)]
pub struct Pulse {
    /// Microseconds that the guests computed, up to the last interruption.
    computed: AtomicU64,
    /// The thread's CPU time when an interrupted guest continued, in the current poll.
    resumed: AtomicU64,
    /// Guests that gave way to others and have not been resumed.
    yielding: AtomicU32,
    /// Calls in which a guest waits and holds its store, as in `wasi:io`.
    waiting: AtomicU32,
    /// Whether a guest was refused memory or a larger table.
    refused: AtomicBool,
    /// Whether the guests will never run again, although they were not done.
    broke_off: AtomicBool,
    /// Whether the store should have no further calls.
    worn: AtomicBool,
    /// How often guests reached beyond their store.
    acts: AtomicU64,
    /// The number of the request of the only call in progress; 0 if there is none, or several.
    only_call: AtomicU64,
    /// Bytes that the host keeps for the guests outside of the store's tables.
    pub(super) outside: AtomicUsize,
    /// The most bytes that the host was found to keep for the guests.
    pub(super) most_kept: AtomicUsize,
}

/// While this exists, a guest waits and holds its store.
pub(super) struct Waits<'a>(&'a Pulse);

impl Drop for Waits<'_> {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Pulse {
    /// Whether a guest was refused memory or a larger table: it usually traps next.
    pub fn was_refused_memory(&self) -> bool {
        self.refused.load(Ordering::Relaxed)
    }

    /// Notes that a guest was refused memory or a larger table.
    pub(super) fn refuse(&self) {
        self.refused.store(true, Ordering::Relaxed);
    }

    /// The most bytes that the host was found to keep for the guests, of all times that it counted.
    pub fn most_kept(&self) -> usize {
        self.most_kept.load(Ordering::Relaxed)
    }

    /// Notes that a guest does something beyond its store that can't be undone: it calls the next stage or another
    /// pipeline, sends a request, writes to the log, or counts a request.
    pub fn act(&self) {
        self.acts.fetch_add(1, Ordering::Relaxed);
    }

    /// How often that happened.
    pub fn acts(&self) -> u64 {
        self.acts.load(Ordering::Relaxed)
    }

    /// Notes that the store should have no further calls: what each leaves behind would fill it.
    pub fn wear_out(&self) {
        self.worn.store(true, Ordering::Relaxed);
    }

    /// Whether the store should have no further calls.
    pub fn is_worn(&self) -> bool {
        self.worn.load(Ordering::Relaxed)
    }

    /// The number of the request that the guests work on, if exactly one call is in progress.
    pub(super) fn only_call(&self) -> Option<u64> {
        Some(self.only_call.load(Ordering::Relaxed)).filter(|request| *request != 0)
    }

    /// Notes the request that the guests work on: 0 if no call is in progress, or several are.
    pub(super) fn set_only_call(&self, request: u64) {
        self.only_call.store(request, Ordering::Relaxed);
    }

    /// Notes that the guests will never run again, although they were not done.
    pub fn break_off(&self) {
        self.broke_off.store(true, Ordering::Relaxed);
    }

    /// Whether the guests will never run again, and were not done.
    pub fn broke_off(&self) -> bool {
        self.broke_off.load(Ordering::Relaxed)
    }

    /// Notes that the store's event loop has nothing to do: all guests wait, except those that a tick interrupted.
    pub fn on_pending(&self) {
        self.resumed.store(0, Ordering::Relaxed);
        if !self.is_busy() {
            self.computed.store(0, Ordering::Relaxed);
        }
    }

    /// Whether the store can do nothing else now: a guest computes for longer than a tick, or holds the store while it
    /// waits.
    pub fn is_held(&self) -> bool {
        self.is_busy() || self.waiting.load(Ordering::Relaxed) > 0
    }

    /// Notes that a guest holds the store while it waits, until the result is dropped.
    pub(super) fn wait(&self) -> Waits<'_> {
        self.waiting.fetch_add(1, Ordering::Relaxed);
        Waits(self)
    }

    /// Whether a guest computes for longer than a tick, and does not wait.
    fn is_busy(&self) -> bool {
        self.yielding.load(Ordering::Relaxed) > 0
    }

    /// Notes that a guest was interrupted, and returns how long all of them have computed.
    pub(super) fn interrupt(&self) -> Duration {
        let now = thread_time();
        let turn = match self.resumed.swap(now, Ordering::Relaxed) {
            0 => 0,
            resumed => now.saturating_sub(resumed),
        };
        Duration::from_micros(self.computed.fetch_add(turn, Ordering::Relaxed) + turn)
    }

    /// Lets others on the thread run.
    pub(super) async fn give_way(self: Arc<Self>) {
        self.yielding.fetch_add(1, Ordering::Relaxed);
        tokio::task::yield_now().await;
        self.yielding.fetch_sub(1, Ordering::Relaxed);
        self.resumed.store(thread_time(), Ordering::Relaxed);
    }
}

/// CPU time of this thread in microseconds.
fn thread_time() -> u64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    time.tv_sec.unsigned_abs() * 1_000_000 + time.tv_nsec.unsigned_abs() / 1_000
}

/// The error of a guest that computed for longer than it may.
#[derive(Debug, thiserror::Error)]
#[error("computed for more than {0:?} without waiting (`limits.cpu`)")]
pub struct CpuBudgetExceeded(pub Duration);
