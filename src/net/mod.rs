//! The way in: listening sockets, TLS, connections, and the orderly end of all three.
//!
//! One worker calls [`serve_worker`] on its own thread, inside its own `LocalSet`, with its own listening sockets, which
//! come from [`Sources`]. From there on a connection never leaves that thread: neither do its requests, so a service's
//! futures and bodies need not be `Send`. What workers share is in [`Capacity`], counters for the whole process.
//! While it serves, listeners come and go by [`EndpointChange`], and certificates by a [`TlsSource`].
//!
//! Promised: a client that is silent, slow or gone costs at most one connection slot, for a time that [`NetLimits`] names;
//! a response that breaks off is seen as broken off; a stop lets requests finish, within a bound.
//!
//! This room never looks into a request: what a head means, and what is answered, is `crate::http`'s.

pub mod activation;
mod activity;
mod addresses;
pub mod certificates;
pub mod conn;
mod der;
mod downloads;
pub mod endpoint;
pub mod frames;
pub mod handover;
mod hop_by_hop;
pub mod identity;
pub mod listener;
pub mod ocsp;
pub mod proxy_protocol;
pub mod shutdown;
pub mod sockets;
pub mod tls;
mod transport;
mod wire;

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;

pub use certificates::Certificate;
pub use conn::{ConnInfo, Protocol, TlsInfo};
pub use endpoint::{
    ChangeError, Duplicate, Endpoint, EndpointChange, Shared, TlsSource, changes, serve_worker,
};
pub use hop_by_hop::{is_hop_by_hop, strip_hop_by_hop};
pub use identity::ClientIdentity;
pub use proxy_protocol::{ProxyProtocol, ProxyVersion};
pub use shutdown::{Shutdown, Signals, Trigger};
pub use sockets::{BindError, Listening, Sources, bind};
pub use tls::TlsError;

/// What a response body's error, or a service's, is turned into on its way to hyper.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// The bounds of the front end. Times are of one connection; `connections` and `handshakes` are of the whole process.
#[derive(Clone, Debug)]
pub struct NetLimits {
    /// Open connections. At the limit each listening socket holds one more, accepted and unread; the rest wait in the
    /// kernel's backlog. Waiting is kinder to a client than a connection that closes at once.
    pub connections: usize,
    /// Open connections of one client (an IPv4 address, or the first 64 bits of an IPv6 address). One more is closed at once:
    /// waiting would keep others out.
    pub connections_per_address: usize,
    /// Requests of one connection. The last answer of HTTP/1.1 says `Connection: close`; HTTP/2 gets GOAWAY.
    pub requests_per_connection: u64,
    /// TLS handshakes past their `ClientHello`, so those that cost a signature. A silent client holds none.
    pub handshakes: usize,
    /// From `accept` to the end of the TLS handshake, waiting for a handshake slot included.
    pub handshake_timeout: Duration,
    /// From the first byte of a request's head to its last; for a connection's first request, from the connection's start.
    pub header_read_timeout: Duration,
    /// How long a connection may be open without a request; also how long one may refuse to take a byte that is to be
    /// written to it.
    pub idle_timeout: Duration,
    /// Bytes of a request's head (HTTP/1.1: request line and fields; HTTP/2: the list as RFC 9113 §6.5.2 counts it), and of
    /// its trailers. Beyond: 431.
    pub header_size: usize,
    /// Fields in a request's head. Beyond: 431.
    pub header_count: usize,
    /// Bytes of chunk extensions in one body of HTTP/1. Beyond: the body is malformed.
    pub chunk_extensions: usize,
    /// Concurrent streams of one HTTP/2 connection.
    pub streams: u32,
    /// HTTP/2: streams that a client resets in [`frames::WINDOW`], beyond those that were answered.
    pub stream_resets: u32,
    /// HTTP/2: frames that bring no request on, in [`frames::WINDOW`].
    pub control_frames: u32,
    /// Bytes a second that a client takes at least of a response's body while it has something to take; 0 for no bound.
    pub download_rate: u64,
    /// How long it may take nothing before that.
    pub download_grace: Duration,
    /// How long a stop waits for requests in flight before it cuts them.
    pub shutdown_timeout: Duration,
}

impl Default for NetLimits {
    fn default() -> Self {
        Self {
            connections: 10_000,
            connections_per_address: 1000,
            requests_per_connection: 1_000_000,
            handshakes: 256,
            handshake_timeout: Duration::from_secs(10),
            header_read_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_secs(75),
            header_size: 64 * 1024,
            header_count: 100,
            chunk_extensions: 256,
            streams: 128,
            stream_resets: 200,
            control_frames: 1000,
            download_rate: 256,
            download_grace: Duration::from_secs(60),
            shutdown_timeout: Duration::from_secs(30),
        }
    }
}

/// What the workers of a process share: one slot per open connection, one per running TLS handshake, and who has how many
/// connections.
#[derive(Clone, Debug)]
pub struct Capacity {
    pub(crate) connections: Arc<Semaphore>,
    pub(crate) handshakes: Arc<Semaphore>,
    pub(crate) addresses: Arc<addresses::Addresses>,
    limit: usize,
}

impl Capacity {
    /// Made once per process from its limits, then cloned for each worker. A limit of 0 counts as 1: a gateway that may
    /// accept nothing is a mistake that configuration reports.
    #[must_use]
    pub fn new(limits: &NetLimits) -> Self {
        let limit = limits.connections.clamp(1, Semaphore::MAX_PERMITS);
        let handshakes = limits.handshakes.clamp(1, Semaphore::MAX_PERMITS);
        Self {
            connections: Arc::new(Semaphore::new(limit)),
            handshakes: Arc::new(Semaphore::new(handshakes)),
            addresses: addresses::Addresses::new(limits.connections_per_address.max(1)),
            limit,
        }
    }

    /// Connections that are open now, in the whole process.
    #[must_use]
    pub fn open_connections(&self) -> usize {
        self.limit - self.connections.available_permits()
    }
}

/// What a stop had to cut because it did not end in time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cut {
    /// Connections that were still open.
    pub connections: usize,
    /// Requests among them that had no complete answer yet.
    pub requests: usize,
}

impl std::ops::AddAssign for Cut {
    fn add_assign(&mut self, other: Self) {
        self.connections += other.connections;
        self.requests += other.requests;
    }
}

/// What all of one worker's connections have in common.
pub(crate) struct Worker<F> {
    pub(crate) limits: NetLimits,
    pub(crate) capacity: Capacity,
    pub(crate) service: F,
}
