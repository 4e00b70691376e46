//! What linkspan measures of itself, in this process: hops, what they are made of, pipelines, and calls.
//!
//! `cli` calls it for `linkspan bench`, and prints what comes out. It sends requests through the same pools, instances and
//! chains that serve real ones, but over no listener. It never serves anybody, and nothing that serves uses it.

pub mod calls;
mod given;
mod guests;
pub mod hops;
pub mod micro;
pub mod pipeline;

use std::fmt;

/// Why nothing was measured.
#[derive(Debug)]
pub enum Failure {
    /// A component, a configuration or what was asked for is wrong.
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

/// Runs what is measured on this thread, with an event loop of its own.
fn run_here<T>(work: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    let cannot = |error| Failure::system(format!("cannot start: {error}"));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(cannot)?;
    tokio::task::LocalSet::new().block_on(&runtime, work)
}
