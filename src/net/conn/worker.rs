//! What all of one worker's connections have in common.

use crate::net::capacity::Capacity;
use crate::net::limits::NetLimits;

/// Bounds, the process's counters, and what answers requests.
pub(in crate::net) struct Worker<F> {
    pub(in crate::net) limits: NetLimits,
    pub(in crate::net) capacity: Capacity,
    pub(in crate::net) service: F,
}
