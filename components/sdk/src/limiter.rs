//! The gateway's rate limiter; the component imports
//! `linkspan:gateway/rate-limiter`. One state serves all instances of a stage.

pub use crate::bindings::linkspan::gateway::rate_limiter::{Decision, Error, Quota};
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
    crate::bindings::linkspan::gateway::rate_limiter::take(key, quota)
}
