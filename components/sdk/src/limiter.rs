//! The gateway's rate limiter; the component imports
//! `linkspan:gateway/rate-limiter`. One state serves all instances of a stage,
//! or, in a store, all gateways that share the store.

use crate::bindings::linkspan::gateway::rate_limiter;
pub use crate::bindings::linkspan::gateway::rate_limiter::{Decision, Error, Quota, SharedError};
use crate::value::Rate;

impl Rate {
    /// The quota of this rate with room for `burst` requests at once.
    pub fn quota(self, burst: u32) -> Quota {
        Quota { burst, interval: self.interval() }
    }
}

/// Take one request from what `key` has left, atomically.
///
/// # Errors
/// As `wit/gateway.wit` says: a quota out of bounds, a key longer than 256
/// bytes, or all of the gateway's keys in use.
pub fn take(key: &str, quota: Quota) -> Result<Decision, Error> {
    rate_limiter::take(key, quota)
}

/// The same in `store`, which the stage must be granted. An empty `bucket` is
/// the stage's own. The gateway bounds how long this waits; the instance is
/// held meanwhile.
///
/// # Errors
/// As `wit/gateway.wit` says: those of [`take`], a store that is not granted,
/// is away or did not answer in time, and a bucket without a proper name.
pub fn take_shared(store: &str, bucket: &str, key: &str, quota: Quota) -> Result<Decision, SharedError> {
    rate_limiter::take_shared(store, bucket, key, quota)
}

/// Whether the stage is granted a store called `store`.
pub fn is_granted(store: &str) -> bool {
    rate_limiter::is_granted(store)
}
