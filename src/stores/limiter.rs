//! Counters in this process's memory.
//!
//! A decision is one comparison and one write, under the lock of one of [`SHARDS`] shards.
//!
//! Bounds: a [`Limiter`] keeps at most as many keys as the live configuration says (`limits.rate-limit-keys`). A full
//! shard first forgets keys whose burst is whole again, which changes no decision; if all keys are in use, the result
//! is [`TakeError::TooManyKeys`]. Times are nanoseconds since the process's first decision, in 64 bits: 584 years.

use super::quota::{Decision, Quota, TakeError, now};
use crate::plan::GatewayLimits;
use std::collections::HashMap;
use std::hash::{BuildHasher as _, RandomState};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};

/// Locks that a limiter's keys are spread over.
const SHARDS: usize = 16;

#[derive(Debug, Default)]
struct Shard {
    arrivals: HashMap<Box<str>, u64>,
    /// No key can be forgotten before this time: a full shard is searched once for each key that runs out, not once for
    /// each request.
    sweep_after: u64,
}

/// The counters of one stage.
#[derive(Debug)]
pub struct Limiter {
    shards: [Mutex<Shard>; SHARDS],
    hasher: RandomState,
    bound: KeyBound,
}

/// The most keys of each limiter: one number for all, which changes with the live configuration.
#[derive(Clone, Debug)]
pub struct KeyBound(Arc<AtomicUsize>);

impl KeyBound {
    /// A bound of `keys`, rounded up to a multiple of [`SHARDS`].
    pub fn new(keys: usize) -> Self {
        Self(Arc::new(AtomicUsize::new(keys)))
    }

    /// Changes the bound to `keys`. A limiter that has more takes no new key until it may forget some.
    pub fn set(&self, keys: usize) {
        self.0.store(keys, Ordering::Relaxed);
    }

    fn per_shard(&self) -> usize {
        self.0.load(Ordering::Relaxed).div_ceil(SHARDS).max(1)
    }
}

impl Limiter {
    /// A limiter with at most `bound` keys.
    pub fn new(bound: KeyBound) -> Self {
        Self { shards: Default::default(), hasher: RandomState::new(), bound }
    }

    /// Takes one request from the rest of `key` under `quota`.
    ///
    /// # Errors
    /// See [`TakeError`].
    pub fn take(&self, key: &str, quota: Quota) -> Result<Decision, TakeError> {
        quota.check(key)?;
        self.take_at(key, quota, now())
    }

    /// The same for a key and a quota that were checked.
    pub(super) fn take_checked(&self, key: &str, quota: Quota) -> Result<Decision, TakeError> {
        self.take_at(key, quota, now())
    }

    fn take_at(&self, key: &str, quota: Quota, now: u64) -> Result<Decision, TakeError> {
        let at = (self.hasher.hash_one(key) as usize) % SHARDS;
        // A poisoned shard still has complete entries: no code panics in the middle of a change.
        let mut shard = self.shards[at].lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(arrival) = shard.arrivals.get_mut(key) {
            let (decision, after) = quota.decide(*arrival, now);
            *arrival = after.unwrap_or(*arrival);
            return Ok(decision);
        }
        let bound = self.bound.per_shard();
        if shard.arrivals.len() >= bound {
            if now < shard.sweep_after {
                return Err(TakeError::TooManyKeys);
            }
            shard.arrivals.retain(|_, arrival| *arrival > now);
            if shard.arrivals.len() >= bound {
                shard.sweep_after = shard.arrivals.values().copied().min().unwrap_or(0);
                return Err(TakeError::TooManyKeys);
            }
        }
        let (decision, after) = quota.decide(0, now);
        if let Some(after) = after {
            shard.arrivals.insert(key.into(), after);
        }
        Ok(decision)
    }
}

/// The limiters of all stages, by stage. A stage that continues in a new generation keeps its limiter, so that a reload
/// forgets no count; when no generation has the stage any more, its limiter is dropped.
#[derive(Debug)]
pub struct Limiters {
    of_stages: Mutex<HashMap<String, Weak<Limiter>>>,
    /// The most keys of each limiter.
    pub bound: KeyBound,
}

impl Default for Limiters {
    fn default() -> Self {
        Self { of_stages: Mutex::default(), bound: KeyBound::new(GatewayLimits::default().rate_limit_keys) }
    }
}

