//! linkspan's measurements of itself, in this process: hops, their parts, pipelines, and calls.
//!
//! `cli` calls this room for `linkspan bench`, and prints the results. The measurements send requests through the same
//! pools, instances and chains that serve real requests, but over no listener. This room never serves a client, and no
//! serving code uses it.

pub mod calls;
mod given;
mod guests;
pub mod hops;
pub mod micro;
mod native;
pub mod pipeline;

use std::fmt;

/// Why nothing was measured.
#[derive(Debug)]
pub enum Failure {
    /// A component, a configuration or an argument is wrong.
    Wrong(String),
    /// The system refused something.
    System(String),
}

impl Failure {
    fn wrong(message: impl fmt::Display) -> Self {
        Self::Wrong(message.to_string())
    }

    fn system(message: impl fmt::Display) -> Self {
        Self::System(message.to_string())
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Wrong(message) | Self::System(message) => f.write_str(message),
        }
    }
}

/// Runs a measurement on this thread, with an event loop of its own.
fn run_here<T>(work: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    let cannot = |error| Failure::system(format!("cannot start: {error}"));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(cannot)?;
    tokio::task::LocalSet::new().block_on(&runtime, work)
}
