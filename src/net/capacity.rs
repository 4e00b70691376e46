//! What the workers of a process share: the counters of its connections.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use tokio::sync::Semaphore;

use super::addresses::Addresses;
use crate::config::keys::GatewayLimits;

/// What the workers of a process share: one slot per open connection, one per running TLS handshake, and the number of
/// connections of each client.
#[derive(Clone, Debug)]
pub struct Capacity {
    pub(crate) connections: Arc<Semaphore>,
    pub(crate) handshakes: Arc<Semaphore>,
    pub(crate) addresses: Arc<Addresses>,
    pub(crate) lost_handshakes: Arc<LostHandshakes>,
    limit: usize,
}

/// Why a TLS handshake failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lost {
    /// The handshake took longer than `limits.handshake-timeout`.
    Timeout,
    /// The client left.
    Gone,
    /// One side refused the other: no common version, cipher suite or protocol, or a certificate.
    Refused,
    /// The client's certificate has names that can't be told to stages.
    ClientName,
}

/// The number of TLS handshakes that failed, by reason.
#[derive(Debug, Default)]
pub(crate) struct LostHandshakes([AtomicU64; 4]);

impl LostHandshakes {
    pub(crate) fn count(&self, lost: Lost) {
        self.0[lost as usize].fetch_add(1, Relaxed);
    }
}

impl Capacity {
    /// Made once per process from its limits, then cloned for each worker. A limit of 0 counts as 1: `config` reports a
    /// gateway that may accept nothing.
    pub fn new(limits: &GatewayLimits) -> Self {
        let limit = limits.connections.clamp(1, Semaphore::MAX_PERMITS);
        let handshakes = limits.handshakes.clamp(1, Semaphore::MAX_PERMITS);
        Self {
            connections: Arc::new(Semaphore::new(limit)),
            handshakes: Arc::new(Semaphore::new(handshakes)),
            addresses: Addresses::new(limits.connections_per_address.max(1)),
            lost_handshakes: Arc::default(),
            limit,
        }
    }

    /// TLS handshakes that failed so far, by reason.
    pub fn lost_handshakes(&self) -> [(&'static str, u64); 4] {
        let counts = &self.lost_handshakes.0;
        [("timeout", 0), ("gone", 1), ("refused", 2), ("client-name", 3)]
            .map(|(reason, at): (_, usize)| (reason, counts[at].load(Relaxed)))
    }

    /// Connections that are open now, in the whole process.
    pub fn open_connections(&self) -> usize {
        self.limit - self.connections.available_permits()
    }
}
