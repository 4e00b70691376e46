//! What the workers of a process share: the counters of its connections.

use std::sync::Arc;

use tokio::sync::Semaphore;

use super::addresses::Addresses;
use crate::config::keys::GatewayLimits;

/// What the workers of a process share: one slot per open connection, one per running TLS handshake, and who has how many
/// connections.
#[derive(Clone, Debug)]
pub struct Capacity {
    pub(crate) connections: Arc<Semaphore>,
    pub(crate) handshakes: Arc<Semaphore>,
    pub(crate) addresses: Arc<Addresses>,
    limit: usize,
}

impl Capacity {
    /// Made once per process from its limits, then cloned for each worker. A limit of 0 counts as 1: a gateway that may
    /// accept nothing is a mistake that configuration reports.
    #[must_use]
    pub fn new(limits: &GatewayLimits) -> Self {
        let limit = limits.connections.clamp(1, Semaphore::MAX_PERMITS);
        let handshakes = limits.handshakes.clamp(1, Semaphore::MAX_PERMITS);
        Self {
            connections: Arc::new(Semaphore::new(limit)),
            handshakes: Arc::new(Semaphore::new(handshakes)),
            addresses: Addresses::new(limits.connections_per_address.max(1)),
            limit,
        }
    }

    /// Connections that are open now, in the whole process.
    #[must_use]
    pub fn open_connections(&self) -> usize {
        self.limit - self.connections.available_permits()
    }
}
