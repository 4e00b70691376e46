//! Listening sockets: where they come from, who accepts from them, and how they are closed without loss.
//!
//! A worker calls [`endpoint`], which keeps the worker's listeners as they come and go; `accept` is the loop of one
//! listener; [`sockets`] binds the sockets, inherits them ([`activation`]), or receives them from the process that is
//! taken over ([`handover`]).
//!
//! This room never reads from a connection, which is the task of `super::conn`.

pub(super) mod accept;
pub mod activation;
pub mod endpoint;
pub mod handover;
pub mod shared;
pub mod sockets;
