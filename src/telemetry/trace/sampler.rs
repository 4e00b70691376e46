//! How many requests are sampled in a second.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

/// Counts what was sampled in the current second, over all workers.
pub(super) struct Sampler {
    started: Instant,
    /// The second since the start, and how many were sampled in it: 32 bits each.
    counted: AtomicU64,
}

impl Sampler {
    pub(super) fn new() -> Self {
        Self { started: Instant::now(), counted: AtomicU64::new(0) }
    }

    /// Whether one more may be sampled now, of `most` in a second.
    pub(super) fn admits(&self, most: u32) -> bool {
        self.admits_at(self.started.elapsed(), most)
    }

    fn admits_at(&self, passed: Duration, most: u32) -> bool {
        // Seconds are told apart for 136 years.
        let now = passed.as_secs() << 32;
        let count = |counted: u64| {
            let in_this =
                if counted & !u64::from(u32::MAX) == now { counted & u64::from(u32::MAX) } else { 0 };
            (in_this < u64::from(most)).then_some(now | (in_this + 1))
        };
        self.counted.fetch_update(Relaxed, Relaxed, count).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn so_many_in_a_second_and_no_more() {
        let sampler = Sampler::new();
        let admitted = |ms: u64, most: u32, tries: usize| {
            (0..tries).filter(|_| sampler.admits_at(Duration::from_millis(ms), most)).count()
        };
        assert_eq!(admitted(0, 3, 10), 3);
        assert_eq!(admitted(999, 3, 10), 0);
        assert_eq!(admitted(999, 5, 10), 2, "the bound may change");
        assert_eq!(admitted(1000, 3, 2), 2);
        assert_eq!(admitted(1500, 3, 10), 1);
        assert_eq!(admitted(5000, 0, 10), 0);
    }

    #[test]
    fn threads_share_the_bound() {
        let sampler = Sampler::new();
        let admitted: usize = std::thread::scope(|scope| {
            let count = || (0..1000).filter(|_| sampler.admits_at(Duration::ZERO, 100)).count();
            let threads: Vec<_> = (0..4).map(|_| scope.spawn(count)).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).sum()
        });
        assert_eq!(admitted, 100);
    }
}
