//! What one worker counts of a stage's observed requests.
//!
//! Bounds: as many series as there are stages with counts (see [`Metrics`](super::Metrics)), each with one exemplar for a
//! bucket: the trace of the request that fell into it last.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use super::histogram::{Exemplar, Histogram, OF_STAGES, Snapshot};
use super::host_calls::HostCall;
use super::observation::{Outcome, Sight};

/// Buckets of a stage's own time, with the one of what is beyond all others.
pub(super) const PLACES: usize = OF_STAGES.len() + 1;

/// The counts of a stage's observed requests.
pub struct Observed {
    own: Histogram<{ OF_STAGES.len() }>,
    exemplars: Mutex<[Option<Exemplar>; PLACES]>,
    pub(super) counts: Sums,
}

/// Sums, of times in nanoseconds.
#[derive(Default)]
pub(super) struct Sums {
    pub(super) queued: AtomicU64,
    pub(super) busy: AtomicU64,
    /// Requests whose computation is known.
    pub(super) busy_requests: AtomicU64,
    /// Requests that the stage answered without calling what comes after it.
    pub(super) answered: AtomicU64,
    pub(super) failed: AtomicU64,
    pub(super) broke_off: AtomicU64,
    pub(super) request_bytes: AtomicU64,
    pub(super) response_bytes: AtomicU64,
    /// Calls of the host, and requests of the stage's own, where they are known.
    pub(super) host_calls: AtomicU64,
    pub(super) outgoing: AtomicU64,
}

impl Default for Observed {
    fn default() -> Self {
        Self {
            own: Histogram::new(&OF_STAGES),
            exemplars: Mutex::new([const { None }; PLACES]),
            counts: Sums::default(),
        }
    }
}

impl Observed {
    /// Sums what was seen of a request, of whose body `request_bytes` were read, in the trace with this id.
    pub fn count(&self, sight: &Sight, request_bytes: u64, trace: String) {
        let counts = &self.counts;
        let add = |sum: &AtomicU64, more: Duration| {
            sum.fetch_add(u64::try_from(more.as_nanos()).unwrap_or(u64::MAX), Relaxed);
        };
        add(&counts.queued, sight.queued);
        if let Some(busy) = sight.busy {
            add(&counts.busy, busy);
            counts.busy_requests.fetch_add(1, Relaxed);
        }
        if let Some(calls) = sight.host_calls {
            counts.host_calls.fetch_add(calls.all(), Relaxed);
            counts.outgoing.fetch_add(calls.of(HostCall::Request), Relaxed);
        }
        match sight.outcome {
            Outcome::Sent if sight.calls == 0 => _ = counts.answered.fetch_add(1, Relaxed),
            Outcome::Failed { .. } => _ = counts.failed.fetch_add(1, Relaxed),
            Outcome::BrokeOff | Outcome::Abandoned => _ = counts.broke_off.fetch_add(1, Relaxed),
            Outcome::Sent | Outcome::HandedOn => {}
        }
        counts.request_bytes.fetch_add(request_bytes, Relaxed);
        counts.response_bytes.fetch_add(sight.response_bytes, Relaxed);
        let place = self.own.record(sight.own);
        let exemplar = Exemplar { trace, value: sight.own, at: SystemTime::now() };
        self.exemplars.lock().unwrap_or_else(PoisonError::into_inner)[place] = Some(exemplar);
    }

    pub(super) fn own(&self) -> Snapshot<{ OF_STAGES.len() }> {
        self.own.snapshot()
    }

    /// The exemplar of each bucket that has one.
    pub(super) fn exemplars(&self) -> [Option<Exemplar>; PLACES] {
        self.exemplars.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