impl Limiters {
    /// The limiter of the stage called `stage`, made if there is none.
    pub fn of(&self, stage: &str) -> Arc<Limiter> {
        let mut limiters = self.of_stages.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = limiters.get(stage).and_then(Weak::upgrade) {
            return known;
        }
        limiters.retain(|_, limiter| limiter.strong_count() > 0);
        let made = Arc::new(Limiter::new(self.bound.clone()));
        limiters.insert(stage.to_owned(), Arc::downgrade(&made));
        made
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;
    const TEN_A_SECOND: Quota = Quota { burst: 3, interval: SECOND / 10 };

    #[test]
    fn a_burst_then_the_rate() {
        let limiter = Limiter::new(KeyBound::new(16));
        let take = |at| limiter.take_at("a", TEN_A_SECOND, at).expect("a decision");
        assert_eq!([take(0).remaining, take(0).remaining, take(0).remaining], [2, 1, 0]);
        let denied = take(0);
        assert!(!denied.allowed);
        assert_eq!(denied.retry_after, SECOND / 10);
        assert!(!take(SECOND / 10 - 1).allowed);
        assert!(take(SECOND / 10).allowed);
        assert!(!take(SECOND / 10).allowed);
        let rested = take(10 * SECOND);
        assert_eq!((rested.allowed, rested.remaining), (true, 2));
    }

    #[test]
    fn keys_are_apart() {
        let limiter = Limiter::new(KeyBound::new(64));
        let one = Quota { burst: 1, interval: SECOND };
        assert!(limiter.take_at("a", one, 5).expect("a decision").allowed);
        assert!(limiter.take_at("b", one, 5).expect("a decision").allowed);
        assert!(!limiter.take_at("a", one, 5).expect("a decision").allowed);
    }

    #[test]
    fn keys_are_bounded_and_come_back() {
        let limiter = Limiter::new(KeyBound::new(SHARDS * 4));
        let one = Quota { burst: 1, interval: SECOND };
        let outcome =
            |at: u64| (0..1000).filter(|n| limiter.take_at(&format!("{at}-{n}"), one, at).is_ok()).count();
        assert_eq!(outcome(0), SHARDS * 4);
        assert_eq!(outcome(SECOND / 2), 0);
        assert_eq!(outcome(2 * SECOND), SHARDS * 4);
    }

    #[test]
    fn the_bound_on_keys_changes_for_limiters_that_are_there() {
        let limiters = Limiters::default();
        limiters.bound.set(SHARDS);
        let limiter = limiters.of("main/0:rate-limit");
        let one = Quota { burst: 1, interval: SECOND };
        let taken =
            |of: &str| (0..1000).filter(|n| limiter.take_at(&format!("{of}-{n}"), one, 5).is_ok()).count();
        assert_eq!(taken("a"), SHARDS);
        limiters.bound.set(SHARDS * 4);
        assert_eq!(taken("b"), SHARDS * 3);
        limiters.bound.set(SHARDS * 2);
        assert_eq!(taken("c"), 0);
        assert!(limiter.take_at("a-0", one, 3 * SECOND).is_ok());
    }

    #[test]
    fn limiters_go_with_the_last_stage_that_has_them() {
        let limiters = Limiters::default();
        let one = Quota { burst: 1, interval: 1_000_000_000_000_000_000 };
        let first = limiters.of("main/0:rate-limit");
        assert!(first.take("a", one).expect("a decision").allowed);
        // A reload takes the limiter over; another stage has another one.
        let second = limiters.of("main/0:rate-limit");
        drop(first);
        assert!(!second.take("a", one).expect("a decision").allowed);
        let gone = Arc::downgrade(&second);
        drop(second);
        assert!(gone.upgrade().is_none());
        let _other = limiters.of("other/0:rate-limit");
        assert_eq!(limiters.of_stages.lock().expect("no panic").len(), 1);
    }

    #[test]
    fn bad_input_is_refused() {
        let limiter = Limiter::new(KeyBound::new(1));
        let invalid = Quota { burst: 0, interval: 1 };
        assert_eq!(limiter.take("a", invalid), Err(TakeError::InvalidQuota));
        assert_eq!(limiter.take(&"a".repeat(257), TEN_A_SECOND), Err(TakeError::KeyTooLong));
    }

    #[test]
    fn extreme_quotas_do_not_overflow() {
        // Room for both, if they fall into one shard.
        let limiter = Limiter::new(KeyBound::new(2 * SHARDS));
        let slow = Quota { burst: 1_000_000_000, interval: 1_000_000_000_000_000_000 };
        assert!(limiter.take("a", slow).expect("a decision").allowed);
        let fast = Quota { burst: 1, interval: 1 };
        assert!(limiter.take("b", fast).expect("a decision").allowed);
    }

    #[test]
    fn all_threads_together_take_no_more_than_the_burst() {
        let limiter = Limiter::new(KeyBound::new(16));
        let quota = Quota { burst: 100, interval: 1_000_000_000_000 };
        let taken: usize = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..4)
                .map(|_| {
                    scope.spawn(|| {
                        (0..1000).filter(|_| limiter.take("k", quota).is_ok_and(|d| d.allowed)).count()
                    })
                })
                .collect();
            threads.into_iter().map(|t| t.join().expect("no panic")).sum()
        });
        assert_eq!(taken, 100);
    }
}
