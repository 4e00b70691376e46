//! What all connections of one worker share.

use std::rc::Rc;

use super::info::ConnInfo;
use super::rejection::Rejection;
use crate::config::keys::GatewayLimits;
use crate::net::capacity::Capacity;

/// The function that is told of requests that never reach a service.
pub type Rejected = Rc<dyn Fn(&Rc<ConnInfo>, Rejection)>;

/// Bounds, the process's counters, and what answers requests.
pub(in crate::net) struct ServeContext<F> {
    pub(in crate::net) limits: GatewayLimits,
    pub(in crate::net) capacity: Capacity,
    pub(in crate::net) service: F,
    /// Told of requests that never reach the service.
    pub(in crate::net) rejected: Rejected,
}
