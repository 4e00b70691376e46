//! The generation that serves. No other file knows that it can change.

#![expect(clippy::disallowed_types, reason = "this is the one file that swaps")]

use super::generation::Generation;
use arc_swap::ArcSwap;
use std::sync::Arc;

/// Holds the live generation. A request loads it once and keeps it to its end.
pub struct Live(ArcSwap<Generation>);

impl Live {
    /// Begins with `generation`.
    pub fn new(generation: Generation) -> Self {
        start(&generation);
        Self(ArcSwap::from_pointee(generation))
    }

    /// The generation that serves now.
    pub fn load(&self) -> Arc<Generation> {
        self.0.load_full()
    }

    /// Lets `generation` serve from now on, and returns the earlier one.
    pub fn swap(&self, generation: Arc<Generation>) -> Arc<Generation> {
        start(&generation);
        self.0.swap(generation)
    }
}

/// Starts the work of a generation beside requests, which it is about to have.
fn start(generation: &Generation) {
    generation.limiter_keys.set(generation.plan.limits.rate_limit_keys);
    for upstream in generation.upstreams() {
        upstream.start();
    }
}
