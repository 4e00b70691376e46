//! The part of the network that a stage may use.

use crate::plan::{self, StageLimits};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Semaphore;

/// The part of the network that a stage may use, over all its instances.
pub struct Egress {
    pub(super) granted: plan::Egress,
    /// Requests that the stage may still send.
    pub(super) requests: Semaphore,
    /// Connections that the stage may still open.
    pub(super) connections: Arc<Semaphore>,
    pub(super) connect_timeout: Duration,
    pub(super) timeout: Duration,
}

impl Egress {
    /// The grants of a stage, within `limits`.
    pub fn new(granted: &plan::Egress, limits: &StageLimits) -> Self {
        Self {
            granted: granted.clone(),
            requests: Semaphore::new(limits.egress_requests),
            connections: Arc::new(Semaphore::new(limits.egress_connections)),
            connect_timeout: limits.egress_connect_timeout,
            timeout: limits.egress_timeout,
        }
    }

    /// Does `work` in place of a connection, within the time for connecting.
    pub(in crate::host) async fn in_turn<T>(&self, work: impl Future<Output = T>) -> Option<T> {
        let work = async {
            let _permit = self.connections.acquire().await;
            work.await
        };
        tokio::time::timeout(self.connect_timeout, work).await.ok()
    }
}
