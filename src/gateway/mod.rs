//! The state of the gateway as a whole.
//!
//! A [`Generation`] is a configuration that was built: components read, chains
//! compiled, routes sorted. It never changes; [`Live`] holds the one that serves,
//! and is the only place that swaps it. Called by `cli` to build and by `http` to
//! route. It never reads a file while it serves.

pub mod build;
mod generation;
mod live;
pub mod router;

pub use build::build;
pub use generation::Generation;
pub use live::Live;
pub use router::{Match, Router};
