//! Why a server could not start, or what it lost at its end.

use crate::config::Diagnostics;
use std::fmt;

/// Why a server does not serve, or what was lost when it stopped.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The configuration or a component is wrong.
    #[error("{0}")]
    Wrong(Diagnostics),
    /// The system refused something, for example an address that is in use.
    #[error("{0}")]
    System(String),
    /// Requests did not finish in time.
    #[error("stopped; {0} requests did not finish in time and were cut off")]
    Cut(usize),
}

impl Error {
    pub(super) fn system(message: impl fmt::Display) -> Self {
        Self::System(message.to_string())
    }
}
