//! The state of the gateway as a whole.
//!
//! A [`Generation`] is a configuration that was built: components read, chains
//! compiled, routes sorted. It never changes; [`Live`] holds the one that serves,
//! and is the only place that swaps it. Called by `server` to build and by `http` to
//! route. It never reads a file for a request.

pub mod build;
pub mod control;
mod generation;
mod identity;
pub mod inputs;
mod live;
mod prove;
pub mod router;
pub mod split;
pub mod watch;

pub use build::{Workshop, build};
pub use control::Control;
pub use generation::Generation;
pub use inputs::Inputs;
pub use live::Live;
pub use router::{Match, Router};
