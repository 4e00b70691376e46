//! Servers elsewhere in which pipelines end: from a request without a connection to a response.
//!
//! An [`Upstream`] is a group of servers with their health, shared by all workers and taken over by a new generation
//! with the same upstream. A [`ConnectionPool`] is one worker's part of it: connections, and requests that wait for
//! one. `engine` sends requests through it, `gateway` makes and starts upstreams. Connections are hyper's, HTTP/1.1 or
//! HTTP/2, and stay on their worker.
//!
//! Guarantees: bodies stream in both directions, each as fast as the slower side; a connection whose exchange did not
//! end properly on both sides is never used again; a response that was cut is never passed on as complete; a request is
//! sent twice only where that can't have an effect twice; fields of a connection stay on it.
//!
//! Bounds, all from `[upstreams.NAME.limits]`: the time to connect, to the response's head, between two pieces of its
//! body, and of all together; connections, streams and idle connections for each server; requests that wait. Times are
//! checked at the worker's ticks.
//!
//! This room never looks into a body, never imports wasmtime, and knows nothing of pipelines.

mod body;
mod check;
mod connect;
mod download;
mod error;
mod fields;
mod health;
mod lease;
mod link;
mod pool;
mod send;
mod timer;
pub mod tls;

pub use body::Payload;
pub use download::Download;
pub use error::{BodyError, Error, ErrorKind};
pub use health::ServerReport;
pub use pool::ConnectionPool;
pub use send::Outgoing;
pub use tls::{TlsError, TlsSettings};

use crate::plan::UpstreamPlan;
use health::ServerState;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// Tells upstreams of this process apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct UpstreamId(u64);

/// A group of servers. While a generation has the group, its servers are checked.
pub struct Upstream {
    /// Distinguishes the upstream from all others of the process.
    pub id: UpstreamId,
    /// The description by which it is the same upstream as one of another generation.
    pub identity: String,
    core: Arc<Core>,
    started: AtomicBool,
}

/// What pools need of an upstream, until their last request ends.
struct Core {
    plan: UpstreamPlan,
    servers: Vec<ServerState>,
    tls: Option<TlsSettings>,
}

impl Upstream {
    /// The servers of `plan`, which all count as up. `tls` is for servers with `https`.
    pub fn new(plan: UpstreamPlan, tls: Option<TlsSettings>, identity: String) -> Arc<Self> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let servers = plan.servers.iter().map(ServerState::new).collect();
        Arc::new(Self {
            id: UpstreamId(NEXT.fetch_add(1, Ordering::Relaxed)),
            identity,
            core: Arc::new(Core { plan, servers, tls }),
            started: AtomicBool::new(false),
        })
    }

    /// Its name in the configuration.
    pub fn name(&self) -> &str {
        &self.core.plan.name
    }

    /// The state of the servers, in the configuration's order.
    pub fn report(&self) -> impl Iterator<Item = ServerReport> {
        self.core.servers.iter().map(ServerState::report)
    }
}
