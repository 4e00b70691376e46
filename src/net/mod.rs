//! The way in: listening sockets, TLS, connections, and the orderly end of all three.
//!
//! One worker calls [`serve_worker`] on its own thread, inside its own `LocalSet`, with its own listening sockets,
//! which come from [`Sources`]. From there on a connection never leaves that thread: neither do its requests, so a
//! service's futures and bodies need not be `Send`. What workers share is in [`Capacity`], counters for the whole
//! process. While it serves, listeners come and go by [`EndpointChange`], and certificates by a [`TlsSource`].
//!
//! Promised: a client that is silent, slow or gone costs at most one connection slot, for a time that
//! [`GatewayLimits`](crate::config::keys::GatewayLimits) names; a response that breaks off looks broken off; a stop
//! lets requests finish, within a bound.
//!
//! This room never looks into a request: `crate::http` knows the meaning of a head, and answers.

mod addresses;
mod capacity;
pub mod conn;
mod hop_by_hop;
mod limit_log;
pub mod listen;
pub mod shutdown;
pub mod tls;

pub use capacity::Capacity;
pub use conn::proxy_protocol::{ProxyProtocol, ProxyVersion};
pub use conn::{ConnInfo, Protocol, Rejected, Rejection, TlsInfo};
pub use hop_by_hop::{is_hop_by_hop, strip_hop_by_hop};
pub use listen::accept::Cut;
pub use listen::endpoint::{ChangeError, Endpoint, EndpointChange, changes, serve_worker};
pub use listen::shared::{Duplicate, Shared};
pub use listen::sockets::{BindError, Listening, Sources, bind};
pub use listen::{activation, endpoint, handover};
pub use shutdown::{Shutdown, Signals, Trigger};
pub use tls::{Certificate, ClientIdentity, TlsError, TlsSource};

/// The error of a response body or of a service, on its way to hyper.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;
