//! The state of the gateway as a whole.
//!
//! A [`Generation`] is a configuration that was built: components read, chains compiled, routes sorted. A generation
//! never changes; [`Live`] holds the generation that serves, and is the only place that swaps it. `server` builds
//! generations and `http` routes with them. This room never reads a file for a request.

pub mod build;
mod collect;
mod components;
pub mod control;
mod generation;
mod identity;
pub mod inputs;
mod live;
pub mod observed;
mod progress;
mod prove;
pub mod router;
pub mod split;
pub mod watch;

pub use build::{Workshop, build};
pub use control::Control;
pub use generation::{Generation, StageSight};
pub use inputs::Inputs;
pub use live::Live;
pub use router::{Match, Router};
