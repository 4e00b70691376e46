//! Listening sockets: where they come from, who accepts from them, and how they are closed without loss.
//!
//! [`endpoint`] is called by a worker and keeps its listeners, which come and go; `accept` is the loop of one; [`sockets`]
//! has them bound, inherited ([`activation`]) or received from the process that is taken over ([`handover`]).
//!
//! This room never reads from a connection: that is `super::conn`'s.

pub(super) mod accept;
pub mod activation;
pub mod endpoint;
pub mod handover;
pub mod shared;
pub mod sockets;
