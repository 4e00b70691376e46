//! What all of one worker's connections have in common.

use crate::config::keys::GatewayLimits;
use crate::net::capacity::Capacity;

/// Bounds, the process's counters, and what answers requests.
pub(in crate::net) struct Worker<F> {
    pub(in crate::net) limits: GatewayLimits,
    pub(in crate::net) capacity: Capacity,
    pub(in crate::net) service: F,
}
