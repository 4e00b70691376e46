//! Durations, counted in buckets.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, SystemTime};

/// Upper ends of buckets, ascending, in nanoseconds and as they are written, in seconds.
pub(super) type Ends<const N: usize> = [(u64, &'static str); N];

/// As OpenTelemetry advises for `http.server.request.duration`.
pub(super) const OF_REQUESTS: Ends<14> = [
    (5_000_000, "0.005"),
    (10_000_000, "0.01"),
    (25_000_000, "0.025"),
    (50_000_000, "0.05"),
    (75_000_000, "0.075"),
    (100_000_000, "0.1"),
    (250_000_000, "0.25"),
    (500_000_000, "0.5"),
    (750_000_000, "0.75"),
    (1_000_000_000, "1"),
    (2_500_000_000, "2.5"),
    (5_000_000_000, "5"),
    (7_500_000_000, "7.5"),
    (10_000_000_000, "10"),
];

/// For what a stage takes: most of them a few microseconds.
pub(super) const OF_STAGES: Ends<22> = [
    (1_000, "0.000001"),
    (2_500, "0.0000025"),
    (5_000, "0.000005"),
    (10_000, "0.00001"),
    (25_000, "0.000025"),
    (50_000, "0.00005"),
    (100_000, "0.0001"),
    (250_000, "0.00025"),
    (500_000, "0.0005"),
    (1_000_000, "0.001"),
    (2_500_000, "0.0025"),
    (5_000_000, "0.005"),
    (10_000_000, "0.01"),
    (25_000_000, "0.025"),
    (50_000_000, "0.05"),
    (100_000_000, "0.1"),
    (250_000_000, "0.25"),
    (500_000_000, "0.5"),
    (1_000_000_000, "1"),
    (2_500_000_000, "2.5"),
    (5_000_000_000, "5"),
    (10_000_000_000, "10"),
];

/// Counts of durations.
pub(super) struct Histogram<const N: usize = 14> {
    ends: &'static Ends<N>,
    /// Not cumulative.
    buckets: [AtomicU64; N],
    /// Durations beyond all of them.
    beyond: AtomicU64,
    nanoseconds: AtomicU64,
}

impl Default for Histogram {
    fn default() -> Self {
        Self::new(&OF_REQUESTS)
    }
}

impl<const N: usize> Histogram<N> {
    /// Nothing yet, for buckets with these ends.
    pub(super) fn new(ends: &'static Ends<N>) -> Self {
        let buckets = [const { AtomicU64::new(0) }; N];
        Self { ends, buckets, beyond: AtomicU64::new(0), nanoseconds: AtomicU64::new(0) }
    }

    /// Counts `duration`, and says in which bucket.
    pub(super) fn record(&self, duration: Duration) -> usize {
        let nanoseconds = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        let place = self.ends.partition_point(|(end, _)| *end < nanoseconds);
        self.buckets.get(place).unwrap_or(&self.beyond).fetch_add(1, Relaxed);
        self.nanoseconds.fetch_add(nanoseconds, Relaxed);
        place
    }

    pub(super) fn snapshot(&self) -> Snapshot<N> {
        Snapshot {
            ends: self.ends,
            buckets: self.buckets.each_ref().map(|bucket| bucket.load(Relaxed)),
            beyond: self.beyond.load(Relaxed),
            nanoseconds: u128::from(self.nanoseconds.load(Relaxed)),
        }
    }
}

/// A request that fell into a bucket.
#[derive(Clone, Debug)]
pub(super) struct Exemplar {
    /// The id of its trace, in hexadecimal digits.
    pub(super) trace: String,
    pub(super) value: Duration,
    pub(super) at: SystemTime,
}

/// A histogram at one time; of many workers, once they are added.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Snapshot<const N: usize = 14> {
    pub(super) ends: &'static Ends<N>,
    pub(super) buckets: [u64; N],
    pub(super) beyond: u64,
    pub(super) nanoseconds: u128,
}

impl Default for Snapshot {
    fn default() -> Self {
        Self::none(&OF_REQUESTS)
    }
}

impl<const N: usize> Snapshot<N> {
    /// Of no duration.
    pub(super) fn none(ends: &'static Ends<N>) -> Self {
        Self { ends, buckets: [0; N], beyond: 0, nanoseconds: 0 }
    }

    /// The number of all durations: the sum of the buckets, so that the two never contradict each other.
    pub(super) fn count(&self) -> u64 {
        self.buckets.iter().sum::<u64>() + self.beyond
    }
}

impl<const N: usize> std::ops::AddAssign for Snapshot<N> {
    fn add_assign(&mut self, other: Self) {
        for (sum, more) in self.buckets.iter_mut().zip(other.buckets) {
            *sum += more;
        }
        self.beyond += other.beyond;
        self.nanoseconds += other.nanoseconds;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_falls_into_the_bucket_that_ends_with_it() {
        let histogram = Histogram::new(&OF_STAGES);
        for (nanoseconds, place) in [(0, 0), (1_000, 0), (1_001, 1), (10_000_000_000, 21), (u64::MAX, 22)] {
            assert_eq!(histogram.record(Duration::from_nanos(nanoseconds)), place, "{nanoseconds}");
        }
        let mut snapshot = histogram.snapshot();
        assert_eq!((snapshot.buckets[0], snapshot.buckets[1], snapshot.beyond), (2, 1, 1));
        snapshot += histogram.snapshot();
        assert_eq!(snapshot.count(), 10);
    }

    #[test]
    fn ends_ascend_and_say_what_they_are() {
        fn check<const N: usize>(ends: &Ends<N>) {
            assert!(ends.is_sorted());
            for (nanoseconds, text) in ends {
                let seconds: f64 = text.parse().unwrap();
                assert_eq!((seconds * 1e9).round() as u64, *nanoseconds, "{text}");
            }
        }
        check(&OF_REQUESTS);
        check(&OF_STAGES);
    }
}
