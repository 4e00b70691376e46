//! The decision on a request: the same in every store.
//!
//! The algorithm is the generic cell rate algorithm (GCRA, ITU-T I.371): the whole state of a key is its theoretical
//! arrival time, and a decision needs only how far that is ahead of now.

use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

/// The longest key, in bytes.
pub const MAX_KEY_BYTES: usize = 256;

/// How many requests may come at once, and how fast the burst is filled again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quota {
    /// Requests at once, from 1 to 10^9.
    pub burst: u32,
    /// Nanoseconds until one more is allowed, from 1 to 10^18.
    pub interval: u64,
}

impl Quota {
    /// Whether the quota and `key` are inside their bounds.
    pub(super) fn check(self, key: &str) -> Result<(), TakeError> {
        if !(1..=1_000_000_000).contains(&self.burst)
            || !(1..=1_000_000_000_000_000_000).contains(&self.interval)
        {
            return Err(TakeError::InvalidQuota);
        }
        if key.len() > MAX_KEY_BYTES { Err(TakeError::KeyTooLong) } else { Ok(()) }
    }

    /// Nanoseconds in which the whole burst is filled again.
    fn tolerance(self) -> u128 {
        u128::from(self.interval) * u128::from(self.burst)
    }

    /// The part of `ahead`, the nanoseconds from now to the theoretical arrival time, that counts. A quota that became
    /// smaller, or a clock that was set back, holds nobody up for longer than the burst needs to be filled again.
    fn counted(self, ahead: u64) -> u128 {
        u128::from(ahead).min(self.tolerance())
    }

    /// Whether a request is allowed, whose key's theoretical arrival time is `ahead` of now; and how far ahead it is
    /// after that.
    pub(super) fn allows(self, ahead: u64) -> Option<u64> {
        let after = self.counted(ahead) + u128::from(self.interval);
        (after <= self.tolerance()).then(|| clamp(after))
    }

    /// The decision on such a request, of which is known whether it is allowed.
    pub(super) fn decision(self, ahead: u64, allowed: bool) -> Decision {
        let (current, tolerance) = (self.counted(ahead), self.tolerance());
        let after = current + u128::from(self.interval);
        if !allowed {
            return Decision {
                allowed,
                remaining: 0,
                retry_after: clamp(after.saturating_sub(tolerance)),
                reset_after: clamp(current),
            };
        }
        // Less than `burst`, which has 32 bits.
        let remaining = (tolerance.saturating_sub(after) / u128::from(self.interval)) as u32;
        Decision { allowed, remaining, retry_after: 0, reset_after: clamp(after) }
    }

    /// Decides on a request at `now` for a key whose theoretical arrival time is `arrival`, and gives the new one if
    /// the request is allowed.
    pub(super) fn decide(self, arrival: u64, now: u64) -> (Decision, Option<u64>) {
        let ahead = arrival.saturating_sub(now);
        let after = self.allows(ahead);
        (self.decision(ahead, after.is_some()), after.map(|after| now.saturating_add(after)))
    }
}

fn clamp(nanoseconds: u128) -> u64 {
    u64::try_from(nanoseconds).unwrap_or(u64::MAX)
}

/// The decision on a request. Times are in nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decision {
    /// Whether the request is allowed.
    pub allowed: bool,
    /// Requests that could come at once after it.
    pub remaining: u32,
    /// The time until the same request would be allowed.
    pub retry_after: u64,
    /// The time until the whole burst is available again.
    pub reset_after: u64,
}

/// Why there is no decision.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TakeError {
    /// The quota is out of its bounds.
    InvalidQuota,
    /// The key has more than [`MAX_KEY_BYTES`] bytes.
    KeyTooLong,
    /// All keys are in use.
    TooManyKeys,
}

/// Nanoseconds since the first call in this process.
pub(super) fn now() -> u64 {
    static START: LazyLock<Instant> = LazyLock::new(Instant::now);
    u64::try_from(START.elapsed().as_nanos()).unwrap_or(u64::MAX)
}

/// One key's state, without a lock.
#[derive(Debug, Default)]
pub struct Cell(AtomicU64);

impl Cell {
    /// Takes one request from the rest of the burst under `quota`.
    pub fn take(&self, quota: Quota) -> Decision {
        let now = now();
        let mut arrival = self.0.load(Ordering::Relaxed);
        loop {
            let (decision, Some(after)) = quota.decide(arrival, now) else {
                return quota.decide(arrival, now).0;
            };
            match self.0.compare_exchange_weak(arrival, after, Ordering::Relaxed, Ordering::Relaxed) {
                Ok(_) => return decision,
                Err(current) => arrival = current,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;

    #[test]
    fn nobody_is_held_up_for_longer_than_the_burst_needs() {
        let quota = Quota { burst: 10, interval: SECOND / 1000 };
        // A clock that was set back by an hour, or a quota that was much larger.
        let decision = quota.decision(3600 * SECOND, quota.allows(3600 * SECOND).is_some());
        assert_eq!((decision.allowed, decision.retry_after), (false, SECOND / 1000));
        assert_eq!(decision.reset_after, SECOND / 100);
    }

    #[test]
    fn the_last_of_a_burst_and_the_first_too_many() {
        let quota = Quota { burst: 3, interval: 100 };
        assert_eq!([0, 200, 201, 300].map(|ahead| quota.allows(ahead)), [Some(100), Some(300), None, None]);
        assert_eq!(quota.decision(200, true).remaining, 0);
        assert_eq!(quota.decision(201, false).retry_after, 1);
        assert_eq!(quota.decision(0, true).remaining, 2);
    }
}
