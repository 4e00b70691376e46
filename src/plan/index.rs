//! Places in the lists of a plan.

/// A component's place in [`Plan::components`](super::Plan::components).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ComponentIndex(pub usize);

/// An upstream's place in [`Plan::upstreams`](super::Plan::upstreams).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UpstreamIndex(pub usize);

/// A pipeline's place in [`Plan::pipelines`](super::Plan::pipelines).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PipelineIndex(pub usize);
