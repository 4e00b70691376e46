//! The number of lines of one kind.
//!
//! A kind is a place in the code together with the pipeline, stage, listener or server of the line. Everything that one
//! client or guest can cause again and again is one kind, and leaves room for the others. Lines beyond the rate are
//! counted, and the log reports their number now and then.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use tracing::callsite::Identifier;

/// The most kinds that are distinguished; further ones share one kind for each place in the code.
const MAX_KINDS: usize = 10_000;
/// A kind may have the lines of this many seconds at once.
const BURST: f64 = 10.0;
/// The time between two reports of lines that were left out.
const INTERVAL: Duration = Duration::from_secs(10);

struct LineKind {
    /// Lines that the kind may have at once, as of `since`.
    left: f64,
    since: Instant,
    suppressed: u64,
    /// An example of its lines.
    example: String,
}

/// The bounds on lines of each kind.
pub(super) struct Quota {
    /// Lines a second of a kind.
    rate: AtomicU32,
    kinds: Mutex<HashMap<(Identifier, u64), LineKind>>,
    told: Mutex<Instant>,
}

impl Quota {
    pub(super) fn new(rate: u32) -> Self {
        Self { rate: rate.into(), kinds: Mutex::default(), told: Mutex::new(Instant::now()) }
    }

    pub(super) fn set_rate(&self, rate: u32) {
        self.rate.store(rate, Relaxed);
    }

    /// Whether a line of the kind of `place` and `subject` may be written now.
    pub(super) fn allows(
        &self,
        place: Identifier,
        subject: &[&str],
        now: Instant,
        example: impl FnOnce() -> String,
    ) -> bool {
        let mut hasher = DefaultHasher::new();
        subject.hash(&mut hasher);
        let rate = f64::from(self.rate.load(Relaxed));
        let mut kinds = self.kinds.lock().unwrap_or_else(PoisonError::into_inner);
        let mut key = (place, hasher.finish());
        if kinds.len() >= MAX_KINDS && !kinds.contains_key(&key) {
            key.1 = 0;
        }
        let fresh = || LineKind { left: BURST * rate, since: now, suppressed: 0, example: example() };
        let kind = kinds.entry(key).or_insert_with(fresh);
        let passed = now.saturating_duration_since(kind.since).as_secs_f64();
        kind.left = (kind.left + passed * rate).min(BURST * rate);
        kind.since = now;
        let allowed = kind.left >= 1.0;
        if allowed {
            kind.left -= 1.0;
        } else {
            kind.suppressed += 1;
        }
        allowed
    }

    /// The lines that were left out, by kind, if it is time for a report.
    pub(super) fn take_suppressed(&self, at_once: bool) -> Vec<(u64, String)> {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        if !at_once && told.elapsed() < INTERVAL {
            return Vec::new();
        }
        *told = Instant::now();
        let mut kinds = self.kinds.lock().unwrap_or_else(PoisonError::into_inner);
        let some = kinds.values_mut().filter(|kind| kind.suppressed > 0);
        some.map(|kind| (std::mem::take(&mut kind.suppressed), kind.example.clone())).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_kind_leaves_room_for_the_others() {
        let place = || {
            struct Place;
            impl tracing::callsite::Callsite for Place {
                fn set_interest(&self, _: tracing::subscriber::Interest) {}
                fn metadata(&self) -> &tracing::Metadata<'_> {
                    unreachable!("it is never asked")
                }
            }
            static PLACE: Place = Place;
            Identifier(&PLACE)
        };
        let quota = Quota::new(2);
        let start = Instant::now();
        let allowed = |subject: &str, at: u64, lines: usize| {
            let now = start + Duration::from_secs(at);
            let of = |_: &usize| quota.allows(place(), &[subject], now, || format!("of {subject}"));
            (0..lines).filter(of).count()
        };
        assert_eq!(allowed("a", 0, 100), 20);
        assert_eq!(allowed("b", 0, 10), 10);
        assert_eq!(allowed("a", 3, 100), 6);
        assert_eq!(allowed("a", 1_000, 100), 20);
        assert!(quota.take_suppressed(false).is_empty());
        assert_eq!(quota.take_suppressed(true), [(80 + 94 + 80, "of a".to_owned())]);
        assert!(quota.take_suppressed(true).is_empty());
        quota.set_rate(1_000_000);
        assert_eq!(allowed("c", 0, 1_000), 1_000);
    }
}
