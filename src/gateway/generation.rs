//! One configuration, fully built.

use super::router::Router;
use crate::chain::Runtime;
use crate::engine::Hop;
use crate::plan::{PipelineIndex, Plan};
use std::sync::Arc;

/// An immutable state of the whole configuration.
pub struct Generation {
    /// What it was built from.
    pub plan: Plan,
    /// Which pipeline serves a request.
    pub router: Router,
    /// The pipelines, in the plan's order.
    pub(super) pipelines: Vec<Arc<Hop>>,
    /// Keeps the engine's clock running as long as there may be guests.
    pub(super) _runtime: Runtime,
}

impl Generation {
    /// The first hop of `pipeline`.
    pub fn pipeline(&self, pipeline: PipelineIndex) -> &Arc<Hop> {
        &self.pipelines[pipeline.0]
    }
}
