//! What one worker counts of one pipeline's calls of another.
//!
//! As in [`PipelineMetrics`](super::PipelineMetrics), only that worker writes.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use super::histogram::{Histogram, Snapshot};

/// The counts of one pipeline's calls of another, on one worker.
#[derive(Default)]
pub struct CallMetrics {
    durations: Histogram,
    failed: AtomicU64,
}

impl CallMetrics {
    /// A call got a response, whose head was there after `duration`.
    pub fn answered(&self, duration: Duration) {
        self.durations.record(duration);
    }

    /// A call got none.
    pub fn failed(&self) {
        self.failed.fetch_add(1, Relaxed);
    }

    pub(super) fn durations(&self) -> Snapshot {
        self.durations.snapshot()
    }

    pub(super) fn failures(&self) -> u64 {
        self.failed.load(Relaxed)
    }
}
