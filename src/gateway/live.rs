//! The generation that serves. No other file knows that it can change.

#![expect(clippy::disallowed_types, reason = "this is the one file that swaps")]

use super::generation::Generation;
use crate::engine::Ahead;
use arc_swap::ArcSwap;
use std::sync::Arc;

/// Holds the live generation. A request loads it once and keeps it to its end.
pub struct Live {
    generation: ArcSwap<Generation>,
    /// The workers that serve it.
    pub workers: Ahead,
}

impl Live {
    /// Begins with `generation`.
    pub fn new(generation: Generation) -> Self {
        start(&generation);
        Self { generation: ArcSwap::from_pointee(generation), workers: Ahead::default() }
    }

    /// The generation that serves now.
    pub fn load(&self) -> Arc<Generation> {
        self.generation.load_full()
    }

    /// Lets `generation` serve from now on, and returns the earlier one.
    pub fn swap(&self, generation: Arc<Generation>) -> Arc<Generation> {
        start(&generation);
        self.generation.swap(generation)
    }
}

/// Starts the work of a generation beside requests, which it is about to have.
fn start(generation: &Generation) {
    generation.limiter_keys.set(generation.plan.limits.rate_limit_keys);
    generation.own_metrics.set_bound(generation.plan.telemetry.stage_series);
    for upstream in generation.upstreams() {
        upstream.start();
    }
}
