//! One configuration, fully built.

use super::router::Router;
use crate::chain::{Runtime, Segment};
use crate::plan::{PipelineIndex, Plan};
use std::sync::Arc;

/// An immutable state of the whole configuration.
pub struct Generation {
    /// What it was built from.
    pub plan: Plan,
    /// Which pipeline serves a request.
    pub router: Router,
    /// The pipelines, in the plan's order.
    pub(super) segments: Vec<Arc<Segment>>,
    /// Keeps the engine's clock running as long as there may be guests.
    pub(super) _runtime: Runtime,
}

impl Generation {
    /// The segment that serves `pipeline`.
    pub fn segment(&self, pipeline: PipelineIndex) -> &Arc<Segment> {
        &self.segments[pipeline.0]
    }

    /// All segments, in the order of the plan's pipelines.
    pub fn segments(&self) -> &[Arc<Segment>] {
        &self.segments
    }
}
