//! What all connections of one worker have in common.

use std::rc::Rc;

use super::info::ConnInfo;
use super::rejection::Rejection;
use crate::config::keys::GatewayLimits;
use crate::net::capacity::Capacity;

/// Who is told of requests that no service hears of.
pub type Rejected = Rc<dyn Fn(&Rc<ConnInfo>, Rejection)>;

/// Bounds, the process's counters, and what answers requests.
pub(in crate::net) struct ServeContext<F> {
    pub(in crate::net) limits: GatewayLimits,
    pub(in crate::net) capacity: Capacity,
    pub(in crate::net) service: F,
    /// Told of requests that the service hears nothing of.
    pub(in crate::net) rejected: Rejected,
}
